/* config: what the ini files say, and what follows from it.
 *
 * The user's file lies over the system's: same keys, the user's win.
 * SUBPOST_CONFIG (secure_getenv) names the only file instead.  The table of
 * keys is in keys.c, the reading of a file in inifile.c; here is which files
 * there are, what is checked across keys, and what is filled in.
 *
 * What [user NAME] of the system's file says holds for that uid alone, and only
 * at the service's counter: config_view.
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
#include "host.h"
#include "outcome.h"
#include "rate.h"
#include "schedule.h"

/* Where the service is, unless its file says otherwise. */
#ifndef SUBPOST_SOCKET
#define SUBPOST_SOCKET "/run/subpost/socket"
#endif
#define SERVICE_DIRECTORY "/var/lib/subpost"
/* In a courier's environment: a copy of the last good file of the service. */
#define CONFIG_KEPT "SUBPOST_KEPT"
#define CONFIG_SYSTEM_FILE SUBPOST_SYSCONFDIR "/subpost.ini"

enum tls_mode {
	TLS_STARTTLS,           /* RFC 3207, port 587 */
	TLS_IMPLICIT,           /* RFC 8314, port 465 */
	TLS_NONE,
};

#define SERVERS_MAX 8           /* of one account's list */
#define ACCOUNTS_MAX 32

/* One entry of an account's host list. */
struct server {
	char *host;             /* a name or an address; of srv: the domain to ask about */
	unsigned port;          /* of srv: not used */
	bool srv;               /* srv:example.com, RFC 6186 and 8314 */
};

/* An account: one smarthost and one login.  Strings are never NULL. */
struct smarthost {
	char *name;             /* "default"; of [smarthost NAME] the NAME, in lower case */
	char *host;             /* the first server's, for people and messages */
	unsigned port;
	struct server servers[SERVERS_MAX];     /* one provider's: same login; tried in order */
	unsigned nservers;
	enum family family;
	char *source;           /* our own address for connections; "" = the system's choice */
	enum tls_mode tls;
	char *tls_name;         /* the name to find in the certificate; "" = host */
	char *tls_ca_file;      /* "" = the system's trust store */
	char *tls_pin;          /* words "sha256:HEX-OR-BASE64"; "" = none; one that fits suffices */
	char *tls_cert_file;    /* our certificate, and its key; "" = none */
	char *tls_key_file;
	char *auth;             /* lower case: "auto", "none" or a mechanism */
	char *user;
	char *from;             /* the account's address: from, or user where it is an
	                         * address, or login@domain; never "" after config_load */
	bool from_is_login;     /* nobody gave one: made of the login of whoever reads this */
	bool from_header;       /* from = header: the envelope sender is taken from From: */
	bool force_from;        /* From: and sender of all that leaves are the account's */
	char *senders;          /* patterns, separated by spaces: whose mail it carries;
	                         * "" = everybody's */
	char *recipients;       /* patterns: to whom; "" = to everybody */
	char *fallback;         /* the account to use while this one cannot be; "" = none */
	char *token_command;    /* prints an OAuth token */
	char *password_file;
	char *password_command;
	struct buf password;    /* only where secrets were asked for */
	bool has_password;      /* a password key was there */
	unsigned connections;   /* at most, at the same time */
	uint32_t keep_open;     /* seconds that an idle connection is kept for the next message */
	unsigned pipeline_depth;        /* messages under way on one connection */
	unsigned messages_per_connection;
	unsigned recipients_per_message;
	struct rate rate;       /* messages, spread evenly; zero: as fast as it goes */
};

/* [service]: only the system's file has one. */
struct service_keys {
	char *socket;           /* absolute; SUBPOST_SOCKET unless set */
	char *operators;        /* a group; "" = root alone */
	unsigned user_messages; /* that may wait at once for one uid */
	struct rate user_rate;  /* one uid's messages; zero: not limited */
};

/* [user NAME]: keys of [identity], and from, senders, smarthost.  NULL: not said. */
struct user_keys {
	char *login;
	uid_t uid;
	char *smarthost;        /* the account that carries all of that user's mail */
	char *from, *senders;
	bool from_header, says_from;
	char *domain, *hostname, *aliases, *root;
	int received, rewrite_to;       /* -1: not said */
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
	struct smarthost smarthost;     /* [smarthost], the default account */
	struct smarthost *more; /* [smarthost NAME], in the order of the file */
	unsigned nmore;
	char *domain;           /* completes bare names; never "" after config_load */
	char *hostname;         /* as set; "" = to be found out */
	bool received;          /* may Received: tell uid and host */
	char *aliases;          /* file; "" = none */
	char *root;             /* where mail for root and other system accounts goes; "" =
	                         * nowhere else */
	bool rewrite_to;        /* show in the header what aliases made of a name */
	char *directory;        /* the queue's, absolute; what the system's file says does not
	                         * hold under a user's, who has a queue of their own */
	uint64_t max_size;      /* octets of one message */
	unsigned max_recipients;        /* of one message */
	uint32_t wait;          /* seconds that sendmail -odi waits; 0: not at all */
	struct steps retry;     /* network or server down */
	struct steps retry_refused;     /* after a 4yz about this message */
	uint32_t give_up_after; /* seconds */
	uint32_t keep_failed;   /* seconds */
	bool dots_are_text;     /* sendmail without -i: dots are as they are with it */
	bool subtract;          /* sendmail -t: arguments are taken off, not added */
	struct service_keys service;
	struct user_keys *users;
	unsigned nusers;
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

/* Does this caller have a configuration of their own: SUBPOST_CONFIG, or the user's
 * file?  Nothing is read. */
bool config_is_own(void);
/* The file that it looks for, appended; false: there is no home to look in. */
bool config_own_file(struct buf *out);
/* The socket that the system's configuration names, or the default; appended to
 * *out.  exists: is there such a configuration at all?  Errors in it are nobody's
 * business here. */
void config_socket(struct buf *out, bool *exists);
/* What the service goes by: the system's file, or the one that SUBPOST_CONFIG names,
 * and no user's.  No secrets; [queue] directory is SERVICE_DIRECTORY unless set.
 * path: the file, appended, also where it is wrong.  Here only are [user NAME]
 * sections of use: logins are looked up. */
enum outcome config_load_service(struct config *c, struct buf *path, struct why *why);
/* The same with the secret, for the service's couriers, who know users only where
 * they need them: for force-from.  A file that is wrong by now is no matter where
 * CONFIG_KEPT names the copy of a good one. */
enum outcome config_load_service_secret(struct config *c, struct why *why);
/* *view is c as it holds for uid: borrowed from c, never freed.  The default account
 * of a user who has one of their own (smarthost in [user NAME]) is that one, and there
 * is no other.  Which account of c the view's default one is. */
unsigned config_view(const struct config *c, uid_t uid, struct config *view);

/* The address that mail of this uid leaves with by that account, one of c's, where it
 * forces one: what [user NAME] says holds for that user's own account. */
const char *config_forced_from(const struct config *c, const struct smarthost *a, uid_t uid);

/* The same for given files (NULL: not there); for config_load and for tests.
 * home: where ~ and the default directories are. */
enum outcome config_read(struct config *c, const char *user_path, const char *system_path,
    const char *home, bool with_secrets, struct why *why);
/* *c as if nothing were written in any file: no string is NULL, some are "". */
void config_defaults(struct config *c);
void config_free(struct config *c);

/* The accounts: 0 is the default one, the others follow; at most ACCOUNTS_MAX. */
unsigned config_accounts(const struct config *c);
const struct smarthost *config_account(const struct config *c, unsigned i);
/* The account of that name, or NULL. */
const struct smarthost *config_account_named(const struct config *c, struct str name);

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
