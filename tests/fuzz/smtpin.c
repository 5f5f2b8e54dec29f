/* Any octets as a dialogue: however they are cut, the replies are the same and so
 * are the messages; there are as many as were promised, each begun and ended once,
 * and no more than there are ends of a text in the input; every reply is in form.
 * The first octet says whether it is a batch, and where the cuts are. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../lib/counter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

/* ---- a counter that refuses now and then ------------------------------------------ */

static enum outcome
judge_sender(const char *sender, struct why *why)
{
	return strlen(sender) % 5 == 4 ? refuse(why, EX_NOPERM, "not yours") : DONE;
}

static enum outcome
judge_recipient(struct str spec, struct why *why)
{
	return spec.len % 5 == 4 ? refuse(why, EX_NOUSER, "nobody") : DONE;
}

static enum outcome
judge_message(const struct submission *asked, struct str text, struct why *why)
{
	(void)asked;
	return text.len % 7 == 6 ? refuse(why, EX_TEMPFAIL, "not now") : DONE;
}

/* ---- how the client's words are cut ------------------------------------------------ */

static uint32_t cuts;           /* where they are follows from it */

static bool
nowhere(size_t at)
{
	(void)at;
	return false;
}

static bool
somewhere(size_t at)
{
	(void)at;
	cuts = cuts * 1664525 + 1013904223;
	return (cuts >> 16) % 4 == 0;
}

static enum outcome
converse(struct str said, bool batch, bool (*cut_here)(size_t at), struct buf *replies, struct why *why)
{
	static char domain[] = "example.net";
	struct counter c = COUNTER_INIT;

	c.office.config.domain = c.office.config.hostname = domain;
	c.office.config.max_size = 3000;
	c.office.config.max_recipients = 4;
	return counter_converse(&c, said, batch, cut_here, replies, why);
}

/* ---- promises ------------------------------------------------------------------------ */

/* Each line as RFC 5321 section 4.2 has it; how many promise a message? */
static unsigned
check_replies(struct str replies)
{
	struct str line;
	unsigned promised = 0;

	while (str_line(&replies, &line)) {
		insist(line.len >= 5 && line.len <= 511 && line.p[line.len - 1] == '\r');
		insist(line.p[0] >= '2' && line.p[0] <= '5' && line.p[1] >= '0' && line.p[1] <= '5');
		insist(line.p[2] >= '0' && line.p[2] <= '9' && (line.p[3] == ' ' || line.p[3] == '-'));
		for (size_t i = 0; i < line.len - 1; i++)
			insist(line.p[i] >= ' ' && line.p[i] <= '~');
		promised += str_starts(line, "250 2.0.0 queued as ");
	}
	return promised;
}

/* How many messages could there be at most?  In a session whose first line ends in
 * CRLF a lone dot counts between two CRLF only: one more message than that would
 * be somebody's text. */
static unsigned
count_ends(struct str said)
{
	size_t first = str_find(said, '\n');
	bool crlf = first > 0 && first < said.len && said.p[first - 1] == '\r';
	unsigned ends = 0;

	for (size_t i = 0; i < said.len; i++) {
		struct str rest = str_from(said.p + i, said.len - i);

		ends += str_starts(rest, "\r\n.\r\n") || str_casestarts(rest, "BDAT");
		if (!crlf && str_starts(rest, "\n."))
			ends++;
	}
	return ends;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nobody;
	FILE *before = stderr;
	struct buf whole = { 0 }, cut = { 0 }, log = { 0 };
	struct why why = { 0 }, again = { 0 };
	struct str said;
	bool batch;
	enum outcome o;

	if (size == 0)
		return 0;
	if (nobody == NULL)
		insist((nobody = fopen("/dev/null", "w")) != NULL);
	box.judge_sender = judge_sender;
	box.judge_recipient = judge_recipient;
	box.judge_message = judge_message;
	said = str_from(data + 1, size - 1);
	batch = (data[0] & 1) != 0;
	cuts = data[0];
	/* What a batch refuses is told there. */
	stderr = nobody;
	o = converse(said, batch, nowhere, &whole, &why);
	insist(check_replies(buf_str(&whole)) == (batch ? 0 : box.queued));
	insist(box.queued <= count_ends(said) && (batch || !box.unheard));
	buf_addstr(&log, buf_str(&box.log));
	insist(converse(said, batch, somewhere, &cut, &again) == o);
	stderr = before;
	insist(str_eq(buf_str(&whole), buf_str(&cut)) && str_eq(buf_str(&log), buf_str(&box.log)));
	insist(o == DONE || (strcmp(why.text, again.text) == 0 && why.text[0] != '\0'));
	insist(!batch || whole.len == 0);
	buf_free(&whole);
	buf_free(&cut);
	buf_free(&log);
	return 0;
}
