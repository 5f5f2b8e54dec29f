/* encode: what is written can be read back, and every line of it passes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "encode.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define TEN "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

struct row {
	const char *promise;
	enum encoding how;
	struct str in;
	struct str out;
	bool before_delimiter;
	bool eight_bit;
};

#define ROW(promise, how, in, out, ...) { promise, how, STR(in), STR(out), __VA_ARGS__ }

static const struct row rows[] = {
	ROW("what is as it is has no CR and no NUL", ENCODE_NONE, "a\rb\0c\xff\nd", "a b c\xff\nd", false, false),
	ROW("pruned, octets over 127 are question marks", ENCODE_PRUNE, "a\xc3\xb6\r\n", "a?? \n", false, false),
	ROW("but where they may pass", ENCODE_PRUNE, "a\xc3\xb6\n", "a\xc3\xb6\n", false, true),
	ROW("quoted-printable has what is ASCII as it is", ENCODE_QP, "Hello, <b>!\t~\n", "Hello, <b>!\t~\n", false, false),
	ROW("and all else as its number", ENCODE_QP, "a=b\xc3\xb6\x7f\x01\r\0\n", "a=3Db=C3=B6=7F=01=0D=00\n", false, false),
	ROW("space at the end of a line is one, not nothing", ENCODE_QP, "a \nb\t\n \n", "a=20\nb=09\n=20\n", false, false),
	ROW("at the end of the text too", ENCODE_QP, "a ", "a=20", false, false),
	ROW("inside a line it stays", ENCODE_QP, "a  b", "a  b", false, false),
	ROW("a line ends softly before its 77th octet", ENCODE_QP, SEVENTY "12345" "6", SEVENTY "12345=\n6", false, false),
	ROW("and a number is not cut", ENCODE_QP, SEVENTY "123\xff", SEVENTY "123=\n=FF", false, false),
	ROW("75 octets need no soft end", ENCODE_QP, SEVENTY "12345\n", SEVENTY "12345\n", false, false),
	ROW("no soft end makes a delimiter", ENCODE_QP, SEVENTY "12345--b\n", SEVENTY "12345=\n=2D-b\n", false, false),
	ROW("nor does a line", ENCODE_QP, "--b\n", "=2D-b\n", false, false),
	ROW("base64 has line ends as CRLF", ENCODE_BASE64, "a\nb\n", "YQ0KYg0K\n", false, false),
	ROW("but not the one that is the delimiter's", ENCODE_BASE64, "a\nb\n", "YQ0KYg==\n", true, false),
	ROW("and has CR and NUL as they are", ENCODE_BASE64, "\r\0\n", "DQANCg==\n", false, false),
	ROW("in lines of 76", ENCODE_BASE64, SEVENTY, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2\nNzg5MDEyMzQ1Njc4OQ==\n", false, false),
	ROW("of nothing is nothing", ENCODE_BASE64, "", "", false, false),
	ROW("quoted-printable that is too long ends softly", ENCODE_MEND_QP, SEVENTY "123=3D4\n", SEVENTY "123=\n=3D4\n", false, false),
	ROW("its soft ends stay", ENCODE_MEND_QP, "a=\nb= \nc=3D=\n", "a=\nb= \nc=3D=\n", false, false),
	ROW("and what does not belong into it is encoded", ENCODE_MEND_QP, "a\xff" "=\xc3" "4==3Db\r\0=\r", "a=FF==C34==3Db  = ", false, false),
	ROW("base64 that is too long is wrapped again", ENCODE_MEND_BASE64, SEVENTY SEVENTY "AB==\n", SEVENTY "012345\n6789" TEN TEN TEN TEN TEN TEN "AB==\n", false, false),
	ROW("and what does not belong into it goes", ENCODE_MEND_BASE64, "A-A\xff\n A \tA\r\0", "AAAA\n", false, false),
	ROW("a full last line is ended once", ENCODE_MEND_BASE64, SEVENTY "012345\n", SEVENTY "012345\n", false, false),
};

static void
encode_in_pieces(const struct row *r, size_t piece, struct buf *out)
{
	struct encode e = { .how = r->how, .eight_bit = r->eight_bit };

	for (size_t at = 0; at < r->in.len; at += piece)
		encode_feed(&e, str_from(r->in.p + at, r->in.len - at < piece ? r->in.len - at : piece), out);
	encode_end(&e, r->before_delimiter, out);
}

static void
a_row_is_kept(void **state)
{
	const struct row *r = *state;

	for (size_t piece = 1; piece <= r->in.len + 1; piece++) {
		struct buf out = { 0 };

		encode_in_pieces(r, piece, &out);
		if (!str_eq(buf_str(&out), r->out))
			print_error("pieces of %zu: %s\n", piece, buf_c(&out));
		assert_true(str_eq(buf_str(&out), r->out));
		buf_free(&out);
	}
}

static void
a_long_line_that_nobody_reads_is_cut_and_is_no_delimiter(void **state)
{
	struct buf in = { 0 }, out = { 0 };
	struct encode e = { .how = ENCODE_PRUNE };
	struct str rest, line;
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 998; i++)
		buf_addc(&in, 'x');
	for (int i = 0; i < 998; i++)
		buf_addc(&in, '-');
	encode_feed(&e, buf_str(&in), &out);
	encode_end(&e, true, &out);
	rest = buf_str(&out);
	for (; str_line(&rest, &line); lines++)
		assert_true(line.len <= 998 && line.p[0] != '-');
	assert_int_equal(lines, 3);
	buf_free(&in);
	buf_free(&out);
}

static int
hex(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* What a reader makes of quoted-printable (RFC 2045 section 6.7). */
static void
read_qp(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.p[i] != '=') {
			buf_addc(out, in.p[i]);
		} else if (in.p[i + 1] == '\n') {
			i++;
		} else {
			buf_addc(out, (char)(hex(in.p[i + 1]) * 16 + hex(in.p[i + 2])));
			i += 2;
		}
	}
}

static void
read_base64(struct str in, struct buf *out)
{
	struct str line;
	struct buf all = { 0 }, said = { 0 };

	while (str_line(&in, &line))
		buf_addstr(&all, line);
	assert_true(codec_unbase64(&said, buf_str(&all)));
	/* Line ends were ours; a CR before one of the text's was there. */
	for (size_t i = 0; i < said.len; i++)
		if (said.p[i] != '\r' || i + 1 == said.len || said.p[i + 1] != '\n')
			buf_addc(out, said.p[i]);
	buf_free(&all);
	buf_free(&said);
}

static void
random_octets_are_read_back(void **state)
{
	static const char some[] = "ab =-.\t\n\n\r\xc3\xb6~--";
	uint64_t draw = 88172645463325252u;

	(void)state;
	for (int n = 0; n < 2000; n++) {
		struct buf in = { 0 }, out = { 0 }, said = { 0 };
		struct encode e = { .how = n % 2 == 0 ? ENCODE_QP : ENCODE_BASE64 };
		struct str rest, line;

		for (int i = 0; i < n % 300; i++) {
			draw ^= draw << 13, draw ^= draw >> 7, draw ^= draw << 17;
			buf_addc(&in, some[draw % (sizeof some - 1)]);
		}
		for (size_t at = 0, len; at < in.len; at += len) {
			len = 1 + (size_t)n % 7 < in.len - at ? 1 + (size_t)n % 7 : in.len - at;
			encode_feed(&e, str_from(in.p + at, len), &out);
		}
		encode_end(&e, false, &out);
		rest = buf_str(&out);
		while (str_line(&rest, &line)) {
			assert_true(line.len <= 76 && !str_starts(line, "--"));
			assert_false(line.len > 0 && (line.p[line.len - 1] == ' ' || line.p[line.len - 1] == '\t'));
		}
		if (n % 2 == 0)
			read_qp(buf_str(&out), &said);
		else
			read_base64(buf_str(&out), &said);
		assert_true(str_eq(buf_str(&said), buf_str(&in)));
		buf_free(&in);
		buf_free(&out);
		buf_free(&said);
	}
}

int
main(void)
{
	static const struct CMUnitTest stories[] = {
		cmocka_unit_test(a_long_line_that_nobody_reads_is_cut_and_is_no_delimiter),
		cmocka_unit_test(random_octets_are_read_back),
	};
	struct CMUnitTest tests[COUNT(rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + COUNT(rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
