/* recipients: who gets it.  What the command line, the header or RCPT named goes
 * through the aliases, `root` and the domain of bare names; everybody once.
 *
 * Aliases are for bare names, and for names at localhost, which is nowhere else.
 * The file is read when the first such name comes, and not before. */
#ifndef RECIPIENTS_H
#define RECIPIENTS_H

#include <stdio.h>

#include "aliases.h"
#include "config.h"
#include "envelope.h"
#include "outcome.h"

/* Zero is an empty list. */
struct recipients {
	struct recipient *v;
	size_t n;
	size_t room;            /* private */
};
void recipients_free(struct recipients *r);
void recipients_clear(struct recipients *r);

/* spec as address_parse gives it; orcpt: "" for none. */
void recipients_add(struct recipients *r, struct str spec, unsigned notify, struct str orcpt);

/* Where names go: the aliases file of a configuration, read once. */
struct directory {
	const struct config *config;    /* borrowed; set by the owner */
	bool elsewhere;                 /* it was written where the file may be, which need not
	                                 * be here: not there is then as if none was named */
	struct aliases aliases;
	bool loaded;
	bool absent;                    /* and it was not there */
};
void directory_free(struct directory *d);

/* What one address stands for, added to *to, with the wishes of `from`; bare
 * names qualified.  NEVER, 65, with the address in the reason for what SMTP
 * cannot carry; else as targets_find. */
enum outcome directory_resolve(struct directory *d, const struct recipient *from,
    struct recipients *to, struct why *why);

/* All of *r in place: resolved, duplicates dropped (the first one's wishes
 * stay), at most config->max_recipients of them (65). */
enum outcome recipients_settle(struct recipients *r, struct directory *d, struct why *why);
/* Takes off *r whoever is in *off (`arguments = subtract`). */
void recipients_subtract(struct recipients *r, const struct recipients *off);

/* For complete_header: what aliases made of a bare name, as an address list for
 * a header field, appended to *out; false where they made nothing else of it, or
 * more addresses than anybody wants to read.  arg is a struct directory. */
bool directory_rewrite(void *arg, struct str name, struct buf *out);

/* sendmail -bv: where an address goes, said on out.  DONE if mail for it would
 * be taken; else the status and the reason that such mail would get. */
enum outcome recipients_explain(struct directory *d, struct str text, FILE *out, struct why *why);

#endif
