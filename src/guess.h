/* guess: what was meant by a word that is not known: the nearest of those that are. */
#ifndef GUESS_H
#define GUESS_H

#include "buf.h"

#define GUESS_MAX 48            /* octets of a word, and of a name */

/* Zero: none yet. */
struct guess {
	const char *name;       /* borrowed; NULL: none is near */
	size_t distance;
};

/* Takes the name if it is near, and nearer than what there is. */
void guess_consider(struct guess *g, struct str word, const char *name);

#endif
