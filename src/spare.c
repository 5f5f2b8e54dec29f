#include "spare.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for one descriptor, aligned as a header of such a message must be. */
union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

pid_t
spare_fork(struct spare *s, int *end)
{
	int ends[2], saved;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	s->pid = fork();
	saved = errno;
	close(ends[s->pid == 0 ? 0 : 1]);
	if (s->pid == 0) {
		*end = ends[1];
		return 0;
	}
	s->fd = ends[0];
	if (s->pid < 0) {
		spare_dismiss(s);
		errno = saved;
		return -1;
	}
	return s->pid;
}

pid_t
spare_hand(struct spare *s, int fd)
{
	char octet = 0;
	struct iovec one = { &octet, 1 };
	union control control = { 0 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof control.room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	pid_t pid = s->pid;

	if (pid == 0)
		return 0;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	if (sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		pid = 0;
	spare_dismiss(s);
	return pid;
}

void
spare_dismiss(struct spare *s)
{
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct spare)SPARE_INIT;
}

void
spare_abandon(const struct spare *s)
{
	if (s->fd >= 0)
		close(s->fd);
}

int
spare_await(int end)
{
	char octet;
	struct iovec one = { &octet, 1 };
	union control control;
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof control.room };
	const struct cmsghdr *c;
	int fd = -1;
	ssize_t n;

	do
		n = recvmsg(end, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	close(end);
	return fd;
}
