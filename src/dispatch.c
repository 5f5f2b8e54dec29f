#include "dispatch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "trace.h"

#define CRASHES_MAX 3           /* couriers that one message may take with it */
#define BETWEEN_MAX (5 * 1000000)       /* microseconds that a connection waits for the next
                                         * message's moment, where there is a rate */
/* Messages that each connection must have before it another one is begun: the beginning of
 * one, with STARTTLS and a login, takes as long as so many. */
#define BEGINNING 8
#define FULL_PAUSE 1            /* seconds, where there are as many couriers as there may be */

void
dispatch_load(struct dispatch *d)
{
	sorting_load(&d->sorting);
	health_key(d->sorting.spool, d->key);
}

void
dispatch_free(struct dispatch *d)
{
	pool_free(&d->pool);
	sorting_free(&d->sorting);
}

void
dispatch_renew(struct dispatch *d)
{
	sorting_renew(&d->sorting);
	for (size_t i = 0; i < d->pool.n; i++)
		d->pool.v[i]->stale = true;
}

void
dispatch_lift(struct dispatch *d, bool force)
{
	for (unsigned i = 0; i < d->sorting.naccounts; i++) {
		account_lift_back_off(d->sorting.accounts[i]);
		d->sorting.accounts[i]->force = force;
	}
}

/* ---- when ---------------------------------------------------------------------------- */

static bool
may_call(const struct dispatch *d, const struct account *a, time_t now)
{
	return !d->leaving && !a->gone && !sorting_is_stuck(&d->sorting) &&
	    account_not_before(a, now) == 0 && account_pause(a) == 0;
}

bool
dispatch_is_open(const struct dispatch *d, time_t now)
{
	for (unsigned i = 0; i < d->sorting.naccounts; i++) {
		const struct account *a = d->sorting.accounts[i];

		/* Where there is a rate, it may be hours until it is read. */
		if (!may_call(d, a, now) || account_host(a)->rate.n != 0)
			return false;
	}
	return true;
}

/* Jobs ahead of the one under way, where there is a rate: what a server holds up for a
 * twentieth of a second is not to leave in a heap afterwards. */
static unsigned
ahead_at(const struct rate *r)
{
	return r->n > 0 ? r->n / r->seconds / 20 : UINT_MAX;
}

static bool
may_give(const struct dispatch *d, const struct courier *c, time_t now)
{
	const struct account *a = c->account;

	/* An open connection is no reason to ask an account that has just refused. */
	if (c->pid == 0 || !c->ready || c->quitting || c->stale || !may_call(d, a, now) ||
	    c->given >= account_host(a)->messages_per_connection)
		return false;
	/* One probe at a time while it is in doubt. */
	if (account_is_in_doubt(a, c->order.server))
		return pool_count_jobs(&d->pool, a, a->standing.account.down ? SERVERS_MAX : c->order.server) == 0;
	return c->n < c->room && c->n <= ahead_at(&account_host(a)->rate);
}

/* The one of the account's that has the least to do; NULL: none can take more. */
static struct courier *
idlest(const struct dispatch *d, const struct account *a, time_t now)
{
	struct courier *best = NULL;

	for (size_t i = 0; i < d->pool.n; i++) {
		struct courier *c = d->pool.v[i];

		if (c->account == a && (best == NULL || c->n < best->n) && may_give(d, c, now))
			best = c;
	}
	return best;
}

/* Milliseconds until something of this account's mail can be begun; -1: see dispatch_ms. */
static int64_t
account_ms(const struct dispatch *d, const struct account *a, time_t now)
{
	const struct agenda *g = &d->sorting.ledger.agenda;
	const struct waiting *w = agenda_first(g, sorting_carries(&d->sorting, a, now));
	int64_t pause = (account_pause(a) + 999) / 1000, ms;
	time_t not_before = account_not_before(a, now), due;
	bool alone = pool_count(&d->pool, a) == 0;

	if (w == NULL || (alone && d->pool.n >= POOL_MAX))
		return -1;
	due = not_before > w->due ? not_before : w->due;
	ms = due > now ? (due - now) * 1000 : 0;
	if (pause > ms)
		ms = pause;
	if (alone && d->start_at > 0 && (d->start_at - clock_now()) * 1000 > (double)ms)
		ms = (int64_t)((d->start_at - clock_now()) * 1000) + 1;
	/* One that has all it can take will say when it has done something. */
	return !alone && ms == 0 && idlest(d, a, now) == NULL ? -1 : ms;
}

static bool
is_idle(const struct courier *c)
{
	return c->pid != 0 && c->ready && !c->quitting && c->n == 0;
}

/* Seconds until it has been idle for as long as it may. */
static double
keeps_open(const struct courier *c)
{
	return c->idle_since + account_host(c->account)->keep_open - clock_now();
}

int64_t
dispatch_ms(const struct dispatch *d, time_t now)
{
	int64_t least = -1, ms;

	if (d->leaving || sorting_is_stuck(&d->sorting))
		return -1;
	for (unsigned i = 0; i < d->sorting.naccounts; i++) {
		ms = account_ms(d, d->sorting.accounts[i], now);
		if (ms >= 0 && (least < 0 || ms < least))
			least = ms;
		/* Then its fallback may have something to begin. */
		ms = (int64_t)(account_patience(d->sorting.accounts[i]) * 1000);
		if (ms > 0 && (least < 0 || ms < least))
			least = ms;
	}
	for (size_t i = 0; i < d->pool.n; i++) {
		if (!is_idle(d->pool.v[i]))
			continue;
		ms = keeps_open(d->pool.v[i]) > 0 ? (int64_t)(keeps_open(d->pool.v[i]) * 1000) + 1 : 0;
		/* Past that it waits for its account's pace, which is in the above. */
		if (ms > 0 && (least < 0 || ms < least))
			least = ms;
	}
	return least;
}

/* ---- the end of a courier ---------------------------------------------------------------- */

/* One that it died of, three times, is put aside, and the others go on. */
static void
return_jobs(struct dispatch *d, struct courier *c, bool crashed)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct job *j = &c->jobs[i];
		struct waiting *w = ledger_entry(&d->sorting.ledger, &j->letter);
		bool blamed = crashed && i == 0;

		if (!blamed || ++w->crashes < CRASHES_MAX)
			sorting_return(&d->sorting, j, blamed ? time(NULL) : w->due);
		else
			sorting_hold(&d->sorting, j, "the courier crashed on it three times; "
			    "please report it, with the message if you can");
		job_free(j);
	}
	c->n = 0;
}

static void
courier_ended(struct dispatch *d, struct courier *c)
{
	struct account *a = c->account;
	time_t now = time(NULL);
	bool crashed;
	int status;
	struct why why;

	/* With a service that is gone we have nothing left to do here. */
	if (!pool_bury(&d->pool, c, &status))
		d->leaving = true;
	/* One that has said all it has to say ends with 0, whatever that was. */
	crashed = WIFEXITED(status) && WEXITSTATUS(status) != 0;
	if (WIFSIGNALED(status)) {
		char signal_name[32];
		int sig = WTERMSIG(status);

		snprintf(signal_name, sizeof signal_name, "%d", sig);
		/* Not one that we have sent away while it still looked for its server. */
		if (!c->quitting || sig != SIGTERM)
			log_event(LOG_ERR, "courier-died", "signal", signal_name, NULL);
		crashed = sig != SIGKILL && sig != SIGTERM && sig != SIGINT && sig != SIGHUP && sig != SIGALRM;
		if (sig == SIGALRM) {
			c->told = true;
			later(&why, SCOPE_SERVER, "4.4.3", "looking up and reaching %s took too long",
			    account_host(a)->servers[c->order.server].host);
			account_failed(a, c->order.server, &why, now);
		}
	}
	if (!c->told && !c->quitting)
		account_met_silence(a, c->ready, status, now);
	return_jobs(d, c, crashed);
}

/* ---- giving jobs -------------------------------------------------------------------------- */

/* The job is the courier's last; false when the courier is gone, which is seen,
 * and cleared up, by the loop. */
static bool
give(struct dispatch *d, struct courier *c, struct waiting *w)
{
	struct agenda *g = &d->sorting.ledger.agenda;
	struct job *j = &c->jobs[c->n++];
	int trace = trace_open(d->sorting.spool, w->id);
	bool given;

	account_spend(c->account);
	agenda_drawn(g, &c->account->turn, w);
	agenda_rest(g, w);
	w->out = true;
	c->given++;
	j->courier = c->pid;
	given = errand_job(c->fd, w->id, j->recipients, j->n, j->letter.fd, trace);
	if (trace >= 0)
		close(trace);
	return given;
}

/* Will the connection have a message soon, and only the pace keeps that back? */
static bool
is_between_two(const struct dispatch *d, const struct courier *c, time_t now)
{
	int64_t pause = account_pause(c->account);

	return pause > 0 && pause <= BETWEEN_MAX && account_not_before(c->account, now) == 0 &&
	    agenda_next(&d->sorting.ledger.agenda, &c->account->turn,
	    sorting_carries(&d->sorting, c->account, now), now) != NULL;
}

/* What an idle connection is there for. */
static bool
is_worth_keeping(const struct dispatch *d, const struct courier *c, time_t now)
{
	if (d->leaving || c->stale || c->account->gone ||
	    c->given >= account_host(c->account)->messages_per_connection)
		return false;
	/* One that waits for us to write may go on with its connection afterwards. */
	if (sorting_is_stuck(&d->sorting) || is_between_two(d, c, now))
		return true;
	return account_not_before(c->account, now) == 0 && keeps_open(c) > 0;
}

static void
feed(struct dispatch *d, struct account *a, time_t now)
{
	struct courier *c;
	struct waiting *w;

	while ((c = idlest(d, a, now)) != NULL && (w = sorting_draw(&d->sorting, a, &c->jobs[c->n])) != NULL)
		if (!give(d, c, w))
			return;
}

/* ---- starting couriers ----------------------------------------------------------------------- */

/* Is there a message worth a connection? */
static bool
has_work(struct dispatch *d, struct account *a)
{
	struct job j = JOB_INIT;
	bool found = sorting_draw(&d->sorting, a, &j) != NULL;

	job_free(&j);
	return found;
}

static bool
all_are_busy(const struct dispatch *d, const struct account *a)
{
	for (size_t i = 0; i < d->pool.n; i++)
		if (d->pool.v[i]->account == a && d->pool.v[i]->n == 0)
			return false;
	return true;
}

/* And, of those that wait still, enough for one more than there are?  Where it is the rate
 * that they wait for, more connections are of no use. */
static bool
has_work_for_more(const struct dispatch *d, const struct account *a, unsigned running, time_t now)
{
	const struct smarthost *h = account_host(a);
	size_t need = (size_t)BEGINNING * h->pipeline_depth * running;

	if (h->rate.n > 0 && !all_are_busy(d, a))
		return false;
	return running < h->connections && !a->standing.account.down && account_is_proven(a) &&
	    account_may_have_more(a, running, now) && pool_has_server(&d->pool, a, now) &&
	    d->pool.n < POOL_MAX - d->sorting.naccounts &&
	    agenda_due(&d->sorting.ledger.agenda, sorting_carries(&d->sorting, a, now), now, need) >= need;
}

static bool
start(struct dispatch *d, struct account *a, time_t now)
{
	struct why why;

	if (pool_start(&d->pool, a, d->key, now) != NULL)
		return true;
	if (errno == EBUSY) {
		d->start_at = clock_now() + FULL_PAUSE;
	} else if (d->pool.starter >= 0 && errno == EPIPE) {
		/* Nothing that the account could help. */
		d->leaving = true;
	} else {
		later(&why, SCOPE_SERVER, "", "cannot start subpost-courier: %s", strerror(errno));
		account_failed(a, SERVERS_MAX, &why, now);
	}
	return false;
}

static void
start_some(struct dispatch *d, struct account *a, time_t now)
{
	unsigned running = pool_count(&d->pool, a);

	if (d->pool.n >= POOL_MAX || !may_call(d, a, now) || clock_now() < d->start_at)
		return;
	if (running == 0 && (!has_work(d, a) || !start(d, a, now)))
		return;
	for (running = pool_count(&d->pool, a); has_work_for_more(d, a, running, now); running++)
		if (!start(d, a, now))
			return;
}

void
dispatch_go_on(struct dispatch *d)
{
	time_t now = time(NULL);

	for (unsigned i = 0; i < d->sorting.naccounts; i++) {
		feed(d, d->sorting.accounts[i], now);
		start_some(d, d->sorting.accounts[i], now);
	}
	for (size_t i = 0; i < d->pool.n; i++)
		if (is_idle(d->pool.v[i]) && !is_worth_keeping(d, d->pool.v[i], now))
			courier_quit(d->pool.v[i]);
}

/* ---- hearing them ------------------------------------------------------------------------------ */

/* More recipients than one job takes, or others that go by another account: those are
 * given at once, with the same open message, since another description of it would not
 * get the lock until the courier has let go of the first. */
static void
give_rest(struct dispatch *d, struct job *done)
{
	const struct agenda *g = &d->sorting.ledger.agenda;
	struct waiting *w = agenda_find(g, done->letter.envelope.id);
	struct courier *c = NULL;
	time_t now = time(NULL);
	struct job *j;

	if (w == NULL || (w->round == 0 && w->asked == 0) || w->place == 0 || w->due > now)
		return;
	for (unsigned i = 0; i < d->sorting.naccounts && c == NULL; i++) {
		struct account *a = d->sorting.accounts[i];

		if ((sorting_carries(&d->sorting, a, now) >> agenda_account(g, w) & 1) != 0)
			c = idlest(d, a, now);
	}
	if (c == NULL)
		return;
	j = &c->jobs[c->n];
	*j = (struct job){ .letter = done->letter };
	done->letter = (struct letter)LETTER_INIT;
	sorting_pick(&d->sorting, w, j);
	if (j->n > 0)
		give(d, c, w);
	else
		job_free(j);
}

static void
became_idle(struct courier *c)
{
	if (c->n == 0)
		c->idle_since = clock_now();
}

/* Not a word of this before it is on disk: the courier waits for that, once for each
 * transaction, and sends no more meanwhile. */
static void
say_noted(const struct courier *c, const char *id, unsigned times)
{
	while (times-- > 0)
		errand_noted(c->fd, id);
}

static void
finish_job(struct dispatch *d, struct courier *c, struct job *j)
{
	struct carrier by = { c->account, c->order.server, c->worked };
	struct job done;

	courier_take(c, j, &done);
	became_idle(c);
	c->worked = c->worked || (!done.troubled && !done.cut);
	if (sorting_conclude(&d->sorting, &done, &by)) {
		say_noted(c, done.letter.envelope.id, done.owed + 1);
		give_rest(d, &done);
	}
	job_free(&done);
}

static void
hold_job(struct dispatch *d, struct courier *c, struct job *j, const char *reason)
{
	struct job done;

	courier_take(c, j, &done);
	became_idle(c);
	if (sorting_hold(&d->sorting, &done, reason))
		say_noted(c, done.letter.envelope.id, done.owed);
	job_free(&done);
}

/* The account cannot be used, says one. */
static void
hear_down(struct dispatch *d, struct courier *c, const struct why *why)
{
	struct account *a = c->account;
	unsigned others = pool_count_ready(&d->pool, a, c->order.server);
	time_t now = time(NULL);

	/* What an older configuration drew says nothing of the mended one. */
	if (c->stale)
		ledger_log_trouble("stale-courier", NULL, why);
	else if (c->renews)
		log_event(LOG_NOTICE, "token-refused", "account", a->name, "reason", why->text, NULL);
	else if (c->ready)
		account_failed(a, c->order.server, why, now);
	else if (others > 0 && why->scope == SCOPE_SERVER)
		account_is_full(a, others, why, now);
	else
		account_barred(a, &c->order, why, now);
}

/* What it says of itself.  False for what no courier of ours says. */
static bool
hear_of_courier(struct dispatch *d, struct courier *c, const struct errand *e)
{
	struct account *a = c->account;

	switch (e->word) {
	case ERRAND_READY:
		c->ready = true;
		c->idle_since = clock_now();
		if (!c->stale)
			account_ready(a, e->mechanism, e->print);
		return true;
	case ERRAND_REFUSED:
		if (!c->stale)
			c->renews = !account_refused(a, &c->order, e->mechanism, e->print, time(NULL));
		return true;
	case ERRAND_UNPROVEN:
		c->told = true;
		a->unproven = true;
		return true;
	case ERRAND_APART:
		account_keep_apart(a, time(NULL));
		return true;
	case ERRAND_DOWN:
		c->told = true;
		hear_down(d, c, &e->why);
		return true;
	case ERRAND_NOTE:
		log_event(LOG_WARNING, "courier", "note", buf_c(&e->text), NULL);
		return true;
	default:
		return false;
	}
}

/* What it says of one of its jobs. */
static bool
hear_of_job(struct dispatch *d, struct courier *c, const struct errand *e)
{
	struct job *j = courier_job(c, e->id);

	switch (e->word) {
	case ERRAND_TO:
		if (j != NULL)
			job_answer(j, e);
		return true;
	case ERRAND_SAID:
		if (j != NULL)
			job_keep_dialogue(j, buf_str(&e->text));
		return true;
	case ERRAND_PART:
		c->told = true;
		if (j != NULL)
			say_noted(c, e->id, sorting_note_part(&d->sorting, j));
		return true;
	case ERRAND_END:
		c->told = true;
		if (j != NULL)
			finish_job(d, c, j);
		return true;
	case ERRAND_HOLD:
		c->told = true;
		if (j != NULL)
			hold_job(d, c, j, e->why.text);
		return true;
	default:
		return hear_of_courier(d, c, e);
	}
}

/* One record of the courier's.  False when it has none left. */
static bool
hear_courier(struct dispatch *d, struct courier *c)
{
	struct errand e = { 0 };
	enum errand_word word = errand_read(c->fd, false, &e);
	bool more = word != ERRAND_NOTHING && word != ERRAND_CLOSED;

	if (word == ERRAND_CLOSED)
		courier_ended(d, c);
	else if (more && !hear_of_job(d, c, &e))
		kill(c->pid, SIGKILL);
	errand_free(&e);
	return more;
}

void
dispatch_put_polls(const struct dispatch *d, struct pollfd *p)
{
	for (size_t i = 0; i < d->pool.n; i++)
		p[i] = (struct pollfd){ .fd = d->pool.v[i]->fd, .events = POLLIN };
}

void
dispatch_hear(struct dispatch *d, const struct pollfd *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].revents != 0)
			while (hear_courier(d, d->pool.v[i]))
				continue;
	pool_clear(&d->pool);
}

void
dispatch_recall(struct dispatch *d)
{
	for (size_t i = 0; i < d->pool.n; i++) {
		struct courier *c = d->pool.v[i];

		if (c->quitting)
			continue;
		c->quitting = true;
		if (c->ready)
			errand_quit(c->fd);
		else
			kill(c->pid, SIGTERM);
	}
}

/* ---- what the disk would not take ---------------------------------------------------- */

static struct courier *
courier_of(const struct dispatch *d, pid_t pid)
{
	for (size_t i = 0; i < d->pool.n; i++)
		if (d->pool.v[i]->pid == pid)
			return d->pool.v[i];
	return NULL;
}

static void
write_parts(struct dispatch *d)
{
	for (size_t i = 0; i < d->pool.n; i++) {
		struct courier *c = d->pool.v[i];

		for (unsigned k = 0; k < c->n; k++)
			if (c->jobs[k].owed > 0)
				say_noted(c, c->jobs[k].letter.envelope.id,
				    sorting_write_part(&d->sorting, &c->jobs[k]));
	}
}

void
dispatch_write(struct dispatch *d)
{
	char id[ENVELOPE_ID_LEN + 1];
	unsigned n;
	pid_t pid;

	write_parts(d);
	while (d->sorting.nkept > 0 && (n = sorting_write_next(&d->sorting, &pid, id)) > 0) {
		struct courier *c = courier_of(d, pid);

		if (c != NULL)
			say_noted(c, id, n);
	}
	if (sorting_is_stuck(&d->sorting))
		sorting_write_later(&d->sorting);
}
