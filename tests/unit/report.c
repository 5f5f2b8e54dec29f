/* report: what a sender is told, and what no report may hold. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "header.h"
#include "report.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6ABCDEFGH"
#define REPORT_ID "0GT2C3D4E5F600000000"

static char from[] = "sender@example.org";
static char to0[] = "zero@example.net", to1[] = "one@example.net", to2[] = "two@example.net";
static struct recipient to[] = { { .address = to0 }, { .address = to1 }, { .address = to2 } };

/* A message with three recipients: done, refused, still waiting. */
struct world {
	struct envelope envelope;
	struct fate fate;
	struct report report;
};

static void
set_up(struct world *w)
{
	*w = (struct world){ .envelope = { .id = ID, .arrived = 1795576000, .from = from, .to = to, .n = 3 } };
	fate_init(&w->fate, 3);
	fate_note(&w->fate, 0, DONE, &(struct why){ .code = 250, .text = "250 taken by zero" });
	fate_note(&w->fate, 1, NEVER, &(struct why){ .code = 550, .status = "5.1.1",
		.text = "RCPT answered: 550 5.1.1 no such user" });
	w->report = (struct report){ .envelope = &w->envelope, .fate = &w->fate, .id = REPORT_ID,
		.from = "me@example.com", .domain = "example.com", .now = 1795579600, .offset = 3600 };
}

/* Every line of a text is canonical and short enough for any server. */
static void
check_text(const struct buf *text)
{
	struct str rest = buf_str(text), line;

	assert_true(text->len > 0 && text->p[text->len - 1] == '\n');
	assert_false(str_has(buf_str(text), '\r') || str_has(buf_str(text), '\0'));
	while (str_line(&rest, &line)) {
		assert_true(line.len <= 998);
		for (size_t i = 0; i < line.len; i++)
			assert_true((unsigned char)line.p[i] >= 0x20 && line.p[i] != 0x7f);
	}
}

static void
read_head(const struct buf *text, struct header *h, struct str *body)
{
	size_t used;

	header_feed(h, buf_str(text), &used);
	assert_true(h->over);
	*body = str_from(text->p + used, text->len - used);
	assert_int_equal(header_rest(h).len, 0);
}

static void
assert_has(struct str text, const char *what)
{
	if (memmem(text.p, text.len, what, strlen(what)) == NULL)
		print_error("no '%s' in:\n%.*s", what, (int)text.len, text.p);
	assert_non_null(memmem(text.p, text.len, what, strlen(what)));
}

static void
assert_lacks(struct str text, const char *what)
{
	assert_null(memmem(text.p, text.len, what, strlen(what)));
}

static void
a_report_is_canonical_text_with_short_lines(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	check_text(&text);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
its_header_has_each_field_once(void **state)
{
	static const char *const names[] = { "From", "To", "Subject", "Date", "Message-ID",
		"Auto-Submitted", "MIME-Version", "Content-Type" };
	struct world w;
	struct header h = { 0 };
	struct buf text = { 0 };
	struct str body;

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	read_head(&text, &h, &body);
	for (size_t i = 0; i < COUNT(names); i++) {
		unsigned count = 0;

		for (size_t j = 0; j < h.n; j++)
			count += field_is(&h, &h.v[j], names[i]);
		assert_int_equal(count, 1);
	}
	header_free(&h);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
it_goes_from_the_account_to_the_sender(void **state)
{
	struct world w;
	struct header h = { 0 };
	struct buf text = { 0 }, spec = { 0 };
	struct str body;
	struct why why = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	read_head(&text, &h, &body);
	assert_int_equal(address_parse_one(field_body(&h, header_find(&h, "From")), &spec, &why), DONE);
	assert_string_equal(buf_c(&spec), "me@example.com");
	assert_int_equal(address_parse_one(field_body(&h, header_find(&h, "To")), &spec, &why), DONE);
	assert_string_equal(buf_c(&spec), from);
	buf_free(&spec);
	header_free(&h);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
it_says_that_no_person_wrote_it(void **state)
{
	struct world w;
	struct header h = { 0 };
	struct buf text = { 0 };
	struct str body;

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	read_head(&text, &h, &body);
	/* RFC 3834 section 5. */
	assert_true(str_is(str_trim(field_body(&h, header_find(&h, "Auto-Submitted"))), "auto-replied"));
	header_free(&h);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
its_message_id_is_made_of_its_own_id(void **state)
{
	struct world w;
	struct header h = { 0 };
	struct buf text = { 0 };
	struct str body;

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	read_head(&text, &h, &body);
	assert_true(str_is(str_trim(field_body(&h, header_find(&h, "Message-ID"))),
	    "<" REPORT_ID "@example.com>"));
	header_free(&h);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
it_names_the_refused_recipient_and_the_servers_words(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	assert_has(buf_str(&text), to1);
	assert_has(buf_str(&text), "550 5.1.1 no such user");
	buf_free(&text);
	fate_free(&w.fate);
}

static void
it_does_not_name_who_got_it_or_may_still_get_it(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	assert_lacks(buf_str(&text), to0);
	assert_lacks(buf_str(&text), "taken by zero");
	assert_lacks(buf_str(&text), to2);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
what_was_told_before_is_not_told_again(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	w.fate.to[1].told = true;
	fate_note(&w.fate, 2, NEVER, &(struct why){ .code = 551, .text = "551 moved" });
	report_write(&w.report, &text);
	assert_lacks(buf_str(&text), to1);
	assert_has(buf_str(&text), to2);
	assert_has(buf_str(&text), "551 moved");
	buf_free(&text);
	fate_free(&w.fate);
}

static void
it_says_what_to_type_next(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &text);
	assert_has(buf_str(&text), "subpost show " ID);
	assert_has(buf_str(&text), "subpost retry " ID);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
hostile_words_stay_in_their_line_and_show_their_controls(void **state)
{
	struct world w;
	struct header h = { 0 };
	struct buf text = { 0 };
	struct str body;
	char hostile[] = "x\x1b]0;y\x07@z\r\nBcc: evil@x\n\n${run{id}} `id` %n";
	struct recipient hostile_to[] = { { .address = to0 }, { .address = hostile }, { .address = to2 } };

	(void)state;
	set_up(&w);
	w.envelope.to = hostile_to;
	w.envelope.from = hostile;
	free(w.fate.to[1].text);
	w.fate.to[1].text = mem_dup(str_of("550 \x1b[2J\n--boundary\r\nSubject: x\xe2\x80\xae"));
	report_write(&w.report, &text);
	check_text(&text);
	read_head(&text, &h, &body);
	assert_null(header_find(&h, "Bcc"));
	assert_lacks(buf_str(&text), "\n--boundary");
	assert_lacks(buf_str(&text), "\xe2\x80\xae");
	assert_has(buf_str(&text), "\\x1b[2J");
	header_free(&h);
	buf_free(&text);
	fate_free(&w.fate);
}

static void
the_longest_words_and_addresses_make_no_long_line(void **state)
{
	struct world w;
	struct buf text = { 0 };
	char *long_name = mem_alloc(ADDRESS_MAX + 1), *long_words = mem_alloc(4001);
	struct recipient long_to[] = { { .address = to0 }, { .address = long_name }, { .address = to2 } };

	(void)state;
	memset(long_name, 'a', ADDRESS_MAX);
	memset(long_words, '\x01', 4000);
	memcpy(long_name + ADDRESS_MAX - 4, "@x.y", 4);
	set_up(&w);
	w.envelope.to = long_to;
	w.envelope.from = long_name;
	free(w.fate.to[1].text);
	w.fate.to[1].text = long_words;
	report_write(&w.report, &text);
	check_text(&text);
	buf_free(&text);
	fate_free(&w.fate);
	free(long_name);
}

static void
it_names_whom_and_what_the_sender_named(void **state)
{
	static const struct {
		const char *orcpt, *line;       /* NULL: no such line */
	} rows[] = {
		{ NULL, NULL },
		{ "rfc822;root@host.example", "    Original recipient: root@host.example\n" },
		{ "rfc822;a+2Bb+3Dc@host.example", "    Original recipient: a+b=c@host.example\n" },
		{ "rfc822;x+0AFrom:+20y", "    Original recipient: x\\x0aFrom: y\n" },
		/* It says nothing that is not there already. */
		{ "rfc822;one@example.net", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world w;
		struct buf text = { 0 };
		char orcpt[80] = "", envid[] = "job+2042+0A.";
		struct recipient original_to[] = { { .address = to0 }, { .address = to1 }, { .address = to2 } };

		set_up(&w);
		if (rows[i].orcpt != NULL) {
			snprintf(orcpt, sizeof orcpt, "%s", rows[i].orcpt);
			original_to[1].orcpt = orcpt;
			w.envelope.wishes.envid = envid;
		}
		w.envelope.to = original_to;
		report_write(&w.report, &text);
		check_text(&text);
		if (rows[i].line != NULL)
			assert_has(buf_str(&text), rows[i].line);
		else
			assert_lacks(buf_str(&text), "Original recipient");
		if (rows[i].orcpt != NULL)
			assert_has(buf_str(&text), "\nOriginal envelope id: job 42\\x0a.\n");
		else
			assert_lacks(buf_str(&text), "Original envelope id");
		buf_free(&text);
		fate_free(&w.fate);
	}
}

static void
of_a_message_that_required_tls_it_gives_nobody_away(void **state)
{
	struct world w;
	struct buf text = { 0 };
	char envid[] = "secret-17", orcpt[] = "rfc822;hidden@example.net";
	struct recipient secret_to[] = { { .address = to0 }, { .address = to1, .orcpt = orcpt },
		{ .address = to2 } };

	(void)state;
	set_up(&w);
	w.envelope.to = secret_to;
	w.envelope.wishes = (struct wishes){ .requiretls = true, .envid = envid };
	fate_note(&w.fate, 2, NEVER, &(struct why){ .code = 550, .text = "550 two@example.net is gone" });
	report_write(&w.report, &text);
	check_text(&text);
	/* RFC 8689 section 5: what failed, and how it failed, and nothing of its header. */
	assert_has(buf_str(&text), "\n  recipient 2: 5.1.1\n");
	assert_has(buf_str(&text), "\n  recipient 3: 550\n");
	assert_has(buf_str(&text), "subpost show " ID);
	assert_lacks(buf_str(&text), "one@");
	assert_lacks(buf_str(&text), "two@");
	assert_lacks(buf_str(&text), "hidden");
	assert_lacks(buf_str(&text), "no such user");
	assert_lacks(buf_str(&text), "secret");
	buf_free(&text);
	fate_free(&w.fate);
}

static void
of_very_many_it_names_a_thousand_and_counts_the_others(void **state)
{
	enum { N = REPORT_NAMED_MAX + 5 };
	struct world w;
	struct buf text = { 0 };
	struct recipient *many = mem_alloc(N * sizeof *many);
	struct str rest, line;
	size_t named = 0;

	(void)state;
	set_up(&w);
	fate_free(&w.fate);
	fate_init(&w.fate, N);
	for (size_t i = 0; i < N; i++) {
		many[i].address = to1;
		fate_note(&w.fate, i, NEVER, &(struct why){ .code = 550, .text = "550 no" });
	}
	w.fate.to[0].told = true;
	w.envelope.to = many;
	w.envelope.n = N;
	report_write(&w.report, &text);
	check_text(&text);
	rest = buf_str(&text);
	while (str_line(&rest, &line))
		named += str_is(line, "  one@example.net");
	assert_int_equal(named, REPORT_NAMED_MAX);
	assert_has(buf_str(&text), "\n  and 4 more\n");
	buf_free(&text);
	fate_free(&w.fate);
	free(many);
}

static void
a_refusal_without_words_says_that_none_were_given(void **state)
{
	struct world w;
	struct buf text = { 0 };

	(void)state;
	set_up(&w);
	free(w.fate.to[1].text);
	w.fate.to[1].text = NULL;
	report_write(&w.report, &text);
	assert_has(buf_str(&text), "no reason");
	buf_free(&text);
	fate_free(&w.fate);
}

static void
the_same_facts_give_the_same_report(void **state)
{
	struct world w;
	struct buf a = { 0 }, b = { 0 };

	(void)state;
	set_up(&w);
	report_write(&w.report, &a);
	report_write(&w.report, &b);
	assert_true(str_eq(buf_str(&a), buf_str(&b)));
	buf_free(&a);
	buf_free(&b);
	fate_free(&w.fate);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_canonical_text_with_short_lines),
		cmocka_unit_test(its_header_has_each_field_once),
		cmocka_unit_test(it_goes_from_the_account_to_the_sender),
		cmocka_unit_test(it_says_that_no_person_wrote_it),
		cmocka_unit_test(its_message_id_is_made_of_its_own_id),
		cmocka_unit_test(it_names_the_refused_recipient_and_the_servers_words),
		cmocka_unit_test(it_does_not_name_who_got_it_or_may_still_get_it),
		cmocka_unit_test(what_was_told_before_is_not_told_again),
		cmocka_unit_test(it_says_what_to_type_next),
		cmocka_unit_test(hostile_words_stay_in_their_line_and_show_their_controls),
		cmocka_unit_test(the_longest_words_and_addresses_make_no_long_line),
		cmocka_unit_test(it_names_whom_and_what_the_sender_named),
		cmocka_unit_test(of_a_message_that_required_tls_it_gives_nobody_away),
		cmocka_unit_test(of_very_many_it_names_a_thousand_and_counts_the_others),
		cmocka_unit_test(a_refusal_without_words_says_that_none_were_given),
		cmocka_unit_test(the_same_facts_give_the_same_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
