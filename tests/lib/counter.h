/* counter: a counter that writes down what it is given, in the place of submit's,
 * and a client that speaks whenever its session waits for it, in the place of the C
 * library's poll.  Both are for whoever links this: what a session of smtpin does
 * to its counter and how its input is cut can then be seen.
 *
 * A session that breaks the counter's contract (a text without a beginning, a
 * message without recipients) ends in an assert. */
#ifndef COUNTER_H
#define COUNTER_H

#include "../../compat/smtpin.h"

struct counter_box {
	/* Set by the owner: what is refused.  NULL: nothing. */
	enum outcome (*judge_sender)(const char *sender, struct why *why);
	enum outcome (*judge_recipient)(struct str spec, struct why *why);
	enum outcome (*judge_message)(const struct submission *asked, struct str text, struct why *why);
	/* What came of it since counter_clear. */
	struct buf log;                 /* "sender>recipient,recipient:text|" a message, with
	                                 * ";parameter" behind an address that had wishes */
	unsigned queued;
	bool unheard;                   /* a message was let go before its 250 was said */
	/* Of the message under way. */
	const struct submission *asked;
	struct buf text;
	bool held;                      /* durable, and not yet let go */
	int out;                        /* where the replies go */
};
extern struct counter_box box;

struct client {
	struct str rest;                /* what it has to say */
	bool (*cut_here)(size_t at);    /* does a piece end before this octet? */
	size_t at;
	int fd;
	bool silent;                    /* says nothing any more, and does not hang up */
	bool real;                      /* there is another process instead */
	unsigned waits;
};
extern struct client client;

/* Empties the box; replies can be seen in out, or cannot (-1). */
void counter_clear(int out);
/* Speaks it all, in pieces, to a session of this counter; *replies is added to.
 * Whatever was refused in it, no message is left open. */
enum outcome counter_converse(struct counter *c, struct str said, bool batch, bool (*cut_here)(size_t at),
    struct buf *replies, struct why *why);

#endif
