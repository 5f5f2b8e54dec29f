#include "adapt.h"

#include <string.h>

static void
start_line(struct adapt *a, char first, struct buf *out)
{
	if (!a->mid_line && first == '.')
		buf_addc(out, '.');
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

void
adapt_feed(struct adapt *a, struct str text, struct buf *out)
{
	while (text.len > 0) {
		size_t n = str_find(text, '\n');
		bool ended = n < text.len;
		struct str line = str_from(text.p, n);

		if (a->held_cr && n > 0)
			put_line(a, STR("\r"), out);
		if (n > 0)
			a->held_cr = false;
		/* A CR at the very end may be half of a line end. */
		if (n > 0 && line.p[n - 1] == '\r') {
			a->held_cr = true;
			line.len--;
		}
		put_line(a, line, out);
		if (ended) {
			buf_add(out, "\r\n", 2);
			a->mid_line = false;
			a->held_cr = false;
			n++;
		}
		text = str_from(text.p + n, text.len - n);
	}
}

void
adapt_end(struct adapt *a, struct buf *out)
{
	if (a->held_cr)
		put_line(a, STR("\r"), out);
	if (a->mid_line)
		buf_add(out, "\r\n", 2);
	*a = (struct adapt){ 0 };
}
