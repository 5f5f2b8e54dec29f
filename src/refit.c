#include "refit.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "words.h"

/* A word longer than this is encoded: with its name before it, it would fit into
 * no line. */
#define WORD_LONG 900

/* Tokens of a field with parameters; each is looked for among the others. */
#define PARAMETERS_MAX 1000

enum kind {
	TEXT,                   /* unstructured */
	ADDRESSES,
	PARAMETERS,
	STRICT,                 /* a grammar of its own, with comments at most */
	VITAL,                  /* the same, and the text cannot be read without it */
};

static const struct {
	const char *name;
	enum kind kind;
} kinds[] = {
	{ "From", ADDRESSES }, { "Sender", ADDRESSES }, { "Reply-To", ADDRESSES }, { "To", ADDRESSES },
	{ "Cc", ADDRESSES }, { "Bcc", ADDRESSES }, { "Resent-From", ADDRESSES },
	{ "Resent-Sender", ADDRESSES }, { "Resent-Reply-To", ADDRESSES }, { "Resent-To", ADDRESSES },
	{ "Resent-Cc", ADDRESSES }, { "Resent-Bcc", ADDRESSES }, { "Errors-To", ADDRESSES },
	{ "Disposition-Notification-To", ADDRESSES }, { "Return-Receipt-To", ADDRESSES },
	{ "Mail-Followup-To", ADDRESSES }, { "Mail-Reply-To", ADDRESSES }, { "Apparently-To", ADDRESSES },
	{ "Content-Type", PARAMETERS }, { "Content-Disposition", PARAMETERS },
	{ "Date", STRICT }, { "Resent-Date", STRICT }, { "Message-ID", STRICT },
	{ "Resent-Message-ID", STRICT }, { "In-Reply-To", STRICT }, { "References", STRICT },
	{ "Received", STRICT }, { "Return-Path", STRICT }, { "MIME-Version", VITAL },
	{ "Content-Transfer-Encoding", VITAL }, { "Content-ID", STRICT },
	{ "Content-Location", STRICT }, { "Content-Language", STRICT }, { "DKIM-Signature", STRICT },
	{ "ARC-Seal", STRICT }, { "ARC-Message-Signature", STRICT },
	{ "ARC-Authentication-Results", STRICT }, { "Authentication-Results", STRICT },
	{ "Received-SPF", STRICT }, { "Autocrypt", STRICT }, { "List-ID", STRICT },
	{ "List-Archive", STRICT }, { "List-Help", STRICT }, { "List-Owner", STRICT },
	{ "List-Post", STRICT }, { "List-Subscribe", STRICT }, { "List-Unsubscribe", STRICT },
	{ "List-Unsubscribe-Post", STRICT }, { "Auto-Submitted", STRICT },
	{ "Original-Recipient", STRICT },
};

static enum kind
kind_of(struct str name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_caseis(name, kinds[i].name))
			return kinds[i].kind;
	return TEXT;
}

/* One field under way. */
struct work {
	const struct refit_terms *t;
	struct str name;
	struct str body;        /* behind the colon, without the last line end */
	struct fold fold;
	struct why *why;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

static bool
has_long_line(struct str s)
{
	struct str line;

	while (str_line(&s, &line))
		if (line.len > REFIT_LINE_MAX)
			return true;
	return false;
}

/* Octets over 127 that may not go as they are. */
static bool
is_foreign(const struct refit_terms *t, struct str s)
{
	return !words_is_ascii(s) && !(t->utf8 && codec_is_utf8(s));
}

bool
refit_fits(const struct refit_terms *t, struct str whole)
{
	return !is_foreign(t, whole) && !has_long_line(whole);
}

static const char misplaced[] = "is not ASCII where it must be, or has a word that fits into no line";

/* May this word not stand as it does among encoded-words?  What begins like one and is
 * none would be taken for one, up to the end of another. */
static bool
must_encode(const struct refit_terms *t, struct str word)
{
	return is_foreign(t, word) || word.len > WORD_LONG ||
	    (word.len > 1 && memmem(word.p, word.len, "=?", 2) != NULL && !words_is_encoded(word));
}

static enum outcome
unfit(const struct work *w, const char *status, const char *what)
{
	return never(w->why, SCOPE_MESSAGE, status, "the message's %s: field %s",
	    codec_show(w->name).p, what);
}

static void
open_field(struct work *w, const char *prefix)
{
	w->fold = (struct fold){ .out = w->fold.out };
	buf_adds(w->fold.out, prefix);
	buf_addstr(w->fold.out, w->name);
	buf_addc(w->fold.out, ':');
	w->fold.column = strlen(prefix) + w->name.len + 1;
}

/* ---- unstructured text ---------------------------------------------------- */

static size_t
span(struct str s, size_t at, bool blank)
{
	size_t n = 0;

	while (at + n < s.len && is_blank(s.p[at + n]) == blank)
		n++;
	return n;
}

static void
put_text(struct work *w)
{
	struct word *v = NULL;
	size_t n = 0;

	for (size_t at = 0; at < w->body.len; ) {
		size_t space = span(w->body, at, true), len = span(w->body, at + space, false);
		struct str word = str_from(w->body.p + at + space, len);

		if (len > 0) {
			v = mem_more(v, n, sizeof *v);
			v[n++] = (struct word){ .space = str_from(w->body.p + at, space), .raw = word,
				.text = word, .encode = must_encode(w->t, word) };
		}
		at += space + len;
	}
	fold_words(&w->fold, v, n);
	free(v);
}

/* ---- what a structured field is made of ----------------------------------- */

enum sort { ATOM, QUOTED, COMMENT, LITERAL, SIGN };

struct token {
	enum sort sort;
	struct str space;       /* that stood before it */
	struct str raw;
};

/* Octets from at to behind the sign that closes what is open there; to the end, where
 * nothing closes it. */
static size_t
enclosed(struct str s, size_t at, char open, char close)
{
	size_t depth = 0;

	for (size_t i = at; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && (open != close || depth > 0)) {
			if (--depth == 0)
				return i + 1 - at;
		} else if (s.p[i] == open && (depth == 0 || open == '('))
			depth++;
	}
	return s.len - at;
}

static struct token
next_token(struct str *rest, const char *signs)
{
	size_t space = span(*rest, 0, true), n;
	struct token t = { .space = str_from(rest->p, space) };
	char c;

	*rest = str_skip(*rest, space);
	if (rest->len == 0)
		return t;
	c = rest->p[0];
	if (c == '"') {
		t.sort = QUOTED;
		n = enclosed(*rest, 0, '"', '"');
	} else if (c == '(') {
		t.sort = COMMENT;
		n = enclosed(*rest, 0, '(', ')');
	} else if (c == '[') {
		t.sort = LITERAL;
		n = enclosed(*rest, 0, '[', ']');
	} else if (c != '\0' && strchr(signs, c) != NULL) {
		t.sort = SIGN;
		n = 1;
	} else {
		t.sort = ATOM;
		for (n = 1; n < rest->len && !is_blank(rest->p[n]); n++)
			if (rest->p[n] != '\0' && (strchr(signs, rest->p[n]) != NULL ||
			    strchr("\"([", rest->p[n]) != NULL))
				break;
	}
	t.raw = str_from(rest->p, n);
	*rest = str_skip(*rest, n);
	return t;
}

static size_t
read_tokens(struct str s, const char *signs, struct token **v)
{
	size_t n = 0;

	while (s.len > 0) {
		struct token t = next_token(&s, signs);

		if (t.raw.len == 0)
			break;
		*v = mem_more(*v, n, sizeof **v);
		(*v)[n++] = t;
	}
	return n;
}

/* Is it closed as it was opened? */
static bool
is_whole(const struct token *t)
{
	char last = t->raw.p[t->raw.len - 1];

	return t->sort == ATOM || t->sort == SIGN || (t->raw.len > 1 &&
	    last == (t->sort == QUOTED ? '"' : t->sort == COMMENT ? ')' : ']'));
}

/* What stands between its marks, quoted pairs and folds undone. */
static void
unquote(struct str s, struct buf *out)
{
	for (size_t i = 1; i + 1 < s.len; i++) {
		if (s.p[i] == '\n')
			continue;
		if (s.p[i] == '\\' && i + 2 < s.len)
			i++;
		buf_addc(out, s.p[i]);
	}
}

static bool
is_sign(const struct token *t, char c)
{
	return t->sort == SIGN && t->raw.p[0] == c;
}

/* A token of which not more is to be known. */
static void
put_token(struct work *w, const struct token *t)
{
	struct buf said = { 0 };

	if (t->sort == COMMENT && (is_foreign(w->t, t->raw) || t->raw.len > WORD_LONG)) {
		unquote(t->raw, &said);
		fold_encoded(&w->fold, t->space, "(", buf_str(&said), ")");
	} else {
		fold_word(&w->fold, t->space, t->raw);
	}
	buf_free(&said);
}

/* ---- addresses ------------------------------------------------------------ */

/* A display name, or a group's. */
static void
put_phrase(struct work *w, const struct token *v, size_t n)
{
	struct word *words = mem_alloc((n + 1) * sizeof *words);
	struct buf *said = mem_alloc((n + 1) * sizeof *said);
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct word *word = &words[count];

		if (v[i].sort == COMMENT) {
			fold_words(&w->fold, words, count);
			put_token(w, &v[i]);
			count = 0;
			continue;
		}
		*word = (struct word){ .space = v[i].space, .raw = v[i].raw, .text = v[i].raw,
			.encode = must_encode(w->t, v[i].raw) };
		if (v[i].sort == QUOTED) {
			unquote(v[i].raw, &said[i]);
			word->text = buf_str(&said[i]);
		}
		count++;
	}
	fold_words(&w->fold, words, count);
	for (size_t i = 0; i < n; i++)
		buf_free(&said[i]);
	free(said);
	free(words);
}

static enum outcome
put_domain(struct work *w, const struct token *t)
{
	struct buf ascii = { 0 };
	enum outcome o = DONE;

	if (w->t->to_ascii == NULL || !w->t->to_ascii(t->raw, &ascii))
		o = unfit(w, "5.6.7", "has a domain that is not ASCII, and has no ASCII form");
	else
		fold_word(&w->fold, t->space, buf_str(&ascii));
	buf_free(&ascii);
	return o;
}

/* What is not a phrase: an address, bare or in angle brackets. */
static enum outcome
put_address(struct work *w, const struct token *v, size_t n)
{
	bool behind_at = false;
	enum outcome o = DONE;

	for (size_t i = 0; i < n && o == DONE; i++) {
		if (v[i].sort == COMMENT || !is_foreign(w->t, v[i].raw))
			put_token(w, &v[i]);
		else if (v[i].sort == ATOM && behind_at)
			o = put_domain(w, &v[i]);
		else
			o = unfit(w, "5.6.7", w->t->utf8 ? "has an address that is not UTF-8" :
			    "has an address that is not ASCII, which may not go as it is to this server "
			    "(SMTPUTF8)");
		if (v[i].sort != COMMENT)
			behind_at = is_sign(&v[i], '@');
	}
	return o;
}

static bool
is_address(const struct token *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_sign(&v[i], '@') || is_sign(&v[i], '<'))
			return true;
	return false;
}

/* One element of a list, up to the sign that ends it. */
static enum outcome
put_element(struct work *w, const struct token *v, size_t n)
{
	size_t phrase = 0;

	if (!is_address(v, n)) {
		put_phrase(w, v, n);
		return DONE;
	}
	for (size_t i = 0; i < n && !is_sign(&v[i], '<'); i++)
		phrase = i + 1;
	if (phrase == n)
		phrase = 0;
	put_phrase(w, v, phrase);
	return put_address(w, v + phrase, n - phrase);
}

/* A list that has no space behind its commas gets it, so that it can be folded.
 * One with a quote that is nowhere closed is no list, but its ASCII words, of which
 * one may be an address, can stay. */
static enum outcome
put_addresses(struct work *w)
{
	struct token *v = NULL;
	size_t n = read_tokens(w->body, "<>@,;:", &v), from = 0;
	bool angle = false;
	enum outcome o = DONE;

	if (n > 0 && !is_whole(&v[n - 1])) {
		put_text(w);
		from = n;
	}
	for (size_t i = from; i < n && o == DONE; i++) {
		angle = is_sign(&v[i], '<') || (angle && !is_sign(&v[i], '>'));
		if (angle || !(is_sign(&v[i], ',') || is_sign(&v[i], ';') || is_sign(&v[i], ':')))
			continue;
		if ((o = put_element(w, v + from, i - from)) == DONE)
			put_token(w, &v[i]);
		from = i + 1;
		if (from < n && v[from].space.len == 0 && v[from].sort != SIGN)
			v[from].space = STR(" ");
	}
	if (o == DONE)
		o = put_element(w, v + from, n - from);
	free(v);
	return o;
}

/* ---- parameters ----------------------------------------------------------- */

/* Is the same said in its extended form?  Then the raw one is what older programs
 * put beside it (RFC 6266 knows the habit), and goes. */
static bool
is_said_extended(const struct token *v, size_t n, struct str name)
{
	for (size_t i = 0; i + 1 < n; i++) {
		size_t star = str_find(v[i].raw, '*');

		if (v[i].sort == ATOM && star < v[i].raw.len && is_sign(&v[i + 1], '=') &&
		    str_caseeq(str_from(v[i].raw.p, star), name))
			return true;
	}
	return false;
}

/* name = value, with n tokens; true where it has been put, or is not needed. */
static bool
put_parameter(struct work *w, const struct token *all, size_t count, const struct token *v, size_t n)
{
	struct buf said = { 0 };
	struct str name = n > 0 ? v[0].raw : (struct str){ 0 };
	bool good = n >= 3 && v[0].sort == ATOM && is_sign(&v[1], '=') && words_is_ascii(name) &&
	    !str_has(name, '*') && !str_caseis(name, "boundary");

	if (!good || is_said_extended(all, count, name))
		return good;
	for (size_t i = 2; i < n; i++) {
		if (v[i].sort == COMMENT)
			continue;
		/* Spaces in what should have been quoted: people write filename=My Letter.pdf. */
		for (size_t k = 0; i > 2 && k < v[i].space.len; k++)
			if (v[i].space.p[k] != '\n')
				buf_addc(&said, v[i].space.p[k]);
		if (v[i].sort == QUOTED)
			unquote(v[i].raw, &said);
		else
			buf_addstr(&said, v[i].raw);
	}
	fold_parameter(&w->fold, name, buf_str(&said));
	buf_free(&said);
	return true;
}

static enum outcome
put_parameters(struct work *w)
{
	struct token *v = NULL;
	size_t n = read_tokens(w->body, ";=", &v);
	enum outcome o = n > PARAMETERS_MAX ? unfit(w, "5.6.0", "has too many parameters") : DONE;

	for (size_t i = 0, end; i < n && o == DONE; i = end) {
		size_t from = i + is_sign(&v[i], ';');
		bool fits = true;

		for (end = from; end < n && !is_sign(&v[end], ';'); end++)
			fits = fits && (v[end].sort == COMMENT ||
			    (!is_foreign(w->t, v[end].raw) && v[end].raw.len <= WORD_LONG));
		if (!fits && from > i && put_parameter(w, v, n, v + from, end - from))
			continue;
		if (!fits) {
			o = unfit(w, "5.6.0", misplaced);
			break;
		}
		if (from < n && from > i && v[from].space.len == 0)
			v[from].space = STR(" ");
		for (size_t k = i; k < end; k++)
			put_token(w, &v[k]);
	}
	free(v);
	return o;
}

/* ---- the others ----------------------------------------------------------- */

/* False where words have no place. */
static bool
put_strict(struct work *w)
{
	struct token *v = NULL;
	size_t n = read_tokens(w->body, "<>@,;:", &v);
	bool good = true;

	for (size_t i = 0; i < n; i++)
		good = good && (v[i].sort == COMMENT || !is_foreign(w->t, v[i].raw));
	for (size_t i = 0; i < n && good; i++)
		put_token(w, &v[i]);
	free(v);
	return good;
}

static enum outcome
put_field(struct work *w)
{
	size_t from = w->fold.out->len;
	enum kind kind = kind_of(w->name);

	open_field(w, "");
	switch (kind) {
	case ADDRESSES:
		return put_addresses(w);
	case PARAMETERS:
		return put_parameters(w);
	case STRICT:
	case VITAL:
		if (put_strict(w))
			return DONE;
		if (kind == VITAL)
			return unfit(w, "5.6.0", misplaced);
		w->fold.out->len = from;
		open_field(w, "Downgraded-");
		put_text(w);
		return DONE;
	default:
		put_text(w);
		return DONE;
	}
}

enum outcome
refit_field(const struct refit_terms *t, struct str whole, size_t name_len, struct buf *out,
    struct why *why)
{
	size_t colon = name_len + str_find(str_skip(whole, name_len), ':');
	struct work w = { .t = t, .name = str_from(whole.p, name_len), .why = why,
		.fold = { .out = out } };
	size_t from = out->len;
	enum outcome o;

	if (refit_fits(t, whole)) {
		buf_addstr(out, whole);
		return DONE;
	}
	if (whole.len > REFIT_FIELD_MAX)
		return unfit(&w, "5.6.0", "is too long to be written otherwise");
	w.body = str_skip(whole, colon + 1);
	w.body.len -= w.body.len > 0 && w.body.p[w.body.len - 1] == '\n';
	if ((o = put_field(&w)) != DONE)
		return o;
	buf_addc(out, '\n');
	if (has_long_line(str_skip(buf_str(out), from)))
		return unfit(&w, "5.6.0", "has a line of over 998 octets that cannot be folded");
	return DONE;
}
