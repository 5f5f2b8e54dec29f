/* tls: a verified, encrypted channel over a connected socket (RFC 8446, 5246;
 * RFC 8314).  The only file that includes <gnutls/gnutls.h>.
 *
 * Everything that opens a file (the trust store, the library's own settings)
 * happens in tls_prepare, so that the sandbox can be shut before the first
 * octet from the network.  TLS 1.2 or newer; the certificate chain and the
 * name are always verified; there is no switch that turns that off.  Names
 * are looked for in subjectAltName alone, never in the CN (RFC 9525).
 *
 * Nothing here waits and nothing looks at a clock but for the words about a
 * certificate's dates: conn does the waiting. */
#ifndef TLS_H
#define TLS_H

#include <sys/types.h>

#include "buf.h"
#include "outcome.h"

struct tls;

/* name: what the certificate must be for: a host name, or an IP address in
 * text (no SNI then).  ca_file: "" for the system's trust store.  LATER with
 * scope SERVER when there is no usable trust store ("no CA certificates found
 * in ...").  *t is freed by tls_free also after a failure. */
enum outcome tls_prepare(struct tls **t, const char *name, const char *ca_file, struct why *why);

/* Handshakes on fd (non-blocking) as far as it goes without waiting: DONE;
 * LATER with *wants (POLLIN, POLLOUT): wait for the socket and call again; or
 * LATER with *wants 0: failed.  *why is filled only then, with scope SERVER
 * and what a person needs: the names the certificate has, its dates against
 * our clock, unknown issuer, self-signed. */
enum outcome tls_handshake(struct tls *t, int fd, short *wants, struct why *why);

/* As read(2) and write(2) on a non-blocking socket: octets moved; 0 from
 * tls_read is the peer's end (close_notify or bare EOF: *clean tells);
 * -1 with EAGAIN and *wants (POLLIN, POLLOUT) when the socket must be waited
 * for; -1 with EPROTO otherwise (the words are then in tls_error).  After
 * EAGAIN tls_write must be given the same octets again: they may be sealed
 * and half way out. */
ssize_t tls_read(struct tls *t, void *p, size_t size, short *wants, bool *clean);
ssize_t tls_write(struct tls *t, const void *p, size_t size, short *wants);
/* "" while nothing has failed; masked. */
const char *tls_error(const struct tls *t);
/* "TLS 1.3, AES-256-GCM", for people; nothing before the handshake. */
void tls_describe(const struct tls *t, struct buf *out);
/* Sends close_notify without waiting for the peer's. */
void tls_bye(struct tls *t);
void tls_free(struct tls **t);

#endif
