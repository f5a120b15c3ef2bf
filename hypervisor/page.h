/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * page: the unit in which guest memory travels between a backend and the rest.
 *
 *   entry   63    60 59     52 51                                   0
 *          +--------+---------+--------------------------------------+
 *          |  type  |  zero   |                 pfn                  |
 *          +--------+---------+--------------------------------------+
 *
 * The layout and the type values are those of Xen's migration stream (PAGE_DATA record).
 */
#ifndef HYPERVISOR_PAGE_H
#define HYPERVISOR_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_BYTES	  4096u
#define PAGE_ZERO	  (UINT64_C(1) << 52) /* within a host only: contents all zero, not in the data */
#define PAGE_BATCH_MAX	  256u
#define PAGE_PFN_MASK	  ((UINT64_C(1) << 52) - 1)
#define PAGE_TYPE_SHIFT	  60
#define PAGE_TYPE_NOTAB	  0x0u /* ordinary page */
#define PAGE_TYPE_LPINTAB 0x8u /* pinned page tables: type bit 3 set, PV only (0x9..0xc) */
#define PAGE_TYPE_BROKEN  0xdu /* no contents */
#define PAGE_TYPE_XALLOC  0xeu /* populate, no contents */
#define PAGE_TYPE_XTAB	  0xfu /* not populated, no contents */

/*
 * Memory in regions of 16 MiB. No batch reaches from one into another, so that pages which are sent
 * again can go the same way as before.
 */
#define PAGE_REGION_SHIFT 12

struct page_batch {
	uint32_t nr;	  /* entries, 1..PAGE_BATCH_MAX */
	uint32_t nr_data; /* entries whose contents are in `data` */
	uint64_t entry[PAGE_BATCH_MAX];
	uint8_t *data; /* nr_data pages, in the order of their entries */
};

static inline uint64_t page_pfn(uint64_t entry)
{
	return entry & PAGE_PFN_MASK;
}

static inline uint64_t page_region(uint64_t entry)
{
	return page_pfn(entry) >> PAGE_REGION_SHIFT;
}

static inline unsigned page_type(uint64_t entry)
{
	return (unsigned)(entry >> PAGE_TYPE_SHIFT);
}

static inline bool page_has_contents(uint64_t entry)
{
	return page_type(entry) < PAGE_TYPE_BROKEN;
}

/* Contents that are in the batch's data. */
static inline bool page_has_data(uint64_t entry)
{
	return page_has_contents(entry) && !(entry & PAGE_ZERO);
}

/* How many of a batch have contents, zero or in its data. */
static inline uint32_t page_batch_contents(const struct page_batch *batch)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < batch->nr; i++)
		nr += page_has_contents(batch->entry[i]);
	return nr;
}

/*
 * A type a stream may carry: 0-4 (ordinary and page tables), 9-12 (pinned), 13-15 (no contents).
 * False for one marked PAGE_ZERO: no stream has that.
 */
static inline bool page_entry_valid(uint64_t entry)
{
	unsigned type = page_type(entry);

	return (entry & ~PAGE_PFN_MASK & ~(UINT64_C(0xf) << PAGE_TYPE_SHIFT)) == 0 && type != 5 &&
	       type != 6 && type != 7 && type != 8;
}

/* As above for an entry within this host, which may be marked. */
static inline bool page_entry_valid_here(uint64_t entry)
{
	return page_entry_valid(entry & ~PAGE_ZERO) &&
	       (page_has_contents(entry) || !(entry & PAGE_ZERO));
}

/* Is the page all zero? Most that are not differ in their first bytes. */
bool page_is_zero(const uint8_t page[static PAGE_BYTES]);

/* Mark the pages of a batch that are all zero, and take them out of its data. */
void page_batch_mark_zero(struct page_batch *batch);

#endif
