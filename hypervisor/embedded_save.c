/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pre-copy loop of the embedded backend. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor/embedded.h"
#include "hypervisor/embedded_state.h"
#include "hypervisor/embedded_tracker.h"

struct save {
	const struct hv_save_hooks *hooks;
	void *ctx;
	struct error *err;
	int sock;
	int fds[SAVE_FDS];
	struct vmm_reply reply;
	struct tracker tracker;
	uint64_t *once, *twice; /* what the last harvest found, and the one before it */
	uint64_t *pending;	/* dirty, and not to be sent before the guest stands still */
	struct page_batch batch;
	uint8_t *own; /* room for a batch, where the hooks have none */
	struct hv_round round;
};

int embedded_save_check(const struct domain *dom, struct findings *found, struct error *err)
{
	struct vmm_reply reply;
	int rc = client_simple(embedded_host.run_dir, dom->name, VMM_STATUS, 0, NULL, &reply, err);

	if (rc)
		return rc;
	if (reply.dom.state != DOMAIN_RUNNING)
		findings_add(found, FINDING_BLOCKER, "state",
			reply.dom.state == DOMAIN_PAUSED ? "Start it with hv unpause first"
							 : "Destroy it and create it again",
			"domain `%s' is %s, only a running one can be moved live", dom->name,
			domain_state_name(reply.dom.state));
	if (embedded_host.tracker == TRACKER_PAGEMAP && reply.tracker_reason[0])
		findings_add(found, FINDING_BLOCKER, HV_FINDING_UNTRACKED,
			"Set dirty_tracking = auto or compare",
			"dirty_tracking = pagemap does not work on this host: %s",
			reply.tracker_reason);
	return 0;
}

static int request(struct save *s, enum vmm_op op, uint64_t arg, int *fds, size_t *nr_fds)
{
	struct client_call call = {.op = op, .arg = arg, .fd_out = -1};

	return client_request(s->sock, &call, &s->reply, fds, nr_fds, s->err);
}

/* Of a bitmap with a bit a page. */
static size_t words(const struct save *s)
{
	return (size_t)((s->round.total_pages + 63) / 64);
}

static int begin(struct save *s, const struct domain *dom)
{
	size_t nr_fds = SAVE_FDS;
	int rc;

	s->sock = client_connect(embedded_host.run_dir, dom->name, s->err);
	if (s->sock < 0)
		return s->sock;
	/* One that stands still writes nothing: no help of the kernel is needed. */
	rc = request(s, VMM_SAVE_BEGIN, s->hooks->still ? TRACKER_COMPARE : embedded_host.tracker,
		s->fds, &nr_fds);
	if (rc)
		return rc;
	/* Places that came without a descriptor were not touched and still hold -1. */
	s->round.total_pages = s->reply.dom.memory_kb * 1024 / PAGE_BYTES;
	s->once = calloc(words(s), sizeof(*s->once));
	s->twice = calloc(words(s), sizeof(*s->twice));
	s->pending = calloc(words(s), sizeof(*s->pending));
	if (!s->once || !s->twice || !s->pending)
		return error_sys(s->err, -ENOMEM, NULL, "cannot save `%s'", dom->name);
	return tracker_init(&s->tracker, s->fds[SAVE_FD_MEMORY], s->round.total_pages,
		s->fds[SAVE_FD_PAGEMAP], s->fds[SAVE_FD_WRITTEN], s->err);
}

static int send_image(struct save *s, uint32_t len, uint8_t *buf, uint8_t *piece)
{
	int rc = 0;

	for (uint32_t at = 0; at < len && !rc;) {
		size_t want = len - at < STATE_PIECE_MAX ? len - at : STATE_PIECE_MAX;
		ssize_t n = pread(s->fds[SAVE_FD_IMAGE], piece, want, at), out;

		out = n > 0 ? embedded_piece_encode(at, piece, (size_t)n, buf, 2 * STATE_PIECE_MAX)
			    : -EIO;
		if (out < 0)
			return error_sys(s->err, (int)out, NULL, "cannot read the kernel image");
		rc = s->hooks->head(s->ctx, buf, (size_t)out);
		at += (uint32_t)n;
	}
	return rc;
}

static int send_head(struct save *s)
{
	uint8_t *buf = malloc(3 * STATE_PIECE_MAX);
	struct embedded_head head = {
		.nr_pages = s->round.total_pages, .xfeatures = s->reply.xfeatures};
	struct stat st;
	ssize_t len;
	int rc;

	if (!buf || fstat(s->fds[SAVE_FD_IMAGE], &st) < 0) {
		rc = error_sys(s->err, -ENOMEM, NULL, "cannot read the kernel image");
		goto out;
	}
	head.image_len = (uint32_t)st.st_size;
	len = embedded_head_encode(&head, buf, STATE_HEAD_MAX);
	rc = len < 0 ? (int)len : s->hooks->head(s->ctx, buf, (size_t)len);
	if (!rc)
		rc = send_image(s, head.image_len, buf, buf + 2 * STATE_PIECE_MAX);
out:
	free(buf);
	return rc;
}

/* One copy of each page, taken once: the guest may run on. Neighbours are read together. */
static int read_batch(struct save *s)
{
	struct page_batch *b = &s->batch;
	uint32_t end;

	if (s->hooks->room)
		b->data = s->hooks->room(s->ctx, b);
	if (!b->data)
		return -EPIPE;
	for (uint32_t i = 0; i < b->nr; i = end) {
		int rc;

		for (end = i + 1; end < b->nr && b->entry[end] == b->entry[end - 1] + 1; end++)
			;
		rc = tracker_read(
			&s->tracker, b->entry[i], end - i, b->data + (size_t)i * PAGE_BYTES);
		if (rc)
			return error_sys(s->err, rc, NULL, "cannot read the domain's memory");
	}
	for (uint32_t i = 0; i < b->nr; i++)
		tracker_sent(&s->tracker, b->entry[i], b->data + (size_t)i * PAGE_BYTES);
	b->nr_data = b->nr;
	return 0;
}

static int send_batch(struct save *s)
{
	int rc;

	if (s->batch.nr == 0)
		return 0;
	rc = read_batch(s);
	if (rc)
		return rc;
	rc = s->hooks->pages(s->ctx, &s->batch);
	s->round.sent_pages += s->batch.nr;
	s->batch.nr = 0;
	return rc;
}

/* Send what the last harvest found. */
static int send_set(struct save *s)
{
	for (uint64_t pfn = 0; pfn < s->tracker.nr_pages; pfn++) {
		int rc;

		if (pfn % 64 == 0 && s->tracker.dirty[pfn / 64] == 0) {
			pfn += 63;
			continue;
		}
		if (!tracker_is_dirty(&s->tracker, pfn))
			continue;
		if (s->batch.nr == PAGE_BATCH_MAX ||
			(s->batch.nr && page_region(s->batch.entry[0]) != page_region(pfn))) {
			rc = send_batch(s);
			if (rc)
				return rc;
		}
		s->batch.entry[s->batch.nr++] = pfn;
	}
	return send_batch(s);
}

/*
 * A page that three harvests in a row found dirty would be sent in vain: it stays for the pause, or
 * for the first round in which it was left alone.
 */
static void postpone_hot(struct save *s)
{
	uint64_t *dirty = s->tracker.dirty;

	s->round.dirty_pages = s->round.hot_pages = 0;
	for (size_t i = 0; i < words(s); i++) {
		uint64_t found = dirty[i], hot = found & s->once[i] & s->twice[i];

		dirty[i] = (found | s->pending[i]) & ~hot;
		s->pending[i] = hot;
		s->twice[i] = s->once[i];
		s->once[i] = found;
		s->round.dirty_pages += (uint64_t)__builtin_popcountll(dirty[i]);
		s->round.hot_pages += (uint64_t)__builtin_popcountll(hot);
	}
}

/* What was not sent goes with what the guest dirties until it stands still. */
static void keep_for_pause(struct save *s)
{
	for (size_t i = 0; i < words(s); i++)
		s->pending[i] |= s->tracker.dirty[i];
}

static int find_dirty(struct save *s)
{
	int rc;

	if (s->round.round == 0)
		return tracker_first(&s->tracker, &s->round.dirty_pages, s->err);
	rc = tracker_harvest(&s->tracker, &s->round.dirty_pages, s->err);
	if (rc == 0)
		postpone_hot(s);
	return rc;
}

static int precopy(struct save *s)
{
	for (;; s->round.round++) {
		enum hv_decision decision;
		int rc = find_dirty(s);

		if (rc)
			return rc;
		decision = s->hooks->round(s->ctx, &s->round);
		if (decision == HV_ABORT)
			return error_set(s->err, -ECANCELED, NULL, "the move was called off");
		if (decision == HV_STOP) {
			keep_for_pause(s);
			return 0;
		}
		rc = send_set(s);
		if (rc || decision == HV_LAST)
			return rc;
		rc = s->hooks->drain(s->ctx);
		if (rc)
			return rc;
	}
}

static int send_tail(struct save *s, int fd)
{
	uint8_t *buf = malloc(STATE_TAIL_MAX);
	ssize_t n = buf ? pread(fd, buf, STATE_TAIL_MAX, 0) : -1;
	int rc;

	if (n <= 0)
		rc = error_sys(s->err, -EIO, NULL, "cannot read the domain's CPU state");
	else
		rc = s->hooks->tail(s->ctx, buf, (size_t)n);
	free(buf);
	return rc;
}

static int stop_and_copy(struct save *s)
{
	int tail = -1, rc = s->hooks->suspending(s->ctx);
	size_t nr_fds = 1;

	if (!rc)
		rc = request(s, VMM_SAVE_SUSPEND, 0, &tail, &nr_fds);
	if (!rc)
		rc = s->hooks->suspended(s->ctx);
	if (!rc)
		rc = s->hooks->still ? tracker_first(&s->tracker, &s->round.dirty_pages, s->err)
				     : tracker_harvest(&s->tracker, &s->round.dirty_pages, s->err);
	for (size_t i = 0; !rc && i < words(s); i++)
		s->tracker.dirty[i] |= s->pending[i];
	if (!rc)
		rc = send_set(s);
	if (!rc)
		rc = send_tail(s, tail);
	if (!rc)
		rc = request(s, VMM_SAVE_DONE, 0, NULL, NULL);
	fd_close(&tail);
	return rc;
}

/* Our end closes before SAVE_DONE: the vmm undoes all, and closes its own end after that. */
static void undo(struct save *s)
{
	if (s->sock >= 0 && shutdown(s->sock, SHUT_WR) == 0 && client_wait_gone(s->sock, s->err))
		error_set(s->err, -EIO, "hv destroy it if it does not answer",
			"and the domain may still be suspended");
}

int embedded_save(
	const struct domain *dom, const struct hv_save_hooks *hooks, void *ctx, struct error *err)
{
	struct save *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return error_sys(err, -ENOMEM, NULL, "cannot save `%s'", dom->name);
	*s = (struct save){.hooks = hooks, .ctx = ctx, .err = err, .sock = -1};
	for (unsigned i = 0; i < SAVE_FDS; i++)
		s->fds[i] = -1;
	if (!hooks->room)
		s->own = s->batch.data = malloc((size_t)PAGE_BATCH_MAX * PAGE_BYTES);
	rc = s->own || hooks->room ? begin(s, dom)
				   : error_sys(err, -ENOMEM, NULL, "cannot save `%s'", dom->name);
	if (!rc)
		rc = send_head(s);
	if (!rc && !hooks->still)
		rc = precopy(s);
	if (!rc)
		rc = stop_and_copy(s);
	if (rc)
		undo(s);
	tracker_dispose(&s->tracker);
	free(s->once);
	free(s->twice);
	free(s->pending);
	for (unsigned i = 0; i < SAVE_FDS; i++)
		fd_close(&s->fds[i]);
	fd_close(&s->sock);
	free(s->own);
	free(s);
	return rc;
}
