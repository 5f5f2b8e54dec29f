/* ledger: what has become of messages, written down.
 *
 * The runner's pen: it alone replaces .fate files, removes what everybody has
 * got, moves to failed/ what somebody will never get, and writes the reports
 * about it.  Every step is in an order in which a death loses nothing and, at
 * worst, repeats something. */
#ifndef LEDGER_H
#define LEDGER_H

#include "agenda.h"
#include "config.h"
#include "spool.h"

struct ledger {
	struct spool *spool;            /* borrowed */
	const struct config *config;    /* borrowed; its contents may be replaced */
	struct agenda agenda;
	struct ids dropped;             /* removed, not yet durable */
	size_t dropped_room;
	double settle_at;               /* monotonic seconds; 0: nothing to settle */
};

void ledger_free(struct ledger *l);

/* Tells the sender of those who will never get it, and puts the letter where it
 * now belongs: away, to failed/, or, if there is something worth writing, back
 * with its fate.  When the disk will not, the letter waits in the agenda: what
 * was not written down is done again, and that is a duplicate, never a loss. */
void ledger_record(struct ledger *l, struct letter *letter, bool worth_writing);
/* Is there something of an earlier death to be put right: everybody answered, or
 * somebody not told? */
bool ledger_is_owed(const struct letter *letter);
/* Too old: whoever still waits will never get it.  doing: why nothing was tried
 * lately, or "". */
void ledger_give_up(struct ledger *l, struct letter *letter, const char *doing);
/* Waits for a person. */
void ledger_hold(struct ledger *l, struct letter *letter, const char *reason);
/* Makes removals durable; they are gathered until settle_at. */
void ledger_settle(struct ledger *l);

/* The log's lines about a message; queued: once a runner, and only until
 * something has been said about it. */
void ledger_log_queued(struct waiting *w, const struct letter *letter);
void ledger_log_answer(const struct letter *letter, size_t recipient);
void ledger_log_trouble(const char *event, const char *id, const struct why *why);

#endif
