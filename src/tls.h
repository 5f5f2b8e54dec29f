/* tls: a verified, encrypted channel over a connected socket (RFC 8446, 5246;
 * RFC 8314).  The only file that includes <gnutls/gnutls.h>.
 *
 * Everything that opens a file (the trust store, the library's own settings)
 * happens in tls_prepare, so that the sandbox can be shut before the first
 * octet from the network.  TLS 1.2 or newer; the certificate chain and the
 * name are always verified, or the key against a pin; there is no switch that
 * turns that off.  Names are looked for in subjectAltName alone, never in the CN
 * (RFC 9525).  Nothing is resumed: it saves no round trip, and would leave secrets
 * lying about; and no application protocol is named, since SMTP has none (RFC 8314).
 *
 * Nothing here waits and nothing looks at a clock but for the words about a
 * certificate's dates: conn does the waiting. */
#ifndef TLS_H
#define TLS_H

#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "outcome.h"

struct tls;

/* What an account wants of it; "" = not said. */
struct tls_terms {
	const char *ca_file;    /* "" = the system's trust store */
	const char *pin;        /* words "sha256:..." of public keys: one that fits suffices, and
	                         * neither chain nor name nor date is then looked at */
	const char *cert_file;  /* our own certificate, PEM, with the chain, */
	const char *key_file;   /* and its key, readable by us alone */
};

/* Reads the files.  LATER with scope SERVER when there is no usable trust store ("no
 * CA certificates found in ..."), with scope ACCOUNT where one of ours cannot be used.
 * *t is freed by tls_free also after a failure. */
enum outcome tls_prepare(struct tls **t, const struct tls_terms *terms, struct why *why);
/* What the certificate must be for: a host name, or an IP address in text (no SNI
 * then); or_else: another name that will do, or NULL.  Before the handshake. */
enum outcome tls_expect(struct tls *t, const char *name, const char *or_else, struct why *why);

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
/* The channel binding "tls-exporter" (RFC 9266), 32 octets appended; false where there
 * is none. */
bool tls_binding(const struct tls *t, struct buf *out);
/* When the server's certificate ends; 0 before the handshake, and for a pinned key. */
time_t tls_expires(const struct tls *t);
/* Sends close_notify without waiting for the peer's. */
void tls_bye(struct tls *t);
void tls_free(struct tls **t);

/* What else of GnuTLS this house needs; both leave nothing of the secret behind.
 * PBKDF2 (RFC 8018 section 5.2) by HMAC with SHA-256, or SHA-1 where size is 20: that
 * many octets of *out.  And HMAC-MD5 (RFC 2104).  False where the library has it not. */
bool tls_stretch(struct str secret, struct str salt, unsigned iterations, unsigned char *out,
    size_t size);
bool tls_hmac_md5(struct str secret, struct str text, unsigned char out[16]);

#endif
