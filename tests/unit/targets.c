#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "targets.h"
#include "../lib/home.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What a name stands for, in one line; or the status and the reason. */
static void
expand(const struct aliases *a, const char *name, struct buf *said)
{
	struct targets t = { 0 };
	struct why why = { 0 };

	buf_clear(said);
	if (targets_find(a, str_of(name), &t, &why) != DONE)
		buf_addf(said, "%d %s", why.exit, why.text);
	else
		for (size_t i = 0; i < t.n; i++)
			buf_addf(said, "%s%s", i > 0 ? " " : "", t.v[i]);
	targets_free(&t);
	targets_free(&t);
}

/* %s in a text is the home, in what is expected as well. */
struct row {
	const char *text;
	const char *name;
	const char *said;       /* a reason: how it begins */
};

static void
check_row(const struct row *r)
{
	struct aliases a = { 0 };
	struct buf text = { 0 }, want = { 0 }, said = { 0 };

	home_fill_in(&text, r->text);
	home_fill_in(&want, r->said);
	aliases_parse(&a, buf_str(&text), "file");
	expand(&a, r->name, &said);
	if (want.p[0] == '6' || want.p[0] == '7')
		assert_int_equal(strncmp(buf_c(&said), want.p, want.len), 0);
	else
		assert_string_equal(buf_c(&said), want.p);
	aliases_free(&a);
	aliases_free(&a);
	buf_free(&text);
	buf_free(&want);
	buf_free(&said);
}

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

#define CHECK(...) \
	do { \
		static const struct row rows[] = { __VA_ARGS__ }; \
		check_rows(rows, COUNT(rows)); \
	} while (0)

static void
a_name_behind_a_name_is_looked_up(void **state)
{
	(void)state;
	CHECK({ "root: ann\nann: a@x\n", "root", "a@x" },
	    { "root: Carl\ncarl: a@x\n", "root", "a@x" },
	    { "root: \"a b\"\n\"a b\": a@x\n", "root", "a@x" },
	    { "root: ann@localhost\nann: a@x\n", "root", "a@x" },
	    { "root: ann@localhost.localdomain\n", "root", "ann" },
	    { "root: all, ann\nall: ann, bob\nann: a@x\nbob: b@x\n", "root", "a@x b@x" },
	    { "root: ann, a@X\nann: a@x, A@x\n", "root", "a@x A@x" },
	    { "root: a,b,c,d,e,f,g,h,i,j,k\na:1@x\nb:2@x\nc:3@x\nd:4@x\ne:5@x\nf:6@x\ng:7@x\nh:8@x\n"
	      "i:9@x\nj:10@x\nk:11@x\n", "root", "1@x 2@x 3@x 4@x 5@x 6@x 7@x 8@x 9@x 10@x 11@x" });
}

static void
a_backslash_ends_the_looking_up(void **state)
{
	(void)state;
	CHECK({ "root: \\ann\nann: a@x\n", "root", "ann" },
	    { "a: \\a\n", "a", "a" },
	    { "a: \\a, b@x\n", "a", "a b@x" },
	    { "root: \\ann@x\n", "root", "ann@x" });
}

static void
a_name_that_stands_for_itself_is_its_own_target(void **state)
{
	(void)state;
	CHECK({ "root: root, admin@x\n", "root", "root admin@x" },
	    { "root: Root\n", "root", "Root" },
	    { "ann: root\nroot: root\n", "ann", "root" });
}

static void
the_default_is_for_names_without_a_line(void **state)
{
	(void)state;
	CHECK({ "default: admin@x\n", "carl", "admin@x" },
	    { "default: admin@x\ncarl: c@x\n", "carl", "c@x" },
	    { "root: carl\ndefault: admin@x\n", "root", "admin@x" },
	    { "default: admin\n", "carl", "admin" },
	    { "default: ann\nann: carl, dora\n", "bob", "carl dora" },
	    { "default: admin@x\n", "default", "admin@x" },
	    { "root: carl, dora, a@x\ndefault: admin@x\n", "root", "admin@x a@x" },
	    { "root: \\carl\ndefault: admin@x\n", "root", "carl" });
}

static void
a_loop_is_refused_where_it_closes(void **state)
{
	(void)state;
	CHECK({ "a: b\nb: a\n", "a", "65 file:2: a leads back to itself" },
	    { "a: b\nb: a\n", "b", "65 file:1: b leads back to itself" },
	    { "a: b\n\nb: c@x,\n c\nc: b\n", "a", "65 file:5: b leads back to itself" },
	    { "r: x@y, a\na: b\nb: x@y, a\n", "r", "65 file:3: a leads back" },
	    { "default: a\na: b\nb: a\n", "c", "65 file:3: a leads back" });
}

static void
programs_and_files_are_refused_with_their_line(void **state)
{
	(void)state;
	CHECK({ "a: |/bin/cat\n", "a", "65 file:1: mail would go to a program" },
	    { "a: \"|/bin/cat -n, x\"\n", "a", "65 file:1: mail would go to a program, which is not "
	      "done here; name an address instead of |/bin/cat -n, x" },
	    { "a: |\"/bin/cat -n, x\"\n", "a", "65 file:1: mail would go to a program" },
	    { "\n\na: x@y,\n  /var/mail/a\n", "a", "65 file:4: mail would go to a file" },
	    { "a: \"/var/mail/a b\"\n", "a", "65 file:1: mail would go to a file" },
	    { "a: /dev/null\n", "a", "65 file:1: mail would go to a file, which is not done here; "
	      "name an address instead of /dev/null" },
	    { "a: <|cat@x>\n", "a", "65 file:1: mail would go to a program" },
	    { "a: \\/x\n", "a", "65 file:1: mail would go to a file" },
	    { "a: |x\nb: b@x\n", "b", "b@x" },
	    { "r: a\na: |x\n", "r", "65 file:2: mail would go to a program" });
}

static void
a_value_that_cannot_be_read_is_refused_when_it_is_needed(void **state)
{
	(void)state;
	CHECK({ "a: b c@x\n", "a", "65 file:1: not an address: b c@x: a space is in it" },
	    { "a: x@y\n z@y\n", "a", "65 file:1: not an address: " },
	    { "a: x@y # the boss\n", "a", "65 file:1: a '#' stands behind a value" },
	    { "a: \"x@y\n", "a", "65 file:1: not an address: " },
	    { "a: <>\n", "a", "65 file:1: <> is nobody" },
	    { "a: x@\n", "a", "65 file:1: not an address: " },
	    { "a: x@y,\n \x1b[31m@y\n", "a", "65 file:2: a value holds a control character" },
	    { "a: x\ry@z\n", "a", "65 file:1: a value holds a control character" },
	    { "a: :fail: no\n", "a", "65 file:1: not an address: " },
	    { "a: :include:list\n", "a", "65 file:1: :include: needs the whole path" },
	    { "a: \\\n", "a", "65 file:1: " },
	    { "a:\n", "a", "65 file:1: a stands for nobody" },
	    { "a: ,,\nb: x@y\n", "a", "65 file:1: a stands for nobody" });
}

/* n0 -> n1 -> ... -> the last, which has an address. */
static void
write_chain(struct buf *text, int names)
{
	for (int i = 0; i < names - 1; i++)
		buf_addf(text, "n%d: n%d\n", i, i + 1);
	buf_addf(text, "n%d: a@x\n", names - 1);
}

static void
ten_names_may_stand_in_a_row_and_not_eleven(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct aliases a = { 0 };

	(void)state;
	write_chain(&text, 11);
	aliases_parse(&a, buf_str(&text), "file");
	expand(&a, "n1", &said);
	assert_string_equal(said.p, "a@x");
	expand(&a, "n0", &said);
	assert_string_equal(said.p, "65 file:10: n10 stands behind 10 other names, and no more may be in a row");
	aliases_free(&a);
	buf_free(&text);
	buf_free(&said);
}

/* Ten lists, each of which names the next one hundred times. */
static void
lists_of_lists_cost_no_more_than_the_file_is_long(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct aliases a = { 0 };

	(void)state;
	for (int i = 0; i < 9; i++) {
		buf_addf(&text, "n%d: n%d", i, i + 1);
		for (int j = 0; j < 100; j++)
			buf_addf(&text, ", n%d", i + 1);
		buf_addc(&text, '\n');
	}
	buf_adds(&text, "n9: a@x\n");
	aliases_parse(&a, buf_str(&text), "file");
	expand(&a, "n0", &said);
	assert_string_equal(said.p, "a@x");
	aliases_free(&a);
	buf_free(&text);
	buf_free(&said);
}

static void
one_name_stands_for_so_many_and_no_more(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct targets t;
	struct aliases a = { 0 };
	struct why why;

	(void)state;
	buf_adds(&text, "b: a, x@y\na: a0@x");
	for (int i = 1; i < TARGETS_MAX; i++)
		buf_addf(&text, ",\n a%d@x", i);
	aliases_parse(&a, buf_str(&text), "file");
	assert_int_equal(targets_find(&a, STR("a"), &t, &why), DONE);
	assert_int_equal(t.n, TARGETS_MAX);
	assert_string_equal(t.v[TARGETS_MAX - 1], "a99999@x");
	targets_free(&t);
	expand(&a, "b", &said);
	assert_string_equal(said.p, "65 file:1: over 100000 addresses stand behind one name");
	aliases_free(&a);
	buf_free(&text);
	buf_free(&said);
}

static void
a_hundred_thousand_lines_are_no_trouble(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct aliases a = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_addf(&text, "name%d: person%d@x.example\n", (i * 7919) % 100000, i);
	aliases_parse(&a, buf_str(&text), "file");
	assert_int_equal(a.n, 100000);
	assert_int_equal(a.nproblems, 0);
	targets_check(&a);
	assert_int_equal(a.nproblems, 0);
	expand(&a, "name7919", &said);
	assert_string_equal(said.p, "person1@x.example");
	aliases_free(&a);
	buf_free(&text);
	buf_free(&said);
}

static void
the_check_finds_what_would_be_refused_once_each(void **state)
{
	static const char text[] = "a: b\nb: a\nc: |x\nd: c, x@y\nok: x@y\ne: x@\n";
	static const char *const want[] = {
		"file:1: b leads back to itself; take it off this line",
		"file:2: a leads back to itself; take it off this line",
		"file:3: mail would go to a program, which is not done here; name an address instead of |x",
		"file:6: not an address: x@: its domain is not complete",
	};
	struct aliases a = { 0 };

	(void)state;
	aliases_parse(&a, str_of(text), "file");
	targets_check(&a);
	assert_int_equal(a.nproblems, COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++)
		assert_string_equal(a.problems[i].text, want[i]);
	aliases_free(&a);
}

static void
the_check_tells_so_much_and_no_more(void **state)
{
	struct aliases a = { 0 };
	struct buf text = { 0 };

	(void)state;
	for (int i = 0; i < ALIASES_PROBLEMS_MAX + 10; i++)
		buf_addf(&text, "name%d: |x\n", i);
	aliases_parse(&a, buf_str(&text), "file");
	assert_int_equal(a.nproblems, 0);
	targets_check(&a);
	assert_int_equal(a.nproblems, ALIASES_PROBLEMS_MAX);
	aliases_free(&a);
	buf_free(&text);
}

/* ---- files ---------------------------------------------------------------------- */

static void
an_include_is_a_list_a_line(void **state)
{
	static const char list[] = "# the team\nann@x, bob@x\r\n\n carl@x (Carl)\ndora\n\"E, F\" <e@x>\n";

	(void)state;
	home_write("list", str_of(list), 0644);
	CHECK({ "t: :include:%s/list\ndora: d@x\n", "t", "ann@x bob@x carl@x d@x e@x" },
	    { "t: z@x, \":include:%s/list\", y@x\n", "t", "z@x ann@x bob@x carl@x dora e@x y@x" },
	    { "t: :INCLUDE: %s/list\n", "t", "ann@x bob@x carl@x dora e@x" },
	    { "t: :include:\"%s/list\"\n", "t", "ann@x bob@x carl@x dora e@x" },
	    { "t: :include:%s/list, :include:%s/list\n", "t", "ann@x bob@x carl@x dora e@x" },
	    { "dora: :include:%s/list\n", "dora", "ann@x bob@x carl@x dora e@x" },
	    { "t: :include:%s/list,:include:%s/list,:include:%s/list,:include:%s/list,:include:%s/list,"
	      ":include:%s/list,:include:%s/list,:include:%s/list,:include:%s/list,:include:%s/list\n",
	      "t", "ann@x bob@x carl@x dora e@x" });
	home_unlink("list");
}

static void
an_include_of_two_names_is_checked_for_both(void **state)
{
	struct aliases a = { 0 };
	struct buf text = { 0 };

	(void)state;
	home_write("list", STR("a@x\n"), 0644);
	home_fill_in(&text, "t: :include:%s/list\nu: :include:%s/list\n");
	aliases_parse(&a, buf_str(&text), "file");
	targets_check(&a);
	assert_int_equal(a.nproblems, 0);
	aliases_free(&a);
	buf_free(&text);
	home_unlink("list");
}

static void
what_is_wrong_in_an_include_has_its_own_line(void **state)
{
	(void)state;
	home_write("list", STR("a@x\n|/bin/cat\n"), 0644);
	CHECK({ "t: :include:%s/list\n", "t", "65 %s/list:2: mail would go to a program" });
	home_write("list", STR("a@x\n\nx@\n"), 0644);
	CHECK({ "t: :include:%s/list\n", "t", "65 %s/list:3: not an address: x@" });
	home_write("list", STR("# nobody\n"), 0644);
	CHECK({ "t: :include:%s/list\n", "t", "65 file:1: t stands for nobody" });
	home_write("list", STR("u\n"), 0644);
	CHECK({ "t: :include:%s/list\nu: v\nv: t\n", "t", "65 file:3: t leads back to itself" },
	    { "t: u\nu: v\nv: :include:%s/list\n", "t", "65 %s/list:1: u leads back to itself" });
	home_unlink("list");
}

static void
an_include_that_others_can_steer_is_refused(void **state)
{
	static const struct row row = { "t: :include:%s/list\n", "t",
		"65 file:1: %s/list can be written by others; type: chmod go-w %s/list" };
	static const struct row dir = { "t: :include:%s/list\n", "t",
		"65 file:1: %s/list lies in a directory that can be written by others; type: chmod go-w %s" };

	(void)state;
	home_write("list", STR("a@x\n"), 0664);
	check_row(&row);
	home_write("list", STR("a@x\n"), 0646);
	check_row(&row);
	home_write("list", STR("a@x\n"), 0644);
	assert_int_equal(chmod(home, 0770), 0);
	check_row(&dir);
	assert_int_equal(chmod(home, 01777), 0);
	check_row(&dir);
	assert_int_equal(chmod(home, 0700), 0);
	CHECK({ "t: :include:%s/list\n", "t", "a@x" });
	if (geteuid() == 0) {
		char *path = home_path("list");

		assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
		CHECK({ "t: :include:%s/list\n", "t",
		    "65 file:1: %s/list belongs to uid 65534; it must belong to root or to uid 0" });
		assert_int_equal(chown(path, 0, (gid_t)-1), 0);
		assert_int_equal(chown(home, 65534, (gid_t)-1), 0);
		CHECK({ "t: :include:%s/list\n", "t",
		    "65 file:1: %s/list lies in a directory that belongs to uid 65534" });
		assert_int_equal(chown(home, 0, (gid_t)-1), 0);
		free(path);
	}
	home_unlink("list");
}

static void
an_include_is_a_regular_file(void **state)
{
	char *list = home_path("list"), *link = home_path("link"), *pipe = home_path("pipe");

	(void)state;
	home_write("list", STR("a@x\n"), 0644);
	assert_int_equal(symlink(list, link), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	CHECK({ "t: :include:%s/link\n", "t", "65 file:1: %s/link is a symbolic link; name the file itself" },
	    { "t: :include:%s/pipe\n", "t", "65 file:1: %s/pipe is not a regular file" },
	    { "t: :include:%s\n", "t", "65 file:1: %s " },
	    { "t: :include:%s/none\n", "t", "65 file:1: %s/none is not there; make it, or mend its name" },
	    { "t: :include:%s/none/none\n", "t", "65 file:1: %s/none/none is not there; make it, or mend its name" },
	    { "t: :include:%s/list/none\n", "t", "65 file:1: %s/list/none is not there; make it, or mend its name" });
	home_unlink("list");
	home_unlink("link");
	home_unlink("pipe");
	free(list);
	free(link);
	free(pipe);
}

static void
an_include_over_the_limit_is_refused(void **state)
{
	char *path = home_path("list");

	(void)state;
	home_write("list", STR("# "), 0644);
	assert_int_equal(truncate(path, ALIASES_MAX + 1), 0);
	CHECK({ "t: :include:%s/list\n", "t", "65 file:1: %s/list is over 16 MiB" });
	home_unlink("list");
	free(path);
}

static void
an_include_counts_to_the_depth_and_may_not_include_itself(void **state)
{
	struct buf text = { 0 };

	(void)state;
	buf_addf(&text, ":include:%s/list\n", home);
	home_write("list", buf_str(&text), 0644);
	CHECK({ "t: :include:%s/list\n", "t", "65 %s/list:1: %s/list includes itself" });
	buf_clear(&text);
	buf_addf(&text, ":include:%s/./list\n", home);
	home_write("list", buf_str(&text), 0644);
	CHECK({ "t: :include:%s/list\n", "t", "65 %s/list:1: %s/./list includes itself" });
	home_write("list", STR("n3\n"), 0644);
	buf_clear(&text);
	write_chain(&text, 11);
	buf_adds(&text, "t: :include:%s/list\nu: t\n");
	CHECK({ "t: :include:%s/list\nn3: n4\nn4: n5\nn5: n6\nn6: n7\nn7: n8\nn8: n9\nn9: n10\nn10: a@x\n",
	    "t", "a@x" },
	    { "t: :include:%s/list\nn3: n4\nn4: n5\nn5: n6\nn6: n7\nn7: n8\nn8: n9\nn9: n10\nn10: n11\n"
	      "n11: a@x\n", "t", "65 file:9: n11 stands behind 10 other names" });
	home_unlink("list");
	buf_free(&text);
}

static void
behind_nothing_a_name_is_itself(void **state)
{
	struct aliases a = { 0 };
	struct buf said = { 0 };

	(void)state;
	expand(&a, "root", &said);
	assert_string_equal(said.p, "root");
	targets_check(&a);
	assert_int_equal(a.nproblems, 0);
	aliases_free(&a);
	buf_free(&said);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_behind_a_name_is_looked_up),
		cmocka_unit_test(a_backslash_ends_the_looking_up),
		cmocka_unit_test(a_name_that_stands_for_itself_is_its_own_target),
		cmocka_unit_test(the_default_is_for_names_without_a_line),
		cmocka_unit_test(a_loop_is_refused_where_it_closes),
		cmocka_unit_test(programs_and_files_are_refused_with_their_line),
		cmocka_unit_test(a_value_that_cannot_be_read_is_refused_when_it_is_needed),
		cmocka_unit_test(ten_names_may_stand_in_a_row_and_not_eleven),
		cmocka_unit_test(lists_of_lists_cost_no_more_than_the_file_is_long),
		cmocka_unit_test(one_name_stands_for_so_many_and_no_more),
		cmocka_unit_test(a_hundred_thousand_lines_are_no_trouble),
		cmocka_unit_test(the_check_finds_what_would_be_refused_once_each),
		cmocka_unit_test(the_check_tells_so_much_and_no_more),
		cmocka_unit_test(an_include_is_a_list_a_line),
		cmocka_unit_test(an_include_of_two_names_is_checked_for_both),
		cmocka_unit_test(what_is_wrong_in_an_include_has_its_own_line),
		cmocka_unit_test(an_include_that_others_can_steer_is_refused),
		cmocka_unit_test(an_include_is_a_regular_file),
		cmocka_unit_test(an_include_over_the_limit_is_refused),
		cmocka_unit_test(an_include_counts_to_the_depth_and_may_not_include_itself),
		cmocka_unit_test(behind_nothing_a_name_is_itself),
	};

	return cmocka_run_group_tests(tests, home_make, home_remove);
}
