/* adapt: what goes out is a text that no server can read in two ways. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "adapt.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	struct str in;
	struct str out;
};

#define ROW(in, out) { { in, sizeof(in) - 1 }, { out, sizeof(out) - 1 } }

static const char alphabet[] = { '\r', '\n', '.', 'a' };

/* Feeds text in pieces of the given size. */
static void
adapt_in_pieces(struct str text, size_t piece, struct buf *out)
{
	struct adapt a = { .terms.plain = true };

	for (size_t at = 0; at < text.len; at += piece)
		adapt_feed(&a, str_from(text.p + at, text.len - at < piece ? text.len - at : piece), out, &(struct why){ 0 });
	adapt_end(&a, out, &(struct why){ 0 });
}

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t piece = 1; piece <= rows[i].in.len + 1; piece++) {
			struct buf out = { 0 };

			adapt_in_pieces(rows[i].in, piece, &out);
			if (!str_eq(buf_str(&out), rows[i].out))
				print_error("row %zu, pieces of %zu\n", i, piece);
			assert_true(str_eq(buf_str(&out), rows[i].out));
			buf_free(&out);
		}
	}
}

/* What the header says in words, octet by octet, without dots doubled. */
static void
canonical(struct str text, struct buf *out)
{
	bool mid_line = false;

	for (size_t i = 0; i < text.len; i++) {
		bool ends = text.p[i] == '\n';

		if (text.p[i] == '\r' && i + 1 < text.len && text.p[i + 1] == '\n') {
			ends = true;
			i++;
		}
		if (ends)
			buf_adds(out, "\r\n");
		else
			buf_addc(out, text.p[i] == '\r' || text.p[i] == '\0' ? ' ' : text.p[i]);
		mid_line = !ends;
	}
	if (mid_line)
		buf_adds(out, "\r\n");
}

/* What a server takes away again (RFC 5321 section 4.5.2). */
static void
unstuff(struct str wire, struct buf *out)
{
	for (size_t i = 0; i < wire.len; i++) {
		bool starts_line = i == 0 || wire.p[i - 1] == '\n';

		if (!starts_line || wire.p[i] != '.')
			buf_addc(out, wire.p[i]);
	}
}

static void
check_wire(struct str text, struct str wire)
{
	struct buf want = { 0 }, got = { 0 };

	for (size_t i = 0; i < wire.len; i++) {
		if (wire.p[i] == '\r')
			assert_true(i + 1 < wire.len && wire.p[i + 1] == '\n');
		if (wire.p[i] == '\n')
			assert_true(i > 0 && wire.p[i - 1] == '\r');
	}
	assert_false(str_starts(wire, ".\r\n"));
	assert_null(wire.len > 0 ? memmem(wire.p, wire.len, "\r\n.\r\n", 5) : NULL);
	assert_true(wire.len == 0 || wire.p[wire.len - 1] == '\n');
	canonical(text, &want);
	unstuff(wire, &got);
	assert_true(str_eq(buf_str(&got), buf_str(&want)));
	buf_free(&want);
	buf_free(&got);
}

/* The number-th string of that length over the alphabet. */
static void
spell(unsigned number, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++, number /= COUNT(alphabet))
		out[i] = alphabet[number % COUNT(alphabet)];
}

static void
every_line_ends_in_crlf(void **state)
{
	static const struct row rows[] = {
		ROW("a\nb\n", "a\r\nb\r\n"), ROW("\n\n", "\r\n\r\n"), ROW("a\n\nb\n", "a\r\n\r\nb\r\n"),
		ROW("a\r\nb\r\n", "a\r\nb\r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_dot_that_begins_a_line_is_doubled(void **state)
{
	static const struct row rows[] = {
		ROW(".\n", "..\r\n"), ROW("a\n.\nb\n", "a\r\n..\r\nb\r\n"), ROW("..\n", "...\r\n"),
		ROW(".a\n.b\n", "..a\r\n..b\r\n"), ROW("\n.", "\r\n..\r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_dot_elsewhere_stays_as_it_is(void **state)
{
	static const struct row rows[] = {
		ROW("a.\n", "a.\r\n"), ROW(" .\n", " .\r\n"), ROW("a.b\n", "a.b\r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_cr_that_ends_no_line_becomes_a_space(void **state)
{
	static const struct row rows[] = {
		ROW("a\rb\n", "a b\r\n"), ROW("a\r\r\n", "a \r\n"), ROW("\r", " \r\n"),
		ROW("a\n\r.\r\n", "a\r\n .\r\n"), ROW("a\r.\rb", "a . b\r\n"), ROW("\r\r", "  \r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_nul_becomes_a_space(void **state)
{
	static const struct row rows[] = {
		ROW("a\0b\n", "a b\r\n"), ROW("\0\n", " \r\n"), ROW("\n\0.\n", "\r\n .\r\n"),
		ROW("\r\0\n", "  \r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
a_last_line_without_an_end_gets_one(void **state)
{
	static const struct row rows[] = {
		ROW("a", "a\r\n"), ROW("a\nb", "a\r\nb\r\n"), ROW(".", "..\r\n"), ROW("a\r", "a \r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
an_empty_text_stays_empty(void **state)
{
	static const struct row rows[] = { ROW("", "") };

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
octets_over_127_pass_untouched(void **state)
{
	static const struct row rows[] = {
		ROW("\xc3\xa4\xff\x80\n", "\xc3\xa4\xff\x80\r\n"), ROW("\x8d\x8a", "\x8d\x8a\r\n"),
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
nothing_can_be_smuggled_by_any_short_text_in_any_two_pieces(void **state)
{
	char text[6];
	unsigned tried = 0;

	(void)state;
	for (size_t len = 0; len <= sizeof text; len++) {
		for (unsigned number = 0; number < 1u << (2 * len); number++) {
			spell(number, len, text);
			for (size_t cut = 0; cut <= len; cut++) {
				struct adapt a = { .terms.plain = true };
				struct buf out = { 0 };

				adapt_feed(&a, str_from(text, cut), &out, &(struct why){ 0 });
				adapt_feed(&a, str_from(text + cut, len - cut), &out, &(struct why){ 0 });
				adapt_end(&a, &out, &(struct why){ 0 });
				check_wire(str_from(text, len), buf_str(&out));
				buf_free(&out);
			}
			tried++;
		}
	}
	assert_int_equal(tried, 5461);
}

static void
nothing_can_be_smuggled_across_the_boundary_of_a_piece(void **state)
{
	static const size_t pieces[] = { 1, 2, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 65537 };
	struct buf text = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		for (unsigned number = 0; number < 256; number++) {
			struct buf out = { 0 }, whole = { 0 };
			size_t before = pieces[i] > 2 ? pieces[i] - 2 : 0;
			char middle[4];

			buf_clear(&text);
			buf_reserve(&text, before + sizeof middle + 1);
			memset(text.p, 'x', before);
			text.len = before;
			spell(number, sizeof middle, middle);
			buf_add(&text, middle, sizeof middle);
			buf_addc(&text, 'z');
			adapt_in_pieces(buf_str(&text), pieces[i], &out);
			adapt_in_pieces(buf_str(&text), text.len, &whole);
			assert_true(str_eq(buf_str(&out), buf_str(&whole)));
			/* Octet by octet is dear: the long ones only around the boundary. */
			if (before > 8)
				check_wire(str_from(text.p + before - 8, text.len - before + 8),
				    str_from(out.p + before - 8, out.len - before + 8));
			else
				check_wire(buf_str(&text), buf_str(&out));
			buf_free(&out);
			buf_free(&whole);
		}
	}
	buf_free(&text);
}

static void
what_is_there_already_is_appended_to(void **state)
{
	struct adapt a = { .terms.plain = true };
	struct buf out = { 0 };

	(void)state;
	buf_adds(&out, "before\r");
	adapt_feed(&a, STR("a\rb"), &out, &(struct why){ 0 });
	adapt_end(&a, &out, &(struct why){ 0 });
	assert_string_equal(buf_c(&out), "before\ra b\r\n");
	buf_free(&out);
}

static void
after_its_end_it_is_ready_for_another_text(void **state)
{
	struct adapt a = { .terms.plain = true };
	struct buf out = { 0 };

	(void)state;
	adapt_feed(&a, STR("a\r"), &out, &(struct why){ 0 });
	adapt_end(&a, &out, &(struct why){ 0 });
	buf_clear(&out);
	adapt_feed(&a, STR(".\n"), &out, &(struct why){ 0 });
	adapt_end(&a, &out, &(struct why){ 0 });
	assert_string_equal(buf_c(&out), "..\r\n");
	buf_free(&out);
}

/* ---- what is not plain ------------------------------------------------------- */

#define O "\xc3\xb6"

static enum outcome
run(struct adapt *a, struct str text, size_t piece, struct buf *out, struct why *why)
{
	enum outcome o = DONE;

	for (size_t at = 0; at < text.len && o == DONE; at += piece)
		o = adapt_feed(a, str_from(text.p + at, text.len - at < piece ? text.len - at : piece), out, why);
	return o == DONE ? adapt_end(a, out, why) : o;
}

/* All looks; how many there were. */
static unsigned
look(struct adapt *a, struct str text, size_t piece)
{
	struct buf out = { 0 };
	struct why why = { 0 };
	unsigned looks = 0;

	do {
		assert_int_equal(run(a, text, piece, &out, &why), DONE);
		looks++;
	} while (!adapt_rewind(a));
	/* A look writes nothing. */
	assert_int_equal(out.len, 0);
	return looks;
}

struct message {
	struct adapt_terms terms;
	struct str in;
	const char *out;
	unsigned looks;
	size_t dots;
	bool eight_bit;
};

static void
check_messages(const struct message *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t piece = 1; piece <= v[i].in.len; piece += 1 + piece / 8) {
			struct adapt a = { .terms = v[i].terms };
			struct buf out = { 0 };

			assert_int_equal(look(&a, v[i].in, piece), v[i].looks);
			assert_int_equal(adapt_size(&a), strlen(v[i].out) - v[i].dots);
			assert_int_equal(adapt_is_eight_bit(&a), v[i].eight_bit);
			assert_int_equal(run(&a, v[i].in, piece, &out, &(struct why){ 0 }), DONE);
			assert_string_equal(buf_c(&out), v[i].out);
			assert_int_equal(adapt_size(&a), strlen(v[i].out) - v[i].dots);
			/* And as often as it is sent. */
			assert_true(adapt_rewind(&a));
			buf_clear(&out);
			assert_int_equal(run(&a, v[i].in, piece, &out, &(struct why){ 0 }), DONE);
			assert_string_equal(buf_c(&out), v[i].out);
			adapt_free(&a);
			buf_free(&out);
		}
	}
}

#define MIME "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "

static void
what_is_written_is_what_was_counted(void **state)
{
	static const struct message messages[] = {
		{ { .eight_bit = true }, STR("A: b\r\n\r\n.a\rb\0\n"), "A: b\r\n\r\n..a b \r\n", 1, 1, false },
		{ { .eight_bit = true }, STR("A: b\n\n." O), "A: b\r\n" MIME "8bit\r\n\r\n.." O "\r\n", 2, 1, true },
		{ { .eight_bit = false }, STR("\n.abcdefghijkl" O "\n.\n"), MIME "quoted-printable\r\n\r\n..abcdefghijkl=C3=B6\r\n..\r\n", 2, 2, false },
		{ { .no_dots = true }, STR("\n.abcdefghijkl" O "\n.\n"), MIME "quoted-printable\r\n\r\n.abcdefghijkl=C3=B6\r\n.\r\n", 2, 0, false },
		{ { .eight_bit = false }, STR("\n" O O O "\r"), MIME "base64\r\n\r\nw7bDtsO2DQ==\r\n", 2, 0, false },
		{ { .eight_bit = true }, STR("A: b"), "A: b\r\n", 1, 0, false },
		{ { .utf8_header = true }, STR("A: " O "\nMIME-Version: 1.0\n"), "A: " O "\r\nMIME-Version: 1.0\r\n", 1, 0, true },
	};

	(void)state;
	check_messages(messages, COUNT(messages));
}

static void
for_chunks_dots_are_not_doubled(void **state)
{
	struct adapt a = { .terms = { .plain = true, .no_dots = true } };
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(run(&a, STR(".\n..a\n"), 1, &out, &(struct why){ 0 }), DONE);
	assert_string_equal(buf_c(&out), ".\r\n..a\r\n");
	assert_int_equal(adapt_size(&a), out.len);
	adapt_free(&a);
	buf_free(&out);
}

static void
what_is_plain_needs_no_look(void **state)
{
	struct adapt a = { .terms.plain = true };
	struct buf out = { 0 };

	(void)state;
	assert_true(adapt_rewind(&a));
	adapt_feed(&a, STR("a\n.b\r"), &out, &(struct why){ 0 });
	/* To begin again in the middle forgets what came. */
	assert_true(adapt_rewind(&a));
	buf_clear(&out);
	assert_int_equal(run(&a, STR(".b\n"), 9, &out, &(struct why){ 0 }), DONE);
	assert_string_equal(buf_c(&out), "..b\r\n");
	assert_int_equal(adapt_size(&a), 4);
	assert_false(adapt_is_eight_bit(&a) || adapt_has_utf8_header(&a));
	adapt_free(&a);
	buf_free(&out);
}

static void
a_look_that_is_broken_off_has_seen_nothing(void **state)
{
	struct adapt a = { .terms.eight_bit = true };
	struct buf out = { 0 };

	(void)state;
	assert_int_equal(adapt_feed(&a, STR("A: b\n\n" O "\n"), &out, &(struct why){ 0 }), DONE);
	assert_false(adapt_rewind(&a));
	assert_int_equal(look(&a, STR("A: b\n\nc\n"), 3), 1);
	assert_int_equal(adapt_size(&a), 11);
	assert_false(adapt_is_eight_bit(&a));
	adapt_free(&a);
	adapt_free(&a);
	buf_free(&out);
}

static void
what_cannot_go_is_told_by_the_look(void **state)
{
	static const struct {
		struct adapt_terms terms;
		const char *in, *status;
	} rows[] = {
		{ { .eight_bit = false }, "DKIM-Signature: x\n\n" O "\n", "5.6.2" },
		{ { .eight_bit = true }, "From: " O "@x\n\n", "5.6.7" },
		{ { .eight_bit = true }, "From: a@" O ".example\n\n", "5.6.7" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct adapt a = { .terms = rows[i].terms };
		struct buf out = { 0 };
		struct why why = { 0 };

		assert_int_equal(run(&a, str_of(rows[i].in), 7, &out, &why), NEVER);
		assert_int_equal(why.scope, SCOPE_MESSAGE);
		assert_string_equal(why.status, rows[i].status);
		assert_int_equal(out.len, 0);
		adapt_free(&a);
		buf_free(&out);
	}
}

static void
utf8_in_a_header_is_told_from_a_body(void **state)
{
	struct adapt a = { .terms = { .eight_bit = true, .utf8_header = true } };

	(void)state;
	look(&a, STR("A: b\nMIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n" O "\n"), 99);
	assert_true(adapt_is_eight_bit(&a));
	assert_false(adapt_has_utf8_header(&a));
	adapt_free(&a);
	a.terms = (struct adapt_terms){ .eight_bit = true, .utf8_header = true };
	look(&a, STR("A: " O "\n\nb\n"), 99);
	assert_true(adapt_has_utf8_header(&a));
	adapt_free(&a);
	/* Octets that are no UTF-8 are no reason to ask for SMTPUTF8. */
	a.terms = (struct adapt_terms){ .eight_bit = true, .utf8_header = true };
	look(&a, STR("A: \xf6\n\nb\n"), 99);
	assert_false(adapt_has_utf8_header(&a) || adapt_is_eight_bit(&a));
	adapt_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_ends_in_crlf),
		{ "L-02: a dot that begins a line is doubled",
		    a_dot_that_begins_a_line_is_doubled, NULL, NULL, NULL },
		cmocka_unit_test(a_dot_elsewhere_stays_as_it_is),
		{ "L-01: a CR that ends no line becomes a space",
		    a_cr_that_ends_no_line_becomes_a_space, NULL, NULL, NULL },
		cmocka_unit_test(a_nul_becomes_a_space),
		{ "L-03: a last line without an end gets one",
		    a_last_line_without_an_end_gets_one, NULL, NULL, NULL },
		{ "L-03: an empty text stays empty",
		    an_empty_text_stays_empty, NULL, NULL, NULL },
		cmocka_unit_test(octets_over_127_pass_untouched),
		{ "L-01: nothing can be smuggled by any short text in any two pieces",
		    nothing_can_be_smuggled_by_any_short_text_in_any_two_pieces, NULL, NULL, NULL },
		{ "L-02: nothing can be smuggled across the boundary of a piece",
		    nothing_can_be_smuggled_across_the_boundary_of_a_piece, NULL, NULL, NULL },
		cmocka_unit_test(what_is_there_already_is_appended_to),
		cmocka_unit_test(after_its_end_it_is_ready_for_another_text),
		cmocka_unit_test(what_is_written_is_what_was_counted),
		cmocka_unit_test(for_chunks_dots_are_not_doubled),
		cmocka_unit_test(what_is_plain_needs_no_look),
		cmocka_unit_test(a_look_that_is_broken_off_has_seen_nothing),
		cmocka_unit_test(what_cannot_go_is_told_by_the_look),
		{ "E-18: UTF-8 in a header is told from UTF-8 in a body, and from what is no UTF-8",
		    utf8_in_a_header_is_told_from_a_body, NULL, NULL, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
