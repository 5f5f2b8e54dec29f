/* codec: the forms of bytes on the way in and out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "codec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Two ends of one form. */
struct form {
	struct str plain, coded;
};

/* All of octet values, in an order that is not theirs. */
static struct buf
mixed_octets(size_t len)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < len; i++)
		buf_addc(&b, (char)(unsigned char)(i * 37 + i / 256));
	return b;
}

static void
base64_is_that_of_rfc_4648(void **state)
{
	static const struct form rows[] = {
		{ STR(""), STR("") }, { STR("f"), STR("Zg==") }, { STR("fo"), STR("Zm8=") },
		{ STR("foo"), STR("Zm9v") }, { STR("foob"), STR("Zm9vYg==") },
		{ STR("fooba"), STR("Zm9vYmE=") }, { STR("foobar"), STR("Zm9vYmFy") },
		{ STR("\0u\0p"), STR("AHUAcA==") }, { STR("\xff\xfb\xff"), STR("//v/") },
		{ STR("\xfb\xf0"), STR("+/A=") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf there = { 0 }, back = { 0 };

		codec_base64(&there, rows[i].plain);
		assert_true(str_eq(buf_str(&there), rows[i].coded));
		assert_true(codec_unbase64(&back, rows[i].coded));
		assert_true(str_eq(buf_str(&back), rows[i].plain));
		buf_free(&there);
		buf_free(&back);
	}
}

static void
base64_of_any_octets_comes_back(void **state)
{
	(void)state;
	for (size_t len = 0; len < 600; len += 7) {
		struct buf in = mixed_octets(len), there = { 0 }, back = { 0 };

		codec_base64(&there, buf_str(&in));
		assert_int_equal(there.len, (len + 2) / 3 * 4);
		assert_true(codec_unbase64(&back, buf_str(&there)));
		assert_true(str_eq(buf_str(&back), buf_str(&in)));
		buf_free(&in);
		buf_free(&there);
		buf_free(&back);
	}
}

static void
what_is_not_strictly_base64_is_refused(void **state)
{
	static const struct str rows[] = {
		STR("A"), STR("AB"), STR("ABC"), STR("ABCDE"), STR("===="), STR("A==="),
		STR("=AAA"), STR("AAA=BBB"), STR("AAA=BBBB"), STR("AA==BBBB"), STR("A=A="),
		STR("AA=A"), STR("AAA\n"), STR("AAAA\r\n"), STR(" AAAA"), STR("AAA A"),
		STR("AA-_"), STR("AAA\0"), STR("\0\0\0\0"), STR("Go ahead"), STR("AAA\xc3"),
		STR("Zh=="), STR("Zm9="), STR("//8/=="),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		if (codec_unbase64(&out, rows[i]))
			fail_msg("taken: '%s'", rows[i].p);
		buf_free(&out);
	}
	/* What lies behind the end of a view is none of its text. */
	for (size_t len = 1; len < 8; len++) {
		struct buf out = { 0 };

		assert_int_equal(codec_unbase64(&out, str_from("AAAAAAAA", len)), len == 4);
		buf_free(&out);
	}
}

static void
encoding_a_secret_moves_no_memory(void **state)
{
	struct buf in = mixed_octets(3000), there = { 0 }, back = { 0 };

	(void)state;
	/* A buffer that had to grow would be larger than it need be, and would
	 * have left a copy behind. */
	codec_base64(&there, buf_str(&in));
	assert_int_equal(there.cap, there.len + 1);
	assert_true(codec_unbase64(&back, buf_str(&there)));
	assert_int_equal(back.cap, back.len + 1);
	buf_free(&in);
	buf_free(&there);
	buf_free(&back);
}

static void
an_escaped_value_cannot_end_its_line(void **state)
{
	static const struct form rows[] = {
		{ STR("a\nb"), STR("a\\x0ab") }, { STR("\r\n"), STR("\\x0d\\x0a") },
		{ STR("\0"), STR("\\x00") }, { STR("\x7f"), STR("\\x7f") },
		{ STR("a\\b"), STR("a\\x5cb") }, { STR("\t"), STR("\\x09") },
		{ STR("gr\xc3\xbcn \xff"), STR("gr\xc3\xbcn \xff") }, { STR(""), STR("") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf there = { 0 }, back = { 0 };

		codec_escape(&there, rows[i].plain);
		assert_true(str_eq(buf_str(&there), rows[i].coded));
		assert_true(codec_unescape(&back, buf_str(&there)));
		assert_true(str_eq(buf_str(&back), rows[i].plain));
		buf_free(&there);
		buf_free(&back);
	}
}

static void
every_octet_survives_escaping(void **state)
{
	struct buf in = mixed_octets(1024), there = { 0 }, back = { 0 };

	(void)state;
	codec_escape(&there, buf_str(&in));
	for (size_t i = 0; i < there.len; i++)
		assert_true((unsigned char)there.p[i] >= 0x20 && there.p[i] != 0x7f);
	assert_true(codec_unescape(&back, buf_str(&there)));
	assert_true(str_eq(buf_str(&back), buf_str(&in)));
	buf_free(&in);
	buf_free(&there);
	buf_free(&back);
}

static void
what_escaping_would_not_have_written_is_refused(void **state)
{
	static const struct str rows[] = {
		STR("a\nb"), STR("\0"), STR("\x7f"), STR("\\"), STR("\\x"), STR("\\x0"),
		STR("\\x4g"), STR("\\x0A"), STR("\\x41"), STR("\\n"), STR("\\\\"), STR("\\X0a"),
		STR("\\x 1"), STR("\\x7e"), STR("\\xff"), STR("ok\\"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		if (codec_unescape(&out, rows[i]))
			fail_msg("taken: '%s'", rows[i].p);
		buf_free(&out);
	}
}

static void
a_utf8_character_is_read_with_its_length_and_code_point(void **state)
{
	static const struct {
		struct str in;
		size_t length;
		uint32_t point;
	} rows[] = {
		{ STR("a\xc3\xa4"), 1, 'a' }, { STR("\0"), 1, 0 }, { STR("\x7f"), 1, 0x7f },
		{ STR("\xc2\x80"), 2, 0x80 }, { STR("\xc3\xa4x"), 2, 0xe4 },
		{ STR("\xdf\xbf"), 2, 0x7ff }, { STR("\xe0\xa0\x80"), 3, 0x800 },
		{ STR("\xed\x9f\xbf"), 3, 0xd7ff }, { STR("\xee\x80\x80"), 3, 0xe000 },
		{ STR("\xef\xbf\xbf"), 3, 0xffff }, { STR("\xf0\x90\x80\x80"), 4, 0x10000 },
		{ STR("\xf4\x8f\xbf\xbf"), 4, 0x10ffff },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t point = 12345;

		assert_int_equal(codec_utf8(rows[i].in, &point), rows[i].length);
		assert_int_equal(point, rows[i].point);
	}
}

static void
what_is_no_utf8_character_has_no_length(void **state)
{
	static const struct str rows[] = {
		STR(""), STR("\x80"), STR("\xbf"), STR("\xc3"), STR("\xc3("),
		STR("\xe2\x82"), STR("\xf0\x9f\x93"),
		STR("\xc0\x80"), STR("\xc1\xbf"), STR("\xe0\x9f\xbf"),     /* too long a form */
		STR("\xf0\x8f\xbf\xbf"),
		STR("\xed\xa0\x80"), STR("\xed\xbf\xbf"),                 /* half a pair of UTF-16 */
		STR("\xf4\x90\x80\x80"), STR("\xf5\x80\x80\x80"),         /* beyond the last */
		STR("\xfe"), STR("\xff"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t point = 12345;

		assert_int_equal(codec_utf8(rows[i], &point), 0);
		assert_int_equal(point, 12345);
	}
}

static void
check_masks(const struct form *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf out = { 0 };

		codec_mask(&out, rows[i].plain);
		if (!str_eq(buf_str(&out), rows[i].coded))
			fail_msg("row %zu: %s", i, buf_c(&out));
		buf_free(&out);
	}
}

static void
controls_are_masked_so_that_no_terminal_obeys(void **state)
{
	static const struct form rows[] = {
		{ STR("\x1b[31mred"), STR("\\x1b[31mred") }, { STR("a\r\nb"), STR("a\\x0d\\x0ab") },
		{ STR("\0\a\b\t\x7f"), STR("\\x00\\x07\\x08\\x09\\x7f") },
		{ STR("\xc2\x9b""31m"), STR("\\u{9b}31m") }, { STR("\xc2\x85"), STR("\\u{85}") },
	};

	(void)state;
	check_masks(rows, COUNT(rows));
}

static void
characters_that_hide_or_turn_text_are_masked(void **state)
{
	static const struct form rows[] = {
		{ STR("\xe2\x80\xae""cod.exe"), STR("\\u{202e}cod.exe") },
		{ STR("\xe2\x81\xa6x\xe2\x81\xa9"), STR("\\u{2066}x\\u{2069}") },
		{ STR("a\xe2\x80\x8b""b"), STR("a\\u{200b}b") }, { STR("\xe2\x80\x8f"), STR("\\u{200f}") },
		{ STR("\xe2\x80\xa8"), STR("\\u{2028}") }, { STR("\xef\xbb\xbfx"), STR("\\u{feff}x") },
		{ STR("\xd8\x9c"), STR("\\u{61c}") }, { STR("\xc2\xad"), STR("\\u{ad}") },
		{ STR("\xf3\xa0\x81\x81"), STR("\\u{e0041}") },
	};

	(void)state;
	check_masks(rows, COUNT(rows));
}

static void
octets_that_are_not_utf8_are_masked_one_by_one(void **state)
{
	static const struct form rows[] = {
		{ STR("\xff\xfe"), STR("\\xff\\xfe") }, { STR("\x80"), STR("\\x80") },
		{ STR("\xc3"), STR("\\xc3") }, { STR("\xc3("), STR("\\xc3(") },
		{ STR("\xe2\x82"), STR("\\xe2\\x82") },
		{ STR("\xc0\xaf"), STR("\\xc0\\xaf") },                  /* overlong */
		{ STR("\xe0\x80\xaf"), STR("\\xe0\\x80\\xaf") },
		{ STR("\xed\xa0\x80"), STR("\\xed\\xa0\\x80") },         /* a surrogate */
		{ STR("\xf4\x90\x80\x80"), STR("\\xf4\\x90\\x80\\x80") },/* over 10FFFF */
		{ STR("\xf8\x88\x80\x80\x80"), STR("\\xf8\\x88\\x80\\x80\\x80") },
	};

	(void)state;
	check_masks(rows, COUNT(rows));
}

static void
ordinary_text_of_any_language_is_left_alone(void **state)
{
	static const struct form rows[] = {
		{ STR("550 5.1.1 <a@b> \\o/ \"x\""), STR("550 5.1.1 <a@b> \\o/ \"x\"") },
		{ STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xe6\xbc\xa2 \xf0\x9f\x93\xae \xd7\xa9"),
		  STR("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xe6\xbc\xa2 \xf0\x9f\x93\xae \xd7\xa9") },
		{ STR("\xc2\xa0"), STR("\xc2\xa0") },
	};

	(void)state;
	check_masks(rows, COUNT(rows));
}

static void
masking_twice_is_masking_once(void **state)
{
	struct buf in = mixed_octets(2048), once = { 0 }, twice = { 0 };

	(void)state;
	codec_mask(&once, buf_str(&in));
	codec_mask(&twice, buf_str(&once));
	assert_true(str_eq(buf_str(&once), buf_str(&twice)));
	buf_free(&in);
	buf_free(&once);
	buf_free(&twice);
}

static void
masked_text_is_cut_to_its_place_between_characters(void **state)
{
	static const struct {
		struct str in;
		size_t size;
		const char *out;
	} rows[] = {
		{ STR("abcdef"), 7, "abcdef" }, { STR("abcdef"), 6, "abcde" }, { STR("abc"), 1, "" },
		{ STR("a\xe2\x82\xac"), 5, "a\xe2\x82\xac" }, { STR("a\xe2\x82\xac"), 4, "a" },
		{ STR("a\xe2\x82\xac"), 3, "a" }, { STR("\xf0\x9f\x93\xae"), 4, "" },
		{ STR("\n"), 3, "\\x" }, { STR(""), 4, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char place[16];

		memset(place, 'z', sizeof place);
		codec_mask_to(place, rows[i].size, rows[i].in);
		assert_string_equal(place, rows[i].out);
		for (size_t k = rows[i].size; k < sizeof place; k++)
			assert_int_equal(place[k], 'z');
	}
}

static void
what_is_shown_is_masked_cut_and_stays_where_it_is(void **state)
{
	struct buf in = { 0 };
	struct shown a = codec_show(STR("a\nb")), b = codec_show(STR("")), c;

	(void)state;
	for (size_t i = 0; i < sizeof c.p; i++)
		buf_adds(&in, "\xc3\xa9");
	c = codec_show(buf_str(&in));
	assert_string_equal(a.p, "a\\x0ab");
	assert_string_equal(b.p, "");
	assert_int_equal(strlen(c.p), (sizeof c.p - 1) / 2 * 2);
	assert_memory_equal(c.p, in.p, strlen(c.p));
	buf_free(&in);
}

static void
json_strings_hold_anything_and_stay_strings(void **state)
{
	static const struct form rows[] = {
		{ STR(""), STR("\"\"") }, { STR("a"), STR("\"a\"") },
		{ STR("say \"x\""), STR("\"say \\\"x\\\"\"") }, { STR("a\\b"), STR("\"a\\\\b\"") },
		{ STR("a\nb"), STR("\"a\\\\x0ab\"") }, { STR("\xff"), STR("\"\\\\xff\"") },
		{ STR("\xe2\x80\xa8"), STR("\"\\\\u{2028}\"") },
		{ STR("\xc3\xbc"), STR("\"\xc3\xbc\"") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		codec_json(&out, rows[i].plain);
		assert_true(str_eq(buf_str(&out), rows[i].coded));
		buf_free(&out);
	}
}

struct number {
	struct str text;
	uint64_t max;
	bool good;
	uint64_t value;
};

static void
check_numbers(bool (*parse)(struct str, uint64_t, uint64_t *), const struct number *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t got = 4242;

		if (parse(rows[i].text, rows[i].max, &got) != rows[i].good)
			fail_msg("'%s' (row %zu)", rows[i].text.p, i);
		assert_int_equal(got, rows[i].good ? rows[i].value : 4242);
	}
}

static void
a_number_is_decimal_digits_within_its_bound_and_nothing_else(void **state)
{
	static const struct number rows[] = {
		{ STR("0"), 10, true, 0 }, { STR("10"), 10, true, 10 }, { STR("11"), 10, false, 0 },
		{ STR("007"), 10, true, 7 }, { STR(""), 10, false, 0 }, { STR("+1"), 10, false, 0 },
		{ STR("-1"), 10, false, 0 }, { STR(" 1"), 10, false, 0 }, { STR("1 "), 10, false, 0 },
		{ STR("1\0"), 10, false, 0 }, { STR("0x1"), 10, false, 0 }, { STR("1.0"), 10, false, 0 },
		{ STR("18446744073709551615"), UINT64_MAX, true, UINT64_MAX },
		{ STR("18446744073709551616"), UINT64_MAX, false, 0 },
		{ STR("99999999999999999999999"), UINT64_MAX, false, 0 },
		{ STR("\xd9\xa1"), 10, false, 0 },
	};

	(void)state;
	check_numbers(codec_number, rows, COUNT(rows));
}

static void
a_size_takes_k_m_and_g_of_1024(void **state)
{
	static const struct number rows[] = {
		{ STR("100"), UINT64_MAX, true, 100 }, { STR("64K"), UINT64_MAX, true, 65536 },
		{ STR("64k"), UINT64_MAX, true, 65536 }, { STR("100M"), UINT64_MAX, true, 104857600 },
		{ STR("2G"), UINT64_MAX, true, 2147483648u }, { STR("0"), 0, true, 0 },
		{ STR("1K"), 1023, false, 0 }, { STR("1K"), 1024, true, 1024 },
		{ STR("K"), UINT64_MAX, false, 0 }, { STR(""), UINT64_MAX, false, 0 },
		{ STR("1KB"), UINT64_MAX, false, 0 }, { STR("1 K"), UINT64_MAX, false, 0 },
		{ STR("1KK"), UINT64_MAX, false, 0 }, { STR("1T"), UINT64_MAX, false, 0 },
		{ STR("-1K"), UINT64_MAX, false, 0 }, { STR("1s"), UINT64_MAX, false, 0 },
		{ STR("18014398509481984K"), UINT64_MAX, false, 0 },
		{ STR("17179869184G"), UINT64_MAX, false, 0 },
	};

	(void)state;
	check_numbers(codec_size, rows, COUNT(rows));
}

static void
a_duration_takes_s_m_h_and_d_or_is_seconds(void **state)
{
	static const struct number rows[] = {
		{ STR("90"), UINT64_MAX, true, 90 }, { STR("90s"), UINT64_MAX, true, 90 },
		{ STR("5m"), UINT64_MAX, true, 300 }, { STR("2h"), UINT64_MAX, true, 7200 },
		{ STR("5d"), UINT64_MAX, true, 432000 }, { STR("0"), 10, true, 0 },
		{ STR("2m"), 119, false, 0 }, { STR("2m"), 120, true, 120 },
		{ STR("d"), UINT64_MAX, false, 0 }, { STR("5M"), UINT64_MAX, false, 0 },
		{ STR("1h30m"), UINT64_MAX, false, 0 }, { STR("1w"), UINT64_MAX, false, 0 },
		{ STR("1.5h"), UINT64_MAX, false, 0 }, { STR("-5m"), UINT64_MAX, false, 0 },
		{ STR("213503982334602d"), UINT64_MAX, false, 0 },
	};

	(void)state;
	check_numbers(codec_duration, rows, COUNT(rows));
}

static void
a_checksum_is_eight_small_hexadecimal_digits(void **state)
{
	static const struct {
		struct str text;
		bool good;
		uint32_t value;
	} rows[] = {
		{ STR("e3069283"), true, 0xe3069283 }, { STR("00000000"), true, 0 },
		{ STR("ffffffff"), true, 0xffffffff }, { STR("E3069283"), false, 0 },
		{ STR("e306928"), false, 0 }, { STR("e30692833"), false, 0 }, { STR(""), false, 0 },
		{ STR("0xe30692"), false, 0 }, { STR("e306928 "), false, 0 }, { STR("e306928\0"), false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint32_t got = 7;

		assert_int_equal(codec_hex32(rows[i].text, &got), rows[i].good);
		assert_int_equal(got, rows[i].good ? rows[i].value : 7);
	}
}

static void
a_date_is_that_of_rfc_5322_in_any_zone(void **state)
{
	static const struct {
		time_t when;
		long offset;
		const char *date;
	} rows[] = {
		{ 0, 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ 1795575990, 0, "Wed, 25 Nov 2026 03:06:30 +0000" },
		{ 1795575990, 3600, "Wed, 25 Nov 2026 04:06:30 +0100" },
		{ 1795575990, -3600 * 8, "Tue, 24 Nov 2026 19:06:30 -0800" },
		{ 1782302400, -9000, "Wed, 24 Jun 2026 09:30:00 -0230" },         /* St John's */
		{ 1795575990, 20700, "Wed, 25 Nov 2026 08:51:30 +0545" },         /* Kathmandu */
		{ 1795575990, 49500, "Wed, 25 Nov 2026 16:51:30 +1345" },         /* Chatham */
		{ 1798761599, 50400, "Fri, 1 Jan 2027 13:59:59 +1400" },          /* Kiritimati */
		{ 951782400, 0, "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ 4102444800, 0, "Fri, 1 Jan 2100 00:00:00 +0000" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		codec_date(&out, rows[i].when, rows[i].offset);
		assert_string_equal(buf_c(&out), rows[i].date);
		buf_free(&out);
	}
}

static void
a_date_and_its_zone_agree_where_the_zone_has_seconds(void **state)
{
	struct buf out = { 0 };

	(void)state;
	codec_date(&out, 0, -2670);     /* Monrovia until 1972: -0:44:30 */
	assert_string_equal(buf_c(&out), "Wed, 31 Dec 1969 23:16:00 -0044");
	buf_clear(&out);
	/* -0000 would say that the zone is not known (RFC 5322 section 3.3). */
	codec_date(&out, 0, -30);
	assert_string_equal(buf_c(&out), "Thu, 1 Jan 1970 00:00:00 +0000");
	buf_free(&out);
}

static void
a_moment_is_read_with_its_zone_and_in_no_other_form(void **state)
{
	static const struct {
		const char *text;
		long long when;         /* -1: refused */
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 }, { "2026-11-25T03:06:30Z", 1795575990 },
		{ "2026-11-25T04:06:30+01:00", 1795575990 }, { "2026-11-24T21:36:30-05:30", 1795575990 },
		{ "2024-02-29T00:00:00Z", 1709164800 }, { "2000-02-29T00:00:00Z", 951782400 },
		{ "2016-12-31T23:59:60Z", 1483228800 }, { "2100-03-01T00:00:00Z", 4107542400 },
		{ "9999-12-31T23:59:59Z", 253402300799 },
		{ "2023-02-29T00:00:00Z", -1 }, { "2100-02-29T00:00:00Z", -1 }, { "2026-13-01T00:00:00Z", -1 },
		{ "2026-00-01T00:00:00Z", -1 }, { "2026-01-00T00:00:00Z", -1 }, { "2026-04-31T00:00:00Z", -1 },
		{ "2026-01-01T24:00:00Z", -1 }, { "2026-01-01T00:60:00Z", -1 }, { "2026-01-01T00:00:61Z", -1 },
		{ "1969-12-31T23:59:59Z", -1 }, { "2026-01-01T00:00:00", -1 }, { "2026-01-01T00:00:00z", -1 },
		{ "2026-01-01t00:00:00Z", -1 }, { "2026-01-01 00:00:00Z", -1 }, { "2026-01-01T00:00Z", -1 },
		{ "2026-01-01T00:00:00.5Z", -1 }, { "2026-01-01T00:00:00+0100", -1 }, { "2026-01-01T00:00:00+01", -1 },
		{ "2026-01-01T00:00:00+24:00", -1 }, { "2026-01-01T00:00:00+01:60", -1 }, { "26-01-01T00:00:00Z", -1 },
		{ "2026-1-01T00:00:00Z", -1 }, { "2026/01/01T00:00:00Z", -1 }, { "+026-01-01T00:00:00Z", -1 },
		{ "2026-01-01T00:00:00ZZ", -1 }, { "", -1 }, { "tomorrow", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		time_t when = -1;
		bool good = codec_read_stamp(str_of(rows[i].text), &when);

		if (good != (rows[i].when >= 0) || (long long)when != rows[i].when)
			fail_msg("%s: %lld", rows[i].text, (long long)when);
	}
}

static void
every_stamp_that_is_written_is_read(void **state)
{
	(void)state;
	/* Steps that meet every day of the year and every hour of the day. */
	for (time_t when = 0; when < (time_t)253402300800; when += 86400 * 11 + 3661) {
		struct buf out = { 0 };
		time_t back = -1;

		codec_stamp(&out, when);
		if (!codec_read_stamp(buf_str(&out), &back) || back != when)
			fail_msg("%s: %lld", buf_c(&out), (long long)back);
		buf_free(&out);
	}
}

static void
a_stamp_is_in_utc_to_the_second(void **state)
{
	static const struct {
		time_t when;
		const char *stamp;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00Z" }, { 1795575990, "2026-11-25T03:06:30Z" },
		{ 951868799, "2000-02-29T23:59:59Z" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		codec_stamp(&out, rows[i].when);
		assert_string_equal(buf_c(&out), rows[i].stamp);
		buf_free(&out);
	}
}

static void
an_age_is_short_and_never_negative(void **state)
{
	static const struct {
		int64_t seconds;
		const char *age;
	} rows[] = {
		{ INT64_MIN, "0s" }, { -1, "0s" }, { 0, "0s" }, { 119, "119s" }, { 120, "2m" },
		{ 7199, "119m" }, { 7200, "2h" }, { 172799, "47h" }, { 172800, "2d" },
		{ 864000, "10d" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = { 0 };

		codec_age(&out, rows[i].seconds);
		assert_string_equal(buf_c(&out), rows[i].age);
		buf_free(&out);
	}
}

static void
the_checksum_has_the_values_of_rfc_3720(void **state)
{
	unsigned char zeros[32] = { 0 }, ones[32], up[32], down[32];

	(void)state;
	for (size_t i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	assert_int_equal(codec_crc32c(0, "", 0), 0);
	assert_int_equal(codec_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(codec_crc32c(0, "a", 1), 0xc1d04330);
	assert_int_equal(codec_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(codec_crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(codec_crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(codec_crc32c(0, down, 32), 0x113fdb5c);
}

static void
a_checksum_is_the_same_in_pieces_and_at_any_alignment(void **state)
{
	struct buf in = mixed_octets(300);
	uint32_t whole = codec_crc32c(0, in.p, in.len);

	(void)state;
	for (size_t cut = 0; cut <= in.len; cut++) {
		uint32_t crc = codec_crc32c(0, in.p, cut);

		assert_int_equal(codec_crc32c(crc, in.p + cut, in.len - cut), whole);
	}
	buf_free(&in);
}

static void
a_checksum_is_the_same_whether_the_processor_helps_or_not(void **state)
{
	struct buf in = mixed_octets(300);

	(void)state;
	assert_int_equal(codec_crc32c_by_table(0, "123456789", 9), 0xe3069283);
	for (size_t len = 0; len <= in.len; len++)
		for (uint32_t crc = 0; crc <= 1; crc++)
			assert_int_equal(codec_crc32c_by_table(crc, in.p, len), codec_crc32c(crc, in.p, len));
	buf_free(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_that_of_rfc_4648),
		cmocka_unit_test(base64_of_any_octets_comes_back),
		cmocka_unit_test(what_is_not_strictly_base64_is_refused),
		cmocka_unit_test(encoding_a_secret_moves_no_memory),
		cmocka_unit_test(an_escaped_value_cannot_end_its_line),
		cmocka_unit_test(every_octet_survives_escaping),
		cmocka_unit_test(what_escaping_would_not_have_written_is_refused),
		cmocka_unit_test(a_utf8_character_is_read_with_its_length_and_code_point),
		cmocka_unit_test(what_is_no_utf8_character_has_no_length),
		cmocka_unit_test(controls_are_masked_so_that_no_terminal_obeys),
		cmocka_unit_test(characters_that_hide_or_turn_text_are_masked),
		cmocka_unit_test(octets_that_are_not_utf8_are_masked_one_by_one),
		cmocka_unit_test(ordinary_text_of_any_language_is_left_alone),
		cmocka_unit_test(masking_twice_is_masking_once),
		cmocka_unit_test(masked_text_is_cut_to_its_place_between_characters),
		cmocka_unit_test(what_is_shown_is_masked_cut_and_stays_where_it_is),
		cmocka_unit_test(json_strings_hold_anything_and_stay_strings),
		cmocka_unit_test(a_number_is_decimal_digits_within_its_bound_and_nothing_else),
		cmocka_unit_test(a_size_takes_k_m_and_g_of_1024),
		cmocka_unit_test(a_duration_takes_s_m_h_and_d_or_is_seconds),
		cmocka_unit_test(a_checksum_is_eight_small_hexadecimal_digits),
		cmocka_unit_test(a_date_is_that_of_rfc_5322_in_any_zone),
		cmocka_unit_test(a_date_and_its_zone_agree_where_the_zone_has_seconds),
		cmocka_unit_test(a_stamp_is_in_utc_to_the_second),
		cmocka_unit_test(a_moment_is_read_with_its_zone_and_in_no_other_form),
		cmocka_unit_test(every_stamp_that_is_written_is_read),
		cmocka_unit_test(an_age_is_short_and_never_negative),
		cmocka_unit_test(the_checksum_has_the_values_of_rfc_3720),
		cmocka_unit_test(a_checksum_is_the_same_in_pieces_and_at_any_alignment),
		cmocka_unit_test(a_checksum_is_the_same_whether_the_processor_helps_or_not),
	};

	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
