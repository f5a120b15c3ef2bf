/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * packet: raw frames by AF_PACKET. Needs CAP_NET_RAW; the sentence says so.
 */
#ifndef NETFIX_PACKET_H
#define NETFIX_PACKET_H

#include "base/error.h"
#include "netfix/frame.h"
#include "netfix/nethost.h"

#define PACKET_MAX 160 /* of a frame that is read: the rest is cut off */

/* What a listener hears. */
enum packet_filter {
	PACKET_FROM = 1, /* frames that `mac` sent */
	PACKET_TO,	 /* frames to `mac`, also those that this host sends */
	PACKET_PROBES,	 /* of moves, tagged or not */
};

/* A socket to send with. The descriptor or -errno with `err`. */
int packet_sender(struct error *err) WARN_UNUSED;

/* Hear what passes the link `index`. Never blocks; what nobody reads is dropped. */
int packet_listener(
	int index, enum packet_filter filter, const uint8_t *mac, struct error *err) WARN_UNUSED;

struct packet {
	uint8_t data[PACKET_MAX];
	size_t len;
	uint16_t vlan; /* that the kernel took off */
	bool outgoing; /* this host sends it through the link */
};
/* The next one: 1, or 0 when there is none now. */
int packet_read(int fd, struct packet *p);

/*
 * Send `frame` the way the guest behind `from` would: out of every other forwarding port of its
 * bridge, tagged as each port wants it. Returns through how many it went, or -errno.
 */
int packet_inject(int fd, const struct nethost *h, const struct nethost_link *from,
	const struct frame *frame, uint16_t vlan);

#endif
