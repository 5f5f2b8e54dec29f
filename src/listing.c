#include "listing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "carriers.h"
#include "codec.h"
#include "file.h"

#define SHOWN_MAX 40            /* octets of an address in the table */

/* ---- the table and the array --------------------------------------------------------- */

/* What the table says about one message. */
struct row {
	const char *id;
	enum spool_place place;
	const struct letter *letter;
	time_t now;
	time_t next;                    /* not before */
	const char *state;              /* "waiting" "sending" "held" "failed" */
	const char *reason;
	const struct carriers *carriers;
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
	if (w->by != DSN_BY_UNSAID) {
		put_member(line, "by");
		buf_addc(line, '"');
		dsn_put_by(line, w, w->by_seconds);
		buf_addc(line, '"');
	}
	if (w->hold_until != 0) {
		put_member(line, "hold-until");
		buf_addf(line, "%lld", (long long)w->hold_until);
	}
	if (w->priority != 0) {
		put_member(line, "priority");
		buf_addf(line, "%d", w->priority);
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

static const char *
name_of(const struct carriers *k, int account)
{
	return account < 0 ? "" : config_account(k->config, (unsigned)account)->name;
}

static void
put_json_recipients(struct buf *line, const struct row *r)
{
	const struct letter *l = r->letter;

	for (size_t i = 0; i < l->envelope.n; i++) {
		const struct fate_recipient *to = &l->fate.to[i];

		buf_addf(line, "%s{\"address\":", i > 0 ? "," : "");
		codec_json(line, str_of(l->envelope.to[i].address));
		put_json_recipients_wishes(line, &l->envelope.to[i]);
		buf_addf(line, ",\"account\":\"%s\",\"outcome\":\"%s\",\"code\":%d,\"status\":",
		    name_of(r->carriers, carriers_of(r->carriers, l, i)), outcome_name(to->outcome),
		    to->code);
		codec_json(line, str_of(to->status));
		buf_adds(line, ",\"reply\":");
		codec_json(line, str_of(to->text));
		buf_addc(line, '}');
	}
}

/* A line of the dialogue each. */
static void
put_json_dialogue(struct buf *line, const char *said)
{
	struct str rest = str_of(said), one;
	const char *between = "";

	buf_adds(line, ",\"dialogue\":[");
	while (str_line(&rest, &one)) {
		buf_adds(line, between);
		codec_json(line, one);
		between = ",";
	}
	buf_addc(line, ']');
}

/* whole: the dialogue too. */
static void
print_json(const struct row *r, bool whole, FILE *out)
{
	const struct letter *l = r->letter;
	struct buf line = { 0 };

	buf_addf(&line, "{\"id\":\"%s\",\"state\":\"%s\",\"arrived\":%lld,\"size\":%llu,\"from\":", r->id, r->state,
	    (long long)(l->damaged ? envelope_id_time(r->id) : l->envelope.arrived),
	    (unsigned long long)(l->damaged ? 0 : stamp_text_len(&l->stamp)));
	codec_json(&line, str_of(l->envelope.from));
	buf_addf(&line, ",\"uid\":%lu,\"tries\":%u,\"next\":%lld,\"reason\":",
	    (unsigned long)l->envelope.uid, l->fate.tries, (long long)r->next);
	codec_json(&line, str_of(r->reason));
	put_json_wishes(&line, &l->envelope.wishes);
	buf_adds(&line, ",\"to\":[");
	put_json_recipients(&line, r);
	buf_addc(&line, ']');
	if (whole)
		put_json_dialogue(&line, l->fate.said);
	buf_addc(&line, '}');
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

/* What waits for a later moment, and why, by its own words or an account's. */
static void
fill_wait(struct row *r, const struct letter *l)
{
	int account = carriers_keep(r->carriers, l);
	const struct health *h = account >= 0 ? &r->carriers->v[account] : NULL;

	if (h != NULL && h->until > r->next)
		r->next = h->until;
	if (h != NULL && r->reason[0] == '\0')
		r->reason = h->why.text;
	if (l->envelope.wishes.hold_until > r->next)
		r->next = l->envelope.wishes.hold_until;
	if (l->envelope.wishes.hold_until > r->now && r->reason[0] == '\0')
		r->reason = "its sender wants it sent then";
}

/* Says what state a message is in, that was read. */
static void
fill_row(struct row *r, const struct letter *l, const struct why *why)
{
	r->letter = l;
	r->reason = last_word(l, r->place);
	r->next = l->fate.next;
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
	else if (r->place == SPOOL_QUEUE)
		fill_wait(r, l);
}

/* What one list needs to know. */
struct listing {
	const struct spool *spool;
	const struct asker *who;
	const struct carriers *carriers;
	bool json;
	FILE *out;
	size_t count;
};

static void
print_one(struct listing *g, const struct row *r)
{
	if (!g->json && g->count == 0)
		fprintf(g->out, "%-20s %5s %9s %-24s %-26s %-7s %s\n", "ID", "AGE", "SIZE", "SENDER",
		    "RECIPIENTS LEFT", "NEXT", "LAST REASON");
	if (g->json) {
		fputs(g->count > 0 ? ",\n " : "", g->out);
		print_json(r, false, g->out);
	} else {
		print_row(r, g->out);
	}
	g->count++;
}

/* False if it has just gone, or is not for who asks. */
static bool
read_letter(const struct listing *g, const struct row *r, struct letter *l, struct why *why)
{
	return (r->place != SPOOL_QUEUE || steer_may_perhaps(g->spool, g->who, r->id)) &&
	    spool_read(g->spool, r->place, r->id, l, why) == DONE && steer_may(g->who, l);
}

/* A reader who has gone needs no more of it. */
static enum outcome
print_place(struct listing *g, enum spool_place place, struct why *why)
{
	struct ids ids;
	enum outcome o = spool_list(g->spool, place, &ids, why);

	for (size_t i = 0; o == DONE && i < ids.n && !ferror(g->out); i++) {
		struct row r = { .id = ids.v[i], .place = place, .now = time(NULL), .carriers = g->carriers };
		struct letter l = LETTER_INIT;
		struct why reason = { 0 };

		if (read_letter(g, &r, &l, &reason)) {
			fill_row(&r, &l, &reason);
			print_one(g, &r);
		}
		spool_letter_free(&l);
	}
	spool_ids_free(&ids);
	return o;
}

static void
print_down(const struct carriers *k, const struct asker *who, FILE *out)
{
	struct buf line = { 0 };

	for (unsigned i = 0; i < config_accounts(k->config); i++) {
		buf_clear(&line);
		if (carriers_are_theirs(k, who, i))
			health_describe(&k->v[i], name_of(k, (int)i), time(NULL), &line);
		if (line.len > 0)
			fprintf(out, "account %s\n", buf_c(&line));
	}
	buf_free(&line);
}

enum outcome
listing_print(const struct spool *s, const struct config *c, const struct asker *who, bool json,
    FILE *out, struct why *why)
{
	struct carriers k;
	struct listing g = { .spool = s, .who = who, .carriers = &k, .json = json, .out = out };
	enum outcome o;

	carriers_load(&k, s, c, who);
	if (json)
		fputs("[", out);
	o = print_place(&g, SPOOL_QUEUE, why);
	if (o == DONE)
		o = print_place(&g, SPOOL_FAILED, why);
	if (json) {
		fputs("]\n", out);
		return o;
	}
	print_down(&k, who, out);
	if (g.count == 0 && o == DONE)
		fputs(who->all ? "the queue is empty\n" : "no mail of yours is in the queue\n", out);
	return o;
}

/* ---- one message ------------------------------------------------------------------------ */

static void
print_masked(FILE *out, const char *label, const char *text)
{
	struct buf shown = { 0 };

	codec_mask(&shown, str_of(text));
	fprintf(out, "%-10s %s\n", label, buf_c(&shown));
	buf_free(&shown);
}

static void
print_time(FILE *out, const char *label, time_t when)
{
	struct buf stamp = { 0 };

	codec_stamp(&stamp, when);
	fprintf(out, "%-10s %s\n", label, buf_c(&stamp));
	buf_free(&stamp);
}

/* Only what was wished: most senders wish nothing. */
static void
print_wishes(FILE *out, const struct wishes *w)
{
	struct buf by = { 0 };

	if (w->ret != DSN_RETURN_UNSAID)
		fprintf(out, "%-10s %s\n", "ret", dsn_return_word(w->ret));
	if (w->envid != NULL)
		print_masked(out, "envid", w->envid);
	if (w->body != DSN_BODY_UNSAID)
		fprintf(out, "%-10s %s\n", "body", dsn_body_word(w->body));
	if (w->smtputf8)
		fprintf(out, "%-10s %s\n", "smtputf8", "yes");
	if (w->requiretls)
		fprintf(out, "%-10s %s\n", "requiretls", "yes");
	if (w->by != DSN_BY_UNSAID) {
		dsn_put_by(&by, w, w->by_seconds);
		fprintf(out, "%-10s %s\n", "by", buf_c(&by));
		buf_free(&by);
	}
	if (w->hold_until != 0)
		print_time(out, "hold-until", w->hold_until);
	if (w->priority != 0)
		fprintf(out, "%-10s %d\n", "priority", w->priority);
}

static void
print_recipients_wishes(FILE *out, const struct recipient *r)
{
	struct buf words = { 0 };

	dsn_put_notify(&words, r->notify);
	if (words.len > 0)
		print_masked(out, "notify", buf_c(&words));
	if (r->orcpt != NULL)
		print_masked(out, "orcpt", r->orcpt);
	buf_free(&words);
}

/* Which account carries it is said where there are several. */
static void
print_recipients(FILE *out, const struct letter *l, const struct carriers *k)
{
	static const char *const words[] = { [LATER] = "waiting", [DONE] = "sent", [NEVER] = "failed" };

	for (size_t i = 0; i < l->envelope.n; i++) {
		const struct fate_recipient *r = &l->fate.to[i];
		struct buf shown = { 0 };

		print_masked(out, "to", l->envelope.to[i].address);
		print_recipients_wishes(out, &l->envelope.to[i]);
		if (config_accounts(k->config) > 1)
			fprintf(out, "%-10s %s\n", "by", name_of(k, carriers_of(k, l, i)));
		codec_mask(&shown, str_of(r->text));
		fprintf(out, "%-10s %s%s%s\n", "", words[r->outcome], shown.len > 0 ? ": " : "",
		    buf_c(&shown));
		buf_free(&shown);
	}
}

/* The text as it lies in the queue, made harmless for a terminal. */
static void
print_text(FILE *out, const struct letter *l)
{
	off_t at = spool_text_at(l);
	struct buf shown = { 0 };
	char chunk[8192];
	size_t n;

	while (!ferror(out) && file_read_at(l->fd, chunk, sizeof chunk, at, &n) == 0 && n > 0) {
		struct str rest = str_from(chunk, n), line;

		for (; rest.len > 0; ) {
			bool ended = str_has(rest, '\n');

			str_line(&rest, &line);
			buf_clear(&shown);
			codec_mask(&shown, line);
			if (ended)
				buf_addc(&shown, '\n');
			fwrite(buf_c(&shown), 1, shown.len, out);
		}
		at += (off_t)n;
	}
	buf_free(&shown);
}

/* Why it does not go at all, which a message's own fate does not tell. */
static void
print_health(FILE *out, const struct letter *l, const struct carriers *k)
{
	int account = carriers_keep(k, l);
	struct buf shown = { 0 };

	if (account >= 0)
		health_describe(&k->v[account], name_of(k, account), time(NULL), &shown);
	if (shown.len > 0)
		fprintf(out, "%-10s %s\n", "account", buf_c(&shown));
	buf_free(&shown);
}

static void
print_dialogue(FILE *out, const char *said)
{
	struct str rest = str_of(said), line;
	struct buf shown = { 0 };

	if (rest.len > 0)
		fputs("dialogue\n", out);
	while (str_line(&rest, &line)) {
		buf_clear(&shown);
		codec_mask(&shown, line);
		fprintf(out, "  %s\n", buf_c(&shown));
	}
	buf_free(&shown);
}

static void
print_whole(FILE *out, const struct letter *l, enum spool_place place, const struct carriers *k)
{
	if (l->fate.held)
		print_masked(out, "held", l->fate.hold_reason);
	print_time(out, "arrived", l->envelope.arrived);
	fprintf(out, "%-10s %lu\n", "uid", (unsigned long)l->envelope.uid);
	fprintf(out, "%-10s %llu octets\n", "size", (unsigned long long)stamp_text_len(&l->stamp));
	print_masked(out, "from", l->envelope.from[0] != '\0' ? l->envelope.from : "<>");
	print_wishes(out, &l->envelope.wishes);
	print_recipients(out, l, k);
	fprintf(out, "%-10s %u\n", "tries", l->fate.tries);
	if (l->fate.next > time(NULL))
		print_time(out, "next", l->fate.next);
	if (l->fate.last.text[0] != '\0')
		print_masked(out, "last", l->fate.last.text);
	if (place == SPOOL_QUEUE)
		print_health(out, l, k);
	print_dialogue(out, l->fate.said);
	putc('\n', out);
	print_text(out, l);
}

static void
print_letter(FILE *out, const char *id, const struct letter *l, enum spool_place place,
    const struct carriers *k, const struct why *why)
{
	fprintf(out, "%-10s %s\n", "id", id);
	fprintf(out, "%-10s %s\n", "place", place == SPOOL_FAILED ? "failed/: given up" : "queue/");
	if (l->damaged)
		print_masked(out, "held", why->text);
	else
		print_whole(out, l, place, k);
}

enum outcome
listing_show(const struct spool *s, const struct config *c, const struct asker *who, const char *id,
    bool json, FILE *out, struct why *why)
{
	struct letter l = LETTER_INIT;
	struct row r = { .id = id, .now = time(NULL) };
	enum outcome o = steer_find(s, who, id, false, &l, &r.place, why);
	struct carriers k;

	if (o == DONE) {
		carriers_load(&k, s, c, who);
		r.carriers = &k;
		if (json) {
			fill_row(&r, &l, why);
			print_json(&r, true, out);
			putc('\n', out);
		} else {
			print_letter(out, id, &l, r.place, &k, why);
		}
	}
	spool_letter_free(&l);
	return o;
}
