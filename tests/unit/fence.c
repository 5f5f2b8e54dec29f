/* fence: what clerk and runner can no longer do, and what they still can. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fence.h"
#include "spool.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define P(p) ((long)(intptr_t)(p))

/* A queue of our own, and a file beside it. */
static struct {
	char root[64], queue[96], beside[96], box[128];
	int box_fd;
	struct spool s;
	struct fence fence;
	pid_t other;            /* a process of ours that waits to be killed */
} world = { .s = SPOOL_INIT, .fence = FENCE_INIT };

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int
set_up(void **state)
{
	struct sockaddr_un box = { .sun_family = AF_UNIX };
	struct buf missing = { 0 };
	struct why why;
	int fd;

	(void)state;
	snprintf(world.root, sizeof world.root, "/tmp/fence-unit.XXXXXX");
	assert_non_null(mkdtemp(world.root));
	snprintf(world.queue, sizeof world.queue, "%s/spool", world.root);
	snprintf(world.beside, sizeof world.beside, "%s/beside", world.root);
	snprintf(world.box, sizeof world.box, "%s/runner", world.queue);
	fd = open(world.beside, O_WRONLY | O_CREAT, 0666);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(spool_open(&world.s, world.queue, "/etc/subpost/subpost.ini", &why), DONE);
	world.box_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	memcpy(box.sun_path, world.box, strlen(world.box));
	assert_int_equal(bind(world.box_fd, (struct sockaddr *)&box, sizeof box), 0);
	fence_make(&world.fence, world.queue, &missing);
	if (missing.len > 0)
		print_message("# this kernel lacks: %s\n", buf_c(&missing));
	buf_free(&missing);
	world.other = fork();
	if (world.other == 0) {
		alarm(120);
		for (;;)
			pause();
	}
	return world.other < 0;
}

static int
tear_down(void **state)
{
	(void)state;
	kill(world.other, SIGKILL);
	waitpid(world.other, NULL, 0);
	close(world.box_fd);
	spool_close(&world.s);
	fence_free(&world.fence);
	return nftw(world.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Runs story in a child; behind: a fence, or NULL.  What the child exits with, or 1000
 * and its signal. */
static int
tell(const struct fence *behind, int (*story)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		if (behind != NULL && fence_shut(behind) < 0)
			_exit(200);
		_exit(story());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

struct call {
	const char *name;
	long number;
	long a[5];
	int error;              /* what it answers */
};

/* How many of these calls were not refused in that way. */
static int
count_allowed(const struct call *calls, size_t n)
{
	int allowed = 0;

	for (size_t i = 0; i < n; i++) {
		const long *a = calls[i].a;
		long r;

		errno = 0;
		r = syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4]);
		if (r < 0 && errno == calls[i].error)
			continue;
		print_message("# not refused: %s (%s)\n", calls[i].name, strerror(errno));
		allowed++;
	}
	return allowed;
}

static int
open_what_is_elsewhere(void)
{
	char fresh[128];
	const struct call calls[] = {
		{ "openat", SYS_openat, { AT_FDCWD, P("/etc/passwd"), O_RDONLY }, EACCES },
		{ "openat of a directory", SYS_openat, { AT_FDCWD, P("/etc"), O_RDONLY }, EACCES },
		{ "openat for writing", SYS_openat, { AT_FDCWD, P(world.beside), O_WRONLY }, EACCES },
		{ "openat by ..", SYS_openat, { world.s.dir, P("../beside"), O_RDONLY }, EACCES },
		{ "openat O_CREAT", SYS_openat, { AT_FDCWD, P(fresh), O_WRONLY | O_CREAT, 0600 }, EACCES },
		{ "mkdirat", SYS_mkdirat, { AT_FDCWD, P(fresh), 0700 }, EACCES },
		{ "unlinkat", SYS_unlinkat, { AT_FDCWD, P(world.beside), 0 }, EACCES },
		{ "linkat", SYS_linkat, { AT_FDCWD, P(world.beside), world.s.dir, P("in"), 0 }, EXDEV },
		{ "symlinkat", SYS_symlinkat, { P("/etc"), world.s.dir, P("etc") }, EACCES },
		{ "mknodat", SYS_mknodat, { world.s.dir, P("pipe"), S_IFIFO | 0600, 0 }, EACCES },
		{ "truncate", SYS_truncate, { P(world.beside), 0 }, EACCES },
		{ "fchmodat", SYS_fchmodat, { AT_FDCWD, P(world.queue), 0777 }, EPERM },
		{ "fchmod", SYS_fchmod, { world.s.dir, 0777 }, EPERM },
		{ "chroot", SYS_chroot, { P(world.root) }, EPERM },
		{ "memfd_create", SYS_memfd_create, { P("memory"), 0 }, EPERM },
	};

	snprintf(fresh, sizeof fresh, "%s/fresh", world.root);
	return count_allowed(calls, COUNT(calls));
}

static int
reach_a_network(void)
{
	int two[2];
	const struct call calls[] = {
		{ "socket of the Internet", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, EPERM },
		{ "of its version 6", SYS_socket, { AF_INET6, SOCK_DGRAM, 0 }, EPERM },
		{ "of netlink", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, EPERM },
		{ "socketpair", SYS_socketpair, { AF_INET, SOCK_STREAM, 0, P(two) }, EPERM },
		{ "listen", SYS_listen, { world.box_fd, 5 }, EPERM },
		{ "io_uring_setup", SYS_io_uring_setup, { 1, 0 }, EPERM },
	};

	return count_allowed(calls, COUNT(calls));
}

static int
touch_others(void)
{
	char *const words[] = { (char *)"/bin/true", NULL };
	struct rlimit none = { 0, 0 };
	const struct call calls[] = {
		{ "execve", SYS_execve, { P("/bin/true"), P(words), P(words + 1) }, EPERM },
		{ "execveat", SYS_execveat, { AT_FDCWD, P("/bin/true"), P(words), P(words + 1), 0 }, EPERM },
		{ "clone", SYS_clone, { SIGCHLD, 0, 0, 0, 0 }, EPERM },
		{ "clone3", SYS_clone3, { 0, 0 }, ENOSYS },
		{ "unshare", SYS_unshare, { 0x200 }, EPERM },
		{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, world.other, 0, 0 }, EPERM },
		{ "process_vm_readv", SYS_process_vm_readv, { world.other, 0, 0, 0, 0 }, EPERM },
		{ "pidfd_open", SYS_pidfd_open, { world.other, 0 }, EPERM },
		{ "tgkill", SYS_tgkill, { world.other, world.other, 0 }, EPERM },
		{ "prlimit64", SYS_prlimit64, { world.other, RLIMIT_CORE, P(&none), 0 }, EPERM },
		{ "bpf", SYS_bpf, { 0, 0, 0 }, EPERM },
		{ "keyctl", SYS_keyctl, { 0, -1, 0 }, EPERM },
		{ "mount", SYS_mount, { P("none"), P(world.queue), P("tmpfs"), 0, 0 }, EPERM },
		{ "setresuid", SYS_setresuid, { geteuid(), geteuid(), geteuid() }, EPERM },
		{ "ioctl TIOCSTI", SYS_ioctl, { 0, TIOCSTI, P("x") }, EPERM },
	};

	return count_allowed(calls, COUNT(calls));
}

static int
signal_another(void)
{
	return kill(world.other, 0) == 0 ? 0 : errno == EPERM ? 1 : 2;
}

/* One thing of each kind that does no harm: who does it all without a fence has done
 * something to the machine. */
static int
open_passwd(void)
{
	return open("/etc/passwd", O_RDONLY) >= 0 ? 1 : 0;
}

static int
make_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 1 : 0;
}

static int
make_a_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 ? 1 : 0;
}

/* What the fence keeps from happening, and only the fence. */
static void
expect_kept_out(int (*story)(void), int (*harmless)(void))
{
	assert_int_equal(tell(&world.fence, story), 0);
	assert_int_equal(tell(&world.fence, harmless), 0);
	assert_int_equal(tell(NULL, harmless), 1);
}

static void
nothing_outside_the_directory_is_opened_made_or_removed(void **state)
{
	(void)state;
	if (world.fence.rules < 0)
		skip();
	expect_kept_out(open_what_is_elsewhere, open_passwd);
}

static void
no_network_is_reached(void **state)
{
	(void)state;
	expect_kept_out(reach_a_network, make_a_socket);
}

static void
nothing_is_executed_and_no_process_made_or_touched(void **state)
{
	(void)state;
	expect_kept_out(touch_others, make_a_child);
}

static void
others_are_signalled_only_by_who_may(void **state)
{
	struct fence quiet = world.fence;

	(void)state;
	quiet.signals = false;
	assert_int_equal(tell(&world.fence, signal_another), 0);
	assert_int_equal(tell(&quiet, signal_another), 1);
}

static int
abort_now(void)
{
	abort();
}

static void
a_program_can_still_give_up(void **state)
{
	struct fence quiet = world.fence;

	(void)state;
	quiet.signals = false;
	assert_int_equal(tell(&quiet, abort_now), 1000 + SIGABRT);
}

static int
show_oneself(void)
{
	return prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1;
}

static int
show_that_one_is_open(void)
{
	return prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1;
}

static void
nobody_looks_into_the_process_and_it_gains_no_right(void **state)
{
	(void)state;
	expect_kept_out(show_oneself, show_that_one_is_open);
}

#ifdef __x86_64__
static int
call_by_other_numbers(void)
{
	/* getppid of x32 */
	syscall(0x40000000 + SYS_getppid);
	return 0;
}

static void
calls_by_the_numbers_of_another_abi_end_the_process(void **state)
{
	(void)state;
	assert_int_equal(tell(&world.fence, call_by_other_numbers), 1000 + SIGSYS);
}
#endif

/* ---- what must go on ---------------------------------------------------------- */

static bool
commit(struct spool *s, char *id)
{
	char from[] = "a@example.org", to0[] = "b@example.org";
	struct recipient to[] = { { .address = to0 } };
	struct envelope e = { .arrived = time(NULL), .from = from, .to = to, .n = 1 };
	struct draft d = { 0 };
	struct why why;
	bool good = spool_begin(s, &d, &e, &why) == DONE && !d.named &&
	    spool_text(&d, STR("Subject: x\n\nbody\n"), &why) == DONE && spool_commit(s, &d, &why) == DONE;

	if (!good)
		print_message("# %s\n", why.text);
	snprintf(id, ENVELOPE_ID_LEN + 1, "%s", e.id);
	spool_release(s, &d);
	return good;
}

/* All that a clerk and a runner do with a queue: a message comes, gets a fate, is given
 * up, taken back, and removed. */
static int
keep_a_queue(void)
{
	char id[ENVELOPE_ID_LEN + 1];
	struct fate f = { 0 };
	struct letter l = LETTER_INIT;
	struct ids ids = { 0 };
	struct why why = { 0 };
	int lock;

	if (!commit(&world.s, id))
		return 1;
	fate_init(&f, 1);
	f.tries = 1;
	if (spool_set_fate(&world.s, id, &f, &why) != DONE ||
	    spool_read(&world.s, SPOOL_QUEUE, id, &l, &why) != DONE || l.damaged || !spool_lock(&l))
		return 2;
	if (spool_fail(&world.s, id, &f, &why) != DONE || spool_revive(&world.s, id, &f, &why) != DONE)
		return 3;
	if (spool_list(&world.s, SPOOL_QUEUE, &ids, &why) != DONE || ids.n == 0)
		return 4;
	lock = spool_lock_runner(&world.s);
	if (lock < 0 || spool_open_log(&world.s) < 0)
		return 5;
	spool_sweep(&world.s, 1);
	return spool_remove(&world.s, id, &why) == DONE ? 0 : 6;
}

static int
wake_and_watch(void)
{
	struct sockaddr_un box = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), eyes = inotify_init1(IN_CLOEXEC);

	memcpy(box.sun_path, world.box, strlen(world.box));
	if (sendto(fd, "wake", 4, 0, (struct sockaddr *)&box, sizeof box) != 4)
		return 1;
	return inotify_add_watch(eyes, world.queue, IN_DELETE) < 0 ? 2 : 0;
}

static void
the_queue_is_kept_as_before(void **state)
{
	(void)state;
	assert_int_equal(tell(NULL, keep_a_queue), 0);
	assert_int_equal(tell(&world.fence, keep_a_queue), 0);
}

static int
keep_a_queue_as_an_account(void)
{
	char queue[128];
	struct why why;
	struct fence mine = FENCE_INIT;
	struct buf missing = { 0 };

	if (geteuid() == 0 && (setresgid(65533, 65533, 65533) < 0 || setresuid(65533, 65533, 65533) < 0))
		return 100;
	snprintf(queue, sizeof queue, "%s/account", world.root);
	spool_close(&world.s);
	if (spool_open(&world.s, queue, "/etc/subpost/subpost.ini", &why) != DONE)
		return 101;
	fence_make(&mine, queue, &missing);
	mine.signals = false;
	if (fence_shut(&mine) < 0)
		return 102;
	return keep_a_queue();
}

static void
also_by_an_account_that_is_not_root(void **state)
{
	(void)state;
	assert_int_equal(chmod(world.root, 0777), 0);
	assert_int_equal(tell(NULL, keep_a_queue_as_an_account), 0);
}

static void
a_runner_can_be_woken_and_the_queue_watched(void **state)
{
	char words[8];

	(void)state;
	assert_int_equal(tell(&world.fence, wake_and_watch), 0);
	assert_int_equal(recv(world.box_fd, words, sizeof words, MSG_DONTWAIT), 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_outside_the_directory_is_opened_made_or_removed),
		cmocka_unit_test(no_network_is_reached),
		cmocka_unit_test(nothing_is_executed_and_no_process_made_or_touched),
		cmocka_unit_test(others_are_signalled_only_by_who_may),
		cmocka_unit_test(a_program_can_still_give_up),
		cmocka_unit_test(nobody_looks_into_the_process_and_it_gains_no_right),
#ifdef __x86_64__
		cmocka_unit_test(calls_by_the_numbers_of_another_abi_end_the_process),
#endif
		cmocka_unit_test(the_queue_is_kept_as_before),
		cmocka_unit_test(also_by_an_account_that_is_not_root),
		cmocka_unit_test(a_runner_can_be_woken_and_the_queue_watched),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
