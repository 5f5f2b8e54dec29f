#include <string.h>

#include "answers.h"
#include "codec.h"
#include "dialogue.h"
#include "grammar.h"
#include "mechanisms.h"
#include "notes.h"
#include "script.h"
#include "speech.h"
#include "text.h"
#include "wire.h"

/* The keywords are those in the answer, whoever wrote it. */
static void
learn_offers(struct conn *c)
{
	struct str rest = buf_str(&c->said), line;
	bool first = true;

	buf_clear(&c->offers);
	for (; str_line(&rest, &line); first = false) {
		line = str_trim(line);
		if (first || line.len < 5)
			continue;
		buf_add(&c->offers, line.p + 4, line.len - 4);
		buf_addc(&c->offers, '\n');
	}
}

static void
add_to_envelope(struct conn *c, const char *key)
{
	size_t colon = str_find(c->args, ':');
	size_t from = colon < c->args.len ? colon + 1 : 0;

	buf_adds(&c->envelope, key);
	codec_escape(&c->envelope, (struct str){ c->args.p + from, c->args.len - from });
	buf_addc(&c->envelope, '\n');
}

static void happen(struct conn *c, enum event e, struct str line, struct str args);

void
follow_answer(struct conn *c, enum event e)
{
	unsigned code = code_said(c);
	bool yes = code / 100 == 2;

	if (code == 421)
		part(c, POLITE);
	if (e == GREETING) {
		c->refused = code / 100 == 5;
	} else if (e == EHLO && yes) {
		c->greeted = true;
		forget_mail(c);
		c->mails = 0;
		learn_offers(c);
	} else if (e == STARTTLS && code == 220) {
		c->greeted = false;
		buf_clear(&c->offers);
		happen(c, HANDSHAKE, STR(""), STR(""));
	} else if (e == AUTH || e == AUTH_RESPONSE) {
		c->authenticated = c->authenticated || yes;
		if (code != 334)
			end_exchange(c);
	} else if (e == MAIL && yes) {
		forget_mail(c);
		c->in_mail = true;
		add_to_envelope(c, "from ");
	} else if (e == RCPT && yes) {
		c->recipients++;
		add_to_envelope(c, "to ");
	} else if (e == BDAT && !yes) {
		c->chunk_refused = true;
	} else if (e == RSET && yes) {
		forget_mail(c);
	} else if (e == QUIT && yes) {
		c->quit = true;
		part(c, POLITE);
	}
}

void
begin_event(struct conn *c, enum event e, struct str args)
{
	c->event = e;
	c->args = args;
	buf_clear(&c->said);
}

static void
happen(struct conn *c, enum event e, struct str line, struct str args)
{
	const struct rule *r = find_rule(c, e, line);

	begin_event(c, e, args);
	if (r != NULL)
		follow_rule(c, r);
	else
		answer_as_usual(c);
	if (c->fd >= 0 && !c->over)
		follow_answer(c, e);
}

static enum event
name_event(struct str verb)
{
	if (str_caseis(verb, "HELO"))
		return EHLO;
	for (enum event e = 0; e < EVENTS; e++)
		if (events[e].is_command && e != DOT && e != AUTH_RESPONSE &&
		    str_caseis(verb, events[e].name))
			return e;
	return UNKNOWN;
}

/* Whatever becomes of it, its octets are not commands. */
static void
answer_chunk(struct conn *c, struct str line, struct str args)
{
	struct str rest = args;
	uint64_t n = 0;
	bool wanted = c->in_mail && c->recipients > 0 && !c->chunk_refused;

	codec_number(str_word(&rest), UINT64_MAX, &n);
	if (!hear_chunk(c, n, str_caseis(rest, "LAST")))
		return;
	happen(c, BDAT, line, args);
	if (wanted && !c->in_chunks)
		forget_mail(c);
}

/* One line without its end; its length with it. */
static void
hear_command(struct conn *c, struct str line, size_t len)
{
	struct str args = line, verb = str_word(&args);
	enum event e = c->exchanging ? AUTH_RESPONSE : name_event(verb);

	note_heard(c, line);
	if (e == AUTH_RESPONSE)
		args = line;
	c->extended = e != EHLO ? c->extended : str_caseis(verb, "EHLO");
	c->args = args;
	check_length(c, e, len);
	check_command(c, e, line);
	if (e == AUTH)
		begin_exchange(c);
	if (e == MAIL)
		memset(c->counts[IN_TRANSACTION], 0, sizeof(c->counts[IN_TRANSACTION]));
	if (e == BDAT) {
		answer_chunk(c, line, args);
		return;
	}
	happen(c, e, line, args);
	if (e == DATA && c->fd >= 0 && !c->over && code_said(c) == 354 && hear_text(c)) {
		happen(c, DOT, STR("."), STR(""));
		forget_mail(c);
	}
}

/* Takes the next line; false when there will be none. */
static bool
take_line(struct conn *c, struct buf *line)
{
	size_t n;

	while ((n = str_find(buf_str(&c->in), '\n')) == c->in.len) {
		if (c->in.len > PATIENCE) {
			accuse(c, "a command of over %d octets", PATIENCE);
			return false;
		}
		if (!hear_more(c)) {
			if (c->in.len > 0)
				note(c, "C: ", "<%zu octets without a line end>", c->in.len);
			return false;
		}
	}
	buf_clear(line);
	buf_add(line, c->in.p, n + 1);
	buf_cut(&c->in, n + 1);
	return true;
}

void
converse(struct conn *c)
{
	struct buf line = { 0 };

	happen(c, CONNECT, STR(""), STR(""));
	if (server.tls == AT_ONCE && c->fd >= 0 && !c->over)
		happen(c, HANDSHAKE, STR(""), STR(""));
	if (c->fd >= 0 && !c->over)
		happen(c, GREETING, STR(""), STR(""));
	while (c->fd >= 0 && !c->over && take_line(c, &line)) {
		struct str s = { line.p, line.len - 1 };

		if (s.len > 0 && s.p[s.len - 1] == '\r')
			s.len--;
		else
			accuse(c, "bare LF ends a command");
		hear_command(c, s, line.len);
	}
	buf_free(&line);
}
