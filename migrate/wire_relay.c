/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both directions between the engine and the peer, without ever waiting for one of them alone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/wire.h"

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warn("cannot make a descriptor non-blocking: %s", strerror(errno));
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
	if (p->held_ns)
		p->waited_ns += clock_ns() - p->held_ns;
	p->held_ns = 0;
	while (p->out_done < p->out_len) {
		size_t len = pace_allow(&p->pace, p->out_len - p->out_done, clock_ns());
		ssize_t n;

		n = len ? send(p->to, p->out + p->out_done, len, MSG_NOSIGNAL) : 0;
		if (!len || (n < 0 && errno == EAGAIN)) {
			p->held_ns = clock_ns();
			return 0;
		}
		if (n < 0)
			return errno == EINTR ? 0 : -errno;
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
			if (p == &w->outbound)
				adapt_end(&w->adapt, p->waited_ns, clock_ns());
			p->waited_ns = 0;
		}
		rc = pump_fill(w, p);
		if (rc <= 0 || !slot_ready(w, p))
			return rc < 0 ? rc : 0;
		rc = turn(w, p);
		if (rc)
			return rc;
	}
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

int wire_relay(struct wire *w, struct error *err)
{
	int write_failure = 0, rc;

	/* A write that fails may have a reason waiting to be read: it ends when reading ends. */
	set_nonblocking(WIRE_FD_ENGINE);
	set_nonblocking(WIRE_FD_NET);
	for (;;) {
		rc = wait_for_work(w);
		if (rc)
			return error_sys(err, rc, NULL, "cannot wait for data");
		rc = w->outbound.ended ? 0 : pump_run(w, &w->outbound, wire_seal_record);
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
		rc = w->inbound.ended ? 0 : pump_run(w, &w->inbound, wire_open_frame);
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
