/* smtp: a session with a submission server, up to the point where mail can be sent
 * (RFC 5321, 6409): greeting, EHLO, STARTTLS, and QUIT.
 *
 * What follows a login is said by dialogue.h.  Waits are bounded by the limits of RFC
 * 5321 section 4.5.3.2. */
#ifndef SMTP_H
#define SMTP_H

#include "buf.h"
#include "conn.h"
#include "offers.h"
#include "outcome.h"
#include "reply.h"

struct smtp {
	struct conn *conn;      /* borrowed */
	struct offers offers;   /* of the current EHLO, without what was offered in vain */
	struct reply reply;
	const char *helo;       /* our name or address literal; borrowed */
	bool may_helo;          /* a server without EHLO will do: neither TLS nor a login is
	                         * wanted (RFC 5321 section 3.2) */
	bool no_spare;          /* SIZE, 8BITMIME or DSN was offered, and then refused */
	bool no_chunks;         /* and so was CHUNKING */
	bool lost;              /* nothing more can be said */
};
void smtp_free(struct smtp *s);

/* Greeting and EHLO.  LATER, scope SERVER, for all that is not a welcome. */
enum outcome smtp_greet(struct smtp *s, struct why *why);
enum outcome smtp_ehlo(struct smtp *s, struct why *why);
/* STARTTLS and the handshake; what was offered before is forgotten, and asked
 * again (RFC 3207 section 4.2).  Not offered is a failure: never without. */
enum outcome smtp_starttls(struct smtp *s, struct tls *tls, struct why *why);
/* One reply, after what was put is written.  After a failure, and after a 421,
 * nothing more can be said (s->lost). */
enum outcome smtp_hear(struct smtp *s, double seconds, struct why *why);
/* The same where nothing else was asked: what is here behind a yes would be taken for the
 * answer to the next question, so that is the end.  A no may have a goodbye behind it. */
enum outcome smtp_hear_alone(struct smtp *s, double seconds, struct why *why);
/* s->reply answers EHLO: what it offers. */
void smtp_take_offers(struct smtp *s);

/* QUIT; a few seconds' patience for the answer, whatever it is. */
void smtp_quit(struct smtp *s);

#endif
