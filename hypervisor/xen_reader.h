/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_reader: take a domain image apart while xc_domain_save() writes it: head, batches of pages,
 * marks of our own, tail. What a sink gets is cut at record boundaries: a head or tail call holds
 * the two headers or whole records with their padding, never more than HV_OPAQUE_MAX bytes.
 */
#ifndef HYPERVISOR_XEN_READER_H
#define HYPERVISOR_XEN_READER_H

#include <stddef.h>

#include "base/error.h"
#include "hypervisor/page.h"
#include "hypervisor/xen_stream.h"

/* Exactly `len` bytes: 0, -EPIPE at the end of the input, or -errno. */
typedef int xen_reader_read(void *ctx, void *buf, size_t len);

/* Any nonzero return ends the run and is returned by it. Data is only valid during the call. */
struct xen_sink {
	int (*head)(void *ctx, const void *data, size_t len);
	int (*mark)(void *ctx, const struct xen_mark *mark);
	/* As hv_save_hooks.room; may be NULL. */
	uint8_t *(*room)(void *ctx, const struct page_batch *batch);
	int (*pages)(void *ctx, struct page_batch *batch); /* may compact the batch in place */
	int (*tail)(void *ctx, const void *data, size_t len);
};

/*
 * Read one image to its END record. 0; what `read` or a sink returned; -ENOMEM; or -EPROTO with
 * the reason in `err`.
 */
int xen_reader_run(xen_reader_read *read, void *read_ctx, const struct xen_sink *sink,
	void *sink_ctx, const struct xen_stream_limits *limits, struct error *err) WARN_UNUSED;

#endif
