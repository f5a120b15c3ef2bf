/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The embedded hypervisor end to end: real vmm processes, real guests. Two run_dirs play two hosts;
 * the hooks of a save on one feed a restore on the other. Needs lifeboat-vmm and ledger beside it.
 */
#include "test.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "hypervisor/embedded_client.h"

#define PATIENCE_MS 20000

static const struct hypervisor *const hv = &hypervisor_embedded;
static char top[64];
static struct config host_a, host_b;

static void on(const struct config *cfg)
{
	struct error err = ERROR_INIT;

	if (hv->probe(cfg, &err))
		fail_msg("%s", err.what);
}

static void check(int rc, const struct error *err)
{
	if (rc)
		fail_msg("%s (%d)", err->what, rc);
}

static void write_domain_file(char path[static 96], const char *memory, const char *more)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
		"name = \"led\"\nkernel = \"ledger\"\nmemory = %s\n"
		"extra = \"fill=80 wss=50 rate=40000 verify=200000 seed=7\"\n%s\n",
		memory, more);

	snprintf(path, 96, "%s/led.cfg", top);
	assert_int_equal(io_write_file(path, text, (size_t)n, 0600), 0);
}

static void create(struct domain *dom)
{
	struct error err = ERROR_INIT;
	char path[96];

	write_domain_file(path, "96", "");
	on(&host_a);
	check(hv->create(path, false, dom, &err), &err);
}

static struct domain find(const struct config *cfg)
{
	struct error err = ERROR_INIT;
	struct domain dom;

	on(cfg);
	check(hv->find("led", &dom, &err), &err);
	return dom;
}

static bool is_there(const struct config *cfg)
{
	struct domain dom;

	on(cfg);
	return hv->find("led", &dom, NULL) == 0;
}

static int open_console(const struct config *cfg)
{
	struct client_call call = {.op = VMM_CONSOLE, .fd_out = -1};
	struct error err = ERROR_INIT;
	struct vmm_reply reply;
	int sock = client_connect(cfg->run_dir, "led", &err);

	assert_true(sock >= 0);
	check(client_request(sock, &call, &reply, NULL, NULL, &err), &err);
	return sock;
}

/* Read an open console until a line holds `text`; what follows it goes to `rest`. */
static void read_console(int sock, const char *text, char *rest, size_t size)
{
	static char seen[1 << 20];
	int64_t deadline = deadline_in(PATIENCE_MS);
	size_t len = 0;

	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		char *at = len ? strstr(seen, text) : NULL;
		ssize_t n;

		if (at && strchr(at, '\n')) {
			snprintf(rest, size, "%.*s", (int)strcspn(at, "\n"), at);
			return;
		}
		if (poll(&p, 1, deadline_poll_ms(deadline)) <= 0)
			fail_msg("the console never said `%s'; it said: %s", text, seen);
		n = recv(sock, seen + len, sizeof(seen) - 1 - len, 0);
		if (n <= 0)
			fail_msg("the console ended before `%s'; it said: %s", text, seen);
		len += (size_t)n;
		seen[len] = '\0';
	}
}

static void await_console(const struct config *cfg, const char *text, char *rest, size_t size)
{
	int sock = open_console(cfg);

	read_console(sock, text, rest, size);
	fd_close(&sock);
}

static struct domain await_tick(const struct config *cfg, uint64_t tick)
{
	int64_t deadline = deadline_in(PATIENCE_MS);
	struct domain dom = find(cfg);

	while (dom.tick < tick && clock_ms() < deadline) {
		usleep(20000);
		dom = find(cfg);
	}
	assert_true(dom.tick >= tick);
	return dom;
}

static void destroy(const struct config *cfg)
{
	struct domain dom = find(cfg);
	struct error err = ERROR_INIT;

	check(hv->destroy(&dom, &err), &err);
	assert_false(is_there(cfg));
}

/* A move between the two hosts, with what is to go wrong in it. */
struct move {
	struct hv_restore *r;
	struct error err;
	unsigned last_round, abort_round, stop_in_round;
	uint64_t pages, rounds, suspended_pages, corrupted;
	bool corrupt, stands;
};

static int move_head(void *ctx, const void *data, size_t len)
{
	struct move *m = ctx;

	return m->r ? hv->restore_head(m->r, data, len, &m->err) : 0;
}

static int move_pages(void *ctx, struct page_batch *batch)
{
	struct move *m = ctx;

	m->pages += batch->nr;
	if (m->stands)
		m->suspended_pages += batch->nr;
	/*
	 * Only the last set is not sent again. One page of each batch, since the guest may write it
	 * anew before it looks; and not the ends, which may be the guest's own variables.
	 */
	if (m->corrupt && m->stands && batch->nr > 8) {
		batch->data[batch->nr / 2 * PAGE_BYTES + 1000] ^= 1;
		m->corrupted++;
	}
	return m->r ? hv->restore_pages(m->r, batch, &m->err) : 0;
}

static enum hv_decision move_round(void *ctx, const struct hv_round *round)
{
	struct move *m = ctx;

	m->rounds++;
	assert_int_equal(round->round, m->rounds - 1);
	if (m->stop_in_round && round->round == m->stop_in_round)
		raise(SIGKILL);
	if (m->abort_round && round->round == m->abort_round)
		return HV_ABORT;
	return round->round >= m->last_round ? HV_LAST : HV_CONTINUE;
}

static int move_suspending(void *ctx)
{
	(void)ctx;
	return 0;
}

static int move_suspended(void *ctx)
{
	struct move *m = ctx;

	m->stands = true;
	return 0;
}

static int move_tail(void *ctx, const void *data, size_t len)
{
	struct move *m = ctx;

	return m->r ? hv->restore_tail(m->r, data, len, &m->err) : 0;
}

static int move_drain(void *ctx)
{
	(void)ctx;
	return 0;
}

static const struct hv_save_hooks hooks = {
	.head = move_head,
	.pages = move_pages,
	.round = move_round,
	.drain = move_drain,
	.suspending = move_suspending,
	.suspended = move_suspended,
	.tail = move_tail,
};

static struct findings found;

/* What restore_check() finds, as "code code". */
static const char *codes_of(const char *json)
{
	static char codes[128];
	struct error err = ERROR_INIT;
	struct domain dom;

	found = (struct findings){0};
	codes[0] = '\0';
	check(hv->restore_check(json, &dom, &found, &err), &err);
	for (unsigned i = 0; i < found.nr; i++)
		snprintf(codes + strlen(codes), sizeof(codes) - strlen(codes), "%s%s", i ? " " : "",
			found.list[i].code);
	return codes;
}

static void begin_on_b(struct move *m)
{
	struct domain dom = find(&host_a);
	char *json;

	check(hv->config(&dom, &json, &m->err), &m->err);
	on(&host_b);
	found = (struct findings){0};
	check(hv->restore_check(json, &dom, &found, &m->err), &m->err);
	assert_int_equal(found.nr, 0);
	check(hv->restore_begin(json, &m->r, &m->err), &m->err);
	free(json);
}

static int save_on_a(struct move *m)
{
	struct domain dom = find(&host_a);

	found = (struct findings){0};
	check(hv->save_check(&dom, &found, &m->err), &m->err);
	assert_int_equal(found.nr, 0);
	return hv->save(&dom, &hooks, m, &m->err);
}

static void move_to_b(struct move *m)
{
	struct domain dom;

	begin_on_b(m);
	check(save_on_a(m), &m->err);
	assert_int_equal(find(&host_a).state, DOMAIN_SUSPENDED);
	check(hv->restore_finish(m->r, &dom, &m->err), &m->err);
	m->r = NULL; /* it stands on its own now */
	assert_int_equal(dom.state, DOMAIN_INCOMING);
	assert_string_equal(dom.name, "led" SUFFIX_INCOMING);
	on(&host_b);
	check(hv->activate(&dom, "led", &m->err), &m->err);
	destroy(&host_a);
}

static void power_off(const struct config *cfg, char *line, size_t size)
{
	struct domain dom = find(cfg);
	struct error err = ERROR_INIT;
	int sock = open_console(cfg); /* before: who is gone cannot be asked */

	check(hv->shutdown(&dom, &err), &err);
	read_console(sock, "ledger: final tick", line, size);
	check(client_wait_gone(sock, &err), &err);
	fd_close(&sock);
	assert_false(is_there(cfg));
}

static void moves_with(enum config_tracker tracker)
{
	struct move m = {.last_round = 3};
	struct domain dom;
	char line[256];
	uint64_t tick;

	host_a.dirty_tracking = tracker;
	create(&dom);
	tick = await_tick(&host_a, 1).tick;
	move_to_b(&m);
	dom = await_tick(&host_b, tick + 2);
	assert_int_equal(dom.faults, 0);
	await_console(&host_b, "resumed on another host", line, sizeof(line));
	power_off(&host_b, line, sizeof(line));
	assert_non_null(strstr(line, "faults 0"));
	host_a.dirty_tracking = TRACKER_AUTO;
}

static void test_move_auto(void **state)
{
	(void)state;
	moves_with(TRACKER_AUTO);
}

static void test_move_compare(void **state)
{
	(void)state;
	moves_with(TRACKER_COMPARE);
}

/* Without later rounds: everything that the guest writes meanwhile is in the last set. */
static void test_stop_and_copy(void **state)
{
	struct move m = {.last_round = 0};
	struct domain dom;
	char line[256];

	(void)state;
	create(&dom);
	await_tick(&host_a, 1);
	move_to_b(&m);
	assert_true(m.suspended_pages > 0);
	power_off(&host_b, line, sizeof(line));
	assert_non_null(strstr(line, "faults 0"));
}

static void test_abort_runs_on(void **state)
{
	struct move m = {.last_round = 9, .abort_round = 2};
	struct domain dom;
	uint64_t tick;
	char line[256];

	(void)state;
	create(&dom);
	begin_on_b(&m);
	assert_int_equal(save_on_a(&m), -ECANCELED);
	dom = find(&host_a);
	assert_int_equal(dom.state, DOMAIN_RUNNING);
	tick = dom.tick;
	on(&host_b);
	hv->restore_abort(m.r);
	dom = (struct domain){.name = "led" SUFFIX_INCOMING};
	assert_int_equal(hv->find(dom.name, &dom, NULL), -ENOENT);
	await_tick(&host_a, tick + 2);
	power_off(&host_a, line, sizeof(line));
	assert_non_null(strstr(line, "faults 0"));
}

/* After a complete save the domain stands until it is told, from anywhere, what to do. */
static void test_resume_after_save(void **state)
{
	struct move m = {.last_round = 1};
	struct error err = ERROR_INIT;
	struct domain dom;
	uint64_t tick;
	char line[256];

	(void)state;
	create(&dom);
	await_tick(&host_a, 1);
	check(save_on_a(&m), &m.err);
	dom = find(&host_a);
	assert_int_equal(dom.state, DOMAIN_SUSPENDED);
	assert_int_equal(hv->unpause(&dom, NULL), -EINVAL);
	tick = dom.tick;
	check(hv->resume(&dom, &err), &err);
	await_tick(&host_a, tick + 2);
	power_off(&host_a, line, sizeof(line));
	assert_non_null(strstr(line, "faults 0"));
}

static void test_saver_killed(void **state)
{
	struct move m = {.last_round = 9, .stop_in_round = 2};
	struct domain dom;
	int status;
	pid_t pid;
	char line[256];

	(void)state;
	create(&dom);
	await_tick(&host_a, 1);
	pid = fork();
	if (pid == 0)
		_exit(save_on_a(&m) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	dom = await_tick(&host_a, find(&host_a).tick + 1);
	assert_int_equal(dom.state, DOMAIN_RUNNING);
	power_off(&host_a, line, sizeof(line));
	assert_non_null(strstr(line, "faults 0"));
}

/* The proof that the ledger proves something. */
static void test_corruption_is_seen(void **state)
{
	struct move m = {.last_round = 0, .corrupt = true};
	struct domain dom;
	char line[256];

	(void)state;
	create(&dom);
	await_tick(&host_a, 1);
	move_to_b(&m);
	assert_true(m.corrupted > 0);
	await_console(&host_b, "FAULT", line, sizeof(line));
	destroy(&host_b);
}

static void test_reboot_during_move(void **state)
{
	struct error err = ERROR_INIT;
	struct client_call begin = {.op = VMM_SAVE_BEGIN, .arg = TRACKER_AUTO, .fd_out = -1},
			   suspend = {.op = VMM_SAVE_SUSPEND, .fd_out = -1};
	int fds[SAVE_FDS], sock;
	size_t nr_fds = SAVE_FDS;
	struct vmm_reply reply;
	struct domain dom;

	(void)state;
	create(&dom);
	await_tick(&host_a, 2);
	sock = client_connect(host_a.run_dir, "led", &err);
	check(client_request(sock, &begin, &reply, fds, &nr_fds, &err), &err);
	check(hv->reboot(&dom, &err), &err);
	while (find(&host_a).tick >= 2)
		usleep(20000);
	assert_int_equal(client_request(sock, &suspend, &reply, NULL, NULL, NULL), -ESTALE);
	fd_close(&sock);
	for (size_t i = 0; i < nr_fds; i++)
		fd_close(&fds[i]);
	await_tick(&host_a, 3);
	destroy(&host_a);
}

static void test_refusals(void **state)
{
	struct move m = {0};
	struct error err = ERROR_INIT;
	struct hv_restore *second;
	struct domain dom;
	char path[96], *json;

	(void)state;
	create(&dom);
	check(hv->config(&dom, &json, &err), &err);
	assert_string_equal(codes_of(json), "name");
	assert_non_null(strstr(found.list[0].what, "`led' exists on this host"));

	on(&host_b);
	err = ERROR_INIT;
	host_b.embedded_memory_mb = 32;
	on(&host_b);
	assert_string_equal(codes_of(json), "memory");
	host_b.embedded_memory_mb = 0;
	on(&host_b);

	check(hv->restore_begin(json, &m.r, &m.err), &m.err);
	assert_int_equal(hv->find("led" SUFFIX_INCOMING, &dom, NULL), 0);
	assert_int_equal(hv->restore_begin(json, &second, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.what, "`led--incoming' exists on this host"));
	hv->restore_abort(m.r);
	free(json);
	destroy(&host_a);

	write_domain_file(path, "64", "ramdisk = \"/boot/x\"");
	on(&host_a);
	assert_int_equal(hv->create(path, false, &dom, NULL), -EINVAL);
	write_domain_file(path, "64", "vif = ['bridge=nosuchbr']");
	err = ERROR_INIT;
	assert_true(hv->create(path, false, &dom, &err) < 0);
	if (geteuid() == 0)
		assert_string_equal(err.what, "bridge `nosuchbr' does not exist on this host");
	write_domain_file(path, "64", "vcpus = 2");
	assert_int_equal(hv->create(path, false, &dom, NULL), -EINVAL);
}

/* READY never starts itself: without its builder the incoming domain goes. */
static void test_builder_killed(void **state)
{
	int64_t deadline = deadline_in(PATIENCE_MS);
	struct move m = {0};
	struct domain dom;
	pid_t pid;

	(void)state;
	create(&dom);
	pid = fork();
	if (pid == 0) {
		begin_on_b(&m);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	on(&host_b);
	while (hv->find("led" SUFFIX_INCOMING, &dom, NULL) == 0 && clock_ms() < deadline)
		usleep(10000);
	assert_int_equal(hv->find("led" SUFFIX_INCOMING, &dom, NULL), -ENOENT);
	destroy(&host_a);
}

static void test_hostile_stream(void **state)
{
	uint8_t page[PAGE_BYTES] = {0};
	struct page_batch batch = {.nr = 1, .nr_data = 1, .data = page};
	struct move m = {0};
	struct domain dom;

	(void)state;
	create(&dom);
	begin_on_b(&m);
	assert_int_equal(hv->restore_pages(m.r, &batch, NULL), -EPROTO); /* before HEAD */
	assert_int_equal(hv->restore_head(m.r, "\1xxxxxxxxxxx", 12, NULL), -EPROTO);
	assert_int_equal(hv->restore_head(m.r, "", 0, NULL), -EPROTO);
	assert_int_equal(hv->restore_finish(m.r, &dom, NULL), -EPROTO);
	on(&host_b);
	hv->restore_abort(m.r);
	destroy(&host_a);
}

static void test_pause_stops_time(void **state)
{
	struct error err = ERROR_INIT;
	struct domain dom;
	uint64_t tick;

	(void)state;
	create(&dom);
	await_tick(&host_a, 1);
	check(hv->pause(&dom, &err), &err);
	tick = find(&host_a).tick;
	usleep(1500000);
	dom = find(&host_a);
	assert_int_equal(dom.tick, tick);
	assert_int_equal(dom.state, DOMAIN_PAUSED);
	found = (struct findings){0};
	check(hv->save_check(&dom, &found, &err), &err);
	assert_string_equal(found.list[0].code, "state");
	check(hv->rename(&dom, "other", &err), &err);
	assert_false(is_there(&host_a));
	check(hv->find("other", &dom, &err), &err);
	check(hv->rename(&dom, "led", &err), &err);
	dom = find(&host_a);
	check(hv->unpause(&dom, &err), &err);
	await_tick(&host_a, tick + 1);
	destroy(&host_a);
}

static void set_host(struct config *cfg, const char *name)
{
	memset(cfg, 0, sizeof(*cfg));
	snprintf(cfg->run_dir, sizeof(cfg->run_dir), "%s/%s", top, name);
	cfg->dirty_tracking = TRACKER_AUTO;
}

static int setup(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/lifeboat-test-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	set_host(&host_a, "a");
	set_host(&host_b, "b");
	return 0;
}

/* A failed test leaves its domain: the next one begins clean. */
static int clean(void **state)
{
	const struct config *hosts[] = {&host_a, &host_b};
	struct domain *list;
	size_t nr;

	(void)state;
	for (size_t h = 0; h < 2; h++) {
		on(hosts[h]);
		if (hv->list(&list, &nr, NULL))
			continue;
		for (size_t i = 0; i < nr; i++)
			if (hv->destroy(&list[i], NULL))
				fprintf(stderr, "%s stays\n", list[i].name);
		free(list);
	}
	return 0;
}

static int teardown(void **state)
{
	char command[256];

	(void)state;
	/* A vmm that a sanitizer ended says so in its log only. */
	snprintf(command, sizeof(command),
		"! grep -h Sanitizer '%s'/*/embedded/*.log && rm -rf '%s'", top, top);
	return system(command);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, clean, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_move_auto),
		TEST(test_move_compare),
		TEST(test_stop_and_copy),
		TEST(test_abort_runs_on),
		TEST(test_resume_after_save),
		TEST(test_saver_killed),
		TEST(test_corruption_is_seen),
		TEST(test_reboot_during_move),
		TEST(test_refusals),
		TEST(test_builder_killed),
		TEST(test_hostile_stream),
		TEST(test_pause_stops_time),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
