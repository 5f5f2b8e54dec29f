#include "sorting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define LOCKED_PAUSE 1          /* seconds until a message that somebody has is looked at again */
#define WRITE_PAUSE 1           /* seconds until what is kept is written again; doubled each time */
#define ENDINGS_MAX 3           /* sessions that may end on a message by chance */
#define LOOKS 300               /* messages that are looked through in one turn */

_Static_assert(ACCOUNTS_MAX <= AGENDA_NOWHERE, "an account has its bit in a word of 32");

static uint32_t
bit(unsigned account)
{
	return (uint32_t)1 << account;
}

/* ---- the accounts ------------------------------------------------------------------ */

static struct account *
named(struct account **v, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(v[i]->name, name) == 0)
			return v[i];
	return NULL;
}

void
sorting_load(struct sorting *s)
{
	s->naccounts = config_accounts(s->config);
	s->accounts = mem_grow(NULL, s->naccounts, sizeof(struct account *));
	for (unsigned i = 0; i < s->naccounts; i++) {
		s->accounts[i] = mem_alloc(sizeof **s->accounts);
		account_load(s->accounts[i], s->spool, s->config, i);
	}
	s->ledger.ways = s->naccounts;
}

void
sorting_renew(struct sorting *s)
{
	struct account **before = s->accounts;
	unsigned n = s->naccounts;

	s->naccounts = config_accounts(s->config);
	s->accounts = mem_grow(NULL, s->naccounts, sizeof(struct account *));
	for (unsigned i = 0; i < n; i++)
		before[i]->gone = true;
	for (unsigned i = 0; i < s->naccounts; i++) {
		struct account *a = named(before, n, config_account(s->config, i)->name);

		if (a == NULL) {
			a = mem_alloc(sizeof *a);
			account_load(a, s->spool, s->config, i);
		}
		a->gone = false;
		account_move(a, i);
		s->accounts[i] = a;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!before[i]->gone)
			continue;
		s->gone = mem_grow(s->gone, s->ngone + 1, sizeof(struct account *));
		s->gone[s->ngone++] = before[i];
	}
	free(before);
	s->ledger.ways = s->naccounts;
	agenda_move_all(&s->ledger.agenda, s->naccounts > 1 ? AGENDA_NOWHERE : 0);
}

void
sorting_free(struct sorting *s)
{
	for (size_t i = 0; i < s->nkept; i++)
		job_free(&s->kept[i]);
	free(s->kept);
	for (unsigned i = 0; i < s->naccounts; i++)
		free(s->accounts[i]);
	for (unsigned i = 0; i < s->ngone; i++)
		free(s->gone[i]);
	free(s->accounts);
	free(s->gone);
	ledger_free(&s->ledger);
	*s = (struct sorting){ 0 };
}

bool
sorting_is_stuck(const struct sorting *s)
{
	return s->nkept > 0 || s->owed > 0;
}

/* Who carries the mail of an account that has given way: the first of its fallbacks that
 * has not, itself.  NULL: nobody.  A circle, which config refuses, would end too. */
static const struct account *
stand_in(const struct sorting *s, const struct account *a, time_t now)
{
	for (unsigned steps = 0; steps < s->naccounts && account_gives_way(a, now); steps++) {
		const struct smarthost *h = account_host(a);

		a = h->fallback[0] != '\0' ? named(s->accounts, s->naccounts, h->fallback) : NULL;
		if (a == NULL)
			return NULL;
		if (account_not_before(a, now) == 0)
			return a;
	}
	return NULL;
}

uint32_t
sorting_carries(const struct sorting *s, const struct account *a, time_t now)
{
	uint32_t carried = a->gone ? 0 : bit(a->place);

	for (unsigned i = 0; i < s->naccounts; i++)
		if (stand_in(s, s->accounts[i], now) == a)
			carried |= bit(i);
	return carried;
}

/* Does mail of that account leave just now, by itself or by another? */
static bool
leaves(const struct sorting *s, unsigned account, time_t now)
{
	const struct account *a = s->accounts[account];

	return account_not_before(a, now) == 0 || stand_in(s, a, now) != NULL;
}

/* Of these ways the one that it goes next: one that is open, as it goes already if it
 * can; else the first that will be. */
static unsigned
choose(const struct sorting *s, const struct waiting *w, uint32_t ways, time_t now)
{
	unsigned before = agenda_account(&s->ledger.agenda, w), best = AGENDA_NOWHERE;

	if (before < s->naccounts && (ways & bit(before)) != 0 && leaves(s, before, now))
		return before;
	for (unsigned i = 0; i < s->naccounts; i++) {
		if ((ways & bit(i)) == 0)
			continue;
		if (leaves(s, i, now))
			return i;
		if (best == AGENDA_NOWHERE || account_not_before(s->accounts[i], now) <
		    account_not_before(s->accounts[best], now))
			best = i;
	}
	return best;
}

/* Puts it into the lane of the account by which it goes next; false where nobody does. */
static bool
set_out(struct sorting *s, struct waiting *w, const struct letter *l, uint32_t ways, time_t now)
{
	unsigned way;

	if (ways == 0)
		return false;
	w->split = (ways & (ways - 1)) != 0;
	if ((ways & ~w->asked) == 0) {
		w->asked = 0;
		w->round = 0;
	}
	way = s->naccounts > 1 ? choose(s, w, ways & ~w->asked, now) : 0;
	if (way != agenda_account(&s->ledger.agenda, w)) {
		w->round = 0;
		agenda_move(&s->ledger.agenda, w, ledger_owner(&s->ledger, l), way);
	}
	return true;
}

/* ---- what the disk would not take ---------------------------------------------------- */

void
sorting_write_later(struct sorting *s)
{
	if (s->write_pause == 0)
		s->write_pause = WRITE_PAUSE;
	else
		s->write_pause = s->write_pause < LEDGER_PAUSE / 2 ? s->write_pause * 2 : LEDGER_PAUSE;
	s->write_at = clock_now() + s->write_pause;
}

static void
keep(struct sorting *s, struct job *j)
{
	struct waiting *w = ledger_entry(&s->ledger, &j->letter);

	if (!sorting_is_stuck(s)) {
		s->write_pause = 0;
		sorting_write_later(s);
	}
	j->due = w->due;
	agenda_rest(&s->ledger.agenda, w);
	w->out = true;
	s->kept = mem_grow(s->kept, s->nkept + 1, sizeof *s->kept);
	s->kept[s->nkept++] = *j;
	*j = (struct job)JOB_INIT;
}

unsigned
sorting_write_next(struct sorting *s, pid_t *courier, char id[ENVELOPE_ID_LEN + 1])
{
	struct agenda *a = &s->ledger.agenda;
	struct job *j = &s->kept[0];
	unsigned n = j->owed + 1;
	struct waiting *w;

	memcpy(id, j->letter.envelope.id, ENVELOPE_ID_LEN + 1);
	*courier = j->courier;
	/* What an orphan told us of is nobody's once that has left. */
	spool_lock(&j->letter);
	if (!spool_is_removed(&j->letter) && !ledger_record(&s->ledger, &j->letter, true, false))
		return 0;
	w = agenda_find(a, id);
	if (w != NULL) {
		w->out = false;
		if (spool_is_removed(&j->letter))
			agenda_remove(a, w);
		else if (!j->letter.fate.held)
			agenda_wait(a, w, j->due);
	}
	job_free(j);
	memmove(s->kept, s->kept + 1, --s->nkept * sizeof *s->kept);
	return n;
}

/* ---- what a job came to ---------------------------------------------------------------- */

/* An account's or server's answer to one message pauses the account, and the
 * message goes to the back, so that the next probe takes another.  But if
 * others have passed since it drew such an answer before, the trouble is its
 * own: true, and the account goes on. */
static bool
is_its_own_trouble(const struct account *a, const struct waiting *w)
{
	return a != NULL && w->drew != 0 && w->drew_from == a->place && a->passes + 1 > w->drew;
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
defer(const struct sorting *s, struct fate *f)
{
	f->tries++;
	f->next = schedule_next(&s->config->retry_refused, f->tries, time(NULL), clock_salt());
}

static bool
somebody_is_later(const struct job *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->letter.fate.to[j->recipients[i]].outcome == LATER)
			return true;
	return false;
}

/* The next part of the round: those of this account that one job does not take, or those of
 * the next account that takes mail now.  False when the round is over. */
static bool
go_round(struct sorting *s, struct waiting *w, struct job *j, time_t now)
{
	uint32_t ways, open = 0;
	bool unrouted;

	if (!j->troubled && !j->cut && job_has_more(j, s->config)) {
		w->round = (uint32_t)j->recipients[j->n - 1] + 1;
		return true;
	}
	w->round = 0;
	w->asked |= bit(j->account);
	if (fate_is_settled(&j->letter.fate))
		return false;
	ways = job_ways(s->config, &j->letter, &unrouted);
	w->put_off = w->put_off || unrouted;
	for (unsigned i = 0; i < s->naccounts; i++)
		if ((ways & ~w->asked & bit(i)) != 0 && leaves(s, i, now))
			open |= bit(i);
	if (open != 0)
		return set_out(s, w, &j->letter, open | w->asked, now);
	w->asked = 0;
	set_out(s, w, &j->letter, ways, now);
	return false;
}

/* Servers end a session when they have had enough of it: what comes next on a connection
 * that has worked may go by another one at once.  That it has, the courier may know of one
 * which in the end was in doubt: that says nothing good of the server, nor anything bad. */
static bool
is_end_of_session(const struct job *j, const struct carrier *by)
{
	if (j->spoken)
		return false;
	if (!by->worked)
		return j->cut && !j->troubled;
	return j->cut || (j->troubled && j->trouble.scope == SCOPE_SERVER &&
	    (j->trouble.code == 421 || j->trouble.code == 0));
}

/* Is what it drew its own?  A session that ends may do so by chance, but not each time on
 * the same message. */
static bool
is_its_own(struct waiting *w, const struct job *j, const struct carrier *by)
{
	if (is_end_of_session(j, by))
		return ++w->endings >= ENDINGS_MAX;
	return is_refused_report(j) || (j->troubled && is_its_own_trouble(by->account, w));
}

/* What it says of who has carried it. */
static void
judge(struct waiting *w, const struct job *j, const struct carrier *by, bool own)
{
	struct account *a = by->account;

	if (is_refused_report(j) || is_end_of_session(j, by))
		return;
	if (j->troubled && !own) {
		w->drew = a->passes + 1;
		w->drew_from = (uint8_t)a->place;
		account_failed(a, by->server, &j->trouble, time(NULL));
	} else {
		account_passed(a, by->server);
	}
}

bool
sorting_conclude(struct sorting *s, struct job *j, const struct carrier *by)
{
	struct waiting *w = ledger_entry(&s->ledger, &j->letter);
	struct fate *f = &j->letter.fate;
	time_t now = time(NULL);
	bool own = is_its_own(w, j, by), more, back = j->troubled || j->cut;

	s->owed -= j->owed;
	w->out = false;
	job_log(j, by->account != NULL);
	if (by->account != NULL)
		judge(w, j, by, own);
	if (own) {
		j->spoken = true;
		f->last = j->trouble;
	}
	w->put_off = w->put_off || (j->spoken && somebody_is_later(j));
	more = go_round(s, w, j, now);
	if (!more) {
		if (w->put_off && fate_count(f, LATER) > 0)
			defer(s, f);
		w->put_off = false;
	}
	agenda_wait(&s->ledger.agenda, w, f->next > now ? f->next : back ? now : w->due);
	if (ledger_record(&s->ledger, &j->letter, j->spoken || j->owed > 0, more))
		return true;
	keep(s, j);
	return false;
}

unsigned
sorting_write_part(struct sorting *s, struct job *j)
{
	unsigned n = j->owed;

	if (!ledger_record(&s->ledger, &j->letter, true, true))
		return 0;
	s->owed -= n;
	j->owed = 0;
	return n;
}

unsigned
sorting_note_part(struct sorting *s, struct job *j)
{
	bool stuck = sorting_is_stuck(s);
	unsigned n;

	job_log(j, false);
	s->owed++;
	j->owed++;
	n = sorting_write_part(s, j);
	if (n == 0 && !stuck) {
		s->write_pause = 0;
		sorting_write_later(s);
	}
	return n;
}

bool
sorting_hold(struct sorting *s, struct job *j, const char *reason)
{
	s->owed -= j->owed;
	ledger_entry(&s->ledger, &j->letter)->out = false;
	if (ledger_hold(&s->ledger, &j->letter, reason))
		return true;
	keep(s, j);
	return false;
}

void
sorting_return(struct sorting *s, struct job *j, time_t due)
{
	struct waiting *w = ledger_entry(&s->ledger, &j->letter);

	s->owed -= j->owed;
	/* What was said of a part of it is known to us alone. */
	if (j->owed > 0) {
		keep(s, j);
		return;
	}
	w->out = false;
	agenda_wait(&s->ledger.agenda, w, due);
}

/* ---- who is next ------------------------------------------------------------------------- */

/* Is it neither held nor put off? */
static bool
may_go(struct sorting *s, struct waiting *w, const struct letter *l)
{
	time_t hold = l->envelope.wishes.hold_until, next = l->fate.next > hold ? l->fate.next : hold;

	if (l->fate.held)
		agenda_rest(&s->ledger.agenda, w);
	else if (next > time(NULL))
		agenda_wait(&s->ledger.agenda, w, next);
	else
		return true;
	return false;
}

/* Reads it; false where there is nothing that could be sent. */
static bool
read_letter(struct sorting *s, struct waiting *w, struct letter *l)
{
	struct agenda *a = &s->ledger.agenda;
	struct why why;

	if (spool_read(s->spool, SPOOL_QUEUE, w->id, l, &why) != DONE) {
		if (why.exit == EX_NOINPUT)
			agenda_remove(a, w);
		else
			agenda_wait(a, w, time(NULL) + LEDGER_PAUSE);
		return false;
	}
	if (l->damaged) {
		if (!l->promised)
			spool_sweep_one(s->spool, l, w->id);
		else
			log_event(LOG_ERR, "held", "id", w->id, "reason", why.text, NULL);
		agenda_rest(a, w);
		return false;
	}
	ledger_log_queued(w, l);
	ledger_entry(&s->ledger, l);
	agenda_rank(a, w, l->envelope.wishes.priority);
	return may_go(s, w, l);
}

/* Takes its lock; false where somebody else has it, or has seen to it. */
static bool
lock_letter(struct sorting *s, struct waiting *w, struct letter *l)
{
	struct agenda *a = &s->ledger.agenda;
	time_t now = time(NULL);
	struct why why;

	if (!spool_lock(l)) {
		agenda_wait(a, w, now + LOCKED_PAUSE);
		return false;
	}
	if (spool_is_removed(l)) {
		agenda_remove(a, w);
		return false;
	}
	/* Whoever had it before us may have changed what is to become of it. */
	if (spool_has_fate(s->spool, w->id)) {
		if (spool_read_again(s->spool, SPOOL_QUEUE, w->id, l, &why) != DONE || l->damaged) {
			agenda_wait(a, w, now + LOCKED_PAUSE);
			return false;
		}
		return may_go(s, w, l);
	}
	return true;
}

/* Why nothing was tried lately. */
static const char *
doing(const struct sorting *s, const struct waiting *w)
{
	unsigned account = agenda_account(&s->ledger.agenda, w);
	const struct health *trouble = account < s->naccounts ?
	    health_trouble(&s->accounts[account]->standing) : NULL;

	return trouble != NULL ? trouble->why.text : "";
}

/* Its days begin when it could first go, and anew when a person wants it tried again. */
static time_t
counts_from(const struct letter *l)
{
	time_t hold = l->envelope.wishes.hold_until, from = l->envelope.arrived;

	from = hold > from ? hold : from;
	return l->fate.renewed > from ? l->fate.renewed : from;
}

/* True where something of an earlier life of it, or its age, is seen to instead. */
static bool
is_seen_to(struct sorting *s, struct waiting *w, struct job *j)
{
	struct letter *l = &j->letter;
	time_t now = time(NULL), deadline = dsn_deadline(&l->envelope.wishes, l->envelope.arrived);
	bool written;

	if (ledger_is_owed(l, w->round > 0 || w->asked != 0))
		/* Somebody died before it was told or put away. */
		written = ledger_record(&s->ledger, l, true, false);
	else if (deadline != 0 && now >= deadline)
		written = ledger_return(&s->ledger, l);
	else if (schedule_is_over(counts_from(l), now, s->config->give_up_after))
		written = ledger_give_up(&s->ledger, l, doing(s, w));
	else
		return false;
	if (!written)
		keep(s, j);
	return true;
}

/* Where there is a rate, each transaction counts, and is a job of its own; else a courier
 * makes of one job as many as the server wants. */
void
sorting_pick(const struct sorting *s, const struct waiting *w, struct job *j)
{
	unsigned way = agenda_account(&s->ledger.agenda, w);
	size_t most = JOB_RECIPIENTS_MAX;

	for (unsigned i = 0; i < s->naccounts; i++)
		if (account_host(s->accounts[i])->rate.n > 0)
			most = account_host(s->accounts[way])->recipients_per_message;
	job_pick(j, s->config, way, w->round, most);
}

bool
sorting_prepare(struct sorting *s, struct waiting *w, struct job *j)
{
	struct letter *l = &j->letter;
	time_t now = time(NULL);
	uint32_t ways;
	bool unrouted;

	*j = (struct job)JOB_INIT;
	if (!read_letter(s, w, l) || !lock_letter(s, w, l) || is_seen_to(s, w, j))
		return false;
	ways = job_ways(s->config, l, &unrouted);
	w->put_off = w->put_off || unrouted;
	if (!set_out(s, w, l, ways, now)) {
		w->put_off = false;
		defer(s, &l->fate);
		agenda_wait(&s->ledger.agenda, w, l->fate.next);
		if (!ledger_record(&s->ledger, l, true, false))
			keep(s, j);
		return false;
	}
	if (!leaves(s, agenda_account(&s->ledger.agenda, w), now))
		return false;
	sorting_pick(s, w, j);
	if (j->n == 0) {
		w->round = 0;
		return false;           /* asked again at once, from the first on */
	}
	return true;
}

/* What is read may turn out to be somebody else's than was known, or to go another way:
 * then it is asked anew whose turn it is. */
struct waiting *
sorting_draw(struct sorting *s, struct account *a, struct job *j)
{
	struct agenda *g = &s->ledger.agenda;
	struct waiting *w;
	uint32_t lane;

	for (unsigned i = 0; i < LOOKS && !sorting_is_stuck(s); i++) {
		w = agenda_next(g, &a->turn, sorting_carries(s, a, time(NULL)), time(NULL));
		if (w == NULL)
			break;
		lane = w->lane;
		if (sorting_prepare(s, w, j) && w->lane == lane)
			return w;
		job_free(j);
	}
	return NULL;
}

/* Whose it is, and which way it goes.  False where it is not there any more. */
static bool
look_at(struct sorting *s, struct waiting *w, uid_t *uid, unsigned *way)
{
	struct letter l = LETTER_INIT;
	struct why why = { 0 };
	bool unrouted, there = true;

	*way = 0;
	if (s->naccounts == 1)
		return spool_peek_uid(s->spool, w->id, uid) || errno != ENOENT;
	if (spool_read(s->spool, SPOOL_QUEUE, w->id, &l, &why) != DONE) {
		there = why.exit != EX_NOINPUT;
	} else if (!l.damaged) {
		*uid = l.envelope.uid;
		agenda_rank(&s->ledger.agenda, w, l.envelope.wishes.priority);
		*way = choose(s, w, job_ways(s->config, &l, &unrouted), time(NULL));
	}
	spool_letter_free(&l);
	return there;
}

void
sorting_look_through(struct sorting *s)
{
	struct agenda *a = &s->ledger.agenda;
	struct waiting *w;

	for (unsigned i = 0; i < LOOKS && (w = agenda_first_unknown(a)) != NULL; i++) {
		uid_t uid = AGENDA_UNKNOWN;
		unsigned way;

		/* Damaged: nobody's that could be believed, so ours to look after.  What goes no
		 * way at all is seen to when it is the first account's turn. */
		if (!look_at(s, w, &uid, &way))
			agenda_remove(a, w);
		else
			agenda_move(a, w, ledger_uid(&s->ledger, uid != AGENDA_UNKNOWN ? uid : geteuid()),
			    way < s->naccounts ? way : 0);
	}
}

void
sorting_sort_anew(struct sorting *s)
{
	struct agenda *a = &s->ledger.agenda;
	struct waiting **split = NULL;
	size_t n = 0;

	for (size_t i = 0; s->naccounts > 1 && i < a->n; i++) {
		struct waiting *w = agenda_at(a, i);

		if (!w->split)
			continue;
		split = mem_more(split, n, sizeof(struct waiting *));
		split[n++] = w;
	}
	for (size_t i = 0; i < n; i++)
		agenda_move(a, split[i], AGENDA_UNKNOWN, AGENDA_NOWHERE);
	free(split);
}
