/* wire: octets of one connection, in clear or in TLS. */
#ifndef WIRE_H
#define WIRE_H

#include "smarthost.h"

/* False when the server is to end; otherwise something has happened on fd, or
 * ms milliseconds have passed (-1: no limit).  fd -1 is only the pause. */
bool wait_on(int fd, short what, int ms);
/* Takes what has come, without waiting.  1: octets; 0: the client has closed;
 * -1: nothing yet. */
int pull(struct conn *c);
/* Waits for more octets; false when there will be none. */
bool hear_more(struct conn *c);
void transmit(struct conn *c, struct str bytes);
void shake_hands(struct conn *c);
void part(struct conn *c, enum goodbye how);

#endif
