#include "proof.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "codec.h"
#include "notes.h"
#include "speech.h"

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define ROUNDS 4096
#define OUR_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CRAM_CHALLENGE "<1896.697170952@localhost>"

/* The value of `scram NAME=VALUE`, or of `scram NAME`; false where there is none. */
static bool
is_broken(const char *name, struct str *value)
{
	struct str rest = buf_str(&server.scram), line;

	while (str_line(&rest, &line)) {
		size_t n = str_find(line, '=');

		*value = n < line.len ? str_from(line.p + n + 1, line.len - n - 1) : STR("");
		if (str_is(str_from(line.p, n), name))
			return true;
	}
	return false;
}

/* ---- what a client says ---- */

static struct str
attribute(struct str message, char name)
{
	while (message.len > 0) {
		size_t n = str_find(message, ',');

		if (n > 1 && message.p[0] == name && message.p[1] == '=')
			return str_from(message.p + 2, n - 2);
		message = n < message.len ? str_from(message.p + n + 1, message.len - n - 1) : STR("");
	}
	return STR("");
}

/* "=2C" and "=3D" are "," and "=". */
static void
put_name(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		bool escaped = name.p[i] == '=' && i + 2 < name.len;

		buf_addc(out, !escaped ? name.p[i] : name.p[i + 1] == '2' ? ',' : '=');
		i += escaped ? 2 : 0;
	}
}

/* Octets up to the client's first message proper: "n,,", "y,,", "p=tls-exporter,,". */
static size_t
header_len(struct str said)
{
	size_t first = str_find(said, ',');
	struct str rest;

	if (first == said.len)
		return said.len;
	rest = str_from(said.p + first + 1, said.len - first - 1);
	return first + 1 + str_find(rest, ',') + (str_has(rest, ',') ? 1 : 0);
}

static enum proof
complain(struct str word, struct buf *out)
{
	buf_addf(out, "e=%.*s", (int)word.len, word.p);
	return PROOF_ASKS;
}

static enum proof
hear_first(struct conn *c, struct str said, struct buf *out)
{
	struct proof_state *p = &c->proof;
	size_t n = header_len(said);
	bool bound = str_starts(said, "p=tls-exporter,,");
	struct str bare = str_from(said.p + n, said.len - n), value, nonce = attribute(bare, 'r');

	note(c, "-- ", "scram header %.*s", (int)n, said.p);
	if (p->plus != bound || (!p->plus && !str_starts(said, "n,,") && !str_starts(said, "y,,")))
		accuse(c, "SCRAM: the wrong header for its mechanism");
	if (nonce.len < 18)
		accuse(c, "SCRAM: a nonce of %zu octets", nonce.len);
	put_name(&c->user, attribute(bare, 'n'));
	buf_add(&p->header, said.p, n);
	buf_addstr(&p->first, bare);
	if (is_broken("first-error", &value))
		return complain(value, out);
	buf_addf(&p->nonce, "%.*s%s", (int)nonce.len, nonce.p, OUR_NONCE);
	if (is_broken("nonce", &value))
		buf_cut(&p->nonce, 1);
	buf_addf(&p->second, "%sr=%s,s=%s,i=", is_broken("m-first", &value) ? "m=x," : "",
	    buf_c(&p->nonce), SALT);
	if (is_broken("i", &value))
		buf_addstr(&p->second, value);
	else
		buf_addf(&p->second, "%d", ROUNDS);
	buf_adds(&p->second, is_broken("m-last", &value) ? ",m=x" : "");
	buf_addstr(out, buf_str(&p->second));
	return PROOF_ASKS;
}

/* ---- what we know ---- */

static gnutls_mac_algorithm_t
mac_of(const struct proof_state *p)
{
	return p->digest == 20 ? GNUTLS_MAC_SHA1 : GNUTLS_MAC_SHA256;
}

static void
sign(const struct proof_state *p, const unsigned char *key, struct str text, unsigned char *out)
{
	if (gnutls_hmac_fast(mac_of(p), key, p->digest, text.p, text.len, out) < 0)
		die("HMAC failed");
}

/* RFC 5802 section 3: the proof that we expect, and the signature that we owe. */
static void
compute(const struct proof_state *p, struct str message, unsigned char *proof, unsigned char *owed)
{
	unsigned char salted[32], client[32], stored[32], key[32];
	struct buf salt = { 0 };
	gnutls_datum_t password = { (unsigned char *)(uintptr_t)server.password,
		(unsigned)strlen(server.password) }, with;

	codec_unbase64(&salt, STR(SALT));
	with = (gnutls_datum_t){ (unsigned char *)salt.p, (unsigned)salt.len };
	if (gnutls_pbkdf2(mac_of(p), &password, &with, ROUNDS, salted, p->digest) < 0)
		die("PBKDF2 failed");
	sign(p, salted, STR("Client Key"), client);
	if (gnutls_hash_fast(p->digest == 20 ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256, client,
	    p->digest, stored) < 0)
		die("hashing failed");
	sign(p, stored, message, proof);
	for (size_t i = 0; i < p->digest; i++)
		proof[i] ^= client[i];
	sign(p, salted, STR("Server Key"), key);
	sign(p, key, message, owed);
	buf_free(&salt);
}

/* Is c= the header of the first message, with the channel's binding behind it? */
static bool
is_bound(struct conn *c, struct str said)
{
	struct proof_state *p = &c->proof;
	struct buf got = { 0 }, expected = { 0 };
	gnutls_datum_t binding = { 0 };
	bool same;

	buf_addstr(&expected, buf_str(&p->header));
	if (p->plus) {
		if (gnutls_session_channel_binding(c->tls, GNUTLS_CB_TLS_EXPORTER, &binding) < 0)
			die("no channel binding");
		buf_add(&expected, binding.data, binding.size);
		gnutls_free(binding.data);
	}
	same = codec_unbase64(&got, attribute(said, 'c')) &&
	    str_eq(buf_str(&got), buf_str(&expected));
	buf_free(&got);
	buf_free(&expected);
	return same;
}

static enum proof
hear_final(struct conn *c, struct str said, struct buf *out)
{
	struct proof_state *p = &c->proof;
	struct str given = attribute(said, 'p'), value;
	struct buf message = { 0 }, got = { 0 };
	unsigned char proof[32], owed[32];
	size_t without = said.len - given.len - strlen(",p=");
	bool right;

	buf_addf(&message, "%s,%s,%.*s", buf_c(&p->first), buf_c(&p->second), (int)without, said.p);
	compute(p, buf_str(&message), proof, owed);
	right = is_bound(c, said) && str_eq(attribute(said, 'r'), buf_str(&p->nonce)) &&
	    codec_unbase64(&got, given) && got.len == p->digest &&
	    memcmp(got.p, proof, p->digest) == 0 && str_is(buf_str(&c->user), server.user);
	buf_free(&message);
	buf_free(&got);
	if (is_broken("error", &value))
		return complain(value, out);
	if (!right)
		return PROOF_BAD;
	if (is_broken("silent", &value))
		return PROOF_GOOD;
	if (is_broken("signature", &value))
		owed[0] ^= 1;
	buf_adds(out, "v=");
	codec_base64(out, str_from(owed, p->digest));
	p->proved = true;
	return PROOF_ASKS;
}

enum proof
scram_answer(struct conn *c, struct str said, struct buf *out)
{
	switch (c->proof.step++) {
	case 0:
		return hear_first(c, said, out);
	case 1:
		/* To an error in place of our first message there is nothing to be said. */
		return c->proof.second.len > 0 ? hear_final(c, said, out) : PROOF_BAD;
	default:
		if (said.len > 0)
			accuse(c, "SCRAM: something follows the proof");
		return c->proof.proved ? PROOF_GOOD : PROOF_BAD;
	}
}

enum proof
cram_answer(struct conn *c, struct str said, struct buf *out)
{
	unsigned char digest[16];
	struct buf right = { 0 };
	bool same;

	if (c->proof.step++ == 0) {
		buf_adds(out, CRAM_CHALLENGE);
		return PROOF_ASKS;
	}
	if (gnutls_hmac_fast(GNUTLS_MAC_MD5, server.password, strlen(server.password), CRAM_CHALLENGE,
	    strlen(CRAM_CHALLENGE), digest) < 0)
		die("HMAC-MD5 failed");
	buf_addf(&right, "%s ", server.user);
	for (size_t i = 0; i < sizeof(digest); i++)
		buf_addf(&right, "%02x", digest[i]);
	same = str_eq(said, buf_str(&right));
	buf_free(&right);
	buf_adds(&c->user, server.user);
	return same ? PROOF_GOOD : PROOF_BAD;
}
