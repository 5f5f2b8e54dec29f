/* sendmail: the face that forty years of callers know; also mailq.  A small
 * program that must start in the time of a trivial one: it links no TLS and no
 * SASL.  No option names a file, a program or a queue to use. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "config.h"
#include "log.h"
#include "mailq.h"
#include "spool.h"
#include "submit.h"
#include "wake.h"

enum arity {
	NONE,           /* stands alone; others may follow in the same word: -ti */
	VALUE,          /* takes the rest of its word, or else the next word */
	GLUED,          /* takes the rest of its word, which may be empty */
};

struct call {
	const char *name;               /* what we were called as */
	struct submission submission;
	enum { DELIVER, LIST, FLUSH, REFUSE } mode;
	const char *refusal;
};

struct option {
	char letter;
	enum arity arity;
	void (*apply)(struct call *c, const char *value);      /* NULL: accepted, no effect */
	const char *name;               /* what it is elsewhere; for readers of this table */
};

static void
take_recipients(struct call *c, const char *value)
{
	(void)value;
	c->submission.from_header = true;
}

static void
ignore_dots(struct call *c, const char *value)
{
	(void)value;
	c->submission.dots = false;
}

static void
set_sender(struct call *c, const char *value)
{
	c->submission.sender = value;
}

static void
set_full_name(struct call *c, const char *value)
{
	c->submission.full_name = value;
}

/* The old short options: only -oi says something to us. */
static void
set_old_option(struct call *c, const char *value)
{
	if (strcmp(value, "i") == 0)
		ignore_dots(c, value);
}

static void
flush(struct call *c, const char *value)
{
	(void)value;
	/* "-bd -q15m" asks for a daemon, and is not half obeyed. */
	if (c->mode != REFUSE)
		c->mode = FLUSH;
}

static void
set_mode(struct call *c, const char *value)
{
	switch (value[0]) {
	case 'm':
		c->mode = DELIVER;
		break;
	case 'p':
		c->mode = LIST;
		break;
	default:
		c->mode = REFUSE;
		c->refusal = "of the -b modes this program has -bm (deliver) and -bp (list the queue)";
	}
}

/* Arities as of Sendmail 8.17, the caller's idea of all others. */
static const struct option options[] = {
	{ 'A', VALUE, NULL, "use submit.cf or sendmail.cf" },
	{ 'B', VALUE, NULL, "body type" },
	{ 'C', VALUE, NULL, "configuration file" },
	{ 'D', VALUE, NULL, "debug output file" },
	{ 'E', NONE, NULL, "reserved" },
	{ 'F', VALUE, set_full_name, "full name of the sender" },
	{ 'G', NONE, NULL, "gateway submission" },
	{ 'I', NONE, NULL, "initialize aliases" },
	{ 'J', GLUED, NULL, "reserved" },
	{ 'L', VALUE, NULL, "syslog name" },
	{ 'M', VALUE, NULL, "define a macro" },
	{ 'N', VALUE, NULL, "DSN notify" },
	{ 'O', VALUE, NULL, "set a long option" },
	{ 'Q', GLUED, NULL, "quarantine" },
	{ 'R', VALUE, NULL, "DSN return" },
	{ 'T', NONE, NULL, "queue timeout" },
	{ 'U', NONE, NULL, "initial user submission" },
	{ 'V', VALUE, NULL, "DSN envelope id" },
	{ 'X', VALUE, NULL, "traffic log file" },
	{ 'b', VALUE, set_mode, "mode" },
	{ 'c', NONE, NULL, "hold expensive mail" },
	{ 'd', GLUED, NULL, "debug" },
	{ 'e', VALUE, NULL, "error mode" },
	{ 'f', VALUE, set_sender, "envelope sender" },
	{ 'h', VALUE, NULL, "hop count" },
	{ 'i', NONE, ignore_dots, "dots are text" },
	{ 'm', NONE, NULL, "me too" },
	{ 'n', NONE, NULL, "no aliasing" },
	{ 'o', VALUE, set_old_option, "set a short option" },
	{ 'p', VALUE, NULL, "received protocol and host" },
	{ 'q', GLUED, flush, "run the queue" },
	{ 'r', VALUE, set_sender, "envelope sender, old" },
	{ 's', NONE, NULL, "save From lines" },
	{ 't', NONE, take_recipients, "recipients from the header" },
	{ 'v', NONE, NULL, "verbose" },
	{ 'x', NONE, NULL, "reserved" },
};

static enum outcome
usage(struct why *why, const char *what)
{
	return refuse(why, EX_USAGE, "%s; usage: sendmail [-t] [-i] [-f sender] [-F name] [--] "
	    "[recipient ...]", what);
}

static const struct option *
find_option(char letter)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* One word of options: "-t", "-ti", "-fme@x". */
static enum outcome
read_word(struct call *c, char ***argv, struct why *why)
{
	const char *p = **argv + 1;
	char what[64];

	while (*p != '\0') {
		const struct option *option = find_option(*p);
		const char *value = "";

		if (option == NULL) {
			bool shown = *p > ' ' && *p < 0x7f;

			snprintf(what, sizeof what, "unknown option -%c", shown ? *p : '?');
			return usage(why, what);
		}
		p++;
		if (option->arity != NONE) {
			value = p;
			p = "";
		}
		if (option->arity == VALUE && *value == '\0') {
			if ((*argv)[1] == NULL) {
				snprintf(what, sizeof what, "option -%c needs a value", option->letter);
				return usage(why, what);
			}
			value = *++*argv;
		}
		if (option->apply != NULL)
			option->apply(c, value);
	}
	return DONE;
}

static enum outcome
read_arguments(struct call *c, char **argv, struct why *why)
{
	enum outcome o;

	for (; *argv != NULL && (*argv)[0] == '-' && (*argv)[1] != '\0'; argv++) {
		if (strcmp(*argv, "--") == 0) {
			argv++;
			break;
		}
		if ((*argv)[1] == '-')
			return usage(why, "unknown option");
		if ((o = read_word(c, &argv, why)) != DONE)
			return o;
	}
	for (; *argv != NULL; argv++)
		if ((o = address_parse(str_of(*argv), &c->submission.to, why)) != DONE)
			return o;
	return DONE;
}

/* Whatever the caller's process was like, this one is sane: the standard
 * descriptors are taken, no timer of others rings, a full file or a closed pipe
 * is an error and not a death. */
static void
tidy_process(void)
{
	struct itimerval off = { { 0, 0 }, { 0, 0 } };
	sigset_t none;

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			/* Opened the wrong way round, so that using it fails as before. */
			(void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
	umask(077);
	setitimer(ITIMER_REAL, &off, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
}

static enum outcome
run_queue(struct why *why)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	enum outcome o;

	if ((o = config_load(&config, false, why)) == DONE &&
	    (o = spool_open(&spool, config.directory, config.path, why)) == DONE)
		o = wake_runner(&spool, STR("retry"), true, why);
	spool_close(&spool);
	config_free(&config);
	return o;
}

static enum outcome
run(struct call *c, struct why *why)
{
	switch (c->mode) {
	case LIST:
		return mailq_list(false, stdout, why);
	case FLUSH:
		return run_queue(why);
	case REFUSE:
		return usage(why, c->refusal);
	case DELIVER:
		break;
	}
	if (c->submission.to.n == 0 && !c->submission.from_header)
		return usage(why, "no recipient");
	return submit(&c->submission, why);
}

int
main(int argc, char **argv)
{
	struct call c = { .name = "sendmail", .submission = { .in = STDIN_FILENO, .dots = true } };
	struct why why = { 0 };
	const char *slash;
	enum outcome o;

	tidy_process();
	if (argc > 0) {
		slash = strrchr(argv[0], '/');
		if (strcmp(slash != NULL ? slash + 1 : argv[0], "mailq") == 0) {
			c.name = "mailq";
			c.mode = LIST;
		}
	}
	log_open(c.name);
	o = argc > 0 ? read_arguments(&c, argv + 1, &why) : usage(&why, "called without a name");
	if (o == DONE)
		o = run(&c, &why);
	if (o == DONE && fflush(stdout) != 0)
		o = refuse(&why, EX_IOERR, "cannot write: %s", strerror(errno));
	if (o != DONE)
		fprintf(stderr, "%s: %s\n", c.name, why.text);
	address_list_free(&c.submission.to);
	return outcome_exit(o, &why);
}
