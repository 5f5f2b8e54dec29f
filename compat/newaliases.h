/* newaliases: checks the aliases file.  There is no table to rebuild: the file
 * itself is read for each message that names a local name. */
#ifndef NEWALIASES_H
#define NEWALIASES_H

#include <stdio.h>

#include "outcome.h"

/* Says on out what was found, and on stderr each problem as "file:line: what".
 * 65 if there was one. */
enum outcome newaliases_check(FILE *out, struct why *why);

#endif
