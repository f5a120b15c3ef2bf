/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "base/config.h"

#define KEY_A "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
#define KEY_B "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE="
#define PEER  "peer hostb {\n  address = 192.0.2.2\n  key = \"" KEY_A "\"\n}\n"

static char *dir;
static char path[512];
static struct config cfg;

static int setup(void **state)
{
	(void)state;
	dir = test_tmp_make();
	snprintf(path, sizeof(path), "%s/lifeboat.conf", dir);
	return setenv("LIFEBOAT_CONFIG", path, 1);
}

static int teardown(void **state)
{
	(void)state;
	test_tmp_remove(dir);
	return 0;
}

static int load(const char *text, struct error *err)
{
	*err = ERROR_INIT;
	assert_int_equal(io_write_file(path, text, strlen(text), 0600), 0);
	return config_load(&cfg, err);
}

static void load_good(const char *text)
{
	struct error err;

	if (load(text, &err))
		fail_msg("%s: %s", text, err.what);
}

static void test_defaults(void **state)
{
	char name[256];

	(void)state;
	load_good("# nothing\n");
	assert_int_equal(gethostname(name, sizeof(name)), 0);
	assert_string_equal(cfg.host, name);
	assert_string_equal(cfg.path, path);
	assert_string_equal(cfg.listen, "::");
	assert_int_equal(cfg.port, 7979);
	assert_string_equal(cfg.run_dir, "/run/lifeboat");
	assert_string_equal(cfg.state_dir, "/var/lib/lifeboat");
	assert_string_equal(cfg.wire_user, "nobody");
	assert_int_equal(cfg.hypervisor, HYPERVISOR_AUTO);
	assert_int_equal(cfg.dirty_tracking, TRACKER_AUTO);
	assert_int_equal(cfg.embedded_memory_mb, 0);
	assert_int_equal(cfg.max_downtime_ms, 300);
	assert_int_equal(cfg.resume_s, 30);
	assert_int_equal(cfg.streams, 0);
	assert_int_equal(cfg.nr_peers, 0);
}

static void test_every_key(void **state)
{
	(void)state;
	load_good(
		"host = \"hosta\"\nlisten = \"192.0.2.1\"\nport = 65535\nrun_dir = /r\n"
		"state_dir = \"/s t\"\nwire_user = lb\nhypervisor = embedded\n"
		"dirty_tracking = compare\nembedded_memory = 16777216\nmax_downtime = 3600000\n" PEER
		"peer c.example {\n  port = 1\n  address = \"2001:db8::3\"\n  key = \"" KEY_B
		"\"\n}\n");
	assert_string_equal(cfg.host, "hosta");
	assert_string_equal(cfg.listen, "192.0.2.1");
	assert_int_equal(cfg.port, 65535);
	assert_string_equal(cfg.run_dir, "/r");
	assert_string_equal(cfg.state_dir, "/s t");
	assert_string_equal(cfg.wire_user, "lb");
	assert_int_equal(cfg.hypervisor, HYPERVISOR_EMBEDDED);
	assert_int_equal(cfg.dirty_tracking, TRACKER_COMPARE);
	assert_int_equal(cfg.embedded_memory_mb, 16777216);
	assert_int_equal(cfg.max_downtime_ms, 3600000);
	assert_int_equal(cfg.nr_peers, 2);
	assert_string_equal(cfg.peer[0].name, "hostb");
	assert_string_equal(cfg.peer[0].address, "192.0.2.2");
	assert_int_equal(cfg.peer[0].port, 7979);
	assert_string_equal(cfg.peer[1].name, "c.example");
	assert_string_equal(cfg.peer[1].address, "2001:db8::3");
	assert_int_equal(cfg.peer[1].port, 1);
	for (unsigned i = 0; i < HOST_KEY_LEN; i++) {
		assert_int_equal(cfg.peer[0].key[i], i + 1);
		assert_int_equal(cfg.peer[1].key[i], 32 - i);
	}
	load_good("hypervisor = xen\ndirty_tracking = pagemap\nport = 1\nmax_downtime = 1\n");
	assert_int_equal(cfg.hypervisor, HYPERVISOR_XEN);
	assert_int_equal(cfg.dirty_tracking, TRACKER_PAGEMAP);
}

static void test_comments(void **state)
{
	(void)state;
	load_good(
		"####\n# host = x\nhost = a # b\n// port = 0\nport /* = 2 */ = 3 // 4\n"
		"run_dir = \"/r#x//y/*z*/\" # \"\nstate_dir = /s//t#u\nwire_user = 'it\\'s # me'\n");
	assert_string_equal(cfg.host, "a");
	assert_int_equal(cfg.port, 3);
	assert_string_equal(cfg.run_dir, "/r#x//y/*z*/");
	assert_string_equal(cfg.state_dir, "/s//t");
	assert_string_equal(cfg.wire_user, "it's # me");
}

static void test_find_peers(void **state)
{
	uint8_t key[HOST_KEY_LEN] = {0};

	(void)state;
	load_good(PEER);
	assert_ptr_equal(config_peer_by_name(&cfg, "hostb"), &cfg.peer[0]);
	assert_null(config_peer_by_name(&cfg, "host"));
	assert_null(config_peer_by_name(&cfg, ""));
	assert_null(config_peer_by_key(&cfg, key));
	memcpy(key, cfg.peer[0].key, sizeof(key));
	assert_ptr_equal(config_peer_by_key(&cfg, key), &cfg.peer[0]);
	key[31] ^= 1;
	assert_null(config_peer_by_key(&cfg, key));
}

static const struct {
	const char *text;
	int line; /* 0: the sentence has no line */
	const char *what;
} bad[] = {
	{"prot = 1\n", 1, "prot"},
	{"# a comment\n\nhost = a\nprot = 1\n", 4, "prot"},
	{"host = a # c\nprot = 1\n", 2, "prot"},
	{"// c\nprot = 1\n", 2, "prot"},
	{"/* c\n # d */ prot = 1\n", 2, "prot"},
	{"run_dir = \"# // /* \\\" #\"\nprot = 1\n", 2, "prot"},
	{"peer hostb {\n  # c\n  colour = red\n}\n", 3, "colour"},
	{"/* a\n b */\n/* never ends\nprot = 1\n", 3, "never ends"},
	{"port = 0\n", 1, "port must lie between 1 and 65535, not 0"},
	{"\nport = 65536\n", 2, "port must lie between 1 and 65535, not 65536"},
	{"port = -1\n", 1, "port must lie between"},
	{"port = 99999999999999999999999\n", 1, "port"},
	{"port = ssh\n", 1, "port"},
	{"port = 79x\n", 1, "port"},
	{"hypervisor = kvm\n", 1, "hypervisor must be auto, xen or embedded, not 'kvm'"},
	{"hypervisor = \"\"\n", 1, "hypervisor must be"},
	{"dirty_tracking = magic\n", 1,
		"dirty_tracking must be auto, pagemap or compare, not 'magic'"},
	{"embedded_memory = -1\n", 1, "embedded_memory must lie between 0 and 16777216, not -1"},
	{"embedded_memory = 16777217\n", 1, "embedded_memory must lie between"},
	{"streams = 9\n", 1, "streams must lie between 0 and 8, not 9"},
	{"resume_time = 3601\n", 1, "resume_time must lie between 0 and 3600, not 3601"},
	{"max_downtime = 0\n", 1, "max_downtime must lie between 1 and 3600000, not 0"},
	{"max_downtime = 3600001\n", 1, "max_downtime must lie between"},
	{"host = \"a b\"\n", 1, "'a b' is no host name"},
	{"host = \"\"\n", 1, "'' is no host name"},
	{"host = \"../a\"\n", 1, "is no host name"},
	{"host = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 1,
		"is no host name"},
	{"host = \n", 2, ""},
	{"peer hostb {\n  address = h\n}\n", 3, "peer hostb needs a key of 44 characters"},
	{"peer hostb {\n  key = \"" KEY_A "\"\n}\n", 3, "peer hostb needs an address"},
	{"peer hostb {\n  address = \"\"\n  key = \"" KEY_A "\"\n}\n", 4,
		"peer hostb needs an address"},
	{"peer hostb {\n  address = h\n  key = \"AAAA\"\n}\n", 4, "peer hostb needs a key"},
	{"peer hostb {\n  address = h\n  key = \"" KEY_A "AAAA\"\n}\n", 4,
		"peer hostb needs a key"},
	{"peer hostb {\n  address = h\n  key = \"" KEY_A " \"\n}\n", 4, "peer hostb needs a key"},
	{"peer hostb {\n  address = h\n  key = \"!QIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\"\n}\n",
		4, "peer hostb needs a key"},
	{"peer hostb {\n  address = h\n  port = 70000\n  key = \"" KEY_A "\"\n}\n", 3,
		"port must lie between 1 and 65535, not 70000"},
	{"peer hostb {\n  colour = red\n}\n", 2, "colour"},
	{"peer \"a b\" {\n  address = h\n  key = \"" KEY_A "\"\n}\n", 4, "'a b' is no host name"},
	{PEER PEER, 5, "hostb"},
	{"peer {\n}\n", 1, ""},
	{"peer hostb {\n", 2, ""},
	{"state_dir = \"\"\n", 1, "state_dir"},
	{"run_dir = \"\"\n", 1, "run_dir"},
};

/* Each is refused with the file, its line and what is wrong there. */
static void test_bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char where[600];
		struct error err;

		if (load(bad[i].text, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i].text);
		snprintf(where, sizeof(where), "%s:%d: ", path, bad[i].line);
		if (bad[i].line && strncmp(err.what, where, strlen(where)) != 0)
			fail_msg("%s: not at line %d: %s", bad[i].text, bad[i].line, err.what);
		if (!strstr(err.what, bad[i].what))
			fail_msg("%s: not '%s': %s", bad[i].text, bad[i].what, err.what);
		assert_string_not_equal(err.fix, "");
	}
}

static void test_too_many_peers(void **state)
{
	char text[8192] = "", *p = text;
	struct error err;

	(void)state;
	for (int i = 0; i <= CONFIG_PEERS_MAX; i++) {
		if (i == CONFIG_PEERS_MAX)
			load_good(text);
		p += sprintf(p, "peer h%d {\n  address = h\n  key = \"%.2s%c%s\"\n}\n", i, KEY_A,
			'A' + i, &KEY_A[3]);
	}
	assert_int_equal(cfg.nr_peers, CONFIG_PEERS_MAX);
	assert_int_equal(load(text, &err), -EINVAL);
	assert_non_null(strstr(err.what, "more than 16 peers"));
}

static void test_texts_too_long(void **state)
{
	static const char *const keys[] = {"listen", "run_dir", "state_dir", "wire_user"};
	static char text[3 * PATH_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++) {
		struct error err;
		int n = sprintf(text, "%s = \"", keys[i]);

		memset(text + n, 'x', PATH_MAX);
		strcpy(text + n + PATH_MAX, "\"\n");
		assert_int_equal(load(text, &err), -EINVAL);
		assert_non_null(strstr(err.what, keys[i]));
	}
}

static void test_unreadable(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(config_load(&cfg, &err), -ENOENT);
	assert_non_null(strstr(err.what, path));
	err = ERROR_INIT;
	setenv("LIFEBOAT_CONFIG", dir, 1);
	assert_true(config_load(&cfg, &err) < 0); /* a directory */
	assert_non_null(strstr(err.what, dir));
	setenv("LIFEBOAT_CONFIG", path, 1);
	err = ERROR_INIT;
	assert_int_equal(io_write_file(path, "host = a\n\0port = 0\n", 19, 0600), 0);
	assert_int_equal(
		config_load(&cfg, &err), -EINVAL); /* what follows a NUL would be ignored */
}

static void test_loads_twice(void **state)
{
	struct error err;

	(void)state;
	load_good(PEER);
	assert_int_equal(load("prot = 1\n", &err), -EINVAL);
	load_good("host = other\n");
	assert_int_equal(cfg.nr_peers, 0);
	assert_string_equal(cfg.host, "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_comments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loads_twice, setup, teardown),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
