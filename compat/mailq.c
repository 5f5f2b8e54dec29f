#include "mailq.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "codec.h"
#include "health.h"

#define SHOWN_MAX 40            /* octets of an address in the table */

/* What the table says about one message. */
struct row {
	const char *id;
	enum spool_place place;
	const struct letter *letter;
	time_t now;
	time_t next;                    /* not before */
	const char *state;              /* "waiting" "sending" "held" "failed" */
	const char *reason;
};

static bool
is_taken(const struct letter *l)
{
	/* Shared, and let go at once: a runner that meets it looks again in a second. */
	if (flock(l->fd, LOCK_SH | LOCK_NB) < 0)
		return true;
	flock(l->fd, LOCK_UN);
	return false;
}

static void
put_address(struct buf *line, const char *address, int width)
{
	char shown[SHOWN_MAX];

	codec_mask_to(shown, sizeof shown, str_of(address[0] != '\0' ? address : "<>"));
	buf_addf(line, "%-*s ", width, shown);
}

/* "bob@example.org" and how many more are left. */
static void
put_recipients(struct buf *line, const struct letter *l, enum outcome which)
{
	struct buf cell = { 0 };
	size_t left = fate_count(&l->fate, which), i = 0;

	while (i < l->fate.n && l->fate.to[i].outcome != which)
		i++;
	if (i < l->fate.n)
		put_address(&cell, l->envelope.to[i].address, 0);
	if (left > 1)
		buf_addf(&cell, "+%zu", left - 1);
	buf_addf(line, "%-26s ", buf_c(&cell));
	buf_free(&cell);
}

static void
put_next(struct buf *line, const struct row *r)
{
	struct buf cell = { 0 };

	if (strcmp(r->state, "waiting") != 0)
		buf_adds(&cell, r->state);
	else if (r->next > r->now)
		codec_age(&cell, r->next - r->now);
	else
		buf_adds(&cell, "now");
	buf_addf(line, "%-7s ", buf_c(&cell));
	buf_free(&cell);
}

static void
print_row(const struct row *r, FILE *out)
{
	const struct letter *l = r->letter;
	struct buf line = { 0 }, cell = { 0 };

	buf_addf(&line, "%s ", r->id);
	codec_age(&cell, r->now - (l->damaged ? envelope_id_time(r->id) : l->envelope.arrived));
	buf_addf(&line, "%5s %9llu ", buf_c(&cell),
	    (unsigned long long)(l->damaged ? 0 : stamp_text_len(&l->stamp)));
	put_address(&line, l->envelope.from != NULL ? l->envelope.from : "?", 24);
	put_recipients(&line, l, r->place == SPOOL_FAILED ? NEVER : LATER);
	put_next(&line, r);
	codec_mask(&line, str_of(r->reason));
	fprintf(out, "%s\n", buf_c(&line));
	buf_free(&line);
	buf_free(&cell);
}

static void
put_member(struct buf *line, const char *name)
{
	buf_addf(line, "%s\"%s\":", line->p[line->len - 1] == '{' ? "" : ",", name);
}

/* Members for what is set, so that a message without wishes has none. */
static void
put_json_wishes(struct buf *line, const struct wishes *w)
{
	buf_adds(line, ",\"wishes\":{");
	if (w->ret != DSN_RETURN_UNSAID) {
		put_member(line, "ret");
		codec_json(line, str_of(dsn_return_word(w->ret)));
	}
	if (w->envid != NULL) {
		put_member(line, "envid");
		codec_json(line, str_of(w->envid));
	}
	if (w->body != DSN_BODY_UNSAID) {
		put_member(line, "body");
		codec_json(line, str_of(dsn_body_word(w->body)));
	}
	if (w->smtputf8) {
		put_member(line, "smtputf8");
		buf_adds(line, "true");
	}
	if (w->requiretls) {
		put_member(line, "requiretls");
		buf_adds(line, "true");
	}
	buf_addc(line, '}');
}

static void
put_json_recipients_wishes(struct buf *line, const struct recipient *r)
{
	if (r->notify != 0) {
		buf_adds(line, ",\"notify\":\"");
		dsn_put_notify(line, r->notify);
		buf_addc(line, '"');
	}
	if (r->orcpt != NULL) {
		buf_adds(line, ",\"orcpt\":");
		codec_json(line, str_of(r->orcpt));
	}
}

static void
put_json_recipients(struct buf *line, const struct letter *l)
{
	for (size_t i = 0; i < l->envelope.n; i++) {
		const struct fate_recipient *to = &l->fate.to[i];

		buf_addf(line, "%s{\"address\":", i > 0 ? "," : "");
		codec_json(line, str_of(l->envelope.to[i].address));
		put_json_recipients_wishes(line, &l->envelope.to[i]);
		buf_addf(line, ",\"outcome\":\"%s\",\"code\":%d,\"status\":", outcome_name(to->outcome),
		    to->code);
		codec_json(line, str_of(to->status));
		buf_adds(line, ",\"reply\":");
		codec_json(line, str_of(to->text));
		buf_addc(line, '}');
	}
}

static void
print_json(const struct row *r, bool first, FILE *out)
{
	const struct letter *l = r->letter;
	struct buf line = { 0 };

	buf_addf(&line, "%s{\"id\":\"%s\",\"state\":\"%s\",\"arrived\":%lld,\"size\":%llu,\"from\":",
	    first ? "" : ",\n ", r->id, r->state,
	    (long long)(l->damaged ? envelope_id_time(r->id) : l->envelope.arrived),
	    (unsigned long long)(l->damaged ? 0 : stamp_text_len(&l->stamp)));
	codec_json(&line, str_of(l->envelope.from));
	buf_addf(&line, ",\"uid\":%lu,\"tries\":%u,\"next\":%lld,\"reason\":",
	    (unsigned long)l->envelope.uid, l->fate.tries, (long long)r->next);
	codec_json(&line, str_of(r->reason));
	put_json_wishes(&line, &l->envelope.wishes);
	buf_adds(&line, ",\"to\":[");
	put_json_recipients(&line, l);
	buf_adds(&line, "]}");
	fputs(buf_c(&line), out);
	buf_free(&line);
}

/* The last word, unless it was about somebody who is settled: what waits has a
 * reason of its own then. */
static const char *
last_word(const struct letter *l, enum spool_place place)
{
	const struct fate *f = &l->fate;

	for (size_t i = 0; place == SPOOL_QUEUE && f->last.scope == SCOPE_RECIPIENT && i < f->n; i++)
		if (f->to[i].outcome == LATER && f->to[i].text != NULL && f->to[i].text[0] != '\0')
			return f->to[i].text;
	return f->last.text;
}

/* Reads one message and says what state it is in; false if it has just gone. */
static bool
fill_row(const struct spool *s, const struct health *h, struct row *r, struct letter *l,
    struct why *why)
{
	if (spool_read(s, r->place, r->id, l, why) != DONE)
		return false;
	r->letter = l;
	r->reason = last_word(l, r->place);
	r->next = l->fate.next;
	if (h->down && r->place == SPOOL_QUEUE && h->until > r->next)
		r->next = h->until;
	if (r->place == SPOOL_FAILED)
		r->state = "failed";
	else if (l->damaged || l->fate.held)
		r->state = "held";
	else
		r->state = is_taken(l) ? "sending" : "waiting";
	if (l->damaged)
		r->reason = why->text;
	else if (l->fate.held)
		r->reason = l->fate.hold_reason;
	else if (r->reason[0] == '\0' && h->down && r->place == SPOOL_QUEUE)
		r->reason = h->why.text;
	return true;
}

static enum outcome
print_place(const struct spool *s, enum spool_place place, const struct health *h, bool json,
    size_t *count, FILE *out, struct why *why)
{
	struct ids ids;
	enum outcome o = spool_list(s, place, &ids, why);

	for (size_t i = 0; o == DONE && i < ids.n; i++) {
		struct row r = { .id = ids.v[i], .place = place, .now = time(NULL) };
		struct letter l = LETTER_INIT;
		struct why reason = { 0 };

		if (fill_row(s, h, &r, &l, &reason)) {
			if (!json && *count == 0)
				fprintf(out, "%-20s %5s %9s %-24s %-26s %-7s %s\n", "ID", "AGE", "SIZE",
				    "SENDER", "RECIPIENTS LEFT", "NEXT", "LAST REASON");
			if (json)
				print_json(&r, *count == 0, out);
			else
				print_row(&r, out);
			(*count)++;
		}
		spool_letter_free(&l);
	}
	spool_ids_free(&ids);
	return o;
}

enum outcome
mailq_print(const struct spool *s, const struct config *c, bool json, FILE *out, struct why *why)
{
	struct buf line = { 0 };
	struct health h;
	size_t count = 0;
	enum outcome o;

	health_load(s, c->smarthost.name, &h);
	if (json)
		fputs("[", out);
	o = print_place(s, SPOOL_QUEUE, &h, json, &count, out, why);
	if (o == DONE)
		o = print_place(s, SPOOL_FAILED, &h, json, &count, out, why);
	if (json) {
		fputs("]\n", out);
		return o;
	}
	health_describe(&h, c->smarthost.name, time(NULL), &line);
	if (line.len > 0)
		fprintf(out, "account %s\n", buf_c(&line));
	if (count == 0)
		fputs("the queue is empty\n", out);
	buf_free(&line);
	return o;
}

enum outcome
mailq_list(bool json, FILE *out, struct why *why)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	enum outcome o;

	if ((o = config_load(&config, false, why)) == DONE &&
	    (o = spool_open(&spool, config.directory, config.path, why)) == DONE)
		o = mailq_print(&spool, &config, json, out, why);
	spool_close(&spool);
	config_free(&config);
	return o;
}
