/* dial: a connection to one of a host's addresses.
 *
 * IPv6 and IPv4 take turns, and are raced (RFC 8305): the next address is tried
 * when the one before has failed, or has said nothing for a moment, and whichever
 * connects first is taken.  So a network that swallows one of the two costs that
 * moment, and no more. */
#ifndef DIAL_H
#define DIAL_H

#include <netdb.h>
#include <sys/socket.h>

#include "host.h"
#include "outcome.h"

#define DIAL_ADDRESSES_MAX 16   /* of one host: the list comes from the network */
#define DIAL_SECONDS 30         /* for one address */

struct dial_terms {
	const char *host;       /* a name or an address */
	unsigned port;
	enum family family;
	const char *source;     /* our own address; "" = the system's choice */
	double seconds;         /* for each address */
};

/* Resolves by the C library and connects.  *fd: not blocking, small writes are not
 * kept back.  LATER, scope SERVER: the reason names host, port and what each address
 * answered.  May be long: a hanging resolver is the caller's to bound. */
enum outcome dial(int *fd, const struct dial_terms *terms, struct why *why);

/* An address in text: "192.0.2.1"; "?" for what is none. */
void dial_show(const struct sockaddr_storage *a, char *out, size_t size);

/* ---- its two halves, for tests ---- */

struct dial_address {
	struct sockaddr_storage at;
	socklen_t len;
	int error;              /* why it was not reached; 0 where it was, or nobody tried */
};
/* The first addresses of a list, in the order to try them; how many. */
unsigned dial_order(const struct addrinfo *list, struct dial_address v[DIAL_ADDRESSES_MAX]);
/* The connected socket, or -1.  source: NULL, or what to bind. */
int dial_race(struct dial_address *v, unsigned n, const struct dial_address *source,
    double seconds);

#endif
