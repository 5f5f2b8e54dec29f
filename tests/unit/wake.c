/* wake: a runner is told, without anybody waiting for anybody. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wake.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

extern char **environ;

struct world {
	char root[64];
	struct spool s;
};

static void
open_spool(struct world *w, const char *path)
{
	w->s = (struct spool)SPOOL_INIT;
	w->s.path = mem_dup(str_of(path));
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	w->s.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->s.dir >= 0);
}

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-wake-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	*state = w;
	open_spool(w, w->root);
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

	spool_close(&w->s);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* The body of a promise that needs a process of its own: 0 is kept. */
static void
in_a_child(struct world *w, int (*body)(struct world *w))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(body(w));
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A runner's socket of our own making. */
static struct wake
listen_on(const struct spool *s)
{
	struct wake r = { .fd = -1 };

	assert_int_equal(wake_bind(s, &r), 0);
	assert_true(r.fd >= 0 && !r.inherited);
	return r;
}

static void
leave(const struct spool *s, struct wake *r)
{
	wake_hide(s, r);
	wake_close(r);
}

/* ---- the datagram ---- */

static void
where_nobody_listens_that_is_the_answer(void **state)
{
	struct world *w = *state;

	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_NOBODY);
}

static void
words_arrive_whole_and_one_at_a_time(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct wake r = listen_on(&w->s);

	assert_false(wake_receive(r.fd, &words));
	assert_int_equal(wake_send(&w->s, STR("wake A")), WAKE_SENT);
	assert_int_equal(wake_send(&w->s, STR("retry")), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "wake A");
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "retry");
	assert_false(wake_receive(r.fd, &words));
	leave(&w->s, &r);
	buf_free(&words);
}

static void
more_than_the_words_may_hold_is_cut_and_does_no_harm(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	char huge[WAKE_WORDS_MAX * 2];
	struct wake r = listen_on(&w->s);

	memset(huge, 'x', sizeof huge);
	assert_int_equal(wake_send(&w->s, str_from(huge, sizeof huge)), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	assert_true(words.len <= WAKE_WORDS_MAX);
	assert_int_equal(wake_send(&w->s, STR("")), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	assert_int_equal(words.len, 0);
	leave(&w->s, &r);
	buf_free(&words);
}

static void
after_unbinding_nobody_is_there_and_no_name_is_left(void **state)
{
	struct world *w = *state;
	struct stat st;
	struct wake r = listen_on(&w->s);

	leave(&w->s, &r);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_NOBODY);
	assert_int_equal(fstatat(w->s.dir, "runner", &st, AT_SYMLINK_NOFOLLOW), -1);
}

static void
a_dead_runners_socket_is_nobody_and_is_replaced(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct wake r = listen_on(&w->s);

	close(r.fd);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_NOBODY);
	r = listen_on(&w->s);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	leave(&w->s, &r);
	buf_free(&words);
}

static void
a_plain_file_in_its_place_is_nobody_and_is_replaced(void **state)
{
	struct world *w = *state;
	struct wake r;
	int fd = openat(w->s.dir, "runner", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_NOBODY);
	r = listen_on(&w->s);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_SENT);
	leave(&w->s, &r);
}

static void
a_runner_that_does_not_read_is_full_and_nobody_waits_for_it(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct wake r = listen_on(&w->s);
	int sent = 0;
	enum wake_sent last;

	alarm(20);
	while ((last = wake_send(&w->s, STR("wake"))) == WAKE_SENT && sent < 100000)
		sent++;
	alarm(0);
	assert_int_equal(last, WAKE_FULL);
	assert_true(sent > 0);
	while (wake_receive(r.fd, &words))
		sent--;
	assert_int_equal(sent, 0);
	leave(&w->s, &r);
	buf_free(&words);
}

static void
a_path_longer_than_a_sockets_address_works_as_well(void **state)
{
	struct world *w = *state, deep = { 0 };
	struct buf path = { 0 }, words = { 0 };
	struct wake r;

	buf_adds(&path, w->root);
	for (int i = 0; i < 5; i++) {
		buf_adds(&path, "/a-directory-with-a-rather-long-name");
		assert_int_equal(mkdir(buf_c(&path), 0700), 0);
	}
	assert_true(path.len > 150);
	open_spool(&deep, buf_c(&path));
	assert_int_equal(wake_send(&deep.s, STR("wake")), WAKE_NOBODY);
	r = listen_on(&deep.s);
	assert_int_equal(wake_send(&deep.s, STR("wake")), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	leave(&deep.s, &r);
	assert_int_equal(faccessat(deep.s.dir, "runner", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	spool_close(&deep.s);
	buf_free(&path);
	buf_free(&words);
}

static void
a_socket_made_before_sends_to_a_path_made_before(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	char *path = wake_path(&w->s);
	struct wake r;
	int from = wake_socket();

	assert_true(from >= 0);
	assert_int_equal(wake_send_on(from, path, STR("end X")), WAKE_NOBODY);
	r = listen_on(&w->s);
	assert_int_equal(wake_send_on(from, path, STR("end X")), WAKE_SENT);
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "end X");
	leave(&w->s, &r);
	close(from);
	free(path);
	buf_free(&words);
}

static void
its_sockets_are_not_inherited_by_what_is_executed(void **state)
{
	struct world *w = *state;
	struct wake r = listen_on(&w->s);
	int from = wake_socket();

	assert_int_equal(fcntl(r.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(from, F_GETFD), FD_CLOEXEC);
	leave(&w->s, &r);
	close(from);
}

static void
the_name_goes_first_and_what_came_before_is_still_read(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct wake r = listen_on(&w->s);

	assert_int_equal(wake_send(&w->s, STR("wake A")), WAKE_SENT);
	wake_hide(&w->s, &r);
	assert_int_equal(wake_send(&w->s, STR("wake B")), WAKE_NOBODY);
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "wake A");
	wake_close(&r);
	assert_int_equal(r.fd, -1);
	wake_close(&r);
	buf_free(&words);
}

/* Whoever had found the socket and only now says his words must learn that they
 * will not be read. */
static void
once_hidden_it_takes_no_more_words_by_any_way(void **state)
{
	struct world *w = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct buf words = { 0 };
	struct wake r = listen_on(&w->s);
	int from = wake_socket();

	snprintf(address.sun_path, sizeof address.sun_path, "%s/runner", w->root);
	assert_int_equal(connect(from, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(send(from, "wake A", 6, MSG_NOSIGNAL), 6);
	wake_hide(&w->s, &r);
	assert_int_equal(send(from, "wake B", 6, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "wake A");
	assert_false(wake_receive(r.fd, &words));
	wake_close(&r);
	close(from);
	buf_free(&words);
}

static void
the_name_of_another_runners_socket_is_left_in_its_place(void **state)
{
	struct world *w = *state;
	struct wake old = listen_on(&w->s), fresh = listen_on(&w->s);

	wake_hide(&w->s, &old);
	wake_close(&old);
	assert_int_equal(wake_send(&w->s, STR("wake")), WAKE_SENT);
	leave(&w->s, &fresh);
}

/* ---- a service manager's socket ---- */

static int
listen_at_three(const struct world *w, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);
	char pid[24];

	snprintf(address.sun_path, sizeof address.sun_path, "%s/runner", w->root);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    dup2(fd, 3) != 3)
		return -1;
	if (fd != 3)
		close(fd);
	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	return 3;
}

static int
inherit_a_socket(struct world *w)
{
	struct buf words = { 0 };
	struct wake r;

	if (listen_at_three(w, SOCK_DGRAM) < 0)
		return 1;
	/* What came before the runner was started waits in it. */
	if (wake_send(&w->s, STR("wake A")) != WAKE_SENT)
		return 2;
	wake_clean_environment();
	if (!wake_inherit(&r) || wake_bind(&w->s, &r) < 0 || r.fd != 3 || !r.inherited)
		return 3;
	if (!wake_receive(r.fd, &words) || strcmp(buf_c(&words), "wake A") != 0 ||
	    wake_receive(r.fd, &words))
		return 4;
	if ((fcntl(r.fd, F_GETFD) & FD_CLOEXEC) == 0)
		return 5;
	leave(&w->s, &r);
	/* It stays, so that the next word starts a runner again. */
	if (wake_send(&w->s, STR("wake B")) != WAKE_SENT)
		return 6;
	buf_free(&words);
	return 0;
}

static void
a_service_managers_socket_is_taken_and_left_in_its_place(void **state)
{
	in_a_child(*state, inherit_a_socket);
}

static int
take_a_foreign_socket(struct world *w)
{
	struct wake r;

	if (listen_at_three(w, SOCK_DGRAM) < 0)
		return 1;
	/* Meant for another process, whose child we are. */
	setenv("LISTEN_PID", "1", 1);
	return wake_inherit(&r) || r.inherited || r.fd >= 0 ? 2 : 0;
}

static void
a_socket_meant_for_another_process_is_not_taken(void **state)
{
	in_a_child(*state, take_a_foreign_socket);
}

static int
take_a_stream_socket(struct world *w)
{
	struct wake r;

	if (listen_at_three(w, SOCK_STREAM) < 0)
		return 1;
	return wake_inherit(&r) || r.inherited || r.fd >= 0 ? 2 : 0;
}

static void
a_socket_of_another_kind_is_not_taken(void **state)
{
	in_a_child(*state, take_a_stream_socket);
}

/* ---- the environment ---- */

static const char *const kept[] = { "HOME", "PATH", "LANG", "TZ", "XDG_CONFIG_HOME",
	"XDG_RUNTIME_DIR", "XDG_STATE_HOME", "DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME",
	"PASSWORD_STORE_DIR", "SSH_AUTH_SOCK", "LISTEN_PID", "LISTEN_FDS", "SUBPOST_CONFIG" };

static const char *const dropped[] = { "LD_PRELOAD_X", "HOMEX", "MAIL", "PATHS", "LC_ALL", "IFS", "BASH_ENV", "GNUTLS_SYSTEM_PRIORITY_FILE", "SSLKEYLOGFILE", "XDG", "xdg_x",
	"MALLOC_CHECK_", "TZDIR", "SUBPOST", "SSH_AUTH_SOCKET", "GCONV_PATH", "RES_OPTIONS" };

static int
clean(struct world *w)
{
	char path[128];
	size_t n = 0;

	(void)w;
	clearenv();
	for (size_t i = 0; i < COUNT(dropped); i++)
		setenv(dropped[i], "x", 1);
	for (size_t i = 0; i < COUNT(kept); i++)
		setenv(kept[i], "y", 1);
	snprintf(path, sizeof path, "%s/ini", w->root);
	setenv("SUBPOST_CONFIG", path, 1);
	wake_clean_environment();
	for (char **e = environ; *e != NULL; e++)
		n++;
	if (n != COUNT(kept))
		return 1;
	for (size_t i = 0; i < COUNT(kept); i++)
		if (getenv(kept[i]) == NULL)
			return 2;
	for (size_t i = 0; i < COUNT(dropped); i++)
		if (getenv(dropped[i]) != NULL)
			return 3;
	return strcmp(getenv("HOME"), "y") != 0 || strcmp(getenv("PATH"), "y") != 0 ? 4 : 0;
}

static void
the_environment_keeps_exactly_what_a_password_command_needs(void **state)
{
	in_a_child(*state, clean);
}

static int
give_a_path(struct world *w)
{
	(void)w;
	clearenv();
	wake_clean_environment();
	if (getenv("PATH") == NULL || strcmp(getenv("PATH"), "/usr/local/bin:/usr/bin:/bin") != 0)
		return 1;
	return 0;
}

static void
a_missing_path_gets_a_plain_one(void **state)
{
	in_a_child(*state, give_a_path);
}

static int
make_absolute(struct world *w)
{
	struct buf want = { 0 };
	char *root = realpath(w->root, NULL);
	int fd;

	if (chdir(w->root) < 0 || (fd = open("my.ini", O_CREAT | O_WRONLY, 0600)) < 0)
		return 1;
	buf_addf(&want, "%s/my.ini", root);
	setenv("SUBPOST_CONFIG", "./my.ini", 1);
	wake_clean_environment();
	return strcmp(getenv("SUBPOST_CONFIG"), buf_c(&want)) != 0 ? 2 : 0;
}

static void
the_configurations_name_is_made_absolute_before_the_folder_is_left(void **state)
{
	in_a_child(*state, make_absolute);
}

/* ---- programs ---- */

static void
a_program_beside_the_running_one_is_found(void **state)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	struct buf found = { 0 };

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	buf_adds(&found, "=");
	wake_find_program(strrchr(self, '/') + 1, &found);
	assert_int_equal(found.len, strlen(self) + 1);
	assert_string_equal(buf_c(&found) + 1, self);
	assert_int_equal(found.p[0], '=');
	buf_free(&found);
}

static void
a_program_that_is_not_beside_it_is_looked_for_where_it_was_installed(void **state)
{
	struct buf found = { 0 };

	(void)state;
	wake_find_program("subpost-courier", &found);
	assert_string_equal(buf_c(&found), SUBPOST_LIBEXECDIR "/subpost-courier");
	buf_clear(&found);
	wake_find_program("subpostd", &found);
	assert_string_equal(buf_c(&found), SUBPOST_SBINDIR "/subpostd");
	buf_clear(&found);
	wake_find_program("no-such-program", &found);
	assert_string_equal(buf_c(&found), "");
	buf_free(&found);
}

static void
a_runner_that_listens_is_told_and_none_is_started(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct why why = { 0 };
	struct wake r = listen_on(&w->s);

	assert_int_equal(wake_runner(&w->s, STR("wake A"), false, &why), DONE);
	assert_true(wake_receive(r.fd, &words));
	assert_string_equal(buf_c(&words), "wake A");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	leave(&w->s, &r);
	buf_free(&words);
}

static void
fill_up(struct world *w)
{
	alarm(20);
	while (wake_send(&w->s, STR("wake")) == WAKE_SENT)
		continue;
	alarm(0);
}

/* What is new will be seen anyway; that something is to be tried again would not. */
static void
a_runner_with_too_many_words_is_asked_again_for_a_retry_only(void **state)
{
	struct world *w = *state;
	struct buf words = { 0 };
	struct why why = { 0 };
	struct wake r = listen_on(&w->s);
	bool heard = false;
	int status;
	pid_t pid;

	fill_up(w);
	assert_int_equal(wake_runner(&w->s, STR("wake A"), false, &why), DONE);
	assert_int_equal(wake_runner(&w->s, STR("retry"), true, &why), LATER);
	assert_non_null(strstr(why.text, "does not listen"));
	pid = fork();
	if (pid == 0)
		_exit(wake_runner(&w->s, STR("retry"), true, &why) == DONE ? 0 : 1);
	assert_true(pid > 0);
	alarm(20);
	while (!heard)
		heard = wake_receive(r.fd, &words) && str_is(buf_str(&words), "retry");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	alarm(0);
	assert_int_equal(status, 0);
	leave(&w->s, &r);
	buf_free(&words);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(where_nobody_listens_that_is_the_answer),
		PROMISE(words_arrive_whole_and_one_at_a_time),
		PROMISE(more_than_the_words_may_hold_is_cut_and_does_no_harm),
		PROMISE(after_unbinding_nobody_is_there_and_no_name_is_left),
		PROMISE(the_name_goes_first_and_what_came_before_is_still_read),
		PROMISE(once_hidden_it_takes_no_more_words_by_any_way),
		PROMISE(the_name_of_another_runners_socket_is_left_in_its_place),
		PROMISE(a_dead_runners_socket_is_nobody_and_is_replaced),
		PROMISE(a_plain_file_in_its_place_is_nobody_and_is_replaced),
		PROMISE(a_runner_that_does_not_read_is_full_and_nobody_waits_for_it),
		PROMISE(a_path_longer_than_a_sockets_address_works_as_well),
		PROMISE(a_socket_made_before_sends_to_a_path_made_before),
		PROMISE(its_sockets_are_not_inherited_by_what_is_executed),
		PROMISE(a_service_managers_socket_is_taken_and_left_in_its_place),
		PROMISE(a_socket_meant_for_another_process_is_not_taken),
		PROMISE(a_socket_of_another_kind_is_not_taken),
		PROMISE(the_environment_keeps_exactly_what_a_password_command_needs),
		PROMISE(a_missing_path_gets_a_plain_one),
		PROMISE(the_configurations_name_is_made_absolute_before_the_folder_is_left),
		cmocka_unit_test(a_program_beside_the_running_one_is_found),
		cmocka_unit_test(a_program_that_is_not_beside_it_is_looked_for_where_it_was_installed),
		PROMISE(a_runner_that_listens_is_told_and_none_is_started),
		PROMISE(a_runner_with_too_many_words_is_asked_again_for_a_retry_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
