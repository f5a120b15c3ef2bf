/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_watch: hypervisor.watch, by log-dirty mode. It is switched on and off by a child process that
 * does nothing else and outlives its parent by just that: whatever happens to us, it is off again.
 */
#ifndef HYPERVISOR_XEN_WATCH_H
#define HYPERVISOR_XEN_WATCH_H

#include "hypervisor/hypervisor.h"

int xen_watch(const struct domain *dom, const struct hv_watch_hooks *hooks, void *ctx,
	struct hv_watch *watch, struct error *err) WARN_UNUSED;

#endif
