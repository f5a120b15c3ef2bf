/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_attach: lifeboat-hotplug, which attaches a moved domain's vifs and disks, and detaches those
 * of a domain that lifeboat destroys, in place of Xen's shell scripts vif-bridge and block. It does
 * what they do for a plain device (a bridge of Linux, a block device that nobody else uses) and
 * hands everything else and every refusal to the script itself. The scripts would be most of a
 * move's pause, and of its end: hundreds of processes a device.
 */
#ifndef HYPERVISOR_XEN_ATTACH_H
#define HYPERVISOR_XEN_ATTACH_H

#include <stdbool.h>
#include <xenstore.h>

#define HOTPLUG_SCRIPT_DIR "/etc/xen/scripts"
#define HOTPLUG_PATH_LEN   256

struct hotplug {
	struct xs_handle *xs;
	const char *backend; /* this device's place in xenstore, from the environment */
	const char *vif;     /* name of the network device, NULL for a disk */
};

/* A key of the device's backend directory; NULL when it is not there. The caller frees. */
char *hotplug_read(const struct hotplug *h, const char *key);
bool hotplug_write(const struct hotplug *h, const char *key, const char *value);

/*
 * Attach the device and say so in xenstore: true = done. False = it is for the script; what may
 * have been done by then the script does again without harm.
 */
bool hotplug_vbd(const struct hotplug *h);
bool hotplug_vif(const struct hotplug *h);
/* Detach it: true = done, false = it is for the script. */
bool hotplug_vbd_gone(const struct hotplug *h);
bool hotplug_vif_gone(const struct hotplug *h);

#endif
