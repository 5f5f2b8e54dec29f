/* clock: how much time has passed, whatever anybody does to the date. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Seconds since some moment before this process began; never set back. */
double clock_now(void);
/* Any number that is another one the next time: to spread what would come together. */
uint32_t clock_salt(void);

#endif
