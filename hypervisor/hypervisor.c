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
	int rc;

	if (dom->domid && memcmp(dom->uuid, uuid, DOMAIN_UUID_LEN) == 0 && hv->refresh(dom) == 0)
		return 0;
	rc = hv->list(&list, &nr, err);
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

static bool has_mac(const struct domain *dom, const uint8_t mac[static 6])
{
	for (unsigned i = 0; i < dom->nr_vifs; i++)
		if (memcmp(dom->vif[i].mac, mac, 6) == 0)
			return true;
	return false;
}

void hypervisor_check_macs(const struct domain *there, const char *name,
	const struct domain_vif *vif, unsigned nr, struct findings *found)
{
	for (unsigned i = 0; i < nr; i++) {
		const uint8_t *m = vif[i].mac;

		if (has_mac(there, m))
			findings_add(found, FINDING_RISK, "mac",
				"Give one of them another address, with mac= in its domain file",
				"domain %s on this host has the MAC address %02x:%02x:%02x:%02x:%02x:%02x of %s too",
				there->name, m[0], m[1], m[2], m[3], m[4], m[5], name);
	}
}
