/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_ctrl: libxenctrl, libxenguest and libxengnttab. Their headers want GNU C and look for it by
 * the absence of
 * __STRICT_ANSI__; the rest of lifeboat is plain C11.
 */
#ifndef HYPERVISOR_XEN_CTRL_H
#define HYPERVISOR_XEN_CTRL_H

#ifdef __STRICT_ANSI__
#undef __STRICT_ANSI__
#define XEN_CTRL_STRICT_ANSI
#endif

#include <stdbool.h> /* xenguest.h uses bool without it */
#include <xenctrl.h>
#include <xengnttab.h>
#include <xenguest.h>

#ifdef XEN_CTRL_STRICT_ANSI
#define __STRICT_ANSI__ 1
#undef XEN_CTRL_STRICT_ANSI
#endif

#endif
