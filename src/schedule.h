/* schedule: when to try next, when to give up.  Functions of times and counts
 * alone, so that five days pass in a test in no time. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CONFIG_STEPS_MAX 16

/* Waiting times in seconds; the last repeats. */
struct steps {
	uint32_t v[CONFIG_STEPS_MAX];
	unsigned n;
};

/* The moment of the next try after the given number of tries (1 or more) have
 * failed.  Spread over a tenth of the step by salt, so that what failed
 * together does not come back together; never before the step is over. */
time_t schedule_next(const struct steps *steps, unsigned tries, time_t now, uint32_t salt);

/* Is a message that arrived then too old now?  A clock that went backwards
 * makes nothing old (RFC 5321 section 4.5.4.1: at least 4 to 5 days). */
bool schedule_is_over(time_t arrived, time_t now, uint32_t give_up_after);

#endif
