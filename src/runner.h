/* runner: the loop that empties a queue.  It notices what is due, starts a
 * courier, gives it jobs, records what it reports, tells senders, and leaves
 * when nothing waits.  The only one who writes .fate and health.  It knows no
 * password, parses no reply and reaches no network. */
#ifndef RUNNER_H
#define RUNNER_H

#include "config.h"
#include "fence.h"
#include "outcome.h"
#include "spool.h"
#include "usage.h"

/* What a runner of the service has from it; all others: RUNNER_ALONE. */
struct runner_terms {
	bool retry;             /* lift a back-off at once, */
	bool force;             /* and try a login that is known to be refused */
	int wake;               /* the wake-up socket, which stays the service's; -1: our own,
	                         * or a service manager's */
	int starter;            /* where couriers are asked for (errand.h); -1: we start them */
	struct usage *usage;    /* where it is written what each uid has waiting, since the mail
	                         * of many is here; NULL: nowhere, and all of it is ours */
	const struct fence *fence;      /* what we go behind before we do anything; NULL: nothing */
};
#define RUNNER_ALONE { .wake = -1, .starter = -1 }

/* Runs the queue until nothing waits, or until SIGTERM or SIGINT, or until the
 * service that started it is gone.  DONE also when another runner is at work and was
 * told.  config may be replaced meanwhile by a newer reading of the same files;
 * not with a starter: then the service sends us away, and forks one who knows. */
enum outcome runner_run(struct spool *spool, struct config *config,
    const struct runner_terms *terms, struct why *why);

#endif
