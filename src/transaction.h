/* transaction: one message for some recipients, and what the server says of each.
 *
 * Everybody in it gets an answer, and whoever was never answered is LATER.  The first
 * word is ours: what this server cannot do as the message needs it is NEVER, and it is
 * not asked.  The words between are the dialogue's to exchange (dialogue.h); here is
 * what a reply means. */
#ifndef TRANSACTION_H
#define TRANSACTION_H

#include <stdint.h>
#include <time.h>

#include "command.h"
#include "dsn.h"
#include "envelope.h"
#include "outcome.h"
#include "smtp.h"
#include "text.h"
#include "trace.h"
#include "verdict.h"

/* What became of one recipient. */
struct answer {
	enum outcome outcome;
	struct why why;
	bool again;             /* LATER, and at once: the server takes only so many in one
	                         * transaction, or refused what it had offered */
	bool accepted;          /* private: RCPT was */
	bool crowded;           /* private: RCPT drew "too many" */
};

struct transaction {
	/* The owner's: */
	const char *from;       /* "" is the null sender */
	const struct recipient *to;
	size_t n;
	struct wishes wishes;   /* what is offered of them is asked for; REQUIRETLS and BY with
	                         * R that are not are a failure */
	time_t arrived;         /* what a wish for a time counts from */
	struct text text;
	struct trace *trace;    /* of this message alone; or NULL */
	struct answer *answers; /* n of them, filled here */
	/* private */
	enum way { LOCK_STEP, WITH_DATA, WITH_BDAT } way;
	enum { SAY_RSET, SAY_MAIL, SAY_RCPT, SAY_DATA, SAY_TEXT, SAID } next;
	size_t asked;           /* recipients that are behind us */
	size_t accepted;
	unsigned waiting;       /* replies that it waits for */
	int32_t by_left;
	bool in_window;         /* others go out with it */
	bool refused;           /* MAIL was */
	bool spurned;           /* a parameter was, that had been offered */
	bool wanted;            /* the text is */
	bool ended;             /* all of it was said, and it may have arrived */
	bool yes;               /* its last reply was one */
	bool proven;
};

/* What it will be said with is settled (way); everybody's first answer is given, and the
 * text looked at.  False: nobody is left to be asked for. */
bool transaction_prepare(struct transaction *t, const struct smtp *s);
/* Is this one still to be asked for? */
bool transaction_may_ask(const struct transaction *t, size_t i);

void transaction_put_mail(struct transaction *t, const struct smtp *s);
void transaction_put_rcpt(struct transaction *t, const struct smtp *s, size_t i);

/* What s->reply means, as the answer to that phase: of the message as a whole, which may
 * name any of its addresses; and for those who were accepted, or asked for at all. */
enum outcome transaction_judge(const struct transaction *t, const struct smtp *s,
    enum phase phase, struct why *why);
void transaction_answer_all(struct transaction *t, enum outcome o, const struct why *why);
void transaction_answer_accepted(struct transaction *t, enum outcome o, const struct why *why);

/* s->reply answers the RCPT of that one; MAIL; or all of the text. */
void transaction_hear_rcpt(struct transaction *t, const struct smtp *s, size_t i);
void transaction_hear_mail(struct transaction *t, const struct smtp *s);
void transaction_hear_end(struct transaction *t, struct smtp *s);

/* The connection is over before all of it was answered.  Who was refused stays refused,
 * unless the replies may have been anybody's (out_of_step).  to_blame: the end was more
 * than a server's usual end of a session. */
void transaction_abandon(struct transaction *t, const struct why *why, bool out_of_step,
    bool to_blame);

#endif
