/* office: which one it is, and a message brought to a service that is played here
 * by a script: whatever it does, there is an answer, and never a second copy. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "file.h"
#include "office.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6AAAAAAAA"
#define CALLS 4                 /* whose ends a script tells */
#define MIB (1 << 20)

/* ---- a service ----------------------------------------------------------------- */

/* What becomes of one caller. */
enum act {
	SERVE,                  /* takes all, for ever */
	REFUSE,                 /* says no when all of it is there */
	REFUSE_EARLY,           /* at the envelope, and does not listen to the rest */
	REFUSE_AND_LEAVE,       /* the same, and is gone */
	LEAVE,                  /* says hello, and is gone when he has been heard */
	LEAVE_AT_TEXT,          /* has begun to read the text, and dies */
	LEAVE_AT_END,           /* has all of it, perhaps on disk, and dies */
	LEAVE_WAITING,          /* answers, and dies while the outcome is waited for */
	HANG_UP,                /* says nothing at all */
	BUSY,
	OTHER_VERSION,
	NOISE,                  /* has no idea of the protocol */
	HASTY,                  /* answers before it was told anything */
	SLOW,                   /* reads nothing for a while, and answers late */
};

/* What it has seen, shared with the test. */
struct seen {
	unsigned calls;
	unsigned messages;      /* that were whole */
	unsigned questions;
	bool odd;               /* something that no caller may say */
	uint64_t size;          /* of the last text */
	uint32_t crc;
	char envelope[2000];
	char end[100];
	char question[100];
	_Atomic bool may_leave;         /* says the caller */
};

static struct seen *seen;
static const char settings[] = "config /etc/subpost/subpost.ini\ndomain x.example\n"
    "from box@x.example\nfrom-header no\nmax-size 20000000\nwait 7\n";

static void
say(int fd, enum desk_kind kind, const char *text)
{
	desk_write(fd, kind, str_of(text));
}

static bool
hear(struct desk *d, struct desk_frame *f)
{
	return desk_read(d, -1, f) == DESK_FRAME;
}

static void
pause_a_while(double seconds)
{
	poll(NULL, 0, (int)(seconds * 1000));
}

static void
keep(char *at, size_t size, struct str text)
{
	snprintf(at, size, "%.*s", (int)text.len, text.p);
}

/* The answer to a whole message; false when the caller is left. */
static bool
answer_message(struct desk *d, enum act act, struct str end)
{
	keep(seen->end, sizeof seen->end, end);
	if (act == REFUSE) {
		say(d->fd, DESK_ANSWER, "never 77 - this sender is none of yours");
		return true;
	}
	seen->messages++;
	if (act == LEAVE_AT_END)
		return false;
	if (act == SLOW)
		pause_a_while(1);
	say(d->fd, DESK_ANSWER, "done 0 " ID " ");
	if (end.len == 0)
		return true;
	if (act == LEAVE_WAITING)
		return false;
	say(d->fd, DESK_SHOWN, "");
	say(d->fd, DESK_ANSWER, "never 69 " ID " not sent to b@y.example: no such user");
	return true;
}

static bool
take_text(struct desk *d, enum act act, struct str text)
{
	seen->size += text.len;
	seen->crc = codec_crc32c(seen->crc, text.p, text.len);
	seen->odd = seen->odd || text.len == 0;
	(void)d;
	return act != LEAVE_AT_TEXT;
}

static bool
take_envelope(struct desk *d, enum act act, struct str text)
{
	keep(seen->envelope, sizeof seen->envelope, text);
	seen->size = seen->crc = 0;
	if (act == REFUSE_EARLY || act == REFUSE_AND_LEAVE)
		say(d->fd, DESK_ANSWER, "later 75 - the disk is nearly full");
	return act != REFUSE_AND_LEAVE;
}

static void
serve(struct desk *d, enum act act)
{
	bool goes_on = true, refused = false;
	struct desk_frame f;

	while (goes_on && hear(d, &f)) {
		switch (f.kind) {
		case DESK_ENVELOPE:
			goes_on = take_envelope(d, act, f.text);
			refused = act == REFUSE_EARLY;
			break;
		case DESK_TEXT:
			goes_on = take_text(d, act, f.text);
			break;
		case DESK_END:
			goes_on = refused || answer_message(d, act, f.text);
			break;
		case DESK_VERB:
			seen->questions++;
			keep(seen->question, sizeof seen->question, f.text);
			say(d->fd, DESK_OUT, "a table\n");
			say(d->fd, DESK_ANSWER, "never 66 - no such message");
			break;
		default:
			seen->odd = true;
		}
	}
}

static void
take_call(int fd, enum act act)
{
	struct desk d = { .fd = fd };
	struct buf hello = { 0 };
	struct desk_frame f;

	buf_addf(&hello, "%s\n%s", act == OTHER_VERSION ? "subpost 2" : DESK_HELLO_TEXT, settings);
	if (act == BUSY)
		say(fd, DESK_ANSWER, "later 75 - the service is busy; try again");
	else if (act == NOISE)
		(void)!write(fd, "220 x ESMTP\r\n", 13);
	else if (act != HANG_UP)
		desk_write(fd, DESK_HELLO, buf_str(&hello));
	while ((act == LEAVE || act == HASTY) && !seen->may_leave)
		pause_a_while(0.001);
	if (act == HASTY)
		say(fd, DESK_ANSWER, "done 0 0GT2C3D4E5F6BBBBBBBB ");
	if (act != BUSY && act != NOISE && act != HANG_UP && act != LEAVE && hear(&d, &f)) {
		seen->odd = seen->odd || f.kind != DESK_HELLO || !desk_is_hello(f.text);
		if (act == SLOW)
			pause_a_while(DESK_CONNECT_TIME + 0.5);
		serve(&d, act);
	}
	buf_free(&hello);
	desk_close(&d);
}

static int
listen_at(const char *path, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	unlink(path);
	assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_return_code(listen(fd, backlog), 0);
	return fd;
}

/* One caller after the other, by the script; the last act is for all that come. */
static pid_t
open_service(const enum act *acts)
{
	int fd = listen_at("socket", 10);
	pid_t pid = fork();

	assert_return_code(pid, 0);
	if (pid > 0) {
		close(fd);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	for (unsigned i = 0; ; i++) {
		int call = accept(fd, NULL, NULL);

		if (call < 0)
			_exit(1);
		seen->calls++;
		take_call(call, acts[i < CALLS ? i : CALLS - 1]);
	}
}

static void
close_service(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink("socket");
}

/* ---- a caller's world ------------------------------------------------------------- */

static char root[] = "/tmp/subpost-office-XXXXXX";
static const char good[] = "[smarthost]\nhost = 127.0.0.1\nport = 1\nauth = none\nfrom = me@x.example\n";

static int
set_up(void **state)
{
	(void)state;
	umask(077);
	seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED || mkdtemp(root) == NULL || chdir(root) < 0)
		return -1;
	unsetenv("SUBPOST_CONFIG");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", root, 1);
	return mkdir("etc", 0700);
}

static int
tear_down(void **state)
{
	char line[100];

	(void)state;
	munmap(seen, sizeof *seen);
	snprintf(line, sizeof line, "rm -rf %s", root);
	return chdir("/") < 0 || system(line) != 0 ? -1 : 0;
}

static int
clear(void **state)
{
	(void)state;
	*seen = (struct seen){ 0 };
	return 0;
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_return_code(fd, 0);
	assert_int_equal(file_write(fd, str_of(text)), 0);
	close(fd);
}

static void
write_own(void)
{
	assert_int_equal(file_make_dirs(".config/subpost"), 0);
	write_file(".config/subpost/subpost.ini", good);
}

/* ---- which one -------------------------------------------------------------------- */

enum system { ABSENT, GOOD, WRONG };

static const struct {
	const char *name;
	bool own;               /* a configuration of their own is there */
	enum system system;
	bool there;             /* somebody listens */
	enum act acts[CALLS];
	enum office_kind kind;  /* or none: */
	int exit;
	const char *words[3];   /* in the reason, of either */
	unsigned calls;
} finds[] = {
	{ "their own file counts before the service", true, GOOD, true, { SERVE }, OFFICE_OWN, 0,
	    { "own office: ", "/.config/subpost/subpost.ini exists" }, 0 },
	{ "else the service", false, ABSENT, true, { SERVE }, OFFICE_SERVICE, 0,
	    { "service: ", "socket answers" }, 1 },
	{ "also before a system's file that can be read", false, GOOD, true, { SERVE }, OFFICE_SERVICE, 0,
	    { "service: " }, 1 },
	{ "which counts where there is no service", false, GOOD, false, { SERVE }, OFFICE_OWN, 0,
	    { "own office: ", "does not answer", "etc/subpost.ini" }, 0 },
	{ "or where it hangs up", false, GOOD, true, { HANG_UP }, OFFICE_OWN, 0, { "own office: " }, 1 },
	{ "or is busy", false, GOOD, true, { BUSY }, OFFICE_OWN, 0, { "own office: " }, 1 },
	{ "or of another version", false, GOOD, true, { OTHER_VERSION }, OFFICE_OWN, 0,
	    { "own office: " }, 1 },
	{ "neither file nor service: 78, and what to write", false, ABSENT, false, { SERVE }, OFFICE_NONE,
	    EX_CONFIG, { "no configuration", "[smarthost]" }, 0 },
	{ "no file, and a service that hangs up: 75", false, ABSENT, true, { HANG_UP }, OFFICE_NONE,
	    EX_TEMPFAIL, { "hung up", "socket", "systemctl restart" }, 1 },
	{ "that is busy", false, ABSENT, true, { BUSY }, OFFICE_NONE, EX_TEMPFAIL, { "busy" }, 1 },
	{ "of another version", false, ABSENT, true, { OTHER_VERSION }, OFFICE_NONE, EX_TEMPFAIL,
	    { "subpost 2", "restart" }, 1 },
	{ "or something else", false, ABSENT, true, { NOISE }, OFFICE_NONE, EX_TEMPFAIL,
	    { "not understood" }, 1 },
	{ "no service, and a system's file that is wrong: 75, and both are told", false, WRONG, false,
	    { SERVE }, OFFICE_NONE, EX_TEMPFAIL, { "systemctl start", "etc/subpost.ini", "host" }, 0 },
};

static void
check_find(size_t i)
{
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	enum outcome r = office_open(&o, &why);

	if (o.kind != finds[i].kind || outcome_exit(r, &why) != finds[i].exit)
		fail_msg("%s: kind %d, exit %d, %s", finds[i].name, o.kind, outcome_exit(r, &why), why.text);
	for (size_t w = 0; w < 3 && finds[i].words[w] != NULL; w++)
		if (strstr(r == DONE ? buf_c(&o.reason) : why.text, finds[i].words[w]) == NULL)
			fail_msg("%s: \"%s\" is not in: %s", finds[i].name, finds[i].words[w],
			    r == DONE ? buf_c(&o.reason) : why.text);
	if (o.kind == OFFICE_SERVICE)
		assert_string_equal(o.config.smarthost.from, "box@x.example");
	office_close(&o);
	office_close(&o);
	if (seen->calls != finds[i].calls)
		fail_msg("%s: %u calls", finds[i].name, seen->calls);
}

static void
the_office_is_found_in_four_steps(void **state)
{
	for (size_t i = 0; i < COUNT(finds); i++) {
		pid_t pid = 0;

		clear(state);
		if (finds[i].own)
			write_own();
		if (finds[i].system != ABSENT)
			write_file("etc/subpost.ini", finds[i].system == GOOD ? good : "[smarthost]\n");
		if (finds[i].there)
			pid = open_service(finds[i].acts);
		check_find(i);
		if (pid > 0)
			close_service(pid);
		unlink("etc/subpost.ini");
		unlink(".config/subpost/subpost.ini");
		/* A queue belongs to one configuration. */
		assert_int_equal(system("rm -rf .local"), 0);
	}
}

static void
a_file_named_by_the_environment_counts_before_all(void **state)
{
	const enum act acts[CALLS] = { SERVE };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	pid_t pid = open_service(acts);

	(void)state;
	write_file("named.ini", good);
	setenv("SUBPOST_CONFIG", "named.ini", 1);
	assert_int_equal(office_look(&o, &why), DONE);
	assert_int_equal(o.kind, OFFICE_OWN);
	assert_non_null(strstr(buf_c(&o.reason), "SUBPOST_CONFIG names"));
	/* Who only looks makes no queue. */
	assert_int_equal(o.spool.dir, -1);
	office_close(&o);
	unsetenv("SUBPOST_CONFIG");
	assert_int_equal(seen->calls, 0);
	close_service(pid);
}

/* The kernel keeps a caller waiting in connect() when nobody takes the calls. */
static void
nobody_takes_the_call_is_75_within_two_seconds(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	int fd = listen_at("socket", 0), calls[10], n = 0;
	double begun, took;

	(void)state;
	do
		calls[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (connect(calls[n++], (struct sockaddr *)&address, sizeof address) == 0 && n < 10);
	assert_in_range(n, 2, 9);
	begun = clock_now();
	assert_int_equal(office_open(&o, &why), LATER);
	took = clock_now() - begun;
	assert_int_equal(outcome_exit(LATER, &why), EX_TEMPFAIL);
	if (took < DESK_CONNECT_TIME - 0.5 || took > DESK_CONNECT_TIME + 1)
		fail_msg("it took %.1f s", took);
	office_close(&o);
	while (n > 0)
		close(calls[--n]);
	close(fd);
	unlink("socket");
}

/* A clerk who leaves has left, or has answered: what follows is not a race. */
static void
see_him_leave(const struct office *o, enum act act)
{
	struct pollfd p = { .fd = o->desk.fd, .events = POLLIN };

	seen->may_leave = true;
	if (act == LEAVE || act == HASTY)
		assert_int_equal(poll(&p, 1, 10000), 1);
}

/* ---- a message ---------------------------------------------------------------------- */

static char from[] = "a@x.example", to[] = "b@y.example";
static struct recipient one = { .address = to };

/* Brings a text of that size, in pieces; *crc is that of what was brought. */
static enum outcome
bring(struct office *o, size_t size, size_t piece, long wait, uint32_t *crc, struct why *why)
{
	struct envelope e = { .arrived = 1795576000, .uid = 7, .from = from, .to = &one, .n = 1 };
	char *text = mem_alloc(size + 1);
	enum outcome r;

	for (size_t i = 0; i < size; i++)
		text[i] = i % 64 == 63 ? '\n' : (char)('a' + i * 7 % 26 + i / 64 % 3);
	*crc = codec_crc32c(0, text, size);
	r = office_begin(o, &e, why);
	for (size_t at = 0; r == DONE && at < size; at += piece)
		r = office_text(o, str_from(text + at, size - at < piece ? size - at : piece), why);
	if (r == DONE)
		r = office_commit(o, wait, false, why);
	free(text);
	return r;
}

static const struct {
	const char *name;
	enum act acts[CALLS];
	size_t size, piece;
	long wait;
	int exit;
	const char *words;      /* in the reason */
	unsigned calls, messages;
} messages[] = {
	{ "a small one", { SERVE }, 700, 700, 0, 0, "", 1, 1 },
	{ "one without text", { SERVE }, 0, 1, 0, 0, "", 1, 1 },
	{ "one by the octet", { SERVE }, 70000, 1, 0, 0, "", 1, 1 },
	{ "one of two frames to the octet", { SERVE }, 2 * DESK_FRAME_MAX, 999, 0, 0, "", 1, 1 },
	{ "one that is too much for memory", { SERVE }, 3 * MIB + 17, 60000, 0, 0, "", 1, 1 },
	{ "one of large pieces", { SERVE }, 5 * MIB, 2 * MIB, 0, 0, "", 1, 1 },
	{ "no is no", { REFUSE }, 700, 700, 0, EX_NOPERM, "this sender is none of yours", 1, 0 },
	{ "no before it is read", { REFUSE_EARLY }, 8 * MIB, MIB, 0, EX_TEMPFAIL, "nearly full", 1, 0 },
	{ "no, and nobody there any more", { REFUSE_AND_LEAVE }, 8 * MIB, MIB, 0, EX_TEMPFAIL,
	    "nearly full", 1, 0 },
	{ "a clerk who has left is called again", { LEAVE, SERVE }, 700, 700, 0, 0, "", 2, 1 },
	{ "for a long one, too", { LEAVE, SERVE }, 3 * MIB, MIB, 0, 0, "", 2, 1 },
	{ "but once", { LEAVE, LEAVE, SERVE }, 700, 700, 0, EX_TEMPFAIL, "", 2, 0 },
	{ "what was said before is no answer", { HASTY, SERVE }, 700, 700, 0, 0, "", 2, 1 },
	{ "and what he is told then counts", { LEAVE, BUSY, SERVE }, 700, 700, 0, EX_TEMPFAIL,
	    "busy", 2, 0 },
	{ "one who dies over the text is not", { LEAVE_AT_TEXT, SERVE }, 700, 700, 0, EX_TEMPFAIL,
	    "may be queued", 1, 0 },
	{ "nor over a long one", { LEAVE_AT_TEXT, SERVE }, 8 * MIB, MIB, 0, EX_TEMPFAIL,
	    "may be queued", 1, 0 },
	{ "nor at its end: never two copies", { LEAVE_AT_END, SERVE }, 700, 700, 0, EX_TEMPFAIL,
	    "may be queued", 1, 1 },
	{ "a slow disk is waited for", { SLOW }, 2 * MIB, MIB, 0, 0, "", 1, 1 },
	{ "the outcome is waited for", { SERVE }, 700, 700, 30, EX_UNAVAILABLE, "no such user", 1, 1 },
	{ "and where nobody knows it, it stays queued", { LEAVE_WAITING }, 700, 700, 30, EX_TEMPFAIL,
	    "do not send it again", 1, 1 },
};

static void
check_message(size_t i, struct office *o)
{
	const char *name = messages[i].name;
	struct why why = { 0 };
	uint32_t crc;
	enum outcome r = bring(o, messages[i].size, messages[i].piece, messages[i].wait, &crc, &why);

	if (r == DONE) {
		assert_string_equal(o->id, ID);
		assert_int_equal(office_release(o, &why), DONE);
		if (seen->size != messages[i].size || seen->crc != crc)
			fail_msg("%s: the text is not the same", name);
		if (strstr(seen->envelope, "\nfrom a@x.example\nto b@y.example\n\n") == NULL)
			fail_msg("%s: envelope %s", name, seen->envelope);
		r = office_await(o, &why);
	}
	office_drop(o);
	if (outcome_exit(r, &why) != messages[i].exit || strstr(why.text, messages[i].words) == NULL)
		fail_msg("%s: exit %d, %s", name, outcome_exit(r, &why), why.text);
	if (seen->calls != messages[i].calls || seen->messages != messages[i].messages || seen->odd)
		fail_msg("%s: %u calls, %u messages%s", name, seen->calls, seen->messages,
		    seen->odd ? ", and something odd" : "");
	assert_string_equal(seen->end, messages[i].wait > 0 && r != DONE ? "wait 30" : "");
}

static void
a_message_gets_there_once_or_not_at_all(void **state)
{
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct office o = OFFICE_INIT;
		struct why why = { 0 };
		pid_t pid;

		clear(state);
		pid = open_service(messages[i].acts);
		assert_int_equal(office_open(&o, &why), DONE);
		see_him_leave(&o, messages[i].acts[0]);
		check_message(i, &o);
		office_close(&o);
		close_service(pid);
	}
}

static void
whoever_is_refused_may_bring_the_next_one(void **state)
{
	const enum act acts[CALLS] = { REFUSE_AND_LEAVE, REFUSE_EARLY, SERVE };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	pid_t pid = open_service(acts);
	uint32_t crc;

	(void)state;
	assert_int_equal(office_open(&o, &why), DONE);
	assert_int_equal(bring(&o, 3 * MIB, MIB, 0, &crc, &why), LATER);
	assert_int_equal(bring(&o, 3 * MIB, MIB, 0, &crc, &why), LATER);
	assert_int_equal(bring(&o, 3 * MIB, MIB, 0, &crc, &why), DONE);
	assert_int_equal(seen->messages, 1);
	assert_int_equal(seen->crc, crc);
	assert_false(seen->odd);
	office_close(&o);
	close_service(pid);
}

static void
a_thousand_messages_need_one_call(void **state)
{
	const enum act acts[CALLS] = { SERVE };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	pid_t pid = open_service(acts);
	uint32_t crc;

	(void)state;
	assert_int_equal(office_open(&o, &why), DONE);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(bring(&o, 500 + i, 200, 0, &crc, &why), DONE);
		assert_int_equal(office_release(&o, &why), DONE);
		assert_int_equal(seen->crc, crc);
	}
	assert_int_equal(seen->messages, 1000);
	assert_int_equal(seen->calls, 1);
	office_close(&o);
	close_service(pid);
}

static void
what_is_dropped_was_never_heard_of(void **state)
{
	const enum act acts[CALLS] = { SERVE };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	struct envelope e = { .from = from, .to = &one, .n = 1 };
	char *large = mem_alloc(MIB);
	pid_t pid = open_service(acts);
	uint32_t crc;

	(void)state;
	assert_int_equal(office_open(&o, &why), DONE);
	assert_int_equal(office_begin(&o, &e, &why), DONE);
	assert_true(envelope_is_id(str_of(e.id)));
	assert_int_equal(office_text(&o, str_from(memset(large, 'x', MIB), MIB), &why), DONE);
	office_drop(&o);
	assert_int_equal(bring(&o, 100, 100, 0, &crc, &why), DONE);
	assert_int_equal(seen->size, 100);
	assert_int_equal(seen->messages, 1);
	office_close(&o);
	close_service(pid);
	free(large);
}

/* ---- questions ------------------------------------------------------------------------ */

static void
questions_go_as_lines_and_come_back_as_text(void **state)
{
	const enum act acts[CALLS] = { LEAVE, SERVE };
	char *const words[] = { (char[]){ "show" }, (char[]){ ID }, NULL };
	char *const bad[] = { (char[]){ "show" }, (char[]){ "x\ndelete" }, NULL };
	struct office o = OFFICE_INIT;
	struct why why = { 0 };
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	pid_t pid = open_service(acts);

	(void)state;
	assert_int_equal(office_open(&o, &why), DONE);
	see_him_leave(&o, acts[0]);
	assert_int_equal(office_ask(&o, bad, out, &why), NEVER);
	assert_int_equal(outcome_exit(NEVER, &why), EX_USAGE);
	assert_int_equal(seen->questions, 0);
	assert_int_equal(office_ask(&o, words, out, &why), NEVER);
	assert_int_equal(outcome_exit(NEVER, &why), EX_NOINPUT);
	fclose(out);
	assert_string_equal(text, "a table\n");
	assert_string_equal(seen->question, "show\n" ID);
	free(text);
	office_close(&o);
	close_service(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_office_is_found_in_four_steps, clear),
		cmocka_unit_test_setup(a_file_named_by_the_environment_counts_before_all, clear),
		cmocka_unit_test_setup(nobody_takes_the_call_is_75_within_two_seconds, clear),
		cmocka_unit_test_setup(a_message_gets_there_once_or_not_at_all, clear),
		cmocka_unit_test_setup(whoever_is_refused_may_bring_the_next_one, clear),
		cmocka_unit_test_setup(a_thousand_messages_need_one_call, clear),
		cmocka_unit_test_setup(what_is_dropped_was_never_heard_of, clear),
		cmocka_unit_test_setup(questions_go_as_lines_and_come_back_as_text, clear),
	};

	/* A service that dies must not take the test with it: push() keeps the signal away,
	 * and this shows it. */
	signal(SIGPIPE, SIG_DFL);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
