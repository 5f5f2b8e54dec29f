/* dialogue: smtp, conn, tls and sasl against a server that does what a script
 * says; in one process and unconfined, so that a leak is seen. */
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"
#include "smtp.h"
#include "tls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define USER "user@example.net"
#define PASSWORD "correct horse"
#define TEXT "Subject: hi\n\nbody\n"

enum kind { PLAIN, STARTTLS, IMPLICIT };

/* One server, one conversation. */
struct talk {
	char dir[64];
	pid_t server;
	unsigned port;
	struct conn conn;
	struct tls *tls;
	struct smtp smtp;
	struct why why;
};

/* ---- the far end ---- */

static void
spew(const struct talk *t, const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, str_of(text)), 0);
	close(fd);
}

/* A file of the server's; empty where there is none. */
static void
slurp(const struct talk *t, const char *name, struct buf *out)
{
	char path[128];

	buf_clear(out);
	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	file_load(AT_FDCWD, path, out, 1 << 26);
}

static void
wait_for_port(struct talk *t)
{
	struct buf text = { 0 };
	uint64_t port = 0;

	for (int i = 0; i < 2000 && port == 0; i++) {
		slurp(t, "port", &text);
		if (!codec_number(str_trim(buf_str(&text)), 65535, &port))
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	buf_free(&text);
	assert_true(port > 0);
	t->port = (unsigned)port;
}

static void
start_server(struct talk *t, enum kind kind, const char *script)
{
	static const char *const flags[] = { "--plain", "--starttls", "--implicit" };
	const char *build = getenv("SUBPOST_BUILD");
	char program[4096];

	*t = (struct talk){ .conn = CONN_INIT };
	snprintf(t->dir, sizeof t->dir, "/tmp/subpost-dialogue-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	spew(t, "script", script);
	snprintf(program, sizeof program, "%s/tests/lib/smarthost", build != NULL ? build : "build");
	t->server = fork();
	if (t->server == 0) {
		char path[128];

		/* It ends with us, whatever our end is. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		snprintf(path, sizeof path, "%s/script", t->dir);
		execl(program, "smarthost", "-d", t->dir, "-s", path, flags[kind],
		    kind == PLAIN ? "--no-auth" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	assert_true(t->server > 0);
	wait_for_port(t);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void
leave(struct talk *t)
{
	smtp_free(&t->smtp);
	smtp_free(&t->smtp);
	conn_close(&t->conn);
	tls_free(&t->tls);
	kill(t->server, SIGTERM);
	assert_int_equal(waitpid(t->server, NULL, 0), t->server);
	nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- our end ---- */

static enum outcome
connect_to(struct talk *t)
{
	enum outcome o = conn_open(&t->conn, "127.0.0.1", t->port, &t->why);

	t->smtp = (struct smtp){ .conn = &t->conn, .helo = "client.example" };
	return o;
}

/* As far as the session of that kind goes without a login. */
static enum outcome
open_session(struct talk *t, enum kind kind)
{
	char ca[128];
	enum outcome o = DONE;

	snprintf(ca, sizeof ca, "%s/ca.pem", t->dir);
	if (kind != PLAIN)
		assert_int_equal(tls_prepare(&t->tls, "localhost", ca, &t->why), DONE);
	assert_int_equal(connect_to(t), DONE);
	if (kind == IMPLICIT)
		o = conn_start_tls(&t->conn, t->tls, 20, &t->why);
	if (o == DONE)
		o = smtp_greet(&t->smtp, &t->why);
	if (o == DONE && kind == STARTTLS)
		o = smtp_starttls(&t->smtp, t->tls, &t->why);
	return o;
}

static enum outcome
log_in(struct talk *t, const char *mechanism)
{
	return smtp_auth(&t->smtp, mechanism, STR(USER), STR(PASSWORD), &t->why);
}

static void
begin(struct talk *t, const char *script)
{
	start_server(t, PLAIN, script);
	assert_int_equal(open_session(t, PLAIN), DONE);
}

/* A message for three, and what became of it. */
struct mail {
	struct smtp_message m;
	enum outcome outcome[3];
	struct why why[3];
	unsigned asked;         /* how often may_end was */
	bool forbidden;         /* and what it answers */
};

static bool
may_end(void *arg)
{
	struct mail *mail = arg;

	mail->asked++;
	return !mail->forbidden;
}

static const struct recipient recipients[] = { { .address = (char []){ "one@example.org" } },
	{ .address = (char []){ "two@example.org" } }, { .address = (char []){ "three@example.org" } } };

static void
write_mail(struct mail *mail, const char *text)
{
	struct str s = str_of(text);
	uint64_t lines = 0;

	*mail = (struct mail){ .m = { .from = "me@example.com", .to = recipients, .n = 3,
		.may_end = may_end } };
	mail->m.fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(file_write(mail->m.fd, STR("head")), 0);
	assert_int_equal(file_write(mail->m.fd, s), 0);
	mail->m.text_at = 4;
	mail->m.text_len = s.len;
	mail->m.text_crc = codec_crc32c(0, s.p, s.len);
	for (size_t i = 0; i < s.len; i++)
		lines += s.p[i] == '\n';
	mail->m.size = s.len + lines;
	for (size_t i = 0; i < 3; i++)
		mail->outcome[i] = DONE;        /* that it is not must be said */
}

static void
send_mail(struct talk *t, struct mail *mail)
{
	mail->m.arg = mail;
	mail->m.outcome = mail->outcome;
	mail->m.why = mail->why;
	smtp_send(&t->smtp, &mail->m);
	for (size_t i = 0; i < mail->m.n; i++)
		assert_true(mail->why[i].text[0] != '\0');
}

static void
drop_mail(struct mail *mail)
{
	close(mail->m.fd);
}

/* ---- what the server saw ---- */

static bool
holds(const struct talk *t, const char *name, struct str what)
{
	struct buf text = { 0 };
	bool found;

	slurp(t, name, &text);
	found = text.len > 0 && memmem(text.p, text.len, what.p, what.len) != NULL;
	buf_free(&text);
	return found;
}

static bool
has_message(const struct talk *t, unsigned n)
{
	char path[128];

	snprintf(path, sizeof path, "%s/messages/%04u.eml", t->dir, n);
	return access(path, F_OK) == 0;
}

static void
assert_no_violation(const struct talk *t)
{
	struct buf text = { 0 };

	slurp(t, "violations", &text);
	if (text.len > 0)
		print_error("%s", buf_c(&text));
	assert_int_equal(text.len, 0);
	buf_free(&text);
}

static void
assert_all(const struct mail *mail, enum outcome o, enum scope scope)
{
	for (size_t i = 0; i < mail->m.n; i++) {
		if (mail->outcome[i] != o || (o != DONE && mail->why[i].scope != scope))
			print_error("%zu: %s %s: %s\n", i, outcome_name(mail->outcome[i]),
			    scope_name(mail->why[i].scope), mail->why[i].text);
		assert_int_equal(mail->outcome[i], o);
		if (o != DONE)
			assert_int_equal(mail->why[i].scope, scope);
	}
}

/* Sends one message to three on a fresh connection to a server with this script. */
static void
try_script(struct talk *t, const char *script, struct mail *mail)
{
	begin(t, script);
	write_mail(mail, TEXT);
	send_mail(t, mail);
}

/* The same and a second message on that connection: everybody gets it. */
static void
assert_next_goes_through(struct talk *t)
{
	struct mail next;

	assert_false(t->smtp.lost);
	write_mail(&next, TEXT);
	send_mail(t, &next);
	assert_all(&next, DONE, SCOPE_NONE);
	drop_mail(&next);
	assert_no_violation(t);
}

/* Without PIPELINING everything is asked one by one. */
#define LOCK_STEP "offer SIZE 8BITMIME\n"

/* ---- the session ---- */

static void
a_session_with_starttls_and_plain_delivers(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	start_server(&t, STARTTLS, "");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), DONE);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_int_equal(mail.why[0].code, 250);
	assert_int_equal(mail.asked, 1);
	smtp_quit(&t.smtp);
	assert_true(holds(&t, "messages/0001.eml", STR("Subject: hi\r\n\r\nbody\r\n")));
	assert_true(holds(&t, "messages/0001.env", STR("tls yes")));
	assert_true(holds(&t, "messages/0001.env", STR("auth " USER)));
	assert_true(holds(&t, "dialogue", STR("C: AUTH PLAIN ")));
	assert_true(holds(&t, "dialogue", STR("C: QUIT")));
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
a_server_that_offers_only_login_gets_login(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	start_server(&t, STARTTLS, "offer PIPELINING \"AUTH LOGIN\"\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), DONE);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_true(holds(&t, "dialogue", STR("C: AUTH LOGIN")));
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
implicit_tls_needs_no_starttls(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	start_server(&t, IMPLICIT, "");
	assert_int_equal(open_session(&t, IMPLICIT), DONE);
	assert_int_equal(log_in(&t, "plain"), DONE);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_false(holds(&t, "dialogue", STR("C: STARTTLS")));
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
what_was_offered_before_tls_is_forgotten_after_it(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "offer-clear STARTTLS PIPELINING 8BITMIME \"SIZE 5000\" \"AUTH PLAIN LOGIN\"\n"
	    "offer 8BITMIME\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_true(t.smtp.offers.eight_bit);
	assert_false(t.smtp.offers.starttls || t.smtp.offers.pipelining || t.smtp.offers.size);
	assert_true(t.smtp.offers.size_max == 0);
	assert_int_equal(str_trim(buf_str(&t.smtp.offers.auth)).len, 0);
	assert_int_equal(log_in(&t, "auto"), LATER);
	assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
	assert_false(holds(&t, "dialogue", STR("C: AUTH")));
	leave(&t);
}

static void
without_starttls_nothing_more_is_said(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "offer-clear PIPELINING \"AUTH PLAIN\"\n");
	assert_int_equal(open_session(&t, STARTTLS), LATER);
	assert_int_equal(t.why.scope, SCOPE_SERVER);
	assert_false(holds(&t, "dialogue", STR("C: STARTTLS")));
	assert_false(holds(&t, "dialogue", STR("C: AUTH")));
	leave(&t);
}

static void
a_refused_starttls_is_the_servers_trouble(void **state)
{
	static const char *const scripts[] = {
		"starttls reply \"454 4.7.0 not now\"\n", "starttls reply \"502 no\"\n",
		"starttls reply \"503 no\"\n", "starttls reply \"421 bye\"\n", "starttls drop\n",
		"starttls send \"220 go\\r\\n250 injected\\r\\n\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;

		start_server(&t, STARTTLS, scripts[i]);
		assert_int_equal(open_session(&t, STARTTLS), LATER);
		assert_int_equal(t.why.scope, SCOPE_SERVER);
		assert_false(holds(&t, "raw.1", STR("AUTH")));
		leave(&t);
	}
}

static void
a_greeting_that_is_no_welcome_is_the_servers_trouble(void **state)
{
	static const char *const scripts[] = {
		"greeting reply \"554 5.7.1 blocked\"\n", "greeting reply \"421 busy\"\n",
		"greeting reply \"450 later\"\n", "greeting reply \"521 none here\"\n", "greeting drop\n",
		"greeting send \"SSH-2.0-x\\r\\n\"\n", "greeting reply \"354 go\"\n", "connect reset\n",
		"ehlo reply \"421 4.3.2 bye\"\n", "ehlo reply \"550 5.7.1 no\"\n", "ehlo drop\n",
		"ehlo send \"250-a\\r\\n550 b\\r\\n\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;

		start_server(&t, PLAIN, scripts[i]);
		assert_int_equal(open_session(&t, PLAIN), LATER);
		assert_int_equal(t.why.scope, SCOPE_SERVER);
		assert_true(t.why.text[0] != '\0');
		leave(&t);
	}
}

static void
offers_are_read_in_every_form_that_servers_give_them(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, PLAIN, "ehlo send \"250-big.example greets you AUTH\\r\\n250-pipelining\\r\\n"
	    "250-Size 5000 \\r\\n250-X-UNKNOWN a b\\r\\n250-auth=login\\r\\n250-Auth PLAIN\\r\\n"
	    "250-8bitMIME\\r\\n250-\\r\\n250 Ok\\r\\n\"\n");
	assert_int_equal(open_session(&t, PLAIN), DONE);
	assert_true(t.smtp.offers.pipelining && t.smtp.offers.eight_bit && t.smtp.offers.size);
	assert_true(t.smtp.offers.size_max == 5000);
	assert_false(t.smtp.offers.starttls);
	assert_non_null(strstr(buf_c(&t.smtp.offers.auth), "login"));
	assert_non_null(strstr(buf_c(&t.smtp.offers.auth), "PLAIN"));
	leave(&t);
}

/* ---- the login ---- */

static void
a_refused_login_is_the_accounts_and_is_tried_once(void **state)
{
	static const char *const scripts[] = {
		"auth reply \"535 5.7.8 wrong\"\n", "auth reply \"454 4.7.0 not now\"\n",
		"auth reply \"550 5.7.30 basic is off\"\n", "auth reply \"500 what\"\n",
		"auth reply \"421 4.7.0 bye\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;
		struct buf text = { 0 };
		const char *first;

		start_server(&t, STARTTLS, scripts[i]);
		assert_int_equal(open_session(&t, STARTTLS), DONE);
		assert_int_equal(log_in(&t, "auto"), LATER);
		assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
		assert_null(strstr(t.why.text, PASSWORD));
		slurp(&t, "dialogue", &text);
		first = strstr(buf_c(&text), "C: AUTH");
		assert_non_null(first);
		assert_null(strstr(first + 1, "C: AUTH"));
		buf_free(&text);
		leave(&t);
	}
}

static void
a_wrong_password_is_the_accounts_trouble(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(smtp_auth(&t.smtp, "login", STR(USER), STR("wrong"), &t.why), LATER);
	assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
	assert_int_equal(t.why.code, 535);
	leave(&t);
}

static void
a_server_without_a_usable_mechanism_is_told_to_people_and_not_asked(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "offer \"AUTH GSSAPI NTLM\"\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), LATER);
	assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
	assert_non_null(strstr(t.why.text, "GSSAPI"));
	assert_false(holds(&t, "dialogue", STR("C: AUTH")));
	leave(&t);
}

static void
a_yes_before_the_exchange_is_over_is_no_login(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "offer \"AUTH LOGIN\"\nauth reply \"235 2.7.0 welcome\"\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), LATER);
	assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
	leave(&t);
}

static void
a_login_that_is_never_over_is_cancelled(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "auth reply \"334 \"\nauth-response reply \"334 bW9yZQ==\"\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "plain"), LATER);
	assert_int_equal(t.why.scope, SCOPE_ACCOUNT);
	assert_true(holds(&t, "raw.1", STR("*\r\n")));
	leave(&t);
}

static void
a_connection_that_ends_during_the_login_is_the_servers(void **state)
{
	struct talk t;

	(void)state;
	start_server(&t, STARTTLS, "auth drop\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), LATER);
	assert_int_equal(t.why.scope, SCOPE_SERVER);
	assert_true(t.smtp.lost);
	leave(&t);
}

/* ---- recipients ---- */

static void
several_messages_go_over_one_connection(void **state)
{
	struct talk t;

	(void)state;
	begin(&t, "");
	for (unsigned i = 1; i <= 5; i++) {
		assert_next_goes_through(&t);
		assert_true(has_message(&t, i));
	}
	assert_false(holds(&t, "dialogue", STR("C: RSET")));
	leave(&t);
}

static void
each_recipient_gets_an_answer_of_its_own(void **state)
{
	static const char *const scripts[] = {
		"rcpt #2 reply \"450 4.2.0 greylisted\"\nrcpt #3 reply \"550 5.1.1 no\"\n",
		LOCK_STEP "rcpt #2 reply \"450 4.2.0 greylisted\"\nrcpt #3 reply \"550 5.1.1 no\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, scripts[i], &mail);
		assert_int_equal(mail.outcome[0], DONE);
		assert_int_equal(mail.outcome[1], LATER);
		assert_int_equal(mail.why[1].scope, SCOPE_RECIPIENT);
		assert_int_equal(mail.why[1].code, 450);
		assert_int_equal(mail.outcome[2], NEVER);
		assert_int_equal(mail.why[2].code, 550);
		assert_string_equal(mail.why[2].status, "5.1.1");
		assert_true(holds(&t, "messages/0001.env", STR("one@example.org")));
		assert_false(holds(&t, "messages/0001.env", STR("two@example.org")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_251_is_a_yes(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, "rcpt #1 reply \"251 will forward\"\nrcpt #2 reply \"254 4.7.1 suppressed\"\n", &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	drop_mail(&mail);
	leave(&t);
}

static void
without_pipelining_each_command_waits_for_its_answer(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, LOCK_STEP, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
when_all_are_refused_without_pipelining_no_text_is_asked_for(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, LOCK_STEP "rcpt #1-3 reply \"550 5.1.1 no\"\n", &mail);
	assert_all(&mail, NEVER, SCOPE_RECIPIENT);
	assert_int_equal(mail.asked, 0);
	assert_false(holds(&t, "dialogue", STR("C: DATA")));
	assert_next_goes_through(&t);
	assert_true(holds(&t, "dialogue", STR("C: RSET")));
	drop_mail(&mail);
	leave(&t);
}

static void
when_all_are_refused_and_the_text_is_asked_for_all_the_same_a_lone_dot_ends_it(void **state)
{
	static const char *const dots[] = { "554 5.5.1 no valid recipients", "250 2.0.0 ok, nobody", "451 what" };

	(void)state;
	for (size_t i = 0; i < COUNT(dots); i++) {
		struct talk t;
		struct mail mail;
		char script[256];

		snprintf(script, sizeof script, "rcpt #1-3 reply \"550 5.1.1 no\"\ndata #1 reply \"354 go\"\n"
		    "dot #1 reply \"%s\"\n", dots[i]);
		try_script(&t, script, &mail);
		assert_all(&mail, NEVER, SCOPE_RECIPIENT);
		assert_int_equal(mail.asked, 0);
		assert_true(holds(&t, "raw.1", STR("DATA\r\n.\r\n")));
		assert_false(holds(&t, "raw.1", STR("body")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
when_all_are_refused_and_data_too_the_connection_is_still_good(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, "rcpt #1-3 reply \"450 4.2.0 later\"\n", &mail);
	assert_all(&mail, LATER, SCOPE_RECIPIENT);
	assert_next_goes_through(&t);
	drop_mail(&mail);
	leave(&t);
}

/* ---- refusals ---- */

static void
a_refused_mail_is_everybodys_answer_and_the_next_message_goes_through(void **state)
{
	static const struct {
		const char *script;
		enum outcome outcome;
		enum scope scope;
	} rows[] = {
		{ "mail #1 reply \"550 no\"\n", NEVER, SCOPE_MESSAGE },
		{ "mail #1 reply \"550 5.7.60 send as\"\n", LATER, SCOPE_SENDER },
		{ "mail #1 reply \"451 4.3.5 later\"\n", LATER, SCOPE_SERVER },
		{ "mail #1 reply \"452 later\"\n", LATER, SCOPE_MESSAGE },
		{ "mail #1 reply \"530 5.7.0 log in\"\n", LATER, SCOPE_ACCOUNT },
		{ LOCK_STEP "mail #1 reply \"550 no\"\n", NEVER, SCOPE_MESSAGE },
		{ LOCK_STEP "mail #1 reply \"452 later\"\n", LATER, SCOPE_MESSAGE },
		/* Some servers go on as if nothing had been refused. */
		{ "mail #1 reply \"550 no\"\nrcpt #1-3 reply \"250 ok\"\ndata #1 reply \"354 go\"\n"
		    "dot #1 reply \"250 ok\"\n", NEVER, SCOPE_MESSAGE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, rows[i].script, &mail);
		assert_all(&mail, rows[i].outcome, rows[i].scope);
		assert_false(holds(&t, "raw.1", STR("body")));
		if (str_starts(str_of(rows[i].script), LOCK_STEP))
			assert_false(holds(&t, "dialogue", STR("C: RCPT")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_refused_mail_stays_refused_when_the_server_hangs_up_behind_it(void **state)
{
	static const char *const scripts[] = {
		"mail reply \"550 no\" drop\n", "mail reply \"550 no\"\nrcpt #2 drop\n",
		"mail reply \"550 no\"\nrcpt #1 reply \"503 no MAIL\"\nrcpt #2 fin\n",
		LOCK_STEP "mail reply \"550 no\" drop\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, scripts[i], &mail);
		assert_all(&mail, NEVER, SCOPE_MESSAGE);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_refused_data_is_the_answer_of_those_who_were_accepted(void **state)
{
	static const struct {
		const char *answer;
		enum outcome outcome;
		enum scope scope;
	} rows[] = {
		{ "554 5.5.1 no", NEVER, SCOPE_MESSAGE }, { "451 later", LATER, SCOPE_MESSAGE },
		{ "503 no", LATER, SCOPE_SERVER },
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		struct talk t;
		struct mail mail;
		char script[256];

		snprintf(script, sizeof script, "%srcpt #2 reply \"450 4.2.2 full\"\ndata #1 reply \"%s\"\n",
		    i % 2 ? LOCK_STEP : "", rows[i / 2].answer);
		try_script(&t, script, &mail);
		assert_int_equal(mail.outcome[0], rows[i / 2].outcome);
		assert_int_equal(mail.why[2].scope, rows[i / 2].scope);
		assert_int_equal(mail.why[1].code, 450);
		assert_int_equal(mail.asked, 0);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_yes_to_data_that_is_not_354_gets_no_text_and_ends_the_dialogue(void **state)
{
	static const char *const answers[] = { "250 ok", "334 go", "220 hello" };

	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct talk t;
		struct mail mail;
		char script[64];

		snprintf(script, sizeof script, "data reply \"%s\"\n", answers[i]);
		try_script(&t, script, &mail);
		assert_all(&mail, LATER, SCOPE_SERVER);
		assert_true(t.smtp.lost);
		assert_false(holds(&t, "raw.1", STR("body")));
		drop_mail(&mail);
		leave(&t);
	}
}

static void
the_answer_to_the_final_dot_is_the_messages(void **state)
{
	static const struct {
		const char *answer;
		enum outcome outcome;
		enum scope scope;
	} rows[] = {
		{ "250", DONE, SCOPE_NONE }, { "299 odd", DONE, SCOPE_NONE },
		{ "451 4.3.0 later", LATER, SCOPE_MESSAGE }, { "452 full", LATER, SCOPE_MESSAGE },
		{ "550 5.7.1 spam", NEVER, SCOPE_MESSAGE }, { "554 no", NEVER, SCOPE_MESSAGE },
		{ "550 5.4.5 daily quota", LATER, SCOPE_ACCOUNT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;
		char script[128];

		snprintf(script, sizeof script, "dot #1 reply \"%s\"\n", rows[i].answer);
		try_script(&t, script, &mail);
		assert_all(&mail, rows[i].outcome, rows[i].scope);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_message_over_the_servers_size_is_refused_without_asking(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "offer PIPELINING \"SIZE 1000\"\n");
	write_mail(&mail, TEXT);
	mail.m.size = 1001;
	send_mail(&t, &mail);
	assert_all(&mail, NEVER, SCOPE_MESSAGE);
	assert_string_equal(mail.why[0].status, "5.3.4");
	assert_non_null(strstr(mail.why[0].text, "1001"));
	assert_non_null(strstr(mail.why[0].text, "1000"));
	assert_false(holds(&t, "dialogue", STR("C: MAIL")));
	mail.m.size = 1000;
	send_mail(&t, &mail);
	assert_int_equal(mail.asked, 1);
	drop_mail(&mail);
	leave(&t);
}

static void
a_refused_rset_is_not_the_messages_fault(void **state)
{
	static const char *const answers[] = { "reply \"550 no\"", "reply \"502 what\"", "reply \"421 bye\"",
		"drop" };

	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct talk t;
		struct mail mail;
		char script[128];

		snprintf(script, sizeof script, LOCK_STEP "rcpt #1-3 reply \"550 5.1.1 no\"\nrset %s\n", answers[i]);
		try_script(&t, script, &mail);
		drop_mail(&mail);
		write_mail(&mail, TEXT);
		send_mail(&t, &mail);
		assert_all(&mail, LATER, SCOPE_SERVER);
		assert_true(t.smtp.lost);
		drop_mail(&mail);
		leave(&t);
	}
}

/* ---- the connection ends ---- */

static void
an_end_at_any_stage_is_later_for_everybody(void **state)
{
	static const char *const ends[] = { "drop", "fin", "reset", "reply \"421 4.3.2 bye\"",
		"send \"421 bye\\r\\n\" drop", "send \"25\" drop", "send \"garbage\\r\\n\"" };
	static const char *const stages[] = { "mail", "rcpt #1", "rcpt #2", "rcpt #3", "data", "text 1", "dot" };

	(void)state;
	for (size_t i = 0; i < COUNT(ends) * COUNT(stages); i++) {
		const char *stage = stages[i / COUNT(ends)], *end = ends[i % COUNT(ends)];
		struct talk t;
		struct mail mail;
		char script[128];

		snprintf(script, sizeof script, "%s%s %s\n", i % 2 ? LOCK_STEP : "", stage, end);
		try_script(&t, script, &mail);
		if (mail.outcome[0] != LATER || !t.smtp.lost)
			print_error("%s", script);
		assert_all(&mail, LATER, SCOPE_SERVER);
		assert_true(t.smtp.lost);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
whoever_was_refused_before_the_end_stays_refused(void **state)
{
	static const char *const scripts[] = {
		"rcpt #1 reply \"550 5.1.1 no\"\nrcpt #3 drop\n",
		"rcpt #1 reply \"550 5.1.1 no\"\nrcpt #3 reply \"421 bye\"\n",
		"rcpt #1 reply \"550 5.1.1 no\"\ndot drop\n",
		LOCK_STEP "rcpt #1 reply \"550 5.1.1 no\"\nrcpt #3 drop\n",
		LOCK_STEP "rcpt #1 reply \"550 5.1.1 no\"\nrcpt #2 reply \"421 bye\"\n",
		LOCK_STEP "rcpt #1 reply \"550 5.1.1 no\" send \"421 bye\\r\\n\" drop\n",
		"rcpt #1 reply \"550 5.1.1 no\"\ndata send \"451 no\\r\\n421 bye\\r\\n\" drop\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, scripts[i], &mail);
		assert_int_equal(mail.outcome[0], NEVER);
		assert_int_equal(mail.outcome[1], LATER);
		assert_int_equal(mail.outcome[2], LATER);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
an_end_behind_the_final_dot_says_that_it_may_have_arrived(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, "dot keep drop\n", &mail);
	assert_all(&mail, LATER, SCOPE_SERVER);
	assert_non_null(strstr(mail.why[0].text, "may have arrived"));
	drop_mail(&mail);
	leave(&t);
}

static void
a_tls_connection_that_is_cut_before_the_last_answer_is_later(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	start_server(&t, STARTTLS, "dot drop\n");
	assert_int_equal(open_session(&t, STARTTLS), DONE);
	assert_int_equal(log_in(&t, "auto"), DONE);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, LATER, SCOPE_SERVER);
	drop_mail(&mail);
	leave(&t);
}

static void
quit_waits_for_no_particular_answer(void **state)
{
	static const char *const ends[] = { "quit reply \"500 what\"\n", "quit drop\n", "quit reset\n", "" };

	(void)state;
	for (size_t i = 0; i < COUNT(ends); i++) {
		struct talk t;

		begin(&t, ends[i]);
		smtp_quit(&t.smtp);
		assert_true(t.smtp.lost);
		smtp_quit(&t.smtp);
		leave(&t);
	}
}

/* ---- out of step ---- */

static void
an_answer_too_many_never_makes_a_message_sent(void **state)
{
	static const char *const scripts[] = {
		"mail #1 reply \"250 ok\" send \"250 ok\\r\\n\"\n",
		"rcpt #1 reply \"250 ok\" send \"250 ok\\r\\n\"\n",
		"rcpt #3 reply \"250 ok\" send \"250 ok\\r\\n\"\n",
		"data #1 send \"354 go\\r\\n250 2.0.0 taken\\r\\n\"\n",
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(scripts); i++) {
		struct talk t;
		struct mail mail;
		char script[256];

		snprintf(script, sizeof script, "%s%sdot drop\n", i % 2 ? LOCK_STEP : "", scripts[i / 2]);
		try_script(&t, script, &mail);
		assert_all(&mail, LATER, SCOPE_SERVER);
		assert_true(t.smtp.lost);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
an_answer_too_many_bounces_nobody(void **state)
{
	/* Every answer moves on by one: the refusal of the first would be the second's. */
	static const char *const scripts[] = {
		"mail #1 send \"250 ok\\r\\n250 ok\\r\\n\"\nrcpt #1 reply \"550 5.1.1 no\"\n",
		LOCK_STEP "mail #1 send \"250 ok\\r\\n250 ok\\r\\n\"\nrcpt #1 reply \"550 5.1.1 no\"\n",
		LOCK_STEP "mail #1 send \"250 ok\\r\\n250 ok\\r\\n\"\nrcpt #1 reply \"550 5.1.1 no\"\n"
		    "rcpt #3 reply \"550 5.1.1 no\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, scripts[i], &mail);
		assert_int_equal(mail.outcome[1], LATER);
		assert_int_equal(mail.outcome[2], LATER);
		assert_true(t.smtp.lost);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
an_answer_too_many_behind_one_message_does_not_touch_the_next(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, "dot #1 reply \"250 ok\" send \"250 again\\r\\n\"\n"
	    "rcpt #4 reply \"550 5.1.1 no\"\nrcpt #6 reply \"550 5.1.1 no\"\n", &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	drop_mail(&mail);
	/* It may still be under way; in here it is at once. */
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, LATER, SCOPE_SERVER);
	assert_false(has_message(&t, 2));
	drop_mail(&mail);
	leave(&t);
}

static void
an_answer_in_the_middle_of_the_text_is_not_taken_for_the_last_one(void **state)
{
	struct talk t;
	struct mail mail;
	struct buf text = { 0 };

	(void)state;
	for (size_t i = 0; i < 300000; i++)
		buf_adds(&text, "a line of text\n");
	begin(&t, "text 1000 send \"250 2.0.0 taken\\r\\n\"\ndot drop\n");
	write_mail(&mail, buf_c(&text));
	send_mail(&t, &mail);
	assert_all(&mail, LATER, SCOPE_SERVER);
	assert_true(t.smtp.lost);
	drop_mail(&mail);
	buf_free(&text);
	leave(&t);
}

/* ---- the text ---- */

static void
dots_and_eight_bit_octets_arrive_as_they_were(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, ".\n..\n.x\n\n\xc3\xa4\n.");
	mail.m.eight_bit = true;
	mail.m.size += 2;
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_true(holds(&t, "messages/0001.eml", STR(".\r\n..\r\n.x\r\n\r\n\xc3\xa4\r\n.\r\n")));
	assert_true(holds(&t, "dialogue", STR("BODY=8BITMIME")));
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
what_was_not_offered_is_not_used(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "offer \"X-NOTHING\"\n");
	write_mail(&mail, "\xc3\xa4\n");
	mail.m.eight_bit = true;
	send_mail(&t, &mail);
	assert_true(holds(&t, "dialogue", STR("C: MAIL FROM:<me@example.com>\n")));
	drop_mail(&mail);
	leave(&t);
}

static void
the_null_sender_and_the_case_of_a_local_part_go_out_as_they_are(void **state)
{
	struct recipient to[] = { { .address = (char []){ "MiXeD@EXAMPLE.org" } },
		{ .address = (char []){ "\"a,b\"@example.org" } } };
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, TEXT);
	mail.m.from = "";
	mail.m.to = to;
	mail.m.n = 2;
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_true(holds(&t, "raw.1", STR("MAIL FROM:<> ")));
	assert_true(holds(&t, "raw.1", STR("RCPT TO:<MiXeD@EXAMPLE.org>\r\n")));
	assert_true(holds(&t, "raw.1", STR("RCPT TO:<\"a,b\"@example.org>\r\n")));
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
an_empty_text_is_delivered(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, "");
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_true(holds(&t, "raw.1", STR("DATA\r\n.\r\n")));
	drop_mail(&mail);
	leave(&t);
}

static void
a_large_text_arrives_whole(void **state)
{
	struct talk t;
	struct mail mail;
	struct buf text = { 0 }, want = { 0 }, got = { 0 };

	(void)state;
	for (size_t i = 0; i < 40000; i++) {
		buf_addf(&text, ".line %zu\n", i);
		buf_addf(&want, ".line %zu\r\n", i);
	}
	begin(&t, "");
	write_mail(&mail, buf_c(&text));
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	slurp(&t, "messages/0001.eml", &got);
	assert_true(str_eq(buf_str(&got), buf_str(&want)));
	drop_mail(&mail);
	buf_free(&text);
	buf_free(&want);
	buf_free(&got);
	leave(&t);
}

/* Once the connection is closed nothing of it may look like a whole message. */
static void
assert_never_ended(struct talk *t, struct mail *mail, bool damaged)
{
	assert_all(mail, LATER, damaged ? SCOPE_MESSAGE : SCOPE_NONE);
	assert_int_equal(mail->m.damaged, damaged);
	assert_true(t->smtp.lost);
	smtp_quit(&t->smtp);
	conn_close(&t->conn);
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	assert_false(holds(t, "raw.1", STR("\r\n.\r\n")));
	assert_false(has_message(t, 1));
}

/* Where the head is replaced: what is sent, whatever its length and where the
 * pieces end, and the checksum is over what lies on the disk. */
static void
another_head_goes_before_the_rest_of_the_text(void **state)
{
	static const struct {
		size_t old, fresh, rest;        /* octets */
	} rows[] = {
		{ 20, 30, 50 }, { 20, 1, 50 }, { 20, 30, 0 }, { 20, 0, 50 }, { 65535, 40, 100 },
		{ 65536, 40, 65536 }, { 65537, 200000, 1 }, { 200000, 65536, 131072 }, { 1, 65537, 65535 },
	};
	struct buf text = { 0 }, head = { 0 }, want = { 0 }, got = { 0 };
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		char name[64];

		buf_clear(&text);
		buf_clear(&head);
		buf_clear(&want);
		for (size_t n = 1; n <= rows[i].old + rows[i].rest; n++)
			buf_addc(&text, n == rows[i].old || n % 61 == 0 ? '\n' : n % 61 == 1 ? '.' : 'o');
		for (size_t n = 1; n <= rows[i].fresh; n++)
			buf_addc(&head, n == rows[i].fresh || n % 67 == 0 ? '\n' : n % 67 == 1 ? '.' : 'f');
		write_mail(&mail, buf_c(&text));
		mail.m.head = buf_str(&head);
		mail.m.head_len = rows[i].old;
		buf_addstr(&head, str_from(text.p + rows[i].old, rows[i].rest));
		mail.m.head.p = head.p;
		for (size_t n = 0; n < head.len; n++) {
			if (head.p[n] == '\n')
				buf_addc(&want, '\r');
			buf_addc(&want, head.p[n]);
		}
		if (head.len > 0 && head.p[head.len - 1] != '\n')
			buf_adds(&want, "\r\n");
		mail.m.size = want.len;
		send_mail(&t, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		snprintf(name, sizeof name, "messages/%04zu.eml", i + 1);
		slurp(&t, name, &got);
		assert_true(str_eq(buf_str(&got), buf_str(&want)));
		drop_mail(&mail);
	}
	leave(&t);
	buf_free(&text);
	buf_free(&head);
	buf_free(&want);
	buf_free(&got);
}

static void
damage_in_a_head_that_is_not_sent_is_damage(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, TEXT);
	mail.m.head = STR("From: x\n\n");
	mail.m.head_len = sizeof "Subject: hi\n";
	assert_int_equal(file_write_at(mail.m.fd, STR("X"), 4), 0);
	send_mail(&t, &mail);
	assert_never_ended(&t, &mail, true);
	drop_mail(&mail);
	leave(&t);
}

static void
a_damaged_text_gets_no_final_dot(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, TEXT);
	mail.m.text_crc ^= 1;
	send_mail(&t, &mail);
	assert_non_null(mail.m.damage);
	assert_int_equal(mail.asked, 0);
	assert_never_ended(&t, &mail, true);
	drop_mail(&mail);
	leave(&t);
}

static void
a_text_that_is_shorter_than_it_should_be_gets_no_final_dot(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, TEXT);
	assert_int_equal(ftruncate(mail.m.fd, 10), 0);
	send_mail(&t, &mail);
	assert_never_ended(&t, &mail, true);
	drop_mail(&mail);
	leave(&t);
}

static void
where_nobody_hears_the_outcome_no_final_dot_is_sent(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "");
	write_mail(&mail, TEXT);
	mail.forbidden = true;
	send_mail(&t, &mail);
	assert_int_equal(mail.asked, 1);
	assert_never_ended(&t, &mail, false);
	drop_mail(&mail);
	leave(&t);
}

/* ---- what the sender wished ---- */

static const struct recipient wishful[] = {
	{ (char []){ "one@example.org" }, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE,
	    (char []){ "rfc822;root@host.example" } },
	{ (char []){ "two@example.org" }, DSN_NOTIFY_NEVER, NULL },
	{ (char []){ "three@example.org" }, 0, NULL },
};

static void
write_wishes(struct mail *mail)
{
	static char envid[] = "QQ+2B314159";

	write_mail(mail, TEXT);
	mail->m.to = wishful;
	mail->m.wishes = (struct wishes){ .ret = DSN_RETURN_HEADERS, .envid = envid,
		.body = DSN_BODY_8BITMIME };
}

/* Sends a message to a server with that script: everybody gets it, this was said,
 * and no rule was broken. */
static void
assert_said(const char *script, struct mail *mail, const char *const *lines, size_t n)
{
	struct talk t;

	begin(&t, script);
	send_mail(&t, mail);
	assert_all(mail, DONE, SCOPE_NONE);
	for (size_t i = 0; i < n; i++) {
		if (!holds(&t, "raw.1", str_of(lines[i])))
			print_error("not said: %s", lines[i]);
		assert_true(holds(&t, "raw.1", str_of(lines[i])));
	}
	assert_no_violation(&t);
	drop_mail(mail);
	leave(&t);
}

static void
what_was_wished_is_said_where_the_server_offers_it(void **state)
{
	static const char *const with[] = {
		"\r\nMAIL FROM:<me@example.com> RET=HDRS ENVID=QQ+2B314159\r\n",
		"\r\nRCPT TO:<one@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;root@host.example\r\n",
		"\r\nRCPT TO:<two@example.org> NOTIFY=NEVER\r\n", "\r\nRCPT TO:<three@example.org>\r\n",
	}, *const without[] = {
		"\r\nMAIL FROM:<me@example.com>\r\n", "\r\nRCPT TO:<one@example.org>\r\n",
		"\r\nRCPT TO:<two@example.org>\r\n", "\r\nRCPT TO:<three@example.org>\r\n",
	};
	struct mail mail;

	(void)state;
	write_wishes(&mail);
	assert_said("offer PIPELINING DSN\n", &mail, with, COUNT(with));
	write_wishes(&mail);
	assert_said("offer dsn\n", &mail, with, COUNT(with));
	write_wishes(&mail);
	assert_said("offer PIPELINING\n", &mail, without, COUNT(without));
	/* Offered, and nothing was wished. */
	write_mail(&mail, TEXT);
	assert_said("offer PIPELINING DSN SMTPUTF8 REQUIRETLS\n", &mail, without, COUNT(without));
}

static size_t
count_said(const struct talk *t, const char *what)
{
	struct buf raw = { 0 };
	size_t n = 0, len = strlen(what);

	slurp(t, "raw.1", &raw);
	for (const char *at = raw.p; at != NULL && raw.len > 0; n++) {
		at = memmem(at, raw.len - (size_t)(at - raw.p), what, len);
		if (at == NULL)
			break;
		at += len;
	}
	buf_free(&raw);
	return n;
}

static void
what_was_offered_and_then_refused_is_left_out_once_for_all(void **state)
{
	static const struct {
		const char *script;
		size_t mails;           /* MAIL for two messages: one is asked twice */
		size_t sizes, notifies; /* how often this was said */
	} rows[] = {
		{ "offer PIPELINING SIZE DSN\nmail ~SIZE= reply \"555 5.5.4 Unsupported option: SIZE\"\n", 3, 1, 2 },
		{ "offer PIPELINING SIZE DSN\nmail ~SIZE= reply \"501 5.5.4 Invalid arguments\"\n", 3, 1, 2 },
		{ "offer PIPELINING SIZE DSN\nmail ~SIZE= reply \"504 5.5.4 not implemented\"\n", 3, 1, 2 },
		/* Without a status code there are too many things that 501 can mean, but 555 has one. */
		{ "offer SIZE DSN\nmail ~RET= reply \"555 what is RET?\"\n", 3, 1, 0 },
		/* One recipient, or both with wishes; the third has none, and gets it the first time. */
		{ "offer PIPELINING SIZE DSN\nrcpt ~NOTIFY=NEVER reply \"555 5.5.4 NOTIFY\"\n", 3, 1, 2 },
		{ "offer PIPELINING SIZE DSN\nrcpt ~NOTIFY= reply \"501 5.5.4 NOTIFY\"\n", 3, 1, 2 },
		{ "offer SIZE DSN\nrcpt ~NOTIFY= reply \"555 5.5.4 NOTIFY\"\n", 3, 1, 2 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail, next;

		begin(&t, rows[i].script);
		write_wishes(&mail);
		write_wishes(&next);
		send_mail(&t, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		send_mail(&t, &next);
		assert_all(&next, DONE, SCOPE_NONE);
		assert_int_equal(count_said(&t, "MAIL FROM:"), rows[i].mails);
		assert_int_equal(count_said(&t, " SIZE="), rows[i].sizes);
		assert_int_equal(count_said(&t, " NOTIFY="), rows[i].notifies);
		assert_no_violation(&t);
		drop_mail(&mail);
		drop_mail(&next);
		leave(&t);
	}
}

static void
a_refusal_that_is_not_about_what_we_added_is_not_asked_again(void **state)
{
	static const struct {
		const char *script;
		size_t mails;
	} rows[] = {
		{ "offer PIPELINING\nmail reply \"555 5.5.4 no\"\n", 1 },
		{ "offer PIPELINING SIZE\nmail reply \"501 5.1.7 bad sender\"\n", 1 },
		{ "offer PIPELINING SIZE\nmail reply \"501 bad sender\"\n", 1 },
		{ "offer PIPELINING SIZE\nrcpt reply \"555 5.5.4 no\"\n", 1 },
		{ "offer PIPELINING SIZE\ndot reply \"501 5.5.4 no\"\n", 1 },
		/* Asked again, refused again: that is then the answer. */
		{ "offer PIPELINING SIZE\nmail reply \"555 5.5.4 no\"\n", 2 },
		/* Nothing is asked behind a connection that has ended. */
		{ "offer PIPELINING SIZE\nmail reply \"555 5.5.4 no\" drop\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, rows[i].script, &mail);
		for (size_t k = 0; k < mail.m.n; k++)
			assert_int_not_equal(mail.outcome[k], DONE);
		assert_int_equal(count_said(&t, "MAIL FROM:"), rows[i].mails);
		assert_no_violation(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
an_original_recipient_is_said_only_as_far_as_the_line_takes_it(void **state)
{
	/* RFC 5321 4.5.3.1.3 and RFC 3461 section 4: the longest path and original that
	 * there may be fit, and what is longer costs the explanation alone. */
	static const size_t lengths[] = { 254, 600 };

	(void)state;
	for (size_t i = 0; i < COUNT(lengths); i++) {
		char address[ADDRESS_MAX] = "", orcpt[DSN_ORCPT_MAX + 1] = "", line[2048];
		struct recipient to = { address, DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY,
			orcpt };
		const char *lines[] = { line };
		struct mail mail;

		memset(address, 'a', lengths[i]);
		memcpy(address + lengths[i] - 12, "@example.org", 12);
		memset(orcpt, 'b', DSN_ORCPT_MAX);
		memcpy(orcpt, "rfc822;", 7);
		snprintf(line, sizeof line, "RCPT TO:<%s> NOTIFY=SUCCESS,FAILURE,DELAY%s%s\r\n", address,
		    i == 0 ? " ORCPT=" : "", i == 0 ? orcpt : "");
		write_mail(&mail, TEXT);
		mail.m.to = &to;
		mail.m.n = 1;
		assert_said("offer PIPELINING DSN\n", &mail, lines, 1);
	}
}

#define UTF8_NAME "j\xc3\xb6rg@example.org"

static void
an_address_that_is_not_ascii_goes_with_smtputf8_or_not_at_all(void **state)
{
	static const struct {
		const char *script, *from, *second;
		bool wished;
		const char *mail;       /* what MAIL says behind the sender; NULL: nothing is said */
		enum outcome outcome[3];
		enum scope scope;       /* of those who do not get it */
	} rows[] = {
		{ "offer SMTPUTF8\n", "me@x.example", "b@x.example", false, "\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SMTPUTF8\n", "me@x.example", "b@x.example", true, " SMTPUTF8\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SMTPUTF8\n", UTF8_NAME, "b@x.example", false, " SMTPUTF8\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SMTPUTF8\n", "me@x.example", UTF8_NAME, false, " SMTPUTF8\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		/* The wish alone asks nothing of the server that is needed. */
		{ "offer SIZE\n", "me@x.example", "b@x.example", true, NULL, { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SIZE\n", UTF8_NAME, "b@x.example", true, NULL, { NEVER, NEVER, NEVER }, SCOPE_MESSAGE },
		{ "offer PIPELINING\n", "me@x.example", UTF8_NAME, false, "\r\n", { DONE, NEVER, DONE }, SCOPE_RECIPIENT },
		{ "offer PIPELINING\nrcpt #2 reply \"550 5.1.1 no\"\n", "me@x.example", UTF8_NAME, false, "\r\n",
		    { DONE, NEVER, NEVER }, SCOPE_RECIPIENT },
		/* What is no UTF-8 goes nowhere. */
		{ "offer SMTPUTF8\n", "me@x.example", "j\xf6rg@x.example", true, " SMTPUTF8\r\n",
		    { DONE, NEVER, DONE }, SCOPE_RECIPIENT },
		{ "offer SMTPUTF8\n", "j\xf6rg@x.example", "b@x.example", true, NULL, { NEVER, NEVER, NEVER }, SCOPE_MESSAGE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct recipient to[] = { { .address = (char []){ "a@x.example" } },
			{ .address = (char *)rows[i].second }, { .address = (char []){ "c@x.example" } } };
		struct talk t;
		struct mail mail;
		char line[128];

		begin(&t, rows[i].script);
		write_mail(&mail, TEXT);
		mail.m.from = rows[i].from;
		mail.m.to = to;
		mail.m.wishes.smtputf8 = rows[i].wished;
		send_mail(&t, &mail);
		for (size_t j = 0; j < 3; j++) {
			if (mail.outcome[j] != rows[i].outcome[j])
				print_error("row %zu, %zu: %s\n", i, j, mail.why[j].text);
			assert_int_equal(mail.outcome[j], rows[i].outcome[j]);
			if (rows[i].outcome[j] != NEVER)
				continue;
			assert_int_equal(mail.why[j].scope, rows[i].scope);
			if (mail.why[j].code == 0)
				assert_string_equal(mail.why[j].status, "5.6.7");
		}
		snprintf(line, sizeof line, "MAIL FROM:<%s>%s", rows[i].from, rows[i].mail != NULL ? rows[i].mail : "");
		if (rows[i].mail != NULL)
			assert_true(holds(&t, "raw.1", str_of(line)));
		else if (rows[i].outcome[0] == NEVER)
			assert_false(holds(&t, "raw.1", STR("MAIL")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
nobody_is_asked_for_when_no_address_can_be_said(void **state)
{
	const struct recipient to[] = { { .address = (char []){ UTF8_NAME } } };
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, "offer SIZE\n");
	write_mail(&mail, TEXT);
	mail.m.to = to;
	mail.m.n = 1;
	send_mail(&t, &mail);
	assert_all(&mail, NEVER, SCOPE_RECIPIENT);
	assert_string_equal(mail.why[0].status, "5.6.7");
	assert_int_equal(mail.asked, 0);
	assert_false(holds(&t, "raw.1", STR("MAIL")));
	assert_next_goes_through(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
a_header_that_needs_smtputf8_is_not_sent_without_it(void **state)
{
	static const struct {
		const char *text;
		struct str head;        /* in place of the first octets */
		uint64_t head_len;
		enum outcome outcome;
	} rows[] = {
		{ "Subject: \xc3\xb6\n\nbody\n", { 0 }, 0, NEVER },
		{ "Subject: \xc3\xb6", { 0 }, 0, NEVER },
		{ "Subject: o\n\nb\xc3\xb6""dy\n", { 0 }, 0, DONE },
		{ "\nb\xc3\xb6""dy\n", { 0 }, 0, DONE },
		{ "Subject: \xc3\xb6\n\nb\xc3\xb6""dy\n", { "Subject: o\n\n", 12 }, 13, DONE },
		{ "Subject: \xc3\xb6\nX: o\n\nb\xc3\xb6""dy\n", { "Subject: p\n", 11 }, 12, DONE },
		{ "Subject: o\nX: \xc3\xb6\n\nbody\n", { "Subject: p\n", 11 }, 11, NEVER },
		{ "Subject: o\n\nb\xc3\xb6""dy\n", { "From: \xc3\xb6\n\n", 10 }, 12, NEVER },
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		bool offered = i % 2 != 0;
		struct talk t;
		struct mail mail;

		begin(&t, offered ? "offer 8BITMIME SMTPUTF8\n" : "offer 8BITMIME\n");
		write_mail(&mail, rows[i / 2].text);
		mail.m.eight_bit = true;
		mail.m.head = rows[i / 2].head;
		mail.m.head_len = rows[i / 2].head_len;
		mail.m.wishes.smtputf8 = true;
		send_mail(&t, &mail);
		assert_all(&mail, offered ? DONE : rows[i / 2].outcome, SCOPE_MESSAGE);
		if (!offered && rows[i / 2].outcome == NEVER)
			assert_string_equal(mail.why[0].status, "5.6.7");
		assert_int_equal(holds(&t, "raw.1", STR(" SMTPUTF8\r\n")), offered);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
what_requires_tls_goes_by_requiretls_or_not_at_all(void **state)
{
	static const struct {
		enum kind kind;
		const char *script;
		enum outcome outcome;
	} rows[] = {
		{ STARTTLS, "offer PIPELINING \"AUTH PLAIN\" REQUIRETLS\n", DONE },
		{ IMPLICIT, "offer \"AUTH PLAIN\" RequireTLS\n", DONE },
		{ STARTTLS, "offer PIPELINING \"AUTH PLAIN\"\n", NEVER },
		/* What was offered before TLS counts for nothing. */
		{ STARTTLS, "offer-clear STARTTLS REQUIRETLS\noffer \"AUTH PLAIN\"\n", NEVER },
		{ PLAIN, "offer REQUIRETLS\n", NEVER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;

		start_server(&t, rows[i].kind, rows[i].script);
		assert_int_equal(open_session(&t, rows[i].kind), DONE);
		if (rows[i].kind != PLAIN)
			assert_int_equal(log_in(&t, "auto"), DONE);
		write_mail(&mail, TEXT);
		mail.m.wishes.requiretls = true;
		send_mail(&t, &mail);
		assert_all(&mail, rows[i].outcome, SCOPE_MESSAGE);
		if (rows[i].outcome == NEVER)
			assert_string_equal(mail.why[0].status, "5.7.30");
		assert_int_equal(holds(&t, "raw.1", STR(" REQUIRETLS\r\n")), rows[i].outcome == DONE);
		assert_int_equal(holds(&t, "raw.1", STR("one@example.org")), rows[i].outcome == DONE);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
what_the_caller_chose_cannot_speak_for_the_server(void **state)
{
	static const char *const scripts[] = {
		"mail reply \"550 5.6.0 no such envelope: SendAsDenied\"\n",
		"data reply \"550 5.6.0 about SendAsDenied\"\n",
		"rcpt reply \"550 5.6.0 no such original: rfc822;SubmissionQuotaExceeded\"\n",
		"dot reply \"550 5.6.0 no: rfc822;SubmissionQuotaExceeded\"\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct recipient to = { (char []){ "one@example.org" }, 0,
			(char []){ "rfc822;SubmissionQuotaExceeded" } };
		struct talk t;
		struct mail mail;

		begin(&t, scripts[i]);
		write_mail(&mail, TEXT);
		mail.m.to = &to;
		mail.m.n = 1;
		mail.m.wishes.envid = (char []){ "SendAsDenied" };
		send_mail(&t, &mail);
		assert_all(&mail, NEVER, i == 2 ? SCOPE_RECIPIENT : SCOPE_MESSAGE);
		drop_mail(&mail);
		leave(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_with_starttls_and_plain_delivers),
		cmocka_unit_test(a_server_that_offers_only_login_gets_login),
		cmocka_unit_test(implicit_tls_needs_no_starttls),
		cmocka_unit_test(what_was_offered_before_tls_is_forgotten_after_it),
		cmocka_unit_test(without_starttls_nothing_more_is_said),
		cmocka_unit_test(a_refused_starttls_is_the_servers_trouble),
		cmocka_unit_test(a_greeting_that_is_no_welcome_is_the_servers_trouble),
		cmocka_unit_test(offers_are_read_in_every_form_that_servers_give_them),
		cmocka_unit_test(a_refused_login_is_the_accounts_and_is_tried_once),
		cmocka_unit_test(a_wrong_password_is_the_accounts_trouble),
		cmocka_unit_test(a_server_without_a_usable_mechanism_is_told_to_people_and_not_asked),
		cmocka_unit_test(a_yes_before_the_exchange_is_over_is_no_login),
		cmocka_unit_test(a_login_that_is_never_over_is_cancelled),
		cmocka_unit_test(a_connection_that_ends_during_the_login_is_the_servers),
		cmocka_unit_test(several_messages_go_over_one_connection),
		cmocka_unit_test(each_recipient_gets_an_answer_of_its_own),
		cmocka_unit_test(a_251_is_a_yes),
		cmocka_unit_test(without_pipelining_each_command_waits_for_its_answer),
		cmocka_unit_test(when_all_are_refused_without_pipelining_no_text_is_asked_for),
		cmocka_unit_test(when_all_are_refused_and_the_text_is_asked_for_all_the_same_a_lone_dot_ends_it),
		cmocka_unit_test(when_all_are_refused_and_data_too_the_connection_is_still_good),
		cmocka_unit_test(a_refused_mail_is_everybodys_answer_and_the_next_message_goes_through),
		cmocka_unit_test(a_refused_mail_stays_refused_when_the_server_hangs_up_behind_it),
		cmocka_unit_test(a_refused_data_is_the_answer_of_those_who_were_accepted),
		cmocka_unit_test(a_yes_to_data_that_is_not_354_gets_no_text_and_ends_the_dialogue),
		cmocka_unit_test(the_answer_to_the_final_dot_is_the_messages),
		cmocka_unit_test(a_message_over_the_servers_size_is_refused_without_asking),
		cmocka_unit_test(a_refused_rset_is_not_the_messages_fault),
		cmocka_unit_test(an_end_at_any_stage_is_later_for_everybody),
		cmocka_unit_test(whoever_was_refused_before_the_end_stays_refused),
		cmocka_unit_test(an_end_behind_the_final_dot_says_that_it_may_have_arrived),
		cmocka_unit_test(a_tls_connection_that_is_cut_before_the_last_answer_is_later),
		cmocka_unit_test(quit_waits_for_no_particular_answer),
		cmocka_unit_test(an_answer_too_many_never_makes_a_message_sent),
		cmocka_unit_test(an_answer_too_many_bounces_nobody),
		cmocka_unit_test(an_answer_too_many_behind_one_message_does_not_touch_the_next),
		cmocka_unit_test(an_answer_in_the_middle_of_the_text_is_not_taken_for_the_last_one),
		cmocka_unit_test(dots_and_eight_bit_octets_arrive_as_they_were),
		cmocka_unit_test(what_was_not_offered_is_not_used),
		cmocka_unit_test(the_null_sender_and_the_case_of_a_local_part_go_out_as_they_are),
		cmocka_unit_test(an_empty_text_is_delivered),
		cmocka_unit_test(a_large_text_arrives_whole),
		cmocka_unit_test(another_head_goes_before_the_rest_of_the_text),
		cmocka_unit_test(damage_in_a_head_that_is_not_sent_is_damage),
		cmocka_unit_test(a_damaged_text_gets_no_final_dot),
		cmocka_unit_test(a_text_that_is_shorter_than_it_should_be_gets_no_final_dot),
		cmocka_unit_test(where_nobody_hears_the_outcome_no_final_dot_is_sent),
		cmocka_unit_test(what_was_wished_is_said_where_the_server_offers_it),
		cmocka_unit_test(what_was_offered_and_then_refused_is_left_out_once_for_all),
		cmocka_unit_test(a_refusal_that_is_not_about_what_we_added_is_not_asked_again),
		cmocka_unit_test(an_original_recipient_is_said_only_as_far_as_the_line_takes_it),
		cmocka_unit_test(an_address_that_is_not_ascii_goes_with_smtputf8_or_not_at_all),
		cmocka_unit_test(nobody_is_asked_for_when_no_address_can_be_said),
		cmocka_unit_test(a_header_that_needs_smtputf8_is_not_sent_without_it),
		cmocka_unit_test(what_requires_tls_goes_by_requiretls_or_not_at_all),
		cmocka_unit_test(what_the_caller_chose_cannot_speak_for_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
