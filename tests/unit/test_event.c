/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "migrate/event.h"

static int pair[2];
static struct event_reader reader;

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	reader.fd = pair[1];
	reader.used = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	return 0;
}

static void say(const char *text)
{
	assert_int_equal(io_write_all(pair[0], text, strlen(text), deadline_in(5000)), 0);
}

static int next(json_t **event)
{
	return event_next(&reader, event, deadline_in(300));
}

static void expect(const char *key, const char *value)
{
	json_t *event;

	assert_int_equal(next(&event), 0);
	assert_string_equal(json_string_value(json_object_get(event, key)), value);
	json_decref(event);
}

static void test_round_trip(void **state)
{
	struct error err = ERROR_INIT;
	json_t *event;

	(void)state;
	assert_int_equal(event_send(pair[0], json_pack("{s:s}", "event", "a\nb")), 0);
	error_set(&err, -EIO, "Fix it", "broken");
	assert_int_equal(event_send_error(pair[0], &err), 0);
	expect("event", "a\nb");
	assert_int_equal(next(&event), 0);
	assert_string_equal(json_string_value(json_object_get(event, "event")), "error");
	assert_string_equal(json_string_value(json_object_get(event, "what")), "broken");
	assert_string_equal(json_string_value(json_object_get(event, "fix")), "Fix it");
	json_decref(event);
	assert_int_equal(event_send(pair[0], NULL), -ENOMEM);
}

/* Names come from the command line: half a UTF-8 character must not swallow the whole error. */
static void test_error_with_odd_bytes(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_set(&err, -ENOENT, "Try \xc3\xa9", "no peer 'x\xc3'");
	assert_int_equal(event_send_error(pair[0], &err), 0);
	expect("what", "no peer 'x?'");
	error_set(&err, 0, NULL, "x");
	snprintf(err.what, sizeof(err.what), "\xc3\xa9");
	assert_int_equal(event_send_error(pair[0], &err), 0);
	expect("what", "\xc3\xa9");
}

static void test_split_and_joined_lines(void **state)
{
	json_t *event;

	(void)state;
	say("{\"k\":");
	assert_int_equal(next(&event), -ETIMEDOUT);
	assert_null(event);
	say("\"one\"");
	assert_int_equal(next(&event), -ETIMEDOUT);
	say("}\n{\"k\":\"two\"}\n{\"k\":\"three\"}\n{");
	expect("k", "one");
	expect("k", "two");
	expect("k", "three");
	assert_int_equal(next(&event), -ETIMEDOUT);
	fd_close(&pair[0]);
	assert_int_equal(next(&event), -EPIPE); /* half a line is none */
}

static void test_not_objects(void **state)
{
	static const char *const lines[] = {"\n", "[]\n", "1\n", "\"x\"\n", "null\n", "{\n",
		"{}x\n", "{\"a\":1,\"a\":2}\n", "{\"a\":\"\xff\"}\n"};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		json_t *event = NULL;

		say(lines[i]);
		if (next(&event) != -EPROTO)
			fail_msg("accepted: %s", lines[i]);
		assert_null(event);
	}
	/* And the reader is still in step. */
	say("{\"k\":\"v\"}\n");
	expect("k", "v");
}

static void test_line_length(void **state)
{
	static char text[EVENT_LINE_MAX + 1];
	json_t *event = NULL;
	pid_t child;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "{\"k\":\"", 6);
	memcpy(text + EVENT_LINE_MAX - 3, "\"}\n", 3);
	child = fork();
	if (child == 0)
		_exit(io_write_all(pair[0], text, EVENT_LINE_MAX, deadline_in(5000)) ? 1 : 0);
	assert_int_equal(event_next(&reader, &event, deadline_in(5000)), 0);
	assert_int_equal(json_string_length(json_object_get(event, "k")), EVENT_LINE_MAX - 9);
	json_decref(event);
	waitpid(child, NULL, 0);
	memcpy(text + EVENT_LINE_MAX - 3, "x\"}\n", 4);
	child = fork();
	if (child == 0)
		_exit(io_write_all(pair[0], text, EVENT_LINE_MAX + 1, deadline_in(5000)) ? 1 : 0);
	assert_int_equal(event_next(&reader, &event, deadline_in(5000)), -EPROTO);
	waitpid(child, NULL, 0);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void test_interrupted(void **state)
{
	const struct itimerval soon = {{0, 0}, {0, 100000}};
	const struct sigaction act = {.sa_handler = on_alarm};
	json_t *event;

	(void)state;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(event_next(&reader, &event, deadline_in(5000)), -EINTR);
}

static void test_reader_gone(void **state)
{
	(void)state;
	fd_close(&pair[1]);
	assert_int_equal(event_send(pair[0], json_pack("{s:s}", "event", "x")), -EPIPE);
}

static void test_cancelled(void **state)
{
	(void)state;
	assert_false(event_cancelled(pair[1]));
	say("x");
	assert_true(event_cancelled(pair[1]));
	assert_false(event_cancelled(pair[0]));
	fd_close(&pair[1]);
	assert_true(event_cancelled(pair[0]));
}

static void test_socket_path(void **state)
{
	struct config cfg = {.run_dir = "/run/x"};
	char path[64];

	(void)state;
	event_socket_path(&cfg, path, sizeof(path));
	assert_string_equal(path, "/run/x/lifeboatd.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_error_with_odd_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split_and_joined_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
		cmocka_unit_test(test_socket_path),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
