#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "dots.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	struct str in;
	struct str out;
	size_t rest;            /* octets behind the end */
	bool ended;
};

#define ROW(in, out, rest, ended) { { in, sizeof(in) - 1 }, { out, sizeof(out) - 1 }, rest, ended }

static size_t
feed_cut(struct dots *d, struct str text, uint64_t cuts, struct buf *out)
{
	size_t from = 0, used = 0;

	for (size_t i = 1; i <= text.len; i++) {
		if (i < text.len && (cuts >> (i - 1) % 64 & 1) == 0)
			continue;
		used += dots_feed(d, str_from(text.p + from, i - from), out);
		from = i;
	}
	return used;
}

static void
check_rows(bool lf, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		for (uint64_t cuts = 0; cuts < 1u << (r->in.len < 12 ? r->in.len : 12); cuts++) {
			struct dots d = { .lf = lf };
			struct buf out = { 0 };
			size_t used = feed_cut(&d, r->in, cuts, &out);

			if (!str_eq(buf_str(&out), r->out) || d.ended != r->ended)
				print_error("row %zu: %s\n", i, buf_c(&out));
			assert_true(str_eq(buf_str(&out), r->out));
			assert_int_equal(d.ended, r->ended);
			assert_int_equal(used, r->in.len - r->rest);
			buf_free(&out);
		}
	}
}

static void
only_crlf_dot_crlf_ends_a_text_of_crlf_lines(void **state)
{
	static const struct row rows[] = {
		ROW("a\r\n.\r\nb", "a\r\n", 1, true), ROW(".\r\n", "", 0, true), ROW(".\r\n.\r\n", "", 3, true),
		ROW("a\r\r\n.\r\n", "a\r\r\n", 0, true), ROW("\r\n.\r\n", "\r\n", 0, true),
		ROW("a\n.\n", "a\n.\n", 0, false), ROW("a\n.\r\n", "a\n.\r\n", 0, false),
		ROW("a\r\n.\n", "a\r\n\n", 0, false), ROW("a\r.\r\n", "a\r.\r\n", 0, false),
		ROW("a\r\n.\r", "a\r\n", 0, false), ROW("a\r\n.\r\r\n", "a\r\n\r\r\n", 0, false),
		ROW("a.\r\n", "a.\r\n", 0, false), ROW("", "", 0, false), ROW("a\r\n", "a\r\n", 0, false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
}

static void
where_lines_may_end_in_lf_each_of_the_two_ends_a_text(void **state)
{
	static const struct row rows[] = {
		ROW("a\n.\nb", "a\n", 1, true), ROW("a\n.\r\nb", "a\n", 1, true), ROW("a\r\n.\nb", "a\r\n", 1, true),
		ROW(".\n", "", 0, true), ROW("a\r.\n", "a\r.\n", 0, false), ROW("a\n.\r.\n", "a\n\r.\n", 0, false),
		ROW("a.\n", "a.\n", 0, false),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
one_dot_goes_from_each_line_that_begins_with_one(void **state)
{
	static const struct row rows[] = {
		ROW("..\r\n", ".\r\n", 0, false), ROW("...\r\n..a\r\n", "..\r\n.a\r\n", 0, false),
		ROW(".a\r\n", "a\r\n", 0, false), ROW("a..\r\n", "a..\r\n", 0, false), ROW(". \r\n", " \r\n", 0, false),
		ROW("..\r\n.\r\n", ".\r\n", 0, true),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
	check_rows(true, rows, COUNT(rows));
}

static void
behind_a_bare_lf_no_line_of_crlf_begins(void **state)
{
	static const struct row rows[] = {
		ROW("a\n..\r\n", "a\n..\r\n", 0, false), ROW("\n.b\r\n", "\n.b\r\n", 0, false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
}

/* Every text of up to seven of these octets: the end is where "\r\n.\r\n" first is. */
static void
no_text_is_ended_by_anything_else(void **state)
{
	static const char octets[] = "\r\n.a";

	(void)state;
	for (unsigned long n = 0; n < 1ul << 14; n++) {
		char text[10] = "\r\n";
		struct dots d = { 0 };
		struct buf out = { 0 };
		const char *end;

		for (int i = 0; i < 7; i++)
			text[2 + i] = octets[n >> 2 * i & 3];
		end = strstr(text, "\r\n.\r\n");
		dots_feed(&d, str_from(text + 2, 7), &out);
		assert_int_equal(d.ended, end != NULL);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_dot_crlf_ends_a_text_of_crlf_lines),
		cmocka_unit_test(where_lines_may_end_in_lf_each_of_the_two_ends_a_text),
		cmocka_unit_test(one_dot_goes_from_each_line_that_begins_with_one),
		cmocka_unit_test(behind_a_bare_lf_no_line_of_crlf_begins),
		cmocka_unit_test(no_text_is_ended_by_anything_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
