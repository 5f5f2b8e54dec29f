/* adapt: the filter of src/adapt.h on its own, for flow tests.
 *
 *	adapt [8][u][b][pN] < text at rest > text on the wire
 *
 * 8: the server offers 8BITMIME; u: UTF-8 may stand in headers; b: no dots are
 * stuffed; pN: the text comes in pieces of N octets.  Ends with 1 and the reason on
 * stderr where the message cannot go; with 70 where a promise is broken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapt.h"
#include "idna.h"

static enum outcome
run(struct adapt *a, struct str text, size_t piece, struct buf *out, struct why *why)
{
	enum outcome o = DONE;

	for (size_t at = 0; at < text.len && o == DONE; at += piece)
		o = adapt_feed(a, str_from(text.p + at, text.len - at < piece ? text.len - at : piece), out, why);
	return o == DONE ? adapt_end(a, out, why) : o;
}

int
main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "", *p = strchr(how, 'p');
	size_t piece = p != NULL ? strtoul(p + 1, NULL, 10) : 65536;
	struct adapt a = { .terms = { .eight_bit = strchr(how, '8') != NULL,
		.utf8_header = strchr(how, 'u') != NULL, .no_dots = strchr(how, 'b') != NULL,
		.to_ascii = idna_domain } };
	struct buf text = { 0 }, out = { 0 };
	struct why why = { 0 };
	char chunk[65536];
	ssize_t n;

	while ((n = read(0, chunk, sizeof chunk)) > 0)
		buf_add(&text, chunk, (size_t)n);
	do
		if (run(&a, buf_str(&text), piece, &out, &why) != DONE) {
			fprintf(stderr, "%s %s\n", why.status, why.text);
			return 1;
		}
	while (!adapt_rewind(&a));
	if (out.len > 0 || run(&a, buf_str(&text), piece, &out, &why) != DONE) {
		fprintf(stderr, "a look has written, or a run was refused after the look\n");
		return 70;
	}
	fwrite(out.p, 1, out.len, stdout);
	adapt_free(&a);
	buf_free(&out);
	buf_free(&text);
	return 0;
}
