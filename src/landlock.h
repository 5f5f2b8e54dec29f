/* landlock: the kernel's own list of what a process may still reach by name, for
 * everybody here who shuts a door behind himself (sandbox.h, fence.h).
 *
 * Raw calls and our own table of what each version of it understands: the headers
 * that a distribution ships may be years older than the kernel it runs on. */
#ifndef LANDLOCK_H
#define LANDLOCK_H

#include <stdbool.h>

/* A ruleset that handles every right of this kernel and so allows nothing; but
 * below directory, where one is given, files and directories may be read, written,
 * made, moved and removed.  signals: processes outside may be signalled.  A
 * descriptor, or -1 with errno: ENOSYS, EOPNOTSUPP, or EPROTONOSUPPORT where the
 * kernel has a version that cannot let a file be moved. */
int landlock_make(const char *directory, bool signals);
/* From here on; no_new_privs must be set.  0, or -1 with errno. */
int landlock_shut(int rules);

/* Goes before: a sanitizer's search for leaks needs what is refused afterwards.
 * Nothing in other builds. */
void landlock_last_look(void);

#endif
