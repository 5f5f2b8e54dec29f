/* log: one line an event: a word for what happened, then key=value.
 *
 * Lines go to syslog (facility mail) and, once log_to was called, to that
 * file too.  Values are masked here and quoted where needed, so a line is one
 * record whatever a server or a user wrote into it. */
#ifndef LOG_H
#define LOG_H

#include <syslog.h>

#include "buf.h"

/* program is borrowed for the life of the process. */
void log_open(const char *program);
/* Also append to fd (opened O_APPEND); -1 ends that.  What it was before, or -1. */
int log_to(int fd);
/* Pairs of C strings, key then value, ended by NULL; a NULL or empty value
 * drops its pair.  level is one of syslog's. */
void log_event(int level, const char *event, ...) __attribute__((sentinel));
/* The line as it is logged, without time and program; appended to *out. */
void log_format(struct buf *out, const char *event, va_list pairs);

#endif
