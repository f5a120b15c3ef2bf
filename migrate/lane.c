/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "migrate/record.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1's, which Debian 12's C library does not name yet */
#endif
#define HUGE_BYTES ((size_t)2 << 20)

static size_t lane_bytes(unsigned slots)
{
	return slots * LANE_SLOT_BYTES;
}

/*
 * Where huge pages can be mapped as such: one fault of the processor for each, not 512. The first
 * mapping finds such a place. The second asks for it, and would work in another one too.
 */
static int map(struct lane *l, int memory, unsigned slots)
{
	size_t len = lane_bytes(slots);
	uint8_t *room = mmap(NULL, len + HUGE_BYTES, PROT_NONE, MAP_SHARED, memory, 0), *base;

	if (room == MAP_FAILED)
		return -errno;
	munmap(room, len + HUGE_BYTES);
	base = mmap(room + (-(uintptr_t)room & (HUGE_BYTES - 1)), len, PROT_READ | PROT_WRITE,
		MAP_SHARED, memory, 0);
	if (base == MAP_FAILED)
		return -errno;
	l->base = base;
	l->slots = slots;
	return 0;
}

/* All of it at once, so that a lack of memory is an error here and no signal later. */
static int sealed_memory(unsigned slots)
{
	int fd = memfd_create("lifeboat-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, (off_t)lane_bytes(slots)) == 0 &&
		fallocate(fd, 0, 0, (off_t)lane_bytes(slots)) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	fd_close(&fd);
	return -errno;
}

int lane_create(struct lane *l, unsigned slots)
{
	int rc;

	*l = LANE_INIT;
	l->memory = sealed_memory(slots);
	if (l->memory < 0)
		return l->memory;
	rc = map(l, l->memory, slots);
	if (rc)
		lane_dispose(l);
	else /* a matter of speed: where there are none (before Linux 6.1) it does without */
		(void)madvise(l->base, lane_bytes(slots), MADV_COLLAPSE);
	return rc;
}

int lane_pass(struct lane *l, int sock, int64_t deadline)
{
	uint8_t record[RECORD_HEADER_LEN + LANE_BODY_LEN];
	struct wire_writer w = wire_writer(record + RECORD_HEADER_LEN, LANE_BODY_LEN);
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	record_header_put(record, RECORD_LANE, LANE_BODY_LEN);
	wire_put_u32(&w, l->slots);
	wire_put_u32(&w, (l->next + l->slots - l->in_use) % l->slots);
	/* The descriptors go with the first byte; the rest of so short a record follows. */
	rc = io_send_fds(sock, record, 1, (int[]){l->memory, pair[1]}, LANE_FDS);
	if (rc == 0)
		rc = io_write_all(sock, record + 1, sizeof(record) - 1, deadline);
	fd_close(&pair[1]);
	fd_close(&l->credit);
	l->credit = pair[0];
	return rc;
}

int lane_adopt(
	struct lane *l, const int fds[static LANE_FDS], const uint8_t body[static LANE_BODY_LEN])
{
	struct wire_reader r = wire_reader(body, LANE_BODY_LEN);
	unsigned slots = wire_get_u32(&r), next = wire_get_u32(&r);
	int memory = fds[0], rc;

	l->credit = fds[1];
	rc = slots == 0 || slots > LANE_SLOTS_MAX || next >= slots ? -EPROTO
								   : map(l, memory, slots);
	if (rc == 0)
		l->next = next;
	fd_close(&memory);
	return rc;
}

void lane_dispose(struct lane *l)
{
	if (l->base)
		munmap(l->base, lane_bytes(l->slots));
	fd_close(&l->memory);
	fd_close(&l->credit);
	*l = LANE_INIT;
}

uint8_t *lane_slot(const struct lane *l)
{
	return l->base + l->next * LANE_SLOT_BYTES;
}

int lane_wait(struct lane *l, int64_t deadline)
{
	while (l->in_use == l->slots) {
		uint8_t token;
		int rc = io_read_exact(l->credit, &token, 1, deadline);

		if (rc)
			return rc == -ETIMEDOUT ? rc : -EPIPE;
		l->in_use--;
	}
	return 0;
}

void lane_taken(struct lane *l)
{
	l->in_use++;
	lane_step(l);
}

void lane_freed(struct lane *l, unsigned nr)
{
	l->in_use -= nr < l->in_use ? nr : l->in_use;
}

void lane_step(struct lane *l)
{
	l->next = (l->next + 1) % l->slots;
}

int lane_give(struct lane *l)
{
	const uint8_t token = 1;

	lane_step(l);
	/* There is room for it: never more tokens are on their way than there are slots. */
	return io_write_all(l->credit, &token, 1, DEADLINE_NEVER) ? -EPIPE : 0;
}
