/* check: whether the accounts work, tried by the program that would send.
 *
 * What was read is shown, and each account's servers are tried, all but the sending: a
 * line for each step, as it is done.  An account is good when one of its servers is.
 * Where the service counts, it is asked, and root tries as the service would. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

#include "outcome.h"

struct check {
	char *const *names;     /* of the accounts to try; none: all */
	size_t n;
	bool aloud;             /* show the dialogue */
	unsigned depth;         /* does the server cope with so many messages on the way at once?
	                         * 0: not asked */
};

/* DONE: all that were tried are good.  Prints to standard output. */
enum outcome check(const struct check *c, struct why *why);

#endif
