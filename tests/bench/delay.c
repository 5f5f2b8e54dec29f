/* delay: a TCP proxy on loopback that makes a long line of a short one.
 *
 *	delay LISTEN-PORT TARGET-PORT RTT-MS
 *
 * Hands every octet on half an RTT later, each way, and opens the server's side
 * 1.5 RTT after the accept, so that a greeting comes at 2 RTT, as it would over
 * a real handshake.  LISTEN-PORT 0 takes a free one.  When it may be called it
 * prints "port N"; on SIGUSR1, and on SIGTERM before it ends,
 *
 *	connections N turns N most N
 *
 * connections: accepted so far; most: at one time; turns: bursts of the client
 * that follow something from the server (the accepted connection is the first
 * such thing): each is a time that the client waited.  It ends TCP on both
 * sides, so Nagle, delayed acknowledgements and slow start are not stretched:
 * real lines are worse. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
#define UNDERWAY_MAX (8u << 20) /* octets on the line, one way; then we stop reading */
#define PAIRS_MAX 512

/* Octets that left one end and have not reached the other; len 0 is the end. */
struct parcel {
	struct parcel *next;
	double due;
	size_t len, done;
	char bytes[];
};

/* One way of a connection. */
struct lane {
	struct parcel *first, **last;
	size_t underway;
	bool heard_end;
};

struct pair {
	int client, server;             /* -1: not there */
	double open_at;                 /* when the server's side is due */
	struct lane up, down;           /* to the server, to the client */
	bool answered;                  /* the server has spoken since the client did */
};

static struct {
	double rtt;
	uint16_t target;
	struct pair *pairs[PAIRS_MAX];
	size_t npairs;
	unsigned long connections, turns, most;
} line;

static volatile sig_atomic_t asked, ending;

static void
on_signal(int sig)
{
	if (sig == SIGTERM)
		ending = 1;
	else
		asked = 1;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
die(const char *what)
{
	fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
	exit(75);
}

static void
tell(void)
{
	printf("connections %lu turns %lu most %lu\n", line.connections, line.turns, line.most);
	fflush(stdout);
}

static void
set_up(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
}

static void
lane_clear(struct lane *l)
{
	struct parcel *p;

	while ((p = l->first) != NULL) {
		l->first = p->next;
		free(p);
	}
}

static void
hang_up(struct pair *p)
{
	close(p->client);
	if (p->server >= 0)
		close(p->server);
	lane_clear(&p->up);
	lane_clear(&p->down);
	free(p);
}

/* A client that has come; its server is called later. */
static void
take(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct pair *p;

	if (fd < 0)
		return;
	p = line.npairs < PAIRS_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (p == NULL) {
		fprintf(stderr, "delay: more than %d connections\n", PAIRS_MAX);
		close(fd);
		return;
	}
	set_up(fd);
	p->client = fd;
	p->server = -1;
	p->open_at = now() + 1.5 * line.rtt;
	p->up.last = &p->up.first;
	p->down.last = &p->down.first;
	p->answered = true;
	line.pairs[line.npairs++] = p;
	line.connections++;
	if (line.npairs > line.most)
		line.most = line.npairs;
}

static bool
call_server(struct pair *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(line.target) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->server < 0)
		die("socket");
	/* On loopback this answers at once, whatever the answer is. */
	if (connect(p->server, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	set_up(p->server);
	return true;
}

/* Puts what one end has said onto its lane; false when the connection broke. */
static bool
pick_up(int fd, struct lane *l)
{
	struct parcel *p = malloc(sizeof(*p) + CHUNK);
	ssize_t n;

	if (p == NULL)
		die("memory");
	n = read(fd, p->bytes, CHUNK);
	if (n < 0) {
		bool again = errno == EAGAIN;

		free(p);
		return again;
	}
	p->next = NULL;
	p->len = (size_t)n;
	p->done = 0;
	p->due = now() + line.rtt / 2;
	p = realloc(p, sizeof(*p) + p->len);
	if (p == NULL)
		die("memory");
	*l->last = p;
	l->last = &p->next;
	l->underway += p->len;
	l->heard_end = n == 0;
	return true;
}

/* Delivers what is due; *delivered if anything was.  False when it broke. */
static bool
hand_on(int fd, struct lane *l, double t, bool *delivered)
{
	struct parcel *p;
	ssize_t n;

	while ((p = l->first) != NULL && p->due <= t) {
		if (p->len == 0) {
			shutdown(fd, SHUT_WR);
		} else {
			n = send(fd, p->bytes + p->done, p->len - p->done, MSG_NOSIGNAL);
			if (n < 0)
				return errno == EAGAIN;
			*delivered = true;
			p->done += (size_t)n;
			l->underway -= (size_t)n;
			if (p->done < p->len)
				return true;
		}
		l->first = p->next;
		if (l->first == NULL)
			l->last = &l->first;
		free(p);
	}
	return true;
}

static bool
is_over(const struct pair *p)
{
	return p->up.heard_end && p->down.heard_end && p->up.first == NULL && p->down.first == NULL;
}

/* Does for one connection what its sockets and the clock allow; false: it ended. */
static bool
serve(struct pair *p, short client, short server)
{
	double t = now();
	bool up = false, down = false;

	if (p->server < 0 && t >= p->open_at && !call_server(p))
		return false;
	if (client & (POLLIN | POLLHUP | POLLERR) && !p->up.heard_end) {
		if (!pick_up(p->client, &p->up))
			return false;
		if (p->answered && !p->up.heard_end) {
			line.turns++;
			p->answered = false;
		}
	}
	if (server & (POLLIN | POLLHUP | POLLERR) && !p->down.heard_end &&
	    !pick_up(p->server, &p->down))
		return false;
	if (p->server >= 0 && !hand_on(p->server, &p->up, t, &up))
		return false;
	if (!hand_on(p->client, &p->down, t, &down))
		return false;
	p->answered |= down;
	return !is_over(p);
}

/* What to wait for at one end: words to pick up, and room where something that
 * is due did not fit. */
static short
wishes(const struct lane *in, const struct lane *out, double t)
{
	short events = 0;

	if (!in->heard_end && in->underway < UNDERWAY_MAX)
		events |= POLLIN;
	if (out->first != NULL && out->first->due <= t)
		events |= POLLOUT;
	return events;
}

/* The earliest thing that only the clock brings. */
static double
next_due(const struct pair *p, double t, double soonest)
{
	if (p->server < 0 && p->open_at < soonest)
		soonest = p->open_at;
	if (p->server >= 0 && p->up.first != NULL && p->up.first->due > t && p->up.first->due < soonest)
		soonest = p->up.first->due;
	if (p->down.first != NULL && p->down.first->due > t && p->down.first->due < soonest)
		soonest = p->down.first->due;
	return soonest;
}

static void
turn(int listener, const sigset_t *while_waiting)
{
	static struct pollfd fds[1 + 2 * PAIRS_MAX];
	size_t i, n = line.npairs, kept = 0;
	double t = now(), soonest = t + 3600, left;
	struct timespec wait;

	fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (i = 0; i < n; i++) {
		struct pair *p = line.pairs[i];

		fds[1 + 2 * i] = (struct pollfd){ .fd = p->client, .events = wishes(&p->up, &p->down, t) };
		fds[2 + 2 * i] = (struct pollfd){ .fd = p->server, .events = wishes(&p->down, &p->up, t) };
		/* An end that was heard would be reported for ever. */
		if (fds[1 + 2 * i].events == 0)
			fds[1 + 2 * i].fd = -1;
		if (fds[2 + 2 * i].events == 0)
			fds[2 + 2 * i].fd = -1;
		soonest = next_due(p, t, soonest);
	}
	left = soonest > t ? soonest - t : 0;
	wait.tv_sec = (time_t)left;
	wait.tv_nsec = (long)((left - (double)wait.tv_sec) * 1e9);
	if (ppoll(fds, (nfds_t)(1 + 2 * n), &wait, while_waiting) < 0) {
		if (errno == EINTR)
			return;
		die("ppoll");
	}
	for (i = 0; i < n; i++) {
		struct pair *p = line.pairs[i];

		if (serve(p, fds[1 + 2 * i].fd < 0 ? 0 : fds[1 + 2 * i].revents,
		    fds[2 + 2 * i].fd < 0 ? 0 : fds[2 + 2 * i].revents))
			line.pairs[kept++] = p;
		else
			hang_up(p);
	}
	line.npairs = kept;
	if (fds[0].revents != 0)
		take(listener);
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		die("listen");
	printf("port %u\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static unsigned long
number(const char *s, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end != '\0' || n > max) {
		fprintf(stderr, "delay: %s is not a number up to %lu\n", s, max);
		exit(64);
	}
	return n;
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t blocked, before;
	int listener;

	if (argc != 4) {
		fprintf(stderr, "usage: delay LISTEN-PORT TARGET-PORT RTT-MS\n");
		return 64;
	}
	line.target = (uint16_t)number(argv[2], 65535);
	line.rtt = (double)number(argv[3], 100000) / 1000;

	/* Signals come only while we wait, so none is missed or in the way. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigdelset(&before, SIGTERM);
	sigdelset(&before, SIGUSR1);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);

	listener = listen_on((uint16_t)number(argv[1], 65535));
	while (!ending) {
		turn(listener, &before);
		if (asked) {
			asked = 0;
			tell();
		}
	}
	tell();
	while (line.npairs > 0)
		hang_up(line.pairs[--line.npairs]);
	close(listener);
	return 0;
}
