/* secret: where the password is, and how it is had.  Used by the courier
 * alone; nobody else in the house holds a secret, ever. */
#ifndef SECRET_H
#define SECRET_H

#include "buf.h"
#include "config.h"
#include "outcome.h"

#define SECRET_MAX 65536        /* octets */
#define SECRET_COMMAND_TIME 30  /* seconds a password command may take */

/* Fills *secret (wiped by the caller with buf_wipe) from password,
 * password-file or password-command of the account, whichever is set.
 * A file: opened once and judged by fstat: regular, owned by us or root, not
 * readable by others (nor by its group, unless it is root's: root may lend a
 * file to a service by its group); its first line, without the line end.
 * A command: an argument vector split on spaces with '...' and "..." quoting,
 * no shell, in a process group of its own, stdin and stderr /dev/null, no
 * descriptors but 0 to 2; the first line of what it prints, which counts only
 * when the command ends by itself with status 0; killed with its group at the
 * time limit.
 * All failures are LATER, scope ACCOUNT, and quote neither value nor output;
 * an empty secret is a failure.  An account without any: "" and DONE. */
enum outcome secret_get(const struct smarthost *account, struct buf *secret, struct why *why);

/* The command's part of it, with a time limit of one's own. */
enum outcome secret_command(const char *command, unsigned seconds, struct buf *secret,
    struct why *why);

#endif
