/* part: what a header says of the text behind it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "part.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *promise;
	const char *head;
	enum part_form form;
	enum part_coding coding;
	const char *boundary;
};

static const struct row rows[] = {
	{ "what says nothing is text", "Subject: x\n", PART_TEXT, PART_UNSAID, "" },
	{ "nothing at all too", "", PART_TEXT, PART_UNSAID, "" },
	{ "text is text, whatever its kind", "Content-Type: TEXT/html; charset=x\n", PART_TEXT, PART_UNSAID, "" },
	{ "the first of two types counts", "Content-Type: a/b\nContent-Type: text/plain\n", PART_DATA, PART_UNSAID, "" },
	{ "a type without a slash says nothing", "Content-Type: text\n", PART_TEXT, PART_UNSAID, "" },
	{ "any other type is data", "Content-Type: image/png\n", PART_DATA, PART_UNSAID, "" },
	{ "comments and folds say nothing", "Content-Type:\n (a (b)\\) \n text/html) image/png (c); x\n", PART_DATA, PART_UNSAID, "" },
	{ "a coding is known without case", "Content-Transfer-Encoding: (x) Base64\n", PART_TEXT, PART_BASE64, "" },
	{ "the first of two counts", "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n", PART_TEXT, PART_8BIT, "" },
	{ "binary", "content-transfer-encoding : binary\n", PART_TEXT, PART_BINARY, "" },
	{ "quoted-printable", "Content-Transfer-Encoding: quoted-printable;\n", PART_TEXT, PART_QP, "" },
	{ "an empty coding is none", "Content-Transfer-Encoding:\n", PART_TEXT, PART_UNSAID, "" },
	{ "one that is not known seals it", "Content-Transfer-Encoding: x-uuencode\n", PART_SEALED, PART_UNKNOWN, "" },
	{ "a multipart has its boundary", "Content-Type: multipart/mixed; boundary=abc\n", PART_MULTIPART, PART_UNSAID, "abc" },
	{ "in quotes", "Content-Type: multipart/mixed; a=b; Boundary = \"a \\\"b\\\" ;c\" (x); d=e\n", PART_MULTIPART, PART_UNSAID, "a \"b\" ;c" },
	{ "in another line", "Content-Type: multipart/mixed;\n\tboundary=\"a\n b\"\n", PART_MULTIPART, PART_UNSAID, "a b" },
	{ "with signs that should have had quotes", "Content-Type: multipart/mixed; boundary=----=_Part(1)=; x\n",
	    PART_MULTIPART, PART_UNSAID, "----=_Part(1)=" },
	{ "without the spaces at its end, which a delimiter loses", "Content-Type: multipart/mixed; boundary=\"a b \t\"\n", PART_MULTIPART, PART_UNSAID, "a b" },
	{ "a parameter that contains the word is another", "Content-Type: multipart/mixed; xboundary=a; boundary*=b\n", PART_SEALED, PART_UNSAID, "" },
	{ "so does the value of another", "Content-Type: multipart/mixed; x=\"; boundary=a\"; boundary=b\n", PART_MULTIPART, PART_UNSAID, "b" },
	{ "a multipart without one is sealed", "Content-Type: multipart/mixed\n", PART_SEALED, PART_UNSAID, "" },
	{ "with one that is not ASCII too", "Content-Type: multipart/mixed; boundary=\"\xc3\xb6\"\n", PART_SEALED, PART_UNSAID, "" },
	{ "and one that says it is encoded", "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: base64\n", PART_SEALED, PART_BASE64, "" },
	{ "a message is one", "Content-Type: message/rfc822\n", PART_MESSAGE, PART_UNSAID, "" },
	{ "of UTF-8 too", "Content-Type: message/global\nContent-Transfer-Encoding: 8bit\n", PART_MESSAGE, PART_8BIT, "" },
	{ "one that says it is encoded is sealed", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n", PART_SEALED, PART_BASE64, "" },
	{ "a delivery status may not be encoded", "Content-Type: message/delivery-status\n", PART_SEALED, PART_UNSAID, "" },
	{ "that of RFC 6533 may", "Content-Type: message/global-delivery-status\n", PART_DATA, PART_UNSAID, "" },
	{ "M-17: what is signed is sealed", "Content-Type: multipart/signed; boundary=a\n", PART_SEALED, PART_UNSAID, "" },
	{ "M-17: what is encrypted too", "Content-Type: multipart/encrypted; boundary=a\n", PART_SEALED, PART_UNSAID, "" },
	{ "M-17: and S/MIME", "Content-Type: application/pkcs7-mime; smime-type=signed-data\n", PART_SEALED, PART_UNSAID, "" },
	{ "M-17: by its old name", "Content-Type: application/x-pkcs7-mime\n", PART_SEALED, PART_UNSAID, "" },
	{ "a detached signature is data", "Content-Type: application/pkcs7-signature\n", PART_DATA, PART_UNSAID, "" },
};

static void
a_row_is_kept(void **state)
{
	const struct row *r = *state;
	struct part p = { 0 };

	part_read(str_of(r->head), false, &p);
	assert_int_equal(p.form, r->form);
	assert_int_equal(p.coding, r->coding);
	assert_true(str_is(buf_str(&p.boundary), r->boundary));
	assert_int_equal(p.sealed != NULL, p.form == PART_SEALED);
	part_free(&p);
	part_free(&p);
}

static void
in_a_digest_what_says_nothing_is_a_message(void **state)
{
	struct part p = { 0 };

	(void)state;
	part_read(STR("Content-Type: multipart/Digest; boundary=a\n"), false, &p);
	assert_true(p.is_digest);
	part_free(&p);
	part_read(STR("X: y\n"), true, &p);
	assert_int_equal(p.form, PART_MESSAGE);
	part_free(&p);
	part_read(STR("Content-Type: text/plain\n"), true, &p);
	assert_int_equal(p.form, PART_TEXT);
	part_free(&p);
}

static void
what_is_said_is_told_from_what_is_not(void **state)
{
	struct part p = { 0 };

	(void)state;
	part_read(STR("MIME-Version: 1.0\n"), false, &p);
	assert_true(p.has_version && !p.has_type);
	part_free(&p);
	part_read(STR("Content-Type: text/plain\n"), false, &p);
	assert_true(!p.has_version && p.has_type);
	part_free(&p);
}

static void
fields_come_one_by_one_with_all_their_lines(void **state)
{
	struct str rest = STR("A: b\n c\n\td\nBb : x\nC:\n"), whole;
	size_t n;

	(void)state;
	assert_true(part_next_field(&rest, &whole, &n));
	assert_true(str_is(whole, "A: b\n c\n\td\n") && n == 1);
	assert_true(part_next_field(&rest, &whole, &n));
	assert_true(str_is(whole, "Bb : x\n") && n == 2);
	assert_true(part_next_field(&rest, &whole, &n));
	assert_true(str_is(whole, "C:\n") && n == 1);
	assert_false(part_next_field(&rest, &whole, &n));
}

static void
a_field_begins_with_a_name_and_a_colon(void **state)
{
	static const struct {
		const char *line;
		bool is;
	} lines[] = {
		{ "A:", true }, { "A-b: c", true }, { "A \t: c", true }, { "A b: c", false }, { "A", false },
		{ "", false }, { ":", false }, { " A: b", false }, { "\xc3\xb6: b", false }, { "From x", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_int_equal(part_is_field(str_of(lines[i].line)), lines[i].is);
}

int
main(void)
{
	static const struct CMUnitTest stories[] = {
		cmocka_unit_test(in_a_digest_what_says_nothing_is_a_message),
		cmocka_unit_test(what_is_said_is_told_from_what_is_not),
		cmocka_unit_test(fields_come_one_by_one_with_all_their_lines),
		cmocka_unit_test(a_field_begins_with_a_name_and_a_colon),
	};
	struct CMUnitTest tests[COUNT(rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + COUNT(rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
