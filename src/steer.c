#include "steer.h"

#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#define LOCK_PAUSE 20           /* ms between two tries */
#define LOCK_TRIES 100

/* Whoever has a message may just be putting it away: a person is not sent home
 * for that moment. */
static bool
lock_soon(const struct letter *l)
{
	const struct timespec pause = { 0, LOCK_PAUSE * 1000 * 1000 };

	for (int i = 0; !spool_lock(l); i++) {
		if (i == LOCK_TRIES)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* What it is now that it is ours.  Whoever had it may have moved it meanwhile:
 * given up, or revived. */
static enum outcome
look_once_more(const struct spool *s, const char *id, struct letter *l, enum spool_place *place,
    struct why *why)
{
	enum outcome o = spool_read_again(s, *place, id, l, why);

	if (o != DONE && why->exit == EX_NOINPUT) {
		*place = *place == SPOOL_QUEUE ? SPOOL_FAILED : SPOOL_QUEUE;
		o = spool_read_again(s, *place, id, l, why);
	}
	return o;
}

enum outcome
steer_find(const struct spool *s, const char *id, bool change, struct letter *l,
    enum spool_place *place, struct why *why)
{
	enum outcome o;

	if (!envelope_is_id(str_of(id)))
		return refuse(why, EX_USAGE, "that is no id: it has %d letters and digits, see: "
		    "subpost queue", ENVELOPE_ID_LEN);
	*place = SPOOL_QUEUE;
	o = spool_read(s, *place, id, l, why);
	if (o != DONE && why->exit == EX_NOINPUT) {
		*place = SPOOL_FAILED;
		o = spool_read(s, *place, id, l, why);
	}
	if (o == DONE && change && !lock_soon(l))
		return refuse(why, EX_TEMPFAIL, "%s is being sent just now; try again in a moment", id);
	if (o == DONE && change)
		o = look_once_more(s, id, l, place, why);
	return o;
}

enum outcome
steer_retry(struct spool *s, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = steer_find(s, id, true, &l, &place, why);

	if (o == DONE && l.damaged) {
		char reason[200];

		snprintf(reason, sizeof reason, "%.199s", why->text);
		o = refuse(why, EX_DATAERR, "%s stays held: %s; mend or remove it by hand in %s", id,
		    reason, s->path);
	} else if (o == DONE) {
		fate_renew(&l.fate, time(NULL));
		o = place == SPOOL_FAILED ? spool_revive(s, id, &l.fate, why) :
		    spool_set_fate(s, id, &l.fate, why);
	}
	spool_letter_free(&l);
	return o;
}

/* Without a fate nothing keeps a message back but the account's back-off. */
static bool
is_kept_back(const struct letter *l, bool anew)
{
	return !l->damaged && (l->fate.held ? anew : l->fate.next != 0);
}

/* One that waits for a later moment and is locked has just been put off: what is
 * being sent needs nothing from us. */
static bool
lock_kept_back(const struct letter *l)
{
	return l->fate.next > time(NULL) ? lock_soon(l) : spool_lock(l);
}

enum outcome
steer_retry_all(struct spool *s, bool anew, size_t *waiting, struct why *why)
{
	struct ids ids;
	enum outcome o = spool_list(s, SPOOL_QUEUE, &ids, why);

	for (size_t i = 0; o == DONE && i < ids.n; i++) {
		struct letter l = LETTER_INIT;

		if (spool_read(s, SPOOL_QUEUE, ids.v[i], &l, why) == DONE && is_kept_back(&l, anew) &&
		    lock_kept_back(&l) &&
		    spool_read_again(s, SPOOL_QUEUE, ids.v[i], &l, why) == DONE && is_kept_back(&l, anew)) {
			/* Whoever was refused, and told of, stays so: that is for steer_retry. */
			l.fate.next = 0;
			l.fate.held = false;
			l.fate.hold_reason[0] = '\0';
			if (anew)
				l.fate.renewed = time(NULL);
			o = spool_set_fate(s, ids.v[i], &l.fate, why);
		}
		spool_letter_free(&l);
	}
	*waiting = ids.n;
	spool_ids_free(&ids);
	return o;
}
