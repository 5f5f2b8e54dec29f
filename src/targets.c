#include "targets.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "address.h"
#include "codec.h"
#include "trusted.h"

/* Where something stands. */
struct place {
	const char *path;
	unsigned line;
};

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
	struct targets *t;
	struct place refused_at;
	struct why *why;
};

void
targets_free(struct targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	*t = (struct targets){ 0 };
}

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
	if (w->t->n == TARGETS_MAX)
		return refuse_at(w, at, EX_DATAERR, "over %d addresses stand behind one name",
		    TARGETS_MAX);
	w->t->v = mem_more(w->t->v, w->t->n, sizeof *w->t->v);
	w->t->v[w->t->n++] = mem_dup(spec);
	return DONE;
}

static enum outcome
step_down(struct walk *w, struct place at, const char *name)
{
	if (w->depth == TARGETS_DEPTH)
		return refuse_at(w, at, EX_DATAERR, "%s stands behind %d other names, and no more may "
		    "be in a row", codec_show(str_of(name)).p, TARGETS_DEPTH);
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
		    codec_show(str_of(entry->name)).p);
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
	entry = aliases_line(w->a, name);
	/* Whom the default names is not asked about again, nor is one who names himself. */
	if (entry == NULL) {
		entry = aliases_line(w->a, STR("default"));
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
	w->files = mem_more(w->files, w->nfiles, sizeof *w->files);
	w->files[w->nfiles++] = (struct opened){ f->st.st_dev, f->st.st_ino, ON_THE_WAY };
	if ((o = trusted_read(f, &text, ALIASES_MAX, &wrong)) != DONE) {
		o = refuse_at(w, at, o == LATER ? EX_TEMPFAIL : EX_DATAERR, "%s %s", path, buf_c(&wrong));
	} else {
		aliases_parse_list(buf_str(&text), &list);
		o = walk_values(w, path, &list, owner);
	}
	w->files[i].mark = FINISHED;
	buf_free(&text);
	buf_free(&wrong);
	alias_free(&list);
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
		    "name an address instead of %s", codec_show(str_of(v->text)).p);
	case ALIAS_FILE:
		return refuse_at(w, at, EX_DATAERR, "mail would go to a file, which is not done here; "
		    "name an address instead of %s", codec_show(str_of(v->text)).p);
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
drop_repeated(struct targets *t)
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
walk_from(struct walk *w, const struct alias *entry, struct targets *t, struct why *why)
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
		    codec_show(str_of(entry->name)).p);
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
targets_find(const struct aliases *a, struct str name, struct targets *t, struct why *why)
{
	const struct alias *entry = aliases_find(a, name);
	struct walk w;
	enum outcome o;

	*t = (struct targets){ 0 };
	if (entry == NULL) {
		t->v = mem_more(NULL, 0, sizeof *t->v);
		t->v[t->n++] = mem_dup(name);
		return DONE;
	}
	begin_walk(&w, a);
	o = walk_from(&w, entry, t, why);
	end_walk(&w);
	return o;
}

void
targets_check(struct aliases *a)
{
	struct walk w;
	struct why why;

	begin_walk(&w, a);
	for (size_t i = 0; i < a->n && a->nproblems < ALIASES_PROBLEMS_MAX; i++) {
		struct targets t = { 0 };

		if (walk_from(&w, &a->v[i], &t, &why) != DONE)
			/* What is wrong in a file that is included is told with its line here. */
			aliases_note(a, w.refused_at.path == a->path ? w.refused_at.line : a->v[i].line,
			    why.text);
		targets_free(&t);
	}
	end_walk(&w);
}
