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

/* Octets before the next line that begins with a dot. */
static size_t
find_dot(struct str text)
{
	size_t n = 0;

	while (n < text.len) {
		n += str_find(str_from(text.p + n, text.len - n), '\n');
		if (n < text.len && ++n < text.len && text.p[n] == '.')
			break;
	}
	return n;
}

/* Text without a CR, and with none held back: all but dots passes as it is, many
 * lines at once. */
static void
take_plain(struct intake *in, struct str text, struct buf *out)
{
	while (text.len > 0 && !in->ended) {
		bool dot = in->dots && !in->mid_line && (in->dot || text.p[0] == '.');
		size_t n = dot ? 1 : in->dots ? find_dot(text) : text.len;

		if (dot) {
			take_octet(in, text.p[0], out);
		} else {
			in->saw_nul = in->saw_nul || str_has(str_from(text.p, n), '\0');
			buf_add(out, text.p, n);
			in->mid_line = text.p[n - 1] != '\n';
		}
		text = str_from(text.p + n, text.len - n);
	}
}

void
intake_feed(struct intake *in, struct str text, struct buf *out)
{
	while (text.len > 0 && !in->ended) {
		size_t n = in->crs == 0 ? str_find(text, '\r') : 0;

		if (n > 0) {
			take_plain(in, str_from(text.p, n), out);
		} else {
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
