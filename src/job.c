#include "job.h"

#include <stdlib.h>

#include "ledger.h"
#include "route.h"

enum { HEARD_NOTHING, HEARD, LOGGED };

void
job_free(struct job *j)
{
	spool_letter_free(&j->letter);
	free(j->recipients);
	free(j->heard);
	*j = (struct job)JOB_INIT;
}

/* ---- which way -------------------------------------------------------------------- */

/* The account's place; -1, with the reason, where none carries it.  view: as it holds for
 * the submitter, whose own account, where he has one, is in the first place of it. */
static int
way_of(const struct config *view, unsigned own, const struct envelope *e, size_t i, struct why *why)
{
	int way = route_in_view(view, e->from, e->to[i].address, why);

	return way == 0 ? (int)own : way;
}

uint32_t
job_ways(const struct config *c, struct letter *l, bool *unrouted)
{
	struct config view;
	unsigned own = config_view(c, l->envelope.uid, &view);
	struct why why;
	uint32_t ways = 0;

	*unrouted = false;
	for (size_t i = 0; i < l->fate.n; i++) {
		int way;

		if (l->fate.to[i].outcome != LATER)
			continue;
		way = way_of(&view, own, &l->envelope, i, &why);
		if (way >= 0) {
			ways |= (uint32_t)1 << way;
		} else {
			*unrouted = true;
			fate_note(&l->fate, i, LATER, &why);
			l->fate.last = why;
		}
	}
	return ways;
}

/* The next of them, from that place on; as many as there are where there is none. */
static size_t
next_of(const struct config *view, unsigned own, const struct letter *l, unsigned account, size_t i)
{
	struct why why;

	while (i < l->fate.n && (l->fate.to[i].outcome != LATER ||
	    way_of(view, own, &l->envelope, i, &why) != (int)account))
		i++;
	return i;
}

void
job_pick(struct job *j, const struct config *c, unsigned account, size_t from, size_t most)
{
	const struct letter *l = &j->letter;
	struct config view;
	unsigned own = config_view(c, l->envelope.uid, &view);
	size_t waiting = fate_count(&l->fate, LATER);

	if (most > waiting)
		most = waiting;
	j->account = account;
	j->n = 0;
	j->recipients = mem_grow(j->recipients, most + 1, sizeof *j->recipients);
	for (size_t i = next_of(&view, own, l, account, from); i < l->fate.n && j->n < most;
	    i = next_of(&view, own, l, account, i + 1))
		j->recipients[j->n++] = i;
	free(j->heard);
	j->heard = mem_alloc(j->n + 1);
}

void
job_pick_all(struct job *j)
{
	j->n = j->letter.fate.n;
	j->recipients = mem_grow(j->recipients, j->n + 1, sizeof *j->recipients);
	for (size_t i = 0; i < j->n; i++)
		j->recipients[i] = i;
	free(j->heard);
	j->heard = mem_alloc(j->n + 1);
}

bool
job_is_answered(const struct job *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->heard[i] != HEARD_NOTHING)
			return true;
	return false;
}

bool
job_has_more(const struct job *j, const struct config *c)
{
	const struct letter *l = &j->letter;
	struct config view;
	unsigned own = config_view(c, l->envelope.uid, &view);

	return j->n > 0 && j->recipients[j->n - 1] + 1 < l->fate.n &&
	    next_of(&view, own, l, j->account, j->recipients[j->n - 1] + 1) < l->fate.n;
}

/* ---- what was answered ------------------------------------------------------------- */

static int
compare_places(const void *a, const void *b)
{
	const size_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void
job_answer(struct job *j, const struct errand *e)
{
	struct fate *f = &j->letter.fate;
	const size_t *at = j->n > 0 ? bsearch(&e->recipient, j->recipients, j->n, sizeof *j->recipients,
	    compare_places) : NULL;

	if (at == NULL)
		return;
	j->heard[at - j->recipients] = HEARD;
	fate_note(f, e->recipient, e->outcome, &e->why);
	if (e->outcome == LATER && (e->why.scope == SCOPE_ACCOUNT || e->why.scope == SCOPE_SERVER)) {
		j->troubled = true;
		j->trouble = e->why;
		return;
	}
	if (e->outcome == LATER && e->why.scope == SCOPE_NONE) {
		j->cut = true;
		j->trouble = e->why;
		return;
	}
	j->spoken = true;
	if (e->outcome != DONE)
		f->last = e->why;
}

void
job_keep_dialogue(struct job *j, struct str dialogue)
{
	fate_keep_dialogue(&j->letter.fate, dialogue);
}

void
job_log(struct job *j, bool over)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->heard[i] == LOGGED || (j->heard[i] == HEARD_NOTHING && !over))
			continue;
		j->heard[i] = LOGGED;
		ledger_log_answer(&j->letter, j->recipients[i]);
	}
}
