/* file: each thing asked of a file system is done whole. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"

static char dir[64];
static int root;

static int
set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/file-unit.XXXXXX");
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root < 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close(root);
	return rmdir(dir);
}

static void
expect_text(const char *name, const char *text)
{
	struct buf got = { 0 };

	assert_int_equal(file_load(root, name, &got, 1 << 20), 0);
	assert_string_equal(buf_c(&got), text);
	buf_free(&got);
}

static void
what_was_written_is_read_back_whole(void **state)
{
	struct buf text = { 0 }, got = { 0 };
	int fd = openat(root, "whole", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	for (int i = 0; i < 50000; i++)
		buf_addf(&text, "%d,", i);
	assert_int_equal(file_write(fd, buf_str(&text)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(fd, &got, text.len), 0);
	assert_true(str_eq(buf_str(&got), buf_str(&text)));
	assert_int_equal(got.p[got.len], '\0');
	close(fd);
	unlinkat(root, "whole", 0);
	buf_free(&text);
	buf_free(&got);
}

static void
reading_appends_and_an_empty_file_adds_nothing(void **state)
{
	struct buf got = { 0 };

	(void)state;
	buf_adds(&got, "before ");
	assert_int_equal(file_replace(root, "a", STR("after"), false), 0);
	assert_int_equal(file_load(root, "a", &got, 100), 0);
	assert_string_equal(buf_c(&got), "before after");
	assert_int_equal(file_replace(root, "a", STR(""), false), 0);
	assert_int_equal(file_load(root, "a", &got, 0), 0);
	assert_string_equal(buf_c(&got), "before after");
	unlinkat(root, "a", 0);
	buf_free(&got);
}

static void
a_text_over_the_limit_is_efbig_and_one_at_it_is_not(void **state)
{
	struct buf got = { 0 };

	(void)state;
	assert_int_equal(file_replace(root, "a", STR("12345"), false), 0);
	assert_int_equal(file_load(root, "a", &got, 5), 0);
	assert_int_equal(got.len, 5);
	buf_clear(&got);
	errno = 0;
	assert_int_equal(file_load(root, "a", &got, 4), -1);
	assert_int_equal(errno, EFBIG);
	unlinkat(root, "a", 0);
	/* A source that never ends is the same. */
	buf_clear(&got);
	assert_int_equal(file_load(AT_FDCWD, "/dev/zero", &got, 100000), -1);
	assert_int_equal(errno, EFBIG);
	buf_free(&got);
}

static void
a_place_in_a_file_is_written_and_read_without_moving(void **state)
{
	char got[8] = "";
	size_t n = 0;
	int fd = openat(root, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(file_write(fd, STR("0123456789")), 0);
	assert_int_equal(file_write_at(fd, STR("xy"), 3), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
	assert_int_equal(file_read_at(fd, got, 4, 2, &n), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "2xy5", 4);
	assert_int_equal(file_read_at(fd, got, 4, 10, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(file_read(fd, got, 4, &n), 0);
	assert_int_equal(n, 0);
	close(fd);
	unlinkat(root, "a", 0);
}

static void
a_link_in_the_last_place_is_not_followed(void **state)
{
	struct buf got = { 0 };

	(void)state;
	assert_int_equal(file_replace(root, "a", STR("secret"), false), 0);
	assert_int_equal(symlinkat("a", root, "link"), 0);
	assert_int_equal(file_load(root, "link", &got, 100), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(got.len, 0);
	/* And replacing a link replaces the link. */
	assert_int_equal(file_replace(root, "link", STR("new"), false), 0);
	expect_text("a", "secret");
	expect_text("link", "new");
	unlinkat(root, "a", 0);
	unlinkat(root, "link", 0);
	buf_free(&got);
}

static void
a_fifo_cannot_hang_a_reader(void **state)
{
	struct buf got = { 0 };

	(void)state;
	assert_int_equal(mkfifoat(root, "fifo", 0600), 0);
	alarm(10);
	file_load(root, "fifo", &got, 100);
	alarm(0);
	assert_int_equal(got.len, 0);
	unlinkat(root, "fifo", 0);
	buf_free(&got);
}

static void
a_replaced_file_has_the_new_text_and_leaves_no_litter(void **state)
{
	struct stat st;

	(void)state;
	for (int durable = 0; durable < 2; durable++) {
		assert_int_equal(file_replace(root, "a", STR("a longer old text"), durable), 0);
		assert_int_equal(file_replace(root, "a", STR("new"), durable), 0);
		expect_text("a", "new");
		assert_int_equal(fstatat(root, "a", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(fstatat(root, "a.new", &st, 0), -1);
	}
	unlinkat(root, "a", 0);
}

static void
what_a_crash_left_behind_is_replaced_whatever_it_is(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	fd = openat(root, "a.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(file_write(fd, STR("half of a long old tex")), 0);
	close(fd);
	assert_int_equal(file_replace(root, "a", STR("new"), true), 0);
	expect_text("a", "new");
	assert_int_equal(fstatat(root, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(mkfifoat(root, "a.new", 0600), 0);
	alarm(10);
	assert_int_equal(file_replace(root, "a", STR("newer"), true), 0);
	alarm(0);
	expect_text("a", "newer");
	unlinkat(root, "a", 0);
}

static void
a_replacement_that_fails_leaves_the_old_text(void **state)
{
	char name[80];
	struct stat st;

	(void)state;
	/* A directory in its way: the rename fails. */
	assert_int_equal(mkdirat(root, "d", 0700), 0);
	assert_int_equal(mkdirat(root, "d/x", 0700), 0);
	assert_int_equal(file_replace(root, "d", STR("text"), true), -1);
	assert_true(errno != 0);
	assert_int_equal(fstatat(root, "d.new", &st, 0), -1);
	assert_int_equal(fstatat(root, "d/x", &st, 0), 0);
	unlinkat(root, "d/x", AT_REMOVEDIR);
	unlinkat(root, "d", AT_REMOVEDIR);
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	assert_int_equal(file_replace(root, name, STR("x"), false), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

static void
a_reader_sees_the_old_text_or_the_new_and_never_a_part(void **state)
{
	struct buf a = { 0 }, b = { 0 }, got = { 0 };
	int seen = 0, status;
	pid_t pid;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		buf_addc(&a, 'a');
		buf_adds(&b, "bb");
	}
	assert_int_equal(file_replace(root, "a", buf_str(&a), false), 0);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 300; i++)
			if (file_replace(root, "a", buf_str(i % 2 ? &a : &b), false) < 0)
				_exit(1);
		_exit(0);
	}
	for (; waitpid(pid, &status, WNOHANG) == 0; seen++) {
		buf_clear(&got);
		assert_int_equal(file_load(root, "a", &got, 1 << 20), 0);
		assert_true(str_eq(buf_str(&got), buf_str(&a)) || str_eq(buf_str(&got), buf_str(&b)));
	}
	assert_true(seen > 0);
	assert_int_equal(status, 0);
	unlinkat(root, "a", 0);
	buf_free(&a);
	buf_free(&b);
	buf_free(&got);
}

static void
wake_up(int sig)
{
	(void)sig;
}

/* Signals come in all the time; the pipe is drained in sips. */
static void
short_writes_and_interruptions_do_not_show(void **state)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = wake_up };
	struct buf text = { 0 }, got = { 0 };
	int fds[2], status;
	pid_t pid;

	(void)state;
	for (int i = 0; i < 60000; i++)
		buf_addf(&text, "%d ", i);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		sigaction(SIGALRM, &sa, NULL);
		setitimer(ITIMER_REAL, &often, NULL);
		_exit(file_write(fds[1], buf_str(&text)) == 0 ? 0 : 1);
	}
	close(fds[1]);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	usleep(10000);
	assert_int_equal(file_read_all(fds[0], &got, 1 << 20), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(str_eq(buf_str(&got), buf_str(&text)));
	close(fds[0]);
	buf_free(&text);
	buf_free(&got);
}

static void
a_full_disk_is_an_error_and_not_a_short_text(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(file_write(fd, STR("x")), -1);
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void
a_lock_keeps_out_every_other_description_and_only_those(void **state)
{
	int one, again, two, status;
	pid_t pid;

	(void)state;
	assert_int_equal(file_replace(root, "lock", STR(""), false), 0);
	one = openat(root, "lock", O_RDONLY | O_CLOEXEC);
	two = openat(root, "lock", O_RDONLY | O_CLOEXEC);
	again = dup(one);
	assert_int_equal(file_lock(one), 0);
	assert_int_equal(file_lock(again), 0);
	assert_int_equal(file_lock(two), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	/* The lock lives as long as any descriptor of its description. */
	pid = fork();
	if (pid == 0) {
		close(one);
		_exit(file_lock(two) == -1 && file_lock(again) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(one);
	assert_int_equal(file_lock(two), -1);
	close(again);
	assert_int_equal(file_lock(two), 0);
	close(two);
	unlinkat(root, "lock", 0);
}

static void
directories_are_made_with_all_that_is_missing_above(void **state)
{
	char path[128];
	struct stat st;
	mode_t old = umask(0);

	(void)state;
	snprintf(path, sizeof path, "%s/x//y/z/", dir);
	assert_int_equal(file_make_dirs(path), 0);
	assert_int_equal(file_make_dirs(path), 0);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(root, "x", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	unlinkat(root, "x/y/z", AT_REMOVEDIR);
	unlinkat(root, "x/y", AT_REMOVEDIR);
	unlinkat(root, "x", AT_REMOVEDIR);
}

static void
what_is_no_directory_is_not_taken_for_one(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(file_replace(root, "a", STR("text"), false), 0);
	snprintf(path, sizeof path, "%s/a", dir);
	assert_int_equal(file_make_dirs(path), -1);
	assert_int_equal(errno, ENOTDIR);
	snprintf(path, sizeof path, "%s/a/b", dir);
	assert_int_equal(file_make_dirs(path), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(symlinkat("nowhere", root, "link"), 0);
	snprintf(path, sizeof path, "%s/link", dir);
	assert_int_equal(file_make_dirs(path), -1);
	assert_int_equal(file_make_dirs(""), -1);
	unlinkat(root, "link", 0);
	unlinkat(root, "a", 0);
}

static void
a_descriptor_has_a_path_that_names_its_file(void **state)
{
	int fd;
	struct stat one, two;
	struct file_fd_path path;

	(void)state;
	assert_int_equal(file_replace(root, "a", STR("text"), false), 0);
	fd = openat(root, "a", O_RDONLY | O_CLOEXEC);
	path = file_fd_path(fd);
	assert_int_equal(stat(path.p, &one), 0);
	assert_int_equal(fstat(fd, &two), 0);
	assert_int_equal(one.st_ino, two.st_ino);
	assert_string_equal(file_fd_path(2147483647).p, "/proc/self/fd/2147483647");
	close(fd);
	unlinkat(root, "a", 0);
}

static void
a_directory_lists_its_names_and_no_descriptor_is_left(void **state)
{
	bool seen = false;
	int fd, file;
	DIR *list;

	(void)state;
	assert_int_equal(file_replace(root, "a", STR("text"), false), 0);
	fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	list = file_list(fd);
	assert_non_null(list);
	for (struct dirent *e; (e = readdir(list)) != NULL;)
		seen = seen || strcmp(e->d_name, "a") == 0;
	assert_true(seen);
	closedir(list);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	file = openat(root, "a", O_RDONLY | O_CLOEXEC);
	assert_null(file_list(file));
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(fcntl(file, F_GETFD), -1);
	errno = 0;
	assert_null(file_list(openat(root, "none", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
	assert_int_equal(errno, ENOENT);
	unlinkat(root, "a", 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_back_whole),
		cmocka_unit_test(reading_appends_and_an_empty_file_adds_nothing),
		cmocka_unit_test(a_text_over_the_limit_is_efbig_and_one_at_it_is_not),
		cmocka_unit_test(a_place_in_a_file_is_written_and_read_without_moving),
		cmocka_unit_test(a_link_in_the_last_place_is_not_followed),
		cmocka_unit_test(a_fifo_cannot_hang_a_reader),
		cmocka_unit_test(a_replaced_file_has_the_new_text_and_leaves_no_litter),
		cmocka_unit_test(what_a_crash_left_behind_is_replaced_whatever_it_is),
		cmocka_unit_test(a_replacement_that_fails_leaves_the_old_text),
		cmocka_unit_test(a_reader_sees_the_old_text_or_the_new_and_never_a_part),
		cmocka_unit_test(short_writes_and_interruptions_do_not_show),
		cmocka_unit_test(a_full_disk_is_an_error_and_not_a_short_text),
		cmocka_unit_test(a_lock_keeps_out_every_other_description_and_only_those),
		cmocka_unit_test(directories_are_made_with_all_that_is_missing_above),
		cmocka_unit_test(what_is_no_directory_is_not_taken_for_one),
		cmocka_unit_test(a_descriptor_has_a_path_that_names_its_file),
		cmocka_unit_test(a_directory_lists_its_names_and_no_descriptor_is_left),
	};

	return cmocka_run_group_tests_name("file", tests, set_up, tear_down);
}
