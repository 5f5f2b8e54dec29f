/* agenda: whoever is due next comes first, whatever was done before. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agenda.h"
#include "buf.h"

static uint64_t chance_state = 88172645463325252;

static uint64_t
chance(void)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return chance_state;
}

static void
make_id(uint64_t second, uint64_t tail, char id[ENVELOPE_ID_LEN + 1])
{
	envelope_make_id(second * 1000000, tail, id);
}

static void
an_empty_agenda_has_nobody(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];

	(void)state;
	make_id(1, 1, id);
	assert_null(agenda_first(&a, AGENDA_ALL));
	assert_null(agenda_find(&a, id));
	agenda_free(&a);
	agenda_free(&a);
}

static void
a_new_entry_is_due_when_its_id_was_made(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(1795576000, 5, id);
	e = agenda_add(&a, id, 1000, 0);
	assert_string_equal(e->id, id);
	assert_true(e->due == 1795576000 && !e->out && e->place > 0);
	assert_ptr_equal(agenda_first(&a, AGENDA_ALL), e);
	agenda_free(&a);
}

static void
an_entry_that_is_known_is_not_added_twice(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(7, 5, id);
	e = agenda_add(&a, id, 1000, 0);
	agenda_wait(&a, e, 99);
	assert_ptr_equal(agenda_add(&a, id, 1000, 0), e);
	assert_true(e->due == 99 && a.n == 1);
	agenda_rest(&a, e);
	assert_ptr_equal(agenda_add(&a, id, 1000, 0), e);
	assert_int_equal(e->place, 0);
	agenda_free(&a);
}

static void
they_come_by_the_moment_they_are_due_then_by_age(void **state)
{
	static const time_t due[] = { 50, 20, 20, 90, 20, 10 };
	static const unsigned order[] = { 5, 1, 2, 4, 0, 3 };
	struct agenda a = { 0 };
	char ids[6][ENVELOPE_ID_LEN + 1];

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		make_id(1000 + i, 0, ids[i]);
	for (unsigned i = 6; i-- > 0; )
		agenda_wait(&a, agenda_add(&a, ids[i], 1000, 0), due[i]);
	for (unsigned i = 0; i < 6; i++) {
		struct waiting *e = agenda_first(&a, AGENDA_ALL);

		assert_string_equal(e->id, ids[order[i]]);
		agenda_rest(&a, e);
	}
	assert_null(agenda_first(&a, AGENDA_ALL));
	agenda_free(&a);
}

static void
whoever_rests_is_still_known_and_can_wait_again(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(7, 5, id);
	e = agenda_add(&a, id, 1000, 0);
	agenda_rest(&a, e);
	agenda_rest(&a, e);
	assert_null(agenda_first(&a, AGENDA_ALL));
	assert_ptr_equal(agenda_find(&a, id), e);
	agenda_wait(&a, e, 3);
	assert_ptr_equal(agenda_first(&a, AGENDA_ALL), e);
	agenda_free(&a);
}

static void
waiting_until_another_moment_moves_an_entry(void **state)
{
	struct agenda a = { 0 };
	char ids[2][ENVELOPE_ID_LEN + 1];
	struct waiting *e[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		make_id(100 + i, 0, ids[i]);
		e[i] = agenda_add(&a, ids[i], 1000, 0);
	}
	agenda_wait(&a, e[0], 200);
	assert_ptr_equal(agenda_first(&a, AGENDA_ALL), e[1]);
	agenda_wait(&a, e[0], 50);
	assert_ptr_equal(agenda_first(&a, AGENDA_ALL), e[0]);
	assert_int_equal(a.n, 2);
	agenda_free(&a);
}

static void
whoever_is_removed_is_no_longer_known(void **state)
{
	struct agenda a = { 0 };
	char ids[3][ENVELOPE_ID_LEN + 1];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		make_id(100 + i, 0, ids[i]);
		agenda_add(&a, ids[i], 1000, 0);
	}
	agenda_remove(&a, agenda_find(&a, ids[0]));
	assert_null(agenda_find(&a, ids[0]));
	agenda_rest(&a, agenda_find(&a, ids[2]));
	agenda_remove(&a, agenda_find(&a, ids[2]));
	assert_null(agenda_find(&a, ids[2]));
	assert_int_equal(a.n, 1);
	assert_string_equal(agenda_first(&a, AGENDA_ALL)->id, ids[1]);
	agenda_free(&a);
}

static void
all_that_wait_can_be_gone_through(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	uint64_t sum = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		make_id(i, i, id);
		agenda_add(&a, id, 1000, 0)->round = i;
	}
	make_id(50, 50, id);
	agenda_rest(&a, agenda_find(&a, id));
	assert_int_equal(a.n, 99);
	for (size_t i = 0; i < a.n; i++)
		sum += agenda_at(&a, i)->round;
	assert_int_equal(sum, 4950 - 50);
	agenda_free(&a);
}

/* ---- whose they are, and whose turn it is ---- */

enum { ALL_DUE = 2000 };

/* n messages of a uid, the first of them made in that second. */
static void
add_many(struct agenda *a, uid_t uid, unsigned n, unsigned second)
{
	char id[ENVELOPE_ID_LEN + 1];

	for (unsigned i = 0; i < n; i++) {
		make_id(second + i, uid, id);
		agenda_add(a, id, uid, 0);
	}
}

/* Whose turns the next n are, a letter each: r root, ? nobody knows, a to z others. */
static const char *
turns(struct agenda *a, struct turn *t, unsigned n)
{
	static char said[64];
	unsigned i = 0;
	struct waiting *e;

	for (; i < n && (e = agenda_next(a, t, AGENDA_ALL, ALL_DUE)) != NULL; i++) {
		uid_t uid = agenda_uid(a, e);

		said[i] = uid == 0 ? 'r' : uid == AGENDA_UNKNOWN ? '?' : (char)('a' + uid - 1);
		agenda_drawn(a, t, e);
		agenda_remove(a, e);
	}
	said[i] = '\0';
	return said;
}

static void
uids_are_drawn_in_turn_and_root_every_other_time(void **state)
{
	static const struct {
		struct {
			uid_t uid;
			unsigned n, second;
		} have[4];
		const char *turns;
	} rows[] = {
		{ { { 1, 3, 100 } }, "aaa" },
		{ { { 0, 3, 100 } }, "rrr" },
		{ { { 1, 5, 100 }, { 2, 2, 900 } }, "ababaaa" },
		{ { { 1, 3, 900 }, { 2, 2, 100 }, { 3, 1, 500 } }, "abcaba" },
		{ { { 1, 4, 100 }, { 0, 1, 900 } }, "raaaa" },
		{ { { 1, 2, 100 }, { 0, 3, 900 }, { 2, 2, 900 } }, "rarbrab" },
		{ { { AGENDA_UNKNOWN, 2, 1 }, { 1, 2, 900 } }, "aa??" },
		{ { { AGENDA_UNKNOWN, 1, 1 }, { 0, 2, 900 } }, "rr?" },
		{ { { AGENDA_UNKNOWN, 2, 1 } }, "??" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct agenda a = { 0 };
		struct turn t = { 0 };
		unsigned n = 0;

		for (unsigned j = 0; j < 4; j++) {
			add_many(&a, rows[i].have[j].uid, rows[i].have[j].n, rows[i].have[j].second);
			n += rows[i].have[j].n;
		}
		/* So that the first lane is the first to have its turn. */
		t.drawn = a.nlanes - 1;
		assert_string_equal(turns(&a, &t, n + 1), rows[i].turns);
		agenda_free(&a);
	}
}

static void
a_turn_lasts_until_it_was_drawn(void **state)
{
	struct agenda a = { 0 };
	struct turn t = { 0 };
	struct waiting *e;

	(void)state;
	add_many(&a, 1, 2, 100);
	add_many(&a, 2, 2, 100);
	e = agenda_next(&a, &t, AGENDA_ALL, ALL_DUE);
	assert_ptr_equal(agenda_next(&a, &t, AGENDA_ALL, ALL_DUE), e);
	agenda_drawn(&a, &t, e);
	assert_true(agenda_uid(&a, agenda_next(&a, &t, AGENDA_ALL, ALL_DUE)) != agenda_uid(&a, e));
	agenda_free(&a);
}

static void
who_has_nothing_due_has_no_turn(void **state)
{
	struct agenda a = { 0 };
	struct turn t = { 0 };

	(void)state;
	add_many(&a, 1, 2, 100);
	add_many(&a, 0, 1, ALL_DUE + 1);
	add_many(&a, AGENDA_UNKNOWN, 1, ALL_DUE + 1);
	assert_string_equal(turns(&a, &t, 9), "aa");
	assert_int_equal(a.n, 2);
	agenda_free(&a);
}

static void
the_one_of_a_uid_comes_within_two_turns_of_many(void **state)
{
	static const uid_t others[] = { 0, 7 };

	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct agenda a = { 0 };
		struct turn t = { 0 };

		add_many(&a, 1, 1500, 100);
		turns(&a, &t, 10);
		add_many(&a, others[i], 1, 1900);
		assert_non_null(strchr(turns(&a, &t, 2), others[i] == 0 ? 'r' : 'a' + 6));
		agenda_free(&a);
	}
}

static void
who_turns_out_to_be_anothers_changes_lanes_as_it_waits(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(7, 5, id);
	e = agenda_add(&a, id, AGENDA_UNKNOWN, 0);
	agenda_wait(&a, e, 99);
	assert_ptr_equal(agenda_first_unknown(&a), e);
	assert_ptr_equal(agenda_add(&a, id, 4, 0), e);
	assert_true(agenda_uid(&a, e) == 4 && e->due == 99 && a.n == 1);
	assert_null(agenda_first_unknown(&a));
	assert_int_equal(agenda_uid(&a, agenda_first(&a, 1)), 4);
	/* To know less changes nothing. */
	agenda_add(&a, id, AGENDA_UNKNOWN, 0);
	assert_int_equal(agenda_uid(&a, e), 4);
	agenda_rest(&a, e);
	agenda_add(&a, id, 5, 0);
	assert_true(agenda_uid(&a, e) == 5 && e->place == 0 && a.n == 0);
	assert_null(agenda_first(&a, AGENDA_ALL));
	agenda_free(&a);
}

static size_t
known(const struct agenda *a, uid_t uid)
{
	for (size_t i = 0; i < a->nsubmitters; i++)
		if (a->submitters[i].uid == uid)
			return a->submitters[i].known;
	return 0;
}

static void
a_uid_is_known_to_have_so_many_those_that_rest_too(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];

	(void)state;
	add_many(&a, 1, 3, 100);
	add_many(&a, AGENDA_UNKNOWN, 1, 500);
	make_id(100, 1, id);
	agenda_rest(&a, agenda_find(&a, id));
	assert_int_equal(known(&a, 1), 3);
	make_id(500, AGENDA_UNKNOWN, id);
	agenda_add(&a, id, 1, 0);
	assert_true(known(&a, 1) == 4 && known(&a, AGENDA_UNKNOWN) == 0);
	agenda_remove(&a, agenda_find(&a, id));
	assert_int_equal(known(&a, 1), 3);
	agenda_free(&a);
}

static void
what_is_gone_is_forgotten_but_not_what_a_courier_has(void **state)
{
	struct agenda a = { 0 };
	char ids[3][ENVELOPE_ID_LEN + 1];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		make_id(100 + i, 0, ids[i]);
		agenda_add(&a, ids[i], i, 0);
	}
	agenda_keep_only(&a, ids, 3);
	assert_int_equal(a.n, 3);
	agenda_rest(&a, agenda_find(&a, ids[0]));
	agenda_rest(&a, agenda_find(&a, ids[1]));
	agenda_find(&a, ids[0])->out = true;
	agenda_keep_only(&a, ids + 2, 1);
	assert_non_null(agenda_find(&a, ids[0]));
	assert_null(agenda_find(&a, ids[1]));
	assert_non_null(agenda_find(&a, ids[2]));
	assert_true(known(&a, 0) == 1 && known(&a, 1) == 0 && known(&a, 2) == 1);
	agenda_find(&a, ids[0])->out = false;
	agenda_keep_only(&a, NULL, 0);
	assert_true(a.n == 0 && a.by_id == NULL);
	agenda_free(&a);
}

/* ---- which way they go ---- */

static void
mail_of_an_account_that_nobody_draws_for_stands_before_nobodys(void **state)
{
	struct agenda a = { 0 };
	struct turn t = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		make_id(100 + i, 1, id);
		agenda_add(&a, id, 1, 0);
	}
	make_id(1500, 2, id);
	e = agenda_add(&a, id, 1, 3);
	assert_ptr_equal(agenda_next(&a, &t, 1 << 3, ALL_DUE), e);
	assert_ptr_equal(agenda_first(&a, 1 << 3), e);
	assert_true(agenda_next(&a, &t, 1, ALL_DUE) != e);
	assert_null(agenda_next(&a, &t, 1 << 2, ALL_DUE));
	assert_null(agenda_first(&a, 1 << 2));
	agenda_free(&a);
}

static void
who_draws_for_several_accounts_is_given_all_uids_in_turn(void **state)
{
	static const struct {
		uid_t uid;
		unsigned account;
	} rows[] = { { 1, 0 }, { 1, 1 }, { 2, 1 }, { 1, 2 } };
	struct agenda a = { 0 };
	struct turn t = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	unsigned drawn[3] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		make_id(100 + i, i, id);
		agenda_add(&a, id, rows[i % 4].uid, rows[i % 4].account);
	}
	for (unsigned i = 0; i < 20; i++) {
		struct waiting *e = agenda_next(&a, &t, 1 << 1 | 1 << 0, ALL_DUE);

		assert_true(agenda_account(&a, e) < 2);
		drawn[agenda_uid(&a, e)]++;
		agenda_drawn(&a, &t, e);
		agenda_rest(&a, e);
	}
	/* uid 2 has one lane of the three: its third of the turns, not what is left. */
	assert_true(drawn[2] >= 6 && drawn[1] >= 12);
	agenda_free(&a);
}

static void
where_the_ways_are_others_now_nobody_is_known_to_go_any(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(100, 1, id);
	e = agenda_add(&a, id, 7, 2);
	e->asked = 4;
	agenda_wait(&a, e, 321);
	agenda_move_all(&a, AGENDA_NOWHERE);
	assert_ptr_equal(agenda_first_unknown(&a), e);
	assert_true(e->due == 321 && e->asked == 0 && a.n == 1);
	agenda_move(&a, e, 7, 5);
	assert_true(agenda_uid(&a, e) == 7 && agenda_account(&a, e) == 5 && e->due == 321);
	agenda_move_all(&a, 0);
	assert_int_equal(agenda_account(&a, e), 0);
	agenda_free(&a);
}

static void
those_that_are_due_are_counted_and_no_further_than_asked(void **state)
{
	static const struct {
		size_t most, counted;
	} rows[] = { { 0, 0 }, { 1, 1 }, { 7, 7 }, { 30, 30 }, { 31, 30 }, { 1000, 30 } };
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		make_id(100 + i, i, id);
		agenda_wait(&a, agenda_add(&a, id, i % 2, i % 3), i < 45 ? (time_t)i : ALL_DUE + 1);
	}
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(agenda_due(&a, 1 | 2, ALL_DUE, rows[i].most), rows[i].counted);
	assert_int_equal(agenda_due(&a, AGENDA_ALL, ALL_DUE, 1000), 45);
	assert_int_equal(agenda_due(&a, 1 << 3, ALL_DUE, 1000), 0);
	agenda_free(&a);
}

/* ---- against a model that is too simple to be wrong ---- */

enum { ROOM = 300, OPERATIONS = 100000 };

struct modelled {
	bool known, waits;
	time_t due;
	char id[ENVELOPE_ID_LEN + 1];
};

static const struct modelled *
first_of(const struct modelled *m)
{
	const struct modelled *best = NULL;

	for (size_t i = 0; i < ROOM; i++) {
		if (!m[i].known || !m[i].waits)
			continue;
		if (best == NULL || m[i].due < best->due ||
		    (m[i].due == best->due && strcmp(m[i].id, best->id) < 0))
			best = &m[i];
	}
	return best;
}

static void
operate(struct agenda *a, struct modelled *m)
{
	struct waiting *e = agenda_find(a, m->id);

	assert_true((e != NULL) == m->known);
	switch (chance() % 4) {
	case 0:
		if (e == NULL) {
			agenda_add(a, m->id, (uid_t)(chance() % 5), 0);
			m->known = m->waits = true;
			m->due = envelope_id_time(m->id);
		}
		break;
	case 1:
		if (e != NULL) {
			m->due = (time_t)(chance() % 50);
			m->waits = true;
			agenda_wait(a, e, m->due);
		}
		break;
	case 2:
		if (e != NULL) {
			agenda_add(a, m->id, (uid_t)(chance() % 5), 0);
			agenda_rest(a, e);
			m->waits = false;
		}
		break;
	default:
		if (e != NULL && chance() % 4 == 0) {
			agenda_remove(a, e);
			m->known = m->waits = false;
		}
		break;
	}
}

static void
after_a_hundred_thousand_operations_it_agrees_with_a_plain_list(void **state)
{
	struct agenda a = { 0 };
	struct modelled *m = mem_alloc(ROOM * sizeof *m);

	(void)state;
	for (unsigned i = 0; i < ROOM; i++)
		make_id(chance() % 50, i, m[i].id);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		operate(&a, &m[chance() % ROOM]);
		if (i % 16 == 0) {
			const struct modelled *want = first_of(m);
			const struct waiting *got = agenda_first(&a, AGENDA_ALL);

			assert_true((want != NULL) == (got != NULL));
			if (want != NULL)
				assert_string_equal(got->id, want->id);
		}
	}
	agenda_free(&a);
	free(m);
}

static void
a_hundred_thousand_entries_come_out_in_order(void **state)
{
	struct agenda a = { 0 };
	char id[ENVELOPE_ID_LEN + 1];
	time_t before = 0;

	(void)state;
	assert_true(sizeof(struct waiting) <= 56);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		make_id(i, chance(), id);
		agenda_wait(&a, agenda_add(&a, id, i % 7, i % 3), (time_t)(chance() % 1000000));
	}
	for (unsigned i = 0; i < OPERATIONS; i++) {
		struct waiting *e = agenda_first(&a, AGENDA_ALL);

		assert_true(e->due >= before);
		before = e->due;
		agenda_remove(&a, e);
	}
	assert_true(a.n == 0 && a.by_id == NULL);
	agenda_free(&a);
}

/* Draws and removes until nobody is due: letters of the drawn, by their tails. */
static void
draw_all(struct agenda *a, time_t now, char *drawn)
{
	struct turn t = { 0 };
	struct waiting *e;

	while ((e = agenda_next(a, &t, 1, now)) != NULL) {
		char id[ENVELOPE_ID_LEN + 1];

		/* The tail of ids here is a letter's place in the alphabet, in base 32. */
		memcpy(id, e->id, sizeof id);
		*drawn++ = (char)('a' + (id[ENVELOPE_ID_LEN - 1] <= '9' ? id[ENVELOPE_ID_LEN - 1] - '0' :
		    id[ENVELOPE_ID_LEN - 1] - 'A' + 10));
		agenda_drawn(a, &t, e);
		agenda_remove(a, e);
	}
	*drawn = '\0';
}

/* E-29: within what one has to send, and to nobody else's harm. */
static void
a_priority_goes_before_the_rest_of_the_same_uid(void **state)
{
	static const struct {
		struct {
			uid_t uid;
			int priority;
			time_t due;             /* 0: when it came */
		} v[6];                         /* in the order in which they came: a, b, ... */
		const char *drawn;
	} rows[] = {
		{ { { 7, 0, 0 }, { 7, 0, 0 }, { 7, 4, 0 } }, "cab" },
		{ { { 7, -1, 0 }, { 7, 0, 0 }, { 7, 0, 0 } }, "bca" },
		{ { { 7, -9, 0 }, { 7, -1, 0 }, { 7, 9, 0 }, { 7, 0, 0 }, { 7, 1, 0 } }, "cedba" },
		{ { { 7, 4, 0 }, { 7, 4, 0 }, { 7, 0, 0 } }, "abc" },
		/* Others have their turns all the same. */
		{ { { 7, 0, 0 }, { 7, 0, 0 }, { 8, 9, 0 }, { 8, 9, 0 }, { 7, 0, 0 } }, "cadbe" },
		/* One that is put off keeps nobody back. */
		{ { { 7, 0, 0 }, { 7, 9, 5000 } }, "a" },
		/* Root's too. */
		{ { { 0, 0, 0 }, { 0, 3, 0 }, { 7, 0, 0 } }, "bca" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct agenda a = { 0 };
		char drawn[8];

		for (size_t n = 0; n < 6 && rows[i].v[n].uid + (uid_t)(rows[i].v[n].priority != 0) + (n == 0) > 0; n++) {
			char id[ENVELOPE_ID_LEN + 1];
			struct waiting *e;

			make_id(1000 + n, n, id);
			e = agenda_add(&a, id, rows[i].v[n].uid, 0);
			agenda_rank(&a, e, rows[i].v[n].priority);
			if (rows[i].v[n].due != 0)
				agenda_wait(&a, e, rows[i].v[n].due);
		}
		draw_all(&a, 2000, drawn);
		if (strcmp(drawn, rows[i].drawn) != 0)
			fail_msg("row %zu: %s", i, drawn);
		agenda_free(&a);
	}
}

/* What is found out of it later, whose and which way, moves it to the lane that it has
 * there. */
static void
a_priority_stays_with_what_changes_lanes(void **state)
{
	struct agenda a = { 0 };
	struct turn t = { 0 };
	char first[ENVELOPE_ID_LEN + 1], second[ENVELOPE_ID_LEN + 1];
	struct waiting *e;

	(void)state;
	make_id(1000, 1, first);
	make_id(1001, 2, second);
	agenda_add(&a, first, 7, 0);
	e = agenda_add(&a, second, AGENDA_UNKNOWN, AGENDA_NOWHERE);
	agenda_rank(&a, e, 5);
	assert_ptr_equal(agenda_first_unknown(&a), e);
	agenda_move(&a, e, 7, 0);
	assert_ptr_equal(agenda_next(&a, &t, 1, 2000), e);
	agenda_move_all(&a, 3);
	assert_ptr_equal(agenda_next(&a, &t, 1 << 3, 2000), e);
	agenda_rank(&a, e, 0);
	assert_ptr_not_equal(agenda_next(&a, &t, 1 << 3, 2000), e);
	agenda_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_agenda_has_nobody),
		cmocka_unit_test(a_new_entry_is_due_when_its_id_was_made),
		cmocka_unit_test(an_entry_that_is_known_is_not_added_twice),
		cmocka_unit_test(they_come_by_the_moment_they_are_due_then_by_age),
		cmocka_unit_test(whoever_rests_is_still_known_and_can_wait_again),
		cmocka_unit_test(waiting_until_another_moment_moves_an_entry),
		cmocka_unit_test(whoever_is_removed_is_no_longer_known),
		cmocka_unit_test(all_that_wait_can_be_gone_through),
		cmocka_unit_test(uids_are_drawn_in_turn_and_root_every_other_time),
		cmocka_unit_test(a_turn_lasts_until_it_was_drawn),
		cmocka_unit_test(who_has_nothing_due_has_no_turn),
		cmocka_unit_test(the_one_of_a_uid_comes_within_two_turns_of_many),
		cmocka_unit_test(who_turns_out_to_be_anothers_changes_lanes_as_it_waits),
		cmocka_unit_test(a_uid_is_known_to_have_so_many_those_that_rest_too),
		cmocka_unit_test(what_is_gone_is_forgotten_but_not_what_a_courier_has),
		cmocka_unit_test(mail_of_an_account_that_nobody_draws_for_stands_before_nobodys),
		cmocka_unit_test(who_draws_for_several_accounts_is_given_all_uids_in_turn),
		cmocka_unit_test(where_the_ways_are_others_now_nobody_is_known_to_go_any),
		cmocka_unit_test(those_that_are_due_are_counted_and_no_further_than_asked),
		cmocka_unit_test(after_a_hundred_thousand_operations_it_agrees_with_a_plain_list),
		cmocka_unit_test(a_hundred_thousand_entries_come_out_in_order),
		cmocka_unit_test(a_priority_goes_before_the_rest_of_the_same_uid),
		cmocka_unit_test(a_priority_stays_with_what_changes_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
