/* sasl: picks a mechanism and answers challenges (RFC 4422, 4954).  The only
 * file that includes <gsasl.h>. */
#ifndef SASL_H
#define SASL_H

#include "buf.h"
#include "outcome.h"

struct sasl;

/* What a person may ask for in the ini, and what "auto" tries, best first.
 * offered: the words behind AUTH in the current EHLO, separated by spaces.
 * wanted: "auto" or a mechanism's name without case.  Answers the mechanism's
 * name, or NULL with *why (scope ACCOUNT): it names what was offered. */
const char *sasl_pick(struct str offered, const char *wanted, struct why *why);
/* Is this word one that the ini may name?  "auto" and "none" are not asked here. */
bool sasl_knows(const char *mechanism);

/* user and secret are borrowed until sasl_free, which wipes the library's
 * copies.  LATER, scope ACCOUNT, where the library cannot. */
enum outcome sasl_start(struct sasl **s, const char *mechanism, struct str user,
    struct str secret, struct why *why);
/* Does the mechanism speak first (RFC 4422 section 5: initial response)? */
bool sasl_speaks_first(const struct sasl *s);
/* Is the content of the next challenge of no matter, even where it is no
 * base64?  True for the first one of PLAIN and LOGIN. */
bool sasl_ignores_challenge(const struct sasl *s);
/* One step.  challenge: decoded from base64; ignored for PLAIN and LOGIN, whose
 * first challenge some servers fill with words (Mailgun, Yahoo).  *response is
 * raw octets, to be encoded and wiped by the caller.  LATER, scope ACCOUNT,
 * when the exchange cannot go on: the caller then cancels with "*". */
enum outcome sasl_step(struct sasl *s, struct str challenge, struct buf *response, struct why *why);
/* True when we need nothing more from the server (its proof, where the
 * mechanism has one, was checked): only then does a 235 count. */
bool sasl_is_done(const struct sasl *s);
void sasl_free(struct sasl **s);

#endif
