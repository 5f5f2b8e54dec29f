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
 *	--cert KIND             good wrong-name expired not-yet self-signed no-san
 *	--priority STRING       GnuTLS's, for old protocols
 *	--user U, --password P, --no-auth       who may send
 *	--discard               keeps no text, no octets and no dialogue: for measuring
 *
 * Without a script it is polite, asks for AUTH, and takes everything.  What it
 * saw stands in DIR:
 *
 *	dialogue, dialogue.N    what was said, secrets hidden: all, and connection N
 *	raw.N                   every octet that the client said, secrets included
 *	messages/NNNN.eml, .env written before the 2yz to the final dot is said
 *	turns                   "N turns T messages M" as each connection ends;
 *	                        turns: bursts of the client that follow our words
 *	violations              "VIOLATION: ...", wherever the client broke a rule
 *	ca.pem                  who has signed the certificate
 *
 * A script has one rule a line; the first that fits is taken, and where none
 * fits the event has its usual answer.  Quotes may hold \r \n \t \0 \xNN \\ \".
 *
 *	EVENT [#A | #A- | #A-B] [@N] [~TEXT] ACTION...
 *
 * #A: the A-th time it happens in this server's life; @N: on connection N;
 * ~TEXT: the command line holds TEXT.  Events: connect greeting ehlo starttls
 * handshake auth auth-response mail rcpt data text dot rset noop quit unknown.
 * `text N` happens once a message, when N octets of its text are here (1).
 *
 *	reply TEXT      says it, with CRLF; several make several lines
 *	send BYTES      says it as it is;  repeat N BYTES;  sendfile PATH
 *	default         gives the usual answer, or goes on as usual
 *	ignore          gives no answer
 *	keep            keeps the message, though no 2yz is said (at dot)
 *	drop            closes the connection without a TLS goodbye
 *	fin, reset      closes it politely; resets it
 *	stall           says nothing until the client has closed
 *	delay MS;  wait PATH: until the file is there;  touch PATH: makes it
 *	kill PATH       SIGKILL for the process whose id is in the file
 *
 * A PATH without a leading / is in DIR.  After connect and text things go on
 * unless an action has closed the connection; after handshake only `default`
 * makes one.  Three lines are no rules:
 *
 *	offer WORD...           the EHLO keywords inside TLS (with --plain: always)
 *	offer-clear WORD...     and those before it
 *	delay-all MS            before every answer
 *
 * The dialogue follows the answers really given: a recipient is one if its
 * RCPT drew 2yz, text begins if DATA drew 354, and 421 ends the connection. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "buf.h"
#include "codec.h"
#include "file.h"

#define COMMAND_MAX 512                 /* RFC 5321 4.5.3.1.4, CRLF included */
#define AUTH_MAX 12288                  /* RFC 4954 section 4 */
#define TEXT_LINE_MAX 998               /* RFC 5321 4.5.3.1.6, without CRLF */
#define PATIENCE (64 * 1024)            /* octets without a line end before we give up */
#define TEXT_MAX 104857600              /* what we offer as SIZE */
#define LINGER_MS 1000                  /* for the client's goodbye after ours */

enum event {
	CONNECT, GREETING, EHLO, STARTTLS, HANDSHAKE, AUTH, AUTH_RESPONSE, MAIL, RCPT,
	DATA, TEXT, DOT, RSET, NOOP, QUIT, UNKNOWN, EVENTS
};

enum tls_when { AFTER_STARTTLS, AT_ONCE, NEVER_TLS };
enum stage { NO_EXCHANGE, PLAIN_RESPONSE, LOGIN_USER, LOGIN_PASSWORD, OTHER_MECHANISM };
enum goodbye { POLITE, ABRUPT, RESET };

/* Things that may go wrong in every line of a text and are told once. */
enum flaw { BARE_CR = 1, BARE_LF = 2, NUL = 4, LONG_LINE = 8, EIGHT_BIT = 16, UNSTUFFED = 32 };

struct conn;
struct deed;

struct deed_kind {
	const char *name;
	bool number, word;              /* what stands behind the name */
	void (*act)(struct conn *c, const struct deed *d);
};

struct deed {
	const struct deed_kind *kind;
	uint64_t n;
	struct buf word;
};

struct rule {
	enum event event;
	uint64_t first, last;           /* occurrences that it is for */
	uint64_t conn;                  /* connection; 0 is any */
	struct buf holds;               /* what the line must hold */
	uint64_t threshold;             /* text: octets */
	struct deed *deeds;
	size_t ndeeds;
};

struct conn {
	unsigned number;
	int fd;                         /* -1: closed */
	int raw_fd, dialogue_fd;
	gnutls_session_t tls;
	bool secure;                    /* the handshake is done */
	bool heard_all;                 /* the client has closed its side */
	bool gone;                      /* it cannot be reached any more */
	bool over;                      /* nothing more is to be heard or said */
	struct buf in;                  /* octets heard and not yet taken */
	size_t scanned;                 /* of them, without a line end */

	bool greeted, refused, authenticated, quit;
	struct buf offers;              /* keyword lines of the EHLO answer really given */
	bool extended;                  /* EHLO was said, not HELO */
	struct buf user, password;
	enum stage stage;

	bool in_mail;                   /* MAIL was accepted */
	unsigned recipients;
	bool eight_bit_declared;
	struct buf envelope, text;
	uint64_t text_seen;             /* octets, those over TEXT_MAX included */
	unsigned flaws;
	bool kept;                      /* this text is in its file */

	enum event event;               /* what is being answered */
	struct str args;                /* the line behind the verb */
	struct buf said;                /* the answer so far */

	bool spoke;                     /* we have, since the client last did */
	unsigned turns, messages;
};

static struct {
	const char *dir;
	int dirfd, messages_fd, dialogue_fd, violations_fd, turns_fd;
	int stop_fd, left_fd;           /* eventfds: end, all of you; connections that have ended */
	enum tls_when tls;
	struct buf names;               /* one a line */
	const char *cert, *priority, *user, *password;
	unsigned port;
	bool ipv6, one, no_auth, discard;
	struct buf offer, offer_clear;  /* one keyword a line */
	bool has_offer, has_offer_clear;
	uint64_t delay_all;
	struct rule *rules;
	size_t nrules;
	gnutls_certificate_credentials_t credentials;

	pthread_mutex_t lock;           /* for all below, and for the shared files */
	uint64_t counts[EVENTS];
	unsigned messages;
} server = {
	.cert = "good", .priority = "NORMAL",
	.user = "user@example.net", .password = "correct horse",
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void
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

/* ---- what is written down ---- */

static void
write_line(struct conn *c, const char *prefix, struct str words)
{
	struct buf line = { 0 };

	buf_adds(&line, prefix);
	codec_mask(&line, words);
	buf_addc(&line, '\n');
	pthread_mutex_lock(&server.lock);
	file_write(server.dialogue_fd, buf_str(&line));
	pthread_mutex_unlock(&server.lock);
	file_write(c->dialogue_fd, buf_str(&line));
	buf_free(&line);
}

static void note(struct conn *c, const char *prefix, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
note(struct conn *c, const char *prefix, const char *fmt, ...)
{
	struct buf words = { 0 };
	va_list ap;

	if (server.discard)
		return;
	va_start(ap, fmt);
	buf_addv(&words, fmt, ap);
	va_end(ap);
	write_line(c, prefix, buf_str(&words));
	buf_free(&words);
}

static void accuse(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
accuse(struct conn *c, const char *fmt, ...)
{
	struct buf words = { 0 }, line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&words, fmt, ap);
	va_end(ap);
	buf_adds(&line, "VIOLATION: ");
	codec_mask(&line, buf_str(&words));
	buf_addf(&line, " (connection %u)\n", c->number);
	pthread_mutex_lock(&server.lock);
	file_write(server.violations_fd, buf_str(&line));
	pthread_mutex_unlock(&server.lock);
	note(c, "-- ", "VIOLATION: %s", buf_c(&words));
	buf_free(&words);
	buf_free(&line);
}

static void
accuse_once(struct conn *c, enum flaw flaw, const char *what)
{
	if (!(c->flaws & flaw))
		accuse(c, "%s", what);
	c->flaws |= flaw;
}

/* Our words, a line each; floods are only measured. */
static void
note_said(struct conn *c, struct str bytes)
{
	struct str line;

	if (server.discard)
		return;
	if (bytes.len > 2048) {
		note(c, "S: ", "<%zu octets>", bytes.len);
		return;
	}
	while (str_line(&bytes, &line)) {
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		write_line(c, "S: ", line);
	}
}

/* The client's words, secrets hidden: whatever stands behind AUTH and its
 * mechanism, and every line of the exchange but the word that ends it. */
static void
note_heard(struct conn *c, struct str line)
{
	struct str rest = line, verb = str_word(&rest), mechanism = str_word(&rest);

	if (server.discard)
		return;
	if (c->stage != NO_EXCHANGE && !str_is(line, "*"))
		note(c, "C: ", "<hidden>");
	else if (c->stage == NO_EXCHANGE && str_caseis(verb, "AUTH") && rest.len > 0)
		note(c, "C: ", "%.*s %.*s <hidden>", (int)verb.len, verb.p,
		    (int)mechanism.len, mechanism.p);
	else
		write_line(c, "C: ", line);
}

/* The message is whole in its files before the client hears that it is ours. */
static void
keep_message(struct conn *c)
{
	struct buf env = { 0 };
	char name[32];
	unsigned n;

	if (c->kept)
		return;
	c->kept = true;
	c->messages++;
	if (server.discard)
		return;
	pthread_mutex_lock(&server.lock);
	n = ++server.messages;
	pthread_mutex_unlock(&server.lock);
	buf_addstr(&env, buf_str(&c->envelope));
	buf_adds(&env, "auth ");
	if (c->authenticated)
		codec_escape(&env, buf_str(&c->user));
	buf_addf(&env, "\ntls %s\nconnection %u\n", c->secure ? "yes" : "no", c->number);
	snprintf(name, sizeof(name), "%04u.eml", n);
	if (file_replace(server.messages_fd, name, buf_str(&c->text), false) < 0)
		die("%s: %s", name, strerror(errno));
	snprintf(name, sizeof(name), "%04u.env", n);
	if (file_replace(server.messages_fd, name, buf_str(&env), false) < 0)
		die("%s: %s", name, strerror(errno));
	buf_free(&env);
}

/* ---- the wire ---- */

/* False when the server is to end; otherwise something has happened on fd, or
 * ms milliseconds have passed (-1: no limit).  fd -1 is only the pause. */
static bool
wait_on(int fd, short events, int ms)
{
	struct pollfd p[2] = {
		{ .fd = server.stop_fd, .events = POLLIN },
		{ .fd = fd, .events = events },
	};

	while (poll(p, 2, ms) < 0)
		if (errno != EINTR)
			die("poll: %s", strerror(errno));
	return p[0].revents == 0;
}

/* Takes what has come, without waiting.  1: octets; 0: the client has closed;
 * -1: nothing yet. */
static int
pull(struct conn *c)
{
	char chunk[16384];
	ssize_t n;

	if (c->heard_all)
		return 0;
	if (c->secure) {
		while ((n = gnutls_record_recv(c->tls, chunk, sizeof(chunk))) == GNUTLS_E_INTERRUPTED)
			;
		if (n == GNUTLS_E_AGAIN)
			return -1;
	} else {
		while ((n = recv(c->fd, chunk, sizeof(chunk), 0)) < 0 && errno == EINTR)
			;
		if (n < 0 && errno == EAGAIN)
			return -1;
	}
	if (n <= 0) {
		c->heard_all = true;
		c->gone = n < 0;
		return 0;
	}
	buf_add(&c->in, chunk, (size_t)n);
	if (!server.discard)
		file_write(c->raw_fd, (struct str){ chunk, (size_t)n });
	if (c->spoke)
		c->turns++;
	c->spoke = false;
	return 1;
}

/* Waits for more octets; false when there will be none. */
static bool
hear_more(struct conn *c)
{
	int got;

	while ((got = pull(c)) < 0)
		if (!wait_on(c->fd, POLLIN, -1))
			return false;
	return got > 0;
}

static void
transmit(struct conn *c, struct str bytes)
{
	while (bytes.len > 0 && !c->gone && !c->over) {
		ssize_t n;

		if (c->secure)
			n = gnutls_record_send(c->tls, bytes.p, bytes.len);
		else
			n = send(c->fd, bytes.p, bytes.len, MSG_NOSIGNAL);
		if (n > 0) {
			c->spoke = true;
			bytes.p += n;
			bytes.len -= (size_t)n;
		} else if (c->secure ? n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED :
		    errno == EAGAIN || errno == EINTR) {
			if (!wait_on(c->fd, POLLOUT, -1))
				c->over = true;
		} else {
			c->gone = true;
		}
	}
}

/* After our goodbye the client may still close in its own time; what it says
 * instead is a fault if it had said QUIT. */
static void
hear_goodbye(struct conn *c)
{
	struct timespec now;
	int64_t end, left = LINGER_MS;

	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + LINGER_MS;
	buf_clear(&c->in);
	while (left > 0 && pull(c) != 0 && wait_on(c->fd, POLLIN, (int)left)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = end - (now.tv_sec * 1000 + now.tv_nsec / 1000000);
	}
	if (c->quit && c->in.len > 0)
		accuse(c, "%zu octets after QUIT", c->in.len);
}

static void
part(struct conn *c, enum goodbye how)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (c->fd < 0)
		return;
	c->over = true;
	if (how == POLITE) {
		if (c->secure)
			gnutls_bye(c->tls, GNUTLS_SHUT_WR);
		shutdown(c->fd, SHUT_WR);
		hear_goodbye(c);
	} else if (how == RESET) {
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	} else {
		/* Octets that nobody has read would turn the close into a reset. */
		while (pull(c) > 0)
			;
	}
	note(c, "-- ", "closed %u", c->number);
	close(c->fd);
	c->fd = -1;
}

/* ---- saying ---- */

static const struct {
	const char *name;
	bool is_command;
	bool ends_group;        /* RFC 2920 3.1, RFC 3207 4, RFC 4954 4: last in its group */
} events[EVENTS] = {
	[CONNECT] =       { "connect",       false, false },
	[GREETING] =      { "greeting",      false, false },
	[EHLO] =          { "ehlo",          true,  true  },
	[STARTTLS] =      { "starttls",      true,  true  },
	[HANDSHAKE] =     { "handshake",     false, false },
	[AUTH] =          { "auth",          true,  true  },
	[AUTH_RESPONSE] = { "auth-response", true,  true  },
	[MAIL] =          { "mail",          true,  false },
	[RCPT] =          { "rcpt",          true,  false },
	[DATA] =          { "data",          true,  true  },
	[TEXT] =          { "text",          false, false },
	[DOT] =           { "dot",           true,  false },
	[RSET] =          { "rset",          true,  false },
	[NOOP] =          { "noop",          true,  true  },
	[QUIT] =          { "quit",          true,  true  },
	[UNKNOWN] =       { "unknown",       true,  true  },
};

/* The line of an EHLO answer that begins with keyword: what stands behind it. */
static bool
find_offer(const struct conn *c, const char *keyword, struct str *args)
{
	struct str rest = buf_str(&c->offers), line;

	while (str_line(&rest, &line)) {
		*args = line;
		if (str_caseis(str_word(args), keyword))
			return true;
	}
	return false;
}

static bool
has_offered(const struct conn *c, const char *keyword)
{
	struct str ignored;

	return find_offer(c, keyword, &ignored);
}

static bool
has_word(struct str words, struct str word)
{
	while (words.len > 0)
		if (str_caseeq(str_word(&words), word))
			return true;
	return false;
}

/* What has come before we have answered was sent without waiting for us. */
static void
check_group(struct conn *c)
{
	if (c->event == GREETING) {
		if (pull(c) > 0)
			accuse(c, "spoke before the greeting");
		return;
	}
	if (!events[c->event].is_command)
		return;
	pull(c);
	if (c->in.len == 0)
		return;
	if (!has_offered(c, "PIPELINING"))
		accuse(c, "something follows %s at once, though PIPELINING was not offered",
		    events[c->event].name);
	else if (events[c->event].ends_group)
		accuse(c, "%s was not last in its group", events[c->event].name);
}

static void
say_bytes(struct conn *c, struct str bytes)
{
	if (c->over || bytes.len == 0)
		return;
	if (c->said.len == 0) {
		if (server.delay_all > 0)
			wait_on(-1, 0, (int)server.delay_all);
		check_group(c);
		if (c->event == DOT && bytes.p[0] == '2')
			keep_message(c);
	}
	note_said(c, bytes);
	if (c->said.len < PATIENCE)
		buf_addstr(&c->said, bytes);
	transmit(c, bytes);
}

static void say(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct conn *c, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	buf_adds(&line, "\r\n");
	say_bytes(c, buf_str(&line));
	buf_free(&line);
}

/* The code of the first whole reply in what was said; 0 if there is none. */
static unsigned
code_said(const struct conn *c)
{
	struct str rest = buf_str(&c->said), line;
	uint64_t code;

	while (str_line(&rest, &line)) {
		line = str_trim(line);
		if (line.len >= 3 && codec_number((struct str){ line.p, 3 }, 599, &code) &&
		    (line.len == 3 || line.p[3] == ' '))
			return (unsigned)code;
	}
	return 0;
}

/* ---- the usual answers ---- */

static void
answer_greeting(struct conn *c)
{
	say(c, "220 localhost ESMTP at your service");
}

static void
add_usual_offers(const struct conn *c, struct buf *lines)
{
	buf_addf(lines, "PIPELINING\nSIZE %d\n8BITMIME\nENHANCEDSTATUSCODES\nDSN\n", TEXT_MAX);
	if (!c->secure && server.tls == AFTER_STARTTLS)
		buf_adds(lines, "STARTTLS\n");
	else if (!server.no_auth)
		buf_adds(lines, "AUTH PLAIN LOGIN\n");
}

static void
answer_ehlo(struct conn *c)
{
	bool clear = !c->secure && server.tls != NEVER_TLS;
	struct buf lines = { 0 }, out = { 0 };
	struct str rest, line;

	if (c->refused) {
		say(c, "503 5.5.1 no service here");
		return;
	}
	buf_adds(&lines, "localhost\n");
	/* RFC 5321 4.1.1.1: HELO asks for no extensions. */
	if (c->extended && (clear ? server.has_offer_clear : server.has_offer))
		buf_addstr(&lines, buf_str(clear ? &server.offer_clear : &server.offer));
	else if (c->extended)
		add_usual_offers(c, &lines);
	rest = buf_str(&lines);
	while (str_line(&rest, &line))
		buf_addf(&out, "250%c%.*s\r\n", rest.len > 0 ? '-' : ' ', (int)line.len, line.p);
	say_bytes(c, buf_str(&out));
	buf_free(&lines);
	buf_free(&out);
}

static void
answer_starttls(struct conn *c)
{
	if (c->secure || server.tls != AFTER_STARTTLS)
		say(c, "503 5.5.1 no STARTTLS now");
	else
		say(c, "220 2.0.0 go ahead");
}

static void
shake_hands(struct conn *c)
{
	int r;

	/* Octets sent before the handshake are not the TLS client's words. */
	buf_clear(&c->in);
	if (c->secure || c->tls != NULL)
		return;
	if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
	    gnutls_priority_set_direct(c->tls, server.priority, NULL) < 0 ||
	    gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, server.credentials) < 0)
		die("TLS cannot be set up; is --priority right?");
	gnutls_transport_set_int(c->tls, c->fd);
	while ((r = gnutls_handshake(c->tls)) < 0 && !gnutls_error_is_fatal(r)) {
		short way = gnutls_record_get_direction(c->tls) ? POLLOUT : POLLIN;

		if (r == GNUTLS_E_AGAIN && !wait_on(c->fd, way, -1))
			break;
	}
	if (r < 0) {
		int alert = r == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int)gnutls_alert_get(c->tls) : -1;

		note(c, "-- ", "tls failed %u: %s", c->number, alert >= 0 ?
		    gnutls_alert_get_name((gnutls_alert_description_t)alert) : gnutls_strerror(r));
		c->over = true;
		return;
	}
	c->secure = true;
	note(c, "-- ", "tls %u", c->number);
}

static void
forget_mail(struct conn *c)
{
	c->in_mail = false;
	c->recipients = 0;
	buf_clear(&c->envelope);
	buf_clear(&c->text);
}

/* RFC 4616: authorization identity, NUL, login, NUL, password. */
static void
read_plain(struct conn *c, struct str octets)
{
	struct str rest = octets, user;

	rest.p += str_find(octets, '\0');
	rest.len -= str_find(octets, '\0');
	if (rest.len == 0)
		return;
	rest.p++;
	rest.len--;
	user = (struct str){ rest.p, str_find(rest, '\0') };
	buf_addstr(&c->user, user);
	if (user.len < rest.len)
		buf_add(&c->password, user.p + user.len + 1, rest.len - user.len - 1);
}

static void
judge_login(struct conn *c)
{
	bool right = str_is(buf_str(&c->user), server.user) &&
	    str_is(buf_str(&c->password), server.password);

	say(c, "%s", right ? "235 2.7.0 welcome" : "535 5.7.8 wrong user or password");
}

/* Answers a response of the exchange, or the one that came with AUTH. */
static void
answer_response(struct conn *c, struct str response)
{
	struct buf octets = { 0 };

	if (str_is(response, "*")) {
		say(c, "501 5.7.0 given up, as you wish");
	} else if (!codec_unbase64(&octets, response)) {
		accuse(c, "AUTH: not base64");
		say(c, "501 5.5.2 not base64");
	} else if (c->stage == PLAIN_RESPONSE) {
		read_plain(c, buf_str(&octets));
		judge_login(c);
	} else if (c->stage == LOGIN_USER) {
		buf_addstr(&c->user, buf_str(&octets));
		c->stage = LOGIN_PASSWORD;
		say(c, "334 UGFzc3dvcmQ6");
	} else if (c->stage == LOGIN_PASSWORD) {
		buf_addstr(&c->password, buf_str(&octets));
		judge_login(c);
	} else {
		say(c, "535 5.7.8 no way to tell");
	}
	buf_free(&octets);
}

static void
answer_auth(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest), offered;

	if (c->authenticated || c->in_mail)
		say(c, "503 5.5.1 not now");
	else if (!find_offer(c, "AUTH", &offered))
		say(c, c->secure ? "503 5.5.1 not offered" : "538 5.7.11 TLS first");
	else if (!has_word(offered, mechanism) || c->stage == OTHER_MECHANISM)
		say(c, "504 5.5.4 no such mechanism");
	else if (rest.len > 0)
		answer_response(c, str_is(rest, "=") ? STR("") : rest);
	else
		say(c, c->stage == LOGIN_USER ? "334 VXNlcm5hbWU6" : "334 ");
}

static void
answer_auth_response(struct conn *c)
{
	answer_response(c, c->args);
}

static void
answer_mail(struct conn *c)
{
	struct str rest = c->args, offered;
	uint64_t limit, size;

	if (c->refused || !c->greeted || c->in_mail) {
		say(c, "503 5.5.1 not now");
		return;
	}
	if (!server.no_auth && !c->authenticated) {
		say(c, "530 5.7.0 authentication required");
		return;
	}
	if (find_offer(c, "SIZE", &offered) && codec_number(offered, UINT64_MAX, &limit) && limit > 0) {
		while (rest.len > 0) {
			struct str word = str_word(&rest);

			if (str_casestarts(word, "SIZE=") && codec_number((struct str){
			    word.p + 5, word.len - 5 }, UINT64_MAX, &size) && size > limit) {
				say(c, "552 5.3.4 too large");
				return;
			}
		}
	}
	say(c, "250 2.1.0 ok");
}

static void
answer_rcpt(struct conn *c)
{
	say(c, c->in_mail ? "250 2.1.5 ok" : "503 5.5.1 MAIL first");
}

static void
answer_data(struct conn *c)
{
	if (!c->in_mail)
		say(c, "503 5.5.1 MAIL first");
	else if (c->recipients == 0)
		say(c, "554 5.5.1 no valid recipients");
	else
		say(c, "354 go ahead");
}

static void
answer_dot(struct conn *c)
{
	if (c->text_seen > TEXT_MAX)
		say(c, "552 5.3.4 too large");
	else if (c->recipients == 0)
		say(c, "554 5.5.1 no valid recipients");
	else
		say(c, "250 2.0.0 ok: taken");
}

static void
answer_ok(struct conn *c)
{
	say(c, "250 2.0.0 ok");
}

static void
answer_quit(struct conn *c)
{
	say(c, "221 2.0.0 bye");
}

static void
answer_unknown(struct conn *c)
{
	say(c, "500 5.5.1 no such command");
}

static void (*const usual[EVENTS])(struct conn *c) = {
	[GREETING] = answer_greeting, [EHLO] = answer_ehlo, [STARTTLS] = answer_starttls,
	[HANDSHAKE] = shake_hands, [AUTH] = answer_auth, [AUTH_RESPONSE] = answer_auth_response,
	[MAIL] = answer_mail, [RCPT] = answer_rcpt, [DATA] = answer_data, [DOT] = answer_dot,
	[RSET] = answer_ok, [NOOP] = answer_ok, [QUIT] = answer_quit, [UNKNOWN] = answer_unknown,
};

static void
answer_as_usual(struct conn *c)
{
	if (usual[c->event] != NULL)
		usual[c->event](c);
}

/* ---- the actions of a script ---- */

/* A PATH of the script, as a name for the *at calls. */
static const char *
path_of(const struct deed *d)
{
	return buf_c(&d->word);
}

static void
act_reply(struct conn *c, const struct deed *d)
{
	say(c, "%s", buf_c(&d->word));
}

static void
act_send(struct conn *c, const struct deed *d)
{
	say_bytes(c, buf_str(&d->word));
}

static void
act_sendfile(struct conn *c, const struct deed *d)
{
	struct buf bytes = { 0 };

	if (file_load(server.dirfd, path_of(d), &bytes, TEXT_MAX) < 0)
		die("sendfile %s: %s", path_of(d), strerror(errno));
	say_bytes(c, buf_str(&bytes));
	buf_free(&bytes);
}

static void
act_repeat(struct conn *c, const struct deed *d)
{
	struct buf some = { 0 };

	for (uint64_t i = 0; i < d->n && !c->gone && !c->over; i++) {
		buf_addstr(&some, buf_str(&d->word));
		if (some.len >= 16384 || i + 1 == d->n) {
			say_bytes(c, buf_str(&some));
			buf_clear(&some);
		}
	}
	buf_free(&some);
}

static void
act_default(struct conn *c, const struct deed *d)
{
	(void)d;
	answer_as_usual(c);
}

static void
act_ignore(struct conn *c, const struct deed *d)
{
	(void)c;
	(void)d;
}

static void
act_keep(struct conn *c, const struct deed *d)
{
	(void)d;
	if (c->event == DOT)
		keep_message(c);
}

static void
act_drop(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, ABRUPT);
}

static void
act_fin(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, POLITE);
}

static void
act_reset(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, RESET);
}

static void
act_stall(struct conn *c, const struct deed *d)
{
	(void)d;
	while (hear_more(c))
		buf_clear(&c->in);
	c->over = true;
}

static void
act_delay(struct conn *c, const struct deed *d)
{
	if (!wait_on(-1, 0, (int)d->n))
		c->over = true;
}

static void
act_wait(struct conn *c, const struct deed *d)
{
	while (faccessat(server.dirfd, path_of(d), F_OK, 0) != 0) {
		if (!wait_on(-1, 0, 2)) {
			c->over = true;
			return;
		}
	}
}

static void
act_touch(struct conn *c, const struct deed *d)
{
	int fd = openat(server.dirfd, path_of(d), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	(void)c;
	if (fd < 0)
		die("touch %s: %s", path_of(d), strerror(errno));
	close(fd);
}

static void
act_kill(struct conn *c, const struct deed *d)
{
	struct buf text = { 0 };
	uint64_t pid;

	/* Only a process: 0 and 1 would mean our own group, or all. */
	if (file_load(server.dirfd, path_of(d), &text, 64) < 0 ||
	    !codec_number(str_trim(buf_str(&text)), INT32_MAX, &pid) || pid < 2)
		die("kill %s: no process id there", path_of(d));
	if (kill((pid_t)pid, SIGKILL) < 0)
		note(c, "-- ", "kill %d: %s", (int)pid, strerror(errno));
	buf_free(&text);
}

static const struct deed_kind deed_kinds[] = {
	{ "reply",    false, true,  act_reply },
	{ "send",     false, true,  act_send },
	{ "sendfile", false, true,  act_sendfile },
	{ "repeat",   true,  true,  act_repeat },
	{ "default",  false, false, act_default },
	{ "ignore",   false, false, act_ignore },
	{ "keep",     false, false, act_keep },
	{ "drop",     false, false, act_drop },
	{ "fin",      false, false, act_fin },
	{ "reset",    false, false, act_reset },
	{ "stall",    false, false, act_stall },
	{ "delay",    true,  false, act_delay },
	{ "wait",     false, true,  act_wait },
	{ "touch",    false, true,  act_touch },
	{ "kill",     false, true,  act_kill },
};

/* ---- what an event does ---- */

/* Counts the event and finds the rule for it, NULL if there is none. */
static const struct rule *
find_rule(const struct conn *c, enum event e, struct str line)
{
	uint64_t nth;

	pthread_mutex_lock(&server.lock);
	nth = ++server.counts[e];
	pthread_mutex_unlock(&server.lock);
	for (size_t i = 0; i < server.nrules; i++) {
		const struct rule *r = &server.rules[i];

		if (r->event != e || nth < r->first || nth > r->last ||
		    (r->conn != 0 && r->conn != c->number))
			continue;
		if (r->holds.len > 0 && (line.len == 0 ||
		    memmem(line.p, line.len, r->holds.p, r->holds.len) == NULL))
			continue;
		return r;
	}
	return NULL;
}

static void
follow_rule(struct conn *c, const struct rule *r)
{
	for (size_t i = 0; i < r->ndeeds && c->fd >= 0 && !c->over; i++)
		r->deeds[i].kind->act(c, &r->deeds[i]);
}

/* The keywords are those in the answer, whoever wrote it. */
static void
learn_offers(struct conn *c)
{
	struct str rest = buf_str(&c->said), line;
	bool first = true;

	buf_clear(&c->offers);
	for (; str_line(&rest, &line); first = false) {
		line = str_trim(line);
		if (first || line.len < 5)
			continue;
		buf_add(&c->offers, line.p + 4, line.len - 4);
		buf_addc(&c->offers, '\n');
	}
}

static void
add_to_envelope(struct conn *c, const char *key)
{
	size_t colon = str_find(c->args, ':');
	size_t from = colon < c->args.len ? colon + 1 : 0;

	buf_adds(&c->envelope, key);
	codec_escape(&c->envelope, (struct str){ c->args.p + from, c->args.len - from });
	buf_addc(&c->envelope, '\n');
}

static void happen(struct conn *c, enum event e, struct str line, struct str args);

/* Goes on from the answer that was really given. */
static void
follow_answer(struct conn *c, enum event e)
{
	unsigned code = code_said(c);
	bool yes = code / 100 == 2;

	if (code == 421)
		part(c, POLITE);
	if (e == GREETING) {
		c->refused = code / 100 == 5;
	} else if (e == EHLO && yes) {
		c->greeted = true;
		forget_mail(c);
		learn_offers(c);
	} else if (e == STARTTLS && code == 220) {
		c->greeted = false;
		buf_clear(&c->offers);
		happen(c, HANDSHAKE, STR(""), STR(""));
	} else if (e == AUTH || e == AUTH_RESPONSE) {
		c->authenticated = c->authenticated || code == 235;
		if (code != 334)
			c->stage = NO_EXCHANGE;
	} else if (e == MAIL && yes) {
		forget_mail(c);
		c->in_mail = true;
		add_to_envelope(c, "from ");
	} else if (e == RCPT && yes) {
		c->recipients++;
		add_to_envelope(c, "to ");
	} else if (e == RSET && yes) {
		forget_mail(c);
	} else if (e == QUIT && yes) {
		c->quit = true;
		part(c, POLITE);
	}
}

static void
begin_event(struct conn *c, enum event e, struct str args)
{
	c->event = e;
	c->args = args;
	buf_clear(&c->said);
}

static void
happen(struct conn *c, enum event e, struct str line, struct str args)
{
	const struct rule *r = find_rule(c, e, line);

	begin_event(c, e, args);
	if (r != NULL)
		follow_rule(c, r);
	else
		answer_as_usual(c);
	if (c->fd >= 0 && !c->over)
		follow_answer(c, e);
}

/* ---- the text ---- */

static void
check_text_line(struct conn *c, struct str line)
{
	if (line.len > TEXT_LINE_MAX + (line.p[0] == '.'))
		accuse_once(c, LONG_LINE, "a line of the text is over 998 octets");
	if (line.len > 1 && line.p[0] == '.' && line.p[1] != '.')
		accuse_once(c, UNSTUFFED, "a line of the text begins with a single dot");
	if (str_has(line, '\r'))
		accuse_once(c, BARE_CR, "bare CR in the text");
	if (str_has(line, '\n'))
		accuse_once(c, BARE_LF, "bare LF in the text");
	if (str_has(line, '\0'))
		accuse_once(c, NUL, "NUL in the text");
	for (size_t i = 0; !c->eight_bit_declared && i < line.len; i++)
		if ((unsigned char)line.p[i] > 127)
			accuse_once(c, EIGHT_BIT, "8-bit text, but MAIL did not say BODY=8BITMIME");
}

/* RFC 5321 4.5.2: the first dot of a line is not the text's. */
static void
take_text_line(struct conn *c, struct str line)
{
	if (line.len > 0)
		check_text_line(c, line);
	if (line.len > 0 && line.p[0] == '.') {
		line.p++;
		line.len--;
	}
	c->text_seen += line.len + 2;
	if (c->text_seen > TEXT_MAX)
		return;
	buf_addstr(&c->text, line);
	buf_adds(&c->text, "\r\n");
}

/* Takes the whole lines that are here; true when the final dot was one. */
static bool
take_text(struct conn *c, uint64_t *octets)
{
	size_t at = 0;
	bool end = false;

	while (!end) {
		size_t from = at + c->scanned;
		const char *crlf = from < c->in.len ?
		    memmem(c->in.p + from, c->in.len - from, "\r\n", 2) : NULL;
		struct str line = { c->in.p + at, 0 };

		if (crlf == NULL)
			break;
		line.len = (size_t)(crlf - line.p);
		at += line.len + 2;
		c->scanned = 0;
		end = str_is(line, ".");
		if (!end)
			take_text_line(c, line);
	}
	buf_cut(&c->in, at);
	*octets += at;
	c->scanned = end || c->in.len == 0 ? 0 : c->in.len - 1;
	return end;
}

/* From the 354 to the final dot; false when the connection ended before. */
static bool
hear_text(struct conn *c)
{
	const struct rule *r = find_rule(c, TEXT, STR(""));
	bool due = r != NULL, end = false;
	uint64_t octets = 0;

	buf_clear(&c->text);
	c->text_seen = 0;
	c->flaws = 0;
	c->kept = false;
	c->scanned = 0;
	while (!end) {
		if (due && octets + c->in.len >= r->threshold) {
			due = false;
			begin_event(c, TEXT, STR(""));
			follow_rule(c, r);
			if (c->fd >= 0 && !c->over)
				follow_answer(c, TEXT);
		}
		if (c->fd < 0 || c->over)
			break;
		end = take_text(c, &octets);
		if (!end && !hear_more(c))
			break;
	}
	octets += end ? 0 : c->in.len;
	note(c, "C: ", "<text: %llu octets%s>", (unsigned long long)octets, end ? "" : ", no end");
	return end;
}

/* ---- the commands ---- */

/* A command's parameters need what the EHLO answer offered. */
static const struct {
	enum event event;
	const char *name, *keyword;
	size_t room;            /* octets that the extension adds to the line's limit */
} parameters[] = {
	{ MAIL, "SIZE",        "SIZE",        26 },     /* RFC 1870 section 3 */
	{ MAIL, "BODY",        "8BITMIME",    17 },     /* RFC 6152 section 2 */
	{ MAIL, "RET",         "DSN",         107 },    /* RFC 3461 section 4, ENVID included */
	{ MAIL, "ENVID",       "DSN",         0 },
	{ MAIL, "AUTH",        "AUTH",        500 },    /* RFC 4954 section 3 */
	{ MAIL, "SMTPUTF8",    "SMTPUTF8",    10 },     /* RFC 6531 section 3.1 */
	{ MAIL, "MT-PRIORITY", "MT-PRIORITY", 15 },     /* RFC 6710 section 3 */
	{ MAIL, "REQUIRETLS",  "REQUIRETLS",  11 },     /* RFC 8689 section 2 */
	{ RCPT, "NOTIFY",      "DSN",         500 },    /* RFC 3461 section 4, ORCPT included */
	{ RCPT, "ORCPT",       "DSN",         0 },
};

#define NPARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static void
check_length(struct conn *c, enum event e, size_t len)
{
	size_t limit = COMMAND_MAX;

	if (e == AUTH || e == AUTH_RESPONSE)
		limit = AUTH_MAX;
	for (size_t i = 0; i < NPARAMETERS; i++)
		if (parameters[i].event == e && has_offered(c, parameters[i].keyword))
			limit += parameters[i].room;
	if (len > limit)
		accuse(c, "%s: a line of %zu octets, over %zu", events[e].name, len, limit);
}

static void
check_parameter(struct conn *c, enum event e, struct str word)
{
	struct str name = { word.p, str_find(word, '=') };

	for (size_t i = 0; i < NPARAMETERS; i++) {
		if (parameters[i].event != e || !str_caseis(name, parameters[i].name))
			continue;
		if (!has_offered(c, parameters[i].keyword))
			accuse(c, "%s %s, but %s was not offered", events[e].name,
			    parameters[i].name, parameters[i].keyword);
		return;
	}
	accuse(c, "%s: no such parameter: %.*s", events[e].name, (int)name.len, name.p);
}

/* Octets up to and with the '>' that ends a path; quotes may hide one. */
static size_t
path_length(struct str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i + 1;
	}
	return s.len;
}

/* RFC 5321 4.1.1.2 and 4.1.1.3: FROM:<...> or TO:<...>, no space before it,
 * one before each parameter. */
static void
check_path(struct conn *c, enum event e)
{
	const char *word = e == MAIL ? "FROM:" : "TO:";
	struct str rest = c->args;
	size_t n = strlen(word);

	if (e == MAIL)
		c->eight_bit_declared = false;
	if (!str_casestarts(rest, word)) {
		accuse(c, "%s without %s", events[e].name, word);
		return;
	}
	rest.p += n;
	rest.len -= n;
	if (!str_starts(rest, "<")) {
		accuse(c, "%s: no < directly after %s", events[e].name, word);
		return;
	}
	n = path_length(rest);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)rest.p[i] > 127 && !has_offered(c, "SMTPUTF8")) {
			accuse(c, "%s: 8-bit address, but SMTPUTF8 was not offered", events[e].name);
			break;
		}
	}
	rest.p += n;
	rest.len -= n;
	if (rest.len > 0 && str_word(&rest).len > 0)
		accuse(c, "%s: no space behind >", events[e].name);
	while (rest.len > 0) {
		struct str p = str_word(&rest);

		if (str_caseis(p, "BODY=8BITMIME"))
			c->eight_bit_declared = true;
		check_parameter(c, e, p);
	}
}

static void
check_auth(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest), offered;

	if (c->authenticated)
		accuse(c, "AUTH again after success");
	else if (!find_offer(c, "AUTH", &offered))
		accuse(c, "AUTH was not offered");
	else if (!has_word(offered, mechanism))
		accuse(c, "AUTH %.*s was not offered", (int)mechanism.len, mechanism.p);
	if (c->in_mail)
		accuse(c, "AUTH inside a mail transaction");
}

static void
check_command(struct conn *c, enum event e, struct str line)
{
	if (str_has(line, '\r'))
		accuse(c, "bare CR in a command");
	if (str_has(line, '\0'))
		accuse(c, "NUL in a command");
	if ((e == MAIL || e == AUTH) && !c->greeted)
		accuse(c, "%s without EHLO", events[e].name);
	if (e == MAIL && !server.no_auth && !c->authenticated)
		accuse(c, "mail before AUTH");
	if (e == STARTTLS && c->secure)
		accuse(c, "STARTTLS inside TLS");
	else if (e == STARTTLS && !has_offered(c, "STARTTLS"))
		accuse(c, "STARTTLS was not offered");
	if (e == MAIL || e == RCPT)
		check_path(c, e);
	if (e == AUTH)
		check_auth(c);
}

static void
begin_exchange(struct conn *c)
{
	struct str rest = c->args, mechanism = str_word(&rest);

	buf_clear(&c->user);
	buf_clear(&c->password);
	c->stage = str_caseis(mechanism, "PLAIN") ? PLAIN_RESPONSE :
	    str_caseis(mechanism, "LOGIN") ? LOGIN_USER : OTHER_MECHANISM;
}

static enum event
name_event(struct str verb)
{
	if (str_caseis(verb, "HELO"))
		return EHLO;
	for (enum event e = 0; e < EVENTS; e++)
		if (events[e].is_command && e != DOT && e != AUTH_RESPONSE &&
		    str_caseis(verb, events[e].name))
			return e;
	return UNKNOWN;
}

/* One line without its end; its length with it. */
static void
hear_command(struct conn *c, struct str line, size_t len)
{
	struct str args = line, verb = str_word(&args);
	enum event e = c->stage != NO_EXCHANGE ? AUTH_RESPONSE : name_event(verb);

	note_heard(c, line);
	if (e == AUTH_RESPONSE)
		args = line;
	c->extended = e != EHLO ? c->extended : str_caseis(verb, "EHLO");
	c->args = args;
	check_length(c, e, len);
	check_command(c, e, line);
	if (e == AUTH)
		begin_exchange(c);
	happen(c, e, line, args);
	if (e == DATA && c->fd >= 0 && !c->over && code_said(c) == 354 && hear_text(c)) {
		happen(c, DOT, STR("."), STR(""));
		forget_mail(c);
	}
}

/* Takes the next line; false when there will be none. */
static bool
take_line(struct conn *c, struct buf *line)
{
	size_t n;

	while ((n = str_find(buf_str(&c->in), '\n')) == c->in.len) {
		if (c->in.len > PATIENCE) {
			accuse(c, "a command of over %d octets", PATIENCE);
			return false;
		}
		if (!hear_more(c)) {
			if (c->in.len > 0)
				note(c, "C: ", "<%zu octets without a line end>", c->in.len);
			return false;
		}
	}
	buf_clear(line);
	buf_add(line, c->in.p, n + 1);
	buf_cut(&c->in, n + 1);
	return true;
}

static void
converse(struct conn *c)
{
	struct buf line = { 0 };

	happen(c, CONNECT, STR(""), STR(""));
	if (server.tls == AT_ONCE && c->fd >= 0 && !c->over)
		happen(c, HANDSHAKE, STR(""), STR(""));
	if (c->fd >= 0 && !c->over)
		happen(c, GREETING, STR(""), STR(""));
	while (c->fd >= 0 && !c->over && take_line(c, &line)) {
		struct str s = { line.p, line.len - 1 };

		if (s.len > 0 && s.p[s.len - 1] == '\r')
			s.len--;
		else
			accuse(c, "bare LF ends a command");
		hear_command(c, s, line.len);
	}
	buf_free(&line);
}

/* ---- a connection's life ---- */

static int
open_log(const char *fmt, unsigned n)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "%s", fmt);
	if (n > 0)
		snprintf(name, sizeof(name), "%s.%u", fmt, n);
	fd = openat(server.dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s/%s: %s", server.dir, name, strerror(errno));
	return fd;
}

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
	buf_free(&c->in);
	buf_free(&c->offers);
	buf_free(&c->user);
	buf_free(&c->password);
	buf_free(&c->envelope);
	buf_free(&c->text);
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
	    bind(fd, sa, len) < 0 || listen(fd, 128) < 0 || getsockname(fd, sa, &len) < 0)
		die("cannot listen on loopback: %s", strerror(errno));
	buf_addf(&line, "%u\n", ntohs(server.ipv6 ? in6.sin6_port : in4.sin_port));
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

/* ---- the script ---- */

/* One word: bare octets and quoted parts, until a space.  False at the line's
 * end.  bare: nothing of it was quoted. */
static bool
next_word(struct str *rest, struct buf *word, bool *bare, unsigned line)
{
	size_t i = 0;
	bool quoted = false;

	buf_clear(word);
	*bare = true;
	while (i < rest->len && (rest->p[i] == ' ' || rest->p[i] == '\t'))
		i++;
	if (i == rest->len || (rest->p[i] == '#' && (i + 1 == rest->len ||
	    !isdigit((unsigned char)rest->p[i + 1]))))
		return false;
	for (; i < rest->len; i++) {
		char c = rest->p[i];

		if (c == '"') {
			quoted = !quoted;
			*bare = false;
		} else if (!quoted && (c == ' ' || c == '\t')) {
			break;
		} else if (quoted && c == '\\' && i + 1 < rest->len) {
			static const char letters[] = "rnt0\\\"", octets[] = "\r\n\t\0\\\"";
			const char *at = strchr(letters, rest->p[++i]);
			char hex[3] = { 0 };

			if (at != NULL) {
				buf_addc(word, octets[at - letters]);
			} else if (rest->p[i] == 'x' && i + 2 < rest->len &&
			    isxdigit((unsigned char)rest->p[i + 1]) &&
			    isxdigit((unsigned char)rest->p[i + 2])) {
				memcpy(hex, rest->p + i + 1, 2);
				buf_addc(word, (char)strtoul(hex, NULL, 16));
				i += 2;
			} else {
				die("script line %u: unknown escape \\%c", line, rest->p[i]);
			}
		} else {
			buf_addc(word, c);
		}
	}
	if (quoted)
		die("script line %u: a quote is not closed", line);
	rest->p += i;
	rest->len -= i;
	return true;
}

static uint64_t
number_of(struct str s, unsigned line)
{
	uint64_t n;

	if (!codec_number(s, INT32_MAX, &n))
		die("script line %u: not a number: %.*s", line, (int)s.len, s.p);
	return n;
}

/* "A", "A-" or "A-B", behind the '#'. */
static void
read_occurrences(struct rule *r, struct str s, unsigned line)
{
	size_t dash = str_find(s, '-');
	struct str last = { s.p + dash, s.len - dash };

	r->first = r->last = number_of((struct str){ s.p, dash }, line);
	if (last.len == 1)
		r->last = UINT64_MAX;
	else if (last.len > 1)
		r->last = number_of((struct str){ last.p + 1, last.len - 1 }, line);
}

static void
read_deed(struct rule *r, struct str *rest, struct str name, unsigned line)
{
	struct deed d = { 0 };
	struct buf word = { 0 };
	bool bare;

	for (size_t i = 0; i < sizeof(deed_kinds) / sizeof(deed_kinds[0]); i++)
		if (str_is(name, deed_kinds[i].name))
			d.kind = &deed_kinds[i];
	if (d.kind == NULL)
		die("script line %u: unknown action: %.*s", line, (int)name.len, name.p);
	if (d.kind->number) {
		if (!next_word(rest, &word, &bare, line))
			die("script line %u: %s needs a number", line, d.kind->name);
		d.n = number_of(buf_str(&word), line);
	}
	if (d.kind->word && !next_word(rest, &d.word, &bare, line))
		die("script line %u: %s needs a word", line, d.kind->name);
	buf_free(&word);
	r->deeds = mem_grow(r->deeds, r->ndeeds + 1, sizeof(*r->deeds));
	r->deeds[r->ndeeds++] = d;
}

static void
read_rule(enum event e, struct str rest, unsigned line)
{
	struct rule r = { .event = e, .first = 1, .last = UINT64_MAX, .threshold = 1 };
	struct buf word = { 0 };
	bool bare;

	while (next_word(&rest, &word, &bare, line)) {
		struct str s = buf_str(&word);
		struct str tail = { s.p + (s.len > 0), s.len - (s.len > 0) };

		if (r.ndeeds == 0 && str_starts(s, "#"))
			read_occurrences(&r, tail, line);
		else if (r.ndeeds == 0 && str_starts(s, "@"))
			r.conn = number_of(tail, line);
		else if (r.ndeeds == 0 && str_starts(s, "~"))
			buf_addstr(&r.holds, tail);
		else if (r.ndeeds == 0 && e == TEXT && s.len > 0 && isdigit((unsigned char)s.p[0]))
			r.threshold = number_of(s, line);
		else if (bare)
			read_deed(&r, &rest, s, line);
		else
			die("script line %u: no action can be quoted: %s", line, buf_c(&word));
	}
	if (r.ndeeds == 0)
		die("script line %u: a rule needs an action", line);
	buf_free(&word);
	server.rules = mem_grow(server.rules, server.nrules + 1, sizeof(*server.rules));
	server.rules[server.nrules++] = r;
}

static void
read_offer(struct buf *lines, struct str rest, unsigned line)
{
	struct buf word = { 0 };
	bool bare;

	buf_clear(lines);
	while (next_word(&rest, &word, &bare, line)) {
		buf_addstr(lines, buf_str(&word));
		buf_addc(lines, '\n');
	}
	buf_free(&word);
}

static void
read_script_line(struct str rest, unsigned line)
{
	struct buf word = { 0 };
	enum event e = 0;
	bool bare;

	if (!next_word(&rest, &word, &bare, line)) {
		buf_free(&word);
		return;
	}
	while (e < EVENTS && !str_is(buf_str(&word), events[e].name))
		e++;
	if (e < EVENTS) {
		read_rule(e, rest, line);
	} else if (str_is(buf_str(&word), "offer")) {
		server.has_offer = true;
		read_offer(&server.offer, rest, line);
	} else if (str_is(buf_str(&word), "offer-clear")) {
		server.has_offer_clear = true;
		read_offer(&server.offer_clear, rest, line);
	} else if (str_is(buf_str(&word), "delay-all")) {
		server.delay_all = number_of(str_trim(rest), line);
	} else {
		die("script line %u: unknown event: %s", line, buf_c(&word));
	}
	buf_free(&word);
}

static void
read_script(const char *path)
{
	struct buf text = { 0 };
	struct str rest, line;
	unsigned n = 0;

	if (file_load(AT_FDCWD, path, &text, TEXT_MAX) < 0)
		die("%s: %s", path, strerror(errno));
	rest = buf_str(&text);
	while (str_line(&rest, &line))
		read_script_line(line, ++n);
	buf_free(&text);
}

/* ---- throw-away certificates ---- */

struct identity {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

static void
must(int r)
{
	if (r < 0)
		die("GnuTLS: %s", gnutls_strerror(r));
}

/* A P-256 key, since it is made at once, and a certificate not yet signed. */
static void
make_identity(struct identity *id, const char *dn, time_t from, time_t until)
{
	unsigned char serial[8];

	must(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial)));
	serial[0] &= 0x7f;              /* RFC 5280 4.1.2.2: positive */
	serial[0] |= 0x40;
	must(gnutls_x509_privkey_init(&id->key));
	must(gnutls_x509_privkey_generate(id->key, GNUTLS_PK_ECDSA,
	    GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	must(gnutls_x509_crt_init(&id->crt));
	must(gnutls_x509_crt_set_version(id->crt, 3));
	must(gnutls_x509_crt_set_serial(id->crt, serial, sizeof(serial)));
	must(gnutls_x509_crt_set_activation_time(id->crt, from));
	must(gnutls_x509_crt_set_expiration_time(id->crt, until));
	must(gnutls_x509_crt_set_dn(id->crt, dn, NULL));
	must(gnutls_x509_crt_set_key(id->crt, id->key));
}

static void
free_identity(struct identity *id)
{
	gnutls_x509_crt_deinit(id->crt);
	gnutls_x509_privkey_deinit(id->key);
}

static void
add_name(gnutls_x509_crt_t crt, struct str name)
{
	char *s = mem_dup(name);
	unsigned char ip[16];
	int family = strchr(s, ':') != NULL ? AF_INET6 : AF_INET;

	if (inet_pton(family, s, ip) == 1)
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip,
		    family == AF_INET6 ? 16 : 4, GNUTLS_FSAN_APPEND));
	else
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name.p,
		    (unsigned)name.len, GNUTLS_FSAN_APPEND));
	free(s);
}

static void
write_ca(const struct identity *ca)
{
	gnutls_datum_t pem;

	must(gnutls_x509_crt_export2(ca->crt, GNUTLS_X509_FMT_PEM, &pem));
	if (file_replace(server.dirfd, "ca.pem", (struct str){ (char *)pem.data, pem.size },
	    false) < 0 || fchmodat(server.dirfd, "ca.pem", 0644, 0) < 0)
		die("%s/ca.pem: %s", server.dir, strerror(errno));
	gnutls_free(pem.data);
}

static void
make_certificates(void)
{
	const time_t day = 86400, now = time(NULL);
	bool expired = strcmp(server.cert, "expired") == 0;
	bool not_yet = strcmp(server.cert, "not-yet") == 0;
	bool self_signed = strcmp(server.cert, "self-signed") == 0;
	struct str names = buf_str(&server.names), name;
	struct identity ca, own;

	make_identity(&ca, "CN=smarthost test CA", now - 30 * day, now + 30 * day);
	must(gnutls_x509_crt_set_basic_constraints(ca.crt, 1, -1));
	must(gnutls_x509_crt_set_key_usage(ca.crt, GNUTLS_KEY_KEY_CERT_SIGN));
	must(gnutls_x509_crt_sign2(ca.crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0));
	write_ca(&ca);

	if (strcmp(server.cert, "wrong-name") == 0)
		names = STR("wrong.example.org\n");
	make_identity(&own, strcmp(server.cert, "no-san") == 0 ? "CN=localhost" : "CN=smarthost test",
	    not_yet ? now + day : now - 10 * day, expired ? now - day : now + 10 * day);
	while (strcmp(server.cert, "no-san") != 0 && str_line(&names, &name))
		add_name(own.crt, name);
	must(gnutls_x509_crt_set_basic_constraints(own.crt, 0, -1));
	must(gnutls_x509_crt_set_key_usage(own.crt, GNUTLS_KEY_DIGITAL_SIGNATURE));
	must(gnutls_x509_crt_set_key_purpose_oid(own.crt, GNUTLS_KP_TLS_WWW_SERVER, 0));
	must(gnutls_x509_crt_sign2(own.crt, self_signed ? own.crt : ca.crt,
	    self_signed ? own.key : ca.key, GNUTLS_DIG_SHA256, 0));

	must(gnutls_certificate_allocate_credentials(&server.credentials));
	must(gnutls_certificate_set_x509_key(server.credentials, &own.crt, 1, own.key));
	free_identity(&own);
	free_identity(&ca);
}

/* ---- main ---- */

enum { STARTTLS_MODE = 256, IMPLICIT_MODE, PLAIN_MODE, NAME, CERT, PRIORITY, USER, PASSWORD,
	NO_AUTH, DISCARD };

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
	{ "discard",  no_argument,       NULL, DISCARD },
	{ NULL, 0, NULL, 0 },
};

static void
take_cert(const char *kind)
{
	static const char *const kinds[] = { "good", "wrong-name", "expired", "not-yet",
		"self-signed", "no-san" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kind, kinds[i]) == 0) {
			server.cert = kinds[i];
			return;
		}
	}
	die("--cert: good, wrong-name, expired, not-yet, self-signed or no-san");
}

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
	gnutls_certificate_free_credentials(server.credentials);
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
