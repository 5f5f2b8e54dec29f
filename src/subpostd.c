/* subpostd: the main of the runner, and of the service.  As a runner it is started by
 * sendmail for the queue of the caller's own configuration, by a user's service manager,
 * or by hand; as the service by the system, once for everybody. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "config.h"
#include "log.h"
#include "outcome.h"
#include "runner.h"
#include "service.h"
#include "spool.h"
#include "wake.h"

static int
usage(FILE *to, int status)
{
	fputs("usage: subpostd [--retry | --force]\n"
	    "       subpostd --service [--user NAME]\n"
	    "Sends what waits in the queue of your configuration, and leaves when nothing waits.\n"
	    "  --retry      lift a back-off and try at once\n"
	    "  --force      the same, also with a password that was refused\n"
	    "  --service    take and send mail for everybody on this machine, until SIGTERM\n"
	    "  --user NAME  started as root: the account to become (" SERVICE_ACCOUNT ")\n", to);
	return status;
}

/* What was asked for. */
struct order {
	bool retry, force, service;
	const char *account;
};

/* False for what makes no sense. */
static bool
read_order(int argc, char **argv, struct order *order)
{
	*order = (struct order){ 0 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--retry") == 0)
			order->retry = true;
		else if (strcmp(argv[i], "--force") == 0)
			order->retry = order->force = true;
		else if (strcmp(argv[i], "--service") == 0)
			order->service = true;
		else if (strcmp(argv[i], "--user") == 0 && i + 1 < argc)
			order->account = argv[++i];
		else
			return false;
	}
	return order->service ? !order->retry : order->account == NULL;
}

static enum outcome
run_queue(const struct order *order, struct why *why)
{
	struct runner_terms terms = RUNNER_ALONE;
	struct config config = { 0 };
	struct spool spool = SPOOL_INIT;
	enum outcome o;

	terms.retry = order->retry;
	terms.force = order->force;
	/* Before anything is read: a password command runs in what is left. */
	wake_clean_environment();
	if ((o = config_load(&config, false, why)) == DONE &&
	    (o = spool_open(&spool, config.directory, config.path, why)) == DONE)
		o = runner_run(&spool, &config, &terms, why);
	spool_close(&spool);
	config_free(&config);
	return o;
}

int
main(int argc, char **argv)
{
	struct why why = { 0 };
	struct order order;
	enum outcome o;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout, EX_OK);
	if (!read_order(argc, argv, &order))
		return usage(stderr, EX_USAGE);
	/* A full file is an error to be told, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	log_open("subpostd");
	o = order.service ? service_run(order.account, &why) : run_queue(&order, &why);
	if (o != DONE) {
		log_event(LOG_ERR, "ended", "reason", why.text, NULL);
		fprintf(stderr, "subpostd: %s\n", why.text);
	}
	return outcome_exit(o, &why);
}
