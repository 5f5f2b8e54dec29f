#include "fence.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "landlock.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#define OTHER_ABI 0x40000000u   /* x32: the same machine, its numbers with this bit */
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#endif

/* Numbers that the headers may be too old to know.  All machines count alike
 * since 424, each from its own base. */
#define NUMBER(n) (__NR_pidfd_send_signal + ((n) - 424))

#define SPAN 512                /* numbers of calls that a map holds */

/* Answered with EPERM, by what they would do. */
static const int denied[] = {
	/* make or become another program, or look into one */
	__NR_execve, __NR_execveat, __NR_clone,
#ifdef __NR_fork
	__NR_fork, __NR_vfork,
#endif
	__NR_ptrace, __NR_process_vm_readv, __NR_process_vm_writev, __NR_kcmp, __NR_userfaultfd,
	__NR_perf_event_open, __NR_bpf, __NR_move_pages, __NR_migrate_pages, __NR_pidfd_send_signal,
	__NR_rt_sigqueueinfo, __NR_rt_tgsigqueueinfo, NUMBER(434) /* pidfd_open */,
	NUMBER(438) /* pidfd_getfd */, NUMBER(440) /* process_madvise */,
	NUMBER(448) /* process_mrelease */,
	/* memory and work that no list here can look at */
	NUMBER(425), NUMBER(426), NUMBER(427) /* io_uring */, NUMBER(447) /* memfd_secret */,
	__NR_memfd_create, __NR_io_setup, __NR_io_submit,
	/* a file by something that is no name */
	__NR_open_by_handle_at, __NR_name_to_handle_at, __NR_fanotify_init, __NR_fanotify_mark,
	__NR_mq_open, __NR_mq_unlink, __NR_shmget, __NR_shmat, __NR_semget, __NR_msgget,
	/* who may do what with a file: of Landlock's rules none says anything of it */
	__NR_fchmod, __NR_fchmodat, NUMBER(452) /* fchmodat2 */, __NR_fchown, __NR_fchownat,
	__NR_setxattr, __NR_lsetxattr, __NR_fsetxattr, NUMBER(463) /* setxattrat */,
	__NR_removexattr, __NR_lremovexattr, __NR_fremovexattr, NUMBER(466) /* removexattrat */,
	NUMBER(469) /* file_setattr */,
#ifdef __NR_chmod
	__NR_chmod, __NR_chown, __NR_lchown, __NR_uselib,
#endif
	/* take calls */
	__NR_bind, __NR_listen, __NR_accept, __NR_accept4,
	/* become somebody else, or stand elsewhere */
	__NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid, __NR_setresgid,
	__NR_setgroups, __NR_setfsuid, __NR_setfsgid, __NR_capset, __NR_keyctl, __NR_add_key,
	__NR_request_key, __NR_personality, __NR_setns, __NR_unshare, __NR_chroot,
	__NR_pivot_root,
	/* change the machine */
	__NR_mount, __NR_umount2, NUMBER(428) /* open_tree */, NUMBER(429) /* move_mount */,
	NUMBER(430), NUMBER(431), NUMBER(432), NUMBER(433) /* fsopen, -config, -mount, -pick */,
	NUMBER(442) /* mount_setattr */, NUMBER(467) /* open_tree_attr */, __NR_swapon, __NR_swapoff,
	__NR_reboot, __NR_kexec_load, __NR_init_module, __NR_finit_module, __NR_delete_module,
	__NR_settimeofday, __NR_clock_settime, __NR_adjtimex, __NR_clock_adjtime,
	__NR_sethostname, __NR_setdomainname, __NR_syslog, __NR_acct, __NR_quotactl, __NR_vhangup,
#ifdef __NR_kexec_file_load
	__NR_kexec_file_load,
#endif
#ifdef __NR_iopl
	__NR_iopl, __NR_ioperm, __NR_modify_ldt,
#endif
};

/* And for who may not signal others. */
static const int signalling[] = { __NR_kill, __NR_tkill };

/* ---- the list ----------------------------------------------------------------- */

struct list {
	struct sock_filter v[2 * COUNT(denied) + 3 * SPAN / 32 + 80];
	unsigned short n;
};

static void
add(struct list *l, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	l->v[l->n++] = (struct sock_filter){ code, yes, no, k };
}

static void
answer(struct list *l, uint32_t what)
{
	add(l, BPF_RET | BPF_K, what, 0, 0);
}

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

static void
load(struct list *l, size_t at)
{
	add(l, BPF_LD | BPF_W | BPF_ABS, (uint32_t)at, 0, 0);
}

/* The lower half of an argument.  The kernel looks at no more of those below. */
static void
load_argument(struct list *l, unsigned i)
{
	size_t at = offsetof(struct seccomp_data, args) + i * sizeof(uint64_t);

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	at += sizeof(uint32_t);
#endif
	load(l, at);
}

static void
answer_if(struct list *l, uint32_t is, uint32_t what)
{
	add(l, BPF_JMP | BPF_JEQ | BPF_K, is, 0, 1);
	answer(l, what);
}

/* That call only where its argument i is value: four steps, over which others go. */
static void
allow_only(struct list *l, int number, unsigned i, uint32_t value)
{
	add(l, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
	load_argument(l, i);
	add(l, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	answer(l, SECCOMP_RET_ALLOW);
	answer(l, REFUSED);
}

/* Which of SPAN numbers from first on are refused. */
struct map {
	uint32_t first;
	uint32_t words[SPAN / 32];
};

/* A number that is out of its span is compared by itself. */
static void
put(struct list *l, struct map *m, int number)
{
	uint32_t at = (uint32_t)number - m->first;

	if (at < SPAN)
		m->words[at / 32] |= UINT32_C(1) << at % 32;
	else
		answer_if(l, (uint32_t)number, REFUSED);
}

/* A map instead of a comparison for each: the kernel compiles the list for each process
 * that is shut in, and by comparisons that took as long as all else that a clerk
 * does for a small message, its flush aside. */
static void
refuse_mapped(struct list *l, const struct map *m)
{
	unsigned short found[SPAN / 32];
	size_t n = 0;

	add(l, BPF_ALU | BPF_SUB | BPF_K, m->first, 0, 0);
	add(l, BPF_JMP | BPF_JGE | BPF_K, SPAN, 0, 1);
	answer(l, SECCOMP_RET_ALLOW);
	/* The place in its word is kept in M[0]; then the word is looked for. */
	add(l, BPF_MISC | BPF_TAX, 0, 0, 0);
	add(l, BPF_ALU | BPF_AND | BPF_K, 31, 0, 0);
	add(l, BPF_ST, 0, 0, 0);
	add(l, BPF_MISC | BPF_TXA, 0, 0, 0);
	add(l, BPF_ALU | BPF_RSH | BPF_K, 5, 0, 0);
	for (uint32_t i = 0; i < SPAN / 32; i++) {
		if (m->words[i] == 0)
			continue;
		add(l, BPF_JMP | BPF_JEQ | BPF_K, i, 0, 2);
		add(l, BPF_LD | BPF_IMM, m->words[i], 0, 0);
		found[n++] = l->n;
		add(l, BPF_JMP | BPF_JA, 0, 0, 0);
	}
	answer(l, SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < n; i++)
		l->v[found[i]].k = (uint32_t)(l->n - found[i] - 1);
	add(l, BPF_LDX | BPF_MEM, 0, 0, 0);
	add(l, BPF_ALU | BPF_RSH | BPF_X, 0, 0, 0);
	add(l, BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1);
	answer(l, REFUSED);
	answer(l, SECCOMP_RET_ALLOW);
}

static void
write_list(struct list *l, bool signals)
{
	struct map map = { .first = (uint32_t)denied[0] };

	for (size_t i = 1; i < COUNT(denied); i++)
		if ((uint32_t)denied[i] < map.first)
			map.first = (uint32_t)denied[i];
#ifdef MACHINE
	/* A call by another ABI of the machine would pass by the numbers below;
	 * nothing of ours makes one. */
	load(l, offsetof(struct seccomp_data, arch));
	add(l, BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
	answer(l, SECCOMP_RET_KILL_PROCESS);
#endif
	load(l, offsetof(struct seccomp_data, nr));
#ifdef OTHER_ABI
	add(l, BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI, 0, 1);
	answer(l, SECCOMP_RET_KILL_PROCESS);
#endif
	/* The C library then falls back to clone, and reports what that says. */
	answer_if(l, (uint32_t)NUMBER(435), SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < COUNT(denied); i++)
		put(l, &map, denied[i]);
	for (size_t i = 0; i < COUNT(signalling) && !signals; i++)
		put(l, &map, signalling[i]);
	allow_only(l, __NR_socket, 0, AF_UNIX);
	allow_only(l, __NR_socketpair, 0, AF_UNIX);
	/* abort() raises its signal by tgkill on ourselves. */
	allow_only(l, __NR_tgkill, 0, (uint32_t)getpid());
	/* Our own limits, not those of others. */
	allow_only(l, __NR_prlimit64, 0, 0);
	/* Typing into the terminal that started us. */
	add(l, BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 6);
	load_argument(l, 1);
	answer_if(l, TIOCSTI, REFUSED);
	answer_if(l, TIOCLINUX, REFUSED);
	answer(l, SECCOMP_RET_ALLOW);
	refuse_mapped(l, &map);
}

static int
shut_calls(bool signals)
{
	struct list l = { .n = 0 };
	struct sock_fprog program = { .filter = l.v };

	write_list(&l, signals);
	program.len = l.n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* ---- the fence ------------------------------------------------------------------ */

static void
note_missing(struct buf *missing, const char *part, int error)
{
	buf_addf(missing, "%s%s: %s", missing->len > 0 ? "; " : "", part,
	    error == ENOSYS || error == EINVAL ? "not in this kernel" :
	    error == EOPNOTSUPP ? "switched off in this kernel" :
	    error == EPROTONOSUPPORT ? "too old in this kernel" : strerror(error));
}

void
fence_make(struct fence *f, const char *directory, struct buf *missing)
{
	f->signals = true;
	f->rules = landlock_make(directory, true);
	if (f->rules < 0)
		note_missing(missing, "landlock", errno);
	/* A list that is nowhere is refused as such only where lists are known. */
	f->calls = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 && errno == EFAULT;
	if (!f->calls)
		note_missing(missing, "seccomp", errno);
}

void
fence_free(struct fence *f)
{
	if (f->rules >= 0)
		close(f->rules);
	*f = (struct fence)FENCE_INIT;
}

int
fence_shut(const struct fence *f)
{
	if (f->rules >= 0 || f->calls)
		landlock_last_look();
	/* Neither traced nor read by others of our uid; no core with anybody's mail. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (f->rules >= 0 && landlock_shut(f->rules) < 0)
		return -1;
	return f->calls ? shut_calls(f->signals) : 0;
}
