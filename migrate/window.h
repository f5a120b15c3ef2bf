/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * window: what the source has said of a domain and does not know to be applied there. When the link
 * is lost, that is what another link has to begin with.
 *
 *      applied           said
 *   ...---|---------------|          JOINED n: all before n is applied, n and on is said again
 *         kept, WINDOW_MAX at most
 *
 * Records are counted from the first one after ACCEPT. Contents of pages are not copied: they stay
 * in the lane, whose slots are free again when the record that told of them is applied. So what a
 * move holds in memory does not grow with the guest.
 */
#ifndef MIGRATE_WINDOW_H
#define MIGRATE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "migrate/lane.h"
#include "migrate/record.h"

#define WINDOW_MAX	 64u /* records */
#define WINDOW_SLOTS	 16u /* of them with pages: 16 MiB */
#define WINDOW_SAY_EVERY 4u  /* batches for which a destination says APPLIED once */

struct window_record {
	uint32_t type; /* as it goes to lifeboat-wire */
	uint32_t len;
	uint8_t *body;
};

struct window {
	struct lane lane;
	struct window_record kept[WINDOW_MAX];
	uint64_t said, applied;
};

#define WINDOW_INIT                                                                                \
	{                                                                                          \
		.lane = {.memory = -1, .credit = -1 }                                              \
	}

/* Make the lane. 0 or -errno. */
int window_open(struct window *w) WARN_UNUSED;
/* Idempotent. */
void window_close(struct window *w);

/* May one more record, perhaps with pages, be said now? If not, APPLIED is what to wait for. */
bool window_has_room(const struct window *w);
/* Where the contents of the next page batch go; there must be room. */
uint8_t *window_room(const struct window *w);

/*
 * Say a record to lifeboat-wire, or a batch whose contents are in window_room() or are copied
 * there; there must be room. 0, -ENOMEM, or record_write's failure: then the record is kept all the
 * same.
 */
int window_say(struct window *w, int sock, uint32_t type, const void *body, size_t len,
	int64_t deadline) WARN_UNUSED;
int window_say_pages(
	struct window *w, int sock, const struct page_batch *batch, int64_t deadline) WARN_UNUSED;

/* An APPLIED or JOINED: 0, or -EPROTO when its number cannot be. */
int window_applied(struct window *w, const struct record *rec) WARN_UNUSED;

/* To a lifeboat-wire that is new: pass the lane, then say again all that is kept. 0 or -errno. */
int window_pass(struct window *w, int sock, int64_t deadline) WARN_UNUSED;

#endif
