#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int
file_write(int fd, struct str bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.p, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes.p += n;
		bytes.len -= (size_t)n;
	}
	return 0;
}

int
file_write_at(int fd, struct str bytes, off_t at)
{
	while (bytes.len > 0) {
		ssize_t n = pwrite(fd, bytes.p, bytes.len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes.p += n;
		bytes.len -= (size_t)n;
		at += n;
	}
	return 0;
}

int
file_read(int fd, void *p, size_t size, size_t *got)
{
	ssize_t n;

	do
		n = read(fd, p, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	*got = (size_t)n;
	return 0;
}

int
file_read_at(int fd, void *p, size_t size, off_t at, size_t *got)
{
	ssize_t n;

	do
		n = pread(fd, p, size, at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	*got = (size_t)n;
	return 0;
}

int
file_read_all(int fd, struct buf *out, size_t limit)
{
	for (size_t total = 0;;) {
		size_t room = limit - total < 65536 ? limit - total + 1 : 65536, n;

		buf_reserve(out, room);
		if (file_read(fd, out->p + out->len, room, &n) < 0)
			return -1;
		if (n == 0)
			return 0;
		total += n;
		if (total > limit) {
			errno = EFBIG;
			return -1;
		}
		out->len += n;
		out->p[out->len] = '\0';
	}
}

int
file_load(int dirfd, const char *name, struct buf *out, size_t limit)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int r;

	if (fd < 0)
		return -1;
	r = file_read_all(fd, out, limit);
	close(fd);
	return r;
}

int
file_sync(int fd)
{
	/* Never retried: after a failed fsync the kernel may call dirty pages clean. */
	return fsync(fd);
}

int
file_replace(int dirfd, const char *name, struct str bytes, bool durable)
{
	char fresh[64];
	int fd, n = snprintf(fresh, sizeof fresh, "%s.new", name);

	if (n < 0 || (size_t)n >= sizeof fresh) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = openat(dirfd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	/* What a crash left behind may have any mode, or be no file at all. */
	if (fd < 0 && errno == EEXIST && unlinkat(dirfd, fresh, 0) == 0)
		fd = openat(dirfd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (file_write(fd, bytes) < 0 || (durable && file_sync(fd) < 0)) {
		close(fd);
		goto fail;
	}
	if (close(fd) < 0)
		goto fail;
	if (renameat(dirfd, fresh, dirfd, name) < 0)
		goto fail;
	return durable ? file_sync(dirfd) : 0;
fail:
	n = errno;
	unlinkat(dirfd, fresh, 0);
	errno = n;
	return -1;
}

int
file_lock(int fd)
{
	int r;

	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Makes one directory and syncs the one that holds its name. */
static int
make_dir(char *path)
{
	char *slash = strrchr(path, '/');
	struct stat st;
	int fd, r;

	if (mkdir(path, 0700) < 0) {
		/* Made by another just now; but a file or a link to nowhere is none. */
		if (errno != EEXIST || stat(path, &st) < 0)
			return -1;
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
		return -1;
	}
	if (slash == NULL)
		fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else if (slash == path)
		fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else {
		*slash = '\0';
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		*slash = '/';
	}
	if (fd < 0)
		return -1;
	r = file_sync(fd);
	close(fd);
	return r;
}

int
file_make_dirs(const char *path)
{
	char copy[4096];
	struct stat st;
	size_t len = strlen(path);

	if (stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
		return -1;
	}
	if (len == 0 || len >= sizeof copy) {
		errno = len == 0 ? ENOENT : ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, len + 1);
	for (char *p = copy + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (stat(copy, &st) < 0 && make_dir(copy) < 0)
			return -1;
		*p = '/';
	}
	return make_dir(copy);
}

DIR *
file_list(int fd)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int saved = errno;

	if (dir == NULL && fd >= 0)
		close(fd);
	errno = saved;
	return dir;
}

struct file_fd_path
file_fd_path(int fd)
{
	struct file_fd_path path;

	snprintf(path.p, sizeof path.p, "/proc/self/fd/%d", fd);
	return path;
}
