/* trace: what is said reaches those who look on, bounded, masked, and nobody else. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "trace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID_A "0GT2C3D4E5F6AAAAAAAA"
#define ID_B "0GT2C3D4E5F6BBBBBBBB"

struct world {
	char root[64];
	struct spool s;
	struct trace t, opening;
	struct buf text;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-trace-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	w->s = (struct spool){ .queue = -1, .path = w->root };
	w->s.dir = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = w;
	return w->s.dir >= 0 ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	trace_free(&w->t);
	trace_free(&w->t);
	trace_free(&w->opening);
	buf_free(&w->text);
	close(w->s.dir);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- small hands ---- */

/* What a file has now. */
static const char *
text_of(struct world *w, const char *id)
{
	char name[64];

	snprintf(name, sizeof name, "trace/%s", id);
	buf_clear(&w->text);
	assert_int_equal(file_load(w->s.dir, name, &w->text, 1 << 20), 0);
	return buf_c(&w->text);
}

static bool
is_there(const struct world *w, const char *id)
{
	char name[64];
	struct stat st;

	snprintf(name, sizeof name, "trace/%s", id);
	return fstatat(w->s.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One whole reply. */
static void
hear(struct trace *t, const char *octets)
{
	struct reply r = { 0 };
	size_t used;

	assert_int_equal(reply_feed(&r, str_of(octets), &used), REPLY_WHOLE);
	trace_heard(t, &r);
	reply_free(&r);
}

/* ---- files ---- */

static void
a_file_is_its_owners_alone_and_gone_when_removed(void **state)
{
	struct world *w = *state;
	struct stat st;
	int fd = trace_make(&w->s, ID_A);

	assert_true(fd >= 0);
	assert_int_equal(fstatat(w->s.dir, "trace", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(trace_make(&w->s, ID_A), -1);
	assert_int_equal(errno, EEXIST);
	trace_remove(&w->s, ID_A);
	trace_remove(&w->s, ID_A);
	assert_false(is_there(w, ID_A));
	close(fd);
}

static void
nobody_looks_on_without_a_file(void **state)
{
	struct world *w = *state;
	int fd;

	assert_int_equal(trace_open(&w->s, ID_A), -1);
	trace_tell_all(&w->s, STR("down"));
	trace_sweep(&w->s);
	fd = trace_make(&w->s, ID_A);
	assert_int_equal(trace_open(&w->s, ID_B), -1);
	trace_remove(&w->s, ID_A);
	close(fd);
}

static void
a_file_whose_reader_has_gone_is_removed_by_whoever_finds_it(void **state)
{
	struct world *w = *state;
	int stays = trace_make(&w->s, ID_B), fd;

	close(trace_make(&w->s, ID_A));
	assert_int_equal(trace_open(&w->s, ID_A), -1);
	assert_false(is_there(w, ID_A));
	close(trace_make(&w->s, ID_A));
	trace_sweep(&w->s);
	assert_false(is_there(w, ID_A));
	close(trace_make(&w->s, ID_A));
	trace_tell_all(&w->s, STR("down"));
	assert_false(is_there(w, ID_A));
	assert_string_equal(text_of(w, ID_B), "--- down\n");
	fd = trace_open(&w->s, ID_B);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	close(fd);
	close(stays);
}

static void
what_is_no_plain_file_of_ours_is_not_written_to(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A), victim;

	victim = openat(w->s.dir, "victim", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && victim >= 0);
	assert_int_equal(file_lock(victim), 0);
	assert_int_equal(symlinkat("../victim", w->s.dir, "trace/" ID_B), 0);
	assert_int_equal(trace_open(&w->s, ID_B), -1);
	assert_false(is_there(w, ID_B));
	/* A second name, whose lock somebody has. */
	assert_int_equal(linkat(w->s.dir, "victim", w->s.dir, "trace/" ID_B, 0), 0);
	assert_int_equal(trace_open(&w->s, ID_B), -1);
	assert_int_equal(mkfifoat(w->s.dir, "trace/" ID_B, 0600), 0);
	trace_tell_all(&w->s, STR("down"));
	assert_int_equal(lseek(victim, 0, SEEK_END), 0);
	close(victim);
	close(fd);
}

/* ---- the conversation ---- */

static void
words_in_any_pieces_are_a_line_each(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A);

	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
	trace_said(&w->t, STR("MAIL FROM:<a@x.example>"));
	trace_said(&w->t, STR(" SIZE=7"));
	trace_said(&w->t, STR("\r\nRCPT TO:<b@x.example>\r\nRC"));
	trace_said(&w->t, STR("PT TO:<c@x.example>\r\n"));
	hear(&w->t, "250-mail.example\r\n250-SIZE 100\r\n250 AUTH PLAIN\r\n");
	hear(&w->t, "354\r\n");
	hear(&w->t, "334 PDEyMzRAeC5leGFtcGxlPg==\r\n");
	trace_note(&w->t, ">>> [%d octets of text]", 7);
	trace_free(&w->t);
	trace_said(&w->t, STR("RSET\r\n"));
	hear(&w->t, "250 ok\r\n");
	assert_string_equal(text_of(w, ID_A), ">>> MAIL FROM:<a@x.example> SIZE=7\n"
	    ">>> RCPT TO:<b@x.example>\n>>> RCPT TO:<c@x.example>\n"
	    "<<< 250-mail.example\n<<< 250-SIZE 100\n<<< 250 AUTH PLAIN\n<<< 354 \n"
	    "<<< 334 [hidden]\n>>> [7 octets of text]\n");
	close(fd);
}

static void
what_is_said_is_masked(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A);

	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
	hear(&w->t, "550 \033[31mred \xff\r\n");
	trace_note(&w->t, "--- a\nb");
	trace_tell_all(&w->s, STR("c\nd"));
	assert_string_equal(text_of(w, ID_A), "<<< 550 \\x1b[31mred \\xff\n--- a\\x0ab\n--- c\\x0ad\n");
	close(fd);
}

static void
how_the_connection_began_comes_first_and_once(void **state)
{
	struct world *w = *state;
	int a = trace_make(&w->s, ID_A), b = trace_make(&w->s, ID_B);

	w->opening.on = true;
	hear(&w->opening, "220 mail.example\r\n");
	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
	trace_said(&w->t, STR("one\r\n"));
	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), true);
	trace_said(&w->t, STR("two\r\n"));
	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_B), false);
	trace_said(&w->t, STR("three\r\n"));
	assert_string_equal(text_of(w, ID_A), "<<< 220 mail.example\n>>> one\n>>> two\n");
	assert_string_equal(text_of(w, ID_B), "<<< 220 mail.example\n>>> three\n");
	close(a);
	close(b);
}

static void
what_was_said_of_a_message_is_kept_with_how_the_connection_began(void **state)
{
	struct world *w = *state;
	struct trace other = { 0 };

	w->opening.on = true;
	hear(&w->opening, "220 mail.example\r\n");
	trace_begin(&w->t, &w->opening, -1, false);
	trace_begin(&other, &w->opening, -1, false);
	trace_said(&w->t, STR("MAIL FROM:<a@x.example>\r\n"));
	trace_said(&other, STR("MAIL FROM:<b@x.example>\r\n"));
	hear(&w->t, "550 no\r\n");
	assert_string_equal(buf_c(&w->t.kept),
	    "<<< 220 mail.example\n>>> MAIL FROM:<a@x.example>\n<<< 550 no\n");
	assert_string_equal(buf_c(&other.kept), "<<< 220 mail.example\n>>> MAIL FROM:<b@x.example>\n");
	trace_free(&other);
}

static void
of_a_long_dialogue_the_last_lines_are_kept(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A);
	const char *text;

	w->opening.on = true;
	for (int i = 0; i < 2000; i++)
		trace_note(&w->opening, "line %d", i);
	assert_true(w->opening.kept.len <= TRACE_KEPT_MAX && w->opening.kept.len > TRACE_KEPT_MAX - 20);
	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
	text = text_of(w, ID_A);
	assert_true(str_starts(str_of(text), "--- the beginning is not shown\nline "));
	assert_non_null(strstr(text, "\nline 1999\n"));
	close(fd);
}

static void
a_file_has_an_end_over_all_its_jobs(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A);
	const char *text;
	size_t len;

	for (int job = 0; job < 3; job++) {
		trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
		for (int i = 0; i < 2000; i++)
			trace_note(&w->t, "a line of some fifty octets, as they are mostly seen");
		trace_free(&w->t);
	}
	text = text_of(w, ID_A);
	len = strlen(text);
	assert_true(len <= TRACE_MAX && len > TRACE_MAX - 200);
	assert_string_equal(text + len - 32, "--- more was said than is shown\n");
	trace_tell_all(&w->s, STR("a word that would be beyond it, and is not worth more than others are, is it, "
	    "and that is longer than what can be left by the lines above, which are rather short ones, all of them"));
	assert_int_equal(strlen(text_of(w, ID_A)), len);
	close(fd);
}

static void
an_endless_line_is_cut(void **state)
{
	struct world *w = *state;
	int fd = trace_make(&w->s, ID_A);

	trace_begin(&w->t, &w->opening, trace_open(&w->s, ID_A), false);
	for (int i = 0; i < 100000; i++)
		trace_said(&w->t, STR("0123456789"));
	trace_said(&w->t, STR("\r\nnext\r\n"));
	assert_true(strlen(text_of(w, ID_A)) < 4200);
	assert_non_null(strstr(buf_c(&w->text), "9\n>>> next\n"));
	close(fd);
}

static void
a_file_that_cannot_be_written_is_no_trouble(void **state)
{
	struct world *w = *state;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	trace_begin(&w->t, &w->opening, fd, false);
	w->t.left = TRACE_MAX;
	trace_note(&w->t, "--- x");
	assert_int_equal(w->t.left, 0);
	trace_note(&w->t, "--- y");
}

static void
without_a_trace_nothing_is_written(void **state)
{
	(void)state;
	assert_false(trace_is_on(NULL));
	trace_said(NULL, STR("x\r\n"));
	trace_note(NULL, "x");
	hear(NULL, "250 x\r\n");
}

static void
add_heard(void *arg, struct str line)
{
	buf_addstr(arg, line);
	buf_addc(arg, '|');
}

/* The same lines, and at once; whether or not somebody looks at a message. */
static void
who_hears_each_line_hears_it_masked(void **state)
{
	struct buf heard = { 0 };
	struct trace t = { .tell = add_heard, .arg = &heard };
	struct reply r = { .code = 250 };

	(void)state;
	assert_true(trace_is_on(&t));
	buf_adds(&r.text, "one\ntwo\033[2J");
	trace_said(&t, STR("EHLO a"));
	assert_string_equal(buf_c(&heard), "");
	trace_said(&t, STR("b\r\n"));
	trace_heard(&t, &r);
	trace_note(&t, "--- %s", "done");
	assert_string_equal(buf_c(&heard), ">>> EHLO ab|<<< 250-one|<<< 250 two\\x1b[2J|--- done|");
	/* Nothing is kept of it. */
	assert_int_equal(t.kept.len, 0);
	buf_free(&r.text);
	buf_free(&heard);
	trace_free(&t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(a_file_is_its_owners_alone_and_gone_when_removed),
		TEST(nobody_looks_on_without_a_file),
		TEST(a_file_whose_reader_has_gone_is_removed_by_whoever_finds_it),
		TEST(what_is_no_plain_file_of_ours_is_not_written_to),
		TEST(words_in_any_pieces_are_a_line_each),
		cmocka_unit_test(who_hears_each_line_hears_it_masked),
		TEST(what_is_said_is_masked),
		TEST(how_the_connection_began_comes_first_and_once),
		TEST(what_was_said_of_a_message_is_kept_with_how_the_connection_began),
		TEST(of_a_long_dialogue_the_last_lines_are_kept),
		TEST(a_file_has_an_end_over_all_its_jobs),
		TEST(an_endless_line_is_cut),
		TEST(a_file_that_cannot_be_written_is_no_trouble),
		TEST(without_a_trace_nothing_is_written),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
