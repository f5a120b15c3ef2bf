/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_offer: what a Xen host tells another of a domain that wants to move there: libxl's
 * configuration of it, and what libxl does not say but the other has to know beforehand. One JSON
 * object; no Xen is needed to read it.
 */
#ifndef HYPERVISOR_XEN_OFFER_H
#define HYPERVISOR_XEN_OFFER_H

#include "hypervisor/cpu.h"

#define XEN_VERSION_LEN 64

struct xen_offer {
	char *libxl;		   /* the configuration, as libxl writes it */
	char xen[XEN_VERSION_LEN]; /* the release that it ran on: "4.17.7" */
	int64_t time;		   /* when it was made, seconds since 1970 by that host's clock */
	struct cpu_tsc tsc;
	struct cpu_policy cpu;
};

/* The caller frees. NULL when there is no memory or something is no UTF-8. */
char *xen_offer_encode(const struct xen_offer *offer);

/* 0, -EINVAL or -ENOMEM. `offer` must be disposed in any case. */
int xen_offer_decode(const char *json, struct xen_offer *offer, struct error *err) WARN_UNUSED;
void xen_offer_dispose(struct xen_offer *offer);

/*
 * Find what comes of moving from Xen `from` to Xen `to`: a stream is only understood by the same
 * release or a later one.
 */
void xen_offer_check_version(const char *from, const char *to, struct findings *found);

/* The guest takes the time from the host that it is on: find clocks that disagree. */
void xen_offer_check_clock(int64_t there, int64_t here, struct findings *found);

#endif
