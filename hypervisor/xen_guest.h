/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_guest: what a guest's own agent says about it in xenstore. The guest writes it: a claim. */
#ifndef HYPERVISOR_XEN_GUEST_H
#define HYPERVISOR_XEN_GUEST_H

#include <stddef.h>
#include <stdint.h>

/*
 * The addresses that the guest reports for its vif, between blanks; "" when it reports none. Only
 * characters of addresses come through; a list that does not fit ends early.
 */
void xen_guest_addresses(uint32_t domid, int vif, char *out, size_t size);

#endif
