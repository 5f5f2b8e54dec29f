/* spool: messages at rest.
 *
 * A message is queued when, and only when, queue/<id> is whole; it never
 * changes after that.  What has happened to it since stands in queue/<id>.fate,
 * replaced whole each time; no such file means nothing has happened.
 *
 * The commit: an unnamed file (O_TMPFILE), flock, all octets, the first line
 * last, the name (linkat), fsync of the file, fsync of the directory; only then
 * may anybody say yes.  Linking before the one fsync costs a single journal
 * flush instead of two.  Where a file system forbids that, or an older kernel
 * without /proc, the file has a name in tmp/ first; the order is the same.
 *
 * flock on a message's open description says "somebody has this": the face
 * until it has answered, the runner and then the courier while it is sent,
 * `subpost` while it changes what is to become of it.
 *
 * Every directory and file is its owner's alone (0700, 0600).  What comes back
 * from the disk is believed only as far as its lengths and checksums go. */
#ifndef SPOOL_H
#define SPOOL_H

#include <sys/types.h>

#include "buf.h"
#include "envelope.h"
#include "fate.h"
#include "outcome.h"

struct spool {
	int dir;                /* the directory itself; use SPOOL_INIT */
	int queue;
	char *path;             /* absolute */
};
#define SPOOL_INIT { .dir = -1, .queue = -1 }

enum spool_place {
	SPOOL_QUEUE,            /* queue/: waiting */
	SPOOL_FAILED,           /* failed/: given up */
};

/* Opens the queue at directory for the configuration file config_path, making
 * what is missing, durably.  NEVER with exit 78 if it belongs to another user
 * or another configuration, or others may look into it; LATER (75) where the
 * disk will not. */
enum outcome spool_open(struct spool *s, const char *directory, const char *config_path,
    struct why *why);
void spool_close(struct spool *s);

/* An id that nobody has had; -1 with errno. */
int spool_fresh_id(char id[ENVELOPE_ID_LEN + 1]);

/* One message being written.  Zero is "none"; spool_release lets go of it in
 * every case: what was not committed is gone, what was committed is unlocked. */
struct draft {
	bool open;
	int fd;
	bool named;             /* has a name in tmp/ */
	bool committed;
	char id[ENVELOPE_ID_LEN + 1];
	struct stamp stamp;
	uint32_t envelope_crc;
	uint64_t line;          /* octets of the line under way */
	bool mid_line;
};

/* e->id "" gets a fresh id, which is also put into *e; a given one is kept. */
enum outcome spool_begin(struct spool *s, struct draft *d, struct envelope *e, struct why *why);
/* Canonical text, in any pieces; counted and summed on the way. */
enum outcome spool_text(struct draft *d, struct str text, struct why *why);
/* DONE: durable, and still locked.  NEVER with scope NONE: that id is queued
 * already.  Otherwise nothing is left. */
enum outcome spool_commit(struct spool *s, struct draft *d, struct why *why);
void spool_release(struct spool *s, struct draft *d);

/* A message and its fate, read and checked. */
struct letter {
	int fd;                 /* of the message, positioned nowhere; use LETTER_INIT */
	struct stamp stamp;
	struct envelope envelope;
	struct fate fate;
	bool damaged;           /* held, because *why: do not send, do not delete */
	bool promised;          /* false: what a power cut leaves of a message nobody was
	                         * promised; may be swept */
};
#define LETTER_INIT { .fd = -1 }

/* Reads stamp, envelope and fate of one message; the text is the courier's to
 * verify.  DONE: whole, or damaged with the reason in *why; LATER: not there
 * (why->exit 66), or the disk will not. */
enum outcome spool_read(const struct spool *s, enum spool_place place, const char *id,
    struct letter *l, struct why *why);
/* The same from a message file that is already open, without its fate.  false
 * with the reason in *why where it is damaged; fd stays the caller's. */
bool spool_read_open(int fd, const char *id, struct letter *l, struct why *why);
/* Whose it is, as far as its first lines say, with nothing checked: for who must know
 * that of very many.  False with errno; ENOENT where it is not there. */
bool spool_peek_uid(const struct spool *s, const char *id, uid_t *uid);
void spool_letter_free(struct letter *l);
/* True: ours until l->fd and every copy of it is closed. */
bool spool_lock(const struct letter *l);
/* After spool_lock: what stands on the disk now, since somebody may have changed
 * or removed it before we had the lock.  As spool_read; the lock stays ours. */
enum outcome spool_read_again(const struct spool *s, enum spool_place place, const char *id,
    struct letter *l, struct why *why);
/* Has anything been written about it: does queue/<id>.fate exist? */
bool spool_has_fate(const struct spool *s, const char *id);
/* Has it been removed since it was opened? */
bool spool_is_removed(const struct letter *l);
/* Where the text begins in the file. */
off_t spool_text_at(const struct letter *l);

/* Replaces queue/<id>.fate, durably. */
enum outcome spool_set_fate(struct spool *s, const char *id, const struct fate *f, struct why *why);
/* Done with: the message's name goes.  Its .fate stays until spool_settle has
 * made that durable: a fate without a message is litter that can be swept, a
 * message without its fate would be sent again to those who have it. */
enum outcome spool_drop(struct spool *s, const char *id, struct why *why);
/* Makes all drops durable, then removes the .fate files of ids (n names). */
enum outcome spool_settle(struct spool *s, char (*ids)[ENVELOPE_ID_LEN + 1], size_t n,
    struct why *why);
/* Taken out by a person, and not sent. */
enum outcome spool_remove(struct spool *s, const char *id, struct why *why);
/* Given up: message and fate go to failed/, in an order that loses neither. */
enum outcome spool_fail(struct spool *s, const char *id, const struct fate *f, struct why *why);
/* And back, with a fate renewed. */
enum outcome spool_revive(struct spool *s, const char *id, const struct fate *f, struct why *why);
/* Removes a given-up message and its fate. */
enum outcome spool_forget(struct spool *s, const char *id, struct why *why);

struct ids {
	char (*v)[ENVELOPE_ID_LEN + 1];
	size_t n;
};
/* All ids of a place, oldest first; freed with spool_ids_free. */
enum outcome spool_list(const struct spool *s, enum spool_place place, struct ids *ids,
    struct why *why);
void spool_ids_free(struct ids *ids);

/* Removes litter (lone .fate files, abandoned drafts, half replacements) and
 * what has lain in failed/ for keep_failed seconds.  Only for whoever holds the
 * runner's lock. */
void spool_sweep(struct spool *s, uint32_t keep_failed);
/* What a power cut left of a message that nobody was promised: removed, unless
 * somebody has it. */
void spool_sweep_one(struct spool *s, const struct letter *l, const char *id);

/* Has the directory been removed? */
bool spool_is_gone(const struct spool *s);

/* The runner's lock: an open descriptor that holds it, or -1 (EWOULDBLOCK: there
 * is a runner). */
int spool_lock_runner(const struct spool *s);
/* The same of the one runner that waits for that lock. */
int spool_lock_next(const struct spool *s);
/* The service's: an open descriptor that says that this queue has one (premises.h), or -1
 * as above.  And is it held by somebody? */
int spool_lock_service(const struct spool *s);
bool spool_is_served(const struct spool *s);
/* The process that holds the first, or 0. */
pid_t spool_runner_pid(const struct spool *s);
/* The queue's log, for appending; over a megabyte it is put aside as log.old. */
int spool_open_log(const struct spool *s);

#endif
