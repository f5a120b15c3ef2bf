/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_builder: the child process in which libxl builds a domain from an image that comes by a
 * pipe. Only its own session, its two descriptors and its libxl are in it (xen_host_fork), so that
 * the end of the pipe is seen as soon as the parent closes it or dies.
 */
#ifndef HYPERVISOR_XEN_BUILDER_H
#define HYPERVISOR_XEN_BUILDER_H

#include <libxl.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/io.h"

struct xen_builder {
	pid_t pid;
	int image;  /* write end of the pipe */
	int report; /* read end of another */
};

#define XEN_BUILDER_INIT ((struct xen_builder){.pid = -1, .image = -1, .report = -1})

struct xen_builder_report {
	int32_t rc; /* 0 or a negative errno */
	uint32_t domid;
	char text[ERROR_TEXT_LEN - 128]; /* what libxl said */
};

#define XEN_NO_DOMID (~0u) /* to be chosen, or not known */

/* Begin a domain with this configuration, whose domid is XEN_NO_DOMID. The child has a copy of it.
 */
int xen_builder_start(
	struct xen_builder *b, libxl_domain_config *cfg, struct error *err) WARN_UNUSED;

/* Write to the pipe; -EPIPE when the child has given up. Matches xen_writer_write. */
int xen_builder_write(void *builder, struct iovec *iov, size_t nr) WARN_UNUSED;

/* End the pipe, wait for the child and say how it went. Idempotent; later calls say -EIO. */
void xen_builder_end(struct xen_builder *b, struct xen_builder_report *report);

#endif
