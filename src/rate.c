#include "rate.h"

#include "codec.h"

static const struct {
	char name;
	uint32_t seconds;
} spans[] = {
	{ 's', 1 }, { 'm', 60 }, { 'h', 60 * 60 }, { 'd', 24 * 60 * 60 },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

bool
rate_parse(struct str text, struct rate *r)
{
	size_t slash = str_find(text, '/');
	uint64_t n;

	if (text.len - slash != 2 || !codec_number(str_from(text.p, slash), RATE_MAX, &n) || n == 0)
		return false;
	for (size_t i = 0; i < COUNT(spans); i++) {
		if (text.p[slash + 1] == spans[i].name) {
			*r = (struct rate){ (uint32_t)n, spans[i].seconds };
			return true;
		}
	}
	return false;
}

void
rate_write(const struct rate *r, struct buf *out)
{
	for (size_t i = 0; r->n > 0 && i < COUNT(spans); i++)
		if (r->seconds == spans[i].seconds)
			buf_addf(out, "%u/%c", (unsigned)r->n, spans[i].name);
}

int64_t
rate_take(const struct rate *r, uint32_t burst, int64_t *level, int64_t now)
{
	int64_t step, most, due;

	if (r->n == 0)
		return 0;
	if (burst > RATE_MAX)
		burst = RATE_MAX;
	/* Rounded up: never more than n in that time. */
	step = ((int64_t)r->seconds * 1000000 + r->n - 1) / r->n;
	most = now + (burst > 1 ? (int64_t)(burst - 1) * step : 0);
	/* Brought down in its place, or it would stay out of reach until the clock
	 * has caught up. */
	if (*level > most)
		*level = most;
	due = *level + step;
	if (*level == 0 || due < now)
		due = now;
	if (due > most)
		return due - most;
	*level = due;
	return 0;
}
