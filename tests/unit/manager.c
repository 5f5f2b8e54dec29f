/* manager: what a service manager holds for us is taken, and it hears of us. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "manager.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The body of a promise that needs a process of its own: 0 is kept. */
static int
in_a_child(int (*body)(const void *row), const void *row)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(body(row));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- sockets ---- */

struct passed {
	int domain, type;
	bool listens;
	const char *pid, *fds;          /* pid NULL: our own */
	int asked;
	bool taken;
};

static int
take(const void *row)
{
	const struct passed *p = row;
	char self[24];
	int fd = -1;

	snprintf(self, sizeof self, "%ld", (long)getpid());
	setenv("LISTEN_PID", p->pid != NULL ? p->pid : self, 1);
	setenv("LISTEN_FDS", p->fds, 1);
	close(3);
	if (p->type != 0 && (fd = socket(p->domain, p->type, 0)) < 0)
		return 10;
	if (fd >= 0 && fd != 3 && dup2(fd, 3) != 3)
		return 11;
	if (p->listens && listen(3, 1) < 0) {
		struct sockaddr_un nameless = { .sun_family = AF_UNIX };

		/* Autobind. */
		if (bind(3, (struct sockaddr *)&nameless, sizeof(sa_family_t)) < 0 || listen(3, 1) < 0)
			return 12;
	}
	fd = manager_socket(p->asked);
	if (fd != (p->taken ? 3 : -1))
		return 13;
	return p->taken && fcntl(3, F_GETFD) != FD_CLOEXEC ? 14 : 0;
}

static void
a_socket_is_taken_that_is_ours_and_of_that_type(void **state)
{
	static const struct passed rows[] = {
		{ AF_UNIX, SOCK_DGRAM, false, NULL, "1", SOCK_DGRAM, true },
		{ AF_UNIX, SOCK_STREAM, true, NULL, "1", SOCK_STREAM, true },
		/* Of another type, or one that nobody can call. */
		{ AF_UNIX, SOCK_STREAM, true, NULL, "1", SOCK_DGRAM, false },
		{ AF_UNIX, SOCK_DGRAM, false, NULL, "1", SOCK_STREAM, false },
		{ AF_UNIX, SOCK_STREAM, false, NULL, "1", SOCK_STREAM, false },
		{ AF_UNIX, SOCK_SEQPACKET, true, NULL, "1", SOCK_STREAM, false },
		/* Of another family: the kernel would not say who calls. */
		{ AF_INET, SOCK_STREAM, true, NULL, "1", SOCK_STREAM, false },
		{ AF_INET, SOCK_DGRAM, false, NULL, "1", SOCK_DGRAM, false },
		/* Of somebody else, too many, none. */
		{ AF_UNIX, SOCK_DGRAM, false, "1", "1", SOCK_DGRAM, false },
		{ AF_UNIX, SOCK_DGRAM, false, "", "1", SOCK_DGRAM, false },
		{ AF_UNIX, SOCK_DGRAM, false, NULL, "2", SOCK_DGRAM, false },
		{ AF_UNIX, SOCK_DGRAM, false, NULL, "0", SOCK_DGRAM, false },
		{ AF_UNIX, SOCK_DGRAM, false, NULL, "", SOCK_DGRAM, false },
		{ 0, 0, false, NULL, "1", SOCK_STREAM, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int status = in_a_child(take, &rows[i]);

		if (status != 0)
			fail_msg("row %zu: %d", i, status);
	}
}

static int
take_none(const void *row)
{
	(void)row;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	return manager_socket(SOCK_DGRAM) == -1 && manager_socket(SOCK_STREAM) == -1 ? 0 : 1;
}

static void
without_a_manager_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(take_none, NULL), 0);
}

/* ---- words ---- */

/* A manager that listens, at a name of its own; "@..." where it has no file. */
static int
listen_at(const char *name, struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, name, strlen(name));
	if (name[0] == '@')
		address->sun_path[0] = '\0';
	if (bind(fd, (struct sockaddr *)address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -1;
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static bool
heard(int fd, const char *words)
{
	char got[256];
	ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);

	return n == (ssize_t)strlen(words) && memcmp(got, words, strlen(words)) == 0;
}

static int
tell(const void *row)
{
	const char *form = row;
	struct sockaddr_un address;
	char name[100];
	int fd;

	snprintf(name, sizeof name, "%s-%ld", form, (long)getpid());
	fd = listen_at(name, &address);
	if (fd < 0)
		return 1;
	manager_tell("READY=1\nSTATUS=waiting");
	if (!heard(fd, "READY=1\nSTATUS=waiting"))
		return 2;
	manager_forget();
	if (getenv("NOTIFY_SOCKET") != NULL)
		return 3;
	manager_tell("STOPPING=1");
	if (!heard(fd, "STOPPING=1") || heard(fd, ""))
		return 4;
	if (name[0] == '/')
		unlink(name);
	return 0;
}

static void
a_manager_hears_us_also_when_the_environment_has_forgotten_it(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(tell, "/tmp/subpost-manager"), 0);
	assert_int_equal(in_a_child(tell, "@subpost-manager"), 0);
}

static int
tell_nobody(const void *row)
{
	const char *name = row;
	double begun = clock_now();

	if (name != NULL)
		setenv("NOTIFY_SOCKET", name, 1);
	else
		unsetenv("NOTIFY_SOCKET");
	manager_tell("READY=1");
	manager_forget();
	manager_tell("READY=1");
	return clock_now() - begun < 1 ? 0 : 1;
}

static void
where_nobody_listens_nothing_happens(void **state)
{
	static const char *const names[] = { NULL, "", "/", "@", "/nowhere/at/all", "relative", "vsock:2:1234",
		"/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789"
		"/0123456789/0123456789/0123456789" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(in_a_child(tell_nobody, names[i]), 0);
}

/* Its queue is full and it reads nothing: seconds, and not for ever. */
static int
tell_the_deaf(const void *row)
{
	struct sockaddr_un address;
	char name[100];
	int fd, from = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), sent = 0;

	(void)row;
	snprintf(name, sizeof name, "@subpost-deaf-%ld", (long)getpid());
	fd = listen_at(name, &address);
	if (fd < 0)
		return 1;
	while (sendto(from, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 1 && sent < 100000)
		sent++;
	alarm(20);
	manager_tell("READY=1");
	return sent > 0 && sent < 100000 ? 0 : 2;
}

static void
a_manager_that_does_not_read_holds_nobody_up_for_long(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(tell_the_deaf, NULL), 0);
}

static int
forget(const void *row)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
		"WATCHDOG_PID", "WATCHDOG_USEC" };

	(void)row;
	setenv("LISTENER", "kept", 1);
	for (size_t i = 0; i < COUNT(names); i++)
		setenv(names[i], "1", 1);
	manager_forget();
	manager_forget();
	for (size_t i = 0; i < COUNT(names); i++)
		if (getenv(names[i]) != NULL)
			return (int)i + 1;
	return getenv("LISTENER") != NULL ? 0 : 20;
}

static void
no_child_takes_itself_for_the_one_who_was_started(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(forget, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_is_taken_that_is_ours_and_of_that_type),
		cmocka_unit_test(without_a_manager_there_is_none),
		cmocka_unit_test(a_manager_hears_us_also_when_the_environment_has_forgotten_it),
		cmocka_unit_test(where_nobody_listens_nothing_happens),
		cmocka_unit_test(a_manager_that_does_not_read_holds_nobody_up_for_long),
		cmocka_unit_test(no_child_takes_itself_for_the_one_who_was_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
