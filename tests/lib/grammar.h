/* grammar: the rules that a command must keep, alone and where it stands. */
#ifndef GRAMMAR_H
#define GRAMMAR_H

#include "smarthost.h"

void check_length(struct conn *c, enum event e, size_t len);
void check_command(struct conn *c, enum event e, struct str line);

#endif
