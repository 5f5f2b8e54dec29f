/* report: what a sender is told when a message cannot be delivered.
 *
 * Pure: facts in, a message out.  Its envelope sender is null, so that no
 * report is ever made about a report (RFC 5321 section 4.5.5), and it says
 * that no person wrote it (RFC 3834 section 5).  Everything foreign in it was
 * masked before it came here, and no line of it is longer than 998 octets. */
#ifndef REPORT_H
#define REPORT_H

#include <time.h>

#include "envelope.h"
#include "fate.h"

struct report {
	const struct envelope *envelope;        /* of the message that failed */
	const struct fate *fate;        /* recipients that are NEVER and not told */
	const char *id;                 /* the report's own */
	const char *from;               /* the account's address */
	const char *domain;             /* for Message-ID */
	time_t now;
	long offset;                    /* seconds east of UTC */
};

#define REPORT_NAMED_MAX 1000   /* recipients: more would make a notice that no server takes */

/* Appends the whole text of the report, canonical (LF).  Of a message that may go
 * by REQUIRETLS only it tells no addresses and no words of the server. */
void report_write(const struct report *r, struct buf *out);

#endif
