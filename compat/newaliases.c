#include "newaliases.h"

#include <sysexits.h>

#include "config.h"
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
newaliases_check(FILE *out, struct why *why)
{
	struct config config = { 0 };
	struct aliases aliases = { 0 };
	enum outcome o;

	if ((o = config_load(&config, false, why)) != DONE)
		goto out;
	if (config.aliases[0] != '\0')
		o = check(&aliases, config.aliases, out, why);
	else
		fprintf(out, "there is no aliases file: [identity] aliases is not set in %s\n", config.path);
out:
	aliases_free(&aliases);
	config_free(&config);
	return o;
}
