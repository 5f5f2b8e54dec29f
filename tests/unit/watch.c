/* watch: a file that is another one than before is noticed, however it became that. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch.h"

static char folder[] = "/tmp/subpost-watch-XXXXXX";

static void
write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Has anything happened that would wake a sleeper? */
static bool
wakes(const struct watch *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static int
set_up(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL || chdir(folder) < 0 || mkdir("other", 0700) < 0)
		return -1;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink("ini");
	unlink("real");
	unlink("other/secret");
	rmdir("other");
	return chdir("/") < 0 || rmdir(folder) < 0 ? -1 : 0;
}

static void
begin(struct watch *w)
{
	char first[64], second[64];

	unlink("ini");
	write_file("ini", "one");
	write_file("other/secret", "two");
	snprintf(first, sizeof first, "%s/ini", folder);
	snprintf(second, sizeof second, "%s/other/secret", folder);
	watch_files(w, first, second);
	assert_true(w->fd >= 0);
	assert_false(wakes(w));
	assert_false(watch_has_changed(w));
}

static void
change_in_place(void)
{
	write_file("ini", "ONE");
}

static void
change_the_other(void)
{
	write_file("other/secret", "TWO");
}

static void
put_a_new_one_there(void)
{
	write_file("ini.new", "ONE");
	assert_int_equal(rename("ini.new", "ini"), 0);
}

static void
put_a_link_there(void)
{
	write_file("real", "ONE");
	assert_int_equal(symlink("real", "ini.new"), 0);
	assert_int_equal(rename("ini.new", "ini"), 0);
}

static void
change_the_mode(void)
{
	assert_int_equal(chmod("ini", 0640), 0);
}

static void
a_change_wakes_and_is_told_once(void **state)
{
	void (*const changes[])(void) = { change_in_place, change_the_other, put_a_new_one_there,
		put_a_link_there, change_the_mode };

	(void)state;
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct watch w = WATCH_INIT;

		begin(&w);
		changes[i]();
		assert_true(wakes(&w));
		assert_true(watch_has_changed(&w));
		assert_false(wakes(&w));
		assert_false(watch_has_changed(&w));
		watch_free(&w);
		watch_free(&w);
	}
}

static void
what_happens_beside_it_is_no_change(void **state)
{
	struct watch w = WATCH_INIT;

	(void)state;
	begin(&w);
	write_file("neighbour", "x");
	assert_false(watch_has_changed(&w));
	unlink("neighbour");
	watch_free(&w);
}

static void
a_file_half_written_wakes_nobody(void **state)
{
	struct watch w = WATCH_INIT;
	int fd;

	(void)state;
	begin(&w);
	unlink("ini");
	fd = open("ini", O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "ha", 2), 2);
	assert_false(wakes(&w));
	assert_int_equal(write(fd, "lf", 2), 2);
	close(fd);
	assert_true(wakes(&w));
	watch_free(&w);
}

static void
no_file_and_no_directory_are_borne(void **state)
{
	struct watch w = WATCH_INIT;

	(void)state;
	watch_files(&w, "/nowhere/at/all/ini", "");
	assert_false(watch_has_changed(&w));
	watch_files(&w, "", "");
	assert_false(watch_has_changed(&w));
	watch_free(&w);
	assert_false(watch_has_changed(&w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_wakes_and_is_told_once),
		cmocka_unit_test(what_happens_beside_it_is_no_change),
		cmocka_unit_test(a_file_half_written_wakes_nobody),
		cmocka_unit_test(no_file_and_no_directory_are_borne),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
