/* fate: what has happened to a message since it was queued; the text form of
 * queue/<id>.fate.
 *
 * No file is the same as a fate with nothing in it.  First line: version and
 * CRC-32C of the rest; then one fact a line.  Foreign words are masked where
 * they enter (struct why) and escaped here.  Recipients are named by their
 * place in the envelope, counted from 0. */
#ifndef FATE_H
#define FATE_H

#include <stdbool.h>
#include <time.h>

#include "buf.h"
#include "outcome.h"

#define FATE_MAX (16u << 20)    /* octets of the file; see fate_note */
#define FATE_SAID_MAX (16u << 10)       /* octets of a dialogue */

struct fate_recipient {
	enum outcome outcome;   /* LATER: still to be sent */
	bool told;              /* NEVER, and the sender has been told */
	int code;               /* of the last answer about it; 0: none */
	char status[12];
	char *text;             /* masked words of that answer, or NULL */
};

struct fate {
	unsigned tries;         /* that ended with a word about this message */
	time_t next;            /* not before; 0: at once */
	time_t renewed;         /* tried again by a person: give-up counts from here */
	bool held;              /* waits for a person */
	char hold_reason[200];
	struct why last;        /* last word about the message; text "" if none */
	char *said;             /* the last dialogue about it: lines, masked, each ended; NULL:
	                         * none was kept */
	struct fate_recipient *to;
	size_t n;               /* as many as the envelope has recipients */
};

/* An empty fate for n recipients. */
void fate_init(struct fate *f, size_t n);
void fate_free(struct fate *f);
void fate_write(const struct fate *f, struct buf *out);
/* Into *f, which fate_init prepared for as many recipients as there are.
 * NEVER with a reason for what fate_write would not have written. */
enum outcome fate_read(struct str in, struct fate *f, struct why *why);

/* Notes one answer about a recipient.  DONE and NEVER stay what they are.  Of many
 * recipients only the beginning of the words is kept, so that FATE_MAX holds. */
void fate_note(struct fate *f, size_t recipient, enum outcome o, const struct why *why);
/* Keeps a dialogue, its last lines where it is over FATE_SAID_MAX, in place of the one
 * before it. */
void fate_keep_dialogue(struct fate *f, struct str lines);
/* How many recipients have this outcome. */
size_t fate_count(const struct fate *f, enum outcome o);
/* Everyone is DONE or NEVER. */
bool fate_is_settled(const struct fate *f);
/* NEVER becomes LATER again, the hold is lifted, the next try is at once, and
 * the time until it is given up begins anew. */
void fate_renew(struct fate *f, time_t now);

#endif
