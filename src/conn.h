/* conn: one connection to a smarthost: resolve, connect, octets out, replies
 * in, the switch to TLS.  Every wait has a deadline.
 *
 * Writes are buffered until conn_flush, so that one group of commands is one
 * segment; while it waits to write it also reads, so that two full buffers
 * never face each other.  Failures are LATER with scope SERVER; after one the
 * connection is good for conn_close only (but see conn_flush). */
#ifndef CONN_H
#define CONN_H

#include <stdint.h>

#include "buf.h"
#include "host.h"
#include "outcome.h"
#include "reply.h"
#include "tls.h"
#include "trace.h"

struct conn {
	int fd;                 /* -1 while not connected: use CONN_INIT */
	struct tls *tls;        /* set by conn_start_tls; owned by the caller */
	char host[256];         /* the name of what was reached: of srv, the target */
	unsigned port;
	bool implicit;          /* srv: TLS from the first octet */
	char peer[64];          /* address in text, for logs: "192.0.2.1" */
	char local[64];         /* our own address: for an EHLO address literal */
	bool local_is_v6;
	struct buf in;          /* read, not yet used; at most CONN_UNREAD_MAX */
	struct buf out;         /* to be written */
	uint64_t written;       /* octets of it, so far */
	bool peer_closed;
	struct trace *trace;    /* where the dialogue is written down; NULL, or borrowed */
	struct str hidden;      /* what no reply shall be seen to say back to us; borrowed */
	/* private */
	bool cut_off;           /* closed without saying so in TLS */
	bool spoken;            /* one of the two has said something already */
};
#define CONN_INIT { .fd = -1 }

#define CONN_UNREAD_MAX (1u << 20)      /* octets from a peer that nobody asked for */

/* Where to, and how. */
struct conn_terms {
	const char *host;       /* a name, an address, or, for srv, the domain to ask about */
	unsigned port;
	bool srv;               /* RFC 6186 and 8314: _submissions._tcp, then _submission._tcp */
	enum family family;
	const char *source;     /* our own address; "" = the system's choice */
};

/* Resolves host by the C library and tries its addresses, IPv6 and IPv4 raced (RFC
 * 8305), 30 s each.  May be long: a hanging resolver is the caller's to bound.  The
 * reason names host, port and what each address answered (dial.h).  Then c->host and
 * c->port are what was reached, and c->implicit what an SRV record says of TLS; the
 * servers that DNS names share 90 s. */
enum outcome conn_open(struct conn *c, const struct conn_terms *terms, struct why *why);

/* Wraps the connection in tls (prepared), handshaking within seconds.
 * Refused, with scope SERVER, if octets of the peer are already here: whatever
 * was sent in plaintext before the handshake is an attack (CVE-2021-38371). */
enum outcome conn_start_tls(struct conn *c, struct tls *tls, double seconds, struct why *why);

void conn_put(struct conn *c, struct str octets);
void conn_putf(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For secrets and for text: octets that are not to be written down, and the line,
 * with its mark, that stands in their place. */
void conn_put_unseen(struct conn *c, struct str octets);
void conn_note(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes all that was put.  seconds: for each block that makes no progress
 * (RFC 5321 section 4.5.3.2.5), not for the whole.  When the peer closed
 * meanwhile, its last words are in the reason, and still in c->in: with c->out
 * cleared, conn_reply reads them. */
enum outcome conn_flush(struct conn *c, double seconds, struct why *why);

/* Reads one reply within seconds of wall-clock for the whole reply; flushes
 * before it waits, and not for one that is here already: what is put between several
 * of them goes out in one write.  The end of the connection, a broken reply and the deadline are LATER
 * with scope SERVER; *r is then not to be used. */
enum outcome conn_reply(struct conn *c, struct reply *r, double seconds, struct why *why);

/* True if something has come in that nobody asked for, or the peer has
 * closed: without waiting.  TLS's own records (tickets) are no surprise. */
bool conn_has_surprise(struct conn *c);

/* Ends TLS politely if there is one, closes; may be called twice. */
void conn_close(struct conn *c);

#endif
