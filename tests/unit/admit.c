/* admit: what is refused, with which status, and what is not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct config
config_of(char *senders, bool force)
{
	static char path[] = "/etc/subpost/subpost.ini", none[] = "";

	return (struct config){ .smarthost = { .senders = senders, .recipients = none, .force_from = force },
		.max_recipients = 3, .max_size = 1000, .path = path };
}

/* The exit status, 0 for DONE. */
static int
status_of(enum outcome o, const struct why *why)
{
	return outcome_exit(o, why);
}

static void
senders_are_whom_the_account_carries(void **state)
{
	static const struct {
		const char *senders;
		bool force;
		const char *sender;
		int want;
	} rows[] = {
		{ "", false, "anybody@example.net", 0 },
		{ "*@example.org", false, "a@example.org", 0 },
		{ "*@example.org", false, "a@EXAMPLE.ORG", 0 },
		{ "*@example.org", false, "a@example.net", 77 },
		{ "*@example.org", false, "a@example.org.example.net", 77 },
		{ "x@example.net *@example.org", false, "x@example.net", 0 },
		{ "*@example.org", true, "a@example.net", 0 },
		{ "*@example.org", false, "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *senders = mem_dup(str_of(rows[i].senders));
		struct config c = config_of(senders, rows[i].force);
		struct why why = { 0 };

		assert_int_equal(status_of(admit_sender(&c, str_of(rows[i].sender), &why), &why), rows[i].want);
		assert_true(rows[i].want == 0 || strstr(why.text, c.path) != NULL);
		free(senders);
	}
}

static void
an_envelope_is_what_smtp_can_carry(void **state)
{
	static const struct {
		const char *from, *to[5];
		int want;
		const char *said;
	} rows[] = {
		{ "a@example.org", { "b@example.org" }, 0, "" },
		{ "", { "b@example.org" }, 0, "" },
		{ "\xc3\xa4@example.org", { "\xc3\xb6@example.org" }, 0, "" },
		{ "a@example.org", { "\"b c\"@example.org", "c@example.org", "d@example.org" }, 0, "" },
		{ "a@example.org", { NULL }, 64, "no recipient" },
		{ "a@example.org", { "b@x.example", "c@x.example", "d@x.example", "e@x.example" }, 65,
		    "over 3 recipients" },
		{ "a b@example.org", { "b@example.org" }, 65, "sender" },
		{ "a@example.org>", { "b@example.org" }, 65, "sender" },
		{ "\xe4@example.org", { "b@example.org" }, 65, "UTF-8" },
		{ "a@example.org", { "b@example.org", "" }, 65, "<>" },
		{ "a@example.org", { "b@example.org\n" }, 65, "b@example.org\\x0a is no address" },
		{ "a@example.org", { "b@example.org", "b@x.example> SIZE=1" }, 65, "no address" },
		{ "a@example.org", { "\xf6@example.org" }, 65, "\\xf6@example.org is neither" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char none[] = "";
		struct config c = config_of(none, false);
		char *from = mem_dup(str_of(rows[i].from));
		struct recipient to[5] = { { 0 } };
		struct envelope e = { .from = from, .to = to };
		struct why why = { 0 };

		for (; e.n < 5 && rows[i].to[e.n] != NULL; e.n++)
			to[e.n].address = mem_dup(str_of(rows[i].to[e.n]));
		assert_int_equal(status_of(admit_envelope(&c, &e, &why), &why), rows[i].want);
		if (strstr(why.text, rows[i].said) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", why.text, rows[i].said);
		for (size_t k = 0; k < e.n; k++)
			free(to[k].address);
		free(from);
	}
}

/* To each of them, or it is not taken: whoever sends it learns that at once. */
static void
everybody_in_an_envelope_has_an_account(void **state)
{
	static const struct {
		const char *senders, *recipients, *from, *to[3];
		int want;
	} rows[] = {
		{ "", "", "a@x", { "b@y", "c@z" }, 0 },
		{ "", "*@y", "a@x", { "b@y", "c@Y" }, 0 },
		{ "", "*@y", "a@x", { "b@y", "c@z" }, 77 },
		{ "", "*@y", "", { "c@z" }, 77 },
		{ "*@x", "", "a@x", { "b@y" }, 0 },
		{ "*@x", "", "a@z", { "b@y" }, 77 },
		{ "*@x", "", "", { "b@y" }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *senders = mem_dup(str_of(rows[i].senders)), *recipients = mem_dup(str_of(rows[i].recipients));
		struct config c = config_of(senders, false);
		struct recipient to[3] = { { 0 } };
		struct envelope e = { .from = mem_dup(str_of(rows[i].from)), .to = to };
		struct why why = { 0 };

		c.smarthost.recipients = recipients;
		for (; e.n < 3 && rows[i].to[e.n] != NULL; e.n++)
			to[e.n].address = mem_dup(str_of(rows[i].to[e.n]));
		assert_int_equal(status_of(admit_way(&c, &e, &why), &why), rows[i].want);
		for (size_t k = 0; k < e.n; k++)
			free(to[k].address);
		free(e.from);
		free(senders);
		free(recipients);
	}
}

static void
a_message_may_be_as_large_as_max_size(void **state)
{
	char none[] = "";
	struct config c = config_of(none, false);
	struct why why = { 0 };

	(void)state;
	assert_int_equal(admit_size(&c, 0, &why), DONE);
	assert_int_equal(admit_size(&c, 1000, &why), DONE);
	assert_int_equal(status_of(admit_size(&c, 1001, &why), &why), 69);
	assert_int_equal(status_of(admit_size(&c, UINT64_MAX, &why), &why), 69);
}

/* ---- the disk ----------------------------------------------------------------------- */

struct disk {
	const char *options;    /* of a tmpfs */
	unsigned kib;           /* written there before */
	unsigned names;
	uint64_t size;
	int want;
};

static int
fill(const struct disk *d, const char *dir)
{
	char path[64], block[1024] = "x";
	int fd;

	snprintf(path, sizeof path, "%s/filling", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	for (unsigned i = 0; i < d->kib; i++)
		if (write(fd, block, sizeof block) != sizeof block)
			return -1;
	for (unsigned i = 0; i < d->names; i++) {
		snprintf(path, sizeof path, "%s/%u", dir, i);
		if (mkdir(path, 0700) < 0)
			return -1;
	}
	return close(fd);
}

/* In a child, whose mounts are nobody else's: the exit status, or 200. */
static int
look_at(const struct disk *d)
{
	struct spool s = SPOOL_INIT;
	char path[] = "/mnt";
	struct why why = { 0 };
	int r;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", path, "tmpfs", 0, d->options) < 0 || fill(d, path) < 0)
		return 200;
	s.path = path;
	s.dir = open(path, O_RDONLY | O_DIRECTORY);
	r = status_of(admit_room(&s, d->size, &why), &why);
	if (r != 0)
		print_message("# %s\n", why.text);
	return r;
}

static void
a_disk_is_refused_before_it_is_full(void **state)
{
	static const struct disk rows[] = {
		/* Two in a hundred of a megabyte are twenty KiB. */
		{ "size=1m", 0, 0, 0, 0 },
		{ "size=1m", 0, 0, 900 << 10, 0 },
		{ "size=1m", 0, 0, 1010 << 10, 75 },
		{ "size=1m", 0, 0, UINT64_MAX, 75 },
		{ "size=1m", 1000, 0, 0, 0 },
		{ "size=1m", 1016, 0, 0, 75 },
		/* Of more than 400 MiB it is eight. */
		{ "size=4096m", 0, 0, UINT64_C(4080) << 20, 0 },
		{ "size=4096m", 0, 0, UINT64_C(4089) << 20, 75 },
		/* Names: two in a hundred, and 64 of many. */
		{ "size=64m,nr_inodes=200", 0, 190, 0, 0 },
		{ "size=64m,nr_inodes=200", 0, 196, 0, 75 },
		{ "size=64m,nr_inodes=10000", 0, 9900, 0, 0 },
		{ "size=64m,nr_inodes=10000", 0, 9950, 0, 75 },
		/* No limit is none that is reached. */
		{ "size=0,nr_inodes=0", 100, 10, UINT64_C(1) << 40, 0 },
	};

	(void)state;
	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < COUNT(rows); i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			_exit(look_at(&rows[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WEXITSTATUS(status) == 200)
			skip();
		if (status != rows[i].want << 8)
			fail_msg("row %zu: status %#x, not %d", i, (unsigned)status, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(senders_are_whom_the_account_carries),
		cmocka_unit_test(an_envelope_is_what_smtp_can_carry),
		cmocka_unit_test(everybody_in_an_envelope_has_an_account),
		cmocka_unit_test(a_message_may_be_as_large_as_max_size),
		cmocka_unit_test(a_disk_is_refused_before_it_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
