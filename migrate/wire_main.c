/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-wire: turns an engine's records into a peer's frames and back. It is the only program
 * that reads what comes from the network, and it can do nothing else (base/priv.h).
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
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
#include "migrate/wire.h"

#define LINGER_MS 2000
#define LOCAL_MAX                                                                                  \
	(RECORD_MAX + RECORD_SLOT_MAX + 256u) /* a record with a STATS or LINK_UP before it */

static int pump_init(struct pump *p, int from, int to, size_t in_max, size_t out_max, size_t head)
{
	*p = (struct pump){.from = from, .to = to, .unit_head = head, .need = head};
	p->in = malloc(in_max);
	p->out = malloc(out_max);
	return p->in && p->out ? 0 : -ENOMEM;
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

static void peer_address(char out[static 64])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	snprintf(out, 64, "a stranger");
	if (getpeername(WIRE_FD_NET, (struct sockaddr *)&sa, &len) == 0)
		getnameinfo((struct sockaddr *)&sa, len, out, 64, NULL, 0, NI_NUMERICHOST);
}

/*
 * What waits in the kernel says whether the link is full (adapt.h); and what it holds, the guest's
 * last pages would have to wait for.
 */
static void keep_little_unsent(void)
{
	int bytes = ADAPT_UNSENT_BYTES;

	if (setsockopt(WIRE_FD_NET, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes)) < 0)
		log_debug("cannot bound what is unsent: %s", strerror(errno));
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
	keep_little_unsent();
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
		w.inbound.out_len = wire_put_link_up(&w, w.inbound.out);
		w.up = true;
	}
	if (rc)
		log_info("%s", err.what);
	else /* From here on it is the engine's to say whether the end is bad news. */
		rc = wire_relay(&w, &err);
	if (rc)
		report_down(&w, &err);
	else
		linger(&w);
	channel_key_dispose(&w.seal);
	channel_key_dispose(&w.open);
	/* Leak checkers fork at exit, which this process has given up. */
	_exit(rc ? 1 : 0);
}
