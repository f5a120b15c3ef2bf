/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_ring: are a suspended guest's disk requests all answered? blkback goes on with what it had
 * taken when the guest stopped, and a write of the source that lands after the destination has
 * written the same block is silent corruption. The guest issues nothing any more, so a ring once
 * empty stays empty.
 */
#ifndef HYPERVISOR_XEN_RING_H
#define HYPERVISOR_XEN_RING_H

#include "hypervisor/hypervisor.h"

/*
 * Is every request on this shared ring answered? `page` is the ring's first, 4096 bytes as the
 * guest and its backend have them; read once, atomically by word.
 */
bool xen_ring_idle(const void *page);

/*
 * Wait until all rings of all the domain's disks are idle, at most 5 s. `dom` is suspended. 0,
 * -EBUSY when requests are still open by then, -EIO when a ring cannot be read.
 */
int xen_ring_drain(const struct domain *dom, struct error *err) WARN_UNUSED;

#endif
