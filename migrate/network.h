/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * network: what a move does about the guest's place on the network, by netfix. Before it: a proof
 * that both hosts' bridges are one network. During it: the source learns the guest's addresses.
 * After it: the destination announces them and finds out whether that was understood. Nothing of it
 * ever fails a move that has begun, and nothing of it happens in the pause.
 */
#ifndef MIGRATE_NETWORK_H
#define MIGRATE_NETWORK_H

#include "migrate/record.h"
#include "netfix/announce.h"

/* The vifs of a domain as netfix takes them; a Xen vif without a bridge has xenbr0. Their number.
 */
unsigned network_vifs(const struct domain *dom, struct netfix_vif vif[static ADDRESS_VIFS_MAX]);

/* Add what the configuration and the guest's own agent say. */
void network_known(const struct config *cfg, const struct domain *dom, struct addresses *set);

/*
 * Source: what on this host keeps the guest from its network, or would there. Takes 0.3 s. `all`:
 * also the host's own settings, which a move need not be told each time.
 */
void network_look(
	const struct config *cfg, const struct domain *dom, bool all, struct findings *found);

/*
 * Source, when the domain has moved and is announced there: does a bridge here look for it where an
 * administrator said, by hand, that it is? False: it follows the announcement.
 */
bool network_left_behind(const struct domain *dom, struct error *what);

/* Source: answer PROBE. Sends frames with its token from each vif; `out` says of which. */
void network_probe(const struct domain *dom, const uint8_t token[static RECORD_TOKEN_LEN],
	struct record_probed *out);

/* Destination: listens on the bridges that the domain will be on. */
struct network_proof {
	int fd[ADDRESS_VIFS_MAX]; /* -1: no Linux bridge, nothing to prove */
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	uint32_t mtu[ADDRESS_VIFS_MAX];
	unsigned nr;
	bool filtering[ADDRESS_VIFS_MAX];
	uint16_t pvid[ADDRESS_VIFS_MAX]; /* of a bridge that filters VLANs */
	bool heard[ADDRESS_VIFS_MAX];
	uint16_t vlan[ADDRESS_VIFS_MAX]; /* heard with a tag that the guest's frames would not have
					  */
	uint8_t token[RECORD_TOKEN_LEN];
};
/*
 * How many bridges there are to prove; 0: ask nothing. Adds what this host's bridges would do to
 * the guest, and with `all` its settings.
 */
unsigned network_proof_begin(
	struct network_proof *p, const struct domain *dom, bool all, struct findings *found);
/* The source has sent `probed`: wait for its frames, add what is wrong to `found`. Frees all. */
void network_proof_end(struct network_proof *p, const struct record_probed *probed,
	const char *peer, struct findings *found);
void network_proof_dispose(struct network_proof *p);

/*
 * Destination: the guest runs; announce it, in a process of its own that outlives this one. Returns
 * the descriptor that the verdict comes from, or -1 (no vif; or the reason was logged).
 */
int network_announce(
	const struct config *cfg, const struct domain *dom, const struct addresses *learned);
/* The verdict, or what can be said by `deadline`; closes `*fd`. False: there is nothing to say. */
bool network_verdict(int *fd, int64_t deadline, struct record_place *place);

#endif
