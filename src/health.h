/* health: what each account last said, kept across restarts in <spool>/health.
 *
 * One line an account: up, or down until when, since when, why.  So a
 * smarthost that cannot be reached costs one connection a step, whatever waits,
 * no message is touched for it, and the queue's list can say why mail waits.
 * Only the runner writes it. */
#ifndef HEALTH_H
#define HEALTH_H

#include <time.h>

#include "buf.h"
#include "outcome.h"
#include "schedule.h"
#include "spool.h"

struct health {
	bool down;
	unsigned step;          /* failures in a row */
	time_t since;           /* of the first of them */
	time_t until;           /* no connection before */
	struct why why;         /* of the last of them */
};

/* The line of one account; an account without one is up.  A damaged file is as
 * good as none: it is only memory of pace. */
void health_load(const struct spool *s, const char *account, struct health *h);
/* Replaces the file.  Not synced: what a power cut loses is a back-off. */
enum outcome health_store(const struct spool *s, const char *account, const struct health *h,
    struct why *why);

/* Notes a failure of account or server: backs off by one more step. */
void health_fail(struct health *h, const struct why *w, const struct steps *steps, time_t now,
    uint32_t salt);
void health_succeed(struct health *h);

/* "default is down since ..., next try in 5m: words"; nothing when up. */
void health_describe(const struct health *h, const char *account, time_t now, struct buf *out);

#endif
