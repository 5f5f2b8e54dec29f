/* roster: the service's runner and its couriers: who is at work, and when the next may
 * begin.
 *
 * There is at most one runner.  One that has ended well is followed by another when there
 * is something to do; one that died by another after a pause, which doubles from a second
 * to a minute.  Couriers are started here at the runner's request (errand.h), and the
 * runner is told of their ends; one whose runner has died brings to its end what it
 * has. */
#ifndef ROSTER_H
#define ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ROSTER_COURIERS 64      /* that run at once, at most (POOL_MAX); those of earlier
                                 * runners too */

struct roster {
	pid_t runner;           /* 0: none */
	int starter;            /* where it asks for couriers; to be polled */
	bool retry;             /* the next runner shall lift a back-off */
	/* private: */
	bool due;               /* one must be started, */
	double due_at;          /* but not before; 0: now */
	unsigned failures;      /* one after the other */
	double since;
	struct roster_courier {
		pid_t pid;
		bool ours;      /* the present runner's, who is told of its end */
	} *couriers;
	size_t ncouriers;
};
/* A runner is due at the start: nobody knows what waits. */
#define ROSTER_INIT { .starter = -1, .due = true }

/* Shall one be started now?  woken: there is something to do. */
bool roster_wants_runner(const struct roster *r, bool woken);
/* May one be woken, now? */
bool roster_may_wake(const struct roster *r);
/* The moment (clock.h) at which one is due; 0: none is. */
double roster_due_at(const struct roster *r);
/* Forks the runner.  In the child: 0, *starter is its end, and it has no other of the
 * roster's.  Else what fork says; where it fails, it is logged and due again later. */
pid_t roster_fork(struct roster *r, int *starter);
/* The runner ends its transaction; renew: and another one, who lifts a back-off, follows. */
void roster_dismiss(struct roster *r, bool renew);
/* A request of the runner's, when starter can be read.  Where there are as many as there
 * may be it is told so: somebody who has taken the runner over shall not fill the machine
 * with couriers, and one that waited for an answer could not hear those that it has. */
void roster_serve(struct roster *r);
/* A child has ended that is no clerk. */
void roster_ended(struct roster *r, pid_t pid, int status);
/* Is nobody at work? */
bool roster_is_empty(const struct roster *r);
/* In a child: none of this is its. */
void roster_abandon(const struct roster *r);
void roster_free(struct roster *r);

#endif
