/* office: where a caller's mail goes: into a queue of their own, or over the
 * service's counter.  One face for both; which one it is, is found out here:
 *
 *   1. SUBPOST_CONFIG is set, or the user's own file is there: the own office;
 *   2. else the service's socket, if it is there and somebody answers;
 *   3. else, if the system's configuration and its secret are readable for this
 *      caller (a container, a router): an own office with it;
 *   4. else 75, with a sentence that names the socket and the unit to start, where a
 *      system's configuration exists; 78 where there is none, with what to write.
 *
 * It never hangs: connecting has 2 seconds, the service's hello 60.  Until the
 * hello, step 3 is still open.
 *
 * A message for the service is held here (in memory, then in a file without a
 * name) until it is whole, and only then brought to the counter: a cron job may
 * take hours to write its output, and nobody need hold a clerk, and his time
 * limits, for that long.  After the first octet of text there is no way back: the
 * answer is waited for. */
#ifndef OFFICE_H
#define OFFICE_H

#include <stdio.h>

#include "await.h"
#include "config.h"
#include "desk.h"
#include "outcome.h"
#include "spool.h"

enum office_kind {
	OFFICE_NONE,
	OFFICE_OWN,
	OFFICE_SERVICE,
};

struct office {
	enum office_kind kind;
	struct config config;   /* own: as read; service: as it told us (settings.h) */
	struct spool spool;     /* own */
	struct buf reason;      /* one sentence for people: which office, and why this one */
	/* private: */
	struct buf socket;      /* the service's */
	struct desk desk;
	struct draft draft;     /* own: the message under way */
	bool committed;
	char id[ENVELOPE_ID_LEN + 1];
	int priority;           /* of that message */
	struct buf held;        /* service: it, in frames, */
	size_t frame;           /* octets of the last one of text, at its end; 0: there is none */
	uint64_t before_text;   /* how many octets of the message come before any text */
	int rest;               /* and what was before it, too much for memory; -1 */
	struct await await;
	long wait;              /* seconds; 0: nobody waits for the outcome */
};
#define OFFICE_INIT { .spool = SPOOL_INIT, .desk = DESK_INIT, .rest = -1, .await = AWAIT_INIT }

/* Finds and opens it. */
enum outcome office_open(struct office *o, struct why *why);
/* The same for who has no message and asks nothing of a queue, which is not opened:
 * only the configuration counts. */
enum outcome office_look(struct office *o, struct why *why);
void office_close(struct office *o);

/* ---- one message ---- */

/* e->id is filled: own office: the message's; service: a fresh one that is as good
 * for a Message-ID (the message gets its own from the clerk). */
enum outcome office_begin(struct office *o, struct envelope *e, struct why *why);
/* Canonical text, in any pieces. */
enum outcome office_text(struct office *o, struct str text, struct why *why);
/* DONE: it is durable, and o->id its id.  wait: seconds for which office_await will
 * be asked what becomes of it, 0 for not at all; dialogue: and shown on stderr. */
enum outcome office_commit(struct office *o, long wait, bool dialogue, struct why *why);
/* Lets go of a message that is committed, and has a runner woken; whatever was not
 * committed is dropped.  LATER: nobody could be woken, which takes nothing back. */
enum outcome office_release(struct office *o, struct why *why);
void office_drop(struct office *o);
/* After office_release: its outcome, as await_outcome says it. */
enum outcome office_await(struct office *o, struct why *why);

/* ---- the queue ---- */

/* A question about the queue, or an order (verbs.h); words ends with NULL. */
enum outcome office_ask(struct office *o, char *const *words, FILE *out, struct why *why);

#endif
