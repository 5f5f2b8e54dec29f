#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounts.h"
#include "address.h"
#include "codec.h"
#include "host.h"
#include "inifile.h"
#include "keys.h"
#include "person.h"
#include "users.h"

#ifndef SUBPOST_SYSCONFDIR
#define SUBPOST_SYSCONFDIR "/etc/subpost"
#endif

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* An error found when all was read: told where that key was set, else of the
 * topmost file. */
static void __attribute__((format(printf, 3, 4)))
complain_of(struct reading *r, enum key_id id, const char *fmt, ...)
{
	struct place whole = { r->label, 0 };
	va_list ap;

	va_start(ap, fmt);
	inifile_note(r->c, true, r->all.given[id].line > 0 ? r->all.given[id] : whole, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
warn_at(struct config *c, struct place at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(c, false, at, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
warn(struct reading *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(r->c, false, (struct place){ r->label, 0 }, fmt, ap);
	va_end(ap);
}

/* What follows when all was read. */

static bool
is_set(const struct reading *r, enum key_id id)
{
	return r->all.given[id].line > 0;
}

static void
settle_domain(struct reading *r, struct str from)
{
	struct config *c = r->c;
	char name[256] = "";

	if (c->domain[0] != '\0')
		return;
	if (from.len > 0) {
		keys_put_text(&c->domain, address_domain(from));
		return;
	}
	if (gethostname(name, sizeof name - 1) < 0 || !host_is_domain(str_of(name), false))
		keys_put_text(&c->domain, STR("localhost"));
	else
		keys_put_text(&c->domain, str_of(name));
	if (!host_is_full_name(str_of(c->domain)))
		warn(r, "bare names are completed with the name of this machine, which is no full "
		    "domain; set domain in [identity], or from in [smarthost]");
}

/* The address that an account's own keys give it; appended, or nothing is. */
static void
find_from(const struct smarthost *s, struct buf *from)
{
	struct why why = { 0 };

	if (s->from[0] != '\0')
		buf_adds(from, s->from);
	else if (address_parse_one(str_of(s->user), from, &why) != DONE ||
	    !str_is(buf_str(from), s->user) || !address_has_domain(buf_str(from)))
		buf_clear(from);
}

/* The addresses of the accounts and the domain of bare names.  The password file is
 * asked only when nothing else tells: it may be a directory far away. */
static void
settle_identity(struct reading *r)
{
	struct config *c = r->c;
	struct buf from = { 0 };
	struct person p;

	find_from(&c->smarthost, &from);
	settle_domain(r, buf_str(&from));
	if (from.len == 0) {
		if (person_by_uid(geteuid(), &p))
			buf_addf(&from, "%s@%s", p.login, c->domain);
		person_free(&p);
		c->smarthost.from_is_login = true;
		if (from.len == 0 || !address_is_sendable(buf_str(&from)))
			complain_of(r, KEY_FROM, "no address to send from, and uid %u has no login "
			    "name; set from in [smarthost]", (unsigned)geteuid());
	}
	keys_put_text(&c->smarthost.from, buf_str(&from));
	for (unsigned i = 0; i < c->nmore; i++) {
		struct smarthost *s = &c->more[i];

		buf_clear(&from);
		find_from(s, &from);
		s->from_is_login = from.len == 0 && c->smarthost.from_is_login;
		keys_put_text(&s->from, from.len > 0 ? buf_str(&from) : str_of(c->smarthost.from));
	}
	buf_free(&from);
}

/* An XDG directory counts when it is absolute and not another user's (sudo
 * keeps the environment where it is told to). */
static bool
add_xdg(struct buf *out, const char *variable, const char *home, const char *below)
{
	const char *dir = secure_getenv(variable);
	struct stat st;

	if (dir != NULL && dir[0] == '/' &&
	    (stat(dir, &st) < 0 || st.st_uid == geteuid() || st.st_uid == 0)) {
		buf_adds(out, dir);
		return true;
	}
	if (home == NULL)
		return false;
	buf_addf(out, "%s%s", home, below);
	return true;
}

static void
settle_directory(struct reading *r)
{
	struct buf path = { 0 };

	if (r->c->directory[0] != '\0')
		return;
	if (add_xdg(&path, "XDG_STATE_HOME", r->home, "/.local/state")) {
		buf_adds(&path, "/subpost");
		keys_put_text(&r->c->directory, buf_str(&path));
	} else {
		complain_of(r, KEY_DIRECTORY,
		    "no home directory for the queue; set directory in [queue]");
	}
	buf_free(&path);
}

/* The answers. */

static enum outcome
refuse_absence(const char *path, const char *secret, struct why *why)
{
	return refuse(why, EX_CONFIG, "no configuration: write %s with: [smarthost] / "
	    "host = smtp.example.com / user = me@example.com / %s", codec_show(str_of(path)).p, secret);
}

static enum outcome
refuse_stranger(const char *system_path, const char *what, int error, struct why *why)
{
	return refuse(why, EX_TEMPFAIL, "%s is the only configuration for uid %u, and %s cannot be "
	    "read (%s): ask the administrator, or write your own ~/.config/subpost/subpost.ini",
	    codec_show(str_of(system_path)).p, (unsigned)geteuid(), what, strerror(error));
}

/* The secret is the service's: whoever this is, is to go through it. */
static enum outcome
refuse_secret(const char *system_path, int error, struct why *why)
{
	if (error != EACCES)
		return refuse_stranger(system_path, "its password-file", error, why);
	return refuse(why, EX_TEMPFAIL, "%s is the only configuration for uid %u, and its password-file "
	    "is not for that uid: start the service (subpostd --service), or write your own "
	    "~/.config/subpost/subpost.ini", codec_show(str_of(system_path)).p, (unsigned)geteuid());
}

static enum outcome
refuse_errors(const struct config *c, struct why *why)
{
	unsigned i = 0;

	while (!c->problems[i].error)
		i++;
	if (c->nerrors == 1)
		return refuse(why, EX_CONFIG, "%s", c->problems[i].text);
	return refuse(why, EX_CONFIG, "%s (and %u more; run `subpost check`)", c->problems[i].text,
	    c->nerrors - 1);
}

/* May this caller read what the account needs, and would the courier believe it
 * (secret.h)?  Asked, and not tried: the face must never open a secret. */
static bool
secret_is_readable(const struct smarthost *s)
{
	struct stat st;
	bool trusted;

	if (strcmp(s->auth, "none") == 0 || s->password_file[0] == '\0')
		return true;
	if (stat(s->password_file, &st) < 0 ||
	    faccessat(AT_FDCWD, s->password_file, R_OK, AT_EACCESS) < 0)
		return false;
	trusted = person_is_trusted(st.st_uid);
	errno = EACCES;
	return trusted;
}

static bool
secrets_are_readable(const struct config *c)
{
	for (unsigned i = 0; i < config_accounts(c); i++)
		if (!secret_is_readable(config_account(c, i)))
			return false;
	return true;
}

void
config_defaults(struct config *c)
{
	*c = (struct config){ 0 };
	c->path = mem_dup(STR(""));
	for (enum key_id id = 0; id < KEYS; id++)
		keys_reset(c, id);
}

static void
settle(struct reading *r)
{
	accounts_settle(r);
	settle_identity(r);
	settle_directory(r);
}

/* Each user has a queue of their own: where the system's is says nothing of it. */
static void
leave_system_directory(struct reading *r)
{
	if (!is_set(r, KEY_DIRECTORY) || r->all.given[KEY_DIRECTORY].label == r->label)
		return;
	keys_reset(r->c, KEY_DIRECTORY);
	r->all.given[KEY_DIRECTORY] = (struct place){ 0 };
}

enum outcome
config_read(struct config *c, const char *user_path, const char *system_path, const char *home,
    bool with_secrets, struct why *why)
{
	struct reading r = { .c = c, .home = home, .with_secrets = with_secrets };
	enum found user, system;
	enum outcome o = DONE;

	config_defaults(c);
	system = inifile_read(&r, system_path, WHOSE_SYSTEM);
	user = inifile_read(&r, user_path, WHOSE_USER);
	if (c->nfiles > 0)
		keys_put_text(&c->path, str_of(c->files[c->nfiles - 1].path));
	if (user != READ && system == ABSENT) {
		o = refuse_absence(user_path != NULL ? user_path : system_path,
		    "password-command = pass show mail; for the whole machine, see subpostd(8)", why);
		goto out;
	}
	if (user != READ && system == DENIED) {
		o = refuse_stranger(system_path, "it", EACCES, why);
		goto out;
	}
	/* What may stand in it is not missing. */
	if (r.unread) {
		o = refuse_errors(c, why);
		goto out;
	}
	if (user == READ) {
		leave_system_directory(&r);
		accounts_leave_system(&r);
	}
	settle(&r);
	if (c->nerrors > 0)
		o = refuse_errors(c, why);
	else if (user != READ && !secrets_are_readable(c))
		o = refuse_secret(system_path, errno, why);
out:
	inifile_forget(&r);
	return o;
}

/* Which files there are. */

static const char system_file[] = CONFIG_SYSTEM_FILE;

/* What SUBPOST_CONFIG names; NULL where it says nothing. */
static const char *
named_file(void)
{
	const char *named = secure_getenv("SUBPOST_CONFIG");

	return named != NULL && named[0] != '\0' ? named : NULL;
}

/* That it is there is found out before it is read: who names a file means it. */
static enum outcome
find_named(const char *named, struct buf *path, struct why *why)
{
	char *absolute = named[0] != '/' ? realpath(named, NULL) : NULL;
	const char *found = named[0] != '/' ? absolute : named;
	enum outcome o = DONE;

	if (found == NULL || access(found, F_OK) < 0)
		o = refuse(why, EX_CONFIG, "SUBPOST_CONFIG names %s: %s; write that file, or unset "
		    "the variable", codec_show(str_of(named)).p, strerror(errno));
	buf_adds(path, found != NULL ? found : named);
	free(absolute);
	return o;
}

static bool
user_file(const char *home, struct buf *path)
{
	if (!add_xdg(path, "XDG_CONFIG_HOME", home, "/.config"))
		return false;
	buf_adds(path, "/subpost/subpost.ini");
	return true;
}

enum outcome
config_load(struct config *c, bool with_secrets, struct why *why)
{
	struct buf home = { 0 }, path = { 0 };
	const char *found_home = config_home(&home) ? buf_c(&home) : NULL;
	enum outcome o;

	if (named_file() == NULL) {
		o = config_read(c, user_file(found_home, &path) ? buf_c(&path) : NULL, system_file,
		    found_home, with_secrets, why);
	} else if ((o = find_named(named_file(), &path, why)) == DONE) {
		o = config_read(c, buf_c(&path), NULL, found_home, with_secrets, why);
	} else {
		config_defaults(c);
	}
	buf_free(&path);
	buf_free(&home);
	return o;
}

bool
config_own_file(struct buf *out)
{
	struct buf home = { 0 };
	bool is;

	if (named_file() != NULL) {
		buf_adds(out, named_file());
		return true;
	}
	is = user_file(config_home(&home) ? buf_c(&home) : NULL, out);
	buf_free(&home);
	return is;
}

bool
config_is_own(void)
{
	struct buf path = { 0 };
	struct stat st;
	/* A link to nothing is there as well: whoever made it means it. */
	bool is = named_file() != NULL ||
	    (config_own_file(&path) && lstat(buf_c(&path), &st) == 0);

	buf_free(&path);
	return is;
}

/* The service's. */

void
config_socket(struct buf *out, bool *exists)
{
	struct config c;
	struct reading r = { .c = &c };

	config_defaults(&c);
	*exists = inifile_read(&r, system_file, WHOSE_SYSTEM) != ABSENT;
	buf_adds(out, c.service.socket);
	inifile_forget(&r);
	config_free(&c);
}

static void
check_operators(struct reading *r)
{
	struct config *c = r->c;
	gid_t gid;

	if (c->service.operators[0] != '\0' && !person_group(str_of(c->service.operators), &gid))
		warn_at(c, r->all.given[KEY_OPERATORS], "this machine has no such group, so root alone "
		    "is an operator; make it with groupadd");
}

static enum outcome
refuse_service(const char *path, struct why *why)
{
	return refuse(why, EX_CONFIG, "%s cannot be read by uid %u, as whom the service runs: let it "
	    "belong to that uid, or be readable for it (see chown, chmod)",
	    codec_show(str_of(path)).p, (unsigned)geteuid());
}

static bool
rewrites_senders(const struct config *c)
{
	for (unsigned i = 0; i < config_accounts(c); i++)
		if (config_account(c, i)->force_from)
			return true;
	return false;
}

static enum outcome
read_service(struct config *c, const char *path, bool with_secrets, struct why *why)
{
	struct reading r = { .c = c, .with_secrets = with_secrets };
	enum found found = inifile_read(&r, path, WHOSE_SERVICE);
	enum outcome o = DONE;

	keys_put_text(&c->path, str_of(path));
	if (found == ABSENT)
		o = refuse_absence(path, "password-file = " SUBPOST_SYSCONFDIR "/password", why);
	else if (found == DENIED)
		o = refuse_service(path, why);
	else if (r.unread)
		o = refuse_errors(c, why);
	if (o != DONE)
		goto out;
	if (!is_set(&r, KEY_DIRECTORY))
		keys_put_text(&c->directory, STR(SERVICE_DIRECTORY));
	settle(&r);
	/* A courier asks the name service, which may be slow, for no more than it needs. */
	if (!with_secrets || rewrites_senders(c))
		users_settle(&r);
	if (!with_secrets)
		check_operators(&r);
	if (c->nerrors > 0)
		o = refuse_errors(c, why);
out:
	inifile_forget(&r);
	return o;
}

static enum outcome
load_service(struct config *c, bool with_secrets, struct buf *path, struct why *why)
{
	enum outcome o = DONE;

	config_defaults(c);
	if (named_file() != NULL)
		o = find_named(named_file(), path, why);
	else
		buf_adds(path, system_file);
	return o == DONE ? read_service(c, buf_c(path), with_secrets, why) : o;
}

enum outcome
config_load_service(struct config *c, struct buf *path, struct why *why)
{
	return load_service(c, false, path, why);
}

/* The file that the service has read may have been mended badly since. */
static bool
load_kept(struct config *c)
{
	const char *kept = secure_getenv(CONFIG_KEPT);
	struct why why;

	if (kept == NULL || kept[0] != '/')
		return false;
	config_free(c);
	config_defaults(c);
	return read_service(c, kept, true, &why) == DONE;
}

enum outcome
config_load_service_secret(struct config *c, struct why *why)
{
	struct buf path = { 0 };
	enum outcome o = load_service(c, true, &path, why);

	buf_free(&path);
	return o != DONE && load_kept(c) ? DONE : o;
}

/* The account that has all of this user's mail, and its place. */
static const struct smarthost *
account_of(const struct config *c, const struct user_keys *u, unsigned *place)
{
	const struct smarthost *s = NULL;

	*place = 0;
	if (u->smarthost != NULL)
		s = config_account_named(c, str_of(u->smarthost));
	while (s != NULL && config_account(c, *place) != s)
		++*place;
	return s;
}

unsigned
config_view(const struct config *c, uid_t uid, struct config *view)
{
	const struct user_keys *u = users_find(c, uid);
	const struct smarthost *own;
	unsigned place;

	*view = *c;
	if (u == NULL)
		return 0;
	own = account_of(c, u, &place);
	if (own != NULL) {
		view->smarthost = *own;
		view->more = NULL;
		view->nmore = 0;
	}
	if (u->says_from)
		view->smarthost.from_header = u->from_header;
	if (u->from != NULL && u->from[0] != '\0') {
		view->smarthost.from = u->from;
		view->smarthost.from_is_login = false;
	}
	if (u->senders != NULL)
		view->smarthost.senders = u->senders;
	view->domain = u->domain != NULL ? u->domain : c->domain;
	view->hostname = u->hostname != NULL ? u->hostname : c->hostname;
	view->aliases = u->aliases != NULL ? u->aliases : c->aliases;
	view->root = u->root != NULL ? u->root : c->root;
	view->received = u->received >= 0 ? u->received == 1 : c->received;
	view->rewrite_to = u->rewrite_to >= 0 ? u->rewrite_to == 1 : c->rewrite_to;
	return place;
}

const char *
config_forced_from(const struct config *c, const struct smarthost *a, uid_t uid)
{
	struct config view;
	unsigned own = config_view(c, uid, &view);

	return config_account(c, own) == a ? view.smarthost.from : a->from;
}

void
config_free(struct config *c)
{
	char *texts[] = { c->domain, c->hostname, c->aliases, c->root, c->directory, c->path,
		c->service.socket, c->service.operators };

	for (size_t i = 0; i < COUNT(texts); i++)
		free(texts[i]);
	for (unsigned i = 0; i < c->nmore; i++)
		accounts_free(&c->more[i]);
	free(c->more);
	accounts_free(&c->smarthost);
	for (unsigned i = 0; i < c->nfiles; i++)
		free(c->files[i].path);
	for (unsigned i = 0; i < c->nproblems; i++)
		free(c->problems[i].text);
	free(c->problems);
	users_free(c);
	*c = (struct config){ 0 };
}

bool
config_is_stale(const struct config *c)
{
	for (unsigned i = 0; i < c->nfiles; i++) {
		struct stat st;

		if (stat(c->files[i].path, &st) < 0 ||
		    st.st_mtim.tv_sec != c->files[i].mtime.tv_sec ||
		    st.st_mtim.tv_nsec != c->files[i].mtime.tv_nsec)
			return true;
	}
	return false;
}

void
config_hostname(const struct config *c, struct buf *out)
{
	char name[256] = "";

	if (c->hostname != NULL && c->hostname[0] != '\0')
		buf_adds(out, c->hostname);
	else if (gethostname(name, sizeof name - 1) == 0 && host_is_full_name(str_of(name)))
		buf_adds(out, name);
}

bool
config_home(struct buf *out)
{
	const char *home = secure_getenv("HOME");
	struct person p;
	struct stat st;
	bool found;

	/* "/" is what daemons have, and what sudo gives its mailer: nobody's home
	 * unless the password file says so. */
	if (home != NULL && home[0] == '/' && home[1] != '\0' && stat(home, &st) == 0 &&
	    S_ISDIR(st.st_mode) && st.st_uid == geteuid()) {
		buf_adds(out, home);
		return true;
	}
	found = person_by_uid(geteuid(), &p) && p.home[0] == '/';
	if (found)
		buf_adds(out, p.home);
	person_free(&p);
	return found;
}

unsigned
config_accounts(const struct config *c)
{
	return 1 + c->nmore;
}

const struct smarthost *
config_account(const struct config *c, unsigned i)
{
	return i == 0 ? &c->smarthost : &c->more[i - 1];
}

const struct smarthost *
config_account_named(const struct config *c, struct str name)
{
	for (unsigned i = 0; i < config_accounts(c); i++)
		if (str_caseis(name, config_account(c, i)->name))
			return config_account(c, i);
	return NULL;
}
