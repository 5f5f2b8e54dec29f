/* addresses: what our parser makes of address headers, for a test that compares
 * it with another's.
 *
 * Each line of stdin is "id TAB body", each of stdout "id TAB ok" and for every
 * mailbox "TAB spec TAB name", or "id TAB no TAB why".  Values are escaped as in
 * our files (codec.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "codec.h"

static void
answer(struct str id, struct str body, struct buf *out)
{
	struct address_list list = { 0 };
	struct why why = { 0 };

	buf_addstr(out, id);
	if (address_parse(body, &list, &why) == DONE) {
		buf_adds(out, "\tok");
		for (size_t i = 0; i < list.n; i++) {
			buf_addc(out, '\t');
			codec_escape(out, buf_str(&list.v[i].spec));
			buf_addc(out, '\t');
			codec_escape(out, buf_str(&list.v[i].name));
		}
	} else {
		buf_adds(out, "\tno\t");
		codec_escape(out, str_of(why.text));
	}
	buf_addc(out, '\n');
	address_list_free(&list);
}

int
main(void)
{
	struct buf body = { 0 }, out = { 0 };
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	while ((n = getline(&line, &size, stdin)) > 0) {
		struct str all = str_from(line, (size_t)n - (line[n - 1] == '\n'));
		size_t tab = str_find(all, '\t');

		buf_clear(&body);
		if (tab == all.len || !codec_unescape(&body, str_from(all.p + tab + 1, all.len - tab - 1))) {
			fprintf(stderr, "addresses: not a line that can be read: %s\n", line);
			return 1;
		}
		buf_clear(&out);
		answer(str_from(all.p, tab), buf_str(&body), &out);
		fwrite(out.p, 1, out.len, stdout);
	}
	free(line);
	buf_free(&body);
	buf_free(&out);
	return fflush(stdout) == 0 ? 0 : 1;
}
