/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_early_child.h"

#include <errno.h>
#include <libxl_utils.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_attach.h"
#include "hypervisor/xen_early.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_hotplug.h"

#define DOMAIN_MS 60000 /* for libxl to make room for it, and it */

static bool called_off(int control)
{
	struct pollfd p = {.fd = control, .events = POLLIN};

	return poll(&p, 1, 0) != 0; /* nothing is ever said there */
}

static bool exists(libxl_ctx *ctx, const libxl_domain_config *cfg, uint32_t *domid)
{
	libxl_dominfo info;
	bool yes;

	if (libxl_name_to_domid(ctx, cfg->c_info.name, domid))
		return false;
	libxl_dominfo_init(&info);
	yes = libxl_domain_info(ctx, &info, *domid) == 0 &&
	      libxl_uuid_compare(&info.uuid, &cfg->c_info.uuid) == 0;
	libxl_dominfo_dispose(&info);
	return yes;
}

/* libxl makes a domain's nodes in one transaction: its name is there when all of them are. */
static int wait_for_domain(libxl_ctx *ctx, const libxl_domain_config *cfg, int control,
	uint32_t *domid, struct error *err)
{
	int64_t deadline = deadline_in(DOMAIN_MS);
	struct xs_handle *xs = xs_open(0);
	struct pollfd p[2] = {{.fd = control, .events = POLLIN}};
	int rc = -ETIMEDOUT;

	if (!xs || !xs_watch(xs, "/libxl", "")) {
		rc = error_set(err, -EIO, NULL, "xenstore does not answer on this host");
		goto out;
	}
	p[1] = (struct pollfd){.fd = xs_fileno(xs), .events = POLLIN};
	while (rc == -ETIMEDOUT && poll(p, 2, deadline_poll_ms(deadline)) > 0) {
		char **event;

		if (p[0].revents)
			rc = -ECANCELED;
		while ((event = xs_check_watch(xs)))
			free(event);
		if (rc == -ETIMEDOUT && exists(ctx, cfg, domid))
			rc = 0;
	}
	if (rc)
		error_set(err, rc, NULL, "there was no %s to attach devices to", cfg->c_info.name);
out:
	if (xs)
		xs_close(xs);
	return rc;
}

/*
 * libxl adds a device to the configuration that it has written down of a domain, and a domain that
 * is being built has none. It is written over when that one is complete.
 */
static int write_seed(
	libxl_ctx *ctx, uint32_t domid, const libxl_domain_config *cfg, struct error *err)
{
	libxl_domain_config seed;
	int rc;

	libxl_domain_config_init(&seed);
	libxl_domain_create_info_copy(ctx, &seed.c_info, &cfg->c_info);
	libxl_domain_build_info_copy(ctx, &seed.b_info, &cfg->b_info);
	rc = xen_hotplug_store(ctx, domid, &seed, err);
	libxl_domain_config_dispose(&seed);
	return rc;
}

/* What the script wrote down for its user; libxl only knows that it failed. */
static int add_nic(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *nic, struct error *err)
{
	int rc = libxl_device_nic_add(ctx, domid, nic, NULL);
	char backend[64], *why = NULL;
	struct hotplug h = {.backend = backend};

	if (rc == 0)
		return 0;
	snprintf(backend, sizeof(backend), "backend/vif/%u/%d", domid, nic->devid);
	h.xs = xs_open(0);
	if (h.xs)
		why = hotplug_read(&h, "hotplug-error");
	if (why)
		rc = error_set(err, -EIO, NULL, "a vif of domain %u could not be attached: %.300s",
			domid, why);
	else
		rc = xen_host_error(
			err, rc, NULL, "a vif of domain %u could not be attached", domid);
	free(why);
	if (h.xs)
		xs_close(h.xs);
	return rc;
}

static int add_disk(
	libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk, uint32_t *vbd, struct error *err)
{
	libxl_diskinfo info;
	int rc = libxl_device_disk_add(ctx, domid, disk, NULL);

	libxl_diskinfo_init(&info);
	if (rc == 0)
		rc = libxl_device_disk_getinfo(ctx, domid, disk, &info);
	*vbd = (uint32_t)info.devid;
	libxl_diskinfo_dispose(&info);
	return rc ? xen_host_error(err, rc, NULL, "disk %s of domain %u could not be attached",
			    disk->vdev, domid)
		  : 0;
}

static int add_all(libxl_ctx *ctx, libxl_domain_config *devices, int control,
	struct xen_early_report *report, struct error *err)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < devices->num_nics; i++)
		rc = called_off(control) ? -ECANCELED
					 : add_nic(ctx, report->domid, &devices->nics[i], err);
	for (int i = 0; rc == 0 && i < devices->num_disks; i++)
		rc = called_off(control) ? -ECANCELED
					 : add_disk(ctx, report->domid, &devices->disks[i],
						   &report->vbd[i], err);
	return rc;
}

static int attach(const libxl_domain_config *cfg, libxl_domain_config *devices, int control,
	struct xen_early_report *report, struct error *err)
{
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (!rc)
		rc = wait_for_domain(ctx, cfg, control, &report->domid, err);
	if (!rc)
		rc = write_seed(ctx, report->domid, cfg, err);
	if (rc)
		return rc;
	xen_hotplug_use_early(devices, xen_hotplug_program());
	rc = add_all(ctx, devices, control, report, err);
	/* From now on a device is detached by the script that would have attached it. */
	xen_hotplug_settle_early(report->domid);
	return rc;
}

void xen_early_child(const libxl_domain_config *cfg, libxl_domain_config *devices, int control)
{
	struct xen_early_report report = {.rc = 0};
	struct error err = ERROR_INIT;

	report.rc = attach(cfg, devices, control, &report, &err);
	memcpy(report.text, err.what, sizeof(report.text));
	report.text[sizeof(report.text) - 1] = '\0';
	if (send(control, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		log_debug("%s's devices were attached unseen", cfg->c_info.name);
	_exit(report.rc ? 1 : 0);
}
