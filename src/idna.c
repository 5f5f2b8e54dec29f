#include "idna.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "words.h"

/* Octets of ASCII that a name may have; the others pass where they are asked to. */
static bool
is_name(struct str s, bool ascii)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c > 0x7f ? ascii : !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return s.len > 0;
}

/* The library is not asked to mind what hosts may be called: then it would leave out
 * what they may not, and the mail go to another.  So that is looked at before, and,
 * because there are characters that are mapped to ASCII, after. */
bool
idna_domain(struct str domain, struct buf *out)
{
	char *name, *ascii = NULL;
	bool good;

	if (!is_name(domain, false))
		return false;
	name = mem_dup(domain);
	good = idn2_to_ascii_8z(name, &ascii, IDN2_NONTRANSITIONAL) == IDN2_OK &&
	    is_name(str_of(ascii), true) && ascii[0] != '.' && strstr(ascii, "..") == NULL;
	if (good)
		buf_adds(out, ascii);
	idn2_free(ascii);
	free(name);
	return good;
}

bool
idna_address(const char *address, struct buf *out)
{
	struct str whole = str_of(address), domain = address_domain(whole);
	struct str local = str_from(whole.p, whole.len - domain.len);
	size_t from = out->len;

	if (!words_is_ascii(local))
		return false;
	buf_addstr(out, local);
	if (words_is_ascii(domain))
		buf_addstr(out, domain);
	else if (!idna_domain(domain, out)) {
		out->len = from;
		return false;
	}
	return true;
}
