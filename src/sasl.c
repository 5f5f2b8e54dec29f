#include "sasl.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One row a mechanism.  start and step are columns because some mechanisms are
 * the library's and some (one line of text with a token in it) it does not have. */
struct mechanism {
	const char *name;       /* as it stands in EHLO */
	unsigned rank;          /* "auto" takes the highest; 0: only when asked for by name */
	bool speaks_first;
	bool ignores_first_challenge;
	enum outcome (*start)(struct sasl *s, struct str user, struct str secret, struct why *why);
	enum outcome (*step)(struct sasl *s, struct str challenge, struct buf *response,
	    struct why *why);
};

struct sasl {
	const struct mechanism *mechanism;
	Gsasl *library;
	Gsasl_session *session;
	bool has_stepped;
	bool is_done;
};

static enum outcome start_library(struct sasl *s, struct str user, struct str secret,
    struct why *why);
static enum outcome step_library(struct sasl *s, struct str challenge, struct buf *response,
    struct why *why);

/* PLAIN before LOGIN: both show the server the same secret, but PLAIN is a
 * standard (RFC 4616) and takes one round trip less. */
static const struct mechanism mechanisms[] = {
	{ "PLAIN", 2, true,  true, start_library, step_library },
	{ "LOGIN", 1, false, true, start_library, step_library },
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

static bool
is_offered(struct str offered, const char *name)
{
	while (offered.len > 0)
		if (str_caseis(str_word(&offered), name))
			return true;
	return false;
}

/* Says why nothing fits: what they have, what we have, what to do. */
static void
explain(struct str offered, const char *wanted, struct why *why)
{
	struct buf ours = { 0 };
	struct shown theirs = codec_show(str_trim(offered)), word = codec_show(str_of(wanted));

	for (size_t i = 0; i < COUNT(mechanisms); i++)
		buf_addf(&ours, "%s%s", i > 0 ? ", " : "", mechanisms[i].name);
	if (theirs.p[0] == '\0')
		later(why, SCOPE_ACCOUNT, "4.7.4", "the server offers no login (AUTH) here; "
		    "check host, port and tls, or set auth = none if it wants no login");
	else if (str_caseis(str_of(wanted), "auto"))
		later(why, SCOPE_ACCOUNT, "4.7.4", "the server offers %s to log in, subpost "
		    "speaks %s; ask the provider for one of these", theirs.p, buf_c(&ours));
	else if (!sasl_knows(wanted))
		later(why, SCOPE_ACCOUNT, "4.7.4", "auth = %s is not a login that subpost speaks; "
		    "it speaks %s: set auth = auto", word.p, buf_c(&ours));
	else
		later(why, SCOPE_ACCOUNT, "4.7.4", "auth = %s is set, but the server offers %s; "
		    "set auth = auto", word.p, theirs.p);
	buf_free(&ours);
}

const char *
sasl_pick(struct str offered, const char *wanted, struct why *why)
{
	bool any = str_caseis(str_of(wanted), "auto");
	const struct mechanism *best = NULL;

	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		const struct mechanism *m = &mechanisms[i];

		if (!is_offered(offered, m->name))
			continue;
		if (any ? m->rank > (best != NULL ? best->rank : 0) :
		    str_caseis(str_of(wanted), m->name))
			best = m;
	}
	if (best == NULL) {
		explain(offered, wanted, why);
		return NULL;
	}
	return best->name;
}

static enum outcome
library_failed(const struct sasl *s, int error, struct why *why)
{
	return later(why, SCOPE_ACCOUNT, "4.7.0", "the login by %s cannot go on: %s",
	    s->mechanism->name, gsasl_strerror(error));
}

static enum outcome
start_library(struct sasl *s, struct str user, struct str secret, struct why *why)
{
	int r;

	if ((r = gsasl_init(&s->library)) != GSASL_OK)
		return library_failed(s, r, why);
	if ((r = gsasl_client_start(s->library, s->mechanism->name, &s->session)) != GSASL_OK)
		return library_failed(s, r, why);
	if ((r = gsasl_property_set_raw(s->session, GSASL_AUTHID, user.len > 0 ? user.p : "",
	    user.len)) != GSASL_OK)
		return library_failed(s, r, why);
	if ((r = gsasl_property_set_raw(s->session, GSASL_PASSWORD, secret.len > 0 ? secret.p : "",
	    secret.len)) != GSASL_OK)
		return library_failed(s, r, why);
	return DONE;
}

static enum outcome
step_library(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	char *out = NULL;
	size_t len = 0;
	int r = gsasl_step(s->session, challenge.len > 0 ? challenge.p : "", challenge.len,
	    &out, &len);

	if (r == GSASL_OK || r == GSASL_NEEDS_MORE)
		buf_add(response, out, len);
	/* The response is the secret in another dress. */
	if (out != NULL)
		explicit_bzero(out, len);
	gsasl_free(out);
	if (r != GSASL_OK && r != GSASL_NEEDS_MORE)
		return library_failed(s, r, why);
	s->is_done = r == GSASL_OK;
	return DONE;
}

enum outcome
sasl_start(struct sasl **s, const char *mechanism, struct str user, struct str secret,
    struct why *why)
{
	const struct mechanism *m = find(mechanism);
	enum outcome o;

	*s = NULL;
	/* RFC 4616 section 2 uses NUL as its separator; no other mechanism has
	 * room for one either. */
	if (str_has(user, '\0'))
		return later(why, SCOPE_ACCOUNT, "4.3.5",
		    "the user of this account has a NUL octet in it; mend user in subpost.ini");
	if (str_has(secret, '\0'))
		return later(why, SCOPE_ACCOUNT, "4.3.5",
		    "the password of this account has a NUL octet in it; store it again as plain text");
	if (m == NULL)
		return later(why, SCOPE_ACCOUNT, "4.7.4",
		    "subpost does not speak the login that was chosen; set auth = auto");
	*s = mem_alloc(sizeof **s);
	(*s)->mechanism = m;
	if ((o = m->start(*s, user, secret, why)) != DONE)
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
	return !s->has_stepped && s->mechanism->ignores_first_challenge;
}

enum outcome
sasl_step(struct sasl *s, struct str challenge, struct buf *response, struct why *why)
{
	if (s->is_done)
		return later(why, SCOPE_ACCOUNT, "4.7.0",
		    "the server asks for more after the login by %s was complete",
		    s->mechanism->name);
	if (sasl_ignores_challenge(s))
		challenge = STR("");
	s->has_stepped = true;
	return s->mechanism->step(s, challenge, response, why);
}

bool
sasl_is_done(const struct sasl *s)
{
	return s->is_done;
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
	free(*s);
	*s = NULL;
}
