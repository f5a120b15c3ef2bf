/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_restore: the destination's side of a move. A child runs libxl_domain_create_restore() on a
 * pipe; we write the image into it, regenerated and checked by xen_writer. To end the pipe early is
 * to abort: libxl then destroys what it had built. It also does so when this process dies. (Once
 * the image is complete a domain NAME--incoming stands here, paused, until somebody decides.)
 */
#ifndef HYPERVISOR_XEN_RESTORE_H
#define HYPERVISOR_XEN_RESTORE_H

#include "hypervisor/hypervisor.h"

/* Contracts as in hypervisor.h. */
int xen_restore_begin(const char *json, struct hv_restore **restore, struct error *err) WARN_UNUSED;
int xen_restore_head(
	struct hv_restore *r, const void *data, size_t len, struct error *err) WARN_UNUSED;
int xen_restore_pages(
	struct hv_restore *r, const struct page_batch *batch, struct error *err) WARN_UNUSED;
int xen_restore_tail(
	struct hv_restore *r, const void *data, size_t len, struct error *err) WARN_UNUSED;
int xen_restore_finish(struct hv_restore *r, struct domain *dom, struct error *err) WARN_UNUSED;
void xen_restore_abort(struct hv_restore *r);

#endif
