/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/wait.h>

#include "base/log.h"
#include "migrate/hostkey.h"

static struct config cfg;
static char path[PATH_MAX + 16];
static uint8_t secret[HOST_KEY_LEN], public_key[HOST_KEY_LEN];

static int setup(void **state)
{
	char *dir = test_tmp_make();

	(void)state;
	snprintf(cfg.state_dir, sizeof(cfg.state_dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/host.key", dir);
	free(dir);
	return sodium_init() < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	char *dir = malloc(sizeof(cfg.state_dir));

	(void)state;
	if (!dir)
		return -1;
	snprintf(dir, sizeof(cfg.state_dir), "%s", cfg.state_dir);
	test_tmp_remove(dir);
	return 0;
}

static int load(struct error *err)
{
	*err = ERROR_INIT;
	return hostkey_load(&cfg, secret, public_key, err);
}

static void test_made_once(void **state)
{
	uint8_t first[HOST_KEY_LEN], first_public[HOST_KEY_LEN], derived[HOST_KEY_LEN];
	struct error err;
	struct stat st;

	(void)state;
	umask(0);
	assert_int_equal(load(&err), 0);
	umask(022);
	memcpy(first, secret, sizeof(first));
	memcpy(first_public, public_key, sizeof(first_public));
	assert_false(sodium_is_zero(secret, sizeof(secret)));
	crypto_scalarmult_base(derived, secret);
	assert_memory_equal(derived, public_key, sizeof(derived));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, HOST_KEY_LEN);
	memset(secret, 0, sizeof(secret));
	assert_int_equal(load(&err), 0);
	assert_memory_equal(secret, first, sizeof(first));
	assert_memory_equal(public_key, first_public, sizeof(first_public));
}

static void test_makes_its_directory(void **state)
{
	size_t len = strlen(cfg.state_dir);
	struct error err;
	struct stat st;

	(void)state;
	strcpy(cfg.state_dir + len, "/new");
	assert_int_equal(load(&err), 0);
	assert_int_equal(stat(cfg.state_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/host.key", cfg.state_dir);
	assert_int_equal(unlink(path), 0);
	cfg.state_dir[len] = '\0';
}

static void test_readable_by_others(void **state)
{
	static const mode_t modes[] = {0644, 0640, 0604, 0620, 0602, 0610, 0601};
	struct error err;

	(void)state;
	assert_int_equal(load(&err), 0);
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(load(&err), -EACCES);
		assert_non_null(strstr(err.what, "can be read by others"));
		assert_non_null(strstr(err.fix, "chmod 600"));
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(load(&err), 0);
}

/* A damaged key is never replaced in silence: the peers would refuse this host. */
static void test_damaged(void **state)
{
	static const size_t sizes[] = {0, 31, 33};
	struct error err;

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct stat st;

		assert_int_equal(
			io_write_file(path, "0123456789abcdef0123456789abcdef0", sizes[i], 0600),
			0);
		assert_int_equal(load(&err), -EINVAL);
		assert_non_null(strstr(err.what, "damaged"));
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
	}
}

static void test_symbolic_link(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_int_equal(load(&err), -ELOOP);
}

static void test_unusable_directory(void **state)
{
	struct error err;
	char saved[sizeof(cfg.state_dir)];

	(void)state;
	memcpy(saved, cfg.state_dir, sizeof(saved));
	strcpy(cfg.state_dir, "/dev/null/x");
	assert_int_equal(load(&err), -ENOTDIR);
	assert_non_null(strstr(err.what, "/dev/null/x"));
	assert_string_not_equal(err.fix, "");
	memcpy(cfg.state_dir, saved, sizeof(saved));
}

/* Programs that start at once on a new host all get the one key that stays. */
static void test_many_at_once(void **state)
{
	enum { NR = 8, PASSES = 10 };

	(void)state;
	for (int pass = 0; pass < PASSES; pass++) {
		uint8_t keys[NR][HOST_KEY_LEN];
		struct error err;
		int go[2], result[2];

		assert_int_equal(pipe2(go, O_CLOEXEC), 0);
		assert_int_equal(pipe2(result, O_CLOEXEC), 0);
		for (int i = 0; i < NR; i++)
			if (fork() == 0) {
				char c;

				close(go[1]);
				_exit(read(go[0], &c, 1) != 0 || load(&err) != 0 ||
					write(result[1], secret, HOST_KEY_LEN) != HOST_KEY_LEN);
			}
		close(go[1]); /* now */
		for (int i = 0; i < NR; i++) {
			int status = -1;

			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
		}
		assert_int_equal(read(result[0], keys, sizeof(keys)), sizeof(keys));
		assert_int_equal(load(&err), 0);
		for (int i = 0; i < NR; i++)
			assert_memory_equal(keys[i], secret, HOST_KEY_LEN);
		close(go[0]);
		close(result[0]);
		close(result[1]);
		assert_int_equal(unlink(path), 0);
	}
}

static void test_text(void **state)
{
	uint8_t key[HOST_KEY_LEN];
	char text[HOST_KEY_TEXT_LEN];

	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i + 1);
	hostkey_text(key, text);
	assert_string_equal(text, "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_makes_its_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readable_by_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_symbolic_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unusable_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_at_once, setup, teardown),
		cmocka_unit_test(test_text),
	};

	setenv("LIFEBOAT_LOG", "error", 1);
	log_init("test_hostkey");
	return cmocka_run_group_tests_name("hostkey", tests, NULL, NULL);
}
