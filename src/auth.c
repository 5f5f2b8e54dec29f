#include "auth.h"

#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "verdict.h"

#define WAIT_AUTH 300           /* seconds for each answer */

/* The command line limit without extensions (RFC 5321 4.5.3.1.4), CRLF included:
 * an initial response must fit into it (RFC 4954 section 4). */
#define COMMAND_MAX 512

/* Octets of a line of the exchange, CRLF included: what RFC 4954 section 4 calls enough
 * for every mechanism. */
#define RESPONSE_MAX 12288

/* One exchange. */
struct exchange {
	struct sasl *sasl;
	struct buf held;        /* an initial response too long for AUTH's own line */
	bool holds;
	struct buf said;        /* our last response, in base64: some servers say it back */
};

static size_t
base64_size(size_t len)
{
	return (len + 2) / 3 * 4;
}

/* Sends one response, in base64; what was in between is wiped. */
static void
respond(struct smtp *s, struct exchange *x, const char *before, struct str response)
{
	struct buf line = { 0 };

	buf_wipe(&x->said);
	buf_reserve(&x->said, base64_size(response.len));
	codec_base64(&x->said, response);
	s->conn->hidden = buf_str(&x->said);
	buf_reserve(&line, strlen(before) + x->said.len + 2);
	buf_adds(&line, before);
	buf_addstr(&line, buf_str(&x->said));
	buf_add(&line, "\r\n", 2);
	conn_put_unseen(s->conn, buf_str(&line));
	conn_note(s->conn, ">>> %s[hidden]", before);
	buf_wipe(&line);
}

/* Would the server have to take a longer line than any must? */
static enum outcome
judge_size(const struct buf *response, const char *mechanism, struct why *why)
{
	if (base64_size(response->len) + 2 <= RESPONSE_MAX)
		return DONE;
	return later(why, SCOPE_ACCOUNT, "5.5.6", "the password or token is too long for %s, which "
	    "takes %d octets in base64; was it the right file or command?", mechanism, RESPONSE_MAX);
}

/* AUTH and its initial response, if there is one and the line takes it. */
static enum outcome
open_auth(struct smtp *s, struct exchange *x, const char *mechanism, struct why *why)
{
	struct buf before = { 0 };
	enum outcome o = DONE;

	buf_addf(&before, "AUTH %s", mechanism);
	if (sasl_speaks_first(x->sasl)) {
		if ((o = sasl_step(x->sasl, (struct str){ 0 }, &x->held, why)) != DONE ||
		    (o = judge_size(&x->held, mechanism, why)) != DONE)
			goto out;
		if (x->held.len == 0) {
			buf_adds(&before, " =");
		} else if (before.len + 1 + base64_size(x->held.len) + 2 <= COMMAND_MAX) {
			buf_addc(&before, ' ');
			respond(s, x, buf_c(&before), buf_str(&x->held));
			buf_wipe(&x->held);
			goto out;
		} else {
			x->holds = true;
		}
	}
	buf_add(&before, "\r\n", 2);
	conn_put(s->conn, buf_str(&before));
out:
	buf_free(&before);
	return o;
}

/* One 334 and our response to it. */
static enum outcome
answer_challenge(struct smtp *s, struct exchange *x, const char *mechanism, struct why *why)
{
	struct buf challenge = { 0 }, response = { 0 };
	enum outcome o = DONE;

	if (x->holds) {
		respond(s, x, "", buf_str(&x->held));
		buf_wipe(&x->held);
		x->holds = false;
		return DONE;
	}
	if (!codec_unbase64(&challenge, str_trim(buf_str(&s->reply.text))) &&
	    !sasl_ignores_challenge(x->sasl))
		o = later(why, SCOPE_ACCOUNT, "", "the server's AUTH challenge is not base64");
	else if ((o = sasl_step(x->sasl, buf_str(&challenge), &response, why)) == DONE)
		o = judge_size(&response, mechanism, why);
	if (o == DONE) {
		respond(s, x, "", buf_str(&response));
	} else {
		/* "*" cancels; the answer to it says nothing that we do not know. */
		struct why ignored;

		conn_put(s->conn, STR("*\r\n"));
		smtp_hear(s, WAIT_AUTH, &ignored);
	}
	buf_free(&challenge);
	buf_wipe(&response);
	return o;
}

/* Is it the login itself that this reply refuses?  Not a mechanism, a command or this
 * machine's address; and what is not known counts as one, since servers count too. */
static bool
refuses_login(int code)
{
	static const int others[] = { 500, 501, 502, 503, 504, 521, 525, 530, 538 };

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (code == others[i])
			return false;
	return code / 100 == 5;
}

/* The server has ended the exchange. */
static enum outcome
judge_end(struct smtp *s, const struct exchange *x, struct auth *a, struct why *why)
{
	enum sasl_blame blame;
	const char *complaint = sasl_complaint(x->sasl, &blame);
	struct str said[] = { a->login.user };
	enum outcome o;
	size_t len;

	if (reply_class(&s->reply) == 2) {
		if (sasl_is_done(x->sasl) && !x->holds)
			return DONE;
		if (sasl_is_mutual(x->sasl))
			return later(why, SCOPE_SERVER, "4.7.0", "the server did not prove that it knows "
			    "the password (%s): somebody may stand between, and nothing was sent",
			    a->mechanism);
		return later(why, SCOPE_ACCOUNT, "4.7.0", "the server said yes before the login by %s was "
		    "over", a->mechanism);
	}
	if (blame == SASL_BLAMES_CHANNEL)
		return later(why, SCOPE_SERVER, "4.7.0", "the server sees another TLS channel than we do "
		    "(%s): somebody may stand between, and nothing was sent", complaint);
	o = verdict_of(a->login.proof == SASL_TOKEN ? PHASE_TOKEN : PHASE_AUTH, &s->reply, said, 1, why);
	a->refused = blame == SASL_BLAMES_LOGIN && refuses_login(s->reply.code);
	len = strlen(why->text);
	if (complaint[0] != '\0')
		snprintf(why->text + len, sizeof why->text - len, " (its reason: %s)", complaint);
	return o;
}

/* Which others the server's refusal leaves to be tried; SASL_FIRST: none. */
static enum sasl_turn
next_turn(const struct smtp *s, const struct exchange *x)
{
	enum sasl_blame blame;

	sasl_complaint(x->sasl, &blame);
	if (blame == SASL_BLAMES_BINDING)
		return SASL_UNBOUND;
	if (s->reply.code == 504)
		return SASL_ANOTHER;
	if (s->reply.code == 534)
		return SASL_STRONGER;
	if (s->reply.code == 432 && strcmp(s->reply.status, "4.7.12") == 0)
		return SASL_SHOWN;
	return SASL_FIRST;
}

/* One AUTH, from its first line to the server's last. */
static enum outcome
exchange(struct smtp *s, struct auth *a, enum sasl_turn *then, struct why *why)
{
	struct exchange x = { 0 };
	enum outcome o;

	*then = SASL_FIRST;
	a->refused = false;
	if ((o = sasl_start(&x.sasl, a->mechanism, &a->login, why)) != DONE ||
	    (o = open_auth(s, &x, a->mechanism, why)) != DONE)
		goto out;
	for (;;) {
		if ((o = smtp_hear_alone(s, WAIT_AUTH, why)) != DONE)
			break;
		if (s->reply.code != 334) {
			if ((o = judge_end(s, &x, a, why)) != DONE)
				*then = next_turn(s, &x);
			break;
		}
		if ((o = answer_challenge(s, &x, a->mechanism, why)) != DONE)
			break;
	}
out:
	s->conn->hidden = (struct str){ 0 };
	buf_wipe(&x.held);
	buf_wipe(&x.said);
	sasl_free(&x.sasl);
	return o;
}

enum outcome
smtp_auth(struct smtp *s, struct auth *a, struct why *why)
{
	struct str offered = buf_str(&s->offers.auth);
	enum sasl_turn then;
	struct why ignored;
	const char *other;
	enum outcome o;

	a->refused = false;
	a->mechanism = sasl_pick(offered, &a->login, SASL_FIRST, NULL, why);
	if (a->mechanism == NULL)
		return LATER;
	o = exchange(s, a, &then, why);
	if (o == DONE || then == SASL_FIRST || s->lost)
		return o;
	/* Once a connection: whoever tries all that is offered is locked out. */
	other = sasl_pick(offered, &a->login, then, a->mechanism, &ignored);
	if (other == NULL)
		return o;
	a->mechanism = other;
	return exchange(s, a, &then, why);
}
