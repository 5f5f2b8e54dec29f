#include "scram.h"

#include "codec.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Cuts the next attribute off, "X=value"; false where there is none. */
static bool
next(struct str *rest, char *name, struct str *value)
{
	size_t end = str_find(*rest, ',');
	struct str attribute = str_from(rest->p, end);

	if (attribute.len < 2 || attribute.p[1] != '=')
		return false;
	*name = attribute.p[0];
	*value = str_from(attribute.p + 2, attribute.len - 2);
	*rest = end < rest->len ? str_from(rest->p + end + 1, rest->len - end - 1) :
	    (struct str){ 0 };
	return true;
}

struct str
scram_nonce(struct str client_first)
{
	struct str none = { 0 };

	/* The header of the binding, "n,," or "p=tls-exporter,,", then n=, then r=. */
	for (unsigned i = 0; i < 2; i++) {
		size_t comma = str_find(client_first, ',');

		if (comma == client_first.len)
			return none;
		client_first = str_from(client_first.p + comma + 1, client_first.len - comma - 1);
	}
	while (client_first.len > 0) {
		struct str value;
		char name;

		if (!next(&client_first, &name, &value))
			return none;
		if (name == 'r')
			return value;
	}
	return none;
}

static bool
begins_with(struct str s, struct str with)
{
	return s.len >= with.len && str_eq(str_from(s.p, with.len), with);
}

const char *
scram_read_first(struct str message, struct str ours, struct buf *salt, unsigned *iterations)
{
	struct str rest = message, value;
	uint64_t n;
	char name;

	if (str_has(message, '\0') || !next(&rest, &name, &value))
		return "it is no message of SCRAM";
	/* RFC 5802 section 5.1: an extension that must be understood, and is not. */
	if (name == 'm')
		return "it demands an extension that nobody knows (m=)";
	if (name != 'r')
		return "its nonce is missing";
	if (ours.len == 0 || value.len == ours.len || !begins_with(value, ours))
		return "its nonce does not begin with ours, so it answers somebody else";
	if (!next(&rest, &name, &value) || name != 's' || value.len == 0 ||
	    !codec_unbase64(salt, value))
		return "its salt is missing or no base64";
	if (!next(&rest, &name, &value) || name != 'i' || !codec_number(value, UINT32_MAX, &n))
		return "its iteration count is missing or no number";
	if (n < SCRAM_ITERATIONS_MIN)
		return "its iteration count is below 4096, which would give the password away";
	if (n > SCRAM_ITERATIONS_MAX)
		return "its iteration count is over a million, which only wastes our time";
	while (rest.len > 0)
		if (!next(&rest, &name, &value) || name == 'm')
			return "something that nobody knows follows its iteration count";
	*iterations = (unsigned)n;
	return NULL;
}

/* RFC 5802 section 7, server-error-value. */
static const struct {
	const char *word;
	enum scram_blame blame;
} errors[] = {
	{ "invalid-encoding", SCRAM_BLAMES_NOBODY },
	{ "extensions-not-supported", SCRAM_BLAMES_NOBODY },
	{ "invalid-proof", SCRAM_BLAMES_LOGIN },
	{ "channel-bindings-dont-match", SCRAM_BLAMES_CHANNEL },
	{ "server-does-support-channel-binding", SCRAM_BLAMES_CHANNEL },
	{ "channel-binding-not-supported", SCRAM_BLAMES_BINDING },
	{ "unsupported-channel-binding-type", SCRAM_BLAMES_BINDING },
	{ "unknown-user", SCRAM_BLAMES_LOGIN },
	{ "invalid-username-encoding", SCRAM_BLAMES_LOGIN },
	{ "no-resources", SCRAM_BLAMES_NOBODY },
};

bool
scram_read_error(struct str message, struct str *word, enum scram_blame *blame)
{
	struct str rest = message;
	char name;

	if (!next(&rest, &name, word) || name != 'e')
		return false;
	/* A server may hide its reason behind other-error, and any word that is not in
	 * the table stands for that. */
	*blame = SCRAM_BLAMES_LOGIN;
	for (size_t i = 0; i < COUNT(errors); i++)
		if (str_is(*word, errors[i].word))
			*blame = errors[i].blame;
	return true;
}
