#include "phrase.h"

#include <stdint.h>
#include <string.h>

#include "codec.h"
#include "words.h"

/* Octets of a display name that a header gets: even with every one of them
 * escaped it stays below the 998 of a line (RFC 5322 section 2.1.1). */
#define NAME_MAX_OCTETS 400

static bool
is_digit_or_letter(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool
phrase_is_atext(int c)
{
	return is_digit_or_letter(c) || c >= 0x80 ||
	    (c > 0x20 && c < 0x80 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

void
phrase_add_quoted(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, s.p[i]);
	}
	buf_addc(out, '"');
}

/* Words of the "Q" encoding; what is no UTF-8 is shown as such. */
static void
add_encoded(struct buf *out, struct str s)
{
	struct buf clean = { 0 };
	struct str rest;

	for (size_t n; s.len > 0; s = str_skip(s, n > 0 ? n : 1)) {
		uint32_t point;

		n = codec_utf8(s, &point);
		buf_addstr(&clean, n > 0 ? str_from(s.p, n) : STR("\xef\xbf\xbd"));
	}
	rest = buf_str(&clean);
	while (rest.len > 0) {
		words_encode_one(&rest, "utf-8", 'q', WORDS_WORD, out);
		buf_adds(out, rest.len > 0 ? " " : "");
	}
	buf_free(&clean);
}

static bool
is_atom(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!phrase_is_atext((unsigned char)s.p[i]))
			return false;
	return s.len > 0;
}

static bool
is_encoded_word(struct str s)
{
	return is_atom(s) && s.len > 4 && str_starts(s, "=?") &&
	    s.p[s.len - 2] == '?' && s.p[s.len - 1] == '=';
}

/* Quotes the name as a whole, for that is how people write it; but an encoded
 * word inside quotes would not be decoded, so beside one each word is quoted
 * for itself. */
static void
add_ascii_phrase(struct buf *out, struct str name)
{
	bool atoms = true, encoded = false;
	struct str rest = name;

	while (rest.len > 0) {
		struct str word = str_word(&rest);

		atoms = atoms && is_atom(word);
		encoded = encoded || is_encoded_word(word);
	}
	if (atoms)
		buf_addstr(out, name);
	else if (!encoded)
		phrase_add_quoted(out, name);
	for (rest = name; encoded && !atoms && rest.len > 0; ) {
		struct str word = str_word(&rest);

		if (is_atom(word))
			buf_addstr(out, word);
		else if (word.len > 0)
			phrase_add_quoted(out, word);
		if (rest.len > 0 && word.len > 0)
			buf_addc(out, ' ');
	}
}

/* Cut where a word ends, else where a character does. */
static struct str
cut_name(struct str s)
{
	size_t n = NAME_MAX_OCTETS;

	if (s.len <= n)
		return s;
	while (n > 0 && s.p[n] != ' ')
		n--;
	if (n == 0)
		for (n = NAME_MAX_OCTETS; n > 0 && (s.p[n] & 0xc0) == 0x80; )
			n--;
	return str_trim(str_from(s.p, n));
}

void
phrase_add(struct buf *out, struct str name)
{
	struct buf clean = { 0 };
	struct str s;
	bool ascii = true;

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c >= 0x20 && c != 0x7f)
			buf_addc(&clean, (char)c);
	}
	s = cut_name(str_trim(buf_str(&clean)));
	for (size_t i = 0; i < s.len; i++)
		ascii = ascii && (unsigned char)s.p[i] < 0x80;
	if (!ascii)
		add_encoded(out, s);
	else if (s.len > 0)
		add_ascii_phrase(out, s);
	buf_free(&clean);
}
