#include "certificate.h"

#include <arpa/inet.h>
#include <time.h>

#include <gnutls/x509.h>

#include "codec.h"
#include "host.h"

/* What a certificate may say of itself in a reason, which is one line. */
#define NAMES_SHOWN 6
#define NAMES_LEN 240
#define NAME_LEN 200

void
chain_read(struct chain *c, const struct str *der, unsigned n)
{
	for (unsigned i = 0; i < n && c->n < CHAIN_MAX; i++) {
		const gnutls_datum_t one = { (unsigned char *)(uintptr_t)der[i].p, (unsigned)der[i].len };

		if (gnutls_x509_crt_init(&c->v[c->n]) < 0)
			return;
		if (gnutls_x509_crt_import(c->v[c->n], &one, GNUTLS_X509_FMT_DER) == 0)
			c->n++;
		else
			gnutls_x509_crt_deinit(c->v[c->n]);
	}
}

void
chain_free(struct chain *c)
{
	while (c->n > 0)
		gnutls_x509_crt_deinit(c->v[--c->n]);
}

bool
chain_take_print(const struct chain *c, unsigned char print[PIN_LEN])
{
	size_t size = PIN_LEN;

	return c->n > 0 && gnutls_x509_crt_get_key_id(c->v[0], GNUTLS_KEYID_USE_SHA256, print,
	    &size) == 0;
}

bool
chain_has_dns_name(const struct chain *c)
{
	unsigned char name[256];

	for (unsigned i = 0; c->n > 0; i++) {
		size_t size = sizeof name;
		int type = gnutls_x509_crt_get_subject_alt_name(c->v[0], i, name, &size, NULL);

		if (type == GNUTLS_SAN_DNSNAME)
			return true;
		if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			break;
	}
	return false;
}

/* ---- for people ----------------------------------------------------------------------- */

/* Masked, and cut where a character ends. */
static void
add_masked(struct buf *out, struct str foreign)
{
	struct buf masked = { 0 };
	size_t len;

	codec_mask(&masked, foreign);
	len = masked.len;
	if (len > NAME_LEN) {
		len = NAME_LEN;
		while (len > 0 && ((unsigned char)masked.p[len] & 0xc0) == 0x80)
			len--;
	}
	buf_add(out, buf_c(&masked), len);
	if (len < masked.len)
		buf_adds(out, "...");
	buf_free(&masked);
}

static void
add_address(struct buf *out, struct str raw)
{
	char text[INET6_ADDRSTRLEN];

	if ((raw.len == 4 && inet_ntop(AF_INET, raw.p, text, sizeof text) != NULL) ||
	    (raw.len == 16 && inet_ntop(AF_INET6, raw.p, text, sizeof text) != NULL))
		buf_adds(out, text);
	else
		buf_adds(out, "(no address)");
}

/* An address written as a name counts for nothing (RFC 9525 section 6.4), and
 * a reason that does not say so would read "is for X and not for X". */
static void
add_dns_name(struct buf *out, struct str name)
{
	add_masked(out, name);
	if (host_is_address(name))
		buf_adds(out, " (as a name, not as an address)");
}

/* The names of a certificate that a server can have, for people. */
static void
list_names(gnutls_x509_crt_t crt, struct buf *out)
{
	unsigned shown = 0, more = 0;

	for (unsigned i = 0; ; i++) {
		char value[256];
		size_t size = sizeof value;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, value, &size, NULL);

		/* What is too long for DNS is nobody's name; go on behind it. */
		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			break;
		if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_IPADDRESS)
			continue;
		if (shown == NAMES_SHOWN || out->len > NAMES_LEN) {
			more++;
			continue;
		}
		if (shown++ > 0)
			buf_adds(out, ", ");
		if (type == GNUTLS_SAN_DNSNAME)
			add_dns_name(out, str_from(value, size));
		else
			add_address(out, str_from(value, size));
	}
	if (more > 0)
		buf_addf(out, " and %u more", more);
}

static void
add_cn(struct buf *out, gnutls_x509_crt_t crt)
{
	char cn[256];
	size_t size = sizeof cn;

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &size) == 0)
		add_masked(out, str_from(cn, size));
	else
		buf_adds(out, "(none)");
}

static void
add_issuer(struct buf *out, gnutls_x509_crt_t crt)
{
	gnutls_datum_t dn = { 0 };

	if (gnutls_x509_crt_get_issuer_dn3(crt, &dn, 0) < 0) {
		buf_adds(out, "(unnamed)");
		return;
	}
	add_masked(out, str_from(dn.data, dn.size));
	gnutls_free(dn.data);
}

static void
add_clock(struct buf *out)
{
	buf_adds(out, " (this machine's clock says ");
	codec_stamp(out, time(NULL));
	buf_addc(out, ')');
}

static void
say_names(const struct reader *r, const struct chain *c, struct buf *out)
{
	struct buf names = { 0 };

	list_names(c->v[0], &names);
	if (names.len > 0) {
		buf_addf(out, "is for %s and not for %s%s%s", buf_c(&names), r->name,
		    r->or_else[0] != '\0' ? " or " : "", r->or_else);
	} else {
		buf_adds(out, "names no server in subjectAltName, only in its CN: ");
		add_cn(out, c->v[0]);
	}
	buf_free(&names);
}

static void
say_expired(const struct reader *r, const struct chain *c, struct buf *out)
{
	time_t now = time(NULL);
	unsigned i = 0;

	(void)r;
	while (i + 1 < c->n && gnutls_x509_crt_get_expiration_time(c->v[i]) >= now)
		i++;
	if (gnutls_x509_crt_get_expiration_time(c->v[i]) >= now)
		i = 0;
	buf_adds(out, i > 0 ? "has an issuer that expired on " : "expired on ");
	codec_stamp(out, gnutls_x509_crt_get_expiration_time(c->v[i]));
	add_clock(out);
}

static void
say_early(const struct reader *r, const struct chain *c, struct buf *out)
{
	time_t now = time(NULL);
	unsigned i = 0;

	(void)r;
	while (i + 1 < c->n && gnutls_x509_crt_get_activation_time(c->v[i]) <= now)
		i++;
	if (gnutls_x509_crt_get_activation_time(c->v[i]) <= now)
		i = 0;
	buf_adds(out, i > 0 ? "has an issuer that is not valid before " : "is not valid before ");
	codec_stamp(out, gnutls_x509_crt_get_activation_time(c->v[i]));
	add_clock(out);
}

/* With the fingerprint of its key, for who has reason to believe in that. */
static void
say_unknown(const struct reader *r, const struct chain *c, struct buf *out)
{
	gnutls_x509_crt_t last = c->v[c->n - 1];
	unsigned char print[PIN_LEN];

	if (c->n == 1 && gnutls_x509_crt_check_issuer(last, last)) {
		buf_addf(out, "is self-signed and not in %s", r->store);
	} else {
		buf_adds(out, "was issued by ");
		add_issuer(out, last);
		buf_addf(out, ", which is not in %s", r->store);
	}
	if (chain_take_print(c, print)) {
		buf_adds(out, " (its key is ");
		pin_show(out, print);
		buf_addc(out, ')');
	}
}

static void
say_weak(const struct reader *r, const struct chain *c, struct buf *out)
{
	unsigned bits = 0;
	const char *key, *sign;

	(void)r;
	key = gnutls_pk_algorithm_get_name((gnutls_pk_algorithm_t)
	    gnutls_x509_crt_get_pk_algorithm(c->v[0], &bits));
	sign = gnutls_sign_get_name((gnutls_sign_algorithm_t)
	    gnutls_x509_crt_get_signature_algorithm(c->v[0]));
	buf_addf(out, "or one of its issuers is too weak (its key: %s, %u bits; signed with %s)",
	    key != NULL ? key : "unknown", bits, sign != NULL ? sign : "an unknown algorithm");
}

/* What the library finds wrong with a certificate, and what to say of it; the
 * first row that applies also gives the next step. */
static const struct fault {
	unsigned bit;
	void (*say)(const struct reader *, const struct chain *, struct buf *);
	const char *text;       /* where there is nothing to look up */
	const char *next;
} faults[] = {
	{ GNUTLS_CERT_UNEXPECTED_OWNER, say_names, NULL,
	    "check host, set tls-name if one of these is the right one, or ask the provider" },
	{ GNUTLS_CERT_EXPIRED, say_expired, NULL,
	    "if the clock is right, the provider must renew it" },
	{ GNUTLS_CERT_NOT_ACTIVATED, say_early, NULL, "check this machine's clock" },
	{ GNUTLS_CERT_REVOKED, NULL, "was revoked", "ask the provider" },
	{ GNUTLS_CERT_SIGNER_NOT_FOUND, say_unknown, NULL,
	    "if you trust its issuer, put the issuer's certificate into a file and name that in "
	    "tls-ca-file; if the provider confirms its key, put that into tls-pin" },
	{ GNUTLS_CERT_SIGNER_NOT_CA, NULL, "was signed by a certificate that may not sign others",
	    "ask the provider" },
	{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, NULL, "is not what its issuer may issue",
	    "ask the provider" },
	{ GNUTLS_CERT_INSECURE_ALGORITHM, say_weak, NULL, "the provider must replace it" },
	{ GNUTLS_CERT_PURPOSE_MISMATCH, NULL, "was not issued for servers",
	    "the provider must replace it" },
	{ GNUTLS_CERT_SIGNATURE_FAILURE, NULL, "has a signature that is wrong",
	    "somebody may be listening in; ask the provider" },
	{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, NULL, "makes demands that are not understood here",
	    "ask the provider" },
	{ GNUTLS_CERT_MISSING_OCSP_STATUS | GNUTLS_CERT_INVALID_OCSP_STATUS, NULL,
	    "came without the proof that it was not revoked", "ask the provider" },
};

const char *
chain_explain(const struct chain *c, unsigned status, const struct reader *r, struct buf *out)
{
	const char *next = "ask the provider";
	bool said = false;

	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		const struct fault *f = &faults[i];

		if ((status & f->bit) == 0 || (f->say != NULL && c->n == 0))
			continue;
		if (said)
			buf_adds(out, ", and ");
		else
			next = f->next;
		said = true;
		if (f->say != NULL)
			f->say(r, c, out);
		else
			buf_adds(out, f->text);
	}
	if (!said)
		buf_adds(out, "cannot be verified");
	return next;
}
