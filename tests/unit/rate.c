/* rate: never more than so many in so long, and never less than one may have. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "rate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND INT64_C(1000000)
#define TODAY (INT64_C(1795576000) * SECOND)

static void
a_rate_is_read_in_its_form_and_no_other(void **state)
{
	static const struct {
		const char *text;
		uint32_t n, seconds;    /* 0: none */
	} rows[] = {
		{ "1/s", 1, 1 }, { "60/m", 60, 60 }, { "100/h", 100, 3600 }, { "5/d", 5, 86400 },
		{ "1000000/d", 1000000, 86400 },
		{ "", 0, 0 }, { "60", 0, 0 }, { "60/", 0, 0 }, { "/m", 0, 0 }, { "0/m", 0, 0 }, { "-1/m", 0, 0 },
		{ "1000001/d", 0, 0 }, { "60/min", 0, 0 }, { "60/M", 0, 0 }, { "60 /m", 0, 0 }, { "60/ m", 0, 0 },
		{ "60/w", 0, 0 }, { "1.5/s", 0, 0 }, { "60/m/", 0, 0 }, { "60//m", 0, 0 }, { " 60/m", 0, 0 },
		{ "60/m ", 0, 0 }, { "99999999999999999999/s", 0, 0 }, { "/", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rate r = { 0 };

		if (rate_parse(str_of(rows[i].text), &r) != (rows[i].n > 0) || r.n != rows[i].n ||
		    r.seconds != rows[i].seconds)
			fail_msg("\"%s\"", rows[i].text);
	}
}

static void
a_rate_is_written_as_it_is_read(void **state)
{
	static const char *const rows[] = { "1/s", "60/m", "100/h", "1000000/d" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };
		struct rate r;

		assert_true(rate_parse(str_of(rows[i]), &r));
		rate_write(&r, &out);
		assert_string_equal(buf_c(&out), rows[i]);
		buf_clear(&out);
		rate_write(&(struct rate){ 0 }, &out);
		assert_string_equal(buf_c(&out), "");
		buf_free(&out);
	}
}

static void
no_rate_is_no_limit(void **state)
{
	struct rate none = { 0 };
	int64_t level = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rate_take(&none, 1, &level, TODAY), 0);
	assert_int_equal(level, 0);
}

static void
with_a_burst_of_one_they_come_evenly(void **state)
{
	struct rate r = { 60, 60 };
	int64_t level = 0, before;

	(void)state;
	assert_int_equal(rate_take(&r, 1, &level, TODAY), 0);
	before = level;
	assert_int_equal(rate_take(&r, 1, &level, TODAY), SECOND);
	assert_int_equal(rate_take(&r, 1, &level, TODAY + SECOND - 1), 1);
	assert_int_equal(level, before);
	assert_int_equal(rate_take(&r, 1, &level, TODAY + SECOND), 0);
	assert_int_equal(rate_take(&r, 1, &level, TODAY + SECOND), SECOND);
	/* An hour in which none came is no hour's worth of things at once. */
	assert_int_equal(rate_take(&r, 1, &level, TODAY + 3600 * SECOND), 0);
	assert_int_equal(rate_take(&r, 1, &level, TODAY + 3600 * SECOND), SECOND);
}

static void
a_burst_may_come_at_once_and_then_they_come_evenly(void **state)
{
	struct rate r = { 10, 60 };
	int64_t level = 0, now = TODAY;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(rate_take(&r, 10, &level, now), 0);
	assert_int_equal(rate_take(&r, 10, &level, now), 6 * SECOND);
	now += 6 * SECOND;
	assert_int_equal(rate_take(&r, 10, &level, now), 0);
	assert_int_equal(rate_take(&r, 10, &level, now), 6 * SECOND);
	/* And after as long as it stands for, all of it again. */
	now += 60 * SECOND;
	for (int i = 0; i < 10; i++)
		assert_int_equal(rate_take(&r, 10, &level, now), 0);
	assert_int_equal(rate_take(&r, 10, &level, now), 6 * SECOND);
}

/* Whatever the numbers and however hard somebody tries. */
static void
no_more_come_than_were_said(void **state)
{
	static const struct rate rates[] = { { 7, 1 }, { 3, 1 }, { 999983, 86400 }, { 13, 60 }, { 1, 86400 } };
	static const uint32_t bursts[] = { 1, 2, 5 };

	(void)state;
	for (size_t i = 0; i < COUNT(rates); i++) {
		for (size_t k = 0; k < COUNT(bursts); k++) {
			int64_t level = 0, now = TODAY, wait;
			unsigned came = 0;

			/* Each tries at the first moment that he was told. */
			for (int n = 0; n < 2000; n++) {
				wait = rate_take(&rates[i], bursts[k], &level, now);
				assert_true(wait >= 0);
				came += wait == 0;
				now += wait;
			}
			assert_true(now > TODAY);
			/* came <= burst + time * n / seconds */
			assert_true((__int128)(came - bursts[k]) * rates[i].seconds * SECOND <=
			    (__int128)(now - TODAY) * rates[i].n);
			assert_true(came >= 999);
		}
	}
}

static void
the_epoch_does_not_matter(void **state)
{
	static const int64_t epochs[] = { 1, 5, SECOND, TODAY, INT64_MAX / 2 };
	struct rate r = { 1, 60 };

	(void)state;
	for (size_t i = 0; i < COUNT(epochs); i++) {
		int64_t level = 0, wait;

		assert_int_equal(rate_take(&r, 1, &level, epochs[i]), 0);
		wait = rate_take(&r, 1, &level, epochs[i]);
		assert_int_equal(wait, 60 * SECOND);
	}
}

static void
a_clock_that_was_ahead_costs_no_more_than_one_step(void **state)
{
	static const int64_t levels[] = { TODAY + 86400 * SECOND, INT64_MAX, INT64_MAX - 1 };
	struct rate r = { 10, 60 };

	(void)state;
	for (size_t i = 0; i < COUNT(levels); i++) {
		int64_t level = levels[i], wait = rate_take(&r, 10, &level, TODAY);

		assert_int_equal(wait, 6 * SECOND);
		assert_true(level <= TODAY + 60 * SECOND);
		assert_int_equal(rate_take(&r, 10, &level, TODAY + wait), 0);
	}
}

static void
a_level_of_long_ago_is_no_credit(void **state)
{
	static const int64_t levels[] = { 1, -1, INT64_MIN, TODAY - 86400 * SECOND };
	struct rate r = { 10, 60 };

	(void)state;
	for (size_t i = 0; i < COUNT(levels); i++) {
		int64_t level = levels[i];

		for (int n = 0; n < 3; n++)
			assert_int_equal(rate_take(&r, 3, &level, TODAY), 0);
		assert_int_equal(rate_take(&r, 3, &level, TODAY), 6 * SECOND);
	}
}

static void
the_largest_numbers_do_not_run_over(void **state)
{
	struct rate slow = { 1, 86400 };
	int64_t level = 0;

	(void)state;
	assert_int_equal(rate_take(&slow, UINT32_MAX, &level, TODAY), 0);
	assert_int_equal(rate_take(&slow, UINT32_MAX, &level, TODAY), 0);
	assert_int_equal(rate_take(&slow, 0, &level, TODAY), 86400 * SECOND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rate_is_read_in_its_form_and_no_other),
		cmocka_unit_test(a_rate_is_written_as_it_is_read),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(with_a_burst_of_one_they_come_evenly),
		cmocka_unit_test(a_burst_may_come_at_once_and_then_they_come_evenly),
		cmocka_unit_test(no_more_come_than_were_said),
		cmocka_unit_test(the_epoch_does_not_matter),
		cmocka_unit_test(a_clock_that_was_ahead_costs_no_more_than_one_step),
		cmocka_unit_test(a_level_of_long_ago_is_no_credit),
		cmocka_unit_test(the_largest_numbers_do_not_run_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
