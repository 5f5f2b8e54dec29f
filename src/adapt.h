/* adapt: what the door demands of a text, as a streaming filter.
 *
 * In: the text at rest (lines end in LF).  Out: the text on the wire for DATA:
 * every line ends in CRLF, a line that begins with a dot gets another (RFC 5321
 * section 4.5.2), the last line is ended.  A CR that is not part of a line end
 * and a NUL become a space, so that no server can see a line end where we saw
 * none: whatever lies in the queue, nothing can be smuggled (RFC 5321 2.3.8).
 *
 * Where terms.plain is set, that is all, and one run does it:
 *
 *	adapt_feed ...  adapt_end
 *
 * Else the text is read as a message (see mime.h), and what this server does not
 * take is encoded: that cannot be known of a part before its last octet, nor its
 * header be changed after.  So the text is run through until all is known, once
 * or twice, and then as often as it is sent:
 *
 *	do
 *		adapt_feed ...  adapt_end       nothing is written; NEVER comes here
 *	while (!adapt_rewind(a));
 *	adapt_feed ...  adapt_end               writes
 *
 * Constant memory: a header, a line's beginning, and a few octets for each part. */
#ifndef ADAPT_H
#define ADAPT_H

#include <stdint.h>

#include "buf.h"
#include "mime.h"
#include "outcome.h"

/* What this server and this message allow. */
struct adapt_terms {
	bool eight_bit;         /* 8BITMIME is offered: octets over 127 may go as they are, in
	                         * a message that is MIME (RFC 6152) */
	bool utf8_header;       /* SMTPUTF8 is offered and asked for: headers may be UTF-8 */
	bool no_dots;           /* for BDAT: dots are not stuffed (RFC 3030) */
	bool plain;             /* the text is known to need nothing but line ends: 7-bit, and no
	                         * line over ADAPT_LINE_MAX; nothing is looked at */
	/* A domain as A-labels, appended to *out; false where it has none.  NULL: none has. */
	bool (*to_ascii)(struct str domain, struct buf *out);
};

#define ADAPT_LINE_MAX MIME_LINE_MAX

struct adapt {
	struct adapt_terms terms;       /* set before the first call; else zero is valid */
	/* private */
	bool mid_line;
	bool held_cr;           /* a CR whose next octet has not come yet */
	bool ended;             /* the run */
	bool known;             /* all is: this run writes */
	uint64_t count, dots;   /* of this run */
	uint64_t size;
	struct mime mime;
	struct buf text, wire;
};

/* Appends to *out; any pieces give the same octets.  NEVER, scope MESSAGE, 5.6.x, for
 * what can neither pass as it is nor be changed (it is signed): as soon as that is
 * seen, which may be late; who must know before runs it once and throws it away. */
enum outcome adapt_feed(struct adapt *a, struct str text, struct buf *out, struct why *why);
/* Ends the last line.  The final dot is the dialogue's, not ours. */
enum outcome adapt_end(struct adapt *a, struct buf *out, struct why *why);
/* After adapt_end, or to begin again in the middle.  Is all known, so that the next
 * run writes? */
bool adapt_rewind(struct adapt *a);
/* Octets of the last run that went to its end, dots not stuffed: after the look, what
 * SIZE= says (RFC 1870 section 3). */
uint64_t adapt_size(const struct adapt *a);
/* Has what came out an octet over 127?  Then it goes with BODY=8BITMIME. */
bool adapt_is_eight_bit(const struct adapt *a);
/* Is there one in a header?  Then it goes with SMTPUTF8 (RFC 6531 section 3.4). */
bool adapt_has_utf8_header(const struct adapt *a);
void adapt_free(struct adapt *a);

#endif
