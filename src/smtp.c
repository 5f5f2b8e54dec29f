#include "smtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt.h"
#include "codec.h"
#include "file.h"
#include "sasl.h"
#include "verdict.h"

/* Seconds to wait for an answer (RFC 5321 section 4.5.3.2: at least these). */
enum {
	WAIT_GREETING = 300,    /* .1 */
	WAIT_EHLO = 300,
	WAIT_MAIL = 300,        /* .2 */
	WAIT_RCPT = 300,        /* .3 */
	WAIT_DATA = 120,        /* .4 */
	WAIT_BLOCK = 180,       /* .5: for each block that does not move */
	WAIT_TEXT = 600,        /* .6: the longest, so that nothing is sent twice */
	WAIT_HANDSHAKE = 60,
	WAIT_QUIT = 5,          /* after success its answer changes nothing */
};

/* The command line limit without extensions (RFC 5321 4.5.3.1.4), CRLF included:
 * an initial response must fit into it (RFC 4954 section 4). */
#define COMMAND_MAX 512
#define DSN_ROOM 500            /* what RCPT may have more with DSN (RFC 3461 section 4) */

#define CHUNK 65536             /* octets of text at a time */

void
smtp_free(struct smtp *s)
{
	reply_free(&s->reply);
	buf_free(&s->offers.auth);
	*s = (struct smtp){ 0 };
}

/* One reply.  After a failure, and after a 421, nothing more can be said. */
static enum outcome
hear(struct smtp *s, double seconds, struct why *why)
{
	enum outcome o = conn_reply(s->conn, &s->reply, seconds, why);

	if (o != DONE || s->reply.code == 421)
		s->lost = true;
	return o;
}

/* A reply that must be 2yz; anything else gets its verdict. */
static enum outcome
hear_yes(struct smtp *s, enum phase phase, double seconds, struct why *why)
{
	enum outcome o = hear(s, seconds, why);

	if (o != DONE)
		return o;
	return reply_class(&s->reply) == 2 ? DONE : verdict_of(phase, &s->reply, NULL, 0, why);
}

/* ---- the session -------------------------------------------------------- */

enum outcome
smtp_greet(struct smtp *s, struct why *why)
{
	enum outcome o = hear_yes(s, PHASE_GREETING, WAIT_GREETING, why);
	size_t len;

	if (o == DONE)
		return smtp_ehlo(s, why);
	/* It may wait for our first octet as we do for its. */
	if (why->code == 0 && s->reply.broken == NULL && s->conn->tls == NULL) {
		len = strlen(why->text);
		snprintf(why->text + len, sizeof why->text - len, "; check port and tls "
		    "(587: starttls, 465: implicit)");
	}
	return o;
}

static void
note_offer(struct offers *offers, struct str line)
{
	struct str rest = str_trim(line), word = str_word(&rest);
	uint64_t v;

	if (str_caseis(word, "STARTTLS")) {
		offers->starttls = true;
	} else if (str_caseis(word, "PIPELINING")) {
		offers->pipelining = true;
	} else if (str_caseis(word, "8BITMIME")) {
		offers->eight_bit = true;
	} else if (str_caseis(word, "DSN")) {
		offers->dsn = true;
	} else if (str_caseis(word, "SMTPUTF8")) {
		offers->smtputf8 = true;
	} else if (str_caseis(word, "REQUIRETLS")) {
		offers->requiretls = true;
	} else if (str_caseis(word, "SIZE")) {
		offers->size = true;
		/* 0, nothing and nonsense all mean: no limit told. */
		if (codec_number(str_trim(rest), UINT64_MAX, &v))
			offers->size_max = v;
	} else if (str_casestarts(word, "AUTH") && (word.len == 4 || word.p[4] == '=')) {
		/* "AUTH=LOGIN" is what servers older than RFC 2554 say, besides or alone. */
		if (word.len > 5) {
			buf_addstr(&offers->auth, str_from(word.p + 5, word.len - 5));
			buf_addc(&offers->auth, ' ');
		}
		buf_addstr(&offers->auth, rest);
		buf_addc(&offers->auth, ' ');
	}
}

enum outcome
smtp_ehlo(struct smtp *s, struct why *why)
{
	struct str rest, line;
	enum outcome o;

	buf_free(&s->offers.auth);
	s->offers = (struct offers){ 0 };
	s->fresh = true;
	conn_putf(s->conn, "EHLO %s\r\n", s->helo);
	if ((o = hear_yes(s, PHASE_EHLO, WAIT_EHLO, why)) != DONE)
		return o;
	rest = buf_str(&s->reply.text);
	str_line(&rest, &line);         /* the first is the server's name */
	while (str_line(&rest, &line))
		note_offer(&s->offers, line);
	return DONE;
}

enum outcome
smtp_starttls(struct smtp *s, struct tls *tls, struct why *why)
{
	enum outcome o;

	if (!s->offers.starttls)
		return later(why, SCOPE_SERVER, "4.7.10", "the server offers no encryption (STARTTLS); "
		    "nothing was sent; if the provider uses port 465, set port = 465");
	conn_put(s->conn, STR("STARTTLS\r\n"));
	if ((o = hear_yes(s, PHASE_STARTTLS, WAIT_EHLO, why)) != DONE)
		return o;
	if ((o = conn_start_tls(s->conn, tls, WAIT_HANDSHAKE, why)) != DONE) {
		s->lost = true;
		return o;
	}
	return smtp_ehlo(s, why);
}

/* Sends one response, in base64; what was in between is wiped. */
static void
respond(struct smtp *s, const char *before, struct str response)
{
	struct buf line = { 0 };

	buf_reserve(&line, strlen(before) + response.len / 3 * 4 + 8);
	buf_adds(&line, before);
	codec_base64(&line, response);
	buf_add(&line, "\r\n", 2);
	conn_put_unseen(s->conn, buf_str(&line));
	conn_note(s->conn, ">>> %s[hidden]", before);
	buf_wipe(&line);
}

/* AUTH and its initial response, if there is one and the line takes it. */
static enum outcome
open_auth(struct smtp *s, struct sasl *sasl, const char *mechanism, struct buf *held,
    struct why *why)
{
	struct buf before = { 0 };
	enum outcome o = DONE;

	buf_addf(&before, "AUTH %s", mechanism);
	if (sasl_speaks_first(sasl)) {
		o = sasl_step(sasl, (struct str){ 0 }, held, why);
		if (o == DONE && held->len == 0) {
			buf_adds(&before, " =");
		} else if (before.len + 1 + (held->len + 2) / 3 * 4 + 2 <= COMMAND_MAX) {
			buf_addc(&before, ' ');
			respond(s, buf_c(&before), buf_str(held));
			buf_wipe(held);
			buf_free(&before);
			return o;
		}
	}
	buf_add(&before, "\r\n", 2);
	if (o == DONE)
		conn_put(s->conn, buf_str(&before));
	buf_free(&before);
	return o;
}

/* One 334 and our response to it.  held: an initial response too long for AUTH's
 * own line goes first. */
static enum outcome
answer_challenge(struct smtp *s, struct sasl *sasl, struct buf *held, struct why *why)
{
	struct buf challenge = { 0 }, response = { 0 };
	enum outcome o = DONE;

	if (held->len > 0) {
		respond(s, "", buf_str(held));
		buf_wipe(held);
		return DONE;
	}
	if (!codec_unbase64(&challenge, str_trim(buf_str(&s->reply.text))) &&
	    !sasl_ignores_challenge(sasl))
		o = later(why, SCOPE_ACCOUNT, "", "the server's AUTH challenge is not base64");
	else
		o = sasl_step(sasl, buf_str(&challenge), &response, why);
	if (o == DONE) {
		respond(s, "", buf_str(&response));
	} else {
		/* "*" cancels; the answer to it says nothing that we do not know. */
		struct why ignored;

		conn_put(s->conn, STR("*\r\n"));
		hear(s, WAIT_EHLO, &ignored);
	}
	buf_free(&challenge);
	buf_wipe(&response);
	return o;
}

enum outcome
smtp_auth(struct smtp *s, const char *wanted, struct str user, struct str secret,
    struct why *why)
{
	const char *mechanism;
	struct sasl *sasl = NULL;
	struct buf held = { 0 };
	enum outcome o;

	mechanism = sasl_pick(buf_str(&s->offers.auth), wanted, why);
	if (mechanism == NULL)
		return LATER;
	if ((o = sasl_start(&sasl, mechanism, user, secret, why)) != DONE ||
	    (o = open_auth(s, sasl, mechanism, &held, why)) != DONE)
		goto out;
	for (;;) {
		if ((o = hear(s, WAIT_EHLO, why)) != DONE)
			break;
		if (s->reply.code != 334) {
			o = reply_class(&s->reply) == 2 && sasl_is_done(sasl) ? DONE :
			    verdict_of(PHASE_AUTH, &s->reply, &user, 1, why);
			break;
		}
		if ((o = answer_challenge(s, sasl, &held, why)) != DONE)
			break;
	}
out:
	buf_wipe(&held);
	sasl_free(&sasl);
	return o;
}

void
smtp_quit(struct smtp *s)
{
	struct why ignored;

	if (s->lost || s->conn == NULL || s->conn->fd < 0)
		return;
	conn_put(s->conn, STR("QUIT\r\n"));
	conn_reply(s->conn, &s->reply, WAIT_QUIT, &ignored);
	s->lost = true;
}

/* ---- one message ---------------------------------------------------------- */

/* Everyone who has no answer yet gets this one. */
static void
answer_all(struct smtp_message *m, const bool *accepted, enum outcome o, const struct why *why)
{
	for (size_t i = 0; i < m->n; i++) {
		if (accepted != NULL && !accepted[i])
			continue;
		m->outcome[i] = o;
		m->why[i] = *why;
	}
}

static bool
is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

/* Can it be said to this server?  What is neither ASCII nor UTF-8 to none (RFC 6531
 * section 3.3). */
static bool
is_sayable(const struct smtp *s, const char *address)
{
	struct str whole = str_of(address);

	return is_ascii(whole) || (s->offers.smtputf8 && codec_is_utf8(whole));
}

/* Looks for an octet over 127 up to the empty line; true when one of the two is
 * found.  *last: the octet before s. */
static bool
scan_header(struct str s, char *last, bool *found)
{
	for (size_t i = 0; i < s.len; i++) {
		*found = (unsigned char)s.p[i] > 0x7f;
		if (*found || (s.p[i] == '\n' && *last == '\n'))
			return true;
		*last = s.p[i];
	}
	return false;
}

/* Is its header not ASCII?  What cannot be read of it is seen when it is sent. */
static bool
has_8bit_header(const struct smtp_message *m)
{
	uint64_t at = m->head_len;
	char chunk[4096], last = '\n';
	bool found = false, over = scan_header(m->head, &last, &found);
	size_t n;

	while (!over && at < m->text_len) {
		uint64_t left = m->text_len - at;

		if (file_read_at(m->fd, chunk, left < sizeof chunk ? (size_t)left : sizeof chunk,
		    m->text_at + (off_t)at, &n) < 0 || n == 0)
			break;
		over = scan_header(str_from(chunk, n), &last, &found);
		at += n;
	}
	return found;
}

/* An address that is not ASCII may only be said with it (RFC 6531 section 3.4);
 * a wish for it is about the header, and is granted where it can be. */
static bool
wants_smtputf8(const struct smtp_message *m)
{
	bool wanted = m->wishes.smtputf8 || !is_ascii(str_of(m->from));

	for (size_t i = 0; i < m->n && !wanted; i++)
		wanted = !is_ascii(str_of(m->to[i].address));
	return wanted;
}

static void
put_mail(struct smtp *s, const struct smtp_message *m)
{
	const struct wishes *w = &m->wishes;

	conn_putf(s->conn, "MAIL FROM:<%s>", m->from);
	if (s->offers.size)
		conn_putf(s->conn, " SIZE=%llu", (unsigned long long)m->size);
	if (m->eight_bit && s->offers.eight_bit)
		conn_put(s->conn, STR(" BODY=8BITMIME"));
	if (s->offers.smtputf8 && wants_smtputf8(m))
		conn_put(s->conn, STR(" SMTPUTF8"));
	if (w->requiretls)
		conn_put(s->conn, STR(" REQUIRETLS"));
	if (s->offers.dsn && w->ret != DSN_RETURN_UNSAID)
		conn_putf(s->conn, " RET=%s", dsn_return_word(w->ret));
	if (s->offers.dsn && w->envid != NULL)
		conn_putf(s->conn, " ENVID=%s", w->envid);
	conn_put(s->conn, STR("\r\n"));
}

static void
put_rcpt(struct smtp *s, const struct smtp_message *m, size_t i)
{
	const struct recipient *r = &m->to[i];
	struct buf line = { 0 };

	buf_addf(&line, "RCPT TO:<%s>", r->address);
	if (s->offers.dsn && r->notify != 0) {
		buf_adds(&line, " NOTIFY=");
		dsn_put_notify(&line, r->notify);
	}
	/* It only explains; a line too long for it must not cost the recipient. */
	if (s->offers.dsn && r->orcpt != NULL &&
	    line.len + strlen(r->orcpt) + strlen(" ORCPT=\r\n") <= COMMAND_MAX + DSN_ROOM)
		buf_addf(&line, " ORCPT=%s", r->orcpt);
	buf_adds(&line, "\r\n");
	conn_put(s->conn, buf_str(&line));
	buf_free(&line);
}

/* Parameters that a message can do without: did we say one?  Not so SMTPUTF8 and
 * REQUIRETLS. */
static bool
has_spare(const struct smtp *s, const struct smtp_message *m)
{
	const struct wishes *w = &m->wishes;

	return s->offers.size || (m->eight_bit && s->offers.eight_bit) ||
	    (s->offers.dsn && (w->ret != DSN_RETURN_UNSAID || w->envid != NULL));
}

static bool
has_spare_for(const struct smtp *s, const struct recipient *r)
{
	return s->offers.dsn && (r->notify != 0 || r->orcpt != NULL);
}

/* Is it about a parameter: 555 (RFC 5321 section 4.1.1.11), or what servers from
 * before it say, told by the status code from all else that these may mean? */
static bool
spurns(int code, const char *status)
{
	return code == 555 || ((code == 501 || code == 504) && strcmp(status, "5.5.4") == 0);
}

/* The answer to one RCPT.  LATER only when the dialogue has ended. */
static enum outcome
hear_rcpt(struct smtp *s, struct smtp_message *m, size_t i, bool *accepted, struct why *why)
{
	struct str said[] = { str_of(m->to[i].address), str_of(m->from), str_of(m->to[i].orcpt),
		str_of(m->wishes.envid) };
	enum outcome o = hear(s, WAIT_RCPT, why);

	if (o != DONE)
		return o;
	accepted[i] = reply_class(&s->reply) == 2;
	if (accepted[i])
		return DONE;
	m->outcome[i] = verdict_of(PHASE_RCPT, &s->reply, said, 4, &m->why[i]);
	if (has_spare_for(s, &m->to[i]) && spurns(s->reply.code, s->reply.status))
		s->spurned = true;
	return DONE;
}

static size_t
count_accepted(const bool *accepted, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += accepted[i];
	return count;
}

/* A negative answer about the whole message, which may name any of its addresses,
 * and whatever else the caller chose of what we said. */
static enum outcome
judge(const struct smtp *s, enum phase phase, const struct smtp_message *m, struct why *why)
{
	struct str *said = mem_grow(NULL, 2 * m->n + 2, sizeof *said);
	size_t n = 0;
	enum outcome o;

	for (size_t i = 0; i < m->n; i++) {
		said[n++] = str_of(m->to[i].address);
		said[n++] = str_of(m->to[i].orcpt);
	}
	said[n++] = str_of(m->from);
	said[n++] = str_of(m->wishes.envid);
	o = verdict_of(phase, &s->reply, said, n, why);
	free(said);
	return o;
}

/* Is more here than was asked for?  Which answer belongs to which command is
 * then unknown, and the refusal of one recipient might be read as another's.
 * But a server that leaves may say 421 at any time (RFC 5321 section 3.8). */
static bool
is_out_of_step(struct smtp *s)
{
	return conn_has_surprise(s->conn) && s->conn->in.len > 0 &&
	    !str_starts(buf_str(&s->conn->in), "421");
}

/* No text was sent, so nobody's answer so far is lost by asking again. */
static void
break_off(struct smtp *s, struct smtp_message *m, bool *accepted, const struct why *why)
{
	memset(accepted, 0, m->n * sizeof *accepted);
	answer_all(m, NULL, LATER, why);
	s->lost = true;
}

static void
explain_step(struct why *why)
{
	later(why, SCOPE_SERVER, "4.5.0", "the server gave an answer that it was not asked for");
}

/* The answer to DATA.  *asked: the text is asked for; else everyone has an answer. */
static enum outcome
hear_data(struct smtp *s, struct smtp_message *m, bool *accepted, bool *asked, struct why *why)
{
	enum outcome o = hear(s, WAIT_DATA, why);
	bool too_much;

	if (o != DONE)
		return o;
	too_much = is_out_of_step(s);
	*asked = s->reply.code == 354 && !too_much;
	if (*asked)
		return DONE;
	o = judge(s, PHASE_DATA, m, why);
	if (too_much)
		explain_step(why);
	/* A yes that is not 354 leaves both sides with different ideas of what
	 * comes next (RFC 5321 section 3.3). */
	if (too_much || reply_class(&s->reply) < 4)
		break_off(s, m, accepted, why);
	else
		answer_all(m, accepted, o, why);
	return DONE;
}

/* The answer to MAIL: yes, or everybody's. */
static enum outcome
hear_mail(struct smtp *s, struct smtp_message *m, bool *refused, struct why *why)
{
	struct str said[] = { str_of(m->from), str_of(m->wishes.envid) };
	enum outcome o = hear(s, WAIT_MAIL, why);

	if (o != DONE)
		return o;
	*refused = reply_class(&s->reply) != 2;
	if (!*refused) {
		s->fresh = false;
		return DONE;
	}
	answer_all(m, NULL, verdict_of(PHASE_MAIL, &s->reply, said, 2, why), why);
	if (has_spare(s, m) && spurns(s->reply.code, s->reply.status))
		s->spurned = true;
	return DONE;
}

/* The answers to MAIL, RCPT... and DATA, in the order of the commands.  lock_step:
 * each command is written only when the last one was answered.  DONE: the text
 * is asked for, or an answer stands for everyone (then *asked is false). */
static enum outcome
converse(struct smtp *s, struct smtp_message *m, bool *accepted, bool *asked, struct why *why)
{
	bool lock_step = !s->offers.pipelining, refused = false;
	struct why ignored;
	enum outcome o;

	put_mail(s, m);
	for (size_t i = 0; !lock_step && i < m->n; i++)
		put_rcpt(s, m, i);
	if (!lock_step)
		conn_put(s->conn, STR("DATA\r\n"));

	if ((o = hear_mail(s, m, &refused, why)) != DONE || (refused && (lock_step || s->lost)))
		return o;
	for (size_t i = 0; i < m->n; i++) {
		if (lock_step && is_out_of_step(s))
			goto broken;
		if (lock_step)
			put_rcpt(s, m, i);
		/* Without MAIL, what is said to its RCPTs belongs to no transaction. */
		if ((o = refused ? hear(s, WAIT_RCPT, &ignored) : hear_rcpt(s, m, i, accepted, why)) != DONE)
			return o;
	}
	if (lock_step && is_out_of_step(s))
		goto broken;
	if (lock_step && count_accepted(accepted, m->n) == 0)
		return DONE;
	if (lock_step)
		conn_put(s->conn, STR("DATA\r\n"));
	return hear_data(s, m, accepted, asked, why);
broken:
	explain_step(why);
	break_off(s, m, accepted, why);
	return DONE;
}

/* Text as the door wants it, a chunk at a time: what is written goes while the
 * next piece is read; the last piece stays for the final dot, so that a small
 * message is one write. */
static enum outcome
put_text(struct smtp *s, struct adapt *adapt, struct str text, struct buf *wire, struct why *why)
{
	enum outcome o;

	while (text.len > 0) {
		size_t n = text.len < CHUNK ? text.len : CHUNK;

		if ((o = conn_flush(s->conn, WAIT_BLOCK, why)) != DONE)
			return o;
		buf_clear(wire);
		adapt_feed(adapt, str_from(text.p, n), wire);
		conn_put_unseen(s->conn, buf_str(wire));
		text = str_from(text.p + n, text.len - n);
	}
	return DONE;
}

/* The text up to, but not including, what the final dot goes out with. */
static enum outcome
send_text(struct smtp *s, struct smtp_message *m, struct why *why)
{
	struct adapt adapt = { 0 };
	struct buf wire = { 0 };
	char *chunk = mem_alloc(CHUNK);
	uint64_t left = m->text_len, head = m->head_len;
	off_t at = m->text_at;
	uint32_t crc = 0;
	enum outcome o = DONE;
	size_t n, skip;

	if (head > 0 && (o = put_text(s, &adapt, m->head, &wire, why)) != DONE)
		goto out;
	while (left > 0) {
		if (file_read_at(m->fd, chunk, left < CHUNK ? (size_t)left : CHUNK, at, &n) < 0 || n == 0) {
			m->damaged = true;
			m->damage = "its text cannot be read to the end";
			break;
		}
		crc = codec_crc32c(crc, chunk, n);
		skip = head < n ? (size_t)head : n;
		if ((o = put_text(s, &adapt, str_from(chunk + skip, n - skip), &wire, why)) != DONE)
			goto out;
		head -= skip;
		left -= n;
		at += (off_t)n;
	}
	if (!m->damaged && crc != m->text_crc) {
		m->damaged = true;
		m->damage = "its text is damaged: the checksum is wrong";
	}
	if (m->damaged) {
		o = later(why, SCOPE_MESSAGE, "", "%s", m->damage);
	} else {
		buf_clear(&wire);
		adapt_end(&adapt, &wire);
		conn_put_unseen(s->conn, buf_str(&wire));
		conn_note(s->conn, ">>> [%llu octets of text]", (unsigned long long)m->size);
	}
out:
	free(chunk);
	buf_free(&wire);
	return o;
}

/* A server that will have no more of a text says so and hangs up (552, as a rule):
 * what it said counts, if it was no. */
static enum outcome
hear_last_words(struct smtp *s, const struct smtp_message *m, enum outcome o, struct why *why)
{
	struct why ignored;

	if (m->damaged || !s->conn->peer_closed || s->conn->in.len == 0)
		return o;
	buf_clear(&s->conn->out);
	if (conn_reply(s->conn, &s->reply, WAIT_QUIT, &ignored) == DONE && reply_class(&s->reply) >= 4)
		return judge(s, PHASE_TEXT, m, why);
	return o;
}

/* From 354 to the answer to the final dot, for those who were accepted. */
static void
deliver(struct smtp *s, struct smtp_message *m, const bool *accepted)
{
	struct why why;
	enum outcome o = send_text(s, m, &why);

	if (o == DONE && !m->may_end(m->arg))
		o = later(&why, SCOPE_NONE, "", "nobody is left to report to");
	/* An answer before the question would be taken for the final one, and the
	 * message for sent when it is not.  Looked for last: may_end may take a while. */
	if (o == DONE && conn_has_surprise(s->conn))
		o = later(&why, SCOPE_SERVER, "4.5.0", "the server spoke or closed in the middle of a message");
	if (o != DONE) {
		o = hear_last_words(s, m, o, &why);
		s->lost = true;
		goto out;
	}
	conn_put(s->conn, STR(".\r\n"));
	o = hear(s, WAIT_TEXT, &why);
	if (o != DONE) {
		size_t len = strlen(why.text);

		snprintf(why.text + len, sizeof why.text - len,
		    "; the final dot was sent, so the message may have arrived all the same");
		goto out;
	}
	s->fresh = true;
	if (reply_class(&s->reply) == 2) {
		why = (struct why){ .code = s->reply.code };
		snprintf(why.status, sizeof why.status, "%s", s->reply.status);
		reply_show(&s->reply, why.text, sizeof why.text);
	} else {
		o = judge(s, PHASE_TEXT, m, &why);
		if (reply_class(&s->reply) == 3)
			s->lost = true;
	}
out:
	answer_all(m, accepted, o, &why);
}

/* MAIL may not stand in an open transaction (RFC 5321 section 4.1.4).  A refusal
 * is about what went before, so this message has no part in it. */
static enum outcome
start_afresh(struct smtp *s, struct why *why)
{
	enum outcome o = DONE;

	if (is_out_of_step(s)) {
		explain_step(why);
		return LATER;
	}
	if (s->fresh)
		return DONE;
	conn_put(s->conn, STR("RSET\r\n"));
	if ((o = hear(s, WAIT_MAIL, why)) != DONE)
		return o;
	s->fresh = reply_class(&s->reply) == 2;
	return s->fresh ? DONE : later(why, SCOPE_SERVER, "4.5.0", "the server refused RSET with %d",
	    s->reply.code);
}

/* The whole group was refused.  RSET is due anyway before the next MAIL; sent at
 * once, its answer proves that each refusal was read as the right recipient's. */
static void
check_step(struct smtp *s, struct smtp_message *m, bool *accepted)
{
	struct why why;

	conn_put(s->conn, STR("RSET\r\n"));
	if (hear(s, WAIT_MAIL, &why) != DONE)
		return;
	s->fresh = reply_class(&s->reply) == 2 && !is_out_of_step(s);
	if (s->fresh || s->reply.code == 421)
		return;
	explain_step(&why);
	break_off(s, m, accepted, &why);
}

/* Too large by the server's own word: not worth asking (RFC 1870 section 6.1). */
static bool
is_too_large(const struct smtp *s, struct smtp_message *m)
{
	struct why why;

	if (s->offers.size_max == 0 || m->size <= s->offers.size_max)
		return false;
	never(&why, SCOPE_MESSAGE, "5.3.4", "the message has %llu octets, the server takes %llu",
	    (unsigned long long)m->size, (unsigned long long)s->offers.size_max);
	answer_all(m, NULL, NEVER, &why);
	return true;
}

/* Why an address that is not ASCII cannot be said: 5.6.7 (RFC 6531 section 3.5). */
static enum outcome
unsayable(const struct smtp *s, enum scope scope, const char *whose, struct why *why)
{
	return never(why, scope, "5.6.7", "%s address is not ASCII, and %s", whose,
	    s->offers.smtputf8 ? "not UTF-8 either" : "the server does not offer SMTPUTF8");
}

/* What this server cannot do as the message needs it: everybody's answer. */
static bool
is_impossible(const struct smtp *s, struct smtp_message *m)
{
	struct why why;

	if (m->wishes.requiretls && s->conn->tls == NULL)
		never(&why, SCOPE_MESSAGE, "5.7.30", "the message may go by REQUIRETLS only, and this "
		    "connection is not encrypted; set `tls` for the account");
	else if (m->wishes.requiretls && !s->offers.requiretls)
		never(&why, SCOPE_MESSAGE, "5.7.30", "the message may go by REQUIRETLS only, and the "
		    "server does not offer it");
	else if (!is_sayable(s, m->from))
		unsayable(s, SCOPE_MESSAGE, "the sender's", &why);
	else if (m->wishes.smtputf8 && !s->offers.smtputf8 && has_8bit_header(m))
		never(&why, SCOPE_MESSAGE, "5.6.7", "the header is not ASCII, and the server does not "
		    "offer SMTPUTF8");
	else
		return is_too_large(s, m);
	answer_all(m, NULL, NEVER, &why);
	return true;
}

static void
send_to_all(struct smtp *s, struct smtp_message *m)
{
	bool *accepted = mem_grow(NULL, m->n, sizeof *accepted);
	bool asked = false;
	struct why why;
	enum outcome o;

	memset(accepted, 0, m->n * sizeof *accepted);
	later(&why, SCOPE_SERVER, "", "the connection ended before this recipient's turn");
	answer_all(m, NULL, LATER, &why);
	if (is_impossible(s, m))
		goto out;
	if ((o = start_afresh(s, &why)) == DONE)
		o = converse(s, m, accepted, &asked, &why);
	if (o != DONE) {
		/* Whoever was refused stays refused; the others were not answered. */
		for (size_t i = 0; i < m->n; i++)
			if (accepted[i] || m->why[i].code == 0)
				m->outcome[i] = o, m->why[i] = why;
		s->lost = true;
	} else if (asked && count_accepted(accepted, m->n) > 0) {
		deliver(s, m, accepted);
	} else if (!asked && !s->fresh && !s->lost && s->offers.pipelining) {
		check_step(s, m, accepted);
	} else if (asked) {
		/* Nobody is left, but the group had said DATA: an empty text ends it, and
		 * its answer is about nothing (RFC 2920 section 3.1). */
		conn_put(s->conn, STR(".\r\n"));
		if (hear(s, WAIT_TEXT, &why) == DONE)
			s->fresh = true;
	}
out:
	free(accepted);
}

/* Sends to some of them only. */
static void
send_to_some(struct smtp *s, struct smtp_message *m, const bool *chosen)
{
	struct smtp_message part = *m;
	struct recipient *to = mem_grow(NULL, m->n, sizeof *to);
	size_t *places = mem_grow(NULL, m->n, sizeof *places);

	part.n = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (!chosen[i])
			continue;
		to[part.n] = m->to[i];
		places[part.n++] = i;
	}
	if (part.n == 0)
		goto out;
	part.to = to;
	part.outcome = mem_alloc(part.n * sizeof *part.outcome);
	part.why = mem_alloc(part.n * sizeof *part.why);
	send_to_all(s, &part);
	for (size_t i = 0; i < part.n; i++) {
		m->outcome[places[i]] = part.outcome[i];
		m->why[places[i]] = part.why[i];
	}
	m->damaged = part.damaged;
	m->damage = part.damage;
	free(part.outcome);
	free(part.why);
out:
	free(to);
	free(places);
}

/* Once, and without all that can be spared: which of it was meant, no two servers
 * say alike.  Others may have the message by now, and that is not yet written down:
 * should we die before it is, they get it twice.  That is better than a bounce for
 * those who can be reached. */
static void
send_without_spare(struct smtp *s, struct smtp_message *m, bool *chosen)
{
	s->offers.size = s->offers.eight_bit = s->offers.dsn = false;
	for (size_t i = 0; i < m->n; i++)
		chosen[i] = spurns(m->why[i].code, m->why[i].status);
	send_to_some(s, m, chosen);
}

void
smtp_send(struct smtp *s, struct smtp_message *m)
{
	bool *chosen = mem_grow(NULL, m->n, sizeof *chosen), all = true;

	s->spurned = false;
	for (size_t i = 0; i < m->n; i++) {
		chosen[i] = is_sayable(s, m->to[i].address);
		all = all && chosen[i];
		if (!chosen[i])
			m->outcome[i] = unsayable(s, SCOPE_RECIPIENT, "the", &m->why[i]);
	}
	if (all)
		send_to_all(s, m);
	else
		send_to_some(s, m, chosen);
	if (s->spurned && !s->lost)
		send_without_spare(s, m, chosen);
	free(chosen);
}
