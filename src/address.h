/* address: RFC 5322 address lists, read into what SMTP can carry.
 *
 * One parser for argv and for header fields: groups, comments, quoted strings,
 * folding, and the obsolete syntax of section 4.4 (routes, empty elements,
 * space and comments around dots).  It never splits a quoted local part and
 * never joins two addresses; what it cannot read it refuses with a reason. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include "buf.h"
#include "outcome.h"

#define ADDRESS_MAX 1024        /* octets of one address; RFC 5321 4.5.3.1 asks for 256 */

/* One mailbox. */
struct address {
	struct buf spec;        /* local@domain as SMTP writes it, or a bare local part */
	struct buf name;        /* display name, unquoted and unfolded; of an address without
	                         * angle brackets the last comment; "" if none */
	size_t bare_end;        /* no domain: offset in the parsed text just behind the
	                         * local part, where "@domain" would go; else SIZE_MAX */
	/* No domain: where the mailbox stands in the parsed text, its display name
	 * included, and where its '<' does, SIZE_MAX without one. */
	size_t begin, end, angle;
};

struct address_list {
	struct address *v;
	size_t n;
};

/* Only this module adds to a list. */
void address_list_free(struct address_list *list);

/* Adds every mailbox of text to *list, groups flattened, in order, duplicates
 * kept.  Nothing but space and comments is an empty list and DONE.  NEVER with
 * exit 65 for what is not an address list, holds CR (outside folding), LF
 * (outside folding), NUL or another control octet in an address, or has an
 * address over ADDRESS_MAX; the list may then hold those read before. */
enum outcome address_parse(struct str text, struct address_list *list, struct why *why);

/* The same for one mailbox or the null address: "", "<>", "a@b", "<a@b>",
 * "Name <a@b>".  Null fills *spec with ""; what *spec held before is gone. */
enum outcome address_parse_one(struct str text, struct buf *spec, struct why *why);

bool address_has_domain(struct str spec);
/* Appends "@domain" to a bare local part, Postmaster too: a smarthost's own
 * postmaster is not meant.  The null address and others stay; so do all where
 * domain is "". */
void address_qualify(struct buf *spec, struct str domain);
/* The domain of spec, behind its last unquoted '@'; empty if there is none. */
struct str address_domain(struct str spec);
/* Domain compared without case, local part with (RFC 5321 section 2.4). */
bool address_same(struct str a, struct str b);
/* Fills repeated[i]: is v[i] the same as one before it?  Of many, in good time. */
void address_find_repeated(const struct str *v, size_t n, bool *repeated);

/* May this stand between < and > in MAIL or RCPT?  No control octet, no space
 * or angle bracket outside a quoted local part, at most ADDRESS_MAX octets.
 * Asked again wherever an address comes back from a file or goes to a socket.
 * "" (the null address) passes; octets over 127 pass (RFC 6531). */
bool address_is_sendable(struct str spec);

/* A text, such as a server's, without the addresses in it: "<...>" for what is in
 * brackets, and for what holds an @; appended. */
void address_hide(struct str text, struct buf *out);

#endif
