/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an embedded domain writes, seen by the tracker that a move would use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "hypervisor/embedded.h"
#include "hypervisor/embedded_tracker.h"

struct watch {
	const struct hv_watch_hooks *hooks;
	void *ctx;
	struct hv_watch *out;
	struct error *err;
	int sock;
	int fds[SAVE_FDS];
	struct tracker tracker;
	uint64_t *first; /* what a first round would send */
	uint8_t *data;	 /* of a batch */
};

static int begin(struct watch *w, const struct domain *dom)
{
	struct client_call call = {.op = VMM_WATCH, .arg = embedded_host.tracker, .fd_out = -1};
	struct vmm_reply reply;
	size_t nr_fds = SAVE_FDS;
	int rc;

	w->sock = client_connect(embedded_host.run_dir, dom->name, w->err);
	if (w->sock < 0)
		return w->sock;
	rc = client_request(w->sock, &call, &reply, w->fds, &nr_fds, w->err);
	if (rc)
		return rc;
	w->out->total_pages = reply.dom.memory_kb * 1024 / PAGE_BYTES;
	w->data = malloc((size_t)PAGE_BATCH_MAX * PAGE_BYTES);
	w->first = calloc((size_t)(w->out->total_pages + 63) / 64, sizeof(*w->first));
	if (!w->data || !w->first)
		return error_sys(w->err, -ENOMEM, NULL, "cannot watch `%s'", dom->name);
	return tracker_init(&w->tracker, w->fds[SAVE_FD_MEMORY], w->out->total_pages,
		w->fds[SAVE_FD_PAGEMAP], w->fds[SAVE_FD_WRITTEN], w->err);
}

/* The tracker that compares must know what there is. */
static int know_all(struct watch *w)
{
	int rc = 0;

	for (uint64_t pfn = 0; pfn < w->out->total_pages && !rc; pfn++) {
		if (!tracker_is_dirty(&w->tracker, pfn))
			continue;
		rc = tracker_read(&w->tracker, pfn, 1, w->data);
		if (!rc)
			tracker_sent(&w->tracker, pfn, w->data);
	}
	return rc ? error_sys(w->err, rc, NULL, "cannot read the domain's memory") : 0;
}

static int follow(struct watch *w)
{
	int64_t start;
	int rc = tracker_first(&w->tracker, &w->out->first_pages, w->err);

	if (!rc)
		memcpy(w->first, w->tracker.dirty, (size_t)(w->out->total_pages + 63) / 64 * 8);
	if (!rc && w->tracker.hash)
		rc = know_all(w);
	start = clock_ms();
	for (uint32_t i = 0, ms = HV_WATCH_FIRST_MS; i < HV_WATCH_POINTS && !rc; i++, ms *= 2) {
		int64_t left = start + ms - clock_ms();

		rc = w->hooks->wait(w->ctx, left > 0 ? (uint32_t)left : 0);
		if (rc)
			break;
		w->out->at[i].ms = (uint32_t)(clock_ms() - start);
		rc = tracker_peek(&w->tracker, &w->out->at[i].dirty_pages, w->err);
		w->out->nr = i + 1;
	}
	return rc;
}

static int send_sample(struct watch *w, bool dirty, struct page_batch *b)
{
	if (b->nr == 0)
		return 0;
	b->nr_data = b->nr;
	return w->hooks->sample(w->ctx, dirty, b);
}

/* Every so many of the pages in the bitmap. */
static int sample(struct watch *w, bool dirty, const uint64_t *map, uint64_t nr)
{
	struct page_batch *b = calloc(1, sizeof(*b));
	uint64_t step = nr / HV_SAMPLE_PAGES + 1, seen = 0, at;
	int rc = b ? 0 : error_sys(w->err, -ENOMEM, NULL, "cannot read the domain's memory");

	if (b)
		b->data = w->data;
	for (uint64_t pfn = 0; pfn < w->out->total_pages && !rc; pfn++) {
		if (!(map[pfn / 64] >> (pfn % 64) & 1))
			continue;
		at = seen++;
		if (at % step != hv_sample_offset(at / step, step))
			continue;
		rc = tracker_read(&w->tracker, pfn, 1, b->data + (size_t)b->nr * PAGE_BYTES);
		if (rc) {
			error_sys(w->err, rc, NULL, "cannot read the domain's memory");
			break;
		}
		b->entry[b->nr++] = pfn;
		if (b->nr < PAGE_BATCH_MAX)
			continue;
		rc = send_sample(w, dirty, b);
		b->nr = 0;
	}
	if (!rc)
		rc = send_sample(w, dirty, b);
	free(b);
	return rc;
}

/* Our end of the connection closes: the vmm tracks no longer. What it gave us can be read on. */
static void let_go(struct watch *w)
{
	fd_close(&w->sock);
}

int embedded_watch(const struct domain *dom, const struct hv_watch_hooks *hooks, void *ctx,
	struct hv_watch *watch, struct error *err)
{
	struct watch w = {.hooks = hooks, .ctx = ctx, .out = watch, .err = err, .sock = -1};
	int rc;

	*watch = (struct hv_watch){0};
	for (unsigned i = 0; i < SAVE_FDS; i++)
		w.fds[i] = -1;
	rc = begin(&w, dom);
	if (!rc)
		rc = follow(&w);
	let_go(&w);
	if (!rc)
		rc = sample(&w, false, w.first, watch->first_pages);
	if (!rc && watch->at[watch->nr - 1].dirty_pages)
		rc = sample(&w, true, w.tracker.dirty, watch->at[watch->nr - 1].dirty_pages);
	tracker_dispose(&w.tracker);
	for (unsigned i = 0; i < SAVE_FDS; i++)
		fd_close(&w.fds[i]);
	free(w.first);
	free(w.data);
	return rc;
}
