/* dialogue: messages on their way to the server, in the order in which they are spoken.
 *
 * One machine says them all (transaction.h has what is said of one):
 *
 *	lock-step       each command waits for the answer to the one before it
 *	with DATA       where PIPELINING is offered: MAIL, RCPTs and DATA in one write, and
 *	                before them, while there is more to send, the text of the
 *	                transaction before (RFC 2920 section 3.1): one wait a message
 *	with BDAT       where CHUNKING is offered, too, for one that is alone: MAIL, RCPTs and
 *	                a small text in one write (RFC 3030); of a large one the text follows
 *	                when somebody is accepted
 *
 * What was said and not yet answered stands in a queue, and each reply takes the first
 * from it.  A reply that nothing waits for, that comes before its command has left, or
 * that cannot be what was asked for, means that we are out of step: the connection ends,
 * and nothing that was not proven counts.  Proof is a reply that can be nobody else's: of
 * a text with DATA its own, the 354 before it being one; of one with BDAT the next 354,
 * or the answer to another EHLO, which is asked when there is nothing more to say.
 *
 * Servers exist that break off when the next transaction's commands stand behind a text
 * (Dovecot's, in 2.3): to one that did so at the first text that had any, nothing is said
 * of the next before it has answered.
 *
 * With a depth over 1 and CHUNKING so many transactions go out by BDAT before the first
 * is answered, and behind them one with DATA, whose 354 proves them all.  An EHLO would,
 * too, but servers count those (Exim's patience ends at ten), so it is asked only where
 * nothing else comes.  If the connection ends before, all of them are in doubt.  After the
 * first surprise it is one at a time. */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include "smtp.h"
#include "transaction.h"

#define DIALOGUE_DEPTH_MAX 32

struct expected;

struct dialogue {
	struct smtp *smtp;      /* borrowed */
	unsigned depth;         /* 0 is 1 */
	unsigned most;          /* transactions that may be had; 0: any number */
	/* The next one, where one is at hand; the dialogue's until it is returned. */
	struct transaction *(*next)(void *arg);
	/* Is there another one behind that? */
	bool (*more)(void *arg);
	/* Asked before a final dot or a BDAT LAST goes out: may it?  others: how many have
	 * gone before it and are not returned yet.  false ends the connection. */
	bool (*may_end)(void *arg, unsigned others);
	void *arg;
	bool apart;             /* it is known to need its transactions one by one */
	unsigned carried;       /* transactions that the server took */
	unsigned crowd;         /* recipients of one that it took, where more were too many; 0:
	                         * not known */
	bool broke;             /* it has shown that just now, by breaking off */
	bool surprised;         /* depth was over 1, and is 1 now */
	/* private */
	struct transaction *on_way[DIALOGUE_DEPTH_MAX + 1];
	unsigned n;
	struct expected *expected;
	size_t first, end, room;        /* in it */
	unsigned mails;
	bool overlapped;        /* a text was answered that had the next one's commands behind it */
	bool open;              /* a transaction may be, at the server */
	bool proving;           /* an EHLO is on the way behind the others */
};
void dialogue_free(struct dialogue *d);

/* Says and hears until one transaction is over, which is returned: its answers stand.
 * NULL: none is on the way, and none is at hand; or the connection is over (smtp->lost)
 * and all are returned. */
struct transaction *dialogue_go_on(struct dialogue *d);
/* No more may be begun on this connection, by the server's word (MAILMAX, RFC 9422) or
 * the owner's. */
bool dialogue_is_spent(const struct dialogue *d);

#endif
