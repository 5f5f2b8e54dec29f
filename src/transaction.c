#include "transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idna.h"

/* ---- what is known before a word is said -------------------------------------------- */

bool
transaction_may_ask(const struct transaction *t, size_t i)
{
	return t->answers[i].outcome != NEVER;
}

void
transaction_answer_all(struct transaction *t, enum outcome o, const struct why *why)
{
	for (size_t i = 0; i < t->n; i++) {
		/* Who was not asked for has an answer of ours already. */
		if (!transaction_may_ask(t, i))
			continue;
		t->answers[i].outcome = o;
		t->answers[i].why = *why;
	}
}

void
transaction_answer_accepted(struct transaction *t, enum outcome o, const struct why *why)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!t->answers[i].accepted)
			continue;
		t->answers[i].outcome = o;
		t->answers[i].why = *why;
	}
}

/* An address that is not ASCII may only be said with it (RFC 6531 section 3.4). */
static bool
needs_smtputf8(const struct transaction *t)
{
	bool needed = !command_is_ascii(t->from);

	for (size_t i = 0; i < t->n && !needed; i++)
		needed = transaction_may_ask(t, i) && !command_is_ascii(t->to[i].address);
	return needed;
}

static struct command_mail
mail_of(const struct transaction *t)
{
	return (struct command_mail){ .from = t->from, .wishes = &t->wishes, .by_left = t->by_left,
		.size = t->text.size, .eight_bit = t->text.eight_bit, .smtputf8 = needs_smtputf8(t) || t->text.utf8_header };
}

/* Why an address that is not ASCII cannot be said: 5.6.7 (RFC 6531 section 3.5). */
static enum outcome
unsayable(const struct smtp *s, enum scope scope, const char *whose, struct why *why)
{
	return never(why, scope, "5.6.7", "%s address is not ASCII, and %s", whose,
	    s->offers.smtputf8 ? "not UTF-8 either" : "the server does not offer SMTPUTF8");
}

static bool
is_sayable(const struct smtp *s, const char *address)
{
	struct buf said = { 0 };
	bool sayable = command_address(&said, &s->offers, address);

	buf_free(&said);
	return sayable;
}

/* What is left of the time that the sender gave it (RFC 2852 section 4). */
static enum outcome
look_at_time(struct transaction *t, const struct smtp *s, struct why *why)
{
	const struct offers *o = &s->offers;
	int64_t left = (int64_t)t->wishes.by_seconds - (int64_t)(time(NULL) - t->arrived);

	t->by_left = (int32_t)(left < -DSN_BY_MAX ? -DSN_BY_MAX : left);
	if (t->wishes.by != DSN_BY_RETURN)
		return DONE;
	if (left <= 0)
		return never(why, SCOPE_MESSAGE, "5.4.7", "the time that the sender gave it is over");
	if (!o->by)
		return never(why, SCOPE_MESSAGE, "5.3.3", "the sender wants it delivered in time or "
		    "returned, and the server does not offer that (DELIVERBY)");
	if (left < o->by_min)
		return never(why, SCOPE_MESSAGE, "5.4.7", "the sender gave it %ld more seconds, and the "
		    "server wants %ld", (long)left, (long)o->by_min);
	return DONE;
}

/* What this server cannot do as the message needs it. */
static enum outcome
look_at_needs(struct transaction *t, const struct smtp *s, struct why *why)
{
	if (t->wishes.requiretls && s->conn->tls == NULL)
		return never(why, SCOPE_MESSAGE, "5.7.30", "the message may go by REQUIRETLS only, and "
		    "this connection is not encrypted; set `tls` for the account");
	if (t->wishes.requiretls && !s->offers.requiretls)
		return never(why, SCOPE_MESSAGE, "5.7.30", "the message may go by REQUIRETLS only, and "
		    "the server does not offer it");
	if (!is_sayable(s, t->from))
		return unsayable(s, SCOPE_MESSAGE, "the sender's", why);
	return look_at_time(t, s, why);
}

/* Too large by the server's own word: not worth asking (RFC 1870 section 6.1). */
static enum outcome
look_at_size(const struct transaction *t, const struct smtp *s, struct why *why)
{
	uint64_t max = s->offers.size_max;

	if (max == 0 || t->text.size <= max)
		return DONE;
	return never(why, SCOPE_MESSAGE, "5.3.4", "the message has %llu octets, the server takes %llu",
	    (unsigned long long)t->text.size, (unsigned long long)max);
}

bool
transaction_prepare(struct transaction *t, const struct smtp *s)
{
	struct adapt_terms terms = { .eight_bit = s->offers.eight_bit, .no_dots = t->way == WITH_BDAT,
		.to_ascii = idna_domain };
	struct why why;
	enum outcome o;
	bool any = false;

	later(&why, SCOPE_SERVER, "", "the connection ended before this recipient's turn");
	for (size_t i = 0; i < t->n; i++) {
		struct answer *a = &t->answers[i];

		*a = (struct answer){ .why = why };
		if (!is_sayable(s, t->to[i].address))
			a->outcome = unsayable(s, SCOPE_RECIPIENT, "the", &a->why);
		any = any || a->outcome == LATER;
	}
	if (!any)
		return false;
	/* A wish for it is about the header, and is granted where it can be. */
	terms.utf8_header = s->offers.smtputf8 && (t->wishes.smtputf8 || needs_smtputf8(t));
	if ((o = look_at_needs(t, s, &why)) == DONE && (o = text_plan(&t->text, &terms, &why)) == DONE)
		o = look_at_size(t, s, &why);
	if (o != DONE)
		transaction_answer_all(t, o, &why);
	return o == DONE;
}

/* ---- what we say ------------------------------------------------------------------------ */

void
transaction_put_mail(struct transaction *t, const struct smtp *s)
{
	const struct command_mail mail = mail_of(t);
	struct buf line = { 0 };

	command_mail(&line, &s->offers, &mail);
	conn_put(s->conn, buf_str(&line));
	buf_free(&line);
}

void
transaction_put_rcpt(struct transaction *t, const struct smtp *s, size_t i)
{
	struct buf line = { 0 };

	command_rcpt(&line, &s->offers, &t->to[i]);
	conn_put(s->conn, buf_str(&line));
	buf_free(&line);
}

/* ---- what is answered ------------------------------------------------------------------- */

enum outcome
transaction_judge(const struct transaction *t, const struct smtp *s, enum phase phase,
    struct why *why)
{
	/* Whatever the caller chose of what we said is no word of the server's. */
	struct str *said = mem_grow(NULL, 2 * t->n + 2, sizeof *said);
	size_t n = 0;
	enum outcome o;

	for (size_t i = 0; i < t->n; i++) {
		said[n++] = str_of(t->to[i].address);
		said[n++] = str_of(t->to[i].orcpt);
	}
	said[n++] = str_of(t->from);
	said[n++] = str_of(t->wishes.envid);
	o = verdict_of(phase, &s->reply, said, n, why);
	free(said);
	return o;
}

/* "Too many recipients": 452, of servers from before RFC 5321 section 4.5.3.1.10 also
 * 552.  With a status of a mailbox it is that one's alone. */
static bool
is_too_many(const struct reply *r)
{
	if (r->code != 452 && r->code != 552)
		return false;
	return r->status[0] == '\0' || str_starts(str_of(r->status + 1), ".5.") ||
	    str_starts(str_of(r->status + 1), ".3.");
}

void
transaction_hear_rcpt(struct transaction *t, const struct smtp *s, size_t i)
{
	struct answer *a = &t->answers[i];
	const struct recipient *to = &t->to[i];
	const struct str said[] = { str_of(to->address), str_of(t->from), str_of(to->orcpt),
		str_of(t->wishes.envid) };

	/* Without MAIL, what is said to its RCPTs belongs to no transaction. */
	if (t->refused)
		return;
	a->accepted = reply_class(&s->reply) == 2;
	if (a->accepted) {
		t->accepted++;
		return;
	}
	a->outcome = verdict_of(PHASE_RCPT, &s->reply, said, 4, &a->why);
	a->crowded = t->accepted > 0 && is_too_many(&s->reply);
	if (command_has_spare_rcpt(&s->offers, to) &&
	    command_is_spurned(s->reply.code, s->reply.status))
		a->again = t->spurned = true;
}

void
transaction_hear_mail(struct transaction *t, const struct smtp *s)
{
	const struct command_mail mail = mail_of(t);
	struct why why;
	enum outcome o;

	t->refused = reply_class(&s->reply) != 2;
	if (!t->refused)
		return;
	t->spurned = command_has_spare_mail(&s->offers, &mail) &&
	    command_is_spurned(s->reply.code, s->reply.status);
	for (size_t i = 0; i < t->n; i++)
		t->answers[i].again = t->spurned && transaction_may_ask(t, i);
	o = transaction_judge(t, s, PHASE_MAIL, &why);
	transaction_answer_all(t, o, &why);
}

/* What it said is everybody's who was accepted. */
static void
thank(struct transaction *t, const struct reply *r)
{
	struct why why = { .code = r->code };

	snprintf(why.status, sizeof why.status, "%s", r->status);
	reply_show(r, why.text, sizeof why.text);
	transaction_answer_accepted(t, DONE, &why);
	for (size_t i = 0; i < t->n; i++) {
		if (!t->answers[i].crowded)
			continue;
		t->answers[i].outcome = LATER;
		t->answers[i].again = true;
	}
}

/* Does the server not know BDAT, though it offered it? */
static bool
knows_no_bdat(const struct transaction *t, const struct reply *r)
{
	return t->way == WITH_BDAT && (r->code == 500 || r->code == 502 || r->code == 504);
}

void
transaction_hear_end(struct transaction *t, struct smtp *s)
{
	struct why why;
	enum outcome o;

	if (reply_class(&s->reply) == 2) {
		thank(t, &s->reply);
		return;
	}
	o = transaction_judge(t, s, PHASE_TEXT, &why);
	transaction_answer_accepted(t, o, &why);
	if (!knows_no_bdat(t, &s->reply))
		return;
	s->no_chunks = true;
	s->offers.chunking = false;
	for (size_t i = 0; i < t->n; i++)
		t->answers[i].again = t->answers[i].again || t->answers[i].accepted;
}

void
transaction_abandon(struct transaction *t, const struct why *why, bool out_of_step, bool to_blame)
{
	for (size_t i = 0; i < t->n; i++) {
		struct answer *a = &t->answers[i];
		size_t len = strlen(why->text);

		if (a->outcome == NEVER && a->why.code == 0)
			continue;
		if (!out_of_step && a->outcome != DONE && a->why.code != 0)
			continue;
		a->outcome = LATER;
		a->why = *why;
		if (t->ended)
			snprintf(a->why.text + len, sizeof a->why.text - len,
			    "; all of it was sent, so the message may have arrived all the same");
		else if (!to_blame)
			a->why.scope = SCOPE_NONE;
	}
}
