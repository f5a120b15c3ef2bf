/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_qemu: the QEMU in dom0 that serves an HVM domain. It writes to the guest's memory behind
 * Xen's back, so it has to note what it writes while pages travel; and it has state of its own,
 * which libxl lets it save to a file when the domain is suspended.
 */
#ifndef HYPERVISOR_XEN_QEMU_H
#define HYPERVISOR_XEN_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h" /* WARN_UNUSED */

/* Where libxl has its sockets and files. Tests have theirs elsewhere. */
struct xen_qemu_places {
	const char *socket_dir, *state_dir;
};
extern struct xen_qemu_places xen_qemu_places;

/*
 * Tell QEMU to note what it writes, or to stop that, over its QMP socket. libxl is served first if
 * it holds that. Blocks until the answer or the deadline. 0 or -errno.
 */
int xen_qemu_log_dirty(uint32_t domid, bool on, int64_t deadline, struct error *err) WARN_UNUSED;

/*
 * The state that QEMU saved, as a fresh record of a domain image's tail (XEN_RECORD_EMULATOR, of
 * `len` bytes with header and padding, at most HV_OPAQUE_MAX) that the caller frees.
 */
int xen_qemu_state(uint32_t domid, uint8_t **record, size_t *len, struct error *err) WARN_UNUSED;

/* Remove that file: libxl would not shorten an older one, and a move needs it only once. */
void xen_qemu_forget_state(uint32_t domid);

#endif
