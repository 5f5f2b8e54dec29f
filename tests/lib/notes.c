#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"
#include "notes.h"

static void
write_line(struct conn *c, const char *prefix, struct str words)
{
	struct buf line = { 0 };

	buf_adds(&line, prefix);
	codec_mask(&line, words);
	buf_addc(&line, '\n');
	pthread_mutex_lock(&server.lock);
	file_write(server.dialogue_fd, buf_str(&line));
	pthread_mutex_unlock(&server.lock);
	file_write(c->dialogue_fd, buf_str(&line));
	buf_free(&line);
}

void
note(struct conn *c, const char *prefix, const char *fmt, ...)
{
	struct buf words = { 0 };
	va_list ap;

	if (server.discard)
		return;
	va_start(ap, fmt);
	buf_addv(&words, fmt, ap);
	va_end(ap);
	write_line(c, prefix, buf_str(&words));
	buf_free(&words);
}

void
accuse(struct conn *c, const char *fmt, ...)
{
	struct buf words = { 0 }, line = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&words, fmt, ap);
	va_end(ap);
	buf_adds(&line, "VIOLATION: ");
	codec_mask(&line, buf_str(&words));
	buf_addf(&line, " (connection %u)\n", c->number);
	pthread_mutex_lock(&server.lock);
	file_write(server.violations_fd, buf_str(&line));
	pthread_mutex_unlock(&server.lock);
	note(c, "-- ", "VIOLATION: %s", buf_c(&words));
	buf_free(&words);
	buf_free(&line);
}

void
accuse_once(struct conn *c, enum flaw flaw, const char *what)
{
	if (!(c->flaws & flaw))
		accuse(c, "%s", what);
	c->flaws |= flaw;
}

void
record(struct conn *c, const char *what, struct str octets)
{
	struct buf entry = { 0 };

	if (c->wire_fd < 0)
		return;
	buf_adds(&entry, what);
	if (octets.len > 0) {
		buf_addf(&entry, " %zu\n", octets.len);
		buf_addstr(&entry, octets);
	}
	buf_addc(&entry, '\n');
	file_write(c->wire_fd, buf_str(&entry));
	buf_free(&entry);
}

void
note_said(struct conn *c, struct str bytes)
{
	struct str line;

	if (server.discard)
		return;
	if (bytes.len > 2048) {
		note(c, "S: ", "<%zu octets>", bytes.len);
		return;
	}
	while (str_line(&bytes, &line)) {
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		write_line(c, "S: ", line);
	}
}

void
note_heard(struct conn *c, struct str line)
{
	struct str rest = line, verb = str_word(&rest), mechanism = str_word(&rest);

	if (server.discard)
		return;
	if (c->exchanging && !str_is(line, "*"))
		note(c, "C: ", "<hidden>");
	else if (!c->exchanging && str_caseis(verb, "AUTH") && rest.len > 0)
		note(c, "C: ", "%.*s %.*s <hidden>", (int)verb.len, verb.p,
		    (int)mechanism.len, mechanism.p);
	else
		write_line(c, "C: ", line);
}

static uint64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Shared with whoever reads the file, and between our threads. */
static struct meter {
	_Atomic uint64_t messages, first, last;
} *meter;

void
open_meter(void)
{
	int fd = openat(server.dirfd, "meter", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, sizeof(*meter)) < 0)
		die("meter: %s", strerror(errno));
	meter = mmap(NULL, sizeof(*meter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (meter == MAP_FAILED)
		die("meter: %s", strerror(errno));
	close(fd);
}

void
note_mail(void)
{
	uint64_t none = 0;

	if (server.discard && meter->first == 0)
		atomic_compare_exchange_strong(&meter->first, &none, now());
}

void
keep_message(struct conn *c)
{
	struct buf env = { 0 };
	char name[32];
	unsigned n;

	if (c->kept)
		return;
	c->kept = true;
	c->messages++;
	if (server.discard) {
		meter->last = now();
		meter->messages++;
		return;
	}
	pthread_mutex_lock(&server.lock);
	n = ++server.messages;
	pthread_mutex_unlock(&server.lock);
	buf_addstr(&env, buf_str(&c->envelope));
	buf_adds(&env, "auth ");
	if (c->authenticated)
		codec_escape(&env, buf_str(&c->user));
	buf_addf(&env, "\ntls %s\nconnection %u\n", c->secure ? "yes" : "no", c->number);
	snprintf(name, sizeof(name), "%04u.eml", n);
	if (file_replace(server.messages_fd, name, buf_str(&c->text), false) < 0)
		die("%s: %s", name, strerror(errno));
	snprintf(name, sizeof(name), "%04u.env", n);
	if (file_replace(server.messages_fd, name, buf_str(&env), false) < 0)
		die("%s: %s", name, strerror(errno));
	buf_free(&env);
}

int
open_log(const char *fmt, unsigned n)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "%s", fmt);
	if (n > 0)
		snprintf(name, sizeof(name), "%s.%u", fmt, n);
	fd = openat(server.dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s/%s: %s", server.dir, name, strerror(errno));
	return fd;
}
