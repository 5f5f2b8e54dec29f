/* pace: how fast messages may leave, where an account has a rate.
 *
 * A bucket that holds one: each message leaves at its own moment, evenly, also over
 * connections and over runners; each of those leaves when nothing waits, and one that
 * began anew for each message would keep no rate.  So the moment of an account's last one
 * stands in <spool>/pace, "NAME MICROSECONDS", and a power cut costs no more than one
 * message that is too early. */
#ifndef PACE_H
#define PACE_H

#include <stdint.h>

#include "rate.h"
#include "spool.h"

/* Zero is valid: nothing has left yet. */
struct pace {
	int64_t level;          /* see rate_take; microseconds since 1970 */
};

void pace_load(const struct spool *s, const char *account, struct pace *p);
/* Microseconds until the next one may go; 0: now. */
int64_t pace_wait(const struct pace *p, const struct rate *rate);
/* One goes now. */
void pace_take(const struct spool *s, const char *account, struct pace *p, const struct rate *rate);

#endif
