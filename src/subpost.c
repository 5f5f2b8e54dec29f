/* subpost: the command for people.  A table of verbs, most of which are asked of the
 * office that the caller's mail goes through; here is what only a person at the prompt
 * wants: which office that is, and whether its account works. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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
#include "log.h"
#include "office.h"
#include "person.h"
#include "premises.h"
#include "recipients.h"
#include "settings.h"
#include "spool.h"
#include "wake.h"

#define SILENCE 5               /* seconds, of the courier in `subpost check` */

struct call;

struct verb {
	const char *name;
	enum outcome (*run)(const struct call *c, struct why *why);
	const char *help;
	const char *asks;       /* what the office calls it */
	bool json;              /* it takes --json, */
	bool bare;              /* and nothing else */
};

/* What was called for. */
struct call {
	const struct verb *verb;
	char **args;            /* behind the verb and its options */
	size_t n;
	bool json;
};

/* ---- what the office is asked ------------------------------------------------------- */

static enum outcome
ask(char *const *words, FILE *out, struct why *why)
{
	struct office office = OFFICE_INIT;
	enum outcome o;

	if ((o = office_open(&office, why)) == DONE)
		o = office_ask(&office, words, out, why);
	office_close(&office);
	return o;
}

/* The verb as the office calls it, and what belongs to it. */
static enum outcome
do_ask(const struct call *c, struct why *why)
{
	char word[16], json[] = "json";
	char **words = mem_grow(NULL, c->n + 3, sizeof *words);
	size_t n = 0;
	enum outcome o;

	snprintf(word, sizeof word, "%s", c->verb->asks);
	words[n++] = word;
	if (c->json)
		words[n++] = json;
	for (size_t i = 0; i < c->n; i++)
		words[n++] = c->args[i];
	words[n] = NULL;
	o = ask(words, stdout, why);
	free(words);
	return o;
}

/* ---- explain ------------------------------------------------------------------------- */

static void
print_masked(const char *label, struct str text)
{
	struct buf shown = { 0 };

	codec_mask(&shown, text);
	printf("%-8s %s\n", label, buf_c(&shown));
	buf_free(&shown);
}

/* What was looked at, in the order in which it counts. */
static void
print_own_file(void)
{
	struct buf path = { 0 }, line = { 0 };

	if (!config_own_file(&path))
		buf_adds(&line, "no home directory to look for a configuration of your own in");
	else if (config_is_own())
		buf_addf(&line, "%s: is yours, and counts first", buf_c(&path));
	else
		buf_addf(&line, "%s: no such file", buf_c(&path));
	print_masked("looked", buf_str(&line));
	buf_free(&path);
	buf_free(&line);
}

static void
print_socket(void)
{
	struct buf path = { 0 }, line = { 0 };
	struct desk desk = DESK_INIT;
	struct why why;
	bool exists;

	config_socket(&path, &exists);
	if (desk_connect(&desk, buf_c(&path), &why) == DONE)
		buf_addf(&line, "socket %s: answers", buf_c(&path));
	else
		buf_addf(&line, "socket %s: %s", buf_c(&path), strerror(errno));
	print_masked("looked", buf_str(&line));
	desk_close(&desk);
	buf_free(&path);
	buf_free(&line);
}

static void
print_system_file(void)
{
	static const char path[] = CONFIG_SYSTEM_FILE;
	struct buf line = { 0 };

	buf_addf(&line, "system configuration %s: ", path);
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
		buf_adds(&line, "readable");
	else
		buf_addf(&line, "%s", errno == ENOENT ? "no such file" : "not readable for you");
	print_masked("looked", buf_str(&line));
	buf_free(&line);
}

/* Who a message is from for which nobody said it. */
static void
print_sender(const struct smarthost *h)
{
	if (h->force_from)
		printf("sender   %s, whatever a message says (force-from)\n", h->from);
	else if (h->from_header)
		printf("sender   the message's own From:, else %s\n", h->from);
	else
		printf("sender   %s, unless -f says another\n", h->from);
}

static void
print_office(const struct office *o)
{
	const struct smarthost *h = &o->config.smarthost;
	bool own = o->kind == OFFICE_OWN;
	struct buf socket = { 0 };
	bool exists;

	config_socket(&socket, &exists);
	printf("config   %s%s\n", o->config.path, own ? "" : ", as the service read it");
	printf("account  %s: %s port %u, address %s\n", h->name, h->host, h->port, h->from);
	print_sender(h);
	printf("queue    %s%s\n", own ? o->config.directory : "the service's, by way of ",
	    own ? "" : buf_c(&socket));
	buf_free(&socket);
}

/* Each address is answered; the last one that would be refused is the outcome. */
static enum outcome
explain_all(const struct call *c, const struct office *office, struct why *why)
{
	struct directory directory = { .config = &office->config,
		.elsewhere = office->kind == OFFICE_SERVICE };
	enum outcome worst = DONE;
	struct why reason = { 0 };

	for (size_t i = 0; i < c->n; i++) {
		if (recipients_explain(&directory, str_of(c->args[i]), stdout, &reason) == DONE)
			continue;
		if (worst != DONE)
			fprintf(stderr, "subpost: %s\n", why->text);
		*why = reason;
		worst = NEVER;
	}
	directory_free(&directory);
	return worst;
}

static enum outcome
do_explain(const struct call *c, struct why *why)
{
	struct office office = OFFICE_INIT;
	enum outcome o = office_look(&office, why);

	print_masked("office", o == DONE ? buf_str(&office.reason) : STR("none"));
	print_own_file();
	print_socket();
	print_system_file();
	if (o == DONE) {
		print_office(&office);
		o = explain_all(c, &office, why);
	}
	office_close(&office);
	return o;
}

/* ---- check ---------------------------------------------------------------------------- */

static void
print_problems(const struct config *c)
{
	for (unsigned i = 0; i < c->nproblems; i++)
		printf("%-8s %s\n", c->problems[i].error ? "error" : "warning", c->problems[i].text);
}

static void
print_account(const struct config *c)
{
	static const char *const modes[] = { [TLS_STARTTLS] = "STARTTLS",
		[TLS_IMPLICIT] = "TLS from the first octet", [TLS_NONE] = "no encryption" };
	const struct smarthost *h = &c->smarthost;

	printf("account  %s: %s port %u, %s, %s%s, mail from %s\n", h->name, h->host, h->port,
	    modes[h->tls], strcmp(h->auth, "none") == 0 ? "no login" : "user ",
	    strcmp(h->auth, "none") == 0 ? "" : h->user, h->from);
}

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

/* The same program that would send does all but send. */
static enum outcome
try_account(const struct config *c, const char *option, struct why *why)
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
	later(why, SCOPE_SERVER, "", "the courier for %s ended without a word; see the system's log",
	    c->smarthost.host);
	while ((word = hear(fd, &silent, &e)) != ERRAND_CLOSED && word != ERRAND_BROKEN) {
		if (word == ERRAND_STEP)
			printf("ok       %s (%u ms)\n", buf_c(&e.text), e.ms);
		else if (word == ERRAND_NOTE)
			printf("note     %s\n", buf_c(&e.text));
		else if (word == ERRAND_DOWN)
			*why = e.why;
		if (word == ERRAND_READY) {
			o = DONE;
			errand_quit(fd);
		}
		fflush(stdout);
	}
	errand_free(&e);
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return o;
}

/* What was read, good or not. */
static void
print_read(const struct config *c)
{
	for (unsigned i = 0; i < c->nfiles; i++)
		printf("read     %s\n", c->files[i].path);
	print_problems(c);
}

static enum outcome
check_own(struct why *why)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	enum outcome o = config_load(&config, false, why);

	print_read(&config);
	if (o == DONE) {
		print_account(&config);
		o = spool_open(&spool, config.directory, config.path, why);
	}
	if (o == DONE) {
		printf("queue    %s\n", spool.path);
		fflush(stdout);
		if ((o = try_account(&config, ERRAND_CHECK, why)) == DONE)
			printf("good     mail can be sent\n");
	}
	spool_close(&spool);
	config_free(&config);
	return o;
}

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
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct str rest, line;
	enum outcome o;

	if (out == NULL)
		return refuse(why, EX_OSERR, "no memory");
	o = ask(words, out, why);
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
try_services(const struct config *c, bool root, bool up, struct why *why)
{
	enum outcome o = DONE;

	print_read(c);
	print_account(c);
	if (root)
		printf("queue    %s (the service's)\n", c->directory);
	fflush(stdout);
	if (root)
		o = become_services(c, why);
	if (o == DONE)
		o = try_account(c, root ? ERRAND_CHECK_SERVICE : ERRAND_CHECK, why);
	if (o == DONE)
		printf("good     %s\n", up ? "mail can be sent" : "the account works");
	return o;
}

/* exists: there is a system's configuration here; a container has none, and no root
 * but its own. */
static enum outcome
check_with_service(bool exists, bool up, struct why *why)
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
		o = try_services(&config, root, up, why);
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

static enum outcome
do_check(const struct call *c, struct why *why)
{
	struct buf socket = { 0 };
	struct why reason = { 0 };
	bool exists, up;
	enum outcome o;

	(void)c;
	if (config_is_own())
		return check_own(why);
	config_socket(&socket, &exists);
	up = (exists || access(buf_c(&socket), F_OK) == 0) && greet_service(buf_c(&socket), &reason);
	if (up || (exists && geteuid() == 0))
		o = check_with_service(exists, up, why);
	else
		o = check_own(why);
	buf_free(&socket);
	return o;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct verb verbs[] = {
	{ "queue", do_ask, "queue [--json]       what waits, and why", "list", true, false },
	{ "show", do_ask, "show ID              one message, what happened to it, its text", "show", false, false },
	{ "retry", do_ask, "retry [ID...|all]    try again now", "retry", false, false },
	{ "hold", do_ask, "hold ID...           keep, and do not send", "hold", false, false },
	{ "release", do_ask, "release ID...        let go what was held", "release", false, false },
	{ "delete", do_ask, "delete ID...         remove without sending", "delete", false, false },
	{ "status", do_ask, "status [--json]      how much waits, the account, who works", "status", true, false },
	{ "explain", do_explain, "explain [ADDRESS...] which office and why, where mail goes", NULL, false, false },
	{ "check", do_check, "check                read the configuration, try the account", NULL, false, true },
};

#define VERBS (sizeof verbs / sizeof verbs[0])

static int
usage(FILE *to, int status)
{
	fputs("usage: subpost VERB\n", to);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(to, "  %s\n", verbs[i].help);
	return status;
}

/* Options of a verb: so far only --json. */
static bool
take_options(struct call *c)
{
	char **to = c->args;

	for (char **from = c->args; *from != NULL; from++) {
		if (c->verb->json && strcmp(*from, "--json") == 0)
			c->json = true;
		else if ((*from)[0] == '-')
			return false;
		else
			*to++ = *from;
	}
	*to = NULL;
	c->n = (size_t)(to - c->args);
	return !c->verb->bare || c->n == 0;
}

int
main(int argc, char **argv)
{
	struct call c = { 0 };
	struct why why = { 0 };
	enum outcome o;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
		return usage(stdout, EX_OK);
	for (size_t i = 0; argc >= 2 && i < VERBS; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			c.verb = &verbs[i];
	if (c.verb == NULL)
		return usage(stderr, EX_USAGE);
	c.args = argv + 2;
	if (!take_options(&c))
		return usage(stderr, EX_USAGE);
	/* A full file, or a service that has gone, is an error to be told, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	log_open("subpost");
	o = c.verb->run(&c, &why);
	if (fflush(stdout) != 0 && o == DONE)
		o = refuse(&why, EX_IOERR, "cannot write: %s", strerror(errno));
	if (o != DONE)
		fprintf(stderr, "subpost: %s\n", why.text);
	return outcome_exit(o, &why);
}
