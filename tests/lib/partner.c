#include "partner.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "file.h"

static enum outcome
reach(struct conn *c, const char *host, unsigned port, struct why *why)
{
	return conn_open(c, &(struct conn_terms){ .host = host, .port = port, .source = "" }, why);
}

static enum outcome
prepare(struct tls **t, const char *name, const char *ca_file, struct why *why)
{
	const struct tls_terms terms = { .ca_file = ca_file, .pin = "", .cert_file = "", .key_file = "" };
	enum outcome o = tls_prepare(t, &terms, why);

	return o == DONE ? tls_expect(*t, name, NULL, why) : o;
}

/* ---- the far end ---- */

void
spew(const struct talk *t, const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, str_of(text)), 0);
	close(fd);
}

/* A file of the server's; empty where there is none. */
void
slurp(const struct talk *t, const char *name, struct buf *out)
{
	char path[128];

	buf_clear(out);
	snprintf(path, sizeof path, "%s/%s", t->dir, name);
	file_load(AT_FDCWD, path, out, 1 << 26);
}

static void
wait_for_port(struct talk *t)
{
	struct buf text = { 0 };
	uint64_t port = 0;

	for (int i = 0; i < 2000 && port == 0; i++) {
		slurp(t, "port", &text);
		if (!codec_number(str_trim(buf_str(&text)), 65535, &port))
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	buf_free(&text);
	assert_true(port > 0);
	t->port = (unsigned)port;
}

void
start_server(struct talk *t, enum kind kind, const char *script)
{
	static const char *const flags[] = { "--plain", "--starttls", "--implicit" };
	const char *build = getenv("SUBPOST_BUILD");
	char program[4096];

	*t = (struct talk){ .conn = CONN_INIT };
	snprintf(t->dir, sizeof t->dir, "/tmp/subpost-dialogue-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	spew(t, "script", script);
	snprintf(program, sizeof program, "%s/tests/lib/smarthost", build != NULL ? build : "build");
	t->server = fork();
	if (t->server == 0) {
		char path[128];

		/* It ends with us, whatever our end is. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		snprintf(path, sizeof path, "%s/script", t->dir);
		execl(program, "smarthost", "-d", t->dir, "-s", path, flags[kind],
		    kind == PLAIN ? "--no-auth" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	assert_true(t->server > 0);
	wait_for_port(t);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void
leave(struct talk *t)
{
	dialogue_free(&t->dialogue);
	dialogue_free(&t->dialogue);
	smtp_free(&t->smtp);
	smtp_free(&t->smtp);
	conn_close(&t->conn);
	tls_free(&t->tls);
	kill(t->server, SIGTERM);
	assert_int_equal(waitpid(t->server, NULL, 0), t->server);
	nftw(t->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- our end ---- */

static enum outcome
connect_to(struct talk *t)
{
	enum outcome o = reach(&t->conn, "127.0.0.1", t->port, &t->why);

	t->smtp = (struct smtp){ .conn = &t->conn, .helo = "client.example" };
	return o;
}

/* As far as the session of that kind goes without a login. */
enum outcome
open_session(struct talk *t, enum kind kind)
{
	char ca[128];
	enum outcome o = DONE;

	snprintf(ca, sizeof ca, "%s/ca.pem", t->dir);
	if (kind != PLAIN)
		assert_int_equal(prepare(&t->tls, "localhost", ca, &t->why), DONE);
	assert_int_equal(connect_to(t), DONE);
	if (kind == IMPLICIT)
		o = conn_start_tls(&t->conn, t->tls, 20, &t->why);
	if (o == DONE)
		o = smtp_greet(&t->smtp, &t->why);
	if (o == DONE && kind == STARTTLS)
		o = smtp_starttls(&t->smtp, t->tls, &t->why);
	return o;
}

void
begin(struct talk *t, const char *script)
{
	start_server(t, PLAIN, script);
	assert_int_equal(open_session(t, PLAIN), DONE);
}

static struct transaction *
next_mail(void *arg)
{
	struct talk *t = arg;
	struct mail *mail;

	if (t->npending == 0)
		return NULL;
	mail = t->pending[0];
	memmove(t->pending, t->pending + 1, --t->npending * sizeof t->pending[0]);
	return &mail->m;
}

static bool
has_more(void *arg)
{
	struct talk *t = arg;

	return t->hint == TRUTH ? t->npending > 0 : t->hint == ALWAYS_MORE;
}

static bool
may_end(void *arg, unsigned others)
{
	struct talk *t = arg;
	struct mail *mail = (struct mail *)(void *)t->dialogue.on_way[t->dialogue.n - 1];

	assert_int_equal(others, t->dialogue.n - 1);
	mail->asked++;
	mail->others = others;
	return !mail->forbidden;
}

static const struct recipient recipients[] = { { .address = (char []){ "one@example.org" } },
	{ .address = (char []){ "two@example.org" } }, { .address = (char []){ "three@example.org" } } };

void
write_mail(struct mail *mail, const char *text)
{
	struct str s = str_of(text);
	uint64_t lines = 0;
	int fd;

	*mail = (struct mail){ .m = { .from = "me@example.com", .to = recipients, .n = 3 } };
	fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(file_write(fd, STR("head")), 0);
	assert_int_equal(file_write(fd, s), 0);
	for (size_t i = 0; i < s.len; i++)
		lines += s.p[i] == '\n';
	mail->m.text = (struct text){ .fd = fd, .at = 4, .len = s.len, .crc = codec_crc32c(0, s.p, s.len),
		.size = s.len + lines, .plain = true };
	for (size_t i = 0; i < 3; i++)
		mail->a[i].outcome = DONE;      /* that it is not must be said */
}

/* Ready to be sent with the next send_all. */
void
post(struct talk *t, struct mail *mail)
{
	mail->m.answers = mail->a;
	t->dialogue.smtp = &t->smtp;
	t->dialogue.next = next_mail;
	t->dialogue.more = has_more;
	t->dialogue.may_end = may_end;
	t->dialogue.arg = t;
	t->pending[t->npending++] = mail;
}

/* Those who are to be asked for once more get another transaction. */
static void
send_again(struct talk *t, struct mail *mail)
{
	struct recipient to[3];
	size_t places[3];
	struct mail rest = { .m = { .from = mail->m.from, .to = to, .wishes = mail->m.wishes,
		.text = mail->m.text } };

	for (size_t i = 0; i < mail->m.n; i++) {
		if (!mail->a[i].again)
			continue;
		places[rest.m.n] = i;
		to[rest.m.n++] = mail->m.to[i];
	}
	if (rest.m.n == 0 || t->smtp.lost)
		return;
	post(t, &rest);
	assert_ptr_equal(dialogue_go_on(&t->dialogue), &rest.m);
	for (size_t i = 0; i < rest.m.n; i++)
		mail->a[places[i]] = rest.a[i];
	text_free(&rest.m.text);
}

void
send_mail(struct talk *t, struct mail *mail)
{
	post(t, mail);
	assert_ptr_equal(dialogue_go_on(&t->dialogue), &mail->m);
	assert_null(dialogue_go_on(&t->dialogue));
	for (size_t i = 0; i < mail->m.n; i++)
		assert_true(mail->a[i].why.text[0] != '\0');
	text_free(&mail->m.text);
	send_again(t, mail);
}

void
drop_mail(struct mail *mail)
{
	text_free(&mail->m.text);
	close(mail->m.text.fd);
}

/* ---- what the server saw ---- */

bool
holds(const struct talk *t, const char *name, struct str what)
{
	struct buf text = { 0 };
	bool found;

	slurp(t, name, &text);
	found = text.len > 0 && memmem(text.p, text.len, what.p, what.len) != NULL;
	buf_free(&text);
	return found;
}

bool
has_message(const struct talk *t, unsigned n)
{
	char path[128];

	snprintf(path, sizeof path, "%s/messages/%04u.eml", t->dir, n);
	return access(path, F_OK) == 0;
}

void
assert_no_violation(const struct talk *t)
{
	struct buf text = { 0 };

	slurp(t, "violations", &text);
	if (text.len > 0)
		print_error("%s", buf_c(&text));
	assert_int_equal(text.len, 0);
	buf_free(&text);
}

void
assert_all(const struct mail *mail, enum outcome o, enum scope scope)
{
	for (size_t i = 0; i < mail->m.n; i++) {
		if (mail->a[i].outcome != o || (o != DONE && mail->a[i].why.scope != scope))
			print_error("%zu: %s %s: %s\n", i, outcome_name(mail->a[i].outcome),
			    scope_name(mail->a[i].why.scope), mail->a[i].why.text);
		assert_int_equal(mail->a[i].outcome, o);
		if (o != DONE)
			assert_int_equal(mail->a[i].why.scope, scope);
	}
}

/* Sends one message to three on a fresh connection to a server with this script. */
void
try_script(struct talk *t, const char *script, struct mail *mail)
{
	begin(t, script);
	write_mail(mail, TEXT);
	send_mail(t, mail);
}

/* The same and a second message on that connection: everybody gets it. */
void
assert_next_goes_through(struct talk *t)
{
	struct mail next;

	assert_false(t->smtp.lost);
	write_mail(&next, TEXT);
	send_mail(t, &next);
	assert_all(&next, DONE, SCOPE_NONE);
	drop_mail(&next);
	assert_no_violation(t);
}

size_t
count_said(const struct talk *t, const char *what)
{
	struct buf raw = { 0 };
	size_t n = 0, len = strlen(what);

	slurp(t, "raw.1", &raw);
	for (const char *at = raw.p; at != NULL && raw.len > 0; n++) {
		at = memmem(at, raw.len - (size_t)(at - raw.p), what, len);
		if (at == NULL)
			break;
		at += len;
	}
	buf_free(&raw);
	return n;
}
