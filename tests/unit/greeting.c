/* greeting: everybody is told what holds for them, and who is nobody here stays nobody. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "greeting.h"
#include "keys.h"

#define ANN 1000
#define BEN 1001
#define STAFF 50
#define NOBODY_HERE 65534

static const uid_t uids[] = { ANN, NOBODY_HERE };

/* Two [user NAME]: ann, and the account whose number the kernel gives to strangers. */
static void
make(struct config *c)
{
	config_defaults(c);
	keys_put_text(&c->path, STR("/etc/subpost/subpost.ini"));
	keys_put_text(&c->domain, STR("example.com"));
	keys_put_text(&c->smarthost.from, STR("all@example.com"));
	c->users = mem_alloc(2 * sizeof *c->users);
	c->nusers = 2;
	for (size_t i = 0; i < 2; i++)
		c->users[i] = (struct user_keys){ .uid = uids[i], .received = -1, .rewrite_to = -1,
			.login = mem_dup(STR("x")), .from = mem_dup(STR("own@example.com")), .says_from = true };
}

static bool
says(struct str text, const char *words)
{
	return memmem(text.p, text.len, words, strlen(words)) != NULL;
}

static void
everybody_is_told_what_holds_for_them(void **state)
{
	struct greetings g = { 0 };
	struct config c, view;

	(void)state;
	make(&c);
	greetings_make(&g, &c);
	assert_true(str_starts(greetings_for(&g, BEN), "subpost 1\n"));
	assert_true(says(greetings_for(&g, BEN), "\nfrom all@example.com\n"));
	assert_true(says(greetings_for(&g, ANN), "\nfrom own@example.com\n"));
	greetings_view(&g, &c, ANN, &view);
	assert_string_equal(view.smarthost.from, "own@example.com");
	greetings_view(&g, &c, BEN, &view);
	assert_string_equal(view.smarthost.from, "all@example.com");
	/* A configuration that has none any more. */
	c.nusers = 0;
	greetings_make(&g, &c);
	assert_true(says(greetings_for(&g, ANN), "\nfrom all@example.com\n"));
	c.nusers = 2;
	greetings_free(&g);
	greetings_free(&g);
	config_free(&c);
}

static void
a_uid_that_is_unknown_here_is_not_the_account_of_that_number(void **state)
{
	struct ucred stranger = { .uid = NOBODY_HERE, .gid = STAFF };
	struct greetings g = { 0 };
	struct config c, view;

	(void)state;
	make(&c);
	greetings_make(&g, &c);
	g.unknown_uid = NOBODY_HERE;
	assert_true(greetings_is_unknown(&g, NOBODY_HERE));
	assert_false(greetings_is_unknown(&g, ANN));
	assert_true(says(greetings_for(&g, NOBODY_HERE), "\nfrom all@example.com\n"));
	greetings_view(&g, &c, NOBODY_HERE, &view);
	assert_string_equal(view.smarthost.from, "all@example.com");
	/* Nor is he an operator, whatever group he claims. */
	g.has_operators = true;
	g.operators = STAFF;
	assert_false(greetings_is_operator(&g, -1, &stranger));
	greetings_free(&g);
	config_free(&c);
}

static void
operators_are_root_ourselves_and_a_group(void **state)
{
	struct greetings g = { .operators = STAFF, .unknown_uid = NOBODY_HERE };
	struct ucred root = { .uid = 0, .gid = 7 }, ann = { .uid = ANN, .gid = STAFF },
	    ben = { .uid = BEN, .gid = 7 }, ours = { .uid = geteuid(), .gid = 7 };
	gid_t groups[64];
	int pair[2], n = getgroups(64, groups);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_true(greetings_is_operator(&g, pair[0], &root));
	assert_true(greetings_is_operator(&g, pair[0], &ours));
	/* Nobody is of a group that is not named. */
	assert_false(greetings_is_operator(&g, pair[0], &ann));
	g.has_operators = true;
	assert_true(greetings_is_operator(&g, pair[0], &ann));
	assert_false(greetings_is_operator(&g, pair[0], &ben));
	/* What the kernel says of the other end, who is this very process. */
	if (n > 0) {
		g.operators = groups[n - 1];
		assert_true(greetings_is_operator(&g, pair[0], &ben));
	}
	close(pair[0]);
	close(pair[1]);
}

static void
a_group_that_is_not_there_makes_nobody_an_operator(void **state)
{
	static const char *const groups[] = { "no-group-of-that-name", "nogroup" };
	struct ucred ann = { .uid = ANN, .gid = NOBODY_HERE };
	struct greetings g = { 0 };
	struct config c;

	(void)state;
	make(&c);
	for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
		keys_put_text(&c.service.operators, str_of(groups[i]));
		greetings_make(&g, &c);
		/* The second has the number of all groups that are unknown here. */
		assert_false(greetings_is_operator(&g, -1, &ann));
	}
	greetings_free(&g);
	config_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_is_told_what_holds_for_them),
		cmocka_unit_test(a_uid_that_is_unknown_here_is_not_the_account_of_that_number),
		cmocka_unit_test(operators_are_root_ourselves_and_a_group),
		cmocka_unit_test(a_group_that_is_not_there_makes_nobody_an_operator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
