#include "clock.h"

#include <time.h>

double
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
clock_poll(struct pollfd *p, nfds_t n, double seconds)
{
	/* Rounded up, so that the last millisecond is not a busy loop. */
	return poll(p, n, seconds > 86400 ? 86400 * 1000 : seconds > 0 ? (int)(seconds * 1000) + 1 : 0);
}

uint32_t
clock_salt(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)t.tv_nsec;
}
