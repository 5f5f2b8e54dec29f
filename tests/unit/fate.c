/* fate: what has happened to a message comes back as it was written down. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "envelope.h"
#include "fate.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct why some_why = { .scope = SCOPE_RECIPIENT, .code = 550, .status = "5.1.1",
	.text = "RCPT answered: 550 5.1.1 no such user" };

/* A file with these lines and the checksum that belongs to them. */
static enum outcome
read_lines(struct str lines, size_t n, struct fate *f, struct why *why)
{
	struct buf text = { 0 };
	enum outcome o;

	buf_addf(&text, "subpost-fate 1 crc=%08x\n", codec_crc32c(0, lines.p, lines.len));
	buf_addstr(&text, lines);
	fate_init(f, n);
	o = fate_read(buf_str(&text), f, why);
	buf_free(&text);
	return o;
}

static void
check_same(const struct fate *a, const struct fate *b)
{
	assert_int_equal(a->tries, b->tries);
	assert_true(a->next == b->next && a->renewed == b->renewed && a->held == b->held);
	assert_string_equal(a->hold_reason, b->hold_reason);
	assert_int_equal(a->last.scope, b->last.scope);
	assert_int_equal(a->last.code, b->last.code);
	assert_string_equal(a->last.status, b->last.status);
	assert_string_equal(a->last.text, b->last.text);
	assert_true(str_eq(str_of(a->said), str_of(b->said)));
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct fate_recipient *x = &a->to[i], *y = &b->to[i];

		assert_true(x->outcome == y->outcome && x->told == y->told && x->code == y->code);
		assert_string_equal(x->status, y->status);
		assert_true((x->text == NULL) == (y->text == NULL));
		if (x->text != NULL)
			assert_string_equal(x->text, y->text);
	}
}

static void
check_round_trip(const struct fate *f)
{
	struct buf text = { 0 }, again = { 0 };
	struct fate back;
	struct why why = { 0 };
	enum outcome o;

	fate_write(f, &text);
	fate_init(&back, f->n);
	o = fate_read(buf_str(&text), &back, &why);
	if (o != DONE)
		print_error("%s\n%s", why.text, buf_c(&text));
	assert_int_equal(o, DONE);
	check_same(f, &back);
	fate_write(&back, &again);
	assert_true(str_eq(buf_str(&text), buf_str(&again)));
	fate_free(&back);
	buf_free(&text);
	buf_free(&again);
}

static void
an_empty_fate_says_that_nothing_has_happened(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 3);
	assert_int_equal(fate_count(&f, LATER), 3);
	assert_false(fate_is_settled(&f) || f.held);
	assert_true(f.tries == 0 && f.next == 0 && f.renewed == 0);
	check_round_trip(&f);
	fate_free(&f);
	fate_free(&f);
}

static void
everything_comes_back(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 5);
	f.tries = UINT32_MAX;
	f.next = 4102444800;
	f.renewed = 1795576000;
	f.held = true;
	snprintf(f.hold_reason, sizeof f.hold_reason, "by root");
	f.last = (struct why){ .scope = SCOPE_ACCOUNT, .code = 454, .status = "4.7.0",
		.text = "the final dot answered: 454 4.7.0 slow down" };
	fate_note(&f, 0, DONE, &(struct why){ .code = 250, .text = "250 queued" });
	fate_note(&f, 1, NEVER, &some_why);
	fate_note(&f, 2, LATER, &(struct why){ .code = 450, .status = "4.2.0", .text = "later" });
	fate_note(&f, 4, NEVER, &some_why);
	f.to[4].told = true;
	fate_keep_dialogue(&f, STR(">>> MAIL FROM:<a@x>\n<<< 454 4.7.0 \\slow\\\n"));
	check_round_trip(&f);
	fate_free(&f);
}

static void
the_last_dialogue_is_kept_and_the_end_of_a_long_one(void **state)
{
	struct buf lines = { 0 };
	struct fate f;

	(void)state;
	fate_init(&f, 1);
	fate_keep_dialogue(&f, STR("<<< 421 first\n"));
	fate_keep_dialogue(&f, STR("<<< 421 second\n"));
	assert_string_equal(f.said, "<<< 421 second\n");
	check_round_trip(&f);
	while (lines.len <= FATE_SAID_MAX)
		buf_addf(&lines, "<<< 250-%zu\n", lines.len);
	buf_adds(&lines, "<<< 421 last\n");
	fate_keep_dialogue(&f, buf_str(&lines));
	assert_true(strlen(f.said) <= FATE_SAID_MAX && strlen(f.said) > FATE_SAID_MAX - 40);
	assert_memory_equal(f.said, "<<< 250-", 8);
	assert_string_equal(f.said + strlen(f.said) - 13, "<<< 421 last\n");
	check_round_trip(&f);
	fate_renew(&f, 99);
	assert_non_null(f.said);
	fate_keep_dialogue(&f, STR(""));
	assert_null(f.said);
	check_round_trip(&f);
	buf_free(&lines);
	fate_free(&f);
}

static void
a_hold_without_a_reason_comes_back(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 1);
	f.held = true;
	check_round_trip(&f);
	fate_free(&f);
}

static void
the_longest_words_come_back_whole(void **state)
{
	struct fate f;
	struct why why = some_why;

	(void)state;
	memset(why.text, '\\', sizeof why.text - 1);
	fate_init(&f, 1);
	fate_note(&f, 0, NEVER, &why);
	f.last = why;
	f.held = true;
	memset(f.hold_reason, '\\', sizeof f.hold_reason - 1);
	check_round_trip(&f);
	fate_free(&f);
}

static void
hostile_words_cannot_end_their_line(void **state)
{
	struct fate f;
	struct why why = some_why;
	struct buf text = { 0 };
	struct str rest, line;
	size_t lines = 0;

	(void)state;
	snprintf(why.text, sizeof why.text, "x\nto 1 done 250 - \r\nhold \x1b[2J\\x0a");
	fate_init(&f, 2);
	fate_note(&f, 0, NEVER, &why);
	check_round_trip(&f);
	fate_write(&f, &text);
	rest = buf_str(&text);
	while (str_line(&rest, &line))
		lines++;
	assert_int_equal(lines, 4);
	buf_free(&text);
	fate_free(&f);
}

static void
a_wrong_checksum_is_refused_wherever_the_damage_is(void **state)
{
	struct fate f;
	struct buf text = { 0 };

	(void)state;
	fate_init(&f, 2);
	fate_note(&f, 1, NEVER, &some_why);
	fate_write(&f, &text);
	for (size_t i = 0; i < text.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct fate back;
			struct why why = { 0 };

			text.p[i] = (char)(text.p[i] ^ (1 << bit));
			fate_init(&back, 2);
			assert_int_equal(fate_read(buf_str(&text), &back, &why), NEVER);
			assert_true(why.text[0] != '\0');
			fate_free(&back);
			text.p[i] = (char)(text.p[i] ^ (1 << bit));
		}
	}
	buf_free(&text);
	fate_free(&f);
}

static void
a_fate_that_was_cut_is_refused(void **state)
{
	struct fate f;
	struct buf text = { 0 };

	(void)state;
	fate_init(&f, 2);
	fate_note(&f, 1, NEVER, &some_why);
	fate_write(&f, &text);
	for (size_t n = 0; n < text.len; n++) {
		struct fate back;
		struct why why = { 0 };

		fate_init(&back, 2);
		assert_int_equal(fate_read(str_from(text.p, n), &back, &why), NEVER);
		fate_free(&back);
	}
	buf_free(&text);
	fate_free(&f);
}

static void
what_would_not_have_been_written_is_refused_even_with_a_good_checksum(void **state)
{
	static const struct str rows[] = {
		STR(""), STR("\n"), STR("tries 0\n"), STR("next 0\n"), STR("tries 0\nnext 0"),
		STR("tries 0\nnext 0\n\n"), STR("next 0\ntries 0\n"), STR("tries -1\nnext 0\n"),
		STR("tries 4294967296\nnext 0\n"), STR("tries 1x\nnext 0\n"), STR("tries 01\nnext 0\n"),
		STR("tries 0\nnext now\n"), STR("tries 0\ntries 0\nnext 0\n"),
		STR("tries 0\nnext 0\nrenewed 0\n"), STR("tries 0\nnext 0\nredirect a@x\n"),
		STR("tries 0\nnext 0\nHOLD \n"), STR("tries 0\nnext 0\nhold \\x4\n"),
		STR("tries 0\nnext 0\nlast nobody 250 - x\n"), STR("tries 0\nnext 0\nlast server x - x\n"),
		STR("tries 0\nnext 0\nlast server 1000 - x\n"), STR("tries 0\nnext 0\nlast server 250\n"),
		STR("tries 0\nnext 0\nlast server 450 4.1234567.89 x\n"),
		STR("tries 0\nnext 0\nto\n"), STR("tries 0\nnext 0\nto 0\n"),
		STR("tries 0\nnext 0\nto 0 maybe 250 - x\n"), STR("tries 0\nnext 0\nto 0 DONE 250 - x\n"),
		STR("tries 0\nnext 0\nto 0 done 250 - x\\x00y\n"),
		STR("tries 0\nnext 0\nto 0 done 250  - x\n"), STR("tries 0\nnext 0\nto 00 done 250 - x\n"),
		STR("tries 0\nnext 0\nto 0 done 250 - x\nto 0 never 550 - x\n"),
		STR("tries 0\nnext 0\nto 1 done 250 - x\nto 0 done 250 - x\n"),
		STR("tries 0\nnext 0\nto 0 done 250 - a\tb\n"),
		STR("tries 0\nnext 0\nto 0 done 250 - x\nnext 5\n"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fate f;
		struct why why = { 0 };
		enum outcome o = read_lines(rows[i], 2, &f, &why);

		if (o != NEVER)
			print_error("row %zu was read: %s", i, rows[i].p);
		assert_int_equal(o, NEVER);
		assert_int_equal(why.scope, SCOPE_MESSAGE);
		fate_free(&f);
	}
}

static void
a_recipient_that_the_envelope_does_not_have_is_refused(void **state)
{
	static const char *const rows[] = { "2", "3", "-1", "4294967296", "18446744073709551616" };
	struct fate f;
	struct why why = { 0 };

	(void)state;
	assert_int_equal(read_lines(STR("tries 0\nnext 0\nto 1 done 250 - x\n"), 2, &f, &why), DONE);
	fate_free(&f);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf lines = { 0 };

		buf_addf(&lines, "tries 0\nnext 0\nto %s done 250 - x\n", rows[i]);
		assert_int_equal(read_lines(buf_str(&lines), 2, &f, &why), NEVER);
		fate_free(&f);
		buf_free(&lines);
	}
}

static void
a_fate_of_another_version_says_so(void **state)
{
	static const char *const rows[] = { "subpost-fate 2 crc=00000000\n", "subpost-fate 11 x\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fate f;
		struct why why = { 0 };

		fate_init(&f, 1);
		assert_int_equal(fate_read(str_of(rows[i]), &f, &why), NEVER);
		assert_non_null(strstr(why.text, "version"));
		fate_free(&f);
	}
}

static void
done_and_never_stay_what_they_are(void **state)
{
	struct fate f;
	static const enum outcome finals[] = { DONE, NEVER };

	(void)state;
	for (size_t i = 0; i < COUNT(finals); i++) {
		fate_init(&f, 1);
		fate_note(&f, 0, finals[i], &some_why);
		fate_note(&f, 0, LATER, &(struct why){ .code = 450, .text = "other" });
		fate_note(&f, 0, DONE, &(struct why){ .code = 250, .text = "other" });
		fate_note(&f, 0, NEVER, &(struct why){ .code = 551, .text = "other" });
		assert_int_equal(f.to[0].outcome, finals[i]);
		assert_int_equal(f.to[0].code, 550);
		assert_string_equal(f.to[0].text, some_why.text);
		fate_free(&f);
	}
}

static void
a_later_answer_replaces_an_earlier_one(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 1);
	fate_note(&f, 0, LATER, &(struct why){ .code = 450, .status = "4.2.0", .text = "first" });
	fate_note(&f, 0, LATER, &(struct why){ .code = 451, .text = "second" });
	assert_int_equal(f.to[0].code, 451);
	assert_string_equal(f.to[0].status, "");
	assert_string_equal(f.to[0].text, "second");
	fate_free(&f);
}

static void
it_is_settled_when_nobody_is_later(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 3);
	fate_note(&f, 0, DONE, &some_why);
	fate_note(&f, 2, NEVER, &some_why);
	assert_false(fate_is_settled(&f));
	assert_true(fate_count(&f, DONE) == 1 && fate_count(&f, NEVER) == 1 && fate_count(&f, LATER) == 1);
	fate_note(&f, 1, DONE, &some_why);
	assert_true(fate_is_settled(&f));
	fate_free(&f);
}

static void
a_fate_of_as_many_recipients_as_there_may_be_can_be_read_again(void **state)
{
	static const char *const words[] = { "\\", "\xc3\xa4" };
	struct why why = { .code = 550, .status = "5.123.45678" };

	(void)state;
	for (size_t w = 0; w < COUNT(words); w++) {
		struct fate f;
		struct buf text = { 0 }, said = { 0 };

		why.text[0] = '\0';
		for (size_t n = 0; n + 2 < sizeof why.text; n += strlen(words[w]))
			memcpy(why.text + n, words[w], strlen(words[w]) + 1);
		fate_init(&f, ENVELOPE_RECIPIENTS_MAX);
		f.last = why;
		f.held = true;
		snprintf(f.hold_reason, sizeof f.hold_reason, "%.190s", why.text);
		/* The dialogue at its largest: each octet takes four. */
		buf_reserve(&said, FATE_SAID_MAX);
		while (said.len < FATE_SAID_MAX)
			buf_adds(&said, said.len % 2 == 0 ? "\\" : "\n");
		fate_keep_dialogue(&f, buf_str(&said));
		buf_free(&said);
		for (size_t i = 0; i < f.n; i++) {
			fate_note(&f, i, NEVER, &why);
			f.to[i].told = true;
		}
		assert_true(f.to[0].text[0] != '\0');
		assert_int_equal(codec_utf8(str_of(f.to[0].text + strlen(f.to[0].text) -
		    strlen(words[w])), &(uint32_t){ 0 }), strlen(words[w]));
		fate_write(&f, &text);
		assert_true(text.len <= FATE_MAX);
		buf_free(&text);
		check_round_trip(&f);
		fate_free(&f);
	}
}

static void
renewing_tries_the_refused_again_and_leaves_the_done_alone(void **state)
{
	struct fate f;

	(void)state;
	fate_init(&f, 3);
	fate_note(&f, 0, DONE, &some_why);
	fate_note(&f, 1, NEVER, &some_why);
	f.to[1].told = true;
	f.next = 99;
	f.held = true;
	snprintf(f.hold_reason, sizeof f.hold_reason, "why not");
	fate_renew(&f, 1234);
	assert_int_equal(f.to[0].outcome, DONE);
	assert_int_equal(f.to[1].outcome, LATER);
	assert_false(f.to[1].told || f.held);
	assert_string_equal(f.hold_reason, "");
	assert_true(f.next == 0 && f.renewed == 1234);
	check_round_trip(&f);
	fate_free(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_fate_says_that_nothing_has_happened),
		cmocka_unit_test(everything_comes_back),
		cmocka_unit_test(the_last_dialogue_is_kept_and_the_end_of_a_long_one),
		cmocka_unit_test(a_hold_without_a_reason_comes_back),
		cmocka_unit_test(the_longest_words_come_back_whole),
		cmocka_unit_test(hostile_words_cannot_end_their_line),
		cmocka_unit_test(a_wrong_checksum_is_refused_wherever_the_damage_is),
		cmocka_unit_test(a_fate_that_was_cut_is_refused),
		cmocka_unit_test(what_would_not_have_been_written_is_refused_even_with_a_good_checksum),
		cmocka_unit_test(a_recipient_that_the_envelope_does_not_have_is_refused),
		cmocka_unit_test(a_fate_of_another_version_says_so),
		cmocka_unit_test(done_and_never_stay_what_they_are),
		cmocka_unit_test(a_later_answer_replaces_an_earlier_one),
		cmocka_unit_test(it_is_settled_when_nobody_is_later),
		cmocka_unit_test(a_fate_of_as_many_recipients_as_there_may_be_can_be_read_again),
		cmocka_unit_test(renewing_tries_the_refused_again_and_leaves_the_done_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
