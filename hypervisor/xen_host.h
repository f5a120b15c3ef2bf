/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_host: this process's handle to Xen, opened once and kept, and what this host is.
 *
 * libxl runs helpers and must hear SIGCHLD: a process that uses this backend leaves that signal
 * alone and reaps its own children by pid. SIGPIPE must be ignored.
 */
#ifndef HYPERVISOR_XEN_HOST_H
#define HYPERVISOR_XEN_HOST_H

#include <libxl.h>
#include <sys/types.h>

#include "hypervisor/hypervisor.h"

/* The release that this program was built for: libxl and libxc have no stable ABI between them. */
#define XEN_HOST_MAJOR 4
#define XEN_HOST_MINOR 17

int xen_host_probe(const struct config *cfg, struct error *err) WARN_UNUSED;
int xen_host_info(struct hv_host *host, struct error *err) WARN_UNUSED;

/* The handle; opened on first use. The error log starts afresh. */
int xen_host_open(libxl_ctx **ctx, struct error *err) WARN_UNUSED;

/* Where sockets and locks live; from the configuration given to probe. */
const char *xen_host_run_dir(void);

/*
 * Explain a failure of libxl by its return code and the errors it logged since xen_host_open().
 * Returns the negative errno that fits.
 */
int xen_host_error(struct error *err, int rc, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Fork a child that will use Xen's libraries by itself: its own session, deaf to the signals that
 * end us (it ends when its pipes do), only descriptors 0-2 and `keep` open, no handle of ours. It
 * is called `name` (15 characters at most), so that who kills ours by its name leaves this one to
 * clean up. Returns as fork() does, or -errno.
 */
pid_t xen_host_fork(const char *name, const int *keep, size_t nr) WARN_UNUSED;

#endif
