#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "codec.h"
#include "file.h"
#include "notes.h"
#include "script.h"
#include "speech.h"
#include "wire.h"

/* ---- the actions ---- */

struct deed_kind {
	const char *name;
	bool number, word;              /* what stands behind the name */
	void (*act)(struct conn *c, const struct deed *d);
};

/* A PATH of the script, as a name for the *at calls. */
static const char *
path_of(const struct deed *d)
{
	return buf_c(&d->word);
}

static void
act_reply(struct conn *c, const struct deed *d)
{
	say(c, "%s", buf_c(&d->word));
}

static void
act_send(struct conn *c, const struct deed *d)
{
	say_bytes(c, buf_str(&d->word));
}

static void
act_sendfile(struct conn *c, const struct deed *d)
{
	struct buf bytes = { 0 };

	if (file_load(server.dirfd, path_of(d), &bytes, TEXT_MAX) < 0)
		die("sendfile %s: %s", path_of(d), strerror(errno));
	say_bytes(c, buf_str(&bytes));
	buf_free(&bytes);
}

static void
act_repeat(struct conn *c, const struct deed *d)
{
	struct buf some = { 0 };

	for (uint64_t i = 0; i < d->n && !c->gone && !c->over; i++) {
		buf_addstr(&some, buf_str(&d->word));
		if (some.len >= 16384 || i + 1 == d->n) {
			say_bytes(c, buf_str(&some));
			buf_clear(&some);
		}
	}
	buf_free(&some);
}

static void
act_default(struct conn *c, const struct deed *d)
{
	(void)d;
	answer_as_usual(c);
}

static void
act_ignore(struct conn *c, const struct deed *d)
{
	(void)c;
	(void)d;
}

static void
act_keep(struct conn *c, const struct deed *d)
{
	(void)d;
	if (ends_message(c))
		keep_message(c);
}

static void
act_drop(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, ABRUPT);
}

static void
act_fin(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, POLITE);
}

static void
act_reset(struct conn *c, const struct deed *d)
{
	(void)d;
	part(c, RESET);
}

static void
act_stall(struct conn *c, const struct deed *d)
{
	(void)d;
	while (hear_more(c))
		buf_clear(&c->in);
	c->over = true;
}

/* Not even read any more: what the client sends fills its buffers, and ours. */
static void
act_freeze(struct conn *c, const struct deed *d)
{
	(void)d;
	wait_on(c->fd, POLLRDHUP, -1);
	c->over = true;
}

static void
act_trickle(struct conn *c, const struct deed *d)
{
	note(c, "S: ", "<an octet every %d ms>", (int)d->n);
	for (size_t i = 0; d->word.len > 0 && !c->gone && !c->over; i = (i + 1) % d->word.len) {
		struct pollfd p = { .fd = c->fd, .events = POLLRDHUP };

		transmit(c, (struct str){ d->word.p + i, 1 });
		if (!wait_on(-1, 0, (int)d->n) || (poll(&p, 1, 0) > 0 && p.revents != 0))
			c->over = true;
	}
}

static void
act_alert(struct conn *c, const struct deed *d)
{
	(void)d;
	if (c->secure)
		gnutls_alert_send(c->tls, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
	part(c, ABRUPT);
}

/* Our half is closed, in TLS or without; the client's is still heard. */
static void
act_bye(struct conn *c, const struct deed *d)
{
	if (c->secure)
		gnutls_bye(c->tls, GNUTLS_SHUT_WR);
	else
		shutdown(c->fd, SHUT_WR);
	act_stall(c, d);
}

static void
act_delay(struct conn *c, const struct deed *d)
{
	if (!wait_on(-1, 0, (int)d->n))
		c->over = true;
}

static void
act_wait(struct conn *c, const struct deed *d)
{
	while (faccessat(server.dirfd, path_of(d), F_OK, 0) != 0) {
		if (!wait_on(-1, 0, 2)) {
			c->over = true;
			return;
		}
	}
}

static void
act_touch(struct conn *c, const struct deed *d)
{
	int fd = openat(server.dirfd, path_of(d), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	(void)c;
	if (fd < 0)
		die("touch %s: %s", path_of(d), strerror(errno));
	close(fd);
}

static void
act_kill(struct conn *c, const struct deed *d)
{
	struct buf text = { 0 };
	uint64_t pid;

	/* Only a process: 0 and 1 would mean our own group, or all. */
	if (file_load(server.dirfd, path_of(d), &text, 64) < 0 ||
	    !codec_number(str_trim(buf_str(&text)), INT32_MAX, &pid) || pid < 2)
		die("kill %s: no process id there", path_of(d));
	if (kill((pid_t)pid, SIGKILL) < 0)
		note(c, "-- ", "kill %d: %s", (int)pid, strerror(errno));
	buf_free(&text);
}

static const struct deed_kind deed_kinds[] = {
	{ "reply",    false, true,  act_reply },
	{ "send",     false, true,  act_send },
	{ "sendfile", false, true,  act_sendfile },
	{ "repeat",   true,  true,  act_repeat },
	{ "default",  false, false, act_default },
	{ "ignore",   false, false, act_ignore },
	{ "keep",     false, false, act_keep },
	{ "drop",     false, false, act_drop },
	{ "fin",      false, false, act_fin },
	{ "reset",    false, false, act_reset },
	{ "stall",    false, false, act_stall },
	{ "bye",      false, false, act_bye },
	{ "freeze",   false, false, act_freeze },
	{ "trickle",  true,  true,  act_trickle },
	{ "alert",    false, false, act_alert },
	{ "delay",    true,  false, act_delay },
	{ "wait",     false, true,  act_wait },
	{ "touch",    false, true,  act_touch },
	{ "kill",     false, true,  act_kill },
};

/* ---- the rules ---- */

static bool
fits(const struct rule *r, const struct conn *c, enum event e, struct str line, const uint64_t nth[])
{
	if (r->event != e || (r->conn != 0 && r->conn != c->number))
		return false;
	for (enum span s = 0; s < OF_RULE; s++)
		if (nth[s] < r->first[s] || nth[s] > r->last[s])
			return false;
	return r->holds.len == 0 || (line.len > 0 &&
	    memmem(line.p, line.len, r->holds.p, r->holds.len) != NULL);
}

const struct rule *
find_rule(struct conn *c, enum event e, struct str line)
{
	const struct rule *found = NULL;
	uint64_t nth[SPANS] = { 0 };

	pthread_mutex_lock(&server.lock);
	nth[IN_LIFE] = ++server.counts[e];
	nth[IN_CONNECTION] = ++c->counts[IN_CONNECTION][e];
	nth[IN_TRANSACTION] = ++c->counts[IN_TRANSACTION][e];
	for (size_t i = 0; found == NULL && i < server.nrules; i++) {
		struct rule *r = &server.rules[i];

		if (fits(r, c, e, line, nth) && ++r->met >= r->first[OF_RULE] && r->met <= r->last[OF_RULE])
			found = r;
	}
	pthread_mutex_unlock(&server.lock);
	return found;
}

void
follow_rule(struct conn *c, const struct rule *r)
{
	for (size_t i = 0; i < r->ndeeds && c->fd >= 0 && !c->over; i++)
		r->deeds[i].kind->act(c, &r->deeds[i]);
}

/* ---- reading them ---- */

/* One word: bare octets and quoted parts, until a space.  False at the line's
 * end.  bare: nothing of it was quoted. */
static bool
next_word(struct str *rest, struct buf *word, bool *bare, unsigned line)
{
	size_t i = 0;
	bool quoted = false;

	buf_clear(word);
	*bare = true;
	while (i < rest->len && (rest->p[i] == ' ' || rest->p[i] == '\t'))
		i++;
	if (i == rest->len || (rest->p[i] == '#' && (i + 1 == rest->len ||
	    !isdigit((unsigned char)rest->p[i + 1]))))
		return false;
	for (; i < rest->len; i++) {
		char c = rest->p[i];

		if (c == '"') {
			quoted = !quoted;
			*bare = false;
		} else if (!quoted && (c == ' ' || c == '\t')) {
			break;
		} else if (quoted && c == '\\' && i + 1 < rest->len) {
			static const char letters[] = "rnt0\\\"", octets[] = "\r\n\t\0\\\"";
			const char *at = strchr(letters, rest->p[++i]);
			char hex[3] = { 0 };

			if (at != NULL) {
				buf_addc(word, octets[at - letters]);
			} else if (rest->p[i] == 'x' && i + 2 < rest->len &&
			    isxdigit((unsigned char)rest->p[i + 1]) &&
			    isxdigit((unsigned char)rest->p[i + 2])) {
				memcpy(hex, rest->p + i + 1, 2);
				buf_addc(word, (char)strtoul(hex, NULL, 16));
				i += 2;
			} else {
				die("script line %u: unknown escape \\%c", line, rest->p[i]);
			}
		} else {
			buf_addc(word, c);
		}
	}
	if (quoted)
		die("script line %u: a quote is not closed", line);
	rest->p += i;
	rest->len -= i;
	return true;
}

static uint64_t
number_of(struct str s, unsigned line)
{
	uint64_t n;

	if (!codec_number(s, INT32_MAX, &n))
		die("script line %u: not a number: %.*s", line, (int)s.len, s.p);
	return n;
}

/* "A", "A-" or "A-B", behind the sign that says what is counted. */
static void
read_occurrences(struct rule *r, enum span span, struct str s, unsigned line)
{
	size_t dash = str_find(s, '-');
	struct str last = { s.p + dash, s.len - dash };

	r->first[span] = r->last[span] = number_of((struct str){ s.p, dash }, line);
	if (last.len == 1)
		r->last[span] = UINT64_MAX;
	else if (last.len > 1)
		r->last[span] = number_of((struct str){ last.p + 1, last.len - 1 }, line);
}

static void
read_deed(struct rule *r, struct str *rest, struct str name, unsigned line)
{
	struct deed d = { 0 };
	struct buf word = { 0 };
	bool bare;

	for (size_t i = 0; i < sizeof(deed_kinds) / sizeof(deed_kinds[0]); i++)
		if (str_is(name, deed_kinds[i].name))
			d.kind = &deed_kinds[i];
	if (d.kind == NULL)
		die("script line %u: unknown action: %.*s", line, (int)name.len, name.p);
	if (d.kind->number) {
		if (!next_word(rest, &word, &bare, line))
			die("script line %u: %s needs a number", line, d.kind->name);
		d.n = number_of(buf_str(&word), line);
	}
	if (d.kind->word && !next_word(rest, &d.word, &bare, line))
		die("script line %u: %s needs a word", line, d.kind->name);
	buf_free(&word);
	r->deeds = mem_grow(r->deeds, r->ndeeds + 1, sizeof(*r->deeds));
	r->deeds[r->ndeeds++] = d;
}

static void
read_rule(enum event e, struct str rest, unsigned line)
{
	static const char *const signs[SPANS] = { "#", "/", ":", "*" };
	struct rule r = { .event = e, .last = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
	    .threshold = 1 };
	struct buf word = { 0 };
	enum span span;
	bool bare;

	while (next_word(&rest, &word, &bare, line)) {
		struct str s = buf_str(&word);
		struct str tail = { s.p + (s.len > 0), s.len - (s.len > 0) };

		for (span = 0; span < SPANS && !str_starts(s, signs[span]); span++)
			;
		if (r.ndeeds == 0 && span < SPANS)
			read_occurrences(&r, span, tail, line);
		else if (r.ndeeds == 0 && str_starts(s, "@"))
			r.conn = number_of(tail, line);
		else if (r.ndeeds == 0 && str_starts(s, "~"))
			buf_addstr(&r.holds, tail);
		else if (r.ndeeds == 0 && e == TEXT && s.len > 0 && isdigit((unsigned char)s.p[0]))
			r.threshold = number_of(s, line);
		else if (bare)
			read_deed(&r, &rest, s, line);
		else
			die("script line %u: no action can be quoted: %s", line, buf_c(&word));
	}
	if (r.ndeeds == 0)
		die("script line %u: a rule needs an action", line);
	buf_free(&word);
	server.rules = mem_grow(server.rules, server.nrules + 1, sizeof(*server.rules));
	server.rules[server.nrules++] = r;
}

static void
read_offer(struct buf *lines, struct str rest, unsigned line)
{
	struct buf word = { 0 };
	bool bare;

	buf_clear(lines);
	while (next_word(&rest, &word, &bare, line)) {
		buf_addstr(lines, buf_str(&word));
		buf_addc(lines, '\n');
	}
	buf_free(&word);
}

static void
read_script_line(struct str rest, unsigned line)
{
	struct buf word = { 0 };
	enum event e = 0;
	bool bare;

	if (!next_word(&rest, &word, &bare, line)) {
		buf_free(&word);
		return;
	}
	while (e < EVENTS && !str_is(buf_str(&word), events[e].name))
		e++;
	if (e < EVENTS) {
		read_rule(e, rest, line);
	} else if (str_is(buf_str(&word), "offer")) {
		server.has_offer = true;
		read_offer(&server.offer, rest, line);
	} else if (str_is(buf_str(&word), "offer-clear")) {
		server.has_offer_clear = true;
		read_offer(&server.offer_clear, rest, line);
	} else if (str_is(buf_str(&word), "scram")) {
		read_offer(&server.scram, rest, line);
	} else if (str_is(buf_str(&word), "delay-all")) {
		server.delay_all = number_of(str_trim(rest), line);
	} else {
		die("script line %u: unknown event: %s", line, buf_c(&word));
	}
	buf_free(&word);
}

/* Beside the file that names it. */
static void
read_included(const char *from, struct str rest, unsigned line)
{
	const char *slash = strrchr(from, '/');
	struct buf word = { 0 }, path = { 0 };
	bool bare;

	if (!next_word(&rest, &word, &bare, line))
		die("script line %u: include what?", line);
	if (slash != NULL)
		buf_add(&path, from, (size_t)(slash - from) + 1);
	buf_addstr(&path, buf_str(&word));
	read_script(buf_c(&path));
	buf_free(&word);
	buf_free(&path);
}

void
read_script(const char *path)
{
	struct buf text = { 0 }, whole = { 0 };
	struct str rest, line;
	unsigned n = 0, begun = 0;

	if (file_load(AT_FDCWD, path, &text, TEXT_MAX) < 0)
		die("%s: %s", path, strerror(errno));
	rest = buf_str(&text);
	for (;;) {
		bool more = str_line(&rest, &line);
		struct str s = buf_str(&whole);

		if (more && ++n > 1 && (str_starts(line, "\t") || str_starts(line, " "))) {
			buf_addstr(&whole, line);
			continue;
		}
		if (str_starts(s, "include "))
			read_included(path, (struct str){ s.p + 8, s.len - 8 }, begun);
		else
			read_script_line(s, begun);
		if (!more)
			break;
		buf_clear(&whole);
		buf_addstr(&whole, line);
		begun = n;
	}
	buf_free(&text);
	buf_free(&whole);
}
