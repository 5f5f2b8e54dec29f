/* answers: the usual ones, where the script says nothing else. */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "smarthost.h"

void forget_mail(struct conn *c);
void answer_as_usual(struct conn *c);

#endif
