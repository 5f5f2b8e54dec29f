/* dispatch: messages given to couriers, and what comes back of them.
 *
 * It decides which account may be called, and with how many couriers, gives each what it
 * can take, locked, and each answer to sorting.h.  A courier that dies takes nothing with
 * it: its jobs wait again.  Where an account has a rate, each message goes at its own
 * moment, and nobody holds a connection open for one that is far away.
 *
 * The first message that waits is worth a connection; another one has to pay for itself: it
 * is opened where so many wait that each has more to do than its beginning takes.  One that
 * has nothing to do is kept for keep-open seconds. */
#ifndef DISPATCH_H
#define DISPATCH_H

#include <poll.h>

#include "config.h"
#include "pool.h"
#include "sorting.h"

struct dispatch {
	struct sorting sorting;
	struct pool pool;
	char key[ORDER_PRINT + 1];      /* of this queue's fingerprints */
	bool leaving;                   /* asked to: no new jobs */
	double start_at;                /* no courier before; monotonic seconds */
};
void dispatch_load(struct dispatch *d);
void dispatch_free(struct dispatch *d);
/* The configuration is another by now. */
void dispatch_renew(struct dispatch *d);

/* May a message leave now that comes in? */
bool dispatch_is_open(const struct dispatch *d, time_t now);
/* Milliseconds until something is to be begun; -1: not before somebody is heard. */
int64_t dispatch_ms(const struct dispatch *d, time_t now);

/* Starts couriers where messages are worth them; gives those that are ready what they can
 * take, or leave to go. */
void dispatch_go_on(struct dispatch *d);
/* What is to be polled for: d->pool.n of them; and everything that those have said, their
 * ends too. */
void dispatch_put_polls(const struct dispatch *d, struct pollfd *p);
void dispatch_hear(struct dispatch *d, const struct pollfd *p, size_t n);
/* Asked to leave: a transaction under way is brought to its end, a connection
 * without one is not waited for. */
void dispatch_recall(struct dispatch *d);
/* A person wants all accounts tried; force: also a login that is known to be refused. */
void dispatch_lift(struct dispatch *d, bool force);

/* Tries what is kept again. */
void dispatch_write(struct dispatch *d);

#endif
