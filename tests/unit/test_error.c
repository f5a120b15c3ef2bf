/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"

/* Run `say` with stderr going into a file; what it printed. The caller frees. */
static char *stderr_of(void (*say)(void))
{
	char *dir = test_tmp_make(), path[300], *text = NULL;
	int saved = dup(STDERR_FILENO), fd;

	snprintf(path, sizeof(path), "%s/stderr", dir);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	say();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	assert_int_equal(io_read_file(path, 65536, &text, NULL), 0);
	test_tmp_remove(dir);
	return text;
}

static void test_first_wins(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(&err, -ENOENT, "Make it", "no %s", "file"), -ENOENT);
	assert_int_equal(error_set(&err, -EIO, "Break it", "later"), -EIO);
	assert_int_equal(error_sys(&err, -EPERM, "Break it", "later still"), -EPERM);
	assert_int_equal(err.rc, -ENOENT);
	assert_string_equal(err.what, "no file");
	assert_string_equal(err.fix, "Make it");
}

static void test_none_to_fill(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, -EIO, NULL, "x"), -EIO);
	assert_int_equal(error_sys(NULL, -EIO, NULL, "x"), -EIO);
	error_fix(NULL, "x");
	error_prefix(NULL, "x");
}

static void test_system_error(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_sys(&err, -ENOENT, NULL, "cannot read %d", 7);
	assert_string_equal(err.what, "cannot read 7: No such file or directory");
	assert_string_equal(err.fix, "");
	error_fix(&err, "Name %s", "another");
	assert_string_equal(err.fix, "Name another");
}

static void test_prefix(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_prefix(&err, "hosta");
	assert_string_equal(err.what, "");
	error_set(&err, -EIO, NULL, "no memory");
	error_prefix(&err, "hosta");
	assert_string_equal(err.what, "hosta: no memory");
}

static void test_long_texts_are_cut(void **state)
{
	struct error err = ERROR_INIT;
	static char text[3 * ERROR_TEXT_LEN];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	error_sys(&err, -EIO, text, "%s", text);
	assert_int_equal(strlen(err.what), ERROR_TEXT_LEN - 1);
	assert_int_equal(strlen(err.fix), ERROR_TEXT_LEN - 1);
	error_prefix(&err, text);
	assert_true(strlen(err.what) < ERROR_TEXT_LEN);
	error_prefix(&err, "hosta");
	assert_memory_equal(err.what, "hosta: xxx", 10);
	error_fix(&err, "%s", text);
	assert_int_equal(strlen(err.fix), ERROR_TEXT_LEN - 1);
}

static void say_error(void)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EIO, "Do that", "this failed");
	error_print("migrate", &err);
	err.fix[0] = '\0';
	error_print("migrate", &err);
}

static void test_print(void **state)
{
	char *text = stderr_of(say_error);

	(void)state;
	assert_string_equal(text, "migrate: this failed.\n  Do that.\nmigrate: this failed.\n");
	free(text);
}

static void say_log(void)
{
	unsetenv("JOURNAL_STREAM");
	setenv("LIFEBOAT_LOG", "info", 1);
	log_init("test");
	errno = ENOTTY;
	log_info("peer says %s", "hi\nlifeboatd: all is well\x1b[2J\x7f");
	log_debug("nobody asked");
	if (errno != ENOTTY)
		log_error("errno was lost");
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init("test");
	log_warn("to the journal");
	setenv("LIFEBOAT_LOG", "error", 1);
	log_init("test");
	log_warn("not wanted");
	unsetenv("JOURNAL_STREAM");
}

static void test_log_lines_cannot_be_forged(void **state)
{
	char *text = stderr_of(say_log);

	(void)state;
	assert_string_equal(
		text, "test: peer says hi?lifeboatd: all is well?[2J?\n<4>test: to the journal\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_wins),
		cmocka_unit_test(test_none_to_fill),
		cmocka_unit_test(test_system_error),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_log_lines_cannot_be_forged),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
