/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_config: a domain's configuration, from libxl and as JSON, and what struct domain tells of it.
 */
#ifndef HYPERVISOR_XEN_CONFIG_H
#define HYPERVISOR_XEN_CONFIG_H

#include <libxl.h>

#include "hypervisor/hypervisor.h"

/*
 * As the domain stands now; memory targets and devices change while it runs. `cfg` is initialised
 * here and must be disposed in any case.
 */
int xen_config_retrieve(
	libxl_ctx *ctx, uint32_t domid, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;

/* From libxl's own text. `cfg` must be disposed in any case. */
int xen_config_parse(
	libxl_ctx *ctx, const char *json, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;

/* From the text that xen_config_json() made. `cfg` must be disposed in any case. */
int xen_config_offered(
	libxl_ctx *ctx, const char *json, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;

/* hypervisor.config: what xen_offer.h describes. */
int xen_config_json(const struct domain *dom, char **json, struct error *err) WARN_UNUSED;

/* Name, UUID, type, memory, vCPUs, vifs and disks; `dom` is overwritten. */
int xen_config_describe(
	const libxl_domain_config *cfg, struct domain *dom, struct error *err) WARN_UNUSED;

enum domain_type xen_config_type(libxl_domain_type type);
/* `device` is set when the configuration names it, else by xen_config_vif_device. */
void xen_config_vif(const libxl_device_nic *nic, struct domain_vif *vif);
void xen_config_vif_device(struct domain_vif *vif, uint32_t domid, int devid);
void xen_config_disk(const libxl_device_disk *in, struct domain_disk *out);

#endif
