/* Any octets as what a server says during a login: what is read of it lies within it,
 * and what is taken for good keeps its bounds. */
#include <stdint.h>
#include <stdlib.h>

#include "bearer.h"
#include "scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static void
insist_within(struct str part, struct str whole)
{
	insist(part.len == 0 || (part.p >= whole.p && part.len <= whole.len &&
	    (size_t)(part.p - whole.p) <= whole.len - part.len));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str said = str_from(data, size), word = { 0 }, status = bearer_status(said);
	enum scram_blame blame = SCRAM_BLAMES_NOBODY;
	struct buf salt = { 0 };
	unsigned n = 0;

	insist_within(scram_nonce(said), said);
	insist_within(status, said);
	insist(!str_has(status, '"'));
	if (scram_read_error(said, &word, &blame)) {
		insist(str_starts(said, "e="));
		insist_within(word, said);
		insist(!str_has(word, ','));
	}
	if (scram_read_first(said, STR("rOprNGfwEbeRWgbNEkqO"), &salt, &n) == NULL) {
		insist(str_starts(said, "r=rOprNGfwEbeRWgbNEkqO"));
		insist(n >= SCRAM_ITERATIONS_MIN && n <= SCRAM_ITERATIONS_MAX && salt.len > 0);
	} else {
		insist(n == 0);
	}
	buf_free(&salt);
	insist(scram_read_first(said, (struct str){ 0 }, &salt, &n) != NULL);
	buf_free(&salt);
	return 0;
}
