/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nethost: what the kernel of this host says about its links, bridges, neighbours and routes, by
 * netlink. A snapshot is read whole and then looked at; nothing here changes anything but
 * nethost_fdb_move().
 */
#ifndef NETFIX_NETHOST_H
#define NETFIX_NETHOST_H

#include "base/error.h"
#include "netfix/address.h"

#define LINK_NAME_LEN 16

enum port_state {
	PORT_NONE = -1, /* in no bridge */
	PORT_DISABLED = 0,
	PORT_LISTENING,
	PORT_LEARNING,
	PORT_FORWARDING,
	PORT_BLOCKING,
};

/* VLANs of a bridge port; bit n of word n/64. */
struct port_vlans {
	uint16_t pvid; /* of untagged frames that come in; 0 = they are dropped */
	uint64_t member[64], untagged[64];
};

struct nethost_link {
	int index, master; /* master 0 = none */
	int lower;	   /* of a VLAN device: what it is on; 0 = none */
	uint16_t vlan;	   /* of a VLAN device */
	char name[LINK_NAME_LEN];
	uint8_t mac[MAC_LEN];
	uint32_t mtu;
	bool up, carrier, promisc;
	bool bridge;	/* a Linux bridge */
	bool filtering; /* a bridge that filters VLANs */
	bool stp;	/* a bridge that speaks STP */
	uint32_t ageing_ms;
	enum port_state state;
	struct port_vlans vlans;
};

struct nethost {
	struct nethost_link *link;
	size_t nr;
};

/* Read all links. 0 or -errno with `err`. nethost_dispose is fine on an empty one. */
int nethost_read(struct nethost *h, struct error *err) WARN_UNUSED;
void nethost_dispose(struct nethost *h);
const struct nethost_link *nethost_by_name(const struct nethost *h, const char *name);
const struct nethost_link *nethost_by_index(const struct nethost *h, int index);

/*
 * May a frame of the guest behind `from` leave through `out`, both ports of `bridge`? -1: no; 0:
 * untagged; else the tag that it then has. `vlan` is the guest's own tag. Pure.
 */
int nethost_way_out(const struct nethost_link *bridge, const struct nethost_link *from,
	const struct nethost_link *out, uint16_t vlan);

/* Why nothing gets through this port yet: "" when it forwards. Pure. */
const char *nethost_port_reason(const struct nethost_link *port);

struct fdb_entry {
	int port, bridge; /* interface indexes */
	uint16_t vlan;
	bool own;    /* the port's own address, not a learned one */
	bool statik; /* set by hand */
	uint8_t mac[MAC_LEN];
};
#define FDB_ENTRIES_MAX 64

/*
 * Entries of the bridges' tables: of `mac` (NULL: any) and of the port `index` (0: any), at most
 * `max` of them. The number or -errno.
 */
int nethost_fdb(const uint8_t *mac, int index, struct fdb_entry *out, size_t max,
	struct error *err) WARN_UNUSED;

/* Say that `mac` is behind `port`, for as long as a learned entry lives. -EPERM without privilege.
 */
int nethost_fdb_move(const uint8_t *mac, int port, uint16_t vlan);

/*
 * Addresses of this host's neighbour table on the link `index`: those of `mac`, or (NULL) of all
 * but `except`. Adds them to `set` as vif `vif`. 0 or -errno.
 */
int nethost_neighbours(int index, const uint8_t *mac, const uint8_t *except, unsigned vif,
	struct addresses *set) WARN_UNUSED;

/* The gateways of default routes through the link `index`, added to `set`. 0 or -errno. */
int nethost_gateways(int index, struct addresses *set);

/* A descriptor that becomes readable when a link changes; nethost_drain() empties it. -errno. */
int nethost_watch(void) WARN_UNUSED;
void nethost_drain(int fd);

#endif
