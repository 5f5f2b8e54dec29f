/* smtpin: SMTP on standard input, for programs that speak it to a sendmail
 * (-bs), and the same without replies (-bS).
 *
 * A server's duties of RFC 5321 as far as one local client goes; 250 to the end
 * of a message means that it is durable.  A session whose first line ends in
 * CRLF has CRLF lines: then only CRLF "." CRLF ends a message, and a bare LF in
 * a text is a line end of that text and of nothing else, so that nobody's
 * message can hold another one.  A session whose first line ends in LF may use
 * both.  No AUTH: the caller is who the kernel says he is. */
#ifndef SMTPIN_H
#define SMTPIN_H

#include "outcome.h"
#include "submit.h"

#define SMTPIN_LINE_MAX 4096    /* octets of a command: RFC 5321 section 4.5.3.1.4 and
                                 * what our addresses and the extensions add */
#define SMTPIN_ERRORS_MAX 100   /* commands that are none, since the last message taken */

/* Speaks on in and out until QUIT or the end of input; c is open, and stays so.
 * DONE when the session ended in order, whatever was refused in it; else what ended
 * it:
 *   65  the input ended inside a transaction, of which nothing is queued
 *   74  in cannot be read, or nobody listens on out any more
 *   75  the client said nothing for five minutes (not in a batch)
 *   76  it has no idea of the protocol
 * batch: no replies; what was refused is told on stderr with its line, the rest is
 * queued all the same, and the first refusal is the outcome. */
enum outcome smtpin_serve(struct counter *c, int in, int out, bool batch, struct why *why);

#endif
