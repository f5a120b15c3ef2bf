/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/codec.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>

#define DESCRIPTOR_LEN 4u
#define LZ4_WORTH      (PAGE_BYTES - PAGE_BYTES / 32) /* a smaller gain is not worth unpacking */
#define LZ4_HURRY      2			      /* LZ4's acceleration */

static void put_descriptor(struct wire_writer *w, enum page_kind kind, size_t len)
{
	wire_put_u8(w, (uint8_t)kind);
	wire_put_u8(w, 0);
	wire_put_u16(w, (uint16_t)len);
}

/*
 * Is it worth trying to compress? Of 256 bytes spread over the page, how many pairs are equal?
 * Noise has about 128 of the 32640, give or take 11; text, code and tables have several times as
 * many. So what is compressed or encrypted already costs a tenth of a microsecond and no more.
 */
static bool looks_compressible(const uint8_t *page)
{
	enum { CHUNK = 8, STRIDE = 128, PAIRS_OF_NOISE = 190 };
	uint8_t seen[256] = {0};
	unsigned pairs = 0;

	for (unsigned at = 0; at < PAGE_BYTES; at += STRIDE)
		for (unsigned i = 0; i < CHUNK; i++)
			pairs += seen[page[at + i]]++;
	return pairs > PAIRS_OF_NOISE;
}

/* Append one page's body and its descriptor. */
static void encode_page(const uint8_t *page, struct wire_writer *desc, struct wire_writer *bodies)
{
	int packed = 0;

	if (page_is_zero(page)) {
		put_descriptor(desc, PAGE_KIND_ZERO, 0);
		return;
	}
	if (looks_compressible(page)) {
		int room = bodies->left < LZ4_WORTH ? (int)bodies->left : (int)LZ4_WORTH;

		packed = LZ4_compress_fast(
			(const char *)page, (char *)bodies->p, PAGE_BYTES, room, LZ4_HURRY);
	}
	if (packed > 0) {
		put_descriptor(desc, PAGE_KIND_LZ4, (size_t)packed);
		bodies->p += packed;
		bodies->left -= (size_t)packed;
		return;
	}
	put_descriptor(desc, PAGE_KIND_RAW, PAGE_BYTES);
	wire_put_bytes(bodies, page, PAGE_BYTES);
}

size_t codec_encode(const struct page_batch *batch, uint8_t *out, size_t size)
{
	uint32_t contents = batch->nr > PAGE_BATCH_MAX ? 0 : page_batch_contents(batch),
		 nr_data = 0;
	size_t head = 8 + 8 * (size_t)batch->nr, table = DESCRIPTOR_LEN * (size_t)contents;
	struct wire_writer w = wire_writer(out, size), desc, bodies;

	if (batch->nr > PAGE_BATCH_MAX || batch->nr_data > batch->nr || head + table > size)
		return 0;
	wire_put_u32(&w, batch->nr);
	wire_put_u32(&w, 0);
	for (uint32_t i = 0; i < batch->nr; i++)
		wire_put_u64(&w, batch->entry[i] & ~PAGE_ZERO);
	desc = wire_writer(out + head, table);
	bodies = wire_writer(out + head + table, size - head - table);
	for (uint32_t i = 0; i < batch->nr; i++) {
		if (!page_has_contents(batch->entry[i]))
			continue;
		if (batch->entry[i] & PAGE_ZERO)
			put_descriptor(&desc, PAGE_KIND_ZERO, 0);
		else if (nr_data < batch->nr_data)
			encode_page(batch->data + PAGE_BYTES * (size_t)nr_data++, &desc, &bodies);
		else
			return 0;
	}
	if (nr_data != batch->nr_data || w.failed || desc.failed || bodies.failed)
		return 0;
	return head + table + wire_writer_len(&bodies);
}

/* What the next page is; its contents, unless zero, go to `page`. False when it is not valid. */
static bool decode_page(
	struct wire_reader *desc, struct wire_reader *bodies, uint8_t *page, bool *zero)
{
	unsigned kind = wire_get_u8(desc), reserved = wire_get_u8(desc);
	size_t len = wire_get_u16(desc);
	const uint8_t *body = wire_get_bytes(bodies, len);

	*zero = kind == PAGE_KIND_ZERO;
	if (desc->failed || !body || reserved)
		return false;
	switch (kind) {
	case PAGE_KIND_ZERO:
		return len == 0;
	case PAGE_KIND_RAW:
		if (len != PAGE_BYTES)
			return false;
		memcpy(page, body, PAGE_BYTES);
		return true;
	case PAGE_KIND_LZ4:
		return len > 0 && len < PAGE_BYTES &&
		       LZ4_decompress_safe((const char *)body, (char *)page, (int)len,
			       PAGE_BYTES) == (int)PAGE_BYTES;
	default:
		return false;
	}
}

int codec_decode(const uint8_t *body, size_t len, struct page_batch *batch, uint8_t *data)
{
	struct wire_reader r = wire_reader(body, len), desc;
	uint32_t reserved, contents = 0;
	const uint8_t *table;

	batch->nr = wire_get_u32(&r);
	batch->nr_data = 0;
	batch->data = data;
	reserved = wire_get_u32(&r);
	if (r.failed || reserved || batch->nr == 0 || batch->nr > PAGE_BATCH_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < batch->nr; i++) {
		batch->entry[i] = wire_get_u64(&r);
		if (!page_entry_valid(batch->entry[i]))
			return -EBADMSG;
		contents += page_has_contents(batch->entry[i]);
	}
	table = wire_get_bytes(&r, DESCRIPTOR_LEN * (size_t)contents);
	if (!table)
		return -EBADMSG;
	desc = wire_reader(table, DESCRIPTOR_LEN * (size_t)contents);
	for (uint32_t i = 0; i < batch->nr; i++) {
		bool zero;

		if (!page_has_contents(batch->entry[i]))
			continue;
		if (!decode_page(&desc, &r, data + PAGE_BYTES * (size_t)batch->nr_data, &zero))
			return -EBADMSG;
		if (zero)
			batch->entry[i] |= PAGE_ZERO;
		else
			batch->nr_data++;
	}
	return wire_reader_done(&r) ? 0 : -EBADMSG;
}
