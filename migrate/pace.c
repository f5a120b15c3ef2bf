/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/pace.h"

#define SECOND_NS   1000000000
#define BURST_SHARE 20	   /* of a second */
#define PIECE	    16384u /* not worth a system call below this, unless no more is wanted */

static uint64_t burst(const struct pace *p)
{
	uint64_t bytes = p->bytes_per_s / BURST_SHARE;

	return bytes < PIECE ? PIECE : bytes;
}

void pace_set(struct pace *p, uint64_t bytes_per_s, int64_t now_ns)
{
	*p = (struct pace){.bytes_per_s = bytes_per_s, .at_ns = now_ns};
}

static void fill(struct pace *p, int64_t now_ns)
{
	uint64_t ns = now_ns > p->at_ns ? (uint64_t)(now_ns - p->at_ns) : 0, new_tokens;

	/* A second fills the bucket many times over; more of it could overflow below. */
	if (ns > SECOND_NS)
		ns = SECOND_NS;
	new_tokens = (uint64_t)((double)p->bytes_per_s * (double)ns / SECOND_NS);
	if (!new_tokens)
		return; /* the time counts when it is enough for a byte */
	p->at_ns = now_ns;
	p->tokens += new_tokens;
	if (p->tokens > burst(p))
		p->tokens = burst(p);
}

size_t pace_allow(struct pace *p, size_t want, int64_t now_ns)
{
	if (!p->bytes_per_s)
		return want;
	fill(p, now_ns);
	if (p->tokens >= want)
		return want;
	return p->tokens >= PIECE ? (size_t)p->tokens : 0;
}

void pace_spent(struct pace *p, size_t len)
{
	if (p->bytes_per_s)
		p->tokens = len < p->tokens ? p->tokens - len : 0;
}

int pace_wait_ms(const struct pace *p, size_t want)
{
	uint64_t need = want < PIECE ? want : PIECE;

	if (!p->bytes_per_s || p->tokens >= need)
		return 0;
	return (int)((need - p->tokens) * 1000 / p->bytes_per_s) + 1;
}
