/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rule that libxc has for `xl migrate`, in place of migrate/policy.c: rounds until fewer than
 * 50 pages are dirty, five at most, whatever the pause then is. For './build.sh bench live' only.
 */
#include "migrate/policy.h"

#define XL_ROUNDS 5u
#define XL_PAGES  50u

struct policy_output policy_decide(const struct policy_input *in)
{
	bool stop = in->round >= XL_ROUNDS ||
		    (in->round > 0 && in->dirty_pages + in->hot_pages < XL_PAGES);

	return (struct policy_output){.decision = stop ? HV_STOP : HV_CONTINUE,
		.cpu_percent = in->cpu_percent,
		.reason = "as xl would"};
}

uint32_t policy_slower(uint32_t percent)
{
	return percent;
}
