/* Any octets as a message: its header is the same however it was cut, nothing
 * is lost between header and text, and what is completed is a header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"
#include "header.h"
#include "intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

/* Feeds text in pieces of at most `most` octets; *body gets what is none of it. */
static void
feed(struct header *h, struct str text, size_t most, struct buf *body)
{
	size_t at = 0;

	while (at < text.len && !h->over && !h->too_long) {
		size_t used, n = text.len - at < most ? text.len - at : most;

		header_feed(h, str_from(text.p + at, n), &used);
		insist(used <= n && (used > 0 || h->over || h->too_long));
		at += used;
	}
	header_end(h);
	buf_addstr(body, header_rest(h));
	if (at < text.len)
		buf_add(body, text.p + at, text.len - at);
}

static void
check_completed(const struct header *h)
{
	struct complete c = { .domain = STR("example.com"), .from = STR("me@example.com"),
		.full_name = STR("J\303\266rg \"x\" <y>"), .unique = STR("01J12HFHJN41OECA2O3H"),
		.id_domain = STR("example.com"), .now = 1795576000, .received = STR("by x; now") };
	struct buf out = { 0 }, rest = { 0 };
	struct header again = { 0 };

	complete_header(h, &c, &out);
	feed(&again, buf_str(&out), out.len, &rest);
	/* All of it is header, and the end of it. */
	insist(again.over && rest.len == 0 && out.p[out.len - 1] == '\n');
	insist(header_find(&again, "Bcc") == NULL && header_find(&again, "Resent-Bcc") == NULL);
	insist(header_find(&again, "From") != NULL && header_find(&again, "Date") != NULL);
	insist(header_find(&again, "Message-ID") != NULL);
	header_free(&again);
	buf_free(&out);
	buf_free(&rest);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct intake in = { .dots = size % 2 == 0 };
	struct buf text = { 0 }, body = { 0 }, body_again = { 0 };
	struct header whole = { 0 }, pieces = { 0 };
	struct address_list to = { 0 };
	struct why why = { 0 };
	enum outcome o;

	intake_feed(&in, str_from(data, size), &text);
	intake_end(&in, &text);
	if (in.saw_nul)
		goto out;
	feed(&whole, buf_str(&text), SIZE_MAX, &body);
	feed(&pieces, buf_str(&text), 1 + size % 7, &body_again);
	insist(str_eq(buf_str(&whole.raw), buf_str(&pieces.raw)) && whole.n == pieces.n);
	insist(str_eq(buf_str(&body), buf_str(&body_again)));
	o = header_recipients(&whole, &to, &why);
	insist(o == DONE || (o == NEVER && why.exit == 65));
	if (!whole.too_long)
		check_completed(&whole);
out:
	address_list_free(&to);
	header_free(&whole);
	header_free(&pieces);
	buf_free(&text);
	buf_free(&body);
	buf_free(&body_again);
	return 0;
}
