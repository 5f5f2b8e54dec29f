/* roster: whoever dies is followed by another, and not at full speed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "errand.h"
#include "roster.h"

#define KILLED 9                        /* as waitpid says it: by signal 9, */
#define EXIT_75 (75 << 8)               /* ended with 75 */

/* A runner that waits to be told; what it says at its end is the test's to invent. */
static pid_t
start(struct roster *r)
{
	int starter;
	pid_t pid = roster_fork(r, &starter);

	if (pid == 0) {
		char octet;

		/* Until the other end is closed. */
		(void)!read(starter, &octet, 1);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void
end(struct roster *r, int status)
{
	pid_t pid = r->runner;

	roster_ended(r, pid, status);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
at_the_start_one_is_due(void **state)
{
	struct roster r = ROSTER_INIT;

	(void)state;
	assert_true(roster_wants_runner(&r, false));
	assert_false(roster_may_wake(&r));
	assert_true(roster_due_at(&r) > 0 && roster_due_at(&r) <= clock_now());
	start(&r);
	assert_false(roster_wants_runner(&r, true));
	assert_true(roster_due_at(&r) == 0);
	assert_false(roster_is_empty(&r));
	end(&r, 0);
	assert_true(roster_is_empty(&r));
	roster_free(&r);
	roster_free(&r);
}

static void
one_that_ended_well_is_followed_when_there_is_something_to_do(void **state)
{
	struct roster r = ROSTER_INIT;

	(void)state;
	start(&r);
	end(&r, 0);
	assert_int_equal(r.starter, -1);
	assert_true(roster_may_wake(&r));
	assert_false(roster_wants_runner(&r, false));
	assert_true(roster_wants_runner(&r, true));
	assert_true(roster_due_at(&r) == 0);
	roster_free(&r);
}

static void
pauses_double_to_a_minute(void **state)
{
	static const double pauses[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct roster r = ROSTER_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
		double before = clock_now();

		start(&r);
		end(&r, i % 2 == 0 ? KILLED : EXIT_75);
		/* Whatever there is to do. */
		assert_false(roster_wants_runner(&r, true));
		assert_false(roster_may_wake(&r));
		assert_true(roster_due_at(&r) >= before + pauses[i]);
		assert_true(roster_due_at(&r) <= clock_now() + pauses[i]);
	}
	/* One that works ends it. */
	start(&r);
	end(&r, 0);
	start(&r);
	end(&r, KILLED);
	assert_true(roster_due_at(&r) <= clock_now() + 1);
	/* And one that worked for long before it died. */
	start(&r);
	r.since -= 3600;
	end(&r, KILLED);
	assert_true(roster_due_at(&r) <= clock_now() + 1);
	roster_free(&r);
}

static void
a_new_configuration_needs_a_new_runner_at_once(void **state)
{
	struct roster r = ROSTER_INIT;

	(void)state;
	roster_dismiss(&r, true);
	assert_true(r.retry && roster_wants_runner(&r, false));
	start(&r);
	assert_false(r.retry);
	roster_dismiss(&r, true);
	assert_true(r.retry);
	assert_false(roster_wants_runner(&r, true));
	end(&r, 0);
	assert_true(r.retry && roster_wants_runner(&r, false));
	/* And is not kept waiting by those that died before. */
	start(&r);
	end(&r, KILLED);
	assert_false(roster_wants_runner(&r, true));
	roster_dismiss(&r, true);
	assert_true(roster_wants_runner(&r, false));
	roster_free(&r);
}

static void
one_that_is_sent_away_is_told_by_a_signal(void **state)
{
	struct roster r = ROSTER_INIT;
	int status;
	pid_t pid;

	(void)state;
	pid = start(&r);
	roster_dismiss(&r, false);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	roster_ended(&r, pid, 0);
	assert_false(roster_wants_runner(&r, false));
	roster_free(&r);
}

/* One who has taken a runner over can ask for couriers as fast as he likes. */
static void
where_there_are_as_many_couriers_as_there_may_be_the_next_is_refused_at_once(void **state)
{
	struct roster r = ROSTER_INIT;
	struct errand_ends ends = { 0 };
	int fd = -1, pair[2], status;
	pid_t asker;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	asker = fork();
	if (asker == 0) {
		alarm(10);
		_exit(errand_ask(pair[1], &ends, &fd) == -1 && errno == EBUSY ? 0 : 1);
	}
	r.starter = pair[0];
	r.ncouriers = ROSTER_COURIERS;
	assert_int_equal(poll(&(struct pollfd){ .fd = pair[0], .events = POLLIN }, 1, 10000), 1);
	roster_serve(&r);
	assert_int_equal(r.ncouriers, ROSTER_COURIERS);
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_int_equal(status, 0);
	r.ncouriers = 0;
	close(pair[1]);
	roster_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_start_one_is_due),
		cmocka_unit_test(one_that_ended_well_is_followed_when_there_is_something_to_do),
		cmocka_unit_test(pauses_double_to_a_minute),
		cmocka_unit_test(a_new_configuration_needs_a_new_runner_at_once),
		cmocka_unit_test(one_that_is_sent_away_is_told_by_a_signal),
		cmocka_unit_test(where_there_are_as_many_couriers_as_there_may_be_the_next_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
