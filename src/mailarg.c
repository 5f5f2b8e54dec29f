#include "mailarg.h"

#include <string.h>

#include "codec.h"

static bool
take_size(struct mailarg *a, struct str value)
{
	return codec_number(value, INT64_MAX, &a->size);
}

static bool
take_body(struct mailarg *a, struct str value)
{
	return dsn_parse_body(value, &a->wishes.body);
}

static bool
take_smtputf8(struct mailarg *a, struct str value)
{
	a->wishes.smtputf8 = true;
	return value.p == NULL;
}

static bool
take_ret(struct mailarg *a, struct str value)
{
	return dsn_parse_return(value, &a->wishes.ret);
}

static bool
take_envid(struct mailarg *a, struct str value)
{
	if (value.len == 0 || value.len > DSN_ENVID_MAX || !dsn_is_xtext(value))
		return false;
	a->wishes.envid = mem_dup(value);
	return true;
}

/* Whom the client vouches for: nobody has logged in here, so that it says nothing
 * (RFC 4954 section 5), but some always send it. */
static bool
take_auth(struct mailarg *a, struct str value)
{
	(void)a;
	return value.len > 0;
}

static bool
take_by(struct mailarg *a, struct str value)
{
	return dsn_parse_by(value, &a->wishes);
}

static bool
take_hold_for(struct mailarg *a, struct str value)
{
	uint64_t seconds;

	if (a->wishes.hold_until != 0 || !codec_number(value, DSN_HOLD_MAX, &seconds) || seconds == 0)
		return false;
	a->wishes.hold_for = (uint32_t)seconds;
	return true;
}

/* One of the two only (RFC 4865 section 5). */
static bool
take_hold_until(struct mailarg *a, struct str value)
{
	return a->wishes.hold_for == 0 && codec_read_stamp(value, &a->wishes.hold_until) &&
	    a->wishes.hold_until > 0;
}

static bool
take_priority(struct mailarg *a, struct str value)
{
	return dsn_parse_priority(value, &a->wishes.priority);
}

static bool
take_notify(struct mailarg *a, struct str value)
{
	return dsn_parse_notify(value, &a->notify);
}

static bool
take_orcpt(struct mailarg *a, struct str value)
{
	a->orcpt = value;
	return dsn_is_orcpt(value);
}

static const struct parameter {
	const char *name;
	enum mailarg_of of;
	bool (*take)(struct mailarg *a, struct str value);      /* without '=': value.p is NULL */
} parameters[] = {
	{ "SIZE", MAILARG_MAIL, take_size },            /* RFC 1870 */
	{ "BODY", MAILARG_MAIL, take_body },            /* RFC 6152 */
	{ "SMTPUTF8", MAILARG_MAIL, take_smtputf8 },    /* RFC 6531 */
	{ "RET", MAILARG_MAIL, take_ret },              /* RFC 3461 */
	{ "ENVID", MAILARG_MAIL, take_envid },
	{ "AUTH", MAILARG_MAIL, take_auth },
	{ "BY", MAILARG_MAIL, take_by },                /* RFC 2852 */
	{ "HOLDFOR", MAILARG_MAIL, take_hold_for },     /* RFC 4865 */
	{ "HOLDUNTIL", MAILARG_MAIL, take_hold_until },
	{ "MT-PRIORITY", MAILARG_MAIL, take_priority }, /* RFC 6710 */
	{ "NOTIFY", MAILARG_RCPT, take_notify },
	{ "ORCPT", MAILARG_RCPT, take_orcpt },
};

#define PARAMETERS (sizeof parameters / sizeof parameters[0])

/* Offset of what ends the path: its '>', or a space; neither inside quotes. */
static size_t
find_end(struct str s, char end)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '\\' && quoted)
			i++;
		else if (s.p[i] == end && !quoted)
			return i;
	}
	return s.len;
}

/* "FROM:<a@b> SIZE=1": *rest becomes "SIZE=1". */
static bool
cut_path(struct str *rest, const char *word, struct str *path)
{
	size_t at = strlen(word);

	if (!str_casestarts(*rest, word))
		return false;
	*rest = str_trim(str_from(rest->p + at, rest->len - at));
	if (rest->len == 0 || rest->p[0] != ':')
		return false;
	*rest = str_trim(str_from(rest->p + 1, rest->len - 1));
	if (rest->len > 0 && rest->p[0] == '<') {
		at = find_end(*rest, '>');
		if (at++ == rest->len)
			return false;
	} else {
		at = find_end(*rest, ' ');
	}
	*path = str_from(rest->p, at);
	*rest = str_from(rest->p + at, rest->len - at);
	/* "<a@b>SIZE=1" is neither. */
	return at > 0 && (rest->len == 0 || rest->p[0] == ' ');
}

static enum outcome
refuse_with(struct why *why, int code, const char *what, struct str name)
{
	struct buf masked = { 0 };

	codec_mask(&masked, str_from(name.p, name.len < 40 ? name.len : 40));
	never(why, SCOPE_MESSAGE, "5.5.4", "%s: %s", what, buf_c(&masked));
	why->code = code;
	buf_free(&masked);
	return NEVER;
}

static enum outcome
read_parameters(enum mailarg_of of, struct str rest, struct mailarg *a, struct why *why)
{
	bool seen[PARAMETERS] = { false };

	while ((rest = str_trim(rest)).len > 0) {
		struct str name = str_word(&rest), value = { 0 };
		size_t at = str_find(name, '='), i = 0;

		if (at < name.len)
			value = str_from(name.p + at + 1, name.len - at - 1);
		name.len = at;
		while (i < PARAMETERS && (parameters[i].of != of || !str_caseis(name, parameters[i].name)))
			i++;
		if (i == PARAMETERS)
			return refuse_with(why, 555, "a parameter is not known here", name);
		if (seen[i])
			return refuse_with(why, 501, "a parameter is given twice", name);
		if (!parameters[i].take(a, value))
			return refuse_with(why, 501, "a parameter has a value that it cannot have", name);
		seen[i] = true;
	}
	return DONE;
}

enum outcome
mailarg_read(enum mailarg_of of, struct str text, struct mailarg *a, struct why *why)
{
	static const char *const words[] = { [MAILARG_MAIL] = "FROM", [MAILARG_RCPT] = "TO" };

	if (!cut_path(&text, words[of], &a->path))
		return refuse_with(why, 501, "no address in brackets stands behind", str_of(words[of]));
	return read_parameters(of, text, a, why);
}

void
mailarg_free(struct mailarg *a)
{
	wishes_free(&a->wishes);
	*a = (struct mailarg){ 0 };
}
