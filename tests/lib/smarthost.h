/* smarthost.h: what the smarthost's files share: the server, and one connection. */
#ifndef SMARTHOST_H
#define SMARTHOST_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include <gnutls/gnutls.h>

#include "buf.h"

#define COMMAND_MAX 512                 /* RFC 5321 4.5.3.1.4, CRLF included */
#define AUTH_MAX 12288                  /* RFC 4954 section 4 */
#define TEXT_LINE_MAX 998               /* RFC 5321 4.5.3.1.6, without CRLF */
#define PATIENCE (64 * 1024)            /* octets without a line end before we give up */
#define TEXT_MAX 104857600              /* what we offer as SIZE */

enum event {
	CONNECT, GREETING, EHLO, STARTTLS, HANDSHAKE, AUTH, AUTH_RESPONSE, MAIL, RCPT,
	DATA, TEXT, DOT, BDAT, RSET, NOOP, QUIT, UNKNOWN, EVENTS
};

enum tls_when { AFTER_STARTTLS, AT_ONCE, NEVER_TLS };
enum goodbye { POLITE, ABRUPT, RESET };

/* Things that may go wrong in every line of a text and are told once. */
enum flaw {
	BARE_CR = 1, BARE_LF = 2, NUL = 4, LONG_LINE = 8, EIGHT_BIT = 16, UNSTUFFED = 32,
	NO_LINE_END = 64, UNDECLARED = 128
};

/* What an occurrence is counted in. */
enum span { IN_LIFE, IN_CONNECTION, IN_TRANSACTION, OF_RULE, SPANS };

struct deed_kind;

struct deed {
	const struct deed_kind *kind;
	uint64_t n;
	struct buf word;
};

struct rule {
	enum event event;
	uint64_t first[SPANS], last[SPANS];     /* occurrences that it is for */
	uint64_t conn;                  /* connection; 0 is any */
	struct buf holds;               /* what the line must hold */
	uint64_t threshold;             /* text: octets */
	struct deed *deeds;
	size_t ndeeds;
	uint64_t met;                   /* how often all but OF_RULE has fitted */
};

/* Where an AUTH exchange is; the messages are SCRAM's. */
struct proof_state {
	const struct mechanism *mechanism;      /* NULL: one that we have not */
	unsigned step;                  /* how much of it was heard */
	size_t digest;                  /* octets */
	bool plus, proved;
	struct buf header, first, second, nonce;
};

struct conn {
	unsigned number;
	int fd;                         /* -1: closed */
	int raw_fd, dialogue_fd, wire_fd;
	gnutls_session_t tls;
	bool secure;                    /* the handshake is done */
	bool heard_all;                 /* the client has closed its side */
	bool gone;                      /* it cannot be reached any more */
	bool over;                      /* nothing more is to be heard or said */
	struct buf in;                  /* octets heard and not yet taken */
	size_t scanned;                 /* of them, without a line end */

	bool greeted, refused, authenticated, quit;
	struct buf offers;              /* keyword lines of the EHLO answer really given */
	bool extended;                  /* EHLO was said, not HELO */
	struct buf user, password;
	bool exchanging;                /* AUTH was said, and the last answer to it was not */
	struct proof_state proof;

	bool in_mail;                   /* MAIL was accepted */
	unsigned recipients;
	unsigned mails, rcpts;          /* MAILs since EHLO and RCPTs since MAIL, whatever came of them */
	struct buf domains;             /* of these RCPTs, one a line */
	bool eight_bit_declared;
	uint64_t size_declared;         /* 0: it was not */
	bool in_chunks;                 /* BDAT has begun, its LAST has not come */
	bool chunk_refused;
	struct buf envelope, text;
	const struct rule *text_rule;   /* what is to happen in the midst of it; NULL: nothing more */
	uint64_t text_seen;             /* octets, those over TEXT_MAX included */
	unsigned flaws;
	bool kept;                      /* this text is in its file */

	enum event event;               /* what is being answered */
	struct str args;                /* the line behind the verb */
	struct buf said;                /* the answer so far */

	uint64_t counts[SPANS][EVENTS]; /* on this connection; in this transaction */

	bool spoke;                     /* we have, since the client last did */
	unsigned turns, messages;
};

extern struct server {
	const char *dir;
	int dirfd, messages_fd, dialogue_fd, violations_fd, turns_fd;
	int stop_fd, left_fd;           /* eventfds: end, all of you; connections that have ended */
	enum tls_when tls;
	struct buf names;               /* one a line */
	const char *cert, *priority, *user, *password;
	unsigned port;
	int buffers;                    /* 0: the system's */
	bool ipv6, one, no_auth, chunking, discard;
	struct buf offer, offer_clear;  /* one keyword a line */
	bool has_offer, has_offer_clear;
	struct buf scram;               /* what of SCRAM is broken, one a line */
	uint64_t delay_all;
	struct rule *rules;
	size_t nrules;
	bool client_cert;               /* it must show one */
	gnutls_certificate_credentials_t credentials;

	pthread_mutex_t lock;           /* for all below, and for the shared files */
	uint64_t counts[EVENTS];
	unsigned messages;
} server;

extern const struct event_kind {
	const char *name;
	bool is_command;
	bool ends_group;        /* RFC 2920 3.1, RFC 3207 4, RFC 4954 4: last in its group */
} events[EVENTS];

void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
