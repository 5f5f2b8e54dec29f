/* mechanisms: AUTH on the server's side (RFC 4954). */
#ifndef MECHANISMS_H
#define MECHANISMS_H

#include "smarthost.h"

void begin_exchange(struct conn *c);
void end_exchange(struct conn *c);
void check_auth(struct conn *c);
void answer_auth(struct conn *c);
void answer_auth_response(struct conn *c);

#endif
