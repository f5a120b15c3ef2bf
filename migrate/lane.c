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

static int map(struct lane *l, int memory)
{
	void *p = mmap(NULL, LANE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	if (p == MAP_FAILED)
		return -errno;
	l->base = p;
	return 0;
}

static int sealed_memory(void)
{
	int fd = memfd_create("lifeboat-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, LANE_BYTES) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	fd_close(&fd);
	return -errno;
}

int lane_create(struct lane *l, int sock, int64_t deadline)
{
	uint8_t head[RECORD_HEADER_LEN];
	int pair[2] = {-1, -1}, memory = sealed_memory(), rc;

	*l = LANE_INIT;
	if (memory < 0)
		return memory;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		rc = -errno;
	else
		rc = map(l, memory);
	if (rc == 0) {
		record_header_put(head, RECORD_LANE, 0);
		/* The descriptors go with the first byte; the rest of so short a record follows. */
		rc = io_send_fds(sock, head, 1, (int[]){memory, pair[1]}, LANE_FDS);
	}
	if (rc == 0)
		rc = io_write_all(sock, head + 1, sizeof(head) - 1, deadline);
	if (rc == 0) {
		l->credit = pair[0];
		pair[0] = -1;
	} else {
		lane_dispose(l);
	}
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	fd_close(&memory);
	return rc;
}

int lane_adopt(struct lane *l, const int fds[static LANE_FDS])
{
	int memory = fds[0], rc;

	l->credit = fds[1];
	rc = map(l, memory);
	fd_close(&memory);
	return rc;
}

void lane_dispose(struct lane *l)
{
	if (l->base)
		munmap(l->base, LANE_BYTES);
	fd_close(&l->credit);
	*l = LANE_INIT;
}

uint8_t *lane_slot(const struct lane *l)
{
	return l->base + l->next * LANE_SLOT_BYTES;
}

int lane_wait(struct lane *l, int64_t deadline)
{
	while (l->in_use == LANE_SLOTS) {
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
	l->next = (l->next + 1) % LANE_SLOTS;
}

int lane_give(struct lane *l)
{
	const uint8_t token = 1;

	l->next = (l->next + 1) % LANE_SLOTS;
	/* There is room for it: never more tokens are on their way than there are slots. */
	return io_write_all(l->credit, &token, 1, DEADLINE_NEVER) ? -EPIPE : 0;
}
