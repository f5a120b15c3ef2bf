/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of five kinds of guests, page kind by page kind. The mixes are stand-ins for what dumps of
 * such guests hold; what matters is that every peer gets the same bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor/page.h"
#include "tests/bench/bench.h"

struct noise {
	uint64_t state;
};

static uint64_t next(struct noise *n)
{
	n->state ^= n->state >> 12;
	n->state ^= n->state << 25;
	n->state ^= n->state >> 27;
	return n->state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t below(struct noise *n, uint32_t limit)
{
	return (uint32_t)((next(n) >> 32) % limit);
}

static void fill_random(struct noise *n, uint8_t *page)
{
	for (size_t i = 0; i < PAGE_BYTES; i += 8) {
		uint64_t v = next(n);

		memcpy(page + i, &v, 8);
	}
}

/* Words of a small language, as a log or a source file has them. */
static void fill_text(struct noise *n, uint8_t *page)
{
	static const char *const words[] = {"the ", "connection ", "from ", "of ", "request ",
		"GET /index.html ", "error: ", "returned ", "status=200 ", "a ", "to ", "page ",
		"Nov 24 17:02:11 ", "kernel: ", "session ", "opened ", "for ", "user ", "is ",
		"in ", "index ", "value ", "\n", "192.168.1.", "time ", "struct ", "return ",
		"not ", "memory ", "left "};
	size_t at = 0;

	while (at < PAGE_BYTES) {
		char piece[32];
		int len;

		if (below(n, 4) == 0)
			len = snprintf(piece, sizeof(piece), "%u ", below(n, 100000));
		else
			len = snprintf(piece, sizeof(piece), "%s",
				words[below(n, sizeof(words) / sizeof(words[0]))]);
		if ((size_t)len > PAGE_BYTES - at)
			len = (int)(PAGE_BYTES - at);
		memcpy(page + at, piece, (size_t)len);
		at += (size_t)len;
	}
}

/* Fixed-width rows with numbers that grow, as a database's pages have them. */
static void fill_rows(struct noise *n, uint8_t *page)
{
	uint64_t id = next(n) >> 40;

	for (size_t at = 0; at + 64 <= PAGE_BYTES; at += 64) {
		uint64_t amount = below(n, 1000000), stamp = UINT64_C(1700000000) + id * 3;

		memset(page + at, 0, 64);
		memcpy(page + at, &id, 8);
		memcpy(page + at + 8, &stamp, 8);
		memcpy(page + at + 16, &amount, 8);
		snprintf((char *)page + at + 24, 40, "customer%06u", below(n, 20000));
		id++;
	}
}

/* Pointers into one heap, small numbers and empty slots: what a kernel's or program's heap is. */
static void fill_heap(struct noise *n, uint8_t *page)
{
	uint64_t base = UINT64_C(0xffff888000000000) | (next(n) >> 38 << 12);

	for (size_t i = 0; i < PAGE_BYTES; i += 8) {
		uint32_t kind = below(n, 8);
		uint64_t v = kind < 3	? 0
			     : kind < 5 ? base + below(n, 4096) * 64u
			     : kind < 7 ? below(n, 512)
					: next(n);

		memcpy(page + i, &v, 8);
	}
}

/* Instructions repeat short patterns with operands that do not. */
static void fill_code(struct noise *n, uint8_t *page)
{
	static const uint8_t ops[][6] = {{0x48, 0x89, 0xe5}, {0x48, 0x8b, 0x45}, {0xe8},
		{0x0f, 0x84}, {0x48, 0x83, 0xec}, {0x55, 0x48}, {0xc3, 0x66, 0x90}, {0x89, 0xc7},
		{0x48, 0x8d, 0x3d}, {0x85, 0xc0, 0x74}};

	for (size_t at = 0; at < PAGE_BYTES;) {
		const uint8_t *op = ops[below(n, sizeof(ops) / sizeof(ops[0]))];

		for (int i = 0; i < 3 && op[i] && at < PAGE_BYTES; i++)
			page[at++] = op[i];
		for (uint32_t i = below(n, 3); i && at < PAGE_BYTES; i--)
			page[at++] = (uint8_t)below(n, below(n, 3) ? 64 : 256);
	}
}

/* Compressed files in a page cache: a header, noise, and the last page of each half empty. */
static void fill_packed(struct noise *n, uint8_t *page)
{
	fill_random(n, page);
	if (below(n, 40) == 0) {
		size_t end = below(n, PAGE_BYTES);

		memset(page + end, 0, PAGE_BYTES - end);
	}
}

static void fill_zero(struct noise *n, uint8_t *page)
{
	(void)n;
	memset(page, 0, PAGE_BYTES);
}

typedef void fill_fn(struct noise *n, uint8_t *page);

#define KINDS 7

static const struct image {
	const char *name;
	struct {
		fill_fn *fill;
		unsigned percent;
	} mix[KINDS];
} images[] = {
	{"idle", {{fill_zero, 68}, {fill_heap, 10}, {fill_code, 10}, {fill_text, 6},
			 {fill_packed, 6}}},
	{"busy", {{fill_zero, 10}, {fill_heap, 30}, {fill_code, 15}, {fill_text, 15},
			 {fill_rows, 10}, {fill_packed, 20}}},
	{"text", {{fill_zero, 2}, {fill_text, 50}, {fill_rows, 48}}},
	{"compressed", {{fill_packed, 100}}},
	{"random", {{fill_random, 100}}},
	{"zero", {{fill_zero, 100}}},
};

#define NR_IMAGES (sizeof(images) / sizeof(images[0]))

const char *const *bench_image_names(void)
{
	static const char *names[NR_IMAGES + 1];

	for (size_t i = 0; i < NR_IMAGES; i++)
		names[i] = images[i].name;
	return names;
}

static fill_fn *choose(const struct image *image, unsigned percent)
{
	for (int i = 0; i < KINDS && image->mix[i].fill; i++) {
		if (percent < image->mix[i].percent)
			return image->mix[i].fill;
		percent -= image->mix[i].percent;
	}
	return fill_zero;
}

/* Pages of a kind come in stretches of 1 to 32, as allocators leave them. */
int bench_image_fill(const char *name, uint8_t *memory, size_t len)
{
	struct noise noise = {UINT64_C(0x9e3779b97f4a7c15)};

	for (size_t i = 0; i < NR_IMAGES; i++) {
		if (strcmp(name, images[i].name) != 0)
			continue;
		for (size_t at = 0; at < len;) {
			fill_fn *fill = choose(&images[i], below(&noise, 100));
			uint32_t stretch = 1 + below(&noise, 32);

			for (; stretch && at < len; stretch--, at += PAGE_BYTES)
				fill(&noise, memory + at);
		}
		return 0;
	}
	return -ENOENT;
}
