/* scram: what a server says in SCRAM (RFC 5802 sections 5 and 7, RFC 7677), read
 * before the library reads it: the library calls every error the same and is content
 * with one round of hashing.
 *
 * Pure: octets in, values out. */
#ifndef SCRAM_H
#define SCRAM_H

#include "buf.h"

/* Rounds that the password is hashed.  RFC 7677 section 4 asks for 4096 at least: with
 * fewer, whoever listens as the server learns the password by trying.  The upper bound
 * is a second of a slow machine's time. */
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 1000000

/* The nonce in the client's first message; a view of it, empty where there is none. */
struct str scram_nonce(struct str client_first);

/* The server's first message: its nonce must begin with ours and go on.  NULL: good, with
 * *salt (appended) and *iterations; else what is wrong with it, in our words. */
const char *scram_read_first(struct str message, struct str ours, struct buf *salt,
    unsigned *iterations);

/* Whom an error of the server's blames. */
enum scram_blame {
	SCRAM_BLAMES_NOBODY,    /* the server has trouble of its own */
	SCRAM_BLAMES_LOGIN,     /* user or password are wrong, or it will not say what is */
	SCRAM_BLAMES_BINDING,   /* it cannot bind as we do: the password was not looked at */
	SCRAM_BLAMES_CHANNEL,   /* what it sees is another channel than what we see */
};

/* "e=..." in place of a message: true, with the word (a view) and who is blamed. */
bool scram_read_error(struct str message, struct str *word, enum scram_blame *blame);

#endif
