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

/* ---- one lane, a heap ---------------------------------------------------- */

static void
put(struct lane *l, size_t place, struct waiting *e)
{
	l->heap[place] = e;
	e->place = place;
}

static void
rise(struct lane *l, struct waiting *e)
{
	size_t place = e->place;

	while (place > 1 && before(e, l->heap[place / 2])) {
		put(l, place, l->heap[place / 2]);
		place /= 2;
	}
	put(l, place, e);
}

static void
sink(struct lane *l, struct waiting *e)
{
	size_t place = e->place, child;

	while ((child = place * 2) <= l->n) {
		if (child < l->n && before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], e))
			break;
		put(l, place, l->heap[child]);
		place = child;
	}
	put(l, place, e);
}

static struct waiting *
first(const struct lane *l)
{
	return l->n > 0 ? l->heap[1] : NULL;
}

/* ---- whose ----------------------------------------------------------------- */

static uint32_t
lane_of(struct agenda *a, uid_t uid)
{
	for (size_t i = 0; i < a->nlanes; i++)
		if (a->lanes[i].uid == uid)
			return (uint32_t)i;
	a->lanes = mem_grow(a->lanes, a->nlanes + 1, sizeof *a->lanes);
	a->lanes[a->nlanes] = (struct lane){ .uid = uid };
	return (uint32_t)a->nlanes++;
}

/* Now it is known whose it is. */
static void
change_lane(struct agenda *a, struct waiting *e, uid_t uid)
{
	bool waits = e->place != 0;

	agenda_rest(a, e);
	a->lanes[e->lane].known--;
	/* Of a hundred thousand that were nobody's nothing stays behind. */
	if (a->lanes[e->lane].n == 0) {
		free(a->lanes[e->lane].heap);
		a->lanes[e->lane].heap = NULL;
		a->lanes[e->lane].room = 0;
	}
	e->lane = lane_of(a, uid);
	a->lanes[e->lane].known++;
	if (waits)
		agenda_wait(a, e, e->due);
}

uid_t
agenda_uid(const struct agenda *a, const struct waiting *e)
{
	return a->lanes[e->lane].uid;
}

/* ---- the table ---------------------------------------------------------------- */

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
agenda_add(struct agenda *a, const char *id, uid_t uid)
{
	struct waiting *e = agenda_find(a, id);

	if (e != NULL) {
		if (uid != AGENDA_UNKNOWN && agenda_uid(a, e) != uid)
			change_lane(a, e, uid);
		return e;
	}
	e = mem_alloc(sizeof *e);
	memcpy(e->id, id, ENVELOPE_ID_LEN);
	if (tsearch(e, &a->by_id, compare) == NULL)
		abort();        /* out of memory, after a thousand others were not */
	e->lane = lane_of(a, uid);
	a->lanes[e->lane].known++;
	agenda_wait(a, e, envelope_id_time(id));
	return e;
}

void
agenda_wait(struct agenda *a, struct waiting *e, time_t due)
{
	struct lane *l = &a->lanes[e->lane];

	agenda_rest(a, e);
	e->due = due;
	if (l->n + 2 > l->room) {
		l->room = l->room > 0 ? l->room * 2 : 16;
		l->heap = mem_grow(l->heap, l->room, sizeof *l->heap);
	}
	put(l, ++l->n, e);
	rise(l, e);
	a->n++;
}

void
agenda_rest(struct agenda *a, struct waiting *e)
{
	struct lane *l = &a->lanes[e->lane];
	struct waiting *last;

	if (e->place == 0)
		return;
	a->n--;
	last = l->heap[l->n--];
	if (last != e) {
		put(l, e->place, last);
		rise(l, last);
		sink(l, last);
	}
	e->place = 0;
}

void
agenda_remove(struct agenda *a, struct waiting *e)
{
	agenda_rest(a, e);
	a->lanes[e->lane].known--;
	tdelete(e, &a->by_id, compare);
	free(e);
}

/* What twalk_r looks for, and what it has found. */
struct walk {
	char (*ids)[ENVELOPE_ID_LEN + 1];
	size_t n;
	struct waiting **gone;
	size_t ngone;
};

static int
compare_id(const void *id, const void *of)
{
	return strcmp(id, of);
}

static void
note_gone(const void *node, VISIT visit, void *closure)
{
	struct waiting *e = *(struct waiting *const *)node;
	struct walk *w = closure;

	if ((visit != postorder && visit != leaf) || e->out ||
	    (w->n > 0 && bsearch(e->id, w->ids, w->n, sizeof *w->ids, compare_id) != NULL))
		return;
	w->gone = mem_more(w->gone, w->ngone, sizeof(struct waiting *));
	w->gone[w->ngone++] = e;
}

void
agenda_keep_only(struct agenda *a, char (*ids)[ENVELOPE_ID_LEN + 1], size_t n)
{
	struct walk w = { .ids = ids, .n = n };
	size_t known = 0;

	for (size_t i = 0; i < a->nlanes; i++)
		known += a->lanes[i].known;
	/* All of the ids are known, so as many means the same ones. */
	if (known == n)
		return;
	twalk_r(a->by_id, note_gone, &w);
	for (size_t i = 0; i < w.ngone; i++)
		agenda_remove(a, w.gone[i]);
	free(w.gone);
}

struct waiting *
agenda_at(const struct agenda *a, size_t i)
{
	const struct lane *l = a->lanes;

	for (; i >= l->n; l++)
		i -= l->n;
	return l->heap[i + 1];
}

/* ---- who is next ------------------------------------------------------------------ */

struct waiting *
agenda_first(const struct agenda *a)
{
	struct waiting *best = NULL, *e;

	for (size_t i = 0; i < a->nlanes; i++)
		if ((e = first(&a->lanes[i])) != NULL && (best == NULL || before(e, best)))
			best = e;
	return best;
}

struct waiting *
agenda_first_of(const struct agenda *a, uid_t uid)
{
	for (size_t i = 0; i < a->nlanes; i++)
		if (a->lanes[i].uid == uid)
			return first(&a->lanes[i]);
	return NULL;
}

struct waiting *
agenda_next(const struct agenda *a, time_t now)
{
	struct waiting *root = agenda_first_of(a, 0), *unknown = agenda_first_of(a, AGENDA_UNKNOWN), *e;

	if (root != NULL && root->due > now)
		root = NULL;
	if (root != NULL && !a->root_drawn)
		return root;
	for (size_t i = 1; i <= a->nlanes; i++) {
		const struct lane *l = &a->lanes[(a->drawn + i) % a->nlanes];

		if (l->uid != 0 && l->uid != AGENDA_UNKNOWN && (e = first(l)) != NULL && e->due <= now)
			return e;
	}
	if (root != NULL)
		return root;
	return unknown != NULL && unknown->due <= now ? unknown : NULL;
}

void
agenda_drawn(struct agenda *a, const struct waiting *e)
{
	a->root_drawn = agenda_uid(a, e) == 0;
	if (!a->root_drawn)
		a->drawn = e->lane;
}

void
agenda_free(struct agenda *a)
{
	tdestroy(a->by_id, free);
	for (size_t i = 0; i < a->nlanes; i++)
		free(a->lanes[i].heap);
	free(a->lanes);
	*a = (struct agenda){ 0 };
}
