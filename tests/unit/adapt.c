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
	struct adapt a = { 0 };

	for (size_t at = 0; at < text.len; at += piece)
		adapt_feed(&a, str_from(text.p + at, text.len - at < piece ? text.len - at : piece), out);
	adapt_end(&a, out);
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
				struct adapt a = { 0 };
				struct buf out = { 0 };

				adapt_feed(&a, str_from(text, cut), &out);
				adapt_feed(&a, str_from(text + cut, len - cut), &out);
				adapt_end(&a, &out);
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
	struct adapt a = { 0 };
	struct buf out = { 0 };

	(void)state;
	buf_adds(&out, "before\r");
	adapt_feed(&a, STR("a\rb"), &out);
	adapt_end(&a, &out);
	assert_string_equal(buf_c(&out), "before\ra b\r\n");
	buf_free(&out);
}

static void
after_its_end_it_is_ready_for_another_text(void **state)
{
	struct adapt a = { 0 };
	struct buf out = { 0 };

	(void)state;
	adapt_feed(&a, STR("a\r"), &out);
	adapt_end(&a, &out);
	buf_clear(&out);
	adapt_feed(&a, STR(".\n"), &out);
	adapt_end(&a, &out);
	assert_string_equal(buf_c(&out), "..\r\n");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_ends_in_crlf),
		cmocka_unit_test(a_dot_that_begins_a_line_is_doubled),
		cmocka_unit_test(a_dot_elsewhere_stays_as_it_is),
		cmocka_unit_test(a_cr_that_ends_no_line_becomes_a_space),
		cmocka_unit_test(a_nul_becomes_a_space),
		cmocka_unit_test(a_last_line_without_an_end_gets_one),
		cmocka_unit_test(an_empty_text_stays_empty),
		cmocka_unit_test(octets_over_127_pass_untouched),
		cmocka_unit_test(nothing_can_be_smuggled_by_any_short_text_in_any_two_pieces),
		cmocka_unit_test(nothing_can_be_smuggled_across_the_boundary_of_a_piece),
		cmocka_unit_test(what_is_there_already_is_appended_to),
		cmocka_unit_test(after_its_end_it_is_ready_for_another_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
