/* sendmail: the face that forty years of callers know; also mailq and newaliases.
 * A small program that must start in the time of a trivial one: it links no TLS
 * and no SASL.  What was asked for is read by options.h; here is done. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "await.h"
#include "clock.h"
#include "config.h"
#include "file.h"
#include "intake.h"
#include "log.h"
#include "mailq.h"
#include "newaliases.h"
#include "options.h"
#include "recipients.h"
#include "smtpin.h"
#include "spool.h"
#include "steer.h"
#include "submit.h"
#include "wake.h"

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

/* The message is durable; the caller may want to know more than that. */
static enum outcome
let_go(const struct call *c, struct counter *counter, struct why *why)
{
	long seconds = c->wait != WAIT_UNSAID ? c->wait : c->interactive ? counter->config.wait : 0;
	struct await await = AWAIT_INIT;
	enum outcome o = DONE;

	if (seconds > 0)
		await_prepare(&await, &counter->spool, counter->id, c->verbose);
	submit_release(counter);
	if (seconds > 0) {
		o = await_outcome(&await, &counter->spool, counter->id, seconds, why);
		await_end(&await, &counter->spool, counter->id);
	}
	return o;
}

static enum outcome
deliver(const struct call *c, struct why *why)
{
	struct counter counter = COUNTER_INIT;
	struct recipients to = { 0 };
	struct submission asked = { .from_header = c->from_header, .sender = c->sender,
		.full_name = c->full_name, .to = &to, .notify = c->notify, .wishes = c->wishes };
	enum outcome o;

	for (size_t i = 0; i < c->to.n; i++)
		recipients_add(&to, buf_str(&c->to.v[i].spec), 0, STR(""));
	counter.verbose = c->verbose;
	o = submit_open(&counter, why);
	if (o == DONE) {
		submit_begin(&counter, &asked);
		if ((o = read_text(&counter, !c->dots_are_text && !counter.config.dots_are_text,
		    why)) == DONE)
			o = submit_end(&counter, why);
		if (o == DONE)
			o = let_go(c, &counter, why);
		else
			submit_drop(&counter);
	}
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

static enum outcome
list(const struct call *c, struct why *why)
{
	(void)c;
	return mailq_list(false, stdout, why);
}

/* Says what it did, since somebody may be looking; an empty queue is silent,
 * since cron jobs call this, too. */
static enum outcome
flush(const struct call *c, struct why *why)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	size_t waiting = 0;
	enum outcome o;

	if ((o = config_load(&config, false, why)) == DONE &&
	    (o = spool_open(&spool, config.directory, config.path, why)) == DONE)
		o = c->retry_id != NULL ? steer_retry(&spool, c->retry_id, why) :
		    steer_retry_all(&spool, false, &waiting, why);
	if (o == DONE)
		o = wake_runner(&spool, STR("retry"), true, why);
	if (o == DONE && c->retry_id != NULL)
		printf("%s is tried now\n", c->retry_id);
	else if (o == DONE && waiting > 0)
		printf("%zu message%s tried now\n", waiting, waiting == 1 ? " is" : "s are");
	else if (o == DONE && c->verbose)
		printf("the queue is empty\n");
	spool_close(&spool);
	config_free(&config);
	return o;
}

static enum outcome
check_aliases(const struct call *c, struct why *why)
{
	(void)c;
	return newaliases_check(stdout, why);
}

/* Each address is answered; the last one that would be refused is the outcome. */
static enum outcome
explain(const struct call *c, struct why *why)
{
	struct config config = { 0 };
	struct directory directory = { .config = &config };
	enum outcome o, worst = DONE;
	struct why reason = { 0 };

	if ((o = config_load(&config, false, why)) != DONE)
		goto out;
	for (size_t i = 0; i < c->to.n; i++) {
		if (recipients_explain(&directory, buf_str(&c->to.v[i].spec), stdout, &reason) == DONE)
			continue;
		if (worst != DONE)
			fprintf(stderr, "sendmail: %s\n", why->text);
		*why = reason;
		worst = NEVER;
	}
	o = worst;
out:
	directory_free(&directory);
	config_free(&config);
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
