#include "pin.h"

#include <string.h>

#include "codec.h"

#define SCHEME "sha256:"

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
from_hex(struct str s, unsigned char fingerprint[PIN_LEN])
{
	bool colons = s.len == 3 * PIN_LEN - 1;
	size_t step = colons ? 3 : 2;

	if (!colons && s.len != 2 * PIN_LEN)
		return false;
	for (size_t i = 0; i < PIN_LEN; i++) {
		int high = digit(s.p[step * i]), low = digit(s.p[step * i + 1]);

		if (high < 0 || low < 0 || (colons && i > 0 && s.p[step * i - 1] != ':'))
			return false;
		fingerprint[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

bool
pin_parse(struct str word, unsigned char fingerprint[PIN_LEN])
{
	struct buf octets = { 0 };
	bool good;

	if (!str_casestarts(word, SCHEME))
		return false;
	word.p += strlen(SCHEME);
	word.len -= strlen(SCHEME);
	if (from_hex(word, fingerprint))
		return true;
	good = codec_unbase64(&octets, word) && octets.len == PIN_LEN;
	if (good)
		memcpy(fingerprint, octets.p, PIN_LEN);
	buf_free(&octets);
	return good;
}

bool
pin_fits(struct str list, const unsigned char fingerprint[PIN_LEN])
{
	unsigned char one[PIN_LEN];

	while (list.len > 0)
		if (pin_parse(str_word(&list), one) && memcmp(one, fingerprint, PIN_LEN) == 0)
			return true;
	return false;
}

void
pin_show(struct buf *out, const unsigned char fingerprint[PIN_LEN])
{
	buf_adds(out, SCHEME);
	codec_base64(out, str_from(fingerprint, PIN_LEN));
}
