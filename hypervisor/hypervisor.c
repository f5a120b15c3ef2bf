/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/hypervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct hypervisor *xen(void)
{
#ifdef HAVE_XEN
	return &hypervisor_xen;
#else
	return NULL;
#endif
}

int hypervisor_open(const struct config *cfg, const struct hypervisor **hv, struct error *err)
{
	*hv = xen();
	if (cfg->hypervisor == HYPERVISOR_XEN && !*hv)
		return error_set(err, -ENOSYS,
			"Build it with libxen-dev, or set hypervisor = embedded",
			"this lifeboat was built without Xen");
	if (cfg->hypervisor == HYPERVISOR_XEN)
		return (*hv)->probe(cfg, err);
	/* auto: a host that is no dom0 is none for a reason that nobody asked about. */
	if (cfg->hypervisor != HYPERVISOR_EMBEDDED && *hv && (*hv)->probe(cfg, NULL) == 0)
		return 0;
	*hv = &hypervisor_embedded;
	return (*hv)->probe(cfg, err);
}

int hypervisor_find_uuid(const struct hypervisor *hv, const uint8_t uuid[static DOMAIN_UUID_LEN],
	struct domain *dom, struct error *err)
{
	struct domain *list = NULL;
	size_t nr = 0;
	int rc = hv->list(&list, &nr, err);

	if (rc)
		return rc;
	rc = -ENOENT;
	for (size_t i = 0; i < nr && rc; i++)
		if (memcmp(list[i].uuid, uuid, DOMAIN_UUID_LEN) == 0) {
			*dom = list[i];
			rc = 0;
		}
	free(list);
	return rc;
}
