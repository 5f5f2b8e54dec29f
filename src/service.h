/* service: the counter for everybody: one process that waits for callers, for the
 * runner's wake-ups and for its children, and parses nothing of anybody.
 *
 * It holds the listening socket, the queue's wake-up socket and what was read of
 * the system's configuration.  For each caller it forks a clerk (clerk.h), one of
 * them ahead of time (spare.h); for a wake-up, while none runs, a runner (runner.h),
 * who leaves when nothing waits, so that an idle service is two sleeping processes;
 * and at the runner's request it starts couriers, which neither clerk nor runner can,
 * behind their fence.
 * Nobody here holds a secret but the courier.
 *
 * Running clerks are capped for each uid and in all.  Callers over the cap wait,
 * taken and greeted by nobody yet, by the hundred; over that they are told that it
 * is busy.  Waiting uids are served in turn. */
#ifndef SERVICE_H
#define SERVICE_H

#include "outcome.h"
#include "person.h"

#define SERVICE_CLERKS_UID 20           /* running at once for one uid, */
#define SERVICE_CLERKS 100              /* and in all */
#define SERVICE_WAITING_UID 300         /* callers that wait for one, */
#define SERVICE_WAITING 2000            /* and in all */

/* Runs until SIGTERM or SIGINT: then nothing more is taken, clerks and the courier
 * bring to an end what they have, and DONE is answered.  account: what to become
 * where we are root; NULL: SERVICE_ACCOUNT, where we are root, else nobody else. */
enum outcome service_run(const char *account, struct why *why);

#endif
