/* pipeline: several messages on one connection: what is said together, what each reply
 * proves, and what becomes of those on the way when it is the wrong one. */
#include "../lib/partner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "codec.h"

#define WITH_CHUNKS "offer PIPELINING CHUNKING SIZE 8BITMIME\n"
#define MAILS_MAX 40

/* ---- small hands ---- */

/* Sends them all, which are at hand from the start; they come back in their order.  How
 * many did. */
static size_t
send_all(struct talk *t, struct mail *mails, size_t n)
{
	size_t i = 0;
	struct transaction *done;

	for (size_t k = 0; k < n; k++)
		post(t, &mails[k]);
	while ((done = dialogue_go_on(&t->dialogue)) != NULL)
		assert_ptr_equal(done, &mails[i++].m);
	assert_int_equal(t->npending, n - i);
	return i;
}

static void
write_mails(struct mail *mails, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[64];

		snprintf(text, sizeof text, "Subject: %zu\n\n.dot\n..\nlast\n", i + 1);
		write_mail(&mails[i], text);
	}
}

static void
drop_mails(struct mail *mails, size_t n)
{
	for (size_t i = 0; i < n; i++)
		drop_mail(&mails[i]);
}

/* Its n-th file has this text, line ends as on the wire. */
static void
assert_arrived(const struct talk *t, unsigned n, const char *text)
{
	struct buf want = { 0 }, got = { 0 };
	char name[64];

	for (; *text != '\0'; text++) {
		if (*text == '\n')
			buf_addc(&want, '\r');
		buf_addc(&want, *text);
	}
	if (want.len > 0 && want.p[want.len - 1] != '\n')
		buf_adds(&want, "\r\n");
	snprintf(name, sizeof name, "messages/%04u.eml", n);
	slurp(t, name, &got);
	assert_true(has_message(t, n));
	assert_true(str_eq(buf_str(&got), buf_str(&want)));
	buf_free(&want);
	buf_free(&got);
}

/* Says goodbye; how often we waited for the server in all. */
static uint64_t
count_turns(struct talk *t)
{
	struct buf text = { 0 };
	struct str rest;
	uint64_t turns = 0;

	smtp_quit(&t->smtp);
	conn_close(&t->conn);
	for (int i = 0; i < 2000 && text.len == 0; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		slurp(t, "turns", &text);
	}
	rest = buf_str(&text);
	str_word(&rest);
	str_word(&rest);
	assert_true(codec_number(str_word(&rest), 10000, &turns));
	buf_free(&text);
	return turns;
}

/* What a message may come to. */
enum end {
	SENT, REFUSED,
	BACK,                   /* LATER, and nobody is to blame */
	TROUBLE,                /* LATER, and the server is; not all of it was sent */
	DOUBT,                  /* the same, and it may have arrived */
	LATER_MESSAGE,          /* LATER by the server's word about it */
	NOT_BEGUN,
	UNSENT                  /* one of the three, by what had come when it began */
};

static const char *const end_names[] = { "sent", "refused", "back", "trouble", "doubt", "later", "not begun",
	"unsent" };

static enum end
end_of(const struct answer *a)
{
	if (a->outcome == DONE)
		return SENT;
	if (a->outcome == NEVER)
		return REFUSED;
	if (strstr(a->why.text, "may have arrived") != NULL)
		return DOUBT;
	return a->why.scope == SCOPE_NONE ? BACK : a->why.scope == SCOPE_SERVER ? TROUBLE : LATER_MESSAGE;
}

/* Three messages to a server with that script, and what becomes of each. */
struct row {
	const char *script;
	enum end ends[3];
	bool lost;
};

static void
try_row(const struct row *row, const char *offers, unsigned depth, enum hint hint)
{
	struct mail mails[3];
	struct talk t;
	char script[512];
	size_t n;

	snprintf(script, sizeof script, "%s%s", offers, row->script);
	begin(&t, script);
	t.dialogue.depth = depth;
	t.hint = hint;
	write_mails(mails, 3);
	n = send_all(&t, mails, 3);
	for (size_t i = 0; i < 3; i++) {
		enum end end = i < n ? end_of(&mails[i].a[0]) : NOT_BEGUN;

		if (row->ends[i] == UNSENT && (end == NOT_BEGUN || end == TROUBLE || end == BACK))
			continue;
		if (end != row->ends[i])
			print_error("%s%zu: %s, not %s: %s\n", script, i + 1, end_names[end],
			    end_names[row->ends[i]], i < n ? mails[i].a[0].why.text : "");
		assert_int_equal(end, row->ends[i]);
		for (size_t k = 1; k < 3 && i < n; k++)
			assert_int_equal(end_of(&mails[i].a[k]), end);
	}
	if (t.smtp.lost != row->lost)
		print_error("%slost: %d\n", script, t.smtp.lost);
	assert_int_equal(t.smtp.lost, row->lost);
	/* Of a dialogue that was out of step the server may think what it will. */
	if (!t.smtp.lost) {
		assert_no_violation(&t);
		assert_next_goes_through(&t);
	}
	drop_mails(mails, 3);
	leave(&t);
}

static void
try_rows(const struct row *rows, size_t n, const char *offers, unsigned depth, enum hint hint)
{
	for (size_t i = 0; i < n; i++)
		try_row(&rows[i], offers, depth, hint);
}

/* ---- how often we wait ---- */

static void
test_steady_state(void **state)
{
	static const struct {
		const char *script;
		uint64_t more;          /* waits besides one a message: EHLO, QUIT, and the first group */
	} rows[] = { { "", 3 }, { WITH_CHUNKS, 3 }, { "offer PIPELINING\n", 3 } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mail mails[MAILS_MAX];
		struct talk t;

		begin(&t, rows[i].script);
		write_mails(mails, MAILS_MAX);
		assert_int_equal(send_all(&t, mails, MAILS_MAX), MAILS_MAX);
		for (unsigned k = 0; k < MAILS_MAX; k++) {
			char text[64];

			assert_all(&mails[k], DONE, SCOPE_NONE);
			assert_int_equal(mails[k].asked, 1);
			snprintf(text, sizeof text, "Subject: %u\n\n.dot\n..\nlast\n", k + 1);
			assert_arrived(&t, k + 1, text);
		}
		assert_int_equal(t.dialogue.carried, MAILS_MAX);
		assert_int_equal(count_turns(&t), MAILS_MAX + rows[i].more);
		assert_no_violation(&t);
		drop_mails(mails, MAILS_MAX);
		leave(&t);
	}
}

static void
test_cold(void **state)
{
	static const struct {
		const char *script;
		uint64_t turns;
	} rows[] = {
		/* EHLO, the group, the text, QUIT. */
		{ "offer PIPELINING\n", 4 },
		/* EHLO, all of it, EHLO for the proof, QUIT. */
		{ WITH_CHUNKS, 4 },
		{ "offer CHUNKING\n", 8 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;

		try_script(&t, rows[i].script, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		assert_int_equal(count_turns(&t), rows[i].turns);
		assert_no_violation(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

/* ---- refusals ---- */

static const struct row refusals[] = {
	{ "mail #2 reply \"550 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "mail #1 reply \"452 later\"\n", { LATER_MESSAGE, SENT, SENT }, false },
	{ "rcpt #1-3 reply \"550 5.1.1 no\"\n", { REFUSED, SENT, SENT }, false },
	{ "rcpt #4-6 reply \"550 5.1.1 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "rcpt #7-9 reply \"550 5.1.1 no\"\n", { SENT, SENT, REFUSED }, false },
	{ "mail #1-3 reply \"550 no\"\n", { REFUSED, REFUSED, REFUSED }, false },
	{ "rcpt #1-9 reply \"550 5.1.1 no\"\n", { REFUSED, REFUSED, REFUSED }, false },
};

static const struct row refusals_with_data[] = {
	{ "data #1 reply \"554 no\"\n", { REFUSED, SENT, SENT }, false },
	{ "data #2 reply \"554 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "data #3 reply \"451 later\"\n", { SENT, SENT, LATER_MESSAGE }, false },
	{ "dot #1 reply \"550 5.7.1 spam\"\n", { REFUSED, SENT, SENT }, false },
	{ "dot #2 reply \"451 4.3.0 later\"\n", { SENT, LATER_MESSAGE, SENT }, false },
	/* The text is asked for, though nobody is left: an empty one ends it. */
	{ "rcpt #4-6 reply \"550 5.1.1 no\"\ndata #2 reply \"354 go\"\ndot #2 reply \"554 nobody\"\n",
	    { SENT, REFUSED, SENT }, false },
	{ "mail #2 reply \"550 no\"\nrcpt #4-6 reply \"250 ok\"\ndata #2 reply \"354 go\"\n"
	    "dot #2 reply \"250 ok\"\n", { SENT, REFUSED, SENT }, false },
};

static const struct row refusals_with_bdat[] = {
	{ "bdat #1 reply \"554 no\"\n", { REFUSED, SENT, SENT }, false },
	{ "bdat #1 reply \"451 later\"\n", { LATER_MESSAGE, SENT, SENT }, false },
	/* Offered, and then not known: it is for us to do without. */
	{ "data #1 reply \"554 no\"\n", { SENT, REFUSED, SENT }, false },
};

static void
test_refusals(void **state)
{
	(void)state;
	try_rows(refusals, COUNT(refusals), "offer PIPELINING\n", 1, TRUTH);
	try_rows(refusals, COUNT(refusals), WITH_CHUNKS, 1, TRUTH);
	try_rows(refusals, COUNT(refusals), "offer SIZE\n", 1, TRUTH);
	try_rows(refusals_with_data, COUNT(refusals_with_data), "offer PIPELINING\n", 1, TRUTH);
	try_rows(refusals_with_bdat, COUNT(refusals_with_bdat), WITH_CHUNKS, 1, NO_MORE);
}

/* ---- the connection ends ---- */

static const struct row ends_with_data[] = {
	{ "mail #1 drop\n", { TROUBLE, NOT_BEGUN, NOT_BEGUN }, true },
	{ "mail #1 reply \"421 bye\"\n", { TROUBLE, NOT_BEGUN, NOT_BEGUN }, true },
	/* It may be the commands behind the text that it does not stand. */
	{ "dot #1 drop\n", { DOUBT, BACK, NOT_BEGUN }, true },
	{ "dot #1 keep drop\n", { DOUBT, BACK, NOT_BEGUN }, true },
	{ "dot #1 reply \"421 bye\"\n", { TROUBLE, TROUBLE, NOT_BEGUN }, true },
	/* It has served, and goes: that is no trouble. */
	{ "dot #1 default drop\n", { SENT, BACK, NOT_BEGUN }, true },
	{ "dot #1 default fin\n", { SENT, BACK, NOT_BEGUN }, true },
	{ "mail #2 reply \"421 4.7.0 enough of this session\"\n", { SENT, BACK, NOT_BEGUN }, true },
	{ "data #2 reply \"421 bye\"\n", { SENT, BACK, NOT_BEGUN }, true },
	{ "mail #3 drop\n", { SENT, SENT, BACK }, true },
	{ "dot #2 drop\n", { SENT, DOUBT, BACK }, true },
	{ "dot #2 reply \"421 bye\"\n", { SENT, BACK, BACK }, true },
};

static const struct row ends_with_bdat[] = {
	{ "mail #1 drop\n", { DOUBT, NOT_BEGUN, NOT_BEGUN }, true },
	{ "bdat #1 drop\n", { DOUBT, NOT_BEGUN, NOT_BEGUN }, true },
	{ "bdat #1 keep drop\n", { DOUBT, NOT_BEGUN, NOT_BEGUN }, true },
	{ "bdat #1 reply \"421 bye\"\n", { TROUBLE, NOT_BEGUN, NOT_BEGUN }, true },
	/* Nothing proves its yes. */
	{ "bdat #1 default drop\n", { DOUBT, BACK, NOT_BEGUN }, true },
	{ "mail #2 reply \"421 bye\"\n", { DOUBT, BACK, NOT_BEGUN }, true },
	{ "dot #1 default drop\n", { SENT, SENT, BACK }, true },
	{ "dot #1 drop\n", { SENT, DOUBT, BACK }, true },
};

static void
test_ends(void **state)
{
	(void)state;
	try_rows(ends_with_data, COUNT(ends_with_data), "offer PIPELINING\n", 1, TRUTH);
	try_rows(ends_with_bdat, COUNT(ends_with_bdat), WITH_CHUNKS, 1, NO_MORE);
}

/* ---- out of step ---- */

#define TWICE "send \"250 ok\\r\\n250 ok\\r\\n\"\n"

/* An answer too many, anywhere: nobody has got it by that, and nobody is refused. */
static const struct row steps_with_data[] = {
	{ "mail #1 " TWICE, { TROUBLE, NOT_BEGUN, NOT_BEGUN }, true },
	{ "mail #2 " TWICE, { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "rcpt #4 " TWICE, { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "rcpt #6 " TWICE, { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "dot #1 " TWICE, { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "dot #1 send \"250 ok\\r\\n550 5.1.1 no\\r\\n\"\n", { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "mail #2 " TWICE "rcpt #4 reply \"550 5.1.1 no\"\n", { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "mail #2 reply \"354 go\"\n", { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "rcpt #5 reply \"334 go\"\n", { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "data #2 reply \"250 go\"\n", { DOUBT, TROUBLE, NOT_BEGUN }, true },
	{ "dot #2 reply \"354 more\"\n", { SENT, DOUBT, TROUBLE }, true },
};

static const struct row steps_with_bdat[] = {
	/* Its own no would be read as another's: an EHLO, or the next 354, shows that. */
	{ "mail #1 " TWICE "bdat #1 reply \"554 no\"\n", { DOUBT, UNSENT, NOT_BEGUN }, true },
	{ "rcpt #3 " TWICE "bdat #1 reply \"554 no\"\n", { DOUBT, UNSENT, NOT_BEGUN }, true },
	{ "bdat #1 " TWICE, { DOUBT, UNSENT, NOT_BEGUN }, true },
	/* So late that the next one is on its way, and is refused as a whole. */
	{ "mail #1 " TWICE "bdat #1 delay 50 reply \"554 no\"\nrcpt #4-6 reply \"550 5.1.1 no\"\n"
	    "data #1 delay 50 reply \"554 no\"\n", { DOUBT, UNSENT, NOT_BEGUN }, true },
	{ "bdat #1 reply \"354 go\"\n", { DOUBT, NOT_BEGUN, NOT_BEGUN }, true },
	/* Refused, and taken all the same? */
	{ "mail #1 reply \"550 no\"\nrcpt #1-3 reply \"250 ok\"\nbdat #1 reply \"250 ok\"\n",
	    { DOUBT, NOT_BEGUN, NOT_BEGUN }, true },
};

static void
test_steps(void **state)
{
	(void)state;
	try_rows(steps_with_data, COUNT(steps_with_data), "offer PIPELINING\n", 1, TRUTH);
	try_rows(steps_with_bdat, COUNT(steps_with_bdat), WITH_CHUNKS, 1, NO_MORE);
}

static void
test_proof(void **state)
{
	static const struct {
		const char *script;
		enum end end;
		bool lost;
	} rows[] = {
		{ "", SENT, false },
		{ "ehlo #2 reply \"250 only this\"\n", DOUBT, true },
		{ "ehlo #2 drop\n", DOUBT, true },
		{ "ehlo #2 reply \"421 bye\"\n", DOUBT, true },
		/* A no might be the one to the text, but nothing is answered like a goodbye. */
		{ "ehlo #2 reply \"503 again?\"\n", SENT, true },
		{ "ehlo #2 reply \"503 again?\"\nquit reply \"250 what\"\n", DOUBT, true },
		{ "ehlo #2 reply \"503 again?\"\nquit drop\n", DOUBT, true },
		{ "mail #1 " TWICE, DOUBT, true },
		{ "mail #1 " TWICE "bdat #1 reply \"554 no\"\n", DOUBT, true },
		{ "mail #1 " TWICE "bdat #1 reply \"554 no\"\nehlo #2 reply \"502 no\"\n", DOUBT, true },
		{ "rcpt #1-3 reply \"550 5.1.1 no\"\n", REFUSED, false },
		{ "rcpt #1-3 reply \"550 5.1.1 no\"\nrset reply \"550 no\"\n", TROUBLE, true },
		{ "mail #1 " TWICE "rcpt #1-3 reply \"550 5.1.1 no\"\nbdat #1 reply \"554 no\"\n", TROUBLE, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;
		char script[512];
		enum end end;

		snprintf(script, sizeof script, WITH_CHUNKS "%s", rows[i].script);
		try_script(&t, script, &mail);
		end = end_of(&mail.a[1]);
		if (end != rows[i].end || t.smtp.lost != rows[i].lost)
			print_error("%s%s: %s\n", script, end_names[end], mail.a[1].why.text);
		assert_int_equal(end, rows[i].end);
		assert_int_equal(t.smtp.lost, rows[i].lost);
		if (!t.smtp.lost)
			assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

/* ---- chunks ---- */

static char *
many_lines(size_t n)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_addf(&text, ".line %zu\n", i);
	return text.p;
}

static void
test_chunks(void **state)
{
	static const size_t lines[] = { 0, 1, 5000, 5300, 5400, 40000 };

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		char *text = lines[i] > 0 ? many_lines(lines[i]) : calloc(1, 1);
		struct talk t;
		struct mail mail;

		begin(&t, WITH_CHUNKS);
		write_mail(&mail, text);
		send_mail(&t, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		assert_arrived(&t, 1, text);
		assert_false(holds(&t, "raw.1", STR("DATA\r\n")));
		assert_int_equal(count_said(&t, " LAST\r\n"), 1);
		assert_int_equal(mail.asked, 1);
		assert_next_goes_through(&t);
		drop_mail(&mail);
		leave(&t);
		free(text);
	}
}

static void
test_refused_chunk(void **state)
{
	static const struct {
		const char *script;
		enum end end;
		bool next;              /* the next one goes through */
	} rows[] = {
		{ "bdat #1 reply \"452 full\"\n", LATER_MESSAGE, true },
		{ "bdat #2 reply \"452 4.3.1 full\"\n", LATER_MESSAGE, true },
		{ "bdat #2 reply \"552 5.3.4 too much\"\n", REFUSED, true },
		{ "bdat ~LAST reply \"554 no\"\n", REFUSED, false },
		{ "rcpt #1-3 reply \"550 5.1.1 no\"\n", REFUSED, true },
		{ "mail #1 reply \"550 no\"\n", REFUSED, true },
	};
	char *text = many_lines(100000);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;
		char script[256];

		snprintf(script, sizeof script, WITH_CHUNKS "%s", rows[i].script);
		begin(&t, script);
		write_mail(&mail, text);
		send_mail(&t, &mail);
		if (end_of(&mail.a[0]) != rows[i].end)
			print_error("%s%s\n", script, mail.a[0].why.text);
		assert_int_equal(end_of(&mail.a[0]), rows[i].end);
		if (i >= 4)
			assert_false(holds(&t, "raw.1", STR("BDAT")));
		if (rows[i].next)
			assert_next_goes_through(&t);
		else
			assert_no_violation(&t);
		drop_mail(&mail);
		leave(&t);
	}
	free(text);
}

static void
test_damaged_chunk(void **state)
{
	char *text = many_lines(40000);
	struct talk t;
	struct mail mail;

	(void)state;
	begin(&t, WITH_CHUNKS);
	write_mail(&mail, text);
	mail.m.text.crc ^= 1;
	send_mail(&t, &mail);
	assert_all(&mail, LATER, SCOPE_MESSAGE);
	assert_non_null(mail.m.text.damage);
	assert_int_equal(mail.asked, 0);
	assert_false(holds(&t, "raw.1", STR(" LAST\r\n")));
	/* The connection is as good as ever. */
	assert_next_goes_through(&t);
	drop_mail(&mail);
	leave(&t);
	free(text);
}

static void
test_unknown_bdat(void **state)
{
	static const char *const answers[] = { "500 what?", "502 5.5.1 no", "504 5.5.4 no" };

	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct talk t;
		struct mail mail;
		char script[256];

		snprintf(script, sizeof script, WITH_CHUNKS "bdat reply \"%s\"\n", answers[i]);
		try_script(&t, script, &mail);
		assert_all(&mail, DONE, SCOPE_NONE);
		assert_next_goes_through(&t);
		assert_int_equal(count_said(&t, "BDAT "), 1);
		drop_mail(&mail);
		leave(&t);
	}
}

/* ---- a window ---- */

static const struct row window[] = {
	{ "", { SENT, SENT, SENT }, false },
	{ "mail #2 reply \"550 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "rcpt #4-6 reply \"550 5.1.1 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "bdat #1 reply \"451 later\"\n", { LATER_MESSAGE, SENT, SENT }, false },
	{ "bdat #2 reply \"554 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "bdat #1 drop\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "bdat #1 default drop\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "bdat #3 default drop\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "mail #2 reply \"421 bye\"\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "mail #2 reply \"354 go\"\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "rset #1 reply \"550 no\"\n", { DOUBT, DOUBT, DOUBT }, true },
	/* Each of them would be told by another's answer: the EHLO behind them shows that. */
	{ "mail #1 " TWICE, { DOUBT, DOUBT, DOUBT }, true },
	{ "mail #2 " TWICE "bdat #3 reply \"554 no\"\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "rcpt #9 " TWICE "bdat #3 reply \"554 no\"\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "bdat #3 " TWICE, { DOUBT, DOUBT, DOUBT }, true },
	{ "ehlo #2 reply \"250 only this\"\n", { DOUBT, DOUBT, DOUBT }, true },
	{ "ehlo #2 drop\n", { DOUBT, DOUBT, DOUBT }, true },
	/* A server that does not know what it offers is taken at its word by each of them. */
	{ "bdat reply \"502 5.5.1 no\"\n", { REFUSED, REFUSED, REFUSED }, false },
	/* With the end of the connection behind it, no other answer could. */
	{ "mail #3 " TWICE "bdat #3 fin\n", { DOUBT, DOUBT, DOUBT }, true },
};

/* The last goes with DATA, whose 354 is the proof, and with its text the next window. */
static const struct row window_to_data[] = {
	{ "", { SENT, SENT, SENT }, false },
	{ "mail #2 reply \"550 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "rcpt #4-6 reply \"550 5.1.1 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "rcpt #7-9 reply \"550 5.1.1 no\"\n", { SENT, SENT, REFUSED }, false },
	{ "bdat #1 reply \"451 later\"\n", { LATER_MESSAGE, SENT, SENT }, false },
	{ "bdat #2 reply \"554 no\"\n", { SENT, REFUSED, SENT }, false },
	{ "data #1 reply \"554 no\"\n", { SENT, SENT, REFUSED }, false },
	{ "dot #1 reply \"554 no\"\n", { SENT, SENT, REFUSED }, false },
	{ "dot #1 drop\n", { SENT, SENT, DOUBT }, true },
	{ "bdat #1 drop\n", { DOUBT, DOUBT, TROUBLE }, true },
	{ "data #1 drop\n", { DOUBT, DOUBT, UNSENT }, true },
	{ "mail #1 " TWICE, { DOUBT, DOUBT, UNSENT }, true },
	{ "mail #2 " TWICE "bdat #2 reply \"554 no\"\n", { DOUBT, DOUBT, UNSENT }, true },
	{ "bdat #2 " TWICE, { DOUBT, DOUBT, UNSENT }, true },
	{ "rcpt #9 " TWICE, { DOUBT, DOUBT, UNSENT }, true },
	{ "data #1 reply \"250 go\"\n", { DOUBT, DOUBT, UNSENT }, true },
	{ "rset #1 reply \"550 no\"\n", { DOUBT, DOUBT, UNSENT }, true },
};

static void
test_window(void **state)
{
	(void)state;
	try_rows(window, COUNT(window), WITH_CHUNKS, 3, ALWAYS_MORE);
	try_rows(window_to_data, COUNT(window_to_data), WITH_CHUNKS, 2, TRUTH);
	/* Without CHUNKING there is none. */
	try_rows(refusals, COUNT(refusals), "offer PIPELINING\n", 8, TRUTH);
	try_rows(refusals_with_data, COUNT(refusals_with_data), "offer PIPELINING\n", 8, TRUTH);
	try_rows(steps_with_data, COUNT(steps_with_data), "offer PIPELINING\n", 8, TRUTH);
}

/* Behind the goodbye that tells what a refused EHLO does not, nothing more is said. */
static void
test_goodbye(void **state)
{
	struct mail mails[4];
	struct talk t;

	(void)state;
	begin(&t, WITH_CHUNKS "ehlo #2 reply \"503 again?\"\n");
	t.dialogue.depth = 8;
	t.hint = ALWAYS_MORE;
	write_mails(mails, 4);
	assert_int_equal(send_all(&t, mails, 3), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_all(&mails[i], DONE, SCOPE_NONE);
	assert_int_equal(send_all(&t, mails + 3, 1), 0);
	assert_int_equal(count_said(&t, "EHLO"), 2);
	assert_int_equal(count_said(&t, "MAIL"), 3);
	assert_no_violation(&t);
	drop_mails(mails, 4);
	leave(&t);
}

/* The server answers nothing until four are there. */
static void
open_gate_at(const struct talk *t, size_t n)
{
	for (int i = 0; i < 4000; i++) {
		if (count_said(t, "MAIL ") >= n) {
			spew(t, "gate", "");
			return;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
}

static void
test_window_size(void **state)
{
	struct mail mails[20];
	struct talk t;
	pid_t child;
	unsigned most = 0;

	(void)state;
	begin(&t, WITH_CHUNKS "mail #1 wait gate default\n");
	t.dialogue.depth = 4;
	write_mails(mails, 20);
	child = fork();
	if (child == 0) {
		open_gate_at(&t, 4);
		_exit(0);
	}
	assert_int_equal(send_all(&t, mails, 20), 20);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (unsigned i = 0; i < 20; i++) {
		assert_all(&mails[i], DONE, SCOPE_NONE);
		assert_true(has_message(&t, i + 1));
		most = mails[i].others > most ? mails[i].others : most;
	}
	assert_int_equal(most, 3);
	assert_false(t.dialogue.surprised);
	/* Each window is proven by its last one's 354. */
	assert_int_equal(count_said(&t, "EHLO"), 1);
	assert_no_violation(&t);
	drop_mails(mails, 20);
	leave(&t);
}

static void
test_surprise(void **state)
{
	static const char *const scripts[] = { "mail #2 reply \"451 4.3.0 later\"\n", "bdat #2 reply \"451 later\"\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct mail mails[12];
		struct talk t;
		char script[256];

		snprintf(script, sizeof script, WITH_CHUNKS "%s", scripts[i]);
		begin(&t, script);
		t.dialogue.depth = 3;
		write_mails(mails, 12);
		assert_int_equal(send_all(&t, mails, 12), 12);
		assert_true(t.dialogue.surprised);
		assert_int_equal(t.dialogue.depth, 1);
		/* The second was refused while at most two more were on the way. */
		for (unsigned k = 4; k < 12; k++) {
			assert_all(&mails[k], DONE, SCOPE_NONE);
			assert_int_equal(mails[k].others, 0);
		}
		assert_no_violation(&t);
		drop_mails(mails, 12);
		leave(&t);
	}
}

static void
test_unsaid_in_window(void **state)
{
	struct mail mails[3];
	struct talk t;

	(void)state;
	/* Of the second not a word is said; the third must not end up in the first one's
	 * transaction all the same. */
	begin(&t, WITH_CHUNKS "rcpt #1-3 reply \"550 5.1.1 no\"\n");
	t.dialogue.depth = 3;
	write_mails(mails, 3);
	mails[1].m.from = "j\xf6rg@example.com";
	assert_int_equal(send_all(&t, mails, 3), 3);
	assert_all(&mails[0], NEVER, SCOPE_RECIPIENT);
	assert_all(&mails[1], NEVER, SCOPE_MESSAGE);
	assert_all(&mails[2], DONE, SCOPE_NONE);
	assert_no_violation(&t);
	drop_mails(mails, 3);
	leave(&t);
}

static void
test_large_in_window(void **state)
{
	char *text = many_lines(40000);
	struct mail mails[6];
	struct talk t;

	(void)state;
	begin(&t, WITH_CHUNKS);
	t.dialogue.depth = 4;
	write_mails(mails, 6);
	drop_mail(&mails[2]);
	write_mail(&mails[2], text);
	assert_int_equal(send_all(&t, mails, 6), 6);
	for (unsigned i = 0; i < 6; i++)
		assert_all(&mails[i], DONE, SCOPE_NONE);
	assert_int_equal(mails[2].others, 0);
	assert_arrived(&t, 3, text);
	assert_no_violation(&t);
	drop_mails(mails, 6);
	leave(&t);
	free(text);
}

/* ---- limits ---- */

static void
test_too_many(void **state)
{
	static const struct {
		const char *script;
		enum end third;
		bool again;
	} rows[] = {
		{ "rcpt :3 reply \"452 4.5.3 too many\"\n", LATER_MESSAGE, true },
		{ "rcpt :3 reply \"452 too many recipients\"\n", LATER_MESSAGE, true },
		{ "rcpt :3 reply \"552 too many recipients\"\n", LATER_MESSAGE, true },
		{ "rcpt :3 reply \"552 5.5.3 too many recipients\"\n", LATER_MESSAGE, true },
		/* That one's own trouble. */
		{ "rcpt :3 reply \"452 4.2.2 over quota\"\n", LATER_MESSAGE, false },
		{ "rcpt :3 reply \"552 5.2.2 mailbox full\"\n", REFUSED, false },
		{ "rcpt :3 reply \"450 4.2.0 greylisted\"\n", LATER_MESSAGE, false },
		/* As a whole it failed, for other reasons. */
		{ "rcpt :3 reply \"452 4.5.3 too many\"\ndot reply \"451 4.3.0 no\"\n", LATER_MESSAGE, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct talk t;
		struct mail mail;

		begin(&t, rows[i].script);
		write_mail(&mail, TEXT);
		assert_int_equal(send_all(&t, &mail, 1), 1);
		assert_int_equal(end_of(&mail.a[2]), rows[i].third);
		assert_int_equal(mail.a[2].again, rows[i].again);
		assert_false(mail.a[0].again || mail.a[1].again);
		assert_no_violation(&t);
		drop_mail(&mail);
		leave(&t);
	}
}

static void
test_too_many_at_once(void **state)
{
	struct talk t;
	struct mail mail;

	(void)state;
	/* Where nobody was accepted, asking again would be the same again. */
	try_script(&t, "rcpt reply \"452 4.5.3 too many\"\n", &mail);
	assert_all(&mail, LATER, SCOPE_RECIPIENT);
	assert_int_equal(count_said(&t, "RCPT"), 3);
	drop_mail(&mail);
	leave(&t);
	/* One in each transaction. */
	try_script(&t, "rcpt :2- reply \"452 4.5.3 too many\"\n", &mail);
	assert_int_equal(mail.a[0].outcome, DONE);
	assert_int_equal(mail.a[1].outcome, DONE);
	assert_true(mail.a[2].again);
	assert_int_equal(t.dialogue.crowd, 1);
	assert_no_violation(&t);
	drop_mail(&mail);
	leave(&t);
}

static void
test_mail_max(void **state)
{
	struct mail mails[4];
	struct talk t;

	(void)state;
	begin(&t, "offer PIPELINING \"LIMITS MAILMAX=2\"\n");
	write_mails(mails, 4);
	assert_int_equal(send_all(&t, mails, 4), 2);
	assert_true(dialogue_is_spent(&t.dialogue));
	assert_false(t.smtp.lost);
	assert_int_equal(count_said(&t, "MAIL FROM"), 2);
	assert_no_violation(&t);
	drop_mails(mails, 4);
	leave(&t);
}

/* ---- both ways at once ---- */

static void
test_no_deadlock(void **state)
{
	static const char *const offers[] = { "offer PIPELINING\n", WITH_CHUNKS, "offer SIZE\n" };
	const size_t n = 1000;
	struct recipient *to = calloc(n, sizeof *to);
	struct answer *answers = calloc(n, sizeof *answers);
	char *text = many_lines(50000);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		struct buf address = { 0 };

		buf_addf(&address, "a-rather-long-name-to-fill-buffers-with-%zu@example.org", i);
		to[i].address = address.p;
	}
	for (size_t i = 0; i < COUNT(offers); i++) {
		struct talk t;
		struct mail mail;
		struct buf script = { 0 };

		/* Replies of a length that no socket's buffer holds a thousand of. */
		buf_addf(&script, "%srcpt send \"250 ", offers[i]);
		for (size_t k = 0; k < 1800; k++)
			buf_addc(&script, 'x');
		buf_adds(&script, "\\r\\n\"\n");
		begin(&t, buf_c(&script));
		write_mail(&mail, text);
		post(&t, &mail);
		mail.m.to = to;
		mail.m.n = n;
		mail.m.answers = answers;
		assert_ptr_equal(dialogue_go_on(&t.dialogue), &mail.m);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(answers[k].outcome, DONE);
		assert_arrived(&t, 1, text);
		assert_no_violation(&t);
		drop_mail(&mail);
		leave(&t);
		buf_free(&script);
	}
	for (size_t i = 0; i < n; i++)
		free(to[i].address);
	free(to);
	free(answers);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		ROW("E-05: with more to send there is one wait a message", test_steady_state),
		ROW("E-13: a small message is one group from MAIL to its last octet", test_cold),
		ROW("S-25, S-27, E-06, E-07: one refusal touches no other message", test_refusals),
		ROW("S-18, S-19: an end of the connection blames nobody who was served", test_ends),
		ROW("E-06: an answer too many makes nothing sent and nothing refused", test_steps),
		ROW("E-13: a yes to BDAT counts when nothing else can have been meant", test_proof),
		ROW("E-10, E-12: chunks have exactly the octets that they say, and no stuffed dots", test_chunks),
		ROW("E-11: behind a refused chunk comes no other", test_refused_chunk),
		ROW("E-10: a damaged text has no LAST", test_damaged_chunk),
		ROW("E-10: BDAT that is offered and not known is done without", test_unknown_bdat),
		ROW("E-13: in a window each has its own answer, and no share in another's transaction", test_window),
		ROW("E-13: nothing follows the goodbye that proves a window", test_goodbye),
		ROW("E-13: so many are on the way as pipeline-depth says", test_window_size),
		ROW("E-13: after a surprise it is one at a time", test_surprise),
		ROW("S-27: nor behind one of which nothing is said", test_unsaid_in_window),
		ROW("E-13: a large message goes alone", test_large_in_window),
		ROW("L-08, L-09: those who were too many are to be asked for at once", test_too_many),
		ROW("L-08: but only while somebody is accepted", test_too_many_at_once),
		ROW("E-30: no more transactions than MAILMAX", test_mail_max),
		ROW("E-08: buffers that are full on both sides block nobody", test_no_deadlock),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
