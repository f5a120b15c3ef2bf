/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hypervisor/xen_cpu.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_offer.h"

int xen_config_retrieve(libxl_ctx *ctx, uint32_t domid, libxl_domain_config *cfg, struct error *err)
{
	int rc;

	libxl_domain_config_init(cfg);
	rc = libxl_retrieve_domain_configuration(ctx, domid, cfg, NULL);
	if (rc)
		return xen_host_error(err, rc, "It must have been created by xl or lifeboat",
			"libxl does not know the configuration of domain %u", domid);
	return 0;
}

int xen_config_parse(libxl_ctx *ctx, const char *json, libxl_domain_config *cfg, struct error *err)
{
	int rc;

	libxl_domain_config_init(cfg);
	rc = libxl_domain_config_from_json(ctx, cfg, json);
	if (rc)
		return xen_host_error(err, rc, "Run the same Xen release on both hosts",
			"libxl does not understand the domain's configuration");
	return 0;
}

int xen_config_offered(
	libxl_ctx *ctx, const char *json, libxl_domain_config *cfg, struct error *err)
{
	struct xen_offer offer;
	int rc;

	libxl_domain_config_init(cfg);
	rc = xen_offer_decode(json, &offer, err);
	if (!rc)
		rc = xen_config_parse(ctx, offer.libxl, cfg, err);
	xen_offer_dispose(&offer);
	return rc;
}

static int describe_host(struct xen_offer *offer, struct error *err)
{
	struct hv_host host;
	int rc = xen_host_info(&host, err);

	if (!rc)
		memcpy(offer->xen, host.version, sizeof(offer->xen));
	offer->time = time(NULL);
	return rc;
}

int xen_config_json(const struct domain *dom, char **json, struct error *err)
{
	struct xen_offer offer = {0};
	libxl_domain_config cfg;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	*json = NULL;
	if (rc)
		return rc;
	rc = xen_config_retrieve(ctx, dom->domid, &cfg, err);
	if (!rc)
		rc = describe_host(&offer, err);
	if (!rc)
		rc = xen_cpu_describe(ctx, dom->domid, &offer, err);
	if (rc)
		goto out;
	offer.libxl = libxl_domain_config_to_json(ctx, &cfg);
	*json = offer.libxl ? xen_offer_encode(&offer) : NULL;
	if (!*json)
		rc = xen_host_error(err, ERROR_NOMEM, NULL,
			"cannot write down the configuration of %s", dom->name);
	else if (strlen(*json) >= HV_OPAQUE_MAX)
		rc = error_set(err, -E2BIG, NULL, "the configuration of %s is too long", dom->name);
out:
	libxl_domain_config_dispose(&cfg);
	xen_offer_dispose(&offer);
	if (rc) {
		free(*json);
		*json = NULL;
	}
	return rc;
}

enum domain_type xen_config_type(libxl_domain_type type)
{
	switch (type) {
	case LIBXL_DOMAIN_TYPE_PV:
		return DOMAIN_PV;
	case LIBXL_DOMAIN_TYPE_PVH:
		return DOMAIN_PVH;
	case LIBXL_DOMAIN_TYPE_HVM:
	case LIBXL_DOMAIN_TYPE_INVALID:
		break;
	}
	return DOMAIN_HVM;
}

void xen_config_vif(const libxl_device_nic *nic, struct domain_vif *vif)
{
	memcpy(vif->mac, nic->mac, sizeof(vif->mac));
	snprintf(vif->bridge, sizeof(vif->bridge), "%s", nic->bridge ? nic->bridge : "");
	snprintf(vif->ip, sizeof(vif->ip), "%s", nic->ip ? nic->ip : "");
	snprintf(vif->device, sizeof(vif->device), "%s", nic->ifname ? nic->ifname : "");
}

void xen_config_vif_device(struct domain_vif *vif, uint32_t domid, int devid)
{
	if (!vif->device[0])
		snprintf(vif->device, sizeof(vif->device), "vif%u.%d", domid, devid);
}

void xen_config_disk(const libxl_device_disk *in, struct domain_disk *out)
{
	snprintf(out->path, sizeof(out->path), "%s", in->pdev_path ? in->pdev_path : "");
	snprintf(out->vdev, sizeof(out->vdev), "%s", in->vdev ? in->vdev : "");
	out->readonly = !in->readwrite;
}

int xen_config_describe(const libxl_domain_config *cfg, struct domain *dom, struct error *err)
{
	const char *name = cfg->c_info.name ? cfg->c_info.name : "";

	*dom = (struct domain){
		.type = xen_config_type(cfg->c_info.type),
		.memory_kb = cfg->b_info.target_memkb,
		.vcpus = (uint32_t)cfg->b_info.max_vcpus,
		.tracker = "log-dirty",
	};
	if (strlen(name) >= sizeof(dom->name) || !domain_name_valid(name))
		return error_set(err, -EINVAL, "Rename it: xl rename",
			"\"%.80s\" is not a name that lifeboat can handle", name);
	if (cfg->num_nics > DOMAIN_VIFS_MAX || cfg->num_disks > DOMAIN_DISKS_MAX)
		return error_set(err, -E2BIG, NULL, "%s has more than %d vifs or %d disks", name,
			DOMAIN_VIFS_MAX, DOMAIN_DISKS_MAX);
	snprintf(dom->name, sizeof(dom->name), "%s", name);
	memcpy(dom->uuid, libxl_uuid_bytearray_const(&cfg->c_info.uuid), sizeof(dom->uuid));
	for (int i = 0; i < cfg->num_nics; i++)
		xen_config_vif(&cfg->nics[i], &dom->vif[dom->nr_vifs++]);
	for (int i = 0; i < cfg->num_disks; i++)
		xen_config_disk(&cfg->disks[i], &dom->disk[dom->nr_disks++]);
	return 0;
}
