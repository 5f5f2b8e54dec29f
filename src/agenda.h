/* agenda: the runner's table of waiting messages: who is due next.
 *
 * About a hundred octets a message, so that a hundred thousand fit.  Each uid has a
 * lane for each account by which mail of its goes, ordered by the moment a message is
 * due, then by id, which is by age; and one for each priority (MT-PRIORITY), of which the
 * highest that has something due stands for all of that uid's.  Of the lanes in which something is due they are
 * drawn in turn, and root's every other time, so that nobody's five thousand stand before
 * somebody else's one; and whoever draws says for which accounts, so that mail of one
 * that is down stands before nobody's.  Mail of which nobody knows yet whose it is, or
 * which way it goes, comes last: it might be anybody's next. */
#ifndef AGENDA_H
#define AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "envelope.h"

struct waiting {
	time_t due;
	uint32_t place;         /* in the heap, from 1; 0: not waiting (held, or out) */
	uint32_t lane;          /* place in agenda.lanes */
	/* The runner's own: */
	uint32_t asked;         /* accounts that have had their turn in this round, a bit each */
	uint32_t round;         /* first recipient of the account's next job in this round */
	uint32_t drew;          /* see is_its_own_trouble; */
	uint8_t drew_from;      /* the account that it was */
	uint8_t crashes;
	uint8_t endings;        /* sessions that the server has ended on it */
	int8_t priority;
	/* A bit each: there may be a hundred thousand. */
	bool logged : 1;
	bool out : 1;           /* with a courier */
	bool put_off : 1;       /* somebody was, in this round */
	bool split : 1;         /* its recipients go by more than one account */
	bool timed : 1;         /* it has a deadline (dsn.h) */
	char id[ENVELOPE_ID_LEN + 1];
};

#define AGENDA_UNKNOWN ((uid_t)-1)      /* nobody has looked yet whose it is, */
#define AGENDA_NOWHERE 32               /* or which way it goes; an account is less */
#define AGENDA_ALL (~(uint64_t)0)       /* lanes of whatever account */

struct lane {
	uid_t uid;              /* AGENDA_UNKNOWN: the one lane of what is not known */
	unsigned account;
	int priority;
	size_t submitter;       /* place in agenda.submitters */
	struct waiting **heap;  /* from 1 */
	size_t n, room;         /* waiting */
};

struct submitter {
	uid_t uid;
	size_t known;           /* messages, those that rest too */
	size_t told;            /* the runner's own: how many it last wrote down */
};

/* Whose turn it was last, for one who draws.  Zero is valid. */
struct turn {
	size_t drawn;           /* the lane, not root's */
	bool root_drawn;        /* and root's has had one since */
};

struct agenda {
	void *by_id;
	struct lane *lanes;
	size_t nlanes;
	bool ranked;            /* there is more than one priority */
	struct submitter *submitters;
	size_t nsubmitters;
	size_t n;               /* waiting, in all lanes */
};

struct waiting *agenda_find(const struct agenda *a, const char *id);
/* The entry of that id, made if it is new (then due when the id says it came), in the
 * lane of that uid and account.  One that is known changes lanes if this says more than
 * was known. */
struct waiting *agenda_add(struct agenda *a, const char *id, uid_t uid, unsigned account);
uid_t agenda_uid(const struct agenda *a, const struct waiting *e);
unsigned agenda_account(const struct agenda *a, const struct waiting *e);
/* It is that uid's, and goes that way from now on. */
void agenda_move(struct agenda *a, struct waiting *e, uid_t uid, unsigned account);
/* It has that priority: what is not known yet has 0. */
void agenda_rank(struct agenda *a, struct waiting *e, int priority);
/* All that is known goes by that one, or nobody knows any more which way. */
void agenda_move_all(struct agenda *a, unsigned account);
/* Waits (again) until due. */
void agenda_wait(struct agenda *a, struct waiting *e, time_t due);
/* Waits no longer, but stays known. */
void agenda_rest(struct agenda *a, struct waiting *e);
void agenda_remove(struct agenda *a, struct waiting *e);
/* Removes all that is not among these ids (ascending), but what is with a courier. */
void agenda_keep_only(struct agenda *a, char (*ids)[ENVELOPE_ID_LEN + 1], size_t n);
/* The first to be due of all that goes by these accounts, a bit each, or NULL: when there
 * is something to do. */
struct waiting *agenda_first(const struct agenda *a, uint64_t accounts);
/* The first of what is not known. */
struct waiting *agenda_first_unknown(const struct agenda *a);
/* Whose turn it is among those due by now that go by these accounts, or might, or NULL.
 * It is the same one until agenda_drawn says that it had its turn. */
struct waiting *agenda_next(const struct agenda *a, const struct turn *t, uint64_t accounts,
    time_t now);
void agenda_drawn(const struct agenda *a, struct turn *t, const struct waiting *e);
/* How many are due by now, counted no further than most. */
size_t agenda_due(const struct agenda *a, uint64_t accounts, time_t now, size_t most);
/* All that wait, in no order: 0 to n-1. */
struct waiting *agenda_at(const struct agenda *a, size_t i);
void agenda_free(struct agenda *a);

#endif
