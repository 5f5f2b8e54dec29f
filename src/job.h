/* job: what a courier is given to do: one message, locked, and those of its recipients
 * that go by one account; and what was answered about them. */
#ifndef JOB_H
#define JOB_H

#include <sys/types.h>

#include "config.h"
#include "errand.h"
#include "spool.h"

#define JOB_RECIPIENTS_MAX 8000 /* so that their places fit into one record (errand.h) */

struct job {
	struct letter letter;   /* use JOB_INIT */
	unsigned account;       /* the one by which they go */
	size_t *recipients;     /* places in the envelope, ascending */
	unsigned char *heard;   /* of each of them */
	size_t n;
	struct why trouble;     /* the account's or server's, if that is what it drew; */
	bool troubled;
	bool cut;               /* or the end of a session in which others had passed */
	bool spoken;            /* something that is this message's own was said */
	unsigned owed;          /* parts of it for whose "noted" the courier waits */
	pid_t courier;          /* who has it, or had */
	time_t due;             /* of one that is kept: when it is to be tried next */
};
#define JOB_INIT { .letter = LETTER_INIT }
void job_free(struct job *j);

/* The accounts by which those go who still wait, a bit each.  Who goes by none is LATER
 * with the reason, and *unrouted. */
uint32_t job_ways(const struct config *c, struct letter *l, bool *unrouted);
/* Takes those who still wait and go by that account, from the from-th recipient on, at
 * most so many. */
void job_pick(struct job *j, const struct config *c, unsigned account, size_t from, size_t most);
/* All: of an orphan's job nobody knows whom it was for.  Has one of them an answer? */
void job_pick_all(struct job *j);
bool job_is_answered(const struct job *j);
/* Is there one of them behind the last of the job's? */
bool job_has_more(const struct job *j, const struct config *c);

/* One recipient's answer. */
void job_answer(struct job *j, const struct errand *e);
/* The dialogue so far. */
void job_keep_dialogue(struct job *j, struct str dialogue);
/* A line in the log for each answer that has none yet; over: also for those who got no
 * answer. */
void job_log(struct job *j, bool over);

#endif
