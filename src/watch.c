#include "watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"

/* Written and closed, put in place, or given other rights.  That a name has come or gone
 * says nothing yet: whoever makes a file anew is not done with it then. */
#define WATCHED (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB)

/* Zero where there is no file.  The change's time, since another mode counts too. */
static struct watch_mark
take_mark(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct watch_mark){ 0 };
	return (struct watch_mark){ (unsigned long)st.st_ino, (long long)st.st_size,
		(long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec };
}

static bool
is_same(const struct watch_mark *a, const struct watch_mark *b)
{
	return a->inode == b->inode && a->size == b->size && a->seconds == b->seconds &&
	    a->nanoseconds == b->nanoseconds;
}

static void
watch_file(struct watch *w, struct watch_file *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory;

	f->path = mem_dup(str_of(path));
	f->mark = take_mark(path);
	directory = slash == NULL ? mem_dup(STR(".")) :
	    mem_dup(str_from(path, slash == path ? 1 : (size_t)(slash - path)));
	if (w->fd < 0 || inotify_add_watch(w->fd, directory, WATCHED) < 0)
		log_event(LOG_WARNING, "watch", "reason", strerror(errno), "directory", directory,
		    "next", "after a change, type: systemctl reload subpost", NULL);
	free(directory);
}

void
watch_files(struct watch *w, const char *first, const char *second)
{
	const char *paths[WATCH_FILES] = { first, second };

	watch_free(w);
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	for (size_t i = 0; i < WATCH_FILES; i++)
		if (paths[i] != NULL && paths[i][0] != '\0')
			watch_file(w, &w->files[i], paths[i]);
}

bool
watch_has_changed(struct watch *w)
{
	char events[4096] __attribute__((aligned(8)));
	bool changed = false;

	while (w->fd >= 0 && read(w->fd, events, sizeof events) > 0)
		continue;
	for (size_t i = 0; i < WATCH_FILES; i++) {
		struct watch_file *f = &w->files[i];
		struct watch_mark mark;

		if (f->path == NULL)
			continue;
		mark = take_mark(f->path);
		changed = changed || !is_same(&mark, &f->mark);
		f->mark = mark;
	}
	return changed;
}

void
watch_leave(const struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
}

void
watch_free(struct watch *w)
{
	watch_leave(w);
	for (size_t i = 0; i < WATCH_FILES; i++)
		free(w->files[i].path);
	*w = (struct watch)WATCH_INIT;
}
