/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm_layout: the guest process's address space; read by the assembler too. */
#ifndef HYPERVISOR_VMM_LAYOUT_H
#define HYPERVISOR_VMM_LAYOUT_H

#define VMM_GUEST_BASE 0x10000000000 /* GUEST_BASE of guest.h */
#define VMM_STUB_BASE  0x5a5a00000000
#define VMM_TASK_END   0x7ffffffff000

#endif
