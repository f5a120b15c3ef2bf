/* SPDX-License-Identifier: GPL-2.0-or-later */
#define XC_WANT_COMPAT_MAP_FOREIGN_API
#include "hypervisor/xen_watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_log.h"

/* What the child answers: first when log-dirty is on, then to each byte that it is sent. */
struct answer {
	int32_t rc; /* 0 or a negative errno */
	uint32_t zero;
	uint64_t dirty_pages; /* since it was switched on */
};

struct watch {
	const struct domain *dom;
	const struct hv_watch_hooks *hooks;
	void *ctx;
	struct hv_watch *out;
	struct error *err;
	pid_t pid;
	int sock;
};

/* The child's side. */

static int log_dirty_on(xc_interface *xch, uint32_t domid)
{
	if (xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0) >= 0)
		return 0;
	return errno ? -errno : -EIO;
}

static struct answer look(xc_interface *xch, uint32_t domid)
{
	xc_shadow_op_stats_t stats = {0};
	struct answer answer = {0};

	if (xc_logdirty_control(xch, domid, XEN_DOMCTL_SHADOW_OP_PEEK, NULL, 0, 0, &stats) < 0)
		answer.rc = errno ? -errno : -EIO;
	answer.dirty_pages = stats.dirty_count;
	return answer;
}

static void child_main(uint32_t domid, int sock)
{
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	struct answer answer = {.rc = xch ? log_dirty_on(xch, domid) : -EIO};
	bool on = answer.rc == 0;
	char byte;
	ssize_t n;

	while (send(sock, &answer, sizeof(answer), MSG_NOSIGNAL) == (ssize_t)sizeof(answer) && on) {
		do {
			n = recv(sock, &byte, 1, 0);
		} while (n < 0 && errno == EINTR);
		if (n != 1)
			break;
		answer = look(xch, domid);
	}
	if (on && xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0) < 0)
		log_error("log-dirty mode of domain %u stays on: %s", domid, strerror(errno));
	_exit(0);
}

/* The parent's side. */

static int hear(struct watch *w, struct answer *answer)
{
	ssize_t n;

	do {
		n = recv(w->sock, answer, sizeof(*answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*answer))
		answer->rc = -EIO;
	if (answer->rc == 0)
		return 0;
	return error_set(w->err, -EOPNOTSUPP,
		w->dom->type == DOMAIN_PV
			? "Boot a hypervisor with shadow paging, or move it with --pause"
			: "Wait until nothing else moves or saves it, then try again",
		"Xen cannot follow what %s writes: %s", w->dom->name, strerror(-answer->rc));
}

static int begin(struct watch *w)
{
	struct answer answer;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(w->err, -errno, NULL, "cannot make a socket pair");
	w->pid = xen_host_fork("lifeboat-watch", &pair[1], 1);
	if (w->pid == 0)
		child_main(w->dom->domid, pair[1]);
	w->sock = pair[0];
	fd_close(&pair[1]);
	if (w->pid < 0)
		return error_sys(w->err, w->pid, NULL, "cannot fork");
	return hear(w, &answer);
}

/* Closing our end switches log-dirty off; wait until it is. */
static void end(struct watch *w)
{
	fd_close(&w->sock);
	while (w->pid > 0 && waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	w->pid = -1;
}

static int follow(struct watch *w)
{
	int64_t start = clock_ms();
	int rc = 0;

	for (uint32_t i = 0, ms = HV_WATCH_FIRST_MS; i < HV_WATCH_POINTS && !rc; i++, ms *= 2) {
		int64_t left = start + ms - clock_ms();
		struct answer answer;

		rc = w->hooks->wait(w->ctx, left > 0 ? (uint32_t)left : 0);
		if (rc)
			break;
		w->out->at[i].ms = (uint32_t)(clock_ms() - start);
		if (send(w->sock, "", 1, MSG_NOSIGNAL) != 1)
			rc = error_set(w->err, -EIO, NULL, "the watch of %s has ended by itself",
				w->dom->name);
		if (!rc)
			rc = hear(w, &answer);
		if (!rc) {
			w->out->at[i].dirty_pages = answer.dirty_pages;
			w->out->nr = i + 1;
		}
	}
	return rc;
}

/* Pages [0, nr) of the batch were asked for by their frames; those that are there are passed on. */
static int pass_on(struct watch *w, xc_interface *xch, const xen_pfn_t *gfn, uint32_t nr)
{
	struct page_batch *b = calloc(1, sizeof(*b));
	int failed[PAGE_BATCH_MAX] = {0}, rc = 0;
	uint8_t *at = xc_map_foreign_bulk(xch, w->dom->domid, PROT_READ, gfn, failed, nr);

	if (b)
		b->data = malloc((size_t)nr * PAGE_BYTES);
	for (uint32_t i = 0; at && b && b->data && i < nr; i++) {
		if (failed[i])
			continue;
		memcpy(b->data + (size_t)b->nr * PAGE_BYTES, at + (size_t)i * PAGE_BYTES,
			PAGE_BYTES);
		b->entry[b->nr++] = gfn[i];
	}
	if (at)
		munmap(at, (size_t)nr * PAGE_BYTES);
	if (b && b->nr) {
		b->nr_data = b->nr;
		rc = w->hooks->sample(w->ctx, false, b);
	}
	if (b)
		free(b->data);
	free(b);
	return rc;
}

/* A PV domain's frames are not its own numbers: its pages are not looked at. */
static int sample(struct watch *w)
{
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	xen_pfn_t last = 0, gfn[PAGE_BATCH_MAX], step;
	uint32_t nr = 0;
	int rc = 0;

	if (!xch || w->dom->type == DOMAIN_PV ||
		xc_domain_maximum_gpfn(xch, w->dom->domid, &last) < 0)
		goto out;
	/* What is behind a hole below 4 GiB is a small part of what lies before it. */
	if (last > w->out->total_pages)
		last = w->out->total_pages;
	step = last / HV_SAMPLE_PAGES + 1;
	for (xen_pfn_t pfn = 0; pfn < last && !rc; pfn += step) {
		gfn[nr] = pfn + hv_sample_offset(pfn / step, step);
		nr += gfn[nr] < last;
		if (nr < PAGE_BATCH_MAX && pfn + step < last)
			continue;
		rc = nr ? pass_on(w, xch, gfn, nr) : 0;
		nr = 0;
	}
out:
	if (xch)
		xc_interface_close(xch);
	return rc;
}

int xen_watch(const struct domain *dom, const struct hv_watch_hooks *hooks, void *ctx,
	struct hv_watch *watch, struct error *err)
{
	struct watch w = {.dom = dom,
		.hooks = hooks,
		.ctx = ctx,
		.out = watch,
		.err = err,
		.pid = -1,
		.sock = -1};
	libxl_ctx *xl;
	int rc = xen_host_open(&xl, err);

	*watch = (struct hv_watch){.total_pages = dom->memory_kb / (PAGE_BYTES / 1024)};
	watch->first_pages = watch->total_pages;
	if (!rc)
		rc = begin(&w);
	if (!rc)
		rc = follow(&w);
	end(&w);
	return rc ? rc : sample(&w);
}
