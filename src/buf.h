/* buf: bytes that know their length.
 *
 * struct str is a borrowed view: it owns nothing, may hold NUL, and is not
 * terminated.  struct buf is growable and owned by whoever declared it: zero
 * is a valid empty value, buf_free may be called twice, and while p is set
 * p[len] is NUL, so that our own text can be used as a C string.
 *
 * Out of memory ends the process with 75: what has been promised is in the
 * queue, and the queue survives a power cut, so it survives an exit. */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
	const char *p;
	size_t len;
};

struct buf {
	char *p;
	size_t len;
	size_t cap;     /* octets allocated, the NUL included */
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })

/* Views.  str_of borrows a C string (NULL is the empty view). */
struct str str_of(const char *s);
struct str str_from(const void *p, size_t len);
bool str_eq(struct str a, struct str b);
bool str_is(struct str a, const char *s);
bool str_caseeq(struct str a, struct str b);      /* ASCII letters only, no locale */
bool str_caseis(struct str a, const char *s);
bool str_starts(struct str a, const char *prefix);
bool str_casestarts(struct str a, const char *prefix);
bool str_has(struct str a, char c);
bool str_has_control(struct str a);               /* C0 without the tab, or DEL */
/* Offset of the first c, or a.len. */
size_t str_find(struct str a, char c);
/* Without its first n octets; there are as many. */
struct str str_skip(struct str a, size_t n);
/* Without leading and trailing space, tab, CR and LF. */
struct str str_trim(struct str a);
/* Cuts the first word (up to a space or the end) off *rest and returns it. */
struct str str_word(struct str *rest);
/* Cuts the first line off *rest, without its LF; false when nothing is left.
 * A last line without LF counts. */
bool str_line(struct str *rest, struct str *line);
/* The end of s, at most that many octets, from where a line begins. */
struct str str_last_lines(struct str s, size_t max);

struct str buf_str(const struct buf *b);
/* The buffer as a C string: "" when empty.  Ours only: it may hold NUL. */
const char *buf_c(const struct buf *b);
void buf_free(struct buf *b);
/* Overwrites what the buffer ever held, then frees it: for secrets.  A buffer
 * for secrets is given its full size once by buf_reserve, since growing would
 * leave a copy behind. */
void buf_wipe(struct buf *b);
void buf_clear(struct buf *b);                    /* keeps the memory */
void buf_reserve(struct buf *b, size_t more);     /* room for more octets and a NUL */
void buf_add(struct buf *b, const void *p, size_t len);
void buf_addstr(struct buf *b, struct str s);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_cut(struct buf *b, size_t from_front);   /* drops octets from the front */

/* Never NULL; freed with free. */
void *mem_alloc(size_t size);                     /* zeroed */
void *mem_grow(void *p, size_t count, size_t size);
/* Room for one more behind the count of them that are there.  For arrays that grow
 * in no other way: the room is always the next power of two, so the count tells it. */
void *mem_more(void *p, size_t count, size_t size);
char *mem_dup(struct str s);                      /* NUL-terminated copy */

#endif
