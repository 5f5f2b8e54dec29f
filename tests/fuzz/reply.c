/* Any octets as what a server says: the same replies however they are cut, each within its
 * bounds; the offers of any of them; and a verdict in every phase, which is final for a
 * 5yz about a message or a recipient alone and whose words are one printable line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "offers.h"
#include "reply.h"
#include "verdict.h"

#define REPLIES_MAX 200         /* of one input are looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static void
insist_printable(const char *s)
{
	insist(*s != '\0');
	for (; *s != '\0'; s++)
		insist((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void
judge(const struct reply *r)
{
	/* Part of what was said may well be our own words. */
	const struct str said[] = { STR("\"sending limit\"@x.example"),
		str_from(r->text.p, r->text.len < 20 ? r->text.len : 20) };

	for (enum phase p = PHASE_GREETING; p <= PHASE_TEXT; p++) {
		struct why why = { 0 };
		enum outcome o = verdict_of(p, r, said, 2, &why);

		insist(o == LATER || (o == NEVER && r->code >= 500 && p >= PHASE_MAIL &&
		    (why.scope == SCOPE_RECIPIENT || why.scope == SCOPE_MESSAGE)));
		insist(why.scope != SCOPE_NONE);
		insist_printable(why.text);
	}
}

static void
look_at(const struct reply *r)
{
	struct offers o = { 0 };
	char shown[200];

	insist(r->code >= 200 && r->code <= 599 && r->broken == NULL);
	insist(r->text.len <= REPLY_TEXT_MAX && strlen(r->status) < sizeof r->status);
	insist(r->status[0] == '\0' || r->status[0] - '0' == r->code / 100);
	reply_show(r, shown, sizeof shown);
	insist_printable(shown);
	offers_read(&o, buf_str(&r->text));
	offers_read(&o, buf_str(&r->text));
	insist(o.size || o.size_max == 0);
	insist(o.by || o.by_min == 0);
	insist(!str_has(buf_str(&o.auth), '\n'));
	offers_free(&o);
	offers_free(&o);
	judge(r);
}

/* All that is said, in pieces of so many octets; what was understood goes to *out. */
static void
listen_to(struct str in, size_t piece, bool look, struct buf *out)
{
	struct reply r = { 0 };
	unsigned n = 0;

	while (in.len > 0 && n < REPLIES_MAX) {
		struct str some = { in.p, in.len < piece ? in.len : piece };
		enum reply_state state;
		size_t used = 0;

		state = reply_feed(&r, some, &used);
		insist(used <= some.len && (used > 0 || state != REPLY_MORE));
		in.p += used;
		in.len -= used;
		if (state == REPLY_MORE)
			continue;
		if (state == REPLY_BROKEN) {
			insist(r.broken != NULL && r.code == 0);
			buf_addf(out, "broken: %s\n", r.broken);
			break;
		}
		buf_addf(out, "%d %s %zu ", r.code, r.status, r.text.len);
		buf_addstr(out, buf_str(&r.text));
		if (look)
			look_at(&r);
		reply_reset(&r);
		n++;
	}
	reply_free(&r);
	reply_free(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_from(data, size);
	struct buf whole = { 0 }, cut = { 0 };

	listen_to(in, size > 0 ? size : 1, true, &whole);
	for (size_t piece = 1; piece <= 7; piece += 3) {
		buf_clear(&cut);
		listen_to(in, piece, false, &cut);
		insist(str_eq(buf_str(&whole), buf_str(&cut)));
	}
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
