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

/* Copies a word of at most size - 1 octets; "-" stands for none. */
static bool
read_word(struct str word, char *at, size_t size)
{
	if (word.len == 0 || word.len >= size || str_has(word, '\0'))
		return false;
	if (str_is(word, "-"))
		word.len = 0;
	memcpy(at, word.p, word.len);
	at[word.len] = '\0';
	return true;
}

static bool
read_login(struct str rest, struct errand *e)
{
	return read_word(str_word(&rest), e->mechanism, sizeof e->mechanism) &&
	    read_word(str_word(&rest), e->print, sizeof e->print) && rest.len == 0;
}

static bool
read_count(struct str value, unsigned most, unsigned *n)
{
	uint64_t v;

	if (!codec_number(value, most, &v))
		return false;
	*n = (unsigned)v;
	return true;
}

static bool
read_fact(struct str name, struct str value, struct order *o)
{
	if (str_is(name, "account"))
		return read_word(value, o->account, sizeof o->account);
	if (str_is(name, "server"))
		return read_count(value, UINT32_MAX, &o->server);
	if (str_is(name, "depth"))
		return read_count(value, UINT32_MAX, &o->depth);
	if (str_is(name, "mechanism"))
		return read_word(value, o->mechanism, sizeof o->mechanism);
	if (str_is(name, "avoid"))
		return read_word(value, o->avoid, sizeof o->avoid);
	if (str_is(name, "key"))
		return read_word(value, o->key, sizeof o->key);
	if (str_is(name, "good"))
		return read_word(value, o->good, sizeof o->good);
	if (str_is(name, "refused"))
		return o->nrefused < ORDER_REFUSED && read_word(value, o->refused[o->nrefused++],
		    sizeof o->refused[0]);
	return false;
}

static bool
read_begin(struct str rest, struct errand *e)
{
	struct order *o = &e->order;

	*o = (struct order){ 0 };
	while (rest.len > 0) {
		struct str word = str_word(&rest);
		size_t equals = str_find(word, '=');

		if (str_is(word, "alone"))
			o->alone = true;
		else if (str_is(word, "force"))
			o->force = true;
		else if (str_is(word, "fresh"))
			o->fresh = true;
		else if (str_is(word, "aloud"))
			o->aloud = true;
		else if (str_is(word, "apart"))
			o->apart = true;
		else if (equals == word.len || !read_fact(str_from(word.p, equals),
		    str_from(word.p + equals + 1, word.len - equals - 1), o))
			return false;
	}
	return true;
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

/* Lines, masked again as all that a courier says, and the last ones where that made
 * them too many. */
static bool
read_said(struct str rest, struct errand *e)
{
	struct buf plain = { 0 }, masked = { 0 };
	struct str lines, line;
	bool good = read_id(&rest, e) && codec_unescape(&plain, rest);

	lines = buf_str(&plain);
	while (good && str_line(&lines, &line)) {
		codec_mask(&masked, line);
		buf_addc(&masked, '\n');
	}
	buf_addstr(&e->text, str_last_lines(buf_str(&masked), ERRAND_SAID_MAX));
	buf_free(&plain);
	buf_free(&masked);
	return good;
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
	{ "begin", ERRAND_BEGIN, read_begin },
	{ "ready", ERRAND_READY, read_login },
	{ "refused", ERRAND_REFUSED, read_login },
	{ "unproven", ERRAND_UNPROVEN, read_none },
	{ "apart", ERRAND_APART, read_none },
	{ "part", ERRAND_PART, read_only_id },
	{ "to", ERRAND_TO, read_to },
	{ "said", ERRAND_SAID, read_said },
	{ "end", ERRAND_END, read_only_id },
	{ "hold", ERRAND_HOLD, read_hold },
	{ "down", ERRAND_DOWN, read_answer },
	{ "step", ERRAND_STEP, read_step },
	{ "line", ERRAND_LINE, read_note },
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

static void
put_fact(struct buf *out, const char *name, const char *value)
{
	if (value[0] != '\0')
		buf_addf(out, " %s=%s", name, value);
}

bool
errand_begin(int fd, const struct order *o)
{
	struct buf record = { 0 };
	bool said;

	buf_addf(&record, "begin server=%u depth=%u%s%s%s%s%s", o->server, o->depth,
	    o->alone ? " alone" : "", o->force ? " force" : "", o->fresh ? " fresh" : "",
	    o->aloud ? " aloud" : "", o->apart ? " apart" : "");
	put_fact(&record, "account", o->account);
	put_fact(&record, "mechanism", o->mechanism);
	put_fact(&record, "avoid", o->avoid);
	put_fact(&record, "key", o->key);
	put_fact(&record, "good", o->good);
	for (unsigned i = 0; i < o->nrefused; i++)
		put_fact(&record, "refused", o->refused[i]);
	said = errand_say(fd, buf_str(&record));
	buf_free(&record);
	return said;
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
errand_put_said(struct buf *out, const char *id, struct str dialogue)
{
	struct buf escaped = { 0 };
	size_t most = ERRAND_SAID_MAX;

	/* Each line end takes four octets, and so may each octet that a server makes up. */
	do {
		buf_clear(&escaped);
		codec_escape(&escaped, str_last_lines(dialogue, most));
		most /= 2;
	} while (escaped.len > ERRAND_MAX - 64);
	buf_addf(out, "said %s ", id);
	buf_addstr(out, buf_str(&escaped));
	buf_free(&escaped);
}

void
errand_put_part(struct buf *out, const char *id)
{
	buf_addf(out, "part %s", id);
}

void
errand_put_login(struct buf *out, bool refused, const char *mechanism, const char *print)
{
	buf_addf(out, "%s %s %s", refused ? "refused" : "ready", mechanism[0] != '\0' ? mechanism : "-",
	    print[0] != '\0' ? print : "-");
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

void
errand_ends_free(struct errand_ends *ends)
{
	free(ends->v);
	*ends = (struct errand_ends){ 0 };
}

/* "PID STATUS" */
static void
keep_end(struct errand_ends *ends, struct str rest)
{
	uint64_t pid, status;

	if (!codec_number(str_word(&rest), INT32_MAX, &pid) || !codec_number(rest, INT32_MAX, &status))
		return;
	ends->v = mem_more(ends->v, ends->n, sizeof *ends->v);
	ends->v[ends->n++] = (struct errand_end){ (pid_t)pid, (int)status };
}

static bool
take_end(struct errand_ends *ends, pid_t pid, int *status)
{
	for (size_t i = 0; i < ends->n; i++) {
		if (ends->v[i].pid != pid)
			continue;
		*status = ends->v[i].status;
		ends->v[i] = ends->v[--ends->n];
		return true;
	}
	return false;
}

pid_t
errand_ask(int starter, struct errand_ends *ends, int *fd)
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
		if (str_is(word, "ended"))
			keep_end(ends, said);
	}
	errno = EPIPE;
fail:
	close_pair(pair);
	return -1;
}

bool
errand_await_end(int starter, struct errand_ends *ends, pid_t pid, int *status)
{
	char text[ASK_MAX];
	struct str said;

	while (!take_end(ends, pid, status)) {
		if (!hear(starter, text, &said))
			return false;
		if (str_is(str_word(&said), "ended"))
			keep_end(ends, said);
	}
	return true;
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
errand_serve(int starter, bool may)
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
	if (whole && str_is(str_from(text, (size_t)got), "start") && n == 1 && is_end(ends[0])) {
		errno = EBUSY;
		if (may)
			pid = start_with(ends[0], ERRAND_SERVICE);
	}
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
