#include "office.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"
#include "settings.h"
#include "verbs.h"
#include "wake.h"

#define HELD_MAX (256 << 10)    /* octets of a message that are held in memory */

/* ---- which one ----------------------------------------------------------------- */

/* config_load, and where a queue is wanted, that as well. */
static enum outcome
open_own(struct office *o, bool queue, struct why *why)
{
	enum outcome r = config_load(&o->config, false, why);

	if (r == DONE && queue)
		r = spool_open(&o->spool, o->config.directory, o->config.path, why);
	if (r == DONE)
		o->kind = OFFICE_OWN;
	return r;
}

/* Whoever is told no has nothing open, but may still be told what is wrong. */
static void
close_own(struct office *o)
{
	spool_close(&o->spool);
	config_free(&o->config);
	o->kind = OFFICE_NONE;
}

static void
say_whose(struct office *o)
{
	const char *named = secure_getenv("SUBPOST_CONFIG");

	if (named != NULL && named[0] != '\0')
		buf_addf(&o->reason, "own office: SUBPOST_CONFIG names %s", o->config.path);
	else
		buf_addf(&o->reason, "own office: %s exists", o->config.path);
}

/* *called: somebody is there, whatever came of it. */
static enum outcome
open_service(struct office *o, bool *called, struct why *why)
{
	const char *path = buf_c(&o->socket);
	struct buf settings = { 0 };
	enum outcome r;

	if ((r = desk_connect(&o->desk, path, why)) != DONE) {
		*called = errno != ENOENT;
		return r;
	}
	*called = true;
	if ((r = desk_greet(&o->desk, path, &settings, why)) == DONE)
		r = settings_read(buf_str(&settings), &o->config, why);
	buf_free(&settings);
	if (r == DONE) {
		o->kind = OFFICE_SERVICE;
		buf_addf(&o->reason, "service: no configuration of your own, and %s answers", path);
		return DONE;
	}
	desk_close(&o->desk);
	config_free(&o->config);
	return r;
}

/* Nobody takes the mail.  service: why not there; *why: why not here, which is told
 * where it is more than that the secret is for others. */
static enum outcome
refuse_both(const struct why *service, bool both, struct why *why)
{
	struct why own = *why;

	if (!both)
		return refuse(why, EX_TEMPFAIL, "%s", service->text);
	return refuse(why, EX_TEMPFAIL, "%.330s; and %.330s", service->text, own.text);
}

static enum outcome
find(struct office *o, bool queue, struct why *why)
{
	struct why service = { 0 };
	bool exists, called, both;
	enum outcome r;

	if (config_is_own()) {
		if ((r = open_own(o, queue, why)) == DONE)
			say_whose(o);
		return r;
	}
	config_socket(&o->socket, &exists);
	if (open_service(o, &called, &service) == DONE)
		return DONE;
	if ((r = open_own(o, queue, why)) == DONE) {
		buf_addf(&o->reason, "own office: the service at %s does not answer, and the system's "
		    "configuration %s can be read", buf_c(&o->socket), o->config.path);
		return DONE;
	}
	both = o->config.nerrors > 0 || o->spool.path != NULL;
	close_own(o);
	return exists || called ? refuse_both(&service, both, why) : r;
}

enum outcome
office_open(struct office *o, struct why *why)
{
	return find(o, true, why);
}

enum outcome
office_look(struct office *o, struct why *why)
{
	return find(o, false, why);
}

void
office_close(struct office *o)
{
	office_drop(o);
	if (o->await.fd >= 0 || o->await.trace >= 0)
		await_end(&o->await, &o->spool, o->id);
	desk_close(&o->desk);
	spool_close(&o->spool);
	config_free(&o->config);
	buf_free(&o->held);
	buf_free(&o->socket);
	buf_free(&o->reason);
	*o = (struct office)OFFICE_INIT;
}

/* ---- a message for the service is held until it is whole ------------------------- */

static enum outcome
hold_trouble(struct why *why, const char *what)
{
	return refuse(why, EX_TEMPFAIL, "cannot %s what is too long for memory: %s; make room in "
	    "memory, or in TMPDIR", what, strerror(errno));
}

static int
open_rest(void)
{
	const char *tmp = secure_getenv("TMPDIR");
	int fd = memfd_create("message", MFD_CLOEXEC);

	if (fd >= 0)
		return fd;
	return open(tmp != NULL && tmp[0] == '/' ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* What is held goes out of memory; the next frame is a new one. */
static enum outcome
put_aside(struct office *o, struct why *why)
{
	if (o->rest < 0 && (o->rest = open_rest()) < 0)
		return hold_trouble(why, "keep");
	if (file_write(o->rest, buf_str(&o->held)) < 0)
		return hold_trouble(why, "write");
	buf_clear(&o->held);
	o->frame = 0;
	return DONE;
}

/* Text in frames as long as may be, however small the pieces are that it comes in. */
static void
hold(struct office *o, struct str text)
{
	while (text.len > 0) {
		size_t n = text.len;

		if (o->frame == 0 || o->frame == DESK_FRAME_MAX) {
			buf_add(&o->held, "\0\0\0", DESK_HEAD);
			o->frame = 0;
		}
		if (n > DESK_FRAME_MAX - o->frame)
			n = DESK_FRAME_MAX - o->frame;
		buf_add(&o->held, text.p, n);
		o->frame += n;
		desk_put_head(o->held.p + o->held.len - o->frame - DESK_HEAD, DESK_TEXT, o->frame);
		text = str_from(text.p + n, text.len - n);
	}
}

static enum outcome
hold_envelope(struct office *o, const struct envelope *e, struct why *why)
{
	struct buf text = { 0 };

	envelope_write(e, &text);
	if (text.len > ENVELOPE_MAX) {
		buf_free(&text);
		return refuse(why, EX_DATAERR, "the envelope is over %u octets; send to fewer recipients",
		    ENVELOPE_MAX);
	}
	desk_put(&o->held, DESK_ENVELOPE, buf_str(&text));
	o->before_text = o->held.len;
	buf_free(&text);
	return DONE;
}

/* ---- and brought there ------------------------------------------------------------- */

/* Greeted once more, by a clerk who knows nothing of us. */
static enum outcome
call_again(struct office *o, struct why *why)
{
	struct buf settings = { 0 };
	enum outcome r;

	desk_close(&o->desk);
	if ((r = desk_connect(&o->desk, buf_c(&o->socket), why)) == DONE)
		r = desk_greet(&o->desk, buf_c(&o->socket), &settings, why);
	buf_free(&settings);
	if (r != DONE)
		desk_close(&o->desk);
	return r;
}

/* One who was silent for long has lost his clerk; and what a clerk has said before he
 * was told anything must not be taken for the answer.  *fresh: it is a new one. */
static enum outcome
find_clerk(struct office *o, bool *fresh, struct why *why)
{
	if (o->desk.fd >= 0 && !desk_has_news(&o->desk))
		return DONE;
	*fresh = true;
	return call_again(o, why);
}

/* False when nobody takes it any more; *sent is what was taken. */
static bool
push(struct office *o, struct str octets, uint64_t *sent)
{
	while (octets.len > 0) {
		ssize_t n = desk_push(&o->desk, octets);

		if (n < 0)
			return false;
		*sent += (uint64_t)n;
		octets = str_from(octets.p + n, octets.len - (size_t)n);
	}
	return true;
}

/* What was put aside, as long as nobody says anything to it. */
static bool
push_rest(struct office *o, uint64_t *sent)
{
	char *chunk = mem_alloc(DESK_FRAME_MAX);
	bool good = true;
	size_t n = 1;

	for (off_t at = 0; good && n > 0; at += (off_t)n)
		good = !desk_has_news(&o->desk) &&
		    file_read_at(o->rest, chunk, DESK_FRAME_MAX, at, &n) == 0 &&
		    push(o, str_from(chunk, n), sent);
	free(chunk);
	return good;
}

/* Nothing was answered.  Only what has passed of the text decides whether there may
 * be a copy now. */
static enum outcome
lament(const struct office *o, uint64_t sent, struct why *why)
{
	if (sent > o->before_text)
		return refuse(why, EX_TEMPFAIL, "the service at %s ended before it answered; the message may "
		    "be queued: look with mailq before you send it again", buf_c(&o->socket));
	return refuse(why, EX_TEMPFAIL, "the service at %s ended before it took the message; nothing is "
	    "queued, try again", buf_c(&o->socket));
}

/* The message is whole, and goes over the counter.  A second try is made only where
 * nothing of the text has passed: there is never a second copy. */
static enum outcome
bring(struct office *o, struct why *why)
{
	bool fresh = false, whole;
	uint64_t sent;
	enum outcome r;

	for (;;) {
		if ((r = find_clerk(o, &fresh, why)) != DONE)
			return r;
		sent = 0;
		whole = (o->rest < 0 || push_rest(o, &sent)) && push(o, buf_str(&o->held), &sent);
		if (whole || fresh || sent > o->before_text)
			break;
		desk_close(&o->desk);
	}
	/* Also where it takes no more: why, it may have said. */
	r = desk_await(&o->desk, NULL, NULL, o->id, why);
	if (r != DONE && o->desk.fd < 0)
		r = lament(o, sent, why);
	else if (!whole)
		/* It would take the next one's words for the rest of this one's. */
		desk_close(&o->desk);
	if (r == DONE && !envelope_is_id(str_of(o->id)))
		r = lament(o, sent, why);
	return r;
}

/* ---- one message ---------------------------------------------------------------------- */

enum outcome
office_begin(struct office *o, struct envelope *e, struct why *why)
{
	enum outcome r;

	office_drop(o);
	if (o->kind == OFFICE_SERVICE && spool_fresh_id(e->id) < 0)
		return refuse(why, EX_OSERR, "cannot make an id: %s", strerror(errno));
	r = o->kind == OFFICE_SERVICE ? hold_envelope(o, e, why) :
	    spool_begin(&o->spool, &o->draft, e, why);
	if (r == DONE)
		memcpy(o->id, e->id, sizeof o->id);
	o->priority = e->wishes.priority;
	return r;
}

enum outcome
office_text(struct office *o, struct str text, struct why *why)
{
	if (o->kind == OFFICE_OWN)
		return spool_text(&o->draft, text, why);
	hold(o, text);
	return o->held.len > HELD_MAX ? put_aside(o, why) : DONE;
}

static enum outcome
commit_there(struct office *o, bool dialogue, struct why *why)
{
	struct buf end = { 0 };

	if (o->wait > 0)
		buf_addf(&end, "wait %ld%s", o->wait, dialogue ? " dialogue" : "");
	desk_put(&o->held, DESK_END, buf_str(&end));
	buf_free(&end);
	return bring(o, why);
}

enum outcome
office_commit(struct office *o, long wait, bool dialogue, struct why *why)
{
	enum outcome r;

	o->wait = wait;
	r = o->kind == OFFICE_SERVICE ? commit_there(o, dialogue, why) :
	    spool_commit(&o->spool, &o->draft, why);
	o->committed = r == DONE;
	if (o->committed && o->kind == OFFICE_OWN && wait > 0) {
		o->await.config = &o->config;
		await_prepare(&o->await, &o->spool, o->id, dialogue);
	}
	return r;
}

void
office_drop(struct office *o)
{
	spool_release(&o->spool, &o->draft);
	buf_clear(&o->held);
	if (o->rest >= 0)
		close(o->rest);
	o->rest = -1;
	o->frame = 0;
	o->before_text = 0;
	o->committed = false;
}

enum outcome
office_release(struct office *o, struct why *why)
{
	bool ours = o->committed && o->kind == OFFICE_OWN;
	struct buf words = { 0 };
	enum outcome r = DONE;

	office_drop(o);
	/* The service's clerk tells its runner himself. */
	if (ours) {
		wake_put_arrival(&words, o->id, geteuid(), o->priority);
		r = wake_runner(&o->spool, buf_str(&words), false, why);
		buf_free(&words);
	}
	return r;
}

enum outcome
office_await(struct office *o, struct why *why)
{
	enum outcome r;

	if (o->wait <= 0)
		return DONE;
	if (o->kind == OFFICE_OWN) {
		r = await_outcome(&o->await, &o->spool, o->id, o->wait, why);
		await_end(&o->await, &o->spool, o->id);
		return r;
	}
	r = desk_await(&o->desk, NULL, stderr, NULL, why);
	if (r != DONE && o->desk.fd < 0)
		return refuse(why, EX_TEMPFAIL, "queued as %s, but the service ended before it was sent; it "
		    "will be sent, do not send it again", o->id);
	return r;
}

/* ---- the queue -------------------------------------------------------------------------- */

/* One line a word, since no word that means anything has a line end in it. */
static enum outcome
put_words(char *const *words, struct buf *out, struct why *why)
{
	for (size_t i = 0; words[i] != NULL; i++) {
		if (str_has(str_of(words[i]), '\n'))
			return refuse(why, EX_USAGE, "%s: a line end is in no id, and in no verb",
			    codec_show(str_of(words[i])).p);
		buf_addf(out, "%s%s", i > 0 ? "\n" : "", words[i]);
	}
	if (out->len > DESK_FRAME_MAX)
		return refuse(why, EX_USAGE, "these are too many at once; name fewer");
	return DONE;
}

static enum outcome
ask_there(struct office *o, struct str question, FILE *out, struct why *why)
{
	bool fresh = false, asked;
	struct buf frame = { 0 };
	uint64_t sent = 0;
	enum outcome r;

	desk_put(&frame, DESK_VERB, question);
	do {
		if ((r = find_clerk(o, &fresh, why)) != DONE)
			break;
		asked = push(o, buf_str(&frame), &sent);
		if (!asked && !fresh)
			desk_close(&o->desk);
	} while (!asked && o->desk.fd < 0);
	buf_free(&frame);
	if (r != DONE)
		return r;
	return desk_await(&o->desk, out, NULL, NULL, why);
}

enum outcome
office_ask(struct office *o, char *const *words, FILE *out, struct why *why)
{
	const struct asker owner = { .uid = geteuid(), .all = true, .own = true };
	struct buf question = { 0 };
	enum outcome r;

	if (o->kind == OFFICE_OWN)
		return verbs_run(&o->spool, &o->config, &owner, words, out, why);
	if ((r = put_words(words, &question, why)) == DONE)
		r = ask_there(o, buf_str(&question), out, why);
	buf_free(&question);
	return r;
}
