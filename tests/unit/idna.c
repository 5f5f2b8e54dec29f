/* idna: domains as the DNS knows them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "idna.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *in, *out;   /* NULL: it has none */
};

static void
check(bool (*convert)(const char *, struct buf *), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf out = { 0 };

		buf_adds(&out, "before ");
		assert_int_equal(convert(rows[i].in, &out), rows[i].out != NULL);
		assert_true(str_starts(buf_str(&out), "before "));
		assert_true(str_is(str_skip(buf_str(&out), 7), rows[i].out != NULL ? rows[i].out : ""));
		buf_free(&out);
	}
}

static bool
domain(const char *in, struct buf *out)
{
	return idna_domain(str_of(in), out);
}

static void
a_domain_has_a_labels(void **state)
{
	static const struct row rows[] = {
		{ "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
		{ "B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example" },
		{ "stra\xc3\x9f" "e.de", "xn--strae-oqa.de" },          /* nontransitional: not strasse.de */
		{ "\xe4\xbe\x8b\xe3\x81\x88\xe3\x80\x82\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
		{ "plain.example", "plain.example" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
	};

	(void)state;
	check(domain, rows, COUNT(rows));
}

static void
what_is_no_name_has_none(void **state)
{
	static const struct row rows[] = {
		{ "", NULL }, { "b\xfc" "cher.example", NULL }, { "\xc3\xb6 x.example", NULL },
		{ "\xe2\x80\x8b", NULL }, { "xn--\xc3\xb6.example", NULL },
		{ "\xc3\xb6>.example", NULL }, { "\xc3\xb6\xef\xbc\x9e.example", NULL }, { "\xc3\xb6\x01.example", NULL },
		{ "a..\xc3\xb6", NULL }, { ".\xc3\xb6", NULL },
		{ "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", NULL },
	};
	struct buf out = { 0 };

	(void)state;
	check(domain, rows, COUNT(rows));
	assert_false(idna_domain(STR("\xc3\xb6.example\0.evil"), &out));
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

static void
an_address_keeps_its_local_part(void **state)
{
	static const struct row rows[] = {
		{ "J.Doe+x@b\xc3\xbc" "cher.example", "J.Doe+x@xn--bcher-kva.example" },
		{ "\"a@b\"@b\xc3\xbc" "cher.example", "\"a@b\"@xn--bcher-kva.example" },
		{ "j@X.example", "j@X.example" }, { "j@[192.0.2.1]", "j@[192.0.2.1]" }, { "", "" }, { "bare", "bare" },
	};

	(void)state;
	check(idna_address, rows, COUNT(rows));
}

static void
a_local_part_that_is_not_ascii_has_no_other_form(void **state)
{
	static const struct row rows[] = {
		{ "j\xc3\xb6@x.example", NULL }, { "j\xc3\xb6@b\xc3\xbc" "cher.example", NULL }, { "\"\xc3\xb6\"@x", NULL },
		{ "j\xc3\xb6", NULL }, { "j@b\xfc.example", NULL },
	};

	(void)state;
	check(idna_address, rows, COUNT(rows));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		{ "E-17: a domain has A-labels", a_domain_has_a_labels, NULL, NULL, NULL },
		cmocka_unit_test(what_is_no_name_has_none),
		{ "E-17: an address keeps its local part", an_address_keeps_its_local_part, NULL, NULL, NULL },
		{ "E-17: a local part that is not ASCII has no other form",
		    a_local_part_that_is_not_ascii_has_no_other_form, NULL, NULL, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
