/* aliases: the aliases file, line by line; where the names in it lead in the end is
 * said by targets.
 *
 * The format of aliases(5), as far as addresses go: "name: address, name, ...",
 * continuation lines, comments, quoted names, "\name" for a name that is not
 * looked up again, ":include:/file", and "default:" for every name that has no
 * line.  Names are compared without case.  Mail for a program ("|...") or a
 * file ("/...") is not delivered here: an entry that says so can be read, and
 * is refused with its line when somebody writes to it.
 *
 * Whoever can write the file decides where root's mail goes.  So it and what it
 * includes must belong to root or to us, in a directory that does, and be closed
 * to the hands of others.
 *
 * A value that cannot be read is kept and refused when somebody writes to it:
 * left out, it would send mail elsewhere than was meant.  Reading opens files and
 * parsing does not, so that any octets can be parsed. */
#ifndef ALIASES_H
#define ALIASES_H

#include "buf.h"
#include "outcome.h"

#define ALIASES_MAX (16u << 20)         /* octets of one file */

enum alias_kind {
	ALIAS_ADDRESS,          /* one mailbox, or a bare name */
	ALIAS_LITERAL,          /* \name */
	ALIAS_INCLUDE,          /* :include:/file */
	ALIAS_PROGRAM,
	ALIAS_FILE,
	ALIAS_WRONG,            /* text says what is wrong with it */
};

struct alias_value {
	enum alias_kind kind;
	unsigned line;
	char *text;             /* without quotes */
};

struct alias {
	char *name;             /* lower case, as address_parse gives it */
	struct alias_value *to;
	size_t n;
	unsigned line;
};
void alias_free(struct alias *a);

#define ALIASES_PROBLEMS_MAX 100        /* a file that is no such thing should not fill the memory */

/* What is wrong in a file, by line. */
struct alias_problem {
	unsigned line;
	char *text;             /* "file:line: what, what to do"; masked */
};

/* Zero is an empty file.  Sorted by name. */
struct aliases {
	struct alias *v;
	size_t n;
	char *path;             /* for messages; NULL: none was read */
	struct alias_problem *problems;
	size_t nproblems;       /* those that are kept, at most ALIASES_PROBLEMS_MAX */
};
void aliases_free(struct aliases *a);

/* Reads and parses path.  LATER (75) where it cannot be read for now, NEVER (78)
 * where it is not there, is not a file, is too large, or can be written by others.
 * Wrong lines are no failure: the others count, and problems has them. */
enum outcome aliases_load(struct aliases *a, const char *path, struct why *why);
/* The same from text; label is the path for messages. */
void aliases_parse(struct aliases *a, struct str text, const char *label);
/* Adds the values of a list, as an :include: has it: lines of values without names. */
void aliases_parse_list(struct str text, struct alias *list);
/* Adds to problems, in order of their lines and each once; masked here. */
void aliases_note(struct aliases *a, unsigned line, const char *text);

/* Is this what aliases are for: a bare name, or one at localhost?  *name is it,
 * without localhost. */
bool aliases_is_name(struct str spec, struct str *name);
/* The line of this bare name; NULL: there is none. */
const struct alias *aliases_line(const struct aliases *a, struct str name);
/* That, else the default's; NULL: there is neither. */
const struct alias *aliases_find(const struct aliases *a, struct str name);
bool aliases_has(const struct aliases *a, struct str name);

#endif
