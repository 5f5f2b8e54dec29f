/* premises: what the service needs before it can open: an account, directories, the
 * queue's lock, a door.
 *
 * Started as root it looks at everything as the account that it will be, goes back to
 * being root for the two things that only root can do, directories and a socket in
 * /run, and then is that account for good. */
#ifndef PREMISES_H
#define PREMISES_H

#include <sys/types.h>

#include "config.h"
#include "outcome.h"
#include "spool.h"

struct premises {
	bool root;              /* we were; until premises_settle, we can be again */
	uid_t uid;              /* the account's */
	gid_t gid;
	int lock;               /* says that this queue has its service; in no child */
	int door;               /* the listening socket, not blocking */
	bool inherited;         /* the door is a service manager's */
	char *path;             /* else its name */
	ino_t name;
};
#define PREMISES_INIT { .lock = -1, .door = -1 }

/* Takes a socket that a service manager has for us, while the environment still says so. */
void premises_inherit(struct premises *p);
/* Who we shall be: account, or for root SERVICE_ACCOUNT where it is NULL; nobody else
 * can become another.  Root's environment is changed into the account's, and from here
 * on files are looked at as the account. */
enum outcome premises_take_account(struct premises *p, const char *account, struct why *why);
/* Root's alone: the directories of socket and queue, where they are missing, for the
 * account. */
enum outcome premises_make_directories(const struct premises *p, const struct config *c,
    struct why *why);
/* One service a queue: 75 where there is another. */
enum outcome premises_lock(struct premises *p, const struct spool *s, struct why *why);
/* We are the account for good. */
enum outcome premises_settle(struct premises *p, struct why *why);
/* Where none was inherited, makes a socket that everybody may call on; a name that a
 * dead service left is replaced.  Settled after that. */
enum outcome premises_open(struct premises *p, const char *socket, struct why *why);
/* No caller is taken any more; the socket's name goes if it is still ours. */
void premises_close_door(struct premises *p);
/* In a child: what is the service's alone is closed. */
void premises_leave(const struct premises *p);
void premises_free(struct premises *p);

#endif
