/* subpost: the command for people.  A table of verbs over their own queue. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "../compat/mailq.h"
#include "codec.h"
#include "config.h"
#include "errand.h"
#include "file.h"
#include "health.h"
#include "log.h"
#include "spool.h"
#include "steer.h"
#include "wake.h"

#define SILENCE 5               /* seconds, of the courier in `subpost check` */

struct desk {
	struct config config;
	struct spool spool;
	char **args;            /* behind the verb and its options */
	bool json;
};

/* ---- queue, show ------------------------------------------------------------------- */

static enum outcome
do_queue(struct desk *d, struct why *why)
{
	if (d->args[0] != NULL)
		return refuse(why, EX_USAGE, "queue takes no message; one is shown by: subpost show ID");
	return mailq_print(&d->spool, &d->config, d->json, stdout, why);
}

static void
print_masked(const char *label, const char *text)
{
	struct buf shown = { 0 };

	codec_mask(&shown, str_of(text));
	printf("%-10s %s\n", label, buf_c(&shown));
	buf_free(&shown);
}

static void
print_time(const char *label, time_t when)
{
	struct buf stamp = { 0 };

	codec_stamp(&stamp, when);
	printf("%-10s %s\n", label, buf_c(&stamp));
	buf_free(&stamp);
}

/* Only what was wished: most senders wish nothing. */
static void
print_wishes(const struct wishes *w)
{
	if (w->ret != DSN_RETURN_UNSAID)
		printf("%-10s %s\n", "ret", dsn_return_word(w->ret));
	if (w->envid != NULL)
		print_masked("envid", w->envid);
	if (w->body != DSN_BODY_UNSAID)
		printf("%-10s %s\n", "body", dsn_body_word(w->body));
	if (w->smtputf8)
		printf("%-10s %s\n", "smtputf8", "yes");
	if (w->requiretls)
		printf("%-10s %s\n", "requiretls", "yes");
}

static void
print_recipients_wishes(const struct recipient *r)
{
	struct buf words = { 0 };

	dsn_put_notify(&words, r->notify);
	if (words.len > 0)
		print_masked("notify", buf_c(&words));
	if (r->orcpt != NULL)
		print_masked("orcpt", r->orcpt);
	buf_free(&words);
}

static void
print_recipients(const struct letter *l)
{
	static const char *const words[] = { [LATER] = "waiting", [DONE] = "sent", [NEVER] = "failed" };

	for (size_t i = 0; i < l->envelope.n; i++) {
		const struct fate_recipient *r = &l->fate.to[i];
		struct buf shown = { 0 };

		print_masked("to", l->envelope.to[i].address);
		print_recipients_wishes(&l->envelope.to[i]);
		codec_mask(&shown, str_of(r->text));
		printf("%-10s %s%s%s\n", "", words[r->outcome], shown.len > 0 ? ": " : "",
		    buf_c(&shown));
		buf_free(&shown);
	}
}

/* The text as it lies in the queue, made harmless for a terminal. */
static void
print_text(const struct letter *l)
{
	off_t at = spool_text_at(l);
	struct buf shown = { 0 };
	char chunk[8192];
	size_t n;

	while (file_read_at(l->fd, chunk, sizeof chunk, at, &n) == 0 && n > 0) {
		struct str rest = str_from(chunk, n), line;

		for (; rest.len > 0; ) {
			bool ended = str_has(rest, '\n');

			str_line(&rest, &line);
			buf_clear(&shown);
			codec_mask(&shown, line);
			if (ended)
				buf_addc(&shown, '\n');
			fwrite(buf_c(&shown), 1, shown.len, stdout);
		}
		at += (off_t)n;
	}
	buf_free(&shown);
}

/* Why nothing at all goes, which a message's own fate does not tell. */
static void
print_health(const struct desk *d)
{
	struct buf shown = { 0 };
	struct health h;

	health_load(&d->spool, d->config.smarthost.name, &h);
	health_describe(&h, d->config.smarthost.name, time(NULL), &shown);
	if (shown.len > 0)
		printf("%-10s %s\n", "account", buf_c(&shown));
	buf_free(&shown);
}

static enum outcome
do_show(struct desk *d, struct why *why)
{
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o;

	if (d->args[0] == NULL || d->args[1] != NULL)
		return refuse(why, EX_USAGE, "show one message: subpost show ID");
	o = steer_find(&d->spool, d->args[0], false, &l, &place, why);
	if (o == DONE) {
		printf("%-10s %s\n", "id", d->args[0]);
		printf("%-10s %s\n", "place", place == SPOOL_FAILED ? "failed/: given up" : "queue/");
		if (l.damaged) {
			print_masked("held", why->text);
		} else {
			if (l.fate.held)
				print_masked("held", l.fate.hold_reason);
			print_time("arrived", l.envelope.arrived);
			printf("%-10s %lu\n", "uid", (unsigned long)l.envelope.uid);
			printf("%-10s %llu octets\n", "size", (unsigned long long)stamp_text_len(&l.stamp));
			print_masked("from", l.envelope.from[0] != '\0' ? l.envelope.from : "<>");
			print_wishes(&l.envelope.wishes);
			print_recipients(&l);
			printf("%-10s %u\n", "tries", l.fate.tries);
			if (l.fate.next > time(NULL))
				print_time("next", l.fate.next);
			if (l.fate.last.text[0] != '\0')
				print_masked("last", l.fate.last.text);
			if (place == SPOOL_QUEUE)
				print_health(d);
			putchar('\n');
			print_text(&l);
		}
	}
	spool_letter_free(&l);
	return o;
}

/* ---- retry, delete -------------------------------------------------------------------- */

static enum outcome
do_retry(struct desk *d, struct why *why)
{
	bool all = d->args[0] == NULL || strcmp(d->args[0], "all") == 0;
	enum outcome o = DONE;
	size_t waiting;

	if (all)
		o = steer_retry_all(&d->spool, true, &waiting, why);
	for (char **id = d->args; o == DONE && !all && *id != NULL; id++)
		o = steer_retry(&d->spool, *id, why);
	if (o == DONE)
		o = wake_runner(&d->spool, STR("retry"), true, why);
	return o;
}

static enum outcome
delete_one(struct desk *d, const char *id, struct why *why)
{
	struct buf words = { 0 };
	struct letter l = LETTER_INIT;
	enum spool_place place;
	enum outcome o = steer_find(&d->spool, id, true, &l, &place, why);

	if (o == DONE)
		o = place == SPOOL_FAILED ? spool_forget(&d->spool, id, why) :
		    spool_remove(&d->spool, id, why);
	if (o == DONE) {
		log_event(LOG_NOTICE, "deleted", "id", id, "from",
		    l.envelope.from != NULL && l.envelope.from[0] == '\0' ? "<>" : l.envelope.from, NULL);
		/* The runner looks for it, and forgets it. */
		buf_addf(&words, "wake %s", id);
		wake_send(&d->spool, buf_str(&words));
	}
	buf_free(&words);
	spool_letter_free(&l);
	return o;
}

static enum outcome
do_delete(struct desk *d, struct why *why)
{
	enum outcome o = DONE;

	if (d->args[0] == NULL)
		return refuse(why, EX_USAGE, "delete which? subpost delete ID...");
	log_to(spool_open_log(&d->spool));
	for (char **id = d->args; o == DONE && *id != NULL; id++)
		o = delete_one(d, *id, why);
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
try_account(const struct config *c, struct why *why)
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
	pid = errand_start(&fd, "--check");
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

/* Called with what could be read of the configuration, good or not. */
static enum outcome
do_check(struct desk *d, enum outcome loaded, struct why *why)
{
	enum outcome o;

	for (unsigned i = 0; i < d->config.nfiles; i++)
		printf("read     %s\n", d->config.files[i].path);
	print_problems(&d->config);
	if (loaded != DONE)
		return loaded;
	print_account(&d->config);
	if ((o = spool_open(&d->spool, d->config.directory, d->config.path, why)) != DONE)
		return o;
	printf("queue    %s\n", d->spool.path);
	fflush(stdout);
	if ((o = try_account(&d->config, why)) == DONE)
		printf("good     mail can be sent\n");
	return o;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	enum outcome (*run)(struct desk *d, struct why *why);
	const char *help;
} verbs[] = {
	{ "queue", do_queue, "queue [--json]       what waits, and why" },
	{ "show", do_show, "show ID              one message, what happened to it, its text" },
	{ "retry", do_retry, "retry [ID...|all]    try again now" },
	{ "delete", do_delete, "delete ID...         remove without sending" },
	{ "check", NULL, "check                read the configuration, try the account" },
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

/* Options of a verb: so far only --json, for queue. */
static bool
take_options(struct desk *d, const struct verb *v)
{
	char **to = d->args;

	for (char **from = d->args; *from != NULL; from++) {
		if (v->run == do_queue && strcmp(*from, "--json") == 0)
			d->json = true;
		else if ((*from)[0] == '-')
			return false;
		else
			*to++ = *from;
	}
	*to = NULL;
	return v->run != NULL || d->args[0] == NULL;
}

int
main(int argc, char **argv)
{
	struct desk d = { .spool = SPOOL_INIT };
	const struct verb *v = NULL;
	struct why why = { 0 };
	enum outcome o;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0))
		return usage(stdout, EX_OK);
	for (size_t i = 0; argc >= 2 && i < VERBS; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			v = &verbs[i];
	if (v == NULL)
		return usage(stderr, EX_USAGE);
	d.args = argv + 2;
	if (!take_options(&d, v))
		return usage(stderr, EX_USAGE);
	/* A full file is an error to be told, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	log_open("subpost");
	o = config_load(&d.config, false, &why);
	if (v->run == NULL)
		o = do_check(&d, o, &why);
	else if (o == DONE &&
	    (o = spool_open(&d.spool, d.config.directory, d.config.path, &why)) == DONE)
		o = v->run(&d, &why);
	if (fflush(stdout) != 0 && o == DONE)
		o = refuse(&why, EX_IOERR, "cannot write: %s", strerror(errno));
	if (o != DONE)
		fprintf(stderr, "subpost: %s\n", why.text);
	spool_close(&d.spool);
	config_free(&d.config);
	return outcome_exit(o, &why);
}
