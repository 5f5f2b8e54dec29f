#include "health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

#define HEALTH_MAX 262144       /* octets of the file */
#define FIRST_LINE "subpost-health 2"

const struct steps health_login_steps = {
	.v = { 1 * 3600, 2 * 3600, 4 * 3600, 8 * 3600, 16 * 3600, 24 * 3600 }, .n = 6,
};

/* ---- reading ---------------------------------------------------------------------- */

static bool
read_time(struct str word, time_t *t)
{
	uint64_t v;

	if (!codec_number(word, INT64_MAX, &v))
		return false;
	*t = (time_t)v;
	return true;
}

static bool
read_count(struct str word, unsigned *n)
{
	uint64_t v;

	if (!codec_number(word, UINT32_MAX, &v))
		return false;
	*n = (unsigned)v;
	return true;
}

static bool
read_name(struct str word, char *at, size_t size)
{
	if (word.len == 0 || word.len >= size || str_has(word, '\0'))
		return false;
	memcpy(at, word.p, word.len);
	at[word.len] = '\0';
	return true;
}

/* "up", or "down UNTIL SINCE STEP SCOPE CODE STATUS TEXT" */
static bool
read_health(struct str rest, struct health *h)
{
	struct buf text = { 0 };
	struct str status, word = str_word(&rest);
	uint64_t code;
	bool good;

	*h = (struct health){ 0 };
	if (str_is(word, "up") && rest.len == 0)
		return true;
	if (!str_is(word, "down") || !read_time(str_word(&rest), &h->until) ||
	    !read_time(str_word(&rest), &h->since) || !read_count(str_word(&rest), &h->step) ||
	    !scope_parse(str_word(&rest), &h->why.scope) ||
	    !codec_number(str_word(&rest), 999, &code))
		return false;
	status = str_word(&rest);
	good = status.len < sizeof h->why.status && codec_unescape(&text, rest);
	if (good) {
		h->down = true;
		h->why.code = (int)code;
		if (!str_is(status, "-"))
			snprintf(h->why.status, sizeof h->why.status, "%.*s", (int)status.len, status.p);
		snprintf(h->why.text, sizeof h->why.text, "%s", buf_c(&text));
	}
	buf_free(&text);
	return good;
}

static bool
read_account(struct str rest, struct standing *st)
{
	return read_health(rest, &st->account);
}

static bool
read_barred(struct str rest, struct standing *st)
{
	st->barred = true;
	return rest.len == 0;
}

static bool
read_server(struct str rest, struct standing *st)
{
	struct health_server *s = &st->servers[st->nservers];

	if (st->nservers == SERVERS_MAX || !read_name(str_word(&rest), s->name, sizeof s->name) ||
	    !read_health(rest, &s->health))
		return false;
	st->nservers++;
	return true;
}

static bool
read_login(struct str rest, struct standing *st)
{
	return read_name(str_word(&rest), st->mechanism, sizeof st->mechanism) &&
	    read_name(str_word(&rest), st->good, sizeof st->good) && rest.len == 0;
}

static bool
read_refused(struct str rest, struct standing *st)
{
	struct refusal *r = &st->refused[st->nrefused];

	if (st->nrefused == ORDER_REFUSED || !read_name(str_word(&rest), r->print, sizeof r->print) ||
	    !read_time(str_word(&rest), &r->until) || !read_count(rest, &r->step))
		return false;
	st->nrefused++;
	return true;
}

static bool
read_avoid(struct str rest, struct standing *st)
{
	return read_name(rest, st->avoid, sizeof st->avoid);
}

static bool
read_apart(struct str rest, struct standing *st)
{
	return read_time(rest, &st->apart_until);
}

/* What is said of an account, with its name behind the word. */
static const struct {
	const char *word;
	bool (*read)(struct str rest, struct standing *st);
} facts[] = {
	{ "account", read_account },
	{ "barred", read_barred },
	{ "server", read_server },
	{ "login", read_login },
	{ "refused", read_refused },
	{ "avoid", read_avoid },
	{ "apart", read_apart },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The file behind its first line; nothing where that is not ours. */
static struct str
load(const struct spool *s, struct buf *text)
{
	struct str rest, line;

	if (file_load(s->dir, "health", text, HEALTH_MAX) < 0)
		return (struct str){ 0 };
	rest = buf_str(text);
	if (!str_line(&rest, &line) || !str_is(line, FIRST_LINE))
		return (struct str){ 0 };
	return rest;
}

void
health_recall(const struct spool *s, const char *account, struct standing *st)
{
	struct buf text = { 0 };
	struct str rest = load(s, &text), line;
	bool good = true;

	*st = (struct standing){ 0 };
	while (good && str_line(&rest, &line)) {
		struct str word = str_word(&line);

		if (!str_is(str_word(&line), account))
			continue;
		for (size_t i = 0; i < COUNT(facts); i++)
			if (str_is(word, facts[i].word))
				good = good && facts[i].read(line, st);
	}
	if (!good)
		*st = (struct standing){ 0 };
	buf_free(&text);
}

void
health_load(const struct spool *s, const char *account, struct health *h)
{
	struct standing st;
	const struct health *trouble;

	health_recall(s, account, &st);
	trouble = health_trouble(&st);
	*h = trouble != NULL ? *trouble : (struct health){ 0 };
}

/* ---- writing ---------------------------------------------------------------------- */

static void
put_health(struct buf *out, const struct health *h)
{
	if (h->down) {
		buf_addf(out, " down %lld %lld %u %s %d %s ", (long long)h->until,
		    (long long)h->since, h->step, scope_name(h->why.scope), h->why.code,
		    h->why.status[0] != '\0' ? h->why.status : "-");
		codec_escape(out, str_of(h->why.text));
	} else {
		buf_adds(out, " up");
	}
	buf_addc(out, '\n');
}

static void
put_standing(struct buf *out, const char *account, const struct standing *st)
{
	buf_addf(out, "account %s", account);
	put_health(out, &st->account);
	if (st->barred)
		buf_addf(out, "barred %s\n", account);
	for (unsigned i = 0; i < st->nservers; i++) {
		buf_addf(out, "server %s %s", account, st->servers[i].name);
		put_health(out, &st->servers[i].health);
	}
	if (st->good[0] != '\0' && st->mechanism[0] != '\0')
		buf_addf(out, "login %s %s %s\n", account, st->mechanism, st->good);
	for (unsigned i = 0; i < st->nrefused; i++)
		buf_addf(out, "refused %s %s %lld %u\n", account, st->refused[i].print,
		    (long long)st->refused[i].until, st->refused[i].step);
	if (st->avoid[0] != '\0')
		buf_addf(out, "avoid %s %s\n", account, st->avoid);
	if (st->apart_until > 0)
		buf_addf(out, "apart %s %lld\n", account, (long long)st->apart_until);
}

/* All that the file says of others. */
static void
put_others(struct buf *out, struct str rest, const char *account)
{
	struct str line;

	while (str_line(&rest, &line)) {
		struct str words = line;

		if (str_is(str_word(&words), "key") || !str_is(str_word(&words), account)) {
			buf_addstr(out, line);
			buf_addc(out, '\n');
		}
	}
}

enum outcome
health_store(const struct spool *s, const char *account, const struct standing *st, struct why *why)
{
	struct buf text = { 0 }, before = { 0 };
	int r;

	buf_adds(&text, FIRST_LINE "\n");
	put_others(&text, load(s, &before), account);
	put_standing(&text, account, st);
	r = file_replace(s->dir, "health", buf_str(&text), false);
	/* A full disk keeps nobody from sending: without the file the account is up, too. */
	if (r < 0 && health_trouble(st) == NULL && unlinkat(s->dir, "health", 0) == 0)
		r = 0;
	buf_free(&before);
	buf_free(&text);
	if (r < 0)
		return later(why, SCOPE_NONE, "", "cannot write %s/health: %s", s->path, strerror(errno));
	return DONE;
}

static bool
read_key(struct str rest, char key[ORDER_PRINT + 1])
{
	struct str line;

	while (str_line(&rest, &line))
		if (str_is(str_word(&line), "key") && line.len == ORDER_PRINT)
			return read_name(line, key, ORDER_PRINT + 1);
	return false;
}

void
health_key(const struct spool *s, char key[ORDER_PRINT + 1])
{
	unsigned char chance[ORDER_PRINT / 2];
	struct buf text = { 0 }, before = { 0 };
	struct str rest = load(s, &before);

	key[0] = '\0';
	if (!read_key(rest, key) && getrandom(chance, sizeof chance, 0) == sizeof chance) {
		for (size_t i = 0; i < sizeof chance; i++)
			snprintf(key + 2 * i, 3, "%02x", chance[i]);
		buf_addf(&text, FIRST_LINE "\nkey %s\n", key);
		buf_addstr(&text, rest);
		if (file_replace(s->dir, "health", buf_str(&text), false) < 0)
			key[0] = '\0';
	}
	buf_free(&before);
	buf_free(&text);
}

/* ---- what follows ------------------------------------------------------------------ */

/* The one that is tried first where all are down; NULL: one is not, or there is no list. */
static const struct health *
first_of_all_down(const struct standing *st)
{
	const struct health *first = NULL;

	for (unsigned i = 0; i < st->nservers; i++) {
		const struct health *h = &st->servers[i].health;

		if (!h->down)
			return NULL;
		if (first == NULL || h->until < first->until)
			first = h;
	}
	return first;
}

const struct health *
health_trouble(const struct standing *st)
{
	return st->account.down ? &st->account : first_of_all_down(st);
}

time_t
health_servers_until(const struct standing *st)
{
	const struct health *first = first_of_all_down(st);

	return first != NULL ? first->until : 0;
}

struct health *
health_server(struct standing *st, const char *name)
{
	for (unsigned i = 0; i < st->nservers; i++)
		if (strcmp(st->servers[i].name, name) == 0)
			return &st->servers[i].health;
	return NULL;
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

/* The one of that secret; else a new one, in the place of the one that is over first. */
static struct refusal *
refusal_of(struct standing *st, const char *print)
{
	struct refusal *oldest = &st->refused[0];

	for (unsigned i = 0; i < st->nrefused; i++) {
		if (strcmp(st->refused[i].print, print) == 0)
			return &st->refused[i];
		if (st->refused[i].until < oldest->until)
			oldest = &st->refused[i];
	}
	if (st->nrefused < ORDER_REFUSED)
		oldest = &st->refused[st->nrefused++];
	*oldest = (struct refusal){ 0 };
	snprintf(oldest->print, sizeof oldest->print, "%s", print);
	return oldest;
}

void
health_refuse(struct standing *st, const char *print, time_t now, time_t soon)
{
	struct refusal *r = refusal_of(st, print);

	if (soon == 0)
		r->step++;
	r->until = soon != 0 ? soon : schedule_next(&health_login_steps, r->step, now, 0);
}

unsigned
health_refusals(const struct standing *st, const char *print)
{
	for (unsigned i = 0; i < st->nrefused; i++)
		if (strcmp(st->refused[i].print, print) == 0)
			return st->refused[i].step;
	return 0;
}

bool
health_is_refused(const struct refusal *r, time_t now)
{
	return r->until > now;
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
