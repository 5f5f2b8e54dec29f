/* refit: one header field made to fit a server that takes less than it has.
 *
 * What fits passes octet by octet.  Else, by the kind of the field: unstructured
 * text and display names become encoded-words (RFC 2047), parameters extended ones
 * (RFC 2231), a domain A-labels (RFC 5890); a line over 998 octets is folded.
 * A local part cannot be written otherwise: NEVER, 5.6.7.  An octet over 127 where a
 * field's grammar leaves no place for words puts all of the field into another that
 * begins with "Downgraded-" (RFC 6857 section 3). */
#ifndef REFIT_H
#define REFIT_H

#include "buf.h"
#include "outcome.h"

#define REFIT_LINE_MAX 998      /* octets, line end not counted (RFC 5322 section 2.1.1) */
/* Octets of a field that can be written otherwise: while it is, each of its words takes
 * fifty times as many of memory. */
#define REFIT_FIELD_MAX (1u << 19)

struct refit_terms {
	bool utf8;              /* UTF-8 may stay */
	bool (*to_ascii)(struct str domain, struct buf *out);   /* may be NULL */
};

/* whole: the field with all its line ends, name_len: octets of its name.  Does it fit? */
bool refit_fits(const struct refit_terms *t, struct str whole);
/* Appends the field as it is or as it fits.  NEVER: scope MESSAGE. */
enum outcome refit_field(const struct refit_terms *t, struct str whole, size_t name_len,
    struct buf *out, struct why *why);

#endif
