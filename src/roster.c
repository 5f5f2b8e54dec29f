#include "roster.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "errand.h"
#include "log.h"

#define BACK_OFF_MAX 60         /* seconds at most until a runner that died is followed */

bool
roster_wants_runner(const struct roster *r, bool woken)
{
	if (r->runner > 0)
		return false;
	return r->due ? clock_now() >= r->due_at : woken;
}

bool
roster_may_wake(const struct roster *r)
{
	return r->runner == 0 && !r->due;
}

double
roster_due_at(const struct roster *r)
{
	if (!r->due || r->runner > 0)
		return 0;
	return r->due_at > 0 ? r->due_at : clock_now();
}

/* Whoever has worked for longer than the longest pause begins anew. */
static void
back_off(struct roster *r)
{
	double pause = 1;

	if (clock_now() - r->since > BACK_OFF_MAX)
		r->failures = 0;
	for (unsigned i = 0; i < r->failures && pause < BACK_OFF_MAX; i++)
		pause *= 2;
	r->failures++;
	r->due = true;
	r->due_at = clock_now() + (pause < BACK_OFF_MAX ? pause : BACK_OFF_MAX);
}

pid_t
roster_fork(struct roster *r, int *starter)
{
	int pair[2] = { -1, -1 };
	pid_t pid = -1;

	r->since = clock_now();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0)
		pid = fork();
	if (pid == 0) {
		close(pair[0]);
		*starter = pair[1];
		return 0;
	}
	if (pid < 0) {
		log_event(LOG_ERR, "cannot-start", "what", "runner", "reason", strerror(errno), NULL);
		if (pair[0] >= 0)
			close(pair[0]);
		back_off(r);
	} else {
		r->runner = pid;
		r->starter = pair[0];
		r->due = r->retry = false;
		r->due_at = 0;
	}
	if (pair[1] >= 0)
		close(pair[1]);
	return pid;
}

void
roster_dismiss(struct roster *r, bool renew)
{
	if (renew) {
		r->due = r->retry = true;
		r->due_at = 0;
	}
	if (r->runner > 0)
		kill(r->runner, SIGTERM);
}

static void
lose_starter(struct roster *r)
{
	if (r->starter >= 0)
		close(r->starter);
	r->starter = -1;
	for (size_t i = 0; i < r->ncouriers; i++)
		r->couriers[i].ours = false;
}

void
roster_serve(struct roster *r)
{
	pid_t pid = errand_serve(r->starter, r->ncouriers < ROSTER_COURIERS);

	if (pid < 0)
		lose_starter(r);
	if (pid <= 0)
		return;
	r->couriers = mem_more(r->couriers, r->ncouriers, sizeof *r->couriers);
	r->couriers[r->ncouriers++] = (struct roster_courier){ pid, true };
}

static void
end_runner(struct roster *r, int status)
{
	char signal_number[12] = "", exit_status[12] = "";

	r->runner = 0;
	lose_starter(r);
	if (status == 0) {
		r->failures = 0;
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(signal_number, sizeof signal_number, "%d", WTERMSIG(status));
	else
		snprintf(exit_status, sizeof exit_status, "%d", WEXITSTATUS(status));
	log_event(LOG_ERR, "runner-died", "signal", signal_number, "status", exit_status, NULL);
	back_off(r);
}

void
roster_ended(struct roster *r, pid_t pid, int status)
{
	if (pid == r->runner) {
		end_runner(r, status);
		return;
	}
	for (size_t i = 0; i < r->ncouriers; i++) {
		if (r->couriers[i].pid != pid)
			continue;
		if (r->couriers[i].ours)
			errand_tell_end(r->starter, pid, status);
		r->couriers[i] = r->couriers[--r->ncouriers];
		return;
	}
}

bool
roster_is_empty(const struct roster *r)
{
	return r->runner == 0 && r->ncouriers == 0;
}

void
roster_abandon(const struct roster *r)
{
	if (r->starter >= 0)
		close(r->starter);
}

void
roster_free(struct roster *r)
{
	lose_starter(r);
	free(r->couriers);
	*r = (struct roster)ROSTER_INIT;
}
