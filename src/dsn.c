#include "dsn.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "phrase.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	unsigned flag;
	const char *word;
} notifies[] = {
	{ DSN_NOTIFY_NEVER, "NEVER" },
	{ DSN_NOTIFY_SUCCESS, "SUCCESS" },
	{ DSN_NOTIFY_FAILURE, "FAILURE" },
	{ DSN_NOTIFY_DELAY, "DELAY" },
};

static const char *const returns[] = {
	[DSN_RETURN_UNSAID] = "", [DSN_RETURN_FULL] = "FULL", [DSN_RETURN_HEADERS] = "HDRS",
};

static const char *const bodies[] = {
	[DSN_BODY_UNSAID] = "", [DSN_BODY_7BIT] = "7BIT", [DSN_BODY_8BITMIME] = "8BITMIME",
};

void
wishes_free(struct wishes *w)
{
	free(w->envid);
	*w = (struct wishes){ 0 };
}

void
wishes_copy(struct wishes *to, const struct wishes *from)
{
	char *envid = from->envid != NULL ? mem_dup(str_of(from->envid)) : NULL;

	free(to->envid);
	*to = *from;
	to->envid = envid;
}

bool
dsn_parse_notify(struct str s, unsigned *notify)
{
	unsigned flags = 0;

	for (;;) {
		size_t n = str_find(s, ','), i = 0;
		struct str word = str_from(s.p, n);

		while (i < COUNT(notifies) && !str_caseis(word, notifies[i].word))
			i++;
		if (i == COUNT(notifies))
			return false;
		flags |= notifies[i].flag;
		if (n == s.len)
			break;
		s = str_from(s.p + n + 1, s.len - n - 1);
	}
	/* NEVER stands alone (RFC 3461 section 4.1). */
	if ((flags & DSN_NOTIFY_NEVER) != 0 && flags != DSN_NOTIFY_NEVER)
		return false;
	*notify = flags;
	return true;
}

/* The place of a word, in any case; 0, which is what is unsaid, if it has none. */
static size_t
find_word(const char *const *words, size_t n, struct str s)
{
	for (size_t i = 1; i < n; i++)
		if (str_caseis(s, words[i]))
			return i;
	return 0;
}

bool
dsn_parse_return(struct str s, enum dsn_return *ret)
{
	size_t i = find_word(returns, COUNT(returns), s);

	if (i != 0)
		*ret = (enum dsn_return)i;
	return i != 0;
}

bool
dsn_parse_body(struct str s, enum dsn_body *body)
{
	size_t i = find_word(bodies, COUNT(bodies), s);

	if (i != 0)
		*body = (enum dsn_body)i;
	return i != 0;
}

void
dsn_put_notify(struct buf *out, unsigned notify)
{
	const char *between = "";

	for (size_t i = 0; i < COUNT(notifies); i++) {
		if ((notify & notifies[i].flag) == 0)
			continue;
		buf_adds(out, between);
		buf_adds(out, notifies[i].word);
		between = ",";
	}
}

const char *
dsn_return_word(enum dsn_return ret)
{
	return returns[ret];
}

const char *
dsn_body_word(enum dsn_body body)
{
	return bodies[body];
}

/* A number with a minus or none. */
static bool
read_signed(struct str s, int32_t max, int32_t *n)
{
	bool negative = s.len > 0 && s.p[0] == '-';
	uint64_t v;

	if (!codec_number(str_from(s.p + negative, s.len - negative), (uint64_t)max, &v))
		return false;
	*n = negative ? -(int32_t)v : (int32_t)v;
	return true;
}

bool
dsn_parse_by(struct str s, struct wishes *w)
{
	size_t at = str_find(s, ';');
	struct str mode = at < s.len ? str_from(s.p + at + 1, s.len - at - 1) : STR("");
	bool trace = mode.len == 2 && (mode.p[1] == 'T' || mode.p[1] == 't');
	enum dsn_by by = DSN_BY_UNSAID;
	int32_t seconds;

	mode.len -= trace;
	if (str_caseis(mode, "R"))
		by = DSN_BY_RETURN;
	else if (str_caseis(mode, "N"))
		by = DSN_BY_NOTIFY;
	if (by == DSN_BY_UNSAID || !read_signed(str_from(s.p, at), DSN_BY_MAX, &seconds) ||
	    (by == DSN_BY_RETURN && seconds <= 0))
		return false;
	w->by = by;
	w->by_trace = trace;
	w->by_seconds = seconds;
	return true;
}

void
dsn_put_by(struct buf *out, const struct wishes *w, int32_t seconds)
{
	buf_addf(out, "%ld;%c%s", (long)seconds, w->by == DSN_BY_RETURN ? 'R' : 'N',
	    w->by_trace ? "T" : "");
}

bool
dsn_parse_priority(struct str s, int *priority)
{
	int32_t n;

	if (!read_signed(s, DSN_PRIORITY_MAX, &n))
		return false;
	*priority = (int)n;
	return true;
}

time_t
dsn_deadline(const struct wishes *w, time_t arrived)
{
	return w->by == DSN_BY_RETURN ? arrived + w->by_seconds : 0;
}

bool
dsn_tells_failure(unsigned notify)
{
	return notify == 0 || (notify & DSN_NOTIFY_FAILURE) != 0;
}

bool
dsn_tells_delay(unsigned notify)
{
	return notify == 0 || (notify & DSN_NOTIFY_DELAY) != 0;
}

/* "xchar": any octet from "!" to "~" but "+" and "=". */
static bool
is_xchar(char c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

void
dsn_put_xtext(struct buf *out, struct str plain)
{
	for (size_t i = 0; i < plain.len; i++) {
		if (is_xchar(plain.p[i]))
			buf_addc(out, plain.p[i]);
		else
			buf_addf(out, "+%02X", (unsigned char)plain.p[i]);
	}
}

static bool
is_upper_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

bool
dsn_is_xtext(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_xchar(s.p[i]))
			continue;
		if (s.p[i] != '+' || i + 2 >= s.len || !is_upper_hex(s.p[i + 1]) ||
		    !is_upper_hex(s.p[i + 2]))
			return false;
		i += 2;
	}
	return true;
}

static int
hex_value(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

void
dsn_put_plain(struct buf *out, struct str xtext)
{
	for (size_t i = 0; i < xtext.len; i++) {
		const char *p = xtext.p + i;

		if (*p == '+' && i + 2 < xtext.len && is_upper_hex(p[1]) && is_upper_hex(p[2])) {
			buf_addc(out, (char)(hex_value(p[1]) << 4 | hex_value(p[2])));
			i += 2;
		} else {
			buf_addc(out, *p);
		}
	}
}

bool
dsn_is_orcpt(struct str s)
{
	size_t semicolon = str_find(s, ';');

	if (s.len > DSN_ORCPT_MAX || semicolon == 0 || semicolon + 1 >= s.len)
		return false;
	for (size_t i = 0; i < semicolon; i++)
		if ((unsigned char)s.p[i] > 0x7e || !phrase_is_atext(s.p[i]))
			return false;
	return dsn_is_xtext(str_from(s.p + semicolon + 1, s.len - semicolon - 1));
}
