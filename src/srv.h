/* srv: which servers take a domain's submissions, as its DNS says (RFC 6186, RFC 8314
 * section 5.1).  The only file that includes <resolv.h>.
 *
 * _submissions._tcp, which is TLS from the first octet, comes before _submission._tcp,
 * which is STARTTLS.  Nobody has signed the answer: whose certificate is believed is
 * decided by the domain that was asked about, not by the names found here (tls.h). */
#ifndef SRV_H
#define SRV_H

#include <stdint.h>

#include "buf.h"
#include "outcome.h"

#define SRV_TARGETS_MAX 16      /* that are looked at: the list comes from the network */
#define SRV_NAME_MAX 255        /* octets of a name (RFC 1035 section 2.3.4) */

struct srv_target {
	char host[SRV_NAME_MAX + 1];
	unsigned port;
	bool implicit;          /* TLS from the first octet */
	unsigned priority, weight;
};

struct srv {
	struct srv_target v[SRV_TARGETS_MAX];
	unsigned n;
};

/* The servers in the order to try them (RFC 2782).  LATER, scope SERVER, also where there
 * are none: what DNS says may be mended.  Waits as long as the resolver does. */
enum outcome srv_find(const char *domain, struct srv *found, struct why *why);

/* ---- its parts, for tests ---- */

/* Appends the targets that an answer (RFC 1035 section 4.1) has for name, and no more than
 * there is room for.  Those that are no host name, and the one that says there is no such
 * service ("."), are left out.  False for octets that are no answer. */
bool srv_parse(struct str octets, const char *name, bool implicit, struct srv *found);
/* By priority, and within one by weight and by what chance gives. */
void srv_order(struct srv_target *v, unsigned n, uint32_t (*chance)(void));

#endif
