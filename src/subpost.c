/* subpost: the command for people.  A table of verbs, most of which are asked of the
 * office that the caller's mail goes through; here is what only a person at the prompt
 * wants: which office that is, and whether its account works. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounts.h"
#include "check.h"
#include "codec.h"
#include "config.h"
#include "desk.h"
#include "log.h"
#include "office.h"
#include "recipients.h"
#include "spool.h"

struct call;

struct verb {
	const char *name;
	enum outcome (*run)(const struct call *c, struct why *why);
	const char *help;
	const char *asks;       /* what the office calls it */
	bool json;              /* it takes --json */
	bool verbose;           /* it takes --verbose */
	bool depth;             /* and --depth N */
	bool force;             /* it takes --force */
};

/* What was called for. */
struct call {
	const struct verb *verb;
	char **args;            /* behind the verb and its options */
	size_t n;
	bool json, verbose, force;
	unsigned depth;
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
	char word[16], json[] = "json", force[] = "force";
	char **words = mem_grow(NULL, c->n + 4, sizeof *words);
	size_t n = 0;
	enum outcome o;

	snprintf(word, sizeof word, "%s", c->verb->asks);
	words[n++] = word;
	if (c->json)
		words[n++] = json;
	if (c->force)
		words[n++] = force;
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
	const struct smarthost *h;
	bool own = o->kind == OFFICE_OWN;
	struct buf socket = { 0 }, servers = { 0 };
	bool exists;

	config_socket(&socket, &exists);
	printf("config   %s%s\n", o->config.path, own ? "" : ", as the service read it");
	for (unsigned i = 0; i < config_accounts(&o->config); i++) {
		h = config_account(&o->config, i);
		buf_clear(&servers);
		accounts_put_servers(h, &servers);
		printf("account  %s: %s, address %s\n", h->name, buf_c(&servers), h->from);
	}
	print_sender(&o->config.smarthost);
	printf("queue    %s%s\n", own ? o->config.directory : "the service's, by way of ",
	    own ? "" : buf_c(&socket));
	buf_free(&servers);
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

static enum outcome
do_check(const struct call *c, struct why *why)
{
	return check(&(struct check){ .names = c->args, .n = c->n, .aloud = c->verbose, .depth = c->depth }, why);
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct verb verbs[] = {
	{ "queue", do_ask, "queue [--json]       what waits, and why", .asks = "list", .json = true },
	{ "show", do_ask, "show [--json] ID     one message, what happened to it, its text", .asks = "show", .json = true },
	{ "retry", do_ask, "retry [--force] [ID...|all]\n                       try again now; also a login "
	    "that was refused", .asks = "retry", .force = true },
	{ "hold", do_ask, "hold ID...           keep, and do not send", .asks = "hold" },
	{ "release", do_ask, "release ID...        let go what was held", .asks = "release" },
	{ "delete", do_ask, "delete ID...         remove without sending", .asks = "delete" },
	{ "status", do_ask, "status [--json]      how much waits, the accounts, who works", .asks = "status", .json = true },
	{ "explain", do_explain, "explain [ADDRESS...] which office and why, where mail goes", .asks = NULL },
	{ "check", do_check, "check [--verbose] [--depth N] [ACCOUNT...]\n                       read the configuration, "
	    "try the accounts", .verbose = true, .depth = true },
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

/* As many as the key pipeline-depth takes. */
static bool
take_depth(struct call *c, const char *value)
{
	uint64_t n;

	if (value == NULL || !codec_number(str_of(value), 32, &n) || n == 0)
		return false;
	c->depth = (unsigned)n;
	return true;
}

/* Options of a verb. */
static bool
take_options(struct call *c)
{
	char **to = c->args;

	for (char **from = c->args; *from != NULL; from++) {
		if (c->verb->json && strcmp(*from, "--json") == 0)
			c->json = true;
		else if (c->verb->verbose && strcmp(*from, "--verbose") == 0)
			c->verbose = true;
		else if (c->verb->depth && strcmp(*from, "--depth") == 0 && take_depth(c, from[1]))
			from++;
		else if (c->verb->force && strcmp(*from, "--force") == 0)
			c->force = true;
		else if ((*from)[0] == '-')
			return false;
		else
			*to++ = *from;
	}
	*to = NULL;
	c->n = (size_t)(to - c->args);
	return true;
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
