#include "aliases.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "address.h"
#include "codec.h"
#include "trusted.h"

#define SHOWN_MAX 80            /* octets of a name in a message */

/* Where something stands. */
struct place {
	const char *path;
	unsigned line;
};

struct shown {
	char p[SHOWN_MAX];
};

static struct shown
show(struct str s)
{
	struct shown shown;

	codec_mask_to(shown.p, sizeof shown.p, s);
	return shown;
}

static void
free_alias(struct alias *a)
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
		free_alias(&a->v[i]);
	for (size_t i = 0; i < a->nproblems; i++)
		free(a->problems[i].text);
	free(a->v);
	free(a->path);
	free(a->problems);
	*a = (struct aliases){ 0 };
}

void
alias_targets_free(struct alias_targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	*t = (struct alias_targets){ 0 };
}

/* Room for one more behind n: always the next power of two, so the count tells it. */
static void *
grow(void *v, size_t n, size_t size)
{
	return (n & (n - 1)) == 0 ? mem_grow(v, n > 0 ? n * 2 : 1, size) : v;
}

static void
note_text(struct aliases *a, unsigned line, const char *text)
{
	struct buf masked = { 0 };
	size_t i = a->nproblems;

	for (size_t j = 0; j < a->nproblems; j++)
		if (strcmp(a->problems[j].text, text) == 0)
			return;
	if (a->nproblems == ALIASES_PROBLEMS_MAX)
		return;
	codec_mask(&masked, str_of(text));
	a->problems = grow(a->problems, a->nproblems++, sizeof *a->problems);
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
	note_text(a, line, buf_c(&text));
	buf_free(&text);
}

/* ---- values ------------------------------------------------------------------------- */

static bool
has_control(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

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

	if (has_control(s))
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
		a->to = grow(a->to, a->n, sizeof *a->to);
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
			    show(name).p);
		for (size_t i = 0; i < fresh.n; i++)
			if (fresh.to[i].kind == ALIAS_WRONG)
				note(a, fresh.to[i].line, "%s", fresh.to[i].text);
		a->v = grow(a->v, a->n, sizeof *a->v);
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
		    "addresses there", show(str_of(a->v[i].name)).p, a->v[kept].line);
		free_alias(&a->v[i]);
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

/* Reads a list, as :include: has it: lines of values. */
static void
parse_list(struct str text, struct alias *list)
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

static const struct alias *
find(const struct aliases *a, struct str name)
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
	const struct alias *found = find(a, name);

	return found != NULL ? found : find(a, STR("default"));
}

bool
aliases_has(const struct aliases *a, struct str name)
{
	return aliases_find(a, name) != NULL;
}

/* ---- what a name stands for ------------------------------------------------------------------ */

enum mark {
	UNSEEN,
	ON_THE_WAY,
	FINISHED,
};

struct opened {
	dev_t dev;
	ino_t ino;
	enum mark mark;
};

/* Everything of one expansion.  What is finished is not walked again, so that
 * lists of lists cost no more than the file is long. */
struct walk {
	const struct aliases *a;
	enum mark *marks;       /* by index of a->v */
	size_t *touched;        /* indices whose mark is set */
	size_t ntouched;
	struct opened *files;
	size_t nfiles;
	unsigned depth;
	struct alias_targets *t;
	struct place refused_at;
	struct why *why;
};

static enum outcome __attribute__((format(printf, 4, 5)))
refuse_at(struct walk *w, struct place at, int exit, const char *fmt, ...)
{
	struct buf text = { 0 };
	enum outcome o;
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	o = refuse(w->why, exit, "%s:%u: %s", at.path, at.line, buf_c(&text));
	w->refused_at = at;
	buf_free(&text);
	return o;
}

static enum outcome
add_target(struct walk *w, struct place at, struct str spec)
{
	if (w->t->n == ALIASES_EXPANSION)
		return refuse_at(w, at, EX_DATAERR, "over %d addresses stand behind one name",
		    ALIASES_EXPANSION);
	w->t->v = grow(w->t->v, w->t->n, sizeof *w->t->v);
	w->t->v[w->t->n++] = mem_dup(spec);
	return DONE;
}

static enum outcome
step_down(struct walk *w, struct place at, const char *name)
{
	if (w->depth == ALIASES_DEPTH)
		return refuse_at(w, at, EX_DATAERR, "%s stands behind %d other names, and no more may "
		    "be in a row", show(str_of(name)).p, ALIASES_DEPTH);
	w->depth++;
	return DONE;
}

static enum outcome walk_values(struct walk *w, const char *path, const struct alias *values,
    const struct alias *owner);

static enum outcome
walk_entry(struct walk *w, struct place at, const struct alias *entry)
{
	size_t i = (size_t)(entry - w->a->v);
	enum outcome o;

	if (w->marks[i] == FINISHED)
		return DONE;
	if (w->marks[i] == ON_THE_WAY)
		return refuse_at(w, at, EX_DATAERR, "%s leads back to itself; take it off this line",
		    show(str_of(entry->name)).p);
	if ((o = step_down(w, at, entry->name)) != DONE)
		return o;
	w->touched[w->ntouched++] = i;
	w->marks[i] = ON_THE_WAY;
	o = walk_values(w, w->a->path, entry, entry);
	w->marks[i] = FINISHED;
	w->depth--;
	return o;
}

static enum outcome
walk_name(struct walk *w, struct place at, struct str spec, const struct alias *owner)
{
	const struct alias *entry;
	struct str name;

	if (!aliases_is_name(spec, &name))
		return add_target(w, at, spec);
	entry = find(w->a, name);
	/* Whom the default names is not asked about again, nor is one who names himself. */
	if (entry == NULL) {
		entry = find(w->a, STR("default"));
		if (entry != NULL && w->marks[entry - w->a->v] == ON_THE_WAY)
			entry = NULL;
	}
	return entry == NULL || entry == owner ? add_target(w, at, name) : walk_entry(w, at, entry);
}

static enum outcome
walk_file(struct walk *w, struct place at, const char *path, const struct alias *owner,
    struct trusted *f)
{
	struct alias list = { 0 };
	struct buf text = { 0 }, wrong = { 0 };
	size_t i = 0;
	enum outcome o;

	while (i < w->nfiles && (w->files[i].dev != f->st.st_dev || w->files[i].ino != f->st.st_ino))
		i++;
	if (i < w->nfiles)
		return w->files[i].mark == FINISHED ? DONE :
		    refuse_at(w, at, EX_DATAERR, "%s includes itself; take that off this line", path);
	w->files = grow(w->files, w->nfiles, sizeof *w->files);
	w->files[w->nfiles++] = (struct opened){ f->st.st_dev, f->st.st_ino, ON_THE_WAY };
	if ((o = trusted_read(f, &text, ALIASES_MAX, &wrong)) != DONE) {
		o = refuse_at(w, at, o == LATER ? EX_TEMPFAIL : EX_DATAERR, "%s %s", path, buf_c(&wrong));
	} else {
		parse_list(buf_str(&text), &list);
		o = walk_values(w, path, &list, owner);
	}
	w->files[i].mark = FINISHED;
	buf_free(&text);
	buf_free(&wrong);
	free_alias(&list);
	return o;
}

static enum outcome
walk_include(struct walk *w, struct place at, const char *path, const struct alias *owner)
{
	struct buf wrong = { 0 };
	struct trusted f;
	enum outcome o;

	if ((o = step_down(w, at, path)) != DONE)
		return o;
	/* No links: whoever may exchange one may name any file of root's. */
	if ((o = trusted_open(&f, path, false, &wrong)) == DONE)
		o = walk_file(w, at, path, owner, &f);
	else
		o = refuse_at(w, at, o == LATER ? EX_TEMPFAIL : EX_DATAERR, "%s %s", path, buf_c(&wrong));
	trusted_close(&f);
	w->depth--;
	buf_free(&wrong);
	return o;
}

static enum outcome
walk_value(struct walk *w, struct place at, const struct alias_value *v, const struct alias *owner)
{
	switch (v->kind) {
	case ALIAS_ADDRESS:
		return walk_name(w, at, str_of(v->text), owner);
	case ALIAS_LITERAL:
		return add_target(w, at, str_of(v->text + 1));
	case ALIAS_INCLUDE:
		return walk_include(w, at, v->text, owner);
	case ALIAS_PROGRAM:
		return refuse_at(w, at, EX_DATAERR, "mail would go to a program, which is not done here; "
		    "name an address instead of %s", show(str_of(v->text)).p);
	case ALIAS_FILE:
		return refuse_at(w, at, EX_DATAERR, "mail would go to a file, which is not done here; "
		    "name an address instead of %s", show(str_of(v->text)).p);
	case ALIAS_WRONG:
		break;
	}
	return refuse_at(w, at, EX_DATAERR, "%s", v->text);
}

static enum outcome
walk_values(struct walk *w, const char *path, const struct alias *values, const struct alias *owner)
{
	enum outcome o = DONE;

	for (size_t i = 0; o == DONE && i < values->n; i++)
		o = walk_value(w, (struct place){ path, values->to[i].line }, &values->to[i], owner);
	return o;
}

static void
drop_repeated(struct alias_targets *t)
{
	struct str *all = mem_grow(NULL, t->n + 1, sizeof *all);
	bool *repeated = mem_alloc(t->n + 1);
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++)
		all[i] = str_of(t->v[i]);
	address_find_repeated(all, t->n, repeated);
	for (size_t i = 0; i < t->n; i++) {
		if (repeated[i])
			free(t->v[i]);
		else
			t->v[kept++] = t->v[i];
	}
	t->n = kept;
	free(all);
	free(repeated);
}

/* Walks from one entry, with a walk whose tables may have served before. */
static enum outcome
walk_from(struct walk *w, const struct alias *entry, struct alias_targets *t, struct why *why)
{
	struct place at = { w->a->path, entry->line };
	enum outcome o;

	w->t = t;
	w->why = why;
	w->depth = 0;
	w->nfiles = 0;
	o = walk_entry(w, at, entry);
	while (w->ntouched > 0)
		w->marks[w->touched[--w->ntouched]] = UNSEEN;
	if (o == DONE && t->n == 0)
		o = refuse_at(w, at, EX_DATAERR, "%s stands for nobody; write an address behind the ':'",
		    show(str_of(entry->name)).p);
	drop_repeated(t);
	return o;
}

static void
begin_walk(struct walk *w, const struct aliases *a)
{
	*w = (struct walk){ .a = a };
	w->marks = mem_alloc((a->n + 1) * sizeof *w->marks);
	w->touched = mem_grow(NULL, a->n + 1, sizeof *w->touched);
}

static void
end_walk(struct walk *w)
{
	free(w->marks);
	free(w->touched);
	free(w->files);
}

enum outcome
aliases_expand(const struct aliases *a, struct str name, struct alias_targets *t, struct why *why)
{
	const struct alias *entry = aliases_find(a, name);
	struct walk w;
	enum outcome o;

	*t = (struct alias_targets){ 0 };
	if (entry == NULL) {
		t->v = grow(NULL, 0, sizeof *t->v);
		t->v[t->n++] = mem_dup(name);
		return DONE;
	}
	begin_walk(&w, a);
	o = walk_from(&w, entry, t, why);
	end_walk(&w);
	return o;
}

void
aliases_check(struct aliases *a)
{
	struct walk w;
	struct why why;

	begin_walk(&w, a);
	for (size_t i = 0; i < a->n && a->nproblems < ALIASES_PROBLEMS_MAX; i++) {
		struct alias_targets t = { 0 };

		if (walk_from(&w, &a->v[i], &t, &why) != DONE)
			/* What is wrong in a file that is included is told with its line here. */
			note_text(a, w.refused_at.path == a->path ? w.refused_at.line : a->v[i].line,
			    why.text);
		alias_targets_free(&t);
	}
	end_walk(&w);
}
