/* Any octets as an address list: what is read can be sent, and reads the same
 * again; and so does what qualifying makes of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

/* A mailbox's spec between angle brackets is that one mailbox. */
static void
read_again(struct str spec)
{
	struct buf text = { 0 }, again = { 0 };
	struct why why = { 0 };

	buf_addc(&text, '<');
	buf_addstr(&text, spec);
	buf_addc(&text, '>');
	insist(address_parse_one(buf_str(&text), &again, &why) == DONE);
	insist(str_eq(buf_str(&again), spec));
	buf_free(&text);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from(data, size);
	struct address_list list = { 0 };
	struct buf one = { 0 };
	struct why why = { 0 };
	enum outcome o = address_parse(text, &list, &why);

	insist(o == DONE || (o == NEVER && why.exit == 65 && why.text[0] != '\0'));
	for (size_t i = 0; o == DONE && i < list.n; i++) {
		struct address *a = &list.v[i];

		insist(a->spec.len > 0 && a->spec.len <= ADDRESS_MAX);
		insist(address_is_sendable(buf_str(&a->spec)));
		insist(address_has_domain(buf_str(&a->spec)) == (a->bare_end == SIZE_MAX));
		insist(a->bare_end == SIZE_MAX || a->bare_end <= size);
		read_again(buf_str(&a->spec));
		address_qualify(&a->spec, STR("example.com"));
		insist(address_domain(buf_str(&a->spec)).len > 0);
		if (a->spec.len <= ADDRESS_MAX)
			read_again(buf_str(&a->spec));
	}
	/* One mailbox and no more: the list agrees. */
	if (address_parse_one(text, &one, &why) == DONE && one.len > 0)
		insist(o == DONE && list.n == 1);
	buf_free(&one);
	address_list_free(&list);
	return 0;
}
