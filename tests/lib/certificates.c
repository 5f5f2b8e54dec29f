#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "certificates.h"
#include "codec.h"
#include "file.h"

#define DAY 86400
#define SAN_OID "2.5.29.17"
#define CRITICAL_OID "1.3.6.1.4.1.32473.1"      /* of the arc for examples (RFC 5612) */

enum issuer { CA, MIDDLE, NARROW_MIDDLE, NO_CA, STRANGER, ITSELF };

/* Which others go with it. */
enum company { ISSUERS, ALONE, SHUFFLED, WITH_STRANGER };

/* What a certificate shall be.  Zero: for the names of --name, for servers, valid for
 * two months. */
static const struct kind {
	const char *name;
	struct str names;       /* in place of --name's, one a line */
	const char *cn;
	int from, to;           /* days from today; both 0 is -10 to 60 */
	enum issuer issuer;
	enum company company;
	const char *purpose;
	bool nameless;          /* no subjectAltName */
	bool weak_key, weak_hash, critical;
} kinds[] = {
	{ .name = "good" },
	{ .name = "wrong-name", .names = STR("wrong.example.org\n") },
	{ .name = "expired", .from = -10, .to = -1 },
	{ .name = "not-yet", .from = 1, .to = 60 },
	{ .name = "ends-soon", .from = -80, .to = 10 },
	{ .name = "self-signed", .issuer = ITSELF },
	{ .name = "unknown-ca", .issuer = STRANGER },
	{ .name = "no-san", .nameless = true, .cn = "CN=localhost" },
	{ .name = "ip-san", .names = STR("127.0.0.1\n") },
	{ .name = "ip-in-cn", .nameless = true, .cn = "CN=127.0.0.1" },
	{ .name = "nul-in-name", .names = STR("localhost\0.evil.example\n") },
	{ .name = "wildcard", .names = STR("*.example.com\n") },
	{ .name = "wildcard-part", .names = STR("f*.example.com\n") },
	{ .name = "wildcard-all", .names = STR("*\n") },
	{ .name = "wildcard-two", .names = STR("*.*.example.com\n") },
	{ .name = "wildcard-tld", .names = STR("*.com\n") },
	{ .name = "weak-key", .weak_key = true },
	{ .name = "sha1-signature", .weak_hash = true },
	{ .name = "wrong-purpose", .purpose = GNUTLS_KP_TLS_WWW_CLIENT },
	{ .name = "critical", .critical = true },
	{ .name = "ca-false-issuer", .issuer = NO_CA },
	{ .name = "name-constraint", .issuer = NARROW_MIDDLE },
	{ .name = "intermediate", .issuer = MIDDLE },
	{ .name = "missing-intermediate", .issuer = MIDDLE, .company = ALONE },
	{ .name = "wrong-order", .issuer = MIDDLE, .company = SHUFFLED },
	{ .name = "extra-certs", .issuer = MIDDLE, .company = WITH_STRANGER },
};

struct identity {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

static struct identity issuers[ITSELF];

static void
must(int r)
{
	if (r < 0)
		die("GnuTLS: %s", gnutls_strerror(r));
}

/* A P-256 key, since it is made at once, and a certificate not yet signed. */
static void
make_identity(struct identity *id, const char *dn, int from, int until, bool weak)
{
	unsigned char serial[8];
	time_t now = time(NULL);

	must(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)));
	serial[0] &= 0x7f;              /* RFC 5280 4.1.2.2: positive */
	serial[0] |= 0x40;
	must(gnutls_x509_privkey_init(&id->key));
	must(gnutls_x509_privkey_generate(id->key, weak ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
	    weak ? 1024 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	must(gnutls_x509_crt_init(&id->crt));
	must(gnutls_x509_crt_set_version(id->crt, 3));
	must(gnutls_x509_crt_set_serial(id->crt, serial, sizeof(serial)));
	must(gnutls_x509_crt_set_activation_time(id->crt, now + from * DAY));
	must(gnutls_x509_crt_set_expiration_time(id->crt, now + until * DAY));
	must(gnutls_x509_crt_set_dn(id->crt, dn, NULL));
	must(gnutls_x509_crt_set_key(id->crt, id->key));
}

static void
free_identity(struct identity *id)
{
	gnutls_x509_crt_deinit(id->crt);
	gnutls_x509_privkey_deinit(id->key);
}

/* ---- names: written by hand, since the library would mend the bad ones ---- */

static void
add_length(struct buf *der, size_t len)
{
	if (len > 127)
		buf_addc(der, (char)0x82);
	if (len > 127)
		buf_addc(der, (char)(len >> 8));
	buf_addc(der, (char)len);
}

/* A GeneralName (RFC 5280 section 4.2.1.6): [2] is a DNS name, [7] an address. */
static void
add_name(struct buf *der, struct str name)
{
	char *s = mem_dup(name);
	unsigned char ip[16];
	int family = strchr(s, ':') != NULL ? AF_INET6 : AF_INET;
	bool is_ip = strlen(s) == name.len && inet_pton(family, s, ip) == 1;

	if (is_ip)
		name = str_from(ip, family == AF_INET6 ? 16 : 4);
	buf_addc(der, (char)(is_ip ? 0x87 : 0x82));
	add_length(der, name.len);
	buf_addstr(der, name);
	free(s);
}

static void
add_names(gnutls_x509_crt_t crt, struct str names)
{
	struct buf list = { 0 }, der = { 0 };
	struct str name;

	while (str_line(&names, &name))
		add_name(&list, name);
	buf_addc(&der, 0x30);
	add_length(&der, list.len);
	buf_addstr(&der, buf_str(&list));
	must(gnutls_x509_crt_set_extension_by_oid(crt, SAN_OID, der.p, der.len, 0));
	buf_free(&list);
	buf_free(&der);
}

/* ---- files ---- */

static void
write_file(const char *name, gnutls_datum_t pem, unsigned mode)
{
	if (file_replace(server.dirfd, name, (struct str){ (char *)pem.data, pem.size }, false) < 0 ||
	    fchmodat(server.dirfd, name, mode, 0) < 0)
		die("%s/%s: %s", server.dir, name, strerror(errno));
	gnutls_free(pem.data);
}

static void
write_crt(const char *name, gnutls_x509_crt_t crt)
{
	gnutls_datum_t pem;

	must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
	write_file(name, pem, 0644);
}

/* The fingerprint of its key, as tls-pin wants it. */
static void
write_pin(gnutls_x509_crt_t crt)
{
	unsigned char print[32];
	size_t size = sizeof(print);
	struct buf text = { 0 };
	gnutls_datum_t copy;

	must(gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, print, &size));
	buf_adds(&text, "sha256:");
	codec_base64(&text, str_from(print, size));
	copy = (gnutls_datum_t){ gnutls_malloc(text.len), (unsigned)text.len };
	memcpy(copy.data, text.p, text.len);
	write_file("pin", copy, 0644);
	buf_free(&text);
}

/* ---- who signs ---- */

static void
make_ca(enum issuer i, const char *dn, const struct identity *by)
{
	struct identity *ca = &issuers[i];

	make_identity(ca, dn, -400, 400, false);
	must(gnutls_x509_crt_set_basic_constraints(ca->crt, i != NO_CA, -1));
	if (i != NO_CA)
		must(gnutls_x509_crt_set_key_usage(ca->crt, GNUTLS_KEY_KEY_CERT_SIGN));
	if (i == NARROW_MIDDLE) {
		gnutls_x509_name_constraints_t only;

		must(gnutls_x509_name_constraints_init(&only));
		must(gnutls_x509_name_constraints_add_permitted(only, GNUTLS_SAN_DNSNAME,
		    &(gnutls_datum_t){ (unsigned char *)"example.org", 11 }));
		must(gnutls_x509_crt_set_name_constraints(ca->crt, only, 1));
		gnutls_x509_name_constraints_deinit(only);
	}
	by = by != NULL ? by : ca;
	must(gnutls_x509_crt_sign2(ca->crt, by->crt, by->key, GNUTLS_DIG_SHA256, 0));
}

static void
make_issuers(void)
{
	make_ca(CA, "CN=smarthost test CA", NULL);
	make_ca(MIDDLE, "CN=smarthost test intermediate CA", &issuers[CA]);
	make_ca(NARROW_MIDDLE, "CN=smarthost test CA for example.org", &issuers[CA]);
	make_ca(NO_CA, "CN=smarthost test of no CA", &issuers[CA]);
	make_ca(STRANGER, "CN=smarthost test stranger", NULL);
}

/* ---- the certificates ---- */

static void
sign(const struct identity *id, const struct identity *by, bool weak_hash)
{
	must(gnutls_x509_crt_sign2(id->crt, by->crt, by->key,
	    weak_hash ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256, 0));
}

static void
make_own(const struct kind *k, struct identity *own)
{
	bool usual = k->from == 0 && k->to == 0;

	make_identity(own, k->cn != NULL ? k->cn : "CN=smarthost test", usual ? -10 : k->from,
	    usual ? 60 : k->to, k->weak_key);
	if (!k->nameless)
		add_names(own->crt, k->names.len > 0 ? k->names : buf_str(&server.names));
	must(gnutls_x509_crt_set_basic_constraints(own->crt, 0, -1));
	must(gnutls_x509_crt_set_key_usage(own->crt, GNUTLS_KEY_DIGITAL_SIGNATURE));
	must(gnutls_x509_crt_set_key_purpose_oid(own->crt,
	    k->purpose != NULL ? k->purpose : GNUTLS_KP_TLS_WWW_SERVER, 0));
	if (k->critical)
		must(gnutls_x509_crt_set_extension_by_oid(own->crt, CRITICAL_OID, "\5\0", 2, 1));
	sign(own, k->issuer == ITSELF ? own : &issuers[k->issuer], k->weak_hash);
}

/* One that the client may show, in client.pem and client.key. */
static void
make_client(void)
{
	struct identity client;
	gnutls_datum_t pem;

	make_identity(&client, "CN=user@example.net", -10, 60, false);
	must(gnutls_x509_crt_set_key_usage(client.crt, GNUTLS_KEY_DIGITAL_SIGNATURE));
	must(gnutls_x509_crt_set_key_purpose_oid(client.crt, GNUTLS_KP_TLS_WWW_CLIENT, 0));
	sign(&client, &issuers[CA], false);
	write_crt("client.pem", client.crt);
	must(gnutls_x509_privkey_export2(client.key, GNUTLS_X509_FMT_PEM, &pem));
	write_file("client.key", pem, 0600);
	free_identity(&client);
}

/* What is shown, by a function of ours: the library would bring it into order. */
static struct {
	gnutls_pcert_st v[4];
	unsigned n;
	gnutls_privkey_t key;
} shown;

static int
show(gnutls_session_t session, const gnutls_datum_t *cas, int ncas, const gnutls_pk_algorithm_t *kinds_wanted,
    int nkinds, gnutls_pcert_st **certs, unsigned *n, gnutls_privkey_t *key)
{
	(void)session, (void)cas, (void)ncas, (void)kinds_wanted, (void)nkinds;
	*certs = shown.v;
	*n = shown.n;
	*key = shown.key;
	return 0;
}

static void
add_shown(gnutls_x509_crt_t crt)
{
	must(gnutls_pcert_import_x509(&shown.v[shown.n++], crt, 0));
}

/* The server's own comes first, whatever follows. */
static void
gather(const struct kind *k, const struct identity *own)
{
	add_shown(own->crt);
	if (k->company == SHUFFLED)
		add_shown(issuers[CA].crt);
	if (k->company == WITH_STRANGER || k->company == SHUFFLED)
		add_shown(issuers[STRANGER].crt);
	if (k->issuer != ITSELF && k->issuer != CA && k->company != ALONE)
		add_shown(issuers[k->issuer].crt);
	must(gnutls_privkey_init(&shown.key));
	must(gnutls_privkey_import_x509(shown.key, own->key, GNUTLS_PRIVKEY_IMPORT_COPY));
	gnutls_certificate_set_retrieve_function2(server.credentials, show);
}

void
make_certificates(void)
{
	const struct kind *k = kinds;
	struct identity own;

	while (strcmp(k->name, server.cert) != 0)
		k++;
	make_issuers();
	write_crt("ca.pem", issuers[CA].crt);
	make_own(k, &own);
	write_pin(own.crt);
	make_client();
	must(gnutls_certificate_allocate_credentials(&server.credentials));
	gather(k, &own);
	must(gnutls_certificate_set_x509_trust(server.credentials, &issuers[CA].crt, 1));
	free_identity(&own);
	for (unsigned i = 0; i < ITSELF; i++)
		free_identity(&issuers[i]);
}

void
free_certificates(void)
{
	gnutls_certificate_free_credentials(server.credentials);
	for (unsigned i = 0; i < shown.n; i++)
		gnutls_pcert_deinit(&shown.v[i]);
	gnutls_privkey_deinit(shown.key);
}

void
take_cert(const char *kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i].name) == 0) {
			server.cert = kinds[i].name;
			return;
		}
	}
	die("--cert: one of the kinds of certificates.c");
}
