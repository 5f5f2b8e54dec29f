/* clock: how much time has passed, whatever anybody does to the date. */
#ifndef CLOCK_H
#define CLOCK_H

#include <poll.h>
#include <stdint.h>

/* Seconds since some moment before this process began; never set back. */
double clock_now(void);
/* As poll(2), for at most so many seconds of this clock; one that runs faster for a test
 * waits less. */
int clock_poll(struct pollfd *p, nfds_t n, double seconds);
/* Any number that is another one the next time: to spread what would come together. */
uint32_t clock_salt(void);

#endif
