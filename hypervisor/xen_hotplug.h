/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_hotplug: have libxl attach a moved domain's devices by lifeboat-hotplug. Afterwards the stock
 * scripts stand in its configuration and in xenstore again, so that xl on this host or another,
 * with or without lifeboat, finds what it knows.
 */
#ifndef HYPERVISOR_XEN_HOTPLUG_H
#define HYPERVISOR_XEN_HOTPLUG_H

#include <libxl.h>

#include "base/error.h"
#include "base/io.h"

/* Name our program (at `program`) for every device that a stock script would attach. */
void xen_hotplug_use(libxl_domain_config *cfg, const char *program);
/* Take it back; false when it stood nowhere. */
bool xen_hotplug_forget(libxl_domain_config *cfg, const char *program);

/* The program as installed or built here; NULL when there is none, and the scripts do it. */
const char *xen_hotplug_program(void);

/* Name the stock scripts in the configuration and in xenstore of a domain that was built. */
int xen_hotplug_settle(uint32_t domid, struct error *err) WARN_UNUSED;

#endif
