#include "part.h"

#include "words.h"

/* RFC 2046 section 5.1.1 has 70; what is longer is used all the same. */
#define BOUNDARY_MAX 900

bool
part_is_field(struct str line)
{
	size_t n = 0;

	while (n < line.len && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	if (n == 0)
		return false;
	while (n < line.len && (line.p[n] == ' ' || line.p[n] == '\t'))
		n++;
	return n < line.len && line.p[n] == ':';
}

bool
part_next_field(struct str *rest, struct str *whole, size_t *name_len)
{
	size_t n = 0;

	if (rest->len == 0)
		return false;
	do
		n += str_find(str_skip(*rest, n), '\n') + 1;
	while (n < rest->len && (rest->p[n] == ' ' || rest->p[n] == '\t'));
	if (n > rest->len)
		n = rest->len;
	*whole = str_from(rest->p, n);
	*rest = str_skip(*rest, n);
	*name_len = str_trim(str_from(whole->p, str_find(*whole, ':'))).len;
	return true;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Spaces and comments (RFC 822 section 3.1.4) go. */
static void
skip(struct str *s)
{
	size_t i = 0, depth = 0;

	for (; i < s->len; i++) {
		if (s->p[i] == '(')
			depth++;
		else if (s->p[i] == ')' && depth > 0)
			depth--;
		else if (s->p[i] == '\\' && depth > 0)
			i++;
		else if (depth == 0 && !is_blank(s->p[i]))
			break;
	}
	if (i > s->len)
		i = s->len;
	*s = str_skip(*s, i);
}

/* A quoted string without its quotes, or what stands up to a semicolon, or to the
 * sign of stop, appended to *out.  An equals sign in a value that is not quoted is
 * wrong, and in half of the boundaries of this world. */
static void
take_value(struct str *s, char stop, struct buf *out)
{
	size_t i = 0;

	skip(s);
	if (s->len > 0 && s->p[0] == '"') {
		for (i = 1; i < s->len && s->p[i] != '"'; i++) {
			if (s->p[i] == '\\' && i + 1 < s->len)
				i++;
			if (s->p[i] != '\n')
				buf_addc(out, s->p[i]);
		}
		i += i < s->len;
	} else {
		while (i < s->len && !is_blank(s->p[i]) && s->p[i] != ';' && s->p[i] != stop)
			i++;
		buf_add(out, s->p, i);
	}
	*s = str_skip(*s, i);
	skip(s);
}

/* The value of the parameter of that name; false where there is none. */
static bool
find_parameter(struct str s, const char *name, struct buf *out)
{
	struct buf key = { 0 };
	bool found = false;

	while (s.len > 0 && !found) {
		size_t junk = str_find(s, ';');

		s = str_skip(s, junk);
		if (s.len == 0)
			break;
		s = str_skip(s, 1);
		buf_clear(&key);
		take_value(&s, '=', &key);
		if (s.len == 0 || s.p[0] != '=')
			continue;
		s = str_skip(s, 1);
		found = str_caseis(buf_str(&key), name);
		buf_clear(&key);
		take_value(&s, ';', found ? out : &key);
	}
	buf_free(&key);
	return found;
}

/* The types that mean more than their first half; "" ends a half. */
static const struct {
	const char *type, *subtype;
	enum part_form form;
	const char *sealed;
} types[] = {
	{ "text", "", PART_TEXT, NULL },
	{ "multipart", "signed", PART_SEALED, "it is signed (multipart/signed)" },
	{ "multipart", "encrypted", PART_SEALED, "it is encrypted (multipart/encrypted)" },
	{ "multipart", "", PART_MULTIPART, NULL },
	{ "application", "pkcs7-mime", PART_SEALED, "it is signed or encrypted (application/pkcs7-mime)" },
	{ "application", "x-pkcs7-mime", PART_SEALED, "it is signed or encrypted (application/x-pkcs7-mime)" },
	{ "message", "rfc822", PART_MESSAGE, NULL },
	{ "message", "global", PART_MESSAGE, NULL },
	/* RFC 6533 lets these be encoded, and no other message/... */
	{ "message", "global-delivery-status", PART_DATA, NULL },
	{ "message", "global-disposition-notification", PART_DATA, NULL },
	{ "message", "global-headers", PART_DATA, NULL },
	{ "message", "", PART_SEALED, "its type, message/..., may not be encoded" },
};

static void
read_type(struct str body, struct part *p)
{
	struct buf value = { 0 };
	struct str whole = body, type, subtype;
	size_t slash;

	p->has_type = true;
	p->form = PART_DATA;
	take_value(&body, '(', &value);
	slash = str_find(buf_str(&value), '/');
	type = str_from(value.p, slash);
	subtype = slash < value.len ? str_skip(buf_str(&value), slash + 1) :
	    (struct str){ 0 };
	/* Without a slash it says nothing (RFC 2045 section 5.2). */
	if (subtype.len == 0)
		p->form = PART_TEXT;
	for (size_t i = 0; i < sizeof types / sizeof *types && subtype.len > 0; i++) {
		if (!str_caseis(type, types[i].type) || (types[i].subtype[0] != '\0' &&
		    !str_caseis(subtype, types[i].subtype)))
			continue;
		p->form = types[i].form;
		p->sealed = types[i].sealed;
		break;
	}
	p->is_digest = p->form == PART_MULTIPART && str_caseis(subtype, "digest");
	if (p->form == PART_MULTIPART)
		find_parameter(whole, "boundary", &p->boundary);
	buf_free(&value);
}

static void
read_coding(struct str body, struct part *p)
{
	static const struct {
		const char *name;
		enum part_coding coding;
	} codings[] = {
		{ "", PART_UNSAID }, { "7bit", PART_7BIT }, { "8bit", PART_8BIT }, { "binary", PART_BINARY },
		{ "quoted-printable", PART_QP }, { "base64", PART_BASE64 },
	};
	struct buf value = { 0 };

	p->coding = PART_UNKNOWN;
	take_value(&body, '(', &value);
	for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
		if (str_caseis(buf_str(&value), codings[i].name))
			p->coding = codings[i].coding;
	buf_free(&value);
}

void
part_seal(struct part *p, const char *reason)
{
	p->form = PART_SEALED;
	p->sealed = reason;
	p->is_digest = false;
	buf_clear(&p->boundary);
}

bool
part_is_identity(enum part_coding coding)
{
	return coding != PART_QP && coding != PART_BASE64 && coding != PART_UNKNOWN;
}

/* What cannot be what it says it is stays as it is. */
static void
check(struct part *p)
{
	bool encoded = p->coding == PART_QP || p->coding == PART_BASE64;

	while (p->boundary.len > 0 && (p->boundary.p[p->boundary.len - 1] == ' ' ||
	    p->boundary.p[p->boundary.len - 1] == '\t'))
		p->boundary.len--;
	if (p->form == PART_SEALED)
		return;
	if (p->coding == PART_UNKNOWN)
		part_seal(p, "its Content-Transfer-Encoding is not one that is known");
	else if (p->form == PART_MULTIPART && (p->boundary.len == 0 ||
	    p->boundary.len > BOUNDARY_MAX || !words_is_ascii(buf_str(&p->boundary)) ||
	    str_has_control(buf_str(&p->boundary))))
		part_seal(p, "its parts cannot be told apart (boundary)");
	else if (encoded && (p->form == PART_MULTIPART || p->form == PART_MESSAGE))
		part_seal(p, "its type may not be encoded, and it says it is");
}

void
part_read(struct str head, bool in_digest, struct part *p)
{
	struct str whole, name, body;
	size_t name_len;
	bool has_coding = false;

	*p = (struct part){ .form = in_digest ? PART_MESSAGE : PART_TEXT };
	while (part_next_field(&head, &whole, &name_len)) {
		size_t colon = str_find(whole, ':');

		name = str_from(whole.p, name_len);
		body = colon < whole.len ? str_skip(whole, colon + 1) :
		    (struct str){ 0 };
		if (str_caseis(name, "MIME-Version")) {
			p->has_version = true;
		} else if (str_caseis(name, "Content-Type") && !p->has_type) {
			read_type(body, p);
		} else if (str_caseis(name, "Content-Transfer-Encoding") && !has_coding) {
			has_coding = true;
			read_coding(body, p);
		}
	}
	check(p);
}

void
part_free(struct part *p)
{
	buf_free(&p->boundary);
	*p = (struct part){ 0 };
}
