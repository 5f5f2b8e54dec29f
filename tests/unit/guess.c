#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "guess.h"

static void
the_nearest_name_is_meant_if_any_is_near(void **state)
{
	static const char *const names[] = { "host", "port", "user", "tls", "tls-name", "password-file",
		"password-command" };
	static const struct {
		const char *word, *wants;       /* NULL: none is near */
	} rows[] = {
		{ "hots", "host" }, { "hst", "host" }, { "prot", "port" }, { "PORT", "port" }, { "prt", "port" },
		{ "tls_name", "tls-name" }, { "tlsname", "tls-name" }, { "pasword-fil", "password-file" },
		{ "password-comand", "password-command" }, { "users", "user" }, { "usr", "user" },
		/* Of two that are near the nearer one. */
		{ "post", "host" }, { "hort", "host" },
		/* Three letters off, or half of a short one, is another word. */
		{ "passw-file", NULL }, { "ts", "tls" }, { "t", NULL }, { "", NULL }, { "x", NULL }, { "mail", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct guess g = { 0 };

		for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
			guess_consider(&g, str_of(rows[i].word), names[n]);
		if ((g.name == NULL) != (rows[i].wants == NULL) ||
		    (g.name != NULL && strcmp(g.name, rows[i].wants) != 0))
			fail_msg("%s: %s", rows[i].word, g.name != NULL ? g.name : "none");
	}
}

static void
the_longest_words_are_compared(void **state)
{
	char name[GUESS_MAX + 1], word[GUESS_MAX];
	struct guess g = { 0 };

	(void)state;
	memset(name, 'a', GUESS_MAX);
	name[GUESS_MAX] = '\0';
	memset(word, 'a', sizeof word);
	word[7] = 'b';
	guess_consider(&g, str_from(word, sizeof word), name);
	assert_ptr_equal(g.name, name);
	assert_int_equal(g.distance, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_name_is_meant_if_any_is_near),
		cmocka_unit_test(the_longest_words_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
