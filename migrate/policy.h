/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy: when to stop the guest. A pure function: what is known goes in by value, a decision comes
 * out. */
#ifndef MIGRATE_POLICY_H
#define MIGRATE_POLICY_H

#include <stdint.h>

#include "hypervisor/hypervisor.h"

#define POLICY_MAX_ROUNDS 30u /* of live pre-copy; xl has 5 */

struct policy_input {
	unsigned round;		 /* the round that would begin now */
	uint64_t dirty_pages;	 /* to be sent in it */
	uint64_t previous_dirty; /* sent in the round before; 0 in round 0 */
	uint64_t pages_per_s;	 /* acknowledged by the destination, smoothed; 0 = not known yet */
	uint32_t max_downtime_ms;
	uint32_t stalled_rounds; /* rounds in a row, up to the one before, that did not shrink */
};

struct policy_output {
	enum hv_decision decision;
	uint32_t stalled_rounds; /* feed back into the next input */
	uint64_t predicted_ms;	 /* pause to send `dirty_pages` at the known rate */
	const char *reason;	 /* a static phrase for the log */
};

struct policy_output policy_decide(const struct policy_input *in);

#endif
