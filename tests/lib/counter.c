#include "counter.h"

#include <assert.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "../../src/file.h"

#define PIECE 16384             /* octets that a session reads at a time */

struct counter_box box;
struct client client;

/* ---- the counter -------------------------------------------------------------------- */

enum outcome
submit_check_sender(struct counter *c, const char *sender, struct why *why)
{
	(void)c;
	assert(address_is_sendable(str_of(sender)));
	return box.judge_sender != NULL ? box.judge_sender(sender, why) : DONE;
}

enum outcome
submit_check_recipient(struct counter *c, const char *sender, struct str spec, struct why *why)
{
	(void)c, (void)sender;
	assert(spec.len > 0 && address_is_sendable(spec));
	return box.judge_recipient != NULL ? box.judge_recipient(spec, why) : DONE;
}

void
submit_begin(struct counter *c, const struct submission *asked)
{
	assert(box.asked == NULL && !box.held);
	assert(asked->to->n > 0 && asked->to->n <= c->office.config.max_recipients);
	box.asked = asked;
	buf_clear(&box.text);
	snprintf(c->id, sizeof c->id, "ID%u", box.queued + 1);
}

enum outcome
submit_text(struct counter *c, struct str text, struct why *why)
{
	assert(box.asked != NULL && !str_has(text, '\0'));
	buf_addstr(&box.text, text);
	if (box.text.len <= c->office.config.max_size)
		return DONE;
	box.asked = NULL;
	return refuse(why, EX_UNAVAILABLE, "too large");
}

static void
put_wish(const char *name, const char *value)
{
	if (value != NULL)
		buf_addf(&box.log, ";%s=%s", name, value);
}

static void
put_message(const struct submission *a)
{
	const struct wishes *w = &a->wishes;

	buf_adds(&box.log, a->sender);
	put_wish("body", w->body != DSN_BODY_UNSAID ? dsn_body_word(w->body) : NULL);
	put_wish("ret", w->ret != DSN_RETURN_UNSAID ? dsn_return_word(w->ret) : NULL);
	put_wish("envid", w->envid);
	buf_adds(&box.log, w->smtputf8 ? ";smtputf8" : "");
	if (w->by != DSN_BY_UNSAID) {
		buf_adds(&box.log, ";by=");
		dsn_put_by(&box.log, w, w->by_seconds);
	}
	if (w->hold_for != 0 || w->hold_until != 0)
		buf_addf(&box.log, ";hold=%u,%lld", (unsigned)w->hold_for, (long long)w->hold_until);
	if (w->priority != 0)
		buf_addf(&box.log, ";priority=%d", w->priority);
	for (size_t i = 0; i < a->to->n; i++) {
		const struct recipient *r = &a->to->v[i];

		buf_addf(&box.log, "%c%s", i > 0 ? ',' : '>', r->address);
		if (r->notify != 0) {
			buf_adds(&box.log, ";notify=");
			dsn_put_notify(&box.log, r->notify);
		}
		put_wish("orcpt", r->orcpt);
	}
	buf_addc(&box.log, ':');
	buf_addstr(&box.log, buf_str(&box.text));
	buf_addc(&box.log, '|');
}

enum outcome
submit_end(struct counter *c, struct why *why)
{
	const struct submission *a = box.asked;
	enum outcome o = DONE;

	(void)c;
	assert(a != NULL);
	box.asked = NULL;
	if (box.judge_message != NULL && (o = box.judge_message(a, buf_str(&box.text), why)) != DONE)
		return o;
	put_message(a);
	box.queued++;
	box.held = true;
	return DONE;
}

void
submit_release(struct counter *c)
{
	char tail[64] = "";
	char end[40];
	off_t size = lseek(box.out, 0, SEEK_END);

	assert(box.held);
	box.held = false;
	if (size > (off_t)sizeof tail - 1)
		(void)!pread(box.out, tail, sizeof tail - 1, size - (off_t)sizeof tail + 1);
	snprintf(end, sizeof end, "queued as %s\r\n", c->id);
	box.unheard = box.unheard || strstr(tail, end) == NULL;
}

void
submit_drop(struct counter *c)
{
	(void)c;
	assert(box.asked != NULL);
	box.asked = NULL;
}

void
counter_clear(int out)
{
	box.queued = 0;
	box.unheard = false;
	box.out = out;
	buf_clear(&box.log);
}

/* ---- the client ---------------------------------------------------------------------- */

/* Hands over the next piece as one packet, so that one read gets it, or hangs up. */
static void
speak(void)
{
	const char *from = client.rest.p;
	size_t n = 0;
	ssize_t sent;

	client.waits++;
	if (client.rest.len == 0) {
		shutdown(client.fd, SHUT_WR);
		return;
	}
	do {
		client.rest = str_from(client.rest.p + 1, client.rest.len - 1);
		client.at++;
		n++;
	} while (client.rest.len > 0 && n < PIECE && !client.cut_here(client.at));
	sent = send(client.fd, from, n, 0);
	assert(sent == (ssize_t)n);
}

/* Whoever can be written to is ready; if none is, the client has its turn.  On its
 * own, since gcc believes that the C library's poll does not read what p points to. */
static int __attribute__((noinline))
answer_poll(struct pollfd *p, nfds_t n)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		p[i].revents = p[i].fd >= 0 && p[i].events == POLLOUT ? POLLOUT : 0;
		ready += p[i].revents != 0;
	}
	if (ready > 0 || p->fd < 0)
		return ready;
	if (client.silent && client.rest.len == 0)
		return 0;
	speak();
	p->revents = POLLIN;
	return 1;
}

int
poll(struct pollfd *p, nfds_t n, int patience)
{
	struct timespec t = { .tv_sec = patience / 1000, .tv_nsec = patience % 1000 * 1000000L };

	if (client.real)
		return ppoll(p, n, patience < 0 ? NULL : &t, NULL);
	assert(n == 1 || n == 2);
	return answer_poll(p, n);
}

/* ---- the two --------------------------------------------------------------------------- */

/* Until when mail may be held is counted from now: two conversations that are compared may
 * have begun in different seconds. */
static void
blank_moments(struct buf *replies)
{
	static const char word[] = "250-FUTURERELEASE ";
	char *at = replies->p, *end = at + replies->len;

	while (replies->len > 0 && (at = memmem(at, (size_t)(end - at), word, sizeof word - 1)) != NULL) {
		bool counts = false;

		for (at += sizeof word - 1; at < end && *at != '\r'; at++) {
			counts = counts || *at == ' ';
			if (counts && *at >= '1' && *at <= '9')
				*at = '0';
		}
	}
}

enum outcome
counter_converse(struct counter *c, struct str said, bool batch, bool (*cut_here)(size_t at),
    struct buf *replies, struct why *why)
{
	int fds[2], out = memfd_create("out", MFD_CLOEXEC);
	int made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
	int unread;
	enum outcome o;

	assert(out >= 0 && made == 0);
	client.rest = said;
	client.cut_here = cut_here;
	client.at = client.waits = 0;
	client.fd = fds[1];
	counter_clear(out);
	o = smtpin_serve(c, fds[0], out, batch, why);
	assert(box.asked == NULL && !box.held);
	lseek(out, 0, SEEK_SET);
	unread = file_read_all(out, replies, SIZE_MAX);
	assert(unread == 0);
	blank_moments(replies);
	close(out);
	close(fds[0]);
	close(fds[1]);
	return o;
}
