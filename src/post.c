#include "post.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define POST_PAUSE 20           /* ms between two looks at a lock that somebody holds, */
#define POST_LOOKS 1500         /* and how often, until that takes longer than it should: */
#define POST_LONG_PAUSE 1000    /* ms between two looks from then on */

static bool
is_queue_empty(const struct spool *s)
{
	struct ids ids;
	struct why why;
	bool empty = spool_list(s, SPOOL_QUEUE, &ids, &why) == DONE && ids.n == 0;

	spool_ids_free(&ids);
	return empty;
}

/* One runner waits for the lock, and scans when it has it: whoever comes meanwhile
 * with a message may leave that to him.  Not one with words of its own, nor one
 * whose service manager would only start it again. */
static enum outcome
queue_up(struct post *p, struct str words, bool *other, struct why *why)
{
	if (!str_is(words, "wake") || p->wake.inherited || p->next >= 0)
		return DONE;
	p->next = spool_lock_next(p->spool);
	if (p->next < 0 && errno != EWOULDBLOCK)
		return later(why, SCOPE_NONE, "", "cannot lock %s/next: %s", p->spool->path,
		    strerror(errno));
	*other = p->next < 0;
	return DONE;
}

/* With a socket that is not ours the other one must go: its own has no name any
 * more. */
static void
send_away(struct post *p)
{
	pid_t holder = p->wake.inherited ? spool_runner_pid(p->spool) : 0;

	if (holder <= 0 || holder == p->asked)
		return;
	p->asked = holder;
	kill(holder, SIGTERM);
}

/* One that is leaving has no socket any more, but may have a transaction to end that
 * takes as long as it takes: as long as mail waits, we do. */
/* A service has the queue, also while it has no runner: the socket is its own, and would be
 * taken from it.  It starts one. */
static enum outcome
tell_service(struct post *p, struct str words, bool *other, struct why *why)
{
	*other = wake_send(p->spool, words) != WAKE_NOBODY;
	/* One that is being started has its socket in a moment. */
	if (!*other && p->looks++ > POST_LOOKS)
		return later(why, SCOPE_NONE, "", "the service of the queue %s does not listen; restart it: "
		    "systemctl restart subpost", p->spool->path);
	return DONE;
}

enum outcome
post_take(struct post *p, struct str words, bool *other, struct why *why)
{
	enum outcome o;

	if (!p->wake.inherited && spool_is_served(p->spool))
		return tell_service(p, words, other, why);
	p->lock = spool_lock_runner(p->spool);
	if (p->lock >= 0)
		return DONE;
	if (errno != EWOULDBLOCK)
		return later(why, SCOPE_NONE, "", "cannot lock %s/lock: %s", p->spool->path,
		    strerror(errno));
	if (!p->wake.inherited && wake_send(p->spool, words) != WAKE_NOBODY)
		*other = true;
	else if ((o = queue_up(p, words, other, why)) != DONE)
		return o;
	*other = *other || (p->looks > POST_LOOKS && is_queue_empty(p->spool));
	if (*other)
		return DONE;
	send_away(p);
	if (p->looks == POST_LOOKS) {
		log_to(spool_open_log(p->spool));
		log_event(LOG_WARNING, "waiting", "reason", "somebody holds the queue's lock and does "
		    "not answer; find him with: fuser", "lock", p->spool->path, NULL);
	}
	p->looks++;
	return DONE;
}

int
post_pause(const struct post *p)
{
	return p->looks <= POST_LOOKS ? POST_PAUSE : POST_LONG_PAUSE;
}

enum outcome
post_open(struct post *p, struct why *why)
{
	if (wake_bind(p->spool, &p->wake) < 0)
		return later(why, SCOPE_NONE, "", "cannot make the socket %s/runner: %s", p->spool->path,
		    strerror(errno));
	if (p->next >= 0)
		close(p->next);
	p->next = -1;
	return DONE;
}

void
post_leave(struct post *p)
{
	if (p->lock >= 0)
		close(p->lock);
	if (p->next >= 0)
		close(p->next);
	p->lock = p->next = -1;
}
