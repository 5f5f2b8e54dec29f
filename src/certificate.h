/* certificate: what the certificates of a server say, for us and for people.  The only
 * file that includes <gnutls/x509.h>; whether they are believed is decided in tls.c, by
 * the library. */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include "buf.h"
#include "pin.h"

#define CHAIN_MAX 8             /* certificates that are looked at */

/* As they were shown, the server's own first.  Zero is none. */
struct chain {
	struct gnutls_x509_crt_int *v[CHAIN_MAX];
	unsigned n;
};

/* From their DER; what is no certificate is left out.  Freed by chain_free. */
void chain_read(struct chain *c, const struct str *der, unsigned n);
void chain_free(struct chain *c);

/* The fingerprint of the server's key; false where there is none. */
bool chain_take_print(const struct chain *c, unsigned char print[PIN_LEN]);
/* Has the server's own a DNS name, whichever? */
bool chain_has_dns_name(const struct chain *c);

/* Who asks: names one is wanted for, and where the trusted ones are, in words. */
struct reader {
	const char *name;
	const char *or_else;    /* "" = no other */
	const char *store;
};
/* What is wrong by the library's bits (gnutls_certificate_status_t), appended: a
 * predicate, "expired on ...".  The answer is the next step. */
const char *chain_explain(const struct chain *c, unsigned status, const struct reader *r,
    struct buf *out);

#endif
