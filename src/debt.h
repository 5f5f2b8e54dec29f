/* debt: what a courier has reported, and nobody has said yet to be on disk.
 *
 * Until it is, the words are kept, to be told again, and the message stays locked by our
 * descriptor of it.  An answer that nobody is left to hear would be lost, and the message
 * sent again: so should the runner die, the words go to the next one. */
#ifndef DEBT_H
#define DEBT_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "envelope.h"

struct debt {
	char id[ENVELOPE_ID_LEN + 1];
	struct buf *records;
	size_t n;
	int fd;
	bool all_done;          /* everybody has got it */
};

/* Zero is none. */
struct debts {
	struct debt *list;      /* the oldest first */
	size_t n;
};

/* fd: of the message, locked; ours from here on. */
void debts_add(struct debts *d, const char *id, int fd, bool all_done);
/* A record of the last one, which is taken over; the buffer is then empty. */
const struct buf *debts_put(struct debts *d, struct buf *record);
/* The oldest of that message is on disk; false: there is none. */
bool debts_noted(struct debts *d, const char *id);
/* Tells all of them to the runner that comes, over the wake-up socket; for ten minutes
 * at most. */
void debts_tell(struct debts *d, int wake, const char *path);
void debts_free(struct debts *d);

#endif
