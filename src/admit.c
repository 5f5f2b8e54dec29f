#include "admit.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sysexits.h>

#include "address.h"
#include "codec.h"
#include "route.h"

/* What must stay free for .fate, health and log; on a small disk two in a hundred
 * of it. */
#define FREE_OCTETS (UINT64_C(8) << 20)
#define FREE_NAMES 64
#define FREE_PERCENT 2

static const char *
path_of(const struct config *c)
{
	return c->path != NULL ? c->path : "the configuration";
}

static enum outcome
check_sender_form(struct str sender, struct why *why)
{
	if (!address_is_sendable(sender))
		return refuse(why, EX_DATAERR, "the sender is no address that SMTP can carry");
	if (!codec_is_utf8(sender))
		return refuse(why, EX_DATAERR, "the sender is neither ASCII nor UTF-8; write it in UTF-8");
	return DONE;
}

enum outcome
admit_sender(const struct config *c, struct str sender, struct why *why)
{
	enum outcome o = check_sender_form(sender, why);

	if (o != DONE || route_takes_sender(c, sender))
		return o;
	return refuse(why, EX_NOPERM, "no account carries mail of this sender: give one that is "
	    "carried with -f, or add it to senders in %s", path_of(c));
}

enum outcome
admit_recipient(struct str spec, struct why *why)
{
	if (!codec_is_utf8(spec))
		return refuse(why, EX_DATAERR, "%s is neither ASCII nor UTF-8, so no server can be told "
		    "it; write it in UTF-8", codec_show(spec).p);
	if (spec.len > 0 && address_is_sendable(spec))
		return DONE;
	return refuse(why, EX_DATAERR, "%s is no address that SMTP can carry (control characters, "
	    "or over %d octets)", spec.len > 0 ? codec_show(spec).p : "<>", ADDRESS_MAX);
}

enum outcome
admit_envelope(const struct config *c, const struct envelope *e, struct why *why)
{
	enum outcome o = check_sender_form(str_of(e->from), why);

	if (o == DONE && e->n == 0)
		return refuse(why, EX_USAGE, "no recipient");
	if (o == DONE && e->n > c->max_recipients)
		return refuse(why, EX_DATAERR, "over %u recipients, aliases included; the limit is "
		    "max-recipients in %s", c->max_recipients, path_of(c));
	for (size_t i = 0; o == DONE && i < e->n; i++)
		o = admit_recipient(str_of(e->to[i].address), why);
	return o;
}

enum outcome
admit_way(const struct config *c, const struct envelope *e, struct why *why)
{
	if (e->wishes.hold_until > e->arrived + DSN_HOLD_MAX)
		return refuse(why, EX_DATAERR, "the message is for a time over %d days from now, and nothing "
		    "is kept for so long; give an earlier one", DSN_HOLD_MAX / (24 * 60 * 60));
	for (size_t i = 0; i < e->n; i++)
		if (route_in_view(c, e->from, e->to[i].address, why) < 0)
			return NEVER;
	return DONE;
}

enum outcome
admit_size(const struct config *c, uint64_t size, struct why *why)
{
	if (size <= c->max_size)
		return DONE;
	return refuse(why, EX_UNAVAILABLE, "the message is over %llu octets; the limit is "
	    "max-size in %s", (unsigned long long)c->max_size, path_of(c));
}

/* The smaller of the two. */
static uint64_t
reserve(uint64_t whole, uint64_t most)
{
	uint64_t part = whole / 100 * FREE_PERCENT + whole % 100 * FREE_PERCENT / 100;

	return part < most ? part : most;
}

enum outcome
admit_room(const struct spool *s, uint64_t size, struct why *why)
{
	struct statvfs v;
	uint64_t unit, left;

	/* A disk that cannot say it will say it when it is written to. */
	if (fstatvfs(s->dir, &v) < 0)
		return DONE;
	unit = v.f_frsize > 0 ? v.f_frsize : 512;
	left = v.f_bavail * unit;
	/* Some (tmpfs without a size, btrfs for its names) have no count: zero of it. */
	if (v.f_blocks > 0 && (left < size || left - size < reserve(v.f_blocks * unit, FREE_OCTETS)))
		return refuse(why, EX_TEMPFAIL, "the disk of the queue %s is nearly full (%llu KiB free); "
		    "make room there, and send it again", s->path, (unsigned long long)(left >> 10));
	if (v.f_files > 0 && v.f_favail < reserve(v.f_files, FREE_NAMES))
		return refuse(why, EX_TEMPFAIL, "the disk of the queue %s has nearly no room for names "
		    "(%llu inodes free); make room there, and send it again", s->path,
		    (unsigned long long)v.f_favail);
	return DONE;
}
