/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netfix verify: hop by hop, from the vif outwards. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "netfix/netfix.h"

#define FORWARD_MS 1000
#define ANSWER_MS  2000
#define FIX_ROUNDS 3

struct hops {
	char port[96], table[128], network[PLACE_TEXT_LEN + 64];
	bool port_ok, table_ok, network_ok;
	bool would_fix; /* with --fix --dry-run: the table would be corrected */
};

/* Where does its own bridge look for it? */
static void look_at_table(const struct nethost *h, const struct nethost_link *port,
	const struct netfix_vif *v, struct hops *hops)
{
	struct fdb_entry e[FDB_ENTRIES_MAX];
	int nr = nethost_fdb(v->mac, 0, e, FDB_ENTRIES_MAX, NULL);

	hops->table_ok = true;
	snprintf(hops->table, sizeof(hops->table), "%s has not learned it", v->bridge);
	for (int i = 0; i < nr; i++) {
		const struct nethost_link *at = nethost_by_index(h, e[i].port);

		if (!at || e[i].bridge != port->master)
			continue;
		if (e[i].port == port->index) {
			snprintf(hops->table, sizeof(hops->table), "%s has it behind %s", v->bridge,
				at->name);
			continue;
		}
		hops->table_ok = false;
		snprintf(hops->table, sizeof(hops->table), "stale: %s has it behind %s", v->bridge,
			at->name);
		return;
	}
}

static void look(const struct nethost *h, const struct netfix_vif *v, struct hops *hops)
{
	const struct nethost_link *port = nethost_by_name(h, v->device);
	const char *reason = port ? nethost_port_reason(port) : "it does not exist";

	*hops = (struct hops){.port_ok = !reason[0]};
	snprintf(hops->port, sizeof(hops->port), "%s", reason[0] ? reason : "forwards");
	if (port && port->master)
		look_at_table(h, port, v, hops);
	else
		snprintf(hops->table, sizeof(hops->table), "no bridge");
}

static void judge(const struct place *p, struct hops *hops)
{
	hops->network_ok = p->state == PLACE_REACHABLE;
	if (p->state == PLACE_REACHABLE)
		snprintf(hops->network, sizeof(hops->network), "%s", p->what);
	else if (p->state == PLACE_SILENT && hops->port_ok && hops->table_ok)
		snprintf(hops->network, sizeof(hops->network),
			"stale: %s; a switch or host beyond this one looks for it elsewhere, or that address is down",
			p->what);
	else
		snprintf(hops->network, sizeof(hops->network), "%s", p->what);
}

static void print_hops(const struct netfix_vif *v, const struct hops *hops)
{
	char mac[MAC_TEXT_LEN];

	mac_text(v->mac, mac);
	printf("%s %s\n  port     %s\n  bridge   %s\n", v->device, mac, hops->port, hops->table);
	if (hops->would_fix)
		printf("           would be corrected: %s behind %s, and announced\n", mac,
			v->device);
	printf("  network  %s\n", hops->network);
}

static json_t *hops_json(const struct netfix *n, const struct netfix_vif *v,
	const struct hops *hops, const struct place *p)
{
	char mac[MAC_TEXT_LEN];

	mac_text(v->mac, mac);
	return json_pack("{s:s, s:s, s:o, s:b, s:s, s:b, s:s, s:b, s:b, s:s, s:s}", "device",
		v->device, "mac", mac, "addresses", netfix_addresses_json(n, v->nr), "port_ok",
		hops->port_ok, "port", hops->port, "bridge_ok", hops->table_ok, "bridge",
		hops->table, "would_fix", hops->would_fix, "network_ok", hops->network_ok,
		"network", hops->network, "state", place_state_name(p->state));
}

static int report(struct netfix *n, const struct hops *hops, const struct place *place)
{
	json_t *list = n->json ? json_array() : NULL;
	bool good = true;
	int rc = 0;

	for (unsigned i = 0; i < n->nr_vifs; i++) {
		good &= hops[i].port_ok && hops[i].table_ok && hops[i].network_ok;
		if (list)
			json_array_append_new(list, hops_json(n, &n->vif[i], &hops[i], &place[i]));
		else
			print_hops(&n->vif[i], &hops[i]);
	}
	if (list)
		rc = netfix_print(n, list);
	return rc ? rc : !good;
}

/* What was asked for was not done: that comes before how things are. */
static int not_corrected(struct netfix *n, const struct place *place)
{
	for (unsigned i = 0; i < n->nr_vifs; i++)
		if (place[i].fdb_rc)
			return error_sys(&n->err, place[i].fdb_rc,
				"Run it as root, or with CAP_NET_ADMIN",
				"the table of bridge %s cannot be corrected", n->vif[i].bridge);
	return 0;
}

int netfix_verify(struct netfix *n)
{
	static struct announce_job job;
	struct place place[ADDRESS_VIFS_MAX];
	struct hops hops[ADDRESS_VIFS_MAX];
	struct nethost h;
	bool fix = n->fix && !n->dry_run, would_fix;
	int rc = netfix_find(n);

	if (rc == 0)
		rc = netfix_learn(n);
	if (rc)
		return rc;
	job = (struct announce_job){.nr_vifs = n->nr_vifs,
		.known = n->known,
		.ask = n->ask,
		.rounds = fix ? FIX_ROUNDS : 0,
		.forward_ms = FORWARD_MS,
		.answer_ms = ANSWER_MS,
		.start = clock_ms(),
		.keep_fdb = !fix};
	memcpy(job.vif, n->vif, sizeof(job.vif));
	would_fix = n->fix && n->dry_run;
	/* Asking makes bridges learn, our own too: what they know is looked at before. */
	rc = fix ? announce_run(&job, place, &n->err) : 0;
	if (rc == 0)
		rc = nethost_read(&h, &n->err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < n->nr_vifs; i++) {
		look(&h, &n->vif[i], &hops[i]);
		hops[i].would_fix = would_fix && !hops[i].table_ok;
	}
	nethost_dispose(&h);
	rc = fix ? 0 : announce_run(&job, place, &n->err);
	for (unsigned i = 0; i < n->nr_vifs && rc == 0; i++)
		judge(&place[i], &hops[i]);
	if (rc == 0 && fix)
		rc = not_corrected(n, place);
	return rc ? rc : report(n, hops, place);
}
