/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "netfix/netfix.h"

/* A link by itself: its guest's MAC is given, or the only one that its bridge has learned there. */
static int find_link(struct netfix *n, const struct nethost *h, const struct nethost_link *link)
{
	const struct nethost_link *bridge = nethost_by_index(h, link->master);
	struct fdb_entry e[FDB_ENTRIES_MAX];
	struct netfix_vif *v = &n->vif[0];
	int nr, guests = 0;

	if (!bridge) {
		error_set(&n->err, -ENODEV, NULL,
			"%s is in no bridge: nothing forwards what would be sent for it",
			link->name);
		error_fix(&n->err, "Name a domain, or a vif that is in a bridge (bridge link)");
		return -ENODEV;
	}
	*v = (struct netfix_vif){0};
	memcpy(v->device, link->name, sizeof(v->device));
	memcpy(v->bridge, bridge->name, sizeof(v->bridge));
	n->nr_vifs = 1;
	if (n->mac)
		return mac_parse(n->mac, v->mac);
	nr = nethost_fdb(NULL, link->index, e, FDB_ENTRIES_MAX, &n->err);
	for (int i = 0; i < nr; i++) {
		if (e[i].own || (guests && memcmp(v->mac, e[i].mac, MAC_LEN) == 0))
			continue;
		memcpy(v->mac, e[i].mac, MAC_LEN);
		guests++;
	}
	if (nr < 0 || guests == 1)
		return nr < 0 ? nr : 0;
	return error_set(&n->err, -EINVAL, "Name it: --mac=00:16:3e:...",
		guests ? "several MAC addresses are behind %s"
		       : "the bridge knows no MAC address behind %s yet",
		link->name);
}

static void take_domain(struct netfix *n, const struct domain *dom)
{
	for (unsigned i = 0; i < dom->nr_vifs && i < ADDRESS_VIFS_MAX; i++) {
		struct netfix_vif *v = &n->vif[n->nr_vifs++];

		*v = (struct netfix_vif){.nr = i};
		memcpy(v->mac, dom->vif[i].mac, MAC_LEN);
		snprintf(v->device, sizeof(v->device), "%s", dom->vif[i].device);
		snprintf(v->bridge, sizeof(v->bridge), "%s", dom->vif[i].bridge);
		address_add_list(&n->known, i, dom->vif[i].ip, ADDRESS_CONFIG);
		address_add_list(&n->known, i, dom->vif[i].told, ADDRESS_XENSTORE);
	}
}

static int find_domain(struct netfix *n)
{
	const struct hypervisor *hv;
	struct domain dom;
	int rc = hypervisor_open(&n->cfg, &hv, &n->err);

	if (rc == 0)
		rc = hv->find(n->word[0], &dom, &n->err);
	if (rc == 0 && dom.nr_vifs == 0)
		rc = error_set(
			&n->err, -ENODEV, "There is nothing to do", "%s has no vif", dom.name);
	if (rc)
		return rc;
	take_domain(n, &dom);
	for (unsigned i = 0; i < n->cfg.nr_guests; i++)
		if (strcmp(n->cfg.guest[i].name, dom.name) == 0)
			address_add_list(&n->known, 0, n->cfg.guest[i].addresses, ADDRESS_CONFIG);
	return 0;
}

int netfix_find(struct netfix *n)
{
	struct nethost h;
	const struct nethost_link *link;
	int rc = nethost_read(&h, &n->err);

	if (rc)
		return rc;
	link = nethost_by_name(&h, n->word[0]);
	rc = link ? find_link(n, &h, link) : find_domain(n);
	nethost_dispose(&h);
	if (rc)
		return rc;
	if (!n->ask.nr)
		address_add_list(&n->ask, 0, n->cfg.ask, ADDRESS_CONFIG);
	for (unsigned i = 0; i < n->given.nr; i++)
		address_add(&n->known, &n->given.list[i]);
	return 0;
}

int netfix_learn(struct netfix *n)
{
	struct learner l;
	struct nethost h;
	int rc = nethost_read(&h, &n->err);

	if (rc)
		return rc;
	learn_tables(&h, n->vif, n->nr_vifs, &n->known);
	nethost_dispose(&h);
	if (n->listen_ms > 0) {
		rc = learn_begin(&l, n->vif, n->nr_vifs, &n->err);
		if (rc)
			return rc;
		learn_wait(&l, deadline_in(n->listen_ms));
		for (unsigned i = 0; i < l.found.nr; i++)
			address_add(&n->known, &l.found.list[i]);
		learn_end(&l);
	}
	address_settle(&n->known);
	return 0;
}

json_t *netfix_addresses_json(const struct netfix *n, unsigned vif)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n->known.nr; i++) {
		const struct address *a = &n->known.list[i];
		char text[ADDRESS_TEXT_LEN];

		if (a->vif != vif || a->family == ADDRESS_NONE)
			continue;
		address_text(a, text);
		json_array_append_new(list, json_pack("{s:s, s:s}", "address", text, "from",
						    address_origin_name(a->origin)));
	}
	return list;
}

int netfix_print(struct netfix *n, json_t *root)
{
	int rc = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;

	json_decref(root);
	if (rc || putchar('\n') == EOF)
		return error_sys(&n->err, -EIO, NULL, "cannot print");
	return 0;
}
