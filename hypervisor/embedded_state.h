/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * embedded_state: what travels of an embedded domain besides its pages.
 *
 * HEAD is one header message, then the kernel image in pieces:
 *   header   u8 1 | u32 magic | u16 version | u32 guest ABI | u64 pages | u32 image bytes |
 *            u64 xsave components in use | u8 n | n x (u8 component, u32 offset, u32 size)
 *   piece    u8 2 | u32 offset | bytes to the end of the message
 * TAIL:
 *   u32 magic | u16 version | u16 n | registers (NT_PRSTATUS) | u32 n | xsave area (NT_X86_XSTATE)
 *   | u64 guest clock ns | u64 pending events | u64 tick | u64 faults | u64 CPU ns
 *   | u32 n | last n bytes of console output
 * All little-endian.
 */
#ifndef HYPERVISOR_EMBEDDED_STATE_H
#define HYPERVISOR_EMBEDDED_STATE_H

#include <sys/user.h>

#include "hypervisor/hypervisor.h"

#define STATE_XSTATE_MAX  16384u
#define STATE_CONSOLE_MAX (64u << 10)
#define STATE_TAIL_MAX	  (STATE_XSTATE_MAX + STATE_CONSOLE_MAX + 4096u)
#define STATE_IMAGE_MAX	  (64u << 20)
#define STATE_HEAD_MAX	  1024u /* of the header message */
#define STATE_PIECE_MAX	  (256u << 10)

struct embedded_head {
	uint64_t nr_pages;
	uint32_t image_len;
	uint64_t xfeatures;
};

struct embedded_tail {
	struct user_regs_struct regs;
	uint8_t xstate[STATE_XSTATE_MAX];
	uint32_t xstate_len;
	uint64_t guest_ns;
	uint64_t events;
	uint64_t tick, faults;
	uint64_t cpu_ns;
	uint8_t console[STATE_CONSOLE_MAX];
	uint32_t console_len;
};

/* Length written, or -ENOSPC. */
ssize_t embedded_head_encode(const struct embedded_head *head, void *buf, size_t size) WARN_UNUSED;
ssize_t embedded_piece_encode(
	uint32_t offset, const void *data, size_t len, void *buf, size_t size) WARN_UNUSED;
ssize_t embedded_tail_encode(const struct embedded_tail *tail, void *buf, size_t size) WARN_UNUSED;

/* What kind of HEAD message it is: 1 header, 2 piece, 0 neither. */
int embedded_head_kind(const void *buf, size_t len);

/* Refuses, with a sentence, what this CPU or this lifeboat cannot run. */
int embedded_head_decode(
	struct embedded_head *head, const void *buf, size_t len, struct error *err) WARN_UNUSED;
int embedded_piece_decode(const void *buf, size_t len, uint32_t *offset, const uint8_t **data,
	size_t *data_len) WARN_UNUSED;
int embedded_tail_decode(
	struct embedded_tail *tail, const void *buf, size_t len, struct error *err) WARN_UNUSED;

/* XSTATE_BV of an xsave area: components not in their initial state. */
uint64_t xstate_in_use(const uint8_t *xstate, size_t len);
/* 0 when this CPU can hold these components. */
int xstate_check(uint64_t xfeatures, struct error *err) WARN_UNUSED;

#endif
