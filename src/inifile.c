#include "inifile.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

#define FILE_MAX (1024 * 1024)  /* octets; a configuration has a few hundred */
#define PROBLEMS_MAX 100        /* a file that is no ini at all should not fill the memory */

/* What the next indented line means. */
enum after {
	AFTER_OTHER,            /* a mistake: it would become part of the value above */
	AFTER_LIST,
	AFTER_SKIPPED,          /* more of a list that is not looked at */
};

/* The file under way. */
struct inifile {
	struct reading *r;
	const char *path;
	enum whose whose;
	bool open_to_others;            /* its mode lets others read it */
	struct str rest;                /* what has not been looked at */
	struct place here;
	enum section section;
	struct part *part;              /* where its keys go */

	/* The value under way. */
	const struct key *key;
	enum after after;
	bool continued;                 /* it stands on an indented line */
	struct target target;
};

/* Problems. */

void
inifile_note(struct config *c, bool error, struct place at, const char *fmt, va_list ap)
{
	struct buf text = { 0 };

	c->nerrors += error;
	/* Warnings leave room, so that the first error is always told. */
	if (c->nproblems >= (error ? PROBLEMS_MAX : PROBLEMS_MAX / 2))
		return;
	buf_adds(&text, at.label);
	if (at.line > 0)
		buf_addf(&text, ":%u", at.line);
	buf_adds(&text, ": ");
	buf_addv(&text, fmt, ap);
	c->problems = mem_grow(c->problems, c->nproblems + 1, sizeof c->problems[0]);
	c->problems[c->nproblems++] = (struct problem){ error, text.p };
}

static void __attribute__((format(printf, 2, 3)))
complain(struct inifile *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(f->r->c, true, f->here, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
warn(struct inifile *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(f->r->c, false, f->here, fmt, ap);
	va_end(ap);
}

/* The judge of raw lines.  Each judge_... answers what libinih may see: the
 * line, or nothing when it is bad or means nothing. */

static const struct str nothing = { "", 0 };

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where libinih ends a name or a value: at one of stops, or at a ';' behind a
 * blank; s.len if neither is there. */
static size_t
find_end(struct str s, const char *stops)
{
	bool blank = false;

	for (size_t i = 0; i < s.len; i++) {
		if (strchr(stops, s.p[i]) != NULL || (blank && s.p[i] == ';'))
			return i;
		blank = is_blank(s.p[i]);
	}
	return s.len;
}

/* Where people begin a comment: ';' or '#' behind a blank; s.len if nowhere. */
static size_t
find_comment(struct str s)
{
	for (size_t i = 1; i < s.len; i++)
		if (is_blank(s.p[i - 1]) && (s.p[i] == ';' || s.p[i] == '#'))
			return i;
	return s.len;
}

static void
warn_of_unknown_key(struct inifile *f, struct str name)
{
	const char *section = keys_section_name(f->section), *nearest;

	for (enum section i = SECTION_SMARTHOST; i < SECTION_END; i++) {
		const struct key *k = keys_find(i, name);

		if (k != NULL) {
			warn(f, "`%s` is no key of [%s], ignored; it belongs to [%s]", k->name,
			    section, keys_section_name(i));
			return;
		}
	}
	nearest = keys_nearest(f->section, name);
	if (nearest != NULL)
		warn(f, "unknown key in [%s], ignored; did you mean `%s`?", section, nearest);
	else
		warn(f, "unknown key in [%s], ignored", section);
}

static void
warn_of_unknown_section(struct inifile *f, struct str word)
{
	const char *nearest = keys_nearest_section(word);

	if (nearest != NULL && strcmp(nearest, "user") == 0)
		warn(f, "unknown section, ignored with its keys; did you mean [user NAME]?");
	else if (nearest != NULL)
		warn(f, "unknown section, ignored with its keys; did you mean [%s]?", nearest);
	else
		warn(f, "unknown section, ignored with its keys");
}

static void
enter_part(struct inifile *f, struct part *p)
{
	p->label = f->here.label;
	f->part = p;
	f->target.c = p->values;
}

/* The part of that name, made if it is new: what was said of the same one before is
 * added to. */
static struct part *
part_of(struct inifile *f, struct part **parts, unsigned *n, struct str name)
{
	struct part *p;

	for (unsigned i = 0; i < *n; i++)
		if (str_is(name, (*parts)[i].name))
			return &(*parts)[i];
	*parts = mem_grow(*parts, *n + 1, sizeof **parts);
	p = &(*parts)[(*n)++];
	*p = (struct part){ .name = mem_dup(name), .at = f->here, .values = mem_alloc(sizeof *p->values) };
	return p;
}

static bool
enter_account(struct inifile *f, struct str word)
{
	struct reading *r = f->r;
	unsigned before = r->naccounts;
	char *name = NULL;
	struct part *p;

	if (!keys_read_account(word, &name)) {
		complain(f, "an account's name is made of letters, digits, `-`, `_` and `.`; write "
		    "[smarthost work], for example");
	} else if (strcmp(name, "default") == 0) {
		complain(f, "[smarthost] alone is the account `default`; give this one another name");
	} else {
		p = part_of(f, &r->accounts, &r->naccounts, str_of(name));
		if (r->naccounts > before) {
			if (r->naccounts == ACCOUNTS_MAX)
				complain(f, "there are over %d accounts with this one; take one out", ACCOUNTS_MAX);
			keys_reset_account(p->values);
			keys_put_text(&p->values->smarthost.name, str_of(name));
		}
		enter_part(f, p);
		free(name);
		return true;
	}
	free(name);
	return false;
}

/* Where the keys of this section go, and whether it counts in this file at all. */
static bool
enter_section(struct inifile *f, struct str name)
{
	enter_part(f, &f->r->all);
	if (f->section == SECTION_SMARTHOST && name.len > 0)
		return enter_account(f, name);
	if (f->section != SECTION_SERVICE && f->section != SECTION_USER)
		return true;
	if (f->whose == WHOSE_USER) {
		warn(f, "this section counts only in the system's file, ignored with its keys");
		return false;
	}
	if (f->section == SECTION_SERVICE)
		return true;
	if (name.len == 0) {
		warn(f, "this section names nobody, ignored with its keys; write [user NAME]");
		return false;
	}
	enter_part(f, part_of(f, &f->r->users, &f->r->nusers, name));
	return true;
}

static struct str
judge_section(struct inifile *f, struct str text)
{
	size_t end = find_end(text, "]"), tail = end + 1;
	struct str name, after, whose;

	f->section = SECTION_NOWHERE;
	f->after = AFTER_OTHER;
	if (end == text.len || text.p[end] != ']') {
		complain(f, "no ']' behind the section's name; write [smarthost], for example");
		return nothing;
	}
	name = str_trim(str_from(text.p + 1, end - 1));
	after = str_trim(str_from(text.p + tail, text.len - tail));
	if (name.len > KEYS_NAME_MAX) {
		complain(f, "the section's name is too long, 48 octets is the limit");
		return nothing;
	}
	if (after.len > 0 && after.p[0] != ';' && after.p[0] != '#') {
		complain(f, "nothing may stand behind ']'; give each key a line of its own");
		return nothing;
	}
	f->section = keys_find_section(name, &whose);
	if (f->section == SECTION_NOWHERE)
		warn_of_unknown_section(f, str_word(&name));
	else if (enter_section(f, whose))
		return text;
	f->section = SECTION_NOWHERE;
	return nothing;
}

/* The sources of a secret are one thing: naming one in a file puts away
 * whatever the file below it named. */
static void
claim_secret(struct inifile *f)
{
	struct part *p = f->part;

	if (p->claimed)
		return;
	p->claimed = true;
	p->values->smarthost.has_password = false;
	for (enum key_id id = KEY_PASSWORD; id <= KEY_TOKEN_COMMAND; id++) {
		keys_reset(p->values, id);
		p->given[id] = (struct place){ 0 };
	}
}

static bool
password_may_stand_here(struct inifile *f)
{
	const char *quote;

	if (!f->open_to_others)
		return true;
	if (f->whose != WHOSE_USER) {
		complain(f, "`password` may not stand in the system's file, which everybody reads; "
		    "use password-file");
		return false;
	}
	quote = f->path[strspn(f->path, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789/._-+@")] != '\0' ? "'" : "";
	complain(f, "this file has a password and others can read it; type: chmod 600 %s%s%s",
	    quote, f->here.label, quote);
	return false;
}

static struct str
judge_value(struct inifile *f, struct str line, struct str value)
{
	const struct key *k = f->key;
	bool empty = str_trim(str_from(value.p, find_end(value, ""))).len == 0;
	size_t id = (size_t)(k - keys), comment = find_comment(value);

	if (f->part->lines[id] > 0)
		warn(f, "`%s` was set in line %u already; this one counts", k->name,
		    f->part->lines[id]);
	f->part->lines[id] = f->here.line;
	if (k->uncut != NULL && comment < value.len) {
		complain(f, "the value of `%s` would be cut at its ` ;` or ` #`; %s", k->name,
		    k->uncut);
		empty = false;
		line = nothing;
	} else if (comment < value.len && value.p[comment] == '#') {
		complain(f, "a comment behind a value begins with `;`, and `#` becomes part of it");
		line = nothing;
	}
	if (!empty && id >= KEY_PASSWORD && id <= KEY_TOKEN_COMMAND)
		claim_secret(f);
	f->part->given[id] = empty ? (struct place){ 0 } : f->here;
	if (id == KEY_PASSWORD) {
		if (!empty && !password_may_stand_here(f))
			return nothing;
		/* That it is there is all that others may know. */
		if (line.len > 0)
			f->part->values->smarthost.has_password = !empty;
		if (!f->r->with_secrets)
			return nothing;
	}
	if (k->list)
		f->after = line.len > 0 ? AFTER_LIST : AFTER_SKIPPED;
	return line;
}

/* A password has a say even where it is not looked at: everybody who can read the
 * file can read that too. */
static void
guard_password(struct inifile *f, struct str line)
{
	size_t end = find_end(line, "=");

	if (end < line.len && str_is(str_trim(str_from(line.p, end)), "password") &&
	    str_trim(str_from(line.p + end + 1, line.len - end - 1)).len > 0)
		password_may_stand_here(f);
}

static struct str
judge_key(struct inifile *f, struct str line)
{
	size_t end = find_end(line, "=:");
	struct str name = str_trim(str_from(line.p, end));
	const struct later_key *later_key;

	f->after = AFTER_OTHER;
	if (end == line.len || line.p[end] != '=') {
		complain(f, "no '=' in this line; write key = value, a [section], or begin a "
		    "comment with #");
		return nothing;
	}
	if (name.len == 0 || name.len > KEYS_NAME_MAX) {
		complain(f, name.len == 0 ? "no key before the '='; write key = value" :
		    "the key is too long, 48 octets is the limit");
		return nothing;
	}
	if (f->section == SECTION_TOP) {
		complain(f, "a key before the first section; begin the file with [smarthost]");
		return nothing;
	}
	f->key = keys_find(f->section, name);
	if (f->key != NULL)
		return judge_value(f, line, str_from(line.p + end + 1, line.len - end - 1));
	later_key = keys_find_later(f->section, name);
	if (later_key != NULL) {
		warn(f, "`%s` is not yet supported, ignored", later_key->name);
		f->after = later_key->list ? AFTER_SKIPPED : AFTER_OTHER;
	} else {
		warn_of_unknown_key(f, name);
		guard_password(f, line);
	}
	return nothing;
}

/* Does this indented line read like a key of its own? */
static bool
is_key_line(const struct inifile *f, struct str text)
{
	size_t end = find_end(text, "=");
	struct str name = str_trim(str_from(text.p, end));

	return end < text.len && (keys_find(f->section, name) != NULL ||
	    keys_find_later(f->section, name) != NULL);
}

static struct str
judge_indented(struct inifile *f, struct str line)
{
	struct place *given;

	if (f->after == AFTER_OTHER || is_key_line(f, str_trim(line))) {
		complain(f, "an indented line would continue the value above it, which only a list "
		    "may; remove the blanks before it");
		return nothing;
	}
	if (f->after == AFTER_SKIPPED)
		return nothing;
	f->continued = true;
	given = &f->part->given[f->key - keys];
	if (given->line == 0)
		*given = f->here;
	/* libinih cuts comments off a first line only. */
	return str_from(line.p, find_end(line, ""));
}

/* A line in a section that is not looked at. */
static struct str
judge_ignored(struct inifile *f, struct str line)
{
	/* Or all that follows would be ignored with it. */
	if (str_starts(str_trim(line), "["))
		complain(f, "an indented section; remove the blanks before its bracket");
	guard_password(f, line);
	return nothing;
}

static struct str
judge(struct inifile *f, struct str line, size_t limit)
{
	struct str text = str_trim(line);

	f->continued = false;
	if (str_has_control(line)) {
		complain(f, "a control octet or NUL in this line; write the file as plain text");
		f->after = AFTER_OTHER;
		return nothing;
	}
	if (text.len == 0 || text.p[0] == ';' || text.p[0] == '#')
		return nothing;
	if (line.len > limit) {
		complain(f, "this line is too long, %zu octets is the limit; shorten it, or "
		    "continue a list on an indented line", limit);
		f->after = AFTER_OTHER;
		return nothing;
	}
	if (text.p[0] == '[' && !is_blank(line.p[0]))
		return judge_section(f, text);
	if (f->section == SECTION_NOWHERE)
		return judge_ignored(f, line);
	if (is_blank(line.p[0]))
		return judge_indented(f, line);
	return judge_key(f, line);
}

/* The reader that libinih calls.  It wipes libinih's line before each use and
 * at the end: a password may have stood there. */
static char *
hand_line(char *room, int size, void *stream)
{
	struct inifile *f = stream;
	struct str line;

	explicit_bzero(room, (size_t)size);
	if (!str_line(&f->rest, &line))
		return NULL;
	f->here.line++;
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	/* Room for the line end and the NUL. */
	line = judge(f, line, (size_t)size - 2);
	memcpy(room, line.p, line.len);
	room[line.len] = '\n';
	return room;
}

/* The value has not its row's form. */
static void
complain_of_form(struct inifile *f, const struct key *k, struct str value)
{
	if (str_starts(value, "~/") && strstr(k->form, "~/") != NULL)
		complain(f, "%s begins with ~/, and nobody's home is meant here; write an "
		    "absolute path", k->name);
	else
		complain(f, "%s must be %s", k->name, k->form);
}

static int
take_value(void *user, const char *section, const char *name, const char *value)
{
	struct inifile *f = user;
	const struct key *k = keys_find(f->section, str_of(name));

	(void)section;
	if (k != NULL && !keys_take(&f->target, k, str_trim(str_of(value)), f->continued))
		complain_of_form(f, k, str_trim(str_of(value)));
	return 1;
}

/* Files. */

/* The file did not open. */
static enum found
explain_absence(struct inifile *f, int error)
{
	struct stat st;

	if (error == EACCES && f->whose != WHOSE_USER)
		return DENIED;
	/* Whose home is closed to them has no file there. */
	if (error == EACCES && lstat(f->path, &st) < 0 && errno == EACCES)
		return ABSENT;
	if (error != ENOENT && error != ENOTDIR) {
		complain(f, "cannot be read: %s", strerror(error));
		f->r->unread = true;
		return READ;
	}
	/* Whoever made this link means to have a configuration of their own. */
	if (lstat(f->path, &st) == 0) {
		complain(f, "is a symbolic link to a file that is not there");
		f->r->unread = true;
		return READ;
	}
	return ABSENT;
}

static bool
is_good_file(struct inifile *f, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		complain(f, "is not a regular file; the configuration must be one");
	else if (st->st_uid != geteuid() && st->st_uid != 0)
		complain(f, "belongs to uid %u; it must belong to uid %u or to root (see chown)",
		    (unsigned)st->st_uid, (unsigned)geteuid());
	else if ((st->st_mode & S_IWOTH) != 0)
		complain(f, "can be changed by every user; type: chmod o-w %s", f->here.label);
	else if (st->st_size > FILE_MAX)
		complain(f, "is over 1 MiB, as no configuration is; name the right file");
	else
		return true;
	return false;
}

/* False where the octets could not be had. */
static bool
parse(struct inifile *f, int fd, size_t size)
{
	struct buf text = { 0 };
	bool had = false;
	int bad;

	/* All at once, and not an octet more: growing would leave a copy of a
	 * password behind. */
	buf_reserve(&text, size + 1);
	if (file_read_all(fd, &text, size) < 0) {
		complain(f, "cannot be read: %s", errno == EFBIG ?
		    "it grew meanwhile; try again" : strerror(errno));
		goto out;
	}
	had = true;
	f->rest = buf_str(&text);
	if (str_starts(f->rest, "\xef\xbb\xbf"))
		f->rest = str_from(f->rest.p + 3, f->rest.len - 3);
	bad = ini_parse_stream(hand_line, f, take_value, f);
	if (bad != 0)
		complain(f, "line %d is not understood; write key = value", bad);
out:
	buf_wipe(&text);
	return had;
}

static char *
dup_masked(const char *path)
{
	struct buf masked = { 0 };
	char *copy;

	codec_mask(&masked, str_of(path));
	copy = mem_dup(buf_str(&masked));
	buf_free(&masked);
	return copy;
}

static enum found
read_file(struct inifile *f)
{
	struct config *c = f->r->c;
	struct stat st;
	int fd;

	/* Links are followed: many keep their files elsewhere and link them here.
	 * What was opened is judged, so nothing can be exchanged in between. */
	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return explain_absence(f, errno);
	if (fstat(fd, &st) < 0) {
		complain(f, "cannot be read: %s", strerror(errno));
		f->r->unread = true;
		goto out;
	}
	c->files[c->nfiles++] = (struct config_file){ mem_dup(str_of(f->path)), st.st_mtim };
	f->open_to_others = (st.st_mode & 077) != 0;
	if (is_good_file(f, &st))
		f->r->unread = !parse(f, fd, (size_t)st.st_size) || f->r->unread;
	else
		f->r->unread = true;
out:
	close(fd);
	return READ;
}

/* Of another file that was read before. */
static void
forget_lines(struct part *p)
{
	memset(p->lines, 0, sizeof p->lines);
	p->claimed = false;
}

enum found
inifile_read(struct reading *r, const char *path, enum whose whose)
{
	struct inifile f = {
		.r = r, .path = path, .whose = whose, .section = SECTION_TOP,
		.target = { .c = r->c, .home = r->home },
	};
	enum found found;

	if (path == NULL)
		return ABSENT;
	r->all.values = r->c;
	forget_lines(&r->all);
	for (unsigned i = 0; i < r->naccounts; i++)
		forget_lines(&r->accounts[i]);
	for (unsigned i = 0; i < r->nusers; i++)
		forget_lines(&r->users[i]);
	f.here.label = r->labels[r->nlabels++] = dup_masked(path);
	found = read_file(&f);
	if (found == READ)
		r->label = f.here.label;
	return found;
}

void
inifile_forget_part(struct part *p)
{
	free(p->name);
	if (p->values != NULL)
		config_free(p->values);
	free(p->values);
	*p = (struct part){ 0 };
}

void
inifile_forget(struct reading *r)
{
	for (unsigned i = 0; i < r->nlabels; i++)
		free(r->labels[i]);
	for (unsigned i = 0; i < r->naccounts; i++)
		inifile_forget_part(&r->accounts[i]);
	for (unsigned i = 0; i < r->nusers; i++)
		inifile_forget_part(&r->users[i]);
	free(r->accounts);
	free(r->users);
	*r = (struct reading){ 0 };
}
