#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "callers.h"
#include "clerk.h"
#include "clock.h"
#include "config.h"
#include "desk.h"
#include "fence.h"
#include "file.h"
#include "greeting.h"
#include "log.h"
#include "manager.h"
#include "premises.h"
#include "roster.h"
#include "runner.h"
#include "spare.h"
#include "spool.h"
#include "usage.h"
#include "wake.h"
#include "watch.h"

#define ACCEPTS 64              /* callers taken before anything else is looked at again */
#define ACCEPT_PAUSE 0.2        /* seconds, when the system has no room for another one */
#define SWEEP_PAUSE 1.0         /* seconds between two looks at all who wait */
#define KEPT "kept.ini"         /* <spool>/kept.ini */
#define KEPT_MAX (1u << 20)     /* octets; no good file is longer */
#define SPARE_PAUSE 0.0004      /* seconds from a caller until the next spare clerk is made: by
                                 * then this one's waits for the disk */
#define CLERKS_TIME 20          /* seconds that clerks have at the end */
#define HELLO_ROOM 1000         /* microseconds that a hello may wait for room: it has it */
#define POLL_PAUSE 1.0          /* seconds, should poll(2) fail: not at full speed then */

struct service {
	struct config config;
	struct buf config_path;
	struct greetings greetings;

	struct premises premises;
	struct spool spool;
	struct wake wake;
	struct fence fence;
	struct usage *usage;
	struct watch watch;
	int signals, log;

	struct callers callers;
	struct spare spare;
	double spare_at;                /* when the next one is made; 0: there is one */
	double accept_at;               /* none is taken before; 0: now */
	bool full;                      /* and that is logged */
	double sweep_at;                /* those who wait are not looked through before */

	struct roster roster;
	bool leaving;
	double clerks_until;
};

/* ---- before it opens -------------------------------------------------------------------------- */

static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
catch_signals(void)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		sigaddset(&set, wanted[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Ignored from outside, it would leave us without our children's ends. */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The couriers read the file that we have read, and no other. */
static void
name_config(const struct service *s)
{
	setenv("SUBPOST_CONFIG", buf_c(&s->config_path), 1);
}

/* A runner puts a log that is too long aside when it starts; so do we, just before. */
static void
open_log(struct service *s)
{
	int fd = spool_open_log(&s->spool);

	if (fd < 0)
		return;
	log_to(fd);
	if (s->log >= 0)
		close(s->log);
	s->log = fd;
}

/* He knows another configuration, or is not needed any more. */
static void
change_spare(struct service *s)
{
	spare_dismiss(&s->spare);
	s->spare_at = s->leaving ? 0 : clock_now() + SPARE_PAUSE;
}

/* ---- what the configuration says ---------------------------------------------------------------- */

/* Couriers that start while the file is a bad one go by the copy of a good one.  Only of
 * what everybody may read: nothing that could be a secret comes into the queue. */
static void
keep_config(const struct service *s)
{
	struct buf text = { 0 }, path = { 0 };
	int fd = open(buf_c(&s->config_path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	unsetenv(CONFIG_KEPT);
	unlinkat(s->spool.dir, KEPT, 0);
	buf_addf(&path, "%s/" KEPT, s->spool.path);
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IROTH) != 0 &&
	    file_read_all(fd, &text, KEPT_MAX) == 0 &&
	    file_replace(s->spool.dir, KEPT, buf_str(&text), false) == 0)
		setenv(CONFIG_KEPT, buf_c(&path), 1);
	if (fd >= 0)
		close(fd);
	buf_free(&text);
	buf_free(&path);
}

static void
apply_config(struct service *s)
{
	keep_config(s);
	greetings_make(&s->greetings, &s->config);
	watch_files(&s->watch, buf_c(&s->config_path), s->config.smarthost.password_file);
}

/* A mended configuration is taken without a restart; a broken one is told, and the old one
 * kept: false. */
static bool
take_config(struct service *s)
{
	struct config fresh = { 0 };
	struct buf path = { 0 }, status = { 0 };
	struct why why = { 0 };
	bool good = false;

	if (config_load_service(&fresh, &path, &why) != DONE) {
		log_event(LOG_ERR, "config", "reason", why.text, NULL);
		buf_addf(&status, "STATUS=the old configuration is kept: %s", why.text);
		manager_tell(buf_c(&status));
		config_free(&fresh);
	} else {
		if (strcmp(fresh.service.socket, s->config.service.socket) != 0 ||
		    strcmp(fresh.directory, s->config.directory) != 0)
			log_event(LOG_WARNING, "config", "reason", "another socket or directory is used "
			    "after a restart; type: systemctl restart subpost", NULL);
		config_free(&s->config);
		s->config = fresh;
		apply_config(s);
		log_event(LOG_NOTICE, "config", "read", buf_c(&path), NULL);
		manager_tell("STATUS=");
		/* Who has read what is new follows the one that is at work. */
		roster_dismiss(&s->roster, true);
		change_spare(s);
		good = true;
	}
	buf_free(&path);
	buf_free(&status);
	return good;
}

/* What was changed between the reading and the new watch, nobody would tell us of. */
static void
reread_config(struct service *s)
{
	while (take_config(s) && config_is_stale(&s->config))
		continue;
}

/* ---- children ----------------------------------------------------------------------------------- */

/* What is the service's own, and would be missed or misunderstood if a child held it: an end
 * of a connection that never closes, a lock that outlives us. */
static void
leave_service(struct service *s, const char *name)
{
	premises_leave(&s->premises);
	callers_abandon(&s->callers);
	watch_leave(&s->watch);
	close(s->signals);
	roster_abandon(&s->roster);
	spare_abandon(&s->spare);
	prctl(PR_SET_NAME, name);
}

static bool
ask_who(int fd, struct ucred *who)
{
	socklen_t len = sizeof *who;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &len) == 0 && len == sizeof *who;
}

/* Signals stay blocked until he has his handlers: one that comes before is kept. */
static _Noreturn void
attend(struct service *s, int fd, const struct ucred *who, const struct fence *fence)
{
	struct config view;
	struct clerk c = { .fd = fd, .uid = who->uid, .config = &view, .whole = &s->config, .spool = &s->spool,
		.usage = s->usage, .fence = fence };

	c.unknown = greetings_is_unknown(&s->greetings, who->uid);
	c.operator = greetings_is_operator(&s->greetings, fd, who);
	greetings_view(&s->greetings, &s->config, who->uid, &view);
	_exit(clerk_serve(&c));
}

static _Noreturn void
be_clerk(struct service *s, int fd, const struct ucred *who)
{
	leave_service(s, "subpostd-clerk");
	close(s->wake.fd);
	attend(s, fd, who, &s->fence);
}

/* One who cannot shut himself in is no clerk: the next one says so to his caller. */
static _Noreturn void
be_spare(struct service *s, int end)
{
	struct ucred who;
	int fd;

	leave_service(s, "subpostd-spare");
	close(s->wake.fd);
	if (clerk_shut_in(&s->fence) < 0 || (fd = spare_await(end)) < 0 || !ask_who(fd, &who))
		_exit(EX_OK);
	prctl(PR_SET_NAME, "subpostd-clerk");
	attend(s, fd, &who, NULL);
}

/* Made while nobody waits for him; that he cannot be made is no matter yet. */
static void
make_spare(struct service *s)
{
	int end;

	s->spare_at = 0;
	tzset();
	if (spare_fork(&s->spare, &end) == 0)
		be_spare(s, end);
}

static _Noreturn void
be_runner(struct service *s, int starter)
{
	struct runner_terms terms = { .retry = s->roster.retry, .wake = s->wake.fd, .starter = starter,
		.usage = s->usage, .fence = &s->fence };
	struct why why = { 0 };
	enum outcome o;

	/* Signals stay blocked: the runner asks for them, and one that comes before is kept. */
	leave_service(s, "subpostd-runner");
	o = runner_run(&s->spool, &s->config, &terms, &why);
	if (o != DONE)
		log_event(LOG_ERR, "ended", "reason", why.text, NULL);
	_exit(outcome_exit(o, &why));
}

static void
start_runner(struct service *s)
{
	int starter;

	open_log(s);
	if (roster_fork(&s->roster, &starter) == 0)
		be_runner(s, starter);
}

/* One that was killed may have answered for a message, and told nobody of it. */
static void
end_clerk(const struct service *s, uid_t uid, int status)
{
	char number[12], signal_number[12];

	if (!WIFSIGNALED(status))
		return;
	wake_send(&s->spool, STR("wake"));
	snprintf(number, sizeof number, "%lu", (unsigned long)uid);
	snprintf(signal_number, sizeof signal_number, "%d", WTERMSIG(status));
	log_event(LOG_ERR, "clerk-died", "uid", number, "signal", signal_number, NULL);
}

static void
reap(struct service *s)
{
	int status;
	pid_t pid;
	uid_t uid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		/* One that ended by himself is not followed before there has been a caller:
		 * whatever he died of, the next might, and so at full speed. */
		if (pid == s->spare.pid)
			spare_dismiss(&s->spare);
		else if (callers_ended(&s->callers, pid, &uid))
			end_clerk(s, uid, status);
		else
			roster_ended(&s->roster, pid, status);
	}
}

/* ---- callers -------------------------------------------------------------------------------------- */

static void
turn_away(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Nothing can be in his way: he has been sent nothing yet. */
static void
turn_away(int fd, const char *fmt, ...)
{
	const struct timeval room = { 0, HELLO_ROOM };
	struct why why = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.text, sizeof why.text, fmt, ap);
	va_end(ap);
	why.exit = EX_TEMPFAIL;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &room, sizeof room);
	desk_answer(fd, LATER, "", &why);
	desk_hang_up(fd);
}

/* The hello first, so that his program works while the clerk is being made. */
static void
serve(struct service *s, int fd, const struct ucred *who)
{
	const struct timeval room = { 0, HELLO_ROOM };
	pid_t pid;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &room, sizeof room);
	if (!desk_write(fd, DESK_HELLO, greetings_for(&s->greetings, who->uid))) {
		desk_hang_up(fd);
		return;
	}
	pid = spare_hand(&s->spare, fd);
	if (s->spare.pid == 0 && s->spare_at == 0)
		s->spare_at = clock_now() + SPARE_PAUSE;
	if (pid == 0) {
		/* The clerk cannot once he is shut in, and in him it would cost ten times as
		 * much. */
		tzset();
		pid = fork();
		if (pid == 0)
			be_clerk(s, fd, who);
	}
	if (pid < 0) {
		int error = errno;

		log_event(LOG_ERR, "cannot-start", "what", "clerk", "reason", strerror(error), NULL);
		turn_away(fd, "the service cannot start a clerk (%s); try again later", strerror(error));
		return;
	}
	callers_began(&s->callers, pid, who->uid);
	desk_hang_up(fd);
}

/* His place; where there is none, those who were tired of waiting are sent off first.  Not at
 * each one's coming: a crowd would make us look at everybody all the time. */
static enum callers_place
find_place(struct service *s, int fd, uid_t uid, unsigned *others)
{
	enum callers_place place = callers_come(&s->callers, fd, uid, others);

	if (place != CALLERS_TOO_MANY || clock_now() < s->sweep_at)
		return place;
	s->sweep_at = clock_now() + SWEEP_PAUSE;
	return callers_sweep(&s->callers, desk_is_gone) > 0 ?
	    callers_come(&s->callers, fd, uid, others) : place;
}

static void
receive(struct service *s, int fd)
{
	enum callers_place place;
	unsigned others;
	struct ucred who;
	char number[12];

	if (!ask_who(fd, &who)) {
		desk_hang_up(fd);
		return;
	}
	place = find_place(s, fd, who.uid, &others);
	if (place == CALLERS_NOW)
		serve(s, fd, &who);
	if (place != CALLERS_TOO_MANY)
		return;
	if (callers_tell(&s->callers, who.uid) && usage_complain(s->usage, who.uid, time(NULL)) > 0) {
		snprintf(number, sizeof number, "%lu", (unsigned long)who.uid);
		log_event(LOG_WARNING, "busy", "uid", number, NULL);
	}
	turn_away(fd, "the service is busy: %u others of yours wait already; try again later", others);
}

/* Out of descriptors or memory: they come back, and until then a loop would only burn. */
static void
pause_accepting(struct service *s, int error)
{
	if (!s->full)
		log_event(LOG_ERR, "accept", "reason", strerror(error), NULL);
	s->full = true;
	s->accept_at = clock_now() + ACCEPT_PAUSE;
}

static void
accept_callers(struct service *s)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(s->premises.door, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			s->full = false;
			receive(s, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			pause_accepting(s, errno);
			return;
		}
	}
}

static void
serve_waiting(struct service *s)
{
	struct caller c;
	struct ucred who;

	while (callers_next(&s->callers, &c)) {
		/* One who has hung up cannot be greeted. */
		if (!ask_who(c.fd, &who))
			desk_hang_up(c.fd);
		else
			serve(s, c.fd, &who);
	}
}

/* ---- leaving ---------------------------------------------------------------------------------------- */

static void
signal_clerks(const struct service *s, int sig)
{
	for (unsigned i = 0; i < s->callers.clerks; i++)
		kill(callers_clerk(&s->callers, i), sig);
}

static void
leave(struct service *s)
{
	struct caller c;

	if (s->leaving)
		return;
	s->leaving = true;
	s->clerks_until = clock_now() + CLERKS_TIME;
	manager_tell("STOPPING=1");
	premises_close_door(&s->premises);
	while (callers_any(&s->callers, &c))
		turn_away(c.fd, "the service is being stopped or restarted; try again later");
	signal_clerks(s, SIGTERM);
	roster_dismiss(&s->roster, false);
	change_spare(s);
}

static bool
has_left(const struct service *s)
{
	return s->leaving && s->callers.clerks == 0 && roster_is_empty(&s->roster);
}

/* ---- the loop ----------------------------------------------------------------------------------------- */

static void
hear_signals(struct service *s)
{
	struct signalfd_siginfo info;
	bool hup = false, term = false;

	while (read(s->signals, &info, sizeof info) == sizeof info) {
		hup = hup || info.ssi_signo == SIGHUP;
		term = term || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
	}
	reap(s);
	if (term)
		leave(s);
	if (hup && !s->leaving)
		reread_config(s);
}

/* How long until something is to be done, in *room; NULL: nothing ever, of itself. */
static struct timespec *
next_wait(const struct service *s, struct timespec *room)
{
	const double moments[] = {
		s->accept_at,
		s->spare_at,
		s->leaving ? 0 : roster_due_at(&s->roster),
		s->leaving && s->callers.clerks > 0 ? s->clerks_until : 0,
	};
	double first = 0, wait;

	for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++)
		if (moments[i] > 0 && (first == 0 || moments[i] < first))
			first = moments[i];
	if (first == 0)
		return NULL;
	wait = first - clock_now();
	if (wait < 0)
		wait = 0;
	*room = (struct timespec){ (time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9) };
	return room;
}

static void
turn(struct service *s)
{
	struct pollfd p[] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = s->accept_at > 0 ? -1 : s->premises.door, .events = POLLIN },
		{ .fd = s->roster.starter, .events = POLLIN },
		{ .fd = roster_may_wake(&s->roster) && !s->leaving ? s->wake.fd : -1, .events = POLLIN },
		{ .fd = s->leaving ? -1 : s->watch.fd, .events = POLLIN },
	};
	struct timespec room;

	if (ppoll(p, sizeof p / sizeof p[0], next_wait(s, &room), NULL) < 0 && errno != EINTR) {
		struct timespec pause = { (time_t)POLL_PAUSE, 0 };

		log_event(LOG_ERR, "poll", "reason", strerror(errno), NULL);
		nanosleep(&pause, NULL);
		return;
	}
	/* A request is heard before the end of who asked for it. */
	if (p[2].revents != 0)
		roster_serve(&s->roster);
	if (p[0].revents != 0)
		hear_signals(s);
	if (p[4].revents != 0 && watch_has_changed(&s->watch) && !s->leaving)
		reread_config(s);
	if (!s->leaving && roster_wants_runner(&s->roster, p[3].revents != 0))
		start_runner(s);
	if (s->accept_at > 0 && clock_now() >= s->accept_at)
		s->accept_at = 0;
	if (!s->leaving) {
		serve_waiting(s);
		if (p[1].revents != 0)
			accept_callers(s);
	} else if (s->clerks_until > 0 && clock_now() >= s->clerks_until) {
		signal_clerks(s, SIGKILL);
		s->clerks_until = 0;
	}
	/* Not while somebody comes: then a clerk is made for him as quickly. */
	if (s->spare_at > 0 && p[1].revents == 0 && clock_now() >= s->spare_at)
		make_spare(s);
}

/* ---- from first to last ------------------------------------------------------------------------------- */

static enum outcome
open_queue(struct service *s, struct why *why)
{
	struct buf missing = { 0 };
	enum outcome o;

	if ((o = spool_open(&s->spool, s->config.directory, s->config.path, why)) != DONE ||
	    (o = premises_lock(&s->premises, &s->spool, why)) != DONE)
		return o;
	open_log(s);
	if (wake_bind(&s->spool, &s->wake) < 0)
		return later(why, SCOPE_NONE, "", "cannot make the socket %s/runner: %s", s->spool.path,
		    strerror(errno));
	s->usage = usage_make();
	if (s->usage == NULL)
		return later(why, SCOPE_NONE, "", "no memory to share: %s", strerror(errno));
	fence_make(&s->fence, s->spool.path, &missing);
	if (missing.len > 0)
		log_event(LOG_WARNING, "fence", "missing", buf_c(&missing), NULL);
	buf_free(&missing);
	return DONE;
}

static enum outcome
open_service(struct service *s, const char *account, struct why *why)
{
	enum outcome o;

	if ((o = premises_take_account(&s->premises, account, why)) != DONE ||
	    (o = config_load_service(&s->config, &s->config_path, why)) != DONE ||
	    (o = premises_make_directories(&s->premises, &s->config, why)) != DONE)
		return o;
	name_config(s);
	s->signals = catch_signals();
	if (s->signals < 0)
		return later(why, SCOPE_NONE, "", "cannot be told to leave: signalfd: %s", strerror(errno));
	if ((o = open_queue(s, why)) != DONE ||
	    (o = premises_open(&s->premises, s->config.service.socket, why)) != DONE)
		return o;
	apply_config(s);
	if (config_is_stale(&s->config))
		reread_config(s);
	return DONE;
}

static void
close_service(struct service *s)
{
	wake_hide(&s->spool, &s->wake);
	wake_close(&s->wake);
	premises_free(&s->premises);
	watch_free(&s->watch);
	fence_free(&s->fence);
	usage_free(s->usage);
	callers_free(&s->callers);
	spare_dismiss(&s->spare);
	roster_free(&s->roster);
	greetings_free(&s->greetings);
	spool_close(&s->spool);
	config_free(&s->config);
	buf_free(&s->config_path);
	if (s->signals >= 0)
		close(s->signals);
	log_to(-1);
	if (s->log >= 0)
		close(s->log);
}

enum outcome
service_run(const char *account, struct why *why)
{
	struct service s = { .premises = PREMISES_INIT, .spool = SPOOL_INIT, .wake = { .fd = -1 },
		.spare = SPARE_INIT, .fence = FENCE_INIT, .watch = WATCH_INIT, .signals = -1, .log = -1,
		.roster = ROSTER_INIT,
		.callers = { .caps = { SERVICE_CLERKS_UID, SERVICE_CLERKS, SERVICE_WAITING_UID,
		SERVICE_WAITING } } };
	enum outcome o;

	/* Before anything is read: a password command runs in what is left. */
	premises_inherit(&s.premises);
	manager_forget();
	wake_clean_environment();
	umask(077);
	raise_limit();
	tzset();
	o = open_service(&s, account, why);
	if (o == DONE) {
		log_event(LOG_NOTICE, "open", "socket", s.config.service.socket, "queue", s.spool.path, NULL);
		manager_tell("READY=1");
		change_spare(&s);
		while (!has_left(&s))
			turn(&s);
		log_event(LOG_NOTICE, "closed", "queue", s.spool.path, NULL);
	}
	close_service(&s);
	return o;
}
