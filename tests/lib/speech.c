#include <stdarg.h>
#include <string.h>

#include "codec.h"
#include "notes.h"
#include "speech.h"
#include "wire.h"

const struct event_kind events[EVENTS] = {
	[CONNECT] =       { "connect",       false, false },
	[GREETING] =      { "greeting",      false, false },
	[EHLO] =          { "ehlo",          true,  true  },
	[STARTTLS] =      { "starttls",      true,  true  },
	[HANDSHAKE] =     { "handshake",     false, false },
	[AUTH] =          { "auth",          true,  true  },
	[AUTH_RESPONSE] = { "auth-response", true,  true  },
	[MAIL] =          { "mail",          true,  false },
	[RCPT] =          { "rcpt",          true,  false },
	[DATA] =          { "data",          true,  true  },
	[TEXT] =          { "text",          false, false },
	[DOT] =           { "dot",           true,  false },
	[BDAT] =          { "bdat",          true,  false },    /* as RFC 3030 4.2 has it */
	[RSET] =          { "rset",          true,  false },
	[NOOP] =          { "noop",          true,  true  },
	[QUIT] =          { "quit",          true,  true  },
	[UNKNOWN] =       { "unknown",       true,  true  },
};

bool
find_offer(const struct conn *c, const char *keyword, struct str *args)
{
	struct str rest = buf_str(&c->offers), line;

	while (str_line(&rest, &line)) {
		*args = line;
		if (str_caseis(str_word(args), keyword))
			return true;
	}
	return false;
}

bool
has_offered(const struct conn *c, const char *keyword)
{
	struct str ignored;

	return find_offer(c, keyword, &ignored);
}

bool
has_word(struct str words, struct str word)
{
	while (words.len > 0)
		if (str_caseeq(str_word(&words), word))
			return true;
	return false;
}

bool
ends_message(const struct conn *c)
{
	return c->event == DOT || (c->event == BDAT && !c->in_chunks);
}

/* What has come before we have answered was sent without waiting for us. */
static void
check_group(struct conn *c)
{
	if (c->event == GREETING) {
		if (pull(c) > 0)
			accuse(c, "spoke before the greeting");
		return;
	}
	if (!events[c->event].is_command)
		return;
	pull(c);
	if (c->in.len == 0)
		return;
	if (!has_offered(c, "PIPELINING"))
		accuse(c, "something follows %s at once, though PIPELINING was not offered",
		    events[c->event].name);
	else if (events[c->event].ends_group)
		accuse(c, "%s was not last in its group", events[c->event].name);
}

void
say_bytes(struct conn *c, struct str bytes)
{
	if (c->over || bytes.len == 0)
		return;
	if (c->said.len == 0) {
		if (server.delay_all > 0)
			wait_on(-1, 0, (int)server.delay_all);
		check_group(c);
		if (ends_message(c) && bytes.p[0] == '2')
			keep_message(c);
	}
	note_said(c, bytes);
	if (c->said.len < PATIENCE)
		buf_addstr(&c->said, bytes);
	transmit(c, bytes);
}

void
say(struct conn *c, const char *fmt, ...)
{
	struct buf line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	buf_adds(&line, "\r\n");
	say_bytes(c, buf_str(&line));
	buf_free(&line);
}

unsigned
code_said(const struct conn *c)
{
	struct str rest = buf_str(&c->said), line;
	uint64_t code;

	while (str_line(&rest, &line)) {
		line = str_trim(line);
		if (line.len >= 3 && codec_number((struct str){ line.p, 3 }, 599, &code) &&
		    (line.len == 3 || line.p[3] == ' '))
			return (unsigned)code;
	}
	return 0;
}
