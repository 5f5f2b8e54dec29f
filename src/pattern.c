#include "pattern.h"

#include <stdint.h>

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Only the last star is ever tried again, since what it takes the ones before it
 * need not: so a hostile address costs the product of two lengths and no more. */
bool
pattern_matches(struct str pattern, struct str address)
{
	size_t p = 0, a = 0, star = SIZE_MAX, behind = 0;

	while (a < address.len) {
		if (p < pattern.len && pattern.p[p] == '*') {
			star = p++;
			behind = a;
		} else if (p < pattern.len && lower(pattern.p[p]) == lower(address.p[a])) {
			p++;
			a++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			a = ++behind;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.p[p] == '*')
		p++;
	return p == pattern.len;
}

bool
pattern_matches_any(struct str patterns, struct str address)
{
	while (patterns.len > 0) {
		struct str pattern = str_word(&patterns);

		if (pattern.len > 0 && pattern_matches(pattern, address))
			return true;
	}
	return false;
}
