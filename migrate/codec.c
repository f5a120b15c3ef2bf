/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/codec.h"

#include <errno.h>
#include <lz4.h>
#include <sodium.h>
#include <string.h>

#define DESCRIPTOR_LEN 4u

static void put_descriptor(struct wire_writer *w, enum page_kind kind, size_t len)
{
	wire_put_u8(w, (uint8_t)kind);
	wire_put_u8(w, 0);
	wire_put_u16(w, (uint16_t)len);
}

/* Append one page's body and its descriptor, the smallest kind that fits. */
static void encode_page(const uint8_t *page, struct wire_writer *desc, struct wire_writer *bodies)
{
	int room = bodies->left < PAGE_BYTES - 1 ? (int)bodies->left : (int)PAGE_BYTES - 1;
	int packed;

	if (sodium_is_zero(page, PAGE_BYTES)) {
		put_descriptor(desc, PAGE_KIND_ZERO, 0);
		return;
	}
	packed = LZ4_compress_default((const char *)page, (char *)bodies->p, PAGE_BYTES, room);
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
	size_t head = 8 + 8 * (size_t)batch->nr, table = DESCRIPTOR_LEN * (size_t)batch->nr_data;
	struct wire_writer w = wire_writer(out, size), desc, bodies;

	if (batch->nr > PAGE_BATCH_MAX || batch->nr_data > batch->nr || head + table > size)
		return 0;
	wire_put_u32(&w, batch->nr);
	wire_put_u32(&w, 0);
	for (uint32_t i = 0; i < batch->nr; i++)
		wire_put_u64(&w, batch->entry[i]);
	desc = wire_writer(out + head, table);
	bodies = wire_writer(out + head + table, size - head - table);
	for (uint32_t i = 0; i < batch->nr_data; i++)
		encode_page(batch->data + (size_t)i * PAGE_BYTES, &desc, &bodies);
	if (w.failed || desc.failed || bodies.failed)
		return 0;
	return head + table + wire_writer_len(&bodies);
}

static bool decode_page(struct wire_reader *desc, struct wire_reader *bodies, uint8_t *page)
{
	unsigned kind = wire_get_u8(desc), reserved = wire_get_u8(desc);
	size_t len = wire_get_u16(desc);
	const uint8_t *body = wire_get_bytes(bodies, len);

	if (desc->failed || !body || reserved)
		return false;
	switch (kind) {
	case PAGE_KIND_ZERO:
		memset(page, 0, PAGE_BYTES);
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

ssize_t codec_decode(const uint8_t *body, size_t len, uint8_t *out)
{
	struct wire_reader r = wire_reader(body, len), desc;
	struct wire_writer w = wire_writer(out, RECORD_BODY_MAX);
	uint32_t nr = wire_get_u32(&r), reserved = wire_get_u32(&r), nr_data = 0;
	const uint8_t *table;

	if (r.failed || reserved || nr == 0 || nr > PAGE_BATCH_MAX)
		return -EBADMSG;
	wire_put_u32(&w, nr);
	wire_put_u32(&w, 0); /* nr_data, filled in below */
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t entry = wire_get_u64(&r);

		if (!page_entry_valid(entry))
			return -EBADMSG;
		nr_data += page_has_data(entry);
		wire_put_u64(&w, entry);
	}
	table = wire_get_bytes(&r, DESCRIPTOR_LEN * (size_t)nr_data);
	if (!table)
		return -EBADMSG;
	desc = wire_reader(table, DESCRIPTOR_LEN * (size_t)nr_data);
	for (uint32_t i = 0; i < nr_data; i++, w.p += PAGE_BYTES)
		if (!decode_page(&desc, &r, w.p))
			return -EBADMSG;
	if (!wire_reader_done(&r))
		return -EBADMSG;
	len = wire_writer_len(&w);
	w = wire_writer(out + 4, 4);
	wire_put_u32(&w, nr_data);
	return (ssize_t)len;
}
