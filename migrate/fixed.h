/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fixed: what a move costs besides its pages, as the moves so far have shown. FIXED_PAUSE: within
 * the pause, the suspend, the devices, the journals, the word there and back. FIXED_REST: before
 * the first page and after the guest runs there. Kept by peer and number of devices in
 * state_dir/fixed.json, a cache that may be removed at any time.
 */
#ifndef MIGRATE_FIXED_H
#define MIGRATE_FIXED_H

#include "base/config.h"
#include "hypervisor/hypervisor.h"

enum fixed_part { FIXED_PAUSE = 1, FIXED_REST };

/* Milliseconds, 0 when nothing is known. */
uint32_t fixed_load(
	const struct config *cfg, enum fixed_part part, const char *peer, const struct domain *dom);

/* One more measurement, smoothed with what is there. A failure is only logged. */
void fixed_store(const struct config *cfg, enum fixed_part part, const char *peer,
	const struct domain *dom, uint32_t ms);

#endif
