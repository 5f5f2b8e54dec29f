/* verdict: a negative reply and the phase it answers, turned into outcome and
 * scope.  One table.
 *
 * The caller of sendmail must not be able to steer it: servers echo addresses,
 * so words are looked for only after everything in <...> and every address
 * that we sent has been cut out of the text, a word that stands in one of these
 * is not looked for at all, and a row names phase and code besides its words. */
#ifndef VERDICT_H
#define VERDICT_H

#include "outcome.h"
#include "reply.h"

/* The command whose answer it is. */
enum phase {
	PHASE_GREETING,
	PHASE_EHLO,
	PHASE_STARTTLS,
	PHASE_AUTH,
	PHASE_TOKEN,            /* AUTH with an OAuth token */
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_TEXT,             /* the final dot */
};

/* LATER or NEVER, with scope, code, status and the server's words (masked) in
 * *why; where the table knows one, a hint that says what to do comes behind
 * them.  said: what we sent in this phase (addresses), to be cut out. */
enum outcome verdict_of(enum phase phase, const struct reply *r,
    const struct str *said, size_t nsaid, struct why *why);

/* "MAIL", "the final dot": for people. */
const char *phase_name(enum phase phase);

#endif
