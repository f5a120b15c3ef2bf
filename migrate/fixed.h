/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fixed: what a pause costs besides its pages, as the moves so far have shown: the suspend, the
 * devices, the journals, the word there and back. Kept by peer and number of devices in
 * state_dir/fixed.json, a cache that may be removed at any time.
 */
#ifndef MIGRATE_FIXED_H
#define MIGRATE_FIXED_H

#include "base/config.h"
#include "hypervisor/hypervisor.h"

/* Milliseconds, 0 when nothing is known. */
uint32_t fixed_load(const struct config *cfg, const char *peer, const struct domain *dom);

/* One more measurement, smoothed with what is there. A failure is only logged. */
void fixed_store(const struct config *cfg, const char *peer, const struct domain *dom, uint32_t ms);

#endif
