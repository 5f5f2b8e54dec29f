/* sasl: picks a mechanism and answers challenges (RFC 4422, 4954).  The only
 * file that includes <gsasl.h>.
 *
 * PLAIN, LOGIN, CRAM-MD5, EXTERNAL and the SCRAM family are the library's; the two that
 * take an OAuth token it does not have, and they are one line each (bearer.h). */
#ifndef SASL_H
#define SASL_H

#include "buf.h"
#include "outcome.h"

/* What there is to show. */
enum sasl_proof {
	SASL_PASSWORD,
	SASL_TOKEN,             /* an OAuth token: only OAUTHBEARER and XOAUTH2 take it */
	SASL_CERTIFICATE,       /* shown in the handshake already: EXTERNAL */
};

/* A login to be proved.  Zero is valid but for wanted.  Strings are never NULL; all is
 * borrowed until sasl_free. */
struct sasl_login {
	const char *wanted;     /* "auto" or a mechanism's name, without case */
	enum sasl_proof proof;
	struct str user;        /* EXTERNAL: whom to be, or "" for whom the certificate names */
	struct str secret;
	const char *host;       /* which OAUTHBEARER tells */
	unsigned port;
	struct str binding;     /* tls-exporter (RFC 9266), raw; empty where there is none */
	const char *last;       /* auto takes what last worked, while it is still offered, */
	const char *avoid;      /* and none that begins so; "" = not said */
};

/* After a mechanism that the server did not take: which others may be tried. */
enum sasl_turn {
	SASL_FIRST,
	SASL_ANOTHER,           /* 504: it has no such mechanism */
	SASL_STRONGER,          /* 534: too weak */
	SASL_UNBOUND,           /* it cannot bind to the channel as we do */
	SASL_SHOWN,             /* 432 4.7.12: it needs to see the password once */
};

/* What a person may ask for in the ini, and what "auto" tries, best first.
 * offered: the words behind AUTH in the current EHLO, separated by spaces.
 * tried: what the last turn was with.  Answers the mechanism's name, or NULL with *why
 * (scope ACCOUNT): it names what was offered. */
const char *sasl_pick(struct str offered, const struct sasl_login *l, enum sasl_turn turn,
    const char *tried, struct why *why);
/* Is this word one that the ini may name?  "auto" and "none" are not asked here. */
bool sasl_knows(const char *mechanism);
/* What kind of proof it takes; of one that is not known: a password. */
enum sasl_proof sasl_takes(const char *mechanism);

struct sasl;

/* LATER, scope ACCOUNT, where the library cannot, or the login has octets that the
 * mechanism has no room for.  sasl_free wipes the library's copies. */
enum outcome sasl_start(struct sasl **s, const char *mechanism, const struct sasl_login *l,
    struct why *why);
/* Does the mechanism speak first (RFC 4422 section 5: initial response)? */
bool sasl_speaks_first(const struct sasl *s);
/* Is the content of the next challenge of no matter, even where it is no
 * base64?  True for the first one of most: Mailgun and Yahoo fill it with words. */
bool sasl_ignores_challenge(const struct sasl *s);
/* One step.  challenge: decoded from base64.  *response is raw octets, to be encoded
 * and wiped by the caller.  LATER when the exchange cannot go on: the caller then
 * cancels with "*".  Scope ACCOUNT, or SERVER where the server did not prove that it
 * knows the password: then somebody may stand between. */
enum outcome sasl_step(struct sasl *s, struct str challenge, struct buf *response, struct why *why);
/* True when we need nothing more from the server (its proof, where the
 * mechanism has one, was checked): only then does a 235 count. */
bool sasl_is_done(const struct sasl *s);
/* Does the mechanism make the server prove that it knows the password? */
bool sasl_is_mutual(const struct sasl *s);

/* What a server says of a login in a challenge, before it refuses it. */
enum sasl_blame {
	SASL_BLAMES_LOGIN,      /* also where it says nothing */
	SASL_BLAMES_BINDING,    /* it cannot bind as we do: the password was not looked at */
	SASL_BLAMES_CHANNEL,    /* it sees another channel than we do: somebody stands between */
	SASL_BLAMES_NOBODY,     /* trouble of its own */
};
/* Its word for it, masked; "" where it said nothing. */
const char *sasl_complaint(const struct sasl *s, enum sasl_blame *blame);
void sasl_free(struct sasl **s);

#endif
