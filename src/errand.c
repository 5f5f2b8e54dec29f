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
become_courier(const char *program, int end, const char *option)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (end == ERRAND_FD ? fcntl(end, F_SETFD, 0) == 0 : dup2(end, ERRAND_FD) == ERRAND_FD)
		execl(program, "subpost-courier", option, (char *)NULL);
	_exit(EX_OSFILE);
}

/* With that as its end of the errand, which stays ours to close. */
static pid_t
start_with(int end, const char *option)
{
	struct buf program = { 0 };
	pid_t pid = -1;
	int saved;

	wake_find_program("subpost-courier", &program);
	if (access(buf_c(&program), X_OK) == 0)
		pid = fork();
	if (pid == 0)
		become_courier(buf_c(&program), end, option);
	saved = errno;
	buf_free(&program);
	errno = saved;
	return pid;
}

static void
close_pair(const int pair[2])
{
	int saved = errno;

	for (unsigned i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	errno = saved;
}

pid_t
errand_start(int *fd, const char *option)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	pid = start_with(pair[1], option);
	*fd = pair[0];
	if (pid < 0)
		close_pair(pair);
	else
		close(pair[1]);
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

/* Room for the descriptors of one record. */
union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

/* The descriptors that came along; what has no place is closed. */
static unsigned
take_descriptors(struct msghdr *m, int fds[DESCRIPTORS_MAX])
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
			if (n < DESCRIPTORS_MAX)
				fds[n++] = fd;
			else
				close(fd);
		}
	}
	return n;
}

/* One record and its descriptors.  What recvmsg(2) answers; whole: nothing of it was
 * cut off. */
static ssize_t
receive(int fd, char *p, size_t size, int flags, int fds[DESCRIPTORS_MAX], unsigned *nfds,
    bool *whole)
{
	union control control;
	struct iovec io = { p, size };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof control.room };
	ssize_t n;

	*nfds = 0;
	/* An end that closes with something unread is told as a reset, once, before
	 * the records that it had still written. */
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n > 0)
		*nfds = take_descriptors(&m, fds);
	*whole = (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
	return n;
}

enum errand_word
errand_read(int fd, bool wait, struct errand *e)
{
	struct buf record = { 0 };
	enum errand_word word;
	int fds[DESCRIPTORS_MAX];
	unsigned nfds;
	bool whole;
	ssize_t n;

	errand_free(e);
	buf_reserve(&record, ERRAND_MAX);
	n = receive(fd, record.p, ERRAND_MAX, wait ? 0 : MSG_DONTWAIT, fds, &nfds, &whole);
	if (n < 0) {
		word = errno == EAGAIN ? ERRAND_NOTHING : ERRAND_CLOSED;
	} else if (n == 0) {
		word = ERRAND_CLOSED;
	} else {
		/* The message first. */
		e->has_fd = nfds > 0;
		e->fd = nfds > 0 ? fds[0] : -1;
		e->has_trace = nfds > 1;
		e->trace = nfds > 1 ? fds[1] : -1;
		word = !whole ? ERRAND_BROKEN : errand_parse(str_from(record.p, (size_t)n), e);
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

/* With n descriptors, at most DESCRIPTORS_MAX. */
static bool
say_with(int fd, struct str record, const int *fds, size_t n)
{
	union control control = { .room = { 0 } };
	size_t size = n * sizeof *fds;
	struct iovec io = { (char *)(uintptr_t)record.p, record.len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = CMSG_SPACE(size) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	ssize_t sent;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), fds, size);
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent > 0;
}

bool
errand_job(int fd, const char *id, const size_t *recipients, size_t n, int message, int trace)
{
	int descriptors[DESCRIPTORS_MAX] = { message, trace };
	struct buf record = { 0 };
	bool said;

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
	said = say_with(fd, buf_str(&record), descriptors, trace >= 0 ? 2 : 1);
	buf_free(&record);
	return said;
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

/* ---- who starts them ------------------------------------------------------ */

#define ASK_MAX 64              /* octets of one record between runner and service */

/* The service's next word; false when it is gone. */
static bool
hear(int starter, char text[ASK_MAX], struct str *said)
{
	int fds[DESCRIPTORS_MAX];
	unsigned n;
	bool whole;
	ssize_t got = receive(starter, text, ASK_MAX, 0, fds, &n, &whole);

	while (n > 0)
		close(fds[--n]);
	*said = str_from(text, got > 0 ? (size_t)got : 0);
	return got > 0;
}

/* Not waited for: who does not listen shall not stop the service. */
static void
tell(int starter, const char *word, long first, int second)
{
	char text[ASK_MAX];
	int n = second >= 0 ? snprintf(text, sizeof text, "%s %ld %d", word, first, second) :
	    snprintf(text, sizeof text, "%s %ld", word, first);

	(void)!send(starter, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

pid_t
errand_ask(int starter, int *fd)
{
	char text[ASK_MAX];
	struct str said;
	uint64_t v;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (!say_with(starter, STR("start"), &pair[1], 1)) {
		errno = errno == ECONNRESET ? EPIPE : errno;
		goto fail;
	}
	close(pair[1]);
	pair[1] = -1;
	/* The end of one that an earlier runner had is nothing to us. */
	while (hear(starter, text, &said)) {
		struct str word = str_word(&said);

		if (str_is(word, "started") && codec_number(said, INT32_MAX, &v) && v > 0) {
			*fd = pair[0];
			return (pid_t)v;
		}
		if (str_is(word, "failed")) {
			errno = codec_number(said, INT32_MAX, &v) && v > 0 ? (int)v : EPROTO;
			goto fail;
		}
	}
	errno = EPIPE;
fail:
	close_pair(pair);
	return -1;
}

bool
errand_await_end(int starter, pid_t pid, int *status)
{
	char text[ASK_MAX];
	struct str said;
	uint64_t who, how;

	while (hear(starter, text, &said))
		if (str_is(str_word(&said), "ended") && codec_number(str_word(&said), INT32_MAX, &who) &&
		    codec_number(said, INT32_MAX, &how) && (pid_t)who == pid) {
			*status = (int)how;
			return true;
		}
	return false;
}

/* A socket such as errand_ask makes, and nothing else. */
static bool
is_end(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

pid_t
errand_serve(int starter)
{
	char text[ASK_MAX];
	int ends[DESCRIPTORS_MAX];
	unsigned n;
	bool whole;
	ssize_t got = receive(starter, text, sizeof text, MSG_DONTWAIT, ends, &n, &whole);
	pid_t pid = -1;

	if (got <= 0)
		return got < 0 && errno == EAGAIN ? 0 : -1;
	/* A runner that somebody has taken over could ask for anything. */
	errno = EPROTO;
	if (whole && str_is(str_from(text, (size_t)got), "start") && n == 1 && is_end(ends[0]))
		pid = start_with(ends[0], ERRAND_SERVICE);
	if (pid > 0)
		tell(starter, "started", (long)pid, -1);
	else
		tell(starter, "failed", errno, -1);
	for (unsigned i = 0; i < n; i++)
		close(ends[i]);
	return pid > 0 ? pid : 0;
}

void
errand_tell_end(int starter, pid_t pid, int status)
{
	tell(starter, "ended", (long)pid, status);
}
