/* adapt: what the door demands of a text, as a streaming filter.
 *
 * In: the text at rest (lines end in LF).  Out: the text on the wire for DATA:
 * every line ends in CRLF, a line that begins with a dot gets another (RFC 5321
 * section 4.5.2), the last line is ended.  A CR that is not part of a line end
 * and a NUL become a space, so that no server can see a line end where we saw
 * none: whatever lies in the queue, nothing can be smuggled (RFC 5321 2.3.8). */
#ifndef ADAPT_H
#define ADAPT_H

#include "buf.h"

struct adapt {
	/* private */
	bool mid_line;
	bool held_cr;           /* a CR whose next octet has not come yet */
};

/* Appends to *out; any pieces give the same octets. */
void adapt_feed(struct adapt *a, struct str text, struct buf *out);
/* Ends the last line.  The final dot is the dialogue's, not ours. */
void adapt_end(struct adapt *a, struct buf *out);

#endif
