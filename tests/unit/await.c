/* await: what becomes of a message's files is its outcome, and nothing is missed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "await.h"
#include "clock.h"
#include "health.h"
#include "trace.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6AAAAAAAA"
#define OTHER "0GT2C3D4E5F6BBBBBBBB"

struct world {
	char root[64];
	struct spool s;
	struct config config;
	struct await a;
	struct fate f;
	struct why why;
};

static char sender[] = "a@example.org", to0[] = "b@example.org", to1[] = "c@example.org",
    to2[] = "d@example.org";
static struct recipient recipients[] = { { .address = to0 }, { .address = to1 }, { .address = to2 } };

static void
queue(struct world *w, const char *id)
{
	struct envelope e = { .arrived = 1795576000, .uid = 7, .from = sender, .to = recipients,
		.n = COUNT(recipients) };
	struct draft d = { 0 };

	snprintf(e.id, sizeof e.id, "%s", id);
	assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), DONE);
	assert_int_equal(spool_text(&d, STR("Subject: x\n\nbody\n"), &w->why), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	spool_release(&w->s, &d);
}

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-await-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	w->s = (struct spool)SPOOL_INIT;
	w->a = (struct await)AWAIT_INIT;
	config_defaults(&w->config);
	w->a.config = &w->config;
	*state = w;
	if (spool_open(&w->s, w->root, "/x.ini", &w->why) != DONE)
		return -1;
	queue(w, ID);
	await_prepare(&w->a, &w->s, ID, false);
	fate_init(&w->f, COUNT(recipients));
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	await_end(&w->a, &w->s, ID);
	await_end(&w->a, &w->s, ID);
	fate_free(&w->f);
	config_free(&w->config);
	spool_close(&w->s);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- small hands ---- */

static void
answer(struct world *w, size_t recipient, enum outcome o, const char *words)
{
	struct why why = { .scope = SCOPE_RECIPIENT, .code = o == DONE ? 250 : 550 };

	snprintf(why.text, sizeof why.text, "%s", words);
	fate_note(&w->f, recipient, o, &why);
	if (o != DONE)
		w->f.last = why;
}

static void
expect(struct world *w, long seconds, enum outcome o, int status, const char *words)
{
	double begun = clock_now();

	assert_int_equal(await_outcome(&w->a, &w->s, ID, seconds, &w->why), o);
	assert_int_equal(outcome_exit(o, &w->why), status);
	if (words != NULL)
		assert_string_equal(w->why.text, words);
	assert_true(clock_now() - begun < (double)seconds + 5);
}

static void
set_fate(struct world *w)
{
	assert_int_equal(spool_set_fate(&w->s, ID, &w->f, &w->why), DONE);
}

/* ---- outcomes ---- */

static void
a_message_that_is_unlinked_has_left(void **state)
{
	struct world *w = *state;

	queue(w, OTHER);
	assert_int_equal(spool_drop(&w->s, ID, &w->why), DONE);
	expect(w, 60, DONE, 0, NULL);
}

static void
one_that_was_put_off_before_has_left_all_the_same(void **state)
{
	struct world *w = *state;

	answer(w, 0, LATER, "450 later");
	set_fate(w);
	assert_int_equal(spool_drop(&w->s, ID, &w->why), DONE);
	expect(w, 60, DONE, 0, NULL);
}

static void
a_message_that_is_removed_by_hand_has_not_left(void **state)
{
	struct world *w = *state;
	struct stat st;

	set_fate(w);
	assert_int_equal(spool_remove(&w->s, ID, &w->why), DONE);
	assert_true(fstatat(w->s.queue, ID ".fate", &st, 0) < 0 && fstatat(w->s.queue, ID ".gone", &st, 0) < 0);
	expect(w, 60, NEVER, 69, ID " was removed from the queue by hand and not sent");
}

static void
a_message_in_failed_names_who_was_refused(void **state)
{
	struct world *w = *state;

	answer(w, 0, DONE, "250 ok");
	answer(w, 1, NEVER, "550 no");
	answer(w, 2, NEVER, "551 no");
	assert_int_equal(spool_fail(&w->s, ID, &w->f, &w->why), DONE);
	expect(w, 60, NEVER, 69, "not sent to c@example.org: 550 no; 1 more is refused; 1 got it");
}

static void
another_message_is_no_news(void **state)
{
	struct world *w = *state;

	queue(w, OTHER);
	assert_int_equal(spool_drop(&w->s, OTHER, &w->why), DONE);
	expect(w, 1, LATER, 75, "still queued as " ID "; it will be sent, do not send it again");
}

static void
what_waits_at_the_end_has_its_last_word_told(void **state)
{
	struct world *w = *state;

	answer(w, 0, LATER, "450 greylisted");
	set_fate(w);
	expect(w, 1, LATER, 75, "still queued as " ID "; it will be sent, do not send it again; "
	    "last: 450 greylisted");
}

static void
or_else_what_is_wrong_with_the_account(void **state)
{
	struct world *w = *state;
	struct standing st = { .account = { .down = true, .since = 0, .step = 1 } };

	snprintf(st.account.why.text, sizeof st.account.why.text, "no route");
	assert_int_equal(health_store(&w->s, "default", &st, &w->why), DONE);
	expect(w, 1, LATER, 75, "still queued as " ID "; it will be sent, do not send it again; "
	    "default is down since 1970-01-01T00:00:00Z, next try now: no route");
}

static void
or_else_for_when_it_is(void **state)
{
	struct world *w = *state;
	struct envelope e = { .arrived = 1795576000, .uid = 7, .from = sender, .to = recipients,
		.n = COUNT(recipients), .wishes = { .hold_until = 4102444800 } };
	struct draft d = { 0 };

	assert_int_equal(unlinkat(w->s.queue, ID, 0), 0);
	snprintf(e.id, sizeof e.id, "%s", ID);
	assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	spool_release(&w->s, &d);
	await_end(&w->a, &w->s, ID);
	w->a.config = &w->config;
	await_prepare(&w->a, &w->s, ID, false);
	expect(w, 1, LATER, 75, "still queued as " ID "; it will be sent, do not send it again; it is for "
	    "2100-01-01T00:00:00Z");
}

static void
while_one_is_refused_and_another_waits_we_wait_too(void **state)
{
	struct world *w = *state;

	answer(w, 0, DONE, "250 ok");
	answer(w, 1, NEVER, "550 no");
	set_fate(w);
	expect(w, 1, NEVER, 69, "not sent to c@example.org: 550 no; 1 got it; 1 still waits");
}

static void
held_is_told_at_once(void **state)
{
	struct world *w = *state;

	w->f.held = true;
	snprintf(w->f.hold_reason, sizeof w->f.hold_reason, "it is damaged");
	set_fate(w);
	expect(w, 60, LATER, 75, "queued as " ID ", and held: it is damaged; see: subpost show " ID);
}

static void *
drop_soon(void *arg)
{
	struct world *w = arg;
	struct why why;
	struct timespec soon = { 0, 200 * 1000 * 1000 };

	nanosleep(&soon, NULL);
	spool_drop(&w->s, ID, &why);
	return NULL;
}

static void
news_that_come_while_we_wait_end_the_wait(void **state)
{
	struct world *w = *state;
	pthread_t other;

	assert_int_equal(pthread_create(&other, NULL, drop_soon, w), 0);
	expect(w, 60, DONE, 0, NULL);
	pthread_join(other, NULL);
}

static void
a_thousand_other_messages_hide_nothing(void **state)
{
	struct world *w = *state;
	char name[ENVELOPE_ID_LEN + 1];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "%020d", i);
		close(openat(w->s.queue, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		unlinkat(w->s.queue, name, 0);
	}
	assert_int_equal(spool_drop(&w->s, ID, &w->why), DONE);
	expect(w, 60, DONE, 0, NULL);
}

/* More than the kernel keeps for one watcher. */
static void
who_missed_the_news_does_not_guess(void **state)
{
	struct world *w = *state;
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	int most = 16384;
	double begun;

	if (f != NULL) {
		assert_int_equal(fscanf(f, "%d", &most), 1);
		fclose(f);
	}
	for (int i = 0; i < most + 10; i++) {
		char name[16];

		/* Two names, since equal events in a row are told once. */
		snprintf(name, sizeof name, "x%d", i % 2);
		close(openat(w->s.queue, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		unlinkat(w->s.queue, name, 0);
	}
	assert_int_equal(spool_drop(&w->s, ID, &w->why), DONE);
	begun = clock_now();
	expect(w, 60, LATER, 75, NULL);
	assert_true(clock_now() - begun < 30);
	assert_non_null(strstr(w->why.text, "too much went on to see how"));
}

static void
without_inotify_it_is_queued_and_that_is_said(void **state)
{
	struct world *w = *state;
	struct rlimit limit, none;

	await_end(&w->a, &w->s, ID);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	await_prepare(&w->a, &w->s, ID, true);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect(w, 60, LATER, 75, "queued as " ID ", but it could not be watched (Too many open files); "
	    "it will be sent, do not send it again");
}

static void
the_dialogue_is_asked_for_and_taken_away(void **state)
{
	struct world *w = *state;
	struct stat st;
	int fd;

	await_end(&w->a, &w->s, ID);
	await_prepare(&w->a, &w->s, ID, true);
	fd = trace_open(&w->s, ID);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(spool_drop(&w->s, ID, &w->why), DONE);
	expect(w, 60, DONE, 0, NULL);
	await_end(&w->a, &w->s, ID);
	assert_true(fstatat(w->s.dir, "trace/" ID, &st, 0) < 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(a_message_that_is_unlinked_has_left),
		TEST(one_that_was_put_off_before_has_left_all_the_same),
		TEST(a_message_that_is_removed_by_hand_has_not_left),
		TEST(a_message_in_failed_names_who_was_refused),
		TEST(another_message_is_no_news),
		TEST(what_waits_at_the_end_has_its_last_word_told),
		TEST(or_else_what_is_wrong_with_the_account),
		TEST(or_else_for_when_it_is),
		TEST(while_one_is_refused_and_another_waits_we_wait_too),
		TEST(held_is_told_at_once),
		TEST(news_that_come_while_we_wait_end_the_wait),
		TEST(a_thousand_other_messages_hide_nothing),
		TEST(who_missed_the_news_does_not_guess),
		TEST(without_inotify_it_is_queued_and_that_is_said),
		TEST(the_dialogue_is_asked_for_and_taken_away),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
