/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole path of a page: a process that reads it as an engine does, lifeboat-wire, TCP over
 * loopback, lifeboat-wire, and a process that builds a domain's memory of it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "migrate/hostkey.h"
#include "migrate/link.h"
#include "migrate/window.h"
#include "tests/bench/bench.h"

#define PATIENCE_MS 120000
#define SLOTS	    4 /* as lifeboat-receive has them */

static const uint8_t token[8] = "bench";

/* Seen by all three processes. */
struct shared {
	struct bench_path result;
	struct verify_sums sums; /* of the source, before it says ROUND */
	struct error why;
};

struct ends {
	struct config cfg[2]; /* source, destination */
	int net[2];
	int image, copy; /* at the source and at the destination: memory of the embedded backend */
	size_t len;
	struct verify verify; /* each process has its own */
	struct shared *shared;
};

static struct bench_use use_of(int who)
{
	struct rusage use = {0};

	getrusage(who, &use);
	return (struct bench_use){
		.user = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec * 1e-6,
		.system = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec * 1e-6,
	};
}

static struct bench_use since(int who, struct bench_use before)
{
	struct bench_use now = use_of(who);

	return (struct bench_use){now.user - before.user, now.system - before.system};
}

static int hear_applied(struct window *w, int sock, struct record *rec, struct record_stats *stats,
	struct error *err)
{
	int rc = link_expect(sock, rec, RECORD_APPLIED, stats, deadline_in(PATIENCE_MS), err);

	return rc ? rc : window_applied(w, rec);
}

static int send_all(struct ends *e, int sock, struct record *rec, struct record_stats *stats)
{
	struct page_batch batch = {0};
	uint64_t pages = e->len / PAGE_BYTES, sent = 0;
	const struct record_round mark = {.round = 0, .pages = pages};
	struct error *err = &e->shared->why;
	uint8_t body[32];
	struct window window;
	int rc = window_open(&window);

	verify_init(&e->verify, token);
	if (rc == 0)
		rc = window_pass(&window, sock, deadline_in(PATIENCE_MS));
	while (rc == 0 && sent < pages) {
		uint64_t left = pages - sent;

		batch.nr = batch.nr_data = left < PAGE_BATCH_MAX ? (uint32_t)left : PAGE_BATCH_MAX;
		for (uint32_t i = 0; i < batch.nr; i++)
			batch.entry[i] = sent + i;
		while (rc == 0 && !window_has_room(&window))
			rc = hear_applied(&window, sock, rec, stats, err);
		if (rc)
			break;
		batch.data = window_room(&window);
		/* The guest may write meanwhile: an engine takes one copy. */
		if (pread(e->image, batch.data, (size_t)batch.nr * PAGE_BYTES,
			    (off_t)(sent * PAGE_BYTES)) != (ssize_t)batch.nr * (ssize_t)PAGE_BYTES)
			rc = -EIO;
		page_batch_mark_zero(&batch);
		verify_batch(&e->verify, 0, window.said, &batch);
		if (rc == 0)
			rc = window_say_pages(&window, sock, &batch, deadline_in(PATIENCE_MS));
		sent += batch.nr;
	}
	e->shared->sums = e->verify.sums;
	if (rc == 0)
		rc = window_say(&window, sock, RECORD_ROUND, body,
			record_put_round(body, sizeof(body), &mark), deadline_in(PATIENCE_MS));
	while (rc == 0 && window.applied < window.said)
		rc = hear_applied(&window, sock, rec, stats, err);
	window_close(&window);
	return rc;
}

static int source(struct ends *e)
{
	struct bench_path *result = &e->shared->result;
	struct error *err = &e->shared->why;
	struct record_stats stats = {0};
	struct bench_use before;
	struct record_link link;
	struct record rec;
	int64_t start;
	pid_t wire;
	int sock, rc = record_init(&rec);

	if (rc == 0)
		rc = link_start(
			&e->cfg[0], ROLE_SOURCE, &e->cfg[0].peer[0], e->net[0], &sock, &wire, err);
	fd_close(&e->net[0]);
	if (rc == 0)
		rc = link_expect(sock, &rec, RECORD_LINK_UP, NULL, deadline_in(PATIENCE_MS), err);
	if (rc || !record_get_link(&rec, &link))
		return rc ? rc : -EPROTO;
	memcpy(result->cipher, link.cipher, sizeof(result->cipher));
	before = use_of(RUSAGE_SELF);
	start = clock_ns();
	rc = send_all(e, sock, &rec, &stats);
	result->wall = (double)(clock_ns() - start) * 1e-9;
	result->source = since(RUSAGE_SELF, before);
	result->wire_bytes = stats.bytes_out;
	fd_close(&sock);
	proc_reap(wire, deadline_in(PATIENCE_MS));
	result->source_wire = use_of(RUSAGE_CHILDREN);
	return rc;
}

/* As the embedded builder does: what follows each other at once, and no zeros. */
static int build(struct ends *e, const struct record *rec, struct lane *lane, uint64_t number)
{
	static struct page_batch batch;
	const uint8_t *page;
	uint32_t end;

	if (link_get_pages(rec, lane, &batch))
		return -EPROTO;
	page = batch.data;
	for (uint32_t i = 0; i < batch.nr; i = end) {
		off_t at = (off_t)(page_pfn(batch.entry[i]) * PAGE_BYTES);
		size_t len = 0;

		for (end = i; end < batch.nr && page_has_data(batch.entry[end]) &&
			      batch.entry[end] == batch.entry[i] + (end - i);
			end++)
			len += PAGE_BYTES;
		if (end == i) {
			end++;
			continue;
		}
		if (at + (off_t)len > (off_t)e->len ||
			pwrite(e->copy, page, len, at) != (ssize_t)len)
			return -EPROTO;
		page += len;
	}
	verify_batch(&e->verify, 0, number, &batch);
	return link_done_pages(rec, lane);
}

static int say_applied(int sock, uint64_t applied)
{
	uint8_t body[16];

	return record_write(sock, RECORD_APPLIED, body,
		record_put_applied(body, sizeof(body), applied), deadline_in(PATIENCE_MS));
}

static int receive_all(struct ends *e, int sock, struct record *rec)
{
	struct error *err = &e->shared->why;
	uint64_t applied = 0;
	struct lane lane;
	int rc = lane_create(&lane, SLOTS);

	verify_init(&e->verify, token);
	if (rc == 0)
		rc = lane_pass(&lane, sock, deadline_in(PATIENCE_MS));
	while (rc == 0) {
		rc = link_read(sock, rec, NULL, deadline_in(PATIENCE_MS), err);
		if (rc || rec->type == RECORD_ROUND)
			break;
		if (rec->type == RECORD_LINK_UP)
			continue;
		rc = build(e, rec, &lane, applied);
		if (rc == 0 && ++applied % WINDOW_SAY_EVERY == 0)
			rc = say_applied(sock, applied);
	}
	if (rc == 0)
		rc = verify_compare(&e->verify, &e->shared->sums, "the image", err);
	return rc ? rc : say_applied(sock, applied + 1);
}

static int destination(struct ends *e)
{
	struct bench_path *result = &e->shared->result;
	struct bench_use before;
	struct record rec;
	pid_t wire;
	int sock, rc = record_init(&rec);

	if (rc == 0)
		rc = link_start(&e->cfg[1], ROLE_DESTINATION, NULL, e->net[1], &sock, &wire,
			&e->shared->why);
	fd_close(&e->net[1]);
	if (rc)
		return rc;
	before = use_of(RUSAGE_SELF);
	rc = receive_all(e, sock, &rec);
	/* The source closes first: what it has to say is said. */
	while (rc == 0 && record_read(sock, &rec, deadline_in(PATIENCE_MS)) == 0)
		;
	result->destination = since(RUSAGE_SELF, before);
	fd_close(&sock);
	proc_reap(wire, deadline_in(PATIENCE_MS));
	result->destination_wire = use_of(RUSAGE_CHILDREN);
	return rc;
}

static int connect_ends(int net[static 2])
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	net[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || net[0] < 0 || bind(server, (struct sockaddr *)&sa, len) < 0 ||
		listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&sa, &len) < 0 ||
		connect(net[0], (struct sockaddr *)&sa, len) < 0)
		return -errno;
	net[1] = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	fd_close(&server);
	link_tune(net[0]);
	link_tune(net[1]);
	return net[1] < 0 ? -errno : 0;
}

/* Two hosts that know each other, their keys in directories of their own. */
static int make_hosts(struct ends *e, const char *dir, struct error *err)
{
	uint8_t secret[HOST_KEY_LEN], public_key[2][HOST_KEY_LEN];

	for (int i = 0; i < 2; i++) {
		int rc;

		snprintf(e->cfg[i].state_dir, sizeof(e->cfg[i].state_dir), "%.150s/%d", dir, i);
		snprintf(e->cfg[i].wire_user, sizeof(e->cfg[i].wire_user), "nobody");
		rc = hostkey_load(&e->cfg[i], secret, public_key[i], err);
		if (rc)
			return rc;
	}
	for (int i = 0; i < 2; i++) {
		e->cfg[i].nr_peers = 1;
		snprintf(e->cfg[i].peer[0].name, HOST_NAME_LEN, "host%d", 1 - i);
		memcpy(e->cfg[i].peer[0].key, public_key[1 - i], HOST_KEY_LEN);
	}
	return 0;
}

static void remove_hosts(const struct ends *e, const char *dir)
{
	char path[256];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%.199s/host.key", e->cfg[i].state_dir);
		unlink(path);
		rmdir(e->cfg[i].state_dir);
	}
	rmdir(dir);
}

static pid_t start(int (*end)(struct ends *), struct ends *e, int *not_ours)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fd_close(not_ours);
		_exit(end(e) ? 1 : 0);
	}
	return pid;
}

static int run(struct ends *e)
{
	pid_t pid[2];
	int failed = 0, rc = connect_ends(e->net);

	if (rc)
		return rc;
	pid[0] = start(source, e, &e->net[1]);
	pid[1] = start(destination, e, &e->net[0]);
	fd_close(&e->net[0]);
	fd_close(&e->net[1]);
	for (int i = 0; i < 2; i++) {
		int status = 1;

		if (pid[i] < 0 || waitpid(pid[i], &status, 0) < 0 || status)
			failed = 1;
	}
	return failed ? -EIO : 0;
}

static void *shared_memory(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool same(int copy, const uint8_t *memory, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, copy, 0);
	bool is = p != MAP_FAILED && memcmp(p, memory, len) == 0;

	if (p != MAP_FAILED)
		munmap(p, len);
	return is;
}

int bench_path(
	int image, const uint8_t *memory, size_t len, struct bench_path *out, struct error *err)
{
	static struct ends e;
	char dir[] = "/tmp/lifeboat-bench.XXXXXX";
	int rc;

	e = (struct ends){.net = {-1, -1}, .image = image, .len = len};
	e.copy = memfd_create("bench-copy", MFD_CLOEXEC);
	e.shared = shared_memory(sizeof(*e.shared));
	if (e.copy < 0 || ftruncate(e.copy, (off_t)len) < 0 || !e.shared || !mkdtemp(dir))
		return error_sys(err, -ENOMEM, NULL, "cannot set up two hosts");
	rc = make_hosts(&e, dir, err);
	if (rc == 0)
		rc = run(&e);
	if (rc)
		error_set(err, rc, NULL, "the transfer failed: %s", e.shared->why.what);
	else if (!same(e.copy, memory, len))
		rc = error_set(err, -EBADMSG, NULL, "what arrived is not what was sent");
	*out = e.shared->result;
	remove_hosts(&e, dir);
	fd_close(&e.copy);
	munmap(e.shared, sizeof(*e.shared));
	return rc;
}
