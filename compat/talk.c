#include "talk.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "file.h"

#define CHUNK 16384             /* octets read at a time */

static bool
end(struct talk *t, enum outcome o)
{
	t->over = true;
	t->outcome = o;
	return false;
}

/* PIPE_BUF at most: what poll calls writable takes that much without blocking. */
static bool
write_some(struct talk *t)
{
	size_t n = t->owed.len < PIPE_BUF ? t->owed.len : PIPE_BUF;
	ssize_t done = write(t->out, t->owed.p, n);

	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (done < 0) {
		buf_clear(&t->owed);
		return end(t, refuse(&t->why, EX_IOERR, "cannot reply to the client: %s",
		    strerror(errno)));
	}
	buf_cut(&t->owed, (size_t)done);
	return true;
}

static bool
read_some(struct talk *t)
{
	size_t n;

	buf_clear(&t->raw);
	t->used = 0;
	buf_reserve(&t->raw, CHUNK);
	if (file_read(t->in, t->raw.p, CHUNK, &n) < 0) {
		if (errno == EAGAIN)
			return true;
		return end(t, refuse(&t->why, EX_IOERR, "cannot read from the client: %s",
		    strerror(errno)));
	}
	t->raw.len = n;
	t->raw.p[n] = '\0';
	return n > 0 || end(t, DONE);
}

/* Waits until one side is ready, and serves it. */
static bool
turn(struct talk *t, bool listen)
{
	struct pollfd p[2] = {
		{ .fd = listen && t->owed.len < TALK_OWED_MAX ? t->in : -1, .events = POLLIN },
		{ .fd = t->owed.len > 0 ? t->out : -1, .events = POLLOUT },
	};
	int n = poll(p, 2, t->patience);

	if (n == 0)
		return end(t, refuse(&t->why, EX_TEMPFAIL, "the client was silent for %d seconds",
		    t->patience / 1000));
	if (n < 0)
		return errno == EINTR || end(t, refuse(&t->why, EX_OSERR, "cannot wait for the client: %s",
		    strerror(errno)));
	if (p[1].revents != 0 && !write_some(t))
		return false;
	return p[0].revents == 0 || read_some(t);
}

bool
talk_hear(struct talk *t, struct str *input)
{
	while (!t->over && t->used == t->raw.len)
		if (!turn(t, true))
			return false;
	if (t->over)
		return false;
	*input = str_from(t->raw.p + t->used, t->raw.len - t->used);
	return true;
}

void
talk_use(struct talk *t, size_t octets)
{
	struct str used = str_from(t->raw.p + t->used, octets);

	for (size_t at; (at = str_find(used, '\n')) < used.len; t->lines++)
		used = str_from(used.p + at + 1, used.len - at - 1);
	t->used += octets;
}

/* Adds input to the line up to its end; answers whether that was found. */
static bool
add_to_line(struct talk *t, struct str input, struct buf *line, char *last, bool *noise)
{
	for (size_t i = 0; i < input.len; i++) {
		char c = input.p[i];

		if (c == '\n' && (!t->crlf || *last == '\r')) {
			talk_use(t, i + 1);
			return true;
		}
		/* A CR is noise as soon as something other than the end follows it. */
		if (c == '\0' || c == '\n' || *last == '\r')
			*noise = true;
		if (line->len < t->line_max - 1)
			buf_addc(line, c);
		else
			*noise = true;
		*last = c;
	}
	talk_use(t, input.len);
	return false;
}

enum heard
talk_line(struct talk *t, struct buf *line)
{
	struct str input;
	bool noise = false;
	char last = '\0';

	buf_clear(line);
	do {
		if (!talk_hear(t, &input))
			return HEARD_NOTHING;
	} while (!add_to_line(t, input, line, &last, &noise));
	if (!t->decided)
		t->crlf = last == '\r';
	t->decided = true;
	if (last == '\r' && line->len > 0 && line->p[line->len - 1] == '\r')
		line->p[--line->len] = '\0';
	return noise ? HEARD_NOISE : HEARD_LINE;
}

void
talk_say(struct talk *t, struct str reply)
{
	buf_addstr(&t->owed, reply);
}

void
talk_push(struct talk *t)
{
	struct pollfd p = { .fd = t->out, .events = POLLOUT };

	while (t->owed.len > 0 && poll(&p, 1, 0) > 0 && write_some(t))
		;
}

void
talk_flush(struct talk *t)
{
	while (t->owed.len > 0 && turn(t, false))
		;
}

void
talk_free(struct talk *t)
{
	buf_free(&t->raw);
	buf_free(&t->owed);
}
