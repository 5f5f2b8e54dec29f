#include "complete.h"

#include <stdint.h>
#include <string.h>

#include "address.h"
#include "codec.h"
#include "phrase.h"

#define LINE_WANTED 78          /* RFC 5322 section 2.1.1 */

enum {
	SECRET = 1,             /* goes, whoever signed it */
	GOES = 2,
	ONCE = 4,
	NEEDED = 8,             /* a blank one is as good as none */
	ADDRESSES = 16,
	REWRITTEN = 32,         /* a bare name in it may stand for others */
};

enum rule_index { FROM, DATE, MESSAGE_ID, SENDER };

static const struct rule {
	const char *name;
	unsigned what;
} rules[] = {
	[FROM] = { "From", ADDRESSES | ONCE | NEEDED },
	[DATE] = { "Date", ONCE | NEEDED },
	[MESSAGE_ID] = { "Message-ID", ONCE | NEEDED },
	[SENDER] = { "Sender", ADDRESSES | ONCE },
	{ "Reply-To", ADDRESSES | ONCE },
	{ "Subject", ONCE },
	{ "To", ADDRESSES | REWRITTEN },
	{ "Cc", ADDRESSES | REWRITTEN },
	{ "Bcc", SECRET },
	{ "Resent-From", ADDRESSES },
	{ "Resent-Sender", ADDRESSES },
	{ "Resent-Reply-To", ADDRESSES },
	{ "Resent-To", ADDRESSES | REWRITTEN },
	{ "Resent-Cc", ADDRESSES | REWRITTEN },
	{ "Resent-Bcc", SECRET },
	{ "Return-Path", GOES },
	{ "Content-Length", GOES },
};

#define RULES (sizeof rules / sizeof *rules)

struct work {
	const struct header *h;
	const struct complete *c;
	struct buf *out;
	bool seen[RULES];       /* one of them has passed */
	bool is_signed[RULES];
	bool wants_sender;      /* From names several */
};

static const struct rule *
find_rule(struct str name)
{
	for (size_t i = 0; i < RULES; i++)
		if (str_caseis(name, rules[i].name))
			return &rules[i];
	return NULL;
}

/* Cuts the next word off *rest: up to a space that is not inside quotes. */
static struct str
cut_word(struct str *rest)
{
	struct str word = { 0 };
	bool quoted = false;
	size_t i = 0;

	while (i < rest->len && rest->p[i] == ' ')
		i++;
	word.p = rest->p + i;
	for (; i < rest->len && (quoted || rest->p[i] != ' '); i++) {
		if (rest->p[i] == '"')
			quoted = !quoted;
		else if (quoted && rest->p[i] == '\\' && i + 1 < rest->len)
			i++;
	}
	word.len = (size_t)(rest->p + i - word.p);
	*rest = str_from(rest->p + i, rest->len - i);
	return word;
}

void
complete_field(struct buf *out, const char *name, struct str value)
{
	struct buf clean = { 0 };
	struct str rest;
	size_t column = strlen(name) + 1;
	bool begun = false;

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c == '\t')
			buf_addc(&clean, ' ');
		else if (c >= 0x20 && c != 0x7f)
			buf_addc(&clean, (char)c);
	}
	buf_addf(out, "%s:", name);
	for (rest = str_trim(buf_str(&clean)); rest.len > 0; begun = true) {
		struct str word = cut_word(&rest);

		/* A first word is moved down only where that makes it fit. */
		if (column + 1 + word.len > LINE_WANTED && (begun || word.len < LINE_WANTED)) {
			buf_addc(out, '\n');
			column = 0;
		}
		buf_addc(out, ' ');
		buf_addstr(out, word);
		column += 1 + word.len;
	}
	buf_addc(out, '\n');
	buf_free(&clean);
}

/* No "with": the keywords of RFC 3848 name protocols, and there was none. */
void
complete_received(struct buf *out, struct str host, const char *from, const char *id, time_t now,
    long offset)
{
	buf_adds(out, "by ");
	buf_addstr(out, host);
	buf_addf(out, " (subpost, from %s) id %s; ", from, id);
	codec_date(out, now, offset);
}

static void
emit_from(struct work *w, const char *name, bool with_name)
{
	struct buf spec = { 0 }, line = { 0 };

	if (w->c->from.len == 0)
		return;
	buf_addstr(&spec, w->c->from);
	address_qualify(&spec, w->c->domain);
	if (with_name)
		phrase_add(&line, w->c->full_name);
	if (line.len > 0)
		buf_addf(&line, " <%s>", buf_c(&spec));
	else
		buf_addstr(&line, buf_str(&spec));
	complete_field(w->out, name, buf_str(&line));
	buf_free(&line);
	buf_free(&spec);
}

static void
emit_date(struct work *w, const char *name)
{
	struct buf line = { 0 };

	codec_date(&line, w->c->now, w->c->offset);
	complete_field(w->out, name, buf_str(&line));
	buf_free(&line);
}

/* tag keeps two that are made at once apart. */
static void
emit_id(struct work *w, const char *name, const char *tag)
{
	struct buf line = { 0 };

	buf_addc(&line, '<');
	buf_addstr(&line, w->c->unique);
	buf_adds(&line, tag);
	buf_addc(&line, '@');
	buf_addstr(&line, w->c->id_domain);
	buf_addc(&line, '>');
	complete_field(w->out, name, buf_str(&line));
	buf_free(&line);
}

/* The h= tag of a DKIM-Signature (RFC 6376 section 3.5): names between colons. */
static void
note_signed(struct work *w, struct str tags)
{
	while (tags.len > 0) {
		size_t n = str_find(tags, ';');
		struct str tag = str_from(tags.p, n);
		size_t eq = str_find(tag, '=');

		tags = n < tags.len ? str_from(tags.p + n + 1, tags.len - n - 1) : (struct str){ 0 };
		if (eq == tag.len || !str_is(str_trim(str_from(tag.p, eq)), "h"))
			continue;
		tag = str_from(tag.p + eq + 1, tag.len - eq - 1);
		for (;;) {
			size_t colon = str_find(tag, ':');
			const struct rule *r = find_rule(str_trim(str_from(tag.p, colon)));

			if (r != NULL)
				w->is_signed[r - rules] = true;
			if (colon == tag.len)
				break;
			tag = str_from(tag.p + colon + 1, tag.len - colon - 1);
		}
	}
}

static bool
names_several(struct str body)
{
	struct address_list list = { 0 };
	struct why why;
	bool several = address_parse(body, &list, &why) == DONE && list.n > 1;

	address_list_free(&list);
	return several;
}

/* Writes what stands for a bare name.  *done: offset up to which the field is
 * copied; base: that of the text that was parsed. */
static bool
put_rewritten(struct work *w, struct str whole, size_t base, const struct address *a, size_t *done)
{
	struct buf list = { 0 };
	bool rewritten = w->c->rewrite(w->c->arg, buf_str(&a->spec), &list);
	bool named = rewritten && a->angle != SIZE_MAX && !names_several(buf_str(&list));

	if (rewritten) {
		size_t from = base + (named ? a->angle : a->begin);

		buf_add(w->out, whole.p + *done, from - *done);
		buf_adds(w->out, named ? "<" : "");
		buf_addstr(w->out, buf_str(&list));
		buf_adds(w->out, named ? ">" : "");
		*done = base + a->end;
	}
	buf_free(&list);
	return rewritten;
}

/* Copies an address field with the domain behind every bare name, or what stands
 * for it in its place; all other octets stay.  What cannot be read is not ours to
 * mend.  One name, repeated, must not make a header larger than any may come. */
static void
copy_qualified(struct work *w, const struct field *f, bool rewrites)
{
	struct str whole = str_from(w->h->raw.p + f->at, f->len);
	struct address_list list = { 0 };
	struct why why;
	size_t done = 0, base = f->body_at - f->at;

	if (address_parse(field_body(w->h, f), &list, &why) != DONE)
		address_list_free(&list);
	for (size_t i = 0; i < list.n; i++) {
		size_t end = base + list.v[i].bare_end;

		if (list.v[i].bare_end == SIZE_MAX ||
		    (rewrites && w->out->len < HEADER_MAX &&
		    put_rewritten(w, whole, base, &list.v[i], &done)) ||
		    w->c->domain.len == 0)
			continue;
		buf_add(w->out, whole.p + done, end - done);
		buf_addc(w->out, '@');
		buf_addstr(w->out, w->c->domain);
		done = end;
	}
	buf_add(w->out, whole.p + done, whole.len - done);
	address_list_free(&list);
}

static void
pass_field(struct work *w, const struct field *f)
{
	const struct rule *r = find_rule(field_name(w->h, f));
	unsigned what = r != NULL ? r->what : 0;
	struct str body = field_body(w->h, f);
	bool again;

	if (r != NULL && w->is_signed[r - rules])
		what &= SECRET;
	if ((what & (SECRET | GOES)) != 0)
		return;
	if ((what & NEEDED) != 0 && str_trim(body).len == 0)
		return;
	again = r != NULL && w->seen[r - rules];
	if ((what & ONCE) != 0 && again)
		return;
	if (r != NULL)
		w->seen[r - rules] = true;
	if (r == &rules[FROM] && !again)
		w->wants_sender = names_several(body);
	if ((what & ADDRESSES) != 0)
		copy_qualified(w, f, (what & REWRITTEN) != 0 && w->c->rewrite != NULL);
	else
		buf_add(w->out, w->h->raw.p + f->at, f->len);
}

/* A block below a trace field is history, and not ours to complete. */
static bool
is_below_trace(const struct header *h, size_t first)
{
	for (size_t i = 0; i < first; i++)
		if (field_is(h, &h->v[i], "Received") || field_is(h, &h->v[i], "Return-Path"))
			return true;
	return false;
}

static void
complete_resent(struct work *w, size_t first, size_t n)
{
	bool from = false, date = false, id = false;

	for (size_t i = first; i < first + n; i++) {
		const struct field *f = &w->h->v[i];

		from = from || field_is(w->h, f, "Resent-From");
		date = date || field_is(w->h, f, "Resent-Date");
		id = id || field_is(w->h, f, "Resent-Message-ID");
	}
	if (!from)
		emit_from(w, "Resent-From", true);
	if (!date)
		emit_date(w, "Resent-Date");
	if (!id)
		emit_id(w, "Resent-Message-ID", ".resent");
}

void
complete_header(const struct header *h, const struct complete *c, struct buf *out)
{
	struct work w = { .h = h, .c = c, .out = out };
	size_t first, n = header_resent(h, &first);

	if (c->received.len > 0)
		complete_field(out, "Received", c->received);
	for (size_t i = 0; i < h->n; i++)
		if (field_is(h, &h->v[i], "DKIM-Signature"))
			note_signed(&w, field_body(h, &h->v[i]));
	if (n > 0 && is_below_trace(h, first))
		n = 0;
	for (size_t i = 0; i < h->n; i++) {
		if (n > 0 && i == first)
			complete_resent(&w, first, n);
		pass_field(&w, &h->v[i]);
	}
	if (!w.seen[FROM])
		emit_from(&w, "From", true);
	if (w.wants_sender && !w.seen[SENDER])
		emit_from(&w, "Sender", false);
	if (!w.seen[DATE])
		emit_date(&w, "Date");
	if (!w.seen[MESSAGE_ID])
		emit_id(&w, "Message-ID", "");
	buf_addc(out, '\n');
}
