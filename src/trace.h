/* trace: the dialogue about a message, written down for somebody who looks on.
 *
 * Whoever wants to see it makes <spool>/trace/<id> before the message is let go
 * of, and has its lock for as long as he looks.  The runner opens that file for
 * each job and hands it to the courier, who writes a line for each line:
 *
 *	<<< 250-SIZE 104857600          what the server said
 *	>>> AUTH PLAIN [hidden]         what we said; neither secrets nor text
 *	--- encrypted with TLS 1.3      what was done without words
 *
 * All of it is masked, and bounded.  Where nobody looks there is no file; a file whose
 * lock can be had has no reader any more, and is removed by whoever finds it.  The last
 * lines are kept in memory as well, to be told of a message that is not done. */
#ifndef TRACE_H
#define TRACE_H

#include <stdint.h>

#include "buf.h"
#include "reply.h"
#include "spool.h"

#define TRACE_MAX (256u << 10)          /* octets of a file */
#define TRACE_KEPT_MAX (16u << 10)      /* octets kept of a dialogue */

/* ---- who looks on ---- */

/* Makes the file: open for reading, and locked.  -1 with errno. */
int trace_make(const struct spool *s, const char *id);
/* Its path, for inotify; appended to *out. */
void trace_path(const struct spool *s, const char *id, struct buf *out);
/* Its name goes; closing the descriptor is the caller's. */
void trace_remove(const struct spool *s, const char *id);

/* ---- the runner ---- */

/* For appending, or -1: nobody looks. */
int trace_open(const struct spool *s, const char *id);
/* A line for everybody who looks on. */
void trace_tell_all(const struct spool *s, struct str words);
/* Removes what nobody looks at any more. */
void trace_sweep(const struct spool *s);

/* ---- the courier ---- */

/* The lines about one message, or about a connection's opening; the last of them are
 * kept.  Zero is valid, and writes nothing down. */
struct trace {
	bool on;
	struct buf kept;
	bool cut;               /* the first lines of it had to go */
	bool watched;           /* somebody looks on */
	int fd;                 /* and sees it here */
	uint64_t left;          /* octets that may still be written there */
	struct buf line;        /* what we say, until its line ends */
	void (*tell)(void *arg, struct str line);       /* NULL, or who hears each line at once */
	void *arg;
};
void trace_free(struct trace *t);

/* A job begins, on a connection with that opening.  fd becomes ours; -1: nobody looks.
 * shown: who looks has seen the opening already, with another job of that message. */
void trace_begin(struct trace *t, const struct trace *opening, int fd, bool shown);

/* Each costs nothing while t is not on, or NULL.  said: in any pieces, by
 * lines. */
bool trace_is_on(const struct trace *t);
void trace_said(struct trace *t, struct str octets);
void trace_heard(struct trace *t, const struct reply *r);
/* A whole line, with its mark; masked. */
void trace_note(struct trace *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void trace_notev(struct trace *t, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

#endif
