/* desk: what is said at the counter arrives whole, once and in order, and whatever
 * else comes is seen as such. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "desk.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6ABCDEFGH"
#define LIMIT 5000              /* ms in which all that is written must be here */
#define FD_MANY 250             /* the most that one message may carry is 253 */

struct world {
	struct desk d;          /* our end */
	int theirs;
	char root[64];
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	int pair[2];

	*state = w;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	w->d = (struct desk){ .fd = pair[0] };
	w->theirs = pair[1];
	snprintf(w->root, sizeof w->root, "/tmp/subpost-desk-XXXXXX");
	return mkdtemp(w->root) != NULL ? 0 : -1;
}

static void
hang_up(struct world *w)
{
	if (w->theirs >= 0)
		close(w->theirs);
	w->theirs = -1;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char path[128];

	desk_close(&w->d);
	hang_up(w);
	snprintf(path, sizeof path, "%s/socket", w->root);
	unlink(path);
	rmdir(w->root);
	free(w);
	return 0;
}

/* The other end says octets as they are. */
static void
say(const struct world *w, const void *p, size_t len)
{
	assert_int_equal(send(w->theirs, p, len, MSG_NOSIGNAL), len);
}

/* A head, made by hand. */
static void
add_frame(struct buf *out, char kind, struct str text)
{
	char head[] = { kind, (char)(text.len >> 16), (char)(text.len >> 8), (char)text.len };

	buf_add(out, head, sizeof head);
	buf_addstr(out, text);
}

static void
say_frame(const struct world *w, char kind, const char *text)
{
	struct buf frame = { 0 };

	add_frame(&frame, kind, str_of(text));
	say(w, frame.p, frame.len);
	buf_free(&frame);
}

static void
expect(struct desk *d, enum desk_kind kind, const char *text)
{
	struct desk_frame f;

	assert_int_equal(desk_read(d, LIMIT, &f), DESK_FRAME);
	assert_int_equal(f.kind, kind);
	assert_true(str_is(f.text, text));
}

/* A text of that length in which a lost or doubled octet is seen. */
static void
fill(struct buf *b, size_t len)
{
	uint32_t x = 1;

	buf_clear(b);
	buf_reserve(b, len);
	while (b->len < len) {
		x = x * 1664525 + 1013904223;
		b->p[b->len++] = (char)(x >> 24);
	}
}

static void
await_child(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- frames ---- */

static const char kinds[] = "hetzdvaos";

static void
every_kind_and_every_length_arrives_as_it_was_written(void **state)
{
	static const size_t lengths[] = { 0, 1, 255, 256, 65535, DESK_FRAME_MAX };
	struct world *w = *state;
	struct buf text = { 0 };
	struct desk_frame f;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (const char *k = kinds; *k != '\0'; k++) {
			fill(&text, lengths[i]);
			assert_true(desk_write(w->theirs, (enum desk_kind)*k, buf_str(&text)));
			assert_int_equal(desk_read(&w->d, LIMIT, &f), DESK_FRAME);
			assert_int_equal(f.kind, *k);
			assert_true(str_eq(f.text, buf_str(&text)));
		}
	}
	buf_free(&text);
}

static void
a_frame_is_its_kind_three_octets_of_length_and_its_text(void **state)
{
	struct world *w = *state;
	struct buf text = { 0 };
	char got[8];

	assert_true(desk_write(w->d.fd, DESK_END, STR("wait")));
	assert_int_equal(recv(w->theirs, got, 8, MSG_WAITALL), 8);
	assert_memory_equal(got, "z\0\0\4wait", 8);
	assert_true(desk_write(w->d.fd, DESK_DROP, STR("")));
	assert_int_equal(recv(w->theirs, got, 4, MSG_WAITALL), 4);
	assert_memory_equal(got, "d\0\0\0", 4);
	fill(&text, DESK_FRAME_MAX);
	assert_true(desk_write(w->d.fd, DESK_TEXT, buf_str(&text)));
	assert_int_equal(recv(w->theirs, got, 4, MSG_WAITALL), 4);
	assert_memory_equal(got, "t\1\0\0", 4);
	buf_free(&text);
}

static void
it_may_come_split_at_every_octet(void **state)
{
	struct world *w = *state;
	struct buf stream = { 0 };
	struct desk_frame f;
	unsigned frames = 0;

	add_frame(&stream, 'e', STR("from a@example.com\n"));
	add_frame(&stream, 't', STR(""));
	add_frame(&stream, 't', STR("x"));
	add_frame(&stream, 'z', STR("wait 5 dialogue"));
	for (size_t i = 0; i < stream.len; i++) {
		enum desk_got got;

		say(w, stream.p + i, 1);
		got = desk_read(&w->d, 0, &f);
		assert_true(got == DESK_FRAME || got == DESK_SILENT);
		frames += got == DESK_FRAME;
	}
	assert_int_equal(frames, 4);
	assert_true(str_is(f.text, "wait 5 dialogue"));
	buf_free(&stream);
}

static void
cut_anywhere_it_is_the_same(void **state)
{
	struct world *w = *state;
	struct buf stream = { 0 };

	add_frame(&stream, 'h', STR("subpost 1"));
	add_frame(&stream, 'v', STR("list"));
	for (size_t cut = 0; cut <= stream.len; cut++) {
		struct desk_frame f;

		say(w, stream.p, cut);
		if (cut < 13)
			assert_int_equal(desk_read(&w->d, 0, &f), DESK_SILENT);
		say(w, stream.p + cut, stream.len - cut);
		expect(&w->d, DESK_HELLO, "subpost 1");
		expect(&w->d, DESK_VERB, "list");
	}
	buf_free(&stream);
}

static void
many_may_come_in_one_read(void **state)
{
	struct world *w = *state;
	struct buf stream = { 0 };
	char text[16];

	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof text, "%d", i);
		add_frame(&stream, 't', str_of(text));
	}
	say(w, stream.p, stream.len);
	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof text, "%d", i);
		expect(&w->d, DESK_TEXT, text);
	}
	assert_false(desk_has_news(&w->d));
	buf_free(&stream);
}

/* Sends the text in a child, in frames or writes of that size. */
static pid_t
pour(struct world *w, const struct buf *text, size_t piece)
{
	pid_t pid = fork();
	bool good = true;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	close(w->d.fd);
	for (size_t at = 0; at < text->len && good; at += piece) {
		size_t n = text->len - at < piece ? text->len - at : piece;

		good = desk_write(w->theirs, DESK_TEXT, str_from(text->p + at, n));
	}
	_exit(good && desk_write(w->theirs, DESK_END, STR("")) ? 0 : 1);
}

static void
take_all(struct world *w, const struct buf *want)
{
	struct desk_frame f;
	size_t at = 0;

	while (desk_read(&w->d, LIMIT, &f) == DESK_FRAME && f.kind == DESK_TEXT) {
		assert_true(f.text.len <= DESK_FRAME_MAX && at + f.text.len <= want->len);
		assert_memory_equal(f.text.p, want->p + at, f.text.len);
		at += f.text.len;
	}
	assert_int_equal(f.kind, DESK_END);
	assert_int_equal(at, want->len);
}

static void
a_long_text_arrives_whole_whatever_it_was_cut_into(void **state)
{
	static const size_t pieces[] = { 4093, 16384, 65535, DESK_FRAME_MAX, 100000, 6u << 20 };
	struct world *w = *state;
	struct buf text = { 0 };

	fill(&text, 5 * 1024 * 1024 + 77);
	for (size_t i = 0; i < COUNT(pieces); i++) {
		pid_t pid = pour(w, &text, pieces[i]);

		take_all(w, &text);
		await_child(pid);
		/* One frame and what is read ahead, and not what there ever was. */
		assert_true(w->d.in.cap <= 3 * DESK_FRAME_MAX);
	}
	buf_free(&text);
}

static void
what_can_be_no_frame_is_seen_at_its_head(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
	} rows[] = {
		{ "x", 1 }, { "\0", 1 }, { "\xff", 1 }, { "H", 1 }, { "GET / HTTP/1.1\r\n", 16 },
		{ "t\1\0\1", 4 }, { "t\2\0\0", 4 }, { "h\377\377\377", 4 }, { "z\1\1\0", 4 },
		{ "z\0\0\0x", 5 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world *w;
		struct desk_frame f;

		assert_int_equal(set_up(state), 0);
		w = *state;
		say(w, rows[i].octets, rows[i].len);
		if (rows[i].octets[0] == 'z' && rows[i].octets[1] == 0)
			expect(&w->d, DESK_END, "");
		assert_int_equal(desk_read(&w->d, -1, &f), DESK_BROKEN);
		assert_int_equal(desk_read(&w->d, -1, &f), DESK_BROKEN);
		assert_true(desk_has_news(&w->d));
		tear_down(state);
	}
}

static void
the_end_is_told_after_what_came_before_it(void **state)
{
	struct world *w = *state;
	struct desk_frame f;

	say_frame(w, 'v', "status");
	say(w, "t\0\0\5half", 8);
	hang_up(w);
	expect(&w->d, DESK_VERB, "status");
	assert_int_equal(desk_read(&w->d, -1, &f), DESK_CLOSED);
	assert_int_equal(desk_read(&w->d, -1, &f), DESK_CLOSED);
}

/* One who hangs up on words of ours that he has not read resets the connection. */
static void
an_end_with_something_unread_is_told_after_it_too(void **state)
{
	struct world *w = *state;
	struct desk_frame f;

	assert_true(desk_write(w->d.fd, DESK_TEXT, STR("never looked at")));
	say_frame(w, 'a', "later 75 - no");
	hang_up(w);
	expect(&w->d, DESK_ANSWER, "later 75 - no");
	assert_int_equal(desk_read(&w->d, -1, &f), DESK_CLOSED);
}

static void
silence_is_told_after_its_time_and_what_was_here_is_kept(void **state)
{
	struct world *w = *state;
	struct desk_frame f;
	double begun = clock_now();

	say(w, "t\0\0\2a", 5);
	assert_int_equal(desk_read(&w->d, 50, &f), DESK_SILENT);
	assert_true(clock_now() - begun >= 0.049);
	say(w, "b", 1);
	expect(&w->d, DESK_TEXT, "ab");
}

static void
no_end_is_no_descriptor(void **state)
{
	struct desk none = DESK_INIT;
	struct desk_frame f;

	(void)state;
	assert_int_equal(desk_read(&none, -1, &f), DESK_CLOSED);
	assert_false(desk_write(-1, DESK_TEXT, STR("x")));
	desk_close(&none);
	desk_close(&none);
}

static void
news_are_a_whole_frame_or_the_end(void **state)
{
	struct world *w = *state;
	struct desk_frame f;

	assert_false(desk_has_news(&w->d));
	say(w, "z\0\0\1", 4);
	assert_false(desk_has_news(&w->d));
	say(w, "1", 1);
	assert_true(desk_has_news(&w->d));
	assert_true(desk_has_news(&w->d));
	expect(&w->d, DESK_END, "1");
	assert_false(desk_has_news(&w->d));
	say(w, "z\0", 2);
	hang_up(w);
	assert_true(desk_has_news(&w->d));
	assert_int_equal(desk_read(&w->d, -1, &f), DESK_CLOSED);
}

static void
a_frame_that_has_begun_is_no_rest(void **state)
{
	struct world *w = *state;
	struct desk_frame f;

	assert_false(desk_is_amid(&w->d));
	say(w, "v\0\0\4li", 6);
	assert_int_equal(desk_read(&w->d, 0, &f), DESK_SILENT);
	assert_true(desk_is_amid(&w->d));
	say(w, "st", 2);
	expect(&w->d, DESK_VERB, "list");
	assert_false(desk_is_amid(&w->d));
}

static void
frames_that_were_gathered_are_those_that_are_written(void **state)
{
	static const size_t lengths[] = { 0, 1, DESK_FRAME_MAX - 1, DESK_FRAME_MAX, DESK_FRAME_MAX + 1,
		2 * DESK_FRAME_MAX };
	struct world *w = *state;
	struct buf text = { 0 }, gathered = { 0 }, written = { 0 };

	for (size_t i = 0; i < COUNT(lengths); i++) {
		fill(&text, lengths[i]);
		buf_clear(&gathered);
		buf_clear(&written);
		desk_put(&gathered, DESK_TEXT, buf_str(&text));
		assert_true(desk_write(w->d.fd, DESK_TEXT, buf_str(&text)));
		buf_reserve(&written, gathered.len);
		assert_int_equal(recv(w->theirs, written.p, gathered.len, MSG_WAITALL), gathered.len);
		assert_memory_equal(written.p, gathered.p, gathered.len);
		assert_int_equal(recv(w->theirs, written.p, 1, MSG_DONTWAIT), -1);
	}
	buf_free(&text);
	buf_free(&gathered);
	buf_free(&written);
}

/* ---- descriptors ---- */

static unsigned
count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
say_with_descriptors(const struct world *w, struct str words, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FD_MANY * sizeof(int))] = { 0 };
	struct iovec io = { (void *)(uintptr_t)words.p, words.len };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(FD_MANY * sizeof(int));
	for (size_t i = 0; i < FD_MANY; i++)
		memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	assert_int_equal(sendmsg(w->theirs, &m, MSG_NOSIGNAL), words.len);
}

/* A TCP connection that lingers for seconds over what nobody takes. */
static int
linger(int *other)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger long_time = { 1, 8 };
	socklen_t len = sizeof a;
	char much[65536] = { 0 };
	int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(door, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	*other = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	close(door);
	while (send(fd, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		continue;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof long_time), 0);
	return fd;
}

static void
a_descriptor_that_nobody_has_read_holds_up_nobody_who_hangs_up(void **state)
{
	struct world *w = *state;
	struct sigaction before, after;
	struct itimerval timer;
	int others[3];
	double begun;

	for (size_t i = 0; i < COUNT(others); i++) {
		int fd = linger(&others[i]);

		say_with_descriptors(w, STR("x"), fd);
		close(fd);
	}
	hang_up(w);
	sigaction(SIGALRM, NULL, &before);
	begun = clock_now();
	desk_hang_up(w->d.fd);
	assert_true(clock_now() - begun < 5);
	assert_int_equal(fcntl(w->d.fd, F_GETFD), -1);
	w->d.fd = -1;
	/* And no alarm is left. */
	sigaction(SIGALRM, NULL, &after);
	assert_true(before.sa_handler == after.sa_handler);
	assert_int_equal(getitimer(ITIMER_REAL, &timer), 0);
	assert_true(timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0);
	for (size_t i = 0; i < COUNT(others); i++)
		close(others[i]);
}

static void
descriptors_that_come_along_do_not_stay(void **state)
{
	struct world *w = *state;
	unsigned before = count_descriptors();
	int pipes[2];
	char c;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	for (int i = 0; i < 3; i++) {
		say_with_descriptors(w, STR("t\0\0\1"), pipes[1]);
		say_with_descriptors(w, STR("x"), pipes[1]);
		expect(&w->d, DESK_TEXT, "x");
	}
	assert_int_equal(count_descriptors(), before + 2);
	/* Nor anywhere between: with our own gone, the pipe is at its end. */
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &c, 1), 0);
	close(pipes[0]);
}

/* ---- writing ---- */

static volatile sig_atomic_t *ticks;    /* shared with a child */

static void
tick(int sig)
{
	(void)sig;
	if (ticks != NULL)
		++*ticks;
}

static void
start_ticking(void)
{
	struct sigaction a = { .sa_handler = tick };
	struct itimerval often = { { 0, 500 }, { 0, 500 } };

	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void
stop_ticking(void)
{
	struct itimerval never_again = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &never_again, NULL);
	signal(SIGALRM, SIG_DFL);
}

static void
interrupted_and_in_small_pieces_it_is_written_whole(void **state)
{
	struct world *w = *state;
	struct buf text = { 0 };
	int small = 1;
	pid_t pid;

	setsockopt(w->theirs, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	fill(&text, 4 * 1024 * 1024 + 5);
	ticks = mmap(NULL, sizeof *ticks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(ticks != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		start_ticking();
		close(w->d.fd);
		_exit(desk_write(w->theirs, DESK_TEXT, buf_str(&text)) &&
		    desk_write(w->theirs, DESK_END, STR("")) ? 0 : 1);
	}
	/* Disturbed while there is no room for one octet more, and then while there is. */
	for (int ms = 0; *ticks < 50 && ms < LIMIT; ms++)
		poll(NULL, 0, 1);
	assert_true(*ticks >= 50);
	start_ticking();
	take_all(w, &text);
	stop_ticking();
	await_child(pid);
	munmap((void *)(uintptr_t)ticks, sizeof *ticks);
	ticks = NULL;
	buf_free(&text);
}

static void
one_who_is_gone_is_an_error_and_no_signal(void **state)
{
	struct world *w = *state;

	hang_up(w);
	errno = 0;
	assert_false(desk_write(w->d.fd, DESK_TEXT, STR("x")));
	assert_int_equal(errno, EPIPE);
}

static void
one_who_takes_nothing_is_left_after_the_sockets_time(void **state)
{
	struct world *w = *state;
	struct timeval limit = { 0, 20000 };
	struct buf text = { 0 };

	setsockopt(w->d.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	fill(&text, 4 * 1024 * 1024);
	assert_false(desk_write(w->d.fd, DESK_TEXT, buf_str(&text)));
	assert_int_equal(errno, EAGAIN);
	buf_free(&text);
}

/* ---- the call ---- */

static int
listen_at(const struct world *w, char *path, size_t size, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, size, "%s/socket", w->root);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
a_call_that_is_taken_has_no_time_limit_any_more(void **state)
{
	struct world *w = *state;
	struct desk d = DESK_INIT;
	struct why why = { 0 };
	struct timeval limit = { 9, 9 };
	socklen_t len = sizeof limit;
	char path[128];
	int fd = listen_at(w, path, sizeof path, 5), taken;

	assert_int_equal(desk_connect(&d, path, &why), DONE);
	assert_int_equal(getsockopt(d.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &len), 0);
	assert_true(limit.tv_sec == 0 && limit.tv_usec == 0);
	assert_int_equal(fcntl(d.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(d.fd, F_GETFL) & O_NONBLOCK, 0);
	taken = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(desk_write(taken, DESK_OUT, STR("hello")));
	expect(&d, DESK_OUT, "hello");
	close(taken);
	close(fd);
	desk_close(&d);
	assert_int_equal(d.fd, -1);
}

static void
at_a_shielded_door_no_descriptor_is_passed(void **state)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec io = { (char[]){ 'x' }, 1 };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct world *w = *state;
	struct desk d = DESK_INIT;
	struct why why = { 0 };
	char path[128];
	int fd = listen_at(w, path, sizeof path, 5);
	ssize_t sent;

	desk_shield(fd);
	assert_int_equal(desk_connect(&d, path, &why), DONE);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	sent = sendmsg(d.fd, &m, MSG_NOSIGNAL);
	if (sent < 0)
		assert_int_equal(errno, EPERM);
	assert_true(desk_write(d.fd, DESK_HELLO, STR("subpost 1")));
	desk_close(&d);
	close(fd);
	/* A kernel that does not know how. */
	if (sent >= 0)
		skip();
}

static void
expect_nobody(const char *path, int error, const char *reason)
{
	struct desk d = DESK_INIT;
	struct why why = { 0 };
	struct buf want = { 0 };

	errno = 0;
	assert_int_equal(desk_connect(&d, path, &why), LATER);
	assert_int_equal(errno, error);
	assert_int_equal(d.fd, -1);
	assert_int_equal(outcome_exit(LATER, &why), 75);
	buf_addf(&want, "the mail service does not answer at %s (%s); start it with: systemctl start "
	    "subpost.socket (without systemd: subpostd --service)", path, reason);
	assert_string_equal(why.text, buf_c(&want));
	buf_free(&want);
}

static void
where_nobody_is_the_reason_names_the_socket_and_the_unit(void **state)
{
	struct world *w = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/socket", w->root);
	expect_nobody(path, ENOENT, "No such file or directory");
	fd = listen_at(w, path, sizeof path, -1);
	expect_nobody(path, ECONNREFUSED, "Connection refused");
	close(fd);
	expect_nobody(path, ECONNREFUSED, "Connection refused");
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	expect_nobody(path, ECONNREFUSED, "Connection refused");
	close(fd);
}

/* Callers who are never taken, until there is no place for another. */
static size_t
crowd(const char *path, int *fds, size_t most)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = 0;

	memcpy(address.sun_path, path, strlen(path));
	while (n < most) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(fds[n] >= 0);
		if (connect(fds[n++], (struct sockaddr *)&address, sizeof address) < 0)
			return n;
	}
	return n;
}

static void
a_full_counter_is_left_after_two_seconds_however_often_we_are_disturbed(void **state)
{
	struct world *w = *state;
	char path[128];
	int fd = listen_at(w, path, sizeof path, 1), fds[16];
	size_t n = crowd(path, fds, COUNT(fds));
	double begun, took;

	assert_true(n < COUNT(fds));
	start_ticking();
	begun = clock_now();
	expect_nobody(path, EAGAIN, "it has no room for more callers");
	took = clock_now() - begun;
	stop_ticking();
	assert_true(took > DESK_CONNECT_TIME - 0.2 && took < DESK_CONNECT_TIME + 1.5);
	while (n > 0)
		close(fds[--n]);
	close(fd);
}

static void
a_path_that_no_socket_can_have_is_a_matter_of_configuration(void **state)
{
	struct buf path = { 0 };
	struct why why = { 0 };
	struct desk d = DESK_INIT;

	(void)state;
	assert_int_equal(desk_connect(&d, "", &why), NEVER);
	assert_int_equal(outcome_exit(NEVER, &why), 78);
	while (path.len < 108)
		buf_addc(&path, path.len % 9 == 0 ? '/' : 'x');
	assert_int_equal(desk_connect(&d, buf_c(&path), &why), NEVER);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(outcome_exit(NEVER, &why), 78);
	assert_non_null(strstr(why.text, "set socket in [service] to a shorter one"));
	assert_int_equal(d.fd, -1);
	buf_cut(&path, 1);
	path.p[0] = '/';
	assert_int_equal(desk_connect(&d, buf_c(&path), &why), LATER);
	buf_free(&path);
}

/* ---- the hello ---- */

static void
a_hello_gives_the_settings_and_is_answered_with_the_first_words(void **state)
{
	struct world *w = *state;
	struct desk_frame f;
	struct buf settings = { 0 };
	struct why why = { 0 };
	struct desk theirs = { .fd = w->theirs };

	buf_adds(&settings, "what was in it before");
	say_frame(w, 'h', "subpost 1\ndomain example.com\nwait 0\n");
	say_frame(w, 'a', "done 0 - behind it");
	assert_int_equal(desk_greet(&w->d, "/run/x", &settings, &why), DONE);
	assert_string_equal(buf_c(&settings), "domain example.com\nwait 0\n");
	assert_int_equal(desk_read(&theirs, 0, &f), DESK_SILENT);
	for (int i = 0; i < 2; i++)
		assert_int_equal(desk_push(&w->d, STR("d\0\0\0")), 4);
	expect(&theirs, DESK_HELLO, "subpost 1");
	expect(&theirs, DESK_DROP, "");
	expect(&theirs, DESK_DROP, "");
	expect(&w->d, DESK_ANSWER, "done 0 - behind it");
	buf_free(&theirs.in);
	buf_free(&settings);
}

static void
any_other_greeting_is_later_and_says_why(void **state)
{
	static const struct {
		char kind;              /* '\0': these octets as they are */
		const char *text;
		enum outcome o;
		int exit;
		const char *why;
	} rows[] = {
		{ 'a', "later 75 - the mail service is busy", LATER, 75, "the mail service is busy" },
		{ 'a', "never 78 - the mail service has no configuration", NEVER, 78, "no configuration" },
		{ 'a', "done 0 - ", LATER, 75, "was not understood" },
		{ 'a', "busy", LATER, 75, "was not understood" },
		{ 'h', "subpost 2\nfuture x\n", LATER, 75,
		    "at /run/x speaks \"subpost 2\", this program \"subpost 1\"; restart" },
		{ 'h', "subpost 10", LATER, 75, "\"subpost 10\"" },
		{ 'h', "subpost 1\r\n", LATER, 75, "\"subpost 1\\x0d\"" },
		{ 'h', "", LATER, 75, "was not understood" },
		{ 'h', "sendmail 8", LATER, 75, "was not understood" },
		{ 'o', "subpost 1\n", LATER, 75, "was not understood" },
		{ '\0', "220 mail.example.com ESMTP\r\n", LATER, 75, "was not understood" },
		{ '\0', "h", LATER, 75, "does not answer at /run/x (it hung up); start it again" },
		{ '\0', "", LATER, 75, "does not answer at /run/x (it hung up); start it again" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf settings = { 0 };
		struct why why = { 0 };
		struct world *w;
		enum outcome o;

		assert_int_equal(set_up(state), 0);
		w = *state;
		if (rows[i].kind != '\0')
			say_frame(w, rows[i].kind, rows[i].text);
		else
			say(w, rows[i].text, strlen(rows[i].text));
		hang_up(w);
		o = desk_greet(&w->d, "/run/x", &settings, &why);
		assert_int_equal(o, rows[i].o);
		assert_int_equal(outcome_exit(o, &why), rows[i].exit);
		if (strstr(why.text, rows[i].why) == NULL)
			fail_msg("row %zu: %s", i, why.text);
		assert_int_equal(settings.len, 0);
		buf_free(&settings);
		tear_down(state);
	}
}

/* The service has said hello, found that it cannot serve, said so, and left. */
static void
one_who_refuses_behind_his_hello_is_heard(void **state)
{
	struct world *w = *state;
	struct buf settings = { 0 };
	struct why why = { 0 };

	say_frame(w, 'h', "subpost 1\n");
	say_frame(w, 'a', "later 75 - no more processes; try again");
	hang_up(w);
	assert_int_equal(desk_greet(&w->d, "/run/x", &settings, &why), LATER);
	assert_string_equal(why.text, "no more processes; try again");
	buf_free(&settings);
}

/* ---- answers ---- */

static void
an_answer_carries_its_outcome_exit_id_and_reason(void **state)
{
	static const struct {
		const char *answer;
		enum outcome o;
		int exit;
		const char *id, *text;
	} rows[] = {
		{ "done 0 " ID " queued", DONE, 0, ID, "queued" },
		{ "done 0 " ID " ", DONE, 0, ID, "" },
		{ "done 0 - ", DONE, 0, "", "" },
		{ "later 75 - the disk is nearly full", LATER, 75, "", "the disk is nearly full" },
		{ "later 75 " ID " still queued", LATER, 75, ID, "still queued" },
		{ "never 69 - too large", NEVER, 69, "", "too large" },
		{ "never 77 - a \\x5c and \\x0a", NEVER, 77, "", NULL },
		/* No answers of ours. */
		{ "", LATER, 75, NULL, NULL }, { "done", LATER, 75, NULL, NULL },
		{ "done 0", LATER, 75, NULL, NULL }, { "done 0 -", LATER, 75, NULL, NULL },
		{ "done 0  x", LATER, 75, NULL, NULL }, { "done 0 x y", LATER, 75, NULL, NULL },
		{ "done 75 - x", LATER, 75, NULL, NULL }, { "later 0 - x", LATER, 75, NULL, NULL },
		{ "never 0 - x", LATER, 75, NULL, NULL }, { "never 256 - x", LATER, 75, NULL, NULL },
		{ "never -1 - x", LATER, 75, NULL, NULL }, { "Done 0 - x", LATER, 75, NULL, NULL },
		{ "done 0 ../../../etc/passwd x", LATER, 75, NULL, NULL },
		{ "done 0 0gt2c3d4e5f6abcdefgh x", LATER, 75, NULL, NULL },
		{ "done 0 - a\nb", LATER, 75, NULL, NULL }, { "done 0 - \\x41", LATER, 75, NULL, NULL },
		{ "done 0 - \\", LATER, 75, NULL, NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char id[ENVELOPE_ID_LEN + 1] = "before";
		struct why why = { .code = 550, .status = "5.1.1", .text = "before" };
		struct world *w;
		enum outcome o;

		assert_int_equal(set_up(state), 0);
		w = *state;
		say_frame(w, 'a', rows[i].answer);
		o = desk_await(&w->d, NULL, NULL, id, &why);
		if (o != rows[i].o || outcome_exit(o, &why) != rows[i].exit ||
		    strcmp(id, rows[i].id != NULL ? rows[i].id : "") != 0 ||
		    (rows[i].text != NULL && strcmp(why.text, rows[i].text) != 0))
			fail_msg("%s: %d %d %s %s", rows[i].answer, o, outcome_exit(o, &why), id, why.text);
		if (rows[i].id == NULL)
			assert_non_null(strstr(why.text, "was not understood"));
		/* With one who does not speak as we do there is nothing more to say. */
		assert_int_equal(w->d.fd < 0, rows[i].id == NULL);
		assert_int_equal(why.code, 0);
		for (const char *p = why.text; *p != '\0'; p++)
			assert_true(*p >= ' ' && *p != 0x7f);
		tear_down(state);
	}
}

static void
what_is_answered_is_what_is_heard(void **state)
{
	static const struct {
		enum outcome o;
		int exit, heard;
		const char *id, *text;
	} rows[] = {
		{ DONE, 0, 0, ID, "" }, { DONE, 0, 0, "", "12 waiting" }, { LATER, 75, 75, "", "busy" },
		{ LATER, 0, 75, "", "busy" }, { NEVER, 77, 77, "", "not yours" }, { NEVER, 0, 69, ID, "refused" },
		{ NEVER, 64, 64, "", "back\\slash and tab" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why said = { .exit = rows[i].exit }, heard = { 0 };
		char id[ENVELOPE_ID_LEN + 1];
		enum outcome o;

		snprintf(said.text, sizeof said.text, "%s", rows[i].text);
		assert_true(desk_answer(w->theirs, rows[i].o, rows[i].id, &said));
		o = desk_await(&w->d, NULL, NULL, id, &heard);
		assert_int_equal(o, rows[i].o);
		assert_int_equal(outcome_exit(o, &heard), rows[i].heard);
		assert_string_equal(id, rows[i].id);
		assert_string_equal(heard.text, rows[i].text);
	}
}

static void
the_longest_reason_fits(void **state)
{
	struct world *w = *state;
	struct why said = { .exit = 75 }, heard = { 0 };

	memset(said.text, '\\', sizeof said.text - 1);
	assert_true(desk_answer(w->theirs, LATER, "", &said));
	assert_int_equal(desk_await(&w->d, NULL, NULL, NULL, &heard), LATER);
	assert_string_equal(heard.text, said.text);
}

static void
what_is_printed_goes_where_it_should_and_moves_no_cursor(void **state)
{
	struct world *w = *state;
	struct why why = { 0 };
	char *out, *shown;
	size_t nout, nshown;
	FILE *o = open_memstream(&out, &nout), *s = open_memstream(&shown, &nshown);

	say_frame(w, 'o', "one\n\ttwo ");
	say_frame(w, 's', "<- 250 ok\r\n");
	say_frame(w, 'o', "");
	say_frame(w, 'o', "\33[2Jthree\7\b\x7f \xc3\xa9\n");
	say_frame(w, 's', "\1\2\3");
	say_frame(w, 'a', "done 0 - ");
	assert_int_equal(desk_await(&w->d, o, s, NULL, &why), DONE);
	fclose(o);
	fclose(s);
	assert_string_equal(out, "one\n\ttwo [2Jthree \xc3\xa9\n");
	assert_string_equal(shown, "<- 250 ok\n");
	free(out);
	free(shown);
}

static void
a_service_that_goes_before_it_answers_is_later(void **state)
{
	struct world *w = *state;
	struct why why = { 0 };
	char id[ENVELOPE_ID_LEN + 1] = "x";

	say_frame(w, 'o', "half of");
	say(w, "a\0\0\40done", 8);
	hang_up(w);
	assert_int_equal(desk_await(&w->d, NULL, NULL, id, &why), LATER);
	assert_int_equal(outcome_exit(LATER, &why), 75);
	assert_non_null(strstr(why.text, "went away before it had answered; try again"));
	assert_string_equal(id, "");
}

static void
any_other_words_before_the_answer_are_not_understood(void **state)
{
	for (const char *k = "hetzdv"; *k != '\0'; k++) {
		struct world *w;
		struct why why = { 0 };

		assert_int_equal(set_up(state), 0);
		w = *state;
		say_frame(w, *k, "");
		say_frame(w, 'a', "done 0 - ");
		assert_int_equal(desk_await(&w->d, NULL, NULL, NULL, &why), LATER);
		assert_non_null(strstr(why.text, "was not understood"));
		tear_down(state);
	}
}

/* ---- the clerk's ---- */

static void
only_one_version_is_ours(void **state)
{
	static const char *const others[] = { "", "subpost", "subpost ", "subpost 2", "subpost 1 ",
		"subpost 1\n", "subpost 10", "SUBPOST 1", "subpost 01", " subpost 1" };

	(void)state;
	assert_true(desk_is_hello(STR("subpost 1")));
	assert_false(desk_is_hello(STR("subpost 1\0")));
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(desk_is_hello(str_of(others[i])));
}

static void
the_words_of_a_question_are_its_lines(void **state)
{
	struct buf room = { 0 };
	char **words;

	(void)state;
	assert_true(desk_read_words(STR("list"), &room, &words));
	assert_string_equal(words[0], "list");
	assert_null(words[1]);
	free(words);
	assert_true(desk_read_words(STR("show\na b\n\n\xc3\xa9"), &room, &words));
	assert_string_equal(words[0], "show");
	assert_string_equal(words[1], "a b");
	assert_string_equal(words[2], "");
	assert_string_equal(words[3], "\xc3\xa9");
	assert_null(words[4]);
	free(words);
	assert_true(desk_read_words(STR("retry\nall\n"), &room, &words));
	assert_string_equal(words[1], "all");
	assert_null(words[2]);
	free(words);
	buf_free(&room);
}

static void
what_is_no_question_has_no_words(void **state)
{
	static const struct str rows[] = { { "", 0 }, { "list\0json", 9 }, { "\0", 1 }, { "show\r\nx", 7 },
		{ "a\33b", 3 }, { "a\x7f", 2 } };
	struct buf room = { 0 };
	char **words = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_false(desk_read_words(rows[i], &room, &words));
		assert_null(words);
	}
	buf_free(&room);
}

static void
a_question_has_so_many_words_and_no_more(void **state)
{
	struct buf text = { 0 }, room = { 0 };
	char **words;

	(void)state;
	for (int i = 0; i < DESK_WORDS_MAX; i++)
		buf_adds(&text, "x\n");
	assert_true(desk_read_words(buf_str(&text), &room, &words));
	assert_string_equal(words[DESK_WORDS_MAX - 1], "x");
	assert_null(words[DESK_WORDS_MAX]);
	free(words);
	buf_adds(&text, "y");
	assert_false(desk_read_words(buf_str(&text), &room, &words));
	assert_null(words);
	buf_free(&text);
	buf_free(&room);
}

static void
an_end_says_how_long_to_wait_in_three_forms_only(void **state)
{
	static const struct {
		const char *text;
		bool good;
		long wait;
		bool dialogue;
	} rows[] = {
		{ "", true, 0, false }, { "wait 60", true, 60, false }, { "wait 1 dialogue", true, 1, true },
		{ "wait 86400", true, 86400, false },
		{ "wait 86401", false, 0, false }, { "wait 0", false, 0, false }, { "wait", false, 0, false },
		{ "wait ", false, 0, false }, { "wait 5 ", false, 0, false }, { "wait 5 dialogue ", false, 0, false },
		{ "wait 5 talk", false, 0, false }, { "wait -5", false, 0, false }, { "wait 5s", false, 0, false },
		{ "wait  5", false, 0, false }, { "Wait 5", false, 0, false }, { " ", false, 0, false },
		{ "wait 5\n", false, 0, false }, { "dialogue", false, 0, false },
		{ "wait 99999999999999999999", false, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		long wait = 7;
		bool dialogue = true;

		if (desk_read_end(str_of(rows[i].text), &wait, &dialogue) != rows[i].good)
			fail_msg("\"%s\"", rows[i].text);
		if (rows[i].good) {
			assert_int_equal(wait, rows[i].wait);
			assert_int_equal(dialogue, rows[i].dialogue);
		}
	}
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(every_kind_and_every_length_arrives_as_it_was_written),
		PROMISE(a_frame_is_its_kind_three_octets_of_length_and_its_text),
		PROMISE(it_may_come_split_at_every_octet),
		PROMISE(cut_anywhere_it_is_the_same),
		PROMISE(many_may_come_in_one_read),
		PROMISE(a_long_text_arrives_whole_whatever_it_was_cut_into),
		cmocka_unit_test(what_can_be_no_frame_is_seen_at_its_head),
		PROMISE(the_end_is_told_after_what_came_before_it),
		PROMISE(an_end_with_something_unread_is_told_after_it_too),
		PROMISE(silence_is_told_after_its_time_and_what_was_here_is_kept),
		cmocka_unit_test(no_end_is_no_descriptor),
		PROMISE(news_are_a_whole_frame_or_the_end),
		PROMISE(a_frame_that_has_begun_is_no_rest),
		PROMISE(frames_that_were_gathered_are_those_that_are_written),
		PROMISE(descriptors_that_come_along_do_not_stay),
		PROMISE(a_descriptor_that_nobody_has_read_holds_up_nobody_who_hangs_up),
		PROMISE(interrupted_and_in_small_pieces_it_is_written_whole),
		PROMISE(one_who_is_gone_is_an_error_and_no_signal),
		PROMISE(one_who_takes_nothing_is_left_after_the_sockets_time),
		PROMISE(a_call_that_is_taken_has_no_time_limit_any_more),
		PROMISE(at_a_shielded_door_no_descriptor_is_passed),
		PROMISE(where_nobody_is_the_reason_names_the_socket_and_the_unit),
		PROMISE(a_full_counter_is_left_after_two_seconds_however_often_we_are_disturbed),
		cmocka_unit_test(a_path_that_no_socket_can_have_is_a_matter_of_configuration),
		PROMISE(a_hello_gives_the_settings_and_is_answered_with_the_first_words),
		cmocka_unit_test(any_other_greeting_is_later_and_says_why),
		PROMISE(one_who_refuses_behind_his_hello_is_heard),
		cmocka_unit_test(an_answer_carries_its_outcome_exit_id_and_reason),
		PROMISE(what_is_answered_is_what_is_heard),
		PROMISE(the_longest_reason_fits),
		PROMISE(what_is_printed_goes_where_it_should_and_moves_no_cursor),
		PROMISE(a_service_that_goes_before_it_answers_is_later),
		cmocka_unit_test(any_other_words_before_the_answer_are_not_understood),
		cmocka_unit_test(only_one_version_is_ours),
		cmocka_unit_test(the_words_of_a_question_are_its_lines),
		cmocka_unit_test(what_is_no_question_has_no_words),
		cmocka_unit_test(a_question_has_so_many_words_and_no_more),
		cmocka_unit_test(an_end_says_how_long_to_wait_in_three_forms_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
