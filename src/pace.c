#include "pace.h"

#include <time.h>

#include "codec.h"
#include "file.h"

#define PACE_MAX 8192           /* octets of the file */

/* By the clock on the wall: a monotonic one begins again with the machine. */
static int64_t
wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void
pace_load(const struct spool *s, const char *account, struct pace *p)
{
	struct buf text = { 0 };
	struct str rest, line;
	uint64_t v;

	*p = (struct pace){ 0 };
	/* What cannot be read is as good as nothing: the next one then goes at once. */
	if (file_load(s->dir, "pace", &text, PACE_MAX) == 0) {
		rest = buf_str(&text);
		while (str_line(&rest, &line))
			if (str_is(str_word(&line), account) && codec_number(line, INT64_MAX, &v))
				p->level = (int64_t)v;
	}
	buf_free(&text);
}

int64_t
pace_wait(const struct pace *p, const struct rate *rate)
{
	int64_t level = p->level;

	return rate->n == 0 ? 0 : rate_take(rate, 1, &level, wall());
}

/* All that is written of other accounts. */
static void
put_others(const struct spool *s, const char *account, struct buf *out)
{
	struct buf text = { 0 };
	struct str rest, line;

	if (file_load(s->dir, "pace", &text, PACE_MAX) == 0) {
		rest = buf_str(&text);
		while (str_line(&rest, &line)) {
			struct str words = line;

			if (!str_is(str_word(&words), account))
				buf_addf(out, "%.*s\n", (int)line.len, line.p);
		}
	}
	buf_free(&text);
}

void
pace_take(const struct spool *s, const char *account, struct pace *p, const struct rate *rate)
{
	struct buf text = { 0 };

	if (rate->n == 0)
		return;
	rate_take(rate, 1, &p->level, wall());
	put_others(s, account, &text);
	buf_addf(&text, "%s %lld\n", account, (long long)p->level);
	/* A disk that would not take it costs the next runner's first message its place. */
	(void)file_replace(s->dir, "pace", buf_str(&text), false);
	buf_free(&text);
}
