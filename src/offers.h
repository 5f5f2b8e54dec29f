/* offers: what a server's EHLO says that it can do (RFC 5321 section 4.1.1.1).
 *
 * Read from the text of the reply, whose first line is the server's name.  What is not
 * known is passed over, and so is a value that makes no sense: servers say much, and a
 * last line like "Ok" is among it. */
#ifndef OFFERS_H
#define OFFERS_H

#include <stdint.h>

#include "buf.h"

struct offers {
	bool starttls;
	bool pipelining;        /* RFC 2920 */
	bool chunking;          /* RFC 3030 */
	bool eight_bit;         /* 8BITMIME, RFC 6152 */
	bool dsn;               /* RFC 3461 */
	bool smtputf8;          /* RFC 6531 */
	bool requiretls;        /* RFC 8689 */
	bool priority;          /* MT-PRIORITY, RFC 6710 */
	bool size;              /* SIZE, RFC 1870 */
	uint64_t size_max;      /* 0: no limit told */
	bool by;                /* DELIVERBY, RFC 2852 */
	int32_t by_min;         /* seconds; 0: no minimum told */
	/* LIMITS, RFC 9422; 0: not told. */
	unsigned mail_max;      /* transactions of one session */
	unsigned rcpt_max;      /* recipients of one transaction, */
	unsigned domain_max;    /* and their domains */
	struct buf auth;        /* mechanisms, separated by spaces */
};

/* What was there before is forgotten. */
void offers_read(struct offers *o, struct str text);
void offers_free(struct offers *o);

#endif
