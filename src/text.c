#include "text.h"

#include <stdlib.h>

#include "codec.h"
#include "file.h"

static void
rewind_text(struct text *t)
{
	t->taken = 0;
	t->sum = 0;
	t->begun = t->over = false;
}

static enum outcome
damaged(struct text *t, const char *damage, struct why *why)
{
	t->damage = damage;
	return later(why, SCOPE_MESSAGE, "", "%s", damage);
}

/* What is left of a piece when the octets that the head replaces are out. */
static struct str
behind_head(const struct text *t, struct str piece)
{
	uint64_t from = t->taken < t->head_len ? t->head_len - t->taken : 0;
	size_t skip = from < piece.len ? (size_t)from : piece.len;

	return str_from(piece.p + skip, piece.len - skip);
}

/* One piece from its place to *out, and the end behind the last. */
static enum outcome
take(struct text *t, struct buf *out, struct why *why)
{
	uint64_t left = t->len - t->taken;
	enum outcome o = DONE;
	char *piece = NULL;
	size_t n = 0;

	if (!t->begun && t->head_len > 0)
		o = adapt_feed(&t->adapt, t->head, out, why);
	t->begun = true;
	if (o == DONE && left > 0) {
		size_t most = left < TEXT_SMALL ? (size_t)left : TEXT_SMALL;

		piece = mem_grow(NULL, most, 1);
		if (file_read_at(t->fd, piece, most, t->at + (off_t)t->taken, &n) < 0 || n == 0) {
			o = damaged(t, "its text cannot be read to the end", why);
			goto out;
		}
		t->sum = codec_crc32c(t->sum, piece, n);
		o = adapt_feed(&t->adapt, behind_head(t, str_from(piece, n)), out, why);
		t->taken += n;
	}
	if (o != DONE || t->taken < t->len)
		goto out;
	if (t->sum != t->crc) {
		o = damaged(t, "its text is damaged: the checksum is wrong", why);
		goto out;
	}
	o = adapt_end(&t->adapt, out, why);
	t->over = o == DONE;
out:
	free(piece);
	return o;
}

/* Runs through it all; what is written is thrown away. */
static enum outcome
look(struct text *t, struct why *why)
{
	struct buf ignored = { 0 };
	enum outcome o;

	do {
		buf_clear(&ignored);
		o = take(t, &ignored, why);
	} while (o == DONE && !t->over);
	buf_free(&ignored);
	rewind_text(t);
	return o;
}

enum outcome
text_plan(struct text *t, const struct adapt_terms *terms, struct why *why)
{
	enum outcome o = DONE;

	text_free(t);
	t->adapt.terms = *terms;
	t->adapt.terms.plain = t->plain;
	if (!t->plain) {
		do {
			o = look(t, why);
		} while (o == DONE && !adapt_rewind(&t->adapt));
		if (o != DONE)
			return o;
		t->size = adapt_size(&t->adapt);
		t->eight_bit = adapt_is_eight_bit(&t->adapt);
		t->utf8_header = adapt_has_utf8_header(&t->adapt);
	}
	if (t->size > TEXT_SMALL || t->len > TEXT_SMALL)
		return DONE;
	while (o == DONE && !t->over)
		o = take(t, &t->wire, why);
	t->ready = o == DONE;
	t->over = false;
	return o;
}

enum outcome
text_more(struct text *t, struct buf *out, struct why *why)
{
	if (!t->ready)
		return take(t, out, why);
	buf_addstr(out, buf_str(&t->wire));
	buf_free(&t->wire);
	t->over = true;
	return DONE;
}

void
text_free(struct text *t)
{
	buf_free(&t->wire);
	adapt_free(&t->adapt);
	rewind_text(t);
	t->ready = false;
}
