#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sysexits.h>

#include "header.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Reads text cut into three; answers the body in *body. */
static void
read_cut(struct header *h, struct str text, size_t a, size_t b, struct buf *body)
{
	const size_t ends[] = { a, b, text.len };
	size_t from = 0;

	buf_clear(body);
	for (size_t i = 0; i < COUNT(ends); i++) {
		struct str chunk = str_from(text.p + from, ends[i] - from);
		size_t used = 0;
		bool over = h->over;

		from = ends[i];
		header_feed(h, chunk, &used);
		if (h->over && !over)
			buf_addstr(body, header_rest(h));
		if (h->over)
			buf_add(body, chunk.p + used, chunk.len - used);
		else if (!h->too_long)
			assert_int_equal(used, chunk.len);
	}
	if (!h->over) {
		header_end(h);
		buf_addstr(body, header_rest(h));
	}
}

static void
read_all(struct header *h, const char *text)
{
	struct buf body = { 0 };

	read_cut(h, str_of(text), 0, 0, &body);
	assert_true(h->over);
	buf_free(&body);
}

struct split {
	const char *text;
	const char *raw;
	size_t fields;
	const char *body;
};

static void
check_splits(const struct split *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct header h = { 0 };
		struct buf body = { 0 };

		read_cut(&h, str_of(rows[i].text), 0, 0, &body);
		if (strcmp(buf_c(&h.raw), rows[i].raw) != 0 || strcmp(buf_c(&body), rows[i].body) != 0)
			print_error("text: %s\n", rows[i].text);
		assert_string_equal(buf_c(&h.raw), rows[i].raw);
		assert_string_equal(buf_c(&body), rows[i].body);
		assert_int_equal(h.n, rows[i].fields);
		assert_true(h.over);
		header_free(&h);
		header_free(&h);
		buf_free(&body);
	}
}

#define CHECK(...) \
	do { \
		static const struct split rows[] = { __VA_ARGS__ }; \
		check_splits(rows, COUNT(rows)); \
	} while (0)

static void
the_empty_line_parts_header_and_body(void **state)
{
	(void)state;
	CHECK({ "A: b\nC: d\n\nbody\n", "A: b\nC: d\n", 2, "body\n" },
	    { "A: b\n\n\n", "A: b\n", 1, "\n" },
	    { "A:\n\nB: c\n", "A:\n", 1, "B: c\n" });
}

static void
an_empty_first_line_is_an_empty_header(void **state)
{
	(void)state;
	CHECK({ "\nbody\n", "", 0, "body\n" }, { "\nTo: a@b\n", "", 0, "To: a@b\n" }, { "\n", "", 0, "" });
}

static void
a_text_without_a_header_is_all_body(void **state)
{
	(void)state;
	CHECK({ "hello world\nTo: a@b\n", "", 0, "hello world\nTo: a@b\n" },
	    { "hello\n", "", 0, "hello\n" },
	    { "hello", "", 0, "hello" },
	    { "hello world", "", 0, "hello world" },
	    { ": x\n", "", 0, ": x\n" },
	    { "A\x7f: b\n", "", 0, "A\x7f: b\n" },
	    { "J\xc3\xb6rg: x\n", "", 0, "J\xc3\xb6rg: x\n" },
	    { "", "", 0, "" });
}

static void
a_line_that_is_no_field_begins_the_text(void **state)
{
	(void)state;
	CHECK({ "A: b\nhello world\nC: d\n", "A: b\n", 1, "hello world\nC: d\n" },
	    { "A: b\nhello\n", "A: b\n", 1, "hello\n" },
	    { "A: b\nhello", "A: b\n", 1, "hello" },
	    { "A: b\n<x>: y z\n:\n", "A: b\n<x>: y z\n", 2, ":\n" });
}

static void
folded_lines_belong_to_their_field(void **state)
{
	(void)state;
	CHECK({ "A: b\n c\n\td\nE: f\n\nx", "A: b\n c\n\td\nE: f\n", 2, "x" });
}

static void
a_line_of_blanks_behind_a_field_is_folding(void **state)
{
	(void)state;
	CHECK({ "A: b\n  \nC: d\n\nx", "A: b\n  \nC: d\n", 2, "x" });
}

static void
a_folded_line_with_no_field_before_it_is_body(void **state)
{
	(void)state;
	CHECK({ " A: b\nC: d\n", "", 0, " A: b\nC: d\n" }, { "\t\nA: b\n", "", 0, "\t\nA: b\n" },
	    { "From x\n A: b\n", "", 0, " A: b\n" });
}

static void
the_line_of_an_mbox_is_dropped(void **state)
{
	(void)state;
	CHECK({ "From a@b Mon Nov 25\nA: b\n\nx", "A: b\n", 1, "x" },
	    { ">From a@b Mon Nov 25\nA: b\n\nx", "A: b\n", 1, "x" },
	    { "From \nA: b\n\nx", "A: b\n", 1, "x" },
	    { "From a@b", "", 0, "" },
	    { "From ", "", 0, "" });
}

static void
from_is_dropped_at_the_first_line_only(void **state)
{
	(void)state;
	CHECK({ "A: b\nFrom a@b\nC: d\n", "A: b\n", 1, "From a@b\nC: d\n" },
	    { "From a@b\nFrom c@d\n", "", 0, "From c@d\n" },
	    { "\nFrom a@b\n", "", 0, "From a@b\n" });
}

static void
a_from_field_is_not_an_mbox_line(void **state)
{
	(void)state;
	CHECK({ "From: a@b\n\n", "From: a@b\n", 1, "" }, { "From : a@b\n\n", "From : a@b\n", 1, "" },
	    { "From  \t: a@b\n\n", "From  \t: a@b\n", 1, "" }, { "from a@b\n", "", 0, "from a@b\n" },
	    { "From\ta@b\n", "", 0, "From\ta@b\n" }, { "From\n", "", 0, "From\n" });
}

static void
a_last_line_without_its_end_is_judged_like_any_other(void **state)
{
	(void)state;
	CHECK({ "A: b", "A: b\n", 1, "" }, { "A: b\n c", "A: b\n c\n", 1, "" }, { "A:", "A:\n", 1, "" },
	    { "A: b\nC", "A: b\n", 1, "C" }, { "A: b\nC ", "A: b\n", 1, "C " },
	    { "A: b\n", "A: b\n", 1, "" }, { "A: b\n ", "A: b\n \n", 1, "" });
}

static void
names_and_bodies_are_told_apart(void **state)
{
	struct header h = { 0 };

	(void)state;
	read_all(&h, "A: b\nBcc \t:c\n d\nE-f!:\nG: h: i");
	assert_int_equal(h.n, 4);
	assert_true(str_is(field_name(&h, &h.v[0]), "A"));
	assert_true(str_is(field_body(&h, &h.v[0]), " b"));
	assert_true(str_is(field_name(&h, &h.v[1]), "Bcc"));
	assert_true(str_is(field_body(&h, &h.v[1]), "c\n d"));
	assert_true(str_is(field_name(&h, &h.v[2]), "E-f!"));
	assert_true(str_is(field_body(&h, &h.v[2]), ""));
	assert_true(str_is(field_body(&h, &h.v[3]), " h: i"));
	header_free(&h);
}

static void
fields_are_found_without_case_first_one_first(void **state)
{
	struct header h = { 0 };
	const struct field *f;

	(void)state;
	read_all(&h, "subject: one\nSUBJECT: two\nTo: a\n");
	f = header_find(&h, "Subject");
	assert_ptr_equal(f, &h.v[0]);
	assert_true(field_is(&h, &h.v[1], "Subject"));
	assert_false(field_is(&h, &h.v[2], "T"));
	assert_null(header_find(&h, "Subj"));
	header_free(&h);
}

/* One field of len octets in all, and the octets that a cut gives at a time. */
static bool
is_too_long(size_t len, size_t step)
{
	struct header h = { 0 };
	struct buf text = { 0 };
	size_t used = 0;
	bool too_long;

	buf_adds(&text, "A: b\nX:");
	while (text.len < len - 1)
		buf_addc(&text, 'x');
	buf_addc(&text, '\n');
	for (size_t i = 0; i < text.len; i += step)
		header_feed(&h, str_from(text.p + i, text.len - i < step ? text.len - i : step), &used);
	header_feed(&h, STR("\n"), &used);
	header_end(&h);
	too_long = h.too_long;
	assert_int_equal(h.over, !too_long);
	if (too_long) {
		header_feed(&h, STR("more"), &used);
		assert_int_equal(used, 0);
		assert_true(h.raw.len <= HEADER_MAX);
		assert_true(field_body(&h, &h.v[h.n - 1]).len <= HEADER_MAX);
	}
	buf_free(&text);
	header_free(&h);
	return too_long;
}

static void
a_header_has_its_limit_and_not_an_octet_more(void **state)
{
	static const size_t steps[] = { 4096, 65536, SIZE_MAX / 2 };

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++) {
		assert_false(is_too_long(HEADER_MAX, steps[i]));
		assert_true(is_too_long(HEADER_MAX + 1, steps[i]));
	}
}

/* However long, and with or without a colon at last. */
static void
a_name_longer_than_a_line_is_text(void **state)
{
	static const char octets[] = { 'x', ' ' };

	(void)state;
	for (size_t i = 0; i < COUNT(octets); i++) {
		struct header h = { 0 };
		struct buf text = { 0 };
		size_t used;

		buf_adds(&text, "A: b\nx");
		while (text.len < HEADER_MAX + 10)
			buf_addc(&text, octets[i]);
		buf_adds(&text, ": y\n\n");
		header_feed(&h, buf_str(&text), &used);
		assert_false(h.too_long);
		assert_true(h.over);
		assert_int_equal(h.n, 1);
		assert_int_equal(used, 5 + header_rest(&h).len);
		assert_memory_equal(header_rest(&h).p, text.p + 5, used - 5);
		header_free(&h);
		buf_free(&text);
	}
}

static void
no_cut_changes_header_or_body(void **state)
{
	static const char *const texts[] = {
		"From a@b\nFrom : c\n d\n \nTo:e\n\nbody\n", "A: b\nhello world\n", "hello\nA: b\n", "\nA: b",
		">From x\n:", "A : b\nC d: e\n", "A:b\n\n", " A: b\n", "From : a\nFrom b\n", "A: b\nC", "A: b\n c",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct str text = str_of(texts[i]);
		struct header whole = { 0 };
		struct buf want = { 0 }, got = { 0 };

		read_cut(&whole, text, 0, 0, &want);
		for (size_t a = 0; a <= text.len; a++) {
			for (size_t b = a; b <= text.len; b++) {
				struct header h = { 0 };

				read_cut(&h, text, a, b, &got);
				assert_string_equal(buf_c(&got), buf_c(&want));
				assert_string_equal(buf_c(&h.raw), buf_c(&whole.raw));
				assert_int_equal(h.n, whole.n);
				header_free(&h);
			}
		}
		header_free(&whole);
		buf_free(&want);
		buf_free(&got);
	}
}

struct row {
	const char *text;
	const char *out;        /* recipients between '|'; behind '!' parts of the refusal */
};

static void
check_recipients(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct header h = { 0 };
		struct address_list list = { 0 };
		struct why why = { 0 };
		struct buf got = { 0 };
		enum outcome o;

		read_all(&h, rows[i].text);
		o = header_recipients(&h, &list, &why);
		for (size_t k = 0; o == DONE && k < list.n; k++)
			buf_addf(&got, "%s%s", k > 0 ? "|" : "", buf_c(&list.v[k].spec));
		if (o != DONE)
			buf_addf(&got, "!%s", why.text);
		if (strcmp(buf_c(&got), rows[i].out) != 0)
			print_error("text: %s\n", rows[i].text);
		assert_string_equal(buf_c(&got), rows[i].out);
		if (o != DONE) {
			assert_int_equal(o, NEVER);
			assert_int_equal(why.exit, EX_DATAERR);
		}
		address_list_free(&list);
		header_free(&h);
		buf_free(&got);
	}
}

#define CHECK_RECIPIENTS(...) \
	do { \
		static const struct row rows[] = { __VA_ARGS__ }; \
		check_recipients(rows, COUNT(rows)); \
	} while (0)

static void
recipients_come_from_to_cc_and_bcc_in_order(void **state)
{
	(void)state;
	CHECK_RECIPIENTS({ "To: a@b\nCc: c@d, e\nBcc: f@g\n", "a@b|c@d|e|f@g" },
	    { "bcc : f@g\nFrom: x@y\nTO:a@b\nReply-To: z@z\n", "f@g|a@b" },
	    { "Apparently-To: a@b\n", "a@b" },
	    { "To: a@b\nTo: c@d\n", "a@b|c@d" },
	    { "Subject: x\n\nTo: a@b\n", "" },
	    { "To-Do: a@b\nX-To: c@d\n", "" });
}

static void
folded_recipients_are_read_whole(void **state)
{
	(void)state;
	CHECK_RECIPIENTS({ "To: a@b,\n\tc@d,\n \n e@f\n", "a@b|c@d|e@f" },
	    { "To:\n a@b\n", "a@b" }, { "To: \"x\n y\" <a@b>, \"q,\n r\"@s\n", "a@b|\"q, r\"@s" });
}

static void
groups_in_recipient_fields_are_flattened(void **state)
{
	(void)state;
	CHECK_RECIPIENTS({ "To: undisclosed-recipients:;\n", "" },
	    { "To: x: a@b, c@d;\nBcc: y:;, e@f\n", "a@b|c@d|e@f" }, { "To:\nCc: ,\n", "" });
}

static void
resent_recipients_stand_in_for_all_others(void **state)
{
	(void)state;
	CHECK_RECIPIENTS({ "Resent-To: r@s\nTo: a@b\nBcc: c@d\n", "r@s" },
	    { "To: a@b\nresent-cc: r@s\nRESENT-BCC : t@u\n", "r@s|t@u" },
	    { "Resent-From: r@s\nTo: a@b\n", "a@b" });
}

static void
only_the_first_resent_block_counts(void **state)
{
	(void)state;
	CHECK_RECIPIENTS(
	    { "Resent-From: n@n\nResent-To: new@x\nReceived: x\nResent-From: o@o\nResent-To: old@x\n", "new@x" },
	    { "Resent-To: new@x\nResent-From: n@n\nReturn-Path: <x>\nResent-To: old@x\n", "new@x" },
	    { "Resent-To: new@x\nSubject: s\nResent-Cc: old@x\n", "new@x" },
	    { "Resent-From: n@n\nReceived: x\nResent-To: old@x\nTo: a@b\n", "" });
}

static void
a_second_resent_from_begins_an_older_block(void **state)
{
	(void)state;
	CHECK_RECIPIENTS(
	    { "Resent-From: n@n\nResent-To: new@x\nResent-From: o@o\nResent-To: old@x\n", "new@x" },
	    { "Resent-Date: x\nResent-To: new@x\nResent-Date: y\nResent-Bcc: old@x\n", "new@x" },
	    { "Resent-To: a@x\nResent-From: n@n\nResent-Cc: b@x\nResent-To: c@x\n", "a@x|b@x|c@x" });
}

static void
an_unreadable_recipient_field_is_named_in_the_refusal(void **state)
{
	(void)state;
	CHECK_RECIPIENTS({ "To: a@b\nCc: foo bar\n", "!the message's Cc: field has what is not an address: "
	    "foo bar: a space is in it; put commas between addresses, quotes around a name with a comma" },
	    { "Bcc: a b\nTo: c@d\n", "!the message's Bcc: field has what is not an address: "
	    "a b: a space is in it; put commas between addresses, quotes around a name with a comma" },
	    { "Resent-bcc: <a@b\nTo: c@d\n", "!the message's Resent-bcc: field has what is not an address: "
	    "<a@b: its '<' is not closed; write the missing '>'" });
}

static void
the_first_resent_block_is_found_with_its_length(void **state)
{
	static const struct {
		const char *text;
		size_t first, n;
	} rows[] = {
		{ "To: a\n", 1, 0 }, { "", 0, 0 }, { "Resent-To: a\n", 0, 1 },
		{ "A: b\nResent-To: a\nResent-X: b\nC: d\nResent-Cc: e\n", 1, 2 },
		{ "Resent-Sender: a\nResent-Sender: b\n", 0, 1 },
		{ "Resent-Message-ID: a\nResent-Message-ID: b\n", 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct header h = { 0 };
		size_t first;

		read_all(&h, rows[i].text);
		assert_int_equal(header_resent(&h, &first), rows[i].n);
		assert_int_equal(first, rows[i].first);
		header_free(&h);
	}
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Whatever comes in: fields lie side by side in raw, each is what it says, and
 * header and body together are the input again. */
static void
random_octets_are_parted_without_loss(void **state)
{
	static const char *const pieces[] = { "a", ":", " ", "\n", "\nTo:", "Resent-To :", "\nBcc: x",
		"From ", "@", "\t", "\n ", "\xff", "b@c,", "\r" };
	uint32_t seed = 5322;
	struct buf text = { 0 }, body = { 0 }, again = { 0 };
	size_t fields = 0;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		struct header h = { 0 };
		struct address_list list = { 0 };
		struct why why;
		size_t len = next_random(&seed) % 40, a, at = 0;

		buf_clear(&text);
		if (round % 2 == 0)
			buf_adds(&text, "A: b");
		while (text.len < len) {
			if (round % 8 == 0)
				buf_addc(&text, (char)next_random(&seed));
			else
				buf_adds(&text, pieces[next_random(&seed) % COUNT(pieces)]);
		}
		if (round % 5 == 0)
			buf_adds(&text, "\nTo: x@y");
		if (str_starts(buf_str(&text), "From "))
			text.p[0] = 'f';        /* what an mbox line drops is lost */
		a = next_random(&seed) % (text.len + 1);
		read_cut(&h, buf_str(&text), a, a, &body);
		for (size_t i = 0; i < h.n; i++) {
			assert_int_equal(h.v[i].at, at);
			assert_true(h.v[i].name_len > 0 && h.raw.p[h.v[i].body_at - 1] == ':');
			at += h.v[i].len;
			assert_int_equal(h.raw.p[at - 1], '\n');
		}
		assert_int_equal(h.raw.len, at);
		buf_clear(&again);
		buf_addstr(&again, buf_str(&h.raw));
		/* Between them the empty line is gone, behind them an LF may be new. */
		if (again.len + body.len < text.len)
			buf_addc(&again, '\n');
		buf_addstr(&again, buf_str(&body));
		if (again.len > text.len)
			buf_addc(&text, '\n');
		assert_true(str_eq(buf_str(&again), buf_str(&text)));
		header_recipients(&h, &list, &why);
		fields += h.n;
		address_list_free(&list);
		header_free(&h);
	}
	assert_true(fields > 10000);
	buf_free(&text);
	buf_free(&body);
	buf_free(&again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_empty_line_parts_header_and_body),
		cmocka_unit_test(an_empty_first_line_is_an_empty_header),
		cmocka_unit_test(a_text_without_a_header_is_all_body),
		cmocka_unit_test(a_line_that_is_no_field_begins_the_text),
		cmocka_unit_test(folded_lines_belong_to_their_field),
		cmocka_unit_test(a_line_of_blanks_behind_a_field_is_folding),
		cmocka_unit_test(a_folded_line_with_no_field_before_it_is_body),
		cmocka_unit_test(the_line_of_an_mbox_is_dropped),
		cmocka_unit_test(from_is_dropped_at_the_first_line_only),
		cmocka_unit_test(a_from_field_is_not_an_mbox_line),
		cmocka_unit_test(a_last_line_without_its_end_is_judged_like_any_other),
		cmocka_unit_test(names_and_bodies_are_told_apart),
		cmocka_unit_test(fields_are_found_without_case_first_one_first),
		cmocka_unit_test(a_header_has_its_limit_and_not_an_octet_more),
		cmocka_unit_test(a_name_longer_than_a_line_is_text),
		cmocka_unit_test(no_cut_changes_header_or_body),
		cmocka_unit_test(recipients_come_from_to_cc_and_bcc_in_order),
		cmocka_unit_test(folded_recipients_are_read_whole),
		cmocka_unit_test(groups_in_recipient_fields_are_flattened),
		cmocka_unit_test(resent_recipients_stand_in_for_all_others),
		cmocka_unit_test(only_the_first_resent_block_counts),
		cmocka_unit_test(a_second_resent_from_begins_an_older_block),
		cmocka_unit_test(an_unreadable_recipient_field_is_named_in_the_refusal),
		cmocka_unit_test(the_first_resent_block_is_found_with_its_length),
		cmocka_unit_test(random_octets_are_parted_without_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
