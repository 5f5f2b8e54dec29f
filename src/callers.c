#include "callers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "desk.h"

static struct callers_line *
find_line(struct callers *c, uid_t uid)
{
	for (size_t i = 0; i < c->nlines; i++)
		if (c->lines[i].uid == uid)
			return &c->lines[i];
	return NULL;
}

static struct callers_line *
make_line(struct callers *c, uid_t uid)
{
	struct callers_line *l = find_line(c, uid);

	if (l == NULL) {
		c->lines = mem_more(c->lines, c->nlines, sizeof *c->lines);
		l = &c->lines[c->nlines++];
		*l = (struct callers_line){ .uid = uid };
	}
	return l;
}

/* Nobody's line goes, and those behind it move up, so that turns stay in order. */
static void
leave_line(struct callers *c, struct callers_line *l)
{
	size_t at = (size_t)(l - c->lines);

	if (l->clerks > 0 || l->waiting > 0)
		return;
	c->nlines--;
	memmove(l, l + 1, (c->nlines - at) * sizeof *l);
	if (c->turn > at)
		c->turn--;
}

static bool
has_room(const struct callers *c, const struct callers_line *l)
{
	return l->clerks < c->caps.clerks_uid && (l->uid == 0 || c->clerks < c->caps.clerks);
}

enum callers_place
callers_come(struct callers *c, int fd, uid_t uid, unsigned *others)
{
	struct callers_line *l = make_line(c, uid);
	struct caller *who;

	*others = l->waiting;
	if (l->waiting == 0 && has_room(c, l)) {
		leave_line(c, l);
		return CALLERS_NOW;
	}
	if (l->waiting >= c->caps.waiting_uid || (l->uid != 0 && c->waiting >= c->caps.waiting)) {
		leave_line(c, l);
		return CALLERS_TOO_MANY;
	}
	who = mem_alloc(sizeof *who);
	*who = (struct caller){ .fd = fd, .uid = uid };
	if (l->last != NULL)
		l->last->next = who;
	else
		l->first = who;
	l->last = who;
	l->waiting++;
	c->waiting++;
	return CALLERS_LATER;
}

static void
take_first(struct callers *c, struct callers_line *l, struct caller *who)
{
	struct caller *first = l->first;

	*who = *first;
	who->next = NULL;
	l->first = first->next;
	if (l->first == NULL)
		l->last = NULL;
	l->waiting--;
	c->waiting--;
	free(first);
}

bool
callers_next(struct callers *c, struct caller *who)
{
	for (size_t i = 0; i < c->nlines && c->waiting > 0; i++) {
		size_t at = (c->turn + i) % c->nlines;
		struct callers_line *l = &c->lines[at];

		if (l->waiting == 0 || !has_room(c, l))
			continue;
		c->turn = at + 1;
		take_first(c, l, who);
		leave_line(c, l);
		return true;
	}
	return false;
}

bool
callers_any(struct callers *c, struct caller *who)
{
	for (size_t i = 0; i < c->nlines; i++) {
		if (c->lines[i].waiting == 0)
			continue;
		take_first(c, &c->lines[i], who);
		return true;
	}
	return false;
}

static unsigned
sweep_line(struct callers_line *l, bool (*is_gone)(int fd))
{
	struct caller **at = &l->first, *last = NULL;
	unsigned gone = 0;

	while (*at != NULL) {
		struct caller *who = *at;

		if (!is_gone(who->fd)) {
			last = who;
			at = &who->next;
			continue;
		}
		*at = who->next;
		desk_hang_up(who->fd);
		free(who);
		gone++;
	}
	l->last = last;
	l->waiting -= gone;
	return gone;
}

unsigned
callers_sweep(struct callers *c, bool (*is_gone)(int fd))
{
	unsigned gone = 0;

	/* From behind: a line that goes moves only those behind it. */
	for (size_t i = c->nlines; i-- > 0; ) {
		gone += sweep_line(&c->lines[i], is_gone);
		leave_line(c, &c->lines[i]);
	}
	c->waiting -= gone;
	return gone;
}

void
callers_began(struct callers *c, pid_t pid, uid_t uid)
{
	c->list = mem_more(c->list, c->clerks, sizeof *c->list);
	c->list[c->clerks++] = (struct callers_clerk){ pid, uid };
	make_line(c, uid)->clerks++;
}

bool
callers_ended(struct callers *c, pid_t pid, uid_t *uid)
{
	for (unsigned i = 0; i < c->clerks; i++) {
		struct callers_line *l;

		if (c->list[i].pid != pid)
			continue;
		*uid = c->list[i].uid;
		c->list[i] = c->list[--c->clerks];
		l = make_line(c, *uid);
		l->clerks--;
		leave_line(c, l);
		return true;
	}
	return false;
}

bool
callers_tell(struct callers *c, uid_t uid)
{
	struct callers_line *l = find_line(c, uid);
	bool first = l == NULL || !l->told;

	if (l != NULL)
		l->told = true;
	return first;
}

pid_t
callers_clerk(const struct callers *c, size_t i)
{
	return c->list[i].pid;
}

void
callers_abandon(struct callers *c)
{
	for (size_t i = 0; i < c->nlines; i++)
		for (struct caller *who = c->lines[i].first; who != NULL; who = who->next)
			desk_hang_up(who->fd);
}

void
callers_free(struct callers *c)
{
	struct caller who;

	for (size_t i = 0; i < c->nlines; i++)
		while (c->lines[i].waiting > 0)
			take_first(c, &c->lines[i], &who);
	free(c->lines);
	free(c->list);
	*c = (struct callers){ .caps = c->caps };
}
