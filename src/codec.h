/* codec: the forms that bytes take on the way in and out of files, logs and
 * the wire.  Pure functions; all append to *out and keep nothing. */
#ifndef CODEC_H
#define CODEC_H

#include <stdint.h>
#include <time.h>

#include "buf.h"

/* RFC 4648 section 4, with padding and without line breaks. */
void codec_base64(struct buf *out, struct str in);
/* Strict: alphabet, length and padding as they must be, nothing else. */
bool codec_unbase64(struct buf *out, struct str in);

/* A value for a file in which one fact is one line: control octets, DEL and
 * the backslash become \xNN, so that no value can end its line. */
void codec_escape(struct buf *out, struct str in);
/* False for anything codec_escape would not have written. */
bool codec_unescape(struct buf *out, struct str in);

/* Octets of the UTF-8 character that in begins with (RFC 3629 section 4), and
 * its code point; 0 where there is none, and *point is as it was. */
size_t codec_utf8(struct str in, uint32_t *point);
/* Is it UTF-8 from its first octet to its last?  ASCII is. */
bool codec_is_utf8(struct str in);

/* Foreign text for human eyes: controls (C0, C1, DEL), octets that are not
 * UTF-8, and characters that reorder or hide text become \xNN or \u{N}. */
void codec_mask(struct buf *out, struct str in);
/* The same into a fixed place, cut to size and terminated. */
void codec_mask_to(char *out, size_t size, struct str in);
/* The same as a value, for one argument of a message: codec_show(s).p.  So long that
 * two of them and the next step fit into a struct why. */
struct shown {
	char p[256];
};
struct shown codec_show(struct str in);

/* A JSON string with its quotes (RFC 8259 section 7); the text is masked first. */
void codec_json(struct buf *out, struct str in);

/* xtext of RFC 3461 section 4 is not needed here; numbers are: decimal digits
 * only, at least one, at most max. */
bool codec_number(struct str in, uint64_t max, uint64_t *out);
bool codec_hex32(struct str in, uint32_t *out);           /* exactly eight digits, lower case */
/* "100", "64K", "100M", "2G": octets, K = 1024. */
bool codec_size(struct str in, uint64_t max, uint64_t *out);
/* "90s", "5m", "2h", "5d", or seconds: seconds. */
bool codec_duration(struct str in, uint64_t max, uint64_t *out);

/* RFC 5322 section 3.3, with a numeric zone: offset is seconds east of UTC. */
void codec_date(struct buf *out, time_t when, long offset);
/* 2026-11-25T03:06:30Z */
void codec_stamp(struct buf *out, time_t when);
/* The moment that a date and time of RFC 3339 section 5.6 names, from 1970 on: with its
 * zone, in seconds, in capitals. */
bool codec_read_stamp(struct str in, time_t *when);
/* For tables: "12s", "5m", "3h", "2d"; negative counts as zero. */
void codec_age(struct buf *out, int64_t seconds);

/* CRC-32C (Castagnoli), as in RFC 3720 appendix B.4; start with 0, feed the result. */
uint32_t codec_crc32c(uint32_t crc, const void *p, size_t len);
/* The same on any processor; a name of its own, so that it is tested on all. */
uint32_t codec_crc32c_by_table(uint32_t crc, const void *p, size_t len);

#endif
