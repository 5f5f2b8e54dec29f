/* usage: what each uid has waiting, how fast it brings more, and how often the log
 * has been told of it.
 *
 * How much waits is in memory that the service shares with its runner, who writes
 * it, and its clerks, who look: nobody counts a queue for each message.  How fast
 * somebody may bring more (user-rate) is one small file a uid, <spool>/users/<uid>,
 * and only where a rate is set. */
#ifndef USAGE_H
#define USAGE_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "outcome.h"
#include "rate.h"
#include "spool.h"

#define USAGE_UIDS 1024         /* that have mail waiting and are told apart; beyond, nobody is
                                 * limited */

/* Shared with every process forked later; NULL with errno. */
struct usage *usage_make(void);
void usage_free(struct usage *u);
/* The runner's alone. */
void usage_set(struct usage *u, uid_t uid, uint32_t waiting);
/* Of nobody anything is known where u is NULL. */
uint32_t usage_of(const struct usage *u, uid_t uid);
void usage_clear(struct usage *u);

#define USAGE_COMPLAINTS 10     /* lines a minute about what one uid's callers do wrong */

/* One more such line, now?  How many are left of this minute, it included; 0: none, so
 * that no caller fills the log's disk. */
unsigned usage_complain(struct usage *u, uid_t uid, time_t now);

/* One more message of this uid, now (microseconds since 1970)?  LATER, 75, with the
 * time until it may.  A file that cannot be used lets it pass, and is logged. */
enum outcome usage_take(const struct spool *s, uid_t uid, const struct rate *rate, int64_t now,
    struct why *why);

#endif
