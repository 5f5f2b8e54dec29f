/* listing: what waits, printed: as a table for people, as JSON for programs, or one
 * message whole.  Only what the asker may see is looked at further, and foreign text
 * in it is masked. */
#ifndef LISTING_H
#define LISTING_H

#include <stdio.h>

#include "config.h"
#include "health.h"
#include "outcome.h"
#include "spool.h"
#include "steer.h"

/* What waits and what was given up, oldest first, each message as it is read, so
 * that a long queue needs no memory; behind a table the account's state. */
enum outcome listing_print(const struct spool *s, const struct config *c, const struct asker *who,
    bool json, FILE *out, struct why *why);
/* One message, what happened to it, its text.  As steer_find. */
enum outcome listing_show(const struct spool *s, const struct config *c, const struct asker *who,
    const char *id, FILE *out, struct why *why);

/* The account's state as who asks may know it: the server's words may hold an address
 * out of somebody else's mail, so they are without any unless all is the asker's. */
void listing_health(const struct spool *s, const struct config *c, const struct asker *who,
    struct health *h);

#endif
