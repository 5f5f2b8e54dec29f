#include "fate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

void
fate_init(struct fate *f, size_t n)
{
	*f = (struct fate){ .n = n };
	f->to = mem_grow(NULL, n > 0 ? n : 1, sizeof *f->to);
	for (size_t i = 0; i < n; i++)
		f->to[i] = (struct fate_recipient){ 0 };
}

void
fate_free(struct fate *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->to[i].text);
	free(f->to);
	free(f->said);
	*f = (struct fate){ 0 };
}

static void
write_reason(struct buf *out, int code, const char *status, const char *text)
{
	buf_addf(out, " %d %s ", code, status[0] != '\0' ? status : "-");
	codec_escape(out, str_of(text));
	buf_addc(out, '\n');
}

void
fate_write(const struct fate *f, struct buf *out)
{
	struct buf body = { 0 };

	buf_addf(&body, "tries %u\nnext %lld\n", f->tries, (long long)f->next);
	if (f->renewed != 0)
		buf_addf(&body, "renewed %lld\n", (long long)f->renewed);
	if (f->held) {
		buf_adds(&body, "hold ");
		codec_escape(&body, str_of(f->hold_reason));
		buf_addc(&body, '\n');
	}
	if (f->last.text[0] != '\0') {
		buf_addf(&body, "last %s", scope_name(f->last.scope));
		write_reason(&body, f->last.code, f->last.status, f->last.text);
	}
	if (f->said != NULL) {
		buf_adds(&body, "said ");
		codec_escape(&body, str_of(f->said));
		buf_addc(&body, '\n');
	}
	for (size_t i = 0; i < f->n; i++) {
		const struct fate_recipient *r = &f->to[i];

		if (r->outcome == LATER && r->text == NULL)
			continue;
		buf_addf(&body, "to %zu %s%s", i, outcome_name(r->outcome), r->told ? " told" : "");
		write_reason(&body, r->code, r->status, r->text != NULL ? r->text : "");
	}
	buf_addf(out, "subpost-fate 1 crc=%08x\n", codec_crc32c(0, body.p, body.len));
	buf_addstr(out, buf_str(&body));
	buf_free(&body);
}

static enum outcome
damaged(struct why *why, const char *what)
{
	return never(why, SCOPE_MESSAGE, "", "its .fate is damaged: %s", what);
}

/* "CODE STATUS TEXT" as write_reason writes it. */
static bool
read_reason(struct str rest, int *code, char status[12], struct buf *text)
{
	struct str word = str_word(&rest);
	uint64_t v;

	if (!codec_number(word, 999, &v))
		return false;
	*code = (int)v;
	word = str_word(&rest);
	if (word.len == 0 || word.len >= 12)
		return false;
	if (!str_is(word, "-"))
		snprintf(status, 12, "%.*s", (int)word.len, word.p);
	return codec_unescape(text, rest);
}

static bool
read_recipient(struct fate *f, struct str rest)
{
	struct buf text = { 0 };
	struct str look;
	enum outcome o;
	uint64_t i;

	if (!codec_number(str_word(&rest), f->n, &i) || i == f->n ||
	    !outcome_parse(str_word(&rest), &o))
		return false;
	f->to[i].outcome = o;
	look = rest;
	if (str_is(str_word(&look), "told")) {
		f->to[i].told = true;
		rest = look;
	}
	if (!read_reason(rest, &f->to[i].code, f->to[i].status, &text)) {
		buf_free(&text);
		return false;
	}
	free(f->to[i].text);
	f->to[i].text = mem_dup(buf_str(&text));
	buf_free(&text);
	return true;
}

static bool
read_last(struct fate *f, struct str rest)
{
	struct buf text = { 0 };
	bool good = scope_parse(str_word(&rest), &f->last.scope) &&
	    read_reason(rest, &f->last.code, f->last.status, &text);

	if (good)
		snprintf(f->last.text, sizeof f->last.text, "%s", buf_c(&text));
	buf_free(&text);
	return good;
}

static bool
read_fact(struct fate *f, struct str line)
{
	struct str word = str_word(&line);
	struct buf plain = { 0 };
	bool good = true;
	uint64_t v;

	if (str_is(word, "tries")) {
		good = codec_number(line, UINT32_MAX, &v);
		f->tries = good ? (unsigned)v : 0;
	} else if (str_is(word, "next")) {
		good = codec_number(line, INT64_MAX, &v);
		f->next = good ? (time_t)v : 0;
	} else if (str_is(word, "renewed")) {
		good = codec_number(line, INT64_MAX, &v);
		f->renewed = good ? (time_t)v : 0;
	} else if (str_is(word, "hold")) {
		good = codec_unescape(&plain, line);
		f->held = true;
		snprintf(f->hold_reason, sizeof f->hold_reason, "%s", buf_c(&plain));
		buf_free(&plain);
	} else if (str_is(word, "last")) {
		good = read_last(f, line);
	} else if (str_is(word, "said")) {
		good = codec_unescape(&plain, line);
		fate_keep_dialogue(f, buf_str(&plain));
		buf_free(&plain);
	} else if (str_is(word, "to")) {
		good = read_recipient(f, line);
	} else {
		good = false;
	}
	return good;
}

/* Order, number and form of the lines, which nothing above has looked at. */
static bool
would_be_written(struct str in, const struct fate *f)
{
	struct buf again = { 0 };
	bool same;

	fate_write(f, &again);
	same = str_eq(buf_str(&again), in);
	buf_free(&again);
	return same;
}

enum outcome
fate_read(struct str in, struct fate *f, struct why *why)
{
	struct str rest = in, line = { 0 };
	uint32_t crc;

	if (!str_line(&rest, &line) || !str_starts(line, "subpost-fate "))
		return damaged(why, "not a fate of subpost");
	if (!str_starts(line, "subpost-fate 1 crc="))
		return never(why, SCOPE_MESSAGE, "",
		    "its .fate was written by another version of subpost");
	if (!codec_hex32(str_from(line.p + 19, line.len - 19), &crc) ||
	    crc != codec_crc32c(0, rest.p, rest.len))
		return damaged(why, "its checksum is wrong");
	while (str_line(&rest, &line))
		if (!read_fact(f, line))
			return damaged(why, "a line that this version does not know");
	if (!would_be_written(in, f))
		return damaged(why, "its lines are not in their order and form");
	return DONE;
}

/* Octets that the words about one recipient may take in the file, so that a fate
 * of any number of recipients stays within FATE_MAX.  With ten thousand that is
 * more than nearly any answer has; with a hundred thousand its end is cut off. */
static size_t
words_max(const struct fate *f)
{
	/* What stands before the recipients, at its longest. */
	const size_t head = 8192 + 4 * FATE_SAID_MAX;
	const size_t line = 48;         /* "to 99999 never told 550 5.7.1234567 " and LF */

	return (FATE_MAX - head) / f->n - line;
}

/* As much of text as takes at most max octets when it is escaped, whole characters. */
static struct str
cut_words(const char *text, size_t max)
{
	struct str rest = str_of(text);
	size_t taken = 0;

	while (rest.len > 0) {
		unsigned char c = (unsigned char)rest.p[0];
		size_t n = codec_utf8(rest, &(uint32_t){ 0 });
		size_t cost = c < 0x20 || c == 0x7f || c == '\\' ? 4 : n > 0 ? n : 1;

		if (taken + cost > max)
			break;
		taken += cost;
		n = n > 0 ? n : 1;
		rest = str_from(rest.p + n, rest.len - n);
	}
	return str_from(text, strlen(text) - rest.len);
}

void
fate_note(struct fate *f, size_t recipient, enum outcome o, const struct why *why)
{
	struct fate_recipient *r = &f->to[recipient];

	if (r->outcome != LATER)
		return;
	r->outcome = o;
	r->code = why->code;
	snprintf(r->status, sizeof r->status, "%s", why->status);
	free(r->text);
	r->text = mem_dup(cut_words(why->text, words_max(f)));
}

void
fate_keep_dialogue(struct fate *f, struct str lines)
{
	free(f->said);
	lines = str_last_lines(lines, FATE_SAID_MAX);
	f->said = lines.len > 0 ? mem_dup(lines) : NULL;
}

size_t
fate_count(const struct fate *f, enum outcome o)
{
	size_t count = 0;

	for (size_t i = 0; i < f->n; i++)
		count += f->to[i].outcome == o;
	return count;
}

bool
fate_is_settled(const struct fate *f)
{
	return fate_count(f, LATER) == 0;
}

void
fate_renew(struct fate *f, time_t now)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->to[i].outcome == NEVER) {
			f->to[i].outcome = LATER;
			f->to[i].told = false;
		}
	}
	f->held = false;
	f->hold_reason[0] = '\0';
	f->next = 0;
	f->renewed = now;
}
