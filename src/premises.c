#include "premises.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "desk.h"
#include "file.h"
#include "manager.h"
#include "person.h"

#define BACKLOG 4096            /* callers that the kernel holds, as far as it lets us */
#define LOCK_TRIES 50           /* looks at a lock that somebody holds, */
#define LOCK_PAUSE (20 * 1000 * 1000)   /* so many ns apart: a second in all */

/* ---- the account ---------------------------------------------------------------------------- */

/* What root's environment says of root is not true of the account. */
static void
take_environment(const struct person *who)
{
	static const char *const others[] = { "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME",
		"XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME",
		"PASSWORD_STORE_DIR", "SSH_AUTH_SOCK" };

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		unsetenv(others[i]);
	setenv("HOME", who->home, 1);
}

static enum outcome
cannot_be(const char *account, struct why *why)
{
	return refuse(why, EX_OSERR, "cannot become the account %s: %s; start subpostd as that "
	    "account, or as root with all of root's rights", account, strerror(errno));
}

/* Files are looked at as the account from here on, and root can be had again. */
static enum outcome
step_down(struct premises *p, const struct person *who, struct why *why)
{
	size_t n;
	gid_t *groups = person_groups(who->login, who->gid, &n);
	bool done = setgroups(n, groups) == 0 && setegid(who->gid) == 0 && seteuid(who->uid) == 0;

	free(groups);
	if (!done)
		return cannot_be(who->login, why);
	p->root = true;
	take_environment(who);
	return DONE;
}

enum outcome
premises_take_account(struct premises *p, const char *account, struct why *why)
{
	struct person who = { 0 };
	enum outcome o = DONE;
	bool root = geteuid() == 0;

	p->uid = geteuid();
	p->gid = getegid();
	if (account == NULL && root)
		account = SERVICE_ACCOUNT;
	if (account == NULL)
		return DONE;
	if (!person_by_login(str_of(account), &who))
		o = refuse(why, EX_CONFIG, "there is no account %s to run as; make it: useradd --system "
		    "--home-dir " SERVICE_DIRECTORY " --shell /usr/sbin/nologin %s; or name another: "
		    "subpostd --service --user NAME", account, account);
	else if (!root && who.uid != p->uid)
		o = refuse(why, EX_NOPERM, "only root can become the account %s; start subpostd as root, "
		    "or as that account without --user", account);
	else if (root && who.uid != 0)
		o = step_down(p, &who, why);
	if (o == DONE) {
		p->uid = who.uid;
		p->gid = who.gid;
	}
	person_free(&who);
	return o;
}

static enum outcome
be_root(const struct premises *p, bool root, struct why *why)
{
	if (p->root && seteuid(root ? 0 : p->uid) < 0)
		return refuse(why, EX_OSERR, "cannot change between root and uid %lu: %s",
		    (unsigned long)p->uid, strerror(errno));
	return DONE;
}

/* Seen to be so. */
enum outcome
premises_settle(struct premises *p, struct why *why)
{
	if (!p->root)
		return DONE;
	/* From root's to the account's in one step, with nothing kept to go back by. */
	if (seteuid(0) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 ||
	    setresuid(p->uid, p->uid, p->uid) < 0)
		return refuse(why, EX_OSERR, "cannot become uid %lu: %s", (unsigned long)p->uid,
		    strerror(errno));
	if (getuid() != p->uid || geteuid() != p->uid || getgid() != p->gid || getegid() != p->gid ||
	    setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		return refuse(why, EX_OSERR, "this system does not let go of root; start subpostd as "
		    "uid %lu", (unsigned long)p->uid);
	p->root = false;
	return DONE;
}

/* ---- directories ---------------------------------------------------------------------------- */

static enum outcome
cannot_make(const char *path, struct why *why)
{
	return refuse(why, EX_CANTCREAT, "cannot make the directory %s: %s", codec_show(str_of(path)).p,
	    strerror(errno));
}

/* One that we have just made gets its rights, and its owner where it is the last.  The
 * name may be another's by now, who has the directory above it: never what that leads to. */
static int
furnish(const struct premises *p, const char *path, mode_t mode, bool last)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), saved;
	int r = fd >= 0 && fchmod(fd, mode) == 0 && (!last || fchown(fd, p->uid, p->gid) == 0) ? 0 : -1;

	saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return r;
}

/* path, and what is missing above it; what is new and the last is the account's. */
static enum outcome
make_directory(const struct premises *p, const char *path, mode_t mode, struct why *why)
{
	struct buf part = { 0 };
	enum outcome o = DONE;
	size_t len = strlen(path);

	for (size_t at = 1; at <= len && o == DONE; at++) {
		bool last = at == len;

		if (path[at] != '/' && !last)
			continue;
		buf_clear(&part);
		buf_add(&part, path, at);
		if (mkdir(part.p, last ? mode : 0755) < 0) {
			if (errno != EEXIST)
				o = cannot_make(part.p, why);
		} else if (furnish(p, part.p, last ? mode : 0755, last) < 0) {
			o = cannot_make(part.p, why);
		}
	}
	buf_free(&part);
	return o;
}

enum outcome
premises_make_directories(const struct premises *p, const struct config *c, struct why *why)
{
	const char *slash = strrchr(c->service.socket, '/');
	char *above = mem_dup(str_from(c->service.socket,
	    slash != NULL ? (size_t)(slash - c->service.socket) : 0));
	enum outcome o, back;
	struct why other;

	o = be_root(p, true, why);
	/* Without root's rights a queue is made by spool_open, and what is wrong with the
	 * socket's place is seen, and told, when the socket is made. */
	if (!p->root)
		make_directory(p, above, 0755, &other);
	else if (o == DONE && (o = make_directory(p, above, 0755, why)) == DONE)
		o = make_directory(p, c->directory, 0700, why);
	back = be_root(p, false, &other);
	if (o == DONE && (o = back) != DONE)
		*why = other;
	free(above);
	return o;
}

enum outcome
premises_lock(struct premises *p, const struct spool *s, struct why *why)
{
	const struct timespec pause = { 0, LOCK_PAUSE };

	/* A child of a service that was killed may hold it for a moment, until it has
	 * closed what is not its own. */
	for (int i = 0; i < LOCK_TRIES; i++) {
		p->lock = spool_lock_service(s);
		if (p->lock >= 0)
			return DONE;
		if (errno != EWOULDBLOCK)
			return later(why, SCOPE_NONE, "", "cannot lock %s/service: %s", s->path,
			    strerror(errno));
		nanosleep(&pause, NULL);
	}
	return later(why, SCOPE_NONE, "", "the queue %s has its service already; find it with: "
	    "fuser %s/service", s->path, s->path);
}

/* ---- the door --------------------------------------------------------------------------------- */

static bool
fill_address(struct sockaddr_un *address, const char *path)
{
	int n;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
	return n >= 0 && (size_t)n < sizeof address->sun_path;
}

/* Does anybody listen there?  A full house does too. */
static bool
is_answered(const char *path)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered = fd >= 0 && fill_address(&address, path) &&
	    (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return answered;
}

/* Made with the rights that it shall have: a name in a directory of the account's is not
 * one that root may follow to give it some. */
static int
bind_for_all(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(0111);
	int r = bind(fd, (const struct sockaddr *)address, sizeof *address);

	umask(before);
	return r;
}

/* The socket gets its name when it is ready in all: whoever finds it can call. */
static int
hang_door(struct premises *p, const char *path, const char *fresh)
{
	struct sockaddr_un address;
	struct stat st;

	fill_address(&address, fresh);
	unlink(fresh);
	p->door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->door < 0 || bind_for_all(p->door, &address) < 0)
		return -1;
	if (listen(p->door, BACKLOG) < 0 || lstat(fresh, &st) < 0 ||
	    rename(fresh, path) < 0) {
		int saved = errno;

		unlink(fresh);
		errno = saved;
		return -1;
	}
	p->name = st.st_ino;
	p->path = mem_dup(str_of(path));
	return 0;
}

static enum outcome
make_door(struct premises *p, const char *path, struct why *why)
{
	struct sockaddr_un address;
	struct buf fresh = { 0 };
	enum outcome o = DONE;

	buf_addf(&fresh, "%s.%ld", path, (long)getpid());
	if (!fill_address(&address, buf_c(&fresh)))
		o = refuse(why, EX_CONFIG, "the name of the socket is too long: %s; set [service] socket "
		    "to one of at most %zu octets", codec_show(str_of(path)).p,
		    sizeof address.sun_path - 12);
	else if (is_answered(path))
		o = later(why, SCOPE_NONE, "", "somebody listens at %s already; end that service first: "
		    "fuser %s", codec_show(str_of(path)).p, codec_show(str_of(path)).p);
	else if (hang_door(p, path, buf_c(&fresh)) < 0)
		o = refuse(why, EX_CANTCREAT, "cannot make the socket %s: %s; make its directory for the "
		    "account, or start subpostd as root", codec_show(str_of(path)).p, strerror(errno));
	buf_free(&fresh);
	return o;
}

void
premises_inherit(struct premises *p)
{
	p->door = manager_socket(SOCK_STREAM);
	p->inherited = p->door >= 0;
}

enum outcome
premises_open(struct premises *p, const char *path, struct why *why)
{
	enum outcome o;

	if (p->inherited) {
		if (fcntl(p->door, F_SETFL, O_NONBLOCK) < 0)
			return later(why, SCOPE_NONE, "", "the socket that was passed on cannot be used: %s",
			    strerror(errno));
	} else if ((o = be_root(p, true, why)) != DONE || (o = make_door(p, path, why)) != DONE) {
		return o;
	}
	desk_shield(p->door);
	return premises_settle(p, why);
}

void
premises_close_door(struct premises *p)
{
	struct stat st;

	if (p->path != NULL && lstat(p->path, &st) == 0 && st.st_ino == p->name)
		unlink(p->path);
	if (p->door >= 0)
		close(p->door);
	p->door = -1;
}

void
premises_leave(const struct premises *p)
{
	if (p->door >= 0)
		close(p->door);
	if (p->lock >= 0)
		close(p->lock);
}

void
premises_free(struct premises *p)
{
	premises_close_door(p);
	if (p->lock >= 0)
		close(p->lock);
	free(p->path);
	*p = (struct premises)PREMISES_INIT;
}
