/* steer: what a person may do with a message that is queued.
 *
 * Whoever changes what is to become of a message has its lock, so that nobody
 * sends it meanwhile.  The runner is not woken here: the caller does that when
 * all is said (wake_runner, "retry"). */
#ifndef STEER_H
#define STEER_H

#include "outcome.h"
#include "spool.h"

/* Who asks, as far as it decides whose mail they may see and steer. */
struct asker {
	uid_t uid;
	bool all;               /* everybody's */
	bool nobody;            /* no uid of this machine: owns nothing, not even what is
	                         * written under the same number */
	bool own;               /* an own office: where no runner is, one is started; at the
	                         * counter it is only told */
};

/* May they?  Not for damaged mail, whose uid cannot be believed, but with `all`. */
bool steer_may(const struct asker *who, const struct letter *l);
/* Is it worth reading one that waits, for that question?  Quick, for who goes through
 * very many that are others'. */
bool steer_may_perhaps(const struct spool *s, const struct asker *who, const char *id);

/* A message by its id, wherever it is; change: locked as well.  64 for what is no
 * id, 66 where there is none for this asker, 75 while it is being sent.  DONE may be
 * damaged (l->damaged, and why in *why). */
enum outcome steer_find(const struct spool *s, const struct asker *who, const char *id, bool change,
    struct letter *l, enum spool_place *place, struct why *why);

/* That message shall be tried again now, with nothing behind it, even one that
 * was given up. */
enum outcome steer_retry(struct spool *s, const struct asker *who, const char *id,
    struct why *why);
/* It stays, and is not sent, until it is released or retried; reason: for people. */
enum outcome steer_hold(struct spool *s, const struct asker *who, const char *id,
    const char *reason, struct why *why);
/* Held: it may go, now; 66 where it is not held. */
enum outcome steer_release(struct spool *s, const struct asker *who, const char *id,
    struct why *why);
/* Removed unsent, and logged. */
enum outcome steer_delete(struct spool *s, const struct asker *who, const char *id,
    struct why *why);

/* Everything that waits shall be tried now.  anew: what waits for a person too, and
 * its days until it is given up begin again; for a cron job that would be never.
 * What is damaged, or being sent just now, needs nothing.  *waiting: how many
 * messages of the asker's there are. */
enum outcome steer_retry_all(struct spool *s, const struct asker *who, bool anew,
    size_t *waiting, struct why *why);

#endif
