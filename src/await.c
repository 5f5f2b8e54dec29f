#include "await.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "carriers.h"
#include "clock.h"
#include "codec.h"
#include "file.h"
#include "health.h"
#include "trace.h"

#define LINE_LIMIT 8192         /* octets of a line of the dialogue */
#define EVENTS 32               /* that are taken at a time */

/* What has been seen of a message's files. */
struct news {
	bool left;              /* unlinked */
	bool moved;             /* renamed */
	bool missed;            /* there was more to see than inotify keeps */
};

/* ---- before and after ----------------------------------------------------------- */

static bool
watch(const struct await *a, const char *path, uint32_t what)
{
	return inotify_add_watch(a->fd, path, what) >= 0;
}

static void
close_watch(struct await *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

/* Without a dialogue the outcome is still worth waiting for. */
static void
prepare_dialogue(struct await *a, const struct spool *s, const char *id)
{
	struct buf path = { 0 };

	trace_path(s, id, &path);
	a->trace = trace_make(s, id);
	if (a->trace < 0 || !watch(a, buf_c(&path), IN_MODIFY))
		fprintf(a->shown != NULL ? a->shown : stderr,
		    "sendmail: the dialogue cannot be shown: %s\n", strerror(errno));
	buf_free(&path);
}

void
await_prepare(struct await *a, const struct spool *s, const char *id, bool dialogue)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/queue", s->path);
	a->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (a->fd < 0 || !watch(a, buf_c(&path), IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)) {
		a->error = errno;
		close_watch(a);
	}
	buf_free(&path);
	if (a->fd >= 0 && dialogue)
		prepare_dialogue(a, s, id);
}

void
await_end(struct await *a, const struct spool *s, const char *id)
{
	if (a->trace >= 0) {
		trace_remove(s, id);
		close(a->trace);
	}
	close_watch(a);
	buf_free(&a->line);
	*a = (struct await)AWAIT_INIT;
}

/* ---- the dialogue ------------------------------------------------------------------ */

/* Masked again: what a courier writes may be what a server made it write. */
static void
print_lines(struct buf *text, FILE *out)
{
	struct str rest = buf_str(text), line;
	struct buf shown = { 0 };

	while (str_has(rest, '\n') && str_line(&rest, &line)) {
		codec_mask(&shown, line);
		buf_addc(&shown, '\n');
	}
	fwrite(buf_c(&shown), 1, shown.len, out);
	fflush(out);
	buf_free(&shown);
	buf_cut(text, text->len - rest.len);
	if (text->len > LINE_LIMIT)
		buf_clear(text);
}

/* Shows what has been written since. */
static void
follow(struct await *a)
{
	char chunk[4096];
	size_t n;

	if (a->trace < 0)
		return;
	while (file_read(a->trace, chunk, sizeof chunk, &n) == 0 && n > 0) {
		buf_add(&a->line, chunk, n);
		print_lines(&a->line, a->shown != NULL ? a->shown : stderr);
	}
}

/* ---- what is seen --------------------------------------------------------------------- */

/* Takes what inotify has; true when it concerns the message. */
static bool
read_news(const struct await *a, const char *id, struct news *news)
{
	union {
		struct inotify_event align;
		char room[EVENTS * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	} events;
	bool concerned = false;
	ssize_t n;

	while ((n = read(a->fd, events.room, sizeof events.room)) > 0) {
		for (ssize_t at = 0; at < n; ) {
			const struct inotify_event *e = (const void *)(events.room + at);

			at += (ssize_t)(sizeof *e + e->len);
			news->missed = news->missed || (e->mask & IN_Q_OVERFLOW) != 0;
			if (e->len == 0 || strncmp(e->name, id, ENVELOPE_ID_LEN) != 0)
				continue;
			concerned = true;
			if (e->name[ENVELOPE_ID_LEN] != '\0')
				continue;
			news->left = news->left || (e->mask & IN_DELETE) != 0;
			news->moved = news->moved || (e->mask & IN_MOVED_FROM) != 0;
		}
	}
	return concerned || news->missed;
}

/* Sleeps until something that concerns the message has happened, and shows the
 * dialogue meanwhile.  False when the time is over, or nobody wants to know. */
static bool
wait_for_news(struct await *a, const char *id, double end, struct news *news)
{
	/* What else the caller has to say can wait; without one, poll passes over -1. */
	struct pollfd p[] = {
		{ .fd = a->fd, .events = POLLIN },
		{ .fd = a->caller, .events = POLLRDHUP },
	};
	bool concerned = false;

	for (;;) {
		double left = end - clock_now();

		concerned = read_news(a, id, news);
		follow(a);
		if (concerned || left <= 0 || (p[1].revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0)
			return concerned;
		p[1].revents = 0;
		poll(p, 2, left < 86400 ? (int)(left * 1000) + 1 : 86400 * 1000);
	}
}

/* ---- what it means ---------------------------------------------------------------------- */

/* Who will never get it, and what has become of the others. */
static enum outcome
name_refused(const struct letter *l, struct why *why)
{
	const struct fate *f = &l->fate;
	struct buf others = { 0 };
	size_t first = 0, refused = fate_count(f, NEVER), sent = fate_count(f, DONE),
	    waiting = fate_count(f, LATER);

	while (f->to[first].outcome != NEVER)
		first++;
	if (refused > 1)
		buf_addf(&others, "; %zu more %s refused", refused - 1, refused > 2 ? "are" : "is");
	if (sent > 0)
		buf_addf(&others, "; %zu got it", sent);
	if (waiting > 0)
		buf_addf(&others, "; %zu still wait%s", waiting, waiting > 1 ? "" : "s");
	never(why, SCOPE_RECIPIENT, f->to[first].status, "not sent to %s: %.380s%s",
	    codec_show(str_of(l->envelope.to[first].address)).p,
	    f->to[first].text != NULL ? f->to[first].text : "refused", buf_c(&others));
	buf_free(&others);
	return NEVER;
}

/* In failed/, or removed. */
static enum outcome
explain_move(const struct spool *s, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum outcome o = spool_read(s, SPOOL_FAILED, id, &l, why);

	if (o == DONE && !l.damaged && fate_count(&l.fate, NEVER) > 0)
		o = name_refused(&l, why);
	else if (o == DONE)
		o = never(why, SCOPE_MESSAGE, "", "%s was given up; see: subpost show %s", id, id);
	else
		o = never(why, SCOPE_MESSAGE, "", "%s was removed from the queue by hand and not sent", id);
	spool_letter_free(&l);
	return o;
}

/* Why it has not left: what was said about it, or else about the account. */
static enum outcome
explain_delay(const struct await *a, const struct spool *s, const char *id, const struct letter *l,
    struct why *why)
{
	/* At the counter it may have been said of somebody else's mail. */
	const struct asker who = { .all = a->caller < 0 };
	struct buf last = { 0 };
	struct carriers k;
	int account;

	carriers_load(&k, s, a->config, &who);
	account = l->damaged ? -1 : carriers_keep(&k, l);
	if (!l->damaged && l->fate.last.text[0] != '\0') {
		buf_addf(&last, "; last: %s", l->fate.last.text);
	} else if (!l->damaged && l->envelope.wishes.hold_until > time(NULL)) {
		buf_adds(&last, "; it is for ");
		codec_stamp(&last, l->envelope.wishes.hold_until);
	} else if (account >= 0) {
		buf_adds(&last, "; ");
		health_describe(&k.v[account], config_account(a->config, (unsigned)account)->name,
		    time(NULL), &last);
	}
	later(why, SCOPE_NONE, "", "still queued as %s; it will be sent, do not send it again%.500s", id,
	    buf_c(&last));
	buf_free(&last);
	return LATER;
}

/* It is in the queue.  Is there a reason not to wait on? */
static bool
is_decided(const struct letter *l, const char *id, enum outcome *o, struct why *why)
{
	struct why damage = *why;

	if (l->damaged || l->fate.held)
		*o = later(why, SCOPE_NONE, "", "queued as %s, and held: %.300s; see: subpost show %s", id,
		    l->damaged ? damage.text : l->fate.hold_reason, id);
	else if (!fate_is_settled(&l->fate))
		return false;
	else
		*o = fate_count(&l->fate, NEVER) > 0 ? name_refused(l, why) : DONE;
	return true;
}

/* It has gone, and how was not seen. */
static enum outcome
lose_sight(const struct spool *s, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum outcome o = spool_read(s, SPOOL_FAILED, id, &l, why);

	spool_letter_free(&l);
	if (o == DONE)
		return explain_move(s, id, why);
	return later(why, SCOPE_NONE, "", "%s was queued and has gone, but too much went on to see how; "
	    "look into %s/log before you send it again", id, s->path);
}

/* One look at the message; true when its outcome is known, as at the end of the
 * time it always is. */
static bool
look(const struct await *a, const struct spool *s, const char *id, struct news *news, bool over,
    enum outcome *o, struct why *why)
{
	struct letter l = LETTER_INIT;
	bool known = true, read, gone;

	*o = DONE;
	if (news->left)
		return true;
	if (news->moved) {
		*o = explain_move(s, id, why);
		return true;
	}
	read = spool_read(s, SPOOL_QUEUE, id, &l, why) == DONE;
	gone = !read && why->exit == EX_NOINPUT;
	if (read && is_decided(&l, id, o, why))
		known = true;
	else if (over && !gone)
		*o = fate_count(&l.fate, NEVER) > 0 ? name_refused(&l, why) :
		    explain_delay(a, s, id, &l, why);
	else if (gone && read_news(a, id, news) && (news->left || news->moved))
		known = look(a, s, id, news, over, o, why);
	else if (gone && (over || news->missed))
		*o = lose_sight(s, id, why);
	else
		known = false;
	spool_letter_free(&l);
	return known;
}

enum outcome
await_outcome(struct await *a, const struct spool *s, const char *id, long seconds, struct why *why)
{
	double end = clock_now() + (double)seconds;
	struct news news = { 0 };
	enum outcome o = LATER;
	bool more;

	if (a->fd < 0)
		return later(why, SCOPE_NONE, "", "queued as %s, but it could not be watched (%s); "
		    "it will be sent, do not send it again", id, strerror(a->error));
	do
		more = wait_for_news(a, id, end, &news);
	while (!look(a, s, id, &news, !more, &o, why) && more);
	follow(a);
	return o;
}
