/* Any octets as an answer of DNS: what is taken from it can be called, and its order
 * loses nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static uint32_t chance;

/* Different each time, and the same for the same input. */
static uint32_t
next_number(void)
{
	chance = chance * 1664525 + 1013904223;
	return chance;
}

static unsigned
count(const struct srv *found, const struct srv_target *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < found->n; i++)
		n += strcmp(found->v[i].host, t->host) == 0 && found->v[i].port == t->port &&
		    found->v[i].priority == t->priority && found->v[i].weight == t->weight;
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srv found = { 0 }, ordered;

	chance = (uint32_t)size;
	srv_parse(str_from(data, size), "_submissions._tcp.example.com", true, &found);
	insist(found.n <= SRV_TARGETS_MAX);
	for (unsigned i = 0; i < found.n; i++) {
		insist(host_is_server(str_of(found.v[i].host)));
		insist(found.v[i].port > 0 && found.v[i].port < 65536);
		insist(found.v[i].implicit);
	}
	ordered = found;
	srv_order(ordered.v, ordered.n, next_number);
	for (unsigned i = 0; i < found.n; i++) {
		insist(count(&ordered, &found.v[i]) == count(&found, &found.v[i]));
		insist(i == 0 || ordered.v[i - 1].priority <= ordered.v[i].priority);
	}
	return 0;
}
