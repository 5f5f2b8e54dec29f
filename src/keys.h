/* keys: what may stand in an ini file, and what the values mean.  One table: a
 * row for each key, with its section, the kind of its value, its place in
 * struct config, its limits and its default.
 *
 * Nothing here knows of files and lines: the caller says which row a value is
 * for, learns whether its form is right, and words the complaint itself. */
#ifndef KEYS_H
#define KEYS_H

#include "buf.h"
#include "config.h"

#define KEYS_NAME_MAX 48        /* octets of a name; libinih cuts them at 49 */

enum section {
	SECTION_NOWHERE,        /* what stands here is not looked at */
	SECTION_TOP,            /* before the first section */
	SECTION_SMARTHOST,      /* [smarthost NAME], too */
	SECTION_IDENTITY,
	SECTION_QUEUE,
	SECTION_SENDMAIL,
	SECTION_SERVICE,
	SECTION_USER,           /* [user NAME]: keys of others, for one user, and smarthost */
	SECTION_END,
};

/* The rows of the table, by name for the checks across keys. */
enum key_id {
	KEY_HOST, KEY_PORT, KEY_TLS, KEY_TLS_NAME, KEY_TLS_CA_FILE, KEY_AUTH, KEY_USER,
	/* The sources of the secret stand side by side. */
	KEY_PASSWORD, KEY_PASSWORD_FILE, KEY_PASSWORD_COMMAND, KEY_TOKEN_COMMAND,
	KEY_TLS_PIN, KEY_TLS_CERT_FILE, KEY_TLS_KEY_FILE, KEY_FAMILY, KEY_SOURCE,
	KEY_FALLBACK, KEY_SENT_TO, KEY_CONNECTIONS, KEY_KEEP_OPEN, KEY_PIPELINE_DEPTH,
	KEY_FROM, KEY_FORCE_FROM, KEY_SENDERS, KEY_MESSAGES, KEY_RECIPIENTS, KEY_RATE,
	KEY_DOMAIN, KEY_HOSTNAME, KEY_RECEIVED, KEY_ALIASES, KEY_ROOT, KEY_REWRITE_TO,
	KEY_DIRECTORY, KEY_MAX_SIZE, KEY_MAX_RECIPIENTS, KEY_WAIT, KEY_RETRY, KEY_RETRY_REFUSED,
	KEY_GIVE_UP_AFTER, KEY_KEEP_FAILED,
	KEY_DOTS, KEY_ARGUMENTS,
	KEY_SOCKET, KEY_OPERATORS, KEY_USER_MESSAGES, KEY_USER_RATE,
	KEY_USER_ACCOUNT,
	KEYS,
};

/* Where values go, and what their meaning depends on. */
struct target {
	struct config *c;
	const char *home;       /* what ~ stands for; NULL: nothing */
	bool emptied;           /* the value under way was empty so far */
	bool more;              /* what comes is added to it, and does not replace it */
};

struct key {
	const char *name;
	/* Has the value the right form?  Then it is taken. */
	bool (*take)(struct target *, const struct key *, struct str);
	enum section section;
	size_t at;              /* offset in struct config */
	uint64_t min, max;
	bool list;              /* may be continued on indented lines */
	const char *normal;     /* the default, as one would write it; NULL: empty */
	const char *form;       /* "NAME must be ..." */
	const char *uncut;      /* a comment sign in the value is an error; what to do then */
};

extern const struct key keys[KEYS];

/* A key that is known and has no meaning yet: a file written for more than we
 * can do is told so, and otherwise works. */
struct later_key {
	const char *name;
	enum section section;
	bool list;
};

/* The row of that name, as it is spelt, in that section; NULL if there is none.
 * [user NAME] has all of [identity], and from and senders of [smarthost]. */
const struct key *keys_find(enum section section, struct str name);
const struct later_key *keys_find_later(enum section section, struct str name);

/* The section of that name, SECTION_NOWHERE for any other; and back, for the
 * sections that have keys.  *whose: what stands behind "user" or "smarthost", "" for
 * nothing. */
enum section keys_find_section(struct str name, struct str *whose);
const char *keys_section_name(enum section section);

/* What was meant by a name of at most KEYS_NAME_MAX octets that is not known:
 * the nearest that is, or NULL where none is near. */
const char *keys_nearest(enum section section, struct str name);
const char *keys_nearest_section(struct str name);

/* Gives a value, without blanks around it, to its row; an empty one stands for
 * the default.  continued: it stands on a line that continues the value before
 * it.  False for one that has not the row's form. */
bool keys_take(struct target *t, const struct key *k, struct str value, bool continued);

/* Puts the row's default in its place; all of an account's. */
void keys_reset(struct config *c, enum key_id id);
void keys_reset_account(struct config *c);

/* The name of an account, in lower case, in place of *name; false for what is none. */
bool keys_read_account(struct str word, char **name);

/* Replaces a string of struct config. */
void keys_put_text(char **at, struct str text);

/* Cuts the next word off a list, behind blanks and commas; false when there is
 * none. */
bool keys_next_word(struct str *rest, struct str *word);

#endif
