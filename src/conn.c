#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "dial.h"
#include "srv.h"

#define SRV_SECONDS 90          /* for the servers that DNS names, in all */
#define BLOCK_SECONDS 180       /* for what is written and does not move (RFC 5321 4.5.3.2.5) */
#define READ_SIZE 16384         /* one TLS record: nothing decrypted stays behind */
#define LOGIN_SIZE 16384        /* room for one from the start: growing leaves copies behind */

/* Waits until the socket is ready for one of events, also for bad news: false
 * when the deadline has passed.  *ready says for which. */
static bool
wait_for(int fd, short events, double deadline, short *ready)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		double left = deadline - clock_now();
		int n;

		if (left <= 0)
			return false;
		n = clock_poll(&p, 1, left);
		if (n > 0) {
			*ready = p.revents;
			return true;
		}
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/* A server may answer in two small segments (a session ticket, then the
 * answer) and holds the second back until we acknowledge the first: without
 * this we would take 40 ms over that.  The kernel forgets it, so it is said
 * before each wait.  On a socket that is not TCP it fails, and nothing is lost. */
static void
acknowledge_at_once(int fd)
{
	static const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* ---- connecting ----------------------------------------------------------------------- */

/* Who talks to whom, by what the kernel says. */
static void
note_ends(struct conn *c, const struct dial_terms *to)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof a;

	getpeername(c->fd, (struct sockaddr *)&a, &len);
	dial_show(&a, c->peer, sizeof c->peer);
	len = sizeof a;
	getsockname(c->fd, (struct sockaddr *)&a, &len);
	dial_show(&a, c->local, sizeof c->local);
	c->local_is_v6 = a.ss_family == AF_INET6;
	snprintf(c->host, sizeof c->host, "%s", to->host);
	c->port = to->port;
	buf_reserve(&c->out, LOGIN_SIZE);
}

/* The servers that a domain's DNS names, one after the other. */
static enum outcome
open_any(struct conn *c, const struct conn_terms *terms, struct dial_terms to, struct why *why)
{
	enum outcome o;
	struct srv found;
	size_t len;

	if ((o = srv_find(terms->host, &found, why)) != DONE)
		return o;
	if (to.seconds > SRV_SECONDS / found.n)
		to.seconds = SRV_SECONDS / found.n;
	for (unsigned i = 0; i < found.n; i++) {
		to.host = found.v[i].host;
		to.port = found.v[i].port;
		if ((o = dial(&c->fd, &to, why)) == DONE) {
			note_ends(c, &to);
			c->implicit = found.v[i].implicit;
			return DONE;
		}
		conn_note(c, "--- %s", why->text);
	}
	len = strlen(why->text);
	if (found.n > 1)
		snprintf(why->text + len, sizeof why->text - len, " (the last of %u servers that DNS "
		    "names for %.100s)", found.n, terms->host);
	return o;
}

enum outcome
conn_open(struct conn *c, const struct conn_terms *terms, struct why *why)
{
	const struct dial_terms to = { .host = terms->host, .port = terms->port,
		.family = terms->family, .source = terms->source, .seconds = DIAL_SECONDS };
	enum outcome o;

	if (terms->srv)
		return open_any(c, terms, to, why);
	if ((o = dial(&c->fd, &to, why)) == DONE)
		note_ends(c, &to);
	return o;
}

/* ---- reading and writing -------------------------------------------------------------- */

/* What came of one look at the socket. */
enum heard {
	HEARD_NOTHING,          /* wait for it, then look again */
	HEARD_SOME,
	HEARD_END,
	HEARD_ERROR,            /* errno; for TLS, tls_error */
};

/* Takes what is there, at most READ_SIZE, without waiting. */
static enum heard
hear(struct conn *c, short *wants)
{
	bool clean = true;
	ssize_t n;

	*wants = POLLIN;
	if (c->peer_closed)
		return HEARD_END;
	buf_reserve(&c->in, READ_SIZE);
	do {
		n = c->tls != NULL ? tls_read(c->tls, c->in.p + c->in.len, READ_SIZE, wants, &clean) :
		    recv(c->fd, c->in.p + c->in.len, READ_SIZE, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->in.len += (size_t)n;
		c->in.p[c->in.len] = '\0';
		c->spoken = true;
		return HEARD_SOME;
	}
	if (n == 0) {
		c->peer_closed = true;
		c->cut_off = !clean;
		return HEARD_END;
	}
	return errno == EAGAIN ? HEARD_NOTHING : HEARD_ERROR;
}

/* The words for errno; TLS has its own. */
static const char *
error_text(const struct conn *c)
{
	return errno == EPROTO && c->tls != NULL ? tls_error(c->tls) : strerror(errno);
}

static enum outcome
lost(const struct conn *c, const char *when, const char *said, struct why *why)
{
	return later(why, SCOPE_SERVER, "4.4.2", "server %s closed the connection %s%s%s%s", c->peer, when,
	    c->cut_off ? " without ending TLS, as if it was cut" : "",
	    *said != '\0' ? "; its last words: " : "", said);
}

static enum outcome
broke(const struct conn *c, const char *when, const char *error, const char *said, struct why *why)
{
	return later(why, SCOPE_SERVER, "4.4.2", "connection to server %s broke %s: %s%s%s", c->peer, when,
	    error, *said != '\0' ? "; its last words: " : "", said);
}

/* The first reply in c->in, for a reason; "" if there is none. */
static void
last_words(const struct conn *c, char *out, size_t size)
{
	struct reply r = { 0 };
	size_t used;

	*out = '\0';
	if (reply_feed(&r, buf_str(&c->in), &used) == REPLY_WHOLE)
		reply_show(&r, out, size);
	reply_free(&r);
}

static enum outcome
too_much_unread(const struct conn *c, struct why *why)
{
	return later(why, SCOPE_SERVER, "4.4.2",
	    "server %s sent more than %u octets that nobody asked for: connection dropped",
	    c->peer, CONN_UNREAD_MAX);
}

/* Our side is closed, or its errno says so: hears the rest, so that the reason
 * can tell what the peer had to say. */
static enum outcome
cannot_write(struct conn *c, struct why *why)
{
	static const char when[] = "while we were sending";
	char said[240], error[200];
	short wants;

	snprintf(error, sizeof error, "%s", error_text(c));
	while (c->in.len < CONN_UNREAD_MAX && hear(c, &wants) == HEARD_SOME)
		;
	last_words(c, said, sizeof said);
	return c->peer_closed ? lost(c, when, said, why) : broke(c, when, error, said, why);
}

/* One look at what the peer says while we write. */
static enum outcome
hear_meanwhile(struct conn *c, struct why *why)
{
	short wants;

	if (c->in.len + READ_SIZE > CONN_UNREAD_MAX)
		return too_much_unread(c, why);
	return hear(c, &wants) == HEARD_ERROR ? cannot_write(c, why) : DONE;
}

void
conn_put_unseen(struct conn *c, struct str octets)
{
	buf_addstr(&c->out, octets);
}

void
conn_put(struct conn *c, struct str octets)
{
	conn_put_unseen(c, octets);
	trace_said(c->trace, octets);
}

void
conn_putf(struct conn *c, const char *fmt, ...)
{
	size_t before = c->out.len;
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&c->out, fmt, ap);
	va_end(ap);
	trace_said(c->trace, str_from(c->out.p + before, c->out.len - before));
}

void
conn_note(struct conn *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	trace_notev(c->trace, fmt, ap);
	va_end(ap);
}

/* As write(2), without waiting. */
static ssize_t
write_some(struct conn *c, struct str octets, short *wants)
{
	ssize_t n;

	*wants = POLLOUT;
	do {
		n = c->tls != NULL ? tls_write(c->tls, octets.p, octets.len, wants) :
		    send(c->fd, octets.p, octets.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n;
}

enum outcome
conn_flush(struct conn *c, double seconds, struct why *why)
{
	double deadline = clock_now() + seconds;
	enum outcome o = DONE;
	size_t at = 0;

	while (at < c->out.len) {
		short wants, ready = 0;
		ssize_t n = write_some(c, str_from(c->out.p + at, c->out.len - at), &wants);

		if (n > 0) {
			at += (size_t)n;
			c->spoken = true;
			deadline = clock_now() + seconds;
			continue;
		}
		if (errno != EAGAIN) {
			o = cannot_write(c, why);
			break;
		}
		if (!c->peer_closed)
			wants |= POLLIN;
		if (!wait_for(c->fd, wants, deadline, &ready)) {
			o = later(why, SCOPE_SERVER, "4.4.2",
			    "server %s took nothing of what we sent for %g s", c->peer, seconds);
			break;
		}
		if ((ready & POLLIN) != 0 && (o = hear_meanwhile(c, why)) != DONE)
			break;
	}
	/* It may have been a password. */
	if (at == c->out.len && at > 0)
		explicit_bzero(c->out.p, at);
	buf_cut(&c->out, at);
	c->written += at;
	return o;
}

/* What there is of a reply, fed; MORE when the socket must be heard first. */
static enum reply_state
feed(struct conn *c, struct reply *r)
{
	size_t used;
	enum reply_state state = reply_feed(r, buf_str(&c->in), &used);

	buf_cut(&c->in, used);
	return state;
}

enum outcome
conn_reply(struct conn *c, struct reply *r, double seconds, struct why *why)
{
	enum reply_state state;
	bool begun = false;
	double deadline;
	enum outcome o;

	reply_reset(r);
	/* For the whole reply: a server that sends one octet a minute must not be
	 * able to hold us for ever. */
	deadline = clock_now() + seconds;
	while ((state = feed(c, r)) == REPLY_MORE) {
		const char *when = begun ? "in the middle of an answer" : "instead of answering";
		short wants, ready;

		if (c->out.len > 0) {
			if ((o = conn_flush(c, seconds < BLOCK_SECONDS ? seconds : BLOCK_SECONDS, why)) != DONE)
				return o;
			deadline = clock_now() + seconds;
		}
		switch (hear(c, &wants)) {
		case HEARD_END:
			return lost(c, when, "", why);
		case HEARD_ERROR:
			return broke(c, when, error_text(c), "", why);
		case HEARD_SOME:
			begun = true;
			if (clock_now() < deadline)
				continue;
			break;
		case HEARD_NOTHING:
			acknowledge_at_once(c->fd);
			if (wait_for(c->fd, wants, deadline, &ready))
				continue;
			break;
		}
		return later(why, SCOPE_SERVER, "4.4.2", "server %s did not finish its answer in %g s%s",
		    c->peer, seconds, begun ? "" : ": it said nothing");
	}
	if (state == REPLY_WHOLE) {
		reply_hide(r, c->hidden);
		trace_heard(c->trace, r);
		return DONE;
	}
	return later(why, SCOPE_SERVER, "4.5.0", "server %s does not speak SMTP as it should: %s",
	    c->peer, r->broken);
}

bool
conn_has_surprise(struct conn *c)
{
	short wants;

	if (c->fd < 0 || c->in.len > 0)
		return true;
	return hear(c, &wants) != HEARD_NOTHING;
}

/* Nothing of the peer's may be here before our ClientHello: it would have been
 * sent in plaintext, by anybody, and be read as said inside TLS. */
static enum outcome
refuse_early_words(struct conn *c, struct why *why)
{
	bool spoken = c->spoken;

	if (!conn_has_surprise(c))
		return DONE;
	if (c->in.len > 0 && spoken)
		return later(why, SCOPE_SERVER, "4.7.0", "server %s sent data before the TLS handshake: "
		    "refused; somebody may be tampering with the connection", c->peer);
	if (c->in.len > 0)
		return later(why, SCOPE_SERVER, "4.7.0", "server %s sent data before the TLS handshake: "
		    "refused; if its port is 587, set tls = starttls", c->peer);
	return c->peer_closed ? lost(c, "before the TLS handshake", "", why) :
	    broke(c, "before the TLS handshake", error_text(c), "", why);
}

static void
note_encrypted(struct conn *c)
{
	struct buf channel = { 0 };

	tls_describe(c->tls, &channel);
	conn_note(c, "--- encrypted with %s", buf_c(&channel));
	buf_free(&channel);
}

enum outcome
conn_start_tls(struct conn *c, struct tls *tls, double seconds, struct why *why)
{
	double deadline = clock_now() + seconds;
	short wants, ready;
	enum outcome o;

	assert(c->tls == NULL && c->out.len == 0);
	if ((o = refuse_early_words(c, why)) != DONE)
		return o;
	while ((o = tls_handshake(tls, c->fd, &wants, why)) != DONE && wants != 0) {
		acknowledge_at_once(c->fd);
		if (!wait_for(c->fd, wants, deadline, &ready))
			return later(why, SCOPE_SERVER, "4.4.2",
			    "server %s did not finish the TLS handshake in %g s", c->peer, seconds);
	}
	if (o == DONE) {
		c->tls = tls;
		note_encrypted(c);
	}
	return o;
}

void
conn_close(struct conn *c)
{
	if (c->fd >= 0) {
		if (c->tls != NULL)
			tls_bye(c->tls);
		close(c->fd);
	}
	buf_free(&c->in);
	buf_wipe(&c->out);
	*c = (struct conn)CONN_INIT;
}
