#include "account.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "address.h"
#include "clock.h"
#include "ledger.h"
#include "log.h"
#include "trace.h"

#define SILENT_MAX 4            /* couriers that may end without a word before we slow down */

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

void
account_load(struct account *a)
{
	health_load(a->spool, a->config->smarthost.name, &a->health);
	if (is_mended(a))
		account_lift_back_off(a);
	pace_load(a->spool, &a->pace);
}

time_t
account_not_before(const struct account *a, time_t now)
{
	time_t until = a->rest_until;

	if (a->health.down && a->health.until > until)
		until = a->health.until;
	return until > now ? until : 0;
}

int64_t
account_pause(const struct account *a)
{
	return pace_wait(&a->pace, &a->config->smarthost.rate);
}

void
account_spend(struct account *a)
{
	pace_take(a->spool, &a->pace, &a->config->smarthost.rate);
}

static void
store_health(struct account *a)
{
	struct why why;

	if (health_store(a->spool, a->config->smarthost.name, &a->health, &why) != DONE)
		ledger_log_trouble("health", NULL, &why);
}

/* Those whose message waits with the account see no dialogue of their own.  What the
 * server said, it may have said of somebody else's mail. */
static void
tell_watchers(const struct account *a, const char *seconds, const struct why *why)
{
	struct buf words = { 0 };

	address_hide(str_of(why->text), &words);
	buf_addf(&words, "; next try in %s s", seconds);
	trace_tell_all(a->spool, buf_str(&words));
	buf_free(&words);
}

void
account_failed(struct account *a, const struct why *why)
{
	char seconds[24];

	health_fail(&a->health, why, &a->config->retry, time(NULL), clock_salt());
	store_health(a);
	snprintf(seconds, sizeof seconds, "%lld", (long long)(a->health.until - time(NULL)));
	log_event(LOG_WARNING, "down", "account", a->config->smarthost.name, "scope",
	    scope_name(why->scope), "next", seconds, "reason", why->text, NULL);
	tell_watchers(a, seconds, why);
}

void
account_passed(struct account *a)
{
	a->passes++;
	a->silent = 0;
	if (!a->health.down)
		return;
	health_succeed(&a->health);
	store_health(a);
	log_event(LOG_NOTICE, "up", "account", a->config->smarthost.name, NULL);
}

void
account_met_silence(struct account *a, bool ready, int status)
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
		account_failed(a, &why);
		return;
	}
	shift = a->silent - SILENT_MAX;
	a->rest_until = time(NULL) + (shift < 6 ? 1 << shift : 60);
}

void
account_lift_back_off(struct account *a)
{
	a->rest_until = 0;
	a->silent = 0;
	if (!a->health.down)
		return;
	a->health.until = 0;
	store_health(a);
}
