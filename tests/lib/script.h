/* script: its rules, and what they make happen (the language stands in smarthost.c). */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "smarthost.h"

/* Counts the event and finds the rule for it, NULL if there is none. */
const struct rule *find_rule(struct conn *c, enum event e, struct str line);
void follow_rule(struct conn *c, const struct rule *r);
void read_script(const char *path);

#endif
