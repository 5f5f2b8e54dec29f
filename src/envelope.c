#include "envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

void
stamp_write(const struct stamp *s, struct buf *out)
{
	size_t start = out->len;

	buf_addf(out, "subpost 1 size=%015llu envelope=%08u head-crc=%08x text-crc=%08x "
	    "lines=%012llu longest=%012llu eight-bit=%d unended=%d",
	    (unsigned long long)s->size, s->envelope, s->head_crc, s->text_crc,
	    (unsigned long long)s->lines, (unsigned long long)s->longest,
	    s->eight_bit, s->unended);
	while (out->len - start < STAMP_LEN - 1)
		buf_addc(out, ' ');
	buf_addc(out, '\n');
}

/* Takes "key=" and the word behind it off *rest. */
static bool
take(struct str *rest, const char *key, struct str *value)
{
	struct str word = str_word(rest);
	size_t n = strlen(key);

	if (!str_starts(word, key) || word.len <= n || word.p[n] != '=')
		return false;
	*value = str_from(word.p + n + 1, word.len - n - 1);
	return true;
}

static bool
take_number(struct str *rest, const char *key, uint64_t max, uint64_t *out)
{
	struct str value;

	return take(rest, key, &value) && codec_number(value, max, out);
}

static bool
take_crc(struct str *rest, const char *key, uint32_t *out)
{
	struct str value;

	return take(rest, key, &value) && codec_hex32(value, out);
}

/* Could a text of that size have these counts?  No checksum covers them, and a
 * wrong SIZE= would have the server refuse a healthy message for good. */
static bool
is_possible(const struct stamp *s)
{
	uint64_t text = stamp_text_len(s);

	if (s->lines > text || s->longest > text - s->lines || (s->eight_bit && s->longest == 0))
		return false;
	return s->unended ? s->longest > 0 : (s->lines > 0) == (text > 0);
}

/* One value has one form: what reads alike and looks different is not ours. */
static bool
is_as_written(struct str in, const struct stamp *s)
{
	struct buf again = { 0 };
	bool same;

	stamp_write(s, &again);
	same = str_eq(buf_str(&again), in);
	buf_free(&again);
	return same;
}

enum outcome
stamp_read(struct str in, struct stamp *s, struct why *why)
{
	struct str rest = in;
	uint64_t envelope, eight_bit, unended;

	*s = (struct stamp){ 0 };
	if (in.len != STAMP_LEN || in.p[STAMP_LEN - 1] != '\n' ||
	    !str_is(str_word(&rest), "subpost"))
		return never(why, SCOPE_MESSAGE, "", "not a message of subpost");
	rest.len--;
	if (!str_is(str_word(&rest), "1"))
		return never(why, SCOPE_MESSAGE, "", "written by another version of subpost");
	if (!take_number(&rest, "size", UINT64_MAX, &s->size) ||
	    !take_number(&rest, "envelope", ENVELOPE_MAX, &envelope) ||
	    !take_crc(&rest, "head-crc", &s->head_crc) ||
	    !take_crc(&rest, "text-crc", &s->text_crc) ||
	    !take_number(&rest, "lines", UINT64_MAX, &s->lines) ||
	    !take_number(&rest, "longest", UINT64_MAX, &s->longest) ||
	    !take_number(&rest, "eight-bit", 1, &eight_bit) ||
	    !take_number(&rest, "unended", 1, &unended) || str_trim(rest).len != 0)
		return never(why, SCOPE_MESSAGE, "", "its first line is damaged");
	s->envelope = (uint32_t)envelope;
	s->eight_bit = eight_bit != 0;
	s->unended = unended != 0;
	if (s->size < STAMP_LEN + envelope || !is_possible(s) || !is_as_written(in, s))
		return never(why, SCOPE_MESSAGE, "", "its first line is damaged");
	return DONE;
}

uint32_t
stamp_head_crc(const struct stamp *s, uint32_t envelope_crc)
{
	struct stamp zeroed = *s;
	struct buf line = { 0 };
	uint32_t crc;

	zeroed.head_crc = 0;
	stamp_write(&zeroed, &line);
	crc = codec_crc32c(envelope_crc, line.p, line.len);
	buf_free(&line);
	return crc;
}

uint64_t
stamp_text_len(const struct stamp *s)
{
	return s->size - STAMP_LEN - s->envelope;
}

uint64_t
stamp_wire_size(const struct stamp *s)
{
	return stamp_text_len(s) + s->lines + (s->unended ? 2 : 0);
}

/* Only what is wished, so that most messages say nothing of it. */
static void
put_wishes(const struct wishes *w, struct buf *out)
{
	if (w->ret != DSN_RETURN_UNSAID)
		buf_addf(out, "\nret %s", dsn_return_word(w->ret));
	if (w->envid != NULL) {
		buf_adds(out, "\nenvid ");
		codec_escape(out, str_of(w->envid));
	}
	if (w->body != DSN_BODY_UNSAID)
		buf_addf(out, "\nbody %s", dsn_body_word(w->body));
	if (w->smtputf8)
		buf_adds(out, "\nsmtputf8 yes");
	if (w->requiretls)
		buf_adds(out, "\nrequiretls yes");
	if (w->by != DSN_BY_UNSAID) {
		buf_adds(out, "\nby ");
		dsn_put_by(out, w, w->by_seconds);
	}
	if (w->hold_until != 0)
		buf_addf(out, "\nhold-until %lld", (long long)w->hold_until);
	if (w->priority != 0)
		buf_addf(out, "\npriority %d", w->priority);
}

static void
put_recipient(const struct recipient *r, struct buf *out)
{
	buf_adds(out, "\nto ");
	codec_escape(out, str_of(r->address));
	if (r->notify != 0) {
		buf_adds(out, "\nnotify ");
		dsn_put_notify(out, r->notify);
	}
	if (r->orcpt != NULL) {
		buf_adds(out, "\norcpt ");
		codec_escape(out, str_of(r->orcpt));
	}
}

void
envelope_write(const struct envelope *e, struct buf *out)
{
	buf_addf(out, "id %s\narrived %lld\nuid %lu\nfrom ", e->id, (long long)e->arrived,
	    (unsigned long)e->uid);
	codec_escape(out, str_of(e->from));
	put_wishes(&e->wishes, out);
	for (size_t i = 0; i < e->n; i++)
		put_recipient(&e->to[i], out);
	buf_adds(out, "\n\n");
}

static enum outcome
damaged(struct why *why, const char *what)
{
	return never(why, SCOPE_MESSAGE, "", "its envelope is damaged: %s", what);
}

/* A value as an address that may go to a server, or NULL. */
static char *
read_address(struct str value)
{
	struct buf plain = { 0 };
	char *address = NULL;

	if (codec_unescape(&plain, value) && address_is_sendable(buf_str(&plain)))
		address = mem_dup(buf_str(&plain));
	buf_free(&plain);
	return address;
}

static enum outcome
read_recipient(struct envelope *e, struct str value, struct why *why)
{
	char *address = read_address(value);

	if (address == NULL || address[0] == '\0') {
		free(address);
		return damaged(why, "a recipient that cannot be sent to");
	}
	if (e->n == ENVELOPE_RECIPIENTS_MAX) {
		free(address);
		return damaged(why, "too many recipients");
	}
	e->to = mem_more(e->to, e->n, sizeof *e->to);
	e->to[e->n++] = (struct recipient){ .address = address };
	return DONE;
}

/* A value of that form in place of *old; false for any other. */
static bool
read_word(struct str value, bool (*is_good)(struct str), char **old)
{
	struct buf plain = { 0 };
	bool good = codec_unescape(&plain, value) && is_good(buf_str(&plain));

	if (good) {
		free(*old);
		*old = mem_dup(buf_str(&plain));
	}
	buf_free(&plain);
	return good;
}

static bool
is_envid(struct str s)
{
	return s.len > 0 && s.len <= DSN_ENVID_MAX && dsn_is_xtext(s);
}

/* A line about the recipient before it. */
static enum outcome
read_recipients_wish(struct recipient *r, struct str word, struct str value, struct why *why)
{
	if (str_is(word, "notify"))
		return dsn_parse_notify(value, &r->notify) ? DONE : damaged(why, "a bad notify");
	return read_word(value, dsn_is_orcpt, &r->orcpt) ? DONE : damaged(why, "a bad orcpt");
}

static bool
read_yes(struct str value, bool *flag)
{
	*flag = true;
	return str_is(value, "yes");
}

/* One about when. */
static bool
read_timing(struct wishes *w, struct str word, struct str value)
{
	uint64_t v;

	if (str_is(word, "by"))
		return dsn_parse_by(value, w);
	if (str_is(word, "priority"))
		return dsn_parse_priority(value, &w->priority);
	if (!codec_number(value, INT64_MAX, &v))
		return false;
	w->hold_until = (time_t)v;
	return true;
}

/* A wish for the whole message; NEVER, too, for a word that is none. */
static enum outcome
read_wish(struct wishes *w, struct str word, struct str value, struct why *why)
{
	if (str_is(word, "ret"))
		return dsn_parse_return(value, &w->ret) ? DONE : damaged(why, "a bad ret");
	if (str_is(word, "body"))
		return dsn_parse_body(value, &w->body) ? DONE : damaged(why, "a bad body");
	if (str_is(word, "smtputf8"))
		return read_yes(value, &w->smtputf8) ? DONE : damaged(why, "a bad smtputf8");
	if (str_is(word, "requiretls"))
		return read_yes(value, &w->requiretls) ? DONE : damaged(why, "a bad requiretls");
	if (str_is(word, "by") || str_is(word, "hold-until") || str_is(word, "priority"))
		return read_timing(w, word, value) ? DONE : damaged(why, "a bad wish of when");
	if (!str_is(word, "envid"))
		/* Not repeated here: what nobody understands nobody should print. */
		return damaged(why, "a line that this version does not know");
	return read_word(value, is_envid, &w->envid) ? DONE : damaged(why, "a bad envid");
}

static enum outcome
read_fact(struct envelope *e, struct str word, struct str value, bool *dated, bool *owned,
    struct why *why)
{
	uint64_t v;

	if (str_is(word, "to"))
		return read_recipient(e, value, why);
	if (str_is(word, "id")) {
		if (!envelope_is_id(value))
			return damaged(why, "no id");
		memcpy(e->id, value.p, ENVELOPE_ID_LEN);
	} else if (str_is(word, "arrived")) {
		if (!codec_number(value, INT64_MAX, &v))
			return damaged(why, "no time of arrival");
		e->arrived = (time_t)v;
		*dated = true;
	} else if (str_is(word, "uid")) {
		if (!codec_number(value, UINT32_MAX, &v))
			return damaged(why, "no uid");
		e->uid = (uid_t)v;
		*owned = true;
	} else if (str_is(word, "from")) {
		free(e->from);
		e->from = read_address(value);
		if (e->from == NULL)
			return damaged(why, "a sender that cannot be sent");
	} else if (e->n > 0 && (str_is(word, "notify") || str_is(word, "orcpt"))) {
		return read_recipients_wish(&e->to[e->n - 1], word, value, why);
	} else {
		return read_wish(&e->wishes, word, value, why);
	}
	return DONE;
}

/* Order, number and form of the lines, which nothing above has looked at. */
static bool
would_be_written(struct str in, const struct envelope *e)
{
	struct buf again = { 0 };
	bool same;

	buf_reserve(&again, in.len);
	envelope_write(e, &again);
	same = str_eq(buf_str(&again), in);
	buf_free(&again);
	return same;
}

enum outcome
envelope_read(struct str in, struct envelope *e, struct why *why)
{
	struct str rest = in, line;
	bool dated = false, owned = false;
	enum outcome o;

	while (str_line(&rest, &line) && line.len > 0) {
		struct str value = line, word = str_word(&value);

		if ((o = read_fact(e, word, value, &dated, &owned, why)) != DONE)
			return o;
	}
	if (in.len < 2 || in.p[in.len - 1] != '\n' || in.p[in.len - 2] != '\n' || rest.len != 0)
		return damaged(why, "no empty line at its end");
	if (e->id[0] == '\0' || !dated || !owned || e->from == NULL || e->n == 0)
		return damaged(why, "something is missing");
	if (!would_be_written(in, e))
		return damaged(why, "its lines are not in their order and form");
	return DONE;
}

void
envelope_free(struct envelope *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->to[i].address);
		free(e->to[i].orcpt);
	}
	free(e->to);
	wishes_free(&e->wishes);
	free(e->from);
	*e = (struct envelope){ 0 };
}

/* Base 32 in the order of ASCII, so that ids sort as their times do: twelve
 * characters of time, eight of chance. */
static const char id_digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

#define ID_TIME_LEN 12
#define ID_TAIL_LEN (ENVELOPE_ID_LEN - ID_TIME_LEN)
#define ID_TAIL_MASK ((UINT64_C(1) << (5 * ID_TAIL_LEN)) - 1)

static void
id_put(uint64_t v, char *out, int len)
{
	for (int i = len - 1; i >= 0; i--) {
		out[i] = id_digits[v & 31];
		v >>= 5;
	}
}

void
envelope_make_id(uint64_t microseconds, uint64_t random, char out[ENVELOPE_ID_LEN + 1])
{
	id_put(microseconds, out, ID_TIME_LEN);
	id_put(random & ID_TAIL_MASK, out + ID_TIME_LEN, ID_TAIL_LEN);
	out[ENVELOPE_ID_LEN] = '\0';
}

static uint64_t
id_get(const char *p, int len)
{
	uint64_t v = 0;

	for (int i = 0; i < len; i++) {
		const char *at = strchr(id_digits, p[i]);

		v = v << 5 | (at != NULL ? (uint64_t)(at - id_digits) : 0);
	}
	return v;
}

time_t
envelope_id_time(const char *id)
{
	return (time_t)(id_get(id, ID_TIME_LEN) / 1000000);
}

void
envelope_derive_id(const char *id, uint64_t kind, char out[ENVELOPE_ID_LEN + 1])
{
	uint64_t tail = id_get(id + ID_TIME_LEN, ID_TAIL_LEN);

	/* An odd factor makes every kind a tail of its own. */
	tail ^= (kind + 1) * UINT64_C(0x9e3779b97f4a7c15);
	memcpy(out, id, ID_TIME_LEN);
	id_put(tail & ID_TAIL_MASK, out + ID_TIME_LEN, ID_TAIL_LEN);
	out[ENVELOPE_ID_LEN] = '\0';
}

bool
envelope_is_id(struct str name)
{
	if (name.len != ENVELOPE_ID_LEN)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!(name.p[i] >= '0' && name.p[i] <= '9') && !(name.p[i] >= 'A' && name.p[i] <= 'Z'))
			return false;
	return true;
}
