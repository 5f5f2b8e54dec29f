/* label: what the text of a part is like, how it is written so that it passes, and
 * what its header must say then (RFC 2045 sections 4 to 6). */
#ifndef LABEL_H
#define LABEL_H

#include <stdint.h>

#include "buf.h"
#include "encode.h"
#include "part.h"

/* What is known of a part when its last octet has been seen. */
struct label {
	uint64_t octets;        /* of its own text, without line ends */
	uint64_t odd;           /* those that quoted-printable has three for */
	bool own_eight;         /* octets over 127: in its own text, */
	bool eight;             /* and anywhere in it */
	bool long_line;         /* anywhere in it */
	bool not_utf8;
	bool utf8_header;       /* what is written of its header has octets over 127 */
	bool eight_left;        /* and what is written of its text */
	/* private */
	unsigned char left;     /* octets that a character still needs, */
	unsigned char low, high;        /* and the bounds of the next */
};

/* Counts text that may have to be encoded or labelled; ended: its line ends here. */
void label_count(struct label *l, struct str text, bool ended);

/* How the text is written; eight_bit: octets over 127 may stay. */
enum encoding label_encoding(const struct label *l, const struct part *p, bool eight_bit);
/* What Content-Transfer-Encoding must say; NULL where it may say what it does. */
const char *label_coding(const struct label *l, const struct part *p, bool eight_bit);
/* The fields that are added to its header, appended to *out: Content-Transfer-Encoding,
 * where that is not NULL, in place of the old; and what is missing. */
void label_put(const struct label *l, const struct part *p, bool eight_bit, bool is_message,
    struct buf *out);

#endif
