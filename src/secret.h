/* secret: where the password or token is, and how it is had.  Used by the courier
 * alone; nobody else in the house holds a secret, ever. */
#ifndef SECRET_H
#define SECRET_H

#include "buf.h"
#include "config.h"
#include "outcome.h"

#define SECRET_MAX 65536        /* octets */
#define SECRET_COMMAND_TIME 30  /* seconds a command may take */
#define SECRET_FRESH "SUBPOST_TOKEN"    /* in a command's environment: "fresh" where the token
                                         * that it gave before was refused */

/* Fills *secret (wiped by the caller with buf_wipe) from password,
 * password-file, password-command or token-command of the account, whichever is set.
 * fresh: a token that was kept will not do.
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
enum outcome secret_get(const struct smarthost *account, bool fresh, struct buf *secret,
    struct why *why);

/* A private key, which a key of the ini file names: a file judged as password-file is,
 * whole, of at most SECRET_MAX octets. */
enum outcome secret_file(const char *key, const char *path, struct buf *octets, struct why *why);

/* The command's part of it, with a time limit of one's own.  key: the one that names it. */
enum outcome secret_command(const char *key, const char *command, bool fresh, unsigned seconds,
    struct buf *secret, struct why *why);

#endif
