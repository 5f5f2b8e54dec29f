#include "verbs.h"

#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "carriers.h"
#include "codec.h"
#include "listing.h"
#include "wake.h"

/* One question. */
struct question {
	struct spool *spool;
	const struct config *config;
	const struct asker *who;
	char *const *args;      /* behind the verb */
	size_t n;
	FILE *out;
	bool force;             /* retry: also a login that was refused */
};

/* Takes a word off the front, where it is that one. */
static bool
takes(struct question *q, const char *word)
{
	if (q->n == 0 || strcmp(q->args[0], word) != 0)
		return false;
	q->args++;
	q->n--;
	return true;
}

/* ---- the runner ---------------------------------------------------------------------- */

/* The runner looks at this message again: what rests he believes to rest still.  The uid
 * is the lane that it is in, and said where it is known without asking. */
static enum wake_sent
tell_of(const struct question *q, const char *id)
{
	struct buf words = { 0 };
	enum wake_sent sent;

	buf_addf(&words, "wake %s", id);
	if (!q->who->own && !q->who->all)
		buf_addf(&words, " %lu", (unsigned long)q->who->uid);
	sent = wake_insist(q->spool, buf_str(&words));
	buf_free(&words);
	return sent;
}

/* Nobody hears: what was changed is on the disk all the same, and at the counter the
 * service starts a runner, who reads it there. */
static enum outcome
answer_for(enum wake_sent sent, struct why *why)
{
	if (sent != WAKE_FULL)
		return DONE;
	return later(why, SCOPE_NONE, "", "it is noted, but the queue's runner does not listen: it has "
	    "too much to do, or is stopped; try again in a moment");
}

/* ---- list, show ------------------------------------------------------------------------ */

static enum outcome
do_list(struct question *q, struct why *why)
{
	bool json = takes(q, "json");

	if (q->n > 0)
		return refuse(why, EX_USAGE, "queue takes no message; one is shown by: subpost show ID");
	return listing_print(q->spool, q->config, q->who, json, q->out, why);
}

static enum outcome
do_show(struct question *q, struct why *why)
{
	bool json = takes(q, "json");

	if (q->n != 1)
		return refuse(why, EX_USAGE, "show one message: subpost show ID");
	return listing_show(q->spool, q->config, q->who, q->args[0], json, q->out, why);
}

/* ---- retry, flush ------------------------------------------------------------------------ */

/* Whose retry lifts the account's back-off: it is everybody's, and a server that
 * wants to be left alone is not called because one of them is impatient. */
static bool
may_lift(const struct question *q)
{
	return q->who->own || q->who->all;
}

/* All of the asker's that are due, one by one: the runner keeps them where they are
 * until it is told. */
static enum outcome
tell_of_all_due(const struct question *q, struct why *why)
{
	enum wake_sent sent = WAKE_SENT;
	struct ids ids;
	enum outcome o = spool_list(q->spool, SPOOL_QUEUE, &ids, why);

	for (size_t i = 0; o == DONE && i < ids.n && sent == WAKE_SENT; i++) {
		struct letter l = LETTER_INIT;

		if (steer_may_perhaps(q->spool, q->who, ids.v[i]) &&
		    spool_read(q->spool, SPOOL_QUEUE, ids.v[i], &l, why) == DONE &&
		    steer_may(q->who, &l) && !l.fate.held && l.fate.next == 0)
			sent = tell_of(q, ids.v[i]);
		spool_letter_free(&l);
	}
	spool_ids_free(&ids);
	return o == DONE ? answer_for(sent, why) : o;
}

/* The account does not wait for anybody's message in particular. */
static enum outcome
lift_back_off(const struct question *q, struct why *why)
{
	struct str words = q->force ? STR("retry force") : STR("retry");

	if (q->who->own)
		return wake_runner(q->spool, words, true, why);
	return answer_for(wake_insist(q->spool, words), why);
}

/* Until when all accounts of this asker wait, whatever they may do about it; 0: one does
 * not. */
static time_t
waits_until(const struct question *q)
{
	time_t now = time(NULL), first = 0;
	struct carriers k;

	if (may_lift(q))
		return 0;
	carriers_load(&k, q->spool, q->config, q->who);
	for (unsigned i = 0; i < config_accounts(q->config); i++) {
		const struct health *h = &k.v[i];

		if (!carriers_are_theirs(&k, q->who, i))
			continue;
		if (!h->down || h->until <= now)
			return 0;
		if (first == 0 || h->until < first)
			first = h->until;
	}
	return first;
}

static void
say_when(const struct question *q, time_t until)
{
	struct buf stamp = { 0 };

	codec_stamp(&stamp, until);
	fprintf(q->out, "the account waits until %s; only an operator can try sooner\n", buf_c(&stamp));
	buf_free(&stamp);
}

/* Each id up to the first that fails; what was done before it is done, and told. */
static enum outcome
retry_these(const struct question *q, struct why *why)
{
	enum wake_sent sent = WAKE_SENT;
	enum outcome o = DONE, told;
	struct why reason = { 0 };
	size_t done = 0;

	while (done < q->n && (o = steer_retry(q->spool, q->who, q->args[done], why)) == DONE) {
		if (!may_lift(q) && sent != WAKE_FULL)
			sent = tell_of(q, q->args[done]);
		done++;
	}
	if (done == 0)
		return o;
	told = may_lift(q) ? lift_back_off(q, &reason) : answer_for(sent, &reason);
	if (o == DONE && told != DONE) {
		*why = reason;
		o = told;
	}
	return o;
}

static enum outcome
retry_all(const struct question *q, bool anew, size_t *waiting, struct why *why)
{
	enum outcome o = steer_retry_all(q->spool, q->who, anew, waiting, why);

	if (o != DONE)
		return o;
	return may_lift(q) ? lift_back_off(q, why) : tell_of_all_due(q, why);
}

static enum outcome
do_retry(struct question *q, struct why *why)
{
	time_t until = waits_until(q);
	size_t waiting = 1;
	enum outcome o;

	q->force = takes(q, "force");
	if (q->force && !may_lift(q))
		return refuse(why, EX_NOPERM, "only an operator may try a login again that was refused");
	o = q->n == 0 || takes(q, "all") ? retry_all(q, true, &waiting, why) : retry_these(q, why);
	if (o == DONE && until != 0 && waiting > 0)
		say_when(q, until);
	return o;
}

/* Says what it did, since somebody may be looking; an empty queue is silent, since
 * cron jobs call this, too. */
static enum outcome
do_flush(struct question *q, struct why *why)
{
	bool verbose = takes(q, "verbose");
	time_t until = waits_until(q);
	const char *when = until != 0 ? "due" : "tried now";
	size_t waiting = 1;
	enum outcome o;

	if (q->n > 1)
		return refuse(why, EX_USAGE, "one message at a time: sendmail -qI ID");
	o = q->n == 1 ? retry_these(q, why) : retry_all(q, false, &waiting, why);
	if (o != DONE)
		return o;
	if (q->n == 1)
		fprintf(q->out, "%s is %s\n", q->args[0], when);
	else if (waiting > 0)
		fprintf(q->out, "%zu message%s %s\n", waiting, waiting == 1 ? " is" : "s are", when);
	else if (verbose)
		fputs(q->who->all ? "the queue is empty\n" : "no mail of yours is in the queue\n", q->out);
	if (until != 0 && waiting > 0)
		say_when(q, until);
	return DONE;
}

/* ---- hold, release, delete ----------------------------------------------------------------- */

static enum outcome
hold(const struct question *q, const char *id, struct why *why)
{
	enum outcome o = steer_hold(q->spool, q->who, id, NULL, why);

	/* Should nobody hear it: whoever takes the message reads there that it is held. */
	if (o == DONE)
		tell_of(q, id);
	return o;
}

static enum outcome
release(const struct question *q, const char *id, struct why *why)
{
	struct buf words = { 0 };
	enum outcome o = steer_release(q->spool, q->who, id, why);
	enum wake_sent sent;

	if (o != DONE)
		return o;
	sent = tell_of(q, id);
	if (sent != WAKE_NOBODY || !q->who->own)
		return answer_for(sent, why);
	buf_addf(&words, "wake %s", id);
	o = wake_runner(q->spool, buf_str(&words), false, why);
	buf_free(&words);
	return o;
}

static enum outcome
delete(const struct question *q, const char *id, struct why *why)
{
	enum outcome o = steer_delete(q->spool, q->who, id, why);

	/* The runner looks for it, and forgets it. */
	if (o == DONE)
		tell_of(q, id);
	return o;
}

static enum outcome
each(struct question *q, const char *verb,
    enum outcome (*one)(const struct question *q, const char *id, struct why *why), struct why *why)
{
	enum outcome o = DONE;

	if (q->n == 0)
		return refuse(why, EX_USAGE, "%s which? subpost %s ID...", verb, verb);
	for (size_t i = 0; o == DONE && i < q->n; i++)
		o = one(q, q->args[i], why);
	return o;
}

static enum outcome
do_hold(struct question *q, struct why *why)
{
	return each(q, "hold", hold, why);
}

static enum outcome
do_release(struct question *q, struct why *why)
{
	return each(q, "release", release, why);
}

static enum outcome
do_delete(struct question *q, struct why *why)
{
	return each(q, "delete", delete, why);
}

/* ---- status ---------------------------------------------------------------------------------- */

struct state {
	size_t waiting, held, failed;
	time_t oldest;          /* of those that wait, or are held; 0: there are none */
	struct carriers carriers;
	pid_t runner;           /* 0: none */
};

static void
count_one(struct state *t, enum spool_place place, const struct letter *l, const char *id)
{
	time_t arrived = l->damaged ? envelope_id_time(id) : l->envelope.arrived;

	if (place == SPOOL_FAILED) {
		t->failed++;
		return;
	}
	if (l->damaged || l->fate.held)
		t->held++;
	else
		t->waiting++;
	if (t->oldest == 0 || arrived < t->oldest)
		t->oldest = arrived;
}

static enum outcome
count(const struct question *q, enum spool_place place, struct state *t, struct why *why)
{
	struct ids ids;
	enum outcome o = spool_list(q->spool, place, &ids, why);

	for (size_t i = 0; o == DONE && i < ids.n; i++) {
		struct letter l = LETTER_INIT;
		struct why reason;

		if ((place == SPOOL_FAILED || steer_may_perhaps(q->spool, q->who, ids.v[i])) &&
		    spool_read(q->spool, place, ids.v[i], &l, &reason) == DONE && steer_may(q->who, &l))
			count_one(t, place, &l, ids.v[i]);
		spool_letter_free(&l);
	}
	spool_ids_free(&ids);
	return o;
}

static void
print_accounts(const struct question *q, const struct state *t)
{
	struct buf line = { 0 };

	for (unsigned i = 0; i < config_accounts(q->config); i++) {
		const char *name = config_account(q->config, i)->name;

		if (!carriers_are_theirs(&t->carriers, q->who, i))
			continue;
		buf_clear(&line);
		health_describe(&t->carriers.v[i], name, time(NULL), &line);
		if (line.len == 0)
			buf_addf(&line, "%s is up", name);
		fprintf(q->out, "account  %s\n", buf_c(&line));
	}
	buf_free(&line);
}

static void
print_state(const struct question *q, const struct state *t)
{
	struct buf line = { 0 };

	fprintf(q->out, "office   %s\n", q->who->own ? "own" : "service");
	if (q->who->all)
		fprintf(q->out, "queue    %s\n", q->spool->path);
	if (t->oldest != 0) {
		buf_adds(&line, ", the oldest since ");
		codec_stamp(&line, t->oldest);
	}
	fprintf(q->out, "mail     %zu waiting, %zu held, %zu failed%s%s\n", t->waiting, t->held, t->failed,
	    buf_c(&line), q->who->all ? "" : " (yours)");
	print_accounts(q, t);
	if (t->runner > 0)
		fprintf(q->out, "runner   at work, process %ld\n", (long)t->runner);
	else
		fputs("runner   none; one is started when there is something to do\n", q->out);
	buf_free(&line);
}

static void
put_json_account(struct buf *line, const char *name, const struct health *h)
{
	buf_addf(line, "{\"name\":\"%s\",\"state\":\"%s\",\"since\":%lld,\"until\":%lld,\"reason\":", name,
	    h->down ? "down" : "up", (long long)h->since, (long long)h->until);
	codec_json(line, str_of(h->why.text));
	buf_addc(line, '}');
}

/* Every account of theirs, and the first one by itself, for programs that are older
 * than the others. */
static void
print_json_state(const struct question *q, const struct state *t)
{
	struct buf line = { 0 }, all = { 0 };

	buf_addf(&line, "{\"office\":\"%s\",\"waiting\":%zu,\"held\":%zu,\"failed\":%zu,\"oldest\":%lld,"
	    "\"account\":", q->who->own ? "own" : "service", t->waiting, t->held, t->failed,
	    (long long)t->oldest);
	for (unsigned i = 0; i < config_accounts(q->config); i++) {
		const char *name = config_account(q->config, i)->name;

		if (!carriers_are_theirs(&t->carriers, q->who, i))
			continue;
		if (all.len == 0)
			put_json_account(&line, name, &t->carriers.v[i]);
		buf_adds(&all, all.len > 0 ? "," : "");
		put_json_account(&all, name, &t->carriers.v[i]);
	}
	buf_addf(&line, ",\"accounts\":[%s],\"runner\":{\"running\":%s,\"pid\":%ld}}", buf_c(&all),
	    t->runner > 0 ? "true" : "false", (long)t->runner);
	fprintf(q->out, "%s\n", buf_c(&line));
	buf_free(&line);
	buf_free(&all);
}

static enum outcome
do_status(struct question *q, struct why *why)
{
	bool json = takes(q, "json");
	struct state t = { 0 };
	enum outcome o;

	if (q->n > 0)
		return refuse(why, EX_USAGE, "status takes no message; one is shown by: subpost show ID");
	if ((o = count(q, SPOOL_QUEUE, &t, why)) != DONE || (o = count(q, SPOOL_FAILED, &t, why)) != DONE)
		return o;
	carriers_load(&t.carriers, q->spool, q->config, q->who);
	t.runner = spool_runner_pid(q->spool);
	if (json)
		print_json_state(q, &t);
	else
		print_state(q, &t);
	return DONE;
}

/* ---- the table --------------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	enum outcome (*run)(struct question *q, struct why *why);
} verbs[] = {
	{ "list", do_list },
	{ "show", do_show },
	{ "retry", do_retry },
	{ "flush", do_flush },
	{ "hold", do_hold },
	{ "release", do_release },
	{ "delete", do_delete },
	{ "status", do_status },
};

enum outcome
verbs_run(struct spool *s, const struct config *c, const struct asker *who, char *const *words,
    FILE *out, struct why *why)
{
	struct question q = { .spool = s, .config = c, .who = who, .out = out };

	if (words[0] == NULL)
		return refuse(why, EX_USAGE, "nothing was asked");
	q.args = words + 1;
	while (q.args[q.n] != NULL)
		q.n++;
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(words[0], verbs[i].name) == 0)
			return verbs[i].run(&q, why);
	return refuse(why, EX_USAGE, "this version knows no %s", codec_show(str_of(words[0])).p);
}
