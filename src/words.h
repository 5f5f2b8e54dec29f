/* words: header text as the wire can carry it: folded lines (RFC 5322 section
 * 2.2.3), encoded-words (RFC 2047), extended parameters (RFC 2231).
 *
 * What is not ASCII is UTF-8, or else of a character set that nobody knows:
 * "unknown-8bit" (RFC 1428).  No character is split between two words; a word has
 * at most 75 octets, and a line 78 where that is possible. */
#ifndef WORDS_H
#define WORDS_H

#include "buf.h"

#define WORDS_WORD 75           /* RFC 2047 section 2 */
#define WORDS_LINE 78           /* RFC 5322 section 2.1.1, RFC 2047 section 2 */

bool words_is_ascii(struct str s);
/* "us-ascii", "utf-8" or "unknown-8bit". */
const char *words_charset(struct str s);
/* Is it an encoded-word as it stands? */
bool words_is_encoded(struct str s);

/* Cuts as much off *text as fits into one encoded-word of at most room octets, at
 * least one character, and appends that; how: 'q' or 'b'.  What it writes may
 * stand in a phrase and in a comment (RFC 2047 section 5). */
void words_encode_one(struct str *text, const char *charset, char how, size_t room, struct buf *out);

/* A header field under way. */
struct fold {
	struct buf *out;        /* borrowed */
	size_t column;          /* octets on the last line */
	bool begun;             /* a word has come, and what follows may be folded */
	size_t gap;             /* offset in out of the last space where that may be; 0: none */
	bool apart;             /* an encoded-word is: the next word keeps its distance */
};

/* A word, and the space that stood before it, line ends and all; without space it
 * sticks to what is there. */
void fold_word(struct fold *f, struct str space, struct str word);
/* text as encoded-words, between before and behind, which stick to them. */
void fold_encoded(struct fold *f, struct str space, const char *before, struct str text,
    const char *behind);
/* A parameter: "; name*=utf-8''..." where it fits into a line, else in pieces. */
void fold_parameter(struct fold *f, struct str name, struct str value);

/* A word of a phrase or of unstructured text. */
struct word {
	struct str space;       /* that stood before it */
	struct str raw;         /* as it stood */
	struct str text;        /* what it says: without its quotes */
	bool encode;            /* it cannot go as it stands */
};

/* Words with what they mean unchanged: space between two encoded-words is not
 * shown (RFC 2047 section 6.2), so it is encoded with them. */
void fold_words(struct fold *f, const struct word *v, size_t n);

#endif
