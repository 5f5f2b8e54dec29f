/* pin: public keys that are believed by their fingerprint.
 *
 * A pin is the SHA-256 of a SubjectPublicKeyInfo (RFC 7469 section 2.4), written as
 * one word: "sha256:" and 64 hexadecimal digits, with colons between the octets or
 * without, or 44 characters of base64. */
#ifndef PIN_H
#define PIN_H

#include "buf.h"

#define PIN_LEN 32              /* octets of a fingerprint */

/* False for anything that is not one whole pin. */
bool pin_parse(struct str word, unsigned char fingerprint[PIN_LEN]);
/* Is it one of the pins of a list, whose words have spaces between them? */
bool pin_fits(struct str list, const unsigned char fingerprint[PIN_LEN]);
/* As one would write it; appended. */
void pin_show(struct buf *out, const unsigned char fingerprint[PIN_LEN]);

#endif
