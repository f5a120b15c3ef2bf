/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_log: what Xen's libraries have to say. All of it goes to our log at debug level; the errors
 * are kept as well, because libxl returns little more than "it failed" and says why only here.
 */
#ifndef HYPERVISOR_XEN_LOG_H
#define HYPERVISOR_XEN_LOG_H

#include <stddef.h>
#include <xentoollog.h>

#include "base/log.h"

/* The one logger of this process; pass it to libxl_ctx_alloc() and xc_interface_open(). */
xentoollog_logger *xen_log_logger(void);

/* Also show what is not an error at this level of ours (default LOG_LEVEL_DEBUG). */
void xen_log_show(enum log_level level);

/* Forget what was kept: call it before an operation whose failure shall be explained. */
void xen_log_clear(void);

/* The first error, which names the cause, and the last one. "" when there was none. */
void xen_log_reason(char *out, size_t size);

#endif
