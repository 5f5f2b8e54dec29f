/* sandbox: collect what you need, then shut the door behind you. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "buf.h"

/* First line of main in a program that holds a secret: not dumpable, no core
 * file, whatever the caller's limits were. */
void sandbox_no_core(void);

/* From here on: no new privileges; no file can be opened, made, named, renamed
 * or removed; no socket made, bound, connected or listened on; nothing
 * executed, traced, killed or mounted; sendto with an address only on
 * address_fd (-1: not at all), sendmsg never.  Landlock without any path, its
 * rights masked by the kernel's ABI version, and a seccomp deny-list that
 * answers EPERM (a deny-list, because allow-lists break with every C library).
 * What is open stays usable.  Where a kernel lacks a part, the rest is shut
 * all the same, and *missing says in one line what was not; "" when all is shut. */
void sandbox_shut(int address_fd, struct buf *missing);

#endif
