/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lifeboat-wire makes of a record of its engine, and of a frame of the peer. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "migrate/wire.h"

static size_t put_record(uint8_t *out, uint32_t type, const void *body, size_t len)
{
	record_header_put(out, type, (uint32_t)len);
	memcpy(out + RECORD_HEADER_LEN, body, len);
	return RECORD_HEADER_LEN + len;
}

size_t wire_put_link_up(const struct wire *w, uint8_t *out)
{
	struct record_link link = {0};
	uint8_t body[128] = {0};

	memcpy(link.peer, w->peer, sizeof(link.peer));
	snprintf(link.cipher, sizeof(link.cipher), "%s", channel_cipher_name(w->cipher));
	return put_record(out, RECORD_LINK_UP, body, record_put_link(body, sizeof(body), &link));
}

static size_t put_stats(const struct wire *w, uint8_t *out)
{
	const struct record_stats stats = {.bytes_out = w->bytes_out, .bytes_in = w->bytes_in};
	uint8_t body[32] = {0};

	return put_record(out, RECORD_STATS, body, record_put_stats(body, sizeof(body), &stats));
}

/* Nothing goes out for this unit. */
static void swallow(struct pump *p)
{
	p->have = 0;
	p->need = p->unit_head;
}

/* From the next frame on. */
static int set_pace(struct wire *w, struct pump *p, const struct record *rec)
{
	uint64_t bytes_per_s;

	if (!record_get_pace(rec, &bytes_per_s))
		return -EPROTO;
	pace_set(&p->pace, bytes_per_s, clock_ns());
	w->adapt.bytes_are_dear |= bytes_per_s != 0;
	swallow(p);
	return 0;
}

/* Our engine and we share memory from now on. */
static int take_lane(struct wire *w, struct pump *p, const struct record *rec)
{
	int rc = w->lane.base || w->lane_fds[0] < 0 || w->lane_fds[1] < 0 ||
				 rec->len != LANE_BODY_LEN
			 ? -EPROTO
			 : lane_adopt(&w->lane, w->lane_fds, rec->body);

	w->lane_fds[0] = w->lane_fds[1] = -1;
	swallow(p);
	return rc ? -EPROTO : 0;
}

/* It has said the next thing already. */
static bool engine_waits(void)
{
	struct pollfd p = {.fd = WIRE_FD_ENGINE, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* The plaintext of a PAGES frame, where it will be sealed. Its length, or 0. */
static size_t encode_pages(struct wire *w, const struct record *rec, uint8_t *plain)
{
	bool slot = rec->type == RECORD_SLOT;
	struct page_batch batch;
	enum adapt_way way;
	size_t body;

	if (slot ? !w->lane.base || !record_get_slot(rec, &batch) : !record_get_pages(rec, &batch))
		return 0;
	if (slot)
		batch.data = lane_slot(&w->lane);
	way = adapt_begin(&w->adapt, batch.nr_data, engine_waits(), clock_ns());
	w->codec.haste = way == ADAPT_HASTE;
	w->codec.raw = way == ADAPT_RAW;
	body = codec_encode(&w->codec, &batch, plain + RECORD_HEADER_LEN, RECORD_BODY_MAX);
	if (!body)
		return 0;
	if (slot)
		lane_step(&w->lane); /* the destination's word frees it, not ours */
	record_header_put(plain, RECORD_PAGES, (uint32_t)body);
	return RECORD_HEADER_LEN + body;
}

int wire_seal_record(struct wire *w, struct pump *p)
{
	struct record rec = {.body = p->in + RECORD_HEADER_LEN};
	const uint8_t *plain = p->in;
	size_t len = p->have;

	if (!record_header_get(p->in, &rec.type, &rec.len))
		return -EPROTO;
	if (rec.type == RECORD_PACE)
		return set_pace(w, p, &rec);
	if (rec.type == RECORD_LANE)
		return take_lane(w, p, &rec);
	if (!record_allowed_from(w->role, rec.type) &&
		!(rec.type == RECORD_SLOT && w->role == ROLE_SOURCE))
		return -EPROTO;
	if (rec.type == RECORD_PAGES || rec.type == RECORD_SLOT) {
		plain = p->out + CHANNEL_LEN_BYTES;
		len = encode_pages(w, &rec, p->out + CHANNEL_LEN_BYTES);
		if (!len)
			return -EPROTO;
	}
	if (rec.type == RECORD_ROUND)
		codec_round(&w->codec);
	p->out_len = channel_seal(&w->seal, plain, len, p->out);
	if (!p->out_len)
		return -EPROTO;
	w->bytes_out += p->out_len;
	return 0;
}

/* A PAGES body for our engine: into the lane, or behind its record when there is none. */
static ssize_t decode_pages(struct wire *w, const uint8_t *body, size_t len, uint8_t *out)
{
	uint8_t *head = out + RECORD_HEADER_LEN;
	struct page_batch batch;
	size_t head_len, data_len;

	if (w->lane.base) {
		if (codec_decode(&w->codec, body, len, &batch, lane_slot(&w->lane)))
			return -EBADMSG;
		lane_taken(&w->lane);
		head_len = record_put_slot(head, RECORD_SLOT_MAX, &batch);
		record_header_put(out, RECORD_SLOT, (uint32_t)head_len);
		return (ssize_t)(RECORD_HEADER_LEN + head_len);
	}
	/* Its place depends on how many entries come before; beyond them it fits in any case. */
	if (codec_decode(&w->codec, body, len, &batch, head + RECORD_SLOT_MAX))
		return -EBADMSG;
	head_len = record_put_slot(head, RECORD_SLOT_MAX, &batch);
	data_len = PAGE_BYTES * (size_t)batch.nr_data;
	memmove(head + head_len, batch.data, data_len);
	record_header_put(out, RECORD_PAGES, (uint32_t)(head_len + data_len));
	return (ssize_t)(RECORD_HEADER_LEN + head_len + data_len);
}

int wire_open_frame(struct wire *w, struct pump *p)
{
	enum record_role peer = w->role == ROLE_SOURCE ? ROLE_DESTINATION : ROLE_SOURCE;
	uint8_t *plain = p->in + CHANNEL_LEN_BYTES, *out = p->out;
	ssize_t len = channel_open(&w->open, p->in, p->have, plain);
	uint32_t type, body_len;

	if (len < 0)
		return (int)len;
	w->bytes_in += p->have;
	if (!record_header_get(plain, &type, &body_len) ||
		body_len != (size_t)len - RECORD_HEADER_LEN || !record_allowed_from(peer, type))
		return -EPROTO;
	if (!w->up) {
		out += wire_put_link_up(w, out);
		w->up = true;
	}
	if (w->role == ROLE_SOURCE)
		out += put_stats(w, out);
	if (type == RECORD_PAGES) {
		len = decode_pages(w, plain + RECORD_HEADER_LEN, body_len, out);
		if (len < 0)
			return (int)len;
		out += len;
	} else {
		out += put_record(out, type, plain + RECORD_HEADER_LEN, body_len);
	}
	p->out_len = (size_t)(out - p->out);
	return 0;
}
