#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "codec.h"
#include "file.h"

/* RFC 8997: nothing below 1.2.  PROFILE_MEDIUM refuses keys under 112 bits of
 * strength (RSA 1024), which NORMAL would let pass in a certificate. */
static const char priority[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%PROFILE_MEDIUM";

#define CA_FILE_MAX (16u << 20) /* octets; the system's bundle has a quarter of a million */
#define RECORD_MAX 16384        /* RFC 8446 section 5.1: plaintext of one record */
#define CCS_LEN 6               /* octets of a whole ChangeCipherSpec record */

/* Records in a row that carry no data (tickets, key updates, warnings): a
 * server has reason to send a few, and none to keep us busy with them. */
#define CHATTER_MAX 64

/* What a certificate may say of itself in a reason, which is one line. */
#define NAMES_SHOWN 6
#define NAMES_LEN 240
#define NAME_LEN 200

struct tls {
	gnutls_certificate_credentials_t trust;
	gnutls_session_t session;
	char *name;
	char *store;            /* where the trusted certificates are, in words */
	bool name_is_ip;
	gnutls_typed_vdata_st must_be[2];       /* the library keeps only a pointer */
	int fd;
	short blocked;          /* what the socket was not ready for */
	int net_errno;          /* what the socket failed with, 0 for nothing */
	int first;              /* the peer's first octet; -1 before it */
	/* What the library wants sent waits here: so one flight is one send, and
	 * the library never sees a full socket, whose retry rules mix up data
	 * with alerts and key updates. */
	struct buf unsent;
	size_t sealed;          /* octets of the caller's in unsent */
	bool agreed, failed;
	unsigned chatter;
	char error[200];
};

/* Sends what waits: 0, or -1 with errno. */
static int
flush(struct tls *t)
{
	size_t at = 0;
	ssize_t n = 0;

	while (at < t->unsent.len) {
		n = send(t->fd, t->unsent.p + at, t->unsent.len - at, MSG_NOSIGNAL);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			break;
	}
	buf_cut(&t->unsent, at);
	return n < 0 ? -1 : 0;
}

static ssize_t
push(gnutls_transport_ptr_t ptr, const void *p, size_t size)
{
	struct tls *t = ptr;

	buf_add(&t->unsent, p, size);
	return (ssize_t)size;
}

/* A ChangeCipherSpec alone, the least of all records, answers nothing (RFC 8446
 * section D.4): it waits for the Finished that follows. */
static bool
has_to_go(const struct tls *t)
{
	return t->unsent.len > CCS_LEN;
}

static ssize_t
pull(gnutls_transport_ptr_t ptr, void *p, size_t size)
{
	struct tls *t = ptr;
	ssize_t n;

	/* Nobody answers what was not sent.  If it cannot be sent, reading goes on
	 * all the same: the peer may be stuck in writing to us, or have said why
	 * it closed. */
	if (has_to_go(t))
		flush(t);
	do {
		n = recv(t->fd, p, size, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			t->blocked = POLLIN | (has_to_go(t) ? POLLOUT : 0);
		else
			t->net_errno = errno;
		gnutls_transport_set_errno(t->session, errno);
	} else if (n > 0 && t->first < 0) {
		t->first = *(const unsigned char *)p;
	}
	return n;
}

static bool
is_ip(const char *name)
{
	struct in6_addr a;

	return inet_pton(AF_INET, name, &a) == 1 || inet_pton(AF_INET6, name, &a) == 1;
}

/* As many as the library could read, 0 or less for none. */
static int
trust_file(struct tls *t, const char *path)
{
	struct buf pem = { 0 };
	int fd, n = -1;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	errno = 0;
	if (file_read_all(fd, &pem, CA_FILE_MAX) == 0) {
		gnutls_datum_t data = { (unsigned char *)pem.p, (unsigned)pem.len };

		n = pem.len == 0 ? 0 :
		    gnutls_certificate_set_x509_trust_mem(t->trust, &data, GNUTLS_X509_FMT_PEM);
		errno = 0;
	}
	buf_free(&pem);
	close(fd);
	return n;
}

static enum outcome
load_trust(struct tls *t, const char *ca_file, struct why *why)
{
	if (*ca_file == '\0') {
		t->store = mem_dup(STR("the system's trust store"));
		if (gnutls_certificate_set_x509_system_trust(t->trust) > 0)
			return DONE;
		return later(why, SCOPE_SERVER, "4.3.5",
		    "no CA certificates found in the system's trust store: install the package "
		    "ca-certificates, or name a file in tls-ca-file");
	}
	t->store = mem_dup(str_of(ca_file));
	errno = 0;
	if (trust_file(t, ca_file) > 0)
		return DONE;
	if (errno != 0)
		return later(why, SCOPE_SERVER, "4.3.5", "cannot read tls-ca-file %s: %s",
		    ca_file, strerror(errno));
	return later(why, SCOPE_SERVER, "4.3.5",
	    "no CA certificates found in %s (tls-ca-file): it must hold certificates in PEM form",
	    ca_file);
}

/* What the certificate must be for: the name, and servers (extended key usage,
 * RFC 5280 section 4.2.1.12). */
static void
demand(struct tls *t)
{
	t->must_be[0] = (gnutls_typed_vdata_st){ .type = GNUTLS_DT_DNS_HOSTNAME,
		.data = (unsigned char *)t->name };
	t->must_be[1] = (gnutls_typed_vdata_st){ .type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER };
	gnutls_session_set_verify_cert2(t->session, t->must_be, 2, 0);
}

/* No tickets: the next connection is another process and shall find no
 * secrets lying about. */
static int
make_session(struct tls *t)
{
	int ret;

	if ((ret = gnutls_init(&t->session,
	    GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS)) < 0)
		return ret;
	if ((ret = gnutls_priority_set_direct(t->session, priority, NULL)) < 0)
		return ret;
	if ((ret = gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->trust)) < 0)
		return ret;
	gnutls_transport_set_ptr(t->session, t);
	gnutls_transport_set_push_function(t->session, push);
	gnutls_transport_set_pull_function(t->session, pull);
	demand(t);
	return 0;
}

enum outcome
tls_prepare(struct tls **out, const char *name, const char *ca_file, struct why *why)
{
	struct str bare = str_of(name);
	struct tls *t = mem_alloc(sizeof *t);
	enum outcome o;
	int ret;

	*out = t;
	t->fd = -1;
	t->first = -1;
	/* "smtp.example.com." is the same host; certificates and SNI have no dot
	 * at the end (RFC 6066 section 3). */
	if (bare.len > 1 && bare.p[bare.len - 1] == '.')
		bare.len--;
	t->name = mem_dup(bare);
	t->name_is_ip = is_ip(t->name);
	if ((ret = gnutls_certificate_allocate_credentials(&t->trust)) < 0)
		goto failed;
	if ((o = load_trust(t, ca_file, why)) != DONE)
		return o;
	if ((ret = make_session(t)) < 0)
		goto failed;
	if (!t->name_is_ip && gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, t->name,
	    strlen(t->name)) < 0)
		return later(why, SCOPE_SERVER, "4.3.5",
		    "no certificate can be for the name %s: check host and tls-name", t->name);
	return DONE;
failed:
	return later(why, SCOPE_SERVER, "4.3.5", "cannot set up TLS: %s", gnutls_strerror(ret));
}

/* The peer's certificates, read afresh for words about them.  Zero is none. */
struct chain {
	gnutls_x509_crt_t v[8];
	unsigned n;
};

static void
chain_read(struct chain *c, const struct tls *t)
{
	unsigned have = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(t->session, &have);

	for (unsigned i = 0; raw != NULL && i < have && c->n < 8; i++) {
		if (gnutls_x509_crt_init(&c->v[c->n]) < 0)
			return;
		if (gnutls_x509_crt_import(c->v[c->n], &raw[i], GNUTLS_X509_FMT_DER) == 0)
			c->n++;
		else
			gnutls_x509_crt_deinit(c->v[c->n]);
	}
}

static void
chain_free(struct chain *c)
{
	while (c->n > 0)
		gnutls_x509_crt_deinit(c->v[--c->n]);
}

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
	char *text = mem_dup(name);

	add_masked(out, name);
	if (is_ip(text))
		buf_adds(out, " (as a name, not as an address)");
	free(text);
}

/* The names of a certificate that a server can have, for people; how many of
 * them are DNS names is the answer. */
static unsigned
list_names(gnutls_x509_crt_t crt, struct buf *out)
{
	unsigned shown = 0, more = 0, dns = 0;

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
		dns += type == GNUTLS_SAN_DNSNAME;
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
	return dns;
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
say_names(const struct tls *t, const struct chain *c, struct buf *out)
{
	struct buf names = { 0 };

	list_names(c->v[0], &names);
	if (names.len > 0) {
		buf_addf(out, "is for %s and not for %s", buf_c(&names), t->name);
	} else {
		buf_adds(out, "names no server in subjectAltName, only in its CN: ");
		add_cn(out, c->v[0]);
	}
	buf_free(&names);
}

static void
say_expired(const struct tls *t, const struct chain *c, struct buf *out)
{
	time_t now = time(NULL);
	unsigned i = 0;

	(void)t;
	while (i + 1 < c->n && gnutls_x509_crt_get_expiration_time(c->v[i]) >= now)
		i++;
	if (gnutls_x509_crt_get_expiration_time(c->v[i]) >= now)
		i = 0;
	buf_adds(out, i > 0 ? "has an issuer that expired on " : "expired on ");
	codec_stamp(out, gnutls_x509_crt_get_expiration_time(c->v[i]));
	add_clock(out);
}

static void
say_early(const struct tls *t, const struct chain *c, struct buf *out)
{
	time_t now = time(NULL);
	unsigned i = 0;

	(void)t;
	while (i + 1 < c->n && gnutls_x509_crt_get_activation_time(c->v[i]) <= now)
		i++;
	if (gnutls_x509_crt_get_activation_time(c->v[i]) <= now)
		i = 0;
	buf_adds(out, i > 0 ? "has an issuer that is not valid before " : "is not valid before ");
	codec_stamp(out, gnutls_x509_crt_get_activation_time(c->v[i]));
	add_clock(out);
}

static void
say_unknown(const struct tls *t, const struct chain *c, struct buf *out)
{
	gnutls_x509_crt_t last = c->v[c->n - 1];

	if (c->n == 1 && gnutls_x509_crt_check_issuer(last, last)) {
		buf_addf(out, "is self-signed and not in %s", t->store);
		return;
	}
	buf_adds(out, "was issued by ");
	add_issuer(out, last);
	buf_addf(out, ", which is not in %s", t->store);
}

static void
say_weak(const struct tls *t, const struct chain *c, struct buf *out)
{
	unsigned bits = 0;
	const char *key, *sign;

	(void)t;
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
	void (*say)(const struct tls *, const struct chain *, struct buf *);
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
	    "tls-ca-file" },
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

static enum outcome
refuse_certificate(const struct tls *t, unsigned status, struct why *why)
{
	struct buf said = { 0 };
	struct chain c = { 0 };
	const char *next = NULL;

	chain_read(&c, t);
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		const struct fault *f = &faults[i];

		if ((status & f->bit) == 0 || (f->say != NULL && c.n == 0))
			continue;
		if (said.len > 0)
			buf_adds(&said, ", and ");
		if (f->say != NULL)
			f->say(t, &c, &said);
		else
			buf_adds(&said, f->text);
		if (next == NULL)
			next = f->next;
	}
	if (said.len == 0)
		buf_adds(&said, "cannot be verified");
	later(why, SCOPE_SERVER, "4.7.5", "the certificate of %s %s; nothing was sent; %s",
	    t->name, buf_c(&said), next != NULL ? next : "ask the provider");
	chain_free(&c);
	buf_free(&said);
	return LATER;
}

/* GnuTLS looks into the CN of a certificate without DNS names, and has no flag
 * against it; RFC 9525 section 2 no longer knows the CN.  So a certificate that
 * passed must have a DNS name, and then the CN was not looked at. */
static bool
names_a_server(const struct tls *t)
{
	struct buf names = { 0 };
	struct chain c = { 0 };
	bool yes;

	if (t->name_is_ip)
		return true;
	chain_read(&c, t);
	yes = c.n > 0 && list_names(c.v[0], &names) > 0;
	chain_free(&c);
	buf_free(&names);
	return yes;
}

static const char *
alert_name(const struct tls *t)
{
	const char *name = gnutls_alert_get_name(gnutls_alert_get(t->session));

	return name != NULL ? name : "unknown alert";
}

/* Alerts whose usual cause is known. */
static const char *
alert_hint(gnutls_alert_description_t alert)
{
	if (alert == GNUTLS_A_PROTOCOL_VERSION || alert == GNUTLS_A_HANDSHAKE_FAILURE ||
	    alert == GNUTLS_A_INSUFFICIENT_SECURITY)
		return "; it may know nothing newer than TLS 1.1, which is not safe: ask the provider";
	if (alert == GNUTLS_A_UNRECOGNIZED_NAME)
		return "; it does not know this name: check host and tls-name";
	return "";
}

static enum outcome
refuse_handshake(const struct tls *t, int ret, struct why *why)
{
	/* RFC 8446 section 5.1: a record begins with 20 (change_cipher_spec) to
	 * 24 (heartbeat). */
	if (t->first >= 0 && (t->first < 20 || t->first > 24))
		return later(why, SCOPE_SERVER, "4.7.5",
		    "%s answered the TLS handshake with something else: refused; check port and tls "
		    "(587: starttls, 465: implicit)", t->name);
	switch (ret) {
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return later(why, SCOPE_SERVER, "4.4.2", "connection to %s broke in the TLS handshake: %s",
		    t->name, strerror(t->net_errno));
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return refuse_certificate(t, gnutls_session_get_verify_cert_status(t->session), why);
	case GNUTLS_E_PREMATURE_TERMINATION:
		return later(why, SCOPE_SERVER, "4.4.2",
		    "%s closed the connection in the TLS handshake", t->name);
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
		return later(why, SCOPE_SERVER, "4.7.5",
		    "%s knows no TLS that is safe (1.2 or newer): ask the provider", t->name);
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return later(why, SCOPE_SERVER, "4.7.5", "%s refused the TLS handshake: %s%s", t->name,
		    alert_name(t), alert_hint(gnutls_alert_get(t->session)));
	default:
		return later(why, SCOPE_SERVER, "4.7.5", "TLS handshake with %s failed: %s", t->name,
		    gnutls_strerror(ret));
	}
}

/* The peer learns why, as far as that takes no waiting. */
static void
send_alert(struct tls *t, int ret)
{
	t->failed = true;
	if (gnutls_alert_send_appropriate(t->session, ret) >= 0)
		flush(t);
}

static enum outcome
agree(struct tls *t, short *wants, struct why *why)
{
	int ret;

	for (;;) {
		t->blocked = 0;
		ret = gnutls_handshake(t->session);
		if (ret == GNUTLS_E_SUCCESS)
			break;
		if (ret == GNUTLS_E_AGAIN && t->blocked != 0) {
			*wants = t->blocked;
			return LATER;
		}
		if (++t->chatter > CHATTER_MAX)
			ret = GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS;
		if (gnutls_error_is_fatal(ret)) {
			send_alert(t, ret);
			return refuse_handshake(t, ret, why);
		}
	}
	if (!names_a_server(t)) {
		send_alert(t, GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR);
		return refuse_certificate(t, GNUTLS_CERT_UNEXPECTED_OWNER, why);
	}
	t->agreed = true;
	t->chatter = 0;
	return DONE;
}

enum outcome
tls_handshake(struct tls *t, int fd, short *wants, struct why *why)
{
	enum outcome o;

	*wants = 0;
	t->fd = fd;
	if (!t->agreed && (o = agree(t, wants, why)) != DONE)
		return o;
	if (flush(t) == 0)
		return DONE;
	if (errno == EAGAIN) {
		*wants = POLLOUT;
		return LATER;
	}
	t->net_errno = errno;
	t->failed = true;
	return refuse_handshake(t, GNUTLS_E_PUSH_ERROR, why);
}

static ssize_t
fail(struct tls *t, const char *what)
{
	t->failed = true;
	snprintf(t->error, sizeof t->error, "%s", what);
	errno = EPROTO;
	return -1;
}

static ssize_t
fail_with(struct tls *t, int ret)
{
	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return fail(t, alert_name(t));
	if (ret == GNUTLS_E_PULL_ERROR || ret == GNUTLS_E_PUSH_ERROR)
		return fail(t, strerror(t->net_errno));
	return fail(t, gnutls_strerror(ret));
}

ssize_t
tls_read(struct tls *t, void *p, size_t size, short *wants, bool *clean)
{
	*wants = 0;
	*clean = false;
	for (;;) {
		ssize_t n;

		t->blocked = 0;
		n = gnutls_record_recv(t->session, p, size);
		if (n > 0) {
			t->chatter = 0;
			return n;
		}
		if (n == 0) {
			*clean = true;
			return 0;
		}
		if (n == GNUTLS_E_PREMATURE_TERMINATION)
			return 0;
		if (n == GNUTLS_E_AGAIN && t->blocked != 0) {
			*wants = t->blocked;
			errno = EAGAIN;
			return -1;
		}
		if (gnutls_error_is_fatal((int)n))
			return fail_with(t, (int)n);
		if (++t->chatter > CHATTER_MAX)
			return fail(t, "too many TLS records without data");
		/* Renegotiation (TLS 1.2) is declined, and the talk goes on; RFC 5246
		 * section 7.2.2 leaves it to the server whether that is enough. */
		if (n == GNUTLS_E_REHANDSHAKE)
			gnutls_alert_send(t->session, GNUTLS_AL_WARNING, GNUTLS_A_NO_RENEGOTIATION);
	}
}

ssize_t
tls_write(struct tls *t, const void *p, size_t size, short *wants)
{
	ssize_t n;

	*wants = 0;
	if (t->sealed == 0) {
		if (size > RECORD_MAX)
			size = RECORD_MAX;
		n = gnutls_record_send(t->session, p, size);
		if (n < 0)
			return fail_with(t, (int)n);
		t->sealed = (size_t)n;
	}
	if (flush(t) < 0) {
		if (errno != EAGAIN) {
			t->net_errno = errno;
			return fail_with(t, GNUTLS_E_PUSH_ERROR);
		}
		*wants = POLLOUT;
		return -1;
	}
	n = (ssize_t)t->sealed;
	t->sealed = 0;
	return n;
}

const char *
tls_error(const struct tls *t)
{
	return t->error;
}

void
tls_describe(const struct tls *t, struct buf *out)
{
	if (!t->agreed)
		return;
	/* The library writes "TLS1.3". */
	buf_addf(out, "TLS %s, %s",
	    gnutls_protocol_get_version(t->session) == GNUTLS_TLS1_3 ? "1.3" : "1.2",
	    gnutls_cipher_get_name(gnutls_cipher_get(t->session)));
}

void
tls_bye(struct tls *t)
{
	if (!t->agreed || t->failed)
		return;
	t->failed = true;
	if (gnutls_bye(t->session, GNUTLS_SHUT_WR) == 0)
		flush(t);
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	if (t == NULL)
		return;
	if (t->session != NULL)
		gnutls_deinit(t->session);
	if (t->trust != NULL)
		gnutls_certificate_free_credentials(t->trust);
	free(t->name);
	free(t->store);
	/* Ciphertext only, but of a talk that has a password in it. */
	buf_wipe(&t->unsent);
	free(t);
	*tp = NULL;
}
