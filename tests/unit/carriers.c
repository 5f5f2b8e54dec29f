/* carriers: which account a message waits for, and what of it who may know. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carriers.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char none[] = "", work[] = "*@work.example", corp[] = "*@corp.example";
static char names[][8] = { "default", "work", "corp", "spare" };

/* The default account, one by sender, one by recipient, and one that stands in. */
static struct smarthost more[] = {
	{ .name = names[1], .senders = work, .recipients = none, .fallback = names[3] },
	{ .name = names[2], .senders = none, .recipients = corp, .fallback = none },
	{ .name = names[3], .senders = none, .recipients = none, .fallback = none },
};

static void
make(struct config *c, struct user_keys *user)
{
	*c = (struct config){ .smarthost = { .name = names[0], .senders = none, .recipients = none,
		.fallback = none }, .more = more, .nmore = COUNT(more), .path = none };
	*user = (struct user_keys){ .uid = 1000, .smarthost = names[1], .received = -1, .rewrite_to = -1 };
	c->users = user;
	c->nusers = 1;
}

/* Down, a letter each: 's' for its server, 'a' for its login; until 100 and its place. */
static void
take_down(struct carriers *k, const char *down)
{
	for (unsigned i = 0; down[i] != '\0'; i++) {
		k->v[i] = (struct health){ .down = down[i] != '-', .until = 100 + i };
		k->v[i].why.scope = down[i] == 's' ? SCOPE_SERVER : SCOPE_ACCOUNT;
	}
}

static void
a_message_waits_for_the_account_that_is_tried_first(void **state)
{
	static const struct {
		const char *down;       /* default, work, corp, spare */
		uid_t uid;
		const char *from, *to[3];
		const char *done;       /* 'x' for who has got it */
		const char *wants;      /* "": it waits for none */
	} rows[] = {
		{ "----", 1, "a@x", { "b@y" }, "-", "" },
		{ "s---", 1, "a@x", { "b@y" }, "-", "default" },
		{ "-sss", 1, "a@x", { "b@y" }, "-", "" },
		{ "s-a-", 1, "a@x", { "b@corp.example" }, "-", "corp" },
		/* One of its ways is open. */
		{ "s---", 1, "a@x", { "b@y", "b@corp.example" }, "--", "" },
		{ "s-s-", 1, "a@x", { "b@y", "b@corp.example" }, "--", "default" },
		{ "--s-", 1, "a@x", { "b@y", "b@corp.example" }, "x-", "corp" },
		{ "--s-", 1, "a@x", { "b@y", "b@corp.example" }, "-x", "" },
		{ "ssss", 1, "a@x", { "b@y" }, "x", "" },
		/* A fallback is for a server's trouble. */
		{ "-s--", 1, "a@work.example", { "b@y" }, "-", "" },
		{ "-a--", 1, "a@work.example", { "b@y" }, "-", "work" },
		{ "-s-s", 1, "a@work.example", { "b@y" }, "-", "work" },
		/* Who has an account of their own. */
		{ "s-s-", 1000, "a@work.example", { "b@y", "b@corp.example" }, "--", "" },
		{ "-a--", 1000, "a@work.example", { "b@y", "b@corp.example" }, "--", "work" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct user_keys user;
		struct config c;
		struct carriers k = { .config = &c };
		struct recipient to[3] = { { 0 } };
		struct letter l = LETTER_INIT;
		int got;

		make(&c, &user);
		take_down(&k, rows[i].down);
		l.envelope = (struct envelope){ .uid = rows[i].uid, .from = mem_dup(str_of(rows[i].from)), .to = to };
		for (; l.envelope.n < 3 && rows[i].to[l.envelope.n] != NULL; l.envelope.n++)
			to[l.envelope.n].address = mem_dup(str_of(rows[i].to[l.envelope.n]));
		fate_init(&l.fate, l.envelope.n);
		for (size_t n = 0; n < l.envelope.n; n++)
			l.fate.to[n].outcome = rows[i].done[n] == 'x' ? DONE : LATER;
		got = carriers_keep(&k, &l);
		if (strcmp(got < 0 ? "" : config_account(&c, (unsigned)got)->name, rows[i].wants) != 0)
			fail_msg("row %zu: %d", i, got);
		fate_free(&l.fate);
		for (size_t n = 0; n < l.envelope.n; n++)
			free(to[n].address);
		free(l.envelope.from);
	}
}

/* Two accounts that name each other are an error of the configuration, and no loop. */
static void
a_circle_of_fallbacks_comes_to_an_end(void **state)
{
	struct smarthost two[] = { { .name = names[1], .senders = none, .recipients = corp, .fallback = names[2] },
		{ .name = names[2], .senders = none, .recipients = none, .fallback = names[1] } };
	char from[] = "a@x", address[] = "b@corp.example";
	struct recipient to = { .address = address };
	struct letter l = LETTER_INIT;
	struct user_keys user;
	struct config c;
	struct carriers k = { .config = &c };

	(void)state;
	make(&c, &user);
	c.more = two;
	c.nmore = COUNT(two);
	take_down(&k, "sss");
	l.envelope = (struct envelope){ .uid = 1, .from = from, .to = &to, .n = 1 };
	fate_init(&l.fate, 1);
	assert_int_equal(carriers_keep(&k, &l), 1);
	fate_free(&l.fate);
}

static void
who_asks_knows_the_accounts_of_their_own_mail(void **state)
{
	static const struct {
		struct asker who;
		const char *theirs;     /* a letter an account */
	} rows[] = {
		{ { .uid = 1000, .all = true }, "yyyy" }, { { .uid = 1000 }, "-y--" }, { { .uid = 1 }, "yyyy" },
		{ { .uid = 1, .nobody = true }, "yyyy" },
	};
	struct user_keys user;
	struct config c;
	struct carriers k = { .config = &c };

	(void)state;
	make(&c, &user);
	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned a = 0; a < 4; a++)
			assert_true(carriers_are_theirs(&k, &rows[i].who, a) == (rows[i].theirs[a] == 'y'));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_waits_for_the_account_that_is_tried_first),
		cmocka_unit_test(a_circle_of_fallbacks_comes_to_an_end),
		cmocka_unit_test(who_asks_knows_the_accounts_of_their_own_mail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
