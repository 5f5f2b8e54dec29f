/* phrase: the words that a header is made of. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "address.h"
#include "phrase.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *in, *out;
};

static void
an_atom_has_letters_digits_and_the_signs_of_rfc_5322(void **state)
{
	static const char atext[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789!#$%&'*+-/=?^_`{|}~";

	(void)state;
	assert_false(phrase_is_atext(-1));
	assert_false(phrase_is_atext('\0'));
	for (int c = 1; c < 256; c++)
		assert_int_equal(phrase_is_atext(c), c >= 0x80 || strchr(atext, c) != NULL);
}

static void
check_phrases(const struct row *rows, size_t n)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < n; i++) {
		buf_clear(&out);
		phrase_add(&out, str_of(rows[i].in));
		assert_string_equal(buf_c(&out), rows[i].out);
	}
	buf_free(&out);
}

static void
a_name_of_atoms_is_a_phrase_as_it_is(void **state)
{
	static const struct row rows[] = {
		{ "", "" }, { "root", "root" }, { "John Doe", "John Doe" }, { " John ", "John" },
		{ "=?utf-8?q?J=C3=B6rg?= Doe", "=?utf-8?q?J=C3=B6rg?= Doe" },
	};

	(void)state;
	check_phrases(rows, COUNT(rows));
}

static void
a_name_with_specials_is_quoted(void **state)
{
	static const struct row rows[] = {
		{ "John Q. Public", "\"John Q. Public\"" }, { "(Cron Daemon)", "\"(Cron Daemon)\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" }, { "x@y, <z>", "\"x@y, <z>\"" }, { "a  b", "\"a  b\"" },
		{ "=?utf-8?q?J=C3=B6rg?= Q. (x)", "=?utf-8?q?J=C3=B6rg?= \"Q.\" \"(x)\"" },
	};

	(void)state;
	check_phrases(rows, COUNT(rows));
}

static void
a_name_beyond_ascii_is_encoded(void **state)
{
	static const struct row rows[] = {
		{ "J\xc3\xb6rg", "=?utf-8?q?J=C3=B6rg?=" },
		{ "J\xc3\xb6rg Q. \"X\" _", "=?utf-8?q?J=C3=B6rg_Q=2E_=22X=22_=5F?=" },
		{ "J\xf6rg", "=?utf-8?q?J=EF=BF=BDrg?=" },
		{ "\xc3(", "=?utf-8?q?=EF=BF=BD=28?=" },
		{ "\xe2\x82", "=?utf-8?q?=EF=BF=BD=EF=BF=BD?=" },
		{ "\xed\xa0\x80", "=?utf-8?q?=EF=BF=BD=EF=BF=BD=EF=BF=BD?=" },
	};

	(void)state;
	check_phrases(rows, COUNT(rows));
}

static void
encoded_words_have_75_octets_and_whole_characters(void **state)
{
	struct buf name = { 0 }, out = { 0 };

	(void)state;
	for (int shift = 0; shift < 12; shift++) {
		struct str rest, word;
		size_t words = 0;

		buf_clear(&name);
		buf_clear(&out);
		buf_add(&name, "aaaaaaaaaaaa", (size_t)shift);
		for (int i = 0; i < 50; i++)
			buf_adds(&name, i % 3 == 0 ? "\xf0\x9f\x93\xae" : "\xe2\x82\xac");
		phrase_add(&out, buf_str(&name));
		for (rest = buf_str(&out); rest.len > 0; words++) {
			word = str_word(&rest);
			assert_true(word.len <= 75);
			assert_true(str_starts(word, "=?utf-8?q?=E2") ||
			    str_starts(word, "=?utf-8?q?=F0") || (words == 0 && shift > 0));
			assert_true(str_is(str_from(word.p + word.len - 2, 2), "?="));
		}
		assert_true(words > 6);
	}
	buf_free(&name);
	buf_free(&out);
}

static void
a_phrase_has_no_control_octet_and_an_end(void **state)
{
	struct buf name = { 0 }, out = { 0 };

	(void)state;
	phrase_add(&out, str_from("A\r\nBcc: x\0\x7f\x1b", 13));
	assert_string_equal(buf_c(&out), "\"ABcc: x\"");
	buf_clear(&out);
	for (int i = 0; i < 65536; i++)
		buf_adds(&name, "\"");
	phrase_add(&out, buf_str(&name));
	assert_int_equal(out.len, 802);
	buf_clear(&out);
	buf_clear(&name);
	for (int i = 0; i < 1000; i++)
		buf_adds(&name, "word ");
	phrase_add(&out, buf_str(&name));
	assert_true(out.len <= 400);
	assert_true(str_is(str_from(out.p + out.len - 5, 5), " word"));
	buf_clear(&out);
	buf_clear(&name);
	for (int i = 0; i < 300; i++)
		buf_adds(&name, "\xe2\x82\xac");
	phrase_add(&out, buf_str(&name));
	assert_null(strstr(buf_c(&out), "=EF=BF=BD"));
	buf_free(&name);
	buf_free(&out);
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Whatever the name: it is one name of one address. */
static void
random_octets_never_make_more_than_a_name(void **state)
{
	static const char pieces[] = "aab.@@,;:<>()[]\"\\ \t\n\r\x01\xc3\xa4\xff=?q";
	uint32_t seed = 20261125;
	struct buf text = { 0 }, line = { 0 };

	(void)state;
	for (int round = 0; round < 50000; round++) {
		struct address_list list = { 0 };
		struct why why;
		size_t len = next_random(&seed) % 24;

		buf_clear(&text);
		while (text.len < len)
			buf_addc(&text, round % 8 == 0 ? (char)next_random(&seed) :
			    pieces[next_random(&seed) % sizeof pieces]);
		buf_clear(&line);
		phrase_add(&line, buf_str(&text));
		buf_adds(&line, " <a@b>");
		assert_int_equal(address_parse(buf_str(&line), &list, &why), DONE);
		assert_int_equal(list.n, 1);
		assert_true(str_is(buf_str(&list.v[0].spec), "a@b"));
		address_list_free(&list);
	}
	buf_free(&text);
	buf_free(&line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_atom_has_letters_digits_and_the_signs_of_rfc_5322),
		cmocka_unit_test(a_name_of_atoms_is_a_phrase_as_it_is),
		cmocka_unit_test(a_name_with_specials_is_quoted),
		{ "M-13: a name beyond ASCII is encoded", a_name_beyond_ascii_is_encoded, NULL, NULL, NULL },
		{ "M-13: encoded words have 75 octets and whole characters",
		    encoded_words_have_75_octets_and_whole_characters, NULL, NULL, NULL },
		cmocka_unit_test(a_phrase_has_no_control_octet_and_an_end),
		cmocka_unit_test(random_octets_never_make_more_than_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
