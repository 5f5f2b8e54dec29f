/* auth: logins at a server that plays its part by a script. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "codec.h"
#include "file.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define USER "user@example.net"         /* the scripted server's */
#define PASSWORD "correct horse"

#define PLUS "offer \"AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\"\n"
#define SCRAM "offer \"AUTH SCRAM-SHA-256 PLAIN\"\n"

/* A connection, and the server at its other end. */
struct talk {
	char dir[64];
	pid_t server;
	unsigned port;
	struct conn conn;
	struct tls *tls;
	struct smtp smtp;
	struct buf binding;
	struct auth auth;
	struct why why;
};

/* ---- the far end ---- */

/* A file of the server's, as it is by now. */
static void
slurp(const struct talk *t, const char *name, struct buf *out)
{
	char path[128];

	buf_clear(out);
	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	file_load(AT_FDCWD, path, out, 1 << 24);
}

static unsigned
count(const struct talk *t, const char *name, const char *what)
{
	struct buf text = { 0 };
	const char *at;
	unsigned n = 0;

	slurp(t, name, &text);
	for (at = buf_c(&text); (at = strstr(at, what)) != NULL; at += strlen(what))
		n++;
	buf_free(&text);
	return n;
}

static void
start_server(struct talk *t, const char *script, const char *option, const char *value)
{
	const char *build = getenv("SUBPOST_BUILD");
	char program[4096], path[128];
	struct buf text = { 0 };
	uint64_t port = 0;
	int fd;

	*t = (struct talk){ .conn = CONN_INIT };
	snprintf(t->dir, sizeof t->dir, "/tmp/subpost-auth-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	snprintf(path, sizeof path, "%s/script", t->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(file_write(fd, str_of(script)), 0);
	close(fd);
	snprintf(program, sizeof program, "%s/tests/lib/smarthost", build != NULL ? build : "build");
	t->server = fork();
	if (t->server == 0) {
		/* It ends with us, whatever our end is. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(program, "smarthost", "-d", t->dir, "-s", path, option, value, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 4000 && port == 0; i++) {
		slurp(t, "port", &text);
		if (!codec_number(str_trim(buf_str(&text)), 65535, &port))
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	buf_free(&text);
	assert_true(port > 0);
	t->port = (unsigned)port;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* Whatever happened, we kept to the rules. */
static void
leave(struct talk *t)
{
	smtp_quit(&t->smtp);
	conn_close(&t->conn);
	smtp_free(&t->smtp);
	tls_free(&t->tls);
	buf_free(&t->binding);
	kill(t->server, SIGTERM);
	assert_int_equal(waitpid(t->server, NULL, 0), t->server);
	assert_int_equal(count(t, "violations", "VIOLATION"), 0);
	nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- our end ---- */

/* As far as a login; the server was started by start_server. */
static void
reach(struct talk *t)
{
	char ca[128];
	struct tls_terms terms = { .ca_file = ca, .pin = "", .cert_file = "", .key_file = "" };
	struct conn_terms to = { .host = "localhost", .port = t->port, .family = FAMILY_IPV4,
		.source = "" };

	snprintf(ca, sizeof ca, "%s/ca.pem", t->dir);
	assert_int_equal(tls_prepare(&t->tls, &terms, &t->why), DONE);
	assert_int_equal(tls_expect(t->tls, "localhost", NULL, &t->why), DONE);
	assert_int_equal(conn_open(&t->conn, &to, &t->why), DONE);
	t->smtp = (struct smtp){ .conn = &t->conn, .helo = "client.example" };
	assert_int_equal(smtp_greet(&t->smtp, &t->why), DONE);
	assert_int_equal(smtp_starttls(&t->smtp, t->tls, &t->why), DONE);
	tls_binding(t->tls, &t->binding);
	t->auth.login = (struct sasl_login){ .wanted = "auto", .user = STR(USER),
		.secret = STR(PASSWORD), .host = "localhost", .port = t->port, .last = "", .avoid = "",
		.binding = buf_str(&t->binding) };
}

static void
begin(struct talk *t, const char *script)
{
	start_server(t, script, NULL, NULL);
	reach(t);
}

static enum outcome
log_in(struct talk *t)
{
	return smtp_auth(&t->smtp, &t->auth, &t->why);
}

static void
expect_login(struct talk *t, const char *mechanism)
{
	enum outcome o = log_in(t);

	if (o != DONE)
		fail_msg("%s: %s", mechanism, t->why.text);
	assert_string_equal(t->auth.mechanism, mechanism);
	assert_false(t->auth.refused);
}

static void
expect_failure(struct talk *t, enum scope scope, bool refused, const char *words)
{
	assert_int_equal(log_in(t), LATER);
	assert_int_equal(t->why.scope, scope);
	assert_int_equal(t->auth.refused, refused);
	if (strstr(t->why.text, words) == NULL)
		fail_msg("expected \"%s\" in: %s", words, t->why.text);
	assert_null(strstr(t->why.text, PASSWORD));
}

/* ---- every mechanism ---- */

static void
every_mechanism_logs_in(void **state)
{
	static const struct {
		const char *wanted, *takes;
		enum sasl_proof proof;
	} rows[] = {
		{ "plain", "PLAIN", SASL_PASSWORD }, { "login", "LOGIN", SASL_PASSWORD },
		{ "cram-md5", "CRAM-MD5", SASL_PASSWORD },
		{ "scram-sha-1", "SCRAM-SHA-1", SASL_PASSWORD },
		{ "scram-sha-256", "SCRAM-SHA-256", SASL_PASSWORD },
		{ "scram-sha-1-plus", "SCRAM-SHA-1-PLUS", SASL_PASSWORD },
		{ "scram-sha-256-plus", "SCRAM-SHA-256-PLUS", SASL_PASSWORD },
		{ "oauthbearer", "OAUTHBEARER", SASL_TOKEN }, { "xoauth2", "XOAUTH2", SASL_TOKEN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		/* A token has no space in it. */
		start_server(&t, "offer \"AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 "
		    "SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS OAUTHBEARER XOAUTH2\"\n", "--password",
		    "correct,=horse");
		reach(&t);
		t.auth.login.secret = STR("correct,=horse");
		t.auth.login.wanted = rows[i].wanted;
		t.auth.login.proof = rows[i].proof;
		expect_login(&t, rows[i].takes);
		assert_int_equal(count(&t, "dialogue", "C: AUTH"), 1);
		/* In the clear and inside TLS: no mechanism of ours has a layer of its own. */
		assert_int_equal(count(&t, "dialogue", "C: EHLO"), 2);
		leave(&t);
	}
}

/* The binding differs in the two, and both have one. */
static void
channel_binding_is_good_in_both_tls(void **state)
{
	static const char *const priorities[] = {
		"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(priorities); i++) {
		struct talk t;

		start_server(&t, PLUS, "--priority", priorities[i]);
		reach(&t);
		assert_int_equal(t.binding.len, 32);
		expect_login(&t, "SCRAM-SHA-256-PLUS");
		assert_int_equal(count(&t, "dialogue", "-- scram header p=tls-exporter,,"), 1);
		leave(&t);
	}
}

static void
the_header_says_what_we_can(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, PLUS);
	expect_login(&t, "SCRAM-SHA-256-PLUS");
	assert_int_equal(count(&t, "dialogue", "-- scram header p=tls-exporter,,"), 1);
	leave(&t);
	begin(&t, SCRAM);
	expect_login(&t, "SCRAM-SHA-256");
	assert_int_equal(count(&t, "dialogue", "-- scram header n,,"), 1);
	leave(&t);
}

/* The list in the clear may be anybody's. */
static void
the_list_inside_tls_counts(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer-clear STARTTLS \"AUTH SCRAM-SHA-256\"\noffer \"AUTH PLAIN\"\n");
	expect_login(&t, "PLAIN");
	leave(&t);
	begin(&t, "offer-clear STARTTLS \"AUTH PLAIN\"\noffer PIPELINING\n");
	expect_failure(&t, SCOPE_ACCOUNT, false, "no login (AUTH)");
	leave(&t);
}

static void
a_channel_that_differs_is_refused(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, PLUS);
	t.binding.p[0] ^= 1;
	t.auth.login.binding = buf_str(&t.binding);
	expect_failure(&t, SCOPE_ACCOUNT, true, "535");
	leave(&t);
}

static void
without_extended_master_secret_nothing_binds(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, PLUS, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH");
	reach(&t);
	assert_int_equal(t.binding.len, 0);
	expect_login(&t, "SCRAM-SHA-256");
	leave(&t);
}

/* RFC 5802 section 2.2: SASLprep, by which two ways to write a letter are one. */
static void
a_password_that_is_not_ascii_is_prepared(void **state)
{
	static const char right[] = "p\xc3\xa4ss w\xc3\xb6rd";
	static const struct {
		struct str secret;
		bool logs_in;
	} rows[] = {
		{ STR("p\xc3\xa4ss w\xc3\xb6rd"), true },
		{ STR("pa\xcc\x88ss wo\xcc\x88rd"), true },            /* a, o and U+0308 */
		{ STR("p\xc3\xa4ss\xc2\xa0w\xc3\xb6rd"), true },       /* a space that does not break */
		{ STR("pass word"), false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		start_server(&t, SCRAM, "--password", right);
		reach(&t);
		t.auth.login.secret = rows[i].secret;
		assert_int_equal(log_in(&t) == DONE, rows[i].logs_in);
		leave(&t);
	}
}

static void
a_password_that_scram_cannot_carry_is_told(void **state)
{
	static const struct str rows[] = { STR("pass\x07word"), STR("pass\xffword"), STR("\xef\xbf\xbe") };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, SCRAM);
		t.auth.login.secret = rows[i];
		expect_failure(&t, SCOPE_ACCOUNT, false, "set auth = plain");
		assert_int_equal(count(&t, "dialogue", "C: *"), 1);
		leave(&t);
	}
}

static void
auto_takes_the_strongest_or_what_last_worked(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, PLUS);
	expect_login(&t, "SCRAM-SHA-256-PLUS");
	leave(&t);
	begin(&t, PLUS);
	t.auth.login.last = "PLAIN";
	expect_login(&t, "PLAIN");
	leave(&t);
	begin(&t, SCRAM);
	t.auth.login.last = "LOGIN";
	expect_login(&t, "SCRAM-SHA-256");
	leave(&t);
	begin(&t, PLUS);
	t.auth.login.avoid = "SCRAM";
	expect_login(&t, "PLAIN");
	leave(&t);
}

static void
what_is_avoided_is_not_tried_though_it_is_all_there_is(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer \"AUTH SCRAM-SHA-1 SCRAM-SHA-256\"\n");
	t.auth.login.avoid = "SCRAM";
	expect_failure(&t, SCOPE_ACCOUNT, false, "offers nothing else");
	assert_int_equal(count(&t, "dialogue", "C: AUTH"), 0);
	leave(&t);
}

static void
nothing_to_log_in_with_is_no_refusal(void **state)
{
	static const struct {
		const char *offer, *words;
	} rows[] = {
		{ "offer \"AUTH DIGEST-MD5\"\n", "DIGEST-MD5 is withdrawn" },
		{ "offer \"AUTH NTLM\"\n", "NTLM is long broken" },
		{ "offer \"AUTH XOAUTH2\"\n", "set token-command" },
		{ "offer \"AUTH CRAM-MD5\"\n", "auth = cram-md5 would do" },
		{ "offer \"AUTH GSSAPI\"\n", "ask the provider" },
		{ "offer PIPELINING\n", "no login (AUTH)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, rows[i].offer);
		expect_failure(&t, SCOPE_ACCOUNT, false, rows[i].words);
		assert_int_equal(count(&t, "dialogue", "C: AUTH"), 0);
		leave(&t);
	}
}

/* ---- lines ---- */

static void
a_secret_of(struct buf *secret, size_t n)
{
	buf_reserve(secret, n);
	while (secret->len < n)
		buf_addc(secret, (char)('a' + secret->len % 26));
}

static void
a_long_initial_response_waits_for_its_own_line(void **state)
{
	/* The longest that fits: "AUTH PLAIN " and base64 of two NULs, user and secret. */
	static const size_t fits = (512 - 2 - 11) / 4 * 3 - 2 - (sizeof USER - 1);
	static const struct {
		const char *wanted;
		enum sasl_proof proof;
		size_t len;
		bool apart;
	} rows[] = {
		{ "plain", SASL_PASSWORD, 10, false }, { "plain", SASL_PASSWORD, fits, false },
		{ "plain", SASL_PASSWORD, fits + 1, true }, { "plain", SASL_PASSWORD, 400, true },
		{ "xoauth2", SASL_TOKEN, 100, false }, { "xoauth2", SASL_TOKEN, 400, true },
		{ "oauthbearer", SASL_TOKEN, 2500, true }, { "xoauth2", SASL_TOKEN, 9000, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf secret = { 0 };
		struct talk t;

		a_secret_of(&secret, rows[i].len);
		start_server(&t, "offer \"AUTH PLAIN XOAUTH2 OAUTHBEARER\"\n", "--password", buf_c(&secret));
		reach(&t);
		t.auth.login.secret = buf_str(&secret);
		t.auth.login.wanted = rows[i].wanted;
		t.auth.login.proof = rows[i].proof;
		assert_int_equal(log_in(&t), DONE);
		assert_int_equal(count(&t, "dialogue", "S: 334"), rows[i].apart);
		assert_int_equal(count(&t, "dialogue", "<hidden>"), 1);
		leave(&t);
		buf_wipe(&secret);
	}
}

static void
a_response_that_no_server_must_take_is_not_said(void **state)
{
	struct buf secret = { 0 };
	struct talk t;

	(void)state;
	a_secret_of(&secret, 12288);
	begin(&t, "offer \"AUTH PLAIN\"\n");
	t.auth.login.secret = buf_str(&secret);
	expect_failure(&t, SCOPE_ACCOUNT, false, "too long");
	assert_int_equal(count(&t, "dialogue", "C: AUTH"), 0);
	leave(&t);
	/* And where it comes in a later step, the exchange is cancelled. */
	begin(&t, "offer \"AUTH LOGIN\"\n");
	t.auth.login.secret = buf_str(&secret);
	expect_failure(&t, SCOPE_ACCOUNT, false, "too long");
	assert_int_equal(count(&t, "dialogue", "C: *"), 1);
	leave(&t);
	buf_wipe(&secret);
}

static void
a_challenge_of_12288_octets_is_heard_whole(void **state)
{
	/* 334, a space, base64 of what a padded e= can hold, and CRLF. */
	struct buf error = { 0 }, script = { 0 };
	struct talk t;

	(void)state;
	buf_adds(&error, "e=no-resources,x=");
	while (error.len < (12288 - 6) / 4 * 3)
		buf_addc(&error, 'x');
	buf_adds(&script, SCRAM "auth reply \"334 ");
	codec_base64(&script, buf_str(&error));
	buf_adds(&script, "\"\nauth-response reply \"454 4.7.0 busy\"\n");
	begin(&t, buf_c(&script));
	expect_failure(&t, SCOPE_ACCOUNT, false, "(its reason: no-resources)");
	assert_int_equal(count(&t, "dialogue", "C: *"), 0);
	leave(&t);
	buf_free(&error);
	buf_free(&script);
}

static void
the_servers_own_limit_is_told(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer \"AUTH LOGIN\"\nauth-response reply \"500 5.5.6 line too long\"\n");
	expect_failure(&t, SCOPE_ACCOUNT, false, "does not take a token or password that long");
	leave(&t);
}

/* ---- EXTERNAL, with a certificate of the server's own making ---- */

static void
external_says_an_equals_sign_where_it_has_nothing_to_say(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer \"AUTH EXTERNAL PLAIN\"\nauth ~\"EXTERNAL =\" reply \"235 2.7.0 welcome\"\n");
	t.auth.login.proof = SASL_CERTIFICATE;
	t.auth.login.user = t.auth.login.secret = STR("");
	expect_login(&t, "EXTERNAL");
	leave(&t);
	begin(&t, "offer \"AUTH EXTERNAL PLAIN\"\nauth ~\"EXTERNAL dXNlckBleGFtcGxlLm5ldA==\" "
	    "reply \"235 2.7.0 welcome\"\n");
	t.auth.login.proof = SASL_CERTIFICATE;
	t.auth.login.secret = STR("");
	expect_login(&t, "EXTERNAL");
	leave(&t);
}

/* ---- challenges ---- */

static void
the_first_challenge_of_those_that_show_all_is_of_no_matter(void **state)
{
	static const char *const challenges[] = {
		"334 Go ahead", "334 UGxhaW46", "334 ", "334", "334 =AAA", "334 VXNlcm5hbWU6",
		"334 dXNlcm5hbWU6",
	};
	static const struct {
		const char *wanted;
		enum sasl_proof proof;
	} rows[] = {
		{ "plain", SASL_PASSWORD }, { "login", SASL_PASSWORD }, { "xoauth2", SASL_TOKEN },
		{ "oauthbearer", SASL_TOKEN },
	};
	struct buf secret = { 0 };

	(void)state;
	/* Too long for AUTH's own line. */
	a_secret_of(&secret, 500);
	for (size_t i = 0; i < COUNT(challenges); i++)
		for (size_t k = 0; k < COUNT(rows); k++) {
			struct buf script = { 0 };
			struct talk t;

			buf_addf(&script, "offer \"AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\"\nauth reply \"%s\"\n"
			    "%s", challenges[i], k == 1 ? "auth-response #1 reply \"334 UGFzc3dvcmQ6\"\n"
			    "auth-response reply \"235 2.7.0 welcome\"\n" : "");
			start_server(&t, buf_c(&script), "--password", buf_c(&secret));
			reach(&t);
			t.auth.login.secret = buf_str(&secret);
			t.auth.login.wanted = rows[k].wanted;
			t.auth.login.proof = rows[k].proof;
			assert_int_equal(log_in(&t), DONE);
			leave(&t);
			buf_free(&script);
		}
	buf_wipe(&secret);
}

static void
a_challenge_that_is_no_base64_is_cancelled(void **state)
{
	static const char *const challenges[] = {
		"=AAA", "AAA=BBB", "AAA", "AA==AAAA", "Go ahead", "QUJD QUJD",
	};
	static const char *const wanted[] = { "scram-sha-256", "cram-md5" };

	(void)state;
	for (size_t i = 0; i < COUNT(challenges); i++)
		for (size_t k = 0; k < COUNT(wanted); k++) {
			struct buf script = { 0 };
			struct talk t;

			buf_addf(&script, "offer \"AUTH SCRAM-SHA-256 CRAM-MD5\"\nauth reply \"334 %s\"\n",
			    challenges[i]);
			begin(&t, buf_c(&script));
			t.auth.login.wanted = wanted[k];
			expect_failure(&t, SCOPE_ACCOUNT, false, "not base64");
			assert_int_equal(count(&t, "dialogue", "C: *"), 1);
			assert_int_equal(count(&t, "dialogue", "S: 501"), 1);
			leave(&t);
			buf_free(&script);
		}
}

/* ---- another mechanism ---- */

static void
another_mechanism_is_tried_once_where_the_first_is_of_no_use(void **state)
{
	static const struct {
		const char *script, *last, *logs_in;    /* NULL: it does not */
		unsigned auths;
		bool refused;
	} rows[] = {
		{ PLUS "auth ~SCRAM reply \"504 5.5.4 not here\"\n", "", NULL, 2, false },
		{ SCRAM "auth ~SCRAM reply \"504 5.5.4 not here\"\n", "", "PLAIN", 2, false },
		{ SCRAM "auth reply \"504 5.5.4 not here\"\n", "", NULL, 2, false },
		{ "offer \"AUTH PLAIN\"\nauth reply \"504 5.5.4 not here\"\n", "", NULL, 1, false },
		/* Too weak: a stronger one, if there is one. */
		{ SCRAM "auth ~PLAIN reply \"534 5.7.9 too weak\"\n", "PLAIN", "SCRAM-SHA-256", 2, false },
		{ "offer \"AUTH LOGIN PLAIN\"\nauth reply \"534 5.7.9 Application-specific password "
		    "required\"\n", "", NULL, 1, true },
		/* A password that must be seen once. */
		{ SCRAM "auth ~SCRAM reply \"432 4.7.12 a password transition is needed\"\n", "", "PLAIN", 2,
		    false },
		{ SCRAM "auth ~SCRAM reply \"432 4.3.2 busy\"\n", "", NULL, 1, false },
		/* Whoever counts logins counts these. */
		{ SCRAM "auth reply \"535 5.7.8 no\"\n", "", NULL, 1, true },
		{ SCRAM "auth reply \"454 4.7.0 not now\"\n", "", NULL, 1, false },
		{ SCRAM "auth reply \"421 4.7.0 bye\"\n", "", NULL, 1, false },
		{ SCRAM "auth ~SCRAM reply \"504 5.5.4 no\"\nauth reply \"535 5.7.8 no\"\n", "", NULL, 2, true },
		/* It has not looked at the password. */
		{ PLUS "scram first-error=unsupported-channel-binding-type\n", "",
		    NULL, 2, false },
		{ "offer \"AUTH SCRAM-SHA-256-PLUS PLAIN\"\nscram error=channel-binding-not-supported\n", "",
		    "PLAIN", 2, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, rows[i].script);
		t.auth.login.last = rows[i].last;
		if (rows[i].logs_in != NULL) {
			expect_login(&t, rows[i].logs_in);
		} else {
			assert_int_equal(log_in(&t), LATER);
			assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
			assert_int_equal(t.auth.refused, rows[i].refused);
		}
		assert_int_equal(count(&t, "dialogue", "C: AUTH"), rows[i].auths);
		leave(&t);
	}
}

static void
a_mechanism_by_name_is_never_replaced(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, SCRAM "auth reply \"504 5.5.4 not here\"\n");
	t.auth.login.wanted = "scram-sha-256";
	expect_failure(&t, SCOPE_ACCOUNT, false, "set auth to another one");
	assert_int_equal(count(&t, "dialogue", "C: AUTH"), 1);
	leave(&t);
}

static void
each_refusal_says_what_it_means(void **state)
{
	static const struct {
		const char *reply, *words;
		bool refused;
	} rows[] = {
		{ "454 4.7.0 no database", "trouble with logins", false },
		{ "451 4.3.0 Authentication failed: Maximum credits exceeded", "credits are used up", false },
		{ "535 5.7.8 no", "check user and password", true },
		{ "535 no", "check user and password", true },
		{ "534 5.7.9 Application-specific password required", "app password", true },
		{ "432 4.7.12 password transition needed", "must see the password once", false },
		{ "538 5.7.11 encryption needed", "wants TLS first", false },
		{ "530 5.7.0 Must issue STARTTLS first", "wants TLS first", false },
		{ "525 5.7.1 Unauthorized IP address", "this machine's address", false },
		{ "550 5.7.30 Basic authentication is not supported", "takes no passwords any more", true },
		{ "502 5.5.1 no such command", "AUTH answered: 502", false },
		{ "503 5.5.1 not now", "AUTH answered: 503", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf script = { 0 };
		struct talk t;

		buf_addf(&script, "offer \"AUTH PLAIN\"\nauth reply \"%s\"\n", rows[i].reply);
		begin(&t, buf_c(&script));
		expect_failure(&t, SCOPE_ACCOUNT, rows[i].refused, rows[i].words);
		leave(&t);
		buf_free(&script);
	}
}

/* Some servers say a line back that they do not like. */
static void
a_response_that_is_said_back_is_hidden(void **state)
{
	static const struct {
		const char *script, *response;
	} rows[] = {
		{ "offer \"AUTH PLAIN\"\nauth reply \"500 5.5.1 Command unrecognized: \\\"AUTH PLAIN "
		    "AHVzZXJAZXhhbXBsZS5uZXQAY29ycmVjdCBob3JzZQ==\\\"\"\n", "AHVzZXJAZXhhbXBsZS5uZXQA" },
		{ "offer \"AUTH LOGIN\"\nauth-response #2 reply \"535 5.7.8 Y29ycmVjdCBob3JzZQ== and again "
		    "Y29ycmVjdCBob3JzZQ==\"\n", "Y29ycmVjdCBob3JzZQ" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, rows[i].script);
		assert_int_equal(log_in(&t), LATER);
		assert_null(strstr(t.why.text, rows[i].response));
		assert_non_null(strstr(t.why.text, "[hidden]"));
		assert_null(memmem(t.smtp.reply.text.p, t.smtp.reply.text.len, rows[i].response,
		    strlen(rows[i].response)));
		assert_int_equal(t.conn.hidden.len, 0);
		leave(&t);
	}
}

/* ---- a server that is not to be trusted ---- */

static void
a_server_that_does_not_prove_itself_gets_no_mail(void **state)
{
	static const struct {
		const char *script, *words;
	} rows[] = {
		{ SCRAM "scram signature\n", "does not prove" },
		{ SCRAM "scram silent\n", "did not prove" },
		{ SCRAM "auth reply \"235 2.7.0 welcome\"\n", "did not prove" },
		{ SCRAM "auth-response #1 reply \"334 dj1BQUFB\"\n", "does not prove" },
		{ SCRAM "auth-response #1 reply \"334 \"\n", "does not prove" },
		{ SCRAM "scram nonce\n", "nonce does not begin with ours" },
		{ SCRAM "scram m-first\n", "extension" },
		{ SCRAM "scram m-last\n", "follows its iteration count" },
		{ SCRAM "scram i=1\n", "below 4096" },
		{ SCRAM "scram i=4095\n", "below 4096" },
		{ SCRAM "scram i=2000000000\n", "over a million" },
		{ SCRAM "auth reply \"334 \"\n", "no message of SCRAM" },
		{ SCRAM "scram error=channel-bindings-dont-match\n", "another TLS channel" },
		{ SCRAM "scram error=server-does-support-channel-binding\n", "another TLS channel" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, rows[i].script);
		expect_failure(&t, SCOPE_SERVER, false, rows[i].words);
		leave(&t);
	}
}

static void
an_error_of_scrams_own_is_told_and_blames_whom_it_names(void **state)
{
	static const struct {
		const char *error;
		bool refused;
	} rows[] = {
		{ "invalid-proof", true }, { "unknown-user", true }, { "other-error", true },
		{ "no-resources", false }, { "invalid-encoding", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int first = 0; first < 2; first++) {
			struct buf script = { 0 };
			struct talk t;

			buf_addf(&script, SCRAM "scram %serror=%s\n", first ? "first-" : "", rows[i].error);
			begin(&t, buf_c(&script));
			expect_failure(&t, SCOPE_ACCOUNT, rows[i].refused, rows[i].error);
			assert_int_equal(t.why.code, 535);
			assert_int_equal(count(&t, "dialogue", "C: AUTH"), 1);
			assert_int_equal(count(&t, "dialogue", "C: *"), 0);
			leave(&t);
			buf_free(&script);
		}
}

static void
a_wrong_password_is_the_accounts_trouble(void **state)
{
	static const char *const wanted[] = { "plain", "login", "cram-md5", "scram-sha-1",
		"scram-sha-256", "scram-sha-256-plus" };

	(void)state;
	for (size_t i = 0; i < COUNT(wanted); i++) {
		struct talk t;

		begin(&t, "offer \"AUTH PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS\"\n");
		t.auth.login.secret = STR("wrong");
		t.auth.login.wanted = wanted[i];
		expect_failure(&t, SCOPE_ACCOUNT, true, "535");
		assert_string_equal(t.auth.mechanism, sasl_pick(buf_str(&t.smtp.offers.auth),
		    &t.auth.login, SASL_FIRST, NULL, &t.why));
		leave(&t);
	}
}

static void
a_yes_before_the_password_was_said_is_none(void **state)
{
	struct buf secret = { 0 };
	struct talk t;

	(void)state;
	a_secret_of(&secret, 500);
	begin(&t, "offer \"AUTH PLAIN\"\nauth reply \"235 2.7.0 welcome\"\n");
	t.auth.login.secret = buf_str(&secret);
	expect_failure(&t, SCOPE_ACCOUNT, false, "said yes before");
	leave(&t);
	buf_wipe(&secret);
}

/* ---- tokens ---- */

static void
a_token_that_is_refused_is_told_with_the_servers_status(void **state)
{
	static const struct {
		const char *wanted, *status;
	} rows[] = { { "oauthbearer", "(its reason: invalid_token)" }, { "xoauth2", "(its reason: 401)" } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;

		begin(&t, "offer \"AUTH XOAUTH2 OAUTHBEARER\"\n");
		t.auth.login.secret = STR("stale-token");
		t.auth.login.wanted = rows[i].wanted;
		t.auth.login.proof = SASL_TOKEN;
		expect_failure(&t, SCOPE_ACCOUNT, true, rows[i].status);
		assert_non_null(strstr(t.why.text, "check user and token"));
		assert_int_equal(t.why.code, 535);
		assert_int_equal(count(&t, "dialogue", "C: AUTH"), 1);
		leave(&t);
	}
}

static void
a_server_that_complains_for_ever_is_cancelled(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer \"AUTH XOAUTH2\"\nauth reply \"334 e30=\"\nauth-response reply \"334 e30=\"\n");
	t.auth.login.secret = STR("token");
	t.auth.login.proof = SASL_TOKEN;
	assert_int_equal(log_in(&t), LATER);
	assert_int_equal(count(&t, "dialogue", "C: *"), 1);
	leave(&t);
}

static void
a_yes_to_a_complaint_is_none(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "offer \"AUTH XOAUTH2\"\nauth reply \"334 e30=\"\nauth-response reply \"235 2.7.0 welcome\"\n");
	t.auth.login.secret = STR("token");
	t.auth.login.proof = SASL_TOKEN;
	assert_int_equal(log_in(&t), LATER);
	leave(&t);
}

#define PROMISE(words, test) { words, test, NULL, NULL, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE("A-09: every mechanism logs in, PLAIN among them, and none needs another EHLO",
		    every_mechanism_logs_in),
		cmocka_unit_test(the_header_says_what_we_can),
		PROMISE("A-14: the list inside TLS counts", the_list_inside_tls_counts),
		PROMISE("A-19: channel binding is tls-exporter, in TLS 1.3 and 1.2",
		    channel_binding_is_good_in_both_tls),
		cmocka_unit_test(a_channel_that_differs_is_refused),
		cmocka_unit_test(without_extended_master_secret_nothing_binds),
		cmocka_unit_test(a_password_that_is_not_ascii_is_prepared),
		cmocka_unit_test(a_password_that_scram_cannot_carry_is_told),
		cmocka_unit_test(auto_takes_the_strongest_or_what_last_worked),
		cmocka_unit_test(what_is_avoided_is_not_tried_though_it_is_all_there_is),
		PROMISE("A-25: DIGEST-MD5 and NTLM are not spoken, and people are told what to do",
		    nothing_to_log_in_with_is_no_refusal),
		PROMISE("A-01: an initial response over the line's limit waits for a line of its own",
		    a_long_initial_response_waits_for_its_own_line),
		PROMISE("A-06: a response of over 12288 octets is not said",
		    a_response_that_no_server_must_take_is_not_said),
		PROMISE("A-06: a challenge of 12288 octets is heard whole",
		    a_challenge_of_12288_octets_is_heard_whole),
		PROMISE("A-06: a server's own limit is told", the_servers_own_limit_is_told),
		PROMISE("A-02: EXTERNAL says = where it has nothing to say",
		    external_says_an_equals_sign_where_it_has_nothing_to_say),
		PROMISE("A-05, A-16: what is asked first is of no matter where all is shown",
		    the_first_challenge_of_those_that_show_all_is_of_no_matter),
		PROMISE("A-04, A-05: a challenge that is no base64 is cancelled by *",
		    a_challenge_that_is_no_base64_is_cancelled),
		PROMISE("A-10: another mechanism is tried once, and never after 535",
		    another_mechanism_is_tried_once_where_the_first_is_of_no_use),
		cmocka_unit_test(a_mechanism_by_name_is_never_replaced),
		PROMISE("A-12, X-20: each refusal says what it means, and is the account's", each_refusal_says_what_it_means),
		cmocka_unit_test(a_response_that_is_said_back_is_hidden),
		PROMISE("A-17: a server that does not prove itself gets no mail",
		    a_server_that_does_not_prove_itself_gets_no_mail),
		PROMISE("A-03, A-17: to an error of SCRAM's own an empty line is said, and people are told",
		    an_error_of_scrams_own_is_told_and_blames_whom_it_names),
		cmocka_unit_test(a_wrong_password_is_the_accounts_trouble),
		cmocka_unit_test(a_yes_before_the_password_was_said_is_none),
		PROMISE("A-21: a token that is refused is told with the server's status",
		    a_token_that_is_refused_is_told_with_the_servers_status),
		cmocka_unit_test(a_server_that_complains_for_ever_is_cancelled),
		cmocka_unit_test(a_yes_to_a_complaint_is_none),
	};

	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
