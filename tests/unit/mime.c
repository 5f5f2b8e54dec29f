/* mime: what of a message does not fit is written otherwise, and nothing else. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "mime.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool
to_ascii(struct str domain, struct buf *out)
{
	(void)domain;
	buf_adds(out, "xn--x.example");
	return true;
}

/* Feeds lines, each in pieces of at most piece octets. */
static enum outcome
run(struct mime *m, struct str text, size_t piece, struct buf *out, struct why *why)
{
	enum outcome o = DONE;

	while (text.len > 0 && o == DONE) {
		size_t n = str_find(text, '\n'), len = n < piece ? n : piece;
		bool ended = len == n && n < text.len;

		o = mime_feed(m, str_from(text.p, len), ended, out, why);
		text = str_skip(text, len + ended);
	}
	return o == DONE ? mime_end(m, out, why) : o;
}

static enum outcome
pass(struct mime *m, struct str text, size_t piece, struct buf *out, struct why *why)
{
	enum outcome o = run(m, text, piece, out, why);

	assert_int_equal(out->len, 0);
	if (o != DONE)
		return o;
	mime_rewind(m, true);
	assert_int_equal(run(m, text, piece, out, why), DONE);
	assert_int_equal(m->changed, !str_eq(text, buf_str(out)));
	return DONE;
}

#define O "\xc3\xb6"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
#define MIME "MIME-Version: 1.0\n"
#define MIXED MIME "Content-Type: multipart/mixed; boundary=b\n"
#define TEXT(coding) "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " coding "\n"
#define SAME "="        /* it passes octet by octet */

struct row {
	const char *promise;
	bool eight_bit;
	const char *in;
	const char *out;        /* SAME, or NULL: NEVER with this status */
	const char *status;
};

static const struct row rows[] = {
	/* Labels. */
	{ "M-14: octets over 127 without a word about them are labelled, also where they may pass", true,
	    "A: b\n\nna" O "ve\n", "A: b\n" MIME TEXT("8bit") "\nna" O "ve\n", NULL },
	{ "M-14: what is not UTF-8 as what nobody knows", true, "A: b\n\nna\xf6ve\n",
	    "A: b\n" MIME "Content-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: 8bit\n\nna\xf6ve\n", NULL },
	{ "a character that a line end cuts is none", true, "\n\xc3\n\xb6\n",
	    MIME "Content-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: 8bit\n\n\xc3\n\xb6\n", NULL },
	{ "L-25: to a server without 8BITMIME they are encoded", false, "A: b\n\nabcdefghi" O "jkl\n",
	    "A: b\n" MIME TEXT("quoted-printable") "\nabcdefghi=C3=B6jkl\n", NULL },
	{ "L-25: what is mostly not ASCII becomes base64", false, "\n" O O O "\n", MIME TEXT("base64") "\nw7bDtsO2DQo=\n", NULL },
	{ "L-04: long lines of ASCII are labelled as that", true, "\n" THOUSAND "\n",
	    MIME "Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN TEN TEN TEN TEN TEN "=\n"
	    TEN TEN TEN TEN TEN TEN TEN "01234=\n" "56789" TEN TEN "\n", NULL },
	{ "a type without a version gets the version only", true,
	    "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n\xf6\n",
	    "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n" MIME "\n\xf6\n", NULL },
	{ "L-04: a part with long lines makes the whole say its version", false, "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b\n\n" HUNDRED HUNDRED HUNDRED
	    HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\n--b--\n", NULL, "version" },
	{ "a header that is encoded needs no version", true, "Subject: abc" O "\n\nx\n", "Subject: =?utf-8?q?abc=C3=B6?=\n\nx\n", NULL },
	/* Codings. */
	{ "E-15: what is MIME passes where 8BITMIME is offered", true, MIME TEXT("8bit") "\nna" O "ve\n", SAME, NULL },
	{ "what says it is 7bit and is not, says 8bit", true, MIME TEXT("7bit") "\n" O "\n", MIME TEXT("8bit") "\n" O "\n", NULL },
	{ "what says nothing too", true, MIME "Content-Type: text/plain\n\n" O "\n",
	    MIME "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n" O "\n", NULL },
	{ "E-14: binary is never said", true, MIME TEXT("binary") "\n" O "\n", MIME TEXT("8bit") "\n" O "\n", NULL },
	{ "E-14: not of what is 7-bit either", true, "A: " O "xyz\n" MIME TEXT("binary") "\nx\n",
	    "A: =?utf-8?q?=C3=B6xyz?=\n" MIME TEXT("7bit") "\nx\n", NULL },
	{ "E-14: what is not text becomes base64 when its lines are long", true, MIME "Content-Type: a/b\nContent-Transfer-Encoding: binary\n\n\xff" THOUSAND,
	    NULL, "base64" },
	{ "what says 8bit and is not keeps its word where 8BITMIME is offered", true, "A: " O "xyz\n" MIME TEXT("8bit") "\nx\n",
	    "A: =?utf-8?q?=C3=B6xyz?=\n" MIME TEXT("8bit") "\nx\n", NULL },
	{ "and says 7bit where it is not", false, "A: " O "xyz\n" MIME TEXT("8bit") "\nx\n",
	    "A: =?utf-8?q?=C3=B6xyz?=\n" MIME TEXT("7bit") "\nx\n", NULL },
	{ "L-25: any other type becomes base64", false, MIME "Content-Type: a/b\n\nabcdefghijklmnopqrstuvwxyz\xff\n",
	    MIME "Content-Type: a/b\nContent-Transfer-Encoding: base64\n\nYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXr/DQo=\n", NULL },
	{ "L-04: base64 in long lines is wrapped again", false, MIME TEXT("base64") "\n" THOUSAND "AAAA\n", NULL, "wrapped" },
	{ "quoted-printable with what does not belong into it is mended", false, MIME TEXT("quoted-printable") "\na=3D" O "=\nb\n",
	    MIME TEXT("quoted-printable") "\na=3D=C3=B6=\nb\n", NULL },
	{ "a coding that is not known is not changed", false, MIME TEXT("x-uue") "\n" O "\n", NULL, "5.6.2" },
	{ "but may pass", true, MIME TEXT("x-uue") "\n" O "\n", SAME, NULL },
	/* Parts. */
	{ "of several parts only those that do not fit are changed", false,
	    MIXED "\n--b\n" TEXT("8bit") "\nabcdefghijkl" O "\n--b\nContent-Type: a/b\n\nx\n\n--b--\n",
	    MIXED "\n--b\n" TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n--b\nContent-Type: a/b\n\nx\n\n--b--\n", NULL },
	{ "a last line that is not ended is one", true, "A: abc" O "\n" MIXED "\n--b\n\nx\n--b--\n-" O,
	    "A: =?utf-8?q?abc=C3=B6?=\n" MIXED "Content-Transfer-Encoding: 8bit\n\n--b\n\nx\n--b--\n-" O, NULL },
	{ "the whole says what its parts are", false,
	    MIXED "Content-Transfer-Encoding: 8bit\n\n--b\n" TEXT("8bit") "\nabcdefghijkl" O "\n--b--\n",
	    MIXED "Content-Transfer-Encoding: 7bit\n\n--b\n" TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n--b--\n", NULL },
	{ "where they may pass too", true, MIXED "\n--b\n\nab" O "\n--b--\n",
	    MIXED "Content-Transfer-Encoding: 8bit\n\n--b\n" TEXT("8bit") "\nab" O "\n--b--\n", NULL },
	{ "the line end before a delimiter is not encoded", false, MIXED "\n--b\nContent-Type: a/b\n\n\xff\n--b\nContent-Type: a/b\n\n\xff\n\n--b--",
	    MIXED "\n--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w==\n--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w0K\n--b--", NULL },
	{ "a delimiter may have space behind it", false, MIXED "\n--b \t\nContent-Type: a/b\n\n\xff\n--b-- \n",
	    MIXED "\n--b \t\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w==\n--b-- \n", NULL },
	{ "a delimiter with more behind it is none", true, MIXED "\n--b\n" TEXT("8bit") "\n" O "\n--bb\n--b-\n --b\n-b\n--b--\n",
	    MIXED "Content-Transfer-Encoding: 8bit\n\n--b\n" TEXT("8bit") "\n" O "\n--bb\n--b-\n --b\n-b\n--b--\n", NULL },
	{ "what stands around the parts is read by nobody, and loses what does not fit", false, MIXED "\n" O "\n--b\n\nx\n--b--\n" O "\n--b\n",
	    MIXED "\n?" "?\n--b\n\nx\n--b--\n?" "?\n--b\n", NULL },
	{ "behind the last delimiter there are no more parts", false, MIXED "\n--b\n\nx\n--b--\n--b\n\n" O "\n--b--\n",
	    MIXED "\n--b\n\nx\n--b--\n--b\n\n?" "?\n--b--\n", NULL },
	{ "a boundary that begins another is told apart", false,
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: a/b\n\n\xff\n--bb--\n--b\nContent-Type: a/b\n\n\xfe\n--b--\n",
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w==\n--bb--\n"
	    "--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/g==\n--b--\n", NULL },
	{ "a delimiter of two is the inner one's", false,
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=\"c--\"\n\n--c--\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n" O "\n--b--\n",
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=\"c--\"\n\n--c--\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n?" "?\n--b--\n", NULL },
	{ "a part that is not closed ends where the one around it goes on", false,
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: a/b\n\n\xff\n--b\nContent-Type: a/b\n\n\xfe\n--c\n--b--\n",
	    MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w==\n"
	    "--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/g0KLS1j\n--b--\n", NULL },
	{ "one that is nowhere closed ends with the message", false, MIXED "\n--b\nContent-Type: a/b\n\n\xff\n",
	    MIXED "\n--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n/w0K\n", NULL },
	{ "a part may be nothing but its header", false, MIXED "\n--b\nX: abc" O "\n--b\n\nx\n--b--\n",
	    MIXED "\n--b\nX: =?utf-8?q?abc=C3=B6?=\n--b\n\nx\n--b--\n", NULL },
	{ "or nothing at all", false, MIXED "\n--b\n--b\n\n--b--\nabc" O "\n", MIXED "\n--b\n--b\n\n--b--\nabc?" "?\n", NULL },
	{ "a header that ends without an empty line gets it", false, MIXED "\n--b\nX: y\nabcdefghijkl" O "\n--b--\n",
	    MIXED "\n--b\nX: y\n" TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n--b--\n", NULL },
	/* Messages. */
	{ "a message in a message is one", false, MIME "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: abc" O "\n\nabcdefghijkl" O "\n",
	    MIME "Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: =?utf-8?q?abc=C3=B6?=\n"
	    MIME TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n", NULL },
	{ "in a digest too", true, MIME "Content-Type: multipart/digest; boundary=b\n\n--b\n\nX: y\n\n" O "\n--b--\n",
	    MIME "Content-Type: multipart/digest; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\nContent-Transfer-Encoding: 8bit\n\n"
	    "X: y\n" MIME TEXT("8bit") "\n" O "\n--b--\n", NULL },
	{ "a domain in an inner header too", false, MIME "Content-Type: message/rfc822\n\nTo: a@" O ".example\n\n",
	    MIME "Content-Type: message/rfc822\n\nTo: a@xn--x.example\n\n", NULL },
	{ "a delivery status may not be encoded", false, MIME "Content-Type: message/delivery-status\n\nX: " O "\n", NULL, "5.6.2" },
	/* What is signed. */
	{ "M-17: what is signed by DKIM passes where it may", true, "DKIM-Signature: x\n\nna" O "ve\n", SAME, NULL },
	{ "M-17: and goes nowhere where it may not", false, "DKIM-Signature: x\n\nna" O "ve\n", NULL, "5.6.2" },
	{ "M-17: nor with a header that would have to be changed", true, "DKIM-Signature: x\nSubject: " O "\n\nx\n", NULL, "5.6.2" },
	{ "M-17: nor with a long line", true, "DKIM-Signature: x\n\n" THOUSAND "\n", NULL, "5.6.2" },
	{ "M-17: nothing in it is looked into", true, "DKIM-Signature: x\n" MIXED "\n" O "\n--b\nContent-Transfer-Encoding: binary\n\n" O "\n--b--\n", SAME, NULL },
	{ "a signature in a message inside is no matter", false, MIME "Content-Type: message/rfc822\n\nDKIM-Signature: x\n\nabcdefghijkl" O "\n",
	    MIME "Content-Type: message/rfc822\n\nDKIM-Signature: x\n" MIME TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n", NULL },
	{ "M-17: multipart/signed passes where it may", true, MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n\n" O "\n--b\n\nx\n--b--\n", SAME, NULL },
	{ "M-17: and goes nowhere where it may not", false, MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n\n" O "\n--b--\n", NULL, "5.6.2" },
	{ "M-17: the header above it is not signed", false, "Subject: abc" O "\n" MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n",
	    "Subject: =?utf-8?q?abc=C3=B6?=\n" MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n\nx\n--b--\n", NULL },
	{ "M-17: beside a signed part others are changed", false,
	    MIXED "\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nx\n--s--\n--b\n\nabcdefghijkl" O "\n--b--\n",
	    MIXED "\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nx\n--s--\n--b\n" TEXT("quoted-printable") "\nabcdefghijkl=C3=B6\n--b--\n", NULL },
	{ "M-17: and what stands behind it too", false,
	    MIXED "\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nx\n--s--\n--b--\n" O "\n",
	    MIXED "\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nx\n--s--\n--b--\n?" "?\n", NULL },
	{ "M-17: S/MIME goes nowhere where it may not pass", false, MIME "Content-Type: application/pkcs7-mime\n\n\xff\n", NULL, "5.6.2" },
};

/* Of a row that is too long to be written twice: what it must be by its coding. */
static void
check_long(const struct row *r, const struct mime *m, struct str out)
{
	struct str line;

	assert_true(m->changed);
	assert_non_null(memmem(out.p, out.len, "\nContent-Transfer-Encoding: base64\n", 35));
	if (strcmp(r->status, "version") == 0)
		assert_non_null(memmem(out.p, out.len, "boundary=b\nMIME-Version: 1.0\n\n--b\n", 34));
	while (str_line(&out, &line))
		assert_true(line.len <= 76);
}

static void
a_row_is_kept(void **state)
{
	const struct row *r = *state;
	struct str in = str_of(r->in);

	for (size_t piece = 1; piece < 2000; piece = piece < 10 ? piece + 1 : piece * 7) {
		struct mime m = { .eight_bit = r->eight_bit, .header = { .to_ascii = to_ascii } };
		struct buf out = { 0 };
		struct why why = { 0 };
		enum outcome o = pass(&m, in, piece, &out, &why);

		if (r->out == NULL && r->status[0] == '5') {
			assert_int_equal(o, NEVER);
			assert_int_equal(why.scope, SCOPE_MESSAGE);
			assert_string_equal(why.status, r->status);
		} else {
			assert_int_equal(o, DONE);
			if (r->out == NULL)
				check_long(r, &m, buf_str(&out));
			else
				assert_string_equal(buf_c(&out), strcmp(r->out, SAME) == 0 ? r->in : r->out);
			assert_int_equal(m.has_eight_bit, memchr(out.p, '\xc3', out.len) != NULL || memchr(out.p, '\xf6', out.len) != NULL);
		}
		mime_free(&m);
		buf_free(&out);
	}
}

static void
a_nul_that_becomes_a_space_makes_a_delimiter_that_we_see(void **state)
{
	static const char in[] = "Content-Type: multipart/mixed; boundary=\"b b\"\n\n--b\0b\nContent-Type: a/b\n\n\xff\n--b\rb--\0\n\xff\n";
	static const char want[] = "Content-Type: multipart/mixed; boundary=\"b b\"\nMIME-Version: 1.0\n\n--b b\nContent-Type: a/b\n"
	    "Content-Transfer-Encoding: base64\n\n/w==\n--b b-- \n?\n";
	struct mime m = { 0 };
	struct buf out = { 0 };
	struct why why = { 0 };

	(void)state;
	assert_int_equal(pass(&m, str_from(in, sizeof in - 1), 5, &out, &why), DONE);
	assert_string_equal(buf_c(&out), want);
	mime_free(&m);
	buf_free(&out);
}

static void
utf8_in_headers_is_told(void **state)
{
	static const struct {
		const char *in;
		bool header, eight_bit;
	} texts[] = {
		{ "Subject: " O "\n\nx\n", true, true }, { "Subject: " O "\n" MIME "\nx\n", true, true }, { "Subject: x\n\nx\n", false, false },
		{ MIXED "\n--b\nX: " O "\n\nx\n--b--\n", true, true },
		/* It goes with the field that had it. */
		{ MIME "Content-Type: a/b\nContent-Transfer-Encoding: 7bit (" O ")\n\n" THOUSAND "\n", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct mime m = { .eight_bit = true, .header = { .utf8 = true } };
		struct buf out = { 0 };
		struct why why = { 0 };

		assert_int_equal(pass(&m, str_of(texts[i].in), 100, &out, &why), DONE);
		assert_int_equal(m.has_utf8_header, texts[i].header);
		assert_int_equal(m.has_eight_bit, texts[i].eight_bit);
		mime_free(&m);
		buf_free(&out);
	}
}

/* n parts, each inside the one before; the last is a text. */
static void
nest(struct buf *text, unsigned n, const char *last)
{
	for (unsigned i = 0; i < n; i++)
		buf_addf(text, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
	buf_addf(text, "\n%s\n", last);
}

static void
what_lies_too_deep_is_passed_but_not_changed(void **state)
{
	struct mime m = { 0 };
	struct buf text = { 0 }, out = { 0 };
	struct why why = { 0 };

	(void)state;
	nest(&text, MIME_DEPTH_MAX - 1, "abcdefghij" O);
	assert_int_equal(pass(&m, buf_str(&text), 100, &out, &why), DONE);
	mime_free(&m);
	buf_clear(&text);
	buf_clear(&out);
	nest(&text, MIME_DEPTH_MAX, "abcdefghij");
	assert_int_equal(pass(&m, buf_str(&text), 100, &out, &why), DONE);
	assert_false(m.changed);
	mime_free(&m);
	buf_clear(&text);
	buf_clear(&out);
	nest(&text, MIME_DEPTH_MAX, "abcdefghij" O);
	assert_int_equal(pass(&m, buf_str(&text), 100, &out, &why), NEVER);
	assert_string_equal(why.status, "5.6.2");
	mime_free(&m);
	buf_free(&text);
	buf_free(&out);
}

static void
parts(struct buf *text, unsigned n, const char *last)
{
	buf_adds(text, MIXED "\n");
	for (unsigned i = 0; i < n; i++)
		buf_adds(text, "--b\n\nx\n");
	buf_addf(text, "--b\n\n%s\n--b--\nabc" O "\n", last);
}

static void
parts_beyond_the_limit_are_passed_but_not_changed(void **state)
{
	struct mime m = { .eight_bit = true };
	struct buf text = { 0 }, out = { 0 };
	struct why why = { 0 };

	(void)state;
	/* The message itself is one; the last has the number of the limit. */
	parts(&text, MIME_PARTS_MAX - 2, THOUSAND);
	assert_int_equal(pass(&m, buf_str(&text), 5000, &out, &why), DONE);
	assert_true(m.changed);
	mime_free(&m);
	buf_clear(&text);
	buf_clear(&out);
	m.eight_bit = true;
	parts(&text, MIME_PARTS_MAX - 1, "y");
	assert_int_equal(pass(&m, buf_str(&text), 5000, &out, &why), DONE);
	assert_true(m.has_eight_bit);
	mime_free(&m);
	buf_clear(&text);
	buf_clear(&out);
	m.eight_bit = true;
	parts(&text, MIME_PARTS_MAX - 1, THOUSAND);
	assert_int_equal(pass(&m, buf_str(&text), 5000, &out, &why), NEVER);
	assert_string_equal(why.text, "the message has a line of over 998 octets, and a part that may not be changed: it has too many parts");
	mime_free(&m);
	buf_free(&text);
	buf_free(&out);
}

static void
a_header_that_is_too_long_is_passed_but_not_changed(void **state)
{
	static const struct {
		const char *line;
		enum outcome o;
	} lines[] = { { "X: y\n", DONE }, { "X: " O "\n", NEVER }, { "X: " THOUSAND "\n", NEVER } };

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct mime m = { .eight_bit = true };
		struct buf text = { 0 }, out = { 0 };
		struct why why = { 0 };

		buf_adds(&text, lines[i].line);
		for (size_t k = 0; k < (4u << 20) / 500 + 1; k++)
			buf_adds(&text, "X: " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\n");
		buf_adds(&text, "\nx\n");
		assert_int_equal(pass(&m, buf_str(&text), 65536, &out, &why), lines[i].o);
		if (lines[i].o == NEVER)
			assert_string_equal(why.status, "5.6.0");
		mime_free(&m);
		buf_free(&text);
		buf_free(&out);
	}
}

static void
a_look_that_was_broken_off_leaves_nothing(void **state)
{
	struct mime m = { 0 };
	struct buf out = { 0 };
	struct why why = { 0 };

	(void)state;
	assert_int_equal(run(&m, STR(MIXED "\n--b\n\n" O O O), 100, &out, &why), DONE);
	mime_rewind(&m, false);
	assert_int_equal(pass(&m, STR("A: b\n\nplain\n"), 100, &out, &why), DONE);
	assert_false(m.changed || m.has_eight_bit);
	assert_string_equal(buf_c(&out), "A: b\n\nplain\n");
	mime_free(&m);
	mime_free(&m);
	buf_free(&out);
}

int
main(void)
{
	static const struct CMUnitTest stories[] = {
		cmocka_unit_test(a_nul_that_becomes_a_space_makes_a_delimiter_that_we_see),
		cmocka_unit_test(utf8_in_headers_is_told),
		cmocka_unit_test(what_lies_too_deep_is_passed_but_not_changed),
		cmocka_unit_test(parts_beyond_the_limit_are_passed_but_not_changed),
		cmocka_unit_test(a_header_that_is_too_long_is_passed_but_not_changed),
		cmocka_unit_test(a_look_that_was_broken_off_leaves_nothing),
	};
	struct CMUnitTest tests[COUNT(rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + COUNT(rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
