#include "mime.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "complete.h"
#include "words.h"

/* A part under way. */
struct mime_open {
	struct part part;
	size_t note;
	bool is_message;        /* its header is a message's */
	bool is_signed;         /* and signed */
	bool closed;            /* a multipart whose last delimiter has come */
};

static struct mime_open *
top(struct mime *m)
{
	return &m->open[m->depth - 1];
}

static struct label *
note_of(struct mime *m, size_t i)
{
	return &m->notes[m->open[i].note];
}

/* ---- what cannot be changed ------------------------------------------------- */

static enum outcome
cannot(const struct mime *m, bool eight, struct why *why)
{
	return never(why, SCOPE_MESSAGE, "5.6.2", "the message has %s, and a part that may not be "
	    "changed: %s", eight ? "octets over 127, which this server does not take (8BITMIME)" :
	    "a line of over 998 octets", m->sealed);
}

/* What the look keeps of s, which is text of the innermost part. */
static enum outcome
note_text(struct mime *m, struct str s, struct why *why)
{
	struct label *n = note_of(m, m->depth - 1);
	bool eight = !words_is_ascii(s);

	n->own_eight = n->own_eight || eight;
	n->long_line = n->long_line || m->line_len > MIME_LINE_MAX;
	if (m->sealed == NULL)
		return DONE;
	if (eight && !m->eight_bit)
		return cannot(m, true, why);
	return m->line_len > MIME_LINE_MAX ? cannot(m, false, why) : DONE;
}

/* ---- parts begin and end ------------------------------------------------------ */

/* False where there are too many. */
static bool
open_part(struct mime *m, bool is_message)
{
	if (m->next == MIME_PARTS_MAX)
		return false;
	m->open = mem_more(m->open, m->depth, sizeof *m->open);
	m->open[m->depth++] = (struct mime_open){ .note = m->next++, .is_message = is_message };
	if (m->next > m->notes_n) {
		m->notes = mem_more(m->notes, m->notes_n, sizeof *m->notes);
		m->notes[m->notes_n++] = (struct label){ 0 };
	}
	buf_clear(&m->head);
	buf_reserve(&m->head, 1);
	m->line_at = 0;
	m->in_head = true;
	return true;
}

/* The look's last word on a part: what it means for the one around it. */
static void
sum_up(struct mime *m)
{
	struct mime_open *o = top(m);
	struct label *n = note_of(m, m->depth - 1), *around;
	enum encoding how;
	struct buf labels = { 0 };

	n->eight = n->eight || n->own_eight;
	how = label_encoding(n, &o->part, m->eight_bit);
	if (how == ENCODE_NONE || how == ENCODE_PRUNE)
		n->eight_left = n->eight_left || (n->own_eight && m->eight_bit);
	label_put(n, &o->part, m->eight_bit, o->is_message, &labels);
	m->changed = m->changed || labels.len > 0 || (how != ENCODE_NONE && how != ENCODE_PRUNE);
	buf_free(&labels);
	m->has_eight_bit = m->has_eight_bit || n->eight_left;
	if (m->depth == 1)
		return;
	around = note_of(m, m->depth - 2);
	around->eight = around->eight || n->eight;
	around->long_line = around->long_line || n->long_line;
	around->eight_left = around->eight_left || n->eight_left;
}

static void
close_part(struct mime *m)
{
	if (!m->known)
		sum_up(m);
	part_free(&top(m)->part);
	m->depth--;
}

/* ---- headers ---------------------------------------------------------------------- */

static enum outcome
put_field(struct mime *m, struct str whole, size_t name_len, struct buf *out, struct why *why)
{
	bool fits = refit_fits(&m->header, whole);

	if (!m->known) {
		m->changed = m->changed || !fits;
		if (!fits && top(m)->is_signed)
			return never(why, SCOPE_MESSAGE, "5.6.2", "the message's %s: field is not ASCII or has a "
			    "line of over 998 octets, and may not be changed: %s",
			    codec_show(str_from(whole.p, name_len)).p, top(m)->part.sealed);
	}
	return refit_field(&m->header, whole, name_len, out, why);
}

/* The header of the innermost part, as it is or with what is to be said otherwise. */
static enum outcome
put_head(struct mime *m, bool blank, struct buf *out, struct why *why)
{
	const struct mime_open *o = top(m);
	const struct label *n = note_of(m, m->depth - 1);
	const char *coding = m->known ? label_coding(n, &o->part, m->eight_bit) : NULL;
	struct str rest = buf_str(&m->head), whole;
	size_t from = out->len, name_len, labels;

	while (part_next_field(&rest, &whole, &name_len)) {
		struct str name = str_from(whole.p, name_len);
		enum outcome answer;

		if (coding != NULL && str_caseis(name, "Content-Transfer-Encoding"))
			continue;
		if ((answer = put_field(m, whole, name_len, out, why)) != DONE)
			return answer;
	}
	if (!words_is_ascii(str_skip(buf_str(out), from))) {
		m->has_utf8_header = m->has_eight_bit = true;
		note_of(m, m->depth - 1)->utf8_header = true;
		if (m->depth > 1)
			note_of(m, m->depth - 2)->eight_left = true;
	}
	labels = out->len;
	if (m->known)
		label_put(n, &o->part, m->eight_bit, o->is_message, out);
	if (blank || out->len > labels)
		buf_addc(out, '\n');
	return DONE;
}

static bool
is_signed(struct str head)
{
	struct str whole;
	size_t name_len;

	while (part_next_field(&head, &whole, &name_len))
		if (str_caseis(str_from(whole.p, name_len), "DKIM-Signature"))
			return true;
	return false;
}

/* As it will be written: what becomes a space counts as one, or a server would see a
 * delimiter where we saw none. */
static char
written(char c)
{
	return c == '\r' || c == '\0' ? ' ' : c;
}

static void
clean(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		b->p[i] = written(b->p[i]);
}

static void
read_head(struct mime *m)
{
	struct mime_open *o = top(m);
	bool in_digest = m->depth > 1 && m->open[m->depth - 2].part.is_digest;

	part_read(buf_str(&m->head), in_digest, &o->part);
	o->is_signed = m->depth == 1 && is_signed(buf_str(&m->head));
	if (o->is_signed)
		part_seal(&o->part, "it is signed (DKIM-Signature)");
	else if (m->depth == MIME_DEPTH_MAX && (o->part.form == PART_MESSAGE ||
	    o->part.form == PART_MULTIPART))
		part_seal(&o->part, "its parts lie too deep in one another");
}

/* What comes is passed as it is, or not at all. */
static void
seal_rest(struct mime *m, const char *reason)
{
	m->rest = true;
	m->in_head = false;
	m->sealed = reason;
	m->encode = (struct encode){ 0 };
}

/* The header is whole; what comes now is text, or, in a message, its header. */
static enum outcome
end_head(struct mime *m, bool blank, struct buf *out, struct why *why)
{
	struct mime_open *o = top(m);
	enum outcome answer;

	m->in_head = false;
	clean(&m->head);
	read_head(m);
	if ((answer = put_head(m, blank, out, why)) != DONE)
		return answer;
	m->sealed = o->part.sealed;
	m->encode = (struct encode){ .eight_bit = m->eight_bit };
	if (o->part.form == PART_MULTIPART || m->known)
		m->encode.how = label_encoding(note_of(m, m->depth - 1), &o->part, m->eight_bit);
	if (o->part.form == PART_MESSAGE && !open_part(m, true))
		seal_rest(m, "it has too many parts");
	return DONE;
}

/* ---- delimiters ------------------------------------------------------------------- */

static bool
has_boundary(const struct mime *m)
{
	for (size_t i = 0; i < m->depth; i++)
		if (m->open[i].part.boundary.len > 0 && !m->open[i].closed)
			return !m->rest;
	return false;
}

static bool
begins_with(struct str line, struct str boundary)
{
	size_t i = 0;

	while (i < boundary.len && i < line.len && written(line.p[i]) == boundary.p[i])
		i++;
	return i == boundary.len;
}

/* Which open part is it a delimiter of?  m->depth where it is none.  *last: its last. */
static size_t
delimits(const struct mime *m, struct str line, bool *last)
{
	if (m->rest || !str_starts(line, "--"))
		return m->depth;
	line = str_skip(line, 2);
	while (line.len > 0 && (written(line.p[line.len - 1]) == ' ' || line.p[line.len - 1] == '\t'))
		line.len--;
	for (size_t i = m->depth; i-- > 0; ) {
		struct str b = buf_str(&m->open[i].part.boundary);

		if (b.len == 0 || m->open[i].closed || !begins_with(line, b))
			continue;
		*last = str_is(str_skip(line, b.len), "--");
		if (*last || line.len == b.len)
			return i;
	}
	return m->depth;
}

static void
take_delimiter(struct mime *m, size_t level, bool last, struct str line, bool ended, struct buf *out)
{
	if (!m->in_head)
		encode_end(&m->encode, true, out);
	while (m->depth > level + 1)
		close_part(m);
	for (size_t i = 0; i < line.len; i++)
		buf_addc(out, written(line.p[i]));
	if (ended)
		buf_addc(out, '\n');
	m->in_head = false;
	m->sealed = NULL;
	m->encode = (struct encode){ .how = ENCODE_PRUNE, .eight_bit = m->eight_bit };
	if (last)
		m->open[level].closed = true;
	else if (!open_part(m, false))
		seal_rest(m, "it has too many parts");
}

/* ---- lines ------------------------------------------------------------------------ */

static enum outcome
take_text(struct mime *m, struct str s, bool ended, struct buf *out, struct why *why)
{
	enum outcome o;

	m->line_len += s.len;
	if (!m->known) {
		if ((o = note_text(m, s, why)) != DONE)
			return o;
		if (top(m)->part.form == PART_TEXT && part_is_identity(top(m)->part.coding))
			label_count(note_of(m, m->depth - 1), s, ended);
		/* What nobody reads is changed without being told apart first. */
		if (m->encode.how == ENCODE_PRUNE && (m->line_len > MIME_LINE_MAX ||
		    (!m->eight_bit && !words_is_ascii(s))))
			m->changed = true;
		return DONE;
	}
	encode_feed(&m->encode, s, out);
	if (ended)
		encode_feed(&m->encode, STR("\n"), out);
	return DONE;
}

/* A header that is no header: as it is, or not at all. */
static enum outcome
give_up_head(struct mime *m, bool ended, struct buf *out, struct why *why)
{
	struct str rest, line;
	bool fits;

	m->line_len = m->head.len - m->line_at;
	if (ended)
		buf_addc(&m->head, '\n');
	rest = buf_str(&m->head);
	fits = words_is_ascii(rest);
	while (fits && str_line(&rest, &line))
		fits = line.len <= MIME_LINE_MAX;
	if (!fits)
		return never(why, SCOPE_MESSAGE, "5.6.0", "the message has a header of over %u octets that "
		    "cannot pass as it is", COMPLETE_MAX);
	clean(&m->head);
	if (m->known)
		buf_addstr(out, buf_str(&m->head));
	top(m)->part.form = PART_SEALED;
	seal_rest(m, "its header is too long to be read");
	return DONE;
}

static struct str
last_line(const struct mime *m)
{
	return str_skip(buf_str(&m->head), m->line_at);
}

/* The last line of head belongs to no header: that has ended before it, and gets the
 * empty line that says so to everybody.  No signature means anything without it. */
static enum outcome
begin_text(struct mime *m, bool ended, struct buf *out, struct why *why)
{
	struct buf line = { 0 };
	enum outcome o;

	buf_addstr(&line, last_line(m));
	m->head.len = m->line_at;
	m->changed = true;
	m->mid_line = false;
	if ((o = end_head(m, true, out, why)) == DONE)
		o = mime_feed(m, buf_str(&line), ended, out, why);
	buf_free(&line);
	return o;
}

/* A name that is not over within a line is none (see header.c), however it comes. */
static bool
is_field(struct str line)
{
	return part_is_field(str_from(line.p, line.len < MIME_LINE_MAX ? line.len : MIME_LINE_MAX));
}

static enum outcome
take_head(struct mime *m, struct str s, bool ended, struct buf *out, struct why *why)
{
	struct str line;
	size_t level;
	bool last, more;

	buf_addstr(&m->head, s);
	line = last_line(m);
	more = m->line_at > 0 && line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
	if (!ended && line.len > MIME_LINE_MAX && !more && !is_field(line))
		return begin_text(m, false, out, why);
	if (m->head.len > COMPLETE_MAX)
		return give_up_head(m, ended, out, why);
	if (!ended)
		return DONE;
	if (line.len == 0)
		return end_head(m, true, out, why);
	if ((level = delimits(m, line, &last)) < m->depth) {
		struct buf kept = { 0 };
		enum outcome o;

		buf_addstr(&kept, line);
		m->head.len = m->line_at;
		if ((o = end_head(m, false, out, why)) == DONE && m->rest)
			o = take_text(m, buf_str(&kept), true, out, why);
		else if (o == DONE)
			take_delimiter(m, level, last, buf_str(&kept), true, out);
		buf_free(&kept);
		return o;
	}
	if (!more && !is_field(line))
		return begin_text(m, true, out, why);
	buf_addc(&m->head, '\n');
	m->line_at = m->head.len;
	return DONE;
}

/* The line that was gathered is a delimiter, or text. */
static enum outcome
end_gathering(struct mime *m, bool ended, struct buf *out, struct why *why)
{
	struct str line = buf_str(&m->line);
	bool last;
	size_t level = line.len <= MIME_LINE_MAX ? delimits(m, line, &last) : m->depth;

	m->gathers = false;
	if (level == m->depth)
		return take_text(m, line, ended, out, why);
	take_delimiter(m, level, last, line, ended, out);
	return DONE;
}

static enum outcome
take_line(struct mime *m, struct str s, bool ended, bool first, struct buf *out, struct why *why)
{
	if (first)
		m->line_len = 0;
	if (first && s.len > 0 && s.p[0] == '-' && has_boundary(m)) {
		buf_clear(&m->line);
		m->gathers = true;
	}
	if (!m->gathers)
		return take_text(m, s, ended, out, why);
	buf_addstr(&m->line, s);
	if (ended || m->line.len > MIME_LINE_MAX)
		return end_gathering(m, ended, out, why);
	return DONE;
}

enum outcome
mime_feed(struct mime *m, struct str piece, bool ended, struct buf *out, struct why *why)
{
	bool first = !m->mid_line;
	size_t from = out->len;
	enum outcome o;

	if (!m->begun) {
		m->begun = true;
		open_part(m, true);
	}
	m->mid_line = !ended;
	o = m->in_head ? take_head(m, piece, ended, out, why) :
	    take_line(m, piece, ended, first, out, why);
	if (!m->known)
		out->len = from;
	m->has_eight_bit = m->has_eight_bit || !words_is_ascii(str_skip(buf_str(out), from));
	return o;
}

enum outcome
mime_end(struct mime *m, struct buf *out, struct why *why)
{
	size_t from = out->len;
	enum outcome o = DONE;

	if (!m->begun)
		return DONE;
	/* A header without an end is one all the same: the last line too, if it is a field. */
	if (m->in_head && m->mid_line && (o = take_head(m, (struct str){ 0 }, true, out, why)) != DONE)
		return o;
	if (m->in_head)
		o = end_head(m, false, out, why);
	if (o == DONE && m->gathers)
		o = end_gathering(m, false, out, why);
	if (o != DONE)
		return o;
	if (!m->in_head)
		encode_end(&m->encode, false, out);
	while (m->depth > 0)
		close_part(m);
	if (!m->known)
		out->len = from;
	m->has_eight_bit = m->has_eight_bit || !words_is_ascii(str_skip(buf_str(out), from));
	return DONE;
}

void
mime_rewind(struct mime *m, bool ended)
{
	bool looked = !m->known;

	m->known = m->known || ended;
	while (m->depth > 0)
		part_free(&m->open[--m->depth].part);
	/* A look that was broken off has left notes of no worth. */
	if (!m->known) {
		free(m->notes);
		m->notes = NULL;
		m->notes_n = 0;
		m->changed = false;
	}
	/* What the look has seen may be gone from what is written. */
	if (!m->known || (looked && m->changed))
		m->has_eight_bit = m->has_utf8_header = false;
	buf_clear(&m->head);
	buf_clear(&m->line);
	m->begun = m->in_head = m->mid_line = m->gathers = m->rest = false;
	m->line_len = m->line_at = m->next = 0;
	m->sealed = NULL;
	m->encode = (struct encode){ 0 };
}

void
mime_free(struct mime *m)
{
	mime_rewind(m, false);
	buf_free(&m->head);
	buf_free(&m->line);
	free(m->notes);
	free(m->open);
	*m = (struct mime){ 0 };
}
