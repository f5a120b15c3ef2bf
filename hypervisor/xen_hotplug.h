/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_hotplug: have libxl attach a moved domain's devices by lifeboat-hotplug. Afterwards the stock
 * scripts stand in its configuration and in xenstore again, so that xl on this host or another,
 * with or without lifeboat, finds what it knows. And have it detach them so when it is destroyed.
 */
#ifndef HYPERVISOR_XEN_HOTPLUG_H
#define HYPERVISOR_XEN_HOTPLUG_H

#include <libxl.h>

#include "base/error.h"
#include "base/io.h"

/* A device that a stock script would attach, in this host's dom0; the disk is a block device. */
bool xen_hotplug_plain_nic(const libxl_device_nic *nic);
bool xen_hotplug_plain_disk(const libxl_device_disk *disk);

/* Name our program (at `program`) for every plain device. */
void xen_hotplug_use(libxl_domain_config *cfg, const char *program);
/* The same, but for disks nothing at all, so that they are attached without their device. */
void xen_hotplug_use_early(libxl_domain_config *cfg, const char *program);
/* Take it back; false when it stood nowhere. */
bool xen_hotplug_forget(libxl_domain_config *cfg, const char *program);

/* The program as installed or built here; NULL when there is none, and the scripts do it. */
const char *xen_hotplug_program(void);

/* Name the stock scripts in the configuration and in xenstore of a domain that was built. */
int xen_hotplug_settle(uint32_t domid, struct error *err) WARN_UNUSED;
/* In xenstore only, after xen_hotplug_use_early; nothing is found anew after that. */
void xen_hotplug_settle_early(uint32_t domid);

/* In xenstore, of a domain that is destroyed next: our program for what a stock script would do. */
void xen_hotplug_use_last(uint32_t domid);

/* Write a domain's configuration down where libxl looks for it. */
int xen_hotplug_store(
	libxl_ctx *ctx, uint32_t domid, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;
/* Add vifs and disks to what is written there. */
int xen_hotplug_add(
	uint32_t domid, const libxl_domain_config *devices, struct error *err) WARN_UNUSED;

#endif
