#include "person.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define PASSWORD_FILE "/etc/passwd"
#define GETENT "/usr/bin/getent"
#define GETENT_TIME 20          /* seconds for a directory far away */
#define LINE_MAX_OCTETS 65536   /* of its answer */

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
		p->login = mem_dup(str_of(pw->pw_name));
		p->full_name = read_full_name(pw);
		p->home = mem_dup(str_of(pw->pw_dir));
		return true;
	}
	return false;
}

static void __attribute__((noreturn))
become_getent(int out, const char *key)
{
	char *const argv[] = { "getent", "passwd", "--", (char *)key, NULL };
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

/* Asks getent for one entry, in the form of the password file. */
static void
ask(const char *key, struct buf *answer)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		become_getent(ends[1], key);
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
	ask(w->login != NULL ? w->login : uid, &answer);
	f = answer.len > 0 ? fmemopen(answer.p, answer.len, "r") : NULL;
	if (f != NULL) {
		found = find_in(f, w, p);
		fclose(f);
	}
	buf_free(&answer);
	return found;
}

static bool
find_in_file(const struct wanted *w, struct person *p)
{
	FILE *f = fopen(PASSWORD_FILE, "re");
	bool found = false;

	if (f != NULL) {
		found = find_in(f, w, p);
		fclose(f);
	}
	return found;
}

static bool
find(const struct wanted *w, struct person *p)
{
	*p = (struct person){ 0 };
	return find_in_file(w, p) || ask_service(w, p);
}

bool
person_by_uid(uid_t uid, struct person *p)
{
	return find(&(struct wanted){ .uid = uid }, p);
}

/* What could not stand in a password file is nobody's login. */
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
