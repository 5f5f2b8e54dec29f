#include "debt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "wake.h"

#define ORPHAN_TIME 600         /* seconds an orphan looks for somebody to tell */
#define TELL_TIMES 20           /* how often it tells what seems not to be noted */

void
debts_add(struct debts *d, const char *id, int fd, bool all_done)
{
	d->list = mem_grow(d->list, d->n + 1, sizeof *d->list);
	d->list[d->n] = (struct debt){ .fd = fd, .all_done = all_done };
	memcpy(d->list[d->n++].id, id, sizeof d->list[0].id);
}

const struct buf *
debts_put(struct debts *d, struct buf *record)
{
	struct debt *one = &d->list[d->n - 1];

	one->records = mem_more(one->records, one->n, sizeof *one->records);
	one->records[one->n] = *record;
	*record = (struct buf){ 0 };
	return &one->records[one->n++];
}

static void
clear(struct debt *one)
{
	for (size_t i = 0; i < one->n; i++)
		buf_free(&one->records[i]);
	free(one->records);
	close(one->fd);
}

bool
debts_noted(struct debts *d, const char *id)
{
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->list[i].id, id) != 0)
			continue;
		clear(&d->list[i]);
		d->n--;
		memmove(d->list + i, d->list + i + 1, (d->n - i) * sizeof *d->list);
		return true;
	}
	return false;
}

static void
pause_a_moment(void)
{
	clock_poll(NULL, 0, 0.2);
}

/* Tells it all once; false when nobody is there before the end. */
static bool
tell_once(const struct debt *one, int wake, const char *path, double end)
{
	for (size_t i = 0; i < one->n; ) {
		if (clock_now() >= end)
			return false;
		if (wake_send_on(wake, path, buf_str(&one->records[i])) == WAKE_SENT)
			i++;
		else
			pause_a_moment();
	}
	while (!wake_is_read(wake) && clock_now() < end)
		pause_a_moment();
	return true;
}

static bool
is_put_away(const struct debt *one)
{
	struct stat st;

	return fstat(one->fd, &st) == 0 && st.st_nlink == 0;
}

/* Until somebody has it, nobody else sends that message, since its lock is ours.  A
 * message that all have got vanishes when that is noted, so that one can be told again
 * should that runner die too; of any other it cannot be seen. */
static void
tell(const struct debt *one, int wake, const char *path, double end)
{
	for (int i = 0; i < TELL_TIMES && tell_once(one, wake, path, end); i++) {
		pause_a_moment();
		if (!one->all_done || is_put_away(one))
			break;
	}
}

void
debts_tell(struct debts *d, int wake, const char *path)
{
	double end = clock_now() + ORPHAN_TIME;

	for (size_t i = 0; i < d->n; i++)
		tell(&d->list[i], wake, path, end);
	debts_free(d);
}

void
debts_free(struct debts *d)
{
	for (size_t i = 0; i < d->n; i++)
		clear(&d->list[i]);
	free(d->list);
	*d = (struct debts){ 0 };
}
