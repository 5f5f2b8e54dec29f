#include "parcel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "complete.h"
#include "file.h"
#include "force.h"
#include "words.h"

/* ---- taking it ---------------------------------------------------------------------- */

static bool
all_sendable(const struct envelope *e)
{
	if (!address_is_sendable(str_of(e->from)))
		return false;
	for (size_t i = 0; i < e->n; i++)
		if (!address_is_sendable(str_of(e->to[i].address)))
			return false;
	return true;
}

bool
parcel_take(struct parcel *p, struct errand *job, struct why *why)
{
	struct letter *l = &p->letter;

	*p = (struct parcel){ .letter = LETTER_INIT };
	*why = (struct why){ 0 };
	memcpy(p->id, job->id, sizeof p->id);
	if (!spool_read_open(job->fd, job->id, l, why) || !all_sendable(&l->envelope) ||
	    job->recipients[job->n - 1] >= l->envelope.n) {
		l->fd = -1;
		if (why->text[0] == '\0')
			later(why, SCOPE_MESSAGE, "", "its envelope cannot be sent");
		return false;
	}
	l->fd = job->fd;
	job->fd = -1;
	p->places = job->recipients;
	p->n = job->n;
	job->recipients = NULL;
	p->given = mem_alloc(p->n * sizeof *p->given);
	p->from = l->envelope.from;
	p->size = stamp_wire_size(&l->stamp);
	return true;
}

void
parcel_free(struct parcel *p)
{
	spool_letter_free(&p->letter);
	trace_free(&p->trace);
	buf_free(&p->head);
	free(p->places);
	free(p->given);
	*p = (struct parcel){ .letter = LETTER_INIT };
}

/* ---- another sender ------------------------------------------------------------------ */

/* CRLF for each LF. */
static uint64_t
wire_size(struct str s)
{
	uint64_t size = s.len;

	for (size_t i = 0; i < s.len; i++)
		size += s.p[i] == '\n';
	return size;
}

/* The header at the beginning of the text.  head_len is what it takes of that, with the
 * empty line and what else had to be read to see its end; it goes off size.  False when
 * the file ends too early. */
static bool
read_header(struct parcel *p, struct header *h)
{
	const uint64_t len = stamp_text_len(&p->letter.stamp);
	char chunk[4096];
	size_t n, used;

	while (!h->over && !h->too_long && p->head_len < len) {
		uint64_t left = len - p->head_len;

		if (file_read_at(p->letter.fd, chunk, left < sizeof chunk ? (size_t)left : sizeof chunk,
		    spool_text_at(&p->letter) + (off_t)p->head_len, &n) < 0 || n == 0)
			return false;
		header_feed(h, str_from(chunk, n), &used);
		p->head_len += used;
		p->size -= wire_size(str_from(chunk, used));
	}
	header_end(h);
	return true;
}

enum outcome
parcel_force(struct parcel *p, const char *from, struct why *why)
{
	struct header h = { .limit = COMPLETE_MAX };
	enum outcome o = DONE;

	if (!read_header(p, &h)) {
		o = later(why, SCOPE_MESSAGE, "", "its text cannot be read to the end");
	} else if (h.too_long) {
		o = never(why, SCOPE_MESSAGE, "5.6.0", "its header is over %u octets, too long for "
		    "force-from to change it", COMPLETE_MAX);
	} else {
		force_header(&h, str_of(from), &p->head);
		buf_addstr(&p->head, header_rest(&h));
		/* All of the text may be header, and the last line may have no end. */
		if (p->head_len == stamp_text_len(&p->letter.stamp))
			p->size = p->head.p[p->head.len - 1] == '\n' ? 0 : 2;
		p->size += wire_size(buf_str(&p->head));
		if (p->from[0] != '\0')
			p->from = from;
	}
	header_free(&h);
	return o;
}

/* ---- shares ---------------------------------------------------------------------------- */

static struct str
domain_of(const char *address)
{
	const char *at = strrchr(address, '@');

	return str_of(at != NULL ? at + 1 : address);
}

/* Does it go to that domain already? */
static bool
has_domain(const struct share *s, struct str domain)
{
	for (size_t i = 0; i < s->t.n; i++)
		if (str_caseeq(domain_of(s->to[i].address), domain))
			return true;
	return false;
}

/* Those who still wait, as many as may go together. */
static void
pick(struct share *s, size_t most, size_t domains)
{
	struct parcel *p = s->parcel;
	size_t ndomains = 0;

	for (size_t i = 0; i < p->n && s->t.n < most; i++) {
		const struct recipient *r = &p->letter.envelope.to[p->places[i]];

		if (p->given[i])
			continue;
		if (domains > 0 && !has_domain(s, domain_of(r->address)) && ndomains++ >= domains)
			continue;
		p->given[i] = true;
		s->to[s->t.n] = *r;
		s->which[s->t.n++] = i;
	}
}

static size_t
count_waiting(const struct parcel *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += !p->given[i];
	return n;
}

bool
parcel_has_share(const struct parcel *p)
{
	return count_waiting(p) > 0;
}

struct share *
parcel_share(struct parcel *p, size_t most, size_t domains)
{
	const struct letter *l = &p->letter;
	size_t n = count_waiting(p);
	struct share *s;

	if (n == 0)
		return NULL;
	if (most == 0 || most > n)
		most = n;
	s = mem_alloc(sizeof *s);
	s->parcel = p;
	s->to = mem_grow(NULL, most, sizeof *s->to);
	s->which = mem_grow(NULL, most, sizeof *s->which);
	s->t.answers = mem_alloc(most * sizeof *s->t.answers);
	pick(s, most, domains);
	s->t.to = s->to;
	s->t.from = p->from;
	s->t.wishes = l->envelope.wishes;
	s->t.arrived = l->envelope.arrived;
	s->t.trace = &p->trace;
	s->t.text = (struct text){ .fd = l->fd, .at = spool_text_at(l),
		.len = stamp_text_len(&l->stamp), .crc = l->stamp.text_crc, .head = buf_str(&p->head),
		.head_len = p->head_len, .size = p->size,
		.plain = !l->stamp.eight_bit && l->stamp.longest <= ADAPT_LINE_MAX &&
		    words_is_ascii(buf_str(&p->head)) };
	p->shares++;
	return s;
}

struct share *
share_of(struct transaction *t)
{
	return (struct share *)(void *)t;
}

void
share_return(struct share *s, bool may_ask_again)
{
	for (size_t i = 0; i < s->t.n; i++)
		if (s->t.answers[i].again && may_ask_again)
			s->parcel->given[s->which[i]] = false;
	s->parcel->shares--;
}

void
share_free(struct share *s)
{
	text_free(&s->t.text);
	free(s->t.answers);
	free(s->which);
	free(s->to);
	free(s);
}

bool
parcel_is_over(const struct parcel *p)
{
	return p->shares == 0 && count_waiting(p) == 0;
}
