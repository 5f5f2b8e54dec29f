/* dialogue: smtp, conn, tls and sasl against a server that does what a script
 * says; in one process and unconfined, so that a leak is seen. */
#include "../lib/partner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "codec.h"
#include "file.h"

static enum outcome
log_in(struct talk *t, const char *mechanism)
{
	struct auth a = { .login = { .wanted = mechanism, .user = STR(USER), .secret = STR(PASSWORD),
		.host = "localhost", .last = "", .avoid = "" } };

	return smtp_auth(&t->smtp, &a, &t->why);
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
	assert_int_equal(mail.a[0].why.code, 250);
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
		assert_int_equal(mail.a[0].outcome, DONE);
		assert_int_equal(mail.a[1].outcome, LATER);
		assert_int_equal(mail.a[1].why.scope, SCOPE_RECIPIENT);
		assert_int_equal(mail.a[1].why.code, 450);
		assert_int_equal(mail.a[2].outcome, NEVER);
		assert_int_equal(mail.a[2].why.code, 550);
		assert_string_equal(mail.a[2].why.status, "5.1.1");
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
a_551_is_a_refusal_and_says_where_else(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	try_script(&t, "rcpt #2 reply \"551 5.1.6 not here, please try <two@example.net>\"\n", &mail);
	assert_int_equal(mail.a[1].outcome, NEVER);
	assert_int_equal(mail.a[1].why.scope, SCOPE_RECIPIENT);
	assert_non_null(strstr(mail.a[1].why.text, "please try <two@example.net>"));
	assert_false(holds(&t, "raw.1", STR("example.net")));
	assert_int_equal(mail.a[0].outcome, DONE);
	drop_mail(&mail);
	leave(&t);
}

/* Words of no meaning, none, and lines of any length and number. */
static void
the_code_decides_whatever_the_text(void **state)
{
	static const char *const answers[] = { "send \"250\\r\\n\"", "send \"250 \\r\\n\"",
		"send \"250-a\\r\\n250-550 no\\r\\n250\\r\\n\"", "send \"250 \\xff\\xfe\\r\\n\"",
		"send \"250 550 5.1.1 no such user\\r\\n\"", "send \"254 4.7.1 suppressed\\r\\n\"",
		"send \"250 \" repeat 4000 x send \"\\r\\n\"", "repeat 200 \"250-x\\r\\n\" send \"250 x\\r\\n\"" };
	static const char *const stages[] = { "mail", "rcpt #2", "dot" };

	(void)state;
	for (size_t i = 0; i < COUNT(answers) * COUNT(stages); i++) {
		struct talk t;
		struct mail mail;
		char script[128];

		snprintf(script, sizeof script, "%s%s %s\n", i % 2 ? LOCK_STEP : "",
		    stages[i / COUNT(answers)], answers[i % COUNT(answers)]);
		try_script(&t, script, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		drop_mail(&mail);
		leave(&t);
	}
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
		{ "mail #1 reply \"452 4.3.1 no room for that\"\n", LATER, SCOPE_SERVER },
		{ "mail #1 reply \"552 5.3.4 too big\"\n", NEVER, SCOPE_MESSAGE },
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
		assert_int_equal(mail.a[0].outcome, rows[i / 2].outcome);
		assert_int_equal(mail.a[2].why.scope, rows[i / 2].scope);
		assert_int_equal(mail.a[1].why.code, 450);
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
	mail.m.text.size = 1001;
	send_mail(&t, &mail);
	assert_all(&mail, NEVER, SCOPE_MESSAGE);
	assert_string_equal(mail.a[0].why.status, "5.3.4");
	assert_non_null(strstr(mail.a[0].why.text, "1001"));
	assert_non_null(strstr(mail.a[0].why.text, "1000"));
	assert_false(holds(&t, "dialogue", STR("C: MAIL")));
	mail.m.text.size = 1000;
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
		if (mail.a[0].outcome != LATER || !t.smtp.lost)
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
		assert_int_equal(mail.a[0].outcome, NEVER);
		assert_int_equal(mail.a[1].outcome, LATER);
		assert_int_equal(mail.a[2].outcome, LATER);
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
	assert_non_null(strstr(mail.a[0].why.text, "may have arrived"));
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
		assert_int_equal(mail.a[1].outcome, LATER);
		assert_int_equal(mail.a[2].outcome, LATER);
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
	mail.m.text.plain = false;
	mail.m.text.size += 2;
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
	mail.m.text.plain = false;
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

/* Once the connection is closed, and the server has seen that, nothing of it may look
 * like a whole message. */
static void
assert_never_ended(struct talk *t)
{
	struct buf turns = { 0 };

	assert_true(t->smtp.lost);
	conn_close(&t->conn);
	for (int i = 0; i < 2000 && turns.len == 0; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		slurp(t, "turns", &turns);
	}
	assert_true(turns.len > 0);
	buf_free(&turns);
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
		mail.m.text.head = buf_str(&head);
		mail.m.text.head_len = rows[i].old;
		buf_addstr(&head, str_from(text.p + rows[i].old, rows[i].rest));
		mail.m.text.head.p = head.p;
		for (size_t n = 0; n < head.len; n++) {
			if (head.p[n] == '\n')
				buf_addc(&want, '\r');
			buf_addc(&want, head.p[n]);
		}
		if (head.len > 0 && head.p[head.len - 1] != '\n')
			buf_adds(&want, "\r\n");
		mail.m.text.size = want.len;
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

/* Text of so many lines. */
static char *
many_lines(size_t n)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_adds(&text, "a line of the text\n");
	return text.p;
}

enum damage { CHECKSUM, SHORT, IN_OLD_HEAD };

static void
do_damage(struct mail *mail, enum damage damage)
{
	if (damage == CHECKSUM)
		mail->m.text.crc ^= 1;
	if (damage == SHORT)
		assert_int_equal(ftruncate(mail->m.text.fd, 10), 0);
	if (damage != IN_OLD_HEAD)
		return;
	mail->m.text.head = STR("From: x\n\n");
	mail->m.text.head_len = sizeof "Subject: hi\n";
	assert_int_equal(file_write_at(mail->m.text.fd, STR("X"), 4), 0);
}

static void
of_a_small_text_that_is_damaged_not_a_word_is_said(void **state)
{
	(void)state;
	for (enum damage damage = CHECKSUM; damage <= IN_OLD_HEAD; damage++) {
		struct talk t;
		struct mail mail;

		begin(&t, "");
		write_mail(&mail, TEXT);
		do_damage(&mail, damage);
		send_mail(&t, &mail);
		assert_all(&mail, LATER, SCOPE_MESSAGE);
		assert_non_null(mail.m.text.damage);
		assert_int_equal(mail.asked, 0);
		assert_false(holds(&t, "raw.1", STR("MAIL")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_large_text_that_is_damaged_gets_no_final_dot(void **state)
{
	char *text = many_lines(20000);

	(void)state;
	for (enum damage damage = CHECKSUM; damage <= IN_OLD_HEAD; damage++) {
		struct talk t;
		struct mail mail;

		begin(&t, "");
		write_mail(&mail, text);
		do_damage(&mail, damage);
		send_mail(&t, &mail);
		assert_all(&mail, LATER, SCOPE_MESSAGE);
		assert_non_null(mail.m.text.damage);
		assert_int_equal(mail.asked, 0);
		assert_never_ended(&t);
		drop_mail(&mail);
		leave(&t);
	}
	free(text);
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
	assert_all(&mail, LATER, SCOPE_NONE);
	assert_never_ended(&t);
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
			assert_int_not_equal(mail.a[k].outcome, DONE);
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
		{ "offer SMTPUTF8\n", UTF8_NAME, "b@x.example", false, " SMTPUTF8\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SMTPUTF8\n", "me@x.example", UTF8_NAME, false, " SMTPUTF8\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		/* The wish alone asks nothing of the server that is needed. */
		{ "offer SMTPUTF8\n", "me@x.example", "b@x.example", true, "\r\n", { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SIZE\n", "me@x.example", "b@x.example", true, NULL, { DONE, DONE, DONE }, SCOPE_NONE },
		{ "offer SIZE\n", UTF8_NAME, "b@x.example", true, NULL, { NEVER, NEVER, NEVER }, SCOPE_MESSAGE },
		{ "offer PIPELINING\n", "me@x.example", UTF8_NAME, false, "\r\n", { DONE, NEVER, DONE }, SCOPE_RECIPIENT },
		{ "offer PIPELINING\nrcpt #2 reply \"550 5.1.1 no\"\n", "me@x.example", UTF8_NAME, false, "\r\n",
		    { DONE, NEVER, NEVER }, SCOPE_RECIPIENT },
		/* What is no UTF-8 goes nowhere. */
		{ "offer SMTPUTF8\n", "me@x.example", "j\xf6rg@x.example", true, "\r\n",
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
			if (mail.a[j].outcome != rows[i].outcome[j])
				print_error("row %zu, %zu: %s\n", i, j, mail.a[j].why.text);
			assert_int_equal(mail.a[j].outcome, rows[i].outcome[j]);
			if (rows[i].outcome[j] != NEVER)
				continue;
			assert_int_equal(mail.a[j].why.scope, rows[i].scope);
			if (mail.a[j].why.code == 0)
				assert_string_equal(mail.a[j].why.status, "5.6.7");
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
	assert_string_equal(mail.a[0].why.status, "5.6.7");
	assert_int_equal(mail.asked, 0);
	assert_false(holds(&t, "raw.1", STR("MAIL")));
	assert_next_goes_through(&t);
	drop_mail(&mail);
	leave(&t);
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
			assert_string_equal(mail.a[0].why.status, "5.7.30");
		assert_int_equal(holds(&t, "raw.1", STR(" REQUIRETLS\r\n")), rows[i].outcome == DONE);
		assert_int_equal(holds(&t, "raw.1", STR("one@example.org")), rows[i].outcome == DONE);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_time_to_be_delivered_in_is_said_with_what_is_left_of_it(void **state)
{
	static const struct {
		const char *script;
		enum dsn_by by;
		int32_t seconds, age;
		const char *said;       /* NULL: not a word, and never */
		const char *status;
	} rows[] = {
		{ "offer DELIVERBY\n", DSN_BY_RETURN, 7200, 0, " BY=7200;R", NULL },
		{ "offer DELIVERBY\n", DSN_BY_NOTIFY, 7200, 0, " BY=7200;N", NULL },
		{ "offer \"DELIVERBY 240\"\n", DSN_BY_RETURN, 241000, 0, " BY=24", NULL },
		{ "offer \"DELIVERBY 240\"\n", DSN_BY_RETURN, 7200, 3600, " BY=3", NULL },
		{ "offer \"DELIVERBY 240\"\n", DSN_BY_NOTIFY, 100, 3600, " BY=-35", NULL },
		/* Less than the server can do, nothing left, or no such server. */
		{ "offer \"DELIVERBY 240\"\n", DSN_BY_RETURN, 7200, 7000, NULL, "5.4.7" },
		{ "offer DELIVERBY\n", DSN_BY_RETURN, 7200, 7200, NULL, "5.4.7" },
		{ "offer SIZE\n", DSN_BY_RETURN, 7200, 0, NULL, "5.3.3" },
		{ "offer SIZE\n", DSN_BY_NOTIFY, 7200, 0, "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;
		char line[128];

		begin(&t, rows[i].script);
		write_mail(&mail, TEXT);
		mail.m.wishes = (struct wishes){ .by = rows[i].by, .by_seconds = rows[i].seconds };
		mail.m.arrived = time(NULL) - rows[i].age;
		send_mail(&t, &mail);
		snprintf(line, sizeof line, "MAIL FROM:<me@example.com>%s", rows[i].said != NULL ? rows[i].said : "");
		if (rows[i].said != NULL && !holds(&t, "raw.1", str_of(line)))
			/* The second may have passed. */
			assert_true(rows[i].age == 0 && holds(&t, "raw.1", STR(" BY=7199;")));
		assert_all(&mail, rows[i].said != NULL ? DONE : NEVER, SCOPE_MESSAGE);
		if (rows[i].said == NULL)
			assert_string_equal(mail.a[0].why.status, rows[i].status);
		if (rows[i].said == NULL || rows[i].said[0] == '\0')
			assert_false(holds(&t, "raw.1", STR("BY=")));
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
a_priority_is_said_where_it_is_offered(void **state)
{
	static const struct {
		const char *script;
		int priority;
		const char *said;
	} rows[] = {
		{ "offer MT-PRIORITY\n", 9, " MT-PRIORITY=9\r\n" }, { "offer MT-PRIORITY\n", -4, " MT-PRIORITY=-4\r\n" },
		{ "offer MT-PRIORITY\n", 0, "com>\r\n" }, { "offer DSN\n", 9, "com>\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mail mail;
		char line[128];
		const char *lines[] = { line };

		write_mail(&mail, TEXT);
		mail.m.wishes.priority = rows[i].priority;
		snprintf(line, sizeof line, "MAIL FROM:<me@example.%s%s", rows[i].said[0] == ' ' ? "com>" : "",
		    rows[i].said);
		assert_said(rows[i].script, &mail, lines, 1);
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
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		cmocka_unit_test(a_session_with_starttls_and_plain_delivers),
		cmocka_unit_test(a_server_that_offers_only_login_gets_login),
		cmocka_unit_test(implicit_tls_needs_no_starttls),
		ROW("S-10: what was offered before tls is forgotten after it", what_was_offered_before_tls_is_forgotten_after_it),
		cmocka_unit_test(without_starttls_nothing_more_is_said),
		cmocka_unit_test(a_refused_starttls_is_the_servers_trouble),
		ROW("S-02, S-14, S-16: a greeting that is no welcome is the servers trouble", a_greeting_that_is_no_welcome_is_the_servers_trouble),
		cmocka_unit_test(offers_are_read_in_every_form_that_servers_give_them),
		cmocka_unit_test(a_refused_login_is_the_accounts_and_is_tried_once),
		cmocka_unit_test(a_server_without_a_usable_mechanism_is_told_to_people_and_not_asked),
		cmocka_unit_test(a_yes_before_the_exchange_is_over_is_no_login),
		cmocka_unit_test(a_login_that_is_never_over_is_cancelled),
		cmocka_unit_test(a_connection_that_ends_during_the_login_is_the_servers),
		cmocka_unit_test(several_messages_go_over_one_connection),
		ROW("S-25: each recipient gets an answer of its own", each_recipient_gets_an_answer_of_its_own),
		ROW("S-13, S-26: a 251 is a yes", a_251_is_a_yes),
		ROW("S-26, S-21: a 551 is a refusal, and its words say where else", a_551_is_a_refusal_and_says_where_else),
		ROW("S-12, S-13, S-15, S-17: the code decides, whatever the text", the_code_decides_whatever_the_text),
		ROW("S-11: without pipelining each command waits for its answer", without_pipelining_each_command_waits_for_its_answer),
		ROW("S-24, S-27: when all are refused without pipelining no text is asked for", when_all_are_refused_without_pipelining_no_text_is_asked_for),
		ROW("E-07: when all are refused and the text is asked for all the same a lone dot ends it", when_all_are_refused_and_the_text_is_asked_for_all_the_same_a_lone_dot_ends_it),
		cmocka_unit_test(when_all_are_refused_and_data_too_the_connection_is_still_good),
		ROW("S-22, E-03, E-06: a refused mail is everybodys answer and the next message goes through", a_refused_mail_is_everybodys_answer_and_the_next_message_goes_through),
		cmocka_unit_test(a_refused_mail_stays_refused_when_the_server_hangs_up_behind_it),
		ROW("L-10: a refused data is the answer of those who were accepted", a_refused_data_is_the_answer_of_those_who_were_accepted),
		ROW("S-23: a yes to data that is not 354 gets no text and ends the dialogue", a_yes_to_data_that_is_not_354_gets_no_text_and_ends_the_dialogue),
		ROW("S-12, S-13, S-29: the answer to the final dot is the messages", the_answer_to_the_final_dot_is_the_messages),
		ROW("E-02: a message over the servers size is refused without asking", a_message_over_the_servers_size_is_refused_without_asking),
		ROW("S-27: a refused rset is not the messages fault", a_refused_rset_is_not_the_messages_fault),
		ROW("S-18, S-19: an end at any stage is later for everybody", an_end_at_any_stage_is_later_for_everybody),
		cmocka_unit_test(whoever_was_refused_before_the_end_stays_refused),
		cmocka_unit_test(an_end_behind_the_final_dot_says_that_it_may_have_arrived),
		cmocka_unit_test(a_tls_connection_that_is_cut_before_the_last_answer_is_later),
		ROW("S-28: quit waits for no particular answer", quit_waits_for_no_particular_answer),
		cmocka_unit_test(an_answer_too_many_never_makes_a_message_sent),
		cmocka_unit_test(an_answer_too_many_bounces_nobody),
		cmocka_unit_test(an_answer_too_many_behind_one_message_does_not_touch_the_next),
		cmocka_unit_test(an_answer_in_the_middle_of_the_text_is_not_taken_for_the_last_one),
		ROW("L-02, E-15: dots and eight bit octets arrive as they were", dots_and_eight_bit_octets_arrive_as_they_were),
		ROW("S-10: what was not offered is not used", what_was_not_offered_is_not_used),
		ROW("S-07, S-08, L-13, L-17: the null sender and the case of a local part go out as they are", the_null_sender_and_the_case_of_a_local_part_go_out_as_they_are),
		ROW("L-03: an empty text is delivered", an_empty_text_is_delivered),
		cmocka_unit_test(a_large_text_arrives_whole),
		cmocka_unit_test(another_head_goes_before_the_rest_of_the_text),
		cmocka_unit_test(of_a_small_text_that_is_damaged_not_a_word_is_said),
		cmocka_unit_test(a_large_text_that_is_damaged_gets_no_final_dot),
		cmocka_unit_test(where_nobody_hears_the_outcome_no_final_dot_is_sent),
		ROW("E-19, E-20: what was wished is said where the server offers it", what_was_wished_is_said_where_the_server_offers_it),
		ROW("S-10: what was offered and then refused is left out once for all", what_was_offered_and_then_refused_is_left_out_once_for_all),
		cmocka_unit_test(a_refusal_that_is_not_about_what_we_added_is_not_asked_again),
		ROW("L-05: an original recipient is said only as far as the line takes it", an_original_recipient_is_said_only_as_far_as_the_line_takes_it),
		ROW("E-16, E-17, L-11: an address that is not ascii goes with smtputf8 or not at all", an_address_that_is_not_ascii_goes_with_smtputf8_or_not_at_all),
		cmocka_unit_test(nobody_is_asked_for_when_no_address_can_be_said),
		ROW("E-26: what requires tls goes by requiretls or not at all", what_requires_tls_goes_by_requiretls_or_not_at_all),
		ROW("E-28: a time to be delivered in is said with what is left of it",
		    a_time_to_be_delivered_in_is_said_with_what_is_left_of_it),
		ROW("E-29: a priority is said where it is offered", a_priority_is_said_where_it_is_offered),
		cmocka_unit_test(what_the_caller_chose_cannot_speak_for_the_server),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
