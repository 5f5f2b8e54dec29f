/* intake: text as callers write it, made canonical while it streams.
 *
 * Lines end in LF alone afterwards: CRLF, and any run of CR before an LF,
 * becomes LF, so that CRLF and LF input give the same message.  A CR elsewhere
 * is kept (the door makes it harmless).  NUL is refused: no mail may hold it.
 * The same octets give the same text however they were cut. */
#ifndef INTAKE_H
#define INTAKE_H

#include "buf.h"

#define INTAKE_CR_MAX 65536     /* a longer run of CR is kept: it has to be held back,
                                 * and no line ends that way */

struct intake {
	bool dots;              /* set by the owner: a lone dot ends the text, and a leading
	                         * ".." stands for "." (sendmail without -i) */
	bool ended;             /* the lone dot was read; what follows is not ours */
	bool saw_nul;           /* the text is to be refused */
	/* private */
	size_t crs;             /* CRs held back */
	bool dot;               /* a leading dot is held back */
	bool mid_line;
};

/* Appends the canonical form of in to *out; holds back at most what a line end
 * or a leading dot may still turn into. */
void intake_feed(struct intake *in, struct str text, struct buf *out);
/* At the end of input: appends what was held back. */
void intake_end(struct intake *in, struct buf *out);

#endif
