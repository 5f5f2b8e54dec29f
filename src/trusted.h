/* trusted: a file that nobody but root and we ourselves can have written.
 *
 * For what decides where mail goes.  The file and the directory that it lies in
 * belong to root or to us, and are closed to the hands of others.  What was
 * opened is judged, so that nothing can be exchanged in between. */
#ifndef TRUSTED_H
#define TRUSTED_H

#include <sys/stat.h>

#include "buf.h"
#include "outcome.h"

struct trusted {
	int fd;                 /* -1: not open */
	struct stat st;
};

/* path: absolute; links: may its last component be a symbolic link.  *f is
 * closed by trusted_close in every case.  Else LATER, where another try may find
 * it readable, or NEVER, and in *wrong what to say behind its name: "is not
 * there". */
enum outcome trusted_open(struct trusted *f, const char *path, bool links, struct buf *wrong);
/* Appends all of it to *text; over limit octets are NEVER. */
enum outcome trusted_read(const struct trusted *f, struct buf *text, size_t limit,
    struct buf *wrong);
void trusted_close(struct trusted *f);

#endif
