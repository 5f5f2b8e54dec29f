/* health: what each account and server last said, kept across restarts in <spool>/health.
 *
 * An account, or one server of its list, is up, or down until when, since when, why.
 * So a smarthost that cannot be reached costs one connection a step, whatever waits,
 * no message is touched for it, and the queue's list can say why mail waits.
 *
 * And what is known of its login: with which secret and mechanism it worked last, and
 * which secrets were refused.  No secret stands there, but a fingerprint of it, made
 * with a key that is this queue's own: so that one wrong password is not tried again
 * and again until the provider locks the account.
 *
 * One fact a line, subpost-queue(5).  Only the runner writes it. */
#ifndef HEALTH_H
#define HEALTH_H

#include <time.h>

#include "buf.h"
#include "config.h"
#include "errand.h"
#include "outcome.h"
#include "schedule.h"
#include "spool.h"

/* How one stands.  Zero is valid: up. */
struct health {
	bool down;
	unsigned step;          /* failures in a row */
	time_t since;           /* of the first of them */
	time_t until;           /* no connection before */
	struct why why;         /* of the last of them */
};

/* A login that was refused. */
struct refusal {
	char print[ORDER_PRINT + 1];
	unsigned step;          /* how often in a row */
	time_t until;           /* not tried before */
};

/* All that is known of one account.  Zero is valid. */
struct standing {
	struct health account;
	bool barred;            /* it is down before any message: its login or its set-up */
	struct health_server {
		char name[300]; /* HOST:PORT */
		struct health health;
	} servers[SERVERS_MAX]; /* none of an account that has but one */
	unsigned nservers;
	char mechanism[ORDER_NAME_MAX + 1];     /* what worked last; "": not known */
	char good[ORDER_PRINT + 1];             /* and with which secret */
	char avoid[ORDER_NAME_MAX + 1];         /* what the next login does without */
	time_t apart_until;                     /* its transactions go one by one, until then */
	struct refusal refused[ORDER_REFUSED];
	unsigned nrefused;
};

/* What keeps the mail of an account, for whoever shows it: its own trouble, or that of
 * all its servers, of which then the one that is tried first.  An account of which
 * nothing is written is up.  A damaged file is as good as none: it is only memory. */
void health_load(const struct spool *s, const char *account, struct health *h);

/* The runner's: all of it. */
void health_recall(const struct spool *s, const char *account, struct standing *st);
/* Replaces the file; what it says of other accounts stays.  Not synced: what a power cut
 * loses is a back-off. */
enum outcome health_store(const struct spool *s, const char *account, const struct standing *st,
    struct why *why);
/* The key of this queue's fingerprints, made where there is none yet; "" when the disk
 * will not. */
void health_key(const struct spool *s, char key[ORDER_PRINT + 1]);

/* What keeps it, as above; NULL: nothing. */
const struct health *health_trouble(const struct standing *st);
/* Until when all of its servers are left alone; 0: one is not, or it has no list. */
time_t health_servers_until(const struct standing *st);
/* The server of that name; NULL: none. */
struct health *health_server(struct standing *st, const char *name);

/* Notes a failure of account or server: backs off by one more step. */
void health_fail(struct health *h, const struct why *w, const struct steps *steps, time_t now,
    uint32_t salt);
void health_succeed(struct health *h);
/* Notes that this secret was refused, once more.  soon: only until then; 0: for an hour,
 * then two, four, up to a day, so that a wrong password costs six logins in two days. */
void health_refuse(struct standing *st, const char *print, time_t now, time_t soon);
/* How often in a row it was, those that were to be forgotten soon left out. */
unsigned health_refusals(const struct standing *st, const char *print);
/* Is it still? */
bool health_is_refused(const struct refusal *r, time_t now);
/* The steps of a login that is refused. */
extern const struct steps health_login_steps;

/* "default is down since ..., next try in 5m: words"; nothing when up. */
void health_describe(const struct health *h, const char *account, time_t now, struct buf *out);

#endif
