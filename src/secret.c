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

static enum outcome
file_failed(const char *path, int error, struct why *why)
{
	return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s cannot be read: %s; "
	    "mend that, or name another file in subpost.ini", codec_show(str_of(path)).p,
	    strerror(error));
}

static enum outcome
judge_file(const char *path, const struct stat *st, struct why *why)
{
	struct shown p = codec_show(str_of(path));
	bool is_roots = st->st_uid == 0;
	mode_t mode = st->st_mode & 07777;

	if (!S_ISREG(st->st_mode))
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s is not a regular file; "
		    "name a file whose first line is the password", p.p);
	if (!person_is_trusted(st->st_uid))
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s belongs to %s, so it is "
		    "not trusted; run: chown %s '%s'", p.p, login_of(st->st_uid).p,
		    login_of(geteuid()).p, p.p);
	/* root may lend its file to a service by the group (and systemd's
	 * credentials show the service's access rule as group bits); a file of
	 * our own needs no group. */
	if ((mode & (is_roots ? 0027 : 0077)) != 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s (owner %s, mode %04o) is "
		    "open to others; run: chmod %s '%s'", p.p, login_of(st->st_uid).p,
		    (unsigned)mode, is_roots && geteuid() != 0 ? "0640" : "0600", p.p);
	return DONE;
}

static enum outcome
read_file(int fd, const char *path, struct buf *secret, struct why *why)
{
	size_t got;

	while (secret->len <= SECRET_MAX) {
		if (file_read(fd, secret->p + secret->len, SECRET_MAX + 1 - secret->len, &got) < 0)
			return file_failed(path, errno, why);
		secret->len += got;
		secret->p[secret->len] = '\0';
		if (cut_to_line(secret))
			return DONE;
		if (got == 0) {
			cut_at_end(secret);
			return DONE;
		}
	}
	return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s: the first line is longer than "
	    "%d octets; it should hold the password and nothing else", codec_show(str_of(path)).p,
	    SECRET_MAX);
}

static enum outcome
take_file(const char *path, struct buf *secret, struct why *why)
{
	/* O_NONBLOCK: a FIFO put there must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int error = fd < 0 ? errno : 0;
	struct shown p = codec_show(str_of(path));
	enum outcome o;
	struct stat st;

	if (error == EACCES)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s may not be read by %s; "
		    "run: chown %s '%s' (and let %s enter the directories above it)", p.p,
		    login_of(geteuid()).p, login_of(geteuid()).p, p.p, login_of(geteuid()).p);
	if (error == ENOENT)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s is not there; write the "
		    "password into it, then run: chmod 0600 '%s' && chown %s '%s'", p.p, p.p,
		    login_of(geteuid()).p, p.p);
	if (error != 0)
		return file_failed(path, error, why);
	if (fstat(fd, &st) < 0)
		o = file_failed(path, errno, why);
	else if ((o = judge_file(path, &st, why)) == DONE)
		o = read_file(fd, path, secret, why);
	close(fd);
	if (o == DONE && secret->len == 0)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-file %s: the first line is empty; "
		    "it should hold the password", p.p);
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
split(const char *command, struct words *w, struct why *why)
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
		    "password-command: a %c is not closed; mend the line in subpost.ini", quote);
	if (w->n == 0 || w->v[0][0] == '\0')
		return later(why, SCOPE_ACCOUNT, STATUS,
		    "password-command names no program; mend the line in subpost.ini");
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
become(char **words, int out)
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
	execvp(words[0], words);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

struct command {
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
		return later(why, SCOPE_ACCOUNT, STATUS, "password-command cannot be started: %s",
		    strerror(errno));
	c->pid = fork();
	if (c->pid == 0)
		become(words, fds[1]);
	close(fds[1]);
	if (c->pid < 0) {
		c->pid = 0;
		close(fds[0]);
		return later(why, SCOPE_ACCOUNT, STATUS, "password-command cannot be started: %s",
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
			return later(why, SCOPE_ACCOUNT, STATUS, "password-command prints a first "
			    "line longer than %d octets; it should print the password", SECRET_MAX);
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
			return later(why, SCOPE_ACCOUNT, STATUS, "password-command did not end within "
			    "%u seconds and was killed; it must answer without asking anybody",
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
		return later(why, SCOPE_ACCOUNT, STATUS, "password-command failed: ended by signal "
		    "%d; run it at the prompt to see why", WTERMSIG(c->status));
	/* One text for both: with a directory in PATH that we may not enter, a
	 * program that is nowhere is "not permitted" as well. */
	if (code == EXIT_NOT_FOUND || code == EXIT_NOT_RUN)
		return later(why, SCOPE_ACCOUNT, STATUS, "password-command failed: exit status %d, "
		    "the program is not there or may not be run; give its full path%s", code, hint);
	return later(why, SCOPE_ACCOUNT, STATUS, "password-command failed: exit status %d; "
	    "run it at the prompt to see why%s", code, hint);
}

enum outcome
secret_command(const char *command, unsigned seconds, struct buf *secret, struct why *why)
{
	struct command c = { .out = -1, .exited = -1 };
	struct words words = { 0 };
	enum outcome o;

	buf_clear(secret);
	buf_reserve(secret, SECRET_MAX + 1);
	if ((o = split(command, &words, why)) != DONE)
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
		o = later(why, SCOPE_ACCOUNT, STATUS, "password-command printed nothing in its "
		    "first line; run it at the prompt to see why");
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
secret_get(const struct smarthost *account, struct buf *secret, struct why *why)
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
		o = secret_command(account->password_command, SECRET_COMMAND_TIME, secret, why);
	}
	/* Half an answer is none: nobody may log in with it by mistake. */
	if (o != DONE)
		forget(secret);
	return o;
}
