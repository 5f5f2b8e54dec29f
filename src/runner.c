#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "dispatch.h"
#include "log.h"
#include "trace.h"
#include "wake.h"

#define SWEEP_EVERY 600         /* seconds: litter, and messages that have grown too old */
#define MANY_WAKES 10           /* the kernel's default for a socket's queue: more may be lost */
#define ARRIVALS_PAUSE 0.2      /* seconds for a burst of new messages to be over */
#define ARRIVALS_MAX 1000       /* noted at a time */
#define POST_PAUSE 20           /* ms between two looks at a lock that somebody holds, */
#define POST_LOOKS 1500         /* and how often, until that takes longer than it should: */
#define POST_LONG_PAUSE 1000    /* ms between two looks from then on */
#define POLL_PAUSE 1000         /* ms, should poll(2) fail: not at full speed then */

struct runner {
	struct dispatch dispatch;
	struct job orphaned;    /* told by a courier whose runner had died */
	struct ids arrived;     /* new, while nothing can be sent, and not yet logged; */
	double log_at;          /* when they are; monotonic seconds */
	time_t swept;
	int lock, signals;
	int next;               /* the lock of the one that waits for the lock */
	struct wake wake;
};

static void
pause_ms(long ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* ---- waking up ---------------------------------------------------------------------------- */

/* Adds what is in the queue and not yet known. */
static void
scan(struct runner *r)
{
	struct ids ids;
	struct why why;

	if (spool_list(r->dispatch.spool, SPOOL_QUEUE, &ids, &why) != DONE) {
		ledger_log_trouble("disk", NULL, &why);
		return;
	}
	for (size_t i = 0; i < ids.n; i++) {
		struct waiting *w = agenda_add(&r->dispatch.ledger.agenda, ids.v[i]);

		/* Made under a clock that was ahead: due now, not in its future. */
		if (w->place != 0 && w->due == envelope_id_time(w->id) && w->due > time(NULL))
			agenda_wait(&r->dispatch.ledger.agenda, w, time(NULL));
	}
	spool_ids_free(&ids);
}

/* Somebody has changed what is to become of this message, or it is new. */
static void
look_again(struct runner *r, const char *id)
{
	struct waiting *w = agenda_add(&r->dispatch.ledger.agenda, id);

	time_t came = envelope_id_time(id), now = time(NULL);

	/* A clock that was ahead must not keep a message in its future. */
	if (!w->out)
		agenda_wait(&r->dispatch.ledger.agenda, w, came < now ? came : now);
}

static void
log_arrivals(struct runner *r)
{
	for (size_t i = 0; i < r->arrived.n; i++) {
		struct waiting *w = agenda_find(&r->dispatch.ledger.agenda, r->arrived.v[i]);
		struct letter l = LETTER_INIT;
		struct why why;

		if (w != NULL && !w->logged &&
		    spool_read(r->dispatch.spool, SPOOL_QUEUE, w->id, &l, &why) == DONE && !l.damaged)
			ledger_log_queued(w, &l);
		spool_letter_free(&l);
	}
	spool_ids_free(&r->arrived);
	r->log_at = 0;
}

/* A new message is logged even if nothing can be sent; but not while more of
 * them come: the disk is theirs, and each line would be in the way of the next. */
static void
note_arrival(struct runner *r, const char *id)
{
	struct ids *a = &r->arrived;

	if (dispatch_may_call(&r->dispatch, time(NULL)))
		return;
	a->v = mem_more(a->v, a->n, sizeof *a->v);
	memcpy(a->v[a->n++], id, sizeof *a->v);
	r->log_at = clock_now() + ARRIVALS_PAUSE;
	if (a->n == ARRIVALS_MAX)
		log_arrivals(r);
}

static void
look_again_at_all(struct runner *r)
{
	struct ids ids;
	struct why why;

	if (spool_list(r->dispatch.spool, SPOOL_QUEUE, &ids, &why) != DONE)
		return;
	for (size_t i = 0; i < ids.n; i++)
		look_again(r, ids.v[i]);
	spool_ids_free(&ids);
}

/* A courier whose runner died reports to us.  It is believed only of a message
 * that we do not have and that somebody holds: the lock is the courier's. */
static void
hear_orphan(struct runner *r, const struct errand *e)
{
	struct job *j = &r->orphaned;
	struct waiting *w = agenda_find(&r->dispatch.ledger.agenda, e->id);
	struct why why;

	if (strcmp(j->letter.envelope.id, e->id) != 0) {
		job_free(j);
		if (w == NULL || w->out ||
		    spool_read(r->dispatch.spool, SPOOL_QUEUE, e->id, &j->letter, &why) != DONE ||
		    j->letter.damaged || spool_lock(&j->letter)) {
			job_free(j);
			return;
		}
		j->recipients = mem_grow(NULL, j->letter.envelope.n, sizeof *j->recipients);
	}
	if (e->word == ERRAND_TO) {
		if (j->n < j->letter.envelope.n && e->recipient < j->letter.envelope.n) {
			j->recipients[j->n++] = e->recipient;
			dispatch_answer(j, e);
		}
		return;
	}
	if (j->n > 0)
		dispatch_conclude(&r->dispatch, j);
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
		dispatch_lift_back_off(&r->dispatch);
		dispatch_write(&r->dispatch);
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

/* Whoever found the socket before its name went is still heard: a word that lies
 * in it unread would be lost, and its sender believe that somebody has it. */
static void
close_socket(struct runner *r)
{
	wake_hide(r->dispatch.spool, &r->wake);
	hear_wakes(r);
	wake_close(&r->wake);
}

/* A mended configuration is taken without a restart; a broken one is told, and
 * the old one kept. */
static void
reread_config(struct runner *r)
{
	struct config fresh = { 0 };
	struct why why;

	if (!config_is_stale(r->dispatch.config))
		return;
	if (config_load(&fresh, false, &why) != DONE) {
		ledger_log_trouble("config", NULL, &why);
		config_free(&fresh);
		return;
	}
	config_free(r->dispatch.config);
	*r->dispatch.config = fresh;
	log_event(LOG_NOTICE, "config", "read", r->dispatch.config->path, NULL);
	dispatch_lift_back_off(&r->dispatch);
	r->dispatch.courier.stale = true;
}

static void
hear_signals(struct runner *r)
{
	struct signalfd_siginfo info;

	while (read(r->signals, &info, sizeof info) == sizeof info)
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			r->dispatch.leaving = true;
	/* SIGHUP only wakes us: the configuration is looked at on each wake.  Told to
	 * leave, we hear no more wakes while a transaction ends: who calls meanwhile
	 * finds nobody, and starts the next runner, which waits for our lock. */
	if (r->dispatch.leaving)
		close_socket(r);
}

/* Old mail is given up also while the account is down and nothing is tried. */
static void
sweep(struct runner *r, time_t now)
{
	struct ids old = { 0 };

	if (now < r->swept + SWEEP_EVERY && now >= r->swept)
		return;
	r->swept = now;
	ledger_settle(&r->dispatch.ledger);
	if (spool_is_gone(r->dispatch.spool)) {
		/* Removed under us: there is nothing to keep, and nothing to wait for. */
		r->dispatch.leaving = true;
		return;
	}
	spool_sweep(r->dispatch.spool, r->dispatch.config->keep_failed);
	trace_sweep(r->dispatch.spool);
	for (size_t i = 0; i < r->dispatch.ledger.agenda.n; i++) {
		struct waiting *w = agenda_at(&r->dispatch.ledger.agenda, i);

		if (!schedule_is_over(envelope_id_time(w->id), now, r->dispatch.config->give_up_after))
			continue;
		old.v = mem_grow(old.v, old.n + 1, sizeof *old.v);
		memcpy(old.v[old.n++], w->id, sizeof w->id);
	}
	for (size_t i = 0; i < old.n && r->dispatch.nkept == 0; i++) {
		struct waiting *w = agenda_find(&r->dispatch.ledger.agenda, old.v[i]);
		struct job j = JOB_INIT;

		if (w != NULL && dispatch_prepare(&r->dispatch, w, &j))
			agenda_wait(&r->dispatch.ledger.agenda, w, w->due);
		job_free(&j);
	}
	spool_ids_free(&old);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int64_t
ms_until(double moment)
{
	double ms = (moment - clock_now()) * 1000;

	return ms > 0 ? (int64_t)ms + 1 : 0;
}

/* Milliseconds until something is to be done. */
static int
next_wait(const struct runner *r, time_t now)
{
	const struct dispatch *d = &r->dispatch;
	const struct waiting *w = agenda_first(&d->ledger.agenda);
	int64_t until = r->swept + SWEEP_EVERY - now, ms;

	if (w != NULL && d->courier.pid == 0 && !d->leaving && d->nkept == 0) {
		time_t due = w->due, not_before = dispatch_not_before(d, now);

		if (not_before > due)
			due = not_before;
		if (due - now < until)
			until = due - now;
	} else if (w != NULL && d->courier.ready && w->due - now < until && w->due > now) {
		until = w->due - now;
	}
	ms = until > 0 ? until * 1000 : 0;
	if (d->ledger.settle_at != 0 && ms_until(d->ledger.settle_at) < ms)
		ms = ms_until(d->ledger.settle_at);
	if (d->nkept > 0 && ms_until(d->write_at) < ms)
		ms = ms_until(d->write_at);
	if (r->arrived.n > 0 && ms_until(r->log_at) < ms)
		ms = ms_until(r->log_at);
	return (int)ms;
}

/* What is not yet written down is known to us alone. */
static bool
is_idle(const struct runner *r)
{
	const struct dispatch *d = &r->dispatch;

	return d->courier.pid == 0 && d->nkept == 0 && (d->leaving || d->ledger.agenda.n == 0);
}

static void
turn(struct runner *r)
{
	struct dispatch *d = &r->dispatch;
	struct pollfd p[] = {
		{ .fd = r->wake.fd, .events = POLLIN },
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = d->courier.pid != 0 ? d->courier.fd : -1, .events = POLLIN },
	};
	time_t now;

	if (poll(p, 3, next_wait(r, time(NULL))) < 0 && errno != EINTR) {
		log_event(LOG_ERR, "poll", "reason", strerror(errno), NULL);
		pause_ms(POLL_PAUSE);
	}
	now = time(NULL);
	if (p[1].revents != 0)
		hear_signals(r);
	/* Before anything is tried again: an orphan's word may be among them. */
	if (p[0].revents != 0)
		hear_wakes(r);
	/* On every wake, but not for each word of a courier's. */
	if (p[2].revents == 0 || p[0].revents != 0 || p[1].revents != 0)
		reread_config(r);
	dispatch_hear(d);
	if (d->nkept > 0 && clock_now() >= d->write_at)
		dispatch_write(d);
	if (d->ledger.settle_at != 0 && clock_now() >= d->ledger.settle_at)
		ledger_settle(&d->ledger);
	if (r->arrived.n > 0 && clock_now() >= r->log_at)
		log_arrivals(r);
	sweep(r, now);
	dispatch_go_on(d);
}

static void
work(struct runner *r)
{
	while (!is_idle(r)) {
		turn(r);
		if (r->dispatch.leaving)
			dispatch_recall(&r->dispatch);
	}
	log_arrivals(r);
	ledger_settle(&r->dispatch.ledger);
}

/* ---- the post ----------------------------------------------------------------------------- */

static bool
is_queue_empty(const struct spool *s)
{
	struct ids ids;
	struct why why;
	bool empty = spool_list(s, SPOOL_QUEUE, &ids, &why) == DONE && ids.n == 0;

	spool_ids_free(&ids);
	return empty;
}

/* One runner waits for the lock, and scans when it has it: whoever comes meanwhile
 * with a message may leave that to him.  Not one with words of its own, nor one
 * whose service manager would only start it again. */
static enum outcome
queue_up(struct runner *r, bool retry, bool *other, struct why *why)
{
	if (retry || r->wake.inherited || r->next >= 0)
		return DONE;
	r->next = spool_lock_next(r->dispatch.spool);
	if (r->next < 0 && errno != EWOULDBLOCK)
		return later(why, SCOPE_NONE, "", "cannot lock %s/next: %s", r->dispatch.spool->path,
		    strerror(errno));
	*other = r->next < 0;
	return DONE;
}

/* Takes the lock, or finds that somebody else has it and tells him.  With a
 * service manager's socket the other one must go: its own has no name any more.
 * One that is leaving has no socket any more, but may have a transaction to end
 * that takes as long as it takes: as long as mail waits, we do. */
static enum outcome
take_post(struct runner *r, bool retry, bool *other, struct why *why)
{
	struct str words = retry ? STR("retry") : STR("wake");
	const struct spool *spool = r->dispatch.spool;
	pid_t asked = 0, holder;
	enum outcome o;

	for (unsigned looks = 0; ; looks++) {
		r->lock = spool_lock_runner(spool);
		if (r->lock >= 0)
			return DONE;
		if (errno != EWOULDBLOCK)
			return later(why, SCOPE_NONE, "", "cannot lock %s/lock: %s", spool->path,
			    strerror(errno));
		if (!r->wake.inherited && wake_send(spool, words) != WAKE_NOBODY)
			*other = true;
		else if ((o = queue_up(r, retry, other, why)) != DONE)
			return o;
		if (*other || (looks > POST_LOOKS && is_queue_empty(spool))) {
			*other = true;
			return DONE;
		}
		holder = r->wake.inherited ? spool_runner_pid(spool) : 0;
		if (holder > 0 && holder != asked) {
			asked = holder;
			kill(holder, SIGTERM);
		}
		if (looks == POST_LOOKS) {
			log_to(spool_open_log(spool));
			log_event(LOG_WARNING, "waiting", "reason", "somebody holds the queue's lock and does "
			    "not answer; find him with: fuser", "lock", spool->path, NULL);
		}
		pause_ms(looks < POST_LOOKS ? POST_PAUSE : POST_LONG_PAUSE);
	}
}

/* From here on words find us, so that nobody need wait behind us. */
static enum outcome
open_socket(struct runner *r, struct why *why)
{
	if (wake_bind(r->dispatch.spool, &r->wake) < 0)
		return later(why, SCOPE_NONE, "", "cannot make the socket %s/runner: %s",
		    r->dispatch.spool->path, strerror(errno));
	if (r->next >= 0)
		close(r->next);
	r->next = -1;
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
	struct runner r = { .dispatch = { .spool = spool, .config = config,
		.ledger = { .spool = spool, .config = config }, .courier = { .fd = -1 } },
		.orphaned = JOB_INIT, .lock = -1, .signals = -1, .next = -1 };
	struct agenda *agenda = &r.dispatch.ledger.agenda;
	bool other = false;
	enum outcome o;

	wake_inherit(&r.wake);
	o = take_post(&r, retry, &other, why);
	if (o != DONE || other)
		goto out;
	log_to(spool_open_log(spool));
	r.signals = catch_signals();
	if (r.signals < 0) {
		o = later(why, SCOPE_NONE, "", "cannot be told to leave: signalfd: %s", strerror(errno));
		goto out;
	}
	tzset();
	health_load(spool, config->smarthost.name, &r.dispatch.health);
	if (retry)
		dispatch_lift_back_off(&r.dispatch);
	do {
		/* Bind, then scan; unbind, then scan: what was linked before a wake-up
		 * that met no socket is seen by one of the two. */
		if ((o = open_socket(&r, why)) != DONE)
			break;
		scan(&r);
		work(&r);
		close_socket(&r);
		if (r.dispatch.leaving)
			break;
		scan(&r);
	} while (agenda->n > 0);
out:
	if (r.lock >= 0)
		close(r.lock);
	if (r.next >= 0)
		close(r.next);
	if (r.signals >= 0)
		close(r.signals);
	job_free(&r.orphaned);
	dispatch_free(&r.dispatch);
	return o;
}
