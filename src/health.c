#include "health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

#define HEALTH_MAX 65536        /* octets of the file */
#define FIRST_LINE "subpost-health 1"

static bool
read_time(struct str word, time_t *t)
{
	uint64_t v;

	if (!codec_number(word, INT64_MAX, &v))
		return false;
	*t = (time_t)v;
	return true;
}

/* "down UNTIL SINCE STEP SCOPE CODE STATUS TEXT" */
static bool
read_state(struct str rest, struct health *h)
{
	struct buf text = { 0 };
	struct str status;
	uint64_t step, code;
	bool good;

	if (!str_is(str_word(&rest), "down") || !read_time(str_word(&rest), &h->until) ||
	    !read_time(str_word(&rest), &h->since) ||
	    !codec_number(str_word(&rest), UINT32_MAX, &step) ||
	    !scope_parse(str_word(&rest), &h->why.scope) ||
	    !codec_number(str_word(&rest), 999, &code))
		return false;
	status = str_word(&rest);
	good = status.len < sizeof h->why.status && codec_unescape(&text, rest);
	if (good) {
		h->down = true;
		h->step = (unsigned)step;
		h->why.code = (int)code;
		if (!str_is(status, "-"))
			snprintf(h->why.status, sizeof h->why.status, "%.*s", (int)status.len, status.p);
		snprintf(h->why.text, sizeof h->why.text, "%s", buf_c(&text));
	}
	buf_free(&text);
	return good;
}

void
health_load(const struct spool *s, const char *account, struct health *h)
{
	struct buf text = { 0 };
	struct str rest, line;

	*h = (struct health){ 0 };
	if (file_load(s->dir, "health", &text, HEALTH_MAX) < 0)
		goto out;
	rest = buf_str(&text);
	if (!str_line(&rest, &line) || !str_is(line, FIRST_LINE))
		goto out;
	while (str_line(&rest, &line)) {
		if (!str_is(str_word(&line), account))
			continue;
		if (!read_state(line, h))
			*h = (struct health){ 0 };
	}
out:
	buf_free(&text);
}

enum outcome
health_store(const struct spool *s, const char *account, const struct health *h, struct why *why)
{
	struct buf text = { 0 };
	int r;

	buf_addf(&text, FIRST_LINE "\n%s ", account);
	if (h->down) {
		buf_addf(&text, "down %lld %lld %u %s %d %s ", (long long)h->until,
		    (long long)h->since, h->step, scope_name(h->why.scope), h->why.code,
		    h->why.status[0] != '\0' ? h->why.status : "-");
		codec_escape(&text, str_of(h->why.text));
	} else {
		buf_adds(&text, "up");
	}
	buf_addc(&text, '\n');
	r = file_replace(s->dir, "health", buf_str(&text), false);
	/* A full disk keeps nobody from sending: without the file the account is up, too. */
	if (r < 0 && !h->down && unlinkat(s->dir, "health", 0) == 0)
		r = 0;
	buf_free(&text);
	if (r < 0)
		return later(why, SCOPE_NONE, "", "cannot write %s/health: %s", s->path, strerror(errno));
	return DONE;
}

void
health_fail(struct health *h, const struct why *w, const struct steps *steps, time_t now,
    uint32_t salt)
{
	if (!h->down)
		h->since = now;
	h->down = true;
	h->step++;
	h->until = schedule_next(steps, h->step, now, salt);
	h->why = *w;
}

void
health_succeed(struct health *h)
{
	*h = (struct health){ 0 };
}

void
health_describe(const struct health *h, const char *account, time_t now, struct buf *out)
{
	if (!h->down)
		return;
	buf_addf(out, "%s is down since ", account);
	codec_stamp(out, h->since);
	if (h->until > now) {
		buf_adds(out, ", next try in ");
		codec_age(out, h->until - now);
	} else {
		buf_adds(out, ", next try now");
	}
	buf_addf(out, ": %s", h->why.text);
}
