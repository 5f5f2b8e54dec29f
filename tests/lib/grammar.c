#include <string.h>

#include "codec.h"
#include "grammar.h"
#include "mechanisms.h"
#include "notes.h"
#include "speech.h"

/* ---- values of parameters ---- */

static bool
is_any(struct str value, struct str offered)
{
	(void)offered;
	return value.len > 0;
}

static bool
is_absent(struct str value, struct str offered)
{
	(void)offered;
	return value.p == NULL;
}

static bool
is_size(struct str value, struct str offered)
{
	uint64_t n;

	(void)offered;
	return value.len <= 20 && codec_number(value, UINT64_MAX, &n);
}

static bool
is_body(struct str value, struct str offered)
{
	(void)offered;
	return str_caseis(value, "8BITMIME") || str_caseis(value, "7BIT");
}

static bool
is_ret(struct str value, struct str offered)
{
	(void)offered;
	return str_caseis(value, "FULL") || str_caseis(value, "HDRS");
}

/* RFC 3461 section 4: printable, without '+' and '=' but in "+XX". */
static bool
is_xtext(struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] < '!' || value.p[i] > '~' || value.p[i] == '=')
			return false;
		if (value.p[i] == '+') {
			if (i + 2 >= value.len || memchr("0123456789ABCDEF", value.p[i + 1], 16) == NULL ||
			    memchr("0123456789ABCDEF", value.p[i + 2], 16) == NULL)
				return false;
			i += 2;
		}
	}
	return value.len > 0;
}

static bool
is_envid(struct str value, struct str offered)
{
	(void)offered;
	return value.len <= 100 && is_xtext(value);
}

/* RFC 3461 section 4.2, and 6533 section 3 for those in UTF-8. */
static bool
is_orcpt(struct str value, struct str offered)
{
	size_t type = str_find(value, ';');
	struct str address = { value.p + type + 1, value.len - type - 1 };

	(void)offered;
	return type > 0 && type < value.len && (is_xtext(address) ||
	    str_caseis((struct str){ value.p, type }, "utf-8"));
}

/* NEVER alone, or some of the others, once each. */
static bool
is_notify(struct str value, struct str offered)
{
	static const char *const words[] = { "SUCCESS", "FAILURE", "DELAY" };
	bool seen[3] = { false };
	struct str word = value;

	(void)offered;
	if (str_caseis(value, "NEVER"))
		return true;
	for (;;) {
		size_t i = 0;

		word.len = str_find(word, ',');
		while (i < 3 && !str_caseis(word, words[i]))
			i++;
		if (i == 3 || seen[i])
			return false;
		seen[i] = true;
		if (word.p + word.len == value.p + value.len)
			return true;
		word.p += word.len + 1;
		word.len = (size_t)(value.p + value.len - word.p);
	}
}

static bool
is_priority(struct str value, struct str offered)
{
	(void)offered;
	if (value.len > 0 && value.p[0] == '-')
		return value.len == 2 && value.p[1] >= '1' && value.p[1] <= '9';
	return value.len == 1 && value.p[0] >= '0' && value.p[0] <= '9';
}

/* RFC 2852 section 4: seconds, perhaps negative with N; not under the offered minimum
 * with R; a T for the trace. */
static bool
is_deliver_by(struct str value, struct str offered)
{
	bool negative = str_starts(value, "-");
	struct str digits = { value.p + negative, str_find(value, ';') };
	struct str mode;
	uint64_t n, least = 0;

	if (digits.len == value.len)
		return false;
	mode = (struct str){ value.p + digits.len + 1, value.len - digits.len - 1 };
	digits.len -= negative;
	if (digits.len > 9 || !codec_number(digits, UINT64_MAX, &n))
		return false;
	codec_number(offered, UINT64_MAX, &least);
	if (str_caseis(mode, "N") || str_caseis(mode, "NT"))
		return true;
	return (str_caseis(mode, "R") || str_caseis(mode, "RT")) && !negative && n > 0 && n >= least;
}

/* RFC 4865 section 5: FUTURERELEASE is offered with the most seconds, and a date. */
static bool
is_hold_for(struct str value, struct str offered)
{
	uint64_t n, most;

	return value.len <= 9 && codec_number(value, UINT64_MAX, &n) && n > 0 &&
	    codec_number(str_word(&offered), UINT64_MAX, &most) && n <= most;
}

static bool
is_hold_until(struct str value, struct str offered)
{
	struct str most = offered;

	str_word(&most);
	most = str_word(&most);
	/* Both as "2026-11-24T12:00:00Z": then the octets' order is time's. */
	return value.len == 20 && value.p[10] == 'T' && value.p[19] == 'Z' && most.len == 20 &&
	    memcmp(value.p, most.p, 20) <= 0;
}

/* A command's parameters need what the EHLO answer offered. */
static const struct parameter {
	enum event event;
	const char *name, *keyword;
	size_t room;            /* octets that the extension adds to the line's limit */
	bool (*fits)(struct str value, struct str offered);
} parameters[] = {
	{ MAIL, "SIZE",        "SIZE",          26,  is_size },         /* RFC 1870 section 3 */
	{ MAIL, "BODY",        "8BITMIME",      17,  is_body },         /* RFC 6152 section 2 */
	{ MAIL, "RET",         "DSN",           107, is_ret },          /* RFC 3461 section 4, ENVID included */
	{ MAIL, "ENVID",       "DSN",           0,   is_envid },
	{ MAIL, "AUTH",        "AUTH",          500, is_any },          /* RFC 4954 section 3 */
	{ MAIL, "SMTPUTF8",    "SMTPUTF8",      10,  is_absent },       /* RFC 6531 section 3.1 */
	{ MAIL, "MT-PRIORITY", "MT-PRIORITY",   15,  is_priority },     /* RFC 6710 section 3 */
	{ MAIL, "REQUIRETLS",  "REQUIRETLS",    11,  is_absent },       /* RFC 8689 section 2 */
	{ MAIL, "BY",          "DELIVERBY",     17,  is_deliver_by },   /* RFC 2852 section 2 */
	{ MAIL, "HOLDFOR",     "FUTURERELEASE", 34,  is_hold_for },     /* RFC 4865 section 4 */
	{ MAIL, "HOLDUNTIL",   "FUTURERELEASE", 0,   is_hold_until },
	{ RCPT, "NOTIFY",      "DSN",           500, is_notify },       /* RFC 3461 section 4, ORCPT included */
	{ RCPT, "ORCPT",       "DSN",           0,   is_orcpt },
};

#define NPARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

/* ---- lines ---- */

void
check_length(struct conn *c, enum event e, size_t len)
{
	size_t limit = COMMAND_MAX;

	/* RFC 4954 section 4: of AUTH itself, with its initial response, only the usual. */
	if (e == AUTH_RESPONSE)
		limit = AUTH_MAX;
	for (size_t i = 0; i < NPARAMETERS; i++)
		if (parameters[i].event == e && has_offered(c, parameters[i].keyword))
			limit += parameters[i].room;
	if (len > limit)
		accuse(c, "%s: a line of %zu octets, over %zu", events[e].name, len, limit);
}

/* seen: a bit each for the parameters that this command has had. */
static void
check_parameter(struct conn *c, enum event e, struct str word, unsigned *seen)
{
	struct str name = { word.p, str_find(word, '=') };
	struct str value = { NULL, 0 }, offered = { NULL, 0 };

	if (name.len < word.len)
		value = (struct str){ word.p + name.len + 1, word.len - name.len - 1 };
	for (size_t i = 0; i < NPARAMETERS; i++) {
		const struct parameter *p = &parameters[i];

		if (p->event != e || !str_caseis(name, p->name))
			continue;
		if (!find_offer(c, p->keyword, &offered))
			accuse(c, "%s %s, but %s was not offered", events[e].name, p->name, p->keyword);
		else if (!p->fits(value, offered))
			accuse(c, "%s: not a value of %s", events[e].name, p->name);
		if (*seen & 1u << i)
			accuse(c, "%s: %s twice", events[e].name, p->name);
		*seen |= 1u << i;
		return;
	}
	accuse(c, "%s: no such parameter: %.*s", events[e].name, (int)name.len, name.p);
}

static void
check_parameters(struct conn *c, enum event e, struct str rest)
{
	unsigned seen = 0;

	while (rest.len > 0) {
		struct str p = str_word(&rest);

		if (e == MAIL && str_caseis(p, "BODY=8BITMIME"))
			c->eight_bit_declared = true;
		if (e == MAIL && str_casestarts(p, "SIZE="))
			codec_number((struct str){ p.p + 5, p.len - 5 }, UINT64_MAX, &c->size_declared);
		if (e == MAIL && str_caseis(p, "REQUIRETLS") && !c->secure)
			accuse(c, "REQUIRETLS without TLS");
		check_parameter(c, e, p, &seen);
	}
}

/* Octets up to and with the '>' that ends a path; quotes may hide one. */
static size_t
path_length(struct str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i + 1;
	}
	return s.len;
}

/* RFC 9422 section 4.  A limit that is no number is none. */
static bool
find_limit(const struct conn *c, const char *name, uint64_t *limit)
{
	struct str offered;

	if (!find_offer(c, "LIMITS", &offered))
		return false;
	while (offered.len > 0) {
		struct str word = str_word(&offered);
		size_t equals = str_find(word, '=');

		if (equals < word.len && str_caseis((struct str){ word.p, equals }, name))
			return codec_number((struct str){ word.p + equals + 1, word.len - equals - 1 },
			    UINT64_MAX, limit) && *limit > 0;
	}
	return false;
}

static unsigned
count_domains(struct conn *c, struct str path)
{
	const char *at = path.len > 0 ? memrchr(path.p, '@', path.len) : NULL;
	struct str domain = STR(""), rest, line;
	unsigned n = 0;
	bool known = false;

	if (at != NULL)
		domain = (struct str){ at + 1, (size_t)(path.p + path.len - at) - 1 };
	rest = buf_str(&c->domains);
	for (; str_line(&rest, &line); n++)
		known = known || str_caseeq(line, domain);
	if (known)
		return n;
	buf_addstr(&c->domains, domain);
	buf_addc(&c->domains, '\n');
	return n + 1;
}

static void
check_limits(struct conn *c, enum event e, struct str path)
{
	uint64_t limit;

	if (e == MAIL) {
		c->mails++;
		c->rcpts = 0;
		buf_clear(&c->domains);
		if (find_limit(c, "MAILMAX", &limit) && c->mails > limit)
			accuse(c, "MAIL for the %uth time, over MAILMAX", c->mails);
		return;
	}
	c->rcpts++;
	if (find_limit(c, "RCPTMAX", &limit) && c->rcpts > limit)
		accuse(c, "a %uth recipient, over RCPTMAX", c->rcpts);
	if (count_domains(c, path) > 0 && find_limit(c, "RCPTDOMAINMAX", &limit) &&
	    count_domains(c, path) > limit)
		accuse(c, "recipients in %u domains, over RCPTDOMAINMAX", count_domains(c, path));
}

/* RFC 5321 4.1.1.2 and 4.1.1.3: FROM:<...> or TO:<...>, no space before it,
 * one before each parameter. */
static void
check_path(struct conn *c, enum event e)
{
	const char *word = e == MAIL ? "FROM:" : "TO:";
	struct str rest = c->args;
	size_t n = strlen(word);

	if (e == MAIL) {
		c->eight_bit_declared = false;
		c->size_declared = 0;
	}
	if (!str_casestarts(rest, word)) {
		accuse(c, "%s without %s", events[e].name, word);
		return;
	}
	rest.p += n;
	rest.len -= n;
	if (!str_starts(rest, "<")) {
		accuse(c, "%s: no < directly after %s", events[e].name, word);
		return;
	}
	n = path_length(rest);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)rest.p[i] > 127 && !has_offered(c, "SMTPUTF8")) {
			accuse(c, "%s: 8-bit address, but SMTPUTF8 was not offered", events[e].name);
			break;
		}
	}
	check_limits(c, e, (struct str){ rest.p + 1, n > 1 ? n - 2 : 0 });
	rest.p += n;
	rest.len -= n;
	if (rest.len > 0 && str_word(&rest).len > 0)
		accuse(c, "%s: no space behind >", events[e].name);
	check_parameters(c, e, rest);
}

/* RFC 3030 section 2: a number, and LAST or nothing. */
static void
check_chunk(struct conn *c)
{
	struct str rest = c->args;
	uint64_t n;

	if (!has_offered(c, "CHUNKING"))
		accuse(c, "BDAT, but CHUNKING was not offered");
	if (!codec_number(str_word(&rest), UINT64_MAX, &n))
		accuse(c, "BDAT without a number");
	if (rest.len > 0 && !str_caseis(rest, "LAST"))
		accuse(c, "BDAT: neither LAST nor nothing behind the number");
}

/* RFC 5321 4.1.1.1: one name or literal.  HELO is for servers that know nothing else,
 * and that neither encrypt nor ask who we are. */
static void
check_hello(struct conn *c)
{
	struct str rest = c->args, name = str_word(&rest);

	if (name.len == 0 || rest.len > 0)
		accuse(c, "EHLO or HELO without one name");
	if (!c->extended && (server.tls != NEVER_TLS || !server.no_auth))
		accuse(c, "HELO, where TLS or AUTH is asked for");
}

/* Where a command may not stand, though its answer would tell only the client. */
static void
check_place(struct conn *c, enum event e)
{
	bool pipelining = has_offered(c, "PIPELINING");

	if ((e == MAIL || e == AUTH) && !c->greeted)
		accuse(c, "%s without EHLO", events[e].name);
	if (e == MAIL && !server.no_auth && !c->authenticated)
		accuse(c, "mail before AUTH");
	if (e == MAIL && c->in_mail && !c->chunk_refused)
		accuse(c, "MAIL inside a mail transaction");
	if ((e == RCPT || e == DATA || e == BDAT) && !c->in_mail && !pipelining)
		accuse(c, "%s, though no MAIL was accepted", events[e].name);
	if ((e == DATA || e == BDAT) && c->in_mail && c->recipients == 0 && !pipelining)
		accuse(c, "%s, though no RCPT was accepted", events[e].name);
	if (c->in_chunks && e != BDAT && e != RSET && e != NOOP && e != QUIT)
		accuse(c, "%s between two chunks", events[e].name);
	if (e == STARTTLS && c->secure)
		accuse(c, "STARTTLS inside TLS");
	else if (e == STARTTLS && !has_offered(c, "STARTTLS"))
		accuse(c, "STARTTLS was not offered");
	if (e == UNKNOWN)
		accuse(c, "not a command");
}

void
check_command(struct conn *c, enum event e, struct str line)
{
	if (str_has(line, '\r'))
		accuse(c, "bare CR in a command");
	if (str_has(line, '\0'))
		accuse(c, "NUL in a command");
	check_place(c, e);
	if (e == EHLO)
		check_hello(c);
	if (e == MAIL || e == RCPT)
		check_path(c, e);
	if (e == BDAT)
		check_chunk(c);
	if (e == AUTH)
		check_auth(c);
	if ((e == DATA || e == RSET || e == QUIT || e == STARTTLS) && c->args.len > 0)
		accuse(c, "%s with something behind it", events[e].name);
}
