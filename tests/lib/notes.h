/* notes: what the smarthost writes down of what it saw: dialogue, violations, messages. */
#ifndef NOTES_H
#define NOTES_H

#include "smarthost.h"

void note(struct conn *c, const char *prefix, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void accuse(struct conn *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void accuse_once(struct conn *c, enum flaw flaw, const char *what);
/* Our words, a line each; floods are only measured. */
void note_said(struct conn *c, struct str bytes);
/* The client's words, secrets hidden: whatever stands behind AUTH and its
 * mechanism, and every line of the exchange but the word that ends it. */
void note_heard(struct conn *c, struct str line);
/* What an independent reader is to judge: the order here is the order on the wire,
 * as far as this side can tell. */
void record(struct conn *c, const char *what, struct str octets);
/* The message is whole in its files before the client hears that it is ours. */
void keep_message(struct conn *c);
/* With --discard, what there is to know of it all. */
void open_meter(void);
void note_mail(void);
int open_log(const char *fmt, unsigned n);

#endif
