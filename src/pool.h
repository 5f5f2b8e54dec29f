/* pool: the couriers at work: for which account each, what it has been given, and how it
 * comes and goes. */
#ifndef POOL_H
#define POOL_H

#include <sys/types.h>

#include "account.h"
#include "errand.h"
#include "job.h"

/* That run at once, at most; the service starts as many (roster.h). */
#define POOL_MAX 64

struct courier {
	pid_t pid;              /* 0: it has ended */
	int fd;
	struct account *account;        /* borrowed */
	struct order order;     /* what it was begun with */
	bool ready;
	bool quitting;
	bool told;              /* it has reported something, */
	bool worked;            /* and carried a message */
	bool renews;            /* its token was refused, and the next one gets another */
	bool stale;             /* started with an older configuration */
	unsigned given;         /* jobs */
	double idle_since;      /* ready, and without a job */
	struct job *jobs;       /* in the order in which they were given */
	unsigned n, room;
};

struct pool {
	int starter;            /* where couriers are asked for; -1: we start them */
	struct errand_ends ends;
	struct courier **v;
	size_t n;
};
void pool_free(struct pool *p);

/* Starts one, for the first server of the account that may be called; NULL with errno
 * (errand_ask). */
struct courier *pool_start(struct pool *p, struct account *a, const char *key, time_t now);
/* Is there such a server, for one more?  Where nobody works for the account, and it may be
 * called, there is. */
bool pool_has_server(const struct pool *p, const struct account *a, time_t now);
/* How one has ended whose end of the errand is closed, as waitpid tells.  False when the
 * service is gone: nobody learns that any more, and it is as if it had been killed. */
bool pool_bury(struct pool *p, struct courier *c, int *status);
/* Forgets those that have ended. */
void pool_clear(struct pool *p);

/* How many work for that account, those that are about to leave left out; those of them
 * that are ready, with that server; their jobs with that server (SERVERS_MAX: with any). */
unsigned pool_count(const struct pool *p, const struct account *a);
unsigned pool_count_ready(const struct pool *p, const struct account *a, unsigned server);
unsigned pool_count_jobs(const struct pool *p, const struct account *a, unsigned server);

struct job *courier_job(struct courier *c, const char *id);
/* Out of its jobs, into *out. */
void courier_take(struct courier *c, struct job *j, struct job *out);
/* Says QUIT when it has done what it has. */
void courier_quit(struct courier *c);

#endif
