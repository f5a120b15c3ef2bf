/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/policy.h"

#include <stdbool.h>

/* Rounds without progress after which more of them only cost bandwidth. */
#define STALL_LIMIT 3u

/* A round counts as progress when it leaves less than nine tenths of what it began with. */
static bool shrank(uint64_t dirty, uint64_t previous)
{
	return dirty < previous - previous / 10;
}

struct policy_output policy_decide(const struct policy_input *in)
{
	struct policy_output out = {.decision = HV_CONTINUE, .reason = "first round"};

	if (in->round == 0)
		return out;
	if (!shrank(in->dirty_pages, in->previous_dirty))
		out.stalled_rounds = in->stalled_rounds + 1;
	if (in->pages_per_s)
		out.predicted_ms = in->dirty_pages * 1000 / in->pages_per_s;
	out.reason = "still shrinking";
	/*
	 * The last live round sends what is known to be dirty; only what the guest dirties
	 * meanwhile is left for the pause. So the prediction is an upper bound for a guest that
	 * does not speed up.
	 */
	if ((in->pages_per_s || !in->dirty_pages) && out.predicted_ms <= in->max_downtime_ms) {
		out.decision = HV_LAST;
		out.reason = "pause below its target";
	} else if (out.stalled_rounds >= STALL_LIMIT) {
		out.decision = HV_LAST;
		out.reason = "the guest dirties pages as fast as the link takes them";
	} else if (in->round >= POLICY_MAX_ROUNDS) {
		out.decision = HV_LAST;
		out.reason = "enough rounds";
	}
	return out;
}
