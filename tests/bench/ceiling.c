/* ceiling: a client that only sends, to see what a server allows.
 *
 *	ceiling [--pipeline] [--size OCTETS] PORT MESSAGES
 *
 * No queue, no disk, no TLS, no login: one plain connection to 127.0.0.1.
 * Without --pipeline each command waits for its answer.  With it a text and the
 * next message's MAIL, RCPT and DATA go in one write, which is all that one
 * connection can do without two messages in doubt at once: a turn a message.
 *
 * Prints "messages N seconds S rate R", from the connect to the last 250. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAIL "MAIL FROM:<bench@example.net>\r\n"
#define RCPT "RCPT TO:<someone@example.net>\r\n"
#define DATA "DATA\r\n"

static struct {
	int fd;
	char buf[4096];
	size_t len, at;
} wire;

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
say(const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = send(wire.fd, p, len, MSG_NOSIGNAL);
		if (n < 0)
			die("send");
	}
}

static char
next_octet(void)
{
	ssize_t n;

	if (wire.at == wire.len) {
		errno = 0;
		n = recv(wire.fd, wire.buf, sizeof(wire.buf), 0);
		if (n <= 0)
			die("recv");
		wire.len = (size_t)n;
		wire.at = 0;
	}
	return wire.buf[wire.at++];
}

/* Reads one reply, all its lines, which has to begin with that digit. */
static void
hear(char digit)
{
	char line[512], c;
	size_t len;

	do {
		len = 0;
		while ((c = next_octet()) != '\n')
			if (len < sizeof(line) - 1)
				line[len++] = c;
		line[len] = '\0';
	} while (len > 3 && line[3] == '-');
	if (line[0] != digit) {
		fprintf(stderr, "ceiling: the server said: %s\n", line);
		exit(69);
	}
}

static void
ask(const char *command, char digit)
{
	say(command, strlen(command));
	hear(digit);
}

static void
call(unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	wire.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (wire.fd < 0 || connect(wire.fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void
send_one_by_one(const char *text, size_t len, unsigned long messages)
{
	for (; messages > 0; messages--) {
		ask(MAIL, '2');
		ask(RCPT, '2');
		ask(DATA, '3');
		say(text, len);
		hear('2');
	}
}

/* text has the next message's commands behind it; the last one goes without. */
static void
send_in_groups(const char *text, size_t len, unsigned long messages)
{
	const size_t commands = strlen(MAIL RCPT DATA);

	say(MAIL RCPT DATA, commands);
	for (; messages > 0; messages--) {
		hear('2');
		hear('2');
		hear('3');
		say(text, messages > 1 ? len + commands : len);
		hear('2');
	}
}

/* A header, lines of 64 octets, and the dot. */
static char *
make_text(size_t size, size_t *len)
{
	static const char head[] = "From: bench@example.net\r\nTo: someone@example.net\r\n"
	    "Subject: ceiling\r\n\r\n";
	char *p = malloc(sizeof(head) + size + 80 + strlen("\r\n.\r\n" MAIL RCPT DATA));
	size_t column = 0;

	if (p == NULL)
		die("memory");
	*len = sizeof(head) - 1;
	memcpy(p, head, *len);
	while (*len + 2 < size) {
		if (column++ == 62) {
			memcpy(p + *len, "\r\n", 2);
			*len += 2;
			column = 0;
		} else {
			p[(*len)++] = 'x';
		}
	}
	memcpy(p + *len, "\r\n.\r\n" MAIL RCPT DATA, strlen("\r\n.\r\n" MAIL RCPT DATA));
	*len += strlen("\r\n.\r\n");
	return p;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pipeline", no_argument, NULL, 'p' },
		{ "size", required_argument, NULL, 's' },
		{ 0 },
	};
	unsigned long messages = 0, port = 0, size = 1024;
	bool pipeline = false;
	double began, took;
	size_t len;
	char *text;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'p': pipeline = true; break;
		case 's': size = strtoul(optarg, NULL, 10); break;
		default: return 64;
		}
	}
	if (argc - optind == 2) {
		port = strtoul(argv[optind], NULL, 10);
		messages = strtoul(argv[optind + 1], NULL, 10);
	}
	if (port == 0 || port > 65535 || messages == 0 || size > 1ul << 30) {
		fprintf(stderr, "usage: ceiling [--pipeline] [--size OCTETS] PORT MESSAGES\n");
		return 64;
	}
	text = make_text(size, &len);
	began = now();
	call((unsigned)port);
	hear('2');
	ask("EHLO bench.example.net\r\n", '2');
	if (pipeline)
		send_in_groups(text, len, messages);
	else
		send_one_by_one(text, len, messages);
	took = now() - began;
	printf("messages %lu seconds %.3f rate %.1f\n", messages, took, (double)messages / took);
	ask("QUIT\r\n", '2');
	close(wire.fd);
	free(text);
	return 0;
}
