/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's side of a move. If this very process dies, the child sees its pipe break and turns
 * log-dirty off; a domain that was suspended by then stays so until somebody resumes it.
 */
#include "hypervisor/xen_save.h"

#include <errno.h>
#include <libxl_utils.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_puppet.h"
#include "hypervisor/xen_qemu.h"
#include "hypervisor/xen_reader.h"

struct save {
	const struct domain *dom;
	const struct hv_save_hooks *hooks;
	void *ctx;
	struct error *err;
	struct xen_puppet puppet;
	uint64_t total_pages, sent_pages;
	uint8_t *known;	       /* one bit a frame: it was sent before */
	uint64_t known_frames; /* bits in it */
	bool aborted;	       /* by a decision, not by an error */
};

static int on_head(void *ctx, const void *data, size_t len)
{
	struct save *s = ctx;

	return s->hooks->head(s->ctx, data, len);
}

static int on_tail(void *ctx, const void *data, size_t len)
{
	struct save *s = ctx;

	return s->hooks->tail(s->ctx, data, len);
}

/*
 * The first round names every frame up to the highest: for a guest with a hole below 4 GiB that is
 * 8 MB of entries that say "nothing here". libxc's restore does nothing at all for such an entry of
 * a guest without page tables of its own (x86_hvm_set_page_type is empty, and it is not populated),
 * so they are dropped, unless the frame was sent before and went away since: a standby may care.
 * PV guests keep theirs; they have no hole.
 */
static void drop_empty(struct save *s, struct page_batch *batch)
{
	uint32_t kept = 0;

	if (!s->known)
		return;
	for (uint32_t i = 0; i < batch->nr; i++) {
		uint64_t entry = batch->entry[i];
		uint64_t pfn = page_pfn(entry);
		bool seen = pfn >= s->known_frames || (s->known[pfn / 8] >> pfn % 8 & 1);

		if (page_type(entry) == PAGE_TYPE_XTAB && !seen)
			continue;
		if (!seen)
			s->known[pfn / 8] |= (uint8_t)(1u << pfn % 8);
		batch->entry[kept++] = entry;
	}
	batch->nr = kept;
}

static uint8_t *room(void *ctx, const struct page_batch *batch)
{
	struct save *s = ctx;

	return s->hooks->room(s->ctx, batch);
}

static int on_pages(void *ctx, struct page_batch *batch)
{
	struct save *s = ctx;

	drop_empty(s, batch);
	if (!batch->nr)
		return 0;
	s->sent_pages += page_batch_contents(batch);
	return s->hooks->pages(s->ctx, batch);
}

/* The first mark tells how many frames there are, before any page. */
static int know_frames(struct save *s, uint64_t frames)
{
	if (s->dom->type == DOMAIN_PV || s->known)
		return 0;
	s->known = calloc(1, frames / 8 + 1);
	if (!s->known)
		return error_set(s->err, -ENOMEM, NULL, "no memory to move %s", s->dom->name);
	s->known_frames = frames;
	return 0;
}

static int on_round(struct save *s, const struct xen_mark *mark)
{
	struct hv_round round = {
		.round = mark->round,
		.dirty_pages = mark->dirty_pages,
		.sent_pages = s->sent_pages,
		.total_pages = s->total_pages,
	};
	int32_t answer = XGS_POLICY_ABORT;
	int rc = mark->round ? 0 : know_frames(s, mark->dirty_pages);

	if (rc)
		return rc;
	if (round.dirty_pages > s->total_pages)
		round.dirty_pages = s->total_pages; /* frames that hold nothing are not sent */
	switch (s->hooks->round(s->ctx, &round)) {
	case HV_CONTINUE:
		answer = XGS_POLICY_CONTINUE_PRECOPY;
		break;
	case HV_LAST:
		answer = XGS_POLICY_STOP_AND_COPY;
		break;
	case HV_STOP:
		answer = XEN_ANSWER_SUSPEND;
		break;
	case HV_ABORT:
		s->aborted = true;
		return -ECANCELED;
	}
	rc = xen_puppet_answer(&s->puppet, answer);
	return rc ? error_sys(s->err, rc, NULL, "the save of %s has ended by itself", s->dom->name)
		  : 0;
}

/* A round is in our hands; what is dirty will be counted when we answer. */
static int on_pass(struct save *s)
{
	int rc = s->hooks->drain(s->ctx);

	if (rc)
		return rc;
	rc = xen_puppet_answer(&s->puppet, XGS_POLICY_CONTINUE_PRECOPY);
	return rc ? error_sys(s->err, rc, NULL, "the save of %s has ended by itself", s->dom->name)
		  : 0;
}

static int suspend(struct save *s)
{
	libxl_ctx *ctx;
	int64_t start = clock_ms();
	int rc = xen_host_open(&ctx, s->err);

	if (rc)
		return rc;
	if (s->dom->type == DOMAIN_HVM)
		xen_qemu_forget_state(s->dom->domid);
	rc = libxl_domain_suspend_only(ctx, s->dom->domid, NULL);
	if (rc == ERROR_GUEST_TIMEDOUT || rc == ERROR_TIMEDOUT)
		return xen_host_error(s->err, rc,
			"Look at its console; its kernel must support Xen",
			"%s did not suspend when asked", s->dom->name);
	if (rc)
		return xen_host_error(s->err, rc, NULL, "%s could not be suspended", s->dom->name);
	log_debug("%s suspended in %lld ms", s->dom->name, (long long)(clock_ms() - start));
	return 0;
}

static int on_suspend(struct save *s)
{
	int rc = s->hooks->suspending(s->ctx);
	if (!rc)
		rc = suspend(s);
	if (rc)
		return rc;
	rc = s->hooks->suspended(s->ctx);
	if (rc)
		return rc;
	rc = xen_puppet_answer(&s->puppet, 1);
	return rc ? error_sys(s->err, rc, NULL, "the save of %s has ended by itself", s->dom->name)
		  : 0;
}

static int on_mark(void *ctx, const struct xen_mark *mark)
{
	switch ((enum xen_mark_kind)mark->kind) {
	case XEN_MARK_ROUND:
		return on_round(ctx, mark);
	case XEN_MARK_SUSPEND:
		return on_suspend(ctx);
	case XEN_MARK_PASS:
		return on_pass(ctx);
	}
	return -EPROTO; /* xen_stream.c lets no other through */
}

static int read_image(void *ctx, void *buf, size_t len)
{
	struct save *s = ctx;

	return io_read_exact(s->puppet.image, buf, len, DEADLINE_NEVER);
}

/* libxl had QEMU save it when the domain was suspended. */
static int save_emulator(struct save *s)
{
	uint8_t *record;
	size_t len = 0;
	int rc = xen_qemu_state(s->dom->domid, &record, &len, s->err);

	if (!rc)
		rc = s->hooks->tail(s->ctx, record, len);
	free(record);
	xen_qemu_forget_state(s->dom->domid);
	return rc;
}

/* Is it suspended, perhaps only now, after a request that had timed out? */
static bool is_suspended(const struct domain *dom)
{
	struct domain now;
	struct error quiet = ERROR_INIT;

	return xen_domain_by_domid(dom->domid, &now, &quiet) == 0 && now.state == DOMAIN_SUSPENDED;
}

/* Whatever went wrong, the domain shall run as before. */
static int undo(struct save *s, int rc, const struct xen_puppet_report *report)
{
	struct error why = ERROR_INIT;

	if (s->aborted)
		error_set(s->err, -ECANCELED, NULL, "the move of %s was called off", s->dom->name);
	else if (rc == -EPIPE || rc == -EPROTO)
		error_set(s->err, report->rc ? report->rc : rc, NULL, "Xen could not save %s: %s",
			s->dom->name, report->text[0] ? report->text : strerror(-report->rc));
	if (!is_suspended(s->dom) || xen_domain_resume(s->dom, &why) == 0)
		return rc;
	/* This is worse than what came before, and must not be overlooked. */
	log_error("%s", why.what);
	if (s->err) {
		*s->err = ERROR_INIT;
		error_set(s->err, rc, why.fix, "%s", why.what);
	}
	return rc;
}

int xen_save(
	const struct domain *dom, const struct hv_save_hooks *hooks, void *ctx, struct error *err)
{
	const struct xen_sink sink = {.head = on_head,
		.mark = on_mark,
		.room = hooks->room ? room : NULL,
		.pages = on_pages,
		.tail = on_tail};
	const struct xen_stream_limits limits = {
		.guest = dom->type == DOMAIN_PV ? XEN_GUEST_PV : XEN_GUEST_HVM};
	struct save s = {.dom = dom,
		.hooks = hooks,
		.ctx = ctx,
		.err = err,
		.puppet = XEN_PUPPET_INIT,
		.total_pages = dom->memory_kb / (PAGE_BYTES / 1024)};
	struct xen_puppet_report report;
	libxl_ctx *xl;
	int rc = xen_host_open(&xl, err);

	if (!rc)
		rc = xen_puppet_start(&s.puppet, dom, !hooks->still, err);
	if (rc)
		return rc;
	rc = xen_reader_run(read_image, &s, &sink, &s, &limits, err);
	if (!rc && dom->type == DOMAIN_HVM)
		rc = save_emulator(&s);
	xen_puppet_end(&s.puppet, &report);
	free(s.known);
	/* END was read, so all is there; a late complaint would be about libxc's own tidying up. */
	if (!rc && report.rc)
		log_warn("after saving %s: %s", dom->name, report.text);
	return rc ? undo(&s, rc, &report) : 0;
}
