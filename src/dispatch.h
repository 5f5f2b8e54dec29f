/* dispatch: messages given to couriers, and what comes back of them.
 *
 * It decides whether the account may be called, reads a message when its turn
 * has come, hands it over locked, and gives each answer to the ledger.  A
 * courier that dies takes nothing with it: its jobs wait again.  Where the account
 * has a rate, each message goes at its own moment, and nobody holds a connection
 * open for one that is far away.
 *
 * What the disk will not take is kept here, message and lock with it, and tried
 * again until it does.  As long as anything is kept, nothing else is begun: what
 * could not be written down either would be in doubt, should we die. */
#ifndef DISPATCH_H
#define DISPATCH_H

#include "account.h"
#include "config.h"
#include "errand.h"
#include "ledger.h"
#include "spool.h"

#define JOBS_AHEAD 2            /* so that the next MAIL need not wait for us */

/* One transaction, under way or over. */
struct job {
	struct letter letter;   /* use JOB_INIT */
	size_t *recipients;     /* places in the envelope */
	size_t n;
	struct why trouble;     /* the account's or server's, if that is what it drew */
	bool troubled;
	bool spoken;            /* something that is this message's own was said */
	time_t due;             /* of one that is kept: when it is to be tried next */
};
#define JOB_INIT { .letter = LETTER_INIT }
void job_free(struct job *j);

struct courier {
	pid_t pid;              /* 0: none */
	int fd;
	bool ready;
	bool quitting;
	bool told;              /* it has reported something */
	bool stale;             /* started with an older configuration */
	unsigned given;         /* jobs */
	struct job jobs[JOBS_AHEAD];
	unsigned n;
};

struct dispatch {
	struct spool *spool;            /* borrowed, as is config, whose contents may be */
	struct config *config;          /* replaced */
	struct ledger ledger;           /* and in it the agenda */
	struct account account;
	int starter;                    /* where couriers are asked for; -1: we start them */
	struct courier courier;
	bool leaving;                   /* asked to: no new jobs */
	struct job *kept;               /* what is not yet written down */
	size_t nkept;
	double write_at;                /* when that is tried again; monotonic seconds */
	/* private */
	double write_pause;
};
void dispatch_free(struct dispatch *d);

/* May it be called now, and a message leave? */
bool dispatch_may_call(const struct dispatch *d, time_t now);
/* Milliseconds until something is to be begun; -1: not before somebody is heard. */
int64_t dispatch_ms(const struct dispatch *d, time_t now);

/* Reads a message that is due and decides whether it can be sent now: then it is
 * locked and in *j.  Whatever else it is, is settled here. */
bool dispatch_prepare(struct dispatch *d, struct waiting *w, struct job *j);
/* Starts a courier where none is and a message is worth one; gives one that is
 * ready what it can take, or leave to go. */
void dispatch_go_on(struct dispatch *d);
/* Everything that the courier has said, its end too. */
void dispatch_hear(struct dispatch *d);
/* Asked to leave: a transaction under way is brought to its end, a connection
 * without one is not waited for. */
void dispatch_recall(struct dispatch *d);

/* One recipient's answer, and the end of the transaction, also from a courier
 * whose runner has died: then everything that was said is acted upon.  True when
 * it is on disk; else it is kept, and *j is empty. */
void dispatch_answer(struct job *j, const struct errand *e);
bool dispatch_conclude(struct dispatch *d, struct job *j);

/* Tries what is kept again. */
void dispatch_write(struct dispatch *d);

#endif
