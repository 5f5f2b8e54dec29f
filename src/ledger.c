#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "codec.h"
#include "log.h"
#include "report.h"
#include "route.h"

#define SETTLE_AFTER 0.1        /* seconds in which removals are gathered; see spool_drop */

void
ledger_free(struct ledger *l)
{
	agenda_free(&l->agenda);
	spool_ids_free(&l->dropped);
	*l = (struct ledger){ 0 };
}

uid_t
ledger_uid(const struct ledger *l, uid_t said)
{
	return l->many ? said : geteuid();
}

uid_t
ledger_owner(const struct ledger *l, const struct letter *m)
{
	/* A number that nobody has: ours to look after. */
	return ledger_uid(l, m->envelope.uid == AGENDA_UNKNOWN ? geteuid() : m->envelope.uid);
}

struct waiting *
ledger_add(struct ledger *l, const char *id, uid_t said)
{
	return agenda_add(&l->agenda, id, ledger_uid(l, said), l->ways == 1 ? 0 : AGENDA_NOWHERE);
}

struct waiting *
ledger_entry(struct ledger *l, const struct letter *m)
{
	return ledger_add(l, m->envelope.id, ledger_owner(l, m));
}

/* ---- the log ---------------------------------------------------------------- */

static const char *
shown_sender(const struct letter *m)
{
	return m->envelope.from[0] != '\0' ? m->envelope.from : "<>";
}

void
ledger_log_trouble(const char *event, const char *id, const struct why *why)
{
	log_event(LOG_ERR, event, "id", id, "reason", why->text, NULL);
}

void
ledger_log_queued(struct waiting *w, const struct letter *m)
{
	char uid[24], size[24], recipients[24];

	w->timed = dsn_deadline(&m->envelope.wishes, m->envelope.arrived) != 0;
	if (w->logged || m->fate.tries > 0)
		return;
	w->logged = true;
	snprintf(uid, sizeof uid, "%lu", (unsigned long)m->envelope.uid);
	snprintf(size, sizeof size, "%llu", (unsigned long long)stamp_text_len(&m->stamp));
	snprintf(recipients, sizeof recipients, "%zu", m->envelope.n);
	log_event(LOG_INFO, "queued", "id", w->id, "uid", uid, "from", shown_sender(m),
	    "recipients", recipients, "size", size, NULL);
}

void
ledger_log_answer(const struct letter *m, size_t recipient)
{
	static const char *const events[] = { [LATER] = "deferred", [DONE] = "sent", [NEVER] = "failed" };
	const struct fate_recipient *to = &m->fate.to[recipient];

	log_event(to->outcome == NEVER ? LOG_WARNING : LOG_INFO, events[to->outcome],
	    "id", m->envelope.id, "from", shown_sender(m), "to", m->envelope.to[recipient].address,
	    "reply", to->text, NULL);
}

/* ---- reports ------------------------------------------------------------------ */

/* The first recipient who will never get it and whose sender does not know;
 * as many as there are when there is none. */
static size_t
first_untold(const struct fate *f)
{
	size_t i = 0;

	while (i < f->n && (f->to[i].outcome != NEVER || f->to[i].told))
		i++;
	return i;
}

bool
ledger_is_owed(const struct letter *m, bool more)
{
	return fate_is_settled(&m->fate) || (!more && first_untold(&m->fate) < m->fate.n);
}

static bool
has_left(const struct ledger *l, const char *report)
{
	unsigned i = 0;

	while (i < LEDGER_REPORTS && strcmp(l->reports[i], report) != 0)
		i++;
	return i < LEDGER_REPORTS;
}

static enum outcome
queue_report(struct ledger *l, struct envelope *e, struct str text, struct why *why)
{
	struct draft d = { 0 };
	enum outcome o;

	if ((o = spool_begin(l->spool, &d, e, why)) == DONE &&
	    (o = spool_text(&d, text, why)) == DONE)
		o = spool_commit(l->spool, &d, why);
	spool_release(l->spool, &d);
	/* Queued already: by a runner that died before it could write that down. */
	return o == NEVER && why->scope == SCOPE_NONE ? DONE : o;
}

/* The account by which a report to this address will go, and whose address it has to
 * be from. */
static const struct smarthost *
carrier(const struct config *c, const char *to)
{
	struct why why;
	int i = route(c, geteuid(), "", to, &why);

	return config_account(c, i > 0 ? (unsigned)i : 0);
}

/* Writes the report about recipients that are NEVER and not told, as a message
 * of its own in the same queue.  first, and the moment in which the message was
 * last tried anew, make its id: the same should we have to come back to it. */
static enum outcome
write_report(struct ledger *l, const struct letter *m, size_t first, struct why *why)
{
	struct recipient to = { .address = m->envelope.from };
	char null[] = "";
	struct envelope e = { .arrived = time(NULL), .uid = geteuid(), .from = null, .to = &to, .n = 1 };
	struct buf text = { 0 };
	struct tm local;
	struct report report = { .envelope = &m->envelope, .fate = &m->fate, .id = e.id,
		.from = carrier(l->config, to.address)->from, .domain = l->config->domain, .now = e.arrived };
	enum outcome o;

	envelope_derive_id(m->envelope.id, (uint64_t)first +
	    (uint64_t)m->fate.renewed * ENVELOPE_RECIPIENTS_MAX, e.id);
	/* Written by a runner that died before it could note that, and by now maybe
	 * sent by us: then its file is gone, but we know it still (see close_letter). */
	if (agenda_find(&l->agenda, e.id) != NULL || has_left(l, e.id))
		return DONE;
	report.offset = localtime_r(&e.arrived, &local) != NULL ? local.tm_gmtoff : 0;
	report_write(&report, &text);
	o = queue_report(l, &e, buf_str(&text), why);
	buf_free(&text);
	if (o == DONE) {
		ledger_add(l, e.id, e.uid);
		log_event(LOG_INFO, "reported", "id", m->envelope.id, "report", e.id, "to", to.address,
		    NULL);
	}
	return o;
}

/* Whose failure the sender does not want to hear of counts as told (RFC 3461
 * section 4.1: NOTIFY without FAILURE); the message lies in failed/ all the same. */
static void
pass_over_unwanted(struct letter *m)
{
	for (size_t i = 0; i < m->fate.n; i++) {
		struct fate_recipient *to = &m->fate.to[i];

		if (to->outcome != NEVER || to->told || dsn_tells_failure(m->envelope.to[i].notify))
			continue;
		to->told = true;
		log_event(LOG_INFO, "not-reported", "id", m->envelope.id, "to",
		    m->envelope.to[i].address, "reason", "the sender asked for no notice of failure",
		    NULL);
	}
}

/* Their outcome is durable first, so that the report is about something. */
static enum outcome
tell_sender(struct ledger *l, struct letter *m, struct why *why)
{
	struct fate *f = &m->fate;
	size_t first;
	enum outcome o;

	pass_over_unwanted(m);
	first = first_untold(f);
	if (first == f->n)
		return DONE;
	if (m->envelope.from[0] != '\0') {
		if ((o = spool_set_fate(l->spool, m->envelope.id, f, why)) != DONE ||
		    (o = write_report(l, m, first, why)) != DONE)
			return o;
	}
	for (size_t i = first; i < f->n; i++)
		if (f->to[i].outcome == NEVER)
			f->to[i].told = true;
	return DONE;
}

/* ---- records --------------------------------------------------------------------- */

static void
remember_dropped(struct ledger *l, const char *id)
{
	if (l->dropped.n == l->dropped_room) {
		l->dropped_room = l->dropped_room > 0 ? l->dropped_room * 2 : 64;
		l->dropped.v = mem_grow(l->dropped.v, l->dropped_room, sizeof *l->dropped.v);
	}
	memcpy(l->dropped.v[l->dropped.n++], id, ENVELOPE_ID_LEN + 1);
	if (l->settle_at == 0)
		l->settle_at = clock_now() + SETTLE_AFTER;
}

void
ledger_settle(struct ledger *l)
{
	struct why why;

	if (l->settle_at == 0)
		return;
	if (spool_settle(l->spool, l->dropped.v, l->dropped.n, &why) != DONE)
		ledger_log_trouble("disk", NULL, &why);
	l->dropped.n = 0;
	l->settle_at = 0;
}

/* A report stays known for a while when it has left, so that it is not written
 * again by whoever finds its cause still waiting to be told of. */
static void
stay_known(struct ledger *l, const char *id)
{
	memcpy(l->reports[l->reports_at], id, ENVELOPE_ID_LEN + 1);
	l->reports_at = (l->reports_at + 1) % LEDGER_REPORTS;
}

/* Everyone has a final answer: the message leaves the queue. */
static enum outcome
close_letter(struct ledger *l, struct letter *m, struct waiting *w, struct why *why)
{
	const char *id = m->envelope.id;
	enum outcome o;

	if (fate_count(&m->fate, NEVER) > 0) {
		o = spool_fail(l->spool, id, &m->fate, why);
	} else {
		o = spool_drop(l->spool, id, why);
		if (o == DONE)
			remember_dropped(l, id);
	}
	if (o != DONE)
		return o;
	if (m->envelope.from[0] == '\0')
		stay_known(l, id);
	agenda_remove(&l->agenda, w);
	return DONE;
}

bool
ledger_record(struct ledger *l, struct letter *m, bool worth_writing, bool more)
{
	struct waiting *w = ledger_entry(l, m);
	struct why why;
	enum outcome o = more ? DONE : tell_sender(l, m, &why);

	if (o == DONE && fate_is_settled(&m->fate))
		o = close_letter(l, m, w, &why);
	else if (o == DONE && worth_writing)
		o = spool_set_fate(l->spool, m->envelope.id, &m->fate, &why);
	if (o != DONE)
		ledger_log_trouble("disk", m->envelope.id, &why);
	return o == DONE;
}

static bool
give_up(struct ledger *l, struct letter *m, const struct why *why)
{
	for (size_t i = 0; i < m->fate.n; i++)
		fate_note(&m->fate, i, NEVER, why);
	log_event(LOG_WARNING, "gave-up", "id", m->envelope.id, "reason", why->text, NULL);
	return ledger_record(l, m, true, false);
}

bool
ledger_give_up(struct ledger *l, struct letter *m, const char *doing)
{
	struct buf age = { 0 }, shown = { 0 };
	const char *last = doing;
	struct why why;

	/* Where many share an account, it may have been said of somebody else's mail. */
	if (l->many) {
		address_hide(str_of(doing), &shown);
		last = buf_c(&shown);
	}
	if (m->fate.last.text[0] != '\0')
		last = m->fate.last.text;
	codec_age(&age, l->config->give_up_after);
	never(&why, SCOPE_MESSAGE, "4.4.7", "given up after %s%s%s", buf_c(&age),
	    last[0] != '\0' ? "; last: " : "", last);
	buf_free(&age);
	buf_free(&shown);
	return give_up(l, m, &why);
}

bool
ledger_return(struct ledger *l, struct letter *m)
{
	struct why why;

	/* RFC 2852 section 4.1.4.1. */
	never(&why, SCOPE_MESSAGE, "5.4.7", "not delivered within the %ld seconds that its sender gave it",
	    (long)m->envelope.wishes.by_seconds);
	return give_up(l, m, &why);
}

bool
ledger_hold(struct ledger *l, struct letter *m, const char *reason)
{
	m->fate.held = true;
	snprintf(m->fate.hold_reason, sizeof m->fate.hold_reason, "%s", reason);
	log_event(LOG_ERR, "held", "id", m->envelope.id, "reason", reason, NULL);
	agenda_rest(&l->agenda, ledger_entry(l, m));
	return ledger_record(l, m, true, false);
}
