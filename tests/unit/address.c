#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "address.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *in;
	const char *out;        /* addresses between '|'; behind '!' a part of the refusal */
};

/* One line of what address_parse makes of text: "a@b|c@d", or "!" and why not. */
static void
show(struct str text, struct buf *out)
{
	struct address_list list = { 0 };
	struct why why = { 0 };
	enum outcome o = address_parse(text, &list, &why);

	buf_clear(out);
	if (o != DONE) {
		assert_int_equal(o, NEVER);
		assert_int_equal(why.exit, EX_DATAERR);
		buf_addf(out, "!%s", why.text);
	}
	for (size_t i = 0; o == DONE && i < list.n; i++) {
		if (i > 0)
			buf_addc(out, '|');
		buf_addstr(out, buf_str(&list.v[i].spec));
	}
	address_list_free(&list);
	address_list_free(&list);
}

static void
check_rows(const struct row *rows, size_t n)
{
	struct buf got = { 0 };

	for (size_t i = 0; i < n; i++) {
		show(str_of(rows[i].in), &got);
		if (rows[i].out[0] == '!' && got.len > 0 && got.p[0] == '!' &&
		    strstr(got.p, rows[i].out + 1) != NULL)
			continue;
		if (strcmp(buf_c(&got), rows[i].out) != 0)
			print_error("input: %s\n", rows[i].in);
		assert_string_equal(buf_c(&got), rows[i].out);
	}
	buf_free(&got);
}

#define CHECK(...) \
	do { \
		static const struct row rows[] = { __VA_ARGS__ }; \
		check_rows(rows, COUNT(rows)); \
	} while (0)

static void
plain_addresses_are_read_in_order_and_twice_if_they_stand_twice(void **state)
{
	(void)state;
	CHECK({ "a@b", "a@b" },
	    { "a@b,c@d", "a@b|c@d" },
	    { " c@d , a@b\t,c@d ", "c@d|a@b|c@d" },
	    { "first.last+tag=x@sub.example.org", "first.last+tag=x@sub.example.org" },
	    { "host!user", "host!user" },
	    { "user%host@relay", "user%host@relay" });
}

static void
nothing_is_an_empty_list(void **state)
{
	(void)state;
	CHECK({ "", "" }, { "  \t", "" }, { "(nobody)", "" }, { "\n ", "" });
}

static void
empty_elements_are_passed_over(void **state)
{
	(void)state;
	CHECK({ ",", "" }, { ",,a@b,", "a@b" }, { "a@b, , (x),c@d", "a@b|c@d" });
}

static void
a_quoted_comma_does_not_split_a_recipient(void **state)
{
	(void)state;
	CHECK({ "\"a,b\"@x", "\"a,b\"@x" },
	    { "\"Doe, J\" <j@x>, k@y", "j@x|k@y" },
	    { "\"a\\\",b\"@x, c@d", "\"a\\\",b\"@x|c@d" });
}

/* Forbidden in a name (RFC 2047 section 5), and written all the same: split at
 * the comma, it would name somebody whom nobody meant. */
static void
an_encoded_word_with_a_comma_is_a_name_and_no_recipient(void **state)
{
	(void)state;
	CHECK({ "=?UTF-8?Q?Doe,_J?= <j@x>, k@y", "j@x|k@y" },
	    { "=?utf-8?q?a@b?= =?utf-8?q?(c)?= <j@x>", "j@x" },
	    { "=?UTF-8?Q?Friends,_all?=: j@x;", "j@x" },
	    { "=?UTF-8?Q?J?= <j@x>", "j@x" },
	    { "=?UTF-8?Q?J?=@x", "=?UTF-8?Q?J?=@x" },
	    { "=?UTF-8?Q?a,b?=@x", "!an encoded word stands where its local part should" },
	    { "=?a,b?Q?c?= <j@x>", "=?a|j@x" },     /* that is no charset */
	    { "=?UTF-8?Q?a, b@y", "=?UTF-8?Q?a|b@y" },       /* and that has no end */
	    { "=?UTF-8?Q?a,<j@x>?=", "!" },
	    { "=?-??.  ?=&@x", "\"=?-??.?=&\"@x" },          /* it is none, and would become one */
	    { "=?x?q?b@x. ?=", "\"=?x?q?b\"@x.?=" },
	    { "a.=?x?q?b. c?=@x", "\"a.=?x?q?b.c?=\"@x" },
	    { "\"=?x?q?b.c?=\"@x", "\"=?x?q?b.c?=\"@x" },
	    { "=?,", "=?" });
}

static void
quotes_are_kept_only_where_they_are_needed(void **state)
{
	(void)state;
	CHECK({ "\"a\"@x", "a@x" },
	    { "\"a.b\"@x", "a.b@x" },
	    { "\"a\".b@x", "a.b@x" },
	    { "\"a b\"@x", "\"a b\"@x" },
	    { "\"a\\\"b\"@x", "\"a\\\"b\"@x" },
	    { "\"a\\\\b\"@x", "\"a\\\\b\"@x" },
	    { "\"\"@x", "\"\"@x" },
	    { "\"a@b\"@x", "\"a@b\"@x" },
	    { "\"a..b\"@x", "\"a..b\"@x" },
	    { "\".a\"@x", "\".a\"@x" },
	    { "\"a\\b\"@x", "ab@x" });
}

static void
the_case_of_a_local_part_stays(void **state)
{
	(void)state;
	CHECK({ "MiXeD@EXAMPLE.org", "MiXeD@EXAMPLE.org" },
	    { "\"MiX eD\"@Example.ORG", "\"MiX eD\"@Example.ORG" });
}

static void
names_and_angle_brackets_lead_to_the_address(void **state)
{
	(void)state;
	CHECK({ "<a@b>", "a@b" },
	    { "John Doe <a@b>", "a@b" },
	    { "John Q. Public <a@b>", "a@b" },
	    { "\"John\" \"Doe\" <a@b>", "a@b" },
	    { "=?utf-8?q?J=C3=B6rg?= <a@b>", "a@b" },
	    { "\"<x@y>\" < a@b >", "a@b" },
	    { "\"(Cron Daemon)\" <root>", "root" });
}

static void
bare_names_are_addresses(void **state)
{
	(void)state;
	CHECK({ "root", "root" }, { "root, <www-data>", "root|www-data" },
	    { "\"a\"", "a" }, { "\"a b\"", "\"a b\"" }, { "Postmaster", "Postmaster" });
}

static void
comments_stand_anywhere_and_nest(void **state)
{
	(void)state;
	CHECK({ "a(one)@(two)b(three)", "a@b" },
	    { "(x)a@b(y (z) \\) \"),(w)c@d", "a@b|c@d" },
	    { "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test" },
	    { "a@b (never, split, me)", "a@b" });
}

static void
space_and_comments_around_dots_are_old_but_legal(void **state)
{
	(void)state;
	CHECK({ "a . b@c . d", "a.b@c.d" },
	    { "a(x).(y)b@c.(z)d", "a.b@c.d" },
	    { "a @ b", "a@b" });
}

static void
folding_is_space(void **state)
{
	(void)state;
	CHECK({ "a@b,\n c@d", "a@b|c@d" },
	    { "a@b,\r\n\tc@d", "a@b|c@d" },
	    { "John\n Doe\n <a@b>", "a@b" },
	    { "\"a\n b\"@x", "\"a b\"@x" },
	    { "a@b (x\n y)", "a@b" },
	    { "a@[1.2\n .3.4]", "a@[1.2.3.4]" },
	    { "\n \n a@b\n \n ", "a@b" });
}

static void
a_line_break_that_is_not_folding_is_refused(void **state)
{
	(void)state;
	CHECK({ "a@b\nc@d", "!control" }, { "a@b\n", "!control" }, { "a@b\r c@d", "!control" },
	    { "\"a\nb\"@x", "!control" }, { "(a\n)b@c", "!control" }, { "a@b\r\nRCPT TO:<c@d>", "!control" });
}

static void
address_literals_pass_unchanged(void **state)
{
	(void)state;
	CHECK({ "a@[192.0.2.1]", "a@[192.0.2.1]" },
	    { "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]" },
	    { "A <a@[ 192.0.2.1 ]>", "a@[192.0.2.1]" });
}

static void
a_literal_holds_an_address_and_nothing_else(void **state)
{
	(void)state;
	CHECK({ "a@[]", "!no IP address" }, { "a@[1.2.3.4", "!missing ']'" },
	    { "a@[1.2.3.4>]", "!more than an IP" }, { "a@[a[b]", "!more than an IP" },
	    { "a@[1]b", "!space is in it" });
}

static void
groups_are_flattened(void **state)
{
	(void)state;
	CHECK({ "undisclosed-recipients:;", "" },
	    { "x: a@b, c@d;", "a@b|c@d" },
	    { "a@b, x y: c@d, \"e,f\" <g@h>; (end), i@j", "a@b|c@d|g@h|i@j" },
	    { "\"Q. Group\":a@b;,x:;", "a@b" },
	    { "x: , a@b ,, ;", "a@b" },
	    { "undisclosed-recipients:", "" },
	    { "x: a@b, c@d", "a@b|c@d" },
	    { "i@j, x: a@b", "i@j|a@b" });
}

static void
broken_groups_are_refused(void **state)
{
	(void)state;
	CHECK({ "x: y: a@b;;", "!inside a group" },
	    { ": a@b;", "!a ':' stands" },
	    { "a@b; c@d", "!a ';' stands outside" },
	    { "x: a@b; c@d", "!put a comma after its ';'" },
	    { "a@b;", "!outside a group" },
	    { "x:;;", "!put a comma" });
}

static void
routes_are_left_out(void **state)
{
	(void)state;
	CHECK({ "<@a,@b:c@d>", "c@d" }, { "Name <@a:c@d>", "c@d" },
	    { "<@a , , @[1.2.3.4], : c@d>", "c@d" });
}

static void
broken_routes_are_refused(void **state)
{
	(void)state;
	CHECK({ "<@a c@d>", "!nothing before its '@'" }, { "<,:c@d>", "!nothing before" },
	    { "<@a@b:c@d>", "!nothing before" }, { "<@a:>", "!'<' before its '>'" },
	    { "@a:c@d", "!nothing before" }, { "<@a", "!nothing before" });
}

static void
a_space_does_not_join_two_words_into_an_address(void **state)
{
	(void)state;
	CHECK({ "foo bar", "!put commas between addresses" }, { "foo bar@x", "!space" },
	    { "a@b c@d", "!space" }, { "<a b@c>", "!space" }, { "\"a\"b@x", "!space" },
	    { "a@b.c d", "!space" }, { "\"a\" \"b\"@x", "!space" });
}

static void
what_is_unbalanced_is_refused(void **state)
{
	(void)state;
	CHECK({ "\"a@b", "!missing '\"'" }, { "\"a@b\\\"", "!missing '\"'" }, { "a@b (x", "!missing ')'" },
	    { "a@b (x\\)", "!missing ')'" }, { "a@b)", "!'(' before" }, { "<a@b", "!missing '>'" },
	    { "a@b>", "!'<' before" }, { "a@b]", "!'[' before" }, { "<<a@b>>", "!a '<' stands" },
	    { "<a@b>>", "!'<' before" }, { "\"a\\", "!backslash" }, { "(a\\", "!backslash" });
}

static void
incomplete_addresses_are_refused(void **state)
{
	(void)state;
	CHECK({ "a@", "!domain" }, { "@b", "!nothing before" }, { "@", "!nothing before" },
	    { "a@b@c", "!second '@'" }, { "a@b.", "!domain" }, { "a@.b", "!domain" },
	    { "a@b..c", "!domain" }, { "a..b@c", "!a dot" }, { ".a@c", "!a dot" }, { "a.@c", "!a dot" },
	    { "a.", "!a dot" }, { "<>", "!no address between" }, { "Name <>", "!no address between" },
	    { "a\\b@c", "!backslash" }, { "<a@b> c@d", "!space" }, { "a@b <c@d>", "!quotes around the name" },
	    { "[1.2.3.4]", "!outside the domain" });
}

static void
eight_bit_octets_pass_in_atoms_and_quotes(void **state)
{
	(void)state;
	CHECK({ "j\xc3\xb6rg@b\xc3\xbc" "cher.example", "j\xc3\xb6rg@b\xc3\xbc" "cher.example" },
	    { "\"j\xc3\xb6rg x\"@y", "\"j\xc3\xb6rg x\"@y" },
	    { "J\xc3\xb6rg <a@b>", "a@b" }, { "a@b (\xff)", "a@b" }, { "\xff@b", "\xff@b" });
}

static void
no_control_octet_passes_at_any_place(void **state)
{
	static const char *const places[] = { "%a@b", "a%@b", "a@%b", "a@b%", "\"%\"@b", "\"\\%\"@b",
		"N%me <a@b>", "\"%\" <a@b>", "a@b (%)", "a@b (\\%)", "a@[%]", "<a@b%>", "x%: a@b;",
		"<@a%b:c@d>" };
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		for (int c = 0; c < 0x80; c++) {
			if (c == '\t' || (c >= 0x20 && c != 0x7f))
				continue;
			buf_clear(&text);
			buf_adds(&text, places[i]);
			text.p[str_find(buf_str(&text), '%')] = (char)c;
			show(buf_str(&text), &got);
			if (strstr(buf_c(&got), "control character") == NULL)
				print_error("%s with %d: %s\n", places[i], c, buf_c(&got));
			assert_non_null(strstr(buf_c(&got), "control character"));
		}
	}
	buf_free(&text);
	buf_free(&got);
}

static void
a_tab_is_space_but_never_part_of_an_address(void **state)
{
	(void)state;
	CHECK({ "a@b\t", "a@b" }, { "\"N\tN\" <a@b>", "a@b" }, { "\"a\tb\"@x", "!a tab" },
	    { "\"a\\\tb\"@x", "!a tab" });
}

static void
comments_nest_64_deep_and_no_deeper(void **state)
{
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	for (int depth = 64; depth <= 65; depth++) {
		buf_clear(&text);
		for (int i = 0; i < depth; i++)
			buf_addc(&text, '(');
		for (int i = 0; i < depth; i++)
			buf_addc(&text, ')');
		buf_adds(&text, "a@b");
		show(buf_str(&text), &got);
		if (depth == 64)
			assert_string_equal(buf_c(&got), "a@b");
		else
			assert_non_null(strstr(buf_c(&got), "nested too deep"));
	}
	buf_free(&text);
	buf_free(&got);
}

static void
an_address_over_its_limit_is_refused(void **state)
{
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	for (size_t i = 0; i < ADDRESS_MAX - 2; i++)
		buf_addc(&text, 'a');
	buf_adds(&text, "@b");
	show(buf_str(&text), &got);
	assert_int_equal(got.len, ADDRESS_MAX);
	buf_addc(&text, 'c');
	show(buf_str(&text), &got);
	assert_non_null(strstr(buf_c(&got), "longer than any mailbox"));
	buf_free(&text);
	buf_free(&got);
}

static void
a_refusal_shows_the_element_masked_and_cut(void **state)
{
	struct buf text = { 0 }, got = { 0 };

	(void)state;
	show(STR("good@x, bad \x1b[2J\xe2\x80\xae@x"), &got);
	assert_string_equal(buf_c(&got), "!not an address: bad \\x1b[2J\\u{202e}@x: "
	    "it holds a control character; remove that");
	for (int i = 0; i < 5000; i++)
		buf_adds(&text, "long ");
	show(buf_str(&text), &got);
	assert_non_null(strstr(buf_c(&got), "...: a space is in it"));
	assert_true(got.len < 300);
	buf_free(&text);
	buf_free(&got);
}

static void
addresses_read_before_a_refusal_may_stay_and_are_freed(void **state)
{
	struct address_list list = { 0 };
	struct why why = { 0 };

	(void)state;
	assert_int_equal(address_parse(STR("a@b, c d"), &list, &why), NEVER);
	assert_int_equal(why.exit, EX_DATAERR);
	assert_int_equal(list.n, 1);
	assert_int_equal(address_parse(STR("e@f"), &list, &why), DONE);
	assert_int_equal(list.n, 2);
	address_list_free(&list);
	assert_null(list.v);
}

static void
display_names_are_unquoted_and_unfolded(void **state)
{
	static const struct row rows[] = {
		{ "a@b", "" }, { "<a@b>", "" },
		{ "John Q. Public <a@b>", "John Q. Public" },
		{ "John\n Doe(x)Jr <a@b>", "John Doe Jr" },
		{ "\"Doe, \\\"J\\\"\n \\\\\" <a@b>", "Doe, \"J\" \\" },
		{ "\"A\tB\" <a@b>", "A B" },
		{ "=?utf-8?q?J=C3=B6rg?= =?utf-8?q?X?= <a@b>", "=?utf-8?q?J=C3=B6rg?= =?utf-8?q?X?=" },
		{ "\"(Cron Daemon)\" <root>", "(Cron Daemon)" },
		{ "root (Cron Daemon)", "Cron Daemon" },
		{ "(not me) a@b (J\\. (Jr)\n D)", "J. (Jr) D" },
		{ "<a@b> (John)", "" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_list list = { 0 };
		struct why why;

		assert_int_equal(address_parse(str_of(rows[i].in), &list, &why), DONE);
		assert_int_equal(list.n, 1);
		assert_string_equal(buf_c(&list.v[0].name), rows[i].out);
		address_list_free(&list);
	}
}

static void
bare_end_says_where_the_domain_goes(void **state)
{
	/* '#' in the second column marks the place. */
	static const struct row rows[] = {
		{ "root", "root#" },
		{ " root (Cron) ", " root# (Cron) " },
		{ "\"(Cron Daemon)\" <root>", "\"(Cron Daemon)\" <root#>" },
		{ "N < root (x) >", "N < root# (x) >" },
		{ "x: \"a b\" ;", "x: \"a b\"# ;" },
		{ "a . b , c@d", "a . b# , c@d" },
		{ "<@r:a>", "<@r:a#>" },
	};
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_list list = { 0 };
		struct why why;

		assert_int_equal(address_parse(str_of(rows[i].in), &list, &why), DONE);
		buf_clear(&got);
		buf_add(&got, rows[i].in, list.v[0].bare_end);
		buf_addf(&got, "#%s", rows[i].in + list.v[0].bare_end);
		assert_string_equal(buf_c(&got), rows[i].out);
		if (list.n > 1)
			assert_true(list.v[1].bare_end == SIZE_MAX);
		address_list_free(&list);
	}
	buf_free(&got);
}

static void
a_bare_mailbox_says_where_it_stands(void **state)
{
	/* In the second column '#' is before and behind it, '^' before its '<'. */
	static const struct row rows[] = {
		{ "root", "#root#" },
		{ " root (Cron) ", " #root# (Cron) " },
		{ "\"(Cron Daemon)\" <root>, x", "#\"(Cron Daemon)\" ^<root>#, x" },
		{ "(c) Root R. (d) < root (x) >(y)", "(c) #Root R. (d) ^< root (x) >#(y)" },
		{ "(c) <root>", "(c) #^<root>#" },
		{ "x: \"a b\" ;", "x: #\"a b\"# ;" },
		{ "a . b , c@d", "#a . b# , c@d" },
		{ "N <@r:a>", "#N ^<@r:a>#" },
	};
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address_list list = { 0 };
		const struct address *a;
		struct why why;

		assert_int_equal(address_parse(str_of(rows[i].in), &list, &why), DONE);
		a = &list.v[0];
		buf_clear(&got);
		for (size_t at = 0; at <= strlen(rows[i].in); at++) {
			buf_adds(&got, at == a->begin || at == a->end ? "#" : "");
			buf_adds(&got, at == a->angle ? "^" : "");
			buf_add(&got, rows[i].in + at, at < strlen(rows[i].in));
		}
		assert_string_equal(buf_c(&got), rows[i].out);
		address_list_free(&list);
	}
	buf_free(&got);
}

static void
of_the_same_address_all_but_the_first_are_repeated(void **state)
{
	static const struct {
		const char *spec;
		bool repeated;
	} rows[] = {
		{ "a@x.example", false }, { "b@x.example", false }, { "a@X.Example", true },
		{ "A@x.example", false }, { "a", false }, { "a@x.example.org", false }, { "a", true },
		{ "\"a@b\"@x", false }, { "a@x.example", true }, { "\"a@b\"@X", true }, { "", false },
		{ "", true }, { "b@x.EXAMPLE", true }, { "\"a@b\"", false },
	};
	struct str v[COUNT(rows)];
	bool repeated[COUNT(rows)];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		v[i] = str_of(rows[i].spec);
	address_find_repeated(v, COUNT(rows), repeated);
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(repeated[i], rows[i].repeated);
	address_find_repeated(NULL, 0, NULL);
}

static void
one_mailbox_or_none_is_read_where_one_is_wanted(void **state)
{
	static const struct row rows[] = {
		{ "", "" }, { " \t", "" }, { "<>", "" }, { " < (null) > ", "" },
		{ "a@b", "a@b" }, { "<a@b>", "a@b" }, { "Name <a@b>", "a@b" }, { "root", "root" },
		{ "<@x:a@b>", "a@b" },
		{ "a@b, c@d", "!several" }, { "(x)", "!is none" }, { ",", "!is none" },
		{ "x: a@b;", "!':'" }, { "x:;", "!':'" }, { "Name <>", "!no address" }, { "a b", "!space" },
		{ "<>, a@b", "!several" },
	};
	struct buf spec = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why = { 0 };
		enum outcome o;

		buf_clear(&spec);
		buf_adds(&spec, "old");
		o = address_parse_one(str_of(rows[i].in), &spec, &why);
		if (rows[i].out[0] == '!') {
			assert_int_equal(o, NEVER);
			assert_int_equal(why.exit, EX_DATAERR);
			assert_non_null(strstr(why.text, rows[i].out + 1));
		} else {
			assert_int_equal(o, DONE);
			assert_string_equal(buf_c(&spec), rows[i].out);
		}
	}
	buf_free(&spec);
}

static void
the_domain_begins_behind_the_last_unquoted_at(void **state)
{
	static const struct row rows[] = {
		{ "a@b", "b" }, { "\"a@b\"@c", "c" }, { "\"a\\\"@b\"@c", "c" },
	};
	static const char *const without[] = { "", "root", "\"a@b\"", "\"a\\\"@b\"" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(address_has_domain(str_of(rows[i].in)));
		assert_true(str_is(address_domain(str_of(rows[i].in)), rows[i].out));
	}
	for (size_t i = 0; i < COUNT(without); i++) {
		assert_false(address_has_domain(str_of(without[i])));
		assert_int_equal(address_domain(str_of(without[i])).len, 0);
	}
}

static void
bare_local_parts_are_qualified_and_others_stay(void **state)
{
	static const struct row rows[] = {
		{ "root", "root@x.test" }, { "postmaster", "postmaster@x.test" },
		{ "\"a@b\"", "\"a@b\"@x.test" }, { "a@b", "a@b" }, { "", "" },
	};
	struct buf spec = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&spec);
		buf_adds(&spec, rows[i].in);
		address_qualify(&spec, STR("x.test"));
		assert_string_equal(buf_c(&spec), rows[i].out);
	}
	buf_clear(&spec);
	buf_adds(&spec, "root");
	address_qualify(&spec, STR(""));
	assert_string_equal(buf_c(&spec), "root");
	buf_free(&spec);
}

static void
domains_are_compared_without_case_and_local_parts_with(void **state)
{
	(void)state;
	assert_true(address_same(STR("a@Example.ORG"), STR("a@example.org")));
	assert_false(address_same(STR("A@example.org"), STR("a@example.org")));
	assert_false(address_same(STR("a@example.org"), STR("a@example.com")));
	assert_false(address_same(STR("a"), STR("a@x")));
	assert_true(address_same(STR("a"), STR("a")));
	assert_true(address_same(STR(""), STR("")));
	assert_false(address_same(STR("\"a@B\"@x"), STR("\"a@b\"@x")));
	assert_true(address_same(STR("\"a@B\"@x"), STR("\"a@B\"@X")));
}

static void
only_what_cannot_break_a_command_is_sendable(void **state)
{
	static const char *const good[] = { "", "a", "a@b", "\"a b\"@c", "\"<>\"@c", "\"a\\\"b\"@c",
		"\"\"@c", "\"a b\"", "j\xc3\xb6rg@x", "a@[IPv6:::1]" };
	static const char *const bad[] = { " ", "a b@c", "a@b c", "<a@b>", "a@b>", "a@b SIZE=1",
		"\"a b@c", "\"a\"b@c", "a\"b c\"@d", "a@\"b c\"", "a\\b@c", "\"a\\", "@b", "a@", "a@b@c",
		"\"a\"@b@c", "a\tb@c", "\"a\tb\"@c" };
	struct buf text = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(address_is_sendable(str_of(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (address_is_sendable(str_of(bad[i])))
			print_error("%s\n", bad[i]);
		assert_false(address_is_sendable(str_of(bad[i])));
	}
	for (size_t i = 0; i < ADDRESS_MAX; i++)
		buf_addc(&text, 'a');
	assert_true(address_is_sendable(buf_str(&text)));
	buf_addc(&text, 'a');
	assert_false(address_is_sendable(buf_str(&text)));
	buf_free(&text);
}

static void
no_control_octet_is_sendable_at_any_place(void **state)
{
	static const char *const places[] = { "%@b", "a%@b", "a@%", "a@b%", "\"%\"@b", "\"\\%\"@b", "%" };

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		struct buf text = { 0 };
		size_t at;

		buf_adds(&text, places[i]);
		at = str_find(buf_str(&text), '%');
		for (int c = 0; c < 256; c++) {
			text.p[at] = (char)c;
			if (c < 0x20 || c == 0x7f)
				assert_false(address_is_sendable(buf_str(&text)));
		}
		buf_free(&text);
	}
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Whatever comes in: what is read may be sent, reads as itself, and is bare
 * where it says so. */
static void
random_octets_never_make_an_address_that_cannot_be_sent(void **state)
{
	static const char pieces[] = "aab.@@,;:<>()[]\"\\ \t\n\r\x01\xc3\xa4\xff";
	uint32_t seed = 20261125;
	struct buf text = { 0 }, spec = { 0 };
	size_t good = 0;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		struct address_list list = { 0 };
		struct why why;
		size_t len = next_random(&seed) % 24;

		buf_clear(&text);
		while (text.len < len)
			buf_addc(&text, round % 8 == 0 ? (char)next_random(&seed) :
			    pieces[next_random(&seed) % sizeof pieces]);
		if (address_parse(buf_str(&text), &list, &why) == DONE) {
			for (size_t i = 0; i < list.n; i++) {
				struct str s = buf_str(&list.v[i].spec);

				assert_true(s.len > 0 && address_is_sendable(s));
				assert_int_equal(address_parse_one(s, &spec, &why), DONE);
				assert_true(str_eq(buf_str(&spec), s));
				assert_int_equal(address_has_domain(s), list.v[i].bare_end == SIZE_MAX);
			}
			good += list.n;
		}
		address_list_free(&list);
	}
	assert_true(good > 1000);
	buf_free(&text);
	buf_free(&spec);
}

static void
a_million_octets_of_anything_take_no_time(void **state)
{
	static const char *const units[] = { "(", "\"", "a ", "<", "a@b,", ",", ":", ".", "a.", "\n ",
		"x:;,", "\\", "()", "@a," };
	struct buf text = { 0 };
	clock_t start = clock();

	(void)state;
	for (size_t i = 0; i < COUNT(units); i++) {
		struct address_list list = { 0 };
		struct why why;

		buf_clear(&text);
		if (units[i][0] == '@')
			buf_addc(&text, '<');
		while (text.len < 1u << 20)
			buf_adds(&text, units[i]);
		address_parse(buf_str(&text), &list, &why);
		address_list_free(&list);
		/* Time that grows with the square would be minutes. */
		assert_true(clock() - start < 15 * CLOCKS_PER_SEC);
	}
	buf_free(&text);
}

static void
what_holds_an_address_is_hidden(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "", "" },
		{ "AUTH answered: 535 5.7.8 failed; check user", "AUTH answered: 535 5.7.8 failed; check user" },
		{ "sender <a@b.example> no", "sender <...> no" },
		{ "sender <a> no", "sender <...> no" },
		{ "sender <> no", "sender <...> no" },
		{ "a@b.example: no", "<...> no" },
		{ "no: a@b.example", "no: <...>" },
		{ "no (a@b.example); ask", "no (<...>); ask" },
		{ "no a@b.example,c@d.example;e@f.example", "no <...>,<...>;<...>" },
		{ "for:a@b.example no", "for:<...> no" },
		{ "no \"john smith\"@b.example now", "no <...> now" },
		{ "no x \"a\"@b.example", "no x <...>" },
		{ "no smith\"@b.example now", "<...> now" },
		{ "an @ alone", "an <...> alone" },
		{ "@b.example and @", "<...> and <...>" },
		{ "a@b@c.example", "<...>" },
		{ "an <unclosed a@b.example", "an <unclosed <...>" },
		{ "<a <b@c.example> d> e", "<...> d> e" },
		{ "1 < 2", "1 < 2" },
		{ "g\xc3\xa4ste@b.example voll", "<...> voll" },
	};
	struct buf shown = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		buf_clear(&shown);
		address_hide(str_of(rows[i].text), &shown);
		assert_string_equal(buf_c(&shown), rows[i].shown);
	}
	buf_free(&shown);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_addresses_are_read_in_order_and_twice_if_they_stand_twice),
		cmocka_unit_test(nothing_is_an_empty_list),
		cmocka_unit_test(empty_elements_are_passed_over),
		cmocka_unit_test(a_quoted_comma_does_not_split_a_recipient),
		cmocka_unit_test(an_encoded_word_with_a_comma_is_a_name_and_no_recipient),
		cmocka_unit_test(quotes_are_kept_only_where_they_are_needed),
		cmocka_unit_test(the_case_of_a_local_part_stays),
		cmocka_unit_test(names_and_angle_brackets_lead_to_the_address),
		cmocka_unit_test(bare_names_are_addresses),
		cmocka_unit_test(comments_stand_anywhere_and_nest),
		cmocka_unit_test(space_and_comments_around_dots_are_old_but_legal),
		cmocka_unit_test(folding_is_space),
		cmocka_unit_test(a_line_break_that_is_not_folding_is_refused),
		cmocka_unit_test(address_literals_pass_unchanged),
		cmocka_unit_test(a_literal_holds_an_address_and_nothing_else),
		cmocka_unit_test(groups_are_flattened),
		cmocka_unit_test(broken_groups_are_refused),
		cmocka_unit_test(routes_are_left_out),
		cmocka_unit_test(broken_routes_are_refused),
		cmocka_unit_test(a_space_does_not_join_two_words_into_an_address),
		cmocka_unit_test(what_is_unbalanced_is_refused),
		cmocka_unit_test(incomplete_addresses_are_refused),
		cmocka_unit_test(eight_bit_octets_pass_in_atoms_and_quotes),
		cmocka_unit_test(no_control_octet_passes_at_any_place),
		cmocka_unit_test(a_tab_is_space_but_never_part_of_an_address),
		cmocka_unit_test(comments_nest_64_deep_and_no_deeper),
		{ "L-06: an address over its limit is refused", an_address_over_its_limit_is_refused, NULL, NULL, NULL },
		cmocka_unit_test(a_refusal_shows_the_element_masked_and_cut),
		cmocka_unit_test(addresses_read_before_a_refusal_may_stay_and_are_freed),
		cmocka_unit_test(display_names_are_unquoted_and_unfolded),
		cmocka_unit_test(bare_end_says_where_the_domain_goes),
		cmocka_unit_test(a_bare_mailbox_says_where_it_stands),
		cmocka_unit_test(of_the_same_address_all_but_the_first_are_repeated),
		cmocka_unit_test(one_mailbox_or_none_is_read_where_one_is_wanted),
		cmocka_unit_test(the_domain_begins_behind_the_last_unquoted_at),
		cmocka_unit_test(bare_local_parts_are_qualified_and_others_stay),
		cmocka_unit_test(domains_are_compared_without_case_and_local_parts_with),
		cmocka_unit_test(only_what_cannot_break_a_command_is_sendable),
		cmocka_unit_test(no_control_octet_is_sendable_at_any_place),
		cmocka_unit_test(random_octets_never_make_an_address_that_cannot_be_sent),
		cmocka_unit_test(a_million_octets_of_anything_take_no_time),
		cmocka_unit_test(what_holds_an_address_is_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
