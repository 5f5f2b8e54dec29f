/* runner: the loop that empties a queue.  It notices what is due, starts a
 * courier, gives it jobs, records what it reports, tells senders, and leaves
 * when nothing waits.  The only one who writes .fate and health.  It knows no
 * password, parses no reply and reaches no network. */
#ifndef RUNNER_H
#define RUNNER_H

#include "config.h"
#include "outcome.h"
#include "spool.h"

/* Runs the queue until nothing waits, or until SIGTERM or SIGINT.  retry: lift a
 * back-off at once.  DONE also when another runner is at work and was told.
 * config may be replaced meanwhile by a newer reading of the same files. */
enum outcome runner_run(struct spool *spool, struct config *config, bool retry, struct why *why);

#endif
