#include "wake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "manager.h"

#ifndef SUBPOST_SBINDIR
#define SUBPOST_SBINDIR "/usr/local/sbin"
#endif
#ifndef SUBPOST_LIBEXECDIR
#define SUBPOST_LIBEXECDIR "/usr/local/libexec/subpost"
#endif

#define FULL_TRIES 150          /* more words for a runner that has too many of them, */
#define FULL_PAUSE (20 * 1000 * 1000)   /* so many ns apart: three seconds in all */

extern char **environ;

/* ---- the datagram ------------------------------------------------------ */

/* A path too long for a socket's address is reached through the directory's
 * descriptor; everything else by name, since /proc may be missing. */
static bool
fill_address(struct sockaddr_un *address, const char *path, int dir)
{
	int n;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
	if (n >= 0 && (size_t)n < sizeof address->sun_path)
		return true;
	if (dir < 0)
		return false;
	snprintf(address->sun_path, sizeof address->sun_path, "%s/runner", file_fd_path(dir).p);
	return true;
}

char *
wake_path(const struct spool *s)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/runner", s->path);
	return path.p;
}

int
wake_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum wake_sent
send_to(int fd, const char *path, int dir, struct str words)
{
	struct sockaddr_un address;

	if (!fill_address(&address, path, dir))
		return WAKE_NOBODY;
	if (sendto(fd, words.p, words.len, MSG_NOSIGNAL, (struct sockaddr *)&address,
	    sizeof address) >= 0)
		return WAKE_SENT;
	/* The runner does not read fast enough; it drains, then scans. */
	return errno == EAGAIN || errno == ENOBUFS ? WAKE_FULL : WAKE_NOBODY;
}

enum wake_sent
wake_send_on(int fd, const char *path, struct str words)
{
	return send_to(fd, path, -1, words);
}

bool
wake_is_read(int fd)
{
	int unread = 0;

	/* For a datagram socket of this family: octets that lie at the other end. */
	return ioctl(fd, SIOCOUTQ, &unread) == 0 && unread == 0;
}

void
wake_put_arrival(struct buf *words, const char *id, uid_t uid, int priority)
{
	buf_addf(words, "wake %s %lu", id, (unsigned long)uid);
	if (priority != 0)
		buf_addf(words, " %d", priority);
}

enum wake_sent
wake_send(const struct spool *s, struct str words)
{
	char *path = wake_path(s);
	int fd = wake_socket();
	enum wake_sent sent = WAKE_NOBODY;

	if (fd >= 0) {
		sent = send_to(fd, path, s->dir, words);
		close(fd);
	}
	free(path);
	return sent;
}

/* ---- the runner's end --------------------------------------------------- */

bool
wake_inherit(struct wake *w)
{
	int fd = manager_socket(SOCK_DGRAM);

	*w = (struct wake){ .fd = fd, .inherited = fd >= 0 };
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd >= 0;
}

int
wake_bind(const struct spool *s, struct wake *w)
{
	struct sockaddr_un address;
	struct stat st;
	char *path;
	int saved;

	if (w->inherited)
		return 0;
	w->fd = wake_socket();
	if (w->fd < 0)
		return -1;
	path = wake_path(s);
	fill_address(&address, path, s->dir);
	free(path);
	/* Ours is the lock, so what lies there is a dead runner's. */
	unlinkat(s->dir, "runner", 0);
	if (bind(w->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    fstatat(s->dir, "runner", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		saved = errno;
		wake_close(w);
		errno = saved;
		return -1;
	}
	w->name = st.st_ino;
	return 0;
}

void
wake_hide(const struct spool *s, const struct wake *w)
{
	struct stat st;

	if (w->inherited || w->fd < 0)
		return;
	if (fstatat(s->dir, "runner", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == w->name)
		unlinkat(s->dir, "runner", 0);
	/* Who has connected by now gets EPIPE, as he would after the close; what he
	 * sent before can still be read. */
	shutdown(w->fd, SHUT_RD);
}

void
wake_close(struct wake *w)
{
	if (w->inherited || w->fd < 0)
		return;
	close(w->fd);
	w->fd = -1;
}

bool
wake_receive(int fd, struct buf *words)
{
	ssize_t n;

	buf_clear(words);
	buf_reserve(words, WAKE_WORDS_MAX);
	do
		n = recv(fd, words->p, WAKE_WORDS_MAX, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return false;
	words->len = (size_t)n;
	words->p[n] = '\0';
	return true;
}

/* ---- starting one ------------------------------------------------------- */

static const struct {
	const char *name;
	const char *dir;
} programs[] = {
	{ "subpostd", SUBPOST_SBINDIR },
	{ "subpost-courier", SUBPOST_LIBEXECDIR },
};

void
wake_find_program(const char *name, struct buf *out)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	size_t start = out->len;
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		buf_addf(out, "%.*s/%s", slash != NULL ? (int)(slash - self) : 0, self, name);
		if (access(out->p + start, X_OK) == 0)
			return;
		out->len = start;
		out->p[start] = '\0';
	}
	for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
		if (strcmp(programs[i].name, name) == 0)
			buf_addf(out, "%s/%s", programs[i].dir, name);
}

static bool
is_kept(const char *entry)
{
	static const char *const kept[] = { "HOME=", "PATH=", "LANG=", "TZ=", "SUBPOST_CONFIG=",
		"DBUS_SESSION_BUS_ADDRESS=", "GNUPGHOME=", "PASSWORD_STORE_DIR=", "SSH_AUTH_SOCK=",
		"LISTEN_PID=", "LISTEN_FDS=" };

	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
		if (strncmp(entry, kept[i], strlen(kept[i])) == 0)
			return true;
	/* XDG_* ends at its '=', whatever its name is. */
	return strncmp(entry, "XDG_", 4) == 0;
}

void
wake_clean_environment(void)
{
	const char *config = getenv("SUBPOST_CONFIG");
	char *absolute = config != NULL ? realpath(config, NULL) : NULL;
	char **to;

	if (absolute != NULL)
		setenv("SUBPOST_CONFIG", absolute, 1);
	free(absolute);
	to = environ;
	for (char **from = environ; from != NULL && *from != NULL; from++)
		if (is_kept(*from))
			*to++ = *from;
	if (to != NULL)
		*to = NULL;
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 0);
}

/* What a caller may have set up for itself is not for a process that outlives it. */
static void
detach(void)
{
	static const int limits[] = { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC };
	struct itimerval off = { { 0, 0 }, { 0, 0 } };
	struct rlimit limit;
	sigset_t none;
	int null;

	setsid();
	if (chdir("/") < 0)
		_exit(EX_OSERR);
	umask(077);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setitimer(ITIMER_REAL, &off, NULL);
	setitimer(ITIMER_VIRTUAL, &off, NULL);
	setitimer(ITIMER_PROF, &off, NULL);
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		if (getrlimit((__rlimit_resource_t)limits[i], &limit) < 0)
			continue;
		limit.rlim_cur = limit.rlim_max;
		setrlimit((__rlimit_resource_t)limits[i], &limit);
	}
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		_exit(EX_OSERR);
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			_exit(EX_OSERR);
	/* All others were opened close-on-exec by us; the caller's are not ours to keep. */
	if (close_range(3, ~0u, 0) < 0)
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
}

static enum outcome
start_runner(const char *option, struct why *why)
{
	struct buf program = { 0 };
	pid_t pid;

	wake_find_program("subpostd", &program);
	if (access(buf_c(&program), X_OK) < 0) {
		enum outcome o = later(why, SCOPE_NONE, "", "the message is queued, but nothing can send "
		    "it: %s: %s; install subpost whole", buf_c(&program), strerror(errno));

		buf_free(&program);
		return o;
	}
	pid = fork();
	if (pid == 0) {
		wake_clean_environment();
		detach();
		execl(program.p, "subpostd", option, (char *)NULL);
		_exit(EX_OSFILE);
	}
	buf_free(&program);
	if (pid < 0)
		return later(why, SCOPE_NONE, "", "the message is queued, but subpostd cannot be "
		    "started: %s; type later: subpost retry all", strerror(errno));
	return DONE;
}

enum wake_sent
wake_insist(const struct spool *s, struct str words)
{
	const struct timespec pause = { 0, FULL_PAUSE };
	enum wake_sent sent = wake_send(s, words);

	for (int i = 0; sent == WAKE_FULL && i < FULL_TRIES; i++) {
		nanosleep(&pause, NULL);
		sent = wake_send(s, words);
	}
	return sent;
}

enum outcome
wake_runner(const struct spool *s, struct str words, bool retry, struct why *why)
{
	const char *option = !retry ? NULL : str_is(words, "retry force") ? "--force" : "--retry";
	enum wake_sent sent = retry ? wake_insist(s, words) : wake_send(s, words);

	if (sent == WAKE_FULL && retry)
		return later(why, SCOPE_NONE, "", "the queue's runner does not listen; it may be stopped, "
		    "find it with: fuser %s/lock", s->path);
	return sent == WAKE_NOBODY ? start_runner(option, why) : DONE;
}
