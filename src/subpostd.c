/* subpostd: the main of the runner.  Started by sendmail for the queue of the
 * caller's own configuration, by a user's service manager, or by hand. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "config.h"
#include "log.h"
#include "outcome.h"
#include "runner.h"
#include "spool.h"
#include "wake.h"

static int
usage(FILE *to, int status)
{
	fputs("usage: subpostd [--retry]\n"
	    "Sends what waits in the queue of your configuration, and leaves when nothing waits.\n"
	    "  --retry   lift a back-off and try at once\n", to);
	return status;
}

int
main(int argc, char **argv)
{
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	struct why why = { 0 };
	struct runner_terms terms = RUNNER_ALONE;
	enum outcome o;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--retry") == 0)
			terms.retry = true;
		else if (strcmp(argv[i], "--help") == 0)
			return usage(stdout, EX_OK);
		else
			return usage(stderr, EX_USAGE);
	}
	/* A full file is an error to be told, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	log_open("subpostd");
	/* Before anything is read: a password command runs in what is left. */
	wake_clean_environment();
	if ((o = config_load(&config, false, &why)) == DONE &&
	    (o = spool_open(&spool, config.directory, config.path, &why)) == DONE)
		o = runner_run(&spool, &config, &terms, &why);
	if (o != DONE) {
		log_event(LOG_ERR, "ended", "reason", why.text, NULL);
		fprintf(stderr, "subpostd: %s\n", why.text);
	}
	spool_close(&spool);
	config_free(&config);
	return outcome_exit(o, &why);
}
