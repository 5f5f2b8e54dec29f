#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"

/* A row: what the server sent, and what must have been understood of it. */
struct row {
	const char *name;
	struct str wire;
	enum reply_state state;
	int code;
	const char *status;
	const char *text;
	const char *broken;     /* a word that the reason has */
};

#define WHOLE(c, s, t) REPLY_WHOLE, c, s, t, NULL
#define BROKEN(word) REPLY_BROKEN, 0, "", NULL, word
#define MORE REPLY_MORE, 0, "", NULL, NULL

static const struct row rows[] = {
	{ "code, space, text", STR("250 ok\r\n"), WHOLE(250, "", "ok") },
	{ "code alone", STR("250\r\n"), WHOLE(250, "", "") },
	{ "code and space alone", STR("250 \r\n"), WHOLE(250, "", "") },
	{ "bare LF", STR("250 ok\n"), WHOLE(250, "", "ok") },
	{ "code alone, bare LF", STR("250\n"), WHOLE(250, "", "") },
	{ "octets over 127", STR("250 \xff\xfe\r\n"), WHOLE(250, "", "\xff\xfe") },
	{ "control octets", STR("550 \033[2J\x07\r\n"), WHOLE(550, "", "\033[2J\x07") },
	{ "CR inside the text", STR("550 a\rb\r\n"), WHOLE(550, "", "a\rb") },
	{ "lowest code", STR("200 a\r\n"), WHOLE(200, "", "a") },
	{ "highest code", STR("599 a\r\n"), WHOLE(599, "", "a") },
	{ "code 254", STR("254 4.7.1 Suppression\r\n"), WHOLE(254, "", "4.7.1 Suppression") },
	{ "code 432", STR("432 4.7.12 x\r\n"), WHOLE(432, "4.7.12", "4.7.12 x") },
	{ "code 525", STR("525 5.7.1 Unauthorized IP\r\n"), WHOLE(525, "5.7.1", "5.7.1 Unauthorized IP") },
	{ "code 354", STR("354 go ahead\r\n"), WHOLE(354, "", "go ahead") },
	{ "two lines", STR("250-a\r\n250 b\r\n"), WHOLE(250, "", "a\nb") },
	{ "last line without space", STR("250-a\r\n250\r\n"), WHOLE(250, "", "a\n") },
	{ "empty first line", STR("250-\r\n250-b\r\n250 c\r\n"), WHOLE(250, "", "\nb\nc") },
	{ "text that begins with a code", STR("250-250 a\r\n250 550 b\r\n"), WHOLE(250, "", "250 a\n550 b") },
	{ "status on each line", STR("550-5.1.1 no\r\n550 5.1.1 user\r\n"),
	    WHOLE(550, "5.1.1", "5.1.1 no\n5.1.1 user") },
	{ "status on the first line only", STR("550-5.1.1 no\r\n550 such user\r\n"),
	    WHOLE(550, "5.1.1", "5.1.1 no\nsuch user") },
	{ "statuses that differ", STR("550-5.1.1 a\r\n550 5.7.26 b\r\n"),
	    WHOLE(550, "5.7.26", "5.1.1 a\n5.7.26 b") },
	{ "status alone", STR("550 5.1.1\r\n"), WHOLE(550, "5.1.1", "5.1.1") },
	{ "longest status", STR("451 4.123.999 a\r\n"), WHOLE(451, "4.123.999", "4.123.999 a") },
	{ "status of another class", STR("550 4.2.2 full\r\n"), WHOLE(550, "", "4.2.2 full") },
	{ "success with a 5.1.1", STR("250 5.1.1 a\r\n"), WHOLE(250, "", "5.1.1 a") },
	{ "status of class 3", STR("354 3.0.0 a\r\n"), WHOLE(354, "", "3.0.0 a") },
	{ "a number too long", STR("550 5.1234.1 a\r\n"), WHOLE(550, "", "5.1234.1 a") },
	{ "a detail too long", STR("550 5.1.1234 a\r\n"), WHOLE(550, "", "5.1.1234 a") },
	{ "an address, no status", STR("250 2.0.0.1 greets you\r\n"), WHOLE(250, "", "2.0.0.1 greets you") },
	{ "a word, no status", STR("550 5.7.1x a\r\n"), WHOLE(550, "", "5.7.1x a") },
	{ "half a status", STR("550 5.7\r\n"), WHOLE(550, "", "5.7") },
	{ "half a status with a dot", STR("550 5.7.\r\n"), WHOLE(550, "", "5.7.") },

	{ "code 199", STR("199 a\r\n"), BROKEN("outside") },
	{ "code 600", STR("600 a\r\n"), BROKEN("outside") },
	{ "code 000", STR("000 a\r\n"), BROKEN("outside") },
	{ "many digits", STR("99999999999\r\n"), BROKEN("outside") },
	{ "four digits", STR("2500 ok\r\n"), BROKEN("three-digit") },
	{ "two digits and a letter", STR("25x ok\r\n"), BROKEN("three-digit") },
	{ "one digit", STR("2\r\n"), BROKEN("three-digit") },
	{ "two digits", STR("25\r\n"), BROKEN("three-digit") },
	{ "two digits, bare LF", STR("25\n"), BROKEN("three-digit") },
	{ "an empty line", STR("\r\n"), BROKEN("three-digit") },
	{ "a bare LF", STR("\n"), BROKEN("three-digit") },
	{ "words", STR("HTTP/1.1 400 Bad Request\r\n"), BROKEN("three-digit") },
	{ "a TLS alert", STR("\x15\x03\x03\x01\x02"), BROKEN("three-digit") },
	{ "a plus behind the code", STR("250+ok\r\n"), BROKEN("neither space") },
	{ "a tab behind the code", STR("250\tok\r\n"), BROKEN("neither space") },
	{ "two CR behind the code", STR("250\r\r\n"), BROKEN("ends no line") },
	{ "a CR that ends no line", STR("250\rok\r\n"), BROKEN("ends no line") },
	{ "mixed codes", STR("250-a\r\n550 b\r\n"), BROKEN("different codes") },
	{ "mixed codes in one class", STR("250-a\r\n251 b\r\n"), BROKEN("different codes") },
	{ "a line without code inside", STR("250-a\r\nb\r\n250 c\r\n"), BROKEN("three-digit") },
	{ "an empty line inside", STR("250-a\r\n\r\n250 c\r\n"), BROKEN("three-digit") },
	{ "NUL in the text", STR("250 a\0b\r\n"), BROKEN("NUL") },
	{ "NUL behind the code", STR("250\0\r\n"), BROKEN("NUL") },
	{ "NUL for a digit", STR("2\0" "0\r\n"), BROKEN("NUL") },

	{ "nothing", STR(""), MORE },
	{ "no line end", STR("250 ok"), MORE },
	{ "no LF", STR("250 ok\r"), MORE },
	{ "more announced", STR("250-ok\r\n"), MORE },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
check_row(const struct row *row, const struct reply *r, enum reply_state state)
{
	if (state != row->state)
		fail_msg("%s: state %d, not %d", row->name, (int)state, (int)row->state);
	if (state == REPLY_MORE)
		return;
	if (r->code != row->code || strcmp(r->status, row->status) != 0)
		fail_msg("%s: %d '%s'", row->name, r->code, r->status);
	if (state == REPLY_WHOLE && !str_is(buf_str(&r->text), row->text))
		fail_msg("%s: text '%s'", row->name, buf_c(&r->text));
	if (state == REPLY_BROKEN && (r->broken == NULL || strstr(r->broken, row->broken) == NULL))
		fail_msg("%s: '%s'", row->name, r->broken != NULL ? r->broken : "(no reason)");
	if (state == REPLY_WHOLE && r->broken != NULL)
		fail_msg("%s: whole, and '%s'", row->name, r->broken);
}

/* Feeds what is left, then says how far it came. */
static enum reply_state
feed(struct reply *r, struct str in, size_t *total)
{
	size_t used;
	enum reply_state state = reply_feed(r, in, &used);

	assert_true(used <= in.len);
	*total += used;
	return state;
}

static struct str
part(struct str s, size_t from, size_t to)
{
	return str_from(s.p + from, to - from);
}

static void
every_reply_of_the_corpus_is_understood_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reply r = { 0 };
		size_t total = 0;

		check_row(&rows[i], &r, feed(&r, rows[i].wire, &total));
		if (rows[i].state != REPLY_BROKEN)
			assert_int_equal(total, rows[i].wire.len);
		reply_free(&r);
	}
}

static void
two_pieces_give_the_same_reply_wherever_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str wire = rows[i].wire;

		for (size_t cut = 0; cut <= wire.len; cut++) {
			struct reply r = { 0 };
			size_t total = 0;
			enum reply_state s = feed(&r, part(wire, 0, cut), &total);

			if (s == REPLY_MORE)
				s = feed(&r, part(wire, cut, wire.len), &total);
			check_row(&rows[i], &r, s);
			reply_free(&r);
		}
	}
}

static void
single_octets_give_the_same_reply(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reply r = { 0 };
		enum reply_state s = REPLY_MORE;
		size_t total = 0;

		for (size_t at = 0; at < rows[i].wire.len && s == REPLY_MORE; at++)
			s = feed(&r, part(rows[i].wire, at, at + 1), &total);
		check_row(&rows[i], &r, s);
		reply_free(&r);
	}
}

static void
an_unfinished_reply_stays_unfinished_however_often_nothing_comes(void **state)
{
	struct reply r = { 0 };
	size_t used = 9;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("250-half"), &used), REPLY_MORE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reply_feed(&r, (struct str){ 0 }, &used), REPLY_MORE);
	assert_int_equal(used, 0);
	reply_free(&r);
}

static void
octets_behind_a_reply_are_left_for_the_next(void **state)
{
	struct str wire = STR("250-a\r\n250 b\r\n354 go\r\nrest");
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, wire, &used), REPLY_WHOLE);
	assert_int_equal(used, 14);
	assert_int_equal(r.code, 250);
	reply_reset(&r);
	assert_int_equal(reply_feed(&r, part(wire, used, wire.len), &used), REPLY_WHOLE);
	assert_int_equal(used, 8);
	assert_int_equal(r.code, 354);
	reply_free(&r);
}

static void
nothing_of_one_reply_shows_in_the_next(void **state)
{
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("550 5.1.1 no such user\r\n"), &used), REPLY_WHOLE);
	reply_reset(&r);
	assert_int_equal(r.code, 0);
	assert_string_equal(r.status, "");
	assert_int_equal(reply_feed(&r, STR("250\r\n"), &used), REPLY_WHOLE);
	assert_int_equal(r.code, 250);
	assert_string_equal(r.status, "");
	assert_int_equal(r.text.len, 0);
	reply_free(&r);
}

static void
a_broken_reply_stays_broken_until_it_is_reset(void **state)
{
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("hello\r\n"), &used), REPLY_BROKEN);
	assert_int_equal(reply_feed(&r, STR("250 ok\r\n"), &used), REPLY_BROKEN);
	assert_int_equal(used, 0);
	reply_reset(&r);
	assert_int_equal(reply_feed(&r, STR("250 ok\r\n"), &used), REPLY_WHOLE);
	reply_free(&r);
}

static void
garbage_is_broken_at_its_first_octet_and_not_at_its_line_end(void **state)
{
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("S"), &used), REPLY_BROKEN);
	reply_free(&r);
}

static void
a_broken_reply_has_no_code_that_could_be_believed(void **state)
{
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("250-2.0.0 ok\r\n550 no\r\n"), &used), REPLY_BROKEN);
	assert_int_equal(r.code, 0);
	assert_int_equal(reply_class(&r), 0);
	assert_string_equal(r.status, "");
	reply_free(&r);
}

static void
a_line_over_the_limit_is_cut_and_not_refused(void **state)
{
	struct reply r = { 0 };
	struct buf wire = { 0 };
	size_t used;

	(void)state;
	buf_adds(&wire, "250 2.0.0 ");
	for (int i = 0; i < 3 * REPLY_LINE_MAX; i++)
		buf_addc(&wire, 'x');
	buf_adds(&wire, "\r\n");
	assert_int_equal(reply_feed(&r, buf_str(&wire), &used), REPLY_WHOLE);
	assert_int_equal(used, wire.len);
	assert_int_equal(r.text.len, REPLY_LINE_MAX - 4);
	assert_string_equal(r.status, "2.0.0");
	buf_free(&wire);
	reply_free(&r);
}

static void
a_line_of_the_limit_is_kept_whole(void **state)
{
	struct reply r = { 0 };
	struct buf wire = { 0 };
	size_t used;

	(void)state;
	buf_adds(&wire, "250 ");
	while (wire.len < REPLY_LINE_MAX - 1)
		buf_addc(&wire, 'x');
	buf_adds(&wire, "y\r\n");
	for (size_t i = 0; i + 1 < wire.len; i++)
		assert_int_equal(reply_feed(&r, part(buf_str(&wire), i, i + 1), &used), REPLY_MORE);
	assert_int_equal(reply_feed(&r, STR("\n"), &used), REPLY_WHOLE);
	assert_int_equal(r.text.len, REPLY_LINE_MAX - 4);
	assert_int_equal(r.text.p[r.text.len - 1], 'y');
	buf_free(&wire);
	reply_free(&r);
}

static void
an_endless_line_takes_no_memory(void **state)
{
	static const char flood[65536] = { [0 ... 65535] = 'x' };
	struct reply r = { 0 };
	size_t used;

	(void)state;
	assert_int_equal(reply_feed(&r, STR("250 "), &used), REPLY_MORE);
	for (int i = 0; i < 1024; i++)
		assert_int_equal(reply_feed(&r, str_from(flood, sizeof flood), &used), REPLY_MORE);
	assert_true(r.line.cap <= 4 * REPLY_LINE_MAX);
	reply_free(&r);
}

static void
a_nul_is_seen_also_where_the_line_is_cut_off(void **state)
{
	struct reply r = { 0 };
	struct buf wire = { 0 };
	size_t used;

	(void)state;
	buf_adds(&wire, "250 ");
	while (wire.len < 2 * REPLY_LINE_MAX)
		buf_addc(&wire, 'x');
	buf_add(&wire, "\0\r\n", 3);
	assert_int_equal(reply_feed(&r, buf_str(&wire), &used), REPLY_BROKEN);
	buf_free(&wire);
	reply_free(&r);
}

static enum reply_state
feed_lines(struct reply *r, int lines, const char *text)
{
	struct buf wire = { 0 };
	size_t used;
	enum reply_state s;

	for (int i = 1; i <= lines; i++)
		buf_addf(&wire, "250%c%s\r\n", i < lines ? '-' : ' ', text);
	s = reply_feed(r, buf_str(&wire), &used);
	buf_free(&wire);
	return s;
}

static void
as_many_lines_as_the_limit_are_one_reply(void **state)
{
	struct reply r = { 0 };

	(void)state;
	assert_int_equal(feed_lines(&r, REPLY_LINES_MAX, "X-CAPABILITY"), REPLY_WHOLE);
	assert_int_equal(r.text.len, REPLY_LINES_MAX * (sizeof "X-CAPABILITY") - 1);
	reply_free(&r);
}

static void
one_line_more_than_the_limit_is_broken(void **state)
{
	struct reply r = { 0 };

	(void)state;
	assert_int_equal(feed_lines(&r, REPLY_LINES_MAX + 1, "X-CAPABILITY"), REPLY_BROKEN);
	assert_non_null(strstr(r.broken, "too many lines"));
	reply_free(&r);
}

static void
the_text_of_a_whole_reply_is_bounded_and_its_end_still_found(void **state)
{
	struct reply r = { 0 };
	char *text = mem_alloc(2001);

	(void)state;
	memset(text, 'x', 2000);
	assert_int_equal(feed_lines(&r, 100, text), REPLY_WHOLE);
	assert_int_equal(r.text.len, REPLY_TEXT_MAX);
	assert_int_equal(r.code, 250);
	free(text);
	reply_free(&r);
}

/* The shape of real replies with every octet open to doubt, so that most
 * inputs get past the first digits. */
static void
any_input_at_all_gives_an_answer_and_the_same_in_pieces(void **state)
{
	static const char alphabet[] = "2225550001459-- \r\n\r\n\n.x\0\xff";
	unsigned seed = 20261125;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		struct reply a = { 0 }, b = { 0 };
		size_t ta = 0, tb = 0, len = 1 + (unsigned)rand_r(&seed) % 48;
		char wire[48];
		enum reply_state sa, sb = REPLY_MORE;

		for (size_t i = 0; i < len; i++)
			wire[i] = alphabet[(unsigned)rand_r(&seed) % (sizeof alphabet - 1)];
		if (round % 2 == 0 && len >= 4)
			memcpy(wire, round % 4 == 0 ? "250-" : "550 ", 4);
		sa = feed(&a, str_from(wire, len), &ta);
		for (size_t at = 0; at < len && sb == REPLY_MORE; at++)
			sb = feed(&b, str_from(wire + at, 1), &tb);
		assert_int_equal(sa, sb);
		assert_ptr_equal(a.broken, b.broken);
		assert_string_equal(a.status, b.status);
		assert_true(str_eq(buf_str(&a.text), buf_str(&b.text)));
		if (sa == REPLY_WHOLE) {
			assert_in_range(a.code, 200, 599);
			assert_int_equal(a.code, b.code);
			assert_int_equal(ta, tb);
		}
		reply_free(&a);
		reply_free(&b);
	}
}

static void
random_octets_never_crash_it(void **state)
{
	unsigned seed = 5321;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		struct reply r = { 0 };
		size_t total = 0, len = (unsigned)rand_r(&seed) % 32;
		char wire[32], shown[40];

		for (size_t i = 0; i < len; i++)
			wire[i] = (char)rand_r(&seed);
		feed(&r, str_from(wire, len), &total);
		reply_show(&r, shown, sizeof shown);
		reply_free(&r);
	}
}

static void
show(const char *wire, char *out, size_t size)
{
	struct reply r = { 0 };
	size_t used;

	reply_feed(&r, str_of(wire), &used);
	reply_show(&r, out, size);
	reply_free(&r);
}

static void
people_see_one_line_with_the_status_once(void **state)
{
	static const struct {
		const char *wire, *shown;
	} cases[] = {
		{ "250 2.1.0 Ok\r\n", "250 2.1.0 Ok" },
		{ "250\r\n", "250" },
		{ "550-5.1.1 The account\r\n550-5.1.1 does not exist.\r\n550 5.1.1 Sorry\r\n",
		    "550 5.1.1 The account does not exist. Sorry" },
		{ "550-5.1.1 a\r\n550 5.7.1 b\r\n", "550 5.7.1 5.1.1 a b" },
		{ "250-a\r\n250-\r\n250   b  \r\n", "250 a b" },
		{ "254 4.7.1 Suppression\r\n", "254 4.7.1 Suppression" },
		{ "hello\r\n", "answer does not begin with a three-digit code" },
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		show(cases[i].wire, out, sizeof out);
		assert_string_equal(out, cases[i].shown);
	}
}

static void
people_never_see_a_control_octet_of_the_server(void **state)
{
	char out[200];

	(void)state;
	show("550 \033]0;owned\007 a\rb \xc2\x9b \xe2\x80\xae \xff\r\n", out, sizeof out);
	assert_string_equal(out, "550 \\x1b]0;owned\\x07 a\\x0db \\u{9b} \\u{202e} \\xff");
}

static void
what_people_see_is_cut_to_its_place(void **state)
{
	char out[8];

	(void)state;
	memset(out, '#', sizeof out);
	show("250 a long text\r\n", out, sizeof out);
	assert_string_equal(out, "250 a l");
}

static void
free_may_be_called_twice_and_on_nothing(void **state)
{
	struct reply r = { 0 };
	size_t used;

	(void)state;
	reply_free(&r);
	reply_reset(&r);
	assert_int_equal(reply_feed(&r, STR("250 ok\r\n"), &used), REPLY_WHOLE);
	reply_free(&r);
	reply_free(&r);
	assert_int_equal(r.code, 0);
}

static void
what_is_to_be_hidden_is_hidden_wherever_it_stands(void **state)
{
	static const struct {
		struct str wire, word;
		const char *text;
	} hides[] = {
		{ STR("535 no: c2VjcmV0IQ== is wrong\r\n"), STR("c2VjcmV0IQ=="), "no: [hidden] is wrong" },
		{ STR("535 c2VjcmV0IQ==\r\n"), STR("c2VjcmV0IQ=="), "[hidden]" },
		{ STR("535-c2VjcmV0IQ==c2VjcmV0IQ==\r\n535 x c2VjcmV0IQ==\r\n"), STR("c2VjcmV0IQ=="),
		    "[hidden][hidden]\nx [hidden]" },
		{ STR("535 c2VjcmV0IQ=\r\n"), STR("c2VjcmV0IQ=="), "c2VjcmV0IQ=" },
		/* What is so short may be any word. */
		{ STR("535 wrong password\r\n"), STR("wrong"), "wrong password" },
		{ STR("535 wrong\r\n"), STR(""), "wrong" },
		{ STR("535\r\n"), STR("c2VjcmV0IQ=="), "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(hides); i++) {
		struct reply r = { 0 };
		size_t used;

		assert_int_equal(reply_feed(&r, hides[i].wire, &used), REPLY_WHOLE);
		reply_hide(&r, hides[i].word);
		assert_string_equal(buf_c(&r.text), hides[i].text);
		assert_int_equal(r.code, 535);
		reply_free(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		ROW("S-12, S-13, S-14, S-15, S-16, E-25: every reply of the corpus is understood as written", every_reply_of_the_corpus_is_understood_as_written),
		cmocka_unit_test(what_is_to_be_hidden_is_hidden_wherever_it_stands),
		cmocka_unit_test(two_pieces_give_the_same_reply_wherever_they_are_cut),
		cmocka_unit_test(single_octets_give_the_same_reply),
		cmocka_unit_test(an_unfinished_reply_stays_unfinished_however_often_nothing_comes),
		cmocka_unit_test(octets_behind_a_reply_are_left_for_the_next),
		cmocka_unit_test(nothing_of_one_reply_shows_in_the_next),
		cmocka_unit_test(a_broken_reply_stays_broken_until_it_is_reset),
		cmocka_unit_test(garbage_is_broken_at_its_first_octet_and_not_at_its_line_end),
		cmocka_unit_test(a_broken_reply_has_no_code_that_could_be_believed),
		ROW("S-17: a line over the limit is cut and not refused", a_line_over_the_limit_is_cut_and_not_refused),
		cmocka_unit_test(a_line_of_the_limit_is_kept_whole),
		cmocka_unit_test(an_endless_line_takes_no_memory),
		cmocka_unit_test(a_nul_is_seen_also_where_the_line_is_cut_off),
		ROW("S-17: as many lines as the limit are one reply", as_many_lines_as_the_limit_are_one_reply),
		cmocka_unit_test(one_line_more_than_the_limit_is_broken),
		cmocka_unit_test(the_text_of_a_whole_reply_is_bounded_and_its_end_still_found),
		cmocka_unit_test(any_input_at_all_gives_an_answer_and_the_same_in_pieces),
		cmocka_unit_test(random_octets_never_crash_it),
		cmocka_unit_test(people_see_one_line_with_the_status_once),
		cmocka_unit_test(people_never_see_a_control_octet_of_the_server),
		cmocka_unit_test(what_people_see_is_cut_to_its_place),
		cmocka_unit_test(free_may_be_called_twice_and_on_nothing),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
