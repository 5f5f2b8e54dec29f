#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "aliases.h"
#include "../lib/home.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The values of a name's line, each behind what it is where that is no address. */
static void
list(const struct aliases *a, const char *name, struct buf *said)
{
	static const char *const kinds[] = {
		[ALIAS_ADDRESS] = "", [ALIAS_LITERAL] = "literal ", [ALIAS_INCLUDE] = "include ",
		[ALIAS_PROGRAM] = "program ", [ALIAS_FILE] = "file ", [ALIAS_WRONG] = "wrong ",
	};
	const struct alias *found = aliases_find(a, str_of(name));

	buf_clear(said);
	if (found == NULL)
		buf_adds(said, "none");
	for (size_t i = 0; found != NULL && i < found->n; i++)
		buf_addf(said, "%s%s%s", i > 0 ? " " : "", kinds[found->to[i].kind], found->to[i].text);
}

struct row {
	const char *text;
	const char *name;
	const char *said;       /* what is wrong: how it begins */
};

static void
check_row(const struct row *r)
{
	struct aliases a = { 0 };
	struct buf said = { 0 };

	aliases_parse(&a, str_of(r->text), "file");
	list(&a, r->name, &said);
	if (strncmp(r->said, "wrong ", 6) == 0)
		assert_int_equal(strncmp(buf_c(&said), r->said, strlen(r->said)), 0);
	else
		assert_string_equal(buf_c(&said), r->said);
	aliases_free(&a);
	aliases_free(&a);
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
a_name_stands_for_what_is_behind_its_colon(void **state)
{
	(void)state;
	CHECK({ "root: admin@x.example\n", "root", "admin@x.example" },
	    { "root:admin@x.example", "root", "admin@x.example" },
	    { "root :\tadmin@x.example \n", "root", "admin@x.example" },
	    { "root: a@x, b@y,c@z\n", "root", "a@x b@y c@z" },
	    { "root: a@x,, b@y,\n", "root", "a@x b@y" },
	    { "root: Ann Other <a@x>, b@y (Bob, B.)\n", "root", "a@x b@y" },
	    { "root: \"Other, Ann\" <a@x>, \"a, b\"@y\n", "root", "a@x \"a, b\"@y" },
	    { "root: \"a\\\", b\"@y, c@z\n", "root", "\"a\\\", b\"@y c@z" },
	    { "root: carl\n", "root", "carl" },
	    { "root: a@[192.0.2.1]\n", "root", "a@[192.0.2.1]" },
	    { "root: <@r.example:a@x>, b@x\n", "root", "a@x b@x" },
	    { "root: j\xc3\xb6rg@x\n", "root", "j\xc3\xb6rg@x" },
	    { "root: a@x\n", "carl", "none" },
	    { "", "carl", "none" });
}

static void
names_are_compared_without_case(void **state)
{
	(void)state;
	CHECK({ "Root: a@x\n", "ROOT", "a@x" },
	    { "root: a@x\n", "Carl", "none" });
}

static void
a_name_may_be_quoted(void **state)
{
	(void)state;
	CHECK({ "\"a b\": a@x\n", "\"a b\"", "a@x" },
	    { "\"root\": a@x\n", "root", "a@x" },
	    { "\"a: b\": a@x\n", "\"a: b\"", "a@x" },
	    { "\"a\\\": b\": a@x\n", "\"a\\\": b\"", "a@x" });
}

static void
a_line_that_begins_with_a_blank_continues(void **state)
{
	(void)state;
	CHECK({ "root: a@x,\n b@x\n", "root", "a@x b@x" },
	    { "root:\n\ta@x\n", "root", "a@x" },
	    { "root: a@x\n , b@x\n", "root", "a@x b@x" },
	    { "root: a@x,\n# c@x\n  b@x\n", "root", "a@x b@x" },
	    { "root: a@x,\n\n  b@x\n", "root", "a@x b@x" },
	    { "root: a@x,\n  # c@x\n  b@x\n", "root", "a@x b@x" },
	    { "root: a@x,\n \t \n  b@x\nb: c@x\n", "root", "a@x b@x" },
	    { "root: a@x\nb: c@x\n d@x\n", "root", "a@x" },
	    { "root: \"Ann\n Other\" <a@x>\n", "root", "a@x" });
}

static void
comments_and_line_ends_change_nothing(void **state)
{
	(void)state;
	CHECK({ "# root: b@x\nroot: a@x\n#\n", "root", "a@x" },
	    { "root: a@x,\r\n b@x\r\n\r\nc: d@x\r\n", "root", "a@x b@x" },
	    { "root: a@x\r\nc: d@x\r\n", "c", "d@x" },
	    { "root: \"Ann\r\n Other\" <a@x>\r\n", "root", "a@x" },
	    { " # one\n\n\nroot: a@x", "root", "a@x" });
}

static void
a_value_is_of_the_kind_that_it_looks_like(void **state)
{
	(void)state;
	CHECK({ "a: \\ann, b@x\n", "a", "literal \\ann b@x" },
	    { "a: \\ann@x\n", "a", "ann@x" },
	    { "a: :include:/x, \":include:/y z\", :INCLUDE: \"/z\"\n", "a", "include /x include /y z include /z" },
	    { "a: |cat -n, \"|cat, x\"\n", "a", "program |cat -n program |cat, x" },
	    { "a: <|cat@x>\n", "a", "program |cat@x" },
	    { "a: /dev/null, \"/a b\", \\/x\n", "a", "file /dev/null file /a b file \\/x" },
	    { "a: b c@x\n", "a", "wrong not an address: b c@x: a space is in it" },
	    { "a: :include:list\n", "a", "wrong :include: needs the whole path" });
}

static void
the_defaults_line_is_for_names_without_one(void **state)
{
	(void)state;
	CHECK({ "default: a@x\n", "carl", "a@x" },
	    { "DEFAULT: a@x\ncarl: c@x\n", "carl", "c@x" },
	    { "default: a@x\n", "default", "a@x" });
}

static void
a_list_without_names_is_read_by_its_lines(void **state)
{
	static const char text[] = "# the team\nann@x, bob@x\r\n\n carl@x (Carl)\ndora\n|x\n";
	static const struct {
		enum alias_kind kind;
		unsigned line;
		const char *text;
	} want[] = {
		{ ALIAS_ADDRESS, 2, "ann@x" }, { ALIAS_ADDRESS, 2, "bob@x" }, { ALIAS_ADDRESS, 4, "carl@x" },
		{ ALIAS_ADDRESS, 5, "dora" }, { ALIAS_PROGRAM, 6, "|x" },
	};
	struct alias found = { 0 };

	(void)state;
	aliases_parse_list(str_of(text), &found);
	assert_int_equal(found.n, COUNT(want));
	for (size_t i = 0; i < COUNT(want); i++) {
		assert_int_equal(found.to[i].kind, want[i].kind);
		assert_int_equal(found.to[i].line, want[i].line);
		assert_string_equal(found.to[i].text, want[i].text);
	}
	alias_free(&found);
	alias_free(&found);
}

static void
an_address_over_the_limit_is_refused_and_no_other(void **state)
{
	struct buf text = { 0 }, said = { 0 };
	struct aliases a = { 0 };

	(void)state;
	buf_adds(&text, "a: ");
	for (int i = 0; i < 2000; i++)
		buf_addc(&text, 'x');
	buf_adds(&text, "@y\nb: b@x\n");
	aliases_parse(&a, buf_str(&text), "file");
	list(&a, "a", &said);
	assert_memory_equal(said.p, "wrong not an address: xxx", 25);
	list(&a, "b", &said);
	assert_string_equal(said.p, "b@x");
	assert_int_equal(a.nproblems, 1);
	aliases_free(&a);
	buf_free(&text);
	buf_free(&said);
}

static void
a_nul_ends_nothing(void **state)
{
	static const char text[] = "a: x@y\0z@y\nb\0: c@x\nd: :include:/x\0y\ne: e@x\n";
	struct aliases a = { 0 };
	struct buf said = { 0 };

	(void)state;
	aliases_parse(&a, str_from(text, sizeof text - 1), "file");
	assert_int_equal(a.nproblems, 3);
	list(&a, "a", &said);
	assert_memory_equal(said.p, "wrong ", 6);
	list(&a, "d", &said);
	assert_memory_equal(said.p, "wrong ", 6);
	list(&a, "b", &said);
	assert_string_equal(said.p, "none");
	list(&a, "e", &said);
	assert_string_equal(said.p, "e@x");
	aliases_free(&a);
	buf_free(&said);
}

/* ---- problems ------------------------------------------------------------------- */

static void
problems_have_their_line_and_come_in_order(void **state)
{
	static const char text[] = " x@y\nroot: a@x\nno colon here\n: b@x\na@x: b@x\nb c: d@x\n"
	    "empty:\nroot: b@x\nbad: x@\n\x1b: a@x\n";
	static const char *const want[] = {
		"file:1: the first line begins with a blank; names begin at the margin",
		"file:3: there is no name with a ':' behind it; write: name: address",
		"file:4: there is nobody before the ':'; aliases are for names without a domain",
		"file:5: an address stands before the ':'; aliases are for names without a domain",
		"file:6: not an address: b c: a space is in it",
		"file:7: empty stands for nobody; write an address behind the ':'",
		"file:8: root has a line already, which counts: line 2; put all its addresses there",
		"file:9: not an address: x@: ",
		"file:10: not an address: ",
	};
	struct aliases a = { 0 };
	struct buf said = { 0 };

	(void)state;
	aliases_parse(&a, str_of(text), "file");
	for (size_t i = 0; i < COUNT(want); i++)
		assert_int_equal(strncmp(a.problems[i].text, want[i], strlen(want[i])), 0);
	assert_int_equal(a.nproblems, COUNT(want));
	assert_null(strchr(a.problems[8].text, '\x1b'));
	list(&a, "root", &said);
	assert_string_equal(said.p, "a@x");
	aliases_free(&a);
	buf_free(&said);
}

static void
a_file_that_is_no_such_thing_does_not_fill_the_memory(void **state)
{
	struct aliases a = { 0 };
	struct buf text = { 0 };

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_adds(&text, "\x7f" "ELF\n");
	aliases_parse(&a, buf_str(&text), "file");
	assert_int_equal(a.nproblems, ALIASES_PROBLEMS_MAX);
	assert_int_equal(a.n, 0);
	aliases_free(&a);
	buf_free(&text);
}

/* ---- the file itself ---------------------------------------------------------------- */

static void
check_load(const char *name, int exit, const char *said)
{
	char *path = home_path(name);
	struct buf want = { 0 };
	struct aliases a = { 0 };
	struct why why = { 0 };
	enum outcome o = aliases_load(&a, path, &why);

	home_fill_in(&want, said);
	assert_int_equal(outcome_exit(o, &why), exit);
	if (o == DONE)
		assert_string_equal(a.path, path);
	else
		assert_string_equal(why.text, buf_c(&want));
	aliases_free(&a);
	buf_free(&want);
	free(path);
}

static void
the_file_is_read_unless_others_can_steer_it(void **state)
{
	char *list = home_path("list"), *link = home_path("link"), *dir = home_path("dir");

	(void)state;
	home_write("list", STR("root: a@x\n"), 0644);
	check_load("list", 0, "");
	home_write("list", STR(""), 0400);
	check_load("list", 0, "");
	assert_int_equal(symlink(list, link), 0);
	check_load("link", 0, "");
	home_write("list", STR(""), 0664);
	check_load("list", EX_CONFIG, "the aliases file %s/list can be written by others; "
	    "type: chmod go-w %s/list");
	check_load("link", EX_CONFIG, "the aliases file %s/link can be written by others; "
	    "type: chmod go-w %s/link");
	check_load("none", EX_CONFIG, "the aliases file %s/none is not there; make it, or mend its name");
	assert_int_equal(mkdir(dir, 0700), 0);
	check_load("dir", EX_CONFIG, "the aliases file %s/dir is not a regular file");
	assert_int_equal(rmdir(dir), 0);
	home_write("list", STR(""), 0600);
	assert_int_equal(truncate(list, ALIASES_MAX + 1), 0);
	check_load("list", EX_CONFIG, "the aliases file %s/list is over 16 MiB");
	if (geteuid() != 0) {
		assert_int_equal(chmod(list, 0), 0);
		check_load("list", EX_TEMPFAIL, "the aliases file %s/list cannot be read: Permission denied");
	}
	home_unlink("list");
	home_unlink("link");
	free(list);
	free(link);
	free(dir);
}

static void
aliases_are_for_bare_names_and_localhost(void **state)
{
	static const struct {
		const char *spec, *name;
	} rows[] = {
		{ "root", "root" }, { "root@localhost", "root" }, { "root@LocalHost", "root" },
		{ "root@localhost.localdomain", "root" }, { "\"a b\"@localhost", "\"a b\"" },
		{ "\"a@localhost\"", "\"a@localhost\"" },
		{ "root@example.org", NULL }, { "root@localhost.example.org", NULL }, { "", NULL },
		{ "\"a@localhost\"@x", NULL },
	};
	struct str name;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool is = aliases_is_name(str_of(rows[i].spec), &name);

		assert_int_equal(is, rows[i].name != NULL);
		if (is)
			assert_true(str_is(name, rows[i].name));
	}
}

static void
nothing_is_an_empty_file(void **state)
{
	struct aliases a = { 0 };

	(void)state;
	assert_false(aliases_has(&a, STR("root")));
	assert_null(aliases_line(&a, STR("root")));
	aliases_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_stands_for_what_is_behind_its_colon),
		cmocka_unit_test(names_are_compared_without_case),
		cmocka_unit_test(a_name_may_be_quoted),
		cmocka_unit_test(a_line_that_begins_with_a_blank_continues),
		cmocka_unit_test(comments_and_line_ends_change_nothing),
		cmocka_unit_test(a_value_is_of_the_kind_that_it_looks_like),
		cmocka_unit_test(the_defaults_line_is_for_names_without_one),
		cmocka_unit_test(a_list_without_names_is_read_by_its_lines),
		cmocka_unit_test(an_address_over_the_limit_is_refused_and_no_other),
		cmocka_unit_test(a_nul_ends_nothing),
		cmocka_unit_test(problems_have_their_line_and_come_in_order),
		cmocka_unit_test(a_file_that_is_no_such_thing_does_not_fill_the_memory),
		cmocka_unit_test(the_file_is_read_unless_others_can_steer_it),
		cmocka_unit_test(aliases_are_for_bare_names_and_localhost),
		cmocka_unit_test(nothing_is_an_empty_file),
	};

	return cmocka_run_group_tests(tests, home_make, home_remove);
}
