/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every page as its 4096 bytes, as `xl migrate` sends them, in place of migrate/codec.c's encoder;
 * the decoder is that one's. For './build.sh bench live' only.
 */
#define codec_encode codec_encode_of_lifeboat
#include "migrate/codec.c"
#undef codec_encode

size_t codec_encode(struct codec *c, const struct page_batch *batch, uint8_t *out, size_t size);

static void put_pages(
	const struct page_batch *batch, struct wire_writer *desc, struct wire_writer *bodies)
{
	static const uint8_t zero[PAGE_BYTES];
	const uint8_t *page = batch->data;

	for (uint32_t i = 0; i < batch->nr; i++) {
		if (!page_has_contents(batch->entry[i]))
			continue;
		put_descriptor(desc, PAGE_KIND_RAW, 0, PAGE_BYTES);
		wire_put_bytes(bodies, page_has_data(batch->entry[i]) ? page : zero, PAGE_BYTES);
		if (page_has_data(batch->entry[i]))
			page += PAGE_BYTES;
	}
}

size_t codec_encode(struct codec *c, const struct page_batch *batch, uint8_t *out, size_t size)
{
	size_t head = 8 + 8 * (size_t)batch->nr,
	       table = DESCRIPTOR_LEN * (size_t)page_batch_contents(batch);
	struct wire_writer w = wire_writer(out, size), desc, bodies;

	(void)c;
	if (head + table > size)
		return 0;
	wire_put_u32(&w, batch->nr);
	wire_put_u32(&w, 0);
	for (uint32_t i = 0; i < batch->nr; i++)
		wire_put_u64(&w, batch->entry[i] & ~PAGE_ZERO);
	desc = wire_writer(out + head, table);
	bodies = wire_writer(out + head + table, size - head - table);
	put_pages(batch, &desc, &bodies);
	return w.failed || desc.failed || bodies.failed ? 0
							: head + table + wire_writer_len(&bodies);
}
