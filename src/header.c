#include "header.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* Where in a line the next octet stands. */
enum place {
	AT_START,
	IN_NAME,
	BEHIND_NAME,            /* in the space before the colon, RFC 5322 section 4.5 */
	IN_BODY,                /* of a field, up to its LF */
	IN_MBOX,                /* in the line that an mbox puts before a message */
};

/* RFC 5322 section 2.1.1: what is not over within a line is no name, but a text
 * without a header, as "base64 -w0" makes one. */
#define NAME_LINE_MAX 998

/* RFC 5322 section 3.6.8. */
static bool
is_ftext(char c)
{
	return c > 0x20 && c < 0x7f && c != ':';
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The line is part of the text, and so the header had ended before it. */
static void
begin_text(struct header *h, char c)
{
	buf_addc(&h->line, c);
	h->over = true;
}

static size_t
limit_of(const struct header *h)
{
	return h->limit > 0 ? h->limit : HEADER_MAX;
}

static void
grow_line(struct header *h, char c)
{
	buf_addc(&h->line, c);
	h->too_long = h->raw.len + h->line.len > limit_of(h);
}

/* Adds to the last field. */
static void
extend(struct header *h, struct str s)
{
	if (h->raw.len + s.len > limit_of(h)) {
		h->too_long = true;
		return;
	}
	buf_addstr(&h->raw, s);
	h->v[h->n - 1].len += s.len;
	if (s.p[s.len - 1] == '\n') {
		h->place = AT_START;
		h->past_first = true;
	}
}

static void
open_field(struct header *h)
{
	struct field f = { .at = h->raw.len, .name_len = h->name_len };

	grow_line(h, ':');
	if (h->too_long)
		return;
	h->v = mem_more(h->v, h->n, sizeof *h->v);
	f.body_at = f.at + h->line.len;
	h->v[h->n++] = f;
	h->place = IN_BODY;
	extend(h, buf_str(&h->line));
	buf_clear(&h->line);
}

/* "From " opens a message in an mbox, and ">From " is what a careless hand
 * makes of that; "From :" is a field. */
static bool
is_mbox_line(const struct header *h)
{
	struct str name = str_from(h->line.p, h->name_len);

	return !h->past_first && (str_is(name, "From") || str_is(name, ">From")) &&
	    h->line.p[h->name_len] == ' ';
}

static void
take_octet(struct header *h, char c)
{
	if (h->line.len == NAME_LINE_MAX) {
		begin_text(h, c);
		return;
	}
	switch (h->place) {
	case AT_START:
		if (c == '\n') {
			h->over = true;
		} else if (is_space(c) && h->n > 0) {
			h->place = IN_BODY;
			extend(h, str_from(&c, 1));
		} else if (is_ftext(c)) {
			h->place = IN_NAME;
			grow_line(h, c);
		} else {
			begin_text(h, c);
		}
		return;
	case IN_NAME:
		if (is_ftext(c)) {
			grow_line(h, c);
			return;
		}
		h->name_len = h->line.len;
		if (c == ':') {
			open_field(h);
		} else if (is_space(c)) {
			h->place = BEHIND_NAME;
			grow_line(h, c);
		} else {
			begin_text(h, c);
		}
		return;
	default:        /* BEHIND_NAME */
		if (is_space(c)) {
			grow_line(h, c);
		} else if (c == ':') {
			open_field(h);
		} else if (is_mbox_line(h)) {
			buf_clear(&h->line);
			h->past_first = true;
			h->place = c == '\n' ? AT_START : IN_MBOX;
		} else {
			begin_text(h, c);
		}
		return;
	}
}

void
header_feed(struct header *h, struct str text, size_t *used)
{
	*used = 0;
	while (*used < text.len && !h->over && !h->too_long) {
		struct str left = str_from(text.p + *used, text.len - *used);
		size_t n = 1;

		if (h->place != IN_BODY && h->place != IN_MBOX) {
			take_octet(h, left.p[0]);
		} else {
			n = str_find(left, '\n');
			n += n < left.len;
			if (h->place == IN_BODY)
				extend(h, str_from(left.p, n));
			else if (left.p[n - 1] == '\n')
				h->place = AT_START;
		}
		if (!h->too_long)
			*used += n;
	}
}

void
header_end(struct header *h)
{
	if (h->over || h->too_long)
		return;
	if (h->place == IN_BODY)
		extend(h, STR("\n"));
	else if (h->place == BEHIND_NAME && is_mbox_line(h))
		buf_clear(&h->line);
	h->over = !h->too_long;
}

struct str
header_rest(const struct header *h)
{
	return buf_str(&h->line);
}

void
header_free(struct header *h)
{
	buf_free(&h->raw);
	buf_free(&h->line);
	free(h->v);
	*h = (struct header){ 0 };
}

struct str
field_name(const struct header *h, const struct field *f)
{
	return str_from(h->raw.p + f->at, f->name_len);
}

struct str
field_body(const struct header *h, const struct field *f)
{
	struct str s = str_from(h->raw.p + f->body_at, f->at + f->len - f->body_at);

	/* A field that ran into the limit has no LF. */
	s.len -= s.len > 0 && s.p[s.len - 1] == '\n';
	return s;
}

bool
field_is(const struct header *h, const struct field *f, const char *name)
{
	return str_caseis(field_name(h, f), name);
}

const struct field *
header_find(const struct header *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (field_is(h, &h->v[i], name))
			return &h->v[i];
	return NULL;
}

static bool
is_resent(const struct header *h, size_t i)
{
	return str_casestarts(field_name(h, &h->v[i]), "Resent-");
}

/* Marks the field in *seen if a block has such a field once; false when it was
 * marked before. */
static bool
mark_once(const struct header *h, size_t i, unsigned *seen)
{
	static const char *const once[] = {
		"Resent-From", "Resent-Sender", "Resent-Date", "Resent-Message-ID",
	};

	for (unsigned k = 0; k < sizeof once / sizeof *once; k++) {
		if (!field_is(h, &h->v[i], once[k]))
			continue;
		if ((*seen & 1u << k) != 0)
			return false;
		*seen |= 1u << k;
	}
	return true;
}

size_t
header_resent(const struct header *h, size_t *first)
{
	unsigned seen = 0;
	size_t i = 0;

	while (i < h->n && !is_resent(h, i))
		i++;
	*first = i;
	while (i < h->n && is_resent(h, i) && mark_once(h, i, &seen))
		i++;
	return i - *first;
}

static bool
is_one_of(const struct header *h, const struct field *f, const char *const *names)
{
	for (; *names != NULL; names++)
		if (field_is(h, f, *names))
			return true;
	return false;
}

static enum outcome
read_field(const struct header *h, const struct field *f, struct address_list *list,
    struct why *why)
{
	struct why inner = { 0 };

	if (address_parse(field_body(h, f), list, &inner) == DONE)
		return DONE;
	return refuse(why, EX_DATAERR, "the message's %.*s: field has what is %s",
	    (int)f->name_len, field_name(h, f).p, inner.text);
}

enum outcome
header_recipients(const struct header *h, struct address_list *list, struct why *why)
{
	static const char *const usual[] = { "To", "Cc", "Bcc", "Apparently-To", NULL };
	static const char *const resent[] = { "Resent-To", "Resent-Cc", "Resent-Bcc", NULL };
	const char *const *names = usual;
	size_t first = 0, n = h->n;
	enum outcome o = DONE;

	for (size_t i = 0; i < h->n; i++)
		if (is_one_of(h, &h->v[i], resent))
			names = resent;
	if (names == resent)
		n = header_resent(h, &first);
	for (size_t i = first; i < first + n && o == DONE; i++)
		if (is_one_of(h, &h->v[i], names))
			o = read_field(h, &h->v[i], list, why);
	return o;
}
