/* mailq: a queue as a table for people, or as JSON for programs. */
#ifndef MAILQ_H
#define MAILQ_H

#include <stdio.h>

#include "config.h"
#include "outcome.h"
#include "spool.h"

/* Prints what waits and what was given up, oldest first, each message as it is
 * read, so that a long queue needs no memory. */
enum outcome mailq_print(const struct spool *s, const struct config *c, bool json, FILE *out,
    struct why *why);

/* The same for the configuration of whoever calls. */
enum outcome mailq_list(bool json, FILE *out, struct why *why);

#endif
