/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/send.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"
#include "migrate/network.h"

#define STALL_MS    60000 /* a link that takes nothing for so long is given up */
#define PROGRESS_MS 250
#define RATE_WEIGHT 2048 /* pages of a round that count as much as all rounds before it */

/* When it is too late link_read and link_expect have the sentence. */
static int wait_for_word(struct send *s, int64_t deadline)
{
	struct pollfd p = {.fd = s->src.link.sock, .events = POLLIN};
	int rc = steer_wait(&s->steer, &p, 1, deadline, s->err);

	return rc == -ETIMEDOUT ? 0 : rc;
}

/* APPLIED is heard in passing: it may still be on its way when something else is due. */
int send_hear(struct send *s, int64_t deadline)
{
	int rc;

	do {
		rc = wait_for_word(s, deadline);
		if (rc == 0)
			rc = link_read(s->src.link.sock, &s->src.rec, &s->src.link.stats, deadline,
				s->err);
	} while (rc == 0 && s->src.rec.type == RECORD_APPLIED);
	return rc;
}

int send_expect(struct send *s, uint32_t type, int64_t deadline)
{
	int rc = send_hear(s, deadline);

	if (rc == 0 && s->src.rec.type != type)
		rc = error_set(s->err, -EPROTO, "Run the same lifeboat version on both hosts",
			"%s sent %s where %s was due", s->src.peer->name,
			record_type_name(s->src.rec.type), record_type_name(type));
	return rc;
}

static int on_head(void *ctx, const void *data, size_t len)
{
	return send_say(ctx, RECORD_HEAD, data, len);
}

static int on_tail(void *ctx, const void *data, size_t len)
{
	return send_say(ctx, RECORD_TAIL, data, len);
}

static uint8_t *on_room(void *ctx, const struct page_batch *batch)
{
	return send_room(ctx, batch);
}

static int on_pages(void *ctx, struct page_batch *batch)
{
	struct send *s = ctx;
	int rc;

	/* While they are in the cache: from here on nobody reads them any more. */
	page_batch_mark_zero(batch);
	rc = send_pages(s, batch);
	if (rc)
		return rc;
	s->pages += page_batch_contents(batch);
	s->round_pages += page_batch_contents(batch);
	if (clock_ms() - s->last_event >= PROGRESS_MS)
		send_progress(s, s->at.suspended ? "last round" : "copying");
	return send_look_around(s);
}

/* Wait until everything sent so far is applied there; only then is the link's rate known. */
int send_barrier(struct send *s)
{
	return send_round(s, s->barriers++);
}

int send_pace(struct send *s, uint64_t bytes_per_s)
{
	struct link *link = &s->src.link;
	uint8_t body[16];
	int rc;

	s->pace = bytes_per_s;
	rc = record_write(link->sock, RECORD_PACE, body,
		record_put_pace(body, sizeof(body), bytes_per_s), deadline_in(STALL_MS));
	return rc ? source_broken(&s->src, link, rc, s->err) : 0;
}

uint64_t send_pages_per_s(const struct send *s)
{
	return s->rate.ms > 0 ? (uint64_t)((double)s->rate.pages * 1000 / s->rate.ms) : 0;
}

/*
 * The round that just ended counts as much as all before it, so that the rate follows the link and
 * the kind of pages; a small round counts less: its time is mostly that of the acknowledgement.
 */
static void measure_rate(struct send *s, double ms)
{
	uint64_t weight = s->round_pages > RATE_WEIGHT ? s->round_pages : RATE_WEIGHT;

	if (!s->round_pages)
		return;
	if (s->rate.pages > weight) {
		s->rate.ms *= (double)weight / (double)s->rate.pages;
		s->rate.pages = weight;
	}
	s->rate.pages += s->round_pages;
	s->rate.ms += ms;
}

/* What helps, as far as this move knows. */
static void suggest(struct send *s, const struct policy_output *policy)
{
	bool slowed = s->cpu_percent < 100;

	error_fix(s->err, "Allow a longer pause (--max-downtime %llu), %s, or %s",
		(unsigned long long)(policy->predicted_ms + policy->predicted_ms / 10 + 1),
		slowed ? "stop it all the same (--on-no-converge stop)"
		       : "slow it (--on-no-converge throttle) or stop it all the same (stop)",
		s->wish.bwlimit ? "raise --bwlimit" : "give it a faster link");
}

/* The target cannot be met: say so before anything follows from it. */
static void no_converge(
	struct send *s, const struct hv_round *round, const struct policy_output *policy)
{
	unsigned long long dirty = s->dirty_per_s, rate = send_pages_per_s(s);
	char state[256];

	if (s->fixed_ms >= s->wish.max_downtime_ms)
		snprintf(state, sizeof(state), "a pause to %s takes %u ms before any page",
			s->src.peer->name, s->fixed_ms);
	else
		snprintf(state, sizeof(state),
			"%llu pages are left, it dirties %llu a second and the link takes %llu",
			(unsigned long long)(round->dirty_pages + round->hot_pages), dirty, rate);
	if (policy->decision == HV_ABORT) {
		error_set(s->err, -ECANCELED, NULL,
			"%s: the pause would be %llu ms, over the target of %u ms; %s runs on here",
			state, (unsigned long long)policy->predicted_ms, s->wish.max_downtime_ms,
			s->src.name);
		suggest(s, policy);
	} else if (policy->decision == HV_CONTINUE) {
		send_notice(s, "%s: slowed to %u %% of its CPU", state, policy->cpu_percent);
	} else {
		send_notice(s, "%s: the pause will be about %llu ms, over the target of %u ms",
			state, (unsigned long long)policy->predicted_ms, s->wish.max_downtime_ms);
	}
}

/* What was learned of the guest's addresses, told while it still runs: the pause pays nothing. */
static int send_addresses(struct send *s)
{
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	unsigned nr = network_vifs(&s->src.dom, vif);
	struct addresses *found = &s->learner.found;
	struct nethost h;
	uint8_t body[2 + 22 * ADDRESSES_MAX];

	if (nr == 0)
		return 0;
	learn_drain(&s->learner);
	learn_end(&s->learner);
	if (nethost_read(&h, NULL) == 0) {
		learn_tables(&h, vif, nr, found);
		nethost_dispose(&h);
	}
	network_known(&s->cfg, &s->src.dom, found);
	address_settle(found);
	return send_say(s, RECORD_ADDRESSES, body, address_put(body, sizeof(body), found));
}

/*
 * The last that is said before the guest stands still: the destination's disks become writable, and
 * from here on a link that is lost ends the move. Ours must allow that before; and no earlier,
 * since a connection of DRBD that comes back to one side that allows two primaries and one that
 * does not is given up by both.
 */
static int say_suspending(struct send *s)
{
	struct source *src = &s->src;
	int rc = drbd_window_open(&src->window, &s->cfg, src->engine.entry.uuid, s->err);

	if (rc == 0)
		rc = send_addresses(s);
	s->at.announced = clock_ms();
	/* One that stands still from the first page on would have two primaries for all its pages.
	 */
	return rc || s->wish.still ? rc : send_say(s, RECORD_SUSPENDING, NULL, 0);
}

/* While the guest runs: wait until the destination's disks are writable, or it says why not. */
static int promote_there(struct send *s)
{
	int64_t start = clock_ms();
	int rc = say_suspending(s);

	if (rc == 0)
		rc = send_settle(s);
	s->promote_ms = (uint32_t)(clock_ms() - start);
	return rc;
}

/* Carry out what is more than an answer. */
static int act(struct send *s, const struct hv_round *round, const struct policy_output *policy)
{
	int rc;

	if (policy->no_converge)
		no_converge(s, round, policy);
	if (policy->promote) {
		rc = promote_there(s);
		if (rc)
			return rc;
	}
	if (policy->cpu_percent == s->cpu_percent)
		return 0;
	s->cpu_percent = policy->cpu_percent;
	return s->src.hv->throttle(&s->src.dom, policy->cpu_percent, s->err);
}

static struct policy_output decide(struct send *s, const struct hv_round *round)
{
	const struct policy_input in = {
		.round = round->round,
		.dirty_pages = round->dirty_pages,
		.hot_pages = round->hot_pages,
		.previous_left = s->previous_left,
		.dirty_per_s = s->dirty_per_s,
		.pages_per_s = send_pages_per_s(s),
		.fixed_ms = s->fixed_ms,
		.max_downtime_ms = s->wish.max_downtime_ms,
		.stalled_rounds = s->stalled_rounds,
		.cpu_percent = s->cpu_percent,
		.to_promote = s->src.window.nr && !s->at.announced,
		.on_no_converge = s->wish.on_no_converge,
	};
	struct policy_output out = policy_decide(&in);

	log_info("%s: round %u, %llu pages dirty and %llu postponed, %llu dirtied a second, "
		 "%llu sent a second, pause by now %llu ms (%u of it fixed): %s",
		s->src.name, in.round, (unsigned long long)in.dirty_pages,
		(unsigned long long)in.hot_pages, (unsigned long long)in.dirty_per_s,
		(unsigned long long)in.pages_per_s, (unsigned long long)out.predicted_ms,
		in.fixed_ms, out.reason);
	return out;
}

static enum hv_decision on_round(void *ctx, const struct hv_round *round)
{
	struct send *s = ctx;
	uint64_t left = round->dirty_pages + round->hot_pages;
	struct policy_output policy;

	if (steer_look(&s->steer, s->err))
		return HV_ABORT;
	learn_drain(&s->learner);
	if (round->round > 0)
		s->dirty_per_s = left * 1000 / ((uint64_t)(clock_ms() - s->at.round) + 1);
	policy = decide(s, round);
	if (act(s, round, &policy))
		return HV_ABORT;
	s->stalled_rounds = policy.stalled_rounds;
	s->predicted_ms = policy.predicted_ms;
	s->previous_left = left;
	if (policy.promote) /* what it dirtied meanwhile is in this round, or in the next */
		s->previous_left += s->dirty_per_s * s->promote_ms / 1000;
	s->round_dirty = round->dirty_pages;
	s->round_pages = 0;
	s->rounds = round->round + (policy.decision != HV_STOP);
	s->at.round = clock_ms();
	if (round->round == 0)
		s->at.first = s->at.round;
	send_progress(s, "copying");
	return policy.decision;
}

void send_begin_learning(struct send *s)
{
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	struct error why = ERROR_INIT;
	unsigned nr = network_vifs(&s->src.dom, vif);

	if (nr && learn_begin(&s->learner, vif, nr, &why))
		log_warn("%s: its addresses are not learned: %s", s->src.name, why.what);
}

/*
 * The round ends when all of it has arrived. What the guest dirties while the last of it is still
 * in some queue belongs to this round, not to the next.
 */
static int on_drain(void *ctx)
{
	struct send *s = ctx;
	int rc = send_barrier(s);

	if (rc == 0)
		measure_rate(s, (double)(clock_ms() - s->at.round) + 0.5);
	return rc;
}

static int on_suspending(void *ctx)
{
	struct send *s = ctx;
	/* What is still under way must not fall into the pause, and then the limit ends: it is
	 * there to spare others, the guest not least. */
	int rc = send_barrier(s);

	if (rc == 0 && !s->at.announced)
		rc = say_suspending(s);
	if (rc == 0 && s->wish.bwlimit)
		rc = send_pace(s, 0);
	if (rc)
		return rc;
	s->pages_live = s->pages;
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
	const struct hv_save_hooks hooks = {
		.head = on_head,
		.room = on_room,
		.pages = on_pages,
		.round = on_round,
		.drain = on_drain,
		.suspending = on_suspending,
		.suspended = on_suspended,
		.tail = on_tail,
		.still = s->wish.still,
	};
	int rc = send_session_begin(s);

	if (rc)
		return rc;
	rc = s->src.hv->save(&s->src.dom, &hooks, s, s->err);
	learn_end(&s->learner);
	send_session_end(s);

	/* Those hooks can only say that it ends: the reason, perhaps the peer's, is in the error.
	 */
	return (rc == -ECANCELED || rc == -EPIPE) && s->err->rc ? s->err->rc : rc;
}
