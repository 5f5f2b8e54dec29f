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
#define PEEKS 300               /* messages of which it is found out in one turn whose they are */
#define POLL_PAUSE 1000         /* ms, should poll(2) fail: not at full speed then */

struct runner {
	struct dispatch dispatch;
	struct job orphaned;    /* told by a courier whose runner had died */
	struct ids arrived;     /* new, while nothing can be sent, and not yet logged; */
	double log_at;          /* when they are; monotonic seconds */
	time_t swept;
	int signals;
	struct post post;
	struct usage *usage;    /* see runner_terms */
	bool counted;           /* of everything here it was known once whose it is */
	bool orphan;            /* the service that we belong to is gone */
};

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

	if (spool_list(r->dispatch.spool, SPOOL_QUEUE, &ids, &why) != DONE) {
		ledger_log_trouble("disk", NULL, &why);
		return;
	}
	for (size_t i = 0; i < ids.n; i++) {
		struct waiting *w = agenda_add(&r->dispatch.ledger.agenda, ids.v[i],
		    ledger_uid(&r->dispatch.ledger, AGENDA_UNKNOWN));

		/* Made under a clock that was ahead: due now, not in its future. */
		if (w->place != 0 && w->due == envelope_id_time(w->id) && w->due > time(NULL))
			agenda_wait(&r->dispatch.ledger.agenda, w, time(NULL));
	}
	agenda_keep_only(&r->dispatch.ledger.agenda, ids.v, ids.n);
	spool_ids_free(&ids);
}

/* Somebody has changed what is to become of this message, or it is new. */
static void
look_again(struct runner *r, const char *id, uid_t uid)
{
	struct waiting *w = agenda_add(&r->dispatch.ledger.agenda, id, ledger_uid(&r->dispatch.ledger, uid));
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

	/* Where there is a rate, it may be hours until it is read. */
	if (dispatch_may_call(&r->dispatch, time(NULL)) && r->dispatch.config->smarthost.rate.n == 0)
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
		look_again(r, ids.v[i], AGENDA_UNKNOWN);
	agenda_keep_only(&r->dispatch.ledger.agenda, ids.v, ids.n);
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

/* "ID", or "ID UID".  A message that was known may have been removed by somebody. */
static bool
hear_of_message(struct runner *r, struct str rest)
{
	struct agenda *a = &r->dispatch.ledger.agenda;
	struct str word = str_word(&rest);
	char id[ENVELOPE_ID_LEN + 1] = "";
	struct waiting *w;
	uint64_t v = AGENDA_UNKNOWN;
	uid_t uid;

	if (!envelope_is_id(word) || (rest.len > 0 && !codec_number(rest, UINT32_MAX, &v)))
		return false;
	memcpy(id, word.p, ENVELOPE_ID_LEN);
	w = agenda_find(a, id);
	if (w != NULL && !w->out && !spool_peek_uid(r->dispatch.spool, id, &uid) && errno == ENOENT) {
		agenda_remove(a, w);
		return true;
	}
	look_again(r, id, (uid_t)v);
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
	} else if (str_is(words, "retry")) {
		account_lift_back_off(&r->dispatch.account);
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
	wake_hide(r->dispatch.spool, &r->post.wake);
	if (!r->post.wake.inherited || !r->dispatch.leaving)
		hear_wakes(r);
	wake_close(&r->post.wake);
}

/* ---- whose it all is --------------------------------------------------------------------- */

/* A few hundred at a time, so that what is on its way need not wait meanwhile. */
static void
find_out_whose(struct runner *r)
{
	struct agenda *a = &r->dispatch.ledger.agenda;
	struct waiting *w;
	uid_t uid;

	for (unsigned i = 0; i < PEEKS && (w = agenda_first_of(a, AGENDA_UNKNOWN)) != NULL; i++) {
		bool told = spool_peek_uid(r->dispatch.spool, w->id, &uid);

		/* Damaged: nobody's that could be believed, so ours to look after. */
		if (!told && errno == ENOENT)
			agenda_remove(a, w);
		else
			agenda_add(a, w->id, told && uid != AGENDA_UNKNOWN ? uid : geteuid());
	}
}

/* What each uid has waiting, where that has changed.  Until all are known what was
 * written before us is nearer to the truth, unless we have found more by now. */
static void
tell_usage(struct runner *r)
{
	struct agenda *a = &r->dispatch.ledger.agenda;

	if (r->usage == NULL)
		return;
	if (!r->counted && agenda_first_of(a, AGENDA_UNKNOWN) == NULL) {
		r->counted = true;
		usage_clear(r->usage);
		for (size_t i = 0; i < a->nlanes; i++)
			a->lanes[i].told = 0;
	}
	for (size_t i = 0; i < a->nlanes; i++) {
		struct lane *l = &a->lanes[i];

		if (l->known == l->told || l->uid == AGENDA_UNKNOWN ||
		    (!r->counted && l->known <= usage_of(r->usage, l->uid)))
			continue;
		usage_set(r->usage, l->uid, (uint32_t)l->known);
		l->told = l->known;
	}
}

/* ---- signals, and the time ---------------------------------------------------------------- */

/* A mended configuration is taken without a restart; a broken one is told, and
 * the old one kept. */
static void
reread_config(struct runner *r)
{
	struct config fresh = { 0 };
	struct why why;

	/* The service reads it, and sends us away when it is another. */
	if (r->dispatch.starter >= 0 || !config_is_stale(r->dispatch.config))
		return;
	if (config_load(&fresh, false, &why) != DONE) {
		ledger_log_trouble("config", NULL, &why);
		config_free(&fresh);
		return;
	}
	config_free(r->dispatch.config);
	*r->dispatch.config = fresh;
	log_event(LOG_NOTICE, "config", "read", r->dispatch.config->path, NULL);
	account_lift_back_off(&r->dispatch.account);
	r->dispatch.courier.stale = true;
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

	if (agenda_first_of(&d->ledger.agenda, AGENDA_UNKNOWN) != NULL)
		return 0;
	if (begin >= 0 && begin < ms)
		ms = begin;
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
		{ .fd = r->dispatch.leaving ? -1 : r->post.wake.fd, .events = POLLIN },
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = d->courier.pid != 0 ? d->courier.fd : -1, .events = POLLIN },
		/* For its end alone: what it says is heard when it was asked. */
		{ .fd = r->orphan ? -1 : d->starter, .events = 0 },
	};
	time_t now;

	if (poll(p, 4, next_wait(r, time(NULL))) < 0 && errno != EINTR) {
		log_event(LOG_ERR, "poll", "reason", strerror(errno), NULL);
		pause_ms(POLL_PAUSE);
	}
	now = time(NULL);
	if (p[1].revents != 0)
		hear_signals(r);
	if (p[3].revents != 0)
		leave_orphaned(r);
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
	find_out_whose(r);
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
	ledger_settle(&r->dispatch.ledger);
}

/* ---- the post ----------------------------------------------------------------------------- */

/* Pauses, but not for whoever sends us away: the service, or that it is gone. */
static bool
is_sent_away(struct runner *r, int ms)
{
	struct pollfd p[] = {
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = r->dispatch.starter, .events = 0 },
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
take_post(struct runner *r, bool retry, bool *other, struct why *why)
{
	enum outcome o;

	while ((o = post_take(&r->post, retry, other, why)) == DONE && r->post.lock < 0 && !*other)
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
	const struct dispatch *d = &r->dispatch;

	log_to(spool_open_log(d->spool));
	tzset();
	if (terms->fence != NULL && fence_shut(terms->fence) < 0)
		return later(why, SCOPE_NONE, "", "the runner cannot shut itself in, and so does nothing: %s",
		    strerror(errno));
	account_load(&r->dispatch.account);
	if (terms->retry)
		account_lift_back_off(&r->dispatch.account);
	return DONE;
}

/* Sent away while mail waits, perhaps by somebody who is not the service: the word
 * lies in the service's socket until it has started the next one. */
static void
call_successor(const struct runner *r, const struct runner_terms *terms)
{
	if (terms->wake >= 0 && r->dispatch.leaving && !r->orphan && r->dispatch.ledger.agenda.n > 0)
		wake_send(r->dispatch.spool, STR("wake"));
}

enum outcome
runner_run(struct spool *spool, struct config *config, const struct runner_terms *terms,
    struct why *why)
{
	struct runner r = { .dispatch = { .spool = spool, .config = config,
		.account = { .spool = spool, .config = config },
		.ledger = { .spool = spool, .config = config, .many = terms->usage != NULL },
		.starter = terms->starter, .courier = { .fd = -1 } },
		.orphaned = JOB_INIT, .signals = -1, .post = POST_INIT, .usage = terms->usage };
	struct agenda *agenda = &r.dispatch.ledger.agenda;
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
	o = take_post(&r, terms->retry, &other, why);
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
	} while (agenda->n > 0);
	find_out_whose(&r);
	tell_usage(&r);
	call_successor(&r, terms);
out:
	post_leave(&r.post);
	if (r.signals >= 0)
		close(r.signals);
	job_free(&r.orphaned);
	dispatch_free(&r.dispatch);
	return o;
}
