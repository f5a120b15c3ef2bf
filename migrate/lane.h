/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lane: memory that an engine shares with its lifeboat-wire, in which pages travel between the two;
 * over the socket pair go only the records that tell of them (RECORD_SLOT).
 *
 *   producer: lane_take -> fill the slot -> say SLOT        consumer: hear SLOT -> use it ->
 * lane_give
 *
 * Slots are used in turn, so that both ends know which one is next without saying it. The source's
 * engine does not have a slot back when lifeboat-wire has sent it, but when the destination has
 * applied it: until then it may have to be sent again (window.h). The engine makes the lane and
 * passes it on with RECORD_LANE; it is sealed, so that lifeboat-wire cannot take
 * the memory away. What lifeboat-wire could do is change a page while the engine reads it, but the
 * contents of pages are its own word anyway: nothing in a slot is parsed.
 */
#ifndef MIGRATE_LANE_H
#define MIGRATE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "hypervisor/page.h"

#define LANE_SLOTS_MAX	64u
#define LANE_SLOT_BYTES (PAGE_BATCH_MAX * (size_t)PAGE_BYTES)
#define LANE_FDS	2 /* the memory, the consumer's word that a slot is free again */

struct lane {
	uint8_t *base; /* NULL: there is no lane */
	int memory;    /* engine */
	int credit;
	unsigned slots;
	unsigned next;	 /* the slot in turn */
	unsigned in_use; /* producer: taken and not given back yet */
};

#define LANE_INIT ((struct lane){.memory = -1, .credit = -1})

/* RECORD_LANE's body: how many slots, and which is the first one to be spoken of. */
#define LANE_BODY_LEN 8u

/* Engine: make one with so many slots. 0 or -errno. */
int lane_create(struct lane *l, unsigned slots) WARN_UNUSED;
/*
 * Engine: pass it to lifeboat-wire over `sock`, also to another one than had it before: what is in
 * use then is to be said again, from the oldest. 0 or -errno; blocks until `deadline`.
 */
int lane_pass(struct lane *l, int sock, int64_t deadline) WARN_UNUSED;
/* lifeboat-wire: use what was passed. The descriptors are the lane's, also on failure. */
int lane_adopt(struct lane *l, const int fds[static LANE_FDS],
	const uint8_t body[static LANE_BODY_LEN]) WARN_UNUSED;
void lane_dispose(struct lane *l);

/*
 * Producer: make sure that the slot in turn is free. 0; -ETIMEDOUT (with a past deadline: at once)
 * or -EPIPE when the other end has gone.
 */
int lane_wait(struct lane *l, int64_t deadline) WARN_UNUSED;
/* The slot in turn: to be filled after lane_wait(), or the one that a SLOT tells of. */
uint8_t *lane_slot(const struct lane *l);
/* Producer: it is said. */
void lane_taken(struct lane *l);
/* Producer that learns it otherwise: so many of the oldest slots are free again. */
void lane_freed(struct lane *l, unsigned nr);
/* Consumer of one whose producer learns it otherwise: done with the slot in turn. */
void lane_step(struct lane *l);
/* Consumer: done with it. 0 or -EPIPE. */
int lane_give(struct lane *l) WARN_UNUSED;

#endif
