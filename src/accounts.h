/* accounts: what the ini files say of each account, when all of them are read: its
 * servers with their ports, which TLS, whether the login is whole, who stands in for
 * it.  The accounts leave the reading for struct config here. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "config.h"
#include "inifile.h"

/* Fills c->smarthost and c->more in; what is wrong becomes a problem, told of the
 * account's own lines. */
void accounts_settle(struct reading *r);
/* Takes what only the system's file has of named accounts out, for whoever has a file
 * of their own: their secrets are not theirs. */
void accounts_leave_system(struct reading *r);
/* Its servers, for people: "smtp.example.com port 587, and 2 others"; appended. */
void accounts_put_servers(const struct smarthost *s, struct buf *out);
/* Frees what an account has. */
void accounts_free(struct smarthost *s);

#endif
