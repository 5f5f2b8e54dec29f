#include "dots.h"

/* Octets up to the next CR or LF. */
static size_t
count_plain(struct str s)
{
	size_t n = str_find(s, '\n');

	return str_find(str_from(s.p, n), '\r');
}

/* Answers whether c belongs to the text; else it is the end, or held back. */
static bool
is_text(struct dots *d, char c, struct buf *out)
{
	switch (d->place) {
	case DOTS_LINE_START:
		if (c == '.') {
			d->place = DOTS_DOT;
			return false;
		}
		break;
	case DOTS_DOT:
		if (c == '\r') {
			d->place = DOTS_DOT_CR;
			return false;
		}
		d->ended = c == '\n' && d->lf;
		break;
	case DOTS_DOT_CR:
		d->ended = c == '\n';
		if (d->ended)
			return false;
		/* The dot goes, whatever stands behind it; the CR does not. */
		buf_addc(out, '\r');
		d->place = DOTS_CR;
		break;
	case DOTS_MID_LINE:
	case DOTS_CR:
		break;
	}
	return !d->ended;
}

size_t
dots_feed(struct dots *d, struct str in, struct buf *out)
{
	size_t i = 0;

	while (i < in.len && !d->ended) {
		char c = in.p[i];

		if (d->place == DOTS_MID_LINE && c != '\n' && c != '\r') {
			size_t n = count_plain(str_from(in.p + i, in.len - i));

			buf_add(out, in.p + i, n);
			i += n;
			continue;
		}
		i++;
		if (!is_text(d, c, out))
			continue;
		buf_addc(out, c);
		if (c == '\r')
			d->place = DOTS_CR;
		else
			d->place = c == '\n' && (d->lf || d->place == DOTS_CR) ? DOTS_LINE_START : DOTS_MID_LINE;
	}
	return i;
}
