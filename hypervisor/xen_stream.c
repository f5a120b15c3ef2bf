/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_stream.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/wire.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/page.h"

#define XEN_MAJOR  4u
#define PAGE_SHIFT 12u
#define VCPUS_MAX  8192u
#define PV	   (1u << XEN_GUEST_PV)
#define HVM	   (1u << XEN_GUEST_HVM)
#define BODY_MAX   (HV_OPAQUE_MAX - 2 * XEN_STREAM_RECORD_HEADER_LEN)
#define SEEN(type) (1u << (type))

/* The whole image header is one constant: marker, "XENF", version 3, little-endian, reserved. */
static const uint8_t image_header[XEN_STREAM_IMAGE_HEADER_LEN] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'X', 'E', 'N', 'F', 0, 0, 0, 3};

struct rule {
	const char *name;
	enum xen_part part;
	uint32_t guests; /* PV | HVM */
	bool once;
	size_t min, max, step; /* of the body; step counts from min */
	int (*check)(struct xen_stream *s, struct wire_reader *body, struct error *err);
};

static int bad(struct error *err, const char *what)
{
	return error_set(err, -EPROTO, NULL, "the domain image is not valid: %s", what);
}

static int check_pv_info(struct xen_stream *s, struct wire_reader *r, struct error *err)
{
	uint32_t width = wire_get_u8(r);
	uint32_t levels = wire_get_u8(r);

	if (!((width == 4 && levels == 3) || (width == 8 && levels == 4)))
		return bad(err, "no such kind of PV guest");
	s->pv_width = width;
	return 0;
}

/*
 * libxc allocates by the end frame number, which a short record could set to 2^32: the record must
 * be as long as its range, which starts at 0 in every image that libxc writes.
 */
static int check_p2m_frames(struct xen_stream *s, struct wire_reader *r, struct error *err)
{
	uint64_t frames = r->left / 8 - 1;
	uint64_t start = wire_get_u32(r);
	uint64_t end = wire_get_u32(r);

	if (!s->pv_width)
		return bad(err, "p2m frames before the kind of PV guest");
	if (start != 0 || frames != end / (PAGE_BYTES / s->pv_width) + 1)
		return bad(err, "the p2m frames do not match their range");
	if (s->limits.pfn_max && end > s->limits.pfn_max)
		return bad(err, "the p2m is larger than the configuration allows");
	s->p2m_end = end;
	return 0;
}

static int check_vcpu(struct xen_stream *s, struct wire_reader *r, struct error *err)
{
	(void)s;
	return wire_get_u32(r) < VCPUS_MAX ? 0 : bad(err, "vCPU number out of range");
}

/* The HVM parameters that libxc saves; any other one could switch on what the guest never had. */
static const uint64_t hvm_params = UINT64_C(1) << 1 |  /* STORE_PFN */
				   UINT64_C(1) << 5 |  /* IOREQ_PFN */
				   UINT64_C(1) << 6 |  /* BUFIOREQ_PFN */
				   UINT64_C(1) << 9 |  /* VIRIDIAN */
				   UINT64_C(1) << 12 | /* IDENT_PT */
				   UINT64_C(1) << 17 | /* CONSOLE_PFN */
				   UINT64_C(1) << 19 | /* ACPI_IOPORTS_LOCATION */
				   UINT64_C(1) << 27 | /* PAGING_RING_PFN */
				   UINT64_C(1) << 28 | /* MONITOR_RING_PFN */
				   UINT64_C(1) << 29 | /* SHARING_RING_PFN */
				   UINT64_C(1) << 32 | /* IOREQ_SERVER_PFN */
				   UINT64_C(1) << 33 | /* NR_IOREQ_SERVER_PAGES */
				   UINT64_C(1) << 34 | /* VM_GENERATION_ID_ADDR */
				   UINT64_C(1) << 36 | /* X87_FIP_WIDTH */
				   UINT64_C(1) << 37 | /* VM86_TSS_SIZED */
				   UINT64_C(1) << 38;  /* MCA_CAP */

static int check_hvm_params(struct xen_stream *s, struct wire_reader *r, struct error *err)
{
	uint32_t count = wire_get_u32(r);

	(void)s;
	wire_get_u32(r); /* reserved */
	if (count != r->left / 16)
		return bad(err, "the number of HVM parameters does not match their length");
	for (uint32_t i = 0; i < count; i++) {
		uint64_t index = wire_get_u64(r);

		wire_get_u64(r);
		if (index >= 64 || !(hvm_params >> index & 1))
			return bad(err, "an HVM parameter that is never saved");
	}
	return 0;
}

static int check_emulator(struct xen_stream *s, struct wire_reader *r, struct error *err)
{
	uint32_t id = wire_get_u32(r);
	uint32_t index = wire_get_u32(r);

	if (!s->limits.emulator)
		return bad(err, "the state of a QEMU that this guest has not");
	return id == XEN_STREAM_EMULATOR_QEMU && index == 0 ? 0 : bad(err, "no such emulator");
}

/* clang-format off */
static const struct rule rules[] = {
	[XEN_RECORD_PV_INFO]          = {"PV_INFO", XEN_PART_HEAD, PV, true, 8, 8, 1, check_pv_info},
	[XEN_RECORD_PV_P2M_FRAMES]    = {"P2M_FRAMES", XEN_PART_HEAD, PV, true, 16, BODY_MAX, 8, check_p2m_frames},
	[XEN_RECORD_PV_VCPU_BASIC]    = {"VCPU_BASIC", XEN_PART_TAIL, PV, false, 8, 16384, 1, check_vcpu},
	[XEN_RECORD_PV_VCPU_EXTENDED] = {"VCPU_EXTENDED", XEN_PART_TAIL, PV, false, 8, 136, 1, check_vcpu},
	[XEN_RECORD_PV_VCPU_XSAVE]    = {"VCPU_XSAVE", XEN_PART_TAIL, PV, false, 8, 65536, 1, check_vcpu},
	[XEN_RECORD_PV_VCPU_MSRS]     = {"VCPU_MSRS", XEN_PART_TAIL, PV, false, 8, 4096, 16, check_vcpu},
	[XEN_RECORD_SHARED_INFO]      = {"SHARED_INFO", XEN_PART_TAIL, PV, true, 4096, 4096, 1, NULL},
	[XEN_RECORD_TSC_INFO]         = {"TSC_INFO", XEN_PART_TAIL, PV | HVM, true, 24, 24, 1, NULL},
	[XEN_RECORD_HVM_CONTEXT]      = {"HVM_CONTEXT", XEN_PART_TAIL, HVM, true, 8, BODY_MAX, 1, NULL},
	[XEN_RECORD_HVM_PARAMS]       = {"HVM_PARAMS", XEN_PART_TAIL, HVM, true, 24, 8 + 16 * 64, 16, check_hvm_params},
	[XEN_RECORD_EMULATOR]         = {"EMULATOR", XEN_PART_EMULATOR, HVM, true, XEN_STREAM_EMULATOR_LEN + 1, BODY_MAX, 1, check_emulator},
	[XEN_RECORD_STATIC_DATA_END]  = {"STATIC_DATA_END", XEN_PART_HEAD, PV | HVM, true, 0, 0, 1, NULL},
	[XEN_RECORD_CPUID_POLICY]     = {"CPUID_POLICY", XEN_PART_HEAD, PV | HVM, true, 24, 65536, 24, NULL},
	[XEN_RECORD_MSR_POLICY]       = {"MSR_POLICY", XEN_PART_HEAD, PV | HVM, true, 16, 65536, 16, NULL},
};
/* clang-format on */

int xen_stream_check_headers(struct xen_stream *s, const void *data, struct error *err)
{
	struct wire_reader r = wire_reader(data, XEN_STREAM_HEADERS_LEN);
	const uint8_t *image = wire_get_bytes(&r, XEN_STREAM_IMAGE_HEADER_LEN);
	uint32_t guest = wire_get_u32(&r);
	uint16_t shift = wire_get_u16(&r);
	uint16_t reserved = wire_get_u16(&r);
	uint32_t major = wire_get_u32(&r);
	uint32_t minor = wire_get_u32(&r);

	if (!image || memcmp(image, image_header, sizeof(image_header)) != 0)
		return bad(err, "it does not start as one of revision 3");
	if ((guest != XEN_GUEST_PV && guest != XEN_GUEST_HVM) || shift != PAGE_SHIFT || reserved)
		return bad(err, "no such kind of guest");
	if (s->limits.guest && s->limits.guest != guest)
		return bad(err, "it is of another kind of guest than the configuration");
	if (major != XEN_MAJOR || (s->limits.xen_minor && minor > s->limits.xen_minor))
		return error_set(err, -EPROTO, "Move domains only to the same or a newer Xen",
			"the domain image was written by Xen %u.%u, newer than this host's", major,
			minor);
	s->guest = guest;
	return 0;
}

/* The static records end with STATIC_DATA_END; only the p2m's frame list may follow it. */
static bool in_order(const struct xen_stream *s, enum xen_part part, uint32_t type)
{
	if (part != XEN_PART_HEAD)
		return true;
	return (type == XEN_RECORD_PV_P2M_FRAMES) ==
	       ((s->seen & SEEN(XEN_RECORD_STATIC_DATA_END)) != 0);
}

int xen_stream_check_record(struct xen_stream *s, enum xen_part part, uint32_t type,
	const void *body, size_t len, struct error *err)
{
	struct wire_reader r = wire_reader(body, len);
	const struct rule *rule;
	int rc;

	if (type >= sizeof(rules) / sizeof(rules[0]) || !rules[type].name ||
		rules[type].part != part || !(rules[type].guests >> s->guest & 1))
		return error_set(err, -EPROTO, NULL,
			"the domain image is not valid: a record of type 0x%x where none belongs",
			type);
	rule = &rules[type];
	if (len < rule->min || len > rule->max || (len - rule->min) % rule->step)
		return error_set(err, -EPROTO, NULL,
			"the domain image is not valid: a %s record of %zu bytes", rule->name, len);
	if ((rule->once && (s->seen & SEEN(type))) || !in_order(s, part, type))
		return error_set(err, -EPROTO, NULL,
			"the domain image is not valid: a %s record out of order", rule->name);
	rc = rule->check ? rule->check(s, &r, err) : 0;
	if (rc)
		return rc;
	s->seen |= SEEN(type);
	return 0;
}

int xen_stream_check_entry(const struct xen_stream *s, uint64_t entry, struct error *err)
{
	uint64_t pfn = page_pfn(entry);

	if (!page_entry_valid(entry))
		return bad(err, "a page of an unknown type");
	if (s->guest == XEN_GUEST_HVM && page_has_data(entry) &&
		page_type(entry) != PAGE_TYPE_NOTAB)
		return bad(err, "a page table of a guest that has none");
	if ((s->limits.pfn_max && pfn > s->limits.pfn_max) ||
		(s->guest == XEN_GUEST_PV && pfn > s->p2m_end))
		return bad(err, "a page beyond the guest's memory");
	return 0;
}

int xen_stream_check_part(const struct xen_stream *s, enum xen_part part, struct error *err)
{
	static const uint32_t needed[][4] = {
		[XEN_GUEST_PV] = {0,
			SEEN(XEN_RECORD_PV_INFO) | SEEN(XEN_RECORD_STATIC_DATA_END) |
				SEEN(XEN_RECORD_PV_P2M_FRAMES),
			SEEN(XEN_RECORD_SHARED_INFO) | SEEN(XEN_RECORD_PV_VCPU_BASIC)},
		[XEN_GUEST_HVM] = {0, SEEN(XEN_RECORD_STATIC_DATA_END),
			SEEN(XEN_RECORD_HVM_CONTEXT) | SEEN(XEN_RECORD_HVM_PARAMS)},
	};

	if (!s->guest)
		return bad(err, "it has no headers");
	if (part == XEN_PART_EMULATOR)
		return !s->limits.emulator || (s->seen & SEEN(XEN_RECORD_EMULATOR))
			       ? 0
			       : bad(err, "it ends before QEMU's state");
	if (needed[s->guest][part] & ~s->seen)
		return bad(err, part == XEN_PART_HEAD ? "pages before the static records' end"
						      : "it ends before the guest's state");
	return 0;
}

void xen_stream_mark_encode(uint8_t out[XEN_STREAM_MARK_LEN], const struct xen_mark *mark)
{
	struct wire_writer w = wire_writer(out, XEN_STREAM_MARK_LEN);

	wire_put_u32(&w, XEN_RECORD_MARK);
	wire_put_u32(&w, XEN_STREAM_MARK_LEN - XEN_STREAM_RECORD_HEADER_LEN);
	wire_put_u32(&w, mark->kind);
	wire_put_u32(&w, mark->round);
	wire_put_u64(&w, mark->dirty_pages);
	wire_put_u64(&w, mark->written_pages);
}

int xen_stream_mark_decode(struct xen_mark *mark, const void *body, size_t len, struct error *err)
{
	struct wire_reader r = wire_reader(body, len);

	mark->kind = wire_get_u32(&r);
	mark->round = wire_get_u32(&r);
	mark->dirty_pages = wire_get_u64(&r);
	mark->written_pages = wire_get_u64(&r);
	if (!wire_reader_done(&r) ||
		(mark->kind != XEN_MARK_ROUND && mark->kind != XEN_MARK_SUSPEND &&
			mark->kind != XEN_MARK_PASS))
		return bad(err, "a mark of the wrong shape");
	return 0;
}
