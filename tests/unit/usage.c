/* usage: what waits is seen by all, and nobody is slower than a rate allows. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usage.h"

#define SECOND INT64_C(1000000)
#define NOW (1700000000 * SECOND)

struct world {
	char root[64], dir[80];
	struct spool s;
	struct why why;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-usage-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	snprintf(w->dir, sizeof w->dir, "%s/spool", w->root);
	w->s = (struct spool)SPOOL_INIT;
	*state = w;
	return spool_open(&w->s, w->dir, "/etc/subpost/subpost.ini", &w->why) == DONE ? 0 : -1;
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

/* ---- how much waits --------------------------------------------------------------- */

static void
what_the_runner_writes_its_siblings_see(void **state)
{
	struct usage *u = usage_make();
	int status = -1;
	pid_t pid;

	(void)state;
	assert_non_null(u);
	usage_set(u, 33, 1);
	pid = fork();
	if (pid == 0) {
		usage_set(u, 33, 5);
		usage_set(u, 0, 7);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(usage_of(u, 33), 5);
	assert_int_equal(usage_of(u, 0), 7);
	assert_int_equal(usage_of(u, 34), 0);
	assert_int_equal(usage_of(NULL, 33), 0);
	usage_clear(u);
	assert_int_equal(usage_of(u, 33), 0);
	usage_free(u);
	usage_free(NULL);
}

static void
as_many_uids_as_there_are_rows_are_told_apart(void **state)
{
	struct usage *u = usage_make();

	(void)state;
	for (uint32_t i = 0; i < USAGE_UIDS; i++)
		usage_set(u, i * 1024 + 7, i + 1);
	for (uint32_t i = 0; i < USAGE_UIDS; i++)
		assert_int_equal(usage_of(u, i * 1024 + 7), i + 1);
	/* One more is not limited, and does nobody any harm. */
	usage_set(u, 5, 99);
	assert_int_equal(usage_of(u, 5), 0);
	/* But has a row when somebody's mail has gone. */
	usage_set(u, 1024 + 7, 0);
	usage_set(u, 5, 99);
	assert_int_equal(usage_of(u, 5), 99);
	for (uint32_t i = 2; i < USAGE_UIDS; i++)
		assert_int_equal(usage_of(u, i * 1024 + 7), i + 1);
	usage_free(u);
}

static void
uids_that_come_and_go_use_up_no_rows(void **state)
{
	struct usage *u = usage_make();

	(void)state;
	usage_set(u, 4, 44);
	for (uid_t uid = 100000; uid < 100000 + 10 * USAGE_UIDS; uid++) {
		usage_set(u, uid, 3);
		assert_int_equal(usage_of(u, uid), 3);
		usage_set(u, uid, 0);
	}
	usage_set(u, (uid_t)-1, UINT32_MAX);
	assert_true(usage_of(u, (uid_t)-1) > 1000000);
	assert_int_equal(usage_of(u, 4), 44);
	usage_free(u);
}

/* ---- what is told of it -------------------------------------------------------------- */

static void
of_one_uid_so_much_is_told_a_minute(void **state)
{
	struct usage *u = usage_make();
	time_t now = 60 * 1000;

	(void)state;
	for (unsigned left = USAGE_COMPLAINTS; left > 0; left--)
		assert_int_equal(usage_complain(u, 7, now), left);
	assert_int_equal(usage_complain(u, 7, now), 0);
	assert_int_equal(usage_complain(u, 8, now), USAGE_COMPLAINTS);
	usage_clear(u);
	assert_int_equal(usage_complain(u, 7, now + 59), 0);
	assert_int_equal(usage_complain(u, 7, now + 60), USAGE_COMPLAINTS);
	/* A clock that was set back. */
	assert_int_equal(usage_complain(u, 7, now), USAGE_COMPLAINTS);
	assert_int_equal(usage_complain(NULL, 7, now), USAGE_COMPLAINTS);
	usage_free(u);
}

/* ---- how fast it comes -------------------------------------------------------------- */

static const struct rate two_a_minute = { 2, 60 };

static void
expect(struct world *w, uid_t uid, int64_t now, enum outcome want)
{
	assert_int_equal(usage_take(&w->s, uid, &two_a_minute, now, &w->why), want);
}

static void
a_burst_passes_and_then_as_many_as_the_rate_says(void **state)
{
	struct world *w = *state;

	expect(w, 33, NOW, DONE);
	expect(w, 33, NOW, DONE);
	expect(w, 33, NOW + SECOND, LATER);
	assert_non_null(strstr(w->why.text, "2/m"));
	assert_non_null(strstr(w->why.text, "29s"));
	/* Who was refused has not used anything up. */
	expect(w, 33, NOW + 30 * SECOND, DONE);
	expect(w, 33, NOW + 31 * SECOND, LATER);
	expect(w, 33, NOW + 3600 * SECOND, DONE);
	expect(w, 33, NOW + 3600 * SECOND, DONE);
	expect(w, 33, NOW + 3600 * SECOND, LATER);
}

static void
each_uid_has_its_own(void **state)
{
	struct world *w = *state;
	struct stat st;
	char path[128];

	expect(w, 33, NOW, DONE);
	expect(w, 33, NOW, DONE);
	expect(w, 33, NOW, LATER);
	expect(w, 34, NOW, DONE);
	snprintf(path, sizeof path, "%s/users", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof path, "%s/users/34", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
no_rate_asks_nobody(void **state)
{
	struct world *w = *state;
	const struct rate none = { 0 };
	char path[128];

	assert_int_equal(usage_take(&w->s, 33, &none, NOW, &w->why), DONE);
	snprintf(path, sizeof path, "%s/users", w->dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void
a_clock_that_was_set_back_stops_nobody_for_longer_than_a_burst(void **state)
{
	struct world *w = *state;

	expect(w, 33, NOW + 86400 * SECOND, DONE);
	expect(w, 33, NOW, LATER);
	expect(w, 33, NOW + 60 * SECOND, DONE);
}

static void
a_file_that_cannot_be_read_lets_it_pass(void **state)
{
	static const char *const rubbish[] = { "", "x", "-5", "99999999999999999999999999999999999", "\n" };
	struct world *w = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/users", w->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/users/33", w->dir);
	for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(write(fd, rubbish[i], strlen(rubbish[i])), (ssize_t)strlen(rubbish[i]));
		close(fd);
		expect(w, 33, NOW, DONE);
		expect(w, 33, NOW, DONE);
		expect(w, 33, NOW, LATER);
	}
	/* No file at all. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < 5; i++)
		expect(w, 33, NOW, DONE);
}

/* Many at one gate, which opens for all of them. */
static int
count_passed(struct world *w, uid_t uid)
{
	int gate[2], passed = 0, status;
	char octet;

	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < 8; i++) {
		if (fork() == 0) {
			int mine = 0;

			close(gate[1]);
			(void)!read(gate[0], &octet, 1);
			for (int k = 0; k < 50; k++)
				mine += usage_take(&w->s, uid, &(struct rate){ 100, 86400 }, NOW, &w->why) == DONE;
			_exit(mine);
		}
	}
	close(gate[0]);
	close(gate[1]);
	while (wait(&status) > 0)
		passed += WEXITSTATUS(status);
	return passed;
}

static void
of_many_at_once_only_a_burst_passes(void **state)
{
	struct world *w = *state;

	for (uid_t uid = 100; uid < 110; uid++)
		assert_int_equal(count_passed(w, uid), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_runner_writes_its_siblings_see),
		cmocka_unit_test(as_many_uids_as_there_are_rows_are_told_apart),
		cmocka_unit_test(uids_that_come_and_go_use_up_no_rows),
		cmocka_unit_test(of_one_uid_so_much_is_told_a_minute),
		TEST(a_burst_passes_and_then_as_many_as_the_rate_says),
		TEST(each_uid_has_its_own),
		TEST(no_rate_asks_nobody),
		TEST(a_clock_that_was_set_back_stops_nobody_for_longer_than_a_burst),
		TEST(a_file_that_cannot_be_read_lets_it_pass),
		TEST(of_many_at_once_only_a_burst_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
