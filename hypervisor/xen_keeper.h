/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_keeper: exactly one monitor a domain. A monitor does what the domain's configuration says
 * about poweroff, reboot and crash; two of them would both destroy it and create it again, none
 * would leave it dead. Ours is lifeboat-monitor; xl's is whatever `xl create` left behind.
 */
#ifndef HYPERVISOR_XEN_KEEPER_H
#define HYPERVISOR_XEN_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/io.h"

/*
 * Start our monitor unless one is at it; returns when it watches. A failure is only logged: the
 * domain runs, and whoever asked must not take that for a domain that does not.
 */
void xen_keeper_start(uint32_t domid);

/*
 * The same four seconds later, without waiting, and even if this process ends meanwhile: for a
 * guest that has just come, which needs this host for itself until its devices are back. A monitor
 * that comes later learns what has happened before. A failure is only logged.
 */
void xen_keeper_begin(uint32_t domid);

/*
 * The domain stands suspended and shall run on: xl's monitor, if it had one, must be gone by then.
 * It leaves at a suspend by itself; wait a second for that, then end exactly that process.
 */
void xen_keeper_retire_xl(uint32_t domid);

/*
 * Does a log of xl's monitor, read to its end, say that process `pid` waits for `domid`? A domain
 * that was rebooted gets a new line with its new domid; the last one counts.
 */
int xen_keeper_log_domid(const char *text, pid_t pid, uint32_t *domid) WARN_UNUSED;

#define XEN_KEEPER_DIR "monitor" /* below the run directory: UUID.lock and NAME.log */

/* lifeboat-monitor's exit status when it, or one before it, watches the domain. */
#define XEN_KEEPER_READY 0

#endif
