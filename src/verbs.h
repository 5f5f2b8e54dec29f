/* verbs: what may be asked about a queue, and done with what waits in it.  The same
 * for an own office, where the owner asks, and at the service's counter, where the
 * clerk asks for a caller whom the kernel has named.
 *
 *	list [json]             what waits, and why
 *	show [json] ID          one message, what happened to it, its last dialogue, its text
 *	retry [ID...|all]       try again now, also what was given up or is held
 *	flush [verbose] [ID]    the same for sendmail -q: what waits for its time
 *	hold ID...              keep it, and do not send it
 *	release ID...           what was held may go
 *	delete ID...            remove it unsent
 *	status [json]           counts, the accounts' state, who works
 *
 * Everybody sees and steers mail of their own; whose it is not, it does not exist
 * for them.  What is damaged has no owner that could be believed: it is for
 * those who see all. */
#ifndef VERBS_H
#define VERBS_H

#include <stdio.h>

#include "config.h"
#include "outcome.h"
#include "spool.h"
#include "steer.h"

/* c: of all, as an own office or the service goes by it.  words: the verb, what belongs
 * to it, NULL.  64 for what is no verb or has not the
 * words it needs. */
enum outcome verbs_run(struct spool *s, const struct config *c, const struct asker *who,
    char *const *words, FILE *out, struct why *why);

#endif
