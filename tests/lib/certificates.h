/* certificates: throw-away ones, made at each start. */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include "smarthost.h"

void make_certificates(void);
void free_certificates(void);
void take_cert(const char *kind);

#endif
