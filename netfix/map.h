/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * map: a peer's names of bridges and its domains' addresses, as they are called here. Applied to a
 * domain's configuration, which is JSON of either hypervisor's, before it is built here.
 */
#ifndef NETFIX_MAP_H
#define NETFIX_MAP_H

#include "base/config.h"
#include "netfix/address.h"

#define MAP_CHANGES_MAX 32

struct map_change {
	unsigned vif;
	const char *key; /* "bridge" or "ip" */
	char there[128], here[128];
};

struct map_changes {
	struct map_change list[MAP_CHANGES_MAX];
	unsigned nr;
};

/*
 * `*json` is replaced when something changes, and listed in `changes`; the caller frees it as
 * before. 0, -EINVAL when it is no JSON object, -E2BIG, -ENOMEM.
 */
int map_config(
	const struct config_peer *peer, char **json, struct map_changes *changes) WARN_UNUSED;

/* The same for addresses that were learned there. */
void map_addresses(const struct config_peer *peer, struct addresses *set);

#endif
