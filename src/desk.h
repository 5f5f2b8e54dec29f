/* desk: the words between a caller's program and the service's clerk, both ends
 * side by side.
 *
 * A Unix stream socket.  Everything on it is a frame: one octet that says what
 * kind it is, three octets of length (the most significant first, at most
 * DESK_FRAME_MAX), and that many octets.  Nothing in it is ever a path, a command
 * or a descriptor; who the caller is, the kernel says.
 *
 *	service   h  "subpost 1\n", then the settings that hold for this caller
 *	             (settings.h), unasked, as soon as the connection is taken
 *	caller    h  "subpost 1", once, before anything else of its own
 *
 * then any number of messages and questions, one after the other:
 *
 *	caller    e  a piece of the envelope, in the words of the queue file
 *	             (envelope.h); its id, time and uid do not count
 *	          t  a piece of the text
 *	          z  the end of the message, said and not guessed; with it "" or
 *	             "wait SECONDS" or "wait SECONDS dialogue"
 *	service   a  the answer: "OUTCOME EXIT ID TEXT", ID "-" where there is none,
 *	             TEXT escaped (codec.h).  "done": it is on disk
 *	          s  and where "wait" was said: the dialogue, line by line, for stderr,
 *	          a  and a second answer, when the outcome is known or the time over
 *
 *	caller    v  a question: a verb and its words, a line each (verbs.h)
 *	service   o  what is to be printed, in any pieces
 *	          a  the answer
 *
 *	caller    d  what was begun is dropped; no answer
 *
 * After a refusal of a message what still comes of it, up to its z or d, is read
 * and not looked at.  Whatever else comes, or in another order, ends the
 * connection, with a reason in the log (of one uid so many a minute, usage.h) and,
 * where it can be written, an answer. */
#ifndef DESK_H
#define DESK_H

#include <stdio.h>
#include <sys/types.h>

#include "buf.h"
#include "envelope.h"
#include "outcome.h"

#define DESK_HELLO_TEXT "subpost 1"
#define DESK_FRAME_MAX 65536            /* octets of one frame, its four not counted */
#define DESK_WORDS_MAX 4096             /* of one question, which must fit into one frame */
#define DESK_CONNECT_TIME 2             /* seconds until somebody must have taken the call */
#define DESK_HELLO_TIME 60              /* seconds until he must have said hello */

enum desk_kind {
	DESK_HELLO = 'h',
	/* the caller's */
	DESK_ENVELOPE = 'e', DESK_TEXT = 't', DESK_END = 'z', DESK_DROP = 'd', DESK_VERB = 'v',
	/* the service's */
	DESK_ANSWER = 'a', DESK_OUT = 'o', DESK_SHOWN = 's',
};

/* One end of a connection.  Zero but for fd = -1 (DESK_INIT) is none. */
struct desk {
	int fd;
	/* private: what was read and not yet looked at */
	struct buf in;
	size_t used;
	size_t owed;            /* octets of our hello that are still to be said */
};
#define DESK_INIT { .fd = -1 }
void desk_close(struct desk *d);

enum desk_got {
	DESK_FRAME,
	DESK_CLOSED,            /* the other end is gone, at the end of a frame or in one */
	DESK_SILENT,            /* nothing came in time */
	DESK_BROKEN,            /* no frame of ours: too long, or of an unknown kind */
};

struct desk_frame {
	enum desk_kind kind;
	struct str text;        /* valid until the next desk_read or desk_has_news */
};

/* One frame.  ms: how long the next octets may take, each time; -1: for ever.
 * Descriptors that come along are closed by the kernel, unseen. */
enum desk_got desk_read(struct desk *d, int ms, struct desk_frame *f);
/* Has a frame begun that is not whole? */
bool desk_is_amid(const struct desk *d);
/* Is a whole frame here already, or the end?  Nothing is waited for. */
bool desk_has_news(struct desk *d);

/* Has the other end hung up?  What it may have written before is not looked at. */
bool desk_is_gone(int fd);

/* Writes a frame; a text over DESK_FRAME_MAX goes as several.  Blocks as long as
 * the socket does (SO_SNDTIMEO).  False with errno when the other end is gone or
 * takes nothing. */
bool desk_write(int fd, enum desk_kind kind, struct str text);

/* The same for who gathers frames and sends them at once: what desk_write would
 * write, appended to *out; and the head alone, for a frame of n octets that lies
 * behind it. */
#define DESK_HEAD 4
void desk_put(struct buf *out, enum desk_kind kind, struct str text);
void desk_put_head(char head[DESK_HEAD], enum desk_kind kind, size_t n);

/* ---- the caller's end ---- */

/* Connects within DESK_CONNECT_TIME (blocking, by SO_SNDTIMEO: a full backlog
 * cannot be polled).  LATER, 75, with a sentence that names the socket and the
 * unit to start; errno says why. */
enum outcome desk_connect(struct desk *d, const char *path, struct why *why);
/* Takes the service's hello; ours goes out with the first that desk_push sends, since it
 * says nothing that a clerk should be woken for.  *settings: the service's, to be freed.
 * LATER where there is none in DESK_HELLO_TIME, where the service is busy, or
 * speaks another version. */
enum outcome desk_greet(struct desk *d, const char *path, struct buf *settings, struct why *why);
/* Sends some of these octets, which are frames of a caller's: how many, 0 too; -1 with
 * errno when the other end is gone or takes nothing. */
ssize_t desk_push(struct desk *d, struct str octets);
/* The next answer; o and s frames before it go to out and shown.  id: of
 * ENVELOPE_ID_LEN + 1 octets, "" where the answer has none; may be NULL.  Waits as
 * long as it takes: a slow disk is no reason for a second copy.  LATER (75) where
 * the service ends before it has answered, or says what is none; in
 * these cases, and no other, *d is closed. */
enum outcome desk_await(struct desk *d, FILE *out, FILE *shown, char *id, struct why *why);

/* ---- the service's ---- */

/* From here on nobody who calls at this listening socket can pass descriptors, where
 * the kernel can refuse them (Linux 6.16). */
void desk_shield(int listener);
/* Closes a connection of which nothing may have been read.  Among that may be
 * descriptors, and with the last one of a TCP connection that lingers whoever closes
 * it would wait for as long as the caller has chosen; we do not. */
void desk_hang_up(int fd);

/* ---- the clerk's ---- */

/* "subpost 1": false for any other version, or none. */
bool desk_is_hello(struct str text);
/* The words of a question, in *words (NULL behind the last), which point into
 * *room; both freed by the caller.  False for no words, too many, or control
 * octets in one. */
bool desk_read_words(struct str text, struct buf *room, char ***words);
/* What stands behind a message's end.  False for anything else. */
bool desk_read_end(struct str text, long *wait, bool *dialogue);
/* id "" is none. */
bool desk_answer(int fd, enum outcome o, const char *id, const struct why *why);

#endif
