#include "mechanisms.h"

#include <string.h>

#include "codec.h"
#include "notes.h"
#include "proof.h"
#include "speech.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One row a mechanism: how it answers what the client says, decoded.  step counts what
 * it has heard. */
struct mechanism {
	const char *name;
	bool speaks_first;              /* the client does */
	size_t digest;
	bool plus;
	enum proof (*answer)(struct conn *c, struct str said, struct buf *out);
};

/* ---- what is shown ---- */

static enum proof
judge_login(const struct conn *c)
{
	return str_is(buf_str(&c->user), server.user) &&
	    str_is(buf_str(&c->password), server.password) ? PROOF_GOOD : PROOF_BAD;
}

/* RFC 4616: authorization identity, NUL, login, NUL, password. */
static enum proof
plain_answer(struct conn *c, struct str said, struct buf *out)
{
	size_t n = str_find(said, '\0');
	struct str rest = str_from(said.p + n, said.len - n), user;

	(void)out;
	if (rest.len == 0)
		return PROOF_BAD;
	rest = str_from(rest.p + 1, rest.len - 1);
	user = str_from(rest.p, str_find(rest, '\0'));
	buf_addstr(&c->user, user);
	if (user.len < rest.len)
		buf_add(&c->password, user.p + user.len + 1, rest.len - user.len - 1);
	return judge_login(c);
}

static enum proof
login_answer(struct conn *c, struct str said, struct buf *out)
{
	switch (c->proof.step++) {
	case 0:
		buf_adds(out, "Username:");
		return PROOF_ASKS;
	case 1:
		buf_addstr(&c->user, said);
		buf_adds(out, "Password:");
		return PROOF_ASKS;
	default:
		buf_addstr(&c->password, said);
		return judge_login(c);
	}
}

/* Nothing is said but, perhaps, whom to be: the handshake has shown the certificate. */
static enum proof
external_answer(struct conn *c, struct str said, struct buf *out)
{
	unsigned n = 0;

	(void)out;
	buf_addstr(&c->user, said);
	return c->secure && gnutls_certificate_get_peers(c->tls, &n) != NULL && n > 0 ? PROOF_GOOD :
	    PROOF_BAD;
}

/* ---- tokens ---- */

/* The password is the token.  One that is wrong gets its complaint; what is said to that
 * is another matter in each of the two. */
static enum proof
judge_token(struct conn *c, struct str said, const struct buf *right, const char *acknowledgement,
    const char *complaint, struct buf *out)
{
	if (c->proof.step++ > 0) {
		if (!str_is(said, acknowledgement))
			accuse(c, "AUTH: the wrong answer to a complaint");
		return PROOF_BAD;
	}
	buf_adds(&c->user, server.user);
	if (str_eq(said, buf_str(right)))
		return PROOF_GOOD;
	buf_adds(out, complaint);
	return PROOF_ASKS;
}

/* RFC 7628 section 3.1. */
static enum proof
oauth_answer(struct conn *c, struct str said, struct buf *out)
{
	struct str names = buf_str(&server.names), name;
	struct buf right = { 0 };
	enum proof p;

	/* Any of our names will do. */
	while (!str_eq(said, buf_str(&right)) && str_line(&names, &name)) {
		buf_clear(&right);
		buf_addf(&right, "n,a=%s,\x01host=%.*s\x01port=%u\x01" "auth=Bearer %s\x01\x01",
		    server.user, (int)name.len, name.p, server.port, server.password);
	}
	p = judge_token(c, said, &right, "\x01",
	    "{\"status\":\"invalid_token\",\"schemes\":\"bearer\",\"scope\":\"mail\"}", out);
	buf_free(&right);
	return p;
}

static enum proof
xoauth2_answer(struct conn *c, struct str said, struct buf *out)
{
	struct buf right = { 0 };
	enum proof p;

	buf_addf(&right, "user=%s\x01" "auth=Bearer %s\x01\x01", server.user, server.password);
	p = judge_token(c, said, &right, "", "{\"status\":\"401\",\"schemes\":\"bearer mac\","
	    "\"scope\":\"https://mail.example/\"}", out);
	buf_free(&right);
	return p;
}

static const struct mechanism mechanisms[] = {
	{ "PLAIN", true, 0, false, plain_answer },
	{ "LOGIN", false, 0, false, login_answer },
	{ "CRAM-MD5", false, 0, false, cram_answer },
	{ "SCRAM-SHA-1", true, 20, false, scram_answer },
	{ "SCRAM-SHA-256", true, 32, false, scram_answer },
	{ "SCRAM-SHA-1-PLUS", true, 20, true, scram_answer },
	{ "SCRAM-SHA-256-PLUS", true, 32, true, scram_answer },
	{ "OAUTHBEARER", true, 0, false, oauth_answer },
	{ "XOAUTH2", true, 0, false, xoauth2_answer },
	{ "EXTERNAL", true, 0, false, external_answer },
};

static const struct mechanism *
find(struct str name)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++)
		if (str_caseis(name, mechanisms[i].name))
			return &mechanisms[i];
	return NULL;
}

/* ---- the exchange ---- */

void
end_exchange(struct conn *c)
{
	buf_free(&c->proof.header);
	buf_free(&c->proof.first);
	buf_free(&c->proof.second);
	buf_free(&c->proof.nonce);
	c->proof = (struct proof_state){ 0 };
	c->exchanging = false;
}

void
begin_exchange(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest);
	const struct mechanism *m = find(mechanism);

	buf_clear(&c->user);
	buf_clear(&c->password);
	end_exchange(c);
	c->exchanging = true;
	c->proof.mechanism = m;
	if (m != NULL) {
		c->proof.digest = m->digest;
		c->proof.plus = m->plus;
	}
}

void
check_auth(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest), offered;

	if (c->authenticated)
		accuse(c, "AUTH again after success");
	else if (!find_offer(c, "AUTH", &offered))
		accuse(c, "AUTH was not offered");
	else if (!has_word(offered, mechanism))
		accuse(c, "AUTH %.*s was not offered", (int)mechanism.len, mechanism.p);
	if (c->in_mail)
		accuse(c, "AUTH inside a mail transaction");
}

/* Has the mechanism answer what was said. */
static void
answer(struct conn *c, struct str said)
{
	struct buf out = { 0 }, coded = { 0 };

	switch (c->proof.mechanism->answer(c, said, &out)) {
	case PROOF_ASKS:
		codec_base64(&coded, buf_str(&out));
		say(c, "334 %s", buf_c(&coded));
		break;
	case PROOF_GOOD:
		say(c, "235 2.7.0 welcome");
		break;
	case PROOF_BAD:
		say(c, "535 5.7.8 wrong user or password");
		break;
	}
	buf_free(&out);
	buf_free(&coded);
}

/* Answers a response of the exchange, or the one that came with AUTH. */
static void
answer_response(struct conn *c, struct str response)
{
	struct buf octets = { 0 };

	if (str_is(response, "*")) {
		say(c, "501 5.7.0 given up, as you wish");
	} else if (!codec_unbase64(&octets, response)) {
		accuse(c, "AUTH: not base64");
		say(c, "501 5.5.2 not base64");
	} else if (c->proof.mechanism == NULL) {
		say(c, "535 5.7.8 no way to tell");
	} else {
		answer(c, buf_str(&octets));
	}
	buf_free(&octets);
}

void
answer_auth(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest), offered;

	if (c->authenticated || c->in_mail)
		say(c, "503 5.5.1 not now");
	else if (!find_offer(c, "AUTH", &offered))
		say(c, c->secure ? "503 5.5.1 not offered" : "538 5.7.11 TLS first");
	else if (!has_word(offered, mechanism) || c->proof.mechanism == NULL)
		say(c, "504 5.5.4 no such mechanism");
	else if (rest.len > 0)
		answer_response(c, str_is(rest, "=") ? STR("") : rest);
	else if (c->proof.mechanism->speaks_first)
		say(c, "334 ");
	else
		answer(c, STR(""));
}

void
answer_auth_response(struct conn *c)
{
	answer_response(c, c->args);
}
