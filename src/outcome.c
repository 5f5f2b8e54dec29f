#include "outcome.h"

#include <stdio.h>
#include <sysexits.h>

#include "codec.h"

static const char *const outcome_names[] = {
	[LATER] = "later", [DONE] = "done", [NEVER] = "never",
};

static const char *const scope_names[] = {
	[SCOPE_NONE] = "none", [SCOPE_RECIPIENT] = "recipient", [SCOPE_MESSAGE] = "message",
	[SCOPE_SENDER] = "sender", [SCOPE_ACCOUNT] = "account", [SCOPE_SERVER] = "server",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void __attribute__((format(printf, 5, 0)))
fill(struct why *w, enum scope scope, int exit, const char *status, const char *fmt, va_list ap)
{
	struct why fresh = { .scope = scope, .exit = exit };
	struct buf text = { 0 };

	/* Beside the old one, whose own words may be among the new. */
	snprintf(fresh.status, sizeof fresh.status, "%s", status);
	buf_addv(&text, fmt, ap);
	codec_mask_to(fresh.text, sizeof fresh.text, buf_str(&text));
	*w = fresh;
	buf_free(&text);
}

enum outcome
later(struct why *w, enum scope scope, const char *status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(w, scope, EX_TEMPFAIL, status, fmt, ap);
	va_end(ap);
	return LATER;
}

enum outcome
never(struct why *w, enum scope scope, const char *status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(w, scope, EX_UNAVAILABLE, status, fmt, ap);
	va_end(ap);
	return NEVER;
}

enum outcome
refuse(struct why *w, int exit, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(w, SCOPE_MESSAGE, exit, "", fmt, ap);
	va_end(ap);
	return exit == EX_TEMPFAIL ? LATER : NEVER;
}

int
outcome_exit(enum outcome o, const struct why *w)
{
	if (o == DONE)
		return EX_OK;
	if (w->exit != 0)
		return w->exit;
	return o == LATER ? EX_TEMPFAIL : EX_UNAVAILABLE;
}

const char *
outcome_name(enum outcome o)
{
	return outcome_names[o];
}

bool
outcome_parse(struct str word, enum outcome *o)
{
	for (size_t i = 0; i < COUNT(outcome_names); i++) {
		if (str_is(word, outcome_names[i])) {
			*o = (enum outcome)i;
			return true;
		}
	}
	return false;
}

const char *
scope_name(enum scope s)
{
	return scope_names[s];
}

bool
scope_parse(struct str word, enum scope *s)
{
	for (size_t i = 0; i < COUNT(scope_names); i++) {
		if (str_is(word, scope_names[i])) {
			*s = (enum scope)i;
			return true;
		}
	}
	return false;
}
