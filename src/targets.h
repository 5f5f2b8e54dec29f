/* targets: what a name stands for in the end: the lines of the aliases file, and
 * what they include, followed to addresses and to names that nothing stands behind.
 *
 * It takes as long as the file is, whoever names whom how often.  What cannot be
 * followed (a loop, a program, an :include: that others may write) is refused with
 * the file and the line where it stands. */
#ifndef TARGETS_H
#define TARGETS_H

#include "aliases.h"

#define TARGETS_MAX 100000              /* addresses that one name may stand for */
#define TARGETS_DEPTH 10                /* names behind names */

/* A list of mailboxes and bare names that nothing stands behind. */
struct targets {
	char **v;
	size_t n;
};
void targets_free(struct targets *t);

/* What name stands for in the end, each once, in order.  A name that has no line
 * and no default, or that stands for itself, is its own target.  NEVER with 65
 * and the file and line in the reason for a loop, a depth over TARGETS_DEPTH, a
 * program, a file, an :include: that others may write, or no target at all;
 * LATER where an :include: cannot be read for now. */
enum outcome targets_find(const struct aliases *a, struct str name, struct targets *t,
    struct why *why);
/* Looks at every entry: loops, depth, what would be refused.  Adds to a's problems;
 * :include: files are read. */
void targets_check(struct aliases *a);

#endif
