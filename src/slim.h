/* slim: gives back the memory of what a process has done for the last time.
 *
 * A courier is at its largest when it has logged in: a trust store was read, and the
 * code of a whole TLS handshake and a login is mapped, which none of its messages will
 * need again. */
#ifndef SLIM_H
#define SLIM_H

/* Nothing that is in use changes: free memory goes back to the system, and code and
 * constants come back from their files, page by page, where they are used once more. */
void slim_down(void);

#endif
