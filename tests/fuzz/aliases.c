/* Any octets as an aliases file: it is read to its end, every name in it has an
 * answer in bounded time, and an answer names nobody who could not be sent to. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static void
expand(const struct aliases *a, struct str name)
{
	struct targets t = { 0 };
	struct why why = { 0 };
	enum outcome o = targets_find(a, name, &t, &why);

	if (o == DONE) {
		insist(t.n > 0 && t.n <= TARGETS_MAX);
		for (size_t i = 0; i < t.n; i++)
			insist(t.v[i][0] != '\0' && t.v[i][0] != '|' && t.v[i][0] != '/' &&
			    address_is_sendable(str_of(t.v[i])));
	} else {
		insist(why.text[0] != '\0' && strchr(why.text, '\n') == NULL);
	}
	targets_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct aliases a = { 0 };

	aliases_parse(&a, str_from(data, size), "aliases");
	for (size_t i = 0; i < a.n; i++) {
		insist(aliases_has(&a, str_of(a.v[i].name)));
		if (i < 50)
			expand(&a, str_of(a.v[i].name));
	}
	expand(&a, STR("nobody-has-a-line"));
	for (size_t i = 0; i < a.nproblems; i++)
		insist(a.problems[i].text[0] != '\0' && strchr(a.problems[i].text, '\n') == NULL);
	aliases_free(&a);
	aliases_free(&a);
	return 0;
}
