/* wake: how the runner of a queue learns that there is work, both ends side by
 * side: one datagram to <spool>/runner, and a runner started where none is.
 *
 * It strands nothing: a runner starts with lock, bind, scan, and leaves by
 * unbinding, scanning once more, and only then letting go of the lock.  So
 * whatever was linked before a wake-up is always seen by somebody.  A datagram
 * is a hint, never the message: losing its text loses nothing.
 *
 * Words: "wake ID", with its uid behind it, and behind that its priority where it has
 * one of its own; "retry" (also lifts a back-off), "retry force" (and tries a login that
 * is known to be refused), and, from a courier whose runner has died, the reports of
 * errand.h. */
#ifndef WAKE_H
#define WAKE_H

#include <sys/types.h>

#include "buf.h"
#include "outcome.h"
#include "spool.h"

#define WAKE_WORDS_MAX 2048     /* octets of one datagram */

enum wake_sent {
	WAKE_SENT,              /* somebody will read it */
	WAKE_FULL,              /* somebody has so many that he will scan: what is new
	                         * will be seen, other words are lost */
	WAKE_NOBODY,            /* no runner listens */
};

/* "wake ID UID", and the priority; appended. */
void wake_put_arrival(struct buf *words, const char *id, uid_t uid, int priority);

/* Sends words without ever waiting. */
enum wake_sent wake_send(const struct spool *s, struct str words);
/* The same for words that say more than that something is new: a runner who has too
 * many is told again for a few seconds. */
enum wake_sent wake_insist(const struct spool *s, struct str words);
/* wake_send on a socket made before (wake_socket): for a courier behind its
 * sandbox, which can make none. */
int wake_socket(void);
enum wake_sent wake_send_on(int fd, const char *path, struct str words);
/* Has all that was sent on fd been read? */
bool wake_is_read(int fd);
/* The address of a spool's runner, for wake_send_on; freed with free. */
char *wake_path(const struct spool *s);

/* wake_send, and where nobody listens, a runner, detached: own session, cwd /,
 * signals, umask and timers reset, descriptors closed, /dev/null as 0 to 2.
 * Not waited for.  retry: those are the words, and it shall probe at once; and since that is more than
 * that something is new, a runner who has too many words is asked again for a
 * few seconds.  LATER when nobody could be told. */
enum outcome wake_runner(const struct spool *s, struct str words, bool retry, struct why *why);

/* The runner's end. */
struct wake {
	int fd;
	bool inherited;         /* from a service manager (LISTEN_FDS), whose it stays */
	ino_t name;             /* ours: the file at <spool>/runner */
};

/* Takes a socket that a service manager has for us at *w; false if there is none. */
bool wake_inherit(struct wake *w);
/* Makes the socket <spool>/runner, unless one was inherited; -1 with errno. */
int wake_bind(const struct spool *s, struct wake *w);
/* Leaving, in two steps: the name goes, if it is still ours, and nothing more is
 * taken, so that who had found it learns that nobody listens; then the socket
 * is closed.  In between what was taken is read.  An inherited one stays as it
 * is: whoever writes to it starts us again. */
void wake_hide(const struct spool *s, const struct wake *w);
void wake_close(struct wake *w);
/* One datagram into words, without waiting; false when there is none. */
bool wake_receive(int fd, struct buf *words);

/* The program of that name: beside the running one, else in libexec or sbin as
 * built in.  Appended to *out. */
void wake_find_program(const char *name, struct buf *out);
/* Keeps of the environment what a password command needs at the prompt: HOME,
 * PATH, LANG, TZ, SUBPOST_CONFIG (made absolute), XDG_*, the agents' addresses,
 * and what says that a service manager's socket came with us.  PATH gets a plain
 * default where it is missing. */
void wake_clean_environment(void);

#endif
