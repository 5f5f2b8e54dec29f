#include "submit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "admit.h"
#include "codec.h"
#include "complete.h"
#include "log.h"
#include "person.h"

/* What -v shows. */
static void __attribute__((format(printf, 2, 3)))
say(const struct counter *c, const char *fmt, ...)
{
	struct buf line = { 0 }, shown = { 0 };
	va_list ap;

	if (!c->verbose)
		return;
	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	codec_mask(&shown, buf_str(&line));
	fprintf(stderr, "sendmail: %s\n", buf_c(&shown));
	buf_free(&line);
	buf_free(&shown);
}

/* ---- the counter ------------------------------------------------------------------ */

static void
log_warnings(const struct config *c)
{
	for (unsigned i = 0; i < c->nproblems; i++)
		if (!c->problems[i].error)
			log_event(LOG_WARNING, "config", "warning", c->problems[i].text, NULL);
}

enum outcome
submit_open(struct counter *c, struct why *why)
{
	struct config *config = &c->office.config;
	enum outcome o;

	if ((o = office_open(&c->office, why)) != DONE)
		return o;
	c->directory.config = config;
	c->directory.elsewhere = c->office.kind == OFFICE_SERVICE;
	log_warnings(config);
	say(c, "%s", buf_c(&c->office.reason));
	if (c->office.kind == OFFICE_OWN)
		say(c, "configuration %s, queue %s, smarthost %s port %u", config->path, config->directory,
		    config->smarthost.host, config->smarthost.port);
	return DONE;
}

void
submit_close(struct counter *c)
{
	submit_drop(c);
	recipients_free(&c->to);
	directory_free(&c->directory);
	office_close(&c->office);
}

/* ---- who sends ---------------------------------------------------------------------- */

/* The envelope sender that a caller named; appended to *out. */
static enum outcome
read_sender(const struct counter *c, const char *given, struct buf *out, struct why *why)
{
	enum outcome o = address_parse_one(str_of(given), out, why);

	if (o != DONE)
		return o;
	if (out->len > 0)
		address_qualify(out, str_of(c->office.config.domain));
	return admit_sender(&c->office.config, buf_str(out), why);
}

enum outcome
submit_check_sender(struct counter *c, const char *sender, struct why *why)
{
	struct buf spec = { 0 };
	enum outcome o = read_sender(c, sender, &spec, why);

	buf_free(&spec);
	return o;
}

/* The first mailbox of a field, if it has one that can be sent from.  alone: and
 * no other. */
static bool
read_author(const struct counter *c, const struct field *f, bool alone, struct buf *out)
{
	struct address_list list = { 0 };
	struct why why;
	bool good;

	if (f == NULL)
		return false;
	good = address_parse(field_body(&c->header, f), &list, &why) == DONE && list.n > 0 &&
	    (!alone || list.n == 1);
	if (good) {
		buf_clear(out);
		buf_addstr(out, buf_str(&list.v[0].spec));
		address_qualify(out, str_of(c->office.config.domain));
		good = address_is_sendable(buf_str(out));
	}
	address_list_free(&list);
	return good;
}

static const struct field *
find_resent(const struct header *h, const char *name)
{
	size_t first, n = header_resent(h, &first);

	for (size_t i = first; i < first + n; i++)
		if (field_is(h, &h->v[i], name))
			return &h->v[i];
	return NULL;
}

/* Who the header says has sent it (RFC 5322 sections 3.6.2 and 3.6.6): for
 * smarthosts that want to see the same address in both places. */
static bool
find_author(const struct counter *c, struct buf *out)
{
	const struct header *h = &c->header;

	return read_author(c, find_resent(h, "Resent-Sender"), true, out) ||
	    read_author(c, find_resent(h, "Resent-From"), false, out) ||
	    read_author(c, header_find(h, "From"), true, out) ||
	    read_author(c, header_find(h, "Sender"), true, out) ||
	    read_author(c, header_find(h, "From"), false, out);
}

static enum outcome
choose_sender(struct counter *c, struct why *why)
{
	const struct smarthost *s = &c->office.config.smarthost;

	buf_clear(&c->sender);
	if (c->asked->sender != NULL)
		return read_sender(c, c->asked->sender, &c->sender, why);
	if (!s->from_header || !find_author(c, &c->sender)) {
		buf_clear(&c->sender);
		buf_adds(&c->sender, s->from);
	}
	return admit_sender(&c->office.config, buf_str(&c->sender), why);
}

/* ---- who gets it ----------------------------------------------------------------------- */

enum outcome
submit_check_recipient(struct counter *c, const char *sender, struct str spec, struct why *why)
{
	char *address = mem_dup(spec);
	struct recipient one = { .address = address };
	struct recipients to = { 0 };
	struct buf from = { 0 };
	enum outcome o;

	if ((o = directory_resolve(&c->directory, &one, &to, why)) == DONE &&
	    (o = read_sender(c, sender, &from, why)) == DONE) {
		struct envelope e = { .from = from.p != NULL ? from.p : (char[]){ "" }, .to = to.v, .n = to.n };

		o = admit_way(&c->office.config, &e, why);
	}
	buf_free(&from);
	recipients_free(&to);
	free(address);
	return o;
}

static void
add_arguments(const struct submission *asked, struct recipients *to)
{
	for (size_t i = 0; asked->to != NULL && i < asked->to->n; i++) {
		const struct recipient *r = &asked->to->v[i];

		recipients_add(to, str_of(r->address), r->notify != 0 ? r->notify : asked->notify,
		    str_of(r->orcpt));
	}
}

static enum outcome
add_named_in_header(struct counter *c, struct why *why)
{
	struct address_list list = { 0 };
	enum outcome o = header_recipients(&c->header, &list, why);

	for (size_t i = 0; o == DONE && i < list.n; i++)
		recipients_add(&c->to, buf_str(&list.v[i].spec), c->asked->notify, STR(""));
	address_list_free(&list);
	return o;
}

/* Do Resent- fields say who gets it, and To no more? */
static bool
names_resent(const struct header *h)
{
	return header_find(h, "Resent-To") != NULL || header_find(h, "Resent-Cc") != NULL ||
	    header_find(h, "Resent-Bcc") != NULL;
}

static enum outcome
gather_recipients(struct counter *c, struct why *why)
{
	bool subtract = c->asked->from_header && c->office.config.subtract;
	struct recipients off = { 0 };
	enum outcome o = DONE;

	recipients_clear(&c->to);
	add_arguments(c->asked, subtract ? &off : &c->to);
	if (c->asked->from_header)
		o = add_named_in_header(c, why);
	if (o == DONE)
		o = recipients_settle(&c->to, &c->directory, why);
	if (o == DONE && subtract && (o = recipients_settle(&off, &c->directory, why)) == DONE)
		recipients_subtract(&c->to, &off);
	recipients_free(&off);
	if (o == DONE && c->to.n == 0)
		return refuse(why, EX_USAGE, subtract ? "no recipient is left when those of the command "
		    "line are taken off (arguments = subtract)" : names_resent(&c->header) ?
		    "no recipient in the first Resent- block, which alone counts, and none on the command "
		    "line" : "no recipient in To, Cc or Bcc, and none on the command line");
	if (c->directory.absent)
		say(c, "no aliases: %s is not here", c->office.config.aliases);
	for (size_t i = 0; o == DONE && i < c->to.n; i++)
		say(c, "to <%s>", c->to.v[i].address);
	return o;
}

/* ---- the header -------------------------------------------------------------------------- */

static bool
has_from(const struct header *h)
{
	const struct field *f = header_find(h, "From");

	return f != NULL && str_trim(field_body(h, f)).len > 0;
}

static bool
lacks_resent_from(const struct header *h)
{
	size_t first;

	return header_resent(h, &first) > 0 && find_resent(h, "Resent-From") == NULL;
}

/* The caller's full name.  Nobody is asked for it but where a From: is to be made. */
static void
find_full_name(const struct counter *c, struct buf *name)
{
	const char *set = c->asked->full_name != NULL ? c->asked->full_name : secure_getenv("NAME");
	struct person p;

	if (has_from(&c->header) && !lacks_resent_from(&c->header))
		return;
	if (set != NULL && set[0] != '\0') {
		buf_adds(name, set);
		return;
	}
	if (c->asked->full_name == NULL && person_by_uid(geteuid(), &p)) {
		buf_adds(name, p.full_name);
		person_free(&p);
	}
}

/* Where the message entered.  At the counter the clerk says it, of who the kernel
 * says has called. */
static void
write_received(const struct counter *c, struct str host, time_t now, long offset, struct buf *out)
{
	char from[32];

	if (c->office.kind == OFFICE_SERVICE || !c->office.config.received)
		return;
	snprintf(from, sizeof from, "uid %lu", (unsigned long)geteuid());
	complete_received(out, host, from, c->id, now, offset);
}

static void
write_header(struct counter *c, time_t now, struct buf *out)
{
	struct buf host = { 0 }, name = { 0 }, received = { 0 };
	struct str domain = str_of(c->office.config.domain);
	struct complete complete = { .domain = domain, .from = buf_str(&c->sender),
		.unique = str_of(c->id), .id_domain = domain, .now = now };
	struct tm local;

	tzset();
	complete.offset = localtime_r(&now, &local) != NULL ? local.tm_gmtoff : 0;
	if (c->office.config.received)
		config_hostname(&c->office.config, &host);
	find_full_name(c, &name);
	write_received(c, host.len > 0 ? buf_str(&host) : domain, now, complete.offset, &received);
	complete.full_name = buf_str(&name);
	complete.received = buf_str(&received);
	if (c->office.config.rewrite_to) {
		complete.rewrite = directory_rewrite;
		complete.arg = &c->directory;
	}
	/* A null sender still has an author. */
	if (complete.from.len == 0)
		complete.from = str_of(c->office.config.smarthost.from);
	complete_header(&c->header, &complete, out);
	buf_free(&host);
	buf_free(&name);
	buf_free(&received);
}

/* ---- one message --------------------------------------------------------------------------- */

void
submit_begin(struct counter *c, const struct submission *asked)
{
	submit_drop(c);
	c->asked = asked;
}

/* What was wished of when, as the envelope has it.  A priority that nobody has given is
 * the header's (RFC 6758 section 3), in front of a comment, if there is one. */
static void
settle_timing(const struct counter *c, struct envelope *e)
{
	const struct field *f = header_find(&c->header, "MT-Priority");
	struct wishes *w = &e->wishes;
	struct str value;

	if (f != NULL && w->priority == 0) {
		value = str_trim(field_body(&c->header, f));
		value.len = str_find(value, '(');
		(void)dsn_parse_priority(str_trim(value), &w->priority);
	}
	if (w->hold_for > 0)
		w->hold_until = e->arrived + w->hold_for;
	w->hold_for = 0;
}

static enum outcome
begin_message(struct counter *c, time_t now, struct why *why)
{
	char null[] = "";
	struct envelope e = { .arrived = now, .uid = geteuid(), .wishes = c->asked->wishes,
		.from = c->sender.p != NULL ? c->sender.p : null, .to = c->to.v, .n = c->to.n };
	enum outcome o;

	settle_timing(c, &e);
	if ((o = admit_way(&c->office.config, &e, why)) == DONE)
		o = office_begin(&c->office, &e, why);
	memcpy(c->id, e.id, sizeof c->id);
	return o;
}

/* The header is over: now it is known who gets the message, and the envelope can
 * stand before the text.  first: what has come of the text already; it goes
 * with the header, in one write. */
static enum outcome
begin_text(struct counter *c, struct str first, struct why *why)
{
	time_t now = time(NULL);
	struct buf out = { 0 };
	enum outcome o;

	if ((o = gather_recipients(c, why)) != DONE ||
	    (o = choose_sender(c, why)) != DONE ||
	    (o = begin_message(c, now, why)) != DONE)
		return o;
	say(c, "from <%s>", buf_c(&c->sender));
	write_header(c, now, &out);
	if (out.len > COMPLETE_MAX) {
		buf_free(&out);
		return refuse(why, EX_DATAERR, "the header is over %u octets when its names have got "
		    "their domain; name fewer, or name a list", COMPLETE_MAX);
	}
	buf_addstr(&out, header_rest(&c->header));
	buf_addstr(&out, first);
	o = office_text(&c->office, buf_str(&out), why);
	c->begun = true;
	buf_free(&out);
	return o;
}

static enum outcome
take_text(struct counter *c, struct str text, struct why *why)
{
	size_t used;

	c->size += text.len;
	if (c->size > c->office.config.max_size)
		return refuse(why, EX_UNAVAILABLE, "the message is over %llu octets; the limit is "
		    "max-size in %s", (unsigned long long)c->office.config.max_size, c->office.config.path);
	if (c->begun)
		return office_text(&c->office, text, why);
	header_feed(&c->header, text, &used);
	if (c->header.too_long)
		return refuse(why, EX_DATAERR, "the header is over %u octets; shorten it, or put an "
		    "empty line behind it", HEADER_MAX);
	if (!c->header.over)
		return DONE;
	return begin_text(c, str_from(text.p + used, text.len - used), why);
}

static enum outcome
finish(struct counter *c, struct why *why)
{
	enum outcome o = DONE;

	if (!c->begun) {
		header_end(&c->header);
		if (c->header.too_long)
			return refuse(why, EX_DATAERR, "the header is over %u octets; shorten it, or "
			    "put an empty line behind it", HEADER_MAX);
		o = begin_text(c, STR(""), why);
	}
	if (o == DONE)
		o = office_commit(&c->office, c->asked->wait, c->asked->dialogue, why);
	if (o == DONE)
		/* The service gives it one of its own. */
		memcpy(c->id, c->office.id, sizeof c->id);
	return o;
}

enum outcome
submit_text(struct counter *c, struct str text, struct why *why)
{
	enum outcome o = take_text(c, text, why);

	if (o != DONE)
		submit_drop(c);
	return o;
}

enum outcome
submit_end(struct counter *c, struct why *why)
{
	enum outcome o = finish(c, why);

	if (o != DONE)
		submit_drop(c);
	else
		say(c, "queued as %s", c->id);
	return o;
}

/* The promise is made; now somebody has to keep it.  That nobody can be found is
 * no reason to take it back: it is told, and the next one will. */
void
submit_release(struct counter *c)
{
	struct why why = { 0 };

	if (!c->office.committed) {
		submit_drop(c);
		return;
	}
	if (office_release(&c->office, &why) == DONE) {
		say(c, "subpostd knows of it");
	} else {
		log_event(LOG_ERR, "no-runner", "id", c->id, "reason", why.text, NULL);
		fprintf(stderr, "sendmail: %s\n", why.text);
	}
	submit_drop(c);
}

enum outcome
submit_await(struct counter *c, struct why *why)
{
	return office_await(&c->office, why);
}

void
submit_drop(struct counter *c)
{
	office_drop(&c->office);
	header_free(&c->header);
	recipients_clear(&c->to);
	buf_free(&c->sender);
	c->asked = NULL;
	c->begun = false;
	c->size = 0;
}
