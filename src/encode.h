/* encode: the text of a part, written so that it passes where it could not.
 *
 * Streams in constant memory; in and out, lines end in LF.  The last line end before
 * a delimiter belongs to the delimiter (RFC 2046 section 5.1.1): it is written, and
 * is no part of what is encoded. */
#ifndef ENCODE_H
#define ENCODE_H

#include "buf.h"

enum encoding {
	ENCODE_NONE,            /* as it is; CR and NUL become spaces */
	ENCODE_PRUNE,           /* what nobody reads: "?" for octets over 127, long lines cut */
	ENCODE_QP,              /* quoted-printable (RFC 2045 section 6.7) */
	ENCODE_BASE64,          /* a line end as CRLF (section 6.8) */
	ENCODE_MEND_QP,         /* is quoted-printable, with long lines or octets over 127 */
	ENCODE_MEND_BASE64,     /* is base64, in long lines */
};

struct encode {
	enum encoding how;      /* set before the first call; else zero is valid */
	/* private */
	unsigned column;
	unsigned held;
	bool owed;              /* a line end that may be a delimiter's */
	bool eight_bit;         /* ENCODE_PRUNE leaves octets over 127 */
	char hold[57];
};

void encode_feed(struct encode *e, struct str text, struct buf *out);
/* before_delimiter: else the text ends with the message.  e->how is then NONE. */
void encode_end(struct encode *e, bool before_delimiter, struct buf *out);

#endif
