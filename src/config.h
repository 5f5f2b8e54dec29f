/* config: what the ini files say, and what follows from it.
 *
 * The user's file lies over the system's: same keys, the user's win.
 * SUBPOST_CONFIG (secure_getenv) names the only file instead.  The table of
 * keys is in keys.c, the reading of a file in inifile.c; here is which files
 * there are, what is checked across keys, and what is filled in.
 *
 * Secret keys are kept only by whoever asks for them (the courier); for all
 * others their values are skipped as they are read.  No problem's text ever
 * quotes a value or an unknown key. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "outcome.h"
#include "schedule.h"

enum tls_mode {
	TLS_STARTTLS,           /* RFC 3207, port 587 */
	TLS_IMPLICIT,           /* RFC 8314, port 465 */
	TLS_NONE,
};

/* An account: one smarthost and one login.  Strings are never NULL. */
struct smarthost {
	char *name;             /* "default" */
	char *host;
	unsigned port;
	enum tls_mode tls;
	char *tls_name;         /* the name to find in the certificate; "" = host */
	char *tls_ca_file;      /* "" = the system's trust store */
	char *auth;             /* lower case: "auto", "none" or a mechanism */
	char *user;
	char *from;             /* the account's address: from, or user where it is an
	                         * address, or login@domain; never "" after config_load */
	bool from_header;       /* from = header: the envelope sender is taken from From: */
	bool force_from;        /* From: and sender of all that leaves are the account's */
	char *senders;          /* patterns, separated by spaces: whose mail it carries;
	                         * "" = everybody's */
	char *password_file;
	char *password_command;
	struct buf password;    /* only where secrets were asked for */
	bool has_password;      /* a password key was there */
	unsigned messages_per_connection;
	unsigned recipients_per_message;
};

struct problem {
	bool error;             /* else a warning */
	char *text;             /* "file:line: what, what to do" */
};

struct config_file {
	char *path;
	struct timespec mtime;
};

struct config {
	struct smarthost smarthost;
	char *domain;           /* completes bare names; never "" after config_load */
	char *hostname;         /* as set; "" = to be found out */
	bool received;          /* may Received: tell uid and host */
	char *aliases;          /* file; "" = none */
	char *root;             /* where mail for root and other system accounts goes; "" =
	                         * nowhere else */
	bool rewrite_to;        /* show in the header what aliases made of a name */
	char *directory;        /* the queue's, absolute */
	uint64_t max_size;      /* octets of one message */
	unsigned max_recipients;        /* of one message */
	uint32_t wait;          /* seconds that sendmail -odi waits; 0: not at all */
	struct steps retry;     /* network or server down */
	struct steps retry_refused;     /* after a 4yz about this message */
	uint32_t give_up_after; /* seconds */
	uint32_t keep_failed;   /* seconds */
	bool dots_are_text;     /* sendmail without -i: dots are as they are with it */
	bool subtract;          /* sendmail -t: arguments are taken off, not added */
	char *path;             /* the file whose queue this is: the topmost one read */
	struct config_file files[2];    /* what was read, the system's first */
	unsigned nfiles;
	struct problem *problems;
	unsigned nproblems, nerrors;
};

/* Finds, reads and checks the configuration that applies to this process.
 * DONE: usable; warnings may stand in problems.  Otherwise *why has one
 * sentence that says what to do:
 *   78  no configuration at all (names the file to write, with three lines),
 *       or an error in one (the first, and how many more; all in problems)
 *   75  only the system's, and its secret is not for this caller.
 * *c is freed by config_free in every case. */
enum outcome config_load(struct config *c, bool with_secrets, struct why *why);

/* The same for given files (NULL: not there); for config_load and for tests.
 * home: where ~ and the default directories are. */
enum outcome config_read(struct config *c, const char *user_path, const char *system_path,
    const char *home, bool with_secrets, struct why *why);
void config_free(struct config *c);

/* Has one of the files changed since it was read? */
bool config_is_stale(const struct config *c);

/* Our name in EHLO and in trace fields: hostname where set, else the machine's
 * where it is a usable domain name; "" where there is none (callers then use an
 * address literal, RFC 5321 section 4.1.3).  Appended to *out. */
void config_hostname(const struct config *c, struct buf *out);

/* The home directory: $HOME if it belongs to the effective uid, else the
 * password file's.  Appended to *out; false if there is none. */
bool config_home(struct buf *out);

#endif
