/* offers: what an EHLO offers, in all the ways that servers say it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "offers.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
take(struct offers *o, const char *text)
{
	offers_read(o, str_of(text));
}

/* What each line says, alone behind the server's name. */
static void
test_words(void **state)
{
	static const struct {
		const char *line;
		size_t at;              /* the one flag that it sets */
	} rows[] = {
		{ "STARTTLS", offsetof(struct offers, starttls) },
		{ "PIPELINING", offsetof(struct offers, pipelining) },
		{ "CHUNKING", offsetof(struct offers, chunking) },
		{ "8BITMIME", offsetof(struct offers, eight_bit) },
		{ "DSN", offsetof(struct offers, dsn) },
		{ "SMTPUTF8", offsetof(struct offers, smtputf8) },
		{ "REQUIRETLS", offsetof(struct offers, requiretls) },
		{ "MT-PRIORITY", offsetof(struct offers, priority) },
		{ "MT-PRIORITY MIXER", offsetof(struct offers, priority) },
		{ "SIZE", offsetof(struct offers, size) },
		{ "DELIVERBY", offsetof(struct offers, by) },
		{ "pipelining", offsetof(struct offers, pipelining) },
		{ "Pipelining  ", offsetof(struct offers, pipelining) },
		{ " CHUNKING", offsetof(struct offers, chunking) },
	};
	struct offers o = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[128];

		snprintf(text, sizeof text, "mail.example greets you\n%s", rows[i].line);
		take(&o, text);
		for (size_t k = 0; k < COUNT(rows); k++)
			assert_int_equal(*(const bool *)((const char *)&o + rows[k].at), rows[k].at == rows[i].at);
	}
	offers_free(&o);
}

static void
test_no_words(void **state)
{
	static const char *const texts[] = {
		"", "mail.example", "STARTTLS", "PIPELINING CHUNKING\n", "x\nSTARTTLSX\nX-PIPELINING\n8BIT\n",
		"x\nOk", "x\n\n\n", "x\nNO-SOLICITING\nBURL imap\nMTRK\nRRVS\nVRFY\nETRN\nHELP\nXCLIENT\nTURN",
		"x\nAUTHX PLAIN",
	};
	struct offers o = { 0 }, none = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		take(&o, texts[i]);
		assert_memory_equal(&o, &none, sizeof o);
	}
}

static void
test_values(void **state)
{
	static const struct {
		const char *line;
		uint64_t size_max;
		int32_t by_min;
	} rows[] = {
		{ "SIZE 5000", 5000, 0 }, { "SIZE 5000 ", 5000, 0 }, { "SIZE", 0, 0 }, { "SIZE 0", 0, 0 },
		{ "SIZE none", 0, 0 }, { "SIZE -1", 0, 0 }, { "SIZE 10x", 0, 0 },
		{ "SIZE 18446744073709551615", UINT64_MAX, 0 }, { "SIZE 18446744073709551616", 0, 0 },
		{ "DELIVERBY 240", 0, 240 }, { "DELIVERBY", 0, 0 }, { "DELIVERBY x", 0, 0 },
		{ "DELIVERBY 99999999999", 0, 0 },
	};
	struct offers o = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[128];

		snprintf(text, sizeof text, "x\n%s", rows[i].line);
		take(&o, text);
		assert_true(o.size == (strncmp(rows[i].line, "SIZE", 4) == 0));
		assert_true(o.size_max == rows[i].size_max);
		assert_int_equal(o.by_min, rows[i].by_min);
	}
	offers_free(&o);
}

static void
test_limits(void **state)
{
	static const struct {
		const char *line;
		unsigned mail, rcpt, domain;
	} rows[] = {
		{ "LIMITS MAILMAX=2 RCPTMAX=3 RCPTDOMAINMAX=1", 2, 3, 1 },
		{ "limits rcptmax=3", 0, 3, 0 },
		{ "LIMITS RCPTMAX=0 MAILMAX=5", 5, 0, 0 },
		{ "LIMITS RCPTMAX=abc MAILMAX=5", 5, 0, 0 },
		{ "LIMITS RCPTMAX= MAILMAX=5", 5, 0, 0 },
		{ "LIMITS RCPTMAX MAILMAX=5", 5, 0, 0 },
		{ "LIMITS RCPTMAX=-1 MAILMAX=5", 5, 0, 0 },
		{ "LIMITS RCPTMAX=1000000 MAILMAX=5", 5, 0, 0 },
		{ "LIMITS  OTHER=7  MAILMAX=5  ", 5, 0, 0 },
		{ "LIMITS =3 MAILMAX=5", 5, 0, 0 },
		{ "LIMITS", 0, 0, 0 },
		{ "RCPTMAX=3", 0, 0, 0 },
	};
	struct offers o = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[128];

		snprintf(text, sizeof text, "x\n%s", rows[i].line);
		take(&o, text);
		assert_int_equal(o.mail_max, rows[i].mail);
		assert_int_equal(o.rcpt_max, rows[i].rcpt);
		assert_int_equal(o.domain_max, rows[i].domain);
	}
	offers_free(&o);
}

static void
test_auth(void **state)
{
	static const struct {
		const char *text, *auth;
	} rows[] = {
		{ "x\nAUTH PLAIN LOGIN", "PLAIN LOGIN" }, { "x\nauth plain", "plain" },
		{ "x\nAUTH=LOGIN PLAIN", "LOGIN PLAIN" }, { "x\nAUTH=LOGIN\nAUTH PLAIN", "LOGIN  PLAIN" },
		{ "x\nAUTH", "" }, { "x AUTH PLAIN", "" },
	};
	struct offers o = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		take(&o, rows[i].text);
		assert_true(str_is(str_trim(buf_str(&o.auth)), rows[i].auth));
	}
	/* Nothing stays of the one before. */
	take(&o, "x\nSIZE 10\nAUTH PLAIN\nLIMITS MAILMAX=1");
	take(&o, "x");
	assert_true(!o.size && o.size_max == 0 && o.mail_max == 0 && o.auth.len == 0);
	offers_free(&o);
	offers_free(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		ROW("S-07, S-30: keywords are known in any case, with blanks around them", test_words),
		ROW("S-30, E-33: what is not known, or no keyword's line, offers nothing", test_no_words),
		ROW("E-02: a size that makes no sense is no limit", test_values),
		ROW("E-30: a limit that makes no sense costs none of the others", test_limits),
		ROW("A-14, S-10: mechanisms in the old form, too; and nothing of the EHLO before", test_auth),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
