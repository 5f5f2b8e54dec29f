/* spare: the clerk who waits for the next caller, both ends side by side.
 *
 * To fork a clerk and shut him in takes longer than all that he does for a short
 * message, so one is made while nobody waits for him: he stands behind his fence
 * already, knows nobody yet, and is handed the next connection.  Still a process for
 * each caller: one who has served is not used again. */
#ifndef SPARE_H
#define SPARE_H

#include <stdbool.h>
#include <sys/types.h>

struct spare {
	pid_t pid;              /* 0: none; use SPARE_INIT */
	int fd;
};
#define SPARE_INIT { .fd = -1 }

/* Forks him: 0 in the child, *end being its end; -1 with errno. */
pid_t spare_fork(struct spare *s, int *end);
/* Gives him the connection, of which the caller keeps its own descriptor; then he is a
 * clerk like others, and *s is none.  His process id, or 0 where there is none, or he
 * is gone. */
pid_t spare_hand(struct spare *s, int fd);
/* He is not needed, or has ended: closes our end, at which he leaves. */
void spare_dismiss(struct spare *s);
/* In another child: what is the service's alone is closed. */
void spare_abandon(const struct spare *s);

/* The clerk's: waits for his caller; -1 when there will be none. */
int spare_await(int end);

#endif
