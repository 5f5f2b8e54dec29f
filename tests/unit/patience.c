/* patience: how long we wait for a server, by a clock of the test's own.
 *
 * The server says when it is going to be silent (a file), and from then on each wait is
 * over at once, as if its time had passed: what was asked for is looked at. */
#include "../lib/partner.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

static struct {
	double now;
	double asked;           /* for the wait that was over */
	double each;            /* that each wait takes before it is answered */
	char silent[128];       /* the file */
} hands;

double
clock_now(void)
{
	return hands.now;
}

int
clock_poll(struct pollfd *p, nfds_t n, double seconds)
{
	int ready;

	hands.now += hands.each;
	while ((ready = poll(p, n, 5)) == 0 && access(hands.silent, F_OK) < 0)
		continue;
	if (ready != 0)
		return ready;
	hands.asked = seconds;
	hands.now += seconds;
	return 0;
}

uint32_t
clock_salt(void)
{
	return 0;
}

static void
start(struct talk *t, enum kind kind, const char *script)
{
	hands.each = hands.asked = 0;
	hands.silent[0] = '\0';
	start_server(t, kind, script);
	snprintf(hands.silent, sizeof hands.silent, "%s/silent", t->dir);
}

#define SILENCE " touch silent stall\n"

/* A message to a server that is silent at some stage, and the seconds it is given. */
struct row {
	const char *script;
	double seconds;
	bool in_doubt;          /* it may have arrived */
};

static void
try_rows(const struct row *rows, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		struct talk t;
		struct mail mail;

		start(&t, PLAIN, rows[i].script);
		write_mail(&mail, text);
		if (open_session(&t, PLAIN) == DONE) {
			send_mail(&t, &mail);
			assert_all(&mail, LATER, SCOPE_SERVER);
			t.why = mail.a[0].why;
		}
		if (hands.asked > rows[i].seconds || hands.asked < rows[i].seconds - 1)
			print_error("%s%g s: %s\n", rows[i].script, hands.asked, t.why.text);
		assert_true(hands.asked <= rows[i].seconds && hands.asked > rows[i].seconds - 1);
		assert_int_equal(t.why.scope, SCOPE_SERVER);
		assert_int_equal(strstr(t.why.text, "may have arrived") != NULL, rows[i].in_doubt);
		assert_true(t.smtp.lost);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
test_greeting(void **state)
{
	static const struct row rows[] = {
		{ "greeting" SILENCE, 300, false }, { "greeting send \"220-a\\r\\n\"" SILENCE, 300, false },
		{ "ehlo" SILENCE, 300, false },
	};

	(void)state;
	try_rows(rows, COUNT(rows), TEXT);
}

static void
test_commands(void **state)
{
	static const struct row rows[] = {
		{ "mail" SILENCE, 300, false }, { "rcpt" SILENCE, 300, false }, { "rcpt #3" SILENCE, 300, false },
		{ "offer SIZE\nmail" SILENCE, 300, false }, { "offer SIZE\nrcpt #2" SILENCE, 300, false },
		{ "offer SIZE\nrcpt reply \"550 5.1.1 no\"\nrset" SILENCE, 300, false },
	};

	(void)state;
	try_rows(rows, COUNT(rows) - 1, TEXT);
}

static void
test_data(void **state)
{
	static const struct row rows[] = {
		{ "data" SILENCE, 120, false }, { "offer SIZE\ndata" SILENCE, 120, false },
	};

	(void)state;
	try_rows(rows, COUNT(rows), TEXT);
}

static void
test_end(void **state)
{
	static const struct row rows[] = {
		{ "dot" SILENCE, 600, true }, { "offer SIZE\ndot" SILENCE, 600, true },
		{ "offer PIPELINING CHUNKING\nbdat" SILENCE, 600, true },
		{ "offer PIPELINING CHUNKING\nehlo #2" SILENCE, 300, true },
	};

	(void)state;
	try_rows(rows, COUNT(rows), TEXT);
}

static void
test_block(void **state)
{
	static const struct row rows[] = {
		{ "text 1000 touch silent wait never\n", 180, false },
		{ "offer PIPELINING CHUNKING\nrcpt #3 default touch silent wait never\n", 180, false },
	};
	/* More than the kernel takes off our hands. */
	char *text = malloc((32 << 20) + 1);

	(void)state;
	memset(text, 'x', 32 << 20);
	for (size_t i = 63; i < 32 << 20; i += 64)
		text[i] = '\n';
	text[32 << 20] = '\0';
	try_rows(rows, COUNT(rows), text);
	free(text);
}

static void
test_each(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	/* So many seconds for each, which are too many for all together. */
	start(&t, PLAIN, "offer SIZE\ndelay-all 10\n");
	hands.each = 100;
	assert_int_equal(open_session(&t, PLAIN), DONE);
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, DONE, SCOPE_NONE);
	assert_true(hands.now >= 700);
	assert_true(hands.asked == 0);
	drop_mail(&mail);
	leave(&t);
}

static void
test_trickle(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	/* An octet now and then is no answer: the limit is for all of it. */
	start(&t, PLAIN, "mail send 2 delay 20 send 5 delay 20 send 0 delay 20 send - delay 20 send a delay 20 "
	    "send b delay 20 send c delay 20 send d delay 20 send e delay 20 send \"\\r\\n250 ok\\r\\n\"\n");
	assert_int_equal(open_session(&t, PLAIN), DONE);
	hands.each = 70;
	write_mail(&mail, TEXT);
	send_mail(&t, &mail);
	assert_all(&mail, LATER, SCOPE_SERVER);
	assert_non_null(strstr(mail.a[0].why.text, "in 300 s"));
	drop_mail(&mail);
	leave(&t);
}

static void
test_handshake_and_quit(void **state)
{
	struct talk t;

	(void)state;
	start(&t, STARTTLS, "handshake" SILENCE);
	assert_int_equal(open_session(&t, STARTTLS), LATER);
	assert_true(hands.asked <= 60 && hands.asked > 59);
	assert_int_equal(t.why.scope, SCOPE_SERVER);
	leave(&t);
	start(&t, PLAIN, "quit" SILENCE);
	assert_int_equal(open_session(&t, PLAIN), DONE);
	smtp_quit(&t.smtp);
	assert_true(hands.asked <= 5 && hands.asked > 4);
	leave(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		ROW("T-01: each answer has a time of its own", test_each),
		ROW("T-01: and all of it must come in that", test_trickle),
		ROW("T-03: the greeting, and EHLO, have five minutes", test_greeting),
		ROW("T-04: MAIL and RCPT have five minutes", test_commands),
		ROW("T-05: DATA has two minutes", test_data),
		ROW("T-06: a block of text that does not move has three minutes", test_block),
		ROW("T-07: all of the text has ten minutes for its answer", test_end),
		ROW("T-08: the handshake has a minute, and QUIT five seconds", test_handshake_and_quit),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
