#include "sasl.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bearer.h"
#include "codec.h"
#include "scram.h"
#include "tls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DIGEST_MAX 32           /* octets of a digest: SHA-256 */
#define STACK_WIPED 32768       /* more than the library's deepest call puts there */

/* One row a mechanism. */
struct mechanism {
	const char *name;       /* as it stands in EHLO */
	unsigned rank;          /* "auto" takes the highest; 0: only when asked for by name */
	enum sasl_proof proof;
	bool shows_secret;      /* to the server, within TLS */
	bool speaks_first;
	bool ignores_first_challenge;
	bool binds;             /* to the TLS channel */
	size_t digest;          /* octets of its hash; SCRAM only */
	enum outcome (*start)(struct sasl *s, struct why *why);
	enum outcome (*step)(struct sasl *s, struct str challenge, struct buf *response,
	    struct why *why);
};

struct sasl {
	const struct mechanism *mechanism;
	const struct sasl_login *login;
	Gsasl *library;
	Gsasl_session *session;
	unsigned steps;
	bool is_done;
	bool spurned;           /* the server has told its complaint */
	struct buf nonce;
	char complaint[100];
	enum sasl_blame blame;
};

static enum outcome start_library(struct sasl *s, struct why *why);
static enum outcome start_token(struct sasl *s, struct why *why);
static enum outcome step_library(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);
static enum outcome step_cram(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);
static enum outcome step_scram(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);
static enum outcome step_oauth(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);
static enum outcome step_xoauth2(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);

/* SCRAM first, which never shows the password, and of it what is bound to the channel.
 * PLAIN before LOGIN: both show the server the same secret, but PLAIN is a standard
 * (RFC 4616) and takes one round trip less.  CRAM-MD5 (RFC 2195) only by name: it
 * proves nothing of the server, and makes it keep the password itself. */
static const struct mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", 6, SASL_PASSWORD, false, true, true, true, 32, start_library, step_scram },
	{ "SCRAM-SHA-1-PLUS", 5, SASL_PASSWORD, false, true, true, true, 20, start_library, step_scram },
	{ "SCRAM-SHA-256", 4, SASL_PASSWORD, false, true, true, false, 32, start_library, step_scram },
	{ "SCRAM-SHA-1", 3, SASL_PASSWORD, false, true, true, false, 20, start_library, step_scram },
	{ "PLAIN", 2, SASL_PASSWORD, true, true, true, false, 0, start_library, step_library },
	{ "LOGIN", 1, SASL_PASSWORD, true, false, true, false, 0, start_library, step_library },
	{ "CRAM-MD5", 0, SASL_PASSWORD, false, false, false, false, 0, start_library, step_cram },
	{ "OAUTHBEARER", 2, SASL_TOKEN, true, true, true, false, 0, start_token, step_oauth },
	{ "XOAUTH2", 1, SASL_TOKEN, true, true, true, false, 0, start_token, step_xoauth2 },
	{ "EXTERNAL", 1, SASL_CERTIFICATE, false, true, true, false, 0, start_library, step_library },
};

/* What the library keeps of a secret, or derives from it. */
static const Gsasl_property secret_properties[] = {
	GSASL_PASSWORD, GSASL_SCRAM_SALTED_PASSWORD, GSASL_SCRAM_SERVERKEY,
	GSASL_SCRAM_STOREDKEY,
};

static const struct mechanism *
find(const char *name)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++)
		if (str_caseis(str_of(name), mechanisms[i].name))
			return &mechanisms[i];
	return NULL;
}

bool
sasl_knows(const char *mechanism)
{
	return find(mechanism) != NULL;
}

enum sasl_proof
sasl_takes(const char *mechanism)
{
	const struct mechanism *m = find(mechanism);

	return m != NULL ? m->proof : SASL_PASSWORD;
}

/* ---- picking ---------------------------------------------------------------- */

static bool
is_offered(struct str offered, const char *name)
{
	while (offered.len > 0)
		if (str_caseis(str_word(&offered), name))
			return true;
	return false;
}

static const char *const proofs[] = {
	[SASL_PASSWORD] = "a password", [SASL_TOKEN] = "an OAuth token",
	[SASL_CERTIFICATE] = "a client certificate",
};

/* What is good to know where none of theirs is ours. */
static const struct {
	const char *offered;
	enum sasl_proof proof;
	const char *hint;
} hints[] = {
	{ "CRAM-MD5", SASL_PASSWORD, "auth = cram-md5 would do, weak as it is" },
	{ "XOAUTH2", SASL_PASSWORD, "the provider wants OAuth: set token-command" },
	{ "OAUTHBEARER", SASL_PASSWORD, "the provider wants OAuth: set token-command" },
	{ "EXTERNAL", SASL_PASSWORD, "the provider wants a client certificate: set tls-cert-file and "
	    "auth = external" },
	{ "DIGEST-MD5", SASL_PASSWORD, "DIGEST-MD5 is withdrawn (RFC 6331); ask for SCRAM or PLAIN" },
	{ "NTLM", SASL_PASSWORD, "NTLM is long broken; ask for PLAIN, LOGIN or OAuth" },
	{ "PLAIN", SASL_TOKEN, "it takes passwords: set password-command in place of token-command" },
	{ "LOGIN", SASL_TOKEN, "it takes passwords: set password-command in place of token-command" },
};

static const char *
find_hint(struct str offered, enum sasl_proof proof)
{
	for (size_t i = 0; i < COUNT(hints); i++)
		if (hints[i].proof == proof && is_offered(offered, hints[i].offered))
			return hints[i].hint;
	return "ask the provider for one of these";
}

/* Says why nothing fits: what they have, what we have, what to do. */
static void
explain(struct str offered, const struct sasl_login *l, struct why *why)
{
	struct buf ours = { 0 };
	struct shown theirs = codec_show(str_trim(offered)), word = codec_show(str_of(l->wanted));

	for (size_t i = 0; i < COUNT(mechanisms); i++)
		if (mechanisms[i].proof == l->proof && mechanisms[i].rank > 0)
			buf_addf(&ours, "%s%s", ours.len > 0 ? ", " : "", mechanisms[i].name);
	if (theirs.p[0] == '\0')
		later(why, SCOPE_ACCOUNT, "4.7.4", "the server offers no login (AUTH) here; "
		    "check host, port and tls, or set auth = none if it wants no login");
	else if (l->avoid[0] != '\0')
		later(why, SCOPE_ACCOUNT, "4.7.8", "the server has refused the password by %s, and "
		    "offers nothing else to log in with (%s); check user and password", l->avoid,
		    theirs.p);
	else if (str_caseis(str_of(l->wanted), "auto"))
		later(why, SCOPE_ACCOUNT, "4.7.4", "the server offers %s to log in; with %s subpost "
		    "speaks %s; %s", theirs.p, proofs[l->proof], buf_c(&ours),
		    find_hint(offered, l->proof));
	else if (!sasl_knows(l->wanted))
		later(why, SCOPE_ACCOUNT, "4.7.4", "auth = %s is not a login that subpost speaks; "
		    "with %s it speaks %s: set auth = auto", word.p, proofs[l->proof], buf_c(&ours));
	else if (is_offered(offered, l->wanted))
		later(why, SCOPE_ACCOUNT, "4.7.4", "auth = %s needs a TLS channel that it can bind to, as "
		    "TLS 1.3 always is; set auth = auto", word.p);
	else
		later(why, SCOPE_ACCOUNT, "4.7.4", "auth = %s is set, but the server offers %s; "
		    "set auth = auto", word.p, theirs.p);
	buf_free(&ours);
}

static bool
has_its_turn(const struct mechanism *m, enum sasl_turn turn, const struct mechanism *tried)
{
	switch (turn) {
	case SASL_FIRST:
		return true;
	case SASL_ANOTHER:
		return m != tried;
	case SASL_STRONGER:
		return m->rank > tried->rank;
	case SASL_UNBOUND:
		return !m->binds;
	case SASL_SHOWN:
		return m->shows_secret && m != tried;
	}
	return false;
}

const char *
sasl_pick(struct str offered, const struct sasl_login *l, enum sasl_turn turn,
    const char *tried, struct why *why)
{
	bool any = str_caseis(str_of(l->wanted), "auto");
	const struct mechanism *best = NULL, *before = tried != NULL ? find(tried) : NULL;

	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		const struct mechanism *m = &mechanisms[i];
		bool last = turn == SASL_FIRST && str_caseis(str_of(l->last), m->name);

		if (!is_offered(offered, m->name) || m->proof != l->proof ||
		    (m->binds && l->binding.len == 0) || !has_its_turn(m, turn, before))
			continue;
		if (any ? m->rank == 0 : !str_caseis(str_of(l->wanted), m->name))
			continue;
		if (any && l->avoid[0] != '\0' && str_casestarts(str_of(m->name), l->avoid))
			continue;
		if (best == NULL || m->rank > best->rank || last)
			best = m;
		if (last)
			break;
	}
	if (best == NULL) {
		explain(offered, l, why);
		return NULL;
	}
	return best->name;
}

/* ---- the library's ------------------------------------------------------------ */

static enum outcome
library_failed(const struct sasl *s, int error, struct why *why)
{
	return later(why, SCOPE_ACCOUNT, "4.7.0", "the login by %s cannot go on: %s",
	    s->mechanism->name, gsasl_strerror(error));
}

static int
set(struct sasl *s, Gsasl_property p, struct str value)
{
	return gsasl_property_set_raw(s->session, p, value.len > 0 ? value.p : "", value.len);
}

static enum outcome
start_library(struct sasl *s, struct why *why)
{
	const struct sasl_login *l = s->login;
	struct buf binding = { 0 };
	int r;

	if ((r = gsasl_init(&s->library)) != GSASL_OK ||
	    (r = gsasl_client_start(s->library, s->mechanism->name, &s->session)) != GSASL_OK)
		return library_failed(s, r, why);
	if (s->mechanism->proof == SASL_CERTIFICATE)
		r = l->user.len > 0 ? set(s, GSASL_AUTHZID, l->user) : GSASL_OK;
	else
		r = set(s, GSASL_AUTHID, l->user);
	/* SCRAM and CRAM-MD5 get the password from us, already hashed. */
	if (r == GSASL_OK && s->mechanism->shows_secret)
		r = set(s, GSASL_PASSWORD, l->secret);
	/* Only here: the library fails over it in SCRAM without -PLUS. */
	if (r == GSASL_OK && s->mechanism->binds) {
		codec_base64(&binding, l->binding);
		r = set(s, GSASL_CB_TLS_EXPORTER, buf_str(&binding));
		buf_free(&binding);
	}
	return r == GSASL_OK ? DONE : library_failed(s, r, why);
}

/* The library's frames hold what it derived; ours come to lie over them. */
static __attribute__((noinline)) void
wipe_stack(void)
{
	char frames[STACK_WIPED];

	explicit_bzero(frames, sizeof frames);
}

static int
call_library(struct sasl *s, struct str challenge, struct buf *response)
{
	char *out = NULL;
	size_t len = 0;
	int r = gsasl_step(s->session, challenge.len > 0 ? challenge.p : "", challenge.len,
	    &out, &len);

	wipe_stack();
	if (r == GSASL_OK || r == GSASL_NEEDS_MORE)
		buf_add(response, out, len);
	/* The response is the secret in another dress. */
	if (out != NULL)
		explicit_bzero(out, len);
	gsasl_free(out);
	s->is_done = r == GSASL_OK;
	return r;
}

static enum outcome
step_library(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	int r = call_library(s, challenge, response);

	return r == GSASL_OK || r == GSASL_NEEDS_MORE ? DONE : library_failed(s, r, why);
}

/* ---- SCRAM ----------------------------------------------------------------------- */

/* The password as it is hashed: RFC 5802 section 2.2 wants SASLprep.  It leaves ASCII as
 * it is, so that the common password is not copied about by a library that does not
 * wipe. */
static enum outcome
prepare(const struct sasl *s, struct buf *prepared, struct why *why)
{
	struct str secret = s->login->secret;
	char *made = NULL;
	bool plain = true;
	int r;

	for (size_t i = 0; i < secret.len; i++)
		plain = plain && secret.p[i] >= ' ' && secret.p[i] <= '~';
	buf_reserve(prepared, 4 * secret.len);
	buf_addstr(prepared, secret);
	if (plain)
		return DONE;
	r = gsasl_saslprep(buf_c(prepared), GSASL_ALLOW_UNASSIGNED, &made, NULL);
	wipe_stack();
	buf_wipe(prepared);
	if (r != GSASL_OK)
		return later(why, SCOPE_ACCOUNT, "4.7.0", "the password has characters that %s cannot "
		    "carry; change it, or set auth = plain", s->mechanism->name);
	buf_reserve(prepared, strlen(made));
	buf_adds(prepared, made);
	explicit_bzero(made, strlen(made));
	gsasl_free(made);
	return DONE;
}

/* Hashes the password for the library: GnuTLS does it in a tenth of the time, and nothing
 * of it is left about.  *salt has what the server's first message told. */
static enum outcome
hash_password(struct sasl *s, struct str salt, unsigned iterations, struct why *why)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char salted[DIGEST_MAX];
	char text[2 * DIGEST_MAX + 1];
	struct buf password = { 0 };
	size_t n = s->mechanism->digest;
	enum outcome o;
	int r;

	if ((o = prepare(s, &password, why)) != DONE)
		goto out;
	if (!tls_stretch(buf_str(&password), salt, iterations, salted, n)) {
		o = later(why, SCOPE_ACCOUNT, "4.7.0", "GnuTLS cannot hash the password for %s here; "
		    "set auth = plain", s->mechanism->name);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		text[2 * i] = hex[salted[i] >> 4];
		text[2 * i + 1] = hex[salted[i] & 15];
	}
	if ((r = set(s, GSASL_SCRAM_SALTED_PASSWORD, str_from(text, 2 * n))) != GSASL_OK)
		o = library_failed(s, r, why);
out:
	explicit_bzero(salted, sizeof salted);
	explicit_bzero(text, sizeof text);
	buf_wipe(&password);
	return o;
}

static enum outcome
answer_first(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	struct buf salt = { 0 };
	unsigned iterations;
	const char *wrong = scram_read_first(challenge, buf_str(&s->nonce), &salt, &iterations);
	enum outcome o;

	if (wrong != NULL)
		o = later(why, SCOPE_SERVER, "4.7.0", "the server's challenge for %s is not to be "
		    "trusted: %s; no proof was given", s->mechanism->name, wrong);
	else if ((o = hash_password(s, buf_str(&salt), iterations, why)) == DONE)
		o = step_library(s, challenge, response, why);
	buf_free(&salt);
	return o;
}

static enum outcome
step_scram(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	static const enum sasl_blame blames[] = {
		[SCRAM_BLAMES_NOBODY] = SASL_BLAMES_NOBODY, [SCRAM_BLAMES_LOGIN] = SASL_BLAMES_LOGIN,
		[SCRAM_BLAMES_BINDING] = SASL_BLAMES_BINDING,
		[SCRAM_BLAMES_CHANNEL] = SASL_BLAMES_CHANNEL,
	};
	enum scram_blame blame;
	struct str word;
	enum outcome o;

	if (s->steps == 1) {
		if ((o = step_library(s, challenge, response, why)) == DONE)
			buf_addstr(&s->nonce, scram_nonce(buf_str(response)));
		return o;
	}
	/* An empty line, and the refusal itself comes. */
	if (scram_read_error(challenge, &word, &blame)) {
		codec_mask_to(s->complaint, sizeof s->complaint, word);
		s->blame = blames[blame];
		s->spurned = true;
		return DONE;
	}
	if (s->steps == 2)
		return answer_first(s, challenge, response, why);
	if (call_library(s, challenge, response) != GSASL_OK)
		return later(why, SCOPE_SERVER, "4.7.0", "the server does not prove that it knows the "
		    "password (%s): somebody may stand between, and nothing was sent",
		    s->mechanism->name);
	return DONE;
}

/* ---- CRAM-MD5 ---------------------------------------------------------------------- */

/* RFC 2195.  The library would do it, and leave a copy of the password behind. */
static enum outcome
step_cram(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char digest[16];

	if (!tls_hmac_md5(s->login->secret, challenge, digest))
		return later(why, SCOPE_ACCOUNT, "4.7.0", "GnuTLS has no MD5 here, which CRAM-MD5 needs; "
		    "set auth = auto");
	buf_addstr(response, s->login->user);
	buf_addc(response, ' ');
	for (size_t i = 0; i < sizeof digest; i++) {
		buf_addc(response, hex[digest[i] >> 4]);
		buf_addc(response, hex[digest[i] & 15]);
	}
	s->is_done = true;
	return DONE;
}

/* ---- tokens ---------------------------------------------------------------------- */

static enum outcome
start_token(struct sasl *s, struct why *why)
{
	if (!bearer_is_token(s->login->secret))
		return later(why, SCOPE_ACCOUNT, "4.7.0", "what token-command printed is no token: it has "
		    "octets that none can have; run it at the prompt");
	if (str_has_control(s->login->user))
		return later(why, SCOPE_ACCOUNT, "4.3.5",
		    "the user of this account has a control character in it; mend user in subpost.ini");
	return DONE;
}

/* What comes back instead of a yes or a no is why the token is refused (RFC 7628 section
 * 3.2.3; Google and Microsoft do the same).  The refusal itself comes when we have
 * answered. */
static void
hear_complaint(struct sasl *s, struct str challenge, struct buf *response, const char *answer)
{
	codec_mask_to(s->complaint, sizeof s->complaint, bearer_status(challenge));
	s->spurned = true;
	s->is_done = false;
	buf_adds(response, answer);
}

static enum outcome
step_oauth(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	const struct sasl_login *l = s->login;

	(void)why;
	if (s->steps > 1) {
		hear_complaint(s, challenge, response, "\x01");
		return DONE;
	}
	bearer_put_oauth(response, l->user, l->host, l->port, l->secret);
	s->is_done = true;
	return DONE;
}

static enum outcome
step_xoauth2(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	(void)why;
	if (s->steps > 1) {
		hear_complaint(s, challenge, response, "");
		return DONE;
	}
	bearer_put_xoauth2(response, s->login->user, s->login->secret);
	s->is_done = true;
	return DONE;
}

/* ---- an exchange ------------------------------------------------------------------- */

enum outcome
sasl_start(struct sasl **s, const char *mechanism, const struct sasl_login *l, struct why *why)
{
	const struct mechanism *m = find(mechanism);
	enum outcome o;

	*s = NULL;
	/* RFC 4616 section 2 uses NUL as its separator; no other mechanism has
	 * room for one either. */
	if (str_has(l->user, '\0'))
		return later(why, SCOPE_ACCOUNT, "4.3.5",
		    "the user of this account has a NUL octet in it; mend user in subpost.ini");
	if (str_has(l->secret, '\0'))
		return later(why, SCOPE_ACCOUNT, "4.3.5",
		    "the password of this account has a NUL octet in it; store it again as plain text");
	if (m == NULL)
		return later(why, SCOPE_ACCOUNT, "4.7.4",
		    "subpost does not speak the login that was chosen; set auth = auto");
	*s = mem_alloc(sizeof **s);
	(*s)->mechanism = m;
	(*s)->login = l;
	if ((o = m->start(*s, why)) != DONE)
		sasl_free(s);
	return o;
}

bool
sasl_speaks_first(const struct sasl *s)
{
	return s->mechanism->speaks_first;
}

bool
sasl_ignores_challenge(const struct sasl *s)
{
	return s->steps == 0 && s->mechanism->ignores_first_challenge;
}

enum outcome
sasl_step(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	bool complains = s->mechanism->proof == SASL_TOKEN;

	if (s->spurned || (s->is_done && !complains))
		return later(why, SCOPE_ACCOUNT, "4.7.0",
		    "the server asks for more after the login by %s was complete",
		    s->mechanism->name);
	if (sasl_ignores_challenge(s))
		challenge = STR("");
	s->steps++;
	return s->mechanism->step(s, challenge, response, why);
}

bool
sasl_is_done(const struct sasl *s)
{
	return s->is_done;
}

bool
sasl_is_mutual(const struct sasl *s)
{
	return s->mechanism->digest > 0;
}

const char *
sasl_complaint(const struct sasl *s, enum sasl_blame *blame)
{
	*blame = s->blame;
	return s->complaint;
}

/* The library frees its copies as they are, and freed memory keeps its octets
 * until somebody else wants it: for a courier that is the rest of its life,
 * with a stranger's bytes being parsed next to it.  gsasl_property_fast answers
 * with the copy itself (and asks no callback), so it can be wiped in place. */
static void
wipe_library(Gsasl_session *session)
{
	for (size_t i = 0; i < COUNT(secret_properties); i++) {
		const char *copy = gsasl_property_fast(session, secret_properties[i]);

		if (copy != NULL)
			explicit_bzero((char *)copy, strlen(copy));
	}
}

void
sasl_free(struct sasl **s)
{
	if (*s == NULL)
		return;
	if ((*s)->session != NULL) {
		wipe_library((*s)->session);
		gsasl_finish((*s)->session);
	}
	if ((*s)->library != NULL)
		gsasl_done((*s)->library);
	buf_free(&(*s)->nonce);
	free(*s);
	*s = NULL;
}
