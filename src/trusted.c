#include "trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

static bool
is_ours_alone(const struct stat *st, const char *path, const char *what, struct buf *wrong)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		buf_addf(wrong, "%sbelongs to uid %lu; it must belong to root or to uid %lu (see chown)",
		    what, (unsigned long)st->st_uid, (unsigned long)geteuid());
	else if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		buf_addf(wrong, "%scan be written by others; type: chmod go-w %s", what, path);
	else
		return true;
	return false;
}

static enum outcome
explain_errno(int error, struct buf *wrong)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		buf_adds(wrong, "is not there; make it, or mend its name");
		return NEVER;
	case ELOOP:
		buf_adds(wrong, "is a symbolic link; name the file itself");
		return NEVER;
	case ENXIO:             /* a socket */
		buf_adds(wrong, "is not a regular file");
		return NEVER;
	default:
		buf_addf(wrong, "cannot be read: %s", strerror(error));
		return LATER;
	}
}

enum outcome
trusted_open(struct trusted *f, const char *path, bool links, struct buf *wrong)
{
	const char *slash = strrchr(path, '/');
	struct str above = slash == NULL ? STR(".") : slash == path ? STR("/") :
	    str_from(path, (size_t)(slash - path));
	char *dir = mem_dup(above);
	struct stat dir_st;
	int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	enum outcome o = NEVER;

	f->fd = dirfd < 0 ? -1 : openat(dirfd, slash != NULL ? slash + 1 : path,
	    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (links ? 0 : O_NOFOLLOW));
	if (f->fd < 0 || fstat(f->fd, &f->st) < 0 || fstat(dirfd, &dir_st) < 0)
		o = explain_errno(errno, wrong);
	else if (!S_ISREG(f->st.st_mode))
		buf_adds(wrong, "is not a regular file");
	else if (is_ours_alone(&f->st, path, "", wrong) &&
	    is_ours_alone(&dir_st, dir, "lies in a directory that ", wrong))
		o = DONE;
	if (dirfd >= 0)
		close(dirfd);
	free(dir);
	return o;
}

enum outcome
trusted_read(const struct trusted *f, struct buf *text, size_t limit, struct buf *wrong)
{
	if (file_read_all(f->fd, text, limit) == 0)
		return DONE;
	if (errno != EFBIG)
		return explain_errno(errno, wrong);
	buf_addf(wrong, "is over %zu MiB", limit >> 20);
	return NEVER;
}

void
trusted_close(struct trusted *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
