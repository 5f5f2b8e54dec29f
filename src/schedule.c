#include "schedule.h"

time_t
schedule_next(const struct steps *steps, unsigned tries, time_t now, uint32_t salt)
{
	unsigned step = tries > 0 ? tries - 1 : 0;
	uint32_t wait;

	if (steps->n == 0)
		return now;
	if (step >= steps->n)
		step = steps->n - 1;
	wait = steps->v[step];
	return now + (time_t)wait + (time_t)(salt % (wait / 10 + 1));
}

bool
schedule_is_over(time_t arrived, time_t now, uint32_t give_up_after)
{
	return now > arrived && (uint64_t)(now - arrived) >= give_up_after;
}
