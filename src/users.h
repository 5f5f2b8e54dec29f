/* users: what a section [user NAME] of the service's file says, by the uid of whom it is
 * about.  The service alone knows them: it looks their logins up. */
#ifndef USERS_H
#define USERS_H

#include "config.h"
#include "inifile.h"

/* Fills c->users; the accounts have been settled.  Who is not here is warned of. */
void users_settle(struct reading *r);
/* What was said of that uid; NULL: nothing. */
const struct user_keys *users_find(const struct config *c, uid_t uid);
/* Frees what c has of them. */
void users_free(struct config *c);

#endif
