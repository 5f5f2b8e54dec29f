/* errand: what runner and courier say to each other arrives as it was said. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errand.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6ABCDEFGH"

struct world {
	int ours, theirs;       /* the two ends */
	int message;            /* some open file */
	struct errand_ends ends;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	int pair[2];

	*state = w;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	w->ours = pair[0];
	w->theirs = pair[1];
	w->message = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	return w->message >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	if (w->ours >= 0)
		close(w->ours);
	close(w->theirs);
	close(w->message);
	errand_ends_free(&w->ends);
	free(w);
	return 0;
}

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

/* Sends one record with copies of a descriptor. */
static void
send_with(int fd, const char *words, int message, unsigned copies)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec io = { (void *)(uintptr_t)words, strlen(words) };
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_SPACE(copies * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(copies * sizeof(int));
	for (unsigned i = 0; i < copies; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &message, sizeof(int));
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), strlen(words));
}

/* ---- the runner's records ---- */

static void
a_job_brings_its_recipients_and_its_open_message(void **state)
{
	static const size_t lists[][6] = {
		{ 0 }, { 5 }, { 0, 1, 2 }, { 0, 2, 4 }, { 0, 1, 3, 4, 5, 9999 }, { 7, 8 },
	};
	static const size_t lens[] = { 1, 1, 3, 3, 6, 2 };
	struct world *w = *state;
	struct stat a, b;

	assert_int_equal(fstat(w->message, &a), 0);
	for (size_t i = 0; i < COUNT(lens); i++) {
		struct errand e = { 0 };

		assert_true(errand_job(w->ours, ID, lists[i], lens[i], w->message, -1));
		assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_JOB);
		assert_string_equal(e.id, ID);
		assert_int_equal(e.n, lens[i]);
		assert_memory_equal(e.recipients, lists[i], lens[i] * sizeof lists[0][0]);
		assert_true(e.has_fd && e.fd != w->message);
		assert_int_equal(fstat(e.fd, &b), 0);
		assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
		assert_int_equal(fcntl(e.fd, F_GETFD), FD_CLOEXEC);
		errand_free(&e);
		errand_free(&e);
	}
}

static void
where_somebody_looks_on_a_job_brings_a_second_descriptor(void **state)
{
	static const size_t one[] = { 0 };
	struct world *w = *state;
	int trace = open("/dev/null", O_WRONLY | O_CLOEXEC);
	unsigned before = count_descriptors();
	struct errand e = { 0 };
	struct stat a, b;

	assert_true(trace >= 0);
	assert_int_equal(fstat(trace, &a), 0);
	assert_true(errand_job(w->ours, ID, one, 1, w->message, trace));
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_JOB);
	assert_true(e.has_fd && e.has_trace && e.fd != e.trace);
	assert_int_equal(fstat(e.trace, &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	assert_int_equal(fcntl(e.trace, F_GETFD), FD_CLOEXEC);
	errand_free(&e);
	errand_free(&e);
	assert_int_equal(count_descriptors(), before);
	assert_true(errand_job(w->ours, ID, one, 1, w->message, -1));
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_JOB);
	assert_false(e.has_trace);
	errand_free(&e);
	close(trace);
}

static void
a_job_for_every_second_of_many_recipients_fits(void **state)
{
	enum { N = 1000 };      /* the most that one transaction takes */
	struct world *w = *state;
	size_t *list = mem_grow(NULL, N, sizeof *list);
	struct errand e = { 0 };

	for (size_t i = 0; i < N; i++)
		list[i] = ENVELOPE_RECIPIENTS_MAX - 1 - 2 * (N - 1 - i);
	assert_true(errand_job(w->ours, ID, list, N, w->message, -1));
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_JOB);
	assert_int_equal(e.n, N);
	assert_memory_equal(e.recipients, list, N * sizeof *list);
	errand_free(&e);
	free(list);
}

static void
noted_and_quit_arrive(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };

	assert_true(errand_noted(w->ours, ID));
	assert_true(errand_quit(w->ours));
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_NOTED);
	assert_string_equal(e.id, ID);
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_QUIT);
	assert_string_equal(e.id, "");
	errand_free(&e);
}

/* ---- the courier's ---- */

static void
an_answer_about_a_recipient_comes_back_in_every_outcome_and_scope(void **state)
{
	struct world *w = *state;

	for (enum outcome o = LATER; o <= NEVER; o++) {
		for (enum scope s = SCOPE_NONE; s <= SCOPE_SERVER; s++) {
			struct why why = { .scope = s, .code = 550 + (int)s, .text = "RCPT answered: no \\ x" };
			struct buf record = { 0 };
			struct errand e = { 0 };

			if (s % 2 == 0)
				snprintf(why.status, sizeof why.status, "5.123.456");
			errand_put_to(&record, ID, 9999, o, &why);
			assert_true(errand_say(w->theirs, buf_str(&record)));
			assert_int_equal(errand_read(w->ours, true, &e), ERRAND_TO);
			assert_string_equal(e.id, ID);
			assert_true(e.recipient == 9999 && e.outcome == o && e.why.scope == s &&
			    e.why.code == why.code);
			assert_string_equal(e.why.status, why.status);
			assert_string_equal(e.why.text, why.text);
			errand_free(&e);
			buf_free(&record);
		}
	}
}

static void
the_longest_reason_arrives_whole(void **state)
{
	struct world *w = *state;
	struct why why = { .scope = SCOPE_SERVER };
	struct buf record = { 0 };
	struct errand e = { 0 };

	memset(why.text, '\\', sizeof why.text - 1);
	errand_put_down(&record, LATER, &why);
	assert_true(errand_say(w->theirs, buf_str(&record)));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_DOWN);
	assert_true(e.outcome == LATER && e.why.scope == SCOPE_SERVER && e.why.code == 0);
	assert_string_equal(e.why.text, why.text);
	errand_free(&e);
	buf_free(&record);
}

static void
an_order_arrives_as_it_was_given(void **state)
{
	static const struct order rows[] = {
		{ .server = 0 },
		{ .account = "work", .server = 7, .depth = 32 },
		{ .alone = true }, { .force = true }, { .fresh = true }, { .aloud = true }, { .apart = true },
		{ .alone = true, .force = true, .fresh = true, .aloud = true, .mechanism = "SCRAM-SHA-256-PLUS",
		    .avoid = "SCRAM", .key = "00112233445566778899aabbccddeeff",
		    .good = "ffeeddccbbaa99887766554433221100",
		    .refused = { "a", "b", "c", "0123456789abcdef0123456789abcdef" }, .nrefused = 4 },
		{ .server = UINT32_MAX, .depth = UINT32_MAX,
		    .account = "forty-eight-octets-are-the-most-that-a-name-has-" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct errand e = { 0 };

		assert_true(errand_begin(w->ours, &rows[i]));
		assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_BEGIN);
		assert_memory_equal(&e.order, &rows[i], sizeof e.order);
		errand_free(&e);
	}
}

static void
a_login_arrives_with_its_mechanism_and_its_fingerprint(void **state)
{
	static const struct {
		const char *mechanism, *print;
	} rows[] = {
		{ "", "" }, { "PLAIN", "" }, { "", "00" },
		{ "SCRAM-SHA-256-PLUS", "00112233445566778899aabbccddeeff" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++)
		for (int refused = 0; refused < 2; refused++) {
			struct buf record = { 0 };
			struct errand e = { 0 };

			errand_put_login(&record, refused, rows[i].mechanism, rows[i].print);
			errand_say(w->theirs, buf_str(&record));
			assert_int_equal(errand_read(w->ours, true, &e),
			    refused ? ERRAND_REFUSED : ERRAND_READY);
			assert_string_equal(e.mechanism, rows[i].mechanism);
			assert_string_equal(e.print, rows[i].print);
			errand_free(&e);
			buf_free(&record);
		}
}

/* What was done on the way of a job, in the order in which it is told. */
static void
the_parts_of_a_job_arrive(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	struct buf record = { 0 };

	errand_put_part(&record, ID);
	errand_say(w->theirs, buf_str(&record));
	errand_say(w->theirs, STR("unproven"));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_PART);
	assert_string_equal(e.id, ID);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_UNPROVEN);
	errand_free(&e);
	buf_free(&record);
}

static void
a_dialogue_arrives_with_its_last_lines(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	struct buf record = { 0 }, dialogue = { 0 };

	errand_put_said(&record, ID, STR(">>> QUIT\n<<< 221 bye\x1b\n"));
	errand_say(w->theirs, buf_str(&record));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_SAID);
	assert_string_equal(e.id, ID);
	assert_string_equal(buf_c(&e.text), ">>> QUIT\n<<< 221 bye\\x1b\n");
	buf_clear(&record);
	for (int i = 0; i < 3000; i++)
		buf_addf(&dialogue, ">>> line %04d\n", i);
	errand_put_said(&record, ID, buf_str(&dialogue));
	assert_true(errand_say(w->theirs, buf_str(&record)));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_SAID);
	assert_true(e.text.len <= ERRAND_SAID_MAX && e.text.len > ERRAND_SAID_MAX - 100);
	assert_true(str_starts(buf_str(&e.text), ">>> line "));
	assert_non_null(strstr(buf_c(&e.text), ">>> line 2999\n"));
	errand_free(&e);
	buf_free(&record);
	buf_free(&dialogue);
}

static void
ready_end_hold_step_and_note_arrive(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	struct buf record = { 0 };

	errand_say(w->theirs, STR("ready - -"));
	errand_put_end(&record, ID);
	errand_say(w->theirs, buf_str(&record));
	errand_say(w->theirs, STR("hold " ID " its text is damaged: the checksum is wrong"));
	errand_say(w->theirs, STR("step 1234 connected to 192.0.2.1 port 587"));
	errand_say(w->theirs, STR("note sandbox is not whole: no Landlock"));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_READY);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_END);
	assert_string_equal(e.id, ID);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_HOLD);
	assert_string_equal(e.why.text, "its text is damaged: the checksum is wrong");
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_STEP);
	assert_int_equal(e.ms, 1234);
	assert_string_equal(buf_c(&e.text), "connected to 192.0.2.1 port 587");
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_NOTE);
	assert_string_equal(buf_c(&e.text), "sandbox is not whole: no Landlock");
	errand_free(&e);
	buf_free(&record);
}

static void
a_dialogue_arrives_line_by_line_and_masked(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	struct buf record = { 0 };

	errand_put_said(&record, ID, STR(">>> MAIL FROM:<a@x>\n<<< 421 \x1b[2J\\\xff\n"));
	assert_true(errand_say(w->theirs, buf_str(&record)));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_SAID);
	assert_string_equal(e.id, ID);
	assert_string_equal(buf_c(&e.text), ">>> MAIL FROM:<a@x>\n<<< 421 \\x1b[2J\\\\xff\n");
	errand_free(&e);
	buf_free(&record);
}

/* Whatever it is made of, it fits into a record, and the runner keeps as much. */
static void
of_a_long_dialogue_the_last_lines_arrive(void **state)
{
	static const char *const fill[] = { "<<< 250-x\n", "\n", "\\\n", "\xff\n", "\x01\x01\x01\n" };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof fill / sizeof fill[0]; i++) {
		struct errand e = { 0 };
		struct buf record = { 0 }, said = { 0 };

		while (said.len < 4 * ERRAND_SAID_MAX)
			buf_adds(&said, fill[i]);
		buf_adds(&said, "\n.\n");
		errand_put_said(&record, ID, buf_str(&said));
		assert_true(record.len <= ERRAND_MAX);
		assert_true(errand_say(w->theirs, buf_str(&record)));
		assert_int_equal(errand_read(w->ours, true, &e), ERRAND_SAID);
		assert_true(e.text.len <= ERRAND_SAID_MAX && e.text.len > ERRAND_SAID_MAX / 4);
		assert_string_equal(e.text.p + e.text.len - 3, "\n.\n");
		errand_free(&e);
		buf_free(&record);
		buf_free(&said);
	}
}

static void
what_a_server_made_a_courier_say_is_masked(void **state)
{
	static const struct str rows[] = {
		STR("to " ID " 0 later server 421 - \x1b[2J\xff\xe2\x80\xae"),
		STR("to " ID " 0 later server 421 - \\x1b[2J\\x0a"),
		STR("hold " ID " \x1b]0;x\x07\n"), STR("step 1 \x1b[2J\r\n"), STR("note \x1b[2J\0\n"),
		STR("down later server 421 - \\x1b\\x07"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct errand e = { 0 };

		errand_parse(rows[i], &e);
		for (const char *p = e.why.text; *p != '\0'; p++)
			assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
		for (size_t j = 0; j < e.text.len; j++)
			assert_true((unsigned char)e.text.p[j] >= 0x20 && e.text.p[j] != 0x7f);
		assert_null(strstr(e.why.text, "\xe2\x80\xae"));
		errand_free(&e);
	}
}

static void
text_that_came_another_way_is_read_the_same(void **state)
{
	struct errand e = { 0 };

	(void)state;
	assert_int_equal(errand_parse(STR("to " ID " 3 done none 250 2.0.0 250 2.0.0 ok"), &e), ERRAND_TO);
	assert_true(e.recipient == 3 && e.outcome == DONE && !e.has_fd);
	assert_string_equal(e.why.text, "250 2.0.0 ok");
	errand_free(&e);
}

/* ---- what is not said so ---- */

static void
a_record_that_nobody_would_have_written_is_broken(void **state)
{
	static const struct str rows[] = {
		STR(" "), STR("x"), STR("READY"), STR("ready now"), STR("quit 1"), STR("noted"), STR("noted X"),
		STR("noted " ID "0"), STR("noted " ID " x"), STR("end"), STR("end " ID " x"),
		STR("noted 0gt2c3d4e5f6abcdefgh"), STR("noted ../../../../etc/pass"), STR("noted  " ID),
		STR("to"), STR("to " ID), STR("to " ID " 0"), STR("to " ID " 0 done"),
		STR("to " ID " 0 done none"), STR("to " ID " 0 done none 250"),
		STR("to " ID " -1 done none 250 - x"), STR("to " ID " 100000 done none 250 - x"),
		STR("to " ID " 0 maybe none 250 - x"), STR("to " ID " 0 done nobody 250 - x"),
		STR("to " ID " 0 done none 1000 - x"), STR("to " ID " 0 done none x - x"),
		STR("to " ID " 0 done none 250 2.0.123456789 x"), STR("to " ID " 0 done none 250  x"),
		STR("to " ID " 0 done none 250 - x\ny"), STR("to " ID " 0 done none 250 - \\x"),
		STR("to " ID " 0 done none 250 - \\x41"), STR("hold"), STR("hold X y"),
		STR("down"), STR("down later server 421"), STR("down 0 server 421 - x"),
		STR("step"), STR("step x y"), STR("step -1 y"), STR("step 4294967296 y"),
		STR("job"), STR("job " ID), STR("job " ID " "), STR("job X 0"), STR("job " ID " x"),
		STR("job " ID " 0-"), STR("job " ID " -1"), STR("job " ID " 1-0"), STR("job " ID " 0,0"),
		STR("job " ID " 2,1"), STR("job " ID " 0-3,3"), STR("job " ID " 0,,1"), STR("job " ID " ,0"),
		STR("job " ID " 0,"), STR("job " ID " 100000"), STR("job " ID " 0-100000"),
		STR("job " ID " 0 1"), STR("job " ID " 0-18446744073709551616"), STR("ready\0"), STR("\0ready"),
		STR("ready"), STR("ready -"), STR("ready - - -"), STR("ready  -"), STR("ready - "),
		STR("ready PLAIN 0123456789abcdef0123456789abcdef0"), STR("refused"), STR("refused PLAIN"),
		STR("refused PL\0AIN -"), STR("unproven x"), STR("part"), STR("part X"), STR("part " ID " 1"),
		STR("said"), STR("said X y"),
		STR("begin x"), STR("begin account"), STR("begin account="), STR("begin server=x"),
		STR("begin server=-1"), STR("begin server=4294967296"), STR("begin depth="), STR("begin  alone"),
		STR("begin alone=1"), STR("begin key=0123456789abcdef0123456789abcdef0"), STR("begin colour=red"),
		STR("begin account=forty-nine-octets-are-more-than-any-name-may-have"),
		STR("begin refused=1 refused=2 refused=3 refused=4 refused=5"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct errand e = { 0 };
		enum errand_word word = errand_parse(rows[i], &e);

		if (word != ERRAND_BROKEN)
			print_error("row %zu was taken: %s\n", i, rows[i].p);
		assert_int_equal(word, ERRAND_BROKEN);
		assert_int_equal(e.word, ERRAND_BROKEN);
		errand_free(&e);
	}
}

static void
a_job_without_its_message_is_broken(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };

	errand_say(w->ours, STR("job " ID " 0"));
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_BROKEN);
	errand_free(&e);
}

static void
a_record_over_the_limit_is_broken_and_the_next_is_read(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	char *huge = mem_alloc(ERRAND_MAX + 2);

	memset(huge, 'x', ERRAND_MAX + 1);
	memcpy(huge, "note ", 5);
	assert_true(errand_say(w->theirs, str_from(huge, ERRAND_MAX)));
	assert_true(errand_say(w->theirs, str_from(huge, ERRAND_MAX + 1)));
	assert_true(errand_say(w->theirs, STR("ready - -")));
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_NOTE);
	assert_int_equal(e.text.len, ERRAND_MAX - 5);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_BROKEN);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_READY);
	errand_free(&e);
	free(huge);
}

/* ---- the channel ---- */

static void
where_nothing_was_said_nobody_waits(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };

	alarm(10);
	assert_int_equal(errand_read(w->ours, false, &e), ERRAND_NOTHING);
	alarm(0);
}

/* It is told as a reset then, before the words. */
static void
an_end_that_closes_with_our_words_unread_is_heard_out(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };
	int theirs = w->theirs;

	errand_quit(w->ours);
	errand_say(w->theirs, STR("end " ID));
	w->theirs = dup(w->message);
	close(theirs);
	assert_int_equal(errand_read(w->ours, false, &e), ERRAND_END);
	assert_int_equal(errand_read(w->ours, true, &e), ERRAND_CLOSED);
	errand_free(&e);
}

static void
the_end_of_the_other_side_is_told_once_its_words_are_read(void **state)
{
	struct world *w = *state;
	struct errand e = { 0 };

	errand_noted(w->ours, ID);
	close(w->ours);
	w->ours = -1;
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_NOTED);
	assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_CLOSED);
	assert_int_equal(errand_read(w->theirs, false, &e), ERRAND_CLOSED);
	errand_free(&e);
}

static void
saying_something_to_nobody_is_false_and_no_signal(void **state)
{
	static const size_t one[] = { 0 };
	struct world *w = *state;

	close(w->ours);
	w->ours = -1;
	signal(SIGPIPE, SIG_DFL);
	assert_false(errand_say(w->theirs, STR("ready")));
	assert_false(errand_noted(w->theirs, ID));
	assert_false(errand_quit(w->theirs));
	assert_false(errand_job(w->theirs, ID, one, 1, w->message, -1));
}

static void
a_descriptor_that_nobody_took_is_closed(void **state)
{
	static const size_t one[] = { 0 };
	struct world *w = *state;
	struct errand e = { 0 };
	unsigned before = count_descriptors();
	int taken;

	for (int i = 0; i < 10; i++) {
		errand_job(w->ours, ID, one, 1, w->message, -1);
		assert_int_equal(errand_read(w->theirs, true, &e), ERRAND_JOB);
	}
	assert_int_equal(count_descriptors(), before + 1);
	taken = e.fd;
	e.fd = -1;
	errand_free(&e);
	assert_int_equal(count_descriptors(), before + 1);
	close(taken);
	assert_int_equal(count_descriptors(), before);
}

static void
descriptors_that_nobody_asked_for_are_closed(void **state)
{
	static const unsigned copies[] = { 1, 2, 3, 8, 64 };
	static const char *const words[] = { "ready", "job " ID " 0", "x", ("noted " ID) };
	struct world *w = *state;
	unsigned before = count_descriptors();

	for (size_t i = 0; i < COUNT(copies); i++) {
		for (size_t j = 0; j < COUNT(words); j++) {
			struct errand e = { 0 };

			send_with(w->ours, words[j], w->message, copies[i]);
			errand_read(w->theirs, true, &e);
			assert_true(count_descriptors() <= before + 2);
			errand_free(&e);
			assert_int_equal(count_descriptors(), before);
		}
	}
}

/* ---- who starts them: ours is the runner's end, theirs the service's ---- */

/* In a process of its own: serves that many requests, and tells how each ended. */
static pid_t
be_service(struct world *w, unsigned requests)
{
	pid_t pid = fork(), courier;
	struct pollfd p = { .fd = w->theirs, .events = POLLIN };
	int status;

	if (pid != 0)
		return pid;
	close(w->ours);
	alarm(10);
	while (requests > 0) {
		poll(&p, 1, -1);
		courier = errand_serve(w->theirs, true);
		if (courier < 0)
			_exit(1);
		if (courier > 0 && waitpid(courier, &status, 0) == courier)
			errand_tell_end(w->theirs, courier, status);
		requests--;
	}
	_exit(0);
}

static void
a_courier_that_was_asked_for_is_started_and_its_end_is_told(void **state)
{
	struct world *w = *state;
	unsigned before = count_descriptors();
	struct errand e = { 0 };
	int fd = -1, status = 0;
	pid_t service = be_service(w, 2);

	alarm(10);
	for (int i = 0; i < 2; i++) {
		pid_t pid = errand_ask(w->ours, &w->ends, &fd);

		assert_true(pid > 0 && pid != service);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(errand_read(fd, true, &e), ERRAND_READY);
		assert_int_equal(errand_read(fd, true, &e), ERRAND_CLOSED);
		close(fd);
		if (i == 0)
			continue;       /* not listened to: the next answer stands behind it */
		assert_true(errand_await_end(w->ours, &w->ends, pid, &status));
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	assert_int_equal(waitpid(service, &status, 0), service);
	assert_int_equal(status, 0);
	alarm(0);
	assert_int_equal(count_descriptors(), before);
}

static void
where_it_cannot_be_started_the_reason_is_told(void **state)
{
	struct world *w = *state;
	unsigned before = count_descriptors();
	int fd = -1, status;
	pid_t service;

	assert_int_equal(rename("subpost-courier", "away"), 0);
	service = be_service(w, 1);
	alarm(10);
	assert_int_equal(errand_ask(w->ours, &w->ends, &fd), -1);
	assert_int_equal(errno, ENOENT);
	alarm(0);
	assert_int_equal(fd, -1);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(service, &status, 0), service);
	assert_int_equal(rename("away", "subpost-courier"), 0);
}

static void
with_a_service_that_is_gone_nobody_waits(void **state)
{
	struct world *w = *state;
	int fd = -1, status, theirs = w->theirs;

	alarm(10);
	w->theirs = dup(w->message);
	close(theirs);
	assert_int_equal(errand_ask(w->ours, &w->ends, &fd), -1);
	assert_int_equal(errno, EPIPE);
	assert_false(errand_await_end(w->ours, &w->ends, 1234, &status));
	alarm(0);
}

static void
what_the_service_never_says_is_passed_over(void **state)
{
	static const char *const words[] = { "ended 7 0", "ended", "ended x 0", "ended 1234",
		"ended 1234 x", "ended -1 0", "started", "", "job", "ended 1234 9" };
	struct world *w = *state;
	int status = 0;

	alarm(10);
	for (size_t i = 0; i < COUNT(words); i++)
		if (words[i][0] != '\0')
			errand_say(w->theirs, str_of(words[i]));
	assert_true(errand_await_end(w->ours, &w->ends, 1234, &status));
	assert_int_equal(status, 9);
	alarm(0);
}

static void
the_end_of_another_is_kept_until_it_is_asked_for(void **state)
{
	struct world *w = *state;
	int fd = -1, status = 0;

	alarm(10);
	errand_say(w->theirs, STR("ended 11 1"));
	errand_say(w->theirs, STR("ended 12 2"));
	errand_say(w->theirs, STR("failed 16"));
	errand_say(w->theirs, STR("ended 13 3"));
	/* Two came before the answer to a request, one is found behind it. */
	assert_int_equal(errand_ask(w->ours, &w->ends, &fd), -1);
	assert_int_equal(errno, EBUSY);
	assert_true(errand_await_end(w->ours, &w->ends, 13, &status) && status == 3);
	assert_true(errand_await_end(w->ours, &w->ends, 11, &status) && status == 1);
	assert_true(errand_await_end(w->ours, &w->ends, 12, &status) && status == 2);
	assert_int_equal(w->ends.n, 0);
	alarm(0);
}

static void
where_there_are_as_many_as_there_may_be_that_is_told_at_once(void **state)
{
	struct world *w = *state;
	int pair[2];

	alarm(10);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	send_with(w->ours, "start", pair[1], 1);
	assert_int_equal(errand_serve(w->theirs, false), 0);
	char said[32] = "";
	assert_true(recv(w->ours, said, sizeof said - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(said, "failed 16");
	alarm(0);
	close(pair[0]);
	close(pair[1]);
}

static void
a_service_hears_nothing_and_the_end_without_waiting(void **state)
{
	struct world *w = *state;

	alarm(10);
	assert_int_equal(errand_serve(w->theirs, true), 0);
	close(w->ours);
	w->ours = -1;
	assert_int_equal(errand_serve(w->theirs, true), -1);
	errand_tell_end(w->theirs, 1, 0);
	alarm(0);
}

static void
a_service_does_not_wait_for_a_runner_that_does_not_listen(void **state)
{
	struct world *w = *state;

	alarm(10);
	for (int i = 0; i < 100000; i++)
		errand_tell_end(w->theirs, i, 0);
	alarm(0);
}

static void
where_there_are_enough_couriers_a_runner_hears_so(void **state)
{
	struct world *w = *state;
	int pair[2];
	char said[64] = "";

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	alarm(10);
	send_with(w->ours, "start", pair[0], 1);
	assert_int_equal(errand_serve(w->theirs, false), 0);
	assert_true(recv(w->ours, said, sizeof said - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(said, "failed 16");         /* EBUSY */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	alarm(0);
	close(pair[0]);
	close(pair[1]);
}

/* Whoever has taken a runner over gets nothing started for it, and fills nothing up. */
static void
a_request_that_no_runner_makes_starts_nobody(void **state)
{
	struct world *w = *state;
	int stream[2], datagram[2], good[2];
	unsigned before;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagram), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, good), 0);
	const struct {
		const char *words;
		int fd;
		unsigned copies;
	} rows[] = {
		{ "start", -1, 0 }, { "start", w->message, 1 }, { "start", stream[0], 1 },
		{ "start", datagram[0], 1 }, { "start", good[0], 2 }, { "start", good[0], 3 },
		{ "start", good[0], 64 }, { "starts", good[0], 1 }, { "start /bin/sh", good[0], 1 },
		{ "ended 1 0", good[0], 1 }, { "x", -1, 0 },
		{ "start                                                            ", good[0], 1 },
	};
	before = count_descriptors();
	alarm(10);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char said[64] = "";

		if (rows[i].copies > 0)
			send_with(w->ours, rows[i].words, rows[i].fd, rows[i].copies);
		else
			errand_say(w->ours, str_of(rows[i].words));
		assert_int_equal(errand_serve(w->theirs, true), 0);
		assert_true(recv(w->ours, said, sizeof said - 1, MSG_DONTWAIT) > 0);
		assert_true(strncmp(said, "failed ", 7) == 0);
		assert_int_equal(count_descriptors(), before);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	alarm(0);
	for (int i = 0; i < 2; i++) {
		close(stream[i]);
		close(datagram[i]);
		close(good[i]);
	}
}

/* A courier is looked for beside the program that starts it: so this one goes to a
 * folder of its own, with a courier that is easily understood. */
static void
move_out(char *name)
{
	static const char script[] = "#!/bin/sh\nprintf \"ready - -\" >&3\nexit 3\n";
	char path[] = "/tmp/subpost-errand-XXXXXX", program[] = "errand";
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to, courier;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0 || mkdtemp(path) == NULL || chdir(path) < 0)
		abort();
	to = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	for (off_t at = 0; at < st.st_size; )
		if (sendfile(to, from, &at, (size_t)(st.st_size - at)) <= 0)
			abort();
	courier = open("subpost-courier", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	if (write(courier, script, sizeof script - 1) < 0 || close(courier) < 0 || close(to) < 0)
		abort();
	execl(program, name, path, (char *)NULL);
	abort();
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(int argc, char **argv)
{
	int failed;

	const struct CMUnitTest tests[] = {
		PROMISE(a_job_brings_its_recipients_and_its_open_message),
		PROMISE(where_somebody_looks_on_a_job_brings_a_second_descriptor),
		PROMISE(a_job_for_every_second_of_many_recipients_fits),
		PROMISE(noted_and_quit_arrive),
		PROMISE(an_answer_about_a_recipient_comes_back_in_every_outcome_and_scope),
		PROMISE(the_longest_reason_arrives_whole),
		PROMISE(an_order_arrives_as_it_was_given),
		PROMISE(a_login_arrives_with_its_mechanism_and_its_fingerprint),
		PROMISE(the_parts_of_a_job_arrive),
		PROMISE(a_dialogue_arrives_with_its_last_lines),
		PROMISE(ready_end_hold_step_and_note_arrive),
		PROMISE(a_dialogue_arrives_line_by_line_and_masked),
		PROMISE(of_a_long_dialogue_the_last_lines_arrive),
		cmocka_unit_test(what_a_server_made_a_courier_say_is_masked),
		cmocka_unit_test(text_that_came_another_way_is_read_the_same),
		cmocka_unit_test(a_record_that_nobody_would_have_written_is_broken),
		PROMISE(a_job_without_its_message_is_broken),
		PROMISE(a_record_over_the_limit_is_broken_and_the_next_is_read),
		PROMISE(where_nothing_was_said_nobody_waits),
		PROMISE(an_end_that_closes_with_our_words_unread_is_heard_out),
		PROMISE(the_end_of_the_other_side_is_told_once_its_words_are_read),
		PROMISE(saying_something_to_nobody_is_false_and_no_signal),
		PROMISE(a_descriptor_that_nobody_took_is_closed),
		PROMISE(descriptors_that_nobody_asked_for_are_closed),
		PROMISE(a_courier_that_was_asked_for_is_started_and_its_end_is_told),
		PROMISE(where_it_cannot_be_started_the_reason_is_told),
		PROMISE(with_a_service_that_is_gone_nobody_waits),
		PROMISE(what_the_service_never_says_is_passed_over),
		PROMISE(the_end_of_another_is_kept_until_it_is_asked_for),
		PROMISE(where_there_are_as_many_as_there_may_be_that_is_told_at_once),
		PROMISE(a_service_hears_nothing_and_the_end_without_waiting),
		PROMISE(a_service_does_not_wait_for_a_runner_that_does_not_listen),
		PROMISE(where_there_are_enough_couriers_a_runner_hears_so),
		PROMISE(a_request_that_no_runner_makes_starts_nobody),
	};

	if (argc < 2)
		move_out(argv[0]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("errand");
	unlink("subpost-courier");
	rmdir(argv[1]);
	return failed;
}
