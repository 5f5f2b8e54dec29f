/* host: names and addresses of machines, as people write them.
 *
 * Forms only: nothing is resolved, and whether such a machine exists is
 * another question. */
#ifndef HOST_H
#define HOST_H

#include "buf.h"

/* Which kind of address a connection may use. */
enum family { FAMILY_ANY, FAMILY_IPV4, FAMILY_IPV6 };

/* Labels of letters, digits and hyphens with dots between them (RFC 5321
 * section 4.1.2); high: octets of other scripts too (RFC 6531). */
bool host_is_domain(struct str s, bool high);

/* A domain that we may give as our name in EHLO: more than one label, not
 * below localhost, and no number behind the last dot, for that is half an
 * address and no name at all. */
bool host_is_full_name(struct str s);

/* What one may connect to: a name in ASCII, with underscores too, or an
 * address, an IPv6 one with a zone behind '%' or without. */
bool host_is_server(struct str s);

/* An address, of either kind, an IPv6 one with a zone or without. */
bool host_is_address(struct str s);

/* Is it that domain, or below it?  A dot at the end of either makes no difference. */
bool host_is_inside(struct str host, struct str domain);

/* Is it this machine by its very form: localhost, or a loopback address? */
bool host_is_loopback(const char *host);

/* Splits "host", "host:port" and "[IPv6]:port" where the host is a server in
 * the sense above and the port, if any, a number of any size; *port is empty
 * where there is none.  Both borrow from text. */
bool host_split(struct str text, struct str *host, struct str *port);

#endif
