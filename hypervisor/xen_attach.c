/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_attach.h"

#include <stdio.h>
#include <string.h>

char *hotplug_read(const struct hotplug *h, const char *key)
{
	char path[HOTPLUG_PATH_LEN];
	unsigned len = 0;

	snprintf(path, sizeof(path), "%s/%s", h->backend, key);
	return xs_read(h->xs, XBT_NULL, path, &len);
}

bool hotplug_write(const struct hotplug *h, const char *key, const char *value)
{
	char path[HOTPLUG_PATH_LEN];

	snprintf(path, sizeof(path), "%s/%s", h->backend, key);
	return xs_write(h->xs, XBT_NULL, path, value, (unsigned)strlen(value));
}
