/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "migrate/fixed.h"

static struct config cfg;
static const struct domain plain = {.type = DOMAIN_EMBEDDED};
static const struct domain disks = {.type = DOMAIN_PVH, .nr_vifs = 1, .nr_disks = 2};

static int setup(void **state)
{
	char dir[] = "/tmp/lifeboat-fixed-XXXXXX";

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(cfg.state_dir, sizeof(cfg.state_dir), "%s", dir);
	return 0;
}

static void path(char *out, size_t size)
{
	snprintf(out, size, "%s/fixed.json", cfg.state_dir);
}

static int teardown(void **state)
{
	char file[PATH_MAX];

	(void)state;
	path(file, sizeof(file));
	unlink(file);
	return rmdir(cfg.state_dir);
}

static void write_text(const char *text)
{
	char file[PATH_MAX];

	path(file, sizeof(file));
	assert_int_equal(io_write_file(file, text, strlen(text), 0600), 0);
}

static void test_unknown_is_zero(void **state)
{
	(void)state;
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 0);
}

static void test_smoothed_and_apart(void **state)
{
	(void)state;
	fixed_store(&cfg, FIXED_PAUSE, "hostb", &plain, 40);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 40);
	fixed_store(&cfg, FIXED_PAUSE, "hostb", &plain, 20);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 30);
	fixed_store(&cfg, FIXED_PAUSE, "hostb", &disks, 7000);
	fixed_store(&cfg, FIXED_PAUSE, "hostc", &plain, 5);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 30);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &disks), 7000);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostc", &plain), 5);
	assert_int_equal(fixed_load(&cfg, FIXED_REST, "hostc", &plain), 0);
}

/* It is a cache: whatever is wrong with it, it is as if it were not there. */
static void test_damaged(void **state)
{
	static const char *const texts[] = {"", "{", "[1]", "{\"pause hostb embedded 0\": \"x\"}",
		"{\"pause hostb embedded 0\": -1}", "{\"pause hostb embedded 0\": 99999999999}"};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		write_text(texts[i]);
		assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 0);
	}
	fixed_store(&cfg, FIXED_PAUSE, "hostb", &plain, 12);
	assert_int_equal(fixed_load(&cfg, FIXED_PAUSE, "hostb", &plain), 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unknown_is_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(test_smoothed_and_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
	};

	return cmocka_run_group_tests_name("fixed", tests, NULL, NULL);
}
