#include "dispatch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "trace.h"

#define LOCKED_PAUSE 1          /* seconds until a message that somebody has is looked at again */
#define CRASHES_MAX 3           /* couriers that one message may take with it */
#define IDLE_MAX (5 * 1000000)  /* microseconds that a connection is kept for the next message */
#define WRITE_PAUSE 1           /* seconds until what is kept is written again; doubled each time */

/* ---- jobs ---------------------------------------------------------------------- */

void
job_free(struct job *j)
{
	spool_letter_free(&j->letter);
	free(j->recipients);
	*j = (struct job)JOB_INIT;
}

/* Those who still wait, from the from-th on. */
static void
pick_recipients(struct job *j, size_t from, size_t most)
{
	const struct fate *f = &j->letter.fate;

	j->recipients = mem_grow(NULL, most, sizeof *j->recipients);
	for (size_t i = from; i < f->n && j->n < most; i++)
		if (f->to[i].outcome == LATER)
			j->recipients[j->n++] = i;
}

/* Is there anybody left for another transaction of this round? */
static bool
has_more(const struct job *j)
{
	const struct fate *f = &j->letter.fate;

	for (size_t i = j->n > 0 ? j->recipients[j->n - 1] + 1 : 0; i < f->n; i++)
		if (f->to[i].outcome == LATER)
			return true;
	return false;
}

/* ---- when ---------------------------------------------------------------------------- */

bool
dispatch_may_call(const struct dispatch *d, time_t now)
{
	return !d->leaving && d->nkept == 0 && account_not_before(&d->account, now) == 0 &&
	    account_pause(&d->account) == 0;
}

int64_t
dispatch_ms(const struct dispatch *d, time_t now)
{
	const struct waiting *w = agenda_first(&d->ledger.agenda);
	const struct courier *c = &d->courier;
	int64_t pause = (account_pause(&d->account) + 999) / 1000, ms;
	time_t due;

	if (w == NULL || d->leaving || d->nkept > 0 || (c->pid != 0 && (!c->ready || c->quitting)))
		return -1;
	due = w->due;
	if (c->pid == 0 && account_not_before(&d->account, now) > due)
		due = account_not_before(&d->account, now);
	ms = due > now ? (due - now) * 1000 : 0;
	if (pause > ms)
		ms = pause;
	/* One that has all it can take will say when it has done something. */
	return c->pid != 0 && ms == 0 ? -1 : ms;
}

/* ---- what the disk would not take ---------------------------------------------------- */

static void
keep(struct dispatch *d, struct job *j)
{
	struct waiting *w = ledger_entry(&d->ledger, &j->letter);

	j->due = w->due;
	agenda_rest(&d->ledger.agenda, w);
	w->out = true;
	d->kept = mem_grow(d->kept, d->nkept + 1, sizeof *d->kept);
	d->kept[d->nkept++] = *j;
	*j = (struct job)JOB_INIT;
	if (d->nkept == 1) {
		d->write_pause = WRITE_PAUSE;
		d->write_at = clock_now() + d->write_pause;
	}
}

static bool
write_one(struct dispatch *d, struct job *j)
{
	struct agenda *a = &d->ledger.agenda;
	const char *id = j->letter.envelope.id;
	struct waiting *w;

	/* What an orphan told us of is nobody's once that has left. */
	spool_lock(&j->letter);
	if (!spool_is_removed(&j->letter) && !ledger_record(&d->ledger, &j->letter, true, false))
		return false;
	if (d->courier.pid != 0)
		errand_noted(d->courier.fd, id);
	w = agenda_find(a, id);
	if (w != NULL) {
		w->out = false;
		if (spool_is_removed(&j->letter))
			agenda_remove(a, w);
		else if (!j->letter.fate.held)
			agenda_wait(a, w, j->due);
	}
	job_free(j);
	return true;
}

void
dispatch_write(struct dispatch *d)
{
	size_t left = 0;

	for (size_t i = 0; i < d->nkept; i++)
		if (!write_one(d, &d->kept[i]))
			d->kept[left++] = d->kept[i];
	d->nkept = left;
	d->write_pause = d->write_pause < LEDGER_PAUSE / 2 ? d->write_pause * 2 : LEDGER_PAUSE;
	d->write_at = clock_now() + d->write_pause;
}

/* ---- what a transaction came to --------------------------------------------------- */

/* An account's or server's answer to one message pauses the account, and the
 * message goes to the back, so that the next probe takes another.  But if
 * others have passed since it drew such an answer before, the trouble is its
 * own: true, and the account goes on. */
static bool
is_its_own_trouble(const struct dispatch *d, const struct waiting *w)
{
	return w->drew != 0 && d->account.passes + 1 > w->drew;
}

/* Servers exist that take no null sender, whatever code they say so with: what
 * is answered to a report is the report's own trouble.  Only the end of the
 * connection says something of the server. */
static bool
is_refused_report(const struct job *j)
{
	return j->troubled && j->letter.envelope.from[0] == '\0' && j->trouble.code != 0 &&
	    j->trouble.code != 421;
}

static void
defer(struct dispatch *d, struct job *j)
{
	struct fate *f = &j->letter.fate;

	f->tries++;
	f->next = schedule_next(&d->config->retry_refused, f->tries, time(NULL), clock_salt());
}

bool
dispatch_conclude(struct dispatch *d, struct job *j)
{
	struct waiting *w = ledger_entry(&d->ledger, &j->letter);
	struct fate *f = &j->letter.fate;
	time_t now = time(NULL);
	bool report = is_refused_report(j);
	bool own = report || (j->troubled && is_its_own_trouble(d, w));

	w->out = false;
	for (size_t i = 0; i < j->n; i++)
		ledger_log_answer(&j->letter, j->recipients[i]);
	if (own) {
		j->spoken = true;
		f->last = j->trouble;
	}
	if (has_more(j) && !j->troubled) {
		/* More recipients than one transaction takes: the others go at once. */
		w->round = (uint32_t)j->recipients[j->n - 1] + 1;
	} else {
		w->round = 0;
		if (j->spoken && fate_count(f, LATER) > 0)
			defer(d, j);
	}
	if (j->troubled && !own) {
		w->drew = d->account.passes + 1;
		account_failed(&d->account, &j->trouble);
	} else if (!report) {
		account_passed(&d->account);
	}
	agenda_wait(&d->ledger.agenda, w, f->next > now ? f->next : j->troubled ? now : w->due);
	if (ledger_record(&d->ledger, &j->letter, j->spoken, w->round > 0))
		return true;
	keep(d, j);
	return false;
}

void
dispatch_answer(struct job *j, const struct errand *e)
{
	struct fate *f = &j->letter.fate;
	bool asked = false;

	for (size_t i = 0; i < j->n; i++)
		asked = asked || j->recipients[i] == e->recipient;
	if (!asked)
		return;
	fate_note(f, e->recipient, e->outcome, &e->why);
	if (e->outcome == LATER && (e->why.scope == SCOPE_ACCOUNT || e->why.scope == SCOPE_SERVER)) {
		j->troubled = true;
		j->trouble = e->why;
		return;
	}
	if (e->outcome == LATER && e->why.scope == SCOPE_NONE)
		return;
	j->spoken = true;
	if (e->outcome != DONE)
		f->last = e->why;
}

/* ---- couriers -------------------------------------------------------------------------- */

static void
start_courier(struct dispatch *d)
{
	struct courier *c = &d->courier;
	struct why why;

	*c = (struct courier){ .fd = -1 };
	c->pid = d->starter >= 0 ? errand_ask(d->starter, &c->fd) : errand_start(&c->fd, NULL);
	if (c->pid >= 0)
		return;
	c->pid = 0;
	if (d->starter >= 0 && errno == EPIPE) {
		/* Nothing that the account could help. */
		d->leaving = true;
	} else {
		later(&why, SCOPE_SERVER, "", "cannot start subpost-courier: %s", strerror(errno));
		account_failed(&d->account, &why);
	}
}

/* A courier that died takes nothing with it: its jobs wait again.  One that it
 * died of, three times, is put aside, and the others go on. */
static void
return_jobs(struct dispatch *d, bool crashed)
{
	struct courier *c = &d->courier;

	for (unsigned i = 0; i < c->n; i++) {
		struct job *j = &c->jobs[i];
		struct waiting *w = ledger_entry(&d->ledger, &j->letter);

		w->out = false;
		if (!crashed || i > 0 || ++w->crashes < CRASHES_MAX)
			agenda_wait(&d->ledger.agenda, w, crashed && i == 0 ? time(NULL) : w->due);
		else if (!ledger_hold(&d->ledger, &j->letter, "the courier crashed on it three times; "
		    "please report it, with the message if you can"))
			keep(d, j);
		job_free(j);
	}
	c->n = 0;
}

/* How it ended.  With a service that is gone nobody learns that any more: as if it
 * had been killed, and we have nothing left to do here. */
static int
status_of(struct dispatch *d)
{
	struct courier *c = &d->courier;
	int status = 0;

	if (d->starter < 0) {
		while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	} else if (!errand_await_end(d->starter, c->pid, &status)) {
		d->leaving = true;
		status = SIGKILL;
	}
	return status;
}

static void
courier_ended(struct dispatch *d)
{
	struct courier *c = &d->courier;
	bool crashed;
	int status;
	struct why why;

	close(c->fd);
	status = status_of(d);
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
			    d->config->smarthost.host);
			account_failed(&d->account, &why);
		}
	}
	if (!c->told && !c->quitting)
		account_met_silence(&d->account, c->ready, status);
	return_jobs(d, crashed);
	c->pid = 0;
}

/* ---- giving jobs -------------------------------------------------------------------------- */

/* Is it neither held nor put off? */
static bool
may_go(struct dispatch *d, struct waiting *w, const struct letter *l)
{
	if (l->fate.held)
		agenda_rest(&d->ledger.agenda, w);
	else if (l->fate.next > time(NULL))
		agenda_wait(&d->ledger.agenda, w, l->fate.next);
	else
		return true;
	return false;
}

bool
dispatch_prepare(struct dispatch *d, struct waiting *w, struct job *j)
{
	struct letter *l = &j->letter;
	time_t now = time(NULL);
	struct why why;

	*j = (struct job)JOB_INIT;
	if (spool_read(d->spool, SPOOL_QUEUE, w->id, l, &why) != DONE) {
		if (why.exit == EX_NOINPUT)
			agenda_remove(&d->ledger.agenda, w);
		else
			agenda_wait(&d->ledger.agenda, w, now + LEDGER_PAUSE);
		return false;
	}
	if (l->damaged) {
		if (!l->promised)
			spool_sweep_one(d->spool, l, w->id);
		else
			log_event(LOG_ERR, "held", "id", w->id, "reason", why.text, NULL);
		agenda_rest(&d->ledger.agenda, w);
		return false;
	}
	ledger_log_queued(w, l);
	ledger_entry(&d->ledger, l);
	if (!may_go(d, w, l))
		return false;
	if (!spool_lock(l)) {
		agenda_wait(&d->ledger.agenda, w, now + LOCKED_PAUSE);
		return false;
	}
	if (spool_is_removed(l)) {
		agenda_remove(&d->ledger.agenda, w);
		return false;
	}
	/* Whoever had it before us may have changed what is to become of it. */
	if (spool_has_fate(d->spool, w->id)) {
		if (spool_read_again(d->spool, SPOOL_QUEUE, w->id, l, &why) != DONE || l->damaged) {
			agenda_wait(&d->ledger.agenda, w, now + LOCKED_PAUSE);
			return false;
		}
		if (!may_go(d, w, l))
			return false;
	}
	if (ledger_is_owed(l, w->round > 0)) {
		/* Somebody died before it was told or put away. */
		if (!ledger_record(&d->ledger, l, true, false))
			keep(d, j);
		return false;
	}
	if (schedule_is_over(l->fate.renewed > l->envelope.arrived ? l->fate.renewed :
	    l->envelope.arrived, now, d->config->give_up_after)) {
		if (!ledger_give_up(&d->ledger, l, d->account.health.down ? d->account.health.why.text : ""))
			keep(d, j);
		return false;
	}
	pick_recipients(j, w->round, d->config->smarthost.recipients_per_message);
	if (j->n == 0) {
		w->round = 0;
		return false;           /* asked again at once, from the first on */
	}
	return true;
}

/* The one whose turn it is, locked, in *j; NULL where nothing can be sent now.  What
 * is read may turn out to be somebody else's than was known: then it is asked anew
 * whose turn it is. */
static struct waiting *
draw(struct dispatch *d, struct job *j)
{
	struct agenda *a = &d->ledger.agenda;
	struct waiting *w;
	uid_t uid;

	while (d->nkept == 0 && (w = agenda_next(a, time(NULL))) != NULL) {
		uid = agenda_uid(a, w);
		if (dispatch_prepare(d, w, j) && agenda_uid(a, w) == uid)
			return w;
		job_free(j);
	}
	return NULL;
}

/* Is there a message worth a connection? */
static bool
has_work(struct dispatch *d)
{
	struct job j = JOB_INIT;
	bool found = draw(d, &j) != NULL;

	job_free(&j);
	return found;
}

static bool
may_give(const struct dispatch *d)
{
	const struct courier *c = &d->courier;
	/* One probe at a time while the account is in doubt. */
	unsigned most = d->account.health.down ? 1 : JOBS_AHEAD;

	/* An open connection is no reason to ask an account that has just refused. */
	return c->ready && !c->quitting && !c->stale && dispatch_may_call(d, time(NULL)) && c->n < most &&
	    c->given < d->config->smarthost.messages_per_connection;
}

/* The job is the courier's last; false when the courier is gone, which is seen,
 * and cleared up, by the loop. */
static bool
give(struct dispatch *d, struct waiting *w)
{
	struct courier *c = &d->courier;
	struct job *j = &c->jobs[c->n++];
	int trace = trace_open(d->spool, w->id);
	bool given;

	account_spend(&d->account);
	agenda_drawn(&d->ledger.agenda, w);
	agenda_rest(&d->ledger.agenda, w);
	w->out = true;
	c->given++;
	given = errand_job(c->fd, w->id, j->recipients, j->n, j->letter.fd, trace);
	if (trace >= 0)
		close(trace);
	return given;
}

/* Will the connection have a message soon, and only the pace keeps that back? */
static bool
is_between_two(const struct dispatch *d)
{
	time_t now = time(NULL);
	int64_t pause = account_pause(&d->account);

	return pause > 0 && pause <= IDLE_MAX && !d->leaving && !d->courier.stale &&
	    d->courier.given < d->config->smarthost.messages_per_connection &&
	    account_not_before(&d->account, now) == 0 && agenda_next(&d->ledger.agenda, now) != NULL;
}

/* Gives the courier what it can take. */
static void
feed(struct dispatch *d)
{
	struct courier *c = &d->courier;
	struct waiting *w;

	while (may_give(d) && (w = draw(d, &c->jobs[c->n])) != NULL)
		if (!give(d, w))
			return;
	/* One that waits for us to write may go on with its connection afterwards. */
	if (c->ready && !c->quitting && c->n == 0 && d->nkept == 0 && !is_between_two(d)) {
		c->quitting = true;
		errand_quit(c->fd);
	}
}

static struct job *
job_of(struct courier *c, const char *id)
{
	for (unsigned i = 0; i < c->n; i++)
		if (strcmp(c->jobs[i].letter.envelope.id, id) == 0)
			return &c->jobs[i];
	return NULL;
}

/* More recipients than one transaction takes: the next go at once, with the same
 * open message, since another description of it would not get the lock until
 * the courier has let go of the first. */
static void
give_rest(struct dispatch *d, struct job *done)
{
	struct waiting *w = agenda_find(&d->ledger.agenda, done->letter.envelope.id);
	struct job *j = &d->courier.jobs[d->courier.n];

	if (w == NULL || w->round == 0 || w->place == 0 || w->due > time(NULL) || !may_give(d))
		return;
	*j = (struct job){ .letter = done->letter };
	done->letter = (struct letter)LETTER_INIT;
	pick_recipients(j, w->round, d->config->smarthost.recipients_per_message);
	give(d, w);
}

/* Jobs end in the order in which they were given; the rest moves up. */
static void
take_out(struct courier *c, struct job *j, struct job *done)
{
	*done = *j;
	c->n--;
	for (unsigned i = (unsigned)(j - c->jobs); i < c->n; i++)
		c->jobs[i] = c->jobs[i + 1];
	c->jobs[c->n] = (struct job)JOB_INIT;
}

/* Not a word of "noted" before it is: the courier waits for that, and sends no
 * more meanwhile. */
static void
finish_job(struct dispatch *d, struct job *j)
{
	struct job done;

	take_out(&d->courier, j, &done);
	if (dispatch_conclude(d, &done)) {
		errand_noted(d->courier.fd, done.letter.envelope.id);
		give_rest(d, &done);
	}
	job_free(&done);
}

static void
hold_job(struct dispatch *d, struct job *j, const char *reason)
{
	struct job done;

	take_out(&d->courier, j, &done);
	ledger_entry(&d->ledger, &done.letter)->out = false;
	if (!ledger_hold(&d->ledger, &done.letter, reason))
		keep(d, &done);
	job_free(&done);
}

/* One record of the courier's.  False when it has none left. */
static bool
hear_courier(struct dispatch *d)
{
	struct courier *c = &d->courier;
	struct errand e = { 0 };
	enum errand_word word = errand_read(c->fd, false, &e);
	struct job *j = job_of(c, e.id);
	bool more = true;

	switch (word) {
	case ERRAND_READY:
		c->ready = true;
		break;
	case ERRAND_TO:
		if (j != NULL)
			dispatch_answer(j, &e);
		break;
	case ERRAND_END:
		c->told = true;
		if (j != NULL)
			finish_job(d, j);
		break;
	case ERRAND_HOLD:
		c->told = true;
		if (j != NULL)
			hold_job(d, j, e.why.text);
		break;
	case ERRAND_DOWN:
		c->told = true;
		/* What an older configuration drew says nothing of the mended one. */
		if (c->stale)
			ledger_log_trouble("stale-courier", NULL, &e.why);
		else
			account_failed(&d->account, &e.why);
		break;
	case ERRAND_NOTE:
		log_event(LOG_WARNING, "courier", "note", buf_c(&e.text), NULL);
		break;
	case ERRAND_NOTHING:
		more = false;
		break;
	case ERRAND_CLOSED:
		courier_ended(d);
		more = false;
		break;
	default:
		/* It says what no courier of ours says. */
		kill(c->pid, SIGKILL);
		break;
	}
	errand_free(&e);
	return more && c->pid != 0;
}

void
dispatch_hear(struct dispatch *d)
{
	if (d->courier.pid != 0)
		while (hear_courier(d))
			continue;
}

void
dispatch_go_on(struct dispatch *d)
{
	if (d->courier.pid == 0 && dispatch_may_call(d, time(NULL)) && has_work(d))
		start_courier(d);
	if (d->courier.pid != 0)
		feed(d);
}

void
dispatch_recall(struct dispatch *d)
{
	struct courier *c = &d->courier;

	if (c->pid == 0 || c->quitting)
		return;
	c->quitting = true;
	if (c->ready)
		errand_quit(c->fd);
	else
		kill(c->pid, SIGTERM);
}

void
dispatch_free(struct dispatch *d)
{
	for (size_t i = 0; i < d->nkept; i++)
		job_free(&d->kept[i]);
	free(d->kept);
	ledger_free(&d->ledger);
	*d = (struct dispatch){ 0 };
}
