/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_check.h"

#include <string.h>

#include "hypervisor/xen_host.h"

/*
 * A guest's page frames end where its memory does, but may start behind holes: 4 GiB for what a PC
 * has there, and 64 GiB for whatever a guest plugged in high. libxc allocates one bit for each.
 */
#define HOLE_PAGES ((UINT64_C(4) + 64) << 18)

static bool passes_graphics(const libxl_domain_config *cfg)
{
	return cfg->b_info.type == LIBXL_DOMAIN_TYPE_HVM && /* what tells the union's kind */
	       !libxl_defbool_is_default(cfg->b_info.u.hvm.gfx_passthru) &&
	       libxl_defbool_val(cfg->b_info.u.hvm.gfx_passthru);
}

static bool has_passthrough(const libxl_domain_config *cfg)
{
	return cfg->num_pcidevs || cfg->num_dtdevs || cfg->num_rdms || cfg->b_info.num_ioports ||
	       cfg->b_info.num_irqs || cfg->b_info.num_iomem || passes_graphics(cfg);
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

/* What libxl does not know the state of, or has in another domain. */
static bool has_other_emulator(const libxl_domain_config *cfg)
{
	return cfg->b_info.device_model_version ==
		       LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL ||
	       (!libxl_defbool_is_default(cfg->b_info.device_model_stubdomain) &&
		       libxl_defbool_val(cfg->b_info.device_model_stubdomain));
}

static bool is_plain_serial(const char *serial)
{
	return !serial || strcmp(serial, "pty") == 0 || strcmp(serial, "none") == 0 ||
	       strcmp(serial, "null") == 0;
}

/* QEMU runs as root on the destination: its arguments are a way to any file there. */
static bool has_emulator_arguments(const libxl_domain_config *cfg)
{
	const libxl_domain_build_info *b = &cfg->b_info;
	bool own = (b->extra && b->extra[0]) || (b->extra_pv && b->extra_pv[0]) ||
		   (b->extra_hvm && b->extra_hvm[0]);

	if (b->type != LIBXL_DOMAIN_TYPE_HVM)
		return own;
	for (size_t i = 0; b->u.hvm.serial_list && b->u.hvm.serial_list[i]; i++)
		own = own || !is_plain_serial(b->u.hvm.serial_list[i]);
	return own || !is_plain_serial(b->u.hvm.serial);
}

static bool is_unknown(const libxl_domain_config *cfg)
{
	return cfg->b_info.type != cfg->c_info.type ||
	       (cfg->c_info.type != LIBXL_DOMAIN_TYPE_PV &&
		       cfg->c_info.type != LIBXL_DOMAIN_TYPE_PVH && !is_hvm(cfg));
}

static const struct {
	bool (*applies)(const libxl_domain_config *cfg);
	const char *code, *what, *fix;
} refusals[] = {
	{has_other_emulator, "device-model",
		"is served by qemu-traditional or a stub domain, whose state lifeboat cannot move",
		"Create it with device_model_version=\"qemu-xen\" and no stub domain"},
	{has_emulator_arguments, "device-model",
		"starts its QEMU with arguments or a serial line of its own",
		"Create it without device_model_args, and with serial=\"pty\" if at all"},
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
		.emulator = is_hvm(cfg),
		.pfn_max = memory_kb / (PAGE_BYTES / 1024) + HOLE_PAGES,
	};
}
