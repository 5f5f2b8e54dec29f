/* proof: SCRAM (RFC 5802, 7677) and CRAM-MD5 (RFC 2195) on the server's side, by hand,
 * so that the client's library is not tried against itself. */
#ifndef PROOF_H
#define PROOF_H

#include "smarthost.h"

/* What the client may say is answered with *out, not yet in base64. */
enum proof {
	PROOF_ASKS,             /* 334 with *out */
	PROOF_GOOD,             /* 235 */
	PROOF_BAD,              /* 535 */
};

/* c->proof.plus and digest say which of the family.  The script's line `scram` breaks
 * what is answered. */
enum proof scram_answer(struct conn *c, struct str said, struct buf *out);
enum proof cram_answer(struct conn *c, struct str said, struct buf *out);

#endif
