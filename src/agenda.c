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
	e->place = (uint32_t)place;
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

static size_t
submitter_of(struct agenda *a, uid_t uid)
{
	for (size_t i = 0; i < a->nsubmitters; i++)
		if (a->submitters[i].uid == uid)
			return i;
	a->submitters = mem_grow(a->submitters, a->nsubmitters + 1, sizeof *a->submitters);
	a->submitters[a->nsubmitters] = (struct submitter){ .uid = uid };
	return a->nsubmitters++;
}

static uint32_t
lane_of(struct agenda *a, uid_t uid, unsigned account, int priority)
{
	size_t submitter;

	if (uid == AGENDA_UNKNOWN || account >= AGENDA_NOWHERE) {
		uid = AGENDA_UNKNOWN;
		account = AGENDA_NOWHERE;
		priority = 0;
	}
	for (size_t i = 0; i < a->nlanes; i++)
		if (a->lanes[i].uid == uid && a->lanes[i].account == account &&
		    a->lanes[i].priority == priority)
			return (uint32_t)i;
	submitter = submitter_of(a, uid);
	a->ranked = a->ranked || priority != 0;
	a->lanes = mem_grow(a->lanes, a->nlanes + 1, sizeof *a->lanes);
	a->lanes[a->nlanes] = (struct lane){ .uid = uid, .account = account, .priority = priority,
		.submitter = submitter };
	return (uint32_t)a->nlanes++;
}

static struct submitter *
submitter(struct agenda *a, const struct waiting *e)
{
	return &a->submitters[a->lanes[e->lane].submitter];
}

static void
change_lane(struct agenda *a, struct waiting *e, uint32_t to)
{
	bool waits = e->place != 0;
	struct lane *from = &a->lanes[e->lane];

	if (e->lane == to)
		return;
	agenda_rest(a, e);
	submitter(a, e)->known--;
	/* Of a hundred thousand that were nobody's nothing stays behind. */
	if (from->n == 0) {
		free(from->heap);
		from->heap = NULL;
		from->room = 0;
	}
	e->lane = to;
	submitter(a, e)->known++;
	if (waits)
		agenda_wait(a, e, e->due);
}

uid_t
agenda_uid(const struct agenda *a, const struct waiting *e)
{
	return a->lanes[e->lane].uid;
}

unsigned
agenda_account(const struct agenda *a, const struct waiting *e)
{
	return a->lanes[e->lane].account;
}

void
agenda_move(struct agenda *a, struct waiting *e, uid_t uid, unsigned account)
{
	change_lane(a, e, lane_of(a, uid, account, e->priority));
}

void
agenda_rank(struct agenda *a, struct waiting *e, int priority)
{
	e->priority = (int8_t)priority;
	agenda_move(a, e, agenda_uid(a, e), agenda_account(a, e));
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
agenda_add(struct agenda *a, const char *id, uid_t uid, unsigned account)
{
	struct waiting *e = agenda_find(a, id);

	if (e != NULL) {
		if (uid != AGENDA_UNKNOWN && account < AGENDA_NOWHERE)
			change_lane(a, e, lane_of(a, uid, account, e->priority));
		return e;
	}
	e = mem_alloc(sizeof *e);
	memcpy(e->id, id, ENVELOPE_ID_LEN);
	if (tsearch(e, &a->by_id, compare) == NULL)
		abort();        /* out of memory, after a thousand others were not */
	e->lane = lane_of(a, uid, account, 0);
	submitter(a, e)->known++;
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
	submitter(a, e)->known--;
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

	for (size_t i = 0; i < a->nsubmitters; i++)
		known += a->submitters[i].known;
	/* All of the ids are known, so as many means the same ones. */
	if (known == n)
		return;
	twalk_r(a->by_id, note_gone, &w);
	for (size_t i = 0; i < w.ngone; i++)
		agenda_remove(a, w.gone[i]);
	free(w.gone);
}

/* What twalk_r takes along. */
struct move {
	struct agenda *agenda;
	unsigned account;
};

static void
move_one(const void *node, VISIT visit, void *closure)
{
	struct waiting *e = *(struct waiting *const *)node;
	const struct move *m = closure;

	if (visit != postorder && visit != leaf)
		return;
	e->asked = e->round = 0;
	/* Of those that are not known yet it is found out one by one. */
	if (agenda_uid(m->agenda, e) != AGENDA_UNKNOWN)
		agenda_move(m->agenda, e, agenda_uid(m->agenda, e), m->account);
}

void
agenda_move_all(struct agenda *a, unsigned account)
{
	twalk_r(a->by_id, move_one, &(struct move){ a, account });
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

static bool
is_of(const struct lane *l, uint64_t accounts)
{
	return (accounts >> l->account & 1) != 0;
}

struct waiting *
agenda_first(const struct agenda *a, uint64_t accounts)
{
	struct waiting *best = NULL, *e;

	for (size_t i = 0; i < a->nlanes; i++)
		if (is_of(&a->lanes[i], accounts) && (e = first(&a->lanes[i])) != NULL &&
		    (best == NULL || before(e, best)))
			best = e;
	return best;
}

struct waiting *
agenda_first_unknown(const struct agenda *a)
{
	return agenda_first(a, (uint64_t)1 << AGENDA_NOWHERE);
}

/* The lane's, where something of it is due. */
static struct waiting *
first_due(const struct lane *l, time_t now)
{
	struct waiting *e = first(l);

	return e != NULL && e->due <= now ? e : NULL;
}

/* Is something of the same uid due that goes before all in this lane? */
static bool
is_outranked(const struct agenda *a, const struct lane *l, uint64_t accounts, time_t now)
{
	for (size_t i = 0; a->ranked && i < a->nlanes; i++) {
		const struct lane *other = &a->lanes[i];

		if (other->uid == l->uid && other->priority > l->priority && is_of(other, accounts) &&
		    first_due(other, now) != NULL)
			return true;
	}
	return false;
}

/* Root's of all these accounts: the first one. */
static struct waiting *
next_of_root(const struct agenda *a, uint64_t accounts, time_t now)
{
	struct waiting *best = NULL, *e;

	for (size_t i = 0; i < a->nlanes; i++) {
		const struct lane *l = &a->lanes[i];

		if (l->uid == 0 && is_of(l, accounts) && (e = first_due(l, now)) != NULL &&
		    (best == NULL || before(e, best)) && !is_outranked(a, l, accounts, now))
			best = e;
	}
	return best;
}

struct waiting *
agenda_next(const struct agenda *a, const struct turn *t, uint64_t accounts, time_t now)
{
	struct waiting *root = next_of_root(a, accounts, now), *e;

	if (root != NULL && !t->root_drawn)
		return root;
	for (size_t i = 1; i <= a->nlanes; i++) {
		const struct lane *l = &a->lanes[(t->drawn + i) % a->nlanes];

		if (l->uid != 0 && l->uid != AGENDA_UNKNOWN && is_of(l, accounts) &&
		    (e = first_due(l, now)) != NULL && !is_outranked(a, l, accounts, now))
			return e;
	}
	if (root != NULL)
		return root;
	e = agenda_first_unknown(a);
	return e != NULL && e->due <= now ? e : NULL;
}

void
agenda_drawn(const struct agenda *a, struct turn *t, const struct waiting *e)
{
	t->root_drawn = agenda_uid(a, e) == 0;
	if (!t->root_drawn)
		t->drawn = e->lane;
}

/* In a heap nobody is due below one that is not. */
static size_t
count_due(const struct lane *l, size_t place, time_t now, size_t most)
{
	size_t n = 1;

	if (most == 0 || place > l->n || l->heap[place]->due > now)
		return 0;
	n += count_due(l, place * 2, now, most - n);
	return n + count_due(l, place * 2 + 1, now, most - n);
}

size_t
agenda_due(const struct agenda *a, uint64_t accounts, time_t now, size_t most)
{
	size_t n = 0;

	for (size_t i = 0; i < a->nlanes && n < most; i++)
		if (is_of(&a->lanes[i], accounts | (uint64_t)1 << AGENDA_NOWHERE))
			n += count_due(&a->lanes[i], 1, now, most - n);
	return n;
}

void
agenda_free(struct agenda *a)
{
	tdestroy(a->by_id, free);
	for (size_t i = 0; i < a->nlanes; i++)
		free(a->lanes[i].heap);
	free(a->lanes);
	free(a->submitters);
	*a = (struct agenda){ 0 };
}
