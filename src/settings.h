/* settings: what of the service's configuration concerns a caller, as the hello
 * of the counter carries it (desk.h): "key value" lines, values escaped.  No secret
 * is among them, and nothing that a caller could not read in the system's file.
 *
 * So a caller in a container needs nothing but the socket, and one service and all
 * its callers go by the same file. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "buf.h"
#include "config.h"
#include "outcome.h"

/* c as it holds for the caller (config_view). */
void settings_write(const struct config *c, struct buf *out);
/* The counterpart: *c with every default, then what stands in text.  Words that
 * are not known are passed over: the service may be newer.  An account that has no
 * address of its own gets login@domain of whoever calls this.  NEVER where it is
 * no such text.  *c is freed by config_free in every case. */
enum outcome settings_read(struct str text, struct config *c, struct why *why);

#endif
