/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pace: a token bucket. It holds at most a twentieth of a second's bytes, so that after an idle
 * time no more than that leaves at once. Pure: the time goes in by value.
 */
#ifndef MIGRATE_PACE_H
#define MIGRATE_PACE_H

#include <stddef.h>
#include <stdint.h>

struct pace {
	uint64_t bytes_per_s; /* 0 = no limit */
	uint64_t tokens;
	int64_t at_ns; /* when `tokens` was counted */
};

/* Set the limit; the bucket begins empty. */
void pace_set(struct pace *p, uint64_t bytes_per_s, int64_t now_ns);

/* How many of `want` bytes may leave now; `want` without a limit. */
size_t pace_allow(struct pace *p, size_t want, int64_t now_ns);
/* So many have left. */
void pace_spent(struct pace *p, size_t len);
/* Milliseconds until it is worth asking for `want` bytes again; 0 = now. */
int pace_wait_ms(const struct pace *p, size_t want);

#endif
