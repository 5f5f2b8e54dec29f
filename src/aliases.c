#include "aliases.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "address.h"
#include "codec.h"
#include "trusted.h"

void
alias_free(struct alias *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->to[i].text);
	free(a->to);
	free(a->name);
	*a = (struct alias){ 0 };
}

void
aliases_free(struct aliases *a)
{
	for (size_t i = 0; i < a->n; i++)
		alias_free(&a->v[i]);
	for (size_t i = 0; i < a->nproblems; i++)
		free(a->problems[i].text);
	free(a->v);
	free(a->path);
	free(a->problems);
	*a = (struct aliases){ 0 };
}

void
aliases_note(struct aliases *a, unsigned line, const char *text)
{
	struct buf masked = { 0 };
	size_t i = a->nproblems;

	for (size_t j = 0; j < a->nproblems; j++)
		if (strcmp(a->problems[j].text, text) == 0)
			return;
	if (a->nproblems == ALIASES_PROBLEMS_MAX)
		return;
	codec_mask(&masked, str_of(text));
	a->problems = mem_more(a->problems, a->nproblems++, sizeof *a->problems);
	for (; i > 0 && a->problems[i - 1].line > line; i--)
		a->problems[i] = a->problems[i - 1];
	a->problems[i] = (struct alias_problem){ line, masked.p };
}

static void __attribute__((format(printf, 3, 4)))
note(struct aliases *a, unsigned line, const char *fmt, ...)
{
	struct buf text = { 0 };
	va_list ap;

	buf_addf(&text, "%s:%u: ", a->path, line);
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	aliases_note(a, line, buf_c(&text));
	buf_free(&text);
}

/* ---- values ------------------------------------------------------------------------- */

/* If s is one quoted string and nothing else: what is in it. */
static bool
unquote(struct str s, struct buf *out)
{
	if (s.len < 2 || s.p[0] != '"')
		return false;
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] == '"')
			return i == s.len - 1;
		if (s.p[i] == '\\' && i + 1 < s.len)
			i++;
		buf_addc(out, s.p[i]);
	}
	return false;
}

static enum alias_kind
say_wrong(struct buf *text, const char *wrong)
{
	buf_clear(text);
	buf_adds(text, wrong);
	return ALIAS_WRONG;
}

static enum alias_kind
read_mailbox(struct str s, bool literal, struct buf *text)
{
	struct buf spec = { 0 };
	struct why why;
	enum alias_kind kind = ALIAS_ADDRESS;

	if (address_parse_one(literal ? str_from(s.p + 1, s.len - 1) : s, &spec, &why) != DONE) {
		kind = say_wrong(text, why.text);
		for (size_t i = 1; i < s.len; i++)
			if (s.p[i] == '#' && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
				say_wrong(text, "a '#' stands behind a value; put the comment on a line of its own");
	} else if (spec.len == 0) {
		kind = say_wrong(text, "<> is nobody; name an address");
	} else {
		if (literal && !address_has_domain(buf_str(&spec))) {
			kind = ALIAS_LITERAL;
			buf_addc(text, '\\');
		}
		buf_addstr(text, buf_str(&spec));
	}
	buf_free(&spec);
	return kind;
}

static enum alias_kind
read_include(struct str path, struct buf *text)
{
	struct buf plain = { 0 };
	enum alias_kind kind = ALIAS_INCLUDE;

	path = str_trim(path);
	if (unquote(path, &plain))
		path = buf_str(&plain);
	if (path.len == 0 || path.p[0] != '/')
		kind = say_wrong(text, ":include: needs the whole path of a file, such as :include:/etc/mail/list");
	else
		buf_addstr(text, path);
	buf_free(&plain);
	return kind;
}

/* What one element of a list is; *text: see struct alias_value. */
static enum alias_kind
read_element(struct str s, struct buf *text)
{
	struct buf plain = { 0 };
	struct str inner = s;
	enum alias_kind kind;

	if (str_has_control(s))
		return say_wrong(text, "a value holds a control character; remove that");
	if (unquote(s, &plain))
		inner = buf_str(&plain);
	if (str_casestarts(inner, ":include:")) {
		kind = read_include(str_from(inner.p + 9, inner.len - 9), text);
	} else if (str_starts(inner, "|") || str_starts(inner, "/")) {
		kind = inner.p[0] == '|' ? ALIAS_PROGRAM : ALIAS_FILE;
		buf_addstr(text, inner);
	} else {
		kind = read_mailbox(s, s.p[0] == '\\', text);
		/* In angle brackets it could be an address.  Nobody has such a one, and
		 * whoever reads the queue next might take it for what it looks like. */
		if (kind == ALIAS_ADDRESS || kind == ALIAS_LITERAL) {
			char first = text->p[kind == ALIAS_LITERAL];

			kind = first == '|' ? ALIAS_PROGRAM : first == '/' ? ALIAS_FILE : kind;
		}
	}
	buf_free(&plain);
	return kind;
}

/* Cuts the first element off *rest, up to a comma outside quotes and comments. */
static struct str
cut_element(struct str *rest)
{
	struct str element = *rest;
	bool quoted = false;
	size_t comments = 0, i;

	for (i = 0; i < rest->len && (quoted || comments > 0 || rest->p[i] != ','); i++) {
		char c = rest->p[i];

		if (c == '\\')
			i++;
		else if (c == '"' && comments == 0)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			comments++;
		else if (c == ')' && !quoted && comments > 0)
			comments--;
	}
	if (i > rest->len)
		i = rest->len;
	element.len = i;
	i += i < rest->len;
	*rest = str_from(rest->p + i, rest->len - i);
	return element;
}

/* Adds the values of a list that begins in this line; each LF in it is one more. */
static void
read_values(struct str list, unsigned line, struct alias *a)
{
	struct buf flat = { 0 }, text = { 0 };

	while (list.len > 0) {
		struct str element = cut_element(&list), value;
		unsigned begins = line;
		size_t i;

		for (i = 0; i < element.len && strchr(" \t\n", element.p[i]) != NULL && element.p[i] != '\0'; i++)
			begins += element.p[i] == '\n';
		buf_clear(&flat);
		for (size_t j = 0; j < element.len; j++) {
			line += element.p[j] == '\n';
			buf_addc(&flat, element.p[j] == '\n' ? ' ' : element.p[j]);
		}
		value = str_trim(buf_str(&flat));
		if (value.len == 0)
			continue;
		buf_clear(&text);
		a->to = mem_more(a->to, a->n, sizeof *a->to);
		a->to[a->n].kind = read_element(value, &text);
		a->to[a->n].line = begins;
		a->to[a->n++].text = mem_dup(buf_str(&text));
	}
	buf_free(&flat);
	buf_free(&text);
}

/* ---- the file -------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next line without its end; *nothing: it is empty or a comment. */
static bool
next_line(struct str *rest, struct str *line, bool *nothing)
{
	struct str trimmed;

	if (!str_line(rest, line))
		return false;
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	trimmed = str_trim(*line);
	*nothing = trimmed.len == 0 || trimmed.p[0] == '#';
	return true;
}

/* Offset of the colon behind the name, or s.len. */
static size_t
find_colon(struct str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '\\' && quoted)
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == ':' && !quoted)
			return i;
	}
	return s.len;
}

static char *
lower(struct str s)
{
	char *copy = mem_dup(s);

	for (size_t i = 0; i < s.len; i++)
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] - 'A' + 'a');
	return copy;
}

/* Takes "name: values", a logical line that begins in this line of the file. */
static void
take_entry(struct aliases *a, struct str text, unsigned line)
{
	size_t colon = find_colon(text);
	struct alias fresh = { .line = line };
	struct buf spec = { 0 };
	struct str name;
	struct why why;

	if (colon == text.len) {
		note(a, line, "there is no name with a ':' behind it; write: name: address");
	} else if (address_parse_one(str_from(text.p, colon), &spec, &why) != DONE) {
		note(a, line, "%s", why.text);
	} else if (spec.len == 0 || !aliases_is_name(buf_str(&spec), &name)) {
		note(a, line, "%s before the ':'; aliases are for names without a domain",
		    spec.len == 0 ? "there is nobody" : "an address stands");
	} else {
		fresh.name = lower(name);
		read_values(str_from(text.p + colon + 1, text.len - colon - 1), line, &fresh);
		if (fresh.n == 0)
			note(a, line, "%s stands for nobody; write an address behind the ':'",
			    codec_show(name).p);
		for (size_t i = 0; i < fresh.n; i++)
			if (fresh.to[i].kind == ALIAS_WRONG)
				note(a, fresh.to[i].line, "%s", fresh.to[i].text);
		a->v = mem_more(a->v, a->n, sizeof *a->v);
		a->v[a->n++] = fresh;
	}
	buf_free(&spec);
}

static int
compare_entries(const void *x, const void *y)
{
	const struct alias *a = x, *b = y;
	int c = strcmp(a->name, b->name);

	return c != 0 ? c : a->line < b->line ? -1 : 1;
}

static void
sort_entries(struct aliases *a)
{
	size_t kept = 0;

	if (a->n == 0)
		return;
	qsort(a->v, a->n, sizeof *a->v, compare_entries);
	for (size_t i = 1; i < a->n; i++) {
		if (strcmp(a->v[kept].name, a->v[i].name) != 0) {
			a->v[++kept] = a->v[i];
			continue;
		}
		note(a, a->v[i].line, "%s has a line already, which counts: line %u; put all its "
		    "addresses there", codec_show(str_of(a->v[i].name)).p, a->v[kept].line);
		alias_free(&a->v[i]);
	}
	a->n = kept + 1;
}

void
aliases_parse(struct aliases *a, struct str text, const char *label)
{
	struct buf entry = { 0 };       /* the logical line under way, every line end kept */
	unsigned begins = 0, line = 0;
	struct str s;
	bool nothing;

	aliases_free(a);
	a->path = mem_dup(str_of(label));
	while (next_line(&text, &s, &nothing)) {
		line++;
		if (!nothing && !is_blank(s.p[0])) {
			if (begins > 0)
				take_entry(a, buf_str(&entry), begins);
			buf_clear(&entry);
			begins = line;
		} else if (!nothing && begins == 0) {
			note(a, line, "the first line begins with a blank; names begin at the margin");
		}
		if (!nothing)
			buf_addstr(&entry, s);
		buf_addc(&entry, '\n');
	}
	if (begins > 0)
		take_entry(a, buf_str(&entry), begins);
	buf_free(&entry);
	sort_entries(a);
}

void
aliases_parse_list(struct str text, struct alias *list)
{
	unsigned line = 0;
	struct str s;
	bool nothing;

	while (next_line(&text, &s, &nothing)) {
		line++;
		if (!nothing)
			read_values(s, line, list);
	}
}

/* ---- reading ------------------------------------------------------------------------------ */

enum outcome
aliases_load(struct aliases *a, const char *path, struct why *why)
{
	struct buf text = { 0 }, wrong = { 0 };
	struct trusted f;
	enum outcome o;

	aliases_free(a);
	/* Links are followed: many systems keep /etc elsewhere and link to it. */
	if ((o = trusted_open(&f, path, true, &wrong)) == DONE &&
	    (o = trusted_read(&f, &text, ALIASES_MAX, &wrong)) == DONE)
		aliases_parse(a, buf_str(&text), path);
	else
		o = refuse(why, o == LATER ? EX_TEMPFAIL : EX_CONFIG, "the aliases file %s %s", path,
		    buf_c(&wrong));
	trusted_close(&f);
	buf_free(&text);
	buf_free(&wrong);
	return o;
}

/* ---- looking up ---------------------------------------------------------------------------- */

bool
aliases_is_name(struct str spec, struct str *name)
{
	struct str domain = address_domain(spec);

	*name = spec;
	if (!address_has_domain(spec))
		return spec.len > 0;
	if (!str_caseis(domain, "localhost") && !str_caseis(domain, "localhost.localdomain"))
		return false;
	name->len = spec.len - domain.len - 1;
	return name->len > 0;
}

static int
compare_key(const void *key, const void *entry)
{
	const struct alias *a = entry;

	return strcmp(key, a->name);
}

const struct alias *
aliases_line(const struct aliases *a, struct str name)
{
	char *key;
	const struct alias *found;

	if (a->n == 0)
		return NULL;
	key = lower(name);
	found = bsearch(key, a->v, a->n, sizeof *a->v, compare_key);
	free(key);
	return found;
}

const struct alias *
aliases_find(const struct aliases *a, struct str name)
{
	const struct alias *found = aliases_line(a, name);

	return found != NULL ? found : aliases_line(a, STR("default"));
}

bool
aliases_has(const struct aliases *a, struct str name)
{
	return aliases_find(a, name) != NULL;
}
