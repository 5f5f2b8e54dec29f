/* sorting: what becomes of waiting messages: which one is next, which way it goes, and
 * what a courier's answers come to.
 *
 * A message goes by the account that route.h names; one whose recipients go by several is
 * sent to those of one account first, and at once to those of the next.  While an account
 * is down for a server's or a quota's trouble, its mail goes by its `fallback`, or that
 * one's, and so on; where its login is the trouble, it waits.
 *
 * What the disk will not take is kept here, message and lock with it, and tried
 * again until it does.  As long as anything is kept, nothing else is begun: what
 * could not be written down either would be in doubt, should we die. */
#ifndef SORTING_H
#define SORTING_H

#include "account.h"
#include "config.h"
#include "job.h"
#include "ledger.h"
#include "spool.h"

struct sorting {
	struct spool *spool;            /* borrowed, as is config, whose contents may be */
	struct config *config;          /* replaced */
	struct ledger ledger;           /* and in it the agenda */
	struct account **accounts;      /* in their places of the configuration */
	unsigned naccounts;
	struct account **gone;          /* of earlier ones; couriers may still be theirs */
	unsigned ngone;
	struct job *kept;               /* what is not yet written down */
	size_t nkept;
	unsigned owed;                  /* parts of jobs under way that are not, either */
	double write_at;                /* when that is tried again; monotonic seconds */
	/* private */
	double write_pause;
};
void sorting_load(struct sorting *s);
/* The configuration is another by now. */
void sorting_renew(struct sorting *s);
void sorting_free(struct sorting *s);

/* Is something kept that must be written first? */
bool sorting_is_stuck(const struct sorting *s);
/* The accounts whose mail this one carries just now, a bit each: its own, and that of those
 * that have given way to it. */
uint32_t sorting_carries(const struct sorting *s, const struct account *a, time_t now);

/* Reads a message that is due and decides whether it can be sent now: then it is
 * locked and in *j.  Whatever else it is, is settled here. */
bool sorting_prepare(struct sorting *s, struct waiting *w, struct job *j);
/* Takes those of its recipients whose turn it is by now (job_pick). */
void sorting_pick(const struct sorting *s, const struct waiting *w, struct job *j);
/* The one whose turn it is with that account, in *j as above; NULL where there is none. */
struct waiting *sorting_draw(struct sorting *s, struct account *a, struct job *j);
/* Finds out whose a few of those are, and which way they go, of which nobody knows. */
void sorting_look_through(struct sorting *s);
/* A message with several ways may wait for one that is down, while another is up again. */
void sorting_sort_anew(struct sorting *s);

/* A transaction is over, and others follow.  How many of them are on disk now that were
 * not before; 0: it is tried again. */
unsigned sorting_note_part(struct sorting *s, struct job *j);
unsigned sorting_write_part(struct sorting *s, struct job *j);
/* Who has carried a job. */
struct carrier {
	struct account *account;        /* NULL: a courier whose runner has died; then all that
	                                 * was said is acted upon */
	unsigned server;
	bool worked;            /* it had carried others before on that connection */
};
/* The job is over.  True when it is on disk; else it is kept, and *j is empty. */
bool sorting_conclude(struct sorting *s, struct job *j, const struct carrier *by);
/* It waits for a person, likewise. */
bool sorting_hold(struct sorting *s, struct job *j, const char *reason);
/* It comes back as it was given. */
void sorting_return(struct sorting *s, struct job *j, time_t due);

/* Tries to write one of what is kept; how many transactions it was, of which courier and
 * message, or 0 when the disk still will not. */
unsigned sorting_write_next(struct sorting *s, pid_t *courier, char id[ENVELOPE_ID_LEN + 1]);
/* Not before a while. */
void sorting_write_later(struct sorting *s);

#endif
