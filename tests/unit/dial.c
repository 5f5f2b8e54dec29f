/* dial: addresses in turn, raced. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "dial.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FULL 8                  /* connections, more than a queue of none takes */

static struct dial_address
at(const char *text, unsigned port)
{
	struct dial_address a = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a.at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.at;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return a;
	}
	a.len = sizeof *v6;
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	return a;
}

/* A socket that listens on that address, and its port. */
static int
listen_on(const char *text, int backlog, unsigned *port)
{
	struct dial_address a = at(text, 0);
	int fd = socket(a.at.ss_family, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a.at, a.len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a.at, &a.len), 0);
	*port = ntohs(((struct sockaddr_in *)&a.at)->sin_port);
	return fd;
}

/* One that nobody answers at, though nothing is refused: its queue is full. */
struct hole {
	int listener, v[FULL];
	unsigned port;
};

static void
dig(struct hole *h, const char *text)
{
	struct dial_address a;

	h->listener = listen_on(text, 0, &h->port);
	a = at(text, h->port);
	for (int i = 0; i < FULL; i++) {
		h->v[i] = socket(a.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(h->v[i], (struct sockaddr *)&a.at, a.len);
	}
}

static void
fill_in(struct hole *h)
{
	for (int i = 0; i < FULL; i++)
		close(h->v[i]);
	close(h->listener);
}

static unsigned
closed_port(void)
{
	unsigned port;
	int fd = listen_on("127.0.0.1", 1, &port);

	close(fd);
	return port;
}

static unsigned
port_of_peer(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof a;

	assert_int_equal(getpeername(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

/* "46 4": the kinds of a list in their order. */
static void
expect_order(const char *given, const char *wanted)
{
	struct addrinfo list[32] = { 0 };
	struct dial_address got[DIAL_ADDRESSES_MAX], from[32];
	struct buf order = { 0 };
	unsigned n;

	for (unsigned i = 0; given[i] != '\0'; i++) {
		from[i] = given[i] == '6' ? at("::1", i + 1) : at("127.0.0.1", i + 1);
		list[i] = (struct addrinfo){ .ai_family = from[i].at.ss_family, .ai_addrlen = from[i].len,
			.ai_addr = (struct sockaddr *)&from[i].at,
			.ai_next = given[i + 1] != '\0' ? &list[i + 1] : NULL };
	}
	n = dial_order(given[0] != '\0' ? list : NULL, got);
	for (unsigned i = 0; i < n; i++)
		buf_addf(&order, "%s%u", i > 0 ? " " : "",
		    ntohs(((struct sockaddr_in *)&got[i].at)->sin_port));
	assert_string_equal(buf_c(&order), wanted);
	buf_free(&order);
}

static void
the_two_kinds_take_turns_and_keep_their_order(void **state)
{
	static const struct {
		const char *given, *wanted;
	} rows[] = {
		{ "", "" }, { "4", "1" }, { "66", "1 2" }, { "64", "1 2" }, { "6644", "1 3 2 4" },
		{ "4466", "1 3 2 4" }, { "66644", "1 4 2 5 3" }, { "64444", "1 2 3 4 5" },
		/* 16 in all, and the other kind is among them. */
		{ "666666666666666666664", "1 21 2 3 4 5 6 7 8 9 10 11 12 13 14 15" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_order(rows[i].given, rows[i].wanted);
}

static void
the_first_that_answers_is_taken(void **state)
{
	unsigned port, other;
	int listener = listen_on("127.0.0.1", 8, &port), second = listen_on("127.0.0.1", 8, &other), fd;
	struct dial_address v[] = { at("127.0.0.1", port), at("127.0.0.1", other) };
	int on = 0;
	socklen_t len = sizeof on;

	(void)state;
	fd = dial_race(v, 2, NULL, 5);
	assert_true(fd >= 0);
	assert_int_equal(port_of_peer(fd), port);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(on, 1);
	/* The second was never asked. */
	assert_int_equal(fcntl(second, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(accept(second, NULL, NULL), -1);
	close(fd);
	close(listener);
	close(second);
}

static void
a_refusal_lets_the_next_begin_at_once(void **state)
{
	unsigned port;
	int listener = listen_on("127.0.0.1", 8, &port), fd;
	struct dial_address v[DIAL_ADDRESSES_MAX];
	double begun = clock_now();

	(void)state;
	for (unsigned i = 0; i + 1 < DIAL_ADDRESSES_MAX; i++)
		v[i] = at("127.0.0.1", closed_port());
	v[DIAL_ADDRESSES_MAX - 1] = at("127.0.0.1", port);
	fd = dial_race(v, DIAL_ADDRESSES_MAX, NULL, 30);
	assert_true(fd >= 0);
	assert_int_equal(v[0].error, ECONNREFUSED);
	/* Fifteen head starts would be almost four seconds. */
	assert_true(clock_now() - begun < 3.7);
	close(fd);
	close(listener);
}

static void
one_that_is_swallowed_costs_a_moment(void **state)
{
	struct hole hole;
	unsigned port;
	int listener = listen_on("127.0.0.1", 8, &port), fd;
	struct dial_address v[2];
	double begun = clock_now(), took;

	(void)state;
	dig(&hole, "127.0.0.1");
	v[0] = at("127.0.0.1", hole.port);
	v[1] = at("127.0.0.1", port);
	fd = dial_race(v, 2, NULL, 30);
	took = clock_now() - begun;
	assert_true(fd >= 0);
	assert_int_equal(port_of_peer(fd), port);
	assert_true(took >= 0.24);
	assert_true(took < 10);
	close(fd);
	close(listener);
	fill_in(&hole);
}

static void
all_that_are_swallowed_time_out_side_by_side(void **state)
{
	struct hole holes[3];
	struct dial_address v[3];
	double begun = clock_now();

	(void)state;
	for (int i = 0; i < 3; i++) {
		dig(&holes[i], "127.0.0.1");
		v[i] = at("127.0.0.1", holes[i].port);
	}
	assert_int_equal(dial_race(v, 3, NULL, 2), -1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(v[i].error, ETIMEDOUT);
		fill_in(&holes[i]);
	}
	/* 2 s, and two head starts before the last; one after the other would be 6. */
	assert_true(clock_now() - begun >= 2.4);
	assert_true(clock_now() - begun < 5.9);
}

static void
no_socket_is_left_of_those_who_lost(void **state)
{
	struct hole hole;
	unsigned port;
	int listener = listen_on("127.0.0.1", 8, &port), fd, before, after;
	struct dial_address v[2];

	(void)state;
	dig(&hole, "127.0.0.1");
	before = dup(0);
	close(before);
	v[0] = at("127.0.0.1", hole.port);
	v[1] = at("127.0.0.1", port);
	fd = dial_race(v, 2, NULL, 30);
	close(fd);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	close(listener);
	fill_in(&hole);
}

static enum outcome
call(int *fd, const char *host, unsigned port, enum family family, const char *source,
    struct why *why)
{
	return dial(fd, &(struct dial_terms){ .host = host, .port = port, .family = family,
	    .source = source, .seconds = 5 }, why);
}

static void
assert_says(const struct why *why, const char *words)
{
	if (strstr(why->text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why->text, words);
}

static void
our_own_address_is_the_one_that_was_asked_for(void **state)
{
	unsigned port;
	int listener = listen_on("127.0.0.1", 8, &port), fd = -1;
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	char text[INET6_ADDRSTRLEN];
	struct why why = { 0 };

	(void)state;
	assert_int_equal(call(&fd, "127.0.0.1", port, FAMILY_ANY, "127.0.0.9", &why), DONE);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	dial_show(&a, text, sizeof text);
	assert_string_equal(text, "127.0.0.9");
	close(fd);
	close(listener);
}

static void
what_cannot_be_is_told_with_the_next_step(void **state)
{
	static const struct {
		const char *host;
		enum family family;
		const char *source;
		enum scope scope;
		const char *words;
	} rows[] = {
		{ "127.0.0.1", FAMILY_ANY, "192.0.2.77", SCOPE_SERVER, "is source an address of this machine?" },
		{ "127.0.0.1", FAMILY_IPV6, "", SCOPE_SERVER, "cannot resolve 127.0.0.1 to an IPv6 address" },
		{ "::1", FAMILY_IPV4, "", SCOPE_SERVER, "check host, family and source in the configuration" },
		{ "::1", FAMILY_ANY, "127.0.0.1", SCOPE_SERVER, "cannot resolve ::1 to an IPv4 address" },
		{ "127.0.0.1", FAMILY_IPV4, "::1", SCOPE_ACCOUNT, "source = ::1 cannot be used" },
		{ "127.0.0.1", FAMILY_ANY, "", SCOPE_SERVER, "cannot reach 127.0.0.1:1: 127.0.0.1: Connection refused" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why = { 0 };
		int fd = -1;

		assert_int_equal(call(&fd, rows[i].host, 1, rows[i].family, rows[i].source, &why), LATER);
		assert_int_equal(why.scope, rows[i].scope);
		assert_says(&why, rows[i].words);
		assert_int_equal(fd, -1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_two_kinds_take_turns_and_keep_their_order),
		cmocka_unit_test(the_first_that_answers_is_taken),
		cmocka_unit_test(a_refusal_lets_the_next_begin_at_once),
		cmocka_unit_test(one_that_is_swallowed_costs_a_moment),
		cmocka_unit_test(all_that_are_swallowed_time_out_side_by_side),
		cmocka_unit_test(no_socket_is_left_of_those_who_lost),
		cmocka_unit_test(our_own_address_is_the_one_that_was_asked_for),
		cmocka_unit_test(what_cannot_be_is_told_with_the_next_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
