/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen backend's save and restore against a libxc and a libxl of this file's own, which keep to
 * the real ones' order of calls: the processes, pipes, marks and hooks are real, the domain is not.
 * What the fakes saw lies in memory that all the processes share.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>

#include "base/clock.h"
#include "base/wire.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_keeper.h"
#include "hypervisor/xen_qemu.h"
#include "hypervisor/xen_reader.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_restore.h"
#include "hypervisor/xen_save.h"
#include "hypervisor/xen_writer.h"
#include "xen_fake.h"

#define DOMID	   5u
#define BUILT	   7u
#define FRAMES	   4096u /* of the physmap; the domain holds a quarter of them */
#define PAGES	   1024u
#define BATCH	   512u
#define SEEN_MAX   (8u << 20)
#define LIBXC_SAYS "Failed to map guest pages"

struct fake {
	/* what shall happen */
	bool hvm, no_qemu_state, still, save_fails, peek_fails, suspend_late, build_fails_at_once,
		build_fails_at_end;
	int suspend_rc;
	/* what happened */
	bool cleaned, suspended, retired, resumed, renamed, unpaused, destroyed;
	unsigned nr_suspends, nr_keepers;
	int rounds_asked;
	char qmp[1024]; /* what QEMU was told */
	char built_name[80], new_name[80];
	size_t nr_seen;
	uint8_t seen[SEEN_MAX];
};

static struct fake *fake;

/* An image of an HVM container, in the pieces in which libxc writes it. */

static bool put(int fd, const void *data, size_t len)
{
	return io_write_all(fd, data, len, DEADLINE_NEVER) == 0;
}

static size_t record(uint8_t *out, uint32_t type, const void *body, size_t len)
{
	struct wire_writer w = wire_writer(out, 8192);
	static const uint8_t zero[8];

	wire_put_u32(&w, type);
	wire_put_u32(&w, (uint32_t)len);
	wire_put_bytes(&w, body, len);
	wire_put_bytes(&w, zero, XEN_STREAM_ALIGN(len) - len);
	assert_false(w.failed);
	return wire_writer_len(&w);
}

static size_t make_head(uint8_t out[8192])
{
	static const uint8_t headers[XEN_STREAM_HEADERS_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 'X', 'E', 'N', 'F', 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 12,
		0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0};

	memcpy(out, headers, sizeof(headers));
	return sizeof(headers) + record(out + sizeof(headers), XEN_RECORD_STATIC_DATA_END, NULL, 0);
}

static size_t make_tail(uint8_t out[8192])
{
	static const uint8_t blob[256], params[24] = {1, 0, 0, 0, 0, 0, 0, 0, 17};
	size_t len = record(out, XEN_RECORD_TSC_INFO, blob, 24);

	len += record(out + len, XEN_RECORD_HVM_CONTEXT, blob, sizeof(blob));
	return len + record(out + len, XEN_RECORD_HVM_PARAMS, params, sizeof(params));
}

/* Frames [from, from + nr): every fourth is there, as in a guest with a large hole. */
static bool put_pages(int fd, uint32_t from, uint32_t nr)
{
	static uint8_t rec[16 + 8 * BATCH + PAGE_BYTES * BATCH];
	struct wire_writer w = wire_writer(rec, sizeof(rec));
	uint32_t nr_data = (nr + 3) / 4;

	wire_put_u32(&w, XEN_RECORD_PAGE_DATA);
	wire_put_u32(&w, 8 + 8 * nr + PAGE_BYTES * nr_data);
	wire_put_u32(&w, nr);
	wire_put_u32(&w, 0);
	for (uint32_t i = 0; i < nr; i++)
		wire_put_u64(&w, (i % 4 ? UINT64_C(0xf) << 60 : 0) | (from + i));
	memset(w.p, (int)from, (size_t)nr_data * PAGE_BYTES);
	return put(fd, rec, wire_writer_len(&w) + (size_t)nr_data * PAGE_BYTES);
}

static bool put_tail(int fd)
{
	static const uint8_t end[8];
	uint8_t tail[8192];

	return put(fd, tail, make_tail(tail)) && put(fd, end, sizeof(end));
}

/* libxc, by the loop of xg_sr_save.c: the policy is asked before and after each pass. */

xc_interface *xc_interface_open(
	xentoollog_logger *logger, xentoollog_logger *dombuild_logger, unsigned flags)
{
	(void)dombuild_logger;
	(void)flags;
	return (xc_interface *)logger;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int sop,
	xc_hypercall_buffer_t *bitmap, unsigned long pages, unsigned int mode,
	xc_shadow_op_stats_t *stats)
{
	(void)xch;
	(void)mode;
	if (domid != DOMID || sop != XEN_DOMCTL_SHADOW_OP_PEEK || bitmap || pages ||
		fake->peek_fails)
		return -1;
	stats->dirty_count = 16;
	return 0;
}

static bool live_passes(int fd, struct save_callbacks *cb)
{
	struct precopy_stats stats = {.dirty_count = FRAMES};

	for (unsigned round = 0;; round++) {
		int answer = cb->precopy_policy(stats, cb->data);
		uint32_t nr = round ? 16 : FRAMES;

		fake->rounds_asked++;
		if (answer == XGS_POLICY_ABORT)
			return false;
		for (uint32_t at = 0; at < nr; at += BATCH)
			if (!put_pages(fd, at, nr - at < BATCH ? nr - at : BATCH))
				return false;
		if (answer == XGS_POLICY_STOP_AND_COPY)
			return true;
		stats = (struct precopy_stats){.iteration = round + 1, .dirty_count = -1};
		answer = cb->precopy_policy(stats, cb->data);
		if (answer != XGS_POLICY_CONTINUE_PRECOPY)
			return answer == XGS_POLICY_STOP_AND_COPY;
		stats.dirty_count = 16;
	}
}

int xc_domain_save(xc_interface *xch, int fd, uint32_t dom, uint32_t flags,
	struct save_callbacks *cb, xc_stream_type_t type, int recv_fd)
{
	uint8_t head[8192];
	bool ok;

	(void)recv_fd;
	ok = dom == DOMID && flags == (fake->still ? 0 : XCFLAGS_LIVE) && type == XC_STREAM_PLAIN &&
	     cb->switch_qemu_logdirty && cb->switch_qemu_logdirty(dom, 1, cb->data) == 0 &&
	     put(fd, head, make_head(head)) && (fake->still || live_passes(fd, cb));
	if (ok && fake->save_fails) {
		xtl_log((xentoollog_logger *)xch, XTL_ERROR, -1, "xc", "%s", LIBXC_SAYS);
		ok = false;
	}
	ok = ok && cb->suspend(cb->data) && put_pages(fd, 0, 8) && put_tail(fd);
	if (cb->switch_qemu_logdirty(dom, 0, cb->data))
		ok = false;
	fake->cleaned = true;
	errno = ok ? 0 : EIO;
	return ok ? 0 : -1;
}

/* QEMU: a socket that answers, told in `fake` what it was asked, and a file with its state. */

static char qemu_dir[] = "/tmp/lifeboat-xen-move.XXXXXX";

static void qemu_path(char path[128], const char *what)
{
	snprintf(path, 128, "%s/%s%u", qemu_dir, what, DOMID);
}

static void save_qemu(const char *state)
{
	char path[128];
	int fd;

	qemu_path(path, "qemu-save.");
	fd = open(path, O_WRONLY | O_CREAT, 0600); /* as libxl does, which shortens nothing */
	assert_true(fd >= 0 && write(fd, state, strlen(state)) == (ssize_t)strlen(state));
	close(fd);
}

static bool qemu_state_is_there(void)
{
	char path[128];

	qemu_path(path, "qemu-save.");
	return access(path, F_OK) == 0;
}

static void say(int sock, const char *text)
{
	if (io_write_all(sock, text, strlen(text), DEADLINE_NEVER))
		_exit(1);
}

/* Each connection: a greeting, then an event and an answer for every line. */
static void qemu_main(int listener, const char *answer)
{
	for (;;) {
		int sock = accept(listener, NULL, NULL);
		size_t len = strlen(fake->qmp);
		char c;

		if (sock < 0)
			_exit(1);
		say(sock, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
		while (len + 1 < sizeof(fake->qmp) && read(sock, &c, 1) == 1) {
			fake->qmp[len++] = c;
			if (c != '\n')
				continue;
			say(sock, "{\"event\": \"RTC_CHANGE\"}\r\n");
			say(sock, strstr(fake->qmp, "dirty-log") ? answer : "{\"return\": {}}\r\n");
		}
		close(sock);
	}
}

static pid_t start_qemu(const char *answer)
{
	char path[128];
	int listener;
	pid_t pid;

	qemu_path(path, "qmp-libxl-");
	listener = unix_listen(path, SOCK_STREAM);
	assert_true(listener >= 0);
	pid = fork();
	if (pid == 0)
		qemu_main(listener, answer);
	close(listener);
	assert_true(pid > 0);
	return pid;
}

static void end_qemu(pid_t pid)
{
	char path[128];

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	qemu_path(path, "qmp-libxl-");
	unlink(path);
}

/* libxl */

void libxl_postfork_child_noexec(libxl_ctx *ctx)
{
	(void)ctx;
}

int libxl_domain_suspend_only(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	assert_int_equal(domid, DOMID);
	fake->nr_suspends++;
	fake->suspended = fake->suspend_rc == 0 || fake->suspend_late;
	if (fake->hvm && !fake->no_qemu_state)
		save_qemu("the state of QEMU");
	return fake->suspend_rc;
}

int libxl_domain_resume(
	libxl_ctx *ctx, uint32_t domid, int suspend_cancel, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	assert_int_equal(domid, DOMID);
	assert_int_equal(suspend_cancel, 1);
	assert_true(fake->cleaned); /* log-dirty must be off first */
	assert_true(fake->retired);
	fake->resumed = true;
	fake->suspended = false;
	return 0;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
	(void)ctx;
	info->domid = domid;
	info->domain_type = fake->hvm ? LIBXL_DOMAIN_TYPE_HVM : LIBXL_DOMAIN_TYPE_PVH;
	info->shutdown = fake->suspended;
	info->shutdown_reason = LIBXL_SHUTDOWN_REASON_SUSPEND;
	info->paused = domid == BUILT;
	return 0;
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
	(void)ctx;
	return strdup(domid == BUILT ? fake->built_name : "g");
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
	(void)ctx;
	(void)name;
	(void)domid;
	return ERROR_INVAL;
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
	(void)ctx;
	(void)domid;
	*num = 0;
	return NULL;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int num)
{
	(void)list;
	(void)num;
}

libxl_device_disk *libxl_device_disk_list(libxl_ctx *ctx, uint32_t domid, int *num)
{
	(void)ctx;
	(void)domid;
	*num = 0;
	return NULL;
}

void libxl_device_disk_list_free(libxl_device_disk *list, int num)
{
	(void)list;
	(void)num;
}

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *cfg, const char *json)
{
	(void)ctx;
	cfg->c_info.type = fake->hvm ? LIBXL_DOMAIN_TYPE_HVM : LIBXL_DOMAIN_TYPE_PVH;
	cfg->c_info.name = strdup(json);
	cfg->b_info.max_memkb = cfg->b_info.target_memkb = PAGES * 4;
	return 0;
}

static int complain(libxl_ctx *ctx, const char *words)
{
	xtl_log((xentoollog_logger *)ctx, XTL_ERROR, -1, "libxl", "libxl_dom.c:42:build: %s",
		words);
	return ERROR_FAIL;
}

/* Reads up to the two END records as libxl and libxc do; the pipe's end before that is a failure.
 */
int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *cfg, uint32_t *domid, int fd,
	int send_back_fd, const libxl_domain_restore_params *params, const libxl_asyncop_how *how,
	const libxl_asyncprogress_how *console)
{
	static const uint8_t end[16];
	ssize_t n = 1;

	(void)how;
	(void)console;
	snprintf(fake->built_name, sizeof(fake->built_name), "%s", cfg->c_info.name);
	if (fake->build_fails_at_once)
		return complain(ctx, "no room in the inn");
	if (params->stream_version != 2 || send_back_fd != -1 || cfg->c_info.domid != ~0u)
		return complain(ctx, "wrong parameters");
	while (n > 0 && fake->nr_seen < SEEN_MAX) {
		n = read(fd, fake->seen + fake->nr_seen, SEEN_MAX - fake->nr_seen);
		fake->nr_seen += n > 0 ? (size_t)n : 0;
	}
	if (fake->nr_seen < 16 || memcmp(fake->seen + fake->nr_seen - 8, end, 8) != 0 ||
		(!fake->hvm && memcmp(fake->seen + fake->nr_seen - 16, end, 16) != 0))
		return complain(ctx, "the stream is cut off");
	if (fake->build_fails_at_end)
		return complain(ctx, "no such bridge");
	*domid = BUILT;
	return 0;
}

int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old, const char *name)
{
	(void)ctx;
	(void)old;
	assert_int_equal(domid, BUILT);
	snprintf(fake->new_name, sizeof(fake->new_name), "%s", name);
	fake->renamed = true;
	return 0;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	assert_int_equal(domid, BUILT);
	assert_false(fake->renamed); /* the name says that it is done */
	fake->unpaused = true;
	return 0;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	assert_int_equal(domid, BUILT);
	fake->destroyed = true;
	return 0;
}

void xen_keeper_start(uint32_t domid)
{
	(void)domid;
	fake->nr_keepers++;
}

void xen_keeper_begin(uint32_t domid)
{
	xen_keeper_start(domid);
}

void xen_keeper_retire_xl(uint32_t domid)
{
	(void)domid;
	assert_false(fake->resumed); /* two monitors must never see it run */
	fake->retired = true;
}

/* The hooks of a sender: what they were called for, one letter each, and where one shall fail. */

struct log {
	char calls[64];
	size_t nr;
	unsigned last_round;
	char fail_at;
	int fail_with;
	enum hv_decision decision;
	uint64_t entries, data_pages, empty;
	uint64_t first_dirty;
	uint8_t last_tail[64];
	size_t last_tail_len;
	struct error err;
};

static int called(struct log *l, char what)
{
	if (l->nr == 0 || l->calls[l->nr - 1] != what || what == 'R')
		if (l->nr + 1 < sizeof(l->calls))
			l->calls[l->nr++] = what;
	if (l->fail_at == what)
		return error_set(&l->err, l->fail_with, NULL, "hook %c", what);
	return 0;
}

static int hook_head(void *ctx, const void *data, size_t len)
{
	(void)data;
	assert_in_range(len, 8, HV_OPAQUE_MAX);
	return called(ctx, 'H');
}

static int hook_tail(void *ctx, const void *data, size_t len)
{
	struct log *l = ctx;

	assert_in_range(len, 8, HV_OPAQUE_MAX);
	l->last_tail_len = len;
	memcpy(l->last_tail, data, len < sizeof(l->last_tail) ? len : sizeof(l->last_tail));
	return called(ctx, 'T');
}

static int hook_pages(void *ctx, struct page_batch *batch)
{
	struct log *l = ctx;

	assert_in_range(batch->nr, 1, PAGE_BATCH_MAX);
	for (uint32_t i = 0; i < batch->nr; i++)
		l->empty += page_type(batch->entry[i]) == PAGE_TYPE_XTAB;
	l->entries += batch->nr;
	l->data_pages += batch->nr_data;
	return called(l, 'P');
}

static enum hv_decision hook_round(void *ctx, const struct hv_round *round)
{
	struct log *l = ctx;

	assert_int_equal(round->total_pages, PAGES);
	assert_int_equal(round->sent_pages, l->data_pages);
	if (round->round == 0)
		l->first_dirty = round->dirty_pages;
	called(l, 'R');
	return round->round == l->last_round ? l->decision : HV_CONTINUE;
}

static int hook_drain(void *ctx)
{
	return called(ctx, 'D');
}

static int hook_suspending(void *ctx)
{
	assert_int_equal(fake->nr_suspends, 0);
	return called(ctx, 'S');
}

static int hook_suspended(void *ctx)
{
	assert_int_equal(fake->nr_suspends, 1);
	return called(ctx, 's');
}

static const struct hv_save_hooks hooks = {.head = hook_head,
	.pages = hook_pages,
	.round = hook_round,
	.drain = hook_drain,
	.suspending = hook_suspending,
	.suspended = hook_suspended,
	.tail = hook_tail};

static int save(struct log *l)
{
	struct hv_save_hooks how = hooks;
	struct domain dom = {.name = "g",
		.domid = DOMID,
		.type = fake->hvm ? DOMAIN_HVM : DOMAIN_PVH,
		.memory_kb = PAGES * 4};
	int rc;

	alarm(60); /* a hang is a failure */
	how.still = fake->still;
	rc = xen_save(&dom, &how, l, &l->err);
	alarm(0);
	assert_true(fake->cleaned);
	assert_true(rc == 0 || l->err.what[0]);
	return rc;
}

static int reset(void **state)
{
	(void)state;
	memset(fake, 0, sizeof(*fake));
	return 0;
}

static void test_save(void **state)
{
	struct log l = {.last_round = 2, .decision = HV_LAST};

	(void)state;
	assert_int_equal(save(&l), 0);
	assert_string_equal(l.calls, "HRPDRPDRPSsPT");
	assert_int_equal(l.first_dirty, PAGES); /* not the 4096 frames of its physmap */
	assert_int_equal(l.data_pages, FRAMES / 4 + 4 + 4 + 2);
	assert_int_equal(l.empty, 0);
	assert_int_equal(l.entries, l.data_pages);
	assert_int_equal(
		fake->rounds_asked, 3); /* one of the two questions of a round stays in the child */
	assert_true(fake->suspended);
	assert_false(fake->resumed);
}

/* Not live: libxc asks for the suspend before the first page, and for nothing else. */
static void test_still(void **state)
{
	struct log l = {.decision = HV_LAST};

	(void)state;
	fake->still = true;
	assert_int_equal(save(&l), 0);
	assert_string_equal(l.calls, "HSsPT");
	assert_int_equal(fake->rounds_asked, 0);
	assert_true(fake->suspended);
}

#define QMP_CAPABILITIES "{\"execute\":\"qmp_capabilities\"}\n"
#define QMP_LOG(value)                                                                             \
	"{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":" value "}}\n"
#define QMP_FINE "{\"return\": {}}\r\n"

/* QEMU notes what it writes while pages travel, and its state is the last tail. */
static void test_hvm(void **state)
{
	struct log l = {.last_round = 2, .decision = HV_LAST};
	pid_t qemu;

	(void)state;
	fake->hvm = true;
	save_qemu("an older and much longer state, which libxl would not have shortened");
	qemu = start_qemu(QMP_FINE);
	assert_int_equal(save(&l), 0);
	end_qemu(qemu);
	assert_string_equal(l.calls, "HRPDRPDRPSsPT");
	assert_string_equal(
		fake->qmp, QMP_CAPABILITIES QMP_LOG("true") QMP_CAPABILITIES QMP_LOG("false"));
	assert_int_equal(
		l.last_tail_len, 8 + 8 + 24); /* header, which emulator, state and padding */
	assert_memory_equal(l.last_tail + 16, "the state of QEMU", 17);
	assert_int_equal(l.last_tail[0], XEN_RECORD_EMULATOR);
	assert_false(qemu_state_is_there());
	assert_false(fake->resumed);
}

/* A QEMU that will not say what it writes: not a page may move. */
static void test_hvm_no_dirty_log(void **state)
{
	struct log l = {.last_round = 2, .decision = HV_LAST};
	pid_t qemu;

	(void)state;
	fake->hvm = true;
	qemu = start_qemu("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"?\"}}\r\n");
	assert_int_not_equal(save(&l), 0);
	end_qemu(qemu);
	assert_string_equal(l.calls, "");
	assert_non_null(strstr(l.err.what, "dirty log"));
	assert_int_equal(fake->nr_suspends, 0);
}

/* Suspended, but its QEMU's state is not there: it goes on here. */
static void test_hvm_no_state(void **state)
{
	struct log l = {.last_round = 2, .decision = HV_LAST};
	pid_t qemu;

	(void)state;
	fake->hvm = fake->no_qemu_state = true;
	qemu = start_qemu(QMP_FINE);
	assert_int_not_equal(save(&l), 0);
	end_qemu(qemu);
	assert_non_null(strstr(l.err.what, "QEMU's state"));
	assert_true(fake->resumed);
	assert_false(qemu_state_is_there());
}

/* Without sending that round: what is dirty goes with what follows. */
static void test_suspend_at_once(void **state)
{
	struct log l = {.last_round = 1, .decision = HV_STOP};

	(void)state;
	assert_int_equal(save(&l), 0);
	assert_string_equal(l.calls, "HRPDRSsPT");
	assert_true(fake->suspended);
}

/* A Xen that does not tell what is dirty: then the question comes when that round is sent anyway.
 */
static void test_dirty_pages_unknown(void **state)
{
	struct log l = {.last_round = 1, .decision = HV_STOP};

	(void)state;
	fake->peek_fails = true;
	assert_int_equal(save(&l), 0);
	assert_string_equal(l.calls, "HRPDRPSsPT");
}

static void test_called_off(void **state)
{
	struct log l = {.last_round = 1, .decision = HV_ABORT};

	(void)state;
	assert_int_equal(save(&l), -ECANCELED);
	assert_string_equal(l.calls, "HRPDR");
	assert_int_equal(fake->nr_suspends, 0);
	assert_false(fake->resumed);
}

/* Each hook fails in its turn: its value comes back, the domain runs, with a monitor if it stood.
 */
static void test_hooks_fail(void **state)
{
	static const struct {
		char hook;
		bool stood;
	} cases[] = {{'H', false}, {'P', false}, {'S', false}, {'s', true}, {'T', true}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct log l = {.fail_at = cases[i].hook, .fail_with = -EXDEV, .decision = HV_LAST};

		memset(fake, 0, sizeof(*fake));
		assert_int_equal(save(&l), -EXDEV);
		assert_int_equal(fake->resumed, cases[i].stood);
		assert_int_equal(fake->nr_keepers, cases[i].stood);
		assert_false(fake->suspended);
		assert_memory_equal(l.err.what, "hook ", 5);
	}
}

/* The pipe breaks by itself: a hook's own EPIPE (the link's) must not be taken for libxc's. */
static void test_epipe_of_a_hook(void **state)
{
	struct log l = {.fail_at = 'P', .fail_with = -EPIPE, .decision = HV_LAST};

	(void)state;
	assert_int_equal(save(&l), -EPIPE);
	assert_string_equal(l.err.what, "hook P");
}

static void test_suspend_fails(void **state)
{
	struct log l = {.decision = HV_LAST};

	(void)state;
	fake->suspend_rc = ERROR_GUEST_TIMEDOUT;
	assert_int_equal(save(&l), -ETIMEDOUT);
	assert_non_null(strstr(l.err.what, "did not suspend"));
	assert_false(fake->resumed);
}

static void test_suspends_too_late(void **state)
{
	struct log l = {.decision = HV_LAST};

	(void)state;
	fake->suspend_rc = ERROR_GUEST_TIMEDOUT;
	fake->suspend_late = true;
	assert_int_equal(save(&l), -ETIMEDOUT);
	assert_true(fake->resumed);
}

static void test_libxc_fails(void **state)
{
	struct log l = {.decision = HV_LAST};

	(void)state;
	fake->save_fails = true;
	assert_int_equal(save(&l), -EPIPE);
	assert_non_null(strstr(l.err.what, LIBXC_SAYS));
	assert_int_equal(fake->nr_suspends, 0);
}

/* The destination. */

static uint8_t page_data[PAGE_BYTES] = {[PAGE_BYTES - 1] = 1}; /* unlike an END record */

static int send_head(struct hv_restore *r, struct error *err)
{
	uint8_t head[8192];

	return xen_restore_head(r, head, make_head(head), err);
}

static int send_page(struct hv_restore *r, struct error *err)
{
	struct page_batch batch = {.nr = 1, .nr_data = 1, .entry = {3}, .data = page_data};

	return xen_restore_pages(r, &batch, err);
}

static int send_tail(struct hv_restore *r, struct error *err)
{
	uint8_t tail[8192];

	return xen_restore_tail(r, tail, make_tail(tail), err);
}

/* xen_offer.h: libxl's own text in it is all that the fakes understand, and for them it is a name.
 */
static const char offered[] =
	"{\"xen\": \"4.17.7\", \"libxl\": \"g\", \"time\": 0, \"tsc\": {\"mode\": 0, "
	"\"khz\": 0}, \"cpu\": {\"leaves\": [], \"msrs\": []}}";

static struct hv_restore *begin(struct error *err)
{
	struct hv_restore *r = NULL;

	alarm(60);
	assert_int_equal(xen_restore_begin(offered, &r, err), 0);
	assert_non_null(r);
	return r;
}

static void build(struct error *err, struct domain *dom)
{
	struct hv_restore *r = begin(err);

	assert_int_equal(send_head(r, err), 0);
	assert_int_equal(send_page(r, err), 0);
	assert_int_equal(send_tail(r, err), 0);
	assert_int_equal(xen_restore_finish(r, dom, err), 0);
}

static void test_restore(void **state)
{
	struct error err = ERROR_INIT;
	struct domain dom;

	(void)state;
	build(&err, &dom);
	assert_string_equal(fake->built_name, "g" SUFFIX_INCOMING);
	assert_int_equal(dom.domid, BUILT);
	assert_int_equal(dom.state, DOMAIN_INCOMING);
	assert_false(fake->unpaused);
	assert_memory_equal(fake->seen, "LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0\0", 24);
	assert_int_equal(xen_domain_activate(&dom, "g", &err), 0);
	assert_string_equal(fake->new_name, "g");
	assert_string_equal(dom.name, "g");
	assert_true(fake->unpaused);
	assert_int_equal(fake->nr_keepers, 1);
	assert_false(fake->destroyed);
}

/* The state of its QEMU goes where libxl looks for it, and without it there is no HVM guest. */
static void test_restore_hvm(void **state)
{
	static const uint8_t qemu[16] = {2, 0, 0, 0, 0, 0, 0, 0, 'q', 'e', 'm', 'u', 0, 0, 0, 0};
	struct error err = ERROR_INIT;
	struct domain dom;
	struct hv_restore *r;
	uint8_t tail[8192];

	(void)state;
	fake->hvm = true;
	r = begin(&err);
	assert_int_equal(send_head(r, &err), 0);
	assert_int_equal(send_page(r, &err), 0);
	assert_int_equal(send_tail(r, &err), 0);
	assert_int_equal(xen_restore_finish(r, &dom, &err), -EPROTO);
	xen_restore_abort(r);
	assert_false(fake->unpaused);
	reset(state);
	fake->hvm = true;
	r = begin(&err);
	assert_int_equal(send_head(r, &err), 0);
	assert_int_equal(send_page(r, &err), 0);
	assert_int_equal(send_tail(r, &err), 0);
	assert_int_equal(
		xen_restore_tail(r, tail, record(tail, XEN_RECORD_EMULATOR, qemu, 12), &err), 0);
	assert_int_equal(xen_restore_finish(r, &dom, &err), 0);
	assert_memory_equal(fake->seen + fake->nr_seen - 32, "\3\0\0\0\14\0\0\0", 8);
	assert_memory_equal(fake->seen + fake->nr_seen - 24, qemu, sizeof(qemu));
}

static void test_restore_abort(void **state)
{
	struct error err = ERROR_INIT;
	struct hv_restore *r = begin(&err);

	(void)state;
	assert_int_equal(send_head(r, &err), 0);
	assert_int_equal(send_page(r, &err), 0);
	xen_restore_abort(r);
	assert_false(fake->destroyed); /* libxl did that itself */
	xen_restore_abort(NULL);
}

static void test_restore_fails_early(void **state)
{
	struct error err = ERROR_INIT;
	struct hv_restore *r;
	int rc = 0;

	(void)state;
	fake->build_fails_at_once = true;
	r = begin(&err);
	rc = send_head(r, &err);
	for (int i = 0; !rc && i < 100000; i++)
		rc = send_page(r, &err);
	assert_int_equal(rc, -EIO);
	assert_non_null(strstr(err.what, ": no room in the inn"));
	assert_null(strstr(err.what, "libxl_dom.c"));
	xen_restore_abort(r);
	assert_false(fake->destroyed);
}

static void test_restore_fails_at_the_end(void **state)
{
	struct error err = ERROR_INIT;
	struct domain dom;
	struct hv_restore *r;

	(void)state;
	fake->build_fails_at_end = true;
	r = begin(&err);
	assert_int_equal(send_head(r, &err), 0);
	assert_int_equal(send_tail(r, &err), 0);
	assert_int_equal(xen_restore_finish(r, &dom, &err), -EIO);
	assert_non_null(strstr(err.what, "no such bridge"));
	xen_restore_abort(r);
}

/* What a lying peer sends never reaches libxl. */
static void test_restore_refuses(void **state)
{
	struct error err = ERROR_INIT;
	struct page_batch batch = {.nr = 1, .nr_data = 1, .entry = {1 << 30}, .data = page_data};
	struct hv_restore *r = begin(&err);

	(void)state;
	assert_int_equal(send_head(r, &err), 0);
	assert_int_equal(xen_restore_pages(r, &batch, &err), -EPROTO);
	xen_restore_abort(r);
	assert_false(fake->unpaused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_save, reset),
		cmocka_unit_test_setup(test_still, reset),
		cmocka_unit_test_setup(test_hvm, reset),
		cmocka_unit_test_setup(test_hvm_no_dirty_log, reset),
		cmocka_unit_test_setup(test_hvm_no_state, reset),
		cmocka_unit_test_setup(test_suspend_at_once, reset),
		cmocka_unit_test_setup(test_dirty_pages_unknown, reset),
		cmocka_unit_test_setup(test_called_off, reset),
		cmocka_unit_test_setup(test_hooks_fail, reset),
		cmocka_unit_test_setup(test_epipe_of_a_hook, reset),
		cmocka_unit_test_setup(test_suspend_fails, reset),
		cmocka_unit_test_setup(test_suspends_too_late, reset),
		cmocka_unit_test_setup(test_libxc_fails, reset),
		cmocka_unit_test_setup(test_restore, reset),
		cmocka_unit_test_setup(test_restore_hvm, reset),
		cmocka_unit_test_setup(test_restore_abort, reset),
		cmocka_unit_test_setup(test_restore_fails_early, reset),
		cmocka_unit_test_setup(test_restore_fails_at_the_end, reset),
		cmocka_unit_test_setup(test_restore_refuses, reset),
	};

	int failed;

	signal(SIGPIPE, SIG_IGN);
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake == MAP_FAILED)
		return 1;
	if (!mkdtemp(qemu_dir))
		return 1;
	xen_qemu_places = (struct xen_qemu_places){qemu_dir, qemu_dir};
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(qemu_dir);
	return failed;
}
