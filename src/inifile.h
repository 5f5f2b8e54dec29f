/* inifile: an ini file, from its name to values in their places.  The only
 * file that includes <ini.h>.
 *
 * A judge of our own sees each raw line before libinih does, because libinih
 * splits long lines, cuts values at " ;" and continues values in silence: what
 * it would misread is an error that says file, line and what to do.  No
 * problem's text quotes a value or an unknown key.
 *
 * A file counts when it is a regular one, belongs to this user or to root, and
 * cannot be changed by everybody.  A password may stand in one only while that
 * is closed to all others.  [service] and [user NAME] are not for a user's. */
#ifndef INIFILE_H
#define INIFILE_H

#include <stdarg.h>

#include "config.h"
#include "keys.h"

/* Where something was set: a file's name for people, and a line. */
struct place {
	const char *label;
	unsigned line;          /* 0: not set, or the file as a whole */
};

/* Whose file it is, and what may so stand in it. */
enum whose {
	WHOSE_SYSTEM,
	WHOSE_USER,
	WHOSE_SERVICE,          /* the system's, or another, as the service reads it */
};

/* All sections of one name: of an account, [smarthost NAME], or of a user, [user NAME].
 * Without a name it is everything else, [smarthost] too. */
struct part {
	char *name;                     /* an account's is in lower case */
	struct place at;                /* its first section */
	const char *label;              /* the topmost file that has one */
	struct config *values;          /* where its keys are taken to; all else in it is empty */
	struct place given[KEYS];       /* where each value that counts was set */
	unsigned lines[KEYS];           /* and each key of the file under way */
	bool claimed;                   /* that file names a source of its secret */
};

/* One configuration while it is read: the system's file, then the user's over
 * it.  The first three fields are set by whoever declares it, and borrowed;
 * inifile_forget frees the rest. */
struct reading {
	struct config *c;
	const char *home;               /* what ~ stands for; NULL: nothing */
	bool with_secrets;              /* keep the password */
	struct part all;                /* its values are *c */
	const char *label;              /* the topmost file that is there; one of these: */
	char *labels[2];                /* the files' names, masked */
	unsigned nlabels;
	bool unread;                    /* a file is there whose keys nobody knows */
	struct part *accounts, *users;
	unsigned naccounts, nusers;
};

enum found {
	ABSENT,
	DENIED,                 /* the system's or the service's, and not for this caller */
	READ,                   /* it is there; what is wrong with it stands in problems */
};

/* Reads a file, NULL for none, over what *r has so far. */
enum found inifile_read(struct reading *r, const char *path, enum whose whose);
void inifile_forget(struct reading *r);
void inifile_forget_part(struct part *p);

/* Adds a problem, told of that place; the text says what is wrong and what to
 * do.  Past a hundred they are only counted. */
void inifile_note(struct config *c, bool error, struct place at, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

#endif
