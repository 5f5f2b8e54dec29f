#include "submit.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "complete.h"
#include "config.h"
#include "file.h"
#include "header.h"
#include "intake.h"
#include "log.h"
#include "spool.h"
#include "wake.h"

#define CHUNK 16384             /* octets read at a time; more is not faster, and is resident */

/* Everything of one submission under way. */
struct letter_in {
	const struct submission *asked;
	struct config config;
	struct intake intake;
	struct header header;
	struct address_list to;
	struct buf sender;
	struct buf raw;                 /* as read */
	struct buf text;                /* canonical, not yet queued */
	uint64_t size;                  /* octets of canonical text so far */
	bool at_end;
	struct spool spool;
	struct draft draft;
};

/* ---- the caller's octets ---------------------------------------------------------- */

/* Reads another piece into l->text. */
static enum outcome
read_more(struct letter_in *l, struct why *why)
{
	size_t before = l->text.len, n;

	buf_reserve(&l->raw, CHUNK);
	if (file_read(l->asked->in, l->raw.p, CHUNK, &n) < 0)
		return refuse(why, EX_IOERR, "cannot read the message: %s", strerror(errno));
	if (n > 0)
		intake_feed(&l->intake, str_from(l->raw.p, n), &l->text);
	if (n == 0 || l->intake.ended) {
		intake_end(&l->intake, &l->text);
		l->at_end = true;
	}
	if (l->intake.saw_nul)
		return refuse(why, EX_DATAERR, "the message holds a NUL octet, which no mail may; "
		    "encode it, for example in base64");
	l->size += l->text.len - before;
	if (l->size > l->config.max_size)
		return refuse(why, EX_UNAVAILABLE, "the message is over %llu octets; the limit is "
		    "max-size in %s", (unsigned long long)l->config.max_size, l->config.path);
	return DONE;
}

static enum outcome
read_header(struct letter_in *l, struct why *why)
{
	struct buf rest = { 0 };
	enum outcome o = DONE;
	size_t used;

	while (o == DONE && !l->header.over) {
		if (l->text.len > 0) {
			header_feed(&l->header, buf_str(&l->text), &used);
			buf_cut(&l->text, used);
		} else if (l->at_end) {
			header_end(&l->header);
			break;
		} else {
			o = read_more(l, why);
		}
		if (l->header.too_long)
			return refuse(why, EX_DATAERR, "the header is over %u octets", HEADER_MAX);
	}
	/* What had to be read to see that it is no header is the first of the text. */
	if (o == DONE && header_rest(&l->header).len > 0) {
		buf_addstr(&rest, header_rest(&l->header));
		buf_addstr(&rest, buf_str(&l->text));
		buf_free(&l->text);
		l->text = rest;
	}
	return o;
}

/* ---- the envelope --------------------------------------------------------------------- */

static void
add_recipient(struct address_list *list, struct str spec, struct str domain)
{
	struct address *a;

	list->v = mem_grow(list->v, list->n + 1, sizeof *list->v);
	a = &list->v[list->n];
	*a = (struct address){ .bare_end = SIZE_MAX };
	buf_addstr(&a->spec, spec);
	address_qualify(&a->spec, domain);
	list->n++;
}

struct ranked {
	const struct address *a;
	size_t rank;
};

static int
compare_addresses(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	struct str da = address_domain(buf_str(&a->a->spec)), db = address_domain(buf_str(&b->a->spec));
	struct str la = str_from(a->a->spec.p, a->a->spec.len - da.len);
	struct str lb = str_from(b->a->spec.p, b->a->spec.len - db.len);
	int c;

	if (la.len != lb.len)
		return la.len < lb.len ? -1 : 1;
	if ((c = memcmp(la.p, lb.p, la.len)) != 0)
		return c;
	if (da.len != db.len)
		return da.len < db.len ? -1 : 1;
	if ((c = strncasecmp(da.p, db.p, da.len)) != 0)
		return c;
	return a->rank < b->rank ? -1 : 1;
}

/* Everybody once, in the order of the first mention. */
static void
drop_duplicates(struct address_list *list)
{
	struct ranked *sorted = mem_grow(NULL, list->n, sizeof *sorted);
	bool *again = mem_alloc(list->n);
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++)
		sorted[i] = (struct ranked){ &list->v[i], i };
	qsort(sorted, list->n, sizeof *sorted, compare_addresses);
	for (size_t i = 1; i < list->n; i++)
		again[sorted[i].rank] = address_same(buf_str(&sorted[i - 1].a->spec),
		    buf_str(&sorted[i].a->spec));
	free(sorted);
	for (size_t i = 0; i < list->n; i++) {
		if (again[i]) {
			buf_free(&list->v[i].spec);
			buf_free(&list->v[i].name);
		} else {
			list->v[kept++] = list->v[i];
		}
	}
	list->n = kept;
	free(again);
}

static enum outcome
gather_recipients(struct letter_in *l, struct why *why)
{
	struct address_list found = { 0 };
	struct str domain = str_of(l->config.domain);
	enum outcome o = DONE;

	for (size_t i = 0; i < l->asked->to.n; i++)
		add_recipient(&l->to, buf_str(&l->asked->to.v[i].spec), domain);
	if (l->asked->from_header && (o = header_recipients(&l->header, &found, why)) == DONE)
		for (size_t i = 0; i < found.n; i++)
			add_recipient(&l->to, buf_str(&found.v[i].spec), domain);
	address_list_free(&found);
	if (o != DONE)
		return o;
	if (l->to.n == 0)
		return refuse(why, EX_USAGE, "no recipient in To, Cc or Bcc, and none on the command line");
	drop_duplicates(&l->to);
	if (l->to.n > ENVELOPE_RECIPIENTS_MAX)
		return refuse(why, EX_DATAERR, "%zu recipients; at most %d in one message",
		    l->to.n, ENVELOPE_RECIPIENTS_MAX);
	for (size_t i = 0; i < l->to.n; i++)
		if (!address_is_sendable(buf_str(&l->to.v[i].spec)))
			return refuse(why, EX_DATAERR, "a recipient is no address that SMTP can carry "
			    "(control octets, or over %d octets)", ADDRESS_MAX);
	return DONE;
}

static enum outcome
choose_sender(struct letter_in *l, struct why *why)
{
	enum outcome o = DONE;

	if (l->asked->sender == NULL)
		buf_adds(&l->sender, l->config.smarthost.from);
	else
		o = address_parse_one(str_of(l->asked->sender), &l->sender, why);
	if (o == DONE && l->sender.len > 0)
		address_qualify(&l->sender, str_of(l->config.domain));
	if (o == DONE && !address_is_sendable(buf_str(&l->sender)))
		return refuse(why, EX_DATAERR, "the sender is no address that SMTP can carry");
	return o;
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* The caller's full name; asked of the name service only if a From: is to be made. */
static void
find_full_name(const struct letter_in *l, struct buf *name)
{
	struct passwd *pw;
	struct str gecos;

	if (l->asked->full_name != NULL) {
		buf_adds(name, l->asked->full_name);
		return;
	}
	if (header_find(&l->header, "From") != NULL || (pw = getpwuid(geteuid())) == NULL)
		return;
	gecos = str_of(pw->pw_gecos);
	gecos.len = str_find(gecos, ',');
	/* "&" in the field stands for the login name, as finger(1) has it. */
	for (size_t i = 0; i < gecos.len; i++) {
		size_t at = name->len;

		if (gecos.p[i] != '&') {
			buf_addc(name, gecos.p[i]);
			continue;
		}
		buf_adds(name, pw->pw_name);
		if (name->len > at && name->p[at] >= 'a' && name->p[at] <= 'z')
			name->p[at] = (char)(name->p[at] - ('a' - 'A'));
	}
}

/* Where the message entered, for whoever reads the header (RFC 5321 section
 * 4.4 wants it of servers; an injector may).  No "with": the keywords of RFC
 * 3848 name protocols, and there was none. */
static void
write_received(const struct letter_in *l, struct str host, time_t now, long offset, struct buf *out)
{
	if (!l->config.received)
		return;
	buf_adds(out, "by ");
	buf_addstr(out, host);
	buf_addf(out, " (subpost, from uid %lu) id %s; ", (unsigned long)geteuid(), l->draft.id);
	codec_date(out, now, offset);
}

static enum outcome
queue_header(struct letter_in *l, time_t now, struct why *why)
{
	struct buf host = { 0 }, name = { 0 }, received = { 0 }, out = { 0 };
	struct complete c = { .domain = str_of(l->config.domain), .from = buf_str(&l->sender),
		.unique = str_of(l->draft.id), .id_domain = str_of(l->config.domain), .now = now };
	struct tm local;
	enum outcome o;

	tzset();
	c.offset = localtime_r(&now, &local) != NULL ? local.tm_gmtoff : 0;
	config_hostname(&l->config, &host);
	find_full_name(l, &name);
	write_received(l, host.len > 0 ? buf_str(&host) : str_of(l->config.domain), now, c.offset,
	    &received);
	c.full_name = buf_str(&name);
	c.received = buf_str(&received);
	/* A null sender still has an author. */
	if (c.from.len == 0)
		c.from = str_of(l->config.smarthost.from);
	complete_header(&l->header, &c, &out);
	o = spool_text(&l->draft, buf_str(&out), why);
	buf_free(&host);
	buf_free(&name);
	buf_free(&received);
	buf_free(&out);
	return o;
}

static enum outcome
queue_text(struct letter_in *l, struct why *why)
{
	enum outcome o = DONE;

	for (;;) {
		if ((o = spool_text(&l->draft, buf_str(&l->text), why)) != DONE)
			return o;
		buf_clear(&l->text);
		if (l->at_end)
			return DONE;
		if ((o = read_more(l, why)) != DONE)
			return o;
	}
}

static enum outcome
begin(struct letter_in *l, time_t now, struct why *why)
{
	char **to = mem_grow(NULL, l->to.n, sizeof *to), null[] = "";
	struct envelope e = { .arrived = now, .uid = geteuid(),
		.from = l->sender.p != NULL ? l->sender.p : null, .to = to, .n = l->to.n };
	enum outcome o;

	for (size_t i = 0; i < l->to.n; i++)
		to[i] = l->to.v[i].spec.p;
	o = spool_begin(&l->spool, &l->draft, &e, why);
	free(to);
	return o;
}

/* The promise is made; now somebody has to keep it.  That nobody can be found is
 * no reason to take it back: it is told, and the next one will. */
static void
wake(struct letter_in *l, const char *id)
{
	struct buf words = { 0 };
	struct why why;

	buf_addf(&words, "wake %s", id);
	if (wake_runner(&l->spool, buf_str(&words), false, &why) != DONE) {
		log_event(LOG_ERR, "no-runner", "id", id, "reason", why.text, NULL);
		fprintf(stderr, "sendmail: %s\n", why.text);
	}
	buf_free(&words);
}

static void
log_warnings(const struct config *c)
{
	for (unsigned i = 0; i < c->nproblems; i++)
		if (!c->problems[i].error)
			log_event(LOG_WARNING, "config", "warning", c->problems[i].text, NULL);
}

static enum outcome
take(struct letter_in *l, struct why *why)
{
	char id[ENVELOPE_ID_LEN + 1];
	time_t now = time(NULL);
	enum outcome o;

	if ((o = config_load(&l->config, false, why)) != DONE)
		return o;
	log_warnings(&l->config);
	if ((o = read_header(l, why)) != DONE ||
	    (o = gather_recipients(l, why)) != DONE ||
	    (o = choose_sender(l, why)) != DONE ||
	    (o = spool_open(&l->spool, l->config.directory, l->config.path, why)) != DONE ||
	    (o = begin(l, now, why)) != DONE ||
	    (o = queue_header(l, now, why)) != DONE ||
	    (o = queue_text(l, why)) != DONE ||
	    (o = spool_commit(&l->spool, &l->draft, why)) != DONE)
		return o;
	/* Nothing can fail any more: the lock goes, and the runner may have it. */
	memcpy(id, l->draft.id, sizeof id);
	spool_release(&l->spool, &l->draft);
	wake(l, id);
	return DONE;
}

enum outcome
submit(const struct submission *s, struct why *why)
{
	struct letter_in l = { .asked = s, .intake = { .dots = s->dots }, .spool = SPOOL_INIT };
	enum outcome o = take(&l, why);

	spool_release(&l.spool, &l.draft);
	spool_close(&l.spool);
	header_free(&l.header);
	address_list_free(&l.to);
	buf_free(&l.sender);
	buf_free(&l.raw);
	buf_free(&l.text);
	config_free(&l.config);
	return o;
}
