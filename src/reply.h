/* reply: what an SMTP server answers, read without trust.
 *
 * RFC 5321 section 4.2: three digits, then space, '-' or nothing.  Fed octets
 * as they come, in any pieces; the same octets give the same reply however
 * they were cut.  Bounded: REPLY_LINE_MAX octets of a line and REPLY_TEXT_MAX
 * of the whole count and the rest is dropped; REPLY_LINES_MAX lines a reply.
 * A reply that is not one is a protocol error and the end of the connection,
 * never a crash. */
#ifndef REPLY_H
#define REPLY_H

#include "buf.h"

#define REPLY_LINE_MAX 12288    /* RFC 5321 section 4.5.3.1.5 asks for 512; a challenge of AUTH
                                 * may have that many (RFC 4954 section 4) */
#define REPLY_TEXT_MAX 65536
#define REPLY_LINES_MAX 256

enum reply_state {
	REPLY_MORE,             /* feed more */
	REPLY_WHOLE,            /* one reply is there; octets behind it were not taken */
	REPLY_BROKEN,           /* not SMTP; reply.broken says why; stays so until reset */
};

struct reply {
	int code;               /* 200 to 599; settled when WHOLE, 0 when BROKEN */
	char status[12];        /* enhanced status code of the last line that has one whose
	                         * class agrees with the code (RFC 3463, 2034 section 4); or "" */
	struct buf text;        /* all lines without code, joined by LF; raw, to be masked */
	const char *broken;     /* why, in our words; NULL while all is well */
	/* private */
	struct buf line;
	unsigned lines;
	bool ended;
};

/* Takes octets up to the end of one reply; *used says how many.  After WHOLE
 * comes reply_reset before the next. */
enum reply_state reply_feed(struct reply *r, struct str in, size_t *used);
/* Ready for the next one; keeps the memory. */
void reply_reset(struct reply *r);
void reply_free(struct reply *r);
int reply_class(const struct reply *r);         /* the first digit */
/* Puts "[hidden]" wherever the text says that word, one of eight octets or more; what
 * was there is wiped. */
void reply_hide(struct reply *r, struct str word);
/* "250 2.1.0 text", masked, on one line, cut to size: for logs and people.
 * Of a broken reply: why it is broken. */
void reply_show(const struct reply *r, char *out, size_t size);

#endif
