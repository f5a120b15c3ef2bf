/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_check.h"

#include "hypervisor/xen_host.h"

/*
 * A guest's page frames end where its memory does, but may start behind holes: 4 GiB for what a PC
 * has there, and 64 GiB for whatever a guest plugged in high. libxc allocates one bit for each.
 */
#define HOLE_PAGES ((UINT64_C(4) + 64) << 18)

static bool has_passthrough(const libxl_domain_config *cfg)
{
	return cfg->num_pcidevs || cfg->num_dtdevs || cfg->num_rdms || cfg->b_info.num_ioports ||
	       cfg->b_info.num_irqs || cfg->b_info.num_iomem;
}

static bool has_stateful_device(const libxl_domain_config *cfg)
{
	return cfg->num_usbctrls || cfg->num_usbdevs || cfg->num_vtpms || cfg->num_p9s ||
	       cfg->num_pvcallsifs || cfg->num_vdispls || cfg->num_vsnds;
}

static bool has_driver_domain(const libxl_domain_config *cfg)
{
	for (int i = 0; i < cfg->num_disks; i++)
		if (cfg->disks[i].backend_domid || cfg->disks[i].backend_domname)
			return true;
	for (int i = 0; i < cfg->num_nics; i++)
		if (cfg->nics[i].backend_domid || cfg->nics[i].backend_domname)
			return true;
	return false;
}

static bool forbids_migration(const libxl_domain_config *cfg)
{
	return libxl_defbool_is_default(cfg->b_info.disable_migrate)
		       ? false
		       : libxl_defbool_val(cfg->b_info.disable_migrate);
}

static bool is_nested(const libxl_domain_config *cfg)
{
	return !libxl_defbool_is_default(cfg->b_info.nested_hvm) &&
	       libxl_defbool_val(cfg->b_info.nested_hvm);
}

static bool has_vnuma(const libxl_domain_config *cfg)
{
	return cfg->b_info.num_vnuma_nodes != 0;
}

static bool has_altp2m(const libxl_domain_config *cfg)
{
	return cfg->b_info.altp2m != LIBXL_ALTP2M_MODE_DISABLED;
}

static bool is_hvm(const libxl_domain_config *cfg)
{
	return cfg->c_info.type == LIBXL_DOMAIN_TYPE_HVM;
}

static bool is_unknown(const libxl_domain_config *cfg)
{
	return cfg->c_info.type != LIBXL_DOMAIN_TYPE_PV &&
	       cfg->c_info.type != LIBXL_DOMAIN_TYPE_PVH;
}

static const struct {
	bool (*applies)(const libxl_domain_config *cfg);
	const char *code, *what, *fix;
} refusals[] = {
	{is_hvm, "type", "is an HVM domain, whose QEMU lifeboat cannot move yet",
		"Move it with xl migrate, or run it as PVH"},
	{is_unknown, "type", "is of a type that lifeboat does not know", "Run it as PVH"},
	{forbids_migration, "disable-migrate",
		"must not be moved: its configuration says disable_migrate",
		"Remove disable_migrate and create it again"},
	{has_passthrough, "passthrough", "holds a device of this host by passthrough",
		"Detach it first, e.g. xl pci-detach"},
	{has_stateful_device, "device",
		"has a device whose state cannot travel (USB, vTPM, 9p, display or sound)",
		"Detach it first"},
	{has_driver_domain, "driver-domain", "has a disk or vif that a driver domain serves",
		"Let dom0 serve its devices"},
	{is_nested, "nested", "may run guests of its own (nestedhvm), whose state Xen cannot save",
		"Create it without nestedhvm"},
	{has_vnuma, "vnuma", "has a NUMA topology of its own, which libxl cannot restore",
		"Create it without vnuma"},
	{has_altp2m, "altp2m", "uses altp2m, which Xen cannot move", "Create it without altp2m"},
};

void xen_check_config(const libxl_domain_config *cfg, const char *name, struct findings *found)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (refusals[i].applies(cfg))
			findings_add(found, FINDING_BLOCKER, refusals[i].code, refusals[i].fix,
				"%s %s", name, refusals[i].what);
}

struct xen_stream_limits xen_check_limits(const libxl_domain_config *cfg)
{
	uint64_t memory_kb = cfg->b_info.max_memkb > cfg->b_info.target_memkb
				     ? cfg->b_info.max_memkb
				     : cfg->b_info.target_memkb;

	return (struct xen_stream_limits){
		.guest = cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV ? XEN_GUEST_PV : XEN_GUEST_HVM,
		.xen_minor = XEN_HOST_MINOR,
		.pfn_max = memory_kb / (PAGE_BYTES / 1024) + HOLE_PAGES,
	};
}
