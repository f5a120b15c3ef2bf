/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_stream: what may stand in Xen's domain image, revision 3 (docs/specs/libxc-migration-stream
 * of Xen), and in which part of it. The reader (source) and the writer (destination) both ask here:
 * libxc's own restore trusts the image, and it runs as root.
 *
 *   image header | domain header | record* | END          all little-endian but the image header
 *   `--------- head ---------' `--- pages ---' `- tail -'
 *
 *    record:  0      4        8
 *            +------+--------+------- ... -+---------+
 *            | type | length | body        | 0 to 7 zero bytes, to a multiple of 8
 *            +------+--------+------- ... -+---------+
 *
 * No Xen header is needed here; everything is pure and may be fed anything.
 */
#ifndef HYPERVISOR_XEN_STREAM_H
#define HYPERVISOR_XEN_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"

#define XEN_STREAM_IMAGE_HEADER_LEN  24u
#define XEN_STREAM_HEADERS_LEN	     40u /* image header and domain header */
#define XEN_STREAM_RECORD_HEADER_LEN 8u
#define XEN_STREAM_PAGE_HEADER_LEN   8u	   /* in front of the entries of a PAGE_DATA record */
#define XEN_STREAM_PAGES_MAX	     1024u /* entries in one PAGE_DATA record of libxc */
#define XEN_STREAM_ALIGN(len)	     (((len) + 7u) & ~(size_t)7u)

enum xen_record_type {
	XEN_RECORD_END = 0x00,
	XEN_RECORD_PAGE_DATA = 0x01,
	XEN_RECORD_PV_INFO = 0x02,
	XEN_RECORD_PV_P2M_FRAMES = 0x03,
	XEN_RECORD_PV_VCPU_BASIC = 0x04,
	XEN_RECORD_PV_VCPU_EXTENDED = 0x05,
	XEN_RECORD_PV_VCPU_XSAVE = 0x06,
	XEN_RECORD_SHARED_INFO = 0x07,
	XEN_RECORD_TSC_INFO = 0x08,
	XEN_RECORD_HVM_CONTEXT = 0x09,
	XEN_RECORD_HVM_PARAMS = 0x0a,
	XEN_RECORD_PV_VCPU_MSRS = 0x0c,
	XEN_RECORD_VERIFY = 0x0d,
	XEN_RECORD_CHECKPOINT = 0x0e,
	XEN_RECORD_STATIC_DATA_END = 0x10,
	XEN_RECORD_CPUID_POLICY = 0x11,
	XEN_RECORD_MSR_POLICY = 0x12,
	/*
	 * Ours: QEMU's state, the last record of a tail. It is no part of libxc's image; libxl has
	 * it behind that, as a record of its own with the same body.
	 */
	XEN_RECORD_EMULATOR = 0x1f,
};

/* The body begins with which emulator it is (QEMU) and a number (0), then comes its state. */
#define XEN_STREAM_EMULATOR_LEN	 8u
#define XEN_STREAM_EMULATOR_QEMU 2u

/*
 * Our own record, between the process that runs xc_domain_save() and the one that reads its image
 * on the same host; it has the type of an optional record and never leaves the host.
 */
#define XEN_RECORD_MARK	    0x80f0b0a7u
#define XEN_STREAM_MARK_LEN 32u /* with its record header */

enum xen_mark_kind {
	XEN_MARK_ROUND = 1, /* a round is about to begin: what to do? */
	XEN_MARK_SUSPEND,   /* suspend the domain now */
	XEN_MARK_PASS,	    /* a round has been sent */
};

struct xen_mark {
	uint32_t kind;
	uint32_t round;
	uint64_t dirty_pages;
	uint64_t written_pages;
};

/* Values of the domain header's type field. PVH counts as HVM here, as it does for libxc. */
enum xen_guest { XEN_GUEST_PV = 1, XEN_GUEST_HVM = 2 };

enum xen_part { XEN_PART_HEAD = 1, XEN_PART_TAIL, XEN_PART_EMULATOR };

/* What this host takes; 0 in a field means that anything goes. */
struct xen_stream_limits {
	uint32_t guest;	    /* enum xen_guest that the configuration promises */
	uint32_t xen_minor; /* newest 4.x that may have written the image */
	uint64_t pfn_max;   /* highest page frame number */
	bool emulator;	    /* QEMU serves it: its state must be there, and else must not */
};

/* What has been seen of one image. Start with {.limits = ...}. */
struct xen_stream {
	struct xen_stream_limits limits;
	uint32_t guest;	   /* 0 before the headers */
	uint32_t seen;	   /* bit n: a record of type n went by */
	uint32_t pv_width; /* bytes of a PV guest's word */
	uint64_t p2m_end;  /* PV: last page frame number of the p2m */
};

/* All return 0, or -EPROTO with the reason in `err`. */
int xen_stream_check_headers(struct xen_stream *s, const void *data, struct error *err) WARN_UNUSED;
int xen_stream_check_record(struct xen_stream *s, enum xen_part part, uint32_t type,
	const void *body, size_t len, struct error *err) WARN_UNUSED;
int xen_stream_check_entry(
	const struct xen_stream *s, uint64_t entry, struct error *err) WARN_UNUSED;
/* Is everything there that the pages, or the end of the image, need before them? */
int xen_stream_check_part(
	const struct xen_stream *s, enum xen_part part, struct error *err) WARN_UNUSED;

void xen_stream_mark_encode(uint8_t out[XEN_STREAM_MARK_LEN], const struct xen_mark *mark);
int xen_stream_mark_decode(
	struct xen_mark *mark, const void *body, size_t len, struct error *err) WARN_UNUSED;

#endif
