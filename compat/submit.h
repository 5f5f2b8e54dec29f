/* submit: messages from a caller, completed and brought to their office.
 *
 * A counter is opened once and takes any number of messages, one after the
 * other: begin, text in pieces, end.  The header is held in memory (at most
 * HEADER_MAX), the rest streams through, and DONE from submit_end means that
 * the message is durable.  Header parsing of untrusted mail happens here, with
 * the caller's own rights. */
#ifndef SUBMIT_H
#define SUBMIT_H

#include "address.h"
#include "config.h"
#include "header.h"
#include "office.h"
#include "outcome.h"
#include "recipients.h"

/* What a caller asks for; borrowed until submit_end or submit_drop. */
struct submission {
	bool from_header;               /* -t: recipients of the header too */
	const char *sender;             /* as -f or MAIL said it; "" is the null sender, NULL
	                                 * that none was given */
	const char *full_name;          /* -F, or NULL */
	const struct recipients *to;    /* of the command line, or of RCPT; not settled; NULL
	                                 * is nobody */
	unsigned notify;                /* -N: for all recipients without wishes of their own */
	struct wishes wishes;
	long wait;                      /* seconds for which submit_await will be asked; 0 */
	bool dialogue;                  /* and shown meanwhile what is said about it */
};

struct counter {
	struct office office;           /* opened by submit_open */
	struct directory directory;
	bool verbose;                   /* set by the owner: say on stderr what happens */
	char id[ENVELOPE_ID_LEN + 1];   /* of the last message that was begun */
	/* private: of the message under way */
	const struct submission *asked; /* NULL: none */
	struct header header;
	bool begun;                     /* the header is over, and in the office */
	struct recipients to;
	struct buf sender;
	uint64_t size;                  /* octets of text so far */
};
#define COUNTER_INIT { .office = OFFICE_INIT }

/* Finds the caller's office.  Warnings of its configuration go to the log. */
enum outcome submit_open(struct counter *c, struct why *why);
void submit_close(struct counter *c);

/* May this sender be named here, or this recipient of theirs?  Asked early where a
 * dialogue can still say no; submit_end asks again. */
enum outcome submit_check_sender(struct counter *c, const char *sender, struct why *why);
enum outcome submit_check_recipient(struct counter *c, const char *sender, struct str spec,
    struct why *why);

/* One message.  text is canonical (see intake), in any pieces.  The exit status
 * of a refusal is in why->exit; after one, and after submit_drop, nothing is
 * left of the message, and another may begin. */
void submit_begin(struct counter *c, const struct submission *asked);
enum outcome submit_text(struct counter *c, struct str text, struct why *why);
/* Durable, and in an own office still locked, until submit_release lets the runner
 * have it and wakes one.  Between the two nothing may fail that the caller is told. */
enum outcome submit_end(struct counter *c, struct why *why);
void submit_release(struct counter *c);
/* After that, where `wait` was asked for: as office_await. */
enum outcome submit_await(struct counter *c, struct why *why);
void submit_drop(struct counter *c);

#endif
