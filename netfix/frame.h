/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * frame: the Ethernet frames that netfix makes and reads. Pure: bytes in, bytes out. What is read
 * came from guests and the network: every length is checked.
 */
#ifndef NETFIX_FRAME_H
#define NETFIX_FRAME_H

#include "netfix/address.h"

#define FRAME_MAX	112 /* the longest that we make, with a tag */
#define FRAME_TOKEN_LEN 16
#define FRAME_PROBE	0x88b5 /* IEEE 802 local experimental EtherType 1 */

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len;
};

/* Gratuitous ARP in its request or reply form: `mac` has `ip`. To all. */
void frame_garp(struct frame *f, const uint8_t *mac, const uint8_t *ip, bool reply);
/* Unsolicited neighbour advertisement with the override flag, to all nodes. */
void frame_na(struct frame *f, const uint8_t *mac, const uint8_t *ip, bool router);
/* RARP "who am I" to all: it names nothing but the MAC, which is all that a switch learns from. */
void frame_rarp(struct frame *f, const uint8_t *mac);
/* Who has `target`? ARP or neighbour solicitation by its family, asked as `mac` with `from`. */
void frame_ask(struct frame *f, const uint8_t *mac, const struct address *from,
	const struct address *target);
/* A probe of a move: a token that only its two hosts know, from a throw-away MAC, to all. */
void frame_probe(struct frame *f, const uint8_t *mac, const uint8_t token[static FRAME_TOKEN_LEN],
	unsigned vif);
/* Insert an 802.1Q tag; 0 leaves it untagged. */
void frame_tag(struct frame *f, uint16_t vlan);

/*
 * Does this frame, sent by `mac`, show an address of its sender? ARP and neighbour discovery do; so
 * does an IP packet with the hop limit of one that no router has passed yet. Fills family, ip,
 * router and, when the tag is in the frame, vlan.
 */
bool frame_learn(const uint8_t *p, size_t len, const uint8_t *mac, struct address *out);
/* Is it `who`'s answer to `mac`? */
bool frame_answers(const uint8_t *p, size_t len, const uint8_t *mac, const struct address *who);
/* Is it a probe with this token? Then `*vif` is the one that it names. */
bool frame_is_probe(
	const uint8_t *p, size_t len, const uint8_t token[static FRAME_TOKEN_LEN], unsigned *vif);

#endif
