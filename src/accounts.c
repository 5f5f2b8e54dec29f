#include "accounts.h"

#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "host.h"
#include "keys.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* An error found when all was read: told where that key of the account was set, else
 * of its section, else of the topmost file. */
static void __attribute__((format(printf, 4, 5)))
complain_of(struct reading *r, const struct part *p, enum key_id id, const char *fmt, ...)
{
	struct place at = p->at.line > 0 ? p->at : (struct place){ r->label, 0 };
	va_list ap;

	va_start(ap, fmt);
	inifile_note(r->c, true, p->given[id].line > 0 ? p->given[id] : at, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
warn_of(struct reading *r, const struct part *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	inifile_note(r->c, false, p->at, fmt, ap);
	va_end(ap);
}

static bool
is_set(const struct part *p, enum key_id id)
{
	return p->given[id].line > 0;
}

static struct smarthost *
account(const struct part *p)
{
	return &p->values->smarthost;
}

/* ---- servers ------------------------------------------------------------------------ */

/* One word of the list; its port is 0 where none stands behind it. */
static bool
add_server(struct reading *r, struct part *p, struct str word)
{
	struct smarthost *s = account(p);
	struct server *to = &s->servers[s->nservers];
	struct str host, port;
	uint64_t n = 0;

	if (s->nservers == SERVERS_MAX) {
		complain_of(r, p, KEY_HOST, "host has over %d servers; name fewer", SERVERS_MAX);
		return false;
	}
	if (str_casestarts(word, "srv:")) {
		host = str_from(word.p + 4, word.len - 4);
		port = STR("");
		to->srv = true;
	}
	if (to->srv ? !host_is_domain(host, false) : !host_split(word, &host, &port)) {
		complain_of(r, p, KEY_HOST, "host must be a name or an address in ASCII, alone, or as "
		    "host:port or [IPv6]:port; or srv: and a domain");
		return false;
	}
	if (port.len > 0 && (!codec_number(port, 65535, &n) || n == 0)) {
		complain_of(r, p, KEY_HOST, "the port behind the host must be %s", keys[KEY_PORT].form);
		return false;
	}
	to->host = mem_dup(host);
	to->port = (unsigned)n;
	s->nservers++;
	return true;
}

static bool
settle_hosts(struct reading *r, struct part *p)
{
	struct str rest = str_of(account(p)->host), word;

	if (!is_set(p, KEY_HOST)) {
		complain_of(r, p, KEY_HOST, "no host in %s; name the server that takes your mail, such "
		    "as host = smtp.example.com", p->name != NULL ? "this section" : "[smarthost]");
		return false;
	}
	while (keys_next_word(&rest, &word))
		if (!add_server(r, p, word))
			return false;
	return true;
}

/* How many of the servers are found by name, and how many of these bring their port. */
static unsigned
count_named(const struct smarthost *s, unsigned *with_port)
{
	unsigned n = 0;

	*with_port = 0;
	for (unsigned i = 0; i < s->nservers; i++) {
		n += !s->servers[i].srv;
		*with_port += s->servers[i].port != 0;
	}
	return n;
}

/* A port behind the host's name counts as `port` of the same file does, so the user's
 * `port` lies over one behind the system's host. */
static void
settle_ports(struct reading *r, struct part *p)
{
	struct smarthost *s = account(p);
	struct place host = p->given[KEY_HOST], port = p->given[KEY_PORT];
	unsigned with_port, named = count_named(s, &with_port);
	bool same_file = port.line > 0 && port.label == host.label;
	bool over = port.line > 0 && !same_file && port.label == r->label;

	for (unsigned i = 0; i < s->nservers; i++) {
		struct server *v = &s->servers[i];

		if (over)
			v->port = 0;
		else if (same_file && with_port == named && v->port != 0 && v->port != s->port) {
			complain_of(r, p, KEY_PORT, "the port is given here and behind the host, and they "
			    "differ; keep one");
			return;
		}
	}
	/* All have one: then it is as good as set. */
	if (!over && named > 0 && with_port == named) {
		s->port = s->servers[0].port != 0 ? s->servers[0].port : s->port;
		p->given[KEY_PORT] = host;
	}
}

/* A record names port and TLS itself.  What the file below says of them was meant for
 * another host. */
static void
settle_srv(struct reading *r, struct part *p)
{
	static const enum key_id told[] = { KEY_PORT, KEY_TLS };

	for (size_t i = 0; i < COUNT(told); i++) {
		if (!is_set(p, told[i]))
			continue;
		if (p->given[told[i]].label == p->given[KEY_HOST].label)
			complain_of(r, p, told[i], "srv: finds out port and tls; take %s out, or name the "
			    "server itself", keys[told[i]].name);
		keys_reset(p->values, told[i]);
		p->given[told[i]] = (struct place){ 0 };
	}
}

/* RFC 8314 section 3.3: 465 is TLS from the first octet, 587 is STARTTLS. */
static void
settle_tls(struct reading *r, struct part *p)
{
	struct smarthost *s = account(p);
	unsigned implicit = 0, others = 0;

	if (is_set(p, KEY_TLS) && s->tls == TLS_IMPLICIT && !is_set(p, KEY_PORT))
		s->port = 465;
	for (unsigned i = 0; i < s->nservers; i++) {
		struct server *v = &s->servers[i];

		if (v->srv)
			continue;
		if (v->port == 0)
			v->port = s->port;
		implicit += v->port == 465;
		others += v->port != 465;
	}
	if (is_set(p, KEY_TLS))
		return;
	s->tls = implicit > 0 ? TLS_IMPLICIT : TLS_STARTTLS;
	if (implicit > 0 && others > 0)
		complain_of(r, p, KEY_HOST, "the servers are of different kinds, port 465 is for TLS from "
		    "the first octet; set tls, or give them one port");
}

static void
settle_servers(struct reading *r, struct part *p)
{
	struct smarthost *s = account(p);
	unsigned with_port;

	if (!settle_hosts(r, p) || s->nservers == 0)
		return;
	settle_ports(r, p);
	if (count_named(s, &with_port) == 0)
		settle_srv(r, p);
	settle_tls(r, p);
	keys_put_text(&s->host, str_of(s->servers[0].host));
	s->port = s->servers[0].srv ? s->port : s->servers[0].port;
}

/* ---- TLS and login ------------------------------------------------------------------- */

/* In the clear it is where nobody can listen, or where nothing is told. */
static void
check_clear(struct reading *r, struct part *p)
{
	const struct smarthost *s = account(p);

	for (unsigned i = 0; s->tls == TLS_NONE && i < s->nservers; i++) {
		if (s->servers[i].srv) {
			complain_of(r, p, KEY_TLS, "srv: and tls = none do not go together; name the server "
			    "itself");
			return;
		}
		if (strcmp(s->auth, "none") != 0 && !host_is_loopback(s->servers[i].host)) {
			complain_of(r, p, KEY_TLS, "tls = none would send the password in the clear; "
			    "use starttls or implicit, or set auth = none");
			return;
		}
	}
}

static void
check_certificate(struct reading *r, struct part *p)
{
	bool cert = is_set(p, KEY_TLS_CERT_FILE), key = is_set(p, KEY_TLS_KEY_FILE);

	if (account(p)->tls == TLS_NONE && (cert || is_set(p, KEY_TLS_PIN)))
		complain_of(r, p, KEY_TLS, "with tls = none no certificate is seen or shown; take tls-pin "
		    "and tls-cert-file out, or use starttls or implicit");
	if (cert != key)
		complain_of(r, p, cert ? KEY_TLS_CERT_FILE : KEY_TLS_KEY_FILE, "tls-cert-file and "
		    "tls-key-file belong together; set both");
	if (!cert && !key && strcmp(account(p)->auth, "external") == 0)
		complain_of(r, p, KEY_AUTH, "auth = external logs in by a client certificate; set "
		    "tls-cert-file and tls-key-file");
}

/* From an address of one kind nothing of the other can be reached. */
static void
check_source(struct reading *r, struct part *p)
{
	const struct smarthost *s = account(p);
	bool six = str_has(str_of(s->source), ':');

	if (s->source[0] != '\0' && s->family != FAMILY_ANY && six != (s->family == FAMILY_IPV6))
		complain_of(r, p, KEY_SOURCE, "source is no address of the family that is set; take one of "
		    "the two out");
}

static bool
is_for_tokens(const char *auth)
{
	return strcmp(auth, "oauthbearer") == 0 || strcmp(auth, "xoauth2") == 0;
}

static void
check_sources(struct reading *r, struct part *p, int sources)
{
	const char *auth = account(p)->auth;
	bool token = is_set(p, KEY_TOKEN_COMMAND);

	if (sources > 1)
		complain_of(r, p, KEY_USER, "several of password, password-file, password-command and "
		    "token-command; keep one");
	else if (is_for_tokens(auth) && !token)
		complain_of(r, p, KEY_AUTH, "this auth logs in by a token; set token-command, or another "
		    "auth for a password");
	else if (token && strcmp(auth, "auto") != 0 && !is_for_tokens(auth))
		complain_of(r, p, KEY_AUTH, "this auth logs in without a token; set auth = oauthbearer or "
		    "xoauth2, or a password-command in place of token-command");
}

static void
check_login(struct reading *r, struct part *p)
{
	const struct smarthost *s = account(p);
	bool external = strcmp(s->auth, "external") == 0;
	int sources = 0;

	if (strcmp(s->auth, "none") == 0)
		return;
	for (enum key_id id = KEY_PASSWORD; id <= KEY_TOKEN_COMMAND; id++)
		sources += is_set(p, id);
	/* A certificate names its owner, and is a login where there is nothing else. */
	if (sources == 0 && (external || (strcmp(s->auth, "auto") == 0 && is_set(p, KEY_TLS_CERT_FILE))))
		return;
	if (external)
		complain_of(r, p, KEY_AUTH, "auth = external shows a certificate and nothing else; take the "
		    "password or token out, or set auth = auto");
	else if (!is_set(p, KEY_USER) && sources == 0)
		complain_of(r, p, KEY_AUTH, "no login; set user and password-command or "
		    "password-file, or auth = none");
	else if (!is_set(p, KEY_USER))
		complain_of(r, p, KEY_USER, "a password and no user; set user, or auth = none");
	else if (sources == 0)
		complain_of(r, p, KEY_USER, "a user and no password; set password-command or "
		    "password-file, or auth = none");
	else
		check_sources(r, p, sources);
}

/* ---- who stands in ------------------------------------------------------------------- */

static struct part *
part_of(struct reading *r, const char *name)
{
	if (strcmp(name, "default") == 0)
		return &r->all;
	for (unsigned i = 0; i < r->naccounts; i++)
		if (strcmp(name, r->accounts[i].name) == 0)
			return &r->accounts[i];
	return NULL;
}

/* A message goes on from one to the next, and shall come to an end. */
static void
check_fallback(struct reading *r, struct part *p)
{
	const struct part *next = p;

	for (unsigned i = 0; i <= r->naccounts && account(next)->fallback[0] != '\0'; i++) {
		next = part_of(r, account(next)->fallback);
		if (next == p) {
			complain_of(r, p, KEY_FALLBACK, "fallback leads back to the account itself; let "
			    "one of them have none");
			return;
		}
		if (next == NULL) {
			if (i == 0)
				complain_of(r, p, KEY_FALLBACK, "fallback names no account; write it as its "
				    "section does, [smarthost NAME]");
			return;
		}
	}
}

static bool
is_named(const struct reading *r, const char *name)
{
	bool named = strcmp(account(&r->all)->fallback, name) == 0;

	for (unsigned i = 0; i < r->naccounts; i++)
		named = named || strcmp(account(&r->accounts[i])->fallback, name) == 0;
	for (unsigned i = 0; i < r->nusers; i++)
		named = named || (is_set(&r->users[i], KEY_USER_ACCOUNT) &&
		    strcmp(account(&r->users[i])->name, name) == 0);
	return named;
}

/* ---- all of them ---------------------------------------------------------------------- */

static void
settle_one(struct reading *r, struct part *p)
{
	settle_servers(r, p);
	check_clear(r, p);
	check_certificate(r, p);
	check_source(r, p);
	check_login(r, p);
	check_fallback(r, p);
}

void
accounts_settle(struct reading *r)
{
	struct config *c = r->c;

	settle_one(r, &r->all);
	c->more = mem_grow(c->more, r->naccounts > 0 ? r->naccounts : 1, sizeof *c->more);
	for (unsigned i = 0; i < r->naccounts; i++) {
		struct part *p = &r->accounts[i];
		struct smarthost *s = account(p);

		settle_one(r, p);
		if (s->senders[0] == '\0' && s->recipients[0] == '\0' && !is_named(r, p->name))
			warn_of(r, p, "no mail goes by this account; give it senders or recipients, or name "
			    "it in a fallback");
	}
	for (unsigned i = 0; i < r->naccounts; i++) {
		c->more[c->nmore++] = *account(&r->accounts[i]);
		*account(&r->accounts[i]) = (struct smarthost){ 0 };
	}
}

void
accounts_leave_system(struct reading *r)
{
	unsigned left = 0;

	for (unsigned i = 0; i < r->naccounts; i++) {
		if (r->accounts[i].label == r->label)
			r->accounts[left++] = r->accounts[i];
		else
			inifile_forget_part(&r->accounts[i]);
	}
	r->naccounts = left;
}

void
accounts_put_servers(const struct smarthost *s, struct buf *out)
{
	bool srv = s->nservers > 0 && s->servers[0].srv;

	buf_addf(out, srv ? "srv:%s" : "%s port %u", s->host, s->port);
	if (s->nservers > 1)
		buf_addf(out, ", and %u other%s", s->nservers - 1, s->nservers > 2 ? "s" : "");
}

void
accounts_free(struct smarthost *s)
{
	char *texts[] = {
		s->name, s->host, s->source, s->tls_name, s->tls_ca_file, s->tls_pin, s->tls_cert_file,
		s->tls_key_file, s->auth, s->user, s->from, s->senders, s->recipients, s->fallback,
		s->token_command, s->password_file, s->password_command,
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		free(texts[i]);
	for (unsigned i = 0; i < s->nservers; i++)
		free(s->servers[i].host);
	buf_wipe(&s->password);
	*s = (struct smarthost){ 0 };
}
