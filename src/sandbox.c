#include "sandbox.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "landlock.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* System calls answered with EPERM, by what they would do.  A name that this
 * machine or this libseccomp does not have is passed over. */
static const char *const denied[] = {
	/* give a descriptor for a name */
	"open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at",
	"memfd_create", "memfd_secret", "uselib", "acct", "mq_open", "mq_unlink",
	/* make, name, rename and remove */
	"mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat",
	"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2",
	/* change a file, even one that is open: messages are never changed */
	"truncate", "truncate64", "ftruncate", "ftruncate64", "fallocate", "chmod", "fchmod",
	"fchmodat", "chown", "chown32", "fchown", "fchown32", "lchown", "lchown32", "fchownat",
	"utime", "utimes", "utimensat", "utimensat_time64", "futimesat", "setxattr", "lsetxattr",
	"fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "quotactl", "quotactl_fd",
	"chdir", "fchdir", "inotify_init", "inotify_init1", "inotify_add_watch",
	"fanotify_init", "fanotify_mark", "lookup_dcookie",
	/* reach anybody new */
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
	/* (with an address inside, which no filter can look at) */
	"sendmsg", "sendmmsg", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"io_setup", "io_submit",
	"shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semtimedop",
	"semtimedop_time64", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "ipc",
	/* become or make another process, or look into one */
	"execve", "execveat", "fork", "vfork", "clone", "ptrace", "process_vm_readv",
	"process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "move_pages",
	"migrate_pages", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open",
	"pidfd_getfd", "pidfd_send_signal", "userfaultfd", "perf_event_open", "bpf",
	/* become somebody else */
	"setuid", "setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid",
	"setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32", "setgroups",
	"setgroups32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32", "capset",
	"keyctl", "add_key", "request_key", "personality", "setns", "unshare",
	/* change the machine */
	"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
	"fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "swapon", "swapoff",
	"reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module",
	"delete_module", "create_module", "settimeofday", "stime", "clock_settime",
	"clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "sethostname",
	"setdomainname", "syslog", "ioperm", "iopl", "modify_ldt", "vhangup", "nfsservctl",
	"_sysctl", "sysfs",
};

/* The same for calls newer than the libseccomp of a Debian 12, which knows no
 * name for them.  All machines count alike since 424, each from its own base. */
#define NUMBER(n) (__NR_pidfd_send_signal + ((n) - 424))
static const int denied_numbers[] = {
	NUMBER(452),    /* fchmodat2 */
	NUMBER(463),    /* setxattrat */
	NUMBER(466),    /* removexattrat */
	NUMBER(467),    /* open_tree_attr */
	NUMBER(469),    /* file_setattr */
};

void
sandbox_no_core(void)
{
	const struct rlimit none = { 0, 0 };

	/* Both: the limit alone is not asked where cores are piped to a program. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void
note_missing(struct buf *missing, const char *part, int error)
{
	if (error == 0)
		return;
	buf_addf(missing, "%s%s: %s", missing->len > 0 ? "; " : "", part,
	    error == ENOSYS ? "not in this kernel" :
	    error == EOPNOTSUPP ? "switched off in this kernel" : strerror(error));
}

/* 0 or an errno.  Without a path: nothing is reached by name any more. */
static int
shut_landlock(void)
{
	int rules = landlock_make(NULL, false), error = 0;

	if (rules < 0)
		return errno;
	if (landlock_shut(rules) < 0)
		error = errno;
	close(rules);
	return error;
}

/* The rules that look at arguments.  libseccomp answers 0 or a negative errno;
 * the last failure is told. */
static int
deny_by_argument(scmp_filter_ctx ctx, int address_fd)
{
	const struct {
		int number;
		unsigned count;
		struct scmp_arg_cmp when[2];
	} rules[] = {
		/* A connected socket may be written to; a letter with an address on it
		 * goes only by the descriptor that is there for it. */
		{ SCMP_SYS(sendto), address_fd >= 0 ? 2 : 1, { SCMP_A4(SCMP_CMP_NE, 0, 0),
		    SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)address_fd, 0) } },
		/* abort() raises its signal by tgkill on ourselves. */
		{ SCMP_SYS(tgkill), 1, { SCMP_A0(SCMP_CMP_NE, (scmp_datum_t)getpid(), 0) } },
		/* Our own limits, not those of others. */
		{ SCMP_SYS(prlimit64), 1, { SCMP_A0(SCMP_CMP_NE, 0, 0) } },
		/* Typing into the terminal that started us.  The kernel looks at 32
		 * bits of this argument, so do we. */
		{ SCMP_SYS(ioctl), 1, { SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI) } },
		{ SCMP_SYS(ioctl), 1, { SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCLINUX) } },
	};
	int r, worst = 0;

	for (size_t i = 0; i < COUNT(rules); i++) {
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), rules[i].number,
		    rules[i].count, rules[i].when);
		if (r < 0)
			worst = r;
	}
	return worst;
}

static int
deny_whole(scmp_filter_ctx ctx)
{
	int r, worst = 0;

	for (size_t i = 0; i < COUNT(denied); i++) {
		int number = seccomp_syscall_resolve_name(denied[i]);

		if (number == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), number, 0);
		if (r < 0)
			worst = r;
	}
	for (size_t i = 0; i < COUNT(denied_numbers); i++) {
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), denied_numbers[i], 0);
		if (r < 0)
			worst = r;
	}
	/* ENOSYS, since the C library then falls back to clone and reports what
	 * that says, as on a kernel without clone3. */
	r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r < 0 ? r : worst;
}

/* 0 or an errno.  A rule that cannot be made does not keep the others out. */
static int
shut_seccomp(int address_fd)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r, worst;

	if (ctx == NULL)
		return ENOSYS;
	/* Calls by another ABI of the machine (i386, x32) would pass by the
	 * numbers above; nothing of ours makes one.  A sorted tree instead of a
	 * list: 200 comparisons at each read would be felt.  Where libseccomp or
	 * the kernel has neither of the two, the defaults are safe as well. */
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	worst = deny_whole(ctx);
	r = deny_by_argument(ctx, address_fd);
	if (r < 0)
		worst = r;
	r = seccomp_load(ctx);
	if (r < 0)
		worst = r;
	seccomp_release(ctx);
	return -worst;
}

void
sandbox_shut(int address_fd, struct buf *missing)
{
	landlock_last_look();
	/* First: without it neither of the others is to be had by everybody. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		note_missing(missing, "no_new_privs", errno);
	note_missing(missing, "landlock", shut_landlock());
	note_missing(missing, "seccomp", shut_seccomp(address_fd));
}
