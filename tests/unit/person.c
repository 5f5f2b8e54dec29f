#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "person.h"

static void
we_are_found_by_uid_as_the_name_service_has_us(void **state)
{
	struct passwd *pw = getpwuid(geteuid());
	struct person p;

	(void)state;
	if (pw == NULL) {
		assert_false(person_by_uid(geteuid(), &p));
		return;
	}
	assert_true(person_by_uid(geteuid(), &p));
	assert_string_equal(p.login, pw->pw_name);
	assert_string_equal(p.home, pw->pw_dir);
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(p.gid, pw->pw_gid);
	person_free(&p);
	person_free(&p);
}

static void
root_is_found_by_login(void **state)
{
	struct person p;

	(void)state;
	assert_true(person_by_login(STR("root"), &p));
	assert_int_equal(p.uid, 0);
	assert_string_equal(p.login, "root");
	person_free(&p);
}

/* Nobody in the file is asked of getent: it has nobody for a uid that no file
 * and no service has, and a name that looks like an option or a list is one name. */
static void
nobody_is_found_where_there_is_nobody(void **state)
{
	static const char *const logins[] = { "", "no-such-login-at-all", "-s", "--help", "root:x",
		"root\nroot", "+", "0", "root root" };
	struct person p;

	(void)state;
	assert_false(person_by_uid(3999999999u, &p));
	assert_null(p.login);
	for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
		assert_false(person_by_login(str_of(logins[i]), &p));
		assert_null(p.login);
		person_free(&p);
	}
}

static void
accounts_of_the_system_are_told_from_people(void **state)
{
	static const struct {
		const char *login;
		bool is;
	} rows[] = {
		{ "root", true }, { "daemon", true }, { "nobody", false }, { "no-such-login-at-all", false },
		{ "", false }, { "root:x", false }, { "0", false }, { "ROOT", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(person_is_system(str_of(rows[i].login)), rows[i].is);
	assert_false(person_is_system(str_from("root\0", 5)));
}

static void
a_group_is_found_by_its_name(void **state)
{
	static const char *const nobodys[] = { "", "no-such-group-at-all", "+", "-s", "--help", "root:x",
		"0", "root\nroot", "root root", "ROOT" };
	struct group *g = getgrgid(getegid());
	gid_t gid = 12345;

	(void)state;
	for (size_t i = 0; i < sizeof nobodys / sizeof *nobodys; i++)
		assert_false(person_group(str_of(nobodys[i]), &gid));
	assert_int_equal(gid, 12345);
	assert_true(person_group(STR("root"), &gid));
	assert_int_equal(gid, 0);
	assert_true(person_group(STR("daemon"), &gid));
	assert_int_not_equal(gid, 0);
	if (g == NULL)
		return;
	assert_true(person_group(str_of(g->gr_name), &gid));
	assert_int_equal(gid, getegid());
}

static void
no_descriptor_and_no_child_is_left_behind(void **state)
{
	struct person p;
	int before = dup(0), after;
	gid_t gid;

	(void)state;
	close(before);
	assert_false(person_by_login(STR("no-such-login-at-all"), &p));
	assert_false(person_group(STR("no-such-group-at-all"), &gid));
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

/* Those of the C library, which asks the name service itself. */
static void
groups_are_those_of_the_name_service(void **state)
{
	static const char *const logins[] = { "root", "daemon", "www-data", "nobody" };

	(void)state;
	for (size_t i = 0; i < sizeof logins / sizeof logins[0]; i++) {
		gid_t theirs[256], *ours;
		int ntheirs = 256;
		size_t n;

		assert_int_not_equal(getgrouplist(logins[i], 4711, theirs, &ntheirs), -1);
		ours = person_groups(logins[i], 4711, &n);
		assert_int_equal(ours[0], 4711);
		assert_int_equal(n, ntheirs);
		for (size_t j = 0; j < n; j++) {
			size_t k = 0;

			while (k < n && theirs[k] != ours[j])
				k++;
			assert_true(k < n);
		}
		free(ours);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(we_are_found_by_uid_as_the_name_service_has_us),
		cmocka_unit_test(root_is_found_by_login),
		cmocka_unit_test(nobody_is_found_where_there_is_nobody),
		cmocka_unit_test(accounts_of_the_system_are_told_from_people),
		cmocka_unit_test(a_group_is_found_by_its_name),
		cmocka_unit_test(no_descriptor_and_no_child_is_left_behind),
		cmocka_unit_test(groups_are_those_of_the_name_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
