/* parcel: a courier's job: a message, and those of its recipients whom it shall reach.
 *
 * What we were handed is believed as little as what lies on the disk: its head is read
 * and checked again.  It goes out in shares, a transaction each, of as many recipients
 * as the server takes; who comes back to be asked for again goes with the next. */
#ifndef PARCEL_H
#define PARCEL_H

#include "config.h"
#include "errand.h"
#include "offers.h"
#include "spool.h"
#include "trace.h"
#include "transaction.h"

struct parcel {
	char id[ENVELOPE_ID_LEN + 1];
	struct letter letter;   /* its descriptor is ours, and so its lock; -1: given away */
	size_t *places;         /* the job's recipients, by their places in the envelope */
	size_t n;
	bool *given;            /* with a share, or answered */
	unsigned shares;        /* on their way */
	bool held;              /* a person must look: no more of it */
	struct trace trace;
	const char *from;       /* the sender as it is said */
	struct buf head;        /* sent in place of the first head_len octets of the text */
	uint64_t head_len;
	uint64_t size;          /* octets on the wire, as far as they can be counted */
};

/* Takes the descriptor off the job.  False with the reason: it cannot be sent, and a
 * person must look.  The parcel is then good for parcel_free and its id. */
bool parcel_take(struct parcel *p, struct errand *job, struct why *why);
/* Makes from, the account's address, the one that it is from.  NEVER where its header is
 * beyond all bounds, LATER where it is damaged. */
enum outcome parcel_force(struct parcel *p, const char *from, struct why *why);
void parcel_free(struct parcel *p);

/* One transaction of it. */
struct share {
	struct transaction t;   /* first, so that one can be had from the other */
	struct parcel *parcel;
	size_t *which;          /* t.to[i] is parcel->places[which[i]] */
	struct recipient *to;
};

/* The next, of at most so many recipients and domains (0: any number); NULL: nobody is
 * left to be asked for. */
struct share *parcel_share(struct parcel *p, size_t most, size_t domains);
/* Would there be one? */
bool parcel_has_share(const struct parcel *p);
struct share *share_of(struct transaction *t);
/* It is over: those whose answer is `again` wait for the next one. */
void share_return(struct share *s, bool may_ask_again);
void share_free(struct share *s);
/* Nobody waits any more, and nothing is on its way. */
bool parcel_is_over(const struct parcel *p);

#endif
