/* pattern: addresses as an ini file describes them: "*@example.com".
 *
 * A `*` stands for anything, also for nothing; everything else for itself,
 * without case.  A pattern is about a whole address. */
#ifndef PATTERN_H
#define PATTERN_H

#include "buf.h"

bool pattern_matches(struct str pattern, struct str address);
/* One of several, separated by spaces. */
bool pattern_matches_any(struct str patterns, struct str address);

#endif
