/* agenda: the runner's table of waiting messages: who is due next.
 *
 * About a hundred octets a message, so that a hundred thousand fit.  Each uid has a
 * lane, ordered by the moment a message is due, then by id, which is by age; of the
 * lanes in which something is due they are drawn in turn, and root's every other
 * time, so that nobody's five thousand stand before somebody else's one.  Mail of
 * which nobody knows yet whose it is comes last: it might be anybody's next. */
#ifndef AGENDA_H
#define AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "envelope.h"

struct waiting {
	time_t due;
	size_t place;           /* in the heap, from 1; 0: not waiting (held, or out) */
	/* The runner's own: */
	uint32_t drew;          /* see is_its_own_trouble */
	uint32_t round;         /* first recipient of this round's next transaction */
	uint8_t crashes;
	bool logged;
	bool out;               /* with a courier */
	uint32_t lane;          /* place in agenda.lanes */
	char id[ENVELOPE_ID_LEN + 1];
};

#define AGENDA_UNKNOWN ((uid_t)-1)      /* nobody has looked yet whose it is */

struct lane {
	uid_t uid;
	struct waiting **heap;  /* from 1 */
	size_t n, room;         /* waiting */
	size_t known;           /* all, those that rest too */
	size_t told;            /* the runner's own: how many it last wrote down */
};

struct agenda {
	void *by_id;
	struct lane *lanes;
	size_t nlanes;
	size_t n;               /* waiting, in all lanes */
	size_t drawn;           /* the lane, not root's, that had its turn last */
	bool root_drawn;        /* and root's has had one since */
};

struct waiting *agenda_find(const struct agenda *a, const char *id);
/* The entry of that id, made if it is new (then due when the id says it came), in the
 * lane of uid.  One that is known changes lanes if this says more than was known. */
struct waiting *agenda_add(struct agenda *a, const char *id, uid_t uid);
uid_t agenda_uid(const struct agenda *a, const struct waiting *e);
/* Waits (again) until due. */
void agenda_wait(struct agenda *a, struct waiting *e, time_t due);
/* Waits no longer, but stays known. */
void agenda_rest(struct agenda *a, struct waiting *e);
void agenda_remove(struct agenda *a, struct waiting *e);
/* Removes all that is not among these ids (ascending), but what is with a courier. */
void agenda_keep_only(struct agenda *a, char (*ids)[ENVELOPE_ID_LEN + 1], size_t n);
/* The first to be due of all, or NULL: when there is something to do. */
struct waiting *agenda_first(const struct agenda *a);
/* The same of one uid's. */
struct waiting *agenda_first_of(const struct agenda *a, uid_t uid);
/* Whose turn it is among those due by now, or NULL.  It is the same one until
 * agenda_drawn says that it had its turn. */
struct waiting *agenda_next(const struct agenda *a, time_t now);
void agenda_drawn(struct agenda *a, const struct waiting *e);
/* All that wait, in no order: 0 to n-1. */
struct waiting *agenda_at(const struct agenda *a, size_t i);
void agenda_free(struct agenda *a);

#endif
