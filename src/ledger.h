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

#define LEDGER_REPORTS 1000     /* reports that are known still when they have left */

struct ledger {
	struct spool *spool;            /* borrowed */
	const struct config *config;    /* borrowed; its contents may be replaced */
	struct agenda agenda;
	bool many;                      /* mail of many uids: the service's; else all of it is ours */
	unsigned ways;                  /* accounts; with one alone it is known which way all goes */
	struct ids dropped;             /* removed, not yet durable */
	size_t dropped_room;
	double settle_at;               /* monotonic seconds; 0: nothing to settle */
	char reports[LEDGER_REPORTS][ENVELOPE_ID_LEN + 1];      /* the last that have left */
	unsigned reports_at;
};

/* Whose a message counts as, of which it is said (or not, AGENDA_UNKNOWN) whose it is. */
uid_t ledger_uid(const struct ledger *l, uid_t said);
/* And of one that was read. */
uid_t ledger_owner(const struct ledger *l, const struct letter *letter);
/* The entry of that id, of which that is said. */
struct waiting *ledger_add(struct ledger *l, const char *id, uid_t said);
/* The entry of a message that was read. */
struct waiting *ledger_entry(struct ledger *l, const struct letter *letter);

void ledger_free(struct ledger *l);

#define LEDGER_PAUSE 60         /* seconds until a disk that would not is asked again */

/* Tells the sender of those who will never get it, and puts the letter where it
 * now belongs: away, to failed/, or, if there is something worth writing, back
 * with its fate.  False when the disk will not: the letter, by now the only place
 * where that is known, is then to be recorded again.  more: others of its
 * recipients are asked at once, and the sender is told of all together. */
bool ledger_record(struct ledger *l, struct letter *letter, bool worth_writing, bool more);
/* Is there something of an earlier death to be put right: everybody answered, or,
 * unless more of them are asked just now, somebody not told? */
bool ledger_is_owed(const struct letter *letter, bool more);
/* Too old: whoever still waits will never get it.  doing: why nothing was tried
 * lately, or "".  As ledger_record, and so is ledger_hold. */
bool ledger_give_up(struct ledger *l, struct letter *letter, const char *doing);
/* It was not to arrive later than by now (dsn_deadline). */
bool ledger_return(struct ledger *l, struct letter *letter);
/* Waits for a person. */
bool ledger_hold(struct ledger *l, struct letter *letter, const char *reason);
/* Makes removals durable; they are gathered until settle_at. */
void ledger_settle(struct ledger *l);

/* The log's lines about a message; queued: once a runner, and only until
 * something has been said about it. */
void ledger_log_queued(struct waiting *w, const struct letter *letter);
void ledger_log_answer(const struct letter *letter, size_t recipient);
void ledger_log_trouble(const char *event, const char *id, const struct why *why);

#endif
