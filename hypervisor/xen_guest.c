/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define PER_FAMILY 8

static void append(char *out, size_t size, const char *address)
{
	size_t used = strlen(out), len = strlen(address);

	if (len == 0 || address[strspn(address, "0123456789abcdefABCDEF.:")] ||
		used + len + 2 > size)
		return;
	snprintf(out + used, size - used, "%s%s", used ? " " : "", address);
}

static void read_one(struct xs_handle *xs, const char *path, char *out, size_t size)
{
	unsigned len;
	char *value = xs_read(xs, XBT_NULL, path, &len);

	if (value)
		append(out, size, value);
	free(value);
}

/* attr/vif/N is the newer place of the agents of XenServer and XCP-ng, attr/ethN the older one. */
void xen_guest_addresses(uint32_t domid, int vif, char *out, size_t size)
{
	struct xs_handle *xs = xs_open(0);
	char path[96];

	out[0] = '\0';
	if (!xs)
		return;
	for (int i = 0; i < PER_FAMILY; i++) {
		snprintf(path, sizeof(path), "/local/domain/%u/attr/vif/%d/ipv4/%d", domid, vif, i);
		read_one(xs, path, out, size);
		snprintf(path, sizeof(path), "/local/domain/%u/attr/vif/%d/ipv6/%d", domid, vif, i);
		read_one(xs, path, out, size);
	}
	if (!out[0]) {
		snprintf(path, sizeof(path), "/local/domain/%u/attr/eth%d/ip", domid, vif);
		read_one(xs, path, out, size);
	}
	xs_close(xs);
}
