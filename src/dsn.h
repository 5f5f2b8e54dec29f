/* dsn: what a sender wishes of a message's way: when to be told, what to get
 * back, how it may be carried, and when (RFC 2852, 3461, 4865, 6152, 6531, 6710, 8689).
 *
 * Asked by options of sendmail or by parameters of MAIL and RCPT, carried in
 * the envelope, passed on where the smarthost offers it.  The words are read
 * and written here, so that all three mean the same. */
#ifndef DSN_H
#define DSN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"

/* NOTIFY (RFC 3461 section 4.1): never, or any of the others. */
enum {
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
};

enum dsn_return {               /* RET, section 4.3 */
	DSN_RETURN_UNSAID,
	DSN_RETURN_FULL,
	DSN_RETURN_HEADERS,
};

enum dsn_body {                 /* BODY, RFC 6152 section 2 */
	DSN_BODY_UNSAID,        /* the text itself decides */
	DSN_BODY_7BIT,
	DSN_BODY_8BITMIME,
};

enum dsn_by {                   /* BY, RFC 2852 section 4 */
	DSN_BY_UNSAID,
	DSN_BY_RETURN,          /* R: too late is never; the seconds are then above zero */
	DSN_BY_NOTIFY,          /* N: it is sent all the same, and the sender is told */
};

#define DSN_BY_MAX 999999999    /* seconds, either way */
#define DSN_PRIORITY_MAX 9      /* either way, RFC 6710 section 4.1 */
#define DSN_HOLD_MAX (366 * 24 * 60 * 60)       /* seconds; what is for a later year is a mistake */

#define DSN_ENVID_MAX 100       /* octets of an ENVID in xtext, section 4.4 */
#define DSN_ORCPT_MAX 500       /* octets of an ORCPT, section 4.2 */

/* Zero wishes nothing. */
struct wishes {
	enum dsn_return ret;
	enum dsn_body body;
	char *envid;            /* in its wire form, xtext; NULL: none */
	bool smtputf8;          /* RFC 6531 */
	bool requiretls;        /* RFC 8689 */
	enum dsn_by by;
	bool by_trace;          /* T: each relay shall tell */
	int32_t by_seconds;     /* from its arrival here */
	/* FUTURERELEASE.  Kept here until then, whatever the smarthost offers: here its
	 * owner can still see it, and take it back. */
	time_t hold_until;      /* 0: not said */
	uint32_t hold_for;      /* seconds: the same, until it is taken; in no envelope */
	int priority;           /* MT-PRIORITY; 0, which is everybody's, is not said */
};
void wishes_free(struct wishes *w);
void wishes_copy(struct wishes *to, const struct wishes *from);

/* Each answers false for what is not that word, without case.  notify: "never",
 * or a list with commas of "success", "failure", "delay". */
bool dsn_parse_notify(struct str s, unsigned *notify);
bool dsn_parse_return(struct str s, enum dsn_return *ret);        /* "full", "hdrs" */
bool dsn_parse_body(struct str s, enum dsn_body *body);           /* "7BIT", "8BITMIME" */
/* The words as the wire and the queue have them: "SUCCESS,FAILURE", "FULL",
 * "8BITMIME". */
void dsn_put_notify(struct buf *out, unsigned notify);
const char *dsn_return_word(enum dsn_return ret);
const char *dsn_body_word(enum dsn_body body);

/* "SECONDS;R", "SECONDS;N", with "T" behind it or not, into w; and back, with the
 * seconds that are left by now. */
bool dsn_parse_by(struct str s, struct wishes *w);
void dsn_put_by(struct buf *out, const struct wishes *w, int32_t seconds);
/* "-9" to "9". */
bool dsn_parse_priority(struct str s, int *priority);
/* When a message that arrived then has to be there, or else is returned; 0: never. */
time_t dsn_deadline(const struct wishes *w, time_t arrived);

/* May our own report about a failure, or a delay, go to the sender?  By default
 * a failure is told, and a delay too. */
bool dsn_tells_failure(unsigned notify);
bool dsn_tells_delay(unsigned notify);

/* xtext, section 4: appended to *out. */
void dsn_put_xtext(struct buf *out, struct str plain);
bool dsn_is_xtext(struct str s);
/* What xtext says; appended to *out, and not masked. */
void dsn_put_plain(struct buf *out, struct str xtext);
/* "type;xtext", at most DSN_ORCPT_MAX octets. */
bool dsn_is_orcpt(struct str s);

#endif
