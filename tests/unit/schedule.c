/* schedule: five days of waiting in no time. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "schedule.h"

#define NOW ((time_t)1795576000)
#define FIVE_DAYS (5 * 86400u)

static const struct steps steps = { .v = { 60, 300, 900, 1800, 3600, 7200, 10800 }, .n = 7 };

static void
each_failure_waits_for_its_own_step(void **state)
{
	(void)state;
	for (unsigned tries = 1; tries <= steps.n; tries++)
		assert_true(schedule_next(&steps, tries, NOW, 0) == NOW + (time_t)steps.v[tries - 1]);
}

static void
the_last_step_repeats_for_ever(void **state)
{
	static const unsigned tries[] = { 7, 8, 9, 100, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
		assert_true(schedule_next(&steps, tries[i], NOW, 0) == NOW + 10800);
}

static void
no_step_is_shortened_and_none_grows_by_more_than_a_tenth(void **state)
{
	(void)state;
	for (unsigned tries = 1; tries <= 10; tries++) {
		time_t wait = (time_t)steps.v[tries <= 7 ? tries - 1 : 6];

		for (uint32_t salt = 0; salt < 5000; salt += 7) {
			time_t next = schedule_next(&steps, tries, NOW, salt * 2654435761u);

			assert_true(next >= NOW + wait && next <= NOW + wait + wait / 10);
		}
	}
}

static void
what_failed_together_does_not_come_back_together(void **state)
{
	unsigned seen[361] = { 0 }, moments = 0;

	(void)state;
	for (uint32_t salt = 0; salt < 10000; salt++)
		seen[schedule_next(&steps, 5, NOW, salt) - NOW - 3600]++;
	for (size_t i = 0; i < 361; i++)
		moments += seen[i] > 0;
	assert_true(moments > 300);
}

static void
the_same_salt_gives_the_same_moment(void **state)
{
	(void)state;
	for (uint32_t salt = 1; salt != 0; salt *= 2)
		assert_true(schedule_next(&steps, 4, NOW, salt) == schedule_next(&steps, 4, NOW, salt));
}

static void
steps_at_their_limits_do_no_harm(void **state)
{
	static const struct steps none = { .n = 0 }, zero = { .v = { 0 }, .n = 1 },
		huge = { .v = { UINT32_MAX }, .n = 1 };

	(void)state;
	assert_true(schedule_next(&none, 1, NOW, 5) == NOW);
	assert_true(schedule_next(&zero, 9, NOW, UINT32_MAX) == NOW);
	assert_true(schedule_next(&huge, 1, NOW, UINT32_MAX) >= NOW + (time_t)UINT32_MAX);
	assert_true(schedule_next(&steps, 0, NOW, 0) == NOW + 60);
}

static void
a_message_is_too_old_when_its_time_is_over_and_not_before(void **state)
{
	(void)state;
	assert_false(schedule_is_over(NOW, NOW, FIVE_DAYS));
	assert_false(schedule_is_over(NOW, NOW + FIVE_DAYS - 1, FIVE_DAYS));
	assert_true(schedule_is_over(NOW, NOW + FIVE_DAYS, FIVE_DAYS));
	assert_true(schedule_is_over(NOW, NOW + 365 * 86400, FIVE_DAYS));
}

static void
a_clock_that_went_backwards_makes_nothing_old(void **state)
{
	(void)state;
	assert_false(schedule_is_over(NOW, NOW - 1, FIVE_DAYS));
	assert_false(schedule_is_over(NOW, 0, FIVE_DAYS));
	assert_false(schedule_is_over(NOW, NOW - 10 * 365 * 86400, 0));
}

static void
a_message_from_1970_is_old_today(void **state)
{
	(void)state;
	assert_true(schedule_is_over(0, NOW, FIVE_DAYS));
	assert_true(schedule_is_over(0, (time_t)4294967296, UINT32_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failure_waits_for_its_own_step),
		cmocka_unit_test(the_last_step_repeats_for_ever),
		cmocka_unit_test(no_step_is_shortened_and_none_grows_by_more_than_a_tenth),
		cmocka_unit_test(what_failed_together_does_not_come_back_together),
		cmocka_unit_test(the_same_salt_gives_the_same_moment),
		cmocka_unit_test(steps_at_their_limits_do_no_harm),
		cmocka_unit_test(a_message_is_too_old_when_its_time_is_over_and_not_before),
		cmocka_unit_test(a_clock_that_went_backwards_makes_nothing_old),
		cmocka_unit_test(a_message_from_1970_is_old_today),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
