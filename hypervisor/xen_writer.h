/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_writer: put a domain image together again, in the framing that libxl_domain_create_restore()
 * and `xl restore` read:
 *
 *   "LibxlFmt" header | LIBXC_CONTEXT, empty | domain image ... END | EMULATOR_CONTEXT? | END of
 * libxl
 *
 * QEMU's state comes as a tail of its own, the last one, and is put behind the image.
 *
 * The peer who sent head, pages and tail is authenticated and still not trusted: every call is
 * checked by xen_stream's rules in full before a byte of it is written.
 */
#ifndef HYPERVISOR_XEN_WRITER_H
#define HYPERVISOR_XEN_WRITER_H

#include <stddef.h>
#include <sys/uio.h>

#include "base/error.h"
#include "hypervisor/page.h"
#include "hypervisor/xen_stream.h"

/* Write all of it: 0 or -errno. The vector may be changed. */
typedef int xen_writer_write(void *ctx, struct iovec *iov, size_t nr);

enum xen_writer_phase {
	XEN_WRITER_NEW = 0,
	XEN_WRITER_HEAD,
	XEN_WRITER_PAGES,
	XEN_WRITER_TAIL,
	XEN_WRITER_EMULATOR,
	XEN_WRITER_END
};

/* Start with {.write, .ctx, .stream.limits}. */
struct xen_writer {
	xen_writer_write *write;
	void *ctx;
	struct xen_stream stream;
	enum xen_writer_phase phase;
};

/*
 * In this order: head+ pages* tail+ end. 0; -EPROTO with the reason in `err`; or what write
 * returned. After a failure the writer must not be used again.
 */
int xen_writer_head(
	struct xen_writer *w, const void *data, size_t len, struct error *err) WARN_UNUSED;
int xen_writer_pages(
	struct xen_writer *w, const struct page_batch *batch, struct error *err) WARN_UNUSED;
int xen_writer_tail(
	struct xen_writer *w, const void *data, size_t len, struct error *err) WARN_UNUSED;
int xen_writer_end(struct xen_writer *w, struct error *err) WARN_UNUSED;

#endif
