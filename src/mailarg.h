/* mailarg: what stands behind MAIL and RCPT: a path, and the parameters of
 * extensions (RFC 5321 sections 3.3 and 4.1.2, as a server reads them). */
#ifndef MAILARG_H
#define MAILARG_H

#include <stdint.h>

#include "buf.h"
#include "dsn.h"
#include "outcome.h"

enum mailarg_of {
	MAILARG_MAIL,   /* FROM: SIZE BODY SMTPUTF8 RET ENVID AUTH BY HOLDFOR HOLDUNTIL
	                 * MT-PRIORITY */
	MAILARG_RCPT,   /* TO: NOTIFY ORCPT */
};

struct mailarg {
	struct str path;        /* with its brackets, as it was written; not yet an address */
	struct wishes wishes;
	uint64_t size;          /* 0: not said */
	unsigned notify;
	struct str orcpt;       /* in its wire form */
};
void mailarg_free(struct mailarg *a);

/* Blanks around the colon, and a path without brackets, are no good form, and
 * pass.  NEVER: the code, 501 or 555, and the status to refuse with are in *why.
 * The views are of text; *a is freed in every case. */
enum outcome mailarg_read(enum mailarg_of of, struct str text, struct mailarg *a, struct why *why);

#endif
