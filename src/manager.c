#include "manager.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"

#define LISTEN_FD 3             /* where a service manager puts the first socket */
#define TELL_TIME 2             /* seconds that a manager who does not listen costs us */

/* Where it wants to hear of us, once the environment has forgotten. */
static char *listener;

static bool
has_option(int fd, int option, int want)
{
	int value;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == want;
}

int
manager_socket(int type)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	char self[24];

	snprintf(self, sizeof self, "%ld", (long)getpid());
	if (pid == NULL || fds == NULL || strcmp(pid, self) != 0 || strcmp(fds, "1") != 0)
		return -1;
	/* Only of a Unix socket does the kernel say who is at its other end. */
	if (!has_option(LISTEN_FD, SO_DOMAIN, AF_UNIX) || !has_option(LISTEN_FD, SO_TYPE, type) ||
	    (type == SOCK_STREAM && !has_option(LISTEN_FD, SO_ACCEPTCONN, 1)) ||
	    fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return LISTEN_FD;
}

void
manager_tell(const char *words)
{
	const char *path = listener != NULL ? listener : getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = TELL_TIME };
	size_t len;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    (len = strlen(path)) >= sizeof address.sun_path)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	memcpy(address.sun_path, path, len);
	/* A name without a file: it begins with a zero octet, and ends where it ends. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (sendto(fd, words, strlen(words), MSG_NOSIGNAL, (const struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		/* Whoever wants to hear it and does not: there is no other way to tell. */
	}
	close(fd);
}

void
manager_forget(void)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC" };
	const char *path = getenv("NOTIFY_SOCKET");

	if (path != NULL) {
		free(listener);
		listener = mem_dup(str_of(path));
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unsetenv(names[i]);
}
