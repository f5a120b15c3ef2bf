/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/page.h"

#include <string.h>

/* Four at a time are the compiler's to put into whatever vector registers there are. */
typedef uint64_t words __attribute__((vector_size(32), aligned(8), may_alias));

#define STEP 256u

bool page_is_zero(const uint8_t page[static PAGE_BYTES])
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	if (first)
		return false;
	for (unsigned at = 0; at < PAGE_BYTES; at += STEP) {
		words sum = {0};

		for (unsigned i = 0; i < STEP; i += sizeof(words)) {
			words w;

			memcpy(&w, page + at + i, sizeof(w));
			sum |= w;
		}
		if (sum[0] | sum[1] | sum[2] | sum[3])
			return false;
	}
	return true;
}

void page_batch_mark_zero(struct page_batch *batch)
{
	uint8_t *to = batch->data, *from = batch->data;

	for (uint32_t i = 0; i < batch->nr; i++) {
		if (!page_has_data(batch->entry[i]))
			continue;
		if (page_is_zero(from)) {
			batch->entry[i] |= PAGE_ZERO;
			batch->nr_data--;
		} else {
			if (to != from)
				memcpy(to, from, PAGE_BYTES);
			to += PAGE_BYTES;
		}
		from += PAGE_BYTES;
	}
}
