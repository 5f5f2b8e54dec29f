#include "buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static _Noreturn void
out_of_memory(void)
{
	static const char line[] = "subpost: out of memory; nothing that was accepted is lost, try again\n";

	if (write(STDERR_FILENO, line, sizeof line - 1) < 0) {
		/* There is nobody left to tell. */
	}
	_exit(EX_TEMPFAIL);
}

void *
mem_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
mem_grow(void *p, size_t count, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(count, size, &all))
		out_of_memory();
	p = realloc(p, all > 0 ? all : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}

void *
mem_more(void *p, size_t count, size_t size)
{
	return (count & (count - 1)) == 0 ? mem_grow(p, count > 0 ? count * 2 : 1, size) : p;
}

char *
mem_dup(struct str s)
{
	char *p = mem_alloc(s.len + 1);

	if (s.len > 0)
		memcpy(p, s.p, s.len);
	return p;
}

struct str
str_of(const char *s)
{
	return (struct str){ s, s != NULL ? strlen(s) : 0 };
}

struct str
str_from(const void *p, size_t len)
{
	return (struct str){ p, len };
}

bool
str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool
str_is(struct str a, const char *s)
{
	return str_eq(a, str_of(s));
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool
str_caseeq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool
str_caseis(struct str a, const char *s)
{
	return str_caseeq(a, str_of(s));
}

bool
str_starts(struct str a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.len >= n && str_is((struct str){ a.p, n }, prefix);
}

bool
str_casestarts(struct str a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.len >= n && str_caseis((struct str){ a.p, n }, prefix);
}

size_t
str_find(struct str a, char c)
{
	const char *hit = a.len > 0 ? memchr(a.p, c, a.len) : NULL;

	return hit != NULL ? (size_t)(hit - a.p) : a.len;
}

bool
str_has(struct str a, char c)
{
	return str_find(a, c) < a.len;
}

bool
str_has_control(struct str a)
{
	for (size_t i = 0; i < a.len; i++) {
		unsigned char c = (unsigned char)a.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

struct str
str_skip(struct str a, size_t n)
{
	return n > 0 ? str_from(a.p + n, a.len - n) : a;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str
str_trim(struct str a)
{
	while (a.len > 0 && is_blank(a.p[0])) {
		a.p++;
		a.len--;
	}
	while (a.len > 0 && is_blank(a.p[a.len - 1]))
		a.len--;
	return a;
}

/* Cuts *rest at the first c: what stands before it is returned, c is gone. */
static struct str
cut_at(struct str *rest, char c)
{
	size_t n = str_find(*rest, c);
	struct str head = { rest->p, n };
	size_t gone = n < rest->len ? n + 1 : n;

	if (gone > 0)
		rest->p += gone;
	rest->len -= gone;
	return head;
}

struct str
str_word(struct str *rest)
{
	return cut_at(rest, ' ');
}

bool
str_line(struct str *rest, struct str *line)
{
	if (rest->len == 0)
		return false;
	*line = cut_at(rest, '\n');
	return true;
}

struct str
str_last_lines(struct str s, size_t max)
{
	struct str end;
	size_t lf;

	if (s.len <= max)
		return s;
	/* The octet before it tells whether a line begins there. */
	end = str_from(s.p + s.len - max - 1, max + 1);
	lf = str_find(end, '\n');
	/* A line that is longer than that is not thrown away whole. */
	lf = lf + 1 < end.len ? lf : 0;
	return str_from(end.p + lf + 1, end.len - lf - 1);
}

struct str
buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->len };
}

const char *
buf_c(const struct buf *b)
{
	return b->p != NULL ? b->p : "";
}

void
buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

void
buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_free(b);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->p != NULL)
		b->p[0] = '\0';
}

void
buf_reserve(struct buf *b, size_t more)
{
	size_t need;

	if (__builtin_add_overflow(b->len, more, &need) || need == SIZE_MAX)
		out_of_memory();
	need++;
	if (need <= b->cap)
		return;
	if (need < b->cap * 2)
		need = b->cap * 2;
	if (need < 64)
		need = 64;
	b->p = mem_grow(b->p, need, 1);
	b->cap = need;
	b->p[b->len] = '\0';
}

void
buf_add(struct buf *b, const void *p, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
	b->p[b->len] = '\0';
}

void
buf_addstr(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.len);
}

void
buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	va_copy(again, ap);
	/* Most of it fits into what is there, and is not printed twice. */
	buf_reserve(b, 1);
	room = b->cap - b->len;
	n = vsnprintf(b->p + b->len, room, fmt, ap);
	if (n < 0)
		out_of_memory();
	if ((size_t)n >= room) {
		buf_reserve(b, (size_t)n);
		vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
	}
	b->len += (size_t)n;
	va_end(again);
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

void
buf_cut(struct buf *b, size_t from_front)
{
	if (from_front == 0)
		return;
	memmove(b->p, b->p + from_front, b->len - from_front);
	b->len -= from_front;
	b->p[b->len] = '\0';
}
