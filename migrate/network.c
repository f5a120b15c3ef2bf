/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/network.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "netfix/check.h"

#define XEN_BRIDGE    "xenbr0"
#define TWIN_MS	      300 /* for another station with the guest's MAC to answer */
#define PROBE_COPIES  3
#define PROBE_WAIT_MS 1500
#define FORWARD_MS    35000 /* STP's listening and learning, and some */
#define ANSWER_MS     2000

unsigned network_vifs(const struct domain *dom, struct netfix_vif vif[static ADDRESS_VIFS_MAX])
{
	unsigned nr = 0;

	for (unsigned i = 0; i < dom->nr_vifs && i < ADDRESS_VIFS_MAX; i++) {
		const char *bridge = dom->vif[i].bridge;

		vif[nr] = (struct netfix_vif){.nr = i};
		if (!bridge[0] && dom->type != DOMAIN_EMBEDDED)
			bridge = XEN_BRIDGE;
		snprintf(vif[nr].device, sizeof(vif[nr].device), "%s", dom->vif[i].device);
		snprintf(vif[nr].bridge, sizeof(vif[nr].bridge), "%s", bridge);
		memcpy(vif[nr].mac, dom->vif[i].mac, MAC_LEN);
		nr++;
	}
	return nr;
}

void network_known(const struct config *cfg, const struct domain *dom, struct addresses *set)
{
	for (unsigned i = 0; i < dom->nr_vifs; i++) {
		address_add_list(set, i, dom->vif[i].ip, ADDRESS_CONFIG);
		address_add_list(set, i, dom->vif[i].told, ADDRESS_XENSTORE);
	}
	for (unsigned i = 0; i < cfg->nr_guests; i++)
		if (strcmp(cfg->guest[i].name, dom->name) == 0)
			address_add_list(set, 0, cfg->guest[i].addresses, ADDRESS_CONFIG);
}

/* Those that are to be on a bridge; an embedded guest's may be on none. */
static unsigned bridged_vifs(
	const struct domain *dom, struct netfix_vif vif[static ADDRESS_VIFS_MAX])
{
	unsigned all = network_vifs(dom, vif), nr = 0;

	for (unsigned i = 0; i < all; i++)
		if (vif[i].bridge[0])
			vif[nr++] = vif[i];
	return nr;
}

void network_look(
	const struct config *cfg, const struct domain *dom, bool all, struct findings *found)
{
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	unsigned nr = bridged_vifs(dom, vif);
	struct addresses known = {0};
	struct error why = ERROR_INIT;
	struct nethost h = {0};

	if (!nr)
		return;
	if (nethost_read(&h, &why)) {
		findings_add_error(found, FINDING_WARNING, "network-unproved", &why);
		return;
	}
	if (all)
		check_host(found);
	check_filters(found);
	network_known(cfg, dom, &known);
	learn_tables(&h, vif, nr, &known);
	for (unsigned i = 0; i < nr; i++) {
		check_vif(&h, &vif[i], found);
		check_spoof(&vif[i], dom->vif[vif[i].nr].ip, &known, found);
		if (check_duplicates(&h, &vif[i], &known, TWIN_MS / (int)nr, found, &why)) {
			findings_add_error(found, FINDING_WARNING, "network-unproved", &why);
			break;
		}
	}
	nethost_dispose(&h);
}

bool network_left_behind(const struct domain *dom, struct error *what)
{
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	struct fdb_entry e[FDB_ENTRIES_MAX];
	unsigned nr = network_vifs(dom, vif);
	struct nethost h = {0};
	char mac[MAC_TEXT_LEN];

	if (!nr || nethost_read(&h, NULL))
		return false;
	for (unsigned i = 0; i < nr && !what->rc; i++) {
		int entries = nethost_fdb(vif[i].mac, 0, e, FDB_ENTRIES_MAX, NULL);

		mac_text(vif[i].mac, mac);
		for (int k = 0; k < entries && !what->rc; k++) {
			const struct nethost_link *at = nethost_by_index(&h, e[k].port);

			if (!at || !e[k].statik || e[k].own)
				continue;
			error_set(what, -ESTALE, NULL,
				"bridge %s here has %s behind %s, set by hand: who is on it does not reach the guest",
				vif[i].bridge, mac, at->name);
			error_fix(what, "bridge fdb del %s dev %s master", mac, at->name);
		}
	}
	nethost_dispose(&h);
	return what->rc != 0;
}

/* ---- one network? ---- */

static void throw_away_mac(uint8_t mac[static MAC_LEN])
{
	randombytes_buf(mac, MAC_LEN);
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* locally administered, one station's */
}

void network_probe(const struct domain *dom, const uint8_t token[static RECORD_TOKEN_LEN],
	struct record_probed *out)
{
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	struct error why = ERROR_INIT;
	uint8_t mac[MAC_LEN];
	struct nethost h = {0};
	int fd = packet_sender(&why);

	*out = (struct record_probed){.nr = network_vifs(dom, vif)};
	throw_away_mac(mac);
	if (fd < 0 || nethost_read(&h, &why))
		log_warn("no probe could be sent: %s", why.what);
	for (unsigned i = 0; i < out->nr && fd >= 0; i++) {
		const struct nethost_link *port = nethost_by_name(&h, vif[i].device);
		const struct nethost_link *bridge =
			port ? nethost_by_index(&h, port->master) : NULL;
		struct frame f;

		frame_probe(&f, mac, token, vif[i].nr);
		for (int k = 0; bridge && k < PROBE_COPIES; k++)
			out->vif[i].sent |= packet_inject(fd, &h, port, &f, 0) > 0;
		out->vif[i].mtu = bridge ? bridge->mtu : 0;
	}
	nethost_dispose(&h);
	fd_close(&fd);
}

unsigned network_proof_begin(
	struct network_proof *p, const struct domain *dom, bool all, struct findings *found)
{
	struct netfix_vif bridged[ADDRESS_VIFS_MAX];
	struct error why = ERROR_INIT;
	struct nethost h = {0};
	unsigned nr = 0;

	*p = (struct network_proof){0};
	p->nr = network_vifs(dom, p->vif);
	randombytes_buf(p->token, sizeof(p->token));
	if (bridged_vifs(dom, bridged)) {
		if (all)
			check_host(found);
		check_filters(found);
	}
	if (p->nr && nethost_read(&h, &why))
		log_warn("%s", why.what);
	for (unsigned i = 0; i < p->nr; i++) {
		const struct nethost_link *l = nethost_by_name(&h, p->vif[i].bridge);

		p->fd[i] = -1;
		if (!l || !l->bridge)
			continue;
		check_bridge(&h, l->name, found);
		p->mtu[i] = l->mtu;
		p->filtering[i] = l->filtering;
		p->pvid[i] = l->vlans.pvid;
		p->fd[i] = packet_listener(l->index, PACKET_PROBES, NULL, &why);
		if (p->fd[i] >= 0)
			nr++;
		else
			findings_add_error(found, FINDING_WARNING, "network-unproved", &why);
	}
	nethost_dispose(&h);
	return nr;
}

/* One with a tag is for the guest only where the bridge takes the tag off before it. */
static void hear(struct network_proof *p, unsigned i, const struct packet *packet)
{
	if (!packet->vlan || (p->filtering[i] && packet->vlan == p->pvid[i]))
		p->heard[i] = true;
	else
		p->vlan[i] = packet->vlan;
}

static bool all_heard(struct network_proof *p, const struct record_probed *probed)
{
	struct packet packet;
	bool all = true;
	unsigned vif;

	for (unsigned i = 0; i < p->nr; i++) {
		while (p->fd[i] >= 0 && packet_read(p->fd[i], &packet))
			if (!packet.outgoing &&
				frame_is_probe(packet.data, packet.len, p->token, &vif) &&
				vif == p->vif[i].nr)
				hear(p, i, &packet);
		all &= p->heard[i] || p->fd[i] < 0 || !probed->vif[i].sent;
	}
	return all;
}

static void judge(const struct network_proof *p, unsigned i, const struct record_probed *probed,
	const char *peer, struct findings *found)
{
	const char *bridge = p->vif[i].bridge;
	uint32_t mtu = probed->vif[i].mtu;

	if (p->fd[i] < 0)
		return;
	if (!probed->vif[i].sent) {
		findings_add(found, FINDING_WARNING, "network-unproved", NULL,
			"nothing proves that bridge %s is the same network here and on %s: its bridge there has no other port that forwards",
			bridge, peer);
		findings_fix(
			found, "Look at the bridge of vif %u there: bridge link", p->vif[i].nr);
	} else if (!p->heard[i] && p->vlan[i]) {
		findings_add(found, FINDING_RISK, "network-vlan", NULL,
			"frames of vif %u on %s arrive at bridge %s with the tag of VLAN %u: the guest would hear and be heard by nobody",
			p->vif[i].nr, peer, bridge, p->vlan[i]);
		findings_fix(found,
			"Put the link's VLAN device into %s in place of the link itself (ip link add link LINK name LINK.%u type vlan id %u), or give the VLAN the same tag on both hosts",
			bridge, p->vlan[i], p->vlan[i]);
	} else if (!p->heard[i]) {
		findings_add(found, FINDING_RISK, "network-other", NULL,
			"bridge %s is another network than that of vif %u on %s: frames sent there do not arrive here",
			bridge, p->vif[i].nr, peer);
		findings_fix(found,
			"Connect %s to that network (bridge link; ip link), or name the bridge that is on it in lifeboat.conf: peer %s { bridge ... }",
			bridge, peer);
	}
	if (mtu && p->mtu[i] < mtu) {
		findings_add(found, FINDING_RISK, "network-mtu", NULL,
			"bridge %s has an MTU of %u here, and vif %u one of %u on %s: its large packets would be lost",
			bridge, p->mtu[i], p->vif[i].nr, mtu, peer);
		findings_fix(found, "ip link set %s mtu %u, and its ports likewise", bridge, mtu);
	}
}

void network_proof_end(struct network_proof *p, const struct record_probed *probed,
	const char *peer, struct findings *found)
{
	int64_t deadline = deadline_in(PROBE_WAIT_MS);
	struct pollfd fds[ADDRESS_VIFS_MAX];

	for (unsigned i = 0; i < p->nr; i++)
		fds[i] = (struct pollfd){.fd = p->fd[i], .events = POLLIN};
	while (!all_heard(p, probed) && clock_ms() < deadline)
		poll(fds, p->nr, deadline_poll_ms(deadline));
	for (unsigned i = 0; i < p->nr; i++)
		judge(p, i, probed, peer, found);
	network_proof_dispose(p);
}

void network_proof_dispose(struct network_proof *p)
{
	for (unsigned i = 0; i < p->nr; i++)
		fd_close(&p->fd[i]);
	p->nr = 0;
}

/* ---- here it is ---- */

static void pass_on(void *ctx, const struct place *all)
{
	const int *fd = ctx;

	/* A pipe takes it whole; a reader that is gone has no use for it. */
	if (write(*fd, all, sizeof(*all)) < 0)
		log_debug("nobody waits for the verdict");
}

static _Noreturn void announcer(struct announce_job *job, int fd)
{
	struct place place[ADDRESS_VIFS_MAX], all;
	struct error why = ERROR_INIT;

	/* What the engine holds, the journal's lock and the link first of all, must not live on
	 * here. */
	if (fd > 3)
		close_range(3, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, ~0u, 0);
	job->verdict = pass_on;
	job->ctx = &fd;
	if (announce_run(job, place, &why)) {
		all = (struct place){.state = PLACE_FAILED};
		snprintf(all.what, sizeof(all.what), "%.150s", why.what);
		pass_on(&fd, &all);
	}
	_exit(0);
}

int network_announce(
	const struct config *cfg, const struct domain *dom, const struct addresses *learned)
{
	static struct announce_job job;
	int ends[2];
	pid_t pid;

	if (!cfg->announce || dom->nr_vifs == 0)
		return -1;
	job = (struct announce_job){.known = *learned,
		.rounds = ANNOUNCE_ROUNDS,
		.forward_ms = FORWARD_MS,
		.answer_ms = ANSWER_MS,
		.start = clock_ms()};
	job.nr_vifs = network_vifs(dom, job.vif);
	network_known(cfg, dom, &job.known);
	address_settle(&job.known);
	address_add_list(&job.ask, 0, cfg->ask, ADDRESS_CONFIG);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		setsid();
		announcer(&job, ends[1]);
	}
	close(ends[1]);
	if (pid > 0)
		return ends[0];
	log_warn("%s was not announced: %s", dom->name, strerror(errno));
	close(ends[0]);
	return -1;
}

bool network_verdict(int *fd, int64_t deadline, struct record_place *place)
{
	struct place all;

	if (*fd < 0)
		return false;
	if (io_read_exact(*fd, &all, sizeof(all), deadline) == 0)
		*place = (struct record_place){.state = all.state,
			.forwarding_ms = all.forwarding_ms,
			.reachable_ms = all.reachable_ms,
			.frames = all.frames};
	else
		*place = (struct record_place){.state = PLACE_UNKNOWN};
	if (place->state == PLACE_UNKNOWN && !place->frames)
		snprintf(all.what, sizeof(all.what),
			"its port did not forward in time; it is still being announced");
	snprintf(place->what, sizeof(place->what), "%s", all.what);
	fd_close(fd);
	return true;
}
