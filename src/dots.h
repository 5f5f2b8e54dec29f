/* dots: the text of DATA without the dots that SMTP put in, up to its end (RFC
 * 5321 sections 4.1.1.4 and 4.5.2).
 *
 * A line begins behind CRLF, and in a dialogue of LF behind LF too.  So where
 * lines end in CRLF, no text with a bare LF or CR in it ends before CRLF "."
 * CRLF, or loses a dot that does not stand behind CRLF: what one server takes for
 * the end of a message and another does not is how mail is forged inside mail.
 * The same octets give the same text however they were cut. */
#ifndef DOTS_H
#define DOTS_H

#include "buf.h"

/* Zero is the beginning of a text. */
struct dots {
	bool lf;                /* set by the owner: a line may end in LF alone */
	bool ended;
	/* private */
	enum {
		DOTS_LINE_START,        /* a dot may be more than a dot here */
		DOTS_DOT,               /* it was one, and is held back */
		DOTS_DOT_CR,            /* and so is the CR behind it */
		DOTS_MID_LINE,
		DOTS_CR,                /* with LF that is a line end */
	} place;
};

/* Appends to *out, line ends as they came.  Answers how much of `in` was the
 * text's: all, or up to behind its end. */
size_t dots_feed(struct dots *d, struct str in, struct buf *out);

#endif
