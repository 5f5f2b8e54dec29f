#include "adapt.h"

#include <string.h>

static void
start_line(struct adapt *a, char first, struct buf *out)
{
	if (!a->mid_line && first == '.' && !a->terms.no_dots) {
		buf_addc(out, '.');
		a->dots++;
	}
	a->mid_line = true;
}

/* The octets of a line, or of a piece of one, that hold no LF. */
static void
put_line(struct adapt *a, struct str s, struct buf *out)
{
	size_t from;

	if (s.len == 0)
		return;
	start_line(a, s.p[0], out);
	from = out->len;
	buf_addstr(out, s);
	if (memchr(s.p, '\r', s.len) == NULL && memchr(s.p, '\0', s.len) == NULL)
		return;
	for (size_t i = from; i < out->len; i++)
		if (out->p[i] == '\r' || out->p[i] == '\0')
			out->p[i] = ' ';
}

static void
end_line(struct adapt *a, struct buf *out)
{
	buf_add(out, "\r\n", 2);
	a->mid_line = false;
}

/* What mime wrote: its lines end in LF alone. */
static void
put_lines(struct adapt *a, struct str s, struct buf *out)
{
	while (s.len > 0) {
		size_t n = str_find(s, '\n');

		put_line(a, str_from(s.p, n), out);
		if (n < s.len) {
			end_line(a, out);
			n++;
		}
		s = str_skip(s, n);
	}
}

/* Does nothing have to be changed, by the terms or by what the look has found? */
static bool
is_plain(const struct adapt *a)
{
	return a->terms.plain || (a->known && !a->mime.changed);
}

/* A piece of a line; ended: with its end. */
static enum outcome
take(struct adapt *a, struct str piece, bool ended, struct buf *out, struct why *why)
{
	enum outcome o;

	if (is_plain(a)) {
		put_line(a, piece, out);
		if (ended)
			end_line(a, out);
		return DONE;
	}
	a->mime.eight_bit = a->terms.eight_bit;
	a->mime.header = (struct refit_terms){ a->terms.utf8_header, a->terms.to_ascii };
	buf_clear(&a->text);
	if ((o = mime_feed(&a->mime, piece, ended, &a->text, why)) != DONE)
		return o;
	if (a->mime.known) {
		put_lines(a, buf_str(&a->text), out);
	} else {
		/* As it will be if nothing has to be changed. */
		a->count += piece.len + (ended ? 2 : 0);
		a->mid_line = !ended;
	}
	return DONE;
}

static enum outcome
feed(struct adapt *a, struct str text, struct buf *out, struct why *why)
{
	enum outcome o = DONE;

	while (text.len > 0 && o == DONE) {
		size_t n = str_find(text, '\n');
		bool ended = n < text.len;
		struct str line = str_from(text.p, n);

		if (a->held_cr && n > 0 && (o = take(a, STR("\r"), false, out, why)) != DONE)
			return o;
		if (n > 0)
			a->held_cr = false;
		/* A CR at the very end may be half of a line end. */
		if (n > 0 && line.p[n - 1] == '\r') {
			a->held_cr = true;
			line.len--;
		}
		if (line.len > 0 || ended)
			o = take(a, line, ended, out, why);
		if (ended) {
			a->held_cr = false;
			n++;
		}
		text = str_skip(text, n);
	}
	return o;
}

/* Where what is written goes: nowhere, as long as it is only looked. */
static struct buf *
destination(struct adapt *a, struct buf *out)
{
	buf_clear(&a->wire);
	return a->terms.plain || a->known ? out : &a->wire;
}

enum outcome
adapt_feed(struct adapt *a, struct str text, struct buf *out, struct why *why)
{
	struct buf *to = destination(a, out);
	size_t from = to->len;
	enum outcome o = feed(a, text, to, why);

	a->count += to->len - from;
	return o;
}

enum outcome
adapt_end(struct adapt *a, struct buf *out, struct why *why)
{
	struct buf *to = destination(a, out);
	size_t from = to->len;
	enum outcome o = DONE;

	if (a->held_cr)
		o = take(a, STR("\r"), false, to, why);
	a->held_cr = false;
	if (o == DONE && !is_plain(a)) {
		buf_clear(&a->text);
		o = mime_end(&a->mime, &a->text, why);
		put_lines(a, buf_str(&a->text), to);
	}
	if (o != DONE)
		return o;
	if (a->mid_line && (is_plain(a) || a->mime.known))
		end_line(a, to);
	else if (a->mid_line)
		a->count += 2;
	a->mid_line = false;
	a->size = a->count + (to->len - from) - a->dots;
	a->count = a->dots = 0;
	a->ended = true;
	return DONE;
}

bool
adapt_rewind(struct adapt *a)
{
	bool looked = a->mime.known;

	mime_rewind(&a->mime, a->ended && !a->terms.plain);
	/* One look is enough where nothing changes; else another run counts. */
	if (a->ended)
		a->known = a->known || looked || !a->mime.changed;
	a->mid_line = a->held_cr = a->ended = false;
	a->count = a->dots = 0;
	return a->terms.plain || a->known;
}

uint64_t
adapt_size(const struct adapt *a)
{
	return a->size;
}

bool
adapt_is_eight_bit(const struct adapt *a)
{
	return a->mime.has_eight_bit;
}

bool
adapt_has_utf8_header(const struct adapt *a)
{
	return a->mime.has_utf8_header;
}

void
adapt_free(struct adapt *a)
{
	mime_free(&a->mime);
	buf_free(&a->text);
	buf_free(&a->wire);
	*a = (struct adapt){ 0 };
}
