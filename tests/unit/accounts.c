#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../lib/home.h"
#include "config.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Stands in values: nothing that we say may have it. */
#define CANARY "c4nary"

#define LOGIN "user = me@example.com\npassword-command = pass mail\n"
#define FIRST "[smarthost]\nhost = a.example.com\n" LOGIN
#define WORK FIRST "[smarthost work]\nhost = b.example.com\nuser = me@work.example\n" \
	"password-command = pass work\n"
#define CARRIED "senders = *@work.example\n"
#define NINE "h1.x h2.x h3.x h4.x h5.x h6.x h7.x h8.x h9.x"

static const char *const modes[] = { "starttls", "implicit", "none" };

/* What an account came to, its servers first. */
static void
tell(const struct smarthost *s, struct buf *out)
{
	buf_addf(out, "%s:", s->name);
	for (unsigned i = 0; i < s->nservers; i++) {
		if (s->servers[i].srv)
			buf_addf(out, " srv:%s", s->servers[i].host);
		else
			buf_addf(out, " %s:%u", s->servers[i].host, s->servers[i].port);
	}
	buf_addf(out, " %s; %s, user %s, from %s", modes[s->tls], s->auth, s->user, s->from);
	if (s->senders[0] != '\0')
		buf_addf(out, ", senders %s", s->senders);
	if (s->recipients[0] != '\0')
		buf_addf(out, ", recipients %s", s->recipients);
	if (s->fallback[0] != '\0')
		buf_addf(out, ", fallback %s", s->fallback);
	buf_addf(out, "; %u %u %u", s->connections, (unsigned)s->keep_open, s->pipeline_depth);
	buf_addf(out, ", %s%s%s\n", s->password_command, s->password_file, s->token_command);
}

/* Reads the files that are given, and looks at what holds always. */
static enum outcome
read_layers(struct config *c, const char *system, const char *user, struct buf *told)
{
	char *system_path = home_path("system.ini"), *user_path = home_path("user.ini");
	struct why why = { 0 };
	enum outcome o;

	if (system != NULL)
		home_write("system.ini", str_of(system), 0644);
	if (user != NULL)
		home_write("user.ini", str_of(user), 0600);
	o = config_read(c, user != NULL ? user_path : NULL, system != NULL ? system_path : NULL, home,
	    false, &why);
	assert_int_equal(o == DONE, c->nerrors == 0);
	for (unsigned i = 0; i < c->nproblems; i++) {
		const char *base = strrchr(c->problems[i].text, '/');

		assert_null(strstr(c->problems[i].text, CANARY));
		/* The file's name, line and words. */
		buf_addf(told, "%s\n", strstr(c->problems[i].text, ".ini") != NULL && base != NULL ?
		    strstr(c->problems[i].text, home) == c->problems[i].text ?
		    c->problems[i].text + strlen(home) + 1 : base + 1 : c->problems[i].text);
	}
	if (system != NULL)
		home_unlink("system.ini");
	if (user != NULL)
		home_unlink("user.ini");
	free(system_path);
	free(user_path);
	return o;
}

/* Rows: one's own file, and an account that comes of it, or the one problem. */
struct row {
	const char *promise;
	const char *text;
	const char *account;            /* NULL: there is a problem */
	const char *wants;              /* what the account's line has, or the problem's */
};

static const struct row rows[] = {
	{ "a file with one account has one", FIRST, "default", "default: a.example.com:587 starttls; auto, "
	    "user me@example.com, from me@example.com; 2 2 1, pass mail\n" },
	{ "a section with a name is another account", WORK CARRIED, "work", "work: b.example.com:587 "
	    "starttls; auto, user me@work.example, from me@work.example, senders *@work.example; 2 2 1, "
	    "pass work\n" },
	{ "and changes nothing in the default one", WORK CARRIED "port = 465\nrecipients = *@x.example\n",
	    "default", "default: a.example.com:587 starttls; auto, user me@example.com, from "
	    "me@example.com; 2 2 1, pass mail\n" },
	{ "names are the same in any case", FIRST "[smarthost Work]\nhost = b.x\n[smarthost WORK]\n"
	    "auth = none\nfrom = w@x.example\n" CARRIED, "work", "work: b.x:587 starttls; none" },
	{ "a name may have digits and marks", FIRST "[smarthost a-1_b.c]\nhost = b.x\nauth = none\n" CARRIED,
	    "a-1_b.c", "b.x:587" },
	{ "an account without an address has the default one's", FIRST "[smarthost ses]\nhost = b.x\n"
	    "user = AKIA\npassword-command = x\n" CARRIED, "ses", "user AKIA, from me@example.com" },
	{ "an account inherits nothing else", FIRST "connections = 9\nkeep-open = 9\npipeline-depth = 9\n"
	    "tls = implicit\n[smarthost b]\nhost = b.x\nauth = none\n" CARRIED, "b",
	    "b: b.x:587 starttls; none, user , from me@example.com, senders *@work.example; 2 2 1, \n" },
	{ "an account may be there as a fallback alone", FIRST "fallback = Work\n[smarthost work]\n"
	    "host = b.x\nauth = none\n", "default", ", fallback work" },
	{ "the default account may be a fallback", WORK CARRIED "fallback = default\n", "work",
	    ", fallback default" },
	{ "recipients choose an account, too", WORK "recipients = *@x.example\n  b@y.example\n", "work",
	    ", recipients *@x.example b@y.example" },
	{ "the pool has its limits set", FIRST "connections = 100\nkeep-open = 10m\npipeline-depth = 32\n",
	    "default", "; 100 600 32" },
	{ "an idle connection may be closed at once", FIRST "keep-open = 0\n", "default", "; 2 0 1" },

	{ "no mail goes by an account that nothing names", WORK, NULL,
	    "user.ini:5: no mail goes by this account" },
	{ "a name with a blank is none", FIRST "[smarthost a b]\nhost = b.x\n", NULL,
	    "user.ini:5: an account's name is made of letters" },
	{ "a name with another mark is none", FIRST "[smarthost " CANARY "/]\nhost = b.x\n", NULL,
	    "user.ini:5: an account's name is made of letters" },
	{ "a name beyond ASCII is none", FIRST "[smarthost b\xc3\xbcro]\nhost = b.x\n", NULL,
	    "user.ini:5: an account's name is made of letters" },
	{ "default is the name of the first", FIRST "[smarthost Default]\nhost = b.x\n", NULL,
	    "user.ini:5: [smarthost] alone is the account `default`" },
	{ "a key that is given twice is warned of, over sections of one name", WORK CARRIED "[queue]\n"
	    "[smarthost work]\nuser = a@x.example\n", NULL, "user.ini:12: `user` was set in line 7 already" },
	{ "an account needs a host", FIRST "[smarthost b]\nauth = none\n" CARRIED, NULL,
	    "user.ini:5: no host in this section" },
	{ "an account needs a login", FIRST "[smarthost b]\nhost = b.x\n" CARRIED, NULL,
	    "user.ini:5: no login" },
	{ "an account has its own password", FIRST "[smarthost b]\nhost = b.x\nuser = b\n" CARRIED, NULL,
	    "user.ini:7: a user and no password" },
	{ "a fallback that is not there is an error", FIRST "fallback = " CANARY "\n", NULL,
	    "user.ini:5: fallback names no account" },
	{ "nor is the account itself one", FIRST "fallback = default\n", NULL,
	    "user.ini:5: fallback leads back to the account itself" },
	{ "a fallback is one name", FIRST "fallback = a " CANARY "\n", NULL,
	    "user.ini:5: fallback must be the name of one account" },
	{ "a password in an account's section is no key of the first", WORK CARRIED "password-file = /p\n",
	    NULL, "user.ini:7: several of password" },
	{ "a slip in an account's section is understood", WORK CARRIED "prot = 1\n", NULL,
	    "user.ini:10: unknown key in [smarthost], ignored; did you mean `port`?" },

	/* Servers. */
	{ "host may be a list", "[smarthost]\nhost = a.x b.x, c.x\n" LOGIN, "default",
	    "default: a.x:587 b.x:587 c.x:587 starttls" },
	{ "a list may go on", "[smarthost]\nhost = a.x\n  b.x\n\tc.x:26\n" LOGIN, "default",
	    "default: a.x:587 b.x:587 c.x:26 starttls" },
	{ "port is for those who bring none", "[smarthost]\nhost = a.x b.x:26\nport = 25\n" LOGIN, "default",
	    "default: a.x:25 b.x:26 starttls" },
	{ "tls = implicit gives 465 to those who bring no port", "[smarthost]\nhost = a.x b.x:4465\n"
	    "tls = implicit\n" LOGIN, "default", "default: a.x:465 b.x:4465 implicit" },
	{ "a list of port 465 is implicit", "[smarthost]\nhost = a.x:465 b.x:465\n" LOGIN, "default",
	    "default: a.x:465 b.x:465 implicit" },
	{ "a list of both kinds says which", "[smarthost]\nhost = a.x:465 b.x:587\n" LOGIN, NULL,
	    "user.ini:2: the servers are of different kinds" },
	{ "and is taken with tls", "[smarthost]\nhost = a.x:465 b.x:587\ntls = starttls\n" LOGIN, "default",
	    "default: a.x:465 b.x:587 starttls" },
	{ "ports behind all and another one are a conflict", "[smarthost]\nhost = a.x:25 b.x:25\nport = 26\n"
	    LOGIN, NULL, "user.ini:3: the port is given here and behind the host" },
	{ "eight servers are a list", "[smarthost]\nhost = h1.x h2.x h3.x h4.x h5.x h6.x h7.x h8.x\n" LOGIN,
	    "default", "h8.x:587 starttls" },
	{ "nine are too many", "[smarthost]\nhost = " NINE "\n" LOGIN, NULL,
	    "user.ini:2: host has over 8 servers" },
	{ "an IPv6 address in a list has brackets with a port", "[smarthost]\nhost = [2001:db8::1]:26 ::1\n"
	    LOGIN, "default", "default: 2001:db8::1:26 ::1:587 starttls" },
	{ "a bad one in a list is an error", "[smarthost]\nhost = a.x b/" CANARY "\n" LOGIN, NULL,
	    "user.ini:2: host must be a name or an address" },
	{ "a login in the clear is refused if one is elsewhere", "[smarthost]\nhost = localhost:25 a.x:25\n"
	    "tls = none\n" LOGIN, NULL, "user.ini:3: tls = none would send" },
	{ "and taken where all are here", "[smarthost]\nhost = localhost:25 127.0.0.2:25\ntls = none\n" LOGIN,
	    "default", "localhost:25 127.0.0.2:25 none" },
	{ "srv: is a domain to ask about", "[smarthost]\nhost = SRV:example.com\n" LOGIN, "default",
	    "default: srv:example.com starttls" },
	{ "and may stand among others", "[smarthost]\nhost = srv:example.com a.x:465\n" LOGIN, "default",
	    "default: srv:example.com a.x:465 implicit" },
	{ "srv: has no port", "[smarthost]\nhost = srv:example.com:25\n" LOGIN, NULL,
	    "user.ini:2: host must be" },
	{ "srv: is no address", "[smarthost]\nhost = srv:\n" LOGIN, NULL, "user.ini:2: host must be" },
	{ "srv: finds the port", "[smarthost]\nhost = srv:example.com\nport = 25\n" LOGIN, NULL,
	    "user.ini:3: srv: finds out port and tls; take port out" },
	{ "srv: finds the kind of TLS", "[smarthost]\nhost = srv:example.com\ntls = implicit\n" LOGIN, NULL,
	    "user.ini:3: srv: finds out port and tls; take tls out" },
	{ "srv: is never in the clear", "[smarthost]\nhost = localhost:25 srv:example.com\ntls = none\n"
	    "auth = none\nfrom = a@b.example\n", NULL, "user.ini:3: srv: and tls = none do not go together" },

	{ "source is of the family", "[smarthost]\nhost = a.x\nsource = 192.0.2.1\nfamily = ipv4\n" LOGIN,
	    "default", "a.x:587 starttls" },
	{ "and not of the other", "[smarthost]\nhost = a.x\nsource = 192.0.2.1\nfamily = ipv6\n" LOGIN, NULL,
	    "user.ini:3: source is no address of the family" },
	{ "nor the other way round", "[smarthost]\nhost = a.x\nfamily = ipv4\nsource = 2001:db8::1\n" LOGIN, NULL,
	    "user.ini:4: source is no address of the family" },
	{ "a pin needs TLS", "[smarthost]\nhost = localhost\ntls = none\ntls-pin = sha256:"
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n" LOGIN, NULL,
	    "user.ini:3: with tls = none no certificate is seen" },

	/* Login. */
	{ "a token's command is a source of its own", "[smarthost]\nhost = a.x\nuser = a@b.example\n"
	    "token-command = token\n", "default", "; auto, user a@b.example, from a@b.example; 2 2 1, token" },
	{ "and not beside a password", FIRST "token-command = x\n", NULL, "user.ini:3: several of password" },
	{ "a token is not for auth = plain", "[smarthost]\nhost = a.x\nuser = a@b.example\n"
	    "token-command = x\nauth = plain\n", NULL, "user.ini:5: this auth logs in without a token" },
	{ "a certificate of ours has a key", FIRST "tls-cert-file = /c\n", NULL,
	    "user.ini:5: tls-cert-file and tls-key-file belong together" },
	{ "and a key a certificate", FIRST "tls-key-file = /c\n", NULL,
	    "user.ini:5: tls-cert-file and tls-key-file belong together" },
};

static void
a_row_is_kept(void **state)
{
	const struct row *row = *state;
	struct buf told = { 0 };
	struct config c;

	read_layers(&c, NULL, row->text, &told);
	if (row->account != NULL) {
		const struct smarthost *s = config_account_named(&c, str_of(row->account));

		assert_string_equal(buf_c(&told), "");
		assert_non_null(s);
		tell(s, &told);
	} else {
		assert_int_equal(c.nproblems, 1);
	}
	if (strstr(buf_c(&told), row->wants) == NULL)
		fail_msg("expected \"%s\" in: %s", row->wants, buf_c(&told));
	buf_free(&told);
	config_free(&c);
}

/* All accounts of two files, or the problems. */
static void
assert_layers(const char *system, const char *user, const char *wants)
{
	struct buf told = { 0 };
	struct config c;

	read_layers(&c, system, user, &told);
	for (unsigned i = 0; c.nerrors == 0 && i < config_accounts(&c); i++)
		tell(config_account(&c, i), &told);
	assert_string_equal(buf_c(&told), wants);
	buf_free(&told);
	config_free(&c);
}

#define DEFAULT "default: a.example.com:587 starttls; auto, user me@example.com, from me@example.com; " \
	"2 2 1, pass mail\n"

static void
accounts_stand_in_the_order_of_the_file(void **state)
{
	(void)state;
	assert_layers(NULL, FIRST "[smarthost z]\nhost = z.x\nauth = none\nsenders = *@z\n"
	    "[smarthost b]\nhost = b.x\nauth = none\nsenders = *@b\n[smarthost z]\nport = 26\n", DEFAULT
	    "z: z.x:26 starttls; none, user , from me@example.com, senders *@z; 2 2 1, \n"
	    "b: b.x:587 starttls; none, user , from me@example.com, senders *@b; 2 2 1, \n");
}

static void
the_systems_accounts_are_not_for_who_has_a_file_but_by_name(void **state)
{
	static const char system[] = FIRST "[smarthost b]\nhost = b.x\nauth = none\nsenders = *@b\n"
	    "[smarthost c]\nhost = c.x\nauth = none\nsenders = *@c\n";

	(void)state;
	assert_layers(system, "[queue]\n", DEFAULT);
	assert_layers(system, "[smarthost c]\n", DEFAULT
	    "c: c.x:587 starttls; none, user , from me@example.com, senders *@c; 2 2 1, \n");
	assert_layers(system, "[smarthost C]\nport = 26\nsenders = *@d\n", DEFAULT
	    "c: c.x:26 starttls; none, user , from me@example.com, senders *@d; 2 2 1, \n");
	assert_layers(system, NULL, DEFAULT
	    "b: b.x:587 starttls; none, user , from me@example.com, senders *@b; 2 2 1, \n"
	    "c: c.x:587 starttls; none, user , from me@example.com, senders *@c; 2 2 1, \n");
}

static void
each_account_has_its_own_secret_in_each_file(void **state)
{
	static const char system[] = FIRST "[smarthost b]\nhost = b.x\nuser = b@x.example\npassword-file = /b\n"
	    "senders = *@b\n";

	(void)state;
	assert_layers(system, "[smarthost b]\npassword-command = mine\n", DEFAULT
	    "b: b.x:587 starttls; auto, user b@x.example, from b@x.example, senders *@b; 2 2 1, mine\n");
	assert_layers(system, "[smarthost]\npassword-file = /mine\n[smarthost b]\n",
	    "default: a.example.com:587 starttls; auto, user me@example.com, from me@example.com; 2 2 1, /mine\n"
	    "b: b.x:587 starttls; auto, user b@x.example, from b@x.example, senders *@b; 2 2 1, /b\n");
	assert_layers(FIRST, "[smarthost b]\nhost = b.x\nuser = b@x.example\npassword-command = p\n"
	    "senders = *@b\n[smarthost]\ntoken-command = t\n",
	    "default: a.example.com:587 starttls; auto, user me@example.com, from me@example.com; 2 2 1, t\n"
	    "b: b.x:587 starttls; auto, user b@x.example, from b@x.example, senders *@b; 2 2 1, p\n");
}

static void
the_same_key_of_an_account_in_both_files_is_no_repetition(void **state)
{
	static const char both[] = FIRST "[smarthost b]\nhost = b.x\nauth = none\nsenders = *@b\n";

	(void)state;
	assert_layers(both, both, DEFAULT
	    "b: b.x:587 starttls; none, user , from me@example.com, senders *@b; 2 2 1, \n");
}

static void
ports_of_two_files_lie_over_each_other(void **state)
{
	(void)state;
	assert_layers("[smarthost]\nhost = a.x:465 b.x:465\n" LOGIN, "[smarthost]\nport = 587\n",
	    "default: a.x:587 b.x:587 starttls; auto, user me@example.com, from me@example.com; 2 2 1, "
	    "pass mail\n");
	assert_layers("[smarthost]\nhost = a.x\nport = 465\ntls = implicit\n" LOGIN,
	    "[smarthost]\nhost = srv:example.com\n",
	    "default: srv:example.com starttls; auto, user me@example.com, from me@example.com; 2 2 1, "
	    "pass mail\n");
}

static void
fallbacks_go_round_in_no_circle(void **state)
{
	(void)state;
	assert_layers(NULL, FIRST "fallback = b\n[smarthost b]\nhost = b.x\nauth = none\nfallback = c\n"
	    "[smarthost c]\nhost = c.x\nauth = none\nfallback = b\n",
	    "user.ini:9: fallback leads back to the account itself; let one of them have none\n"
	    "user.ini:13: fallback leads back to the account itself; let one of them have none\n");
	assert_layers(NULL, FIRST "fallback = b\n[smarthost b]\nhost = b.x\nauth = none\nfallback = c\n"
	    "[smarthost c]\nhost = c.x\nauth = none\n",
	    "default: a.example.com:587 starttls; auto, user me@example.com, from me@example.com, "
	    "fallback b; 2 2 1, pass mail\n"
	    "b: b.x:587 starttls; none, user , from me@example.com, fallback c; 2 2 1, \n"
	    "c: c.x:587 starttls; none, user , from me@example.com; 2 2 1, \n");
}

static void
more_accounts_than_there_may_be_are_an_error(void **state)
{
	struct buf text = { 0 }, told = { 0 };
	struct config c;

	(void)state;
	buf_adds(&text, FIRST);
	for (unsigned i = 1; i < ACCOUNTS_MAX; i++)
		buf_addf(&text, "[smarthost n%u]\nhost = h.x\nauth = none\nsenders = *@n%u\n", i, i);
	assert_int_equal(read_layers(&c, NULL, buf_c(&text), &told), DONE);
	assert_int_equal(config_accounts(&c), ACCOUNTS_MAX);
	config_free(&c);
	buf_adds(&text, "[smarthost last]\nhost = h.x\nauth = none\nsenders = *@n\n");
	assert_int_equal(read_layers(&c, NULL, buf_c(&text), &told), NEVER);
	assert_int_equal(c.nproblems, 1);
	assert_non_null(strstr(buf_c(&told), "there are over 32 accounts"));
	config_free(&c);
	buf_free(&text);
	buf_free(&told);
}

/* A caller may take the system's file for an office of their own only where all of
 * its secrets are theirs to read. */
static void
one_secret_out_of_reach_is_exit_75(void **state)
{
	char *system = home_path("system.ini"), *mine = home_path("mine");
	struct buf text = { 0 };
	struct config c;
	struct why why;

	(void)state;
	home_write("mine", STR("secret\n"), 0600);
	buf_addf(&text, FIRST "[smarthost b]\nhost = b.x\nuser = b@x.example\npassword-file = %s\n"
	    CARRIED, mine);
	home_write("system.ini", buf_str(&text), 0644);
	assert_int_equal(config_read(&c, NULL, system, home, false, &why), DONE);
	config_free(&c);
	home_unlink("mine");
	assert_int_equal(config_read(&c, NULL, system, home, false, &why), LATER);
	assert_int_equal(why.exit, EX_TEMPFAIL);
	config_free(&c);
	home_unlink("system.ini");
	buf_free(&text);
	free(system);
	free(mine);
}

static void
a_password_of_any_account_closes_the_file(void **state)
{
	char *path = home_path("user.ini");
	struct config c;
	struct why why;

	(void)state;
	home_write("user.ini", STR(FIRST "[smarthost b]\nhost = b.x\nuser = b@x.example\npassword = " CANARY
	    "\nsenders = *@b\n"), 0644);
	assert_int_equal(config_read(&c, path, NULL, home, false, &why), NEVER);
	assert_non_null(strstr(why.text, "user.ini:8: this file has a password and others can read it"));
	config_free(&c);
	assert_int_equal(config_read(&c, NULL, path, home, false, &why), NEVER);
	assert_non_null(strstr(why.text, "user.ini:8: `password` may not stand in the system's file"));
	config_free(&c);
	home_unlink("user.ini");
	free(path);
}

static void
who_asks_for_secrets_gets_each_accounts_own(void **state)
{
	char *path = home_path("user.ini");
	struct config c;
	struct why why;

	(void)state;
	home_write("user.ini", STR("[smarthost]\nhost = a.x\nuser = a@x.example\npassword = one\n"
	    "[smarthost b]\nhost = b.x\nuser = b@x.example\npassword = two\nsenders = *@b\n"), 0600);
	assert_int_equal(config_read(&c, path, NULL, home, true, &why), DONE);
	assert_string_equal(buf_c(&c.smarthost.password), "one");
	assert_string_equal(buf_c(&c.more[0].password), "two");
	config_free(&c);
	assert_int_equal(config_read(&c, path, NULL, home, false, &why), DONE);
	assert_int_equal(c.more[0].password.len, 0);
	assert_true(c.more[0].has_password);
	config_free(&c);
	home_unlink("user.ini");
	free(path);
}

int
main(void)
{
	const struct CMUnitTest stories[] = {
		cmocka_unit_test(accounts_stand_in_the_order_of_the_file),
		cmocka_unit_test(the_systems_accounts_are_not_for_who_has_a_file_but_by_name),
		cmocka_unit_test(each_account_has_its_own_secret_in_each_file),
		cmocka_unit_test(the_same_key_of_an_account_in_both_files_is_no_repetition),
		cmocka_unit_test(ports_of_two_files_lie_over_each_other),
		cmocka_unit_test(fallbacks_go_round_in_no_circle),
		cmocka_unit_test(more_accounts_than_there_may_be_are_an_error),
		cmocka_unit_test(one_secret_out_of_reach_is_exit_75),
		cmocka_unit_test(a_password_of_any_account_closes_the_file),
		cmocka_unit_test(who_asks_for_secrets_gets_each_accounts_own),
	};
	struct CMUnitTest tests[COUNT(rows) + COUNT(stories)];

	for (size_t i = 0; i < COUNT(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].promise, .test_func = a_row_is_kept,
			.initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + COUNT(rows), stories, sizeof stories);
	return cmocka_run_group_tests(tests, home_make, home_remove);
}
