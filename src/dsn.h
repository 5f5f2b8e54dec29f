/* dsn: what a sender wishes of a message's way: when to be told, what to get
 * back, how it may be carried (RFC 3461, 6152, 6531, 8689).
 *
 * Asked by options of sendmail or by parameters of MAIL and RCPT, carried in
 * the envelope, passed on where the smarthost offers it.  The words are read
 * and written here, so that all three mean the same. */
#ifndef DSN_H
#define DSN_H

#include <stdbool.h>

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

#define DSN_ENVID_MAX 100       /* octets of an ENVID in xtext, section 4.4 */
#define DSN_ORCPT_MAX 500       /* octets of an ORCPT, section 4.2 */

/* Zero wishes nothing. */
struct wishes {
	enum dsn_return ret;
	enum dsn_body body;
	char *envid;            /* in its wire form, xtext; NULL: none */
	bool smtputf8;          /* RFC 6531 */
	bool requiretls;        /* RFC 8689 */
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
