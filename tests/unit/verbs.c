/* verbs: everybody sees and steers mail of their own; whose it is not, it does not
 * exist for them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "health.h"
#include "verbs.h"
#include "wake.h"

#define COUNT(a) (sizeof (a) / sizeof (a)[0])

#define USER 1000
#define OTHER 2000
#define SERVICE 990
#define ID "0GT2C3D4E5F6AAAAAAAA"
#define ID_B "0GT2C3D4E5F6BBBBBBBB"
#define ID_C "0GT2C3D4E5F6CCCCCCCC"
#define ABSENT "0GT2C3D4E5F6ZZZZZZZZ"

/* Who asks, in the order of the tables' columns. */
static const struct asker askers[] = {
	{ .uid = USER, .all = true, .own = true },
	{ .uid = USER },
	{ .uid = OTHER },
	{ .uid = USER, .nobody = true },
	{ .uid = 0, .all = true },
};
enum { OWNER, USERS, OTHERS, NOBODYS, OPERATORS };

struct world {
	char root[64];
	struct spool s;
	struct wake wake;
	struct config config;
	char *said;             /* of the last question */
	size_t len;
	struct why why;
};

static void
queue(struct world *w, const char *id, uid_t uid, const char *sender)
{
	char from[40], to0[] = "b@example.org", to1[] = "c@example.org";
	struct recipient to[] = { { .address = to0 }, { .address = to1 } };
	struct envelope e = { .arrived = time(NULL) - 1000, .uid = uid, .from = from, .to = to, .n = 2 };
	struct draft d = { 0 };

	snprintf(from, sizeof from, "%s", sender);
	snprintf(e.id, sizeof e.id, "%s", id);
	assert_int_equal(spool_begin(&w->s, &d, &e, &w->why), DONE);
	assert_int_equal(spool_text(&d, STR("Subject: x\n\nsecret body\n"), &w->why), DONE);
	assert_int_equal(spool_commit(&w->s, &d, &w->why), DONE);
	spool_release(&w->s, &d);
}

/* What a table's message is: 'm' mine, 't' theirs, 'r' a report, 'd' damaged, 'h' mine
 * and held, 'f' mine and given up. */
static void
make(struct world *w, char kind)
{
	struct fate f = { 0 };
	int fd;

	queue(w, ID, kind == 't' ? OTHER : kind == 'r' ? SERVICE : USER, kind == 'r' ? "" : "a@example.org");
	fate_init(&f, 2);
	if (kind == 'h') {
		f.held = true;
		snprintf(f.hold_reason, sizeof f.hold_reason, "looked at");
		assert_int_equal(spool_set_fate(&w->s, ID, &f, &w->why), DONE);
	} else if (kind == 'f') {
		assert_int_equal(spool_fail(&w->s, ID, &f, &w->why), DONE);
	} else if (kind == 'd') {
		fd = openat(w->s.queue, ID, O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "9", 1, 9), 1);
		close(fd);
	}
	fate_free(&f);
}

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	char dir[80];

	snprintf(w->root, sizeof w->root, "/tmp/subpost-verbs-XXXXXX");
	if (mkdtemp(w->root) == NULL)
		return -1;
	snprintf(dir, sizeof dir, "%s/spool", w->root);
	w->s = (struct spool)SPOOL_INIT;
	w->wake = (struct wake){ .fd = -1 };
	*state = w;
	config_defaults(&w->config);
	if (spool_open(&w->s, dir, "/home/u/subpost.ini", &w->why) != DONE)
		return -1;
	/* Somebody listens, so that no runner is started; what he hears is looked at. */
	return wake_bind(&w->s, &w->wake);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	wake_close(&w->wake);
	spool_close(&w->s);
	config_free(&w->config);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w->said);
	free(w);
	return 0;
}

static enum outcome
ask(struct world *w, const struct asker *who, const char *words)
{
	char room[200], *rest = room, *list[8];
	enum outcome o;
	size_t n = 0;
	FILE *out;

	snprintf(room, sizeof room, "%s", words);
	while ((list[n] = strsep(&rest, " ")) != NULL && n < COUNT(list) - 1)
		n += list[n][0] != '\0';
	list[n] = NULL;
	free(w->said);
	w->said = NULL;
	w->why = (struct why){ 0 };
	out = open_memstream(&w->said, &w->len);
	o = verbs_run(&w->s, &w->config, who, list, out, &w->why);
	fclose(out);
	return o;
}

static int
status_of(struct world *w, const struct asker *who, const char *words)
{
	enum outcome o = ask(w, who, words);

	return outcome_exit(o, &w->why);
}

/* What the runner was told, one word behind the other, separated by "|". */
static const char *
told(struct world *w)
{
	static char all[400];
	struct buf words = { 0 };
	size_t n = 0;

	all[0] = '\0';
	while (wake_receive(w->wake.fd, &words) && n < sizeof all)
		n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n > 0 ? "|" : "", buf_c(&words));
	buf_free(&words);
	return all;
}

/* All names of queue/ and failed/ and the fate of the message. */
static void
describe(struct world *w, struct buf *out)
{
	static const enum spool_place places[] = { SPOOL_QUEUE, SPOOL_FAILED };
	const struct asker all = { .all = true };

	for (size_t p = 0; p < 2; p++) {
		struct ids ids;

		assert_int_equal(spool_list(&w->s, places[p], &ids, &w->why), DONE);
		for (size_t i = 0; i < ids.n; i++) {
			struct letter l = LETTER_INIT;
			enum spool_place place;

			assert_int_equal(steer_find(&w->s, &all, ids.v[i], false, &l, &place, &w->why), DONE);
			buf_addf(out, "%zu %s ", p, ids.v[i]);
			fate_write(&l.fate, out);
			spool_letter_free(&l);
		}
		spool_ids_free(&ids);
	}
}

static void
set_health(struct world *w, time_t until, const char *text)
{
	struct standing st = { .account = { .down = true, .step = 1, .since = 1000, .until = until } };

	snprintf(st.account.why.text, sizeof st.account.why.text, "%s", text);
	st.account.why.scope = SCOPE_SENDER;
	assert_int_equal(health_store(&w->s, w->config.smarthost.name, &st, &w->why), DONE);
}

/* Every verb, of every kind of message, by everybody. */
static void
each_may_do_with_mail_of_their_own_what_all_may_do_with_all(void **state)
{
	static const struct {
		const char *verb;
		char kind;
		int status[COUNT(askers)];      /* owner, user, other, nobody, operator */
	} rows[] = {
		{ "show", 'm', { 0, 0, 66, 66, 0 } }, { "show", 't', { 0, 66, 0, 66, 0 } },
		{ "show", 'r', { 0, 66, 66, 66, 0 } }, { "show", 'd', { 0, 66, 66, 66, 0 } },
		{ "show", 'h', { 0, 0, 66, 66, 0 } }, { "show", 'f', { 0, 0, 66, 66, 0 } },
		{ "retry", 'm', { 0, 0, 66, 66, 0 } }, { "retry", 't', { 0, 66, 0, 66, 0 } },
		{ "retry", 'r', { 0, 66, 66, 66, 0 } }, { "retry", 'd', { 65, 66, 66, 66, 65 } },
		{ "retry", 'h', { 0, 0, 66, 66, 0 } }, { "retry", 'f', { 0, 0, 66, 66, 0 } },
		{ "flush", 'm', { 0, 0, 66, 66, 0 } }, { "flush", 't', { 0, 66, 0, 66, 0 } },
		{ "flush", 'd', { 65, 66, 66, 66, 65 } },
		{ "hold", 'm', { 0, 0, 66, 66, 0 } }, { "hold", 't', { 0, 66, 0, 66, 0 } },
		{ "hold", 'r', { 0, 66, 66, 66, 0 } }, { "hold", 'd', { 65, 66, 66, 66, 65 } },
		{ "hold", 'h', { 0, 0, 66, 66, 0 } }, { "hold", 'f', { 65, 65, 66, 66, 65 } },
		{ "release", 'm', { 66, 66, 66, 66, 66 } }, { "release", 't', { 66, 66, 66, 66, 66 } },
		{ "release", 'd', { 65, 66, 66, 66, 65 } },
		{ "release", 'h', { 0, 0, 66, 66, 0 } }, { "release", 'f', { 66, 66, 66, 66, 66 } },
		{ "delete", 'm', { 0, 0, 66, 66, 0 } }, { "delete", 't', { 0, 66, 0, 66, 0 } },
		{ "delete", 'r', { 0, 66, 66, 66, 0 } }, { "delete", 'd', { 0, 66, 66, 66, 0 } },
		{ "delete", 'h', { 0, 0, 66, 66, 0 } }, { "delete", 'f', { 0, 0, 66, 66, 0 } },
	};
	struct world *w = *state;
	const struct asker all = { .all = true };

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t a = 0; a < COUNT(askers); a++) {
			bool theirs = askers[a].all || (!askers[a].nobody && strchr("dr", rows[i].kind) == NULL &&
			    askers[a].uid == (rows[i].kind == 't' ? OTHER : USER));
			struct buf before = { 0 }, after = { 0 };
			char words[40], none[80];
			int status;

			make(w, rows[i].kind);
			describe(w, &before);
			snprintf(words, sizeof words, "%s %s", rows[i].verb, ID);
			status = status_of(w, &askers[a], words);
			if (status != rows[i].status[a])
				fail_msg("%s of '%c' by asker %zu: %d, not %d: %s", rows[i].verb, rows[i].kind, a,
				    status, rows[i].status[a], w->why.text);
			if (!theirs) {
				/* Neither answer nor queue tell it from one that is not there. */
				snprintf(none, sizeof none, "%s is not in the queue", ID);
				assert_string_equal(w->why.text, none);
				assert_int_equal(w->len, 0);
				assert_string_equal(told(w), "");
				describe(w, &after);
				assert_string_equal(buf_c(&before), buf_c(&after));
			}
			told(w);
			/* What is damaged is looked at and removed alike. */
			ask(w, &all, "delete " ID);
			told(w);
			buf_free(&before);
			buf_free(&after);
		}
	}
}

static void
mail_of_others_is_answered_as_mail_that_is_not_there(void **state)
{
	static const char *const verbs[] = { "show", "retry", "flush", "hold", "release", "delete" };
	struct world *w = *state;

	queue(w, ID, OTHER, "a@example.org");
	for (size_t i = 0; i < COUNT(verbs); i++) {
		struct why foreign;
		char words[40];
		enum outcome o;

		snprintf(words, sizeof words, "%s " ID, verbs[i]);
		o = ask(w, &askers[USERS], words);
		foreign = w->why;
		snprintf(words, sizeof words, "%s " ABSENT, verbs[i]);
		assert_int_equal(ask(w, &askers[USERS], words), o);
		assert_int_equal(w->why.exit, foreign.exit);
		assert_int_equal(w->why.scope, foreign.scope);
		/* But for the id. */
		assert_string_equal(w->why.text + ENVELOPE_ID_LEN, foreign.text + ENVELOPE_ID_LEN);
	}
}

/* To find out that it is being sent would be to find out that it is there. */
static void
a_lock_on_mail_of_others_is_not_waited_for(void **state)
{
	struct world *w = *state;
	struct letter l = LETTER_INIT;

	queue(w, ID, OTHER, "a@example.org");
	assert_int_equal(spool_read(&w->s, SPOOL_QUEUE, ID, &l, &w->why), DONE);
	assert_true(spool_lock(&l));
	assert_int_equal(status_of(w, &askers[USERS], "delete " ID), EX_NOINPUT);
	assert_int_equal(status_of(w, &askers[OTHERS], "hold " ID), EX_TEMPFAIL);
	assert_non_null(strstr(w->why.text, "being sent just now"));
	spool_letter_free(&l);
}

static void
a_list_shows_what_is_the_askers(void **state)
{
	static const bool seen[COUNT(askers)][3] = {
		[OWNER] = { true, true, true }, [USERS] = { true, false, false },
		[OTHERS] = { false, true, false }, [NOBODYS] = { false, false, false },
		[OPERATORS] = { true, true, true },
	};
	static const char *const ids[] = { ID, ID_B, ID_C };
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	queue(w, ID_B, OTHER, "theirs@example.org");
	queue(w, ID_C, SERVICE, "");
	for (size_t a = 0; a < COUNT(askers); a++) {
		size_t n = 0;

		for (size_t i = 0; i < COUNT(ids); i++) {
			assert_int_equal(ask(w, &askers[a], "list"), DONE);
			assert_int_equal(strstr(w->said, ids[i]) != NULL, seen[a][i]);
			assert_int_equal(ask(w, &askers[a], "list json"), DONE);
			assert_int_equal(strstr(w->said, ids[i]) != NULL, seen[a][i]);
			n += seen[a][i];
		}
		assert_int_equal(strstr(w->said, "theirs@") != NULL, seen[a][1]);
		if (n == 0) {
			assert_string_equal(w->said, "[]\n");
			ask(w, &askers[a], "list");
			assert_string_equal(w->said, "no mail of yours is in the queue\n");
		}
	}
}

static void
the_accounts_state_is_told_without_addresses_of_others(void **state)
{
	struct world *w = *state;
	static const char *const words[] = { "list", "list json", "status", "status json", ("show " ID) };

	queue(w, ID, USER, "mine@example.org");
	set_health(w, time(NULL) + 600, "MAIL answered: 550 5.7.60 sender <eve@example.org> or eve@x.example "
	    "not permitted; ask them");
	for (size_t i = 0; i < COUNT(words); i++) {
		assert_int_equal(ask(w, &askers[USERS], words[i]), DONE);
		assert_non_null(strstr(w->said, "550 5.7.60 sender <...> or <...> not permitted; ask them"));
		assert_null(strstr(w->said, "eve"));
		assert_int_equal(ask(w, &askers[OPERATORS], words[i]), DONE);
		assert_non_null(strstr(w->said, "eve@x.example"));
	}
}

static void
who_retries_lifts_the_accounts_pause_only_where_it_is_theirs(void **state)
{
	static const struct {
		int who;
		const char *words, *told, *said;        /* said: a part of it; "" nothing */
	} rows[] = {
		{ OWNER, "retry " ID, "retry", "" },
		{ OWNER, "retry", "retry", "" },
		{ OWNER, "flush", "retry", "2 messages are tried now\n" },
		{ OWNER, "flush " ID, "retry", ID " is tried now\n" },
		{ OPERATORS, "retry " ID, "retry", "" },
		{ OPERATORS, "retry all", "retry", "" },
		{ OPERATORS, "flush", "retry", "2 messages are tried now\n" },
		{ USERS, "retry " ID, "wake " ID " 1000", "the account waits until " },
		{ USERS, "retry", "wake " ID " 1000", "only an operator can try sooner\n" },
		{ USERS, "retry all", "wake " ID " 1000", "the account waits until " },
		{ USERS, "flush", "wake " ID " 1000", "1 message is due\nthe account waits until " },
		{ USERS, "flush verbose " ID, "wake " ID " 1000", ID " is due\nthe account waits until " },
		{ NOBODYS, "retry", "", "" },
		{ NOBODYS, "flush", "", "" },
		{ NOBODYS, "flush verbose", "", "no mail of yours is in the queue\n" },
	};
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	queue(w, ID_B, OTHER, "theirs@example.org");
	set_health(w, time(NULL) + 600, "away");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fate f = { 0 };

		fate_init(&f, 2);
		f.next = time(NULL) + 3600;
		assert_int_equal(spool_set_fate(&w->s, ID, &f, &w->why), DONE);
		assert_int_equal(spool_set_fate(&w->s, ID_B, &f, &w->why), DONE);
		fate_free(&f);
		assert_int_equal(ask(w, &askers[rows[i].who], rows[i].words), DONE);
		assert_string_equal(told(w), rows[i].told);
		assert_int_equal(w->len > 0, rows[i].said[0] != '\0');
		assert_non_null(strstr(w->said, rows[i].said));
	}
}

static void
an_account_that_is_up_is_no_reason_to_wait(void **state)
{
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	assert_int_equal(ask(w, &askers[USERS], "retry"), DONE);
	assert_string_equal(w->said, "");
	assert_int_equal(ask(w, &askers[USERS], "flush"), DONE);
	assert_string_equal(w->said, "1 message is tried now\n");
	set_health(w, time(NULL) - 5, "away");
	assert_int_equal(ask(w, &askers[USERS], "retry"), DONE);
	assert_string_equal(w->said, "");
}

static void
what_was_done_before_one_failed_is_told_to_the_runner(void **state)
{
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	queue(w, ID_B, OTHER, "theirs@example.org");
	assert_int_equal(status_of(w, &askers[USERS], "retry " ID " " ID_B), EX_NOINPUT);
	assert_string_equal(told(w), "wake " ID " 1000");
	assert_int_equal(status_of(w, &askers[OWNER], "retry " ID " " ABSENT), EX_NOINPUT);
	assert_string_equal(told(w), "retry");
	assert_int_equal(status_of(w, &askers[USERS], "retry " ID_B " " ID), EX_NOINPUT);
	assert_string_equal(told(w), "");
}

static void
what_is_held_says_so_until_it_is_released(void **state)
{
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	assert_int_equal(ask(w, &askers[USERS], "hold " ID), DONE);
	assert_string_equal(told(w), "wake " ID " 1000");
	ask(w, &askers[USERS], "list");
	assert_non_null(strstr(w->said, " held    held by uid 1000\n"));
	ask(w, &askers[USERS], "list json");
	assert_non_null(strstr(w->said, "\"state\":\"held\""));
	ask(w, &askers[USERS], "show " ID);
	assert_non_null(strstr(w->said, "held       held by uid 1000\n"));
	assert_int_equal(ask(w, &askers[USERS], "flush"), DONE);
	told(w);
	assert_int_equal(ask(w, &askers[OPERATORS], "release " ID), DONE);
	assert_string_equal(told(w), "wake " ID);
	ask(w, &askers[USERS], "list");
	assert_null(strstr(w->said, "held"));
	assert_int_equal(status_of(w, &askers[OPERATORS], "release " ID), EX_NOINPUT);
	assert_non_null(strstr(w->why.text, "is not held"));
}

static void
a_status_counts_what_is_the_askers(void **state)
{
	struct world *w = *state;
	struct fate f = { 0 };
	char part[200];

	queue(w, ID, USER, "mine@example.org");
	queue(w, ID_B, OTHER, "theirs@example.org");
	queue(w, ID_C, USER, "mine@example.org");
	fate_init(&f, 2);
	assert_int_equal(spool_fail(&w->s, ID_C, &f, &w->why), DONE);
	fate_free(&f);
	assert_int_equal(ask(w, &askers[OTHERS], "hold " ID_B), DONE);
	assert_int_equal(ask(w, &askers[USERS], "status"), DONE);
	assert_non_null(strstr(w->said, "office   service\n"));
	assert_non_null(strstr(w->said, "mail     1 waiting, 0 held, 1 failed, the oldest since "));
	assert_non_null(strstr(w->said, " (yours)\n"));
	assert_non_null(strstr(w->said, "account  default is up\n"));
	assert_non_null(strstr(w->said, "runner   none"));
	assert_null(strstr(w->said, w->s.path));
	assert_int_equal(ask(w, &askers[OWNER], "status"), DONE);
	assert_non_null(strstr(w->said, "office   own\n"));
	assert_non_null(strstr(w->said, "mail     1 waiting, 1 held, 1 failed"));
	snprintf(part, sizeof part, "queue    %s\n", w->s.path);
	assert_non_null(strstr(w->said, part));
	assert_int_equal(ask(w, &askers[OTHERS], "status json"), DONE);
	assert_ptr_equal(strstr(w->said, "{\"office\":\"service\",\"waiting\":0,\"held\":1,\"failed\":0,\"oldest\":"), w->said);
	assert_non_null(strstr(w->said, ",\"account\":{\"name\":\"default\",\"state\":\"up\",\"since\":0,\"until\":0,\"reason\":\"\"}"
	    ",\"accounts\":[{\"name\":\"default\",\"state\":\"up\",\"since\":0,"
	    "\"until\":0,\"reason\":\"\"}],\"runner\":{\"running\":false,\"pid\":0}}\n"));
	assert_int_equal(ask(w, &askers[NOBODYS], "status json"), DONE);
	assert_ptr_equal(strstr(w->said, "{\"office\":\"service\",\"waiting\":0,\"held\":0,\"failed\":0,\"oldest\":0,"), w->said);
}

static void
the_last_dialogue_is_shown_to_whom_the_message_is(void **state)
{
	struct world *w = *state;
	struct fate f;

	queue(w, ID, USER, "mine@example.org");
	assert_int_equal(ask(w, &askers[USERS], "show " ID), DONE);
	assert_null(strstr(w->said, "dialogue"));
	assert_int_equal(ask(w, &askers[USERS], "show json " ID), DONE);
	assert_non_null(strstr(w->said, "\"account\":\"default\""));
	assert_non_null(strstr(w->said, "],\"dialogue\":[]}\n"));
	fate_init(&f, 2);
	fate_keep_dialogue(&f, STR(">>> MAIL FROM:<mine@example.org>\n<<< 451 4.3.0 \x1b[2J \"later\"\n"));
	assert_int_equal(spool_set_fate(&w->s, ID, &f, &w->why), DONE);
	fate_free(&f);
	assert_int_equal(ask(w, &askers[USERS], "show " ID), DONE);
	assert_non_null(strstr(w->said, "\ndialogue\n  >>> MAIL FROM:<mine@example.org>\n"
	    "  <<< 451 4.3.0 \\x1b[2J \"later\"\n\nSubject: x\n"));
	assert_int_equal(ask(w, &askers[USERS], "show json " ID), DONE);
	assert_non_null(strstr(w->said, ",\"dialogue\":[\">>> MAIL FROM:<mine@example.org>\","
	    "\"<<< 451 4.3.0 \\\\x1b[2J \\\"later\\\"\"]}\n"));
	/* Its text is nothing for a program that asks for facts. */
	assert_null(strstr(w->said, "secret body"));
	assert_int_equal(ask(w, &askers[USERS], "list json"), DONE);
	assert_null(strstr(w->said, "dialogue"));
	for (size_t i = OTHERS; i <= NOBODYS; i++) {
		assert_int_equal(outcome_exit(ask(w, &askers[i], "show json " ID), &w->why), 66);
		assert_string_equal(w->said, "");
	}
}

static void
what_is_deleted_is_logged_with_who_did_it(void **state)
{
	struct world *w = *state;
	char line[400] = "";
	int fd;

	queue(w, ID, USER, "mine@example.org");
	assert_int_equal(ask(w, &askers[OPERATORS], "delete " ID), DONE);
	assert_string_equal(told(w), "wake " ID);
	fd = openat(w->s.dir, "log", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, line, sizeof line - 1) > 0);
	close(fd);
	assert_non_null(strstr(line, ": deleted id=" ID " from=mine@example.org by=0\n"));
}

static void
what_is_no_question_is_refused(void **state)
{
	static const char *const rows[] = {
		"", "list all", "list json json", "queue", "LIST", "show", "show " ID " " ID, "show ../queue/" ID,
		"hold", "release", "delete", "status now", "flush " ID " " ID_B, "retry x", "hold -", "redirect " ID,
		"\x1b[2J",
	};
	struct world *w = *state;

	queue(w, ID, USER, "mine@example.org");
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(status_of(w, &askers[USERS], rows[i]), EX_USAGE);
		assert_int_equal(w->len, 0);
		assert_true(w->why.text[0] != '\0');
		assert_null(strchr(w->why.text, '\x1b'));
	}
	assert_string_equal(told(w), "");
}

#define IN_A_SPOOL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_SPOOL(each_may_do_with_mail_of_their_own_what_all_may_do_with_all),
		IN_A_SPOOL(mail_of_others_is_answered_as_mail_that_is_not_there),
		IN_A_SPOOL(a_lock_on_mail_of_others_is_not_waited_for),
		IN_A_SPOOL(a_list_shows_what_is_the_askers),
		IN_A_SPOOL(the_accounts_state_is_told_without_addresses_of_others),
		IN_A_SPOOL(who_retries_lifts_the_accounts_pause_only_where_it_is_theirs),
		IN_A_SPOOL(an_account_that_is_up_is_no_reason_to_wait),
		IN_A_SPOOL(what_was_done_before_one_failed_is_told_to_the_runner),
		IN_A_SPOOL(what_is_held_says_so_until_it_is_released),
		IN_A_SPOOL(a_status_counts_what_is_the_askers),
		IN_A_SPOOL(the_last_dialogue_is_shown_to_whom_the_message_is),
		IN_A_SPOOL(what_is_deleted_is_logged_with_who_did_it),
		IN_A_SPOOL(what_is_no_question_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
