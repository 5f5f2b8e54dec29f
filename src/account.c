#include "account.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "address.h"
#include "clock.h"
#include "ledger.h"
#include "log.h"
#include "trace.h"

#define SILENT_MAX 4            /* couriers that may end without a word before we slow down */
#define PROBE_TIME 5            /* seconds that mail waits for a probe, where it could go elsewhere */
#define APART_SECONDS (30 * 86400)
#define FULL_TIME 300           /* seconds until a server that would take no more connections
                                 * is asked for another one */

const struct smarthost *
account_host(const struct account *a)
{
	return config_account(a->config, a->gone ? 0 : a->place);
}

/* ---- what is remembered ------------------------------------------------------------- */

/* Has a file of the configuration been mended since the account last failed? */
static bool
is_mended(const struct account *a)
{
	const struct config *c = a->config;
	struct stat st;

	if (fstatat(a->spool->dir, "health", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	for (unsigned i = 0; i < c->nfiles; i++) {
		const struct timespec *t = &c->files[i].mtime;

		if (t->tv_sec > st.st_mtim.tv_sec ||
		    (t->tv_sec == st.st_mtim.tv_sec && t->tv_nsec > st.st_mtim.tv_nsec))
			return true;
	}
	return false;
}

static void
store(struct account *a)
{
	struct why why;

	if (!a->gone && health_store(a->spool, a->name, &a->standing, &why) != DONE)
		ledger_log_trouble("health", NULL, &why);
}

/* The servers as the list has them now, each with what is known of it.  One alone is the
 * account. */
static void
list_servers(struct account *a)
{
	const struct smarthost *h = account_host(a);
	struct standing *st = &a->standing, before = *st;

	st->nservers = 0;
	for (unsigned i = 0; h->nservers > 1 && i < h->nservers; i++) {
		struct health_server *s = &st->servers[st->nservers++];
		const struct health *known;

		*s = (struct health_server){ .name = "" };
		snprintf(s->name, sizeof s->name, "%s%s:%u", h->servers[i].srv ? "srv:" : "",
		    h->servers[i].host, h->servers[i].port);
		known = health_server(&before, s->name);
		if (known != NULL)
			s->health = *known;
	}
}

void
account_load(struct account *a, struct spool *s, struct config *c, unsigned place)
{
	*a = (struct account){ .spool = s, .config = c, .place = place };
	snprintf(a->name, sizeof a->name, "%s", account_host(a)->name);
	health_recall(s, a->name, &a->standing);
	list_servers(a);
	if (is_mended(a))
		account_lift_back_off(a);
	pace_load(s, a->name, &a->pace);
}

void
account_move(struct account *a, unsigned place)
{
	a->place = place;
	list_servers(a);
	account_lift_back_off(a);
}

/* ---- when ------------------------------------------------------------------------------ */

time_t
account_not_before(const struct account *a, time_t now)
{
	const struct standing *st = &a->standing;
	time_t until = a->rest_until, servers = health_servers_until(st);

	if (st->account.down && st->account.until > until)
		until = st->account.until;
	if (servers > until)
		until = servers;
	return until > now ? until : 0;
}

int64_t
account_pause(const struct account *a)
{
	return pace_wait(&a->pace, &account_host(a)->rate);
}

void
account_spend(struct account *a)
{
	pace_take(a->spool, a->name, &a->pace, &account_host(a)->rate);
}

bool
account_is_in_doubt(const struct account *a, unsigned server)
{
	const struct standing *st = &a->standing;

	return st->account.down || (server < st->nservers && st->servers[server].health.down);
}

bool
account_gives_way(const struct account *a, time_t now)
{
	if (health_trouble(&a->standing) == NULL || a->standing.barred)
		return false;
	return account_not_before(a, now) != 0 || (a->probed_at > 0 && account_patience(a) == 0);
}

double
account_patience(const struct account *a)
{
	double left = a->probed_at + PROBE_TIME - clock_now();

	return a->probed_at > 0 && left > 0 && health_trouble(&a->standing) != NULL ? left : 0;
}

void
account_called(struct account *a)
{
	if (health_trouble(&a->standing) != NULL)
		a->probed_at = clock_now();
}

bool
account_is_proven(const struct account *a)
{
	return !a->unproven && (a->proven || a->standing.good[0] != '\0' ||
	    strcmp(account_host(a)->auth, "none") == 0);
}

int
account_server(const struct account *a, unsigned busy, time_t now)
{
	const struct standing *st = &a->standing;

	for (unsigned i = 0; i < st->nservers; i++) {
		const struct health *h = &st->servers[i].health;

		if (!h->down || (h->until <= now && (busy >> i & 1) == 0))
			return (int)i;
	}
	return st->nservers == 0 ? 0 : -1;
}

/* ---- the login --------------------------------------------------------------------------- */

void
account_order(struct account *a, unsigned server, bool alone, const char *key, time_t now,
    struct order *o)
{
	const struct standing *st = &a->standing;

	*o = (struct order){ .server = server, .alone = alone, .force = a->force, .fresh = a->fresh,
	    .apart = st->apart_until > now };
	a->force = a->fresh = false;
	if (a->place > 0)
		memcpy(o->account, a->name, sizeof o->account);
	memcpy(o->mechanism, st->mechanism, sizeof o->mechanism);
	memcpy(o->avoid, st->avoid, sizeof o->avoid);
	memcpy(o->good, st->good, sizeof o->good);
	snprintf(o->key, sizeof o->key, "%s", key);
	for (unsigned i = 0; i < st->nrefused; i++)
		if (health_is_refused(&st->refused[i], now))
			memcpy(o->refused[o->nrefused++], st->refused[i].print, sizeof o->refused[0]);
}

static bool
forget_refusal(struct standing *st, const char *print)
{
	for (unsigned i = 0; i < st->nrefused; i++) {
		if (strcmp(st->refused[i].print, print) != 0)
			continue;
		st->refused[i] = st->refused[--st->nrefused];
		return true;
	}
	return false;
}

void
account_ready(struct account *a, const char *mechanism, const char *print)
{
	struct standing *st = &a->standing;
	bool forgotten = forget_refusal(st, print), news = forgotten || st->avoid[0] != '\0';

	a->proven = true;
	a->unproven = false;
	st->avoid[0] = '\0';
	if (print[0] != '\0' && (strcmp(st->good, print) != 0 || strcmp(st->mechanism, mechanism) != 0)) {
		snprintf(st->good, sizeof st->good, "%s", print);
		snprintf(st->mechanism, sizeof st->mechanism, "%s", mechanism);
		news = true;
	}
	if (news)
		store(a);
}

void
account_keep_apart(struct account *a, time_t now)
{
	a->standing.apart_until = now + APART_SECONDS;
	store(a);
}

/* Servers exist that offer SCRAM and do not have it: that may say nothing of the secret,
 * so the next step, and not sooner, tries without.  Once for each secret. */
static bool
is_scrams_own_trouble(const struct account *a, const struct order *o, const char *mechanism,
    const char *print)
{
	return strcmp(account_host(a)->auth, "auto") == 0 && strncmp(mechanism, "SCRAM-", 6) == 0 &&
	    o->avoid[0] == '\0' && health_refusals(&a->standing, print) == 0;
}

bool
account_refused(struct account *a, const struct order *o, const char *mechanism, const char *print,
    time_t now)
{
	const struct steps *retry = &a->config->retry;
	struct standing *st = &a->standing;
	unsigned step = st->account.step < retry->n ? st->account.step : retry->n - 1;

	a->proven = false;
	st->avoid[0] = '\0';
	if (is_scrams_own_trouble(a, o, mechanism, print)) {
		snprintf(st->avoid, sizeof st->avoid, "SCRAM");
		/* As long as the account's own step that begins now, and not longer. */
		health_refuse(st, print, now, now + (retry->n > 0 ? retry->v[step] : 0));
	} else {
		health_refuse(st, print, now, 0);
	}
	store(a);
	/* It may only have grown too old.  Once a step. */
	a->fresh = account_host(a)->token_command[0] != '\0' && !o->fresh;
	return !a->fresh;
}

/* ---- what it answered --------------------------------------------------------------------- */

/* Those whose message waits with the account see no dialogue of their own.  What the
 * server said, it may have said of somebody else's mail. */
static void
tell(const struct account *a, const char *server, const struct health *h, time_t now)
{
	time_t next = account_not_before(a, now);
	struct buf words = { 0 };
	char seconds[24];

	snprintf(seconds, sizeof seconds, "%lld", (long long)(h->until - now));
	log_event(LOG_WARNING, "down", "account", a->name, "server", server, "scope",
	    scope_name(h->why.scope), "next", seconds, "reason", h->why.text, NULL);
	address_hide(str_of(h->why.text), &words);
	if (next > 0)
		buf_addf(&words, "; next try in %lld s", (long long)(next - now));
	else
		buf_adds(&words, "; the next server of the list is tried");
	trace_tell_all(a->spool, buf_str(&words));
	buf_free(&words);
}

/* What fails while it is left alone was begun before: one trouble, seen by several. */
static void
fail(struct account *a, struct health *h, const char *server, const struct why *why,
    const struct steps *steps, time_t now)
{
	a->probed_at = 0;
	if (h->down && h->until > now)
		h->why = *why;
	else
		health_fail(h, why, steps, now, clock_salt());
	store(a);
	tell(a, server, h, now);
}

void
account_failed(struct account *a, unsigned server, const struct why *why, time_t now)
{
	struct standing *st = &a->standing;

	if (why->scope == SCOPE_SERVER && server < st->nservers) {
		fail(a, &st->servers[server].health, st->servers[server].name, why, &a->config->retry, now);
		return;
	}
	st->barred = false;
	fail(a, &st->account, "", why, &a->config->retry, now);
}

void
account_barred(struct account *a, const struct order *o, const struct why *why, time_t now)
{
	const struct smarthost *h = account_host(a);

	if (why->scope == SCOPE_SERVER) {
		account_failed(a, o->server, why, now);
		return;
	}
	/* What is left without SCRAM may be nothing at all. */
	if (o->avoid[0] != '\0' && o->nrefused == 0)
		a->standing.avoid[0] = '\0';
	a->standing.barred = true;
	/* A password that was refused is known by its print; of tokens, which are others each
	 * time, only the account can keep count. */
	fail(a, &a->standing.account, "", why,
	    h->token_command[0] != '\0' ? &health_login_steps : &a->config->retry, now);
}

void
account_is_full(struct account *a, unsigned others, const struct why *why, time_t now)
{
	char n[12];

	a->most = others;
	a->most_until = now + FULL_TIME;
	snprintf(n, sizeof n, "%u", others);
	log_event(LOG_NOTICE, "full", "account", a->name, "connections", n, "reason", why->text, NULL);
}

bool
account_may_have_more(const struct account *a, unsigned running, time_t now)
{
	return a->most == 0 || running < a->most || now >= a->most_until;
}

void
account_passed(struct account *a, unsigned server)
{
	struct standing *st = &a->standing;

	a->passes++;
	a->silent = 0;
	if (!account_is_in_doubt(a, server))
		return;
	health_succeed(&st->account);
	st->barred = false;
	if (server < st->nservers)
		health_succeed(&st->servers[server].health);
	store(a);
	log_event(LOG_NOTICE, "up", "account", a->name, "server",
	    server < st->nservers ? st->servers[server].name : "", NULL);
}

void
account_met_silence(struct account *a, bool ready, int status, time_t now)
{
	bool by_signal = WIFSIGNALED(status);
	unsigned shift;
	struct why why;

	if (++a->silent <= SILENT_MAX)
		return;
	if (!ready) {
		later(&why, SCOPE_SERVER, "", "subpost-courier ended %u times without a word, last %s %d; "
		    "is subpost installed whole? try: subpost check", a->silent,
		    by_signal ? "by signal" : "with status",
		    by_signal ? WTERMSIG(status) : WEXITSTATUS(status));
		account_failed(a, SERVERS_MAX, &why, now);
		return;
	}
	shift = a->silent - SILENT_MAX;
	a->rest_until = now + (shift < 6 ? 1 << shift : 60);
}

void
account_lift_back_off(struct account *a)
{
	struct standing *st = &a->standing;
	bool news = st->account.down;

	a->rest_until = 0;
	a->silent = 0;
	st->account.until = 0;
	for (unsigned i = 0; i < st->nservers; i++) {
		news = news || st->servers[i].health.down;
		st->servers[i].health.until = 0;
	}
	if (news)
		store(a);
}
