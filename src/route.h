/* route: which account carries a message to a recipient.
 *
 * Who has an account of their own, smarthost in [user NAME], sends all by it.  For
 * others it is the first of the named accounts, in the order of the file, that has
 * `senders` or `recipients`, and whose patterns both match; else the default one,
 * where its own patterns allow that.  The null sender, which reports have, is in no
 * account's `senders` and refused by none: so recipients alone decide of it. */
#ifndef ROUTE_H
#define ROUTE_H

#include <sys/types.h>

#include "buf.h"
#include "config.h"
#include "outcome.h"

/* The account's place (config_account), for mail that this uid has submitted; -1
 * where none carries it, and *why says so: 77 at the counter.  Behind it that is
 * LATER, since only a change of the configuration can be the cause. */
int route(const struct config *c, uid_t uid, const char *sender, const char *recipient,
    struct why *why);

/* May mail of this sender go to anybody at all, by c as it holds for who submits
 * (config_view)? */
bool route_takes_sender(const struct config *c, struct str sender);
/* And to this recipient?  As route does, and -1 is 77 in *why. */
int route_in_view(const struct config *view, const char *sender, const char *recipient,
    struct why *why);
/* All of these senders as patterns, for who knows of the default account's force-from
 * already; appended to *out, nothing: everybody. */
void route_put_senders(const struct config *c, struct buf *out);

#endif
