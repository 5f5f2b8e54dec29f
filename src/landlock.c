#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_SOUGHT 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_SOUGHT 1
#endif
#ifdef LEAKS_ARE_SOUGHT
#include <sanitizer/lsan_interface.h>
#endif

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Landlock's words as <linux/landlock.h> has them in Linux 6.12. */
#define CREATE_RULESET_VERSION  (1u << 0)
#define RULE_PATH_BENEATH       1
#define FS_FIRST                0x1fffull       /* EXECUTE ... MAKE_SYM */
#define FS_WRITE_FILE           (1ull << 1)
#define FS_READ_FILE            (1ull << 2)
#define FS_READ_DIR             (1ull << 3)
#define FS_REMOVE_DIR           (1ull << 4)
#define FS_REMOVE_FILE          (1ull << 5)
#define FS_MAKE_DIR             (1ull << 7)
#define FS_MAKE_REG             (1ull << 8)
#define FS_REFER                (1ull << 13)
#define FS_TRUNCATE             (1ull << 14)
#define FS_IOCTL_DEV            (1ull << 15)
#define NET_BIND_CONNECT_TCP    3ull
#define SCOPE_ABSTRACT          1ull
#define SCOPE_SIGNAL            2ull

/* No program, no device, no pipe, no link to elsewhere. */
#define FS_BELOW (FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | FS_REMOVE_FILE | \
	FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE)

struct rights {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

/* What each ABI understands; a bit it does not know is an error. */
static const struct {
	int abi;
	struct rights rights;
} by_abi[] = {
	{ 1, { .fs = FS_FIRST } },
	{ 2, { .fs = FS_REFER } },
	{ 3, { .fs = FS_TRUNCATE } },
	{ 4, { .net = NET_BIND_CONNECT_TCP } },
	{ 5, { .fs = FS_IOCTL_DEV } },
	{ 6, { .scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL } },
};

static int
allow_below(int rules, const char *directory, uint64_t known)
{
	struct beneath rule = { .allowed = FS_BELOW & known };
	int r, saved;

	rule.parent = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent < 0)
		return -1;
	r = (int)syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0);
	saved = errno;
	close(rule.parent);
	errno = saved;
	return r;
}

int
landlock_make(const char *directory, bool signals)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	struct rights all = { 0 };
	int rules, saved;

	if (abi < 0)
		return -1;
	/* The first one refuses every move between directories, whatever is allowed. */
	if (directory != NULL && abi < 2) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	for (size_t i = 0; i < COUNT(by_abi); i++) {
		if (by_abi[i].abi > abi)
			break;
		all.fs |= by_abi[i].rights.fs;
		all.net |= by_abi[i].rights.net;
		all.scoped |= by_abi[i].rights.scoped;
	}
	if (signals)
		all.scoped &= ~SCOPE_SIGNAL;
	/* An older kernel takes the larger structure while the rest is zero. */
	rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
	if (rules >= 0 && directory != NULL && allow_below(rules, directory, all.fs) < 0) {
		saved = errno;
		close(rules);
		errno = saved;
		return -1;
	}
	return rules;
}

int
landlock_shut(int rules)
{
	return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}

void
landlock_last_look(void)
{
#ifdef LEAKS_ARE_SOUGHT
	/* The search forks and traces, which is over after this: now, or never. */
	__lsan_do_leak_check();
#endif
}
