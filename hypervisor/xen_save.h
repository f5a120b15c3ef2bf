/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_save: hypervisor.save, by xc_domain_save() in a child (xen_puppet.h). */
#ifndef HYPERVISOR_XEN_SAVE_H
#define HYPERVISOR_XEN_SAVE_H

#include "hypervisor/hypervisor.h"

int xen_save(const struct domain *dom, const struct hv_save_hooks *hooks, void *ctx,
	struct error *err) WARN_UNUSED;

#endif
