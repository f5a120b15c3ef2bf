/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netfix map: what a domain of a peer would be called here. Changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "netfix/map.h"
#include "netfix/netfix.h"

#define FILE_MAX (1u << 20)

static json_t *rules_json(const struct config_map *map, unsigned nr)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < nr; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "there", map[i].there, "here", map[i].here));
	return list;
}

static int print_rules(struct netfix *n, const struct config_peer *peer)
{
	if (n->json)
		return netfix_print(n, json_pack("{s:s, s:o, s:o}", "peer", peer->name, "bridges",
					       rules_json(peer->bridge, peer->nr_bridges), "moved",
					       rules_json(peer->moved, peer->nr_moved)));
	for (unsigned i = 0; i < peer->nr_bridges; i++)
		printf("bridge %s of %s is %s here\n", peer->bridge[i].there, peer->name,
			peer->bridge[i].here);
	for (unsigned i = 0; i < peer->nr_moved; i++)
		printf("address %s of %s is %s here\n", peer->moved[i].there, peer->name,
			peer->moved[i].here);
	if (!peer->nr_bridges && !peer->nr_moved)
		printf("all is called here as on %s\n", peer->name);
	return 0;
}

static int print_changes(struct netfix *n, const struct map_changes *c)
{
	json_t *list = n->json ? json_array() : NULL;

	for (unsigned i = 0; i < c->nr; i++)
		if (list)
			json_array_append_new(
				list, json_pack("{s:i, s:s, s:s, s:s}", "vif", (int)c->list[i].vif,
					      "key", c->list[i].key, "there", c->list[i].there,
					      "here", c->list[i].here));
		else
			printf("vif %u\n-  %s %s\n+  %s %s\n", c->list[i].vif, c->list[i].key,
				c->list[i].there, c->list[i].key, c->list[i].here);
	if (list)
		return netfix_print(n, list);
	if (!c->nr)
		printf("nothing would be changed\n");
	return 0;
}

int netfix_map(struct netfix *n)
{
	const struct config_peer *peer = config_peer_by_name(&n->cfg, n->word[0]);
	struct map_changes changes;
	char *json = NULL;
	size_t len;
	int rc;

	if (!peer) {
		error_set(&n->err, -ENOENT, NULL, "no peer '%s' is configured on this host",
			n->word[0]);
		error_fix(&n->err, "Add it to %s, or correct the name", n->cfg.path);
		return -ENOENT;
	}
	if (n->nr_words < 2)
		return print_rules(n, peer);
	rc = io_read_file(n->word[1], FILE_MAX, &json, &len);
	if (rc)
		return error_sys(
			&n->err, rc, "Name a file that can be read", "cannot read %s", n->word[1]);
	rc = map_config(peer, &json, &changes);
	free(json);
	if (rc)
		return error_set(&n->err, rc, "On Xen, xl list -l DOM prints it (its \"config\")",
			"%s is no domain's configuration in JSON", n->word[1]);
	return print_changes(n, &changes);
}
