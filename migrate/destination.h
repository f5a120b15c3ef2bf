/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * destination: this host's side of a hand-over that a peer began: the copy of the domain here and
 * the steps of handover.h. lifeboat-receive uses it for a move and for a source that asks about
 * one; lifeboat-resolve for what a crash left open here.
 */
#ifndef MIGRATE_DESTINATION_H
#define MIGRATE_DESTINATION_H

#include "migrate/drbd.h"
#include "migrate/engine.h"
#include "migrate/record.h"

struct destination {
	const struct config *cfg;
	const struct hypervisor *hv;
	char name[DOMAIN_NAME_LEN];
	struct domain dom;	    /* once it is finished: NAME--incoming, then NAME */
	struct hv_restore *restore; /* while it is being built */
	struct drbd_window window;
	int sock;	 /* lifeboat-wire; -1: nobody to answer */
	const char *why; /* told with REFUSED; NULL = "it was called off" */
	const char *fix;
	struct record_done done;
	uint32_t said; /* the last record that was sent by a step or in answer to RESOLVE */
	struct engine engine;
};

/* An empty one. Then set hv as it becomes known. */
void destination_init(struct destination *d, const struct config *cfg, int sock);

/* Forget what is still being built, close the journal. Idempotent. */
void destination_dispose(struct destination *d);

/* The engine's steps; `ctx` is the struct destination. */
int destination_step(void *ctx, enum handover_step step, struct error *err);

/*
 * A hand-over whose engine is gone, with its journal open: do what its state calls for, as far as
 * this host alone can. 0 also when it stays open, waiting for the source (READY).
 */
int destination_recover(struct destination *d, struct error *err) WARN_UNUSED;

/*
 * GO has come: become OWNER and run it. Should the copy have vanished meanwhile, the source is told
 * REFUSED instead, and the state is REFUSED: its own copy is then the last one.
 */
int destination_go(struct destination *d, struct error *err) WARN_UNUSED;

/* What came cannot be taken: REFUSED to an offer, UNKNOWN to anything else. Uses d->why and d->fix.
 */
void destination_turn_away(struct destination *d, bool offer);

/*
 * Answer the RESOLVE of `peer`; opens the journal itself. 0 when an answer was sent: d->said. Of a
 * hand-over that lies behind others it is the answer that was given then, and nothing is done.
 */
int destination_resolve(struct destination *d, const char *peer, const struct record_resolve *ask,
	struct error *err) WARN_UNUSED;

/* Afterwards: the end of the DRBD window (drbd_window_end); failures are logged. */
void destination_close_window(struct destination *d);

#endif
