/* errand: the words between runner and courier, both ends side by side.
 *
 * A socketpair of type SOCK_SEQPACKET: every record arrives whole or not at
 * all, and a closed end is seen at once.  The runner's records:
 *
 *   job ID N,N-N,...     deliver to these recipients; the message file, locked,
 *                        comes with it as a descriptor, and a second one where
 *                        somebody looks on: the dialogue is written there (trace.h)
 *   noted ID             what you said of it is on disk; go on
 *   quit                 say QUIT and leave
 *
 * and the courier's, who can only report:
 *
 *   ready                connected, encrypted, authenticated
 *   to ID N OUTCOME SCOPE CODE STATUS TEXT     one recipient's answer
 *   end ID               the transaction is over; who was not named is LATER
 *   hold ID TEXT         the message itself is not whole: a person must look
 *   down OUTCOME SCOPE CODE STATUS TEXT        the account cannot be used now
 *   step MS TEXT         for `subpost check`: what worked, and how long it took
 *   note TEXT            for the log
 *
 * The courier does not send another message's final dot until the last one's
 * "noted" has come, so that a crash leaves at most one message in doubt. */
#ifndef ERRAND_H
#define ERRAND_H

#include <sys/types.h>

#include "buf.h"
#include "envelope.h"
#include "outcome.h"

#define ERRAND_FD 3             /* the courier's end, after exec */
#define ERRAND_MAX 65536        /* octets of one record */

/* What a courier is told of its work: that its configuration is the service's, that it
 * shall tell each step, or both. */
#define ERRAND_SERVICE "--service"
#define ERRAND_CHECK "--check"
#define ERRAND_CHECK_SERVICE "--check-service"

/* Starts subpost-courier, with one of these or NULL; *fd is then our end.
 * Its process id, or -1 with errno. */
pid_t errand_start(int *fd, const char *option);

/* A runner behind its fence starts nobody: it asks the service, over a socketpair of
 * type SOCK_SEQPACKET (starter): "start", with the courier's end; and hears "started
 * PID" or "failed ERRNO", and later "ended PID STATUS" (of waitpid).
 *
 * The runner's end: the process id, or -1 with errno (EPIPE: the service is gone);
 * *fd is our end of the errand. */
pid_t errand_ask(int starter, int *fd);
/* Waits until that courier has ended; false when the service is gone. */
bool errand_await_end(int starter, pid_t pid, int *status);
/* The service's: one request, where there is one; the courier's process id, 0 where
 * nothing was asked or it could not be started, -1 when the runner is gone. */
pid_t errand_serve(int starter);
void errand_tell_end(int starter, pid_t pid, int status);

enum errand_word {
	ERRAND_NOTHING,         /* none there, and the other end is open */
	ERRAND_CLOSED,          /* the other end is gone */
	ERRAND_BROKEN,          /* a record that the other end would never have written */
	ERRAND_JOB, ERRAND_NOTED, ERRAND_QUIT,
	ERRAND_READY, ERRAND_TO, ERRAND_END, ERRAND_HOLD, ERRAND_DOWN, ERRAND_STEP, ERRAND_NOTE,
};

/* One record, parsed.  Zero is valid; errand_free closes the descriptors that
 * nobody took (fd, trace set to -1 by the taker). */
struct errand {
	enum errand_word word;
	char id[ENVELOPE_ID_LEN + 1];
	size_t *recipients;     /* job: places in the envelope, ascending */
	size_t n;
	size_t recipient;       /* to */
	enum outcome outcome;   /* to, down */
	struct why why;         /* to, down, hold (text) */
	unsigned ms;            /* step */
	struct buf text;        /* step, note */
	bool has_fd;
	int fd;                 /* job */
	bool has_trace;
	int trace;              /* job, perhaps */
};
void errand_free(struct errand *e);

/* Reads one record; wait: until there is one or the other end is gone. */
enum errand_word errand_read(int fd, bool wait, struct errand *e);
/* The same from text that came another way (wake.h). */
enum errand_word errand_parse(struct str record, struct errand *e);

/* Each writes one record; false when the other end is gone.  trace: -1 where
 * nobody looks on. */
bool errand_job(int fd, const char *id, const size_t *recipients, size_t n, int message,
    int trace);
bool errand_noted(int fd, const char *id);
bool errand_quit(int fd);
bool errand_say(int fd, struct str record);

/* The courier's records as text: sent by errand_say or, once the runner is
 * gone, by wake_send_on. */
void errand_put_to(struct buf *out, const char *id, size_t recipient, enum outcome o,
    const struct why *w);
void errand_put_end(struct buf *out, const char *id);
void errand_put_down(struct buf *out, enum outcome o, const struct why *w);

#endif
