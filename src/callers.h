/* callers: who stands before the counter: which uids have how many clerks, and who
 * waits for one.
 *
 * Bookkeeping: descriptors and process ids are numbers here that others made; only
 * callers_sweep and callers_abandon close any.  One uid's callers wait in the order in which they
 * came, and the uids have their turns one after the other, so that whoever comes by the
 * hundred stands in his own way alone. */
#ifndef CALLERS_H
#define CALLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct caller {
	int fd;                 /* the connection */
	uid_t uid;
	struct caller *next;    /* private */
};

/* Most that may be, of one uid and in all.  Root counts, but has its own whatever the
 * others have: who has many uids shall not keep the machine from saying so. */
struct callers_caps {
	unsigned clerks_uid, clerks, waiting_uid, waiting;
};

/* Zero but for the caps is "nobody". */
struct callers {
	struct callers_caps caps;
	unsigned clerks, waiting;       /* in all */
	/* private: */
	struct callers_line {
		uid_t uid;
		unsigned clerks, waiting;
		bool told;
		struct caller *first, *last;
	} *lines;
	size_t nlines;
	size_t turn;                    /* the line whose turn is next */
	struct callers_clerk {
		pid_t pid;
		uid_t uid;
	} *list;                        /* of all clerks */
};

enum callers_place {
	CALLERS_NOW,            /* there is a clerk for this one */
	CALLERS_LATER,          /* kept, and handed out by callers_next */
	CALLERS_TOO_MANY,       /* not kept */
};

/* Somebody has come.  *others: how many of the same uid wait already. */
enum callers_place callers_come(struct callers *c, int fd, uid_t uid, unsigned *others);
/* The one of those who wait whose turn it is, in *who, and waits no longer; false where
 * there is none, or no clerk may be had for any. */
bool callers_next(struct callers *c, struct caller *who);
/* Anyone who waits, whether or not there is a clerk; false: nobody. */
bool callers_any(struct callers *c, struct caller *who);
/* Those of the waiting who are gone, by that look at their connections, wait no longer,
 * and their connections are closed.  How many they were. */
unsigned callers_sweep(struct callers *c, bool (*is_gone)(int fd));
/* A clerk has begun with somebody of that uid. */
void callers_began(struct callers *c, pid_t pid, uid_t uid);
/* And has ended; false: that was no clerk. */
bool callers_ended(struct callers *c, pid_t pid, uid_t *uid);
/* Is it the first time, since nobody of that uid was here, that one is turned away?  So
 * that a log has it once. */
bool callers_tell(struct callers *c, uid_t uid);
/* Each clerk's process id: 0 to clerks-1. */
pid_t callers_clerk(const struct callers *c, size_t i);
/* For a child, whose none of this is: every connection that waits is closed. */
void callers_abandon(struct callers *c);
void callers_free(struct callers *c);

#endif
