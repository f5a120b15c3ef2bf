/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/frame.h"

#include <string.h>

#define ETH_HEADER  14u
#define ETH_MIN	    60u /* without the checksum */
#define TAG_LEN	    4u
#define TYPE_ARP    0x0806u
#define TYPE_RARP   0x8035u
#define TYPE_IPV4   0x0800u
#define TYPE_IPV6   0x86ddu
#define TYPE_VLAN   0x8100u
#define ARP_LEN	    28u
#define IPV6_HEADER 40u
#define ICMPV6	    58u
#define ND_LEN	    32u /* neighbour message with one link-layer option */
#define ND_RA	    134u
#define ND_NS	    135u
#define ND_NA	    136u
#define NA_ROUTER   0x80u
#define NA_OVERRIDE 0x20u

static const uint8_t everyone[MAC_LEN] = {255, 255, 255, 255, 255, 255};
static const uint8_t all_nodes_mac[MAC_LEN] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t probe_magic[8] = {'l', 'i', 'f', 'e', 'b', 'o', 'a', 't'};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint8_t *begin(struct frame *f, const uint8_t *to, const uint8_t *from, unsigned type)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->data, to, MAC_LEN);
	memcpy(f->data + MAC_LEN, from, MAC_LEN);
	put16(f->data + 12, type);
	f->len = ETH_MIN;
	return f->data + ETH_HEADER;
}

static void arp(uint8_t *p, unsigned op, const uint8_t *sha, const uint8_t *spa, const uint8_t *tha,
	const uint8_t *tpa)
{
	put16(p, 1);
	put16(p + 2, TYPE_IPV4);
	p[4] = MAC_LEN;
	p[5] = 4;
	put16(p + 6, op);
	memcpy(p + 8, sha, MAC_LEN);
	if (spa)
		memcpy(p + 14, spa, 4);
	if (tha)
		memcpy(p + 18, tha, MAC_LEN);
	if (tpa)
		memcpy(p + 24, tpa, 4);
}

void frame_garp(struct frame *f, const uint8_t *mac, const uint8_t *ip, bool reply)
{
	arp(begin(f, everyone, mac, TYPE_ARP), reply ? 2 : 1, mac, ip, reply ? mac : NULL, ip);
}

void frame_rarp(struct frame *f, const uint8_t *mac)
{
	arp(begin(f, everyone, mac, TYPE_RARP), 3, mac, NULL, mac, NULL);
}

static unsigned checksum_v6(const uint8_t *ip, size_t len)
{
	uint32_t sum = (uint32_t)len + ICMPV6;

	for (size_t i = 8; i < IPV6_HEADER + len; i += 2)
		sum += get16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* A neighbour message: IPv6 header, type, flags, target, one option with `mac`. */
static void nd(struct frame *f, unsigned type, unsigned flags, const uint8_t *mac,
	const uint8_t *from, const uint8_t *to, const uint8_t *target)
{
	uint8_t *ip = f->data + ETH_HEADER, *icmp = ip + IPV6_HEADER;

	ip[0] = 0x60;
	put16(ip + 4, ND_LEN);
	ip[6] = ICMPV6;
	ip[7] = 255;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
	icmp[0] = (uint8_t)type;
	icmp[4] = (uint8_t)flags;
	memcpy(icmp + 8, target, 16);
	icmp[24] = type == ND_NS ? 1 : 2;
	icmp[25] = 1;
	memcpy(icmp + 26, mac, MAC_LEN);
	put16(icmp + 2, checksum_v6(ip, ND_LEN));
	f->len = ETH_HEADER + IPV6_HEADER + ND_LEN;
}

void frame_na(struct frame *f, const uint8_t *mac, const uint8_t *ip, bool router)
{
	begin(f, all_nodes_mac, mac, TYPE_IPV6);
	nd(f, ND_NA, NA_OVERRIDE | (router ? NA_ROUTER : 0), mac, ip, all_nodes, ip);
}

static void ask_v6(struct frame *f, const uint8_t *mac, const uint8_t *from, const uint8_t *target)
{
	uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff};
	uint8_t group_mac[MAC_LEN] = {0x33, 0x33, 0xff};

	memcpy(group + 13, target + 13, 3);
	memcpy(group_mac + 3, target + 13, 3);
	begin(f, group_mac, mac, TYPE_IPV6);
	nd(f, ND_NS, 0, mac, from, group, target);
}

void frame_ask(struct frame *f, const uint8_t *mac, const struct address *from,
	const struct address *target)
{
	if (target->family == ADDRESS_V6)
		ask_v6(f, mac, from->ip, target->ip);
	else
		arp(begin(f, everyone, mac, TYPE_ARP), 1, mac, from->ip, NULL, target->ip);
}

void frame_probe(struct frame *f, const uint8_t *mac, const uint8_t token[static FRAME_TOKEN_LEN],
	unsigned vif)
{
	uint8_t *p = begin(f, everyone, mac, FRAME_PROBE);

	memcpy(p, probe_magic, sizeof(probe_magic));
	memcpy(p + sizeof(probe_magic), token, FRAME_TOKEN_LEN);
	p[sizeof(probe_magic) + FRAME_TOKEN_LEN] = (uint8_t)vif;
}

void frame_tag(struct frame *f, uint16_t vlan)
{
	if (!vlan || f->len + TAG_LEN > FRAME_MAX)
		return;
	memmove(f->data + 12 + TAG_LEN, f->data + 12, f->len - 12);
	put16(f->data + 12, TYPE_VLAN);
	put16(f->data + 14, vlan);
	f->len += TAG_LEN;
}

/* What is behind the Ethernet header and a tag, if there is one; NULL when it is cut off. */
static const uint8_t *payload(
	const uint8_t *p, size_t len, unsigned *type, size_t *left, uint16_t *vlan)
{
	size_t skip = ETH_HEADER;

	if (len < ETH_HEADER)
		return NULL;
	*type = get16(p + 12);
	if (*type == TYPE_VLAN) {
		skip += TAG_LEN;
		if (len < skip)
			return NULL;
		if (vlan)
			*vlan = get16(p + 14) & 0xfff;
		*type = get16(p + 16);
	}
	*left = len - skip;
	return p + skip;
}

/* The hop limits that systems begin with: a router would have counted down. */
static bool fresh(uint8_t hops)
{
	return hops == 64 || hops == 128 || hops == 255;
}

static bool learn_ip(struct address *out, enum address_family family, const uint8_t *ip)
{
	if (!address_valid(family, ip))
		return false;
	out->family = family;
	memcpy(out->ip, ip, address_bytes(family));
	return true;
}

static bool learn_v6(const uint8_t *p, size_t left, struct address *out)
{
	const uint8_t *icmp = p + IPV6_HEADER;

	if (left < IPV6_HEADER || p[0] >> 4 != 6)
		return false;
	out->router = false;
	if (p[6] == ICMPV6 && left >= IPV6_HEADER + 24 && p[7] == 255) {
		out->router = icmp[0] == ND_RA || (icmp[0] == ND_NA && icmp[4] & NA_ROUTER);
		if (icmp[0] == ND_NA)
			return learn_ip(out, ADDRESS_V6, icmp + 8);
	}
	return fresh(p[7]) && learn_ip(out, ADDRESS_V6, p + 8);
}

bool frame_learn(const uint8_t *p, size_t len, const uint8_t *mac, struct address *out)
{
	const uint8_t *body;
	unsigned type;
	size_t left;

	body = payload(p, len, &type, &left, &out->vlan);
	if (!body || memcmp(p + MAC_LEN, mac, MAC_LEN) != 0)
		return false;
	if (type == TYPE_ARP)
		return left >= ARP_LEN && get16(body + 2) == TYPE_IPV4 && body[5] == 4 &&
		       memcmp(body + 8, mac, MAC_LEN) == 0 && learn_ip(out, ADDRESS_V4, body + 14);
	if (type == TYPE_IPV4)
		return left >= 20 && body[0] >> 4 == 4 && fresh(body[8]) &&
		       learn_ip(out, ADDRESS_V4, body + 12);
	return type == TYPE_IPV6 && learn_v6(body, left, out);
}

bool frame_answers(const uint8_t *p, size_t len, const uint8_t *mac, const struct address *who)
{
	const uint8_t *body;
	unsigned type;
	size_t left;

	body = payload(p, len, &type, &left, NULL);
	if (!body || memcmp(p, mac, MAC_LEN) != 0)
		return false;
	if (who->family == ADDRESS_V4)
		return type == TYPE_ARP && left >= ARP_LEN && get16(body + 6) == 2 &&
		       memcmp(body + 14, who->ip, 4) == 0;
	return type == TYPE_IPV6 && left >= IPV6_HEADER + 24 && body[6] == ICMPV6 &&
	       body[IPV6_HEADER] == ND_NA && memcmp(body + IPV6_HEADER + 8, who->ip, 16) == 0;
}

bool frame_is_probe(
	const uint8_t *p, size_t len, const uint8_t token[static FRAME_TOKEN_LEN], unsigned *vif)
{
	const uint8_t *body;
	unsigned type;
	size_t left;

	body = payload(p, len, &type, &left, NULL);
	if (!body || type != FRAME_PROBE || left < sizeof(probe_magic) + FRAME_TOKEN_LEN + 1 ||
		memcmp(body, probe_magic, sizeof(probe_magic)) != 0 ||
		memcmp(body + sizeof(probe_magic), token, FRAME_TOKEN_LEN) != 0)
		return false;
	*vif = body[sizeof(probe_magic) + FRAME_TOKEN_LEN];
	return *vif < ADDRESS_VIFS_MAX;
}
