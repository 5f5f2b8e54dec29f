#include "settings.h"

#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "codec.h"
#include "desk.h"
#include "keys.h"
#include "person.h"
#include "route.h"

#define LINES_MAX (DESK_FRAME_MAX - 64) /* octets: they go behind the hello's first line */

/* How a value is written, so that its key reads it. */

static void
put_text(const void *at, struct buf *out)
{
	codec_escape(out, str_of(*(char *const *)at));
}

static void
put_flag(const void *at, struct buf *out)
{
	buf_adds(out, *(const bool *)at ? "yes" : "no");
}

static void
put_number(const void *at, struct buf *out)
{
	buf_addf(out, "%u", *(const unsigned *)at);
}

static void
put_seconds(const void *at, struct buf *out)
{
	buf_addf(out, "%llu", (unsigned long long)*(const uint32_t *)at);
}

static void
put_size(const void *at, struct buf *out)
{
	buf_addf(out, "%llu", (unsigned long long)*(const uint64_t *)at);
}

static void
put_dots(const void *at, struct buf *out)
{
	buf_adds(out, *(const bool *)at ? "text" : "classic");
}

static void
put_arguments(const void *at, struct buf *out)
{
	buf_adds(out, *(const bool *)at ? "subtract" : "add");
}

/* The keys that concern a caller; `from`, `senders` and what is no key stand below. */
static const struct {
	enum key_id id;
	void (*put)(const void *at, struct buf *out);
} told[] = {
	{ KEY_DOMAIN, put_text },
	{ KEY_HOSTNAME, put_text },
	{ KEY_RECEIVED, put_flag },
	{ KEY_ALIASES, put_text },
	{ KEY_ROOT, put_text },
	{ KEY_REWRITE_TO, put_flag },
	{ KEY_HOST, put_text },
	{ KEY_PORT, put_number },
	{ KEY_FORCE_FROM, put_flag },
	{ KEY_MAX_SIZE, put_size },
	{ KEY_MAX_RECIPIENTS, put_number },
	{ KEY_WAIT, put_seconds },
	{ KEY_DOTS, put_dots },
	{ KEY_ARGUMENTS, put_arguments },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the service's end -------------------------------------------------- */

static void
put_line(struct buf *out, const char *word, const char *value)
{
	buf_addf(out, "%s ", word);
	codec_escape(out, str_of(value));
	buf_addc(out, '\n');
}

/* Whose mail any of the accounts carries: what there are of them, and to whom they
 * send, is the clerk's to know.  The hello is one frame, and what is too long for it the
 * clerk still knows. */
static void
put_senders(const struct config *c, size_t room, struct buf *out)
{
	struct buf line = { 0 }, all = { 0 };

	route_put_senders(c, &all);
	put_line(&line, keys[KEY_SENDERS].name, buf_c(&all));
	if (line.len <= room)
		buf_addstr(out, buf_str(&line));
	buf_free(&line);
	buf_free(&all);
}

void
settings_write(const struct config *c, struct buf *out)
{
	size_t begun = out->len;

	put_line(out, "config", c->path);
	if (!c->smarthost.from_is_login)
		put_line(out, "from", c->smarthost.from);
	buf_addf(out, "from-header %s\n", c->smarthost.from_header ? "yes" : "no");
	for (size_t i = 0; i < COUNT(told); i++) {
		const struct key *k = &keys[told[i].id];

		buf_addf(out, "%s ", k->name);
		told[i].put((const char *)c + k->at, out);
		buf_addc(out, '\n');
	}
	put_senders(c, LINES_MAX - (out->len - begun), out);
}

/* ---- the caller's end --------------------------------------------------- */

static bool
take_path(struct config *c, struct str value)
{
	keys_put_text(&c->path, value);
	return value.len > 0;
}

/* As it is, and not as its key reads it, which knows words that are no address. */
static bool
take_from(struct config *c, struct str value)
{
	keys_put_text(&c->smarthost.from, value);
	return address_has_domain(value) && address_is_sendable(value);
}

/* It may be that of the account's address, and so what no key `domain` may be. */
static bool
take_domain(struct config *c, struct str value)
{
	struct buf spec = { 0 };
	bool good;

	keys_put_text(&c->domain, value);
	buf_adds(&spec, "x@");
	buf_addstr(&spec, value);
	good = value.len > 0 && address_is_sendable(buf_str(&spec));
	buf_free(&spec);
	return good;
}

static bool
take_from_header(struct config *c, struct str value)
{
	c->smarthost.from_header = str_is(value, "yes");
	return c->smarthost.from_header || str_is(value, "no");
}

static const struct {
	const char *word;
	bool (*take)(struct config *c, struct str value);
} others[] = {
	{ "config", take_path },
	{ "domain", take_domain },
	{ "from", take_from },
	{ "from-header", take_from_header },
};

static bool
take_value(struct config *c, struct str word, struct str value)
{
	struct target t = { .c = c };

	for (size_t i = 0; i < COUNT(others); i++)
		if (str_is(word, others[i].word))
			return others[i].take(c, value);
	for (size_t i = 0; i < COUNT(told); i++)
		if (str_is(word, keys[told[i].id].name))
			return keys_take(&t, &keys[told[i].id], value, false);
	return !str_is(word, keys[KEY_SENDERS].name) || keys_take(&t, &keys[KEY_SENDERS], value, false);
}

/* "word value"; the word has the form that every key's name has. */
static bool
take_line(struct config *c, struct str line)
{
	struct buf value = { 0 };
	struct str word = str_word(&line);
	bool good = word.len > 0;

	for (size_t i = 0; i < word.len; i++)
		good = good && (word.p[i] == '-' || (word.p[i] >= 'a' && word.p[i] <= 'z'));
	good = good && codec_unescape(&value, line) && !str_has(buf_str(&value), '\0') &&
	    take_value(c, word, buf_str(&value));
	buf_free(&value);
	return good;
}

/* An address that mail may come from where nobody has given one. */
static void
settle_from(struct config *c)
{
	struct buf from = { 0 };
	struct person p;

	if (c->smarthost.from[0] != '\0')
		return;
	c->smarthost.from_is_login = true;
	if (person_by_uid(geteuid(), &p))
		buf_addf(&from, "%s@%s", p.login, c->domain);
	person_free(&p);
	if (from.len == 0 || !address_is_sendable(buf_str(&from))) {
		buf_clear(&from);
		buf_addf(&from, "uid-%u@%s", (unsigned)geteuid(), c->domain);
	}
	keys_put_text(&c->smarthost.from, buf_str(&from));
	buf_free(&from);
}

enum outcome
settings_read(struct str text, struct config *c, struct why *why)
{
	struct str rest = text, line;

	config_defaults(c);
	while (str_line(&rest, &line)) {
		if (!take_line(c, line))
			return refuse(why, EX_PROTOCOL, "the mail service told us \"%s\", which this program "
			    "does not understand; restart the service, so that both are of the same version",
			    codec_show(line).p);
	}
	if (c->domain[0] == '\0' || c->path[0] == '\0')
		return refuse(why, EX_PROTOCOL, "the mail service did not tell us its domain and its "
		    "file; restart it, so that it is of the same version as this program");
	settle_from(c);
	return DONE;
}
