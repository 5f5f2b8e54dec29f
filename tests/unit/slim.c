/* slim: what was needed for the last time is given back, and nothing is lost. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "slim.h"

#define MEBI (1u << 20)
#define PAGE 4096

/* Not all zero, or it would not be in the file. */
static const unsigned char constants[2 * MEBI] = { 1, [PAGE] = 2, [2 * MEBI - 1] = 3 };
static unsigned char variables[PAGE] = { 4 };

/* KiB that are resident, counted page by page: the figure of statm is an estimate. */
static long
weight(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kib = -1;

	assert_non_null(f);
	while (kib < 0 && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Rss: %ld", &kib) != 1)
			kib = -1;
	fclose(f);
	assert_true(kib > 0);
	return kib;
}

static unsigned
sum(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < sizeof constants; i += PAGE)
		n += constants[i];
	return n + constants[sizeof constants - 1];
}

static void
constants_leave_memory_and_come_back_as_they_were(void **state)
{
	long before, after;

	(void)state;
	assert_int_equal(sum(), 1 + 2 + 3);
	before = weight();
	slim_down();
	after = weight();
	if (after > before - 1024)
		fail_msg("%ld KiB before, %ld after", before, after);
	assert_int_equal(sum(), 1 + 2 + 3);
}

static void
what_was_written_stays(void **state)
{
	struct buf text = { 0 };

	(void)state;
	variables[1] = 5;
	for (int i = 0; i < 100000; i++)
		buf_addf(&text, "%d ", i);
	slim_down();
	slim_down();
	assert_int_equal(variables[0], 4);
	assert_int_equal(variables[1], 5);
	assert_int_equal(text.len, 588890);
	assert_string_equal(text.p + text.len - 6, "99999 ");
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants_leave_memory_and_come_back_as_they_were),
		cmocka_unit_test(what_was_written_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
