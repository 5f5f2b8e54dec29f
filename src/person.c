#include "person.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "file.h"

#define PASSWORD_FILE "/etc/passwd"
#define PASSWORD_FILE_MAX (16u << 20)
#define GROUP_FILE "/etc/group"
#define GETENT "/usr/bin/getent"
#define GETENT_TIME 20          /* seconds for a directory far away */
#define LINE_MAX_OCTETS 1048576 /* of its answer; a group's has all its members */
#define GROUPS_MAX 65536        /* as many as the kernel takes */
#define OVERFLOW_NORMAL 65534   /* the kernel's default, where /proc does not tell */

/* Whom to look for. */
struct wanted {
	uid_t uid;
	const char *login;      /* NULL: by uid */
};

void
person_free(struct person *p)
{
	free(p->login);
	free(p->full_name);
	free(p->home);
	*p = (struct person){ 0 };
}

static bool
is_wanted(const struct wanted *w, const struct passwd *pw)
{
	/* Lines of the old NIS style name nobody by themselves. */
	if (pw->pw_name[0] == '+' || pw->pw_name[0] == '-')
		return false;
	return w->login != NULL ? strcmp(pw->pw_name, w->login) == 0 : pw->pw_uid == w->uid;
}

static char *
read_full_name(const struct passwd *pw)
{
	struct buf name = { 0 };
	struct str gecos = str_of(pw->pw_gecos);
	char *copy;

	gecos.len = str_find(gecos, ',');
	for (size_t i = 0; i < gecos.len; i++) {
		size_t at = name.len;

		if (gecos.p[i] != '&') {
			buf_addc(&name, gecos.p[i]);
			continue;
		}
		buf_adds(&name, pw->pw_name);
		if (name.len > at && name.p[at] >= 'a' && name.p[at] <= 'z')
			name.p[at] = (char)(name.p[at] - ('a' - 'A'));
	}
	copy = mem_dup(buf_str(&name));
	buf_free(&name);
	return copy;
}

/* The first line of a password file that names the wanted one. */
static bool
find_in(FILE *f, const struct wanted *w, struct person *p)
{
	struct passwd *pw;

	while ((pw = fgetpwent(f)) != NULL) {
		if (!is_wanted(w, pw))
			continue;
		p->uid = pw->pw_uid;
		p->gid = pw->pw_gid;
		p->login = mem_dup(str_of(pw->pw_name));
		p->full_name = read_full_name(pw);
		p->home = mem_dup(str_of(pw->pw_dir));
		return true;
	}
	return false;
}

static void __attribute__((noreturn))
become_getent(int out, const char *database, const char *key)
{
	char *const argv[] = { "getent", (char *)database, "--", (char *)key, NULL };
	char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (null >= 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0 && dup2(null, 2) >= 0)
		execve(GETENT, argv, env);
	_exit(127);
}

/* All that comes before the end of a pipe, of an answer of one line; false when
 * it is too much, or too late. */
static bool
read_answer(int fd, struct buf *answer)
{
	double end = clock_now() + GETENT_TIME;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (answer->len < LINE_MAX_OCTETS) {
		int left = (int)((end - clock_now()) * 1000);
		ssize_t n;

		if (left <= 0 || poll(&p, 1, left) <= 0)
			return false;
		buf_reserve(answer, 4096);
		n = read(fd, answer->p + answer->len, 4096);
		if (n <= 0)
			return n == 0;
		answer->len += (size_t)n;
	}
	return false;
}

/* Asks getent for one entry, in the form of the file. */
static void
ask(const char *database, const char *key, struct buf *answer)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		become_getent(ends[1], database, key);
	close(ends[1]);
	if (pid > 0) {
		if (!read_answer(ends[0], answer)) {
			buf_clear(answer);
			kill(pid, SIGKILL);
		}
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
}

static bool
ask_service(const struct wanted *w, struct person *p)
{
	struct buf answer = { 0 };
	char uid[24];
	bool found = false;
	FILE *f;

	snprintf(uid, sizeof uid, "%lu", (unsigned long)w->uid);
	ask("passwd", w->login != NULL ? w->login : uid, &answer);
	f = answer.len > 0 ? fmemopen(answer.p, answer.len, "r") : NULL;
	if (f != NULL) {
		found = find_in(f, w, p);
		fclose(f);
	}
	buf_free(&answer);
	return found;
}

/* Read whole: fgetpwent asks where it stands in a file before and after each line. */
static bool
find_in_file(const struct wanted *w, struct person *p)
{
	struct buf all = { 0 };
	FILE *f = NULL;
	bool found = false;

	if (file_load(AT_FDCWD, PASSWORD_FILE, &all, PASSWORD_FILE_MAX) == 0 && all.len > 0)
		f = fmemopen(all.p, all.len, "r");
	else
		f = fopen(PASSWORD_FILE, "re");
	if (f != NULL) {
		found = find_in(f, w, p);
		fclose(f);
	}
	buf_free(&all);
	return found;
}

static bool
find(const struct wanted *w, struct person *p)
{
	*p = (struct person){ 0 };
	return find_in_file(w, p) || ask_service(w, p);
}

/* A program asks for its own uid several times, and it stays who it is. */
bool
person_by_uid(uid_t uid, struct person *p)
{
	static struct person known;
	struct person found;

	if (known.login == NULL || known.uid != uid) {
		if (!find(&(struct wanted){ .uid = uid }, &found)) {
			*p = (struct person){ 0 };
			return false;
		}
		person_free(&known);
		known = found;
	}
	*p = (struct person){ .uid = uid, .gid = known.gid, .login = mem_dup(str_of(known.login)),
		.full_name = mem_dup(str_of(known.full_name)), .home = mem_dup(str_of(known.home)) };
	return true;
}

/* What could not stand in such a file is no name. */
static bool
may_be_login(struct str s)
{
	return s.len > 0 && s.len <= 255 && !str_has(s, ':') && !str_has(s, '\n') && !str_has(s, '\0');
}

bool
person_by_login(struct str login, struct person *p)
{
	char *name;
	bool found;

	*p = (struct person){ 0 };
	if (!may_be_login(login))
		return false;
	name = mem_dup(login);
	found = find(&(struct wanted){ .login = name }, p);
	free(name);
	return found;
}

bool
person_is_system(struct str login)
{
	struct person p = { 0 };
	char *name;
	bool is;

	if (!may_be_login(login))
		return false;
	name = mem_dup(login);
	is = find_in_file(&(struct wanted){ .login = name }, &p) && p.uid < PERSON_FIRST_UID;
	free(name);
	person_free(&p);
	return is;
}

/* Groups. */

static bool
find_group_in(FILE *f, const char *name, gid_t *gid)
{
	struct group *g;

	while ((g = fgetgrent(f)) != NULL) {
		if (strcmp(g->gr_name, name) != 0)
			continue;
		*gid = g->gr_gid;
		return true;
	}
	return false;
}

static bool
find_group_in_file(const char *name, gid_t *gid)
{
	FILE *f = fopen(GROUP_FILE, "re");
	bool found = false;

	if (f != NULL) {
		found = find_group_in(f, name, gid);
		fclose(f);
	}
	return found;
}

static bool
ask_service_for_group(const char *name, gid_t *gid)
{
	struct buf answer = { 0 };
	bool found = false;
	FILE *f;

	ask("group", name, &answer);
	f = answer.len > 0 ? fmemopen(answer.p, answer.len, "r") : NULL;
	if (f != NULL) {
		found = find_group_in(f, name, gid);
		fclose(f);
	}
	buf_free(&answer);
	return found;
}

bool
person_group(struct str name, gid_t *gid)
{
	char *copy;
	bool found;

	if (!may_be_login(name) || name.p[0] == '+' || name.p[0] == '-')
		return false;
	copy = mem_dup(name);
	found = find_group_in_file(copy, gid) || ask_service_for_group(copy, gid);
	free(copy);
	return found;
}

gid_t *
person_groups(const char *login, gid_t first, size_t *n)
{
	gid_t *groups = mem_grow(NULL, 1, sizeof *groups);
	struct buf answer = { 0 };
	struct str rest, word;
	uint64_t gid;

	groups[0] = first;
	*n = 1;
	ask("initgroups", login, &answer);
	rest = str_trim(buf_str(&answer));
	/* The login, then its groups, with any number of spaces between. */
	for (str_word(&rest); rest.len > 0 && *n < GROUPS_MAX; ) {
		word = str_word(&rest);
		if (!codec_number(word, UINT32_MAX, &gid) || gid == first)
			continue;
		groups = mem_grow(groups, *n + 1, sizeof *groups);
		groups[(*n)++] = (gid_t)gid;
	}
	buf_free(&answer);
	return groups;
}

/* Whom to believe. */

bool
person_is_trusted(uid_t owner)
{
	struct person service = { 0 };
	bool trusted = owner == 0 || owner == geteuid();

	if (!trusted && geteuid() == 0)
		trusted = person_by_login(STR(SERVICE_ACCOUNT), &service) && owner == service.uid;
	person_free(&service);
	return trusted;
}

/* Nobody. */

static unsigned
read_overflow(const char *path)
{
	struct buf text = { 0 };
	uint64_t id = OVERFLOW_NORMAL;

	if (file_load(AT_FDCWD, path, &text, 32) == 0)
		codec_number(str_trim(buf_str(&text)), UINT32_MAX, &id);
	buf_free(&text);
	return (unsigned)id;
}

uid_t
person_unknown_uid(void)
{
	return (uid_t)read_overflow("/proc/sys/kernel/overflowuid");
}

gid_t
person_unknown_gid(void)
{
	return (gid_t)read_overflow("/proc/sys/kernel/overflowgid");
}
