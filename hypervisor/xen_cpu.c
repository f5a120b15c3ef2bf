/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_cpu.h"

#include <errno.h>
#include <stdlib.h>

#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_log.h"

_Static_assert(XEN_CPUID_NO_SUBLEAF == CPU_NO_SUBLEAF, "Xen marks it otherwise");

/* Room for what Xen has, which is far below our own bounds; -E2BIG should that ever change. */
static int serialise(xc_interface *xch, const xc_cpu_policy_t *policy, struct cpu_policy *out)
{
	xen_cpuid_leaf_t leaves[CPU_LEAVES_MAX];
	xen_msr_entry_t msrs[CPU_MSRS_MAX];
	uint32_t nr_leaves = CPU_LEAVES_MAX, nr_msrs = CPU_MSRS_MAX;

	if (xc_cpu_policy_serialise(xch, policy, leaves, &nr_leaves, msrs, &nr_msrs))
		return -errno;
	*out = (struct cpu_policy){.nr_leaves = nr_leaves, .nr_msrs = nr_msrs};
	for (uint32_t i = 0; i < nr_leaves; i++)
		out->leaf[i] = (struct cpu_leaf){leaves[i].leaf, leaves[i].subleaf,
			{leaves[i].a, leaves[i].b, leaves[i].c, leaves[i].d}};
	for (uint32_t i = 0; i < nr_msrs; i++)
		out->msr[i] = (struct cpu_msr){msrs[i].idx, msrs[i].val};
	return 0;
}

#define NO_DOMAIN UINT32_MAX

/* Of a domain, or with NO_DOMAIN the one that Xen keeps under `index`. */
static int get_policy(xc_interface *xch, uint32_t domid, unsigned index, struct cpu_policy *out)
{
	xc_cpu_policy_t *policy = xc_cpu_policy_init();
	int rc;

	if (!policy)
		return -ENOMEM;
	rc = domid == NO_DOMAIN ? xc_cpu_policy_get_system(xch, index, policy)
				: xc_cpu_policy_get_domain(xch, domid, policy);
	rc = rc ? -errno : serialise(xch, policy, out);
	xc_cpu_policy_destroy(policy);
	return rc;
}

static int host_khz(libxl_ctx *ctx, uint32_t *khz, struct error *err)
{
	libxl_physinfo phys;
	int rc;

	libxl_physinfo_init(&phys);
	rc = libxl_get_physinfo(ctx, &phys);
	*khz = phys.cpu_khz;
	libxl_physinfo_dispose(&phys);
	return rc ? xen_host_error(err, rc, NULL, "cannot ask Xen about this host") : 0;
}

int xen_cpu_describe(libxl_ctx *ctx, uint32_t domid, struct xen_offer *o, struct error *err)
{
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	uint32_t khz = 0, incarnation;
	uint64_t elapsed;
	int rc;

	if (!xch)
		return error_sys(err, -errno, NULL, "cannot talk to the hypervisor");
	rc = get_policy(xch, domid, 0, &o->cpu);
	if (!rc && xc_domain_get_tsc_info(
			   xch, domid, &o->tsc.mode, &elapsed, &o->tsc.khz, &incarnation))
		rc = -errno;
	xc_interface_close(xch);
	if (rc)
		return error_sys(err, rc, NULL, "cannot ask Xen for the domain's processor");
	rc = host_khz(ctx, &khz, err);
	if (!rc && !o->tsc.khz)
		o->tsc.khz = khz; /* it reads the processor's own */
	return rc;
}

/* A guest on shadow page tables can have less. */
static const uint32_t *narrowed(const libxl_domain_config *cfg)
{
	const libxl_defbool hap = cfg->c_info.hap;

	if (cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV || libxl_defbool_is_default(hap) ||
		libxl_defbool_val(hap) || xc_get_cpu_featureset_size() < CPU_WORDS)
		return NULL;
	return xc_get_static_cpu_featuremask(XC_FEATUREMASK_HVM_SHADOW_MAX);
}

int xen_cpu_check(libxl_ctx *ctx, const struct xen_offer *o, const libxl_domain_config *cfg,
	const char *name, struct findings *found, struct error *err)
{
	bool pv = cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV;
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	struct cpu_policy most;
	uint32_t khz = 0;
	int rc;

	if (!xch)
		return error_sys(err, -errno, NULL, "cannot talk to the hypervisor");
	rc = get_policy(xch, NO_DOMAIN,
		pv ? XEN_SYSCTL_cpu_policy_pv_max : XEN_SYSCTL_cpu_policy_hvm_max, &most);
	xc_interface_close(xch);
	if (rc)
		return error_sys(err, rc, NULL, "cannot ask Xen for this host's processor");
	cpu_check(&o->cpu, &most, narrowed(cfg), name, found);
	rc = host_khz(ctx, &khz, err);
	if (!rc)
		cpu_check_tsc(&o->cpu, &o->tsc, khz, name, found);
	return rc;
}
