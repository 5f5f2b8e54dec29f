/* phrase: the words that a header is made of (RFC 5322 section 3.2): atoms,
 * quoted strings, and a person's name as a phrase of them.
 *
 * Whatever the name, what is written here is one name: it opens no comment,
 * no address and no line.  All append to *out and keep nothing. */
#ifndef PHRASE_H
#define PHRASE_H

#include "buf.h"

/* May an atom hold this octet?  Section 3.2.3, and UTF-8 by RFC 6532 section
 * 3.2; no for what is negative. */
bool phrase_is_atext(int c);

/* s in double quotes; s has no control octet. */
void phrase_add_quoted(struct buf *out, struct str s);

/* A display name as a phrase (section 3.2.5): as it is where it is made of
 * atoms, else quoted, else RFC 2047 encoded-words (UTF-8, at most 75 octets
 * each, joined by a space) when not ASCII.  Control octets are dropped, and
 * what is beyond 400 octets; encoded words of an ASCII name stay as they are. */
void phrase_add(struct buf *out, struct str name);

#endif
