/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/wire.h"

#define CHUNK_PAGES 4096u
#define PLACE	    UINT64_C(0x9e3779b97f4a7c15) /* odd: no two page numbers get one seed */

static uint64_t reduce(unsigned __int128 x)
{
	uint64_t r = (uint64_t)(x & VERIFY_PRIME) + (uint64_t)(x >> 61);

	r = (r & VERIFY_PRIME) + (r >> 61);
	return r >= VERIFY_PRIME ? r - VERIFY_PRIME : r;
}

static uint64_t mul(uint64_t a, uint64_t b)
{
	return reduce((unsigned __int128)a * b);
}

static uint64_t add(uint64_t a, uint64_t b)
{
	return reduce((unsigned __int128)a + b);
}

static uint64_t sub(uint64_t a, uint64_t b)
{
	return reduce((unsigned __int128)a + VERIFY_PRIME - b);
}

/* a^(p - 2): the inverse of all but 0 */
static uint64_t inverse(uint64_t a)
{
	uint64_t result = 1;

	for (uint64_t e = VERIFY_PRIME - 2; e; e >>= 1) {
		if (e & 1)
			result = mul(result, a);
		a = mul(a, a);
	}
	return result;
}

void verify_init(struct verify *v, const uint8_t token[static 8])
{
	struct wire_reader r = wire_reader(token, 8);

	*v = (struct verify){.seed = wire_get_u64(&r)};
}

void verify_dispose(struct verify *v)
{
	for (uint64_t i = 0; i < v->nr_chunks; i++)
		free(v->chunk[i]);
	free(v->chunk);
	v->chunk = NULL;
	v->nr_chunks = 0;
}

/* Where the hash of a page is kept; NULL without memory. */
static uint64_t *place(struct verify *v, uint64_t pfn)
{
	uint64_t at = pfn / CHUNK_PAGES;

	if (at >= v->nr_chunks) {
		uint64_t **more = reallocarray(v->chunk, at + 1, sizeof(*more));

		if (!more)
			return NULL;
		memset(more + v->nr_chunks, 0, (at + 1 - v->nr_chunks) * sizeof(*more));
		v->chunk = more;
		v->nr_chunks = at + 1;
	}
	if (!v->chunk[at])
		v->chunk[at] = calloc(CHUNK_PAGES, sizeof(**v->chunk));
	return v->chunk[at] ? v->chunk[at] + pfn % CHUNK_PAGES : NULL;
}

/* Never 0, which is what a page without contents has. A zero page is hashed by its place alone. */
static uint64_t hash(uint64_t seed, uint64_t entry, const uint8_t *page)
{
	uint64_t key = seed + page_pfn(entry) * PLACE + page_type(entry), h;

	h = reduce(page && !page_is_zero(page) ? XXH3_64bits_withSeed(page, PAGE_BYTES, key)
					       : XXH3_64bits_withSeed("zero", 4, key));
	return h ? h : 1;
}

static void replace(struct verify *v, uint64_t pfn, uint64_t *kept, uint64_t h)
{
	uint64_t change = sub(h, *kept), x = reduce(pfn);

	v->sums.pages += (h != 0) - (uint64_t)(*kept != 0);
	*kept = h;
	for (unsigned i = 0; i < VERIFY_SUMS; i++) {
		v->sums.sum[i] = add(v->sums.sum[i], change);
		change = mul(change, x);
	}
}

int verify_batch(struct verify *v, const struct page_batch *batch)
{
	int64_t start = clock_ns();
	const uint8_t *data = batch->data;

	for (uint32_t i = 0; i < batch->nr; i++) {
		uint64_t entry = batch->entry[i], h = 0;
		uint64_t *kept = place(v, page_pfn(entry));

		if (!kept)
			return -ENOMEM;
		if (page_has_contents(entry))
			h = hash(v->seed, entry, page_has_data(entry) ? data : NULL);
		if (page_has_data(entry))
			data += PAGE_BYTES;
		replace(v, page_pfn(entry), kept, h);
	}
	v->ns += (uint64_t)(clock_ns() - start);
	return 0;
}

int verify_compare(const struct verify *v, const struct verify_sums *theirs, const char *name,
	struct error *err)
{
	static const char fix[] = "Try again; if it happens again, test the memory of both hosts";
	uint64_t d[VERIFY_SUMS], pfn;

	for (unsigned i = 0; i < VERIFY_SUMS; i++)
		d[i] = sub(theirs->sum[i], v->sums.sum[i]);
	if ((d[0] | d[1] | d[2]) == 0 && theirs->pages == v->sums.pages)
		return 0;
	pfn = d[0] ? mul(d[1], inverse(d[0])) : 0;
	if (d[0] && mul(d[0], d[2]) == mul(d[1], d[1]) && pfn / CHUNK_PAGES < v->nr_chunks)
		return error_set(err, -EBADMSG, fix,
			"page 0x%llx of %s arrived other than it was sent, so it was not run here",
			(unsigned long long)pfn, name);
	return error_set(err, -EBADMSG, fix,
		"more than one page of %s arrived other than it was sent (%llu of %llu came), so it was not run here",
		name, (unsigned long long)v->sums.pages, (unsigned long long)theirs->pages);
}
