#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "codec.h"
#include "config.h"
#include "desk.h"
#include "errand.h"
#include "office.h"
#include "person.h"
#include "premises.h"
#include "settings.h"
#include "spool.h"
#include "wake.h"

#define SILENCE 5               /* seconds, of the courier */

/* ---- what was read ---------------------------------------------------------------------- */

static void
print_read(const struct config *c)
{
	for (unsigned i = 0; i < c->nfiles; i++)
		printf("read     %s\n", c->files[i].path);
	for (unsigned i = 0; i < c->nproblems; i++)
		printf("%-8s %s\n", c->problems[i].error ? "error" : "warning", c->problems[i].text);
}

static void
print_account(const struct smarthost *h)
{
	static const char *const modes[] = { [TLS_STARTTLS] = "STARTTLS",
		[TLS_IMPLICIT] = "TLS from the first octet", [TLS_NONE] = "no encryption" };
	bool login = strcmp(h->auth, "none") != 0, srv = h->servers[0].srv;
	struct buf line = { 0 };

	buf_addf(&line, "%s: ", h->name);
	if (srv)
		buf_addf(&line, "the servers that DNS names for %s", h->host);
	else
		buf_addf(&line, "%s port %u, %s", h->host, h->port, modes[h->tls]);
	if (h->nservers > 1)
		buf_addf(&line, " (and %u more)", h->nservers - 1);
	printf("account  %s, %s%s, mail from %s\n", buf_c(&line), login ? "user " : "no login",
	    login ? h->user : "", h->from);
	buf_free(&line);
}

/* ---- trying ------------------------------------------------------------------------------ */

/* The courier's next word.  A server is given minutes, as the standards wish, and
 * who looks on is told once that nothing hangs here. */
static enum errand_word
hear(int fd, bool *silent, struct errand *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!*silent && poll(&p, 1, SILENCE * 1000) == 0) {
		*silent = true;
		printf("note     no answer for %d s, and up to 5 minutes are given; if the server "
		    "says nothing, check port and tls (587: starttls, 465: implicit)\n", SILENCE);
		fflush(stdout);
	}
	return errand_read(fd, true, e);
}

static void
print_word(const struct errand *e)
{
	if (e->word == ERRAND_STEP)
		printf("ok       %s (%u ms)\n", buf_c(&e->text), e->ms);
	else if (e->word == ERRAND_NOTE)
		printf("note     %s\n", buf_c(&e->text));
	else if (e->word == ERRAND_LINE)
		printf("%s\n", buf_c(&e->text));
	fflush(stdout);
}

/* The same program that would send does all but send. */
static enum outcome
try_server(const struct order *order, const char *option, struct why *why)
{
	struct errand e = { 0 };
	enum errand_word word;
	enum outcome o = LATER;
	bool silent = false;
	int fd, status;
	pid_t pid;

	/* As for the runner's couriers: a password command that works only with
	 * what a terminal has set would fail later, when nobody looks. */
	wake_clean_environment();
	pid = errand_start(&fd, option);
	if (pid < 0)
		return refuse(why, EX_OSERR, "cannot start subpost-courier: %s", strerror(errno));
	errand_begin(fd, order);
	later(why, SCOPE_SERVER, "", "the courier for %s ended without a word; see the system's log",
	    order->account);
	while ((word = hear(fd, &silent, &e)) != ERRAND_CLOSED && word != ERRAND_BROKEN) {
		print_word(&e);
		if (word == ERRAND_DOWN)
			*why = e.why;
		if (word == ERRAND_READY) {
			o = DONE;
			errand_quit(fd);
		}
	}
	errand_free(&e);
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return o;
}

/* Each of its servers, since the next one is of use only if it works when it is needed. */
static enum outcome
try_account(const struct check *c, const struct smarthost *h, const char *option, struct why *why)
{
	struct order order = { .alone = true, .aloud = c->aloud, .depth = c->depth };
	struct why reason = { 0 };
	enum outcome o = LATER;

	print_account(h);
	snprintf(order.account, sizeof order.account, "%s", h->name);
	for (order.server = 0; order.server < h->nservers; order.server++) {
		const struct server *s = &h->servers[order.server];

		if (h->nservers > 1 && s->srv)
			printf("server   srv:%s\n", s->host);
		else if (h->nservers > 1)
			printf(strchr(s->host, ':') != NULL ? "server   [%s]:%u\n" : "server   %s:%u\n",
			    s->host, s->port);
		fflush(stdout);
		if (try_server(&order, option, &reason) == DONE) {
			o = DONE;
			continue;
		}
		if (h->nservers > 1)
			printf("bad      %s\n", reason.text);
		*why = reason;
	}
	return o;
}

static bool
is_wanted(const struct check *c, const struct smarthost *h)
{
	for (size_t i = 0; i < c->n; i++)
		if (str_caseis(str_of(c->names[i]), h->name))
			return true;
	return c->n == 0;
}

static enum outcome
find_names(const struct check *c, const struct config *config, struct why *why)
{
	for (size_t i = 0; i < c->n; i++)
		if (config_account_named(config, str_of(c->names[i])) == NULL)
			return refuse(why, EX_USAGE, "the configuration has no account %s; its accounts "
			    "are [smarthost], called default, and each [smarthost NAME]",
			    codec_show(str_of(c->names[i])).p);
	return DONE;
}

/* All that are wanted.  What is wrong with one does not keep the others from being
 * tried: the last trouble is the outcome. */
static enum outcome
try_accounts(const struct check *c, const struct config *config, const char *option,
    struct why *why)
{
	enum outcome worst = find_names(c, config, why);
	struct why reason = { 0 };

	for (unsigned i = 0; worst != NEVER && i < config_accounts(config); i++) {
		const struct smarthost *h = config_account(config, i);
		enum outcome o = is_wanted(c, h) ? try_account(c, h, option, &reason) : DONE;

		if (o == DONE)
			continue;
		if (worst != DONE)
			printf("bad      %s\n", why->text);
		*why = reason;
		worst = o;
	}
	return worst;
}

/* ---- one's own -------------------------------------------------------------------------- */

static enum outcome
check_own(const struct check *c, struct why *why)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	enum outcome o = config_load(&config, false, why);

	print_read(&config);
	if (o == DONE)
		o = spool_open(&spool, config.directory, config.path, why);
	if (o == DONE) {
		printf("queue    %s\n", spool.path);
		if ((o = try_accounts(c, &config, ERRAND_CHECK, why)) == DONE)
			printf("good     mail can be sent\n");
	}
	spool_close(&spool);
	config_free(&config);
	return o;
}

/* ---- the service's ----------------------------------------------------------------------- */

/* Is anybody there?  Not by office_open, which would make root a queue of its own
 * where nobody is. */
static bool
greet_service(const char *path, struct why *why)
{
	struct desk desk = DESK_INIT;
	struct buf settings = { 0 };
	struct config config = { 0 };
	enum outcome o;

	if ((o = desk_connect(&desk, path, why)) == DONE &&
	    (o = desk_greet(&desk, path, &settings, why)) == DONE &&
	    (o = settings_read(buf_str(&settings), &config, why)) == DONE)
		printf("service  %s answers (%s); it goes by %s\n", path, DESK_HELLO_TEXT, config.path);
	else
		printf("note     %s\n", why->text);
	fflush(stdout);
	config_free(&config);
	buf_free(&settings);
	desk_close(&desk);
	return o == DONE;
}

/* The account's line of `status`: only the service knows it. */
static enum outcome
ask_account(struct why *why)
{
	char verb[] = "status";
	char *const words[] = { verb, NULL };
	struct office office = OFFICE_INIT;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct str rest, line;
	enum outcome o;

	if (out == NULL)
		return refuse(why, EX_OSERR, "no memory");
	if ((o = office_open(&office, why)) == DONE)
		o = office_ask(&office, words, out, why);
	office_close(&office);
	fclose(out);
	for (rest = str_from(text, len); str_line(&rest, &line); ) {
		if (!str_starts(line, "account "))
			continue;
		printf("%.*s\n", (int)line.len, line.p);
		if (o == DONE && memmem(line.p, line.len, " is down ", 9) != NULL)
			o = refuse(why, EX_TEMPFAIL, "the service's account cannot be used now, for the "
			    "reason above; mail waits, and an operator can try sooner: subpost retry all");
	}
	free(text);
	return o;
}

/* Root becomes for good whom the service runs as, the owner of its queue if there is
 * one: the secret is that account's, and what root may read or run proves nothing. */
static enum outcome
become_services(const struct config *c, struct why *why)
{
	struct premises p = PREMISES_INIT;
	struct person who = { 0 };
	struct stat st;
	bool known = stat(c->directory, &st) == 0 && person_by_uid(st.st_uid, &who);
	enum outcome o = premises_take_account(&p, known ? who.login : NULL, why);

	if (o == DONE)
		o = premises_settle(&p, why);
	person_free(&who);
	return o;
}

/* The account, by what the service goes by: by root as the service would use it, by
 * others with their own rights, and then the queue would be another. */
static enum outcome
try_services(const struct check *c, const struct config *config, bool root, bool up,
    struct why *why)
{
	enum outcome o = DONE;

	print_read(config);
	if (root)
		printf("queue    %s (the service's)\n", config->directory);
	fflush(stdout);
	if (root)
		o = become_services(config, why);
	if (o == DONE)
		o = try_accounts(c, config, root ? ERRAND_CHECK_SERVICE : ERRAND_CHECK, why);
	if (o == DONE)
		printf("good     %s\n", up ? "mail can be sent" : "the account works");
	return o;
}

/* exists: there is a system's configuration here; a container has none, and no root
 * but its own. */
static enum outcome
check_with_service(const struct check *c, bool exists, bool up, struct why *why)
{
	bool root = geteuid() == 0 && exists;
	struct config config = { 0 };
	struct buf path = { 0 };
	struct why reason = { 0 };
	enum outcome loaded = root ? config_load_service(&config, &path, &reason) :
	    config_load(&config, false, &reason);
	enum outcome o = DONE;

	if (up && !root)
		o = ask_account(why);
	if (loaded == DONE) {
		o = try_services(c, &config, root, up, why);
	} else if (root) {
		print_read(&config);
		*why = reason;
		o = loaded;
	} else if (up) {
		printf("note     whether the login works can be tried by root, where the service runs: "
		    "subpost check\n");
	}
	buf_free(&path);
	config_free(&config);
	return o;
}

enum outcome
check(const struct check *c, struct why *why)
{
	struct buf socket = { 0 };
	struct why reason = { 0 };
	bool exists, up;
	enum outcome o;

	if (config_is_own())
		return check_own(c, why);
	config_socket(&socket, &exists);
	up = (exists || access(buf_c(&socket), F_OK) == 0) && greet_service(buf_c(&socket), &reason);
	if (up || (exists && geteuid() == 0))
		o = check_with_service(c, exists, up, why);
	else
		o = check_own(c, why);
	buf_free(&socket);
	return o;
}
