/* listing: what waits, printed: as a table for people, as JSON for programs, or one
 * message whole.  Only what the asker may see is looked at further, and foreign text
 * in it is masked. */
#ifndef LISTING_H
#define LISTING_H

#include <stdio.h>

#include "config.h"
#include "outcome.h"
#include "spool.h"
#include "steer.h"

/* What waits and what was given up, oldest first, each message as it is read, so
 * that a long queue needs no memory; behind a table the accounts that are down.  Here
 * and below c is the configuration of all. */
enum outcome listing_print(const struct spool *s, const struct config *c, const struct asker *who,
    bool json, FILE *out, struct why *why);
/* One message, what happened to it, the last dialogue about it, and, but for json, its
 * text.  As steer_find. */
enum outcome listing_show(const struct spool *s, const struct config *c, const struct asker *who,
    const char *id, bool json, FILE *out, struct why *why);

#endif
