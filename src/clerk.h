/* clerk: one caller's process at the service's counter.
 *
 * Forked by the service for one connection, and confined before it reads the
 * first octet: no network, no secret, the queue's directory and nothing else.  It
 * believes nothing: envelope, sender, size, how much waits and how fast it comes
 * are all looked at here, whatever the caller's program has checked; it parses
 * no mail.  It puts Received: in front, copies the octets, makes them durable,
 * answers, and only then lets the runner have the message.  It dies with its
 * caller, and leaves nothing of what was not committed. */
#ifndef CLERK_H
#define CLERK_H

#include <sys/types.h>

#include "config.h"
#include "fence.h"
#include "spool.h"
#include "usage.h"

#define CLERK_IDLE 60           /* seconds of silence after which a caller is left */
#define CLERK_TOTAL (15 * 60)   /* seconds that one message, or question, may take to come,
                                 * and its answer to be heard */

/* Who stands at the counter, as the kernel says.  Borrowed all. */
struct clerk {
	int fd;                         /* the connection; the hello has been said */
	uid_t uid;
	bool unknown;                   /* no uid of this machine (the overflow uid): may send,
	                                 * and owns nothing */
	bool operator;                  /* root, the service's own account, or of the operators */
	const struct config *config;    /* as it holds for this caller (config_view), */
	const struct config *whole;     /* and for all */
	struct spool *spool;
	struct usage *usage;
	const struct fence *fence;      /* NULL: he stands behind it already */
	int idle_ms, total_ms;          /* for tests; 0: the two above */
};

/* The time zone has been read (tzset): from in here its file is out of reach.
 * Serves the caller until it leaves, breaks the rules, or is silent for too long; the
 * descriptor is closed then.  At SIGTERM what has begun, or come by then, is brought to
 * its end, and nothing new begun.  What the process exits with: 0. */
int clerk_serve(const struct clerk *c);
/* Goes behind the fence, for one who does so before his caller has come.  -1 with errno
 * where he must not go on. */
int clerk_shut_in(const struct fence *f);

#endif
