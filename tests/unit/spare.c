#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spare.h"

/* A clerk who writes "x" to his caller; 7: he has been told that there will be none. */
static pid_t
make(struct spare *s)
{
	int end, fd;
	pid_t pid = spare_fork(s, &end);

	if (pid == 0) {
		fd = spare_await(end);
		_exit(fd < 0 ? 7 : write(fd, "x", 1) == 1 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 1);
	}
	return pid;
}

static int
end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void
the_next_caller_is_the_spare_clerks(void **state)
{
	struct spare s = SPARE_INIT;
	int ends[2];
	pid_t pid = make(&s);
	char c = 0;

	(void)state;
	assert_true(pid > 0);
	assert_int_equal(s.pid, pid);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(spare_hand(&s, ends[0]), pid);
	assert_int_equal(s.pid, 0);
	assert_int_equal(s.fd, -1);
	close(ends[0]);
	assert_int_equal(read(ends[1], &c, 1), 1);
	assert_int_equal(c, 'x');
	assert_int_equal(end_of(pid), 0);
	/* Nobody else holds it any more. */
	assert_int_equal(read(ends[1], &c, 1), 0);
	close(ends[1]);
}

static void
who_is_not_there_gets_nobody(void **state)
{
	struct spare s = SPARE_INIT;
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(spare_hand(&s, ends[0]), 0);
	pid = make(&s);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(end_of(pid), -SIGKILL);
	assert_int_equal(spare_hand(&s, ends[0]), 0);
	assert_int_equal(s.pid, 0);
	close(ends[0]);
	close(ends[1]);
}

static void
one_who_is_not_needed_leaves(void **state)
{
	struct spare s = SPARE_INIT;
	pid_t pid = make(&s);

	(void)state;
	spare_dismiss(&s);
	assert_int_equal(end_of(pid), 7);
	spare_dismiss(&s);
	assert_int_equal(s.fd, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_caller_is_the_spare_clerks),
		cmocka_unit_test(who_is_not_there_gets_nobody),
		cmocka_unit_test(one_who_is_not_needed_leaves),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
