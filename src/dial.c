#include "dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define HEAD_START 0.25         /* seconds; RFC 8305 section 5 */

void
dial_show(const struct sockaddr_storage *a, char *out, size_t size)
{
	const void *p = NULL;

	if (a->ss_family == AF_INET)
		p = &((const struct sockaddr_in *)a)->sin_addr;
	else if (a->ss_family == AF_INET6)
		p = &((const struct sockaddr_in6 *)a)->sin6_addr;
	if (p == NULL || inet_ntop(a->ss_family, p, out, (socklen_t)size) == NULL)
		snprintf(out, size, "?");
}

/* ---- the race ------------------------------------------------------------------------- */

struct entrant {
	struct dial_address *to;
	int fd;                 /* -1: not begun, or over */
	double deadline;
};

struct race {
	struct entrant v[DIAL_ADDRESSES_MAX];
	unsigned n, begun;
	double next;            /* when the next one may begin */
	int winner;             /* -1 while there is none */
};

static void
drop(struct entrant *r, int error)
{
	r->to->error = error;
	close(r->fd);
	r->fd = -1;
}

static int
open_socket(const struct dial_address *to, const struct dial_address *source)
{
	static const int on = 1;
	int error, fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* Each of our writes is a whole group: nothing is gained by waiting for more. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (source == NULL)
		return fd;
	/* The port is chosen when the far end is known: so that ports do not run out. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (bind(fd, (const struct sockaddr *)&source->at, source->len) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* The next one sets off, and may be home or out at once. */
static void
begin(struct race *race, const struct dial_address *source, double seconds)
{
	struct entrant *r = &race->v[race->begun++];
	double now = clock_now();

	r->deadline = now + seconds;
	race->next = now + HEAD_START;
	r->fd = open_socket(r->to, source);
	if (r->fd < 0) {
		r->to->error = errno;
		race->next = now;
	} else if (connect(r->fd, (const struct sockaddr *)&r->to->at, r->to->len) == 0) {
		race->winner = r->fd;
	} else if (errno != EINPROGRESS && errno != EINTR) {
		drop(r, errno);
		race->next = now;
	}
}

/* What came of one that is under way. */
static void
look(struct race *race, struct entrant *r, bool ready)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (ready && getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	else if (!ready)
		error = clock_now() >= r->deadline ? ETIMEDOUT : EINPROGRESS;
	if (error == EINPROGRESS)
		return;
	if (error == 0) {
		race->winner = r->fd;
	} else {
		drop(r, error);
		race->next = clock_now();
	}
}

/* Until one of those under way is home or out, or the next may begin. */
static void
watch(struct race *race)
{
	double wake = race->begun < race->n ? race->next : clock_now() + 3600;
	struct pollfd p[DIAL_ADDRESSES_MAX];

	for (unsigned i = 0; i < race->begun; i++) {
		p[i] = (struct pollfd){ .fd = race->v[i].fd, .events = POLLOUT };
		if (p[i].fd >= 0 && race->v[i].deadline < wake)
			wake = race->v[i].deadline;
	}
	if (clock_poll(p, race->begun, wake - clock_now()) < 0)
		return;
	for (unsigned i = 0; i < race->begun && race->winner < 0; i++)
		if (race->v[i].fd >= 0)
			look(race, &race->v[i], p[i].revents != 0);
}

static bool
somebody_runs(const struct race *race)
{
	for (unsigned i = 0; i < race->begun; i++)
		if (race->v[i].fd >= 0)
			return true;
	return false;
}

int
dial_race(struct dial_address *v, unsigned n, const struct dial_address *source, double seconds)
{
	struct race race = { .n = n, .winner = -1 };

	for (unsigned i = 0; i < n; i++)
		race.v[i] = (struct entrant){ .to = &v[i], .fd = -1 };
	while (race.winner < 0) {
		if (race.begun < n && (clock_now() >= race.next || !somebody_runs(&race)))
			begin(&race, source, seconds);
		else if (somebody_runs(&race))
			watch(&race);
		else
			break;
	}
	for (unsigned i = 0; i < race.begun; i++)
		if (race.v[i].fd >= 0 && race.v[i].fd != race.winner)
			close(race.v[i].fd);
	return race.winner;
}

/* ---- names ---------------------------------------------------------------------------- */

static const struct addrinfo *
next_of(const struct addrinfo *a, int family, bool same)
{
	while (a != NULL && (a->ai_family == family) != same)
		a = a->ai_next;
	return a;
}

/* The C library has sorted them (RFC 6724): the first one's kind begins, and each kind
 * keeps its order. */
unsigned
dial_order(const struct addrinfo *list, struct dial_address v[DIAL_ADDRESSES_MAX])
{
	int first = list != NULL ? list->ai_family : 0;
	const struct addrinfo *ours = list, *others = next_of(list, first, false);
	unsigned n = 0;

	while (n < DIAL_ADDRESSES_MAX && (ours != NULL || others != NULL)) {
		bool turn = others == NULL || (ours != NULL && n % 2 == 0);
		const struct addrinfo **a = turn ? &ours : &others;

		v[n] = (struct dial_address){ .len = (*a)->ai_addrlen };
		memcpy(&v[n++].at, (*a)->ai_addr, (*a)->ai_addrlen);
		*a = next_of((*a)->ai_next, first, turn);
	}
	return n;
}

static int
number_of(enum family family)
{
	return family == FAMILY_IPV4 ? AF_INET : family == FAMILY_IPV6 ? AF_INET6 : AF_UNSPEC;
}

static enum outcome
cannot_resolve(const struct dial_terms *t, int family, int ret, struct why *why)
{
	const char *next = "this machine's network and name servers";

	if (ret == EAI_SYSTEM)
		return later(why, SCOPE_SERVER, "4.4.3", "cannot resolve %s: %s", t->host, strerror(errno));
	if (ret == EAI_NONAME || ret == EAI_NODATA || ret == EAI_ADDRFAMILY)
		next = family == AF_UNSPEC ? "host in the configuration" :
		    "host, family and source in the configuration";
	return later(why, SCOPE_SERVER, "4.4.3", "cannot resolve %s%s: %s; check %s", t->host,
	    family == AF_INET ? " to an IPv4 address" : family == AF_INET6 ? " to an IPv6 address" : "",
	    gai_strerror(ret), next);
}

/* All that is needed of names and addresses. */
struct found {
	struct dial_address source, to[DIAL_ADDRESSES_MAX];
	unsigned n;
	bool bound;             /* source is ours to be */
};

static enum outcome
look_up(const struct dial_terms *t, struct found *f, struct why *why)
{
	struct addrinfo hints = { .ai_family = number_of(t->family), .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };
	struct addrinfo *list = NULL;
	char service[16];
	int ret;

	f->bound = t->source[0] != '\0';
	if (f->bound && (ret = getaddrinfo(t->source, NULL, &hints, &list)) != 0)
		return later(why, SCOPE_ACCOUNT, "4.3.5", "source = %s cannot be used: %s; check source and "
		    "family in the configuration", t->source, gai_strerror(ret));
	if (f->bound) {
		f->source.len = list->ai_addrlen;
		memcpy(&f->source.at, list->ai_addr, list->ai_addrlen);
		hints.ai_family = list->ai_family;
		freeaddrinfo(list);
	}
	snprintf(service, sizeof service, "%u", t->port);
	hints.ai_flags = AI_NUMERICSERV;
	if ((ret = getaddrinfo(t->host, service, &hints, &list)) != 0)
		return cannot_resolve(t, hints.ai_family, ret, why);
	f->n = dial_order(list, f->to);
	freeaddrinfo(list);
	return DONE;
}

/* ---- both ----------------------------------------------------------------------------- */

static bool
is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->ss_family == AF_INET6 &&
	    IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* What helps most people whose connection was refused or swallowed. */
static const char *
next_step(unsigned port, bool loopback)
{
	if (loopback)
		return "is the relay or bridge on this machine running?";
	if (port == 587)
		return "many clouds and home lines block port 587: try 465, or the provider's 2525 or 2587";
	if (port == 25)
		return "most networks block port 25: use 587 or 465";
	return "check host and port, and this machine's network";
}

static enum outcome
cannot_reach(const struct dial_terms *t, const struct found *f, struct why *why)
{
	bool loopback = true, ours = false;
	struct buf said = { 0 };

	for (unsigned i = 0; i < f->n; i++) {
		const struct dial_address *a = &f->to[i];
		char text[INET6_ADDRSTRLEN];

		dial_show(&a->at, text, sizeof text);
		loopback = loopback && is_loopback(&a->at);
		ours = ours || a->error == EADDRNOTAVAIL;
		buf_addf(&said, "%s%s: %s", said.len > 0 ? "; " : "", text,
		    a->error == ETIMEDOUT ? "timed out" : strerror(a->error));
	}
	/* The next step is what people need most: a long list gives way to it. */
	later(why, SCOPE_SERVER, "4.4.1", "cannot reach %s:%u: %.400s; %s", t->host, t->port,
	    buf_c(&said), ours && f->bound ? "is source an address of this machine?" :
	    next_step(t->port, loopback));
	buf_free(&said);
	return LATER;
}

enum outcome
dial(int *fd, const struct dial_terms *terms, struct why *why)
{
	struct found f = { 0 };
	enum outcome o = look_up(terms, &f, why);

	if (o != DONE)
		return o;
	*fd = dial_race(f.to, f.n, f.bound ? &f.source : NULL, terms->seconds);
	return *fd >= 0 ? DONE : cannot_reach(terms, &f, why);
}
