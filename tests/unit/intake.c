#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "intake.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	struct str in;
	struct str out;
	bool ended;
};

#define ROW(in, out, ended) { { in, sizeof(in) - 1 }, { out, sizeof(out) - 1 }, ended }

/* Feeds text cut at each place that has its bit in cuts; bit 0 is behind the first octet. */
static void
feed_cut(struct intake *in, struct str text, uint64_t cuts, struct buf *out)
{
	size_t from = 0;

	for (size_t i = 1; i <= text.len; i++) {
		if (i < text.len && (cuts >> (i - 1) % 64 & 1) == 0)
			continue;
		intake_feed(in, str_from(text.p + from, i - from), out);
		from = i;
	}
	intake_end(in, out);
}

static void
check_rows(bool dots, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct intake in = { .dots = dots };
		struct buf out = { 0 };

		feed_cut(&in, rows[i].in, 0, &out);
		if (!str_eq(buf_str(&out), rows[i].out))
			print_error("row %zu: %s\n", i, buf_c(&out));
		assert_true(str_eq(buf_str(&out), rows[i].out));
		assert_int_equal(in.ended, rows[i].ended);
		buf_free(&out);
	}
}

static void
crlf_and_lf_give_the_same_text(void **state)
{
	static const struct row rows[] = {
		ROW("a\nb\n", "a\nb\n", false), ROW("a\r\nb\r\n", "a\nb\n", false),
		ROW("a\r\n\r\nb", "a\n\nb", false), ROW("\r\n", "\n", false), ROW("", "", false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
	check_rows(true, rows, COUNT(rows));
}

static void
any_run_of_cr_before_lf_is_one_line_end(void **state)
{
	static const struct row rows[] = {
		ROW("a\r\r\nb\r\r\r\n", "a\nb\n", false), ROW("\r\r\n", "\n", false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
	check_rows(true, rows, COUNT(rows));
}

static void
a_cr_elsewhere_is_kept(void **state)
{
	static const struct row rows[] = {
		ROW("a\rb\n", "a\rb\n", false), ROW("a\r\rb", "a\r\rb", false), ROW("\ra", "\ra", false),
		ROW("a\r", "a\r", false), ROW("\r", "\r", false), ROW("a\n\r\rb", "a\n\r\rb", false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
	check_rows(true, rows, COUNT(rows));
}

static void
dots_are_text_unless_asked_for(void **state)
{
	static const struct row rows[] = {
		ROW(".\n", ".\n", false), ROW("..\n.\na\n", "..\n.\na\n", false), ROW(".", ".", false),
		ROW("a\n.\r\nb", "a\n.\nb", false),
	};

	(void)state;
	check_rows(false, rows, COUNT(rows));
}

static void
a_lone_dot_ends_the_text(void **state)
{
	static const struct row rows[] = {
		ROW("a\n.\nb\n", "a\n", true), ROW("a\r\n.\r\nb\r\n", "a\n", true),
		ROW("a\n.\r\r\nb", "a\n", true),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
a_lone_dot_ends_the_text_at_its_very_first_line(void **state)
{
	static const struct row rows[] = {
		ROW(".\nb\n", "", true), ROW(".\r\n", "", true), ROW(".\n.\n", "", true),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
a_lone_dot_ends_the_text_at_the_end_of_input(void **state)
{
	static const struct row rows[] = {
		ROW(".", "", true), ROW("a\n.", "a\n", true), ROW("a.", "a.", false),
		ROW(".\r", ".\r", false),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
a_leading_double_dot_stands_for_one(void **state)
{
	static const struct row rows[] = {
		ROW("..\n", ".\n", false), ROW("a\n..b\n", "a\n.b\n", false), ROW("...\n", "..\n", false),
		ROW("..", ".", false), ROW("a..\n", "a..\n", false), ROW("..\r\n.", ".\n", true),
		ROW("..\n..\n", ".\n.\n", false),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
other_dots_are_text(void **state)
{
	static const struct row rows[] = {
		ROW(".a\n", ".a\n", false), ROW("a\n. \n", "a\n. \n", false), ROW(" .\n", " .\n", false),
		ROW(".\ra\n", ".\ra\n", false), ROW(".\r.\n", ".\r.\n", false),
		ROW("\r.\n", "\r.\n", false), ROW("a\r.\n", "a\r.\n", false),
	};

	(void)state;
	check_rows(true, rows, COUNT(rows));
}

static void
nul_is_seen_wherever_it_stands(void **state)
{
	static const struct str with[] = {
		{ "\0", 1 }, { "a\0b", 3 }, { ".\0\n", 3 }, { "a\r\0", 3 }, { "a\n\0", 3 }, { "..\0", 3 },
	};
	static const struct str without[] = { { "", 0 }, { "a\n.b\r0", 6 } };

	(void)state;
	for (int dots = 0; dots < 2; dots++) {
		for (size_t i = 0; i < COUNT(with) + COUNT(without); i++) {
			bool nul = i < COUNT(with);
			struct intake in = { .dots = dots };
			struct buf out = { 0 };

			feed_cut(&in, nul ? with[i] : without[i - COUNT(with)], 0, &out);
			assert_int_equal(in.saw_nul, nul);
			buf_free(&out);
		}
	}
}

static void
what_follows_the_lone_dot_is_not_ours(void **state)
{
	struct intake in = { .dots = true };
	struct buf out = { 0 };

	(void)state;
	intake_feed(&in, str_from("a\n.\n\0b\n", 7), &out);
	intake_feed(&in, STR("more\n"), &out);
	intake_end(&in, &out);
	assert_true(in.ended);
	assert_false(in.saw_nul);
	assert_string_equal(buf_c(&out), "a\n");
	buf_free(&out);
}

/* Every text of up to six octets that line ends and dots are made of, in every
 * way to cut it. */
static void
no_cut_changes_the_text(void **state)
{
	static const char octets[] = { '\r', '\n', '.', 'a' };
	size_t texts = 1;

	(void)state;
	for (size_t len = 1; len <= 6; len++) {
		texts *= 4;
		for (size_t t = 0; t < 2 * texts; t++) {
			char text[6];
			struct intake whole = { .dots = t & 1 };
			struct buf want = { 0 }, got = { 0 };

			for (size_t i = 0; i < len; i++)
				text[i] = octets[(t / 2) >> 2 * i & 3];
			feed_cut(&whole, str_from(text, len), 0, &want);
			for (uint64_t cuts = 1; cuts < UINT64_C(1) << (len - 1); cuts++) {
				struct intake in = { .dots = t & 1 };

				buf_clear(&got);
				feed_cut(&in, str_from(text, len), cuts, &got);
				assert_true(str_eq(buf_str(&got), buf_str(&want)));
				assert_int_equal(in.ended, whole.ended);
			}
			buf_free(&want);
			buf_free(&got);
		}
	}
}

static void
no_cut_changes_a_whole_message(void **state)
{
	const struct str text =
	    STR("From: a@b\r\nTo: c@d\r\r\n\r\n..dot\n.x\r\n\r.\n a\rb\n.\r\nignored\r\n");
	struct intake whole = { .dots = true };
	struct buf want = { 0 }, got = { 0 };

	(void)state;
	feed_cut(&whole, text, 0, &want);
	assert_string_equal(buf_c(&want), "From: a@b\nTo: c@d\n\n.dot\n.x\n\r.\n a\rb\n");
	for (size_t a = 0; a <= text.len; a++) {
		for (size_t b = a; b <= text.len; b++) {
			struct intake in = { .dots = true };

			buf_clear(&got);
			intake_feed(&in, str_from(text.p, a), &got);
			intake_feed(&in, str_from(text.p + a, b - a), &got);
			intake_feed(&in, str_from(text.p + b, text.len - b), &got);
			intake_end(&in, &got);
			assert_true(str_eq(buf_str(&got), buf_str(&want)));
		}
	}
	buf_free(&want);
	buf_free(&got);
}

static void
what_is_held_back_is_bounded(void **state)
{
	struct intake in = { 0 };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < 3 * (size_t)INTAKE_CR_MAX; i++) {
		intake_feed(&in, STR("\r"), &out);
		assert_true(in.crs < INTAKE_CR_MAX);
	}
	intake_feed(&in, STR("a"), &out);
	assert_int_equal(out.len, 3 * (size_t)INTAKE_CR_MAX + 1);
	in = (struct intake){ .dots = true };
	for (size_t i = 0; i < INTAKE_CR_MAX; i++)
		intake_feed(&in, STR("\r"), &out);
	intake_feed(&in, STR(".\n"), &out);
	assert_false(in.ended);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crlf_and_lf_give_the_same_text),
		cmocka_unit_test(any_run_of_cr_before_lf_is_one_line_end),
		cmocka_unit_test(a_cr_elsewhere_is_kept),
		cmocka_unit_test(dots_are_text_unless_asked_for),
		cmocka_unit_test(a_lone_dot_ends_the_text),
		cmocka_unit_test(a_lone_dot_ends_the_text_at_its_very_first_line),
		cmocka_unit_test(a_lone_dot_ends_the_text_at_the_end_of_input),
		cmocka_unit_test(a_leading_double_dot_stands_for_one),
		cmocka_unit_test(other_dots_are_text),
		cmocka_unit_test(nul_is_seen_wherever_it_stands),
		cmocka_unit_test(what_follows_the_lone_dot_is_not_ours),
		cmocka_unit_test(no_cut_changes_the_text),
		cmocka_unit_test(no_cut_changes_a_whole_message),
		cmocka_unit_test(what_is_held_back_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
