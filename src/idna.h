/* idna: domains that are not ASCII, as the DNS and older servers know them: A-labels
 * (RFC 5890), mapped by UTS #46, nontransitional.  Nothing is looked up. */
#ifndef IDNA_H
#define IDNA_H

#include "buf.h"

/* Appends the domain in ASCII to *out; false, and *out as it was, where it has no such
 * form: it is not UTF-8, or no name. */
bool idna_domain(struct str domain, struct buf *out);
/* The same of an address whose local part is ASCII; a domain that is ASCII passes as
 * it is.  False for any other (RFC 6531 section 3.3: a local part has no other form). */
bool idna_address(const char *address, struct buf *out);

#endif
