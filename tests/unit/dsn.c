#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "dsn.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { N = DSN_NOTIFY_NEVER, S = DSN_NOTIFY_SUCCESS, F = DSN_NOTIFY_FAILURE, D = DSN_NOTIFY_DELAY };

static void
notify_is_never_or_a_list_of_the_others(void **state)
{
	static const struct {
		const char *text;
		unsigned notify;        /* 0: refused */
		const char *written;
	} rows[] = {
		{ "never", N, "NEVER" }, { "NEVER", N, "NEVER" }, { "success", S, "SUCCESS" },
		{ "Failure", F, "FAILURE" }, { "delay", D, "DELAY" },
		{ "delay,success", D | S, "SUCCESS,DELAY" },
		{ "success,failure,delay", S | F | D, "SUCCESS,FAILURE,DELAY" },
		{ "success,success", S, "SUCCESS" }, { "never,never", N, "NEVER" },
		{ "", 0, "" }, { ",", 0, "" }, { "never,success", 0, "" }, { "delay,never", 0, "" },
		{ "success,", 0, "" }, { ",success", 0, "" }, { "success,,delay", 0, "" },
		{ "success delay", 0, "" }, { "success, delay", 0, "" }, { "succes", 0, "" },
		{ "successs", 0, "" }, { "all", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };
		unsigned notify = 77;

		assert_int_equal(dsn_parse_notify(str_of(rows[i].text), &notify), rows[i].notify != 0);
		assert_int_equal(notify, rows[i].notify != 0 ? rows[i].notify : 77);
		if (rows[i].notify != 0)
			dsn_put_notify(&out, notify);
		assert_string_equal(buf_c(&out), rows[i].written);
		buf_free(&out);
	}
}

static void
a_failure_is_told_unless_the_sender_wished_otherwise(void **state)
{
	(void)state;
	assert_true(dsn_tells_failure(0) && dsn_tells_delay(0));
	assert_true(dsn_tells_failure(F) && dsn_tells_failure(F | S) && dsn_tells_delay(D | F));
	assert_false(dsn_tells_failure(N) || dsn_tells_failure(S) || dsn_tells_failure(D | S));
	assert_false(dsn_tells_delay(N) || dsn_tells_delay(F) || dsn_tells_delay(S | F));
}

static void
the_words_of_ret_and_body_are_taken_without_case_and_no_others(void **state)
{
	enum dsn_return ret = DSN_RETURN_UNSAID;
	enum dsn_body body = DSN_BODY_UNSAID;

	(void)state;
	assert_true(dsn_parse_return(STR("Full"), &ret) && ret == DSN_RETURN_FULL);
	assert_true(dsn_parse_return(STR("hdrs"), &ret) && ret == DSN_RETURN_HEADERS);
	assert_string_equal(dsn_return_word(DSN_RETURN_HEADERS), "HDRS");
	assert_false(dsn_parse_return(STR(""), &ret) || dsn_parse_return(STR("headers"), &ret));
	assert_true(dsn_parse_body(STR("7bit"), &body) && body == DSN_BODY_7BIT);
	assert_true(dsn_parse_body(STR("8BitMime"), &body) && body == DSN_BODY_8BITMIME);
	assert_string_equal(dsn_body_word(DSN_BODY_8BITMIME), "8BITMIME");
	assert_false(dsn_parse_body(STR(""), &body) || dsn_parse_body(STR("BINARYMIME"), &body));
	assert_true(ret == DSN_RETURN_HEADERS && body == DSN_BODY_8BITMIME);
}

/* RFC 3461 section 4: "!" to "~" but "+" and "=" are themselves. */
static void
every_octet_becomes_xtext_that_says_it(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		struct buf out = { 0 }, plain = { 0 };
		char octet = (char)c, hex[4];

		snprintf(hex, sizeof hex, "+%02X", c);
		dsn_put_xtext(&out, str_from(&octet, 1));
		if (c > 0x20 && c < 0x7f && c != '+' && c != '=')
			assert_true(out.len == 1 && out.p[0] == octet);
		else
			assert_string_equal(buf_c(&out), hex);
		assert_true(dsn_is_xtext(buf_str(&out)));
		dsn_put_plain(&plain, buf_str(&out));
		assert_true(plain.len == 1 && plain.p[0] == octet);
		buf_free(&plain);
		buf_free(&out);
	}
}

static void
what_is_no_xtext_is_seen(void **state)
{
	static const char *const bad[] = { "a b", "a=b", "+", "+4", "+4g", "+2b", "a+", "\x7f", "\xc3\xb6",
		"a\tb" };
	static const char *const good[] = { "", "a", "+2B", "a+3Db", "+0A", "!#$%&'*-/?^_`{|}~;" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(dsn_is_xtext(str_of(bad[i])));
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(dsn_is_xtext(str_of(good[i])));
	assert_false(dsn_is_xtext(str_from("a\0b", 3)));
}

static void
what_is_no_xtext_is_shown_as_it_is(void **state)
{
	static const char *const rows[][2] = { { "", "" }, { "a+2Bb+20c", "a+b c" }, { "+", "+" },
		{ "a+2", "a+2" }, { "+4g+41", "+4gA" }, { "++2B", "++" } };
	struct buf cut = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		dsn_put_plain(&out, str_of(rows[i][0]));
		assert_string_equal(buf_c(&out), rows[i][1]);
		buf_free(&out);
	}
	dsn_put_plain(&cut, str_from("a+41", 3));
	assert_string_equal(buf_c(&cut), "a+4");
	buf_free(&cut);
}

static void
an_original_recipient_has_a_type_and_an_address(void **state)
{
	static const char *const bad[] = { "", ";", "rfc822", "rfc822;", ";a@b", "rfc 822;a@b", "rfc822;a b",
		"rfc822;a=b", "\xc3\xb6;a@b" };
	char longest[DSN_ORCPT_MAX + 2];

	(void)state;
	assert_true(dsn_is_orcpt(STR("rfc822;a@b")) && dsn_is_orcpt(STR("utf-8;a;b")));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(dsn_is_orcpt(str_of(bad[i])));
	memset(longest, 'a', sizeof longest);
	memcpy(longest, "rfc822;", 7);
	assert_true(dsn_is_orcpt(str_from(longest, DSN_ORCPT_MAX)));
	assert_false(dsn_is_orcpt(str_from(longest, DSN_ORCPT_MAX + 1)));
}

static void
wishes_are_copied_whole_and_freed_twice(void **state)
{
	struct wishes a = { .ret = DSN_RETURN_FULL, .envid = mem_dup(STR("x")), .requiretls = true };
	struct wishes b = { .envid = mem_dup(STR("old")) };

	(void)state;
	wishes_copy(&b, &a);
	assert_true(b.ret == a.ret && b.requiretls && !b.smtputf8 && b.envid != a.envid);
	assert_string_equal(b.envid, "x");
	wishes_free(&a);
	wishes_free(&a);
	wishes_copy(&b, &a);
	assert_true(b.envid == NULL && b.ret == DSN_RETURN_UNSAID);
	wishes_free(&b);
}

/* RFC 2852 section 4. */
static void
by_when_is_seconds_and_a_mode(void **state)
{
	static const struct {
		const char *text, *written;     /* NULL: refused */
		int32_t seconds;
	} rows[] = {
		{ "7;R", "7;R", 7 }, { "7;rt", "7;RT", 7 }, { "0;N", "0;N", 0 }, { "-7;n", "-7;N", -7 },
		{ "-999999999;NT", "-999999999;NT", -999999999 }, { "0007;R", "7;R", 7 },
		{ "0;R", NULL, 0 }, { "-1;R", NULL, 0 }, { "7", NULL, 0 }, { "7;", NULL, 0 }, { ";R", NULL, 0 },
		{ "7;T", NULL, 0 }, { "7;TR", NULL, 0 }, { "7;RX", NULL, 0 }, { "7;R ", NULL, 0 },
		{ " 7;R", NULL, 0 }, { "+7;R", NULL, 0 }, { "7.0;R", NULL, 0 }, { "1000000000;R", NULL, 0 },
		{ "--7;N", NULL, 0 }, { "", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wishes w = { 0 };
		struct buf out = { 0 };
		bool good = dsn_parse_by(str_of(rows[i].text), &w);

		if (good != (rows[i].written != NULL))
			fail_msg("%s", rows[i].text);
		assert_int_equal(w.by_seconds, rows[i].seconds);
		if (good) {
			dsn_put_by(&out, &w, w.by_seconds);
			assert_string_equal(buf_c(&out), rows[i].written);
		} else {
			assert_true(w.by == DSN_BY_UNSAID && !w.by_trace);
		}
		buf_free(&out);
	}
}

static void
a_deadline_is_there_only_where_late_is_never(void **state)
{
	const struct wishes none = { 0 }, notify = { .by = DSN_BY_NOTIFY, .by_seconds = 60 },
		returned = { .by = DSN_BY_RETURN, .by_seconds = 60 };

	(void)state;
	assert_int_equal(dsn_deadline(&none, 1000), 0);
	assert_int_equal(dsn_deadline(&notify, 1000), 0);
	assert_int_equal(dsn_deadline(&returned, 1000), 1060);
}

static void
a_priority_is_a_number_up_to_nine_either_way(void **state)
{
	static const struct {
		const char *text;
		int priority;           /* 77: refused */
	} rows[] = {
		{ "0", 0 }, { "9", 9 }, { "-9", -9 }, { "10", 77 }, { "-10", 77 }, { "+1", 77 }, { "", 77 },
		{ "-", 77 }, { "urgent", 77 }, { "1 ", 77 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int priority = 77;

		assert_int_equal(dsn_parse_priority(str_of(rows[i].text), &priority), rows[i].priority != 77);
		assert_int_equal(priority, rows[i].priority);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notify_is_never_or_a_list_of_the_others),
		cmocka_unit_test(a_failure_is_told_unless_the_sender_wished_otherwise),
		cmocka_unit_test(the_words_of_ret_and_body_are_taken_without_case_and_no_others),
		cmocka_unit_test(by_when_is_seconds_and_a_mode),
		cmocka_unit_test(a_deadline_is_there_only_where_late_is_never),
		cmocka_unit_test(a_priority_is_a_number_up_to_nine_either_way),
		cmocka_unit_test(every_octet_becomes_xtext_that_says_it),
		cmocka_unit_test(what_is_no_xtext_is_seen),
		cmocka_unit_test(what_is_no_xtext_is_shown_as_it_is),
		cmocka_unit_test(an_original_recipient_has_a_type_and_an_address),
		cmocka_unit_test(wishes_are_copied_whole_and_freed_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
