/* settings: what the service says of its configuration is what a caller goes by. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "address.h"
#include "desk.h"
#include "keys.h"
#include "person.h"
#include "settings.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LEAST "config /etc/subpost/subpost.ini\ndomain example.com\n"

/* The fields that are told. */
static void
expect_same(const struct config *a, const struct config *b)
{
	assert_string_equal(a->path, b->path);
	assert_string_equal(a->domain, b->domain);
	assert_string_equal(a->hostname, b->hostname);
	assert_string_equal(a->aliases, b->aliases);
	assert_string_equal(a->root, b->root);
	assert_string_equal(a->smarthost.host, b->smarthost.host);
	assert_string_equal(a->smarthost.senders, b->smarthost.senders);
	if (!a->smarthost.from_is_login)
		assert_string_equal(a->smarthost.from, b->smarthost.from);
	assert_int_equal(a->smarthost.from_is_login, b->smarthost.from_is_login);
	assert_int_equal(a->smarthost.from_header, b->smarthost.from_header);
	assert_int_equal(a->smarthost.force_from, b->smarthost.force_from);
	assert_int_equal(a->smarthost.port, b->smarthost.port);
	assert_int_equal(a->received, b->received);
	assert_int_equal(a->rewrite_to, b->rewrite_to);
	assert_true(a->max_size == b->max_size);
	assert_int_equal(a->max_recipients, b->max_recipients);
	assert_int_equal(a->wait, b->wait);
	assert_int_equal(a->dots_are_text, b->dots_are_text);
	assert_int_equal(a->subtract, b->subtract);
}

static void
tell_and_compare(const struct config *c)
{
	struct buf text = { 0 }, again = { 0 };
	struct config heard;
	struct why why = { 0 };

	settings_write(c, &text);
	if (settings_read(buf_str(&text), &heard, &why) != DONE)
		fail_msg("%s\n%s", why.text, buf_c(&text));
	expect_same(c, &heard);
	/* And what was heard is told in the same words. */
	settings_write(&heard, &again);
	assert_string_equal(buf_c(&again), buf_c(&text));
	config_free(&heard);
	buf_free(&text);
	buf_free(&again);
}

static void
put(char **at, const char *text)
{
	keys_put_text(at, str_of(text));
}

static void
make(struct config *c)
{
	config_defaults(c);
	put(&c->path, "/etc/subpost/subpost.ini");
	put(&c->domain, "example.com");
	put(&c->smarthost.host, "smtp.example.com");
	put(&c->smarthost.from, "me@example.com");
}

/* ---- there and back ---- */

static void
plain_values_are_heard_as_they_were_told(void **state)
{
	struct config c;

	(void)state;
	make(&c);
	tell_and_compare(&c);
	c.smarthost.from_is_login = true;
	tell_and_compare(&c);
	config_free(&c);
}

static const char *const paths[] = {
	"/etc/aliases", "/a b/c\\d", "/tab\there", "/line\nend", "/del\x7f", "/\xc3\xa9t\xc3\xa9", "/\xff\xfe\x80", "/x ",
	"/ ", "/\\x41", "/~", "/1\r\n2", "/\1\2\33",
};
static const char *const addresses[] = {
	"a@b.example", "\"a b\"@example.com", "\"a\\\"b\\\\c\"@example.com", "x+y=z@example.com", "a@[192.0.2.1]",
	"\xc3\xa9@\xc3\xa9.example", "header@example.com", "a@localhost",
};
static const char *const domains[] = {
	"example.com", "localhost", "\xc3\xa9t\xc3\xa9.example", "[192.0.2.1]", "[IPv6:2001:db8::1]", "a-b.c",
};
static const char *const patterns[] = {
	"", "*@example.com", "a@b.example *@*.example.com", "\xc3\xa9@*", "back\\slash@x", "\xff@*",
};

/* xorshift64: the same values everywhere. */
static uint64_t
draw(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x >> 8;
}

#define ONE_OF(a) ((a)[draw() % COUNT(a)])

static void
odd_values_are_heard_as_they_were_told(void **state)
{
	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct config c;

		make(&c);
		put(&c.path, ONE_OF(paths));
		put(&c.aliases, draw() % 4 == 0 ? "" : ONE_OF(paths));
		put(&c.domain, ONE_OF(domains));
		put(&c.hostname, draw() % 2 == 0 ? "" : "host.example.com");
		put(&c.root, draw() % 4 == 0 ? "" : ONE_OF(addresses));
		put(&c.smarthost.from, ONE_OF(addresses));
		put(&c.smarthost.host, draw() % 2 == 0 ? "2001:db8::1" : "smtp_1.example.com");
		put(&c.smarthost.senders, ONE_OF(patterns));
		c.smarthost.from_is_login = draw() % 3 == 0;
		c.smarthost.from_header = draw() % 2 == 0;
		c.smarthost.force_from = draw() % 2 == 0;
		c.smarthost.port = 1 + (unsigned)(draw() % 65535);
		c.received = draw() % 2 == 0;
		c.rewrite_to = draw() % 2 == 0;
		c.dots_are_text = draw() % 2 == 0;
		c.subtract = draw() % 2 == 0;
		c.max_size = 1024 + draw() % ((UINT64_C(1) << 40) - 1023);
		c.max_recipients = 1 + (unsigned)(draw() % ENVELOPE_RECIPIENTS_MAX);
		c.wait = (uint32_t)(draw() % 86401);
		tell_and_compare(&c);
		config_free(&c);
	}
}

static void
the_first_and_last_of_each_number_are_told(void **state)
{
	struct config c;

	(void)state;
	make(&c);
	c.smarthost.port = 1;
	c.max_size = 1024;
	c.max_recipients = 1;
	c.wait = 0;
	tell_and_compare(&c);
	c.smarthost.port = 65535;
	c.max_size = UINT64_C(1) << 40;
	c.max_recipients = ENVELOPE_RECIPIENTS_MAX;
	c.wait = 86400;
	tell_and_compare(&c);
	config_free(&c);
}

/* What a file says, as the service reads it. */
static void
a_configuration_that_was_read_is_told_whole(void **state)
{
	static const char ini[] = "[smarthost]\nhost = [2001:db8::7]:2525\nuser = \"me too\"@example.org\n"
	    "password = hush\nsenders = *@example.org,\n  \"x\"@y.example\nforce-from = yes\n"
	    "[identity]\nroot = Admin <admin@example.org>\naliases = /etc/mail aliases\n"
	    "[queue]\nmax-size = 2M\nwait = 5m\n[sendmail]\ndots = text\narguments = subtract\n";
	char path[] = "/tmp/subpost-settings-XXXXXX";
	struct buf text = { 0 };
	struct why why = { 0 };
	struct config c;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, ini, sizeof ini - 1), sizeof ini - 1);
	close(fd);
	if (config_read(&c, path, NULL, "/tmp", true, &why) != DONE)
		fail_msg("%s", why.text);
	unlink(path);
	tell_and_compare(&c);
	settings_write(&c, &text);
	/* Of a secret there is no word. */
	assert_null(strstr(buf_c(&text), "hush"));
	assert_null(strstr(buf_c(&text), "password"));
	assert_null(strstr(buf_c(&text), "user"));
	assert_non_null(strstr(buf_c(&text), "aliases /etc/mail aliases\n"));
	assert_non_null(strstr(buf_c(&text), "port 2525\n"));
	buf_free(&text);
	config_free(&c);
}

static void
it_is_added_to_what_is_there_a_line_each(void **state)
{
	struct buf text = { 0 };
	struct str rest, line;
	struct config c;

	(void)state;
	make(&c);
	buf_adds(&text, "subpost 1\n");
	settings_write(&c, &text);
	rest = buf_str(&text);
	assert_true(str_line(&rest, &line));
	assert_true(str_is(line, "subpost 1"));
	while (str_line(&rest, &line))
		assert_true(str_has(line, ' ') && !str_has_control(line));
	assert_int_equal(text.p[text.len - 1], '\n');
	buf_free(&text);
	config_free(&c);
}

/* A caller sees one account, that carries the mail of all whom some account carries;
 * to whom is the clerk's to know. */
static void
of_several_accounts_the_senders_are_told_together(void **state)
{
	static char none[] = "", work[] = "*@work.example", inner[] = "*@inner.example";
	struct smarthost more[] = { { .senders = none, .recipients = none },
		{ .senders = work, .recipients = inner }, { .senders = none, .recipients = inner } };
	static const struct {
		unsigned n;
		const char *senders;
	} rows[] = {
		{ 1, "*@example.com" }, { 2, "*@example.com *@work.example" }, { 3, "" },
	};
	struct config c, heard;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct buf text = { 0 };
		struct why why = { 0 };

		make(&c);
		put(&c.smarthost.senders, "*@example.com");
		c.more = more;
		c.nmore = rows[i].n;
		settings_write(&c, &text);
		assert_int_equal(settings_read(buf_str(&text), &heard, &why), DONE);
		assert_string_equal(heard.smarthost.senders, rows[i].senders);
		assert_string_equal(heard.smarthost.recipients, "");
		assert_int_equal(config_accounts(&heard), 1);
		assert_null(strstr(buf_c(&text), "inner"));
		c.more = NULL;
		c.nmore = 0;
		buf_free(&text);
		config_free(&heard);
		config_free(&c);
	}
}

/* The hello is one frame: what is too long for it, the clerk alone goes by. */
static void
a_list_too_long_for_a_hello_is_not_told(void **state)
{
	struct buf text = { 0 }, senders = { 0 };
	struct why why = { 0 };
	struct config c, heard;

	(void)state;
	make(&c);
	while (senders.len < DESK_FRAME_MAX)
		buf_adds(&senders, senders.len == 0 ? "*@example.com" : " *@example.com");
	put(&c.smarthost.senders, buf_c(&senders));
	settings_write(&c, &text);
	assert_true(text.len + sizeof DESK_HELLO_TEXT <= DESK_FRAME_MAX);
	assert_int_equal(settings_read(buf_str(&text), &heard, &why), DONE);
	assert_string_equal(heard.smarthost.senders, "");
	put(&c.smarthost.senders, "");
	expect_same(&c, &heard);
	config_free(&heard);
	config_free(&c);
	buf_free(&text);
	buf_free(&senders);
}

/* ---- a caller's end ---- */

static void
what_is_not_told_is_as_by_default(void **state)
{
	struct config c, normal;
	struct why why = { 0 };

	(void)state;
	assert_int_equal(settings_read(STR(LEAST), &c, &why), DONE);
	config_defaults(&normal);
	put(&normal.path, "/etc/subpost/subpost.ini");
	put(&normal.domain, "example.com");
	normal.smarthost.from_is_login = true;
	expect_same(&normal, &c);
	assert_string_equal(c.smarthost.name, "default");
	assert_non_null(c.directory);
	assert_non_null(c.smarthost.password_file);
	config_free(&normal);
	config_free(&c);
}

static void
words_of_a_newer_service_are_passed_over(void **state)
{
	struct config c;
	struct why why = { 0 };

	(void)state;
	assert_int_equal(settings_read(STR("future-key some value\nx\npassword hush\ndirectory /etc\n" LEAST), &c,
	    &why), DONE);
	assert_string_equal(c.directory, "");
	assert_int_equal(c.smarthost.password.len, 0);
	config_free(&c);
}

static void
an_account_without_an_address_gets_the_callers_login(void **state)
{
	struct buf want = { 0 };
	struct person p;
	struct config c;
	struct why why = { 0 };

	(void)state;
	if (person_by_uid(geteuid(), &p))
		buf_addf(&want, "%s@example.com", p.login);
	else
		buf_addf(&want, "uid-%u@example.com", (unsigned)geteuid());
	person_free(&p);
	assert_int_equal(settings_read(STR(LEAST), &c, &why), DONE);
	assert_string_equal(c.smarthost.from, buf_c(&want));
	assert_true(c.smarthost.from_is_login);
	config_free(&c);
	assert_int_equal(settings_read(STR("from x@y.example\n" LEAST), &c, &why), DONE);
	assert_string_equal(c.smarthost.from, "x@y.example");
	assert_false(c.smarthost.from_is_login);
	config_free(&c);
	buf_free(&want);
}

static void
a_caller_whom_nobody_knows_gets_his_number(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		struct config c;
		struct why why = { 0 };
		bool good = setresuid(4123456, 4123456, 4123456) == 0 &&
		    settings_read(STR(LEAST), &c, &why) == DONE &&
		    strcmp(c.smarthost.from, "uid-4123456@example.com") == 0 && c.smarthost.from_is_login;

		_exit(good ? 0 : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
what_is_no_such_text_is_refused(void **state)
{
	static const struct {
		struct str text;
		const char *why;
	} rows[] = {
		{ STR(""), "did not tell" }, { STR("domain example.com\n"), "did not tell" },
		{ STR("config /x\n"), "did not tell" },
		{ STR(LEAST "\n"), "\"\"" }, { STR(LEAST " domain x\n"), "\" domain x\"" },
		{ STR(LEAST "Domain x\n"), "\"Domain x\"" }, { STR(LEAST "dom\33ain x\n"), "\"dom\\x1bain x\"" },
		{ STR(LEAST "key\0 x\n"), "\\x00" }, { STR(LEAST "future a\\x00b\n"), "future" },
		{ STR(LEAST "aliases /a\\x00b\n"), "aliases" }, { STR(LEAST "aliases /a\\b\n"), "aliases" },
		{ STR(LEAST "aliases relative\n"), "aliases" }, { STR(LEAST "aliases /a\r\n"), "aliases" },
		{ STR(LEAST "port 0\n"), "port" }, { STR(LEAST "port 65536\n"), "port" }, { STR(LEAST "port x\n"), "port" },
		{ STR(LEAST "max-size 1\n"), "max-size" }, { STR(LEAST "max-recipients 0\n"), "max-recipients" },
		{ STR(LEAST "wait 86401\n"), "wait" }, { STR(LEAST "wait -1\n"), "wait" },
		{ STR(LEAST "from-header 1\n"), "from-header" }, { STR(LEAST "from-header\n"), "from-header" },
		{ STR(LEAST "from header\n"), "from" }, { STR(LEAST "from \n"), "from" },
		{ STR(LEAST "from a@b>\n"), "from" }, { STR(LEAST "from a b@c\n"), "from" },
		{ STR(LEAST "domain \n"), "domain" }, { STR(LEAST "domain a b\n"), "domain" },
		{ STR(LEAST "domain a@b\n"), "domain" }, { STR(LEAST "domain a\\x0ab\n"), "domain" },
		{ STR(LEAST "hostname localhost\n"), "hostname" }, { STR(LEAST "received perhaps\n"), "received" },
		{ STR(LEAST "root nobody\n"), "root" }, { STR(LEAST "senders example.com\n"), "senders" },
		{ STR(LEAST "config \n"), "config" }, { STR(LEAST "dots odd\n"), "dots" },
		{ STR(LEAST "arguments multiply\n"), "arguments" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config c;
		struct why why = { 0 };
		enum outcome o = settings_read(rows[i].text, &c, &why);

		if (o != NEVER || strstr(why.text, rows[i].why) == NULL ||
		    strstr(why.text, "restart") == NULL)
			fail_msg("row %zu: %d %s", i, o, why.text);
		assert_int_equal(outcome_exit(o, &why), 76);
		config_free(&c);
		config_free(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_values_are_heard_as_they_were_told),
		cmocka_unit_test(odd_values_are_heard_as_they_were_told),
		cmocka_unit_test(the_first_and_last_of_each_number_are_told),
		cmocka_unit_test(a_configuration_that_was_read_is_told_whole),
		cmocka_unit_test(it_is_added_to_what_is_there_a_line_each),
		cmocka_unit_test(of_several_accounts_the_senders_are_told_together),
		cmocka_unit_test(a_list_too_long_for_a_hello_is_not_told),
		cmocka_unit_test(what_is_not_told_is_as_by_default),
		cmocka_unit_test(words_of_a_newer_service_are_passed_over),
		cmocka_unit_test(an_account_without_an_address_gets_the_callers_login),
		cmocka_unit_test(a_caller_whom_nobody_knows_gets_his_number),
		cmocka_unit_test(what_is_no_such_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
