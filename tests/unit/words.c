/* words: what is not ASCII becomes words that any reader takes back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "codec.h"
#include "words.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
the_character_set_is_utf_8_or_one_that_nobody_knows(void **state)
{
	(void)state;
	assert_string_equal(words_charset(STR("")), "us-ascii");
	assert_string_equal(words_charset(STR("a~ \t")), "us-ascii");
	assert_string_equal(words_charset(STR("J\xc3\xb6rg")), "utf-8");
	assert_string_equal(words_charset(STR("J\xf6rg")), "unknown-8bit");
	assert_string_equal(words_charset(STR("J\xc3\xb6rg \xf6")), "unknown-8bit");
	assert_string_equal(words_charset(STR("\xc3")), "unknown-8bit");
}

static void
ascii_is_told_wherever_the_octet_stands(void **state)
{
	char s[20];

	(void)state;
	for (size_t len = 0; len <= sizeof s; len++) {
		memset(s, 0x7f, sizeof s);
		assert_true(words_is_ascii(str_from(s, len)));
		for (size_t at = 0; at < len; at++) {
			memset(s, 0x7f, sizeof s);
			s[at] = (char)0x80;
			assert_false(words_is_ascii(str_from(s, len)));
		}
	}
}

static void
an_encoded_word_is_known_by_its_marks(void **state)
{
	static const struct {
		const char *s;
		bool is;
	} rows[] = {
		{ "=?utf-8?q?J=C3=B6rg?=", true }, { "=?UTF-8?B?w7Y=?=", true }, { "=?a?q?" "?=", true },
		{ "=?utf-8?q?a b?=", false }, { "=?utf-8?q?a?b?=", false }, { "=?utf-8?a?=", false },
		{ "=?utf-8?q?a", false }, { "utf-8?q?a?=", false }, { "", false }, { "=?=", false },
		{ "=?utf-8?q?\xc3\xb6?=", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(words_is_encoded(str_of(rows[i].s)), rows[i].is);
}

static void
one_word_takes_what_fits_and_leaves_the_rest(void **state)
{
	static const struct {
		const char *text, *charset;
		char how;
		size_t room;
		const char *word, *rest;
	} rows[] = {
		{ "ab", "utf-8", 'q', 75, "=?utf-8?q?ab?=", "" },
		{ "a b_c=?", "utf-8", 'q', 75, "=?utf-8?q?a_b=5Fc=3D=3F?=", "" },
		{ "\xc3\xb6\xc3\xb6", "utf-8", 'q', 18, "=?utf-8?q?=C3=B6?=", "\xc3\xb6" },
		{ "\xc3\xb6\xc3\xb6", "utf-8", 'q', 23, "=?utf-8?q?=C3=B6?=", "\xc3\xb6" },
		{ "\xc3\xb6\xc3\xb6", "utf-8", 'q', 24, "=?utf-8?q?=C3=B6=C3=B6?=", "" },
		{ "\xc3\xb6\xc3\xb6", "utf-8", 'b', 19, "=?utf-8?b?w7Y=?=", "\xc3\xb6" },
		{ "\xc3\xb6\xc3\xb6", "utf-8", 'b', 20, "=?utf-8?b?w7bDtg==?=", "" },
		{ "\xf0\x9f\x90\x8cx", "utf-8", 'q', 1, "=?utf-8?q?=F0=9F=90=8C?=", "x" },
		{ "\xf6\xf6", "unknown-8bit", 'q', 22, "=?unknown-8bit?q?=F6?=", "\xf6" },
		{ "\"(),.<>[]@:;\\", "utf-8", 'q', 75,
		    "=?utf-8?q?=22=28=29=2C=2E=3C=3E=5B=5D=40=3A=3B=5C?=", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str text = str_of(rows[i].text);
		struct buf out = { 0 };

		words_encode_one(&text, rows[i].charset, rows[i].how, rows[i].room, &out);
		assert_string_equal(buf_c(&out), rows[i].word);
		assert_true(str_is(text, rows[i].rest));
		buf_free(&out);
	}
}

/* Every line, and every word of it, within what RFC 2047 section 2 has. */
static void
check_lengths(struct str field)
{
	struct str line, word;

	while (str_line(&field, &line)) {
		assert_true(line.len <= WORDS_LINE);
		while (line.len > 0) {
			word = str_word(&line);
			if (str_starts(word, "=?"))
				assert_true(word.len <= 75 && words_is_encoded(word));
		}
	}
}

/* What the words say, each character of it whole. */
static void
read_back(struct str field, struct buf *out)
{
	while (field.len > 0) {
		struct str word = str_word(&field);
		size_t from = out->len;

		word = str_trim(word);
		if (!words_is_encoded(word))
			continue;
		if (word.p[8] == 'b') {
			assert_true(codec_unbase64(out, str_from(word.p + 10, word.len - 12)));
		} else {
			for (size_t i = 10; i + 2 < word.len; i++) {
				unsigned hex = 0;

				if (word.p[i] == '=') {
					hex = (unsigned)((word.p[i + 1] <= '9' ? word.p[i + 1] - '0' : word.p[i + 1] - 'A' + 10) * 16 +
					    (word.p[i + 2] <= '9' ? word.p[i + 2] - '0' : word.p[i + 2] - 'A' + 10));
					i += 2;
				}
				buf_addc(out, hex > 0 ? (char)hex : word.p[i] == '_' ? ' ' : word.p[i]);
			}
		}
		assert_true(codec_is_utf8(str_skip(buf_str(out), from)));
	}
}

static void
long_text_is_words_in_lines(void **state)
{
	static const char *const characters[] = { "\xc3\xb6", "\xe6\x97\xa5", "\xf0\x9f\x90\x8c", "a\xc3\xb6", "abcd\xc3\xb6 " };

	(void)state;
	for (size_t i = 0; i < COUNT(characters); i++) {
		for (size_t n = 1; n < 120; n++) {
			struct buf text = { 0 }, out = { 0 }, said = { 0 };
			struct fold f = { .out = &out };

			for (size_t k = 0; k < n; k++)
				buf_adds(&text, characters[i]);
			buf_adds(&out, "Subject:");
			f.column = out.len;
			fold_encoded(&f, STR(" "), "", buf_str(&text), "");
			check_lengths(buf_str(&out));
			read_back(buf_str(&out), &said);
			assert_true(str_eq(buf_str(&said), buf_str(&text)));
			buf_free(&text);
			buf_free(&out);
			buf_free(&said);
		}
	}
}

static void
a_word_that_does_not_fit_goes_into_the_next_line(void **state)
{
	struct buf out = { 0 };
	struct fold f = { .out = &out };
	char word[71];

	(void)state;
	memset(word, 'x', sizeof word);
	fold_word(&f, (struct str){ 0 }, STR("A:"));
	f.begun = false;
	/* A first word stays beside the name, long as it is. */
	fold_word(&f, STR(" "), str_from(word, 71));
	assert_int_equal(out.len, 74);
	fold_word(&f, STR("\n\t "), STR("1234"));
	assert_int_equal(f.column, 6);
	fold_word(&f, STR("  "), STR("5"));
	fold_word(&f, (struct str){ 0 }, STR(","));
	assert_string_equal(out.p + 74, "\n\t 1234  5,");
	buf_free(&out);
}

static void
what_sticks_to_a_word_goes_down_with_it(void **state)
{
	struct buf out = { 0 };
	struct fold f = { .out = &out };
	char word[60];

	(void)state;
	memset(word, 'x', sizeof word);
	buf_adds(&out, "A:");
	f.column = 2;
	fold_word(&f, STR(" "), str_from(word, 60));
	fold_word(&f, STR(" "), STR("person"));
	fold_word(&f, (struct str){ 0 }, STR("@"));
	assert_int_equal(f.column, 71);
	fold_word(&f, (struct str){ 0 }, STR("a.example"));
	assert_int_equal(f.column, 17);
	fold_word(&f, (struct str){ 0 }, STR(","));
	assert_string_equal(out.p + 63, "\n person@a.example,");
	/* A first word stays, and so does what sticks to it. */
	buf_clear(&out);
	buf_adds(&out, "A:");
	f = (struct fold){ .out = &out, .column = 2 };
	fold_word(&f, STR(" "), str_from(word, 60));
	fold_word(&f, (struct str){ 0 }, str_from(word, 60));
	assert_int_equal(f.column, 123);
	buf_free(&out);
}

static void
a_parameter_is_one_or_in_pieces_and_no_octet_is_split(void **state)
{
	static const char want[] = "X: a; name*0*=utf-8''%C3%B6%C3%B6%C3%B6%C3%B6%C3%B6%C3%B6%C3%B6%C3%B6%C3%B6%C3;\n"
	    " name*1*=%B6%C3%B6%C3%B6";
	struct buf out = { 0 }, value = { 0 };
	struct fold f = { .out = &out };

	(void)state;
	buf_adds(&out, "X:");
	fold_word(&f, STR(" "), STR("a"));
	fold_parameter(&f, STR("name"), STR("J\xc3\xb6rg (1).pdf"));
	assert_string_equal(buf_c(&out), "X: a; name*=utf-8''J%C3%B6rg%20%281%29.pdf");
	buf_clear(&out);
	f = (struct fold){ .out = &out };
	buf_adds(&out, "X:");
	fold_word(&f, STR(" "), STR("a"));
	for (int i = 0; i < 12; i++)
		buf_adds(&value, "\xc3\xb6");
	fold_parameter(&f, STR("name"), buf_str(&value));
	assert_string_equal(buf_c(&out), want);
	buf_free(&out);
	buf_free(&value);
}

static void
space_between_two_encoded_words_is_encoded_and_no_other(void **state)
{
	static const struct word words[] = {
		{ STR(" "), STR("a"), STR("a"), false },
		{ STR(" "), STR("\xc3\xb6"), STR("\xc3\xb6"), true },
		{ STR("\n "), STR("\xc3\xa4"), STR("\xc3\xa4"), true },
		{ STR(" "), STR("\xe4"), STR("\xe4"), true },
		{ STR(" "), STR("b"), STR("b"), false },
		{ STR(" "), STR("=?utf-8?q?c?="), STR("=?utf-8?q?c?="), false },
		{ STR(" "), STR("\xc3\xb6x"), STR("\xc3\xb6x"), true },
		{ STR("  "), STR("=?utf-8?q?d?="), STR("=?utf-8?q?d?="), false },
	};
	struct buf out = { 0 };
	struct fold f = { .out = &out };

	(void)state;
	fold_words(&f, words, COUNT(words));
	assert_string_equal(buf_c(&out), " a =?utf-8?b?w7Ygw6Q=?= =?unknown-8bit?q?_=E4?= b =?utf-8?q?c?=\n"
	    " =?utf-8?q?_=C3=B6x__?=  =?utf-8?q?d?=");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_character_set_is_utf_8_or_one_that_nobody_knows),
		cmocka_unit_test(ascii_is_told_wherever_the_octet_stands),
		cmocka_unit_test(an_encoded_word_is_known_by_its_marks),
		cmocka_unit_test(one_word_takes_what_fits_and_leaves_the_rest),
		{ "M-13: long text is words of 75 octets in lines of 78, and no character is split",
		    long_text_is_words_in_lines, NULL, NULL, NULL },
		cmocka_unit_test(a_word_that_does_not_fit_goes_into_the_next_line),
		cmocka_unit_test(what_sticks_to_a_word_goes_down_with_it),
		cmocka_unit_test(a_parameter_is_one_or_in_pieces_and_no_octet_is_split),
		cmocka_unit_test(space_between_two_encoded_words_is_encoded_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
