/* fast: a clock that runs FAST times as fast as the world's, for whoever links this
 * before the library: five minutes of patience are six seconds then.  More would let a
 * busy machine look like a dead one.  Never in what is installed. */
#include "clock.h"

#include <time.h>

#define FAST 50

double
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec + (double)t.tv_nsec / 1e9) * FAST;
}

int
clock_poll(struct pollfd *p, nfds_t n, double seconds)
{
	double ms = seconds * 1000 / FAST;

	return poll(p, n, ms > 86400e3 ? 86400 * 1000 : ms > 0 ? (int)ms + 1 : 0);
}

uint32_t
clock_salt(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)t.tv_nsec;
}
