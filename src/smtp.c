#include "smtp.h"

#include <stdio.h>
#include <string.h>

#include "verdict.h"

/* Seconds to wait for an answer (RFC 5321 section 4.5.3.2). */
enum {
	WAIT_GREETING = 300,    /* .1: at least this */
	WAIT_EHLO = 300,
	WAIT_HANDSHAKE = 60,
	WAIT_QUIT = 5,          /* its answer changes nothing */
};

void
smtp_free(struct smtp *s)
{
	reply_free(&s->reply);
	offers_free(&s->offers);
	*s = (struct smtp){ 0 };
}

enum outcome
smtp_hear(struct smtp *s, double seconds, struct why *why)
{
	enum outcome o = conn_reply(s->conn, &s->reply, seconds, why);

	if (o != DONE || s->reply.code == 421)
		s->lost = true;
	return o;
}

enum outcome
smtp_hear_alone(struct smtp *s, double seconds, struct why *why)
{
	enum outcome o = smtp_hear(s, seconds, why);

	if (o != DONE || s->conn->in.len == 0 || reply_class(&s->reply) >= 4)
		return o;
	s->lost = true;
	return later(why, SCOPE_SERVER, "4.5.0", "the server gave an answer that it was not asked for");
}

/* A reply that must be 2yz; anything else gets its verdict.  What stands behind the one to
 * STARTTLS is conn_start_tls's to see. */
static enum outcome
hear_yes(struct smtp *s, enum phase phase, double seconds, struct why *why)
{
	enum outcome o = phase == PHASE_STARTTLS ? smtp_hear(s, seconds, why) :
	    smtp_hear_alone(s, seconds, why);

	if (o != DONE)
		return o;
	return reply_class(&s->reply) == 2 ? DONE : verdict_of(phase, &s->reply, NULL, 0, why);
}

enum outcome
smtp_greet(struct smtp *s, struct why *why)
{
	enum outcome o = hear_yes(s, PHASE_GREETING, WAIT_GREETING, why);
	size_t len;

	if (o == DONE)
		return smtp_ehlo(s, why);
	/* It may wait for our first octet as we do for its. */
	if (why->code == 0 && s->reply.broken == NULL && s->conn->tls == NULL) {
		len = strlen(why->text);
		snprintf(why->text + len, sizeof why->text - len, "; check port and tls "
		    "(587: starttls, 465: implicit)");
	}
	return o;
}

void
smtp_take_offers(struct smtp *s)
{
	struct offers *o = &s->offers;

	offers_read(o, buf_str(&s->reply.text));
	if (s->no_spare)
		o->size = o->eight_bit = o->dsn = false;
	if (s->no_chunks)
		o->chunking = false;
}

/* Does the answer mean that EHLO is not known, and not that we are not wanted? */
static bool
knows_no_ehlo(const struct smtp *s)
{
	int code = s->reply.code;

	return reply_class(&s->reply) == 5 && code != 521 && code != 550 && code != 554;
}

enum outcome
smtp_ehlo(struct smtp *s, struct why *why)
{
	enum outcome o;

	offers_free(&s->offers);
	conn_putf(s->conn, "EHLO %s\r\n", s->helo);
	o = hear_yes(s, PHASE_EHLO, WAIT_EHLO, why);
	if (o == DONE) {
		smtp_take_offers(s);
	} else if (s->may_helo && !s->lost && knows_no_ehlo(s)) {
		conn_putf(s->conn, "HELO %s\r\n", s->helo);
		o = hear_yes(s, PHASE_EHLO, WAIT_EHLO, why);
	}
	return o;
}

enum outcome
smtp_starttls(struct smtp *s, struct tls *tls, struct why *why)
{
	enum outcome o;

	if (!s->offers.starttls)
		return later(why, SCOPE_SERVER, "4.7.10", "the server offers no encryption (STARTTLS); "
		    "nothing was sent; if the provider uses port 465, set port = 465");
	conn_put(s->conn, STR("STARTTLS\r\n"));
	if ((o = hear_yes(s, PHASE_STARTTLS, WAIT_EHLO, why)) != DONE)
		return o;
	/* RFC 3207 section 4: what else is positive says nothing of TLS. */
	if (s->reply.code != 220)
		return later(why, SCOPE_SERVER, "4.7.0", "STARTTLS answered: %d, and only 220 begins it; "
		    "nothing was sent; ask the provider", s->reply.code);
	if ((o = conn_start_tls(s->conn, tls, WAIT_HANDSHAKE, why)) != DONE) {
		s->lost = true;
		return o;
	}
	return smtp_ehlo(s, why);
}

void
smtp_quit(struct smtp *s)
{
	struct why ignored;

	if (s->lost || s->conn == NULL || s->conn->fd < 0)
		return;
	conn_put(s->conn, STR("QUIT\r\n"));
	conn_reply(s->conn, &s->reply, WAIT_QUIT, &ignored);
	s->lost = true;
}
