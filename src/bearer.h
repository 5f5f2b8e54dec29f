/* bearer: an OAuth token as it is said to a server: OAUTHBEARER (RFC 7628) and XOAUTH2
 * (Google's and Microsoft's word for the same), one line each.
 *
 * Pure.  What is put into *out holds the token: it has its full size from the first
 * octet on, and is the caller's to wipe. */
#ifndef BEARER_H
#define BEARER_H

#include "buf.h"

/* Can this be a token: one or more printable octets of ASCII, none of them a space?
 * Anything else would end its own line. */
bool bearer_is_token(struct str token);

/* RFC 7628 section 3.1.  The host and the port are those that we connected to. */
void bearer_put_oauth(struct buf *out, struct str user, const char *host, unsigned port,
    struct str token);
void bearer_put_xoauth2(struct buf *out, struct str user, struct str token);

/* The word of "status" in what a server says of a token that it refuses (RFC 7628
 * section 3.2.2), a view of it; empty where there is none. */
struct str bearer_status(struct str json);

#endif
