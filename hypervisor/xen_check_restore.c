/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_check.h"

#include <errno.h>
#include <limits.h>
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/xen_config.h"
#include "hypervisor/xen_cpu.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_host.h"

#define SCRIPTS_DIR    "/etc/xen/scripts/"
#define XEN_DIR	       "/usr/lib/xen"
#define BRIDGE_DEFAULT "xenbr0"

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

static void check_names(libxl_ctx *ctx, const struct domain *dom, struct findings *found)
{
	char incoming[DOMAIN_NAME_LEN + sizeof(SUFFIX_INCOMING)];
	uint32_t domid;

	if (has_suffix(dom->name, SUFFIX_INCOMING) || has_suffix(dom->name, SUFFIX_AWAY))
		findings_add(found, FINDING_BLOCKER, "name", "Rename it: xl rename",
			"%s is the name of a move", dom->name);
	if (libxl_name_to_domid(ctx, dom->name, &domid) == 0)
		findings_add(found, FINDING_BLOCKER, "name", "Rename or destroy it",
			"there is a domain %s already (domain %u)", dom->name, domid);
	snprintf(incoming, sizeof(incoming), "%s%s", dom->name, SUFFIX_INCOMING);
	if (libxl_name_to_domid(ctx, incoming, &domid) == 0)
		findings_add(found, FINDING_BLOCKER, "name",
			"If no other move is under way, destroy it: xl destroy",
			"there is a half-built %s already (domain %u)", incoming, domid);
}

static bool is_mine(const char *there, const char *name)
{
	size_t len = strlen(name);

	return strncmp(there, name, len) == 0 &&
	       (there[len] == '\0' || strcmp(there + len, SUFFIX_INCOMING) == 0);
}

/* UUID and MAC addresses, beside every domain here. One that has the name, too, was found by it. */
static int check_identity(const struct domain *dom, struct findings *found, struct error *err)
{
	struct domain *list = NULL;
	size_t nr = 0;
	int rc = xen_domain_list(&list, &nr, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < nr; i++) {
		bool same = memcmp(list[i].uuid, dom->uuid, sizeof(dom->uuid)) == 0;

		if (same && !is_mine(list[i].name, dom->name))
			findings_add(found, FINDING_BLOCKER, "uuid",
				"Destroy it if it is a left-over of an earlier move",
				"domain %s (%u) has the UUID of %s already", list[i].name,
				list[i].domid, dom->name);
		if (!same)
			hypervisor_check_macs(&list[i], dom->name, dom->vif, dom->nr_vifs, found);
	}
	free(list);
	return 0;
}

/* The peer names the scripts that root will run here: only those that an administrator put there.
 */
static void check_script(const char *script, const char *name, struct findings *found)
{
	char path[PATH_MAX];

	if (!script)
		return;
	snprintf(path, sizeof(path), "%s%s", script[0] == '/' ? "" : SCRIPTS_DIR, script);
	if (strstr(script, "..") || strncmp(path, SCRIPTS_DIR, strlen(SCRIPTS_DIR)) != 0)
		findings_add(found, FINDING_BLOCKER, "script",
			"Put the script into " SCRIPTS_DIR " on both hosts",
			"%s has a hotplug script outside of " SCRIPTS_DIR ": %.200s", name, script);
	else if (access(path, X_OK) != 0)
		findings_add(found, FINDING_BLOCKER, "script", "Put it there, as on the other host",
			"the hotplug script %.200s of %s does not exist", path, name);
}

/* The same for programs: the device model (a PV framebuffer has one) and the boot loader. */
static void check_programs(const libxl_domain_config *cfg, const char *name, struct findings *found)
{
	const char *programs[] = {cfg->b_info.device_model, cfg->b_info.bootloader};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *p = programs[i];

		if (p && strchr(p, '/') &&
			(strncmp(p, XEN_DIR, strlen(XEN_DIR)) != 0 || strstr(p, "..")))
			findings_add(found, FINDING_BLOCKER, "program",
				"Use one of Xen's own, on both hosts",
				"%s wants to run %.200s on this host", name, p);
	}
}

static void check_bridge(const char *bridge, const char *name, struct findings *found)
{
	char path[128];

	if (!bridge || !bridge[0])
		bridge = BRIDGE_DEFAULT;
	if (strlen(bridge) > 15 || strchr(bridge, '/')) {
		findings_add(found, FINDING_BLOCKER, "bridge", "Correct vif= in its domain file",
			"%s has a vif on a bridge of no valid name", name);
		return;
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge);
	if (access(path, F_OK) == 0)
		return;
	/* Open vSwitch has no bridge directory; its script fails clearly enough. */
	snprintf(path, sizeof(path), "/sys/class/net/%s", bridge);
	if (access(path, F_OK) == 0 && access("/run/openvswitch", F_OK) == 0)
		return;
	findings_add(found, FINDING_BLOCKER, "bridge",
		"Make the bridge, with the same name on all hosts", "there is no bridge %s for %s",
		bridge, name);
}

static void check_vifs(const libxl_domain_config *cfg, const char *name, struct findings *found)
{
	for (int i = 0; i < cfg->num_nics; i++) {
		const libxl_device_nic *nic = &cfg->nics[i];
		/* A script of another kind (vif-route, vif-nat) needs no bridge. */
		bool bridged = !nic->script || strstr(nic->script, "bridge") || nic->bridge;

		if (bridged)
			check_bridge(nic->bridge, name, found);
		check_script(nic->script, name, found);
	}
}

static void check_disks(const libxl_domain_config *cfg, const char *name, struct findings *found)
{
	for (int i = 0; i < cfg->num_disks; i++) {
		const libxl_device_disk *disk = &cfg->disks[i];

		check_script(disk->script, name, found);
		/* With a script of its own the path may be no path; an empty drive has none. */
		if (disk->script || !disk->pdev_path || !disk->pdev_path[0])
			continue;
		if (access(disk->pdev_path, F_OK) != 0)
			findings_add(found, FINDING_BLOCKER, "disk",
				"Provide the disk under the same path on both hosts, e.g. by DRBD",
				"the disk %.200s of %s is not here", disk->pdev_path, name);
	}
}

static int check_memory(libxl_ctx *ctx, libxl_domain_config *cfg, const char *name,
	struct findings *found, struct error *err)
{
	uint64_t need_kb = 0, free_kb = 0;
	int rc = libxl_domain_need_memory(ctx, cfg, 0, &need_kb);

	if (!rc)
		rc = libxl_get_free_memory(ctx, &free_kb);
	if (rc)
		return xen_host_error(err, rc, NULL, "cannot tell how much memory %s needs", name);
	if (free_kb < need_kb)
		findings_add(found, FINDING_BLOCKER, "memory",
			"Make room, e.g. take some from dom0: xl mem-set 0 ...",
			"%s needs %llu MiB of memory, only %llu MiB are free", name,
			(unsigned long long)need_kb / 1024, (unsigned long long)free_kb / 1024);
	return 0;
}

static void check_physinfo(const libxl_physinfo *phys, const libxl_domain_config *cfg,
	const char *name, struct findings *found)
{
	bool pv = cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV;

	if (!pv && !(phys->cap_hvm && phys->cap_hap))
		findings_add(found, FINDING_BLOCKER, "hap", "Enable virtualisation in the firmware",
			"%s needs hardware virtualisation with nested page tables", name);
	if (pv && !phys->cap_pv)
		findings_add(found, FINDING_BLOCKER, "type", "Run it as PVH",
			"this Xen runs no PV domains (%s is one)", name);
	if ((uint32_t)cfg->b_info.max_vcpus > phys->nr_cpus)
		findings_add(found, FINDING_WARNING, "vcpus",
			"Give it fewer vCPUs, or expect it to be slower",
			"%s has %d vCPUs, this host %u processors", name, cfg->b_info.max_vcpus,
			phys->nr_cpus);
}

static int check_host(libxl_ctx *ctx, const libxl_domain_config *cfg, const char *name,
	struct findings *found, struct error *err)
{
	libxl_physinfo phys;
	int rc;

	libxl_physinfo_init(&phys);
	rc = libxl_get_physinfo(ctx, &phys);
	if (rc)
		rc = xen_host_error(err, rc, NULL, "cannot ask Xen about this host");
	else
		check_physinfo(&phys, cfg, name, found);
	libxl_physinfo_dispose(&phys);
	return rc;
}

/* Restoring takes no kernel, the first reboot does. */
static void check_reboot(const libxl_domain_config *cfg, const char *name, struct findings *found)
{
	const char *files[] = {cfg->b_info.kernel, cfg->b_info.ramdisk};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] && access(files[i], R_OK) != 0)
			findings_add(found, FINDING_RISK, "kernel",
				"Copy it to the same path on this host",
				"%.200s is not here: %s would run, but not come back from a reboot",
				files[i], name);
}

int xen_check_place(libxl_ctx *ctx, libxl_domain_config *cfg, const char *name,
	struct findings *found, struct error *err)
{
	int rc = check_host(ctx, cfg, name, found, err);

	check_vifs(cfg, name, found);
	check_disks(cfg, name, found);
	check_reboot(cfg, name, found);
	/* Last, because libxl fills in its defaults while it counts. */
	return rc ? rc : check_memory(ctx, cfg, name, found, err);
}

static int check_machine(libxl_ctx *ctx, const struct xen_offer *offer,
	const libxl_domain_config *cfg, const char *name, struct findings *found, struct error *err)
{
	struct hv_host host;
	int rc = xen_host_info(&host, err);

	if (rc)
		return rc;
	xen_offer_check_version(offer->xen, host.version, found);
	xen_offer_check_clock(offer->time, time(NULL), found);
	return xen_cpu_check(ctx, offer, cfg, name, found, err);
}

int xen_check_restore(
	const char *json, struct domain *dom, struct findings *found, struct error *err)
{
	struct xen_offer offer;
	libxl_domain_config cfg;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_domain_config_init(&cfg);
	rc = xen_offer_decode(json, &offer, err);
	if (!rc)
		rc = xen_config_parse(ctx, offer.libxl, &cfg, err);
	if (!rc)
		rc = xen_config_describe(&cfg, dom, err);
	if (rc)
		goto out;
	rc = check_machine(ctx, &offer, &cfg, dom->name, found, err);
	xen_check_config(&cfg, dom->name, found);
	check_names(ctx, dom, found);
	check_programs(&cfg, dom->name, found);
	if (!rc)
		rc = check_identity(dom, found, err);
	if (!rc)
		rc = xen_check_place(ctx, &cfg, dom->name, found, err);
out:
	libxl_domain_config_dispose(&cfg);
	xen_offer_dispose(&offer);
	return rc;
}
