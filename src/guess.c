#include "guess.h"

#include <assert.h>
#include <string.h>

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t
smallest(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's, without case. */
static size_t
distance(struct str a, const char *b)
{
	size_t n = strlen(b), row[GUESS_MAX + 1];

	assert(a.len <= GUESS_MAX && n <= GUESS_MAX);
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];

			row[j] = smallest(above + 1, row[j - 1] + 1,
			    corner + (lower(a.p[i - 1]) != b[j - 1]));
			corner = above;
		}
	}
	return row[n];
}

/* Three letters off is another word, and so is half of a short one. */
void
guess_consider(struct guess *g, struct str word, const char *name)
{
	size_t d = distance(word, name);

	if (d <= 2 && 2 * d <= strlen(name) && (g->name == NULL || d < g->distance))
		*g = (struct guess){ name, d };
}
