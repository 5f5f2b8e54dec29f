/* admit: what a message must be like to be taken, asked at both counters: by the
 * face, so that a caller learns it early, and by the clerk, who believes nothing. */
#ifndef ADMIT_H
#define ADMIT_H

#include "config.h"
#include "envelope.h"
#include "outcome.h"
#include "spool.h"

/* Can SMTP carry this sender ("" is the null sender), 65, and does any account carry
 * mail of theirs, 77?  Here and below c is as it holds for the caller (config_view). */
enum outcome admit_sender(const struct config *c, struct str sender, struct why *why);
/* Can SMTP carry this recipient?  65. */
enum outcome admit_recipient(struct str spec, struct why *why);
/* Sender, recipients, wishes: all that SMTP can carry, and no more recipients
 * than max-recipients.  65 with what is wrong, masked. */
enum outcome admit_envelope(const struct config *c, const struct envelope *e, struct why *why);
/* Has everybody in it an account that carries it to them (route.h), 77, and is it for
 * a moment within DSN_HOLD_MAX of its arrival, 65? */
enum outcome admit_way(const struct config *c, const struct envelope *e, struct why *why);
/* Is this more than max-size?  69. */
enum outcome admit_size(const struct config *c, uint64_t size, struct why *why);
/* Has the disk room for that many octets more, with enough left for the queue's own
 * bookkeeping, and for its names?  75 before it is full. */
enum outcome admit_room(const struct spool *s, uint64_t size, struct why *why);

#endif
