/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_check.h"

#include <errno.h>
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/clock.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_log.h"

#define BALLOON_MS	10000 /* how long a guest may take to reach its memory target */
#define BALLOON_LOOK_MS 200
#define SLACK_KB	1024 /* libxl's own allowance above the target */

static void check_state(const struct domain *dom, const libxl_dominfo *info, struct findings *found)
{
	if (info->shutdown || info->dying)
		findings_add(found, FINDING_BLOCKER, "state", "Destroy it and create it again",
			"%s does not run", dom->name);
	else if (info->paused)
		findings_add(found, FINDING_BLOCKER, "state", "Let it run first: hv unpause",
			"%s is paused and could not answer a request to suspend", dom->name);
	if (info->shared_memkb || info->paged_memkb)
		findings_add(found, FINDING_BLOCKER, "shared-memory",
			"Switch memory sharing and paging off for it",
			"%s has memory that is shared with other domains or paged out", dom->name);
}

static bool is_value(struct xs_handle *xs, const char *path, const char *expect)
{
	unsigned len = 0;
	char *value = xs_read(xs, XBT_NULL, path, &len);
	bool yes = value && strcmp(value, expect) == 0;

	free(value);
	return yes;
}

/* Count the guest's vifs or disks, and those that its kernel has connected (state 4). */
static void count_devices(struct xs_handle *xs, uint32_t domid, const char *kind, unsigned *nr,
	unsigned *nr_connected)
{
	char path[128];
	unsigned count = 0;
	char **ids;

	snprintf(path, sizeof(path), "/local/domain/%u/device/%s", domid, kind);
	ids = xs_directory(xs, XBT_NULL, path, &count);
	for (unsigned i = 0; ids && i < count; i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/device/%s/%.32s/state", domid, kind,
			ids[i]);
		(*nr)++;
		*nr_connected += is_value(xs, path, "4");
	}
	free(ids);
}

/*
 * Linux writes control/feature-suspend when it boots, and only then: a guest that xl has moved
 * lacks it (lifeboat writes it again). So its absence proves nothing; but one that has devices and
 * connected none has not booted, or has no drivers for Xen, and would only time out after 60 s.
 */
static int check_suspends(const struct domain *dom, struct findings *found, struct error *err)
{
	struct xs_handle *xs = xs_open(0);
	unsigned nr = 0, nr_connected = 0;
	char path[64];

	if (!xs)
		return error_set(err, -EIO, "Start it: systemctl start xen",
			"xenstore does not answer on this host");
	snprintf(path, sizeof(path), "/local/domain/%u/control/feature-suspend", dom->domid);
	if (is_value(xs, path, "1"))
		goto out;
	count_devices(xs, dom->domid, "vif", &nr, &nr_connected);
	count_devices(xs, dom->domid, "vbd", &nr, &nr_connected);
	if (nr && !nr_connected)
		findings_add(found, FINDING_BLOCKER, "unresponsive",
			"Wait until it has booted; its kernel must support Xen",
			"%s does not answer to Xen yet, so it could not be suspended", dom->name);
	else
		findings_add(found, FINDING_WARNING, "suspend",
			"Do nothing if xl has moved it before; otherwise expect it to go on here when it has not suspended within a minute",
			"%s does not say whether it can suspend", dom->name);
out:
	xs_close(xs);
	return 0;
}

/*
 * The destination gets as much memory as the target says. A guest that still holds more, because
 * its balloon is on the way down, would not fit there.
 */
static int check_balloon(libxl_ctx *ctx, const struct domain *dom, const libxl_domain_config *cfg,
	struct findings *found, struct error *err)
{
	uint64_t limit = cfg->b_info.target_memkb + SLACK_KB;
	int64_t deadline = deadline_in(BALLOON_MS);
	libxl_dominfo info;
	uint64_t now_kb;
	int rc;

	for (;;) {
		libxl_dominfo_init(&info);
		rc = libxl_domain_info(ctx, &info, dom->domid);
		now_kb = info.current_memkb;
		libxl_dominfo_dispose(&info);
		if (rc)
			return xen_host_error(err, rc, NULL, "cannot ask about %s", dom->name);
		if (now_kb <= limit)
			return 0;
		if (clock_ms() >= deadline)
			break;
		clock_pause(BALLOON_LOOK_MS);
	}
	findings_add(found, FINDING_BLOCKER, "balloon", NULL,
		"%s holds %llu MiB more memory than its target", dom->name,
		(unsigned long long)(now_kb - cfg->b_info.target_memkb) / 1024);
	findings_fix(found, "Set its target to what it holds: xl mem-set %s %llu", dom->name,
		(unsigned long long)(now_kb + 1023) / 1024);
	return 0;
}

/* Reading a populate-on-demand page would populate it, and crash the guest when none is left. */
static int check_pod(const struct domain *dom, struct findings *found, struct error *err)
{
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	uint64_t total = 0, cache = 0, entries = 0;

	if (!xch)
		return error_sys(err, -errno, NULL, "cannot talk to the hypervisor");
	if (xc_domain_get_pod_target(xch, dom->domid, &total, &cache, &entries) == 0 && entries)
		findings_add(found, FINDING_BLOCKER, "pod",
			"Wait until its balloon driver has settled",
			"%s has memory that was never populated (%llu pages)", dom->name,
			(unsigned long long)entries);
	xc_interface_close(xch);
	return 0;
}

/*
 * Which pages of a PV domain are dirty, Xen only knows by shadow paging, which Debian's hypervisor
 * is built without. libxc would find out after the first page and say "Invalid argument".
 */
static int check_log_dirty(
	libxl_ctx *ctx, const struct domain *dom, struct findings *found, struct error *err)
{
	libxl_physinfo phys;
	bool shadow;
	int rc;

	if (dom->type != DOMAIN_PV)
		return 0;
	libxl_physinfo_init(&phys);
	rc = libxl_get_physinfo(ctx, &phys);
	shadow = phys.cap_shadow;
	libxl_physinfo_dispose(&phys);
	if (rc)
		return xen_host_error(err, rc, NULL, "cannot ask Xen about this host");
	if (!shadow)
		findings_add(found, FINDING_BLOCKER, HV_FINDING_UNTRACKED,
			"Move it with --pause, boot a hypervisor with shadow paging, or run the guest as PVH",
			"%s is a PV domain, and this hypervisor has no shadow paging to track its memory",
			dom->name);
	return 0;
}

int xen_check_save(const struct domain *dom, struct findings *found, struct error *err)
{
	libxl_domain_config cfg;
	libxl_dominfo info;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_domain_config_init(&cfg);
	libxl_dominfo_init(&info);
	rc = libxl_domain_info(ctx, &info, dom->domid);
	if (rc) {
		rc = xen_host_error(err, rc, NULL, "cannot ask about %s", dom->name);
		goto out;
	}
	check_state(dom, &info, found);
	rc = xen_config_retrieve(ctx, dom->domid, &cfg, err);
	if (rc)
		goto out;
	xen_check_config(&cfg, dom->name, found);
	rc = check_log_dirty(ctx, dom, found, err);
	if (!rc)
		rc = check_suspends(dom, found, err);
	if (!rc)
		rc = check_pod(dom, found, err);
	if (!rc)
		rc = check_balloon(ctx, dom, &cfg, found, err);
out:
	libxl_dominfo_dispose(&info);
	libxl_domain_config_dispose(&cfg);
	return rc;
}
