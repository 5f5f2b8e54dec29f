#include "smtpin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "codec.h"
#include "dots.h"
#include "intake.h"
#include "mailarg.h"
#include "talk.h"

#define PATIENCE (5 * 60 * 1000)        /* milliseconds; RFC 5321 section 4.5.3.2.7 */
#define REPLY_MAX 400                   /* octets of text in one line of a reply, whose limit
                                         * is 512 with all (RFC 5321 section 4.5.3.1.5) */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct session {
	struct counter *counter;
	struct talk talk;
	bool batch;
	bool over;
	enum outcome outcome;           /* how it ended */
	struct why why;
	unsigned errors;                /* commands that were none, since the last message */
	/* of a batch */
	size_t line;                    /* of the command under way */
	size_t refusals;
	size_t first_line;
	int first_exit;
	/* the transaction */
	bool open;                      /* there was a MAIL */
	bool chunked;                   /* and a BDAT */
	bool begun;                     /* the counter has a message under way */
	struct buf sender;
	struct recipients to;
	struct submission asked;
	/* its text */
	struct dots dots;
	struct intake intake;
	struct buf plain, text;         /* without SMTP's dots; canonical */
	enum outcome taken;             /* not DONE: there is none, or it is refused and thrown away */
	struct why refusal;
};

/* ---- replies ---------------------------------------------------------------------- */

/* A reply as lines: a long text is broken at a space, since the next step stands
 * at its end.  Octets over 126 are for clients that asked for SMTPUTF8 only. */
static void
answer(struct session *s, int code, const char *status, struct str text)
{
	struct buf out = { 0 };

	do {
		size_t n = text.len;

		if (n > REPLY_MAX)
			for (n = REPLY_MAX; n > REPLY_MAX / 2 && text.p[n] != ' '; n--)
				;
		buf_addf(&out, "%d%c%s%s", code, n < text.len ? '-' : ' ', status,
		    *status != '\0' ? " " : "");
		for (size_t i = 0; i < n; i++)
			buf_addc(&out, text.p[i] >= ' ' && text.p[i] <= '~' ? text.p[i] : '?');
		buf_adds(&out, "\r\n");
		text = str_from(text.p + n, text.len - n);
	} while (text.len > 0);
	talk_say(&s->talk, buf_str(&out));
	buf_free(&out);
}

static void __attribute__((format(printf, 4, 5)))
say(struct session *s, int code, const char *status, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	if (s->batch)
		return;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	answer(s, code, status, buf_str(&text));
	buf_free(&text);
}

/* A no to whatever was asked; exit is what it comes to in a batch. */
static void
deny(struct session *s, int exit, int code, const char *status, struct str text)
{
	struct buf shown = { 0 };

	if (s->batch) {
		codec_mask(&shown, text);
		fprintf(stderr, "sendmail: line %zu: %s\n", s->line, buf_c(&shown));
		buf_free(&shown);
		if (s->refusals++ == 0) {
			s->first_exit = exit;
			s->first_line = s->line;
		}
	} else {
		answer(s, code, status, text);
	}
}

/* A no to what is no command, or not the right one here. */
static void __attribute__((format(printf, 4, 5)))
scold(struct session *s, int code, const char *status, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	deny(s, EX_DATAERR, code, status, buf_str(&text));
	buf_free(&text);
	s->errors++;
}

/* What the counter's exit status says to an SMTP client, by what was refused. */
static const struct verdict {
	int exit;
	struct {
		int code;
		const char *status;
	} of[3];
} verdicts[] = {
	/*                      the sender      a recipient     the message */
	{ EX_USAGE,     { { 553, "5.1.7" }, { 553, "5.1.3" }, { 554, "5.5.1" } } },
	{ EX_DATAERR,   { { 553, "5.1.7" }, { 553, "5.1.3" }, { 554, "5.6.0" } } },
	{ EX_NOUSER,    { { 550, "5.1.8" }, { 550, "5.1.1" }, { 550, "5.1.1" } } },
	{ EX_NOHOST,    { { 550, "5.1.8" }, { 550, "5.1.2" }, { 550, "5.1.2" } } },
	{ EX_UNAVAILABLE, { { 550, "5.1.0" }, { 550, "5.1.0" }, { 552, "5.3.4" } } },
	{ EX_NOPERM,    { { 550, "5.7.1" }, { 550, "5.7.1" }, { 550, "5.7.1" } } },
	/* A mended configuration, or a disk with room, will take it. */
	{ EX_CONFIG,    { { 451, "4.3.5" }, { 451, "4.3.5" }, { 451, "4.3.5" } } },
	{ EX_TEMPFAIL,  { { 451, "4.3.0" }, { 451, "4.3.0" }, { 451, "4.3.0" } } },
};

enum about { SENDER, RECIPIENT, MESSAGE };

/* All other numbers are trouble of this machine, and not the client's fault. */
static void
pass_on(struct session *s, enum about about, enum outcome o, const struct why *why)
{
	const struct verdict *v = &verdicts[COUNT(verdicts) - 1];
	int exit = outcome_exit(o, why);

	for (size_t i = 0; i < COUNT(verdicts); i++)
		if (verdicts[i].exit == exit)
			v = &verdicts[i];
	deny(s, exit, v->of[about].code, v->of[about].status, str_of(why->text));
}

/* ---- the transaction -------------------------------------------------------------- */

static void
forget(struct session *s)
{
	if (s->begun)
		submit_drop(s->counter);
	buf_clear(&s->sender);
	recipients_clear(&s->to);
	wishes_free(&s->asked.wishes);
	s->asked = (struct submission){ 0 };
	s->open = s->chunked = s->begun = false;
	s->taken = NEVER;
}

static void
hang_up(struct session *s, enum outcome o)
{
	s->over = true;
	s->outcome = o;
}

/* RFC 6531 section 3.4: beyond ASCII only for who asked for it, and UTF-8 then. */
static bool
check_characters(struct session *s, const char *status, struct str spec, bool smtputf8)
{
	uint32_t point;

	for (size_t i = 0, n; i < spec.len; i += n) {
		n = codec_utf8(str_from(spec.p + i, spec.len - i), &point);
		if (n == 0 || (n > 1 && !smtputf8)) {
			deny(s, EX_DATAERR, 553, n == 0 ? status : "5.6.7", n == 0 ?
			    STR("the address is not UTF-8") :
			    STR("the address is not ASCII: say SMTPUTF8 with MAIL"));
			return false;
		}
	}
	return true;
}

/* ---- commands --------------------------------------------------------------------- */

static void
put_name(const struct session *s, struct buf *out)
{
	size_t before = out->len;

	config_hostname(&s->counter->office.config, out);
	if (out->len == before)
		buf_adds(out, s->counter->office.config.domain);
}

static void
do_helo(struct session *s, struct str rest)
{
	struct buf name = { 0 };

	(void)rest;
	forget(s);
	put_name(s, &name);
	say(s, 250, "", "%s", buf_c(&name));
	buf_free(&name);
}

static void
do_ehlo(struct session *s, struct str rest)
{
	struct buf out = { 0 };

	(void)rest;
	forget(s);
	if (s->batch)
		return;
	buf_adds(&out, "250-");
	put_name(s, &out);
	buf_addf(&out, "\r\n250-PIPELINING\r\n250-SIZE %" PRIu64 "\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	    "250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n"
	    "250-FUTURERELEASE %d ", s->counter->office.config.max_size, DSN_HOLD_MAX);
	codec_stamp(&out, time(NULL) + DSN_HOLD_MAX);
	buf_adds(&out, "\r\n250 HELP\r\n");
	talk_say(&s->talk, buf_str(&out));
	buf_free(&out);
}

/* Says no with the code that the reading of the arguments has found. */
static void
scold_argument(struct session *s, const struct why *why)
{
	scold(s, why->code, why->status, "%s", why->text);
}

static bool
take_sender(struct session *s, const struct mailarg *a)
{
	struct why why = { 0 };
	enum outcome o;

	if (a->size > s->counter->office.config.max_size) {
		deny(s, EX_UNAVAILABLE, 552, "5.3.4", STR("the message is over max-size"));
		return false;
	}
	if ((o = address_parse_one(a->path, &s->sender, &why)) != DONE) {
		pass_on(s, SENDER, o, &why);
		return false;
	}
	if (!check_characters(s, "5.1.7", buf_str(&s->sender), a->wishes.smtputf8))
		return false;
	if ((o = submit_check_sender(s->counter, buf_c(&s->sender), &why)) != DONE)
		pass_on(s, SENDER, o, &why);
	return o == DONE;
}

/* Without HELO or EHLO too: other sendmails ask for none, and it would tell us
 * nothing. */
static void
do_mail(struct session *s, struct str rest)
{
	struct mailarg a = { 0 };
	struct why why = { 0 };

	if (s->open) {
		scold(s, 503, "5.5.1", "the message before this one was not ended; say RSET");
		if (!s->batch)
			return;
		/* Nobody hears it: its recipients must not be the next one's. */
		forget(s);
	}
	if (mailarg_read(MAILARG_MAIL, rest, &a, &why) != DONE) {
		scold_argument(s, &why);
	} else if (take_sender(s, &a)) {
		s->open = true;
		s->asked = (struct submission){ .sender = buf_c(&s->sender), .to = &s->to };
		wishes_copy(&s->asked.wishes, &a.wishes);
		say(s, 250, "2.1.0", "sender taken");
	}
	mailarg_free(&a);
}

static bool
take_recipient(struct session *s, const struct mailarg *a, struct buf *spec)
{
	struct why why = { 0 };
	enum outcome o;

	/* A client that keeps to RFC 5321 section 4.5.3.1.10 sends to the others next. */
	if (s->to.n >= s->counter->office.config.max_recipients) {
		deny(s, EX_DATAERR, 452, "4.5.3", STR("this message has as many recipients as "
		    "max-recipients allows; send to the others in another one"));
		return false;
	}
	if ((o = address_parse_one(a->path, spec, &why)) == DONE && spec->len == 0)
		o = refuse(&why, EX_DATAERR, "a recipient must have an address");
	if (o != DONE) {
		pass_on(s, RECIPIENT, o, &why);
		return false;
	}
	if (!check_characters(s, "5.1.3", buf_str(spec), s->asked.wishes.smtputf8))
		return false;
	if ((o = submit_check_recipient(s->counter, buf_c(&s->sender), buf_str(spec), &why)) != DONE)
		pass_on(s, RECIPIENT, o, &why);
	return o == DONE;
}

static void
do_rcpt(struct session *s, struct str rest)
{
	struct mailarg a = { 0 };
	struct why why = { 0 };
	struct buf spec = { 0 };

	if (!s->open || s->chunked) {
		scold(s, 503, "5.5.1", s->open ? "the text has begun" : "say MAIL first");
	} else if (mailarg_read(MAILARG_RCPT, rest, &a, &why) != DONE) {
		scold_argument(s, &why);
	} else if (take_recipient(s, &a, &spec)) {
		recipients_add(&s->to, buf_str(&spec), a.notify, a.orcpt);
		say(s, 250, "2.1.5", "recipient taken");
	}
	buf_free(&spec);
	mailarg_free(&a);
}

static void
begin_text(struct session *s)
{
	s->intake = (struct intake){ 0 };
	s->taken = DONE;
	s->begun = true;
	submit_begin(s->counter, &s->asked);
}

/* What was refused once is read on, and thrown away. */
static void
take_text(struct session *s, struct str raw, bool last)
{
	if (s->taken != DONE)
		return;
	buf_clear(&s->text);
	intake_feed(&s->intake, raw, &s->text);
	if (last)
		intake_end(&s->intake, &s->text);
	if (s->intake.saw_nul) {
		s->taken = refuse(&s->refusal, EX_DATAERR, "the message holds a NUL octet, which no mail "
		    "may; encode it, for example in base64");
		submit_drop(s->counter);
	} else if (s->text.len > 0) {
		s->taken = submit_text(s->counter, buf_str(&s->text), &s->refusal);
	}
	/* After a refusal nothing is left that could be dropped. */
	s->begun = s->taken == DONE;
}

static void
end_message(struct session *s)
{
	take_text(s, STR(""), true);
	if (s->taken == DONE)
		s->taken = submit_end(s->counter, &s->refusal);
	s->begun = false;
	if (s->taken != DONE) {
		pass_on(s, MESSAGE, s->taken, &s->refusal);
	} else {
		say(s, 250, "2.0.0", "queued as %s", s->counter->id);
		/* First the answer, so that nothing is sent that a client has to take for
		 * lost; but one that does not listen keeps its message waiting no longer. */
		talk_push(&s->talk);
		submit_release(s->counter);
		s->errors = 0;
	}
	forget(s);
}

/* False where the input ended before the text did. */
static bool
read_text(struct session *s)
{
	struct str in;

	s->dots = (struct dots){ .lf = !s->talk.crlf };
	while (!s->dots.ended && talk_hear(&s->talk, &in)) {
		buf_clear(&s->plain);
		talk_use(&s->talk, dots_feed(&s->dots, in, &s->plain));
		take_text(s, buf_str(&s->plain), false);
	}
	return s->dots.ended;
}

static void
do_data(struct session *s, struct str rest)
{
	(void)rest;
	if (!s->open || s->chunked) {
		scold(s, 503, "5.5.1", s->open ? "the text has begun with BDAT" : "say MAIL first");
	} else if (s->to.n == 0) {
		scold(s, 554, "5.5.1", "no recipient was taken");
	} else {
		say(s, 354, "", "the text, and then a line with a dot alone");
		begin_text(s);
		if (read_text(s))
			end_message(s);
		return;
	}
	/* A batch does not wait for our yes: its text is there, and is no command. */
	if (s->batch && !s->chunked) {
		s->open = true;
		if (read_text(s))
			forget(s);
	}
}

/* Reads the octets of a BDAT; false where the input ended among them. */
static bool
read_chunk(struct session *s, uint64_t size, bool wanted)
{
	struct str in;

	for (; size > 0; size -= in.len) {
		if (!talk_hear(&s->talk, &in))
			return false;
		if (in.len > size)
			in.len = size;
		talk_use(&s->talk, in.len);
		if (wanted)
			take_text(s, in, false);
	}
	return true;
}

/* RFC 3030 section 2.  The octets are read whatever becomes of them, or else they
 * would be taken for commands. */
static void
do_bdat(struct session *s, struct str rest)
{
	struct str number = str_word(&rest), word = str_trim(rest);
	bool last = str_caseis(word, "LAST"), form = last || word.len == 0;
	bool wanted = form && s->open && s->to.n > 0;
	uint64_t size;

	if (!codec_number(number, INT64_MAX, &size)) {
		say(s, 421, "4.5.2", "nobody knows where a BDAT without a size ends; goodbye");
		hang_up(s, refuse(&s->why, EX_PROTOCOL, "BDAT without a size, in line %zu", s->line));
		return;
	}
	if (wanted && !s->chunked) {
		begin_text(s);
		s->chunked = true;
	}
	if (!read_chunk(s, size, wanted))
		return;
	if (!form)
		scold(s, 501, "5.5.4", "syntax: BDAT size [LAST]");
	else if (!s->open)
		scold(s, 503, "5.5.1", "say MAIL first");
	else if (s->to.n == 0)
		scold(s, 503, "5.5.1", "no recipient was taken");
	else if (last || s->taken != DONE)
		end_message(s);
	else
		say(s, 250, "2.0.0", "%" PRIu64 " octets taken", size);
	/* A message that lacks a piece is none; and in a batch nobody says RSET. */
	if ((!form && s->chunked) || (s->batch && last))
		forget(s);
}

static void
do_rset(struct session *s, struct str rest)
{
	(void)rest;
	forget(s);
	say(s, 250, "2.0.0", "forgotten");
}

static void
do_noop(struct session *s, struct str rest)
{
	(void)rest;
	say(s, 250, "2.0.0", "well");
}

static void
do_vrfy(struct session *s, struct str rest)
{
	(void)rest;
	say(s, 252, "2.0.0", "nobody can say before it is sent; RCPT tells what is taken here");
}

static void
do_quit(struct session *s, struct str rest)
{
	(void)rest;
	forget(s);
	say(s, 221, "2.0.0", "goodbye");
	hang_up(s, DONE);
}

static void
do_nothing(struct session *s, struct str rest)
{
	(void)rest;
	scold(s, 502, "5.5.1", "this command is not served here");
}

static void do_help(struct session *s, struct str rest);

enum argument { NO_ARGUMENT, MAY_HAVE, MUST_HAVE };

static const struct command {
	const char *name;
	enum argument argument;
	void (*obey)(struct session *s, struct str rest);
} commands[] = {
	{ "EHLO", MUST_HAVE, do_ehlo },
	{ "HELO", MUST_HAVE, do_helo },
	{ "MAIL", MUST_HAVE, do_mail },
	{ "RCPT", MUST_HAVE, do_rcpt },
	{ "DATA", NO_ARGUMENT, do_data },
	{ "BDAT", MAY_HAVE, do_bdat },
	{ "RSET", NO_ARGUMENT, do_rset },
	{ "NOOP", MAY_HAVE, do_noop },
	{ "VRFY", MUST_HAVE, do_vrfy },
	{ "HELP", MAY_HAVE, do_help },
	{ "QUIT", NO_ARGUMENT, do_quit },
	{ "EXPN", MAY_HAVE, do_nothing },
	{ "AUTH", MAY_HAVE, do_nothing },
	{ "STARTTLS", MAY_HAVE, do_nothing },
	{ "ETRN", MAY_HAVE, do_nothing },
	{ "TURN", MAY_HAVE, do_nothing },
	{ "SEND", MAY_HAVE, do_nothing },
	{ "SOML", MAY_HAVE, do_nothing },
	{ "SAML", MAY_HAVE, do_nothing },
};

static void
do_help(struct session *s, struct str rest)
{
	struct buf names = { 0 };

	(void)rest;
	for (size_t i = 0; i < COUNT(commands) && commands[i].obey != do_nothing; i++)
		buf_addf(&names, " %s", commands[i].name);
	say(s, 214, "2.0.0", "subpost has%s; see sendmail(8)", buf_c(&names));
	buf_free(&names);
}

/* ---- the session ------------------------------------------------------------------ */

static void
obey(struct session *s, struct str line)
{
	struct str rest = str_trim(line), word = str_word(&rest);
	const struct command *c = commands;

	while (c < commands + COUNT(commands) && !str_caseis(word, c->name))
		c++;
	rest = str_trim(rest);
	if (c == commands + COUNT(commands))
		scold(s, 500, "5.5.1", "this is no command of SMTP");
	else if (c->argument == MUST_HAVE && rest.len == 0)
		scold(s, 501, "5.5.4", "%s needs an argument", c->name);
	else if (c->argument == NO_ARGUMENT && rest.len > 0 && !(s->batch && c->obey == do_data))
		scold(s, 501, "5.5.4", "%s takes no argument", c->name);
	else
		c->obey(s, rest);
}

static void
hear_noise(struct session *s, struct str line)
{
	static const char rule[] = "a command has at most %d octets, and no NUL, bare CR or bare LF";

	if (str_casestarts(str_trim(line), "BDAT")) {
		do_bdat(s, STR(""));
		return;
	}
	scold(s, 500, "5.5.2", rule, SMTPIN_LINE_MAX);
	/* It may have been DATA, and the text would be read as commands: a client that
	 * listens knows that it was not taken, a batch has already sent it. */
	if (s->batch)
		hang_up(s, refuse(&s->why, EX_DATAERR, "line %zu cannot be read, and what follows it was "
		    "not", s->line));
}

static void
hear(struct session *s, struct buf *line)
{
	s->line = s->talk.lines + 1;
	switch (talk_line(&s->talk, line)) {
	case HEARD_NOTHING:
		s->over = true;
		return;
	case HEARD_LINE:
		obey(s, buf_str(line));
		break;
	case HEARD_NOISE:
		hear_noise(s, buf_str(line));
		break;
	}
	if (s->errors >= SMTPIN_ERRORS_MAX && !s->over) {
		say(s, 421, "4.7.0", "too many errors; goodbye");
		hang_up(s, refuse(&s->why, EX_PROTOCOL, "the client made %u errors; the last in line %zu",
		    s->errors, s->line));
	}
}

/* How it ended, where nobody has said so: the input did, or one of the pipes. */
static void
judge(struct session *s)
{
	if (s->talk.over && s->outcome == DONE) {
		s->outcome = s->talk.outcome;
		s->why = s->talk.why;
	}
	if (s->outcome == LATER)
		say(s, 421, "4.4.2", "%s; goodbye", s->why.text);
	if (s->outcome == DONE && s->open)
		s->outcome = refuse(&s->why, EX_DATAERR, "the input ended inside a message, of which "
		    "nothing is queued");
	if (s->outcome == DONE && s->refusals > 0)
		s->outcome = refuse(&s->why, s->first_exit, "of the batch %zu command%s refused, the first "
		    "in line %zu; the rest is queued", s->refusals, s->refusals == 1 ? " was" : "s were",
		    s->first_line);
}

static void
greet(struct session *s)
{
	struct buf name = { 0 };

	put_name(s, &name);
	say(s, 220, "", "%s ESMTP subpost", buf_c(&name));
	buf_free(&name);
}

enum outcome
smtpin_serve(struct counter *c, int in, int out, bool batch, struct why *why)
{
	struct session s = { .counter = c, .batch = batch, .outcome = DONE, .talk = { .in = in,
		.out = out, .patience = batch ? -1 : PATIENCE, .line_max = SMTPIN_LINE_MAX } };
	struct buf line = { 0 };

	greet(&s);
	while (!s.over)
		hear(&s, &line);
	judge(&s);
	forget(&s);
	talk_flush(&s.talk);
	talk_free(&s.talk);
	buf_free(&s.sender);
	recipients_free(&s.to);
	buf_free(&s.plain);
	buf_free(&s.text);
	buf_free(&line);
	*why = s.why;
	return s.outcome;
}
