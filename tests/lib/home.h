/* home: a directory of a test's own, and the files in it. */
#ifndef HOME_H
#define HOME_H

#include <sys/types.h>

#include "../../src/buf.h"

/* Under /tmp, mode 0700; set by home_make. */
extern char home[];

/* For a cmocka group: 0 or -1. */
int home_make(void **state);
int home_remove(void **state);

/* The caller frees. */
char *home_path(const char *name);
void home_write(const char *name, struct str text, mode_t mode);
void home_unlink(const char *name);
/* Adds the text with home in the place of each %s. */
void home_fill_in(struct buf *out, const char *text);

#endif
