/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/verify.h"

#include <errno.h>
#include <xxhash.h>

#include "base/clock.h"
#include "base/wire.h"

/*
 * Odd: no two batches of a stream get one key, nor two pages. Pages alike must not have hashes
 * alike, or some that came in each other's place would leave all sums as they are.
 */
#define PLACE  UINT64_C(0x9e3779b97f4a7c15)
#define NUMBER UINT64_C(0xc2b2ae3d27d4eb4f)
#define STREAM UINT64_C(0x165667b19e3779f9)

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

/* What is all zeros hashes alike, whoever noticed that. */
static uint64_t hash(uint64_t key, uint64_t entry, const uint8_t *page)
{
	key += page_pfn(entry) * PLACE + page_type(entry);
	if (!page_has_contents(entry))
		return reduce(XXH3_64bits_withSeed("none", 4, key));
	if (!page || page_is_zero(page))
		return reduce(XXH3_64bits_withSeed("zero", 4, key));
	return reduce(XXH3_64bits_withSeed(page, PAGE_BYTES, key));
}

static void add_up(struct verify *v, uint64_t pfn, uint64_t h)
{
	uint64_t x = reduce(pfn);

	for (unsigned i = 0; i < VERIFY_SUMS; i++) {
		v->sums.sum[i] = add(v->sums.sum[i], h);
		h = mul(h, x);
	}
}

void verify_batch(
	struct verify *v, unsigned stream, uint64_t number, const struct page_batch *batch)
{
	uint64_t key = v->seed + stream * STREAM + number * NUMBER;
	const uint8_t *data = batch->data;
	int64_t start = clock_ns();

	for (uint32_t i = 0; i < batch->nr; i++) {
		uint64_t entry = batch->entry[i];

		add_up(v, page_pfn(entry), hash(key, entry, page_has_data(entry) ? data : NULL));
		v->sums.pages += page_has_contents(entry);
		if (page_has_data(entry))
			data += PAGE_BYTES;
	}
	v->ns += (uint64_t)(clock_ns() - start);
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
	if (d[0] && mul(d[0], d[2]) == mul(d[1], d[1]))
		return error_set(err, -EBADMSG, fix,
			"page 0x%llx of %s arrived other than it was sent, so it was not run here",
			(unsigned long long)pfn, name);
	return error_set(err, -EBADMSG, fix,
		"more than one page of %s arrived other than it was sent (%llu of %llu came), so it was not run here",
		name, (unsigned long long)v->sums.pages, (unsigned long long)theirs->pages);
}
