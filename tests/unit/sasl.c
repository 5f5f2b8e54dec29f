/* sasl: the mechanism that is picked, and what goes over the line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sasl.h"
#include "tls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NONE STR("")

/* A password to be shown, with nothing known. */
static struct sasl_login
login_of(struct str user, struct str secret)
{
	return (struct sasl_login){ .wanted = "auto", .user = user, .secret = secret,
		.host = "smtp.example.com", .port = 587, .last = "", .avoid = "" };
}

static const char *
pick(struct str offered, const char *wanted, struct why *why)
{
	struct sasl_login l = login_of(STR("u"), STR("p"));

	l.wanted = wanted;
	return sasl_pick(offered, &l, SASL_FIRST, NULL, why);
}

struct pick {
	const char *offered, *wanted, *picked;
};

static void
check_picks(const struct pick *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct why why = { 0 };
		const char *got = pick(str_of(rows[i].offered), rows[i].wanted, &why);

		if (rows[i].picked == NULL) {
			assert_null(got);
			assert_int_equal(why.scope, SCOPE_ACCOUNT);
			assert_true(why.text[0] != '\0');
		} else {
			assert_non_null(got);
			assert_string_equal(got, rows[i].picked);
		}
	}
}

static void
auto_takes_plain_before_login_in_whatever_order_they_stand(void **state)
{
	static const struct pick rows[] = {
		{ "PLAIN LOGIN", "auto", "PLAIN" },
		{ "LOGIN PLAIN", "auto", "PLAIN" },
		{ "XOAUTH2 LOGIN PLAIN CRAM-MD5", "auto", "PLAIN" },
		{ "GSSAPI LOGIN NTLM", "auto", "LOGIN" },
		{ "  LOGIN   ", "AUTO", "LOGIN" },
	};

	(void)state;
	check_picks(rows, COUNT(rows));
}

/* What else there is to know of a login, and what is picked then. */
static void
what_is_known_of_the_login_decides(void **state)
{
#define ALL "EXTERNAL XOAUTH2 OAUTHBEARER CRAM-MD5 LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256 " \
	"SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS"
	static const struct {
		const char *offered;
		enum sasl_proof proof;
		bool bound;
		const char *wanted, *last, *avoid;
		enum sasl_turn turn;
		const char *tried, *picked;
	} rows[] = {
		/* The strongest that what we have will do for. */
		{ ALL, SASL_PASSWORD, true, "auto", "", "", SASL_FIRST, NULL, "SCRAM-SHA-256-PLUS" },
		{ ALL, SASL_PASSWORD, false, "auto", "", "", SASL_FIRST, NULL, "SCRAM-SHA-256" },
		{ "PLAIN SCRAM-SHA-1 LOGIN", SASL_PASSWORD, false, "auto", "", "", SASL_FIRST, NULL, "SCRAM-SHA-1" },
		{ "SCRAM-SHA-256 SCRAM-SHA-1-PLUS", SASL_PASSWORD, true, "auto", "", "", SASL_FIRST, NULL, "SCRAM-SHA-1-PLUS" },
		{ ALL, SASL_TOKEN, true, "auto", "", "", SASL_FIRST, NULL, "OAUTHBEARER" },
		{ "PLAIN XOAUTH2", SASL_TOKEN, true, "auto", "", "", SASL_FIRST, NULL, "XOAUTH2" },
		{ "PLAIN LOGIN", SASL_TOKEN, true, "auto", "", "", SASL_FIRST, NULL, NULL },
		{ ALL, SASL_CERTIFICATE, true, "auto", "", "", SASL_FIRST, NULL, "EXTERNAL" },
		{ "XOAUTH2 EXTERNAL", SASL_PASSWORD, true, "auto", "", "", SASL_FIRST, NULL, NULL },
		/* Only by name. */
		{ "CRAM-MD5", SASL_PASSWORD, true, "auto", "", "", SASL_FIRST, NULL, NULL },
		{ ALL, SASL_PASSWORD, true, "cram-md5", "", "", SASL_FIRST, NULL, "CRAM-MD5" },
		{ "CRAM-MD5", SASL_PASSWORD, true, "auto", "CRAM-MD5", "", SASL_FIRST, NULL, NULL },
		/* What last worked. */
		{ ALL, SASL_PASSWORD, true, "auto", "LOGIN", "", SASL_FIRST, NULL, "LOGIN" },
		{ ALL, SASL_PASSWORD, true, "auto", "XOAUTH2", "", SASL_FIRST, NULL, "SCRAM-SHA-256-PLUS" },
		{ ALL, SASL_PASSWORD, false, "auto", "SCRAM-SHA-256-PLUS", "", SASL_FIRST, NULL, "SCRAM-SHA-256" },
		{ "PLAIN", SASL_PASSWORD, true, "auto", "LOGIN", "", SASL_FIRST, NULL, "PLAIN" },
		{ ALL, SASL_PASSWORD, true, "plain", "LOGIN", "", SASL_FIRST, NULL, "PLAIN" },
		{ ALL, SASL_TOKEN, true, "auto", "XOAUTH2", "", SASL_FIRST, NULL, "XOAUTH2" },
		/* What is to be avoided, unless it is asked for. */
		{ ALL, SASL_PASSWORD, true, "auto", "", "SCRAM", SASL_FIRST, NULL, "PLAIN" },
		{ ALL, SASL_PASSWORD, true, "auto", "SCRAM-SHA-1", "SCRAM", SASL_FIRST, NULL, "PLAIN" },
		{ "SCRAM-SHA-1", SASL_PASSWORD, true, "auto", "", "SCRAM", SASL_FIRST, NULL, NULL },
		{ ALL, SASL_PASSWORD, true, "scram-sha-256", "", "SCRAM", SASL_FIRST, NULL, "SCRAM-SHA-256" },
		/* A name that cannot be done is not replaced. */
		{ ALL, SASL_PASSWORD, false, "scram-sha-256-plus", "", "", SASL_FIRST, NULL, NULL },
		{ ALL, SASL_PASSWORD, true, "xoauth2", "", "", SASL_FIRST, NULL, NULL },
		/* Another turn. */
		{ ALL, SASL_PASSWORD, true, "auto", "LOGIN", "", SASL_ANOTHER, "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS" },
		{ "PLAIN", SASL_PASSWORD, true, "auto", "", "", SASL_ANOTHER, "PLAIN", NULL },
		{ "PLAIN LOGIN", SASL_PASSWORD, true, "plain", "", "", SASL_ANOTHER, "PLAIN", NULL },
		{ ALL, SASL_PASSWORD, true, "auto", "PLAIN", "", SASL_STRONGER, "PLAIN", "SCRAM-SHA-256-PLUS" },
		{ "PLAIN LOGIN", SASL_PASSWORD, true, "auto", "", "", SASL_STRONGER, "PLAIN", NULL },
		{ ALL, SASL_PASSWORD, true, "auto", "", "", SASL_UNBOUND, "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256" },
		{ ALL, SASL_PASSWORD, true, "auto", "", "", SASL_SHOWN, "SCRAM-SHA-1", "PLAIN" },
		{ "SCRAM-SHA-1 SCRAM-SHA-256", SASL_PASSWORD, true, "auto", "", "", SASL_SHOWN, "SCRAM-SHA-1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl_login l = login_of(STR("u"), STR("p"));
		struct why why = { 0 };
		const char *got;

		l.wanted = rows[i].wanted;
		l.proof = rows[i].proof;
		l.last = rows[i].last;
		l.avoid = rows[i].avoid;
		if (rows[i].bound)
			l.binding = STR("0123456789abcdef0123456789abcdef");
		got = sasl_pick(str_of(rows[i].offered), &l, rows[i].turn, rows[i].tried, &why);
		if (rows[i].picked == NULL ? got != NULL : got == NULL || strcmp(got, rows[i].picked) != 0)
			fail_msg("row %zu: %s", i, got != NULL ? got : why.text);
	}
}

static void
words_are_compared_without_case_and_whole(void **state)
{
	static const struct pick rows[] = {
		{ "plain", "auto", "PLAIN" },
		{ "Login", "login", "LOGIN" },
		{ "PLAIN LOGIN", "LoGiN", "LOGIN" },
		{ "PLAINX XPLAIN PLAIN-PLUS", "auto", NULL },
		{ "PLAIN,LOGIN", "auto", NULL },
	};

	(void)state;
	check_picks(rows, COUNT(rows));
}

static void
a_mechanism_that_was_asked_for_is_never_replaced_by_another(void **state)
{
	static const struct pick rows[] = {
		{ "PLAIN LOGIN", "login", "LOGIN" },
		{ "PLAIN", "login", NULL },
		{ "LOGIN", "plain", NULL },
		{ "PLAIN LOGIN", "no-such-thing", NULL },
		{ "NO-SUCH-THING", "no-such-thing", NULL },
	};

	(void)state;
	check_picks(rows, COUNT(rows));
}

static void
a_refusal_names_what_was_offered_and_what_we_speak(void **state)
{
	struct why why = { 0 };

	(void)state;
	assert_null(pick(STR("GSSAPI NTLM"), "auto", &why));
	assert_non_null(strstr(why.text, "GSSAPI NTLM"));
	assert_non_null(strstr(why.text, "PLAIN, LOGIN"));
	assert_null(pick(STR("LOGIN"), "plain", &why));
	assert_non_null(strstr(why.text, "offers LOGIN"));
	assert_non_null(strstr(why.text, "auth = auto"));
	assert_null(pick(NONE, "auto", &why));
	assert_non_null(strstr(why.text, "auth = none"));
}

static void
what_the_server_offered_is_masked_and_cut(void **state)
{
	struct why why = { 0 };
	struct buf offered = { 0 };

	(void)state;
	buf_adds(&offered, "EVIL\x1b[2J\nsecond");
	for (int i = 0; i < 1000; i++)
		buf_adds(&offered, " WORD");
	assert_null(pick(buf_str(&offered), "auto", &why));
	assert_null(strchr(why.text, '\x1b'));
	assert_null(strchr(why.text, '\n'));
	assert_non_null(strstr(why.text, "EVIL\\x1b[2J"));
	assert_non_null(strstr(why.text, "SCRAM-SHA-1, PLAIN, LOGIN"));
	buf_free(&offered);
}

static void
only_names_in_the_table_are_known(void **state)
{
	static const struct {
		const char *name;
		bool known;
	} rows[] = {
		{ "plain", true }, { "PLAIN", true }, { "login", true }, { "Login", true },
		{ "", false }, { "auto", false }, { "none", false }, { "plain ", false },
		{ "gssapi", false }, { "digest-md5", false }, { "anonymous", false }, { "ntlm", false },
		{ "cram-md5", true }, { "scram-sha-1", true }, { "scram-sha-1-plus", true },
		{ "scram-sha-256", true }, { "scram-sha-256-plus", true }, { "oauthbearer", true },
		{ "xoauth2", true }, { "external", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(sasl_knows(rows[i].name), rows[i].known);
}

/* Opens a conversation that must begin well. */
static struct sasl *
begin(const char *mechanism, struct str user, struct str secret)
{
	/* Borrowed by what begins here, one at a time. */
	static struct sasl_login l;
	struct why why = { 0 };
	struct sasl *s = NULL;

	l = login_of(user, secret);
	assert_int_equal(sasl_start(&s, mechanism, &l, &why), DONE);
	assert_non_null(s);
	return s;
}

static void
expect_step(struct sasl *s, struct str challenge, struct str response)
{
	struct why why = { 0 };
	struct buf got = { 0 };

	assert_int_equal(sasl_step(s, challenge, &got, &why), DONE);
	assert_int_equal(got.len, response.len);
	if (response.len > 0)
		assert_memory_equal(got.p, response.p, response.len);
	buf_wipe(&got);
}

static void
plain_speaks_first_and_says_all_in_one_response(void **state)
{
	struct sasl *s = begin("PLAIN", STR("me@example.com"), STR("pass word="));

	(void)state;
	assert_true(sasl_speaks_first(s));
	assert_false(sasl_is_done(s));
	expect_step(s, NONE, STR("\0me@example.com\0pass word="));
	assert_true(sasl_is_done(s));
	sasl_free(&s);
}

static void
login_waits_and_gives_user_then_password(void **state)
{
	struct sasl *s = begin("login", STR("me"), STR("geheim"));

	(void)state;
	assert_false(sasl_speaks_first(s));
	expect_step(s, STR("Username:"), STR("me"));
	assert_false(sasl_is_done(s));
	expect_step(s, STR("Password:"), STR("geheim"));
	assert_true(sasl_is_done(s));
	sasl_free(&s);
}

static void
words_in_the_first_challenge_change_nothing(void **state)
{
	static const struct str words[] = {
		STR("Go ahead"), STR("PLAIN"), STR("User Name\0"), STR(""), STR("\xff\xfe"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		struct sasl *s = begin("PLAIN", STR("u"), STR("p"));

		expect_step(s, words[i], STR("\0u\0p"));
		sasl_free(&s);
		s = begin("LOGIN", STR("u"), STR("p"));
		expect_step(s, words[i], STR("u"));
		expect_step(s, STR("Password:"), STR("p"));
		sasl_free(&s);
	}
}

static void
only_the_first_challenge_may_be_nonsense(void **state)
{
	struct sasl *s = begin("LOGIN", STR("u"), STR("p"));

	(void)state;
	assert_true(sasl_ignores_challenge(s));
	expect_step(s, NONE, STR("u"));
	assert_false(sasl_ignores_challenge(s));
	sasl_free(&s);
	s = begin("PLAIN", STR("u"), STR("p"));
	assert_true(sasl_ignores_challenge(s));
	sasl_free(&s);
}

static void
octets_go_out_as_they_are_base64_is_somebody_elses(void **state)
{
	struct sasl *s = begin("PLAIN", STR("j\xc3\xb6rg"), STR(" p\xc3\xa4ss\\\"\x7f= "));

	(void)state;
	expect_step(s, NONE, STR("\0j\xc3\xb6rg\0 p\xc3\xa4ss\\\"\x7f= "));
	sasl_free(&s);
}

static void
a_long_token_goes_through_whole(void **state)
{
	struct buf token = { 0 }, all = { 0 };
	struct sasl *s;

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_addc(&token, (char)('a' + i % 26));
	buf_add(&all, "\0u\0", 3);
	buf_addstr(&all, buf_str(&token));
	s = begin("PLAIN", STR("u"), buf_str(&token));
	expect_step(s, NONE, buf_str(&all));
	sasl_free(&s);
	buf_free(&token);
	buf_free(&all);
}

static void
a_nul_in_user_or_secret_is_refused_before_anything_is_said(void **state)
{
	static const struct {
		struct str user, secret;
		const char *names;
	} rows[] = {
		{ STR("u\0admin"), STR("p"), "user" },
		{ STR("u"), STR("p\0q"), "password" },
		{ STR("u"), STR("p\0"), "password" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sasl *s = NULL;
		struct why why = { 0 };
		struct sasl_login l = login_of(rows[i].user, rows[i].secret);

		assert_int_equal(sasl_start(&s, "PLAIN", &l, &why), LATER);
		assert_null(s);
		assert_int_equal(why.scope, SCOPE_ACCOUNT);
		assert_non_null(strstr(why.text, rows[i].names));
		sasl_free(&s);
	}
}

static void
a_mechanism_we_do_not_have_is_refused_at_the_start(void **state)
{
	struct sasl *s = NULL;
	struct why why = { 0 };
	struct sasl_login l = login_of(STR("u"), STR("p"));

	(void)state;
	assert_int_equal(sasl_start(&s, "KERBEROS_V4", &l, &why), LATER);
	assert_int_equal(why.scope, SCOPE_ACCOUNT);
	assert_null(s);
}

static void
a_server_that_never_stops_asking_gets_no_more_answers(void **state)
{
	static const char *const names[] = { "PLAIN", "LOGIN" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct sasl *s = begin(names[i], STR("u"), STR("verborgen"));
		struct why why = { 0 };
		struct buf got = { 0 };

		while (!sasl_is_done(s))
			assert_int_equal(sasl_step(s, NONE, &got, &why), DONE);
		buf_clear(&got);
		assert_int_equal(sasl_step(s, STR("Password:"), &got, &why), LATER);
		assert_int_equal(why.scope, SCOPE_ACCOUNT);
		assert_int_equal(got.len, 0);
		assert_null(strstr(why.text, "verborgen"));
		buf_wipe(&got);
		sasl_free(&s);
	}
}

static void
free_may_be_called_twice_and_on_nothing(void **state)
{
	struct sasl *s = NULL;

	(void)state;
	sasl_free(&s);
	s = begin("PLAIN", STR("u"), STR("p"));
	sasl_free(&s);
	assert_null(s);
	sasl_free(&s);
}

/* The canary is kept turned inside out, so that looking for it does not find
 * the looking glass.  Only its tail is looked for: an allocator writes its own
 * marks into the front of what it was given back. */
#define CANARY_LEN 64
#define TAIL 32

static bool
is_canary(const unsigned char *p)
{
	for (size_t i = TAIL; i < CANARY_LEN; i++)
		if ((p[i] ^ 0xff) != (unsigned char)('q' - i))
			return false;
	return true;
}

static void
write_canary(char *to)
{
	for (size_t i = 0; i < CANARY_LEN; i++)
		to[i] = (char)(('q' - i) ^ 0xff);
}

/* How often the canary stands in what this process may write to: heap, stack,
 * data of all libraries, and under a sanitizer what was freed as well. */
static unsigned
count_canaries(void)
{
	static unsigned char chunk[1 << 16];
	FILE *maps = fopen("/proc/self/maps", "r");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned long from, to;
	unsigned found = 0;
	char line[512], rights[8];

	assert_non_null(maps);
	assert_true(mem >= 0);
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
		    to - from > 64ul << 20)
			continue;
		while (from < to) {
			ssize_t n = pread(mem, chunk, sizeof chunk, (off_t)from);

			if (n <= CANARY_LEN)
				break;
			for (ssize_t i = 0; i + CANARY_LEN <= n; i++)
				if (from + (unsigned long)i - (uintptr_t)chunk >= sizeof chunk &&
				    is_canary(chunk + i))
					found++;
			from += (unsigned long)n - CANARY_LEN;
			if (n < (ssize_t)sizeof chunk)
				break;
		}
	}
	explicit_bzero(chunk, sizeof chunk);
	fclose(maps);
	close(mem);
	return found;
}

static void
no_copy_of_the_secret_is_left_in_memory(void **state)
{
	static const char *const names[] = { "PLAIN", "LOGIN" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct buf secret = { 0 }, response = { 0 };
		struct why why = { 0 };
		struct sasl *s;

		buf_reserve(&secret, CANARY_LEN);
		write_canary(secret.p);
		secret.len = CANARY_LEN;
		assert_true(count_canaries() >= 1);
		s = begin(names[i], STR("u"), buf_str(&secret));
		while (!sasl_is_done(s)) {
			buf_wipe(&response);
			assert_int_equal(sasl_step(s, NONE, &response, &why), DONE);
		}
		buf_wipe(&response);
		buf_wipe(&secret);
		assert_true(count_canaries() >= 1);
		sasl_free(&s);
		assert_int_equal(count_canaries(), 0);
	}
}

/* RFC 6070, RFC 7914 section 11, and what RFC 7677 section 3 uses; RFC 2202. */
static void
the_hashes_are_those_of_the_standards(void **state)
{
	static const struct {
		const char *secret;
		struct str salt;
		unsigned iterations;
		size_t size;
		const char *first;      /* octets of it */
	} rows[] = {
		{ "password", STR("salt"), 1, 20, "\x0c\x60\xc8\x0f\x96\x1f\x0e\x71" },
		{ "password", STR("salt"), 4096, 20, "\x4b\x00\x79\x01\xb7\x65\x48\x9a" },
		{ "passwd", STR("salt"), 1, 32, "\x55\xac\x04\x6e\x56\xe3\x08\x9f" },
		{ "Password", STR("NaCl"), 80000, 32, "\x4d\xdc\xd8\xf6\x0b\x98\xbe\x21" },
		{ "", STR("salt"), 1, 16, "\xf1\x35\xc2\x79\x93\xba\xf9\x87" },
	};
	unsigned char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(tls_stretch(str_of(rows[i].secret), rows[i].salt, rows[i].iterations, out,
		    rows[i].size));
		assert_memory_equal(out, rows[i].first, 8);
	}
	assert_true(tls_hmac_md5(STR("Jefe"), STR("what do ya want for nothing?"), out));
	assert_memory_equal(out, "\x75\x0c\x78\x3e\x6a\xb0\xb5\x03\xea\xa8\x6e\x31\x0a\x5d\xb7\x38", 16);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_plain_before_login_in_whatever_order_they_stand),
		{ "A-23: what is known of the login decides, and CRAM-MD5 is taken only by name",
		    what_is_known_of_the_login_decides, NULL, NULL, NULL },
		cmocka_unit_test(words_are_compared_without_case_and_whole),
		cmocka_unit_test(a_mechanism_that_was_asked_for_is_never_replaced_by_another),
		cmocka_unit_test(a_refusal_names_what_was_offered_and_what_we_speak),
		cmocka_unit_test(what_the_server_offered_is_masked_and_cut),
		cmocka_unit_test(only_names_in_the_table_are_known),
		cmocka_unit_test(plain_speaks_first_and_says_all_in_one_response),
		cmocka_unit_test(login_waits_and_gives_user_then_password),
		cmocka_unit_test(words_in_the_first_challenge_change_nothing),
		cmocka_unit_test(only_the_first_challenge_may_be_nonsense),
		{ "A-15: octets of PLAIN go out as they are, UTF-8 and = among them",
		    octets_go_out_as_they_are_base64_is_somebody_elses, NULL, NULL, NULL },
		cmocka_unit_test(a_long_token_goes_through_whole),
		{ "A-15: a NUL in user or secret is refused before anything is said",
		    a_nul_in_user_or_secret_is_refused_before_anything_is_said, NULL, NULL, NULL },
		cmocka_unit_test(a_mechanism_we_do_not_have_is_refused_at_the_start),
		cmocka_unit_test(a_server_that_never_stops_asking_gets_no_more_answers),
		cmocka_unit_test(the_hashes_are_those_of_the_standards),
		cmocka_unit_test(free_may_be_called_twice_and_on_nothing),
		cmocka_unit_test(no_copy_of_the_secret_is_left_in_memory),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
