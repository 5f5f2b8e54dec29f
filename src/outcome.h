/* outcome: the three answers the world has, and the words that go with them.
 *
 * Everything that a sender might have to learn travels as an enum outcome and
 * a struct why, filled where the trouble is seen and only carried afterwards.
 * There is no fourth answer and no other meaning of an integer. */
#ifndef OUTCOME_H
#define OUTCOME_H

#include "buf.h"

enum outcome {
	LATER,          /* zero, because silence is LATER */
	DONE,
	NEVER,
};

/* Whose trouble it is.  Only a recipient's or a message's own trouble can
 * bounce; the others make the account wait and keep the mail. */
enum scope {
	SCOPE_NONE,
	SCOPE_RECIPIENT,
	SCOPE_MESSAGE,
	SCOPE_SENDER,   /* this sender on this account */
	SCOPE_ACCOUNT,  /* credential, quota, block */
	SCOPE_SERVER,   /* connection, TLS, names, greeting */
};

/* A reason: one printable line without line breaks, and what goes with it.
 * Foreign text in it was masked by whoever wrote it here. */
struct why {
	enum scope scope;
	int exit;               /* sysexits code for a face; 0: by the outcome */
	int code;               /* SMTP reply code; 0 where no reply was read */
	char status[12];        /* enhanced status code, RFC 3463; "" when unknown */
	char text[700];
};

/* Fill *w and return LATER or NEVER.  status may be "". */
enum outcome later(struct why *w, enum scope scope, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum outcome never(struct why *w, enum scope scope, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* What a face refuses: exit is a sysexits code.  75 is LATER, all others NEVER. */
enum outcome refuse(struct why *w, int exit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The exit status of a face that ends with this outcome: 0, 69, 75, or w->exit. */
int outcome_exit(enum outcome o, const struct why *w);

/* Names as they stand in files and between our programs: "done", "later",
 * "never"; "recipient" ...  The parsers answer false for any other word. */
const char *outcome_name(enum outcome o);
bool outcome_parse(struct str word, enum outcome *o);
const char *scope_name(enum scope s);
bool scope_parse(struct str word, enum scope *s);

#endif
