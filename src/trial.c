#include "trial.h"

#include "verdict.h"

#define WAIT 300                /* seconds for each answer (RFC 5321 section 4.5.3.2) */

/* The reply must be of that kind. */
static enum outcome
hear(struct smtp *s, bool yes, const char *to, unsigned which, struct why *why)
{
	char shown[300];
	enum outcome o = smtp_hear(s, WAIT, why);

	if (o != DONE || (yes ? reply_class(&s->reply) == 2 : reply_class(&s->reply) >= 4))
		return o;
	s->lost = true;
	reply_show(&s->reply, shown, sizeof shown);
	return later(why, SCOPE_SERVER, "", "with several on the way, %s of number %u was answered: %s",
	    to, which, shown);
}

enum outcome
trial_window(struct smtp *s, const char *from, unsigned depth, struct why *why)
{
	enum outcome o = DONE;

	if (!s->offers.pipelining || !s->offers.chunking)
		return later(why, SCOPE_SERVER, "", "the server does not offer %s, so pipeline-depth changes "
		    "nothing", s->offers.pipelining ? "CHUNKING" : "PIPELINING");
	for (unsigned i = 0; i < depth; i++)
		conn_putf(s->conn, "MAIL FROM:<%s>\r\nBDAT 0 LAST\r\nRSET\r\n", from);
	for (unsigned i = 1; i <= depth && o == DONE; i++) {
		if ((o = hear(s, true, "MAIL", i, why)) == DONE &&
		    (o = hear(s, false, "a text for nobody", i, why)) == DONE)
			o = hear(s, true, "RSET", i, why);
	}
	if (o == DONE && conn_has_surprise(s->conn)) {
		s->lost = true;
		o = later(why, SCOPE_SERVER, "", "behind the last of %u messages on the way the server had "
		    "more to say", depth);
	}
	return o;
}
