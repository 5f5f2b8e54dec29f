/* await: watches a queued message until its outcome is known.
 *
 * Nothing is asked of anybody: where the message's file goes says it all, and
 * inotify tells when it does.  Unlinked from queue/: everybody has got it.
 * Renamed: it is in failed/, and somebody has not; or it was removed by hand
 * (see spool_remove).  In between its .fate has the last word about it.  Whoever
 * stops watching loses nothing. */
#ifndef AWAIT_H
#define AWAIT_H

#include <stdio.h>

#include "buf.h"
#include "config.h"
#include "outcome.h"
#include "spool.h"

struct await {
	int fd;                 /* inotify; use AWAIT_INIT */
	int error;              /* errno, where there is none */
	int trace;              /* the dialogue, where it is shown; -1 */
	struct buf line;        /* of it, not yet shown */
	const struct config *config;    /* whose accounts' state is told where nothing was
	                         * said; borrowed */
	FILE *shown;            /* where the dialogue goes; NULL: stderr.  Borrowed */
	int caller;             /* a connection at whose end nobody waits any more; -1 */
};
#define AWAIT_INIT { .fd = -1, .trace = -1, .caller = -1 }

/* Before the message is let go of, so that nothing is missed.  dialogue: asks
 * the courier to write down what is said about it (see trace.h).  That there is
 * nothing to watch with is no failure: await_outcome then says that it is queued. */
void await_prepare(struct await *a, const struct spool *s, const char *id, bool dialogue);

/* DONE: it has left, to everybody.  LATER (75): still queued after `seconds`, or
 * held (then at once), with the last word about it in the reason.  NEVER (69):
 * removed by hand, or refused for somebody, who is named; while others still
 * wait, so do we, and that is said when the time is over.  The dialogue goes to
 * a->shown, line by line, as it comes.  LATER at once where a->caller is at its end. */
enum outcome await_outcome(struct await *a, const struct spool *s, const char *id, long seconds,
    struct why *why);
void await_end(struct await *a, const struct spool *s, const char *id);

#endif
