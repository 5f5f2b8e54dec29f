/* submit: a message from a caller, completed and put into the queue.
 *
 * One pass: the header is held in memory (at most HEADER_MAX), the text streams
 * through, and DONE means that the message is durable.  Header parsing of
 * untrusted mail happens here, with the caller's own rights. */
#ifndef SUBMIT_H
#define SUBMIT_H

#include "address.h"
#include "outcome.h"

struct submission {
	int in;                         /* where the message is read from */
	bool from_header;               /* -t: recipients of the header too */
	bool dots;                      /* without -i: a lone dot ends the message */
	const char *sender;             /* -f; "" is the null sender, NULL none given */
	const char *full_name;          /* -F, or NULL */
	struct address_list to;         /* of the command line */
};

/* The exit status of a refusal is in why->exit.  Warnings go to the log. */
enum outcome submit(const struct submission *s, struct why *why);

#endif
