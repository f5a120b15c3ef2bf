/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_check.h"

#include <errno.h>
#include <limits.h>
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_host.h"

#define SCRIPTS_DIR    "/etc/xen/scripts/"
#define XEN_DIR	       "/usr/lib/xen"
#define BRIDGE_DEFAULT "xenbr0"

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

static int check_names(libxl_ctx *ctx, const struct domain *dom, struct error *err)
{
	char incoming[DOMAIN_NAME_LEN + sizeof(SUFFIX_INCOMING)];
	uint32_t domid;

	if (has_suffix(dom->name, SUFFIX_INCOMING) || has_suffix(dom->name, SUFFIX_AWAY))
		return error_set(err, -EINVAL, "Rename it: xl rename", "%s is the name of a move",
			dom->name);
	if (libxl_name_to_domid(ctx, dom->name, &domid) == 0)
		return error_set(err, -EEXIST, "Rename or destroy it",
			"there is a domain %s already (domain %u)", dom->name, domid);
	snprintf(incoming, sizeof(incoming), "%s%s", dom->name, SUFFIX_INCOMING);
	if (libxl_name_to_domid(ctx, incoming, &domid) == 0)
		return error_set(err, -EEXIST,
			"If no other move is under way, destroy it: xl destroy",
			"there is a half-built %s already (domain %u)", incoming, domid);
	return 0;
}

static int check_uuid(libxl_ctx *ctx, const struct domain *dom, struct error *err)
{
	int nr = 0;
	libxl_dominfo *list = libxl_list_domain(ctx, &nr);
	int rc = 0;

	if (!list)
		return xen_host_error(err, ERROR_FAIL, NULL, "cannot list the domains");
	for (int i = 0; !rc && i < nr; i++)
		if (memcmp(libxl_uuid_bytearray_const(&list[i].uuid), dom->uuid,
			    sizeof(dom->uuid)) == 0)
			rc = error_set(err, -EEXIST,
				"Destroy it if it is a left-over of an earlier move",
				"domain %u has the UUID of %s already", list[i].domid, dom->name);
	libxl_dominfo_list_free(list, nr);
	return rc;
}

/* The peer names the scripts that root will run here: only those that an administrator put there.
 */
static int check_script(const char *script, const char *name, struct error *err)
{
	char path[PATH_MAX];

	if (!script)
		return 0;
	if (strstr(script, ".."))
		return error_set(
			err, -EINVAL, NULL, "%s has a hotplug script %.200s", name, script);
	snprintf(path, sizeof(path), "%s%s", script[0] == '/' ? "" : SCRIPTS_DIR, script);
	if (strncmp(path, SCRIPTS_DIR, strlen(SCRIPTS_DIR)) != 0)
		return error_set(err, -EINVAL, "Put the script into " SCRIPTS_DIR " on both hosts",
			"%s has a hotplug script outside of " SCRIPTS_DIR ": %.200s", name, script);
	if (access(path, X_OK) != 0)
		return error_set(err, -ENOENT, "Put it there, as on the other host",
			"the hotplug script %.200s of %s does not exist", path, name);
	return 0;
}

/* The same for programs: the device model (a PV framebuffer has one) and the boot loader. */
static int check_programs(const libxl_domain_config *cfg, const char *name, struct error *err)
{
	const char *programs[] = {cfg->b_info.device_model, cfg->b_info.bootloader};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const char *p = programs[i];

		if (p && strchr(p, '/') &&
			(strncmp(p, XEN_DIR, strlen(XEN_DIR)) != 0 || strstr(p, "..")))
			return error_set(err, -EINVAL, "Use one of Xen's own, on both hosts",
				"%s wants to run %.200s on this host", name, p);
	}
	return 0;
}

static int check_bridge(const char *bridge, const char *name, struct error *err)
{
	char path[128];

	if (!bridge || !bridge[0])
		bridge = BRIDGE_DEFAULT;
	if (strlen(bridge) > 15 || strchr(bridge, '/'))
		return error_set(
			err, -EINVAL, NULL, "%s has a vif on a bridge of no valid name", name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", bridge);
	if (access(path, F_OK) == 0)
		return 0;
	/* Open vSwitch has no bridge directory; its script fails clearly enough. */
	snprintf(path, sizeof(path), "/sys/class/net/%s", bridge);
	if (access(path, F_OK) == 0 && access("/run/openvswitch", F_OK) == 0)
		return 0;
	return error_set(err, -ENODEV, "Make the bridge, with the same name on all hosts",
		"there is no bridge %s for %s", bridge, name);
}

static int check_vifs(const libxl_domain_config *cfg, const char *name, struct error *err)
{
	int rc = 0;

	for (int i = 0; !rc && i < cfg->num_nics; i++) {
		const libxl_device_nic *nic = &cfg->nics[i];
		/* A script of another kind (vif-route, vif-nat) needs no bridge. */
		bool bridged = !nic->script || strstr(nic->script, "bridge") || nic->bridge;

		rc = bridged ? check_bridge(nic->bridge, name, err) : 0;
		if (!rc)
			rc = check_script(nic->script, name, err);
	}
	return rc;
}

static int check_disks(const libxl_domain_config *cfg, const char *name, struct error *err)
{
	int rc = 0;

	for (int i = 0; !rc && i < cfg->num_disks; i++) {
		const libxl_device_disk *disk = &cfg->disks[i];

		rc = check_script(disk->script, name, err);
		/* With a script of its own the path may be no path; an empty drive has none. */
		if (rc || disk->script || !disk->pdev_path || !disk->pdev_path[0])
			continue;
		if (access(disk->pdev_path, F_OK) != 0)
			rc = error_set(err, -ENOENT,
				"Provide the disk under the same path on both hosts, e.g. by DRBD",
				"the disk %.200s of %s is not here", disk->pdev_path, name);
	}
	return rc;
}

static int check_memory(
	libxl_ctx *ctx, libxl_domain_config *cfg, const char *name, struct error *err)
{
	uint64_t need_kb = 0, free_kb = 0;
	int rc = libxl_domain_need_memory(ctx, cfg, 0, &need_kb);

	if (!rc)
		rc = libxl_get_free_memory(ctx, &free_kb);
	if (rc)
		return xen_host_error(err, rc, NULL, "cannot tell how much memory %s needs", name);
	if (free_kb < need_kb)
		return error_set(err, -ENOMEM,
			"Make room, e.g. take some from dom0: xl mem-set 0 ...",
			"%s needs %llu MiB of memory, only %llu MiB are free", name,
			(unsigned long long)need_kb / 1024, (unsigned long long)free_kb / 1024);
	return 0;
}

static int check_host(
	libxl_ctx *ctx, const libxl_domain_config *cfg, const char *name, struct error *err)
{
	bool pv = cfg->c_info.type == LIBXL_DOMAIN_TYPE_PV;
	libxl_physinfo phys;
	int rc;

	libxl_physinfo_init(&phys);
	rc = libxl_get_physinfo(ctx, &phys);
	if (rc)
		rc = xen_host_error(err, rc, NULL, "cannot ask Xen about this host");
	else if (!pv && !(phys.cap_hvm && phys.cap_hap))
		rc = error_set(err, -EOPNOTSUPP, "Enable virtualisation in the firmware",
			"%s needs hardware virtualisation with nested page tables", name);
	else if (pv && !phys.cap_pv)
		rc = error_set(err, -EOPNOTSUPP, "Run it as PVH",
			"this Xen runs no PV domains (%s is one)", name);
	else if ((uint32_t)cfg->b_info.max_vcpus > phys.nr_cpus)
		log_warn(
			"%s has %d vCPUs, this host %u", name, cfg->b_info.max_vcpus, phys.nr_cpus);
	libxl_physinfo_dispose(&phys);
	return rc;
}

/* Restoring takes no kernel, the first reboot does. */
static void warn_of_reboot(const libxl_domain_config *cfg, const char *name)
{
	const char *files[] = {cfg->b_info.kernel, cfg->b_info.ramdisk};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] && access(files[i], R_OK) != 0)
			log_warn("%s is not here: %s will run, but not come back from a reboot",
				files[i], name);
}

int xen_check_place(libxl_ctx *ctx, libxl_domain_config *cfg, const char *name, struct error *err)
{
	int rc = check_host(ctx, cfg, name, err);

	if (!rc)
		rc = check_vifs(cfg, name, err);
	if (!rc)
		rc = check_disks(cfg, name, err);
	/* Last, because libxl fills in its defaults while it counts. */
	return rc ? rc : check_memory(ctx, cfg, name, err);
}

int xen_check_restore(const char *json, struct domain *dom, struct error *err)
{
	libxl_domain_config cfg;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	rc = xen_config_parse(ctx, json, &cfg, err);
	if (!rc)
		rc = xen_config_describe(&cfg, dom, err);
	if (!rc)
		rc = xen_check_config(&cfg, dom->name, err);
	if (!rc)
		rc = check_names(ctx, dom, err);
	if (!rc)
		rc = check_uuid(ctx, dom, err);
	if (!rc)
		rc = check_programs(&cfg, dom->name, err);
	if (!rc)
		rc = xen_check_place(ctx, &cfg, dom->name, err);
	if (!rc)
		warn_of_reboot(&cfg, dom->name);
	libxl_domain_config_dispose(&cfg);
	return rc;
}
