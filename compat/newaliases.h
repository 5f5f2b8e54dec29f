/* newaliases: checks the aliases file.  There is no table to rebuild: the file
 * itself is read for each message that names a local name. */
#ifndef NEWALIASES_H
#define NEWALIASES_H

#include <stdio.h>

#include "config.h"
#include "outcome.h"

/* Of that configuration.  Says on out what was found, and on stderr each problem as "file:line: what".
 * 65 if there was one. */
enum outcome newaliases_check(const struct config *c, FILE *out, struct why *why);

#endif
