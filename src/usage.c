#include "usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"
#include "log.h"

#define COMPLAINT_CELLS 64      /* uids that share one share its lines */
#define LEVEL_MAX 32            /* octets of a uid's file: one number */

/* ---- how much waits ------------------------------------------------------------- */

/* A row is uid plus one and a count, written whole, so that who looks while it
 * is written sees the old or the new.  Zero is a row that nobody has. */
struct usage {
	_Atomic uint64_t rows[USAGE_UIDS];
	_Atomic uint64_t complaints[COMPLAINT_CELLS];   /* a minute and a count in it */
};

#define KEY(uid) (((uint64_t)(uid) + 1) << 24)
#define COUNT_MAX ((UINT64_C(1) << 24) - 1)

struct usage *
usage_make(void)
{
	/* Zero as the kernel gives it. */
	void *p = mmap(NULL, sizeof(struct usage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

void
usage_free(struct usage *u)
{
	if (u != NULL)
		munmap(u, sizeof *u);
}

static uint64_t
row_at(const struct usage *u, size_t at)
{
	return atomic_load_explicit(&u->rows[at], memory_order_relaxed);
}

/* Where the row of a uid is; USAGE_UIDS: it has none, and *vacant is the first that
 * it could have, one whose uid has nothing waiting any more, or USAGE_UIDS. */
static size_t
find(const struct usage *u, uid_t uid, size_t *vacant)
{
	size_t at = (size_t)((uint32_t)uid * 2654435761u) % USAGE_UIDS;

	*vacant = USAGE_UIDS;
	for (size_t i = 0; i < USAGE_UIDS; i++) {
		uint64_t row = row_at(u, at);

		if (row >> 24 == (uint64_t)uid + 1)
			return at;
		if ((row & COUNT_MAX) == 0 && *vacant == USAGE_UIDS)
			*vacant = at;
		if (row == 0)
			break;
		at = (at + 1) % USAGE_UIDS;
	}
	return USAGE_UIDS;
}

void
usage_set(struct usage *u, uid_t uid, uint32_t waiting)
{
	uint64_t n = waiting < COUNT_MAX ? waiting : COUNT_MAX;
	size_t vacant, at = find(u, uid, &vacant);

	if (at == USAGE_UIDS)
		at = n > 0 ? vacant : USAGE_UIDS;
	if (at < USAGE_UIDS)
		atomic_store_explicit(&u->rows[at], KEY(uid) | n, memory_order_relaxed);
}

uint32_t
usage_of(const struct usage *u, uid_t uid)
{
	size_t vacant, at = u != NULL ? find(u, uid, &vacant) : USAGE_UIDS;

	return at < USAGE_UIDS ? (uint32_t)(row_at(u, at) & COUNT_MAX) : 0;
}

void
usage_clear(struct usage *u)
{
	for (size_t i = 0; i < USAGE_UIDS; i++)
		atomic_store_explicit(&u->rows[i], 0, memory_order_relaxed);
}

/* ---- what is told of it ----------------------------------------------------------- */

unsigned
usage_complain(struct usage *u, uid_t uid, time_t now)
{
	uint64_t minute = (uint64_t)now / 60, before, n;
	_Atomic uint64_t *cell;

	if (u == NULL)
		return USAGE_COMPLAINTS;
	cell = &u->complaints[uid % COMPLAINT_CELLS];
	before = atomic_load_explicit(cell, memory_order_relaxed);
	do {
		n = before >> 8 == minute ? before & 0xff : 0;
		if (n >= USAGE_COMPLAINTS)
			return 0;
	} while (!atomic_compare_exchange_weak(cell, &before, minute << 8 | (n + 1)));
	return USAGE_COMPLAINTS - (unsigned)n;
}

/* ---- how fast it comes ------------------------------------------------------------ */

/* The uid's file, open and locked; two clerks of one uid wait for one another, which
 * takes as long as a number is written. */
static int
open_level(const struct spool *s, uid_t uid)
{
	char name[40];
	int fd;

	/* Not made durable: losing it lets a burst pass, no more. */
	if (mkdirat(s->dir, "users", 0700) < 0 && errno != EEXIST)
		return -1;
	snprintf(name, sizeof name, "users/%lu", (unsigned long)uid);
	fd = openat(s->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	while (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		int saved = errno;

		if (saved == EINTR)
			continue;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* What is no number is a file that a crash has cut: the uid begins anew. */
static int
read_level(int fd, int64_t *level)
{
	char text[LEVEL_MAX];
	struct str rest, line = { 0 };
	uint64_t n = 0;
	size_t len;

	if (file_read_at(fd, text, sizeof text, 0, &len) < 0)
		return -1;
	rest = str_from(text, len);
	str_line(&rest, &line);
	*level = codec_number(line, INT64_MAX, &n) ? (int64_t)n : 0;
	return 0;
}

static int
write_level(int fd, int64_t level)
{
	char text[LEVEL_MAX];
	int n = snprintf(text, sizeof text, "%019lld\n", (long long)level);

	/* Always of that length, so that no digit of an old number is left in it. */
	return file_write_at(fd, str_from(text, (size_t)n), 0);
}

static void
log_trouble(const struct spool *s, uid_t uid)
{
	char name[24];
	int saved = errno;

	snprintf(name, sizeof name, "%lu", (unsigned long)uid);
	log_event(LOG_WARNING, "user-rate", "uid", name, "queue", s->path, "reason", strerror(saved),
	    NULL);
}

static enum outcome
too_fast(const struct rate *rate, int64_t missing, struct why *why)
{
	struct buf age = { 0 }, words = { 0 };

	codec_age(&age, (missing + 999999) / 1000000);
	rate_write(rate, &words);
	later(why, SCOPE_NONE, "", "you send faster than %s, which is user-rate here; try again in %s",
	    buf_c(&words), buf_c(&age));
	buf_free(&age);
	buf_free(&words);
	return LATER;
}

enum outcome
usage_take(const struct spool *s, uid_t uid, const struct rate *rate, int64_t now, struct why *why)
{
	int64_t before = 0, level, missing = 0;
	int fd;

	if (rate->n == 0)
		return DONE;
	fd = open_level(s, uid);
	if (fd < 0 || read_level(fd, &before) < 0) {
		log_trouble(s, uid);
	} else {
		level = before;
		missing = rate_take(rate, rate->n, &level, now);
		if (level != before && write_level(fd, level) < 0)
			log_trouble(s, uid);
	}
	if (fd >= 0)
		close(fd);
	return missing > 0 ? too_fast(rate, missing, why) : DONE;
}
