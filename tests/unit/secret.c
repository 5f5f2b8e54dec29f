/* secret: where a password may be, who may see it, and how a command gives one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "secret.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CANARY "Zq7-kanari"
#define STRANGER 54321          /* a uid that is nobody's */

static char dir[64], path[96], other[96];

static int
set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/secret-unit.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof path, "%s/password", dir);
	snprintf(other, sizeof other, "%s/other", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	return rmdir(dir);
}

static void
put_file(struct str text, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, text), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static struct smarthost
with_file(const char *name)
{
	return (struct smarthost){ .password_file = (char *)name };
}

static enum outcome
get_file(const char *name, struct buf *secret, struct why *why)
{
	struct smarthost account = with_file(name);

	return secret_get(&account, false, secret, why);
}

/* Refused, for the account's sake, in one line that tells nothing secret. */
static void
expect_refusal(enum outcome o, const struct buf *secret, const struct why *why)
{
	assert_int_equal(o, LATER);
	assert_int_equal(why->scope, SCOPE_ACCOUNT);
	assert_true(why->text[0] != '\0');
	assert_null(strchr(why->text, '\n'));
	assert_null(strstr(why->text, CANARY));
	assert_int_equal(secret->len, 0);
	assert_null(memmem(secret->p, secret->cap, CANARY, strlen(CANARY)));
}

struct line {
	struct str text, secret;
};

static void
the_first_line_of_a_file_is_the_secret_without_its_line_end(void **state)
{
	static const struct line rows[] = {
		{ STR("pw\n"), STR("pw") },
		{ STR("pw"), STR("pw") },
		{ STR("pw\r\n"), STR("pw") },
		{ STR("pw\r"), STR("pw") },
		{ STR("pw\nuser: me\nurl: x\n"), STR("pw") },
		{ STR(" p w \t\n"), STR(" p w \t") },
		{ STR("p\rw\n"), STR("p\rw") },
		{ STR("'\"\\$;#=\n"), STR("'\"\\$;#=") },
		{ STR("p\xc3\xa4ss\n"), STR("p\xc3\xa4ss") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };

		put_file(rows[i].text, 0600);
		assert_int_equal(get_file(path, &secret, &why), DONE);
		assert_true(str_eq(buf_str(&secret), rows[i].secret));
		assert_int_equal(secret.p[secret.len], '\0');
		buf_wipe(&secret);
	}
}

static void
an_empty_first_line_is_a_failure(void **state)
{
	static const struct str texts[] = {
		STR(""), STR("\n"), STR("\r\n"), STR("\n" CANARY "\n"), STR("\r"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };

		put_file(texts[i], 0600);
		expect_refusal(get_file(path, &secret, &why), &secret, &why);
		assert_non_null(strstr(why.text, path));
		assert_non_null(strstr(why.text, "empty"));
		buf_wipe(&secret);
	}
}

static void
what_follows_the_first_line_is_not_kept_in_memory(void **state)
{
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	put_file(STR("pw\nother account: " CANARY "\n"), 0600);
	assert_int_equal(get_file(path, &secret, &why), DONE);
	assert_null(memmem(secret.p, secret.cap, CANARY, strlen(CANARY)));
	buf_wipe(&secret);
}

static void
a_file_open_to_others_is_refused_with_the_chmod_that_mends_it(void **state)
{
	static const mode_t modes[] = { 0644, 0604, 0602, 0601, 0620, 0660, 0666, 0777, 0444 };
	struct passwd *pw = getpwuid(geteuid());

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };
		char mode[16];

		put_file(STR(CANARY "\n"), modes[i]);
		expect_refusal(get_file(path, &secret, &why), &secret, &why);
		snprintf(mode, sizeof mode, "mode %04o", (unsigned)modes[i]);
		assert_non_null(strstr(why.text, path));
		assert_non_null(strstr(why.text, mode));
		assert_non_null(strstr(why.text, "chmod 0600"));
		if (pw != NULL)
			assert_non_null(strstr(why.text, pw->pw_name));
		buf_wipe(&secret);
	}
}

static void
a_key_file_is_read_whole_and_judged_as_a_password_file(void **state)
{
	static const struct str text = { "-----BEGIN\nkey\n\n-----END\n", 26 };
	struct buf octets = { 0 };
	struct why why = { 0 };

	(void)state;
	put_file(text, 0600);
	assert_int_equal(secret_file("tls-key-file", path, &octets, &why), DONE);
	assert_true(str_eq(buf_str(&octets), text));
	chmod(path, 0640);
	assert_int_equal(secret_file("tls-key-file", path, &octets, &why), geteuid() == 0 ? DONE : LATER);
	chmod(path, 0644);
	assert_int_equal(secret_file("tls-key-file", path, &octets, &why), LATER);
	assert_int_equal(why.scope, SCOPE_ACCOUNT);
	assert_non_null(strstr(why.text, "tls-key-file "));
	assert_non_null(strstr(why.text, "chmod 0600"));
	assert_int_equal(secret_file("tls-key-file", "/nonexistent", &octets, &why), LATER);
	assert_non_null(strstr(why.text, "write the private key into it"));
	assert_int_equal(secret_file("tls-key-file", "/", &octets, &why), LATER);
	assert_non_null(strstr(why.text, "not a regular file"));
	buf_wipe(&octets);
}

static void
a_file_that_only_its_owner_can_read_is_taken(void **state)
{
	static const mode_t modes[] = { 0600, 0400, 0700 };

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };

		put_file(STR("pw\n"), modes[i]);
		assert_int_equal(get_file(path, &secret, &why), DONE);
		assert_true(str_is(buf_str(&secret), "pw"));
		buf_wipe(&secret);
	}
}

/* Runs story as somebody else where we can become somebody else. */
static void
as_stranger(int (*story)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0 && (setgid(STRANGER) != 0 || setuid(STRANGER) != 0))
			_exit(99);
		_exit(story());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int
read_it(void)
{
	struct buf secret = { 0 };
	struct why why = { 0 };
	int r = get_file(path, &secret, &why) == DONE && str_is(buf_str(&secret), "pw") ? 0 : 1;

	buf_wipe(&secret);
	return r;
}

static int
be_told_to_chmod(void)
{
	struct buf secret = { 0 };
	struct why why = { 0 };
	int r = get_file(path, &secret, &why) == LATER && secret.len == 0 &&
	    strstr(why.text, "chmod 0600") != NULL ? 0 : 1;

	buf_wipe(&secret);
	return r;
}

static int
be_told_to_chown(void)
{
	struct buf secret = { 0 };
	struct why why = { 0 };
	int r = get_file(path, &secret, &why) == LATER && secret.len == 0 &&
	    strstr(why.text, "chown") != NULL && strstr(why.text, path) != NULL ? 0 : 1;

	buf_wipe(&secret);
	return r;
}

static void
root_may_lend_its_file_by_the_group_and_nobody_else_may(void **state)
{
	(void)state;
	put_file(STR("pw\n"), 0640);
	if (geteuid() == 0) {
		assert_int_equal(read_it(), 0);
		assert_int_equal(chown(path, 0, STRANGER), 0);
		as_stranger(read_it);
		assert_int_equal(chown(path, STRANGER, STRANGER), 0);
	}
	as_stranger(be_told_to_chmod);
}

static void
a_file_of_somebody_else_is_refused_with_the_chown_that_mends_it(void **state)
{
	(void)state;
	/* Without rights over other users' files, one that we cannot open. */
	put_file(STR(CANARY "\n"), 0600);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, STRANGER, 0), 0);
		assert_int_equal(be_told_to_chown(), 0);
		assert_int_equal(chown(path, 0, 0), 0);
	} else {
		assert_int_equal(chmod(path, 0), 0);
	}
	as_stranger(be_told_to_chown);
}

static void
what_is_no_regular_file_is_refused_and_cannot_hang_us(void **state)
{
	const char *const names[] = { path, dir, "/dev/zero", "/dev/null" };

	(void)state;
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(20);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };

		expect_refusal(get_file(names[i], &secret, &why), &secret, &why);
		assert_non_null(strstr(why.text, names[i]));
		assert_non_null(strstr(why.text, "not a regular file"));
		buf_wipe(&secret);
	}
	alarm(0);
}

static void
a_missing_file_is_named(void **state)
{
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	unlink(path);
	expect_refusal(get_file(path, &secret, &why), &secret, &why);
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, "not there"));
	buf_wipe(&secret);
}

static void
a_link_is_judged_by_the_file_it_leads_to(void **state)
{
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	put_file(STR("pw\n"), 0600);
	assert_int_equal(symlink(path, other), 0);
	assert_int_equal(get_file(other, &secret, &why), DONE);
	assert_int_equal(chmod(path, 0644), 0);
	expect_refusal(get_file(other, &secret, &why), &secret, &why);
	unlink(other);
	buf_wipe(&secret);
}

static void
a_line_of_64_kib_is_taken_and_a_longer_one_refused(void **state)
{
	struct buf text = { 0 }, secret = { 0 };
	struct why why = { 0 };

	(void)state;
	while (text.len < SECRET_MAX)
		buf_addc(&text, 'x');
	put_file(buf_str(&text), 0600);
	assert_int_equal(get_file(path, &secret, &why), DONE);
	assert_true(str_eq(buf_str(&secret), buf_str(&text)));
	buf_adds(&text, "\nmore\n");
	put_file(buf_str(&text), 0600);
	assert_int_equal(get_file(path, &secret, &why), DONE);
	assert_int_equal(secret.len, SECRET_MAX);
	text.p[SECRET_MAX] = 'x';
	put_file(buf_str(&text), 0600);
	expect_refusal(get_file(path, &secret, &why), &secret, &why);
	assert_non_null(strstr(why.text, "65536"));
	buf_free(&text);
	buf_wipe(&secret);
}

static void
the_buffer_gets_its_size_once_and_does_not_move(void **state)
{
	struct smarthost account = { .password_command = (char *)"sh -c 'echo pw; yes | head -c 200000'" };
	struct buf secret = { 0 };
	struct why why = { 0 };
	const char *before;

	(void)state;
	buf_reserve(&secret, SECRET_MAX + 1);
	before = secret.p;
	put_file(STR("pw\n"), 0600);
	assert_int_equal(get_file(path, &secret, &why), DONE);
	assert_ptr_equal(secret.p, before);
	assert_int_equal(secret_get(&account, false, &secret, &why), DONE);
	assert_ptr_equal(secret.p, before);
	assert_true(str_is(buf_str(&secret), "pw"));
	buf_wipe(&secret);
}

static void
a_password_in_the_ini_is_taken_as_it_is(void **state)
{
	struct smarthost account = { .has_password = true, .password_file = (char *)"/dev/null" };
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	buf_adds(&account.password, " p ; w ");
	assert_int_equal(secret_get(&account, false, &secret, &why), DONE);
	assert_true(str_is(buf_str(&secret), " p ; w "));
	buf_clear(&account.password);
	expect_refusal(secret_get(&account, false, &secret, &why), &secret, &why);
	buf_free(&account.password);
	buf_wipe(&secret);
}

static void
an_account_without_a_secret_has_the_empty_one(void **state)
{
	struct smarthost none = { 0 }, empty = { .password_file = (char *)"",
		.password_command = (char *)"" };
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	buf_adds(&secret, "left over");
	assert_int_equal(secret_get(&none, false, &secret, &why), DONE);
	assert_int_equal(secret.len, 0);
	assert_int_equal(secret_get(&empty, false, &secret, &why), DONE);
	assert_int_equal(secret.len, 0);
	buf_wipe(&secret);
}

/* Commands. */

struct run {
	const char *command;
	const char *secret;     /* NULL: a failure, whose text has: */
	const char *text;
};

static void
check_runs(const struct run *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf secret = { 0 };
		struct why why = { 0 };
		enum outcome o = secret_command("password-command", rows[i].command, false, 5, &secret, &why);

		if (rows[i].secret == NULL) {
			expect_refusal(o, &secret, &why);
			if (strstr(why.text, rows[i].text) == NULL)
				fail_msg("%s: %s", rows[i].command, why.text);
		} else {
			if (o != DONE)
				fail_msg("%s: %s", rows[i].command, why.text);
			assert_string_equal(buf_c(&secret), rows[i].secret);
		}
		buf_wipe(&secret);
	}
}

/* What the token-command of an account gets to know. */
static void
a_token_command_is_told_when_only_a_fresh_token_will_do(void **state)
{
	struct smarthost account = { .token_command =
	    (char *)"sh -c 'printf \"%s %s\" \"${SUBPOST_TOKEN-none}\" \"${PATH:+path}\"'" };
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	/* Whatever stands there already. */
	setenv(SECRET_FRESH, "fresh", 1);
	assert_int_equal(secret_get(&account, false, &secret, &why), DONE);
	assert_string_equal(buf_c(&secret), "none path");
	unsetenv(SECRET_FRESH);
	assert_int_equal(secret_get(&account, true, &secret, &why), DONE);
	assert_string_equal(buf_c(&secret), "fresh path");
	assert_null(getenv(SECRET_FRESH));
	buf_wipe(&secret);
}

static void
a_token_command_that_fails_is_told_by_its_own_name(void **state)
{
	static const char *const commands[] = { "false", "true", "sh -c 'kill $$'", "'", "''", "/no/such/program" };

	(void)state;
	for (size_t i = 0; i < COUNT(commands); i++) {
		struct smarthost account = { .token_command = (char *)commands[i] };
		struct buf secret = { 0 };
		struct why why = { 0 };

		expect_refusal(secret_get(&account, true, &secret, &why), &secret, &why);
		assert_int_equal(strncmp(why.text, "token-command", 13), 0);
		buf_wipe(&secret);
	}
}

/* A password knows no age. */
static void
a_password_command_is_never_asked_for_a_fresh_one(void **state)
{
	struct smarthost account = { .password_command =
	    (char *)"sh -c 'echo ${SUBPOST_TOKEN-none}'" };
	struct buf secret = { 0 };
	struct why why = { 0 };

	(void)state;
	assert_int_equal(secret_get(&account, true, &secret, &why), DONE);
	assert_string_equal(buf_c(&secret), "none");
	buf_wipe(&secret);
}

static void
a_command_is_split_on_spaces_and_quotes_keep_them(void **state)
{
	static const struct run rows[] = {
		{ "printf [%s] a b", "[a][b]", NULL },
		{ "  printf\t[%s]   a  ", "[a]", NULL },
		{ "printf [%s] 'a b' \"c  d\"", "[a b][c  d]", NULL },
		{ "printf [%s] x'y z'w", "[xy zw]", NULL },
		{ "printf [%s] '' \"\" a", "[][][a]", NULL },
		{ "printf [%s] \"it's\" 'say \"x\"'", "[it's][say \"x\"]", NULL },
		{ "'printf' [%s] a\\ b", "[a\\][b]", NULL },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
no_shell_looks_at_a_command(void **state)
{
	static const struct run rows[] = {
		{ "printf %s $HOME;`id`|&<>*~", "$HOME;`id`|&<>*~", NULL },
		{ "sh -c 'printf \"%s\" \"$((6 * 7))\"'", "42", NULL },
		{ "false ; true", NULL, "sh -c" },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
a_command_that_makes_no_sense_is_refused_before_it_runs(void **state)
{
	static const struct run rows[] = {
		{ "", NULL, "no program" },
		{ "   ", NULL, "no program" },
		{ "''", NULL, "no program" },
		{ "echo 'half", NULL, "not closed" },
		{ "echo \"half", NULL, "not closed" },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
the_first_line_that_is_printed_is_the_secret(void **state)
{
	static const struct run rows[] = {
		{ "echo pw", "pw", NULL },
		{ "printf pw", "pw", NULL },
		{ "printf 'pw\\r\\n'", "pw", NULL },
		{ "printf 'pw\\r'", "pw", NULL },
		{ "printf 'pw\\nsecond\\n'", "pw", NULL },
		{ "sh -c 'printf p; sleep 0.1; printf w; sleep 0.1; echo'", "pw", NULL },
		{ "sh -c 'exec echo pw >&1 2>&1'", "pw", NULL },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
a_command_that_fails_gives_no_secret_whatever_it_printed(void **state)
{
	static const struct run rows[] = {
		{ "sh -c 'echo " CANARY "; exit 3'", NULL, "exit status 3; run it at the prompt" },
		{ "false", NULL, "exit status 1" },
		{ "sh -c 'echo " CANARY "; kill -TERM $$'", NULL, "signal 15" },
		{ "/no/such/program", NULL, "not there or may not be run" },
		{ "no-such-program-anywhere", NULL, "not there or may not be run" },
		{ "/etc/passwd", NULL, "not there or may not be run" },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
a_command_that_prints_nothing_is_a_failure(void **state)
{
	static const struct run rows[] = {
		{ "true", NULL, "printed nothing" },
		{ "echo", NULL, "printed nothing" },
		{ "printf '\\r\\n'", NULL, "printed nothing" },
		{ "printf '\\n" CANARY "\\n'", NULL, "printed nothing" },
		{ "sh -c 'echo " CANARY " >&2'", NULL, "printed nothing" },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool
is_running(long pid)
{
	char name[64], text[256] = "";
	FILE *f;

	snprintf(name, sizeof name, "/proc/%ld/stat", pid);
	f = fopen(name, "r");
	if (f == NULL)
		return false;
	if (fgets(text, sizeof text, f) == NULL)
		text[0] = '\0';
	fclose(f);
	return strstr(text, ") ") != NULL && strstr(text, ") Z") == NULL;
}

static void
at_the_time_limit_a_command_is_killed_with_its_whole_group(void **state)
{
	struct buf secret = { 0 }, command = { 0 }, text = { 0 };
	struct why why = { 0 };
	double start = now();
	long pid;

	(void)state;
	buf_addf(&command, "sh -c 'sleep 60 & echo $! > %s; wait; echo " CANARY "'", other);
	expect_refusal(secret_command("password-command", buf_c(&command), false, 1, &secret, &why), &secret, &why);
	assert_true(now() - start >= 0.9 && now() - start < 5);
	assert_non_null(strstr(why.text, "1 seconds"));
	assert_int_equal(file_load(AT_FDCWD, other, &text, 100), 0);
	pid = strtol(buf_c(&text), NULL, 10);
	assert_true(pid > 1);
	for (int i = 0; i < 100 && is_running(pid); i++)
		usleep(20000);
	assert_false(is_running(pid));
	unlink(other);
	buf_wipe(&secret);
	buf_free(&command);
	buf_free(&text);
}

static void
a_daemon_that_is_left_behind_does_not_make_us_wait(void **state)
{
	static const struct run rows[] = {
		{ "sh -c 'echo pw; sleep 4 &'", "pw", NULL },
		{ "sh -c 'sleep 4 & printf pw'", "pw", NULL },
	};
	double start = now();

	(void)state;
	check_runs(rows, COUNT(rows));
	assert_true(now() - start < 3);
}

static void
a_long_tail_of_output_is_swallowed_not_broken_off(void **state)
{
	static const struct run rows[] = {
		{ "sh -c 'echo pw; yes " CANARY " | head -c 3000000'", "pw", NULL },
		{ "sh -c 'echo pw; sleep 0.2; echo second'", "pw", NULL },
	};

	(void)state;
	check_runs(rows, COUNT(rows));
}

static void
a_line_without_end_is_refused_as_soon_as_it_is_too_long(void **state)
{
	static const struct run rows[] = { { "cat /dev/zero", NULL, "65536" } };
	double start = now();

	(void)state;
	check_runs(rows, COUNT(rows));
	assert_true(now() - start < 3);
}

static void
a_command_that_never_stops_printing_meets_its_limit(void **state)
{
	struct buf secret = { 0 };
	struct why why = { 0 };
	double start = now();

	(void)state;
	expect_refusal(secret_command("password-command", "yes " CANARY, false, 1, &secret, &why), &secret, &why);
	assert_true(now() - start < 5);
	buf_wipe(&secret);
}

static void
a_command_has_a_group_of_its_own_and_nothing_to_read(void **state)
{
	static const struct run rows[] = {
		{ "cat", NULL, "printed nothing" },
		{ "readlink /proc/self/fd/0", "/dev/null", NULL },
		{ "readlink /proc/self/fd/2", "/dev/null", NULL },
		{ "sh -c 'read a b c d e f < /proc/self/stat; test $a = $e && echo own'", "own", NULL },
	};
	int before = dup(STDIN_FILENO), fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "ours\n", 5), 5);
	assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	close(fds[0]);
	close(fds[1]);
	check_runs(rows, COUNT(rows));
	dup2(before, STDIN_FILENO);
	close(before);
}

static void
a_command_inherits_no_descriptor_and_no_odd_signals(void **state)
{
	static const struct run rows[] = {
		{ "sh -c 'test -e /proc/self/fd/57 || echo closed'", "closed", NULL },
		{ "sed -n /SigBlk/s/.*:.//p /proc/self/status", "0000000000000000", NULL },
		/* The C library's own two (32 and 33) are ignored in whatever posix_spawn
		 * started, make's children for one, and no program can change that. */
		{ "sed -n '/SigIgn/{s/.*:.//; s/^00000001800/00000000000/; p}' /proc/self/status",
		    "0000000000000000", NULL },
	};
	sigset_t all, before;

	(void)state;
	assert_int_equal(dup2(STDERR_FILENO, 57), 57);
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	check_runs(rows, COUNT(rows));
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(57);
}

/* As a program finds itself that was started by a careless one. */
static int
run_without_standard_descriptors(void)
{
	struct buf secret = { 0 };
	struct why why = { 0 };
	int r;

	close(0);
	close(1);
	close(2);
	signal(SIGCHLD, SIG_IGN);
	r = secret_command("password-command", "echo pw", false, 5, &secret, &why) == DONE &&
	    str_is(buf_str(&secret), "pw") ? 0 : 1;
	buf_wipe(&secret);
	return r;
}

static void
closed_standard_descriptors_and_ignored_children_do_no_harm(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(run_without_standard_descriptors());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_line_of_a_file_is_the_secret_without_its_line_end),
		cmocka_unit_test(an_empty_first_line_is_a_failure),
		cmocka_unit_test(what_follows_the_first_line_is_not_kept_in_memory),
		cmocka_unit_test(a_file_open_to_others_is_refused_with_the_chmod_that_mends_it),
		cmocka_unit_test(a_file_that_only_its_owner_can_read_is_taken),
		cmocka_unit_test(a_key_file_is_read_whole_and_judged_as_a_password_file),
		cmocka_unit_test(root_may_lend_its_file_by_the_group_and_nobody_else_may),
		cmocka_unit_test(a_file_of_somebody_else_is_refused_with_the_chown_that_mends_it),
		cmocka_unit_test(what_is_no_regular_file_is_refused_and_cannot_hang_us),
		cmocka_unit_test(a_missing_file_is_named),
		cmocka_unit_test(a_link_is_judged_by_the_file_it_leads_to),
		cmocka_unit_test(a_line_of_64_kib_is_taken_and_a_longer_one_refused),
		cmocka_unit_test(the_buffer_gets_its_size_once_and_does_not_move),
		cmocka_unit_test(a_password_in_the_ini_is_taken_as_it_is),
		cmocka_unit_test(an_account_without_a_secret_has_the_empty_one),
		cmocka_unit_test(a_token_command_is_told_when_only_a_fresh_token_will_do),
		cmocka_unit_test(a_token_command_that_fails_is_told_by_its_own_name),
		cmocka_unit_test(a_password_command_is_never_asked_for_a_fresh_one),
		cmocka_unit_test(a_command_is_split_on_spaces_and_quotes_keep_them),
		cmocka_unit_test(no_shell_looks_at_a_command),
		cmocka_unit_test(a_command_that_makes_no_sense_is_refused_before_it_runs),
		cmocka_unit_test(the_first_line_that_is_printed_is_the_secret),
		cmocka_unit_test(a_command_that_fails_gives_no_secret_whatever_it_printed),
		cmocka_unit_test(a_command_that_prints_nothing_is_a_failure),
		cmocka_unit_test(at_the_time_limit_a_command_is_killed_with_its_whole_group),
		cmocka_unit_test(a_daemon_that_is_left_behind_does_not_make_us_wait),
		cmocka_unit_test(a_long_tail_of_output_is_swallowed_not_broken_off),
		cmocka_unit_test(a_line_without_end_is_refused_as_soon_as_it_is_too_long),
		cmocka_unit_test(a_command_that_never_stops_printing_meets_its_limit),
		cmocka_unit_test(a_command_has_a_group_of_its_own_and_nothing_to_read),
		cmocka_unit_test(a_command_inherits_no_descriptor_and_no_odd_signals),
		cmocka_unit_test(closed_standard_descriptors_and_ignored_children_do_no_harm),
	};

	return cmocka_run_group_tests_name("secret", tests, set_up, tear_down);
}
