/* health: what an account last said, and how long it is left alone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "health.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW ((time_t)1795576000)

static const struct steps steps = { .v = { 60, 300, 900 }, .n = 3 };
static const struct why refused = { .scope = SCOPE_ACCOUNT, .code = 535, .status = "5.7.8",
	.text = "AUTH answered: 535 5.7.8 no; check user and password" };

struct world {
	char root[64];
	struct spool s;
	struct why why;
};

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);

	snprintf(w->root, sizeof w->root, "/tmp/subpost-health-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	w->s = (struct spool){ .queue = -1, .path = w->root };
	w->s.dir = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = w;
	return w->s.dir >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	unlinkat(w->s.dir, "health", 0);
	unlinkat(w->s.dir, "health.new", 0);
	close(w->s.dir);
	rmdir(w->root);
	free(w);
	return 0;
}

static enum outcome
keep(struct world *w, const char *account, const struct health *h)
{
	return health_store(&w->s, account, &(struct standing){ .account = *h }, &w->why);
}

static void
without_a_file_every_account_is_up(void **state)
{
	struct world *w = *state;
	struct health h = { .down = true, .step = 3 };

	health_load(&w->s, "default", &h);
	assert_true(!h.down && h.step == 0 && h.until == 0);
}

static void
what_was_stored_comes_back(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;

	health_fail(&h, &refused, &steps, NOW, 5);
	health_fail(&h, &refused, &steps, NOW + 100, 5);
	assert_int_equal(keep(w, "default", &h), DONE);
	health_load(&w->s, "default", &back);
	assert_true(back.down && back.step == 2 && back.since == NOW && back.until == h.until);
	assert_true(back.why.scope == SCOPE_ACCOUNT && back.why.code == 535);
	assert_string_equal(back.why.status, "5.7.8");
	assert_string_equal(back.why.text, refused.text);
}

static void
an_account_that_is_up_again_stays_up(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;

	health_fail(&h, &refused, &steps, NOW, 0);
	keep(w, "default", &h);
	health_succeed(&h);
	assert_int_equal(keep(w, "default", &h), DONE);
	health_load(&w->s, "default", &back);
	assert_true(!back.down && back.step == 0);
}

static void
where_nothing_can_be_written_an_account_is_up_again_all_the_same(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;

	health_fail(&h, &refused, &steps, NOW, 5);
	assert_int_equal(keep(w, "default", &h), DONE);
	assert_int_equal(mkdirat(w->s.dir, "health.new", 0700), 0);
	health_fail(&h, &refused, &steps, NOW, 5);
	assert_int_equal(keep(w, "default", &h), LATER);
	health_load(&w->s, "default", &back);
	assert_true(back.down && back.step == 1);
	health_succeed(&h);
	assert_int_equal(keep(w, "default", &h), DONE);
	health_load(&w->s, "default", &back);
	assert_false(back.down);
	assert_int_equal(unlinkat(w->s.dir, "health.new", AT_REMOVEDIR), 0);
}

static void
another_accounts_line_is_not_ours(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;

	health_fail(&h, &refused, &steps, NOW, 0);
	keep(w, "default", &h);
	health_load(&w->s, "defaul", &back);
	assert_false(back.down);
	health_load(&w->s, "default2", &back);
	assert_false(back.down);
}

static void
hostile_words_cannot_end_their_line(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;
	struct why why = { .scope = SCOPE_SERVER, .text = "x\naccount other down 9 9 9 server 421 - \\x0a y" };
	struct buf text = { 0 };

	health_fail(&h, &why, &steps, NOW, 0);
	keep(w, "default", &h);
	health_load(&w->s, "other", &back);
	assert_false(back.down);
	health_load(&w->s, "default", &back);
	assert_string_equal(back.why.text, why.text);
	assert_string_equal(back.why.status, "");
	assert_int_equal(file_load(w->s.dir, "health", &text, 65536), 0);
	buf_free(&text);
}

static void
the_longest_words_come_back_whole(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;
	struct why why = refused;

	memset(why.text, '\\', sizeof why.text - 1);
	health_fail(&h, &why, &steps, NOW, 0);
	keep(w, "default", &h);
	health_load(&w->s, "default", &back);
	assert_string_equal(back.why.text, why.text);
}

static void
a_damaged_file_is_as_good_as_none(void **state)
{
	static const char *const rows[] = {
		"", "\n", "nonsense", "subpost-health 1\naccount default down 9 9 1 server 421 - x\n",
		"account default down 9 9 1 server 421 - x\n", "subpost-health 2\n",
		"subpost-health 2\naccount default\n",
		"subpost-health 2\ndefault down 9 9 1 server 421 - x\n",
		"subpost-health 2\naccount default maybe\n", "subpost-health 2\naccount default down\n",
		"subpost-health 2\naccount default up and away\n",
		"subpost-health 2\naccount default down soon 9 1 server 421 - x\n",
		"subpost-health 2\naccount default down 9 -9 1 server 421 - x\n",
		"subpost-health 2\naccount default down 9 9 4294967296 server 421 - x\n",
		"subpost-health 2\naccount default down 9 9 1 nobody 421 - x\n",
		"subpost-health 2\naccount default down 9 9 1 server 1000 - x\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 5.7.123456789 x\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\\x4\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\x1b[2J\n",
		"subpost-health 2\naccount default down 99999999999999999999 9 1 server 421 - x\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nlogin default PLAIN\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nlogin default PLAIN a b\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nrefused default a soon 1\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nrefused default a 1\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nbarred default x\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nserver default a:1\n",
		"subpost-health 2\naccount default down 9 9 1 server 421 - x\nrefused default "
		    "012345678901234567890123456789012 1 1\n",
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct health h = { .down = true };

		assert_int_equal(file_replace(w->s.dir, "health", str_of(rows[i]), false), 0);
		health_load(&w->s, "default", &h);
		if (h.down)
			print_error("row %zu: %s\n", i, rows[i]);
		assert_true(!h.down && h.step == 0 && h.until == 0 && h.since == 0);
		assert_string_equal(h.why.text, "");
	}
}

static void
a_file_that_is_too_large_or_no_file_is_as_good_as_none(void **state)
{
	struct world *w = *state;
	struct health h;
	struct buf text = { 0 };

	buf_adds(&text, "subpost-health 2\naccount default down 9 9 1 server 421 - x\n");
	while (text.len < 300000)
		buf_adds(&text, "account x up\n");
	file_replace(w->s.dir, "health", buf_str(&text), false);
	health_load(&w->s, "default", &h);
	assert_false(h.down);
	buf_free(&text);
	unlinkat(w->s.dir, "health", 0);
	assert_int_equal(mkfifoat(w->s.dir, "health", 0600), 0);
	health_load(&w->s, "default", &h);
	assert_false(h.down);
}

/* ---- servers, logins, other accounts ---- */

static void
fill(struct standing *st)
{
	*st = (struct standing){ .barred = true, .nservers = 2, .nrefused = 2, .mechanism = "SCRAM-SHA-256",
		.good = "0123456789abcdef0123456789abcdef", .avoid = "SCRAM", .apart_until = NOW + 5,
		.refused = { { "aa", 3, NOW + 9 }, { "bb", 0, NOW } } };
	health_fail(&st->account, &refused, &steps, NOW, 0);
	snprintf(st->servers[0].name, sizeof st->servers[0].name, "a.example:587");
	snprintf(st->servers[1].name, sizeof st->servers[1].name, "srv:b.example:587");
	health_fail(&st->servers[1].health, &refused, &steps, NOW + 7, 0);
}

static void
agree(const struct standing *a, const struct standing *b)
{
	assert_true(a->barred == b->barred && a->nservers == b->nservers && a->nrefused == b->nrefused);
	assert_true(a->account.down == b->account.down && a->account.until == b->account.until);
	assert_string_equal(a->account.why.text, b->account.why.text);
	for (unsigned i = 0; i < a->nservers; i++) {
		assert_string_equal(a->servers[i].name, b->servers[i].name);
		assert_true(a->servers[i].health.until == b->servers[i].health.until);
	}
	for (unsigned i = 0; i < a->nrefused; i++) {
		assert_string_equal(a->refused[i].print, b->refused[i].print);
		assert_true(a->refused[i].until == b->refused[i].until && a->refused[i].step == b->refused[i].step);
	}
	assert_string_equal(a->good, b->good);
	assert_string_equal(a->mechanism, b->mechanism);
	assert_string_equal(a->avoid, b->avoid);
	assert_true(a->apart_until == b->apart_until);
}

static void
all_that_is_known_of_an_account_comes_back_and_no_other_account_has_it(void **state)
{
	struct world *w = *state;
	struct standing st, other = { 0 }, back;

	fill(&st);
	health_fail(&other.account, &refused, &steps, NOW, 0);
	assert_int_equal(health_store(&w->s, "other", &other, &w->why), DONE);
	assert_int_equal(health_store(&w->s, "default", &st, &w->why), DONE);
	assert_int_equal(health_store(&w->s, "other", &other, &w->why), DONE);
	health_recall(&w->s, "default", &back);
	agree(&back, &st);
	health_recall(&w->s, "other", &back);
	agree(&back, &other);
	health_recall(&w->s, "nobody", &back);
	agree(&back, &(struct standing){ .barred = false });
}

static void
the_key_is_made_once_and_stays_whatever_else_is_written(void **state)
{
	struct world *w = *state;
	char key[ORDER_PRINT + 1], again[ORDER_PRINT + 1];
	struct standing st;

	fill(&st);
	health_key(&w->s, key);
	assert_int_equal(strspn(key, "0123456789abcdef"), ORDER_PRINT);
	assert_int_equal(health_store(&w->s, "key", &st, &w->why), DONE);
	assert_int_equal(health_store(&w->s, "default", &st, &w->why), DONE);
	health_key(&w->s, again);
	assert_string_equal(key, again);
	unlinkat(w->s.dir, "health", 0);
	health_key(&w->s, again);
	assert_string_not_equal(key, again);
}

static void
with_a_list_an_account_is_down_when_all_its_servers_are(void **state)
{
	static const struct {
		bool account;
		time_t until[3];        /* 0: up */
		time_t trouble;         /* of what keeps the mail, until; 0: nothing */
	} rows[] = {
		{ false, { 0, 0, 0 }, 0 }, { false, { 50, 0, 0 }, 0 }, { false, { 50, 40, 0 }, 0 },
		{ false, { 50, 40, 60 }, 40 }, { true, { 50, 40, 60 }, 99 }, { true, { 0, 0, 0 }, 99 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct standing st = { .nservers = 3, .account = { .down = rows[i].account, .until = 99 } };
		struct health h;

		for (unsigned k = 0; k < 3; k++) {
			snprintf(st.servers[k].name, sizeof st.servers[k].name, "%u.example:25", k);
			st.servers[k].health = (struct health){ .down = rows[i].until[k] != 0,
				.until = rows[i].until[k] };
		}
		assert_int_equal(health_store(&w->s, "default", &st, &w->why), DONE);
		health_load(&w->s, "default", &h);
		assert_true(h.down == (rows[i].trouble != 0) && h.until == rows[i].trouble);
	}
}

static void
a_login_that_is_refused_again_and_again_costs_few_logins_in_two_days(void **state)
{
	struct standing st = { 0 };
	unsigned logins = 0;

	(void)state;
	for (time_t t = NOW; t < NOW + 48 * 3600; t += 60) {
		if (st.nrefused > 0 && health_is_refused(&st.refused[0], t))
			continue;
		health_refuse(&st, "aa", t, 0);
		logins++;
	}
	assert_int_equal(logins, 6);
	assert_int_equal(health_refusals(&st, "aa"), 6);
}

static void
of_more_refused_secrets_than_there_is_room_for_the_one_that_is_over_first_goes(void **state)
{
	static const char *const prints[] = { "a", "b", "c", "d", "e" };
	struct standing st = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(prints); i++)
		health_refuse(&st, prints[i], NOW, i == 1 ? NOW + 1 : 0);
	assert_int_equal(st.nrefused, ORDER_REFUSED);
	for (size_t i = 0; i < COUNT(prints); i++)
		assert_int_equal(health_refusals(&st, prints[i]), i == 1 ? 0 : 1);
	assert_true(!health_is_refused(&st.refused[0], NOW + 4000) && health_is_refused(&st.refused[0], NOW));
}

static void
the_back_off_grows_with_each_failure_and_stops_at_the_last_step(void **state)
{
	static const time_t waits[] = { 60, 300, 900, 900, 900 };
	struct health h = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(waits); i++) {
		health_fail(&h, &refused, &steps, NOW + (time_t)i, 0);
		assert_int_equal(h.step, i + 1);
		assert_true(h.until == NOW + (time_t)i + waits[i]);
	}
}

static void
since_is_the_first_failure_and_the_reason_is_the_last(void **state)
{
	struct health h = { 0 };

	(void)state;
	health_fail(&h, &refused, &steps, NOW, 0);
	health_fail(&h, &(struct why){ .scope = SCOPE_SERVER, .text = "cannot reach it" }, &steps,
	    NOW + 500, 0);
	assert_true(h.since == NOW);
	assert_string_equal(h.why.text, "cannot reach it");
}

static void
after_a_success_the_first_step_is_next(void **state)
{
	struct health h = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++)
		health_fail(&h, &refused, &steps, NOW, 0);
	health_succeed(&h);
	health_fail(&h, &refused, &steps, NOW + 1000, 0);
	assert_true(h.step == 1 && h.since == NOW + 1000 && h.until == NOW + 1060);
}

static void
people_are_told_since_when_until_when_and_why(void **state)
{
	struct health h = { 0 };
	struct buf out = { 0 };

	(void)state;
	health_describe(&h, "default", NOW, &out);
	assert_int_equal(out.len, 0);
	health_fail(&h, &refused, &steps, NOW, 0);
	health_fail(&h, &refused, &steps, NOW, 0);
	health_describe(&h, "default", NOW, &out);
	assert_string_equal(buf_c(&out), "default is down since 2026-11-25T03:06:40Z, next try in 5m: "
	    "AUTH answered: 535 5.7.8 no; check user and password");
	buf_clear(&out);
	health_describe(&h, "default", NOW + 5000, &out);
	assert_non_null(strstr(buf_c(&out), "next try now"));
	buf_free(&out);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(without_a_file_every_account_is_up),
		PROMISE(what_was_stored_comes_back),
		PROMISE(an_account_that_is_up_again_stays_up),
		PROMISE(where_nothing_can_be_written_an_account_is_up_again_all_the_same),
		PROMISE(another_accounts_line_is_not_ours),
		PROMISE(hostile_words_cannot_end_their_line),
		PROMISE(the_longest_words_come_back_whole),
		PROMISE(a_damaged_file_is_as_good_as_none),
		PROMISE(a_file_that_is_too_large_or_no_file_is_as_good_as_none),
		PROMISE(all_that_is_known_of_an_account_comes_back_and_no_other_account_has_it),
		PROMISE(the_key_is_made_once_and_stays_whatever_else_is_written),
		PROMISE(with_a_list_an_account_is_down_when_all_its_servers_are),
		cmocka_unit_test(a_login_that_is_refused_again_and_again_costs_few_logins_in_two_days),
		cmocka_unit_test(of_more_refused_secrets_than_there_is_room_for_the_one_that_is_over_first_goes),
		cmocka_unit_test(the_back_off_grows_with_each_failure_and_stops_at_the_last_step),
		cmocka_unit_test(since_is_the_first_failure_and_the_reason_is_the_last),
		cmocka_unit_test(after_a_success_the_first_step_is_next),
		cmocka_unit_test(people_are_told_since_when_until_when_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
