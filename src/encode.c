#include "encode.h"

#include <string.h>

#include "codec.h"

#define LINE 76                 /* RFC 2045 sections 6.7 (5) and 6.8 */
#define LINE_MAX_OCTETS 998     /* RFC 5322 section 2.1.1 */

static void
put_clean(struct str s, struct buf *out)
{
	size_t from = out->len;

	buf_addstr(out, s);
	if (s.len == 0 || (memchr(s.p, '\r', s.len) == NULL && memchr(s.p, '\0', s.len) == NULL))
		return;
	for (size_t i = from; i < out->len; i++)
		if (out->p[i] == '\r' || out->p[i] == '\0')
			out->p[i] = ' ';
}

static void
prune(struct encode *e, struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\n') {
			e->column = 0;
		} else if (e->column++ == LINE_MAX_OCTETS) {
			/* With a space, lest what follows be read as a delimiter. */
			buf_adds(out, "\n ");
			e->column = 2;
		}
		buf_addc(out, c == '\r' || c == '\0' ? ' ' : c > 0x7f && !e->eight_bit ? '?' : (char)c);
	}
}

/* ---- quoted-printable ------------------------------------------------------ */

/* A soft line break needs the last place of a line. */
static void
qp_room(struct encode *e, unsigned len, struct buf *out)
{
	if (e->column + len >= LINE) {
		buf_adds(out, "=\n");
		e->column = 0;
	}
	e->column += len;
}

static void
qp_escape(struct encode *e, char c, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char u = (unsigned char)c;

	qp_room(e, 3, out);
	buf_addc(out, '=');
	buf_addc(out, hex[u >> 4]);
	buf_addc(out, hex[u & 15]);
}

static void
qp_line_end(struct encode *e, struct buf *out)
{
	buf_addc(out, '\n');
	e->column = 0;
}

/* May it stand where it does?  A line that a soft break begins must not look like a
 * delimiter. */
static bool
qp_is_safe(const struct encode *e, char c)
{
	return c > ' ' && c < 0x7f && c != '=' && (c != '-' || (e->column > 0 && e->column + 1 < LINE));
}

/* A space is held until it is known whether its line goes on: at the end of one it
 * would be lost (section 6.7 (3)). */
static void
qp(struct encode *e, struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (e->held > 0 && c == '\n')
			qp_escape(e, e->hold[0], out);
		else if (e->held > 0) {
			qp_room(e, 1, out);
			buf_addc(out, e->hold[0]);
		}
		e->held = 0;
		if (c == '\n') {
			qp_line_end(e, out);
		} else if (c == ' ' || c == '\t') {
			e->hold[0] = c;
			e->held = 1;
		} else if (qp_is_safe(e, c)) {
			qp_room(e, 1, out);
			buf_addc(out, c);
		} else {
			qp_escape(e, c, out);
		}
	}
}

/* An escape stays in one piece: it is held until it is whole. */
static void
qp_release(struct encode *e, struct buf *out)
{
	qp_room(e, e->held, out);
	buf_add(out, e->hold, e->held);
	e->held = 0;
}

static void
mend_qp(struct encode *e, struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (e->held > 0 && (c == '\n' || c == '=' || c > 0x7f || e->held == 3))
			qp_release(e, out);
		if (c == '\n')
			qp_line_end(e, out);
		else if (c > 0x7f || (c == '-' && e->held == 0 && !qp_is_safe(e, '-')))
			qp_escape(e, (char)c, out);
		else if (c == '=' || e->held > 0)
			e->hold[e->held++] = c == '\r' || c == '\0' ? ' ' : (char)c;
		else {
			qp_room(e, 1, out);
			buf_addc(out, c == '\r' || c == '\0' ? ' ' : (char)c);
		}
	}
}

/* ---- base64 ---------------------------------------------------------------- */

static void
base64_flush(struct encode *e, struct buf *out)
{
	if (e->held == 0)
		return;
	codec_base64(out, str_from(e->hold, e->held));
	buf_addc(out, '\n');
	e->held = 0;
}

static void
base64_put(struct encode *e, struct str s, struct buf *out)
{
	while (s.len > 0) {
		size_t room = sizeof e->hold - e->held, n = s.len < room ? s.len : room;

		memcpy(e->hold + e->held, s.p, n);
		e->held += (unsigned)n;
		s = str_skip(s, n);
		if (e->held == sizeof e->hold)
			base64_flush(e, out);
	}
}

static void
base64(struct encode *e, struct str s, struct buf *out)
{
	while (s.len > 0) {
		size_t n = str_find(s, '\n');

		if (e->owed)
			base64_put(e, STR("\r\n"), out);
		base64_put(e, str_from(s.p, n), out);
		e->owed = n < s.len;
		n += e->owed;
		s = str_skip(s, n);
	}
}

/* What is not of the alphabet is to be ignored (section 6.8), so it need not go on. */
static void
mend_base64(struct encode *e, struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    c == '+' || c == '/' || c == '='))
			continue;
		buf_addc(out, c);
		if (++e->column == LINE)
			qp_line_end(e, out);
	}
}

/* ---- all of them ----------------------------------------------------------- */

void
encode_feed(struct encode *e, struct str text, struct buf *out)
{
	switch (e->how) {
	case ENCODE_PRUNE:
		prune(e, text, out);
		break;
	case ENCODE_QP:
		qp(e, text, out);
		break;
	case ENCODE_BASE64:
		base64(e, text, out);
		break;
	case ENCODE_MEND_QP:
		mend_qp(e, text, out);
		break;
	case ENCODE_MEND_BASE64:
		mend_base64(e, text, out);
		break;
	default:
		put_clean(text, out);
		break;
	}
}

void
encode_end(struct encode *e, bool before_delimiter, struct buf *out)
{
	switch (e->how) {
	case ENCODE_QP:
		if (e->held > 0)
			qp_escape(e, e->hold[0], out);
		break;
	case ENCODE_MEND_QP:
		if (e->held > 0)
			qp_release(e, out);
		break;
	case ENCODE_BASE64:
		if (e->owed && !before_delimiter)
			base64_put(e, STR("\r\n"), out);
		base64_flush(e, out);
		break;
	case ENCODE_MEND_BASE64:
		if (e->column > 0)
			buf_addc(out, '\n');
		break;
	default:
		break;
	}
	*e = (struct encode){ 0 };
}
