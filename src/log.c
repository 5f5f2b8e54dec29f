#include "log.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

static const char *program_name = "subpost";
static int log_fd = -1;

void
log_open(const char *program)
{
	program_name = program;
	openlog(program, LOG_PID, LOG_MAIL);
}

int
log_to(int fd)
{
	int before = log_fd;

	log_fd = fd;
	return before;
}

static void
add_value(struct buf *out, struct str value)
{
	struct buf masked = { 0 };
	bool quote = false;

	codec_mask(&masked, value);
	for (size_t i = 0; i < masked.len; i++)
		if (strchr(" \"=", masked.p[i]) != NULL)
			quote = true;
	if (quote)
		buf_addc(out, '"');
	for (size_t i = 0; i < masked.len; i++) {
		/* The backslash too, or a value that ends in one would open its quotes. */
		if (quote && (masked.p[i] == '"' || masked.p[i] == '\\'))
			buf_addc(out, '\\');
		buf_addc(out, masked.p[i]);
	}
	if (quote)
		buf_addc(out, '"');
	buf_free(&masked);
}

void
log_format(struct buf *out, const char *event, va_list pairs)
{
	const char *key;

	buf_adds(out, event);
	while ((key = va_arg(pairs, const char *)) != NULL) {
		struct str value = str_of(va_arg(pairs, const char *));

		if (value.len == 0)
			continue;
		buf_addf(out, " %s=", key);
		add_value(out, value);
	}
}

void
log_event(int level, const char *event, ...)
{
	struct buf line = { 0 }, stamped = { 0 };
	va_list pairs;

	va_start(pairs, event);
	log_format(&line, event, pairs);
	va_end(pairs);
	syslog(level, "%s", buf_c(&line));
	if (log_fd >= 0) {
		codec_stamp(&stamped, time(NULL));
		buf_addf(&stamped, " %s[%ld]: %s\n", program_name, (long)getpid(), buf_c(&line));
		/* One write a line, so that lines of several processes do not mix.
		 * A full disk must not stop the mail. */
		(void)!write(log_fd, stamped.p, stamped.len);
	}
	buf_free(&line);
	buf_free(&stamped);
}
