/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_early_child: the child of xen_early, in which libxl adds the devices. */
#ifndef HYPERVISOR_XEN_EARLY_CHILD_H
#define HYPERVISOR_XEN_EARLY_CHILD_H

#include <libxl.h>

/*
 * Wait for the domain with `cfg`'s name and UUID, add `devices` to it, report on `control` and
 * exit. Gives up when the other end of `control` is shut down.
 */
void xen_early_child(const libxl_domain_config *cfg, libxl_domain_config *devices, int control)
	__attribute__((noreturn));

#endif
