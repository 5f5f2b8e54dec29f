/* floor: what a durable hand-over costs at least.
 *
 *	floor DIR < message
 *
 * Reads all of stdin, writes it into a temporary file in DIR, and makes file
 * and name durable; nothing else.  Static, because a dynamic loader is not part
 * of the floor.  Every figure of the bench is a multiple of this program's. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(75);
}

static char *
read_all(size_t *len)
{
	size_t cap = 64 * 1024;
	char *p = malloc(cap);
	ssize_t n;

	*len = 0;
	for (;;) {
		if (p == NULL)
			die("memory");
		n = read(STDIN_FILENO, p + *len, cap - *len);
		if (n < 0)
			die("stdin");
		if (n == 0)
			return p;
		*len += (size_t)n;
		if (*len == cap)
			p = realloc(p, cap *= 2);
	}
}

int
main(int argc, char **argv)
{
	char tmp[80], name[64];
	struct timespec now;
	size_t len, done;
	ssize_t n;
	char *p;
	int dir, fd;

	if (argc != 2) {
		fprintf(stderr, "usage: floor DIR < message\n");
		return 64;
	}
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
	for (done = 0; done < len; done += (size_t)n) {
		n = write(fd, p + done, len - done);
		if (n < 0)
			die(tmp);
	}
	if (fsync(fd) < 0)
		die(tmp);
	if (renameat(dir, tmp, dir, name) < 0)
		die(name);
	if (fsync(dir) < 0)
		die(argv[1]);
	free(p);
	return 0;
}
