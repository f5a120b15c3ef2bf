/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec: a PAGES body between its local form (record.h) and its form on the wire.
 *
 *   +------+----------+---------------+------------------------+-----------+
 *   |  nr  | reserved |  entry[nr]    | {kind, keep, len} each |  bodies   |
 *   | u32  | u32 = 0  |  u64 each     | u8, u8, u16            |           |
 *   +------+----------+---------------+------------------------+-----------+
 *
 * Only entries with contents (page.h) have a descriptor and a body, in their order. Both ends keep
 * the last version of some pages, the same ones, so that a page that comes again can be told by
 * what changed. Which ones the sender says; it keeps none before the second round, so that a guest
 * that is idle, or a first round, pays nothing for it.
 */
#ifndef MIGRATE_CODEC_H
#define MIGRATE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "migrate/record.h"

enum page_kind {
	PAGE_KIND_ZERO = 1, /* len 0 */
	PAGE_KIND_RAW,	    /* len 4096 */
	PAGE_KIND_LZ4,	    /* len 1..4095: one LZ4 block that inflates to exactly 4096 bytes */
	PAGE_KIND_SAME,	    /* len 0: the version that is kept */
	PAGE_KIND_DELTA,    /* as LZ4, to be XORed with the version that is kept */
};

#define CODEC_KEEP	 1u /* in the descriptor of RAW or LZ4: keep this version */
#define CODEC_KEPT_PAGES (4u << PAGE_REGION_SHIFT) /* four regions: 64 MiB at most */

/*
 * The place of a page among those. With several streams each has but every so many of the regions
 * of 4096 pages (page.h), by number: the numbers' higher bits are folded into the two that choose
 * a quarter of the places, so that each stream has the use of all.
 */
static inline size_t codec_place(uint64_t pfn)
{
	uint64_t region = page_region(pfn);

	return (size_t)((((region ^ region >> 2 ^ region >> 4) & 3) << PAGE_REGION_SHIFT) |
			(pfn & ((1u << PAGE_REGION_SHIFT) - 1)));
}

/* One direction of one connection. Begin with {0}. */
struct codec {
	uint64_t *kept; /* number + 1 of the page in each place; NULL: none is kept yet */
	uint8_t *pages;
	uint32_t *used; /* sender: the round in which a place was last of use */
	uint32_t round; /* sender */
	bool haste;	/* sender: for now, compress with less care, for a tenth more bytes or so */
	bool raw;	/* sender: for now, neither compress whole pages nor keep versions anew */
};

void codec_dispose(struct codec *c);

/* Sender: a round ended. */
void codec_round(struct codec *c);

/*
 * Encode `batch` into `out[size]`; RECORD_BODY_MAX is always room enough. Pages that are zero may
 * be marked so or be in its data. Returns the length or 0: then the connection must end.
 */
size_t codec_encode(
	struct codec *c, const struct page_batch *batch, uint8_t *out, size_t size) WARN_UNUSED;

/*
 * Decode an authenticated but distrusted body. The contents go to `data`, room for PAGE_BATCH_MAX
 * pages, which becomes `batch->data`; zero pages are marked and not there. 0, -ENOMEM, or -EBADMSG
 * for anything that is not exactly as encode makes it: then the connection must end.
 */
int codec_decode(struct codec *c, const uint8_t *body, size_t len, struct page_batch *batch,
	uint8_t *data) WARN_UNUSED;

#endif
