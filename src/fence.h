/* fence: what clerk and runner of the service may still do: read and write below
 * one directory, talk over sockets that have no network, and nothing else.
 *
 * Made once, before anybody is forked; to stand behind it costs each process three
 * system calls.  Landlock for files, a short seccomp list, written by hand so that
 * no library is mapped, for the rest: no program is executed, nobody made or traced, no
 * socket but of the Unix family.  Where a kernel lacks a part, the rest holds.
 * The courier's, which is closed much further, is sandbox.h. */
#ifndef FENCE_H
#define FENCE_H

#include "buf.h"

struct fence {
	int rules;              /* Landlock's; use FENCE_INIT */
	bool calls;             /* this kernel has seccomp */
	bool signals;           /* others of our uid may be signalled: a runner ends a courier
	                         * that hangs; set by fence_make, and cleared by who need not */
};
#define FENCE_INIT { .rules = -1 }

/* directory: what may be read, written, made, named and removed below.  *missing
 * says in one line what this kernel does not have; "" when nothing. */
void fence_make(struct fence *f, const char *directory, struct buf *missing);
void fence_free(struct fence *f);
/* From here on.  0, or -1 with errno where something that this kernel has could
 * not be done: then the process must not go on. */
int fence_shut(const struct fence *f);

#endif
