#include "offers.h"

#include "codec.h"

#define LIMIT_MAX 999999        /* six digits (RFC 9422 section 4) */

/* Those that are there or not. */
static const struct {
	const char *word;
	size_t at;
} flags[] = {
	{ "STARTTLS", offsetof(struct offers, starttls) },
	{ "PIPELINING", offsetof(struct offers, pipelining) },
	{ "CHUNKING", offsetof(struct offers, chunking) },
	{ "8BITMIME", offsetof(struct offers, eight_bit) },
	{ "DSN", offsetof(struct offers, dsn) },
	{ "SMTPUTF8", offsetof(struct offers, smtputf8) },
	{ "REQUIRETLS", offsetof(struct offers, requiretls) },
	{ "MT-PRIORITY", offsetof(struct offers, priority) },
	{ "SIZE", offsetof(struct offers, size) },
	{ "DELIVERBY", offsetof(struct offers, by) },
};

static const struct {
	const char *word;
	size_t at;
} limits[] = {
	{ "MAILMAX", offsetof(struct offers, mail_max) },
	{ "RCPTMAX", offsetof(struct offers, rcpt_max) },
	{ "RCPTDOMAINMAX", offsetof(struct offers, domain_max) },
};

/* One limit that makes no sense costs none of the others (section 3). */
static void
read_limit(struct offers *o, struct str word)
{
	size_t equals = str_find(word, '=');
	struct str name = str_from(word.p, equals), value;
	uint64_t n;

	if (equals == word.len)
		return;
	value = str_from(word.p + equals + 1, word.len - equals - 1);
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
		if (str_caseis(name, limits[i].word) && codec_number(value, LIMIT_MAX, &n) && n > 0)
			*(unsigned *)(void *)((char *)o + limits[i].at) = (unsigned)n;
}

static void
read_line(struct offers *o, struct str line)
{
	struct str rest = str_trim(line), word = str_word(&rest);
	uint64_t n;

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (str_caseis(word, flags[i].word))
			*((bool *)((char *)o + flags[i].at)) = true;
	rest = str_trim(rest);
	if (str_caseis(word, "SIZE")) {
		/* 0, nothing and nonsense all mean: no limit told. */
		if (codec_number(rest, UINT64_MAX, &n))
			o->size_max = n;
	} else if (str_caseis(word, "DELIVERBY")) {
		if (codec_number(rest, INT32_MAX, &n))
			o->by_min = (int32_t)n;
	} else if (str_caseis(word, "LIMITS")) {
		while (rest.len > 0)
			read_limit(o, str_word(&rest));
	} else if (str_casestarts(word, "AUTH") && (word.len == 4 || word.p[4] == '=')) {
		/* "AUTH=LOGIN" is what servers older than RFC 2554 say, besides or alone. */
		if (word.len > 5) {
			buf_addstr(&o->auth, str_from(word.p + 5, word.len - 5));
			buf_addc(&o->auth, ' ');
		}
		buf_addstr(&o->auth, rest);
		buf_addc(&o->auth, ' ');
	}
}

void
offers_read(struct offers *o, struct str text)
{
	struct str line;

	offers_free(o);
	str_line(&text, &line);
	while (str_line(&text, &line))
		read_line(o, line);
}

void
offers_free(struct offers *o)
{
	buf_free(&o->auth);
	*o = (struct offers){ 0 };
}
