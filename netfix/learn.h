/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * learn: which addresses a guest has, without asking it: what this host's tables say, and what the
 * guest's own frames show while somebody listens.
 */
#ifndef NETFIX_LEARN_H
#define NETFIX_LEARN_H

#include "netfix/packet.h"

/* A listener on each vif. */
struct learner {
	int fd[ADDRESS_VIFS_MAX];
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	unsigned nr;
	struct addresses found;
};

/*
 * Listen on the vifs that have a device. 0, or -errno with `err`: then nothing is open. Costs the
 * guest nothing: what nobody reads in time is dropped.
 */
int learn_begin(struct learner *l, const struct netfix_vif *vif, unsigned nr,
	struct error *err) WARN_UNUSED;
/* Take in what has come, at most some hundred frames. Does not block. */
void learn_drain(struct learner *l);
/* Take in what comes until `deadline`. */
void learn_wait(struct learner *l, int64_t deadline);
/* Idempotent; `found` stays. */
void learn_end(struct learner *l);

/* Add what the neighbour table and the bridges' tables know of the vifs. */
void learn_tables(
	const struct nethost *h, const struct netfix_vif *vif, unsigned nr, struct addresses *set);

/*
 * Who on this vif's network would answer: gateways of this host there, and if it has none its
 * neighbours. `set` may hold configured ones already; then nothing is added.
 */
void learn_peers(const struct nethost *h, const struct netfix_vif *vif, struct addresses *set);

#endif
