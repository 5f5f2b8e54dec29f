#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

#define SHOWN_MAX 4096          /* octets of one line of ours; the rest of it is dropped */

/* ---- who looks on ---------------------------------------------------------- */

static int
open_dir(const struct spool *s)
{
	return openat(s->dir, "trace", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int
trace_make(const struct spool *s, const char *id)
{
	int dir, fd, saved;

	/* Not made durable, as what is in it: nobody looks on over a power cut. */
	if ((mkdirat(s->dir, "trace", 0700) < 0 && errno != EEXIST) || (dir = open_dir(s)) < 0)
		return -1;
	fd = openat(dir, id, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	saved = errno;
	if (fd >= 0 && file_lock(fd) < 0) {
		saved = errno;
		close(fd);
		unlinkat(dir, id, 0);
		fd = -1;
	}
	close(dir);
	errno = saved;
	return fd;
}

void
trace_path(const struct spool *s, const char *id, struct buf *out)
{
	buf_addf(out, "%s/trace/%s", s->path, id);
}

void
trace_remove(const struct spool *s, const char *id)
{
	int dir = open_dir(s);

	if (dir < 0)
		return;
	unlinkat(dir, id, 0);
	close(dir);
}

/* ---- the runner ------------------------------------------------------------- */

/* What is not a plain file of ours was not made by us. */
static bool
is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1;
}

static int
open_watched(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && is_ours(fd) && file_lock(fd) < 0)
		return fd;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || errno == ELOOP)
		unlinkat(dir, name, 0);
	return -1;
}

int
trace_open(const struct spool *s, const char *id)
{
	int dir = open_dir(s), fd;

	if (dir < 0)
		return -1;
	fd = open_watched(dir, id);
	close(dir);
	return fd;
}

static uint64_t
room_in(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size < TRACE_MAX ? TRACE_MAX - (uint64_t)st.st_size : 0;
}

/* Writes a line into each file that somebody looks at; the others go. */
static void
visit_all(const struct spool *s, struct str line)
{
	DIR *dir = file_list(open_dir(s));
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		int file = entry->d_name[0] != '.' ? open_watched(dirfd(dir), entry->d_name) : -1;

		if (file < 0)
			continue;
		if (line.len <= room_in(file))
			(void)file_write(file, line);
		close(file);
	}
	closedir(dir);
}

void
trace_tell_all(const struct spool *s, struct str words)
{
	struct buf line = { 0 };

	buf_adds(&line, "--- ");
	codec_mask(&line, words);
	buf_addc(&line, '\n');
	visit_all(s, buf_str(&line));
	buf_free(&line);
}

void
trace_sweep(const struct spool *s)
{
	visit_all(s, (struct str){ 0 });
}

/* ---- the courier --------------------------------------------------------------- */

void
trace_free(struct trace *t)
{
	if (t->watched)
		close(t->fd);
	buf_free(&t->kept);
	buf_free(&t->line);
	*t = (struct trace){ 0 };
}

/* A file that is full, or cannot be written, changes nothing for the message. */
static void
write_down(struct trace *t, struct str lines)
{
	static const char full[] = "--- more was said than is shown\n";

	if (t->left == 0)
		return;
	if (lines.len + sizeof full > t->left) {
		lines = str_of(full);
		t->left = lines.len;
	}
	t->left = file_write(t->fd, lines) == 0 ? t->left - lines.len : 0;
}

static void
keep(struct trace *t, struct str lines)
{
	buf_addstr(&t->kept, lines);
	while (t->kept.len > TRACE_KEPT_MAX) {
		buf_cut(&t->kept, str_find(buf_str(&t->kept), '\n') + 1);
		t->cut = true;
	}
}

void
trace_begin(struct trace *t, const struct trace *opening, int fd, bool shown)
{
	trace_free(t);
	t->on = true;
	keep(t, buf_str(&opening->kept));
	if (fd < 0)
		return;
	t->watched = true;
	t->fd = fd;
	t->left = room_in(fd);
	/* A message of many jobs has it once for each connection. */
	if (shown)
		return;
	if (opening->cut)
		write_down(t, STR("--- the beginning is not shown\n"));
	write_down(t, buf_str(&opening->kept));
}

bool
trace_is_on(const struct trace *t)
{
	return t != NULL && (t->on || t->tell != NULL);
}

static void
put(struct trace *t, struct str line)
{
	struct buf shown = { 0 };

	codec_mask(&shown, line);
	if (t->tell != NULL)
		t->tell(t->arg, buf_str(&shown));
	buf_addc(&shown, '\n');
	if (t->watched)
		write_down(t, buf_str(&shown));
	if (t->on)
		keep(t, buf_str(&shown));
	buf_free(&shown);
}

void
trace_notev(struct trace *t, const char *fmt, va_list ap)
{
	struct buf line = { 0 };

	if (!trace_is_on(t))
		return;
	buf_addv(&line, fmt, ap);
	put(t, buf_str(&line));
	buf_free(&line);
}

void
trace_note(struct trace *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	trace_notev(t, fmt, ap);
	va_end(ap);
}

void
trace_said(struct trace *t, struct str octets)
{
	if (!trace_is_on(t))
		return;
	while (octets.len > 0) {
		size_t end = str_find(octets, '\n');

		if (t->line.len == 0)
			buf_adds(&t->line, ">>> ");
		if (t->line.len + end <= SHOWN_MAX)
			buf_add(&t->line, octets.p, end);
		if (end == octets.len)
			return;
		put(t, str_trim(buf_str(&t->line)));
		buf_clear(&t->line);
		octets = str_from(octets.p + end + 1, octets.len - end - 1);
	}
}

void
trace_heard(struct trace *t, const struct reply *r)
{
	struct str rest = buf_str(&r->text), line = { 0 };
	bool more;

	if (!trace_is_on(t))
		return;
	/* A challenge is one half of a secret's proof. */
	if (r->code == 334) {
		trace_note(t, "<<< 334 [hidden]");
		return;
	}
	str_line(&rest, &line);
	do {
		struct buf shown = { 0 };
		struct str words = str_trim(line);

		more = str_line(&rest, &line);
		buf_addf(&shown, "<<< %d%c", r->code, more ? '-' : ' ');
		buf_addstr(&shown, words);
		put(t, buf_str(&shown));
		buf_free(&shown);
	} while (more);
}
