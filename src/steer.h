/* steer: what a person may do with a message that is queued.
 *
 * Whoever changes what is to become of a message has its lock, so that nobody
 * sends it meanwhile.  The runner is not woken here: the caller does that when
 * all is said (wake_runner, "retry"). */
#ifndef STEER_H
#define STEER_H

#include "outcome.h"
#include "spool.h"

/* A message by its id, wherever it is; change: locked as well.  64 for what is no
 * id, 66 where there is none, 75 while it is being sent.  DONE may be damaged
 * (l->damaged, and why in *why). */
enum outcome steer_find(const struct spool *s, const char *id, bool change, struct letter *l,
    enum spool_place *place, struct why *why);

/* That message shall be tried again now, with nothing behind it, even one that
 * was given up. */
enum outcome steer_retry(struct spool *s, const char *id, struct why *why);

/* Everything that waits shall be tried now.  anew: what waits for a person too, and
 * its days until it is given up begin again; for a cron job that would be never.
 * What is damaged, or being sent just now, needs nothing.  *waiting: how many
 * messages there are. */
enum outcome steer_retry_all(struct spool *s, bool anew, size_t *waiting, struct why *why);

#endif
