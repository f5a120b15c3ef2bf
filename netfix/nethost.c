/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/nethost.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int parse_fn(struct nlmsghdr *h, void *arg);

struct parsing {
	parse_fn *parse;
	void *arg;
	int rc;
};

static int on_message(struct nl_msg *msg, void *arg)
{
	struct parsing *p = arg;

	if (p->rc == 0)
		p->rc = p->parse(nlmsg_hdr(msg), p->arg);
	return NL_OK;
}

/* libnl has error numbers of its own. */
static int errno_of(int nl)
{
	nl = nl < 0 ? -nl : nl;
	switch (nl) {
	case 0:
		return 0;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return -ENODEV;
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	case NLE_EXIST:
		return -EEXIST;
	default:
		return -EIO;
	}
}

static struct nl_sock *open_route(void)
{
	struct nl_sock *sk = nl_socket_alloc();

	if (sk && nl_connect(sk, NETLINK_ROUTE) < 0) {
		nl_socket_free(sk);
		sk = NULL;
	}
	return sk;
}

/* Ask for all of a kind and parse each; `msg` is freed. */
static int dump(struct nl_msg *msg, parse_fn *parse, void *arg)
{
	struct parsing p = {.parse = parse, .arg = arg};
	struct nl_sock *sk = open_route();
	int rc;

	if (!sk || !msg) {
		nlmsg_free(msg);
		nl_socket_free(sk);
		return -ENOMEM;
	}
	nl_socket_disable_seq_check(sk);
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_message, &p);
	rc = nl_send_auto(sk, msg);
	if (rc >= 0)
		rc = nl_recvmsgs_default(sk);
	nlmsg_free(msg);
	nl_socket_free(sk);
	return rc < 0 ? errno_of(rc) : p.rc;
}

static struct nl_msg *dump_request(int type, const void *header, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_DUMP);

	if (msg && nlmsg_append(msg, (void *)(uintptr_t)header, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

static uint32_t get_u32(struct nlattr *a, uint32_t none)
{
	return a ? nla_get_u32(a) : none;
}

static void parse_bridge(struct nlattr *data, struct nethost_link *l)
{
	struct nlattr *tb[IFLA_BR_MAX + 1];

	l->bridge = true;
	if (!data || nla_parse_nested(tb, IFLA_BR_MAX, data, NULL) < 0)
		return;
	l->ageing_ms = get_u32(tb[IFLA_BR_AGEING_TIME], 0) * 10;
	l->stp = get_u32(tb[IFLA_BR_STP_STATE], 0) != 0;
	l->filtering = tb[IFLA_BR_VLAN_FILTERING] && nla_get_u8(tb[IFLA_BR_VLAN_FILTERING]);
}

static void parse_kind(struct nlattr *info, struct nethost_link *l)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1], *port[IFLA_BRPORT_MAX + 1], *vlan[IFLA_VLAN_MAX + 1];
	const char *kind, *slave;

	if (!info || nla_parse_nested(tb, IFLA_INFO_MAX, info, NULL) < 0)
		return;
	kind = tb[IFLA_INFO_KIND] ? nla_get_string(tb[IFLA_INFO_KIND]) : "";
	slave = tb[IFLA_INFO_SLAVE_KIND] ? nla_get_string(tb[IFLA_INFO_SLAVE_KIND]) : "";
	if (strcmp(kind, "bridge") == 0)
		parse_bridge(tb[IFLA_INFO_DATA], l);
	if (strcmp(kind, "vlan") == 0 && tb[IFLA_INFO_DATA] &&
		nla_parse_nested(vlan, IFLA_VLAN_MAX, tb[IFLA_INFO_DATA], NULL) == 0 &&
		vlan[IFLA_VLAN_ID])
		l->vlan = nla_get_u16(vlan[IFLA_VLAN_ID]);
	if (strcmp(slave, "bridge") == 0 && tb[IFLA_INFO_SLAVE_DATA] &&
		nla_parse_nested(port, IFLA_BRPORT_MAX, tb[IFLA_INFO_SLAVE_DATA], NULL) == 0 &&
		port[IFLA_BRPORT_STATE])
		l->state = (enum port_state)nla_get_u8(port[IFLA_BRPORT_STATE]);
}

static int add_link(struct nlmsghdr *h, void *arg)
{
	struct nethost *host = arg;
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1];
	struct nethost_link *l;

	if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0 ||
		!tb[IFLA_IFNAME])
		return 0;
	l = reallocarray(host->link, host->nr + 1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	host->link = l;
	l += host->nr++;
	*l = (struct nethost_link){.index = ifi->ifi_index, .state = PORT_NONE};
	nla_strlcpy(l->name, tb[IFLA_IFNAME], sizeof(l->name));
	l->master = (int)get_u32(tb[IFLA_MASTER], 0);
	l->lower = (int)get_u32(tb[IFLA_LINK], 0);
	l->mtu = get_u32(tb[IFLA_MTU], 0);
	l->up = ifi->ifi_flags & IFF_UP;
	l->promisc = get_u32(tb[IFLA_PROMISCUITY], 0) != 0 && ifi->ifi_flags & IFF_PROMISC;
	l->carrier = tb[IFLA_CARRIER] ? nla_get_u8(tb[IFLA_CARRIER]) : false;
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == MAC_LEN)
		memcpy(l->mac, nla_data(tb[IFLA_ADDRESS]), MAC_LEN);
	parse_kind(tb[IFLA_LINKINFO], l);
	return 0;
}

static void set_vlan(struct port_vlans *v, const struct bridge_vlan_info *info)
{
	unsigned id = info->vid;

	if (id > VLAN_MAX)
		return;
	v->member[id / 64] |= UINT64_C(1) << id % 64;
	if (info->flags & BRIDGE_VLAN_INFO_UNTAGGED)
		v->untagged[id / 64] |= UINT64_C(1) << id % 64;
	if (info->flags & BRIDGE_VLAN_INFO_PVID)
		v->pvid = info->vid;
}

static int add_vlans(struct nlmsghdr *h, void *arg)
{
	struct nethost *host = arg;
	struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1], *a;
	struct nethost_link *l;
	int left;

	if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0)
		return 0;
	l = (struct nethost_link *)(uintptr_t)nethost_by_index(host, ifi->ifi_index);
	if (!l || !tb[IFLA_AF_SPEC])
		return 0;
	nla_for_each_nested(a, tb[IFLA_AF_SPEC], left)
	{
		if (nla_type(a) == IFLA_BRIDGE_VLAN_INFO &&
			nla_len(a) >= (int)sizeof(struct bridge_vlan_info))
			set_vlan(&l->vlans, nla_data(a));
	}
	return 0;
}

int nethost_read(struct nethost *h, struct error *err)
{
	struct ifinfomsg all = {.ifi_family = AF_UNSPEC}, bridges = {.ifi_family = AF_BRIDGE};
	struct nl_msg *msg;
	int rc;

	*h = (struct nethost){0};
	rc = dump(dump_request(RTM_GETLINK, &all, sizeof(all)), add_link, h);
	if (rc == 0) {
		msg = dump_request(RTM_GETLINK, &bridges, sizeof(bridges));
		if (msg && nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_BRVLAN) == 0)
			(void)dump(msg, add_vlans, h); /* a kernel without VLANs says nothing */
		else
			nlmsg_free(msg);
		return 0;
	}
	nethost_dispose(h);
	return error_sys(err, rc, NULL, "cannot ask the kernel for this host's links");
}

void nethost_dispose(struct nethost *h)
{
	free(h->link);
	*h = (struct nethost){0};
}

const struct nethost_link *nethost_by_name(const struct nethost *h, const char *name)
{
	for (size_t i = 0; i < h->nr; i++)
		if (strcmp(h->link[i].name, name) == 0)
			return &h->link[i];
	return NULL;
}

const struct nethost_link *nethost_by_index(const struct nethost *h, int index)
{
	for (size_t i = 0; i < h->nr; i++)
		if (h->link[i].index == index)
			return &h->link[i];
	return NULL;
}

static bool has(const uint64_t *set, unsigned vlan)
{
	return set[vlan / 64] >> vlan % 64 & 1;
}

int nethost_way_out(const struct nethost_link *bridge, const struct nethost_link *from,
	const struct nethost_link *out, uint16_t vlan)
{
	unsigned id;

	if (out->index == from->index || out->master != bridge->index || !out->up ||
		!out->carrier || out->state != PORT_FORWARDING)
		return -1;
	if (!bridge->filtering)
		return vlan;
	/* A vif that is not there yet will be a port with the VLANs of the bridge itself. */
	id = vlan ? vlan : from->vlans.pvid;
	if (id == 0 || !has(from->vlans.member, id) || !has(out->vlans.member, id))
		return -1;
	return has(out->vlans.untagged, id) ? 0 : (int)id;
}

const char *nethost_port_reason(const struct nethost_link *port)
{
	static const char *const states[] = {
		[PORT_DISABLED] = "its bridge port is disabled",
		[PORT_LISTENING] = "its bridge port still listens (STP)",
		[PORT_LEARNING] = "its bridge port still learns (STP)",
		[PORT_FORWARDING] = "",
		[PORT_BLOCKING] = "its bridge port is blocked by STP",
	};

	if (!port->up)
		return "it is down";
	if (!port->carrier)
		return "it has no carrier: the guest's end is not connected";
	if (port->state < PORT_DISABLED || port->state > PORT_BLOCKING)
		return "it is in no Linux bridge";
	return states[port->state];
}

/* ---- neighbours: the bridges' tables and the host's own ---- */

struct neighbour_search {
	const uint8_t *mac, *except;
	int index;
	struct fdb_entry *out;
	size_t max, nr;
	struct addresses *set;
	unsigned vif;
};

static int add_fdb(struct nlmsghdr *h, void *arg)
{
	struct neighbour_search *s = arg;
	struct ndmsg *nd = nlmsg_data(h);
	struct nlattr *tb[NDA_MAX + 1];
	struct fdb_entry *e = &s->out[s->nr];

	if (h->nlmsg_type != RTM_NEWNEIGH || s->nr == s->max ||
		nlmsg_parse(h, sizeof(*nd), tb, NDA_MAX, NULL) < 0 || !tb[NDA_LLADDR] ||
		nla_len(tb[NDA_LLADDR]) != MAC_LEN || !tb[NDA_MASTER])
		return 0;
	if ((s->mac && memcmp(nla_data(tb[NDA_LLADDR]), s->mac, MAC_LEN) != 0) ||
		(s->index && nd->ndm_ifindex != s->index))
		return 0;
	*e = (struct fdb_entry){
		.port = nd->ndm_ifindex,
		.bridge = (int)nla_get_u32(tb[NDA_MASTER]),
		.vlan = tb[NDA_VLAN] ? nla_get_u16(tb[NDA_VLAN]) : 0,
		.own = nd->ndm_state & NUD_PERMANENT,
		.statik = nd->ndm_state & NUD_NOARP,
	};
	memcpy(e->mac, nla_data(tb[NDA_LLADDR]), MAC_LEN);
	s->nr++;
	return 0;
}

int nethost_fdb(const uint8_t *mac, int index, struct fdb_entry *out, size_t max, struct error *err)
{
	struct neighbour_search s = {.mac = mac, .index = index, .out = out, .max = max};
	struct ndmsg nd = {.ndm_family = AF_BRIDGE};
	int rc = dump(dump_request(RTM_GETNEIGH, &nd, sizeof(nd)), add_fdb, &s);

	return rc ? error_sys(err, rc, NULL, "cannot read the bridges' tables") : (int)s.nr;
}

int nethost_fdb_move(const uint8_t *mac, int port, uint16_t vlan)
{
	struct ndmsg nd = {.ndm_family = AF_BRIDGE,
		.ndm_ifindex = port,
		.ndm_state = NUD_REACHABLE,
		.ndm_flags = NTF_MASTER};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct nl_sock *sk = open_route();
	int rc = -NLE_NOMEM;

	if (sk && msg && nlmsg_append(msg, &nd, sizeof(nd), NLMSG_ALIGNTO) == 0 &&
		nla_put(msg, NDA_LLADDR, MAC_LEN, mac) == 0 &&
		(!vlan || nla_put_u16(msg, NDA_VLAN, vlan) == 0)) {
		rc = nl_send_sync(sk, msg); /* frees it */
		msg = NULL;
	}
	nlmsg_free(msg);
	nl_socket_free(sk);
	return errno_of(rc);
}

static int add_neighbour(struct nlmsghdr *h, void *arg)
{
	struct neighbour_search *s = arg;
	struct ndmsg *nd = nlmsg_data(h);
	struct nlattr *tb[NDA_MAX + 1];
	struct address a = {.vif = (uint8_t)s->vif, .origin = ADDRESS_NEIGHBOUR};
	const uint8_t *mac;

	if (h->nlmsg_type != RTM_NEWNEIGH || nd->ndm_ifindex != s->index ||
		nd->ndm_state & (NUD_FAILED | NUD_INCOMPLETE | NUD_NOARP) ||
		nlmsg_parse(h, sizeof(*nd), tb, NDA_MAX, NULL) < 0 || !tb[NDA_DST] ||
		!tb[NDA_LLADDR] || nla_len(tb[NDA_LLADDR]) != MAC_LEN)
		return 0;
	a.family = nd->ndm_family == AF_INET	? ADDRESS_V4
		   : nd->ndm_family == AF_INET6 ? ADDRESS_V6
						: ADDRESS_NONE;
	mac = nla_data(tb[NDA_LLADDR]);
	if (a.family == ADDRESS_NONE || nla_len(tb[NDA_DST]) != (int)address_bytes(a.family) ||
		(s->mac && memcmp(mac, s->mac, MAC_LEN) != 0) ||
		(s->except && memcmp(mac, s->except, MAC_LEN) == 0))
		return 0;
	memcpy(a.ip, nla_data(tb[NDA_DST]), address_bytes(a.family));
	a.router = nd->ndm_flags & NTF_ROUTER;
	if (address_valid(a.family, a.ip))
		address_add(s->set, &a);
	return 0;
}

int nethost_neighbours(
	int index, const uint8_t *mac, const uint8_t *except, unsigned vif, struct addresses *set)
{
	struct neighbour_search s = {
		.mac = mac, .except = except, .index = index, .set = set, .vif = vif};
	struct ndmsg nd = {.ndm_family = AF_UNSPEC};

	return dump(dump_request(RTM_GETNEIGH, &nd, sizeof(nd)), add_neighbour, &s);
}

static int add_gateway(struct nlmsghdr *h, void *arg)
{
	struct neighbour_search *s = arg;
	struct rtmsg *rt = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];
	struct address a = {.origin = ADDRESS_NEIGHBOUR};

	if (h->nlmsg_type != RTM_NEWROUTE || rt->rtm_dst_len != 0 ||
		nlmsg_parse(h, sizeof(*rt), tb, RTA_MAX, NULL) < 0 || !tb[RTA_GATEWAY] ||
		!tb[RTA_OIF] || (int)nla_get_u32(tb[RTA_OIF]) != s->index)
		return 0;
	a.family = rt->rtm_family == AF_INET ? ADDRESS_V4 : ADDRESS_V6;
	if (nla_len(tb[RTA_GATEWAY]) != (int)address_bytes(a.family))
		return 0;
	memcpy(a.ip, nla_data(tb[RTA_GATEWAY]), address_bytes(a.family));
	if (address_valid(a.family, a.ip))
		address_add(s->set, &a);
	return 0;
}

int nethost_gateways(int index, struct addresses *set)
{
	struct neighbour_search s = {.index = index, .set = set};
	struct rtmsg rt = {.rtm_family = AF_UNSPEC};

	return dump(dump_request(RTM_GETROUTE, &rt, sizeof(rt)), add_gateway, &s);
}

int nethost_watch(void)
{
	struct sockaddr_nl me = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&me, sizeof(me)) < 0) {
		int rc = -errno;

		fd_close(&fd);
		return rc;
	}
	return fd;
}

void nethost_drain(int fd)
{
	uint8_t buf[8192];
	ssize_t n;

	/* Too many for its buffer is as good as one: what counts is read anew. */
	do {
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == ENOBUFS));
}
