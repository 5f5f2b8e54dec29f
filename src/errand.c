#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "codec.h"
#include "wake.h"

#define DESCRIPTORS_MAX 2       /* of a job: the message, and where the dialogue goes */

/* In the child: nothing but the socket at its place, and default signals. */
static _Noreturn void
become_courier(const char *program, int end, bool check)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (end == ERRAND_FD ? fcntl(end, F_SETFD, 0) == 0 : dup2(end, ERRAND_FD) == ERRAND_FD)
		execl(program, "subpost-courier", check ? "--check" : (char *)NULL, (char *)NULL);
	_exit(EX_OSFILE);
}

pid_t
errand_start(int *fd, bool check)
{
	struct buf program = { 0 };
	int pair[2], saved;
	pid_t pid;

	wake_find_program("subpost-courier", &program);
	if (access(buf_c(&program), X_OK) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		saved = errno;
		buf_free(&program);
		errno = saved;
		return -1;
	}
	pid = fork();
	if (pid == 0)
		become_courier(buf_c(&program), pair[1], check);
	saved = errno;
	buf_free(&program);
	close(pair[1]);
	*fd = pair[0];
	if (pid < 0)
		close(pair[0]);
	errno = saved;
	return pid;
}

void
errand_free(struct errand *e)
{
	if (e->has_fd && e->fd >= 0)
		close(e->fd);
	if (e->has_trace && e->trace >= 0)
		close(e->trace);
	free(e->recipients);
	buf_free(&e->text);
	*e = (struct errand){ 0 };
}

/* ---- reading ----------------------------------------------------------- */

static bool
read_id(struct str *rest, struct errand *e)
{
	struct str word = str_word(rest);

	if (!envelope_is_id(word))
		return false;
	memcpy(e->id, word.p, word.len);
	return true;
}

/* "OUTCOME SCOPE CODE STATUS TEXT" */
static bool
read_answer(struct str rest, struct errand *e)
{
	struct buf text = { 0 };
	struct str status;
	uint64_t code;
	bool good;

	if (!outcome_parse(str_word(&rest), &e->outcome) ||
	    !scope_parse(str_word(&rest), &e->why.scope) ||
	    !codec_number(str_word(&rest), 999, &code))
		return false;
	e->why.code = (int)code;
	status = str_word(&rest);
	good = status.len > 0 && status.len < sizeof e->why.status && codec_unescape(&text, rest);
	if (good && !str_is(status, "-"))
		snprintf(e->why.status, sizeof e->why.status, "%.*s", (int)status.len, status.p);
	/* Masked again: what a courier says may be what a server made it say. */
	codec_mask_to(e->why.text, sizeof e->why.text, buf_str(&text));
	buf_free(&text);
	return good;
}

/* "0-3,7": ascending, each at most the last recipient an envelope can have. */
static bool
read_recipients(struct str list, struct errand *e)
{
	size_t room = 0;

	while (list.len > 0) {
		size_t comma = str_find(list, ',');
		struct str range = str_from(list.p, comma);
		size_t dash = str_find(range, '-');
		uint64_t first, last;

		if (!codec_number(str_from(range.p, dash), ENVELOPE_RECIPIENTS_MAX - 1, &first))
			return false;
		last = first;
		if (dash < range.len && !codec_number(str_from(range.p + dash + 1,
		    range.len - dash - 1), ENVELOPE_RECIPIENTS_MAX - 1, &last))
			return false;
		if (last < first || (e->n > 0 && e->recipients[e->n - 1] >= first))
			return false;
		for (; first <= last; first++) {
			if (e->n == room) {
				room = room > 0 ? room * 2 : 16;
				e->recipients = mem_grow(e->recipients, room, sizeof *e->recipients);
			}
			e->recipients[e->n++] = (size_t)first;
		}
		if (comma == list.len - 1)
			return false;
		list = comma < list.len ? str_from(list.p + comma + 1, list.len - comma - 1) :
		    (struct str){ 0 };
	}
	return e->n > 0;
}

static bool
read_job(struct str rest, struct errand *e)
{
	return read_id(&rest, e) && read_recipients(rest, e);
}

static bool
read_only_id(struct str rest, struct errand *e)
{
	return read_id(&rest, e) && rest.len == 0;
}

static bool
read_none(struct str rest, struct errand *e)
{
	(void)e;
	return rest.len == 0;
}

static bool
read_to(struct str rest, struct errand *e)
{
	uint64_t v;

	if (!read_id(&rest, e) || !codec_number(str_word(&rest), ENVELOPE_RECIPIENTS_MAX - 1, &v))
		return false;
	e->recipient = (size_t)v;
	return read_answer(rest, e);
}

static bool
read_hold(struct str rest, struct errand *e)
{
	if (!read_id(&rest, e))
		return false;
	codec_mask_to(e->why.text, sizeof e->why.text, rest);
	return true;
}

static bool
read_step(struct str rest, struct errand *e)
{
	uint64_t v;

	if (!codec_number(str_word(&rest), UINT32_MAX, &v))
		return false;
	e->ms = (unsigned)v;
	codec_mask(&e->text, rest);
	return true;
}

static bool
read_note(struct str rest, struct errand *e)
{
	codec_mask(&e->text, rest);
	return true;
}

static const struct {
	const char *name;
	enum errand_word word;
	bool (*read)(struct str rest, struct errand *e);
} words[] = {
	{ "job", ERRAND_JOB, read_job },
	{ "noted", ERRAND_NOTED, read_only_id },
	{ "quit", ERRAND_QUIT, read_none },
	{ "ready", ERRAND_READY, read_none },
	{ "to", ERRAND_TO, read_to },
	{ "end", ERRAND_END, read_only_id },
	{ "hold", ERRAND_HOLD, read_hold },
	{ "down", ERRAND_DOWN, read_answer },
	{ "step", ERRAND_STEP, read_step },
	{ "note", ERRAND_NOTE, read_note },
};

enum errand_word
errand_parse(struct str record, struct errand *e)
{
	struct str rest = record, name = str_word(&rest);

	e->word = ERRAND_BROKEN;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (str_is(name, words[i].name) && words[i].read(rest, e))
			e->word = words[i].word;
	return e->word;
}

/* The descriptors that came along, the message first; any beyond two are closed. */
static void
take_descriptors(struct msghdr *m, struct errand *e)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
			if (!e->has_fd) {
				e->has_fd = true;
				e->fd = fd;
			} else if (!e->has_trace) {
				e->has_trace = true;
				e->trace = fd;
			} else {
				close(fd);
			}
		}
	}
}

enum errand_word
errand_read(int fd, bool wait, struct errand *e)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct buf record = { 0 };
	struct iovec io;
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof control.room };
	enum errand_word word;
	ssize_t n;

	errand_free(e);
	buf_reserve(&record, ERRAND_MAX);
	io = (struct iovec){ record.p, ERRAND_MAX };
	/* An end that closes with something unread is told as a reset, once, before
	 * the records that it had still written. */
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0) {
		word = errno == EAGAIN ? ERRAND_NOTHING : ERRAND_CLOSED;
	} else if (n == 0) {
		word = ERRAND_CLOSED;
	} else {
		take_descriptors(&m, e);
		word = (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? ERRAND_BROKEN :
		    errand_parse(str_from(record.p, (size_t)n), e);
		if (word == ERRAND_JOB && !e->has_fd)
			word = ERRAND_BROKEN;
	}
	e->word = word;
	buf_free(&record);
	return word;
}

/* ---- writing ----------------------------------------------------------- */

bool
errand_say(int fd, struct str record)
{
	ssize_t n;

	do
		n = send(fd, record.p, record.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)record.len;
}

bool
errand_job(int fd, const char *id, const size_t *recipients, size_t n, int message, int trace)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control = { .room = { 0 } };
	int descriptors[DESCRIPTORS_MAX] = { message, trace };
	size_t size = trace >= 0 ? sizeof descriptors : sizeof message;
	struct buf record = { 0 };
	struct iovec io;
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	ssize_t sent;

	buf_addf(&record, "job %s ", id);
	for (size_t i = 0; i < n; ) {
		size_t run = 1;

		while (i + run < n && recipients[i + run] == recipients[i] + run)
			run++;
		buf_addf(&record, "%s%zu", i > 0 ? "," : "", recipients[i]);
		if (run > 1)
			buf_addf(&record, "-%zu", recipients[i + run - 1]);
		i += run;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), descriptors, size);
	io = (struct iovec){ record.p, record.len };
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	buf_free(&record);
	return sent > 0;
}

bool
errand_noted(int fd, const char *id)
{
	struct buf record = { 0 };
	bool good;

	buf_addf(&record, "noted %s", id);
	good = errand_say(fd, buf_str(&record));
	buf_free(&record);
	return good;
}

bool
errand_quit(int fd)
{
	return errand_say(fd, STR("quit"));
}

static void
put_answer(struct buf *out, enum outcome o, const struct why *w)
{
	buf_addf(out, "%s %s %d %s ", outcome_name(o), scope_name(w->scope), w->code,
	    w->status[0] != '\0' ? w->status : "-");
	codec_escape(out, str_of(w->text));
}

void
errand_put_to(struct buf *out, const char *id, size_t recipient, enum outcome o,
    const struct why *w)
{
	buf_addf(out, "to %s %zu ", id, recipient);
	put_answer(out, o, w);
}

void
errand_put_end(struct buf *out, const char *id)
{
	buf_addf(out, "end %s", id);
}

void
errand_put_down(struct buf *out, enum outcome o, const struct why *w)
{
	buf_adds(out, "down ");
	put_answer(out, o, w);
}
