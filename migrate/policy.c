/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/policy.h"

#define POLISHED_MS    5  /* of a pause that are its pages: nobody sees them */
#define PROGRESS_PARTS 10 /* that a round which counts as progress leaves nine of, at most */
#define POLISH_PARTS   4
#define NEAR_PARTS     4 /* of what any pause costs */

/* Did the round before leave less than it began with, by more than one of so many parts? */
static bool shrank(uint64_t left, uint64_t previous, uint64_t parts)
{
	return left < previous - previous / parts;
}

static uint64_t left_pages(const struct policy_input *in)
{
	return in->dirty_pages + in->hot_pages;
}

/* Of the pages alone, without what any pause costs. Only with a known rate. */
static uint64_t pages_ms(const struct policy_input *in, uint64_t pages)
{
	/* PFNs have 52 bits: in floating point nothing overflows. */
	return (uint64_t)((double)pages * 1000 / (double)in->pages_per_s);
}

/*
 * What the pages may take. Where the fixed part alone is near the target, or over it, sending more
 * rounds for the last milliseconds would be vain: then a tenth of the target or a twentieth of the
 * fixed part is near enough.
 */
static uint64_t pages_budget_ms(const struct policy_input *in)
{
	uint64_t budget =
		in->max_downtime_ms > in->fixed_ms ? in->max_downtime_ms - in->fixed_ms : 0;
	uint64_t tenth = in->max_downtime_ms / 10, twentieth = in->fixed_ms / 20;

	if (tenth < twentieth)
		tenth = twentieth;
	return budget > tenth ? budget : tenth;
}

/* Would sending the dirty pages leave clearly fewer? Of hot ones it is known that it would not. */
static bool helps(const struct policy_input *in)
{
	return in->dirty_pages && (double)in->dirty_per_s < 0.8 * (double)in->pages_per_s;
}

/*
 * The target is met. Would what one more round, the last, leaves of the dirty pages still be half
 * as much as the rest of the pause? Then it is not the last: rounds are short by now, and get
 * shorter. A rate alone says too little, since a long round meets the same pages again and again:
 * the round before must have left clearly fewer, too.
 */
static bool polishes(const struct policy_input *in)
{
	double left;
	uint64_t rest;

	if (!helps(in) || in->round + 1 >= POLICY_MAX_ROUNDS ||
		!shrank(left_pages(in), in->previous_left, POLISH_PARTS))
		return false;
	rest = in->fixed_ms + pages_ms(in, in->hot_pages);
	left = (double)pages_ms(in, in->dirty_pages) * (double)in->dirty_per_s /
	       (double)in->pages_per_s;
	return left > POLISHED_MS && left > (double)rest / 2;
}

static struct policy_output stop(const struct policy_input *in, struct policy_output out)
{
	out.decision = HV_STOP;
	out.reason = "pause below its target, and no round would shorten it";
	if (helps(in)) {
		out.decision = HV_LAST;
		out.reason = "pause below its target, and shorter after one more round";
	}
	if (out.predicted_ms > in->max_downtime_ms) {
		out.no_converge = true;
		out.reason = "what every pause costs here is over the target; the pages are not";
		if (in->on_no_converge == NO_CONVERGE_ABORT)
			out.decision = HV_ABORT;
	}
	return out;
}

uint32_t policy_slower(uint32_t percent)
{
	static const uint32_t steps[] = {60, 40, 25, 15, POLICY_CPU_FLOOR};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i] < percent)
			return steps[i];
	return percent;
}

static struct policy_output give_up(const struct policy_input *in, struct policy_output out)
{
	out.no_converge = true;
	switch (in->on_no_converge) {
	case NO_CONVERGE_THROTTLE:
		out.cpu_percent = policy_slower(in->cpu_percent);
		if (out.cpu_percent < in->cpu_percent && in->round < POLICY_MAX_ROUNDS) {
			out.decision = HV_CONTINUE;
			out.stalled_rounds = 0;
			out.reason = "it dirties pages as fast as the link takes them: slowed";
			return out;
		}
		out.decision = HV_ABORT;
		out.reason = "it dirties pages as fast as the link takes them, even slowed";
		return out;
	case NO_CONVERGE_ABORT:
		out.decision = HV_ABORT;
		out.reason = "it dirties pages as fast as the link takes them: called off";
		return out;
	case NO_CONVERGE_STOP:
		break;
	}
	out.decision = HV_STOP;
	out.reason = "it dirties pages as fast as the link takes them: stopped all the same";
	return out;
}

/*
 * No pause can meet the target, and the pages are a small part of this one: rounds that leave much
 * what they sent would only go on, and a burst is not worth waiting for.
 */
static bool near_enough(const struct policy_input *in, uint64_t need_ms)
{
	return in->pages_per_s && in->fixed_ms >= in->max_downtime_ms &&
	       need_ms <= in->fixed_ms / NEAR_PARTS &&
	       !shrank(left_pages(in), in->previous_left, POLISH_PARTS);
}

static struct policy_output decide(const struct policy_input *in)
{
	struct policy_output out = {
		.decision = HV_CONTINUE, .reason = "first round", .cpu_percent = in->cpu_percent};
	uint64_t left = left_pages(in), need_ms;

	if (in->round == 0)
		return out;
	need_ms = left && in->pages_per_s ? pages_ms(in, left) : 0;
	out.predicted_ms = in->fixed_ms + need_ms;
	if ((in->pages_per_s || !left) && need_ms <= pages_budget_ms(in)) {
		if (!polishes(in))
			return stop(in, out);
		out.reason = "pause below its target, and a few short rounds make it shorter";
		return out;
	}
	if (near_enough(in, need_ms))
		return stop(in, out);
	if (!shrank(left, in->previous_left, PROGRESS_PARTS))
		out.stalled_rounds = in->stalled_rounds + 1;
	/* A guest that may be slowed is slowed at once: waiting out a burst costs rounds. */
	if (out.stalled_rounds >= POLICY_STALL_LIMIT || in->round >= POLICY_MAX_ROUNDS ||
		(out.stalled_rounds && in->on_no_converge == NO_CONVERGE_THROTTLE))
		return give_up(in, out);
	out.reason = out.stalled_rounds ? "not shrinking; it may be a burst" : "still shrinking";
	return out;
}

/* Would a round of what is left take less than what every pause costs? */
static bool is_short(const struct policy_input *in)
{
	return in->pages_per_s && pages_ms(in, in->dirty_pages) <= in->fixed_ms;
}

struct policy_output policy_decide(const struct policy_input *in)
{
	struct policy_output out = decide(in);

	out.promote = in->to_promote && (out.decision == HV_LAST || out.decision == HV_STOP);
	/* Vain are only the rounds of a guest that is given up. */
	if (out.promote && (!out.no_converge || is_short(in))) {
		out.decision = HV_CONTINUE;
		out.no_converge = false; /* that is said when it does stop */
		out.reason = "the disks become writable there, and one more round";
	}
	return out;
}
