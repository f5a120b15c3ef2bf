/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_check: may this domain leave, may it come? Everything that can be known before a page moves.
 */
#ifndef HYPERVISOR_XEN_CHECK_H
#define HYPERVISOR_XEN_CHECK_H

#include <libxl.h>

#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_stream.h"

/* hypervisor.save_check and hypervisor.restore_check */
int xen_check_save(const struct domain *dom, struct findings *found, struct error *err) WARN_UNUSED;
int xen_check_restore(const char *json, struct domain *dom, struct findings *found,
	struct error *err) WARN_UNUSED;

/* What in a configuration forbids a move, wherever it is. */
void xen_check_config(const libxl_domain_config *cfg, const char *name, struct findings *found);

/*
 * Can this host carry it: kind of guest, bridges, disks, memory? 0 also when something was found.
 * May fill in libxl's defaults.
 */
int xen_check_place(libxl_ctx *ctx, libxl_domain_config *cfg, const char *name,
	struct findings *found, struct error *err) WARN_UNUSED;

/* What an image of a domain with this configuration may contain. */
struct xen_stream_limits xen_check_limits(const libxl_domain_config *cfg);

#endif
