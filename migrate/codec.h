/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * codec: a PAGES body between its local form (record.h) and its form on the wire.
 *
 *   +------+----------+---------------+------------------------+-----------+
 *   |  nr  | reserved |  entry[nr]    | {kind, 0, len} a page  |  bodies   |
 *   | u32  | u32 = 0  |  u64 each     | u8, u8, u16            |           |
 *   +------+----------+---------------+------------------------+-----------+
 *
 * Only entries with contents (page.h) have a descriptor and a body, in their order.
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
};

/*
 * Encode `batch` into `out[size]`; RECORD_BODY_MAX is always room enough. Pages that are zero may
 * be marked so or be in its data. Returns the length or 0.
 */
size_t codec_encode(const struct page_batch *batch, uint8_t *out, size_t size);

/*
 * Decode an authenticated but distrusted body. The contents go to `data`, room for PAGE_BATCH_MAX
 * pages, which becomes `batch->data`; zero pages are marked and not there. 0, or -EBADMSG for
 * anything that is not exactly as encode makes it: then neither is of any use.
 */
int codec_decode(
	const uint8_t *body, size_t len, struct page_batch *batch, uint8_t *data) WARN_UNUSED;

#endif
