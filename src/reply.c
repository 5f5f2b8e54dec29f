#include "reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"

#define HIDDEN_MIN 8            /* octets; shorter ones stand in any text by chance */

/* The first line of a reply settles its code; four octets of a line decide
 * whether it is one: three digits and what follows them. */
#define CODE_LEN 3
#define MARK_AT CODE_LEN
#define TEXT_AT 4

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Why c cannot be the next of a line's first octets, or NULL if it can. */
static const char *
judge(const struct reply *r, char c)
{
	static const char digits[] = "answer does not begin with a three-digit code";
	static const int place[CODE_LEN] = { 100, 10, 1 };
	size_t at = r->line.len;

	if (c == '\0')
		return "answer holds a NUL octet";
	if (at < CODE_LEN) {
		if (!is_digit(c))
			return digits;
		if (r->lines > 0 && c - '0' != r->code / place[at] % 10)
			return "lines of one answer have different codes";
		if (at == 0 && (c < '2' || c > '5'))
			return "answer has a code outside 200 to 599";
	} else if (at == MARK_AT) {
		if (is_digit(c))
			return digits;
		if (c != ' ' && c != '-' && c != '\r')
			return "answer has neither space nor '-' behind its code";
	} else if (r->line.p[MARK_AT] == '\r') {
		return "answer has a CR behind its code that ends no line";
	}
	return NULL;
}

static size_t
count_digits(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.len && is_digit(s.p[at + n]))
		n++;
	return n;
}

/* The length of the enhanced status code that text begins with (RFC 3463
 * section 2: class "." subject "." detail), 0 if there is none.  "2.0.0.1" is
 * an address and "5.7.1x" a word: what follows must be space or the end. */
static size_t
status_len(struct str text, char class)
{
	size_t at = 2, n;

	if (text.len < 5 || text.p[0] != class || text.p[1] != '.' || class == '3')
		return 0;
	n = count_digits(text, at);
	if (n < 1 || n > 3)
		return 0;
	at += n;
	if (at >= text.len || text.p[at] != '.')
		return 0;
	at++;
	n = count_digits(text, at);
	if (n < 1 || n > 3)
		return 0;
	at += n;
	return at == text.len || text.p[at] == ' ' || text.p[at] == '\t' ? at : 0;
}

static char
class_digit(const struct reply *r)
{
	return (char)('0' + reply_class(r));
}

static enum reply_state
give_up(struct reply *r, const char *broken)
{
	r->broken = broken;
	r->code = 0;
	r->status[0] = '\0';
	return REPLY_BROKEN;
}

static void
keep_text(struct reply *r, struct str text)
{
	size_t n = status_len(text, class_digit(r));
	size_t room;

	if (n > 0)
		snprintf(r->status, sizeof r->status, "%.*s", (int)n, text.p);
	if (r->lines > 0 && r->text.len < REPLY_TEXT_MAX)
		buf_addc(&r->text, '\n');
	room = REPLY_TEXT_MAX - r->text.len;
	if (text.len > room)
		text.len = room;
	buf_addstr(&r->text, text);
}

static enum reply_state
end_line(struct reply *r)
{
	struct str line = buf_str(&r->line);
	bool more;

	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (line.len < CODE_LEN)
		return give_up(r, "answer has a line without a three-digit code");
	if (r->lines == 0)
		r->code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	more = line.len > MARK_AT && line.p[MARK_AT] == '-';
	keep_text(r, line.len > TEXT_AT ? str_from(line.p + TEXT_AT, line.len - TEXT_AT) : STR(""));
	r->lines++;
	buf_clear(&r->line);
	if (!more) {
		r->ended = true;
		return REPLY_WHOLE;
	}
	/* Somebody who has said so much has no end in mind. */
	if (r->lines == REPLY_LINES_MAX)
		return give_up(r, "answer has too many lines");
	return REPLY_MORE;
}

/* Octets of a line behind its first four; what is over the limit is dropped
 * here, so that an endless line costs no memory. */
static const char *
keep_line(struct reply *r, struct str part)
{
	size_t room = REPLY_LINE_MAX - r->line.len;

	if (str_has(part, '\0'))
		return "answer holds a NUL octet";
	if (part.len > room)
		part.len = room;
	buf_addstr(&r->line, part);
	return NULL;
}

enum reply_state
reply_feed(struct reply *r, struct str in, size_t *used)
{
	const char *broken = NULL;
	enum reply_state state;
	size_t at = 0;

	assert(!r->ended);
	*used = 0;
	if (r->broken != NULL)
		return REPLY_BROKEN;
	for (; at < in.len; *used = at) {
		struct str rest = str_from(in.p + at, in.len - at);

		if (rest.p[0] == '\n') {
			at++;
			state = end_line(r);
			if (state != REPLY_MORE) {
				*used = at;
				return state;
			}
		} else if (r->line.len <= TEXT_AT) {
			broken = judge(r, rest.p[0]);
			buf_addc(&r->line, rest.p[0]);
			at++;
		} else {
			rest.len = str_find(rest, '\n');
			broken = keep_line(r, rest);
			at += rest.len;
		}
		if (broken != NULL)
			return give_up(r, broken);
	}
	return REPLY_MORE;
}

void
reply_reset(struct reply *r)
{
	struct buf text = r->text, line = r->line;

	buf_clear(&text);
	buf_clear(&line);
	*r = (struct reply){ .text = text, .line = line };
}

void
reply_free(struct reply *r)
{
	buf_free(&r->text);
	buf_free(&r->line);
	*r = (struct reply){ 0 };
}

int
reply_class(const struct reply *r)
{
	return r->code / 100;
}

void
reply_hide(struct reply *r, struct str word)
{
	struct buf left = { 0 };
	const char *from = r->text.p, *end = from + r->text.len, *at;

	if (word.len < HIDDEN_MIN || r->text.len < word.len)
		return;
	while ((at = memmem(from, (size_t)(end - from), word.p, word.len)) != NULL) {
		buf_add(&left, from, (size_t)(at - from));
		buf_adds(&left, "[hidden]");
		from = at + word.len;
	}
	if (from == r->text.p)
		return;
	buf_add(&left, from, (size_t)(end - from));
	buf_wipe(&r->text);
	buf_wipe(&r->line);
	r->text = left;
}

void
reply_show(const struct reply *r, char *out, size_t size)
{
	struct buf shown = { 0 };
	struct str rest = buf_str(&r->text), line;

	if (r->broken != NULL) {
		snprintf(out, size, "%s", r->broken);
		return;
	}
	buf_addf(&shown, "%d", r->code);
	if (r->status[0] != '\0')
		buf_addf(&shown, " %s", r->status);
	/* The status stands on each line of most servers: once is enough. */
	while (str_line(&rest, &line)) {
		size_t n = status_len(line, class_digit(r));

		if (n > 0 && str_is(str_from(line.p, n), r->status))
			line = str_from(line.p + n, line.len - n);
		line = str_trim(line);
		if (line.len > 0) {
			buf_addc(&shown, ' ');
			buf_addstr(&shown, line);
		}
	}
	codec_mask_to(out, size, buf_str(&shown));
	buf_free(&shown);
}
