#include "agenda.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

static int
compare(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static bool
before(const struct waiting *a, const struct waiting *b)
{
	return a->due != b->due ? a->due < b->due : compare(a, b) < 0;
}

static void
put(struct agenda *a, size_t place, struct waiting *e)
{
	a->heap[place] = e;
	e->place = place;
}

static void
rise(struct agenda *a, struct waiting *e)
{
	size_t place = e->place;

	while (place > 1 && before(e, a->heap[place / 2])) {
		put(a, place, a->heap[place / 2]);
		place /= 2;
	}
	put(a, place, e);
}

static void
sink(struct agenda *a, struct waiting *e)
{
	size_t place = e->place, child;

	while ((child = place * 2) <= a->n) {
		if (child < a->n && before(a->heap[child + 1], a->heap[child]))
			child++;
		if (!before(a->heap[child], e))
			break;
		put(a, place, a->heap[child]);
		place = child;
	}
	put(a, place, e);
}

struct waiting *
agenda_find(const struct agenda *a, const char *id)
{
	struct waiting key = { 0 };
	void *node;

	memcpy(key.id, id, ENVELOPE_ID_LEN);
	node = tfind(&key, &a->by_id, compare);
	return node != NULL ? *(struct waiting **)node : NULL;
}

struct waiting *
agenda_add(struct agenda *a, const char *id)
{
	struct waiting *e = agenda_find(a, id);

	if (e != NULL)
		return e;
	e = mem_alloc(sizeof *e);
	memcpy(e->id, id, ENVELOPE_ID_LEN);
	if (tsearch(e, &a->by_id, compare) == NULL)
		abort();        /* out of memory, after a thousand others were not */
	agenda_wait(a, e, envelope_id_time(id));
	return e;
}

void
agenda_wait(struct agenda *a, struct waiting *e, time_t due)
{
	agenda_rest(a, e);
	e->due = due;
	if (a->n + 2 > a->room) {
		a->room = a->room > 0 ? a->room * 2 : 64;
		a->heap = mem_grow(a->heap, a->room, sizeof *a->heap);
	}
	put(a, ++a->n, e);
	rise(a, e);
}

void
agenda_rest(struct agenda *a, struct waiting *e)
{
	struct waiting *last;

	if (e->place == 0)
		return;
	last = a->heap[a->n--];
	if (last != e) {
		put(a, e->place, last);
		rise(a, last);
		sink(a, last);
	}
	e->place = 0;
}

void
agenda_remove(struct agenda *a, struct waiting *e)
{
	agenda_rest(a, e);
	tdelete(e, &a->by_id, compare);
	free(e);
}

struct waiting *
agenda_first(const struct agenda *a)
{
	return a->n > 0 ? a->heap[1] : NULL;
}

struct waiting *
agenda_at(const struct agenda *a, size_t i)
{
	return a->heap[i + 1];
}

void
agenda_free(struct agenda *a)
{
	tdestroy(a->by_id, free);
	free(a->heap);
	*a = (struct agenda){ 0 };
}
