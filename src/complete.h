/* complete: what the counter adds to a header, and what it takes away.
 *
 * Added when missing or blank: From, Date, Message-ID (RFC 5322 section 3.6),
 * a Sender where From names several (section 3.6.2), in a Resent- block that
 * stands above all trace fields Resent-From, Resent-Date and Resent-Message-ID;
 * bare names in address fields get the domain.  Taken away: Bcc, Resent-Bcc,
 * Return-Path, Content-Length.  A second Date, From, Sender, Message-ID,
 * Subject or Reply-To is dropped: section 3.6 allows one, and providers refuse
 * two.  All else passes octet by octet, in its order, and so does every field
 * that a DKIM-Signature names, but for the two Bcc, which go always.  Pure: the
 * moment, the zone and the random octets are given. */
#ifndef COMPLETE_H
#define COMPLETE_H

#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "header.h"

/* Octets that a completed header may have: domains behind bare names can make it
 * longer than what the counter took, and whoever reads it again needs a limit. */
#define COMPLETE_MAX (4 * HEADER_MAX)

struct complete {
	struct str domain;      /* completes bare names */
	struct str from;        /* address for a missing From: or Sender:; "" adds neither */
	struct str full_name;   /* and its display name; "" for none */
	struct str unique;      /* letters and digits, never used before: the queue's id */
	struct str id_domain;   /* right side of a Message-ID */
	time_t now;
	long offset;            /* seconds east of UTC */
	/* What stands for a bare name, shown in its place in To:, Cc: and their
	 * Resent- fields: an address list that may go on over lines, appended to *out;
	 * false where nothing does.  A display name stays where it is one address.
	 * NULL: nothing does for any. */
	bool (*rewrite)(void *arg, struct str name, struct buf *out);
	void *arg;
	struct str received;    /* the whole Received: field without its name, one line, or ""
	                         * for none; folded here */
};

/* Appends the completed header and the empty line that ends it: Received first,
 * what is missing last, but in a Resent- block at its top.  Generated lines are
 * folded at 78 octets where they can be, and hold no control octet. */
void complete_header(const struct header *h, const struct complete *c, struct buf *out);

/* Appends one field of ours, folded at 78 octets where it can be.  Whatever is
 * in value, it ends neither the field nor the line: user and host names come
 * from far away. */
void complete_field(struct buf *out, const char *name, struct str value);

/* The value of Received: for what enters here (RFC 5321 section 4.4 wants it of
 * servers; an injector may); from: "uid 1000".  Appended to *out. */
void complete_received(struct buf *out, struct str host, const char *from, const char *id,
    time_t now, long offset);

#endif
