/* envelope: what is written comes back, and nothing else is believed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define ID "0GT2C3D4E5F6ABCDEFGH"

/* ---- the stamp ---- */

static const struct stamp stamps[] = {
	{ .size = STAMP_LEN },
	{ .size = STAMP_LEN + 40 + 7, .envelope = 40, .head_crc = 0xdeadbeef, .text_crc = 1,
	    .lines = 2, .longest = 3, .eight_bit = true },
	{ .size = 999999999999999, .envelope = ENVELOPE_MAX, .head_crc = UINT32_MAX,
	    .text_crc = UINT32_MAX, .lines = 999999999999, .longest = 999999999999,
	    .eight_bit = true, .unended = true },
};

static void
a_stamp_comes_back_as_it_was_written_and_has_its_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(stamps); i++) {
		const struct stamp *s = &stamps[i];
		struct buf line = { 0 };
		struct stamp back;
		struct why why = { 0 };

		stamp_write(s, &line);
		assert_int_equal(line.len, STAMP_LEN);
		assert_int_equal(str_find(buf_str(&line), '\n'), STAMP_LEN - 1);
		assert_int_equal(stamp_read(buf_str(&line), &back, &why), DONE);
		assert_true(back.size == s->size && back.envelope == s->envelope &&
		    back.head_crc == s->head_crc && back.text_crc == s->text_crc &&
		    back.lines == s->lines && back.longest == s->longest &&
		    back.eight_bit == s->eight_bit && back.unended == s->unended);
		buf_free(&line);
	}
}

static void
whatever_octet_of_a_stamp_is_changed_it_is_refused_or_means_what_it_says(void **state)
{
	struct buf line = { 0 };
	unsigned refused = 0;

	(void)state;
	stamp_write(&stamps[1], &line);
	for (size_t i = 0; i < line.len; i++) {
		for (unsigned mask = 1; mask < 256; mask++) {
			struct buf again = { 0 };
			struct stamp back;
			struct why why = { 0 };

			line.p[i] = (char)(line.p[i] ^ (char)mask);
			if (stamp_read(buf_str(&line), &back, &why) == DONE) {
				stamp_write(&back, &again);
				assert_true(str_eq(buf_str(&again), buf_str(&line)));
			} else {
				assert_true(why.text[0] != '\0');
				refused++;
			}
			line.p[i] = (char)(line.p[i] ^ (char)mask);
			buf_free(&again);
		}
	}
	assert_true(refused > STAMP_LEN * 200);
	buf_free(&line);
}

static void
a_stamp_that_is_cut_or_too_long_is_refused(void **state)
{
	struct buf line = { 0 };
	struct stamp back;
	struct why why = { 0 };

	(void)state;
	stamp_write(&stamps[1], &line);
	for (size_t n = 0; n < STAMP_LEN; n++)
		assert_int_equal(stamp_read(str_from(line.p, n), &back, &why), NEVER);
	buf_addc(&line, '\n');
	assert_int_equal(stamp_read(buf_str(&line), &back, &why), NEVER);
	buf_free(&line);
}

/* A line of the right length with other words in it. */
static enum outcome
read_line(const char *words, struct why *why)
{
	struct buf line = { 0 };
	struct stamp back;
	enum outcome o;

	buf_adds(&line, words);
	while (line.len < STAMP_LEN - 1)
		buf_addc(&line, ' ');
	buf_addc(&line, '\n');
	assert_int_equal(line.len, STAMP_LEN);
	o = stamp_read(buf_str(&line), &back, why);
	buf_free(&line);
	return o;
}

#define HEAD "subpost 1 size=000000000000200 envelope=00000040 head-crc=00000000 text-crc=00000000 "

static void
a_first_line_that_is_no_stamp_is_refused(void **state)
{
	static const char *const rows[] = {
		"", "subpost", "subpost 1", "From: somebody", "subpost-fate 1 crc=00000000",
		"subpost 1 size=000000000000200",
		HEAD, HEAD "lines=000000000001 longest=000000000001",
		HEAD "lines=000000000001 longest=000000000001 eight-bit=2 unended=0",
		HEAD "lines=000000000001 longest=000000000001 eight-bit=0 unended=x",
		HEAD "lines=1 longest=1 eight-bit=0 unended=0",
		HEAD "lines=            longest=000000000001 eight-bit=0 unended=0",
		HEAD "longest=000000000001 lines=000000000001 eight-bit=0 unended=0",
		"subpost 1 size=99999999999999999999999 envelope=00000040 head-crc=00000000 "
		    "text-crc=00000000 lines=0 longest=0",
		"subpost 1 size=000020000000000 envelope=16777217 head-crc=00000000 "
		    "text-crc=00000000 lines=1 longest=1",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why = { 0 };

		if (read_line(rows[i], &why) != NEVER)
			print_error("row %zu\n", i);
		assert_int_equal(read_line(rows[i], &why), NEVER);
		assert_true(why.text[0] != '\0');
		assert_int_equal(why.scope, SCOPE_MESSAGE);
	}
}

static void
a_stamp_of_another_version_says_so(void **state)
{
	static const char *const rows[] = { "subpost 2 size=1", "subpost 10 x", "subpost 01 x" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why = { 0 };

		assert_int_equal(read_line(rows[i], &why), NEVER);
		assert_non_null(strstr(why.text, "version"));
	}
}

static void
a_stamp_whose_size_is_less_than_its_head_is_refused(void **state)
{
	const struct stamp s = { .size = STAMP_LEN + 39, .envelope = 40 };
	struct buf line = { 0 };
	struct stamp back;
	struct why why = { 0 };

	(void)state;
	stamp_write(&s, &line);
	assert_int_equal(stamp_read(buf_str(&line), &back, &why), NEVER);
	buf_free(&line);
}

static void
the_size_on_the_wire_counts_crlf_and_the_end_of_the_last_line(void **state)
{
	static const struct {
		uint64_t text, lines;
		bool unended;
		uint64_t wire;
	} rows[] = {
		{ 0, 0, false, 0 }, { 2, 1, false, 3 }, { 1, 0, true, 3 }, { 5, 2, true, 9 },
		{ 100, 100, false, 200 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct stamp s = { .size = STAMP_LEN + 40 + rows[i].text, .envelope = 40,
			.lines = rows[i].lines, .unended = rows[i].unended };

		assert_int_equal(stamp_text_len(&s), rows[i].text);
		assert_int_equal(stamp_wire_size(&s), rows[i].wire);
	}
}

/* ---- the envelope ---- */

static void
check_round_trip(const struct envelope *e)
{
	struct buf text = { 0 };
	struct envelope back = { 0 };
	struct why why = { 0 };

	envelope_write(e, &text);
	assert_int_equal(envelope_read(buf_str(&text), &back, &why), DONE);
	assert_string_equal(back.id, e->id);
	assert_true(back.arrived == e->arrived && back.uid == e->uid);
	assert_string_equal(back.from, e->from);
	assert_int_equal(back.n, e->n);
	assert_true(back.wishes.ret == e->wishes.ret && back.wishes.body == e->wishes.body);
	assert_true(back.wishes.smtputf8 == e->wishes.smtputf8);
	assert_true(back.wishes.requiretls == e->wishes.requiretls);
	assert_true(back.wishes.by == e->wishes.by && back.wishes.by_trace == e->wishes.by_trace);
	assert_true(back.wishes.by_seconds == e->wishes.by_seconds);
	assert_true(back.wishes.hold_until == e->wishes.hold_until);
	assert_true(back.wishes.priority == e->wishes.priority);
	assert_true(str_eq(str_of(back.wishes.envid), str_of(e->wishes.envid)));
	for (size_t i = 0; i < e->n; i++) {
		assert_string_equal(back.to[i].address, e->to[i].address);
		assert_int_equal(back.to[i].notify, e->to[i].notify);
		assert_true(str_eq(str_of(back.to[i].orcpt), str_of(e->to[i].orcpt)));
	}
	envelope_free(&back);
	envelope_free(&back);
	buf_free(&text);
}

static void
an_envelope_comes_back_as_it_was_written(void **state)
{
	struct recipient to[] = { { .address = (char []){ "b@example.org" } },
		{ .address = (char []){ "\"a,b\"@example.org" } },
		{ .address = (char []){ "\"a \\\" b\\\\\"@example.org" } },
		{ .address = (char []){ "j\xc3\xb6rg@example.org" } },
		{ .address = (char []){ "MiXeD@EXAMPLE.org" } },
		{ .address = (char []){ "-x@example.org" } } };
	static const char *const from[] = { "", "a@example.org", "\"to b\"@example.org",
		"\xe2\x82\xac@example.org" };

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		for (size_t n = 1; n <= COUNT(to); n++) {
			struct envelope e = { .id = ID, .arrived = 1795576000 + (time_t)i,
				.uid = i == 0 ? 0 : UINT32_MAX - 1, .from = (char *)from[i],
				.to = to, .n = n };

			check_round_trip(&e);
		}
	}
}

static void
the_wishes_come_back_as_they_were_written(void **state)
{
	static const unsigned notify[] = { 0, DSN_NOTIFY_NEVER, DSN_NOTIFY_SUCCESS,
		DSN_NOTIFY_SUCCESS | DSN_NOTIFY_DELAY, DSN_NOTIFY_FAILURE,
		DSN_NOTIFY_SUCCESS | DSN_NOTIFY_FAILURE | DSN_NOTIFY_DELAY };
	char from[] = "a@x", envid[] = "QQ+2B\\314159", orcpt[] = "rfc822;B\\+3Db@x", address[] = "b@y";

	(void)state;
	for (unsigned bits = 0; bits < 512; bits++) {
		struct recipient to[COUNT(notify)];
		struct envelope e = { .id = ID, .arrived = 5, .uid = 7, .from = from, .to = to,
			.n = COUNT(notify), .wishes = { .ret = bits % 3, .body = bits / 3 % 3,
			.envid = bits & 8 ? envid : NULL, .smtputf8 = bits & 16, .requiretls = bits & 32,
			.priority = (int)(bits % 19) - 9, .hold_until = bits & 64 ? 1795575990 : 0 } };

		if ((bits & 384) != 0) {
			e.wishes.by = bits & 128 ? DSN_BY_RETURN : DSN_BY_NOTIFY;
			e.wishes.by_trace = bits & 256;
			e.wishes.by_seconds = bits & 128 ? (int32_t)bits : 300 - (int32_t)bits;
		}

		for (size_t i = 0; i < COUNT(notify); i++)
			to[i] = (struct recipient){ address, notify[i], (bits + i) % 2 ? orcpt : NULL };
		check_round_trip(&e);
	}
}

static void
as_many_recipients_as_there_may_be_are_read_and_one_more_is_refused(void **state)
{
	struct recipient *to = mem_alloc((ENVELOPE_RECIPIENTS_MAX + 1) * sizeof *to);
	struct envelope e = { .id = ID, .arrived = 1, .from = (char []){ "" }, .to = to,
		.n = ENVELOPE_RECIPIENTS_MAX };
	struct envelope back = { 0 };
	struct buf text = { 0 };
	struct why why = { 0 };

	(void)state;
	for (size_t i = 0; i <= ENVELOPE_RECIPIENTS_MAX; i++) {
		char name[40];

		snprintf(name, sizeof name, "r%zu@example.org", i);
		to[i].address = mem_dup(str_of(name));
	}
	check_round_trip(&e);
	e.n++;
	envelope_write(&e, &text);
	assert_int_equal(envelope_read(buf_str(&text), &back, &why), NEVER);
	envelope_free(&back);
	buf_free(&text);
	for (size_t i = 0; i <= ENVELOPE_RECIPIENTS_MAX; i++)
		free(to[i].address);
	free(to);
}

#define GOOD "id " ID "\narrived 5\nuid 7\nfrom a@x\n"

static void
a_damaged_envelope_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *name;
		struct str text;
	} rows[] = {
		{ "nothing", STR("") },
		{ "an empty line alone", STR("\n") },
		{ "two empty lines", STR("\n\n") },
		{ "no recipient", STR(GOOD "\n") },
		{ "no empty line", STR(GOOD "to b@x\n") },
		{ "no line end", STR(GOOD "to b@x") },
		{ "text behind the empty line", STR(GOOD "to b@x\n\nto c@x\n\n") },
		{ "no id", STR("arrived 5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "no time", STR("id " ID "\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "no uid", STR("id " ID "\narrived 5\nfrom a@x\nto b@x\n\n") },
		{ "no sender", STR("id " ID "\narrived 5\nuid 7\nto b@x\n\n") },
		{ "a short id", STR("id ABC\narrived 5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a lower-case id", STR("id 0gt2c3d4e5f6abcdefgh\narrived 5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a path for an id", STR("id ../../../etc/passwd00\narrived 5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a negative time", STR("id " ID "\narrived -5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a time of words", STR("id " ID "\narrived now\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a huge time", STR("id " ID "\narrived 99999999999999999999\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a uid over 32 bits", STR("id " ID "\narrived 5\nuid 4294967296\nfrom a@x\nto b@x\n\n") },
		{ "a null recipient", STR(GOOD "to \n\n") },
		{ "a recipient with a space", STR(GOOD "to b c@x\n\n") },
		{ "a recipient with a bracket", STR(GOOD "to b@x>\n\n") },
		{ "a recipient with an escaped line end", STR(GOOD "to b@x\\x0d\\x0aDATA\n\n") },
		{ "an escape nobody writes", STR(GOOD "to b\\x41@x\n\n") },
		{ "half an escape", STR(GOOD "to b@x\\x0\n\n") },
		{ "a raw carriage return", STR(GOOD "to b@x\r\n\n") },
		{ "a raw NUL", STR(GOOD "to b@x\0\n\n") },
		{ "a raw tab", STR(GOOD "to\tb@x\n\n") },
		{ "an unknown word", STR(GOOD "notify never\nto b@x\n\n") },
		{ "a word without value", STR(GOOD "to\n\n") },
		{ "a word in capitals", STR(GOOD "TO b@x\n\n") },
		{ "an id twice", STR(GOOD "id " ID "\nto b@x\n\n") },
		{ "a sender twice", STR(GOOD "from c@x\nto b@x\n\n") },
		{ "a time twice", STR(GOOD "arrived 6\nto b@x\n\n") },
		{ "another order", STR("arrived 5\nid " ID "\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a recipient before the sender", STR("id " ID "\narrived 5\nuid 7\nto b@x\nfrom a@x\n\n") },
		{ "a leading zero", STR("id " ID "\narrived 05\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "two spaces", STR("id " ID "\narrived  5\nuid 7\nfrom a@x\nto b@x\n\n") },
		{ "a wish before the sender", STR("id " ID "\narrived 5\nuid 7\nret FULL\nfrom a@x\nto b@x\n\n") },
		{ "a wish behind a recipient", STR(GOOD "to b@x\nret FULL\n\n") },
		{ "wishes in another order", STR(GOOD "envid x\nret FULL\nto b@x\n\n") },
		{ "a wish twice", STR(GOOD "ret FULL\nret FULL\nto b@x\n\n") },
		{ "two wishes of a kind", STR(GOOD "envid x\nenvid y\nto b@x\n\n") },
		{ "a ret of another word", STR(GOOD "ret HALF\nto b@x\n\n") },
		{ "a ret in small letters", STR(GOOD "ret full\nto b@x\n\n") },
		{ "a ret without a word", STR(GOOD "ret \nto b@x\n\n") },
		{ "an envid that is no xtext", STR(GOOD "envid a=b\nto b@x\n\n") },
		{ "an envid of nothing", STR(GOOD "envid \nto b@x\n\n") },
		{ "an envid with a raw backslash", STR(GOOD "envid a\\b\nto b@x\n\n") },
		{ "an envid with a line end", STR(GOOD "envid a\\x0ab\nto b@x\n\n") },
		{ "a long envid", STR(GOOD "envid 0123456789012345678901234567890123456789012345678901"
		    "2345678901234567890123456789012345678901234567890\nto b@x\n\n") },
		{ "a body of another kind", STR(GOOD "body BINARYMIME\nto b@x\n\n") },
		{ "a no", STR(GOOD "requiretls no\nto b@x\n\n") },
		{ "a by of nothing", STR(GOOD "by 0;R\nto b@x\n\n") },
		{ "a by in small letters", STR(GOOD "by 7;r\nto b@x\n\n") },
		{ "a by with a zero before it", STR(GOOD "by 07;R\nto b@x\n\n") },
		{ "a by of less than nothing", STR(GOOD "by -0;N\nto b@x\n\n") },
		{ "a by without a mode", STR(GOOD "by 7\nto b@x\n\n") },
		{ "a hold until the beginning", STR(GOOD "hold-until 0\nto b@x\n\n") },
		{ "a hold until a date", STR(GOOD "hold-until 2026-12-01T08:00:00Z\nto b@x\n\n") },
		{ "a hold for a while", STR(GOOD "hold-for 60\nto b@x\n\n") },
		{ "a priority of everybody's", STR(GOOD "priority 0\nto b@x\n\n") },
		{ "a priority above all", STR(GOOD "priority 10\nto b@x\n\n") },
		{ "wishes in another order", STR(GOOD "priority 1\nby 7;R\nto b@x\n\n") },
		{ "a yes with more", STR(GOOD "smtputf8 yes x\nto b@x\n\n") },
		{ "a notify before any recipient", STR(GOOD "notify NEVER\nto b@x\n\n") },
		{ "a notify of another word", STR(GOOD "to b@x\nnotify SOMETIMES\n\n") },
		{ "never and more", STR(GOOD "to b@x\nnotify NEVER,DELAY\n\n") },
		{ "a notify in another order", STR(GOOD "to b@x\nnotify DELAY,SUCCESS\n\n") },
		{ "a notify twice", STR(GOOD "to b@x\nnotify DELAY\nnotify DELAY\n\n") },
		{ "an orcpt before the notify", STR(GOOD "to b@x\norcpt rfc822;b@x\nnotify DELAY\n\n") },
		{ "an orcpt without a type", STR(GOOD "to b@x\norcpt b@x\n\n") },
		{ "an orcpt that is no xtext", STR(GOOD "to b@x\norcpt rfc822;b=x\n\n") },
		{ "an orcpt twice", STR(GOOD "to b@x\norcpt rfc822;b\norcpt rfc822;b\n\n") },
		{ "an address over the limit", { 0 } },
	};
	struct buf huge = { 0 };

	(void)state;
	buf_adds(&huge, GOOD "to ");
	for (size_t i = 0; i < ADDRESS_MAX; i++)
		buf_addc(&huge, 'a');
	buf_adds(&huge, "@x\n\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct envelope e = { 0 };
		struct why why = { 0 };
		enum outcome o = envelope_read(i + 1 < COUNT(rows) ? rows[i].text : buf_str(&huge),
		    &e, &why);

		if (o != NEVER)
			print_error("%s was read\n", rows[i].name);
		assert_int_equal(o, NEVER);
		assert_int_equal(why.scope, SCOPE_MESSAGE);
		assert_true(why.text[0] != '\0');
		envelope_free(&e);
	}
	buf_free(&huge);
}

static void
whatever_octet_of_an_envelope_is_changed_it_is_refused_or_means_what_it_says(void **state)
{
	struct buf text = { 0 };

	(void)state;
	buf_adds(&text, GOOD "ret HDRS\nenvid q+2B1\nbody 8BITMIME\nsmtputf8 yes\nrequiretls yes\n"
	    "by -60;NT\nhold-until 1795575990\npriority -4\nto b@x\nnotify SUCCESS,DELAY\norcpt rfc822;b@x\nto \"c\\x5c\\x5c d\"@y\n\n");
	for (size_t i = 0; i < text.len; i++) {
		for (unsigned mask = 1; mask < 256; mask++) {
			struct envelope e = { 0 };
			struct buf again = { 0 };
			struct why why = { 0 };

			text.p[i] = (char)(text.p[i] ^ (char)mask);
			if (envelope_read(buf_str(&text), &e, &why) == DONE) {
				envelope_write(&e, &again);
				assert_true(str_eq(buf_str(&again), buf_str(&text)));
			}
			text.p[i] = (char)(text.p[i] ^ (char)mask);
			envelope_free(&e);
			buf_free(&again);
		}
	}
	buf_free(&text);
}

static void
no_control_octet_comes_back_in_an_address(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		bool control = c < 0x20 || c == 0x7f;

		for (int sender = 0; sender < 2; sender++) {
			for (int quoted = 0; quoted < 2; quoted++) {
				struct envelope e = { 0 };
				struct buf text = { 0 };
				struct why why = { 0 };

				if (!control)
					continue;
				buf_addf(&text, "id " ID "\narrived 5\nuid 7\nfrom %s", sender ? "" : "a@x\nto ");
				buf_addf(&text, quoted ? "\"a\\x%02xb\"@x" : "a@x\\x%02x", c);
				buf_adds(&text, sender ? "\nto b@x\n\n" : "\n\n");
				assert_int_equal(envelope_read(buf_str(&text), &e, &why), NEVER);
				envelope_free(&e);
				buf_free(&text);
			}
		}
	}
}

static void
no_value_can_end_its_line(void **state)
{
	char from[] = "a@x\nto evil@x", to0[] = "b@x\r\n\nSubject: x", to1[] = "c\\x0a@x";
	char envid[] = "1\nto evil@x", orcpt[] = "rfc822;x\r\n\nSubject: x";
	struct recipient to[] = { { .address = to0, .orcpt = orcpt }, { .address = to1 } };
	struct envelope e = { .id = ID, .from = from, .to = to, .n = 2, .wishes = { .envid = envid } };
	struct buf text = { 0 };
	struct str rest, line;
	size_t lines = 0;

	(void)state;
	envelope_write(&e, &text);
	rest = buf_str(&text);
	while (str_line(&rest, &line))
		lines++;
	assert_int_equal(lines, 9);
	assert_false(str_has(buf_str(&text), '\r'));
	buf_free(&text);
}

/* ---- ids ---- */

static void
only_twenty_digits_and_capitals_are_an_id(void **state)
{
	static const struct {
		struct str name;
		bool is_id;
	} rows[] = {
		{ STR(ID), true }, { STR("00000000000000000000"), true }, { STR("ZZZZZZZZZZZZZZZZZZZZ"), true },
		{ STR(""), false }, { STR("."), false }, { STR(".."), false }, { STR("A"), false },
		{ STR("0GT2C3D4E5F6ABCDEFG"), false }, { STR(ID "0"), false }, { STR(ID ".fate"), false },
		{ STR("0GT2C3D4E5F6ABCDEFGh"), false }, { STR("0GT2C3D4/5F6ABCDEFGH"), false },
		{ STR("0GT2C3D4.5F6ABCDEFGH"), false }, { STR("0GT2C3D4%2e6ABCDEFGH"), false },
		{ STR("0GT2C3D4\0005F6ABCDEFGH"), false }, { STR("0GT2C3D4\xc3\xa4" "F6ABCDEFGH"), false },
		{ STR("../../../../etc/pass"), false },
	};
	char *long_name = mem_alloc(4097);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(envelope_is_id(rows[i].name), rows[i].is_id);
	memset(long_name, 'A', 4096);
	assert_false(envelope_is_id(str_of(long_name)));
	free(long_name);
}

static void
an_id_has_its_form_and_its_second(void **state)
{
	static const uint64_t times[] = { 0, 1, 1795576000, 2147483648, 4294967296 };

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		char id[ENVELOPE_ID_LEN + 1];

		envelope_make_id(times[i] * 1000000 + 999999, UINT64_MAX, id);
		assert_true(envelope_is_id(str_of(id)));
		assert_true((uint64_t)envelope_id_time(id) == times[i]);
	}
}

static void
ids_sort_as_their_times_do(void **state)
{
	char before[ENVELOPE_ID_LEN + 1], id[ENVELOPE_ID_LEN + 1];
	uint64_t t = 1, state_of_chance = 88172645463325252;

	(void)state;
	envelope_make_id(0, UINT64_MAX, before);
	for (unsigned i = 0; i < 20000; i++) {
		envelope_make_id(t, state_of_chance, id);
		assert_true(strcmp(before, id) < 0);
		memcpy(before, id, sizeof id);
		t += 1 + t / 1000;
		state_of_chance ^= state_of_chance << 13;
		state_of_chance ^= state_of_chance >> 7;
	}
}

static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
a_hundred_thousand_ids_of_one_microsecond_differ_by_their_tails(void **state)
{
	enum { N = 100000 };
	char (*ids)[ENVELOPE_ID_LEN + 1] = mem_grow(NULL, N, sizeof *ids);

	(void)state;
	/* Forty bits that differ must stay forty bits that differ. */
	for (uint64_t i = 0; i < N; i++)
		envelope_make_id(1795576000000000, i * UINT64_C(10995116), ids[i]);
	qsort(ids, N, sizeof *ids, compare);
	for (size_t i = 1; i < N; i++)
		assert_true(strcmp(ids[i - 1], ids[i]) != 0);
	free(ids);
}

static void
a_derived_id_is_always_the_same_and_of_the_same_time(void **state)
{
	char a[ENVELOPE_ID_LEN + 1], b[ENVELOPE_ID_LEN + 1];

	(void)state;
	for (unsigned kind = 0; kind < 10; kind++) {
		envelope_derive_id(ID, kind, a);
		envelope_derive_id(ID, kind, b);
		assert_string_equal(a, b);
		assert_true(envelope_is_id(str_of(a)));
		assert_true(envelope_id_time(a) == envelope_id_time(ID));
	}
}

static void
derived_ids_are_not_their_message_and_not_each_other(void **state)
{
	enum { N = 1000 };
	char (*ids)[ENVELOPE_ID_LEN + 1] = mem_grow(NULL, N + 1, sizeof *ids);

	(void)state;
	memcpy(ids[N], ID, sizeof *ids);
	for (unsigned kind = 0; kind < N; kind++)
		envelope_derive_id(ID, kind, ids[kind]);
	qsort(ids, N + 1, sizeof *ids, compare);
	for (size_t i = 1; i <= N; i++)
		assert_true(strcmp(ids[i - 1], ids[i]) != 0);
	free(ids);
}

/* As the notices of one message: by its first recipient, and by when it was tried
 * anew, which together are more than 32 bits. */
static void
notices_of_one_message_at_different_times_differ(void **state)
{
	enum { N = 50000 };
	char (*ids)[ENVELOPE_ID_LEN + 1] = mem_grow(NULL, 2 * N, sizeof *ids);

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		/* 42950 s later, and as many recipients apart as 32 bits would forget. */
		envelope_derive_id(ID, UINT64_C(1795576000) * ENVELOPE_RECIPIENTS_MAX + i + 32704, ids[i]);
		envelope_derive_id(ID, UINT64_C(1795618950) * ENVELOPE_RECIPIENTS_MAX + i, ids[N + i]);
	}
	qsort(ids, 2 * N, sizeof *ids, compare);
	for (size_t i = 1; i < 2 * N; i++)
		assert_true(strcmp(ids[i - 1], ids[i]) != 0);
	free(ids);
}

static void
a_foreign_name_taken_for_an_id_does_no_harm(void **state)
{
	char out[ENVELOPE_ID_LEN + 1];

	(void)state;
	assert_true(envelope_id_time("ZZZZZZZZZZZZZZZZZZZZ") >= 0);
	envelope_derive_id("ZZZZZZZZZZZZZZZZZZZZ", 0, out);
	assert_true(envelope_is_id(str_of(out)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stamp_comes_back_as_it_was_written_and_has_its_length),
		cmocka_unit_test(whatever_octet_of_a_stamp_is_changed_it_is_refused_or_means_what_it_says),
		cmocka_unit_test(a_stamp_that_is_cut_or_too_long_is_refused),
		cmocka_unit_test(a_first_line_that_is_no_stamp_is_refused),
		cmocka_unit_test(a_stamp_of_another_version_says_so),
		cmocka_unit_test(a_stamp_whose_size_is_less_than_its_head_is_refused),
		cmocka_unit_test(the_size_on_the_wire_counts_crlf_and_the_end_of_the_last_line),
		cmocka_unit_test(an_envelope_comes_back_as_it_was_written),
		cmocka_unit_test(the_wishes_come_back_as_they_were_written),
		cmocka_unit_test(as_many_recipients_as_there_may_be_are_read_and_one_more_is_refused),
		cmocka_unit_test(a_damaged_envelope_is_refused_with_a_reason),
		cmocka_unit_test(whatever_octet_of_an_envelope_is_changed_it_is_refused_or_means_what_it_says),
		cmocka_unit_test(no_control_octet_comes_back_in_an_address),
		cmocka_unit_test(no_value_can_end_its_line),
		cmocka_unit_test(only_twenty_digits_and_capitals_are_an_id),
		cmocka_unit_test(an_id_has_its_form_and_its_second),
		cmocka_unit_test(ids_sort_as_their_times_do),
		cmocka_unit_test(a_hundred_thousand_ids_of_one_microsecond_differ_by_their_tails),
		cmocka_unit_test(a_derived_id_is_always_the_same_and_of_the_same_time),
		cmocka_unit_test(derived_ids_are_not_their_message_and_not_each_other),
		cmocka_unit_test(notices_of_one_message_at_different_times_differ),
		cmocka_unit_test(a_foreign_name_taken_for_an_id_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
