#include "login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "file.h"
#include "secret.h"

#define CERTIFICATE_MAX (1u << 20)      /* octets of our certificate's file */

/* Rounds of hashing in a fingerprint: whoever gets hold of a queue and tries passwords
 * against it is a thousand times slower, and a courier takes some tenths of a ms. */
#define PRINT_ROUNDS 1000

static bool
has_password(const struct smarthost *a)
{
	return a->has_password || a->password_file[0] != '\0' || a->password_command[0] != '\0';
}

/* What we have to show is what the configuration gives us, whatever a server offers. */
static void
settle_login(struct session *s)
{
	const struct smarthost *a = s->account;
	struct sasl_login *l = &s->auth.login;

	*l = (struct sasl_login){ .wanted = a->auth, .user = str_of(a->user),
		.last = s->order.mechanism, .avoid = s->order.avoid };
	if (a->token_command[0] != '\0')
		l->proof = SASL_TOKEN;
	else if (sasl_takes(a->auth) == SASL_CERTIFICATE ||
	    (!has_password(a) && a->tls_cert_file[0] != '\0'))
		l->proof = SASL_CERTIFICATE;
}

/* The fingerprint of a secret of this user's; "" where there is no key to make it with.
 * user and secret are told apart by the NUL that neither has. */
static void
take_print(const struct session *s, struct str secret, char print[ORDER_PRINT + 1])
{
	unsigned char digest[ORDER_PRINT / 2];
	struct buf salt = { 0 };

	print[0] = '\0';
	buf_addf(&salt, "%s%c%s", s->order.key, '\0', s->account->user);
	if (s->order.key[0] != '\0' &&
	    tls_stretch(secret, buf_str(&salt), PRINT_ROUNDS, digest, sizeof digest))
		for (size_t i = 0; i < sizeof digest; i++)
			snprintf(print + 2 * i, 3, "%02x", digest[i]);
	buf_free(&salt);
}

static enum outcome
take_prints(struct session *s, struct why *why)
{
	const char *path = s->account->tls_cert_file;
	struct buf certificate = { 0 };
	struct str shown = buf_str(&s->secret);

	if (s->auth.login.proof == SASL_CERTIFICATE) {
		if (file_load(AT_FDCWD, path, &certificate, CERTIFICATE_MAX) < 0)
			return later(why, SCOPE_ACCOUNT, "4.3.5", "tls-cert-file %s cannot be read: %s",
			    codec_show(str_of(path)).p, strerror(errno));
		shown = buf_str(&certificate);
	}
	take_print(s, shown, s->refusable);
	if (s->auth.login.proof == SASL_TOKEN)
		shown = STR("");
	take_print(s, shown, s->print);
	buf_free(&certificate);
	return DONE;
}

/* Where what was refused is to be mended. */
static void
name_place(const struct session *s, struct buf *out)
{
	const struct smarthost *a = s->account;

	if (s->auth.login.proof == SASL_TOKEN)
		buf_adds(out, "run token-command at the prompt");
	else if (s->auth.login.proof == SASL_CERTIFICATE)
		buf_addf(out, "renew tls-cert-file %s", codec_show(str_of(a->tls_cert_file)).p);
	else if (a->password_file[0] != '\0')
		buf_addf(out, "mend it in %s", codec_show(str_of(a->password_file)).p);
	else if (a->password_command[0] != '\0')
		buf_adds(out, "mend what password-command prints");
	else
		buf_addf(out, "mend it in %s", codec_show(str_of(s->config.path)).p);
}

static enum outcome
may_log_in(struct session *s, struct why *why)
{
	static const char *const proofs[] = {
		[SASL_PASSWORD] = "password", [SASL_TOKEN] = "token", [SASL_CERTIFICATE] = "certificate",
	};
	const struct order *order = &s->order;
	struct buf place = { 0 }, record = { 0 };
	enum outcome o;

	if ((o = take_prints(s, why)) != DONE || s->print[0] == '\0' || order->force)
		return o;
	for (unsigned i = 0; i < order->nrefused; i++) {
		if (strcmp(order->refused[i], s->refusable) != 0)
			continue;
		name_place(s, &place);
		later(why, SCOPE_ACCOUNT, "4.7.8", "the %s of %s was refused by %s and is still the "
		    "same, so it is not tried again; %s, then `subpost retry all` (`--force` tries "
		    "the same one)", proofs[s->auth.login.proof],
		    codec_show(str_of(s->account->user)).p, s->account->host, buf_c(&place));
		buf_free(&place);
		return LATER;
	}
	if (!order->alone && strcmp(order->good, s->print) != 0) {
		s->unproven = true;
		buf_adds(&record, "unproven");
		session_say(s, &record);
		return later(why, SCOPE_ACCOUNT, "4.7.8", "another courier tries this %s first",
		    proofs[s->auth.login.proof]);
	}
	return DONE;
}

enum outcome
login_collect(struct session *s, struct why *why)
{
	enum outcome o = DONE;

	settle_login(s);
	if (s->auth.login.proof != SASL_CERTIFICATE &&
	    (o = secret_get(s->account, s->order.fresh, &s->secret, why)) == DONE)
		session_step(s, s->auth.login.proof == SASL_TOKEN ? "the token is there" :
		    "the password is there");
	return o == DONE ? may_log_in(s, why) : o;
}

enum outcome
login_open(struct session *s, struct why *why)
{
	struct sasl_login *l = &s->auth.login;
	struct buf binding = { 0 }, record = { 0 };
	enum outcome o;

	if (s->tls != NULL)
		tls_binding(s->tls, &binding);
	l->secret = buf_str(&s->secret);
	l->binding = buf_str(&binding);
	l->host = s->conn.host;
	l->port = s->conn.port;
	o = smtp_auth(&s->smtp, &s->auth, why);
	l->secret = l->binding = (struct str){ 0 };
	session_forget(s);
	buf_free(&binding);
	if (s->auth.mechanism != NULL)
		snprintf(s->mechanism, sizeof s->mechanism, "%s", s->auth.mechanism);
	if (o == DONE) {
		session_step(s, "logged in as %s with %s", s->account->user[0] != '\0' ?
		    s->account->user : "the certificate's owner", s->mechanism);
	} else if (s->auth.refused && s->refusable[0] != '\0') {
		errand_put_login(&record, true, s->mechanism, s->refusable);
		session_say(s, &record);
	}
	return o;
}
