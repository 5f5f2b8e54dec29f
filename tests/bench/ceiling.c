/* ceiling: a client that only sends, to see what a server allows.
 *
 *	ceiling [--pipeline | --bdat [--window N]] [--connections N] [--size OCTETS] PORT MESSAGES
 *
 * No queue, no disk, no TLS, no login: plain connections to 127.0.0.1, which share
 * the messages.  Without an option each command waits for its answer.  --pipeline:
 * a text and the next message's MAIL, RCPT and DATA go in one write, which is all
 * that one connection can do without two messages in doubt at once: a turn a
 * message.  --bdat: MAIL, RCPT, BDAT and the text in one write, as often; with a
 * window that many messages are under way on each connection.
 *
 * Prints "messages N seconds S rate R", from the first connect to the last 250. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAIL "MAIL FROM:<bench@example.net>\r\n"
#define RCPT "RCPT TO:<someone@example.net>\r\n"
#define DATA "DATA\r\n"
#define CONNECTIONS_MAX 256
#define PENDING_MAX 256         /* pieces that wait to be written on a connection */

enum way { STEPS, TEXT_FIRST, CHUNKS };
/* What a connection's next whole reply is for. */
enum stage { GREETING, HELLO, AT_MAIL, AT_RCPT, AT_DATA, AT_TEXT, BYE };

struct line {
	int fd;
	enum stage stage;
	bool more;                      /* the next message's commands are behind this text */
	unsigned under_way;             /* chunks: messages whose replies are awaited */
	char word[512];                 /* the reply's line so far */
	size_t len;
	struct iovec pending[PENDING_MAX];
	size_t npending;
};

static struct {
	enum way way;
	unsigned long window, unsent, unanswered;
	struct iovec text;              /* and its dot */
	struct iovec chunk;             /* MAIL, RCPT, BDAT and the text */
} job;

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
	fprintf(stderr, "ceiling: %s: %s\n", what, errno ? strerror(errno) : "the server closed the connection");
	exit(75);
}

static void
add(struct line *l, const char *p, size_t len)
{
	if (l->npending == PENDING_MAX) {
		fprintf(stderr, "ceiling: too much waits to be written\n");
		exit(70);
	}
	l->pending[l->npending++] = (struct iovec){ (void *)p, len };
}

#define SAY(l, literal) add(l, literal, sizeof(literal) - 1)

/* All that waits, as far as it goes, in one write. */
static void
flush(struct line *l)
{
	size_t done = 0;
	ssize_t n;

	if (l->npending == 0)
		return;
	n = writev(l->fd, l->pending, (int)l->npending);
	if (n < 0 && errno != EAGAIN)
		die("send");
	for (size_t left = n > 0 ? (size_t)n : 0; left > 0; ) {
		struct iovec *v = &l->pending[done];
		size_t some = v->iov_len < left ? v->iov_len : left;

		v->iov_base = (char *)v->iov_base + some;
		v->iov_len -= some;
		left -= some;
		done += v->iov_len == 0;
	}
	l->npending -= done;
	memmove(l->pending, l->pending + done, l->npending * sizeof(l->pending[0]));
}

static void
begin_message(struct line *l)
{
	if (job.way == CHUNKS) {
		for (; l->under_way < job.window && job.unsent > 0; job.unsent--, l->under_way++)
			add(l, job.chunk.iov_base, job.chunk.iov_len);
	} else if (job.unsent > 0) {
		job.unsent--;
		l->under_way = 1;
		if (job.way == STEPS)
			SAY(l, MAIL);
		else
			SAY(l, MAIL RCPT DATA);
	}
	l->stage = AT_MAIL;
	if (l->under_way == 0) {
		SAY(l, "QUIT\r\n");
		l->stage = BYE;
	}
}

static void
end_message(struct line *l)
{
	job.unanswered--;
	l->under_way--;
	if (l->more) {
		l->under_way = 1;
		l->stage = AT_MAIL;
	} else {
		begin_message(l);
	}
	l->more = false;
}

/* One whole reply has come. */
static void
advance(struct line *l)
{
	static const char wanted[] = { "2222322" };

	if (l->word[0] != wanted[l->stage] && !(l->stage == AT_DATA && job.way == CHUNKS && l->word[0] == '2')) {
		fprintf(stderr, "ceiling: the server said: %s\n", l->word);
		exit(69);
	}
	switch (l->stage) {
	case GREETING:
		SAY(l, "EHLO bench.example.net\r\n");
		l->stage = HELLO;
		break;
	case HELLO:
		begin_message(l);
		break;
	case AT_MAIL:
		if (job.way == STEPS)
			SAY(l, RCPT);
		l->stage = AT_RCPT;
		break;
	case AT_RCPT:
		if (job.way == STEPS)
			SAY(l, DATA);
		l->stage = AT_DATA;
		break;
	case AT_DATA:
		if (job.way == CHUNKS) {
			end_message(l);
			break;
		}
		add(l, job.text.iov_base, job.text.iov_len);
		if (job.way == TEXT_FIRST && job.unsent > 0) {
			job.unsent--;
			l->more = true;
			SAY(l, MAIL RCPT DATA);
		}
		l->stage = AT_TEXT;
		break;
	case AT_TEXT:
		end_message(l);
		break;
	case BYE:
		close(l->fd);
		l->fd = -1;
		break;
	}
}

static void
hear(struct line *l)
{
	char octets[16384];
	ssize_t n = recv(l->fd, octets, sizeof(octets), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n == 0)
		errno = 0;
	if (n <= 0)
		die("recv");
	for (ssize_t i = 0; i < n && l->fd >= 0; i++) {
		if (octets[i] != '\n') {
			if (l->len < sizeof(l->word) - 1)
				l->word[l->len++] = octets[i];
			continue;
		}
		l->word[l->len] = '\0';
		if (l->len < 4 || l->word[3] != '-')
			advance(l);
		l->len = 0;
	}
	if (l->fd >= 0)
		flush(l);
}

static void
call(struct line *l, unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || (connect(l->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		die("connect");
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* Until the last message is answered; the goodbyes are not waited for. */
static void
send_all(struct line *lines, size_t n)
{
	static struct pollfd fds[CONNECTIONS_MAX];

	while (job.unanswered > 0) {
		for (size_t i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = lines[i].fd,
			    .events = POLLIN | (lines[i].npending > 0 ? POLLOUT : 0) };
		if (poll(fds, (nfds_t)n, -1) < 0)
			die("poll");
		for (size_t i = 0; i < n; i++) {
			if (fds[i].revents & POLLOUT)
				flush(&lines[i]);
			if (fds[i].revents & ~POLLOUT)
				hear(&lines[i]);
		}
	}
}

/* A header, lines of 64 octets, and the dot; before it, for a chunk, its commands. */
static void
make_texts(size_t size)
{
	static const char head[] = "From: bench@example.net\r\nTo: someone@example.net\r\n"
	    "Subject: ceiling\r\n\r\n";
	const size_t room = 128;
	char *p = malloc(room + sizeof(head) + size + 80);
	size_t len = sizeof(head) - 1, column = 0;
	char command[128];
	int n;

	if (p == NULL)
		die("memory");
	p += room;
	memcpy(p, head, len);
	while (len + 2 < size) {
		if (column++ == 62) {
			memcpy(p + len, "\r\n", 2);
			len += 2;
			column = 0;
		} else {
			p[len++] = 'x';
		}
	}
	memcpy(p + len, "\r\n.\r\n", 5);
	len += 2;
	n = snprintf(command, sizeof(command), MAIL RCPT "BDAT %zu LAST\r\n", len);
	memcpy(p - n, command, (size_t)n);
	job.text = (struct iovec){ p, len + 3 };
	job.chunk = (struct iovec){ p - n, (size_t)n + len };
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pipeline", no_argument, NULL, 'p' },
		{ "bdat", no_argument, NULL, 'b' },
		{ "window", required_argument, NULL, 'w' },
		{ "connections", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ 0 },
	};
	static struct line lines[CONNECTIONS_MAX];
	unsigned long port = 0, messages = 0, connections = 1, size = 1024;
	double began, took;
	int opt;

	job.window = 1;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'p': job.way = TEXT_FIRST; break;
		case 'b': job.way = CHUNKS; break;
		case 'w': job.window = strtoul(optarg, NULL, 10); break;
		case 'c': connections = strtoul(optarg, NULL, 10); break;
		case 's': size = strtoul(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (argc - optind == 2) {
		port = strtoul(argv[optind], NULL, 10);
		messages = strtoul(argv[optind + 1], NULL, 10);
	}
	if (port == 0 || port > 65535 || messages == 0 || size > 1ul << 30 || connections == 0 ||
	    connections > CONNECTIONS_MAX || job.window == 0 || job.window > PENDING_MAX / 2) {
		fprintf(stderr, "usage: ceiling [--pipeline | --bdat [--window N]] [--connections N] "
		    "[--size OCTETS] PORT MESSAGES\n");
		return 64;
	}
	make_texts(size);
	job.unsent = job.unanswered = messages;
	began = now();
	for (size_t i = 0; i < connections; i++)
		call(&lines[i], (unsigned)port);
	send_all(lines, connections);
	took = now() - began;
	printf("messages %lu seconds %.3f rate %.1f\n", messages, took, (double)messages / took);
	return 0;
}
