/* spool: what is queued is whole, and what is not whole is never taken for it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"
#include "spool.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID_A "0GT2C3D4E5F6AAAAAAAA"
#define ID_B "0GT2C3D4E5F6BBBBBBBB"
#define CONFIG "/home/u/.config/subpost/subpost.ini"
#define TEXT "Subject: x\n\nbody\n"

struct world {
	char root[64];
	char dir[80];
	struct spool s;
	struct why why;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-spool-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	snprintf(w->dir, sizeof w->dir, "%s/a/spool", w->root);
	w->s = (struct spool)SPOOL_INIT;
	*state = w;
	return spool_open(&w->s, w->dir, CONFIG, &w->why) == DONE ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	spool_close(&w->s);
	spool_close(&w->s);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- small hands ---- */

static char sender[] = "a@example.org", to0[] = "b@example.org", to1[] = "c@example.org";
static struct recipient recipients[] = { { .address = to0 }, { .address = to1 } };

static enum outcome
begin(struct world *w, struct draft *d, const char *id)
{
	struct envelope e = { .arrived = 1795576000, .uid = 7, .from = sender, .to = recipients, .n = 2 };

	snprintf(e.id, sizeof e.id, "%s", id);
	return spool_begin(&w->s, d, &e, &w->why);
}

static void
queue(struct world *w, const char *id, const char *text)
{
	struct draft d = { 0 };

	assert_int_equal(begin(w, &d, id), DONE);
	assert_int_equal(spool_text(&d, str_of(text), &w->why), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	spool_release(&w->s, &d);
}

static bool
is_there(const struct world *w, const char *name)
{
	struct stat st;

	return fstatat(w->s.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t
mode_of(const struct world *w, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(w->s.dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

/* How many names a directory of the spool has, but for the two dots. */
static unsigned
count_names(const struct world *w, const char *part)
{
	int fd = openat(w->s.dir, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static void
write_file(const struct world *w, const char *name, struct str octets)
{
	int fd = openat(w->s.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, octets), 0);
	close(fd);
}

static void
load_file(const struct world *w, const char *name, struct buf *out)
{
	buf_clear(out);
	assert_int_equal(file_load(w->s.dir, name, out, 1 << 20), 0);
}

static void
make_old(const struct world *w, const char *name, time_t age)
{
	struct timespec t[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };

	assert_int_equal(utimensat(w->s.dir, name, t, AT_SYMLINK_NOFOLLOW), 0);
}

/* Reads a message and tells whether it is whole; what is not must say why. */
static bool
is_whole(struct world *w, const char *id)
{
	struct letter l = LETTER_INIT;
	enum outcome o;
	bool whole;

	w->why = (struct why){ 0 };
	o = spool_read(&w->s, SPOOL_QUEUE, id, &l, &w->why);
	whole = o == DONE && !l.damaged;
	assert_true(whole || w->why.text[0] != '\0');
	spool_letter_free(&l);
	spool_letter_free(&l);
	return whole;
}

/* From here on, in this process, the call answers with that errno where its
 * argument has one of the bits (all of them: whatever its arguments are). */
static void
break_call(unsigned nr, unsigned argument, unsigned bits, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    (unsigned)(offsetof(struct seccomp_data, args) + 8 * argument)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { COUNT(code), code };

	if (bits == 0)
		code[3] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(99);
}

/* What a commit in a process of its own comes to: its outcome, or 16 and that
 * when the exit code of its reason is not 75. */
static int
commit_in_child(struct world *w, void (*prepare)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct draft d = { 0 };
		enum outcome o;

		prepare();
		o = begin(w, &d, ID_A);
		if (o == DONE)
			o = spool_text(&d, STR(TEXT), &w->why);
		if (o == DONE)
			o = spool_commit(&w->s, &d, &w->why);
		spool_release(&w->s, &d);
		_exit((int)o + (o != DONE && w->why.exit != 75 ? 16 : 0));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* ---- the directory ---- */

static void
opening_makes_what_is_missing_for_its_owner_alone(void **state)
{
	struct world *w = *state;
	struct stat st;
	char above[80];

	assert_int_equal(mode_of(w, "."), 0700);
	assert_int_equal(mode_of(w, "queue"), 0700);
	assert_int_equal(mode_of(w, "config"), 0600);
	snprintf(above, sizeof above, "%s/a", w->root);
	assert_int_equal(stat(above, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_string_equal(w->s.path, w->dir);
}

static void
a_loose_umask_loosens_nothing(void **state)
{
	struct world *w = *state;
	mode_t before = umask(0);

	queue(w, ID_A, TEXT);
	umask(before);
	assert_int_equal(mode_of(w, "queue/" ID_A), 0600);
}

static void
the_same_configuration_may_open_it_again(void **state)
{
	struct world *w = *state;
	struct spool again = SPOOL_INIT;

	assert_int_equal(spool_open(&again, w->dir, CONFIG, &w->why), DONE);
	spool_close(&again);
}

static void
another_configuration_is_refused_and_both_are_named(void **state)
{
	struct world *w = *state;
	struct spool other = SPOOL_INIT;

	assert_int_equal(spool_open(&other, w->dir, "/etc/subpost/subpost.ini", &w->why), NEVER);
	assert_int_equal(w->why.exit, 78);
	assert_non_null(strstr(w->why.text, CONFIG));
	assert_non_null(strstr(w->why.text, "/etc/subpost/subpost.ini"));
	spool_close(&other);
}

static void
a_queue_that_others_may_enter_is_refused_with_the_command_that_mends_it(void **state)
{
	static const mode_t modes[] = { 0701, 0710, 0750, 0755, 0704, 0777 };
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(modes); i++) {
		struct spool again = SPOOL_INIT;

		assert_int_equal(chmod(w->dir, modes[i]), 0);
		assert_int_equal(spool_open(&again, w->dir, CONFIG, &w->why), NEVER);
		assert_int_equal(w->why.exit, 78);
		assert_non_null(strstr(w->why.text, "chmod 700"));
		spool_close(&again);
	}
}

static void
a_queue_of_another_user_is_refused(void **state)
{
	struct world *w = *state;
	struct spool again = SPOOL_INIT;
	/* Only root can give a directory away; for all others / is another's. */
	const char *dir = geteuid() == 0 ? w->dir : "/";

	if (geteuid() == 0)
		assert_int_equal(chown(w->dir, 65534, 65534), 0);
	assert_int_equal(spool_open(&again, dir, CONFIG, &w->why), NEVER);
	assert_int_equal(w->why.exit, 78);
	assert_non_null(strstr(w->why.text, "belongs to"));
	spool_close(&again);
}

static void
a_file_where_the_directory_should_be_is_told_and_no_crash(void **state)
{
	struct world *w = *state;
	struct spool other = SPOOL_INIT;
	char path[100];

	write_file(w, "x", STR("x"));
	snprintf(path, sizeof path, "%s/x", w->dir);
	assert_int_equal(spool_open(&other, path, CONFIG, &w->why), LATER);
	assert_int_equal(w->why.exit, 75);
	spool_close(&other);
	snprintf(path, sizeof path, "%s/x/y", w->dir);
	assert_int_equal(spool_open(&other, path, CONFIG, &w->why), LATER);
	spool_close(&other);
}

/* ---- the commit ---- */

static void
a_commit_makes_one_whole_message_and_nothing_else(void **state)
{
	struct world *w = *state;

	queue(w, ID_A, TEXT);
	assert_true(is_whole(w, ID_A));
	assert_int_equal(mode_of(w, "queue/" ID_A), 0600);
	assert_int_equal(count_names(w, "queue"), 1);
	assert_int_equal(count_names(w, "."), 2);       /* config, queue */
}

static void
before_the_commit_it_has_no_name_and_after_a_release_it_is_gone(void **state)
{
	struct world *w = *state;
	struct draft d = { 0 };

	assert_int_equal(begin(w, &d, ID_A), DONE);
	assert_int_equal(spool_text(&d, STR(TEXT), &w->why), DONE);
	assert_int_equal(count_names(w, "queue"), 0);
	spool_release(&w->s, &d);
	spool_release(&w->s, &d);
	assert_int_equal(count_names(w, "queue"), 0);
	assert_int_equal(count_names(w, "."), 2);
}

static void
the_stamp_tells_the_text_as_it_is_in_whatever_pieces_it_came(void **state)
{
	static const struct {
		struct str text;
		uint64_t lines, longest;
		bool eight_bit, unended;
	} rows[] = {
		{ STR(""), 0, 0, false, false },
		{ STR("\n"), 1, 0, false, false },
		{ STR("a"), 0, 1, false, true },
		{ STR("a\nbb"), 1, 2, false, true },
		{ STR("aaa\nbb\n"), 2, 3, false, false },
		{ STR("a\n\n\nbbbb\nc\n"), 5, 4, false, false },
		{ STR("a\nbbbbb"), 1, 5, false, true },
		{ STR("a\xff\n"), 1, 2, true, false },
		{ STR("a\n\x80"), 1, 1, true, true },
		{ STR("a\rb\n"), 1, 3, false, false },
		{ STR("01234\xe9 789abc"), 0, 13, true, true },         /* in a word, */
		{ STR("\x80""123456789abcdef"), 0, 16, true, true },     /* at its begin */
		{ STR("01234567\xff"), 0, 9, true, true },              /* and behind the last */
		{ STR("0123456789abcdef\x7f"), 0, 17, false, true },
		{ STR("\x7f\x01\n"), 1, 2, false, false },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t piece = 1; piece <= rows[i].text.len + 1; piece++) {
			struct str text = rows[i].text;
			struct letter l = LETTER_INIT;
			struct draft d = { 0 };
			struct buf file = { 0 };

			assert_int_equal(begin(w, &d, ID_A), DONE);
			for (size_t at = 0; at < text.len; at += piece)
				spool_text(&d, str_from(text.p + at, text.len - at < piece ? text.len - at :
				    piece), &w->why);
			spool_text(&d, STR(""), &w->why);
			assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
			spool_release(&w->s, &d);
			assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
			assert_false(l.damaged);
			assert_int_equal(l.stamp.lines, rows[i].lines);
			assert_int_equal(l.stamp.longest, rows[i].longest);
			assert_int_equal(l.stamp.eight_bit, rows[i].eight_bit);
			assert_int_equal(l.stamp.unended, rows[i].unended);
			assert_int_equal(l.stamp.text_crc, codec_crc32c(0, text.p, text.len));
			load_file(w, "queue/" ID_A, &file);
			assert_int_equal(file.len, l.stamp.size);
			assert_true(str_eq(str_from(file.p + spool_text_at(&l), text.len), text));
			spool_letter_free(&l);
			buf_free(&file);
			spool_drop(&w->s, ID_A, &w->why);
		}
	}
}

static void
the_envelope_comes_back(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;

	queue(w, ID_A, TEXT);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_string_equal(l.envelope.id, ID_A);
	assert_string_equal(l.envelope.from, sender);
	assert_true(l.envelope.n == 2 && l.envelope.uid == 7 && l.envelope.arrived == 1795576000);
	assert_string_equal(l.envelope.to[1].address, to1);
	assert_true(l.promised);
	assert_int_equal(l.fate.n, 2);
	assert_int_equal(fate_count(&l.fate, LATER), 2);
	spool_letter_free(&l);
}

/* Our own want is no damage of a message: held for that, it would wait for a person. */
static void
a_process_without_descriptors_finds_no_damage(void **state)
{
	struct world *w = *state;
	struct rlimit old, few;

	queue(w, ID_A, "text\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	for (rlim_t n = 3; n < 40; n++) {
		struct letter l = LETTER_INIT;
		enum outcome o;

		few.rlim_cur = n;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		o = spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_true(o == LATER || !l.damaged);
		spool_letter_free(&l);
	}
}

static void
a_fresh_id_is_made_where_none_was_given(void **state)
{
	struct world *w = *state;
	struct envelope e = { .from = sender, .to = recipients, .n = 1 };
	struct draft d = { 0 };

	assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), DONE);
	assert_true(envelope_is_id(str_of(e.id)));
	assert_string_equal(d.id, e.id);
	assert_true(labs((long)(envelope_id_time(e.id) - time(NULL))) < 60);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	spool_release(&w->s, &d);
	assert_true(is_whole(w, e.id));
}

static void
an_id_that_is_queued_already_is_refused_and_the_first_stays(void **state)
{
	struct world *w = *state;
	struct draft d = { 0 };
	struct buf before = { 0 }, after = { 0 };

	queue(w, ID_A, TEXT);
	load_file(w, "queue/" ID_A, &before);
	assert_int_equal(begin(w, &d, ID_A), DONE);
	assert_int_equal(spool_text(&d, STR("other\n"), &w->why), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), NEVER);
	assert_int_equal(w->why.scope, SCOPE_NONE);
	assert_non_null(strstr(w->why.text, "queued already"));
	spool_release(&w->s, &d);
	load_file(w, "queue/" ID_A, &after);
	assert_true(str_eq(buf_str(&before), buf_str(&after)));
	assert_int_equal(count_names(w, "queue"), 1);
	buf_free(&before);
	buf_free(&after);
}

static void
it_is_locked_until_it_is_released(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct draft d = { 0 };

	assert_int_equal(begin(w, &d, ID_A), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_false(l.damaged);
	assert_false(spool_lock(&l));
	spool_release(&w->s, &d);
	assert_true(spool_lock(&l));
	spool_letter_free(&l);
}

static void
a_lock_is_held_until_every_copy_of_the_descriptor_is_closed(void **state)
{
	struct world *w = *state;
	struct letter a = LETTER_INIT, b = LETTER_INIT;
	int copy;

	queue(w, ID_A, TEXT);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &a, &w->why), DONE);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &b, &w->why), DONE);
	assert_true(spool_lock(&a));
	copy = dup(a.fd);
	spool_letter_free(&a);
	assert_false(spool_lock(&b));
	close(copy);
	assert_true(spool_lock(&b));
	spool_letter_free(&b);
}

static void
an_envelope_over_its_limit_is_refused_with_65_and_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct draft d = { 0 };
	char *huge = mem_alloc(ENVELOPE_MAX + 1);
	struct recipient to = { .address = huge };
	struct envelope e = { .id = ID_A, .from = sender, .to = &to, .n = 1 };

	memset(huge, 'a', ENVELOPE_MAX);
	assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), NEVER);
	assert_int_equal(w->why.exit, 65);
	spool_release(&w->s, &d);
	assert_int_equal(count_names(w, "queue"), 0);
	free(huge);
}

static void
a_limit_on_file_size_is_later_and_leaves_nothing(void **state)
{
	static const rlim_t limits[] = { 0, 1, STAMP_LEN, 300, 1000, 5000 };
	struct world *w = *state;
	struct rlimit before;
	char text[8192];

	memset(text, 'a', sizeof text);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < COUNT(limits); i++) {
		struct draft d = { 0 };
		enum outcome o;

		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ limits[i], before.rlim_max });
		w->why = (struct why){ 0 };
		o = begin(w, &d, ID_A);
		if (o == DONE)
			o = spool_text(&d, str_from(text, sizeof text), &w->why);
		spool_release(&w->s, &d);
		setrlimit(RLIMIT_FSIZE, &before);
		assert_int_equal(o, LATER);
		assert_int_equal(w->why.exit, 75);
		assert_int_equal(count_names(w, "queue"), 0);
		assert_int_equal(count_names(w, "."), 2);
	}
	signal(SIGXFSZ, SIG_DFL);
}

static void
without_unnamed_files(void)
{
	break_call(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP);
}

static void
a_file_system_without_unnamed_files_queues_just_the_same(void **state)
{
	struct world *w = *state;

	assert_int_equal(commit_in_child(w, without_unnamed_files), DONE);
	assert_true(is_whole(w, ID_A));
	assert_int_equal(count_names(w, "queue"), 1);
	assert_int_equal(count_names(w, "tmp"), 0);
	assert_int_equal(mode_of(w, "tmp"), 0700);
	assert_int_equal(mode_of(w, "queue/" ID_A), 0600);
}

static void
without_proc(void)
{
	break_call(SYS_linkat, 4, AT_SYMLINK_FOLLOW, ENOENT);
}

static void
on_an_older_kernel(void)
{
	break_call(SYS_linkat, 4, AT_EMPTY_PATH, ENOENT);
}

static void
on_an_older_kernel_without_proc(void)
{
	break_call(SYS_linkat, 4, AT_EMPTY_PATH | AT_SYMLINK_FOLLOW, ENOENT);
}

static void
a_machine_without_proc_or_of_an_older_kernel_queues_just_the_same(void **state)
{
	struct world *w = *state;
	void (*const lacks[])(void) = { without_proc, on_an_older_kernel, on_an_older_kernel_without_proc };

	for (size_t i = 0; i < COUNT(lacks); i++) {
		assert_int_equal(commit_in_child(w, lacks[i]), DONE);
		assert_true(is_whole(w, ID_A));
		assert_int_equal(unlinkat(w->s.queue, ID_A, 0), 0);
	}
	assert_int_equal(count_names(w, "tmp"), 0);
}

static void
without_sync(void)
{
	break_call(SYS_fsync, 0, 0, EIO);
}

static void
what_cannot_be_made_durable_is_refused_and_unlinked(void **state)
{
	struct world *w = *state;

	assert_int_equal(commit_in_child(w, without_sync), LATER);
	assert_int_equal(count_names(w, "queue"), 0);
}

static void
without_links(void)
{
	break_call(SYS_linkat, 0, 0, ENOSPC);
}

static void
a_disk_without_room_for_a_name_is_later_and_leaves_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(commit_in_child(w, without_links), LATER);
	assert_int_equal(count_names(w, "queue"), 0);
	assert_int_equal(count_names(w, "."), 2);
}

/* ---- lists ---- */

static void
messages_are_listed_oldest_first(void **state)
{
	struct world *w = *state;
	struct ids ids;
	char id[ENVELOPE_ID_LEN + 1];

	for (uint64_t i = 0; i < 100; i++) {
		envelope_make_id(1795576000000000 + i * 7919 % 100, 5, id);
		queue(w, id, TEXT);
	}
	assert_int_equal(spool_list(&w->s, SPOOL_QUEUE, &ids, &w->why), DONE);
	assert_int_equal(ids.n, 100);
	for (size_t i = 1; i < ids.n; i++)
		assert_true(strcmp(ids.v[i - 1], ids.v[i]) < 0);
	spool_ids_free(&ids);
	spool_ids_free(&ids);
}

static void
names_that_are_no_ids_are_not_listed(void **state)
{
	static const char *const names[] = {
		"queue/a", "queue/" ID_A ".fate", "queue/" ID_A "0", "queue/0gt2c3d4e5f6aaaaaaaa",
		"queue/0GT2C3D4E5F6AAAAAAA", "queue/.hidden", "queue/0GT2C3D4E5F6AAAAAAA\n",
		"queue/0GT2C3D4E5F6AAAAA%2e", "queue/-0GT2C3D4E5F6AAAAAAA", "queue/" ID_A ".fate.new",
		"queue/...................." };
	struct world *w = *state;
	struct ids ids;

	for (size_t i = 0; i < COUNT(names); i++)
		write_file(w, names[i], STR("x"));
	queue(w, ID_B, TEXT);
	assert_int_equal(spool_list(&w->s, SPOOL_QUEUE, &ids, &w->why), DONE);
	assert_int_equal(ids.n, 1);
	assert_string_equal(ids.v[0], ID_B);
	spool_ids_free(&ids);
}

static void
nothing_has_failed_where_nothing_ever_did(void **state)
{
	struct world *w = *state;
	struct ids ids;

	assert_int_equal(spool_list(&w->s, SPOOL_FAILED, &ids, &w->why), DONE);
	assert_int_equal(ids.n, 0);
	spool_ids_free(&ids);
}

static void
a_message_that_is_not_there_is_66_in_both_places(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;

	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), LATER);
	assert_int_equal(w->why.exit, 66);
	spool_letter_free(&l);
	assert_int_equal(spool_read(&w->s, SPOOL_FAILED, ID_A, &l, &w->why), LATER);
	assert_int_equal(w->why.exit, 66);
	spool_letter_free(&l);
}

/* ---- damage ---- */

static void
whatever_octet_of_the_head_is_changed_the_message_is_held(void **state)
{
	struct world *w = *state;
	struct buf file = { 0 };
	size_t head;

	queue(w, ID_A, TEXT);
	load_file(w, "queue/" ID_A, &file);
	head = file.len - strlen(TEXT);
	for (size_t i = 0; i < head; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			file.p[i] = (char)(file.p[i] ^ (1 << bit));
			write_file(w, "queue/" ID_A, buf_str(&file));
			assert_false(is_whole(w, ID_A));
			file.p[i] = (char)(file.p[i] ^ (1 << bit));
		}
	}
	write_file(w, "queue/" ID_A, buf_str(&file));
	assert_true(is_whole(w, ID_A));
	buf_free(&file);
}

static void
counts_that_the_text_cannot_have_hold_the_message(void **state)
{
	static const struct {
		const char *key;
		size_t digit;
		char value;
	} rows[] = {
		{ "lines=", 0, '9' }, { "lines=", 9, '1' }, { "lines=", 11, '0' }, { "longest=", 0, '9' },
		{ "longest=", 10, '9' },
	};
	struct world *w = *state;
	struct buf file = { 0 };

	queue(w, ID_A, TEXT);
	load_file(w, "queue/" ID_A, &file);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *at = (char *)memmem(file.p, STAMP_LEN, rows[i].key, strlen(rows[i].key)) +
		    strlen(rows[i].key) + rows[i].digit;
		char before = *at;

		*at = rows[i].value;
		write_file(w, "queue/" ID_A, buf_str(&file));
		assert_false(is_whole(w, ID_A));
		*at = before;
	}
	buf_free(&file);
}

static void
a_message_that_was_cut_anywhere_or_grew_is_not_whole(void **state)
{
	struct world *w = *state;
	struct buf file = { 0 };

	queue(w, ID_A, TEXT);
	load_file(w, "queue/" ID_A, &file);
	for (size_t n = 0; n < file.len; n++) {
		write_file(w, "queue/" ID_A, str_from(file.p, n));
		assert_false(is_whole(w, ID_A));
	}
	buf_addc(&file, '\n');
	write_file(w, "queue/" ID_A, buf_str(&file));
	assert_false(is_whole(w, ID_A));
	buf_free(&file);
}

static void
two_messages_whose_names_were_swapped_are_held(void **state)
{
	struct world *w = *state;

	queue(w, ID_A, TEXT);
	queue(w, ID_B, "Subject: y\n\nother\n");
	assert_int_equal(syscall(SYS_renameat2, w->s.queue, ID_A, w->s.queue, ID_B, RENAME_EXCHANGE), 0);
	assert_false(is_whole(w, ID_A));
	assert_non_null(strstr(w->why.text, "another id"));
	assert_false(is_whole(w, ID_B));
}

static void
what_is_no_regular_file_is_never_whole_and_never_waited_for(void **state)
{
	struct world *w = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	queue(w, ID_B, TEXT);
	assert_int_equal(symlinkat(ID_B, w->s.queue, ID_A), 0);
	assert_false(is_whole(w, ID_A));
	assert_non_null(strstr(w->why.text, "regular file"));
	unlinkat(w->s.queue, ID_A, 0);
	assert_int_equal(symlinkat("/dev/zero", w->s.queue, ID_A), 0);
	assert_false(is_whole(w, ID_A));
	unlinkat(w->s.queue, ID_A, 0);
	assert_int_equal(mkfifoat(w->s.queue, ID_A, 0600), 0);
	assert_false(is_whole(w, ID_A));
	assert_non_null(strstr(w->why.text, "regular file"));
	unlinkat(w->s.queue, ID_A, 0);
	assert_int_equal(mkdirat(w->s.queue, ID_A, 0700), 0);
	assert_false(is_whole(w, ID_A));
	assert_non_null(strstr(w->why.text, "regular file"));
	unlinkat(w->s.queue, ID_A, AT_REMOVEDIR);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/queue/%s", w->dir, ID_A);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_false(is_whole(w, ID_A));
	close(fd);
}

static void
a_symbolic_link_is_promised_and_not_swept(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;

	assert_int_equal(symlinkat("/etc/passwd", w->s.queue, ID_A), 0);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_true(l.damaged && l.promised);
	spool_sweep_one(&w->s, &l, ID_A);
	spool_letter_free(&l);
	assert_true(is_there(w, "queue/" ID_A));
}

static void
a_foreign_file_is_held_and_kept(void **state)
{
	static const struct str rows[] = {
		STR("x"), STR("From: a\n\nhello\n"), STR("\n"), STR("subpost 2 something else entirely\n"),
		STR("subpost 1 "), STR("\xff\xfe"),
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct letter l = LETTER_INIT;

		write_file(w, "queue/" ID_A, rows[i]);
		assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
		assert_true(l.damaged && l.promised);
		spool_sweep_one(&w->s, &l, ID_A);
		spool_letter_free(&l);
		assert_true(is_there(w, "queue/" ID_A));
	}
}

static void
what_a_power_cut_left_of_an_unpromised_message_is_swept(void **state)
{
	static const struct str rows[] = { STR(""), STR("\0"), STR("\0\0\0\0id x"), };
	struct world *w = *state;
	char zeros[4096] = { 0 };

	for (size_t i = 0; i <= COUNT(rows); i++) {
		struct letter l = LETTER_INIT;

		write_file(w, "queue/" ID_A, i < COUNT(rows) ? rows[i] : str_from(zeros, sizeof zeros));
		assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
		assert_true(l.damaged && !l.promised);
		spool_sweep_one(&w->s, &l, ID_A);
		spool_letter_free(&l);
		assert_false(is_there(w, "queue/" ID_A));
	}
}

static void
what_somebody_still_has_is_not_swept(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	int fd;

	write_file(w, "queue/" ID_A, STR(""));
	fd = openat(w->s.queue, ID_A, O_RDWR | O_CLOEXEC);
	assert_int_equal(file_lock(fd), 0);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	spool_sweep_one(&w->s, &l, ID_A);
	assert_true(is_there(w, "queue/" ID_A));
	spool_letter_free(&l);
	close(fd);
}

static void
a_whole_message_is_never_swept(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;

	queue(w, ID_A, TEXT);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	spool_sweep_one(&w->s, &l, ID_A);
	spool_letter_free(&l);
	spool_sweep(&w->s, 0);
	assert_true(is_whole(w, ID_A));
}

static void
an_open_file_is_read_the_same_way_and_stays_the_callers(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	int fd;

	queue(w, ID_A, TEXT);
	fd = openat(w->s.queue, ID_A, O_RDONLY | O_CLOEXEC);
	assert_true(spool_read_open(fd, ID_A, &l, &w->why));
	assert_string_equal(l.envelope.id, ID_A);
	l.fd = -1;
	spool_letter_free(&l);
	assert_false(spool_read_open(fd, ID_B, &l, &w->why));
	l.fd = -1;
	spool_letter_free(&l);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void
whose_a_message_is_can_be_seen_without_reading_it(void **state)
{
	static const uid_t uids[] = { 0, 7, 65534, UINT32_MAX };
	struct world *w = *state;
	char long_sender[200];
	uid_t uid = 1;

	memset(long_sender, 'a', sizeof long_sender);
	memcpy(long_sender + sizeof long_sender - 11, "@x.example", 11);
	for (size_t i = 0; i < COUNT(uids); i++) {
		struct envelope e = { .id = ID_A, .arrived = INT64_MAX / 2, .uid = uids[i],
			.from = long_sender, .to = recipients, .n = 2 };
		struct draft d = { 0 };

		assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), DONE);
		assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
		spool_release(&w->s, &d);
		assert_true(spool_peek_uid(&w->s, ID_A, &uid));
		assert_int_equal(uid, uids[i]);
		assert_int_equal(unlinkat(w->s.queue, ID_A, 0), 0);
	}
	assert_false(spool_peek_uid(&w->s, ID_A, &uid));
	assert_int_equal(errno, ENOENT);
}

static void
of_what_is_no_message_nobody_is_told_the_owner(void **state)
{
	static const char *const rows[] = {
		"", "x", "id x\n", "id x\narrived 1\n", "id x\narrived 1\nuid \n", "id x\narrived 1\nuid 7x\nfrom",
		"id x\narrived 1\nuid 7", "id x\narrived 1\nfrom x\nuid 7\n", "id x\narrived 1\nuid 4294967296\nfrom",
		"id x\narrived 1\nuid -1\nfrom",
	};
	struct world *w = *state;
	uid_t uid = 1;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf octets = { 0 };

		for (unsigned j = 0; j < STAMP_LEN; j++)
			buf_addc(&octets, 'x');
		buf_adds(&octets, rows[i]);
		write_file(w, "queue/" ID_A, buf_str(&octets));
		assert_false(spool_peek_uid(&w->s, ID_A, &uid));
		assert_int_equal(errno, EBADMSG);
		unlinkat(w->s.queue, ID_A, 0);
		buf_free(&octets);
	}
	assert_int_equal(mkfifoat(w->s.queue, ID_A, 0600), 0);
	alarm(10);
	assert_false(spool_peek_uid(&w->s, ID_A, &uid));
	alarm(0);
	assert_int_equal(symlinkat("/etc/passwd", w->s.queue, ID_B), 0);
	assert_false(spool_peek_uid(&w->s, ID_B, &uid));
	assert_int_equal(uid, 1);
}

/* ---- the fate ---- */

/* A fate for the two recipients: the first has it, the second refused. */
static void
make_fate(struct fate *f)
{
	fate_init(f, 2);
	f->tries = 1;
	fate_note(f, 0, DONE, &(struct why){ .code = 250, .text = "250 ok" });
	fate_note(f, 1, NEVER, &(struct why){ .code = 550, .status = "5.1.1", .text = "550 no" });
}

static unsigned
tries_of(struct world *w, enum spool_place place, const char *id)
{
	struct letter l = LETTER_INIT;
	unsigned tries;

	assert_int_equal(spool_read(&w->s, place, id, &l, &w->why), DONE);
	assert_false(l.damaged);
	tries = l.fate.tries;
	spool_letter_free(&l);
	return tries;
}

/* Whoever reads before it has the lock may have read what is no longer so. */
static void
what_changed_before_the_lock_was_ours_is_read_again(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT, other = LETTER_INIT;
	struct fate f = { 0 };
	int fd;

	queue(w, ID_A, TEXT);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_int_equal(l.fate.tries, 0);
	make_fate(&f);
	assert_int_equal(spool_set_fate(&w->s, ID_A, &f, &w->why), DONE);
	assert_true(spool_lock(&l));
	fd = l.fd;
	assert_int_equal(spool_read_again(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_int_equal(l.fate.tries, f.tries);
	assert_int_equal(l.fd, fd);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &other, &w->why), DONE);
	assert_false(spool_lock(&other));
	assert_false(spool_is_removed(&l));
	assert_int_equal(spool_drop(&w->s, ID_A, &w->why), DONE);
	assert_true(spool_is_removed(&l));
	assert_int_equal(spool_read_again(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), LATER);
	assert_int_equal(w->why.exit, 66);
	spool_letter_free(&l);
	spool_letter_free(&other);
	fate_free(&f);
}

static void
a_fate_is_read_with_its_message_and_replaced_whole(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;
	struct fate f;

	queue(w, ID_A, TEXT);
	make_fate(&f);
	assert_int_equal(spool_set_fate(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID_A, &l, &w->why), DONE);
	assert_true(l.fate.to[0].outcome == DONE && l.fate.to[1].outcome == NEVER);
	spool_letter_free(&l);
	f.tries = 2;
	assert_int_equal(spool_set_fate(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(tries_of(w, SPOOL_QUEUE, ID_A), 2);
	assert_int_equal(mode_of(w, "queue/" ID_A ".fate"), 0600);
	assert_int_equal(count_names(w, "queue"), 2);
	fate_free(&f);
}

static void
a_damaged_fate_holds_its_message_and_is_never_guessed(void **state)
{
	static const struct str rows[] = {
		STR(""), STR("x"), STR("subpost-fate 1 crc=00000000\ntries 0\nnext 0\n"),
		STR("subpost-fate 2 crc=00000000\n"), STR("\0\0\0\0"),
	};
	struct world *w = *state;
	struct fate f;

	queue(w, ID_A, TEXT);
	for (size_t i = 0; i < COUNT(rows); i++) {
		write_file(w, "queue/" ID_A ".fate", rows[i]);
		assert_false(is_whole(w, ID_A));
		assert_non_null(strstr(w->why.text, ".fate"));
	}
	/* Of another message, with more recipients than this one has. */
	fate_init(&f, 3);
	fate_note(&f, 2, DONE, &(struct why){ .code = 250, .text = "250 ok" });
	assert_int_equal(spool_set_fate(&w->s, ID_A, &f, &w->why), DONE);
	assert_false(is_whole(w, ID_A));
	fate_free(&f);
}

static void
a_fate_that_is_no_regular_file_holds_its_message_and_is_not_waited_for(void **state)
{
	struct world *w = *state;

	queue(w, ID_A, TEXT);
	assert_int_equal(mkfifoat(w->s.queue, ID_A ".fate", 0600), 0);
	assert_false(is_whole(w, ID_A));
	unlinkat(w->s.queue, ID_A ".fate", 0);
	assert_int_equal(symlinkat("/etc/passwd", w->s.queue, ID_A ".fate"), 0);
	assert_false(is_whole(w, ID_A));
	unlinkat(w->s.queue, ID_A ".fate", 0);
	assert_int_equal(mkdirat(w->s.queue, ID_A ".fate", 0700), 0);
	assert_false(is_whole(w, ID_A));
}

static void
the_message_goes_before_its_fate(void **state)
{
	struct world *w = *state;
	struct fate f;
	char ids[1][ENVELOPE_ID_LEN + 1] = { ID_A };

	queue(w, ID_A, TEXT);
	make_fate(&f);
	spool_set_fate(&w->s, ID_A, &f, &w->why);
	assert_int_equal(spool_drop(&w->s, ID_A, &w->why), DONE);
	assert_false(is_there(w, "queue/" ID_A));
	assert_true(is_there(w, "queue/" ID_A ".fate"));
	assert_int_equal(spool_settle(&w->s, ids, 1, &w->why), DONE);
	assert_int_equal(count_names(w, "queue"), 0);
	fate_free(&f);
}

static void
dropping_what_is_gone_is_done(void **state)
{
	struct world *w = *state;
	char ids[1][ENVELOPE_ID_LEN + 1] = { ID_A };

	assert_int_equal(spool_drop(&w->s, ID_A, &w->why), DONE);
	assert_int_equal(spool_settle(&w->s, ids, 1, &w->why), DONE);
}

static void
given_up_it_moves_to_failed_with_its_fate(void **state)
{
	struct world *w = *state;
	struct fate f;
	struct ids ids;

	queue(w, ID_A, TEXT);
	make_fate(&f);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(count_names(w, "queue"), 0);
	assert_int_equal(count_names(w, "failed"), 2);
	assert_int_equal(mode_of(w, "failed"), 0700);
	assert_int_equal(tries_of(w, SPOOL_FAILED, ID_A), 1);
	assert_int_equal(spool_list(&w->s, SPOOL_FAILED, &ids, &w->why), DONE);
	assert_int_equal(ids.n, 1);
	spool_ids_free(&ids);
	fate_free(&f);
}

static void
revived_it_is_back_with_its_new_fate(void **state)
{
	struct world *w = *state;
	struct fate f;

	queue(w, ID_A, TEXT);
	make_fate(&f);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	fate_renew(&f, 5);
	f.tries = 9;
	assert_int_equal(spool_revive(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(tries_of(w, SPOOL_QUEUE, ID_A), 9);
	assert_int_equal(count_names(w, "queue"), 2);
	assert_int_equal(count_names(w, "failed"), 0);
	fate_free(&f);
}

static void
failing_again_replaces_an_older_failures_fate(void **state)
{
	struct world *w = *state;
	struct fate f;

	queue(w, ID_A, TEXT);
	make_fate(&f);
	spool_fail(&w->s, ID_A, &f, &w->why);
	renameat(w->s.dir, "failed/" ID_A, w->s.queue, ID_A);
	f.tries = 5;
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(tries_of(w, SPOOL_FAILED, ID_A), 5);
	fate_free(&f);
}

static void
forgotten_both_are_gone(void **state)
{
	struct world *w = *state;
	struct fate f;

	queue(w, ID_A, TEXT);
	make_fate(&f);
	spool_fail(&w->s, ID_A, &f, &w->why);
	assert_int_equal(spool_forget(&w->s, ID_A, &w->why), DONE);
	assert_int_equal(count_names(w, "failed"), 0);
	assert_int_equal(spool_forget(&w->s, ID_A, &w->why), LATER);
	fate_free(&f);
}

static void
reviving_what_is_not_there_is_later_and_makes_no_message(void **state)
{
	struct world *w = *state;
	struct fate f;

	make_fate(&f);
	assert_int_equal(spool_revive(&w->s, ID_A, &f, &w->why), LATER);
	assert_false(is_there(w, "queue/" ID_A));
	fate_free(&f);
}

static void
what_a_person_removes_is_renamed_before_it_goes(void **state)
{
	struct world *w = *state;
	struct fate f;
	struct stat st;
	int fd;

	make_fate(&f);
	queue(w, ID_A, TEXT);
	spool_set_fate(&w->s, ID_A, &f, &w->why);
	fd = openat(w->s.queue, ID_A, O_RDONLY | O_CLOEXEC);
	assert_int_equal(spool_remove(&w->s, ID_A, &w->why), DONE);
	assert_false(is_there(w, "queue/" ID_A));
	assert_false(is_there(w, "queue/" ID_A ".fate"));
	assert_false(is_there(w, "queue/" ID_A ".gone"));
	assert_true(fstat(fd, &st) == 0 && st.st_nlink == 0);
	assert_int_equal(spool_remove(&w->s, ID_A, &w->why), LATER);
	close(fd);
	fate_free(&f);
}

static void
what_somebody_died_over_removing_is_swept(void **state)
{
	struct world *w = *state;
	struct fate f;
	struct ids ids;

	make_fate(&f);
	queue(w, ID_A, TEXT);
	spool_set_fate(&w->s, ID_A, &f, &w->why);
	assert_int_equal(renameat(w->s.queue, ID_A, w->s.queue, ID_A ".gone"), 0);
	assert_int_equal(spool_list(&w->s, SPOOL_QUEUE, &ids, &w->why), DONE);
	assert_int_equal(ids.n, 0);
	spool_ids_free(&ids);
	spool_sweep(&w->s, 1000);
	assert_false(is_there(w, "queue/" ID_A ".gone"));
	assert_false(is_there(w, "queue/" ID_A ".fate"));
	fate_free(&f);
}

/* ---- litter ---- */

static void
a_fate_without_its_message_is_swept_and_one_with_it_is_not(void **state)
{
	struct world *w = *state;
	struct fate f;

	make_fate(&f);
	queue(w, ID_A, TEXT);
	spool_set_fate(&w->s, ID_A, &f, &w->why);
	spool_set_fate(&w->s, ID_B, &f, &w->why);
	spool_sweep(&w->s, 1000);
	assert_true(is_there(w, "queue/" ID_A ".fate"));
	assert_false(is_there(w, "queue/" ID_B ".fate"));
	assert_int_equal(tries_of(w, SPOOL_QUEUE, ID_A), 1);
	fate_free(&f);
}

static void
the_new_fate_of_a_message_on_its_way_back_is_not_swept(void **state)
{
	struct world *w = *state;
	struct fate f;

	make_fate(&f);
	queue(w, ID_A, TEXT);
	spool_fail(&w->s, ID_A, &f, &w->why);
	/* As far as spool_revive has got when a runner starts. */
	spool_set_fate(&w->s, ID_A, &f, &w->why);
	spool_sweep(&w->s, 1000);
	assert_true(is_there(w, "queue/" ID_A ".fate"));
	assert_true(is_there(w, "failed/" ID_A));
	fate_free(&f);
}

static void
half_replacements_and_abandoned_drafts_are_swept_once_they_are_old(void **state)
{
	static const char *const names[] = { "queue/" ID_A ".fate.new", "failed/" ID_A ".fate.new",
		("tmp/" ID_A) };
	struct world *w = *state;

	mkdirat(w->s.dir, "failed", 0700);
	mkdirat(w->s.dir, "tmp", 0700);
	for (size_t i = 0; i < COUNT(names); i++)
		write_file(w, names[i], STR("x"));
	spool_sweep(&w->s, 1000);
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_true(is_there(w, names[i]));
		make_old(w, names[i], 86400);
	}
	spool_sweep(&w->s, 1000);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_false(is_there(w, names[i]));
}

static void
foreign_names_are_left_alone(void **state)
{
	static const char *const names[] = { "queue/README", "queue/" ID_A "x.fate", "queue/.fate",
		"queue/x.fate", "queue/.nfs000" };
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(names); i++) {
		write_file(w, names[i], STR("x"));
		make_old(w, names[i], 86400 * 365);
	}
	spool_sweep(&w->s, 0);
	for (size_t i = 0; i < COUNT(names); i++)
		assert_true(is_there(w, names[i]));
}

static void
what_has_failed_is_kept_for_its_time_and_then_removed(void **state)
{
	struct world *w = *state;
	struct fate f;

	make_fate(&f);
	queue(w, ID_A, TEXT);
	queue(w, ID_B, TEXT);
	spool_fail(&w->s, ID_A, &f, &w->why);
	spool_fail(&w->s, ID_B, &f, &w->why);
	make_old(w, "failed/" ID_A ".fate", 990);
	make_old(w, "failed/" ID_B ".fate", 1010);
	spool_sweep(&w->s, 1000);
	assert_true(is_there(w, "failed/" ID_A) && is_there(w, "failed/" ID_A ".fate"));
	assert_false(is_there(w, "failed/" ID_B) || is_there(w, "failed/" ID_B ".fate"));
	fate_free(&f);
}

/* ---- the runner's files ---- */

static void
one_more_waits_for_the_runners_lock(void **state)
{
	struct world *w = *state;
	int runner = spool_lock_runner(&w->s), next = spool_lock_next(&w->s);

	assert_true(runner >= 0 && next >= 0);
	assert_int_equal(spool_lock_next(&w->s), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(next);
	next = spool_lock_next(&w->s);
	assert_true(next >= 0);
	assert_int_equal(fcntl(next, F_GETFD), FD_CLOEXEC);
	close(next);
	close(runner);
}

/* The first try may have got that far. */
static void
given_up_once_more_it_is_where_it_belongs(void **state)
{
	struct world *w = *state;
	struct fate f = { 0 };

	queue(w, ID_A, TEXT);
	make_fate(&f);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	assert_int_equal(spool_fail(&w->s, ID_A, &f, &w->why), DONE);
	assert_true(is_there(w, "failed/" ID_A) && is_there(w, "failed/" ID_A ".fate"));
	assert_int_equal(count_names(w, "queue"), 0);
	assert_int_equal(spool_fail(&w->s, ID_B, &f, &w->why), LATER);
	fate_free(&f);
}

static void
there_is_one_runner_a_queue(void **state)
{
	struct world *w = *state;
	int fd = spool_lock_runner(&w->s), again;

	assert_true(fd >= 0);
	assert_int_equal(spool_lock_runner(&w->s), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(fd);
	again = spool_lock_runner(&w->s);
	assert_true(again >= 0);
	close(again);
}

static void
the_process_that_is_the_runner_can_be_named(void **state)
{
	struct world *w = *state;
	int ready[2], done[2];
	char c;
	pid_t pid;

	assert_int_equal(spool_runner_pid(&w->s), 0);
	assert_true(pipe(ready) == 0 && pipe(done) == 0);
	pid = fork();
	if (pid == 0) {
		close(done[1]);
		if (spool_lock_runner(&w->s) >= 0 && write(ready[1], "x", 1) == 1 && read(done[0], &c, 1) == 0)
			_exit(0);
		_exit(1);
	}
	close(ready[1]);
	close(done[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(spool_runner_pid(&w->s), pid);
	close(done[1]);
	close(ready[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(spool_runner_pid(&w->s), 0);
}

static void
a_directory_that_was_removed_is_noticed(void **state)
{
	struct world *w = *state;
	char aside[100];

	assert_false(spool_is_gone(&w->s));
	snprintf(aside, sizeof aside, "%s/queue", w->dir);
	assert_int_equal(rmdir(aside), 0);
	unlinkat(w->s.dir, "config", 0);
	assert_int_equal(rmdir(w->dir), 0);
	assert_true(spool_is_gone(&w->s));
}

static void
the_log_is_appended_to_and_put_aside_when_it_is_large(void **state)
{
	struct world *w = *state;
	struct buf log = { 0 };
	int fd;

	for (int i = 0; i < 2; i++) {
		fd = spool_open_log(&w->s);
		assert_true(fd >= 0);
		file_write(fd, STR("line\n"));
		close(fd);
	}
	load_file(w, "log", &log);
	assert_string_equal(buf_c(&log), "line\nline\n");
	assert_int_equal(mode_of(w, "log"), 0600);
	fd = spool_open_log(&w->s);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	close(fd);
	close(spool_open_log(&w->s));
	assert_true(is_there(w, "log.old"));
	load_file(w, "log", &log);
	assert_int_equal(log.len, 0);
	buf_free(&log);
}

static void
lock_and_log_follow_no_symbolic_link(void **state)
{
	struct world *w = *state;

	assert_int_equal(symlinkat("/tmp", w->s.dir, "lock"), 0);
	assert_int_equal(symlinkat("elsewhere", w->s.dir, "log"), 0);
	assert_int_equal(spool_lock_runner(&w->s), -1);
	assert_int_equal(spool_open_log(&w->s), -1);
	assert_false(is_there(w, "elsewhere"));
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(opening_makes_what_is_missing_for_its_owner_alone),
		PROMISE(a_loose_umask_loosens_nothing),
		PROMISE(the_same_configuration_may_open_it_again),
		PROMISE(another_configuration_is_refused_and_both_are_named),
		PROMISE(a_queue_that_others_may_enter_is_refused_with_the_command_that_mends_it),
		PROMISE(a_queue_of_another_user_is_refused),
		PROMISE(a_file_where_the_directory_should_be_is_told_and_no_crash),
		PROMISE(a_commit_makes_one_whole_message_and_nothing_else),
		PROMISE(before_the_commit_it_has_no_name_and_after_a_release_it_is_gone),
		PROMISE(the_stamp_tells_the_text_as_it_is_in_whatever_pieces_it_came),
		PROMISE(the_envelope_comes_back),
		PROMISE(a_process_without_descriptors_finds_no_damage),
		PROMISE(a_fresh_id_is_made_where_none_was_given),
		PROMISE(an_id_that_is_queued_already_is_refused_and_the_first_stays),
		PROMISE(it_is_locked_until_it_is_released),
		PROMISE(a_lock_is_held_until_every_copy_of_the_descriptor_is_closed),
		PROMISE(an_envelope_over_its_limit_is_refused_with_65_and_leaves_nothing),
		PROMISE(a_limit_on_file_size_is_later_and_leaves_nothing),
		PROMISE(a_file_system_without_unnamed_files_queues_just_the_same),
		PROMISE(a_machine_without_proc_or_of_an_older_kernel_queues_just_the_same),
		PROMISE(what_cannot_be_made_durable_is_refused_and_unlinked),
		PROMISE(a_disk_without_room_for_a_name_is_later_and_leaves_nothing),
		PROMISE(messages_are_listed_oldest_first),
		PROMISE(names_that_are_no_ids_are_not_listed),
		PROMISE(nothing_has_failed_where_nothing_ever_did),
		PROMISE(a_message_that_is_not_there_is_66_in_both_places),
		PROMISE(whatever_octet_of_the_head_is_changed_the_message_is_held),
		PROMISE(counts_that_the_text_cannot_have_hold_the_message),
		PROMISE(a_message_that_was_cut_anywhere_or_grew_is_not_whole),
		PROMISE(two_messages_whose_names_were_swapped_are_held),
		PROMISE(what_is_no_regular_file_is_never_whole_and_never_waited_for),
		PROMISE(a_symbolic_link_is_promised_and_not_swept),
		PROMISE(a_foreign_file_is_held_and_kept),
		PROMISE(what_a_power_cut_left_of_an_unpromised_message_is_swept),
		PROMISE(what_somebody_still_has_is_not_swept),
		PROMISE(a_whole_message_is_never_swept),
		PROMISE(an_open_file_is_read_the_same_way_and_stays_the_callers),
		PROMISE(whose_a_message_is_can_be_seen_without_reading_it),
		PROMISE(of_what_is_no_message_nobody_is_told_the_owner),
		PROMISE(what_changed_before_the_lock_was_ours_is_read_again),
		PROMISE(a_fate_is_read_with_its_message_and_replaced_whole),
		PROMISE(a_damaged_fate_holds_its_message_and_is_never_guessed),
		PROMISE(a_fate_that_is_no_regular_file_holds_its_message_and_is_not_waited_for),
		PROMISE(the_message_goes_before_its_fate),
		PROMISE(dropping_what_is_gone_is_done),
		PROMISE(given_up_it_moves_to_failed_with_its_fate),
		PROMISE(revived_it_is_back_with_its_new_fate),
		PROMISE(failing_again_replaces_an_older_failures_fate),
		PROMISE(forgotten_both_are_gone),
		PROMISE(reviving_what_is_not_there_is_later_and_makes_no_message),
		PROMISE(what_a_person_removes_is_renamed_before_it_goes),
		PROMISE(what_somebody_died_over_removing_is_swept),
		PROMISE(a_fate_without_its_message_is_swept_and_one_with_it_is_not),
		PROMISE(the_new_fate_of_a_message_on_its_way_back_is_not_swept),
		PROMISE(half_replacements_and_abandoned_drafts_are_swept_once_they_are_old),
		PROMISE(foreign_names_are_left_alone),
		PROMISE(what_has_failed_is_kept_for_its_time_and_then_removed),
		PROMISE(one_more_waits_for_the_runners_lock),
		PROMISE(given_up_once_more_it_is_where_it_belongs),
		PROMISE(there_is_one_runner_a_queue),
		PROMISE(the_process_that_is_the_runner_can_be_named),
		PROMISE(a_directory_that_was_removed_is_noticed),
		PROMISE(the_log_is_appended_to_and_put_aside_when_it_is_large),
		PROMISE(lock_and_log_follow_no_symbolic_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
