/* floor: what a durable hand-over costs at least.
 *
 *	floor [-s] DIR < message
 *
 * Reads all of stdin, writes it into a temporary file in DIR, and makes file
 * and name durable; nothing else.  Static, because a dynamic loader is not part
 * of the floor.  Every figure of the bench is a multiple of this program's.
 *
 * -s: streams, 64 KiB at a time.  Memory for 30 MiB at once is dear, so the other
 * is no floor for large messages; it is what other figures were measured with. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 * 1024)

static void
die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(75);
}

static size_t
read_some(char *p, size_t cap)
{
	ssize_t n = read(STDIN_FILENO, p, cap);

	if (n < 0)
		die("stdin");
	return (size_t)n;
}

static char *
read_all(size_t *len)
{
	size_t cap = CHUNK, n;
	char *p = malloc(cap);

	*len = 0;
	for (;;) {
		if (p == NULL)
			die("memory");
		n = read_some(p + *len, cap - *len);
		if (n == 0)
			return p;
		*len += n;
		if (*len == cap)
			p = realloc(p, cap *= 2);
	}
}

static void
write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = write(fd, p, len);
		if (n < 0)
			die("write");
	}
}

int
main(int argc, char **argv)
{
	static char chunk[CHUNK];
	char tmp[80], name[64];
	struct timespec now;
	char *p = NULL;
	size_t len = 0;
	bool streams;
	int dir, fd;

	streams = argc == 3 && strcmp(argv[1], "-s") == 0;
	if (argc != 2 + streams) {
		fprintf(stderr, "usage: floor [-s] DIR < message\n");
		return 64;
	}
	argv += streams;
	if (!streams)
		p = read_all(&len);
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%lld.%09ld.%ld", (long long)now.tv_sec, now.tv_nsec,
	    (long)getpid());
	snprintf(tmp, sizeof(tmp), "tmp.%s", name);

	dir = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		die(argv[1]);
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		die(tmp);
	write_all(fd, p, len);
	while (streams && (len = read_some(chunk, sizeof chunk)) > 0)
		write_all(fd, chunk, len);
	if (fsync(fd) < 0)
		die(tmp);
	if (renameat(dir, tmp, dir, name) < 0)
		die(name);
	if (fsync(dir) < 0)
		die(argv[1]);
	free(p);
	return 0;
}
