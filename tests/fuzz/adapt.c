/* Any octets as a message at rest: what goes out keeps the server's terms, is the same
 * however it was cut, has the size that was told before, and would not be changed by
 * going through once more. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapt.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

/* Some domains have an ASCII form, some have none. */
static bool
to_ascii(struct str domain, struct buf *out)
{
	if (domain.len % 3 == 0)
		return false;
	buf_adds(out, "xn--x.example");
	return true;
}

static enum outcome
run(struct adapt *a, struct str text, size_t piece, struct buf *out)
{
	struct why why = { 0 };
	enum outcome o = DONE;

	for (size_t at = 0, n; at < text.len && o == DONE; at += n) {
		n = text.len - at < piece ? text.len - at : piece;
		o = adapt_feed(a, str_from(text.p + at, n), out, &why);
	}
	if (o == DONE)
		o = adapt_end(a, out, &why);
	insist(o == DONE || (o == NEVER && why.scope == SCOPE_MESSAGE &&
	    strncmp(why.status, "5.6.", 4) == 0));
	return o;
}

/* All runs; *looks: how many it took until all was known. */
static enum outcome
adapt_whole(struct adapt *a, struct str text, size_t piece, struct buf *out, unsigned *looks)
{
	*looks = 0;
	do {
		enum outcome o = run(a, text, piece, out);

		insist(out->len == 0);
		if (o != DONE)
			return o;
		++*looks;
		insist(*looks <= 2);
	} while (!adapt_rewind(a));
	insist(adapt_rewind(a));
	insist(run(a, text, piece, out) == DONE);
	return DONE;
}

/* *rest gets the lines as a server stores them. */
static void
check_wire(const struct adapt *a, struct str wire, struct buf *rest)
{
	size_t lines = 0;

	insist(wire.len == 0 || wire.p[wire.len - 1] == '\n');
	insist(memchr(wire.p != NULL ? wire.p : "", '\0', wire.len) == NULL);
	while (wire.len > 0) {
		struct str line;

		insist(str_line(&wire, &line));
		insist(line.len > 0 && line.p[line.len - 1] == '\r');
		line.len--;
		insist(!str_has(line, '\r'));
		if (!a->terms.no_dots && line.len > 0 && line.p[0] == '.') {
			insist(line.len > 1 && line.p[1] == '.');
			line = str_from(line.p + 1, line.len - 1);
		}
		insist(line.len <= ADAPT_LINE_MAX);
		buf_addstr(rest, line);
		buf_addc(rest, '\n');
		lines++;
	}
	insist(adapt_size(a) == rest->len + lines);
	insist(a->terms.eight_bit || a->terms.utf8_header || words_is_ascii(buf_str(rest)));
	insist(adapt_is_eight_bit(a) == !words_is_ascii(buf_str(rest)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct adapt_terms terms = { .eight_bit = size % 2 == 1, .utf8_header = size % 3 == 1,
		.no_dots = size % 5 == 0, .to_ascii = to_ascii };
	struct adapt whole = { .terms = terms }, pieces = { .terms = terms }, again = { .terms = terms };
	struct buf out = { 0 }, same = { 0 }, rest = { 0 }, third = { 0 };
	struct str text = str_from(data, size);
	unsigned looks;
	enum outcome o = adapt_whole(&whole, text, SIZE_MAX, &out, &looks);

	insist(adapt_whole(&pieces, text, 1 + size % 11, &same, &looks) == o);
	insist(str_eq(buf_str(&out), buf_str(&same)));
	if (o == DONE) {
		check_wire(&whole, buf_str(&out), &rest);
		insist(adapt_whole(&again, buf_str(&rest), SIZE_MAX, &third, &looks) == DONE);
		insist(looks == 1 && str_eq(buf_str(&out), buf_str(&third)));
	}
	adapt_free(&whole);
	adapt_free(&pieces);
	adapt_free(&again);
	buf_free(&out);
	buf_free(&same);
	buf_free(&rest);
	buf_free(&third);
	return 0;
}
