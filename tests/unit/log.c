/* log: one line an event, whatever the values hold. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "log.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void __attribute__((sentinel))
format(struct buf *out, const char *event, ...)
{
	va_list pairs;

	va_start(pairs, event);
	log_format(out, event, pairs);
	va_end(pairs);
}

static void
expect(const char *value, const char *line)
{
	struct buf out = { 0 };

	format(&out, "sent", "text", value, NULL);
	assert_string_equal(buf_c(&out), line);
	buf_free(&out);
}

static void
a_line_is_the_event_then_its_pairs_in_order(void **state)
{
	struct buf out = { 0 };

	(void)state;
	format(&out, "sent", "id", "00AB", "to", "<a@b>", "code", "250", NULL);
	assert_string_equal(buf_c(&out), "sent id=00AB to=<a@b> code=250");
	buf_clear(&out);
	format(&out, "start", NULL);
	assert_string_equal(buf_c(&out), "start");
	buf_free(&out);
}

static void
a_pair_without_a_value_is_dropped(void **state)
{
	struct buf out = { 0 };

	(void)state;
	format(&out, "sent", "a", "", "b", (const char *)NULL, "c", "1", NULL);
	assert_string_equal(buf_c(&out), "sent c=1");
	buf_free(&out);
}

static void
a_value_is_quoted_where_a_reader_would_stumble(void **state)
{
	(void)state;
	expect("plain", "sent text=plain");
	expect("two words", "sent text=\"two words\"");
	expect("a=b", "sent text=\"a=b\"");
	expect("say \"hi\"", "sent text=\"say \\\"hi\\\"\"");
	expect("\"", "sent text=\"\\\"\"");
}

static void
no_value_can_close_its_own_quotes(void **state)
{
	(void)state;
	expect("x\\", "sent text=x\\");
	expect("x y\\", "sent text=\"x y\\\\\"");
	expect("x\\\" to=<forged@b>", "sent text=\"x\\\\\\\" to=<forged@b>\"");
}

static void
no_value_can_begin_a_line_or_move_the_cursor(void **state)
{
	static const char *const values[] = {
		"x\nsent id=forged", "x\r\nsent", "\x1b[2J", "\x9b""2J", "a\vb\fc", "\x7f",
		"\xe2\x80\xa8sent", "\xe2\x80\xae""txt", "\xc2\x9b""2J",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		struct buf out = { 0 };

		format(&out, "sent", "text", values[i], NULL);
		for (size_t k = 0; k < out.len; k++)
			assert_in_range((unsigned char)out.p[k], 0x20, 0x7e);
		buf_free(&out);
	}
}

static void
letters_of_all_languages_stay_readable(void **state)
{
	(void)state;
	expect("gr\xc3\xbc\xc3\x9f""e", "sent text=gr\xc3\xbc\xc3\x9f""e");
}

/* In a child, so that the log of this process stays as it was. */
static void
write_and_read_back(int (*story)(int fd), struct buf *text)
{
	char name[] = "/tmp/log-unit.XXXXXX";
	int fd = mkstemp(name), status;
	pid_t pid;

	assert_true(fd >= 0);
	unlink(name);
	fcntl(fd, F_SETFL, O_APPEND);
	pid = fork();
	if (pid == 0)
		_exit(story(fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(fd, text, 1 << 20), 0);
	close(fd);
}

static int
write_three(int fd)
{
	log_open("subpost-test");
	log_event(LOG_DEBUG, "before", "n", "0", NULL);
	log_to(fd);
	log_event(LOG_DEBUG, "first", "text", "a\nb", NULL);
	log_event(LOG_DEBUG, "second", NULL);
	log_to(-1);
	log_event(LOG_DEBUG, "after", NULL);
	return 0;
}

static void
the_file_has_one_stamped_line_an_event_while_it_is_the_log(void **state)
{
	struct buf text = { 0 };
	struct str rest, line;
	const char *ends[] = { "]: first text=a\\x0ab", "]: second" };

	(void)state;
	write_and_read_back(write_three, &text);
	rest = buf_str(&text);
	for (size_t i = 0; i < COUNT(ends); i++) {
		size_t len = strlen(ends[i]);

		assert_true(str_line(&rest, &line));
		assert_int_equal(line.p[4], '-');
		assert_int_equal(line.p[10], 'T');
		assert_int_equal(line.p[19], 'Z');
		assert_true(str_starts(str_from(line.p + 20, line.len - 20), " subpost-test["));
		assert_true(line.len > len);
		assert_memory_equal(line.p + line.len - len, ends[i], len);
	}
	assert_false(str_line(&rest, &line));
	buf_free(&text);
}

static int
write_into_nothing(int fd)
{
	int full = open("/dev/full", O_WRONLY);

	(void)fd;
	log_open("subpost-test");
	log_to(full);
	log_event(LOG_DEBUG, "sent", "id", "1", NULL);
	return full >= 0 ? 0 : 1;
}

static void
a_full_disk_does_not_stop_the_mail(void **state)
{
	struct buf text = { 0 };

	(void)state;
	write_and_read_back(write_into_nothing, &text);
	assert_int_equal(text.len, 0);
	buf_free(&text);
}

/* A datagram socket keeps what was written apart as it was written. */
static void
a_line_is_one_write_so_that_those_of_two_processes_do_not_mix(void **state)
{
	char got[300];
	int pair[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		log_open("subpost-test");
		log_to(pair[1]);
		log_event(LOG_DEBUG, "sent", "id", "1", "text", "of several words", NULL);
		log_event(LOG_DEBUG, "sent", "id", "2", NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (char id = '1'; id <= '2'; id++) {
		n = recv(pair[0], got, sizeof got - 1, MSG_DONTWAIT);
		assert_true(n > 30);
		got[n] = '\0';
		assert_int_equal(got[n - 1], '\n');
		assert_ptr_equal(strchr(got, '\n'), got + n - 1);
		assert_int_equal(strstr(got, ": sent id=")[10], id);
	}
	assert_int_equal(recv(pair[0], got, sizeof got, MSG_DONTWAIT), -1);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_the_event_then_its_pairs_in_order),
		cmocka_unit_test(a_pair_without_a_value_is_dropped),
		cmocka_unit_test(a_value_is_quoted_where_a_reader_would_stumble),
		cmocka_unit_test(no_value_can_close_its_own_quotes),
		cmocka_unit_test(no_value_can_begin_a_line_or_move_the_cursor),
		cmocka_unit_test(letters_of_all_languages_stay_readable),
		cmocka_unit_test(the_file_has_one_stamped_line_an_event_while_it_is_the_log),
		cmocka_unit_test(a_full_disk_does_not_stop_the_mail),
		cmocka_unit_test(a_line_is_one_write_so_that_those_of_two_processes_do_not_mix),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
