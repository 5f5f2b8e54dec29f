/* partner: a scripted server as the partner of a dialogue that is had in the test's own
 * process, unconfined, so that a leak is seen. */
#ifndef PARTNER_H
#define PARTNER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/types.h>

#include "../../src/dialogue.h"
#include "../../src/smtp.h"
#include "../../src/tls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define USER "user@example.net"
#define PASSWORD "correct horse"
#define PENDING_MAX 64
#define TEXT "Subject: hi\n\nbody\n"

enum kind { PLAIN, STARTTLS, IMPLICIT };

/* One server, one conversation. */
struct talk {
	char dir[64];
	pid_t server;
	unsigned port;
	struct conn conn;
	struct tls *tls;
	struct smtp smtp;
	struct dialogue dialogue;
	struct mail *pending[PENDING_MAX];      /* to be sent, in order */
	size_t npending;
	/* What is said of whether another one is at hand: the truth; no, since it comes a moment
	 * later; or yes, though it is not to be sent after all. */
	enum hint { TRUTH, NO_MORE, ALWAYS_MORE } hint;
	struct why why;
};

/* A message for three, and what became of it. */
struct mail {
	struct transaction m;   /* first, so that one can be had from the other */
	struct answer a[3];
	unsigned asked;         /* how often may_end was, */
	unsigned others;        /* with how many others on the way */
	bool forbidden;         /* and what it answers */
};

/* Starts a server with that script, and leaves it again. */
void start_server(struct talk *t, enum kind kind, const char *script);
void leave(struct talk *t);
/* As far as the session of that kind goes without a login. */
enum outcome open_session(struct talk *t, enum kind kind);
/* Both, without TLS and login. */
void begin(struct talk *t, const char *script);
/* A file of the server's, written, and read: empty where there is none. */
void spew(const struct talk *t, const char *name, const char *text);
void slurp(const struct talk *t, const char *name, struct buf *out);

/* A message with that text, for three. */
void write_mail(struct mail *mail, const char *text);
/* Ready to be sent with the next. */
void post(struct talk *t, struct mail *mail);
/* Sends it, and all that were posted before; who is to be asked for once more, is. */
void send_mail(struct talk *t, struct mail *mail);
void drop_mail(struct mail *mail);
/* Sends one message to three on a fresh connection to a server with this script. */
void try_script(struct talk *t, const char *script, struct mail *mail);
/* Another message on that connection: everybody gets it. */
void assert_next_goes_through(struct talk *t);

/* What the server saw. */
bool holds(const struct talk *t, const char *name, struct str what);
size_t count_said(const struct talk *t, const char *what);
bool has_message(const struct talk *t, unsigned n);
void assert_no_violation(const struct talk *t);
/* What became of all recipients. */
void assert_all(const struct mail *mail, enum outcome o, enum scope scope);

#endif
