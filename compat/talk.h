/* talk: a dialogue on two descriptors: lines and octets in, replies out.
 *
 * Replies are gathered, and written when no more input is here.  A client that
 * pipelines may write all it has before it reads anything, so its words are
 * taken in while it does not listen, up to TALK_OWED_MAX octets of replies.
 *
 * The first line decides how lines end: in CRLF, and then nothing else ends one,
 * or in LF, and then CRLF does as well. */
#ifndef TALK_H
#define TALK_H

#include "buf.h"
#include "outcome.h"

#define TALK_OWED_MAX (1u << 20)

struct talk {
	int in, out;            /* set by the owner, who closes them */
	int patience;           /* milliseconds of silence, or of not listening; -1: for ever */
	size_t line_max;        /* octets of a line, its end included */
	bool crlf;              /* lines end in CRLF alone; known after the first one */
	size_t lines;           /* LF so far */
	bool over;              /* nothing comes any more */
	enum outcome outcome;   /* and then: DONE, the input has ended; else what broke */
	struct why why;
	/* private */
	bool decided;
	struct buf raw;         /* as read; the first `used` octets are done with */
	size_t used;
	struct buf owed;        /* replies not yet written */
};
void talk_free(struct talk *t);

/* What has come and was not used.  Where nothing is here it writes what is owed
 * and waits; false when it is over. */
bool talk_hear(struct talk *t, struct str *input);
void talk_use(struct talk *t, size_t octets);

enum heard {
	HEARD_NOTHING,          /* it is over */
	HEARD_LINE,
	HEARD_NOISE,            /* too long, or with NUL, CR or LF inside: only its first
	                         * line_max octets are there */
};
/* The next line without its end.  What comes behind the last one is none. */
enum heard talk_line(struct talk *t, struct buf *line);

/* Adds to what is owed; in full lines, with CRLF. */
void talk_say(struct talk *t, struct str reply);
/* Writes what can be written without waiting. */
void talk_push(struct talk *t);
/* Writes all, as long as the other side listens. */
void talk_flush(struct talk *t);

#endif
