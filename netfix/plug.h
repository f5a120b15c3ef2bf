/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plug: the output buffer of checkpoint replication. What the guest sends in an epoch is held back
 * until the backup has acknowledged that epoch's checkpoint:
 *
 *   guest --> vif (ingress) --mirred--> ifb (root: plug) --> vif's bridge
 *
 *   sch_plug's queue:   held of the epoch before | BUFFER | of this epoch
 *
 * The kernel keeps one mark: a second BUFFER before the release would forget the first. So there is
 * at most one epoch that is not acknowledged, and one function releases: plug_release(), which
 * takes the acknowledged epoch.
 */
#ifndef NETFIX_PLUG_H
#define NETFIX_PLUG_H

#include "base/error.h"
#include "netfix/address.h"

struct plug {
	int vif, ifb;	   /* link numbers; 0 = closed */
	uint64_t buffered; /* the epoch that waits for its acknowledgement; 0 = none */
	uint64_t released; /* the last one that was let go */
};

#define PLUG_LIMIT_BYTES (64 << 20)

/*
 * Redirect what the link `vif` receives through the ifb `ifb`, which is made when it is missing,
 * and hold it there from now on. 0 or -errno; then nothing is redirected.
 */
int plug_open(struct plug *p, const char *vif, const char *ifb, struct error *err) WARN_UNUSED;

/*
 * Epoch `epoch` ends here: what was sent until now belongs to it. Epochs count up from 1. -EBUSY
 * while one is not acknowledged, -EINVAL when it does not count up.
 */
int plug_buffer(struct plug *p, uint64_t epoch, struct error *err) WARN_UNUSED;

/* The backup has acknowledged `epoch`: let its output go. -EINVAL for any but the buffered one. */
int plug_release(struct plug *p, uint64_t epoch, struct error *err) WARN_UNUSED;

/* Hold nothing any more, and take the redirection away. For the end of protection only. Idempotent.
 */
int plug_close(struct plug *p, struct error *err);

/* The rules of epochs alone; pure. */
int plug_may_buffer(const struct plug *p, uint64_t epoch);
int plug_may_release(const struct plug *p, uint64_t epoch);

#endif
