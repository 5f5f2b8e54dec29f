#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "file.h"
#include "person.h"

#define STATUS "4.3.5"          /* RFC 3463 section 3.4: system incorrectly configured */

/* What a shell would have done with the command, and we do not. */
#define SHELL_MARKS "|&;<>$`~*?"

/* As the shell answers, and as people know it. */
#define EXIT_NOT_RUN 126
#define EXIT_NOT_FOUND 127

static struct shown
login_of(uid_t uid)
{
	struct person p;
	struct shown n;

	if (person_by_uid(uid, &p))
		n = codec_show(str_of(p.login));
	else
		snprintf(n.p, sizeof n.p, "%lu", (unsigned long)uid);
	person_free(&p);
	return n;
}

/* Cuts what was read to its first line, without CR LF; false while no line end
 * is in it.  The rest is wiped rather than left behind the end. */
static bool
cut_to_line(struct buf *secret)
{
	size_t end = str_find(buf_str(secret), '\n'), keep = end;

	if (end == secret->len)
		return false;
	if (keep > 0 && secret->p[keep - 1] == '\r')
		keep--;
	explicit_bzero(secret->p + keep, secret->len - keep);
	secret->len = keep;
	return true;
}

/* The same for a text that has ended: its last line needs no line end. */
static void
cut_at_end(struct buf *secret)
{
	if (!cut_to_line(secret) && secret->len > 0 && secret->p[secret->len - 1] == '\r')
		secret->p[--secret->len] = '\0';
}

static void
forget(struct buf *secret)
{
	explicit_bzero(secret->p, secret->cap);
	secret->len = 0;
}

/* A file: who may see it, and what it says. */

struct secret_source {
	const char *key;        /* of the ini file, which names it */
	const char *path;
	const char *holds;      /* what should be in it */
};

static enum outcome
file_failed(const struct secret_source *f, int error, struct why *why)
{
	return later(why, SCOPE_ACCOUNT, STATUS, "%s %s cannot be read: %s; "
	    "mend that, or name another file in subpost.ini", f->key, codec_show(str_of(f->path)).p,
	    strerror(error));
}

static enum outcome
judge_file(const struct secret_source *f, const struct stat *st, struct why *why)
{
	struct shown p = codec_show(str_of(f->path));
	bool is_roots = st->st_uid == 0;
	mode_t mode = st->st_mode & 07777;

	if (!S_ISREG(st->st_mode))
		return later(why, SCOPE_ACCOUNT, STATUS, "%s %s is not a regular file; "
		    "name a file that holds %s", f->key, p.p, f->holds);
	if (!person_is_trusted(st->st_uid))
		return later(why, SCOPE_ACCOUNT, STATUS, "%s %s belongs to %s, so it is "
		    "not trusted; run: chown %s '%s'", f->key, p.p, login_of(st->st_uid).p,
		    login_of(geteuid()).p, p.p);
	/* root may lend its file to a service by the group (and systemd's
	 * credentials show the service's access rule as group bits); a file of
	 * our own needs no group. */
	if ((mode & (is_roots ? 0027 : 0077)) != 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s %s (owner %s, mode %04o) is "
		    "open to others; run: chmod %s '%s'", f->key, p.p, login_of(st->st_uid).p,
		    (unsigned)mode, is_roots && geteuid() != 0 ? "0640" : "0600", p.p);
	return DONE;
}

static enum outcome
open_file(const struct secret_source *f, int *fd, struct why *why)
{
	struct shown p = codec_show(str_of(f->path)), we = login_of(geteuid());
	enum outcome o = DONE;
	struct stat st;

	/* O_NONBLOCK: a FIFO put there must not hang us. */
	*fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (*fd < 0 && errno == EACCES)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s %s may not be read by %s; "
		    "run: chown %s '%s' (and let %s enter the directories above it)", f->key, p.p,
		    we.p, we.p, p.p, we.p);
	if (*fd < 0 && errno == ENOENT)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s %s is not there; write "
		    "%s into it, then run: chmod 0600 '%s' && chown %s '%s'", f->key, p.p, f->holds,
		    p.p, we.p, p.p);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		o = file_failed(f, errno, why);
	else
		o = judge_file(f, &st, why);
	return o;
}

static enum outcome
read_line(const struct secret_source *f, int fd, struct buf *secret, struct why *why)
{
	size_t got;

	while (secret->len <= SECRET_MAX) {
		if (file_read(fd, secret->p + secret->len, SECRET_MAX + 1 - secret->len, &got) < 0)
			return file_failed(f, errno, why);
		secret->len += got;
		secret->p[secret->len] = '\0';
		if (cut_to_line(secret))
			return DONE;
		if (got == 0) {
			cut_at_end(secret);
			return DONE;
		}
	}
	return later(why, SCOPE_ACCOUNT, STATUS, "%s %s: the first line is longer than "
	    "%d octets; it should hold the password and nothing else", f->key,
	    codec_show(str_of(f->path)).p, SECRET_MAX);
}

static enum outcome
take_file(const char *path, struct buf *secret, struct why *why)
{
	const struct secret_source f = { "password-file", path, "the password" };
	enum outcome o;
	int fd;

	if ((o = open_file(&f, &fd, why)) == DONE)
		o = read_line(&f, fd, secret, why);
	if (fd >= 0)
		close(fd);
	if (o == DONE && secret->len == 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s: the first line is empty; "
		    "it should hold the password", codec_show(str_of(path)).p);
	return o;
}

enum outcome
secret_file(const char *key, const char *path, struct buf *octets, struct why *why)
{
	const struct secret_source f = { key, path, "the private key" };
	enum outcome o;
	int fd;

	buf_clear(octets);
	/* Once, in full: growing would leave a copy behind. */
	buf_reserve(octets, SECRET_MAX + 1);
	if ((o = open_file(&f, &fd, why)) == DONE && file_read_all(fd, octets, SECRET_MAX) < 0)
		o = file_failed(&f, errno, why);
	if (fd >= 0)
		close(fd);
	return o;
}

/* A command: its words, its process, its first line, its end. */

struct words {
	char **v;
	size_t n;
	char *text;             /* the words themselves, each with its NUL */
};

static void
free_words(struct words *w)
{
	free(w->v);
	free(w->text);
	*w = (struct words){ 0 };
}

/* Splits on spaces; '...' and "..." keep them, and nothing else is special:
 * what would need a shell's rules to be understood is not understood. */
static enum outcome
split(const char *key, const char *command, struct words *w, struct why *why)
{
	size_t len = strlen(command);
	char quote = '\0', *to;
	bool inside = false;

	w->text = mem_alloc(len + 1);
	w->v = mem_alloc((len / 2 + 2) * sizeof *w->v);
	to = w->text;
	for (const char *p = command; *p != '\0'; p++) {
		if (quote == '\0' && (*p == ' ' || *p == '\t')) {
			if (inside)
				*to++ = '\0';
			inside = false;
			continue;
		}
		if (!inside)
			w->v[w->n++] = to;
		inside = true;
		if (quote != '\0' ? *p == quote : *p == '\'' || *p == '"')
			quote = quote != '\0' ? '\0' : *p;
		else
			*to++ = *p;
	}
	if (quote != '\0')
		return later(why, SCOPE_ACCOUNT, STATUS,
		    "%s: a %c is not closed; mend the line in subpost.ini", key, quote);
	if (w->n == 0 || w->v[0][0] == '\0')
		return later(why, SCOPE_ACCOUNT, STATUS,
		    "%s names no program; mend the line in subpost.ini", key);
	return DONE;
}

static void
close_above_two(void)
{
	if (close_range(3, ~0u, 0) == 0)
		return;
	/* A kernel before Linux 5.9. */
	for (int fd = 3, end = (int)sysconf(_SC_OPEN_MAX); fd < end; fd++)
		close(fd);
}

static _Noreturn void
become(char **words, bool fresh, int out)
{
	sigset_t none;
	int null;

	setpgid(0, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Standard error goes nowhere: ours may be somebody's log, and a command
	 * that is made to print a secret may print it there too. */
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0)
		_exit(EXIT_NOT_RUN);
	close_above_two();
	if (fresh ? setenv(SECRET_FRESH, "fresh", 1) < 0 : unsetenv(SECRET_FRESH) < 0)
		_exit(EXIT_NOT_RUN);
	execvp(words[0], words);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

struct command {
	const char *key;        /* of the ini file, which names it */
	bool fresh;             /* what it gave before is of no use any more */
	pid_t pid;              /* 0 once it was waited for */
	int out;                /* what it prints, not blocking; -1 after its end */
	int exited;             /* pidfd; -1 where the kernel has none */
	int status;
	bool has_line;
};

static enum outcome
launch(struct command *c, char **words, struct why *why)
{
	int fds[2], null;

	/* With 0, 1 or 2 closed in this process, the pipe would take their place
	 * and be lost in the child's arranging: hold them first. */
	while ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && null <= STDERR_FILENO)
		continue;
	if (null >= 0)
		close(null);
	/* Ignored by whoever started us, it would take the exit status away. */
	signal(SIGCHLD, SIG_DFL);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s cannot be started: %s", c->key,
		    strerror(errno));
	c->pid = fork();
	if (c->pid == 0)
		become(words, c->fresh, fds[1]);
	close(fds[1]);
	if (c->pid < 0) {
		c->pid = 0;
		close(fds[0]);
		return later(why, SCOPE_ACCOUNT, STATUS, "%s cannot be started: %s", c->key,
		    strerror(errno));
	}
	/* By both sides, so that the group is there whoever comes first. */
	setpgid(c->pid, c->pid);
	c->out = fds[0];
	fcntl(c->out, F_SETFL, O_NONBLOCK);
	c->exited = (int)syscall(SYS_pidfd_open, c->pid, 0);
	return DONE;
}

/* False when there is nothing to be had now, or ever again (out is then -1). */
static bool
hear(struct command *c, char *to, size_t room, size_t *got)
{
	if (file_read(c->out, to, room, got) < 0) {
		if (errno == EAGAIN)
			return false;
		*got = 0;
	}
	if (*got == 0) {
		close(c->out);
		c->out = -1;
	}
	return *got > 0;
}

/* Reads what there is.  Past the first line it is read and thrown away, since
 * a command that cannot print its second line would end by SIGPIPE. */
static enum outcome
drain(struct command *c, struct buf *secret, struct why *why)
{
	char waste[16384];
	size_t got;

	while (!c->has_line) {
		if (!hear(c, secret->p + secret->len, SECRET_MAX + 1 - secret->len, &got))
			return DONE;
		secret->len += got;
		secret->p[secret->len] = '\0';
		c->has_line = cut_to_line(secret);
		if (!c->has_line && secret->len > SECRET_MAX)
			return later(why, SCOPE_ACCOUNT, STATUS, "%s prints a first line longer "
			    "than %d octets; it should print the secret alone", c->key, SECRET_MAX);
	}
	/* Once a call: one that never stops printing must still meet its limit. */
	if (hear(c, waste, sizeof waste, &got))
		explicit_bzero(waste, got);
	return DONE;
}

/* Waits for the command itself, not for the end of its output: a daemon that it
 * leaves behind may hold that open for days. */
static enum outcome
listen_to(struct command *c, unsigned seconds, struct buf *secret, struct why *why)
{
	double end = clock_now() + seconds;
	enum outcome o;

	for (;;) {
		struct pollfd fds[2] = { { .fd = c->out, .events = POLLIN },
			{ .fd = c->exited, .events = POLLIN } };
		int64_t left = (int64_t)((end - clock_now()) * 1000);
		pid_t pid;

		if (left <= 0)
			return later(why, SCOPE_ACCOUNT, STATUS, "%s did not end within %u "
			    "seconds and was killed; it must answer without asking anybody", c->key,
			    seconds);
		/* Without a pidfd (before Linux 5.3) we look every 50 ms. */
		poll(fds, 2, (int)(c->exited < 0 && left > 50 ? 50 : left));
		pid = waitpid(c->pid, &c->status, WNOHANG);
		/* What it printed was printed before it ended, so it is read after. */
		if (c->out >= 0 && (o = drain(c, secret, why)) != DONE)
			return o;
		if (pid == c->pid || (pid < 0 && errno == ECHILD)) {
			if (pid < 0)
				c->status = EXIT_NOT_RUN << 8;
			c->pid = 0;
			return DONE;
		}
	}
}

static enum outcome
judge_end(const struct command *c, const char *command, struct why *why)
{
	static const char no_shell[] =
	    " (no shell runs it: write sh -c '...' where it needs one)";
	const char *hint = strpbrk(command, SHELL_MARKS) != NULL ? no_shell : "";
	int code = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : -1;

	if (code == 0)
		return DONE;
	if (code < 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s failed: ended by signal %d; run it at "
		    "the prompt to see why", c->key, WTERMSIG(c->status));
	/* One text for both: with a directory in PATH that we may not enter, a
	 * program that is nowhere is "not permitted" as well. */
	if (code == EXIT_NOT_FOUND || code == EXIT_NOT_RUN)
		return later(why, SCOPE_ACCOUNT, STATUS, "%s failed: exit status %d, the program is "
		    "not there or may not be run; give its full path%s", c->key, code, hint);
	return later(why, SCOPE_ACCOUNT, STATUS, "%s failed: exit status %d; run it at the "
	    "prompt to see why%s", c->key, code, hint);
}

enum outcome
secret_command(const char *key, const char *command, bool fresh, unsigned seconds,
    struct buf *secret, struct why *why)
{
	struct command c = { .key = key, .fresh = fresh, .out = -1, .exited = -1 };
	struct words words = { 0 };
	enum outcome o;

	buf_clear(secret);
	buf_reserve(secret, SECRET_MAX + 1);
	if ((o = split(key, command, &words, why)) != DONE)
		goto out;
	if ((o = launch(&c, words.v, why)) != DONE)
		goto out;
	if ((o = listen_to(&c, seconds, secret, why)) != DONE)
		goto out;
	if ((o = judge_end(&c, command, why)) != DONE)
		goto out;
	if (!c.has_line)
		cut_at_end(secret);
	if (secret->len == 0)
		o = later(why, SCOPE_ACCOUNT, STATUS, "%s printed nothing in its first line; run "
		    "it at the prompt to see why", key);
out:
	if (c.pid > 0) {
		kill(-c.pid, SIGKILL);
		while (waitpid(c.pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	if (c.out >= 0)
		close(c.out);
	if (c.exited >= 0)
		close(c.exited);
	if (o != DONE)
		forget(secret);
	free_words(&words);
	return o;
}

static bool
is_set(const char *s)
{
	return s != NULL && s[0] != '\0';
}

enum outcome
secret_get(const struct smarthost *account, bool fresh, struct buf *secret, struct why *why)
{
	enum outcome o = DONE;

	buf_clear(secret);
	/* Once, in full: growing would leave a copy behind. */
	buf_reserve(secret, SECRET_MAX + 1);
	if (account->has_password) {
		if (account->password.len == 0 || account->password.len > SECRET_MAX)
			o = later(why, SCOPE_ACCOUNT, STATUS, account->password.len == 0 ?
			    "password is empty; write it into subpost.ini, or use password-file" :
			    "password is too long; mend it in subpost.ini");
		else
			buf_addstr(secret, buf_str(&account->password));
	} else if (is_set(account->password_file)) {
		o = take_file(account->password_file, secret, why);
	} else if (is_set(account->password_command)) {
		o = secret_command("password-command", account->password_command, false,
		    SECRET_COMMAND_TIME, secret, why);
	} else if (is_set(account->token_command)) {
		o = secret_command("token-command", account->token_command, fresh,
		    SECRET_COMMAND_TIME, secret, why);
	}
	/* Half an answer is none: nobody may log in with it by mistake. */
	if (o != DONE)
		forget(secret);
	return o;
}
