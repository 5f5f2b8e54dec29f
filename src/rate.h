/* rate: so many in so long: "60/m".  Pure: the moments are the caller's. */
#ifndef RATE_H
#define RATE_H

#include <stdint.h>

#include "buf.h"

#define RATE_MAX 1000000

/* Zero is no limit. */
struct rate {
	uint32_t n;             /* things */
	uint32_t seconds;       /* in that time: 1, 60, 3600 or 86400 */
};

/* "n/s", "n/m", "n/h", "n/d", n from 1 to RATE_MAX; false for any other form. */
bool rate_parse(struct str text, struct rate *r);
/* The same form; nothing for no limit. */
void rate_write(const struct rate *r, struct buf *out);

/* The generic cell rate algorithm: *level is the moment (microseconds, any epoch)
 * at which the last thing would have been due if all came evenly; 0 at first, so
 * that now must be over 0.
 * burst: how many may come at once (at least 1).  0: it may come now, and *level
 * has moved; else how many microseconds are missing, and it has not.  A *level
 * further ahead than all of the burst (a clock that was) is brought down to just
 * that in any case, and must be kept then too. */
int64_t rate_take(const struct rate *r, uint32_t burst, int64_t *level, int64_t now);

#endif
