/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is found of DRBD, with a drbdadm of this test's own that says what it is told to. */
#include "test.h"

#include "migrate/drbd.h"
#include "migrate/drbd_tool.h"

#include <sys/sysmacros.h>

static char *dir;
static struct findings found;
static struct drbd_window window;

static void put(const char *name, const char *text, mode_t mode)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
	char script[512];

	(void)state;
	dir = test_tmp_make();
	/* "drbdadm cstate web" prints DIR/cstate.web, or fails. */
	snprintf(script, sizeof(script),
		"#!/bin/sh\nwhile read -r line; do echo \"$line\"; done <%s/$1.$2\n", dir);
	put("drbdadm", script, 0755);
	assert_int_equal(setenv("PATH", dir, 1), 0);
	found = (struct findings){0};
	window = (struct drbd_window){.nr = 1, .resource = {"web"}};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_tmp_remove(dir);
	return 0;
}

static void test_states(void **state)
{
	static const struct {
		const char *cstate, *dstate, *what; /* NULL = nothing is found */
	} cases[] = {
		{"Connected\n", "UpToDate/UpToDate\n", NULL},
		{"StandAlone\n", "UpToDate/DUnknown\n",
			"DRBD resource web is StandAlone, not Connected"},
		{"Connecting\n", "UpToDate/DUnknown\n",
			"DRBD resource web is Connecting, not Connected"},
		{"Connected\n", "UpToDate/Inconsistent\n",
			"DRBD resource web is UpToDate/Inconsistent, not UpToDate/UpToDate"},
		{"Connected\n", "Diskless/UpToDate\n",
			"DRBD resource web is Diskless/UpToDate, not UpToDate/UpToDate"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		put("cstate.web", cases[i].cstate, 0644);
		put("dstate.web", cases[i].dstate, 0644);
		found = (struct findings){0};
		drbd_window_check(&window, &found);
		assert_int_equal(found.nr, cases[i].what != NULL);
		if (!found.nr)
			continue;
		assert_int_equal(found.list[0].severity, FINDING_BLOCKER);
		assert_string_equal(found.list[0].code, "drbd");
		assert_string_equal(found.list[0].what, cases[i].what);
	}
}

static void test_each_resource(void **state)
{
	(void)state;
	window = (struct drbd_window){.nr = 3, .resource = {"web", "db", "log"}};
	put("cstate.web", "StandAlone\n", 0644);
	put("cstate.db", "Connected\n", 0644);
	put("dstate.db", "UpToDate/UpToDate\n", 0644);
	/* and of "log" drbdadm knows nothing */
	drbd_window_check(&window, &found);
	assert_int_equal(found.nr, 2);
	assert_non_null(strstr(found.list[0].what, "web is StandAlone"));
	assert_non_null(strstr(found.list[1].what, "drbdadm cstate log failed"));
}

static void test_no_drbdadm(void **state)
{
	const struct domain dom = {.nr_disks = 1, .disk = {{.path = "/dev/drbd4095"}}};

	(void)state;
	assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
	drbd_window_find(&window, &dom, "embedded", &found);
	assert_int_equal(found.nr, 1);
	assert_string_equal(found.list[0].what, "drbdadm is not installed");
	assert_string_equal(found.list[0].fix, "apt install drbd-utils");
}

static void test_unknown_device(void **state)
{
	const struct domain dom = {
		.nr_disks = 2, .disk = {{.path = "/dev/drbd4095"}, {.path = "/srv/plain"}}};

	(void)state;
	put("sh-resources.", "web\n", 0644);
	put("sh-dev.web", "/dev/null\n", 0644);
	drbd_window_find(&window, &dom, "xen", &found);
	assert_int_equal(found.nr, 1);
	assert_string_equal(
		found.list[0].what, "no DRBD resource here has the device /dev/drbd4095");
}

/* Become primary, and the connection has ended meanwhile. */
static void test_whole(void **state)
{
	struct error why = ERROR_INIT, again = ERROR_INIT;
	char path[512];

	(void)state;
	put("primary.web", "", 0644);
	put("dstate.web", "UpToDate/UpToDate\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), 0);
	/* It is by now: another `drbdadm primary` would fail. */
	snprintf(path, sizeof(path), "%s/primary.web", dir);
	unlink(path);
	put("dstate.web", "UpToDate/DUnknown\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), -ENOTCONN);
	assert_string_equal(
		why.what, "DRBD resource web is UpToDate/DUnknown by now, not UpToDate/UpToDate");
	/* The second volume counts as well. */
	put("dstate.web", "UpToDate/UpToDate\nInconsistent/UpToDate\n", 0644);
	assert_int_equal(drbd_window_whole(&window, "/nonexistent", NULL), -ENOTCONN);
	/* Where the kernel tells it, no program is asked. */
	snprintf(path, sizeof(path), "%s/proc", dir);
	window.dev[0] = makedev(147, 1);
	put("proc",
		"\n 0: cs:Connected ro:P/S ds:UpToDate/UpToDate C\n    oos:0\n 1: cs:WFConnection ro:P/U ds:UpToDate/DUnknown C\n    oos:0\n",
		0644);
	assert_int_equal(drbd_window_whole(&window, path, &again), -ENOTCONN);
	assert_non_null(strstr(again.what, "web is UpToDate/DUnknown by now"));
	put("proc", "\n 1: cs:Connected ro:P/S ds:UpToDate/UpToDate C\n    oos:0\n", 0644);
	assert_int_equal(drbd_window_whole(&window, path, NULL), 0);
	put("proc", "\n10: cs:Connected ro:P/S ds:UpToDate/UpToDate C\n    oos:0\n", 0644);
	assert_int_equal(drbd_window_whole(&window, path, NULL), -ENOTCONN); /* drbdadm says so */
	window.nr = 0;
	assert_int_equal(drbd_window_whole(&window, path, NULL), 0);
}

/* Version 8.4 on its minors, version 9 by its peers; where neither tells it, it is not known. */
static void test_unsynced(void **state)
{
	static const char proc[] =
		"version: 8.4.11 (api:1/proto:86-101)\n"
		" 0: cs:StandAlone ro:Primary/Unknown ds:UpToDate/DUnknown   r-----\n"
		"    ns:23 nr:0 dw:95 dr:24460 al:9 bm:0 lo:0 ep:1 wo:f oos:72\n"
		" 1: cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate C r-----\n"
		"    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 ep:1 wo:f oos:0\n"
		"10: cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate C r-----\n"
		"    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 ep:1 wo:f oos:5\n";
	char path[512];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/proc", dir);
	put("proc", proc, 0644);
	/* Any device does whose minor number is known: these are 3, which is not in the list. */
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(minor(st.st_rdev), 3);
	put("sh-dev.web", "/dev/null\n", 0644);
	assert_int_equal(drbd_unsynced("web", path), -ENODATA);
	put("proc",
		"\n 2: cs:StandAlone\n    oos:9\n 3: cs:StandAlone\n    ns:1 oos:72\n 4: cs:Connected\n    oos:8\n",
		0644);
	assert_int_equal(drbd_unsynced("web", path), 72 * 1024);
	put("proc", "\n 3: cs:StandAlone\n    ns:1 oos:0\n", 0644);
	assert_int_equal(drbd_unsynced("web", path), 0);
	put("sh-dev.web", "/dev/null\n/nonexistent\n", 0644);
	assert_int_equal(drbd_unsynced("web", path), -ENOENT);

	put("drbdsetup", "#!/bin/sh\necho ' peer-disk:DUnknown received:1 out-of-sync:4'\n", 0755);
	assert_int_equal(drbd_unsynced("web", path), 4096);
}

static bool was_said(const char *path, const char *what)
{
	char text[256] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	return strstr(text, what) != NULL;
}

/* What is asked of DRBD for each state, by the file that a call of it leaves. */
static void test_rejoin(void **state)
{
	static const struct {
		const char *cstate;
		int rc;
		bool asked;
	} cases[] = {
		{"Connected\n", 0, false},
		{"SyncTarget\n", 0, false},
		{"WFConnection\n", -EAGAIN, false},
		{"NetworkFailure\n", -EAGAIN, false},
		{"StandAlone\n", -EAGAIN, true},
	};
	char script[512], asked[512];

	(void)state;
	snprintf(asked, sizeof(asked), "%s/asked", dir);
	snprintf(script, sizeof(script),
		"#!/bin/sh\ncase $1 in connect) echo \"$@\" >%s/asked ;;\n"
		"*) read -r line <%s/$1.$2 && echo \"$line\" ;; esac\n",
		dir, dir);
	put("drbdadm", script, 0755);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error why = ERROR_INIT;

		unlink(asked);
		put("cstate.web", cases[i].cstate, 0644);
		assert_int_equal(drbd_rejoin("web", true, &why), cases[i].rc);
		assert_int_equal(access(asked, F_OK) == 0, cases[i].asked);
	}
	/* Changes of its own are not known here: it gives up nothing. */
	assert_int_equal(drbd_rejoin("web", false, NULL), -EAGAIN);
	assert_int_equal(was_said(asked, "discard"), false);
	put("drbdsetup", "#!/bin/sh\necho ' out-of-sync:4'\n", 0755);
	assert_int_equal(drbd_rejoin("web", false, NULL), -EAGAIN);
	assert_int_equal(was_said(asked, "discard"), false);
	put("drbdsetup", "#!/bin/sh\necho ' out-of-sync:0'\n", 0755);
	assert_int_equal(drbd_rejoin("web", false, NULL), -EAGAIN);
	assert_int_equal(was_said(asked, "connect --discard-my-data web"), true);
	/* The side that has the domain never gives it up. */
	assert_int_equal(drbd_rejoin("web", true, NULL), -EAGAIN);
	assert_int_equal(was_said(asked, "discard"), false);
}

/* Nothing is written down, or set, for a resource that is alone; and it is set once. */
static void test_open(void **state)
{
	static struct config cfg;
	const uint8_t uuid[DOMAIN_UUID_LEN] = {1};
	struct error why = ERROR_INIT;

	(void)state;
	snprintf(cfg.state_dir, sizeof(cfg.state_dir), "%s/state", dir);
	put("net-options.--protocol=C", "", 0644);
	put("dstate.web", "UpToDate/DUnknown\n", 0644);
	assert_int_equal(drbd_window_open(&window, &cfg, uuid, &why), -ENOTCONN);
	assert_false(window.open);
	assert_int_equal(access(cfg.state_dir, F_OK), -1);
	put("dstate.web", "UpToDate/UpToDate\n", 0644);
	assert_int_equal(drbd_window_open(&window, &cfg, uuid, &why), 0);
	assert_true(window.open);
	assert_int_equal(access(window.path, F_OK), 0);
	put("dstate.web", "UpToDate/DUnknown\n", 0644);
	assert_int_equal(drbd_window_open(&window, &cfg, uuid, &why), 0);
}

/* A side that is alone does not become primary: it would have a history of its own. */
static void test_promote(void **state)
{
	struct error why = ERROR_INIT;

	(void)state;
	put("primary.web", "", 0644);
	put("dstate.web", "UpToDate/DUnknown\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), -ENOTCONN);
	assert_false(window.primary);
	put("dstate.web", "UpToDate/UpToDate\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), 0);
	assert_true(window.primary);
	/* Once is enough; the connection is looked at each time. */
	put("primary.web", "", 0);
	put("dstate.web", "UpToDate/DUnknown\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), -ENOTCONN);
	assert_true(window.primary);
	/* Whoever ends the window need not do again what was done, and does what was not. */
	drbd_window_demote(&window, 0);
	assert_false(window.demoted);
	put("secondary.web", "", 0644);
	drbd_window_demote(&window, 0);
	assert_true(window.demoted);
	put("primary.web", "", 0644);
	put("dstate.web", "UpToDate/UpToDate\n", 0644);
	assert_int_equal(drbd_window_promote(&window, &why), 0);
	assert_false(window.demoted);
}

static void test_no_drbd_disks(void **state)
{
	const struct domain dom = {.nr_disks = 1, .disk = {{.path = "/srv/plain"}}};

	(void)state;
	drbd_window_find(&window, &dom, "xen", &found);
	assert_int_equal(found.nr, 0);
}

static void test_sendpage(void **state)
{
	static const struct {
		const char *value; /* NULL = there is no such parameter */
		bool good;
	} cases[] = {{"Y\n", true}, {"N\n", false}, {"", false}, {NULL, true}};
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/disable_sendpage", dir);
	for (size_t i = 0; i < COUNT(cases); i++) {
		unlink(path);
		if (cases[i].value)
			put("disable_sendpage", cases[i].value, 0644);
		found = (struct findings){0};
		drbd_sendpage_check(&window, path, &found);
		assert_int_equal(found.nr, !cases[i].good);
		if (!found.nr)
			continue;
		assert_int_equal(found.list[0].severity, FINDING_RISK);
		assert_non_null(strstr(found.list[0].fix, path));
		assert_non_null(strstr(found.list[0].fix, "disable_sendpage=1"));
	}
	window.nr = 0; /* a domain without DRBD has no part in it */
	put("disable_sendpage", "N\n", 0644);
	found = (struct findings){0};
	drbd_sendpage_check(&window, path, &found);
	assert_int_equal(found.nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_resource, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_drbdadm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_promote, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_drbd_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sendpage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsynced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rejoin, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
