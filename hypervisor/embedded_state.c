/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/embedded_state.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/wire.h"
#include "hypervisor/guest/guest.h"

#define HEAD_MAGIC    0x6468626cu /* "lbhd" */
#define TAIL_MAGIC    0x6c74626cu /* "lbtl" */
#define STATE_VERSION 1u
#define KIND_HEADER   1
#define KIND_PIECE    2

#define XSTATE_BV_OFFSET  512u
#define XSTATE_LEGACY_LEN 576u /* FXSAVE area and header */
#define XSTATE_COMPONENTS 63u
#define XSTATE_X87_SSE	  3u

/* Where a component lies in the standard format, by CPUID leaf 0xd; false when the CPU has none. */
static bool xstate_place(unsigned component, uint32_t *offset, uint32_t *size)
{
	uint32_t ecx, edx;

	if (!__get_cpuid_count(0xd, component, size, offset, &ecx, &edx))
		return false;
	return *size != 0;
}

/* Components that the kernel has enabled for user space. */
static uint64_t xstate_enabled(void)
{
	uint32_t a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return XSTATE_X87_SSE;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

uint64_t xstate_in_use(const uint8_t *xstate, size_t len)
{
	struct wire_reader r;

	if (len < XSTATE_LEGACY_LEN)
		return XSTATE_X87_SSE;
	r = wire_reader(xstate + XSTATE_BV_OFFSET, 8);
	return wire_get_u64(&r);
}

int xstate_check(uint64_t xfeatures, struct error *err)
{
	uint64_t missing = xfeatures & ~xstate_enabled();

	if (!missing)
		return 0;
	return error_set(err, -EOPNOTSUPP,
		"Move it to a host with at least the CPU features of the one it was started on",
		"this CPU lacks features that the domain uses (xsave components 0x%llx%s)",
		(unsigned long long)missing,
		missing & 0xe0 ? ", AVX-512"
		: missing & 4  ? ", AVX"
			       : "");
}

ssize_t embedded_head_encode(const struct embedded_head *head, void *buf, size_t size)
{
	struct wire_writer w = wire_writer(buf, size);
	unsigned nr = 0;

	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++)
		nr += (unsigned)(head->xfeatures >> i & 1);
	wire_put_u8(&w, KIND_HEADER);
	wire_put_u32(&w, HEAD_MAGIC);
	wire_put_u16(&w, STATE_VERSION);
	wire_put_u32(&w, GUEST_ABI);
	wire_put_u64(&w, head->nr_pages);
	wire_put_u32(&w, head->image_len);
	wire_put_u64(&w, head->xfeatures);
	wire_put_u8(&w, (uint8_t)nr);
	for (unsigned i = 2; i < XSTATE_COMPONENTS; i++) {
		uint32_t offset = 0, len = 0;

		if (!(head->xfeatures >> i & 1))
			continue;
		xstate_place(i, &offset, &len);
		wire_put_u8(&w, (uint8_t)i);
		wire_put_u32(&w, offset);
		wire_put_u32(&w, len);
	}
	return w.failed ? -ENOSPC : (ssize_t)wire_writer_len(&w);
}

ssize_t embedded_piece_encode(uint32_t offset, const void *data, size_t len, void *buf, size_t size)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u8(&w, KIND_PIECE);
	wire_put_u32(&w, offset);
	wire_put_bytes(&w, data, len);
	return w.failed ? -ENOSPC : (ssize_t)wire_writer_len(&w);
}

int embedded_head_kind(const void *buf, size_t len)
{
	uint8_t kind = len ? *(const uint8_t *)buf : 0;

	return kind == KIND_HEADER || kind == KIND_PIECE ? kind : 0;
}

/* AMD and Intel place some components differently; a guest that uses one cannot cross over. */
static int head_check_layout(struct wire_reader *r, struct error *err)
{
	unsigned nr = wire_get_u8(r);

	for (unsigned i = 0; i < nr && !r->failed; i++) {
		unsigned component = wire_get_u8(r);
		uint32_t offset = wire_get_u32(r), len = wire_get_u32(r), our_offset = 0,
			 our_len = 0;

		if (r->failed)
			break;
		if (component < 2 || component >= XSTATE_COMPONENTS)
			return error_set(err, -EPROTO, NULL, "the domain's header is malformed");
		if (!xstate_place(component, &our_offset, &our_len) || our_offset != offset ||
			our_len != len)
			return error_set(err, -EOPNOTSUPP,
				"Move it to a host with the same make of CPU",
				"this CPU keeps xsave component %u, which the domain uses, elsewhere",
				component);
	}
	return 0;
}

int embedded_head_decode(struct embedded_head *head, const void *buf, size_t len, struct error *err)
{
	struct wire_reader r = wire_reader(buf, len);
	uint32_t magic, abi;
	uint16_t version;
	int rc;

	wire_get_u8(&r);
	magic = wire_get_u32(&r);
	version = wire_get_u16(&r);
	abi = wire_get_u32(&r);
	head->nr_pages = wire_get_u64(&r);
	head->image_len = wire_get_u32(&r);
	head->xfeatures = wire_get_u64(&r);
	if (r.failed || magic != HEAD_MAGIC)
		return error_set(err, -EPROTO, NULL, "the domain's header is malformed");
	if (version != STATE_VERSION || abi != GUEST_ABI)
		return error_set(err, -EOPNOTSUPP, "Run the same version of lifeboat on both hosts",
			"the domain's state has version %u and guest ABI %u, this lifeboat knows %u and %u",
			version, abi, STATE_VERSION, GUEST_ABI);
	rc = xstate_check(head->xfeatures, err);
	if (!rc)
		rc = head_check_layout(&r, err);
	if (!rc && (!wire_reader_done(&r) || head->image_len == 0 ||
			   head->image_len > STATE_IMAGE_MAX))
		rc = error_set(err, -EPROTO, NULL, "the domain's header is malformed");
	return rc;
}

int embedded_piece_decode(
	const void *buf, size_t len, uint32_t *offset, const uint8_t **data, size_t *data_len)
{
	struct wire_reader r = wire_reader(buf, len);

	if (wire_get_u8(&r) != KIND_PIECE)
		return -EPROTO;
	*offset = wire_get_u32(&r);
	if (r.failed)
		return -EPROTO;
	*data_len = r.left;
	*data = wire_get_bytes(&r, r.left);
	return 0;
}

ssize_t embedded_tail_encode(const struct embedded_tail *tail, void *buf, size_t size)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, TAIL_MAGIC);
	wire_put_u16(&w, STATE_VERSION);
	wire_put_u16(&w, sizeof(tail->regs));
	wire_put_bytes(&w, &tail->regs, sizeof(tail->regs));
	wire_put_u32(&w, tail->xstate_len);
	wire_put_bytes(&w, tail->xstate, tail->xstate_len);
	wire_put_u64(&w, tail->guest_ns);
	wire_put_u64(&w, tail->events);
	wire_put_u64(&w, tail->tick);
	wire_put_u64(&w, tail->faults);
	wire_put_u64(&w, tail->cpu_ns);
	wire_put_u32(&w, tail->console_len);
	wire_put_bytes(&w, tail->console, tail->console_len);
	return w.failed ? -ENOSPC : (ssize_t)wire_writer_len(&w);
}

/* A u32 length and that many bytes into `out`. */
static uint32_t get_block(struct wire_reader *r, uint8_t *out, uint32_t max)
{
	uint32_t len = wire_get_u32(r);
	const uint8_t *p;

	if (len > max) {
		r->failed = true;
		return 0;
	}
	p = wire_get_bytes(r, len);
	if (p)
		memcpy(out, p, len);
	return p ? len : 0;
}

int embedded_tail_decode(struct embedded_tail *tail, const void *buf, size_t len, struct error *err)
{
	struct wire_reader r = wire_reader(buf, len);
	bool good = wire_get_u32(&r) == TAIL_MAGIC;
	const uint8_t *regs;

	memset(tail, 0, sizeof(*tail));
	good = wire_get_u16(&r) == STATE_VERSION && good;
	good = wire_get_u16(&r) == sizeof(tail->regs) && good;
	regs = good ? wire_get_bytes(&r, sizeof(tail->regs)) : NULL;
	if (!regs)
		return error_set(err, -EPROTO, NULL, "the domain's CPU state is malformed");
	memcpy(&tail->regs, regs, sizeof(tail->regs));
	tail->xstate_len = get_block(&r, tail->xstate, STATE_XSTATE_MAX);
	tail->guest_ns = wire_get_u64(&r);
	tail->events = wire_get_u64(&r) & GUEST_EVENT_ALL;
	tail->tick = wire_get_u64(&r);
	tail->faults = wire_get_u64(&r);
	tail->cpu_ns = wire_get_u64(&r);
	tail->console_len = get_block(&r, tail->console, STATE_CONSOLE_MAX);
	if (!wire_reader_done(&r) || tail->xstate_len < XSTATE_LEGACY_LEN)
		return error_set(err, -EPROTO, NULL, "the domain's CPU state is malformed");
	return xstate_check(xstate_in_use(tail->xstate, tail->xstate_len), err);
}
