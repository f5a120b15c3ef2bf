/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/send.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"

#define STALL_MS	 60000 /* a link that takes nothing for so long is given up */
#define PROGRESS_MS	 250
#define LOOK_EVERY_PAGES 4096 /* how often to look whether somebody wants us to stop */

static int cancelled(struct send *s)
{
	if (!event_cancelled(s->client))
		return 0;
	return error_set(s->err, -ECANCELED, NULL, "cancelled; %s runs on here", s->src.name);
}

/* Did the destination give up, or the user? Does not block. */
static int look_around(struct send *s)
{
	struct pollfd p = {.fd = s->src.sock, .events = POLLIN};
	int rc = cancelled(s);

	if (rc || poll(&p, 1, 0) <= 0)
		return rc;
	/* Nothing but a reason to stop can come in the middle of a round. */
	rc = link_read(s->src.sock, &s->src.rec, &s->src.stats, deadline_in(1000), s->err);
	if (rc == 0)
		rc = error_set(s->err, -EPROTO, NULL, "%s sent %s out of turn", s->src.peer->name,
			record_type_name(s->src.rec.type));
	return rc;
}

static int send_opaque(struct send *s, uint32_t type, const void *data, size_t len)
{
	int rc = record_write(s->src.sock, type, data, len, deadline_in(STALL_MS));

	return rc ? source_broken(&s->src, rc, s->err) : 0;
}

static int on_head(void *ctx, const void *data, size_t len)
{
	return send_opaque(ctx, RECORD_HEAD, data, len);
}

static int on_tail(void *ctx, const void *data, size_t len)
{
	return send_opaque(ctx, RECORD_TAIL, data, len);
}

static int on_pages(void *ctx, const struct page_batch *batch)
{
	struct send *s = ctx;
	bool look = s->pages / LOOK_EVERY_PAGES != (s->pages + batch->nr) / LOOK_EVERY_PAGES;
	int rc = record_write_pages(s->src.sock, batch, deadline_in(STALL_MS));

	if (rc)
		return source_broken(&s->src, rc, s->err);
	s->pages += batch->nr_data;
	s->round_pages += batch->nr_data;
	if (clock_ms() - s->last_event >= PROGRESS_MS)
		send_progress(s, s->at.suspended ? "last round" : "copying");
	/* Once the guest stands still the quickest way out is forward. */
	return look && !s->at.suspended ? look_around(s) : 0;
}

/* Wait until everything sent so far is applied there; only then is the link's rate known. */
static int barrier(struct send *s, unsigned round)
{
	const struct record_round mark = {.round = round, .pages = s->pages};
	struct record_round ack;
	uint8_t body[32];
	int rc;

	rc = send_opaque(s, RECORD_ROUND, body, record_put_round(body, sizeof(body), &mark));
	if (rc == 0)
		rc = link_expect(s->src.sock, &s->src.rec, RECORD_ROUND_ACK, &s->src.stats,
			deadline_in(STALL_MS), s->err);
	if (rc)
		return rc;
	if (!record_get_round(&s->src.rec, &ack) || ack.round != round || ack.pages != s->pages)
		return error_set(s->err, -EPROTO, NULL,
			"%s acknowledged a round that is not this one", s->src.peer->name);
	return 0;
}

/* Rates over the round that just ended; the link's is smoothed over the rounds. */
static void measure(struct send *s, const struct hv_round *round, int64_t now)
{
	uint64_t ms = (uint64_t)(now - s->at.round) + 1;
	uint64_t rate = s->round_pages * 1000 / ms;

	s->dirty_per_s = round->dirty_pages * 1000 / ms;
	if (rate)
		s->pages_per_s = s->pages_per_s ? (s->pages_per_s + rate) / 2 : rate;
}

static enum hv_decision on_round(void *ctx, const struct hv_round *round)
{
	struct send *s = ctx;
	struct policy_output policy;
	int64_t now;

	if (cancelled(s) || (round->round > 0 && barrier(s, round->round - 1)))
		return HV_ABORT;
	now = clock_ms();
	if (round->round > 0)
		measure(s, round, now);
	policy = policy_decide(&(struct policy_input){
		.round = round->round,
		.dirty_pages = round->dirty_pages,
		.previous_dirty = s->previous_dirty,
		.pages_per_s = s->pages_per_s,
		.max_downtime_ms = s->max_downtime_ms,
		.stalled_rounds = s->stalled_rounds,
	});
	log_info("%s: round %u, %llu pages dirty, %llu pages/s, pause by now %llu ms: %s",
		s->src.name, round->round, (unsigned long long)round->dirty_pages,
		(unsigned long long)s->pages_per_s, (unsigned long long)policy.predicted_ms,
		policy.reason);
	s->stalled_rounds = policy.stalled_rounds;
	s->previous_dirty = s->round_dirty = round->dirty_pages;
	s->round_pages = 0;
	s->rounds = round->round + 1;
	s->at.round = now;
	send_progress(s, "copying");
	return policy.decision;
}

static int on_suspending(void *ctx)
{
	struct send *s = ctx;

	s->at.suspending = clock_ms();
	send_progress(s, "suspending");
	return 0;
}

static int on_suspended(void *ctx)
{
	struct send *s = ctx;

	s->at.suspended = clock_ms();
	s->round_pages = s->round_dirty = 0; /* what is left now is not known beforehand */
	return engine_drive(&s->src.engine, EVENT_SUSPENDED, s->err);
}

int send_stream(struct send *s)
{
	static const struct hv_save_hooks hooks = {
		.head = on_head,
		.pages = on_pages,
		.round = on_round,
		.suspending = on_suspending,
		.suspended = on_suspended,
		.tail = on_tail,
	};

	int rc = s->src.hv->save(&s->src.dom, &hooks, s, s->err);

	/* A round hook can only say ABORT: the reason, which may be the peer's, is in the error. */
	return rc == -ECANCELED && s->err->rc ? s->err->rc : rc;
}
