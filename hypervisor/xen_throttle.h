/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_throttle: hypervisor.throttle, by the scheduler's cap on the domain. The cap that the domain
 * had is written to xenstore, below /libxl/DOMID, before it is changed: any process can give it
 * back, and the note goes with the domain.
 */
#ifndef HYPERVISOR_XEN_THROTTLE_H
#define HYPERVISOR_XEN_THROTTLE_H

#include "hypervisor/hypervisor.h"

int xen_throttle(const struct domain *dom, unsigned percent, struct error *err) WARN_UNUSED;

/* The cap for `percent` of what a domain has: its cap, or `vcpus` whole CPUs with cap 0 (none). */
int xen_throttle_cap(int cap, uint32_t vcpus, unsigned percent);

#endif
