/* account: when it may be called, with which server, and what its login may cost. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW ((time_t)1795576000)
#define HOUR 3600

struct world {
	char root[64];
	struct spool s;
	struct config c;
	struct account a;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-account-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	w->s = (struct spool){ .queue = -1, .path = w->root };
	w->s.dir = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	config_defaults(&w->c);
	account_load(&w->a, &w->s, &w->c, 0);
	*state = w;
	return w->s.dir >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	unlinkat(w->s.dir, "health", 0);
	unlinkat(w->s.dir, "pace", 0);
	close(w->s.dir);
	rmdir(w->root);
	config_free(&w->c);
	free(w);
	return 0;
}

static void
set(char **key, const char *value)
{
	free(*key);
	*key = mem_dup(str_of(value));
}

static void
set_servers(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof name, "%u.example", i);
		w->c.smarthost.servers[i].host = mem_dup(str_of(name));
		w->c.smarthost.servers[i].port = 587;
	}
	w->c.smarthost.nservers = n;
	account_load(&w->a, &w->s, &w->c, 0);
}

static struct why
trouble(enum scope scope)
{
	struct why why = { 0 };

	later(&why, scope, "4.0.0", "trouble");
	return why;
}

/* ---- servers ---- */

static void
the_first_server_that_is_up_is_called_and_one_in_doubt_by_one_alone(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_SERVER);
	time_t later_on;

	set_servers(w, 3);
	assert_int_equal(account_server(&w->a, 0, NOW), 0);
	account_failed(&w->a, 0, &why, NOW);
	assert_int_equal(account_server(&w->a, 0, NOW), 1);
	assert_true(account_is_in_doubt(&w->a, 0) && !account_is_in_doubt(&w->a, 1));
	assert_true(account_not_before(&w->a, NOW) == 0 && !account_gives_way(&w->a, NOW));
	account_failed(&w->a, 1, &why, NOW + 5);
	account_failed(&w->a, 2, &why, NOW + 9);
	assert_int_equal(account_server(&w->a, 0, NOW + 9), -1);
	later_on = account_not_before(&w->a, NOW + 9);
	assert_true(later_on >= NOW + 60 && later_on <= NOW + 66);
	assert_true(account_gives_way(&w->a, NOW + 9));
	/* Its step is over: one goes to see. */
	assert_int_equal(account_server(&w->a, 0, later_on), 0);
	assert_int_equal(account_server(&w->a, 1 << 0, later_on), -1);
	account_passed(&w->a, 0);
	assert_int_equal(account_server(&w->a, 1 << 0, later_on), 0);
}

static void
what_is_known_of_a_server_is_known_by_its_name(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_SERVER);

	set_servers(w, 2);
	account_failed(&w->a, 0, &why, NOW);
	set(&w->c.smarthost.servers[0].host, "1.example");
	set(&w->c.smarthost.servers[1].host, "0.example");
	account_load(&w->a, &w->s, &w->c, 0);
	assert_true(!account_is_in_doubt(&w->a, 0) && account_is_in_doubt(&w->a, 1));
	set(&w->c.smarthost.servers[1].host, "new.example");
	account_load(&w->a, &w->s, &w->c, 0);
	assert_false(account_is_in_doubt(&w->a, 1));
}

static void
the_accounts_own_trouble_is_no_servers_and_a_passed_message_ends_both(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_ACCOUNT);

	set_servers(w, 2);
	account_failed(&w->a, 0, &why, NOW);
	assert_true(account_not_before(&w->a, NOW) != 0 && account_is_in_doubt(&w->a, 1));
	account_passed(&w->a, 1);
	assert_true(account_not_before(&w->a, NOW) == 0 && !account_is_in_doubt(&w->a, 1));
}

static void
one_trouble_that_several_see_is_one_step(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_SERVER);

	for (int i = 0; i < 20; i++)
		account_failed(&w->a, 0, &why, NOW + i);
	assert_int_equal(w->a.standing.account.step, 1);
	account_failed(&w->a, 0, &why, NOW + 70);
	assert_int_equal(w->a.standing.account.step, 2);
	account_lift_back_off(&w->a);
	account_failed(&w->a, 0, &why, NOW + 71);
	assert_int_equal(w->a.standing.account.step, 3);
}

static void
a_login_that_is_refused_does_not_give_way_but_a_quota_does(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_ACCOUNT);
	struct order o = { .server = 0 };

	account_barred(&w->a, &o, &why, NOW);
	assert_false(account_gives_way(&w->a, NOW));
	account_load(&w->a, &w->s, &w->c, 0);
	assert_false(account_gives_way(&w->a, NOW));
	account_lift_back_off(&w->a);
	account_failed(&w->a, 0, &why, NOW);
	assert_true(account_gives_way(&w->a, NOW));
}

static void
a_server_that_takes_no_more_is_not_asked_for_more_for_a_while(void **state)
{
	struct world *w = *state;
	struct why why = trouble(SCOPE_SERVER);

	assert_true(account_may_have_more(&w->a, 9, NOW));
	account_is_full(&w->a, 3, &why, NOW);
	assert_true(account_may_have_more(&w->a, 2, NOW) && !account_may_have_more(&w->a, 3, NOW));
	assert_true(account_may_have_more(&w->a, 3, NOW + 300));
	assert_false(account_is_in_doubt(&w->a, 0));
}

/* ---- logins ---- */

/* A server that refuses every login of these mechanisms, and how often it is asked: a
 * courier each time that one may be called, and, every of these seconds, somebody who
 * tries again. */
static unsigned
logins(struct world *w, const char *const *offered, time_t until, time_t retry)
{
	struct why why = trouble(SCOPE_ACCOUNT);
	unsigned n = 0, tokens = 0;

	for (time_t t = NOW; t < NOW + until; t += 30) {
		char print[ORDER_PRINT + 1] = "aa";
		const char *mechanism = offered[0];
		struct order o;

		if (retry > 0 && (t - NOW) % retry == 0)
			account_lift_back_off(&w->a);
		if (account_not_before(&w->a, t) != 0)
			continue;
		account_order(&w->a, 0, true, "key", t, &o);
		if (o.avoid[0] != '\0' && strncmp(mechanism, o.avoid, strlen(o.avoid)) == 0)
			mechanism = offered[1];
		if (w->c.smarthost.token_command[0] != '\0')
			snprintf(print, sizeof print, "t%u", tokens++);
		for (unsigned i = 0; i < o.nrefused; i++)
			if (strcmp(o.refused[i], print) == 0)
				mechanism = NULL;
		if (mechanism != NULL)
			n++;
		if (mechanism == NULL || account_refused(&w->a, &o, mechanism, print, t))
			account_barred(&w->a, &o, &why, t);
	}
	return n;
}

static void
e7_a_server_that_refuses_costs_at_most_twelve_logins_in_two_days(void **state)
{
	static const struct {
		const char *auth, *offered[2], *token;
		time_t retry;
		unsigned logins;
	} rows[] = {
		{ "plain", { "PLAIN", NULL }, "", 0, 6 },
		{ "plain", { "PLAIN", NULL }, "", 900, 6 },
		{ "auto", { "PLAIN", NULL }, "", 0, 6 },
		{ "auto", { "SCRAM-SHA-256", "PLAIN" }, "", 0, 7 },
		{ "auto", { "SCRAM-SHA-256", "PLAIN" }, "", 1800, 7 },
		{ "scram-sha-256", { "SCRAM-SHA-256", NULL }, "", 0, 6 },
		{ "auto", { "XOAUTH2", NULL }, "helper", 0, 12 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned n;

		unlinkat(w->s.dir, "health", 0);
		account_load(&w->a, &w->s, &w->c, 0);
		set(&w->c.smarthost.auth, rows[i].auth);
		set(&w->c.smarthost.token_command, rows[i].token);
		n = logins(w, rows[i].offered, 48 * HOUR, rows[i].retry);
		if (n != rows[i].logins)
			print_error("row %zu: %u\n", i, n);
		assert_int_equal(n, rows[i].logins);
	}
}

static void
what_is_known_of_a_login_is_told_to_the_next_courier_also_by_the_next_runner(void **state)
{
	struct world *w = *state;
	struct order o;

	account_ready(&w->a, "SCRAM-SHA-256", "aa");
	account_order(&w->a, 0, true, "key", NOW, &o);
	assert_true(account_refused(&w->a, &o, "SCRAM-SHA-256", "bb", NOW));
	account_load(&w->a, &w->s, &w->c, 0);
	account_order(&w->a, 2, false, "key", NOW + 1, &o);
	assert_true(o.server == 2 && !o.alone && !o.force && !o.fresh && o.nrefused == 1);
	assert_string_equal(o.account, "");
	assert_string_equal(o.mechanism, "SCRAM-SHA-256");
	assert_string_equal(o.good, "aa");
	assert_string_equal(o.refused[0], "bb");
	assert_string_equal(o.key, "key");
	/* After its step nobody knows whether it is still refused; once good it is not. */
	account_order(&w->a, 0, false, "key", NOW + 2 * HOUR, &o);
	assert_int_equal(o.nrefused, 0);
	account_ready(&w->a, "PLAIN", "bb");
	account_order(&w->a, 0, false, "key", NOW + 1, &o);
	assert_int_equal(o.nrefused, 0);
	assert_string_equal(o.good, "bb");
	assert_string_equal(o.mechanism, "PLAIN");
}

static void
several_may_log_in_when_one_has_and_not_while_another_secret_is_about(void **state)
{
	struct world *w = *state;
	struct order o;

	set(&w->c.smarthost.auth, "plain");
	assert_false(account_is_proven(&w->a));
	account_ready(&w->a, "PLAIN", "aa");
	assert_true(account_is_proven(&w->a));
	account_load(&w->a, &w->s, &w->c, 0);
	assert_true(account_is_proven(&w->a));
	w->a.unproven = true;
	assert_false(account_is_proven(&w->a));
	account_ready(&w->a, "PLAIN", "bb");
	assert_true(account_is_proven(&w->a));
	account_order(&w->a, 0, true, "key", NOW, &o);
	account_refused(&w->a, &o, "PLAIN", "aa", NOW);
	set(&w->c.smarthost.auth, "none");
	assert_true(account_is_proven(&w->a));
}

static void
force_is_for_one_courier_and_a_fresh_token_for_one_a_step(void **state)
{
	struct world *w = *state;
	struct order o;

	set(&w->c.smarthost.token_command, "helper");
	w->a.force = true;
	account_order(&w->a, 0, true, "key", NOW, &o);
	assert_true(o.force && !o.fresh);
	assert_false(account_refused(&w->a, &o, "XOAUTH2", "aa", NOW));
	account_order(&w->a, 0, true, "key", NOW, &o);
	assert_true(!o.force && o.fresh);
	assert_true(account_refused(&w->a, &o, "XOAUTH2", "bb", NOW));
	account_order(&w->a, 0, true, "key", NOW, &o);
	assert_false(o.fresh);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(the_first_server_that_is_up_is_called_and_one_in_doubt_by_one_alone),
		PROMISE(what_is_known_of_a_server_is_known_by_its_name),
		PROMISE(the_accounts_own_trouble_is_no_servers_and_a_passed_message_ends_both),
		PROMISE(one_trouble_that_several_see_is_one_step),
		PROMISE(a_login_that_is_refused_does_not_give_way_but_a_quota_does),
		PROMISE(a_server_that_takes_no_more_is_not_asked_for_more_for_a_while),
		PROMISE(e7_a_server_that_refuses_costs_at_most_twelve_logins_in_two_days),
		PROMISE(what_is_known_of_a_login_is_told_to_the_next_courier_also_by_the_next_runner),
		PROMISE(several_may_log_in_when_one_has_and_not_while_another_secret_is_about),
		PROMISE(force_is_for_one_courier_and_a_fresh_token_for_one_a_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
