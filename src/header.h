/* header: the head of a message, read while it streams.
 *
 * Fed canonical text (LF line ends, see intake), it collects the fields up to
 * the empty line, and says where the text begins.  A first line "From " (mbox)
 * or ">From " is dropped.  A line that is neither a field, a continuation nor the end means
 * that the text has begun without an empty line (RFC 5322 section 2.2 knows no
 * such message, callers write them): that line is the first of the text. */
#ifndef HEADER_H
#define HEADER_H

#include "address.h"
#include "buf.h"
#include "outcome.h"

#define HEADER_MAX (1u << 20)   /* octets of all fields together */

struct field {
	size_t at;              /* offset of the field in raw */
	size_t len;             /* octets, the last LF included */
	size_t name_len;        /* octets of the name; no colon, no space before it */
	size_t body_at;         /* offset in raw just behind the colon */
};

struct header {
	struct buf raw;         /* the fields as they came, each ending in LF */
	struct field *v;
	size_t n;
	bool over;              /* the header has ended */
	bool too_long;          /* over its limit; nothing more is taken */
	size_t limit;           /* octets; set before the first call; 0: HEADER_MAX */
	/* private */
	struct buf line;        /* a line of which we do not know yet what it is */
	size_t name_len;
	int place;
	bool past_first;
};

/* Takes canonical text; *used says how much.  When h->over is set the rest of
 * the chunk is body, but for what header_rest answers, which comes before it.
 * Once h->over or h->too_long is set nothing more is used. */
void header_feed(struct header *h, struct str text, size_t *used);
/* At the end of input: what stands in an unfinished last line is judged now. */
void header_end(struct header *h);
/* Octets of body that header_feed had to take to see that they are body. */
struct str header_rest(const struct header *h);
void header_free(struct header *h);

struct str field_name(const struct header *h, const struct field *f);
/* Behind the colon, folding kept, the last LF gone. */
struct str field_body(const struct header *h, const struct field *f);
bool field_is(const struct header *h, const struct field *f, const char *name);   /* without case */
/* The first field of that name, or NULL. */
const struct field *header_find(const struct header *h, const char *name);

/* The first Resent- block (RFC 5322 section 3.6.6): how many fields it has, and
 * the index of its first; 0 if there is none.  It ends where another field
 * stands, or where one that a block has once comes again. */
size_t header_resent(const struct header *h, size_t *first);

/* The recipients of sendmail -t: To, Cc, Bcc and Apparently-To; or, when any
 * Resent- recipient field is there, those of the first Resent- block only
 * (RFC 5322 section 3.6.6).  Added to *list in order.  NEVER, 65, with the
 * field's name in the reason where a field cannot be read. */
enum outcome header_recipients(const struct header *h, struct address_list *list, struct why *why);

#endif
