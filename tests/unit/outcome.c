/* outcome: three answers, and the words that go with them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sysexits.h>

#include "outcome.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
silence_is_later(void **state)
{
	enum outcome o = { 0 };
	struct why nothing = { 0 };

	(void)state;
	assert_int_equal(o, LATER);
	assert_int_equal(nothing.scope, SCOPE_NONE);
	assert_int_equal(outcome_exit(o, &nothing), EX_TEMPFAIL);
}

static void
every_word_is_read_back_as_it_was_written(void **state)
{
	static const enum outcome outcomes[] = { LATER, DONE, NEVER };
	static const enum scope scopes[] = { SCOPE_NONE, SCOPE_RECIPIENT, SCOPE_MESSAGE,
		SCOPE_SENDER, SCOPE_ACCOUNT, SCOPE_SERVER };

	(void)state;
	for (size_t i = 0; i < COUNT(outcomes); i++) {
		enum outcome o = (enum outcome)99;

		assert_true(outcome_parse(str_of(outcome_name(outcomes[i])), &o));
		assert_int_equal(o, outcomes[i]);
	}
	for (size_t i = 0; i < COUNT(scopes); i++) {
		enum scope s = (enum scope)99;

		assert_true(scope_parse(str_of(scope_name(scopes[i])), &s));
		assert_int_equal(s, scopes[i]);
	}
}

static void
the_words_are_those_that_stand_in_files(void **state)
{
	(void)state;
	assert_string_equal(outcome_name(DONE), "done");
	assert_string_equal(outcome_name(LATER), "later");
	assert_string_equal(outcome_name(NEVER), "never");
	assert_string_equal(scope_name(SCOPE_RECIPIENT), "recipient");
	assert_string_equal(scope_name(SCOPE_SERVER), "server");
}

static void
any_other_word_is_refused_and_changes_nothing(void **state)
{
	static const struct str words[] = {
		STR(""), STR("Done"), STR("done "), STR("don"), STR("done\0"), STR("recipients"),
		STR("0"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		enum outcome o = NEVER;
		enum scope s = SCOPE_ACCOUNT;

		assert_false(outcome_parse(words[i], &o));
		assert_false(scope_parse(words[i], &s));
		assert_int_equal(o, NEVER);
		assert_int_equal(s, SCOPE_ACCOUNT);
	}
}

static void
a_reason_is_filled_whole_and_nothing_old_stays(void **state)
{
	struct why why = { .scope = SCOPE_SERVER, .exit = 3, .code = 250, .text = "old text" };

	(void)state;
	assert_int_equal(later(&why, SCOPE_ACCOUNT, "4.7.0", "no %s for %d", "luck", 7), LATER);
	assert_int_equal(why.scope, SCOPE_ACCOUNT);
	assert_int_equal(why.code, 0);
	assert_string_equal(why.status, "4.7.0");
	assert_string_equal(why.text, "no luck for 7");
	assert_int_equal(never(&why, SCOPE_MESSAGE, "", "gone"), NEVER);
	assert_int_equal(why.scope, SCOPE_MESSAGE);
	assert_string_equal(why.status, "");
	assert_string_equal(why.text, "gone");
}

static void
a_reason_may_be_told_again_in_other_words(void **state)
{
	struct why why = { 0 };

	(void)state;
	never(&why, SCOPE_SERVER, "5.1.2", "no such host");
	later(&why, SCOPE_SERVER, why.status, "mail.example: %s", why.text);
	assert_string_equal(why.text, "mail.example: no such host");
	assert_string_equal(why.status, "5.1.2");
}

static void
a_long_reason_is_cut_between_characters(void **state)
{
	struct why why = { 0 };
	struct buf text = { 0 };

	(void)state;
	for (size_t shift = 0; shift < 3; shift++) {
		size_t len;

		buf_clear(&text);
		buf_add(&text, "xx", shift);
		while (text.len < 2000)
			buf_adds(&text, "\xe2\x82\xac");
		later(&why, SCOPE_SERVER, "a status that is too long", "%s", buf_c(&text));
		len = strlen(why.text);
		assert_true(len < sizeof why.text && len >= sizeof why.text - 3);
		assert_int_equal((len - shift) % 3, 0);
		assert_true(strlen(why.status) < sizeof why.status);
	}
	buf_free(&text);
}

static void
the_exit_status_is_the_reasons_own_or_goes_by_the_outcome(void **state)
{
	static const struct {
		enum outcome o;
		int exit, status;
	} rows[] = {
		{ DONE, 0, EX_OK }, { DONE, EX_NOUSER, EX_OK },
		{ LATER, 0, EX_TEMPFAIL }, { NEVER, 0, EX_UNAVAILABLE },
		{ LATER, EX_CONFIG, EX_CONFIG }, { NEVER, EX_USAGE, EX_USAGE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why = { .exit = rows[i].exit };

		assert_int_equal(outcome_exit(rows[i].o, &why), rows[i].status);
	}
}

static void
a_face_refuses_with_75_for_later_and_anything_else_for_never(void **state)
{
	struct why why = { 0 };

	(void)state;
	assert_int_equal(refuse(&why, EX_TEMPFAIL, "busy"), LATER);
	assert_int_equal(outcome_exit(LATER, &why), EX_TEMPFAIL);
	assert_int_equal(refuse(&why, EX_NOUSER, "nobody %s", "here"), NEVER);
	assert_int_equal(outcome_exit(NEVER, &why), EX_NOUSER);
	assert_string_equal(why.text, "nobody here");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_is_later),
		cmocka_unit_test(every_word_is_read_back_as_it_was_written),
		cmocka_unit_test(the_words_are_those_that_stand_in_files),
		cmocka_unit_test(any_other_word_is_refused_and_changes_nothing),
		cmocka_unit_test(a_reason_is_filled_whole_and_nothing_old_stays),
		cmocka_unit_test(a_reason_may_be_told_again_in_other_words),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(the_exit_status_is_the_reasons_own_or_goes_by_the_outcome),
		cmocka_unit_test(a_face_refuses_with_75_for_later_and_anything_else_for_never),
	};

	return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
