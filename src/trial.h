/* trial: does a server keep its answers in step when many messages are on the way before
 * the first is answered (pipeline-depth)?  Found out without sending anything. */
#ifndef TRIAL_H
#define TRIAL_H

#include "outcome.h"
#include "smtp.h"

/* So many times MAIL, an empty text by BDAT that is for nobody, which no server may take
 * (RFC 3030), and RSET, in one write.  DONE: each had its own answer, in order.  LATER
 * with the reason, scope SERVER: the server does not cope, or does not offer what it
 * takes; nothing more is to be said on this connection then, unless it only offers too
 * little. */
enum outcome trial_window(struct smtp *s, const char *from, unsigned depth, struct why *why);

#endif
