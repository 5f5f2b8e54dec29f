#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../lib/home.h"
#include "config.h"
#include "route.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define NOBODY (-1)

/* An account that needs no login. */
#define ACCOUNT(name, keys) "[smarthost" name "]\nhost = h.x\nauth = none\nfrom = d@x.example\n" keys

/* By the service's way of reading, which knows users. */
static void
load(struct config *c, const char *text)
{
	char *path = home_path("subpost.ini");
	struct buf read = { 0 };
	struct why why = { 0 };

	home_write("subpost.ini", str_of(text), 0644);
	assert_int_equal(setenv("SUBPOST_CONFIG", path, 1), 0);
	if (config_load_service(c, &read, &why) != DONE)
		fail_msg("refused: %s", why.text);
	assert_int_equal(c->nproblems, 0);
	buf_free(&read);
	home_unlink("subpost.ini");
	free(path);
}

static const char *
name_of(const struct config *c, int i)
{
	return i < 0 ? "nobody" : config_account(c, (unsigned)i)->name;
}

#define TWO ACCOUNT("", "") ACCOUNT(" work", "senders = *@work.example\n") \
	ACCOUNT(" corp", "recipients = *@corp.example\n") \
	ACCOUNT(" both", "senders = *@both.example\nrecipients = *@x.example\n")
#define LIMITED ACCOUNT("", "senders = *@home.example\n") ACCOUNT(" corp", "recipients = *@corp.example\n")
#define INNER ACCOUNT("", "recipients = *@home.example\n") ACCOUNT(" corp", "recipients = *@corp.example\n")
#define USERS ACCOUNT("", "senders = *@home.example\n") \
	ACCOUNT(" web", "") ACCOUNT(" corp", "recipients = *@corp.example\n") \
	"[user root]\nsmarthost = Web\n[user daemon]\nsenders = *@daemon.example\n" \
	"[user bin]\nsmarthost = default\n"

static void
the_first_account_that_fits_carries_it(void **state)
{
	static const struct {
		const char *text;
		uid_t uid;
		const char *sender, *recipient, *wants;
	} rows[] = {
		{ ACCOUNT("", ""), 0, "a@x", "b@y", "default" },
		{ TWO, 7, "a@home.example", "b@y.example", "default" },
		{ TWO, 7, "a@work.example", "b@y.example", "work" },
		{ TWO, 7, "A@WORK.example", "b@y.example", "work" },
		{ TWO, 7, "a@home.example", "b@corp.example", "corp" },
		/* In the order of the file. */
		{ TWO, 7, "a@work.example", "b@corp.example", "work" },
		/* Both where both are set. */
		{ TWO, 7, "a@both.example", "b@x.example", "both" },
		{ TWO, 7, "a@both.example", "b@y.example", "default" },
		{ TWO, 7, "a@home.example", "b@x.example", "default" },
		/* The null sender. */
		{ TWO, 7, "", "b@y.example", "default" },
		{ TWO, 7, "", "b@work.example", "default" },
		{ TWO, 7, "", "b@corp.example", "corp" },
		{ TWO, 7, "", "b@x.example", "both" },
		{ LIMITED, 7, "", "b@y.example", "default" },
		/* Who is nobody's. */
		{ LIMITED, 7, "a@home.example", "b@y.example", "default" },
		{ LIMITED, 7, "a@y.example", "b@corp.example", "corp" },
		{ LIMITED, 7, "a@y.example", "b@y.example", "nobody" },
		{ INNER, 7, "a@y.example", "b@home.example", "default" },
		{ INNER, 7, "a@y.example", "b@y.example", "nobody" },
		{ INNER, 7, "", "b@y.example", "nobody" },
		{ ACCOUNT("", "senders = *@home.example\nforce-from = yes\n"), 7, "a@y.example", "b@z",
		    "default" },
		/* Without patterns it is nobody's but by name. */
		{ ACCOUNT("", "fallback = spare\n") ACCOUNT(" spare", ""), 7, "a@y.example", "b@z", "default" },
		/* Users. */
		{ USERS, 0, "a@any.example", "b@y.example", "web" },
		{ USERS, 0, "a@home.example", "b@corp.example", "web" },
		{ USERS, 0, "", "b@corp.example", "web" },
		{ USERS, 2, "a@home.example", "b@corp.example", "default" },
		{ USERS, 2, "a@any.example", "b@corp.example", "nobody" },
		{ USERS, 1, "a@daemon.example", "b@y.example", "default" },
		{ USERS, 1, "a@daemon.example", "b@corp.example", "corp" },
		{ USERS, 1, "a@home.example", "b@y.example", "nobody" },
		{ USERS, 4000000000u, "a@home.example", "b@y.example", "default" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config c;
		struct why why = { 0 };
		int got;

		load(&c, rows[i].text);
		got = route(&c, rows[i].uid, rows[i].sender, rows[i].recipient, &why);
		if (strcmp(name_of(&c, got), rows[i].wants) != 0)
			fail_msg("row %zu: %s", i, name_of(&c, got));
		assert_int_equal(why.exit, got == NOBODY ? EX_NOPERM : 0);
		config_free(&c);
	}
}

static void
who_has_no_account_is_told_what_to_mend(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	load(&c, LIMITED);
	assert_int_equal(route(&c, 7, "a\x01@y.example", "b@y.example", &why), NOBODY);
	assert_non_null(strstr(why.text, "no account carries mail from a\\x01@y.example to b@y.example: see "
	    "senders and recipients in "));
	assert_non_null(strstr(why.text, "subpost.ini"));
	config_free(&c);
}

static void
an_address_that_is_forced_is_the_accounts_or_its_own_users(void **state)
{
	static const char text[] = ACCOUNT("", "") ACCOUNT(" web", "senders = *@w\n")
	    "[user root]\nsmarthost = web\nfrom = root@x.example\n[user daemon]\nfrom = d1@x.example\n";
	static const struct {
		unsigned account;
		uid_t uid;
		const char *wants;
	} rows[] = {
		{ 0, 0, "d@x.example" }, { 1, 0, "root@x.example" },
		{ 0, 1, "d1@x.example" }, { 1, 1, "d@x.example" }, { 0, 7, "d@x.example" },
	};
	struct config c;

	(void)state;
	load(&c, text);
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(config_forced_from(&c, config_account(&c, rows[i].account), rows[i].uid),
		    rows[i].wants);
	config_free(&c);
}

static void
a_sender_is_taken_if_any_account_may_carry_it(void **state)
{
	static const struct {
		const char *text, *sender;
		bool takes;
		const char *all;                /* patterns of all who are */
	} rows[] = {
		{ ACCOUNT("", ""), "a@x", true, "" },
		{ ACCOUNT("", "senders = *@a *@b\n"), "x@a", true, "*@a *@b" },
		{ ACCOUNT("", "senders = *@a *@b\n"), "x@c", false, "*@a *@b" },
		{ ACCOUNT("", "senders = *@a *@b\n"), "", true, "*@a *@b" },
		{ ACCOUNT("", "senders = *@a\nforce-from = yes\n"), "x@c", true, "*@a" },
		{ ACCOUNT("", "senders = *@a\n") ACCOUNT(" b", "senders = *@b\n"), "x@b", true, "*@a *@b" },
		{ ACCOUNT("", "senders = *@a\n") ACCOUNT(" b", "senders = *@b\n"), "x@c", false, "*@a *@b" },
		/* An account's own force-from says nothing of whose mail it carries. */
		{ ACCOUNT("", "senders = *@a\n") ACCOUNT(" b", "senders = *@b\nforce-from = yes\n"), "x@c", false,
		    "*@a *@b" },
		{ ACCOUNT("", "senders = *@a\n") ACCOUNT(" b", "recipients = *@b\n"), "x@c", true, "" },
		{ ACCOUNT("", "senders = *@a\nfallback = b\n") ACCOUNT(" b", ""), "x@c", false, "*@a" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf all = { 0 };
		struct config c;

		load(&c, rows[i].text);
		if (route_takes_sender(&c, str_of(rows[i].sender)) != rows[i].takes)
			fail_msg("row %zu", i);
		route_put_senders(&c, &all);
		assert_string_equal(buf_c(&all), rows[i].all);
		buf_free(&all);
		config_free(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_account_that_fits_carries_it),
		cmocka_unit_test(who_has_no_account_is_told_what_to_mend),
		cmocka_unit_test(an_address_that_is_forced_is_the_accounts_or_its_own_users),
		cmocka_unit_test(a_sender_is_taken_if_any_account_may_carry_it),
	};

	return cmocka_run_group_tests(tests, home_make, home_remove);
}
