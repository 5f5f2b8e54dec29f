/* force: what leaves is from the account, and says whom to answer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "force.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ACCOUNT "me@example.net"
#define OURS "From: " ACCOUNT "\n"
#define NAMED(name) "From: " name " <" ACCOUNT ">\n"

struct row {
	const char *in;
	const char *out;        /* without the empty line at its end */
};

static void
force_text(struct str text, struct buf *out)
{
	struct header h = { .limit = 4 * HEADER_MAX };
	size_t used;

	buf_clear(out);
	header_feed(&h, text, &used);
	header_end(&h);
	assert_true(h.over);
	force_header(&h, str_of(ACCOUNT), out);
	header_free(&h);
}

static void
check_rows(const struct row *rows, size_t n)
{
	struct buf got = { 0 }, want = { 0 };

	for (size_t i = 0; i < n; i++) {
		force_text(str_of(rows[i].in), &got);
		buf_clear(&want);
		buf_addf(&want, "%s\n", rows[i].out);
		assert_string_equal(buf_c(&got), buf_c(&want));
	}
	buf_free(&got);
	buf_free(&want);
}

static void
from_becomes_the_accounts_and_the_author_gets_the_answers(void **state)
{
	static const struct row rows[] = {
		{ "From: ann@example.org\n", OURS "Reply-To: ann@example.org\n" },
		{ "From: Ann <ann@example.org>\n", NAMED("Ann") "Reply-To: Ann <ann@example.org>\n" },
		{ "from:Ann <ann@example.org>\n", NAMED("Ann") "Reply-To:Ann <ann@example.org>\n" },
		{ "From : ann@example.org\n", OURS "Reply-To: ann@example.org\n" },
		/* cron's */
		{ "From: \"(Cron Daemon)\" <root@example.org>\n",
		    NAMED("\"(Cron Daemon)\"") "Reply-To: \"(Cron Daemon)\" <root@example.org>\n" },
		/* The last comment is the name where there is no other. */
		{ "From: ann@example.org (Ann Bee)\n",
		    NAMED("Ann Bee") "Reply-To: ann@example.org (Ann Bee)\n" },
		{ "From: (he) ann@example.org (Ann, \\\"x\\\")\n",
		    NAMED("\"Ann, \\\"x\\\"\"") "Reply-To: (he) ann@example.org (Ann, \\\"x\\\")\n" },
		{ "From: Ann\n\tBee\n <ann@example.org>\n",
		    NAMED("Ann Bee") "Reply-To: Ann\n\tBee\n <ann@example.org>\n" },
		{ "From:\n ann@example.org\n", OURS "Reply-To:\n ann@example.org\n" },
		/* Bare: what a signature had kept from being completed. */
		{ "From: root\n", OURS "Reply-To: root\n" },
		/* A domain has no case, a local part has. */
		{ "From: ME@example.net\n", OURS "Reply-To: ME@example.net\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
what_is_from_the_account_stays_as_it_is(void **state)
{
	static const struct row rows[] = {
		{ "From: me@example.net\n", "From: me@example.net\n" },
		{ "FROM:  Me  <me@EXAMPLE.net>\n", "FROM:  Me  <me@EXAMPLE.net>\n" },
		{ "From: \"M, e\"\n <me@example.net> (x)\n", "From: \"M, e\"\n <me@example.net> (x)\n" },
		{ "From: me@example.net\nReply-To:\nTo: x@y.z\n", "From: me@example.net\nReply-To:\nTo: x@y.z\n" },
		/* But it is the only one. */
		{ "From: me@example.net\nFrom: ann@example.org\n", "From: me@example.net\n" },
		{ "From: M <me@example.net>, Ann <ann@example.org>\n",
		    NAMED("M") "Reply-To: M <me@example.net>, Ann <ann@example.org>\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_reply_to_that_is_there_is_not_added_to(void **state)
{
	static const struct row rows[] = {
		{ "From: Ann <ann@example.org>\nReply-To: list@example.org\n",
		    NAMED("Ann") "Reply-To: list@example.org\n" },
		{ "REPLY-TO: list@example.org\nX: y\nFrom: ann@example.org\n",
		    "REPLY-TO: list@example.org\nX: y\n" OURS },
		/* Unreadable is not blank: somebody meant something by it. */
		{ "From: ann@example.org\nReply-To: <<\n", OURS "Reply-To: <<\n" },
		{ "From: ann@example.org\nReply-To: \n \nTo: x@y.z\n",
		    OURS "Reply-To: ann@example.org\nTo: x@y.z\n" },
		{ "From: ann@example.org\nReply-To:\nReply-To: b@example.org\n",
		    OURS "Reply-To:\nReply-To: b@example.org\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
several_authors_a_group_and_nonsense_find_their_way(void **state)
{
	static const struct row rows[] = {
		{ "From: ann@example.org, Ben <ben@example.org>\n",
		    NAMED("Ben") "Reply-To: ann@example.org, Ben <ben@example.org>\n" },
		{ "From: The Two: Ann <ann@example.org>, ben@example.org;\n",
		    NAMED("Ann") "Reply-To: The Two: Ann <ann@example.org>, ben@example.org;\n" },
		/* Nobody could be answered. */
		{ "From: Nobody:;\n", OURS },
		{ "From:\n", OURS },
		{ "From: \t\n \n", OURS },
		{ "From: Ann ann@example.org\n", OURS },
		{ "From: <ann@example.org\n", OURS },
		{ "From:\nFrom: Ann <ann@example.org>\n", NAMED("Ann") "Reply-To: Ann <ann@example.org>\n" },
		{ "From: a@example.org\nFrom: b@example.org\n", OURS "Reply-To: a@example.org\n" },
		{ "Subject: x\n", "Subject: x\n" OURS },
		{ "", OURS },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
names_keep_their_letters(void **state)
{
	static const struct row rows[] = {
		{ "From: J\xc3\xb6rg <j@example.org>\n",
		    NAMED("=?utf-8?q?J=C3=B6rg?=") "Reply-To: J\xc3\xb6rg <j@example.org>\n" },
		{ "From: =?utf-8?b?SsO2cmc=?= <j@example.org>\n",
		    NAMED("=?utf-8?b?SsO2cmc=?=") "Reply-To: =?utf-8?b?SsO2cmc=?= <j@example.org>\n" },
		{ "From: =?utf-8?q?J=C3=B6rg?=\n =?utf-8?q?_M?= <j@example.org>\n",
		    NAMED("=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?=")
		    "Reply-To: =?utf-8?q?J=C3=B6rg?=\n =?utf-8?q?_M?= <j@example.org>\n" },
		/* Not UTF-8: shown as far as it can be. */
		{ "From: J\xf6rg <j@example.org>\n",
		    NAMED("=?utf-8?q?J=EF=BF=BDrg?=") "Reply-To: J\xf6rg <j@example.org>\n" },
		{ "From: \"you@bank.example <x>\" <j@example.org>\n",
		    NAMED("\"you@bank.example <x>\"") "Reply-To: \"you@bank.example <x>\" <j@example.org>\n" },
		{ "From: Somebody Who Has A Long Name And A Longer Title In An Office <j@example.org>\n",
		    "From: Somebody Who Has A Long Name And A Longer Title In An Office\n <" ACCOUNT ">\n"
		    "Reply-To: Somebody Who Has A Long Name And A Longer Title In An Office <j@example.org>\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_sender_is_the_account_or_nobody(void **state)
{
	static const struct row rows[] = {
		{ "Sender: root@example.org\nFrom: ann@example.org\n", OURS "Reply-To: ann@example.org\n" },
		{ "Sender: Me <me@Example.net>\nFrom: a@example.org, b@example.org\n",
		    "Sender: Me <me@Example.net>\n" OURS "Reply-To: a@example.org, b@example.org\n" },
		{ "From: me@example.net\nSender: root@example.org\n", "From: me@example.net\n" },
		{ "From: me@example.net\nSender: what is this\n", "From: me@example.net\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
all_else_passes_octet_by_octet(void **state)
{
	static const struct row rows[] = {
		{ "Received: by x\n\twith y\nX-A:b\nFrom: ann@example.org\nSubject: =?x?\n  y \nTo:z@example.org\n",
		    "Received: by x\n\twith y\nX-A:b\n" OURS "Reply-To: ann@example.org\n"
		    "Subject: =?x?\n  y \nTo:z@example.org\n" },
		/* A resent block tells of another journey. */
		{ "Resent-From: ben@example.org\nResent-Sender: c@example.org\nResent-To: d@example.org\n"
		    "Resent-Reply-To: e@example.org\nFrom: ann@example.org\n",
		    "Resent-From: ben@example.org\nResent-Sender: c@example.org\nResent-To: d@example.org\n"
		    "Resent-Reply-To: e@example.org\n" OURS "Reply-To: ann@example.org\n" },
		{ "DKIM-Signature: v=1; h=from:reply-to; b=x\nFrom: ann@example.org\n",
		    "DKIM-Signature: v=1; h=from:reply-to; b=x\n" OURS "Reply-To: ann@example.org\n" },
		{ "From-Line: x\nX-From: y\nFrom: ann@example.org\n",
		    "From-Line: x\nX-From: y\n" OURS "Reply-To: ann@example.org\n" },
		{ "X: \xff\xfe\r \x01\nFrom: me@example.net\n", "X: \xff\xfe\r \x01\nFrom: me@example.net\n" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_header_of_a_mebibyte_and_more_is_taken(void **state)
{
	struct buf text = { 0 }, tail = { 0 }, want = { 0 }, got = { 0 };

	(void)state;
	/* One field as large as a header may be at the counter, and many small. */
	buf_adds(&tail, "X-Large:");
	while (tail.len < HEADER_MAX)
		buf_adds(&tail, " 0123456789 0123456789 0123456789 0123456789\n");
	for (int i = 0; tail.len < 2 * HEADER_MAX; i++)
		buf_addf(&tail, "X-%d: y\n", i);
	buf_adds(&text, "From: Ann <ann@example.org>\n");
	buf_addstr(&text, buf_str(&tail));
	buf_adds(&want, NAMED("Ann") "Reply-To: Ann <ann@example.org>\n");
	buf_addstr(&want, buf_str(&tail));
	buf_addc(&want, '\n');
	force_text(buf_str(&text), &got);
	assert_true(str_eq(buf_str(&got), buf_str(&want)));
	buf_free(&text);
	buf_free(&tail);
	buf_free(&want);
	buf_free(&got);
}

/* Whatever stands in From:, one From: comes out, and it is ours. */
static void
no_from_opens_another_field(void **state)
{
	static const char *const from[] = {
		"\"\r\" <a@b.c>", "\"a\x01\x02\" <a@b.c>", "\"\\\"\" <a@b.c>", "(\\)) a@b.c", "a <b@c.d> x <e@f.g>",
		"=?utf-8?q?a=0AFrom:_x?= <a@b.c>", "\x7f\x80\xff <a@b.c>", "@a,@b:c@d.e", "<@a:b@c.d>", "<>", "\\",
		"\"unclosed", "(unclosed", "a@[IPv6:::1]", ";", ":", ",,,", "a@b.c,", "\"\" <a@b.c>", "\" \" <a@b.c>",
	};
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		struct header h = { 0 };
		size_t used, n = 0;

		buf_clear(&text);
		buf_addf(&text, "From: %s\nX: y\n", from[i]);
		force_text(buf_str(&text), &got);
		header_feed(&h, buf_str(&got), &used);
		assert_true(h.over && used == got.len);
		for (size_t k = 0; k < h.n; k++)
			n += field_is(&h, &h.v[k], "From");
		assert_int_equal(n, 1);
		assert_true(h.n == 2 || (h.n == 3 && field_is(&h, &h.v[1], "Reply-To")));
		assert_non_null(strstr(got.p, ACCOUNT));
		header_free(&h);
	}
	buf_free(&text);
	buf_free(&got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_becomes_the_accounts_and_the_author_gets_the_answers),
		cmocka_unit_test(what_is_from_the_account_stays_as_it_is),
		cmocka_unit_test(a_reply_to_that_is_there_is_not_added_to),
		cmocka_unit_test(several_authors_a_group_and_nonsense_find_their_way),
		cmocka_unit_test(names_keep_their_letters),
		cmocka_unit_test(a_sender_is_the_account_or_nobody),
		cmocka_unit_test(all_else_passes_octet_by_octet),
		cmocka_unit_test(a_header_of_a_mebibyte_and_more_is_taken),
		cmocka_unit_test(no_from_opens_another_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
