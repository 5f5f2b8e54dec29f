/* smarthost: a submission server that does what a script says.
 *
 *	smarthost -d DIR [-s SCRIPT] [-p PORT] [-6] [-1] [options]
 *
 * It listens on loopback and writes its port into DIR/port when it may be
 * called.  Each connection has a thread of its own.  SIGTERM ends it; -1 ends
 * it after its first connection.
 *
 *	--starttls (default), --implicit, --plain       when TLS begins; plain: never
 *	--name NAME             a name or address for the certificate; may be repeated
 *	--cert KIND             good, wrong-name, expired, ...: the table of certificates.c
 *	--client-cert           who has no certificate of the same CA is not let in
 *	--priority STRING       GnuTLS's, for old protocols
 *	--user U, --password P, --no-auth       who may send
 *	--chunking              CHUNKING is among the usual offers
 *	--buffers N             octets that the kernel keeps for us each way, about
 *	--discard               keeps no text, no octets and no dialogue: for measuring;
 *	                        meter has three numbers of 64 bits: messages taken, and
 *	                        when the first MAIL and the last 2yz were, in ns
 *
 * Without a script it is polite, asks for AUTH, and takes everything.  What it
 * saw stands in DIR:
 *
 *	dialogue, dialogue.N    what was said, secrets hidden: all, and connection N
 *	raw.N                   every octet that the client said, secrets included
 *	wire.N                  every octet of both, in order (Wire.pm reads it): "> LEN" or
 *	                        "< LEN" (the client's; ours), a newline, the octets, a newline;
 *	                        "tls" where it begins, "end" where the client has closed,
 *	                        "lost" where it has gone otherwise, "close" where we did
 *	messages/NNNN.eml, .env written before the 2yz to its end is said
 *	turns                   "N turns T messages M" as each connection ends;
 *	                        turns: bursts of the client that follow our words
 *	violations              "VIOLATION: ...", wherever the client broke a rule
 *	ca.pem, pin             who has signed the certificate, and its key's fingerprint
 *	client.pem, client.key  a certificate for the client to show
 *
 * A script has one rule a line (which goes on in lines that begin with a space or tab);
 * the first that fits is taken, and where none fits the event has its usual answer.
 * `include NAME` takes the rules of another file beside it.  Quotes may hold \r \n \t \0 \xNN \\ \".
 *
 *	EVENT [#A | #A- | #A-B] [/A...] [:A...] [*A...] [@N] [~TEXT] ACTION...
 *
 * #A: the A-th time it happens in this server's life; /A: on its connection; :A: since
 * the last MAIL; *A: the A-th time that all else fits; @N: on connection N; ~TEXT: the
 * command line holds TEXT.  Events:
 * connect greeting ehlo starttls handshake auth auth-response mail rcpt data text dot
 * bdat rset noop quit unknown.  `text N` happens once a message, when N octets of
 * its text are here (1); bdat once a chunk, when all of its are.
 *
 *	reply TEXT      says it, with CRLF; several make several lines
 *	send BYTES      says it as it is;  repeat N BYTES;  sendfile PATH
 *	default         gives the usual answer, or goes on as usual
 *	ignore          gives no answer
 *	keep            keeps the message, though no 2yz is said (at dot, and at bdat ~LAST)
 *	drop            closes the connection without a TLS goodbye
 *	fin, reset      closes it politely; resets it
 *	alert           a fatal alert of TLS, and closes
 *	stall           hears, but says nothing until the client has closed
 *	bye             closes our half (in TLS: says goodbye), and stalls
 *	freeze          does not hear, either
 *	trickle MS BYTES        says an octet of them every MS ms, again and again
 *	delay MS;  wait PATH: until the file is there;  touch PATH: makes it
 *	kill PATH       SIGKILL for the process whose id is in the file
 *
 * A PATH without a leading / is in DIR.  After connect and text things go on
 * unless an action has closed the connection; after handshake only `default`
 * makes one.  Four lines are no rules:
 *
 *	offer WORD...           the EHLO keywords inside TLS (with --plain: always)
 *	offer-clear WORD...     and those before it
 *	delay-all MS            before every answer
 *	scram WORD...           SCRAM with something wrong: i=N (its count), nonce (not ours),
 *	                        m-first, m-last (an extension), first-error=WORD, error=WORD
 *	                        (e= in place of a message), signature (wrong), silent (none)
 *
 * The dialogue follows the answers really given: a recipient is one if its
 * RCPT drew 2yz, text begins if DATA drew 354, and 421 ends the connection. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.h"
#include "codec.h"
#include "dialogue.h"
#include "file.h"
#include "mechanisms.h"
#include "notes.h"
#include "script.h"
#include "smarthost.h"
#include "wire.h"

struct server server = {
	.cert = "good", .priority = "NORMAL",
	.user = "user@example.net", .password = "correct horse",
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("smarthost: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* ---- a connection's life ---- */

static void
end_conn(struct conn *c)
{
	const uint64_t one = 1;
	struct buf line = { 0 };

	/* `over` without a close is a stall, a failed handshake, or our own end. */
	if (c->fd >= 0)
		part(c, c->heard_all || !c->over ? POLITE : ABRUPT);
	buf_addf(&line, "%u turns %u messages %u\n", c->number, c->turns, c->messages);
	if (c->tls != NULL)
		gnutls_deinit(c->tls);
	if (c->raw_fd >= 0)
		close(c->raw_fd);
	if (c->dialogue_fd >= 0)
		close(c->dialogue_fd);
	if (c->wire_fd >= 0)
		close(c->wire_fd);
	buf_free(&c->in);
	buf_free(&c->offers);
	buf_free(&c->user);
	buf_free(&c->password);
	end_exchange(c);
	buf_free(&c->envelope);
	buf_free(&c->text);
	buf_free(&c->domains);
	buf_free(&c->said);
	free(c);

	pthread_mutex_lock(&server.lock);
	file_write(server.turns_fd, buf_str(&line));
	pthread_mutex_unlock(&server.lock);
	buf_free(&line);
	if (write(server.left_fd, &one, sizeof(one)) != sizeof(one))
		die("eventfd: %s", strerror(errno));
}

static void *
serve(void *arg)
{
	struct conn *c = arg;

	note(c, "-- ", "connect %u", c->number);
	converse(c);
	end_conn(c);
	return NULL;
}

static void
start_conn(int fd, unsigned number)
{
	struct conn *c = mem_alloc(sizeof(*c));
	const int on = 1;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->number = number;
	c->fd = fd;
	c->raw_fd = server.discard ? -1 : open_log("raw", number);
	c->dialogue_fd = server.discard ? -1 : open_log("dialogue", number);
	c->wire_fd = server.discard ? -1 : open_log("wire", number);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if ((r = pthread_create(&thread, &attr, serve, c)) != 0)
		die("a thread cannot be started: %s", strerror(r));
	pthread_attr_destroy(&attr);
}

static int
listen_on_loopback(void)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)server.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)server.port),
		.sin6_addr = in6addr_loopback };
	struct sockaddr *sa = server.ipv6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4;
	socklen_t len = server.ipv6 ? sizeof(in6) : sizeof(in4);
	struct buf line = { 0 };
	const int on = 1;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (server.buffers > 0 &&
	    (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &server.buffers, sizeof(server.buffers)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &server.buffers, sizeof(server.buffers)) < 0)) ||
	    bind(fd, sa, len) < 0 || listen(fd, 128) < 0 || getsockname(fd, sa, &len) < 0)
		die("cannot listen on loopback: %s", strerror(errno));
	server.port = ntohs(server.ipv6 ? in6.sin6_port : in4.sin_port);
	buf_addf(&line, "%u\n", server.port);
	if (file_replace(server.dirfd, "port", buf_str(&line), false) < 0)
		die("%s/port: %s", server.dir, strerror(errno));
	buf_free(&line);
	return fd;
}

/* Takes callers until a signal comes, or one only, and sees them all off. */
static void
receive_callers(int fd, int signals)
{
	const uint64_t stop = 1;
	uint64_t number = 0, ended = 0, n;
	bool open = true;

	while (open || ended < number) {
		struct pollfd p[3] = {
			{ .fd = signals, .events = POLLIN }, { .fd = server.left_fd, .events = POLLIN },
			{ .fd = open ? fd : -1, .events = POLLIN },
		};
		int caller = -1;

		if (poll(p, 3, -1) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		if (p[1].revents != 0 && read(server.left_fd, &n, sizeof(n)) == sizeof(n))
			ended += n;
		if (p[2].revents != 0)
			caller = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (caller >= 0)
			start_conn(caller, (unsigned)++number);
		if (p[0].revents != 0) {
			signals = -1;
			if (write(server.stop_fd, &stop, sizeof(stop)) != sizeof(stop))
				die("eventfd: %s", strerror(errno));
		}
		open = open && signals >= 0 && !(server.one && number > 0);
	}
	close(fd);
}

/* ---- main ---- */

enum { STARTTLS_MODE = 256, IMPLICIT_MODE, PLAIN_MODE, NAME, CERT, PRIORITY, USER, PASSWORD,
	NO_AUTH, CLIENT_CERT, CHUNKING, BUFFERS, DISCARD };

static const struct option options[] = {
	{ "starttls", no_argument,       NULL, STARTTLS_MODE },
	{ "implicit", no_argument,       NULL, IMPLICIT_MODE },
	{ "plain",    no_argument,       NULL, PLAIN_MODE },
	{ "name",     required_argument, NULL, NAME },
	{ "cert",     required_argument, NULL, CERT },
	{ "priority", required_argument, NULL, PRIORITY },
	{ "user",     required_argument, NULL, USER },
	{ "password", required_argument, NULL, PASSWORD },
	{ "no-auth",  no_argument,       NULL, NO_AUTH },
	{ "client-cert", no_argument,    NULL, CLIENT_CERT },
	{ "chunking", no_argument,       NULL, CHUNKING },
	{ "buffers",  required_argument, NULL, BUFFERS },
	{ "discard",  no_argument,       NULL, DISCARD },
	{ NULL, 0, NULL, 0 },
};

static const char *
take_options(int argc, char **argv)
{
	const char *script = NULL;
	uint64_t port = 0;
	int o;

	while ((o = getopt_long(argc, argv, "s:d:p:61", options, NULL)) != -1) {
		switch (o) {
		case 's': script = optarg; break;
		case 'd': server.dir = optarg; break;
		case 'p':
			if (!codec_number(str_of(optarg), 65535, &port))
				die("-p: not a port: %s", optarg);
			server.port = (unsigned)port;
			break;
		case '6': server.ipv6 = true; break;
		case '1': server.one = true; break;
		case STARTTLS_MODE: server.tls = AFTER_STARTTLS; break;
		case IMPLICIT_MODE: server.tls = AT_ONCE; break;
		case PLAIN_MODE: server.tls = NEVER_TLS; break;
		case NAME: buf_addf(&server.names, "%s\n", optarg); break;
		case CERT: take_cert(optarg); break;
		case PRIORITY: server.priority = optarg; break;
		case USER: server.user = optarg; break;
		case PASSWORD: server.password = optarg; break;
		case NO_AUTH: server.no_auth = true; break;
		case CLIENT_CERT: server.client_cert = true; break;
		case CHUNKING: server.chunking = true; break;
		case BUFFERS: server.buffers = atoi(optarg); break;
		case DISCARD: server.discard = true; break;
		default: die("usage: smarthost -d DIR [-s SCRIPT] [-p PORT] [-6] [-1] [options]");
		}
	}
	if (server.dir == NULL || optind != argc)
		die("usage: smarthost -d DIR [-s SCRIPT] [-p PORT] [-6] [-1] [options]");
	if (server.names.len == 0)
		buf_adds(&server.names, server.ipv6 ? "localhost\n::1\n" : "localhost\n127.0.0.1\n");
	return script;
}

static void
open_dir(void)
{
	server.dirfd = open(server.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server.dirfd < 0)
		die("%s: %s", server.dir, strerror(errno));
	if (mkdirat(server.dirfd, "messages", 0755) < 0 && errno != EEXIST)
		die("%s/messages: %s", server.dir, strerror(errno));
	server.messages_fd = openat(server.dirfd, "messages", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server.messages_fd < 0)
		die("%s/messages: %s", server.dir, strerror(errno));
	server.dialogue_fd = open_log("dialogue", 0);
	server.violations_fd = open_log("violations", 0);
	server.turns_fd = open_log("turns", 0);
	if (server.discard)
		open_meter();
}

static void
free_server(void)
{
	for (size_t i = 0; i < server.nrules; i++) {
		struct rule *r = &server.rules[i];

		for (size_t k = 0; k < r->ndeeds; k++)
			buf_free(&r->deeds[k].word);
		free(r->deeds);
		buf_free(&r->holds);
	}
	free(server.rules);
	buf_free(&server.names);
	buf_free(&server.offer);
	buf_free(&server.offer_clear);
	buf_free(&server.scram);
	free_certificates();
}

int
main(int argc, char **argv)
{
	const char *script = take_options(argc, argv);
	sigset_t set;
	int signals, fd;

	/* Blocked before the first thread, so that only signalfd sees them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	server.stop_fd = eventfd(0, EFD_CLOEXEC);
	server.left_fd = eventfd(0, EFD_CLOEXEC);
	if (signals < 0 || server.stop_fd < 0 || server.left_fd < 0)
		die("%s", strerror(errno));

	if (script != NULL)
		read_script(script);
	open_dir();
	make_certificates();
	fd = listen_on_loopback();
	receive_callers(fd, signals);
	free_server();
	return 0;
}
