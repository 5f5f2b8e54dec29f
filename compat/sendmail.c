/* sendmail: the face that forty years of callers know; also mailq and newaliases.
 * A small program that must start in the time of a trivial one: it links no TLS
 * and no SASL.  What was asked for is read by options.h; here is done. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "file.h"
#include "intake.h"
#include "log.h"
#include "newaliases.h"
#include "office.h"
#include "options.h"
#include "recipients.h"
#include "smtpin.h"
#include "submit.h"

#define CHUNK 65536             /* octets read at a time; more is not faster */
#define HEAR_OUT_TIME 1         /* seconds and octets that one who is refused may still say */
#define HEAR_OUT_MAX (64 << 20)

/* ---- a message --------------------------------------------------------------------- */

/* Whoever holds the other end may have made it non-blocking for both. */
static int
read_input(char *p, size_t size, size_t *n)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	while (file_read(STDIN_FILENO, p, size, n) < 0)
		if (errno != EAGAIN || (poll(&in, 1, -1) < 0 && errno != EINTR))
			return -1;
	return 0;
}

static enum outcome
read_text(struct counter *counter, bool dots, struct why *why)
{
	struct intake intake = { .dots = dots };
	struct buf raw = { 0 }, text = { 0 };
	enum outcome o = DONE;
	bool over = false;
	size_t n;

	buf_reserve(&raw, CHUNK);
	while (o == DONE && !over) {
		if (read_input(raw.p, CHUNK, &n) < 0) {
			o = refuse(why, EX_IOERR, "cannot read the message: %s", strerror(errno));
			break;
		}
		buf_clear(&text);
		intake_feed(&intake, str_from(raw.p, n), &text);
		over = n == 0 || intake.ended;
		if (over)
			intake_end(&intake, &text);
		if (intake.saw_nul)
			o = refuse(why, EX_DATAERR, "the message holds a NUL octet, which no mail may; "
			    "encode it, for example in base64");
		else
			o = submit_text(counter, buf_str(&text), why);
	}
	buf_free(&raw);
	buf_free(&text);
	return o;
}

static enum outcome
submit(const struct call *c, struct counter *counter, struct submission *asked, struct why *why)
{
	const struct config *config = &counter->office.config;
	enum outcome o;

	asked->wait = c->wait != WAIT_UNSAID ? c->wait : c->interactive ? config->wait : 0;
	submit_begin(counter, asked);
	o = read_text(counter, !c->dots_are_text && !config->dots_are_text, why);
	if (o == DONE)
		o = submit_end(counter, why);
	if (o != DONE) {
		submit_drop(counter);
		return o;
	}
	submit_release(counter);
	/* It is durable; the caller may want to know more than that. */
	return asked->wait > 0 ? submit_await(counter, why) : DONE;
}

static enum outcome
deliver(const struct call *c, struct why *why)
{
	struct counter counter = COUNTER_INIT;
	struct recipients to = { 0 };
	struct submission asked = { .from_header = c->from_header, .sender = c->sender,
		.full_name = c->full_name, .to = &to, .notify = c->notify, .wishes = c->wishes,
		.dialogue = c->verbose };
	enum outcome o;

	for (size_t i = 0; i < c->to.n; i++)
		recipients_add(&to, buf_str(&c->to.v[i].spec), 0, STR(""));
	counter.verbose = c->verbose;
	if ((o = submit_open(&counter, why)) == DONE)
		o = submit(c, &counter, &asked, why);
	submit_close(&counter);
	recipients_free(&to);
	return o;
}

/* A client that speaks SMTP reads its standard input and not our standard error:
 * it is told in its own words why there is no greeting. */
static enum outcome
serve(const struct call *c, struct why *why)
{
	struct counter counter = COUNTER_INIT;
	enum outcome o;

	counter.verbose = c->verbose;
	o = submit_open(&counter, why);
	if (o == DONE)
		o = smtpin_serve(&counter, STDIN_FILENO, STDOUT_FILENO, c->mode == MODE_BATCH, why);
	else if (c->mode == MODE_SMTP)
		printf("421 4.3.0 %s\r\n", why->text);
	submit_close(&counter);
	return o;
}

/* ---- the queue and the names ---------------------------------------------------------- */

/* Which office it is: for -v, and for all ways alike. */
static void
say_which(const struct call *c, const struct office *office)
{
	struct buf shown = { 0 };

	if (!c->verbose)
		return;
	codec_mask(&shown, buf_str(&office->reason));
	fprintf(stderr, "sendmail: %s\n", buf_c(&shown));
	buf_free(&shown);
}

static enum outcome
ask(const struct call *c, char *const *words, FILE *out, struct why *why)
{
	struct office office = OFFICE_INIT;
	enum outcome o;

	if ((o = office_open(&office, why)) == DONE) {
		say_which(c, &office);
		o = office_ask(&office, words, out, why);
	}
	office_close(&office);
	return o;
}

static enum outcome
list(const struct call *c, struct why *why)
{
	char *const words[] = { "list", NULL };

	return ask(c, words, stdout, why);
}

/* Says what it did, since somebody may be looking; an empty queue is silent,
 * since cron jobs call this, too. */
static enum outcome
flush(const struct call *c, struct why *why)
{
	char *id = (char *)c->retry_id;
	char *const words[] = { "flush", c->verbose ? "verbose" : id, c->verbose ? id : NULL, NULL };

	return ask(c, words, stdout, why);
}

static enum outcome
check_aliases(const struct call *c, struct why *why)
{
	struct office office = OFFICE_INIT;
	enum outcome o;

	if ((o = office_look(&office, why)) == DONE) {
		say_which(c, &office);
		o = newaliases_check(&office.config, stdout, why);
	}
	office_close(&office);
	return o;
}

/* Each address is answered; the last one that would be refused is the outcome. */
static enum outcome
explain_all(const struct call *c, struct directory *directory, struct why *why)
{
	enum outcome worst = DONE;
	struct why reason = { 0 };

	for (size_t i = 0; i < c->to.n; i++) {
		if (recipients_explain(directory, buf_str(&c->to.v[i].spec), stdout, &reason) == DONE)
			continue;
		if (worst != DONE)
			fprintf(stderr, "sendmail: %s\n", why->text);
		*why = reason;
		worst = NEVER;
	}
	return worst;
}

static enum outcome
explain(const struct call *c, struct why *why)
{
	struct office office = OFFICE_INIT;
	struct directory directory = { .config = &office.config };
	enum outcome o;

	if ((o = office_look(&office, why)) == DONE) {
		say_which(c, &office);
		directory.elsewhere = office.kind == OFFICE_SERVICE;
		o = explain_all(c, &directory, why);
	}
	directory_free(&directory);
	office_close(&office);
	return o;
}

static enum outcome (*const ways[])(const struct call *c, struct why *why) = {
	[MODE_DELIVER] = deliver, [MODE_LIST] = list, [MODE_ALIASES] = check_aliases,
	[MODE_VERIFY] = explain, [MODE_SMTP] = serve, [MODE_BATCH] = serve, [MODE_FLUSH] = flush,
};

/* ---- the process ------------------------------------------------------------------------ */

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

/* Who still writes into a pipe that nobody reads dies of SIGPIPE, most before
 * they have asked for our exit status.  So a refused caller may finish, unless
 * it is slow or has no end. */
static void
hear_out(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	double left, end = clock_now() + HEAR_OUT_TIME;
	size_t heard = 0;
	char room[CHUNK];
	struct stat st;
	ssize_t n;

	if (fstat(STDIN_FILENO, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return;
	while (heard < HEAR_OUT_MAX && (left = end - clock_now()) > 0 &&
	    poll(&in, 1, (int)(left * 1000) + 1) > 0 &&
	    (n = read(STDIN_FILENO, room, sizeof room)) > 0)
		heard += (size_t)n;
}

/* The names that mean more than sendmail. */
static const struct face {
	const char *name;
	enum mode mode;
} faces[] = {
	{ "mailq", MODE_LIST },
	{ "newaliases", MODE_ALIASES },
};

static const char *
choose_face(const char *path, enum mode *mode)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;

	for (size_t i = 0; i < sizeof faces / sizeof faces[0]; i++) {
		if (strcmp(name, faces[i].name) == 0) {
			*mode = faces[i].mode;
			return faces[i].name;
		}
	}
	return "sendmail";
}

int
main(int argc, char **argv)
{
	struct call c = { 0 };
	struct why why = { 0 };
	const char *name = "sendmail";
	enum outcome o;

	tidy_process();
	if (argc > 0)
		name = choose_face(argv[0], &c.mode);
	log_open(name);
	o = argc > 0 ? options_read(&c, argv + 1, &why) :
	    refuse(&why, EX_USAGE, "called without a name");
	if (o == DONE)
		o = ways[c.mode](&c, &why);
	if (fflush(stdout) != 0 && o == DONE)
		o = refuse(&why, EX_IOERR, "cannot write: %s", strerror(errno));
	if (o != DONE)
		fprintf(stderr, "%s: %s\n", name, why.text);
	if (o != DONE && c.mode == MODE_DELIVER)
		hear_out();
	call_free(&c);
	return outcome_exit(o, &why);
}
