/* host: names and addresses of machines. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "host.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
assert_form(const char *text, bool good, bool is)
{
	if (good != is)
		fail_msg("\"%s\" is %s", text, is ? "taken" : "not taken");
}

static void
a_domain_is_labels_with_dots_between_them(void **state)
{
	static const struct {
		const char *text;
		bool plain, high;
	} rows[] = {
		{ "a", true, true }, { "example.com", true, true }, { "a-b.C3", true, true },
		{ "1.2", true, true }, { "xn--bcher-kva.example", true, true },
		{ "b\xc3\xbc" "cher.example", false, true },
		{ "", false, false }, { ".", false, false }, { ".a", false, false },
		{ "a.", false, false }, { "a..b", false, false }, { "-a", false, false },
		{ "a-", false, false }, { "a.-b", false, false }, { "a-.b", false, false },
		{ "a b", false, false }, { "a_b", false, false }, { "a@b", false, false },
		{ "[::1]", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_form(rows[i].text, rows[i].plain, host_is_domain(str_of(rows[i].text), false));
		assert_form(rows[i].text, rows[i].high, host_is_domain(str_of(rows[i].text), true));
	}
	assert_false(host_is_domain(STR("a\0b"), true));
}

static void
a_full_name_has_a_dot_and_is_neither_local_nor_a_number(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "host.example.com", true }, { "a.b", true }, { "1.example", true }, { "a.1b", true },
		{ "localhost.example.com", false }, { "LOCALHOST.localdomain", false },
		{ "localhost", false }, { "host", false }, { "192.0.2.1", false }, { "a.1", false },
		{ "a.b.", false }, { "a_b.example", false }, { "b\xc3\xbc.example", false }, { "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_form(rows[i].text, rows[i].good, host_is_full_name(str_of(rows[i].text)));
}

static void
a_server_is_a_name_or_an_address(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "smtp.example.com", true }, { "mail_1.lan", true }, { "192.0.2.1", true },
		{ "2001:db8::1", true }, { "::", true }, { "fe80::1%eth0", true },
		{ "", false }, { "fe80::1%", false }, { "%eth0", false }, { "[::1]", false },
		{ "a:25", false }, { "smtp://a", false }, { "b\xc3\xbc.example", false },
		{ "1:2:3:4:5:6:7:8:9", false },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_form(rows[i].text, rows[i].good, host_is_server(str_of(rows[i].text)));
}

static void
only_this_machine_is_loopback(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "localhost", true }, { "LocalHost", true }, { "127.0.0.1", true },
		{ "127.9.9.9", true }, { "::1", true },
		{ "", false }, { "localhost.example.com", false }, { "128.0.0.1", false },
		{ "127.0.0.1.example.com", false }, { "::2", false }, { "0.0.0.0", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_form(rows[i].text, rows[i].good, host_is_loopback(rows[i].text));
}

static void
a_port_is_split_from_its_host(void **state)
{
	static const struct {
		const char *text, *host, *port;         /* host NULL: not taken */
	} rows[] = {
		{ "a.example", "a.example", "" }, { "a.example:25", "a.example", "25" },
		{ "192.0.2.1:25", "192.0.2.1", "25" }, { "2001:db8::25", "2001:db8::25", "" },
		{ "[2001:db8::1]", "2001:db8::1", "" }, { "[2001:db8::1]:25", "2001:db8::1", "25" },
		{ "[fe80::1%eth0]:25", "fe80::1%eth0", "25" }, { "a:99999999", "a", "99999999" },
		{ "", NULL, NULL }, { ":25", NULL, NULL }, { "a:", NULL, NULL }, { "a:b", NULL, NULL },
		{ "a:25:26", NULL, NULL }, { "[", NULL, NULL }, { "[]", NULL, NULL },
		{ "[::1", NULL, NULL }, { "[a]:25", NULL, NULL }, { "[::1]25", NULL, NULL },
		{ "[::1]:", NULL, NULL }, { "[::1]:x", NULL, NULL }, { "a b:25", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct str host, port;
		bool taken = host_split(str_of(rows[i].text), &host, &port);

		assert_form(rows[i].text, rows[i].host != NULL, taken);
		if (taken) {
			assert_true(str_is(host, rows[i].host));
			assert_true(str_is(port, rows[i].port));
		}
	}
}

static void
an_address_is_of_either_kind_and_nothing_else(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "192.0.2.1", true }, { "127.0.0.1", true }, { "::1", true }, { "2001:db8::1", true },
		{ "fe80::1%eth0", true },
		{ "", false }, { "192.0.2", false }, { "192.0.2.256", false }, { "192.0.2.1 ", false },
		{ "192.0.2.1.", false }, { "0192.0.2.1", false }, { "localhost", false }, { "a.example", false },
		{ "[::1]", false }, { "::1%", false }, { ":", false }, { "192.000000000002.1", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_form(rows[i].text, rows[i].good, host_is_address(str_of(rows[i].text)));
	assert_false(host_is_address(STR("192.0.2.1\0")));
}

static void
a_host_is_inside_its_domain_and_those_above(void **state)
{
	static const struct {
		const char *host, *domain;
		bool is;
	} rows[] = {
		{ "example.com", "example.com", true }, { "mail.example.com", "example.com", true },
		{ "a.b.example.com", "example.com", true }, { "MAIL.Example.com", "example.COM", true },
		{ "mail.example.com.", "example.com", true }, { "mail.example.com", "example.com.", true },
		{ "evilexample.com", "example.com", false }, { "example.com", "mail.example.com", false },
		{ "example.com.evil.example", "example.com", false }, { "com", "example.com", false },
		{ "", "example.com", false }, { "example.com", "", false }, { ".", ".", false },
		{ "xexample.com", "example.com", false }, { "mail.example.org", "example.com", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (host_is_inside(str_of(rows[i].host), str_of(rows[i].domain)) != rows[i].is)
			fail_msg("%s is %sinside %s", rows[i].host, rows[i].is ? "not " : "", rows[i].domain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_domain_is_labels_with_dots_between_them),
		cmocka_unit_test(a_full_name_has_a_dot_and_is_neither_local_nor_a_number),
		cmocka_unit_test(a_server_is_a_name_or_an_address),
		cmocka_unit_test(only_this_machine_is_loopback),
		cmocka_unit_test(a_port_is_split_from_its_host),
		cmocka_unit_test(an_address_is_of_either_kind_and_nothing_else),
		cmocka_unit_test(a_host_is_inside_its_domain_and_those_above),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
