/* scram: what a server may say in SCRAM, and what it may not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "scram.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define OURS "rOprNGfwEbeRWgbNEkqO"

static void
our_nonce_is_found_in_our_first_message(void **state)
{
	static const struct {
		struct str message;
		const char *nonce;
	} rows[] = {
		{ STR("n,,n=user,r=" OURS), OURS },
		{ STR("y,,n=user,r=" OURS), OURS },
		{ STR("p=tls-exporter,,n=user,r=" OURS), OURS },
		{ STR("n,a=admin,n=us=2Cer,r=a=b"), "a=b" },
		/* A user that is called like an attribute is in front of it. */
		{ STR("n,,n=r=3Dx,r=" OURS), OURS },
		{ STR("n,,n=user"), "" }, { STR("n,,"), "" }, { STR("n,"), "" }, { STR(""), "" },
		{ STR("r=" OURS), "" }, { STR("n,,n=user,x,r=" OURS), "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str got = scram_nonce(rows[i].message);

		assert_true(str_is(got, rows[i].nonce));
	}
}

static void
a_good_first_message_gives_salt_and_count(void **state)
{
	static const struct {
		struct str message;
		unsigned iterations;
	} rows[] = {
		/* RFC 7677 section 3. */
		{ STR("r=" OURS "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), 4096 },
		{ STR("r=" OURS "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000000"), 1000000 },
		/* An extension that need not be understood. */
		{ STR("r=" OURS "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000,t=later"), 10000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf salt = { 0 };
		unsigned n = 0;

		assert_null(scram_read_first(rows[i].message, STR(OURS), &salt, &n));
		assert_int_equal(n, rows[i].iterations);
		assert_int_equal(salt.len, 16);
		assert_memory_equal(salt.p, "\x5b\x6d\x99\x68\x9d\x12\x35\x8e", 8);
		buf_free(&salt);
	}
}

static void
a_first_message_that_is_not_to_be_trusted_is_told_by_what_is_wrong(void **state)
{
	static const struct {
		struct str message;
		const char *says;
	} rows[] = {
		{ STR(""), "no message" },
		{ STR("hello"), "no message" },
		{ STR("r=" OURS "x,s=QSXC,i=4096\0"), "no message" },
		{ STR("m=ext,r=" OURS "x,s=QSXC,i=4096"), "extension" },
		{ STR("s=QSXC,r=" OURS "x,i=4096"), "nonce is missing" },
		{ STR("r=somebody-elses,s=QSXC,i=4096"), "begin with ours" },
		{ STR("r=" OURS ",s=QSXC,i=4096"), "begin with ours" },
		{ STR("r=ROPRNGFWEBERWGBNEKQOx,s=QSXC,i=4096"), "begin with ours" },
		{ STR("r=,s=QSXC,i=4096"), "begin with ours" },
		{ STR("r=" OURS "x"), "salt" },
		{ STR("r=" OURS "x,s=,i=4096"), "salt" },
		{ STR("r=" OURS "x,s=QSX,i=4096"), "salt" },
		{ STR("r=" OURS "x,s=QS=C,i=4096"), "salt" },
		{ STR("r=" OURS "x,s=QSXC"), "count is missing" },
		{ STR("r=" OURS "x,s=QSXC,i="), "count is missing" },
		{ STR("r=" OURS "x,s=QSXC,i=-1"), "count is missing" },
		{ STR("r=" OURS "x,s=QSXC,i=4096 "), "count is missing" },
		{ STR("r=" OURS "x,s=QSXC,i=99999999999"), "count is missing" },
		{ STR("r=" OURS "x,s=QSXC,i=0"), "below 4096" },
		{ STR("r=" OURS "x,s=QSXC,i=1"), "below 4096" },
		{ STR("r=" OURS "x,s=QSXC,i=4095"), "below 4096" },
		{ STR("r=" OURS "x,s=QSXC,i=1000001"), "over a million" },
		{ STR("r=" OURS "x,s=QSXC,i=4096,m=x"), "follows" },
		{ STR("r=" OURS "x,s=QSXC,i=4096,nonsense"), "follows" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf salt = { 0 };
		unsigned n = 7;
		const char *wrong = scram_read_first(rows[i].message, STR(OURS), &salt, &n);

		assert_non_null(wrong);
		assert_non_null(strstr(wrong, rows[i].says));
		assert_int_equal(n, 7);
		buf_free(&salt);
	}
}

static void
without_a_nonce_of_ours_nobody_answers_us(void **state)
{
	struct buf salt = { 0 };
	unsigned n;

	(void)state;
	assert_non_null(scram_read_first(STR("r=x,s=QSXC,i=4096"), STR(""), &salt, &n));
	buf_free(&salt);
}

static void
an_error_blames_whom_it_is_about(void **state)
{
	static const struct {
		struct str message;
		const char *word;
		enum scram_blame blame;
	} rows[] = {
		{ STR("e=invalid-proof"), "invalid-proof", SCRAM_BLAMES_LOGIN },
		{ STR("e=unknown-user"), "unknown-user", SCRAM_BLAMES_LOGIN },
		{ STR("e=invalid-username-encoding"), "invalid-username-encoding", SCRAM_BLAMES_LOGIN },
		{ STR("e=other-error"), "other-error", SCRAM_BLAMES_LOGIN },
		{ STR("e=something-new,x=y"), "something-new", SCRAM_BLAMES_LOGIN },
		{ STR("e="), "", SCRAM_BLAMES_LOGIN },
		{ STR("e=unsupported-channel-binding-type"), "unsupported-channel-binding-type",
		    SCRAM_BLAMES_BINDING },
		{ STR("e=channel-binding-not-supported"), "channel-binding-not-supported",
		    SCRAM_BLAMES_BINDING },
		{ STR("e=channel-bindings-dont-match"), "channel-bindings-dont-match",
		    SCRAM_BLAMES_CHANNEL },
		{ STR("e=server-does-support-channel-binding"), "server-does-support-channel-binding",
		    SCRAM_BLAMES_CHANNEL },
		{ STR("e=no-resources"), "no-resources", SCRAM_BLAMES_NOBODY },
		{ STR("e=invalid-encoding"), "invalid-encoding", SCRAM_BLAMES_NOBODY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum scram_blame blame;
		struct str word;

		assert_true(scram_read_error(rows[i].message, &word, &blame));
		assert_true(str_is(word, rows[i].word));
		assert_int_equal(blame, rows[i].blame);
	}
}

static void
what_is_no_error_is_none(void **state)
{
	static const struct str rows[] = {
		STR(""), STR("e"), STR("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), STR("r=e=x"), STR("E=invalid-proof"),
		STR(" e=invalid-proof"),
	};
	enum scram_blame blame;
	struct str word;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_false(scram_read_error(rows[i], &word, &blame));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_nonce_is_found_in_our_first_message),
		cmocka_unit_test(a_good_first_message_gives_salt_and_count),
		{ "A-17: a first message that is not to be trusted is told by what is wrong",
		    a_first_message_that_is_not_to_be_trusted_is_told_by_what_is_wrong, NULL, NULL, NULL },
		cmocka_unit_test(without_a_nonce_of_ours_nobody_answers_us),
		cmocka_unit_test(an_error_blames_whom_it_is_about),
		cmocka_unit_test(what_is_no_error_is_none),
	};

	return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}
