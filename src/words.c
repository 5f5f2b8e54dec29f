#include "words.h"

#include <stdint.h>
#include <string.h>

#include "codec.h"

#define FRAME 7                 /* "=?", "?q?" and "?=" */
#define WORD_LEAST 24           /* a line with less room than this is left for the next */

bool
words_is_ascii(struct str s)
{
	uint64_t eight;

	for (; s.len >= sizeof eight; s = str_skip(s, sizeof eight)) {
		memcpy(&eight, s.p, sizeof eight);
		if ((eight & UINT64_C(0x8080808080808080)) != 0)
			return false;
	}
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

const char *
words_charset(struct str s)
{
	return words_is_ascii(s) ? "us-ascii" : codec_is_utf8(s) ? "utf-8" : "unknown-8bit";
}

bool
words_is_encoded(struct str s)
{
	size_t marks = 0;

	if (s.len < 8 || s.len > WORDS_WORD + FRAME || !str_starts(s, "=?") ||
	    s.p[s.len - 2] != '?' || s.p[s.len - 1] != '=')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
		marks += s.p[i] == '?';
	}
	return marks == 4;
}

static bool
is_digit_or_letter(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 2047 section 5 (3): the octets that may stand for themselves everywhere. */
static bool
is_q_safe(unsigned char c)
{
	return is_digit_or_letter(c) || (c != '\0' && c < 0x80 && strchr("!*+-/", c) != NULL);
}

static size_t
q_len(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += is_q_safe((unsigned char)s.p[i]) || s.p[i] == ' ' ? 1 : 3;
	return n;
}

static void
put_q(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_q_safe(c))
			buf_addc(out, (char)c);
		else if (c == ' ')
			buf_addc(out, '_');
		else
			buf_addf(out, "=%02X", c);
	}
}

/* Octets of its first character; of what is none, one. */
static size_t
first_character(struct str s)
{
	uint32_t point;
	size_t n = codec_utf8(s, &point);

	return n > 0 ? n : 1;
}

void
words_encode_one(struct str *text, const char *charset, char how, size_t room, struct buf *out)
{
	size_t frame = FRAME + strlen(charset), n = 0, next = 0, len = 0;

	room = room > frame ? room - frame : 0;
	while (next < text->len) {
		size_t one = first_character(str_skip(*text, next));

		len = how == 'q' ? len + q_len(str_from(text->p + next, one)) :
		    (next + one + 2) / 3 * 4;
		if (n > 0 && len > room)
			break;
		n = next += one;
	}
	buf_addf(out, "=?%s?%c?", charset, how);
	if (how == 'q')
		put_q(str_from(text->p, n), out);
	else
		codec_base64(out, str_from(text->p, n));
	buf_adds(out, "?=");
	*text = str_skip(*text, n);
}

/* ---- folding -------------------------------------------------------------- */

/* The line ends go; where there was nothing else, a space stays. */
static void
put_space(struct fold *f, struct str space)
{
	size_t from = f->out->len;

	f->gap = f->begun ? from : 0;
	for (size_t i = 0; i < space.len; i++)
		if (space.p[i] == ' ' || space.p[i] == '\t')
			buf_addc(f->out, space.p[i]);
	if (f->out->len == from)
		buf_addc(f->out, ' ');
	f->column += f->out->len - from;
}

static void
fold_here(struct fold *f, struct str space)
{
	buf_addc(f->out, '\n');
	f->column = 0;
	put_space(f, space);
	f->gap = 0;
}

/* What has grown beyond the line goes down to the next, as a whole. */
static void
fold_back(struct fold *f)
{
	buf_addc(f->out, '\n');
	memmove(f->out->p + f->gap + 1, f->out->p + f->gap, f->out->len - 1 - f->gap);
	f->out->p[f->gap] = '\n';
	f->column = f->out->len - f->gap - 1;
	f->gap = 0;
}

/* A first word is not moved down: a line with nothing but a name is no gain, unless
 * the two would be too long for any line. */
void
fold_word(struct fold *f, struct str space, struct str word)
{
	if (space.len > 0 || f->apart) {
		if (f->column + space.len + word.len > WORDS_LINE &&
		    (f->begun || f->column + space.len + word.len > 998))
			fold_here(f, space);
		else
			put_space(f, space);
	}
	buf_addstr(f->out, word);
	f->column += word.len;
	if (f->column > WORDS_LINE && f->gap > 0)
		fold_back(f);
	f->begun = true;
	f->apart = false;
}

void
fold_encoded(struct fold *f, struct str space, const char *before, struct str text,
    const char *behind)
{
	const char *charset = words_charset(text);
	/* People read what is mostly ASCII as it stands; of an unknown character set that
	 * is all they can read. */
	char how = str_is(str_of(charset), "utf-8") && q_len(text) > 2 * text.len ? 'b' : 'q';
	size_t around = strlen(before) + strlen(behind), least = WORD_LEAST + strlen(charset) + around;
	bool first = true;

	while (text.len > 0) {
		size_t from, room;

		if (!first)
			fold_here(f, STR(" "));
		else if ((space.len > 0 || f->apart) && f->begun &&
		    f->column + space.len + least > WORDS_LINE)
			fold_here(f, space);
		else if (space.len > 0 || f->apart)
			put_space(f, space);
		if (first)
			buf_adds(f->out, before);
		room = f->column + least < WORDS_LINE ? WORDS_LINE - f->column - around : WORDS_LINE - around;
		from = f->out->len;
		words_encode_one(&text, charset, how, room < WORDS_WORD ? room : WORDS_WORD, f->out);
		f->column += f->out->len - from + (first ? strlen(before) : 0);
		f->begun = true;
		first = false;
	}
	buf_adds(f->out, behind);
	f->column += strlen(behind);
	f->apart = behind[0] == '\0';
}

/* ---- parameters ----------------------------------------------------------- */

/* RFC 2231 section 7: attribute-char, in which "*", "'" and "%" have a meaning. */
static void
put_percent(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_digit_or_letter(c) || (c > ' ' && c < 0x7f && strchr("!#$&+-.^_`{|}~", c) != NULL))
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

void
fold_parameter(struct fold *f, struct str name, struct str value)
{
	const char *charset = words_charset(value);
	struct buf whole = { 0 }, piece = { 0 };
	size_t at = 0, room;

	buf_addstr(&whole, name);
	buf_addf(&whole, "*=%s''", charset);
	put_percent(value, &whole);
	if (whole.len + 2 <= WORDS_LINE) {
		fold_word(f, (struct str){ 0 }, STR(";"));
		fold_word(f, STR(" "), buf_str(&whole));
		goto out;
	}
	room = name.len + 30 < WORDS_LINE ? WORDS_LINE - name.len - 10 : 20;
	for (unsigned i = 0; i == 0 || at < whole.len; i++) {
		size_t n;

		buf_clear(&piece);
		buf_addstr(&piece, name);
		buf_addf(&piece, "*%u*=", i);
		if (i == 0)
			at = name.len + 2;
		n = whole.len - at < room ? whole.len - at : room;
		/* An octet stays in one piece; a character need not (RFC 2231 section 4.1). */
		for (size_t back = 1; back <= 2 && at + n < whole.len && n > back; back++)
			if (whole.p[at + n - back] == '%') {
				n -= back;
				break;
			}
		buf_add(&piece, whole.p + at, n);
		at += n;
		fold_word(f, (struct str){ 0 }, STR(";"));
		fold_word(f, STR(" "), buf_str(&piece));
	}
out:
	buf_free(&whole);
	buf_free(&piece);
}

/* ---- phrases and unstructured text ---------------------------------------- */

static void
add_unfolded(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] != '\n')
			buf_addc(out, s.p[i]);
}

/* Behind the last of the words from v[i] on that are encoded together: they are of
 * one character set. */
static size_t
run_of(const struct word *v, size_t n, size_t i)
{
	bool utf8 = codec_is_utf8(v[i].text);

	while (i < n && v[i].encode && codec_is_utf8(v[i].text) == utf8)
		i++;
	return i;
}

void
fold_words(struct fold *f, const struct word *v, size_t n)
{
	struct buf text = { 0 };
	bool encoded = false;   /* the word before is an encoded one */

	for (size_t i = 0; i < n; ) {
		size_t end = run_of(v, n, i);

		if (end == i) {
			fold_word(f, v[i].space, v[i].raw);
			encoded = words_is_encoded(v[i].raw);
			i++;
			continue;
		}
		buf_clear(&text);
		for (size_t k = i; k < end; k++) {
			if (k > i || encoded)
				add_unfolded(&text, v[k].space);
			buf_addstr(&text, v[k].text);
		}
		if (end < n && words_is_encoded(v[end].raw))
			add_unfolded(&text, v[end].space);
		fold_encoded(f, encoded ? STR(" ") : v[i].space, "", buf_str(&text), "");
		encoded = true;
		i = end;
	}
	buf_free(&text);
}
