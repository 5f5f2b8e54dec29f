/* command: MAIL and RCPT, with what the server's current EHLO lets them say (RFC 5321
 * section 4.1.1, and the extensions' own).
 *
 * No parameter is said that was not offered.  An address is said as it is, in ASCII;
 * else in UTF-8, where SMTPUTF8 is offered; else with its domain as A-labels, where
 * its local part is ASCII (RFC 6531 section 3.3). */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdint.h>

#include "buf.h"
#include "dsn.h"
#include "envelope.h"
#include "offers.h"
#include "outcome.h"

/* What MAIL says of a message. */
struct command_mail {
	const char *from;       /* "" is the null sender */
	const struct wishes *wishes;
	int32_t by_left;        /* of a wish for a time, the seconds that are left */
	uint64_t size;          /* octets on the wire, dots not stuffed */
	bool eight_bit;
	bool smtputf8;          /* something of it can only be said so */
};

/* Each appends its line, CRLF included.  The addresses can be said. */
void command_mail(struct buf *out, const struct offers *o, const struct command_mail *m);
void command_rcpt(struct buf *out, const struct offers *o, const struct recipient *r);

/* As it is said to this server, appended to *out; false: it cannot be. */
bool command_address(struct buf *out, const struct offers *o, const char *address);
/* Is it all ASCII? */
bool command_is_ascii(const char *address);

/* Is something said that a message can do without, should the server refuse it though
 * it was offered?  SIZE, BODY and DSN; not SMTPUTF8 and the others, which mean more. */
bool command_has_spare_mail(const struct offers *o, const struct command_mail *m);
bool command_has_spare_rcpt(const struct offers *o, const struct recipient *r);
/* Is a refusal about a parameter: 555 (RFC 5321 section 4.1.1.11), or what servers from
 * before it say, told by the status code from all else that these may mean? */
bool command_is_spurned(int code, const char *status);

#endif
