/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/learn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"

#define DRAIN_MAX 256

int learn_begin(struct learner *l, const struct netfix_vif *vif, unsigned nr, struct error *err)
{
	struct nethost h;
	int rc = nethost_read(&h, err);

	*l = (struct learner){0};
	for (unsigned i = 0; i < nr && rc == 0; i++) {
		const struct nethost_link *link = nethost_by_name(&h, vif[i].device);
		int fd;

		if (!link)
			continue;
		fd = packet_listener(link->index, PACKET_FROM, vif[i].mac, err);
		if (fd < 0) {
			rc = fd;
			break;
		}
		l->vif[l->nr] = vif[i];
		l->fd[l->nr++] = fd;
	}
	nethost_dispose(&h);
	if (rc)
		learn_end(l);
	return rc;
}

static void take(struct learner *l, unsigned i, const struct packet *p)
{
	struct address a = {.vif = (uint8_t)l->vif[i].nr, .origin = ADDRESS_SNIFF, .vlan = p->vlan};

	if (p->outgoing)
		return;
	if (!frame_learn(p->data, p->len, l->vif[i].mac, &a)) {
		a.family = ADDRESS_NONE;
		a.router = false;
		memset(a.ip, 0, sizeof(a.ip));
	}
	if (a.vlan <= VLAN_MAX)
		address_add(&l->found, &a);
}

void learn_drain(struct learner *l)
{
	struct packet p;

	for (unsigned i = 0; i < l->nr; i++)
		for (int n = 0; n < DRAIN_MAX && packet_read(l->fd[i], &p); n++)
			take(l, i, &p);
}

void learn_wait(struct learner *l, int64_t deadline)
{
	struct pollfd fds[ADDRESS_VIFS_MAX];

	for (unsigned i = 0; i < l->nr; i++)
		fds[i] = (struct pollfd){.fd = l->fd[i], .events = POLLIN};
	do {
		learn_drain(l);
	} while (poll(fds, l->nr, deadline_poll_ms(deadline)) > 0 && clock_ms() < deadline);
}

void learn_end(struct learner *l)
{
	for (unsigned i = 0; i < l->nr; i++)
		fd_close(&l->fd[i]);
	l->nr = 0;
}

static bool carries(const struct nethost_link *link, const struct nethost_link *bridge)
{
	return link->index == bridge->index || (link->lower == bridge->index && link->vlan);
}

/* Neighbours on the bridge itself and on the VLAN devices that this host has on it. */
static void from_neighbours(const struct nethost *h, const struct nethost_link *bridge,
	const uint8_t *mac, const uint8_t *except, unsigned vif, struct addresses *set)
{
	for (size_t i = 0; i < h->nr; i++) {
		const struct nethost_link *l = &h->link[i];
		struct addresses found = {0};

		if (!carries(l, bridge) || nethost_neighbours(l->index, mac, except, vif, &found))
			continue;
		for (unsigned k = 0; k < found.nr; k++) {
			found.list[k].vlan = l->index == bridge->index ? 0 : l->vlan;
			address_add(set, &found.list[k]);
		}
	}
}

/* A MAC in a VLAN-aware bridge's table, in another VLAN than its port's own, tags its frames. */
static void from_fdb(
	const struct nethost_link *port, const struct netfix_vif *vif, struct addresses *set)
{
	struct fdb_entry e[FDB_ENTRIES_MAX];
	int nr = nethost_fdb(vif->mac, port->index, e, FDB_ENTRIES_MAX, NULL);

	for (int i = 0; i < nr; i++) {
		struct address a = {.vif = (uint8_t)vif->nr, .origin = ADDRESS_FDB};

		if (e[i].vlan != port->vlans.pvid)
			a.vlan = e[i].vlan;
		address_add(set, &a);
	}
}

void learn_tables(
	const struct nethost *h, const struct netfix_vif *vif, unsigned nr, struct addresses *set)
{
	for (unsigned i = 0; i < nr; i++) {
		const struct nethost_link *port = nethost_by_name(h, vif[i].device);
		const struct nethost_link *bridge = port ? nethost_by_index(h, port->master) : NULL;

		if (!bridge || !bridge->bridge)
			continue;
		from_neighbours(h, bridge, vif[i].mac, NULL, vif[i].nr, set);
		from_fdb(port, &vif[i], set);
	}
}

void learn_peers(const struct nethost *h, const struct netfix_vif *vif, struct addresses *set)
{
	const struct nethost_link *port = nethost_by_name(h, vif->device);
	const struct nethost_link *bridge = port ? nethost_by_index(h, port->master) : NULL;

	if (!bridge || set->nr)
		return;
	for (size_t i = 0; i < h->nr; i++)
		if (carries(&h->link[i], bridge))
			nethost_gateways(h->link[i].index, set);
	if (!set->nr)
		from_neighbours(h, bridge, NULL, vif->mac, 0, set);
}
