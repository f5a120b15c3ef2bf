/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/check.h"

#include <arpa/inet.h> /* before the kernel's idea of the same structures */

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define PORTS_MAX 32

static int on_chain(struct nl_msg *msg, void *arg)
{
	struct findings *found = arg;
	struct nlattr *tb[NFTA_CHAIN_MAX + 1];
	const char *table, *chain;
	bool drops;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(struct nfgenmsg), tb, NFTA_CHAIN_MAX, NULL) < 0 ||
		!tb[NFTA_CHAIN_HOOK] || !tb[NFTA_CHAIN_TABLE] || !tb[NFTA_CHAIN_NAME])
		return NL_OK;
	table = nla_get_string(tb[NFTA_CHAIN_TABLE]);
	chain = nla_get_string(tb[NFTA_CHAIN_NAME]);
	drops = tb[NFTA_CHAIN_POLICY] && ntohl(nla_get_u32(tb[NFTA_CHAIN_POLICY])) == NF_DROP;
	findings_add(found, drops ? FINDING_RISK : FINDING_WARNING, "network-filter", NULL,
		"nftables filters bridged frames in chain %.64s of table bridge %.64s%s", chain,
		table, drops ? ", which drops what no rule accepts" : "");
	findings_fix(
		found, "See that it lets the guest through: nft list table bridge %.64s", table);
	return NL_OK;
}

void check_filters(struct findings *found)
{
	struct nfgenmsg family = {.nfgen_family = NFPROTO_BRIDGE, .version = NFNETLINK_V0};
	struct nl_msg *msg = nlmsg_alloc_simple(
		NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_REQUEST | NLM_F_DUMP);
	struct nl_sock *sk = nl_socket_alloc();

	if (sk && msg && nl_connect(sk, NETLINK_NETFILTER) == 0 &&
		nlmsg_append(msg, &family, sizeof(family), NLMSG_ALIGNTO) == 0) {
		nl_socket_disable_seq_check(sk);
		nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_chain, found);
		/* A kernel without nftables, or no privilege to look: nothing to say. */
		if (nl_send_auto(sk, msg) >= 0)
			(void)nl_recvmsgs_default(sk);
	}
	nlmsg_free(msg);
	nl_socket_free(sk);
}

static bool is_set(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = '0';

	if (fd >= 0 && read(fd, &c, 1) != 1)
		c = '0';
	fd_close(&fd);
	return c != '0';
}

void check_host(struct findings *found)
{
	static const struct {
		const char *name, *what;
	} settings[] = {
		{"net/ipv4/ip_forward",
			"this host routes IPv4 between its links: a guest may be reached, or reach others, past its bridge"},
		{"net/ipv6/conf/all/forwarding",
			"this host routes IPv6 between its links: a guest may be reached, or reach others, past its bridge"},
		{"net/bridge/bridge-nf-call-iptables",
			"this host's iptables see the IPv4 packets that its bridges carry"},
		{"net/bridge/bridge-nf-call-ip6tables",
			"this host's ip6tables see the IPv6 packets that its bridges carry"},
		{"net/bridge/bridge-nf-call-arptables",
			"this host's arptables see the ARP packets that its bridges carry"},
	};
	char path[96], sysctl[64];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), "/proc/sys/%s", settings[i].name);
		if (!is_set(path))
			continue;
		findings_add(found, FINDING_WARNING, "network-host", NULL, "%s", settings[i].what);
		snprintf(sysctl, sizeof(sysctl), "%s", settings[i].name);
		for (char *p = sysctl; *p; p++)
			if (*p == '/')
				*p = '.';
		findings_fix(found, "If it is not meant: sysctl %s=0", sysctl);
	}
}

static void check_table(const struct nethost *h, const struct nethost_link *port,
	const struct netfix_vif *vif, struct findings *found)
{
	struct fdb_entry e[FDB_ENTRIES_MAX];
	int nr = nethost_fdb(vif->mac, 0, e, FDB_ENTRIES_MAX, NULL);
	char mac[MAC_TEXT_LEN];

	mac_text(vif->mac, mac);
	for (int i = 0; i < nr; i++) {
		const struct nethost_link *at = nethost_by_index(h, e[i].port);

		if (!at || e[i].bridge != port->master || e[i].port == port->index)
			continue;
		findings_add(found, FINDING_RISK, "network-duplicate", NULL,
			"bridge %s has %s behind %s, not behind the guest's %s: another station sends with it, or the table is stale",
			vif->bridge, mac, at->name, port->name);
		findings_fix(found,
			"netfix check shows whether one sends; netfix verify --fix corrects the table");
	}
}

/* The ports of a bridge but `own`, beside what the guest is to have there. */
static void check_ports(const struct nethost *h, const struct nethost_link *bridge, int own,
	uint32_t mtu, struct findings *found)
{
	unsigned ways = 0;

	for (size_t i = 0; i < h->nr; i++) {
		const struct nethost_link *l = &h->link[i];

		if (l->master != bridge->index || l->index == own)
			continue;
		ways += l->carrier && l->state == PORT_FORWARDING;
		if (l->mtu < mtu)
			findings_add(found, FINDING_WARNING, "network-mtu",
				"Give all ports of a bridge the same MTU",
				"%s has an MTU of %u, bridge %s gives the guest one of %u: its large packets are lost there",
				l->name, l->mtu, bridge->name, mtu);
	}
	if (!ways)
		findings_add(found, FINDING_WARNING, "network-port",
			"Plug a link of this host into it: ip link set LINK master BRIDGE",
			"bridge %s has no other port that forwards: the guest is alone on it",
			bridge->name);
	if (bridge->promisc)
		findings_add(found, FINDING_WARNING, "network-promisc",
			"If nobody means to: ip link set BRIDGE promisc off",
			"bridge %s is promiscuous: this host sees, and may route, all that it carries",
			bridge->name);
}

void check_bridge(const struct nethost *h, const char *name, struct findings *found)
{
	const struct nethost_link *bridge = nethost_by_name(h, name);

	if (bridge && bridge->bridge)
		check_ports(h, bridge, 0, bridge->mtu, found);
}

void check_vif(const struct nethost *h, const struct netfix_vif *vif, struct findings *found)
{
	const struct nethost_link *port = nethost_by_name(h, vif->device);
	const struct nethost_link *bridge = port ? nethost_by_index(h, port->master) : NULL;
	const char *reason = port ? nethost_port_reason(port) : "it does not exist";

	if (reason[0])
		findings_add(found, FINDING_WARNING, "network-port",
			"Look at it: bridge link; ip link", "%s carries nothing: %s",
			vif->device[0] ? vif->device : "the vif", reason);
	if (!bridge)
		return;
	check_ports(h, bridge, port->index, port->mtu, found);
	check_table(h, port, vif, found);
}

void check_spoof(const struct netfix_vif *vif, const char *allowed, const struct addresses *known,
	struct findings *found)
{
	struct addresses set = {0};
	char text[ADDRESS_TEXT_LEN];

	address_add_list(&set, vif->nr, allowed, ADDRESS_CONFIG);
	for (unsigned i = 0; set.nr && i < known->nr; i++) {
		const struct address *a = &known->list[i];
		bool may = a->vif != vif->nr || a->family != ADDRESS_V4;

		for (unsigned k = 0; k < set.nr && !may; k++)
			may = set.list[k].family == a->family &&
			      memcmp(set.list[k].ip, a->ip, address_bytes(a->family)) == 0;
		if (may)
			continue;
		address_text(a, text);
		findings_add(found, FINDING_WARNING, "network-spoof",
			"Add it to ip= of the vif in the domain's configuration, or take it from the guest",
			"vif %u sends as %s, which its ip= does not list: a host that filters by that, as vif-bridge does with bridge-nf, drops it",
			vif->nr, text);
	}
}

/* Ask the network, not the guest: out of the other ports, and as nobody. */
static void ask_for(int fd, const struct nethost *h, const struct nethost_link *port,
	const struct netfix_vif *vif, const struct addresses *known)
{
	static const uint8_t nobody[MAC_LEN] = {0x02, 'l', 'i', 'f', 'e', 0};

	for (unsigned i = 0; i < known->nr; i++) {
		const struct address *a = &known->list[i];
		const struct address from = {.family = ADDRESS_V4};
		struct frame f;

		if (a->vif != vif->nr || a->family != ADDRESS_V4)
			continue;
		frame_ask(&f, nobody, &from, a);
		packet_inject(fd, h, port, &f, a->vlan);
	}
}

static void found_one(const struct nethost_link *at, const struct netfix_vif *vif,
	const struct packet *p, struct findings *found)
{
	struct address a = {.vlan = p->vlan};
	char mac[MAC_TEXT_LEN], text[ADDRESS_TEXT_LEN] = "";

	mac_text(vif->mac, mac);
	if (frame_learn(p->data, p->len, vif->mac, &a))
		address_text(&a, text);
	findings_add(found, FINDING_RISK, "network-duplicate",
		"Give one of the two another MAC address",
		"another station sends with the guest's MAC address %s: its frames come in through %s%s%s",
		mac, at->name, text[0] ? ", from " : "", text);
}

int check_duplicates(const struct nethost *h, const struct netfix_vif *vif,
	const struct addresses *known, int ms, struct findings *found, struct error *err)
{
	const struct nethost_link *port = nethost_by_name(h, vif->device), *at[PORTS_MAX];
	struct pollfd fds[PORTS_MAX];
	int64_t deadline = deadline_in(ms);
	struct packet p;
	nfds_t nr = 0;
	int sender, rc = 0;

	if (!port || !port->master)
		return 0;
	sender = packet_sender(err);
	if (sender < 0)
		return sender;
	for (size_t i = 0; i < h->nr && nr < PORTS_MAX && rc >= 0; i++) {
		if (h->link[i].master != port->master || h->link[i].index == port->index)
			continue;
		rc = packet_listener(h->link[i].index, PACKET_FROM, vif->mac, err);
		if (rc >= 0) {
			at[nr] = &h->link[i];
			fds[nr++] = (struct pollfd){.fd = rc, .events = POLLIN};
		}
	}
	if (rc >= 0)
		ask_for(sender, h, port, vif, known);
	while (rc >= 0 && poll(fds, nr, deadline_poll_ms(deadline)) > 0 && clock_ms() < deadline)
		for (nfds_t i = 0; i < nr; i++)
			while (fds[i].fd >= 0 && packet_read(fds[i].fd, &p))
				if (!p.outgoing) {
					found_one(at[i], vif, &p, found);
					fd_close(&fds[i].fd);
				}
	for (nfds_t i = 0; i < nr; i++)
		fd_close(&fds[i].fd);
	fd_close(&sender);
	return rc < 0 ? rc : 0;
}
