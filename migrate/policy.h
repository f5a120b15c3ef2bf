/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy: when to stop the guest. A pure function: what is known goes in by value, a decision comes
 * out with its reason.
 *
 * If the guest stopped now, the pause would be
 *
 *     fixed + left / rate     left = what is dirty + what was postponed
 *                             rate = pages a second that the destination acknowledged, which has
 *                                    the codec's ratio in it
 *
 * and a round that sends n pages while the guest dirties d a second leaves about n * d / rate of
 * them. The last round is sent only when that is clearly less than n. Before, a round that leaves
 * as much as the one before it is followed by one more, since it may have met a burst: but not
 * where what every pause costs is over the target and the pages matter little beside it.
 *
 * Disks become writable at the destination before the guest stops, not while it stands still: what
 * that takes, and sets off there, is then no part of the pause. What the guest dirties meanwhile
 * is worth one more round, where a round helps or is short.
 */
#ifndef MIGRATE_POLICY_H
#define MIGRATE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "hypervisor/hypervisor.h"

#define POLICY_MAX_ROUNDS  30u /* of live pre-copy; xl has 5 */
#define POLICY_CPU_FLOOR   10u /* percent of its CPU that a guest keeps in any case */
#define POLICY_STALL_LIMIT 2u  /* one round that did not help may have met a burst */

struct policy_input {
	unsigned round;		/* the round that would begin now */
	uint64_t dirty_pages;	/* to be sent in it */
	uint64_t hot_pages;	/* postponed: known dirty, but left for the pause */
	uint64_t previous_left; /* dirty_pages + hot_pages of the round before; 0 in round 0 */
	uint64_t dirty_per_s;	/* pages dirtied a second in the round before */
	uint64_t pages_per_s;	/* acknowledged by the destination, smoothed; 0 = not known yet */
	uint32_t fixed_ms;	/* of a pause, as measured; 0 = not known */
	uint32_t max_downtime_ms;
	uint32_t stalled_rounds; /* rounds in a row, up to the one before, that did not shrink */
	uint32_t cpu_percent;	 /* that the guest has; 100 = all of it */
	bool to_promote;	 /* there are disks that are not yet writable at the destination */
	enum config_no_converge on_no_converge;
};

struct policy_output {
	enum hv_decision decision;
	uint32_t stalled_rounds; /* feed back into the next input */
	uint64_t predicted_ms;	 /* the pause, if the guest stopped now */
	uint32_t cpu_percent;	 /* that the guest shall have from now on */
	bool no_converge;	 /* the target cannot be met; `decision` is what the user chose */
	bool promote;		 /* before that, let the destination's disks become writable */
	const char *reason;	 /* a static phrase for the log */
};

struct policy_output policy_decide(const struct policy_input *in);

/* The next step down, or `percent` itself at the floor. */
uint32_t policy_slower(uint32_t percent);

#endif
