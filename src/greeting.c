#include "greeting.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "desk.h"
#include "log.h"
#include "person.h"
#include "settings.h"

#define NOBODYS ((uid_t)-1)     /* of no [user NAME] */

static void
add_greeting(struct greetings *g, const struct config *c, uid_t uid)
{
	struct greeting *one;
	struct config view;

	g->list = mem_more(g->list, g->n, sizeof *g->list);
	one = &g->list[g->n++];
	*one = (struct greeting){ .uid = uid };
	config_view(c, uid, &view);
	buf_adds(&one->text, DESK_HELLO_TEXT "\n");
	settings_write(&view, &one->text);
}

static void
find_operators(struct greetings *g, const char *group)
{
	struct str name = str_of(group);

	g->has_operators = name.len > 0 && person_group(name, &g->operators);
	/* Everybody whose group has no number here would be of it. */
	if (g->has_operators && g->operators == g->unknown_gid)
		g->has_operators = false;
	if (name.len > 0 && !g->has_operators)
		log_event(LOG_WARNING, "config", "reason", "operators names no group of this machine; "
		    "until it does, only root and the service's account are operators", "group", group,
		    NULL);
}

void
greetings_make(struct greetings *g, const struct config *c)
{
	greetings_free(g);
	g->unknown_uid = person_unknown_uid();
	g->unknown_gid = person_unknown_gid();
	add_greeting(g, c, NOBODYS);
	for (unsigned i = 0; i < c->nusers; i++)
		add_greeting(g, c, c->users[i].uid);
	find_operators(g, c->service.operators);
}

void
greetings_free(struct greetings *g)
{
	for (size_t i = 0; i < g->n; i++)
		buf_free(&g->list[i].text);
	free(g->list);
	*g = (struct greetings){ 0 };
}

bool
greetings_is_unknown(const struct greetings *g, uid_t uid)
{
	return uid == g->unknown_uid;
}

struct str
greetings_for(const struct greetings *g, uid_t uid)
{
	for (size_t i = 1; i < g->n; i++)
		if (g->list[i].uid == uid && !greetings_is_unknown(g, uid))
			return buf_str(&g->list[i].text);
	return buf_str(&g->list[0].text);
}

void
greetings_view(const struct greetings *g, const struct config *c, uid_t uid, struct config *view)
{
	config_view(c, greetings_is_unknown(g, uid) ? NOBODYS : uid, view);
}

static bool
is_member(int fd, gid_t group)
{
	gid_t *groups = NULL;
	socklen_t len = 0;
	bool member = false;

	/* Asked twice: first how many there are. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) < 0 && errno == ERANGE) {
		groups = mem_alloc(len);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
			for (size_t i = 0; i < len / sizeof *groups; i++)
				member = member || groups[i] == group;
	}
	free(groups);
	return member;
}

bool
greetings_is_operator(const struct greetings *g, int fd, const struct ucred *who)
{
	if (greetings_is_unknown(g, who->uid))
		return false;
	if (who->uid == 0 || who->uid == geteuid())
		return true;
	return g->has_operators && (who->gid == g->operators || is_member(fd, g->operators));
}
