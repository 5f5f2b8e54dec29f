#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "certificate.h"
#include "codec.h"
#include "file.h"
#include "host.h"
#include "pin.h"
#include "secret.h"

/* RFC 8997: nothing below 1.2.  PROFILE_MEDIUM refuses keys under 112 bits of
 * strength (RSA 1024), which NORMAL would let pass in a certificate. */
static const char priority[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%PROFILE_MEDIUM";

#define CA_FILE_MAX (16u << 20) /* octets; the system's bundle has a quarter of a million */
#define RECORD_MAX 16384        /* RFC 8446 section 5.1: plaintext of one record */
#define FOR_SERVERS "1.3.6.1.5.5.7.3.1"         /* id-kp-serverAuth */
#define CCS_LEN 6               /* octets of a whole ChangeCipherSpec record */

/* Records in a row that carry no data (tickets, key updates, warnings): a
 * server has reason to send a few, and none to keep us busy with them. */
#define CHATTER_MAX 64

struct tls {
	gnutls_certificate_credentials_t trust;
	gnutls_session_t session;
	char *name;             /* which the certificate must be for, */
	char *or_else;          /* or this one; "" = no other */
	char *pins;             /* "" = none: chain, name and dates count */
	char *store;            /* where the trusted certificates are, in words */
	/* What was found of the certificate: nobody is spoken to before it is good. */
	bool good;
	time_t expires;         /* 0: not known, or of no matter */
	unsigned status;        /* the library's bits of what is wrong with it */
	unsigned char print[PIN_LEN];           /* of its key */
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

/* The peer's certificates, read afresh. */
static void
read_chain(struct chain *c, const struct tls *t)
{
	unsigned have = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(t->session, &have);
	struct str der[CHAIN_MAX];

	if (raw == NULL)
		return;
	have = have < CHAIN_MAX ? have : CHAIN_MAX;
	for (unsigned i = 0; i < have; i++)
		der[i] = str_from(raw[i].data, raw[i].size);
	chain_read(c, der, have);
}

/* The pin alone decides: whoever gives one has said which key it is. */
static bool
has_pinned_key(struct tls *t)
{
	struct chain c = { 0 };
	bool fits;

	read_chain(&c, t);
	fits = chain_take_print(&c, t->print) && pin_fits(str_of(t->pins), t->print);
	chain_free(&c);
	return fits;
}

/* The library looks into the CN of a certificate without DNS names, and has no flag
 * against it; RFC 9525 section 2 no longer knows the CN.  So one that passed must have a
 * DNS name, and then the CN was not looked at. */
static bool
has_dns_name(const struct tls *t)
{
	struct chain c = { 0 };
	bool has;

	read_chain(&c, t);
	has = chain_has_dns_name(&c);
	chain_free(&c);
	return has;
}

/* The library's bits of what is wrong with the certificate, for that name and for
 * servers (extended key usage, RFC 5280 section 4.2.1.12); 0 for nothing. */
static unsigned
faults_for(const struct tls *t, char *name)
{
	static char purpose[] = FOR_SERVERS;
	gnutls_typed_vdata_st must_be[] = {
		{ .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)name },
		{ .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose },
	};
	unsigned status = 0;

	if (gnutls_certificate_verify_peers(t->session, must_be, 2, &status) < 0)
		return GNUTLS_CERT_INVALID;
	if (status == 0 && !host_is_address(str_of(name)) && !has_dns_name(t))
		status = GNUTLS_CERT_INVALID | GNUTLS_CERT_UNEXPECTED_OWNER;
	return status;
}

/* Asked by the library in every handshake, before anything of ours is sealed for
 * this peer. */
static int
judge(gnutls_session_t session)
{
	struct tls *t = gnutls_session_get_ptr(session);

	if (t->pins[0] != '\0') {
		t->good = has_pinned_key(t);
		return t->good ? 0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
	}
	t->status = faults_for(t, t->name);
	if ((t->status & GNUTLS_CERT_UNEXPECTED_OWNER) != 0 && t->or_else[0] != '\0')
		t->status = faults_for(t, t->or_else);
	t->good = t->status == 0;
	return t->good ? 0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
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
	gnutls_session_set_ptr(t->session, t);
	return 0;
}

/* Our own certificate, for those who want to see one. */
static enum outcome
load_own(struct tls *t, const struct tls_terms *terms, struct why *why)
{
	struct buf crt = { 0 }, key = { 0 };
	struct shown crt_path = codec_show(str_of(terms->cert_file)),
	    key_path = codec_show(str_of(terms->key_file));
	int fd = open(terms->cert_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;
	enum outcome o;

	if (fd < 0 || file_read_all(fd, &crt, CA_FILE_MAX) < 0) {
		o = later(why, SCOPE_ACCOUNT, "4.3.5", "cannot read tls-cert-file %s: %s", crt_path.p,
		    strerror(errno));
		goto out;
	}
	if ((o = secret_file("tls-key-file", terms->key_file, &key, why)) != DONE)
		goto out;
	ret = gnutls_certificate_set_x509_key_mem2(t->trust,
	    &(gnutls_datum_t){ (unsigned char *)crt.p, (unsigned)crt.len },
	    &(gnutls_datum_t){ (unsigned char *)key.p, (unsigned)key.len },
	    GNUTLS_X509_FMT_PEM, NULL, 0);
	if (ret == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		o = later(why, SCOPE_ACCOUNT, "4.3.5", "tls-key-file %s is not the key of the certificate "
		    "in tls-cert-file %s: name the two that belong together", key_path.p, crt_path.p);
	else if (ret == GNUTLS_E_DECRYPTION_FAILED)
		o = later(why, SCOPE_ACCOUNT, "4.3.5", "tls-key-file %s is locked with a password: name "
		    "a key without one", key_path.p);
	else if (ret < 0)
		o = later(why, SCOPE_ACCOUNT, "4.3.5", "tls-cert-file %s and tls-key-file %s cannot be "
		    "used: %s; both must be in PEM form", crt_path.p, key_path.p, gnutls_strerror(ret));
out:
	if (fd >= 0)
		close(fd);
	buf_free(&crt);
	buf_wipe(&key);
	return o;
}

enum outcome
tls_prepare(struct tls **out, const struct tls_terms *terms, struct why *why)
{
	struct tls *t = mem_alloc(sizeof *t);
	enum outcome o = DONE;
	int ret;

	*out = t;
	t->fd = -1;
	t->first = -1;
	t->name = mem_dup(STR(""));
	t->or_else = mem_dup(STR(""));
	t->pins = mem_dup(str_of(terms->pin));
	if ((ret = gnutls_certificate_allocate_credentials(&t->trust)) < 0)
		return later(why, SCOPE_SERVER, "4.3.5", "cannot set up TLS: %s", gnutls_strerror(ret));
	gnutls_certificate_set_verify_function(t->trust, judge);
	/* A pin needs no trust store, and shall not fail for want of one. */
	if (t->pins[0] == '\0')
		o = load_trust(t, terms->ca_file, why);
	if (o == DONE && terms->cert_file[0] != '\0')
		o = load_own(t, terms, why);
	return o;
}

/* "smtp.example.com." is the same host; certificates and SNI have no dot at the
 * end (RFC 6066 section 3). */
static char *
bare_name(const char *name)
{
	struct str bare = str_of(name);

	if (bare.len > 1 && bare.p[bare.len - 1] == '.')
		bare.len--;
	return mem_dup(bare);
}

enum outcome
tls_expect(struct tls *t, const char *name, const char *or_else, struct why *why)
{
	int ret;

	free(t->name);
	free(t->or_else);
	t->name = bare_name(name);
	t->or_else = bare_name(or_else);
	if ((ret = make_session(t)) < 0)
		return later(why, SCOPE_SERVER, "4.3.5", "cannot set up TLS: %s", gnutls_strerror(ret));
	if (!host_is_address(str_of(t->name)) && gnutls_server_name_set(t->session, GNUTLS_NAME_DNS,
	    t->name, strlen(t->name)) < 0)
		return later(why, SCOPE_SERVER, "4.3.5",
		    "no certificate can be for the name %s: check host and tls-name", t->name);
	return DONE;
}

/* Below 1.3 two connections can be made to have one exporter, but not with an
 * extended master secret (RFC 9266 section 3). */
bool
tls_binding(const struct tls *t, struct buf *out)
{
	gnutls_datum_t octets = { 0 };

	if (!t->agreed || (gnutls_protocol_get_version(t->session) != GNUTLS_TLS1_3 &&
	    !gnutls_session_ext_master_secret_status(t->session)) ||
	    gnutls_session_channel_binding(t->session, GNUTLS_CB_TLS_EXPORTER, &octets) < 0)
		return false;
	buf_add(out, octets.data, octets.size);
	gnutls_free(octets.data);
	return true;
}

time_t
tls_expires(const struct tls *t)
{
	return t->expires;
}

static enum outcome
refuse_key(const struct tls *t, struct why *why)
{
	struct buf print = { 0 };

	pin_show(&print, t->print);
	later(why, SCOPE_SERVER, "4.7.5", "the public key of %s is %s, which tls-pin does not name; "
	    "nothing was sent; if it was changed, and the provider confirms this one, put it into tls-pin",
	    t->name, buf_c(&print));
	buf_free(&print);
	return LATER;
}

static enum outcome
refuse_certificate(const struct tls *t, struct why *why)
{
	struct buf said = { 0 };
	struct chain c = { 0 };
	const struct reader reader = { t->name, t->or_else, t->store };
	const char *next;

	read_chain(&c, t);
	next = chain_explain(&c, t->status, &reader, &said);
	later(why, SCOPE_SERVER, "4.7.5", "the certificate of %s %s; nothing was sent; %s",
	    t->name, buf_c(&said), next);
	chain_free(&c);
	buf_free(&said);
	return LATER;
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
		return t->pins[0] != '\0' ? refuse_key(t, why) : refuse_certificate(t, why);
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

/* The trust store, of megabytes where it is the system's, and our own key have done
 * their part: nothing is negotiated anew. */
static void
forget_trust(struct tls *t)
{
	gnutls_credentials_clear(t->session);
	gnutls_certificate_free_credentials(t->trust);
	t->trust = NULL;
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
	/* A server that showed no certificate was not judged. */
	if (!t->good) {
		send_alert(t, GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR);
		return refuse_certificate(t, why);
	}
	if (t->pins[0] == '\0' &&
	    (t->expires = gnutls_certificate_expiration_time_peers(t->session)) < 0)
		t->expires = 0;
	forget_trust(t);
	t->agreed = true;
	t->chatter = 0;
	return DONE;
}

enum outcome
tls_handshake(struct tls *t, int fd, short *wants, struct why *why)
{
	*wants = 0;
	t->fd = fd;
	/* What is left to be sent, our Finished in TLS 1.3, goes with our first words, or
	 * before we wait for the peer's. */
	return t->agreed ? DONE : agree(t, wants, why);
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
	free(t->or_else);
	free(t->pins);
	free(t->store);
	/* Ciphertext only, but of a talk that has a password in it. */
	buf_wipe(&t->unsent);
	free(t);
	*tp = NULL;
}

bool
tls_stretch(struct str secret, struct str salt, unsigned iterations, unsigned char *out,
    size_t size)
{
	gnutls_mac_algorithm_t mac = size == 20 ? GNUTLS_MAC_SHA1 : GNUTLS_MAC_SHA256;
	const gnutls_datum_t key = { (unsigned char *)(uintptr_t)secret.p, (unsigned)secret.len };
	const gnutls_datum_t with = { (unsigned char *)(uintptr_t)salt.p, (unsigned)salt.len };

	return gnutls_pbkdf2(mac, &key, &with, iterations, out, size) == 0;
}

bool
tls_hmac_md5(struct str secret, struct str text, unsigned char out[16])
{
	return gnutls_hmac_fast(GNUTLS_MAC_MD5, secret.p, secret.len, text.p, text.len, out) == 0;
}
