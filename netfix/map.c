/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/map.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *look_up(const struct config_map *map, unsigned nr, const char *there)
{
	for (unsigned i = 0; i < nr; i++)
		if (strcmp(map[i].there, there) == 0)
			return map[i].here;
	return there;
}

/* A list of addresses between blanks, each with its netmask if it has one. */
static void rename_list(const struct config_peer *peer, const char *list, char *out, size_t size)
{
	char text[128], *save = NULL;

	out[0] = '\0';
	snprintf(text, sizeof(text), "%s", list);
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		size_t used = strlen(out);
		char *slash = strchr(p, '/');

		if (slash)
			*slash = '\0';
		snprintf(out + used, size - used, "%s%s%s%s", used ? " " : "",
			look_up(peer->moved, peer->nr_moved, p), slash ? "/" : "",
			slash ? slash + 1 : "");
	}
}

static int change(const struct config_peer *peer, json_t *vif, unsigned nr, const char *key,
	struct map_changes *changes)
{
	const char *there = json_string_value(json_object_get(vif, key));
	struct map_change *c = &changes->list[changes->nr];
	char here[128];

	if (!there || strlen(there) >= sizeof(here))
		return 0;
	if (strcmp(key, "bridge") == 0)
		snprintf(here, sizeof(here), "%s", look_up(peer->bridge, peer->nr_bridges, there));
	else
		rename_list(peer, there, here, sizeof(here));
	if (strcmp(here, there) == 0)
		return 0;
	if (changes->nr == MAP_CHANGES_MAX)
		return -E2BIG;
	*c = (struct map_change){.vif = nr, .key = key};
	snprintf(c->there, sizeof(c->there), "%s", there);
	snprintf(c->here, sizeof(c->here), "%s", here);
	changes->nr++;
	return json_object_set_new(vif, key, json_string(here)) ? -ENOMEM : 0;
}

int map_config(const struct config_peer *peer, char **json, struct map_changes *changes)
{
	/* The embedded hypervisor's name of the list, and libxl's. */
	static const char *const lists[] = {"vif", "nics"}, *const keys[] = {"bridge", "ip"};
	json_t *root = json_loads(*json, JSON_REJECT_DUPLICATES, NULL), *vif;
	char *text = NULL;
	size_t i;
	int rc = json_is_object(root) ? 0 : -EINVAL;

	*changes = (struct map_changes){0};
	for (size_t l = 0; l < 2 && rc == 0; l++)
		json_array_foreach(json_object_get(root, lists[l]), i,
			vif) for (size_t k = 0; k < 2 && rc == 0; k++) rc =
			change(peer, vif, (unsigned)i, keys[k], changes);
	if (rc == 0 && changes->nr) {
		text = json_dumps(root, JSON_INDENT(1));
		rc = text ? 0 : -ENOMEM;
	}
	if (text) {
		free(*json);
		*json = text;
	}
	json_decref(root);
	return rc;
}

void map_addresses(const struct config_peer *peer, struct addresses *set)
{
	for (unsigned i = 0; i < set->nr; i++) {
		struct address *a = &set->list[i], here = *a;
		char there[ADDRESS_TEXT_LEN];

		address_text(a, there);
		if (address_parse(look_up(peer->moved, peer->nr_moved, there), &here) == 0)
			*a = here;
	}
}
