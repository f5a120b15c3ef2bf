/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * adapt: how well is the next batch worth compressing? Pure: what is known goes in by value.
 *
 * Compressing saves bytes and costs time. When what is compressed has to wait for the link, bytes
 * are all that counts. Otherwise pages are compressed in haste if that is faster by an eighth, for
 * the processor is the guests' as well; and where the engine is faster, too, so that the move waits
 * for us, they go raw if that takes a third less than compressing them well, and less than a link
 * of 1 Gbit/s would: on a slow host with a slow link, bytes are dear to others. All by what the
 * last batches took from their encoding until they had left.
 * The other ways are tried now and then, because contents and links change.
 */
#ifndef MIGRATE_ADAPT_H
#define MIGRATE_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

/* What the kernel may hold of a link without having sent it. More, and no frame seems to wait. */
#define ADAPT_UNSENT_BYTES (256 << 10)

enum adapt_way { ADAPT_COMPRESS, ADAPT_HASTE, ADAPT_RAW, ADAPT_WAYS };

struct adapt_cost {
	unsigned tries;
	int64_t page_ns;   /* the last batch counts half */
	int64_t waited_ns; /* for the link, of that; likewise */
};

/* Of one link. Begin with {0}: batches are compressed until more is known. */
struct adapt {
	bool bytes_are_dear; /* somebody limits them: always compress */
	/* The rest is private. */
	struct adapt_cost cost[ADAPT_WAYS];
	unsigned since_retry;
	enum adapt_way retry; /* the last that was tried again */
	enum adapt_way way;   /* of the batch under way */
	uint32_t pages;	      /* of it; 0 = none is */
	int64_t began_ns;
};

/*
 * A batch with the contents of `pages` pages is about to be encoded. `engine_waits`: the next one
 * is there already.
 */
enum adapt_way adapt_begin(struct adapt *a, uint32_t pages, bool engine_waits, int64_t now_ns);

/* A frame has left, with that batch or without one. For so long it waited for the link. */
void adapt_end(struct adapt *a, int64_t waited_ns, int64_t now_ns);

#endif
