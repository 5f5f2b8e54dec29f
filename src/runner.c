#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "agenda.h"
#include "codec.h"
#include "errand.h"
#include "health.h"
#include "ledger.h"
#include "log.h"
#include "wake.h"

#define JOBS_AHEAD 2            /* so that the next MAIL need not wait for us */
#define LOCKED_PAUSE 1          /* seconds until a message that somebody has is looked at again */
#define DISK_PAUSE 60           /* seconds until a disk that would not is asked again */
#define SWEEP_EVERY 600         /* seconds: litter, and messages that have grown too old */
#define CRASHES_MAX 3           /* couriers that one message may take with it */
#define SILENT_MAX 4            /* couriers that may end without a word before we slow down */
#define POST_TRIES 1500         /* looks at a lock that somebody holds, 20 ms apart */
#define MANY_WAKES 10           /* the kernel's default for a socket's queue: more may be lost */

/* One transaction under way. */
struct job {
	struct letter letter;
	size_t *recipients;     /* places in the envelope */
	size_t n;
	struct why trouble;     /* the account's or server's, if that is what it drew */
	bool troubled;
	bool spoken;            /* something that is this message's own was said */
};

struct courier {
	pid_t pid;              /* 0: none */
	int fd;
	bool ready;
	bool quitting;
	bool told;              /* it has reported something */
	bool stale;             /* started with an older configuration */
	unsigned given;         /* jobs */
	struct job jobs[JOBS_AHEAD];
	unsigned n;
};

struct runner {
	struct spool *spool;
	struct config *config;
	struct ledger ledger;   /* and in it the agenda */
	struct health health;
	struct courier courier;
	struct job orphaned;    /* told by a courier whose runner had died */
	uint32_t passes;        /* how often the account was found good; see draw_trouble */
	unsigned silent;        /* couriers in a row that ended without a word */
	time_t rest_until;      /* no courier before, because of those */
	time_t swept;
	int lock, signals;
	struct wake wake;
	bool leaving;           /* asked to: no new jobs */
};

static double
clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Spreads waits of different queues; any changing number will do. */
static uint32_t
salt(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)t.tv_nsec;
}

/* ---- jobs ---------------------------------------------------------------------- */

static void
job_free(struct job *j)
{
	spool_letter_free(&j->letter);
	free(j->recipients);
	*j = (struct job){ .letter = LETTER_INIT };
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

/* ---- health ---------------------------------------------------------------------- */

static void
store_health(struct runner *r)
{
	struct why why;

	if (health_store(r->spool, r->config->smarthost.name, &r->health, &why) != DONE)
		ledger_log_trouble("health", NULL, &why);
}

static void
account_failed(struct runner *r, const struct why *why)
{
	char seconds[24];

	health_fail(&r->health, why, &r->config->retry, time(NULL), salt());
	store_health(r);
	snprintf(seconds, sizeof seconds, "%lld", (long long)(r->health.until - time(NULL)));
	log_event(LOG_WARNING, "down", "account", r->config->smarthost.name, "scope",
	    scope_name(why->scope), "next", seconds, "reason", why->text, NULL);
}

static void
account_passed(struct runner *r)
{
	r->passes++;
	r->silent = 0;
	if (!r->health.down)
		return;
	health_succeed(&r->health);
	store_health(r);
	log_event(LOG_NOTICE, "up", "account", r->config->smarthost.name, NULL);
}

static bool
may_connect(const struct runner *r, time_t now)
{
	return !r->leaving && now >= r->rest_until && (!r->health.down || now >= r->health.until);
}

/* ---- what a transaction came to --------------------------------------------------- */

/* An account's or server's answer to one message pauses the account, and the
 * message goes to the back, so that the next probe takes another.  But if
 * others have passed since it drew such an answer before, the trouble is its
 * own: true, and the account goes on. */
static bool
is_its_own_trouble(const struct runner *r, const struct waiting *w)
{
	return w->drew != 0 && r->passes + 1 > w->drew;
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
defer(struct runner *r, struct job *j)
{
	struct fate *f = &j->letter.fate;

	f->tries++;
	f->next = schedule_next(&r->config->retry_refused, f->tries, time(NULL), salt());
}

/* The transaction is over: everything that was said of it is acted upon. */
static void
conclude(struct runner *r, struct job *j)
{
	struct waiting *w = agenda_add(&r->ledger.agenda, j->letter.envelope.id);
	struct fate *f = &j->letter.fate;
	time_t now = time(NULL);
	bool report = is_refused_report(j);
	bool own = report || (j->troubled && is_its_own_trouble(r, w));

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
			defer(r, j);
	}
	if (j->troubled && !own) {
		w->drew = r->passes + 1;
		account_failed(r, &j->trouble);
	} else if (!report) {
		account_passed(r);
	}
	agenda_wait(&r->ledger.agenda, w, f->next > now ? f->next : j->troubled ? now : w->due);
	ledger_record(&r->ledger, &j->letter, j->spoken);
}

/* One recipient's answer. */
static void
take_answer(struct job *j, const struct errand *e)
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
start_courier(struct runner *r)
{
	struct courier *c = &r->courier;
	struct why why;

	*c = (struct courier){ .fd = -1 };
	c->pid = errand_start(&c->fd, false);
	if (c->pid < 0) {
		c->pid = 0;
		later(&why, SCOPE_SERVER, "", "cannot start subpost-courier: %s", strerror(errno));
		account_failed(r, &why);
	}
}

/* A courier that died takes nothing with it: its jobs wait again.  One that it
 * died of, three times, is put aside, and the others go on. */
static void
return_jobs(struct runner *r, bool crashed)
{
	struct courier *c = &r->courier;

	for (unsigned i = 0; i < c->n; i++) {
		struct job *j = &c->jobs[i];
		struct waiting *w = agenda_add(&r->ledger.agenda, j->letter.envelope.id);

		w->out = false;
		if (crashed && i == 0 && ++w->crashes >= CRASHES_MAX)
			ledger_hold(&r->ledger, &j->letter, "the courier crashed on it three times; "
			    "please report it, with the message if you can");
		else
			agenda_wait(&r->ledger.agenda, w, crashed && i == 0 ? time(NULL) : w->due);
		job_free(j);
	}
	c->n = 0;
}

static void
courier_ended(struct runner *r)
{
	struct courier *c = &r->courier;
	bool crashed;
	int status = 0;
	struct why why;

	close(c->fd);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	/* One that has said all it has to say ends with 0, whatever that was. */
	crashed = WIFEXITED(status) && WEXITSTATUS(status) != 0;
	if (WIFSIGNALED(status)) {
		char signal_name[32];
		int sig = WTERMSIG(status);

		snprintf(signal_name, sizeof signal_name, "%d", sig);
		log_event(LOG_ERR, "courier-died", "signal", signal_name, NULL);
		crashed = sig != SIGKILL && sig != SIGTERM && sig != SIGINT && sig != SIGHUP && sig != SIGALRM;
		if (sig == SIGALRM) {
			c->told = true;
			later(&why, SCOPE_SERVER, "4.4.3", "looking up and reaching %s took too long",
			    r->config->smarthost.host);
			account_failed(r, &why);
		}
	}
	/* Whoever comes and goes without a word is started again at once a few
	 * times, then more and more slowly. */
	if (!c->told && !c->quitting && ++r->silent > SILENT_MAX) {
		unsigned shift = r->silent - SILENT_MAX;

		r->rest_until = time(NULL) + (shift < 6 ? 1 << shift : 60);
	}
	return_jobs(r, crashed);
	c->pid = 0;
}

/* ---- giving jobs -------------------------------------------------------------------------- */

/* Reads a message that is due and decides whether it can be given to a courier
 * now; whatever else it is, is settled here. */
static bool
prepare(struct runner *r, struct waiting *w, struct job *j)
{
	struct letter *l = &j->letter;
	time_t now = time(NULL);
	struct why why;

	*j = (struct job){ .letter = LETTER_INIT };
	if (spool_read(r->spool, SPOOL_QUEUE, w->id, l, &why) != DONE) {
		if (why.exit == EX_NOINPUT)
			agenda_remove(&r->ledger.agenda, w);
		else
			agenda_wait(&r->ledger.agenda, w, now + DISK_PAUSE);
		return false;
	}
	if (l->damaged) {
		if (!l->promised)
			spool_sweep_one(r->spool, l, w->id);
		else
			log_event(LOG_ERR, "held", "id", w->id, "reason", why.text, NULL);
		agenda_rest(&r->ledger.agenda, w);
		return false;
	}
	ledger_log_queued(w, l);
	if (l->fate.held) {
		agenda_rest(&r->ledger.agenda, w);
		return false;
	}
	if (l->fate.next > now) {
		agenda_wait(&r->ledger.agenda, w, l->fate.next);
		return false;
	}
	if (!spool_lock(l)) {
		agenda_wait(&r->ledger.agenda, w, now + LOCKED_PAUSE);
		return false;
	}
	if (spool_is_removed(l)) {
		agenda_remove(&r->ledger.agenda, w);
		return false;
	}
	if (ledger_is_owed(l)) {
		/* Somebody died before it was told or put away. */
		ledger_record(&r->ledger, l, true);
		return false;
	}
	if (schedule_is_over(l->fate.renewed > l->envelope.arrived ? l->fate.renewed :
	    l->envelope.arrived, now, r->config->give_up_after)) {
		ledger_give_up(&r->ledger, l, r->health.down ? r->health.why.text : "");
		return false;
	}
	pick_recipients(j, w->round, r->config->smarthost.recipients_per_message);
	if (j->n == 0) {
		w->round = 0;
		return false;           /* asked again at once, from the first on */
	}
	return true;
}

/* Is there a message worth a connection? */
static bool
has_work(struct runner *r)
{
	struct job j = { .letter = LETTER_INIT };
	struct waiting *w;
	bool found = false;

	while (!found && (w = agenda_first(&r->ledger.agenda)) != NULL && w->due <= time(NULL)) {
		found = prepare(r, w, &j);
		job_free(&j);
	}
	return found;
}

static bool
may_give(const struct runner *r)
{
	const struct courier *c = &r->courier;
	/* One probe at a time while the account is in doubt. */
	unsigned most = r->health.down ? 1 : JOBS_AHEAD;

	/* An open connection is no reason to ask an account that has just refused. */
	return c->ready && !c->quitting && !c->stale && may_connect(r, time(NULL)) && c->n < most &&
	    c->given < r->config->smarthost.messages_per_connection;
}

/* The job is the courier's last; false when the courier is gone, which is seen,
 * and cleared up, by the loop. */
static bool
give(struct runner *r, struct waiting *w)
{
	struct courier *c = &r->courier;
	struct job *j = &c->jobs[c->n++];

	agenda_rest(&r->ledger.agenda, w);
	w->out = true;
	c->given++;
	return errand_job(c->fd, w->id, j->recipients, j->n, j->letter.fd);
}

/* Gives the courier what it can take. */
static void
feed(struct runner *r)
{
	struct courier *c = &r->courier;
	struct waiting *w;

	while (may_give(r) && (w = agenda_first(&r->ledger.agenda)) != NULL && w->due <= time(NULL)) {
		if (!prepare(r, w, &c->jobs[c->n]))
			job_free(&c->jobs[c->n]);
		else if (!give(r, w))
			return;
	}
	if (c->ready && !c->quitting && c->n == 0) {
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
go_on(struct runner *r, struct job *done)
{
	struct waiting *w = agenda_find(&r->ledger.agenda, done->letter.envelope.id);
	struct job *j = &r->courier.jobs[r->courier.n];

	if (w == NULL || w->round == 0 || w->place == 0 || w->due > time(NULL) || !may_give(r))
		return;
	*j = (struct job){ .letter = done->letter };
	done->letter = (struct letter)LETTER_INIT;
	pick_recipients(j, w->round, r->config->smarthost.recipients_per_message);
	give(r, w);
}

/* Jobs end in the order in which they were given; the rest moves up. */
static void
finish_job(struct runner *r, struct job *j)
{
	struct courier *c = &r->courier;
	struct job done = *j;

	c->n--;
	for (unsigned i = (unsigned)(j - c->jobs); i < c->n; i++)
		c->jobs[i] = c->jobs[i + 1];
	c->jobs[c->n] = (struct job){ .letter = LETTER_INIT };
	errand_noted(c->fd, done.letter.envelope.id);
	go_on(r, &done);
	job_free(&done);
}

/* One record of the courier's.  False when it has none left. */
static bool
hear_courier(struct runner *r)
{
	struct courier *c = &r->courier;
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
			take_answer(j, &e);
		break;
	case ERRAND_END:
		c->told = true;
		if (j != NULL) {
			conclude(r, j);
			finish_job(r, j);
		}
		break;
	case ERRAND_HOLD:
		c->told = true;
		if (j != NULL) {
			agenda_add(&r->ledger.agenda, e.id)->out = false;
			ledger_hold(&r->ledger, &j->letter, e.why.text);
			finish_job(r, j);
		}
		break;
	case ERRAND_DOWN:
		c->told = true;
		/* What an older configuration drew says nothing of the mended one. */
		if (c->stale)
			ledger_log_trouble("stale-courier", NULL, &e.why);
		else
			account_failed(r, &e.why);
		break;
	case ERRAND_NOTE:
		log_event(LOG_WARNING, "courier", "note", buf_c(&e.text), NULL);
		break;
	case ERRAND_NOTHING:
		more = false;
		break;
	case ERRAND_CLOSED:
		courier_ended(r);
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

/* ---- waking up ---------------------------------------------------------------------------- */

/* Adds what is in the queue and not yet known. */
static void
scan(struct runner *r)
{
	struct ids ids;
	struct why why;

	if (spool_list(r->spool, SPOOL_QUEUE, &ids, &why) != DONE) {
		ledger_log_trouble("disk", NULL, &why);
		return;
	}
	for (size_t i = 0; i < ids.n; i++) {
		struct waiting *w = agenda_add(&r->ledger.agenda, ids.v[i]);

		/* Made under a clock that was ahead: due now, not in its future. */
		if (w->place != 0 && w->due == envelope_id_time(w->id) && w->due > time(NULL))
			agenda_wait(&r->ledger.agenda, w, time(NULL));
	}
	spool_ids_free(&ids);
}

/* Somebody has changed what is to become of this message, or it is new. */
static void
look_again(struct runner *r, const char *id)
{
	struct waiting *w = agenda_add(&r->ledger.agenda, id);

	time_t came = envelope_id_time(id), now = time(NULL);

	/* A clock that was ahead must not keep a message in its future. */
	if (!w->out)
		agenda_wait(&r->ledger.agenda, w, came < now ? came : now);
}

/* A new message is logged when it comes, even if nothing can be sent. */
static void
note_arrival(struct runner *r, const char *id)
{
	struct letter l = LETTER_INIT;
	struct why why;

	if (!may_connect(r, time(NULL)) &&
	    spool_read(r->spool, SPOOL_QUEUE, id, &l, &why) == DONE && !l.damaged)
		ledger_log_queued(agenda_add(&r->ledger.agenda, id), &l);
	spool_letter_free(&l);
}

static void
look_again_at_all(struct runner *r)
{
	struct ids ids;
	struct why why;

	if (spool_list(r->spool, SPOOL_QUEUE, &ids, &why) != DONE)
		return;
	for (size_t i = 0; i < ids.n; i++)
		look_again(r, ids.v[i]);
	spool_ids_free(&ids);
}

static void
lift_back_off(struct runner *r)
{
	r->rest_until = 0;
	r->silent = 0;
	if (!r->health.down)
		return;
	r->health.until = 0;
	store_health(r);
}

/* A courier whose runner died reports to us.  It is believed only of a message
 * that we do not have and that somebody holds: the lock is the courier's. */
static void
hear_orphan(struct runner *r, const struct errand *e)
{
	struct job *j = &r->orphaned;
	struct waiting *w = agenda_find(&r->ledger.agenda, e->id);
	struct why why;

	if (strcmp(j->letter.envelope.id, e->id) != 0) {
		job_free(j);
		if (w == NULL || w->out ||
		    spool_read(r->spool, SPOOL_QUEUE, e->id, &j->letter, &why) != DONE ||
		    j->letter.damaged || spool_lock(&j->letter)) {
			job_free(j);
			return;
		}
		j->recipients = mem_grow(NULL, j->letter.envelope.n, sizeof *j->recipients);
	}
	if (e->word == ERRAND_TO) {
		if (j->n < j->letter.envelope.n && e->recipient < j->letter.envelope.n) {
			j->recipients[j->n++] = e->recipient;
			take_answer(j, e);
		}
		return;
	}
	if (j->n > 0)
		conclude(r, j);
	job_free(j);
}

static void
hear_words(struct runner *r, struct str words)
{
	struct errand e = { 0 };
	struct str rest = words, word = str_word(&rest);

	if (str_is(word, "wake") && envelope_is_id(rest)) {
		char id[ENVELOPE_ID_LEN + 1] = "";

		memcpy(id, rest.p, ENVELOPE_ID_LEN);
		look_again(r, id);
		note_arrival(r, id);
	} else if (str_is(words, "wake")) {
		scan(r);
	} else if (str_is(words, "retry")) {
		lift_back_off(r);
		look_again_at_all(r);
	} else if (errand_parse(words, &e) == ERRAND_TO || e.word == ERRAND_END) {
		hear_orphan(r, &e);
	}
	errand_free(&e);
}

static void
hear_wakes(struct runner *r)
{
	struct buf words = { 0 };
	unsigned n = 0;

	while (wake_receive(r->wake.fd, &words)) {
		hear_words(r, buf_str(&words));
		n++;
	}
	buf_free(&words);
	if (n >= MANY_WAKES)
		scan(r);
}

/* A mended configuration is taken without a restart; a broken one is told, and
 * the old one kept. */
static void
reread_config(struct runner *r)
{
	struct config fresh = { 0 };
	struct why why;

	if (!config_is_stale(r->config))
		return;
	if (config_load(&fresh, false, &why) != DONE) {
		ledger_log_trouble("config", NULL, &why);
		config_free(&fresh);
		return;
	}
	config_free(r->config);
	*r->config = fresh;
	log_event(LOG_NOTICE, "config", "read", r->config->path, NULL);
	lift_back_off(r);
	r->courier.stale = true;
}

static void
hear_signals(struct runner *r)
{
	struct signalfd_siginfo info;

	while (read(r->signals, &info, sizeof info) == sizeof info)
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			r->leaving = true;
	/* SIGHUP only wakes us: the configuration is looked at on each wake.  Told to
	 * leave, we hear no more wakes while a transaction ends: who calls meanwhile
	 * finds nobody, and starts the next runner, which waits for our lock. */
	if (r->leaving) {
		wake_hide(r->spool, &r->wake);
		wake_close(&r->wake);
	}
}

/* Old mail is given up also while the account is down and nothing is tried. */
static void
sweep(struct runner *r, time_t now)
{
	struct ids old = { 0 };

	if (now < r->swept + SWEEP_EVERY && now >= r->swept)
		return;
	r->swept = now;
	ledger_settle(&r->ledger);
	if (spool_is_gone(r->spool)) {
		/* Removed under us: there is nothing to keep, and nothing to wait for. */
		r->leaving = true;
		return;
	}
	spool_sweep(r->spool, r->config->keep_failed);
	for (size_t i = 0; i < r->ledger.agenda.n; i++) {
		struct waiting *w = agenda_at(&r->ledger.agenda, i);

		if (!schedule_is_over(envelope_id_time(w->id), now, r->config->give_up_after))
			continue;
		old.v = mem_grow(old.v, old.n + 1, sizeof *old.v);
		memcpy(old.v[old.n++], w->id, sizeof w->id);
	}
	for (size_t i = 0; i < old.n; i++) {
		struct waiting *w = agenda_find(&r->ledger.agenda, old.v[i]);
		struct job j = { .letter = LETTER_INIT };

		if (w != NULL && prepare(r, w, &j))
			agenda_wait(&r->ledger.agenda, w, w->due);
		job_free(&j);
	}
	spool_ids_free(&old);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Milliseconds until something is to be done; -1: until somebody calls. */
static int
next_wait(const struct runner *r, time_t now)
{
	const struct waiting *w = agenda_first(&r->ledger.agenda);
	int64_t until = r->swept + SWEEP_EVERY - now, ms;

	if (w != NULL && r->courier.pid == 0 && !r->leaving) {
		int64_t due = w->due;

		if (r->health.down && r->health.until > due)
			due = r->health.until;
		if (r->rest_until > due)
			due = r->rest_until;
		if (due - now < until)
			until = due - now;
	} else if (w != NULL && r->courier.ready && w->due - now < until && w->due > now) {
		until = w->due - now;
	}
	ms = until > 0 ? until * 1000 : 0;
	if (r->ledger.settle_at != 0) {
		int64_t settle_ms = (int64_t)((r->ledger.settle_at - clock_now()) * 1000) + 1;

		if (settle_ms < 0)
			settle_ms = 0;
		if (settle_ms < ms)
			ms = settle_ms;
	}
	return (int)ms;
}

static bool
is_idle(const struct runner *r)
{
	return r->courier.pid == 0 && (r->leaving || r->ledger.agenda.n == 0);
}

static void
turn(struct runner *r)
{
	struct pollfd p[] = {
		{ .fd = r->wake.fd, .events = POLLIN },
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = r->courier.pid != 0 ? r->courier.fd : -1, .events = POLLIN },
	};
	time_t now;

	if (poll(p, 3, next_wait(r, time(NULL))) < 0 && errno != EINTR)
		log_event(LOG_ERR, "poll", "reason", strerror(errno), NULL);
	now = time(NULL);
	if (p[1].revents != 0)
		hear_signals(r);
	/* Before anything is tried again: an orphan's word may be among them. */
	if (p[0].revents != 0)
		hear_wakes(r);
	/* On every wake, but not for each word of a courier's. */
	if (p[2].revents == 0 || p[0].revents != 0 || p[1].revents != 0)
		reread_config(r);
	if (r->courier.pid != 0)
		while (hear_courier(r))
			continue;
	if (r->ledger.settle_at != 0 && clock_now() >= r->ledger.settle_at)
		ledger_settle(&r->ledger);
	sweep(r, now);
	if (r->courier.pid == 0 && may_connect(r, now) && has_work(r))
		start_courier(r);
	if (r->courier.pid != 0)
		feed(r);
}

/* Asked to leave: a transaction under way is brought to its end, a connection
 * without one is not waited for. */
static void
recall_courier(struct runner *r)
{
	struct courier *c = &r->courier;

	if (c->pid == 0 || c->quitting)
		return;
	c->quitting = true;
	if (c->ready)
		errand_quit(c->fd);
	else
		kill(c->pid, SIGTERM);
}

static void
work(struct runner *r)
{
	while (!is_idle(r)) {
		turn(r);
		if (r->leaving)
			recall_courier(r);
	}
	ledger_settle(&r->ledger);
}

/* Takes the lock, or finds that somebody else has it and tells him.  With a
 * service manager's socket the other one must go: its own has no name any more. */
static enum outcome
take_post(struct runner *r, bool retry, bool *other, struct why *why)
{
	struct str words = retry ? STR("retry") : STR("wake");
	struct timespec pause = { 0, 20 * 1000 * 1000 };
	pid_t asked = 0, holder;

	/* The one that has it may be leaving: then its socket is gone already, and
	 * in a moment, or after the last look into a long queue, the lock is. */
	for (int i = 0; i < POST_TRIES; i++) {
		r->lock = spool_lock_runner(r->spool);
		if (r->lock >= 0)
			return DONE;
		if (errno != EWOULDBLOCK)
			return later(why, SCOPE_NONE, "", "cannot lock %s/lock: %s", r->spool->path,
			    strerror(errno));
		if (!r->wake.inherited && wake_send(r->spool, words) != WAKE_NOBODY) {
			*other = true;
			return DONE;
		}
		holder = r->wake.inherited ? spool_runner_pid(r->spool) : 0;
		if (holder > 0 && holder != asked) {
			asked = holder;
			kill(holder, SIGTERM);
		}
		nanosleep(&pause, NULL);
	}
	return later(why, SCOPE_NONE, "", "somebody holds %s/lock and does not answer; "
	    "find him with: fuser %s/lock", r->spool->path, r->spool->path);
}

static enum outcome
open_socket(struct runner *r, struct why *why)
{
	if (wake_bind(r->spool, &r->wake) < 0)
		return later(why, SCOPE_NONE, "", "cannot make the socket %s/runner: %s",
		    r->spool->path, strerror(errno));
	return DONE;
}

static int
catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

enum outcome
runner_run(struct spool *spool, struct config *config, bool retry, struct why *why)
{
	struct runner r = { .spool = spool, .config = config,
		.ledger = { .spool = spool, .config = config }, .lock = -1, .signals = -1,
		.orphaned = { .letter = LETTER_INIT }, .courier = { .fd = -1 } };
	bool other = false;
	enum outcome o;

	wake_inherit(&r.wake);
	o = take_post(&r, retry, &other, why);
	if (o != DONE || other)
		return o;
	log_to(spool_open_log(spool));
	r.signals = catch_signals();
	tzset();
	health_load(spool, config->smarthost.name, &r.health);
	if (retry)
		lift_back_off(&r);
	do {
		/* Bind, then scan; unbind, then scan: what was linked before a wake-up
		 * that met no socket is seen by one of the two. */
		if ((o = open_socket(&r, why)) != DONE)
			break;
		scan(&r);
		work(&r);
		/* Whoever found the socket before it went is still heard. */
		wake_hide(spool, &r.wake);
		hear_wakes(&r);
		wake_close(&r.wake);
		if (r.leaving)
			break;
		scan(&r);
	} while (r.ledger.agenda.n > 0);
	close(r.lock);
	close(r.signals);
	job_free(&r.orphaned);
	ledger_free(&r.ledger);
	return o;
}
