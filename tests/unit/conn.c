#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "conn.h"

static enum outcome
reach(struct conn *c, const char *host, unsigned port, struct why *why)
{
	return conn_open(c, &(struct conn_terms){ .host = host, .port = port, .source = "" }, why);
}

static enum outcome
prepare(struct tls **t, const char *name, const char *ca_file, struct why *why)
{
	const struct tls_terms terms = { .ca_file = ca_file, .pin = "", .cert_file = "", .key_file = "" };
	enum outcome o = tls_prepare(t, &terms, why);

	return o == DONE ? tls_expect(*t, name, NULL, why) : o;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PATIENCE 5.0            /* seconds for what should be there at once */
#define LATE 2.5                /* what a deadline of 0.3 may take on a busy machine */
#define NARROW 32768            /* octets of socket buffers that fill up soon */
#define MEBI (1u << 20)

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
rest(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- certificates, made for this run ---- */

#define DAY 86400

enum issuer { ROOT, MIDDLE, STRANGER, LEAF, SELF };

/* What a certificate shall be.  Zero: for mail.example.com, valid now, by ROOT. */
struct recipe {
	const char *cn;
	const char *dns[4];     /* none at all when dns[0] is "" */
	size_t dns_len;         /* of dns[0], where it holds NUL */
	const char *ip;
	int from, to;           /* days from today; both 0 is -1 to 30 */
	enum issuer issuer;
	const char *purpose;
	bool weak_key;
	bool weak_hash;
	bool ca;
};

struct id {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

static struct id ids[SELF];
static gnutls_x509_privkey_t server_key, weak_key;
static char dir[64] = "/tmp/conn-test-XXXXXX";
static char ca_file[128];

static void
must(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, gnutls_strerror(ret));
		abort();
	}
}

static gnutls_x509_privkey_t
make_key(gnutls_pk_algorithm_t kind, unsigned bits)
{
	gnutls_x509_privkey_t key;

	must(gnutls_x509_privkey_init(&key), "privkey_init");
	must(gnutls_x509_privkey_generate(key, kind, bits, 0), "privkey_generate");
	return key;
}

/* subjectAltName (RFC 5280 section 4.2.1.6) written by hand: the library would
 * mend the names that are bad on purpose. */
static void
add_general_name(struct buf *der, unsigned char tag, const void *p, size_t len)
{
	buf_addc(der, (char)tag);
	buf_addc(der, (char)len);
	buf_add(der, p, len);
}

static void
add_names(gnutls_x509_crt_t crt, const struct recipe *r)
{
	static const char *const usual[] = { "mail.example.com", NULL };
	const char *const *dns = r->dns[0] != NULL ? r->dns : usual;
	struct buf names = { 0 }, der = { 0 };
	unsigned char ip[16];

	for (size_t i = 0; i < 4 && dns[i] != NULL && *dns[i] != '\0'; i++)
		add_general_name(&names, 0x82, dns[i], i == 0 && r->dns_len > 0 ? r->dns_len : strlen(dns[i]));
	if (r->ip != NULL && inet_pton(AF_INET, r->ip, ip) == 1)
		add_general_name(&names, 0x87, ip, 4);
	else if (r->ip != NULL && inet_pton(AF_INET6, r->ip, ip) == 1)
		add_general_name(&names, 0x87, ip, 16);
	if (names.len > 0) {
		/* The short form of a length is enough here. */
		if (names.len > 127)
			abort();
		add_general_name(&der, 0x30, names.p, names.len);
		must(gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", der.p, der.len, 0), "san");
	}
	buf_free(&names);
	buf_free(&der);
}

static struct id
make_id(const struct recipe *r, gnutls_x509_privkey_t key)
{
	static unsigned char serial;
	struct id id = { NULL, key };
	time_t today = time(NULL);
	bool plain = r->from == 0 && r->to == 0;
	gnutls_x509_crt_t crt;

	must(gnutls_x509_crt_init(&crt), "crt_init");
	id.crt = crt;
	serial++;
	must(gnutls_x509_crt_set_version(crt, 3), "version");
	must(gnutls_x509_crt_set_serial(crt, &serial, 1), "serial");
	must(gnutls_x509_crt_set_activation_time(crt, today + (plain ? -1 : r->from) * DAY), "from");
	must(gnutls_x509_crt_set_expiration_time(crt, today + (plain ? 30 : r->to) * DAY), "to");
	must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
	    r->cn != NULL ? r->cn : "a server", (unsigned)strlen(r->cn != NULL ? r->cn : "a server")),
	    "cn");
	must(gnutls_x509_crt_set_key(crt, key), "key");
	must(gnutls_x509_crt_set_basic_constraints(crt, r->ca, -1), "constraints");
	if (r->ca)
		must(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN), "usage");
	else
		add_names(crt, r);
	if (r->purpose != NULL)
		must(gnutls_x509_crt_set_key_purpose_oid(crt, r->purpose, 0), "purpose");
	must(gnutls_x509_crt_sign2(crt, r->issuer == SELF ? crt : ids[r->issuer].crt,
	    r->issuer == SELF ? key : ids[r->issuer].key,
	    r->weak_hash ? GNUTLS_DIG_SHA1 : GNUTLS_DIG_SHA256, 0), "sign");
	return id;
}

static void
write_ca_file(void)
{
	char pem[8192];
	size_t size = sizeof pem;
	FILE *f;

	must(gnutls_x509_crt_export(ids[ROOT].crt, GNUTLS_X509_FMT_PEM, pem, &size), "export");
	snprintf(ca_file, sizeof ca_file, "%s/ca.pem", dir);
	f = fopen(ca_file, "w");
	if (f == NULL || fwrite(pem, 1, size, f) != size || fclose(f) != 0)
		abort();
}

static int
make_certificates(void **state)
{
	gnutls_x509_privkey_t ca_key = make_key(GNUTLS_PK_ECDSA,
	    GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	server_key = make_key(GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
	weak_key = make_key(GNUTLS_PK_RSA, 1024);
	ids[ROOT] = make_id(&(struct recipe){ .cn = "Test Root", .ca = true, .issuer = SELF }, ca_key);
	ids[STRANGER] = make_id(&(struct recipe){ .cn = "Stranger \033[2J Root", .ca = true,
		.issuer = SELF }, server_key);
	ids[MIDDLE] = make_id(&(struct recipe){ .cn = "Test Middle", .ca = true, .issuer = ROOT },
	    server_key);
	ids[LEAF] = make_id(&(struct recipe){ .cn = "leaf.example.com" }, server_key);
	write_ca_file();
	return 0;
}

/* ---- the far end: a thread that follows a script ---- */

struct peer {
	void (*script)(struct peer *);  /* NULL: say_it_within_tls */
	int family;             /* 0: AF_INET */
	const char *say;        /* a script's text */
	const struct recipe *recipe;
	const char *priority;   /* TLS; NULL: "NORMAL" */
	atomic_bool over;       /* set by peer_end, for scripts that only wait */
	bool shuffled;          /* sends its certificates in a wrong order, and one too many */
	int small_buffers;      /* octets; 0: the kernel's choice */
	/* found out by the script, to be read after peer_end */
	char heard[4096];
	size_t got;             /* octets */
	unsigned segments;      /* that arrived before the handshake was through */
	char sni[256];
	int handshake;
	int ended;              /* what gnutls_record_recv said at the end */
	/* private */
	int listener, fd;
	unsigned port;
	pthread_t thread;
	gnutls_session_t tls;
	gnutls_certificate_credentials_t cred;
	struct id id;
	unsigned char ahead[16384];
	size_t ahead_at, ahead_len;
	bool joined;
	struct peer *next;
};

static struct peer *peers;

static void
bound_waits(int fd)
{
	struct timeval patience = { .tv_sec = (time_t)PATIENCE };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static void *
run_peer(void *arg)
{
	static const int on = 1;
	struct peer *p = arg;

	p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	if (p->fd < 0)
		return NULL;
	bound_waits(p->fd);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (p->small_buffers > 0)
		setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &p->small_buffers, sizeof p->small_buffers);
	p->script(p);
	if (p->fd >= 0)
		close(p->fd);
	return NULL;
}

static int
listen_on(int family, unsigned *port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *a = family == AF_INET6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t len = family == AF_INET6 ? sizeof v6 : sizeof v4;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, a, len) < 0 || getsockname(fd, a, &len) < 0)
		abort();
	*port = ntohs(family == AF_INET6 ? v6.sin6_port : v4.sin_port);
	return fd;
}

static void say_it_within_tls(struct peer *p);

/* The peer stays readable until the end of the run: a test that fails leaves
 * its thread behind, which must not write into a stack that is gone. */
static struct peer *
peer_start(struct peer like)
{
	struct peer *p = mem_alloc(sizeof *p);

	*p = like;
	p->next = peers;
	peers = p;
	if (p->script == NULL)
		p->script = say_it_within_tls;
	p->listener = listen_on(p->family != 0 ? p->family : AF_INET, &p->port);
	p->fd = -1;
	bound_waits(p->listener);
	if (p->small_buffers > 0)
		setsockopt(p->listener, SOL_SOCKET, SO_RCVBUF, &p->small_buffers, sizeof p->small_buffers);
	if (listen(p->listener, 1) < 0 || pthread_create(&p->thread, NULL, run_peer, p) != 0)
		abort();
	return p;
}

static void
peer_end(struct peer *p)
{
	p->over = true;
	pthread_join(p->thread, NULL);
	close(p->listener);
	if (p->tls != NULL)
		gnutls_deinit(p->tls);
	if (p->cred != NULL)
		gnutls_certificate_free_credentials(p->cred);
	if (p->id.crt != NULL)
		gnutls_x509_crt_deinit(p->id.crt);
	p->joined = true;
}

static void
forget_peers(void)
{
	for (struct peer *p = peers, *next; p != NULL; p = next) {
		next = p->next;
		if (p->joined)
			free(p);
	}
	peers = NULL;
}

static bool
say(struct peer *p, struct str s)
{
	while (s.len > 0) {
		ssize_t n = p->tls != NULL ? gnutls_record_send(p->tls, s.p, s.len) :
		    send(p->fd, s.p, s.len, MSG_NOSIGNAL);

		if (n == GNUTLS_E_INTERRUPTED && p->tls != NULL)
			continue;
		if (n <= 0)
			return false;
		s = str_from(s.p + n, s.len - (size_t)n);
	}
	return true;
}

static ssize_t
hear(struct peer *p, void *buf, size_t size)
{
	double deadline = now() + PATIENCE;
	ssize_t n;

	/* A key update shows as GNUTLS_E_AGAIN, on a blocking socket too. */
	do {
		n = p->tls != NULL ? gnutls_record_recv(p->tls, buf, size) : recv(p->fd, buf, size, 0);
	} while (p->tls != NULL && n < 0 && !gnutls_error_is_fatal((int)n) && now() < deadline);
	p->ended = n <= 0 ? (int)n : 0;
	if (n > 0)
		p->got += (size_t)n;
	return n;
}

/* One read, kept as text. */
static void
hear_text(struct peer *p)
{
	ssize_t n = hear(p, p->heard, sizeof p->heard - 1);

	p->heard[n > 0 ? n : 0] = '\0';
}

static void
hear_all(struct peer *p)
{
	static char sink[65536];

	while (hear(p, sink, sizeof sink) > 0)
		;
}

static void
hear_up_to(struct peer *p, size_t octets)
{
	static char sink[65536];

	while (p->got < octets && hear(p, sink, sizeof sink) > 0)
		;
}

/* Reads what is there in one piece, so that segments can be counted. */
static ssize_t
count_and_pull(gnutls_transport_ptr_t ptr, void *buf, size_t size)
{
	struct peer *p = ptr;

	if (p->ahead_at == p->ahead_len) {
		ssize_t n = recv(p->fd, p->ahead, sizeof p->ahead, 0);

		if (n <= 0)
			return n;
		p->ahead_at = 0;
		p->ahead_len = (size_t)n;
		p->segments++;
	}
	if (size > p->ahead_len - p->ahead_at)
		size = p->ahead_len - p->ahead_at;
	memcpy(buf, p->ahead + p->ahead_at, size);
	p->ahead_at += size;
	return (ssize_t)size;
}

static ssize_t
quiet_push(gnutls_transport_ptr_t ptr, const void *buf, size_t size)
{
	struct peer *p = ptr;

	return send(p->fd, buf, size, MSG_NOSIGNAL);
}

static void
show_certificates(struct peer *p)
{
	static const struct recipe usual = { 0 };
	const struct recipe *r = p->recipe != NULL ? p->recipe : &usual;
	gnutls_x509_crt_t list[4];
	gnutls_pcert_st sent[4];
	gnutls_privkey_t key;
	int n = 0;

	p->id = make_id(r, r->weak_key ? weak_key : server_key);
	list[n++] = p->id.crt;
	if (p->shuffled) {
		list[n++] = ids[ROOT].crt;
		list[n++] = ids[STRANGER].crt;
	}
	if (r->issuer == MIDDLE || r->issuer == LEAF)
		list[n++] = ids[r->issuer].crt;
	must(gnutls_certificate_allocate_credentials(&p->cred), "credentials");
	must(gnutls_privkey_init(&key), "key");
	must(gnutls_privkey_import_x509(key, p->id.key, GNUTLS_PRIVKEY_IMPORT_COPY), "key");
	for (int i = 0; i < n; i++)
		must(gnutls_pcert_import_x509(&sent[i], list[i], 0), "pcert");
	/* Of all the ways, this one sends them in the order they are given. */
	must(gnutls_certificate_set_key(p->cred, NULL, 0, sent, n, key), "set_key");
}

static bool
shake_hands(struct peer *p)
{
	gnutls_session_t tls;
	size_t size = sizeof p->sni;
	unsigned type;

	show_certificates(p);
	must(gnutls_init(&tls, GNUTLS_SERVER), "init");
	must(gnutls_priority_set_direct(tls, p->priority != NULL ? p->priority : "NORMAL", NULL),
	    "priority");
	must(gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, p->cred), "credentials");
	gnutls_transport_set_ptr(tls, p);
	gnutls_transport_set_pull_function(tls, count_and_pull);
	gnutls_transport_set_push_function(tls, quiet_push);
	do {
		p->handshake = gnutls_handshake(tls);
	} while (p->handshake < 0 && !gnutls_error_is_fatal(p->handshake));
	if (gnutls_server_name_get(tls, p->sni, &size, &type, 0) < 0)
		p->sni[0] = '\0';
	if (p->handshake < 0) {
		gnutls_alert_send_appropriate(tls, p->handshake);
		gnutls_deinit(tls);
		return false;
	}
	p->tls = tls;
	return true;
}

static int
remove_certificates(void **state)
{
	(void)state;
	forget_peers();
	for (size_t i = 0; i < COUNT(ids); i++)
		gnutls_x509_crt_deinit(ids[i].crt);
	gnutls_x509_privkey_deinit(ids[ROOT].key);
	gnutls_x509_privkey_deinit(server_key);
	gnutls_x509_privkey_deinit(weak_key);
	unlink(ca_file);
	return rmdir(dir);
}

/* ---- this end ---- */

static void
open_to(struct conn *c, const struct peer *p)
{
	struct why why = { 0 };

	if (reach(c, p->family == AF_INET6 ? "::1" : "127.0.0.1", p->port, &why) != DONE)
		fail_msg("%s", why.text);
	if (p->small_buffers > 0) {
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &p->small_buffers, sizeof p->small_buffers);
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &p->small_buffers, sizeof p->small_buffers);
	}
}

static void
says(const struct why *why, const char *words)
{
	if (strstr(why->text, words) == NULL)
		fail_msg("'%s' is not in: %s", words, why->text);
	for (const char *s = why->text; *s != '\0'; s++)
		assert_true((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void
is_server_trouble(enum outcome o, const struct why *why, const char *words)
{
	assert_int_equal(o, LATER);
	assert_int_equal(why->scope, SCOPE_SERVER);
	says(why, words);
}

static void
wait_readable(const struct conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, (int)PATIENCE * 1000), 1);
}

static void
expect_code(struct conn *c, int code)
{
	struct reply r = { 0 };
	struct why why = { 0 };

	if (conn_reply(c, &r, PATIENCE, &why) != DONE)
		fail_msg("%s", why.text);
	assert_int_equal(r.code, code);
	reply_free(&r);
}

/* One reply that must not come: the reason has words.  Answers the seconds. */
static double
expect_no_reply(struct conn *c, double seconds, const char *words)
{
	struct reply r = { 0 };
	struct why why = { 0 };
	double began = now();
	enum outcome o = conn_reply(c, &r, seconds, &why);
	double took = now() - began;

	reply_free(&r);
	is_server_trouble(o, &why, words);
	return took;
}

static enum outcome
secure_as(struct conn *c, struct tls **tls, const char *name, struct why *why)
{
	if (prepare(tls, name, ca_file, why) != DONE)
		fail_msg("%s", why->text);
	return conn_start_tls(c, *tls, PATIENCE, why);
}

static void
secure(struct conn *c, struct tls **tls)
{
	struct why why = { 0 };

	if (secure_as(c, tls, "mail.example.com", &why) != DONE)
		fail_msg("%s", why.text);
}

/* ---- scripts ---- */

static void
say_it(struct peer *p)
{
	say(p, str_of(p->say));
	hear_all(p);
}

static void
say_it_and_close(struct peer *p)
{
	say(p, str_of(p->say));
	shutdown(p->fd, SHUT_WR);
	hear_all(p);
}

static void
say_it_and_reset(struct peer *p)
{
	static const struct linger at_once = { 1, 0 };

	say(p, str_of(p->say));
	rest(20);
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void
stay_silent(struct peer *p)
{
	hear_all(p);
}

static void
hear_one_piece(struct peer *p)
{
	hear_text(p);
	say(p, STR("250 ok\r\n"));
	hear_all(p);
}

static void
say_it_within_tls(struct peer *p)
{
	if (!shake_hands(p))
		return;
	say(p, str_of(p->say != NULL ? p->say : "220 hello\r\n"));
	hear_all(p);
}

/* ---- promises: plain ---- */

static void
a_greeting_and_an_answer_are_read(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = hear_one_piece });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	conn_put(&c, STR("EHLO x\r\n"));
	expect_code(&c, 250);
	conn_close(&c);
	peer_end(p);
	assert_string_equal(p->heard, "EHLO x\r\n");
}

static void
a_group_of_commands_is_one_segment(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = hear_one_piece });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	conn_put(&c, STR("MAIL FROM:<>\r\n"));
	conn_putf(&c, "RCPT TO:<%s>\r\n", "a@example.com");
	conn_put(&c, STR("DATA\r\n"));
	expect_code(&c, 250);
	conn_close(&c);
	peer_end(p);
	assert_string_equal(p->heard, "MAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n");
}

static void
nothing_goes_out_before_the_flush(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = hear_one_piece });
	struct conn c = CONN_INIT;
	struct why why = { 0 };

	(void)state;
	open_to(&c, p);
	conn_put(&c, STR("one "));
	rest(50);
	conn_put(&c, STR("two"));
	assert_int_equal(conn_flush(&c, PATIENCE, &why), DONE);
	assert_int_equal(c.out.len, 0);
	expect_code(&c, 250);
	conn_close(&c);
	peer_end(p);
	assert_string_equal(p->heard, "one two");
}

static void
what_was_sent_does_not_stay_in_memory(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = hear_one_piece });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	conn_put(&c, STR("AUTH PLAIN AGEAc2VjcmV0\r\n"));
	expect_code(&c, 250);
	for (size_t i = 0; i < 26; i++)
		assert_int_equal(c.out.p[i], 0);
	conn_close(&c);
	peer_end(p);
}

static void
the_second_of_two_answers_waits_for_its_turn(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it,
	    .say = "220-a\r\n220 b\r\n250 c\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 220);
	expect_code(&c, 250);
	assert_int_equal(c.in.len, 0);
	conn_close(&c);
	peer_end(p);
}

static void
the_addresses_of_both_ends_are_known(void **state)
{
	static const struct {
		int family;
		const char *address;
	} cases[] = { { AF_INET, "127.0.0.1" }, { AF_INET6, "::1" } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct peer *p = peer_start((struct peer){ .script = say_it, .family = cases[i].family,
		    .say = "220 hi\r\n" });
		struct conn c = CONN_INIT;

		open_to(&c, p);
		expect_code(&c, 220);
		assert_string_equal(c.peer, cases[i].address);
		assert_string_equal(c.local, cases[i].address);
		assert_int_equal(c.local_is_v6, cases[i].family == AF_INET6);
		conn_close(&c);
		peer_end(p);
	}
}

static void
no_child_inherits_the_connection(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = stay_silent });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	assert_true((fcntl(c.fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(c.fd, F_GETFL) & O_NONBLOCK) != 0);
	conn_close(&c);
	peer_end(p);
}

static void
a_refused_connection_names_host_port_and_every_address(void **state)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	struct conn c = CONN_INIT;
	struct why why = { 0 };
	char words[80];
	unsigned port;
	int taken = listen_on(AF_INET, &port);

	(void)state;
	assert_int_equal(getaddrinfo("localhost", NULL, &hints, &list), 0);
	is_server_trouble(reach(&c, "localhost", port, &why), &why, "refused");
	snprintf(words, sizeof words, "cannot reach localhost:%u: ", port);
	says(&why, words);
	for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		assert_int_equal(getnameinfo(a->ai_addr, a->ai_addrlen, words, sizeof words, NULL, 0,
		    NI_NUMERICHOST), 0);
		says(&why, words);
	}
	says(&why, "is the relay or bridge on this machine running?");
	assert_int_equal(c.fd, -1);
	freeaddrinfo(list);
	close(taken);
	conn_close(&c);
}

/* Nobody can connect to the broadcast address, with a network or without. */
static void
an_unreachable_port_comes_with_the_next_step(void **state)
{
	static const struct {
		unsigned port;
		const char *words;
	} cases[] = {
		{ 587, "cannot reach 255.255.255.255:587: 255.255.255.255: " },
		{ 587, "try 465, or the provider's 2525 or 2587" },
		{ 25, "use 587 or 465" },
		{ 465, "check host and port" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct conn c = CONN_INIT;
		struct why why = { 0 };

		is_server_trouble(reach(&c, "255.255.255.255", cases[i].port, &why), &why, cases[i].words);
		conn_close(&c);
	}
}

static void
a_name_that_does_not_resolve_is_told_with_its_host(void **state)
{
	/* A label over 63 octets: no name server is asked for that. */
	static const char host[] = "a123456789b123456789c123456789d123456789e123456789f123456789g123456789"
	    ".invalid";
	struct conn c = CONN_INIT;
	struct why why = { 0 };

	(void)state;
	is_server_trouble(reach(&c, host, 587, &why), &why, "cannot resolve a123456789b");
	assert_string_equal(why.status, "4.4.3");
	conn_close(&c);
}

static void
a_close_instead_of_an_answer_is_the_servers_trouble(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_and_close, .say = "" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_no_reply(&c, PATIENCE, "server 127.0.0.1 closed the connection instead of answering");
	assert_true(c.peer_closed);
	conn_close(&c);
	peer_end(p);
}

static void
half_an_answer_and_a_close_is_no_answer(void **state)
{
	static const char *const halves[] = { "2", "25", "250", "250 ok", "250 ok\r", "250-",
	    "250-ok\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(halves); i++) {
		struct peer *p = peer_start((struct peer){ .script = say_it_and_close, .say = halves[i] });
		struct conn c = CONN_INIT;

		open_to(&c, p);
		expect_no_reply(&c, PATIENCE, "closed the connection in the middle of an answer");
		conn_close(&c);
		peer_end(p);
	}
}

static void
an_answer_before_a_close_counts(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_and_close, .say = "421 bye\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 421);
	conn_close(&c);
	peer_end(p);
}

static void
a_reset_is_told_as_what_it_is(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_and_reset, .say = "250-half\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_no_reply(&c, PATIENCE, "broke in the middle of an answer: Connection reset by peer");
	conn_close(&c);
	peer_end(p);
}

static void
garbage_is_told_as_what_it_is(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it,
	    .say = "HTTP/1.1 400 Bad Request\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_no_reply(&c, PATIENCE, "does not speak SMTP as it should: answer does not begin");
	conn_close(&c);
	peer_end(p);
}

static void
a_silent_server_is_left_at_the_deadline(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = stay_silent });
	struct conn c = CONN_INIT;
	double took;

	(void)state;
	open_to(&c, p);
	took = expect_no_reply(&c, 0.3, "it said nothing");
	assert_true(took >= 0.3 && took < LATE);
	conn_close(&c);
	peer_end(p);
}

static void
trickle(struct peer *p)
{
	for (int i = 0; i < 100 && say(p, STR("2")); i++) {
		if (i == 3 && !say(p, STR("0 ")))
			return;
		rest(30);
	}
}

static void
begin_then_trickle(struct peer *p)
{
	say(p, STR("250 "));
	trickle(p);
}

static void
single_octets_do_not_move_the_deadline(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = begin_then_trickle });
	struct conn c = CONN_INIT;
	double took;

	(void)state;
	open_to(&c, p);
	took = expect_no_reply(&c, 0.3, "did not finish its answer");
	assert_true(took >= 0.3 && took < LATE);
	conn_close(&c);
	peer_end(p);
}

static void
flood_one_line(struct peer *p)
{
	static const char flood[65536] = { [0 ... 65535] = 'x' };

	say(p, STR("250 "));
	while (say(p, str_from(flood, sizeof flood)))
		;
}

static void
an_endless_line_ends_at_the_deadline_and_takes_no_memory(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = flood_one_line });
	struct conn c = CONN_INIT;
	double took;

	(void)state;
	open_to(&c, p);
	took = expect_no_reply(&c, 0.3, "did not finish its answer");
	assert_true(took >= 0.3 && took < LATE);
	assert_true(c.in.cap < 128 * 1024);
	conn_close(&c);
	peer_end(p);
}

static void
flood_lines(struct peer *p)
{
	while (say(p, STR("250-and more\r\n")))
		;
}

static void
an_endless_answer_of_short_lines_is_broken_off(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = flood_lines });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_no_reply(&c, PATIENCE, "too many lines");
	conn_close(&c);
	peer_end(p);
}

/* ---- promises: both write ---- */

static struct str
big_text(size_t size)
{
	static char *text;
	static size_t have;

	if (have < size) {
		text = mem_grow(text, size, 1);
		memset(text, 'x', size);
		have = size;
	}
	return str_from(text, size);
}

#define UNASKED 8000

static void
write_before_reading(struct peer *p)
{
	static const char line[] = "250 unasked, and of some length so that it fills the pipe soon\r\n";

	if (p->recipe != NULL && !shake_hands(p))
		return;
	for (int i = 0; i < UNASKED; i++)
		if (!say(p, str_from(line, sizeof line - 1)))
			return;
	hear_up_to(p, 2 * MEBI);
	say(p, STR("221 all there\r\n"));
	hear_all(p);
}

static void
flush_against_a_writer(const struct recipe *recipe)
{
	struct peer *p = peer_start((struct peer){ .script = write_before_reading, .recipe = recipe,
	    .small_buffers = NARROW });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };
	const size_t size = 2 * MEBI;

	open_to(&c, p);
	if (recipe != NULL)
		secure(&c, &tls);
	conn_put(&c, big_text(size));
	if (conn_flush(&c, 2 * PATIENCE, &why) != DONE)
		fail_msg("%s", why.text);
	/* And what was read meanwhile is all there, in its order. */
	for (int i = 0; i < UNASKED; i++)
		expect_code(&c, 250);
	expect_code(&c, 221);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
	assert_int_equal(p->got, size);
}

static void
two_who_write_at_once_do_not_block_each_other(void **state)
{
	(void)state;
	flush_against_a_writer(NULL);
}

static void
two_who_write_at_once_do_not_block_each_other_in_tls(void **state)
{
	static const struct recipe usual = { 0 };

	(void)state;
	flush_against_a_writer(&usual);
}

static void
write_without_end(struct peer *p)
{
	static const char flood[65536] = { [0 ... 65535] = 'x' };

	while (say(p, str_from(flood, sizeof flood)))
		;
}

static void
unread_input_is_bounded_while_we_write(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = write_without_end, .small_buffers = NARROW });
	struct conn c = CONN_INIT;
	struct why why = { 0 };

	(void)state;
	open_to(&c, p);
	conn_put(&c, big_text(2 * MEBI));
	is_server_trouble(conn_flush(&c, 2 * PATIENCE, &why), &why, "octets that nobody asked for");
	assert_true(c.in.len <= CONN_UNREAD_MAX);
	conn_close(&c);
	peer_end(p);
}

static void
take_nothing(struct peer *p)
{
	double deadline = now() + PATIENCE;

	while (!p->over && now() < deadline)
		rest(10);
}

static void
a_server_that_takes_nothing_is_left_at_the_deadline(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = take_nothing, .small_buffers = NARROW });
	struct conn c = CONN_INIT;
	struct why why = { 0 };
	double began;

	(void)state;
	open_to(&c, p);
	conn_put(&c, big_text(2 * MEBI));
	began = now();
	is_server_trouble(conn_flush(&c, 0.3, &why), &why, "took nothing of what we sent");
	assert_true(now() - began >= 0.3 && now() - began < LATE);
	conn_close(&c);
	peer_end(p);
}

static void
read_slowly(struct peer *p)
{
	static char sink[65536];

	for (int i = 0; i < 12; i++) {
		rest(100);
		hear(p, sink, 32768);
	}
	hear_all(p);
}

static void
a_slow_reader_that_makes_progress_is_not_left(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = read_slowly, .small_buffers = NARROW });
	struct conn c = CONN_INIT;
	struct why why = { 0 };
	double began;

	(void)state;
	open_to(&c, p);
	conn_put(&c, big_text(MEBI));
	began = now();
	if (conn_flush(&c, 0.6, &why) != DONE)
		fail_msg("%s", why.text);
	assert_true(now() - began > 0.7);
	conn_close(&c);
	peer_end(p);
	assert_int_equal(p->got, MEBI);
}

static void
take_some_and_complain(struct peer *p)
{
	static char sink[65536];

	hear(p, sink, sizeof sink);
	say(p, STR("552 5.3.4 message too big\r\n"));
	rest(50);
}

static void
last_words_are_in_the_reason_and_can_still_be_read(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = take_some_and_complain,
	    .small_buffers = NARROW });
	struct conn c = CONN_INIT;
	struct why why = { 0 };

	(void)state;
	open_to(&c, p);
	conn_put(&c, big_text(4 * MEBI));
	is_server_trouble(conn_flush(&c, PATIENCE, &why), &why,
	    "while we were sending");
	says(&why, "its last words: 552 5.3.4 message too big");
	buf_clear(&c.out);
	expect_code(&c, 552);
	conn_close(&c);
	peer_end(p);
}

/* ---- promises: surprises ---- */

static void
a_quiet_connection_has_no_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it, .say = "220 hi\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 220);
	rest(20);
	assert_false(conn_has_surprise(&c));
	assert_false(conn_has_surprise(&c));
	conn_close(&c);
	peer_end(p);
}

static void
say_another_later(struct peer *p)
{
	say(p, STR("220 hi\r\n"));
	rest(20);
	say(p, STR("250 nobody asked\r\n"));
	hear_all(p);
}

static void
an_answer_nobody_asked_for_is_a_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_another_later });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 220);
	wait_readable(&c);
	assert_true(conn_has_surprise(&c));
	assert_true(conn_has_surprise(&c));
	conn_close(&c);
	peer_end(p);
}

static void
an_extra_answer_in_the_same_segment_is_a_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it, .say = "220 hi\r\n250 extra\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 220);
	assert_true(conn_has_surprise(&c));
	conn_close(&c);
	peer_end(p);
}

static void
a_closed_connection_is_a_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_and_close, .say = "220 hi\r\n" });
	struct conn c = CONN_INIT;

	(void)state;
	open_to(&c, p);
	expect_code(&c, 220);
	wait_readable(&c);
	assert_true(conn_has_surprise(&c));
	conn_close(&c);
	assert_true(conn_has_surprise(&c));
	peer_end(p);
}

static void
a_quiet_connection_has_no_surprise_in_tls(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_within_tls });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	rest(20);
	assert_false(conn_has_surprise(&c));
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
send_a_key_update_later(struct peer *p)
{
	if (!shake_hands(p))
		return;
	say(p, STR("220 hi\r\n"));
	rest(20);
	gnutls_session_key_update(p->tls, 0);
	hear_text(p);
	say(p, STR("250 ok\r\n"));
	hear_all(p);
}

static void
a_tls_record_without_data_is_no_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = send_a_key_update_later,
	    .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	wait_readable(&c);
	assert_false(conn_has_surprise(&c));
	conn_put(&c, STR("NOOP\r\n"));
	expect_code(&c, 250);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
an_extra_answer_within_tls_is_a_surprise(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_within_tls,
	    .say = "220 hi\r\n250 extra\r\n" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	assert_true(conn_has_surprise(&c));
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

/* ---- promises: the switch to TLS ---- */

static void
talk_within(const char *server_priority, const char *described)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_within_tls,
	    .priority = server_priority });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct buf words = { 0 };

	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	tls_describe(tls, &words);
	assert_true(str_starts(buf_str(&words), described));
	buf_free(&words);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
tls_1_3_is_spoken(void **state)
{
	(void)state;
	talk_within("NORMAL", "TLS 1.3, AES-256-GCM");
}

static void
tls_1_2_is_spoken(void **state)
{
	(void)state;
	talk_within("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLS 1.2, ");
}

/* A handshake that must fail, and the words for it.  Answers what the peer saw. */
static const struct peer *
refuse_handshake(struct peer far, const char *name, const char *const *words)
{
	struct peer *p = peer_start(far);
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };
	enum outcome o;

	open_to(&c, p);
	o = secure_as(&c, &tls, name, &why);
	conn_close(&c);
	tls_free(&tls);
	tls_free(&tls);
	peer_end(p);
	for (; *words != NULL; words++)
		is_server_trouble(o, &why, *words);
	return p;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
refuse_certificate(const struct recipe *r, const char *name, const char *const *words)
{
	const struct peer *p = refuse_handshake((struct peer){ .recipe = r }, name, words);

	/* Whatever the server thinks of the handshake: no octet of ours followed. */
	assert_int_equal(p->got, 0);
}

static void
accept_certificate(struct peer far, const char *name)
{
	struct peer *p = peer_start(far);
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };

	open_to(&c, p);
	if (secure_as(&c, &tls, name, &why) != DONE)
		fail_msg("%s", why.text);
	expect_code(&c, 220);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
tls_1_1_is_refused(void **state)
{
	(void)state;
	refuse_handshake((struct peer){ .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1" },
	    "mail.example.com", WORDS("ask the provider"));
}

static void
a_certificate_for_another_name_is_refused_with_its_names(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .dns = { "mx.example.net", "a\033.example.net" },
	    .ip = "192.0.2.7" },
	    "mail.example.com", WORDS("the certificate of mail.example.com is for mx.example.net, "
	    "a\\x1b.example.net, 192.0.2.7 and not for mail.example.com", "nothing was sent", "tls-name"));
}

static void
an_expired_certificate_is_refused_with_both_dates(void **state)
{
	struct recipe r = { .from = -20, .to = -10 };
	time_t then = time(NULL) - 10 * DAY, today = time(NULL);
	char expired[60], clock[60];
	struct tm tm;

	(void)state;
	strftime(expired, sizeof expired, "expired on %Y-%m-%dT", gmtime_r(&then, &tm));
	strftime(clock, sizeof clock, "clock says %Y-%m-", gmtime_r(&today, &tm));
	refuse_certificate(&r, "mail.example.com", WORDS(expired, clock));
}

static void
a_certificate_of_the_future_is_refused_with_both_dates(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .from = 10, .to = 20 }, "mail.example.com",
	    WORDS("is not valid before 20", "clock says 20", "check this machine's clock"));
}

static void
a_self_signed_certificate_is_refused_and_called_so(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .issuer = SELF }, "mail.example.com",
	    WORDS("is self-signed and not in ", "ca.pem", "tls-ca-file"));
}

static void
an_unknown_issuer_is_refused_and_named(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .issuer = STRANGER }, "mail.example.com",
	    WORDS("was issued by CN=Stranger ", "which is not in "));
}

static void
everything_wrong_is_told_at_once(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .dns = { "other.example" }, .from = -9, .to = -2,
	    .issuer = SELF },
	    "mail.example.com", WORDS("is for other.example and not", ", and expired on",
	    ", and is self-signed"));
}

static void
a_name_only_in_the_cn_does_not_count(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .cn = "mail.example.com", .dns = { "" } }, "mail.example.com",
	    WORDS("names no server in subjectAltName, only in its CN: mail.example.com"));
}

static void
the_cn_does_not_count_beside_an_address_either(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .cn = "mail.example.com", .dns = { "" }, .ip = "192.0.2.7" },
	    "mail.example.com", WORDS("is for 192.0.2.7 and not for mail.example.com"));
}

static void
an_address_in_the_san_is_accepted_v4_and_v6(void **state)
{
	(void)state;
	accept_certificate((struct peer){ .recipe = &(struct recipe){ .ip = "127.0.0.1", .dns = { "" } } },
	    "127.0.0.1");
	accept_certificate((struct peer){ .recipe = &(struct recipe){ .ip = "2001:db8::1",
	    .dns = { "" } } },
	    "2001:db8:0::1");
}

static void
another_address_in_the_san_is_refused_v4_and_v6(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .ip = "127.0.0.2", .dns = { "" } }, "127.0.0.1",
	    WORDS("is for 127.0.0.2 and not for 127.0.0.1"));
	refuse_certificate(&(struct recipe){ .ip = "2001:db8::2", .dns = { "" } }, "2001:db8::1",
	    WORDS("is for 2001:db8::2 and not for 2001:db8::1"));
}

static void
an_address_as_a_dns_name_or_in_the_cn_does_not_count(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .dns = { "127.0.0.1" } }, "127.0.0.1",
	    WORDS("is for 127.0.0.1 (as a name, not as an address) and not for 127.0.0.1"));
	refuse_certificate(&(struct recipe){ .cn = "127.0.0.1", .dns = { "" } }, "127.0.0.1",
	    WORDS("only in its CN: 127.0.0.1"));
	refuse_certificate(&(struct recipe){ .cn = "2001:db8::1", .dns = { "" } }, "2001:db8::1",
	    WORDS("only in its CN: 2001:db8::1"));
	refuse_certificate(&(struct recipe){ .dns = { "*.0.0.1" } }, "127.0.0.1",
	    WORDS("not for 127.0.0.1"));
}

static void
a_wildcard_stands_for_one_whole_label_only(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool good;
	} cases[] = {
		{ "*.example.com", "mail.example.com", true },
		{ "*.example.com", "a.mail.example.com", false },
		{ "*.example.com", "example.com", false },
		{ "m*.example.com", "mail.example.com", false },
		{ "*.*.example.com", "a.mail.example.com", false },
		{ "mail.*.com", "mail.example.com", false },
		{ "*.com", "example.com", false },
		{ "*", "localhost", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct recipe r = { .dns = { cases[i].pattern } };

		if (cases[i].good)
			accept_certificate((struct peer){ .recipe = &r }, cases[i].name);
		else
			refuse_certificate(&r, cases[i].name, WORDS("and not for"));
	}
}

static void
a_nul_in_a_name_does_not_end_it(void **state)
{
	static const char name[] = "mail.example.com\0.evil.example";

	(void)state;
	refuse_certificate(&(struct recipe){ .dns = { name }, .dns_len = sizeof name - 1 },
	    "mail.example.com", WORDS("the certificate of mail.example.com"));
}

static void
a_certificate_for_clients_is_refused(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .purpose = GNUTLS_KP_TLS_WWW_CLIENT }, "mail.example.com",
	    WORDS("was not issued for servers"));
	accept_certificate((struct peer){ .recipe = &(struct recipe){ .purpose = GNUTLS_KP_TLS_WWW_SERVER } },
	    "mail.example.com");
}

static void
a_weak_key_is_refused(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .weak_key = true }, "mail.example.com",
	    WORDS("too weak (its key: RSA, 1024 bits"));
}

static void
a_weak_signature_is_refused(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .weak_hash = true }, "mail.example.com",
	    WORDS("too weak", "signed with ECDSA-SHA1"));
}

static void
a_certificate_that_is_no_ca_cannot_issue_others(void **state)
{
	(void)state;
	refuse_certificate(&(struct recipe){ .issuer = LEAF }, "mail.example.com",
	    WORDS("was signed by a certificate that may not sign others"));
}

static void
a_chain_over_an_intermediate_is_accepted(void **state)
{
	(void)state;
	accept_certificate((struct peer){ .recipe = &(struct recipe){ .issuer = MIDDLE } },
	    "mail.example.com");
}

static void
a_chain_in_a_wrong_order_with_a_stranger_in_it_is_accepted(void **state)
{
	(void)state;
	accept_certificate((struct peer){ .recipe = &(struct recipe){ .issuer = MIDDLE },
	    .shuffled = true },
	    "mail.example.com");
}

static void
sni_is_sent_for_names_and_never_for_addresses(void **state)
{
	static const struct {
		const char *name, *sni;
	} cases[] = {
		{ "mail.example.com", "mail.example.com" },
		{ "mail.example.com.", "mail.example.com" },
		{ "127.0.0.1", "" },
		{ "::1", "" },
	};
	struct recipe r = { .ip = "127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct peer *p = peer_start((struct peer){ .script = say_it_within_tls, .recipe = &r });
		struct conn c = CONN_INIT;
		struct tls *tls = NULL;
		struct why why = { 0 };

		open_to(&c, p);
		(void)secure_as(&c, &tls, cases[i].name, &why);
		conn_close(&c);
		tls_free(&tls);
		peer_end(p);
		assert_string_equal(p->sni, cases[i].sni);
	}
}

static void
ask_for_tls(struct conn *c)
{
	expect_code(c, 220);
	conn_put(c, STR("STARTTLS\r\n"));
	expect_code(c, 220);
}

static void
starttls_then_tls(struct peer *p)
{
	say(p, STR("220 hi\r\n"));
	hear_text(p);
	say(p, str_of(p->say));
	if (!shake_hands(p))
		return;
	say(p, STR("250 secret\r\n"));
	hear_all(p);
}

static void
starttls_switches_a_running_conversation(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = starttls_then_tls, .say = "220 go\r\n" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	ask_for_tls(&c);
	secure(&c, &tls);
	expect_code(&c, 250);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
refuse_injection(struct peer far, bool wait, const char *words)
{
	struct peer *p = peer_start(far);
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };

	open_to(&c, p);
	ask_for_tls(&c);
	if (wait)
		wait_readable(&c);
	is_server_trouble(secure_as(&c, &tls, "mail.example.com", &why), &why, words);
	assert_null(c.tls);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
	assert_int_equal(p->got, strlen("STARTTLS\r\n"));
}

static void
plaintext_behind_the_220_in_one_segment_is_refused(void **state)
{
	(void)state;
	refuse_injection((struct peer){ .script = starttls_then_tls,
		.say = "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n" }, false,
	    "sent data before the TLS handshake: refused");
}

static void
inject_later(struct peer *p)
{
	say(p, STR("220 hi\r\n"));
	hear_text(p);
	say(p, STR("220 go\r\n"));
	rest(10);
	say(p, STR("250-x\r\n250 AUTH PLAIN\r\n"));
	shake_hands(p);
}

static void
plaintext_in_a_second_segment_before_our_hello_is_refused(void **state)
{
	(void)state;
	refuse_injection((struct peer){ .script = inject_later }, true,
	    "sent data before the TLS handshake: refused");
}

static void
answer_in_plaintext(struct peer *p)
{
	hear_text(p);
	say(p, STR("250-x\r\n250 AUTH PLAIN\r\n"));
	hear_all(p);
}

static void
plaintext_in_place_of_the_server_hello_is_refused(void **state)
{
	(void)state;
	refuse_handshake((struct peer){ .script = answer_in_plaintext }, "mail.example.com",
	    WORDS("answered the TLS handshake with something else: refused"));
}

static void
a_plain_port_that_was_taken_for_tls_is_told_apart(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it, .say = "220 hi\r\n" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };

	(void)state;
	open_to(&c, p);
	wait_readable(&c);
	is_server_trouble(secure_as(&c, &tls, "mail.example.com", &why), &why, "set tls = starttls");
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
a_handshake_that_hangs_ends_at_the_deadline(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = stay_silent });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };
	double began;

	(void)state;
	open_to(&c, p);
	assert_int_equal(prepare(&tls, "mail.example.com", ca_file, &why), DONE);
	began = now();
	is_server_trouble(conn_start_tls(&c, tls, 0.3, &why), &why, "did not finish the TLS handshake");
	assert_true(now() - began >= 0.3 && now() - began < LATE);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
close_after_hello(struct peer *p)
{
	hear_text(p);
}

static void
a_close_in_the_handshake_is_told_as_what_it_is(void **state)
{
	(void)state;
	refuse_handshake((struct peer){ .script = close_after_hello }, "mail.example.com",
	    WORDS("closed the connection in the TLS handshake"));
}

static void
reset_after_hello(struct peer *p)
{
	static const struct linger at_once = { 1, 0 };

	hear_text(p);
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void
a_reset_in_the_handshake_is_told_as_what_it_is(void **state)
{
	(void)state;
	refuse_handshake((struct peer){ .script = reset_after_hello }, "mail.example.com",
	    WORDS("broke in the TLS handshake: Connection reset by peer"));
}

static void
refuse_the_name(struct peer *p)
{
	static const char alert[] = "\x15\x03\x03\x00\x02\x02\x70";

	hear_text(p);
	say(p, str_from(alert, sizeof alert - 1));
	hear_all(p);
}

static void
an_alert_of_the_server_is_told_in_words(void **state)
{
	(void)state;
	refuse_handshake((struct peer){ .script = refuse_the_name }, "mail.example.com",
	    WORDS("mail.example.com refused the TLS handshake: The server name sent was not recognized",
	    "check host and tls-name"));
}

static void
each_flight_of_the_handshake_is_one_segment(void **state)
{
	static const char *const versions[] = { "NORMAL:-VERS-ALL:+VERS-TLS1.2",
	    "NORMAL:-VERS-ALL:+VERS-TLS1.3" };

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct peer *p = peer_start((struct peer){ .script = say_it_within_tls,
		    .priority = versions[i] });
		struct conn c = CONN_INIT;
		struct tls *tls = NULL;

		open_to(&c, p);
		secure(&c, &tls);
		expect_code(&c, 220);
		conn_close(&c);
		tls_free(&tls);
		peer_end(p);
		/* ClientHello; then what answers the server's flight; then close_notify. */
		assert_int_equal(p->segments, 3);
	}
}

/* Handshake, one command, an answer; what the command came with is counted. */
static void
hear_then_answer(struct peer *p)
{
	if (!shake_hands(p))
		return;
	hear_text(p);
	say(p, STR("250 hello\r\n"));
	hear_all(p);
}

static void
what_we_say_first_goes_with_the_end_of_the_handshake(void **state)
{
	static const struct {
		const char *version;
		unsigned segments;
	} rows[] = {
		/* ClientHello; Finished with EHLO; close_notify. */
		{ "NORMAL:-VERS-ALL:+VERS-TLS1.3", 3 },
		/* Here the server has the last word of the handshake. */
		{ "NORMAL:-VERS-ALL:+VERS-TLS1.2", 4 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct peer *p = peer_start((struct peer){ .script = hear_then_answer,
		    .priority = rows[i].version });
		struct conn c = CONN_INIT;
		struct tls *tls = NULL;

		open_to(&c, p);
		secure(&c, &tls);
		conn_put(&c, STR("EHLO client.example.net\r\n"));
		expect_code(&c, 250);
		conn_close(&c);
		tls_free(&tls);
		peer_end(p);
		assert_int_equal(p->segments, rows[i].segments);
	}
}

/* ---- promises: names, pins, bindings ---- */

static enum outcome
agree_as(struct peer *p, const struct tls_terms *terms, const char *name, const char *or_else,
    struct tls **tls, struct why *why)
{
	struct conn c = CONN_INIT;
	enum outcome o;

	open_to(&c, p);
	assert_int_equal(tls_prepare(tls, terms, why), DONE);
	assert_int_equal(tls_expect(*tls, name, or_else, why), DONE);
	if ((o = conn_start_tls(&c, *tls, PATIENCE, why)) == DONE)
		expect_code(&c, 220);
	conn_close(&c);
	return o;
}

static void
another_name_will_do_and_no_third(void **state)
{
	static const struct {
		const char *name, *or_else;
		enum outcome o;
	} rows[] = {
		{ "mail.example.com", NULL, DONE }, { "mail.example.com", "example.com", DONE },
		{ "smtp.example.com", "mail.example.com", DONE },
		{ "smtp.example.com", "example.com", LATER }, { "smtp.example.com", NULL, LATER },
	};
	const struct tls_terms terms = { .ca_file = ca_file, .pin = "", .cert_file = "", .key_file = "" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct peer *p = peer_start((struct peer){ .say = "220 hi\r\n" });
		struct tls *tls = NULL;
		struct why why = { 0 };

		assert_int_equal(agree_as(p, &terms, rows[i].name, rows[i].or_else, &tls, &why), rows[i].o);
		if (rows[i].o != DONE && rows[i].or_else != NULL)
			says(&why, "is for mail.example.com and not for smtp.example.com or example.com");
		tls_free(&tls);
		peer_end(p);
		/* The server is asked for the first one. */
		assert_string_equal(p->sni, rows[i].name);
	}
}

static void
the_end_of_a_certificate_is_known_after_the_handshake(void **state)
{
	const struct tls_terms terms = { .ca_file = ca_file, .pin = "", .cert_file = "", .key_file = "" };
	struct peer *p = peer_start((struct peer){ .say = "220 hi\r\n",
	    .recipe = &(struct recipe){ .from = -1, .to = 3 } });
	struct tls *tls = NULL;
	struct why why = { 0 };
	time_t end;

	(void)state;
	assert_int_equal(agree_as(p, &terms, "mail.example.com", NULL, &tls, &why), DONE);
	end = tls_expires(tls);
	assert_in_range(end, time(NULL) + 3 * DAY - 600, time(NULL) + 3 * DAY);
	tls_free(&tls);
	peer_end(p);
}

static void
tell_binding(struct peer *p)
{
	gnutls_datum_t octets = { 0 };

	if (!shake_hands(p))
		return;
	if (gnutls_session_channel_binding(p->tls, GNUTLS_CB_TLS_EXPORTER, &octets) == 0) {
		memcpy(p->heard, octets.data, octets.size);
		gnutls_free(octets.data);
	}
	say(p, STR("220 hi\r\n"));
}

static void
both_ends_have_one_binding_or_none(void **state)
{
	static const struct {
		const char *priority;
		bool has;
	} rows[] = {
		{ "NORMAL:-VERS-ALL:+VERS-TLS1.3", true }, { "NORMAL:-VERS-ALL:+VERS-TLS1.2", true },
		/* Without an extended master secret it binds nothing. */
		{ "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH", false },
	};
	const struct tls_terms terms = { .ca_file = ca_file, .pin = "", .cert_file = "", .key_file = "" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct peer *p = peer_start((struct peer){ .script = tell_binding,
		    .priority = rows[i].priority });
		struct buf binding = { 0 };
		struct tls *tls = NULL;
		struct why why = { 0 };

		assert_int_equal(agree_as(p, &terms, "mail.example.com", NULL, &tls, &why), DONE);
		peer_end(p);
		assert_int_equal(tls_binding(tls, &binding), rows[i].has);
		assert_int_equal(binding.len, rows[i].has ? 32 : 0);
		if (rows[i].has)
			assert_memory_equal(binding.p, p->heard, 32);
		buf_free(&binding);
		tls_free(&tls);
	}
}

static void
no_file_is_opened_once_the_connection_stands(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = starttls_then_tls, .say = "220 go\r\n" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;
	struct why why = { 0 };
	struct rlimit had, none;
	enum outcome o;

	(void)state;
	assert_int_equal(prepare(&tls, "mail.example.com", ca_file, &why), DONE);
	open_to(&c, p);
	ask_for_tls(&c);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	/* One, not none: poll wants as many as it is given. */
	none = (struct rlimit){ 1, had.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(open("/dev/null", O_RDONLY), -1);
	o = conn_start_tls(&c, tls, PATIENCE, &why);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	if (o != DONE)
		fail_msg("%s", why.text);
	expect_code(&c, 250);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

/* ---- promises: within TLS ---- */

static void
say_it_and_cut(struct peer *p)
{
	if (!shake_hands(p))
		return;
	say(p, str_of(p->say));
	shutdown(p->fd, SHUT_WR);
	hear_all(p);
}

static void
say_it_and_end(struct peer *p)
{
	if (!shake_hands(p))
		return;
	say(p, str_of(p->say));
	gnutls_bye(p->tls, GNUTLS_SHUT_WR);
	hear_all(p);
}

static void
no_reply_within_tls(struct peer far, const char *words)
{
	struct peer *p = peer_start(far);
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	open_to(&c, p);
	secure(&c, &tls);
	expect_no_reply(&c, PATIENCE, words);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
}

static void
tls_that_is_cut_in_an_answer_is_told_as_cut(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = say_it_and_cut, .say = "250-accepted\r\n" },
	    "in the middle of an answer without ending TLS, as if it was cut");
	no_reply_within_tls((struct peer){ .script = say_it_and_cut, .say = "250 accepted" },
	    "in the middle of an answer without ending TLS, as if it was cut");
}

static void
tls_that_is_ended_in_an_answer_is_no_answer(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = say_it_and_end, .say = "250-accepted\r\n" },
	    "closed the connection in the middle of an answer");
	no_reply_within_tls((struct peer){ .script = say_it_and_end, .say = "" },
	    "closed the connection instead of answering");
}

static void
forge_a_record(struct peer *p)
{
	static const char forged[] = "\x17\x03\x03\x00\x18" "250 forged, never sealed";

	if (!shake_hands(p))
		return;
	send(p->fd, forged, sizeof forged - 1, MSG_NOSIGNAL);
	hear_all(p);
}

static void
a_forged_record_breaks_the_connection(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = forge_a_record }, "broke instead of answering: ");
}

static void
alert_within(struct peer *p)
{
	if (!shake_hands(p))
		return;
	gnutls_alert_send(p->tls, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
	hear_all(p);
}

static void
a_fatal_alert_is_told_in_words(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = alert_within },
	    "broke instead of answering: Internal error");
}

static void
ask_to_renegotiate(struct peer *p)
{
	if (!shake_hands(p))
		return;
	gnutls_rehandshake(p->tls);
	/* What comes back is the refusal, a warning. */
	p->handshake = (int)gnutls_record_recv(p->tls, p->heard, sizeof p->heard);
	say(p, STR("220 then not\r\n"));
	hear_all(p);
}

static void
renegotiation_is_declined_and_the_talk_goes_on(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = ask_to_renegotiate,
	    .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
	assert_int_equal(p->handshake, GNUTLS_E_WARNING_ALERT_RECEIVED);
}

static void
nag_without_end(struct peer *p)
{
	if (!shake_hands(p))
		return;
	while (gnutls_alert_send(p->tls, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED) == 0)
		;
}

static void
endless_warnings_are_broken_off(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = nag_without_end,
		.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2" }, "broke instead of answering");
}

static void
flood_key_updates(struct peer *p)
{
	if (!shake_hands(p))
		return;
	for (int i = 0; i < 10000 && gnutls_session_key_update(p->tls, 0) == 0; i++)
		;
	say(p, STR("250 late\r\n"));
}

static void
key_updates_without_end_are_broken_off(void **state)
{
	(void)state;
	no_reply_within_tls((struct peer){ .script = flood_key_updates,
		.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3" }, "broke instead of answering");
}

static void
change_keys_while_reading(struct peer *p)
{
	static char sink[65536];

	if (!shake_hands(p))
		return;
	for (int i = 0; i < 5; i++) {
		if (gnutls_session_key_update(p->tls, GNUTLS_KU_PEER) < 0)
			return;
		/* Once a while only: a flood of updates is refused by the library. */
		rest(150);
		hear(p, sink, sizeof sink);
	}
	hear_up_to(p, 2 * MEBI);
	say(p, STR("250 all there\r\n"));
	hear_all(p);
}

static void
key_updates_while_we_write_lose_nothing(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = change_keys_while_reading,
	    .small_buffers = NARROW,
		.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.3" });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	conn_put(&c, big_text(2 * MEBI));
	expect_code(&c, 250);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
	assert_int_equal(p->got, 2 * MEBI);
}

static void
closing_ends_tls_politely(void **state)
{
	struct peer *p = peer_start((struct peer){ .script = say_it_within_tls });
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	open_to(&c, p);
	secure(&c, &tls);
	expect_code(&c, 220);
	conn_close(&c);
	assert_int_equal(c.fd, -1);
	assert_null(c.tls);
	conn_close(&c);
	tls_free(&tls);
	peer_end(p);
	assert_int_equal(p->ended, 0);
}

/* ---- promises: the trust store ---- */

static void
a_missing_or_useless_ca_file_is_named(void **state)
{
	static const struct {
		const char *file, *words;
	} cases[] = {
		{ "/nonexistent/ca.pem", "cannot read tls-ca-file /nonexistent/ca.pem: No such file" },
		{ "/dev/null", "no CA certificates found in /dev/null (tls-ca-file)" },
		{ "/", "cannot read tls-ca-file /: Is a directory" },
		{ "/proc/self/status", "no CA certificates found in /proc/self/status" },
		{ "/dev/zero", "cannot read tls-ca-file /dev/zero: " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tls *tls = NULL;
		struct why why = { 0 };

		is_server_trouble(prepare(&tls, "mail.example.com", cases[i].file, &why), &why,
		    cases[i].words);
		tls_free(&tls);
		tls_free(&tls);
	}
}

static void
the_systems_trust_store_is_used_or_its_package_named(void **state)
{
	struct tls *tls = NULL;
	struct why why = { 0 };

	(void)state;
	if (prepare(&tls, "mail.example.com", "", &why) == DONE)
		assert_string_equal(why.text, "");
	else if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0)
		fail_msg("%s", why.text);
	else
		says(&why, "install the package ca-certificates");
	tls_free(&tls);
	assert_null(tls);
}

static void
what_was_never_opened_can_be_closed(void **state)
{
	struct conn c = CONN_INIT;
	struct tls *tls = NULL;

	(void)state;
	conn_close(&c);
	conn_close(&c);
	tls_free(&tls);
	assert_int_equal(c.fd, -1);
}

/* One that keeps a row of the standards or of the history of such programs. */
#define promise(name, f) { name, f, NULL, NULL, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_greeting_and_an_answer_are_read),
		cmocka_unit_test(a_group_of_commands_is_one_segment),
		cmocka_unit_test(nothing_goes_out_before_the_flush),
		cmocka_unit_test(what_was_sent_does_not_stay_in_memory),
		cmocka_unit_test(the_second_of_two_answers_waits_for_its_turn),
		cmocka_unit_test(the_addresses_of_both_ends_are_known),
		cmocka_unit_test(no_child_inherits_the_connection),
		cmocka_unit_test(a_refused_connection_names_host_port_and_every_address),
		cmocka_unit_test(an_unreachable_port_comes_with_the_next_step),
		cmocka_unit_test(a_name_that_does_not_resolve_is_told_with_its_host),
		cmocka_unit_test(a_close_instead_of_an_answer_is_the_servers_trouble),
		cmocka_unit_test(half_an_answer_and_a_close_is_no_answer),
		cmocka_unit_test(an_answer_before_a_close_counts),
		cmocka_unit_test(a_reset_is_told_as_what_it_is),
		cmocka_unit_test(garbage_is_told_as_what_it_is),
		cmocka_unit_test(a_silent_server_is_left_at_the_deadline),
		cmocka_unit_test(single_octets_do_not_move_the_deadline),
		cmocka_unit_test(an_endless_line_ends_at_the_deadline_and_takes_no_memory),
		cmocka_unit_test(an_endless_answer_of_short_lines_is_broken_off),
		cmocka_unit_test(two_who_write_at_once_do_not_block_each_other),
		cmocka_unit_test(two_who_write_at_once_do_not_block_each_other_in_tls),
		cmocka_unit_test(unread_input_is_bounded_while_we_write),
		cmocka_unit_test(a_server_that_takes_nothing_is_left_at_the_deadline),
		cmocka_unit_test(a_slow_reader_that_makes_progress_is_not_left),
		cmocka_unit_test(last_words_are_in_the_reason_and_can_still_be_read),
		cmocka_unit_test(a_quiet_connection_has_no_surprise),
		cmocka_unit_test(an_answer_nobody_asked_for_is_a_surprise),
		cmocka_unit_test(an_extra_answer_in_the_same_segment_is_a_surprise),
		cmocka_unit_test(a_closed_connection_is_a_surprise),
		cmocka_unit_test(a_quiet_connection_has_no_surprise_in_tls),
		promise("D7: a tls record without data is no surprise", a_tls_record_without_data_is_no_surprise),
		cmocka_unit_test(an_extra_answer_within_tls_is_a_surprise),
		cmocka_unit_test(tls_1_3_is_spoken),
		cmocka_unit_test(tls_1_2_is_spoken),
		promise("X-06: tls 1 1 is refused", tls_1_1_is_refused),
		promise("X-13, D3: a certificate for another name is refused with its names", a_certificate_for_another_name_is_refused_with_its_names),
		promise("D3, D10: an expired certificate is refused with both dates", an_expired_certificate_is_refused_with_both_dates),
		promise("D3, D10: a certificate of the future is refused with both dates", a_certificate_of_the_future_is_refused_with_both_dates),
		promise("X-03, D3: a self signed certificate is refused and called so", a_self_signed_certificate_is_refused_and_called_so),
		promise("X-03, D3: an unknown issuer is refused and named", an_unknown_issuer_is_refused_and_named),
		cmocka_unit_test(everything_wrong_is_told_at_once),
		promise("X-13: a name only in the cn does not count", a_name_only_in_the_cn_does_not_count),
		promise("X-13: the cn does not count beside an address either", the_cn_does_not_count_beside_an_address_either),
		promise("X-15: an address in the san is accepted v4 and v6", an_address_in_the_san_is_accepted_v4_and_v6),
		promise("X-15: another address in the san is refused v4 and v6", another_address_in_the_san_is_refused_v4_and_v6),
		promise("X-15: an address as a dns name or in the cn does not count", an_address_as_a_dns_name_or_in_the_cn_does_not_count),
		promise("X-14, D5: a wildcard stands for one whole label only", a_wildcard_stands_for_one_whole_label_only),
		promise("D4: a nul in a name does not end it", a_nul_in_a_name_does_not_end_it),
		cmocka_unit_test(a_certificate_for_clients_is_refused),
		cmocka_unit_test(a_weak_key_is_refused),
		cmocka_unit_test(a_weak_signature_is_refused),
		cmocka_unit_test(a_certificate_that_is_no_ca_cannot_issue_others),
		cmocka_unit_test(a_chain_over_an_intermediate_is_accepted),
		cmocka_unit_test(a_chain_in_a_wrong_order_with_a_stranger_in_it_is_accepted),
		promise("X-16: sni is sent for names and never for addresses", sni_is_sent_for_names_and_never_for_addresses),
		promise("X-07: starttls switches a running conversation", starttls_switches_a_running_conversation),
		promise("X-11, D2: plaintext behind the 220 in one segment is refused", plaintext_behind_the_220_in_one_segment_is_refused),
		promise("X-11, D2: plaintext in a second segment before our hello is refused", plaintext_in_a_second_segment_before_our_hello_is_refused),
		promise("X-11, D2: plaintext in place of the server hello is refused", plaintext_in_place_of_the_server_hello_is_refused),
		cmocka_unit_test(a_plain_port_that_was_taken_for_tls_is_told_apart),
		cmocka_unit_test(a_handshake_that_hangs_ends_at_the_deadline),
		cmocka_unit_test(a_close_in_the_handshake_is_told_as_what_it_is),
		cmocka_unit_test(a_reset_in_the_handshake_is_told_as_what_it_is),
		cmocka_unit_test(an_alert_of_the_server_is_told_in_words),
		cmocka_unit_test(each_flight_of_the_handshake_is_one_segment),
		cmocka_unit_test(what_we_say_first_goes_with_the_end_of_the_handshake),
		cmocka_unit_test(another_name_will_do_and_no_third),
		cmocka_unit_test(the_end_of_a_certificate_is_known_after_the_handshake),
		promise("D8: both ends have one binding or none", both_ends_have_one_binding_or_none),
		cmocka_unit_test(no_file_is_opened_once_the_connection_stands),
		promise("X-18, D6: tls that is cut in an answer is told as cut", tls_that_is_cut_in_an_answer_is_told_as_cut),
		promise("X-18, D6: tls that is ended in an answer is no answer", tls_that_is_ended_in_an_answer_is_no_answer),
		cmocka_unit_test(a_forged_record_breaks_the_connection),
		cmocka_unit_test(a_fatal_alert_is_told_in_words),
		promise("D7: renegotiation is declined and the talk goes on", renegotiation_is_declined_and_the_talk_goes_on),
		promise("D7: endless warnings are broken off", endless_warnings_are_broken_off),
		promise("D7: key updates without end are broken off", key_updates_without_end_are_broken_off),
		promise("D7: key updates while we write lose nothing", key_updates_while_we_write_lose_nothing),
		promise("X-18: closing ends tls politely", closing_ends_tls_politely),
		promise("D10: a missing or useless ca file is named", a_missing_or_useless_ca_file_is_named),
		promise("D10: the systems trust store is used or its package named", the_systems_trust_store_is_used_or_its_package_named),
		cmocka_unit_test(what_was_never_opened_can_be_closed),
	};

	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
