/* label: what is known of a part decides how it is written and what is said of it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "label.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
utf8_is_told_in_any_pieces(void **state)
{
	static const struct {
		const char *text;       /* a line */
		bool utf8;
	} lines[] = {
		{ "plain", true }, { "\xc3\xb6", true }, { "\xe2\x82\xac" "x", true }, { "\xf0\x9f\x90\x8c", true },
		{ "\xf4\x8f\xbf\xbf", true }, { "\xee\x80\x80", true }, { "\xed\x9f\xbf", true }, { "\xe0\xa0\x80", true },
		{ "\xc3", false }, { "\xc3x", false }, { "\xb6", false }, { "\xc0\x80", false }, { "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false }, { "\xed\xa0\x80", false }, { "\xf0\x8f\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false }, { "\xf5\x80\x80\x80", false }, { "\xff", false }, { "\xe2\x82", false },
		{ "\xe2\x82" "\xc3\xb6", false }, { "\xc3\xb6\xb6", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		for (size_t piece = 1; piece < 6; piece++) {
			struct label l = { 0 };
			struct str rest = str_of(lines[i].text);

			while (rest.len > 0) {
				size_t n = rest.len < piece ? rest.len : piece;

				label_count(&l, str_from(rest.p, n), n == rest.len);
				rest = str_skip(rest, n);
			}
			assert_int_equal(!l.not_utf8, lines[i].utf8);
		}
	}
}

static void
octets_are_counted_by_what_they_cost(void **state)
{
	struct label l = { 0 };

	(void)state;
	label_count(&l, STR("a b\t=~\x7f\x01\xc3\xb6"), true);
	assert_int_equal(l.octets, 10);
	assert_int_equal(l.odd, 5);
	assert_false(l.not_utf8);
	/* Half a character at the end of a text without a line end is none. */
	label_count(&l, STR("\xc3"), false);
	assert_false(l.not_utf8);
	assert_int_equal(l.left, 1);
}

struct row {
	const char *promise;
	struct label label;
	struct part part;
	bool eight_bit;
	enum encoding how;
	const char *coding;     /* NULL: it may stay */
};

#define EIGHT .own_eight = true, .eight = true
#define LEFT EIGHT, .eight_left = true
#define IS(f, c) { .form = PART_ ## f, .coding = PART_ ## c, .has_type = true, .has_version = true }

static const struct row rows[] = {
	{ "what fits stays", { .octets = 1 }, IS(TEXT, UNSAID), false, ENCODE_NONE, NULL },
	{ "mostly ASCII: quoted-printable", { EIGHT, .octets = 12, .odd = 2 }, IS(TEXT, 8BIT), false, ENCODE_QP, "quoted-printable" },
	{ "less so: base64", { EIGHT, .octets = 11, .odd = 2 }, IS(TEXT, 8BIT), false, ENCODE_BASE64, "base64" },
	{ "no text: base64", { EIGHT, .octets = 12, .odd = 2 }, IS(DATA, BINARY), false, ENCODE_BASE64, "base64" },
	{ "octets over 127 may stay", { LEFT }, IS(TEXT, 8BIT), true, ENCODE_NONE, NULL },
	{ "but not in a long line", { EIGHT, .long_line = true, .octets = 1 }, IS(TEXT, 8BIT), true, ENCODE_QP, "quoted-printable" },
	{ "7bit that is not is 8bit", { LEFT }, IS(DATA, 7BIT), true, ENCODE_NONE, "8bit" },
	{ "unsaid too", { LEFT }, IS(DATA, UNSAID), true, ENCODE_NONE, "8bit" },
	{ "E-14: binary too", { LEFT }, IS(DATA, BINARY), true, ENCODE_NONE, "8bit" },
	{ "E-14: binary that is 7bit", { 0 }, IS(DATA, BINARY), true, ENCODE_NONE, "7bit" },
	{ "8bit that is 7bit, to a server without", { 0 }, IS(DATA, 8BIT), false, ENCODE_NONE, "7bit" },
	{ "and to one with", { 0 }, IS(DATA, 8BIT), true, ENCODE_NONE, NULL },
	{ "quoted-printable is mended", { EIGHT }, IS(TEXT, QP), false, ENCODE_MEND_QP, NULL },
	{ "base64 too", { .long_line = true }, IS(DATA, BASE64), true, ENCODE_MEND_BASE64, NULL },
	{ "what has parts is not encoded", { LEFT, .long_line = true }, IS(MULTIPART, 8BIT), true, ENCODE_PRUNE, NULL },
	{ "but says what they are", { EIGHT }, IS(MULTIPART, 8BIT), false, ENCODE_PRUNE, "7bit" },
	{ "a message too", { EIGHT }, IS(MESSAGE, BINARY), false, ENCODE_NONE, "7bit" },
	{ "M-17: what is sealed says what it said", { LEFT }, IS(SEALED, BINARY), true, ENCODE_NONE, NULL },
};

static void
a_row_is_kept(void **state)
{
	const struct row *r = *state;
	const char *coding = label_coding(&r->label, &r->part, r->eight_bit);
	struct buf out = { 0 }, want = { 0 };

	assert_int_equal(label_encoding(&r->label, &r->part, r->eight_bit), r->how);
	assert_int_equal(coding != NULL, r->coding != NULL);
	if (coding != NULL) {
		assert_string_equal(coding, r->coding);
		buf_addf(&want, "Content-Transfer-Encoding: %s\n", r->coding);
	}
	label_put(&r->label, &r->part, r->eight_bit, true, &out);
	assert_string_equal(buf_c(&out), buf_c(&want));
	buf_free(&out);
	buf_free(&want);
}

static void
what_is_missing_is_said(void **state)
{
	static const struct {
		struct label label;
		struct part part;
		bool is_message;
		const char *said;
	} parts[] = {
		{ { 0 }, { .form = PART_TEXT }, true, "" },
		{ { LEFT }, { .form = PART_TEXT, .coding = PART_8BIT }, true, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n" },
		{ { LEFT, .not_utf8 = true }, { .form = PART_TEXT, .coding = PART_8BIT }, true, "MIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n" },
		{ { LEFT, .left = 1 }, { .form = PART_TEXT, .coding = PART_8BIT }, false, "Content-Type: text/plain; charset=unknown-8bit\n" },
		{ { .utf8_header = true }, { .form = PART_TEXT }, true, "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n" },
		{ { .utf8_header = true }, { .form = PART_TEXT }, false, "" },
		{ { .utf8_header = true }, { .form = PART_TEXT, .has_version = true }, true, "" },
		{ { LEFT }, { .form = PART_TEXT, .coding = PART_8BIT, .has_type = true }, true, "MIME-Version: 1.0\n" },
		{ { LEFT }, { .form = PART_DATA, .coding = PART_8BIT, .has_type = true }, false, "" },
		{ { .long_line = true }, { .form = PART_MULTIPART, .has_type = true }, true, "MIME-Version: 1.0\n" },
		{ { LEFT }, { .form = PART_SEALED }, true, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(parts); i++) {
		struct buf out = { 0 };

		label_put(&parts[i].label, &parts[i].part, true, parts[i].is_message, &out);
		assert_string_equal(buf_c(&out), parts[i].said);
		buf_free(&out);
	}
}

int
main(void)
{
	static const struct CMUnitTest stories[] = {
		cmocka_unit_test(utf8_is_told_in_any_pieces),
		cmocka_unit_test(octets_are_counted_by_what_they_cost),
		{ "M-14: what is missing is said", what_is_missing_is_said, NULL, NULL, NULL },
	};
	struct CMUnitTest tests[COUNT(rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + COUNT(rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
