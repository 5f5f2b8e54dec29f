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
	assert_int_equal(health_store(&w->s, "default", &h, &w->why), DONE);
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
	health_store(&w->s, "default", &h, &w->why);
	health_succeed(&h);
	assert_int_equal(health_store(&w->s, "default", &h, &w->why), DONE);
	health_load(&w->s, "default", &back);
	assert_true(!back.down && back.step == 0);
}

static void
where_nothing_can_be_written_an_account_is_up_again_all_the_same(void **state)
{
	struct world *w = *state;
	struct health h = { 0 }, back;

	health_fail(&h, &refused, &steps, NOW, 5);
	assert_int_equal(health_store(&w->s, "default", &h, &w->why), DONE);
	assert_int_equal(mkdirat(w->s.dir, "health.new", 0700), 0);
	health_fail(&h, &refused, &steps, NOW, 5);
	assert_int_equal(health_store(&w->s, "default", &h, &w->why), LATER);
	health_load(&w->s, "default", &back);
	assert_true(back.down && back.step == 1);
	health_succeed(&h);
	assert_int_equal(health_store(&w->s, "default", &h, &w->why), DONE);
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
	health_store(&w->s, "default", &h, &w->why);
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
	struct why why = { .scope = SCOPE_SERVER, .text = "x\nother down 9 9 9 server 421 - \\x0a y" };
	struct buf text = { 0 };

	health_fail(&h, &why, &steps, NOW, 0);
	health_store(&w->s, "default", &h, &w->why);
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
	health_store(&w->s, "default", &h, &w->why);
	health_load(&w->s, "default", &back);
	assert_string_equal(back.why.text, why.text);
}

static void
a_damaged_file_is_as_good_as_none(void **state)
{
	static const char *const rows[] = {
		"", "\n", "nonsense", "subpost-health 2\ndefault down 9 9 1 server 421 - x\n",
		"default down 9 9 1 server 421 - x\n", "subpost-health 1\n", "subpost-health 1\ndefault\n",
		"subpost-health 1\ndefault maybe\n", "subpost-health 1\ndefault down\n",
		"subpost-health 1\ndefault down soon 9 1 server 421 - x\n",
		"subpost-health 1\ndefault down 9 -9 1 server 421 - x\n",
		"subpost-health 1\ndefault down 9 9 4294967296 server 421 - x\n",
		"subpost-health 1\ndefault down 9 9 1 nobody 421 - x\n",
		"subpost-health 1\ndefault down 9 9 1 server 1000 - x\n",
		"subpost-health 1\ndefault down 9 9 1 server 421 5.7.123456789 x\n",
		"subpost-health 1\ndefault down 9 9 1 server 421 - x\\x4\n",
		"subpost-health 1\ndefault down 9 9 1 server 421 - x\x1b[2J\n",
		"subpost-health 1\ndefault down 99999999999999999999 9 1 server 421 - x\n",
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

	buf_adds(&text, "subpost-health 1\ndefault down 9 9 1 server 421 - x\n");
	while (text.len < 70000)
		buf_adds(&text, "x up\n");
	file_replace(w->s.dir, "health", buf_str(&text), false);
	health_load(&w->s, "default", &h);
	assert_false(h.down);
	buf_free(&text);
	unlinkat(w->s.dir, "health", 0);
	assert_int_equal(mkfifoat(w->s.dir, "health", 0600), 0);
	health_load(&w->s, "default", &h);
	assert_false(h.down);
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
		cmocka_unit_test(the_back_off_grows_with_each_failure_and_stops_at_the_last_step),
		cmocka_unit_test(since_is_the_first_failure_and_the_reason_is_the_last),
		cmocka_unit_test(after_a_success_the_first_step_is_next),
		cmocka_unit_test(people_are_told_since_when_until_when_and_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
