/* greeting: who calls, and what is said to him: the hello of the counter, made once a
 * configuration for everybody and for each [user NAME], and what the kernel's words about
 * a caller mean.
 *
 * A uid that has none on this machine (from another user namespace) is told to us as one
 * number for all of them.  Whoever has it is nobody we know, also where the password file
 * has an account of that number. */
#ifndef GREETING_H
#define GREETING_H

#include <sys/socket.h>
#include <sys/types.h>

#include "buf.h"
#include "config.h"

struct greetings {
	/* private: */
	struct greeting {
		uid_t uid;
		struct buf text;
	} *list;                        /* the first is for all who have none of their own */
	size_t n;
	gid_t operators;
	bool has_operators;
	uid_t unknown_uid;              /* the kernel's for who has none here, */
	gid_t unknown_gid;              /* and its gid */
};

/* Zero g is filled, and a filled one renewed. */
void greetings_make(struct greetings *g, const struct config *c);
void greetings_free(struct greetings *g);
/* The text of the hello for that uid. */
struct str greetings_for(const struct greetings *g, uid_t uid);
bool greetings_is_unknown(const struct greetings *g, uid_t uid);
/* Root, our own account, or of the group `operators`; fd: the caller's connection. */
bool greetings_is_operator(const struct greetings *g, int fd, const struct ucred *who);
/* The configuration as it holds for that uid, borrowed from c. */
void greetings_view(const struct greetings *g, const struct config *c, uid_t uid,
    struct config *view);

#endif
