/* buf: views that own nothing, buffers that know their length. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "buf.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
zero_is_an_empty_view_and_an_empty_buffer(void **state)
{
	struct str s = { 0 };
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(str_of(NULL).len, 0);
	assert_true(str_eq(s, str_of("")));
	assert_true(str_is(s, ""));
	assert_true(str_starts(s, ""));
	assert_false(str_has(s, 'x'));
	assert_int_equal(str_find(s, 'x'), 0);
	assert_int_equal(str_trim(s).len, 0);
	assert_int_equal(buf_str(&b).len, 0);
	assert_string_equal(buf_c(&b), "");
	buf_clear(&b);
	buf_cut(&b, 0);
	buf_addstr(&b, s);
	assert_string_equal(buf_c(&b), "");
	buf_free(&b);
}

static void
free_and_wipe_may_be_called_twice(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_free(&b);
	buf_wipe(&b);
	buf_adds(&b, "x");
	buf_free(&b);
	buf_free(&b);
	assert_null(b.p);
	buf_adds(&b, "x");
	buf_wipe(&b);
	buf_wipe(&b);
	assert_null(b.p);
	assert_int_equal(b.len, 0);
}

static void
a_nul_counts_like_any_octet(void **state)
{
	struct str a = STR("a\0b"), b = STR("a\0c");
	struct buf buf = { 0 };
	char *copy;

	(void)state;
	assert_int_equal(a.len, 3);
	assert_false(str_eq(a, b));
	assert_false(str_is(a, "a"));
	assert_true(str_has(a, '\0'));
	assert_int_equal(str_find(a, 'b'), 2);
	buf_addstr(&buf, a);
	buf_addc(&buf, '\0');
	assert_int_equal(buf.len, 4);
	assert_memory_equal(buf.p, "a\0b\0\0", 5);
	copy = mem_dup(a);
	assert_memory_equal(copy, "a\0b\0", 4);
	free(copy);
	buf_free(&buf);
}

static void
letters_are_compared_without_case_in_ascii_only(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "Plain", "pLAIN", true }, { "a-Z09", "A-z09", true }, { "", "", true },
		{ "[", "{", false }, { "@", "`", false }, { "a", "ab", false },
		{ "\xc4", "\xe4", false }, { "i", "\xc4\xb1", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(str_caseeq(str_of(rows[i].a), str_of(rows[i].b)), rows[i].equal);
		assert_int_equal(str_caseis(str_of(rows[i].a), rows[i].b), rows[i].equal);
	}
	assert_false(str_is(STR("Plain"), "plain"));
}

static void
a_prefix_is_as_long_as_it_is(void **state)
{
	(void)state;
	assert_true(str_starts(STR("subject"), "sub"));
	assert_true(str_starts(STR("sub"), "sub"));
	assert_false(str_starts(STR("su"), "sub"));
	assert_false(str_starts(STR("Sub"), "sub"));
	assert_true(str_casestarts(STR("SuBject"), "sUb"));
	assert_false(str_casestarts(STR("s"), "sub"));
}

static void
trim_takes_space_tab_cr_and_lf_and_nothing_else(void **state)
{
	static const struct {
		struct str in, out;
	} rows[] = {
		{ STR(" \t\r\n a b \r\n"), STR("a b") },
		{ STR("a"), STR("a") },
		{ STR(" \n"), STR("") },
		{ STR("\0 a\v"), STR("\0 a\v") },
		{ STR("\xc2\xa0 x"), STR("\xc2\xa0 x") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_true(str_eq(str_trim(rows[i].in), rows[i].out));
}

static void
words_are_cut_at_each_single_space(void **state)
{
	struct str rest = STR("to  <a@b> x");

	(void)state;
	assert_true(str_is(str_word(&rest), "to"));
	assert_true(str_is(str_word(&rest), ""));
	assert_true(str_is(str_word(&rest), "<a@b>"));
	assert_true(str_is(str_word(&rest), "x"));
	assert_int_equal(rest.len, 0);
	assert_true(str_is(str_word(&rest), ""));
}

static void
a_last_line_without_lf_counts_and_an_empty_end_does_not(void **state)
{
	struct str rest = STR("one\n\ntwo\r\nlast"), line, ended = STR("x\n");

	(void)state;
	assert_true(str_line(&rest, &line) && str_is(line, "one"));
	assert_true(str_line(&rest, &line) && str_is(line, ""));
	assert_true(str_line(&rest, &line) && str_is(line, "two\r"));
	assert_true(str_line(&rest, &line) && str_is(line, "last"));
	assert_false(str_line(&rest, &line));
	assert_true(str_line(&ended, &line) && str_is(line, "x"));
	assert_false(str_line(&ended, &line));
}

static void
the_last_lines_begin_where_a_line_does(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		const char *want;
	} rows[] = {
		{ "", 0, "" }, { "a\nb\n", 4, "a\nb\n" }, { "a\nb\n", 5, "a\nb\n" }, { "a\nb\n", 3, "b\n" },
		{ "a\nb\n", 2, "b\n" }, { "aa\nbb\ncc\n", 8, "bb\ncc\n" }, { "aa\nbb\ncc\n", 6, "bb\ncc\n" },
		{ "aa\nbb\ncc\n", 5, "cc\n" }, { "aa\nbb", 4, "bb" }, { "aa\nbb", 2, "bb" },
		/* A line too long by itself is not thrown away whole. */
		{ "aa\nbbbbbb", 3, "bbb" }, { "aaaaaa\n", 3, "aa\n" }, { "\n\n\n", 2, "\n\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct str got = str_last_lines(str_of(rows[i].text), rows[i].max);

		if (!str_is(got, rows[i].want))
			fail_msg("row %zu: \"%.*s\"", i, (int)got.len, got.p);
	}
}

static void
a_buffer_grows_by_any_step_and_stays_a_c_string(void **state)
{
	struct buf b = { 0 };
	size_t want = 0;

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		if (i % 3 == 0)
			buf_addc(&b, 'c');
		else if (i % 3 == 1)
			buf_add(&b, "0123456789", i % 11);
		else
			buf_addf(&b, "%zu,", i);
		want += i % 3 == 0 ? 1 : i % 3 == 1 ? i % 11 : i < 10 ? 2 : i < 100 ? 3 : i < 1000 ? 4 : 5;
		assert_int_equal(b.len, want);
		assert_true(b.len < b.cap);
		assert_int_equal(b.p[b.len], '\0');
	}
	assert_int_equal(strlen(b.p), b.len);
	buf_free(&b);
}

static void
what_was_reserved_is_not_allocated_again(void **state)
{
	struct buf b = { 0 };
	char *at;

	(void)state;
	buf_adds(&b, "ab");
	buf_reserve(&b, 1000);
	at = b.p;
	for (int i = 0; i < 1000; i++)
		buf_addc(&b, 'x');
	assert_ptr_equal(b.p, at);
	assert_int_equal(b.len, 1002);
	buf_free(&b);
}

static void
formatted_text_is_as_long_as_it_gets(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_addf(&b, "%s", "");
	assert_int_equal(b.len, 0);
	buf_addf(&b, "%d %s %05u", -7, "x", 42u);
	assert_string_equal(buf_c(&b), "-7 x 00042");
	buf_addf(&b, "%500s|", "y");
	assert_int_equal(b.len, 511);
	assert_int_equal(b.p[510], '|');
	buf_free(&b);
}

static void
what_is_cut_off_the_front_is_gone_and_the_rest_is_whole(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_adds(&b, "EHLO there");
	buf_cut(&b, 5);
	assert_string_equal(buf_c(&b), "there");
	buf_cut(&b, 0);
	assert_string_equal(buf_c(&b), "there");
	buf_cut(&b, 5);
	assert_string_equal(buf_c(&b), "");
	assert_int_equal(b.len, 0);
	buf_adds(&b, "x");
	assert_string_equal(buf_c(&b), "x");
	buf_free(&b);
}

static void
clear_keeps_the_memory_and_loses_the_text(void **state)
{
	struct buf b = { 0 };
	char *at;

	(void)state;
	buf_adds(&b, "text");
	at = b.p;
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_c(&b), "");
	assert_ptr_equal(b.p, at);
	buf_free(&b);
}

static void
fresh_memory_is_zeroed_and_never_null(void **state)
{
	unsigned char *p = mem_alloc(300);
	void *none = mem_alloc(0), *grown = mem_grow(NULL, 0, 8);

	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(p[i], 0);
	assert_non_null(none);
	assert_non_null(grown);
	free(p);
	free(none);
	free(grown);
}

/* Its room is seen by its memory: what was written there stays. */
static void
an_array_grows_by_one_and_keeps_what_is_in_it(void **state)
{
	size_t *v = NULL;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		v = mem_more(v, n, sizeof *v);
		v[n] = n;
	}
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(v[i], i);
	free(v);
	assert_null(mem_more(NULL, 3, sizeof *v));
}

static void
a_control_is_seen_anywhere_and_a_tab_is_none(void **state)
{
	static const struct {
		struct str s;
		bool has;
	} rows[] = {
		{ STR(""), false }, { STR("a b\tc~"), false }, { STR("\xc3\xa9\x80\xff"), false },
		{ STR("\na"), true }, { STR("a\r"), true }, { STR("a\0b"), true }, { STR("\x1f"), true },
		{ STR("a\x7f"), true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(str_has_control(rows[i].s), rows[i].has);
}

static void
add_too_much(void)
{
	struct buf b = { 0 };

	buf_adds(&b, "x");
	buf_reserve(&b, SIZE_MAX);
}

static void
add_one_too_many(void)
{
	struct buf b = { 0 };

	buf_reserve(&b, SIZE_MAX);
}

static void
multiply_too_much(void)
{
	free(mem_grow(NULL, SIZE_MAX / 2 + 1, 2));
}

static void
a_size_that_cannot_be_ends_the_process_with_75_and_a_word(void **state)
{
	static void (*const stories[])(void) = { add_too_much, add_one_too_many, multiply_too_much };

	(void)state;
	for (size_t i = 0; i < COUNT(stories); i++) {
		char said[200] = "";
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			dup2(fds[1], STDERR_FILENO);
			stories[i]();
			_exit(0);
		}
		close(fds[1]);
		assert_true(read(fds[0], said, sizeof said - 1) > 0);
		close(fds[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), EX_TEMPFAIL);
		assert_non_null(strstr(said, "out of memory"));
	}
}

static void
what_is_skipped_is_gone_from_the_front(void **state)
{
	struct str s = STR("abc"), none = { 0 };

	(void)state;
	assert_true(str_is(str_skip(s, 0), "abc"));
	assert_true(str_is(str_skip(s, 2), "c"));
	assert_int_equal(str_skip(s, 3).len, 0);
	assert_null(str_skip(none, 0).p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_an_empty_view_and_an_empty_buffer),
		cmocka_unit_test(what_is_skipped_is_gone_from_the_front),
		cmocka_unit_test(free_and_wipe_may_be_called_twice),
		cmocka_unit_test(a_nul_counts_like_any_octet),
		cmocka_unit_test(letters_are_compared_without_case_in_ascii_only),
		cmocka_unit_test(a_prefix_is_as_long_as_it_is),
		cmocka_unit_test(trim_takes_space_tab_cr_and_lf_and_nothing_else),
		cmocka_unit_test(words_are_cut_at_each_single_space),
		cmocka_unit_test(a_last_line_without_lf_counts_and_an_empty_end_does_not),
		cmocka_unit_test(the_last_lines_begin_where_a_line_does),
		cmocka_unit_test(a_buffer_grows_by_any_step_and_stays_a_c_string),
		cmocka_unit_test(what_was_reserved_is_not_allocated_again),
		cmocka_unit_test(formatted_text_is_as_long_as_it_gets),
		cmocka_unit_test(what_is_cut_off_the_front_is_gone_and_the_rest_is_whole),
		cmocka_unit_test(clear_keeps_the_memory_and_loses_the_text),
		cmocka_unit_test(fresh_memory_is_zeroed_and_never_null),
		cmocka_unit_test(an_array_grows_by_one_and_keeps_what_is_in_it),
		cmocka_unit_test(a_control_is_seen_anywhere_and_a_tab_is_none),
		cmocka_unit_test(a_size_that_cannot_be_ends_the_process_with_75_and_a_word),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
