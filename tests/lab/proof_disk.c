/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk half of the proof: a ring of sectors, each holding its sequence number and a
 * chain over its predecessor, written through O_DIRECT; after each write the whole ring is
 * read back and compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proof.h"

#define SECTOR 512U

struct sector {
	char magic[8];
	uint64_t seq, prev_chain, chain;
	uint64_t random[59];
	uint64_t sum;
};
_Static_assert(sizeof(struct sector) == SECTOR, "a sector");

static uint64_t sector_sum(const struct sector *s)
{
	uint64_t h = s->seq;

	for (size_t i = 0; i < sizeof(s->random) / 8; i++)
		h = mix(h ^ s->random[i]);
	return chain_next(h, s->prev_chain, s->chain);
}

static void sector_fill(struct sector *s, uint64_t seq, uint64_t prev_chain)
{
	uint64_t x;

	memcpy(s->magic, "LABDISK1", 8);
	s->seq = seq;
	s->prev_chain = prev_chain;
	s->chain = x = chain_next(prev_chain, seq, 0);
	for (size_t i = 0; i < sizeof(s->random) / 8; i++)
		s->random[i] = x = mix(x + i);
	s->sum = sector_sum(s);
}

static bool sector_valid(const struct sector *s)
{
	return memcmp(s->magic, "LABDISK1", 8) == 0 && s->sum == sector_sum(s) &&
	       s->chain == chain_next(s->prev_chain, s->seq, 0);
}

struct disk {
	int fd;
	uint64_t ring;
	struct sector *read_buf, *write_buf;
	uint64_t chain[RING_MAX]; /* what each slot must hold */
	struct disk_state *state;
};

static void disk_error(struct disk *d, const char *what, uint64_t seq)
{
	atomic_fetch_add(&d->state->errors, 1);
	printf("proof: disk: %s at sequence %" PRIu64 "\n", what, seq);
}

static bool disk_read(struct disk *d, uint64_t seq)
{
	size_t len = d->ring * SECTOR;

	if (pread(d->fd, d->read_buf, len, 0) == (ssize_t)len)
		return true;
	disk_error(d, strerror(errno), seq);
	return false;
}

/* A guest that was started again continues the chain its predecessor wrote: what that
 * one was told is on disk must be there. */
static uint64_t disk_resume(struct disk *d)
{
	uint64_t seq = 0;

	if (!disk_read(d, 0))
		return 0;
	for (uint64_t i = 0; i < d->ring; i++)
		if (sector_valid(&d->read_buf[i]) && d->read_buf[i].seq > seq)
			seq = d->read_buf[i].seq;
	for (uint64_t s = seq; s > 0 && s + d->ring > seq; s--) {
		const struct sector *now = &d->read_buf[s % d->ring];
		const struct sector *before = &d->read_buf[(s - 1) % d->ring];

		if (!sector_valid(now) || now->seq != s)
			disk_error(d, "a sector written earlier is missing", s);
		else if (s > 1 && s - 1 + d->ring > seq && before->chain != now->prev_chain)
			disk_error(d, "the chain is broken", s);
		d->chain[s % d->ring] = now->chain;
	}
	return seq;
}

static void disk_verify(struct disk *d, uint64_t seq)
{
	if (!disk_read(d, seq))
		return;
	for (uint64_t s = seq; s > 0 && s + d->ring > seq; s--) {
		const struct sector *now = &d->read_buf[s % d->ring];

		if (!sector_valid(now) || now->seq != s || now->chain != d->chain[s % d->ring])
			disk_error(d, "a sector is not what was written", s);
		else
			atomic_fetch_add(&d->state->verified, 1);
	}
}

void disk_run(const struct options *o, struct disk_state *state)
{
	static struct disk d;
	uint64_t seq, began, took;

	d.ring = o->ring;
	d.state = state;
	d.fd = open(o->disk, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	d.read_buf = memory_map(RING_MAX * SECTOR);
	d.write_buf = memory_map(SECTOR);
	if (d.fd < 0) {
		disk_error(&d, strerror(errno), 0);
		return;
	}
	seq = disk_resume(&d);
	atomic_store(&state->start_seq, seq);
	atomic_store(&state->seq, seq);
	for (;; sleep_ms(o->disk_ms)) {
		uint64_t prev = seq ? d.chain[seq % d.ring] : 0;

		sector_fill(d.write_buf, seq + 1, prev);
		began = now_ms();
		if (pwrite(d.fd, d.write_buf, SECTOR, (off_t)((seq + 1) % d.ring * SECTOR)) !=
			SECTOR) {
			disk_error(&d, strerror(errno), seq + 1);
			continue;
		}
		took = now_ms() - began;
		if (took > atomic_load(&state->slowest_ms))
			atomic_store(&state->slowest_ms, took);
		seq++;
		d.chain[seq % d.ring] = d.write_buf->chain;
		atomic_store(&state->seq, seq);
		disk_verify(&d, seq);
	}
}
