/* envelope: who wrote, to whom, and what was counted; the text form of the
 * head of queue/<id>.
 *
 * The first line, the stamp, has a fixed length, so that it can be written
 * last: until then the file begins with zero octets and is not a message.
 * Behind it the envelope, one fact a line ("word value"), then an empty line,
 * then the text.  Values are escaped (codec_escape).  A version or a word that
 * is not known means that the file is not understood, and is said, not guessed. */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "address.h"
#include "buf.h"
#include "dsn.h"
#include "outcome.h"

#define ENVELOPE_ID_LEN 20
#define ENVELOPE_RECIPIENTS_MAX 100000
#define ENVELOPE_MAX (16u << 20)        /* octets between stamp and text */
#define STAMP_LEN 147

/* The first line: "subpost 1 size=... envelope=...\n", STAMP_LEN octets. */
struct stamp {
	uint64_t size;          /* octets of the whole file */
	uint32_t envelope;      /* octets of the envelope, its empty line included */
	uint32_t head_crc;      /* CRC-32C of those, and of this line with this one zero */
	uint32_t text_crc;      /* CRC-32C of the text */
	uint64_t lines;         /* LF in the text */
	uint64_t longest;       /* octets of its longest line, without LF */
	bool eight_bit;         /* an octet over 127 is in it */
	bool unended;           /* its last line has no LF */
};

void stamp_write(const struct stamp *s, struct buf *out);
/* NEVER with a reason where in is not such a line. */
enum outcome stamp_read(struct str in, struct stamp *s, struct why *why);
/* What head_crc must be; envelope_crc is the CRC-32C of the envelope alone. */
uint32_t stamp_head_crc(const struct stamp *s, uint32_t envelope_crc);
uint64_t stamp_text_len(const struct stamp *s);
/* Octets on the wire: every LF as CRLF, a last line ended, dots not stuffed
 * (RFC 1870 section 3). */
uint64_t stamp_wire_size(const struct stamp *s);

struct recipient {
	char *address;
	unsigned notify;        /* DSN_NOTIFY_*; 0: nothing was asked */
	char *orcpt;            /* ORCPT in its wire form "type;xtext" (RFC 3461 section 4.2),
	                         * or NULL */
};

struct envelope {
	char id[ENVELOPE_ID_LEN + 1];
	time_t arrived;
	uid_t uid;              /* who submitted */
	char *from;             /* "" is the null sender */
	struct wishes wishes;   /* for the message as a whole */
	struct recipient *to;
	size_t n;               /* recipients; at least one */
};

void envelope_write(const struct envelope *e, struct buf *out);
/* in: from behind the stamp to the empty line, which is included.  NEVER with a
 * reason for anything envelope_write would not have written. */
enum outcome envelope_read(struct str in, struct envelope *e, struct why *why);
void envelope_free(struct envelope *e);

/* ENVELOPE_ID_LEN characters [0-9A-Z]: the only names that are ids. */
bool envelope_is_id(struct str name);
/* The id of the kind-th notice about message id: as sortable, as hard to guess,
 * and always the same, so that a notice cannot be written twice. */
void envelope_derive_id(const char *id, uint64_t kind, char out[ENVELOPE_ID_LEN + 1]);
/* The second in which an id was made. */
time_t envelope_id_time(const char *id);
/* An id from a time in microseconds and 40 random bits. */
void envelope_make_id(uint64_t microseconds, uint64_t random, char out[ENVELOPE_ID_LEN + 1]);

#endif
