/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_early: a coming domain's plain devices, attached while its guest still runs at the source.
 * libxl attaches what the configuration names when its stream has ended, which is in the pause, and
 * that is most of it. So it is given a configuration without them, and a second child adds them, by
 * libxl as well, as soon as the domain exists. A vif is then in its bridge, without carrier until
 * its guest comes. A disk has its backend, but not yet the device behind it: that must not be
 * opened before the source has let go of it. It is named at the end. Then the devices are added to
 * the domain's configuration, of which libxl has written down its own part only.
 *
 *    child:  waits for the domain -> adds vif, vif, disk ... --report--> parent
 *
 * The child holds the image's pipe open: should the parent die, libxl does not see the pipe's end,
 * upon which it destroys the domain and its devices, before the last of them was added.
 */
#ifndef HYPERVISOR_XEN_EARLY_H
#define HYPERVISOR_XEN_EARLY_H

#include <libxl.h>

#include "base/error.h"
#include "base/io.h"
#include "hypervisor/hypervisor.h"

/* How the child ended. */
struct xen_early_report {
	int32_t rc; /* 0 or a negative errno */
	uint32_t domid;
	uint32_t vbd[DOMAIN_DISKS_MAX]; /* ids of the disks, in their order */
	char text[ERROR_TEXT_LEN - 128];
};

struct xen_early {
	libxl_domain_config devices; /* that are attached early: vifs and disks only */
	pid_t pid;
	int control; /* SOCK_SEQPACKET */
	struct xen_early_report report;
};

#define XEN_EARLY_INIT ((struct xen_early){.pid = -1, .control = -1})

/*
 * Move the devices that can be attached early out of `cfg`: those of PV and PVH domains that a
 * stock script would attach and lifeboat-hotplug does. 0 or -ENOMEM, then `cfg` is as it was.
 */
int xen_early_take(struct xen_early *e, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;

/* Begin to attach them to the domain with `cfg`'s name and UUID that is built from `image`. */
int xen_early_start(struct xen_early *e, const libxl_domain_config *cfg, int image,
	struct error *err) WARN_UNUSED;

/* Does not block: 0 when they are attached or still may be, else why not. */
int xen_early_check(struct xen_early *e, struct error *err) WARN_UNUSED;

/* The disks are at rest: wait until all are attached, and name the disks' devices. */
int xen_early_connect(struct xen_early *e, struct error *err) WARN_UNUSED;

/* The domain stands, and libxl has written its configuration down: add the devices to it. */
int xen_early_note(struct xen_early *e, struct error *err) WARN_UNUSED;

/* Call it off and wait for the child, before the image's pipe is closed. Idempotent. */
void xen_early_cancel(struct xen_early *e);

/* Cancel, and take away what a domain that libxl has destroyed may have left. Idempotent. */
void xen_early_dispose(struct xen_early *e);

#endif
