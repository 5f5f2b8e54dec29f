/* auth: AUTH, the part of the dialogue that proves who we are (RFC 4954). */
#ifndef AUTH_H
#define AUTH_H

#include "sasl.h"
#include "smtp.h"

struct auth {
	struct sasl_login login;
	/* What became of it. */
	const char *mechanism;  /* the last that was tried; "" or NULL: none */
	bool refused;           /* it is this login that the server does not take, and not
	                         * trouble of another kind: not to be tried again as it is */
};

/* AUTH with the mechanism asked for ("auto": the best of those offered), and once more
 * with another one where the server has no use for the first.  Every refusal is LATER,
 * scope ACCOUNT; a server that cannot be trusted is LATER, scope SERVER.  Never more
 * than one AUTH with a password that was refused. */
enum outcome smtp_auth(struct smtp *s, struct auth *a, struct why *why);

#endif
