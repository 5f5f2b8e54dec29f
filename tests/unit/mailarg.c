#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "mailarg.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
a_path_is_cut_where_it_ends_and_nowhere_else(void **state)
{
	static const struct {
		enum mailarg_of of;
		const char *text;
		const char *path;       /* NULL: refused with 501 */
	} rows[] = {
		{ MAILARG_MAIL, "FROM:<a@x>", "<a@x>" }, { MAILARG_MAIL, "from:<>", "<>" },
		{ MAILARG_MAIL, "FROM : <a@x> ", "<a@x>" }, { MAILARG_MAIL, "FROM: a@x SIZE=1", "a@x" },
		{ MAILARG_RCPT, "TO:<b@y>", "<b@y>" }, { MAILARG_RCPT, "TO:b@y", "b@y" },
		{ MAILARG_RCPT, "TO:<\"a> b\"@y>", "<\"a> b\"@y>" },
		{ MAILARG_RCPT, "TO:<\"a\\\"> b\"@y> NOTIFY=NEVER", "<\"a\\\"> b\"@y>" },
		{ MAILARG_RCPT, "TO:\"a b\"@y", "\"a b\"@y" }, { MAILARG_RCPT, "TO:<@r,@s:b@y>", "<@r,@s:b@y>" },
		{ MAILARG_MAIL, "FROM", NULL }, { MAILARG_MAIL, "FROM:", NULL }, { MAILARG_MAIL, "FROM: ", NULL },
		{ MAILARG_MAIL, "FROM<a@x>", NULL }, { MAILARG_MAIL, "TO:<a@x>", NULL },
		{ MAILARG_RCPT, "FROM:<a@x>", NULL }, { MAILARG_MAIL, "", NULL }, { MAILARG_MAIL, ":<a@x>", NULL },
		{ MAILARG_MAIL, "FROM:<a@x", NULL }, { MAILARG_MAIL, "FROM:<\"a@x>", NULL },
		{ MAILARG_MAIL, "FROM:<a@x>SIZE=1", NULL }, { MAILARG_MAIL, "FROM:<\"\\", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mailarg a = { 0 };
		struct why why = { 0 };
		enum outcome o = mailarg_read(rows[i].of, str_of(rows[i].text), &a, &why);

		if ((o == DONE) != (rows[i].path != NULL))
			print_error("%s: %s\n", rows[i].text, why.text);
		assert_int_equal(o, rows[i].path != NULL ? DONE : NEVER);
		if (o == DONE) {
			assert_true(str_is(a.path, rows[i].path));
		} else {
			assert_int_equal(why.code, 501);
			assert_string_equal(why.status, "5.5.4");
		}
		mailarg_free(&a);
	}
}

static void
a_parameter_is_known_has_a_value_it_can_have_and_comes_once(void **state)
{
	static const struct {
		const char *text;
		int code;       /* 0: taken */
	} rows[] = {
		{ "", 0 }, { "SIZE=1", 0 }, { "size=9223372036854775807", 0 }, { "SIZE=9223372036854775808", 501 },
		{ "SIZE=1k", 501 }, { "SIZE", 501 }, { "SIZE=", 501 }, { "SIZE=1 SIZE=1", 501 },
		{ "BODY=7BIT", 0 }, { "BODY=8bitmime", 0 }, { "BODY=BINARYMIME", 501 }, { "BODY", 501 },
		{ "SMTPUTF8", 0 }, { "SMTPUTF8=", 501 }, { "SMTPUTF8 SMTPUTF8", 501 },
		{ "RET=FULL", 0 }, { "RET=hdrs", 0 }, { "RET=NO", 501 },
		{ "ENVID=a+2Bb", 0 }, { "ENVID=", 501 }, { "ENVID=a+b", 501 }, { "ENVID=\xe9", 501 },
		{ "AUTH=<>", 0 }, { "AUTH=a+2Bb", 0 }, { "AUTH", 501 },
		{ "BY=120;R", 0 }, { "BY=120;rt", 0 }, { "BY=-5;N", 0 }, { "BY=0;NT", 0 }, { "BY=999999999;R", 0 },
		{ "BY=0;R", 501 }, { "BY=-5;R", 501 }, { "BY=5", 501 }, { "BY=5;", 501 }, { "BY=5;X", 501 },
		{ "BY=5;T", 501 }, { "BY=5;RN", 501 }, { "BY=5;RTT", 501 }, { "BY=;R", 501 }, { "BY=-;N", 501 },
		{ "BY=+5;N", 501 }, { "BY=1000000000;R", 501 }, { "BY", 501 },
		{ "HOLDFOR=60", 0 }, { "HOLDFOR=31622400", 0 }, { "HOLDFOR=31622401", 501 }, { "HOLDFOR=0", 501 },
		{ "HOLDFOR=1m", 501 }, { "HOLDFOR", 501 }, { "HOLDUNTIL=2026-12-01T08:00:00Z", 0 },
		{ "HOLDUNTIL=2026-12-01T08:00:00+01:00", 0 }, { "HOLDUNTIL=1764576000", 501 }, { "HOLDUNTIL=", 501 },
		{ "HOLDFOR=60 HOLDUNTIL=2026-12-01T08:00:00Z", 501 },
		{ "HOLDUNTIL=2026-12-01T08:00:00Z HOLDFOR=60", 501 },
		{ "MT-PRIORITY=9", 0 }, { "MT-PRIORITY=-9", 0 }, { "MT-PRIORITY=0", 0 }, { "mt-priority=3", 0 },
		{ "MT-PRIORITY=10", 501 }, { "MT-PRIORITY=-10", 501 }, { "MT-PRIORITY=+1", 501 },
		{ "MT-PRIORITY=", 501 }, { "MT-PRIORITY", 501 },
		{ "SIZE=1  BODY=7BIT   RET=FULL", 0 },
		{ "NOTIFY=NEVER", 555 }, { "ORCPT=rfc822;a", 555 }, { "X", 555 }, { "=1", 555 }, { "<b@x>", 555 },
		{ "SIZE=1 X=2", 555 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf text = { 0 };
		struct mailarg a = { 0 };
		struct why why = { 0 };
		enum outcome o;

		buf_adds(&text, "FROM:<a@x> ");
		buf_adds(&text, rows[i].text);
		o = mailarg_read(MAILARG_MAIL, buf_str(&text), &a, &why);
		if (why.code != rows[i].code)
			print_error("%s: %s\n", rows[i].text, why.text);
		assert_int_equal(o, rows[i].code == 0 ? DONE : NEVER);
		assert_int_equal(why.code, rows[i].code);
		mailarg_free(&a);
		buf_free(&text);
	}
}

static void
what_is_asked_for_is_what_was_written(void **state)
{
	struct mailarg a = { 0 };
	struct why why = { 0 };

	(void)state;
	assert_int_equal(mailarg_read(MAILARG_MAIL, STR("FROM:<a@x> SIZE=77 BODY=8BITMIME RET=HDRS ENVID=e+2B SMTPUTF8"),
	    &a, &why), DONE);
	assert_int_equal(a.size, 77);
	assert_int_equal(a.wishes.body, DSN_BODY_8BITMIME);
	assert_int_equal(a.wishes.ret, DSN_RETURN_HEADERS);
	assert_string_equal(a.wishes.envid, "e+2B");
	assert_true(a.wishes.smtputf8);
	mailarg_free(&a);
	assert_int_equal(mailarg_read(MAILARG_MAIL, STR("FROM:<a@x> BY=-7;nT HOLDFOR=90 MT-PRIORITY=-3"), &a, &why), DONE);
	assert_int_equal(a.wishes.by, DSN_BY_NOTIFY);
	assert_int_equal(a.wishes.by_seconds, -7);
	assert_true(a.wishes.by_trace);
	assert_int_equal(a.wishes.hold_for, 90);
	assert_int_equal(a.wishes.priority, -3);
	mailarg_free(&a);
	assert_int_equal(mailarg_read(MAILARG_MAIL, STR("FROM:<a@x> BY=7;R HOLDUNTIL=2026-11-25T03:06:30Z"), &a, &why), DONE);
	assert_int_equal(a.wishes.by, DSN_BY_RETURN);
	assert_false(a.wishes.by_trace);
	assert_int_equal(a.wishes.hold_until, 1795575990);
	mailarg_free(&a);
	mailarg_free(&a);
	assert_int_equal(mailarg_read(MAILARG_RCPT, STR("TO:<b@y> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@y"), &a, &why),
	    DONE);
	assert_int_equal(a.notify, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE);
	assert_true(str_is(a.orcpt, "rfc822;b@y"));
	mailarg_free(&a);
}

static void
an_envid_and_an_orcpt_have_their_limits(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		struct buf text = { 0 };
		struct mailarg a = { 0 };
		struct why why = { 0 };

		buf_adds(&text, "FROM:<a@x> ENVID=");
		for (size_t i = 0; i < DSN_ENVID_MAX + more; i++)
			buf_addc(&text, 'e');
		assert_int_equal(mailarg_read(MAILARG_MAIL, buf_str(&text), &a, &why), more == 0 ? DONE : NEVER);
		mailarg_free(&a);
		buf_clear(&text);
		buf_adds(&text, "TO:<a@x> ORCPT=rfc822;");
		for (size_t i = 7; i < DSN_ORCPT_MAX + more; i++)
			buf_addc(&text, 'o');
		assert_int_equal(mailarg_read(MAILARG_RCPT, buf_str(&text), &a, &why), more == 0 ? DONE : NEVER);
		mailarg_free(&a);
		buf_free(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_cut_where_it_ends_and_nowhere_else),
		cmocka_unit_test(a_parameter_is_known_has_a_value_it_can_have_and_comes_once),
		cmocka_unit_test(what_is_asked_for_is_what_was_written),
		cmocka_unit_test(an_envid_and_an_orcpt_have_their_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
