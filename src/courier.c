/* courier: one conversation with a smarthost, for many messages; the main of
 * subpost-courier.
 *
 * First it collects what lies about in the world: configuration, secret, trust
 * store, time zone, addresses, the connection.  Then it shuts itself in, before
 * it reads the smarthost's first octet.  Messages come as open descriptors, and
 * all it can do with what it learns is to report (errand.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "debt.h"
#include "dialogue.h"
#include "errand.h"
#include "parcel.h"
#include "sandbox.h"
#include "session.h"
#include "spool.h"
#include "trial.h"
#include "wake.h"

struct courier {
	struct session session;
	struct dialogue dialogue;
	int wake;               /* to tell the next runner, should ours die */
	char *wake_path;
	struct debts debts;
	struct errand *ahead;   /* jobs that are not begun */
	size_t nahead;
	struct parcel **parcels;        /* and those that are, the oldest first */
	size_t nparcels;
	char shown[ENVELOPE_ID_LEN + 1];        /* who looks at this one has seen our opening */
	bool served;            /* there was a job */
	bool quit;
	bool told_depth;
};

/* ---- reporting -------------------------------------------------------------- */

static void
say_down(struct courier *c, enum outcome o, const struct why *why)
{
	struct buf record = { 0 };

	errand_put_down(&record, o, why);
	session_say(&c->session, &record);
}

static void
hold(struct courier *c, const char *id, const char *reason)
{
	struct buf record = { 0 };

	buf_addf(&record, "hold %s %s", id, reason);
	session_say(&c->session, &record);
}

/* One record of the runner's; false where there is none, or no runner. */
static bool
hear_runner(struct courier *c, bool wait)
{
	struct errand e = { 0 };
	bool heard = true;

	switch (errand_read(ERRAND_FD, wait, &e)) {
	case ERRAND_JOB:
		c->served = true;
		c->ahead = mem_grow(c->ahead, c->nahead + 1, sizeof *c->ahead);
		c->ahead[c->nahead++] = e;
		return true;
	case ERRAND_NOTED:
		debts_noted(&c->debts, e.id);
		break;
	case ERRAND_QUIT:
		c->quit = true;
		break;
	case ERRAND_NOTHING:
		heard = false;
		break;
	default:
		c->session.deaf = true;
		heard = false;
		break;
	}
	errand_free(&e);
	return heard;
}

/* Waits until no more than so many of our reports are not on disk. */
static bool
await_noted(struct courier *c, size_t most)
{
	while (c->debts.n > most && hear_runner(c, true))
		continue;
	return c->debts.n <= most;
}

/* Is it the server's word, or something that we have to say of it?  What has no scope is
 * neither: it is LATER by our silence. */
static bool
is_worth_telling(const struct answer *a)
{
	return a->outcome != LATER || a->why.code != 0 || a->why.scope != SCOPE_NONE;
}

static void
tell(struct courier *c, struct buf *record)
{
	const struct buf *kept = debts_put(&c->debts, record);

	if (!c->session.deaf && !errand_say(ERRAND_FD, buf_str(kept)))
		c->session.deaf = true;
}

/* The dialogue about it: of use to people, and no answer. */
static void
tell_dialogue(struct courier *c, const struct parcel *p)
{
	struct buf record = { 0 };

	if (c->session.deaf || p->trace.kept.len == 0)
		return;
	errand_put_said(&record, p->id, buf_str(&p->trace.kept));
	session_say(&c->session, &record);
}

/* Tells every recipient's answer, and keeps the words and the lock until they
 * are noted. */
static void
report(struct courier *c, const struct share *s)
{
	struct parcel *p = s->parcel;
	bool over = parcel_is_over(p), all_done = true, lost = c->session.smtp.lost;
	struct buf record = { 0 };
	size_t told = 0;

	for (size_t i = 0; i < s->t.n; i++) {
		told += !s->t.answers[i].again && is_worth_telling(&s->t.answers[i]);
		all_done = all_done && s->t.answers[i].outcome == DONE;
	}
	/* Given to us, and now not for us: it goes back with our end. */
	if (told == 0 && (!over || lost))
		return;
	if (!all_done)
		tell_dialogue(c, p);
	debts_add(&c->debts, p->id, over ? p->letter.fd : fcntl(p->letter.fd, F_DUPFD_CLOEXEC, 0),
	    all_done && over);
	if (over)
		p->letter.fd = -1;
	for (size_t i = 0; i < s->t.n; i++) {
		const struct answer *a = &s->t.answers[i];

		if (a->again || !is_worth_telling(a))
			continue;
		errand_put_to(&record, p->id, p->places[s->which[i]], a->outcome, &a->why);
		tell(c, &record);
	}
	if (over)
		errand_put_end(&record, p->id);
	else
		errand_put_part(&record, p->id);
	tell(c, &record);
}

/* ---- collecting ---------------------------------------------------------------- */

/* The wake-up socket of our queue, for the case that our runner dies.  Found
 * from the configuration, since no option names a file. */
static void
prepare_wake(struct courier *c)
{
	struct spool s = SPOOL_INIT;

	s.path = c->session.config.directory;
	c->wake = wake_socket();
	c->wake_path = wake_path(&s);
}

static void
shut_in(struct courier *c)
{
	struct buf missing = { 0 }, record = { 0 };

	sandbox_shut(c->wake, &missing);
	if (missing.len > 0) {
		buf_addf(&record, "note sandbox is not whole: %s", buf_c(&missing));
		session_say(&c->session, &record);
	}
	buf_free(&missing);
}

/* ---- jobs ------------------------------------------------------------------------------ */

static void
drop_parcel(struct courier *c, struct parcel *p)
{
	size_t at = 0;

	while (c->parcels[at] != p)
		at++;
	c->nparcels--;
	memmove(c->parcels + at, c->parcels + at + 1, (c->nparcels - at) * sizeof *c->parcels);
	parcel_free(p);
	free(p);
}

/* What was no answer of the server's would be missing in the dialogue. */
static void
show_silence(const struct share *s)
{
	for (size_t i = 0; i < s->t.n; i++) {
		if (s->t.answers[i].outcome == DONE || s->t.answers[i].why.code != 0)
			continue;
		trace_note(&s->parcel->trace, "--- %s", s->t.answers[i].why.text);
		break;
	}
}

/* A transaction is over. */
static void
conclude(struct courier *c, struct share *s)
{
	struct parcel *p = s->parcel;

	show_silence(s);
	share_return(s, !c->session.smtp.lost);
	if (s->t.text.damage != NULL && !p->held) {
		hold(c, p->id, s->t.text.damage);
		p->held = true;
	}
	if (!p->held)
		report(c, s);
	share_free(s);
	if (p->shares == 0 && (p->held || parcel_is_over(p)))
		drop_parcel(c, p);
}

/* What the sender wished to be told, and this server knows nothing of. */
static void
note_dropped(struct courier *c, struct parcel *p)
{
	const struct offers *o = &c->session.smtp.offers;
	const struct envelope *e = &p->letter.envelope;
	bool wished = e->wishes.ret != DSN_RETURN_UNSAID || e->wishes.envid != NULL;
	struct buf record = { 0 };

	for (size_t i = 0; i < p->n && !wished; i++)
		wished = e->to[p->places[i]].notify != 0 || e->to[p->places[i]].orcpt != NULL;
	if ((!wished || o->dsn) && (e->wishes.by != DSN_BY_NOTIFY || o->by))
		return;
	buf_addf(&record, "note %s: the server offers no %s, so what the sender wishes to be told "
	    "was not passed on", p->id, wished && !o->dsn ? "DSN" : "DELIVERBY");
	trace_note(&p->trace, "--- %s", buf_c(&record) + strlen("note "));
	session_say(&c->session, &record);
}

/* From the address that the account demands, for who submitted it. */
static enum outcome
make_ours(struct courier *c, struct parcel *p, struct why *why)
{
	const struct smarthost *a = c->session.account;

	if (!a->force_from)
		return DONE;
	return parcel_force(p, config_forced_from(&c->session.config, a, p->letter.envelope.uid), why);
}

/* Everybody's answer, without a word to the server. */
static void
decline(struct courier *c, struct parcel *p, const struct why *why)
{
	struct share *s = parcel_share(p, 0, 0);

	for (size_t i = 0; i < s->t.n; i++)
		s->t.answers[i] = (struct answer){ .outcome = NEVER, .why = *why };
	conclude(c, s);
}

/* Begins the next job that was given ahead. */
static void
begin_job(struct courier *c)
{
	struct errand job = c->ahead[0];
	struct parcel *p = mem_alloc(sizeof *p);
	struct why why;
	enum outcome o = LATER;

	c->nahead--;
	memmove(c->ahead, c->ahead + 1, c->nahead * sizeof *c->ahead);
	c->parcels = mem_grow(c->parcels, c->nparcels + 1, sizeof *c->parcels);
	c->parcels[c->nparcels++] = p;
	if (parcel_take(p, &job, &why)) {
		trace_begin(&p->trace, &c->session.trace, job.has_trace ? job.trace : -1,
		    strcmp(c->shown, p->id) == 0);
		job.trace = -1;
		memcpy(c->shown, p->id, sizeof c->shown);
		note_dropped(c, p);
		o = make_ours(c, p, &why);
	}
	if (o == NEVER) {
		decline(c, p, &why);
	} else if (o == LATER) {
		hold(c, p->id, why.text);
		drop_parcel(c, p);
	}
	errand_free(&job);
}

/* ---- the dialogue's questions ---------------------------------------------------------- */

static size_t
lower_limit(size_t a, size_t b)
{
	return b > 0 && (a == 0 || b < a) ? b : a;
}

static struct transaction *
next_share(void *arg)
{
	struct courier *c = arg;
	const struct offers *o = &c->session.smtp.offers;
	size_t most = lower_limit(lower_limit(c->session.account->recipients_per_message, o->rcpt_max),
	    c->dialogue.crowd);

	while (!c->quit && !c->session.deaf) {
		for (size_t i = 0; i < c->nparcels; i++) {
			struct share *s = c->parcels[i]->held ? NULL :
			    parcel_share(c->parcels[i], most, o->domain_max);

			if (s != NULL)
				return &s->t;
		}
		if (c->nahead > 0)
			begin_job(c);
		else if (!hear_runner(c, false))
			break;
	}
	return NULL;
}

static bool
has_more(void *arg)
{
	struct courier *c = arg;

	for (size_t i = 0; i < c->nparcels; i++)
		if (!c->parcels[i]->held && parcel_has_share(c->parcels[i]))
			return true;
	while (c->nahead == 0 && !c->quit && !c->session.deaf && hear_runner(c, false))
		continue;
	return c->nahead > 0;
}

/* Before the end of a message: so many of those before it are on disk that no more are in
 * doubt than may be, and somebody is there to hear this one's. */
static bool
may_end(void *arg, unsigned others)
{
	struct courier *c = arg;
	struct pollfd p = { .fd = ERRAND_FD };
	unsigned depth = c->dialogue.depth > 1 ? c->dialogue.depth : 1;

	if (!await_noted(c, depth > others + 1 ? depth - others - 1 : 0))
		return false;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
		c->session.deaf = true;
	return !c->session.deaf;
}

/* ---- serving ------------------------------------------------------------------------------ */

static void
note_depth(struct courier *c)
{
	struct buf record = { 0 };

	if (!c->dialogue.surprised || c->told_depth)
		return;
	c->told_depth = true;
	buf_adds(&record, "note the server refused a message that others were on the way behind: from "
	    "here on one at a time on this connection");
	session_say(&c->session, &record);
}

/* What the next courier must know. */
static void
tell_apart(struct courier *c)
{
	struct buf record = { 0 };

	if (!c->dialogue.broke)
		return;
	c->dialogue.broke = false;
	buf_adds(&record, "apart");
	session_say(&c->session, &record);
}

/* Until there is something to do. */
static void
await_work(struct courier *c)
{
	struct conn *conn = &c->session.conn;
	struct pollfd p[] = { { .fd = ERRAND_FD, .events = POLLIN }, { .fd = conn->fd, .events = POLLIN } };
	struct why why;

	if (poll(p, 2, -1) < 0) {
		c->session.deaf = errno != EINTR;
	} else if (p[1].revents != 0 && conn_has_surprise(conn)) {
		/* A server that speaks while nobody has asked is ending the session. */
		c->session.smtp.lost = true;
		if (!c->served)
			say_down(c, later(&why, SCOPE_SERVER, "4.4.2", "the server ended the session before "
			    "any message"), &why);
	} else if (p[0].revents != 0) {
		hear_runner(c, false);
	}
}

static void
serve(struct courier *c)
{
	struct session *s = &c->session;
	unsigned depth = s->order.depth > 0 ? s->order.depth : s->account->pipeline_depth;

	c->dialogue = (struct dialogue){ .smtp = &s->smtp, .depth = depth < DIALOGUE_DEPTH_MAX ? depth :
	    DIALOGUE_DEPTH_MAX, .most = s->account->messages_per_connection, .apart = s->order.apart, .next = next_share, .more = has_more,
	    .may_end = may_end, .arg = c };
	for (;;) {
		struct transaction *t = dialogue_go_on(&c->dialogue);

		tell_apart(c);
		if (t != NULL)
			conclude(c, share_of(t));
		else if (s->deaf || s->smtp.lost || c->quit || dialogue_is_spent(&c->dialogue))
			break;
		else
			await_work(c);
		note_depth(c);
	}
}

/* For `subpost check --depth`. */
static void
try_depth(struct courier *c)
{
	struct session *s = &c->session;
	struct buf record = { 0 };
	struct why why;

	if (!s->checking || s->order.depth == 0)
		return;
	if (trial_window(&s->smtp, s->account->from, s->order.depth, &why) == DONE) {
		session_step(s, "copes with pipeline-depth = %u", s->order.depth);
		return;
	}
	buf_addf(&record, "note pipeline-depth = %u is not for this server: %s", s->order.depth, why.text);
	session_say(s, &record);
}

static void
let_go(struct courier *c)
{
	while (c->nparcels > 0)
		drop_parcel(c, c->parcels[0]);
	for (size_t i = 0; i < c->nahead; i++)
		errand_free(&c->ahead[i]);
	free(c->parcels);
	free(c->ahead);
	dialogue_free(&c->dialogue);
}

int
main(int argc, char **argv)
{
	struct courier c = { .session = SESSION_INIT, .wake = -1 };
	struct session *session = &c.session;
	struct buf ready = { 0 };
	struct why why = { 0 };
	bool serving = false;
	enum outcome o;

	sandbox_no_core();
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2) {
		bool both = strcmp(argv[1], ERRAND_CHECK_SERVICE) == 0;

		session->checking = both || strcmp(argv[1], ERRAND_CHECK) == 0;
		serving = both || strcmp(argv[1], ERRAND_SERVICE) == 0;
	}
	if ((argc != 1 && !session->checking && !serving) || fcntl(ERRAND_FD, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "subpost-courier: started by subpostd, not by hand; "
		    "to try an account type: subpost check\n");
		return EX_USAGE;
	}
	o = session_collect(session, serving, &why);
	if (o == DONE) {
		prepare_wake(&c);
		shut_in(&c);
		o = session_open(session, &why);
	}
	session_forget(session);
	if (o == DONE) {
		try_depth(&c);
		errand_put_login(&ready, false, session->mechanism, session->print);
		session_say(session, &ready);
		serve(&c);
	} else if (!session->unproven) {
		say_down(&c, o, &why);
	}
	if (session->deaf || !await_noted(&c, 0))
		debts_tell(&c.debts, c.wake, c.wake_path);
	debts_free(&c.debts);
	let_go(&c);
	smtp_quit(&session->smtp);
	session_free(session);
	free(c.wake_path);
	return 0;
}
