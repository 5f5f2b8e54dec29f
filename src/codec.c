#include "codec.h"

#include <stdio.h>
#include <string.h>
#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <nmmintrin.h>
#include <sys/platform/x86.h>
#define PROCESSOR_KNOWS_CRC32C() CPU_FEATURE_ACTIVE(SSE4_2)
#endif

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
codec_base64(struct buf *out, struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;

	buf_reserve(out, (in.len + 2) / 3 * 4);
	for (size_t i = 0; i < in.len; i += 3) {
		size_t left = in.len - i;
		uint32_t v = (uint32_t)p[i] << 16;

		if (left > 1)
			v |= (uint32_t)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		buf_addc(out, base64_digits[v >> 18]);
		buf_addc(out, base64_digits[v >> 12 & 63]);
		buf_addc(out, left > 1 ? base64_digits[v >> 6 & 63] : '=');
		buf_addc(out, left > 2 ? base64_digits[v & 63] : '=');
	}
}

static int
base64_value(char c)
{
	const char *at = c != '\0' ? strchr(base64_digits, c) : NULL;

	return at != NULL ? (int)(at - base64_digits) : -1;
}

bool
codec_unbase64(struct buf *out, struct str in)
{
	if (in.len % 4 != 0)
		return false;
	buf_reserve(out, in.len / 4 * 3);
	for (size_t i = 0; i < in.len; i += 4) {
		bool last = i + 4 == in.len;
		int pad = !last ? 0 : in.p[i + 3] != '=' ? 0 : in.p[i + 2] != '=' ? 1 : 2;
		uint32_t v = 0;
		char three[3];

		for (int k = 0; k < 4 - pad; k++) {
			int d = base64_value(in.p[i + (size_t)k]);

			if (d < 0)
				return false;
			v |= (uint32_t)d << (18 - 6 * k);
		}
		/* Bits behind the end must be zero, or two texts would mean the same. */
		if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
			return false;
		three[0] = (char)(v >> 16);
		three[1] = (char)(v >> 8);
		three[2] = (char)v;
		buf_add(out, three, 3 - (size_t)pad);
	}
	return true;
}

void
codec_escape(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c < 0x20 || c == 0x7f || c == '\\')
			buf_addf(out, "\\x%02x", c);
		else
			buf_addc(out, (char)c);
	}
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
codec_unescape(struct buf *out, struct str in)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == '\\') {
			int hi, lo;

			if (in.len - i < 4 || in.p[i + 1] != 'x')
				return false;
			hi = hex_value(in.p[i + 2]);
			lo = hex_value(in.p[i + 3]);
			if (hi < 0 || lo < 0)
				return false;
			c = (unsigned char)(hi << 4 | lo);
			if (c >= 0x20 && c != 0x7f && c != '\\')
				return false;
			i += 3;
		}
		buf_addc(out, (char)c);
	}
	return true;
}

size_t
codec_utf8(struct str in, uint32_t *point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n;
	uint32_t v;

	if (in.len == 0)
		return 0;
	n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 :
	    p[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > in.len)
		return 0;
	v = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*point = v;
	return n;
}

bool
codec_is_utf8(struct str in)
{
	uint32_t point;
	size_t n = 1;

	for (; in.len > 0 && n > 0; in = str_from(in.p + n, in.len - n))
		n = codec_utf8(in, &point);
	return n > 0;
}

/* Characters that change how others are shown: zero-width and joiners, line
 * and paragraph separators, bidirectional overrides and isolates, the BOM. */
static bool
is_trick(uint32_t v)
{
	return (v >= 0x200b && v <= 0x200f) || (v >= 0x2028 && v <= 0x202e) ||
	    (v >= 0x2060 && v <= 0x206f) || v == 0x061c || v == 0xfeff || v == 0x00ad ||
	    (v >= 0xe0000 && v <= 0xe007f);
}

void
codec_mask(struct buf *out, struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;

	for (size_t i = 0; i < in.len; ) {
		uint32_t v = 0;
		size_t n = codec_utf8(str_from(p + i, in.len - i), &v);

		if (n == 0 || v < 0x20 || v == 0x7f) {
			buf_addf(out, "\\x%02x", p[i]);
			i++;
			continue;
		}
		if ((v >= 0x80 && v < 0xa0) || is_trick(v))
			buf_addf(out, "\\u{%x}", v);
		else
			buf_add(out, p + i, n);
		i += n;
	}
}

void
codec_mask_to(char *out, size_t size, struct str in)
{
	struct buf b = { 0 };
	size_t n;

	codec_mask(&b, in);
	n = b.len < size ? b.len : size - 1;
	/* Never in the middle of a character: half of one is not UTF-8. */
	while (n > 0 && n < b.len && (b.p[n] & 0xc0) == 0x80)
		n--;
	memcpy(out, buf_c(&b), n);
	out[n] = '\0';
	buf_free(&b);
}

struct shown
codec_show(struct str in)
{
	struct shown shown;

	codec_mask_to(shown.p, sizeof shown.p, in);
	return shown;
}

void
codec_json(struct buf *out, struct str in)
{
	struct buf b = { 0 };

	codec_mask(&b, in);
	buf_addc(out, '"');
	for (size_t i = 0; i < b.len; i++) {
		if (b.p[i] == '"' || b.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, b.p[i]);
	}
	buf_addc(out, '"');
	buf_free(&b);
}

bool
codec_number(struct str in, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (in.len == 0)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		if (in.p[i] < '0' || in.p[i] > '9' ||
		    __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(in.p[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}

bool
codec_hex32(struct str in, uint32_t *out)
{
	uint32_t v = 0;

	if (in.len != 8)
		return false;
	for (size_t i = 0; i < 8; i++) {
		int d = hex_value(in.p[i]);

		if (d < 0)
			return false;
		v = v << 4 | (uint32_t)d;
	}
	*out = v;
	return true;
}

struct unit {
	char letter;
	uint64_t factor;
};

/* A number with an optional letter behind it. */
static bool
number_with_unit(struct str in, const struct unit *units, uint64_t max, uint64_t *out)
{
	uint64_t factor = 1, v;

	if (in.len > 0) {
		char last = in.p[in.len - 1];

		for (; units->letter != '\0'; units++) {
			if (units->letter == last) {
				factor = units->factor;
				in.len--;
				break;
			}
		}
	}
	if (!codec_number(in, max, &v) || __builtin_mul_overflow(v, factor, &v) || v > max)
		return false;
	*out = v;
	return true;
}

bool
codec_size(struct str in, uint64_t max, uint64_t *out)
{
	static const struct unit units[] = {
		{ 'K', 1u << 10 }, { 'M', 1u << 20 }, { 'G', 1u << 30 },
		{ 'k', 1u << 10 }, { 'm', 1u << 20 }, { 'g', 1u << 30 }, { '\0', 0 },
	};

	return number_with_unit(in, units, max, out);
}

bool
codec_duration(struct str in, uint64_t max, uint64_t *out)
{
	static const struct unit units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { '\0', 0 },
	};

	return number_with_unit(in, units, max, out);
}

void
codec_date(struct buf *out, time_t when, long offset)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t shifted;
	long minutes = (offset < 0 ? -offset : offset) / 60;
	struct tm tm;

	/* The zone has no seconds (as old local mean times do), so the time has
	 * none of them either; and no "-0000", which says "unknown". */
	offset -= offset % 60;
	shifted = when + offset;
	if (gmtime_r(&shifted, &tm) == NULL)
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	buf_addf(out, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday], tm.tm_mday,
	    months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

void
codec_stamp(struct buf *out, time_t when)
{
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL)
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70 };
	buf_addf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* The digits at an offset. */
static bool
digits_at(struct str in, size_t at, size_t n, unsigned max, unsigned *out)
{
	uint64_t v;

	if (in.len < at + n || !codec_number(str_from(in.p + at, n), max, &v))
		return false;
	*out = (unsigned)v;
	return true;
}

/* "Z", "+01:00": minutes east of UTC. */
static bool
read_zone(struct str zone, int *minutes)
{
	unsigned h, m;

	*minutes = 0;
	if (str_is(zone, "Z"))
		return true;
	if (zone.len != 6 || (zone.p[0] != '+' && zone.p[0] != '-') || zone.p[3] != ':' ||
	    !digits_at(zone, 1, 2, 23, &h) || !digits_at(zone, 4, 2, 59, &m))
		return false;
	*minutes = (zone.p[0] == '-' ? -1 : 1) * (int)(h * 60 + m);
	return true;
}

/* Days from 1970-01-01 to that day of the Gregorian calendar, whose years begin here in
 * March, so that the leap day is their last. */
static int64_t
days_to(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

bool
codec_read_stamp(struct str in, time_t *when)
{
	static const unsigned days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	unsigned year, month, day, hour, minute, second;
	int zone;
	bool leap;

	if (!digits_at(in, 0, 4, 9999, &year) || !digits_at(in, 5, 2, 12, &month) ||
	    !digits_at(in, 8, 2, 31, &day) || !digits_at(in, 11, 2, 23, &hour) ||
	    !digits_at(in, 14, 2, 59, &minute) || !digits_at(in, 17, 2, 60, &second) ||
	    in.p[4] != '-' || in.p[7] != '-' || in.p[10] != 'T' || in.p[13] != ':' || in.p[16] != ':' ||
	    !read_zone(str_from(in.p + 19, in.len - 19), &zone))
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1970 || month == 0 || day == 0 || day > days[month - 1] + (leap && month == 2))
		return false;
	*when = (time_t)((days_to(year, month, day) * 24 + hour) * 60 + (int)minute - zone) * 60 + second;
	return true;
}

void
codec_age(struct buf *out, int64_t seconds)
{
	if (seconds < 0)
		seconds = 0;
	if (seconds < 120)
		buf_addf(out, "%llds", (long long)seconds);
	else if (seconds < 2 * 3600)
		buf_addf(out, "%lldm", (long long)(seconds / 60));
	else if (seconds < 2 * 86400)
		buf_addf(out, "%lldh", (long long)(seconds / 3600));
	else
		buf_addf(out, "%lldd", (long long)(seconds / 86400));
}

/* Eight octets a step (slicing by 8): a 30 MiB message is summed in 20 ms.
 * The tables are made at the first use, in a few microseconds, rather than
 * stand here as two thousand numbers nobody can check by eye. */
static uint32_t crc_table[8][256];

static void
crc_prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int k = 0; k < 8; k++)
			v = v & 1 ? v >> 1 ^ 0x82f63b78u : v >> 1;
		crc_table[0][i] = v;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] = crc_table[k - 1][i] >> 8 ^
			    crc_table[0][crc_table[k - 1][i] & 0xff];
}

uint32_t
codec_crc32c_by_table(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	if (crc_table[0][1] == 0)
		crc_prepare();
	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8) {
		uint32_t lo = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 |
		    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

		crc = crc_table[7][lo & 0xff] ^ crc_table[6][lo >> 8 & 0xff] ^
		    crc_table[5][lo >> 16 & 0xff] ^ crc_table[4][lo >> 24] ^
		    crc_table[3][p[4]] ^ crc_table[2][p[5]] ^
		    crc_table[1][p[6]] ^ crc_table[0][p[7]];
	}
	for (; len > 0; len--, p++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#ifdef PROCESSOR_KNOWS_CRC32C
static uint32_t __attribute__((target("sse4.2")))
crc_by_processor(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t word, wide = ~crc;

	for (; len >= sizeof word; len -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len > 0; len--, p++)
		crc = _mm_crc32_u8(crc, *p);
	return ~crc;
}
#endif

/* By table it would be a tenth of a long message's way into the queue.  Whether
 * the processor can do it, the C library knows; to ask again would cost more in
 * a virtual machine than a short message's sum. */
uint32_t
codec_crc32c(uint32_t crc, const void *data, size_t len)
{
#ifdef PROCESSOR_KNOWS_CRC32C
	if (PROCESSOR_KNOWS_CRC32C())
		return crc_by_processor(crc, data, len);
#endif
	return codec_crc32c_by_table(crc, data, len);
}
