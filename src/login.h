/* login: whether a courier logs in at all, with what, and what the runner must know of it.
 *
 * A provider locks an account after so many wrong passwords, and mail goes by many
 * couriers.  So a secret that is known to be refused is not tried again, and one that
 * was never accepted is tried by one courier alone.  What is known are fingerprints, made
 * with a key of the queue: nobody but us ever holds the secret (errand.h, session.h). */
#ifndef LOGIN_H
#define LOGIN_H

#include "session.h"

/* The secret, and whether it may be tried; where not, LATER, scope ACCOUNT.  s->unproven:
 * because it is somebody else's turn, which the runner has been told. */
enum outcome login_collect(struct session *s, struct why *why);
/* AUTH.  The secret is wiped, and a login that is refused told to the runner. */
enum outcome login_open(struct session *s, struct why *why);

#endif
