/* carriers: the accounts as whoever asks about a queue may know them: what each last
 * answered, and which of them keeps a message waiting.
 *
 * A server's words may hold an address out of somebody else's mail, so they are without
 * any unless all is the asker's. */
#ifndef CARRIERS_H
#define CARRIERS_H

#include "config.h"
#include "health.h"
#include "spool.h"
#include "steer.h"

struct carriers {
	const struct config *config;    /* of everybody's mail; borrowed */
	struct health v[ACCOUNTS_MAX];  /* in the accounts' places */
};

void carriers_load(struct carriers *k, const struct spool *s, const struct config *c,
    const struct asker *who);
/* May mail of the asker's go by that account? */
bool carriers_are_theirs(const struct carriers *k, const struct asker *who, unsigned account);
/* The account by which that recipient's mail goes; -1: none carries it. */
int carriers_of(const struct carriers *k, const struct letter *l, size_t recipient);
/* The account that the message waits for, where all by which it may go are down: the one
 * that is tried first; -1: it waits for none. */
int carriers_keep(const struct carriers *k, const struct letter *l);

#endif
