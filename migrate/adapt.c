/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/adapt.h"

#define TELLING_PAGES 64u   /* a smaller batch says little about what a page costs */
#define TRIES	      2u    /* before a way is known: the first one finds everything cold */
#define RETRY	      32u   /* batches until another way is tried again */
#define GIGABIT_NS    32768 /* of a page of 4096 bytes, at 1 Gbit/s */

/* For a quarter of its time or more: with more bytes it would be longer. */
static bool waits(const struct adapt_cost *cost)
{
	return cost->waited_ns * 4 > cost->page_ns;
}

static bool is_known(const struct adapt_cost *cost)
{
	return cost->tries >= TRIES;
}

/* Bytes are worth something, too, to whoever else uses the link. */
static enum adapt_way fastest(const struct adapt *a, enum adapt_way last)
{
	int64_t well_ns = a->cost[ADAPT_COMPRESS].page_ns, raw_ns = a->cost[ADAPT_RAW].page_ns;

	if (last == ADAPT_RAW && raw_ns < GIGABIT_NS && raw_ns * 3 < well_ns * 2)
		return ADAPT_RAW;
	return a->cost[ADAPT_HASTE].page_ns * 9 < well_ns * 8 ? ADAPT_HASTE : ADAPT_COMPRESS;
}

/* The next up to `last`, but `way`. */
static enum adapt_way another(enum adapt_way after, enum adapt_way way, enum adapt_way last)
{
	do {
		after = after >= last ? ADAPT_COMPRESS : after + 1;
	} while (after == way);
	return after;
}

static enum adapt_way choose(struct adapt *a, bool engine_waits)
{
	enum adapt_way last = engine_waits ? ADAPT_RAW : ADAPT_HASTE, way;

	if (a->bytes_are_dear || !is_known(&a->cost[ADAPT_COMPRESS]) ||
		waits(&a->cost[ADAPT_COMPRESS]))
		return ADAPT_COMPRESS;
	for (way = ADAPT_HASTE; way <= last; way++)
		if (!is_known(&a->cost[way]) && !waits(&a->cost[way]))
			return way;
	way = fastest(a, last);
	if (++a->since_retry < RETRY)
		return way;
	a->since_retry = 0;
	a->retry = another(a->retry, way, last);
	return a->retry;
}

enum adapt_way adapt_begin(struct adapt *a, uint32_t pages, bool engine_waits, int64_t now_ns)
{
	a->way = choose(a, engine_waits);
	a->pages = pages;
	a->began_ns = now_ns;
	return a->way;
}

static void learn(struct adapt_cost *cost, int64_t page_ns, int64_t waited_ns)
{
	if (cost->tries < TRIES) {
		cost->tries++;
	} else {
		page_ns = (page_ns + cost->page_ns) / 2;
		waited_ns = (waited_ns + cost->waited_ns) / 2;
	}
	cost->page_ns = page_ns;
	cost->waited_ns = waited_ns;
}

void adapt_end(struct adapt *a, int64_t waited_ns, int64_t now_ns)
{
	if (a->pages >= TELLING_PAGES)
		learn(&a->cost[a->way], (now_ns - a->began_ns) / a->pages, waited_ns / a->pages);
	a->pages = 0;
}
