/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_shutdown: what is to be done when a domain has stopped, and doing it. Used by
 * lifeboat-monitor. */
#ifndef HYPERVISOR_XEN_SHUTDOWN_H
#define HYPERVISOR_XEN_SHUTDOWN_H

#include <libxl.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/io.h"

/* The action that the configuration names for this reason; an unknown reason destroys. */
libxl_action_on_shutdown xen_shutdown_action(
	const libxl_domain_config *cfg, libxl_shutdown_reason reason);

/* An action's steps, always in this order. */
struct xen_shutdown_steps {
	bool dump, preserve, destroy, soft_reset, create;
};

struct xen_shutdown_steps xen_shutdown_steps(libxl_action_on_shutdown action);

/*
 * Do them. `*domid` becomes the domid of the domain that runs now, or stays when none does;
 * `*again` tells whether one runs. `cfg` is read afresh from the domain before it goes.
 */
int xen_shutdown_do(libxl_ctx *ctx, libxl_domain_config *cfg, libxl_action_on_shutdown action,
	uint32_t *domid, bool *again, struct error *err) WARN_UNUSED;

#endif
