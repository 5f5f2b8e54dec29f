#include "pool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_AHEAD 4            /* so that the next message need not wait for us; */
#define JOBS_BEHIND 2           /* with a deeper pipeline: as many more than are under way */

static void
free_courier(struct courier *c)
{
	for (unsigned i = 0; i < c->n; i++)
		job_free(&c->jobs[i]);
	free(c->jobs);
	free(c);
}

void
pool_free(struct pool *p)
{
	for (size_t i = 0; i < p->n; i++)
		free_courier(p->v[i]);
	free(p->v);
	errand_ends_free(&p->ends);
	*p = (struct pool){ .starter = -1 };
}

/* Does nobody else of the account try a secret that may be wrong just now? */
static bool
is_alone(const struct pool *p, const struct account *a)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct courier *c = p->v[i];

		if (c->pid != 0 && c->account == a && c->order.alone && !c->ready)
			return false;
	}
	return true;
}

static bool
works_for(const struct courier *c, const struct account *a)
{
	return c->pid != 0 && c->account == a && !c->quitting && !c->stale;
}

/* The servers that one of them calls, a bit each. */
static unsigned
busy_servers(const struct pool *p, const struct account *a)
{
	unsigned busy = 0;

	for (size_t i = 0; i < p->n; i++)
		if (works_for(p->v[i], a))
			busy |= 1u << p->v[i]->order.server;
	return busy;
}

bool
pool_has_server(const struct pool *p, const struct account *a, time_t now)
{
	return account_server(a, busy_servers(p, a), now) >= 0;
}

struct courier *
pool_start(struct pool *p, struct account *a, const char *key, time_t now)
{
	unsigned depth = account_host(a)->pipeline_depth;
	int server = account_server(a, busy_servers(p, a), now), fd = -1;
	struct courier *c;
	pid_t pid;

	errno = EBUSY;
	if (server < 0)
		return NULL;
	pid = p->starter >= 0 ? errand_ask(p->starter, &p->ends, &fd) : errand_start(&fd, NULL);
	if (pid < 0)
		return NULL;
	c = mem_alloc(sizeof *c);
	*c = (struct courier){ .pid = pid, .fd = fd, .account = a };
	/* A window that comes back shall find the next one here. */
	c->room = depth > 1 ? 2 * depth + JOBS_BEHIND : JOBS_AHEAD;
	c->jobs = mem_alloc(c->room * sizeof *c->jobs);
	account_called(a);
	account_order(a, (unsigned)server, is_alone(p, a), key, now, &c->order);
	errand_begin(fd, &c->order);
	p->v = mem_more(p->v, p->n, sizeof(struct courier *));
	p->v[p->n++] = c;
	return c;
}

bool
pool_bury(struct pool *p, struct courier *c, int *status)
{
	bool told = true;

	close(c->fd);
	*status = SIGKILL;
	if (p->starter >= 0)
		told = errand_await_end(p->starter, &p->ends, c->pid, status);
	else
		while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
			continue;
	c->pid = 0;
	return told;
}

void
pool_clear(struct pool *p)
{
	size_t left = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i]->pid != 0)
			p->v[left++] = p->v[i];
		else
			free_courier(p->v[i]);
	}
	p->n = left;
}

unsigned
pool_count(const struct pool *p, const struct account *a)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += works_for(p->v[i], a);
	return n;
}

unsigned
pool_count_ready(const struct pool *p, const struct account *a, unsigned server)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += works_for(p->v[i], a) && p->v[i]->ready && p->v[i]->order.server == server;
	return n;
}

unsigned
pool_count_jobs(const struct pool *p, const struct account *a, unsigned server)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct courier *c = p->v[i];

		if (c->account == a && (server == SERVERS_MAX || server == c->order.server))
			n += c->n;
	}
	return n;
}

struct job *
courier_job(struct courier *c, const char *id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->jobs[i].letter.envelope.id, id) == 0)
			return &c->jobs[i];
	return NULL;
}

void
courier_take(struct courier *c, struct job *j, struct job *out)
{
	*out = *j;
	c->n--;
	for (unsigned i = (unsigned)(j - c->jobs); i < c->n; i++)
		c->jobs[i] = c->jobs[i + 1];
	c->jobs[c->n] = (struct job)JOB_INIT;
}

void
courier_quit(struct courier *c)
{
	c->quitting = true;
	errand_quit(c->fd);
}
