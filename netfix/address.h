/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address: what a guest's vif is called on its network: IPv4 and IPv6 addresses, the VLANs that the
 * guest tags itself, and how each is known. Pure but for nothing: no function here does I/O.
 */
#ifndef NETFIX_ADDRESS_H
#define NETFIX_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

#define MAC_LEN		 6
#define ADDRESSES_MAX	 32
#define ADDRESS_TEXT_LEN 64
#define MAC_TEXT_LEN	 18
#define VLAN_MAX	 4094
#define ADDRESS_VIFS_MAX 8

enum address_family { ADDRESS_NONE = 0, ADDRESS_V4 = 4, ADDRESS_V6 = 6 };

/* Best first: where two disagree, the earlier one counts. */
enum address_origin {
	ADDRESS_CONFIG = 1, /* an administrator wrote it */
	ADDRESS_XENSTORE,   /* the guest's own agent told it */
	ADDRESS_NEIGHBOUR,  /* this host's neighbour table */
	ADDRESS_FDB,	    /* the bridge's table (MAC and VLAN only) */
	ADDRESS_SNIFF,	    /* the guest's own frames */
	ADDRESS_ORIGINS,
};

struct address {
	uint8_t vif;		    /* the domain's vif, from 0 */
	enum address_family family; /* ADDRESS_NONE: the MAC was seen, its address is not known */
	enum address_origin origin;
	bool router;   /* IPv6: it forwards, and says so */
	uint16_t vlan; /* that the guest tags itself; 0 = untagged */
	uint8_t ip[16];
};

/* A domain's interface, as netfix needs it. */
struct netfix_vif {
	unsigned nr;	 /* among the domain's, from 0 */
	char device[16]; /* the host's end: vif5.0; "" = not there (yet) */
	char bridge[16]; /* that it belongs into; "" = none is named */
	uint8_t mac[MAC_LEN];
};

struct addresses {
	struct address list[ADDRESSES_MAX];
	unsigned nr;
};

size_t address_bytes(enum address_family family);

/* A single host's address that may be announced: no 0/8, loopback, multicast, unspecified. */
bool address_valid(enum address_family family, const uint8_t *ip);

/* "192.0.2.5", "2001:db8::5", or either followed by "@VLAN". 0 or -EINVAL; vif and origin are kept.
 */
int address_parse(const char *text, struct address *out) WARN_UNUSED;
/* The same backwards; "unknown" for ADDRESS_NONE. */
void address_text(const struct address *a, char out[static ADDRESS_TEXT_LEN]);
const char *address_origin_name(enum address_origin origin);

/* Add it unless it is there; the better origin stays. False when the list is full. */
bool address_add(struct addresses *set, const struct address *a);

/*
 * Those in a list, between blanks or commas, of `vif` unless one begins with "vifN="; a netmask
 * after '/' is cut, what is no address skipped.
 */
void address_add_list(
	struct addresses *set, unsigned vif, const char *list, enum address_origin origin);

/*
 * What may be announced: an administrator's word stands alone for its vif, so that a guest that
 * sends in another's name is not helped by this host. A nameless entry goes when its vif and VLAN
 * have a named one.
 */
void address_settle(struct addresses *set);

/* Of one vif: how many with an address. */
unsigned address_count(const struct addresses *set, unsigned vif);

/* "00:16:3e:00:00:05" */
int mac_parse(const char *text, uint8_t mac[static MAC_LEN]) WARN_UNUSED;
void mac_text(const uint8_t mac[static MAC_LEN], char out[static MAC_TEXT_LEN]);

/*
 * As bytes between hosts (docs/wire-format.md, 3.7). put returns the length or 0 when it does not
 * fit; get returns false unless every byte is as it must be.
 */
size_t address_put(void *buf, size_t size, const struct addresses *set);
bool address_get(const void *buf, size_t len, struct addresses *set);

#endif
