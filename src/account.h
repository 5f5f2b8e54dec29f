/* account: when an account may be used, and with which of its servers: what they last
 * answered, how fast messages may leave, and how long they are left alone.
 *
 * And what is known of its login.  A secret that was refused is not tried again before a
 * step of its own is over, whoever asks: a touched ini or `subpost retry` lift a back-off,
 * and then a courier finds that the secret is still the same; a mended one goes through
 * at once.  Until a login stands, one courier at a time. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include "agenda.h"
#include "config.h"
#include "errand.h"
#include "health.h"
#include "pace.h"
#include "spool.h"

struct account {
	struct spool *spool;            /* borrowed, as is config, whose contents may be */
	struct config *config;          /* replaced */
	unsigned place;                 /* in it: config_account */
	bool gone;                      /* it is there no more */
	char name[ORDER_NAME_MAX + 1];
	struct standing standing;
	struct pace pace;
	struct turn turn;               /* whose message was given to it last */
	uint32_t passes;        /* how often it was found good */
	unsigned silent;        /* couriers in a row that ended without a word */
	time_t rest_until;      /* no courier before, because of those */
	double probed_at;       /* a courier went to see whether it is up again (clock.h); 0: none */
	bool proven;            /* a login has stood since we are here */
	bool unproven;          /* and somebody has found another secret since */
	unsigned most;          /* couriers, since it would not take more; 0: as configured; */
	time_t most_until;      /* until then */
	bool force;             /* the next courier may try what is refused: a person wants it */
	bool fresh;             /* the next courier asks for another token */
};

const struct smarthost *account_host(const struct account *a);
/* What earlier runners knew of that account of the configuration; a back-off from before
 * the configuration was mended holds no longer. */
void account_load(struct account *a, struct spool *s, struct config *c, unsigned place);
/* The configuration is another: the account stands there now. */
void account_move(struct account *a, unsigned place);

/* Until when it is left alone; 0: it is not. */
time_t account_not_before(const struct account *a, time_t now);
/* Microseconds until the next message may go to it; 0: now. */
int64_t account_pause(const struct account *a);
/* One goes. */
void account_spend(struct account *a);
/* Is it, or that server of it, in doubt?  Then one message is its probe. */
bool account_is_in_doubt(const struct account *a, unsigned server);
/* May its mail go by its fallback just now?  Where a server or a quota is the trouble; not
 * where its login is: who mends that must see that nothing goes.  When it may be called
 * again it has a few seconds for that before it gives way once more. */
bool account_gives_way(const struct account *a, time_t now);
/* Seconds until it does; 0: no such time is running. */
double account_patience(const struct account *a);
/* A courier is on its way to it. */
void account_called(struct account *a);
/* May more than one courier log in at the same time? */
bool account_is_proven(const struct account *a);
/* The first server of its list that may be called; -1: none.  busy, a bit for each: those
 * that somebody calls already; of one in doubt that is enough. */
int account_server(const struct account *a, unsigned busy, time_t now);

/* What the next courier is told.  alone: nobody else logs in just now. */
void account_order(struct account *a, unsigned server, bool alone, const char *key, time_t now,
    struct order *o);
/* The login of that order stands. */
void account_ready(struct account *a, const char *mechanism, const char *print);
/* It breaks off where the next transaction's commands stand behind a text.  That is
 * believed for a month: it costs little, and to find out again may cost a second copy. */
void account_keep_apart(struct account *a, time_t now);
/* It was refused.  False where the next courier may begin at once, with another token. */
bool account_refused(struct account *a, const struct order *o, const char *mechanism,
    const char *print, time_t now);

/* It, or that server, refused: it is left alone for a step, which is told. */
void account_failed(struct account *a, unsigned server, const struct why *why, time_t now);
/* The same before any message, by that order: a server that was not reached, or a login
 * or set-up that is wrong. */
void account_barred(struct account *a, const struct order *o, const struct why *why, time_t now);
/* It would not take one more courier beside those others, who work: that says nothing of
 * the account, and no more are sent for a while.  And may one be, beside those running? */
void account_is_full(struct account *a, unsigned others, const struct why *why, time_t now);
bool account_may_have_more(const struct account *a, unsigned running, time_t now);
/* A message has passed. */
void account_passed(struct account *a, unsigned server);
/* One more courier came and went without a word, as waitpid tells: the next are
 * started at once a few times, then more and more slowly.  ready: it got as far as a
 * message; one that did not cannot be used, and people are told why they wait. */
void account_met_silence(struct account *a, bool ready, int status, time_t now);
/* A person wants it tried, or the configuration is another. */
void account_lift_back_off(struct account *a);

#endif
