/* steer: what a person does with a message loses nothing, and is not half done. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "steer.h"

static const struct asker everybody = { .all = true, .own = true };

#define ID_A "0GT2C3D4E5F6AAAAAAAA"
#define ID_B "0GT2C3D4E5F6BBBBBBBB"
#define ID_C "0GT2C3D4E5F6CCCCCCCC"

struct world {
	char root[64];
	struct spool s;
	struct why why;
};

static void
queue(struct world *w, const char *id)
{
	char from[] = "a@example.org", to0[] = "b@example.org", to1[] = "c@example.org";
	struct recipient to[] = { { .address = to0 }, { .address = to1 } };
	struct envelope e = { .arrived = time(NULL) - 1000, .from = from, .to = to, .n = 2 };
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
	char dir[80];

	snprintf(w->root, sizeof w->root, "/tmp/subpost-steer-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	snprintf(dir, sizeof dir, "%s/spool", w->root);
	w->s = (struct spool)SPOOL_INIT;
	*state = w;
	if (spool_open(&w->s, dir, "/home/u/subpost.ini", &w->why) != DONE)
		return -1;
	queue(w, ID_A);
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

	spool_close(&w->s);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* A first recipient that was refused and told of, a second that is put off. */
static void
put_off(struct world *w, const char *id, bool held)
{
	struct fate f = { 0 };
	struct why why = { 0 };

	fate_init(&f, 2);
	never(&why, SCOPE_RECIPIENT, "5.1.1", "nobody");
	fate_note(&f, 0, NEVER, &why);
	f.to[0].told = true;
	f.tries = 3;
	f.next = time(NULL) + 3600;
	f.held = held;
	if (held)
		snprintf(f.hold_reason, sizeof f.hold_reason, "looked at");
	assert_int_equal(spool_set_fate(&w->s, id, &f, &w->why), DONE);
	fate_free(&f);
}

/* "A" renewed, "." not; "h" held, "+" put off, "0" at once; how many wait; from
 * where: "q" or "f". */
static const char *
state_of(struct world *w, const char *id)
{
	static char text[16];
	struct letter l = LETTER_INIT;
	enum spool_place place = SPOOL_QUEUE;

	assert_int_equal(steer_find(&w->s, &everybody, id, false, &l, &place, &w->why), DONE);
	snprintf(text, sizeof text, "%c%c%zu%c", l.fate.renewed != 0 ? 'A' : '.',
	    l.fate.held ? 'h' : l.fate.next != 0 ? '+' : '0', fate_count(&l.fate, LATER),
	    place == SPOOL_FAILED ? 'f' : 'q');
	spool_letter_free(&l);
	return text;
}

static void
a_message_is_found_where_it_is(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct fate f = { 0 };
	enum spool_place place = SPOOL_FAILED;

	assert_int_equal(steer_find(&w->s, &everybody, ID_A, true, &l, &place, &w->why), DONE);
	assert_int_equal(place, SPOOL_QUEUE);
	spool_letter_free(&l);
	fate_init(&f, 2);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	fate_free(&f);
	assert_int_equal(steer_find(&w->s, &everybody, ID_A, true, &l, &place, &w->why), DONE);
	assert_int_equal(place, SPOOL_FAILED);
	spool_letter_free(&l);
}

static void
what_is_no_id_or_no_message_is_told_apart(void **state)
{
	static const struct {
		const char *id;
		int status;
	} rows[] = {
		{ "", EX_USAGE }, { "x", EX_USAGE }, { "../queue/" ID_A, EX_USAGE },
		{ ID_A "A", EX_USAGE }, { "0gt2c3d4e5f6aaaaaaaa", EX_USAGE },
		{ ID_B, EX_NOINPUT },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct letter l = LETTER_INIT;
		enum spool_place place;

		assert_int_not_equal(steer_find(&w->s, &everybody, rows[i].id, true, &l, &place, &w->why), DONE);
		assert_int_equal(w->why.exit, rows[i].status);
		spool_letter_free(&l);
		assert_int_not_equal(steer_retry(&w->s, &everybody, rows[i].id, &w->why), DONE);
		assert_int_equal(w->why.exit, rows[i].status);
	}
}

static void
what_is_being_sent_is_left_alone(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	size_t waiting;

	put_off(w, ID_A, false);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_true(spool_lock(&l));
	assert_int_equal(steer_retry(&w->s, &everybody, ID_A, &w->why), LATER);
	assert_int_equal(w->why.exit, EX_TEMPFAIL);
	assert_int_equal(steer_retry_all(&w->s, &everybody, true, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 1);
	spool_letter_free(&l);
	assert_string_equal(state_of(w, ID_A), ".+1q");
}

/* Has the message, and moves it to where it does not lie as soon as somebody else
 * has opened it, and lets go.  ready: told when it has the lock. */
static _Noreturn void
move_when_looked_at(struct world *w, enum spool_place from, int ready)
{
	int seen = inotify_init1(IN_CLOEXEC);
	char path[120], event[512];
	struct letter l = LETTER_INIT;
	bool had = spool_read(&w->s, from, ID_A, &l, &w->why) == DONE && spool_lock(&l);
	enum outcome o;

	alarm(20);
	snprintf(path, sizeof path, "%s/%s/" ID_A, w->s.path, from == SPOOL_QUEUE ? "queue" : "failed");
	if (!had || inotify_add_watch(seen, path, IN_OPEN) < 0 || write(ready, "r", 1) != 1 ||
	    read(seen, event, sizeof event) <= 0)
		_exit(1);
	o = from == SPOOL_QUEUE ? spool_fail(&w->s, ID_A, &l.fate, &w->why) :
	    spool_revive(&w->s, ID_A, &l.fate, &w->why);
	_exit(o == DONE ? 0 : 2);
}

static void
what_moves_while_we_wait_for_it_is_found_where_it_went(void **state)
{
	struct world *w = *state;

	put_off(w, ID_A, false);
	for (enum spool_place from = SPOOL_QUEUE; ; from = SPOOL_FAILED) {
		struct letter l = LETTER_INIT;
		enum spool_place place = from;
		int ready[2], status;
		char c;
		pid_t pid;

		assert_int_equal(pipe(ready), 0);
		pid = fork();
		if (pid == 0)
			move_when_looked_at(w, from, ready[1]);
		close(ready[1]);
		assert_int_equal(read(ready[0], &c, 1), 1);
		close(ready[0]);
		assert_int_equal(steer_find(&w->s, &everybody, ID_A, true, &l, &place, &w->why), DONE);
		assert_int_not_equal(place, from);
		assert_int_equal(l.fate.tries, 3);
		spool_letter_free(&l);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		if (from == SPOOL_FAILED)
			break;
	}
}

static void
one_that_is_retried_begins_anew_for_everybody(void **state)
{
	struct world *w = *state;
	struct fate f = { 0 };

	put_off(w, ID_A, true);
	assert_string_equal(state_of(w, ID_A), ".h1q");
	assert_int_equal(steer_retry(&w->s, &everybody, ID_A, &w->why), DONE);
	assert_string_equal(state_of(w, ID_A), "A02q");
	fate_init(&f, 2);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	fate_free(&f);
	assert_int_equal(steer_retry(&w->s, &everybody, ID_A, &w->why), DONE);
	assert_string_equal(state_of(w, ID_A), "A02q");
}

static void
all_are_tried_now_and_only_a_person_renews_or_releases_them(void **state)
{
	struct world *w = *state;
	size_t waiting = 0;

	queue(w, ID_B);
	queue(w, ID_C);
	put_off(w, ID_A, false);
	put_off(w, ID_B, true);
	assert_int_equal(steer_retry_all(&w->s, &everybody, false, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 3);
	assert_string_equal(state_of(w, ID_A), ".01q");
	assert_string_equal(state_of(w, ID_B), ".h1q");
	assert_string_equal(state_of(w, ID_C), ".02q");
	put_off(w, ID_A, false);
	assert_int_equal(steer_retry_all(&w->s, &everybody, true, &waiting, &w->why), DONE);
	assert_string_equal(state_of(w, ID_A), "A01q");
	assert_string_equal(state_of(w, ID_B), "A01q");
	assert_string_equal(state_of(w, ID_C), ".02q");
}

static void
what_is_damaged_stays_held(void **state)
{
	struct world *w = *state;
	size_t waiting = 0;
	int fd = openat(w->s.queue, ID_A, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, "9", 1, 9), 1);
	close(fd);
	assert_int_equal(steer_retry(&w->s, &everybody, ID_A, &w->why), NEVER);
	assert_int_equal(w->why.exit, EX_DATAERR);
	assert_non_null(strstr(w->why.text, "stays held"));
	assert_int_equal(steer_retry_all(&w->s, &everybody, true, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 1);
}

static void
what_is_released_begins_anew_but_not_for_who_was_refused(void **state)
{
	struct world *w = *state;

	put_off(w, ID_A, true);
	assert_int_equal(steer_release(&w->s, &everybody, ID_A, &w->why), DONE);
	assert_string_equal(state_of(w, ID_A), "A01q");
	assert_int_equal(steer_release(&w->s, &everybody, ID_A, &w->why), NEVER);
	assert_int_equal(w->why.exit, EX_NOINPUT);
	assert_non_null(strstr(w->why.text, "is not held"));
}

static void
assert_held(struct world *w, const char *reason)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;

	assert_int_equal(steer_find(&w->s, &everybody, ID_A, false, &l, &place, &w->why), DONE);
	assert_true(l.fate.held);
	assert_string_equal(l.fate.hold_reason, reason);
	spool_letter_free(&l);
}

static void
what_is_held_keeps_its_first_reason(void **state)
{
	static const struct asker seven = { .uid = 7, .all = true };
	struct world *w = *state;

	assert_int_equal(steer_hold(&w->s, &seven, ID_A, NULL, &w->why), DONE);
	assert_held(w, "held by uid 7");
	assert_int_equal(steer_hold(&w->s, &everybody, ID_A, "another", &w->why), DONE);
	assert_held(w, "held by uid 7");
	assert_int_equal(steer_release(&w->s, &everybody, ID_A, &w->why), DONE);
	assert_int_equal(steer_hold(&w->s, &everybody, ID_A, "looks \033[31m odd", &w->why), DONE);
	assert_held(w, "looks \\x1b[31m odd");
}

/* The fate of a hold is a fate like others: what was known stays known. */
static void
a_hold_forgets_nothing(void **state)
{
	struct world *w = *state;

	put_off(w, ID_A, false);
	assert_int_equal(steer_hold(&w->s, &everybody, ID_A, NULL, &w->why), DONE);
	assert_string_equal(state_of(w, ID_A), ".h1q");
	assert_int_equal(steer_delete(&w->s, &everybody, ID_A, &w->why), DONE);
	assert_int_equal(steer_hold(&w->s, &everybody, ID_A, NULL, &w->why), LATER);
	assert_int_equal(w->why.exit, EX_NOINPUT);
}

static void
all_of_them_are_all_of_the_askers(void **state)
{
	static const struct asker five = { .uid = 5 }, root = { .uid = 0 }, nobody = { .uid = 0, .nobody = true };
	struct world *w = *state;
	size_t waiting = 9;

	put_off(w, ID_A, true);
	assert_int_equal(steer_retry_all(&w->s, &five, true, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 0);
	assert_string_equal(state_of(w, ID_A), ".h1q");
	assert_int_equal(steer_retry_all(&w->s, &nobody, true, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 0);
	assert_string_equal(state_of(w, ID_A), ".h1q");
	assert_int_equal(steer_retry_all(&w->s, &root, true, &waiting, &w->why), DONE);
	assert_int_equal(waiting, 1);
	assert_string_equal(state_of(w, ID_A), "A01q");
}

#define IN_A_SPOOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_SPOOL(a_message_is_found_where_it_is),
		IN_A_SPOOL(what_is_no_id_or_no_message_is_told_apart),
		IN_A_SPOOL(what_is_being_sent_is_left_alone),
		IN_A_SPOOL(what_moves_while_we_wait_for_it_is_found_where_it_went),
		IN_A_SPOOL(one_that_is_retried_begins_anew_for_everybody),
		IN_A_SPOOL(all_are_tried_now_and_only_a_person_renews_or_releases_them),
		IN_A_SPOOL(what_is_damaged_stays_held),
		IN_A_SPOOL(what_is_released_begins_anew_but_not_for_who_was_refused),
		IN_A_SPOOL(what_is_held_keeps_its_first_reason),
		IN_A_SPOOL(a_hold_forgets_nothing),
		IN_A_SPOOL(all_of_them_are_all_of_the_askers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
