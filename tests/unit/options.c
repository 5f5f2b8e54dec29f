#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../../compat/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define WORDS_MAX 24

static const char *const mode_names[] = {
	[MODE_DELIVER] = "deliver", [MODE_LIST] = "list", [MODE_ALIASES] = "aliases",
	[MODE_VERIFY] = "verify", [MODE_SMTP] = "smtp", [MODE_BATCH] = "batch", [MODE_FLUSH] = "flush",
};

/* A call in one line: the mode, what was asked for, and who gets it. */
static void
describe(const struct call *c, struct buf *out)
{
	const struct wishes *w = &c->wishes;

	buf_adds(out, mode_names[c->mode]);
	buf_addf(out, "%s%s%s%s%s", c->from_header ? " t" : "", c->dots_are_text ? " i" : "",
	    c->verbose ? " v" : "", c->interactive ? " odi" : "", c->flush ? " q" : "");
	if (c->retry_id != NULL)
		buf_addf(out, " id=%s", c->retry_id);
	if (c->sender != NULL)
		buf_addf(out, " f=%s", c->sender);
	if (c->full_name != NULL)
		buf_addf(out, " F=%s", c->full_name);
	if (c->wait != WAIT_UNSAID)
		buf_addf(out, " wait=%ld", c->wait);
	if (c->notify != 0) {
		buf_adds(out, " N=");
		dsn_put_notify(out, c->notify);
	}
	if (w->ret != DSN_RETURN_UNSAID)
		buf_addf(out, " R=%s", dsn_return_word(w->ret));
	if (w->envid != NULL)
		buf_addf(out, " V=%s", w->envid);
	if (w->body != DSN_BODY_UNSAID)
		buf_addf(out, " B=%s", dsn_body_word(w->body));
	buf_addf(out, "%s%s", w->smtputf8 ? " U" : "", w->requiretls ? " tls" : "");
	if (w->by != DSN_BY_UNSAID) {
		buf_adds(out, " by=");
		dsn_put_by(out, w, w->by_seconds);
	}
	if (w->hold_for != 0)
		buf_addf(out, " hold=+%u", (unsigned)w->hold_for);
	if (w->hold_until != 0)
		buf_addf(out, " hold=%lld", (long long)w->hold_until);
	if (w->priority != 0)
		buf_addf(out, " priority=%d", w->priority);
	for (size_t i = 0; i < c->to.n; i++)
		buf_addf(out, "%s%s", i == 0 ? " > " : " ", buf_c(&c->to.v[i].spec));
}

/* What a command line means, or its exit status, a space, and the reason. */
static void
read_line(enum mode mode, const char *const *words, struct buf *out)
{
	struct call c = { .mode = mode };
	struct why why = { 0 };
	char *argv[WORDS_MAX + 1];
	enum outcome o;
	size_t n = 0;

	for (; words[n] != NULL; n++) {
		assert_true(n < WORDS_MAX);
		argv[n] = mem_dup(str_of(words[n]));
	}
	argv[n] = NULL;
	buf_clear(out);
	o = options_read(&c, argv, &why);
	if (o == DONE) {
		describe(&c, out);
	} else {
		assert_int_equal(o, NEVER);
		buf_addf(out, "%d %s", why.exit, why.text);
	}
	call_free(&c);
	call_free(&c);
	while (n > 0)
		free(argv[--n]);
}

static void
print_words(const char *const *words)
{
	for (; *words != NULL; words++)
		print_error(" '%s'", *words);
	print_error("\n");
}

static void
expect(enum mode mode, const char *const *words, const char *wanted)
{
	struct buf got = { 0 };

	read_line(mode, words, &got);
	if (strcmp(buf_c(&got), wanted) != 0)
		print_words(words);
	assert_string_equal(buf_c(&got), wanted);
	buf_free(&got);
}

/* Refused with this status, and these words in the reason. */
static void
expect_refusal(enum mode mode, const char *const *words, int status, const char *reason)
{
	struct buf got = { 0 };
	char start[16];

	snprintf(start, sizeof start, "%d ", status);
	read_line(mode, words, &got);
	if (strncmp(buf_c(&got), start, strlen(start)) != 0 || strstr(buf_c(&got), reason) == NULL) {
		print_words(words);
		print_error("wanted %d with '%s', got '%s'\n", status, reason, buf_c(&got));
		fail();
	}
	buf_free(&got);
}

#define WORDS(...) ((const char *const []){ __VA_ARGS__, NULL })

/* ---- every option of the table ----------------------------------------------------- */

/* A value that the option takes, as far as it looks at it. */
static const char *
good_value(char letter)
{
	switch (letter) {
	case 'N':
		return "never";
	case 'R':
		return "full";
	case 'b':
		return "m";
	default:
		return "word";
	}
}

/* -I and -q mean that nothing is delivered; then recipients are refused. */
static bool
delivers(const struct option *o)
{
	return o->letter != 'I' && o->letter != 'q';
}

/* These words with two recipients behind them: both, and nobody else. */
static void
both_are_kept(const struct option *o, const char *first, const char *second)
{
	const char *words[8];
	struct buf got = { 0 };
	size_t n = 0;

	for (int dashes = 0; dashes < 2; dashes++) {
		n = 0;
		words[n++] = first;
		if (second != NULL)
			words[n++] = second;
		if (dashes)
			words[n++] = "--";
		words[n++] = "a@x.example";
		words[n++] = "b@y.example";
		words[n] = NULL;
		read_line(MODE_DELIVER, words, &got);
		if (!delivers(o)) {
			assert_memory_equal(buf_c(&got), "64 ", 3);
			continue;
		}
		if (strncmp(buf_c(&got), "deliver", 7) != 0 || strchr(buf_c(&got), '>') == NULL ||
		    strcmp(strchr(buf_c(&got), '>'), "> a@x.example b@y.example") != 0) {
			print_words(words);
			fail_msg("%s", buf_c(&got));
		}
	}
	buf_free(&got);
}

static void
no_option_swallows_or_invents_a_recipient_alone_or_behind_any_other(void **state)
{
	char word[64];

	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		const struct option *o = &options[i];
		const char *value = good_value(o->letter);

		for (size_t k = 0; k <= options_count; k++) {
			char before[2] = "";

			if (k < options_count) {
				if (options[k].arity != NONE || !delivers(&options[k]))
					continue;
				before[0] = options[k].letter;
			}
			if (o->arity != VALUE) {
				snprintf(word, sizeof word, "-%s%c", before, o->letter);
				both_are_kept(o, word, NULL);
				both_are_kept(o, word, "-i");
			}
			if (o->arity != NONE) {
				snprintf(word, sizeof word, "-%s%c%s", before, o->letter, value);
				both_are_kept(o, word, NULL);
			}
			if (o->arity == VALUE) {
				snprintf(word, sizeof word, "-%s%c", before, o->letter);
				both_are_kept(o, word, value);
			}
			if (o->arity == NONE) {
				snprintf(word, sizeof word, "-%s%ci", before, o->letter);
				both_are_kept(o, word, NULL);
			}
		}
	}
}

static void
an_option_without_its_value_is_refused_and_named(void **state)
{
	char word[8], reason[64];

	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		if (options[i].arity != VALUE)
			continue;
		snprintf(word, sizeof word, "-%c", options[i].letter);
		snprintf(reason, sizeof reason, "option %s needs a value", word);
		expect_refusal(MODE_DELIVER, WORDS(word), 64, reason);
		expect_refusal(MODE_DELIVER, WORDS("-t", word), 64, reason);
	}
}

static void
an_empty_value_is_a_value_and_the_next_word_is_none(void **state)
{
	struct buf got = { 0 };
	char word[8];

	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		if (options[i].arity != VALUE)
			continue;
		snprintf(word, sizeof word, "-%c", options[i].letter);
		/* Of these, an empty value is no word that they know. */
		if (strchr("NRb", options[i].letter) != NULL)
			expect_refusal(MODE_DELIVER, WORDS(word, "", "a@x.example", "b@y.example"), 64, "usage");
		else
			both_are_kept(&options[i], word, "");
	}
	expect(MODE_DELIVER, WORDS("-f", "", "a@x.example"), "deliver f= > a@x.example");
	expect(MODE_DELIVER, WORDS("-F", "", "a@x.example"), "deliver F= > a@x.example");
	expect(MODE_DELIVER, WORDS("-V", "", "a@x.example"), "deliver > a@x.example");
	buf_free(&got);
}

static void
a_value_that_looks_like_an_option_is_a_value(void **state)
{
	struct buf got = { 0 };
	char word[8];

	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		if (options[i].arity != VALUE || strchr("NRb", options[i].letter) != NULL)
			continue;
		snprintf(word, sizeof word, "-%c", options[i].letter);
		read_line(MODE_DELIVER, WORDS(word, "-t", "a@x.example"), &got);
		assert_null(strstr(buf_c(&got), " t"));
		assert_non_null(strstr(buf_c(&got), " > a@x.example"));
		read_line(MODE_DELIVER, WORDS(word, "--", "-i", "a@x.example"), &got);
		assert_non_null(strstr(buf_c(&got), " i"));
	}
	buf_free(&got);
}

static void
every_other_letter_is_refused(void **state)
{
	char word[3] = "-";

	(void)state;
	for (int letter = 1; letter < 256; letter++) {
		bool known = false;

		for (size_t i = 0; i < options_count; i++)
			known = known || (unsigned char)options[i].letter == letter;
		if (known || letter == '-')
			continue;
		word[1] = (char)letter;
		expect_refusal(MODE_DELIVER, WORDS(word, "a@x.example"), 64, "unknown option -");
		expect_refusal(MODE_DELIVER, WORDS("-i", word, "a@x.example"), 64, "unknown option -");
	}
}

static void
the_table_says_of_each_letter_what_it_is_and_why_it_does_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < options_count; i++) {
		assert_true(i == 0 || options[i - 1].letter < options[i].letter);
		assert_true(options[i].meaning != NULL && options[i].meaning[0] != '\0');
		assert_int_equal(options[i].apply == NULL, options[i].since != NULL);
	}
}

/* Written down a second time, because all that is tried above believes the table. */
static void
arities_are_those_of_sendmail(void **state)
{
	static const char *const letters[] = {
		[NONE] = "EGITUcimnstvx", [VALUE] = "ABCDFLMNORVXbefhopr", [GLUED] = "JQd", [SELECT] = "q",
	};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < options_count; i++)
		assert_non_null(strchr(letters[options[i].arity], options[i].letter));
	for (size_t i = 0; i < COUNT(letters); i++)
		n += strlen(letters[i]);
	assert_int_equal(n, options_count);
}

/* ---- calls ----------------------------------------------------------------------------- */

struct row {
	const char *words[WORDS_MAX];
	const char *wanted;
};

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect(MODE_DELIVER, rows[i].words, rows[i].wanted);
}

static void
what_programs_call_is_what_they_mean(void **state)
{
	static const struct row rows[] = {
		/* cron, at and their kin */
		{ { "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root" },
		    "deliver i F=CronDaemon B=8BITMIME > root" },                       /* Debian's cron */
		{ { "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root" },
		    "deliver t i odi f=root F=CronDaemon" },                            /* cronie */
		{ { "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "-oi", "-t", "-f", "me@x.example" },
		    "deliver t i f=me@x.example F=CronDaemon B=8BITMIME" },
		{ { "-FCronDaemon", "-odi", "-oem", "-or0s", "root" },
		    "deliver odi F=CronDaemon > root" },                                /* the BSDs */
		{ { "-Ffcron", "-odi", "root" }, "deliver odi F=fcron > root" },
		{ { "-FAnacron", "-odi", "root" }, "deliver odi F=Anacron > root" },
		{ { "-i", "-B8BITMIME", "www-data" }, "deliver i B=8BITMIME > www-data" },  /* systemd-cron */
		{ { "-i", "me" }, "deliver i > me" },                                   /* at */
		{ { "-oi", "me" }, "deliver i > me" },
		/* watchers */
		{ { "-t" }, "deliver t" },                              /* mdadm, sudo, logwatch */
		{ { "-oi", "-t" }, "deliver t i" },                     /* apt-listchanges */
		{ { "-oem", "-oi", "-t" }, "deliver t i" },
		{ { "root" }, "deliver > root" },
		{ { "root", "admin@x.example" }, "deliver > root admin@x.example" },    /* smartd */
		{ { "-froot", "-t" }, "deliver t f=root" },
		{ { "-t", "-oi", "-f", "root@x.example" }, "deliver t i f=root@x.example" },
		/* PHP and its libraries */
		{ { "-t", "-i" }, "deliver t i" },
		{ { "-t", "-i", "-fme@x.example" }, "deliver t i f=me@x.example" },
		{ { "-t", "-i", "-f", "me@x.example" }, "deliver t i f=me@x.example" },
		{ { "-t", "-i", "-fone@x.example", "-ftwo@x.example" }, "deliver t i f=two@x.example" },
		{ { "-t", "-i", "-f", "me@x.example", "-F", "My Shop" },
		    "deliver t i f=me@x.example F=My Shop" },
		{ { "-t", "-i", "-rme@x.example" }, "deliver t i f=me@x.example" },
		{ { "-t", "-i", "-O", "DeliveryMode=b" }, "deliver t i" },
		{ { "-t", "-i", "-ODeliveryMode=b" }, "deliver t i" },
		{ { "-t", "-i", "-R", "hdrs", "-N", "failure" }, "deliver t i N=FAILURE R=HDRS" },
		{ { "-oi", "-fme@x.example", "-t" }, "deliver t i f=me@x.example" },    /* PHPMailer */
		{ { "-bs" }, "smtp" },                                  /* Symfony, SwiftMailer */
		{ { "-t" }, "deliver t" },
		{ { "-ti" }, "deliver t i" },
		{ { "-t", "-oi" }, "deliver t i" },
		/* mail readers */
		{ { "-oem", "-oi", "--", "a@x.example", "b@y.example" },
		    "deliver i > a@x.example b@y.example" },                            /* mutt */
		{ { "-oem", "-oi", "-f", "me@x.example", "--", "a@x.example" },
		    "deliver i f=me@x.example > a@x.example" },
		{ { "-oem", "-oi", "-f", "me@x.example", "-B8BITMIME", "-N", "failure,delay", "-R", "hdrs", "--",
			"a@x.example" },
		    "deliver i f=me@x.example N=FAILURE,DELAY R=HDRS B=8BITMIME > a@x.example" },
		{ { "-bs", "-odb", "-oem" }, "smtp" },                  /* alpine */
		{ { "-bs", "-odi" }, "smtp odi" },
		{ { "-i", "a@x.example" }, "deliver i > a@x.example" }, /* bsd-mailx */
		{ { "-i", "-m", "a@x.example", "b" }, "deliver i > a@x.example b" },
		{ { "-i", "-f", "me@x.example", "a@x.example" }, "deliver i f=me@x.example > a@x.example" },
		{ { "-i", "-r", "me@x.example", "--", "a@x.example" },
		    "deliver i f=me@x.example > a@x.example" },                         /* s-nail */
		{ { "-i", "--", "a@x.example" }, "deliver i > a@x.example" },
		{ { "-oi", "-f", "me@x.example", "-t" }, "deliver t i f=me@x.example" },    /* mailutils */
		{ { "-m", "-t", "-i" }, "deliver t i" },                /* mh */
		{ { "-oi", "-f", "me", "-oem", "-odb", "-t" }, "deliver t i f=me" },    /* emacs */
		{ { "-oi", "-F", "A B", "-f", "me", "-oem", "-odb", "a@x.example" },
		    "deliver i f=me F=A B > a@x.example" },
		{ { "-oi", "-oem", "-om", "-v", "a@x.example" }, "deliver i v > a@x.example" },
		/* senders of patches, bug reports and lists */
		{ { "-i", "a@x.example", "b@y.example" }, "deliver i > a@x.example b@y.example" },  /* git */
		{ { "-f", "me@x.example", "-i", "a@x.example" }, "deliver i f=me@x.example > a@x.example" },
		{ { "-oi", "-oem", "-t" }, "deliver t i" },             /* reportbug */
		{ { "-oi", "-oee", "-fowner@x.example", "a@x.example" },
		    "deliver i f=owner@x.example > a@x.example" },                      /* majordomo */
		{ { "-oi", "-ODeliveryMode=b", "-OErrorMode=m", "-t" }, "deliver t i" },    /* RT */
		{ { "-odb", "-oi", "-oem", "-f", "<>", "a@x.example" }, "deliver i f=<> > a@x.example" },
		/* filters and fetchers */
		{ { "-f", "<>", "--", "a@x.example" }, "deliver f=<> > a@x.example" },  /* vacation */
		{ { "-f<>", "a@x.example" }, "deliver f=<> > a@x.example" },
		{ { "-i", "-f", "me@x.example", "--", "you" }, "deliver i f=me@x.example > you" },  /* fetchmail */
		{ { "-oi", "-f", "me@x.example", "you" }, "deliver i f=me@x.example > you" },   /* procmail */
		{ { "-oi", "-oMrUUCP", "-oMshost", "-fme@x.example", "you" },
		    "deliver i f=me@x.example > you" },                                 /* rmail */
		{ { "-G", "-i", "-f", "me@x.example", "--", "a@x.example" },
		    "deliver i f=me@x.example > a@x.example" },                         /* filters */
		{ { "-oi", "-p", "SMTP:host", "-h", "3", "a@x.example" }, "deliver i > a@x.example" },
		/* libraries */
		{ { "-i", "-f", "me@x.example", "a@x.example", "b@x.example" },
		    "deliver i f=me@x.example > a@x.example b@x.example" },             /* nodemailer, perl */
		{ { "-i", "-t", "-f", "me@x.example" }, "deliver t i f=me@x.example" }, /* ruby */
		{ { "-t", "-oi", "-oem" }, "deliver t i" },             /* MIME::Lite */
		{ { "-t", "-f", "me@x.example", "-o", "i" }, "deliver t i f=me@x.example" },    /* busybox */
		{ { "-bm", "-t" }, "deliver t" },
		{ { "-B", "8BITMIME", "-N", "never", "-V", "id 1", "-t" }, "deliver t N=NEVER V=id+201 B=8BITMIME" },
		/* the queue */
		{ { "-bp" }, "list" },
		{ { "-bp", "-v" }, "list v" },
		{ { "-Ac", "-bp" }, "list" },
		{ { "-q" }, "flush q" },
		{ { "-q15m" }, "flush q" },
		{ { "-qf", "-v" }, "flush v q" },
		{ { "-Ac", "-q" }, "flush q" },
		{ { "-v", "-q", "-OTimeout.hoststatus=0s" }, "flush v q" },
		{ { "-bi" }, "aliases" },
		{ { "-I" }, "aliases" },
		{ { "-bv", "root" }, "verify > root" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
wishes_are_read_in_every_spelling(void **state)
{
	static const struct row rows[] = {
		{ { "-N", "success,failure", "a@x.example" }, "deliver N=SUCCESS,FAILURE > a@x.example" },
		{ { "-NSUCCESS,Delay", "a@x.example" }, "deliver N=SUCCESS,DELAY > a@x.example" },
		{ { "-Nnever", "a@x.example" }, "deliver N=NEVER > a@x.example" },
		{ { "-Nnever", "-Nfailure", "a@x.example" }, "deliver N=FAILURE > a@x.example" },
		{ { "-Rfull", "a@x.example" }, "deliver R=FULL > a@x.example" },
		{ { "-R", "HDRS", "a@x.example" }, "deliver R=HDRS > a@x.example" },
		{ { "-R", "headers", "a@x.example" }, "deliver R=HDRS > a@x.example" },
		{ { "-V", "a+b=c", "a@x.example" }, "deliver V=a+2Bb+3Dc > a@x.example" },
		{ { "-Vfirst", "-Vsecond", "a@x.example" }, "deliver V=second > a@x.example" },
		{ { "-Vfirst", "-V", "", "a@x.example" }, "deliver > a@x.example" },
		{ { "-V+=", "a@x.example" }, "deliver V=+2B+3D > a@x.example" },
		{ { "-B7BIT", "a@x.example" }, "deliver B=7BIT > a@x.example" },
		{ { "-B", "8bitmime", "a@x.example" }, "deliver B=8BITMIME > a@x.example" },
		{ { "-B", "BINARYMIME", "a@x.example" }, "deliver > a@x.example" },
		{ { "-U", "a@x.example" }, "deliver U > a@x.example" },
		{ { "-O", "requiretls=yes", "a@x.example" }, "deliver tls > a@x.example" },
		{ { "-ORequireTLS=Yes", "a@x.example" }, "deliver tls > a@x.example" },
		{ { "-O", "requiretls = true", "a@x.example" }, "deliver tls > a@x.example" },
		{ { "-Orequiretls=yes", "-Orequiretls=no", "a@x.example" }, "deliver > a@x.example" },
		{ { "-O", "wait=30", "a@x.example" }, "deliver wait=30 > a@x.example" },
		{ { "-Owait=5m", "a@x.example" }, "deliver wait=300 > a@x.example" },
		{ { "-Owait=0", "a@x.example" }, "deliver wait=0 > a@x.example" },
		{ { "-Owait=1d", "a@x.example" }, "deliver wait=86400 > a@x.example" },
		{ { "-O", "deliverby=2h", "a@x.example" }, "deliver by=7200;R > a@x.example" },
		{ { "-O", "DeliverBy=90,notify", "a@x.example" }, "deliver by=90;N > a@x.example" },
		{ { "-O", "deliverby=1d,trace,return", "a@x.example" }, "deliver by=86400;RT > a@x.example" },
		{ { "-O", "deliverby=1d,trace", "-Odeliverby=1h", "a@x.example" }, "deliver by=3600;R > a@x.example" },
		{ { "-O", "holdfor=8h", "a@x.example" }, "deliver hold=+28800 > a@x.example" },
		{ { "-O", "holduntil=2026-11-25T04:06:30+01:00", "a@x.example" }, "deliver hold=1795575990 > a@x.example" },
		{ { "-Oholdfor=1", "-Oholduntil=2026-11-25T03:06:30Z", "a@x" }, "deliver hold=1795575990 > a@x" },
		{ { "-Oholduntil=2026-11-25T03:06:30Z", "-O", "HoldFor=1", "a@x" }, "deliver hold=+1 > a@x" },
		{ { "-O", "mt-priority=-4", "a@x.example" }, "deliver priority=-4 > a@x.example" },
		{ { "-O", "MT-Priority = 9", "a@x.example" }, "deliver priority=9 > a@x.example" },
		{ { "-Oawait=x", "-OTimeout.queuereturn=5d", "-O", "x", "a@x.example" }, "deliver > a@x.example" },
		{ { "-odi", "a@x.example" }, "deliver odi > a@x.example" },
		{ { "-o", "dinteractive", "a@x.example" }, "deliver odi > a@x.example" },
		{ { "-odi", "-odb", "a@x.example" }, "deliver > a@x.example" },
		{ { "-odq", "a@x.example" }, "deliver > a@x.example" },
		{ { "-oiTrue", "a@x.example" }, "deliver i > a@x.example" },
		{ { "-oiFalse", "a@x.example" }, "deliver > a@x.example" },
		{ { "-oitem", "-o", "", "a@x.example" }, "deliver i > a@x.example" },
		{ { "-oQ/x", "-oA/x", "-oem", "-om", "-or5m", "a@x.example" }, "deliver > a@x.example" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
queue_runs_take_the_id_glued_or_as_the_next_word(void **state)
{
	static const struct row rows[] = {
		{ { "-qI00ABC" }, "flush q id=00ABC" },
		{ { "-qI", "00ABC" }, "flush q id=00ABC" },
		{ { "-v", "-qI", "00ABC", "-i" }, "flush i v q id=00ABC" },
		{ { "-qRx.example" }, "flush q" },
		{ { "-qR", "x.example" }, "flush q" },
		{ { "-qR" }, "flush q" },
		{ { "-qS", "me@x.example" }, "flush q" },
		{ { "-qG", "group" }, "flush q" },
		{ { "-qGgroup" }, "flush q" },
		{ { "-q!Rx.example" }, "flush q" },
		{ { "-qQ" }, "flush q" },
		{ { "-qp5m" }, "flush q" },
		{ { "-qff" }, "flush q" },
		{ { "-q0" }, "flush q" },
		{ { "-bm", "-q" }, "flush q" },
		{ { "-bp", "-q" }, "list q" },
	};
	static const struct {
		const char *words[4];
		const char *reason;
	} refused[] = {
		{ { "-qI" }, "-qI needs the id" },
		{ { "-qI", "" }, "-qI needs the id" },
		{ { "-q", "a@x.example" }, "-q tries what waits" },
		{ { "-q", "15m" }, "-q tries what waits" },
		{ { "-q", "-t" }, "no -t" },
		{ { "-t", "-qI00ABC" }, "no -t" },
		{ { "-qQ", "a@x.example" }, "-q tries what waits" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
	for (size_t i = 0; i < COUNT(refused); i++)
		expect_refusal(MODE_DELIVER, refused[i].words, 64, refused[i].reason);
}

static void
the_names_mailq_and_newaliases_take_old_options_and_no_words(void **state)
{
	static const struct {
		enum mode mode;
		const char *words[4];
		const char *wanted;     /* behind '!': a part of the refusal */
	} rows[] = {
		{ MODE_LIST, { NULL }, "list" },
		{ MODE_LIST, { "-v" }, "list v" },
		{ MODE_LIST, { "-Ac", "-v" }, "list v" },
		{ MODE_LIST, { "-qRx.example" }, "list q" },
		{ MODE_LIST, { "-O", "x=y" }, "list" },
		{ MODE_LIST, { "--" }, "list" },
		{ MODE_LIST, { "0000" }, "!subpost show ID" },
		{ MODE_LIST, { "-t" }, "!-t reads a message" },
		{ MODE_ALIASES, { "-t" }, "!-t reads a message" },
		{ MODE_DELIVER, { "-bi", "-t" }, "!-t reads a message" },
		{ MODE_DELIVER, { "-It" }, "!-t reads a message" },
		{ MODE_DELIVER, { "-ti", "-bp" }, "!-t reads a message" },
		{ MODE_LIST, { "a b c" }, "!subpost show ID" },
		{ MODE_LIST, { "-Z" }, "!unknown option -Z" },
		{ MODE_LIST, { "--json" }, "!unknown option" },
		{ MODE_ALIASES, { NULL }, "aliases" },
		{ MODE_ALIASES, { "-v" }, "aliases v" },
		{ MODE_ALIASES, { "-oA/etc/aliases" }, "aliases" },
		{ MODE_ALIASES, { "root" }, "!sendmail -bv NAME" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].wanted[0] == '!')
			expect_refusal(rows[i].mode, rows[i].words, 64, rows[i].wanted + 1);
		else
			expect(rows[i].mode, rows[i].words, rows[i].wanted);
	}
}

static void
wrong_calls_are_refused_with_what_to_do(void **state)
{
	static const struct {
		const char *words[6];
		int status;
		const char *reason;
	} rows[] = {
		{ { NULL }, 64, "no recipient" },
		{ { "-i" }, 64, "no recipient" },
		{ { "--" }, 64, "no recipient" },
		{ { "" }, 64, "no recipient" },
		{ { "-bm" }, 64, "no recipient" },
		{ { "--help" }, 64, "usage: sendmail" },
		{ { "--version" }, 64, "usage: sendmail" },
		{ { "---", "a@x.example" }, 64, "unknown option" },
		{ { "-N", "often", "a@x.example" }, 64, "never, or a list" },
		{ { "-N", "never,failure", "a@x.example" }, 64, "never, or a list" },
		{ { "-N", "a@x.example" }, 64, "never, or a list" },
		{ { "-R", "all", "a@x.example" }, 64, "full or hdrs" },
		{ { "-R", "a@x.example" }, 64, "full or hdrs" },
		{ { "-V", "a\nb", "a@x.example" }, 64, "printable" },
		{ { "-V", "\303\274", "a@x.example" }, 64, "printable" },
		{ { "-O", "requiretls=maybe", "a@x.example" }, 64, "yes or no" },
		{ { "-O", "requiretls", "a@x.example" }, 64, "yes or no" },
		{ { "-O", "wait=", "a@x.example" }, 64, "takes seconds" },
		{ { "-O", "wait=-1", "a@x.example" }, 64, "takes seconds" },
		{ { "-O", "wait=2d", "a@x.example" }, 64, "takes seconds" },
		{ { "-O", "deliverby=0", "a@x.example" }, 64, "-O deliverby= takes a time" },
		{ { "-O", "deliverby=-1,notify", "a@x.example" }, 64, "takes a time" },
		{ { "-O", "deliverby=2h;R", "a@x.example" }, 64, "takes a time" },
		{ { "-O", "deliverby=2h,", "a@x.example" }, 64, "takes a time" },
		{ { "-O", "deliverby=2h,soon", "a@x.example" }, 64, "takes a time" },
		{ { "-O", "deliverby=99999d", "a@x.example" }, 64, "takes a time" },
		{ { "-O", "holdfor=367d", "a@x.example" }, 64, "up to 366d" },
		{ { "-O", "holdfor=", "a@x.example" }, 64, "up to 366d" },
		{ { "-O", "holduntil=tomorrow", "a@x.example" }, 64, "date -Is" },
		{ { "-O", "holduntil=2026-11-25T03:06:30", "a@x.example" }, 64, "date -Is" },
		{ { "-O", "mt-priority=10", "a@x.example" }, 64, "from -9 to 9" },
		{ { "-O", "mt-priority", "a@x.example" }, 64, "from -9 to 9" },
		{ { "-bt" }, 64, "sendmail -bv ADDRESS" },
		{ { "-bd" }, 64, "-bd would start a server" },
		{ { "-bD" }, 64, "-bD would start a server" },
		{ { "-bl" }, 64, "-bl would start a server" },
		{ { "-bd", "-q15m" }, 64, "-bd would start a server" },
		{ { "-q15m", "-bd" }, 64, "-bd would start a server" },
		{ { "-ba" }, 64, "is -bs" },
		{ { "-bh" }, 64, "mailq" },
		{ { "-bH" }, 64, "sendmail -q" },
		{ { "-bP" }, 64, "subpost check" },
		{ { "-bC" }, 64, "subpost check" },
		{ { "-bO" }, 64, "subpost check" },
		{ { "-bV" }, 64, "subpost check" },
		{ { "-bq", "a@x.example" }, 64, "-bm" },
		{ { "-bz", "a@x.example" }, 64, "m (deliver)" },
		{ { "-b", "", "a@x.example" }, 64, "m (deliver)" },
		{ { "-bv" }, 64, "-bv explains" },
		{ { "-bv", "-t", "a@x.example" }, 64, "-bv explains" },
		{ { "-bs", "a@x.example" }, 64, "in the dialogue" },
		{ { "-bS", "a@x.example" }, 64, "in the batch" },
		{ { "-bp", "a@x.example" }, 64, "subpost show ID" },
		{ { "-bi", "a@x.example" }, 64, "-bv NAME" },
		{ { "-S", "a@x.example" }, 64, "unknown option -S" },
		{ { "-auser", "a@x.example" }, 64, "unknown option -a" },
		{ { "-4", "a@x.example" }, 64, "unknown option -4" },
		{ { "<>" }, 65, "no address between" },
		{ { "a@x.example", "<>" }, 65, "no address between" },
		{ { "a@x.example", "a b@x.example" }, 65, "" },
		{ { "a@x.example\nRCPT TO:<b@x.example>" }, 65, "" },
		{ { "a@x.example, \"b" }, 65, "" },
		{ { "(a@x.example" }, 65, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refusal(MODE_DELIVER, rows[i].words, rows[i].status, rows[i].reason);
}

static void
options_end_at_two_dashes_or_the_first_other_word(void **state)
{
	static const struct row rows[] = {
		{ { "--", "-t", "-f" }, "deliver > -t -f" },
		{ { "-i", "--", "--" }, "deliver i > --" },
		{ { "a@x.example", "-t", "-fme" }, "deliver > a@x.example -t -fme" },
		{ { "a@x.example", "--", "b@x.example" }, "deliver > a@x.example -- b@x.example" },
		{ { "-" }, "deliver > -" },
		{ { "-", "-t" }, "deliver > - -t" },
		{ { "", "-t" }, "deliver > -t" },
		{ { "a@x.example, b@y.example" }, "deliver > a@x.example b@y.example" },
		{ { "\"a, b\"@x.example", "c" }, "deliver > \"a, b\"@x.example c" },
		{ { "Team: a@x.example, b@x.example;" }, "deliver > a@x.example b@x.example" },
	};

	(void)state;
	check_rows(rows, COUNT(rows));
}

static void
an_envelope_id_has_its_limit_in_its_wire_form(void **state)
{
	char id[DSN_ENVID_MAX + 2], wanted[200];

	(void)state;
	memset(id, 'x', sizeof id);
	id[DSN_ENVID_MAX] = '\0';
	snprintf(wanted, sizeof wanted, "deliver V=%s > a", id);
	expect(MODE_DELIVER, WORDS("-V", id, "a"), wanted);
	id[DSN_ENVID_MAX] = 'x';
	id[DSN_ENVID_MAX + 1] = '\0';
	expect_refusal(MODE_DELIVER, WORDS("-V", id, "a"), 64, "at most 100");
	memset(id, '+', sizeof id);
	id[DSN_ENVID_MAX / 3 + 1] = '\0';
	expect_refusal(MODE_DELIVER, WORDS("-V", id, "a"), 64, "at most 100");
}

static void
arguments_have_a_limit_together(void **state)
{
	size_t size = OPTIONS_ARGUMENTS_MAX / 4;
	char *word = mem_alloc(size + 1);
	struct buf got = { 0 };

	(void)state;
	memset(word, ' ', size);
	word[0] = 'a';
	word[size - 1] = '\0';
	read_line(MODE_DELIVER, WORDS(word, word, word, word), &got);
	assert_string_equal(buf_c(&got), "deliver > a a a a");
	word[size - 1] = ' ';
	expect_refusal(MODE_DELIVER, WORDS(word, word, word, word), 64, "with -t");
	/* Short ones are many. */
	for (size_t i = 0; i + 1 < size; i += 2) {
		word[i] = 'a';
		word[i + 1] = ',';
	}
	expect_refusal(MODE_DELIVER, WORDS(word), 65, "recipients on the command line");
	buf_free(&got);
	free(word);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_option_swallows_or_invents_a_recipient_alone_or_behind_any_other),
		cmocka_unit_test(an_option_without_its_value_is_refused_and_named),
		cmocka_unit_test(an_empty_value_is_a_value_and_the_next_word_is_none),
		cmocka_unit_test(a_value_that_looks_like_an_option_is_a_value),
		cmocka_unit_test(every_other_letter_is_refused),
		cmocka_unit_test(the_table_says_of_each_letter_what_it_is_and_why_it_does_nothing),
		cmocka_unit_test(arities_are_those_of_sendmail),
		cmocka_unit_test(what_programs_call_is_what_they_mean),
		cmocka_unit_test(wishes_are_read_in_every_spelling),
		cmocka_unit_test(queue_runs_take_the_id_glued_or_as_the_next_word),
		cmocka_unit_test(the_names_mailq_and_newaliases_take_old_options_and_no_words),
		cmocka_unit_test(wrong_calls_are_refused_with_what_to_do),
		cmocka_unit_test(options_end_at_two_dashes_or_the_first_other_word),
		cmocka_unit_test(an_envelope_id_has_its_limit_in_its_wire_form),
		cmocka_unit_test(arguments_have_a_limit_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
