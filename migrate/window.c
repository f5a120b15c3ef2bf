/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct window_record *at(struct window *w, uint64_t n)
{
	return &w->kept[n % WINDOW_MAX];
}

static void drop(struct window_record *r)
{
	free(r->body);
	*r = (struct window_record){0};
}

int window_open(struct window *w)
{
	*w = (struct window)WINDOW_INIT;
	return lane_create(&w->lane, WINDOW_SLOTS);
}

void window_close(struct window *w)
{
	for (unsigned i = 0; i < WINDOW_MAX; i++)
		drop(&w->kept[i]);
	lane_dispose(&w->lane);
	w->said = w->applied = 0;
}

bool window_has_room(const struct window *w)
{
	return w->said - w->applied < WINDOW_MAX && w->lane.in_use < w->lane.slots;
}

uint8_t *window_room(const struct window *w)
{
	return lane_slot(&w->lane);
}

int window_say(
	struct window *w, int sock, uint32_t type, const void *body, size_t len, int64_t deadline)
{
	struct window_record *r = at(w, w->said);

	r->body = malloc(len ? len : 1);
	if (!r->body)
		return -ENOMEM;
	if (len)
		memcpy(r->body, body, len);
	r->type = type;
	r->len = (uint32_t)len;
	w->said++;
	if (type == RECORD_SLOT)
		lane_taken(&w->lane);
	return record_write(sock, type, body, len, deadline);
}

int window_say_pages(struct window *w, int sock, const struct page_batch *batch, int64_t deadline)
{
	uint8_t body[RECORD_SLOT_MAX], *room = window_room(w);

	if (batch->nr > PAGE_BATCH_MAX || batch->nr_data > batch->nr)
		return -EMSGSIZE;
	if (batch->nr_data && batch->data != room)
		memcpy(room, batch->data, PAGE_BYTES * (size_t)batch->nr_data);
	return window_say(
		w, sock, RECORD_SLOT, body, record_put_slot(body, sizeof(body), batch), deadline);
}

int window_applied(struct window *w, const struct record *rec)
{
	uint64_t count;

	if (!record_get_applied(rec, &count) || count < w->applied || count > w->said)
		return -EPROTO;
	for (; w->applied < count; w->applied++) {
		struct window_record *r = at(w, w->applied);

		if (r->type == RECORD_SLOT)
			lane_freed(&w->lane, 1);
		drop(r);
	}
	return 0;
}

int window_pass(struct window *w, int sock, int64_t deadline)
{
	int rc = lane_pass(&w->lane, sock, deadline);

	for (uint64_t n = w->applied; rc == 0 && n < w->said; n++) {
		const struct window_record *r = at(w, n);

		rc = record_write(sock, r->type, r->body, r->len, deadline);
	}
	return rc;
}
