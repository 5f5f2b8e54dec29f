#include "intake.h"

#include <string.h>

/* Gives out what was held back: it was neither a line end nor the end. */
static void
release(struct intake *in, struct buf *out)
{
	if (in->dot || in->crs > 0)
		in->mid_line = true;
	if (in->dot)
		buf_addc(out, '.');
	in->dot = false;
	buf_reserve(out, in->crs);
	for (; in->crs > 0; in->crs--)
		buf_addc(out, '\r');
}

/* An octet where what came before it is still open. */
static void
take_octet(struct intake *in, char c, struct buf *out)
{
	switch (c) {
	case '\n':
		if (in->dot) {
			in->ended = true;
		} else {
			buf_addc(out, '\n');
			in->mid_line = false;
		}
		in->dot = false;
		in->crs = 0;
		return;
	case '\r':
		if (++in->crs == INTAKE_CR_MAX)
			release(in, out);
		return;
	case '.':
		/* With no CR before it, only one that begins a line comes here, and
		 * the second: then the first is the one that goes. */
		if (in->crs > 0)
			break;
		in->dot = !in->dot;
		if (in->dot)
			return;
		break;
	default:
		break;
	}
	release(in, out);
	buf_addc(out, c);
	in->mid_line = true;
	in->saw_nul = in->saw_nul || c == '\0';
}

/* Passes what cannot change up to the next CR or LF; answers how much that is. */
static size_t
take_run(struct intake *in, struct str text, struct buf *out)
{
	size_t n = str_find(text, '\n');

	n = str_find(str_from(text.p, n), '\r');
	if (n == 0)
		return 0;
	text.len = n;
	in->saw_nul = in->saw_nul || str_has(text, '\0');
	buf_addstr(out, text);
	in->mid_line = true;
	return n;
}

void
intake_feed(struct intake *in, struct str text, struct buf *out)
{
	while (text.len > 0 && !in->ended) {
		size_t n = 0;

		if (in->crs == 0 && (in->mid_line || !in->dots))
			n = take_run(in, text, out);
		if (n == 0) {
			take_octet(in, text.p[0], out);
			n = 1;
		}
		text = str_from(text.p + n, text.len - n);
	}
}

void
intake_end(struct intake *in, struct buf *out)
{
	if (in->ended)
		return;
	if (in->dot && in->crs == 0) {
		in->ended = true;
		in->dot = false;
		return;
	}
	release(in, out);
}
