/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * forecast: how a move would go, from what was measured before it. Pure: the policy that will
 * decide (policy.h) is asked round by round with what the guest would have dirtied by then.
 */
#ifndef MIGRATE_FORECAST_H
#define MIGRATE_FORECAST_H

#include "migrate/policy.h"

/* How fast pages of a kind get there, and what they weigh on the wire. */
struct forecast_pages {
	double pages_per_s; /* > 0 */
	double bytes;	    /* a page */
};

struct forecast_input {
	struct hv_watch watch;
	struct forecast_pages all, dirty; /* of a first round, of those after it */
	double dirty_factor;		  /* 1 = as watched; less for a guest that is slowed */
	uint64_t bwlimit;		  /* bytes a second while the guest runs, 0 = none */
	uint32_t fixed_ms;		  /* of a pause */
	uint32_t rest_ms;		  /* of a move before its first page and after its last */
	uint32_t rtt_ms;
	uint32_t max_downtime_ms;
	enum config_no_converge on_no_converge;
	bool paused; /* not live: the guest stands still from the first page */
};

struct forecast {
	bool converges;	      /* within the target, without slowing the guest */
	enum hv_decision end; /* HV_ABORT: it would be called off, the guest runs on */
	unsigned rounds;      /* with the one in the pause */
	uint32_t cpu_percent; /* that the guest would have in the end */
	uint64_t total_ms, downtime_ms, wire_bytes;
};

/* Different pages dirtied within `ms`, as watched or extrapolated; never more than there are. */
double forecast_dirty(const struct hv_watch *watch, double ms);

struct forecast forecast_move(const struct forecast_input *in);

/* What would make it converge. 0 = nothing of this kind would. */
struct forecast_help {
	uint32_t max_downtime_ms; /* a target that it meets */
	uint64_t bytes_per_s;	  /* on the wire, a link that is fast enough */
	uint32_t cpu_percent;	  /* of its CPU: slow enough */
};
struct forecast_help forecast_help(const struct forecast_input *in);

#endif
