#include "newaliases.h"

#include <sysexits.h>

#include "targets.h"

static enum outcome
check(struct aliases *a, const char *path, FILE *out, struct why *why)
{
	enum outcome o;

	if ((o = aliases_load(a, path, why)) != DONE)
		return o;
	targets_check(a);
	for (size_t i = 0; i < a->nproblems; i++)
		fprintf(stderr, "%s\n", a->problems[i].text);
	if (a->nproblems == 0) {
		fprintf(out, "%s: %zu alias%s, nothing wrong\n", path, a->n, a->n == 1 ? "" : "es");
		return DONE;
	}
	return refuse(why, EX_DATAERR, "%s: %zu problem%s%s; the other aliases count as they are", path,
	    a->nproblems, a->nproblems == 1 ? "" : "s",
	    a->nproblems == ALIASES_PROBLEMS_MAX ? " or more" : "");
}

enum outcome
newaliases_check(const struct config *c, FILE *out, struct why *why)
{
	struct aliases aliases = { 0 };
	enum outcome o = DONE;

	if (c->aliases[0] != '\0')
		o = check(&aliases, c->aliases, out, why);
	else
		fprintf(out, "there is no aliases file: [identity] aliases is not set in %s\n", c->path);
	aliases_free(&aliases);
	return o;
}
