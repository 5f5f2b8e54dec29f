#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

#define CONFIG_MAX 8192         /* octets of <spool>/config: one path */
#define LOG_MAX (1 << 20)       /* octets after which the log is put aside */
#define PEEK 128                /* octets of an envelope in which its first three lines are */
#define LITTER_AGE 3600         /* seconds: a draft younger than this may have a writer */

/* ---- the directory ---------------------------------------------------- */

static enum outcome
disk_trouble(struct why *why, const char *path, const char *what)
{
	enum outcome o = refuse(why, EX_TEMPFAIL, "cannot %s in the queue %s: %s", what, path,
	    strerror(errno));

	why->scope = SCOPE_NONE;
	return o;
}

static enum outcome
refuse_others(const char *path, uid_t owner, struct why *why)
{
	return refuse(why, EX_CONFIG, "the queue %s belongs to uid %lu, not to you (uid %lu); "
	    "set [queue] directory to one of your own", path, (unsigned long)owner,
	    (unsigned long)geteuid());
}

static enum outcome
cannot_open(const char *path, struct why *why)
{
	int saved = errno;
	struct stat st;

	if (saved == EACCES && stat(path, &st) == 0 && st.st_uid != geteuid())
		return refuse_others(path, st.st_uid, why);
	errno = saved;
	return disk_trouble(why, path, "open the directory");
}

static enum outcome
check_owner(const struct spool *s, struct why *why)
{
	struct stat st;

	if (fstat(s->dir, &st) < 0)
		return disk_trouble(why, s->path, "look");
	if (st.st_uid != geteuid())
		return refuse_others(s->path, st.st_uid, why);
	if ((st.st_mode & 077) != 0)
		return refuse(why, EX_CONFIG, "the queue %s can be entered by others; "
		    "type: chmod 700 %s", s->path, s->path);
	return DONE;
}

/* Writes <spool>/config, whole and durable, unless somebody was faster. */
static int
claim(const struct spool *s, struct str line)
{
	char fresh[40];
	int fd, r, saved;

	/* A name of our own: the first messages of a queue may come together. */
	snprintf(fresh, sizeof fresh, "config.%ld.new", (long)getpid());
	fd = openat(s->dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -1;
	r = file_write(fd, line) < 0 || file_sync(fd) < 0 ? -1 :
	    linkat(s->dir, fresh, s->dir, "config", 0);
	saved = errno;
	close(fd);
	unlinkat(s->dir, fresh, 0);
	if (r < 0 && saved != EEXIST) {
		errno = saved;
		return -1;
	}
	return file_sync(s->dir);
}

/* A queue belongs to one configuration: two would send each other's mail. */
static enum outcome
check_config(const struct spool *s, const char *config_path, struct why *why)
{
	struct buf have = { 0 }, want = { 0 }, shown = { 0 };
	enum outcome o = DONE;
	int r;

	codec_escape(&want, str_of(config_path));
	buf_addc(&want, '\n');
	r = file_load(s->dir, "config", &have, CONFIG_MAX);
	if (r < 0 && errno == ENOENT) {
		if (claim(s, buf_str(&want)) < 0) {
			o = disk_trouble(why, s->path, "write config");
			goto out;
		}
		r = file_load(s->dir, "config", &have, CONFIG_MAX);
	}
	if (r < 0) {
		o = disk_trouble(why, s->path, "read config");
	} else if (!str_eq(buf_str(&have), buf_str(&want))) {
		codec_mask(&shown, str_trim(buf_str(&have)));
		o = refuse(why, EX_CONFIG, "the queue %s belongs to %s; give %s a [queue] directory "
		    "of its own", s->path, buf_c(&shown), config_path);
	}
out:
	buf_free(&have);
	buf_free(&want);
	buf_free(&shown);
	return o;
}

static int
open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens a directory of the spool, making it, durably, if it is missing. */
static int
open_part(const struct spool *s, const char *name)
{
	int fd = open_dir(s->dir, name);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if ((mkdirat(s->dir, name, 0700) < 0 && errno != EEXIST) || file_sync(s->dir) < 0)
		return -1;
	return open_dir(s->dir, name);
}

enum outcome
spool_open(struct spool *s, const char *directory, const char *config_path, struct why *why)
{
	enum outcome o;

	s->path = mem_dup(str_of(directory));
	s->dir = open_dir(AT_FDCWD, directory);
	if (s->dir < 0 && errno == ENOENT) {
		if (file_make_dirs(directory) < 0)
			return disk_trouble(why, directory, "make the directory");
		s->dir = open_dir(AT_FDCWD, directory);
	}
	if (s->dir < 0)
		return cannot_open(directory, why);
	if ((o = check_owner(s, why)) != DONE || (o = check_config(s, config_path, why)) != DONE)
		return o;
	s->queue = open_part(s, "queue");
	return s->queue < 0 ? disk_trouble(why, directory, "open queue/") : DONE;
}

void
spool_close(struct spool *s)
{
	if (s->dir >= 0)
		close(s->dir);
	if (s->queue >= 0)
		close(s->queue);
	free(s->path);
	*s = (struct spool)SPOOL_INIT;
}

/* ---- writing ---------------------------------------------------------- */

int
spool_fresh_id(char id[ENVELOPE_ID_LEN + 1])
{
	struct timespec now;
	uint64_t chance;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0 ||
	    getrandom(&chance, sizeof chance, 0) != sizeof chance)
		return -1;
	envelope_make_id((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, chance, id);
	return 0;
}

/* A file with a name in tmp/, for file systems that know no other. */
static int
open_named(struct spool *s, struct draft *d)
{
	int tmp = open_part(s, "tmp"), fd;

	if (tmp < 0)
		return -1;
	fd = openat(tmp, d->id, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	close(tmp);
	d->named = fd >= 0;
	return fd;
}

static int
open_draft(struct spool *s, struct draft *d)
{
	int fd = openat(s->queue, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT))
		return open_named(s, d);
	return fd;
}

enum outcome
spool_begin(struct spool *s, struct draft *d, struct envelope *e, struct why *why)
{
	struct buf text = { 0 };
	enum outcome o = DONE;

	*d = (struct draft){ 0 };
	if (e->id[0] == '\0' && spool_fresh_id(e->id) < 0)
		return disk_trouble(why, s->path, "make an id");
	memcpy(d->id, e->id, sizeof d->id);
	d->fd = open_draft(s, d);
	if (d->fd < 0)
		return disk_trouble(why, s->path, "create a file");
	d->open = true;
	if (file_lock(d->fd) < 0)
		return disk_trouble(why, s->path, "lock a file");
	envelope_write(e, &text);
	if (text.len > ENVELOPE_MAX) {
		o = refuse(why, EX_DATAERR, "the envelope is over %u octets; send to fewer recipients",
		    ENVELOPE_MAX);
		goto out;
	}
	d->stamp.envelope = (uint32_t)text.len;
	d->envelope_crc = codec_crc32c(0, text.p, text.len);
	d->stamp.size = STAMP_LEN + text.len;
	/* The hole in front stays zero until the commit. */
	if (lseek(d->fd, STAMP_LEN, SEEK_SET) < 0 || file_write(d->fd, buf_str(&text)) < 0)
		o = disk_trouble(why, s->path, "write");
out:
	buf_free(&text);
	return o;
}

/* Is an octet over 127 in it?  Eight at a time: one by one they were a tenth of a
 * long message's way into the queue. */
static bool
has_eight_bit(struct str s)
{
	uint64_t all = 0, word;
	size_t i = 0;

	for (; i + sizeof word <= s.len; i += sizeof word) {
		memcpy(&word, s.p + i, sizeof word);
		all |= word;
	}
	for (; i < s.len; i++)
		all |= (unsigned char)s.p[i];
	return (all & UINT64_C(0x8080808080808080)) != 0;
}

/* Counts lines, the longest of them, and octets over 127. */
static void
count_text(struct draft *d, struct str text)
{
	const char *p = text.p, *end = text.p + text.len;

	if (text.len == 0)
		return;
	d->stamp.eight_bit = d->stamp.eight_bit || has_eight_bit(text);
	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		d->line += (uint64_t)((lf != NULL ? lf : end) - p);
		if (d->line > d->stamp.longest)
			d->stamp.longest = d->line;
		if (lf == NULL)
			break;
		d->stamp.lines++;
		d->line = 0;
		p = lf + 1;
	}
	d->stamp.unended = end[-1] != '\n';
}

enum outcome
spool_text(struct draft *d, struct str text, struct why *why)
{
	count_text(d, text);
	d->stamp.text_crc = codec_crc32c(d->stamp.text_crc, text.p, text.len);
	d->stamp.size += text.len;
	if (file_write(d->fd, text) < 0)
		return refuse(why, EX_TEMPFAIL, "cannot write to the queue: %s; see to its "
		    "disk, and send it again", strerror(errno));
	return DONE;
}

/* An unnamed file that cannot be linked, for lack of /proc under an older kernel: its
 * octets move to a named one. */
static int
move_to_named(struct spool *s, struct draft *d)
{
	char chunk[16384];
	int old = d->fd, fd = open_named(s, d);
	off_t at = 0;
	size_t n;

	if (fd < 0)
		return -1;
	d->fd = fd;
	if (file_lock(fd) < 0)
		goto fail;
	do {
		if (file_read_at(old, chunk, sizeof chunk, at, &n) < 0 ||
		    file_write(fd, str_from(chunk, n)) < 0)
			goto fail;
		at += (off_t)n;
	} while (n > 0);
	close(old);
	return 0;
fail:
	close(old);
	return -1;
}

static int
link_unnamed(const struct spool *s, const struct draft *d)
{
	struct file_fd_path path;

	/* Since Linux 6.10 whoever has opened it may name it so, without a walk through /proc
	 * that would cost as much as the rest of the linking. */
	if (linkat(d->fd, "", s->queue, d->id, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT)
		return -1;
	path = file_fd_path(d->fd);
	return linkat(AT_FDCWD, path.p, s->queue, d->id, AT_SYMLINK_FOLLOW);
}

static int
link_named(const struct spool *s, const struct draft *d)
{
	int tmp = open_dir(s->dir, "tmp"), r;

	if (tmp < 0)
		return -1;
	r = linkat(tmp, d->id, s->queue, d->id, 0);
	close(tmp);
	return r;
}

/* Gives the draft its name in queue/. */
static int
link_draft(struct spool *s, struct draft *d)
{
	if (!d->named) {
		if (link_unnamed(s, d) == 0)
			return 0;
		if (errno == EEXIST || errno == ENOSPC || errno == EDQUOT || errno == EROFS)
			return -1;
		if (move_to_named(s, d) < 0)
			return -1;
	}
	return link_named(s, d);
}

enum outcome
spool_commit(struct spool *s, struct draft *d, struct why *why)
{
	struct buf line = { 0 };
	int r, saved;

	d->stamp.head_crc = stamp_head_crc(&d->stamp, d->envelope_crc);
	stamp_write(&d->stamp, &line);
	r = file_write_at(d->fd, buf_str(&line), 0);
	buf_free(&line);
	if (r < 0)
		return disk_trouble(why, s->path, "write");
	if (link_draft(s, d) < 0) {
		if (errno == EEXIST)
			return never(why, SCOPE_NONE, "", "%s is queued already", d->id);
		return disk_trouble(why, s->path, "link a message");
	}
	if (file_sync(d->fd) < 0 || file_sync(s->queue) < 0) {
		saved = errno;
		unlinkat(s->queue, d->id, 0);
		errno = saved;
		return disk_trouble(why, s->path, "make a message durable");
	}
	d->committed = true;
	return DONE;
}

static void
unlink_in(const struct spool *s, const char *part, const char *name)
{
	int fd = open_dir(s->dir, part);

	if (fd < 0)
		return;
	unlinkat(fd, name, 0);
	close(fd);
}

void
spool_release(struct spool *s, struct draft *d)
{
	if (!d->open)
		return;
	if (d->named)
		unlink_in(s, "tmp", d->id);
	close(d->fd);
	*d = (struct draft){ 0 };
}

/* ---- reading ---------------------------------------------------------- */

struct fate_name {
	char p[ENVELOPE_ID_LEN + 8];
};

static struct fate_name
fate_name(const char *id)
{
	struct fate_name name;

	snprintf(name.p, sizeof name.p, "%s.fate", id);
	return name;
}

static enum outcome
read_envelope(struct letter *l, const char *id, struct why *why)
{
	struct buf text = { 0 };
	enum outcome o;
	size_t n = 0;

	buf_reserve(&text, l->stamp.envelope);
	while (text.len < l->stamp.envelope) {
		if (file_read_at(l->fd, text.p + text.len, l->stamp.envelope - text.len,
		    (off_t)(STAMP_LEN + text.len), &n) < 0 || n == 0)
			break;
		text.len += n;
	}
	if (text.len != l->stamp.envelope ||
	    stamp_head_crc(&l->stamp, codec_crc32c(0, text.p, text.len)) != l->stamp.head_crc)
		o = never(why, SCOPE_MESSAGE, "", "its envelope is damaged: the checksum of the head is wrong");
	else
		o = envelope_read(buf_str(&text), &l->envelope, why);
	if (o == DONE && strcmp(l->envelope.id, id) != 0)
		o = never(why, SCOPE_MESSAGE, "", "it is the message of another id");
	buf_free(&text);
	return o;
}

/* What cannot be read: damaged, unless it is we who lack something. */
static enum outcome
unreadable(struct why *why, const char *what)
{
	int error = errno;

	if (error == EMFILE || error == ENFILE || error == ENOMEM)
		return later(why, SCOPE_NONE, "", "%s cannot be read for want of resources: %s", what,
		    strerror(error));
	return never(why, SCOPE_MESSAGE, "", "%s cannot be read: %s", what, strerror(error));
}

/* Everything that can be known of a message without reading its text. */
static enum outcome
read_message(struct letter *l, const char *id, struct why *why)
{
	char line[STAMP_LEN];
	struct stat st;
	enum outcome o;
	size_t n = 0;

	l->promised = true;
	if (fstat(l->fd, &st) < 0 ||
	    (S_ISREG(st.st_mode) && file_read_at(l->fd, line, sizeof line, 0, &n) < 0))
		return unreadable(why, "it");
	if (!S_ISREG(st.st_mode))
		return never(why, SCOPE_MESSAGE, "", "it is not a regular file");
	if (n == 0 || line[0] == '\0') {
		l->promised = false;
		return never(why, SCOPE_MESSAGE, "", "it was never finished");
	}
	if ((o = stamp_read(str_from(line, n), &l->stamp, why)) != DONE)
		return o;
	if ((uint64_t)st.st_size != l->stamp.size)
		return never(why, SCOPE_MESSAGE, "", "it has %lld octets and should have %llu",
		    (long long)st.st_size, (unsigned long long)l->stamp.size);
	return read_envelope(l, id, why);
}

static int
open_place(const struct spool *s, enum spool_place place)
{
	return place == SPOOL_QUEUE ? dup(s->queue) : open_dir(s->dir, "failed");
}

static enum outcome
read_fate(int dir, struct letter *l, const char *id, struct why *why)
{
	struct buf text = { 0 };
	enum outcome o = DONE;

	if (file_load(dir, fate_name(id).p, &text, FATE_MAX) == 0)
		o = fate_read(buf_str(&text), &l->fate, why);
	else if (errno != ENOENT)
		o = unreadable(why, "its .fate");
	buf_free(&text);
	return o;
}

enum outcome
spool_read(const struct spool *s, enum spool_place place, const char *id, struct letter *l,
    struct why *why)
{
	int dir = open_place(s, place);
	enum outcome o = DONE;

	if (dir >= 0)
		l->fd = openat(dir, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (dir >= 0 && l->fd < 0 && errno == ELOOP) {
		/* A symbolic link is nothing that we wrote. */
		o = never(why, SCOPE_MESSAGE, "", "it is not a regular file");
		l->promised = true;
	} else if (l->fd < 0) {
		bool gone = errno == ENOENT;

		o = disk_trouble(why, s->path, "open a message");
		if (gone)
			o = refuse(why, EX_TEMPFAIL, "%s is not in the queue", id);
		if (gone)
			why->exit = EX_NOINPUT;
	} else {
		o = read_message(l, id, why);
		fate_init(&l->fate, l->envelope.n);
		if (o == DONE)
			o = read_fate(dir, l, id, why);
	}
	if (dir >= 0)
		close(dir);
	l->damaged = o == NEVER;
	return o == LATER ? LATER : DONE;
}

/* "id", "arrived", "uid": see envelope_write. */
static bool
find_uid(struct str head, uid_t *uid)
{
	struct str line;
	uint64_t v;

	for (unsigned i = 0; i < 3 && str_line(&head, &line); i++)
		if (str_starts(line, "uid ") && head.len > 0 &&
		    codec_number(str_from(line.p + 4, line.len - 4), UINT32_MAX, &v)) {
			*uid = (uid_t)v;
			return true;
		}
	errno = EBADMSG;
	return false;
}

bool
spool_peek_uid(const struct spool *s, const char *id, uid_t *uid)
{
	int fd = openat(s->queue, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char head[PEEK];
	size_t n = 0;
	int r, saved;

	if (fd < 0)
		return false;
	r = file_read_at(fd, head, sizeof head, STAMP_LEN, &n);
	saved = errno;
	close(fd);
	errno = saved;
	return r == 0 && find_uid(str_from(head, n), uid);
}

bool
spool_read_open(int fd, const char *id, struct letter *l, struct why *why)
{
	l->fd = fd;
	return read_message(l, id, why) == DONE;
}

void
spool_letter_free(struct letter *l)
{
	if (l->fd >= 0)
		close(l->fd);
	envelope_free(&l->envelope);
	fate_free(&l->fate);
	*l = (struct letter)LETTER_INIT;
}

bool
spool_lock(const struct letter *l)
{
	return l->fd < 0 || file_lock(l->fd) == 0;
}

enum outcome
spool_read_again(const struct spool *s, enum spool_place place, const char *id,
    struct letter *l, struct why *why)
{
	struct letter fresh = LETTER_INIT;
	enum outcome o = spool_read(s, place, id, &fresh, why);
	int fd = l->fd;

	if (fresh.fd >= 0)
		close(fresh.fd);
	l->fd = -1;
	spool_letter_free(l);
	*l = fresh;
	l->fd = fd;
	return o;
}

bool
spool_has_fate(const struct spool *s, const char *id)
{
	return faccessat(s->queue, fate_name(id).p, F_OK, 0) == 0;
}

bool
spool_is_removed(const struct letter *l)
{
	struct stat st;

	return fstat(l->fd, &st) == 0 && st.st_nlink == 0;
}

off_t
spool_text_at(const struct letter *l)
{
	return (off_t)(STAMP_LEN + l->stamp.envelope);
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

enum outcome
spool_list(const struct spool *s, enum spool_place place, struct ids *ids, struct why *why)
{
	/* Opened anew: a directory stream shares its position with its descriptor. */
	DIR *dir = file_list(open_dir(s->dir, place == SPOOL_QUEUE ? "queue" : "failed"));
	struct dirent *entry;

	*ids = (struct ids){ 0 };
	if (dir == NULL) {
		if (errno == ENOENT && place == SPOOL_FAILED)
			return DONE;
		return disk_trouble(why, s->path, "list messages");
	}
	while ((entry = readdir(dir)) != NULL) {
		if (!envelope_is_id(str_of(entry->d_name)))
			continue;
		ids->v = mem_more(ids->v, ids->n, sizeof *ids->v);
		memcpy(ids->v[ids->n++], entry->d_name, ENVELOPE_ID_LEN + 1);
	}
	closedir(dir);
	if (ids->n > 0)
		qsort(ids->v, ids->n, sizeof *ids->v, compare_ids);
	return DONE;
}

void
spool_ids_free(struct ids *ids)
{
	free(ids->v);
	*ids = (struct ids){ 0 };
}

/* ---- what becomes of it ------------------------------------------------ */

enum outcome
spool_set_fate(struct spool *s, const char *id, const struct fate *f, struct why *why)
{
	struct buf text = { 0 };
	int r;

	fate_write(f, &text);
	r = file_replace(s->queue, fate_name(id).p, buf_str(&text), true);
	buf_free(&text);
	return r == 0 ? DONE : disk_trouble(why, s->path, "write a .fate");
}

enum outcome
spool_drop(struct spool *s, const char *id, struct why *why)
{
	if (unlinkat(s->queue, id, 0) < 0 && errno != ENOENT)
		return disk_trouble(why, s->path, "remove a message");
	return DONE;
}

enum outcome
spool_settle(struct spool *s, char (*ids)[ENVELOPE_ID_LEN + 1], size_t n, struct why *why)
{
	if (file_sync(s->queue) < 0)
		return disk_trouble(why, s->path, "make a removal durable");
	for (size_t i = 0; i < n; i++)
		unlinkat(s->queue, fate_name(ids[i]).p, 0);
	return DONE;
}

/* By way of another name: a message that is unlinked under its own has left, to
 * everybody, and one that is renamed has not.  Whoever watches the directory can
 * tell the two apart by that alone. */
enum outcome
spool_remove(struct spool *s, const char *id, struct why *why)
{
	char gone[ENVELOPE_ID_LEN + 8], ids[1][ENVELOPE_ID_LEN + 1];

	snprintf(gone, sizeof gone, "%s.gone", id);
	if (renameat(s->queue, id, s->queue, gone) < 0 ||
	    (unlinkat(s->queue, gone, 0) < 0 && errno != ENOENT))
		return disk_trouble(why, s->path, "remove a message");
	snprintf(ids[0], sizeof ids[0], "%s", id);
	return spool_settle(s, ids, 1, why);
}

static bool
is_there(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

enum outcome
spool_fail(struct spool *s, const char *id, const struct fate *f, struct why *why)
{
	struct fate_name fate = fate_name(id);
	int failed = open_part(s, "failed");
	enum outcome o;

	if (failed < 0)
		return disk_trouble(why, s->path, "open failed/");
	if ((o = spool_set_fate(s, id, f, why)) != DONE)
		goto out;
	/* A fate of an earlier failure is older than this one. */
	unlinkat(failed, fate.p, 0);
	/* Asked again after half of it, the message may be there already. */
	if (linkat(s->queue, fate.p, failed, fate.p, 0) < 0 || file_sync(failed) < 0 ||
	    (renameat(s->queue, id, failed, id) < 0 && !is_there(failed, id)) ||
	    file_sync(failed) < 0 || file_sync(s->queue) < 0)
		o = disk_trouble(why, s->path, "move a message to failed/");
	else
		unlinkat(s->queue, fate.p, 0);
out:
	close(failed);
	return o;
}

enum outcome
spool_revive(struct spool *s, const char *id, const struct fate *f, struct why *why)
{
	int failed = open_part(s, "failed");
	enum outcome o;

	if (failed < 0)
		return disk_trouble(why, s->path, "open failed/");
	if ((o = spool_set_fate(s, id, f, why)) == DONE) {
		if (renameat(failed, id, s->queue, id) < 0 || file_sync(s->queue) < 0 ||
		    file_sync(failed) < 0)
			o = disk_trouble(why, s->path, "move a message back from failed/");
		else
			unlinkat(failed, fate_name(id).p, 0);
	}
	close(failed);
	return o;
}

enum outcome
spool_forget(struct spool *s, const char *id, struct why *why)
{
	int failed = open_part(s, "failed");
	enum outcome o = DONE;

	if (failed < 0)
		return disk_trouble(why, s->path, "open failed/");
	if (unlinkat(failed, id, 0) < 0 || file_sync(failed) < 0)
		o = disk_trouble(why, s->path, "remove a message");
	else
		unlinkat(failed, fate_name(id).p, 0);
	close(failed);
	return o;
}

/* ---- litter ------------------------------------------------------------ */

static bool
is_older(int dir, const char *name, time_t age)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > age;
}

static bool
is_old(int dir, const char *name)
{
	return is_older(dir, name, LITTER_AGE);
}

/* A replacement that somebody did not finish. */
static bool
is_half(int dir, const char *name)
{
	struct str s = str_of(name);

	return s.len > 4 && str_is(str_from(s.p + s.len - 4, 4), ".new") && is_old(dir, name);
}

/* That, what somebody was about to remove, or "<id>.fate" without "<id>" beside it. */
static bool
is_litter(int dir, const char *name)
{
	struct str s = str_of(name);
	char id[ENVELOPE_ID_LEN + 1], failed[ENVELOPE_ID_LEN + 16];
	struct stat st;

	if (is_half(dir, name) || (s.len == ENVELOPE_ID_LEN + 5 &&
	    str_is(str_from(s.p + ENVELOPE_ID_LEN, 5), ".gone")))
		return true;
	if (s.len != ENVELOPE_ID_LEN + 5 || !str_is(str_from(s.p + ENVELOPE_ID_LEN, 5), ".fate"))
		return false;
	snprintf(id, sizeof id, "%s", name);
	/* In failed/ first: a message on its way back has its new fate in queue/
	 * before itself, and without that it would be sent to everybody again. */
	snprintf(failed, sizeof failed, "../failed/%s", id);
	if (fstatat(dir, failed, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return false;
	return fstatat(dir, id, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static void
sweep_dir(const struct spool *s, const char *part, bool (*litter)(int, const char *))
{
	DIR *dir = file_list(open_dir(s->dir, part));
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && litter(dirfd(dir), entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/* A fate in failed/ is as old as the failure. */
static void
expire_failed(struct spool *s, uint32_t keep_failed)
{
	struct ids ids;
	struct why why;
	int failed = open_dir(s->dir, "failed");

	if (failed >= 0 && spool_list(s, SPOOL_FAILED, &ids, &why) == DONE) {
		for (size_t i = 0; i < ids.n; i++)
			if (is_older(failed, fate_name(ids.v[i]).p, (time_t)keep_failed))
				spool_forget(s, ids.v[i], &why);
		spool_ids_free(&ids);
	}
	if (failed >= 0)
		close(failed);
}

void
spool_sweep(struct spool *s, uint32_t keep_failed)
{
	/* A removal under way must be durable before its fate may go. */
	if (file_sync(s->queue) < 0)
		return;
	sweep_dir(s, ".", is_half);
	sweep_dir(s, "queue", is_litter);
	sweep_dir(s, "failed", is_litter);
	sweep_dir(s, "tmp", is_old);
	expire_failed(s, keep_failed);
}

void
spool_sweep_one(struct spool *s, const struct letter *l, const char *id)
{
	if (!l->promised && l->fd >= 0 && spool_lock(l))
		unlinkat(s->queue, id, 0);
}

/* ---- the runner's files -------------------------------------------------- */

bool
spool_is_gone(const struct spool *s)
{
	struct stat st;

	return fstat(s->queue, &st) < 0 || st.st_nlink == 0;
}

static int
open_lock(const struct spool *s, const char *name)
{
	return openat(s->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int
spool_lock_runner(const struct spool *s)
{
	struct flock name = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(s, "lock"), saved;

	/* The second kind of lock locks nothing more, but tells whose the first is. */
	if (fd >= 0 && (file_lock(fd) < 0 || fcntl(fd, F_SETLK, &name) < 0)) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* One that only says that somebody is there. */
static int
take_lock(const struct spool *s, const char *name)
{
	int fd = open_lock(s, name), saved;

	if (fd >= 0 && file_lock(fd) < 0) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
spool_lock_next(const struct spool *s)
{
	return take_lock(s, "next");
}

int
spool_lock_service(const struct spool *s)
{
	return take_lock(s, "service");
}

bool
spool_is_served(const struct spool *s)
{
	/* Most queues never had one, and shall not have its file. */
	int fd = openat(s->dir, "service", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool served = fd >= 0 && file_lock(fd) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return served;
}

pid_t
spool_runner_pid(const struct spool *s)
{
	struct flock name = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_lock(s, "lock");
	pid_t pid = 0;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_GETLK, &name) == 0 && name.l_type != F_UNLCK)
		pid = name.l_pid;
	close(fd);
	return pid;
}

int
spool_open_log(const struct spool *s)
{
	struct stat st;

	if (fstatat(s->dir, "log", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > LOG_MAX)
		renameat(s->dir, "log", s->dir, "log.old");
	return openat(s->dir, "log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}
