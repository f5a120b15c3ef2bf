/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify: did the destination get what the source sent? Both engines take a keyed hash h of each
 * entry of each batch, in which its place counts as well (the page's number and type, the stream,
 * the batch's number on it), and three sums over all of them, in the field of 2^61 - 1:
 *
 *     S0 = sum of h     S1 = sum of pfn * h     S2 = sum of pfn^2 * h
 *
 * The source takes what the hypervisor gave, the destination what it gave to the hypervisor, so all
 * that lies between is covered: codec, cipher, both programs, the memory of both hosts; a version
 * of a page that comes in another's stead, twice or not at all, as well. The sums are compared
 * before the copy may run. When all that differs is of one page, by d, the sums differ by d,
 * pfn * d and pfn^2 * d, which names it without another word on the wire, and without a word that
 * either end keeps for each page.
 *
 * What it does not see is which of two streams was first. So the source sends a page once between
 * two rounds, and ends a round on all streams before the next (send_session.c).
 *
 * This finds faults, not forgers: frames are authenticated already, and a source that lies may as
 * well send other pages.
 */
#ifndef MIGRATE_VERIFY_H
#define MIGRATE_VERIFY_H

#include <stdint.h>

#include "base/error.h"
#include "base/io.h"
#include "hypervisor/page.h"

#define VERIFY_SUMS  3
#define VERIFY_PRIME ((UINT64_C(1) << 61) - 1)

struct verify_sums {
	uint64_t pages; /* with contents, as often as they came */
	uint64_t sum[VERIFY_SUMS];
};

struct verify {
	uint64_t seed;
	struct verify_sums sums;
	uint64_t ns; /* that all of this took */
};

/* Of nothing yet, keyed by the first 8 bytes of the hand-over's token. */
void verify_init(struct verify *v, const uint8_t token[static 8]);

/*
 * Take in a batch whose contents are in its data: it is record `number` of `stream`, by the count
 * of window.h. The order in which batches are taken in does not matter.
 */
void verify_batch(
	struct verify *v, unsigned stream, uint64_t number, const struct page_batch *batch);

/*
 * Are they the same as `theirs`, each below VERIFY_PRIME? 0, or -EBADMSG with a sentence that names
 * the page, or says that more than one differs.
 */
int verify_compare(const struct verify *v, const struct verify_sums *theirs, const char *name,
	struct error *err) WARN_UNUSED;

#endif
