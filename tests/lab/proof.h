/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the proof's two processes share.
 */
#ifndef LAB_PROOF_H_
#define LAB_PROOF_H_

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAX 1024U /* sectors */

/* Written by the disk process, read for the status. */
struct disk_state {
	_Atomic uint64_t seq, start_seq, verified, errors, slowest_ms;
};

struct options {
	uint64_t mib, writes_per_s, verifies_per_s, disk_ms, ring;
	const char *disk, *status, *name;
};

/* splitmix64's finaliser: every input bit reaches every output bit. */
static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9U;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebU;
	return x ^ (x >> 31);
}

static inline uint64_t chain_next(uint64_t chain, uint64_t a, uint64_t b)
{
	return mix(mix(chain + 0x9e3779b97f4a7c15U) ^ mix(a * 3 + 1) ^ mix(b * 5 + 2));
}

uint64_t now_ms(void);
void sleep_ms(uint64_t ms);

/* Zeroed memory that a forked child shares; ends the program when there is none. */
void *memory_map(size_t bytes);

/* Write and verify for ever; returns only when the disk cannot be opened. */
void disk_run(const struct options *o, struct disk_state *state);

#endif
