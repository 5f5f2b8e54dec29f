/* file: the few things we ask of a file system, each done whole.
 *
 * Functions answer 0, or -1 (NULL) with errno.  Short writes and EINTR never
 * show.  A name is durable only when the directory that holds it has been
 * synced; the functions here that promise durability do that themselves. */
#ifndef FILE_H
#define FILE_H

#include <dirent.h>
#include <sys/types.h>

#include "buf.h"

int file_write(int fd, struct str bytes);
int file_write_at(int fd, struct str bytes, off_t at);
/* Up to size octets; *got 0 is the end. */
int file_read(int fd, void *p, size_t size, size_t *got);
int file_read_at(int fd, void *p, size_t size, off_t at, size_t *got);
/* Appends the rest of fd to *out; EFBIG when that is over limit octets. */
int file_read_all(int fd, struct buf *out, size_t limit);
/* The same by name; follows no symbolic link in the last component. */
int file_load(int dirfd, const char *name, struct buf *out, size_t limit);

/* Replaces dirfd/name whole, by way of dirfd/<name>.new, mode 0600.  A reader
 * sees the old text or the new.  durable: it also survives a power cut. */
int file_replace(int dirfd, const char *name, struct str bytes, bool durable);
int file_sync(int fd);

/* An exclusive flock on the open description; EWOULDBLOCK if another has it. */
int file_lock(int fd);

/* Makes path and what is missing above it (mode 0700), and makes each new
 * name durable.  An existing directory is fine. */
int file_make_dirs(const char *path);

/* The names in an open directory; fd is closed with it, or at once where that
 * fails (NULL).  A negative fd is such a failure, with the errno that it had. */
DIR *file_list(int fd);

/* The path of fd under /proc, for calls that take only names. */
struct file_fd_path {
	char p[40];
};
struct file_fd_path file_fd_path(int fd);

#endif
