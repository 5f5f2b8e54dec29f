/* driver: runs a fuzz target without a fuzzer: first every file of its corpus,
 * then for a while what comes of changing them.
 *
 *	NAME [-t SECONDS] [-s SEED] [-o FILE] CORPUS...
 *
 * The targets are libFuzzer's (LLVMFuzzerTestOneInput), so that clang can link
 * them with its own driver instead, which sees what code an input reaches.
 * This one sees nothing and is quick to build anywhere: it is for the short
 * look in which what once broke must not break again.  Each input lies in FILE
 * while it runs: after a crash it is the one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 65536         /* octets of one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t *p;
	size_t len;
};

static struct input *seeds;
static size_t nseeds;
static uint64_t state = 1;
static uint8_t *shown;          /* the input under way, in FILE */
static int shown_fd = -1;

static void
die(const char *what)
{
	fprintf(stderr, "fuzz: %s: %s\n", what, strerror(errno));
	exit(70);
}

/* xorshift64*: the same seed gives the same inputs everywhere. */
static uint64_t
draw(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t
below(size_t n)
{
	return n > 0 ? (size_t)(draw() % n) : 0;
}

static void
add_seed(const char *path)
{
	struct input in = { .p = malloc(INPUT_MAX) };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 || in.p == NULL)
		die(path);
	while (in.len < INPUT_MAX && (n = read(fd, in.p + in.len, INPUT_MAX - in.len)) > 0)
		in.len += (size_t)n;
	close(fd);
	seeds = realloc(seeds, (nseeds + 1) * sizeof *seeds);
	if (seeds == NULL)
		die("memory");
	seeds[nseeds++] = in;
}

static void
add_corpus(const char *path)
{
	struct dirent **names;
	char file[4096];
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0) {
		add_seed(path);
		return;
	}
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			add_seed(file);
		free(names[i]);
	}
	free(names);
}

static void
run(const uint8_t *p, size_t len)
{
	uint8_t *exact = malloc(len > 0 ? len : 1);

	if (exact == NULL)
		die("memory");
	if (shown != NULL) {
		memcpy(shown, p, len);
		if (ftruncate(shown_fd, (off_t)len) < 0)
			die("ftruncate");
	}
	/* Of its exact size, so that a step beyond the end is seen. */
	memcpy(exact, p, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	if (shown != NULL && ftruncate(shown_fd, INPUT_MAX) < 0)
		die("ftruncate");
}

/* Puts len octets of what into in at a place drawn, over others or between. */
static void
put(struct input *in, const uint8_t *what, size_t len)
{
	size_t at = below(in->len + 1), room = INPUT_MAX - in->len;

	if (draw() % 2 == 0 && len <= room) {
		memmove(in->p + at + len, in->p + at, in->len - at);
		in->len += len;
	} else if (len > in->len - at) {
		len = in->len - at;
	}
	memmove(in->p + at, what, len);
}

static void
mutate(struct input *in)
{
	static const uint8_t odd[] = { 0, '\n', '\r', '\t', ' ', '"', '\\', '<', '>', '@', ',', ';', ':',
		'(', ')', '.', '-', '=', '?', '[', ']', '|', '/', '#', 0x7f, 0x80, 0xc3, 0xff };
	const struct input *other = &seeds[below(nseeds)];
	size_t at = below(in->len), len = 1 + below(32);
	uint8_t c = (uint8_t)draw();

	switch (draw() % 6) {
	case 0:         /* a bit */
		if (in->len > 0)
			in->p[at] ^= (uint8_t)(1u << below(8));
		break;
	case 1:         /* an octet that means something to parsers */
		put(in, &odd[below(sizeof odd)], 1);
		break;
	case 2:         /* any octet */
		put(in, &c, 1);
		break;
	case 3:         /* a piece goes */
		if (len > in->len - at)
			len = in->len - at;
		memmove(in->p + at, in->p + at + len, in->len - at - len);
		in->len -= len;
		break;
	case 4:         /* a piece comes again */
		if (len > in->len - at)
			len = in->len - at;
		put(in, in->p + at, len);
		break;
	default:        /* a piece of another */
		at = below(other->len);
		len = 1 + below(256);
		if (len > other->len - at)
			len = other->len - at;
		put(in, other->p + at, len);
		break;
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
	struct input in = { .p = malloc(INPUT_MAX) };
	double seconds = 20, end;
	unsigned long runs = 0;
	int c;

	while ((c = getopt(argc, argv, "t:s:o:")) != -1) {
		if (c == 't')
			seconds = strtod(optarg, NULL);
		else if (c == 's')
			state = strtoull(optarg, NULL, 10) | 1;
		else if (c == 'o' && ((shown_fd = open(optarg, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 ||
		    ftruncate(shown_fd, INPUT_MAX) < 0 ||
		    (shown = mmap(NULL, INPUT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, shown_fd, 0)) ==
		    MAP_FAILED))
			die(optarg);
		else if (c == '?')
			return 64;
	}
	for (; optind < argc; optind++)
		add_corpus(argv[optind]);
	if (nseeds == 0 || in.p == NULL) {
		fprintf(stderr, "usage: [-t seconds] [-s seed] [-o file] corpus ...\n");
		return 64;
	}
	run(in.p, 0);
	for (size_t i = 0; i < nseeds; i++, runs++)
		run(seeds[i].p, seeds[i].len);
	for (end = now() + seconds; now() < end; runs++) {
		const struct input *seed = &seeds[below(nseeds)];

		memcpy(in.p, seed->p, seed->len);
		in.len = seed->len;
		for (size_t n = 1 + below(8); n > 0; n--)
			mutate(&in);
		run(in.p, in.len);
	}
	printf("%lu runs from %zu seeds\n", runs, nseeds);
	return 0;
}
