/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source: this host's side of a hand-over that it began: the domain here, the link to the
 * destination, and the steps of handover.h. lifeboat-send uses it for a move from its start,
 * lifeboat-resolve for one that a crash or a cut left open.
 */
#ifndef MIGRATE_SOURCE_H
#define MIGRATE_SOURCE_H

#include "migrate/drbd.h"
#include "migrate/engine.h"
#include "migrate/link.h"

struct source {
	const struct config *cfg;
	const struct hypervisor *hv;
	const struct config_peer *peer;
	char name[DOMAIN_NAME_LEN]; /* the domain's, to the user */
	struct domain dom;	    /* with the name that it has on this host just now */
	bool here;		    /* there is a copy on this host; `dom` is it */
	struct link link;
	struct record rec;
	struct drbd_window window;
	struct record_place place; /* what the destination found out; state 0 = nothing yet */
	struct verify verify;	   /* of what the destination was sent */
	struct engine engine;
	bool resolving; /* this link asks about a hand-over, it does not carry one */
	bool confirmed; /* the destination has confirmed the end of the move */
	bool heard;	/* the destination's last word has come: there is nobody to tell any more */
};

/* An empty one; 0 or -ENOMEM. Then set cfg, and hv, peer and name as they become known. */
int source_init(struct source *s, const struct config *cfg) WARN_UNUSED;
/* Free everything but the journal's content. Idempotent. */
void source_dispose(struct source *s);

/* Link up with s->peer: 0 or -errno with the reason. */
int source_connect(struct source *s, struct error *err) WARN_UNUSED;

/*
 * A write to the lifeboat-wire of `l` failed with `rc`: it has hung up, and said why before.
 * Returns the better reason; whatever else it had passed on is read past.
 */
int source_broken(struct source *s, struct link *l, int rc, struct error *err) WARN_UNUSED;

/* A record without a body. When the link is broken, the reason it broke for. */
int source_say(struct source *s, enum record_type type, struct error *err) WARN_UNUSED;

/* The engine's steps; `ctx` is the struct source. */
int source_step(void *ctx, enum handover_step step, struct error *err);

/*
 * The hand-over failed with `rc` (-EREMOTEIO: the destination said REFUSED): take the domain back,
 * unless it is ceded. Failures on the way are logged. Never changes `why`, except to add to its
 * fix.
 */
void source_give_up(struct source *s, int rc, struct error *why);

/*
 * After a loss: connect, ask, and do what the answer calls for. 0 = settled; otherwise -errno and
 * why it is not, yet. The journal must be open, in CEDED, ABORTED or CLAIMED.
 */
int source_ask(struct source *s, struct error *err) WARN_UNUSED;

#endif
