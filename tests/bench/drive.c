/* drive: runs candidates in paired rounds and tells how long each took.
 *
 *	drive [-j N] [-w SPOOL] ROUNDS RUNS STDIN -- COMMAND... [-- COMMAND...]...
 *
 * A round runs each candidate RUNS times, one candidate after the other, and
 * the next round begins with the next one, so that what drifts on the machine
 * drifts for all.  -j: N at a time.  -w: before each run, untimed, wait until
 * SPOOL/queue is empty and nobody holds SPOOL/lock.  Time is taken from just
 * before the exec to the reaping.  Small and static, and the child is made by
 * vfork: with a big parent, the fork would be the dearest part.
 *
 * Output, one line each, microseconds; candidates are numbered from 0:
 *	N round R median M p99 P rate X failed F
 *	N all median M p99 P rate X failed F rss K spread S
 * rate: runs a second of wall time.  rss: the most KiB that one of the runs had
 * resident; a child begins as its parent, so less than drive itself has is not
 * seen.  spread: how far the rounds' medians lie apart, in percent of the least.
 * A run failed if it did not exit with 0. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANDIDATES_MAX 16
#define JOBS_MAX 1024
#define PATIENCE 10.0           /* seconds for a spool to become quiet */

struct candidate {
	char **argv;
	double *took;           /* seconds, of all rounds */
	double *medians;        /* one a round */
	double wall;
	unsigned failed;
	long rss;
};

static struct {
	unsigned rounds, runs, jobs;
	const char *input, *spool;
	int null;
} how;

static void
die(const char *what)
{
	fprintf(stderr, "drive: %s: %s\n", what, strerror(errno));
	exit(75);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool
is_quiet(const char *spool)
{
	char path[4096];
	struct dirent *e;
	bool empty = true;
	DIR *d;
	int fd;

	snprintf(path, sizeof(path), "%s/queue", spool);
	d = opendir(path);
	if (d == NULL)
		return true;
	while (empty && (e = readdir(d)) != NULL)
		empty = e->d_name[0] == '.';
	closedir(d);
	if (!empty)
		return false;
	snprintf(path, sizeof(path), "%s/lock", spool);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	empty = flock(fd, LOCK_SH | LOCK_NB) == 0;
	close(fd);
	return empty;
}

static void
wait_for_quiet(const char *spool)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	double until = now() + PATIENCE;

	while (!is_quiet(spool)) {
		if (now() > until) {
			fprintf(stderr, "drive: %s does not become quiet\n", spool);
			exit(75);
		}
		nanosleep(&pause, NULL);
	}
}

/* Between vfork and exec the child borrows this frame: no variable is written
 * that the parent reads again. */
static pid_t
start(char **argv, double *began)
{
	int in = open(how.input, O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (in < 0)
		die(how.input);
	*began = now();
	pid = vfork();
	if (pid < 0)
		die("vfork");
	if (pid == 0) {
		if (dup2(in, 0) < 0 || dup2(how.null, 1) < 0 || dup2(how.null, 2) < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in);
	return pid;
}

static void
run_round(struct candidate *c, double *took)
{
	struct {
		pid_t pid;
		double began;
	} job[JOBS_MAX] = { { 0, 0 } };
	unsigned started = 0, ended = 0, i;
	double begun = now(), waited = 0, t;
	struct rusage used;
	int status;
	pid_t pid;

	while (ended < how.runs) {
		for (i = 0; i < how.jobs && started < how.runs; i++) {
			if (job[i].pid != 0)
				continue;
			if (how.spool != NULL) {
				t = now();
				wait_for_quiet(how.spool);
				waited += now() - t;
			}
			job[i].pid = start(c->argv, &job[i].began);
			started++;
		}
		pid = wait4(-1, &status, 0, &used);
		t = now();
		if (pid < 0)
			die("wait4");
		for (i = 0; i < how.jobs && job[i].pid != pid; i++)
			;
		if (i == how.jobs)
			continue;
		job[i].pid = 0;
		took[ended++] = t - job[i].began;
		c->failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
		if (used.ru_maxrss > c->rss)
			c->rss = used.ru_maxrss;
	}
	c->wall += now() - begun - waited;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts v; the p99 is the smallest value that 99 of 100 do not exceed. */
static void
tell(const char *what, double *v, size_t n, double wall, unsigned failed, double *median)
{
	size_t at = (n * 99 + 99) / 100;

	qsort(v, n, sizeof(*v), compare);
	*median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
	printf("%s median %.0f p99 %.0f rate %.1f failed %u", what, *median * 1e6,
	    v[at - 1] * 1e6, (double)n / wall, failed);
}

static void
tell_all(struct candidate *c, unsigned number)
{
	size_t n = (size_t)how.rounds * how.runs;
	char what[32];
	double median;

	qsort(c->medians, how.rounds, sizeof(*c->medians), compare);
	snprintf(what, sizeof(what), "%u all", number);
	tell(what, c->took, n, c->wall, c->failed, &median);
	printf(" rss %ld spread %.0f\n", c->rss, (c->medians[how.rounds - 1] / c->medians[0] - 1) * 100);
}

static unsigned
number(const char *s, unsigned max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (*s < '0' || *s > '9' || *end != '\0' || n == 0 || n > max) {
		fprintf(stderr, "drive: %s is not a number from 1 to %u\n", s, max);
		exit(64);
	}
	return (unsigned)n;
}

static unsigned
read_commands(char **argv, struct candidate *c)
{
	unsigned n = 0;

	for (; *argv != NULL; argv++) {
		if (strcmp(*argv, "--") != 0)
			continue;
		*argv = NULL;
		if (argv[1] == NULL || strcmp(argv[1], "--") == 0 || n == CANDIDATES_MAX)
			return 0;
		c[n].argv = argv + 1;
		c[n].took = calloc((size_t)how.rounds * how.runs, sizeof(double));
		c[n].medians = calloc(how.rounds, sizeof(double));
		if (c[n].took == NULL || c[n].medians == NULL)
			die("memory");
		n++;
	}
	return n;
}

int
main(int argc, char **argv)
{
	struct candidate c[CANDIDATES_MAX] = { { 0 } };
	unsigned n = 0, r, i, k, failed;
	char what[32];
	double wall;
	int opt;

	how.jobs = 1;
	while ((opt = getopt(argc, argv, "+j:w:")) != -1) {
		switch (opt) {
		case 'j': how.jobs = number(optarg, JOBS_MAX); break;
		case 'w': how.spool = optarg; break;
		default: return 64;
		}
	}
	if (argc - optind > 4) {
		how.rounds = number(argv[optind], 1000);
		how.runs = number(argv[optind + 1], 1000000);
		how.input = argv[optind + 2];
		n = read_commands(argv + optind + 3, c);
	}
	if (n == 0) {
		fprintf(stderr, "usage: drive [-j N] [-w SPOOL] ROUNDS RUNS STDIN "
		    "-- COMMAND... [-- COMMAND...]...\n");
		return 64;
	}
	how.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (how.null < 0)
		die("/dev/null");

	for (r = 0; r < how.rounds; r++) {
		for (i = 0; i < n; i++) {
			k = (i + r) % n;
			failed = c[k].failed;
			wall = c[k].wall;
			run_round(&c[k], c[k].took + (size_t)r * how.runs);
			snprintf(what, sizeof(what), "%u round %u", k, r + 1);
			tell(what, c[k].took + (size_t)r * how.runs, how.runs,
			    c[k].wall - wall, c[k].failed - failed, &c[k].medians[r]);
			printf("\n");
			fflush(stdout);
		}
	}
	for (i = 0; i < n; i++)
		tell_all(&c[i], i);
	for (i = 0; i < n; i++) {
		free(c[i].took);
		free(c[i].medians);
	}
	return 0;
}
