#include "route.h"

#include <sysexits.h>

#include "codec.h"
#include "pattern.h"

static bool
fits(const char *patterns, struct str address)
{
	return patterns[0] == '\0' || pattern_matches_any(str_of(patterns), address);
}

/* Is this one of the account's, by patterns of its own? */
static bool
is_chosen(const struct smarthost *s, struct str sender, struct str recipient)
{
	if (sender.len == 0)
		return s->recipients[0] != '\0' && fits(s->recipients, recipient);
	return (s->senders[0] != '\0' || s->recipients[0] != '\0') && fits(s->senders, sender) &&
	    fits(s->recipients, recipient);
}

/* The default account.  With force-from nobody sees the sender. */
static bool
takes_sender(const struct smarthost *s, struct str sender)
{
	return sender.len == 0 || s->force_from || fits(s->senders, sender);
}

int
route_in_view(const struct config *view, const char *sender, const char *recipient, struct why *why)
{
	const struct smarthost *s = &view->smarthost;
	struct str from = str_of(sender), to = str_of(recipient);

	for (unsigned i = 1; i < config_accounts(view); i++)
		if (is_chosen(config_account(view, i), from, to))
			return (int)i;
	if (takes_sender(s, from) && fits(s->recipients, to))
		return 0;
	refuse(why, EX_NOPERM, "no account carries mail from %s to %s: see senders and recipients in %s",
	    from.len > 0 ? codec_show(from).p : "<>", codec_show(to).p, view->path);
	return -1;
}

int
route(const struct config *c, uid_t uid, const char *sender, const char *recipient, struct why *why)
{
	struct config view;
	unsigned own = config_view(c, uid, &view);
	int i = route_in_view(&view, sender, recipient, why);

	return i == 0 ? (int)own : i;
}

bool
route_takes_sender(const struct config *c, struct str sender)
{
	bool takes = takes_sender(&c->smarthost, sender);

	for (unsigned i = 1; !takes && i < config_accounts(c); i++) {
		const struct smarthost *s = config_account(c, i);

		takes = (s->senders[0] != '\0' || s->recipients[0] != '\0') && fits(s->senders, sender);
	}
	return takes;
}

void
route_put_senders(const struct config *c, struct buf *out)
{
	struct buf all = { 0 };

	for (unsigned i = 0; i < config_accounts(c); i++) {
		const struct smarthost *s = config_account(c, i);

		/* A named account without patterns is nobody's but by name. */
		if (i > 0 && s->senders[0] == '\0' && s->recipients[0] == '\0')
			continue;
		if (s->senders[0] == '\0') {
			buf_clear(&all);
			break;
		}
		buf_addf(&all, "%s%s", all.len > 0 ? " " : "", s->senders);
	}
	buf_addstr(out, buf_str(&all));
	buf_free(&all);
}
