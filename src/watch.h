/* watch: notices that one of a few files has changed, without looking until it has.
 *
 * The directories are watched, since an editor, or whoever writes with care, puts a new
 * file in the old one's place; and whatever happens there, it is the files that are then
 * compared.  What cannot be watched is logged, and noticed on SIGHUP alone. */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>

#define WATCH_FILES 2

struct watch {
	int fd;                 /* can be read when something happened there; -1: nothing is watched */
	/* private: */
	struct watch_file {
		char *path;
		struct watch_mark {
			unsigned long inode;
			long long size, seconds;
			long nanoseconds;
		} mark;
	} files[WATCH_FILES];
};
#define WATCH_INIT { .fd = -1 }

/* These, and no others any more; "" is none. */
void watch_files(struct watch *w, const char *first, const char *second);
/* Reads what happened: is a file another one than when this was last asked? */
bool watch_has_changed(struct watch *w);
/* In a child. */
void watch_leave(const struct watch *w);
void watch_free(struct watch *w);

#endif
