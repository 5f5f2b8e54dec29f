/* text: a message's text, from where it lies to the octets on the wire.
 *
 * Read a piece at a time, in constant memory, adapted to what the server takes, with
 * another head where the account demands one.  First a look (text_plan), which settles
 * what MAIL has to say of it: its size, whether it is 8-bit.  Then the octets
 * (text_more).  A small one is made ready by the look: what is wrong with it is known
 * before a word of it is said, and nothing is left to be done when its turn comes.
 *
 * What was queued is what is sent: with the last octet the checksum of what was read
 * is compared, and on a mismatch there is no end to be said. */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>
#include <sys/types.h>

#include "adapt.h"
#include "buf.h"
#include "outcome.h"

#define TEXT_SMALL 65536        /* octets on the wire; and of a piece at rest */

struct text {
	/* The owner's: */
	int fd;                 /* at rest: from at, len octets, whose CRC-32C is crc */
	off_t at;
	uint64_t len;
	uint32_t crc;
	struct str head;        /* sent in place of the first head_len octets, where that is */
	uint64_t head_len;      /* not 0; they are read and counted as before */
	bool plain;             /* it needs nothing but line ends (adapt.h); size is then the
	                         * owner's, and else what the look finds */
	uint64_t size;          /* octets on the wire, dots not stuffed (RFC 1870 section 3) */
	/* What the look finds: */
	bool eight_bit;         /* it goes with BODY=8BITMIME */
	bool utf8_header;       /* and with SMTPUTF8 */
	bool ready;             /* it is small, and whole in memory */
	const char *damage;     /* not what was queued, and why; a person must look */
	bool over;              /* text_more has given the last octet */
	/* private */
	struct adapt adapt;
	uint64_t taken;         /* octets read */
	uint32_t sum;
	bool begun;
	struct buf wire;
};

/* DONE, or everybody's answer: NEVER for what this server cannot be sent, LATER where
 * it is damaged. */
enum outcome text_plan(struct text *t, const struct adapt_terms *terms, struct why *why);
/* Appends the next piece.  With the last one, t->over is set; LATER instead where it is
 * damaged. */
enum outcome text_more(struct text *t, struct buf *out, struct why *why);
/* Frees what is ours. */
void text_free(struct text *t);

#endif
