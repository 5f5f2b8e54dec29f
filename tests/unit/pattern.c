#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "pattern.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
a_star_is_anything_and_all_else_is_itself(void **state)
{
	static const struct {
		const char *pattern, *address;
		bool matches;
	} rows[] = {
		{ "me@example.com", "me@example.com", true }, { "me@example.com", "ME@Example.COM", true },
		{ "me@example.com", "me@example.co", false }, { "me@example.co", "me@example.com", false },
		{ "*@example.com", "a@example.com", true }, { "*@example.com", "@example.com", true },
		{ "*@example.com", "a@b@example.com", true }, { "*@example.com", "a@sub.example.com", false },
		{ "*@*.example.com", "a@sub.example.com", true }, { "*@*.example.com", "a@example.com", false },
		{ "*", "", true }, { "*", "anything@x", true }, { "**@x", "a@x", true }, { "a*b*c@x", "abc@x", true },
		{ "a*b*c@x", "aXbYbZc@x", true }, { "a*b*c@x", "acb@x", false }, { "me+*@x", "me+tag@x", true },
		{ "me+*@x", "me@x", false }, { "me@*", "me@", true }, { "", "", true }, { "", "a", false },
		{ "?@x", "a@x", false }, { "[ab]@x", "a@x", false }, { ".*@x", "a@x", false },
		{ "*@EXAMPLE.com", "\"a b\"@example.COM", true }, { "*@x", "a@x\n", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool matches = pattern_matches(str_of(rows[i].pattern), str_of(rows[i].address));

		if (matches != rows[i].matches)
			print_error("%s and %s\n", rows[i].pattern, rows[i].address);
		assert_int_equal(matches, rows[i].matches);
	}
}

static void
one_of_several_is_enough_and_none_matches_nothing(void **state)
{
	(void)state;
	assert_true(pattern_matches_any(STR("a@x *@y"), STR("b@y")));
	assert_true(pattern_matches_any(STR("a@x  *@y"), STR("a@x")));
	assert_false(pattern_matches_any(STR("a@x *@y"), STR("b@x")));
	assert_false(pattern_matches_any(STR(""), STR("b@x")));
	assert_false(pattern_matches_any(STR("  "), STR("")));
}

/* Backtracking from every star would not end with the universe. */
static void
many_stars_and_a_long_address_end_at_once(void **state)
{
	char pattern[256], address[1024];

	(void)state;
	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = i % 2 == 0 ? '*' : 'a';
	memset(address, 'a', sizeof address);
	address[sizeof address - 1] = 'b';
	assert_false(pattern_matches(str_from(pattern, sizeof pattern), str_from(address, sizeof address)));
	address[sizeof address - 1] = 'a';
	assert_true(pattern_matches(str_from(pattern, sizeof pattern), str_from(address, sizeof address)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_star_is_anything_and_all_else_is_itself),
		cmocka_unit_test(one_of_several_is_enough_and_none_matches_nothing),
		cmocka_unit_test(many_stars_and_a_long_address_end_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
