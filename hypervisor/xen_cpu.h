/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_cpu: the processor as Xen shows it, to a domain and at most to any here. */
#ifndef HYPERVISOR_XEN_CPU_H
#define HYPERVISOR_XEN_CPU_H

#include <libxl.h>

#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_offer.h"

/* Fill in what the offer says of the domain's processor. */
int xen_cpu_describe(
	libxl_ctx *ctx, uint32_t domid, struct xen_offer *offer, struct error *err) WARN_UNUSED;

/* Find what the offered domain needs of a processor and would not have here. */
int xen_cpu_check(libxl_ctx *ctx, const struct xen_offer *offer, const libxl_domain_config *cfg,
	const char *name, struct findings *found, struct error *err) WARN_UNUSED;

#endif
