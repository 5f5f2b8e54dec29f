/* errand: the words between runner and courier, both ends side by side.
 *
 * A socketpair of type SOCK_SEQPACKET: every record arrives whole or not at
 * all, and a closed end is seen at once.  The runner's records:
 *
 *   begin WORD=VALUE ... which account, which of its servers, and what is known of its
 *                        login (struct order); always the first
 *   job ID N,N-N,...     deliver to these recipients; the message file, locked,
 *                        comes with it as a descriptor, and a second one where
 *                        somebody looks on: the dialogue is written there (trace.h)
 *   noted ID             what you said of it is on disk; go on
 *   quit                 say QUIT and leave
 *
 * and the courier's, who can only report:
 *
 *   ready MECHANISM PRINT          connected, encrypted, authenticated, with what; "-"
 *                        where there is no login
 *   refused MECHANISM PRINT        this login was refused, and not for a while; "down"
 *                        comes behind it
 *   unproven             the secret is another than the one known to be good, and we are
 *                        not alone: nothing was tried
 *   apart                the server breaks off where the next transaction's commands stand behind
 *                        a text: from here on nobody shall send them so
 *   to ID N OUTCOME SCOPE CODE STATUS TEXT     one recipient's answer
 *   said ID TEXT         the dialogue about this message so far, where not everybody gets
 *                        it; before part or end
 *   part ID              a transaction is over; others of the job's recipients, not yet
 *                        named, follow in the next
 *   end ID               the last one is over; who was not named is LATER
 *   hold ID TEXT         the message itself is not whole: a person must look
 *   down OUTCOME SCOPE CODE STATUS TEXT        the account cannot be used now
 *   step MS TEXT         for `subpost check`: what worked, and how long it took
 *   line TEXT            of the dialogue, where the order says that somebody looks on
 *   note TEXT            for the log
 *
 * "noted" answers part and end.  The courier does not send another transaction's final
 * dot (or BDAT LAST) until all but pipeline-depth - 1 of those before it are noted, so
 * that a crash leaves at most pipeline-depth messages in doubt. */
#ifndef ERRAND_H
#define ERRAND_H

#include <sys/types.h>

#include "buf.h"
#include "envelope.h"
#include "outcome.h"

#define ERRAND_FD 3             /* the courier's end, after exec */
#define ERRAND_MAX 65536        /* octets of one record */
#define ERRAND_SAID_MAX (16u << 10)     /* octets of a dialogue */

/* What a courier is told of its work: that its configuration is the service's, that it
 * shall tell each step, or both. */
#define ERRAND_SERVICE "--service"
#define ERRAND_CHECK "--check"
#define ERRAND_CHECK_SERVICE "--check-service"

#define ORDER_NAME_MAX 48       /* octets of an account's name */
#define ORDER_PRINT 32          /* of a fingerprint, in hexadecimal */
#define ORDER_REFUSED 4         /* fingerprints that are refused just now */

/* What a courier is for.  Zero is valid: the default account's first server. */
struct order {
	char account[ORDER_NAME_MAX + 1];       /* "" = the default one */
	unsigned server;        /* place in the account's list */
	unsigned depth;         /* pipeline-depth; 0: as configured */
	bool alone;             /* nobody else logs in to this account just now: a secret that is
	                         * not known to be good may be tried */
	bool force;             /* also one that is known to be refused */
	bool fresh;             /* the last token was refused: ask for another one */
	bool apart;             /* this server needs its transactions one by one (dialogue.h) */
	bool aloud;             /* say each line of the dialogue */
	char mechanism[ORDER_NAME_MAX + 1];     /* what last worked; "" = not known */
	char avoid[ORDER_NAME_MAX + 1];         /* auto takes no mechanism that begins so */
	char key[ORDER_PRINT + 1];      /* of this queue's fingerprints (sasl.h) */
	char good[ORDER_PRINT + 1];     /* the secret that was last accepted; "" = none */
	char refused[ORDER_REFUSED][ORDER_PRINT + 1];
	unsigned nrefused;
};

/* Starts subpost-courier, with one of these or NULL; *fd is then our end.
 * Its process id, or -1 with errno. */
pid_t errand_start(int *fd, const char *option);

/* A runner behind its fence starts nobody: it asks the service, over a socketpair of
 * type SOCK_SEQPACKET (starter): "start", with the courier's end; and hears "started
 * PID" or "failed ERRNO", and later "ended PID STATUS" (of waitpid).  Of whom it hears
 * while it listens for another is kept.  Zero is valid. */
struct errand_ends {
	struct errand_end {
		pid_t pid;
		int status;
	} *v;
	size_t n;
};
void errand_ends_free(struct errand_ends *ends);

/* The runner's end: the process id, or -1 with errno (EPIPE: the service is gone;
 * EBUSY: there are as many as there may be); *fd is our end of the errand. */
pid_t errand_ask(int starter, struct errand_ends *ends, int *fd);
/* Waits until that courier has ended; false when the service is gone. */
bool errand_await_end(int starter, struct errand_ends *ends, pid_t pid, int *status);
/* The service's: one request, where there is one; the courier's process id, 0 where
 * nothing was asked or it could not be started, -1 when the runner is gone.  may: there
 * may be one more. */
pid_t errand_serve(int starter, bool may);
void errand_tell_end(int starter, pid_t pid, int status);

enum errand_word {
	ERRAND_NOTHING,         /* none there, and the other end is open */
	ERRAND_CLOSED,          /* the other end is gone */
	ERRAND_BROKEN,          /* a record that the other end would never have written */
	ERRAND_BEGIN, ERRAND_JOB, ERRAND_NOTED, ERRAND_QUIT,
	ERRAND_READY, ERRAND_REFUSED, ERRAND_UNPROVEN, ERRAND_APART, ERRAND_TO, ERRAND_SAID, ERRAND_PART, ERRAND_END,
	ERRAND_HOLD, ERRAND_DOWN, ERRAND_STEP, ERRAND_LINE, ERRAND_NOTE,
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
	struct order order;     /* begin */
	char mechanism[ORDER_NAME_MAX + 1];     /* ready, refused; "" = no login */
	char print[ORDER_PRINT + 1];
	unsigned ms;            /* step */
	struct buf text;        /* step, line, note; said: lines, each ended, masked */
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
bool errand_begin(int fd, const struct order *order);
bool errand_job(int fd, const char *id, const size_t *recipients, size_t n, int message,
    int trace);
bool errand_noted(int fd, const char *id);
bool errand_quit(int fd);
bool errand_say(int fd, struct str record);

/* The courier's records as text: sent by errand_say or, once the runner is
 * gone, by wake_send_on. */
void errand_put_to(struct buf *out, const char *id, size_t recipient, enum outcome o,
    const struct why *w);
/* Of a dialogue over ERRAND_SAID_MAX the last lines are told. */
void errand_put_said(struct buf *out, const char *id, struct str dialogue);
void errand_put_part(struct buf *out, const char *id);
void errand_put_end(struct buf *out, const char *id);
void errand_put_login(struct buf *out, bool refused, const char *mechanism, const char *print);
void errand_put_down(struct buf *out, enum outcome o, const struct why *w);

#endif
