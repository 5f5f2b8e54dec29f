#include <string.h>

#include "dialogue.h"
#include "notes.h"
#include "script.h"
#include "text.h"
#include "wire.h"

static void
check_line(struct conn *c, struct str line)
{
	if (line.len > TEXT_LINE_MAX)
		accuse_once(c, LONG_LINE, "a line of the text is over 998 octets");
	if (str_has(line, '\r'))
		accuse_once(c, BARE_CR, "bare CR in the text");
	if (str_has(line, '\n'))
		accuse_once(c, BARE_LF, "bare LF in the text");
	if (str_has(line, '\0'))
		accuse_once(c, NUL, "NUL in the text");
	for (size_t i = 0; !c->eight_bit_declared && i < line.len; i++)
		if ((unsigned char)line.p[i] > 127)
			accuse_once(c, EIGHT_BIT, "8-bit text, but MAIL did not say BODY=8BITMIME");
}

/* RFC 5321 4.5.2: the first dot of a line is not the text's. */
static void
take_text_line(struct conn *c, struct str line)
{
	if (line.len > 1 && line.p[0] == '.' && line.p[1] != '.')
		accuse_once(c, UNSTUFFED, "a line of the text begins with a single dot");
	if (line.len > 0 && line.p[0] == '.') {
		line.p++;
		line.len--;
	}
	if (line.len > 0)
		check_line(c, line);
	c->text_seen += line.len + 2;
	if (c->text_seen > TEXT_MAX)
		return;
	buf_addstr(&c->text, line);
	buf_adds(&c->text, "\r\n");
}

/* Takes the whole lines that are here; true when the final dot was one. */
static bool
take_text(struct conn *c, uint64_t *octets)
{
	size_t at = 0;
	bool end = false;

	while (!end) {
		size_t from = at + c->scanned;
		const char *crlf = from < c->in.len ?
		    memmem(c->in.p + from, c->in.len - from, "\r\n", 2) : NULL;
		struct str line = { c->in.p + at, 0 };

		if (crlf == NULL)
			break;
		line.len = (size_t)(crlf - line.p);
		at += line.len + 2;
		c->scanned = 0;
		end = str_is(line, ".");
		if (!end)
			take_text_line(c, line);
	}
	buf_cut(&c->in, at);
	*octets += at;
	c->scanned = end || c->in.len == 0 ? 0 : c->in.len - 1;
	return end;
}

/* What the script does when so many octets of a text are here. */
static void
reach(struct conn *c, uint64_t octets)
{
	if (c->text_rule == NULL || octets < c->text_rule->threshold)
		return;
	begin_event(c, TEXT, STR(""));
	follow_rule(c, c->text_rule);
	c->text_rule = NULL;
	if (c->fd >= 0 && !c->over)
		follow_answer(c, TEXT);
}

static void
begin_text(struct conn *c)
{
	c->text_rule = find_rule(c, TEXT, STR(""));
	buf_clear(&c->text);
	c->text_seen = 0;
	c->flaws = 0;
	c->kept = false;
	c->scanned = 0;
}

/* RFC 1870 section 6.1: what is larger than was declared may be refused for it. */
static void
check_size(struct conn *c)
{
	if (c->size_declared > 0 && c->text_seen > c->size_declared)
		accuse(c, "the text has %llu octets, SIZE=%llu was declared",
		    (unsigned long long)c->text_seen, (unsigned long long)c->size_declared);
}

bool
hear_text(struct conn *c)
{
	bool end = false;
	uint64_t octets = 0;

	begin_text(c);
	while (!end) {
		reach(c, octets + c->in.len);
		if (c->fd < 0 || c->over)
			break;
		end = take_text(c, &octets);
		if (!end && !hear_more(c))
			break;
	}
	octets += end ? 0 : c->in.len;
	note(c, "C: ", "<text: %llu octets%s>", (unsigned long long)octets, end ? "" : ", no end");
	if (end)
		check_size(c);
	return end;
}

/* The lines of a text that came by its length: dots are as they are. */
static void
check_chunks(struct conn *c)
{
	struct str rest = buf_str(&c->text);

	while (rest.len > 0) {
		const char *crlf = memmem(rest.p, rest.len, "\r\n", 2);
		struct str line = { rest.p, crlf == NULL ? rest.len : (size_t)(crlf - rest.p) };

		if (line.len > 0)
			check_line(c, line);
		if (crlf == NULL && c->text_seen <= TEXT_MAX)
			accuse_once(c, NO_LINE_END, "the text does not end with a line end");
		rest.p += line.len + (crlf != NULL) * 2;
		rest.len -= line.len + (crlf != NULL) * 2;
	}
	check_size(c);
}

bool
hear_chunk(struct conn *c, uint64_t n, bool last)
{
	uint64_t left = n;

	if (!c->in_chunks)
		begin_text(c);
	c->in_chunks = !last;
	for (;;) {
		size_t some = c->in.len < left ? c->in.len : (size_t)left;

		if (c->text_seen + some <= TEXT_MAX)
			buf_add(&c->text, c->in.p, some);
		buf_cut(&c->in, some);
		c->text_seen += some;
		left -= some;
		reach(c, c->text_seen);
		if (left == 0 || c->fd < 0 || c->over || !hear_more(c))
			break;
	}
	note(c, "C: ", "<chunk: %llu octets%s>", (unsigned long long)(n - left), left > 0 ? ", no end" : "");
	if (left == 0 && last)
		check_chunks(c);
	return left == 0 && c->fd >= 0 && !c->over;
}
