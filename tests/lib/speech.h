/* speech: what is said to the client, and what of the answers binds it. */
#ifndef SPEECH_H
#define SPEECH_H

#include "smarthost.h"

/* The line of an EHLO answer that begins with keyword: what stands behind it. */
bool find_offer(const struct conn *c, const char *keyword, struct str *args);
bool has_offered(const struct conn *c, const char *keyword);
bool has_word(struct str words, struct str word);
/* Is it the end of a text that is answered: the final dot, or BDAT LAST? */
bool ends_message(const struct conn *c);
void say_bytes(struct conn *c, struct str bytes);
void say(struct conn *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The code of the first whole reply in what was said; 0 if there is none. */
unsigned code_said(const struct conn *c);

#endif
