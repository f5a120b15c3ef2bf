/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xen_domain: see, make and steer domains through libxl. Contracts as in hypervisor.h. */
#ifndef HYPERVISOR_XEN_DOMAIN_H
#define HYPERVISOR_XEN_DOMAIN_H

#include "hypervisor/hypervisor.h"

int xen_domain_list(struct domain **list, size_t *nr, struct error *err) WARN_UNUSED;
int xen_domain_find(const char *name, struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_refresh(struct domain *dom) WARN_UNUSED;
int xen_domain_by_domid(uint32_t domid, struct domain *dom, struct error *err) WARN_UNUSED;

int xen_domain_create(
	const char *file, bool paused, struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_create_check(const char *file, struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_pause(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_unpause(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_shutdown(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_reboot(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_destroy(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_rename(struct domain *dom, const char *name, struct error *err) WARN_UNUSED;
int xen_domain_activate(struct domain *dom, const char *name, struct error *err) WARN_UNUSED;
int xen_domain_console(const struct domain *dom, struct error *err) WARN_UNUSED;
int xen_domain_resume(const struct domain *dom, struct error *err) WARN_UNUSED;

#endif
