#include "clerk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "admit.h"
#include "await.h"
#include "complete.h"
#include "desk.h"
#include "intake.h"
#include "log.h"
#include "verbs.h"
#include "wake.h"

#define OUT_ROOM 16384          /* octets of an answer's text that go in one frame */
#define ROOM_STEP (1u << 16)    /* octets of text after which the disk is looked at again: all
                                 * clerks at once stay within what admit_room keeps free */
#define ADDED_MAX 8192          /* octets by which completing may have made a message longer
                                 * than what the face has measured */
#define HEAD_BASE 65536         /* octets of an envelope, and for each recipient that may be */
#define HEAD_EACH 512           /* named so many more */

enum phase {
	AT_REST,                /* nothing has begun */
	ENVELOPE,               /* pieces of it have come */
	TEXT,
	REFUSED,                /* answered; what still comes of it is not looked at */
};

struct visit {
	const struct clerk *c;
	struct desk desk;
	enum phase phase;
	struct buf head;        /* the envelope, as far as it has come */
	struct draft draft;
	int priority;           /* of the message under way */
	struct intake intake;
	struct buf out;         /* canonical text on its way to the draft */
	uint64_t size;          /* octets of text so far */
	uint64_t looked;        /* and when the disk was looked at */
	bool over;              /* no more is read */
};

/* ---- signals ---------------------------------------------------------------------- */

/* Both handlers end a read that waits, and nothing else: writing goes on, and a
 * disk that is slow is waited for. */
static volatile sig_atomic_t connection = -1;
static volatile sig_atomic_t is_waiting;        /* nothing has begun */
static volatile sig_atomic_t is_late;
static volatile sig_atomic_t is_leaving;

static void
end_reading(void)
{
	int saved = errno;

	shutdown(connection, SHUT_RD);
	errno = saved;
}

static void
on_alarm(int sig)
{
	(void)sig;
	is_late = 1;
	end_reading();
}

static void
on_term(int sig)
{
	(void)sig;
	is_leaving = 1;
	if (is_waiting)
		end_reading();
}

/* Nothing has begun.  Told to leave, we still take what has come by now: its caller
 * believes that it is taken. */
static void
start_waiting(void)
{
	is_waiting = 1;
	if (is_leaving)
		end_reading();
}

static void
prepare_signals(int fd)
{
	struct sigaction late = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct sigaction leaving = { .sa_handler = on_term, .sa_flags = SA_RESTART };
	sigset_t none;

	connection = fd;
	is_waiting = is_late = is_leaving = 0;
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGALRM, &late, NULL);
	sigaction(SIGTERM, &leaving, NULL);
	sigaction(SIGINT, &leaving, NULL);
	/* The service may have blocked what it reads another way. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ms: 0: no longer. */
static void
set_limit(int ms)
{
	struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

static int
idle_of(const struct clerk *c)
{
	return c->idle_ms > 0 ? c->idle_ms : CLERK_IDLE * 1000;
}

static int
total_of(const struct clerk *c)
{
	return c->total_ms > 0 ? c->total_ms : CLERK_TOTAL * 1000;
}

/* ---- answers ------------------------------------------------------------------------ */

/* A caller who cannot be told is gone, or does not listen: that ends it. */
static void
say(struct visit *v, enum outcome o, const char *id, const struct why *why)
{
	if (!desk_answer(v->c->fd, o, id, why))
		v->over = true;
}

static void
note(const struct visit *v, const char *reason)
{
	unsigned left = usage_complain(v->c->usage, v->c->uid, time(NULL));
	char uid[24];

	if (left == 0)
		return;
	snprintf(uid, sizeof uid, "%lu", (unsigned long)v->c->uid);
	log_event(LOG_WARNING, "caller", "uid", v->c->unknown ? "unknown" : uid, "reason", reason,
	    "next", left == 1 ? "no more is told in this minute" : "", NULL);
}

/* The rules are broken: that is the end of this connection. */
static void
hang_up(struct visit *v, int exit, const char *reason)
{
	struct why why;
	enum outcome o = refuse(&why, exit, "%s", reason);

	note(v, reason);
	say(v, o, "", &why);
	v->over = true;
}

static void
forget(struct visit *v)
{
	spool_release(v->c->spool, &v->draft);
	buf_free(&v->head);
	buf_clear(&v->out);
	v->intake = (struct intake){ 0 };
	v->size = v->looked = 0;
	v->phase = AT_REST;
}

/* Not taken.  ended: the caller has said that this was all of it. */
static void
turn_away(struct visit *v, bool ended, enum outcome o, const struct why *why)
{
	forget(v);
	if (!ended)
		v->phase = REFUSED;
	say(v, o, "", why);
}

/* ---- the envelope -------------------------------------------------------------------- */

static size_t
head_max(const struct config *c)
{
	uint64_t most = HEAD_BASE + (uint64_t)HEAD_EACH * c->max_recipients;

	return most < ENVELOPE_MAX ? (size_t)most : ENVELOPE_MAX;
}

static void
take_envelope(struct visit *v, struct str piece)
{
	size_t most = head_max(v->c->config);
	struct why why;

	v->phase = ENVELOPE;
	if (v->head.len + piece.len <= most) {
		buf_addstr(&v->head, piece);
		return;
	}
	turn_away(v, false, refuse(&why, EX_DATAERR, "the envelope is over %zu octets; send to fewer "
	    "recipients", most), &why);
}

static enum outcome
read_head(struct visit *v, struct envelope *e, struct why *why)
{
	enum outcome o = envelope_read(buf_str(&v->head), e, why);

	buf_free(&v->head);
	if (o != DONE)
		why->exit = EX_DATAERR;
	return o;
}

/* How much of this uid waits already? */
static enum outcome
check_waiting(const struct clerk *c, struct why *why)
{
	uint32_t waiting = usage_of(c->usage, c->uid);

	if (c->config->service.user_messages == 0 || waiting < c->config->service.user_messages)
		return DONE;
	return refuse(why, EX_TEMPFAIL, "%u messages of yours wait already, and more are not taken; "
	    "see why: mailq", waiting);
}

static enum outcome
check_rate(const struct clerk *c, struct why *why)
{
	struct timespec now;

	if (c->config->service.user_rate.n == 0)
		return DONE;
	clock_gettime(CLOCK_REALTIME, &now);
	return usage_take(c->spool, c->uid, &c->config->service.user_rate,
	    (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, why);
}

/* All that can be said before the text; what counts against somebody comes last. */
static enum outcome
admit(const struct clerk *c, const struct envelope *e, struct why *why)
{
	enum outcome o;

	if ((o = admit_envelope(c->config, e, why)) != DONE ||
	    (o = admit_sender(c->config, str_of(e->from), why)) != DONE ||
	    (o = admit_way(c->config, e, why)) != DONE ||
	    (o = check_waiting(c, why)) != DONE ||
	    (o = admit_room(c->spool, 0, why)) != DONE)
		return o;
	return check_rate(c, why);
}

/* Where the message entered, in front of all that the caller has put there. */
static void
put_received(struct visit *v, time_t now)
{
	const struct config *c = v->c->config;
	struct buf host = { 0 }, value = { 0 };
	char from[32] = "an unknown uid";
	struct tm local;
	long offset = localtime_r(&now, &local) != NULL ? local.tm_gmtoff : 0;

	if (!c->received)
		return;
	if (!v->c->unknown)
		snprintf(from, sizeof from, "uid %lu", (unsigned long)v->c->uid);
	config_hostname(c, &host);
	complete_received(&value, host.len > 0 ? buf_str(&host) : str_of(c->domain), from, v->draft.id,
	    now, offset);
	complete_field(&v->out, "Received", buf_str(&value));
	buf_free(&host);
	buf_free(&value);
}

static enum outcome
begin(struct visit *v, struct why *why)
{
	struct envelope e = { 0 };
	time_t now = time(NULL);
	enum outcome o = read_head(v, &e, why);

	e.id[0] = '\0';
	e.arrived = now;
	e.uid = v->c->uid;
	/* Whose mail goes before whose is not for everybody to say; behind it, is. */
	if (!v->c->operator && e.wishes.priority > 0)
		e.wishes.priority = 0;
	v->priority = e.wishes.priority;
	if (o == DONE && (o = admit(v->c, &e, why)) == DONE &&
	    (o = spool_begin(v->c->spool, &v->draft, &e, why)) == DONE)
		put_received(v, now);
	envelope_free(&e);
	v->phase = TEXT;
	return o;
}

/* ---- the text ---------------------------------------------------------------------------- */

/* What lies ready goes to the disk. */
static enum outcome
write_out(struct visit *v, struct why *why)
{
	enum outcome o = DONE;

	if (v->intake.saw_nul)
		return refuse(why, EX_DATAERR, "the message holds a NUL octet, which no mail may; "
		    "encode it, for example in base64");
	if (v->size > ADDED_MAX && (o = admit_size(v->c->config, v->size - ADDED_MAX, why)) != DONE)
		return o;
	if (v->size - v->looked >= ROOM_STEP) {
		v->looked = v->size;
		o = admit_room(v->c->spool, v->out.len, why);
	}
	if (o == DONE)
		o = spool_text(&v->draft, buf_str(&v->out), why);
	buf_clear(&v->out);
	return o;
}

static enum outcome
add_text(struct visit *v, struct str text, struct why *why)
{
	enum outcome o = DONE;

	if (v->phase == ENVELOPE && (o = begin(v, why)) != DONE)
		return o;
	v->size += text.len;
	intake_feed(&v->intake, text, &v->out);
	return write_out(v, why);
}

static void
take_text(struct visit *v, struct str text)
{
	struct why why;
	enum outcome o = add_text(v, text, &why);

	if (o != DONE)
		turn_away(v, false, o, &why);
}

/* ---- its end ------------------------------------------------------------------------------ */

static ssize_t
write_frame(void *cookie, const char *p, size_t n)
{
	const struct visit *v = cookie;

	/* A caller who reads an octet now and then shall not keep us for ever. */
	return !is_late && desk_write(v->c->fd, DESK_OUT, str_from(p, n)) ? (ssize_t)n : -1;
}

static ssize_t
write_shown(void *cookie, const char *p, size_t n)
{
	const struct visit *v = cookie;

	return desk_write(v->c->fd, DESK_SHOWN, str_from(p, n)) ? (ssize_t)n : -1;
}

/* What is printed there goes to the caller, in frames; NULL with errno. */
static FILE *
open_frames(struct visit *v, enum desk_kind kind, char *room)
{
	const cookie_io_functions_t to = { .write = kind == DESK_OUT ? write_frame : write_shown };
	FILE *f = fopencookie(v, "w", to);

	if (f != NULL)
		setvbuf(f, room, _IOFBF, OUT_ROOM);
	return f;
}

/* The message is the runner's from now on.  That nobody hears it is no reason to take
 * a promise back. */
static void
let_go(struct visit *v, const char *id)
{
	struct buf words = { 0 };

	forget(v);
	wake_put_arrival(&words, id, v->c->uid, v->priority);
	if (wake_send(v->c->spool, buf_str(&words)) == WAKE_NOBODY)
		log_event(LOG_ERR, "no-runner", "id", id, "reason", "the service does not listen", NULL);
	buf_free(&words);
}

/* No longer than the configuration lets anybody wait, or a message take. */
static long
patience(const struct clerk *c, long asked)
{
	long most = c->config->wait > CLERK_TOTAL ? (long)c->config->wait : CLERK_TOTAL;

	return asked < most ? asked : most;
}

static void
watch(struct visit *v, const char *id, long seconds, bool dialogue)
{
	const struct clerk *c = v->c;
	char room[OUT_ROOM];
	FILE *shown = dialogue ? open_frames(v, DESK_SHOWN, room) : NULL;
	struct await await = AWAIT_INIT;
	struct why why = { 0 };
	enum outcome o;

	await.config = c->whole;
	await.shown = shown;
	await.caller = c->fd;
	await_prepare(&await, c->spool, id, shown != NULL);
	let_go(v, id);
	start_waiting();
	o = await_outcome(&await, c->spool, id, patience(c, seconds), &why);
	is_waiting = 0;
	await_end(&await, c->spool, id);
	if (shown != NULL)
		fclose(shown);
	say(v, o, id, &why);
}

static enum outcome
finish(struct visit *v, struct why *why)
{
	enum outcome o = DONE;

	if (v->phase == ENVELOPE && (o = begin(v, why)) != DONE)
		return o;
	intake_end(&v->intake, &v->out);
	if ((o = write_out(v, why)) != DONE)
		return o;
	return spool_commit(v->c->spool, &v->draft, why);
}

static void
take_end(struct visit *v, struct str words)
{
	char id[ENVELOPE_ID_LEN + 1];
	struct why why = { 0 };
	bool dialogue;
	long seconds;
	enum outcome o;

	if (!desk_read_end(words, &seconds, &dialogue)) {
		hang_up(v, EX_PROTOCOL, "the end of a message with words that are not known");
		return;
	}
	/* It has come whole: from here on the disk has all the time that it needs. */
	set_limit(0);
	if (v->phase == REFUSED) {
		forget(v);
		return;
	}
	o = finish(v, &why);
	if (o != DONE) {
		turn_away(v, true, o, &why);
		return;
	}
	memcpy(id, v->draft.id, sizeof id);
	say(v, DONE, id, &why);
	if (seconds > 0 && !v->over)
		watch(v, id, seconds, dialogue);
	else
		let_go(v, id);
}

/* ---- questions -------------------------------------------------------------------------------- */

static enum outcome
answer_question(struct visit *v, char *const *words, struct why *why)
{
	const struct clerk *c = v->c;
	const struct asker who = { .uid = c->uid, .all = c->operator, .nobody = c->unknown };
	char room[OUT_ROOM];
	FILE *out = open_frames(v, DESK_OUT, room);
	enum outcome o;

	if (out == NULL)
		return later(why, SCOPE_NONE, "", "nothing can be printed: %s", strerror(errno));
	o = verbs_run(c->spool, c->whole, &who, words, out, why);
	if (fclose(out) != 0)
		v->over = true;
	return o;
}

static void
take_question(struct visit *v, struct str text)
{
	struct buf room = { 0 };
	struct why why = { 0 };
	char **words = NULL;
	enum outcome o;

	if (desk_read_words(text, &room, &words))
		o = answer_question(v, words, &why);
	else
		o = refuse(&why, EX_USAGE, "no question: it has no words, too many, or control octets "
		    "in one");
	free(words);
	buf_free(&room);
	say(v, o, "", &why);
}

/* ---- frames --------------------------------------------------------------------------------------- */

/* What each kind is at each point of a conversation: where it has no function, and is
 * not passed over, it breaks the rules. */
static void
take(struct visit *v, const struct desk_frame *f)
{
	bool begun = v->phase == ENVELOPE || v->phase == TEXT;

	if (f->kind == DESK_DROP)
		forget(v);
	else if (f->kind == DESK_END && v->phase != AT_REST)
		take_end(v, f->text);
	else if (v->phase == REFUSED && (f->kind == DESK_ENVELOPE || f->kind == DESK_TEXT))
		return;
	else if (f->kind == DESK_ENVELOPE && v->phase != TEXT)
		take_envelope(v, f->text);
	else if (f->kind == DESK_TEXT && begun)
		take_text(v, f->text);
	else if (f->kind == DESK_VERB && v->phase == AT_REST)
		take_question(v, f->text);
	else
		hang_up(v, EX_PROTOCOL, f->kind == DESK_VERB ? "a question amid a message" :
		    f->kind == DESK_ENVELOPE ? "an envelope behind its text" :
		    f->kind == DESK_TEXT ? "text without an envelope" :
		    f->kind == DESK_END ? "the end of a message that had not begun" :
		    "words that are not a caller's");
}

/* No frame.  Who leaves, or says nothing, while nothing has begun needs no words: the
 * caller's program may keep a connection while its own input is slow. */
static void
leave(struct visit *v, enum desk_got got)
{
	bool amid = v->phase != AT_REST || desk_is_amid(&v->desk);

	v->over = true;
	if (got == DESK_BROKEN)
		hang_up(v, EX_PROTOCOL, "octets that are no frame");
	else if (is_late && amid)
		hang_up(v, EX_TEMPFAIL, "it took too long to say what it wanted");
	else if (is_leaving && amid)
		hang_up(v, EX_TEMPFAIL, "the service is being stopped or restarted; try again later");
	else if (got == DESK_SILENT && amid)
		hang_up(v, EX_TEMPFAIL, "it fell silent amid a message");
	else if (amid)
		note(v, "it went away amid a message");
}

static void
converse(struct visit *v)
{
	struct desk_frame f;
	enum desk_got got;

	while (!v->over) {
		if (v->phase == AT_REST) {
			set_limit(total_of(v->c));
			start_waiting();
		}
		got = desk_read(&v->desk, idle_of(v->c), &f);
		is_waiting = 0;
		if (got == DESK_FRAME)
			take(v, &f);
		else
			leave(v, got);
	}
}

/* Nothing else before it, so that no version takes another's words for its own. */
static bool
hear_hello(struct visit *v)
{
	struct desk_frame f;
	enum desk_got got;

	set_limit(total_of(v->c));
	start_waiting();
	got = desk_read(&v->desk, idle_of(v->c), &f);
	is_waiting = 0;
	if (got != DESK_FRAME)
		leave(v, got);
	else if (f.kind != DESK_HELLO)
		hang_up(v, EX_PROTOCOL, "no hello before the first words");
	else if (!desk_is_hello(f.text))
		hang_up(v, EX_TEMPFAIL, "the caller's program and the mail service are of different "
		    "versions; install both anew, and restart the service");
	else
		return true;
	return false;
}

/* ---- the clerk ---------------------------------------------------------------------------------- */

int
clerk_shut_in(const struct fence *f)
{
	struct fence mine = *f;

	mine.signals = false;
	return fence_shut(&mine);
}

static bool
shut_in(struct visit *v)
{
	struct why why;
	enum outcome o;

	if (v->c->fence == NULL || clerk_shut_in(v->c->fence) == 0)
		return true;
	o = refuse(&why, EX_TEMPFAIL, "the mail service cannot shut its clerk in: %s; its log says more",
	    strerror(errno));
	log_event(LOG_ERR, "fence", "reason", why.text, NULL);
	say(v, o, "", &why);
	return false;
}

int
clerk_serve(const struct clerk *c)
{
	struct visit v = { .c = c, .desk = { .fd = c->fd } };
	int ms = idle_of(c);
	struct timeval patience_to_write = { ms / 1000, ms % 1000 * 1000 };

	prepare_signals(c->fd);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience_to_write, sizeof patience_to_write);
	if (shut_in(&v) && hear_hello(&v))
		converse(&v);
	set_limit(0);
	forget(&v);
	buf_free(&v.out);
	desk_close(&v.desk);
	return 0;
}
