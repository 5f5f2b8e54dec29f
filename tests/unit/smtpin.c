#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "../../src/file.h"
#include "../lib/counter.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what the counter refuses ---------------------------------------------------- */

static enum outcome
judge_sender(const char *sender, struct why *why)
{
	return strcmp(sender, "alien@x") == 0 ? refuse(why, EX_NOPERM, "not yours") : DONE;
}

static enum outcome
judge_recipient(struct str spec, struct why *why)
{
	static const struct {
		const char *spec;
		int exit;
	} known[] = {
		{ "nobody@y", EX_NOUSER }, { "nowhere@y", EX_NOHOST }, { "odd@y", EX_DATAERR },
		{ "later@y", EX_TEMPFAIL }, { "broken@y", EX_CONFIG }, { "mine@y", EX_NOPERM },
		{ "full@y", EX_CANTCREAT },
	};
	static const char *const words = "one two three four five six seven eight nine ten eleven twelve ";

	for (size_t i = 0; i < COUNT(known); i++)
		if (str_is(spec, known[i].spec))
			return refuse(why, known[i].exit, "because of %s", known[i].spec);
	if (str_is(spec, "long@y"))
		return refuse(why, EX_NOUSER, "%s%s%s%s%s%s%s%s%s\xc3\xa9 end", words, words, words, words,
		    words, words, words, words, words);
	return DONE;
}

/* A sender "exitNN@x" has its messages refused with that. */
static enum outcome
judge_message(const struct submission *asked, struct str text, struct why *why)
{
	(void)text;
	if (strncmp(asked->sender, "exit", 4) != 0)
		return DONE;
	return refuse(why, (int)strtol(asked->sender + 4, NULL, 10), "because of %s", asked->sender);
}

/* ---- how the client's words are cut ---------------------------------------------- */

static size_t cut_at;

static bool
nowhere(size_t at)
{
	(void)at;
	return false;
}

static bool
everywhere(size_t at)
{
	(void)at;
	return true;
}

static bool
at_one_place(size_t at)
{
	return at == cut_at;
}

static bool
behind_lines(size_t at)
{
	(void)at;
	return client.rest.p[-1] == '\n';
}

struct result {
	struct buf replies;
	struct buf log;         /* of the counter */
	struct buf errors;      /* standard error */
	enum outcome outcome;
	struct why why;
	unsigned waits;
	bool unheard;
};

static void
free_result(struct result *r)
{
	buf_free(&r->replies);
	buf_free(&r->log);
	buf_free(&r->errors);
}

static char hostname[20] = "host.example.net";

static struct counter
make_counter(void)
{
	static char domain[] = "example.net";
	struct counter c = COUNTER_INIT;

	c.office.config.domain = domain;
	c.office.config.hostname = hostname;
	c.office.config.max_size = 60000;
	c.office.config.max_recipients = 3;
	return c;
}

static struct result
converse(struct str said, bool batch, bool (*cut_here)(size_t))
{
	struct counter c = make_counter();
	struct result r = { 0 };
	int err = memfd_create("err", MFD_CLOEXEC), before = dup(2);

	dup2(err, 2);
	r.outcome = counter_converse(&c, said, batch, cut_here, &r.replies, &r.why);
	dup2(before, 2);
	close(before);
	r.waits = client.waits;
	r.unheard = box.unheard;
	buf_addstr(&r.log, buf_str(&box.log));
	lseek(err, 0, SEEK_SET);
	assert_int_equal(file_read_all(err, &r.errors, SIZE_MAX), 0);
	close(err);
	return r;
}

/* "220, 250, 503 5.5.1": a reply a word, with its status where it is a no. */
static void
sum_up(struct str replies, struct buf *out)
{
	struct str line;

	while (str_line(&replies, &line)) {
		size_t n = 3;

		assert_true(line.len > 4 && line.len <= 511 && line.p[line.len - 1] == '\r');
		assert_true(line.p[3] == ' ' || line.p[3] == '-');
		if (line.p[3] == '-')
			continue;
		if (line.p[0] >= '4') {
			assert_int_equal(line.p[0], line.p[4]);
			n = 4 + str_find(str_from(line.p + 4, line.len - 4), ' ');
		}
		if (out->len > 0)
			buf_adds(out, ", ");
		buf_add(out, line.p, n);
	}
}

/* ---- dialogues -------------------------------------------------------------------------- */

struct row {
	const char *name;
	struct str said;
	const char *replies;
	const char *queued;
	int exit;
};

#define SAID(literal) { literal, sizeof(literal) - 1 }
#define HI "EHLO me.example\r\n"
#define PEER "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
#define OPEN HI PEER
#define TEXT OPEN "DATA\r\n"
#define BYE "QUIT\r\n"

static const struct row rows[] = {
	/* in order */
	{ "a message", SAID(TEXT "Subject: x\r\n\r\nhi\r\n.\r\n" BYE),
	    "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:Subject: x\n\nhi\n|", 0 },
	{ "HELO", SAID("HELO me\r\n" PEER "DATA\r\nx\r\n.\r\n" BYE),
	    "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:x\n|", 0 },
	{ "no greeting", SAID(PEER "DATA\r\nx\r\n.\r\n" BYE),
	    "220, 250, 250, 354, 250, 221", "a@x>b@y:x\n|", 0 },
	{ "two messages", SAID(TEXT "1\r\n.\r\nMAIL FROM:<c@x>\r\nRCPT TO:<d@y>\r\nDATA\r\n2\r\n.\r\n" BYE),
	    "220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221", "a@x>b@y:1\n|c@x>d@y:2\n|", 0 },
	{ "no QUIT", SAID(TEXT "x\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:x\n|", 0 },
	{ "nothing at all", SAID(""), "220", "", 0 },
	{ "a command without its line end", SAID(HI "QUIT"), "220, 250", "", 0 },
	{ "words in any case", SAID("ehlo me\r\nmail from:<a@x>\r\nRcpt tO:<b@y>\r\ndata\r\nx\r\n.\r\nquit\r\n"),
	    "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:x\n|", 0 },
	{ "blanks around", SAID(" EHLO  me \r\n MAIL  FROM: <a@x> \r\nRCPT TO : <b@y>\r\nDATA \r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:x\n|", 0 },
	{ "no brackets", SAID(HI "MAIL FROM: a@x SIZE=1\r\nRCPT TO:b@y\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:x\n|", 0 },
	{ "the null sender", SAID(HI "MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", ">b@y:x\n|", 0 },
	{ "bare names", SAID(HI "MAIL FROM:<root>\r\nRCPT TO:<Postmaster>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "root>Postmaster:x\n|", 0 },
	{ "source routes", SAID(HI "MAIL FROM:<@r,@s:a@x>\r\nRCPT TO:<@r:b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:x\n|", 0 },
	{ "a bracket and a space in quotes",
	    SAID(HI "MAIL FROM:<\"a> b\"@x>\r\nRCPT TO:<\"c\\\" >\"@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "\"a> b\"@x>\"c\\\" >\"@y:x\n|", 0 },
	{ "an empty text", SAID(TEXT ".\r\n" BYE), "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:|", 0 },
	{ "VRFY, NOOP and HELP inside", SAID(OPEN "VRFY b\r\nNOOP x\r\nHELP\r\nHELP MAIL\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 252, 250, 214, 214, 354, 250", "a@x>b@y:x\n|", 0 },
	/* forgotten */
	{ "RSET", SAID(OPEN "RSET\r\nDATA\r\nMAIL FROM:<c@x>\r\nRCPT TO:<d@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 250, 503 5.5.1, 250, 250, 354, 250", "c@x>d@y:x\n|", 0 },
	{ "EHLO resets", SAID(OPEN HI "DATA\r\n"), "220, 250, 250, 250, 250, 503 5.5.1", "", 0 },
	{ "HELO resets", SAID(OPEN "HELO me\r\nRCPT TO:<b@y>\r\n"),
	    "220, 250, 250, 250, 250, 503 5.5.1", "", 0 },
	{ "QUIT forgets", SAID(OPEN BYE "DATA\r\n"), "220, 250, 250, 250, 221", "", 0 },
	/* parameters */
	{ "all of MAIL", SAID(HI "MAIL FROM:<a@x> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=q+2B1 AUTH=<>\r\n"
	    "RCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"), "220, 250, 250, 250, 354, 250",
	    "a@x;body=8BITMIME;ret=HDRS;envid=q+2B1>b@y:x\n|", 0 },
	{ "all of RCPT", SAID(HI "MAIL FROM:<a@x>\r\nRCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2B1@y\r\n"
	    "RCPT TO:<c@y> notify=never\r\nDATA\r\nx\r\n.\r\n"), "220, 250, 250, 250, 250, 354, 250",
	    "a@x>b@y;notify=SUCCESS,DELAY;orcpt=rfc822;b+2B1@y,c@y;notify=NEVER:x\n|", 0 },
	{ "wishes end with their message", SAID(HI "MAIL FROM:<a@x> RET=FULL ENVID=1\r\nRCPT TO:<b@y> NOTIFY=NEVER\r\n"
	    "DATA\r\nx\r\n.\r\n" PEER "DATA\r\ny\r\n.\r\n"), "220, 250, 250, 250, 354, 250, 250, 250, 354, 250",
	    "a@x;ret=FULL;envid=1>b@y;notify=NEVER:x\n|a@x>b@y:y\n|", 0 },
	{ "unknown ones", SAID(HI "MAIL FROM:<a@x> MTRK=1\r\nMAIL FROM:<a@x> NOTIFY=NEVER\r\nMAIL FROM:<a@x> REQUIRETLS\r\n"
	    "MAIL FROM:<a@x>\r\nRCPT TO:<b@y> RET=FULL\r\n" BYE), "220, 250, 555 5.5.4, 555 5.5.4, 555 5.5.4, 250, 555 5.5.4, 221",
	    "", 0 },
	{ "wishes of when", SAID(HI "MAIL FROM:<a@x> BY=60;RT HOLDFOR=90 MT-PRIORITY=-2\r\nRCPT TO:<b@y>\r\n"
	    "DATA\r\nx\r\n.\r\nMAIL FROM:<a@x> HOLDUNTIL=2026-11-25T03:06:30Z\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"
	    "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n" BYE),
	    "220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221",
	    "a@x;by=60;RT;hold=90,0;priority=-2>b@y:x\n|a@x;hold=0,1795575990>b@y:x\n|a@x>b@y:x\n|", 0 },
	{ "wrong values", SAID(HI "MAIL FROM:<a@x> SIZE=\r\nMAIL FROM:<a@x> SIZE=-1\r\nMAIL FROM:<a@x> SIZE\r\n"
	    "MAIL FROM:<a@x> BODY=BINARYMIME\r\nMAIL FROM:<a@x> RET=SOME\r\nMAIL FROM:<a@x> ENVID=\r\n"
	    "MAIL FROM:<a@x> ENVID=+2\r\nMAIL FROM:<a@x> SMTPUTF8=yes\r\nMAIL FROM:<a@x> AUTH=\r\n"),
	    "220, 250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4",
	    "", 0 },
	{ "wrong values of RCPT", SAID(HI "MAIL FROM:<a@x>\r\nRCPT TO:<b@y> NOTIFY=NEVER,DELAY\r\n"
	    "RCPT TO:<b@y> NOTIFY=\r\nRCPT TO:<b@y> ORCPT=b@y\r\n" BYE),
	    "220, 250, 250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 221", "", 0 },
	{ "given twice", SAID(HI "MAIL FROM:<a@x> SIZE=1 SIZE=2\r\nMAIL FROM:<a@x> envid=1 ENVID=2\r\n"),
	    "220, 250, 501 5.5.4, 501 5.5.4", "", 0 },
	{ "too large, says SIZE", SAID(HI "MAIL FROM:<a@x> SIZE=60001\r\nMAIL FROM:<a@x> SIZE=60000\r\n" BYE),
	    "220, 250, 552 5.3.4, 250, 221", "", 0 },
	{ "SIZE beyond all numbers", SAID(HI "MAIL FROM:<a@x> SIZE=99999999999999999999999\r\n"),
	    "220, 250, 501 5.5.4", "", 0 },
	{ "another alphabet with SMTPUTF8", SAID(HI "MAIL FROM:<\xc3\xa9@x> SMTPUTF8\r\nRCPT TO:<b\xc3\xa9@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "\xc3\xa9@x;smtputf8>b\xc3\xa9@y:x\n|", 0 },
	{ "and without", SAID(HI "MAIL FROM:<\xc3\xa9@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b\xc3\xa9@y>\r\n" BYE),
	    "220, 250, 553 5.6.7, 250, 553 5.6.7, 221", "", 0 },
	{ "octets that are no alphabet's", SAID(HI "MAIL FROM:<\xe9@x> SMTPUTF8\r\nMAIL FROM:<a@x> SMTPUTF8\r\nRCPT TO:<\xff@y>\r\n" BYE),
	    "220, 250, 553 5.1.7, 250, 553 5.1.3, 221", "", 0 },
	/* refused */
	{ "no address", SAID(HI "MAIL FROM:<a b@x>\r\nMAIL FROM:<a@x,b@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<@y>\r\nRCPT TO:<>\r\n" BYE),
	    "220, 250, 553 5.1.7, 553 5.1.7, 250, 553 5.1.3, 553 5.1.3, 221", "", 0 },
	{ "no form", SAID(HI "MAIL\r\nMAIL FROM\r\nMAIL FROM:\r\nMAIL TO:<a@x>\r\nMAIL FROM:<a@x\r\nMAIL FROM:<a@x>SIZE=1\r\nMAIL <a@x>\r\n"),
	    "220, 250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4", "", 0 },
	{ "a quote that is not closed", SAID(HI "MAIL FROM:<\"a@x>\r\nMAIL FROM:\"a\\\r\n"),
	    "220, 250, 501 5.5.4, 553 5.1.7", "", 0 },
	{ "someone else's sender", SAID(HI "MAIL FROM:<alien@x>\r\nRCPT TO:<b@y>\r\n"),
	    "220, 250, 550 5.7.1, 503 5.5.1", "", 0 },
	{ "recipients", SAID(HI "MAIL FROM:<a@x>\r\nRCPT TO:<nobody@y>\r\nRCPT TO:<nowhere@y>\r\nRCPT TO:<odd@y>\r\n"
	    "RCPT TO:<later@y>\r\nRCPT TO:<broken@y>\r\nRCPT TO:<mine@y>\r\nRCPT TO:<full@y>\r\n" BYE),
	    "220, 250, 250, 550 5.1.1, 550 5.1.2, 553 5.1.3, 451 4.3.0, 451 4.3.5, 550 5.7.1, 451 4.3.0, 221", "", 0 },
	{ "one of two recipients", SAID(HI "MAIL FROM:<a@x>\r\nRCPT TO:<nobody@y>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 550 5.1.1, 250, 354, 250", "a@x>b@y:x\n|", 0 },
	{ "all recipients", SAID(HI "MAIL FROM:<a@x>\r\nRCPT TO:<nobody@y>\r\nDATA\r\nRSET\r\n" BYE),
	    "220, 250, 250, 550 5.1.1, 554 5.5.1, 250, 221", "", 0 },
	{ "a recipient too many", SAID(OPEN "RCPT TO:<c@y>\r\nRCPT TO:<d@y>\r\nRCPT TO:<e@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 250, 250, 452 4.5.3, 354, 250", "a@x>b@y,c@y,d@y:x\n|", 0 },
	{ "the message, and the next is taken", SAID(HI "MAIL FROM:<exit65@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n" PEER "DATA\r\ny\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 554 5.6.0, 250, 250, 354, 250", "a@x>b@y:y\n|", 0 },
	{ "the message, for a time", SAID(HI "MAIL FROM:<exit75@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 451 4.3.0", "", 0 },
	{ "the message, by policy", SAID(HI "MAIL FROM:<exit77@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 550 5.7.1", "", 0 },
	{ "the message, by a wrong configuration", SAID(HI "MAIL FROM:<exit78@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 451 4.3.5", "", 0 },
	{ "a NUL in the text", SAID(TEXT "a\0b\r\nMAIL FROM:<c@x>\r\n.\r\n" BYE),
	    "220, 250, 250, 250, 354, 554 5.6.0, 221", "", 0 },
	/* lines that are none */
	{ "unknown words", SAID("FOO\r\n\r\nEHLOX me\r\nDA TA\r\n"),
	    "220, 500 5.5.1, 500 5.5.1, 500 5.5.1, 500 5.5.1", "", 0 },
	{ "arguments", SAID("EHLO\r\nHELO\r\nVRFY\r\nRSET x\r\nQUIT now\r\nDATA x\r\n"),
	    "220, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4, 501 5.5.4", "", 0 },
	{ "not served here", SAID(HI "EXPN a\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\nETRN x\r\nTURN\r\nSEND FROM:<a@x>\r\n"),
	    "220, 250, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1", "", 0 },
	{ "a NUL", SAID(HI "NO\0OP\r\nNOOP\r\n"), "220, 250, 500 5.5.2, 250", "", 0 },
	{ "a NUL behind a command", SAID(HI "MAIL FROM:<a@x>\0\r\nRCPT TO:<b@y>\r\n"), "220, 250, 500 5.5.2, 503 5.5.1", "", 0 },
	{ "a bare LF", SAID(HI "MAIL FROM:<a\nRCPT TO:<b@y>\nDATA\r\nNOOP\r\n"), "220, 250, 500 5.5.2, 250", "", 0 },
	{ "a bare CR", SAID(HI "NOOP\rQUIT\r\nNOOP\r\r\nNOOP\r\n"), "220, 250, 500 5.5.2, 500 5.5.2, 250", "", 0 },
	/* the end of DATA: CRLF lines */
	{ "dots", SAID(TEXT "..\r\n...\r\n..a\r\n.b\r\na.\r\n. \r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:.\n..\n.a\nb\na.\n \n|", 0 },
	{ "LF dot LF", SAID(TEXT "a\n.\nMAIL FROM:<c@x>\nb\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n.\nMAIL FROM:<c@x>\nb\n|", 0 },
	{ "LF dot CRLF", SAID(TEXT "a\n.\r\nMAIL FROM:<c@x>\r\nb\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n.\nMAIL FROM:<c@x>\nb\n|", 0 },
	{ "LF two dots", SAID(TEXT "a\n..\r\nb\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n..\nb\n|", 0 },
	{ "CRLF dot LF", SAID(TEXT "a\r\n.\nMAIL FROM:<c@x>\r\nb\r\n.\r\n"),
	    "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n\nMAIL FROM:<c@x>\nb\n|", 0 },
	{ "CRLF dot CR", SAID(TEXT "a\r\n.\rb\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n\rb\n|", 0 },
	{ "CR dot CR", SAID(TEXT "a\r.\rb\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:a\r.\rb\n|", 0 },
	{ "CR dot CRLF", SAID(TEXT "a\r.\r\nb\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:a\r.\nb\n|", 0 },
	{ "CRLF dot CR CRLF", SAID(TEXT "a\r\n.\r\r\nb\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:a\n\nb\n|", 0 },
	{ "CR CRLF dot CRLF", SAID(TEXT "a\r\r\n.\r\nNOOP\r\n"), "220, 250, 250, 250, 354, 250, 250", "a@x>b@y:a\n|", 0 },
	{ "CRLF dot NUL", SAID(TEXT "a\r\n.\0\r\nb\r\n.\r\nNOOP\r\n"), "220, 250, 250, 250, 354, 554 5.6.0, 250", "", 0 },
	{ "a lone LF first", SAID(TEXT "\n.\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:\n.\n|", 0 },
	{ "a lone dot and CR first", SAID(TEXT ".\r.\r\n.\r\n"), "220, 250, 250, 250, 354, 250", "a@x>b@y:\r.\n|", 0 },
	{ "commands behind the end", SAID(TEXT "a\r\n.\r\n.\r\nNOOP\r\n"),
	    "220, 250, 250, 250, 354, 250, 500 5.5.1, 250", "a@x>b@y:a\n|", 0 },
	/* LF lines */
	{ "all in LF", SAID("EHLO me\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\nS: x\n\nhi\n.\nQUIT\n"),
	    "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:S: x\n\nhi\n|", 0 },
	{ "LF, and later CRLF", SAID("EHLO me\n" PEER "DATA\nx\r\n..\r\n.\r\nQUIT\r\n"),
	    "220, 250, 250, 250, 354, 250, 221", "a@x>b@y:x\n.\n|", 0 },
	{ "dots in LF", SAID("HELO me\n" PEER "DATA\n..\n.a\nb\r.\n.\rc\n.\nNOOP\n"),
	    "220, 250, 250, 250, 354, 250, 250", "a@x>b@y:.\na\nb\r.\n\rc\n|", 0 },
	{ "an empty first line in LF", SAID("\nNOOP\n"), "220, 500 5.5.1, 250", "", 0 },
	{ "a CR in a line of LF", SAID("NOOP\nNOOP\rQUIT\nNOOP\n"), "220, 250, 500 5.5.2, 250", "", 0 },
	/* BDAT */
	{ "one chunk", SAID(OPEN "BDAT 9 LAST\r\nS: x\r\n\r\na" BYE), "220, 250, 250, 250, 250, 221", "a@x>b@y:S: x\n\na|", 0 },
	{ "two chunks, cut in a CRLF", SAID(OPEN "BDAT 3\r\nab\rBDAT 3 last\r\n\nc\n" BYE),
	    "220, 250, 250, 250, 250, 250, 221", "a@x>b@y:ab\nc\n|", 0 },
	{ "an empty last one", SAID(OPEN "BDAT 4\r\nab\r\nBDAT 0 LAST\r\nNOOP\r\n"), "220, 250, 250, 250, 250, 250, 250", "a@x>b@y:ab\n|", 0 },
	{ "nothing but an empty one", SAID(OPEN "BDAT 0 LAST\r\n"), "220, 250, 250, 250, 250", "a@x>b@y:|", 0 },
	{ "dots and commands are octets", SAID(OPEN "BDAT 16 LAST\r\n.\r\n..\r\n\r\n.\r\nQUIT" BYE),
	    "220, 250, 250, 250, 250, 221", "a@x>b@y:.\n..\n\n.\nQUIT|", 0 },
	{ "a CR at the very end", SAID(OPEN "BDAT 2 LAST\r\na\rBDAT 0\r\n"), "220, 250, 250, 250, 250, 503 5.5.1", "a@x>b@y:a\r|", 0 },
	{ "BDAT without MAIL", SAID(HI "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "220, 250, 503 5.5.1, 250", "", 0 },
	{ "BDAT without RCPT", SAID(HI "MAIL FROM:<a@x>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<b@y>\r\nBDAT 1 LAST\r\nx"),
	    "220, 250, 250, 503 5.5.1, 250, 250", "a@x>b@y:x|", 0 },
	{ "DATA behind BDAT", SAID(OPEN "BDAT 2\r\nabDATA\r\nRCPT TO:<c@y>\r\nMAIL FROM:<a@x>\r\nBDAT 0 LAST\r\n"),
	    "220, 250, 250, 250, 250, 503 5.5.1, 503 5.5.1, 503 5.5.1, 250", "a@x>b@y:ab|", 0 },
	{ "RSET behind BDAT", SAID(OPEN "BDAT 2\r\nabRSET\r\nBDAT 2 LAST\r\ncd" PEER "BDAT 1 LAST\r\ne"),
	    "220, 250, 250, 250, 250, 250, 503 5.5.1, 250, 250, 250", "a@x>b@y:e|", 0 },
	{ "a piece that has no form is missing", SAID(OPEN "BDAT 2\r\nabBDAT 2 LOST\r\ncdBDAT 2 LAST\r\nefNOOP\r\n"),
	    "220, 250, 250, 250, 250, 501 5.5.4, 503 5.5.1, 250", "", 0 },
	{ "a NUL in a chunk", SAID(OPEN "BDAT 2\r\na\0BDAT 2 LAST\r\nbcNOOP\r\n"),
	    "220, 250, 250, 250, 554 5.6.0, 503 5.5.1, 250", "", 0 },
	{ "the next message behind a refused chunk", SAID(OPEN "BDAT 2\r\na\0BDAT 2 LAST\r\nbc" PEER "BDAT 1 LAST\r\nd"),
	    "220, 250, 250, 250, 554 5.6.0, 503 5.5.1, 250, 250, 250", "a@x>b@y:d|", 0 },
	{ "no size", SAID(OPEN "BDAT\r\nNOOP\r\n"), "220, 250, 250, 250, 421 4.5.2", "", EX_PROTOCOL },
	{ "a size that is none", SAID(OPEN "BDAT x LAST\r\nNOOP\r\n"), "220, 250, 250, 250, 421 4.5.2", "", EX_PROTOCOL },
	{ "a size beyond all", SAID(OPEN "BDAT 99999999999999999999\r\nNOOP\r\n"), "220, 250, 250, 250, 421 4.5.2", "", EX_PROTOCOL },
	{ "a BDAT that cannot be read", SAID(OPEN "BDAT 4 LAST\r\r\nQUIT\r\n"), "220, 250, 250, 250, 421 4.5.2", "", EX_PROTOCOL },
	/* broken off */
	{ "the text", SAID(TEXT "half\r\n"), "220, 250, 250, 250, 354", "", EX_DATAERR },
	{ "at the dot", SAID(TEXT "half\r\n."), "220, 250, 250, 250, 354", "", EX_DATAERR },
	{ "behind the dot's CR", SAID(TEXT "half\r\n.\r"), "220, 250, 250, 250, 354", "", EX_DATAERR },
	{ "the envelope", SAID(HI "MAIL FROM:<a@x>\r\n"), "220, 250, 250", "", EX_DATAERR },
	{ "a chunk", SAID(OPEN "BDAT 9 LAST\r\nabc"), "220, 250, 250, 250", "", EX_DATAERR },
	{ "between chunks", SAID(OPEN "BDAT 3\r\nabc"), "220, 250, 250, 250, 250", "", EX_DATAERR },
	{ "the second message", SAID(TEXT "1\r\n.\r\n" PEER "DATA\r\n2\r\n"),
	    "220, 250, 250, 250, 354, 250, 250, 250, 354", "a@x>b@y:1\n|", EX_DATAERR },
};

static void
check_row(const struct row *row, const struct result *r)
{
	struct buf codes = { 0 };

	sum_up(buf_str(&r->replies), &codes);
	if (strcmp(buf_c(&codes), row->replies) != 0 || strcmp(buf_c(&r->log), row->queued) != 0)
		print_error("%s: [%s] [%s]\n", row->name, buf_c(&codes), buf_c(&r->log));
	assert_string_equal(buf_c(&codes), row->replies);
	assert_string_equal(buf_c(&r->log), row->queued);
	if (outcome_exit(r->outcome, &r->why) != row->exit)
		print_error("%s: ended with %s\n", row->name, r->why.text);
	assert_int_equal(outcome_exit(r->outcome, &r->why), row->exit);
	assert_false(r->unheard);
	assert_int_equal(r->errors.len, 0);
	buf_free(&codes);
}

static void
every_command_is_answered_and_every_message_is_what_was_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result r = converse(rows[i].said, false, nowhere);

		check_row(&rows[i], &r);
		free_result(&r);
	}
}

static void
check_same(const struct row *row, const struct result *whole, bool (*cut_here)(size_t))
{
	struct result r = converse(row->said, false, cut_here);

	if (!str_eq(buf_str(&r.replies), buf_str(&whole->replies)) ||
	    !str_eq(buf_str(&r.log), buf_str(&whole->log)))
		print_error("%s, cut at %zu: %s[%s]\n", row->name, cut_at, buf_c(&r.replies), buf_c(&r.log));
	assert_string_equal(buf_c(&r.replies), buf_c(&whole->replies));
	assert_string_equal(buf_c(&r.log), buf_c(&whole->log));
	assert_int_equal(outcome_exit(r.outcome, &r.why), row->exit);
	assert_false(r.unheard);
	free_result(&r);
}

static void
cut_anywhere_a_dialogue_is_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result whole = converse(rows[i].said, false, nowhere);

		for (cut_at = 1; cut_at < rows[i].said.len; cut_at++)
			check_same(&rows[i], &whole, at_one_place);
		cut_at = 0;
		check_same(&rows[i], &whole, everywhere);
		check_same(&rows[i], &whole, behind_lines);
		free_result(&whole);
	}
}

/* ---- every command in every state --------------------------------------------------- */

enum { FRESH, GREETED, SENDER, RECIPIENT, CHUNK, STATES };

static const struct {
	const char *said;
	unsigned replies;
} states[STATES] = {
	[FRESH] = { "", 1 }, [GREETED] = { HI, 2 }, [SENDER] = { HI "MAIL FROM:<a@x>\r\n", 3 },
	[RECIPIENT] = { OPEN, 4 }, [CHUNK] = { OPEN "BDAT 1\r\nx", 5 },
};

static const struct {
	const char *said;
	int code[STATES];
} commands[] = {
	{ "EHLO me\r\n", { 250, 250, 250, 250, 250 } },
	{ "HELO me\r\n", { 250, 250, 250, 250, 250 } },
	{ "MAIL FROM:<a@x>\r\n", { 250, 250, 503, 503, 503 } },
	{ "RCPT TO:<b@y>\r\n", { 503, 503, 250, 250, 503 } },
	{ "DATA\r\nx\r\n.\r\n", { 503, 503, 554, 354, 503 } },
	{ "BDAT 1\r\nx", { 503, 503, 503, 250, 250 } },
	{ "BDAT 1 LAST\r\nx", { 503, 503, 503, 250, 250 } },
	{ "BDAT 0 LAST\r\n", { 503, 503, 503, 250, 250 } },
	{ "BDAT 1 FIRST\r\nx", { 501, 501, 501, 501, 501 } },
	{ "BDAT\r\n", { 421, 421, 421, 421, 421 } },
	{ "RSET\r\n", { 250, 250, 250, 250, 250 } },
	{ "NOOP\r\n", { 250, 250, 250, 250, 250 } },
	{ "VRFY b\r\n", { 252, 252, 252, 252, 252 } },
	{ "HELP\r\n", { 214, 214, 214, 214, 214 } },
	{ "QUIT\r\n", { 221, 221, 221, 221, 221 } },
	{ "EXPN b\r\n", { 502, 502, 502, 502, 502 } },
	{ "AUTH LOGIN\r\n", { 502, 502, 502, 502, 502 } },
	{ "STARTTLS\r\n", { 502, 502, 502, 502, 502 } },
	{ "ETRN x\r\n", { 502, 502, 502, 502, 502 } },
	{ "TURN\r\n", { 502, 502, 502, 502, 502 } },
	{ "WHAT\r\n", { 500, 500, 500, 500, 500 } },
	{ "MAIL FROM:<a@x> X=1\r\n", { 555, 555, 503, 503, 503 } },
	{ "RCPT TO:\r\n", { 503, 503, 501, 501, 503 } },
};

static void
every_command_has_its_answer_in_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(commands); i++) {
		for (size_t j = 0; j < STATES; j++) {
			struct buf said = { 0 }, codes = { 0 };
			struct result r;
			const char *code;

			buf_adds(&said, states[j].said);
			buf_adds(&said, commands[i].said);
			r = converse(buf_str(&said), false, nowhere);
			sum_up(buf_str(&r.replies), &codes);
			code = buf_c(&codes);
			for (unsigned n = 0; n < states[j].replies; n++)
				code = strstr(code, ", ") + 2;
			if (strtol(code, NULL, 10) != commands[i].code[j])
				print_error("%s in state %zu: %s\n", commands[i].said, j, code);
			assert_int_equal(strtol(code, NULL, 10), commands[i].code[j]);
			free_result(&r);
			buf_free(&said);
			buf_free(&codes);
		}
	}
}

/* ---- one by one -------------------------------------------------------------------------- */

static void
what_is_offered_is_what_is_had(void **state)
{
	struct result r = converse(STR(HI), false, nowhere);
	char *until = strstr(r.replies.p, "FUTURERELEASE ");

	(void)state;
	/* The last day for which mail is held, whichever that is. */
	if (until == NULL)
		fail_msg("no FUTURERELEASE in: %s", buf_c(&r.replies));
	memset(strchr(until, ' ') + 10, 'D', 20);
	assert_string_equal(buf_c(&r.replies), "220 host.example.net ESMTP subpost\r\n"
	    "250-host.example.net\r\n250-PIPELINING\r\n250-SIZE 60000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	    "250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n"
	    "250-FUTURERELEASE 31622400 DDDDDDDDDDDDDDDDDDDD\r\n250 HELP\r\n");
	free_result(&r);
}

static void
whoever_pipelines_is_answered_in_one_go(void **state)
{
	struct result r = converse(STR(HI PEER "DATA\r\nx\r\n.\r\n" BYE), false, nowhere);

	(void)state;
	/* Once to hear the client; and nothing had to be waited for after that. */
	assert_int_equal(r.waits, 1);
	free_result(&r);
}

static void
a_command_may_have_its_full_length_and_no_more(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		struct buf said = { 0 };
		struct result r;

		buf_adds(&said, "NOOP ");
		while (said.len < SMTPIN_LINE_MAX - 2 + more)
			buf_addc(&said, 'x');
		buf_adds(&said, "\r\nNOOP\r\n");
		r = converse(buf_str(&said), false, nowhere);
		assert_non_null(strstr(buf_c(&r.replies), more == 0 ? "subpost\r\n250 2.0.0" : "subpost\r\n500 5.5.2"));
		assert_string_equal(buf_c(&r.replies) + r.replies.len - 16, "250 2.0.0 well\r\n");
		free_result(&r);
		buf_free(&said);
	}
}

static void
a_line_without_end_takes_no_memory_and_one_answer(void **state)
{
	struct buf said = { 0 }, codes = { 0 };
	struct result r;

	(void)state;
	buf_adds(&said, HI);
	for (size_t i = 0; i < 1u << 20; i++)
		buf_addc(&said, i % 97 == 0 ? '\n' : 'x');
	buf_adds(&said, "\r\nNOOP\r\n");
	r = converse(buf_str(&said), false, nowhere);
	sum_up(buf_str(&r.replies), &codes);
	assert_string_equal(buf_c(&codes), "220, 250, 500 5.5.2, 250");
	free_result(&r);
	buf_free(&said);
	buf_free(&codes);
}

static void
what_is_too_large_is_read_to_its_end(void **state)
{
	static const char *const how[] = { "DATA\r\n", "BDAT 80000 LAST\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(how); i++) {
		struct buf said = { 0 }, codes = { 0 };
		struct result r;

		buf_adds(&said, OPEN);
		buf_adds(&said, how[i]);
		for (size_t n = 0; n < 8000; n++)
			buf_adds(&said, "QUIT....\r\n");
		buf_adds(&said, i == 0 ? ".\r\n" : "");
		buf_adds(&said, PEER "DATA\r\nx\r\n.\r\n" BYE);
		r = converse(buf_str(&said), false, nowhere);
		sum_up(buf_str(&r.replies), &codes);
		assert_string_equal(buf_c(&codes), i == 0 ?
		    "220, 250, 250, 250, 354, 552 5.3.4, 250, 250, 354, 250, 221" :
		    "220, 250, 250, 250, 552 5.3.4, 250, 250, 354, 250, 221");
		assert_string_equal(buf_c(&r.log), "a@x>b@y:x\n|");
		free_result(&r);
		buf_free(&said);
		buf_free(&codes);
	}
}

/* Where the machine has no full name either, it is the domain. */
static void
without_a_hostname_there_is_a_name_all_the_same(void **state)
{
	struct result r;
	struct str replies, line, name, again;

	(void)state;
	hostname[0] = '\0';
	r = converse(STR(HI "HELO me\r\n"), false, nowhere);
	snprintf(hostname, sizeof hostname, "host.example.net");
	replies = buf_str(&r.replies);
	assert_true(str_line(&replies, &line));
	line = str_from(line.p + 4, line.len - 4);
	name = str_word(&line);
	assert_true(name.len > 0);
	assert_true(str_line(&replies, &line));
	again = str_trim(str_from(line.p + 4, line.len - 4));
	assert_int_equal(again.len, name.len);
	assert_memory_equal(again.p, name.p, name.len);
	free_result(&r);
}

static void
a_hundred_errors_are_enough(void **state)
{
	struct buf said = { 0 }, codes = { 0 };
	struct result r;

	(void)state;
	for (int i = 0; i < SMTPIN_ERRORS_MAX - 1; i++)
		buf_adds(&said, "WHAT\r\n");
	buf_adds(&said, TEXT "x\r\n.\r\n");
	for (int i = 0; i < SMTPIN_ERRORS_MAX + 1; i++)
		buf_adds(&said, "WHAT\r\n");
	buf_adds(&said, TEXT "y\r\n.\r\n");
	r = converse(buf_str(&said), false, nowhere);
	assert_string_equal(buf_c(&r.log), "a@x>b@y:x\n|");
	sum_up(buf_str(&r.replies), &codes);
	assert_string_equal(buf_c(&codes) + codes.len - 33, ", 500 5.5.1, 500 5.5.1, 421 4.7.0");
	assert_int_equal(outcome_exit(r.outcome, &r.why), EX_PROTOCOL);
	free_result(&r);
	buf_free(&said);
	buf_free(&codes);
}

static void
refused_recipients_are_no_errors_of_the_client(void **state)
{
	struct buf said = { 0 };
	struct result r;

	(void)state;
	buf_adds(&said, HI "MAIL FROM:<a@x>\r\n");
	for (int i = 0; i < 3 * SMTPIN_ERRORS_MAX; i++)
		buf_adds(&said, "RCPT TO:<nobody@y>\r\nRCPT TO:<no one@y>\r\n");
	buf_adds(&said, "RCPT TO:<b@y>\r\nDATA\r\nx\r\n.\r\n");
	r = converse(buf_str(&said), false, nowhere);
	assert_string_equal(buf_c(&r.log), "a@x>b@y:x\n|");
	free_result(&r);
	buf_free(&said);
}

static void
a_session_has_no_last_message(void **state)
{
	struct buf said = { 0 };
	struct result r;

	(void)state;
	buf_adds(&said, HI);
	for (int i = 0; i < 2000; i++)
		buf_adds(&said, PEER "DATA\r\nx\r\n.\r\n");
	r = converse(buf_str(&said), false, nowhere);
	assert_int_equal(box.queued, 2000);
	assert_non_null(strstr(buf_c(&r.replies), "queued as ID2000\r\n"));
	assert_false(r.unheard);
	free_result(&r);
	buf_free(&said);
}

static void
a_silent_client_is_told_and_left(void **state)
{
	static const char *const said[] = { HI, OPEN, TEXT "half\r\n", OPEN "BDAT 9\r\nx" };

	(void)state;
	client.silent = true;
	for (size_t i = 0; i < COUNT(said); i++) {
		struct result r = converse(str_of(said[i]), false, nowhere);

		assert_non_null(strstr(buf_c(&r.replies), "\r\n421 4.4.2 "));
		assert_int_equal(outcome_exit(r.outcome, &r.why), EX_TEMPFAIL);
		assert_int_equal(r.log.len, 0);
		free_result(&r);
	}
	client.silent = false;
}

static void
a_long_reason_is_said_whole(void **state)
{
	struct result r = converse(STR(HI "MAIL FROM:<a@x>\r\nRCPT TO:<long@y>\r\n" BYE), false, nowhere);
	struct buf codes = { 0 };
	const char *first = strstr(buf_c(&r.replies), "550-5.1.1 one two "), *last;

	(void)state;
	sum_up(buf_str(&r.replies), &codes);
	assert_string_equal(buf_c(&codes), "220, 250, 250, 550 5.1.1, 221");
	assert_non_null(first);
	last = strstr(first, "\r\n550 5.1.1 ");
	assert_non_null(last);
	assert_non_null(strstr(last, "twelve ?? end\r\n221"));
	free_result(&r);
	buf_free(&codes);
}

/* ---- batches ------------------------------------------------------------------------------ */

struct batch {
	const char *name;
	struct str said;
	const char *queued;
	const char *errors;     /* the lines that are named, and how the session ended */
	int exit;
};

static const struct batch batches[] = {
	{ "two messages", SAID("HELO me\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n1\n.\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\nQUIT\n"),
	    "a@x>b@y:1\n|c@x>d@y:2\n|", "", 0 },
	{ "nothing", SAID(""), "", "", 0 },
	{ "a refused recipient", SAID("MAIL FROM:<a@x>\nRCPT TO:<nobody@y>\nRCPT TO:<b@y>\nDATA\n1\n.\n"),
	    "a@x>b@y:1\n|", "2", EX_NOUSER },
	{ "its text is no command", SAID("MAIL FROM:<a@x>\nRCPT TO:<nobody@y>\nDATA\nMAIL FROM:<e@x>\nRCPT TO:<f@y>\n.\n"
	    "MAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"), "c@x>d@y:2\n|", "2 3", EX_NOUSER },
	{ "a refused sender", SAID("MAIL FROM:<alien@x>\nRCPT TO:<b@y>\nDATA\nQUIT\n.\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"),
	    "c@x>d@y:2\n|", "1 2 3", EX_NOPERM },
	{ "DATA with something behind it", SAID("DATA x\nQUIT\n.\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"),
	    "c@x>d@y:2\n|", "1", EX_DATAERR },
	{ "a refused message", SAID("MAIL FROM:<exit75@x>\nRCPT TO:<b@y>\nDATA\n1\n.\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"),
	    "c@x>d@y:2\n|", "3", EX_TEMPFAIL },
	{ "the first refusal counts", SAID("MAIL FROM:<exit69@x>\nRCPT TO:<b@y>\nDATA\n1\n.\nMAIL FROM:<exit75@x>\nRCPT TO:<b@y>\nDATA\n2\n.\n"),
	    "", "3 8", EX_UNAVAILABLE },
	{ "a message without its DATA gives nobody to the next", SAID("MAIL FROM:<a@x>\nRCPT TO:<b@y>\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"),
	    "c@x>d@y:2\n|", "3", EX_DATAERR },
	{ "unknown words", SAID("VERB ON\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"), "c@x>d@y:2\n|", "1", EX_DATAERR },
	{ "a line that cannot be read", SAID("MAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n1\n.\nDA\0TA\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n.\n"),
	    "a@x>b@y:1\n|", "6", EX_DATAERR },
	{ "broken off", SAID("MAIL FROM:<a@x>\nRCPT TO:<b@y>\nDATA\n1\n.\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nDATA\n2\n"),
	    "a@x>b@y:1\n|", "", EX_DATAERR },
	{ "broken off in a refused text", SAID("RCPT TO:<b@y>\nDATA\n1\n"), "", "1 2", EX_DATAERR },
	{ "chunks", SAID("MAIL FROM:<a@x>\nRCPT TO:<nobody@y>\nBDAT 5 LAST\nQUIT\nMAIL FROM:<c@x>\nRCPT TO:<d@y>\nBDAT 1 LAST\n2"),
	    "c@x>d@y:2|", "2 3", EX_NOUSER },
	{ "CRLF", SAID(OPEN "DATA\r\na\n.\nb\r\n.\r\n" BYE), "a@x>b@y:a\n.\nb\n|", "", 0 },
};

/* "sendmail: line 2: ..." is "2". */
static void
name_lines(struct str errors, struct buf *out)
{
	struct str line;

	while (str_line(&errors, &line)) {
		assert_true(str_starts(line, "sendmail: line "));
		line = str_from(line.p + 15, line.len - 15);
		buf_adds(out, out->len > 0 ? " " : "");
		buf_add(out, line.p, str_find(line, ':'));
	}
}

static void
a_batch_is_taken_without_a_word_and_its_faults_are_told_by_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(batches); i++) {
		for (int pass = 0; pass < 2; pass++) {
			struct result r = converse(batches[i].said, true, pass == 0 ? nowhere : everywhere);
			struct buf lines = { 0 };

			name_lines(buf_str(&r.errors), &lines);
			if (strcmp(buf_c(&r.log), batches[i].queued) != 0 ||
			    strcmp(buf_c(&lines), batches[i].errors) != 0 ||
			    outcome_exit(r.outcome, &r.why) != batches[i].exit)
				print_error("%s: [%s] [%s] %d: %s\n", batches[i].name, buf_c(&r.log),
				    buf_c(&r.errors), r.why.exit, r.why.text);
			assert_string_equal(buf_c(&r.log), batches[i].queued);
			assert_string_equal(buf_c(&lines), batches[i].errors);
			assert_int_equal(outcome_exit(r.outcome, &r.why), batches[i].exit);
			assert_int_equal(r.replies.len, 0);
			free_result(&r);
			buf_free(&lines);
		}
	}
}

/* ---- clients that are processes of their own ------------------------------------------- */

/* Forks a client between two pipes and serves it.  It is given what it writes to and
 * what it reads from, and its exit status is answered. */
static int
serve_client(int (*be_client)(int to, int from), int flags, enum outcome *o, struct why *why)
{
	struct counter c = make_counter();
	int in[2], out[2], status = -1;
	pid_t pid;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	c.office.config.max_recipients = 1000000;
	counter_clear(-1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(30);
		close(in[0]);
		close(out[1]);
		_exit(be_client(in[1], out[0]));
	}
	close(in[1]);
	close(out[0]);
	fcntl(in[0], F_SETFL, flags);
	fcntl(out[1], F_SETFL, flags);
	client.real = true;
	*o = smtpin_serve(&c, in[0], out[1], false, why);
	client.real = false;
	close(in[0]);
	close(out[1]);
	waitpid(pid, &status, 0);
	return status;
}

static bool
write_all(int fd, const char *p)
{
	size_t len = strlen(p);

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

#define MANY 10000

/* Writes all it has before it reads anything, far beyond what pipes hold. */
static int
deaf_at_first(int to, int from)
{
	char piece[4096], last[5] = "";
	size_t lines = 0;
	ssize_t n;

	if (!write_all(to, HI "MAIL FROM:<a@x>\r\n"))
		return 1;
	for (int i = 0; i < MANY; i++)
		if (!write_all(to, "RCPT TO:<b@y>\r\n"))
			return 2;
	if (!write_all(to, "BDAT 1 LAST\r\nxQUIT\r\n"))
		return 3;
	while ((n = read(from, piece, sizeof piece)) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			memmove(last, last + 1, 3);
			last[3] = piece[i];
			lines += piece[i] == '\n';
		}
	}
	return n == 0 && lines == 1 + 12 + 1 + MANY + 1 + 1 ? 0 : 4;
}

static void
whoever_writes_all_before_he_reads_is_served(void **state)
{
	static const int flags[] = { 0, O_NONBLOCK };
	struct why why = { 0 };
	enum outcome o;

	(void)state;
	for (size_t i = 0; i < COUNT(flags); i++) {
		assert_int_equal(serve_client(deaf_at_first, flags[i], &o, &why), 0);
		assert_int_equal(o, DONE);
		assert_int_equal(box.queued, 1);
	}
}

/* Hears its first 250, and then listens no more. */
static int
gone_behind_the_first(int to, int from)
{
	char c, last[11] = "";

	if (!write_all(to, TEXT "1\r\n.\r\n"))
		return 1;
	while (strncmp(last, "queued as ", 10) != 0) {
		memmove(last, last + 1, 9);
		if (read(from, &c, 1) != 1)
			return 2;
		last[9] = c;
	}
	close(from);
	/* The second one's 250 has nobody to hear it, and the third is not begun. */
	write_all(to, PEER "DATA\r\n2\r\n.\r\n" PEER "DATA\r\n3\r\n.\r\n");
	return 0;
}

static void
nothing_is_taken_that_nobody_can_be_told_of(void **state)
{
	struct why why = { 0 };
	enum outcome o;

	(void)state;
	serve_client(gone_behind_the_first, 0, &o, &why);
	assert_int_equal(outcome_exit(o, &why), EX_IOERR);
	assert_true(box.queued <= 2);
	assert_int_equal(strncmp(buf_c(&box.log), "a@x>b@y:1\n|", 11), 0);
}

/* As clients do that have sent their mail: QUIT, and away. */
static int
gone_with_quit(int to, int from)
{
	char c;

	if (read(from, &c, 1) != 1)
		return 1;
	close(from);
	return write_all(to, BYE) ? 0 : 2;
}

static void
whoever_says_quit_need_not_wait_for_the_answer(void **state)
{
	struct why why = { 0 };
	enum outcome o;

	(void)state;
	assert_int_equal(serve_client(gone_with_quit, 0, &o, &why), 0);
	assert_int_equal(o, DONE);
}

static void
what_cannot_be_read_or_written_ends_the_session(void **state)
{
	struct counter c = make_counter();
	struct why why = { 0 };
	int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	client.real = true;
	assert_int_equal(outcome_exit(smtpin_serve(&c, directory, null, false, &why), &why), EX_IOERR);
	assert_int_equal(outcome_exit(smtpin_serve(&c, null, full, false, &why), &why), EX_IOERR);
	assert_int_equal(outcome_exit(smtpin_serve(&c, 1000, null, false, &why), &why), EX_IOERR);
	assert_int_equal(outcome_exit(smtpin_serve(&c, directory, null, true, &why), &why), EX_IOERR);
	client.real = false;
	close(directory);
	close(full);
	close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_answered_and_every_message_is_what_was_said),
		cmocka_unit_test(cut_anywhere_a_dialogue_is_the_same),
		cmocka_unit_test(every_command_has_its_answer_in_every_state),
		cmocka_unit_test(what_is_offered_is_what_is_had),
		cmocka_unit_test(whoever_pipelines_is_answered_in_one_go),
		cmocka_unit_test(a_command_may_have_its_full_length_and_no_more),
		cmocka_unit_test(a_line_without_end_takes_no_memory_and_one_answer),
		cmocka_unit_test(what_is_too_large_is_read_to_its_end),
		cmocka_unit_test(without_a_hostname_there_is_a_name_all_the_same),
		cmocka_unit_test(a_hundred_errors_are_enough),
		cmocka_unit_test(refused_recipients_are_no_errors_of_the_client),
		cmocka_unit_test(a_session_has_no_last_message),
		cmocka_unit_test(a_silent_client_is_told_and_left),
		cmocka_unit_test(a_long_reason_is_said_whole),
		cmocka_unit_test(a_batch_is_taken_without_a_word_and_its_faults_are_told_by_line),
		cmocka_unit_test(whoever_writes_all_before_he_reads_is_served),
		cmocka_unit_test(nothing_is_taken_that_nobody_can_be_told_of),
		cmocka_unit_test(whoever_says_quit_need_not_wait_for_the_answer),
		cmocka_unit_test(what_cannot_be_read_or_written_ends_the_session),
	};

	signal(SIGPIPE, SIG_IGN);
	box.judge_sender = judge_sender;
	box.judge_recipient = judge_recipient;
	box.judge_message = judge_message;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
