/* sandbox: what a courier can no longer do, and what it still can. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What lies ready in a directory of our own before the door is shut. */
static struct {
	char dir[64];
	char file[96];          /* dir/file, with "text" in it */
	char fresh[96];         /* dir/fresh, not there */
	char box[96];           /* dir/box, a datagram socket we can read */
	int dirfd;
	int fd;                 /* file, open for reading and writing */
	int pair[2];            /* a connected stream */
	int box_fd;
	int abstract_fd;        /* a datagram socket with an abstract name */
	struct sockaddr_un abstract;
	socklen_t abstract_len;
	int letters;            /* a datagram socket, not connected */
	int others;             /* another */
	int tcp;                /* not connected */
	int tcp_listening;
	struct sockaddr_in tcp_addr;
} world;

static int
set_up(void **state)
{
	struct sockaddr_un box = { .sun_family = AF_UNIX };
	socklen_t len = sizeof world.tcp_addr;

	(void)state;
	snprintf(world.dir, sizeof world.dir, "/tmp/sandbox-unit.XXXXXX");
	assert_non_null(mkdtemp(world.dir));
	snprintf(world.file, sizeof world.file, "%s/file", world.dir);
	snprintf(world.fresh, sizeof world.fresh, "%s/fresh", world.dir);
	snprintf(world.box, sizeof world.box, "%s/box", world.dir);
	world.dirfd = open(world.dir, O_RDONLY | O_DIRECTORY);
	world.fd = open(world.file, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(world.fd, "text", 4), 4);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, world.pair), 0);

	world.box_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	memcpy(box.sun_path, world.box, strlen(world.box));
	assert_int_equal(bind(world.box_fd, (struct sockaddr *)&box, sizeof box), 0);
	/* Bound without a name: the kernel gives an abstract one. */
	world.abstract_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world.abstract_fd, (struct sockaddr *)&box, sizeof(sa_family_t)), 0);
	world.abstract_len = sizeof world.abstract;
	assert_int_equal(getsockname(world.abstract_fd, (struct sockaddr *)&world.abstract,
	    &world.abstract_len), 0);
	world.letters = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	world.others = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	world.tcp_addr = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	world.tcp_listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(world.tcp_listening, (struct sockaddr *)&world.tcp_addr, len), 0);
	assert_int_equal(getsockname(world.tcp_listening, (struct sockaddr *)&world.tcp_addr,
	    &len), 0);
	assert_int_equal(listen(world.tcp_listening, 5), 0);
	world.tcp = socket(AF_INET, SOCK_STREAM, 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close(world.dirfd);
	close(world.fd);
	close(world.pair[0]);
	close(world.pair[1]);
	close(world.box_fd);
	close(world.abstract_fd);
	close(world.letters);
	close(world.others);
	close(world.tcp);
	close(world.tcp_listening);
	unlink(world.file);
	unlink(world.fresh);
	unlink(world.box);
	return rmdir(world.dir);
}

/* Runs story in a child that has shut itself in; answers its wait status. */
static int
shut_in(int address_fd, int (*story)(void))
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct buf missing = { 0 };

		alarm(20);
		sandbox_shut(address_fd, &missing);
		_exit(story());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
expect_story(int address_fd, int (*story)(void))
{
	int status = shut_in(address_fd, story);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the child ended with wait status %#x", (unsigned)status);
}

struct call {
	const char *name;
	long number;
	long a[6];
};

#define P(p) ((long)(intptr_t)(p))

/* How many of these calls did anything but answer EPERM. */
static int
count_allowed(const struct call *calls, size_t n)
{
	int allowed = 0;

	for (size_t i = 0; i < n; i++) {
		const long *a = calls[i].a;

		errno = 0;
		if (syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 &&
		    errno == EPERM)
			continue;
		fprintf(stderr, "# not refused: %s (%s)\n", calls[i].name, strerror(errno));
		allowed++;
	}
	return allowed;
}

static int
open_files(void)
{
	const long how[3] = { O_RDONLY, 0, 0 };
	const struct call calls[] = {
		{ "openat", SYS_openat, { AT_FDCWD, P("/etc/passwd"), O_RDONLY } },
		{ "openat beside a directory", SYS_openat, { world.dirfd, P("file"), O_RDONLY } },
		{ "openat of what is open", SYS_openat, { AT_FDCWD, P("/proc/self/maps"), O_RDONLY } },
		{ "openat O_CREAT", SYS_openat, { AT_FDCWD, P(world.fresh), O_WRONLY | O_CREAT, 0600 } },
		{ "openat O_TMPFILE", SYS_openat, { AT_FDCWD, P(world.dir), O_WRONLY | O_TMPFILE, 0600 } },
		{ "openat2", SYS_openat2, { AT_FDCWD, P("/etc/passwd"), P(how), sizeof how } },
#ifdef SYS_open
		{ "open", SYS_open, { P("/etc/passwd"), O_RDONLY } },
		{ "creat", SYS_creat, { P(world.fresh), 0600 } },
#endif
		{ "memfd_create", SYS_memfd_create, { P("memory"), 0 } },
		{ "open_tree", SYS_open_tree, { AT_FDCWD, P("/"), 0 } },
	};

	return count_allowed(calls, COUNT(calls));
}

static int
make_names(void)
{
	const struct call calls[] = {
		{ "mkdirat", SYS_mkdirat, { AT_FDCWD, P(world.fresh), 0700 } },
		{ "mknodat", SYS_mknodat, { AT_FDCWD, P(world.fresh), S_IFREG | 0600, 0 } },
		{ "linkat", SYS_linkat, { AT_FDCWD, P(world.file), AT_FDCWD, P(world.fresh), 0 } },
		{ "symlinkat", SYS_symlinkat, { P("/"), AT_FDCWD, P(world.fresh) } },
		{ "renameat2", SYS_renameat2, { AT_FDCWD, P(world.file), AT_FDCWD, P(world.fresh), 0 } },
		{ "unlinkat", SYS_unlinkat, { AT_FDCWD, P(world.file), 0 } },
#ifdef SYS_unlink
		{ "mkdir", SYS_mkdir, { P(world.fresh), 0700 } },
		{ "mknod", SYS_mknod, { P(world.fresh), S_IFREG | 0600, 0 } },
		{ "link", SYS_link, { P(world.file), P(world.fresh) } },
		{ "symlink", SYS_symlink, { P("/"), P(world.fresh) } },
		{ "rename", SYS_rename, { P(world.file), P(world.fresh) } },
		{ "unlink", SYS_unlink, { P(world.file) } },
		{ "rmdir", SYS_rmdir, { P(world.dir) } },
#endif
	};

	return count_allowed(calls, COUNT(calls));
}

static int
change_files(void)
{
	const struct call calls[] = {
		{ "truncate", SYS_truncate, { P(world.file), 0 } },
		{ "ftruncate", SYS_ftruncate, { world.fd, 0 } },
		{ "fallocate", SYS_fallocate, { world.fd, 0, 0, 100 } },
		{ "fchmod", SYS_fchmod, { world.fd, 0644 } },
		{ "fchmodat", SYS_fchmodat, { AT_FDCWD, P(world.file), 0644 } },
		{ "fchmodat2", 452, { AT_FDCWD, P(world.file), 0644, 0 } },
		{ "fchown", SYS_fchown, { world.fd, geteuid(), getegid() } },
		{ "fchownat", SYS_fchownat, { AT_FDCWD, P(world.file), geteuid(), getegid(), 0 } },
		{ "utimensat", SYS_utimensat, { AT_FDCWD, P(world.file), 0, 0 } },
		{ "setxattr", SYS_setxattr, { P(world.file), P("user.x"), P("1"), 1, 0 } },
		{ "fsetxattr", SYS_fsetxattr, { world.fd, P("user.x"), P("1"), 1, 0 } },
		{ "setxattrat", 463, { AT_FDCWD, P(world.file), 0, P("user.x"), 0, 0 } },
#ifdef SYS_chmod
		{ "chmod", SYS_chmod, { P(world.file), 0644 } },
		{ "chown", SYS_chown, { P(world.file), geteuid(), getegid() } },
		{ "utime", SYS_utime, { P(world.file), 0 } },
#endif
		{ "fchdir", SYS_fchdir, { world.dirfd } },
		{ "chdir", SYS_chdir, { P("/") } },
		{ "chroot", SYS_chroot, { P("/") } },
	};

	return count_allowed(calls, COUNT(calls));
}

static int
reach_others(void)
{
	int two[2];
	struct msghdr m = { 0 };
	const struct call calls[] = {
		{ "socket", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
		{ "socket of a packet family", SYS_socket, { AF_UNIX, SOCK_DGRAM, 0 } },
		{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, P(two) } },
		{ "connect", SYS_connect, { world.tcp, P(&world.tcp_addr), sizeof world.tcp_addr } },
		{ "bind", SYS_bind, { world.letters, P(&world.abstract), sizeof(sa_family_t) } },
		{ "listen", SYS_listen, { world.tcp_listening, 5 } },
		{ "accept4", SYS_accept4, { world.tcp_listening, 0, 0, SOCK_NONBLOCK } },
		{ "sendmsg", SYS_sendmsg, { world.pair[0], P(&m), 0 } },
		{ "sendmmsg", SYS_sendmmsg, { world.pair[0], P(&m), 0, 0 } },
		{ "io_uring_setup", SYS_io_uring_setup, { 1, 0 } },
	};

	return count_allowed(calls, COUNT(calls));
}

static int
start_programs(void)
{
	char *const words[] = { (char *)"/bin/true", NULL };
	const struct call calls[] = {
		{ "execve", SYS_execve, { P("/bin/true"), P(words), P(words + 1) } },
		{ "execveat", SYS_execveat, { AT_FDCWD, P("/bin/true"), P(words), P(words + 1), 0 } },
		{ "clone", SYS_clone, { SIGCHLD, 0, 0, 0, 0 } },
		{ "unshare", SYS_unshare, { CLONE_FS } },
		{ "bpf", SYS_bpf, { 0, 0, 0 } },
		{ "mount", SYS_mount, { P("none"), P(world.dir), P("tmpfs"), 0, 0 } },
	};
	int allowed = count_allowed(calls, COUNT(calls));

	errno = 0;
	if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
		allowed++;
	return allowed;
}

static int
touch_processes(void)
{
	char seen[8];
	struct {
		void *base;
		size_t len;
	} local = { seen, sizeof seen }, remote = { world.dir, sizeof seen };
	struct rlimit none = { 0, 0 };
	const struct call calls[] = {
		{ "kill", SYS_kill, { getppid(), 0 } },
		{ "kill of ourselves", SYS_kill, { getpid(), 0 } },
		{ "tkill", SYS_tkill, { getppid(), 0 } },
		{ "tgkill", SYS_tgkill, { getppid(), getppid(), 0 } },
		{ "pidfd_open", SYS_pidfd_open, { getppid(), 0 } },
		{ "ptrace", SYS_ptrace, { 16 /* PTRACE_ATTACH */, getppid(), 0, 0 } },
		{ "process_vm_readv", SYS_process_vm_readv, { getppid(), P(&local), 1, P(&remote), 1, 0 } },
		{ "process_vm_writev", SYS_process_vm_writev, { getppid(), P(&local), 1, P(&remote), 1, 0 } },
		{ "prlimit64", SYS_prlimit64, { getppid(), RLIMIT_CORE, P(&none), 0 } },
		{ "setresuid", SYS_setresuid, { geteuid(), geteuid(), geteuid() } },
		{ "setresgid", SYS_setresgid, { getegid(), getegid(), getegid() } },
		{ "keyctl", SYS_keyctl, { 0, -1, 0 } },
		{ "personality", SYS_personality, { 0xffffffff } },
	};

	return count_allowed(calls, COUNT(calls));
}

static void
no_file_can_be_opened_or_made(void **state)
{
	(void)state;
	expect_story(-1, open_files);
	assert_int_equal(access(world.fresh, F_OK), -1);
}

static void
no_name_can_be_given_changed_or_removed(void **state)
{
	(void)state;
	expect_story(-1, make_names);
	assert_int_equal(access(world.file, F_OK), 0);
}

static void
no_file_can_be_changed_even_one_that_is_open(void **state)
{
	struct stat st;

	(void)state;
	expect_story(-1, change_files);
	assert_int_equal(fstat(world.fd, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void
no_socket_can_be_made_bound_connected_or_listened_on(void **state)
{
	(void)state;
	expect_story(-1, reach_others);
}

static void
nothing_can_be_executed_cloned_or_mounted(void **state)
{
	(void)state;
	expect_story(-1, start_programs);
}

static void
no_process_can_be_killed_traced_or_read_and_no_other_user_become(void **state)
{
	(void)state;
	expect_story(-1, touch_processes);
}

static int
fork_and_exec_by_the_library(void)
{
	return (fork() < 0 && errno == EPERM && system("true") != 0 &&
	    popen("true", "r") == NULL) ? 0 : 1;
}

static void
the_c_library_is_refused_as_well_and_survives_it(void **state)
{
	(void)state;
	expect_story(-1, fork_and_exec_by_the_library);
}

static int
use_what_is_open(void)
{
	char text[8] = "";
	struct pollfd p = { .fd = world.pair[1], .events = POLLIN };

	if (pread(world.fd, text, 4, 0) != 4 || memcmp(text, "text", 4) != 0)
		return 1;
	if (send(world.pair[0], "one", 3, MSG_NOSIGNAL) != 3 || write(world.pair[0], "two", 3) != 3)
		return 2;
	if (poll(&p, 1, 1000) != 1 || recv(world.pair[1], text, 6, 0) != 6 ||
	    memcmp(text, "onetwo", 6) != 0)
		return 3;
	return close(world.pair[0]) == 0 ? 0 : 4;
}

static void
what_is_open_stays_usable(void **state)
{
	(void)state;
	expect_story(-1, use_what_is_open);
}

/* A descriptor with a message comes in by recvmsg, long after the door is shut. */
static int
take_a_descriptor(void)
{
	char octet, text[4];
	struct iovec v = { &octet, 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c;
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c,
		.msg_controllen = sizeof c };
	int fd;

	if (recvmsg(world.pair[1], &m, 0) != 1 || CMSG_FIRSTHDR(&m) == NULL)
		return 1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return pread(fd, text, 4, 0) == 4 ? 0 : 2;
}

static void
a_descriptor_that_is_handed_in_can_be_read(void **state)
{
	char octet = 'x';
	struct iovec v = { &octet, 1 };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} c = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c,
		.msg_controllen = sizeof c };

	(void)state;
	memcpy(CMSG_DATA(&c.head), &world.fd, sizeof(int));
	assert_int_equal(sendmsg(world.pair[0], &m, 0), 1);
	expect_story(-1, take_a_descriptor);
}

static int
use_the_machine(void)
{
	struct timespec t, nap = { 0, 1000000 };
	unsigned char random[16];
	void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *q = malloc(4 << 20);
	struct rlimit limit;

	if (p == MAP_FAILED || q == NULL)
		return 1;
	memset(p, 1, 1 << 20);
	memset(q, 1, 4 << 20);
	free(q);
	if (munmap(p, 1 << 20) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 2;
	if (clock_gettime(CLOCK_MONOTONIC, &t) != 0 || time(NULL) < 1 || nanosleep(&nap, NULL) != 0)
		return 3;
	return getrandom(random, sizeof random, 0) == sizeof random ? 0 : 4;
}

static void
clock_memory_and_random_numbers_stay_usable(void **state)
{
	(void)state;
	expect_story(-1, use_the_machine);
}

static int
give_up(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void
abort_still_ends_the_process_at_once(void **state)
{
	int status;

	(void)state;
	status = shut_in(-1, give_up);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static ssize_t
letter_to(int fd, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	memcpy(to.sun_path, path, strlen(path));
	return sendto(fd, "id", 2, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

static int
send_letters(void)
{
	if (letter_to(world.letters, world.box) != 2)
		return 1;
	return letter_to(world.others, world.box) < 0 && errno == EPERM ? 0 : 2;
}

static int
send_no_letters(void)
{
	return letter_to(world.letters, world.box) < 0 && errno == EPERM ? 0 : 1;
}

static void
a_letter_with_an_address_goes_only_by_the_address_descriptor(void **state)
{
	char got[8];

	(void)state;
	expect_story(world.letters, send_letters);
	assert_int_equal(recv(world.box_fd, got, sizeof got, 0), 2);
	assert_int_equal(recv(world.box_fd, got, sizeof got, 0), -1);
}

static void
without_an_address_descriptor_no_letter_goes(void **state)
{
	char got[8];

	(void)state;
	expect_story(-1, send_no_letters);
	assert_int_equal(recv(world.box_fd, got, sizeof got, 0), -1);
}

static long
landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
}

static int
send_to_an_abstract_name(void)
{
	return sendto(world.letters, "id", 2, MSG_DONTWAIT, (struct sockaddr *)&world.abstract,
	    world.abstract_len) == 2 ? 1 : 0;
}

/* The one thing that the filter lets pass and Landlock does not, so that it
 * shows whether Landlock is there at all (its ABI 6, Linux 6.12). */
static void
landlock_stands_behind_the_filter_where_the_kernel_has_it(void **state)
{
	int status;

	(void)state;
	status = shut_in(world.letters, send_to_an_abstract_name);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), landlock_abi() >= 6 ? 0 : 1);
}

static int
ask_no_new_privileges(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1;
}

static void
no_new_privileges_are_to_be_had(void **state)
{
	(void)state;
	expect_story(-1, ask_no_new_privileges);
}

/* x32, which counts its calls apart; the filter is asked even where the kernel
 * was built without it.  Other machines answer as a refused one would. */
static int
call_by_another_abi(void)
{
#ifdef __x86_64__
	long answer = 0x40000000 | 39;  /* getpid */

	__asm__ volatile("syscall" : "+a"(answer) : : "rcx", "r11", "memory");
#else
	raise(SIGSYS);
#endif
	return 1;
}

static void
a_call_by_another_abi_of_the_machine_is_the_last(void **state)
{
	int status;

	(void)state;
	status = shut_in(-1, call_by_another_abi);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void
what_the_kernel_lacks_is_named_and_nothing_else(void **state)
{
	struct buf missing = { 0 };
	char text[256] = "";
	int fds[2];
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		sandbox_shut(-1, &missing);
		_exit(write(fds[1], buf_c(&missing), missing.len) < 0);
	}
	close(fds[1]);
	n = read(fds[0], text, sizeof text - 1);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	assert_true(n >= 0);
	if (landlock_abi() >= 1)
		assert_string_equal(text, "");
	else
		assert_memory_equal(text, "landlock: ", 10);
}

static void
a_holder_of_secrets_leaves_no_core_and_cannot_be_looked_into(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0) {
		struct rlimit core = { 1 << 20, RLIM_INFINITY };

		setrlimit(RLIMIT_CORE, &core);
		sandbox_no_core();
		if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
			_exit(1);
		_exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_file_can_be_opened_or_made),
		cmocka_unit_test(no_name_can_be_given_changed_or_removed),
		cmocka_unit_test(no_file_can_be_changed_even_one_that_is_open),
		cmocka_unit_test(no_socket_can_be_made_bound_connected_or_listened_on),
		cmocka_unit_test(nothing_can_be_executed_cloned_or_mounted),
		cmocka_unit_test(no_process_can_be_killed_traced_or_read_and_no_other_user_become),
		cmocka_unit_test(the_c_library_is_refused_as_well_and_survives_it),
		cmocka_unit_test(what_is_open_stays_usable),
		cmocka_unit_test(a_descriptor_that_is_handed_in_can_be_read),
		cmocka_unit_test(clock_memory_and_random_numbers_stay_usable),
		cmocka_unit_test(abort_still_ends_the_process_at_once),
		cmocka_unit_test(a_letter_with_an_address_goes_only_by_the_address_descriptor),
		cmocka_unit_test(without_an_address_descriptor_no_letter_goes),
		cmocka_unit_test(landlock_stands_behind_the_filter_where_the_kernel_has_it),
		cmocka_unit_test(no_new_privileges_are_to_be_had),
		cmocka_unit_test(a_call_by_another_abi_of_the_machine_is_the_last),
		cmocka_unit_test(what_the_kernel_lacks_is_named_and_nothing_else),
		cmocka_unit_test(a_holder_of_secrets_leaves_no_core_and_cannot_be_looked_into),
	};

	return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down);
}
