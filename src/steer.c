#include "steer.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "log.h"

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

bool
steer_may(const struct asker *who, const struct letter *l)
{
	return who->all || (!who->nobody && !l->damaged && l->envelope.uid == who->uid);
}

bool
steer_may_perhaps(const struct spool *s, const struct asker *who, const char *id)
{
	uid_t uid;

	return who->all || (!who->nobody && (!spool_peek_uid(s, id, &uid) || uid == who->uid));
}

/* In the same words whether there is none, or none for this asker. */
static enum outcome
refuse_absent(const char *id, struct why *why)
{
	enum outcome o = refuse(why, EX_TEMPFAIL, "%s is not in the queue", id);

	why->exit = EX_NOINPUT;
	return o;
}

enum outcome
steer_find(const struct spool *s, const struct asker *who, const char *id, bool change, struct letter *l,
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
	/* Before the lock, or waiting for that would tell that it is there. */
	if (o == DONE && !steer_may(who, l))
		return refuse_absent(id, why);
	if (o == DONE && change && !lock_soon(l))
		return refuse(why, EX_TEMPFAIL, "%s is being sent just now; try again in a moment", id);
	if (o == DONE && change)
		o = look_once_more(s, id, l, place, why);
	if ((o == DONE && !steer_may(who, l)) || (o != DONE && why->exit == EX_NOINPUT))
		return refuse_absent(id, why);
	return o;
}

/* One that can be believed: what is damaged is nobody's to change. */
static enum outcome
find_whole(const struct spool *s, const struct asker *who, const char *id, struct letter *l,
    enum spool_place *place, struct why *why)
{
	enum outcome o = steer_find(s, who, id, true, l, place, why);
	char reason[200];

	if (o != DONE || !l->damaged)
		return o;
	snprintf(reason, sizeof reason, "%.199s", why->text);
	return refuse(why, EX_DATAERR, "%s stays held: %s; mend or remove it by hand in %s", id,
	    reason, s->path);
}

/* What a person did, in the log of the queue and the system's; and who, where that
 * may be others than the owner. */
static void
log_deed(const struct spool *s, const struct asker *who, const char *event, const char *id,
    const char *from)
{
	int fd = spool_open_log(s), before = log_to(fd);
	char by[24] = "";

	if (!who->own)
		snprintf(by, sizeof by, "%lu", (unsigned long)who->uid);
	log_event(LOG_NOTICE, event, "id", id, "from", from != NULL && from[0] == '\0' ? "<>" : from,
	    "by", by, NULL);
	log_to(before);
	if (fd >= 0)
		close(fd);
}

enum outcome
steer_retry(struct spool *s, const struct asker *who, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = find_whole(s, who, id, &l, &place, why);

	if (o == DONE) {
		fate_renew(&l.fate, time(NULL));
		o = place == SPOOL_FAILED ? spool_revive(s, id, &l.fate, why) :
		    spool_set_fate(s, id, &l.fate, why);
	}
	spool_letter_free(&l);
	return o;
}

enum outcome
steer_hold(struct spool *s, const struct asker *who, const char *id, const char *reason,
    struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = find_whole(s, who, id, &l, &place, why);

	if (o == DONE && place == SPOOL_FAILED)
		o = refuse(why, EX_DATAERR, "%s was given up, and is not sent: there is nothing to hold; "
		    "see: subpost show %s", id, id);
	/* What waits for a person already keeps the reason that it has. */
	if (o == DONE && !l.fate.held) {
		l.fate.held = true;
		if (reason != NULL)
			codec_mask_to(l.fate.hold_reason, sizeof l.fate.hold_reason, str_of(reason));
		else
			snprintf(l.fate.hold_reason, sizeof l.fate.hold_reason, "held by uid %lu",
			    (unsigned long)who->uid);
		if ((o = spool_set_fate(s, id, &l.fate, why)) == DONE)
			log_deed(s, who, "held", id, l.envelope.from);
	}
	spool_letter_free(&l);
	return o;
}

/* Ready to go.  Whoever was refused, and told of, stays so: that is for steer_retry. */
static void
lift(struct fate *f, bool anew)
{
	f->next = 0;
	f->held = false;
	f->hold_reason[0] = '\0';
	if (anew)
		f->renewed = time(NULL);
}

enum outcome
steer_release(struct spool *s, const struct asker *who, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = find_whole(s, who, id, &l, &place, why);

	if (o == DONE && !l.fate.held) {
		o = refuse(why, EX_NOINPUT, "%s is not held; what waits, or was given up, is tried by: "
		    "subpost retry %s", id, id);
	} else if (o == DONE) {
		/* The days that it was held are none in which it could be sent. */
		lift(&l.fate, true);
		if ((o = spool_set_fate(s, id, &l.fate, why)) == DONE)
			log_deed(s, who, "released", id, l.envelope.from);
	}
	spool_letter_free(&l);
	return o;
}

enum outcome
steer_delete(struct spool *s, const struct asker *who, const char *id, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = steer_find(s, who, id, true, &l, &place, why);

	if (o == DONE)
		o = place == SPOOL_FAILED ? spool_forget(s, id, why) : spool_remove(s, id, why);
	if (o == DONE)
		log_deed(s, who, "deleted", id, l.envelope.from);
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

static enum outcome
retry_kept_back(struct spool *s, const char *id, struct letter *l, bool anew, struct why *why)
{
	if (!is_kept_back(l, anew) || !lock_kept_back(l) ||
	    spool_read_again(s, SPOOL_QUEUE, id, l, why) != DONE || !is_kept_back(l, anew))
		return DONE;
	lift(&l->fate, anew);
	return spool_set_fate(s, id, &l->fate, why);
}

enum outcome
steer_retry_all(struct spool *s, const struct asker *who, bool anew, size_t *waiting, struct why *why)
{
	struct ids ids;
	enum outcome o = spool_list(s, SPOOL_QUEUE, &ids, why);

	*waiting = 0;
	for (size_t i = 0; o == DONE && i < ids.n; i++) {
		struct letter l = LETTER_INIT;

		if (steer_may_perhaps(s, who, ids.v[i]) &&
		    spool_read(s, SPOOL_QUEUE, ids.v[i], &l, why) == DONE && steer_may(who, &l)) {
			(*waiting)++;
			o = retry_kept_back(s, ids.v[i], &l, anew, why);
		}
		spool_letter_free(&l);
	}
	spool_ids_free(&ids);
	return o;
}
