/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_domain.h"

#include <errno.h>
#include <libxl.h>
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_guest.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_hotplug.h"
#include "hypervisor/xen_keeper.h"
#include "hypervisor/xen_qemu.h"

static enum domain_state state_of(const libxl_dominfo *info, const char *name)
{
	size_t len = strlen(name), suffix = strlen(SUFFIX_INCOMING);

	if (info->shutdown && info->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND)
		return DOMAIN_SUSPENDED;
	if (info->shutdown || info->dying)
		return DOMAIN_SHUTDOWN;
	if (!info->paused)
		return DOMAIN_RUNNING;
	if (len > suffix && strcmp(name + len - suffix, SUFFIX_INCOMING) == 0)
		return DOMAIN_INCOMING;
	return DOMAIN_PAUSED;
}

static void fill_vifs(libxl_ctx *ctx, struct domain *dom)
{
	int nr = 0;
	libxl_device_nic *nics = libxl_device_nic_list(ctx, dom->domid, &nr);

	for (int i = 0; i < nr && dom->nr_vifs < DOMAIN_VIFS_MAX; i++) {
		struct domain_vif *vif = &dom->vif[dom->nr_vifs++];

		xen_config_vif(&nics[i], vif);
		xen_config_vif_device(vif, dom->domid, nics[i].devid);
		xen_guest_addresses(dom->domid, nics[i].devid, vif->told, sizeof(vif->told));
	}
	libxl_device_nic_list_free(nics, nr);
}

static void fill_disks(libxl_ctx *ctx, struct domain *dom)
{
	int nr = 0;
	libxl_device_disk *disks = libxl_device_disk_list(ctx, dom->domid, &nr);

	for (int i = 0; i < nr && dom->nr_disks < DOMAIN_DISKS_MAX; i++)
		xen_config_disk(&disks[i], &dom->disk[dom->nr_disks++]);
	libxl_device_disk_list_free(disks, nr);
}

/* PV domains need shadow paging for log-dirty; all others use the hardware's page tables. */
static const char *tracker_of(libxl_ctx *ctx, enum domain_type type)
{
	libxl_physinfo phys;
	bool shadow = true;

	if (type != DOMAIN_PV)
		return "log-dirty";
	libxl_physinfo_init(&phys);
	if (libxl_get_physinfo(ctx, &phys) == 0)
		shadow = phys.cap_shadow;
	libxl_physinfo_dispose(&phys);
	return shadow ? "log-dirty" : "none";
}

/*
 * Xen knows two kinds, and a PVH domain is of the same as one with a device model; which it is
 * libxl has written down.
 */
static enum domain_type type_of(const libxl_dominfo *info)
{
	enum domain_type type = xen_config_type(info->domain_type);
	struct xs_handle *xs = type == DOMAIN_HVM ? xs_open(0) : NULL;
	char path[64], *value;
	unsigned len;

	if (!xs)
		return type;
	snprintf(path, sizeof(path), "/libxl/%u/type", info->domid);
	value = xs_read(xs, XBT_NULL, path, &len);
	if (value && strcmp(value, "pvh") == 0)
		type = DOMAIN_PVH;
	free(value);
	xs_close(xs);
	return type;
}

static void fill(libxl_ctx *ctx, const libxl_dominfo *info, struct domain *dom)
{
	char *name = libxl_domid_to_name(ctx, info->domid);

	*dom = (struct domain){
		.domid = info->domid,
		.type = type_of(info),
		.state = state_of(info, name ? name : ""),
		.memory_kb = info->current_memkb,
		.vcpus = info->vcpu_online,
		.cpu_ms = info->cpu_time / 1000000,
	};
	/* A domain that is being torn down has lost its name already. */
	snprintf(dom->name, sizeof(dom->name), "%s", name ? name : "(null)");
	free(name);
	memcpy(dom->uuid, libxl_uuid_bytearray_const(&info->uuid), sizeof(dom->uuid));
	snprintf(dom->tracker, sizeof(dom->tracker), "%s", tracker_of(ctx, dom->type));
	fill_vifs(ctx, dom);
	fill_disks(ctx, dom);
}

int xen_domain_list(struct domain **list, size_t *nr, struct error *err)
{
	libxl_dominfo *infos;
	libxl_ctx *ctx;
	int nr_infos = 0;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	infos = libxl_list_domain(ctx, &nr_infos);
	if (!infos)
		return xen_host_error(err, ERROR_FAIL, NULL, "cannot list the domains");
	*nr = 0;
	*list = calloc((size_t)nr_infos + 1, sizeof(**list));
	if (!*list)
		rc = error_set(err, -ENOMEM, NULL, "no memory for the list of domains");
	for (int i = 0; !rc && i < nr_infos; i++)
		if (infos[i].domid != 0)
			fill(ctx, &infos[i], &(*list)[(*nr)++]);
	libxl_dominfo_list_free(infos, nr_infos);
	return rc;
}

int xen_domain_by_domid(uint32_t domid, struct domain *dom, struct error *err)
{
	libxl_dominfo info;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_dominfo_init(&info);
	rc = libxl_domain_info(ctx, &info, domid);
	if (rc)
		rc = xen_host_error(err, rc, NULL, "there is no domain %u on this host", domid);
	else
		fill(ctx, &info, dom);
	libxl_dominfo_dispose(&info);
	return rc;
}

int xen_domain_refresh(struct domain *dom)
{
	libxl_dominfo info;
	libxl_ctx *ctx;
	char *name = NULL;

	if (xen_host_open(&ctx, NULL))
		return -ENOENT;
	libxl_dominfo_init(&info);
	if (libxl_domain_info(ctx, &info, dom->domid) == 0 &&
		memcmp(libxl_uuid_bytearray_const(&info.uuid), dom->uuid, sizeof(dom->uuid)) == 0)
		name = libxl_domid_to_name(ctx, dom->domid);
	if (name) {
		dom->state = state_of(&info, name);
		snprintf(dom->name, sizeof(dom->name), "%s", name);
	}
	libxl_dominfo_dispose(&info);
	free(name);
	return name ? 0 : -ENOENT;
}

int xen_domain_find(const char *name, struct domain *dom, struct error *err)
{
	uint32_t domid;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	if (libxl_name_to_domid(ctx, name, &domid) != 0 || domid == 0)
		return error_set(err, -ENOENT, "See which there are: hv list",
			"there is no domain %s on this host", name);
	return xen_domain_by_domid(domid, dom, err);
}

/* The verbs that are one call of libxl. */

static int call_unpause(libxl_ctx *ctx, uint32_t domid)
{
	return libxl_domain_unpause(ctx, domid, NULL);
}

static int call_pause(libxl_ctx *ctx, uint32_t domid)
{
	return libxl_domain_pause(ctx, domid, NULL);
}

static int call_shutdown(libxl_ctx *ctx, uint32_t domid)
{
	return libxl_domain_shutdown(ctx, domid, NULL);
}

static int call_reboot(libxl_ctx *ctx, uint32_t domid)
{
	return libxl_domain_reboot(ctx, domid, NULL);
}

static int call_destroy(libxl_ctx *ctx, uint32_t domid)
{
	xen_hotplug_use_last(domid);
	return libxl_domain_destroy(ctx, domid, NULL);
}

static int verb(const struct domain *dom, int (*call)(libxl_ctx *, uint32_t), const char *what,
	struct error *err)
{
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	rc = call(ctx, dom->domid);
	if (rc == ERROR_NOPARAVIRT)
		return xen_host_error(err, rc,
			"Install Xen's PV drivers in the guest, or use hv destroy",
			"%s does not listen to its host", dom->name);
	return rc ? xen_host_error(err, rc, NULL, "cannot %s %s", what, dom->name) : 0;
}

int xen_domain_pause(const struct domain *dom, struct error *err)
{
	return verb(dom, call_pause, "pause", err);
}

int xen_domain_unpause(const struct domain *dom, struct error *err)
{
	return verb(dom, call_unpause, "unpause", err);
}

int xen_domain_shutdown(const struct domain *dom, struct error *err)
{
	return verb(dom, call_shutdown, "shut down", err);
}

int xen_domain_reboot(const struct domain *dom, struct error *err)
{
	return verb(dom, call_reboot, "reboot", err);
}

int xen_domain_destroy(const struct domain *dom, struct error *err)
{
	return verb(dom, call_destroy, "destroy", err);
}

int xen_domain_rename(struct domain *dom, const char *name, struct error *err)
{
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	rc = libxl_domain_rename(ctx, dom->domid, NULL, name);
	if (rc)
		return xen_host_error(err, rc, NULL, "cannot rename %s to %s", dom->name, name);
	snprintf(dom->name, sizeof(dom->name), "%s", name);
	return 0;
}

/*
 * The name comes last: as long as it says --incoming nobody has run it here, and afterwards it is
 * the administrator's, who may have paused or renamed it.
 */
int xen_domain_activate(struct domain *dom, const char *name, struct error *err)
{
	int rc = 0;

	if (strstr(dom->name, SUFFIX_INCOMING)) {
		rc = xen_domain_unpause(dom, err);
		if (rc == 0)
			rc = xen_domain_rename(dom, name, err);
	}
	if (rc == 0)
		xen_keeper_begin(dom->domid);
	return rc;
}

/*
 * Co-operative resume: the guest sees that its suspend was cancelled and keeps its rings and
 * grants. (The other kind makes it reconnect everything, which only works after a real move.)
 */
int xen_domain_resume(const struct domain *dom, struct error *err)
{
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	xen_keeper_retire_xl(dom->domid);
	rc = libxl_domain_resume(ctx, dom->domid, 1, NULL);
	if (rc)
		return xen_host_error(err, rc,
			"Try it by hand: xl unpause, or destroy and create it",
			"%s stands still: it could not be resumed", dom->name);
	if (dom->type == DOMAIN_HVM)
		xen_qemu_forget_state(dom->domid);
	xen_keeper_start(dom->domid);
	return 0;
}

int xen_domain_console(const struct domain *dom, struct error *err)
{
	char domid[16];
	char *argv[] = {"env", "xl", "console", domid, NULL};
	pid_t pid;
	int status;

	snprintf(domid, sizeof(domid), "%u", dom->domid);
	pid = proc_spawn("/usr/bin/env", argv, NULL, 0, 0);
	if (pid < 0)
		return error_sys(err, pid, NULL, "cannot start xl console");
	status = proc_reap(pid, DEADLINE_NEVER);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return error_set(err, -EIO, "Is xen-utils installed?",
			"the console of %s could not be opened", dom->name);
	return 0;
}
