/* dialogue: one connection, from its first octet to its last. */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include "smarthost.h"

/* Goes on from the answer that was really given. */
void follow_answer(struct conn *c, enum event e);
void begin_event(struct conn *c, enum event e, struct str args);
void converse(struct conn *c);

#endif
