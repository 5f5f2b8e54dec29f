/* clerk: whatever a caller says, it is answered, and costs nobody but the caller. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "clerk.h"
#include "desk.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LIMIT 20000             /* ms that a clerk may take for anything here */
#define FRAMES 20000            /* that are thrown, unless CLERK_FRAMES says otherwise */
#define OTHER_ID "0GT2C3D4E5F6AAAAAAAA"
#define UID 4711

struct world {
	char root[64], dir[96], aside[96];
	struct spool s;
	struct fence fence;
	struct usage *usage;
	struct config config;
	char texts[7][40];
	struct clerk clerk;
	bool seek_leaks;        /* a sanitizer does, when the clerk ends */
	int box;                /* where a runner would be woken */
	struct why why;
};

/* ---- the world -------------------------------------------------------------------- */

static void
listen_for_wakes(struct world *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof a.sun_path, "%.90s/runner", w->dir);
	w->box = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(w->box, (struct sockaddr *)&a, sizeof a), 0);
}

static char *
text(struct world *w, int i, const char *s)
{
	snprintf(w->texts[i], sizeof w->texts[i], "%s", s);
	return w->texts[i];
}

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	struct buf missing = { 0 };

	/* In memory, where it is to be had: thousands of messages are committed here. */
	snprintf(w->root, sizeof w->root, "%s/subpost-clerk-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(w->root) == NULL)
		return -1;
	snprintf(w->dir, sizeof w->dir, "%s/spool", w->root);
	w->s = (struct spool)SPOOL_INIT;
	*state = w;
	if (spool_open(&w->s, w->dir, "/etc/subpost/subpost.ini", &w->why) != DONE)
		return -1;
	listen_for_wakes(w);
	w->fence = (struct fence)FENCE_INIT;
	fence_make(&w->fence, w->dir, &missing);
	buf_free(&missing);
	w->usage = usage_make();
	w->config = (struct config){ .smarthost = { .name = text(w, 0, "default"), .senders = text(w, 1, ""),
		.recipients = text(w, 6, "") },
		.domain = text(w, 2, "example.org"), .hostname = text(w, 3, "host.example.org"),
		.path = text(w, 4, "/etc/subpost/subpost.ini"), .received = true, .max_size = 1 << 20,
		.max_recipients = 100, .service = { .user_messages = 10 } };
	w->clerk = (struct clerk){ .uid = UID, .config = &w->config, .whole = &w->config, .spool = &w->s,
		.usage = w->usage, .fence = &w->fence };
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	close(w->box);
	spool_close(&w->s);
	fence_free(&w->fence);
	usage_free(w->usage);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* What lies in a part of the spool. */
static size_t
count_in(const struct world *w, const char *part)
{
	char path[128];
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof path, "%s/%s", w->dir, part);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

/* ---- a caller ------------------------------------------------------------------------ */

struct caller {
	struct desk desk;
	pid_t pid;
	struct buf heard;       /* "never 65, closed": what was answered, in short */
	struct buf said;        /* the last answer's text */
	struct buf printed;     /* o and s frames */
	char id[ENVELOPE_ID_LEN + 1];
};

static void
come(struct world *w, struct caller *c)
{
	int pair[2];

	*c = (struct caller){ .desk = DESK_INIT };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fflush(NULL);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		int status;

		close(pair[0]);
		w->clerk.fd = pair[1];
		status = clerk_serve(&w->clerk);
		if (w->seek_leaks)
			exit(status);
		_exit(status);
	}
	close(pair[1]);
	c->desk.fd = pair[0];
}

/* The clerk's end: it must have left by itself, in peace. */
static void
part(struct caller *c)
{
	struct pollfd p = { .fd = c->desk.fd, .events = POLLIN };
	int status = -1;

	if (c->desk.fd >= 0) {
		shutdown(c->desk.fd, SHUT_WR);
		/* It writes no more, and closes. */
		while (poll(&p, 1, LIMIT) > 0) {
			char rest[4096];

			if (recv(c->desk.fd, rest, sizeof rest, 0) <= 0)
				break;
		}
	}
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	if (status != 0)
		fail_msg("the clerk ended with wait status %#x", (unsigned)status);
	desk_close(&c->desk);
	buf_free(&c->heard);
	buf_free(&c->said);
	buf_free(&c->printed);
}

static void
say(struct caller *c, char kind, struct str words)
{
	/* Who has hung up need not hear it. */
	desk_write(c->desk.fd, (enum desk_kind)kind, words);
}

static void
say_raw(struct caller *c, struct str octets)
{
	(void)!send(c->desk.fd, octets.p, octets.len, MSG_NOSIGNAL);
}

static void
note_answer(struct caller *c, struct str answer)
{
	struct str outcome = str_word(&answer), exit = str_word(&answer), id = str_word(&answer);

	buf_addf(&c->heard, "%s%.*s %.*s", c->heard.len > 0 ? ", " : "", (int)outcome.len, outcome.p,
	    (int)exit.len, exit.p);
	snprintf(c->id, sizeof c->id, "%.*s", (int)id.len, id.p);
	buf_clear(&c->said);
	buf_addstr(&c->said, answer);
}

/* Hears one answer; false when there comes none any more. */
static bool
hear(struct caller *c)
{
	struct desk_frame f;
	enum desk_got got;

	while ((got = desk_read(&c->desk, LIMIT, &f)) == DESK_FRAME) {
		if (f.kind == DESK_ANSWER) {
			note_answer(c, f.text);
			return true;
		}
		assert_true(f.kind == DESK_OUT || f.kind == DESK_SHOWN);
		buf_addstr(&c->printed, f.text);
	}
	buf_addf(&c->heard, "%s%s", c->heard.len > 0 ? ", " : "", got == DESK_CLOSED ? "closed" :
	    got == DESK_SILENT ? "silent" : "broken");
	return false;
}

static void
expect_heard(struct caller *c, const char *want)
{
	if (strcmp(buf_c(&c->heard), want) != 0)
		fail_msg("heard \"%s\" (%s), not \"%s\"", buf_c(&c->heard), buf_c(&c->said), want);
}

static void
expect_said(const struct caller *c, const char *words)
{
	if (strstr(buf_c(&c->said), words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", buf_c(&c->said), words);
}

/* An envelope that says of itself what nobody shall believe. */
static void
put_envelope(struct buf *out, const char *from, const char *to, size_t n)
{
	char *sender = mem_dup(str_of(from)), *address = mem_dup(str_of(to));
	struct recipient *v = mem_alloc(n * sizeof *v);
	struct envelope e = { .id = OTHER_ID, .arrived = 1, .uid = 0, .from = sender, .to = v, .n = n };

	for (size_t i = 0; i < n; i++)
		v[i].address = address;
	envelope_write(&e, out);
	free(v);
	free(address);
	free(sender);
}

static void
say_envelope(struct caller *c, const char *from, size_t n)
{
	struct buf e = { 0 };

	put_envelope(&e, from, "b@example.org", n);
	say(c, 'e', buf_str(&e));
	buf_free(&e);
}

static void
bring(struct caller *c, struct str words, struct str end)
{
	say_envelope(c, "a@example.org", 1);
	say(c, 't', words);
	say(c, 'z', end);
}

/* The text of the one message that is queued, and its head. */
static void
read_queued(struct world *w, const char *id, struct letter *l, struct buf *out)
{
	char chunk[4096];
	ssize_t n;

	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, id, l, &w->why), DONE);
	assert_false(l->damaged);
	for (off_t at = spool_text_at(l); (n = pread(l->fd, chunk, sizeof chunk, at)) > 0; at += n)
		buf_add(out, chunk, (size_t)n);
}

static const char *
woken(struct world *w)
{
	static char words[256];
	ssize_t n = recv(w->box, words, sizeof words - 1, 0);

	words[n > 0 ? n : 0] = '\0';
	return words;
}

/* ---- messages ------------------------------------------------------------------------------ */

#define TEXT "Subject: x\n\nbody\n"

static void
a_message_is_queued_as_the_kernel_names_its_sender(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct buf got = { 0 }, want = { 0 };
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	read_queued(w, c.id, &l, &got);
	assert_int_equal(l.envelope.uid, UID);
	assert_string_not_equal(c.id, OTHER_ID);
	assert_true(l.envelope.arrived > time(NULL) - 60);
	assert_string_equal(l.envelope.from, "a@example.org");
	assert_string_equal(l.envelope.to[0].address, "b@example.org");
	buf_addf(&want, "Received: by host.example.org (subpost, from uid %d) id\n %s; ", UID, c.id);
	assert_memory_equal(got.p, want.p, want.len);
	assert_string_equal(strchr(got.p + want.len, '\n') + 1, TEXT);
	buf_clear(&want);
	buf_addf(&want, "wake %s %d", c.id, UID);
	part(&c);
	assert_string_equal(woken(w), buf_c(&want));
	spool_letter_free(&l);
	buf_free(&got);
	buf_free(&want);
}

static void
one_whom_nobody_knows_may_send_and_is_called_that(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct buf got = { 0 };
	struct caller c;

	w->clerk.unknown = true;
	w->clerk.uid = 65534;
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	read_queued(w, c.id, &l, &got);
	assert_non_null(strstr(buf_c(&got), "from an unknown uid)"));
	part(&c);
	spool_letter_free(&l);
	buf_free(&got);
}

static void
received_can_be_left_out_and_the_text_is_made_canonical(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct buf got = { 0 };
	struct caller c;

	w->config.received = false;
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	say_envelope(&c, "", 1);
	say(&c, 't', STR("Subject: x\r"));
	say(&c, 't', STR("\n\r\nbo\rdy\n.\n"));
	say(&c, 'z', STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	read_queued(w, c.id, &l, &got);
	assert_string_equal(buf_c(&got), "Subject: x\n\nbo\rdy\n.\n");
	part(&c);
	spool_letter_free(&l);
	buf_free(&got);
}

static void
many_come_over_one_connection_and_a_refused_one_is_between_them(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	say_envelope(&c, "a@example.org", 101);
	say(&c, 't', STR(TEXT));
	say(&c, 't', STR(TEXT));
	say(&c, 'z', STR(""));
	say_envelope(&c, "a@example.org", 1);
	say(&c, 't', STR(TEXT));
	say(&c, 'd', STR(""));
	say(&c, 'd', STR(""));
	/* In pieces, and without text. */
	say(&c, 'e', STR("id " OTHER_ID "\narrived 1\nuid 0\nfr"));
	say(&c, 'e', STR("om a@example.org\nto b@example.org\n\n"));
	say(&c, 'z', STR(""));
	for (int i = 0; i < 3; i++)
		assert_true(hear(&c));
	expect_heard(&c, "done 0, never 65, done 0");
	assert_int_equal(count_in(w, "queue"), 2);
	part(&c);
}

static void
what_is_not_to_be_taken_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		const char *name;
		void (*set)(struct world *w);
		const char *from;
		size_t recipients;
		struct str text;
		const char *want, *said;
	} *r, rows[] = {
		{ "a NUL", NULL, "a@example.org", 1, { "a\0b", 3 }, "never 65", "NUL" },
		{ "a sender with a space", NULL, "a b@example.org", 1, { "x\n", 2 }, "never 65", "sender" },
		{ "a sender that is no UTF-8", NULL, "\xff@example.org", 1, { "x\n", 2 }, "never 65", "UTF-8" },
		{ "too many recipients", NULL, "a@example.org", 101, { "x\n", 2 }, "never 65",
		    "max-recipients in /etc/subpost/subpost.ini" },
		{ "an envelope far too large", NULL, "a@example.org", 20000, { "x\n", 2 }, "never 65",
		    "send to fewer" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf e = { 0 };
		struct caller c;

		r = &rows[i];
		print_message("# %s\n", r->name);
		come(w, &c);
		say(&c, 'h', STR(DESK_HELLO_TEXT));
		put_envelope(&e, r->from, "b@example.org", r->recipients);
		say(&c, 'e', buf_str(&e));
		say(&c, 't', r->text);
		say(&c, 'z', STR(""));
		buf_free(&e);
		assert_true(hear(&c));
		expect_heard(&c, r->want);
		expect_said(&c, r->said);
		part(&c);
		assert_int_equal(count_in(w, "queue"), 0);
	}
}

/* An envelope with wishes of when; the clerk's answer, and what is queued of it. */
static void
expect_wishes(struct world *w, struct wishes wishes, const char *want, struct wishes kept)
{
	char from[] = "a@example.org", address[] = "b@example.org";
	struct recipient to = { .address = address };
	struct envelope e = { .id = OTHER_ID, .from = from, .to = &to, .n = 1, .wishes = wishes };
	struct letter l = LETTER_INIT;
	struct buf text = { 0 };
	struct caller c;

	envelope_write(&e, &text);
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	say(&c, 'e', buf_str(&text));
	say(&c, 't', STR(TEXT));
	say(&c, 'z', STR(""));
	assert_true(hear(&c));
	expect_heard(&c, want);
	if (strcmp(want, "done 0") == 0) {
		assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, c.id, &l, &w->why), DONE);
		assert_int_equal(l.envelope.wishes.priority, kept.priority);
		assert_int_equal(l.envelope.wishes.hold_until, kept.hold_until);
		assert_int_equal(l.envelope.wishes.by_seconds, kept.by_seconds);
		spool_letter_free(&l);
	}
	part(&c);
	buf_free(&text);
}

static void
wishes_of_when_are_kept_and_only_operators_go_before_others(void **state)
{
	struct world *w = *state;
	time_t now = time(NULL), later = now + DSN_HOLD_MAX - 60;

	expect_wishes(w, (struct wishes){ .priority = 5 }, "done 0", (struct wishes){ 0 });
	expect_wishes(w, (struct wishes){ .priority = -5 }, "done 0", (struct wishes){ .priority = -5 });
	expect_wishes(w, (struct wishes){ .hold_until = later }, "done 0", (struct wishes){ .hold_until = later });
	expect_wishes(w, (struct wishes){ .hold_until = now + DSN_HOLD_MAX + 600 }, "never 65", (struct wishes){ 0 });
	expect_wishes(w, (struct wishes){ .by = DSN_BY_RETURN, .by_seconds = 9 }, "done 0",
	    (struct wishes){ .by_seconds = 9 });
	w->clerk.operator = true;
	expect_wishes(w, (struct wishes){ .priority = 5 }, "done 0", (struct wishes){ .priority = 5 });
}

/* Brings one message, and hears what that was answered. */
static void
expect_answer(struct world *w, struct str words, const char *want, const char *said)
{
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, words, STR(""));
	assert_true(hear(&c));
	expect_heard(&c, want);
	expect_said(&c, said);
	part(&c);
}

static void
the_policy_is_asked_again(void **state)
{
	struct world *w = *state;

	snprintf(w->texts[1], sizeof w->texts[1], "*@example.net");
	expect_answer(w, STR(TEXT), "never 77", "senders in /etc/subpost/subpost.ini");
	w->config.smarthost.force_from = true;
	expect_answer(w, STR(TEXT), "done 0", "");
	snprintf(w->texts[6], sizeof w->texts[6], "*@example.net");
	expect_answer(w, STR(TEXT), "never 77", "no account carries mail from ");
}

static void
a_message_over_max_size_is_refused_while_it_comes(void **state)
{
	struct world *w = *state;
	struct buf big = { 0 };
	struct caller c;

	while (big.len < 60000)
		buf_adds(&big, "a line of forty octets, or nearly so....\n");
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	say_envelope(&c, "a@example.org", 1);
	for (int i = 0; i < 19; i++)
		say(&c, 't', buf_str(&big));
	/* Before its end has been said. */
	assert_true(hear(&c));
	expect_heard(&c, "never 69");
	expect_said(&c, "max-size");
	say(&c, 'z', STR(""));
	bring(&c, STR(TEXT), STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "never 69, done 0");
	part(&c);
	buf_free(&big);
}

static void
who_has_much_waiting_or_comes_too_fast_is_put_off(void **state)
{
	struct world *w = *state;

	usage_set(w->usage, UID, 9);
	usage_set(w->usage, UID + 1, 10);
	expect_answer(w, STR(TEXT), "done 0", "");
	usage_set(w->usage, UID, 10);
	expect_answer(w, STR(TEXT), "later 75", "10 messages of yours wait already");
	usage_set(w->usage, UID, 0);
	w->config.service.user_rate = (struct rate){ 2, 3600 };
	expect_answer(w, STR(TEXT), "done 0", "");
	expect_answer(w, STR(TEXT), "done 0", "");
	expect_answer(w, STR(TEXT), "later 75", "2/h");
	w->clerk.uid = UID + 2;
	expect_answer(w, STR(TEXT), "done 0", "");
}

/* ---- rules that are broken -------------------------------------------------------------------- */

/* '!' stands for these octets as they are; all others are frames of that kind. */
struct step {
	char kind;
	struct str text;
};

#define S(k, literal) { k, { "" literal, sizeof(literal) - 1 } }
#define HELLO S('h', DESK_HELLO_TEXT)
#define GOOD S('e', "id " OTHER_ID "\narrived 1\nuid 0\nfrom a@example.org\nto b@example.org\n\n")

static const struct {
	const char *name;
	struct step steps[6];
	const char *want;
	bool silent;            /* and then nothing, instead of the end */
} broken[] = {
	{ "nothing", { { 0 } }, "closed", false },
	{ "nothing, for long", { { 0 } }, "closed", true },
	{ "random octets", { S('!', "\x93\x11\xf0 random \xff") }, "never 76, closed", false },
	{ "a kind that is none", { S('!', "H\0\0\x01x") }, "never 76, closed", false },
	{ "HTTP", { S('!', "GET / HTTP/1.1\r\n\r\n") }, "never 76, closed", false },
	{ "SMTP", { S('!', "EHLO x\r\n") }, "never 76, closed", false },
	{ "half a head, then silence", { S('!', "h\0") }, "later 75, closed", true },
	{ "half a frame, then silence", { S('!', "h\0\0\x09subp") }, "later 75, closed", true },
	{ "half a frame, then the end", { S('!', "h\0\0\x09subp") }, "closed", false },
	{ "a huge length", { HELLO, S('!', "t\xff\xff\xff") }, "never 76, closed", false },
	{ "one octet over the longest", { HELLO, S('!', "e\x01\0\x01") }, "never 76, closed", false },
	{ "no hello", { GOOD }, "never 76, closed", false },
	{ "a future version", { S('h', "subpost 2") }, "later 75, closed", false },
	{ "an empty hello", { S('h', "") }, "later 75, closed", false },
	{ "a hello with a line end", { S('h', "subpost 1\n") }, "later 75, closed", false },
	{ "two hellos", { HELLO, HELLO }, "never 76, closed", false },
	{ "text without an envelope", { HELLO, S('t', "x") }, "never 76, closed", false },
	{ "an end without a beginning", { HELLO, S('z', "") }, "never 76, closed", false },
	{ "an envelope behind its text", { HELLO, GOOD, S('t', "x"), GOOD }, "never 76, closed", false },
	{ "a question amid a message", { HELLO, GOOD, S('v', "list") }, "never 76, closed", false },
	{ "and amid its text", { HELLO, GOOD, S('t', "x"), S('v', "list") }, "never 76, closed", false },
	{ "words of the service", { HELLO, S('a', "done 0 - ") }, "never 76, closed", false },
	{ "an end with other words", { HELLO, GOOD, S('z', "now") }, "never 76, closed", false },
	{ "an envelope of nothing", { HELLO, S('e', ""), S('z', "") }, "never 65, closed", false },
	{ "an envelope of nonsense", { HELLO, S('e', "nonsense"), S('z', "") }, "never 65, closed", false },
	{ "one with a NUL", { HELLO, S('e', "id\0"), S('t', "x"), S('z', "") }, "never 65, closed", false },
	{ "one without recipients", { HELLO, S('e', "id " OTHER_ID "\narrived 1\nuid 0\nfrom a@b.example\n\n"),
	    S('z', "") }, "never 65, closed", false },
	{ "one with words behind it", { HELLO, GOOD, S('e', "to c@example.org\n\n"), S('z', "") },
	    "never 65, closed", false },
	{ "a message without its end", { HELLO, GOOD, S('t', "Subject: x\n") }, "closed", false },
	{ "one amid which it is silent", { HELLO, GOOD, S('t', "Subject: x\n") }, "later 75, closed", true },
	{ "one that is dropped", { HELLO, GOOD, S('t', "x"), S('d', "") }, "closed", false },
	{ "a refused one without its end", { HELLO, GOOD, S('t', "\0") }, "never 65, closed", false },
	{ "a refused one and then a question", { HELLO, GOOD, S('t', "\0"), S('v', "list") },
	    "never 65, never 76, closed", false },
	{ "no words in a question", { HELLO, S('v', "") }, "never 64, closed", false },
	{ "control octets in a question", { HELLO, S('v', "show\n\033[2J") }, "never 64, closed", false },
	{ "a verb that is none", { HELLO, S('v', "frobnicate") }, "never 64, closed", false },
};

static void
who_breaks_the_rules_is_told_and_leaves_nothing(void **state)
{
	struct world *w = *state;

	w->clerk.idle_ms = 150;
	for (size_t i = 0; i < COUNT(broken); i++) {
		struct caller c;

		print_message("# %s\n", broken[i].name);
		come(w, &c);
		for (const struct step *s = broken[i].steps; s->kind != 0; s++)
			if (s->kind == '!')
				say_raw(&c, s->text);
			else
				say(&c, s->kind, s->text);
		if (!broken[i].silent)
			shutdown(c.desk.fd, SHUT_WR);
		while (hear(&c))
			;
		expect_heard(&c, broken[i].want);
		part(&c);
		assert_int_equal(count_in(w, "queue") + count_in(w, "tmp"), 0);
	}
}

static void
two_ends_are_one_too_many_and_the_message_is_kept(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	say(&c, 'z', STR(""));
	while (hear(&c))
		;
	expect_heard(&c, "done 0, never 76, closed");
	part(&c);
	assert_int_equal(count_in(w, "queue"), 1);
}

static void
descriptors_that_come_along_stay_outside(void **state)
{
	enum { MANY = 250 };
	struct world *w = *state;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(MANY * sizeof(int))];
	} control = { .room = "" };
	char hello[] = "h\0\0\x09" DESK_HELLO_TEXT;
	struct iovec v = { hello, sizeof hello - 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control };
	int fds[MANY], pipe_ends[2];
	char octet;
	struct caller c;

	assert_int_equal(pipe(pipe_ends), 0);
	for (int i = 0; i < MANY; i++)
		fds[i] = pipe_ends[1];
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof fds) };
	come(w, &c);
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, sizeof fds);
	assert_int_equal(sendmsg(c.desk.fd, &m, 0), sizeof hello - 1);
	bring(&c, STR(TEXT), STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	part(&c);
	/* Nobody has the pipe open for writing any more, or its end would not be seen. */
	close(pipe_ends[1]);
	assert_int_equal(read(pipe_ends[0], &octet, 1), 0);
	close(pipe_ends[0]);
}

static void
who_says_an_octet_now_and_then_is_not_listened_to_for_ever(void **state)
{
	struct world *w = *state;
	struct pollfd p;
	struct caller c;
	int i;

	w->clerk.total_ms = 300;
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	say_envelope(&c, "a@example.org", 1);
	say_raw(&c, STR("t\x01\0\0"));
	p = (struct pollfd){ .fd = c.desk.fd, .events = POLLIN };
	for (i = 0; i < LIMIT / 20 && poll(&p, 1, 20) == 0; i++)
		say_raw(&c, STR("x"));
	assert_in_range(i, 5, 500);
	while (hear(&c))
		;
	expect_heard(&c, "later 75, closed");
	part(&c);
	assert_int_equal(count_in(w, "queue"), 0);
}

/* All that was said has been taken out of the socket. */
static void
wait_until_read(struct caller *c)
{
	const struct timespec pause = { 0, 1000000 };
	int unread = 1;

	for (int i = 0; i < LIMIT && unread > 0; i++) {
		nanosleep(&pause, NULL);
		assert_int_equal(ioctl(c->desk.fd, SIOCOUTQ, &unread), 0);
	}
	assert_int_equal(unread, 0);
}

/* The signal has been taken, and the clerk sleeps again. */
static void
wait_until_taken(const struct caller *c)
{
	const struct timespec pause = { 0, 1000000 };
	char path[40], status[4096] = "";
	bool taken = false;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)c->pid);
	for (int i = 0; i < LIMIT && !taken; i++) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, status, sizeof status - 1);

		close(fd);
		status[n > 0 ? n : 0] = '\0';
		taken = strstr(status, "\nState:\tS") != NULL &&
		    strstr(status, "\nShdPnd:\t0000000000000000\n") != NULL;
		nanosleep(&pause, NULL);
	}
	assert_true(taken);
}

/* ---- going ------------------------------------------------------------------------------------------ */

static void
a_clerk_that_is_to_leave_finishes_what_has_begun(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	/* Answered, so the envelope of the next can be known to have been read. */
	say_envelope(&c, "a@example.org", 101);
	say(&c, 't', STR("x"));
	assert_true(hear(&c));
	kill(c.pid, SIGTERM);
	say(&c, 'z', STR(""));
	while (hear(&c))
		;
	expect_heard(&c, "never 65, closed");
	part(&c);
	assert_int_equal(count_in(w, "queue"), 0);

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	say_envelope(&c, "a@example.org", 1);
	say_raw(&c, STR("t\0"));
	wait_until_read(&c);
	/* Read in another turn than what is before it. */
	say_raw(&c, STR("\0\x03x"));
	wait_until_read(&c);
	kill(c.pid, SIGTERM);
	wait_until_taken(&c);
	say_raw(&c, STR("y\n"));
	say(&c, 'z', STR(""));
	while (hear(&c))
		;
	expect_heard(&c, "done 0, done 0, closed");
	part(&c);
	assert_int_equal(count_in(w, "queue"), 2);
}

static void
what_came_before_a_clerk_was_to_leave_is_taken(void **state)
{
	struct world *w = *state;
	struct caller c;
	sigset_t term;

	/* As the service does it, so that none comes before the clerk has its handlers. */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	come(w, &c);
	kill(c.pid, SIGSTOP);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	kill(c.pid, SIGTERM);
	kill(c.pid, SIGCONT);
	while (hear(&c))
		;
	expect_heard(&c, "done 0, closed");
	part(&c);
	assert_int_equal(count_in(w, "queue"), 1);
}

static void
one_at_rest_leaves_at_once(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR(""));
	assert_true(hear(&c));
	kill(c.pid, SIGTERM);
	while (hear(&c))
		;
	expect_heard(&c, "done 0, closed");
	part(&c);
}

/* ---- waiting for the outcome --------------------------------------------------------------------------- */

static void
who_waits_hears_twice(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR("wait 20"));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	/* The runner has sent it; first it must have been let go of. */
	assert_int_equal(poll(&(struct pollfd){ .fd = w->box, .events = POLLIN }, 1, LIMIT), 1);
	assert_int_equal(unlinkat(w->s.queue, c.id, 0), 0);
	assert_true(hear(&c));
	expect_heard(&c, "done 0, done 0");
	bring(&c, STR(TEXT), STR("wait 1"));
	assert_true(hear(&c));
	assert_true(hear(&c));
	expect_heard(&c, "done 0, done 0, done 0, later 75");
	expect_said(&c, "still queued");
	part(&c);
}

static void
who_looks_on_sees_the_dialogue(void **state)
{
	struct world *w = *state;
	char path[160];
	struct caller c;
	int fd;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR("wait 20 dialogue"));
	assert_true(hear(&c));
	assert_int_equal(poll(&(struct pollfd){ .fd = w->box, .events = POLLIN }, 1, LIMIT), 1);
	snprintf(path, sizeof path, "%s/trace/%s", w->dir, c.id);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, ">>> QUIT\n", 9), 9);
	close(fd);
	assert_int_equal(unlinkat(w->s.queue, c.id, 0), 0);
	assert_true(hear(&c));
	expect_heard(&c, "done 0, done 0");
	assert_string_equal(buf_c(&c.printed), ">>> QUIT\n");
	part(&c);
	assert_int_equal(count_in(w, "trace"), 0);
}

static void
nobody_waits_for_who_has_gone(void **state)
{
	struct world *w = *state;
	struct timespec begun, now;
	struct caller c;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR("wait 600"));
	assert_true(hear(&c));
	desk_close(&c.desk);
	part(&c);
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_true(now.tv_sec - begun.tv_sec < 60);
	assert_int_equal(count_in(w, "queue"), 1);
}

static void
the_end_of_the_service_ends_the_waiting(void **state)
{
	struct world *w = *state;
	struct caller c;

	come(w, &c);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	bring(&c, STR(TEXT), STR("wait 600"));
	assert_true(hear(&c));
	kill(c.pid, SIGTERM);
	while (hear(&c))
		;
	expect_heard(&c, "done 0, later 75, closed");
	part(&c);
}

/* ---- size -------------------------------------------------------------------------------------------------- */

static void
a_large_message_needs_no_memory(void **state)
{
	struct world *w = *state;
	struct buf piece = { 0 };
	struct rusage used = { 0 };
	struct caller c;
	int pair[2], status = -1;

	w->config.max_size = 64 << 20;
	while (piece.len < DESK_FRAME_MAX - 80)
		buf_adds(&piece, "a line of forty octets, or nearly so....\n");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	c = (struct caller){ .desk = { .fd = pair[0] }, .pid = fork() };
	if (c.pid == 0) {
		long before, after;

		close(pair[0]);
		w->clerk.fd = pair[1];
		getrusage(RUSAGE_SELF, &used);
		before = used.ru_maxrss;
		clerk_serve(&w->clerk);
		getrusage(RUSAGE_SELF, &used);
		after = used.ru_maxrss;
		_exit((int)((after - before) / 16 < 250 ? (after - before) / 16 : 250));
	}
	close(pair[1]);
	say(&c, 'h', STR(DESK_HELLO_TEXT));
	say_envelope(&c, "a@example.org", 1);
	for (size_t sent = 0; sent < 30 << 20; sent += piece.len)
		say(&c, 't', buf_str(&piece));
	say(&c, 'z', STR(""));
	assert_true(hear(&c));
	expect_heard(&c, "done 0");
	shutdown(c.desk.fd, SHUT_WR);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	print_message("# 30 MiB cost %d KiB of memory\n", 16 * WEXITSTATUS(status));
#if !defined(__SANITIZE_ADDRESS__)
	assert_in_range(WEXITSTATUS(status), 0, 127);
#endif
	desk_close(&c.desk);
	buf_free(&c.heard);
	buf_free(&c.said);
	buf_free(&piece);
}

/* ---- anything ------------------------------------------------------------------------------------------------- */

static uint64_t chance_state;

static uint32_t
chance(uint32_t below)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (uint32_t)(chance_state >> 20) % below;
}

/* What a caller might say; the generator begins from these. */
static const struct step seeds[] = {
	GOOD, GOOD, S('t', "Subject: x\n\nbody\n"), S('t', "a line\r\nand \r\r\n"), S('z', ""), S('z', ""),
	S('z', "wait 1"), S('d', ""), S('v', "list"), S('v', "list\njson"), S('v', "show\n" OTHER_ID),
	S('v', "delete\n" OTHER_ID), S('v', "status"), S('v', "retry\nall"), S('v', "hold\n../config"),
	S('t', "\0"), S('e', "to c@example.org\n\n"), S('e', "id x\n"), HELLO, S('a', "done 0 - "),
};

/* One frame, perhaps not what it was. */
static void
put_frame(struct buf *out, const struct step *s)
{
	size_t begin = out->len, n = s->text.len;

	buf_addc(out, s->kind);
	buf_addc(out, (char)(n >> 16));
	buf_addc(out, (char)(n >> 8));
	buf_addc(out, (char)n);
	buf_addstr(out, s->text);
	if (chance(8) != 0)
		return;
	for (uint32_t i = chance(3) + 1; i > 0; i--)
		out->p[begin + chance((uint32_t)(out->len - begin))] ^= (char)(1 << chance(8));
	if (chance(4) == 0)
		out->len = begin + chance((uint32_t)(out->len - begin) + 1);
	for (uint32_t i = chance(4) == 0 ? chance(200) : 0; i > 0; i--)
		buf_addc(out, (char)chance(256));
}

/* Throws them, and hears meanwhile what is said, so that nobody waits for the other. */
static void
throw_all(int fd, struct str octets)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
	char heard[4096];
	ssize_t n;

	while (octets.len > 0 && poll(&p, 1, LIMIT) > 0) {
		if ((p.revents & POLLIN) != 0 && recv(fd, heard, sizeof heard, MSG_DONTWAIT) == 0)
			return;
		if ((p.revents & POLLOUT) == 0)
			continue;
		n = send(fd, octets.p, octets.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0)
			octets = str_from(octets.p + n, octets.len - (size_t)n);
	}
}

/* All that was taken of it is whole. */
static void
expect_whole(struct world *w)
{
	struct ids ids = { 0 };

	assert_int_equal(spool_list(&w->s, SPOOL_QUEUE, &ids, &w->why), DONE);
	for (size_t i = 0; i < ids.n; i++) {
		struct letter l = LETTER_INIT;

		assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ids.v[i], &l, &w->why), DONE);
		assert_false(l.damaged);
		assert_int_equal(l.envelope.uid, UID);
		spool_letter_free(&l);
		unlinkat(w->s.queue, ids.v[i], 0);
	}
	spool_ids_free(&ids);
}

static void
a_million_frames_end_in_peace(void **state)
{
	const char *asked = getenv("CLERK_FRAMES"), *seed = getenv("CLERK_SEED");
	unsigned long frames = asked != NULL ? strtoul(asked, NULL, 10) : FRAMES, thrown = 0;
	struct world *w = *state;
	struct buf octets = { 0 };
	char words[512];

	chance_state = seed != NULL ? strtoull(seed, NULL, 10) : 88172645463325252ull;
	w->clerk.idle_ms = 200;
	w->config.service.user_messages = 0;
#ifdef __SANITIZE_ADDRESS__
	/* What is lost can be sought only where no fence is. */
	const struct fence none = FENCE_INIT;
	w->clerk.fence = &none;
	w->seek_leaks = true;
#endif
	while (thrown < frames) {
		unsigned n = 1 + chance(60);
		struct caller c;

		buf_clear(&octets);
		if (chance(30) != 0)
			put_frame(&octets, &(struct step)HELLO);
		for (unsigned i = 0; i < n; i++)
			put_frame(&octets, &seeds[chance(COUNT(seeds))]);
		thrown += n;
		come(w, &c);
		throw_all(c.desk.fd, buf_str(&octets));
		part(&c);
		while (recv(w->box, words, sizeof words, 0) > 0)
			;
		expect_whole(w);
	}
	assert_int_equal(count_in(w, "tmp"), 0);
	print_message("# %lu frames\n", thrown);
	buf_free(&octets);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_is_queued_as_the_kernel_names_its_sender),
		TEST(one_whom_nobody_knows_may_send_and_is_called_that),
		TEST(received_can_be_left_out_and_the_text_is_made_canonical),
		TEST(many_come_over_one_connection_and_a_refused_one_is_between_them),
		TEST(what_is_not_to_be_taken_is_refused_and_leaves_nothing),
		TEST(wishes_of_when_are_kept_and_only_operators_go_before_others),
		TEST(the_policy_is_asked_again),
		TEST(a_message_over_max_size_is_refused_while_it_comes),
		TEST(who_has_much_waiting_or_comes_too_fast_is_put_off),
		TEST(who_breaks_the_rules_is_told_and_leaves_nothing),
		TEST(two_ends_are_one_too_many_and_the_message_is_kept),
		TEST(descriptors_that_come_along_stay_outside),
		TEST(who_says_an_octet_now_and_then_is_not_listened_to_for_ever),
		TEST(a_clerk_that_is_to_leave_finishes_what_has_begun),
		TEST(what_came_before_a_clerk_was_to_leave_is_taken),
		TEST(one_at_rest_leaves_at_once),
		TEST(who_waits_hears_twice),
		TEST(who_looks_on_sees_the_dialogue),
		TEST(nobody_waits_for_who_has_gone),
		TEST(the_end_of_the_service_ends_the_waiting),
		TEST(a_large_message_needs_no_memory),
		TEST(a_million_frames_end_in_peace),
	};

	/* A million frames take their time, and are asked for by hand. */
	alarm(getenv("CLERK_FRAMES") == NULL ? 500 : 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
