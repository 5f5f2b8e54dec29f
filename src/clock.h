/* clock: how much time has passed, whatever anybody does to the date. */
#ifndef CLOCK_H
#define CLOCK_H

/* Seconds since some moment before this process began; never set back. */
double clock_now(void);

#endif
