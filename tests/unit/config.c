#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "file.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Stands in values and unknown words: nothing that we say may have it. */
#define CANARY "c4nary"

#define LOGIN "user = me@example.com\npassword-command = pass show mail\n"
#define NO_USER "[smarthost]\nhost = smtp.example.com\nfrom = me@example.com\n"
#define NO_SECRET "[smarthost]\nhost = smtp.example.com\nuser = me@example.com\n"
#define ACCOUNT "[smarthost]\nhost = smtp.example.com\n" LOGIN
#define X10 "xxxxxxxxxx"
#define X40 X10 X10 X10 X10

static char dir[64];
static char user_file[128], system_file[128], secret_file[128];

static void
write_file(const char *path, struct str text, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, text), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

/* What the configuration says, a fact a line. */
static void
add_steps(struct buf *out, const char *name, const struct steps *steps)
{
	buf_adds(out, name);
	for (unsigned i = 0; i < steps->n; i++)
		buf_addf(out, " %u", steps->v[i]);
	buf_addc(out, '\n');
}

static void
tell(const struct config *c, struct buf *out)
{
	static const char *const modes[] = { "starttls", "implicit", "none" };
	const struct smarthost *s = &c->smarthost;

	buf_addf(out, "\nname %s\nhost %s\nport %u\ntls %s\ntls-name %s\ntls-ca-file %s\nauth %s\n"
	    "user %s\nfrom %s\nfrom-header %d\nforce-from %d\nsenders %s\n", s->name, s->host, s->port, modes[s->tls], s->tls_name,
	    s->tls_ca_file, s->auth, s->user, s->from, s->from_header, s->force_from, s->senders);
	buf_addf(out, "token-command %s\ntls-cert-file %s\n", s->token_command, s->tls_cert_file);
	buf_addf(out, "password-file %s\npassword-command %s\nhas-password %d\npassword-kept %zu\n",
	    s->password_file, s->password_command, s->has_password, s->password.len);
	buf_addf(out, "messages %u\nrecipients %u\ndomain %s\nhostname %s\nreceived %d\n",
	    s->messages_per_connection, s->recipients_per_message, c->domain, c->hostname,
	    c->received);
	buf_addf(out, "directory %s\nmax-size %llu\ngive-up-after %u\nkeep-failed %u\n",
	    c->directory,
	    (unsigned long long)c->max_size, c->give_up_after, c->keep_failed);
	buf_addf(out, "aliases %s\nroot %s\nrewrite-to %d\nmax-recipients %u\n", c->aliases, c->root,
	    c->rewrite_to, c->max_recipients);
	buf_addf(out, "wait %u\ndots %d\nsubtract %d\n", c->wait, c->dots_are_text, c->subtract);
	buf_addf(out, "rate %u/%u\nfrom-is-login %d\n", s->rate.n, s->rate.seconds, s->from_is_login);
	buf_addf(out, "socket %s\noperators %s\nuser-messages %u\nuser-rate %u/%u\nusers %u\n",
	    c->service.socket, c->service.operators, c->service.user_messages,
	    c->service.user_rate.n, c->service.user_rate.seconds, c->nusers);
	add_steps(out, "retry", &c->retry);
	add_steps(out, "retry-refused", &c->retry_refused);
}

static void
assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("expected \"%s\" in: %s", part, text);
}

static void
assert_quiet(const char *text)
{
	if (strstr(text, CANARY) != NULL)
		fail_msg("told what it may not: %s", text);
}

/* Reads the two files where they are given and looks at what holds always. */
static enum outcome
read_both(struct config *c, bool user, bool system, bool with_secrets, struct why *why)
{
	enum outcome o;
	unsigned errors = 0;

	memset(why, 0, sizeof *why);
	o = config_read(c, user ? user_file : NULL, system ? system_file : NULL, "/home/me",
	    with_secrets, why);
	assert_quiet(why->text);
	for (unsigned i = 0; i < c->nproblems; i++) {
		assert_quiet(c->problems[i].text);
		assert_null(strchr(c->problems[i].text, '\n'));
		errors += c->problems[i].error;
	}
	assert_int_equal(c->nerrors, errors);
	if (errors > 0)
		assert_int_equal(why->exit, EX_CONFIG);
	return o;
}

static enum outcome
read_user(struct config *c, struct str text, struct why *why)
{
	write_file(user_file, text, 0600);
	return read_both(c, true, false, false, why);
}

static enum outcome
read_layers(struct config *c, struct str system, struct str user, struct why *why)
{
	write_file(system_file, system, 0644);
	write_file(user_file, user, 0600);
	return read_both(c, true, true, false, why);
}

static enum outcome
load_service(struct config *c, const char *named, struct why *why)
{
	struct buf path = { 0 };
	enum outcome o;

	memset(why, 0, sizeof *why);
	assert_int_equal(setenv("SUBPOST_CONFIG", named, 1), 0);
	o = config_load_service(c, &path, why);
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_string_equal(buf_c(&path), named);
	assert_quiet(why->text);
	for (unsigned i = 0; i < c->nproblems; i++)
		assert_quiet(c->problems[i].text);
	buf_free(&path);
	return o;
}

static enum outcome
read_service(struct config *c, struct str text, mode_t mode, struct why *why)
{
	write_file(system_file, text, mode);
	return load_service(c, system_file, why);
}

static void
assert_tells(const struct config *c, const char *fact)
{
	struct buf facts = { 0 };
	char line[512];

	tell(c, &facts);
	snprintf(line, sizeof line, "\n%s\n", fact);
	assert_has(buf_c(&facts), line);
	buf_free(&facts);
}

/* Rows: a file of one's own, and what comes of it.  Each is a test with its
 * promise as its name. */
enum kind {
	VALUE,          /* accepted without a word; wants is a line of tell */
	WARNING,        /* accepted with one warning, which has these words */
	ERROR,          /* refused for one error, which has these words */
};

struct row {
	const char *promise;
	enum kind kind;
	struct str text;
	const char *wants;
};

static const struct row rows[] = {
	/* Defaults. */
	{ "the account is called default", VALUE, STR(ACCOUNT), "name default" },
	{ "port is 587 by default", VALUE, STR(ACCOUNT), "port 587" },
	{ "tls is starttls by default", VALUE, STR(ACCOUNT), "tls starttls" },
	{ "tls is implicit on port 465", VALUE, STR(ACCOUNT "port = 465\n"), "tls implicit" },
	{ "tls as set stays on port 465", VALUE, STR(ACCOUNT "port = 465\ntls = starttls\n"),
	    "tls starttls" },
	{ "port is 465 where tls is implicit", VALUE, STR(ACCOUNT "tls = implicit\n"), "port 465" },
	{ "port as set stays where tls is implicit", VALUE,
	    STR(ACCOUNT "tls = implicit\nport = 587\n"), "port 587" },
	{ "auth is auto by default", VALUE, STR(ACCOUNT), "auth auto" },
	{ "the trust store is the system's by default", VALUE, STR(ACCOUNT), "tls-ca-file " },
	{ "100 messages a connection by default", VALUE, STR(ACCOUNT), "messages 100" },
	{ "100 recipients a message by default", VALUE, STR(ACCOUNT), "recipients 100" },
	{ "from is user where that is an address", VALUE, STR(ACCOUNT), "from me@example.com" },
	{ "domain is that of user", VALUE, STR(ACCOUNT), "domain example.com" },
	{ "domain is that of from rather than of user", VALUE,
	    STR(ACCOUNT "from = me@example.org\n"), "domain example.org" },
	{ "hostname is to be found out by default", VALUE, STR(ACCOUNT), "hostname " },
	{ "Received: tells all by default", VALUE, STR(ACCOUNT), "received 1" },
	{ "the queue is in the state directory by default", VALUE, STR(ACCOUNT),
	    "directory /home/me/.local/state/subpost" },
	{ "max-size is 100 MiB by default", VALUE, STR(ACCOUNT), "max-size 104857600" },
	{ "retry has its default steps", VALUE, STR(ACCOUNT),
	    "retry 60 300 900 1800 3600 7200 10800" },
	{ "retry-refused has its default steps", VALUE, STR(ACCOUNT),
	    "retry-refused 300 900 1800 3600 7200 10800" },
	{ "give-up-after is five days by default", VALUE, STR(ACCOUNT), "give-up-after 432000" },
	{ "keep-failed is thirty days by default", VALUE, STR(ACCOUNT), "keep-failed 2592000" },
	{ "there are no aliases by default", VALUE, STR(ACCOUNT), "aliases " },
	{ "root is a name as all others by default", VALUE, STR(ACCOUNT), "root " },
	{ "To: shows what it showed by default", VALUE, STR(ACCOUNT), "rewrite-to 0" },
	{ "10000 recipients by default", VALUE, STR(ACCOUNT), "max-recipients 10000" },

	/* Values. */
	{ "aliases is a path", VALUE, STR(ACCOUNT "[identity]\naliases = /etc/aliases\n"),
	    "aliases /etc/aliases" },
	{ "aliases may be below the home", VALUE, STR(ACCOUNT "[identity]\naliases = ~/aliases\n"),
	    "aliases /home/me/aliases" },
	{ "aliases is no relative path", ERROR, STR(ACCOUNT "[identity]\naliases = aliases\n"),
	    "6: aliases must be an absolute path" },
	{ "root is an address", VALUE, STR(ACCOUNT "[identity]\nroot = admin@example.org\n"),
	    "root admin@example.org" },
	{ "root is no local name, which might be root again", ERROR,
	    STR(ACCOUNT "[identity]\nroot = admin\n"), "6: root must be one address with a domain" },
	{ "root is one address", ERROR,
	    STR(ACCOUNT "[identity]\nroot = a@example.org, b@example.org\n"), "6: root must be one address with a domain" },
	{ "rewrite-to may be yes", VALUE, STR(ACCOUNT "[identity]\nrewrite-to = yes\n"),
	    "rewrite-to 1" },
	{ "rewrite-to is yes or no", ERROR, STR(ACCOUNT "[identity]\nrewrite-to = maybe\n"),
	    "6: rewrite-to must be yes or no" },
	{ "max-recipients may be 1", VALUE, STR(ACCOUNT "[queue]\nmax-recipients = 1\n"),
	    "max-recipients 1" },
	{ "max-recipients may be what an envelope holds", VALUE,
	    STR(ACCOUNT "[queue]\nmax-recipients = 100000\n"), "max-recipients 100000" },
	{ "max-recipients is not 0", ERROR, STR(ACCOUNT "[queue]\nmax-recipients = 0\n"),
	    "6: max-recipients must be a number" },
	{ "max-recipients is not more than an envelope holds", ERROR,
	    STR(ACCOUNT "[queue]\nmax-recipients = 100001\n"), "6: max-recipients must be a number" },
	{ "host may have a port", VALUE, STR("[smarthost]\nhost = smtp.example.com:2525\n" LOGIN),
	    "host smtp.example.com\nport 2525" },
	{ "port 465 behind the host makes tls implicit", VALUE,
	    STR("[smarthost]\nhost = smtp.example.com:465\n" LOGIN), "port 465\ntls implicit" },
	{ "the same port twice is no conflict", VALUE,
	    STR("[smarthost]\nhost = h.example.com:26\nport = 26\n" LOGIN), "port 26" },
	{ "host may be an IPv4 address", VALUE, STR("[smarthost]\nhost = 192.0.2.1\n" LOGIN),
	    "host 192.0.2.1" },
	{ "host may be an IPv6 address in brackets with a port", VALUE,
	    STR("[smarthost]\nhost = [2001:db8::1]:2525\n" LOGIN), "host 2001:db8::1\nport 2525" },
	{ "host may be an IPv6 address in brackets", VALUE,
	    STR("[smarthost]\nhost = [2001:db8::1]\n" LOGIN), "host 2001:db8::1\nport 587" },
	{ "host may be a bare IPv6 address", VALUE, STR("[smarthost]\nhost = 2001:db8::1\n" LOGIN),
	    "host 2001:db8::1\nport 587" },
	{ "host may have a single label and an underscore", VALUE,
	    STR("[smarthost]\nhost = mail_relay\n" LOGIN), "host mail_relay" },
	{ "host may stand on an indented line", VALUE,
	    STR("[smarthost]\nhost =\n  smtp.example.com\n" LOGIN), "host smtp.example.com" },
	{ "tls = none goes with auth = none", VALUE,
	    STR("[smarthost]\nhost = relay.example.com\ntls = none\nauth = none\n"
	    "from = me@example.com\n"), "tls none" },
	{ "tls = none goes with a login on 127.0.0.1", VALUE,
	    STR("[smarthost]\nhost = 127.0.0.1:1025\ntls = none\n" LOGIN), "tls none" },
	{ "tls = none goes with a login on ::1", VALUE,
	    STR("[smarthost]\nhost = [::1]:1025\ntls = none\n" LOGIN), "tls none" },
	{ "tls = none goes with a login on localhost", VALUE,
	    STR("[smarthost]\nhost = localhost\ntls = none\n" LOGIN), "tls none" },
	{ "tls-name may be set", VALUE, STR(ACCOUNT "tls-name = mail.example.net\n"),
	    "tls-name mail.example.net" },
	{ "tls-ca-file may be a path", VALUE, STR(ACCOUNT "tls-ca-file = /etc/my ca.pem\n"),
	    "tls-ca-file /etc/my ca.pem" },
	{ "tls-ca-file = system is the default", VALUE, STR(ACCOUNT "tls-ca-file = system\n"),
	    "tls-ca-file " },
	{ "auth is kept in lower case", VALUE, STR(ACCOUNT "auth = PLAIN\n"), "auth plain" },
	{ "auth = login is supported", VALUE, STR(ACCOUNT "auth = login\n"), "auth login" },
	{ "auth = none needs no user", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nauth = none\nfrom = me@example.com\n"),
	    "auth none" },
	{ "password-file may begin at home", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-file = ~/secret\n"), "password-file /home/me/secret" },
	{ "password-command keeps its quotes and equals signs", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-command = pass 'my mail' --a=b:c\n"),
	    "password-command pass 'my mail' --a=b:c" },
	{ "password is noticed and not kept", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "\n"), "has-password 1\npassword-kept 0" },
	{ "from may be the header's", VALUE, STR(ACCOUNT "from = Header\n"),
	    "from me@example.com\nfrom-header 1" },
	{ "from is no other word", ERROR, STR(ACCOUNT "from = body\n"), "5: from must be one address" },
	{ "force-from is no unless set", VALUE, STR(ACCOUNT), "force-from 0" },
	{ "force-from may be set", VALUE, STR(ACCOUNT "force-from = yes\n"), "force-from 1" },
	{ "senders are everybody unless set", VALUE, STR(ACCOUNT), "senders " },
	{ "senders may go on", VALUE, STR(ACCOUNT "senders = *@example.com,a@b\n  *@example.net\n"),
	    "senders *@example.com a@b *@example.net" },
	{ "a sender without a domain is an error", ERROR, STR(ACCOUNT "senders = *@a root\n"),
	    "5: senders must be addresses" },
	{ "dots are classic unless set", VALUE, STR(ACCOUNT), "dots 0" },
	{ "dots may be text", VALUE, STR(ACCOUNT "[sendmail]\ndots = text\n"), "dots 1" },
	{ "dots are nothing else", ERROR, STR(ACCOUNT "[sendmail]\ndots = yes\n"),
	    "6: dots must be classic or text" },
	{ "arguments add unless set", VALUE, STR(ACCOUNT), "subtract 0" },
	{ "arguments may subtract", VALUE, STR(ACCOUNT "[sendmail]\narguments = subtract\n"),
	    "subtract 1" },
	{ "arguments do nothing else", ERROR, STR(ACCOUNT "[sendmail]\narguments = no\n"),
	    "6: arguments must be add or subtract" },
	{ "nobody waits unless it is set", VALUE, STR(ACCOUNT), "wait 0" },
	{ "wait is a time", VALUE, STR(ACCOUNT "[queue]\nwait = 2m\n"), "wait 120" },
	{ "wait over a day is an error", ERROR, STR(ACCOUNT "[queue]\nwait = 2d\n"), "6: wait must be a time" },
	{ "mail goes as fast as it can unless set", VALUE, STR(ACCOUNT), "rate 0/0" },
	{ "rate is a number in a second", VALUE, STR(ACCOUNT "rate = 2/s\n"), "rate 2/1" },
	{ "rate is a number in a minute", VALUE, STR(ACCOUNT "rate = 60/m\n"), "rate 60/60" },
	{ "rate is a number in a day", VALUE, STR(ACCOUNT "rate = 500/d ; free\n"), "rate 500/86400" },
	{ "an empty rate is none", VALUE, STR(ACCOUNT "rate =\n"), "rate 0/0" },
	{ "rate is no number alone", ERROR, STR(ACCOUNT "rate = 60\n"),
	    "5: rate must be a number and a time, such as 60/m" },
	{ "rate is not in weeks", ERROR, STR(ACCOUNT "rate = 60/" CANARY "\n"), "5: rate must be" },
	{ "rate is not nothing", ERROR, STR(ACCOUNT "rate = 0/m\n"), "5: rate must be" },
	{ "from may be set", VALUE, STR(ACCOUNT "from = you@example.net\n"),
	    "from you@example.net" },
	{ "messages-per-connection may be set", VALUE, STR(ACCOUNT "messages-per-connection = 1\n"),
	    "messages 1" },
	{ "recipients-per-message may be 1000", VALUE,
	    STR(ACCOUNT "recipients-per-message = 1000\n"), "recipients 1000" },
	{ "domain may be set", VALUE, STR(ACCOUNT "[identity]\ndomain = example.net\n"),
	    "domain example.net" },
	{ "domain may be in another script", VALUE,
	    STR(ACCOUNT "[identity]\ndomain = b\xc3\xbc" "cher.example\n"),
	    "domain b\xc3\xbc" "cher.example" },
	{ "hostname may be set", VALUE, STR(ACCOUNT "[identity]\nhostname = a.example.net\n"),
	    "hostname a.example.net" },
	{ "received = no is obeyed", VALUE, STR(ACCOUNT "[identity]\nreceived = no\n"),
	    "received 0" },
	{ "received = on is obeyed", VALUE, STR(ACCOUNT "[identity]\nreceived = on\n"),
	    "received 1" },
	{ "directory may be set", VALUE, STR(ACCOUNT "[queue]\ndirectory = /var/spool/mine\n"),
	    "directory /var/spool/mine" },
	{ "directory may begin at home", VALUE, STR(ACCOUNT "[queue]\ndirectory = ~/queue\n"),
	    "directory /home/me/queue" },
	{ "sizes have units of 1024", VALUE, STR(ACCOUNT "[queue]\nmax-size = 2K\n"),
	    "max-size 2048" },
	{ "times have units", VALUE, STR(ACCOUNT "[queue]\ngive-up-after = 90m\n"),
	    "give-up-after 5400" },
	{ "keep-failed may be set", VALUE, STR(ACCOUNT "[queue]\nkeep-failed = 7d\n"),
	    "keep-failed 604800" },
	{ "steps may be separated by commas", VALUE, STR(ACCOUNT "[queue]\nretry = 1s, 2m,3h\n"),
	    "retry 1 120 10800" },
	{ "sixteen steps are taken", VALUE,
	    STR(ACCOUNT "[queue]\nretry = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"),
	    "retry 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16" },
	{ "a list goes on in indented lines", VALUE,
	    STR(ACCOUNT "[queue]\nretry = 1s\n  2s 3s\n\t4s\n"), "retry 1 2 3 4" },
	{ "a list may begin on an indented line", VALUE,
	    STR(ACCOUNT "[queue]\nretry =\n  1s\n  2s\n"), "retry 1 2" },
	{ "an empty line and a comment do not end a list", VALUE,
	    STR(ACCOUNT "[queue]\nretry = 1s\n\n  # more\n; and\n  2s\n"), "retry 1 2" },
	{ "an empty value is the default", VALUE,
	    STR(ACCOUNT "port =\ntls-name =\n[queue]\nretry =\nmax-size = ; as it is\n"),
	    "port 587\ntls starttls" },

	/* The form of the file. */
	{ "blanks around the equals sign do not count", VALUE,
	    STR(ACCOUNT "port=25\nfrom \t=\t you@example.net \t\n"), "from you@example.net" },
	{ "lines may end in CR LF", VALUE,
	    STR("[smarthost]\r\nhost = smtp.example.com\r\nuser = me@example.com\r\n"
	    "password-command = pass show mail\r\n\r\n"), "password-command pass show mail" },
	{ "the last line needs no line end", VALUE, STR(ACCOUNT "port = 25"), "port 25" },
	{ "a byte order mark is no part of the first line", VALUE, STR("\xef\xbb\xbf" ACCOUNT),
	    "host smtp.example.com" },
	{ "whole lines may be comments, with a semicolon or a hash", VALUE,
	    STR("; one\n# two\n" ACCOUNT "  ; three\n"), "port 587" },
	{ "a comment behind a value is no part of it", VALUE, STR(ACCOUNT "port = 25 ; old\n"),
	    "port 25" },
	{ "a comment behind an indented value is no part of it", VALUE,
	    STR(ACCOUNT "[queue]\nretry = 1s ; soon\n  2s ; later\n  3s\n"), "retry 1 2 3" },
	{ "a comment may stand behind a section", VALUE, STR(ACCOUNT "[queue] ; at rest\n"),
	    "port 587" },
	{ "a section may come again", VALUE, STR(ACCOUNT "[queue]\n[smarthost]\nport = 25\n"),
	    "port 25" },
	{ "a long comment is no error", VALUE,
	    STR("# " X40 X40 X40 X40 X40 X40 "\n" ACCOUNT), "port 587" },
	{ "a line of 198 octets is read whole", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-command = " X40 X40 X40 X40 X10 "123456789\n"),
	    "password-command " X40 X40 X40 X40 X10 "123456789" },
	{ "a line of 198 octets may end in CR LF", VALUE,
	    STR("[smarthost]\r\nhost = h.example.com\r\nuser = me@example.com\r\n"
	    "password-command = " X40 X40 X40 X40 X10 "123456789\r\n"),
	    "password-command " X40 X40 X40 X40 X10 "123456789" },
	{ "a semicolon without a blank before it is part of a value", VALUE,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-command = a;b#c\n"), "password-command a;b#c" },

	/* What libinih would misread in silence. */
	{ "a line of 199 octets is an error, not split", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword-file = /p\n"
	    "from = " X40 X40 X40 X40 X10 X10 X10 "xy\n"), "5: this line is too long" },
	{ "the tail of a long line is no line of its own", ERROR,
	    STR(ACCOUNT "from = " X40 X40 X40 X40 X10 X10 X10 "x port = 1\n"),
	    "5: this line is too long, 198 octets is the limit; shorten it, or continue a list" },
	{ "a password with a blank and a semicolon is an error, not cut", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY " ;rest\n"),
	    "4: the value of `password` would be cut at its ` ;` or ` #`; write the password into "
	    "a file and name it with password-file" },
	{ "a password with a tab and a semicolon is an error, not cut", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "\t;rest\n"), "4: the value of `password` would be cut" },
	{ "a password that begins with a semicolon is an error, not empty", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = ;" CANARY "\n"), "4: the value of `password` would be cut" },
	{ "a password with a blank and a hash is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY " #1\n"), "4: the value of `password` would be cut" },
	{ "a password command with a blank and a semicolon is an error, not cut", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-command = a ; " CANARY "\n"),
	    "4: the value of `password-command` would be cut" },
	{ "a password file with a blank and a semicolon is an error, not cut", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-file = /a ;" CANARY "\n"), "4: the value of `password-file` would be cut" },
	{ "a trust file with a blank and a hash is an error", ERROR,
	    STR(ACCOUNT "tls-ca-file = /a #" CANARY "\n"),
	    "5: the value of `tls-ca-file` would be cut" },
	{ "a hash behind a value is an error, not part of it", ERROR,
	    STR(ACCOUNT "port = 25 # " CANARY "\n"),
	    "5: a comment behind a value begins with `;`" },
	{ "an indented line does not continue a password", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword = " CANARY "\n"
	    "  " CANARY "\n"), "5: an indented line would continue the value above" },
	{ "an indented key does not continue a number", ERROR,
	    STR(ACCOUNT "port = 25\n  tls = none\n"),
	    "6: an indented line would continue the value above" },
	{ "an indented key does not continue a list", ERROR,
	    STR(ACCOUNT "[queue]\nretry = 1m\n  give-up-after = 5d\n"),
	    "7: an indented line would continue the value above" },
	{ "an indented key does not continue the host", ERROR,
	    STR("[smarthost]\nhost = h.example.com\n  port = 25\n" LOGIN),
	    "3: an indented line would continue the value above" },
	{ "an indented key below a section is an error", ERROR,
	    STR(ACCOUNT "[queue]\n  max-size = 1M\n"),
	    "6: an indented line would continue the value above" },
	{ "an indented line behind a blank line is an error still", ERROR,
	    STR(ACCOUNT "port = 25\n\n  26\n"), "7: an indented line would continue" },
	{ "a key too long is an error, not cut", ERROR,
	    STR(ACCOUNT X40 X10 " = " CANARY "\n"), "5: the key is too long" },
	{ "a section's name too long is an error, not cut", ERROR,
	    STR(ACCOUNT "[" X40 X10 "]\n" CANARY " = 1\n"), "5: the section's name is too long" },
	{ "a section without its bracket is an error, and its keys go nowhere", ERROR,
	    STR(ACCOUNT "[queue\nport = " CANARY "\n"), "5: no ']' behind the section's name" },
	{ "an indented section below a value is an error", ERROR,
	    STR(ACCOUNT "port = 25\n  [queue]\n"), "6: an indented line would continue" },
	{ "text behind a section is an error, not ignored", ERROR,
	    STR(ACCOUNT "[queue] max-size = 1M\n"),
	    "5: nothing may stand behind ']'" },
	{ "a line without an equals sign is an error", ERROR, STR(ACCOUNT CANARY "\n"),
	    "5: no '=' in this line" },
	{ "a colon is no equals sign", ERROR, STR(ACCOUNT "port: 25\n"), "5: no '=' in this line" },
	{ "an equals sign in a comment is none", ERROR, STR(ACCOUNT "port ;= " CANARY "\n"),
	    "5: no '=' in this line" },
	{ "a line without a key is an error", ERROR, STR(ACCOUNT "= " CANARY "\n"),
	    "5: no key before the '='" },
	{ "a key before any section is an error", ERROR, STR("port = 25\n" ACCOUNT),
	    "1: a key before the first section" },
	{ "a NUL is an error", ERROR, STR(ACCOUNT "from = me@example.com\0" CANARY "\n"),
	    "5: a control octet or NUL in this line" },
	{ "an escape octet is an error", ERROR, STR(ACCOUNT "from = \033[2J" CANARY "\n"),
	    "5: a control octet" },
	{ "a CR inside a line is an error", ERROR, STR(ACCOUNT "port = 25\rtls = none\n"),
	    "5: a control octet" },
	{ "a DEL in a comment is an error", ERROR, STR(ACCOUNT "# \x7f\n"), "5: a control octet" },

	/* Values that are none. */
	{ "port 0 is an error", ERROR, STR(ACCOUNT "port = 0\n"),
	    "5: port must be a number from 1 to 65535" },
	{ "port 65536 is an error", ERROR, STR(ACCOUNT "port = 65536\n"), "5: port must be" },
	{ "a port of letters is an error", ERROR, STR(ACCOUNT "port = " CANARY "\n"),
	    "5: port must be a number" },
	{ "a negative number is an error", ERROR, STR(ACCOUNT "messages-per-connection = -1\n"),
	    "5: messages-per-connection must be a number from 1 to 100000" },
	{ "1001 recipients are an error", ERROR, STR(ACCOUNT "recipients-per-message = 1001\n"),
	    "5: recipients-per-message must be a number from 1 to 1000" },
	{ "tls is one of three words", ERROR, STR(ACCOUNT "tls = " CANARY "\n"),
	    "5: tls must be starttls, implicit or none" },
	{ "an unknown mechanism is an error that names those that are known", ERROR,
	    STR(ACCOUNT "auth = digest-md5\n"), "5: auth must be auto, none, or a login by name: scram-sha-256" },
	{ "a mechanism is read without case", VALUE, STR(ACCOUNT "auth = SCRAM-SHA-256-PLUS\n"),
	    "auth scram-sha-256-plus" },
	{ "a token needs a user", ERROR, STR(NO_USER "token-command = t\n"),
	    "a password and no user" },
	{ "a token is a login", VALUE, STR(NO_SECRET "token-command = t\n"), "token-command t" },
	{ "a token and a password are one too many", ERROR, STR(ACCOUNT "token-command = t\n"),
	    "several of password, password-file, password-command and token-command; keep one" },
	{ "PLAIN takes no token", ERROR, STR(NO_SECRET "token-command = t\nauth = plain\n"),
	    "5: this auth logs in without a token" },
	{ "nor does EXTERNAL", ERROR, STR(NO_SECRET "token-command = t\nauth = external\n"
	    "tls-cert-file = /c\ntls-key-file = /k\n"),
	    "5: auth = external shows a certificate and nothing else" },
	{ "XOAUTH2 takes one", VALUE, STR(NO_SECRET "token-command = t\nauth = xoauth2\n"),
	    "auth xoauth2" },
	{ "and nothing else", ERROR, STR(ACCOUNT "auth = oauthbearer\n"),
	    "5: this auth logs in by a token; set token-command" },
	{ "EXTERNAL needs a certificate", ERROR, STR(NO_SECRET "auth = external\n"),
	    "4: auth = external logs in by a client certificate" },
	{ "which is all it needs", VALUE, STR(NO_USER "auth = external\n"
	    "tls-cert-file = /c\ntls-key-file = /k\n"), "auth external" },
	{ "a password beside it is an error", ERROR, STR(ACCOUNT "auth = external\n"
	    "tls-cert-file = /c\ntls-key-file = /k\n"), "5: auth = external shows a certificate and nothing else" },
	{ "a certificate alone is a login", VALUE, STR(NO_USER "tls-cert-file = /c\ntls-key-file = /k\n"), "tls-cert-file /c" },
	{ "but none for PLAIN", ERROR, STR(NO_USER "auth = plain\n"
	    "tls-cert-file = /c\ntls-key-file = /k\n"), "4: no login" },
	{ "received is yes or no", ERROR, STR(ACCOUNT "[identity]\nreceived = " CANARY "\n"),
	    "6: received must be yes or no" },
	{ "from without a domain is an error", ERROR, STR(ACCOUNT "from = " CANARY "\n"),
	    "5: from must be one address with a domain" },
	{ "two addresses in from are an error", ERROR,
	    STR(ACCOUNT "from = a@example.com, " CANARY "@example.com\n"),
	    "5: from must be one address" },
	{ "a domain with a space is an error", ERROR, STR(ACCOUNT "[identity]\ndomain = a b\n"),
	    "6: domain must be a domain" },
	{ "a hostname without a dot is an error", ERROR,
	    STR(ACCOUNT "[identity]\nhostname = " CANARY "\n"),
	    "6: hostname must be a name with a domain" },
	{ "localhost is no hostname", ERROR,
	    STR(ACCOUNT "[identity]\nhostname = localhost.localdomain\n"),
	    "6: hostname must be" },
	{ "an address is no hostname", ERROR, STR(ACCOUNT "[identity]\nhostname = 192.0.2.1\n"),
	    "6: hostname must be" },
	{ "a relative directory is an error", ERROR,
	    STR(ACCOUNT "[queue]\ndirectory = " CANARY "\n"),
	    "6: directory must be an absolute path, or one that begins with ~/" },
	{ "another's home is no path", ERROR, STR(ACCOUNT "[queue]\ndirectory = ~" CANARY "/q\n"),
	    "6: directory must be" },
	{ "a relative password-file is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword-file = x\n"),
	    "4: password-file must be an absolute path" },
	{ "a size below 1K is an error", ERROR, STR(ACCOUNT "[queue]\nmax-size = 100\n"),
	    "6: max-size must be a size from 1K" },
	{ "a size that overflows is an error", ERROR,
	    STR(ACCOUNT "[queue]\nmax-size = 18446744073709551615G\n"), "6: max-size must be" },
	{ "a time of nothing is an error", ERROR, STR(ACCOUNT "[queue]\ngive-up-after = 0\n"),
	    "6: give-up-after must be" },
	{ "a time of words is an error", ERROR, STR(ACCOUNT "[queue]\nkeep-failed = " CANARY "\n"),
	    "6: keep-failed must be" },
	{ "a step of nothing is an error", ERROR, STR(ACCOUNT "[queue]\nretry = 1m 0s 2m\n"),
	    "6: retry must be up to 16 waiting times" },
	{ "a bad step on an indented line is told of that line", ERROR,
	    STR(ACCOUNT "[queue]\nretry-refused = 1m\n  2m\n  " CANARY "\n"),
	    "8: retry-refused must be" },
	{ "seventeen steps are an error", ERROR,
	    STR(ACCOUNT "[queue]\nretry = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"),
	    "6: retry must be up to 16 waiting times" },

	/* Keys that do not go together. */
	{ "no host is an error", ERROR, STR("[smarthost]\n" LOGIN), "no host in [smarthost]" },
	{ "no host is an error without a login too", ERROR,
	    STR("[smarthost]\nauth = none\nfrom = a@example.com\n"), "no host in [smarthost]" },
	{ "a host that is a URL is an error", ERROR,
	    STR("[smarthost]\nhost = smtp://" CANARY "\n" LOGIN),
	    "2: host must be a name or an address" },
	{ "a host with a slash is an error", ERROR, STR("[smarthost]\nhost = /" CANARY "\n" LOGIN),
	    "2: host must be a name or an address" },
	{ "brackets without an address are an error", ERROR,
	    STR("[smarthost]\nhost = [" CANARY "]:25\n" LOGIN), "2: host must be" },
	{ "brackets without an end are an error", ERROR,
	    STR("[smarthost]\nhost = [::1\n" LOGIN), "2: host must be" },
	{ "an empty port behind the host is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com:\n" LOGIN), "2: host must be" },
	{ "port 0 behind the host is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com:0\n" LOGIN),
	    "2: the port behind the host must be a number from 1 to 65535" },
	{ "two ports that differ are an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com:25\nport = 26\n" LOGIN),
	    "3: the port is given here and behind the host" },
	{ "tls = none with a login elsewhere is an error that says why", ERROR,
	    STR(ACCOUNT "tls = none\n"), "5: tls = none would send the password in the clear" },
	{ "a name that only looks like a loopback address is none", ERROR,
	    STR("[smarthost]\nhost = 127.0.0.1.example.com\ntls = none\n" LOGIN),
	    "3: tls = none would send" },
	{ "no login is an error that tells of auth = none", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nfrom = me@example.com\n"),
	    "no login; set user and password-command or password-file, or auth = none" },
	{ "auth = plain without a login is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nfrom = me@example.com\nauth = plain\n"),
	    "4: no login" },
	{ "a user without a password is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"),
	    "3: a user and no password" },
	{ "an empty password is no password", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword =\n"),
	    "3: a user and no password" },
	{ "a password without a user is an error", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nfrom = me@example.com\n"
	    "password = " CANARY "\n"),
	    "a password and no user" },
	{ "two sources of the password are an error", ERROR, STR(ACCOUNT "password-file = /p\n"),
	    "several of password, password-file, password-command and token-command" },

	/* What is not known. */
	{ "an unknown key warns with the nearest one", WARNING, STR(ACCOUNT "prot = " CANARY "\n"),
	    "5: unknown key in [smarthost], ignored; did you mean `port`?" },
	{ "an underscore for a hyphen is understood as a slip", WARNING,
	    STR(ACCOUNT "tls_name = " CANARY "\n"), "did you mean `tls-name`?" },
	{ "a key in capitals is understood as a slip", WARNING,
	    STR(ACCOUNT "PORT = " CANARY "\n"), "did you mean `port`?" },
	{ "a slip of a key without a meaning yet is understood", WARNING,
	    STR(ACCOUNT "[queue]\nwarn-afer = 4h\n"),
	    "6: unknown key in [queue], ignored; did you mean `warn-after`?" },
	{ "a key near nothing warns without a guess and is not quoted", WARNING,
	    STR(ACCOUNT CANARY " = 1\n"), "5: unknown key in [smarthost], ignored\n" },
	{ "a secret behind a misspelt key is not quoted", WARNING,
	    STR(ACCOUNT "pasword = " CANARY "\n"), "did you mean `password`?" },
	{ "a key in the wrong section is told where it belongs", WARNING,
	    STR(ACCOUNT "[queue]\nport = 25\n"),
	    "6: `port` is no key of [queue], ignored; it belongs to [smarthost]" },
	{ "an unknown section warns once with the nearest one", WARNING,
	    STR(ACCOUNT "[quue]\n" CANARY " = 1\nretry = x\nand so on\n  indented\n"),
	    "5: unknown section, ignored with its keys; did you mean [queue]?" },
	{ "a section near nothing is not quoted", WARNING, STR(ACCOUNT "[" CANARY "]\n"),
	    "5: unknown section, ignored with its keys\n" },
	{ "a key set twice warns and tells the first line", WARNING,
	    STR(ACCOUNT "port = 25\nport = 26\n"), "6: `port` was set in line 5 already" },
	{ "report-sender is known and ignored", WARNING, STR(ACCOUNT "report-sender = " CANARY "\n"),
	    "5: `report-sender` is not yet supported, ignored\n" },
	{ "a pin must be a fingerprint", ERROR, STR(ACCOUNT "tls-pin = sha256:" CANARY "\n"),
	    "5: tls-pin must be sha256: and a public key's fingerprint, 64 hexadecimal digits or base64" },
	{ "our own address must be one", ERROR, STR(ACCOUNT "source = " CANARY "\n"),
	    "5: source must be an address of this machine" },
	{ "warn-after is known and ignored", WARNING, STR(ACCOUNT "[queue]\nwarn-after = 4h\n"),
	    "6: `warn-after` is not yet" },
	{ "one's own file says nothing of the service", WARNING,
	    STR(ACCOUNT "[service]\nsocket = x\noperators = adm\n"),
	    "5: this section counts only in the system's file, ignored with its keys" },
	{ "nor of users", WARNING,
	    STR(ACCOUNT "[user " CANARY "]\nfrom = " CANARY "\n"),
	    "5: this section counts only in the system's file, ignored with its keys" },
	{ "a key of the service is told its section", WARNING, STR(ACCOUNT "operators = " CANARY "\n"),
	    "5: `operators` is no key of [smarthost], ignored; it belongs to [service]" },
};

#define SERVICE ACCOUNT "[service]\n"
#define USER ACCOUNT "[user root]\n"

/* The same for the file that the service reads. */
static const struct row service_rows[] = {
	{ "the service listens where all look for it", VALUE, STR(ACCOUNT), "socket /run/subpost/socket" },
	{ "root alone is an operator by default", VALUE, STR(ACCOUNT), "operators " },
	{ "10000 messages of a user by default", VALUE, STR(ACCOUNT), "user-messages 10000" },
	{ "no user's pace is limited by default", VALUE, STR(ACCOUNT), "user-rate 0/0" },
	{ "the service's queue is nobody's home", VALUE, STR(ACCOUNT), "directory " SERVICE_DIRECTORY },
	{ "the service's queue may be elsewhere", VALUE, STR(ACCOUNT "[queue]\ndirectory = /q\n"),
	    "directory /q" },
	{ "socket may be set", VALUE, STR(SERVICE "socket = /run/x/y z\n"), "socket /run/x/y z" },
	{ "an empty socket is the default", VALUE, STR(SERVICE "socket =\n"), "socket /run/subpost/socket" },
	{ "socket may have 100 octets", VALUE, STR(SERVICE "socket = /" X40 X40 X10 "123456789\n"),
	    "socket /" X40 X40 X10 "123456789" },
	{ "socket has not more than 100", ERROR, STR(SERVICE "socket = /" X40 X40 X10 "1234567890\n"),
	    "6: socket must be an absolute path of at most 100 octets" },
	{ "socket is absolute", ERROR, STR(SERVICE "socket = " CANARY "\n"), "6: socket must be" },
	{ "socket is no directory", ERROR, STR(SERVICE "socket = /" CANARY "/\n"), "6: socket must be" },
	{ "socket is not below a home", ERROR, STR(SERVICE "socket = ~/" CANARY "\n"), "6: socket must be" },
	{ "socket is not cut", ERROR, STR(SERVICE "socket = /a ;" CANARY "\n"),
	    "6: the value of `socket` would be cut" },
	{ "operators is a group", VALUE, STR(SERVICE "operators = root\n"), "operators root" },
	{ "operators is one group", ERROR, STR(SERVICE "operators = adm " CANARY "\n"),
	    "6: operators must be the name of one group" },
	{ "operators that are not there are warned of", WARNING,
	    STR(SERVICE "operators = no-such-group-" CANARY "\n"), "6: this machine has no such group" },
	{ "user-messages may be set", VALUE, STR(SERVICE "user-messages = 5\n"), "user-messages 5" },
	{ "user-messages is not 0", ERROR, STR(SERVICE "user-messages = 0\n"),
	    "6: user-messages must be a number from 1" },
	{ "user-rate may be set", VALUE, STR(SERVICE "user-rate = 100/h\n"), "user-rate 100/3600" },
	{ "user-rate is a rate", ERROR, STR(SERVICE "user-rate = " CANARY "\n"),
	    "6: user-rate must be a number and a time" },
	{ "a slip of a key of the service is understood", WARNING, STR(SERVICE "operator = " CANARY "\n"),
	    "6: unknown key in [service], ignored; did you mean `operators`?" },
	{ "a slip of the section too", WARNING, STR(ACCOUNT "[servic]\nsocket = x\n"),
	    "5: unknown section, ignored with its keys; did you mean [service]?" },
	{ "an indented line does not continue the service's keys", ERROR,
	    STR(SERVICE "socket = /a\n  operators = adm\n"), "7: an indented line would continue" },

	{ "a user may have a section", VALUE, STR(USER "from = web@example.com\n"), "users 1" },
	{ "and an empty one", VALUE, STR(USER), "users 1" },
	{ "what one user is told, the account is not", VALUE, STR(USER "from = web@example.org\n"),
	    "from me@example.com" },
	{ "sections of one user add up", VALUE,
	    STR(USER "from = a@example.com\n[queue]\n[ user  root ]\ndomain = example.org\n"), "users 1" },
	{ "users are told apart", VALUE, STR(USER "[user daemon]\n"), "users 2" },
	{ "who is not here is warned of, unnamed", WARNING,
	    STR(ACCOUNT "[user " CANARY "]\nfrom = a@example.com\n"),
	    "5: this machine has no such login, section ignored" },
	{ "a user's section has a name", WARNING, STR(ACCOUNT "[user]\nfrom = " CANARY "\n"),
	    "5: this section names nobody, ignored with its keys; write [user NAME]" },
	{ "a slip of it is understood", WARNING, STR(ACCOUNT "[users root]\nfrom = " CANARY "\n"),
	    "5: unknown section, ignored with its keys; did you mean [user NAME]?" },
	{ "a user's values have their form", ERROR, STR(USER "from = " CANARY "\n"),
	    "6: from must be one address with a domain" },
	{ "and so have those of who is not here", ERROR,
	    STR(ACCOUNT "[user root]\n[user daemon]\ndomain = a b\n"), "7: domain must be a domain" },
	{ "a user has no host", WARNING, STR(USER "host = " CANARY "\n"),
	    "6: `host` is no key of [user NAME], ignored; it belongs to [smarthost]" },
	{ "a user's account has to be there", ERROR, STR(USER "smarthost = " CANARY "\n"),
	    "6: smarthost names no account; write it as its section does" },
	{ "a slip of a user's key is understood", WARNING, STR(USER "form = " CANARY "\n"),
	    "6: unknown key in [user NAME], ignored; did you mean `from`?" },
	{ "a user's key set twice warns, over sections too", WARNING,
	    STR(USER "root = a@example.com\n[user root]\nroot = b@example.com\n"),
	    "8: `root` was set in line 6 already" },
	{ "the account's key and a user's are two", VALUE,
	    STR(ACCOUNT "from = a@example.com\n[user root]\nfrom = b@example.com\n"), "users 1" },
	{ "an indented line does not continue a user's", ERROR, STR(USER "from = a@example.com\n  b\n"),
	    "7: an indented line would continue" },
	{ "a user's file is not cut", ERROR, STR(USER "aliases = /a #" CANARY "\n"),
	    "6: the value of `aliases` would be cut" },

	{ "the service has no home", ERROR,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword-file = ~/" CANARY "\n"),
	    "4: password-file begins with ~/, and nobody's home is meant here; write an absolute path" },
	{ "nor have its users", ERROR, STR(USER "aliases = ~/" CANARY "\n"), "6: aliases begins with ~/" },
	{ "a password among a user's keys is guarded too", WARNING, STR(USER "password = " CANARY "\n"),
	    "6: `password` is no key of [user NAME], ignored; it belongs to [smarthost]" },
};

static void
assert_kept(const struct row *row, const char *file, enum outcome o, const struct config *c,
    const struct why *why)
{
	char want[512], told[1024];

	if (row->kind == ERROR) {
		assert_int_equal(o, NEVER);
		assert_int_equal(why->exit, EX_CONFIG);
	} else {
		if (o != DONE)
			fail_msg("refused: %s", why->text);
		assert_int_equal(c->nerrors, 0);
	}
	if (row->kind == VALUE) {
		assert_int_equal(c->nproblems, 0);
		assert_tells(c, row->wants);
	} else {
		assert_int_equal(c->nproblems, 1);
		snprintf(told, sizeof told, "%s\n", c->problems[0].text);
		snprintf(want, sizeof want, "%s:", file);
		assert_int_equal(strncmp(told, want, strlen(want)), 0);
		assert_has(told, row->wants);
		if (row->kind == ERROR)
			assert_string_equal(why->text, c->problems[0].text);
	}
}

static void
a_row_is_kept(void **state)
{
	const struct row *row = *state;
	struct config c;
	struct why why;
	enum outcome o = read_user(&c, row->text, &why);

	assert_kept(row, user_file, o, &c, &why);
	config_free(&c);
}

static void
a_row_of_the_service_is_kept(void **state)
{
	const struct row *row = *state;
	struct config c;
	struct why why;
	enum outcome o = read_service(&c, row->text, 0600, &why);

	assert_kept(row, system_file, o, &c, &why);
	config_free(&c);
}

/* Two files. */

static void
the_users_keys_lie_over_the_systems(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c,
	    STR("[smarthost]\nhost = relay.example.com\nuser = sys@example.com\n"
	    "password-command = a\n[queue]\nmax-size = 1M\nretry = 1s 2s 3s\n"),
	    STR("[smarthost]\nuser = me@example.net\n[queue]\nretry = 9s\n"), &why), DONE);
	assert_tells(&c, "host relay.example.com");
	assert_tells(&c, "user me@example.net");
	assert_tells(&c, "password-command a");
	assert_tells(&c, "max-size 1048576");
	assert_tells(&c, "retry 9");
	config_free(&c);
}

static void
the_same_key_in_both_files_is_no_repetition(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT "port = 25\n"), STR(ACCOUNT "port = 26\n"),
	    &why), DONE);
	assert_int_equal(c.nproblems, 0);
	assert_tells(&c, "port 26");
	config_free(&c);
}

static void
an_empty_value_of_the_users_takes_the_systems_back(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT "port = 465\n[queue]\nretry = 1s\n"),
	    STR("[smarthost]\nport =\n[queue]\nretry =\n"), &why), DONE);
	assert_tells(&c, "port 587\ntls starttls");
	assert_tells(&c, "retry 60 300 900 1800 3600 7200 10800");
	config_free(&c);
}

static void
the_users_secret_takes_the_place_of_the_systems(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c,
	    STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\npassword-file = /p\n"),
	    STR("[smarthost]\npassword-command = pass mine\n"), &why), DONE);
	assert_tells(&c, "password-file \npassword-command pass mine");
	config_free(&c);
}

static void
the_users_port_counts_more_than_the_one_behind_the_systems_host(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR("[smarthost]\nhost = h.example.com:465\n" LOGIN),
	    STR("[smarthost]\nport = 587\n"), &why), DONE);
	assert_tells(&c, "port 587\ntls starttls");
	config_free(&c);
}

static void
the_port_behind_the_users_host_counts_more_than_the_systems(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT "port = 465\n"),
	    STR("[smarthost]\nhost = h.example.com:2525\n"), &why), DONE);
	assert_tells(&c, "host h.example.com\nport 2525\ntls starttls");
	config_free(&c);
}

static void
the_queue_belongs_to_the_topmost_file(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT), STR("[queue]\n"), &why), DONE);
	assert_string_equal(c.path, user_file);
	assert_int_equal(c.nfiles, 2);
	assert_string_equal(c.files[0].path, system_file);
	assert_string_equal(c.files[1].path, user_file);
	config_free(&c);
	assert_int_equal(read_both(&c, false, true, false, &why), DONE);
	assert_string_equal(c.path, system_file);
	config_free(&c);
}

static void
an_error_names_the_file_it_is_in(void **state)
{
	struct config c;
	struct why why;
	char want[160];

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT "port = x\n"), STR("[queue]\n"), &why), NEVER);
	snprintf(want, sizeof want, "%s:5: port must be", system_file);
	assert_has(why.text, want);
	config_free(&c);
}

static void
a_check_across_files_names_the_file_that_set_the_key(void **state)
{
	struct config c;
	struct why why;
	char want[160];

	(void)state;
	assert_int_equal(read_layers(&c, STR("[smarthost]\nhost = a/b\n" LOGIN), STR("[queue]\n"),
	    &why), NEVER);
	snprintf(want, sizeof want, "%s:2: host must be", system_file);
	assert_has(why.text, want);
	config_free(&c);
}

static void
a_missing_key_is_told_of_the_file_that_counts_most(void **state)
{
	struct config c;
	struct why why;
	char want[160];

	(void)state;
	write_file(system_file, STR("[smarthost]\n" LOGIN), 0644);
	unlink(user_file);
	assert_int_equal(read_both(&c, true, true, false, &why), NEVER);
	snprintf(want, sizeof want, "%s: no host in [smarthost]", system_file);
	assert_has(why.text, want);
	config_free(&c);
	write_file(user_file, STR("[queue]\n"), 0600);
	assert_int_equal(read_both(&c, true, true, false, &why), NEVER);
	snprintf(want, sizeof want, "%s: no host in [smarthost]", user_file);
	assert_has(why.text, want);
	config_free(&c);
}

static void
all_errors_are_kept_and_the_first_tells_how_many_more(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_user(&c, STR(ACCOUNT "prot = 1\nport = x\ntls = y\nauth = z\n"),
	    &why),
	    NEVER);
	assert_int_equal(c.nerrors, 3);
	assert_int_equal(c.nproblems, 4);
	assert_false(c.problems[0].error);
	assert_has(why.text, ":6: port must be");
	assert_has(why.text, "(and 2 more; run `subpost check`)");
	config_free(&c);
}

static void
a_file_that_is_no_ini_at_all_takes_no_memory(void **state)
{
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	for (int i = 0; i < 20000; i++)
		buf_adds(&text, "no key\n");
	write_file(user_file, buf_str(&text), 0600);
	assert_int_equal(config_read(&c, user_file, NULL, "/home/me", false, &why), NEVER);
	assert_true(c.nerrors >= 20000);
	assert_true(c.nproblems <= 100);
	assert_has(why.text, ":1: no '='");
	config_free(&c);
	buf_free(&text);
}

static void
many_warnings_do_not_hide_an_error(void **state)
{
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	buf_adds(&text, ACCOUNT);
	for (int i = 0; i < 500; i++)
		buf_adds(&text, "zzzz = 1\n");
	buf_adds(&text, "port = 0\n");
	assert_int_equal(read_user(&c, buf_str(&text), &why), NEVER);
	assert_has(why.text, ":505: port must be");
	config_free(&c);
	buf_free(&text);
}

/* Files and their owners. */

static void
no_file_at_all_tells_what_to_write(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	unlink(user_file);
	unlink(system_file);
	assert_int_equal(read_both(&c, true, true, false, &why), NEVER);
	assert_int_equal(why.exit, EX_CONFIG);
	assert_has(why.text, user_file);
	assert_has(why.text, "[smarthost] / host = smtp.example.com / user = me@example.com / "
	    "password-command = pass show mail");
	config_free(&c);
}

static void
strings_are_never_null_even_without_a_file(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	unlink(user_file);
	read_both(&c, true, false, false, &why);
	assert_string_equal(c.smarthost.host, "");
	assert_string_equal(c.domain, "");
	assert_string_equal(c.directory, "");
	assert_string_equal(c.path, "");
	config_free(&c);
}

static void
a_password_others_can_read_is_refused_with_the_chmod_to_type(void **state)
{
	struct config c;
	struct why why;
	char want[200];

	(void)state;
	write_file(user_file, STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "\n"), 0640);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	snprintf(want, sizeof want, ":4: this file has a password and others can read it; "
	    "type: chmod 600 %s", user_file);
	assert_has(why.text, want);
	assert_int_equal(c.nerrors, 1);
	config_free(&c);
}

static void
a_password_in_an_ignored_section_is_guarded_too(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR(ACCOUNT "[smarthost work]\npassword = " CANARY "\n"), 0644);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, ":6: this file has a password and others can read it");
	config_free(&c);
	write_file(user_file, STR(ACCOUNT "[queue]\npassword = " CANARY "\n"), 0644);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, ":6: this file has a password and others can read it");
	config_free(&c);
}

static void
an_indented_section_is_not_lost_in_an_ignored_one(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_user(&c, STR(ACCOUNT "[services]\n  [queue]\nmax-size = 1M\n"), &why),
	    NEVER);
	assert_has(why.text, ":6: an indented section");
	config_free(&c);
}

static void
a_file_without_a_password_may_be_read_by_others(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR(ACCOUNT), 0644);
	assert_int_equal(read_both(&c, true, false, false, &why), DONE);
	config_free(&c);
}

static void
the_systems_file_may_not_have_a_password_that_others_read(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(system_file, STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "\n"), 0640);
	assert_int_equal(read_both(&c, false, true, true, &why), NEVER);
	assert_has(why.text, ":4: `password` may not stand in the system's file");
	assert_has(why.text, "use password-file");
	assert_int_equal(c.smarthost.password.len, 0);
	config_free(&c);
	assert_int_equal(chmod(system_file, 0600), 0);
	assert_int_equal(read_both(&c, false, true, true, &why), DONE);
	assert_string_equal(buf_c(&c.smarthost.password), CANARY);
	config_free(&c);
}

static void
a_file_everybody_can_change_is_refused(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR(ACCOUNT), 0666);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, "chmod o-w");
	config_free(&c);
}

static void
nothing_is_called_missing_from_a_file_that_was_not_read(void **state)
{
	static const char *const causes[] = { "changed by every", "not a regular", "link to" };
	struct config c;
	struct why why;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		unlink(user_file);
		if (i == 0)
			write_file(user_file, STR(ACCOUNT), 0666);
		else if (i == 1)
			assert_int_equal(mkdir(user_file, 0700), 0);
		else
			assert_int_equal(symlink("/nonexistent", user_file), 0);
		assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
		assert_has(why.text, causes[i]);
		assert_int_equal(c.nproblems, 1);
		config_free(&c);
		rmdir(user_file);
	}
	unlink(user_file);
}

/* Only root can give a file away; others have none of a stranger's. */
static void
a_strangers_file_is_refused_and_its_owner_named(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	if (geteuid() != 0)
		return;
	write_file(user_file, STR(ACCOUNT), 0600);
	assert_int_equal(chown(user_file, 12345, (gid_t)-1), 0);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, "belongs to uid 12345");
	config_free(&c);
}

static void
roots_file_is_good_for_everybody(void **state)
{
	struct config c;
	struct why why;
	uid_t was = geteuid();
	enum outcome o;

	(void)state;
	write_file(system_file, STR(ACCOUNT), 0644);
	if (was == 0)
		assert_int_equal(seteuid(65534), 0);
	o = config_read(&c, NULL, system_file, "/home/me", false, &why);
	assert_int_equal(seteuid(was), 0);
	assert_int_equal(o, DONE);
	config_free(&c);
}

static void
a_directory_is_no_configuration(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	memset(&why, 0, sizeof why);
	assert_int_equal(config_read(&c, dir, NULL, "/home/me", false, &why), NEVER);
	assert_has(why.text, "is not a regular file");
	config_free(&c);
}

static void
a_fifo_does_not_make_us_wait(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	unlink(user_file);
	assert_int_equal(mkfifo(user_file, 0600), 0);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, "is not a regular file");
	config_free(&c);
}

static void
a_link_is_followed(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(system_file, STR(ACCOUNT), 0600);
	unlink(user_file);
	assert_int_equal(symlink(system_file, user_file), 0);
	assert_int_equal(read_both(&c, true, false, false, &why), DONE);
	assert_string_equal(c.path, user_file);
	config_free(&c);
}

static void
a_link_to_nothing_does_not_fall_back_on_the_system(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(system_file, STR(ACCOUNT), 0644);
	unlink(user_file);
	assert_int_equal(symlink("/nowhere/at/all", user_file), 0);
	assert_int_equal(read_both(&c, true, true, false, &why), NEVER);
	assert_has(why.text, "symbolic link to a file that is not there");
	config_free(&c);
}

static void
a_file_over_the_limit_is_refused(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR(ACCOUNT), 0600);
	assert_int_equal(truncate(user_file, 1024 * 1024 + 1), 0);
	assert_int_equal(read_both(&c, true, false, false, &why), NEVER);
	assert_has(why.text, "is over 1 MiB");
	config_free(&c);
}

/* The system's file, and a secret that is not ours. */
static enum outcome
read_as_stranger(struct config *c, struct str text, bool hide_the_file, struct why *why)
{
	uid_t was = geteuid();
	enum outcome o;

	write_file(secret_file, STR(CANARY "\n"), was == 0 ? 0600 : 0000);
	write_file(system_file, text, !hide_the_file ? 0644 : was == 0 ? 0600 : 0000);
	if (was == 0)
		assert_int_equal(seteuid(65534), 0);
	o = config_read(c, NULL, system_file, "/home/me", false, why);
	assert_int_equal(seteuid(was), 0);
	assert_quiet(why->text);
	return o;
}

static void
the_systems_secret_that_is_not_ours_is_exit_75(void **state)
{
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	buf_addf(&text, "[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password-file = %s\n", secret_file);
	assert_int_equal(read_as_stranger(&c, buf_str(&text), false, &why), LATER);
	assert_int_equal(why.exit, EX_TEMPFAIL);
	assert_has(why.text, "its password-file is not for that uid");
	config_free(&c);
	buf_free(&text);
}

static void
the_systems_file_that_is_not_ours_is_exit_75(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_as_stranger(&c, STR(ACCOUNT), true, &why), LATER);
	assert_int_equal(why.exit, EX_TEMPFAIL);
	assert_has(why.text, "cannot be read");
	config_free(&c);
}

static void
a_secret_that_nobody_needs_may_be_out_of_reach(void **state)
{
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	buf_addf(&text, "[smarthost]\nhost = h.example.com\nauth = none\nfrom = me@example.com\n"
	    "password-file = %s\n", secret_file);
	assert_int_equal(read_as_stranger(&c, buf_str(&text), false, &why), DONE);
	config_free(&c);
	buf_free(&text);
}

/* Secrets. */

static void
who_asks_for_secrets_gets_the_password(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY " with = and : and;#\n"), 0600);
	assert_int_equal(read_both(&c, true, false, true, &why), DONE);
	assert_true(c.smarthost.has_password);
	assert_string_equal(buf_c(&c.smarthost.password), CANARY " with = and : and;#");
	config_free(&c);
}

static void
the_last_of_two_passwords_counts(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "1\npassword = " CANARY "2\n"), 0600);
	assert_int_equal(read_both(&c, true, false, true, &why), DONE);
	assert_int_equal(c.nproblems, 1);
	assert_string_equal(buf_c(&c.smarthost.password), CANARY "2");
	config_free(&c);
}

static void
a_password_on_a_line_too_long_is_not_kept_in_part(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(user_file, STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY X40 X40 X40 X40 X40 "\n"), 0600);
	assert_int_equal(read_both(&c, true, false, true, &why), NEVER);
	assert_has(why.text, ":4: this line is too long");
	assert_int_equal(c.smarthost.password.len, 0);
	config_free(&c);
}

/* Where files are, by the environment. */

static void
the_environment_names_the_only_file(void **state)
{
	struct config c;
	struct why why = { 0 };

	(void)state;
	write_file(user_file, STR(ACCOUNT "port = 2525\n"), 0600);
	assert_int_equal(setenv("SUBPOST_CONFIG", user_file, 1), 0);
	assert_int_equal(config_load(&c, false, &why), DONE);
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_int_equal(c.nfiles, 1);
	assert_string_equal(c.path, user_file);
	assert_tells(&c, "port 2525");
	config_free(&c);
}

static void
a_relative_name_in_the_environment_becomes_absolute(void **state)
{
	struct config c;
	struct why why = { 0 };
	char was[4096];
	enum outcome o;

	(void)state;
	write_file(user_file, STR(ACCOUNT), 0600);
	assert_non_null(getcwd(was, sizeof was));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(setenv("SUBPOST_CONFIG", strrchr(user_file, '/') + 1, 1), 0);
	o = config_load(&c, false, &why);
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_int_equal(chdir(was), 0);
	assert_int_equal(o, DONE);
	assert_string_equal(c.path, user_file);
	config_free(&c);
}

static void
a_name_in_the_environment_that_is_not_there_is_exit_78(void **state)
{
	struct config c;
	struct why why = { 0 };
	enum outcome o;

	(void)state;
	assert_int_equal(setenv("SUBPOST_CONFIG", "/nowhere/at\n/all.ini", 1), 0);
	o = config_load(&c, false, &why);
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_int_equal(o, NEVER);
	assert_int_equal(why.exit, EX_CONFIG);
	assert_string_equal(c.smarthost.host, "");
	assert_has(why.text, "SUBPOST_CONFIG names /nowhere/at\\x0a/all.ini: No such file");
	config_free(&c);
}

static void
the_users_file_is_found_below_home(void **state)
{
	struct config c;
	struct why why = { 0 };
	char path[256];

	(void)state;
	snprintf(path, sizeof path, "%s/.config/subpost", dir);
	assert_int_equal(file_make_dirs(path), 0);
	snprintf(path, sizeof path, "%s/.config/subpost/subpost.ini", dir);
	write_file(path, STR(ACCOUNT), 0600);
	assert_int_equal(config_load(&c, false, &why), DONE);
	assert_string_equal(c.path, path);
	snprintf(path, sizeof path, "directory %s/.local/state/subpost", dir);
	assert_tells(&c, path);
	config_free(&c);
}

static void
absolute_xdg_directories_are_obeyed(void **state)
{
	struct config c;
	struct why why = { 0 };
	char path[256];

	(void)state;
	snprintf(path, sizeof path, "%s/xdg/subpost", dir);
	assert_int_equal(file_make_dirs(path), 0);
	snprintf(path, sizeof path, "%s/xdg/subpost/subpost.ini", dir);
	write_file(path, STR(ACCOUNT "port = 2626\n"), 0600);
	snprintf(path, sizeof path, "%s/xdg", dir);
	assert_int_equal(setenv("XDG_CONFIG_HOME", path, 1), 0);
	assert_int_equal(setenv("XDG_STATE_HOME", path, 1), 0);
	assert_int_equal(config_load(&c, false, &why), DONE);
	assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
	assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
	assert_tells(&c, "port 2626");
	snprintf(path, sizeof path, "directory %s/xdg/subpost", dir);
	assert_tells(&c, path);
	config_free(&c);
}

static void
relative_xdg_directories_do_not_count(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(setenv("XDG_STATE_HOME", "state", 1), 0);
	assert_int_equal(read_user(&c, STR(ACCOUNT), &why), DONE);
	assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
	assert_tells(&c, "directory /home/me/.local/state/subpost");
	config_free(&c);
}

static void
home_counts_only_if_it_is_our_own(void **state)
{
	struct buf home = { 0 };
	uid_t was = geteuid();

	(void)state;
	assert_true(config_home(&home));
	assert_string_equal(buf_c(&home), dir);
	buf_clear(&home);
	/* What the password file says of anybody, it is not this directory. */
	if (was == 0)
		assert_int_equal(seteuid(65534), 0);
	else
		assert_int_equal(setenv("HOME", "/", 1), 0);
	config_home(&home);
	assert_int_equal(seteuid(was), 0);
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_string_not_equal(buf_c(&home), dir);
	assert_string_not_equal(buf_c(&home), "/");
	buf_free(&home);
}

/* To root it is, but what daemons are given says nothing of where they live. */
static void
the_root_directory_is_nobodys_home(void **state)
{
	struct buf home = { 0 };

	(void)state;
	assert_int_equal(setenv("HOME", "/", 1), 0);
	config_home(&home);
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_string_not_equal(buf_c(&home), "/");
	buf_free(&home);
}

static void
without_a_home_the_directory_must_be_set(void **state)
{
	struct config c;
	struct why why = { 0 };

	(void)state;
	write_file(user_file, STR(ACCOUNT), 0600);
	assert_int_equal(config_read(&c, user_file, NULL, NULL, false, &why), NEVER);
	assert_has(why.text, "set directory in [queue]");
	config_free(&c);
	write_file(user_file, STR(ACCOUNT "[queue]\ndirectory = /q\n"), 0600);
	assert_int_equal(config_read(&c, user_file, NULL, NULL, false, &why), DONE);
	config_free(&c);
}

/* Identity that nothing in the file tells. */

/* A uid without a name in the password file has no address, and is told so. */
static void
a_login_that_is_no_address_still_gives_a_from(void **state)
{
	struct config c;
	struct why why;
	enum outcome o;

	(void)state;
	o = read_user(&c, STR("[smarthost]\nhost = h.example.com\nuser = apikey\n"
	    "password-command = x\n[identity]\ndomain = example.org\n"), &why);
	assert_string_equal(c.domain, "example.org");
	if (getpwuid(geteuid()) != NULL) {
		assert_int_equal(o, DONE);
		assert_has(c.smarthost.from, "@example.org");
		assert_string_not_equal(c.smarthost.from, "@example.org");
	} else {
		assert_int_equal(o, NEVER);
		assert_has(why.text, "set from in [smarthost]");
	}
	config_free(&c);
}

static void
without_any_domain_the_machines_name_is_used_and_never_nothing(void **state)
{
	struct buf name = { 0 };
	struct config c;
	struct why why;

	(void)state;
	read_user(&c, STR("[smarthost]\nhost = h.example.com\nuser = apikey\n"
	    "password-command = x\n"), &why);
	assert_true(c.domain[0] != '\0');
	/* A name without a domain comes with a warning, a full one without. */
	config_hostname(&c, &name);
	assert_int_equal(c.nproblems - c.nerrors, name.len > 0 ? 0 : 1);
	if (name.len == 0)
		assert_has(c.problems[0].text, "set domain in [identity]");
	buf_free(&name);
	config_free(&c);
}

static void
the_hostname_is_the_one_that_is_set(void **state)
{
	struct config c;
	struct why why;
	struct buf name = { 0 };

	(void)state;
	assert_int_equal(read_user(&c, STR(ACCOUNT "[identity]\nhostname = a.example.org\n"), &why),
	    DONE);
	config_hostname(&c, &name);
	assert_string_equal(buf_c(&name), "a.example.org");
	buf_free(&name);
	config_free(&c);
}

static void
the_machines_name_is_given_only_as_a_full_domain(void **state)
{
	struct config c = { 0 };
	struct buf name = { 0 };

	(void)state;
	config_hostname(&c, &name);
	assert_true(name.len == 0 || str_has(buf_str(&name), '.'));
	assert_false(str_casestarts(buf_str(&name), "localhost"));
	buf_free(&name);
}

/* Changes. */

static void
a_changed_file_is_noticed(void **state)
{
	static const struct timespec times[2] = { { 0, UTIME_OMIT }, { 1000000000, 5 } };
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_layers(&c, STR(ACCOUNT), STR("[queue]\n"), &why), DONE);
	assert_false(config_is_stale(&c));
	assert_int_equal(utimensat(AT_FDCWD, system_file, times, 0), 0);
	assert_true(config_is_stale(&c));
	config_free(&c);
}

static void
a_removed_file_is_noticed(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_user(&c, STR(ACCOUNT), &why), DONE);
	assert_int_equal(unlink(user_file), 0);
	assert_true(config_is_stale(&c));
	config_free(&c);
}

static void
free_may_be_called_twice_and_on_nothing(void **state)
{
	struct config c = { 0 };
	struct why why;

	(void)state;
	config_free(&c);
	assert_false(config_is_stale(&c));
	assert_int_equal(read_user(&c, STR(ACCOUNT "prot = 1\n"), &why), DONE);
	config_free(&c);
	config_free(&c);
	assert_null(c.smarthost.host);
}

static void
a_user_s_from_lies_over_the_system_s_in_either_form(void **state)
{
	static const struct {
		struct str system, user;
		bool header;
		const char *from;
	} layers[] = {
		{ STR(ACCOUNT "from = header\n"), STR("[smarthost]\nfrom = you@x.example\n"), false, "you@x.example" },
		{ STR(ACCOUNT "from = header\n"), STR("[smarthost]\nfrom =\n"), false, "me@example.com" },
		{ STR(ACCOUNT "from = you@x.example\n"), STR("[smarthost]\nfrom = header\n"), true, "me@example.com" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(layers); i++) {
		struct config c;
		struct why why;

		read_layers(&c, layers[i].system, layers[i].user, &why);
		assert_int_equal(c.smarthost.from_header, layers[i].header);
		assert_string_equal(c.smarthost.from, layers[i].from);
		config_free(&c);
	}
}

/* The service, and who has no configuration of their own. */

static void
the_service_reads_one_file_and_none_below_home(void **state)
{
	struct config c;
	struct why why;
	char path[256];

	(void)state;
	snprintf(path, sizeof path, "%s/.config/subpost", dir);
	assert_int_equal(file_make_dirs(path), 0);
	snprintf(path, sizeof path, "%s/.config/subpost/subpost.ini", dir);
	write_file(path, STR(ACCOUNT "port = 1\n"), 0600);
	assert_int_equal(read_service(&c, STR(ACCOUNT), 0644, &why), DONE);
	assert_int_equal(c.nfiles, 1);
	assert_string_equal(c.path, system_file);
	assert_tells(&c, "port 587");
	config_free(&c);
	assert_int_equal(unlink(path), 0);
}

static void
the_service_takes_a_file_of_roots_or_its_own_and_says_what_is_wrong(void **state)
{
	static const struct {
		mode_t mode;
		uid_t owner;
		bool as_stranger;
		enum outcome o;
		const char *says;
	} cases[] = {
		{ 0644, 0, true, DONE, "" },
		{ 0600, 65534, true, DONE, "" },
		{ 0644, 12345, true, NEVER, "belongs to uid 12345; it must belong to uid 65534 or to root" },
		{ 0644, 12345, false, NEVER, "belongs to uid 12345; it must belong to uid 0" },
		{ 0600, 0, true, NEVER, "cannot be read by uid 65534, as whom the service runs" },
		{ 0666, 0, true, NEVER, "can be changed by every user" },
	};
	struct config c;
	struct why why;

	(void)state;
	if (geteuid() != 0)
		return;
	for (size_t i = 0; i < COUNT(cases); i++) {
		enum outcome o;

		write_file(system_file, STR(ACCOUNT), cases[i].mode);
		assert_int_equal(chown(system_file, cases[i].owner, (gid_t)-1), 0);
		if (cases[i].as_stranger)
			assert_int_equal(seteuid(65534), 0);
		o = load_service(&c, system_file, &why);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(o, cases[i].o);
		assert_has(why.text, cases[i].says);
		if (o != DONE)
			assert_int_equal(why.exit, EX_CONFIG);
		config_free(&c);
	}
}

static void
a_service_without_a_file_is_told_what_to_write(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	unlink(system_file);
	assert_int_equal(load_service(&c, system_file, &why), NEVER);
	assert_int_equal(why.exit, EX_CONFIG);
	assert_has(why.text, "SUBPOST_CONFIG names");
	assert_has(why.text, system_file);
	assert_string_equal(c.service.socket, SUBPOST_SOCKET);
	config_free(&c);
}

/* The password file of root is not looked for: the courier will say it, and the
 * mail waits. */
static void
the_services_password_is_its_couriers(void **state)
{
	static const struct str text = STR("[smarthost]\nhost = h.example.com\nuser = me@example.com\n"
	    "password = " CANARY "\nforce-from = yes\n[user root]\nfrom = a@example.com\n");
	struct config c;
	struct why why;

	(void)state;
	assert_int_equal(read_service(&c, text, 0600, &why), DONE);
	assert_true(c.smarthost.has_password);
	assert_int_equal(c.smarthost.password.len, 0);
	config_free(&c);
	assert_int_equal(setenv("SUBPOST_CONFIG", system_file, 1), 0);
	assert_int_equal(config_load_service_secret(&c, &why), DONE);
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_string_equal(buf_c(&c.smarthost.password), CANARY);
	assert_int_equal(c.nusers, 1);
	config_free(&c);
	assert_int_equal(read_service(&c, text, 0644, &why), NEVER);
	assert_has(why.text, ":4: `password` may not stand in the system's file");
	config_free(&c);
}

static void
a_login_gives_a_from_that_is_known_to_be_one(void **state)
{
	static const struct {
		struct str text;
		bool is_login;
	} cases[] = {
		{ STR(ACCOUNT "[identity]\ndomain = example.org\n"), false },
		{ STR("[smarthost]\nhost = h.example.com\nauth = none\n[identity]\ndomain = example.org\n"), true },
		{ STR("[smarthost]\nhost = h.example.com\nauth = none\nfrom = a@example.com\n"), false },
	};
	struct config c;
	struct why why;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		read_service(&c, cases[i].text, 0644, &why);
		assert_int_equal(c.smarthost.from_is_login, cases[i].is_login);
		config_free(&c);
	}
}

#define NO_LOGIN "[smarthost]\nhost = h.example.com\nauth = none\n[identity]\ndomain = example.org\n"

/* What holds for one uid: a fact a line. */
static void
tell_view(const struct config *view, struct buf *out)
{
	const struct smarthost *s = &view->smarthost;

	buf_addf(out, "\nfrom %s\nfrom-header %d\nfrom-is-login %d\nsenders %s\ndomain %s\nhostname %s\n"
	    "received %d\naliases %s\nroot %s\nrewrite-to %d\nhost %s\n", s->from, s->from_header,
	    s->from_is_login, s->senders, view->domain, view->hostname, view->received,
	    view->aliases, view->root, view->rewrite_to, s->host);
}

static void
what_a_users_section_says_holds_for_that_uid_alone(void **state)
{
	static const struct {
		struct str text;
		uid_t uid;
		const char *fact;
	} cases[] = {
		{ STR(USER "from = web@example.org\n"), 0, "from web@example.org" },
		{ STR(USER "from = web@example.org\n"), 1, "from me@example.com" },
		{ STR(USER "[user daemon]\nfrom = web@example.org\n"), 0, "from me@example.com" },
		{ STR(USER "[user daemon]\nfrom = web@example.org\n"), 1, "from web@example.org" },
		{ STR(USER "domain = example.net\n[queue]\n[user root]\nroot = a@example.net\n"), 0,
		    "domain example.net" },
		{ STR(USER "domain = example.net\n[queue]\n[user root]\nroot = a@example.net\n"), 0,
		    "root a@example.net" },
		{ STR(USER "domain = example.net\n"), 0, "host smtp.example.com" },
		{ STR(USER "domain = example.net\n"), 4000000000u, "domain example.com" },
		{ STR(USER "hostname = a.example.net\n"), 0, "hostname a.example.net" },
		{ STR(USER "aliases = /etc/a\n"), 0, "aliases /etc/a" },
		{ STR(USER "received = no\n"), 0, "received 0" },
		{ STR(USER "received = no\n"), 1, "received 1" },
		{ STR(USER "received = yes\n[identity]\nreceived = no\n"), 0, "received 1" },
		{ STR(USER "received =\n[identity]\nreceived = no\n"), 0, "received 0" },
		{ STR(USER "rewrite-to = yes\n"), 0, "rewrite-to 1" },
		{ STR(USER "[identity]\nrewrite-to = yes\n"), 0, "rewrite-to 1" },
		{ STR(USER "senders = *@a\n  *@b\n"), 0, "senders *@a *@b" },
		{ STR(ACCOUNT "senders = *@a\n[user root]\nsenders = *@b\n"), 1, "senders *@a" },
		{ STR(ACCOUNT "senders = *@a\n[user root]\nsenders =\n"), 0, "senders *@a" },
		{ STR(USER "from = header\n"), 0, "from me@example.com\nfrom-header 1" },
		{ STR(ACCOUNT "from = header\n[user root]\nfrom = a@b\n"), 0, "from a@b\nfrom-header 0" },
		{ STR(ACCOUNT "from = header\n[user root]\nfrom =\n"), 0, "from me@example.com\nfrom-header 1" },
		{ STR(NO_LOGIN "[user root]\nfrom = a@b\n"), 0, "from-is-login 0" },
		{ STR(NO_LOGIN "[user root]\nfrom = a@b\n"), 1, "from-is-login 1" },
		{ STR(NO_LOGIN "[user root]\nfrom = header\n"), 0, "from-is-login 1" },
		{ STR(NO_LOGIN "[user root]\ndomain = example.net\n"), 0, "from-is-login 1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf facts = { 0 };
		struct config c, view;
		struct why why;
		char line[256];

		read_service(&c, cases[i].text, 0644, &why);
		assert_int_equal(c.nproblems, 0);
		config_view(&c, cases[i].uid, &view);
		tell_view(&view, &facts);
		snprintf(line, sizeof line, "\n%s\n", cases[i].fact);
		assert_has(buf_c(&facts), line);
		buf_free(&facts);
		config_free(&c);
	}
}

/* Nobody is looked up for a caller's own office, which has one user. */
static void
an_own_office_by_the_systems_file_knows_no_users(void **state)
{
	struct config c;
	struct why why;

	(void)state;
	write_file(system_file, STR(USER "from = a@example.org\n[user " CANARY "]\n[service]\nsocket = /s\n"),
	    0644);
	assert_int_equal(read_both(&c, false, true, false, &why), DONE);
	assert_int_equal(c.nproblems, 0);
	assert_int_equal(c.nusers, 0);
	assert_tells(&c, "from me@example.com");
	assert_tells(&c, "socket /s");
	config_free(&c);
}

static void
the_systems_queue_is_not_a_users(void **state)
{
	static const struct {
		const char *system, *user;
		bool has_user;
		const char *fact;
	} cases[] = {
		{ "[queue]\ndirectory = /q\n", NULL, false, "directory /q" },
		{ "[queue]\ndirectory = /q\n", ACCOUNT, true, "directory /home/me/.local/state/subpost" },
		{ "[queue]\ndirectory = /q\n", "[queue]\ndirectory = /mine\n", true, "directory /mine" },
		{ "[queue]\ndirectory = /q\n", "[queue]\ndirectory =\n", true,
		    "directory /home/me/.local/state/subpost" },
		{ "", NULL, false, "directory /home/me/.local/state/subpost" },
	};
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		buf_clear(&text);
		buf_addf(&text, ACCOUNT "%s", cases[i].system);
		write_file(system_file, buf_str(&text), 0644);
		if (cases[i].has_user)
			write_file(user_file, str_of(cases[i].user), 0600);
		assert_int_equal(read_both(&c, cases[i].has_user, true, false, &why), DONE);
		assert_tells(&c, cases[i].fact);
		config_free(&c);
	}
	buf_free(&text);
}

/* One's own is what is there, or meant to be there: a link to nothing is. */
static void
a_configuration_is_ones_own_where_its_file_is_there(void **state)
{
	char below[128], path[256];

	(void)state;
	snprintf(below, sizeof below, "%s/own", dir);
	assert_int_equal(mkdir(below, 0755), 0);
	assert_int_equal(setenv("XDG_CONFIG_HOME", below, 1), 0);
	assert_false(config_is_own());
	snprintf(path, sizeof path, "%s/subpost", below);
	write_file(path, STR("no directory\n"), 0644);
	assert_false(config_is_own());
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_false(config_is_own());
	snprintf(path, sizeof path, "%s/subpost/subpost.ini", below);
	assert_int_equal(symlink("/nowhere/at/all", path), 0);
	assert_true(config_is_own());
	write_file(path, STR("no ini at all\n"), 0000);
	assert_true(config_is_own());
	assert_int_equal(unlink(path), 0);
	assert_int_equal(setenv("SUBPOST_CONFIG", "", 1), 0);
	assert_false(config_is_own());
	assert_int_equal(setenv("SUBPOST_CONFIG", "/nowhere/at/all", 1), 0);
	assert_true(config_is_own());
	assert_int_equal(unsetenv("SUBPOST_CONFIG"), 0);
	assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
}

/* ProtectHome= and the like: there is no file for whom it cannot be reached. */
static void
a_file_behind_a_closed_door_is_not_there(void **state)
{
	uid_t was = geteuid();
	char below[128], path[256];
	struct config c;
	struct why why;
	enum outcome o;
	bool own;

	(void)state;
	snprintf(below, sizeof below, "%s/closed", dir);
	snprintf(path, sizeof path, "%s/subpost.ini", below);
	assert_int_equal(mkdir(below, 0700), 0);
	write_file(path, STR(ACCOUNT), 0644);
	write_file(system_file, STR(ACCOUNT "port = 25\n"), 0644);
	assert_int_equal(chmod(below, was == 0 ? 0700 : 0), 0);
	assert_int_equal(setenv("XDG_CONFIG_HOME", below, 1), 0);
	if (was == 0)
		assert_int_equal(seteuid(65534), 0);
	own = config_is_own();
	o = config_read(&c, path, system_file, "/home/me", false, &why);
	assert_int_equal(seteuid(was), 0);
	assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
	assert_int_equal(chmod(below, 0700), 0);
	assert_false(own);
	assert_int_equal(o, DONE);
	assert_tells(&c, "port 25");
	config_free(&c);
}

static void
the_socket_is_the_default_where_no_file_tells(void **state)
{
	struct buf path = { 0 };
	bool exists;

	(void)state;
	/* Whatever this machine has: a socket is named, and appended. */
	buf_adds(&path, ">");
	config_socket(&path, &exists);
	assert_int_equal(strncmp(buf_c(&path), ">/", 2), 0);
	if (!exists)
		assert_string_equal(buf_c(&path), ">" SUBPOST_SOCKET);
	buf_free(&path);
}

/* The example that is shipped. */

static void
load_example(struct buf *text)
{
	assert_int_equal(file_load(AT_FDCWD, "conf/subpost.ini", text, 65536), 0);
}

static void
the_example_is_accepted_as_it_is(void **state)
{
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	load_example(&text);
	assert_int_equal(read_user(&c, buf_str(&text), &why), DONE);
	assert_int_equal(c.nproblems, 0);
	config_free(&c);
	buf_free(&text);
}

static void
what_the_example_calls_a_default_is_one(void **state)
{
	struct buf text = { 0 }, bare = { 0 }, with = { 0 }, without = { 0 };
	struct config c;
	struct why why;

	(void)state;
	load_example(&text);
	assert_int_equal(read_user(&c, buf_str(&text), &why), DONE);
	tell(&c, &without);
	config_free(&c);
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] != ';' || text.p[i - 1] != '\n')
			buf_addc(&bare, text.p[i]);
	/* As the system's, where all of it counts. */
	write_file(system_file, buf_str(&bare), 0644);
	assert_int_equal(read_both(&c, false, true, false, &why), DONE);
	assert_int_equal(c.nproblems, 0);
	tell(&c, &with);
	assert_string_equal(buf_c(&with), buf_c(&without));
	config_free(&c);
	buf_free(&text);
	buf_free(&bare);
	buf_free(&with);
	buf_free(&without);
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/subpost-config-XXXXXX");
	/* The world may enter: some promises are about strangers. */
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0)
		return -1;
	snprintf(user_file, sizeof user_file, "%s/user.ini", dir);
	snprintf(system_file, sizeof system_file, "%s/system.ini", dir);
	snprintf(secret_file, sizeof secret_file, "%s/secret", dir);
	unsetenv("SUBPOST_CONFIG");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	return setenv("HOME", dir, 1);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct CMUnitTest stories[] = {
	cmocka_unit_test(the_users_keys_lie_over_the_systems),
	cmocka_unit_test(the_same_key_in_both_files_is_no_repetition),
	cmocka_unit_test(an_empty_value_of_the_users_takes_the_systems_back),
	cmocka_unit_test(the_users_secret_takes_the_place_of_the_systems),
	cmocka_unit_test(the_users_port_counts_more_than_the_one_behind_the_systems_host),
	cmocka_unit_test(the_port_behind_the_users_host_counts_more_than_the_systems),
	cmocka_unit_test(the_queue_belongs_to_the_topmost_file),
	cmocka_unit_test(an_error_names_the_file_it_is_in),
	cmocka_unit_test(a_check_across_files_names_the_file_that_set_the_key),
	cmocka_unit_test(a_missing_key_is_told_of_the_file_that_counts_most),
	cmocka_unit_test(all_errors_are_kept_and_the_first_tells_how_many_more),
	cmocka_unit_test(a_file_that_is_no_ini_at_all_takes_no_memory),
	cmocka_unit_test(many_warnings_do_not_hide_an_error),
	cmocka_unit_test(no_file_at_all_tells_what_to_write),
	cmocka_unit_test(strings_are_never_null_even_without_a_file),
	cmocka_unit_test(a_password_others_can_read_is_refused_with_the_chmod_to_type),
	cmocka_unit_test(a_password_in_an_ignored_section_is_guarded_too),
	cmocka_unit_test(an_indented_section_is_not_lost_in_an_ignored_one),
	cmocka_unit_test(a_file_without_a_password_may_be_read_by_others),
	cmocka_unit_test(the_systems_file_may_not_have_a_password_that_others_read),
	cmocka_unit_test(a_file_everybody_can_change_is_refused),
	cmocka_unit_test(nothing_is_called_missing_from_a_file_that_was_not_read),
	cmocka_unit_test(a_strangers_file_is_refused_and_its_owner_named),
	cmocka_unit_test(roots_file_is_good_for_everybody),
	cmocka_unit_test(a_directory_is_no_configuration),
	cmocka_unit_test(a_fifo_does_not_make_us_wait),
	cmocka_unit_test(a_link_is_followed),
	cmocka_unit_test(a_link_to_nothing_does_not_fall_back_on_the_system),
	cmocka_unit_test(a_file_over_the_limit_is_refused),
	cmocka_unit_test(the_systems_secret_that_is_not_ours_is_exit_75),
	cmocka_unit_test(the_systems_file_that_is_not_ours_is_exit_75),
	cmocka_unit_test(a_secret_that_nobody_needs_may_be_out_of_reach),
	cmocka_unit_test(who_asks_for_secrets_gets_the_password),
	cmocka_unit_test(the_last_of_two_passwords_counts),
	cmocka_unit_test(a_password_on_a_line_too_long_is_not_kept_in_part),
	cmocka_unit_test(the_environment_names_the_only_file),
	cmocka_unit_test(a_relative_name_in_the_environment_becomes_absolute),
	cmocka_unit_test(a_name_in_the_environment_that_is_not_there_is_exit_78),
	cmocka_unit_test(the_users_file_is_found_below_home),
	cmocka_unit_test(absolute_xdg_directories_are_obeyed),
	cmocka_unit_test(relative_xdg_directories_do_not_count),
	cmocka_unit_test(home_counts_only_if_it_is_our_own),
	cmocka_unit_test(the_root_directory_is_nobodys_home),
	cmocka_unit_test(without_a_home_the_directory_must_be_set),
	cmocka_unit_test(a_login_that_is_no_address_still_gives_a_from),
	cmocka_unit_test(without_any_domain_the_machines_name_is_used_and_never_nothing),
	cmocka_unit_test(the_hostname_is_the_one_that_is_set),
	cmocka_unit_test(the_machines_name_is_given_only_as_a_full_domain),
	cmocka_unit_test(a_changed_file_is_noticed),
	cmocka_unit_test(a_removed_file_is_noticed),
	cmocka_unit_test(free_may_be_called_twice_and_on_nothing),
	cmocka_unit_test(the_service_reads_one_file_and_none_below_home),
	cmocka_unit_test(the_service_takes_a_file_of_roots_or_its_own_and_says_what_is_wrong),
	cmocka_unit_test(a_service_without_a_file_is_told_what_to_write),
	cmocka_unit_test(the_services_password_is_its_couriers),
	cmocka_unit_test(a_login_gives_a_from_that_is_known_to_be_one),
	cmocka_unit_test(what_a_users_section_says_holds_for_that_uid_alone),
	cmocka_unit_test(an_own_office_by_the_systems_file_knows_no_users),
	cmocka_unit_test(the_systems_queue_is_not_a_users),
	cmocka_unit_test(a_configuration_is_ones_own_where_its_file_is_there),
	cmocka_unit_test(a_file_behind_a_closed_door_is_not_there),
	cmocka_unit_test(the_socket_is_the_default_where_no_file_tells),
	cmocka_unit_test(the_example_is_accepted_as_it_is),
	cmocka_unit_test(a_user_s_from_lies_over_the_system_s_in_either_form),
	cmocka_unit_test(what_the_example_calls_a_default_is_one),
};

int
main(void)
{
	struct CMUnitTest tests[COUNT(rows) + COUNT(service_rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	for (size_t i = 0; i < COUNT(service_rows); i++)
		tests[COUNT(rows) + i] = (struct CMUnitTest){ .name = service_rows[i].promise,
			.test_func = a_row_of_the_service_is_kept,
			.initial_state = (void *)(uintptr_t)&service_rows[i] };
	memcpy(tests + COUNT(rows) + COUNT(service_rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
