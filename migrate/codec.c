/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTOR_LEN 4u
#define LZ4_WORTH      (PAGE_BYTES - PAGE_BYTES / 32) /* a smaller gain is not worth unpacking */
#define LZ4_HASTE      8 /* LZ4's acceleration: a third less time for a tenth more bytes */
#define DELTA_WORTH    (PAGE_BYTES / 2) /* a larger delta is tried as LZ4 instead */
#define STALE_ROUNDS   2u		/* a place of no use for so long may go to another page */

void codec_dispose(struct codec *c)
{
	free(c->kept);
	free(c->pages);
	free(c->used);
	*c = (struct codec){0};
}

void codec_round(struct codec *c)
{
	c->round++;
}

/* Room for the versions that are kept; the system gives memory only to those that are written. */
static bool have_places(struct codec *c)
{
	if (c->kept)
		return true;
	c->kept = calloc(CODEC_KEPT_PAGES, sizeof(c->kept[0]));
	c->used = calloc(CODEC_KEPT_PAGES, sizeof(c->used[0]));
	c->pages = malloc((size_t)CODEC_KEPT_PAGES * PAGE_BYTES);
	if (c->kept && c->used && c->pages)
		return true;
	codec_dispose(c);
	return false;
}

/* The version of a page that is kept, or NULL. */
static uint8_t *kept_version(const struct codec *c, uint64_t pfn)
{
	size_t place = codec_place(pfn);

	return c->kept && c->kept[place] == pfn + 1 ? c->pages + place * PAGE_BYTES : NULL;
}

static void keep(struct codec *c, uint64_t pfn, const uint8_t *page)
{
	size_t place = codec_place(pfn);

	c->kept[place] = pfn + 1;
	c->used[place] = c->round;
	memcpy(c->pages + place * PAGE_BYTES, page, PAGE_BYTES);
}

/* Pages that take each other's place in turns would help neither. */
static bool worth_keeping(struct codec *c, uint64_t pfn)
{
	size_t place = codec_place(pfn);

	if (c->round == 0 || !have_places(c))
		return false;
	return !c->kept[place] || c->kept[place] == pfn + 1 ||
	       c->round - c->used[place] >= STALE_ROUNDS;
}

static void put_descriptor(struct wire_writer *w, enum page_kind kind, unsigned flags, size_t len)
{
	wire_put_u8(w, (uint8_t)kind);
	wire_put_u8(w, (uint8_t)flags);
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

static void xor_pages(uint8_t *out, const uint8_t *a, const uint8_t *b)
{
	for (size_t i = 0; i < PAGE_BYTES; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		x ^= y;
		memcpy(out + i, &x, 8);
	}
}

/* Compress to where the next body goes, if it gets smaller than `worth`. The length or 0. */
static size_t pack(
	const struct codec *c, const uint8_t *page, struct wire_writer *bodies, size_t worth)
{
	int room = (int)(bodies->left < worth ? bodies->left : worth), packed;

	if (!looks_compressible(page))
		return 0;
	packed = LZ4_compress_fast(
		(const char *)page, (char *)bodies->p, PAGE_BYTES, room, c->haste ? LZ4_HASTE : 1);
	if (packed <= 0)
		return 0;
	bodies->p += packed;
	bodies->left -= (size_t)packed;
	return (size_t)packed;
}

/* Tell it by what changed since the version that is kept, if that is short. */
static bool encode_change(struct codec *c, uint64_t pfn, const uint8_t *page,
	struct wire_writer *desc, struct wire_writer *bodies)
{
	uint8_t *old = kept_version(c, pfn), change[PAGE_BYTES];
	size_t len;

	if (!old)
		return false;
	c->used[codec_place(pfn)] = c->round;
	xor_pages(change, page, old);
	if (page_is_zero(change)) {
		put_descriptor(desc, PAGE_KIND_SAME, 0, 0);
		return true;
	}
	len = pack(c, change, bodies, DELTA_WORTH);
	if (!len)
		return false;
	put_descriptor(desc, PAGE_KIND_DELTA, 0, len);
	memcpy(old, page, PAGE_BYTES);
	return true;
}

/* Append one page's body and its descriptor. */
static void encode_page(struct codec *c, uint64_t pfn, const uint8_t *page,
	struct wire_writer *desc, struct wire_writer *bodies)
{
	unsigned flags = 0;
	size_t len;

	if (page_is_zero(page)) {
		put_descriptor(desc, PAGE_KIND_ZERO, 0, 0);
		return;
	}
	if (encode_change(c, pfn, page, desc, bodies))
		return;
	if (!c->raw && worth_keeping(c, pfn)) {
		keep(c, pfn, page);
		flags = CODEC_KEEP;
	}
	len = c->raw ? 0 : pack(c, page, bodies, LZ4_WORTH);
	if (len) {
		put_descriptor(desc, PAGE_KIND_LZ4, flags, len);
		return;
	}
	put_descriptor(desc, PAGE_KIND_RAW, flags, PAGE_BYTES);
	wire_put_bytes(bodies, page, PAGE_BYTES);
}

size_t codec_encode(struct codec *c, const struct page_batch *batch, uint8_t *out, size_t size)
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
		uint64_t entry = batch->entry[i];

		if (!page_has_contents(entry))
			continue;
		if (entry & PAGE_ZERO)
			put_descriptor(&desc, PAGE_KIND_ZERO, 0, 0);
		else if (nr_data < batch->nr_data)
			encode_page(c, page_pfn(entry),
				batch->data + PAGE_BYTES * (size_t)nr_data++, &desc, &bodies);
		else
			return 0;
	}
	if (nr_data != batch->nr_data || w.failed || desc.failed || bodies.failed)
		return 0;
	return head + table + wire_writer_len(&bodies);
}

static bool unpack(const uint8_t *body, size_t len, uint8_t *page)
{
	return len > 0 && len < PAGE_BYTES &&
	       LZ4_decompress_safe((const char *)body, (char *)page, (int)len, PAGE_BYTES) ==
		       (int)PAGE_BYTES;
}

struct descriptor {
	unsigned kind, flags;
	const uint8_t *body;
	size_t len;
};

/* The contents of a page that is not zero, to `page`. 0, -EBADMSG or -ENOMEM. */
static int decode_page(struct codec *c, uint64_t pfn, const struct descriptor *d, uint8_t *page)
{
	uint8_t *old = kept_version(c, pfn);
	bool good = false;

	if (d->flags & ~CODEC_KEEP)
		return -EBADMSG;
	switch (d->kind) {
	case PAGE_KIND_RAW:
		good = d->len == PAGE_BYTES;
		if (good)
			memcpy(page, d->body, PAGE_BYTES);
		break;
	case PAGE_KIND_LZ4:
		good = unpack(d->body, d->len, page);
		break;
	case PAGE_KIND_SAME:
		good = !d->flags && old && d->len == 0;
		if (good)
			memcpy(page, old, PAGE_BYTES);
		break;
	case PAGE_KIND_DELTA:
		good = !d->flags && old && unpack(d->body, d->len, page);
		if (good) {
			xor_pages(page, page, old);
			memcpy(old, page, PAGE_BYTES);
		}
		break;
	}
	if (!good)
		return -EBADMSG;
	if (!d->flags)
		return 0;
	if (!have_places(c))
		return -ENOMEM;
	keep(c, pfn, page);
	return 0;
}

/* All pages of a batch whose entries are known. */
static int decode_bodies(struct codec *c, struct wire_reader *desc, struct wire_reader *bodies,
	struct page_batch *batch)
{
	for (uint32_t i = 0; i < batch->nr; i++) {
		struct descriptor d;
		int rc;

		if (!page_has_contents(batch->entry[i]))
			continue;
		d.kind = wire_get_u8(desc);
		d.flags = wire_get_u8(desc);
		d.len = wire_get_u16(desc);
		d.body = wire_get_bytes(bodies, d.len);
		if (desc->failed || !d.body)
			return -EBADMSG;
		if (d.kind == PAGE_KIND_ZERO && !d.flags && !d.len) {
			batch->entry[i] |= PAGE_ZERO;
			continue;
		}
		rc = decode_page(c, page_pfn(batch->entry[i]), &d,
			batch->data + PAGE_BYTES * (size_t)batch->nr_data);
		if (rc)
			return rc;
		batch->nr_data++;
	}
	return wire_reader_done(bodies) ? 0 : -EBADMSG;
}

int codec_decode(
	struct codec *c, const uint8_t *body, size_t len, struct page_batch *batch, uint8_t *data)
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
	return decode_bodies(c, &desc, &r, batch);
}
