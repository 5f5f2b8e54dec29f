/* post: a queue has one runner, who holds <spool>/lock, and at most one that waits for
 * it.  Whoever comes and finds both taken tells the first what there is to do, and
 * leaves. */
#ifndef POST_H
#define POST_H

#include "outcome.h"
#include "spool.h"
#include "wake.h"

struct post {
	const struct spool *spool;      /* borrowed */
	struct wake wake;       /* where words find whoever has the post */
	int lock;               /* -1: not ours */
	int next;               /* the lock of the one that waits for the lock */
	/* private: */
	unsigned looks;
	pid_t asked;            /* the other one, to leave */
};
#define POST_INIT { .wake = { .fd = -1 }, .lock = -1, .next = -1 }

/* Tries to take it, once.  DONE: it is ours (lock), or *other: somebody else has it and
 * was told, or will see; or neither, and it may be asked again after post_pause ms.
 * words: what we have to tell (wake.h); "wake": only that something is new. */
enum outcome post_take(struct post *p, struct str words, bool *other, struct why *why);
int post_pause(const struct post *p);
/* From here on words find us, so that nobody need wait behind us. */
enum outcome post_open(struct post *p, struct why *why);
/* The locks go; the socket must be closed before (wake_close). */
void post_leave(struct post *p);

#endif
