/* force: a header as an account with force-from = yes demands it.
 *
 * Providers exist that take mail from the account's own address only.  So From:
 * becomes that address, behind the name that stood there, and the author moves
 * to Reply-To:, unless the message has one of its own.  A message that is from
 * that address alone stays as it is.  Pure. */
#ifndef FORCE_H
#define FORCE_H

#include "buf.h"
#include "header.h"

/* Appends to *out the fields of h and the empty line that ends them.  In the
 * place of the first From: stands "From: NAME <from>"; NAME is the first that
 * the field has, or nothing.  Reply-To: follows, with the old field's octets,
 * where an answer could use them: they name a mailbox, and no Reply-To: that
 * says something is there.  Other From: fields go, and so does a Sender: that is
 * another's.  Everything else passes octet by octet, signatures too: one over
 * From: is broken by this, and counts as none (RFC 6376 section 6.1), while a
 * refusal by the provider would lose the message. */
void force_header(const struct header *h, struct str from, struct buf *out);

#endif
