#include "dialogue.h"

#include <stdlib.h>
#include <string.h>

/* Seconds to wait for an answer (RFC 5321 section 4.5.3.2: at least these). */
enum {
	WAIT_COMMAND = 300,     /* .2 and .3 */
	WAIT_DATA = 120,        /* .4 */
	WAIT_BLOCK = 180,       /* .5: for each block that does not move */
	WAIT_TEXT = 600,        /* .6: the longest, so that nothing is sent twice */
	WAIT_LAST_WORDS = 5,    /* of a server that has hung up: they are here, or never come */
};

enum ask { ASK_RSET, ASK_MAIL, ASK_RCPT, ASK_DATA, ASK_CHUNK, ASK_END, ASK_EHLO, ASK_QUIT };

/* A reply that must come, and in this order. */
struct expected {
	enum ask ask;
	struct transaction *t;  /* whose command; NULL: nobody's */
	size_t i;               /* recipient */
	uint64_t gone;          /* octets that have left when the command has */
};

static void hear_rset(struct dialogue *d, const struct expected *e);
static void hear_mail(struct dialogue *d, const struct expected *e);
static void hear_rcpt(struct dialogue *d, const struct expected *e);
static void hear_data(struct dialogue *d, const struct expected *e);
static void hear_chunk(struct dialogue *d, const struct expected *e);
static void hear_end(struct dialogue *d, const struct expected *e);
static void hear_ehlo(struct dialogue *d, const struct expected *e);
static void hear_quit(struct dialogue *d, const struct expected *e);

static const struct {
	enum phase phase;
	double seconds;
	void (*hear)(struct dialogue *d, const struct expected *e);
} asks[] = {
	[ASK_RSET] = { PHASE_MAIL, WAIT_COMMAND, hear_rset },
	[ASK_MAIL] = { PHASE_MAIL, WAIT_COMMAND, hear_mail },
	[ASK_RCPT] = { PHASE_RCPT, WAIT_COMMAND, hear_rcpt },
	[ASK_DATA] = { PHASE_DATA, WAIT_DATA, hear_data },
	[ASK_CHUNK] = { PHASE_TEXT, WAIT_TEXT, hear_chunk },
	[ASK_END] = { PHASE_TEXT, WAIT_TEXT, hear_end },
	[ASK_EHLO] = { PHASE_EHLO, WAIT_COMMAND, hear_ehlo },
	[ASK_QUIT] = { PHASE_EHLO, WAIT_COMMAND, hear_quit },
};

/* ---- what is on the way ------------------------------------------------------------- */

static struct transaction *
last_of(const struct dialogue *d)
{
	return d->n > 0 ? d->on_way[d->n - 1] : NULL;
}

static size_t
count_expected(const struct dialogue *d)
{
	return d->end - d->first;
}

/* A reply to what was just put. */
static void
expect(struct dialogue *d, enum ask ask, struct transaction *t, size_t i)
{
	const struct conn *c = d->smtp->conn;

	if (d->end == d->room && d->first > d->room / 2) {
		memmove(d->expected, d->expected + d->first, count_expected(d) * sizeof *d->expected);
		d->end -= d->first;
		d->first = 0;
	}
	if (d->end == d->room) {
		d->room = d->room > 0 ? 2 * d->room : 64;
		d->expected = mem_grow(d->expected, d->room, sizeof *d->expected);
	}
	d->expected[d->end++] = (struct expected){ ask, t, i, c->written + c->out.len };
	if (t != NULL)
		t->waiting++;
}

/* What is said and heard now is about this one, and written down with it. */
static void
turn_to(struct dialogue *d, const struct transaction *t)
{
	d->smtp->conn->trace = t != NULL ? t->trace : NULL;
}

static bool
is_answered(const struct transaction *t)
{
	return t->next == SAID && t->waiting == 0;
}

/* ---- the end of a connection -------------------------------------------------------- */

/* It is over, and what is not proven has no other answer than this. */
static void
lose(struct dialogue *d, const struct why *why, bool out_of_step)
{
	struct smtp *s = d->smtp;
	bool broke = !out_of_step && s->conn->peer_closed && d->n > 1 && !d->overlapped &&
	    d->on_way[0]->way == WITH_DATA && d->first < d->end && d->expected[d->first].ask == ASK_END;
	/* A server that has served and then closes, or says 421, does what servers do. */
	bool to_blame = out_of_step || (!broke && (d->carried == 0 ||
	    (!s->conn->peer_closed && s->reply.code != 421)));

	d->broke = d->broke || broke;
	for (unsigned i = 0; i < d->n; i++) {
		struct transaction *t = d->on_way[i];
		bool answered = is_answered(t);

		t->next = SAID;
		t->waiting = 0;
		if (!t->proven && (!answered || out_of_step || t->way == WITH_BDAT))
			transaction_abandon(t, why, out_of_step, to_blame);
		t->proven = true;
	}
	d->first = d->end = 0;
	s->lost = true;
}

static void
fall_out_of_step(struct dialogue *d)
{
	struct why why;

	later(&why, SCOPE_SERVER, "4.5.0", "the server gave an answer that it was not asked for");
	lose(d, &why, true);
}

/* Is more here than was asked for?  Which answer belongs to which command is
 * then unknown, and the refusal of one recipient might be read as another's.
 * But a server that leaves may say 421 at any time (RFC 5321 section 3.8). */
static bool
has_word_too_many(const struct dialogue *d)
{
	struct conn *c = d->smtp->conn;

	return count_expected(d) == 0 && conn_has_surprise(c) && c->in.len > 0 &&
	    !str_starts(buf_str(&c->in), "421");
}

/* ---- proof ------------------------------------------------------------------------------ */

/* It has all its replies: does their number have to be proven by another? */
static bool
needs_proof(const struct dialogue *d, const struct transaction *t)
{
	if (t->way == LOCK_STEP)
		return false;
	/* What was said behind it is going to tell; and what was read after one that is in
	 * doubt may be another's, too. */
	if (count_expected(d) > 0 || (t != d->on_way[0] && !d->on_way[0]->proven))
		return true;
	/* After a refusal RSET is due before the next MAIL; said at once, its yes proves
	 * that each no before it was read as the right one's. */
	return d->open || (t->way == WITH_BDAT && t->yes);
}

/* What the reply that was just heard proves of those that were answered before it. */
enum proof {
	OF_ALL,                 /* it can be nobody else's */
	OF_DATA,                /* a no: it might be the one to a text by BDAT */
	OF_REFUSALS,            /* a yes behind a no */
};

static void
prove(struct dialogue *d, enum proof proof)
{
	for (unsigned i = 0; i < d->n; i++) {
		struct transaction *t = d->on_way[i];

		if (is_answered(t) && (proof == OF_ALL || (proof == OF_DATA && t->way == WITH_DATA) ||
		    (proof == OF_REFUSALS && !t->yes)))
			t->proven = true;
	}
}

static void
settle(struct dialogue *d, struct transaction *t)
{
	struct smtp *s = d->smtp;

	if (!is_answered(t) || t->proven)
		return;
	t->proven = !needs_proof(d, t);
	/* Which of what can be spared was meant, no two servers say alike. */
	if (t->spurned) {
		s->no_spare = true;
		s->offers.size = s->offers.eight_bit = s->offers.dsn = false;
	}
	/* Others that came after "too many" may have been taken all the same. */
	for (size_t i = 0; i < t->n; i++)
		if (t->answers[i].crowded)
			d->crowd = (unsigned)t->accepted;
}

/* ---- hearing ---------------------------------------------------------------------------- */

static void
judge(struct dialogue *d, const struct expected *e, struct why *why)
{
	if (e->t != NULL)
		transaction_judge(e->t, d->smtp, asks[e->ask].phase, why);
	else
		verdict_of(asks[e->ask].phase, &d->smtp->reply, NULL, 0, why);
}

/* Not what anybody says to that: the verdict has the server's words. */
static void
be_puzzled(struct dialogue *d, const struct expected *e)
{
	struct why why;

	judge(d, e, &why);
	lose(d, &why, true);
}

static void
step_back(struct dialogue *d)
{
	d->surprised = d->surprised || d->depth > 1;
	d->depth = 1;
}

/* A refusal is about what went before: nobody on the way has a part in it. */
static void
hear_rset(struct dialogue *d, const struct expected *e)
{
	struct why why;

	(void)e;
	if (reply_class(&d->smtp->reply) == 2) {
		d->open = false;
		prove(d, OF_REFUSALS);
		return;
	}
	later(&why, SCOPE_SERVER, "4.5.0", "the server refused RSET with %d", d->smtp->reply.code);
	lose(d, &why, true);
}

static void
hear_mail(struct dialogue *d, const struct expected *e)
{
	transaction_hear_mail(e->t, d->smtp);
	if (!e->t->refused) {
		d->open = true;
		return;
	}
	step_back(d);
	if (e->t->way == LOCK_STEP)
		e->t->next = SAID;
}

static void
hear_rcpt(struct dialogue *d, const struct expected *e)
{
	transaction_hear_rcpt(e->t, d->smtp, e->i);
}

/* A yes that is not 354 leaves both sides with different ideas of what comes next (RFC
 * 5321 section 3.3). */
static void
hear_data(struct dialogue *d, const struct expected *e)
{
	struct smtp *s = d->smtp;
	struct transaction *t = e->t;
	struct why why;
	enum outcome o;

	if (s->reply.code != 354 && reply_class(&s->reply) < 4) {
		be_puzzled(d, e);
	} else if (has_word_too_many(d)) {
		fall_out_of_step(d);
	} else if (s->reply.code == 354) {
		prove(d, OF_ALL);
		t->wanted = true;
	} else {
		prove(d, OF_DATA);
		o = transaction_judge(t, s, PHASE_DATA, &why);
		transaction_answer_accepted(t, o, &why);
		t->next = SAID;
	}
}

/* Behind a chunk that was refused come no more of them (RFC 3030 section 2). */
static void
hear_chunk(struct dialogue *d, const struct expected *e)
{
	struct transaction *t = e->t;

	if (t->accepted == 0)
		t->yes = false;         /* what comes behind a refusal does not undo it */
	if (reply_class(&d->smtp->reply) == 2 || t->accepted == 0)
		return;
	transaction_hear_end(t, d->smtp);
	t->accepted = 0;
	t->next = SAID;
	step_back(d);
}

/* The answer to the whole.  Where nobody was accepted an empty text ended what DATA had
 * begun, and its answer is about nothing (RFC 2920 section 3.1). */
static void
hear_end(struct dialogue *d, const struct expected *e)
{
	struct transaction *t = e->t;
	bool yes = reply_class(&d->smtp->reply) == 2;

	if (t->way != WITH_BDAT || yes)
		d->open = false;
	t->ended = yes;
	d->overlapped = d->overlapped || (t->way == WITH_DATA && d->n > 1);
	if (!yes)
		step_back(d);
	if (t->accepted > 0) {
		transaction_hear_end(t, d->smtp);
		d->carried += yes;
	} else if (t->way == WITH_BDAT && yes) {
		/* Taken, and for nobody? */
		fall_out_of_step(d);
	}
}

/* The same as the first time: nothing else has such an answer.  A no might be that to
 * the text, so that only a goodbye can tell, and nothing follows that. */
static void
hear_ehlo(struct dialogue *d, const struct expected *e)
{
	struct smtp *s = d->smtp;

	(void)e;
	if (reply_class(&s->reply) != 2) {
		conn_put(s->conn, STR("QUIT\r\n"));
		expect(d, ASK_QUIT, NULL, 0);
		return;
	}
	d->proving = false;
	smtp_take_offers(s);
	d->open = false;
	/* Not CHUNKING, which is left out of them where it was offered in vain. */
	if (s->offers.pipelining)
		prove(d, OF_ALL);
	else
		fall_out_of_step(d);
}

static void
hear_quit(struct dialogue *d, const struct expected *e)
{
	(void)e;
	if (d->smtp->reply.code != 221) {
		fall_out_of_step(d);
		return;
	}
	prove(d, OF_ALL);
	d->smtp->lost = true;
}

/* One reply, for whom it is. */
static void
hear(struct dialogue *d)
{
	struct smtp *s = d->smtp;
	const struct expected e = d->expected[d->first];
	struct why why;
	enum outcome o;

	turn_to(d, e.t != NULL ? e.t : d->on_way[0]);
	o = smtp_hear(s, asks[e.ask].seconds, &why);
	if (o != DONE) {
		lose(d, &why, false);
		return;
	}
	d->first++;
	if (d->first == d->end)
		d->first = d->end = 0;
	if (e.t != NULL)
		e.t->waiting--;
	if (s->reply.code == 421) {
		if (e.t != NULL && e.ask == ASK_END)
			e.t->ended = false;
		if (e.t != NULL)
			e.t->waiting++;
		judge(d, &e, &why);
		lose(d, &why, false);
	} else if (s->conn->written < e.gone) {
		fall_out_of_step(d);
	} else if (reply_class(&s->reply) == 3 && e.ask != ASK_DATA) {
		be_puzzled(d, &e);
	} else {
		if (e.t != NULL && e.ask != ASK_RSET)
			e.t->yes = reply_class(&s->reply) == 2;
		asks[e.ask].hear(d, &e);
		if (e.t != NULL)
			settle(d, e.t);
	}
}

/* ---- saying ----------------------------------------------------------------------------- */

/* A server that will have no more of a text says so and hangs up (552, as a rule):
 * what it said counts, if it was no. */
static enum outcome
hear_last_words(struct dialogue *d, const struct transaction *t, enum outcome o, struct why *why)
{
	struct smtp *s = d->smtp;
	struct why ignored;

	if (t->text.damage != NULL || !s->conn->peer_closed || s->conn->in.len == 0)
		return o;
	buf_clear(&s->conn->out);
	if (conn_reply(s->conn, &s->reply, WAIT_LAST_WORDS, &ignored) == DONE &&
	    reply_class(&s->reply) >= 4)
		return transaction_judge(t, s, PHASE_TEXT, why);
	return o;
}

static bool
may_end(struct dialogue *d, struct why *why)
{
	if (d->may_end(d->arg, d->n - 1))
		return true;
	later(why, SCOPE_NONE, "", "nobody is left to report to");
	return false;
}

/* The text with dots, a piece at a time: what is written goes while the next piece is
 * read; the last one stays for the final dot, so that a small message is one write with
 * what comes behind it. */
static enum outcome
put_text(struct dialogue *d, struct transaction *t, struct why *why)
{
	struct conn *c = d->smtp->conn;
	struct buf wire = { 0 };
	enum outcome o = DONE;

	while (o == DONE && !t->text.over) {
		if (c->out.len >= TEXT_SMALL)
			o = conn_flush(c, WAIT_BLOCK, why);
		buf_clear(&wire);
		if (o == DONE && (o = text_more(&t->text, &wire, why)) == DONE)
			conn_put_unseen(c, buf_str(&wire));
	}
	if (o == DONE)
		conn_note(c, ">>> [%llu octets of text]", (unsigned long long)t->text.size);
	buf_free(&wire);
	return o;
}

/* From 354 to the final dot. */
static void
say_text(struct dialogue *d, struct transaction *t)
{
	struct conn *c = d->smtp->conn;
	struct why why;
	enum outcome o = DONE;

	if (t->accepted > 0) {
		o = put_text(d, t, &why);
		if (o == DONE && !may_end(d, &why))
			o = LATER;
		/* An answer before the question would be taken for the final one, and the
		 * message for sent when it is not.  Looked for last: may_end may take a while. */
		if (o == DONE && conn_has_surprise(c))
			o = later(&why, SCOPE_SERVER, "4.5.0", "the server spoke or closed in the middle of "
			    "a message");
		if (o != DONE) {
			o = hear_last_words(d, t, o, &why);
			transaction_answer_accepted(t, o, &why);
			t->next = SAID;
			t->proven = true;
			lose(d, &why, false);
			return;
		}
		t->ended = true;
	}
	conn_put(c, STR(".\r\n"));
	expect(d, ASK_END, t, 0);
	t->next = SAID;
}

/* One chunk; of a small text it is the only one. */
static void
say_chunk(struct dialogue *d, struct transaction *t)
{
	struct conn *c = d->smtp->conn;
	struct buf wire = { 0 };
	struct why why;
	enum outcome o = text_more(&t->text, &wire, &why);

	if (o != DONE) {
		/* Damaged: without LAST it is nothing. */
		transaction_answer_accepted(t, o, &why);
		t->accepted = 0;
		t->next = SAID;
		t->proven = true;
		conn_put(c, STR("RSET\r\n"));
		expect(d, ASK_RSET, t, 0);
		goto out;
	}
	if (t->text.over && !may_end(d, &why)) {
		t->next = SAID;
		lose(d, &why, false);
		goto out;
	}
	t->ended = t->text.over;
	conn_putf(c, "BDAT %zu%s\r\n", wire.len, t->text.over ? " LAST" : "");
	expect(d, t->text.over ? ASK_END : ASK_CHUNK, t, 0);
	conn_put_unseen(c, buf_str(&wire));
	if (t->text.over) {
		conn_note(c, ">>> [%llu octets of text]", (unsigned long long)t->text.size);
		t->next = SAID;
	} else if (conn_flush(c, WAIT_BLOCK, &why) != DONE && c->in.len > 0) {
		/* What it had to say is heard as the answer to what it did read. */
		buf_clear(&c->out);
		t->next = SAID;
	} else if (c->out.len > 0) {
		lose(d, &why, false);
	}
out:
	buf_free(&wire);
}

/* A large text by BDAT, when those who shall have it are accepted: false when there is
 * something to hear first. */
static bool
say_chunks(struct dialogue *d, struct transaction *t)
{
	struct conn *c = d->smtp->conn;

	if (!t->wanted && t->waiting > 0)
		return false;
	t->wanted = true;
	while (count_expected(d) > 0 && t->next == SAY_TEXT && conn_has_surprise(c))
		hear(d);
	if (t->next != SAY_TEXT)
		return true;
	if (t->accepted > 0)
		say_chunk(d, t);
	else
		t->next = SAID;
	if (is_answered(t))
		settle(d, t);
	return true;
}

/* Says the next of this one's words; false when something must be heard first. */
static bool
say_more(struct dialogue *d, struct transaction *t)
{
	struct smtp *s = d->smtp;

	if (t->next == SAID || (t->way == LOCK_STEP && t->waiting > 0))
		return false;
	/* A large one by BDAT is not begun before it is alone. */
	if (t->way == WITH_BDAT && !t->text.ready && t->next <= SAY_MAIL && t != d->on_way[0])
		return false;
	if (t->next != SAY_TEXT && has_word_too_many(d)) {
		fall_out_of_step(d);
		return true;
	}
	turn_to(d, t);
	switch (t->next) {
	case SAY_RSET:
		conn_put(s->conn, STR("RSET\r\n"));
		expect(d, ASK_RSET, t, 0);
		t->next = SAY_MAIL;
		break;
	case SAY_MAIL:
		transaction_put_mail(t, s);
		expect(d, ASK_MAIL, t, 0);
		d->mails++;
		t->next = SAY_RCPT;
		break;
	case SAY_RCPT:
		while (t->asked < t->n && !transaction_may_ask(t, t->asked))
			t->asked++;
		if (t->asked < t->n) {
			transaction_put_rcpt(t, s, t->asked);
			expect(d, ASK_RCPT, t, t->asked++);
		} else {
			t->next = t->way == WITH_BDAT ? SAY_TEXT : SAY_DATA;
		}
		break;
	case SAY_DATA:
		if (t->way == LOCK_STEP && t->accepted == 0) {
			t->next = SAID;
			settle(d, t);
			break;
		}
		conn_put(s->conn, STR("DATA\r\n"));
		expect(d, ASK_DATA, t, 0);
		t->next = SAY_TEXT;
		break;
	case SAY_TEXT:
		if (t->way == WITH_BDAT && t->text.ready)
			say_chunk(d, t);
		else if (t->way == WITH_BDAT)
			return say_chunks(d, t);
		else if (t->wanted)
			say_text(d, t);
		else
			return false;
		break;
	case SAID:
		return false;
	}
	return true;
}

bool
dialogue_is_spent(const struct dialogue *d)
{
	unsigned max = d->smtp->offers.mail_max;

	return (max > 0 && d->mails >= max) || (d->most > 0 && d->mails >= d->most);
}

/* May another one begin behind the last? */
static bool
has_room(const struct dialogue *d)
{
	const struct transaction *t = last_of(d);

	if (d->smtp->lost || d->proving || dialogue_is_spent(d))
		return false;
	if (t == NULL)
		return true;
	if (t->next != SAID)
		return false;
	if (d->apart)
		return d->n == 1 && t->way == WITH_BDAT && is_answered(t);
	/* As many as may be in doubt, and one that is not, since its text is still to come. */
	if (t->in_window)
		return d->n <= d->depth;
	/* Behind a text with DATA, whose end is on its way with it; behind one with BDAT when
	 * it is answered, and the next one proves it. */
	return d->n == 1 && t->way != LOCK_STEP && (t->way == WITH_DATA || is_answered(t));
}

static enum way
choose_way(const struct dialogue *d)
{
	const struct offers *o = &d->smtp->offers;
	bool more;

	if (!o->pipelining)
		return LOCK_STEP;
	if (!o->chunking)
		return WITH_DATA;
	if (d->apart)
		return WITH_BDAT;
	/* The last of a window, and whatever another one follows, is proven by its 354, or
	 * proves by it; one that is alone is there a turn sooner by BDAT. */
	more = d->more(d->arg);
	return (more && d->depth > 1 && d->n < d->depth) || (!more && d->n == 0) ? WITH_BDAT : WITH_DATA;
}

/* The next one, if there is room and one is at hand. */
static bool
begin_next(struct dialogue *d)
{
	const struct transaction *before = last_of(d);
	struct transaction *t;

	if (!has_room(d))
		return false;
	if (before != NULL && has_word_too_many(d)) {
		fall_out_of_step(d);
		return true;
	}
	if ((t = d->next(d->arg)) == NULL)
		return false;
	t->way = choose_way(d);
	t->in_window = t->way == WITH_BDAT && d->depth > 1 && !d->apart;
	/* MAIL may not stand in an open transaction (RFC 5321 section 4.1.4).  Whether one by
	 * BDAT will end is not known before its answer; one by DATA does, whatever that is. */
	t->next = (count_expected(d) > 0 ? before->way == WITH_BDAT : d->open) ? SAY_RSET : SAY_MAIL;
	d->on_way[d->n++] = t;
	if (!transaction_prepare(t, d->smtp)) {
		t->next = SAID;
		t->proven = true;
	}
	return true;
}

/* Nothing is left to be said or heard, and what was is not proven; or a window is full, or
 * there is no more for it, and the proof goes with it. */
static bool
is_proof_due(const struct dialogue *d)
{
	return count_expected(d) == 0 || (last_of(d)->in_window && last_of(d)->next == SAID && !d->proving);
}

static void
ask_for_proof(struct dialogue *d)
{
	struct conn *c = d->smtp->conn;
	const struct transaction *t = d->on_way[0];
	/* Between chunks nothing may stand but RSET (RFC 3030 section 2). */
	bool unfinished = t->way == WITH_BDAT && !t->text.over;

	turn_to(d, t);
	if (!unfinished && (t->yes || count_expected(d) > 0)) {
		conn_putf(c, "EHLO %s\r\n", d->smtp->helo);
		expect(d, ASK_EHLO, NULL, 0);
		d->proving = true;
	} else {
		conn_put(c, STR("RSET\r\n"));
		expect(d, ASK_RSET, NULL, 0);
	}
}

struct transaction *
dialogue_go_on(struct dialogue *d)
{
	for (;;) {
		struct transaction *t = d->n > 0 ? d->on_way[0] : NULL;

		if (t != NULL && is_answered(t) && t->proven) {
			d->n--;
			memmove(d->on_way, d->on_way + 1, d->n * sizeof d->on_way[0]);
			turn_to(d, NULL);
			return t;
		}
		if ((d->n > 0 && say_more(d, last_of(d))) || begin_next(d))
			continue;
		if (d->n == 0)
			return NULL;
		if (is_proof_due(d))
			ask_for_proof(d);
		hear(d);
	}
}

void
dialogue_free(struct dialogue *d)
{
	free(d->expected);
	*d = (struct dialogue){ 0 };
}
