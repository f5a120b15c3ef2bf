/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of xen_domain_file.c in a build without libxlutil. */
#include <errno.h>

#include "hypervisor/domain_file.h"

int domain_file_load(const char *path, struct domain_spec *spec, struct error *err)
{
	*spec = (struct domain_spec){0};
	return error_set(err, -ENOSYS, "Build it where libxen-dev is installed",
		"this lifeboat was built without libxlutil, which reads domain files such as %s",
		path);
}
