#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "../../compat/recipients.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char home[] = "/tmp/recipients-XXXXXX";
static char aliases_path[64];

static const char aliases_text[] =
    "team: ann, bob@x.example, root\n"
    "ann: ann@x.example\n"
    "postmaster: root\n"
    "loop: pool\n"
    "pool: loop\n"
    "prog: |/bin/cat\n"
    "system: root, daemon\n"
    "self: self, ann\n"
    "\"a b\": ann\n"
    "twice: ann, ann@X.EXAMPLE, Ann@x.example\n";

static void
write_aliases(const char *text)
{
	FILE *f = fopen(aliases_path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int
make_home(void **state)
{
	(void)state;
	umask(022);
	if (mkdtemp(home) == NULL)
		return -1;
	snprintf(aliases_path, sizeof aliases_path, "%s/aliases", home);
	write_aliases(aliases_text);
	return 0;
}

static int
remove_home(void **state)
{
	(void)state;
	unlink(aliases_path);
	return rmdir(home);
}

static char none[] = "", domain[] = "example.net", root[] = "admin@y.example", host[] = "smtp.y.example",
    from[] = "me@example.net", ini[] = "/home/me/subpost.ini";

static struct config
usual(void)
{
	return (struct config){ .domain = domain, .aliases = aliases_path, .root = root,
		.max_recipients = 10, .path = ini,
		.smarthost = { .host = host, .port = 587, .from = from,
		.senders = none, .recipients = none } };
}

static void
add_words(struct recipients *r, const char *words)
{
	struct str rest = str_of(words), word;

	while (rest.len > 0 && (word = str_word(&rest)).len > 0)
		recipients_add(r, word, 0, STR(""));
}

/* "a b c", or the status and the reason. */
static void
say(enum outcome o, const struct recipients *r, const struct why *why, struct buf *said)
{
	buf_clear(said);
	if (o != DONE)
		buf_addf(said, "%d %s", why->exit, why->text);
	else
		for (size_t i = 0; i < r->n; i++)
			buf_addf(said, "%s%s", i > 0 ? " " : "", r->v[i].address);
}

struct row {
	const char *in;
	const char *out;        /* %s is the aliases file; a reason: how it begins */
};

static void
check_rows(const struct config *c, const struct row *rows, size_t n)
{
	struct directory d = { .config = c };
	struct buf said = { 0 }, want = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct recipients r = { 0 };
		struct why why = { 0 };
		const char *p = strstr(rows[i].out, "%s");

		buf_clear(&want);
		buf_add(&want, rows[i].out, p != NULL ? (size_t)(p - rows[i].out) : strlen(rows[i].out));
		if (p != NULL)
			buf_addf(&want, "%s%s", aliases_path, p + 2);
		add_words(&r, rows[i].in);
		say(recipients_settle(&r, &d, &why), &r, &why, &said);
		if (want.len > 0 && want.p[0] >= '6' && want.p[0] <= '7')
			said.p[want.len < said.len ? want.len : said.len] = '\0';
		assert_string_equal(buf_c(&said), buf_c(&want));
		recipients_free(&r);
		recipients_free(&r);
	}
	directory_free(&d);
	directory_free(&d);
	buf_free(&said);
	buf_free(&want);
}

#define CHECK(c, ...) \
	do { \
		static const struct row rows[] = { __VA_ARGS__ }; \
		check_rows(c, rows, COUNT(rows)); \
	} while (0)

static void
a_name_goes_through_aliases_root_and_domain_in_this_order(void **state)
{
	struct config c = usual();

	(void)state;
	CHECK(&c, { "carl", "carl@example.net" },
	    { "ann", "ann@x.example" },
	    { "ANN", "ann@x.example" },
	    { "team", "ann@x.example bob@x.example admin@y.example" },
	    { "root", "admin@y.example" },
	    { "Root", "admin@y.example" },
	    { "postmaster", "admin@y.example" },
	    { "Postmaster", "admin@y.example" },
	    { "daemon", "admin@y.example" },
	    { "nobody", "nobody@example.net" },
	    { "no-such-account", "no-such-account@example.net" },
	    { "self", "self@example.net ann@x.example" },
	    { "\"root\"@localhost", "\"root\"@example.net" },
	    { "j\xc3\xb6rg", "j\xc3\xb6rg@example.net" },
	    { "j\xf6rg", "65 j\\xf6rg@example.net is neither ASCII nor UTF-8" },
	    { "a@\xf6.example", "65 a@\\xf6.example is neither ASCII nor UTF-8" });
}

static void
a_name_at_localhost_is_such_a_name(void **state)
{
	struct config c = usual();

	(void)state;
	CHECK(&c, { "ann@localhost", "ann@x.example" },
	    { "Ann@LOCALHOST.localdomain", "ann@x.example" },
	    { "root@localhost", "admin@y.example" },
	    { "carl@localhost", "carl@example.net" },
	    { "ann@localhost.example.org", "ann@localhost.example.org" },
	    { "ann@example.net", "ann@example.net" });
}

static void
a_quoted_name_with_a_blank_is_a_name_too(void **state)
{
	struct config c = usual();
	struct directory d = { .config = &c };
	struct recipients r = { 0 };
	struct why why;

	(void)state;
	recipients_add(&r, STR("\"a b\""), 0, STR(""));
	recipients_add(&r, STR("\"c d\""), 0, STR(""));
	assert_int_equal(recipients_settle(&r, &d, &why), DONE);
	assert_string_equal(r.v[0].address, "ann@x.example");
	assert_string_equal(r.v[1].address, "\"c d\"@example.net");
	recipients_free(&r);
	directory_free(&d);
}

static void
without_root_and_aliases_names_get_the_domain(void **state)
{
	struct config c = usual();

	(void)state;
	c.root = none;
	CHECK(&c, { "root", "root@example.net" }, { "daemon", "daemon@example.net" },
	    { "team", "ann@x.example bob@x.example root@example.net" });
	c.aliases = none;
	CHECK(&c, { "root ann", "root@example.net ann@example.net" });
}

static void
everybody_gets_it_once_in_the_order_of_the_first_mention(void **state)
{
	struct config c = usual();

	(void)state;
	CHECK(&c, { "b@x a@x b@X a@x c@x", "b@x a@x c@x" },
	    { "a@x A@x", "a@x A@x" },
	    { "ann@x.example team ann carl carl@example.net",
	      "ann@x.example bob@x.example admin@y.example carl@example.net" },
	    { "twice", "ann@x.example Ann@x.example" },
	    { "root daemon postmaster", "admin@y.example" });
}

static void
the_limit_counts_what_is_left_after_all_that(void **state)
{
	struct config c = usual();

	(void)state;
	c.max_recipients = 3;
	CHECK(&c, { "team ann root ann@x.example ann", "ann@x.example bob@x.example admin@y.example" },
	    { "team carl", "65 over 3 recipients, aliases included; the limit is max-recipients in "
	      "/home/me/subpost.ini" });
}

/* Ten thousand names, each of which stands for ten thousand others. */
static void
while_it_grows_it_stays_bounded(void **state)
{
	struct config c = usual();
	struct directory d = { .config = &c };
	struct recipients r = { 0 };
	struct buf text = { 0 };
	struct why why = { 0 };
	char name[16];

	(void)state;
	c.max_recipients = 10001;
	buf_adds(&text, "all: a0@x");
	for (int i = 1; i < 10000; i++)
		buf_addf(&text, ",\n a%d@x", i);
	buf_adds(&text, "\nmore: b@x, c@x, all\n");
	for (int i = 0; i < 100; i++)
		buf_addf(&text, "all%d: all\n", i);
	for (int i = 0; i < 10000; i++)
		buf_addf(&text, "more%d: more\n", i);
	write_aliases(buf_c(&text));
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "all%d", i);
		recipients_add(&r, str_of(name), 0, STR(""));
	}
	assert_int_equal(recipients_settle(&r, &d, &why), DONE);
	assert_int_equal(r.n, 10000);
	assert_string_equal(r.v[9999].address, "a9999@x");
	recipients_clear(&r);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof name, "more%d", i);
		recipients_add(&r, str_of(name), 0, STR(""));
	}
	assert_int_equal(recipients_settle(&r, &d, &why), NEVER);
	assert_int_equal(why.exit, EX_DATAERR);
	write_aliases(aliases_text);
	recipients_free(&r);
	directory_free(&d);
	buf_free(&text);
}

/* As many as a header of 1 MiB can hold. */
static void
a_name_that_is_repeated_is_looked_up_once(void **state)
{
	struct config c = usual();
	struct directory d = { .config = &c };
	struct recipients r = { 0 };
	struct buf text = { 0 };
	struct why why = { 0 };
	clock_t begun;

	(void)state;
	c.max_recipients = 100;
	buf_adds(&text, "all: a0@x");
	for (int i = 1; i < 90; i++)
		buf_addf(&text, ", a%d@x", i);
	buf_addc(&text, '\n');
	write_aliases(buf_c(&text));
	for (int i = 0; i < 500000; i++)
		recipients_add(&r, STR("all"), 0, STR(""));
	begun = clock();
	assert_int_equal(recipients_settle(&r, &d, &why), DONE);
	assert_true(clock() - begun < 3 * CLOCKS_PER_SEC);
	assert_int_equal(r.n, 90);
	write_aliases(aliases_text);
	recipients_free(&r);
	directory_free(&d);
	buf_free(&text);
}

static void
what_cannot_be_sent_to_is_refused_by_name(void **state)
{
	struct config c = usual();
	struct directory d = { .config = &c };
	struct recipients r = { 0 };
	struct buf long_one = { 0 };
	struct why why = { 0 };

	(void)state;
	CHECK(&c, { "a@x a@b@c", "65 a@b@c is no address that SMTP can carry" },
	    { "loop", "65 %s:5: loop leads back to itself" },
	    { "ok@x prog", "65 %s:6: mail would go to a program" });
	for (int i = 0; i < ADDRESS_MAX - 5; i++)
		buf_addc(&long_one, 'x');
	recipients_add(&r, buf_str(&long_one), 0, STR(""));
	assert_int_equal(recipients_settle(&r, &d, &why), NEVER);
	assert_int_equal(why.exit, EX_DATAERR);
	assert_int_equal(r.n, 1);
	recipients_clear(&r);
	recipients_add(&r, STR(""), 0, STR(""));
	assert_int_equal(recipients_settle(&r, &d, &why), NEVER);
	assert_memory_equal(why.text, "<> is no address", 16);
	recipients_free(&r);
	directory_free(&d);
	buf_free(&long_one);
}

static void
a_file_that_is_missing_stops_names_and_nothing_else(void **state)
{
	static char missing[] = "/nowhere/aliases";
	struct config c = usual();

	(void)state;
	c.aliases = missing;
	CHECK(&c, { "a@x", "a@x" }, { "carl", "78 the aliases file /nowhere/aliases is not there; make it, or mend its name" },
	    { "root@localhost", "78 the aliases file" });
}

static void
a_file_that_was_written_elsewhere_need_not_be_here(void **state)
{
	static char missing[] = "/nowhere/aliases", name[] = "bob";
	struct config c = usual();
	struct directory d = { .config = &c, .elsewhere = true };
	struct recipient bob = { .address = name };
	struct recipients to = { 0 };
	struct why why = { 0 };

	(void)state;
	c.aliases = missing;
	assert_int_equal(directory_resolve(&d, &bob, &to, &why), DONE);
	assert_int_equal(to.n, 1);
	assert_string_equal(to.v[0].address, "bob@example.net");
	assert_true(d.absent);
	recipients_free(&to);
	directory_free(&d);
}

static void
wishes_go_with_the_recipient(void **state)
{
	static const struct {
		const char *spec;
		unsigned notify;
		const char *orcpt;      /* asked */
		const char *first;      /* address and ORCPT of the first that it becomes */
	} rows[] = {
		{ "a@x", DSN_NOTIFY_DELAY, "", "a@x 8 -" },
		{ "a@x", 0, "rfc822;b@x", "a@x 0 rfc822;b@x" },
		{ "carl", DSN_NOTIFY_NEVER, "", "carl@example.net 1 -" },
		{ "ann", DSN_NOTIFY_FAILURE, "", "ann@x.example 4 rfc822;ann@example.net" },
		{ "ann", 0, "", "ann@x.example 0 -" },
		{ "ann", DSN_NOTIFY_FAILURE, "rfc822;x@y", "ann@x.example 4 rfc822;x@y" },
		{ "root", DSN_NOTIFY_SUCCESS, "", "admin@y.example 2 rfc822;root@example.net" },
		{ "ann@localhost", DSN_NOTIFY_SUCCESS, "", "ann@x.example 2 rfc822;ann@localhost" },
	};
	struct config c = usual();
	struct directory d = { .config = &c };
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct recipients r = { 0 };
		struct why why;

		recipients_add(&r, str_of(rows[i].spec), rows[i].notify, str_of(rows[i].orcpt));
		assert_int_equal(recipients_settle(&r, &d, &why), DONE);
		buf_clear(&got);
		buf_addf(&got, "%s %u %s", r.v[0].address, r.v[0].notify,
		    r.v[0].orcpt != NULL ? r.v[0].orcpt : "-");
		assert_string_equal(buf_c(&got), rows[i].first);
		recipients_free(&r);
	}
	directory_free(&d);
	buf_free(&got);
}

static void
of_two_mentions_the_first_ones_wishes_stay(void **state)
{
	struct config c = usual();
	struct directory d = { .config = &c };
	struct recipients r = { 0 };
	struct why why;

	(void)state;
	recipients_add(&r, STR("ann@x.example"), DSN_NOTIFY_NEVER, STR(""));
	recipients_add(&r, STR("team"), DSN_NOTIFY_SUCCESS, STR(""));
	assert_int_equal(recipients_settle(&r, &d, &why), DONE);
	assert_int_equal(r.n, 3);
	assert_int_equal(r.v[0].notify, DSN_NOTIFY_NEVER);
	assert_null(r.v[0].orcpt);
	assert_int_equal(r.v[1].notify, DSN_NOTIFY_SUCCESS);
	assert_string_equal(r.v[2].orcpt, "rfc822;team@example.net");
	recipients_free(&r);
	directory_free(&d);
}

static void
who_is_taken_off_is_off(void **state)
{
	static const struct {
		const char *all, *off, *left;
	} rows[] = {
		{ "a@x b@x c@x", "b@x", "a@x c@x" },
		{ "a@x b@x", "b@X a@x", "" },
		{ "a@x", "A@x", "a@x" },
		{ "a@x b@x", "", "a@x b@x" },
		{ "", "a@x", "" },
		{ "a@x", "c@x c@x", "a@x" },
	};
	struct buf said = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct recipients all = { 0 }, off = { 0 };

		add_words(&all, rows[i].all);
		add_words(&off, rows[i].off);
		recipients_subtract(&all, &off);
		say(DONE, &all, NULL, &said);
		assert_string_equal(buf_c(&said), rows[i].left);
		recipients_free(&all);
		recipients_free(&off);
	}
	buf_free(&said);
}

/* ---- for people ------------------------------------------------------------------- */

static void
only_what_stands_for_a_name_is_shown_in_its_place(void **state)
{
	static const struct {
		const char *name, *shown;       /* NULL: nothing */
	} rows[] = {
		{ "ann", "ann@x.example" },
		{ "team", "ann@x.example,\n bob@x.example,\n admin@y.example" },
		{ "root", "admin@y.example" },
		{ "system", "admin@y.example" },
		{ "twice", "ann@x.example,\n Ann@x.example" },
		{ "carl", NULL }, { "loop", NULL }, { "prog", NULL }, { "many", NULL },
	};
	struct config c = usual();
	struct directory d = { .config = &c };
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	buf_adds(&text, aliases_text);
	buf_adds(&text, "many: a0@x");
	for (int i = 1; i <= 100; i++)
		buf_addf(&text, ", a%d@x", i);
	write_aliases(buf_c(&text));
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&got);
		assert_int_equal(directory_rewrite(&d, str_of(rows[i].name), &got), rows[i].shown != NULL);
		assert_string_equal(buf_c(&got), rows[i].shown != NULL ? rows[i].shown : "");
	}
	write_aliases(aliases_text);
	directory_free(&d);
	buf_free(&text);
	buf_free(&got);
}

static void
an_address_is_explained_as_it_would_be_sent(void **state)
{
	static const struct {
		const char *text;
		int exit;
		const char *said;       /* %s is the aliases file */
	} rows[] = {
		{ "a@x", 0, "  a@x, by smtp.y.example port 587, from me@example.net\n" },
		{ "A <a@x>", 0, "  a@x, by smtp.y.example port 587, from me@example.net\n" },
		{ "carl", 0, "carl: [identity] domain: example.net\n"
		  "  carl@example.net, by smtp.y.example port 587, from me@example.net\n" },
		{ "root", 0, "root: [identity] root: admin@y.example\n"
		  "  admin@y.example, by smtp.y.example port 587, from me@example.net\n" },
		{ "carl@localhost", 0, "carl@localhost: [identity] domain: example.net\n"
		  "  carl@example.net, by smtp.y.example port 587, from me@example.net\n" },
		{ "Team", 0, "Team: %s line 1: ann, bob@x.example, root\n"
		  "  ann@x.example, by smtp.y.example port 587, from me@example.net\n"
		  "  bob@x.example, by smtp.y.example port 587, from me@example.net\n"
		  "  admin@y.example, by smtp.y.example port 587, from me@example.net\n" },
		{ "prog", EX_DATAERR, "prog: %s line 6: |/bin/cat\n" },
		{ "loop", EX_DATAERR, "loop: %s line 4: pool\n" },
		{ "", EX_DATAERR, "" },
		{ "<>", EX_DATAERR, "" },
		{ "a b", EX_DATAERR, "" },
		{ "a@x, b@x", EX_DATAERR, "" },
	};
	struct config c = usual();
	struct directory d = { .config = &c };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *p = strstr(rows[i].said, "%s");
		struct buf want = { 0 };
		struct why why = { 0 };
		char *said = NULL;
		size_t size = 0;
		FILE *f = open_memstream(&said, &size);
		enum outcome o = recipients_explain(&d, str_of(rows[i].text), f, &why);

		assert_int_equal(fclose(f), 0);
		buf_add(&want, rows[i].said, p != NULL ? (size_t)(p - rows[i].said) : strlen(rows[i].said));
		if (p != NULL)
			buf_addf(&want, "%s%s", aliases_path, p + 2);
		assert_int_equal(outcome_exit(o, &why), rows[i].exit);
		assert_string_equal(said, buf_c(&want));
		free(said);
		buf_free(&want);
	}
	directory_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_goes_through_aliases_root_and_domain_in_this_order),
		cmocka_unit_test(a_name_at_localhost_is_such_a_name),
		cmocka_unit_test(a_quoted_name_with_a_blank_is_a_name_too),
		cmocka_unit_test(without_root_and_aliases_names_get_the_domain),
		cmocka_unit_test(everybody_gets_it_once_in_the_order_of_the_first_mention),
		cmocka_unit_test(the_limit_counts_what_is_left_after_all_that),
		cmocka_unit_test(while_it_grows_it_stays_bounded),
		cmocka_unit_test(a_name_that_is_repeated_is_looked_up_once),
		cmocka_unit_test(what_cannot_be_sent_to_is_refused_by_name),
		cmocka_unit_test(a_file_that_is_missing_stops_names_and_nothing_else),
		cmocka_unit_test(a_file_that_was_written_elsewhere_need_not_be_here),
		cmocka_unit_test(wishes_go_with_the_recipient),
		cmocka_unit_test(of_two_mentions_the_first_ones_wishes_stay),
		cmocka_unit_test(who_is_taken_off_is_off),
		cmocka_unit_test(only_what_stands_for_a_name_is_shown_in_its_place),
		cmocka_unit_test(an_address_is_explained_as_it_would_be_sent),
	};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
