#include "carriers.h"

#include <stdio.h>

#include "address.h"
#include "route.h"

void
carriers_load(struct carriers *k, const struct spool *s, const struct config *c,
    const struct asker *who)
{
	struct buf text = { 0 };

	k->config = c;
	for (unsigned i = 0; i < config_accounts(c); i++) {
		struct health *h = &k->v[i];

		health_load(s, config_account(c, i)->name, h);
		if (who->all)
			continue;
		buf_clear(&text);
		address_hide(str_of(h->why.text), &text);
		snprintf(h->why.text, sizeof h->why.text, "%s", buf_c(&text));
	}
	buf_free(&text);
}

bool
carriers_are_theirs(const struct carriers *k, const struct asker *who, unsigned account)
{
	struct config view;
	unsigned own;

	if (who->all)
		return true;
	own = config_view(k->config, who->uid, &view);
	return account == own || (account > 0 && view.nmore > 0);
}

int
carriers_of(const struct carriers *k, const struct letter *l, size_t recipient)
{
	struct why why;

	return route(k->config, l->envelope.uid, l->envelope.from, l->envelope.to[recipient].address,
	    &why);
}

/* Who carries the mail of an account that is down for its server's trouble. */
static unsigned
stand_in(const struct carriers *k, unsigned account)
{
	const struct config *c = k->config;
	unsigned at = account;

	for (unsigned i = 0; i < config_accounts(c) && k->v[at].down; i++) {
		const struct smarthost *next = config_account_named(c,
		    str_of(config_account(c, at)->fallback));

		if (next == NULL || k->v[at].why.scope != SCOPE_SERVER)
			break;
		for (at = 0; config_account(c, at) != next; at++)
			;
	}
	return k->v[at].down ? account : at;
}

int
carriers_keep(const struct carriers *k, const struct letter *l)
{
	int first = -1;

	for (size_t i = 0; i < l->fate.n; i++) {
		int way = l->fate.to[i].outcome == LATER ? carriers_of(k, l, i) : -1;

		if (way < 0)
			continue;
		way = (int)stand_in(k, (unsigned)way);
		if (!k->v[way].down)
			return -1;
		if (first < 0 || k->v[way].until < k->v[first].until)
			first = way;
	}
	return first;
}
