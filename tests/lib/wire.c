#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/x509.h>

#include "file.h"
#include "notes.h"
#include "wire.h"

#define LINGER_MS 1000                  /* for the client's goodbye after ours */

bool
wait_on(int fd, short what, int ms)
{
	struct pollfd p[2] = {
		{ .fd = server.stop_fd, .events = POLLIN },
		{ .fd = fd, .events = what },
	};

	while (poll(p, 2, ms) < 0)
		if (errno != EINTR)
			die("poll: %s", strerror(errno));
	return p[0].revents == 0;
}

int
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
		record(c, c->gone ? "lost" : "end", STR(""));
		return 0;
	}
	buf_add(&c->in, chunk, (size_t)n);
	record(c, ">", (struct str){ chunk, (size_t)n });
	if (!server.discard)
		file_write(c->raw_fd, (struct str){ chunk, (size_t)n });
	if (c->spoke)
		c->turns++;
	c->spoke = false;
	return 1;
}

bool
hear_more(struct conn *c)
{
	int got;

	while ((got = pull(c)) < 0)
		if (!wait_on(c->fd, POLLIN, -1))
			return false;
	return got > 0;
}

void
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
			record(c, "<", (struct str){ bytes.p, (size_t)n });
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

/* The name that the client has asked for, and the one that it has proved. */
static void
note_names(struct conn *c)
{
	char name[256];
	size_t size = sizeof(name);
	unsigned type, n = 0;
	const gnutls_datum_t *shown = gnutls_certificate_get_peers(c->tls, &n);
	gnutls_x509_crt_t crt;

	if (gnutls_server_name_get(c->tls, name, &size, &type, 0) == 0)
		note(c, "-- ", "sni %u %s", c->number, name);
	if (shown == NULL || n == 0 || gnutls_x509_crt_init(&crt) < 0)
		return;
	size = sizeof(name);
	if (gnutls_x509_crt_import(crt, shown, GNUTLS_X509_FMT_DER) == 0 &&
	    gnutls_x509_crt_get_dn(crt, name, &size) == 0)
		note(c, "-- ", "client %u %s", c->number, name);
	gnutls_x509_crt_deinit(crt);
}

void
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
	if (server.client_cert) {
		gnutls_certificate_server_set_request(c->tls, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert(c->tls, NULL, 0);
	}
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
	record(c, "tls", STR(""));
	note(c, "-- ", "tls %u", c->number);
	note_names(c);
}

void
part(struct conn *c, enum goodbye how)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (c->fd < 0)
		return;
	c->over = true;
	if (!c->heard_all)
		record(c, "close", STR(""));
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
