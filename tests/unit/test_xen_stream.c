/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's domain image: random valid images are taken apart and put together again; what comes out
 * is compared byte by byte and given to Xen's own verify-stream-v2. Broken ones must be refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/proc.h"
#include "base/wire.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_reader.h"
#include "hypervisor/xen_writer.h"

#define IMAGES	    60
#define IMAGE_MAX   (40u << 20)
#define LIBXL_LEN   24u
#define VERIFY	    "/usr/lib/xen-4.17/bin/verify-stream-v2"
#define VERIFY_PATH "PYTHONPATH=/usr/lib/xen-4.17/lib/python"
#define LAST_PFN    0x3fffu

static uint64_t seed = 42;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % below;
}

/* The generator: an image as libxc writes one, and beside it what a reader must find in it. */

struct image {
	uint8_t *bytes;
	struct wire_writer w;
	enum xen_guest guest;
	bool small;		  /* few pages: for tests that run it thousands of times */
	size_t head_len, tail_at; /* head: [0, head_len); tail: [tail_at, end record) */
};

static const uint8_t image_header[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'X', 'E',
	'N', 'F', 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0};

static void put_random(struct image *im, size_t len)
{
	for (size_t i = 0; i < len; i++)
		wire_put_u8(&im->w, (uint8_t)rnd(256));
}

static void put_record(struct image *im, uint32_t type, const void *body, size_t len)
{
	static const uint8_t zero[8];

	wire_put_u32(&im->w, type);
	wire_put_u32(&im->w, (uint32_t)len);
	if (body)
		wire_put_bytes(&im->w, body, len);
	else
		put_random(im, len);
	wire_put_bytes(&im->w, zero, XEN_STREAM_ALIGN(len) - len);
}

static void put_headers(struct image *im, uint32_t guest)
{
	wire_put_bytes(&im->w, image_header, sizeof(image_header));
	wire_put_u32(&im->w, guest);
	wire_put_u16(&im->w, 12);
	wire_put_u16(&im->w, 0);
	wire_put_u32(&im->w, 4);
	wire_put_u32(&im->w, 17);
}

static void put_p2m_frames(struct image *im)
{
	uint8_t body[8 + 8 * (LAST_PFN / 512 + 1)];
	struct wire_writer w = wire_writer(body, sizeof(body));

	wire_put_u32(&w, 0);
	wire_put_u32(&w, LAST_PFN);
	for (uint32_t i = 0; i <= LAST_PFN / 512; i++)
		wire_put_u64(&w, i);
	put_record(im, XEN_RECORD_PV_P2M_FRAMES, body, sizeof(body));
}

static void put_head(struct image *im)
{
	static const uint8_t pv_info[8] = {8, 4};

	put_headers(im, im->guest);
	if (im->guest == XEN_GUEST_PV)
		put_record(im, XEN_RECORD_PV_INFO, pv_info, sizeof(pv_info));
	put_record(im, XEN_RECORD_CPUID_POLICY, NULL, 24 * (1 + rnd(60)));
	put_record(im, XEN_RECORD_MSR_POLICY, NULL, 16 * (1 + rnd(4)));
	put_record(im, XEN_RECORD_STATIC_DATA_END, NULL, 0);
	if (im->guest == XEN_GUEST_PV)
		put_p2m_frames(im);
	im->head_len = wire_writer_len(&im->w);
}

static void put_mark(struct image *im, uint32_t kind, uint32_t round)
{
	struct xen_mark mark = {.kind = kind, .round = round, .dirty_pages = rnd(1000)};
	uint8_t raw[XEN_STREAM_MARK_LEN];

	xen_stream_mark_encode(raw, &mark);
	wire_put_bytes(&im->w, raw, sizeof(raw));
}

static uint64_t random_entry(enum xen_guest guest)
{
	static const uint8_t pv[] = {0, 0, 0, 0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15, 15};
	static const uint8_t hvm[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 14, 15, 15};
	uint64_t type = (guest == XEN_GUEST_PV ? pv : hvm)[rnd(16)];

	return type << PAGE_TYPE_SHIFT | rnd(LAST_PFN + 1);
}

static void put_pages(struct image *im)
{
	uint32_t count = im->small ? 1 + rnd(4) : rnd(8) ? 1 + rnd(300) : XEN_STREAM_PAGES_MAX;
	uint64_t entry[XEN_STREAM_PAGES_MAX];
	uint32_t nr_data = 0;

	for (uint32_t i = 0; i < count; i++) {
		entry[i] = random_entry(im->guest);
		nr_data += page_has_data(entry[i]);
	}
	wire_put_u32(&im->w, XEN_RECORD_PAGE_DATA);
	wire_put_u32(&im->w, 8 + 8 * count + PAGE_BYTES * nr_data);
	wire_put_u32(&im->w, count);
	wire_put_u32(&im->w, 0);
	for (uint32_t i = 0; i < count; i++)
		wire_put_u64(&im->w, entry[i]);
	for (uint32_t i = 0; i < nr_data; i++) {
		uint8_t page[PAGE_BYTES];

		memset(page, (int)rnd(256), sizeof(page));
		wire_put_bytes(&im->w, page, sizeof(page));
	}
}

static void put_vcpu(struct image *im, uint32_t vcpu)
{
	static const struct {
		uint32_t type;
		size_t len;
	} blobs[] = {{XEN_RECORD_PV_VCPU_BASIC, 5168}, {XEN_RECORD_PV_VCPU_EXTENDED, 128},
		{XEN_RECORD_PV_VCPU_XSAVE, 832}, {XEN_RECORD_PV_VCPU_MSRS, 32}};

	for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++) {
		uint8_t body[8 + 5168] = {0};
		struct wire_writer w = wire_writer(body, sizeof(body));

		wire_put_u32(&w, vcpu);
		wire_put_u32(&w, 0);
		put_record(im, blobs[i].type, body, 8 + blobs[i].len);
	}
}

static void put_hvm_params(struct image *im)
{
	uint8_t body[8 + 3 * 16];
	struct wire_writer w = wire_writer(body, sizeof(body));

	wire_put_u32(&w, 3);
	wire_put_u32(&w, 0);
	for (uint64_t index = 1; index <= 17; index += 8) { /* STORE, VIRIDIAN, CONSOLE */
		wire_put_u64(&w, index);
		wire_put_u64(&w, rnd(1 << 20));
	}
	put_record(im, XEN_RECORD_HVM_PARAMS, body, sizeof(body));
}

static void put_tail(struct image *im)
{
	uint8_t tsc[24] = {0};

	im->tail_at = wire_writer_len(&im->w);
	tsc[4] = (uint8_t)rnd(256);
	put_record(im, XEN_RECORD_TSC_INFO, tsc, sizeof(tsc));
	if (im->guest == XEN_GUEST_HVM) {
		put_record(im, XEN_RECORD_HVM_CONTEXT, NULL, 1000 + rnd(9000));
		put_hvm_params(im);
		return;
	}
	put_record(im, XEN_RECORD_SHARED_INFO, NULL, PAGE_BYTES);
	for (uint32_t i = 0; i < 1 + rnd(4); i++)
		put_vcpu(im, i);
}

static void image_make(struct image *im, enum xen_guest guest, bool small)
{
	uint32_t rounds = 1 + rnd(3);

	im->bytes = malloc(IMAGE_MAX);
	assert_non_null(im->bytes);
	im->w = wire_writer(im->bytes, IMAGE_MAX);
	im->guest = guest;
	im->small = small;
	put_head(im);
	for (uint32_t i = 0; i < rounds; i++) {
		put_mark(im, i + 1 == rounds ? XEN_MARK_SUSPEND : XEN_MARK_ROUND, i);
		for (uint32_t j = rnd(3); j < 3; j++)
			put_pages(im);
	}
	put_tail(im);
	put_record(im, XEN_RECORD_END, NULL, 0);
	assert_false(im->w.failed);
}

/* The way through: reader -> writer, from memory to memory, counting what passes. */

struct pass {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out; /* NULL: only read */
	size_t out_len, out_max;
	uint64_t nr_entries, hash;
	uint32_t nr_marks;
	int stop_at_pages; /* what the pages sink returns */
	uint8_t *head, *tail;
	size_t head_len, tail_len;
	struct xen_writer writer;
	struct error err;
};

static int pass_read(void *ctx, void *buf, size_t len)
{
	struct pass *p = ctx;

	if (len > p->in_left)
		return -EPIPE;
	memcpy(buf, p->in, len);
	p->in += len;
	p->in_left -= len;
	return 0;
}

static int pass_write(void *ctx, struct iovec *iov, size_t nr)
{
	struct pass *p = ctx;

	for (size_t i = 0; i < nr; i++) {
		assert_true(p->out_len + iov[i].iov_len <= p->out_max);
		memcpy(p->out + p->out_len, iov[i].iov_base, iov[i].iov_len);
		p->out_len += iov[i].iov_len;
	}
	return 0;
}

static void keep(uint8_t **buf, size_t *used, const void *data, size_t len)
{
	*buf = realloc(*buf, *used + len);
	assert_non_null(*buf);
	memcpy(*buf + *used, data, len);
	*used += len;
}

static int pass_head(void *ctx, const void *data, size_t len)
{
	struct pass *p = ctx;

	keep(&p->head, &p->head_len, data, len);
	return p->out ? xen_writer_head(&p->writer, data, len, &p->err) : 0;
}

static int pass_tail(void *ctx, const void *data, size_t len)
{
	struct pass *p = ctx;

	keep(&p->tail, &p->tail_len, data, len);
	return p->out ? xen_writer_tail(&p->writer, data, len, &p->err) : 0;
}

static int pass_mark(void *ctx, const struct xen_mark *mark)
{
	struct pass *p = ctx;

	p->nr_marks += mark->kind == XEN_MARK_ROUND || mark->kind == XEN_MARK_SUSPEND;
	return 0;
}

static void hash_bytes(struct pass *p, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p->hash = (p->hash ^ data[i]) * UINT64_C(0x100000001b3);
}

static int pass_pages(void *ctx, struct page_batch *batch)
{
	struct pass *p = ctx;
	const uint8_t *data = batch->data;

	assert_in_range(batch->nr, 1, PAGE_BATCH_MAX);
	for (uint32_t i = 0; i < batch->nr; i++) {
		hash_bytes(p, (const uint8_t *)&batch->entry[i], 8);
		if (page_has_data(batch->entry[i])) {
			hash_bytes(p, data, PAGE_BYTES);
			data += PAGE_BYTES;
		}
	}
	p->nr_entries += batch->nr;
	if (p->stop_at_pages)
		return p->stop_at_pages;
	return p->out ? xen_writer_pages(&p->writer, batch, &p->err) : 0;
}

static const struct xen_sink sink = {pass_head, pass_mark, NULL, pass_pages, pass_tail};
static const struct xen_stream_limits no_limits;

static int pass_run(struct pass *p, const uint8_t *in, size_t len, bool rewrite)
{
	int rc;

	p->in = in;
	p->in_left = len;
	if (rewrite) {
		p->out_max = len + len / 32 + 4096; /* smaller batches have more headers */
		p->out = malloc(p->out_max);
		assert_non_null(p->out);
		p->writer = (struct xen_writer){.write = pass_write, .ctx = p};
	}
	rc = xen_reader_run(pass_read, p, &sink, p, &no_limits, &p->err);
	if (!rc && rewrite)
		rc = xen_writer_end(&p->writer, &p->err);
	return rc;
}

static void pass_free(struct pass *p)
{
	free(p->out);
	free(p->head);
	free(p->tail);
}

static void verify(const uint8_t *bytes, size_t len, const char *format)
{
	char path[] = "/tmp/lifeboat-xen-stream-XXXXXX", text[4096];
	char *argv[] = {"env", VERIFY_PATH, "python3", VERIFY, "-i", path, "-f",
		(char *)(uintptr_t)format, NULL};
	int fd, rc;

	if (access(VERIFY, R_OK) != 0)
		return; /* test_judge_is_here tells */
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, bytes, len, DEADLINE_NEVER), 0);
	close(fd);
	rc = proc_run(argv, text, sizeof(text), deadline_in(60000));
	unlink(path);
	if (rc)
		print_error("%s\n", text);
	assert_int_equal(rc, 0);
}

/* So that a machine without it shows a test that was skipped. */
static void test_judge_is_here(void **state)
{
	(void)state;
	if (access(VERIFY, R_OK) != 0)
		skip();
}

static void one_round_trip(enum xen_guest guest, bool judge)
{
	struct image im;
	struct pass first = {0}, second = {0};
	size_t len;

	image_make(&im, guest, false);
	len = wire_writer_len(&im.w);
	assert_int_equal(pass_run(&first, im.bytes, len, true), 0);
	assert_int_equal(first.in_left, 0);
	assert_int_equal(first.head_len, im.head_len);
	assert_memory_equal(first.head, im.bytes, im.head_len);
	assert_int_equal(first.tail_len, len - 8 - im.tail_at);
	assert_memory_equal(first.tail, im.bytes + im.tail_at, first.tail_len);
	/* What was written reads back the same, without marks, and is written the same again. */
	assert_int_equal(
		pass_run(&second, first.out + LIBXL_LEN, first.out_len - LIBXL_LEN - 8, true), 0);
	assert_int_equal(second.nr_marks, 0);
	assert_int_equal(second.nr_entries, first.nr_entries);
	assert_true(second.hash == first.hash);
	assert_int_equal(second.out_len, first.out_len);
	assert_memory_equal(second.out, first.out, first.out_len);
	if (judge) {
		verify(first.out, first.out_len, "libxl");
		verify(first.out + LIBXL_LEN, first.out_len - LIBXL_LEN - 8, "libxc");
	}
	pass_free(&first);
	pass_free(&second);
	free(im.bytes);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < IMAGES; i++)
		one_round_trip(i % 2 ? XEN_GUEST_PV : XEN_GUEST_HVM, i < 8);
}

/* Ends at every kind of place: each gives -EPIPE, and the sinks have seen only whole things. */
static void test_truncated(void **state)
{
	struct image im;
	size_t len;

	(void)state;
	image_make(&im, XEN_GUEST_PV, true);
	len = wire_writer_len(&im.w);
	for (size_t cut = 0; cut < len; cut += cut < 2000 || cut > len - 2000 ? 1 : 97) {
		struct pass p = {0};

		assert_int_equal(pass_run(&p, im.bytes, cut, false), -EPIPE);
		pass_free(&p);
	}
	free(im.bytes);
}

/* One flipped bit in a header or length either is refused or leaves a well-formed image. */
static void test_mutated(void **state)
{
	struct image im;
	size_t len;
	unsigned refused = 0;

	(void)state;
	image_make(&im, XEN_GUEST_HVM, true);
	len = wire_writer_len(&im.w);
	for (size_t i = 0; i < 3000; i++) {
		size_t at = i < 8 * im.head_len ? i / 8 : rnd((uint32_t)len);
		uint8_t bit = (uint8_t)(1u << i % 8);
		struct pass p = {0};
		int rc;

		im.bytes[at] ^= bit;
		rc = pass_run(&p, im.bytes, len, true);
		assert_true(rc == 0 || rc == -EPIPE || rc == -EPROTO);
		assert_true(rc != -EPROTO || p.err.what[0]);
		refused += rc != 0;
		im.bytes[at] ^= bit;
		pass_free(&p);
	}
	assert_true(refused > 300);
	free(im.bytes);
}

static void test_sink_stops(void **state)
{
	struct image im;
	struct pass p = {.stop_at_pages = -ECANCELED};

	(void)state;
	image_make(&im, XEN_GUEST_HVM, true);
	assert_int_equal(pass_run(&p, im.bytes, wire_writer_len(&im.w), false), -ECANCELED);
	pass_free(&p);
	free(im.bytes);
}

/* What the destination refuses from a peer, one case a row; each starts from a good head. */

struct fake {
	struct pass pass;
	struct image im;
};

static void fake_start(struct fake *f, enum xen_guest guest, struct xen_stream_limits limits)
{
	memset(f, 0, sizeof(*f));
	f->im.guest = guest;
	f->im.bytes = malloc(IMAGE_MAX);
	f->pass.out_max = IMAGE_MAX;
	f->pass.out = malloc(IMAGE_MAX);
	assert_non_null(f->im.bytes);
	assert_non_null(f->pass.out);
	f->im.w = wire_writer(f->im.bytes, IMAGE_MAX);
	f->pass.writer =
		(struct xen_writer){.write = pass_write, .ctx = &f->pass, .stream.limits = limits};
	put_head(&f->im);
}

static int fake_head(struct fake *f)
{
	return xen_writer_head(
		&f->pass.writer, f->im.bytes, wire_writer_len(&f->im.w), &f->pass.err);
}

static int fake_page(struct fake *f, uint64_t entry)
{
	static uint8_t page[PAGE_BYTES];
	struct page_batch batch = {.nr = 1, .nr_data = page_has_data(entry), .data = page};

	batch.entry[0] = entry;
	return xen_writer_pages(&f->pass.writer, &batch, &f->pass.err);
}

static void fake_end(struct fake *f)
{
	pass_free(&f->pass);
	free(f->im.bytes);
}

static void refuse_in_head(uint32_t type, size_t len)
{
	struct fake f;
	size_t written;

	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(fake_head(&f), 0);
	written = f.pass.out_len;
	f.im.w = wire_writer(f.im.bytes, IMAGE_MAX);
	put_record(&f.im, type, NULL, len);
	assert_int_equal(fake_head(&f), -EPROTO);
	assert_int_equal(f.pass.out_len, written);
	fake_end(&f);
}

static void refuse_in_tail(uint32_t type, size_t len)
{
	struct fake f;
	size_t written;

	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(fake_head(&f), 0);
	assert_int_equal(fake_page(&f, 5), 0);
	written = f.pass.out_len;
	f.im.w = wire_writer(f.im.bytes, IMAGE_MAX);
	put_record(&f.im, type, NULL, len);
	assert_int_equal(
		xen_writer_tail(&f.pass.writer, f.im.bytes, wire_writer_len(&f.im.w), &f.pass.err),
		-EPROTO);
	assert_int_equal(f.pass.out_len, written);
	fake_end(&f);
}

static void test_hidden_records(void **state)
{
	static const uint32_t never[] = {XEN_RECORD_END, XEN_RECORD_PAGE_DATA, XEN_RECORD_VERIFY,
		XEN_RECORD_CHECKPOINT, 0x0b, 0x0f, 0x13, 0x1000, 0x80000001, XEN_RECORD_MARK,
		XEN_RECORD_EMULATOR};

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		refuse_in_head(never[i], i % 2 ? 24 : 0);
		refuse_in_tail(never[i], i % 2 ? 24 : 0);
	}
	refuse_in_head(XEN_RECORD_STATIC_DATA_END, 0); /* a second one */
	refuse_in_head(XEN_RECORD_CPUID_POLICY, 24);   /* after the static records' end */
	refuse_in_head(XEN_RECORD_HVM_CONTEXT, 64);    /* tail records in the head, and back */
	refuse_in_head(XEN_RECORD_PV_INFO, 8);	       /* of the other kind of guest */
	refuse_in_tail(XEN_RECORD_MSR_POLICY, 16);
	refuse_in_tail(XEN_RECORD_SHARED_INFO, PAGE_BYTES);
	refuse_in_tail(XEN_RECORD_TSC_INFO, 23);
	refuse_in_tail(XEN_RECORD_HVM_PARAMS, 24 + 16); /* a random count and index */
}

static void test_pages_refused(void **state)
{
	static const struct {
		uint64_t entry;
		enum xen_guest guest;
	} bad[] = {
		{UINT64_C(5) << 60, XEN_GUEST_PV}, /* reserved types */
		{UINT64_C(8) << 60, XEN_GUEST_PV},
		{UINT64_C(1) << 53, XEN_GUEST_HVM},		  /* reserved bits */
		{UINT64_C(0xf) << 60 | PAGE_ZERO, XEN_GUEST_HVM}, /* zeros where nothing is */
		{UINT64_C(1) << 60, XEN_GUEST_HVM},		  /* page tables without PV */
		{UINT64_C(9) << 60, XEN_GUEST_HVM},
		{LAST_PFN + 1, XEN_GUEST_PV}, /* beyond the p2m */
		{0x8001, XEN_GUEST_HVM},      /* beyond what this host takes */
		{PAGE_PFN_MASK, XEN_GUEST_HVM},
	};
	struct xen_stream_limits limits = {.pfn_max = 0x8000};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fake f;
		size_t written;

		fake_start(&f, bad[i].guest, limits);
		assert_int_equal(fake_head(&f), 0);
		written = f.pass.out_len;
		assert_int_equal(fake_page(&f, bad[i].entry), -EPROTO);
		assert_int_equal(f.pass.out_len, written);
		fake_end(&f);
	}
}

static void test_batch_counts(void **state)
{
	static uint8_t page[PAGE_BYTES];
	struct page_batch batch = {.nr = 0, .data = page};
	struct fake f;

	(void)state;
	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(fake_head(&f), 0);
	assert_int_equal(xen_writer_pages(&f.pass.writer, &batch, &f.pass.err), -EPROTO);
	batch.nr = PAGE_BATCH_MAX + 1;
	assert_int_equal(xen_writer_pages(&f.pass.writer, &batch, &f.pass.err), -EPROTO);
	batch.nr = 1;
	batch.nr_data = 2;
	assert_int_equal(xen_writer_pages(&f.pass.writer, &batch, &f.pass.err), -EPROTO);
	fake_end(&f);
}

static void test_order(void **state)
{
	struct fake f;
	uint8_t tsc[8 + 24] = {XEN_RECORD_TSC_INFO, 0, 0, 0, 24};

	(void)state;
	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(fake_page(&f, 1), -EPROTO); /* pages first */
	assert_int_equal(xen_writer_end(&f.pass.writer, &f.pass.err), -EPROTO);
	fake_end(&f);

	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(
		xen_writer_head(&f.pass.writer, f.im.bytes, XEN_STREAM_HEADERS_LEN, &f.pass.err),
		0);
	assert_int_equal(fake_page(&f, 1), -EPROTO); /* before the static records' end */
	fake_end(&f);

	fake_start(&f, XEN_GUEST_HVM, no_limits);
	assert_int_equal(fake_head(&f), 0);
	assert_int_equal(xen_writer_tail(&f.pass.writer, tsc, sizeof(tsc), &f.pass.err), 0);
	assert_int_equal(fake_page(&f, 1), -EPROTO);				/* after the tail */
	assert_int_equal(xen_writer_end(&f.pass.writer, &f.pass.err), -EPROTO); /* no vCPU state */
	fake_end(&f);
}

static void test_headers_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{0, 0}, {8, 'x'}, {15, 2}, {17, 1}, {24, 3}, {24, 0}, {28, 13}, {30, 1}, {32, 3},
		{32, 5}, {36, 18}};
	struct xen_stream_limits limits = {.xen_minor = 17};
	struct fake f;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_start(&f, XEN_GUEST_HVM, limits);
		f.im.bytes[bad[i].at] = bad[i].value;
		assert_int_equal(fake_head(&f), -EPROTO);
		assert_int_equal(f.pass.out_len, 0);
		fake_end(&f);
	}
	limits.guest = XEN_GUEST_PV; /* the configuration says PV, the image does not */
	fake_start(&f, XEN_GUEST_HVM, limits);
	assert_int_equal(fake_head(&f), -EPROTO);
	fake_end(&f);
}

/* A short P2M_FRAMES record that claims 2^32 frames would make libxc allocate 80 GB. */
static void test_p2m_bomb(void **state)
{
	static const uint8_t pv_info[8] = {8, 4};
	static const uint32_t ranges[][2] = {{0xfffffe00, 0xffffffff}, {0, 0xffffffff}, {0, 1024}};
	struct fake f;

	(void)state;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint8_t body[16] = {0};
		struct wire_writer w = wire_writer(body, sizeof(body));

		fake_start(&f, XEN_GUEST_PV, no_limits);
		f.im.w = wire_writer(f.im.bytes, IMAGE_MAX);
		put_headers(&f.im, XEN_GUEST_PV);
		put_record(&f.im, XEN_RECORD_PV_INFO, pv_info, sizeof(pv_info));
		put_record(&f.im, XEN_RECORD_STATIC_DATA_END, NULL, 0);
		wire_put_u32(&w, ranges[i][0]);
		wire_put_u32(&w, ranges[i][1]);
		put_record(&f.im, XEN_RECORD_PV_P2M_FRAMES, body, sizeof(body));
		assert_int_equal(fake_head(&f), -EPROTO);
		fake_end(&f);
	}
}

static void test_oversize_record(void **state)
{
	struct image im = {.guest = XEN_GUEST_HVM, .bytes = malloc(IMAGE_MAX)};
	struct pass p = {0};

	(void)state;
	assert_non_null(im.bytes);
	im.w = wire_writer(im.bytes, IMAGE_MAX);
	put_head(&im);
	put_record(&im, XEN_RECORD_HVM_CONTEXT, NULL, HV_OPAQUE_MAX);
	assert_int_equal(pass_run(&p, im.bytes, wire_writer_len(&im.w), false), -EPROTO);
	pass_free(&p);
	memset(&p, 0, sizeof(p));
	im.w = wire_writer(im.bytes, IMAGE_MAX);
	put_head(&im);
	wire_put_u32(&im.w, XEN_RECORD_PAGE_DATA);
	wire_put_u32(&im.w, 0xffffffff);
	wire_put_u32(&im.w, XEN_STREAM_PAGES_MAX + 1);
	wire_put_u32(&im.w, 0);
	assert_int_equal(pass_run(&p, im.bytes, wire_writer_len(&im.w), false), -EPROTO);
	pass_free(&p);
	free(im.bytes);
}

static uint8_t kept[8 * PAGE_BYTES];
static size_t kept_len;

static int keep_bytes(void *ctx, struct iovec *iov, size_t nr)
{
	(void)ctx;
	for (kept_len = 0; nr; nr--, iov++) {
		memcpy(kept + kept_len, iov->iov_base, iov->iov_len);
		kept_len += iov->iov_len;
	}
	return 0;
}

/* Zero pages that are only marked become the same bytes as zero pages that are there. */
static void test_marked_zero_pages(void **state)
{
	static uint8_t data[5 * PAGE_BYTES], want[sizeof(kept)];
	struct page_batch batch = {.nr = 6, .nr_data = 5, .data = data};
	struct xen_writer w = {.phase = XEN_WRITER_PAGES, .write = keep_bytes};
	struct error err = ERROR_INIT;
	size_t want_len;

	(void)state;
	for (uint32_t i = 0; i < 6; i++)
		batch.entry[i] = 0x100 + i;
	batch.entry[3] |= UINT64_C(0xf) << PAGE_TYPE_SHIFT;
	memset(data, 7, PAGE_BYTES);			      /* entry 0; 1 and 2 are zero */
	memset(data + 3 * (size_t)PAGE_BYTES, 9, PAGE_BYTES); /* entry 4; 5 is zero */
	assert_int_equal(xen_writer_pages(&w, &batch, &err), 0);
	want_len = kept_len;
	memcpy(want, kept, want_len);
	memcpy(data + PAGE_BYTES, data + 3 * (size_t)PAGE_BYTES, PAGE_BYTES);
	batch.nr_data = 2;
	batch.entry[1] |= PAGE_ZERO;
	batch.entry[2] |= PAGE_ZERO;
	batch.entry[5] |= PAGE_ZERO;
	assert_int_equal(xen_writer_pages(&w, &batch, &err), 0);
	assert_int_equal(kept_len, want_len);
	assert_memory_equal(kept, want, want_len);
	batch.nr_data = 3;
	assert_int_equal(xen_writer_pages(&w, &batch, &err), -EPROTO);
}

/* QEMU's state of `len` bytes, as the source puts it into a tail. */
static int emulator_tail(struct fake *f, uint32_t id, size_t len)
{
	uint8_t body[64] = {(uint8_t)id};

	memset(body + XEN_STREAM_EMULATOR_LEN, 0x51, sizeof(body) - XEN_STREAM_EMULATOR_LEN);
	f->im.w = wire_writer(f->im.bytes, IMAGE_MAX);
	put_record(&f->im, XEN_RECORD_EMULATOR, body, XEN_STREAM_EMULATOR_LEN + len);
	return xen_writer_tail(
		&f->pass.writer, f->im.bytes, wire_writer_len(&f->im.w), &f->pass.err);
}

static int guest_tail(struct fake *f)
{
	f->im.w = wire_writer(f->im.bytes, IMAGE_MAX);
	put_tail(&f->im);
	return xen_writer_tail(
		&f->pass.writer, f->im.bytes, wire_writer_len(&f->im.w), &f->pass.err);
}

static void start_hvm(struct fake *f, bool emulator, bool with_tail)
{
	const struct xen_stream_limits limits = {.emulator = emulator};

	fake_start(f, XEN_GUEST_HVM, limits);
	assert_int_equal(fake_head(f), 0);
	assert_int_equal(fake_page(f, 5), 0);
	if (with_tail)
		assert_int_equal(guest_tail(f), 0);
}

/* It stands behind the image's END, as libxl's record 3, once, and only where QEMU is. */
static void test_emulator(void **state)
{
	static const uint8_t want[] = {0, 0, 0, 0, 0, 0, 0, 0, /* END of libxc */
		3, 0, 0, 0, 13, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x51, 0x51, 0x51, 0x51, 0x51, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0}; /* padding; END of libxl */
	struct fake f;

	(void)state;
	start_hvm(&f, true, true);
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 5), 0);
	assert_int_equal(xen_writer_end(&f.pass.writer, &f.pass.err), 0);
	assert_memory_equal(f.pass.out + f.pass.out_len - sizeof(want), want, sizeof(want));
	verify(f.pass.out, f.pass.out_len, "libxl");
	fake_end(&f);
}

static void test_emulator_refused(void **state)
{
	struct fake f;
	size_t written;

	(void)state;
	start_hvm(&f, false, true); /* a PVH guest has none */
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 5), -EPROTO);
	fake_end(&f);
	start_hvm(&f, true, false); /* before the guest's own state */
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 5), -EPROTO);
	fake_end(&f);
	start_hvm(&f, true, true); /* of no bytes, or of qemu-traditional */
	written = f.pass.out_len;
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 0), -EPROTO);
	assert_int_equal(emulator_tail(&f, 1, 5), -EPROTO);
	assert_int_equal(f.pass.out_len, written);
	fake_end(&f);
	start_hvm(&f, true, true); /* twice, or more of the guest's state behind it */
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 5), 0);
	assert_int_equal(emulator_tail(&f, XEN_STREAM_EMULATOR_QEMU, 5), -EPROTO);
	assert_int_equal(guest_tail(&f), -EPROTO);
	fake_end(&f);
	start_hvm(&f, true, true); /* not at all */
	written = f.pass.out_len;
	assert_int_equal(xen_writer_end(&f.pass.writer, &f.pass.err), -EPROTO);
	assert_int_equal(f.pass.out_len, written);
	fake_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge_is_here),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_mutated),
		cmocka_unit_test(test_sink_stops),
		cmocka_unit_test(test_hidden_records),
		cmocka_unit_test(test_pages_refused),
		cmocka_unit_test(test_batch_counts),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_headers_refused),
		cmocka_unit_test(test_p2m_bomb),
		cmocka_unit_test(test_oversize_record),
		cmocka_unit_test(test_marked_zero_pages),
		cmocka_unit_test(test_emulator),
		cmocka_unit_test(test_emulator_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
