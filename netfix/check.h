/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check: what on this host may keep a guest from its network although all looks well. Adds to a
 * list of findings and changes nothing.
 */
#ifndef NETFIX_CHECK_H
#define NETFIX_CHECK_H

#include "base/findings.h"
#include "netfix/learn.h"

/* Filters of bridged frames, as nftables has them: a chain that drops by policy, or any at all. */
void check_filters(struct findings *found);

/* Settings of the kernel that make it route or filter what bridges carry. */
void check_host(struct findings *found);

/* A bridge on which the guest is not yet: whether it leads anywhere, its ports' MTUs. */
void check_bridge(const struct nethost *h, const char *name, struct findings *found);

/* Does the vif send as somebody that its own `allowed` (ip= of its configuration) leaves out? */
void check_spoof(const struct netfix_vif *vif, const char *allowed, const struct addresses *known,
	struct findings *found);

/* The vif's port and bridge, promiscuity of its other ports, and where the bridge has its MAC. */
void check_vif(const struct nethost *h, const struct netfix_vif *vif, struct findings *found);

/*
 * Is there another station with the vif's MAC on its network? Listens on every other port of its
 * bridge for `ms` while the guest's addresses are asked for there. Needs CAP_NET_RAW: -errno.
 */
int check_duplicates(const struct nethost *h, const struct netfix_vif *vif,
	const struct addresses *known, int ms, struct findings *found,
	struct error *err) WARN_UNUSED;

#endif
