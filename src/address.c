#include "address.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "codec.h"
#include "phrase.h"

/* RFC 5322 sets no limit to nested comments; nobody means more than a few. */
#define COMMENT_DEPTH_MAX 64
/* RFC 2047 section 2 allows 75 octets, and longer ones are written. */
#define ENCODED_WORD_MAX 998
/* Octets of the input that a refusal shows. */
#define SHOWN_MAX 80

#define END (-1)        /* what peek answers behind the last octet */

#define DOTS_WRONG "a dot stands at an end or beside another; put quotes around such a local part"
#define ENCODED_WRONG "an encoded word stands where its local part should"
#define SPACE_WRONG \
	"a space is in it; put commas between addresses, quotes around a name with a comma"

/* Atoms, dots and quoted strings in a row, up to the next special.  Whether
 * they are a display name or a local part is not known before that one. */
struct words {
	struct buf phrase;      /* as a name: one space where space or comments stood */
	struct buf local;       /* as a local part: quotes and space gone */
	size_t n;
	bool dot_last;
	size_t begin;           /* offset of the first of them */
	size_t end;             /* offset behind the last of them */
	const char *not_local;  /* why they cannot be a local part; NULL while they can */
};

struct parser {
	struct str text;
	size_t at;
	size_t element;         /* where the current element begins, to be shown */
	struct str comment;     /* the last comment in it, without its parentheses */
	bool one;               /* one mailbox or the null address, no groups */
	struct words words, inner;
	struct buf domain;
	const char *wrong;      /* set once */
};

static bool
fail(struct parser *p, const char *wrong)
{
	p->wrong = wrong;
	return false;
}

static int
peek(const struct parser *p)
{
	return p->at < p->text.len ? (unsigned char)p->text.p[p->at] : END;
}

static bool
is_control(int c)
{
	return (c >= 0 && c < 0x20) || c == 0x7f;
}

/* Refuses the octet at hand, for which no rule has a place. */
static bool
complain(struct parser *p)
{
	static const struct {
		char c;
		const char *wrong;
	} table[] = {
		{ '>', "there is no '<' before its '>'" },
		{ '<', "a '<' stands where none can; put quotes around the name before it" },
		{ ')', "there is no '(' before its ')'" },
		{ '[', "a '[' stands outside the domain" },
		{ ']', "there is no '[' before its ']'" },
		{ ';', "a ';' stands outside a group; put commas between addresses" },
		{ ':', "a ':' stands where none can; put quotes around it" },
		{ '@', "there is a second '@'; put quotes around a local part that holds one" },
		{ ',', "it ends too early, at a ','" },
		{ '.', "a dot stands where none can" },
		{ '\\', "a backslash stands outside quotes" },
	};
	int c = peek(p);

	if (is_control(c))
		return fail(p, "it holds a control character; remove that");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].c == c)
			return fail(p, table[i].wrong);
	return fail(p, c == END ? "it ends too early" : SPACE_WRONG);
}

/* Octets of the line break at hand if it is folding (RFC 5322 section 2.2.3):
 * the space that must follow is not counted. */
static size_t
fold_length(const struct parser *p)
{
	const char *s = p->text.p + p->at;
	size_t left = p->text.len - p->at;
	size_t n = left > 0 && s[0] == '\n' ? 1 : left > 1 && s[0] == '\r' && s[1] == '\n' ? 2 : 0;

	return n > 0 && left > n && (s[n] == ' ' || s[n] == '\t') ? n : 0;
}

/* The octet behind a backslash may be any but a control (RFC 5322 section 3.2.1;
 * the obsolete form allows those too, SMTP carries none). */
static bool
pass_backslash(struct parser *p)
{
	p->at++;
	if (peek(p) == END)
		return fail(p, "it ends in a backslash");
	if (is_control(peek(p)) && peek(p) != '\t')
		return complain(p);
	return true;
}

static bool
pass_comment(struct parser *p)
{
	size_t start = p->at + 1;
	int depth = 0;

	for (; peek(p) != END; p->at++) {
		size_t fold = fold_length(p);
		int c;

		p->at += fold;
		c = peek(p);
		if (is_control(c) && c != '\t')
			return complain(p);
		if (c == '\\' && !pass_backslash(p))
			return false;
		if (c == '(' && ++depth > COMMENT_DEPTH_MAX)
			return fail(p, "comments are nested too deep in it");
		if (c == ')' && --depth == 0) {
			p->comment = str_from(p->text.p + start, p->at - start);
			p->at++;
			return true;
		}
	}
	return fail(p, "a comment in it is not closed; write the missing ')'");
}

/* CFWS of RFC 5322 section 3.2.2. */
static bool
pass_space(struct parser *p)
{
	for (;;) {
		int c = peek(p);
		size_t fold = fold_length(p);

		if (c == ' ' || c == '\t')
			p->at++;
		else if (fold > 0)
			p->at += fold;
		else if (c != '(')
			return true;
		else if (!pass_comment(p))
			return false;
	}
}

static struct str
read_atom(struct parser *p)
{
	size_t start = p->at;

	while (phrase_is_atext(peek(p)))
		p->at++;
	return str_from(p->text.p + start, p->at - start);
}

/* Octets of the encoded word that s begins with (RFC 2047 section 2) if it holds
 * what no atom may, else 0.  In a name commas and the like are forbidden there
 * (section 5), and written all the same; to split at one would invent a
 * recipient. */
static size_t
odd_encoded_word_length(struct str s)
{
	int marks = 0;
	bool odd = false;

	if (s.len < 2 || s.p[0] != '=' || s.p[1] != '?')
		return 0;
	for (size_t i = 1; i < s.len && i < ENCODED_WORD_MAX; i++) {
		int c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>')
			return 0;
		if (marks == 4)
			return c == '=' && odd ? i + 1 : 0;
		if (c == '?')
			marks++;
		else if (!phrase_is_atext(c) && marks < 3)
			return 0;
		else if (!phrase_is_atext(c))
			odd = true;
	}
	return 0;
}

static void
add_piece(struct words *w, struct str piece)
{
	buf_addstr(&w->local, piece);
	buf_addstr(&w->phrase, piece);
	for (size_t i = w->phrase.len - piece.len; i < w->phrase.len; i++)
		if (w->phrase.p[i] == '\t')
			w->phrase.p[i] = ' ';
}

static bool
read_quoted(struct parser *p, struct words *w)
{
	for (p->at++; peek(p) != END; p->at++) {
		int c;

		p->at += fold_length(p);
		c = peek(p);
		if (c == '"') {
			p->at++;
			return true;
		}
		if (is_control(c) && c != '\t')
			return complain(p);
		if (c == '\\' && !pass_backslash(p))
			return false;
		add_piece(w, str_from(p->text.p + p->at, 1));
	}
	return fail(p, "a quote in it is not closed; write the missing '\"'");
}

static void
words_clear(struct words *w)
{
	buf_clear(&w->phrase);
	buf_clear(&w->local);
	w->n = w->begin = w->end = 0;
	w->dot_last = false;
	w->not_local = NULL;
}

/* Reads as many words as there are, none too.  Dots stand between words of a
 * local part and anywhere in a name (RFC 5322 section 4.1, obs-phrase). */
static bool
read_words(struct parser *p, struct words *w)
{
	words_clear(w);
	for (;;) {
		size_t before = p->at, encoded;
		bool dot, gap;

		if (!pass_space(p))
			return false;
		gap = w->n > 0 && p->at > before;
		dot = peek(p) == '.';
		if (!dot && peek(p) != '"' && !phrase_is_atext(peek(p)))
			return true;
		if (gap)
			buf_addc(&w->phrase, ' ');
		if (w->n == 0)
			w->begin = p->at;
		if (w->not_local == NULL && dot && (w->n == 0 || w->dot_last))
			w->not_local = DOTS_WRONG;
		if (w->not_local == NULL && !dot && w->n > 0 && !w->dot_last)
			w->not_local = SPACE_WRONG;
		encoded = odd_encoded_word_length(str_from(p->text.p + p->at, p->text.len - p->at));
		if (encoded > 0 && w->not_local == NULL)
			w->not_local = ENCODED_WRONG;
		if (dot) {
			add_piece(w, STR("."));
			p->at++;
		} else if (encoded > 0) {
			add_piece(w, str_from(p->text.p + p->at, encoded));
			p->at += encoded;
		} else if (peek(p) != '"') {
			add_piece(w, read_atom(p));
		} else if (!read_quoted(p, w)) {
			return false;
		}
		w->n++;
		w->dot_last = dot;
		w->end = p->at;
	}
}

static bool
read_literal(struct parser *p, struct buf *out)
{
	/* What the literals of RFC 5321 section 4.1.3 are made of. */
	static const char octets[] = ".:-0123456789"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t start = out->len;

	buf_addc(out, '[');
	for (p->at++; peek(p) != ']'; ) {
		int c = peek(p);
		size_t fold = fold_length(p);

		if (c == END)
			return fail(p, "its '[' is not closed; write the missing ']'");
		if (c != '\0' && strchr(octets, c) != NULL)
			buf_addc(out, (char)c);
		else if (fold == 0 && c != ' ' && c != '\t')
			return is_control(c) ? complain(p) :
			    fail(p, "there is more than an IP address between its brackets");
		p->at += fold > 0 ? fold : 1;
	}
	p->at++;
	if (out->len == start + 1)
		return fail(p, "there is no IP address between its brackets");
	buf_addc(out, ']');
	return true;
}

/* Leaves p at the first octet that is neither domain nor space. */
static bool
read_domain(struct parser *p, struct buf *out)
{
	if (!pass_space(p))
		return false;
	if (peek(p) == '[')
		return read_literal(p, out) && pass_space(p);
	for (;;) {
		struct str atom = read_atom(p);

		if (atom.len == 0)
			return is_control(peek(p)) ? complain(p) :
			    fail(p, "its domain is not complete");
		buf_addstr(out, atom);
		if (!pass_space(p))
			return false;
		if (peek(p) != '.')
			return true;
		buf_addc(out, '.');
		p->at++;
		if (!pass_space(p))
			return false;
	}
}

static bool
is_dot_atom(struct str s)
{
	bool dot_last = true;

	for (size_t i = 0; i < s.len; i++) {
		bool dot = s.p[i] == '.';

		if (dot ? dot_last : !phrase_is_atext((unsigned char)s.p[i]))
			return false;
		dot_last = dot;
	}
	return !dot_last;
}

/* Would such a word be read in it, were the local part written without quotes? */
static bool
would_hold_encoded_word(struct str local, struct str domain)
{
	struct buf spec = { 0 };
	bool found = false;

	buf_addstr(&spec, local);
	buf_addc(&spec, '@');
	buf_addstr(&spec, domain);
	for (size_t i = 0; i < local.len && !found; i++)
		found = (i == 0 || local.p[i - 1] == '.') &&
		    odd_encoded_word_length(str_from(spec.p + i, spec.len - i)) > 0;
	buf_free(&spec);
	return found;
}

/* Makes the address whose local part was read into w; p stands behind it. */
static bool
read_spec(struct parser *p, const struct words *w, struct address *a)
{
	bool bare = peek(p) != '@';

	if (w->n == 0)
		return bare ? complain(p) : fail(p, "there is nothing before its '@'");
	if (w->not_local != NULL || w->dot_last)
		return fail(p, w->not_local != NULL ? w->not_local : DOTS_WRONG);
	if (str_has(buf_str(&w->local), '\t'))
		return fail(p, "a tab is in its local part; remove that");
	buf_clear(&p->domain);
	if (!bare) {
		p->at++;
		if (!read_domain(p, &p->domain))
			return false;
	}
	/* As few quotes as possible, RFC 5321 section 4.1.2. */
	if (is_dot_atom(buf_str(&w->local)) &&
	    !would_hold_encoded_word(buf_str(&w->local), buf_str(&p->domain)))
		buf_addstr(&a->spec, buf_str(&w->local));
	else
		phrase_add_quoted(&a->spec, buf_str(&w->local));
	if (bare) {
		a->bare_end = a->end = w->end;
		a->begin = w->begin;
	} else {
		buf_addc(&a->spec, '@');
		buf_addstr(&a->spec, buf_str(&p->domain));
	}
	return a->spec.len <= ADDRESS_MAX || fail(p, "it is longer than any mailbox");
}

/* A route, RFC 5322 section 4.4: nobody has routed by it for decades, and RFC
 * 5321 appendix C lets us leave it out. */
static bool
pass_route(struct parser *p)
{
	size_t domains = 0;

	for (;;) {
		while (peek(p) == ',') {
			p->at++;
			if (!pass_space(p))
				return false;
		}
		if (peek(p) != '@')
			break;
		p->at++;
		buf_clear(&p->domain);
		if (!read_domain(p, &p->domain))
			return false;
		domains++;
		if (peek(p) != ',')
			break;
	}
	if (is_control(peek(p)))
		return complain(p);
	if (domains == 0 || peek(p) != ':')
		return fail(p, "there is nothing before its '@'");
	p->at++;
	return true;
}

static bool
read_angle(struct parser *p, struct address *a)
{
	p->at++;
	if (!pass_space(p))
		return false;
	if (peek(p) == '>') {
		if (!p->one || p->words.n > 0)
			return fail(p, "there is no address between its '<' and '>'");
		p->at++;
		return true;
	}
	if ((peek(p) == '@' || peek(p) == ',') && !pass_route(p))
		return false;
	if (!read_words(p, &p->inner) || !read_spec(p, &p->inner, a))
		return false;
	if (peek(p) == END)
		return fail(p, "its '<' is not closed; write the missing '>'");
	if (peek(p) != '>')
		return complain(p);
	p->at++;
	return true;
}

static bool
open_group(struct parser *p, bool *in_group)
{
	if (p->words.n == 0 || p->one)
		return complain(p);
	if (*in_group)
		return fail(p, "a group stands inside a group; end the first with ';'");
	*in_group = true;
	p->at++;
	return true;
}

/* An address without brackets often has its owner's name in a comment behind
 * it (RFC 5322 section 3.4 tells of the custom): "root (Cron Daemon)". */
static void
name_from_comment(struct buf *name, struct str comment)
{
	for (size_t i = 0; i < comment.len; i++) {
		char c = comment.p[i];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '\\')
			c = comment.p[++i];
		buf_addc(name, c == '\t' ? ' ' : c);
	}
}

static void
add_address(struct address_list *list, struct address *a)
{
	list->v = mem_more(list->v, list->n, sizeof *list->v);
	list->v[list->n++] = *a;
	*a = (struct address){ .bare_end = SIZE_MAX };
}

/* Reads one mailbox, or the name that opens a group. */
static bool
read_item(struct parser *p, struct address_list *list, bool *in_group)
{
	struct address a = { .bare_end = SIZE_MAX, .angle = SIZE_MAX };
	bool angle, ok = false;
	size_t begin;
	int c;

	p->comment = (struct str){ 0 };
	if (!read_words(p, &p->words))
		goto out;
	if (peek(p) == ':') {
		ok = open_group(p, in_group);
		goto out;
	}
	angle = peek(p) == '<';
	begin = p->at;
	if (!(angle ? read_angle(p, &a) : read_spec(p, &p->words, &a)))
		goto out;
	if (angle && a.bare_end != SIZE_MAX) {
		a.begin = p->words.n > 0 ? p->words.begin : begin;
		a.angle = begin;
		a.end = p->at;
	}
	if (!pass_space(p))
		goto out;
	c = peek(p);
	if (c != END && c != ',' && !(c == ';' && *in_group)) {
		complain(p);
		goto out;
	}
	if (angle)
		buf_addstr(&a.name, buf_str(&p->words.phrase));
	else
		name_from_comment(&a.name, p->comment);
	add_address(list, &a);
	ok = true;
out:
	buf_free(&a.spec);
	buf_free(&a.name);
	return ok;
}

static bool
read_list(struct parser *p, struct address_list *list)
{
	bool in_group = false;

	for (;;) {
		p->element = p->at;
		if (!pass_space(p))
			return false;
		/* A last group without its ';' is what old mailers made of "To:
		 * undisclosed-recipients:"; no other reading of it names anybody else. */
		if (peek(p) == END)
			return true;
		if (peek(p) == ',') {           /* an empty element, RFC 5322 section 4.4 */
			p->at++;
			continue;
		}
		if (peek(p) != ';' || !in_group) {
			if (!read_item(p, list, &in_group))
				return false;
			continue;
		}
		in_group = false;
		p->at++;
		if (!pass_space(p))
			return false;
		if (peek(p) != END && peek(p) != ',')
			return fail(p, "something stands behind a group; put a comma after its ';'");
	}
}

static enum outcome
parse(struct parser *p, struct address_list *list, struct why *why)
{
	enum outcome o = DONE;

	if (!read_list(p, list)) {
		size_t left = p->text.len - p->element;
		struct str shown = str_from(p->text.p + p->element,
		    left < SHOWN_MAX ? left : SHOWN_MAX);
		struct buf masked = { 0 };

		codec_mask(&masked, str_trim(shown));
		o = refuse(why, EX_DATAERR, "not an address: %s%s: %s", buf_c(&masked),
		    left > SHOWN_MAX ? "..." : "", p->wrong);
		buf_free(&masked);
	}
	buf_free(&p->words.phrase);
	buf_free(&p->words.local);
	buf_free(&p->inner.phrase);
	buf_free(&p->inner.local);
	buf_free(&p->domain);
	return o;
}

enum outcome
address_parse(struct str text, struct address_list *list, struct why *why)
{
	struct parser p = { .text = text };

	return parse(&p, list, why);
}

enum outcome
address_parse_one(struct str text, struct buf *spec, struct why *why)
{
	struct parser p = { .text = text, .one = true };
	struct address_list list = { 0 };
	enum outcome o;

	buf_clear(spec);
	if (str_trim(text).len == 0)
		return DONE;
	o = parse(&p, &list, why);
	if (o == DONE && list.n != 1)
		o = refuse(why, EX_DATAERR, "one address is wanted here, there %s",
		    list.n == 0 ? "is none" : "are several");
	if (o == DONE)
		buf_addstr(spec, buf_str(&list.v[0].spec));
	address_list_free(&list);
	return o;
}

void
address_list_free(struct address_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		buf_free(&list->v[i].spec);
		buf_free(&list->v[i].name);
	}
	free(list->v);
	*list = (struct address_list){ 0 };
}

/* Offset behind the quoted string that s begins with; 0 if it does not, or if
 * the quotes are not closed or hold a control octet. */
static size_t
quoted_length(struct str s)
{
	if (s.len == 0 || s.p[0] != '"')
		return 0;
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
		if (i == s.len || is_control((unsigned char)s.p[i]))
			return 0;
	}
	return 0;
}

/* Offset of the '@' between local part and domain, or s.len. */
static size_t
find_at(struct str s)
{
	size_t quoted = quoted_length(s);

	for (size_t i = s.len; i > quoted; i--)
		if (s.p[i - 1] == '@')
			return i - 1;
	return s.len;
}

bool
address_has_domain(struct str spec)
{
	return find_at(spec) < spec.len;
}

void
address_qualify(struct buf *spec, struct str domain)
{
	if (spec->len == 0 || domain.len == 0 || address_has_domain(buf_str(spec)))
		return;
	buf_addc(spec, '@');
	buf_addstr(spec, domain);
}

struct str
address_domain(struct str spec)
{
	size_t at = find_at(spec);

	return at < spec.len ? str_from(spec.p + at + 1, spec.len - at - 1) : (struct str){ 0 };
}

bool
address_same(struct str a, struct str b)
{
	size_t a_at = find_at(a), b_at = find_at(b);

	return str_eq(str_from(a.p, a_at), str_from(b.p, b_at)) &&
	    (a_at < a.len) == (b_at < b.len) &&
	    str_caseeq(address_domain(a), address_domain(b));
}

struct ranked {
	struct str local, domain;
	size_t rank;
};

static int
compare_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	int c;

	if (a->local.len != b->local.len)
		return a->local.len < b->local.len ? -1 : 1;
	if (a->local.len > 0 && (c = memcmp(a->local.p, b->local.p, a->local.len)) != 0)
		return c;
	if (a->domain.len != b->domain.len)
		return a->domain.len < b->domain.len ? -1 : 1;
	if (a->domain.len > 0 && (c = strncasecmp(a->domain.p, b->domain.p, a->domain.len)) != 0)
		return c;
	return a->rank < b->rank ? -1 : 1;
}

void
address_find_repeated(const struct str *v, size_t n, bool *repeated)
{
	struct ranked *sorted = mem_grow(NULL, n + 1, sizeof *sorted);

	for (size_t i = 0; i < n; i++) {
		size_t at = find_at(v[i]);

		sorted[i] = (struct ranked){ str_from(v[i].p, at), address_domain(v[i]), i };
		repeated[i] = false;
	}
	qsort(sorted, n, sizeof *sorted, compare_ranked);
	for (size_t i = 1; i < n; i++)
		repeated[sorted[i].rank] = address_same(v[sorted[i - 1].rank], v[sorted[i].rank]);
	free(sorted);
}

bool
address_is_sendable(struct str spec)
{
	size_t i = quoted_length(spec), at = find_at(spec);

	if (spec.len == 0)
		return true;
	if (spec.len > ADDRESS_MAX || at == 0 || at == spec.len - 1)
		return false;
	if (i > 0 && i < spec.len && i != at)
		return false;
	for (; i < spec.len; i++) {
		char c = spec.p[i];

		if (is_control((unsigned char)c) || (c == '@' && i != at) ||
		    (c != '\0' && strchr(" <>\"\\", c) != NULL))
			return false;
	}
	return true;
}

/* ---- in the words of others ------------------------------------------------- */

/* Where the address begins that has its @ at `at`: a quoted local part may hold blanks. */
static size_t
start_of(struct str text, size_t at)
{
	size_t i = at;

	if (i > 0 && text.p[i - 1] == '"') {
		i--;
		while (i > 0 && text.p[i - 1] != '"')
			i--;
		i -= i > 0;
	}
	while (i > 0 && strchr(" <>(),;:", text.p[i - 1]) == NULL)
		i--;
	return i;
}

static size_t
end_of(struct str text, size_t at)
{
	size_t i = at;

	while (i < text.len && strchr(" <>(),;", text.p[i]) == NULL)
		i++;
	return i;
}

void
address_hide(struct str text, struct buf *out)
{
	size_t said = 0;

	for (size_t i = 0; i < text.len; i++) {
		size_t start, end;

		if (text.p[i] == '<' && memchr(text.p + i, '>', text.len - i) != NULL) {
			start = i;
			end = i + str_find(str_from(text.p + i, text.len - i), '>') + 1;
		} else if (text.p[i] == '@') {
			start = start_of(text, i);
			end = end_of(text, i);
		} else {
			continue;
		}
		if (start > said)
			buf_add(out, text.p + said, start - said);
		buf_adds(out, "<...>");
		said = end;
		i = end - 1;
	}
	buf_add(out, text.p + said, text.len - said);
}
