/* text: from the 354 to the final dot, and chunks (RFC 3030). */
#ifndef TEXT_H
#define TEXT_H

#include "smarthost.h"

/* From the 354 to the final dot; false when the connection ended before. */
bool hear_text(struct conn *c);
/* The octets of one BDAT; false when the connection ended before. */
bool hear_chunk(struct conn *c, uint64_t n, bool last);

#endif
