/* callers: whoever comes by the hundred stands in his own way alone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "callers.h"

#define ANN 1000
#define BEN 1001
#define CID 1002

static const struct callers_caps small = { .clerks_uid = 2, .clerks = 4, .waiting_uid = 3,
	.waiting = 7 };

/* Comes, and is served at once where that may be; the process is named like the caller. */
static enum callers_place
come(struct callers *c, int who, uid_t uid)
{
	unsigned others;
	enum callers_place place = callers_come(c, who, uid, &others);

	if (place == CALLERS_NOW)
		callers_began(c, who, uid);
	return place;
}

/* Serves who is next; 0: nobody. */
static int
next(struct callers *c)
{
	struct caller who;

	if (!callers_next(c, &who))
		return 0;
	callers_began(c, who.fd, who.uid);
	return who.fd;
}

static void
end(struct callers *c, pid_t pid, uid_t want)
{
	uid_t uid;

	assert_true(callers_ended(c, pid, &uid));
	assert_int_equal(uid, want);
}

static void
nobody_waits_while_there_is_a_clerk(void **state)
{
	struct callers c = { .caps = small };

	(void)state;
	assert_int_equal(next(&c), 0);
	assert_int_equal(come(&c, 1, ANN), CALLERS_NOW);
	assert_int_equal(come(&c, 2, ANN), CALLERS_NOW);
	assert_int_equal(come(&c, 3, BEN), CALLERS_NOW);
	assert_int_equal(c.clerks, 3);
	assert_int_equal(c.waiting, 0);
	callers_free(&c);
	callers_free(&c);
}

static void
over_its_cap_a_uid_waits_and_another_does_not(void **state)
{
	struct callers c = { .caps = small };
	unsigned others = 9;

	(void)state;
	come(&c, 1, ANN);
	come(&c, 2, ANN);
	assert_int_equal(callers_come(&c, 3, ANN, &others), CALLERS_LATER);
	assert_int_equal(others, 0);
	assert_int_equal(callers_come(&c, 4, ANN, &others), CALLERS_LATER);
	assert_int_equal(others, 1);
	assert_int_equal(next(&c), 0);
	assert_int_equal(come(&c, 5, BEN), CALLERS_NOW);
	callers_free(&c);
}

static void
one_uid_is_served_in_the_order_it_came(void **state)
{
	struct callers c = { .caps = small };

	(void)state;
	for (int i = 1; i <= 5; i++)
		come(&c, i, ANN);
	end(&c, 1, ANN);
	/* Who comes now stands behind those who wait, though there is a clerk. */
	assert_int_equal(come(&c, 6, ANN), CALLERS_TOO_MANY);
	assert_int_equal(next(&c), 3);
	assert_int_equal(next(&c), 0);
	assert_int_equal(come(&c, 7, ANN), CALLERS_LATER);
	end(&c, 3, ANN);
	assert_int_equal(next(&c), 4);
	end(&c, 4, ANN);
	assert_int_equal(next(&c), 5);
	end(&c, 2, ANN);
	assert_int_equal(next(&c), 7);
	callers_free(&c);
}

static void
uids_have_their_turns(void **state)
{
	/* Three uids stand in line, and however many of one there are, the next is another's. */
	static const struct { int who; uid_t uid; } order[] = { { 21, BEN }, { 31, CID },
		{ 11, ANN }, { 32, CID }, { 12, ANN }, { 13, ANN } };
	struct callers c = { .caps = small };

	(void)state;
	come(&c, 1, BEN);
	come(&c, 2, BEN);
	come(&c, 3, CID);
	come(&c, 4, CID);
	for (int i = 11; i <= 13; i++)
		come(&c, i, ANN);
	come(&c, 21, BEN);
	come(&c, 31, CID);
	come(&c, 32, CID);
	assert_int_equal(next(&c), 0);
	for (int i = 1; i <= 4; i++)
		end(&c, i, i <= 2 ? BEN : CID);
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		assert_int_equal(next(&c), order[i].who);
		end(&c, order[i].who, order[i].uid);
	}
	assert_int_equal(next(&c), 0);
	callers_free(&c);
}

static void
over_the_caps_of_waiting_one_is_turned_away(void **state)
{
	struct callers c = { .caps = small };
	unsigned others;

	(void)state;
	for (int i = 1; i <= 5; i++)
		assert_int_not_equal(come(&c, i, ANN), CALLERS_TOO_MANY);
	assert_int_equal(callers_come(&c, 6, ANN, &others), CALLERS_TOO_MANY);
	assert_int_equal(others, 3);
	assert_int_equal(c.waiting, 3);
	for (int i = 11; i <= 15; i++)
		assert_int_not_equal(come(&c, i, BEN), CALLERS_TOO_MANY);
	assert_int_equal(come(&c, 21, CID), CALLERS_LATER);
	/* Seven wait in all. */
	assert_int_equal(come(&c, 22, CID), CALLERS_TOO_MANY);
	assert_int_equal(come(&c, 31, CID + 1), CALLERS_TOO_MANY);
	callers_free(&c);
}

static void
what_was_no_clerk_is_not_taken_for_one(void **state)
{
	struct callers c = { .caps = small };
	uid_t uid = 7;

	(void)state;
	come(&c, 1, ANN);
	assert_false(callers_ended(&c, 2, &uid));
	assert_int_equal(uid, 7);
	end(&c, 1, ANN);
	assert_false(callers_ended(&c, 1, &uid));
	callers_free(&c);
}

static void
root_has_its_own_whatever_the_others_have(void **state)
{
	struct callers c = { .caps = small };

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(come(&c, 10 + i, ANN + (uid_t)i), CALLERS_NOW);
	for (int i = 0; i < 7; i++)
		assert_int_equal(come(&c, 20 + i, ANN + (uid_t)i), CALLERS_LATER);
	assert_int_equal(come(&c, 30, ANN), CALLERS_TOO_MANY);
	assert_int_equal(come(&c, 1, 0), CALLERS_NOW);
	assert_int_equal(come(&c, 2, 0), CALLERS_NOW);
	for (int i = 3; i < 6; i++)
		assert_int_equal(come(&c, i, 0), CALLERS_LATER);
	assert_int_equal(come(&c, 6, 0), CALLERS_TOO_MANY);
	assert_int_equal(next(&c), 0);
	end(&c, 1, 0);
	assert_int_equal(next(&c), 3);
	assert_int_equal(next(&c), 0);
	callers_free(&c);
}

static void
that_one_is_turned_away_is_told_once_until_he_is_gone(void **state)
{
	struct callers c = { .caps = small };
	struct caller who;

	(void)state;
	for (int i = 1; i <= 5; i++)
		come(&c, i, ANN);
	assert_true(callers_tell(&c, ANN));
	assert_false(callers_tell(&c, ANN));
	while (callers_any(&c, &who))
		continue;
	assert_int_equal(c.waiting, 0);
	end(&c, 1, ANN);
	assert_false(callers_tell(&c, ANN));
	end(&c, 2, ANN);
	assert_true(callers_tell(&c, ANN));
	callers_free(&c);
}

static bool
is_odd(int fd)
{
	return fd % 2 != 0;
}

static void
who_is_tired_of_waiting_makes_room(void **state)
{
	struct callers c = { .caps = small };

	(void)state;
	/* Numbers that are no descriptors: they are closed in vain. */
	for (int i = 1001; i <= 1005; i++)
		come(&c, i, ANN);
	for (int i = 1011; i <= 1015; i++)
		come(&c, i, BEN);
	come(&c, 1021, CID);
	assert_int_equal(come(&c, 1006, ANN), CALLERS_TOO_MANY);
	assert_int_equal(callers_sweep(&c, is_odd), 5);
	assert_int_equal(c.waiting, 2);
	assert_int_equal(callers_sweep(&c, is_odd), 0);
	/* Who stays keeps his place, and who comes stands behind him. */
	assert_int_equal(come(&c, 1006, ANN), CALLERS_LATER);
	end(&c, 1001, ANN);
	end(&c, 1002, ANN);
	assert_int_equal(next(&c), 1004);
	assert_int_equal(next(&c), 1006);
	end(&c, 1011, BEN);
	assert_int_equal(next(&c), 1014);
	assert_int_equal(next(&c), 0);
	callers_free(&c);
}

static uint32_t
chance(uint32_t below)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 33) % below;
}

static void
whatever_happens_no_cap_is_passed_and_no_clerk_idle(void **state)
{
	struct callers c = { .caps = small };
	unsigned kept = 0, served = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uid_t uid;

		if (chance(2) == 0) {
			enum callers_place place = come(&c, ++n, ANN + chance(6));

			kept += place != CALLERS_TOO_MANY;
			served += place == CALLERS_NOW;
		} else if (c.clerks > 0) {
			assert_true(callers_ended(&c, callers_clerk(&c, chance(c.clerks)), &uid));
		}
		while (next(&c) != 0)
			served++;
		assert_true(c.clerks <= small.clerks && c.waiting <= small.waiting);
		assert_int_equal(kept, served + c.waiting);
		for (size_t l = 0; l < c.nlines; l++) {
			assert_true(c.lines[l].clerks <= small.clerks_uid);
			assert_true(c.lines[l].waiting <= small.waiting_uid);
			assert_true(c.lines[l].clerks > 0 || c.lines[l].waiting > 0);
			assert_true(c.lines[l].waiting == 0 || c.clerks == small.clerks ||
			    c.lines[l].clerks == small.clerks_uid);
		}
	}
	assert_true(served > 10000);
	callers_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_while_there_is_a_clerk),
		cmocka_unit_test(over_its_cap_a_uid_waits_and_another_does_not),
		cmocka_unit_test(one_uid_is_served_in_the_order_it_came),
		cmocka_unit_test(uids_have_their_turns),
		cmocka_unit_test(over_the_caps_of_waiting_one_is_turned_away),
		cmocka_unit_test(what_was_no_clerk_is_not_taken_for_one),
		cmocka_unit_test(who_is_tired_of_waiting_makes_room),
		cmocka_unit_test(root_has_its_own_whatever_the_others_have),
		cmocka_unit_test(that_one_is_turned_away_is_told_once_until_he_is_gone),
		cmocka_unit_test(whatever_happens_no_cap_is_passed_and_no_clerk_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
