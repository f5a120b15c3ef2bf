/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify: is what the destination has what the source had? Both engines keep one keyed hash a page,
 * of the version that came last, and three sums over all of them, in the field of 2^61 - 1:
 *
 *     S0 = sum of h(pfn)     S1 = sum of pfn * h(pfn)     S2 = sum of pfn^2 * h(pfn)
 *
 * The source takes what the hypervisor gave, the destination what it gave to the hypervisor, so all
 * that lies between is covered: codec, cipher, both programs, the memory of both hosts. The sums
 * are compared before the copy may run. When one page differs by d, the sums differ by d, pfn * d
 * and pfn^2 * d, which names it without another word on the wire.
 *
 * This finds faults, not forgers: frames are authenticated already, and a source that lies may as
 * well send other pages.
 */
#ifndef MIGRATE_VERIFY_H
#define MIGRATE_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/io.h"
#include "hypervisor/page.h"

#define VERIFY_SUMS  3
#define VERIFY_PRIME ((UINT64_C(1) << 61) - 1)

struct verify_sums {
	uint64_t pages; /* with contents */
	uint64_t sum[VERIFY_SUMS];
};

struct verify {
	uint64_t seed;
	uint64_t **chunk; /* hashes by page number, made as pages come: 8 bytes a page */
	uint64_t nr_chunks;
	struct verify_sums sums;
	uint64_t ns; /* that all of this took */
};

/* An empty one, keyed by the first 8 bytes of the hand-over's token. */
void verify_init(struct verify *v, const uint8_t token[static 8]);
void verify_dispose(struct verify *v);

/*
 * Take in a batch whose contents are in its data; a page that came before is replaced. A receiver
 * does so after the hypervisor has taken it: then its page numbers are within the domain, and so is
 * the memory that this needs. 0, or -ENOMEM.
 */
int verify_batch(struct verify *v, const struct page_batch *batch) WARN_UNUSED;

/*
 * Are they the same as `theirs`, each below VERIFY_PRIME? 0, or -EBADMSG with a sentence that names
 * the page, or says that more than one differs.
 */
int verify_compare(const struct verify *v, const struct verify_sums *theirs, const char *name,
	struct error *err) WARN_UNUSED;

#endif
