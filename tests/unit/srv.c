/* srv: which servers a domain's DNS names, whoever has written the answer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "srv.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NAME "_submissions._tcp.example.com"

enum { SRV = 33, CNAME = 5, A = 1, IN = 1, CHAOS = 3 };

static void
put_two(struct buf *out, unsigned n)
{
	buf_addc(out, (char)(n >> 8));
	buf_addc(out, (char)n);
}

/* "a.b" as labels; "" is the root. */
static void
put_name(struct buf *out, const char *name)
{
	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		buf_addc(out, (char)len);
		buf_add(out, name, len);
		name += len + (name[len] == '.');
	}
	buf_addc(out, '\0');
}

static void
put_header(struct buf *out, unsigned flags, unsigned answers)
{
	buf_clear(out);
	put_two(out, 0x1234);
	put_two(out, flags);
	put_two(out, 1);
	put_two(out, answers);
	put_two(out, 0);
	put_two(out, 0);
	put_name(out, NAME);
	put_two(out, SRV);
	put_two(out, IN);
}

static void
put_record(struct buf *out, const char *owner, unsigned type, unsigned class, struct str data)
{
	put_name(out, owner);
	put_two(out, type);
	put_two(out, class);
	put_two(out, 0);
	put_two(out, 60);
	put_two(out, (unsigned)data.len);
	buf_addstr(out, data);
}

static void
put_srv(struct buf *out, const char *owner, unsigned priority, unsigned weight, unsigned port,
    const char *target)
{
	struct buf data = { 0 };

	put_two(&data, priority);
	put_two(&data, weight);
	put_two(&data, port);
	put_name(&data, target);
	put_record(out, owner, SRV, IN, buf_str(&data));
	buf_free(&data);
}

/* "host:port ..." of what was found. */
static void
expect(const struct srv *found, const char *hosts)
{
	struct buf all = { 0 };

	for (unsigned i = 0; i < found->n; i++)
		buf_addf(&all, "%s%s:%u", i > 0 ? " " : "", found->v[i].host, found->v[i].port);
	assert_string_equal(buf_c(&all), hosts);
	buf_free(&all);
}

static void
targets_are_read_with_all_that_belongs_to_them(void **state)
{
	struct srv found = { 0 };
	struct buf out = { 0 };

	(void)state;
	put_header(&out, 0x8180, 2);
	put_srv(&out, NAME, 10, 5, 465, "a.example.com");
	put_srv(&out, "_SUBMISSIONS._tcp.Example.com", 20, 0, 4650, "b_c.example.net");
	assert_true(srv_parse(buf_str(&out), NAME, true, &found));
	expect(&found, "a.example.com:465 b_c.example.net:4650");
	assert_int_equal(found.v[0].priority, 10);
	assert_int_equal(found.v[0].weight, 5);
	assert_true(found.v[1].implicit);
	buf_free(&out);
}

static void
what_is_no_target_is_left_out(void **state)
{
	static const char *const bad[] = { "", "a b.example.com", "a/../b", "-a.example.com", "$(id)" };
	struct srv found = { 0 };
	struct buf out = { 0 };

	(void)state;
	put_header(&out, 0x8180, COUNT(bad) + 5);
	for (size_t i = 0; i < COUNT(bad); i++)
		put_srv(&out, NAME, 0, 0, 465, bad[i]);
	put_srv(&out, NAME, 0, 0, 0, "noport.example.com");
	put_srv(&out, "_submissions._tcp.example.net", 0, 0, 465, "elsewhere.example.com");
	put_record(&out, NAME, SRV, IN, STR("\0\0\0\0\0\0"));
	put_record(&out, NAME, SRV, CHAOS, STR("\0\0\0\0\1\321\1a\0"));
	put_record(&out, NAME, A, IN, STR("\177\0\0\1"));
	assert_true(srv_parse(buf_str(&out), NAME, true, &found));
	expect(&found, "");
	buf_free(&out);
}

static void
an_alias_leads_to_its_targets(void **state)
{
	struct srv found = { 0 };
	struct buf out = { 0 }, alias = { 0 };

	(void)state;
	put_name(&alias, "_s._tcp.example.org");
	put_header(&out, 0x8180, 3);
	put_record(&out, NAME, CNAME, IN, buf_str(&alias));
	put_srv(&out, "_s._tcp.example.org", 0, 0, 465, "a.example.org");
	put_srv(&out, NAME, 0, 0, 465, "no-more.example.com");
	assert_true(srv_parse(buf_str(&out), NAME, true, &found));
	expect(&found, "a.example.org:465");
	buf_free(&out);
	buf_free(&alias);
}

static void
a_long_list_is_cut(void **state)
{
	struct srv found = { 0 };
	struct buf out = { 0 };

	(void)state;
	put_header(&out, 0x8180, 100);
	for (unsigned i = 0; i < 100; i++)
		put_srv(&out, NAME, 0, 0, i + 1, "a.example.com");
	assert_true(srv_parse(buf_str(&out), NAME, true, &found));
	assert_int_equal(found.n, SRV_TARGETS_MAX);
	assert_int_equal(found.v[SRV_TARGETS_MAX - 1].port, SRV_TARGETS_MAX);
	buf_free(&out);
}

/* In memory of its own size, so that a sanitizer sees a step too far. */
static bool
parse_alone(struct str octets, struct srv *found)
{
	char *copy = mem_alloc(octets.len + 1);
	char *end = copy + 1;
	bool good;

	memcpy(end, octets.p, octets.len);
	good = srv_parse(str_from(end, octets.len), NAME, true, found);
	free(copy);
	return good;
}

static void
an_answer_that_is_cut_or_lies_is_none(void **state)
{
	static const struct {
		unsigned flags, answers;
	} lies[] = { { 0x0180, 1 }, { 0x8182, 1 }, { 0x8183, 1 }, { 0x8180, 2 }, { 0x8180, 65535 } };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(lies); i++) {
		struct srv found = { 0 };

		put_header(&out, lies[i].flags, lies[i].answers);
		put_srv(&out, NAME, 0, 0, 465, "a.example.com");
		assert_false(parse_alone(buf_str(&out), &found));
	}
	put_header(&out, 0x8180, 1);
	put_srv(&out, NAME, 0, 0, 465, "a.example.com");
	for (size_t len = 0; len < out.len; len++) {
		struct srv found = { 0 };

		assert_false(parse_alone(str_from(out.p, len), &found));
		assert_int_equal(found.n, 0);
	}
	/* A name that points at itself, and one that points behind the end. */
	for (unsigned char to = 12; ; to = 255) {
		struct srv found = { 0 };

		put_header(&out, 0x8180, 1);
		out.p[12] = (char)0xc0;
		out.p[13] = (char)to;
		assert_false(parse_alone(buf_str(&out), &found));
		if (to == 255)
			break;
	}
	buf_free(&out);
}

static void
any_octets_do_no_harm(void **state)
{
	struct buf out = { 0 };

	(void)state;
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		struct srv found = { 0 };

		put_header(&out, 0x8180, 3);
		put_srv(&out, NAME, 0, 0, 465, "a.example.com");
		put_srv(&out, NAME, 0, 0, 465, "b.example.com");
		for (int j = 0; j < 4; j++)
			out.p[2 + random() % (long)(out.len - 2)] = (char)random();
		parse_alone(buf_str(&out), &found);
		assert_in_range(found.n, 0, SRV_TARGETS_MAX);
	}
	buf_free(&out);
}

static uint32_t number;

static uint32_t
the_number(void)
{
	return number;
}

static void
priority_comes_first_and_weight_decides_within_it(void **state)
{
	static const struct {
		uint32_t number;
		const char *hosts;
	} rows[] = {
		/* Of weights 0, 1 and 3 in all 4: 0 falls to the one of none, 1 to the next. */
		{ 0, "z:1 a:1 b:1 last:1" },
		{ 1, "a:1 b:1 z:1 last:1" },
		{ 2, "b:1 z:1 a:1 last:1" },
		{ 3, "b:1 a:1 z:1 last:1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct srv found = { .n = 4, .v = {
			{ .host = "last", .port = 1, .priority = 20, .weight = 65535 },
			{ .host = "a", .port = 1, .priority = 10, .weight = 1 },
			{ .host = "z", .port = 1, .priority = 10, .weight = 0 },
			{ .host = "b", .port = 1, .priority = 10, .weight = 3 },
		} };

		number = rows[i].number;
		srv_order(found.v, found.n, the_number);
		expect(&found, rows[i].hosts);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_read_with_all_that_belongs_to_them),
		cmocka_unit_test(what_is_no_target_is_left_out),
		cmocka_unit_test(an_alias_leads_to_its_targets),
		cmocka_unit_test(a_long_list_is_cut),
		cmocka_unit_test(an_answer_that_is_cut_or_lies_is_none),
		cmocka_unit_test(any_octets_do_no_harm),
		cmocka_unit_test(priority_comes_first_and_weight_decides_within_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
