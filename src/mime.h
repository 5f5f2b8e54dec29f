/* mime: a message on its way to a server that may not take it as it is (RFC 2045,
 * 2046, 6152): its parts are found, and what of them does not fit is written
 * otherwise, with a header that says so.
 *
 * What does not fit: octets over 127 where 8BITMIME is not offered; lines over 998
 * octets; in a header all that refit.h knows.  A text/... part becomes
 * quoted-printable or, where that is longer, base64; any other leaf base64.  Header
 * fields are replaced or added as little as may be: Content-Transfer-Encoding, and
 * MIME-Version where a message with something to say, in UTF-8 too, lacks it.  A text of octets over
 * 127 that says nothing of itself is labelled, also where it may pass, for 8BITMIME
 * is for MIME alone (RFC 5321 section 2.4): as UTF-8, or as unknown-8bit (RFC 1428).
 *
 * Never changed: what is signed or encrypted (a DKIM-Signature in the message's own
 * header, multipart/signed, multipart/encrypted, application/pkcs7-mime), what may
 * not be encoded (most of message/...), and what cannot be understood.  Where that
 * does not fit the answer is NEVER.
 *
 * Two runs: the first looks and writes nothing, for a header says what its text needs,
 * and goes before it. */
#ifndef MIME_H
#define MIME_H

#include "encode.h"
#include "label.h"
#include "outcome.h"
#include "part.h"
#include "refit.h"

#define MIME_LINE_MAX 998       /* octets, CRLF not counted (RFC 5321 section 4.5.3.1.6) */
#define MIME_PARTS_MAX 4096     /* what is beyond is not looked into, nor changed */
#define MIME_DEPTH_MAX 64

struct mime_open;

struct mime {
	bool eight_bit;                 /* octets over 127 may stay; these two set before */
	struct refit_terms header;      /* the first call, else zero is valid */
	/* What the look has found, */
	bool changed;                   /* it is not octet by octet what came */
	/* and, if that is so only the run after it, of what is written: octets over 127, */
	bool has_eight_bit;
	bool has_utf8_header;           /* and some in a header */
	/* private */
	bool known;                     /* the look is over */
	bool begun;
	bool in_head;
	bool mid_line;
	bool gathers;                   /* the line may be a delimiter: it is kept in line */
	bool rest;                      /* what comes is not looked into */
	size_t line_len;
	const char *sealed;             /* why the text under way may not be changed */
	struct buf head, line;
	size_t line_at;                 /* of the last line of head */
	struct encode encode;
	struct label *notes;            /* of each part, in their order */
	size_t notes_n, next;
	struct mime_open *open;         /* parts under way, each inside the one before */
	size_t depth;
};

/* A line, or a piece of one, without its end; ended: it ends here.  Appends to *out.
 * NEVER, scope MESSAGE, 5.6.x: only in the look. */
enum outcome mime_feed(struct mime *m, struct str piece, bool ended, struct buf *out, struct why *why);
enum outcome mime_end(struct mime *m, struct buf *out, struct why *why);
/* The next run begins.  ended: the last one went to its end, and if it was the look,
 * all is known now. */
void mime_rewind(struct mime *m, bool ended);
void mime_free(struct mime *m);

#endif
