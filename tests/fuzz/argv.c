/* Any words as a command line: words are parted by LF.  What is taken as a
 * recipient stands there as one, and a value is never a recipient. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 64

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static bool
is_shown(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* Behind "--" the same words are recipients and nothing else: as many, or more
 * where options were meant before. */
static void
read_as_recipients(char **words, size_t recipients)
{
	char *line[WORDS_MAX + 2] = { (char []){ "--" } };
	struct call c = { 0 };
	struct why why = { 0 };
	size_t n = 0;

	for (; words[n] != NULL; n++)
		line[n + 1] = words[n];
	if (options_read(&c, line, &why) == DONE)
		insist(c.to.n >= recipients && !c.from_header && c.sender == NULL);
	call_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *words[WORDS_MAX + 1], *rest = text, *word;
	struct call c = { 0 };
	struct why why = { 0 };
	enum outcome o;
	size_t n = 0;

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	while (n < WORDS_MAX && (word = strsep(&rest, "\n")) != NULL)
		words[n++] = word;
	words[n] = NULL;
	o = options_read(&c, words, &why);
	if (o == DONE) {
		for (size_t i = 0; i < c.to.n; i++)
			insist(address_is_sendable(buf_str(&c.to.v[i].spec)) && c.to.v[i].spec.len > 0);
		insist(n > 0 || c.to.n == 0);
		read_as_recipients(words, c.to.n);
	} else {
		insist((why.exit == 64 || why.exit == 65) && why.text[0] != '\0' && is_shown(why.text));
	}
	call_free(&c);
	call_free(&c);
	free(text);
	return 0;
}
