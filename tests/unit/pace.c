/* pace: a rate is kept from one runner to the next. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "pace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct rate hourly = { 1, 3600 }, none = { 0 };

static int
set_up(void **state)
{
	static char path[64];
	struct spool *s = mem_alloc(sizeof *s);

	*s = (struct spool)SPOOL_INIT;
	snprintf(path, sizeof path, "/tmp/subpost-pace-XXXXXX");
	if (mkdtemp(path) == NULL)
		return -1;
	s->path = mem_dup(str_of(path));
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = s;
	return s->dir >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	struct spool *s = *state;

	unlinkat(s->dir, "pace", 0);
	rmdir(s->path);
	spool_close(s);
	free(s);
	return 0;
}

static void
the_first_goes_at_once_and_the_next_after_its_time(void **state)
{
	struct pace p;
	int64_t wait;

	pace_load(*state, "default", &p);
	assert_int_equal(pace_wait(&p, &hourly), 0);
	pace_take(*state, "default", &p, &hourly);
	wait = pace_wait(&p, &hourly);
	assert_true(wait > INT64_C(3590) * 1000000 && wait <= INT64_C(3600) * 1000000);
}

static void
who_comes_later_keeps_the_rate_as_well(void **state)
{
	struct pace p, later;

	pace_load(*state, "default", &p);
	pace_take(*state, "default", &p, &hourly);
	pace_load(*state, "default", &later);
	assert_int_equal(later.level, p.level);
	assert_true(pace_wait(&later, &hourly) > 0);
}

static void
without_a_rate_nothing_waits_and_nothing_is_written(void **state)
{
	struct spool *s = *state;
	struct pace p;

	pace_load(s, "default", &p);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pace_wait(&p, &none), 0);
		pace_take(s, "default", &p, &none);
	}
	assert_int_equal(faccessat(s->dir, "pace", F_OK, 0), -1);
}

static void
a_file_that_is_not_ours_holds_nobody_back(void **state)
{
	static const char *const rows[] = { "", "x", "-1", "12 13", "default", "default -1\n",
		"default 99999999999999999999\n", "default 1 2\n", "defaul 9000000000000000000\n",
		"9000000000000000000\n" };
	struct spool *s = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pace p;

		assert_int_equal(file_replace(s->dir, "pace", str_of(rows[i]), false), 0);
		pace_load(s, "default", &p);
		assert_int_equal(pace_wait(&p, &hourly), 0);
	}
}

static void
a_clock_that_was_ahead_costs_one_step_at_most(void **state)
{
	struct spool *s = *state;
	struct pace p;
	int64_t wait;

	assert_int_equal(file_replace(s->dir, "pace", str_of("default 9000000000000000000\n"), false), 0);
	pace_load(s, "default", &p);
	wait = pace_wait(&p, &hourly);
	assert_true(wait > 0 && wait <= INT64_C(3600) * 1000000);
}

static void
each_account_has_its_own(void **state)
{
	struct spool *s = *state;
	struct pace p, other;

	pace_load(s, "default", &p);
	pace_take(s, "default", &p, &hourly);
	pace_load(s, "other", &other);
	assert_int_equal(pace_wait(&other, &hourly), 0);
	pace_take(s, "other", &other, &hourly);
	pace_load(s, "default", &p);
	assert_true(pace_wait(&p, &hourly) > 0);
	pace_take(s, "default", &p, &none);
	pace_load(s, "other", &p);
	assert_int_equal(p.level, other.level);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_goes_at_once_and_the_next_after_its_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_comes_later_keeps_the_rate_as_well, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_rate_nothing_waits_and_nothing_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_ours_holds_nobody_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_account_has_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_clock_that_was_ahead_costs_one_step_at_most, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
