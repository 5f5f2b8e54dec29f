/* account: when it may be used: what it last answered, how fast messages may leave,
 * and how long it is left alone. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include "config.h"
#include "health.h"
#include "pace.h"
#include "spool.h"

struct account {
	struct spool *spool;            /* borrowed, as is config, whose contents may be */
	struct config *config;          /* replaced */
	struct health health;
	struct pace pace;
	uint32_t passes;        /* how often it was found good */
	unsigned silent;        /* couriers in a row that ended without a word */
	time_t rest_until;      /* no courier before, because of those */
};

/* What earlier runners knew of it; a back-off from before the configuration was mended
 * holds no longer. */
void account_load(struct account *a);
/* Until when it is left alone; 0: it is not. */
time_t account_not_before(const struct account *a, time_t now);
/* Microseconds until the next message may go to it; 0: now. */
int64_t account_pause(const struct account *a);
/* One goes. */
void account_spend(struct account *a);

/* It, or its server, refused: it is left alone for a step, which is told. */
void account_failed(struct account *a, const struct why *why);
void account_passed(struct account *a);
/* One more courier came and went without a word, as waitpid tells: the next are
 * started at once a few times, then more and more slowly.  ready: it got as far as a
 * message; one that did not cannot be used, and people are told why they wait. */
void account_met_silence(struct account *a, bool ready, int status);
/* A person wants it tried, or the configuration is another. */
void account_lift_back_off(struct account *a);

#endif
