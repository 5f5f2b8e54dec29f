/* courier: one conversation with a smarthost, for many messages; the main of
 * subpost-courier.
 *
 * First it collects what lies about in the world: configuration, secret, trust
 * store, time zone, addresses, the connection.  Then it shuts itself in, before
 * it reads the smarthost's first octet.  Messages come as open descriptors, and
 * all it can do with what it learns is to report (errand.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "complete.h"
#include "config.h"
#include "conn.h"
#include "errand.h"
#include "file.h"
#include "force.h"
#include "sandbox.h"
#include "secret.h"
#include "smtp.h"
#include "spool.h"
#include "tls.h"
#include "trace.h"
#include "wake.h"

#define RESOLVE_TIME 120        /* seconds a resolver and all addresses may take */
#define ORPHAN_TIME 600         /* seconds an orphan looks for somebody to tell */
#define TELL_TIMES 20           /* how often it tells what seems not to be noted */

/* What has been reported and not yet noted: until it is, the words are kept to
 * be told again, and the message stays locked by our descriptor of it. */
struct debt {
	bool open;
	char id[ENVELOPE_ID_LEN + 1];
	struct buf *records;
	size_t n;
	int fd;
	bool all_done;          /* everybody has got it */
};

struct courier {
	struct config config;
	struct buf secret;
	struct buf helo;
	struct conn conn;
	struct trace trace;     /* of this connection, for those who look on */
	struct tls *tls;
	struct smtp smtp;
	bool checking;          /* for `subpost check`: tell each step */
	double step_began;
	int wake;               /* to tell the next runner, should ours die */
	char *wake_path;
	struct debt debt;
	bool orphan;            /* the runner is gone */
	bool quit;
	unsigned carried;       /* messages */
};

/* ---- reporting -------------------------------------------------------------- */

static void
say(struct courier *c, struct buf *record)
{
	if (!errand_say(ERRAND_FD, buf_str(record)))
		c->orphan = true;
	buf_free(record);
}

static void
say_down(struct courier *c, enum outcome o, const struct why *why)
{
	struct buf record = { 0 };

	errand_put_down(&record, o, why);
	say(c, &record);
}

static void __attribute__((format(printf, 2, 3)))
step(struct courier *c, const char *fmt, ...)
{
	struct buf record = { 0 };
	double now = clock_now();
	va_list ap;

	if (c->checking) {
		buf_addf(&record, "step %.0f ", (now - c->step_began) * 1000);
		va_start(ap, fmt);
		buf_addv(&record, fmt, ap);
		va_end(ap);
		say(c, &record);
	}
	c->step_began = now;
}

static void
clear_debt(struct courier *c)
{
	if (!c->debt.open)
		return;
	for (size_t i = 0; i < c->debt.n; i++)
		buf_free(&c->debt.records[i]);
	free(c->debt.records);
	close(c->debt.fd);
	c->debt = (struct debt){ 0 };
}

static void
pause_a_moment(void)
{
	const struct timespec moment = { 0, 200 * 1000 * 1000 };

	nanosleep(&moment, NULL);
}

/* Tells it all once; false when nobody is there before the end. */
static bool
tell_once(const struct courier *c, double end)
{
	for (size_t i = 0; i < c->debt.n; ) {
		if (clock_now() >= end)
			return false;
		if (wake_send_on(c->wake, c->wake_path, buf_str(&c->debt.records[i])) == WAKE_SENT)
			i++;
		else
			pause_a_moment();
	}
	while (!wake_is_read(c->wake) && clock_now() < end)
		pause_a_moment();
	return true;
}

static bool
is_put_away(const struct debt *d)
{
	struct stat st;

	return fstat(d->fd, &st) == 0 && st.st_nlink == 0;
}

/* An answer that nobody is left to hear would be lost, and the message sent
 * again: it goes to the next runner.  Until one has it, nobody else sends that
 * message, since its lock is ours.  A message that all have got vanishes when
 * that is noted, so that one can be told again should that runner die too; of
 * any other it cannot be seen. */
static void
tell_next_runner(const struct courier *c)
{
	double end = clock_now() + ORPHAN_TIME;

	for (int i = 0; i < TELL_TIMES && tell_once(c, end); i++) {
		pause_a_moment();
		if (!c->debt.all_done || is_put_away(&c->debt))
			break;
	}
}

/* Waits for the word that what we reported is on disk. */
static bool
await_noted(struct courier *c)
{
	while (c->debt.open && !c->orphan) {
		struct errand e = { 0 };

		switch (errand_read(ERRAND_FD, true, &e)) {
		case ERRAND_NOTED:
			if (strcmp(e.id, c->debt.id) == 0)
				clear_debt(c);
			break;
		case ERRAND_QUIT:
			c->quit = true;
			break;
		case ERRAND_JOB:
			/* Given ahead, and now not for us: it goes back with our end. */
			break;
		default:
			c->orphan = true;
			break;
		}
		errand_free(&e);
	}
	return !c->debt.open;
}

/* Tells every recipient's answer, and keeps the words and the lock until they
 * are noted. */
static void
report(struct courier *c, struct errand *job, const struct smtp_message *m)
{
	struct debt *d = &c->debt;

	/* A message that got no final dot has not waited for the last one's word. */
	if (!await_noted(c)) {
		tell_next_runner(c);
		clear_debt(c);
	}
	*d = (struct debt){ .open = true, .n = m->n + 1, .fd = job->fd };
	job->fd = -1;
	memcpy(d->id, job->id, sizeof d->id);
	d->records = mem_alloc(d->n * sizeof *d->records);
	d->all_done = true;
	for (size_t i = 0; i < m->n; i++) {
		d->all_done = d->all_done && m->outcome[i] == DONE;
		errand_put_to(&d->records[i], job->id, job->recipients[i], m->outcome[i], &m->why[i]);
	}
	errand_put_end(&d->records[m->n], job->id);
	for (size_t i = 0; i < d->n && !c->orphan; i++)
		if (!errand_say(ERRAND_FD, buf_str(&d->records[i])))
			c->orphan = true;
}

/* ---- collecting ---------------------------------------------------------------- */

/* Our name for EHLO: a usable host name, else an address literal (RFC 5321
 * sections 4.1.1.1 and 4.1.3). */
static void
choose_helo(struct courier *c)
{
	config_hostname(&c->config, &c->helo);
	if (c->helo.len == 0)
		buf_addf(&c->helo, "[%s%s]", c->conn.local_is_v6 ? "IPv6:" : "", c->conn.local);
}

/* The wake-up socket of our queue, for the case that our runner dies.  Found
 * from the configuration, since no option names a file. */
static void
prepare_wake(struct courier *c)
{
	struct spool s = SPOOL_INIT;

	s.path = c->config.directory;
	c->wake = wake_socket();
	c->wake_path = wake_path(&s);
}

static enum outcome
collect(struct courier *c, struct why *why)
{
	const struct smarthost *h = &c->config.smarthost;
	bool with_auth = strcmp(h->auth, "none") != 0;
	enum outcome o;

	if (with_auth) {
		if ((o = secret_get(h, &c->secret, why)) != DONE)
			return o;
		step(c, "the password is there");
	}
	if (h->tls != TLS_NONE) {
		if ((o = tls_prepare(&c->tls, h->tls_name[0] != '\0' ? h->tls_name : h->host,
		    h->tls_ca_file, why)) != DONE)
			return o;
		step(c, "the trust store is loaded");
	}
	tzset();
	prepare_wake(c);
	/* The C library's resolver knows no deadline; an alarm does, and the runner
	 * can tell that end from others. */
	alarm(RESOLVE_TIME);
	o = conn_open(&c->conn, h->host, h->port, why);
	alarm(0);
	if (o == DONE) {
		step(c, "connected to %s port %u", c->conn.peer, h->port);
		conn_note(&c->conn, "--- connected to %s (%s) port %u", h->host, c->conn.peer, h->port);
	}
	return o;
}

static void
shut_in(struct courier *c)
{
	struct buf missing = { 0 }, record = { 0 };

	sandbox_shut(c->wake, &missing);
	if (missing.len > 0) {
		buf_addf(&record, "note sandbox is not whole: %s", buf_c(&missing));
		say(c, &record);
	}
	buf_free(&missing);
}

/* ---- the session ----------------------------------------------------------------- */

static void
forget_secret(struct courier *c)
{
	buf_wipe(&c->secret);
	buf_wipe(&c->config.smarthost.password);
}

static enum outcome
open_session(struct courier *c, struct why *why)
{
	const struct smarthost *h = &c->config.smarthost;
	struct buf channel = { 0 };
	enum outcome o = DONE;

	choose_helo(c);
	c->smtp = (struct smtp){ .conn = &c->conn, .helo = buf_c(&c->helo) };
	if (h->tls == TLS_IMPLICIT)
		o = conn_start_tls(&c->conn, c->tls, 60, why);
	if (o == DONE)
		o = smtp_greet(&c->smtp, why);
	if (o == DONE && h->tls == TLS_STARTTLS)
		o = smtp_starttls(&c->smtp, c->tls, why);
	if (o != DONE)
		return o;
	if (h->tls != TLS_NONE) {
		tls_describe(c->tls, &channel);
		step(c, "encrypted with %s, certificate good for %s", buf_c(&channel),
		    h->tls_name[0] != '\0' ? h->tls_name : h->host);
		buf_free(&channel);
	}
	if (strcmp(h->auth, "none") == 0)
		return DONE;
	o = smtp_auth(&c->smtp, h->auth, str_of(h->user), buf_str(&c->secret), why);
	forget_secret(c);
	if (o == DONE)
		step(c, "logged in as %s", h->user);
	return o;
}

/* ---- messages ---------------------------------------------------------------------- */

/* Before a final dot: the last message's outcome is on disk, and somebody is
 * there to hear this one's. */
static bool
may_end(void *arg)
{
	struct courier *c = arg;
	struct pollfd p = { .fd = ERRAND_FD };

	if (!await_noted(c))
		return false;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
		c->orphan = true;
	return !c->orphan;
}

static bool
all_sendable(const struct envelope *e)
{
	if (!address_is_sendable(str_of(e->from)))
		return false;
	for (size_t i = 0; i < e->n; i++)
		if (!address_is_sendable(str_of(e->to[i].address)))
			return false;
	return true;
}

static void
hold(struct courier *c, const char *id, const char *reason)
{
	struct buf record = { 0 };

	buf_addf(&record, "hold %s %s", id, reason);
	say(c, &record);
}

/* Reads the head of an open message file again: what we were handed is believed
 * as little as what lies on the disk. */
static bool
read_head(int fd, struct letter *l, const char *id, struct why *why)
{
	return spool_read_open(fd, id, l, why) && all_sendable(&l->envelope);
}

/* As smtp_message counts a size: CRLF for each LF. */
static uint64_t
wire_size(struct str s)
{
	uint64_t size = s.len;

	for (size_t i = 0; i < s.len; i++)
		size += s.p[i] == '\n';
	return size;
}

/* The header at the beginning of the text.  m->head_len is what it takes of that,
 * with the empty line and what else had to be read to see its end; it goes off
 * m->size.  False when the file ends too early. */
static bool
read_header(struct smtp_message *m, struct header *h)
{
	char chunk[4096];
	size_t n, used;

	while (!h->over && !h->too_long && m->head_len < m->text_len) {
		uint64_t left = m->text_len - m->head_len;

		if (file_read_at(m->fd, chunk, left < sizeof chunk ? (size_t)left : sizeof chunk,
		    m->text_at + (off_t)m->head_len, &n) < 0 || n == 0)
			return false;
		header_feed(h, str_from(chunk, n), &used);
		m->head_len += used;
		m->size -= wire_size(str_from(chunk, used));
	}
	header_end(h);
	return true;
}

/* Makes from, the account's address, the one that the message is from.  NEVER where its
 * header is beyond all bounds, LATER where it is damaged. */
static enum outcome
force(const char *from, struct smtp_message *m, struct buf *head, struct why *why)
{
	struct header h = { .limit = COMPLETE_MAX };
	enum outcome o = DONE;

	if (!read_header(m, &h)) {
		m->damaged = true;
		m->damage = "its text cannot be read to the end";
		o = LATER;
	} else if (h.too_long) {
		o = never(why, SCOPE_MESSAGE, "5.6.0", "its header is over %u octets, too long for "
		    "force-from to change it", COMPLETE_MAX);
	} else {
		force_header(&h, str_of(from), head);
		buf_addstr(head, header_rest(&h));
		/* All of the text may be header, and the last line may have no end. */
		if (m->head_len == m->text_len)
			m->size = head->p[head->len - 1] == '\n' ? 0 : 2;
		m->size += wire_size(buf_str(head));
		m->head = buf_str(head);
		if (m->from[0] != '\0')
			m->from = from;
	}
	header_free(&h);
	return o;
}

/* Sends it, or finds that it cannot be.  uid: who submitted it, and may have an
 * address of their own on this account. */
static void
send_message(struct courier *c, struct smtp_message *m, uid_t uid)
{
	struct config view;
	struct buf head = { 0 };
	struct why why;
	enum outcome o = DONE;

	config_view(&c->config, uid, &view);
	if (view.smarthost.force_from)
		o = force(view.smarthost.from, m, &head, &why);
	if (o == DONE)
		smtp_send(&c->smtp, m);
	for (size_t i = 0; o == NEVER && i < m->n; i++) {
		m->outcome[i] = NEVER;
		m->why[i] = why;
	}
	buf_free(&head);
}

/* From here on the dialogue is written down, if somebody looks on. */
static void
show_job(struct courier *c, struct errand *job)
{
	trace_begin(&c->trace, job->id, job->has_trace ? job->trace : -1);
	job->trace = -1;
}

/* What was no answer of the server's would be missing in the dialogue. */
static void
show_silence(struct courier *c, const struct smtp_message *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->outcome[i] == DONE || m->why[i].code != 0)
			continue;
		conn_note(&c->conn, "--- %s", m->why[i].text);
		break;
	}
}

/* What the sender wished to be told, and this server knows nothing of. */
static void
note_dropped(struct courier *c, const char *id, const struct smtp_message *m)
{
	bool wished = m->wishes.ret != DSN_RETURN_UNSAID || m->wishes.envid != NULL;
	struct buf record = { 0 };

	for (size_t i = 0; i < m->n && !wished; i++)
		wished = m->to[i].notify != 0 || m->to[i].orcpt != NULL;
	if (!wished || c->smtp.offers.dsn)
		return;
	buf_addf(&record, "note %s: the server offers no DSN, so what the sender wishes to be told "
	    "was not passed on", id);
	conn_note(&c->conn, "--- %s", buf_c(&record) + strlen("note "));
	say(c, &record);
}

static void
carry(struct courier *c, struct errand *job)
{
	struct letter l = LETTER_INIT;
	struct smtp_message m = { .may_end = may_end, .arg = c };
	struct why why = { 0 };
	struct recipient *to = mem_grow(NULL, job->n, sizeof *to);

	show_job(c, job);
	m.n = job->n;
	m.to = to;
	m.outcome = mem_alloc(job->n * sizeof *m.outcome);
	m.why = mem_alloc(job->n * sizeof *m.why);
	if (!read_head(job->fd, &l, job->id, &why) ||
	    job->recipients[job->n - 1] >= l.envelope.n) {
		hold(c, job->id, why.text[0] != '\0' ? why.text : "its envelope cannot be sent");
		goto out;
	}
	for (size_t i = 0; i < job->n; i++)
		to[i] = l.envelope.to[job->recipients[i]];
	m.from = l.envelope.from;
	m.wishes = l.envelope.wishes;
	m.size = stamp_wire_size(&l.stamp);
	m.eight_bit = l.stamp.eight_bit;
	m.fd = job->fd;
	m.text_at = spool_text_at(&l);
	m.text_len = stamp_text_len(&l.stamp);
	m.text_crc = l.stamp.text_crc;
	send_message(c, &m, l.envelope.uid);
	show_silence(c, &m);
	note_dropped(c, job->id, &m);
	if (m.damaged)
		hold(c, job->id, m.damage);
	else
		report(c, job, &m);
out:
	trace_end(&c->trace);
	l.fd = -1;              /* the job's, or by now the debt's */
	spool_letter_free(&l);
	free(m.outcome);
	free(m.why);
	free(to);
}

static void
serve(struct courier *c)
{
	while (!c->quit && !c->orphan && !c->smtp.lost) {
		struct errand e = { 0 };
		struct pollfd p[] = { { .fd = ERRAND_FD, .events = POLLIN },
			{ .fd = c->conn.fd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		/* A server that speaks while nobody has asked is ending the session. */
		if (p[1].revents != 0 && conn_has_surprise(&c->conn)) {
			struct why why;

			c->smtp.lost = true;
			if (c->carried == 0)
				say_down(c, later(&why, SCOPE_SERVER, "4.4.2", "the server ended "
				    "the session before any message"), &why);
			break;
		}
		if (p[0].revents == 0)
			continue;
		switch (errand_read(ERRAND_FD, false, &e)) {
		case ERRAND_JOB:
			carry(c, &e);
			c->carried++;
			break;
		case ERRAND_NOTED:
			if (strcmp(e.id, c->debt.id) == 0)
				clear_debt(c);
			break;
		case ERRAND_QUIT:
			c->quit = true;
			break;
		case ERRAND_NOTHING:
			break;
		default:
			c->orphan = true;
			break;
		}
		errand_free(&e);
	}
}

int
main(int argc, char **argv)
{
	struct courier c = { .conn = CONN_INIT, .trace = { .opening = true }, .wake = -1 };
	struct buf ready = { 0 };
	struct why why = { 0 };
	bool serving = false;
	enum outcome o;

	sandbox_no_core();
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2) {
		bool both = strcmp(argv[1], ERRAND_CHECK_SERVICE) == 0;

		c.checking = both || strcmp(argv[1], ERRAND_CHECK) == 0;
		serving = both || strcmp(argv[1], ERRAND_SERVICE) == 0;
	}
	if ((argc != 1 && !c.checking && !serving) || fcntl(ERRAND_FD, F_SETFD, FD_CLOEXEC) < 0) {
		fprintf(stderr, "subpost-courier: started by subpostd, not by hand; "
		    "to try an account type: subpost check\n");
		return EX_USAGE;
	}
	c.step_began = clock_now();
	c.conn.trace = &c.trace;
	o = serving ? config_load_service_secret(&c.config, &why) :
	    config_load(&c.config, true, &why);
	if (o != DONE)
		why.scope = SCOPE_ACCOUNT;
	if (o == DONE)
		o = collect(&c, &why);
	if (o == DONE) {
		shut_in(&c);
		o = open_session(&c, &why);
	}
	forget_secret(&c);
	if (o == DONE) {
		buf_adds(&ready, "ready");
		say(&c, &ready);
		serve(&c);
	} else {
		say_down(&c, o, &why);
	}
	if (c.debt.open && (c.orphan || !await_noted(&c)))
		tell_next_runner(&c);
	clear_debt(&c);
	smtp_quit(&c.smtp);
	conn_close(&c.conn);
	smtp_free(&c.smtp);
	trace_free(&c.trace);
	tls_free(&c.tls);
	buf_free(&c.helo);
	free(c.wake_path);
	config_free(&c.config);
	return 0;
}
