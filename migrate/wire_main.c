/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-wire: turns an engine's records into a peer's frames and back. It is the only program
 * that reads what comes from the network, and it can do nothing else (base/priv.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/priv.h"
#include "migrate/codec.h"
#include "migrate/wire.h"

#define LINGER_MS 2000
#define LOCAL_MAX                                                                                  \
	(RECORD_MAX + RECORD_SLOT_MAX + 256u) /* a record with a STATS or LINK_UP before it */

static size_t put_record(uint8_t *out, uint32_t type, const void *body, size_t len)
{
	record_header_put(out, type, (uint32_t)len);
	memcpy(out + RECORD_HEADER_LEN, body, len);
	return RECORD_HEADER_LEN + len;
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warn("cannot make a descriptor non-blocking: %s", strerror(errno));
}

static size_t put_link_up(const struct wire *w, uint8_t *out)
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
static int set_pace(struct pump *p, const struct record *rec)
{
	uint64_t bytes_per_s;

	if (!record_get_pace(rec, &bytes_per_s))
		return -EPROTO;
	pace_set(&p->pace, bytes_per_s, clock_ns());
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

/* The plaintext of a PAGES frame, where it will be sealed. Its length, or 0. */
static size_t encode_pages(struct wire *w, const struct record *rec, uint8_t *plain)
{
	bool slot = rec->type == RECORD_SLOT;
	struct page_batch batch;
	size_t body;

	if (slot ? !w->lane.base || !record_get_slot(rec, &batch) : !record_get_pages(rec, &batch))
		return 0;
	if (slot)
		batch.data = lane_slot(&w->lane);
	body = codec_encode(&w->codec, &batch, plain + RECORD_HEADER_LEN, RECORD_BODY_MAX);
	if (!body)
		return 0;
	if (slot)
		lane_step(&w->lane); /* the destination's word frees it, not ours */
	record_header_put(plain, RECORD_PAGES, (uint32_t)body);
	return RECORD_HEADER_LEN + body;
}

/* A record of our engine becomes a frame. */
static int seal_record(struct wire *w, struct pump *p)
{
	struct record rec = {.body = p->in + RECORD_HEADER_LEN};
	const uint8_t *plain = p->in;
	size_t len = p->have;

	if (!record_header_get(p->in, &rec.type, &rec.len))
		return -EPROTO;
	if (rec.type == RECORD_PACE)
		return set_pace(p, &rec);
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

/* A frame of the peer becomes a record for our engine, after its MAC and its kind were checked. */
static int open_frame(struct wire *w, struct pump *p)
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
		out += put_link_up(w, out);
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

/* Once the announcing bytes of a unit are in, how long is it? 0 when out of bounds. */
static size_t unit_len(const struct wire *w, const struct pump *p)
{
	uint32_t type, len;

	if (p == &w->inbound) {
		len = channel_frame_len(p->in);
		return len ? CHANNEL_LEN_BYTES + len : 0;
	}
	return record_header_get(p->in, &type, &len) ? RECORD_HEADER_LEN + len : 0;
}

/* From the engine descriptors may come along, once. */
static ssize_t read_some(struct wire *w, struct pump *p, void *buf, size_t len)
{
	size_t nr_fds = LANE_FDS;
	ssize_t n;

	if (p == &w->inbound || w->lane.base || w->lane_fds[0] >= 0) {
		n = read(p->from, buf, len);
		return n < 0 ? -errno : n;
	}
	n = io_recv_fds(p->from, buf, len, w->lane_fds, &nr_fds);
	for (; nr_fds < LANE_FDS; nr_fds++)
		w->lane_fds[nr_fds] = -1;
	return n;
}

/* Read what is there. 1 = a unit is complete, 0 = not yet, -EPIPE = end of file, -errno. */
static int pump_fill(struct wire *w, struct pump *p)
{
	while (p->have < p->need) {
		ssize_t n = read_some(w, p, p->in + p->have, p->need - p->have);

		if (n == 0)
			return p->have ? -ECONNRESET : -EPIPE;
		if (n < 0)
			return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
		p->have += (size_t)n;
		if (p->have == p->unit_head) {
			p->need = unit_len(w, p);
			if (!p->need)
				return -EPROTO;
		}
	}
	return 1;
}

static int pump_drain(struct pump *p)
{
	while (p->out_done < p->out_len) {
		size_t len = pace_allow(&p->pace, p->out_len - p->out_done, clock_ns());
		ssize_t n;

		if (!len)
			return 0;
		n = send(p->to, p->out + p->out_done, len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		pace_spent(&p->pace, (size_t)n);
		p->out_done += (size_t)n;
	}
	p->out_len = p->out_done = p->have = 0;
	p->need = p->unit_head;
	return 0;
}

/*
 * At the destination every frame waits for a free slot, so that one with pages finds it. When the
 * engine has gone nothing more is passed on, but what it said before is.
 */
static bool slot_ready(struct wire *w, struct pump *p)
{
	int rc = p == &w->inbound && w->role == ROLE_DESTINATION && w->lane.base
			 ? lane_wait(&w->lane, 0)
			 : 0;

	p->blocked = rc == -ETIMEDOUT;
	p->ended |= rc == -EPIPE;
	return rc == 0;
}

/* Move this direction on as far as it goes without blocking. */
static int pump_run(struct wire *w, struct pump *p, int (*turn)(struct wire *, struct pump *))
{
	int rc;

	for (;;) {
		if (p->out_len) {
			rc = pump_drain(p);
			if (rc || p->out_len)
				return rc;
		}
		rc = pump_fill(w, p);
		if (rc <= 0 || !slot_ready(w, p))
			return rc < 0 ? rc : 0;
		rc = turn(w, p);
		if (rc)
			return rc;
	}
}

static int pump_init(struct pump *p, int from, int to, size_t in_max, size_t out_max, size_t head)
{
	*p = (struct pump){.from = from, .to = to, .unit_head = head, .need = head};
	p->in = malloc(in_max);
	p->out = malloc(out_max);
	return p->in && p->out ? 0 : -ENOMEM;
}

/* Milliseconds for which what waits to be written may not leave yet. */
static int held_ms(const struct pump *p)
{
	return p->out_len ? pace_wait_ms(&p->pace, p->out_len - p->out_done) : 0;
}

static short interest(const struct pump *p, int fd)
{
	if (p->ended && !p->out_len)
		return 0;
	if (p->out_len)
		return p->to == fd && !held_ms(p) ? POLLOUT : 0;
	if (p->blocked)
		return 0;
	return p->from == fd ? POLLIN : 0;
}

/* Tell the engine why the link ended. Everything that came before has been delivered. */
static void report_down(const struct wire *w, const struct error *why)
{
	uint8_t body[2 * ERROR_TEXT_LEN + 8];
	size_t len = record_put_reason(body, sizeof(body), why);

	if (record_write(WIRE_FD_ENGINE, RECORD_LINK_DOWN, body, len, deadline_in(LINGER_MS)))
		log_debug("the engine of the link to %s has gone", w->peer);
}

/*
 * Our engine has finished. Close our half and read on for a moment: closing at once with unread
 * data would reset the connection and could destroy our last record (REFUSED, say) on its way.
 */
static void linger(struct wire *w)
{
	int64_t deadline = deadline_in(LINGER_MS);
	struct pollfd p = {.fd = WIRE_FD_NET, .events = POLLIN};

	shutdown(WIRE_FD_NET, SHUT_WR);
	while (poll(&p, 1, deadline_poll_ms(deadline)) > 0) {
		ssize_t n = read(WIRE_FD_NET, w->inbound.in, CHANNEL_FRAME_MAX);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			break;
	}
}

/* Reading from the peer came to `rc`: why the link ended, for the engine. */
static int link_end(const struct wire *w, int rc, int write_failure, struct error *err)
{
	if (rc == -EBADMSG || rc == -EPROTO)
		return error_set(err, rc, "Run the same lifeboat version on both hosts",
			"%s sent something that is not a valid frame", w->peer);
	/* After a failed write the read may end as if the peer had: the write knows better. */
	if (rc == -EPIPE && write_failure && write_failure != -EPIPE &&
		write_failure != -ECONNRESET)
		rc = write_failure;
	if (rc == -EPIPE)
		return error_set(err, -ECONNRESET, "Look at the log of lifeboatd there",
			"%s closed the link", w->peer);
	return error_sys(err, rc,
		"Check the network between the hosts and that the other host is up",
		"the link to %s was lost", w->peer);
}

static int wait_for_work(const struct wire *w)
{
	const int fd[] = {WIRE_FD_ENGINE, WIRE_FD_NET};
	int held = held_ms(&w->outbound);
	struct pollfd fds[3] = {
		[2] = {.fd = w->inbound.blocked ? w->lane.credit : -1, .events = POLLIN}};

	for (int i = 0; i < 2; i++) {
		fds[i].fd = fd[i];
		fds[i].events = interest(&w->outbound, fd[i]) | interest(&w->inbound, fd[i]);
		/* One nobody waits for must not wake us with its hang-up, over and over. */
		if (!fds[i].events)
			fds[i].fd = -1;
	}
	return poll(fds, 3, held ? held : -1) < 0 && errno != EINTR ? -errno : 0;
}

/* A write that fails may have a reason waiting to be read: the link ends when reading ends. */
static int relay(struct wire *w, struct error *err)
{
	int write_failure = 0, rc;

	set_nonblocking(WIRE_FD_ENGINE);
	set_nonblocking(WIRE_FD_NET);
	for (;;) {
		rc = wait_for_work(w);
		if (rc)
			return error_sys(err, rc, NULL, "cannot wait for data");
		rc = w->outbound.ended ? 0 : pump_run(w, &w->outbound, seal_record);
		if (rc == -EPROTO)
			return error_set(err, rc, NULL, "this host's engine sent a bad record");
		/* Nothing to write, so it was the engine: it ended, perhaps amid a record. */
		if (rc && !w->outbound.out_len)
			return 0;
		if (rc) {
			write_failure = rc;
			w->outbound.ended = true;
			w->outbound.out_len = 0;
		}
		rc = w->inbound.ended ? 0 : pump_run(w, &w->inbound, open_frame);
		/* The engine takes no more, so it has ended: its last words are still to be sent.
		 */
		if (rc && w->inbound.out_len) {
			w->inbound.ended = true;
			w->inbound.out_len = 0;
		} else if (rc) {
			return link_end(w, rc, write_failure, err);
		}
		/* Both have gone, and each write that failed hid the other's end. */
		if (w->inbound.ended && w->outbound.ended && !w->outbound.out_len)
			return 0;
	}
}

static void peer_address(char out[static 64])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	snprintf(out, 64, "a stranger");
	if (getpeername(WIRE_FD_NET, (struct sockaddr *)&sa, &len) == 0)
		getnameinfo((struct sockaddr *)&sa, len, out, 64, NULL, 0, NI_NUMERICHOST);
}

static int wire_init(struct wire *w, struct link_setup *setup, struct error *err)
{
	struct record rec;
	int rc = record_init(&rec);

	if (rc)
		return rc;
	rc = record_read(WIRE_FD_ENGINE, &rec, deadline_in(LINK_HANDSHAKE_MS));
	if (rc == 0 && (rec.type != RECORD_SETUP || !link_get_setup(&rec, setup)))
		rc = -EPROTO;
	sodium_memzero(rec.body, RECORD_BODY_MAX);
	record_dispose(&rec);
	if (rc)
		return error_sys(err, rc, NULL,
			"lifeboat-wire is started by lifeboat's other programs only");
	w->role = setup->role;
	w->lane = LANE_INIT;
	w->lane_fds[0] = w->lane_fds[1] = -1;
	if (pump_init(&w->outbound, WIRE_FD_ENGINE, WIRE_FD_NET, RECORD_MAX, CHANNEL_FRAME_MAX,
		    RECORD_HEADER_LEN) ||
		pump_init(&w->inbound, WIRE_FD_NET, WIRE_FD_ENGINE, CHANNEL_FRAME_MAX, LOCAL_MAX,
			CHANNEL_LEN_BYTES))
		return error_set(err, -ENOMEM, NULL, "no memory for lifeboat-wire");
	if (channel_prepare())
		return error_set(err, -ENOTSUP, "Install OpenSSL 3 with its default provider",
			"the system's cryptographic library lacks a cipher");
	peer_address(w->address);
	return priv_confine(setup->user, err);
}

int main(void)
{
	static struct wire w;
	struct link_setup setup;
	struct error err = ERROR_INIT;
	int rc;

	log_init("lifeboat-wire");
	priv_hide_memory();
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0)
		return 1;
	rc = wire_init(&w, &setup, &err);
	if (rc == 0)
		rc = wire_handshake(&w, &setup, &err);
	if (rc == 0 && w.role == ROLE_SOURCE) {
		/* The initiator's proof is the second message; the responder waits for a frame. */
		w.inbound.out_len = put_link_up(&w, w.inbound.out);
		w.up = true;
	}
	if (rc)
		log_info("%s", err.what);
	else /* From here on it is the engine's to say whether the end is bad news. */
		rc = relay(&w, &err);
	if (rc)
		report_down(&w, &err);
	else
		linger(&w);
	channel_key_dispose(&w.seal);
	channel_key_dispose(&w.open);
	/* Leak checkers fork at exit, which this process has given up. */
	_exit(rc ? 1 : 0);
}
