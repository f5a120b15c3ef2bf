/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * domain_file: a domain file in xl's own syntax (libxlutil parses it), as a plain structure.
 * Only hypervisor/xen_domain_file.c sees a Xen header.
 */
#ifndef HYPERVISOR_DOMAIN_FILE_H
#define HYPERVISOR_DOMAIN_FILE_H

#include <limits.h>

#include "hypervisor/hypervisor.h"

#define DOMAIN_EXTRA_LEN 1024 /* with its NUL, as GUEST_CMDLINE */

enum domain_action { ACTION_DESTROY = 1, ACTION_RESTART, ACTION_PRESERVE };

struct domain_spec {
	char name[DOMAIN_NAME_LEN];
	uint8_t uuid[DOMAIN_UUID_LEN]; /* all zero: not given */
	char kernel[PATH_MAX];
	char extra[DOMAIN_EXTRA_LEN];
	uint64_t memory_mb;
	struct domain_vif vif[DOMAIN_VIFS_MAX]; /* mac all zero: not given */
	unsigned nr_vifs;
	struct domain_disk disk[DOMAIN_DISKS_MAX];
	unsigned nr_disks;
	enum domain_action on_poweroff, on_reboot, on_crash;
};

/*
 * Read a domain file for the embedded hypervisor. An unknown key is a warning that names it, as xl
 * passes over it; a key that embedded cannot honour is an error. 0 or -errno with `err` filled.
 */
int domain_file_load(const char *path, struct domain_spec *spec, struct error *err) WARN_UNUSED;

#endif
