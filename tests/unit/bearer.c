/* bearer: a token as it is said, and what is said of one that is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "bearer.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
a_token_is_printable_and_has_no_space(void **state)
{
	static const struct {
		struct str token;
		bool is;
	} rows[] = {
		{ STR("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="), true },
		{ STR("ya29.a0-_~+/="), true }, { STR("x"), true },
		{ STR(""), false }, { STR("a b"), false }, { STR("a\tb"), false }, { STR("a\x01" "b"), false },
		{ STR("a\0b"), false }, { STR("a\x7f"), false }, { STR("\xc3\xa4"), false }, { STR(" a"), false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(bearer_is_token(rows[i].token), rows[i].is);
}

static void
oauthbearer_is_said_as_rfc_7628_has_it(void **state)
{
	struct buf out = { 0 };

	(void)state;
	/* Its section 4.1. */
	bearer_put_oauth(&out, STR("user@example.com"), "server.example.com", 143,
	    STR("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="));
	assert_string_equal(buf_c(&out), "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
	    "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01");
	buf_wipe(&out);
	bearer_put_oauth(&out, STR("a,b=c"), "h", 587, STR("t"));
	assert_string_equal(buf_c(&out), "n,a=a=2Cb=3Dc,\x01host=h\x01port=587\x01" "auth=Bearer t\x01\x01");
	buf_wipe(&out);
}

static void
xoauth2_is_said_as_google_and_microsoft_have_it(void **state)
{
	struct buf out = { 0 };

	(void)state;
	bearer_put_xoauth2(&out, STR("someuser@example.com"), STR("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"));
	assert_string_equal(buf_c(&out), "user=someuser@example.com\x01"
	    "auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01");
	buf_wipe(&out);
}

/* Growing would leave a copy of the token behind. */
static void
what_holds_the_token_never_grows(void **state)
{
	struct buf user = { 0 }, token = { 0 };

	(void)state;
	for (int i = 0; i < 3000; i++) {
		buf_addc(&user, i % 2 ? ',' : '=');
		buf_addc(&token, 't');
		if (i % 97 != 0)
			continue;
		for (int which = 0; which < 2; which++) {
			struct buf out = { 0 }, room = { 0 };

			if (which == 0)
				bearer_put_oauth(&out, buf_str(&user), "a.host.example", 65535, buf_str(&token));
			else
				bearer_put_xoauth2(&out, buf_str(&user), buf_str(&token));
			/* As much room as it asks for at first. */
			buf_reserve(&room, which == 0 ? 3 * user.len + strlen("a.host.example") + token.len + 64 :
			    user.len + token.len + 64);
			assert_int_equal(out.cap, room.cap);
			buf_wipe(&out);
			buf_free(&room);
		}
	}
	buf_free(&user);
	buf_free(&token);
}

static void
the_status_is_found_in_what_a_server_says(void **state)
{
	static const struct {
		struct str json;
		const char *status;
	} rows[] = {
		{ STR("{\"status\":\"invalid_token\",\"schemes\":\"bearer\",\"scope\":\"x\"}"), "invalid_token" },
		{ STR("{ \"schemes\" : \"Bearer\",\r\n\t\"status\" :\t\"400\" }"), "400" },
		{ STR("{\"status\":401}"), "401" },
		{ STR("{\"status\":\"\"}"), "" }, { STR("{\"status\":null}"), "" },
		{ STR("{\"status\":\"never ends"), "" }, { STR("{\"status\":"), "" }, { STR("{\"status\""), "" },
		{ STR("{\"status"), "" }, { STR("{}"), "" }, { STR(""), "" }, { STR("not json"), "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_true(str_is(bearer_status(rows[i].json), rows[i].status));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_printable_and_has_no_space),
		{ "A-20: OAUTHBEARER is said as RFC 7628 has it", oauthbearer_is_said_as_rfc_7628_has_it,
		    NULL, NULL, NULL },
		{ "A-22: XOAUTH2 is said as Google and Microsoft have it",
		    xoauth2_is_said_as_google_and_microsoft_have_it, NULL, NULL, NULL },
		cmocka_unit_test(what_holds_the_token_never_grows),
		{ "A-21: the status is found in what a server says of a token",
		    the_status_is_found_in_what_a_server_says, NULL, NULL, NULL },
	};

	return cmocka_run_group_tests_name("bearer", tests, NULL, NULL);
}
