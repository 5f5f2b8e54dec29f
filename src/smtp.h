/* smtp: the submission dialogue, in the order it is spoken (RFC 5321, 6409).
 *
 * Everyone in it gets an answer: each recipient has an outcome of its own, and
 * whoever was never answered is LATER.  Commands are sent one at a time, or as
 * one group where the server's current EHLO offers PIPELINING (RFC 2920); every
 * reply is matched by count.  Waits are bounded by the limits of RFC 5321
 * section 4.5.3.2. */
#ifndef SMTP_H
#define SMTP_H

#include <stdint.h>

#include "buf.h"
#include "conn.h"
#include "envelope.h"
#include "outcome.h"
#include "reply.h"

/* What the current EHLO offers (RFC 5321 4.1.1.1). */
struct offers {
	bool starttls;
	bool pipelining;
	bool eight_bit;         /* 8BITMIME, RFC 6152 */
	bool dsn;               /* RFC 3461 */
	bool smtputf8;          /* RFC 6531 */
	bool requiretls;        /* RFC 8689 */
	bool size;              /* SIZE, RFC 1870 */
	uint64_t size_max;      /* 0: no limit told */
	struct buf auth;        /* mechanisms, separated by spaces */
};

struct smtp {
	struct conn *conn;      /* borrowed */
	struct offers offers;
	struct reply reply;
	const char *helo;       /* our name or address literal; borrowed */
	bool fresh;             /* no RSET is needed before the next MAIL */
	bool spurned;           /* a parameter was refused that the EHLO had offered */
	bool lost;              /* the dialogue is over: nothing more can be sent */
};
void smtp_free(struct smtp *s);

/* Greeting and EHLO.  LATER, scope SERVER, for all that is not a welcome. */
enum outcome smtp_greet(struct smtp *s, struct why *why);
enum outcome smtp_ehlo(struct smtp *s, struct why *why);
/* STARTTLS and the handshake; what was offered before is forgotten, and asked
 * again (RFC 3207 section 4.2).  Not offered is a failure: never without. */
enum outcome smtp_starttls(struct smtp *s, struct tls *tls, struct why *why);
/* AUTH with the mechanism asked for ("auto": the best of those offered).
 * LATER, scope ACCOUNT, for every refusal. */
enum outcome smtp_auth(struct smtp *s, const char *wanted, struct str user, struct str secret,
    struct why *why);

/* One message for some recipients. */
struct smtp_message {
	const char *from;       /* "" is the null sender */
	const struct recipient *to;
	size_t n;
	struct wishes wishes;   /* what is offered of them is asked for; REQUIRETLS that is
	                         * not is a failure (RFC 8689 section 4.2.1) */
	uint64_t size;          /* octets on the wire, dots not stuffed */
	struct str head;        /* sent in place of the first head_len octets of the text, */
	uint64_t head_len;      /* where that is not 0; the text counts these as before */
	bool eight_bit;
	int fd;                 /* the text at rest, from text_at, text_len octets, */
	off_t text_at;          /* whose CRC-32C is text_crc */
	uint64_t text_len;
	uint32_t text_crc;
	/* Asked once, before the final dot: may it be sent?  false ends the
	 * connection, and the message has not been sent. */
	bool (*may_end)(void *arg);
	void *arg;
	/* The answers; n of each, given by the caller, filled here. */
	enum outcome *outcome;
	struct why *why;
	bool damaged;           /* the text is not what was queued: nothing was sent */
	const char *damage;     /* and what is wrong with it */
};

/* After this every outcome stands.  s->lost tells whether another may follow.
 * Whoever is refused for a parameter that the server had offered and that can be
 * spared (SIZE, BODY, DSN) is asked for once more without, and the offer forgotten. */
void smtp_send(struct smtp *s, struct smtp_message *m);

/* QUIT; a few seconds' patience for the answer, whatever it is. */
void smtp_quit(struct smtp *s);

#endif
