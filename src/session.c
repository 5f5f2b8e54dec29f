#include "session.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "host.h"
#include "login.h"
#include "slim.h"

#define RESOLVE_TIME 120        /* seconds a resolver and all addresses may take */
#define HANDSHAKE_TIME 60
#define DAY (24 * 60 * 60)
#define EXPIRY_NEAR (14 * DAY)  /* certificates of 90 days are renewed 30 before their end */

/* ---- telling ------------------------------------------------------------------------ */

void
session_say(struct session *s, struct buf *record)
{
	if (!errand_say(ERRAND_FD, buf_str(record)))
		s->deaf = true;
	buf_free(record);
}

void
session_step(struct session *s, const char *fmt, ...)
{
	struct buf record = { 0 };
	double now = clock_now();
	va_list ap;

	if (s->checking) {
		buf_addf(&record, "step %.0f ", (now - s->step_began) * 1000);
		va_start(ap, fmt);
		buf_addv(&record, fmt, ap);
		va_end(ap);
		session_say(s, &record);
	}
	s->step_began = now;
}

/* A line of the dialogue, for who looks on. */
static void
say_line(void *arg, struct str line)
{
	struct buf record = { 0 };

	buf_adds(&record, "line ");
	buf_addstr(&record, line);
	session_say(arg, &record);
}

/* ---- collecting --------------------------------------------------------------------- */

static enum outcome
hear_order(struct session *s, struct why *why)
{
	struct errand e = { 0 };
	enum outcome o = DONE;

	if (errand_read(ERRAND_FD, true, &e) == ERRAND_BEGIN)
		s->order = e.order;
	else
		o = later(why, SCOPE_SERVER, "", "the courier was told nothing of its work");
	errand_free(&e);
	return o;
}

static enum outcome
choose_account(struct session *s, struct why *why)
{
	const struct smarthost *a = &s->config.smarthost;

	if (s->order.account[0] != '\0')
		a = config_account_named(&s->config, str_of(s->order.account));
	if (a == NULL)
		return later(why, SCOPE_ACCOUNT, "", "the configuration has no account %s any more",
		    s->order.account);
	s->account = (struct smarthost *)(uintptr_t)a;
	s->server = &a->servers[s->order.server % a->nservers];
	return DONE;
}

/* A server that is found by DNS is never spoken to in the clear. */
static bool
is_encrypted(const struct session *s)
{
	return s->server->srv || s->account->tls != TLS_NONE;
}

static enum outcome
load_trust(struct session *s, struct why *why)
{
	const struct smarthost *a = s->account;
	enum outcome o;

	o = tls_prepare(&s->tls, &(struct tls_terms){ .ca_file = a->tls_ca_file, .pin = a->tls_pin,
	    .cert_file = a->tls_cert_file, .key_file = a->tls_key_file }, why);
	if (o == DONE && a->tls_pin[0] == '\0')
		session_step(s, "the trust store is loaded");
	return o;
}

/* Whose certificate is believed.  What DNS says of a domain is signed by nobody: it
 * may choose a server within the domain, and any other only if that has a certificate
 * for the domain itself (RFC 6186 section 6, RFC 9525 section 6.1). */
static enum outcome
expect(struct session *s, struct why *why)
{
	const char *host = s->server->host;

	if (s->account->tls_name[0] != '\0')
		return tls_expect(s->tls, s->account->tls_name, NULL, why);
	if (s->server->srv && host_is_inside(str_of(s->conn.host), str_of(host)))
		return tls_expect(s->tls, s->conn.host, host, why);
	return tls_expect(s->tls, host, NULL, why);
}

static enum outcome
connect_to(struct session *s, struct why *why)
{
	const struct smarthost *a = s->account;
	struct conn *c = &s->conn;
	enum outcome o;

	/* The C library's resolver knows no deadline; an alarm does, and the runner
	 * can tell that end from others. */
	alarm(RESOLVE_TIME);
	o = conn_open(c, &(struct conn_terms){ .host = s->server->host, .port = s->server->port,
	    .srv = s->server->srv, .family = a->family, .source = a->source }, why);
	alarm(0);
	if (o == DONE) {
		session_step(s, "connected to %s%s%s%s port %u", s->server->srv ? c->host : "",
		    s->server->srv ? " (" : "", c->peer, s->server->srv ? ")" : "", c->port);
		conn_note(c, "--- connected to %s (%s) port %u", c->host, c->peer, c->port);
	}
	return o;
}

enum outcome
session_collect(struct session *s, bool service, struct why *why)
{
	enum outcome o;

	s->step_began = clock_now();
	s->conn.trace = &s->trace;
	if ((o = hear_order(s, why)) != DONE)
		return o;
	if (s->order.aloud) {
		s->trace.tell = say_line;
		s->trace.arg = s;
	}
	o = service ? config_load_service_secret(&s->config, why) :
	    config_load(&s->config, true, why);
	if (o != DONE)
		why->scope = SCOPE_ACCOUNT;
	if (o != DONE || (o = choose_account(s, why)) != DONE)
		return o;
	if (strcmp(s->account->auth, "none") != 0 && (o = login_collect(s, why)) != DONE)
		return o;
	if (is_encrypted(s) && (o = load_trust(s, why)) != DONE)
		return o;
	tzset();
	if ((o = connect_to(s, why)) == DONE && is_encrypted(s))
		o = expect(s, why);
	return o;
}

/* ---- opening ------------------------------------------------------------------------ */

/* Our name for EHLO: a usable host name, else an address literal (RFC 5321
 * sections 4.1.1.1 and 4.1.3). */
static void
choose_helo(struct session *s)
{
	config_hostname(&s->config, &s->helo);
	if (s->helo.len == 0)
		buf_addf(&s->helo, "[%s%s]", s->conn.local_is_v6 ? "IPv6:" : "", s->conn.local);
}

void
session_forget(struct session *s)
{
	buf_wipe(&s->secret);
	for (unsigned i = 0; i < config_accounts(&s->config); i++)
		buf_wipe(&((struct smarthost *)(uintptr_t)config_account(&s->config, i))->password);
}

/* The certificate's end is known now: nobody should learn of it on that day. */
static void
tell_encrypted(struct session *s)
{
	struct buf channel = { 0 }, end = { 0 }, record = { 0 };
	const char *name = s->account->tls_name[0] != '\0' ? s->account->tls_name : s->server->host;
	time_t expires = tls_expires(s->tls), left = expires - time(NULL);

	tls_describe(s->tls, &channel);
	if (expires == 0) {
		session_step(s, "encrypted with %s, and the key is one of tls-pin", buf_c(&channel));
		goto out;
	}
	codec_stamp(&end, expires);
	session_step(s, "encrypted with %s, certificate good for %s until %s", buf_c(&channel), name,
	    buf_c(&end));
	if (left < EXPIRY_NEAR) {
		buf_addf(&record, "note the certificate of %s ends on %s, in %lld days; the provider should "
		    "renew it, and no mail goes there after that", name, buf_c(&end),
		    (long long)(left / DAY));
		session_say(s, &record);
	}
out:
	buf_free(&channel);
	buf_free(&end);
}

enum outcome
session_open(struct session *s, struct why *why)
{
	const struct smarthost *a = s->account;
	bool implicit = s->server->srv ? s->conn.implicit : a->tls == TLS_IMPLICIT;
	enum outcome o = DONE;

	/* Twice: what the handshake adds would come on top of what led here. */
	slim_down();
	choose_helo(s);
	s->smtp = (struct smtp){ .conn = &s->conn, .helo = buf_c(&s->helo),
		.may_helo = !is_encrypted(s) && strcmp(a->auth, "none") == 0 };
	if (is_encrypted(s) && implicit &&
	    (o = conn_start_tls(&s->conn, s->tls, HANDSHAKE_TIME, why)) != DONE)
		/* Not even a QUIT is said in the clear. */
		s->smtp.lost = true;
	if (o == DONE)
		o = smtp_greet(&s->smtp, why);
	if (o == DONE && is_encrypted(s) && !implicit)
		o = smtp_starttls(&s->smtp, s->tls, why);
	if (o != DONE)
		return o;
	if (is_encrypted(s))
		tell_encrypted(s);
	if (strcmp(a->auth, "none") != 0)
		o = login_open(s, why);
	slim_down();
	return o;
}

void
session_free(struct session *s)
{
	session_forget(s);
	conn_close(&s->conn);
	smtp_free(&s->smtp);
	trace_free(&s->trace);
	tls_free(&s->tls);
	buf_free(&s->helo);
	config_free(&s->config);
}
