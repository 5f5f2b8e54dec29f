#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "complete.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define FROM "From: me@example.org\n"
#define DATE "Date: Wed, 25 Nov 2026 04:06:30 +0100\n"
#define ID "Message-ID: <Q1W2@host.example.org>\n"
#define ALL FROM DATE ID

static const struct complete usual = {
	.domain = { "example.org", 11 },
	.from = { "me@example.org", 14 },
	.unique = { "Q1W2", 4 },
	.id_domain = { "host.example.org", 16 },
	.now = 1795575990,
	.offset = 3600,
};

static void
complete_with(const struct complete *c, struct str text, struct buf *out)
{
	struct header h = { 0 };
	size_t used;

	buf_clear(out);
	header_feed(&h, text, &used);
	header_end(&h);
	complete_header(&h, c, out);
	header_free(&h);
}

struct row {
	const char *in;
	const char *out;        /* without the empty line at its end */
};

static void
check_rows(const struct complete *c, const struct row *rows, size_t n)
{
	struct buf got = { 0 }, want = { 0 };

	for (size_t i = 0; i < n; i++) {
		complete_with(c, str_of(rows[i].in), &got);
		buf_clear(&want);
		buf_addf(&want, "%s\n", rows[i].out);
		assert_string_equal(buf_c(&got), buf_c(&want));
	}
	buf_free(&got);
	buf_free(&want);
}

#define CHECK(...) \
	do { \
		static const struct row rows[] = { __VA_ARGS__ }; \
		check_rows(&usual, rows, COUNT(rows)); \
	} while (0)

static void
what_is_missing_is_added_at_the_end(void **state)
{
	(void)state;
	CHECK({ "", ALL },
	    { "Subject: x\nTo: a@b\n", "Subject: x\nTo: a@b\n" ALL },
	    { "To: a@b\nDate: now\n", "To: a@b\nDate: now\n" FROM ID },
	    { "MESSAGE-ID: <x@y>\nfrom: a@b\n", "MESSAGE-ID: <x@y>\nfrom: a@b\n" DATE });
}

static void
what_is_there_passes_octet_by_octet_in_its_order(void **state)
{
	static const char whole[] = "Received: from x by y;\n\tdate\nDATE : Mon, 1 Jan 01 00:00 GMT (x)\n"
	    "fRoM:\tA  <a@b>\nmessage-id: <x@y>\nTo:a@b ,\n  c@d\nSubject:  J\xc3\xb6rg \xff \n \n x\n"
	    "DKIM-Signature: v=1; b=x\n  y\nX-Empty:\nX-Empty: \nReceived: z\n";

	(void)state;
	CHECK({ whole, whole });
}

static void
a_blank_needed_field_is_as_good_as_none(void **state)
{
	(void)state;
	CHECK({ "From:\nSubject:\nDate: \nMessage-ID:\n \n", "Subject:\n" ALL },
	    { "From: \nFrom: a@b\n", "From: a@b\n" DATE ID });
}

static void
a_missing_from_has_the_callers_name(void **state)
{
	static const struct {
		const char *name, *line;
	} rows[] = {
		{ "John Doe", "From: John Doe <me@example.org>\n" },
		{ "John Q. Public", "From: \"John Q. Public\" <me@example.org>\n" },
		{ "J\xc3\xb6rg", "From: =?utf-8?q?J=C3=B6rg?= <me@example.org>\n" },
		{ "\"x\"\nBcc: y@z", "From: \"\\\"x\\\"Bcc: y@z\" <me@example.org>\n" },
		{ "\r\n", FROM },
	};
	struct buf got = { 0 }, want = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct complete c = usual;

		c.full_name = str_of(rows[i].name);
		complete_with(&c, STR("Date: x\nMessage-ID: y\n"), &got);
		buf_clear(&want);
		buf_addf(&want, "Date: x\nMessage-ID: y\n%s\n", rows[i].line);
		assert_string_equal(buf_c(&got), buf_c(&want));
	}
	buf_free(&got);
	buf_free(&want);
}

static void
a_missing_from_without_domain_is_qualified(void **state)
{
	static const struct row rows[] = { { "", "From: root@example.org\n" DATE ID } };
	static const struct row none[] = { { "", DATE ID } };
	struct complete c = usual;

	(void)state;
	c.from = STR("root");
	check_rows(&c, rows, COUNT(rows));
	c.from = STR("");
	check_rows(&c, none, COUNT(none));
}

static void
bare_names_in_address_fields_get_the_domain(void **state)
{
	(void)state;
	CHECK({ "From: root\nTo: root\n" DATE ID, "From: root@example.org\nTo: root@example.org\n" DATE ID },
	    { "From: \"(Cron Daemon)\" <root>\n" DATE ID,
	      "From: \"(Cron Daemon)\" <root@example.org>\n" DATE ID },
	    { "From: root (Cron Daemon)\n" DATE ID, "From: root@example.org (Cron Daemon)\n" DATE ID },
	    { ALL "Sender: a\nReply-To : b\nCC: c,\n d\n",
	      ALL "Sender: a@example.org\nReply-To : b@example.org\nCC: c@example.org,\n d@example.org\n" },
	    { ALL "To:x:a, b@c,\"d e\" ; , f\n",
	      ALL "To:x:a@example.org, b@c,\"d e\"@example.org ; , f@example.org\n" });
}

static void
bare_names_in_resent_fields_get_the_domain_too(void **state)
{
	(void)state;
	CHECK({ "Resent-From: a\nResent-Sender: b\nResent-To: c\nResent-Cc: d\nResent-Date: x\n"
	    "Resent-Message-ID: y\n" ALL,
	    "Resent-From: a@example.org\nResent-Sender: b@example.org\nResent-To: c@example.org\n"
	    "Resent-Cc: d@example.org\nResent-Date: x\nResent-Message-ID: y\n" ALL });
}

static void
other_fields_are_never_qualified(void **state)
{
	(void)state;
	CHECK({ ALL "Subject: root\nX-To: root\nErrors-To: root\nList-Id: root\n",
	    ALL "Subject: root\nX-To: root\nErrors-To: root\nList-Id: root\n" });
}

static void
an_address_field_that_cannot_be_read_passes_untouched(void **state)
{
	(void)state;
	CHECK({ ALL "To: root, foo bar\nCc: (root\nReply-To: root;\n",
	    ALL "To: root, foo bar\nCc: (root\nReply-To: root;\n" });
}

static void
nothing_is_qualified_without_a_domain(void **state)
{
	static const struct row rows[] = { { ALL "To: root\n", ALL "To: root\n" } };
	struct complete c = usual;

	(void)state;
	c.domain = STR("");
	check_rows(&c, rows, COUNT(rows));
}

/* Thirty ways to write a blind copy; the canary must be in none of the results,
 * and everything else must be. */
static void
no_blind_copy_leaves_the_house(void **state)
{
	static const char *const rows[] = {
		"Bcc: canary@x\n", "bcc: canary@x\n", "BCC: canary@x\n", "bCc: canary@x\n",
		"Bcc:canary@x\n", "Bcc : canary@x\n", "Bcc\t: canary@x\n", "Bcc  \t :canary@x\n",
		"Bcc:\n canary@x\n", "Bcc:\n\tcanary@x\n", "Bcc: a@b,\n canary@x\n",
		"Bcc: a@b,\n \n canary@x\n", "Bcc: a@b\n ,c@d\n\t,canary@x\n", "Bcc: a@b\nBcc: canary@x\n",
		"Bcc: canary@x\nBcc: canary@x\nBcc: canary@x\n", "Bcc: a@b\nbcc:\n canary@x\nBCC : canary@x\n",
		"Bcc: \"canary, b\" <a@b>\n", "Bcc: x: canary@x;\n", "Bcc: (canary@x\n", "Bcc: canary\n",
		"Bcc: can not be read canary@x\n", "Bcc: <@canary:a@b>\n", "Bcc: =?utf-8?q?canary?= <a@b>\n",
		"Resent-Bcc: canary@x\n", "resent-bcc: canary@x\n", "RESENT-BCC : canary@x\n",
		"Resent-Bcc:\n canary@x\nResent-Bcc: canary@x\n", "Resent-Bcc: a@b\nBcc: canary@x\n",
		"Bcc: canary\xff@x\n", "Bcc:\rcanary@x\n",
	};
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	assert_int_equal(COUNT(rows), 30);
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int place = 0; place < 4; place++) {
			buf_clear(&text);
			if (place == 1 || place == 3)
				buf_adds(&text, "Xbcc: first\n folded\n");
			buf_adds(&text, rows[i]);
			if (place == 2 || place == 3)
				buf_adds(&text, "Bcc-X: last\n folded\n");
			if (place == 0)
				text.len--;     /* the last line has no end */
			complete_with(&usual, buf_str(&text), &got);
			if (strstr(buf_c(&got), "canary") != NULL)
				print_error("leaks: %s\n", rows[i]);
			assert_null(strstr(buf_c(&got), "canary"));
			assert_int_equal(strstr(buf_c(&got), "Xbcc: first\n folded\n") != NULL, place & 1);
			assert_int_equal(strstr(buf_c(&got), "Bcc-X: last\n folded\n") != NULL, place >= 2);
		}
	}
	buf_free(&text);
	buf_free(&got);
}

static void
a_blind_copy_goes_even_where_it_is_signed(void **state)
{
	(void)state;
	CHECK({ ALL "DKIM-Signature: h=bcc:resent-bcc; b=x\nBcc: canary@x\nResent-Bcc: canary@x\n",
	    ALL "DKIM-Signature: h=bcc:resent-bcc; b=x\n"
	    "Resent-From: me@example.org\nResent-Date: Wed, 25 Nov 2026 04:06:30 +0100\n"
	    "Resent-Message-ID: <Q1W2.resent@host.example.org>\n" });
}

static void
return_path_and_content_length_go(void **state)
{
	(void)state;
	CHECK({ "Return-Path: <x@y>\n" ALL "content-length : 12\nX: y\n", ALL "X: y\n" });
}

static void
of_what_may_stand_once_the_first_stays(void **state)
{
	(void)state;
	CHECK({ ALL "Subject: a\nSender: b@c\nReply-To: d@e\n" "Date: 2\nFROM : x@y\nmessage-id: <2>\n"
	    "SUBJECT: 2\nSender: x@y\nReply-To:\n x@y\nSubject: 3\n",
	    ALL "Subject: a\nSender: b@c\nReply-To: d@e\n" });
}

static void
other_fields_may_come_again(void **state)
{
	(void)state;
	CHECK({ ALL "To: a@b\nTo: c@d\nCc: e@f\nCc: e@f\nX: 1\nX: 1\nReceived: a\nReceived: a\n",
	    ALL "To: a@b\nTo: c@d\nCc: e@f\nCc: e@f\nX: 1\nX: 1\nReceived: a\nReceived: a\n" });
}

static void
signed_fields_pass_as_they_are(void **state)
{
	(void)state;
	CHECK({ ALL "To: root\nSubject: a\nSubject: b\n"
	    "DKIM-Signature: v=1; bh=x; h=from:\n To :subject; b=y\nCc: root\n",
	    ALL "To: root\nSubject: a\nSubject: b\n"
	    "DKIM-Signature: v=1; bh=x; h=from:\n To :subject; b=y\nCc: root@example.org\n" },
	    { ALL "Content-Length: 1\nReturn-Path: <a>\nDKIM-Signature: h = content-length:x\n"
	    "dkim-signature : a;h=return-path\n",
	    ALL "Content-Length: 1\nReturn-Path: <a>\nDKIM-Signature: h = content-length:x\n"
	    "dkim-signature : a;h=return-path\n" });
}

static void
a_signature_protects_only_what_it_names(void **state)
{
	(void)state;
	CHECK({ ALL "DKIM-Signature: v=1; bh=to; x=h=to; hh=to; h=tox:; b=y\nTo: root\n",
	    ALL "DKIM-Signature: v=1; bh=to; x=h=to; hh=to; h=tox:; b=y\nTo: root@example.org\n" },
	    { ALL "X-DKIM-Signature: h=to\nTo: root\n", ALL "X-DKIM-Signature: h=to\nTo: root@example.org\n" });
}

static void
several_authors_get_a_sender(void **state)
{
	(void)state;
	CHECK({ "From: a@b, c@d\n" DATE ID, "From: a@b, c@d\n" DATE ID "Sender: me@example.org\n" },
	    { "From: x: a@b, c@d;\n" DATE ID, "From: x: a@b, c@d;\n" DATE ID "Sender: me@example.org\n" },
	    { "Sender: z@z\nFrom: a@b, c@d\n" DATE ID, "Sender: z@z\nFrom: a@b, c@d\n" DATE ID },
	    { "From: x: a@b;\n" DATE ID, "From: x: a@b;\n" DATE ID },
	    { "From: \"a, b\" <c@d>\nFrom: a@b, c@d\n" DATE ID, "From: \"a, b\" <c@d>\n" DATE ID });
}

#define RESENT_FROM "Resent-From: me@example.org\n"
#define RESENT_DATE "Resent-Date: Wed, 25 Nov 2026 04:06:30 +0100\n"
#define RESENT_ID "Resent-Message-ID: <Q1W2.resent@host.example.org>\n"

static void
a_resent_block_is_completed_at_its_top(void **state)
{
	(void)state;
	CHECK({ "Resent-To: a@b\n" ALL, RESENT_FROM RESENT_DATE RESENT_ID "Resent-To: a@b\n" ALL },
	    { "X: y\nresent-from: q@r\nResent-To: a@b\n" ALL,
	      "X: y\n" RESENT_DATE RESENT_ID "resent-from: q@r\nResent-To: a@b\n" ALL },
	    { "Resent-Bcc: a@b\n" ALL, RESENT_FROM RESENT_DATE RESENT_ID ALL },
	    { RESENT_DATE RESENT_FROM RESENT_ID ALL, RESENT_DATE RESENT_FROM RESENT_ID ALL });
}

static void
only_the_first_resent_block_is_completed(void **state)
{
	(void)state;
	CHECK({ RESENT_DATE "Resent-To: a@b\nReceived: x\nResent-From: x@y\nResent-To: c@d\n" ALL,
	    RESENT_FROM RESENT_ID RESENT_DATE
	    "Resent-To: a@b\nReceived: x\nResent-From: x@y\nResent-To: c@d\n" ALL });
}

static void
a_resent_block_below_a_trace_field_is_history(void **state)
{
	(void)state;
	CHECK({ "Received: x\nResent-From: a@b\nResent-Date: y\n" ALL,
	    "Received: x\nResent-From: a@b\nResent-Date: y\n" ALL },
	    { "Return-Path: <x>\nResent-To: a@b\n" ALL, "Resent-To: a@b\n" ALL });
}

static void
received_comes_first_and_is_folded(void **state)
{
	static const struct row rows[] = { { ALL,
		"Received: by host.example.org (subpost, uid 1000 \"jane\") with a rather long\n"
		" explanation behind it; Wed, 25 Nov 2026 04:06:30 +0100\n" ALL } };
	struct complete c = usual;

	(void)state;
	c.received = STR("by host.example.org (subpost, uid 1000 \"jane\") with a rather long "
	    "explanation behind it; Wed, 25 Nov 2026 04:06:30 +0100");
	check_rows(&c, rows, COUNT(rows));
}

static void
nothing_given_can_end_a_generated_line(void **state)
{
	static const struct row rows[] = { { "",
		"Received: by xBcc: a@b ; date\nFrom: eve@xBcc: a@b\n" DATE "Message-ID: <Q1W2@hBcc: a@b>\n" } };
	struct complete c = usual;

	(void)state;
	c.received = str_from("by x\r\nBcc: a@b\t\0; date\n", 23);
	c.from = STR("eve@x\nBcc: a@b");
	c.id_domain = STR("h\r\nBcc: a@b");
	check_rows(&c, rows, COUNT(rows));
}

static void
generated_lines_have_78_octets_at_most_where_they_can(void **state)
{
	static const char *const names[] = {
		"one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
		"J\xc3\xb6rg \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
		"a name (of two parts) that has to be quoted and is just too long for it",
	};
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct complete c = usual;
		struct str rest, line;
		size_t lines = 0;

		c.full_name = str_of(names[i]);
		c.id_domain = STR("a-very-long-name-of-a-machine.in-a-department.of-some-company.example");
		c.received = c.full_name;
		complete_with(&c, STR(""), &got);
		for (rest = buf_str(&got); str_line(&rest, &line); lines++) {
			assert_true(line.len <= 78);
			assert_true(rest.len == 0 || str_trim(line).len > 0);
		}
		assert_true(lines > 6);
	}
	buf_free(&got);
}

static void
a_quoted_name_is_never_folded_inside_its_quotes(void **state)
{
	static const struct row rows[] = { { "Date: x\nMessage-ID: y\n", "Date: x\nMessage-ID: y\n"
		"From:\n \"a name (of parts) that has \\\" to be quoted and is just too long for it all\"\n"
		" <me@example.org>\n" } };
	struct complete c = usual;

	(void)state;
	c.full_name = STR("a name (of parts) that has \" to be quoted and is just too long for it all");
	check_rows(&c, rows, COUNT(rows));
}

static void
a_header_of_any_length_is_completed_in_no_time(void **state)
{
	static const char *const units[] = { "To: root\n", "Resent-To: a\n", "a:\n", "From: a, b\n",
		"DKIM-Signature: h=to:from:cc\n", "Bcc: a\n" };
	struct buf text = { 0 }, got = { 0 };
	clock_t start = clock();

	(void)state;
	for (size_t i = 0; i < COUNT(units); i++) {
		buf_clear(&text);
		while (text.len < HEADER_MAX - 100)
			buf_adds(&text, units[i]);
		complete_with(&usual, buf_str(&text), &got);
		/* Time that grows with the square would be minutes. */
		assert_true(clock() - start < 15 * CLOCKS_PER_SEC);
	}
	buf_free(&text);
	buf_free(&got);
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Whatever comes in: the result is a header, has what a message needs, has no
 * blind copy, and is its own completion. */
static void
random_headers_are_complete_afterwards(void **state)
{
	static const char *const pieces[] = { "To: ", "From:", "root", ",", "a@b", "\n", "\n ", "\nBcc: x",
		"\nbcc : y", "\nResent-To: r", "\nResent-From:", "\nDate:", "\nDKIM-Signature: h=to",
		"\nFrom: a", "(", "\"", "\nMessage-ID : ", "\nReceived: x", ":", "<", ">", " " };
	uint32_t seed = 1982;
	struct buf text = { 0 }, once = { 0 }, twice = { 0 };

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct header h = { 0 };
		size_t used;
		unsigned n = next_random(&seed) % 20;

		buf_clear(&text);
		while (n-- > 0)
			buf_adds(&text, pieces[next_random(&seed) % COUNT(pieces)]);
		complete_with(&usual, buf_str(&text), &once);
		header_feed(&h, buf_str(&once), &used);
		assert_true(h.over);
		assert_int_equal(used, once.len);
		assert_int_equal(header_rest(&h).len, 0);
		assert_non_null(header_find(&h, "From"));
		assert_non_null(header_find(&h, "Date"));
		assert_non_null(header_find(&h, "Message-ID"));
		assert_null(header_find(&h, "Bcc"));
		header_free(&h);
		complete_with(&usual, buf_str(&once), &twice);
		assert_string_equal(buf_c(&twice), buf_c(&once));
	}
	buf_free(&text);
	buf_free(&once);
	buf_free(&twice);
}

/* root is one, team are two, all else is nobody else. */
static bool
rewrite_some(void *arg, struct str name, struct buf *out)
{
	unsigned *calls = arg;

	(*calls)++;
	if (str_is(name, "root"))
		buf_adds(out, "admin@x.example");
	else if (str_is(name, "team"))
		buf_adds(out, "ann@x.example,\n bob@x.example");
	return out->len > 0;
}

static void
what_stands_for_a_name_is_shown_where_it_is_asked_for(void **state)
{
	static const struct row rows[] = {
		{ ALL "To: root\n", ALL "To: admin@x.example\n" },
		{ ALL "To: Root <root>\n", ALL "To: Root <admin@x.example>\n" },
		{ ALL "To: \"R, r\"\n < root (x) > (y)\n", ALL "To: \"R, r\"\n <admin@x.example> (y)\n" },
		{ ALL "To: <@r.example:root>\n", ALL "To: <admin@x.example>\n" },
		{ ALL "To: root (Root)\n", ALL "To: admin@x.example (Root)\n" },
		{ ALL "To: team\n", ALL "To: ann@x.example,\n bob@x.example\n" },
		{ ALL "To: The Team <team>, a@b\n", ALL "To: ann@x.example,\n bob@x.example, a@b\n" },
		{ ALL "To: x: team, root; , carl\n",
		  ALL "To: x: ann@x.example,\n bob@x.example, admin@x.example; , carl@example.org\n" },
		{ ALL "Cc: carl, root,\n dora\n", ALL "Cc: carl@example.org, admin@x.example,\n dora@example.org\n" },
		{ ALL "To: root@localhost, root@x\n", ALL "To: root@localhost, root@x\n" },
		{ ALL "Resent-From: a@b\nResent-Date: x\nResent-Message-ID: <y>\nResent-To: root\nResent-Cc: team\n",
		  ALL "Resent-From: a@b\nResent-Date: x\nResent-Message-ID: <y>\nResent-To: admin@x.example\n"
		  "Resent-Cc: ann@x.example,\n bob@x.example\n" },
		/* An author is not a recipient. */
		{ DATE ID "From: root\nReply-To: team\n", DATE ID "From: root@example.org\nReply-To: team@example.org\n" },
		/* What was signed is what was sent. */
		{ ALL "DKIM-Signature: h=to; b=\nTo: root\nCc: root\n",
		  ALL "DKIM-Signature: h=to; b=\nTo: root\nCc: admin@x.example\n" },
		{ ALL "To: root, <\n", ALL "To: root, <\n" },
	};
	unsigned calls = 0;
	struct complete c = usual;

	(void)state;
	c.rewrite = rewrite_some;
	c.arg = &calls;
	check_rows(&c, rows, COUNT(rows));
	assert_true(calls > 0);
	c.domain = STR("");
	calls = 0;
	check_rows(&c, rows, 7);
}

static bool
rewrite_to_many(void *arg, struct str name, struct buf *out)
{
	(void)arg, (void)name;
	buf_adds(out, "a@x");
	for (int i = 1; i < 100; i++)
		buf_addf(out, ",\n a%d@x.example", i);
	return true;
}

/* Half a million times a list of a hundred would be gigabytes. */
static void
what_stands_for_names_makes_no_giant_of_a_header(void **state)
{
	struct complete c = usual;
	struct buf text = { 0 }, out = { 0 };

	(void)state;
	c.rewrite = rewrite_to_many;
	buf_adds(&text, "To: list");
	while (text.len < HEADER_MAX - 10)
		buf_adds(&text, ",l");
	buf_addc(&text, '\n');
	complete_with(&c, buf_str(&text), &out);
	assert_true(out.len > HEADER_MAX);
	assert_true(out.len < 10 * HEADER_MAX);
	assert_non_null(strstr(buf_c(&out), ",l@example.org,l@example.org\n"));
	buf_free(&text);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_added_at_the_end),
		cmocka_unit_test(what_is_there_passes_octet_by_octet_in_its_order),
		cmocka_unit_test(a_blank_needed_field_is_as_good_as_none),
		cmocka_unit_test(a_missing_from_has_the_callers_name),
		cmocka_unit_test(a_missing_from_without_domain_is_qualified),
		cmocka_unit_test(bare_names_in_address_fields_get_the_domain),
		cmocka_unit_test(bare_names_in_resent_fields_get_the_domain_too),
		cmocka_unit_test(other_fields_are_never_qualified),
		cmocka_unit_test(an_address_field_that_cannot_be_read_passes_untouched),
		cmocka_unit_test(nothing_is_qualified_without_a_domain),
		cmocka_unit_test(no_blind_copy_leaves_the_house),
		cmocka_unit_test(a_blind_copy_goes_even_where_it_is_signed),
		cmocka_unit_test(return_path_and_content_length_go),
		cmocka_unit_test(of_what_may_stand_once_the_first_stays),
		cmocka_unit_test(other_fields_may_come_again),
		cmocka_unit_test(signed_fields_pass_as_they_are),
		cmocka_unit_test(a_signature_protects_only_what_it_names),
		cmocka_unit_test(several_authors_get_a_sender),
		cmocka_unit_test(a_resent_block_is_completed_at_its_top),
		cmocka_unit_test(only_the_first_resent_block_is_completed),
		cmocka_unit_test(a_resent_block_below_a_trace_field_is_history),
		cmocka_unit_test(received_comes_first_and_is_folded),
		cmocka_unit_test(nothing_given_can_end_a_generated_line),
		cmocka_unit_test(generated_lines_have_78_octets_at_most_where_they_can),
		cmocka_unit_test(a_quoted_name_is_never_folded_inside_its_quotes),
		cmocka_unit_test(what_stands_for_a_name_is_shown_where_it_is_asked_for),
		cmocka_unit_test(what_stands_for_names_makes_no_giant_of_a_header),
		cmocka_unit_test(a_header_of_any_length_is_completed_in_no_time),
		cmocka_unit_test(random_headers_are_complete_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
