/* options: the command line that forty years of callers know.
 *
 * One table: each letter that ten sendmails ever had, its arity as of Sendmail
 * 8.17 (every caller's idea of all others), and what it means here.  No option
 * names a file, a program or a queue to use: those that did elsewhere take their
 * argument and mean nothing.  Pure: argv in, struct call out. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "address.h"
#include "dsn.h"
#include "outcome.h"

#define OPTIONS_ARGUMENTS_MAX (4u << 20)        /* octets of all arguments together */
#define OPTIONS_WAIT_MAX (24 * 60 * 60)         /* seconds, as of the key `wait` */
#define WAIT_UNSAID (-1)

enum arity {
	NONE,           /* stands alone; others may follow in the same word: -ti */
	VALUE,          /* takes the rest of its word, or else the next word */
	GLUED,          /* takes the rest of its word, which may be empty */
	SELECT,         /* so does -q; where that is I, R, S or G alone, the next word goes
	                 * with it: "-qIid" is Sendmail's and Postfix's form, "-qI id" what
	                 * people type, and no recipient can follow here */
};

enum mode {
	MODE_DELIVER,   /* -bm */
	MODE_LIST,      /* -bp, mailq */
	MODE_ALIASES,   /* -bi, newaliases */
	MODE_VERIFY,    /* -bv */
	MODE_SMTP,      /* -bs */
	MODE_BATCH,     /* -bS */
	MODE_FLUSH,     /* -q */
};

/* What was asked for.  Strings are argv's. */
struct call {
	enum mode mode;
	bool from_header;               /* -t */
	bool dots_are_text;             /* -i */
	bool verbose;                   /* -v */
	bool interactive;               /* -odi: wait as long as the configuration says */
	bool flush;                     /* -q in any of its forms */
	const char *retry_id;           /* -qI ID, or NULL */
	const char *sender;             /* -f, -r: NULL none, "" null */
	const char *full_name;          /* -F, or NULL */
	long wait;                      /* -O wait=: seconds; WAIT_UNSAID: not given */
	unsigned notify;                /* -N */
	struct wishes wishes;           /* -R -V -B -U, some of -O; freed by call_free */
	struct address_list to;         /* arguments */
};
void call_free(struct call *c);

struct option {
	char letter;
	enum arity arity;
	/* What it does; NULL: accepted, no effect.  */
	enum outcome (*apply)(struct call *c, const char *value, struct why *why);
	const char *meaning;    /* what it is, here or elsewhere; sendmail(8) has the same words */
	const char *since;      /* of a meaning that we do not have: who had it, and why it is
	                         * ignored; else NULL */
};
extern const struct option options[];
extern const size_t options_count;

/* Reads argv without its name.  c->mode is what the name asks for, which options
 * may change; the rest is zero.  64 for what is no option, lacks its value
 * or names nobody, 65 for an argument that is no address; *c holds nothing then
 * that has to be obeyed, and is freed by call_free in every case. */
enum outcome options_read(struct call *c, char *const *argv, struct why *why);

#endif
