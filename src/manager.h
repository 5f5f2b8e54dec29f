/* manager: the words with a service manager (systemd, or whoever speaks as it
 * does), without its library: sockets that it holds for us, and what we tell it. */
#ifndef MANAGER_H
#define MANAGER_H

#include <stdbool.h>

/* A Unix socket of that type (SOCK_DGRAM, or SOCK_STREAM that listens) that was
 * passed to this process (LISTEN_PID, LISTEN_FDS), made close-on-exec; -1: none.
 * Exactly one must have been passed. */
int manager_socket(int type);
/* sd_notify(3): "READY=1", "STOPPING=1", "STATUS=...", several with line ends
 * between; nothing where nobody wants to hear it (NOTIFY_SOCKET). */
void manager_tell(const char *words);
/* No child shall take itself for the one who was started: the environment loses it
 * all.  manager_tell still finds its way. */
void manager_forget(void);

#endif
