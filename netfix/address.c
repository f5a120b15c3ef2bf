/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"

static const char *const origin_names[ADDRESS_ORIGINS] = {
	[ADDRESS_CONFIG] = "config",
	[ADDRESS_XENSTORE] = "xenstore",
	[ADDRESS_NEIGHBOUR] = "neighbour table",
	[ADDRESS_FDB] = "bridge table",
	[ADDRESS_SNIFF] = "its frames",
};

size_t address_bytes(enum address_family family)
{
	return family == ADDRESS_V4 ? 4 : family == ADDRESS_V6 ? 16 : 0;
}

static bool valid_v6(const uint8_t *ip)
{
	static const uint8_t zero[16];

	/* ff00::/8 is multicast; below ::1:0:0:0 are ::, ::1, and IPv4 in disguise. */
	return ip[0] != 0xff && memcmp(ip, zero, 10) != 0;
}

bool address_valid(enum address_family family, const uint8_t *ip)
{
	if (family == ADDRESS_V4)
		return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
	return family == ADDRESS_V6 && valid_v6(ip);
}

static int parse_vlan(const char *text, uint16_t *vlan)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < 1 || value > VLAN_MAX)
		return -EINVAL;
	*vlan = (uint16_t)value;
	return 0;
}

int address_parse(const char *text, struct address *out)
{
	char ip[ADDRESS_TEXT_LEN];
	const char *at = strchr(text, '@');
	size_t len = at ? (size_t)(at - text) : strlen(text);

	out->vlan = 0;
	out->router = false;
	memset(out->ip, 0, sizeof(out->ip));
	if (len >= sizeof(ip) || (at && parse_vlan(at + 1, &out->vlan)))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET, ip, out->ip) == 1)
		out->family = ADDRESS_V4;
	else if (inet_pton(AF_INET6, ip, out->ip) == 1)
		out->family = ADDRESS_V6;
	else
		return -EINVAL;
	return address_valid(out->family, out->ip) ? 0 : -EINVAL;
}

void address_text(const struct address *a, char out[static ADDRESS_TEXT_LEN])
{
	char ip[INET6_ADDRSTRLEN] = "unknown";

	if (a->family != ADDRESS_NONE)
		inet_ntop(a->family == ADDRESS_V4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	if (a->vlan)
		snprintf(out, ADDRESS_TEXT_LEN, "%s@%u", ip, a->vlan);
	else
		snprintf(out, ADDRESS_TEXT_LEN, "%s", ip);
}

const char *address_origin_name(enum address_origin origin)
{
	return origin > 0 && origin < ADDRESS_ORIGINS ? origin_names[origin] : "nowhere";
}

static bool same(const struct address *a, const struct address *b)
{
	return a->vif == b->vif && a->family == b->family && a->vlan == b->vlan &&
	       memcmp(a->ip, b->ip, address_bytes(a->family)) == 0;
}

bool address_add(struct addresses *set, const struct address *a)
{
	for (unsigned i = 0; i < set->nr; i++) {
		struct address *old = &set->list[i];

		if (!same(old, a))
			continue;
		if (a->origin < old->origin)
			old->origin = a->origin;
		old->router |= a->router;
		return true;
	}
	if (set->nr == ADDRESSES_MAX)
		return false;
	set->list[set->nr++] = *a;
	return true;
}

void address_add_list(
	struct addresses *set, unsigned vif, const char *list, enum address_origin origin)
{
	char text[1024], *save = NULL;

	snprintf(text, sizeof(text), "%s", list);
	for (char *word = strtok_r(text, " ,", &save); word; word = strtok_r(NULL, " ,", &save)) {
		char *p = word;
		struct address a = {.vif = (uint8_t)vif, .origin = origin};
		char *slash = strchr(p, '/');
		unsigned other;
		int end = 0;

		if (sscanf(p, "vif%1u=%n", &other, &end) == 1 && end > 0 &&
			other < ADDRESS_VIFS_MAX) {
			a.vif = (uint8_t)other;
			p += end;
		}
		if (slash)
			*slash = '\0';
		/* vif-route takes netmasks and names, too: those announce nothing. */
		if (address_parse(p, &a) == 0)
			address_add(set, &a);
	}
}

/* Does a better entry make this one superfluous? */
static bool outranked(const struct addresses *set, const struct address *a)
{
	for (unsigned i = 0; i < set->nr; i++) {
		const struct address *b = &set->list[i];

		if (b == a || b->vif != a->vif || b->family == ADDRESS_NONE)
			continue;
		if (b->origin == ADDRESS_CONFIG && a->origin != ADDRESS_CONFIG)
			return true;
		if (a->family == ADDRESS_NONE && a->vlan == b->vlan)
			return true;
	}
	return false;
}

void address_settle(struct addresses *set)
{
	struct addresses kept = {0};

	for (unsigned i = 0; i < set->nr; i++)
		if (!outranked(set, &set->list[i]))
			kept.list[kept.nr++] = set->list[i];
	*set = kept;
}

unsigned address_count(const struct addresses *set, unsigned vif)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < set->nr; i++)
		nr += set->list[i].vif == vif && set->list[i].family != ADDRESS_NONE;
	return nr;
}

int mac_parse(const char *text, uint8_t mac[static MAC_LEN])
{
	unsigned b[MAC_LEN];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		    &end) != MAC_LEN ||
		strlen(text) != MAC_TEXT_LEN - 1 || end != MAC_TEXT_LEN - 1)
		return -EINVAL;
	for (int i = 0; i < MAC_LEN; i++)
		mac[i] = (uint8_t)b[i];
	return mac[0] & 1 ? -EINVAL : 0;
}

void mac_text(const uint8_t mac[static MAC_LEN], char out[static MAC_TEXT_LEN])
{
	snprintf(out, MAC_TEXT_LEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}

size_t address_put(void *buf, size_t size, const struct addresses *set)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u16(&w, (uint16_t)set->nr);
	for (unsigned i = 0; i < set->nr; i++) {
		const struct address *a = &set->list[i];

		wire_put_u8(&w, a->vif);
		wire_put_u8(&w, (uint8_t)a->family);
		wire_put_u8(&w, (uint8_t)a->origin);
		wire_put_u8(&w, a->router);
		wire_put_u16(&w, a->vlan);
		wire_put_bytes(&w, a->ip, address_bytes(a->family));
	}
	return w.failed ? 0 : wire_writer_len(&w);
}

static bool get_one(struct wire_reader *r, struct address *a)
{
	unsigned family, origin, router;
	const uint8_t *ip;

	*a = (struct address){.vif = wire_get_u8(r)};
	family = wire_get_u8(r);
	origin = wire_get_u8(r);
	router = wire_get_u8(r);
	a->vlan = wire_get_u16(r);
	if (r->failed || a->vif >= ADDRESS_VIFS_MAX || origin == 0 || origin >= ADDRESS_ORIGINS ||
		router > 1 || a->vlan > VLAN_MAX)
		return false;
	a->origin = (enum address_origin)origin;
	a->router = router;
	if (family == ADDRESS_NONE)
		return true;
	if (family != ADDRESS_V4 && family != ADDRESS_V6)
		return false;
	a->family = (enum address_family)family;
	ip = wire_get_bytes(r, address_bytes(a->family));
	if (!ip || !address_valid(a->family, ip))
		return false;
	memcpy(a->ip, ip, address_bytes(a->family));
	return true;
}

bool address_get(const void *buf, size_t len, struct addresses *set)
{
	struct wire_reader r = wire_reader(buf, len);
	unsigned nr = wire_get_u16(&r);

	set->nr = 0;
	if (r.failed || nr > ADDRESSES_MAX)
		return false;
	for (unsigned i = 0; i < nr; i++)
		if (!get_one(&r, &set->list[i]))
			return false;
	if (!wire_reader_done(&r))
		return false;
	set->nr = nr;
	return true;
}
