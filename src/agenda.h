/* agenda: the runner's table of waiting messages: who is due next.
 *
 * About a hundred octets a message, so that a hundred thousand fit.  Order is
 * by the moment a message is due, then by id, which is by age. */
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
	char id[ENVELOPE_ID_LEN + 1];
};

struct agenda {
	void *by_id;
	struct waiting **heap;    /* from 1 */
	size_t n, room;         /* waiting */
};

struct waiting *agenda_find(const struct agenda *a, const char *id);
/* The entry of that id, made if it is new (then due when the id says it came). */
struct waiting *agenda_add(struct agenda *a, const char *id);
/* Waits (again) until due. */
void agenda_wait(struct agenda *a, struct waiting *e, time_t due);
/* Waits no longer, but stays known. */
void agenda_rest(struct agenda *a, struct waiting *e);
void agenda_remove(struct agenda *a, struct waiting *e);
/* The first to be due, or NULL. */
struct waiting *agenda_first(const struct agenda *a);
/* All that wait, in no order: 0 to n-1. */
struct waiting *agenda_at(const struct agenda *a, size_t i);
void agenda_free(struct agenda *a);

#endif
