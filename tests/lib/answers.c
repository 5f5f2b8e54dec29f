#include "answers.h"
#include "codec.h"
#include "mechanisms.h"
#include "notes.h"
#include "speech.h"
#include "notes.h"
#include "wire.h"

static void
answer_greeting(struct conn *c)
{
	say(c, "220 localhost ESMTP at your service");
}

static void
add_usual_offers(const struct conn *c, struct buf *lines)
{
	buf_addf(lines, "PIPELINING\nSIZE %d\n8BITMIME\nENHANCEDSTATUSCODES\nDSN\n", TEXT_MAX);
	if (server.chunking)
		buf_adds(lines, "CHUNKING\n");
	if (!c->secure && server.tls == AFTER_STARTTLS)
		buf_adds(lines, "STARTTLS\n");
	else if (!server.no_auth)
		buf_adds(lines, "AUTH PLAIN LOGIN\n");
}

static void
answer_ehlo(struct conn *c)
{
	bool clear = !c->secure && server.tls != NEVER_TLS;
	struct buf lines = { 0 }, out = { 0 };
	struct str rest, line;

	if (c->refused) {
		say(c, "503 5.5.1 no service here");
		return;
	}
	buf_adds(&lines, "localhost\n");
	/* RFC 5321 4.1.1.1: HELO asks for no extensions. */
	if (c->extended && (clear ? server.has_offer_clear : server.has_offer))
		buf_addstr(&lines, buf_str(clear ? &server.offer_clear : &server.offer));
	else if (c->extended)
		add_usual_offers(c, &lines);
	rest = buf_str(&lines);
	while (str_line(&rest, &line))
		buf_addf(&out, "250%c%.*s\r\n", rest.len > 0 ? '-' : ' ', (int)line.len, line.p);
	say_bytes(c, buf_str(&out));
	buf_free(&lines);
	buf_free(&out);
}

static void
answer_starttls(struct conn *c)
{
	if (c->secure || server.tls != AFTER_STARTTLS)
		say(c, "503 5.5.1 no STARTTLS now");
	else
		say(c, "220 2.0.0 go ahead");
}

void
forget_mail(struct conn *c)
{
	c->in_mail = false;
	c->in_chunks = false;
	c->chunk_refused = false;
	c->recipients = 0;
	buf_clear(&c->envelope);
	buf_clear(&c->text);
}

static void
answer_mail(struct conn *c)
{
	struct str rest = c->args, offered;
	uint64_t limit, size;

	note_mail();
	if (c->refused || !c->greeted || c->in_mail) {
		say(c, "503 5.5.1 not now");
		return;
	}
	if (!server.no_auth && !c->authenticated) {
		say(c, "530 5.7.0 authentication required");
		return;
	}
	if (find_offer(c, "SIZE", &offered) && codec_number(offered, UINT64_MAX, &limit) && limit > 0) {
		while (rest.len > 0) {
			struct str word = str_word(&rest);

			if (str_casestarts(word, "SIZE=") && codec_number((struct str){
			    word.p + 5, word.len - 5 }, UINT64_MAX, &size) && size > limit) {
				say(c, "552 5.3.4 too large");
				return;
			}
		}
	}
	say(c, "250 2.1.0 ok");
}

static void
answer_rcpt(struct conn *c)
{
	say(c, c->in_mail ? "250 2.1.5 ok" : "503 5.5.1 MAIL first");
}

static void
answer_data(struct conn *c)
{
	if (!c->in_mail)
		say(c, "503 5.5.1 MAIL first");
	else if (c->recipients == 0)
		say(c, "554 5.5.1 no valid recipients");
	else
		say(c, "354 go ahead");
}

static void
answer_dot(struct conn *c)
{
	if (c->text_seen > TEXT_MAX)
		say(c, "552 5.3.4 too large");
	else if (c->recipients == 0)
		say(c, "554 5.5.1 no valid recipients");
	else
		say(c, "250 2.0.0 ok: taken");
}

/* A message that nobody shall have stays open until RSET, as with Postfix. */
static void
answer_bdat(struct conn *c)
{
	struct str rest = c->args;
	uint64_t n;

	if (!codec_number(str_word(&rest), UINT64_MAX, &n))
		say(c, "501 5.5.4 BDAT how much?");
	else if (!c->in_mail || c->chunk_refused)
		say(c, "503 5.5.1 no transaction for it");
	else if (c->recipients == 0)
		say(c, "554 5.5.1 no valid recipients");
	else if (c->text_seen > TEXT_MAX)
		say(c, "552 5.3.4 too large");
	else if (c->in_chunks)
		say(c, "250 2.0.0 ok: %llu octets", (unsigned long long)n);
	else
		say(c, "250 2.0.0 ok: taken");
}

static void
answer_ok(struct conn *c)
{
	say(c, "250 2.0.0 ok");
}

static void
answer_quit(struct conn *c)
{
	say(c, "221 2.0.0 bye");
}

static void
answer_unknown(struct conn *c)
{
	say(c, "500 5.5.1 no such command");
}

static void (*const usual[EVENTS])(struct conn *c) = {
	[GREETING] = answer_greeting, [EHLO] = answer_ehlo, [STARTTLS] = answer_starttls,
	[HANDSHAKE] = shake_hands, [AUTH] = answer_auth, [AUTH_RESPONSE] = answer_auth_response,
	[MAIL] = answer_mail, [RCPT] = answer_rcpt, [DATA] = answer_data, [DOT] = answer_dot,
	[BDAT] = answer_bdat,
	[RSET] = answer_ok, [NOOP] = answer_ok, [QUIT] = answer_quit, [UNKNOWN] = answer_unknown,
};

void
answer_as_usual(struct conn *c)
{
	if (usual[c->event] != NULL)
		usual[c->event](c);
}
