#include "users.h"

#include <stdlib.h>

#include "keys.h"
#include "person.h"

static void __attribute__((format(printf, 4, 5)))
tell(struct config *c, bool error, struct place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(c, error, at, fmt, ap);
	va_end(ap);
}

static char *
dup_given(const struct part *u, enum key_id id, const char *value)
{
	return u->given[id].line > 0 ? mem_dup(str_of(value)) : NULL;
}

/* The keys of a user, who is there. */
static void
add_user(struct config *c, const struct part *u, uid_t uid)
{
	const struct config *v = u->values;

	c->users = mem_grow(c->users, c->nusers + 1, sizeof c->users[0]);
	c->users[c->nusers++] = (struct user_keys){
		.login = mem_dup(str_of(u->name)), .uid = uid,
		.smarthost = dup_given(u, KEY_USER_ACCOUNT, v->smarthost.name),
		.from = dup_given(u, KEY_FROM, v->smarthost.from),
		.senders = dup_given(u, KEY_SENDERS, v->smarthost.senders),
		.from_header = v->smarthost.from_header,
		.says_from = u->given[KEY_FROM].line > 0,
		.domain = dup_given(u, KEY_DOMAIN, v->domain),
		.hostname = dup_given(u, KEY_HOSTNAME, v->hostname),
		.aliases = dup_given(u, KEY_ALIASES, v->aliases),
		.root = dup_given(u, KEY_ROOT, v->root),
		.received = u->given[KEY_RECEIVED].line > 0 ? v->received : -1,
		.rewrite_to = u->given[KEY_REWRITE_TO].line > 0 ? v->rewrite_to : -1,
	};
}

const struct user_keys *
users_find(const struct config *c, uid_t uid)
{
	for (unsigned i = 0; i < c->nusers; i++)
		if (c->users[i].uid == uid)
			return &c->users[i];
	return NULL;
}

void
users_settle(struct reading *r)
{
	for (unsigned i = 0; i < r->nusers; i++) {
		const struct part *u = &r->users[i];
		struct person p;

		if (u->given[KEY_USER_ACCOUNT].line > 0 &&
		    config_account_named(r->c, str_of(u->values->smarthost.name)) == NULL)
			tell(r->c, true, u->given[KEY_USER_ACCOUNT], "smarthost names no account; write it as "
			    "its section does, [smarthost NAME]");
		if (!person_by_login(str_of(u->name), &p))
			tell(r->c, false, u->at, "this machine has no such login, section ignored");
		else if (p.uid == person_unknown_uid())
			tell(r->c, false, u->at, "uid %u is that of all callers who have none on this machine, "
			    "as in a container, section ignored", (unsigned)p.uid);
		else if (users_find(r->c, p.uid) != NULL)
			tell(r->c, false, u->at, "uid %u has another section [user NAME] already, this one "
			    "is ignored", (unsigned)p.uid);
		else
			add_user(r->c, u, p.uid);
		person_free(&p);
	}
}

void
users_free(struct config *c)
{
	for (unsigned i = 0; i < c->nusers; i++) {
		struct user_keys *u = &c->users[i];
		char *texts[] = { u->login, u->smarthost, u->from, u->senders, u->domain, u->hostname, u->aliases,
			u->root };

		for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++)
			free(texts[j]);
	}
	free(c->users);
	c->users = NULL;
	c->nusers = 0;
}
