/* session: a courier's way from its order to a login that stands.
 *
 * First it collects what lies about in the world: configuration, secret, trust store,
 * time zone, addresses, the connection.  Then the sandbox is shut, and only after that
 * is the smarthost's first octet read: greeting, EHLO, TLS, AUTH.  Each step is told
 * where somebody looks on (subpost check). */
#ifndef SESSION_H
#define SESSION_H

#include "auth.h"
#include "config.h"
#include "conn.h"
#include "errand.h"
#include "smtp.h"
#include "tls.h"
#include "trace.h"

struct session {
	struct config config;
	struct smarthost *account;      /* in config: the one that the order names, */
	const struct server *server;    /* and of its servers */
	struct order order;
	struct buf secret;              /* wiped when it has been shown, or cannot be */
	struct buf helo;                /* our name in EHLO */
	struct conn conn;
	struct tls *tls;
	struct smtp smtp;
	struct trace trace;             /* of this connection, for those who look on */
	struct auth auth;               /* how we log in */
	char mechanism[ORDER_NAME_MAX + 1];     /* what the login was tried with */
	/* Fingerprints, by the order's key: the one that is remembered when the login is good,
	 * and the one when it is refused.  Tokens change all the time, so that for them the
	 * first is of the user alone. */
	char print[ORDER_PRINT + 1];
	char refusable[ORDER_PRINT + 1];
	bool unproven;                  /* "unproven" was said, and nothing was tried */
	bool checking;                  /* for `subpost check`: tell each step */
	bool deaf;                      /* the runner is gone */
	double step_began;
};
#define SESSION_INIT { .conn = CONN_INIT, .trace = { .on = true } }

/* One record to the runner, which is freed. */
void session_say(struct session *s, struct buf *record);
/* For `subpost check`: what worked just now. */
void session_step(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All that needs files, names or a new connection.  service: by the service's
 * configuration.  The order is the first record on ERRAND_FD. */
enum outcome session_collect(struct session *s, bool service, struct why *why);
/* From the first octet to the login.  The sandbox is shut by now. */
enum outcome session_open(struct session *s, struct why *why);
/* Wipes what could still be said of the secret. */
void session_forget(struct session *s);
void session_free(struct session *s);

#endif
