#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
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
no_descriptor_and_no_child_is_left_behind(void **state)
{
	struct person p;
	int before = dup(0), after;

	(void)state;
	close(before);
	assert_false(person_by_login(STR("no-such-login-at-all"), &p));
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(we_are_found_by_uid_as_the_name_service_has_us),
		cmocka_unit_test(root_is_found_by_login),
		cmocka_unit_test(nobody_is_found_where_there_is_nobody),
		cmocka_unit_test(accounts_of_the_system_are_told_from_people),
		cmocka_unit_test(no_descriptor_and_no_child_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
