/* inifile: an ini file, from its name to values in their places.  The only
 * file that includes <ini.h>.
 *
 * A judge of our own sees each raw line before libinih does, because libinih
 * splits long lines, cuts values at " ;" and continues values in silence: what
 * it would misread is an error that says file, line and what to do.  No
 * problem's text quotes a value or an unknown key.
 *
 * A file counts when it is a regular one, belongs to this user or to root, and
 * cannot be changed by everybody.  A password may stand in the user's only,
 * and only while that is closed to all others. */
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

/* One configuration while it is read: the system's file, then the user's over
 * it.  The first three fields are set by whoever declares it, and borrowed;
 * inifile_forget frees the rest. */
struct reading {
	struct config *c;
	const char *home;               /* what ~ stands for; NULL: nothing */
	bool with_secrets;              /* keep the password */
	struct place given[KEYS];       /* where each value that counts was set */
	const char *label;              /* the topmost file that is there; one of these: */
	char *labels[2];                /* the files' names, masked */
	unsigned nlabels;
	bool unread;                    /* a file is there whose keys nobody knows */
};

enum found {
	ABSENT,
	DENIED,                 /* the system's, and not for this caller */
	READ,                   /* it is there; what is wrong with it stands in problems */
};

/* Reads a file, NULL for none, over what *r has so far. */
enum found inifile_read(struct reading *r, const char *path, bool is_system);
void inifile_forget(struct reading *r);

/* Adds a problem, told of that place; the text says what is wrong and what to
 * do.  Past a hundred they are only counted. */
void inifile_note(struct config *c, bool error, struct place at, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

#endif
