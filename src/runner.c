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
#include "codec.h"
#include "dispatch.h"
#include "log.h"
#include "post.h"
#include "trace.h"

#define SWEEP_EVERY 600         /* seconds: litter, and messages that have grown too old */
#define MANY_WAKES 10           /* the kernel's default for a socket's queue: more may be lost */
#define ARRIVALS_PAUSE 0.2      /* seconds for a burst of new messages to be over */
#define ARRIVALS_MAX 1000       /* noted at a time */
#define POLL_PAUSE 1000         /* ms, should poll(2) fail: not at full speed then */

/* Messages of which couriers tell in turns, as many as there may be couriers: each tells
 * of one at a time. */
#define ORPHANS_MAX POOL_MAX

/* What is polled for, before the couriers. */
enum { WAKE, SIGNALS, STARTER, POLLS };

struct runner {
	struct dispatch dispatch;
	struct job *orphaned;   /* told by couriers whose runner had died, the oldest first */
	unsigned norphaned;
	struct ids arrived;     /* new, while nothing can be sent, and not yet logged; */
	double log_at;          /* when they are; monotonic seconds */
	time_t swept;
	int signals;
	struct post post;
	struct usage *usage;    /* see runner_terms */
	bool counted;           /* of everything here it was known once whose it is */
	bool orphan;            /* the service that we belong to is gone */
};

static struct ledger *
ledger_of(struct runner *r)
{
	return &r->dispatch.sorting.ledger;
}

static struct agenda *
agenda_of(struct runner *r)
{
	return &r->dispatch.sorting.ledger.agenda;
}

static struct spool *
spool_of(struct runner *r)
{
	return r->dispatch.sorting.spool;
}

static void
pause_ms(long ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* ---- waking up ---------------------------------------------------------------------------- */

/* Adds what is in the queue and not yet known, and forgets what is there no more. */
static void
scan(struct runner *r)
{
	struct ids ids;
	struct why why;

	if (spool_list(spool_of(r), SPOOL_QUEUE, &ids, &why) != DONE) {
		ledger_log_trouble("disk", NULL, &why);
		return;
	}
	for (size_t i = 0; i < ids.n; i++) {
		struct waiting *w = ledger_add(ledger_of(r), ids.v[i], AGENDA_UNKNOWN);

		/* Made under a clock that was ahead: due now, not in its future. */
		if (w->place != 0 && w->due == envelope_id_time(w->id) && w->due > time(NULL))
			agenda_wait(agenda_of(r), w, time(NULL));
	}
	agenda_keep_only(agenda_of(r), ids.v, ids.n);
	spool_ids_free(&ids);
}

/* Somebody has changed what is to become of this message, or it is new. */
static struct waiting *
look_again(struct runner *r, const char *id, uid_t uid)
{
	struct waiting *w = ledger_add(ledger_of(r), id, uid);
	time_t came = envelope_id_time(id), now = time(NULL);

	/* A clock that was ahead must not keep a message in its future. */
	if (!w->out)
		agenda_wait(agenda_of(r), w, came < now ? came : now);
	return w;
}

static void
log_arrivals(struct runner *r)
{
	for (size_t i = 0; i < r->arrived.n; i++) {
		struct waiting *w = agenda_find(agenda_of(r), r->arrived.v[i]);
		struct letter l = LETTER_INIT;
		struct why why;

		if (w != NULL && !w->logged &&
		    spool_read(spool_of(r), SPOOL_QUEUE, w->id, &l, &why) == DONE && !l.damaged)
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

	if (dispatch_is_open(&r->dispatch, time(NULL)))
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

	if (spool_list(spool_of(r), SPOOL_QUEUE, &ids, &why) != DONE)
		return;
	for (size_t i = 0; i < ids.n; i++)
		look_again(r, ids.v[i], AGENDA_UNKNOWN);
	agenda_keep_only(agenda_of(r), ids.v, ids.n);
	spool_ids_free(&ids);
}

static void
forget_orphan(struct runner *r, unsigned i)
{
	job_free(&r->orphaned[i]);
	r->norphaned--;
	memmove(r->orphaned + i, r->orphaned + i + 1, (r->norphaned - i) * sizeof *r->orphaned);
}

/* The place of that message among those that orphans tell of; r->norphaned: there is
 * nothing to be told of it. */
static unsigned
orphan_of(struct runner *r, const char *id)
{
	struct waiting *w = agenda_find(agenda_of(r), id);
	struct job j = JOB_INIT;
	struct why why;
	unsigned i = 0;

	while (i < r->norphaned && strcmp(r->orphaned[i].letter.envelope.id, id) != 0)
		i++;
	if (i < r->norphaned)
		return i;
	if (w == NULL || w->out || spool_read(spool_of(r), SPOOL_QUEUE, id, &j.letter, &why) != DONE ||
	    j.letter.damaged || spool_lock(&j.letter)) {
		job_free(&j);
		return r->norphaned;
	}
	job_pick_all(&j);
	/* Somebody has died in the middle of it. */
	if (r->norphaned == ORPHANS_MAX)
		forget_orphan(r, 0);
	r->orphaned = mem_grow(r->orphaned, r->norphaned + 1, sizeof *r->orphaned);
	r->orphaned[r->norphaned] = j;
	return r->norphaned++;
}

/* A courier whose runner died reports to us.  It is believed only of a message
 * that we do not have and that somebody holds: the lock is the courier's. */
static void
hear_orphan(struct runner *r, const struct errand *e)
{
	unsigned i = orphan_of(r, e->id);
	struct job *j;

	if (i == r->norphaned)
		return;
	j = &r->orphaned[i];
	if (e->word == ERRAND_TO)
		job_answer(j, e);
	if (e->word != ERRAND_END && e->word != ERRAND_PART)
		return;
	if (job_is_answered(j))
		sorting_conclude(&r->dispatch.sorting, j, &(struct carrier){ .account = NULL });
	forget_orphan(r, i);
}

/* "ID", or "ID UID".  A message that was known may have been removed by somebody. */
static bool
hear_of_message(struct runner *r, struct str rest)
{
	struct agenda *a = agenda_of(r);
	struct str word = str_word(&rest);
	char id[ENVELOPE_ID_LEN + 1] = "";
	struct waiting *w;
	struct str owner = str_word(&rest);
	uint64_t v = AGENDA_UNKNOWN;
	int priority = 0;
	uid_t uid;

	if (!envelope_is_id(word) || (owner.len > 0 && !codec_number(owner, UINT32_MAX, &v)) ||
	    (rest.len > 0 && !dsn_parse_priority(rest, &priority)))
		return false;
	memcpy(id, word.p, ENVELOPE_ID_LEN);
	w = agenda_find(a, id);
	if (w != NULL && !w->out && !spool_peek_uid(spool_of(r), id, &uid) && errno == ENOENT) {
		agenda_remove(a, w);
		return true;
	}
	w = look_again(r, id, (uid_t)v);
	if (priority != 0)
		agenda_rank(a, w, priority);
	note_arrival(r, id);
	return true;
}

static void
hear_words(struct runner *r, struct str words)
{
	struct errand e = { 0 };
	struct str rest = words, word = str_word(&rest);

	if (str_is(word, "wake") && hear_of_message(r, rest)) {
		/* It was. */
	} else if (str_is(words, "wake")) {
		scan(r);
	} else if (str_is(word, "retry")) {
		dispatch_lift(&r->dispatch, str_is(rest, "force"));
		dispatch_write(&r->dispatch);
		look_again_at_all(r);
	} else if (errand_parse(words, &e) == ERRAND_TO || e.word == ERRAND_PART || e.word == ERRAND_END) {
		hear_orphan(r, &e);
	}
	errand_free(&e);
}

static void
hear_wakes(struct runner *r)
{
	struct buf words = { 0 };
	unsigned n = 0;

	while (wake_receive(r->post.wake.fd, &words)) {
		hear_words(r, buf_str(&words));
		n++;
	}
	buf_free(&words);
	if (n >= MANY_WAKES)
		scan(r);
}

/* Whoever found the socket before its name went is still heard: a word that lies
 * in it unread would be lost, and its sender believe that somebody has it.  In one
 * that stays it is the next runner's, if we are sent away. */
static void
close_socket(struct runner *r)
{
	wake_hide(spool_of(r), &r->post.wake);
	if (!r->post.wake.inherited || !r->dispatch.leaving)
		hear_wakes(r);
	wake_close(&r->post.wake);
}

/* ---- whose it all is --------------------------------------------------------------------- */

/* What each uid has waiting, where that has changed.  Until all are known what was
 * written before us is nearer to the truth, unless we have found more by now. */
static void
tell_usage(struct runner *r)
{
	struct agenda *a = agenda_of(r);

	if (r->usage == NULL)
		return;
	if (!r->counted && agenda_first_unknown(a) == NULL) {
		r->counted = true;
		usage_clear(r->usage);
		for (size_t i = 0; i < a->nsubmitters; i++)
			a->submitters[i].told = 0;
	}
	for (size_t i = 0; i < a->nsubmitters; i++) {
		struct submitter *u = &a->submitters[i];

		if (u->known == u->told || u->uid == AGENDA_UNKNOWN ||
		    (!r->counted && u->known <= usage_of(r->usage, u->uid)))
			continue;
		usage_set(r->usage, u->uid, (uint32_t)u->known);
		u->told = u->known;
	}
}

/* ---- signals, and the time ---------------------------------------------------------------- */

/* A mended configuration is taken without a restart; a broken one is told, and
 * the old one kept. */
static void
reread_config(struct runner *r)
{
	struct config *config = r->dispatch.sorting.config, fresh = { 0 };
	struct why why;

	/* The service reads it, and sends us away when it is another. */
	if (r->dispatch.pool.starter >= 0 || !config_is_stale(config))
		return;
	if (config_load(&fresh, false, &why) != DONE) {
		ledger_log_trouble("config", NULL, &why);
		config_free(&fresh);
		return;
	}
	config_free(config);
	*config = fresh;
	log_event(LOG_NOTICE, "config", "read", config->path, NULL);
	dispatch_renew(&r->dispatch);
}

static void
log_order(const struct signalfd_siginfo *info)
{
	char pid[24], uid[24];

	snprintf(pid, sizeof pid, "%lu", (unsigned long)info->ssi_pid);
	snprintf(uid, sizeof uid, "%lu", (unsigned long)info->ssi_uid);
	log_event(LOG_NOTICE, "leaving", "by", pid, "uid", uid, NULL);
}

static void
hear_signals(struct runner *r)
{
	struct signalfd_siginfo info;

	while (read(r->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
			continue;
		if (!r->dispatch.leaving)
			log_order(&info);
		r->dispatch.leaving = true;
	}
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
	struct sorting *s = &r->dispatch.sorting;
	struct ids old = { 0 };

	if (now < r->swept + SWEEP_EVERY && now >= r->swept)
		return;
	r->swept = now;
	ledger_settle(ledger_of(r));
	if (spool_is_gone(spool_of(r))) {
		/* Removed under us: there is nothing to keep, and nothing to wait for. */
		r->dispatch.leaving = true;
		return;
	}
	spool_sweep(s->spool, s->config->keep_failed);
	trace_sweep(s->spool);
	for (size_t i = 0; i < agenda_of(r)->n; i++) {
		const struct waiting *w = agenda_at(agenda_of(r), i);

		if (!w->timed && !schedule_is_over(envelope_id_time(w->id), now, s->config->give_up_after))
			continue;
		old.v = mem_more(old.v, old.n, sizeof *old.v);
		memcpy(old.v[old.n++], w->id, sizeof w->id);
	}
	for (size_t i = 0; i < old.n && !sorting_is_stuck(s); i++) {
		struct waiting *w = agenda_find(agenda_of(r), old.v[i]);
		struct job j = JOB_INIT;

		if (w != NULL && sorting_prepare(s, w, &j))
			agenda_wait(agenda_of(r), w, w->due);
		job_free(&j);
	}
	sorting_sort_anew(s);
	spool_ids_free(&old);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Nobody starts couriers any more, or hears the wake-ups of others for us. */
static void
leave_orphaned(struct runner *r)
{
	if (!r->dispatch.leaving)
		log_event(LOG_NOTICE, "leaving", "reason", "the service has ended", NULL);
	r->orphan = true;
	r->dispatch.leaving = true;
}

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
	int64_t until = r->swept + SWEEP_EVERY - now, ms = until > 0 ? until * 1000 : 0;
	int64_t begin = dispatch_ms(d, now);
	const struct ledger *l = &d->sorting.ledger;

	if (agenda_first_unknown(&l->agenda) != NULL)
		return 0;
	if (begin >= 0 && begin < ms)
		ms = begin;
	if (l->settle_at != 0 && ms_until(l->settle_at) < ms)
		ms = ms_until(l->settle_at);
	if (sorting_is_stuck(&d->sorting) && ms_until(d->sorting.write_at) < ms)
		ms = ms_until(d->sorting.write_at);
	if (r->arrived.n > 0 && ms_until(r->log_at) < ms)
		ms = ms_until(r->log_at);
	return (int)ms;
}

/* What is not yet written down is known to us alone. */
static bool
is_idle(const struct runner *r)
{
	const struct dispatch *d = &r->dispatch;

	return d->pool.n == 0 && d->sorting.nkept == 0 && (d->leaving || d->sorting.ledger.agenda.n == 0);
}

static void
turn(struct runner *r)
{
	struct dispatch *d = &r->dispatch;
	struct ledger *l = ledger_of(r);
	size_t n = d->pool.n;
	struct pollfd p[POLLS + POOL_MAX] = {
		[WAKE] = { .fd = d->leaving ? -1 : r->post.wake.fd, .events = POLLIN },
		[SIGNALS] = { .fd = r->signals, .events = POLLIN },
		/* For its end alone: what it says is heard when it was asked. */
		[STARTER] = { .fd = r->orphan ? -1 : d->pool.starter, .events = 0 },
	};
	int ready;
	time_t now;

	dispatch_put_polls(d, p + POLLS);
	ready = poll(p, POLLS + n, next_wait(r, time(NULL)));
	if (ready < 0 && errno != EINTR) {
		log_event(LOG_ERR, "poll", "reason", strerror(errno), NULL);
		pause_ms(POLL_PAUSE);
	}
	now = time(NULL);
	if (p[SIGNALS].revents != 0)
		hear_signals(r);
	if (p[STARTER].revents != 0)
		leave_orphaned(r);
	/* Before anything is tried again: an orphan's word may be among them. */
	if (p[WAKE].revents != 0)
		hear_wakes(r);
	/* On every wake, but not for each word of a courier's. */
	if (ready <= 0 || p[WAKE].revents != 0 || p[SIGNALS].revents != 0)
		reread_config(r);
	dispatch_hear(d, p + POLLS, n);
	if (sorting_is_stuck(&d->sorting) && clock_now() >= d->sorting.write_at)
		dispatch_write(d);
	if (l->settle_at != 0 && clock_now() >= l->settle_at)
		ledger_settle(l);
	if (r->arrived.n > 0 && clock_now() >= r->log_at)
		log_arrivals(r);
	sweep(r, now);
	sorting_look_through(&d->sorting);
	dispatch_go_on(d);
	tell_usage(r);
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
	ledger_settle(ledger_of(r));
}

/* ---- the post ----------------------------------------------------------------------------- */

/* Pauses, but not for whoever sends us away: the service, or that it is gone. */
static bool
is_sent_away(struct runner *r, int ms)
{
	struct pollfd p[] = {
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = r->dispatch.pool.starter, .events = 0 },
	};

	if (poll(p, 2, ms) < 0 && errno != EINTR)
		pause_ms(ms);
	if (p[0].revents != 0)
		hear_signals(r);
	if (p[1].revents != 0)
		leave_orphaned(r);
	return r->dispatch.leaving;
}

static enum outcome
take_post(struct runner *r, const struct runner_terms *terms, bool *other, struct why *why)
{
	struct str words = terms->force ? STR("retry force") : terms->retry ? STR("retry") : STR("wake");
	enum outcome o;

	while ((o = post_take(&r->post, words, other, why)) == DONE && r->post.lock < 0 && !*other)
		*other = is_sent_away(r, post_pause(&r->post));
	return o;
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

/* Everything that is not below the queue's directory is opened before the fence. */
static enum outcome
begin(struct runner *r, const struct runner_terms *terms, struct why *why)
{
	log_to(spool_open_log(spool_of(r)));
	tzset();
	if (terms->fence != NULL && fence_shut(terms->fence) < 0)
		return later(why, SCOPE_NONE, "", "the runner cannot shut itself in, and so does nothing: %s",
		    strerror(errno));
	dispatch_load(&r->dispatch);
	if (terms->retry)
		dispatch_lift(&r->dispatch, terms->force);
	return DONE;
}

/* Sent away while mail waits, perhaps by somebody who is not the service: the word
 * lies in the service's socket until it has started the next one. */
static void
call_successor(struct runner *r, const struct runner_terms *terms)
{
	if (terms->wake >= 0 && r->dispatch.leaving && !r->orphan && agenda_of(r)->n > 0)
		wake_send(spool_of(r), STR("wake"));
}

enum outcome
runner_run(struct spool *spool, struct config *config, const struct runner_terms *terms,
    struct why *why)
{
	struct runner r = { .dispatch = { .pool = { .starter = terms->starter },
		.sorting = { .spool = spool, .config = config,
		.ledger = { .spool = spool, .config = config, .many = terms->usage != NULL } } },
		.signals = -1, .post = POST_INIT, .usage = terms->usage };
	bool other = false;
	enum outcome o;

	r.post.spool = spool;
	if (terms->wake >= 0)
		r.post.wake = (struct wake){ .fd = terms->wake, .inherited = true };
	else
		wake_inherit(&r.post.wake);
	r.signals = catch_signals();
	if (r.signals < 0) {
		o = later(why, SCOPE_NONE, "", "cannot be told to leave: signalfd: %s", strerror(errno));
		goto out;
	}
	o = take_post(&r, terms, &other, why);
	if (o != DONE || other || (o = begin(&r, terms, why)) != DONE)
		goto out;
	do {
		/* Bind, then scan; unbind, then scan: what was linked before a wake-up
		 * that met no socket is seen by one of the two. */
		if ((o = post_open(&r.post, why)) != DONE)
			break;
		scan(&r);
		work(&r);
		close_socket(&r);
		if (r.dispatch.leaving)
			break;
		scan(&r);
	} while (agenda_of(&r)->n > 0);
	sorting_look_through(&r.dispatch.sorting);
	tell_usage(&r);
	call_successor(&r, terms);
out:
	post_leave(&r.post);
	if (r.signals >= 0)
		close(r.signals);
	while (r.norphaned > 0)
		forget_orphan(&r, 0);
	free(r.orphaned);
	dispatch_free(&r.dispatch);
	return o;
}
