#include "desk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"

/* What is read ahead: the rest of one frame and all of the next, so that long texts
 * come in few and large reads. */
#define ROOM (2 * (DESK_HEAD + DESK_FRAME_MAX))
/* Enough as long as all frames are short, as for most callers; no memory is mapped
 * for so little. */
#define SMALL_ROOM 4000
#define WAIT_MAX (24 * 60 * 60) /* seconds that a caller may ask to wait */
#define EXIT_MAX 255
#define HANG_UP_TIME 10000      /* microseconds */

/* Newer than many a libc; of this number wherever SO_PEERCRED is of that one. */
#if !defined(SO_PASSRIGHTS) && SO_PEERCRED == 17
#define SO_PASSRIGHTS 83
#endif

void
desk_close(struct desk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	buf_free(&d->in);
	*d = (struct desk)DESK_INIT;
}

/* ---- frames in ---------------------------------------------------------- */

enum cut {
	CUT_WHOLE,
	CUT_MORE,               /* it is not all here */
	CUT_BROKEN,
};

static bool
is_kind(char c)
{
	static const char kinds[] = { DESK_HELLO, DESK_ENVELOPE, DESK_TEXT, DESK_END, DESK_DROP,
		DESK_VERB, DESK_ANSWER, DESK_OUT, DESK_SHOWN };

	return memchr(kinds, c, sizeof kinds) != NULL;
}

/* The frame that what is here begins with; *need: octets of it, as far as is known.
 * What can be no frame is seen at its head, before anything behind it is waited for. */
static enum cut
look(const struct desk *d, struct desk_frame *f, size_t *need)
{
	size_t here = d->in.len - d->used, len;
	const unsigned char *head;

	*need = DESK_HEAD;
	if (here == 0)
		return CUT_MORE;
	head = (const unsigned char *)d->in.p + d->used;
	if (!is_kind((char)head[0]))
		return CUT_BROKEN;
	if (here < DESK_HEAD)
		return CUT_MORE;
	len = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > DESK_FRAME_MAX)
		return CUT_BROKEN;
	*need += len;
	if (here < *need)
		return CUT_MORE;
	*f = (struct desk_frame){ (enum desk_kind)head[0], { (const char *)head + DESK_HEAD, len } };
	return CUT_WHOLE;
}

/* Room behind what is here, for at least what a frame of that many octets lacks;
 * how much it is. */
static size_t
make_room(struct desk *d, size_t need)
{
	size_t room = need > SMALL_ROOM || d->in.cap > SMALL_ROOM + 1 ? ROOM : SMALL_ROOM;

	if (d->used == d->in.len || d->used + need > room) {
		buf_cut(&d->in, d->used);
		d->used = 0;
	}
	buf_reserve(&d->in, room - d->in.len);
	return room - d->in.len;
}

/* Is there something to read, or the end, within ms?  -1: for ever. */
static bool
wait_for(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	double end = clock_now() + ms / 1e3;
	int n, left = ms;

	while ((n = poll(&p, 1, left)) < 0 && errno == EINTR) {
		if (ms < 0)
			continue;
		left = (int)((end - clock_now()) * 1e3);
		if (left < 0)
			left = 0;
	}
	/* What poll cannot say, the next recv will. */
	return n != 0;
}

/* Reads what comes next.  DESK_FRAME: something came. */
static enum desk_got
take_more(struct desk *d, size_t need, int ms)
{
	size_t room = make_room(d, need);
	ssize_t n;

	for (;;) {
		/* Without room for control messages: descriptors that come along are
		 * closed by the kernel. */
		n = recv(d->fd, d->in.p + d->in.len, room, ms < 0 ? 0 : MSG_DONTWAIT);
		if (n > 0) {
			d->in.len += (size_t)n;
			d->in.p[d->in.len] = '\0';
			return DESK_FRAME;
		}
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			return DESK_CLOSED;
		if (errno == EAGAIN && (ms == 0 || !wait_for(d->fd, ms)))
			return DESK_SILENT;
	}
}

/* by: the moment by which the whole of it must be here; below 0: none. */
static enum desk_got
read_frame(struct desk *d, int ms, double by, struct desk_frame *f)
{
	enum desk_got got = DESK_FRAME;
	enum cut cut;
	size_t need;

	while ((cut = look(d, f, &need)) == CUT_MORE && got == DESK_FRAME) {
		if (by >= 0) {
			double left = by - clock_now();

			ms = left > 0 ? (int)(left * 1e3) + 1 : 0;
		}
		got = take_more(d, need, ms);
	}
	if (cut == CUT_BROKEN)
		return DESK_BROKEN;
	if (cut == CUT_WHOLE)
		d->used += need;
	return got;
}

enum desk_got
desk_read(struct desk *d, int ms, struct desk_frame *f)
{
	return read_frame(d, ms, -1, f);
}

bool
desk_is_amid(const struct desk *d)
{
	return d->in.len > d->used;
}

bool
desk_has_news(struct desk *d)
{
	struct desk_frame f;
	size_t need;
	enum cut cut;

	while ((cut = look(d, &f, &need)) == CUT_MORE) {
		enum desk_got got = take_more(d, need, 0);

		if (got != DESK_FRAME)
			return got == DESK_CLOSED;
	}
	return true;
}

/* ---- frames out --------------------------------------------------------- */

/* All of it, in one call where the socket takes it. */
static bool
write_pair(int fd, struct iovec *io, size_t n)
{
	struct msghdr m = { .msg_iov = io, .msg_iovlen = n };

	while (m.msg_iovlen > 0) {
		ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
		size_t gone = sent > 0 ? (size_t)sent : 0;

		if (sent < 0 && errno != EINTR)
			return false;
		while (m.msg_iovlen > 0 && gone >= m.msg_iov->iov_len) {
			gone -= m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen > 0) {
			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + gone;
			m.msg_iov->iov_len -= gone;
		}
	}
	return true;
}

void
desk_put_head(char head[DESK_HEAD], enum desk_kind kind, size_t n)
{
	head[0] = (char)kind;
	head[1] = (char)(n >> 16);
	head[2] = (char)(n >> 8);
	head[3] = (char)n;
}

void
desk_put(struct buf *out, enum desk_kind kind, struct str text)
{
	char head[DESK_HEAD];

	do {
		size_t n = text.len < DESK_FRAME_MAX ? text.len : DESK_FRAME_MAX;

		desk_put_head(head, kind, n);
		buf_add(out, head, sizeof head);
		buf_add(out, text.p, n);
		text = str_from(text.p + n, text.len - n);
	} while (text.len > 0);
}

static bool
write_frame(int fd, enum desk_kind kind, struct str text)
{
	char head[DESK_HEAD];
	struct iovec io[] = {
		{ head, sizeof head },
		{ (void *)(uintptr_t)text.p, text.len },
	};

	desk_put_head(head, kind, text.len);
	return write_pair(fd, io, text.len > 0 ? 2 : 1);
}

bool
desk_write(int fd, enum desk_kind kind, struct str text)
{
	while (text.len > DESK_FRAME_MAX) {
		if (!write_frame(fd, kind, str_from(text.p, DESK_FRAME_MAX)))
			return false;
		text = str_from(text.p + DESK_FRAME_MAX, text.len - DESK_FRAME_MAX);
	}
	return write_frame(fd, kind, text);
}

/* ---- the caller's end --------------------------------------------------- */

static enum outcome
nobody_answers(const char *path, const char *reason, struct why *why)
{
	return later(why, SCOPE_NONE, "", "the mail service does not answer at %s (%s); start it with: "
	    "systemctl start subpost.socket (without systemd: subpostd --service)",
	    codec_show(str_of(path)).p, reason);
}

/* The door is there, and nobody behind it: a start of the service tells what ails it. */
static enum outcome
nobody_serves(const char *path, const char *reason, struct why *why)
{
	return later(why, SCOPE_NONE, "", "the mail service does not answer at %s (%s); start it again, "
	    "and see why: systemctl restart subpost.service (without systemd: subpostd --service)",
	    codec_show(str_of(path)).p, reason);
}

/* 0, or an errno.  EAGAIN: nobody has taken the call in time. */
static int
call(int fd, const struct sockaddr_un *address)
{
	double end = clock_now() + DESK_CONNECT_TIME, left = DESK_CONNECT_TIME;
	struct timeval limit;
	int error;

	do {
		/* Zero would mean for ever. */
		long us = (long)(left * 1e6) + 1;

		limit = (struct timeval){ us / 1000000, us % 1000000 };
		if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0)
			return errno;
		error = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
	} while (error == EINTR && (left = end - clock_now()) > 0);
	limit = (struct timeval){ 0 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return error == EINTR ? EAGAIN : error;
}

enum outcome
desk_connect(struct desk *d, const char *path, struct why *why)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	enum outcome o;
	int error;

	if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
		o = refuse(why, EX_CONFIG, "the mail service's socket cannot be %s: it takes a path of "
		    "1 to %zu octets; set socket in [service] to a shorter one",
		    codec_show(str_of(path)).p, sizeof address.sun_path - 1);
		errno = ENAMETOOLONG;
		return o;
	}
	memcpy(address.sun_path, path, strlen(path));
	*d = (struct desk){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	error = d->fd < 0 ? errno : call(d->fd, &address);
	if (error == 0)
		return DONE;
	desk_close(d);
	o = nobody_answers(path, error == EAGAIN ? "it has no room for more callers" :
	    strerror(error), why);
	errno = error;
	return o;
}

/* Cuts what stands before the first space; false where there is none. */
static bool
cut_word(struct str *rest, struct str *word)
{
	*word = str_from(rest->p, str_find(*rest, ' '));
	if (word->len == rest->len)
		return false;
	str_word(rest);
	return true;
}

/* "OUTCOME EXIT ID TEXT": false for anything else, or where they contradict. */
static bool
read_answer(struct str rest, enum outcome *o, char *id, struct why *why)
{
	struct buf text = { 0 };
	struct str word, name;
	uint64_t n;
	bool good;

	if (!cut_word(&rest, &word) || !outcome_parse(word, o) ||
	    !cut_word(&rest, &word) || !codec_number(word, EXIT_MAX, &n) ||
	    (n == 0) != (*o == DONE) || !cut_word(&rest, &name) ||
	    !(str_is(name, "-") || envelope_is_id(name)))
		return false;
	good = codec_unescape(&text, rest);
	if (good) {
		*why = (struct why){ .exit = (int)n };
		codec_mask_to(why->text, sizeof why->text, buf_str(&text));
		if (id != NULL)
			snprintf(id, ENVELOPE_ID_LEN + 1, "%.*s", str_is(name, "-") ? 0 : (int)name.len,
			    name.p);
	}
	buf_free(&text);
	return good;
}

/* Is it what no terminal should be told by anybody but its user? */
static bool
is_unfit(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t' && c != '\n') || c == 0x7f;
}

/* What is foreign in it was masked at the other end.  Should a service forget to,
 * it still moves no cursor here. */
static void
print(FILE *out, struct str text)
{
	while (out != NULL && text.len > 0) {
		size_t n = 0;

		while (n < text.len && !is_unfit(text.p[n]))
			n++;
		fwrite(text.p, 1, n, out);
		n += n < text.len;
		text = str_from(text.p + n, text.len - n);
	}
}

static enum outcome
not_understood(struct why *why)
{
	return later(why, SCOPE_NONE, "", "what the mail service said was not understood; restart it, "
	    "so that it is of the same version as this program, and try again");
}

enum outcome
desk_await(struct desk *d, FILE *out, FILE *shown, char *id, struct why *why)
{
	struct desk_frame f;
	enum desk_got got;
	enum outcome o;

	if (id != NULL)
		id[0] = '\0';
	while ((got = desk_read(d, -1, &f)) == DESK_FRAME && (f.kind == DESK_OUT || f.kind == DESK_SHOWN))
		print(f.kind == DESK_OUT ? out : shown, f.text);
	if (got == DESK_FRAME && f.kind == DESK_ANSWER && read_answer(f.text, &o, id, why))
		return o;
	desk_close(d);
	if (got == DESK_CLOSED)
		return later(why, SCOPE_NONE, "", "the mail service went away before it had answered; "
		    "try again, and if that helps not, look into its log");
	return not_understood(why);
}

/* A hello of ours?  Else whose it is goes into the reason. */
static enum outcome
check_hello(struct str line, const char *path, struct why *why)
{
	if (desk_is_hello(line))
		return DONE;
	if (!str_starts(line, "subpost "))
		return not_understood(why);
	return later(why, SCOPE_NONE, "", "the mail service at %s speaks \"%s\", this program \"%s\"; "
	    "restart the service, so that both are of the same version",
	    codec_show(str_of(path)).p, codec_show(line).p, DESK_HELLO_TEXT);
}

/* What we say first: a whole frame. */
#define OUR_HELLO "h\0\0\11" DESK_HELLO_TEXT
_Static_assert(sizeof OUR_HELLO - 1 - DESK_HEAD == '\11', "the length of our hello");

bool
desk_is_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

/* A refusal may well be said by one who then does not listen any more. */
static enum outcome
hear_refusal(struct desk *d, struct why *why)
{
	enum outcome o = desk_await(d, NULL, NULL, NULL, why);

	return o == DONE ? not_understood(why) : o;
}

enum outcome
desk_greet(struct desk *d, const char *path, struct buf *settings, struct why *why)
{
	struct desk_frame f;
	struct str rest, line = { 0 };
	enum desk_got got = read_frame(d, -1, clock_now() + DESK_HELLO_TIME, &f);
	enum outcome o;

	buf_clear(settings);
	if (got == DESK_SILENT)
		return nobody_serves(path, "it takes calls and says nothing", why);
	if (got == DESK_CLOSED)
		return nobody_serves(path, "it hung up", why);
	if (got == DESK_FRAME && f.kind == DESK_ANSWER)
		return read_answer(f.text, &o, NULL, why) && o != DONE ? o : not_understood(why);
	if (got != DESK_FRAME || f.kind != DESK_HELLO)
		return not_understood(why);
	rest = f.text;
	str_line(&rest, &line);
	if ((o = check_hello(line, path, why)) != DONE)
		return o;
	if (desk_is_gone(d->fd))
		return hear_refusal(d, why);
	buf_addstr(settings, rest);
	d->owed = sizeof OUR_HELLO - 1;
	return DONE;
}

ssize_t
desk_push(struct desk *d, struct str octets)
{
	static const char hello[] = OUR_HELLO;
	struct iovec io[] = {
		{ (void *)(uintptr_t)(hello + sizeof hello - 1 - d->owed), d->owed },
		{ (void *)(uintptr_t)octets.p, octets.len },
	};
	struct msghdr m = { .msg_iov = io, .msg_iovlen = 2 };
	size_t gone, greeted;
	ssize_t n;

	while ((n = sendmsg(d->fd, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		continue;
	if (n < 0)
		return -1;
	gone = (size_t)n;
	greeted = gone < d->owed ? gone : d->owed;
	d->owed -= greeted;
	return (ssize_t)(gone - greeted);
}

/* ---- the service's ------------------------------------------------------ */

void
desk_shield(int listener)
{
#ifdef SO_PASSRIGHTS
	int no = 0;

	/* Those who call inherit it from the moment of their connect.  Where it is not
	 * known, desk_hang_up does what is needed. */
	setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no);
#else
	(void)listener;
#endif
}

static bool
is_shielded(int fd)
{
#ifdef SO_PASSRIGHTS
	int passes = 1;
	socklen_t len = sizeof passes;

	return getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &passes, &len) == 0 && passes == 0;
#else
	(void)fd;
	return false;
#endif
}

static void
do_nothing(int sig)
{
	(void)sig;
}

/* What waits in the kernel gives up at a signal that has a handler. */
void
desk_hang_up(int fd)
{
	struct sigaction here = { .sa_handler = do_nothing }, before;
	struct itimerval soon = { { 0, HANG_UP_TIME }, { 0, HANG_UP_TIME } }, never_again = { { 0, 0 }, { 0, 0 } };
	sigset_t alarm_only, mask;

	if (is_shielded(fd)) {
		close(fd);
		return;
	}
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	sigaction(SIGALRM, &here, &before);
	sigprocmask(SIG_UNBLOCK, &alarm_only, &mask);
	setitimer(ITIMER_REAL, &soon, NULL);
	close(fd);
	setitimer(ITIMER_REAL, &never_again, NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGALRM, &before, NULL);
}

/* ---- the clerk's -------------------------------------------------------- */

bool
desk_is_hello(struct str text)
{
	return str_is(text, DESK_HELLO_TEXT);
}

bool
desk_read_words(struct str text, struct buf *room, char ***words)
{
	struct str rest = text, line;
	size_t n = 0, at = 0;

	*words = NULL;
	buf_clear(room);
	while (str_line(&rest, &line)) {
		if (str_has_control(line) || n++ == DESK_WORDS_MAX)
			return false;
		buf_addstr(room, line);
		buf_addc(room, '\0');
	}
	if (n == 0)
		return false;
	/* Only now, when the room does not move any more. */
	*words = mem_alloc((n + 1) * sizeof **words);
	for (size_t i = 0; i < n; i++) {
		(*words)[i] = room->p + at;
		at += strlen(room->p + at) + 1;
	}
	return true;
}

bool
desk_read_end(struct str text, long *wait, bool *dialogue)
{
	struct str rest = text;
	uint64_t n;

	*wait = 0;
	*dialogue = false;
	if (text.len == 0)
		return true;
	if (!str_is(str_word(&rest), "wait") || !codec_number(str_word(&rest), WAIT_MAX, &n) || n == 0 ||
	    !(rest.len == 0 || str_is(rest, "dialogue")) || text.p[text.len - 1] == ' ')
		return false;
	*wait = (long)n;
	*dialogue = rest.len > 0;
	return true;
}

bool
desk_answer(int fd, enum outcome o, const char *id, const struct why *why)
{
	struct buf text = { 0 };
	bool good;

	buf_addf(&text, "%s %d %s ", outcome_name(o), outcome_exit(o, why), id[0] != '\0' ? id : "-");
	codec_escape(&text, str_of(why->text));
	good = desk_write(fd, DESK_ANSWER, buf_str(&text));
	buf_free(&text);
	return good;
}
