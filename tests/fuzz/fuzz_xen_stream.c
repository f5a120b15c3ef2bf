/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz the parser and the generator of Xen's domain image. The first byte chooses the limits and
 * the side: as an image for the reader, whose finds go straight into a writer; or as what a peer
 * sends to the writer, cut into calls by a length in front of each.
 */
#include "../../base/error.c"
#include "../../base/log.c"
#include "../../base/wire.c"
#define bad stream_bad
#include "../../hypervisor/xen_stream.c"
#undef bad
#define bad reader_bad
#include "../../hypervisor/xen_reader.c"
#undef bad
#define bad	 writer_bad
#define end_head writer_end_head
#include "../../hypervisor/xen_writer.c"
#undef bad
#undef end_head

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *p;
	size_t left;
};

static int take(void *ctx, void *buf, size_t len)
{
	struct input *in = ctx;

	if (len > in->left)
		return -EPIPE;
	memcpy(buf, in->p, len);
	in->p += len;
	in->left -= len;
	return 0;
}

/* Touch every byte, so that a sanitizer sees a length that lies. */
static int swallow(void *ctx, struct iovec *iov, size_t nr)
{
	volatile uint8_t sum = 0;

	(void)ctx;
	for (size_t i = 0; i < nr; i++)
		for (size_t j = 0; j < iov[i].iov_len; j++)
			sum = (uint8_t)(sum + ((const uint8_t *)iov[i].iov_base)[j]);
	return 0;
}

/* What the reader lets through must satisfy the writer: both ask the same rules. */
static int on_head(void *ctx, const void *data, size_t len)
{
	if (xen_writer_head(ctx, data, len, NULL))
		abort();
	return 0;
}

static int on_mark(void *ctx, const struct xen_mark *mark)
{
	(void)ctx;
	(void)mark;
	return 0;
}

static int on_pages(void *ctx, struct page_batch *batch)
{
	if (xen_writer_pages(ctx, batch, NULL))
		abort();
	return 0;
}

static int on_tail(void *ctx, const void *data, size_t len)
{
	if (xen_writer_tail(ctx, data, len, NULL))
		abort();
	return 0;
}

static void feed_writer(struct xen_writer *w, struct input *in)
{
	static uint8_t pages[PAGE_BATCH_MAX * PAGE_BYTES];
	int rc = 0;

	while (!rc && in->left >= 3) {
		uint8_t call = in->p[0];
		size_t len = in->p[1] | (size_t)in->p[2] << 8;
		struct page_batch batch = {.data = pages};

		in->p += 3;
		in->left -= 3;
		if (len > in->left)
			len = in->left;
		switch (call % 4) {
		case 0:
			rc = xen_writer_head(w, in->p, len, NULL);
			break;
		case 1:
			batch.nr = (uint32_t)(len / 8);
			batch.nr_data = call / 4;
			memcpy(batch.entry, in->p,
				len < sizeof(batch.entry) ? len : sizeof(batch.entry));
			rc = xen_writer_pages(w, &batch, NULL);
			break;
		case 2:
			rc = xen_writer_tail(w, in->p, len, NULL);
			break;
		default:
			rc = xen_writer_end(w, NULL);
			break;
		}
		in->p += len;
		in->left -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct xen_sink sink = {
		.head = on_head, .mark = on_mark, .pages = on_pages, .tail = on_tail};
	struct xen_writer w = {.write = swallow};
	struct input in = {data + 1, len - 1};

	if (len == 0)
		return 0;
	if (data[0] & 1)
		w.stream.limits = (struct xen_stream_limits){
			.guest = data[0] >> 1 & 3, .xen_minor = 17, .pfn_max = 1 << 20};
	if (data[0] & 0x80) {
		w.stream.limits.emulator = data[0] & 8;
		feed_writer(&w, &in);
	} else if (xen_reader_run(take, &in, &sink, &w, &w.stream.limits, NULL) == 0 &&
		   xen_writer_end(&w, NULL)) {
		abort();
	}
	return 0;
}
