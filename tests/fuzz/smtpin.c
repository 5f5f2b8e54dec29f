/* Any octets as a dialogue: however they are cut, the replies are the same and so
 * are the messages; there are as many as were promised, each begun and ended once;
 * every reply is in form.  The first octet says whether it is a batch, and where
 * the cuts are. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "../../compat/smtpin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

/* ---- a counter that only counts --------------------------------------------------- */

static struct {
	struct buf log;         /* who and what, of all messages */
	struct buf text;
	const struct submission *asked;
	unsigned queued;
	bool held;              /* durable, and not yet let go */
} box;

enum outcome
submit_check_sender(struct counter *c, const char *sender, struct why *why)
{
	(void)c;
	insist(address_is_sendable(str_of(sender)));
	return strlen(sender) % 5 == 4 ? refuse(why, EX_NOPERM, "not yours") : DONE;
}

enum outcome
submit_check_recipient(struct counter *c, struct str spec, struct why *why)
{
	(void)c;
	insist(spec.len > 0 && address_is_sendable(spec));
	return spec.len % 5 == 4 ? refuse(why, EX_NOUSER, "nobody") : DONE;
}

void
submit_begin(struct counter *c, const struct submission *asked)
{
	insist(box.asked == NULL && !box.held && asked->to->n > 0);
	insist(asked->to->n <= c->config.max_recipients);
	box.asked = asked;
	buf_clear(&box.text);
	snprintf(c->id, sizeof c->id, "ID%u", box.queued + 1);
}

enum outcome
submit_text(struct counter *c, struct str text, struct why *why)
{
	insist(box.asked != NULL && !str_has(text, '\0'));
	buf_addstr(&box.text, text);
	if (box.text.len <= c->config.max_size)
		return DONE;
	box.asked = NULL;
	return refuse(why, EX_UNAVAILABLE, "too large");
}

enum outcome
submit_end(struct counter *c, struct why *why)
{
	(void)c;
	insist(box.asked != NULL);
	if (box.text.len % 7 == 6) {
		box.asked = NULL;
		return refuse(why, EX_TEMPFAIL, "not now");
	}
	buf_addf(&box.log, "%s>", box.asked->sender);
	for (size_t i = 0; i < box.asked->to->n; i++)
		buf_addf(&box.log, "%s,", box.asked->to->v[i].address);
	buf_addstr(&box.log, buf_str(&box.text));
	buf_addc(&box.log, '\0');
	box.asked = NULL;
	box.held = true;
	box.queued++;
	return DONE;
}

void
submit_release(struct counter *c)
{
	(void)c;
	insist(box.held);
	box.held = false;
}

void
submit_drop(struct counter *c)
{
	(void)c;
	insist(box.asked != NULL);
	box.asked = NULL;
}

/* ---- a client that speaks whenever it is waited for ---------------------------------- */

static struct {
	struct str rest;
	uint32_t cuts;          /* 0: none; else where the next ones are follows from it */
	int fd;
} client;

/* In the place of the C library's. */
int
poll(struct pollfd *p, nfds_t n, int patience)
{
	size_t len = client.rest.len < 16384 ? client.rest.len : 16384;

	(void)patience;
	for (nfds_t i = n; i-- > 0;) {
		p[i].revents = p[i].fd >= 0 ? p[i].events : 0;
		if (p[i].revents == POLLOUT) {
			p->revents = n > 1 ? 0 : p->revents;
			return 1;
		}
	}
	if (client.cuts != 0 && len > 0) {
		client.cuts = client.cuts * 1664525 + 1013904223;
		len = 1 + (client.cuts >> 16) % (len < 9 ? len : 9);
	}
	if (len == 0)
		shutdown(client.fd, SHUT_WR);
	else
		insist(send(client.fd, client.rest.p, len, 0) == (ssize_t)len);
	client.rest = str_from(client.rest.p + len, client.rest.len - len);
	return 1;
}

static void
read_back(int fd, struct buf *out)
{
	off_t size = lseek(fd, 0, SEEK_END);

	buf_clear(out);
	buf_reserve(out, (size_t)size);
	insist(pread(fd, out->p, (size_t)size, 0) == size);
	out->len = (size_t)size;
}

static enum outcome
converse(struct str said, bool batch, uint32_t cuts, struct buf *replies, struct why *why)
{
	static char domain[] = "example.net";
	struct counter c = COUNTER_INIT;
	int fds[2], out = memfd_create("out", MFD_CLOEXEC);
	enum outcome o;

	insist(out >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	c.config.domain = c.config.hostname = domain;
	c.config.max_size = 3000;
	c.config.max_recipients = 4;
	client.rest = said;
	client.cuts = cuts;
	client.fd = fds[1];
	box.queued = 0;
	buf_clear(&box.log);
	o = smtpin_serve(&c, fds[0], out, batch, why);
	insist(box.asked == NULL && !box.held);
	read_back(out, replies);
	close(out);
	close(fds[0]);
	close(fds[1]);
	return o;
}

/* Each line as RFC 5321 section 4.2 has it; how many promise a message? */
static unsigned
check_replies(struct str replies)
{
	struct str line;
	unsigned promised = 0;

	while (str_line(&replies, &line)) {
		insist(line.len >= 5 && line.len <= 511 && line.p[line.len - 1] == '\r');
		insist(line.p[0] >= '2' && line.p[0] <= '5' && (line.p[3] == ' ' || line.p[3] == '-'));
		for (size_t i = 0; i < line.len - 1; i++)
			insist(line.p[i] >= ' ' && line.p[i] <= '~');
		promised += str_starts(line, "250 2.0.0 queued as ");
	}
	return promised;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	FILE *before = stderr;
	struct buf whole = { 0 }, cut = { 0 }, log = { 0 };
	struct why why = { 0 }, again = { 0 };
	struct str said;
	bool batch;
	enum outcome o;

	if (size == 0)
		return 0;
	if (nowhere == NULL)
		insist((nowhere = fopen("/dev/null", "w")) != NULL);
	said = str_from(data + 1, size - 1);
	batch = (data[0] & 1) != 0;
	/* What a batch refuses is told there. */
	stderr = nowhere;
	o = converse(said, batch, 0, &whole, &why);
	insist(check_replies(buf_str(&whole)) == (batch ? 0 : box.queued));
	buf_addstr(&log, buf_str(&box.log));
	insist(converse(said, batch, data[0] | 1u, &cut, &again) == o);
	stderr = before;
	insist(str_eq(buf_str(&whole), buf_str(&cut)) && str_eq(buf_str(&log), buf_str(&box.log)));
	insist(o == DONE || (strcmp(why.text, again.text) == 0 && why.text[0] != '\0'));
	insist(!batch || whole.len == 0);
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&log);
	return 0;
}
